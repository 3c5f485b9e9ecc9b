//! Time: one clock to measure with, one to date with.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Microseconds of `CLOCK_BOOTTIME`: since an unspecified point near the boot of this machine.
///
/// Chosen over `CLOCK_MONOTONIC` because it goes on while the machine is suspended, as the clocks
/// of its neighbours do: what they approved ends when they think that it does. A machine that
/// sleeps forwards nothing, so nobody may be charged for the time: [`Sleep`] tells it. Nobody can
/// set this clock; adjtime slews it by 0.05 % at most. Values of different boots cannot be
/// compared: see [`boot_id`].
#[must_use]
pub fn monotonic_us() -> u64 {
    read_us(ClockId::CLOCK_BOOTTIME)
}

/// Microseconds for which the machine was suspended since its boot.
#[must_use]
pub fn suspended_us() -> u64 {
    // In this order a suspension between the two readings is not missed, but seen the next time.
    let awake = read_us(ClockId::CLOCK_MONOTONIC);
    read_us(ClockId::CLOCK_BOOTTIME).saturating_sub(awake)
}

/// Tells when the machine has slept.
#[derive(Debug, Clone, Copy)]
pub struct Sleep {
    suspended_us: u64,
    awake_us: u64,
}

/// Less than this between the two clocks is the time between their readings.
const SLEEP_LEAST_US: u64 = 10_000;

impl Sleep {
    /// The machine is awake.
    #[must_use]
    pub const fn new(now_us: u64, suspended_us: u64) -> Self {
        Self { suspended_us, awake_us: now_us }
    }

    /// When the machine was last known to be awake, if it slept between then and `now_us`.
    pub const fn since(&mut self, now_us: u64, suspended_us: u64) -> Option<u64> {
        let slept = suspended_us.saturating_sub(self.suspended_us) >= SLEEP_LEAST_US;
        let before = self.awake_us;
        *self = Self::new(now_us, if slept { suspended_us } else { self.suspended_us });
        if slept { Some(before) } else { None }
    }
}

fn read_us(id: ClockId) -> u64 {
    let Ok(time) = clock_gettime(id) else {
        // clock_gettime(2) fails only for a clock that does not exist or under a sandbox that
        // forbids it; no timer and no bill could be right then.
        std::process::abort();
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    let nanoseconds = u64::try_from(time.tv_nsec()).unwrap_or_default();
    seconds.saturating_mul(1_000_000).saturating_add(nanoseconds / 1_000)
}

/// Seconds since 1970 by the wall clock, to date statements with; it may jump.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Microseconds since 1970 by the wall clock; it may jump.
#[must_use]
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 by the wall clock; it may jump.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The random number that the kernel drew at this boot, which says what [`monotonic_us`] counts
/// from.
///
/// # Errors
/// The file `/proc/sys/kernel/random/boot_id` cannot be read or is not a UUID.
pub fn boot_id() -> io::Result<u128> {
    const PATH: &str = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(PATH)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read {PATH}: {error}")))?;
    let digits: String = text.trim().chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16)
        .map_err(|error| io::Error::other(format!("{PATH} holds {text:?}, not a UUID: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_counts_microseconds_of_monotonic_time() {
        let (start, reference) = (monotonic_us(), std::time::Instant::now());
        while reference.elapsed().as_millis() < 20 {
            std::hint::spin_loop();
        }
        // Between the two clocks' readings this thread may have been put aside for a while.
        let least = u64::try_from(reference.elapsed().as_micros()).unwrap();
        let elapsed = monotonic_us() - start;
        assert!((least..least + 5_000_000).contains(&elapsed), "{elapsed} µs, Instant {least} µs");
    }

    #[test]
    fn a_suspension_is_told_once_with_the_last_instant_before_it() {
        let mut sleep = Sleep::new(1_000_000, 70);
        assert_eq!(sleep.since(1_500_000, 75), None, "the readings are not of one instant");
        assert_eq!(sleep.since(3_601_500_000, 3_600_000_070), Some(1_500_000));
        assert_eq!(sleep.since(3_601_600_000, 3_600_000_072), None);
        assert_eq!(sleep.since(3_601_700_000, 3_600_000_060), None);
    }

    #[test]
    fn the_boot_id_is_stable_and_not_zero() {
        let id = boot_id().unwrap();
        assert_ne!(id, 0);
        assert_eq!(id, boot_id().unwrap());
    }

    #[test]
    fn the_wall_clock_is_after_this_was_written() {
        assert!(unix_seconds() > 1_750_000_000);
    }
}
