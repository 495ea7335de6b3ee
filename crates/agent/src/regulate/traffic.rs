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
use super::{pattern, threshold};
use crate::measure::Measure;

/// Of what misses its objective so many times as many traces are recorded as of others.
const MORE: f64 = 8.0;
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
            demand.weight = if group.is_missed { MORE } else { demand.weight };
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
mod tests {
    use super::*;
    use crate::measure::{Besides, SeriesIndex};
    use crate::regulate::controller::{Controller, Cost, Kind, Look};
    use crate::regulate::settings::Objective;
    use deliver::metrics::Exemplar;
    use deliver::otlp::encode::UnixNanos;
    use record::layout::BUCKET_COUNT;
    use record::layout::kind::{CLIENT, INTERNAL};

    fn key(service: &str, name: &str, kind: u8, dimensions: &[(&str, &str)]) -> RedKey {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), Value::String((*value).to_owned()));
        RedKey {
            service: Arc::from(service),
            span_name: name.to_owned(),
            kind,
            status: 0,
            dimensions: dimensions.iter().map(text).collect(),
            metric: "",
            overflow: false,
        }
    }

    /// What is asked for on a route of a program: paths of it, calls a second, and whether they begin traces.
    struct Load {
        series: SeriesIndex,
        path: &'static str,
        rate: f64,
        begins: bool,
        /// Calls that are due, and records.
        due: [f64; 2],
    }

    /// A service, its agent's view, and what they do in each simulated second.
    struct Simulated {
        seed: u64,
        measure: Measure,
        loads: Vec<Load>,
        objectives: Vec<Watched>,
        traffic: Traffic,
        controller: Controller,
        limit: f64,
        /// How often the program was told something else.
        told: usize,
        table: Vec<Route>,
    }

    impl Simulated {
        fn new(seed: u64, limit: f64, loads: &[(&'static str, &'static str, f64)]) -> Self {
            let mut measure = Measure::default();
            let loads = loads.iter().map(|&(route, path, rate)| {
                let series = measure.series(key("shop", route, SERVER, &[("http.route", route)]), &Besides::default());
                Load { series, path, rate, begins: true, due: [0.0; 2] }
            });
            Self {
                seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
                loads: loads.collect(),
                measure,
                objectives: Vec::new(),
                traffic: Traffic::default(),
                controller: Controller::default(),
                limit,
                told: 0,
                table: Vec::new(),
            }
        }

        fn random(&mut self) -> f64 {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            (self.seed >> 11) as f64 / (1u64 << 53) as f64
        }

        fn misses(&mut self, route: &str) {
            let mut watched = Watched::new(Objective {
                name: route.to_owned(),
                service: None,
                route: Some(route.to_owned()),
                p99: Some(1),
                error_rate: None,
                slow_kept: None,
                overhead: None,
                window: Duration::from_secs(60),
            });
            watched.look(Duration::ZERO, self.measure.all().0, &[]);
            watched.standing.missed = true;
            watched.standing.p99_left = Some(-1.0);
            self.objectives.push(watched);
        }

        /// The share of new traces that the program records of those that ask for this.
        fn kept(&self, path: &str) -> f64 {
            let entry = self.table.iter().find(|entry| wildcard(&entry.pattern, path));
            let of_rest = threshold(self.traffic.rest_of("shop").0);
            1.0 - f64::from(entry.map_or(of_rest, |entry| entry.threshold)) / 65536.0
        }

        /// Lets a second pass; the records that it brought.
        fn second(&mut self, second: u64) -> f64 {
            let mut records = 0.0;
            for place in 0..self.loads.len() {
                let noise = 0.7 + 0.6 * self.random();
                let kept = if self.loads[place].begins { self.kept(self.loads[place].path) } else { 1.0 };
                let load = &mut self.loads[place];
                load.due[0] += load.rate * noise;
                load.due[1] += load.rate * noise * kept;
                let [calls, recorded] = load.due.map(f64::floor);
                load.due = [load.due[0] - calls, load.due[1] - recorded];
                for _ in 0..recorded as u64 {
                    let exemplar = Exemplar { trace_id: [1; 16], span_id: [1; 8], time: UnixNanos(1), duration_ns: 1 };
                    self.measure.span(load.series, exemplar);
                    if load.begins {
                        self.measure.root(load.series);
                    }
                }
                let mut buckets = [0; BUCKET_COUNT];
                buckets[0] = (calls - recorded).max(0.0) as u64;
                self.measure.counts(load.series, &buckets, 0);
                records += recorded;
            }
            let now = Duration::from_secs(second);
            self.traffic.look(now, &self.measure, &self.objectives, &HashSet::from(["shop"]));
            self.controller.look(Look {
                now,
                costs: vec![Some(Cost { measured: 1.0 + records, limit: self.limit, follows: true })],
                work: self.loads.iter().map(|load| load.rate).sum(),
                highest: [0, 0, 0, LEAST_SAMPLING],
                lowest: [0; 4],
            });
            self.traffic.share_out(self.controller.level(Kind::HeadSampling));
            let table = self.traffic.table("shop", ROUTE_COUNT);
            self.told += usize::from(table != self.table);
            self.table = table;
            records
        }

        fn pass(&mut self, seconds: std::ops::Range<u64>) -> f64 {
            let count = (seconds.end - seconds.start) as f64;
            seconds.map(|second| self.second(second)).sum::<f64>() / count
        }
    }

    /// Minutes over budget: the busy route gives, the rare one and the one that misses its objective keep theirs, the budget holds, the
    /// program is seldom told something new, and all comes back.
    #[test]
    fn what_is_worth_least_is_shed_where_most_of_it_is() {
        let routes = [("/busy", "/busy", 300.0), ("/cart/{id}", "/cart/7", 40.0), ("/", "/about", 1.0)];
        for seed in 1..=20 {
            let mut shop = Simulated::new(seed, 60.0, &routes);
            shop.misses("/cart/*");
            shop.pass(0..120);
            let told = shop.told;
            let records = shop.pass(120..900);
            assert!(records <= 60.0 * 1.05, "seed {seed}: {records} a second");
            assert_eq!([shop.kept("/cart/7"), shop.kept("/about"), shop.kept("/else")], [1.0; 3], "seed {seed}");
            let busy = shop.kept("/busy");
            assert!((0.02..0.08).contains(&busy), "seed {seed}: {busy}");
            assert!(shop.told - told <= 26, "seed {seed}: told {} times in 13 minutes", shop.told - told);
            let notable: Vec<String> = shop.traffic.notable().iter().map(|group| group.name()).collect();
            assert_eq!(notable, ["shop /busy", "shop /cart/{id}"]);
            // The objective is met again: both are alike now.
            shop.objectives.clear();
            shop.pass(900..1200);
            let (busy, cart) = (shop.kept("/busy") * 300.0, shop.kept("/cart/7") * 40.0);
            let is_alike = (busy / cart).log2().abs() <= 0.6;
            assert!(is_alike && shop.kept("/about") == 1.0, "seed {seed}: {busy} and {cart} a second");
            shop.loads[0].rate = 2.0;
            shop.pass(1200..2400);
            assert_eq!((shop.table.clone(), shop.kept("/busy")), (Vec::new(), 1.0), "seed {seed}");
        }
    }

    /// What continues traces of others takes nothing from routes that begin them.
    #[test]
    fn only_what_begins_a_trace_counts() {
        let mut shop =
            Simulated::new(1, 130.0, &[("/in", "/in", 50.0), ("/out", "/out", 10.0), ("/more", "/more", 100.0)]);
        shop.loads[2].begins = false;
        let records = shop.pass(0..600);
        assert!(shop.kept("/out") == 1.0, "{}", shop.kept("/out"));
        let sampled = records - 100.0 - 10.0;
        let kept = shop.kept("/in");
        assert!((0.1..0.6).contains(&kept) && sampled <= 25.0, "{kept}: {sampled} a second");
    }

    /// Where there are more routes than entries, the busiest have one; all others are recorded as one.
    #[test]
    fn entries_are_for_what_matters() {
        let mut measure = Measure::default();
        let mut traffic = Traffic::default();
        let series: Vec<SeriesIndex> = (0..100)
            .map(|number| {
                let route = format!("/{number}");
                measure.series(key("shop", &route, SERVER, &[("http.route", &route)]), &Besides::default())
            })
            .collect();
        for second in 0..30 {
            for (number, series) in series.iter().enumerate() {
                let mut buckets = [0; BUCKET_COUNT];
                buckets[0] = if number < 5 { 100 } else { 1 };
                measure.counts(*series, &buckets, 0);
            }
            traffic.look(Duration::from_secs(second), &measure, &[], &HashSet::from(["shop"]));
            traffic.share_out(16);
        }
        let with_entry = traffic.groups.iter().filter(|group| group.has_entry).count();
        let (level, all) = traffic.rest_of("shop");
        let table = traffic.table("shop", ROUTE_COUNT);
        assert_eq!((with_entry, all), (ROUTE_COUNT, false));
        assert!(level > 0 && table.len() == ROUTE_COUNT, "{level}, {table:?}");
        for (index, entry) in table.iter().enumerate() {
            let is_busy = entry.pattern.len() == 2 && entry.pattern.as_str() < "/5";
            assert_eq!(entry.threshold > 0, is_busy, "{index}: {entry:?}");
        }
        assert_eq!((traffic.rest_of("bank"), traffic.table("bank", ROUTE_COUNT)), ((0, false), Vec::new()));
    }

    /// A wide pattern's entry is not for what has another share, and what it says already is not said again.
    #[test]
    fn the_table_says_what_differs() {
        let mut traffic = Traffic::default();
        let routes = [
            ("/{any...}", 8, false),
            ("/cart/{id}", 8, false),
            ("/cart/{id}/items", 0, false),
            ("/cart/mine", 0, true),
        ];
        let service: Arc<str> = Arc::from("shop");
        traffic.place_of(&service, None);
        for (route, level, is_missed) in routes {
            let asked = asked(&key("shop", "", SERVER, &[("http.route", route)]));
            let place = traffic.place_of(&service, asked);
            let group = &mut traffic.groups[place];
            (group.level, group.is_missed, group.has_entry) = (level, is_missed, true);
        }
        let told = |traffic: &Traffic, room| -> Vec<(String, u16, bool)> {
            let table = traffic.table("shop", room).into_iter();
            table.map(|route| (route.pattern, route.threshold, route.all)).collect()
        };
        let expected = [
            ("/cart/mine".to_owned(), 0, true),
            ("/cart/*/items".to_owned(), 0, false),
            ("/*".to_owned(), 0x8000, false),
        ];
        assert_eq!(told(&traffic, 32), expected);
        assert_eq!(told(&traffic, 1), expected[..1]);
        traffic.groups[0].level = 8;
        assert_eq!(told(&traffic, 32), expected[..2]);
    }

    #[test]
    fn what_is_asked_is_a_path_or_a_method() {
        let asked =
            |kind, dimensions: &[(&str, &str)]| asked(&key("shop", "", kind, dimensions)).map(|asked| asked.pattern);
        assert_eq!(asked(SERVER, &[("http.route", "/a/{b}")]).as_deref(), Some("/a/*"));
        let grpc = [("rpc.method", "shop.Cart/Get"), ("rpc.system.name", "grpc")];
        assert_eq!(asked(SERVER, &grpc).as_deref(), Some("/shop.Cart/Get"));
        assert_eq!(asked(SERVER, &[("rpc.method", "Arith.Divide")]).as_deref(), Some("Arith.Divide"));
        assert_eq!(
            [asked(SERVER, &[]), asked(CLIENT, &[("http.route", "/a")]), asked(INTERNAL, &grpc)],
            [None, None, None]
        );
    }
}
