//! Two sets of traces side by side: what took longer, what was called more often, what only one of them did.
//!
//! Spans that have the same place are one: the same operation below the same operations. Times and calls are means over the
//! traces of a set that have the place's root, so sets of different sizes can be compared; two single traces are sets of one.
//! Where all traces of a set have the same root, and those of the other another one, the roots are compared: two routes.

use std::collections::{BTreeMap, HashMap};

use model::{Node, Span, StatusCode, Tree};
use serde::Serialize;

/// Places that are told; those that take the least time are left out.
const MOST_PLACES: usize = 2000;

/// Two sets of traces.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideBySide {
    /// How many each has.
    pub traces: [usize; 2],
    /// Places, parents before children, in order of their start.
    pub places: Vec<Place>,
}

/// An operation below the same operations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// `service.name`.
    pub service: String,
    /// Name of the spans.
    pub name: String,
    /// Of a root that is another operation in the second set: service and name of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<(String, String)>,
    /// Operations above it.
    pub depth: usize,
    /// Its parent in the list.
    pub parent: Option<usize>,
    /// What it was in each set; nothing where none of its traces has it.
    pub sides: [Option<Side>; 2],
}

/// A place in one set.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Side {
    /// Traces that have the place's root.
    pub traces: usize,
    /// Calls a trace.
    pub calls: f64,
    /// Time of all calls of a trace together, ns.
    pub time_ns: f64,
    /// Share of the calls that failed, 0 to 1.
    pub failed: f64,
    /// Parts of their anatomy, ns a trace.
    pub parts_ns: BTreeMap<String, f64>,
    /// Of a root: the quantiles of its durations, ns, at 0.5, 0.95 and 0.99.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantiles_ns: Option<[u64; 3]>,
}

impl Place {
    /// How much more time it takes a trace in the second set, ns.
    pub fn change_ns(&self) -> f64 {
        let time = |side: &Option<Side>| side.as_ref().map_or(0.0, |side| side.time_ns);
        time(&self.sides[1]) - time(&self.sides[0])
    }
}

/// Places that change by less than this share of their root's time say nothing.
pub const TELLING: f64 = 0.01;
/// Nor do those that are called so little more often or more rarely, in a trace.
const TELLING_CALLS: f64 = 0.05;

impl SideBySide {
    /// Which places are worth a look: roots, those that have changed, and what they hang below.
    pub fn telling(&self) -> Vec<bool> {
        let mut telling: Vec<bool> = Vec::with_capacity(self.places.len());
        let mut whole = 1.0;
        for place in &self.places {
            if place.depth == 0 {
                whole = place.sides.iter().flatten().map(|side| side.time_ns).fold(1.0, f64::max);
            }
            let calls = place.sides.each_ref().map(|side| side.as_ref().map_or(0.0, |side| side.calls));
            let differs = place.change_ns().abs() >= TELLING * whole || (calls[0] - calls[1]).abs() >= TELLING_CALLS;
            telling.push(place.depth == 0 || differs);
        }
        for index in (0..self.places.len()).rev() {
            if let Some(parent) = self.places[index].parent.filter(|_| telling[index]) {
                telling[parent] = true;
            }
        }
        telling
    }
}

#[derive(Default)]
struct Sum {
    calls: u64,
    time: u64,
    failed: u64,
    parts: BTreeMap<String, u64>,
    durations: Vec<u64>,
}

struct Building<'a> {
    service: &'a str,
    name: &'a str,
    second: Option<Operation<'a>>,
    parent: Option<usize>,
    root: usize,
    children: Vec<usize>,
    sums: [Option<Sum>; 2],
}

/// Service and name.
type Operation<'a> = (&'a str, &'a str);

#[derive(Default)]
struct Places<'a> {
    all: Vec<Building<'a>>,
    known: HashMap<(Option<usize>, Operation<'a>), usize>,
    roots: Vec<usize>,
}

/// Puts two sets of traces side by side.
pub fn side_by_side(first: &[Vec<Span>], second: &[Vec<Span>]) -> SideBySide {
    let mut places = Places::default();
    first.iter().for_each(|trace| places.add(0, trace));
    places.meet_root_of(second);
    second.iter().for_each(|trace| places.add(1, trace));
    SideBySide { traces: [first.len(), second.len()], places: places.finish() }
}

/// The operation that a set of traces is about: the root of all of them.
fn only_root(traces: &[Vec<Span>]) -> Option<Operation<'_>> {
    let mut roots = traces.iter().flatten().filter(|span| span.parent_span_id.is_none()).map(operation);
    let first = roots.next()?;
    roots.all(|root| root == first).then_some(first)
}

fn operation(span: &Span) -> Operation<'_> {
    (&span.service, &span.name)
}

