//! What a span costs the agent: from a ring in shared memory to the OTLP bytes of a batch, one program, one ring, ten
//! attributes as an HTTP server's span has them; without anatomy and with it. `cargo bench -p agent`.

use std::sync::Arc;
use std::time::Duration;

use agent::assemble::{Assembler, Ending};
use agent::measure::Measure;
use deliver::otlp::encode::ClockOffset;
use model::{Attributes, Resource};
use record::layout::{RECORD_FLAG_GO_PARTS, RECORD_FLAG_KERNEL_PARTS};
use record::writer::{Options, RecordBuilder, Writer};
use record::{Memory, Ring};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 200;
/// As the agent's sessions do it.
const BATCH_BYTES: usize = 128 * 1024;

fn main() {
    // What everything here is to be compared with: machines differ, and so do their busy minutes.
    let start = processor_time();
    for _ in 0..1000 {
        let _ = clock_gettime(ClockId::Monotonic);
    }
    println!("one reading of the clock: {:?}", (processor_time() - start) / 1000);
    for (what, anatomy) in [("10 attributes", false), ("10 attributes and anatomy", true)] {
        let mut bench = Bench::new();
        let mut rounds: Vec<(Duration, usize)> = (0..ROUNDS).map(|_| bench.round(anatomy)).collect();
        rounds.sort();
        let nanoseconds = |index: usize| rounds[index].0.as_secs_f64() * 1e9;
        let bytes = rounds[0].1;
        println!(
            "{what}: {:.0} ns a span (best round; median {:.0}), {bytes} bytes of OTLP",
            nanoseconds(0),
            nanoseconds(ROUNDS / 2)
        );
    }
}

struct Bench {
    writer: Writer,
    operation: u32,
    ring: Ring,
    assembler: Assembler,
    measure: Measure,
}

impl Bench {
    fn new() -> Self {
        let options = Options { processors: 1, ring_size: 1 << 20, ..Options::default() };
        let mut writer = Writer::create(options).expect("a memory file");
        let template = "{http.request.method} {http.route}|{http.request.method}";
        let operation = writer.descriptor("net/http.server", "tandem/net/http", 2, template).expect("a descriptor");
        let memory = Memory::open(writer.descriptor_of_file()).expect("a good file");
        let resource = Arc::new(Resource { attributes: Attributes::new() });
        let assembler = Assembler::new(memory.tables(), resource, "0");
        let ring = memory.rings().remove(0);
        Self { writer, operation, ring, assembler, measure: Measure::default() }
    }

    /// Fills half of the ring, then takes everything out: time and OTLP bytes of one span.
    fn round(&mut self, anatomy: bool) -> (Duration, usize) {
        const SPANS: u32 = 1400;
        for number in 0..SPANS {
            let mut record = RecordBuilder::span([7; 16], u64::from(number + 1).to_le_bytes(), self.operation)
                .times(1000, 1900)
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
            assert!(self.writer.push(0, &record.build()).expect("a ring"));
        }
        let (mut spans, mut bytes) = (0, 0);
        let start = processor_time();
        let mut full = Vec::with_capacity(16);
        self.ring.drain(|record| {
            self.assembler.record(record, Ending::Recorded, ClockOffset::default(), &mut self.measure);
            if self.assembler.waiting() >= BATCH_BYTES {
                full.extend(self.assembler.take());
            }
        });
        full.extend(self.assembler.take());
        let time = processor_time() - start;
        for batch in full {
            spans += batch.records;
            bytes += batch.bytes.len();
        }
        assert_eq!(spans, SPANS);
        (time / SPANS, bytes / SPANS as usize)
    }
}

/// What this thread has computed: a busy machine takes the processor away, and that is not a cost of ours.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}
