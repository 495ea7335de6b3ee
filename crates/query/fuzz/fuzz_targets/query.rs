//! What people type, and what a link to the page may hold: read or refused, and what is read is written so that it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use query::{Field, Query, Values, complete};

struct Nothing;

impl Values for Nothing {
    fn keys(&self) -> Vec<String> {
        Vec::new()
    }

    fn values(&self, _: &Field) -> Vec<String> {
        Vec::new()
    }
}

fuzz_target!(|input: (&str, u8)| {
    let (text, cursor) = input;
    if let Ok(query) = Query::parse(text) {
        assert_eq!(Query::parse(&query.to_string()).as_ref(), Ok(&query));
    }
    complete(text, cursor.into(), &Nothing);
});
