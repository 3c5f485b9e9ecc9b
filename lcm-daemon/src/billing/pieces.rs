//! What a posting came to by the end of each period: what was told once is told alike for good.
//!
//! A part of a posting belongs to the period in whose end it was first seen, by the order of the
//! journal's records. By the wall clock it is dated there, too: a gap that is billed after a period
//! ended, or what ran on a clock that was set back, never changes a span that is closed.

use std::rc::Rc;

use crate::ledger::record::{Arises, Payment};

/// Why something has not ended.
pub(super) const RUNS: &str = "runs on";

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
    /// Their account is charged with it.
    pub(super) charged: bool,
    pub(super) began: &'static str,
    pub(super) ended: &'static str,
    /// By which millisecond of it each period ended that tells it, by the period's place.
    pub(super) parts: Vec<(usize, u64)>,
    /// Why it had ended by the end of each of them.
    pub(super) ends: Vec<&'static str>,
    /// As `parts`, also where it was disputed.
    pub(super) seen: Vec<(usize, u64)>,
    /// The periods at whose end it was disputed, and why.
    pub(super) waits: Vec<(usize, Wait)>,
    pub(super) refunds: Vec<Refund>,
    /// Where it arises from so many milliseconds on, as it was told.
    pub(super) arises: Vec<(u64, Rc<Arises>)>,
}

/// What was disputed at the end of a period.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    /// What of it no period told.
    pub(super) amount: i128,
    /// What earlier ones did.
    pub(super) earlier: i128,
    pub(super) reason: String,
}

/// What was given back of a posting.
#[derive(Debug, Clone)]
pub(super) struct Refund {
    /// The record that gave it back.
    pub(super) record: u64,
    /// When, by the wall clock.
    pub(super) at_ms: u64,
    pub(super) amount: i128,
    /// The period in which it counts; none while the posting is disputed.
    pub(super) period: Option<usize>,
    /// The period in which it was given back.
    pub(super) seen: Option<usize>,
}

impl Piece {
    /// One of which nothing is told yet.
    pub(super) fn new(
        record: u64,
        payment: Payment,
        rate: u64,
        (from_ms, ms): (u64, u64),
        (began, ended): (&'static str, &'static str),
    ) -> Self {
        Self {
            record,
            payment,
            rate,
            from_ms,
            ms,
            theirs: false,
            owes: false,
            charged: false,
            began,
            ended,
            parts: Vec::new(),
            ends: Vec::new(),
            seen: Vec::new(),
            waits: Vec::new(),
            refunds: Vec::new(),
            arises: Vec::new(),
        }
    }

    /// How much of it was told by now, in milliseconds.
    pub(super) fn told(&self) -> u64 {
        self.parts.last().map_or(0, |(_, until)| *until)
    }

    /// It was told, up to here, before these books began.
    pub(super) fn told_before(&mut self) {
        self.parts.push((usize::MAX, self.ms));
        self.ends.push(self.ended);
        self.seen.push((usize::MAX, self.ms));
    }

    /// A period ends: what was not told before is told in it, but what is disputed.
    pub(super) fn tell(&mut self, period: usize, disputed: Option<&String>) {
        if self.seen.last().map_or(0, |(_, until)| *until) < self.ms {
            self.seen.push((period, self.ms));
        }
        for refund in self.refunds.iter_mut().filter(|refund| refund.seen.is_none()) {
            refund.seen = Some(period);
        }
        let told = self.told();
        let fresh = self.ms.saturating_sub(told);
        if let Some(reason) = disputed {
            let [amount, earlier] = [fresh, told].map(|ms| i128::from(self.rate) * i128::from(ms));
            self.waits.push((period, Wait { amount, earlier, reason: reason.clone() }));
            if fresh > 0 {
                return;
            }
        }
        if fresh > 0 {
            self.parts.push((period, self.ms));
            self.ends.push(self.ended);
        }
        for refund in self.refunds.iter_mut().filter(|refund| refund.period.is_none()) {
            refund.period = Some(period);
        }
    }

    /// The milliseconds of it that are told in a period, and why it had ended by then.
    pub(super) fn in_period(&self, period: usize) -> (u64, u64, &'static str) {
        let mut from = 0;
        for ((place, until), ended) in self.parts.iter().zip(&self.ends) {
            if *place == period {
                return (from, *until, ended);
            }
            from = *until;
        }
        (0, 0, self.ended)
    }

    /// How many milliseconds of it are told and dated before an instant of the wall clock.
    pub(super) fn before(&self, instant_ms: u64, periods: &[Extent]) -> u64 {
        self.dated(&self.parts, instant_ms, periods)
    }

    /// The same, told or not.
    pub(super) fn seen_before(&self, instant_ms: u64, periods: &[Extent]) -> u64 {
        self.dated(&self.seen, instant_ms, periods)
    }

    fn dated(&self, parts: &[(usize, u64)], instant_ms: u64, periods: &[Extent]) -> u64 {
        let (mut from, mut sum) = (0, 0_u64);
        for (place, until) in parts {
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
        Piece::new(1, Payment::ReceiverIn, 1, (from_ms, ms), ("began", RUNS))
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
        (late.ms, late.ended) = (400, "ended");
        late.tell(1, None);
        assert_eq!((late.in_period(0), late.in_period(1)), ((0, 150, RUNS), (150, 400, "ended")));
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
        let refund = Refund { record: 2, at_ms: 3, amount: -4, period: None, seen: None };
        waits.refunds.push(refund);
        waits.tell(0, Some(&"noise".to_owned()));
        assert_eq!((waits.told(), waits.waits.len(), waits.refunds[0].period), (0, 1, None));
        assert_eq!((waits.seen.as_slice(), waits.refunds[0].seen), ([(0, 10)].as_slice(), Some(0)));
        waits.tell(1, None);
        assert_eq!((waits.in_period(1), waits.refunds[0].period), ((0, 10, RUNS), Some(1)));
        // What was told is not untold.
        waits.tell(2, Some(&"noise".to_owned()));
        assert_eq!((waits.in_period(1).1, waits.waits.len()), (10, 2));
        let wait = |place: usize| (waits.waits[place].1.amount, waits.waits[place].1.earlier);
        assert_eq!((wait(0), wait(1)), ((10, 0), (0, 10)));
    }
}
