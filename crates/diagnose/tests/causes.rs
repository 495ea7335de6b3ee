//! What `diagnose` makes of requests whose cause of slowness is known, since they are made up.

use std::collections::BTreeMap;
use std::sync::Arc;

use diagnose::{CauseKind, Diagnosis, Facts, Question, Sample, Split, Verdict, critical_path, diagnose, route_times};
use model::{
    Anatomy, Frame, Kind, ProfileKind, ProfileSample, Resource, Source, Span, SpanId, Status, StatusCode, TraceId,
    Value,
};
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// A program of this name.
fn resource(service: &str, version: &str) -> Arc<Resource> {
    let text = |text: &str| Value::String(text.to_owned());
    let attributes = [("service.name", text(service)), ("service.version", text(version))];
    Arc::new(Resource { attributes: attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect() })
}

/// Traces that are made up.
struct Traces {
    shop: Arc<Resource>,
    stock: Arc<Resource>,
    all: Vec<Vec<Span>>,
}

impl Traces {
    fn new() -> Self {
        Self { shop: resource("shop", "1"), stock: resource("stock", "1"), all: Vec::new() }
    }

    /// Begins another request, of `shop`.
    fn request(&mut self, duration: u64, parts: &[(&str, u64)]) {
        let number = self.all.len() as u64;
        let mut span = span(&self.shop, "GET /cart", Kind::Server, number * 1000 * MS, duration, parts);
        span.trace_id = TraceId(u128::from(number + 1).to_be_bytes());
        self.all.push(vec![span]);
    }

    /// Adds a span to the last request, below the one of this index, so long after its beginning. Returns its index.
    fn add(&mut self, above: usize, after: u64, mut child: Span) -> usize {
        let trace = self.all.last_mut().expect("a request");
        let index = trace.len();
        child.trace_id = trace[0].trace_id;
        child.span_id = SpanId((index as u64 + 1).to_be_bytes());
        child.parent_span_id = Some(trace[above].span_id);
        child.start_unix_nano = trace[above].start_unix_nano + after;
        trace.push(child);
        index
    }

    fn diagnose(&self, split: Split) -> Diagnosis {
        self.diagnose_with(split, &[])
    }

    fn diagnose_with(&self, split: Split, samples: &[Sample]) -> Diagnosis {
        let question = Question { split, ..Question::default() };
        let mut found = diagnose(Facts { traces: &self.all, samples }, &question);
        assert_eq!(found.len(), 1, "{found:#?}");
        found.remove(0)
    }
}

fn span(resource: &Arc<Resource>, name: &str, kind: Kind, start: u64, duration: u64, parts: &[(&str, u64)]) -> Span {
    let parts_ns: BTreeMap<_, _> = parts.iter().map(|(part, time)| ((*part).to_owned(), *time)).collect();
    Span {
        trace_id: TraceId::default(),
        span_id: SpanId(1u64.to_be_bytes()),
        parent_span_id: None,
        name: name.to_owned(),
        kind,
        service: resource.service().to_owned(),
        start_unix_nano: start,
        duration_ns: duration,
        status: Status::default(),
        attributes: Default::default(),
        events: Vec::new(),
        links: Vec::new(),
        anatomy: Some(Anatomy { wall_ns: duration, parts_ns }),
        source: Source::Woven,
        unfinished: false,
        trace_state: String::new(),
        flags: 0,
        scope: String::new(),
        resource: Arc::clone(resource),
    }
}

fn query(resource: &Arc<Resource>, duration: u64, part: &str) -> Span {
    let mut span = span(resource, "SELECT items", Kind::Client, 0, duration, &[("on_cpu", 0), (part, duration)]);
    span.attributes.insert("db.system.name".to_owned(), Value::String("postgresql".to_owned()));
    span.scope = "tandem/database/sql".to_owned();
    span
}

/// Every tenth of 200 requests is slow.
fn is_slow(number: u64) -> bool {
    number.is_multiple_of(10)
}

