//! What programs of earlier releases wrote: `images/`, made by scripts/layout-image.sh with the tandem of that time.
//!
//! Guarantees: today's reader takes each of them, and finds all that its program had done: names, spans, attributes, what
//! was under way, the resource, the functions that can be switched on.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use record::layout::{LAYOUT_VERSION, RECORD_FLAG_GO_PARTS};
use record::{Functions, Item, Memory, Route, SpanRecord, Value, image};

const IMAGES: [(&[u8], u32); 2] =
    [(include_bytes!("images/layout-1.image"), 1), (include_bytes!("images/layout-2.image"), 2)];

/// What a test looks at of a span.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    operation: String,
    attributes: BTreeMap<String, String>,
    status: u8,
    parent: bool,
    ended: bool,
}

fn seen(memory: &Memory, record: &[u8]) -> Seen {
    let span = SpanRecord::parse(record).expect("a span");
    let tables = memory.tables();
    let mut items = span.items();
    let mut attributes = BTreeMap::new();
    for item in items.by_ref() {
        let Item::Attribute(key, value) = item else { continue };
        let named = tables.key(key);
        let name = named
            .unwrap_or_else(|| record::layout::KEYS.iter().find(|known| known.id == key).expect("a key").name.into());
        let value = match value {
            Value::String(text) => String::from_utf8_lossy(text).into_owned(),
            Value::Int(number) => number.to_string(),
            _ => continue,
        };
        attributes.insert(name, value);
    }
    assert!(!items.malformed());
    assert!(span.start().0 > 0 && span.end().is_none_or(|end| end >= span.start()), "{span:?}");
    Seen {
        operation: tables.descriptor(span.descriptor()).expect("a name").id,
        attributes,
        status: span.status(),
        parent: span.parent_span_id() != [0; 8],
        ended: span.end().is_some(),
    }
}

#[test]
fn earlier_releases_are_understood() {
    for (bytes, version) in IMAGES {
        let file = image::load(bytes).expect("an image");
        let memory = Memory::open(file.as_fd()).expect("today's reader takes it");
        assert_eq!(memory.header().version, version);
        let control = memory.control();
        assert_eq!(control.route_count(), 0, "they read no table of routes");
        control.set_routes(&[Route { pattern: "/".to_owned(), ..Route::default() }]); // nor is anything written
        assert_eq!(
            memory.resource(),
            "OTEL_SERVICE_NAME=kept\nOTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=past\n"
        );
        assert!(memory.header().facts.has_accounts());

        let mut ended = Vec::new();
        for ring in &mut memory.rings() {
            let drained = ring.drain(|record| {
                assert!(SpanRecord::parse(record).expect("a span").has(RECORD_FLAG_GO_PARTS));
                ended.push(seen(&memory, record));
            });
            assert_eq!(drained.garbage, None);
        }
        let mut under_way = Vec::new();
        memory.in_flight(|record| under_way.push(seen(&memory, record)));

        let of = |spans: &[Seen], operation: &str| -> Vec<(String, u8, bool, bool)> {
            let key = if operation == "net/http.server" { "url.path" } else { "step.number" };
            let fitting = spans.iter().filter(|span| span.operation == operation);
            let mut found: Vec<_> =
                fitting.map(|span| (span.attributes[key].clone(), span.status, span.parent, span.ended)).collect();
            found.sort();
            found
        };
        let step = |number: &str, status, ended| (number.to_owned(), status, true, ended);
        let request = |path: &str, status, ended| (path.to_owned(), status, false, ended);
        assert_eq!(of(&ended, "func/main.step"), [step("1", 0, true), step("2", 0, true), step("3", 2, true)]);
        assert_eq!(of(&under_way, "func/main.step"), [step("4", 0, false)]);
        let requests = [request("/fail", 2, true), request("/step", 0, true), request("/step", 0, true)];
        assert_eq!(of(&ended, "net/http.server"), requests);
        assert_eq!(of(&under_way, "net/http.server"), [request("/hang", 0, false)]);
        assert_eq!((ended.len(), under_way.len()), (6, 2), "{ended:#?} {under_way:#?}");
        let failed = ended.iter().find(|span| span.status == 2 && span.parent).expect("step 3");
        assert_eq!(failed.attributes["error.type"], "*errors.errorString");
        let server =
            ended.iter().find(|span| span.operation == "net/http.server" && span.status == 0).expect("a request");
        assert_eq!(server.attributes["http.response.status_code"], "200");
        assert_eq!(server.attributes["http.route"], "/step");

        assert!(Functions::open(file.as_fd()).expect("the same file").is_some(), "functions can be switched on");
    }
}

/// The images are those of this version and, at a new one, of the two before it.
#[test]
fn the_images_are_of_the_versions_that_are_read() {
    let versions: Vec<u32> = IMAGES.into_iter().map(|(_, version)| version).collect();
    for version in LAYOUT_VERSION.saturating_sub(2).max(1)..=LAYOUT_VERSION {
        assert!(versions.contains(&version), "no image of version {version}: scripts/layout-image.sh");
    }
}
