//! Time as a parameter: integer milliseconds, and serial numbers that grow with the seconds.

use std::fmt;

/// An instant of a monotonic clock, in milliseconds since an origin of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Millis(pub u64);

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Span(pub u64);

impl Millis {
    /// The instant `span` later; the end of time stands for anything beyond it.
    pub const fn after(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The instant `span` earlier; the origin stands for anything before it.
    pub const fn before(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// The time since `earlier`, zero if that is later.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

impl Span {
    /// How long one approval lasts when refreshes come every `self`: H = 1.5 R + 2 s (T3, D9).
    /// RFC 2205 3.7 jitters a refresh to at most 1.5 R.
    pub const fn approval(self) -> Self {
        Self(self.0.saturating_add(self.0.div_ceil(2)).saturating_add(2_000))
    }

    /// How long state lives without a refresh: T_life = (K + ½)·1.5 R with K = 3 (RFC 2205 3.7).
    pub const fn lifetime(self) -> Self {
        // 3.5 × 1.5 R = 5.25 R
        Self(self.0.saturating_mul(5).saturating_add(self.0 / 4))
    }

    /// Twice this length.
    pub const fn twice(self) -> Self {
        Self(self.0.saturating_mul(2))
    }
}

/// What the caller's clocks say as an input arrives: the monotonic instant that everything is
/// metered by, and Unix seconds, used for nothing but making epochs and sequences grow (T17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Clock {
    /// The monotonic instant.
    pub now: Millis,
    /// Seconds since 1970, modulo 2³².
    pub unix_s: u32,
}

/// Is `a` newer than `b` in serial arithmetic (the half circle ahead of `b` is newer)?
pub const fn serial_newer(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}

/// The next serial number: max(last + 1, Unix seconds) (T17), so that a restarted node, which has
/// forgotten `last`, is still believed.
pub const fn next_serial(last: Option<u32>, unix_s: u32) -> u32 {
    match last {
        None => unix_s,
        Some(last) => {
            let next = last.wrapping_add(1);
            if serial_newer(unix_s, next) { unix_s } else { next }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approval_and_lifetime_at_thirty_seconds() {
        assert_eq!(Span(30_000).approval(), Span(47_000));
        assert_eq!(Span(30_000).lifetime(), Span(157_500));
        assert_eq!(Span(u64::MAX).approval(), Span(u64::MAX));
    }

    #[test]
    fn serials_wrap_and_follow_the_seconds() {
        assert!(serial_newer(0, u32::MAX));
        assert!(!serial_newer(u32::MAX, 0));
        assert!(!serial_newer(7, 7));
        assert_eq!(next_serial(None, 1_000), 1_000);
        assert_eq!(next_serial(Some(5), 1_000), 1_000);
        assert_eq!(next_serial(Some(2_000), 1_000), 2_001);
        assert_eq!(next_serial(Some(u32::MAX), 3), 3);
        assert_eq!(next_serial(Some(u32::MAX), u32::MAX), 0);
    }
}
