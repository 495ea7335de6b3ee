//! New traces by what they ask for: how many begin on each route, how much of each is wanted, and what is recorded of it.
//!
//! All that is asked of a program is counted, whatever is recorded ([`measure`](crate::measure)). Which of it begins a trace is only seen in
//! records; so the share of roots among these, over a minute or so, stands for all.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use deliver::metrics::{RedKey, RedSeries};
use model::{Value, wildcard};
use record::Route;
use record::layout::ROUTE_COUNT;
use record::layout::kind::{CONSUMER, SERVER};

use super::controller::{LEAST_SAMPLING, STEPS_A_HALF, share};
use super::fill::{Demand, fill};
use super::objectives::Watched;
use super::{MORE_HALVINGS, pattern, threshold};
use crate::measure::Measure;

/// How much of the last look counts among those before: of how many there are, and of how many of them begin a trace.
const NEWEST: f64 = 0.05;
const NEWEST_ROOTS: f64 = 0.02;
/// Between the controller's steps what is recorded of a route changes when it is off by so many steps, half of a halving: rates are noisy, the
/// budget is the controller's matter, and programs are not to be told something new each second.
const OFF: f64 = 4.0;
/// What is rarer a second is not worth a line.
const SEEN: f64 = 0.001;
/// A route that has an entry keeps it until another one makes so many times as many traces.
const STAYS: f64 = 1.5;

/// What is asked for in one way: a route of a service, or all that has none.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) service: Arc<str>,
    /// `None`: whatever has no route, as calls of other kinds, and routes that have no entry of their own.
    pub(super) asked: Option<Asked>,
    /// New traces a second.
    pub(super) rate: f64,
    /// An objective of its requests is missed.
    pub(super) is_missed: bool,
    /// In steps as the controller's.
    pub(super) level: u32,
    /// When that was looked at last, an objective was missed.
    was_missed: bool,
    /// Looks at it, decayed: all, those with a record, and those of these that begin a trace.
    calls: f64,
    recorded: f64,
    roots: f64,
    /// Others ask for it, so that it may begin a trace without anybody having seen one.
    is_served: bool,
    /// The share that is wanted at least.
    least: f64,
    /// Its service's programs can be told of routes.
    is_told: bool,
    /// They have an entry for it.
    has_entry: bool,
}

/// A route, and the paths that it is about.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) route: String,
    pattern: String,
}

/// What a series had counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    group: usize,
    all: u64,
    recorded: u64,
    roots: u64,
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    groups: Vec<Group>,
    index: HashMap<(Arc<str>, Option<String>), usize>,
    series: Vec<Counted>,
    looked: Option<Duration>,
    /// The controller's level that was shared out last.
    shared: u32,
}

impl Traffic {
    /// Looks at what has been counted since the last look, and which objectives are missed. Only services with programs that can be told of
    /// routes take part: of others the same share is recorded of all, or nothing can be shed.
    pub(super) fn look(&mut self, now: Duration, measure: &Measure, objectives: &[Watched], told: &HashSet<&str>) {
        let (all, unrecorded) = measure.all();
        let mut sums = vec![[0u64; 3]; self.groups.len()];
        for (place, series) in all.iter().enumerate() {
            let total = series.buckets.iter().sum::<u64>();
            let without = unrecorded[place].as_deref().map_or(0, |buckets| buckets.iter().sum());
            let (recorded, roots) = (total.saturating_sub(without), measure.roots()[place]);
            let Some(before) = self.series.get_mut(place) else {
                // What was before counts for nothing.
                let group = self.group_of(series);
                self.series.push(Counted { group, all: total, recorded, roots });
                sums.resize(self.groups.len(), [0; 3]);
                continue;
            };
            let more = [total - before.all.min(total), recorded - before.recorded.min(recorded), roots - before.roots];
            sums[before.group].iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            (before.all, before.recorded, before.roots) = (total, recorded, roots);
        }
        let passed = self.looked.map(|looked| now.saturating_sub(looked).as_secs_f64()).filter(|passed| *passed > 0.0);
        self.looked = Some(now);
        if let Some(passed) = passed {
            for (group, sums) in self.groups.iter_mut().zip(sums) {
                group.note(sums.map(|sum| sum as f64 / passed));
            }
        }
        self.groups.iter_mut().for_each(|group| group.is_told = told.contains(&*group.service));
        self.judge(all, objectives);
    }

