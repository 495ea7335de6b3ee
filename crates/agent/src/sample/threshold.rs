//! Consistent probability: how many traces a kept one stands for, as the `ot` member of `tracestate` says it.
//!
//! A trace has 56 bits of randomness, the last of its id or what `rv` says. Who samples by ratio keeps it when they reach a
//! threshold, and writes that as `th`. Whoever keeps a share of what arrives therefore raises the threshold that it arrived
//! with, and never lowers it: what counts spans by it stays right, however many samplers there are in a row.

use model::TraceId;

/// The threshold that no trace reaches.
pub const NEVER: u64 = 1 << 56;
/// Digits of a threshold: 56 bits.
const DIGITS: usize = 14;
/// Longest value of a member.
const LONGEST: usize = 256;

/// What OpenTelemetry's member of a `tracestate` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `th`.
    pub threshold: Option<u64>,
    /// `rv`.
    pub randomness: Option<u64>,
}

impl Told {
    /// Reads a `tracestate`; what makes no sense in it says nothing.
    pub fn read(tracestate: &[u8]) -> Self {
        let mut told = Self::default();
        for pair in member(tracestate, b"ot").unwrap_or_default().split(|&byte| byte == b';') {
            match pair.split_at_checked(3) {
                Some((b"th:", digits)) if told.threshold.is_none() => told.threshold = fraction(digits),
                Some((b"rv:", digits)) if told.randomness.is_none() && digits.len() == DIGITS => {
                    told.randomness = fraction(digits);
                }
                _ => {}
            }
        }
        told
    }

    /// Reads the `tracestate` of a span. A threshold that its trace does not reach, and yet it was kept, says nothing.
    pub fn of(tracestate: &[u8], trace: TraceId) -> Self {
        let told = Self::read(tracestate);
        let random = told.randomness(trace);
        Self { threshold: told.threshold.filter(|threshold| random >= *threshold), ..told }
    }

    /// What is compared with thresholds.
    pub fn randomness(&self, trace: TraceId) -> u64 {
        let [.., a, b, c, d, e, f, g] = trace.0;
        self.randomness.unwrap_or(u64::from_be_bytes([0, a, b, c, d, e, f, g]))
    }

    /// The threshold that keeps this share of what arrived with the one told.
    pub fn raised(&self, share: f64) -> u64 {
        if share >= 1.0 {
            return self.threshold.unwrap_or(0);
        }
        let arrived = (NEVER - self.threshold.unwrap_or(0)) as f64;
        let kept = arrived * share.max(0.0);
        let threshold = NEVER - kept.round() as u64;
        // Four digits behind those that only say how small the share is, as the specification recommends.
        let mut precision = 4;
        let mut size = kept / NEVER as f64;
        while size > 0.0 && size < 1.0 / 16.0 && precision < DIGITS {
            precision += 1;
            size *= 16.0;
        }
        let unit = 1u64 << (4 * (DIGITS - precision));
        let rounded = (threshold + unit / 2) / unit * unit;
        let rounded = if rounded >= NEVER && threshold < NEVER { NEVER - unit } else { rounded };
        rounded.max(self.threshold.unwrap_or(0))
    }
}

/// Value of a member.
pub fn member<'a>(tracestate: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    members(tracestate).find_map(|member| member.strip_prefix(key)?.strip_prefix(b"="))
}

fn members(tracestate: &[u8]) -> impl Iterator<Item = &[u8]> {
    tracestate.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// 1 to 14 digits; those that are missing at the end are 0.
fn fraction(digits: &[u8]) -> Option<u64> {
    if digits.is_empty()
        || digits.len() > DIGITS
        || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let value = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some(value << (4 * (DIGITS - digits.len())))
}

/// A `tracestate` with this threshold, or with none; what else is in it stays.
pub fn retold(tracestate: &[u8], threshold: Option<u64>) -> Vec<u8> {
    let mut ot = Vec::new();
    if let Some(threshold) = threshold.filter(|threshold| *threshold < NEVER) {
        let digits = format!("{threshold:0DIGITS$x}");
        let digits = digits.trim_end_matches('0');
        ot.extend_from_slice(b"th:");
        ot.extend_from_slice(if digits.is_empty() { b"0" } else { digits.as_bytes() });
    }
    let others = member(tracestate, b"ot").unwrap_or_default().split(|&byte| byte == b';');
    for pair in others.filter(|pair| !pair.is_empty() && !pair.starts_with(b"th:")) {
        if ot.len() + 1 + pair.len() > LONGEST {
            break;
        }
        if !ot.is_empty() {
            ot.push(b';');
        }
        ot.extend_from_slice(pair);
    }
    let mut state = Vec::with_capacity(tracestate.len() + 8 + ot.len());
    if !ot.is_empty() {
        state.extend_from_slice(b"ot=");
        state.extend_from_slice(&ot);
    }
    for member in members(tracestate).filter(|member| !member.starts_with(b"ot=")) {
        if !state.is_empty() {
            state.push(b',');
        }
        state.extend_from_slice(member);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(threshold: u64) -> Told {
        Told { threshold: Some(threshold), randomness: None }
    }

    #[test]
    fn thresholds_are_read_and_written_as_samplers_write_them() {
        let state = b"a=1, ot=th:c;rv:6e6d1a75832a2f,b=2";
        let read = Told::read(state);
        assert_eq!(read, Told { threshold: Some(0xc0_0000_0000_0000), randomness: Some(0x6e_6d1a_7583_2a2f) });
        assert_eq!(retold(state, Some(0xf0_0000_0000_0000)), b"ot=th:f;rv:6e6d1a75832a2f,a=1,b=2");
        assert_eq!(retold(state, None), b"ot=rv:6e6d1a75832a2f,a=1,b=2");
        assert_eq!(retold(b"ot=th:8", None), b"");
        assert_eq!(retold(b"", Some(0)), b"ot=th:0");
        assert_eq!(Told::read(b"ot=th:xyz;rv:12"), Told::default());
        assert_eq!(Told::read(b"ot=th:0123456789abcdef"), Told::default());
    }

    #[test]
    fn a_share_is_of_what_arrived() {
        assert_eq!(Told::default().raised(0.5), NEVER / 2);
        assert_eq!(Told::default().raised(1.0), 0);
        assert_eq!(Told::default().raised(0.0), NEVER);
        assert_eq!(told(NEVER / 2).raised(0.5), NEVER / 4 * 3);
        assert_eq!(told(NEVER / 4).raised(1.0), NEVER / 4);
        let small = told(NEVER / 16 * 15).raised(0.001);
        let kept = (NEVER - small) as f64 / NEVER as f64;
        assert!((kept * 16_000.0 - 1.0).abs() < 0.001, "{kept}");
    }

    #[test]
    fn randomness_is_the_end_of_the_id() {
        let trace = TraceId([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(Told::default().randomness(trace), 0x0a_0b0c_0d0e_0f10);
        assert_eq!(Told { randomness: Some(7), threshold: None }.randomness(trace), 7);
        assert_eq!(Told::of(b"ot=th:08", trace).threshold, Some(0x08_0000_0000_0000));
        assert_eq!(Told::of(b"ot=th:8", trace).threshold, None, "which the trace does not reach");
    }
}
