//! What every request must pass and every answer carries.
//!
//! A page of somebody else's in the same browser must not be able to read traces. Other origins are refused by the browser
//! (no CORS header is ever sent); a name of theirs that resolves to this machine (DNS rebinding) is refused here: `Host`
//! must be an IP address or `localhost`. At an address that others reach, who asks must know the page's token (`token.rs`).

use std::net::IpAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::caller::Caller;
use crate::token::{Shown, Token};

const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// Refuses what must not be answered and adds the headers.
pub async fn guard(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<ConnectInfo<Caller>>();
    let mut response = if !caller.is_some_and(|ConnectInfo(caller)| caller.allowed) {
        refuse(StatusCode::FORBIDDEN, "this page is another user's: it is for who started it, and for root\n")
    } else if !host_is_ours(request.headers()) {
        refuse(StatusCode::MISDIRECTED_REQUEST, "this server answers to its IP address and to localhost only\n")
    } else if !matches!(*request.method(), Method::GET | Method::HEAD) && !changes(&request) {
        refuse(StatusCode::METHOD_NOT_ALLOWED, "this server can only be read from\n")
    } else {
        match token.map_or(Shown::Known, |token| token.shown(request.uri(), request.headers())) {
            Shown::Known => next.run(request).await,
            Shown::InAddress(redirect) => redirect,
            Shown::Missing => refuse(
                StatusCode::UNAUTHORIZED,
                "this page wants its token: open the address that was printed when it started\n",
            ),
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// What may change something; whether it may, is said where it is done.
fn changes(request: &Request) -> bool {
    *request.method() == Method::POST && request.uri().path() == "/api/enable"
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    (status, why).into_response()
}

fn host_is_ours(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_ours() {
        let ours = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).expect("a header"));
            host_is_ours(&headers)
        };
        for host in ["localhost", "localhost:8317", "LOCALHOST:1", "127.0.0.1:8317", "[::1]:8317", "[::1]", "10.0.0.7"]
        {
            assert!(ours(host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:8317", "localhost.evil.example", "127.0.0.1.evil.example:80", "", ":80"]
        {
            assert!(!ours(host), "{host}");
        }
        assert!(!host_is_ours(&HeaderMap::new()));
    }
}
