//! The reader against files that are right, wrong, and hostile.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use proptest::prelude::*;
use record::layout::{CONTROL, ENTRY_SIZE, HEADER, LOG, LOG_SIZE, PAGE, RECORD_FLAG_CUT, item, log_item};
use record::layout::{FIRST_ARGUMENT_KEY, FIRST_FUNCTION, ROUTE_COUNT};
use record::writer::{LogBuilder, Options, RecordBuilder, Writer};
use record::{
    FunctionNumber, Functions, Garbage, Header, HeaderError, Item, Items, LogItem, LogRecord, Memory, MonotonicNanos,
    OpenError, Setting, SpanRecord, SwitchError, Value, rename_attributes,
};
use record::{PATTERN_LIMIT, QuietError, ROUTE_LIMIT, Route, Rule};

/// The smallest ring that a reader accepts.
const SMALL_RING: u32 = 8 * ENTRY_SIZE as u32;

fn open(writer: &Writer) -> Memory {
    Memory::open(writer.descriptor_of_file()).expect("a good file opens")
}

fn span(number: u8) -> RecordBuilder {
    RecordBuilder::span([number; 16], [number; 8], 1).times(1000, 2000)
}

/// What is written comes out: header, names, resource, every kind of item.
#[test]
fn a_span_comes_out_as_it_went_in() {
    let mut writer = Writer::create(Options::default()).expect("create");
    let descriptor =
        writer.descriptor("net/http.server", "tandem/net/http", 2, "{http.request.method}").expect("descriptor");
    let key = writer.key("app.user").expect("key");
    let record = span(7)
        .parent([9; 8])
        .status(2)
        .text(1, "GET")
        .int(3, -5)
        .item(20, item::FLOAT, &1.5f64.to_le_bytes())
        .item(21, item::BOOL, &1u32.to_le_bytes())
        .text(key, "ann")
        .item(0, item::NAME, b"hello")
        .item(0, item::STATUS_MESSAGE, b"went wrong")
        .item(0, item::TRACESTATE, b"a=b")
        .item(0, item::LINK, &[3; 24])
        .item(59, item::EVENT, &1500u64.to_le_bytes())
        .text(56, "io.EOF")
        .item(0, item::EVENT_END, b"")
        .part(3, 400)
        .build();
    assert!(writer.push(1, &record).expect("push"));

    let memory = open(&writer);
    assert_eq!(memory.header().go_version, "go1.26.8");
    assert_eq!(memory.resource(), "OTEL_SERVICE_NAME=test");
    let tables = memory.tables();
    let operation = tables.descriptor(descriptor).expect("registered");
    assert_eq!((operation.id.as_str(), operation.kind), ("net/http.server", 2));
    assert_eq!(operation.made_by("our version"), ("our version", ""));
    let by_hand = |name: &str| record::Descriptor { api: true, name: name.to_owned(), ..operation.clone() };
    assert_eq!(by_hand("1.2.3\nhttps://schema").made_by("our version"), ("1.2.3", "https://schema"));
    assert_eq!(by_hand("\n").made_by("our version"), ("", ""));
    assert_eq!(tables.descriptor(descriptor + 1), None);
    assert_eq!(tables.descriptor(u32::MAX), None);
    assert_eq!(tables.key(key).as_deref(), Some("app.user"));
    assert_eq!(tables.key(u16::MAX), None);

    let mut seen = Vec::new();
    for ring in &mut memory.rings() {
        ring.drain(|record| seen.push(record.to_vec()));
    }
    assert_eq!(seen, [record]);
    let span = SpanRecord::parse(&seen[0]).expect("a span");
    assert_eq!(span.trace_id(), [7; 16]);
    assert_eq!(span.parent_span_id(), [9; 8]);
    assert_eq!((span.start(), span.end()), (MonotonicNanos(1000), Some(MonotonicNanos(2000))));
    assert_eq!(span.status(), 2);
    let mut items = span.items();
    let expected = [
        Item::Attribute(1, Value::String(b"GET")),
        Item::Attribute(3, Value::Int(-5)),
        Item::Attribute(20, Value::Float(1.5)),
        Item::Attribute(21, Value::Bool(true)),
        Item::Attribute(key, Value::String(b"ann")),
        Item::Name(b"hello"),
        Item::StatusMessage(b"went wrong"),
        Item::Tracestate(b"a=b"),
        Item::Link([3; 16], [3; 8]),
        Item::Event(59, MonotonicNanos(1500)),
        Item::Attribute(56, Value::String(b"io.EOF")),
        Item::EventEnd,
        Item::Part(3, 400),
    ];
    assert_eq!(items.by_ref().collect::<Vec<_>>(), expected);
    assert!(!items.malformed());
}

