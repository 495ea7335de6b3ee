//! A pack's program with another version of the library, or made of another pack's. It is copied: nothing in the repository is touched.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;
use weave::pack::Pack;

use crate::golang::go;
use crate::program::{executable_name, folder_of};
use crate::rig::{BUILD_LIMIT, kept, repository, run, tandem};
use crate::settings::{Set, Settings};
use crate::tree::tree;
use crate::twins::complete;
use crate::{compare, observe_with_servers, snapshot};

/// Builds and runs the program with a version of the pack's module. Its spans are those of the pack's snapshot, or of one for
/// this version (`PACK@VERSION.snap`) where the library itself does something else.
pub fn check(pack: &str, version: &str, settings: &Settings) -> Result<(), Failed> {
    let test = format!("packs {pack}@{version}");
    if crate::support::is_without_go(&test) {
        return Ok(());
    }
    let module = Pack::load(&repository().join(folder_of(pack))).map_err(|error| error.to_string())?.module;
    let module = module.ok_or_else(|| format!("{pack} is of no module, and has no versions"))?;
    let program = woven_with(pack, &module, version, settings);
    let Some(observed) = observe_with_servers(&test, &program, settings) else { return Ok(()) };
    let tree = tree(&observed.spans);
    if settings.set != Set::E2e && snapshot(pack).is_none_or(|usual| usual.trim_end() != tree.trim_end()) {
        compare(&format!("{pack}@{version}"), &tree);
    }
    Ok(())
}

/// The program, woven with a version of a module that it requires.
fn woven_with(pack: &str, module: &str, version: &str, settings: &Settings) -> PathBuf {
    let folder = copied(pack, &format!("{pack}@{version}"), settings);
    let is_lowest = settings.versions.len() > 1 && settings.versions[0] == version;
    if is_lowest {
        leave_out_newer(&folder);
    }
    let go = |arguments: &[&str]| {
        let finished = run(go(&folder).args(arguments).env("GOFLAGS", "-mod=mod"), BUILD_LIMIT);
        assert_eq!(finished.code, 0, "go {}: {finished}", arguments.join(" "));
        finished.stdout
    };
    let modules = std::iter::once(module).chain(settings.together.iter().map(String::as_str));
    let mut wanted: Vec<String> = modules.map(|module| format!("{module}@{version}")).collect();
    wanted.extend(settings.beside.get(version).into_iter().flatten().cloned());
    go(&std::iter::once("get").chain(wanted.iter().map(String::as_str)).collect::<Vec<_>>());
    go(&["mod", "tidy"]);
    assert_eq!(
        go(&["list", "-m", "-f", "{{.Version}}", module]).trim(),
        version,
        "something else needs another version"
    );
    woven_in(&folder, if is_lowest { &["-tags", "lowest"] } else { &[] })
}

/// Takes out of a program's copy what the lowest version lacks: files for builds without the tag `lowest`. By the tag alone they would be left out of
/// the build, but not by `go mod tidy`, which heeds no tags: modules that only they need would ask for newer versions.
fn leave_out_newer(program: &Path) {
    for entry in fs::read_dir(program).expect("the copy").flatten() {
        let is_go = entry.path().extension().is_some_and(|extension| extension == "go");
        if is_go && fs::read_to_string(entry.path()).expect("a text").starts_with("//go:build !lowest\n") {
            fs::remove_file(entry.path()).expect("the copy can be written");
        }
    }
}

/// The program of a pack that is another pack's, as it is.
pub fn woven_twin(pack: &str, settings: &Settings) -> PathBuf {
    woven_in(&copied(pack, pack, settings), &[])
}

fn woven_in(folder: &Path, flags: &[&str]) -> PathBuf {
    let mut build = tandem();
    build.args(["go", "build", "-o", "woven/"]).args(flags).arg(".").current_dir(folder);
    let finished = run(&mut build, BUILD_LIMIT);
    assert_eq!(finished.code, 0, "{finished}");
    assert!(!finished.stderr.contains("warning:"), "the weave is not whole\n{}", finished.stderr);
    folder.join("woven").join(executable_name(folder))
}

/// A copy of a pack's program under this name, complete where it is another pack's.
fn copied(pack: &str, name: &str, settings: &Settings) -> PathBuf {
    let folder = kept().join("versions").join(name);
    let _ = fs::remove_dir_all(&folder);
    copy(&repository().join(folder_of(pack)), &folder); // its program may name the pack beside it
    let program = folder.join("program");
    if let Some(of) = &settings.program_of {
        complete(&program, of);
    }
    program
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the target folder can be written");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file");
        }
    }
}
