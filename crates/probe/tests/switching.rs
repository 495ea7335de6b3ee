//! What an agent can switch off in the kernel while it runs, and what its programs cost.
//!
//! Guarantees: while the detail mode is off none of its programs run, and switched on they run again; the kernel says how long they ran.
//! Needs the privileges of the kernel half, and `CAP_SYS_ADMIN`.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod support;

use std::time::Duration;

use probe::{Kernel, RunTimes};
use support::{load_with_or_skip, skip};

const TEST: &str = "switching detail_goes_and_comes_back";

#[test]
fn detail_goes_and_comes_back() {
    let Some(mut kernel) = load_with_or_skip(TEST, Kernel::load_detailed) else { return };
    let _measuring = match RunTimes::measure() {
        Ok(measuring) => measuring,
        Err(error) => return skip(TEST, &error.to_string()),
    };
    if !kernel.has_detail() {
        return skip(TEST, "this kernel has nothing of the detail mode");
    }
    // A program that sees system calls runs twice for each; others of this machine, too, do some.
    let cost = |kernel: &Kernel| {
        let before = kernel.run_time();
        for _ in 0..300_000 {
            let _ = std::fs::exists("/");
        }
        kernel.run_time() - before
    };
    let on = cost(&kernel);
    let parts = kernel.set_detail(false).expect("it can be switched off");
    let off = cost(&kernel);
    assert_eq!(kernel.set_detail(true).expect("it can be switched on"), parts);
    let again = cost(&kernel);
    println!("on {on:?}, off {off:?}, on again {again:?}");
    assert!(on > Duration::ZERO && again > Duration::ZERO && parts != 0);
    assert!(off * 2 < on && off * 2 < again, "on {on:?}, off {off:?}, on again {again:?}");
    // And as often as one likes.
    for on in [true, false, false, true] {
        kernel.set_detail(on).expect("it can be switched");
    }
}
