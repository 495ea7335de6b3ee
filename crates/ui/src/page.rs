//! The embedded page. Its own addresses (`/`, `/trace/…`, `/routes` …) are one document; the script reads the address.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Answers with a file of the page.
pub async fn asset(uri: Uri) -> Response {
    let path = match uri.path() {
        "/" | "/routes" | "/map" | "/health" | "/compare" => "index.html",
        path if path.starts_with("/trace/") => "index.html",
        path => &path[1..],
    };
    let Some((_, content_type, bytes)) = ASSETS.iter().find(|(name, _, _)| *name == path) else {
        return (StatusCode::NOT_FOUND, "there is no such page\n").into_response();
    };
    // Names of what lies there hold a hash of the content.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-store" };
    ([(header::CONTENT_TYPE, *content_type), (header::CACHE_CONTROL, cache)], *bytes).into_response()
}
