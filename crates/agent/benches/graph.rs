//! What the service graph and folding cost for each span: records of the same spans are assembled with them and without, in turns.
//! `cargo bench -p agent --bench graph`.
//!
//! Spans that are no end of a request; pairs of a client's and a server's; calls of a database; and short functions under one parent, of
//! which all but the first are folded.

use std::sync::Arc;
use std::time::Duration;

use agent::assemble::{Assembler, Ending};
use agent::measure::{DEFAULT_CARDINALITY_LIMIT, Measure};
use agent::{Fold, ServiceGraph, Settings};
use deliver::otlp::encode::ClockOffset;
use model::{Attributes, Resource};
use record::Memory;
use record::layout::RECORD_FLAG_REMOTE_PARENT;
use record::writer::{Options, RecordBuilder, Writer};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 300;
const SPANS: usize = 1000;

struct Operations {
    function: u32,
    server: u32,
    client: u32,
    query: u32,
}

fn main() {
    let mut writer = Writer::create(Options::default()).expect("a memory file");
    let http = "{http.request.method} {http.route}|{http.request.method}";
    let operations = Operations {
        function: writer.descriptor("main.step", "main", 1, "main.step").expect("a descriptor"),
        server: writer.descriptor("server", "tandem/net/http", 2, http).expect("a descriptor"),
        client: writer.descriptor("client", "tandem/net/http", 3, http).expect("a descriptor"),
        query: writer.descriptor("query", "tandem/database/sql", 3, "{db.operation.name}|db").expect("a descriptor"),
    };
    let shapes: [(&str, Shape); 4] = [
        ("neither a client's nor a server's", |operations, number| {
            attributes(span(operations.function, number, 900_000))
        }),
        ("a client's and a server's", |operations, number| {
            let (pair, is_server) = (number / 2 * 2, number % 2 == 1);
            if is_server {
                let record = span(operations.server, number, 900_000).parent(id(pair)).flags(RECORD_FLAG_REMOTE_PARENT);
                attributes(record).text(2, "/hello/{name}")
            } else {
                attributes(span(operations.client, number, 900_000)).text(15, "back.example.org").int(16, 8080)
            }
        }),
        ("a database's", |operations, number| {
            attributes(span(operations.query, number, 900_000))
                .text(7, "postgresql")
                .text(18, "stock")
                .text(8, "SELECT")
        }),
        ("a short function's", |operations, number| attributes(span(operations.function, number, 900))),
    ];
    let off = Settings::parse("fold: {enabled: false}\nservice_graph: {enabled: false}\n").expect("settings");
    for (what, shape) in shapes {
        let records: Vec<Vec<u8>> = (0..SPANS).map(|number| shape(&operations, number as u64).build()).collect();
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..ROUNDS {
            for which in [turn % 2, 1 - turn % 2] {
                let (graph, fold) =
                    if which == 0 { (off.service_graph.clone(), off.fold.clone()) } else { Default::default() };
                times[which].push(round(&writer, &records, &graph, &fold));
            }
        }
        let nanoseconds = times.map(|mut rounds| {
            rounds.sort();
            rounds[..ROUNDS / 4].iter().sum::<Duration>().as_secs_f64() * 1e9 / (ROUNDS / 4 * SPANS) as f64
        });
        let [without, with] = nanoseconds;
        println!("{what} span: {without:.0} ns without, {with:.0} ns with: {:+.0} ns", with - without);
    }
}

type Shape = fn(&Operations, u64) -> RecordBuilder;

/// CPU time of all records; the first ones, which find everything new, are not measured.
fn round(writer: &Writer, records: &[Vec<u8>], graph: &ServiceGraph, fold: &Fold) -> Duration {
    let memory = Memory::open(writer.descriptor_of_file()).expect("a good file");
    let resource = Arc::new(Resource { attributes: Attributes::new() });
    let mut assembler = Assembler::new(memory.tables(), resource, "0").folding(fold);
    let mut measure = Measure::new(DEFAULT_CARDINALITY_LIMIT, graph);
    let (warm, measured) = records.split_at(records.len() / 5);
    let mut assemble = |records: &[Vec<u8>]| {
        for record in records {
            assembler.record(record, Ending::Recorded, ClockOffset::default(), &mut measure);
        }
    };
    assemble(warm);
    let start = processor_time();
    assemble(measured);
    let time = processor_time() - start;
    drop(assembler.take());
    time * records.len() as u32 / measured.len() as u32
}

fn id(number: u64) -> [u8; 8] {
    (number + 1).to_le_bytes()
}

fn span(operation: u32, number: u64, duration: u64) -> RecordBuilder {
    RecordBuilder::span([7; 16], id(number), operation).parent([0xf0; 8]).times(1000, 1000 + duration)
}

/// As an HTTP server's span has them.
fn attributes(record: RecordBuilder) -> RecordBuilder {
    let record = record.text(1, "GET").text(32, "/hello/ann").text(34, "http").text(38, "127.0.0.1");
    record.text(45, "curl/8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0").text(43, "1.1").int(3, 200)
}

/// What this thread has computed: a busy machine takes the processor away, and that is not a cost of ours.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}
