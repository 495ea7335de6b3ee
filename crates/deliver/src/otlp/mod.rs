//! OTLP: the protobuf form of spans.

pub mod decode;
