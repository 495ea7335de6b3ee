//! Observes a process as it is told to, a word a line of standard input, for the benchmark:
//!
//! * `cheap`, `naive`: with probes at the places that `tandem attach` takes, or at first instructions and returns;
//! * `nothing N`: with N probes that find nothing;
//! * `insert`: at those places, and `traceparent` is inserted into its requests on connections that it makes from then on;
//! * `off`: not at all.
//!
//! Each is answered by a line: how long it took, ms, and how many probes there are. What is seen is taken and thrown away.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use gobin::Binary;
use probe::uprobe::{Headers, Plan, Style, Uprobes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid: u32 = std::env::args().nth(1).ok_or("say which process")?.parse()?;
    let executable = PathBuf::from(format!("/proc/{pid}/exe"));
    let binary = Binary::open(&executable)?;
    let mut reader = Uprobes::load(Headers::AsTheyAre)?.into_reader()?;
    let mut inserting = Uprobes::load(Headers::Insert)?.into_reader()?;
    if let Some(why) = inserting.uprobes().cannot_insert() {
        return Err(why.to_owned().into());
    }
    let (orders, received) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = orders.send(line);
        }
    });
    loop {
        let order = match received.recv_timeout(Duration::from_millis(20)) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => {
                reader.take(|_| {});
                inserting.take(|_| {});
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let plan = match order.split_once(' ').unwrap_or((&order, "")) {
            ("cheap" | "insert", _) => Some(Plan::of(&binary, |_| false)),
            ("naive", _) => Some(Plan::in_style(&binary, |_| false, Style::Naive)),
            ("nothing", count) => Some(Plan::of_nothing(&binary, count.parse()?)),
            _ => None,
        };
        let started = Instant::now();
        reader.uprobes().detach(pid);
        inserting.uprobes().detach(pid);
        let chosen = if order == "insert" { &mut inserting } else { &mut reader };
        if let Some(plan) = &plan {
            chosen.uprobes().attach(pid, &executable, plan, 0)?;
        }
        let took = started.elapsed().as_secs_f64() * 1e3;
        println!("{took:.3} {}", plan.map_or(0, |plan| plan.probe_count()));
        std::io::stdout().flush()?;
    }
}