fn first(diagnosis: &Diagnosis) -> (CauseKind, &str, &str) {
    let cause = diagnosis.causes.first().unwrap_or_else(|| panic!("no cause: {diagnosis:#?}"));
    (cause.kind, &cause.service, &cause.operation)
}

/// A request whose extra time is in one part of its own anatomy.
fn own_part(part: &str) -> Diagnosis {
    let mut traces = Traces::new();
    for number in 0..200 {
        let extra = if is_slow(number) { 100 * MS } else { number % 7 * MS / 10 };
        traces.request(5 * MS + extra, &[("on_cpu", 5 * MS), (part, extra)]);
    }
    traces.diagnose(Split::Tail)
}

#[test]
fn parts_of_the_anatomy_mean_causes() {
    for (part, kind) in [
        ("go_sync", CauseKind::LockContention),
        ("throttled", CauseKind::CpuThrottling),
        ("run_queue", CauseKind::CpuContention),
        ("go_runnable", CauseKind::GoScheduler),
        ("go_gc", CauseKind::GarbageCollection),
        ("go_stopped", CauseKind::GarbageCollection),
        ("block_io", CauseKind::FileSync),
        ("blocked_file", CauseKind::FileSync),
        ("major_fault", CauseKind::MemoryPressure),
        ("go_channel", CauseKind::OtherGoroutines),
        ("go_sleep", CauseKind::Sleeping),
    ] {
        let diagnosis = own_part(part);
        assert_eq!(diagnosis.verdict, Verdict::Explained);
        assert_eq!(first(&diagnosis), (kind, "shop", "GET /cart"), "{part}");
        let cause = &diagnosis.causes[0];
        assert!(cause.share > 0.98 && cause.slow_ns == 100 * MS && cause.traces.len() == 3, "{part}: {cause:#?}");
        assert!(cause.evidence[0].contains(part), "{part}: {cause:#?}");
    }
}

/// Scenario: a query takes longer; in another case it waits in a `select`, which is how database/sql waits for a connection.
#[test]
fn a_database_is_told_from_its_pool() {
    for (part, kind) in [("go_network", CauseKind::SlowQuery), ("go_select", CauseKind::PoolExhaustion)] {
        let mut traces = Traces::new();
        for number in 0..200 {
            let duration = if is_slow(number) { 100 * MS } else { 2 * MS };
            traces.request(duration + 3 * MS, &[("on_cpu", 3 * MS), (part, duration)]);
            let query = query(&traces.shop.clone(), duration, part);
            traces.add(0, MS, query);
        }
        let diagnosis = traces.diagnose(Split::Tail);
        assert_eq!(first(&diagnosis), (kind, "shop", "SELECT items"));
        assert!(diagnosis.causes[0].share > 0.98, "{diagnosis:#?}");
    }
}

/// A request that calls another service, which takes `server` of the `client` time.
fn call(traces: &mut Traces, client: u64, server: u64, server_parts: &[(&str, u64)], retransmits: i64) {
    traces.request(client + 2 * MS, &[("on_cpu", 2 * MS), ("go_select", client)]);
    let mut call = span(&traces.shop, "GET", Kind::Client, 0, client, &[("on_cpu", 0), ("go_select", client)]);
    if retransmits > 0 {
        call.attributes.insert("tandem.tcp.retransmits".to_owned(), Value::Int(retransmits));
        let root = &mut traces.all.last_mut().expect("a request")[0];
        root.attributes.insert("tandem.tcp.retransmits".to_owned(), Value::Int(retransmits));
    }
    let call = traces.add(0, MS, call);
    let served = span(&traces.stock, "GET /items", Kind::Server, 0, server, server_parts);
    traces.add(call, (client - server) / 2, served);
}

#[test]
fn time_between_services_is_the_networks() {
    for (retransmits, kind) in [(1, CauseKind::PacketsLost), (0, CauseKind::Network)] {
        let mut traces = Traces::new();
        for number in 0..200 {
            let (client, sent_again) = if is_slow(number) { (205 * MS, retransmits) } else { (5 * MS, 0) };
            call(&mut traces, client, 4 * MS, &[("on_cpu", 4 * MS)], sent_again);
        }
        assert_eq!(first(&traces.diagnose(Split::Tail)), (kind, "shop", "GET"));
    }
}

