//! Two sets of traces side by side.

use std::sync::Arc;

use diagnose::side_by_side;
use model::{Kind, Resource, Source, Span, SpanId, Status, TraceId};

/// A request of one service that asks another one, so many times.
fn trace(number: u8, route: &str, asks: u8) -> Vec<Span> {
    let span = |id: u8, parent: Option<u8>, service: &str, name: &str, duration_ns| Span {
        trace_id: TraceId([number; 16]),
        span_id: SpanId([id; 8]),
        parent_span_id: parent.map(|parent| SpanId([parent; 8])),
        name: name.to_owned(),
        kind: Kind::Server,
        service: service.to_owned(),
        trace_state: String::new(),
        flags: 0,
        start_unix_nano: u64::from(id),
        duration_ns,
        status: Status::default(),
        attributes: Default::default(),
        events: Vec::new(),
        links: Vec::new(),
        anatomy: None,
        source: Source::Woven,
        unfinished: false,
        scope: String::new(),
        resource: Arc::new(Resource::default()),
    };
    let below = (0..asks).map(|index| span(index + 2, Some(1), "stock", "SELECT", 10));
    [span(1, None, "shop", route, 100)].into_iter().chain(below).collect()
}

/// Scenario: all traces of a set are of one route, and those of the other of another. Guarantees: the routes are one place, and
/// what is below them is compared.
#[test]
fn two_routes_are_compared_with_each_other() {
    let carts = [trace(1, "GET /cart", 1), trace(2, "GET /cart", 1)];
    let orders = [trace(3, "POST /order", 3)];
    let found = side_by_side(&carts, &orders);
    let [root, below] = &found.places[..] else { panic!("{:?}", found.places) };
    assert_eq!((root.name.as_str(), &root.second), ("GET /cart", &Some(("shop".into(), "POST /order".into()))));
    let calls = below.sides.each_ref().map(|side| side.as_ref().expect("both have it").calls);
    assert_eq!((calls, below.change_ns()), ([1.0, 3.0], 20.0));
    assert_eq!(found.telling(), [true, true]);
}

/// Scenario: a set has two routes. Guarantees: each is a place of its own.
#[test]
fn roots_of_several_routes_stay_apart() {
    let both = [trace(1, "GET /cart", 1), trace(2, "POST /order", 1)];
    let found = side_by_side(&both, &[trace(3, "POST /order", 1)]);
    let roots: Vec<_> = found.places.iter().filter(|place| place.depth == 0).map(|place| place.name.as_str()).collect();
    assert_eq!(roots, ["GET /cart", "POST /order"]);
    assert!(found.places.iter().all(|place| place.second.is_none()));
    assert_eq!(found.places[0].sides[1], None);
}