/// Many times around the ring, records of many sizes: nothing is lost, nothing comes twice, order is kept.
#[test]
fn a_ring_goes_round() {
    let mut writer =
        Writer::create(Options { ring_size: SMALL_RING, processors: 1, ..Options::default() }).expect("create");
    let memory = open(&writer);
    let ring = &mut memory.rings()[0];
    let (mut written, mut seen) = (0u64, 0u64);
    for round in 0..2000u64 {
        for _ in 0..round % 33 {
            let text = "x".repeat((written * 7 % 900) as usize);
            let record = span(1).times(written, 1).text(32, &text).build();
            if !writer.push(0, &record).expect("push") {
                break;
            }
            written += 1;
        }
        let drained = ring.drain(|bytes| {
            let start = SpanRecord::parse(bytes).expect("a span").start();
            assert_eq!(start, MonotonicNanos(seen));
            seen += 1;
        });
        assert_eq!(drained.garbage, None);
    }
    assert_eq!(seen, written);
    assert!(written > 10_000);
}

/// A full ring keeps what it has; the newest are dropped and counted.
#[test]
fn a_full_ring_counts_what_it_drops() {
    let mut writer =
        Writer::create(Options { ring_size: SMALL_RING, processors: 1, ..Options::default() }).expect("create");
    let memory = open(&writer);
    let ring = &mut memory.rings()[0];
    let pushed = (0..500).filter(|_| writer.push(0, &span(1).build()).expect("push")).count() as u64;
    assert_eq!(pushed, u64::from(SMALL_RING) / 64);
    assert_eq!(ring.drain(|_| ()).records, pushed);
    assert_eq!(ring.take_dropped(), 500 - pushed);
    assert_eq!(ring.take_dropped(), 0);
}

/// A log record comes out between spans, up to the largest; one that claims more is nonsense.
#[test]
fn log_records_come_out_as_they_went_in() {
    let mut writer = Writer::create(Options { processors: 1, ..Options::default() }).expect("create");
    let memory = open(&writer);
    let log = LogBuilder::new(7, 9, 5000)
        .span([1; 16], [2; 8], 0)
        .time(1_700_000_000_000_000_000)
        .flags(RECORD_FLAG_CUT)
        .item("", log_item::SEVERITY_TEXT, b"INFO")
        .body("one ")
        .body("two")
        .text("group.name", "x")
        .int("n", -3)
        .item("f", log_item::FLOAT, &1.5f64.to_bits().to_le_bytes())
        .item("b", log_item::BOOL, &[1])
        .item("list", log_item::JSON, b"[1]")
        .item("of", 15, b"a newer program")
        .item("", log_item::LINE, &42u32.to_le_bytes())
        .build();
    let long = (0..4).fold(LogBuilder::new(7, 9, 1), |log, _| log.body(&"x".repeat(4000))).build();
    assert!(long.len() <= LOG_SIZE);
    for record in [&span(1).build(), &log, &long, &span(2).build()] {
        assert!(writer.push(0, record).expect("push"));
    }
    let ring = &mut memory.rings()[0];
    let mut records = Vec::new();
    assert_eq!(ring.drain(|record| records.push(record.to_vec())).records, 4);
    assert!(!LogRecord::is_one(&records[0]) && LogRecord::is_one(&records[1]));
    let record = LogRecord::parse(&records[1]).expect("a log record");
    assert_eq!((record.span(), record.trace_flags(), record.severity()), (Some(([1; 16], [2; 8])), 0, 9));
    assert_eq!((record.time_unix_nano(), record.observed()), (1_700_000_000_000_000_000, MonotonicNanos(5000)));
    assert!(record.has(RECORD_FLAG_CUT) && record.descriptor() == 7);
    let items: Vec<_> = record.items().collect();
    assert_eq!(
        items,
        [
            LogItem::SeverityText(b"INFO"),
            LogItem::Body(b"one "),
            LogItem::Body(b"two"),
            LogItem::Attribute(b"group.name", Value::String(b"x")),
            LogItem::Attribute(b"n", Value::Int(-3)),
            LogItem::Attribute(b"f", Value::Float(1.5)),
            LogItem::Attribute(b"b", Value::Bool(true)),
            LogItem::Json(b"list", b"[1]"),
            LogItem::Line(42),
        ]
    );
    let mut huge = long.clone();
    huge.resize(LOG_SIZE + 8, 0);
    huge[..4].copy_from_slice(&(LOG_SIZE as u32 + 8).to_le_bytes());
    assert!(LogRecord::parse(&huge).is_err() && LogRecord::parse(&records[0]).is_err());
    writer.push(0, &huge).expect("push");
    assert_eq!(ring.drain(|_| ()).garbage, Some(Garbage::Size));
    assert_eq!(ring.take_dropped_logs(), 0);
}

