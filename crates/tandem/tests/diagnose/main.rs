//! `tandem diagnose` against faults that were put into the shop (`examples/shop`).
//!
//! Guarantees: with a fault that hits some requests, its cause comes first, at the right service, in at least nine of ten
//! runs (`TANDEM_DIAGNOSE_RUNS`, which `make test-diagnose` sets; else one fault, once). The faults are real ones: a lock
//! that is held, a quota of CPU time that is used up, a query that waits for a row's lock in PostgreSQL, packets that a BPF
//! program loses in a network of their own, writes that the device takes slowly, a heap that is collected all the time, a
//! pool whose connections are all taken.

#[path = "../e2e/golang.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod golang;
mod place;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod rig;
#[path = "../packs/servers/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of packs, which use all of it")]
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use diagnose::{CauseKind, Diagnosis, Verdict};
use golang::{plain, woven};
use place::{Bound, Group, Network, PORT};
use rig::{Rig, TANDEM, program, run};
use support::skip;

const MODULE: &str = "examples/shop";
const SERVICES: [&str; 4] = ["gateway", "inventory", "orders", "worker"];
const PACKAGES: [&str; 4] = ["./cmd/gateway", "./cmd/inventory", "./cmd/orders", "./cmd/worker"];
/// How long customers may take for their requests, on a machine that is busy with something else.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// A fault, and what is to be found.
#[derive(Clone, Copy)]
struct Fault {
    /// What `SHOP_FAULT` asks for; empty: the fault is around the shop.
    asked: &'static str,
    /// Whose requests are looked at.
    route: &'static str,
    cause: CauseKind,
    service: &'static str,
    needs: Needs,
    requests: u32,
    rate: u32,
    environment: &'static [(&'static str, &'static str)],
}

/// What there must be for a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Postgres,
    Profile,
    CpuQuota,
    SlowDevice,
    LossyNetwork,
}

const LOCK: Fault = Fault {
    asked: "lock",
    route: "POST /cart",
    cause: CauseKind::LockContention,
    service: "inventory",
    needs: Needs::Nothing,
    requests: 600,
    rate: 60,
    environment: &[],
};

const POOL: Fault =
    Fault { asked: "pool", route: "POST /checkout", cause: CauseKind::PoolExhaustion, requests: 700, rate: 70, ..LOCK };

const SLOW_QUERY: Fault = Fault { asked: "slow-query", cause: CauseKind::SlowQuery, needs: Needs::Postgres, ..POOL };

const THROTTLING: Fault = Fault { asked: "", cause: CauseKind::CpuThrottling, needs: Needs::CpuQuota, ..POOL };

const PACKETS_LOST: Fault =
    Fault { asked: "", cause: CauseKind::PacketsLost, service: "orders", needs: Needs::LossyNetwork, ..POOL };

const SLOW_SYNC: Fault =
    Fault { asked: "slow-sync", cause: CauseKind::FileSync, service: "worker", needs: Needs::SlowDevice, ..POOL };

const GARBAGE: Fault = Fault {
    asked: "gc",
    cause: CauseKind::GarbageCollection,
    service: "gateway",
    needs: Needs::Profile,
    requests: 500,
    rate: 40,
    environment: &[("GOMAXPROCS", "1")],
    ..POOL
};

/// How often each fault is looked for.
fn runs() -> Option<u32> {
    let text = std::env::var("TANDEM_DIAGNOSE_RUNS").ok()?;
    Some(text.parse().expect("TANDEM_DIAGNOSE_RUNS is a number"))
}

/// Whether this machine lacks what all of these tests need.
fn is_skipped(test: &str) -> bool {
    if let Err(error) = probe::features::require_anatomy() {
        skip(test, &error.to_string());
        return true;
    }
    support::is_without_go(test)
}