    /// The group of a series, which may be new.
    fn group_of(&mut self, series: &RedSeries) -> usize {
        let key = &series.key;
        self.place_of(&key.service, None); // what routes without an entry are recorded as
        let group = self.place_of(&key.service, asked(key));
        self.groups[group].is_served |= is_request(key);
        group
    }

    fn place_of(&mut self, service: &Arc<str>, asked: Option<Asked>) -> usize {
        let pattern = asked.as_ref().map(|asked| asked.pattern.clone());
        *self.index.entry((Arc::clone(service), pattern)).or_insert_with(|| {
            self.groups.push(Group::new(Arc::clone(service), asked));
            self.groups.len() - 1
        })
    }

    /// Which groups miss an objective, and what is wanted of them at least. Where it is not about requests nobody knows on which routes
    /// they come: all of that service are meant.
    fn judge(&mut self, all: &[RedSeries], objectives: &[Watched]) {
        self.groups.iter_mut().for_each(|group| (group.is_missed, group.least) = (false, share(LEAST_SAMPLING)));
        for watched in objectives {
            let (is_missed, least) = (watched.wants_more(), watched.objective.slow_kept.unwrap_or(0.0));
            if !is_missed && least == 0.0 {
                continue;
            }
            let want = |group: &mut Group| {
                group.is_missed |= is_missed;
                group.least = group.least.max(least);
            };
            for &place in watched.series() {
                let (Some(counted), key) = (self.series.get(place), &all[place].key) else { continue };
                if is_request(key) {
                    want(&mut self.groups[counted.group]);
                } else {
                    self.groups.iter_mut().filter(|group| group.service == key.service).for_each(want);
                }
            }
        }
    }

    /// Shares a level of head sampling out among all that there is.
    pub(super) fn share_out(&mut self, level: u32) {
        self.give_entries();
        // Routes that have no entry are recorded as what has no route.
        let of: Vec<usize> = (0..self.groups.len()).map(|place| self.recorded_as(place)).collect();
        let mut demands = vec![Demand { rate: 0.0, weight: 1.0, least: 0.0 }; self.groups.len()];
        for (group, &place) in self.groups.iter().zip(&of) {
            let demand = &mut demands[place];
            demand.rate += if group.is_told { group.rate } else { 0.0 };
            demand.weight = if group.is_missed { f64::from(1 << MORE_HALVINGS) } else { demand.weight };
            demand.least = demand.least.max(group.least);
        }
        let shares = if level == 0 { vec![1.0; demands.len()] } else { fill(&demands, share(level)) };
        let is_new = level != std::mem::replace(&mut self.shared, level);
        for (place, group) in self.groups.iter_mut().enumerate() {
            let steps = -shares[of[place]].log2() * f64::from(STEPS_A_HALF);
            let is_off = steps == 0.0 || (steps - f64::from(group.level)).abs() >= OFF;
            if is_new || is_off || group.is_missed != group.was_missed {
                group.level = (steps.round() as u32).min(LEAST_SAMPLING);
            }
            group.was_missed = group.is_missed;
        }
    }

    /// The place of the group that a group's traces are recorded as.
    fn recorded_as(&self, place: usize) -> usize {
        let group = &self.groups[place];
        let rest = || self.index.get(&(Arc::clone(&group.service), None)).copied();
        if group.has_entry { place } else { rest().unwrap_or(place) }
    }

    /// Routes of a service that have an entry of their own: those of which more is wanted, then those that make most traces.
    fn give_entries(&mut self) {
        let mut places: Vec<usize> =
            (0..self.groups.len()).filter(|&place| self.groups[place].asked.is_some()).collect();
        places.sort_by(|&one, &other| {
            let (one, other) = (&self.groups[one], &self.groups[other]);
            let by_want = other.is_missed.cmp(&one.is_missed).then(other.least.total_cmp(&one.least));
            one.service.cmp(&other.service).then(by_want).then(other.rank().total_cmp(&one.rank()))
        });
        let (mut service, mut given): (Option<Arc<str>>, _) = (None, 0);
        for place in places {
            let group = &mut self.groups[place];
            if service.as_ref() != Some(&group.service) {
                (service, given) = (Some(Arc::clone(&group.service)), 0);
            }
            group.has_entry = given < ROUTE_COUNT;
            given += 1;
        }
    }

