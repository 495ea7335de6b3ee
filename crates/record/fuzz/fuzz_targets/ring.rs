//! Any bytes as the content of a ring: the drain ends and the ring is usable afterwards.
#![no_main]

use libfuzzer_sys::fuzz_target;
use record::writer::{Options, Writer};
use record::{Memory, SpanRecord};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut writer) = Writer::create(Options { processors: 1, ..Options::default() }) else { return };
    let Ok(memory) = Memory::open(writer.descriptor_of_file()) else { return };
    let content = &bytes[..bytes.len().min(1 << 16) & !7];
    let _ = writer.scribble(0, 0, content);
    let _ = writer.set_head(0, content.len() as u64);
    let ring = &mut memory.rings()[0];
    ring.drain(|record| {
        let _ = SpanRecord::parse(record).map(|span| span.items().count());
    });
    assert_eq!(ring.drain(|_| ()).level, 0);
});
