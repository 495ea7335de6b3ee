//! What may be shown of an HTTP request, however it was seen, by OpenTelemetry's conventions and docs/secrets.md: as the
//! woven half does it (go/lib/http).

use std::borrow::Cow;

/// Methods of the conventions.
pub(crate) const METHODS: [&[u8]; 10] =
    [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"QUERY"];

/// The method as an attribute: what is no known one is `_OTHER`, so that nobody can make metrics without end. An empty one
/// is how Go's clients may say GET.
pub fn method(method: &[u8]) -> &[u8] {
    match method {
        b"" => b"GET",
        known if METHODS.contains(&known) => known,
        _ => b"_OTHER",
    }
}

/// Whether a request hands telemetry over, by OTLP: those have no span, or there would be one for each batch of them.
pub fn is_export(method: &[u8], path: &[u8]) -> bool {
    method == b"POST" && [&b"/v1/traces"[..], b"/v1/metrics", b"/v1/logs"].iter().any(|end| path.ends_with(end))
}

/// The same of an RPC, `package.Service/Method`.
pub fn is_export_call(method: &[u8]) -> bool {
    let method = method.strip_prefix(b"/").unwrap_or(method);
    method.starts_with(b"opentelemetry.proto.collector.") && method.ends_with(b"/Export")
}

/// Splits `host:port`, `[v6]:port`, `host`. A port that is none is 0.
pub fn split_host(address: &str) -> (&str, u16) {
    let plain = |host: &str| host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map_or(host.len(), |_| 0);
    let trim = |host| if plain(host) == 0 && host.len() > 2 { &host[1..host.len() - 1] } else { host };
    let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| !port.contains(']')) else {
        return (trim(address), 0);
    };
    if host.contains(':') && !host.starts_with('[') {
        return (address, 0); // IPv6 without brackets or port
    }
    if port.is_empty() {
        return (trim(host), 0);
    }
    match port.bytes().all(|digit| digit.is_ascii_digit()).then(|| port.parse()) {
        Some(Ok(port)) => (trim(host), port),
        _ => (address, 0),
    }
}

/// Hides the values of query parameters whose names say that they are secret.
pub fn redact(query: &str) -> Cow<'_, str> {
    let secret = |parameter: &&str| parameter.split_once('=').is_some_and(|(name, _)| is_secret(name));
    if !query.split('&').any(|parameter| secret(&parameter)) {
        return query.into();
    }
    let parts = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=REDACTED"),
        _ => parameter.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&").into()
}

fn is_secret(parameter: &str) -> bool {
    const WORDS: [&str; 22] = [
        "sig",
        "awsaccesskeyid",
        "xamzcredential",
        "xgoogcredential",
        "auth",
        "authorization",
        "bearer",
        "jwt",
        "assertion",
        "clientassertion",
        "samlresponse",
        "codeverifier",
        "pass",
        "passphrase",
        "pin",
        "otp",
        "accesskey",
        "secretkey",
        "privatekey",
        "credentials",
        "session",
        "sessionid",
    ];
    const ENDS: [&str; 7] = ["token", "password", "passwd", "pwd", "secret", "signature", "apikey"];
    let plain = parameter.chars().filter(|c| !matches!(c, '-' | '_' | '.')).map(|c| c.to_ascii_lowercase());
    let word: String = plain.collect();
    WORDS.contains(&word.as_str()) || ENDS.iter().any(|end| word.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_told_from_requests() {
        assert!(is_export(b"POST", b"/v1/traces") && is_export(b"POST", b"http://collector:4318/otlp/v1/logs"));
        assert!(!is_export(b"GET", b"/v1/traces") && !is_export(b"POST", b"/v1/traces/1"));
        assert!(is_export_call(b"opentelemetry.proto.collector.trace.v1.TraceService/Export"));
        assert!(!is_export_call(b"shop.v1.Cart/Export"));
    }

    #[test]
    fn hosts_are_split_as_go_does() {
        for (address, host, port) in [
            ("", "", 0),
            ("example.com", "example.com", 0),
            ("example.com:8080", "example.com", 8080),
            ("[::1]:443", "::1", 443),
            ("[::1]", "::1", 0),
            ("::1", "::1", 0),
            ("host:", "host", 0),
            ("host:http", "host:http", 0),
            ("host:99999999999999", "host:99999999999999", 0),
            (":80", "", 80),
            ("a:b:c", "a:b:c", 0),
        ] {
            assert_eq!(split_host(address), (host, port), "{address}");
        }
    }

    #[test]
    fn secrets_are_hidden_as_go_does() {
        for (query, shown) in [
            ("", ""),
            ("a=1&b=2", "a=1&b=2"),
            ("a=1&sig=x&b=2", "a=1&sig=REDACTED&b=2"),
            ("design=x&sig", "design=x&sig"),
            ("AWSAccessKeyId=x&&", "AWSAccessKeyId=REDACTED&&"),
            ("X-Amz-Signature=a=b&c=sig", "X-Amz-Signature=REDACTED&c=sig"),
            ("token=x&max_tokens=5", "token=REDACTED&max_tokens=5"),
            ("author=x&passenger=y&key=z&secretary=v", "author=x&passenger=y&key=z&secretary=v"),
        ] {
            assert_eq!(redact(query), shown, "{query}");
        }
    }

    #[test]
    fn methods_are_bounded() {
        assert_eq!([method(b""), method(b"PATCH"), method(b"BREW")], [&b"GET"[..], b"PATCH", b"_OTHER"]);
    }
}
