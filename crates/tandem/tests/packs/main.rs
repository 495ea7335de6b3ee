//! Each pack's own program (`packs/*/program`), woven and run against the real thing: it uses the library in all ways that the
//! pack has to tell apart. One test a pack, found by its folder; `program/test.yaml` says what it needs.
//!
//! Guarantees: exactly the spans of the committed snapshot, each below the span it belongs to; each as the packs promise
//! (`spans:` in `pack.yaml`), an error always with its type; the same with the library's lowest and highest version.
//! What differs from run to run (ids, times, free ports) is replaced before comparing. `INSTA_UPDATE=always cargo test`
//! accepts what is new.
//!
//! `make test` runs the core set; `make test-packs` runs every pack, and every pack at both ends of its range.

#[path = "../e2e/golang.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod golang;
mod pages;
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod program;
mod promises;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod rig;
mod servers;
mod settings;
#[path = "../e2e/spans.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod spans;
#[path = "../support/mod.rs"]
mod support;
mod tree;
mod twins;
mod versions;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::program::{Observed, PLACES, observe, woven_program};
use crate::promises::assert_kept;
use crate::rig::repository;
use crate::servers::Missing;
use crate::settings::{Set, Settings};
use crate::support::skip;
use crate::tree::tree;

fn main() {
    let arguments = Arguments::from_args();
    let packs = packs_with_programs();
    let mut trials: Vec<Trial> = packs.iter().flat_map(|pack| trials(pack)).collect();
    trials.extend(servers::names().map(|name| {
        Trial::test(format!("server_{name}"), move || servers_start_and_end(name)).with_ignored_flag(true)
    }));
    trials.push(Trial::test("pages_are_up_to_date", pages::up_to_date));
    trials.push(Trial::test("every_snapshot_has_its_pack", move || every_snapshot_has_its_pack(&packs)));
    libtest_mimic::run(&arguments, trials).exit();
}

fn packs_with_programs() -> BTreeSet<String> {
    let packs = PLACES.iter().flat_map(|place| fs::read_dir(repository().join(place)).expect("packs").flatten());
    let with_program = packs.filter(|pack| pack.path().join("program").is_dir());
    with_program.map(|pack| pack.file_name().to_string_lossy().into_owned()).collect()
}

/// The tests of a pack: its program as it is, and with each version that its settings name.
fn trials(pack: &str) -> Vec<Trial> {
    let settings = match Settings::of(pack) {
        Ok(settings) => settings,
        Err(problem) => return vec![Trial::test(pack, move || Err(problem.into()))],
    };
    let mut trials = Vec::new();
    if settings.set != Set::E2e {
        let (name, settings) = (pack.to_owned(), settings.clone());
        let is_long = settings.set == Set::Packs;
        trials.push(Trial::test(pack, move || current(&name, &settings)).with_ignored_flag(is_long));
    }
    for version in settings.versions.clone() {
        let (pack, settings) = (pack.to_owned(), settings.clone());
        let name = format!("{pack}@{version}");
        trials.push(Trial::test(name, move || versions::check(&pack, &version, &settings)).with_ignored_flag(true));
    }
    trials
}

fn current(pack: &str, settings: &Settings) -> Result<(), Failed> {
    let test = format!("packs {pack}");
    if support::is_without_go(&test) {
        return Ok(());
    }
    let program = match &settings.program_of {
        Some(_) => versions::woven_twin(pack, settings),
        None => woven_program(pack),
    };
    if let Some(observed) = observe_with_servers(&test, &program, settings) {
        compare(pack, &tree(&observed.spans));
    }
    Ok(())
}

/// Runs a program beside its servers: its spans are as promised, unless another test looks at them. Nothing, and counted as skipped, where a server is missing.
fn observe_with_servers(test: &str, program: &Path, settings: &Settings) -> Option<Observed> {
    let mut running = Vec::new();
    for name in &settings.servers {
        match servers::start(name) {
            Ok(server) => running.push(server),
            Err(Missing(reason)) => {
                skip(test, &format!("{name}: {reason}"));
                return None;
            }
        }
    }
    let found = running.iter().flat_map(|server| &server.environment);
    let found = found.map(|(name, value)| (*name, value.as_str()));
    let set = settings.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let observed = observe(program, set.chain(found));
    if settings.set != Set::E2e {
        assert_kept(&observed.spans);
    }
    Some(observed)
}

fn compare(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

/// What a committed snapshot holds.
fn snapshot(name: &str) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs/snapshots");
    let text = fs::read_to_string(folder.join(format!("{name}.snap"))).ok()?;
    let (_, contents) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    Some(contents.to_owned())
}

/// Two of a server side by side, each at an address of its own; nothing is left of them.
fn servers_start_and_end(name: &str) -> Result<(), Failed> {
    let (one, other) = match (servers::start(name), servers::start(name)) {
        (Ok(one), Ok(other)) => (one, other),
        (Err(Missing(reason)), _) | (_, Err(Missing(reason))) => {
            skip(&format!("packs server_{name}"), &reason);
            return Ok(());
        }
    };
    assert_ne!(one.environment, other.environment);
    let folders = [one.folder().to_owned(), other.folder().to_owned()];
    drop((one, other));
    match folders.iter().find(|folder| folder.exists()) {
        Some(left) => Err(format!("{} is left", left.display()).into()),
        None => Ok(()),
    }
}

/// A pack that was renamed or taken out leaves nothing that nobody looks at.
fn every_snapshot_has_its_pack(packs: &BTreeSet<String>) -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs/snapshots");
    for file in fs::read_dir(folder).expect("the snapshots").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let Some(of) = name.strip_suffix(".snap") else { continue }; // one that is not accepted yet
        if !packs.contains(of.split('@').next().unwrap_or_default()) {
            return Err(format!("{name} is of no pack with a program").into());
        }
    }
    Ok(())
}
