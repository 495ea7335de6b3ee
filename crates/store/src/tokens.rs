//! Which values occur in a block of traces: a Bloom filter of what a search can ask for.
//!
//! A token is a hash of something that a span has: an attribute's key, its value, the order of magnitude of a number, the
//! number of its operation. A filter says of a token "not in here" or "perhaps". The hashes are those of XXH3, which are
//! specified: they lie on disk.
//!
//! A filter's size is a power of two, so that it can be folded: halves laid over each other are the filter of half the
//! size. It is filled at the largest size and written at the smallest that is still sparse: few values make few bytes.

use deliver::otlp::walk::{self, AnyValue, Attribute, Malformed, SPAN_ATTRIBUTES};
use model::{ANATOMY_PREFIX, StatusCode};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bits of a filter while it is filled.
const BITS: usize = 1 << 18;
const WORDS: usize = BITS / 64;
/// Words of the smallest filter.
const FEWEST_WORDS: usize = 8;
/// Bits that a token sets.
const HASHES: u32 = 5;
/// Share of bits that may be set in a filter that is written: at a quarter, one in a thousand tokens that are not in it
/// seems to be.
const FULLEST: f64 = 0.25;

/// Something that a span has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(u64);

/// What a token is about; never changed, for tokens lie on disk.
#[derive(Clone, Copy)]
enum About {
    Key = 1,
    Text = 2,
    Number = 3,
    Magnitude = 4,
    Opaque = 5,
    Operation = 6,
    Resource = 7,
    Status = 8,
    Failed = 9,
}

impl Token {
    fn of(about: About, key: u64, bytes: &[u8]) -> Self {
        Self(xxh3_64_with_seed(bytes, key ^ (about as u64) << 56))
    }

    fn numbered(about: About, number: i64) -> Self {
        Self::of(about, 0, &number.to_le_bytes())
    }

    /// A span of this operation is in it.
    pub fn operation(id: i64) -> Self {
        Self::numbered(About::Operation, id)
    }

    /// A span of this operation that failed.
    pub fn failed(operation: i64) -> Self {
        Self::numbered(About::Failed, operation)
    }

    /// A span of this resource.
    pub fn resource(id: i64) -> Self {
        Self::numbered(About::Resource, id)
    }

    /// A span with this outcome.
    pub fn status(code: StatusCode) -> Self {
        Self::numbered(About::Status, code as i64)
    }

    /// An attribute with this key.
    pub fn key(key: &str) -> Self {
        Self::of(About::Key, xxh3_64(key.as_bytes()), &[])
    }

    /// What a block may have that has an attribute whose value is this text, or the number that it stands for.
    pub fn equal(key: &str, text: &str) -> Vec<Self> {
        // Of the anatomy only magnitudes are kept: no two spans have the same nanoseconds.
        if key.starts_with(ANATOMY_PREFIX) {
            return vec![Self::key(key)];
        }
        let hash = xxh3_64(key.as_bytes());
        let number = text.parse().ok().map(|number| Self::number(hash, number));
        let always = [Self::of(About::Text, hash, text.as_bytes()), Self::of(About::Opaque, hash, &[])];
        always.into_iter().chain(number).collect()
    }

    /// What a block may have that has an attribute which is a number from `least` to `most`; nothing when that is any number.
    pub fn between(key: &str, least: f64, most: f64) -> Option<Vec<Self>> {
        let hash = xxh3_64(key.as_bytes());
        let (first, last) = (magnitude(least)?, magnitude(most)?);
        (last - first < LARGEST).then(|| (first..=last).map(|magnitude| Self::magnitude(hash, magnitude)).collect())
    }

    fn number(key: u64, number: f64) -> Self {
        // There are two zeros.
        Self::of(About::Number, key, &(number + 0.0).to_bits().to_le_bytes())
    }

    fn magnitude(key: u64, magnitude: u8) -> Self {
        Self::of(About::Magnitude, key, &[magnitude])
    }
}

/// Magnitude of the largest numbers.
const LARGEST: u8 = 34;

/// A number's order of magnitude, in steps of four: 0 below zero, 1 zero, 2 below one. Not of what is no number.
fn magnitude(number: f64) -> Option<u8> {
    Some(match number {
        _ if number.is_nan() => return None,
        _ if number < 0.0 => 0,
        0.0 => 1,
        _ if number < 1.0 => 2,
        _ => {
            let exponent = (number.to_bits() >> 52) - 1023;
            (3 + exponent / 2).min(LARGEST.into()) as u8
        }
    })
}

/// A filter while it is filled.
pub struct Tokens {
    words: Box<[u64; WORDS]>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { words: vec![0; WORDS].into_boxed_slice().try_into().expect("so many words") }
    }
}

/// The bits of a token in a filter of so many.
fn bits(token: Token, bits: usize) -> impl Iterator<Item = usize> {
    let (first, step) = (token.0 as u32, (token.0 >> 32) as u32 | 1);
    (0..HASHES).map(move |number| first.wrapping_add(number.wrapping_mul(step)) as usize & (bits - 1))
}

