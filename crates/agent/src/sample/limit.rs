//! So many a second: of spans, of bytes.

use std::time::Duration;

/// Fills up with so many a second, up to what it holds; what is taken must be there.
#[derive(Clone, Debug)]
pub struct Bucket {
    a_second: f64,
    capacity: f64,
    content: f64,
    filled: Option<Duration>,
}

impl Bucket {
    /// A full one.
    pub fn new(a_second: u64, capacity: u64) -> Self {
        Self { a_second: a_second as f64, capacity: capacity as f64, content: capacity as f64, filled: None }
    }

    /// Takes so much, if it is there. Time does not go backwards.
    pub fn take(&mut self, amount: u64, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled.unwrap_or(now));
        self.content = (self.content + passed.as_secs_f64() * self.a_second).min(self.capacity);
        self.filled = Some(now);
        let is_there = amount as f64 <= self.content;
        if is_there {
            self.content -= amount as f64;
        }
        is_there
    }
}

/// How much there was in the second that is passing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Second {
    number: u64,
    used: u64,
}

impl Second {
    /// What was used in this second.
    pub fn used(&mut self, now: Duration) -> u64 {
        if self.number != now.as_secs() {
            *self = Self { number: now.as_secs(), used: 0 };
        }
        self.used
    }

    /// Uses so much more.
    pub fn add(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_up() {
        let mut bucket = Bucket::new(10, 20);
        let at = Duration::from_millis;
        assert!(bucket.take(20, at(0)) && !bucket.take(1, at(50)));
        assert!(bucket.take(1, at(100)) && !bucket.take(1, at(150)));
        assert!(!bucket.take(21, at(100_000)) && bucket.take(20, at(100_000)));
    }

    #[test]
    fn each_second_begins_anew() {
        let mut second = Second::default();
        second.used(Duration::from_millis(500));
        second.add(3);
        assert_eq!(second.used(Duration::from_millis(999)), 3);
        assert_eq!(second.used(Duration::from_millis(1000)), 0);
    }
}
