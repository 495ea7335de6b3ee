//! What a span costs the agent: from a ring in shared memory to the OTLP bytes of a batch, one program, one ring, ten
//! attributes as an HTTP server's span has them; without anatomy and with it. `cargo bench -p agent`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::assemble::{Assembler, Ending};
use agent::measure::Measure;
use deliver::otlp::encode::ClockOffset;
use model::{Attributes, Resource};
use record::Memory;
use record::layout::{RECORD_FLAG_GO_PARTS, RECORD_FLAG_KERNEL_PARTS};
use record::writer::{Options, RecordBuilder, Writer};

const RING: u32 = 1 << 20;

fn main() {
    for (what, anatomy) in [("10 attributes", false), ("10 attributes and anatomy", true)] {
        let mut best = Duration::MAX;
        let mut size = 0;
        for _ in 0..30 {
            let (time, bytes) = round(anatomy);
            best = best.min(time);
            size = bytes;
        }
        println!("{what}: {:.0} ns a span, {size} bytes of OTLP", best.as_secs_f64() * 1e9);
    }
}

/// Fills the ring, then takes everything out: time and OTLP bytes of one span.
fn round(anatomy: bool) -> (Duration, usize) {
    let options = Options { processors: 1, ring_size: RING, ..Options::default() };
    let mut writer = Writer::create(options).expect("a memory file");
    let template = "{http.request.method} {http.route}|{http.request.method}";
    let operation = writer.descriptor("net/http.server", "tandem/net/http", 2, template).expect("a descriptor");
    let mut spans = 0;
    while {
        let mut record = RecordBuilder::span([7; 16], (spans + 1u64).to_le_bytes(), operation)
            .times(spans * 1000, spans * 1000 + 900)
            .text(1, "GET")
            .text(32, "/hello/ann")
            .text(34, "http")
            .text(2, "/hello/{name}")
            .text(36, "127.0.0.1")
            .int(37, 8080)
            .text(38, "127.0.0.1")
            .text(45, "curl/8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0")
            .text(43, "1.1")
            .int(3, 200);
        if anatomy {
            record =
                record.flags(RECORD_FLAG_GO_PARTS | RECORD_FLAG_KERNEL_PARTS).part(1, 100).part(3, 200).part(2, 30);
        }
        writer.push(0, &record.build()).expect("a ring")
    } {
        spans += 1;
    }
    let memory = Memory::open(writer.descriptor_of_file()).expect("a good file");
    let resource = Arc::new(Resource { attributes: Attributes::new() });
    let mut assembler = Assembler::new(memory.tables(), resource, "0");
    let (mut measure, mut rings) = (Measure::default(), memory.rings());
    let start = Instant::now();
    rings[0].drain(|record| {
        assembler.record(record, Ending::Recorded, ClockOffset::default(), &mut measure);
    });
    let batch = assembler.take().expect("spans");
    let time = start.elapsed();
    assert_eq!(u64::from(batch.spans), spans);
    (time / batch.spans, batch.bytes.len() / batch.spans as usize)
}
