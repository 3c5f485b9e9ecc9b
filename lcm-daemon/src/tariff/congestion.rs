//! Prices by how full an interface is, damped so that they do not flap.
//!
//! ```text
//!  reserved / reservable ──▶ curve ──▶ target ──▶ far enough? ──▶ held long enough? ──▶ a step
//! ```

use std::fmt;

/// A curve of prices over utilisation, and how fast prices follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Congestion {
    /// Utilisation in percent, ascending, and prices there in percent of what they are otherwise;
    /// linear between the points, as at the first before it and as at the last behind it.
    pub points: Vec<(u32, u32)>,
    /// How long a price stands at least, in milliseconds.
    pub hold_ms: u32,
    /// Changes below this many percent of the price are not made.
    pub least_change_percent: u32,
    /// How much of the way to the curve's price one change goes, in percent: 1 to 100.
    pub approach_percent: u32,
}

impl Congestion {
    /// Prices at this utilisation, in percent, if they followed at once.
    #[must_use]
    pub fn target(&self, reserved: u128, reservable: u64) -> u32 {
        let used = match u128::from(reservable) {
            0 => u128::MAX,
            all => reserved.saturating_mul(100 * FINE).checked_div(all).unwrap_or(u128::MAX),
        };
        let after = self.points.iter().position(|(at, _)| u128::from(*at) * FINE > used);
        let last = || self.points.last().map_or(100, |(_, percent)| *percent);
        let Some(after) = after else { return last() };
        let Some(high) = self.points.get(after) else { return last() };
        let Some(low) = after.checked_sub(1).and_then(|low| self.points.get(low)) else {
            return high.1;
        };
        between(*low, *high, used)
    }

    /// What prices become, being at `current` with the curve at `target`; `None` where they stay.
    #[must_use]
    pub fn step(&self, current: u32, target: u32) -> Option<u32> {
        let apart = u64::from(current.abs_diff(target));
        let least = u64::from(current) * u64::from(self.least_change_percent);
        if apart == 0 || apart * 100 < least {
            return None;
        }
        let part = (apart * u64::from(self.approach_percent.clamp(1, 100))).div_ceil(100);
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        Some(if target > current {
            current.saturating_add(part)
        } else {
            current.saturating_sub(part)
        })
    }

    /// The most that prices ever become, in percent.
    #[must_use]
    pub fn most_percent(&self) -> u32 {
        self.points.iter().map(|(_, percent)| *percent).fold(100, u32::max)
    }
}

/// Parts of a percent that utilisation is told in.
const FINE: u128 = 1_000;

fn between(low: (u32, u32), high: (u32, u32), used: u128) -> u32 {
    let width = u128::from(high.0.saturating_sub(low.0)) * FINE;
    let along = used.saturating_sub(u128::from(low.0) * FINE);
    let part = |apart: u32| {
        let part = (u128::from(apart) * along).checked_div(width).unwrap_or(0);
        u32::try_from(part).unwrap_or(apart)
    };
    if high.1 >= low.1 { low.1 + part(high.1 - low.1) } else { low.1 - part(low.1 - high.1) }
}

impl fmt::Display for Congestion {
    /// As a table of the configuration.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points: Vec<String> =
            self.points.iter().map(|(used, percent)| format!("[{used}, {percent}]")).collect();
        write!(
            f,
            "{{ points = [{}], hold_ms = {}, least_change_percent = {}, approach_percent = {} }}",
            points.join(", "),
            self.hold_ms,
            self.least_change_percent,
            self.approach_percent
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve() -> Congestion {
        Congestion {
            points: vec![(50, 100), (80, 160), (100, 400)],
            hold_ms: 0,
            least_change_percent: 10,
            approach_percent: 50,
        }
    }

    #[test]
    fn the_curve_is_linear_between_its_points() {
        let curve = curve();
        let at = |reserved| curve.target(reserved, 1_000);
        for (reserved, percent) in
            [(0, 100), (500, 100), (650, 130), (800, 160), (900, 280), (1_000, 400), (5_000, 400)]
        {
            assert_eq!(at(reserved), percent, "{reserved}");
        }
        assert_eq!(curve.target(0, 0), 400, "nothing can be reserved");
        assert_eq!(curve.most_percent(), 400);
        let falling = Congestion { points: vec![(0, 200), (100, 100)], ..curve };
        assert_eq!(falling.target(250, 1_000), 175);
    }

    #[test]
    fn small_changes_are_not_made_and_large_ones_half() {
        let curve = curve();
        assert_eq!(curve.step(100, 109), None);
        assert_eq!(curve.step(100, 110), Some(105));
        assert_eq!(curve.step(100, 400), Some(250));
        assert_eq!(curve.step(250, 100), Some(175));
        let at_once = Congestion { approach_percent: 100, least_change_percent: 0, ..curve };
        assert_eq!(at_once.step(100, 101), Some(101));
        assert_eq!(at_once.step(101, 101), None);
    }

    #[test]
    fn whatever_the_steps_the_price_comes_near_the_curve_and_never_beyond_it() {
        let curve = curve();
        for (from, target) in [(100, 400), (400, 100), (100, 111), (160, 130)] {
            let mut at = from;
            while let Some(next) = curve.step(at, target) {
                assert!(next.abs_diff(target) < at.abs_diff(target), "{at} {next} {target}");
                assert!((next <= target) == (from <= target) || next == target);
                at = next;
            }
            assert!(at.abs_diff(target) * 10 < at, "{at} {target}");
        }
    }
}
