//! The programs in `tests/programs`, and what `steps` says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use model::Span;

use crate::golang::woven;
use crate::rig::{self, Rig, Running};
use crate::spans::attribute;

const MODULE: &str = "tests/programs";
const PACKAGES: [&str; 12] = [
    "./steps",
    "./garbage",
    "./functions",
    "./ends",
    "./operations",
    "./outcomes",
    "./pool",
    "./brief",
    "./share",
    "./noise",
    "./load",
    "./routes",
];

/// The woven program of that name.
pub fn program(name: &str) -> PathBuf {
    woven(MODULE, &PACKAGES).join(name)
}

/// A running server.
pub struct Steps {
    pub pid: i32,
    pub address: String,
    account: PathBuf,
}

/// What the program has written down. Numbers are of steps.
pub struct Account {
    pub began: BTreeSet<u32>,
    pub ended: BTreeSet<u32>,
}

impl Steps {
    /// Adds the program to `tandem run`.
    pub fn under<'a>(tandem: &'a mut Command, rig: &Rig) -> &'a mut Command {
        tandem.arg("--").arg(program("steps")).arg(account(rig))
    }

    /// The program without an agent of its own.
    pub fn alone(rig: &Rig) -> Command {
        let mut command = rig::program(program("steps"));
        command.arg(account(rig));
        command
    }

    /// Waits until it serves.
    pub fn of(running: &mut Running, rig: &Rig) -> Self {
        let (pid, address) = running.stdout_line(|line| {
            let mut words = line.strip_prefix("pid ")?.split(" address ");
            Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
        });
        Self { pid, address, account: account(rig) }
    }

    pub fn account(&self) -> Account {
        let text = fs::read_to_string(&self.account).expect("the program's account");
        let numbers =
            |what: &str| text.lines().filter_map(|line| line.strip_prefix(what)?.trim().parse().ok()).collect();
        Account { began: numbers("began"), ended: numbers("ended") }
    }

    /// The numbers of this program's steps that have spans, sorted; one that came twice is there twice.
    pub fn numbers(&self, spans: &[Span]) -> Vec<u32> {
        numbers("steps", spans)
    }
}

/// The numbers of a service's steps.
pub fn numbers(service: &str, spans: &[Span]) -> Vec<u32> {
    let steps = spans.iter().filter(|span| span.name == "step" && crate::spans::service(span) == service);
    let mut numbers: Vec<u32> = steps.filter_map(|span| attribute(span, "step.number").parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn account(rig: &Rig) -> PathBuf {
    rig.path().join("account")
}