    /// What is recorded of a service's traces that ask for nothing that has an entry: the level, and whether all are wanted.
    pub(super) fn rest_of(&self, service: &str) -> (u32, bool) {
        let rest = self.index.get(&(Arc::from(service), None)).map(|&place| &self.groups[place]);
        rest.map_or((0, false), |group| (group.level, group.wants_all()))
    }

    /// What programs of a service are told of its routes.
    pub(super) fn table(&self, service: &str, room: usize) -> Vec<Route> {
        let of_service = self.groups.iter().filter(|group| group.has_entry && &*group.service == service);
        let mut groups: Vec<(&str, &Group)> =
            of_service.filter_map(|group| Some((group.asked.as_ref()?.pattern.as_str(), group))).collect();
        groups.sort_by(|(one, _), (other, _)| pattern::order(one).cmp(&pattern::order(other)));
        let (level, all) = self.rest_of(service);
        let rest = Route { pattern: String::new(), threshold: threshold(level), all };
        let mut table: VecDeque<Route> = VecDeque::new();
        for (pattern, group) in groups.into_iter().rev() {
            let route =
                Route { pattern: pattern.to_owned(), threshold: threshold(group.level), all: group.wants_all() };
            // What a wider one says already, or else the service's rule, needs no entry.
            let without = table.iter().find(|wider| wildcard(&wider.pattern, pattern)).unwrap_or(&rest);
            if (route.threshold, route.all) != (without.threshold, without.all) {
                table.push_front(route);
            }
        }
        table.truncate(room);
        table.into()
    }

    /// Groups of which less is recorded than all, or more is wanted; those that make most traces first.
    pub(super) fn notable(&self) -> Vec<&Group> {
        let mut notable: Vec<&Group> = self
            .groups
            .iter()
            .filter(|group| group.is_told && group.rate >= SEEN && (group.level > 0 || group.is_missed))
            .collect();
        notable.sort_by(|one, other| other.rate.total_cmp(&one.rate));
        notable
    }
}

impl Group {
    fn new(service: Arc<str>, asked: Option<Asked>) -> Self {
        Self {
            service,
            asked,
            rate: 0.0,
            is_missed: false,
            level: 0,
            was_missed: false,
            calls: 0.0,
            recorded: 0.0,
            roots: 0.0,
            is_served: false,
            least: 0.0,
            is_told: false,
            has_entry: false,
        }
    }

    /// Notes what there was a second: calls, those with a record, and those of these that begin a trace.
    fn note(&mut self, [calls, recorded, roots]: [f64; 3]) {
        self.calls += NEWEST * (calls - self.calls);
        if recorded > 0.0 {
            self.recorded += NEWEST_ROOTS * (recorded - self.recorded);
            self.roots += NEWEST_ROOTS * (roots - self.roots);
        }
        let unseen = if self.is_served { 1.0 } else { 0.0 };
        self.rate = self.calls * if self.recorded > 0.0 { self.roots / self.recorded } else { unseen };
    }

    /// What counts when there is not room for all.
    fn rank(&self) -> f64 {
        self.rate * if self.has_entry { STAYS } else { 1.0 }
    }

    /// All are recorded, even where the program's own sampler would not.
    fn wants_all(&self) -> bool {
        self.is_missed && self.level == 0
    }

    /// What people call it.
    pub(super) fn name(&self) -> String {
        let route = self.asked.as_ref().map_or("all others", |asked| asked.route.as_str());
        format!("{} {route}", self.service)
    }
}

/// What spans of a series ask for; `None`: nobody can tell before they begin.
fn asked(key: &RedKey) -> Option<Asked> {
    if key.kind != SERVER || key.overflow {
        return None;
    }
    let text = |wanted: &str| {
        key.dimensions.iter().find_map(|(name, value)| match value {
            Value::String(text) if name == wanted => Some(text.as_str()),
            _ => None,
        })
    };
    if let Some(route) = text("http.route") {
        return Some(Asked { route: route.to_owned(), pattern: pattern::of_route(route)? });
    }
    let method = text("rpc.method")?;
    let pattern = if text("rpc.system.name") == Some("grpc") { format!("/{method}") } else { method.to_owned() };
    Some(Asked { route: method.to_owned(), pattern })
}

fn is_request(key: &RedKey) -> bool {
    matches!(key.kind, SERVER | CONSUMER)
}

#[cfg(test)]
mod tests;
