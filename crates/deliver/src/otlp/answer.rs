//! What receivers say when they do not take a request, as OTLP and gRPC define it.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use prost::Message;

/// So much of a receiver's own words is shown.
const WORDS: usize = 300;

/// `google.rpc.Status`, as far as it matters here.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// Another attempt may succeed, says OTLP.
pub fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The name of a cause in counts.
pub fn cause_of_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 415 | 422 => "bad_request",
        401 | 403 | 407 => "unauthorized",
        404 | 405 | 410 | 501 => "not_found",
        300..400 => "redirected",
        500.. => "server_error",
        _ => "refused",
    }
}

/// The same of a gRPC status.
pub fn cause_of_code(code: u32) -> &'static str {
    match code {
        3 | 9 => "bad_request",
        7 | 16 => "unauthorized",
        5 | 12 => "not_found",
        2 | 13 => "server_error",
        _ => "refused",
    }
}

/// How long the receiver wants to be left alone. A date is compared with the receiver's own clock, where it tells it: ours
/// may be another.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let after = text(RETRY_AFTER)?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(after).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or_else(SystemTime::now);
    date.duration_since(now).ok()
}

/// The delay in a gRPC status's details, which are base64 in a trailer.
pub fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = Status::decode(base64(details)?.as_slice()).ok()?;
    let info = status.details.iter().find(|detail| detail.kind.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.delay.unwrap_or_default();
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
}

/// gRPC libraries say by a status and words that a message is too long.
pub fn is_too_large(message: &str) -> bool {
    ["larger than max", "length too large", "exceeds maximum size", "too large"]
        .iter()
        .any(|words| message.contains(words))
}

/// The receiver's own words, after a colon; empty: it has none.
pub fn said(headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words = match kind.split(';').next().unwrap_or_default().trim() {
        "application/x-protobuf" => Status::decode(body).map(|status| status.message).unwrap_or_default(),
        "application/json" => {
            let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            ["message", "error"].iter().find_map(|key| value.get(key)?.as_str()).unwrap_or_default().to_owned()
        }
        "text/html" => String::new(), // a page for a browser
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let line: String =
        words.trim().lines().next().unwrap_or_default().chars().filter(|one| !one.is_control()).take(WORDS).collect();
    if line.is_empty() { line } else { format!(": {line}") }
}

/// Base64 of either alphabet, padded or not, as gRPC allows.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut count) = (0u32, 0);
    for &letter in text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text) {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn a_receiver_may_say_when() {
        assert_eq!(retry_after(&headers(&[("retry-after", " 7")])), Some(Duration::from_secs(7)));
        // Its clock is years from ours; between its two dates are ten seconds.
        let dates = [("date", "Fri, 31 Dec 1999 23:59:55 GMT"), ("retry-after", "Sat, 01 Jan 2000 00:00:05 GMT")];
        assert_eq!(retry_after(&headers(&dates)), Some(Duration::from_secs(10)));
        assert_eq!(retry_after(&headers(&dates[1..])), None);
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
        let delay = RetryInfo { delay: Some(Delay { seconds: 3, nanos: 5 }) }.encode_to_vec();
        let detail = Detail { kind: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: delay };
        let status = Status { message: "slow down".to_owned(), details: vec![detail] }.encode_to_vec();
        for text in [encode(&status), encode(&status).trim_end_matches('=').to_owned()] {
            assert_eq!(retry_delay(text.as_bytes()), Some(Duration::new(3, 5)));
        }
        assert_eq!(retry_delay(b"?"), None);
    }

    fn encode(bytes: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for index in 0..4 {
                let letter =
                    if index <= three.len() { LETTERS[(bits >> (18 - 6 * index) & 63) as usize] } else { b'=' };
                text.push(letter.into());
            }
        }
        text
    }

    #[test]
    fn its_words_are_shown() {
        let text = headers(&[("content-type", "text/plain; charset=utf-8")]);
        assert_eq!(said(&text, b"no \x1bsuch tenant\nmore"), ": no such tenant");
        assert_eq!(said(&headers(&[("content-type", "application/json")]), br#"{"message":"bad"}"#), ": bad");
        let status = Status { message: "worse".to_owned(), details: Vec::new() }.encode_to_vec();
        assert_eq!(said(&headers(&[("content-type", "application/x-protobuf")]), &status), ": worse");
        assert_eq!(said(&HeaderMap::new(), b""), "");
    }
}
