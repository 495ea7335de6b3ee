//! `make docs`: the site can be built, every link of it leads somewhere, and it works in a real browser, from the disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Failed;

use crate::rig::{kept, repository};
use crate::support::skip;

pub fn works() -> Result<(), Failed> {
    let mdbook = kept().join("../tools/bin/mdbook");
    if !mdbook.is_file() {
        skip("docs the site", "there is no target/tools/bin/mdbook: `make docs` builds it");
        return Ok(());
    }
    let site = tempfile::tempdir()?;
    let mut build = Command::new("node");
    finish(build.arg(repository().join("scripts/docs-site.mjs")).arg(&mdbook).arg(site.path()))?;
    match browser() {
        Ok(browser) => finish(
            Command::new("node").arg("tests/site.mjs").arg(site.path()).current_dir(web()).env("CHROMIUM", browser),
        ),
        Err(reason) => {
            skip("docs the site in a browser", reason);
            Ok(())
        }
    }
}

fn finish(command: &mut Command) -> Result<(), Failed> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)).into())
}

fn web() -> PathBuf {
    repository().join("web")
}

fn browser() -> Result<PathBuf, &'static str> {
    if !web().join("node_modules/playwright-core").is_dir() {
        return Err("web/node_modules is missing: run `npm ci` in web/");
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut places = std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
    let chosen = std::env::var_os("CHROMIUM").map(PathBuf::from);
    chosen.or_else(|| places.find(|path: &PathBuf| Path::is_file(path))).ok_or("no chromium in PATH")
}
