//! Spans and stacks for tests.

use std::sync::Arc;

use model::{Anatomy, Frame, Kind, ProfileKind, ProfileSample, Resource, Span, SpanId, TraceId};

use crate::{Facts, Sample};

pub const MILLISECOND: u64 = 1_000_000;
/// When everything happens.
pub const START: u64 = 1_700_000_000_000_000_000;

/// An internal span of `shop`.
pub fn span(name: &str) -> Span {
    Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        parent_span_id: None,
        name: name.into(),
        kind: Kind::Internal,
        service: "shop".into(),
        start_unix_nano: START,
        duration_ns: 0,
        status: model::Status::default(),
        attributes: model::Attributes::new(),
        events: Vec::new(),
        links: Vec::new(),
        anatomy: None,
        source: model::Source::Woven,
        unfinished: false,
        trace_state: String::new(),
        flags: 0,
        scope: "example.com/shop".into(),
        resource: Arc::new(Resource::default()),
    }
}

pub fn frames(functions: &[&str]) -> Vec<Frame> {
    functions.iter().map(|&function| Frame { function: function.into(), ..Frame::default() }).collect()
}

/// Makes traces of one service.
#[derive(Default)]
pub struct Bed {
    pub facts: Facts,
    ids: u64,
}

impl Bed {
    pub fn new() -> Self {
        let facts = Facts { now_unix_nano: START + 3600 * 1_000_000_000, ..Facts::default() };
        Self { facts, ids: 0 }
    }

    fn id(&mut self) -> SpanId {
        self.ids += 1;
        SpanId(self.ids.to_be_bytes())
    }

    /// A trace with a request of `GET /report` as its root, all of it on the CPU.
    pub fn request(&mut self, duration_ns: u64) -> Span {
        let span_id = self.id();
        let mut trace = [0; 16];
        trace[8..].copy_from_slice(&span_id.0);
        let root = Span {
            trace_id: TraceId(trace),
            span_id,
            kind: Kind::Server,
            scope: "tandem/net/http".into(),
            duration_ns,
            anatomy: Some(on_cpu(duration_ns)),
            ..span("GET /report")
        };
        self.facts.traces.push(vec![root.clone()]);
        root
    }

    /// A child in the same trace, begun when its parent was.
    pub fn child(&mut self, parent: &Span, name: &str, kind: Kind, scope: &str, duration_ns: u64) -> Span {
        let child = Span {
            trace_id: parent.trace_id,
            span_id: self.id(),
            parent_span_id: Some(parent.span_id),
            kind,
            scope: scope.into(),
            duration_ns,
            anatomy: Some(on_cpu(duration_ns)),
            ..span(name)
        };
        self.add(child.clone());
        child
    }

    /// Into its trace, or a new one.
    pub fn add(&mut self, span: Span) {
        match self.facts.traces.iter_mut().find(|spans| spans[0].trace_id == span.trace_id) {
            Some(spans) => spans.push(span),
            None => self.facts.traces.push(vec![span]),
        }
    }

    /// Looks at a stack within a span, or outside of all.
    pub fn samples(&mut self, count: usize, value_ns: u64, span: Option<&Span>, functions: &[&str]) {
        let stack = Arc::new(frames(functions));
        for _ in 0..count {
            self.facts.samples.push(Sample {
                service: "shop".into(),
                sample: ProfileSample {
                    kind: ProfileKind::Cpu,
                    time_unix_nano: START,
                    value_ns,
                    trace_id: span.map(|span| span.trace_id),
                    span_id: span.map(|span| span.span_id),
                    thread_id: 1,
                    stack: Arc::clone(&stack),
                },
            });
        }
    }
}

pub fn on_cpu(duration_ns: u64) -> Anatomy {
    Anatomy { wall_ns: duration_ns, parts_ns: [("on_cpu".to_owned(), duration_ns)].into() }
}
