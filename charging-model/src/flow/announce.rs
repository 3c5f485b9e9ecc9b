//! Inputs from upstream: announcements, route changes, refusals.

use super::Flow;
use super::downstream::{BadAnnouncement, Downstream, Heard, Inconsistency};
use super::messages::Announcement;
use super::settle::Why;
use crate::ledger::Entry;
use crate::money::{Ppm, Rate};
use crate::time::{Clock, Millis, Span, serial_newer};

impl Flow {
    /// A PATH brought a DCPE. On an error the state is untouched: treat the PATH's DCPE as bad.
    pub fn on_dcpe(&mut self, clock: Clock, said: &Announcement) -> Result<Heard, BadAnnouncement> {
        let mut next = Downstream::new(clock, said)?;
        let Some(old) = &self.down else {
            self.check_bounds(next.total, next.max_total, &self.groups, None)?;
            self.groups.iter_mut().for_each(|group| group.refused = false);
            self.replace_downstream(clock, next, Why::AllQuotes);
            return Ok(Heard::Changed);
        };
        if old.epoch.is_some_and(|epoch| serial_newer(epoch, said.epoch)) {
            return Ok(Heard::Stale);
        }
        next.keep_limits(old);
        let valid = old.epoch.is_some() && clock.now <= old.expires;
        // A maximum is for what is reserved or asked for: it may be exceeded by more of that.
        let above = valid && next.total > old.max_total && next.quantity <= old.quantity;
        next.max_total = next.max_total.max(old.max_total);
        let same_epoch = old.epoch == next.epoch;
        // Once the old price is no longer valid, whatever is said is an offer of its own.
        let taken = !(valid && self.config.refuse_inconsistent);
        let heard = match (old.same_content(&next), same_epoch) {
            _ if above => Heard::Inconsistent { how: Inconsistency::AboveMaximum, taken },
            (true, _) => Heard::Refreshed,
            (false, true) if !old.same_words(&next) => {
                Heard::Inconsistent { how: Inconsistency::EpochReused, taken }
            }
            (false, _) => Heard::Changed,
        };
        if matches!(heard, Heard::Inconsistent { taken: false, .. }) {
            return Ok(heard);
        }
        if old.fraction != next.fraction || old.sender_account != next.sender_account {
            // Whoever refused the old terms is asked anew.
            self.groups.iter_mut().for_each(|group| group.refused = false);
        }
        let in_time = clock.now <= self.upstream_ends().1;
        let lost = std::mem::take(&mut self.up.lost);
        if heard == Heard::Refreshed && in_time && !lost && old.refreshes_to(&next) {
            // The common case: nothing to settle.
            self.down = Some(next);
            return Ok(heard);
        }
        let why = if old.same_terms(&next) { Why::Terms } else { Why::AllQuotes };
        self.check_bounds(next.total, next.max_total, &self.groups, None)?;
        if !same_epoch {
            // A newer quote than the one that was refused.
            self.up.refused_below = Rate::ZERO;
        }
        self.replace_downstream(clock, next, why);
        Ok(heard)
    }

    /// The next hops on `group` refuse the account that sender payments would debit: the sender's
    /// side pays nothing of what lies behind it, as where a limit is hit (charging.md section 6),
    /// until r or the sender's account changes. False if it pays nothing there already.
    pub fn on_sender_refused(&mut self, clock: Clock, group: u32) -> bool {
        let pays = self.down.as_ref().is_some_and(|down| down.fraction > Ppm::ZERO);
        let found = self.groups.iter_mut().find(|g| g.id == group && !g.refused);
        let Some(found) = found.filter(|_| pays) else { return false };
        found.refused = true;
        self.settle(clock, Why::Terms);
        true
    }

    /// A PATH brought no DCPE: this is the first charging hop, C = 0 and no sender pays. `refresh`
    /// and `quantity` (bit/s) are the PATH's. Not for a DCPE whose validity has expired (T6).
    pub fn on_no_dcpe(&mut self, clock: Clock, refresh: Span, quantity: u64) {
        let next = Downstream::first_hop(clock, refresh, quantity);
        let terms_changed = self.down.as_ref().is_none_or(|old| !old.same_terms(&next));
        let why = if terms_changed { Why::AllQuotes } else { Why::Terms };
        self.replace_downstream(clock, next, why);
    }

    /// For how long the sender's side was silent, were it heard of at `now`, and the rate at which
    /// that is billed then at most (T3, T15); no time while its approval holds.
    pub fn sender_gap(&self, now: Millis) -> (Rate, Span) {
        let Some(down) = &self.down else { return (Rate::ZERO, Span(0)) };
        let (_, until) = self.upstream_ends();
        let give_up = down.heard.after(down.refresh.approval().twice());
        (self.up.sp.rate(), now.min(give_up).since(until.max(self.extra.woke())))
    }

    fn replace_downstream(&mut self, clock: Clock, next: Downstream, why: Why) {
        // What ran until now ran under the old approval; the sender was silent in a gap (T3, T15).
        let (_, until) = self.upstream_ends();
        let rate = self.up.sp.rate();
        let silent = clock.now > until && self.down.is_some();
        let other_account =
            self.down.as_ref().is_some_and(|d| d.sender_account != next.sender_account);
        let give_up =
            self.down.as_ref().map_or(until, |d| d.heard.after(d.refresh.approval().twice()));
        if silent || other_account {
            // Also what runs below ended where the path above was not refreshed (T12).
            self.checkpoint(clock.now);
        }
        self.down = Some(next);
        self.up.lost = false;
        self.settle(clock, why);
        if silent {
            let lower = rate.min(self.up.sp.rate());
            let from = until.max(self.extra.woke());
            let gap = self.up.sp.fill(from, clock.now.min(give_up), lower);
            self.post(Entry::SenderPaymentFromUpstream, self.sender_account(), gap, true);
        }
    }

    /// The previous hop is another one (route change): closes the meters towards the old one. What
    /// is announced next is a new claim, which is approved at once, as a new reservation instance;
    /// until the branches approve, this hop carries the difference.
    pub fn on_upstream_changed(&mut self, clock: Clock) {
        self.close_upstream(clock.now);
        self.up.withdrawn = false;
        for b in &mut self.branches {
            b.needs = None;
        }
        self.down = None;
        self.run_meters(clock.now);
    }

    /// The previous hop refused our UCPE (RESVERR, not InPlace) and requires `required`: nothing
    /// of ours is in place there, and less than that is not offered again (T18).
    pub fn on_own_refused(&mut self, clock: Clock, required: Rate) {
        let refused = self.up.sent.map(|sent| (sent.content.payment, sent.content.epoch_echo));
        self.close_upstream(clock.now);
        self.up.withdrawn = false;
        if let Some((payment, epoch_echo)) = refused {
            self.extra.refuse(payment, epoch_echo);
        }
        self.up.refused_below = required;
        for b in &mut self.branches {
            b.needs = None;
        }
        self.settle(clock, Why::Terms);
    }
}