/// Nonsense in a ring empties that ring, says why, and what is written afterwards is read again.
#[test]
fn garbage_costs_only_what_was_in_the_ring() {
    let mut writer = Writer::create(Options { processors: 2, ..Options::default() }).expect("create");
    let memory = open(&writer);
    let mut rings = memory.rings();
    type Vandal = fn(&mut Writer);
    let cases: [(Garbage, Vandal); 6] = [
        (Garbage::Position, |writer| writer.set_head(0, writer.head(0) + (1 << 20)).expect("head")),
        (Garbage::Position, |writer| writer.set_head(0, 8).expect("head")),
        (Garbage::Position, |writer| writer.set_head(0, writer.head(0) + 77).expect("head")),
        (Garbage::Size, |writer| {
            writer.scribble(0, writer.head(0), &[0xff; 64]).expect("write");
            writer.set_head(0, writer.head(0) + 64).expect("head");
        }),
        (Garbage::Size, |writer| {
            writer.scribble(0, writer.head(0), &[0; 64]).expect("write");
            writer.set_head(0, writer.head(0) + 64).expect("head");
        }),
        (Garbage::Kind, |writer| {
            let mut record = span(1).build();
            record[4] = 77;
            writer.push(0, &record).expect("push");
        }),
    ];
    for (expected, vandalise) in cases {
        writer.push(0, &span(1).build()).expect("push");
        rings[0].drain(|_| ());
        vandalise(&mut writer);
        writer.push(1, &span(2).build()).expect("push");
        assert_eq!(rings[0].drain(|_| ()).garbage, Some(expected));
        assert_eq!(rings[1].drain(|_| ()).records, 1, "the other ring is not touched");
        writer.set_head(0, 1 << 14).expect("head");
        rings[0].drain(|_| ());
    }
    writer.push(0, &span(1).build()).expect("push");
    assert_eq!(rings[0].drain(|_| ()).records, 1, "it is read again");
}

/// Unfinished spans are found in the table, finished ones are not.
#[test]
fn unfinished_spans_are_found() {
    let writer = Writer::create(Options::default()).expect("create");
    writer.begin(3, &span(3).build()).expect("begin");
    writer.begin(5, &span(5).build()).expect("begin");
    writer.begin(63, &span(63).build()).expect("begin");
    writer.finish(5).expect("finish");
    let mut found = Vec::new();
    open(&writer).in_flight(|entry| found.push(SpanRecord::parse(entry).expect("a span").span_id()[0]));
    assert_eq!(found, [3, 63]);
}