/// Looks for a fault as often as was asked for; at most one in ten may be wrong.
fn check(test: &str, fault: Fault) {
    if is_skipped(test) {
        return;
    }
    let runs = runs().unwrap_or(1);
    let mut wrong = Vec::new();
    for number in 1..=runs {
        match find(fault) {
            Err(reason) => return skip(test, &reason),
            Ok(Ok(said)) => println!("{test} {number} of {runs}: {said}"),
            Ok(Err(said)) => {
                println!("{test} {number} of {runs}: WRONG\n{said}");
                wrong.push(said);
            }
        }
    }
    println!("{test}: the right cause came first in {} of {runs} runs", runs as usize - wrong.len());
    assert!(wrong.len() * 10 <= runs as usize, "{} of {runs} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs the shop with the fault once. An error of the outer kind says what this machine lacks; of the inner, what was said
/// instead.
fn find(fault: Fault) -> Result<Result<String, String>, String> {
    let rig = Rig::new();
    serve(&rig, fault, &[])?;
    let output = run(rig.tandem("diagnose").args(["--json", "--route", fault.route]), rig::LIMIT);
    assert_eq!(output.code, 0, "{output}");
    let diagnosis: Diagnosis = serde_json::from_str(output.stdout.lines().next().expect("a diagnosis")).expect("JSON");
    let found = diagnosis.causes.first();
    if found.is_some_and(|cause| cause.kind == fault.cause && cause.service == fault.service) {
        let cause = found.expect("it was looked at");
        assert!(cause.traces.len() == 3 && !cause.next.is_empty() && !cause.evidence.is_empty(), "{cause:?}");
        let second = diagnosis.causes.get(1).map_or(0.0, |cause| cause.share);
        return Ok(Ok(format!("{:.0} % {}, next {:.0} %", cause.share * 100.0, cause.kind, second * 100.0)));
    }
    let text = run(rig.tandem("diagnose").args(["--route", fault.route]), rig::LIMIT);
    Ok(Err(text.stdout))
}

/// Has customers use the shop under `tandem run`, with a fault.
fn serve(rig: &Rig, fault: Fault, environment: &[(&str, &str)]) -> Result<(), String> {
    let (services, launcher) = (woven(MODULE, &PACKAGES), plain(MODULE, &["./cmd/..."]));
    let group = match fault.needs {
        Needs::CpuQuota => Some(Group::bounded(Bound::Cpu(120))?),
        Needs::SlowDevice => Some(Group::bounded(Bound::Writes(70))?),
        _ => None,
    };
    let network = (fault.needs == Needs::LossyNetwork).then(|| Network::losing(6)).transpose()?;
    let postgres = (fault.needs == Needs::Postgres).then(|| servers::start("postgres")).transpose();
    let postgres = postgres.map_err(|missing| missing.0)?;
    if fault.needs == Needs::Profile {
        probe::features::require_profiles().map_err(|error| error.to_string())?;
    }

    let bin = rig.path().join("bin");
    fs::create_dir_all(&bin).expect("a folder for programs");
    for service in SERVICES {
        let entrance = group.as_ref().filter(|_| service == fault.service).map(Group::entrance);
        start_by_script(&bin, service, &services, entrance.as_deref());
    }
    let mut words: Vec<String> = network.as_ref().map(Network::entered_by).unwrap_or_default();
    words.push(TANDEM.to_owned());
    let mut command = program(&words[0]);
    command.args(&words[1..]).args(["run", "--no-ui"]);
    if fault.needs == Needs::Profile {
        command.arg("--profile");
    }
    command.env("TANDEM_STORE", rig.store()).env("TMPDIR", rig.path().join("tmp"));
    command.env("SHOP_FAULT", fault.asked).env("SHOP_LOG_LEVEL", "warn");
    if network.is_some() {
        command.env("SHOP_INVENTORY_ADDR", format!("127.0.0.1:{PORT}"));
    }
    if let Some(postgres) = &postgres {
        command.env("SHOP_POSTGRES_DSN", &postgres.environment[0].1);
    }
    command.envs(fault.environment.iter().copied()).envs(environment.iter().copied());
    command
        .arg("--")
        .arg(launcher.join("shop"))
        .arg("--bin-dir")
        .arg(&bin)
        .arg("--log-dir")
        .arg(rig.path().join("logs"));
    command.arg("--").arg(launcher.join("loadgen"));
    command.args(["--requests", &fault.requests.to_string(), "--rate", &fault.rate.to_string(), "--duration", "0"]);
    await_load(&mut command);
    Ok(())
}

/// A customer whose request took too long gives up, which is no wonder with such faults: the load generator then ends with 1.
fn await_load(command: &mut Command) {
    let finished = run(command, LOAD_LIMIT);
    assert!(finished.stdout.contains("requests in"), "{finished}");
}

/// Writes the script that starts a service, under its name and in its control group.
fn start_by_script(bin: &Path, service: &str, services: &Path, entrance: Option<&Path>) {
    let enter = entrance.map(|file| format!("echo $$ > '{}' || exit\n", file.display())).unwrap_or_default();
    let path: PathBuf = bin.join(service);
    let program = services.join(service);
    let script = format!("#!/bin/sh\n{enter}OTEL_SERVICE_NAME={service} exec '{}' \"$@\"\n", program.display());
    fs::write(&path, script).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it may be run");
}

/// Scenario: somebody holds the inventory's lock now and then. The short form, which `make test` runs: one wrong answer is
/// allowed, in case something else had the machine.
#[test]
fn the_cause_of_slow_requests_comes_first() {
    let test = "diagnose the_cause_of_slow_requests_comes_first";
    if is_skipped(test) {
        return;
    }
    let first = find(LOCK).unwrap_or_else(|reason| panic!("{reason}"));
    if let Err(said) = first {
        println!("{test}: once more\n{said}");
        find(LOCK).expect("it needs nothing").unwrap_or_else(|said| panic!("{said}"));
    }
}

/// Scenario: the shop without a fault, then a new version of it with one. Guarantees: compared with the time before, the
/// cause comes first, and the version is named as what the slow requests have in common.
#[test]
#[ignore = "half a minute: make test-diagnose"]
fn the_time_before_tells_what_changed() {
    let test = "diagnose the_time_before_tells_what_changed";
    if is_skipped(test) {
        return;
    }
    let rig = Rig::new();
    let version = |version| [("OTEL_RESOURCE_ATTRIBUTES", version)];
    let healthy = Fault { asked: "", ..POOL };
    serve(&rig, healthy, &version("service.version=1.0.0")).expect("it needs nothing");
    let changed = std::time::SystemTime::now();
    serve(&rig, POOL, &version("service.version=1.1.0")).expect("it needs nothing");
    let since = format!("{}ms", changed.elapsed().expect("a clock that goes on").as_millis());
    let mut ask = rig.tandem("diagnose");
    ask.args(["--json", "--route", POOL.route, "--since", &since, "--baseline", "1h"]);
    let output = run(&mut ask, rig::LIMIT);
    assert_eq!(output.code, 0, "{output}");
    let diagnosis: Diagnosis = serde_json::from_str(output.stdout.lines().next().expect("a diagnosis")).expect("JSON");
    assert_eq!(diagnosis.verdict, Verdict::Explained, "{diagnosis:#?}");
    assert_eq!(diagnosis.causes.first().map(|cause| cause.kind), Some(POOL.cause), "{diagnosis:#?}");
    let version = diagnosis.common.iter().find(|common| common.key == "service.version (inventory)");
    assert!(version.is_some_and(|version| version.value == "1.1.0" && version.normal == 0.0), "{diagnosis:#?}");
}

macro_rules! faults {
    ($($(#[doc = $scenario:literal])* $name:ident: $fault:expr;)*) => {$(
        $(#[doc = $scenario])*
        #[test]
        #[ignore = "minutes: make test-diagnose"]
        fn $name() {
            check(concat!("diagnose ", stringify!($name)), $fault);
        }
    )*};
}

faults! {
    /// Scenario: the stock is counted with the inventory's lock held.
    lock_contention: LOCK;
    /// Scenario: the inventory may use an eighth of a CPU.
    cpu_throttling: THROTTLING;
    /// Scenario: a long transaction holds the rows that reservations want to change.
    slow_query: SLOW_QUERY;
    /// Scenario: one in sixteen packets to the inventory is lost.
    packets_lost: PACKETS_LOST;
    /// Scenario: the worker synchronises its journal line by line, on a device that takes few writes a second.
    slow_file_synchronisation: SLOW_SYNC;
    /// Scenario: a large heap that is collected at every twentieth that is allocated, by requests that allocate much.
    garbage_collection: GARBAGE;
    /// Scenario: a report has all of the inventory's connections to its database.
    pool_exhaustion: POOL;
}
