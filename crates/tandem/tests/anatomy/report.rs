//! What the program stamped, what the spans say, and where the two do not agree.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::Value;

/// 5 % or 0.3 ms, whichever is larger.
fn tolerance(nanos: i64) -> i64 {
    (nanos / 20).max(300_000)
}

/// The anatomy of one span, as `tandem run --json` prints it.
pub struct SpanAnatomy {
    wall: i64,
    parts: BTreeMap<String, i64>,
    /// Attributes that are whole numbers.
    attributes: BTreeMap<String, i64>,
}

impl SpanAnatomy {
    fn part(&self, name: &str) -> i64 {
        self.parts.get(name).copied().unwrap_or(0)
    }

    /// On the CPU: in Go, in C, in the kernel.
    fn on_cpu(&self) -> i64 {
        ["on_cpu", "cgo", "minor_fault"].iter().map(|part| self.part(part)).sum()
    }

    /// Everything but the CPU.
    fn off_cpu(&self) -> i64 {
        self.parts.values().sum::<i64>() - self.on_cpu()
    }
}

/// What the program itself knows about one span; see `observation` in `known-waits/main.go`.
pub struct Observation {
    /// Names the span.
    pub case: String,
    /// Its goroutine was locked to a thread, so that `cpu` is that of the span.
    locked: bool,
    wall: i64,
    cpu: i64,
    /// Least and most by part.
    parts: BTreeMap<String, (i64, i64)>,
    /// The same by attribute; none at all is 0.
    attributes: BTreeMap<String, (i64, i64)>,
}

/// Delays that come on top of any wait and that a program cannot stamp: the goroutine, or its thread, waits for its turn
/// before it parks and after it was woken, or for the collector to start the world again.
const TURNS: [&str; 3] = ["go_runnable", "run_queue", "go_stopped"];
/// What the collector and the runtime's locks cost the goroutine that happens to work for them.
const COLLECTOR: [&str; 3] = ["go_gc", "go_sync", "blocked_futex"];

impl Observation {
    /// Where the span does not agree. `collector_busy`: waits for the collector are to be expected.
    pub fn faults(&self, span: &SpanAnatomy, collector_busy: bool) -> Vec<String> {
        let mut faults = Vec::new();
        if (span.wall - self.wall).abs() > tolerance(self.wall) {
            faults.push(format!("wall time {} is not {}", Millis(span.wall), Millis(self.wall)));
        }
        let expected_from_collector = |name: &str| collector_busy && COLLECTOR.contains(&name);
        for (name, &(least, most)) in &self.parts {
            let found = span.part(name);
            let turns: i64 = TURNS.iter().filter(|turn| *turn != name).map(|turn| span.part(turn)).sum();
            let turns = if ["throttled", "cgo", "minor_fault"].contains(&name.as_str()) { 0 } else { turns }; // they are no waits for others
            let too_short = found + turns < least - tolerance(least);
            let too_long = found > most + tolerance(most) && !expected_from_collector(name);
            if too_short || too_long {
                let (least, most) = (Millis(least), Millis(most));
                faults.push(format!("{name} {} is not in {least} to {most}", Millis(found)));
            }
        }
        for (name, &found) in &span.parts {
            let known = name == "on_cpu" || TURNS.contains(&name.as_str()) || self.parts.contains_key(name);
            if !known && !expected_from_collector(name) && found > tolerance(self.wall) {
                faults.push(format!("{name} {} out of nowhere", Millis(found)));
            }
        }
        for (name, &(least, most)) in &self.attributes {
            let found = span.attributes.get(name).copied().unwrap_or(0);
            if !(least..=most).contains(&found) {
                faults.push(format!("{name} {found} is not in {least} to {most}"));
            }
        }
        if self.locked {
            self.compare_cpu(span, &mut faults);
        }
        faults
    }

    fn compare_cpu(&self, span: &SpanAnatomy, faults: &mut Vec<String>) {
        if (span.on_cpu() - self.cpu).abs() > tolerance(self.cpu) {
            faults.push(format!("{} on the CPU, the thread's clock says {}", Millis(span.on_cpu()), Millis(self.cpu)));
        }
        let percent = self.percent_explained(span);
        if self.wall > 1_000_000 && !(95.0..=105.0).contains(&percent) {
            faults.push(format!("parts and CPU clock are {percent:.1} % of {}", Millis(self.wall)));
        }
    }

    /// Parts plus the thread's CPU clock, of wall time.
    fn percent_explained(&self, span: &SpanAnatomy) -> f64 {
        100.0 * (span.off_cpu() + self.cpu) as f64 / span.wall as f64
    }

