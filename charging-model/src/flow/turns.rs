//! When meters turn: what a journal needs to know, so that metering follows from it and time.

use super::Flow;
use super::branch::NEVER;
use crate::ledger::Entry;
use crate::meter::Meter;
use crate::money::Rate;
use crate::split::BranchKey;
use crate::time::{Clock, Millis};

/// A payment runs at another rate, or a gap in it was billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// From `at` on, until the next turn of this payment.
    Runs {
        /// Which payment.
        entry: Entry,
        /// Since when; earlier than the input that brought it if an approval had ended before.
        at: Millis,
        /// At which rate, zero if it stands still.
        rate: Rate,
        /// Why.
        why: Turned,
    },
    /// The time after the end of an approval, billed when the payer came back (T3).
    Gap {
        /// Which payment.
        entry: Entry,
        /// End of the approval.
        from: Millis,
        /// Instant of the next one.
        to: Millis,
        /// The lower of the rates before and after.
        rate: Rate,
    },
}

/// Why a payment turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// What is charged changed.
    Terms,
    /// The approval ended (t + H) and was not given again by then.
    Lapsed,
    /// The reservation or the previous hop is gone. What is paid upstream ends so even if it stood
    /// still already.
    Ended,
    /// The payer's money was used up.
    Exhausted,
}

impl Turn {
    fn is_end_of(&self, payment: Entry) -> bool {
        let why_of = |entry, why| entry == payment && why == Turned::Ended;
        matches!(*self, Self::Runs { entry, why, .. } if why_of(entry, why))
    }

    /// A payment that stands still does so for good.
    fn end(&mut self) {
        if let Self::Runs { rate: Rate::ZERO, why: why @ Turned::Terms, .. } = self {
            *why = Turned::Ended;
        }
    }
}

impl Flow {
    /// How payments turned since this was last asked. Rate × time between the turns of a payment,
    /// and its gaps, are what its [postings](Self::take_postings) add up to. To be called after
    /// every input, also after [`tick`](Self::tick), before the postings are taken.
    pub fn take_turns(&mut self, now: Millis) -> Vec<Turn> {
        let mut turns = self.extra.take_ended();
        let closed: Vec<_> =
            self.extra.postings().iter().map(|p| (p.entry, p.segment, p.gap)).collect();
        for (entry, segment, gap) in &closed {
            let (entry, at) = (*entry, segment.to);
            if *gap {
                turns.push(Turn::Gap { entry, from: segment.from, to: at, rate: segment.rate });
            } else if at < now
                && let Some(meter) = self.meter_mut(entry)
                && meter.told() > Rate::ZERO
            {
                meter.tell(Rate::ZERO);
                turns.push(Turn::Runs { entry, at, rate: Rate::ZERO, why: Turned::Lapsed });
            }
        }
        let restarted =
            |entry| closed.iter().any(|(of, at, gap)| *of == entry && at.to == now && !gap);
        for index in 0..self.branches.len() {
            let Some(b) = self.branches.get(index) else { continue };
            let (key, (rp_end, sp_end)) = (b.key, self.branch_ends(b));
            let Some(b) = self.branches.get_mut(index) else { continue };
            let (rp, sp) = (Entry::ReceiverPaymentFrom(key), Entry::SenderPaymentTo(key));
            turns.extend(turn(&mut b.rp, rp, now, rp_end, restarted(rp)));
            turns.extend(turn(&mut b.sp, sp, now, sp_end, restarted(sp)));
        }
        let (rp_end, sp_end) = self.upstream_ends();
        let (rp, sp) = (Entry::ReceiverPaymentToUpstream, Entry::SenderPaymentFromUpstream);
        let upstream = turns.len();
        turns.extend(turn(&mut self.up.rp, rp, now, rp_end, restarted(rp)));
        turns.extend(turn(&mut self.up.sp, sp, now, sp_end, restarted(sp)));
        let reserved = self.up.sent.is_some();
        let told = std::mem::replace(&mut self.up.told, reserved);
        if !reserved {
            // Nothing of ours is reserved there any more.
            turns.iter_mut().skip(upstream).for_each(Turn::end);
            let rp_told = turns.iter().skip(upstream).any(|turn| turn.is_end_of(rp));
            if told && !rp_told {
                let why = Turned::Ended;
                turns.push(Turn::Runs { entry: rp, at: now, rate: Rate::ZERO, why });
            }
        }
        turns
    }

    /// Whether nothing was ever to be told of this flow: nobody pays, nothing is paid upstream, and
    /// neither was so before. Then turns, postings, outages and contra entries are empty.
    pub fn is_idle(&self) -> bool {
        let still = |meter: &Meter| meter.told() == Rate::ZERO && meter.rate() == Rate::ZERO;
        self.branches.is_empty()
            && self.up.sent.is_none()
            && !self.up.told
            && still(&self.up.rp)
            && still(&self.up.sp)
            && self.extra.is_empty()
    }

