//! `tandem doctor` as people and scripts see it.
//!
//! Guarantees: the exit code says whether programs can be woven and record spans here; whatever is missing comes with
//! why and what to do; the table fits 80 columns and has no colours off a terminal; a lack of privileges is not a failure.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::skip;

const TANDEM: &str = env!("CARGO_BIN_EXE_tandem");

fn doctor(arguments: &[&str], adjust: impl FnOnce(&mut Command)) -> Output {
    let mut command = Command::new(TANDEM);
    command.arg("doctor").args(arguments).env("TANDEM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    adjust(&mut command);
    command.output().expect("tandem starts")
}

fn checks(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn find<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name}"))
}

#[test]
fn no_go_is_a_failure_with_a_remedy() {
    let output = doctor(&["--json"], |command| {
        command.env("PATH", "");
    });
    assert_eq!(output.status.code(), Some(1));
    let checks = checks(&output);
    let go = find(&checks, "go command");
    assert_eq!(go["available"], false);
    assert_eq!(go["required"], true);
    assert!(go["remedy"].as_str().is_some_and(|remedy| remedy.contains("https://go.dev/dl")), "{go}");
}

#[test]
fn an_unusable_cache_is_a_failure_with_a_remedy() {
    let output = doctor(&["--json"], |command| {
        command.env("TANDEM_CACHE", "/dev/null/cache");
    });
    assert_eq!(output.status.code(), Some(1));
    let checks = checks(&output);
    let cache = find(&checks, "cache folder");
    assert!(cache["detail"].as_str().is_some_and(|why| why.contains("/dev/null/cache")), "{cache}");
    assert!(cache["remedy"].as_str().is_some_and(|remedy| remedy.contains("TANDEM_CACHE")), "{cache}");
}

/// What is missing always says why and what to do; what is there never has a remedy.
#[test]
fn every_check_explains_itself() {
    for check in checks(&doctor(&["--json"], |_| {})) {
        assert!(check["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{check}");
        assert_eq!(check["available"].as_bool(), Some(check["remedy"].is_null()), "{check}");
    }
}

#[test]
fn the_table_fits_eighty_columns_without_colours() {
    let output = doctor(&[], |command| {
        command.env("PATH", "").env("TANDEM_SOCKET", "/nowhere/agent.sock");
    });
    let text = String::from_utf8(output.stdout).expect("text");
    // A path is one word, however long this checkout's is.
    for line in text.lines().filter(|line| !line.contains("/cache")) {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\x1b'), "{line}");
    }
    assert!(text.contains("/nowhere/agent.sock does not exist"), "{text}");
    assert!(text.ends_with("Programs cannot be woven here yet; programs woven elsewhere record spans.\n"), "{text}");
}

/// Without privileges spans work and their anatomy has one half: that is said, and it is no failure.
#[test]
fn no_privileges_is_no_failure() {
    let output = Command::new("setpriv")
        .args(["--inh-caps=-all", "--bounding-set=-all", TANDEM, "doctor", "--json"])
        .env("TANDEM_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
        .output();
    let output = match output {
        Ok(output) if !output.stdout.is_empty() => output,
        _ => return skip("doctor no_privileges_is_no_failure", "setpriv cannot take privileges away here"),
    };
    let checks = checks(&output);
    let privileges = find(&checks, "privileges");
    assert_eq!(privileges["available"], false, "{privileges}");
    assert!(privileges["remedy"].as_str().is_some_and(|remedy| remedy.contains("setcap")), "{privileges}");
    assert!(checks.iter().all(|check| check["name"] != "scheduler probe"), "a probe was tried without privileges");
    let fine = checks.iter().all(|check| check["required"] == false || check["available"] == true);
    assert_eq!(output.status.code(), Some(i32::from(!fine)));
}
