//! The embedded page. Its own addresses (`/`, `/trace/…`, `/routes` …) are one document; the script reads the address.

use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Answers with a file of the page.
pub async fn asset(uri: Uri) -> Response {
    let trace = uri.path().strip_prefix("/trace/");
    let path = match uri.path() {
        "/" | "/routes" | "/map" | "/software" | "/health" | "/compare" => "index.html",
        _ if trace.is_some() => "index.html",
        path => &path[1..],
    };
    let Some((_, content_type, bytes)) = ASSETS.iter().find(|(name, _, _)| *name == path) else {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    };
    // Names of what lies there hold a hash of the content.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-store" };
    let mut response =
        ([(header::CONTENT_TYPE, *content_type), (header::CACHE_CONTROL, cache)], *bytes).into_response();
    if let Some(link) = trace.and_then(preload) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// Has the browser ask for the trace while it still reads the page's script.
fn preload(trace: &str) -> Option<HeaderValue> {
    let is_id = trace == "last" || trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    let link = format!("</api/traces/{trace}/drawing>; rel=preload; as=fetch; crossorigin");
    HeaderValue::from_str(&link).ok().filter(|_| is_id)
}