    /// Name without the repetition's number.
    fn kind(&self) -> String {
        let words: Vec<_> = self.case.split(' ').collect();
        // "requests 17", else "alone file lock true 3"
        let name = if words.len() == 2 { words[0].to_owned() } else { words[..words.len() - 2].join(" ") };
        if self.locked { format!("{name}, locked") } else { name }
    }
}

struct Millis(i64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms", self.0 as f64 / 1e6)
    }
}

/// One line a kind of wait.
#[derive(Default)]
pub struct Table(BTreeMap<String, Row>);

#[derive(Default)]
struct Row {
    spans: usize,
    bad: Vec<String>,
    /// Largest deviation of a stamped part from its bounds, in nanoseconds.
    worst: i64,
    /// Parts plus CPU clock, in percent of wall time.
    explained: Vec<f64>,
}

impl Row {
    /// Now and then the kernel takes the thread away between a stamp and what is stamped, or the hypervisor the machine:
    /// that is on the CPU for the scheduler, but not for the thread's clock. One span in twenty, and in a short series
    /// one, may be off.
    fn allowed(&self) -> usize {
        (self.spans / 20).max(1)
    }
}

impl Table {
    pub fn add(&mut self, observation: &Observation, span: Option<&SpanAnatomy>, faults: Vec<String>) {
        let row = self.0.entry(observation.kind()).or_default();
        row.spans += 1;
        if !faults.is_empty() {
            row.bad.push(format!("{}: {}", observation.case, faults.join("; ")));
        }
        let Some(span) = span else { return };
        for (name, &(least, most)) in &observation.parts {
            let found = span.part(name);
            row.worst = row.worst.max(least - found).max(found - most);
        }
        if observation.locked {
            row.explained.push(observation.percent_explained(span));
        }
    }

    pub fn is_good(&self) -> bool {
        !self.0.is_empty() && self.0.values().all(|row| row.bad.len() <= row.allowed())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:34} {:>9} {:>14} {:>22}", "wait", "agree", "worst part", "parts + CPU of wall")?;
        for (kind, row) in &self.0 {
            let agree = format!("{}/{}", row.spans - row.bad.len(), row.spans);
            let explained = match (
                row.explained.iter().copied().reduce(f64::min),
                row.explained.iter().copied().reduce(f64::max),
            ) {
                (Some(least), Some(most)) => format!("{least:.1} to {most:.1} %"),
                _ => String::new(),
            };
            writeln!(f, "{kind:34} {agree:>9} {:>14} {explained:>22}", Millis(row.worst).to_string())?;
            for bad in &row.bad {
                writeln!(f, "    {bad}")?;
            }
        }
        Ok(())
    }
}

/// The known waits among the spans that `tandem run --json` prints, by case.
pub fn spans(lines: &str) -> HashMap<String, SpanAnatomy> {
    let span = |line: &str| {
        let span: Value = serde_json::from_str(line).ok()?;
        let case = match &span["attributes"] {
            own if own["case"].is_string() => own["case"].as_str()?.to_owned(),
            request => request["url.full"].as_str()?.split_once("/case/")?.1.replace("%20", " "),
        };
        let anatomy = &span["anatomy"];
        let parts = anatomy["parts_ns"].as_object()?.iter();
        let parts = parts.filter_map(|(name, nanos)| Some((name.clone(), nanos.as_i64()?))).collect();
        let attributes = span["attributes"].as_object()?.iter();
        let attributes = attributes.filter_map(|(name, value)| Some((name.clone(), value.as_i64()?))).collect();
        Some((case, SpanAnatomy { wall: anatomy["wall_ns"].as_i64()?, parts, attributes }))
    };
    lines.lines().filter_map(span).collect()
}

/// The program's report.
pub fn observations(lines: &str) -> Vec<Observation> {
    let observation = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("the report has one JSON object a line");
        let nanos = |value: &Value| value.as_i64().expect("the report has whole numbers");
        let bounds = |name: &str| {
            let all = line[name].as_object().expect("the report has all kinds of bounds").iter();
            all.map(|(name, bounds)| (name.clone(), (nanos(&bounds["least"]), nanos(&bounds["most"])))).collect()
        };
        Observation {
            case: line["case"].as_str().expect("the report has names").to_owned(),
            locked: line["locked"].as_bool().expect("the report says what is locked"),
            wall: nanos(&line["wall_ns"]),
            cpu: nanos(&line["cpu_ns"]),
            parts: bounds("parts"),
            attributes: bounds("attributes"),
        }
    };
    lines.lines().map(observation).collect()
}
