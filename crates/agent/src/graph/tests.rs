use std::time::Duration;

use super::*;

const MILLISECOND: u64 = 1_000_000;

/// A graph, and spans of a few services.
struct Bed {
    graph: Graph,
    start: Instant,
}

/// A span of a service: its kind, whether it failed, and the peer's address.
#[derive(Clone, Copy)]
struct Of(&'static str, u8, bool, &'static str);

impl Bed {
    fn new() -> Self {
        Self::with(&ServiceGraph::default(), 2000)
    }

    fn with(settings: &ServiceGraph, limit: usize) -> Self {
        let graph = Graph::new(settings, limit);
        let start = graph.started;
        Self { graph, start }
    }

    fn role(&mut self, of: Of, more: &[(&str, &str)]) -> RoleIndex {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), Value::String((*value).to_owned()));
        let address: &[_] = if of.3.is_empty() { &[] } else { &[("server.address", of.3)] };
        let is_dimension = |key: &str| !["peer.service", "tenant"].contains(&key);
        let all = address.iter().chain(more);
        let (dimensions, more): (Vec<_>, Vec<_>) = all.map(text).partition(|(key, _)| is_dimension(key));
        self.graph.role(&About {
            service: &Arc::from(of.0),
            name: "call",
            kind: of.1,
            failed: of.2,
            dimensions: &dimensions,
            more: &more,
            resource: None,
        })
    }

    fn add(&mut self, of: Of, more: &[(&str, &str)], ids: (u8, u8, u8), links: &[(u8, u8)]) {
        let role = self.role(of, more);
        let (trace, id, parent) = ids;
        let span = Exemplar {
            trace_id: [trace; 16],
            span_id: [id; 8],
            time: UnixNanos(1),
            duration_ns: u64::from(id) * MILLISECOND,
        };
        let links: Vec<_> = links.iter().map(|&(trace, span)| ([trace; 16], [span; 8])).collect();
        if !role.is_none() {
            self.graph.span(role, &Ends { span, parent: [parent; 8], is_inside: false, links: &links });
        }
    }

    fn counts(&mut self, of: Of, count: u64) {
        let role = self.role(of, &[]);
        let mut buckets = [0; BUCKET_COUNT];
        buckets[5] = count;
        self.graph.counts(role, &buckets, count * 4 * MILLISECOND);
    }

    fn pass(&mut self, seconds: u64) {
        self.start += Duration::from_secs(seconds);
        self.graph.tick(self.start);
    }

    /// Numbers of a counter, or of a histogram's spans, by client, server and what else there is.
    fn shown(&self, name: &str) -> Vec<(String, u64)> {
        let metrics = self.graph.metrics(UnixNanos(1), UnixNanos(2));
        let name = format!("traces_service_graph_{name}");
        let points = metrics.iter().filter(|metric| metric.name == name).flat_map(|metric| &metric.points);
        let mut shown: Vec<_> = points
            .map(|point| {
                let words: Vec<String> = point.attributes.iter().map(|(_, value)| value.to_string()).collect();
                let number = match &point.value {
                    InstrumentValue::Int(number) => number.cast_unsigned(),
                    InstrumentValue::Histogram { counts, .. } => counts.iter().sum(),
                    InstrumentValue::Float(_) => panic!("{point:?}"),
                };
                (words.join(" "), number)
            })
            .collect();
        shown.sort();
        shown
    }

    fn requests(&self) -> Vec<(String, u64)> {
        self.shown("request_total")
    }
}

fn one(edge: &str, count: u64) -> Vec<(String, u64)> {
    vec![(edge.to_owned(), count)]
}

const FRONT: Of = Of("front", CLIENT, false, "back.local");
const BACK: Of = Of("back", SERVER, false, "");

#[test]
fn both_halves_make_an_edge_whichever_comes_first() {
    let mut bed = Bed::new();
    bed.add(FRONT, &[], (1, 2, 0), &[]);
    bed.add(BACK, &[], (1, 3, 2), &[]);
    bed.add(BACK, &[], (2, 3, 2), &[]);
    bed.add(Of("front", CLIENT, true, "back.local"), &[], (2, 2, 0), &[]);
    bed.add(BACK, &[], (3, 3, 7), &[]); // of another trace
    let edges = [("front back  false".to_owned(), 1), ("front back  true".to_owned(), 1)];
    assert_eq!(bed.requests(), edges);
    assert_eq!(bed.shown("request_failed_total"), one("front back  true", 1));
    assert_eq!((bed.shown("request_client"), bed.shown("request_server")), (edges.to_vec(), edges.to_vec()));
    let metrics = bed.graph.metrics(UnixNanos(1), UnixNanos(2));
    let times = metrics.iter().find(|metric| metric.name.ends_with("_server")).expect("times");
    assert_eq!(times.points[0].exemplars[0].span_id, [3; 8]);
    bed.pass(11);
    assert_eq!(bed.shown("unpaired_spans_total"), one(" back", 1));
    assert_eq!(bed.requests(), edges);
}

#[test]
fn peers_without_spans_are_named_by_what_the_client_says() {
    let mut bed = Bed::new();
    bed.add(Of("back", SERVER, false, ""), &[], (1, 2, 0), &[]);
    bed.add(FRONT, &[], (1, 3, 2), &[]);
    bed.add(FRONT, &[("peer.service", "mail")], (1, 4, 2), &[]);
    bed.add(Of("front", CLIENT, false, ""), &[], (1, 5, 2), &[]);
    bed.add(
        Of("front", CLIENT, false, "db.local"),
        &[("db.namespace", "stock"), ("db.system.name", "postgresql")],
        (1, 6, 2),
        &[],
    );
    bed.add(Of("front", CLIENT, false, ""), &[("db.namespace", "0"), ("db.system.name", "redis")], (1, 7, 2), &[]);
    bed.add(Of("front", 1, false, ""), &[], (1, 8, 2), &[]);
    bed.graph.settle();
    let expected = [
        "front back.local virtual_node false",
        "front mail virtual_node false",
        "front redis database false",
        "front stock database false",
        "front unknown virtual_node false",
        "user back virtual_node false",
    ];
    assert_eq!(bed.requests(), expected.map(|edge| (edge.to_owned(), 1)));
    assert_eq!(bed.shown("unpaired_spans_total"), one("front ", 3));
}

