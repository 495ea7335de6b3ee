//! gRPC's status codes as the conventions write them, however a call was seen.

use std::borrow::Cow;

const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Codes that are the server's own fault, as the conventions have it.
const SERVER_FAULTS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// The name of a code, if it has one.
pub fn known_code(code: u64) -> Option<&'static str> {
    CODES.get(usize::try_from(code).ok()?).copied()
}

/// The name of a code, or its number.
pub fn code(code: u64) -> Cow<'static, str> {
    known_code(code).map_or_else(|| code.to_string().into(), Cow::Borrowed)
}

/// Whether a code says that the server failed; the others are the caller's doing.
pub fn is_server_fault(code: &str) -> bool {
    SERVER_FAULTS.contains(&code) || !CODES.contains(&code)
}
