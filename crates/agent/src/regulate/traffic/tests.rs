//! A service and its agent's controller through simulated minutes, with noise; and what programs are told.

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
    let mut shop = Simulated::new(1, 130.0, &[("/in", "/in", 50.0), ("/out", "/out", 10.0), ("/more", "/more", 100.0)]);
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
    let routes =
        [("/{any...}", 8, false), ("/cart/{id}", 8, false), ("/cart/{id}/items", 0, false), ("/cart/mine", 0, true)];
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
    let expected =
        [("/cart/mine".to_owned(), 0, true), ("/cart/*/items".to_owned(), 0, false), ("/*".to_owned(), 0x8000, false)];
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
