//! Embeds the page: makes a table of the files that `web/` builds to.
//!
//! The bundle comes from `$TANDEM_WEB_DIST`, else from `web/dist` when that is newer than its sources, else it is built here,
//! in cargo's own folder, from the pinned sources. Without the tools for that, the error says what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What the bundle is made from, in `web/`.
const SOURCES: [&str; 8] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "svelte.config.js",
    "size.mjs",
];

fn main() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo::rerun-if-env-changed=TANDEM_WEB_DIST");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", web.join(source).display());
    }
    let bundle = match std::env::var_os("TANDEM_WEB_DIST") {
        Some(bundle) => {
            println!("cargo::rerun-if-changed={}", bundle.display());
            PathBuf::from(bundle)
        }
        None if is_fresh(&web) => web.join("dist"),
        None => build(&web, &out.join("web")),
    };
    // A copy, so that what was embedded stays when somebody cleans `web/dist`.
    let embedded = out.join("page");
    // Fails when there is none yet.
    let _ = fs::remove_dir_all(&embedded);
    copy_tree(&bundle, &embedded);
    fs::write(out.join("assets.rs"), table(&embedded, &bundle)).expect("OUT_DIR is writable");
}

fn is_fresh(web: &Path) -> bool {
    let Ok(built) = fs::metadata(web.join("dist/index.html")).and_then(|file| file.modified()) else { return false };
    SOURCES.iter().all(|source| newest(&web.join(source)) <= built)
}

fn newest(path: &Path) -> SystemTime {
    let own = fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let below = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| newest(&entry.path()));
    below.fold(own, SystemTime::max)
}

/// Builds the page in a copy, so that the source tree stays as it is and builds at the same time do not meet.
fn build(web: &Path, copy: &Path) -> PathBuf {
    for source in SOURCES.into_iter().chain([".npmrc", "tsconfig.json"]) {
        copy_tree(&web.join(source), &copy.join(source));
    }
    npm(copy, &["ci"]);
    npm(copy, &["run", "build"]);
    copy.join("dist")
}

fn copy_tree(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("OUT_DIR is writable");
        for entry in fs::read_dir(from).expect("web/ is readable").flatten() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::create_dir_all(to.parent().expect("below OUT_DIR")).expect("OUT_DIR is writable");
        fs::copy(from, to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
    }
}

fn npm(folder: &Path, arguments: &[&str]) {
    let advice = "the page must be built first: run `make page`, or set TANDEM_WEB_DIST to a folder that holds it";
    match Command::new("npm").args(arguments).current_dir(folder).output() {
        Err(error) => panic!("cannot run npm: {error}\n{advice}"),
        Ok(output) if !output.status.success() => panic!(
            "npm {} failed: {}{}\n{advice}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        ),
        Ok(_) => {}
    }
}

/// Rust text: path, content type and bytes of every file of the bundle.
fn table(embedded: &Path, bundle: &Path) -> String {
    let mut files = Vec::new();
    list(embedded, embedded, &mut files);
    assert!(
        files.iter().any(|(path, _)| path == "index.html"),
        "{} holds no index.html: run `make page`",
        bundle.display()
    );
    files.sort();
    let entries: String = files
        .iter()
        .map(|(path, file)| {
            format!("    ({path:?}, {:?}, include_bytes!({:?})),\n", content_type(path), file.display().to_string())
        })
        .collect();
    format!("pub const ASSETS: &[(&str, &str, &[u8])] = &[\n{entries}];\n")
}

fn list(bundle: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display())) {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            list(bundle, &path, files);
        } else {
            let name = path.strip_prefix(bundle).expect("below the bundle").display().to_string();
            files.push((name, path.canonicalize().expect("it exists")));
        }
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => panic!("no content type is known for {path}"),
    }
}
