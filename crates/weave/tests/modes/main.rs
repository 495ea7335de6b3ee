//! Scenario: every way in which people build. Guarantee: what comes out behaves as a plain build's does and is woven, or is
//! refused with a message that says so; nothing of the user's is changed. `docs/builds.md` is made from these tests.
//!
//! Needs Go. Modules come from a folder that is their proxy, so nothing is fetched; what else a test needs it says.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod flags;
mod layouts;
mod newer;
mod other_commands;
mod proxy;
mod shop;
mod table;
