//! The documentation, held to what it says.
//!
//! Guarantees: every command that README.md, a page of docs/ or the example's page shows in a `sh` block is run here, in order, and ends well, or the
//! page says why it is not run (then it is counted as skipped, with that reason); every link leads to a file or a heading; every page
//! is in the navigation; every configuration of the agent is one; every metric, variable, flag, file, test and target of make that is named exists, and every metric and variable of ours is named.
//! docs/contributing-docs.md describes how a page says what its commands need. `cargo test -p tandem --test docs functions` runs one
//! page. Needs Go; what needs root, or something of the kernel, says so.

mod configurations;
#[path = "../e2e/golang.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod golang;
mod links;
mod names;
mod pages;
mod places;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "shared with the tests from end to end, which use all of it")]
mod rig;
mod sessions;
mod site;
#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::pages::{Block, Fate, Page};
use crate::sessions::Scene;
use crate::support::skip;

fn main() {
    let arguments = Arguments::from_args();
    let pages = pages::all();
    let mut trials = Vec::new();
    for page in &pages {
        match page.blocks() {
            Ok(blocks) => trials.extend(trials_of(page, blocks)),
            Err(problem) => trials.push(Trial::test(page.name.clone(), move || Err(Failed::from(problem)))),
        }
    }
    let all = std::sync::Arc::new(pages);
    for (name, check) in CHECKS {
        let pages = std::sync::Arc::clone(&all);
        trials.push(Trial::test(*name, move || told(&check(&pages))));
    }
    trials.push(Trial::test("site", site::works));
    libtest_mimic::run(&arguments, trials).exit();
}

type Check = fn(&[Page]) -> Vec<String>;

const CHECKS: &[(&str, Check)] = &[
    ("links_lead_somewhere", links::broken),
    ("every_page_is_in_the_navigation", links::not_in_the_navigation),
    ("configurations_are_taken", configurations::refused),
    ("files_exist", places::missing_files),
    ("targets_exist", places::unknown_targets),
    ("tests_exist", places::unknown_tests),
    ("flags_exist", names::unknown_flags),
    ("metrics_exist", names::unknown_metrics),
    ("variables_exist", names::unknown_variables),
    ("our_metrics_are_described", names::metrics_without_words),
    ("our_variables_are_described", names::variables_without_words),
];

fn told(problems: &[String]) -> Result<(), Failed> {
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

/// One test for what is run of a page, and one for each block that is not.
fn trials_of(page: &Page, blocks: Vec<Block>) -> Vec<Trial> {
    let (run, left): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(|block| reason(block).is_none());
    let skipped = left.into_iter().map(|block| {
        let (name, why) = (block.place(), reason(&block).unwrap_or_default());
        Trial::test(name.clone(), move || {
            skip(&format!("docs {name}"), &why);
            Ok(())
        })
    });
    let mut trials: Vec<Trial> = skipped.collect();
    if !run.is_empty() {
        let name = page.name.clone();
        trials.push(Trial::test(page.name.clone(), move || {
            if support::is_without_go(&format!("docs {name}")) {
                return Ok(());
            }
            sessions::run(&run)
        }));
    }
    trials
}

/// Why a block is not run: the page says it, or this machine cannot.
fn reason(block: &Block) -> Option<String> {
    let scene = match &block.fate {
        Fate::Not(reason) => return Some(reason.clone()),
        Fate::Run { scene, .. } => scene,
    };
    if block.commands().iter().any(|command| command.starts_with("sudo ")) && !rustix::process::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    match scene {
        Scene::Plain => {
            let uprobes = probe::features::require_uprobes().and_then(|()| probe::features::require_sockets());
            uprobes.err().map(|error| error.to_string())
        }
        _ => None,
    }
}
