//! What `tandem top` shows: the routes of the last minute or so, and what is being served just now.
//!
//! Durations, rates and where time goes are those of the traces in the store; what is in flight is read from the programs' memory.

use std::collections::BTreeMap;

use ::query::{Field, Query, Term};
use agent::programs::{self, Choice};
use diagnose::{Question, RouteTime, Split, route_times};
use model::{Kind, Span, TraceSummary};
use serde::Serialize;
use store::{Reader, StoreError, TraceFilter};

use crate::traces::{ago, now};

/// Traces and spans that are looked at, the newest.
const MOST_TRACES: usize = 5000;
const MOST_SPANS: u64 = 200_000;
/// Traces of one route that are listed, the slowest of those.
const LISTED: usize = 200;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Only requests to this service.
    pub service: Option<String>,
    /// How far back, ns.
    pub window: u64,
}

/// What there was at one moment.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    pub routes: Vec<Route>,
    /// The time that the routes tell of, ns: shorter than was asked for where there were too many traces.
    pub window: u64,
}

/// A route of a service.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    pub service: String,
    pub operation: String,
    /// Requests a second that have ended.
    pub rate: f64,
    /// Requests that are being served.
    pub in_flight: usize,
    /// For how long the first of them has been, ns.
    pub oldest_in_flight_ns: Option<u64>,
    /// Those that have ended; nothing where none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<RouteTime>,
}

/// Looks.
pub fn look(reader: &Reader, wanted: &Wanted) -> Result<Moment, StoreError> {
    let at = now();
    let of_service = wanted.service.clone().map(|service| Term::equals(Field::Service, service));
    let filter = TraceFilter {
        query: of_service.map(Query::from).unwrap_or_default(),
        since_unix_nano: Some(at.saturating_sub(wanted.window)),
        limit: MOST_TRACES,
        ..TraceFilter::default()
    };
    let traces = reader.whole_traces(&filter, MOST_SPANS)?;
    let spans: u64 = traces.iter().map(|trace| trace.summary.span_count).sum();
    let first = traces.iter().map(|trace| trace.summary.start_unix_nano).min();
    let is_cut = traces.len() >= MOST_TRACES || spans >= MOST_SPANS;
    let window = first.filter(|_| is_cut).map_or(wanted.window, |first| at.saturating_sub(first));
    let traces: Vec<Vec<Span>> = traces.into_iter().map(|trace| trace.spans).collect();
    let question = Question { route: None, service: wanted.service.clone(), split: Split::Tail };
    let times = route_times(diagnose::Facts { traces: &traces, samples: &[] }, &question);
    Ok(Moment { routes: joined(times, in_flight(wanted), window), window })
}

/// Requests of one route that are being served: how many, and for how long the first has been, ns.
type Served = (usize, u64);

/// Requests that woven programs are serving, by service and operation. Those of others cannot be read.
fn in_flight(wanted: &Wanted) -> BTreeMap<(String, String), Served> {
    let choice = wanted.service.clone().map_or(Choice::All, Choice::Service);
    let programs = programs::find(&choice).unwrap_or_default(); // none is no error here
    let mut served: BTreeMap<_, Served> = BTreeMap::new();
    let spans = programs.iter().flat_map(programs::Program::in_flight);
    for span in spans.filter(|span| matches!(span.kind, Kind::Server | Kind::Consumer)) {
        let (count, oldest) = served.entry((span.service, span.name)).or_default();
        *count += 1;
        *oldest = (*oldest).max(span.duration_ns);
    }
    served
}

fn joined(times: Vec<RouteTime>, mut served: BTreeMap<(String, String), Served>, window: u64) -> Vec<Route> {
    let seconds = (window as f64 / 1e9).max(1e-9);
    let mut routes: Vec<Route> = Vec::new();
    for time in times {
        let name = (time.service.clone(), time.operation.clone());
        let now = served.remove(&name);
        let (service, operation) = name;
        routes.push(Route {
            service,
            operation,
            rate: time.requests as f64 / seconds,
            in_flight: now.map_or(0, |(count, _)| count),
            oldest_in_flight_ns: now.map(|(_, oldest)| oldest),
            ended: Some(time),
        });
    }
    routes.extend(served.into_iter().map(|((service, operation), (count, oldest))| Route {
        service,
        operation,
        rate: 0.0,
        in_flight: count,
        oldest_in_flight_ns: Some(oldest),
        ended: None,
    }));
    routes
}

/// Traces with a request of a route, the slowest first.
pub fn traces_of(reader: &Reader, route: &Route, window: u64) -> Result<Vec<TraceSummary>, StoreError> {
    let filter = TraceFilter {
        query: Query::from(Term::equals(Field::Service, route.service.clone()))
            .and(Term::equals(Field::Name, route.operation.clone())),
        since_unix_nano: Some(ago(window)),
        limit: LISTED,
        ..TraceFilter::default()
    };
    let mut traces = reader.traces(&filter)?;
    traces.sort_by_key(|trace| std::cmp::Reverse(trace.duration_ns));
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_stands_beside_what_was() {
        let ended = RouteTime {
            service: "shop".into(),
            operation: "GET /".into(),
            requests: 30,
            failed: 1,
            first_unix_nano: 0,
            last_unix_nano: 1,
            quantiles: Vec::new(),
        };
        let name = |operation: &str| ("shop".to_owned(), operation.to_owned());
        let served = BTreeMap::from([(name("GET /"), (2, 7)), (name("POST /slow"), (1, 9))]);
        let routes = joined(vec![ended], served, 60_000_000_000);
        let told: Vec<_> = routes
            .iter()
            .map(|route| (route.operation.as_str(), route.rate, route.in_flight, route.oldest_in_flight_ns))
            .collect();
        assert_eq!(told, [("GET /", 0.5, 2, Some(7)), ("POST /slow", 0.0, 1, Some(9))]);
    }
}
