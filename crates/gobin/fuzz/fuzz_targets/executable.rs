//! Any bytes as an executable.
#![no_main]

use std::io::{Seek, Write};

use gobin::Executable;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

thread_local! {
    static FILE: std::cell::RefCell<NamedTempFile> = NamedTempFile::new().expect("a temporary file").into();
}

fuzz_target!(|bytes: &[u8]| FILE.with_borrow_mut(|file| {
    file.as_file().set_len(0).expect("an empty file");
    file.rewind().expect("a file");
    file.write_all(bytes).expect("a file");
    if let Ok(executable) = Executable::read(file.path()) {
        let _ = executable.build.manifest();
    }
}));
