//! A rate that runs over time.

use crate::money::{Amount, Rate};
use crate::time::Millis;

/// A piecewise constant rate and what it has come to. The rate runs from the start of the open
/// segment, but never past the end of the approval, which the owner of the meter knows and passes
/// to every call as `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Meter {
    settled: Settled,
    rate: Rate,
    from: Millis,
    /// The rate that the owner was last told of; see [`Flow::take_turns`].
    ///
    /// [`Flow::take_turns`]: crate::flow::Flow::take_turns
    told: Rate,
}

/// An amount that is never negative, as two words: aligned like them, a meter packs better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Settled {
    high: u64,
    low: u64,
}

impl Settled {
    const fn get(self) -> Amount {
        Amount(((self.high as i128) << 64) | self.low as i128)
    }

    const fn new(amount: Amount) -> Self {
        // Both halves fit a word by construction.
        Self { high: (amount.0 >> 64) as u64, low: amount.0 as u64 }
    }
}

/// A closed segment of a meter: `rate` from `from` to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Segment {
    /// The rate that ran.
    pub rate: Rate,
    /// Its first instant.
    pub from: Millis,
    /// The instant at which it stopped.
    pub to: Millis,
    /// rate × ms.
    pub amount: Amount,
}

impl Segment {
    /// The segment of `rate` between two instants, if it comes to anything.
    fn between(rate: Rate, from: Millis, to: Millis) -> Option<Self> {
        // 2⁶³ ms at the largest rate do not fit an amount; they are 292 million years.
        let amount = rate.over(to.since(from)).unwrap_or(Amount(i128::MAX));
        (amount != Amount::ZERO).then_some(Self { rate, from, to, amount })
    }
}

impl Meter {
    /// The rate that runs now.
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// A meter that runs at the same rate and has come to nothing yet.
    pub(crate) const fn emptied(&self) -> Self {
        let settled = Settled { high: 0, low: 0 };
        Self { settled, rate: self.rate, from: Millis(0), told: self.told }
    }

    /// The rate that the owner was last told of.
    pub(crate) const fn told(&self) -> Rate {
        self.told
    }

    /// Notes that the owner is told of `rate`.
    pub(crate) const fn tell(&mut self, rate: Rate) {
        self.told = rate;
    }

    /// The open segment, which has just begun, begins at `to`.
    pub(crate) fn skip_to(&mut self, to: Millis) {
        self.from = to.max(self.from);
    }

    /// When the open segment began.
    pub(crate) const fn started(&self) -> Millis {
        self.from
    }

    /// What the meter has come to at `now`, for any `now` not before its last change.
    pub fn amount_at(&self, now: Millis, until: Millis) -> Amount {
        let open = Segment::between(self.rate, self.from, now.min(until));
        add(self.settled.get(), open)
    }

    /// Lets `rate` run from `now` on. A different rate closes the open segment, which is returned.
    #[must_use]
    pub fn set(&mut self, now: Millis, until: Millis, rate: Rate) -> Option<Segment> {
        if rate == self.rate { None } else { self.restart(now, until, rate) }
    }

    /// As [`set`](Self::set), but behind the end of the approval the rate only falls: what ran
    /// when that came, or less, is what the gap may cost (T3).
    #[must_use]
    pub fn turn(&mut self, now: Millis, until: Millis, rate: Rate) -> Option<Segment> {
        let rate = if now < until { rate } else { rate.min(self.rate) };
        self.set(now, until, rate)
    }

    /// Closes the open segment, also when the rate stays, and lets `rate` run from `now` on.
    #[must_use]
    pub fn restart(&mut self, now: Millis, until: Millis, rate: Rate) -> Option<Segment> {
        let closed = Segment::between(self.rate, self.from, now.min(until));
        self.settled = Settled::new(add(self.settled.get(), closed));
        self.rate = rate;
        self.from = now.max(self.from);
        closed
    }

    /// Bills a gap after the end of an approval at the lower of the old and the new rate (T3).
    #[must_use]
    pub fn fill(&mut self, from: Millis, to: Millis, new_rate: Rate) -> Option<Segment> {
        let gap = Segment::between(self.rate.min(new_rate), from, to);
        self.settled = Settled::new(add(self.settled.get(), gap));
        gap
    }
}

fn add(settled: Amount, segment: Option<Segment>) -> Amount {
    let more = segment.map_or(Amount::ZERO, |s| s.amount);
    settled.plus(more, "metered amount").unwrap_or(Amount(i128::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Millis = Millis(u64::MAX);

    #[test]
    fn a_segment_is_exact_and_ends_with_the_approval() {
        let mut meter = Meter::default();
        assert_eq!(meter.set(Millis(1_000), FOREVER, Rate(63)), None);
        assert_eq!(meter.amount_at(Millis(1_003), FOREVER), Amount(189));
        assert_eq!(meter.amount_at(Millis(9_000), Millis(2_000)), Amount(63_000));
        let closed = meter.set(Millis(9_000), Millis(2_000), Rate(70)).unwrap();
        assert_eq!((closed.to, closed.amount), (Millis(2_000), Amount(63_000)));
        assert_eq!(meter.amount_at(Millis(9_001), FOREVER), Amount(63_070));
    }

    #[test]
    fn a_gap_costs_the_lower_rate() {
        let mut meter = Meter::default();
        let _ = meter.set(Millis(0), FOREVER, Rate(10));
        let gap = meter.fill(Millis(5), Millis(8), Rate(4)).unwrap();
        assert_eq!((gap.rate, gap.amount), (Rate(4), Amount(12)));
        let gap = meter.fill(Millis(5), Millis(8), Rate(40)).unwrap();
        assert_eq!(gap.amount, Amount(30));
    }

    #[test]
    fn the_largest_rate_for_ever_neither_wraps_nor_panics() {
        let mut meter = Meter::default();
        let _ = meter.set(Millis(0), FOREVER, Rate::MAX);
        assert_eq!(meter.amount_at(FOREVER, FOREVER), Amount(i128::MAX));
        let _ = meter.set(FOREVER, FOREVER, Rate(1));
        assert_eq!(meter.amount_at(FOREVER, FOREVER), Amount(i128::MAX));
    }
}
