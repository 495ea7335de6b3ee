//! What only Go's servers know of a request; the rest is `protocol::http`'s.

/// A route from a pattern of Go's multiplexer: `GET example.com/items/{id}` gives `/items/{id}`.
pub(crate) fn route(pattern: &str) -> &str {
    pattern.find('/').map_or(pattern, |slash| &pattern[slash..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_end_with_routes() {
        assert_eq!([route("GET example.com/items/{id}"), route("/a"), route("x")], ["/items/{id}", "/a", "x"]);
    }
}
