//! How fast a refresh period may grow (RFC 2205 section 3.7, rule 5).
//!
//! A neighbour keeps state for a lifetime that follows from the R of the last message. If the next
//! one came a much longer R later, the state would be gone by then; so R grows by Slew.Max at most
//! from one refresh to the next. It may shrink at once.

use super::time::{Instant, Span};

/// R on its way from one value to a greater one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ramp {
    from_ms: u32,
    since: Instant,
    /// The target is reached.
    until: Instant,
}

impl Ramp {
    /// Starts from the value in force to `target_ms`, by `percent` a step.
    pub(crate) fn new(from_ms: u32, target_ms: u32, percent: u32, since: Instant) -> Self {
        let mut ramp = Self { from_ms, since, until: Instant::NEVER };
        ramp.until = ramp.walk(target_ms, percent, Instant::NEVER).1;
        ramp
    }

    /// R at an instant.
    pub(crate) fn at(&self, target_ms: u32, percent: u32, now: Instant) -> u32 {
        if now >= self.until { target_ms } else { self.walk(target_ms, percent, now).0 }
    }

    /// R at `end`, or when the target is reached, with that instant. A value stands for the longest
    /// gap between two refreshes, 1.5 R, so that no two refreshes are more than a step apart.
    fn walk(&self, target_ms: u32, percent: u32, end: Instant) -> (u32, Instant) {
        let (mut value, mut at) = (self.from_ms, self.since);
        while value < target_ms {
            let next = at + Span::from_micros(u64::from(value) * 1_500);
            if next > end {
                return (value, at);
            }
            let step = u64::from(value) * u64::from(percent) / 100;
            let grown = u64::from(value).saturating_add(step.max(1));
            value = u32::try_from(grown).unwrap_or(target_ms).min(target_ms);
            at = next;
        }
        (target_ms, at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::{REFRESH_MS_MAX, REFRESH_MS_MIN};

    proptest! {
        /// Two refreshes of one session are at most 1.5 R apart, for the R of the former.
        #[test]
        fn two_refreshes_in_a_row_differ_by_slew_max_at_most(
            from_ms in REFRESH_MS_MIN..=REFRESH_MS_MAX,
            target_ms in REFRESH_MS_MIN..=REFRESH_MS_MAX,
            percent in 1_u32..=100,
            gaps in proptest::collection::vec(0.5_f64..=1.5, 1..200),
        ) {
            let start = Instant::from_millis(1_000_000);
            let ramp = Ramp::new(from_ms, target_ms, percent, start);
            let (mut now, mut last) = (start, from_ms);
            for gap in gaps {
                now = now + Span::from_micros((f64::from(last) * gap * 1_000.0) as u64);
                let value = ramp.at(target_ms, percent, now);
                let most = u64::from(last) * u64::from(100 + percent) / 100;
                prop_assert!(u64::from(value) <= most.max(u64::from(last) + 1));
                prop_assert!(value <= target_ms.max(from_ms));
                last = value;
            }
        }

        #[test]
        fn the_target_is_reached_and_shrinking_is_at_once(
            from_ms in REFRESH_MS_MIN..=REFRESH_MS_MAX,
            target_ms in REFRESH_MS_MIN..=REFRESH_MS_MAX,
        ) {
            let start = Instant::from_millis(7);
            let ramp = Ramp::new(from_ms, target_ms, 30, start);
            prop_assert_eq!(ramp.at(target_ms, 30, ramp.until), target_ms);
            prop_assert_eq!(ramp.until > start, target_ms > from_ms);
        }
    }
}