/// Scenario: the server is throttled, so that it also begins late, and others of its requests wait for its lock.
#[test]
fn who_waits_for_a_throttled_program_waits_for_its_cpu_time() {
    let mut traces = Traces::new();
    for number in 0..200 {
        match number % 20 {
            0 => call(&mut traces, 200 * MS, 100 * MS, &[("on_cpu", 2 * MS), ("throttled", 98 * MS)], 0),
            10 => call(&mut traces, 110 * MS, 100 * MS, &[("on_cpu", 2 * MS), ("go_sync", 98 * MS)], 0),
            _ => call(&mut traces, 5 * MS, 4 * MS, &[("on_cpu", 4 * MS)], 0),
        }
        if number % 20 == 10 {
            // Another request is under way there.
            let start = traces.all.last().expect("a request")[0].start_unix_nano;
            let mut other = span(
                &traces.stock,
                "GET /other",
                Kind::Client,
                start,
                110 * MS,
                &[("on_cpu", MS), ("throttled", 109 * MS)],
            );
            other.trace_id = TraceId([0xff; 16]);
            traces.all.push(vec![other]);
            traces.all.swap_remove(0);
        }
    }
    let question = Question { route: Some("/cart".to_owned()), ..Question::default() };
    let found = diagnose(Facts { traces: &traces.all, samples: &[] }, &question);
    let (kind, service, _) = first(&found[0]);
    assert_eq!((kind, service), (CauseKind::CpuThrottling, "stock"), "{found:#?}");
    assert!(found[0].causes[0].share > 0.8, "{found:#?}");
}

/// Scenario: slow requests ask the database thirty times instead of twice, no query takes longer.
#[test]
fn more_calls_are_no_slow_query() {
    let mut traces = Traces::new();
    for number in 0..200 {
        let calls = if is_slow(number) { 30 } else { 2 };
        traces.request(calls * 3 * MS + MS, &[("on_cpu", MS), ("go_network", calls * 3 * MS)]);
        for call in 0..calls {
            let query = query(&traces.shop.clone(), 3 * MS, "go_network");
            traces.add(0, call * 3 * MS, query);
        }
    }
    let diagnosis = traces.diagnose(Split::Tail);
    assert_eq!(first(&diagnosis), (CauseKind::MoreCalls, "shop", "SELECT items"));
    let cause = &diagnosis.causes[0];
    assert_eq!((cause.slow_calls, cause.normal_calls), (30.0, 2.0));
}

/// Scenario: a call to another service fails twice before it succeeds.
#[test]
fn failed_calls_that_are_made_again_are_told() {
    let mut traces = Traces::new();
    for number in 0..200 {
        let calls = if is_slow(number) { 3 } else { 1 };
        traces.request(calls * 10 * MS, &[("on_cpu", 0), ("go_network", calls * 10 * MS)]);
        for call in 0..calls {
            let mut asked =
                span(&traces.shop, "POST", Kind::Client, 0, 10 * MS, &[("on_cpu", 0), ("go_network", 10 * MS)]);
            if call + 1 < calls {
                asked.status.code = StatusCode::Error;
                asked.attributes.insert("error.type".to_owned(), Value::String("503".to_owned()));
            }
            traces.add(0, call * 10 * MS, asked);
        }
    }
    let diagnosis = traces.diagnose(Split::Tail);
    assert_eq!(first(&diagnosis), (CauseKind::Retries, "shop", "POST"));
    assert!(diagnosis.causes[0].evidence.iter().any(|evidence| evidence.contains("mostly 503")), "{diagnosis:#?}");
}

