//! How often metrics go into the store.

use std::time::Duration;

use model::parse_duration;

/// Names the time between two samples.
const INTERVAL: &str = "TANDEM_STORE_METRICS_INTERVAL";
/// What it is when nobody says otherwise.
const USUAL: Duration = Duration::from_secs(10);
/// A sample asks every program and takes a row.
const SHORTEST: Duration = Duration::from_secs(1);
/// A series says how late it is only to within this time.
const LONGEST: Duration = Duration::from_secs(600);

/// The time between two samples; `None`: they are not stored. What is wrong with it is said.
pub fn interval() -> Option<Duration> {
    let text = std::env::var(INTERVAL).unwrap_or_default();
    match (text.trim(), parse_duration(&text).map(Duration::from_nanos)) {
        ("", _) => Some(USUAL),
        ("off" | "0", _) => None,
        (_, Some(interval)) if (SHORTEST..=LONGEST).contains(&interval) => Some(interval),
        (wrong, _) => {
            eprintln!("tandem: warning: {INTERVAL}={wrong:?} is not a time from 1s to 10m, nor off: every 10 seconds");
            Some(USUAL)
        }
    }
}
