//! What may be shown of addresses and messages.

use crate::exchange::Parent;

/// Bytes of a text that are kept.
const TEXT_LIMIT: usize = 1024;

/// Bytes as text, cut to what a record holds.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    limited(&String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_LIMIT)]), TEXT_LIMIT)
}

/// The beginning of a text, of at most so many bytes.
pub(crate) fn limited(text: &str, limit: usize) -> String {
    text[..text.floor_char_boundary(limit.min(text.len()))].to_owned()
}

/// W3C `traceparent`.
pub(crate) fn traceparent(value: &[u8]) -> Option<Parent> {
    let value = value.trim_ascii();
    let [version, trace, span, flags]: [&[u8]; 4] =
        value.split(|&byte| byte == b'-').take(4).collect::<Vec<_>>().try_into().ok()?;
    let version = hex::<1>(version)?[0];
    if version == 0xff || version == 0 && value.len() != 55 {
        return None;
    }
    let parent = Parent { trace_id: hex(trace)?, span_id: hex(span)?, flags: hex::<1>(flags)?[0] };
    (parent.trace_id != [0; 16] && parent.span_id != [0; 8]).then_some(parent)
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N || text.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digits = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
    }
    Some(bytes)
}

/// A database's message without what it quotes of data: what stands in quotes, braces or behind `=(`.
pub(crate) fn redacted_message(message: &str) -> String {
    let mut shown = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(['\'', '"', '{', '(']) {
        let open = rest[at..].chars().next().unwrap_or_default();
        let before = &rest[..at];
        shown.push_str(before);
        let after = &rest[at + 1..];
        let apostrophe = open == '\'' && before.ends_with('n') && after.starts_with("t ");
        let assigns = before.trim_end().ends_with(['=']) || before.trim_end().ends_with(" is");
        let name = matches!(open, '\'' | '"').then(|| quoted_name(before, after, open)).flatten();
        let closing = match open {
            '{' => '}',
            '(' => ')',
            quote => quote,
        };
        if let Some(name) = name {
            shown.push(open);
            shown.push_str(name);
            shown.push(open);
            rest = &after[name.len() + 1..];
        } else if apostrophe || open == '(' && !assigns {
            shown.push(open);
            rest = after;
        } else {
            shown.push(open);
            shown.push('?');
            shown.push(closing);
            // Up to the last of them: what is quoted may hold quotes.
            rest = after.rfind(closing).map_or("", |last| &after[last + closing.len_utf8()..]);
        }
    }
    shown.push_str(rest);
    limited(&shown, TEXT_LIMIT)
}

const NAMED: [&str; 17] = [
    "table",
    "relation",
    "column",
    "constraint",
    "key",
    "database",
    "schema",
    "role",
    "user",
    "function",
    "procedure",
    "type",
    "index",
    "sequence",
    "view",
    "collection",
    "parameter",
];

/// What is quoted, when the word before it says that it is a name.
fn quoted_name<'a>(before: &str, after: &'a str, quote: char) -> Option<&'a str> {
    let word = before.trim_end().rsplit([' ', '\n', '\t', ':', '(', ',', '.', ';']).next()?.to_ascii_lowercase();
    let name = &after[..after.find(quote)?];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '$');
    (NAMED.contains(&word.as_str()) && !name.is_empty() && name.len() <= 64 && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message quotes of data is not shown, what it names is.
    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(redacted_message("Duplicate entry 'ann@example.com' for key 'users.email'"), "Duplicate entry '?'");
        assert_eq!(redacted_message("relation \"items\" does not exist"), "relation \"items\" does not exist");
        assert_eq!(redacted_message("Key (email)=(ann) already exists"), "Key (email)=(?) already exists");
    }

    /// Only what W3C allows is a parent.
    #[test]
    fn traceparents_are_read() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(good).map(|parent| (parent.span_id[1], parent.flags)), Some((0xf0, 1)));
        for bad in [
            &b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"[..],
            b"ff-",
            b"",
            b"00-x-y-z",
            b"00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(traceparent(bad), None);
        }
    }
}
