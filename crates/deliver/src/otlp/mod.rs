//! OTLP: spans, log records, profiles and metrics in protobuf form, and the way to a receiver.
//!
//! [`encode`] and [`builder`] make the bytes of spans on the hot path, [`logs`] those of log records, [`profiles`] those of profiles; [`decode`] reads them where people look;
//! [`config`] → [`client`] → [`export`] carry them away ([`answer`] reads what receivers say), as [`json`] where that is asked for, metrics as [`temporality`] says. [`server`] takes
//! what others send, [`check`] knows by [`schema`] whether it is sound, [`walk`] reads it in place, [`regroup`] makes batches of it, [`rewrite`] changes some records of one, [`split`] takes one apart.

pub mod answer;
pub mod builder;
pub mod check;
pub mod client;
pub mod config;
pub mod decode;
pub mod encode;
pub mod export;
pub mod json;
pub mod logs;
pub mod metrics;
pub mod profiles;
pub mod regroup;
pub mod rewrite;
pub mod schema;
pub mod server;
pub mod split;
pub mod temporality;
pub mod walk;
