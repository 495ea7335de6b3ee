//! `tandem diff`: the woven source of packages against the original.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::error::{WeaveError, at};
use crate::go;
use crate::goroot::{DESCRIPTION, Description};
use crate::listing::{self, Package};
use crate::plan::Mapping;

/// The answer.
#[derive(Debug, Default)]
pub struct Diff {
    /// Unified diffs, a file each, in the order of packages and files.
    pub files: Vec<String>,
    /// Packages that were asked for.
    pub packages: Vec<String>,
    /// Other packages of the program that are woven.
    pub others: Vec<String>,
}

/// Compares the packages that `arguments` (flags of `go build`, packages; else all below this folder) name.
pub fn diff(arguments: &[OsString]) -> Result<Diff, WeaveError> {
    let command = go::find_go()?;
    let build: Vec<OsString> = std::iter::once("build".into()).chain(arguments.iter().cloned()).collect();
    let (plan, parsed, dir) = go::plan(&command, &build)?;
    let mut arguments = arguments.to_vec();
    if parsed.packages.is_empty() {
        arguments.push("./...".into());
    }
    let woven = woven_files(&plan.mapping)?;
    let mut diff = Diff::default();
    for package in listing::packages(&command, &arguments, &dir)? {
        let files = woven.get(&package.dir);
        if package.is_dependency {
            diff.others.extend(files.map(|_| package.import_path));
            continue;
        }
        for (name, file) in files.into_iter().flatten() {
            diff.files.push(compare(&package, name, file, &dir)?);
        }
        diff.packages.push(package.import_path);
    }
    diff.others.sort();
    Ok(diff)
}

/// A file of a woven package.
struct WovenFile {
    /// Where the original lies; `None` is an added file.
    plain: Option<PathBuf>,
    /// Where ours lies.
    woven: PathBuf,
}

/// All woven files, by the folder of the package as go sees it without us, and by name.
fn woven_files(mapping: &Mapping) -> Result<BTreeMap<PathBuf, BTreeMap<String, WovenFile>>, WeaveError> {
    let mut found: BTreeMap<PathBuf, BTreeMap<String, WovenFile>> = BTreeMap::new();
    let mut add = |plain: PathBuf, is_added: bool, woven: PathBuf| {
        let Some((dir, name)) = plain.parent().zip(plain.file_name()) else { return };
        let (dir, name) = (dir.to_owned(), name.to_string_lossy().into_owned());
        found.entry(dir).or_default().insert(name, WovenFile { plain: (!is_added).then_some(plain), woven });
    };
    let path = mapping.shadow_root.join(DESCRIPTION);
    let text = fs::read(&path).map_err(at("read", &path))?;
    let description: Description = serde_json::from_slice(&text).map_err(|error| at("read", &path)(error.into()))?;
    for (below, edits) in &description.files {
        add(mapping.real_root.join(below), edits.is_none(), mapping.shadow_root.join(below));
    }
    for shadow in &mapping.modules {
        let Some(dir) = &shadow.dir else { continue };
        for (below, edits) in &shadow.files {
            add(shadow.module.dir.join(below), edits.is_none(), dir.join(below));
        }
    }
    for (plain, file) in &mapping.overlay {
        add(plain.clone(), file.edits.is_none(), file.woven.clone());
    }
    Ok(found)
}

/// The names begin with `a/` and `b/`, and are relative to the working folder where they can be: `patch -p1` takes them.
fn compare(package: &Package, name: &str, file: &WovenFile, working_dir: &Path) -> Result<String, WeaveError> {
    let shown = match package.dir.strip_prefix(working_dir) {
        Ok(below) => below.join(name),
        Err(_) => Path::new(&package.import_path).join(name),
    };
    let read = |path: &Path| fs::read_to_string(path).map_err(at("read", path));
    let plain = file.plain.as_deref().map(read).transpose()?;
    let before = if plain.is_some() { format!("a/{}", shown.display()) } else { "/dev/null".to_owned() };
    let after = format!("b/{}", shown.display());
    let (plain, woven) = (plain.unwrap_or_default(), read(&file.woven)?);
    Ok(TextDiff::from_lines(&plain, &woven).unified_diff().header(&before, &after).to_string())
}
