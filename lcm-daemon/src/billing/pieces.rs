//! What a posting came to by the end of each period: what was told once is told alike for good.
//!
//! A part of a posting belongs to the period in whose end it was first seen, by the order of the
//! journal's records. By the wall clock it is dated there, too: a gap that is billed after a period
//! ended, or what ran on a clock that was set back, never changes a span that is closed.

use crate::ledger::record::Payment;

/// A period that ended, or the open one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Its number; the open one's is that which it will have.
    pub(super) number: u64,
    /// It is dated from this instant on
    pub(super) from_ms: u64,
    /// to before this one.
    pub(super) to_ms: u64,
}

impl Extent {
    /// Where an instant lies that is told in this period.
    pub(super) fn dated(&self, at_ms: u64) -> u64 {
        at_ms.min(self.to_ms.saturating_sub(1)).max(self.from_ms)
    }
}

/// A segment that closed, or runs; or a gap.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) record: u64,
    pub(super) payment: Payment,
    pub(super) rate: u64,
    pub(super) from_ms: u64,
    pub(super) ms: u64,
    /// It is on the statement; otherwise it only shows where charges arose.
    pub(super) theirs: bool,
    /// They pay it.
    pub(super) owes: bool,
    pub(super) began: &'static str,
    pub(super) ended: &'static str,
    /// By which millisecond of it each period ended, by the period's place.
    pub(super) parts: Vec<(usize, u64)>,
    /// The periods at whose end it was disputed, and why.
    pub(super) waits: Vec<(usize, Wait)>,
    pub(super) refunds: Vec<Refund>,
}

/// What was disputed at the end of a period.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) amount: i128,
    pub(super) reason: String,
}

/// What was given back of a posting.
#[derive(Debug, Clone)]
pub(super) struct Refund {
    /// When, by the wall clock.
    pub(super) at_ms: u64,
    pub(super) amount: i128,
    /// The period in which it counts; none while the posting is disputed.
    pub(super) period: Option<usize>,
}

impl Piece {
    /// How much of it was told by now, in milliseconds.
    pub(super) fn told(&self) -> u64 {
        self.parts.last().map_or(0, |(_, until)| *until)
    }

    /// It was told, up to here, before these books began.
    pub(super) fn told_before(&mut self) {
        self.parts.push((usize::MAX, self.ms));
    }

    /// A period ends: what was not told before is told in it, but what is disputed.
    pub(super) fn tell(&mut self, period: usize, disputed: Option<&String>) {
        let fresh = self.ms.saturating_sub(self.told());
        if let Some(reason) = disputed.filter(|_| fresh > 0) {
            let amount = i128::from(self.rate) * i128::from(fresh);
            self.waits.push((period, Wait { amount, reason: reason.clone() }));
            return;
        }
        if fresh > 0 {
            self.parts.push((period, self.ms));
        }
        for refund in self.refunds.iter_mut().filter(|refund| refund.period.is_none()) {
            refund.period = Some(period);
        }
    }

    /// The milliseconds of it that are told in a period.
    pub(super) fn in_period(&self, period: usize) -> (u64, u64) {
        let mut from = 0;
        for (place, until) in &self.parts {
            if *place == period {
                return (from, *until);
            }
            from = *until;
        }
        (0, 0)
    }

    /// How many milliseconds of it are dated before an instant of the wall clock.
    pub(super) fn before(&self, instant_ms: u64, periods: &[Extent]) -> u64 {
        let (mut from, mut sum) = (0, 0_u64);
        for (place, until) in &self.parts {
            let length = until.saturating_sub(from);
            let begin = self.from_ms.saturating_add(from);
            from = *until;
            // What was told before the books begin is in none of their periods.
            let Some(period) = periods.get(*place) else { continue };
            sum = sum.saturating_add(match instant_ms {
                _ if instant_ms <= period.from_ms => 0,
                _ if instant_ms >= period.to_ms => length,
                // By the clock that does not jump, from the beginning on: adjacent spans add up.
                _ => instant_ms.saturating_sub(begin).min(length),
            });
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(from_ms: u64, ms: u64) -> Piece {
        Piece {
            record: 1,
            payment: Payment::ReceiverIn,
            rate: 1,
            from_ms,
            ms,
            theirs: true,
            owes: true,
            began: "",
            ended: "",
            parts: Vec::new(),
            waits: Vec::new(),
            refunds: Vec::new(),
        }
    }

    #[test]
    fn what_is_told_late_is_dated_into_the_period_that_tells_it() {
        let periods = [
            Extent { number: 1, from_ms: 0, to_ms: 1_000 },
            Extent { number: 2, from_ms: 1_000, to_ms: 2_000 },
        ];
        // 800 to 1,200 by the wall clock; the first period saw 150 ms of it.
        let mut late = piece(800, 150);
        late.tell(0, None);
        late.ms = 400;
        late.tell(1, None);
        assert_eq!((late.in_period(0), late.in_period(1)), ((0, 150), (150, 400)));
        let before = |at| late.before(at, &periods);
        assert_eq!([0, 800, 900, 1_000].map(before), [0, 0, 100, 150]);
        assert_eq!([1_001, 1_100, 1_200, 2_000].map(before), [201, 300, 400, 400]);
        // All of it was before the clock was set back, and after.
        let mut jumped = piece(5_000, 10);
        jumped.tell(0, None);
        assert_eq!([999, 1_000].map(|at| jumped.before(at, &periods)), [0, 10]);
        assert_eq!((periods[1].dated(7), periods[1].dated(7_000)), (1_000, 1_999));
    }

    #[test]
    fn what_is_disputed_waits_with_what_is_given_back_of_it() {
        let mut waits = piece(0, 10);
        waits.refunds.push(Refund { at_ms: 3, amount: -4, period: None });
        waits.tell(0, Some(&"noise".to_owned()));
        assert_eq!((waits.told(), waits.waits.len(), waits.refunds[0].period), (0, 1, None));
        waits.tell(1, None);
        assert_eq!((waits.in_period(1), waits.refunds[0].period), ((0, 10), Some(1)));
        // What was told is not untold.
        waits.tell(2, Some(&"noise".to_owned()));
        assert_eq!((waits.in_period(1), waits.waits.len()), ((0, 10), 1));
    }
}