/// Scenario: slow requests compute, for a collector's sake or for their own: stacks tell.
#[test]
fn stacks_tell_collecting_from_computing() {
    for (function, kind) in
        [("runtime.gcAssistAlloc", CauseKind::GarbageCollection), ("shop.price", CauseKind::Computation)]
    {
        let mut traces = Traces::new();
        let mut samples = Vec::new();
        for number in 0..200 {
            let duration = if is_slow(number) { 100 * MS } else { 5 * MS };
            traces.request(duration, &[("on_cpu", duration)]);
            let span = &traces.all.last().expect("a request")[0];
            let frame = |function: &str| Frame { function: function.to_owned(), ..Frame::default() };
            let sample = ProfileSample {
                kind: ProfileKind::Cpu,
                time_unix_nano: span.start_unix_nano + MS,
                value_ns: 20 * MS,
                trace_id: Some(span.trace_id),
                span_id: Some(span.span_id),
                thread_id: 1,
                stack: Arc::new(vec![frame(function), frame("shop.serve")]),
            };
            samples.push(Sample { service: "shop".into(), sample });
        }
        let diagnosis = traces.diagnose_with(Split::Tail, &samples);
        assert_eq!(first(&diagnosis).0, kind, "{diagnosis:#?}");
        assert!(
            diagnosis.causes[0].evidence.iter().any(|evidence| evidence.contains("ran in shop.")),
            "{diagnosis:#?}"
        );
    }
}

/// Scenario: a new version is slower. Guarantees: compared with the time before, its version is named.
#[test]
fn a_slower_version_is_named() {
    let mut traces = Traces::new();
    for number in 0..200 {
        let late = number >= 100;
        traces.shop = resource("shop", if late { "2" } else { "1" });
        let duration = if late { 20 * MS } else { 5 * MS } + number % 7 * MS / 10;
        traces.request(duration, &[("on_cpu", duration)]);
    }
    let moment = traces.all[100][0].start_unix_nano;
    let diagnosis = traces.diagnose(Split::Since(moment));
    assert_eq!(first(&diagnosis).0, CauseKind::Computation);
    let common = &diagnosis.common[0];
    assert_eq!((common.key.as_str(), common.value.as_str()), ("service.version (shop)", "2"), "{diagnosis:#?}");
    traces.all.truncate(100);
    let same = traces.diagnose(Split::Since(traces.all[50][0].start_unix_nano));
    assert_eq!(same.verdict, Verdict::Even, "{same:#?}");
}

#[test]
fn requests_that_are_alike_or_too_few_are_not_explained() {
    let mut traces = Traces::new();
    for number in 0..100 {
        traces.request(5 * MS + number % 10 * MS / 100, &[("on_cpu", 5 * MS)]);
    }
    assert_eq!(traces.diagnose(Split::Tail).verdict, Verdict::Even);
    traces.all.truncate(10);
    assert_eq!(traces.diagnose(Split::Tail).verdict, Verdict::TooFew);
}

/// One request that took minutes does not speak for all.
#[test]
fn an_outlier_does_not_decide() {
    let mut traces = Traces::new();
    for number in 0..200 {
        let (part, extra) = match number {
            7 => ("go_sleep", 600_000 * MS),
            _ if is_slow(number) => ("go_sync", 50 * MS),
            _ => ("go_sync", 0),
        };
        traces.request(5 * MS + extra, &[("on_cpu", 5 * MS), (part, extra)]);
    }
    assert_eq!(first(&traces.diagnose(Split::Tail)).0, CauseKind::LockContention);
}

