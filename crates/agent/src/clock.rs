//! From the clock of the shared memory to the wall clock.
//!
//! `CLOCK_MONOTONIC` and `CLOCK_REALTIME` run at one speed; their distance changes only when somebody sets the clock or
//! the machine sleeps. So the distance is kept until it is clearly another one: spans that are converted at different
//! moments stay exact relative to each other.

use deliver::otlp::encode::{ClockOffset, UnixNanos};
use record::MonotonicNanos;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// A difference below this is the noise of reading two clocks.
const STEP: i64 = 100_000;

/// The pair of clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: ClockOffset,
}

impl Default for Clock {
    fn default() -> Self {
        Self { offset: measure() }
    }
}

impl Clock {
    /// Looks whether the wall clock was set.
    pub fn refresh(&mut self) {
        self.adopt(measure());
    }

    fn adopt(&mut self, measured: ClockOffset) {
        if (measured.0 - self.offset.0).abs() > STEP {
            self.offset = measured;
        }
    }

    /// How much later the wall clock is.
    pub fn offset(&self) -> ClockOffset {
        self.offset
    }

    /// The wall clock's time at a moment.
    pub fn unix(&self, moment: MonotonicNanos) -> UnixNanos {
        self.offset.unix(moment)
    }
}

/// Now, by the clock of the shared memory.
pub fn now() -> MonotonicNanos {
    MonotonicNanos(nanoseconds(clock_gettime(ClockId::Monotonic)).cast_unsigned())
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The tightest of three readings.
fn measure() -> ClockOffset {
    let reading = || {
        let before = nanoseconds(clock_gettime(ClockId::Monotonic));
        let wall = nanoseconds(clock_gettime(ClockId::Realtime));
        let after = nanoseconds(clock_gettime(ClockId::Monotonic));
        (after - before, wall - (before + (after - before) / 2))
    };
    let (_, offset) = [reading(), reading(), reading()].into_iter().min().unwrap_or_default();
    ClockOffset(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise changes nothing, so that spans of different moments fit together; a clock that was set is followed.
    #[test]
    fn steps_are_followed_and_noise_is_not() {
        let mut clock = Clock { offset: ClockOffset(1_000_000_000) };
        clock.adopt(ClockOffset(1_000_000_000 + STEP));
        assert_eq!(clock.unix(MonotonicNanos(5)), UnixNanos(1_000_000_005));
        clock.adopt(ClockOffset(-3_600_000_000_000));
        assert_eq!(clock.unix(MonotonicNanos(3_600_000_000_007)), UnixNanos(7));
        clock.adopt(ClockOffset(2_000_000_000));
        assert_eq!(clock.unix(MonotonicNanos(5)), UnixNanos(2_000_000_005));
    }
}