/// Who looks at a program that runs sees what is under way.
#[test]
fn spans_under_way_are_seen_from_outside() {
    let mut writer = Writer::create(Options::default()).expect("create");
    let descriptor = writer.descriptor("net/http.server", "tandem/net/http", 2, "x").expect("descriptor");
    let begun = RecordBuilder::span([3; 16], [3; 8], descriptor).times(1000, 0).text(1, "GET").int(3, 200).build();
    writer.begin(0, &begun).expect("begin");
    let functions = Functions::open(writer.descriptor_of_file()).expect("open").expect("it has functions");
    let seen = || {
        let mut seen = Vec::new();
        functions.in_flight(|entry| seen.push(SpanRecord::parse(entry).expect("a span").span_id()));
        seen
    };
    assert_eq!(seen(), [[3; 8]]);
    assert_eq!(functions.tables().descriptor(descriptor).expect("it is known").id, "net/http.server");
    writer.finish(0).expect("finish");
    assert_eq!(seen(), [[0; 8]; 0]);
}

/// Counts come once each, summed over looks, and survive a writer that counts backwards.
#[test]
fn counts_come_once() {
    let writer = Writer::create(Options::default()).expect("create");
    let memory = open(&writer);
    let mut series = memory.series();
    let labels = span(1).text(1, "GET").labels();
    for duration in [50_000, 100_000, 100_001, 20_000_000_000] {
        writer.count(1, 4, 1, 2, &labels, duration).expect("count");
    }
    let mut spans = 0;
    series.take(&memory, |delta| {
        spans += delta.buckets.iter().sum::<u64>();
        assert_eq!((delta.descriptor, delta.status, delta.labels), (1, 2, labels.as_slice()));
        assert_eq!((delta.buckets[0], delta.buckets[1], delta.buckets[19]), (2, 1, 1));
        assert_eq!(delta.sum, 20_000_250_001);
    });
    series.take(&memory, |_| panic!("nothing new"));
    writer.count(1, 4, 1, 2, &labels, 1).expect("count");
    series.take(&memory, |delta| spans += delta.buckets.iter().sum::<u64>());
    assert_eq!(spans, 5);
}

/// What the agent says arrives in the control page.
#[test]
fn the_control_page_is_written() {
    let writer = Writer::create(Options::default()).expect("create");
    let memory = open(&writer);
    let control = memory.control();
    control.beat(MonotonicNanos(77));
    control.raise_generation();
    control.set_sampling_threshold(Some(123));
    control.set_disabled(3, true);
    control.set_disabled(u32::MAX, true);
    assert_eq!(writer.control_u64("heartbeat").expect("read"), 77);
    assert_eq!(writer.control_u32("generation").expect("read"), 1);
    assert_eq!(writer.control_u64("sampling_threshold").expect("read"), 123);
    assert_eq!(writer.control_u32("flags").expect("read"), 1);
    assert_eq!(writer.control_u64("disabled").expect("read"), 8);
    let of_one = Rule { operation: Some(5), counted: 128, ..Rule::default() };
    let of_all = Rule { threshold: 0x8000, ..Rule::default() };
    control.set_rules(&[of_one, of_all]);
    assert_eq!(writer.control_u32("flags").expect("read"), 5);
    assert_eq!(writer.control_u64("rules").expect("read"), 0x8001_0000_0000_0005);
    control.set_rules(&[of_all]);
    assert_eq!(writer.control_u64("rules").expect("read"), 0x0001_8000_0000_0000);
    control.set_rules(&[]);
    assert_eq!(writer.control_u64("rules").expect("read"), 0);
    control.set_disabled(3, false);
    control.set_sampling_threshold(None);
    assert_eq!(writer.control_u64("disabled").expect("read"), 0);
    assert_eq!(writer.control_u32("flags").expect("read"), 0);
}

/// How much is recorded of routes arrives in their table, as far as there is room; what is too long is about more.
#[test]
fn the_table_of_routes_is_written() {
    let writer = Writer::create(Options::default()).expect("create");
    let control = open(&writer).control();
    assert_eq!(control.route_count(), ROUTE_COUNT);
    let of = |pattern: &str| Route { pattern: pattern.to_owned(), threshold: 0x8000, all: false };
    let mut routes = vec![of("/cart/*"), Route { all: true, threshold: 0, ..of(&"/long".repeat(ROUTE_LIMIT)) }];
    routes.resize(ROUTE_COUNT + 1, of("/"));
    control.set_routes(&routes);
    assert_eq!(writer.control_u32("flags").expect("read"), 8);
    let words = |index| writer.route(index).expect("read");
    assert_eq!(words(0), (0x0001_8000_0000_0000, "/cart/*".to_owned()));
    let (word, pattern) = words(1);
    assert_eq!((word, pattern.len()), (0x0003_0000_0000_0000, ROUTE_LIMIT));
    assert!(pattern.starts_with("/long/long") && pattern.ends_with('*'));
    assert_eq!(words(ROUTE_COUNT - 1).1, "/");
    control.set_routes(&[of("/only")]);
    assert_eq!((words(0).1, words(1).0), ("/only".to_owned(), 0));
    control.set_routes(&[]);
    assert_eq!((words(0).0, writer.control_u32("flags").expect("read")), (0, 0));
}