/// A quantile is told by the requests around it; its pieces add up to what they took, and say in which operation of which
/// service it was.
#[test]
fn quantiles_are_divided_among_operations() {
    let mut traces = Traces::new();
    for number in 0..200 {
        let waits = if is_slow(number) { 90 * MS } else { 10 * MS };
        traces.request(waits + 5 * MS, &[("on_cpu", 5 * MS), ("go_network", waits)]);
        let asked = query(&traces.stock, waits, "go_network");
        traces.add(0, MS, asked);
    }
    let routes = route_times(Facts { traces: &traces.all, samples: &[] }, &Question::default());
    assert_eq!((routes.len(), routes[0].requests, routes[0].failed), (1, 200, 0));
    let [median, _, slow] = &routes[0].quantiles[..] else { panic!("three quantiles: {routes:?}") };
    for (quantile, waits) in [(median, 10 * MS), (slow, 90 * MS)] {
        assert_eq!((quantile.duration_ns, quantile.requests), (waits + 5 * MS, 10));
        assert_eq!(quantile.pieces.iter().map(|piece| piece.time_ns).sum::<u64>(), quantile.duration_ns);
        let first = &quantile.pieces[0];
        assert_eq!((first.service.as_str(), first.operation.as_str()), ("stock", "SELECT items"));
        assert_eq!((first.part.as_str(), first.time_ns, first.calls), ("go_network", waits, 1.0));
    }
}

/// Time belongs to the child that ended last; what it leaves is the parent's.
#[test]
fn the_critical_path_goes_through_who_ended_last() {
    let mut traces = Traces::new();
    traces.request(100 * MS, &[("on_cpu", 100 * MS)]);
    let long = traces.add(0, 10 * MS, query(&traces.stock, 60 * MS, "go_network"));
    let hidden = traces.add(0, 20 * MS, query(&traces.stock, 30 * MS, "go_network"));
    let trace = &traces.all[0];
    let path = critical_path(trace);
    let start = trace[0].start_unix_nano;
    assert_eq!(path[&trace[0].span_id], [(start + 70 * MS, start + 100 * MS), (start, start + 10 * MS)]);
    assert_eq!(path[&trace[long].span_id], [(start + 10 * MS, start + 70 * MS)]);
    assert!(!path.contains_key(&trace[hidden].span_id));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the spans say (parents in circles, children outside of their parents, parts that do not add up, times at the
    /// end of the world): nothing panics, shares are shares, and no more than all of the extra time is explained.
    #[test]
    fn any_spans_are_borne(
        traces in prop::collection::vec(
            prop::collection::vec((0u8..8, 0u8..8, any::<u64>(), 0u64..1 << 40, 0usize..6, any::<u64>(), 0u8..5), 1..12),
            0..40,
        ),
    ) {
        let programs = [resource("a", "1"), resource("b", "1")];
        let parts = ["go_sync", "throttled", "on_cpu", "go_select", "run_queue", "block_io"];
        let traces: Vec<Vec<Span>> = traces.into_iter().enumerate().map(|(number, spans)| {
            spans.into_iter().map(|(id, parent, start, duration, part, time, kind)| {
                let kind = Kind::from_otlp(i32::from(kind) + 1);
                let program = &programs[usize::from(id % 2)];
                let mut span = span(program, "x", kind, start % (duration + 1), duration, &[(parts[part], time), ("on_cpu", time / 2)]);
                span.trace_id = TraceId([number as u8; 16]);
                span.span_id = SpanId([id; 8]);
                span.parent_span_id = (parent != 0).then_some(SpanId([parent; 8]));
                span
            }).collect()
        }).collect();
        for split in [Split::Tail, Split::LongerThan(1 << 30), Split::Since(1 << 30)] {
            for route in [None, Some("x".to_owned())] {
                let question = Question { route, service: None, split };
                for diagnosis in diagnose(Facts { traces: &traces, samples: &[] }, &question) {
                    for cause in &diagnosis.causes {
                        prop_assert!(cause.share.is_finite() && cause.share <= 1.0, "{cause:?}");
                    }
                    prop_assert!((0.0..=1.0).contains(&diagnosis.rest));
                }
            }
        }
        for route in route_times(Facts { traces: &traces, samples: &[] }, &Question::default()) {
            for quantile in &route.quantiles {
                prop_assert!((1..=route.requests).contains(&quantile.requests), "{route:?}");
            }
        }
        for trace in &traces {
            for (id, own) in critical_path(trace) {
                prop_assert!(own.iter().all(|(from, to)| from < to) && own.windows(2).all(|two| two[1].1 <= two[0].0));
                prop_assert!(trace.iter().any(|span| span.span_id == id));
            }
        }
    }
}
