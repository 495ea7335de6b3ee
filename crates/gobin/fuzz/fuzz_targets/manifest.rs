//! Any text as what the go command records, and as a manifest. A manifest that was read is written and read again as the
//! same one.
#![no_main]

use gobin::{BuildInformation, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = BuildInformation::parse("go1.26", text).manifest();
    if let Ok(manifest) = Manifest::parse(text) {
        let line = manifest.line();
        assert!(!line.contains('\n'), "{line:?}");
        let (_, content) = line.split_once('\t').expect("the line's name");
        assert_eq!(Manifest::parse(content).expect("what was just written"), manifest);
    }
});