/// Operations are switched by name, and calls of them are named that are not sampled, as often as one likes.
#[test]
fn operations_are_switched() {
    let mut writer = Writer::create(Options::default()).expect("create");
    for id in ["net/http.server", "net/http.client", "net/httpx.server", "process"] {
        writer.descriptor(id, "tandem/x", 2, "x").expect("register");
    }
    let functions = Functions::open(writer.descriptor_of_file()).expect("open").expect("it has functions");
    let all = functions.operations();
    let ids: Vec<&str> = all.iter().map(|operation| operation.id.as_str()).collect();
    assert_eq!(ids, ["net/http.server", "net/http.client", "net/httpx.server"]);
    let named = |name: &str| all.iter().filter(|operation| operation.is_named(name)).count();
    assert_eq!([named("net/http"), named("net/http.server"), named("net"), named("net/http.s")], [2, 1, 0, 0]);

    let mut switchboard = functions.switch().expect("nobody else");
    switchboard.set_operation(&all[1], false);
    switchboard.add_quiet(&all[0], "/healthz*").expect("room");
    switchboard.add_quiet(&all[0], "/healthz*").expect("it is there");
    switchboard.add_quiet(&all[0], "/metrics").expect("room");
    assert_eq!(switchboard.add_quiet(&all[0], ""), Err(QuietError::Long));
    assert_eq!(switchboard.add_quiet(&all[0], &"x".repeat(PATTERN_LIMIT + 1)), Err(QuietError::Long));
    let now = functions.operations();
    assert_eq!((now[0].on, now[1].on), (true, false));
    assert_eq!(now[0].quiet, ["/healthz*", "/metrics"]);
    assert_eq!(writer.control_u32("quiet_count").expect("read"), 2);

    assert!(switchboard.remove_quiet(&all[0], "/healthz*"));
    assert!(!switchboard.remove_quiet(&all[0], "/healthz*") && !switchboard.remove_quiet(&all[1], "/metrics"));
    switchboard.set_operation(&all[1], true);
    let now = functions.operations();
    assert_eq!((now[1].on, now[0].quiet.len()), (true, 1));
    for index in 0..15 {
        switchboard.add_quiet(&all[2], &index.to_string()).expect("room for sixteen");
    }
    assert_eq!(switchboard.add_quiet(&all[2], "x"), Err(QuietError::Full));
}

/// A program cannot pull the file from under its reader: it is sealed, or it is not read.
#[test]
fn a_file_cannot_shrink_once_it_is_read() {
    let writer = Writer::create(Options::default()).expect("create");
    let memory = open(&writer);
    let file = File::from(writer.descriptor_of_file().try_clone_to_owned().expect("clone"));
    assert!(file.set_len(0).is_err());
    assert_eq!(memory.rings()[0].drain(|_| ()).records, 0);

    let unsealable = Writer::create(Options { sealable: false, ..Options::default() }).expect("create");
    assert!(matches!(Memory::open(unsealable.descriptor_of_file()), Err(OpenError::Unsealed)));
}

/// A program that is starting: its file is there, but has no size yet, then no header. Whoever looks at it must not keep it
/// from getting them.
#[test]
fn a_file_that_is_not_complete_is_left_alone() {
    let writer = Writer::create(Options::default()).expect("create");
    let size =
        File::from(writer.descriptor_of_file().try_clone_to_owned().expect("clone")).metadata().expect("size").len();
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("tandem", flags).expect("create"));
    assert!(matches!(Memory::open(file.as_fd()), Err(OpenError::Size(0))));
    file.set_len(size).expect("it can still grow");
    assert!(matches!(Memory::open(file.as_fd()), Err(OpenError::Header(HeaderError::Magic))));
    assert!(Functions::open(file.as_fd()).is_err());
    file.set_len(size + 1).expect("it is still not sealed");
}

