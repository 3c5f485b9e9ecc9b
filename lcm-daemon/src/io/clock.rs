//! Time: one clock to measure with, one to date with.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Microseconds of `CLOCK_MONOTONIC`: since an unspecified point near the boot of this machine.
///
/// Chosen over `CLOCK_BOOTTIME` because it stands still while the machine is suspended. A machine
/// that sleeps forwards nothing, so nobody may be charged for the time; and its neighbours drop
/// its soft state by their own clocks. Nobody can set it; adjtime slews it by 0.05 % at most.
/// Values of different boots cannot be compared: see [`boot_id`].
#[must_use]
pub fn monotonic_us() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_MONOTONIC) else {
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
