//! What requests of a route ask for, as programs compare it with a path: `*` stands for whatever a parameter may be.
//!
//! A program decides on a trace before any router has seen the request, so it is told patterns of paths. They are at least as wide as the
//! route; of several that fit, the more specific one counts.

use std::cmp::Reverse;

/// The paths of a route, in whichever router's words: `/cart/{id}`, `/cart/:id`, `/files/*rest`, `/cart/{id:[0-9]+}`; Go's own `/static/` is
/// all that lies below it. `None`: it is not a path.
pub(super) fn of_route(route: &str) -> Option<String> {
    if !route.starts_with('/') {
        return None;
    }
    let (route, is_whole) = route.strip_suffix("{$}").map_or((route, false), |route| (route, true));
    let mut pattern = String::with_capacity(route.len() + 1);
    let mut rest = route;
    while let Some(letter) = rest.chars().next() {
        let parameter = match letter {
            '{' => braces(rest),
            '*' => segment(rest),
            ':' if rest[1..].starts_with(|next: char| next.is_alphabetic() || next == '_') => segment(rest),
            _ => 0,
        };
        if parameter == 0 {
            pattern.push(letter);
        } else if !pattern.ends_with('*') {
            pattern.push('*');
        }
        rest = &rest[parameter.max(letter.len_utf8())..];
    }
    if pattern.ends_with('/') && !is_whole {
        pattern.push('*');
    }
    Some(pattern)
}

/// Bytes of what begins with a brace, to the one that closes it: expressions may have others.
fn braces(text: &str) -> usize {
    let mut depth = 0;
    for (index, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return index + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn segment(text: &str) -> usize {
    text.find('/').unwrap_or(text.len())
}

/// The order in which a program is to look at patterns: exact ones first, then those that say more before their first `*`, then those that
/// say more at all.
pub(super) fn order(pattern: &str) -> impl Ord + '_ {
    let exact = pattern.find('*');
    let said = pattern.bytes().filter(|&letter| letter != b'*').count();
    (exact.is_some(), Reverse(exact), Reverse(said), pattern)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::wildcard;
    use proptest::prelude::*;

    #[test]
    fn routes_of_all_routers_are_patterns_of_paths() {
        for (route, pattern) in [
            ("/", "/*"),
            ("/{$}", "/"),
            ("/cart", "/cart"),
            ("/cart/{id}", "/cart/*"),
            ("/cart/{id}/items/{item...}", "/cart/*/items/*"),
            ("/static/", "/static/*"),
            ("/cart/:id/items", "/cart/*/items"),
            ("/user_:name", "/user_*"),
            ("/files/*rest", "/files/*"),
            ("/files/*", "/files/*"),
            ("/:from-:to", "/*"),
            ("/v1/items:batch", "/v1/items*"),
            ("/at/12:30", "/at/12:30"),
            ("/{id:[0-9]{3}/x}/y", "/*/y"),
            ("/a/{broken", "/a/*"),
            ("/{a}{b}", "/*"),
            ("/café/{é}", "/café/*"),
        ] {
            assert_eq!(of_route(route).as_deref(), Some(pattern), "{route}");
        }
        assert_eq!([of_route(""), of_route("example.com/a")], [None, None]);
    }

    #[test]
    fn the_more_specific_one_comes_first() {
        let sorted = ["/cart/mine", "/cart/*/items", "/cart/*", "/ca*", "/*/x", "/*", "*"];
        let mut patterns = sorted;
        patterns.reverse();
        patterns.sort_by(|one, other| order(one).cmp(&order(other)));
        assert_eq!(patterns, sorted);
    }

    proptest! {
        /// Any text is taken, and paths that a route was made from fit its pattern.
        #[test]
        fn paths_fit(text in ".{0,40}", pieces in prop::collection::vec(("[a-z]{1,5}", any::<bool>()), 1..6)) {
            of_route(&text);
            let join = |word: fn(&(String, bool)) -> String| pieces.iter().map(|piece| format!("/{}", word(piece))).collect::<String>();
            let path = join(|(word, _)| word.clone());
            for route in [
                join(|(word, is_parameter)| if *is_parameter { format!("{{{word}}}") } else { word.clone() }),
                join(|(word, is_parameter)| if *is_parameter { format!(":{word}") } else { word.clone() }),
            ] {
                let pattern = of_route(&route).expect("a path");
                prop_assert!(wildcard(&pattern, &path), "{} of {}: {}", pattern, route, path);
            }
        }
    }
}