/// A truncated file, a file that is no memory file, no file at all: refused with the reason.
#[test]
fn wrong_files_are_refused() {
    let writer = Writer::create(Options::default()).expect("create");
    let file = File::from(writer.descriptor_of_file().try_clone_to_owned().expect("clone"));
    let size = file.metadata().expect("size").len();
    file.set_len(size - 8192).expect("truncate");
    assert!(matches!(Memory::open(file.as_fd()), Err(OpenError::Header(HeaderError::Size { .. }))));

    let empty = Writer::create(Options::default()).expect("create");
    let file = File::from(empty.descriptor_of_file().try_clone_to_owned().expect("clone"));
    file.set_len(100).expect("truncate");
    assert!(matches!(Memory::open(file.as_fd()), Err(OpenError::Size(100))));

    let null = File::options().read(true).write(true).open("/dev/null").expect("open");
    assert!(Memory::open(null.as_fd()).is_err());
    let (pipe, _other) = std::io::pipe().expect("pipe");
    assert!(Memory::open(OwnedFd::from(pipe).as_fd()).is_err());
}

/// One agent at a time; the next one takes over when the first has gone.
#[test]
fn one_reader_at_a_time() {
    let writer = Writer::create(Options::default()).expect("create");
    let first = open(&writer);
    assert!(matches!(Memory::open(writer.descriptor_of_file()), Err(OpenError::Busy)));
    drop(first);
    open(&writer);
}

fn good_page() -> ([u8; PAGE], u64) {
    let writer = Writer::create(Options::default()).expect("create");
    let file = File::from(writer.descriptor_of_file().try_clone_to_owned().expect("clone"));
    let mut page = [0; PAGE];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut page, 0).expect("read");
    (page, file.metadata().expect("size").len())
}

