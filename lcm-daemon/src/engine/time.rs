//! Virtual time: integers that only ever come in as parameters.

use std::ops::Add;

/// An instant in microseconds of a monotonic clock whose origin means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// An instant that never comes.
    pub const NEVER: Instant = Instant(u64::MAX);

    /// From microseconds since the clock's origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the clock's origin.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since the clock's origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the clock's origin; charging counts in these.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Microseconds from `earlier` to `self`, 0 if it lies in the future.
    pub const fn since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Span> for Instant {
    type Output = Instant;

    fn add(self, span: Span) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Span {
    /// From microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// In microseconds.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

/// Both clocks as the engine is told them with every input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock, by which everything is timed and metered.
    pub at: Instant,
    /// Seconds since 1970 by the wall clock: windows of prices, days and months of accounts, ends
    /// of keys and credentials go by it.
    pub unix_s: u32,
    /// The seconds that epochs and sequences start from (T17): the wall clock, so that a restarted
    /// node is believed, or beyond what was said of a forerunner.
    pub(crate) serial_s: u32,
}

impl Now {
    /// The monotonic clock, and the wall clock in seconds since 1970.
    #[must_use]
    pub const fn new(at: Instant, unix_s: u32) -> Self {
        Self { at, unix_s, serial_s: unix_s }
    }
}

/// Lifetime of soft state that is refreshed every `refresh_ms`: (K + 0.5) · 1.5 · R
/// (RFC 2205 section 3.7).
pub const fn lifetime(refresh_ms: u32, k: u32) -> Span {
    // (2K + 1) / 2 · 3 / 2 · R, in microseconds so that halves are exact.
    Span::from_micros((2 * k as u64 + 1) * 3 * refresh_ms as u64 * 1000 / 4)
}

/// The longest time between two refreshes: 1.5 R (RFC 2205 section 3.7).
pub(crate) const fn longest_gap(refresh_ms: u32) -> Span {
    Span::from_micros(refresh_ms as u64 * 1_500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetime_is_157_5_seconds_for_the_default_period() {
        assert_eq!(lifetime(30_000, 3), Span::from_millis(157_500));
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Instant::NEVER + Span::from_millis(1), Instant::NEVER);
    }
}