    /// The payments that run, as they were last told by [`take_turns`](Self::take_turns): for a
    /// journal that begins anew.
    pub fn told(&self) -> impl Iterator<Item = (Entry, Rate)> + '_ {
        let own = [
            (Entry::ReceiverPaymentToUpstream, self.up.rp.told()),
            (Entry::SenderPaymentFromUpstream, self.up.sp.told()),
        ];
        let branches = self.branches.iter().flat_map(|b| {
            let (rp, sp) = (Entry::ReceiverPaymentFrom(b.key), Entry::SenderPaymentTo(b.key));
            [(rp, b.rp.told()), (sp, b.sp.told())]
        });
        branches.chain(own).filter(|(_, rate)| *rate > Rate::ZERO)
    }

    /// The node slept from `from` to `to`, and carried nothing: what ran stops with the one and
    /// goes on with the other, if it is still approved then.
    pub fn slept(&mut self, from: Millis, to: Millis) {
        self.checkpoint(from);
        self.out_while_asleep(from, to);
        self.extra.wake(to);
        for entry in self.told().map(|(entry, _)| entry).collect::<Vec<_>>() {
            if let Some(meter) = self.meter_mut(entry) {
                meter.tell(Rate::ZERO);
            }
            let why = Turned::Terms;
            self.extra.end(Turn::Runs { entry, at: from, rate: Rate::ZERO, why });
        }
        let own = [&mut self.up.rp, &mut self.up.sp];
        let branches = self.branches.iter_mut().flat_map(|b| [&mut b.rp, &mut b.sp]);
        branches.chain(own).for_each(|meter| meter.skip_to(to));
    }

    /// The money of a next hop was used up at `at`, which is not after now nor before what it was
    /// billed for last: it pays nothing after that. The branch is to be removed before anything
    /// else happens, since it would be billed anew.
    pub fn stop_receiver(&mut self, key: BranchKey, at: Millis) {
        let Some((end, _)) = self.find(key).map(|b| self.branch_ends(b)) else { return };
        let Some(b) = self.find_mut(key) else { return };
        let rp = b.rp.restart(at, end, Rate::ZERO);
        let (entry, account) = (Entry::ReceiverPaymentFrom(key), b.account.clone());
        if b.rp.told() > Rate::ZERO {
            b.rp.tell(Rate::ZERO);
            let (at, why) = (at.min(end), Turned::Exhausted);
            self.extra.end(Turn::Runs { entry, at, rate: Rate::ZERO, why });
        }
        self.post_branch(key, account, rp, None);
    }

    /// The money from which the previous hop pays was used up at `at`, which is not after now nor
    /// before what it was billed for last: SP stands still until
    /// [`sender_pays`](Self::sender_pays) says that there is some again.
    pub fn stop_sender(&mut self, at: Millis) {
        let (_, end) = self.upstream_ends();
        let sp = self.up.sp.restart(at, end, Rate::ZERO);
        self.up.unpaid = true;
        let entry = Entry::SenderPaymentFromUpstream;
        if self.up.sp.told() > Rate::ZERO {
            self.up.sp.tell(Rate::ZERO);
            let (at, why) = (at.min(end), Turned::Exhausted);
            self.extra.end(Turn::Runs { entry, at, rate: Rate::ZERO, why });
        }
        self.post_upstream(entry, sp);
    }

    /// There is money again from which the previous hop can pay.
    pub fn sender_pays(&mut self, clock: Clock) {
        if std::mem::take(&mut self.up.unpaid) {
            self.run_meters(clock.now);
        }
    }

    /// When the first of the payments that were told to run lapses.
    pub(super) fn next_lapse(&self) -> Millis {
        let of = |meter: &Meter, end| if meter.told() > Rate::ZERO { end } else { NEVER };
        let (rp_end, sp_end) = self.upstream_ends();
        let own = of(&self.up.rp, rp_end).min(of(&self.up.sp, sp_end));
        let ends = self.branches.iter().map(|b| {
            let (rp_end, sp_end) = self.branch_ends(b);
            of(&b.rp, rp_end).min(of(&b.sp, sp_end))
        });
        ends.min().unwrap_or(NEVER).min(own)
    }

    /// The meters of a branch that goes come to their end.
    pub(super) fn end_turns(&mut self, now: Millis, key: BranchKey, meters: [(&Meter, Millis); 2]) {
        let entries = [Entry::ReceiverPaymentFrom(key), Entry::SenderPaymentTo(key)];
        for (entry, (meter, end)) in entries.into_iter().zip(meters) {
            if meter.told() > Rate::ZERO {
                let at = now.min(end);
                self.extra.end(Turn::Runs { entry, at, rate: Rate::ZERO, why: Turned::Ended });
            }
        }
    }

    fn meter_mut(&mut self, entry: Entry) -> Option<&mut Meter> {
        match entry {
            Entry::ReceiverPaymentFrom(key) => self.find_mut(key).map(|b| &mut b.rp),
            Entry::SenderPaymentTo(key) => self.find_mut(key).map(|b| &mut b.sp),
            Entry::ReceiverPaymentToUpstream => Some(&mut self.up.rp),
            Entry::SenderPaymentFromUpstream => Some(&mut self.up.sp),
        }
    }
}

/// The turn of one meter, if what runs at `now` differs from what was told, or runs for another
/// account.
fn turn(
    meter: &mut Meter,
    entry: Entry,
    now: Millis,
    until: Millis,
    restarted: bool,
) -> Option<Turn> {
    let rate = if now < until { meter.rate() } else { Rate::ZERO };
    let told = meter.told();
    if rate == told && !(restarted && rate > Rate::ZERO) {
        return None;
    }
    meter.tell(rate);
    let lapsed = rate == Rate::ZERO && meter.rate() > Rate::ZERO;
    // An approval that ended before the meter was last started never held it.
    let (at, why) = if lapsed {
        (until.max(meter.started()).min(now), Turned::Lapsed)
    } else {
        (now, Turned::Terms)
    };
    Some(Turn::Runs { entry, at, rate, why })
}
