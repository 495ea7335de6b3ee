//! OTLP: the protobuf form of spans.

pub mod builder;
pub mod decode;
pub mod encode;
