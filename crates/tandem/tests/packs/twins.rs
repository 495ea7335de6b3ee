//! Programs that are another pack's under other names: `program_of:` in `program/test.yaml`, as `hooks_of:` in `pack.yaml`.

use std::fs;
use std::path::Path;

use weave::pack_text::replaced;

use crate::program::folder_of;
use crate::rig::repository;
use crate::settings::ProgramOf;

/// Adds the other pack's Go files to a copy of a program. Those that it has itself stay.
pub fn complete(program: &Path, of: &ProgramOf) {
    let theirs = repository().join(folder_of(&of.pack)).join("program");
    let mut texts = Vec::new();
    for entry in fs::read_dir(&theirs).unwrap_or_else(|error| panic!("{}: {error}", theirs.display())).flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "go") {
            texts.push((entry.file_name(), fs::read_to_string(entry.path()).expect("a text")));
        }
    }
    let unused = of.replace.keys().find(|piece| !texts.iter().any(|(_, text)| text.contains(piece.as_str())));
    assert_eq!(unused, None, "the program of {} does not contain it", of.pack);
    for (name, text) in texts {
        let file = program.join(name);
        if !file.exists() {
            fs::write(file, replaced(&text, &of.replace)).expect("the target folder can be written");
        }
    }
}