proptest! {
    /// The short way to attributes finds what the long one does, in whatever bytes.
    #[test]
    fn both_ways_to_an_attribute_find_the_same(
        items in prop::collection::vec((any::<u16>(), 0..16u16, 0..12u16, any::<[u8; 12]>()), 0..6),
        rest in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes = Vec::new();
        for (key, kind, size, data) in items {
            bytes.extend((if key & 1 == 0 { 0 } else { key }).to_le_bytes());
            bytes.extend((kind << 12 | size).to_le_bytes());
            bytes.extend(&data[..usize::from(size).next_multiple_of(4)]);
        }
        bytes.extend(rest);
        let mut items = Items::new(&bytes);
        let mut found = Vec::new();
        loop {
            if let Some((key, value)) = items.next_attribute() {
                found.push(Item::Attribute(key, value));
            } else if let Some(item) = items.next() {
                found.push(item);
            } else {
                break;
            }
        }
        let mut whole = Items::new(&bytes);
        // As text: a number that is none is not equal to itself.
        prop_assert_eq!(format!("{found:?}"), format!("{:?}", whole.by_ref().collect::<Vec<_>>()));
        prop_assert_eq!(items.malformed(), whole.malformed());
    }

    /// Any number in any field of the header: it is refused, or everything it says lies inside the file.
    #[test]
    fn any_header_is_refused_or_sound(field in 0..HEADER.fields.len(), number: u64) {
        let (mut page, size) = good_page();
        let field = HEADER.fields[field];
        let bytes = number.to_le_bytes();
        let width = field.ty.size().min(8);
        page[field.offset..field.offset + width].copy_from_slice(&bytes[..width]);
        let _ = Header::parse(&page, size);
        // The same bytes in a real file: every reader works without fault.
        let mut writer = Writer::create(Options::default()).expect("create");
        writer.push(0, &span(1).build()).expect("push");
        writer.vandalise(field.offset as u64, &bytes[..width]).expect("write");
        if let Ok(memory) = Memory::open(writer.descriptor_of_file()) {
            for ring in memory.rings().iter_mut().take(64) {
                ring.drain(|record| { let _ = SpanRecord::parse(record); });
            }
            memory.in_flight(|_| ());
            memory.series().take(&memory, |_| ());
            memory.resource();
            let tables = memory.tables();
            (0..100).for_each(|id| { tables.descriptor(id); });
            (0..500).for_each(|id| { tables.key(id); });
            memory.control().beat(MonotonicNanos(1));
        }
    }

    /// Any bytes: no panic, and items never reach beyond the record.
    #[test]
    fn any_bytes_are_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..2 * ENTRY_SIZE)) {
        if let Ok(span) = SpanRecord::parse(&bytes) {
            let _ = (span.status(), span.flags(), span.start(), span.end(), span.descriptor());
            prop_assert!(span.items().count() <= ENTRY_SIZE / 4);
        }
        prop_assert!(Items::new(&bytes).count() <= bytes.len() / 4);
    }

    /// Any bytes as a log record, and any items after a good head.
    #[test]
    fn any_log_is_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        if let Ok(log) = LogRecord::parse(&bytes) {
            prop_assert!(log.items().count() <= bytes.len() / 4);
        }
        let mut record = LogBuilder::new(1, 9, 1).build();
        record.extend(&bytes);
        record.resize(record.len().next_multiple_of(8), 0);
        let size = record.len() as u32;
        record[..4].copy_from_slice(&size.to_le_bytes());
        let log = LogRecord::parse(&record).expect("the head is good");
        prop_assert!(log.items().count() <= (record.len() - LOG.size) / 4);
    }

    /// Any bytes after a good head.
    #[test]
    fn any_items_are_parsed(items in proptest::collection::vec(any::<u8>(), 0..ENTRY_SIZE - 64)) {
        let mut record = span(1).build();
        record.extend(&items);
        record.resize(record.len().next_multiple_of(8), 0);
        let size = record.len() as u32;
        record[..4].copy_from_slice(&size.to_le_bytes());
        SpanRecord::parse(&record).expect("the head is good").items().for_each(drop);
    }

    /// Any content of a ring and any head: the drain ends, and the ring is usable afterwards.
    #[test]
    fn any_ring_is_drained(content in proptest::collection::vec(any::<u8>(), 0..SMALL_RING as usize), head: u64) {
        let mut writer = Writer::create(Options { ring_size: SMALL_RING, processors: 1, ..Options::default() }).expect("create");
        let memory = open(&writer);
        let ring = &mut memory.rings()[0];
        writer.scribble(0, 0, &content).expect("write");
        writer.set_head(0, head % 20_000).expect("head");
        ring.drain(|record| { let _ = SpanRecord::parse(record); });
        writer.set_head(0, head).expect("head");
        ring.drain(|record| { let _ = SpanRecord::parse(record); });
        prop_assert_eq!(ring.drain(|_| ()).level, 0);
    }
}

const CART: &str = "example.com/shop/cart cart\n(*Cart).Add item count\nNew\n";
const LIMITED: Setting = Setting { limit: 10, arguments: true };

fn functions(writer: &Writer) -> Functions {
    Functions::open(writer.descriptor_of_file()).expect("a good file opens").expect("it has functions")
}

