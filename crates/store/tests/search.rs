//! Searches against an oracle that knows nothing of blocks, tokens and OTLP: the same traces, whatever is asked of whatever
//! spans, in however many pieces those came.

mod fixture;

use std::collections::BTreeMap;

use deliver::Sink;
use fixture::{Details, batch_of, flush, span, unlimited};
use model::{Anatomy, Kind, Span, TraceId, Value};
use proptest::prelude::*;
use query::{Comparison, Expression, Field, Pattern, Query, Term, Test};
use store::{Reader, Store, TraceFilter};
use tempfile::TempDir;

const SERVICES: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 4] = ["GET /one", "GET /two", "SELECT", "work"];
const KEYS: [&str; 3] = ["user.id", "http.response.status_code", "odd key"];
const TEXTS: [&str; 5] = ["7", "7.0", "seven", "", "-1"];
const NUMBERS: [f64; 8] = [-4.5, 0.0, 0.25, 1.0, 7.0, 402.0, 5e6, 3e12];

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..TEXTS.len()).prop_map(|index| Value::String(TEXTS[index].to_owned())),
        (0..NUMBERS.len()).prop_map(|index| Value::Int(NUMBERS[index] as i64)),
        (0..NUMBERS.len()).prop_map(|index| Value::Float(NUMBERS[index])),
        any::<bool>().prop_map(Value::Bool),
    ]
}

prop_compose! {
    fn any_span()(
        trace in 1..12u8,
        service in 0..SERVICES.len(),
        name in 0..NAMES.len(),
        duration in prop_oneof![Just(0u64), 1..2000u64, Just(5_000_000u64)],
        attributes in prop::collection::btree_map((0..KEYS.len()).prop_map(|index| KEYS[index].to_owned()), any_value(), 0..3),
        failed in prop::bool::weighted(0.2),
        run_queue in prop::option::of(0..3_000_000u64),
        kind in 1..=5i32,
    ) -> Span {
        let mut span = span(trace, 1, 0, SERVICES[service], NAMES[name], u64::from(trace), duration);
        span.attributes = attributes;
        span.kind = Kind::from_otlp(kind);
        let parts = run_queue.map(|nanos| BTreeMap::from([("run_queue".to_owned(), nanos)]));
        span.anatomy = parts.map(|parts_ns| Anatomy { wall_ns: span.duration_ns, parts_ns });
        if failed { span.failed("no") } else { span }
    }
}

fn any_term() -> impl Strategy<Value = Term> {
    let text = |field: Field, text: &str| Term::equals(field, text);
    let attribute = |index: usize| Field::Attribute(KEYS[index].to_owned());
    let comparison = || (0..Comparison::ALL.len()).prop_map(|index| Comparison::ALL[index]);
    let negatable = |term: Term, negated: bool| match term.test {
        Test::Text { pattern, .. } => Term { test: Test::Text { pattern, negated }, ..term },
        _ => term,
    };
    prop_oneof![
        (0..SERVICES.len(), any::<bool>())
            .prop_map(move |(index, no)| negatable(text(Field::Service, SERVICES[index]), no)),
        (0..NAMES.len(), any::<bool>()).prop_map(move |(index, no)| negatable(text(Field::Name, NAMES[index]), no)),
        (0..NAMES.len()).prop_map(move |index| text(Field::Root, NAMES[index])),
        (0..2usize, any::<bool>())
            .prop_map(move |(index, no)| negatable(text(Field::Status, ["error", "unset"][index]), no)),
        Just(Term::contains("get")),
        Just(text(Field::Kind, "server")),
        (0..KEYS.len(), 0..TEXTS.len(), any::<bool>())
            .prop_map(move |(key, value, no)| negatable(text(attribute(key), TEXTS[value]), no)),
        (0..KEYS.len()).prop_map(move |key| Term { field: attribute(key), test: Test::Exists }),
        (0..KEYS.len(), comparison(), 0..NUMBERS.len()).prop_filter_map(
            "compared as text",
            move |(key, comparison, number)| {
                let is_text = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
                (!is_text).then(|| Term::compares(attribute(key), comparison, NUMBERS[number]))
            }
        ),
        Just(Term::equals(Field::Attribute("host.name".into()), "kiosk")),
        (comparison(), 0..3_000_000u32).prop_map(|(comparison, nanos)| {
            Term::compares(Field::Anatomy("run_queue".into()), comparison, nanos.into())
        }),
        (comparison(), 0..2_000_000u32).prop_map(|(comparison, nanos)| Term::compares(
            Field::Duration,
            comparison,
            nanos.into()
        )),
        (comparison(), 0..6_000_000u32)
            .prop_map(|(comparison, nanos)| { Term::compares(Field::TraceDuration, comparison, nanos.into()) }),
        (comparison(), 0..4u32).prop_map(|(comparison, count)| Term::compares(
            Field::TraceErrors,
            comparison,
            count.into()
        )),
        (comparison(), 0..9u32).prop_map(|(comparison, count)| Term::compares(
            Field::TraceSpans,
            comparison,
            count.into()
        )),
    ]
}