impl<'a> Places<'a> {
    /// Has the root of the second set take the place of the first's, where both have but one.
    fn meet_root_of(&mut self, second: &'a [Vec<Span>]) {
        let (&[root], Some(other)) = (&self.roots[..], only_root(second)) else { return };
        let own = &mut self.all[root];
        if (own.service, own.name) != other {
            own.second = Some(other);
            self.known.insert((None, other), root);
        }
    }

    fn add(&mut self, side: usize, trace: &'a [Span]) {
        let tree = Tree::new(trace);
        let mut of_rows: Vec<Option<usize>> = Vec::with_capacity(tree.rows.len());
        for row in &tree.rows {
            let above = row.parent.and_then(|parent| of_rows[parent]);
            // What hangs below a span that never came hangs below nothing.
            let Node::Span(index) = row.node else {
                of_rows.push(above);
                continue;
            };
            let span = &trace[index];
            let place = self.place(above, span);
            of_rows.push(Some(place));
            let sum = self.all[place].sums[side].get_or_insert_default();
            sum.calls += 1;
            sum.time = sum.time.saturating_add(span.duration_ns);
            sum.failed += u64::from(span.status.code == StatusCode::Error);
            for (part, time) in span.anatomy.iter().flat_map(|anatomy| &anatomy.parts_ns) {
                let part = sum.parts.entry(part.clone()).or_default();
                *part = part.saturating_add(*time);
            }
            if above.is_none() {
                sum.durations.push(span.duration_ns);
            }
        }
    }

    fn place(&mut self, parent: Option<usize>, span: &'a Span) -> usize {
        let key = (parent, operation(span));
        if let Some(&place) = self.known.get(&key) {
            return place;
        }
        let place = self.all.len();
        let root = parent.map_or(place, |parent| self.all[parent].root);
        let (_, (service, name)) = key;
        self.all.push(Building { service, name, second: None, parent, root, children: Vec::new(), sums: [None, None] });
        self.known.insert(key, place);
        match parent {
            Some(parent) => self.all[parent].children.push(place),
            None => self.roots.push(place),
        }
        place
    }

    fn finish(mut self) -> Vec<Place> {
        self.leave_out();
        let mut found: Vec<Place> = Vec::new();
        let mut open: Vec<(usize, usize, Option<usize>)> =
            self.roots.iter().rev().map(|&root| (root, 0, None)).collect();
        while let Some((place, depth, parent)) = open.pop() {
            let at = found.len();
            open.extend(self.all[place].children.iter().rev().map(|&child| (child, depth + 1, Some(at))));
            let roots = [0, 1]
                .map(|side| self.all[self.all[place].root].sums[side].as_ref().map_or(0, |sum| sum.calls as usize));
            let Building { service, name, second, sums, .. } = &mut self.all[place];
            let side = |side: usize| sums[side].as_mut().map(|sum| sum.mean(roots[side]));
            let sides = [0, 1].map(side);
            let second = second.map(|(service, name)| (service.to_owned(), name.to_owned()));
            found.push(Place {
                service: (*service).to_owned(),
                name: (*name).to_owned(),
                second,
                depth,
                parent,
                sides,
            });
        }
        found
    }

    /// Too many to be told: those go that take the least time, with all that is below them.
    fn leave_out(&mut self) {
        if self.all.len() <= MOST_PLACES {
            return;
        }
        let time = |place: &Building<'_>| place.sums.iter().flatten().map(|sum| sum.time).max().unwrap_or(0);
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        // A parent comes before its children where both take the same time.
        order.sort_by_key(|&place| (std::cmp::Reverse(time(&self.all[place])), place));
        let mut stays = vec![false; self.all.len()];
        order[..MOST_PLACES].iter().for_each(|&place| stays[place] = true);
        for index in 0..self.all.len() {
            // Parents have lower numbers than their children.
            stays[index] = stays[index] && self.all[index].parent.is_none_or(|parent| stays[parent]);
        }
        self.roots.retain(|&root| stays[root]);
        self.all.iter_mut().for_each(|place| place.children.retain(|&child| stays[child]));
    }
}

impl Sum {
    fn mean(&mut self, traces: usize) -> Side {
        let each = |value: u64| value as f64 / traces.max(1) as f64;
        self.durations.sort_unstable();
        let last = self.durations.len().saturating_sub(1);
        let quantile = |at: f64| self.durations.get(((self.durations.len() as f64 * at) as usize).min(last)).copied();
        let quantiles = [0.5, 0.95, 0.99].map(|at| quantile(at).unwrap_or(0));
        Side {
            traces,
            calls: each(self.calls),
            time_ns: each(self.time),
            failed: self.failed as f64 / self.calls.max(1) as f64,
            parts_ns: self.parts.iter().map(|(part, time)| (part.clone(), each(*time))).collect(),
            quantiles_ns: (!self.durations.is_empty()).then_some(quantiles),
        }
    }
}
