//! Patterns by which people name Go functions, in `tandem.yaml` and on the command line.
//!
//! `*` stands for any text; all else stands for itself. Methods can be written as Go does, `(*Cart).Add`, or `Cart.Add`.

use std::fmt;

/// A pattern of functions' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionPattern {
    text: String,
    plain: String,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern(String);

impl fmt::Display for BadPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} is no pattern of functions: give a name like Checkout, Cart.Add or (*Cart).Add, with * for any text",
            self.0
        )
    }
}

impl std::error::Error for BadPattern {}

impl FunctionPattern {
    /// Reads a pattern: letters, digits and `_ . / - ~ ( ) *`.
    pub fn parse(text: &str) -> Result<FunctionPattern, BadPattern> {
        let is_allowed = |c: char| c.is_alphanumeric() || "_./-~()*".contains(c);
        if text.is_empty() || !text.chars().all(is_allowed) {
            return Err(BadPattern(text.to_owned()));
        }
        Ok(FunctionPattern { text: text.to_owned(), plain: without_stars_of_receivers(text) })
    }

    /// As it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name is meant: `(*Cart).Add` by `Cart.*`, too.
    pub fn matches(&self, name: &str) -> bool {
        wildcard(&self.plain, &without_stars_of_receivers(name))
    }

    /// Whether a function is meant by its name within its package, behind the package's name, or behind its import path.
    pub fn matches_function(&self, import_path: &str, package: &str, name: &str) -> bool {
        let candidates = [name.to_owned(), format!("{package}.{name}"), format!("{import_path}.{name}")];
        candidates.iter().any(|candidate| self.matches(candidate))
    }
}

impl TryFrom<String> for FunctionPattern {
    type Error = BadPattern;

    fn try_from(text: String) -> Result<FunctionPattern, BadPattern> {
        FunctionPattern::parse(&text)
    }
}

impl std::str::FromStr for FunctionPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<FunctionPattern, BadPattern> {
        FunctionPattern::parse(text)
    }
}

/// `cart.(*Cart).Add` becomes `cart.Cart.Add`; a lone `(*)` stays a star.
fn without_stars_of_receivers(text: &str) -> String {
    text.replace("(*)", "*").replace("(*", "").replace(['(', ')'], "")
}

/// Whether `text` is what `pattern` says, `*` being any text. Linear but for one step back to the last star.
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut place) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while place < text.len() {
        if at < pattern.len() && pattern[at] == b'*' {
            retry = Some((at, place));
            at += 1;
        } else if at < pattern.len() && pattern[at] == text[place] {
            (at, place) = (at + 1, place + 1);
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            (at, place) = (star + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&rest| rest == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        FunctionPattern::parse(pattern).expect("a pattern").matches(name)
    }

    #[test]
    fn stars_and_receivers() {
        for (pattern, name) in [
            ("Checkout", "Checkout"),
            ("*", "(*Cart).Add"),
            ("Cart.Add", "(*Cart).Add"),
            ("(*Cart).Add", "(*Cart).Add"),
            ("(*Cart).*", "(*Cart).Add"),
            ("(*).Add", "(*Cart).Add"),
            ("*.Add", "Cart.Add"),
            ("New*", "New"),
            ("*a*b*", "xxaxxbxb"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("Check", "Checkout"), ("*.Add", "Add"), ("Cart.*", "cart.Cart"), ("a*b", "abc")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        let path = FunctionPattern::parse("example.com/shop/*.Add").expect("a pattern");
        assert!(path.matches_function("example.com/shop/cart", "cart", "(*Cart).Add"));
        assert!(FunctionPattern::parse("cart.Cart.Add").expect("a pattern").matches_function(
            "x/c",
            "cart",
            "(*Cart).Add"
        ));
        for bad in ["", "a b", "[a-z]", "a?", "x\n"] {
            assert!(FunctionPattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn stars_are_any_text() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(wildcard(pattern, text), fits, "{pattern} {text}");
        }
    }

    proptest! {
        /// Cutting any pieces out of a name and putting stars there matches the name.
        #[test]
        fn a_name_with_pieces_cut_out_matches(name in "[a-z.]{0,20}", cuts in prop::collection::vec((0usize..20, 0usize..20), 0..4)) {
            let mut pattern = name.clone();
            for (from, to) in cuts {
                let (from, to) = (from.min(pattern.len()), to.min(pattern.len()));
                if from <= to {
                    pattern.replace_range(from..to, "*");
                }
            }
            prop_assert!(wildcard(&pattern, &name));
            pattern.push('!');
            prop_assert!(!wildcard(&pattern, &name));
        }
    }
}
