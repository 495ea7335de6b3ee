//! Why some requests are slow: what they have that the others of their route have not.
//!
//! Nothing here reads or writes: spans and samples of stacks come in, findings go out. Each request's wall time is divided
//! along its critical path among the operations of all services, and each operation's own share of it by its anatomy
//! (`path.rs`); a part of an operation's time means a cause (`cause.rs`); the causes are ranked by the share of the slow
//! requests' extra time that they make up (`compare.rs`). What the slow requests have in common besides is in `common.rs`,
//! what samples of stacks add in `stacks.rs`, where the time of a route goes as a whole in `quantiles.rs`. The pieces of a request's time always add up to its wall time.

mod cause;
mod common;
mod compare;
mod path;
mod quantiles;
mod side_by_side;
mod stacks;

pub use cause::{Cause, CauseKind};
pub use common::Common;
pub use compare::{Diagnosis, FEWEST_REQUESTS, Verdict, diagnose};
pub use model::ServiceSample as Sample;
pub use quantiles::{Piece, QUANTILES, Quantile, RouteTime, critical_path, route_times};
pub use side_by_side::{Place, Side, SideBySide, TELLING, side_by_side};

use model::Span;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Part of a request's name or route, without regard to case. `None`: all requests that come from outside.
    pub route: Option<String>,
    /// `service.name` of who serves the request, exactly.
    pub service: Option<String>,
    /// What is slow.
    pub split: Split,
}

/// Which requests are slow, and which they are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Split {
    /// The slowest twentieth, but at least eight where there are 40, against the middle half.
    #[default]
    Tail,
    /// Those that took longer than this, ns, against the others.
    LongerThan(u64),
    /// Those that began at this time, ns since 1970, or later, and took longer than 95 % of those before, against those
    /// before.
    Since(u64),
}

/// What is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Whole traces, as many of other routes as there are: they tell what else the programs did at the same time.
    pub traces: &'a [Vec<Span>],
    /// Samples of stacks, where programs were profiled.
    pub samples: &'a [Sample],
}
