//! Durations as people write and read them. Everywhere else they are nanoseconds.

/// Units that [`parse_duration`] knows, with their nanoseconds.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86400e9)];

/// Reads `200ms`, `1.5s`, `10m`, `2h`, `7d`. `None`: not a duration; a number needs its unit.
pub fn parse_duration(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    let total = number * nanos;
    (total < u64::MAX as f64).then_some(total.round() as u64)
}

/// Writes nanoseconds with three digits and a unit: `182 ms`, `4.10 ms`, `12.5 s`, `14 m 5 s`.
pub fn format_duration(nanos: u64) -> String {
    if nanos < 1000 {
        return format!("{nanos} ns");
    }
    let seconds = nanos / 1_000_000_000;
    if seconds >= 3600 {
        return format!("{} h {} m", seconds / 3600, seconds % 3600 / 60);
    }
    if seconds >= 600 {
        return format!("{} m {} s", seconds / 60, seconds % 60);
    }
    let (value, unit) = [(1e9, "s"), (1e6, "ms"), (1e3, "µs")]
        .into_iter()
        .map(|(size, unit)| (nanos as f64 / size, unit))
        // 999.9996 would be written as 1000.
        .find(|(value, _)| *value >= 0.9995)
        .unwrap_or((nanos as f64 / 1e3, "µs"));
    let decimals = match value {
        _ if value < 9.995 => 2,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("200ms"), Some(200_000_000));
        assert_eq!(parse_duration(" 1.5 s "), Some(1_500_000_000));
        assert_eq!(parse_duration("10m"), Some(600_000_000_000));
        assert_eq!(parse_duration("30us"), parse_duration("30µs"));
        for wrong in ["", "10", "ms", "-1s", "1.2.3s", "5 weeks", "9999999999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_with_three_digits() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1000, "1.00 µs"),
            (9_999, "10.0 µs"),
            (182_400_000, "182 ms"),
            (999_600_000, "1.00 s"),
            (599_999_999_999, "600 s"),
            (845_000_000_000, "14 m 5 s"),
            (7_260_000_000_000, "2 h 1 m"),
        ];
        for (nanos, text) in cases {
            assert_eq!(format_duration(nanos), text);
        }
    }
}