/// Functions come out with their names, can be switched while an agent reads the rings, and are operations.
#[test]
fn functions_are_listed_and_switched() {
    let mut writer = Writer::create(Options::default()).expect("create");
    writer.functions(CART).expect("functions");
    writer.functions("main main\nwork n\n").expect("functions");
    let memory = open(&writer);
    let functions = functions(&writer);
    let titles: Vec<String> = functions.all().iter().map(record::Function::title).collect();
    assert_eq!(titles, ["cart.(*Cart).Add", "cart.New", "main.work"]);
    assert_eq!(functions.all()[0].arguments, ["item", "count"]);
    assert_eq!(functions.resource(), "OTEL_SERVICE_NAME=test");
    assert_eq!((functions.active(), memory.active_functions()), (vec![], vec![]));
    let operation = memory.tables().descriptor(FIRST_FUNCTION).expect("an operation");
    assert_eq!((operation.name.as_str(), operation.scope.as_str()), ("cart.(*Cart).Add", "example.com/shop/cart"));
    assert_eq!(memory.tables().descriptor(FIRST_FUNCTION + 3), None);

    let [add, new, work] = [0, 1, 2].map(FunctionNumber);
    let mut switchboard = functions.switch().expect("nobody else");
    switchboard.on(add, LIMITED).expect("room");
    switchboard.on(work, Setting { limit: 0, arguments: false }).expect("room");
    assert_eq!([0, 1, 2].map(|number| writer.switch(number).expect("inside")), [1, 0, 2]);
    writer.called(0, 1, 30, 20).expect("inside");
    writer.called(1, 1, 5, 0).expect("inside");
    let active = memory.active_functions();
    assert_eq!(active, functions.active());
    assert_eq!((active[0].number, active[0].setting, active[0].calls, active[0].limited), (add, LIMITED, 35, 20));
    // On again: other settings, the same counts.
    switchboard.on(add, Setting { limit: 7, arguments: false }).expect("room");
    assert_eq!((writer.active_u32(1, "limit").expect("inside"), functions.active()[0].calls), (7, 35));
    // Its entry goes to another function, which begins at nothing.
    switchboard.off(add).expect("known");
    switchboard.on(new, LIMITED).expect("room");
    assert_eq!([0, 1, 2].map(|number| writer.switch(number).expect("inside")), [0, 1, 2]);
    assert_eq!((functions.active()[0].number, functions.active()[0].calls), (new, 0));
    switchboard.on(add, LIMITED).expect("room");
    assert!(matches!(switchboard.on(FunctionNumber(3), LIMITED), Err(SwitchError::Number(3))));
    assert!(matches!(switchboard.off(FunctionNumber(3)), Err(SwitchError::Number(3))));
}

/// More than there is room for is refused, and nothing is switched by it.
#[test]
fn too_many_active_functions_are_refused() {
    let mut writer = Writer::create(Options::default()).expect("create");
    writer.functions("p p\na\nb\nc\nd\n").expect("functions");
    let functions = functions(&writer);
    let mut switchboard = functions.switch().expect("nobody else");
    for number in 0..3 {
        switchboard.on(FunctionNumber(number), LIMITED).expect("room for three");
    }
    assert!(matches!(switchboard.on(FunctionNumber(3), LIMITED), Err(SwitchError::Full(3))));
    assert_eq!(writer.switch(3).expect("inside"), 0);
}

/// Attributes get other keys, and nothing else changes.
#[test]
fn arguments_are_renamed() {
    let record = |key| span(1).text(key, "abc").item(59, item::EVENT, &[0; 8]).part(3, 7).int(1, 2).build();
    let mut renamed = record(FIRST_ARGUMENT_KEY);
    rename_attributes(&mut renamed, |key| if key == FIRST_ARGUMENT_KEY { 300 } else { key });
    assert_eq!(renamed, record(300));
}

proptest! {
    /// Whatever a program writes as functions is read without a panic, and switching stays inside the file.
    #[test]
    fn hostile_functions_are_survived(
        texts in prop::collection::vec(any::<u8>(), 0..256),
        active in prop::collection::vec(any::<u8>(), 0..512),
        counts in (any::<u32>(), any::<u32>(), any::<u32>()),
    ) {
        let mut writer = Writer::create(Options::default()).expect("create");
        writer.functions(CART).expect("functions");
        writer.vandalise_functions(&texts, &active).expect("inside");
        let control = |name: &str, number: u32| writer.vandalise((PAGE + CONTROL.at(name)) as u64, &number.to_le_bytes());
        control("function_count", counts.0).expect("inside");
        control("function_text_size", counts.1).expect("inside");
        control("active_count", counts.2).expect("inside");
        let functions = functions(&writer);
        for function in functions.all() {
            prop_assert!(!function.title().chars().any(char::is_control));
        }
        functions.active();
        let mut switchboard = functions.switch().expect("nobody else");
        for number in [0, 1, 63, 64, u32::MAX] {
            let _ = switchboard.on(FunctionNumber(number), LIMITED);
            let _ = switchboard.off(FunctionNumber(number));
        }
        open(&writer).tables().descriptor(FIRST_FUNCTION + counts.2 % 100);
    }
}
