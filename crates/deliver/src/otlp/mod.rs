//! OTLP: spans, log records, profiles and metrics in protobuf form, and the way to a receiver.
//!
//! [`walk`] reads requests in place; [`encode`] and [`builder`] make the bytes of spans on the hot path, [`logs`] those of log records, [`profiles`] those of profiles; [`decode`] reads them where people look;
//! [`config`] → [`client`] → [`export`] carry them away ([`answer`] reads what receivers say), as [`json`] where that is asked for, metrics as [`temporality`] says.

pub mod answer;
pub mod builder;
pub mod client;
pub mod config;
pub mod decode;
pub mod encode;
pub mod export;
mod json;
pub mod logs;
pub mod metrics;
pub mod profiles;
pub mod rewrite;
pub mod temporality;
pub mod walk;