fn any_query() -> impl Strategy<Value = Query> {
    let expression = any_term().prop_map(Expression::Term).prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
            inner.prop_map(|inner| Expression::Not(Box::new(inner))),
        ]
    });
    expression.prop_map(|expression| Query { expression })
}

/// A trace, as somebody sees it who has all of it before him.
struct Whole<'a> {
    spans: Vec<&'a Span>,
}

impl Whole<'_> {
    fn fits(&self, query: &Query) -> bool {
        self.spans.iter().any(|span| self.span_fits(span, &query.expression))
    }

    fn span_fits(&self, span: &Span, expression: &Expression) -> bool {
        match expression {
            Expression::And(all) => all.iter().all(|inner| self.span_fits(span, inner)),
            Expression::Or(any) => any.iter().any(|inner| self.span_fits(span, inner)),
            Expression::Not(inner) => !self.span_fits(span, inner),
            Expression::Term(term) => self.term_fits(span, term),
        }
    }

    fn term_fits(&self, span: &Span, term: &Term) -> bool {
        let text = |text: &str| match &term.test {
            Test::Text { pattern, negated } => pattern.fits(text) != *negated,
            _ => panic!("{term}"),
        };
        let number = |value: u64| match term.test {
            Test::Number { comparison, number } => comparison.holds(value as f64, number),
            _ => panic!("{term}"),
        };
        let start = self.spans.iter().map(|span| span.start_unix_nano).min().expect("spans");
        let end = self.spans.iter().map(|span| span.start_unix_nano + span.duration_ns).max().expect("spans");
        match &term.field {
            Field::Service => text(&span.service),
            Field::Name => text(&span.name),
            Field::Kind => text(span.kind.name()),
            Field::Status => text(span.status.code.name()),
            // All are roots: the first that came of those that began first.
            Field::Root => text(&self.spans[0].name),
            Field::Text => span.name.to_lowercase().contains("get"),
            Field::Duration => number(span.duration_ns),
            Field::TraceDuration => number(end - start),
            Field::TraceSpans => number(self.spans.len() as u64),
            Field::TraceErrors => {
                number(self.spans.iter().filter(|span| span.status.code.name() == "error").count() as u64)
            }
            Field::Anatomy(part) => {
                span.anatomy.as_ref().and_then(|anatomy| anatomy.parts_ns.get(part)).is_some_and(|nanos| number(*nanos))
            }
            Field::Attribute(key) => {
                let values = [span.attributes.get(key), span.resource.attributes.get(key)];
                values.into_iter().flatten().any(|value| value_fits(&term.test, value))
            }
            other => panic!("{other:?}"),
        }
    }
}

fn value_fits(test: &Test, value: &Value) -> bool {
    let as_number = match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    match test {
        Test::Exists => true,
        Test::Number { comparison, number } => as_number.is_some_and(|value| comparison.holds(value, *number)),
        Test::Text { pattern: Pattern::Exact(text), negated } => {
            let is_equal = match as_number {
                Some(number) => text.parse() == Ok(number),
                None => *text == value.to_string(),
            };
            is_equal != *negated
        }
        Test::Text { .. } => panic!("{test:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_found_is_what_fits(
        mut spans in prop::collection::vec(any_span(), 1..40),
        pieces in 1..4usize,
        queries in prop::collection::vec(any_query(), 12),
    ) {
        let folder = TempDir::new().expect("a temporary folder");
        for (index, span) in spans.iter_mut().enumerate() {
            span.span_id.0[0] = index as u8 + 1;
            span.start_unix_nano += index as u64; // no two begin together
        }
        let store = Store::open(folder.path(), unlimited()).expect("the store opens");
        for piece in spans.chunks(spans.len().div_ceil(pieces)) {
            for service in SERVICES {
                let of_service: Vec<Span> = piece.iter().filter(|span| span.service == service).cloned().collect();
                if !of_service.is_empty() {
                    store.offer(&batch_of(&of_service)).expect("the queue has room");
                }
            }
            flush(&store);
        }
        let mut traces: BTreeMap<TraceId, Whole<'_>> = BTreeMap::new();
        spans.iter().for_each(|span| traces.entry(span.trace_id).or_insert(Whole { spans: Vec::new() }).spans.push(span));
        let reader = Reader::open(folder.path()).expect("the store opens");
        for query in queries {
            let expected: Vec<TraceId> = traces.iter().filter(|(_, whole)| whole.fits(&query)).map(|(id, _)| *id).collect();
            let filter = TraceFilter { query: query.clone(), limit: 1000, ..TraceFilter::default() };
            let mut found: Vec<TraceId> =
                reader.traces(&filter).expect("the query runs").iter().map(|trace| trace.trace_id).collect();
            found.sort_unstable();
            prop_assert_eq!(found, expected, "{}", query);
        }
    }
}
