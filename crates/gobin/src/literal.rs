//! Go string literals in double quotes, as the go command writes them into its own files.

/// Reads a literal with its quotes; `None` when it is none.
pub fn unquote(text: &str) -> Option<Vec<u8>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut output = Vec::with_capacity(inner.len());
    let mut at = 0;
    while at < inner.len() {
        if inner[at] != b'\\' {
            output.push(inner[at]);
            at += 1;
            continue;
        }
        let number = |count: usize, radix: u32| {
            let digits = inner.get(at + 2..at + 2 + count)?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
        };
        let character = |count: usize| char::from_u32(number(count, 16)?);
        let kind = *inner.get(at + 1)?;
        let (byte, length) = match kind {
            b'n' => (b'\n', 2),
            b't' => (b'\t', 2),
            b'r' => (b'\r', 2),
            b'a' => (0x07, 2),
            b'b' => (0x08, 2),
            b'f' => (0x0c, 2),
            b'v' => (0x0b, 2),
            b'x' => (number(2, 16)? as u8, 4),
            b'u' | b'U' => {
                let digits = if kind == b'u' { 4 } else { 8 };
                output.extend_from_slice(character(digits)?.encode_utf8(&mut [0; 4]).as_bytes());
                at += 2 + digits;
                continue;
            }
            other => (other, 2),
        };
        output.push(byte);
        at += length;
    }
    Some(output)
}

/// Writes a literal; every byte that is not plain ASCII is given by number.
pub fn quote(bytes: &[u8]) -> String {
    let mut output = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => output.extend(['\\', *byte as char]),
            b'\n' => output.push_str("\\n"),
            b'\t' => output.push_str("\\t"),
            0x20..0x7f => output.push(*byte as char),
            _ => output.push_str(&format!("\\x{byte:02x}")),
        }
    }
    output + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_escape() {
        assert_eq!(unquote(r#""é\u00e9\U0001F980\v\\\"""#).as_deref(), Some("éé🦀\x0b\\\"".as_bytes()));
        for broken in ["", "\"", "x", r#""\"#, r#""\x1""#, r#""\u12""#, r#""\uD800""#] {
            assert_eq!(unquote(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(bytes: Vec<u8>) {
            prop_assert_eq!(unquote(&quote(&bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = unquote(&format!("\"{text}\""));
        }
    }
}
