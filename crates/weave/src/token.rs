//! A Go scanner that is just good enough to compare source texts: tokens with their byte ranges, comments and white
//! space left out. It never fails; what it does not know becomes a token of one character.

use std::ops::Range;

/// The tokens of a text.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Byte ranges in the text, in order.
    pub ranges: Vec<Range<usize>>,
    /// How many comments were skipped.
    pub comments: usize,
}

const OPERATORS: [&str; 24] = [
    "<<=", ">>=", "&^=", "...", "&&", "||", "<-", "++", "--", "==", "!=", "<=", ">=", ":=", "+=", "-=", "*=", "/=",
    "%=", "&=", "|=", "^=", "<<", "&^",
];

/// Scans `text`.
pub fn tokens(text: &str) -> Tokens {
    let bytes = text.as_bytes();
    let mut found = Tokens::default();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let first = rest.chars().next().expect("at is a character border below the end");
        let length = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if rest.starts_with("//") || rest.starts_with("/*") {
            let end = if rest.starts_with("//") { rest.find('\n') } else { rest.find("*/").map(|end| end + 2) };
            found.comments += 1;
            at += end.unwrap_or(rest.len());
            continue;
        } else if first.is_alphabetic() || first == '_' {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
        } else if first.is_ascii_digit() {
            rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len())
        } else if first == '`' {
            rest[1..].find('`').map_or(rest.len(), |end| end + 2)
        } else if first == '"' || first == '\'' {
            quoted(rest.as_bytes(), first as u8)
        } else {
            OPERATORS
                .iter()
                .find(|operator| rest.starts_with(**operator))
                .map_or(first.len_utf8(), |operator| operator.len())
        };
        found.ranges.push(at..at + length);
        at += length;
    }
    found
}

fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'\n' {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    // Not closed: end on a character border at or below the line's end.
    let mut end = at.min(bytes.len());
    while end < bytes.len() && bytes[end] & 0xc0 == 0x80 {
        end += 1;
    }
    end
}

/// The byte ranges in `text` whose tokens equal those of `wanted`; they do not overlap. Semicolons count as white space:
/// where the source has a line's end, the one-line form of the same code has a semicolon or none.
pub fn find_all(text: &str, wanted: &str) -> Vec<Range<usize>> {
    let without_semicolons = |text: &str| {
        let mut ranges = tokens(text).ranges;
        ranges.retain(|range| &text[range.clone()] != ";");
        ranges
    };
    let wanted_tokens: Vec<&str> = without_semicolons(wanted).into_iter().map(|range| &wanted[range]).collect();
    let have = without_semicolons(text);
    let mut found = Vec::new();
    if wanted_tokens.is_empty() {
        return found;
    }
    let mut at = 0;
    while at + wanted_tokens.len() <= have.len() {
        let window = &have[at..at + wanted_tokens.len()];
        if window.iter().zip(&wanted_tokens).all(|(range, token)| &text[range.clone()] == *token) {
            found.push(window[0].start..window[window.len() - 1].end);
            at += wanted_tokens.len();
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn scans_go() {
        assert_eq!(texts("a:=b<<1 // c\n/* d */e"), ["a", ":=", "b", "<<", "1", "e"]);
        assert_eq!(texts(r#"f("a // b", '\'', `x"y`)"#), ["f", "(", r#""a // b""#, ",", r"'\''", ",", r#"`x"y`"#, ")"]);
        assert_eq!(texts("*[]byte..."), ["*", "[", "]", "byte", "..."]);
        assert_eq!(texts("\"open\nx"), ["\"open", "x"]);
    }

    #[test]
    fn finds_across_white_space_and_comments() {
        let text = "x = w\ny  =  w /* c */ ; yy = w";
        assert_eq!(find_all(text, "y = w").len(), 1);
        assert_eq!(&text[find_all(text, "y=w;")[0].clone()], "y  =  w");
        assert_eq!(find_all("if a {\n\tb()\n\tc()\n}\n", "if a { b(); c() }").len(), 1);
    }
}
