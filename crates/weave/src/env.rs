//! `tandem env`: a folder with a `go` that calls us, to be put in front of `PATH`. Build systems that call `go` themselves
//! then build woven. Nothing else is exported: what is not a build, and every other program, finds what it always found.

use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::cache::{self, Cache, Key};
use crate::error::{WeaveError, at};
use crate::go;
use crate::goroot::write_new;

/// The folder with our `go`; made if it is not there.
pub fn shim() -> Result<PathBuf, WeaveError> {
    let cache = Cache::open()?;
    if cache.root().as_os_str().as_bytes().contains(&b':') {
        return Err(WeaveError::ColonInPath { path: cache.root().to_owned() });
    }
    let tandem = own_name().map_err(at("find", Path::new("tandem")))?;
    let name = Key::new("shim").text(&tandem).name();
    let place = cache.root().join(cache::SHIM).join(&name);
    let script = script(&tandem, &place);
    cache.entry(cache::SHIM, &name, |work| {
        let file = work.join("go");
        write_new(&file, &script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).map_err(at("write", &file))
    })
}

/// Lines for a shell that put the folder in front of `PATH`.
pub fn switch_on(shim: &Path) -> Vec<u8> {
    [b"export PATH=", quoted(shim.as_os_str()).as_slice(), b":\"$PATH\"\n"].concat()
}

/// Lines for a shell that take every such folder out of `PATH` again.
pub fn switch_off() -> Result<Vec<u8>, WeaveError> {
    let path = env::var_os("PATH").unwrap_or_default();
    let shims = Cache::open()?.root().join(cache::SHIM);
    let is_ours = |dir: &PathBuf| dir.starts_with(&shims) || calls_tandem(&dir.join("go"));
    let others = env::split_paths(&path).filter(|dir| !is_ours(dir));
    let path = env::join_paths(others).expect("they were joined by the same sign");
    Ok([b"export PATH=", quoted(&path).as_slice(), b"\n"].concat())
}

/// The folder of the woven standard library that a build in this folder would use, and a line end.
pub fn goroot() -> Result<Vec<u8>, WeaveError> {
    let (plan, _, _) = go::plan(&go::find_go()?, &["build".into()])?;
    Ok([plan.mapping.shadow_root.as_os_str().as_bytes(), b"\n"].concat())
}

/// Whether a file is a script that hands its arguments to `tandem go`: no go command of its own.
pub(crate) fn calls_tandem(file: &Path) -> bool {
    let mut beginning = [0; 2];
    let is_script = fs::File::open(file).and_then(|mut file| io::Read::read_exact(&mut file, &mut beginning)).is_ok();
    if !is_script || &beginning != b"#!" {
        return false;
    }
    let text = fs::read(file).unwrap_or_default();
    String::from_utf8_lossy(&text).match_indices("tandem").any(|(at, name)| {
        let rest = String::from_utf8_lossy(&text[at + name.len()..]).into_owned();
        let words = rest.trim_start_matches(['\'', '"']);
        words.starts_with([' ', '\t']) && words.split_whitespace().next() == Some("go")
    })
}

/// The path by which we were started. A link stays a link: it leads to the next release too.
fn own_name() -> io::Result<PathBuf> {
    let own = env::current_exe()?;
    let name = PathBuf::from(env::args_os().next().unwrap_or_default());
    let named = match name.components().count() {
        1 => env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|dir| dir.join(&name))
            .find(|path| path.is_file()),
        _ => env::current_dir().ok().map(|dir| crate::modfile::clean(&dir.join(&name))),
    };
    let is_own = |path: &PathBuf| path.canonicalize().ok() == own.canonicalize().ok();
    Ok(named.filter(|path| path.is_absolute() && is_own(path)).unwrap_or(own))
}

fn script(tandem: &Path, place: &Path) -> Vec<u8> {
    let tandem = quoted(tandem.as_os_str());
    let place = quoted(place.as_os_str());
    let parts: [&[u8]; 7] = [
        b"#!/bin/sh\n\
          # The go command of `tandem env`: builds go through tandem, everything else runs plain.\n\
          tandem=",
        &tandem,
        b"\n\
          [ -x \"$tandem\" ] || tandem=$(command -v tandem)\n\
          [ -z \"$tandem\" ] || exec \"$tandem\" go \"$@\"\n\
          echo 'tandem: warning: tandem is gone from '",
        &tandem,
        b"'; building plain' >&2\n\
          set -f\n\
          IFS=:\n\
          for dir in $PATH; do\n\
          \t[ \"$dir\" = ",
        &place,
        b" ] || [ ! -x \"$dir/go\" ] || exec \"$dir/go\" \"$@\"\n\
          done\n\
          echo 'tandem: there is no other go command in PATH' >&2\n\
          exit 127\n",
    ];
    parts.concat()
}

/// As one word for a POSIX shell.
pub(crate) fn quoted(text: &OsStr) -> Vec<u8> {
    let mut word = vec![b'\''];
    for byte in text.as_bytes() {
        match byte {
            b'\'' => word.extend_from_slice(b"'\\''"),
            other => word.push(*other),
        }
    }
    word.push(b'\'');
    word
}