impl Tokens {
    /// A filter that was written, to be filled further.
    pub fn read(written: &[u8]) -> Self {
        let mut tokens = Self::default();
        if is_filter(written) {
            for (word, bytes) in tokens.words.iter_mut().zip(written.chunks_exact(8).cycle()) {
                *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            }
        } else {
            tokens.words.fill(u64::MAX); // what is not understood may hold anything
        }
        tokens
    }

    /// Adds one.
    pub fn insert(&mut self, token: Token) {
        for bit in bits(token, BITS) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Adds what a search can ask of a span's attributes.
    pub fn insert_attributes(&mut self, span: &[u8]) -> Result<(), Malformed> {
        walk::attributes(span, SPAN_ATTRIBUTES).try_for_each(|attribute| self.insert_attribute(attribute?))
    }

    fn insert_attribute(&mut self, attribute: Attribute<'_>) -> Result<(), Malformed> {
        let hash = xxh3_64(attribute.key);
        self.insert(Token::of(About::Key, hash, &[]));
        let is_exact = !attribute.key.starts_with(ANATOMY_PREFIX.as_bytes());
        match AnyValue::read(attribute.value)? {
            AnyValue::Array(values) => {
                walk::values(values)
                    .try_for_each(|value| value.map(|value| self.insert_value(hash, value, is_exact)))?;
                // Its text as a whole can be asked for, too.
                self.insert(Token::of(About::Opaque, hash, &[]));
            }
            value => self.insert_value(hash, value, is_exact),
        }
        Ok(())
    }

    fn insert_value(&mut self, key: u64, value: AnyValue<'_>, is_exact: bool) {
        let mut insert_number = |number: f64| {
            if is_exact {
                self.insert(Token::number(key, number));
            }
            if let Some(magnitude) = magnitude(number) {
                self.insert(Token::magnitude(key, magnitude));
            }
        };
        match value {
            AnyValue::Int(number) => insert_number(number as f64),
            AnyValue::Double(number) => insert_number(number),
            AnyValue::String(text) => self.insert(Token::of(About::Text, key, text)),
            AnyValue::Bool(flag) => {
                self.insert(Token::of(About::Text, key, if flag { b"true".as_slice() } else { b"false" }));
            }
            AnyValue::Empty => self.insert(Token::of(About::Text, key, b"")),
            AnyValue::Array(_) | AnyValue::Map(_) | AnyValue::Bytes(_) => {
                self.insert(Token::of(About::Opaque, key, &[]));
            }
        }
    }

    /// The filter in as few bytes as keep it sparse.
    pub fn write(&self) -> Vec<u8> {
        let mut words = self.words.to_vec();
        while words.len() > FEWEST_WORDS {
            let (one, other) = words.split_at(words.len() / 2);
            let folded: Vec<u64> = one.iter().zip(other).map(|(one, other)| one | other).collect();
            let set: u32 = folded.iter().map(|word| word.count_ones()).sum();
            if f64::from(set) > FULLEST * (folded.len() * 64) as f64 {
                break;
            }
            words = folded;
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

fn is_filter(written: &[u8]) -> bool {
    written.len().is_power_of_two() && (FEWEST_WORDS * 8..=WORDS * 8).contains(&written.len())
}

/// Whether a token may be in a filter that was written. What is not understood may hold anything.
pub fn may_hold(written: &[u8], token: Token) -> bool {
    !is_filter(written) || bits(token, written.len() * 8).all(|bit| written[bit / 8] & 1 << (bit % 8) != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(number: u64) -> Token {
        Token::equal("user.id", &format!("u{number}"))[0]
    }

    #[test]
    fn a_filter_is_as_large_as_what_is_in_it_and_seldom_wrong() {
        for (count, most_bytes) in [(0, 64), (20, 64), (1000, 4096), (8000, 32768)] {
            let mut tokens = Tokens::default();
            (0..count).for_each(|number| tokens.insert(token(number)));
            let written = tokens.write();
            assert!(written.len() <= most_bytes, "{count} tokens in {} bytes", written.len());
            assert!((0..count).all(|number| may_hold(&written, token(number))));
            let wrong = (1_000_000..1_010_000).filter(|&number| may_hold(&written, token(number))).count();
            assert!(wrong < 60, "{wrong} of 10000 seem to be among {count}");
        }
    }

    proptest! {
        /// However often it was written and filled further in between, nothing that went in is missing.
        #[test]
        fn nothing_gets_lost(parts in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..300), 1..5)) {
            let mut written = Tokens::default().write();
            for part in &parts {
                let mut tokens = Tokens::read(&written);
                part.iter().for_each(|&number| tokens.insert(token(number)));
                written = tokens.write();
            }
            prop_assert!(parts.iter().flatten().all(|&number| may_hold(&written, token(number))));
        }

        /// A number is within the magnitudes of every range that it is in.
        #[test]
        fn magnitudes_cover_their_range(ends in (any::<f64>(), any::<f64>()), share in 0.0..=1.0f64) {
            let (least, most) = (ends.0.min(ends.1), ends.0.max(ends.1));
            prop_assume!(least.is_finite() && most.is_finite());
            let number = (least * (1.0 - share) + most * share).clamp(least, most);
            if let Some(covered) = Token::between("k", least, most) {
                let own = magnitude(number).expect("a number");
                prop_assert!(covered.contains(&Token::magnitude(xxh3_64(b"k"), own)), "{number} in {least}..{most}");
            }
        }
    }
}