#[test]
fn a_message_may_reach_several() {
    let kafka = |operation| [("messaging.system", "kafka"), ("messaging.operation.type", operation)];
    let consumer = |service, kind| Of(service, kind, false, "");
    let mut bed = Bed::new();
    bed.add(Of("shop", PRODUCER, false, ""), &kafka("send"), (1, 2, 0), &[]);
    bed.add(consumer("mail", CLIENT), &kafka("receive"), (3, 4, 0), &[(1, 2)]);
    bed.add(consumer("mail", CONSUMER), &kafka("process"), (1, 5, 2), &[]);
    bed.add(consumer("bill", CONSUMER), &kafka("process"), (1, 6, 2), &[]);
    bed.add(consumer("mail", CLIENT), &kafka("receive"), (4, 4, 0), &[]); // nothing came
    bed.add(consumer("mail", CLIENT), &kafka("settle"), (5, 4, 0), &[]);
    // Worked on before who sent it has an answer.
    bed.add(consumer("bill", CONSUMER), &kafka("process"), (6, 6, 2), &[]);
    bed.add(Of("shop", PRODUCER, false, ""), &kafka("send"), (6, 2, 0), &[]);
    bed.add(Of("shop", PRODUCER, false, ""), &kafka("send"), (7, 2, 0), &[]);
    bed.graph.settle();
    let expected = [
        ("shop bill messaging_system false", 2),
        ("shop mail messaging_system false", 1),
        ("shop unknown virtual_node false", 1),
    ];
    assert_eq!(bed.requests(), expected.map(|(edge, count)| (edge.to_owned(), count)));
}

#[test]
fn what_left_only_its_count_is_where_others_of_its_kind_are() {
    let mut bed = Bed::new();
    bed.counts(FRONT, 70); // before anything is known
    assert_eq!(bed.requests(), []);
    bed.add(FRONT, &[], (1, 2, 0), &[]);
    bed.add(BACK, &[], (1, 3, 2), &[]);
    bed.counts(FRONT, 30);
    bed.counts(BACK, 100);
    // Never seen, but others at that address were.
    bed.counts(Of("front", CLIENT, true, "back.local"), 5);
    bed.counts(Of("front", CLIENT, false, "else.local"), 3);
    bed.pass(1);
    let known = [("front back  false".to_owned(), 101), ("front back  true".to_owned(), 5)];
    assert_eq!(bed.requests(), known);
    assert_eq!(bed.shown("request_server"), one("front back  false", 101));
    assert_eq!(bed.shown("request_client"), known);
    bed.pass(61);
    let nobody = ("front else.local virtual_node false".to_owned(), 3);
    assert_eq!(bed.requests(), [&known[..], &[nobody]].concat());
}

#[test]
fn requests_from_outside_are_told_from_others_by_their_share() {
    let mut bed = Bed::new();
    for trace in 1..=4 {
        bed.add(BACK, &[], (trace, 2, 0), &[]);
    }
    bed.add(FRONT, &[], (5, 2, 0), &[]);
    bed.add(BACK, &[], (5, 3, 2), &[]);
    bed.counts(BACK, 1000);
    bed.counts(FRONT, 180); // which is what counts for the edge
    assert_eq!(
        bed.requests(),
        [("front back  false".to_owned(), 181), ("user back virtual_node false".to_owned(), 804)]
    );
}

#[test]
fn chosen_attributes_are_labels() {
    let settings = ServiceGraph { dimensions: vec!["tenant".to_owned()], ..ServiceGraph::default() };
    let mut bed = Bed::with(&settings, 2000);
    bed.add(FRONT, &[("tenant", "a")], (1, 2, 0), &[]);
    bed.add(BACK, &[("tenant", "b")], (1, 3, 2), &[]);
    bed.counts(FRONT, 4);
    assert_eq!(bed.requests(), one("front back  false a b", 5));
    let metrics = bed.graph.metrics(UnixNanos(1), UnixNanos(2));
    let keys: Vec<_> = metrics[0].points[0].attributes.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys[4..], ["client_tenant", "server_tenant"]);
}

#[test]
fn everything_has_a_limit() {
    let store = "service_graph: {store: {max_items: 2}}\n";
    let settings = crate::Settings::parse(store).expect("a good one").service_graph;
    let mut bed = Bed::with(&settings, 3);
    for trace in 1..=3 {
        bed.add(FRONT, &[], (trace, 2, 0), &[]);
    }
    assert_eq!(bed.shown("dropped_spans_total"), one("front ", 1));
    bed.add(BACK, &[], (1, 3, 2), &[]);
    bed.pass(1);
    assert_eq!(bed.requests(), one("front back  false", 2), "it is where the other is");
    for service in ["a", "b", "c", "d"] {
        bed.add(Of(service, SERVER, false, ""), &[], (9, 9, 0), &[]);
    }
    let expected = [("front back  false", 2), ("true", 3), ("user a virtual_node false", 1)];
    assert_eq!(bed.requests(), expected.map(|(edge, count)| (edge.to_owned(), count)));
    let off = crate::Settings::parse("service_graph: {enabled: false}\n").expect("a good one").service_graph;
    assert!(Bed::with(&off, 3).role(FRONT, &[]).is_none());
}
