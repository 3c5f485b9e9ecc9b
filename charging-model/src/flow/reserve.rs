//! Inputs from downstream: payments and departures; and what time does to them.

use std::sync::Arc;

use super::asked::LAST;
use super::branch::{Branch, NEVER, Offered, Status};
use super::charge::Member;
use super::messages::{Cause, Closed, Happening, Limits, Payment, Reason, Refusal, Verdict};
use super::settle::Why;
use super::{Flow, insert_snug};
use crate::ledger::Entry;
use crate::money::Rate;
use crate::split::{BranchFacts, BranchKey};
use crate::time::{Clock, Millis, serial_newer};

impl Flow {
    /// A RESV brought the UCPE of a next hop: new, changed, or the same again (also by Srefresh).
    /// What it reserves costs what the interface does, or what it cost so far.
    pub fn on_ucpe(&mut self, clock: Clock, key: BranchKey, payment: &Payment) -> Verdict {
        self.on_ucpe_at(clock, key, payment, None)
    }

    /// As [`on_ucpe`](Self::on_ucpe), for a reservation whose local price is `local`. One that a
    /// payment does not cover is not installed, and an installed one stays as it is; both are
    /// quoted what was asked for (see the verdict).
    pub fn on_ucpe_at(
        &mut self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        local: Option<Rate>,
    ) -> Verdict {
        let believed = payment.receivers_below.clamp(1, self.config.receivers_most.max(1));
        let bounded;
        let payment = if believed == payment.receivers_below {
            payment
        } else {
            bounded = Payment { receivers_below: believed, ..payment.clone() };
            &bounded
        };
        match self.find(key) {
            Some(b) if serial_newer(b.sequence, payment.sequence) => Verdict::Stale,
            Some(b) if b.instance == payment.instance => self.grow(clock, key, payment, local),
            Some(_) => self.replace(clock, key, payment, local),
            None => self.install(clock, key, payment, (local, self.next_to_join())),
        }
    }

    /// A UCPE of an installed instance, whose flowspec may be another one than before.
    fn grow(
        &mut self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        local: Option<Rate>,
    ) -> Verdict {
        let (Some(b), Some(local)) = (self.find(key), local) else {
            return self.renew(clock, key, payment, None);
        };
        match self.unpaid_wish(b, payment, local) {
            None => {
                if self.extra.retain_asked(|asked| asked.key != key) {
                    // Quoted as it stands again, and judged by that.
                    self.settle(clock, Why::Terms);
                }
                self.renew(clock, key, payment, Some(local))
            }
            Some(asked) => {
                let (quantity, flowspec) = (b.quantity, self.extra.flowspec(key));
                let stands = Payment { quantity, flowspec, ..payment.clone() };
                self.keep_asked(clock, asked, payment);
                let verdict = self.renew(clock, key, &stands, None);
                self.settle(clock, Why::Terms);
                match (verdict, self.find(key)) {
                    (Verdict::Accepted { .. }, Some(b)) => kept(b, payment, true),
                    (Verdict::Kept { extended, .. }, Some(b)) => kept(b, payment, extended),
                    (other, _) => other,
                }
            }
        }
    }

    /// A new instance takes the place of the installed one, if it can be admitted; otherwise the
    /// installed one, which is paid for, stays.
    fn replace(
        &mut self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        local: Option<Rate>,
    ) -> Verdict {
        let mut without = self.clone();
        without.remove_branch(clock, key, Cause::Replaced);
        let place = self.find(key).map_or(LAST, |b| b.joined);
        if let Err((reason, required)) = without.admit(clock, key, payment, (local, place)) {
            if reason == Reason::PaymentTooLow {
                self.keep_wish(clock, key, payment, local);
            }
            return Verdict::Refused(self.refusal(key, payment, reason, required));
        }
        self.remove_branch(clock, key, Cause::Replaced);
        self.install(clock, key, payment, (local, place))
    }

    /// Who comes next in the order of joining.
    fn next_to_join(&self) -> u32 {
        self.branches.iter().map(|b| b.joined).max().map_or(1, |last| last.saturating_add(1))
    }

    fn install(
        &mut self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        (local, joined): (Option<Rate>, u32),
    ) -> Verdict {
        match self.admit(clock, key, payment, (local, joined)) {
            Err((reason, required)) => {
                if reason == Reason::PaymentTooLow {
                    self.keep_wish(clock, key, payment, local);
                }
                Verdict::Refused(self.refusal(key, payment, reason, required))
            }
            Ok(branch) => {
                self.extra.retain_asked(|asked| asked.key != key);
                let grown = payment.quantity > self.up.carried || self.up.sent.is_none();
                let place = self.branches.partition_point(|b| b.key < key);
                insert_snug(&mut self.branches, place, branch);
                self.note_flowspec(key, grown);
                self.extra.set_flowspec(key, payment.flowspec);
                self.settle(clock, Why::Resplit);
                Verdict::Accepted { new: true }
            }
        }
    }

    /// The branch that `payment` would install in its place of the order of joining, or why not
    /// and what is required.
    fn admit(
        &self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        (local, joined): (Option<Rate>, u32),
    ) -> Result<Branch, (Reason, Rate)> {
        let nothing = Rate::ZERO;
        if self.extra.is_buried(key, payment.instance) {
            return Err((Reason::InstanceRemoved, nothing));
        }
        let down = self.down.as_ref().ok_or((Reason::NoAnnouncement, nothing))?;
        let group = self.group(key.group).ok_or((Reason::NoSuchGroup, nothing))?;
        let facts = BranchFacts {
            key,
            quantity: payment.quantity,
            receivers_below: payment.receivers_below,
            joined,
            flowspec: payment.flowspec,
        };
        let joiner = Member::new(facts, Some(group), local);
        let charge = self
            .charge_joining(down, down.newest(), &self.members(), joiner)
            .map_err(|overflow| (Reason::Overflow(overflow), nothing))?;
        let charge = charge.charge;
        let required = charge.receiver_payment();
        let mut branch = Branch::new(key, payment, charge, clock.now);
        (branch.price, branch.joined) = (local, joined);
        branch.echo = self.shared_echo(payment);
        if !self.has_branch(key.group) {
            branch.offered = group.join;
            if local.is_some() {
                // It is quoted for what it reserves, and was for something else.
                branch.offered.epoch = None;
            }
        }
        if clock.now > down.expires {
            return Err((Reason::AnnouncementExpired, required));
        }
        if payment.payment < required {
            let honoured = self.extra.honoured(key.group, payment.epoch_echo, clock.now);
            let old = honoured.filter(|old| {
                payment.payment >= old.receiver_payment() && local.is_none_or(|l| l <= old.local)
            });
            branch.agree(old.ok_or((Reason::PaymentTooLow, required))?);
        }
        self.check_bounds(down.total, down.max_total, &self.groups, Some(&branch))
            .map_err(|overflow| (Reason::Overflow(overflow), required))?;
        Ok(branch)
    }

    fn refusal(
        &self,
        key: BranchKey,
        payment: &Payment,
        reason: Reason,
        required: Rate,
    ) -> Refusal {
        let epoch = self.epoch_for(key).unwrap_or_default();
        let stale_echo = serial_newer(epoch, payment.epoch_echo);
        Refusal { reason, required, offered: payment.payment, epoch, stale_echo }
    }

    /// A UCPE of an installed instance.
    fn renew(
        &mut self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        local: Option<Rate>,
    ) -> Verdict {
        let Some(b) = self.find(key) else { return Verdict::Stale };
        let required = b.offered.charge.receiver_payment();
        let due = match b.status {
            // It was no party to what changed since it lapsed; the newest quote is enough.
            Status::Lapsed => b.receiver_payment().min(required),
            _ => b.receiver_payment(),
        };
        if payment.payment < due {
            return kept(b, payment, false);
        }
        let same_echo = b.echo() == payment.limits && self.extra.flowspec(key) == payment.flowspec;
        let same_price = local.is_none() || local == b.price;
        let in_time = clock.now <= self.branch_ends(b).0;
        if in_time && b.is_repeated_by(payment) && same_echo && same_price {
            // The common case: the approval runs anew and nothing else changes.
            if let Some(b) = self.find_mut(key) {
                b.approve(payment, clock.now);
            }
        } else {
            let mut next = b.clone();
            next.price = local.or(next.price);
            if next.price.is_some() && next.quantity != payment.quantity {
                next.offered.epoch = None;
            }
            next.approve(payment, clock.now);
            if let Err(overflow) = self.bounds_with(&next) {
                let refusal = self.refusal(key, payment, Reason::Overflow(overflow), required);
                return Verdict::Refused(refusal);
            }
            next.echo = self.shared_echo(payment);
            self.extra.set_flowspec(key, payment.flowspec);
            self.replace_branch(clock, next);
        }
        self.heard_again(key, clock.now);
        match self.find(key) {
            Some(b) if !b.covers(&b.offered.charge) => kept(b, payment, true),
            _ => Verdict::Accepted { new: false },
        }
    }

    /// Puts `next`, which has just been approved anew, in the place of the branch that it was.
    fn replace_branch(&mut self, clock: Clock, mut next: Branch) {
        let key = next.key;
        let Some(old) = self.find(key) else { return };
        let (rp_end, sp_end) = self.branch_ends(old);
        let gap_from = old.approved_until();
        let gap_to = clock.now.min(old.counts_until()).min(self.stands_until());
        let back = old.status == Status::Lapsed;
        let old_rate = old.rp.rate();
        let silent = clock.now > rp_end;
        let grown = next.quantity > old.quantity;
        let merged_grown = next.quantity > self.up.carried;
        if silent || old.account != next.account {
            let account = old.account.clone();
            let (rp, sp) = (next.rp.rate(), next.sp.rate());
            let rp = next.rp.restart(clock.now, rp_end, rp);
            let sp = next.sp.restart(clock.now, sp_end, sp);
            self.post_branch(key, account, rp, sp);
        }
        if back {
            next.status = Status::Active;
            if next.receiver_payment() > next.ceiling {
                next.agree(next.offered.charge);
            }
        }
        if grown {
            next.flow_sequence = next.sequence;
        }
        if let Some(b) = self.find_mut(key) {
            *b = next;
        }
        if grown {
            self.note_flowspec(key, merged_grown);
        }
        self.settle(clock, if back { Why::Resplit } else { Why::Terms });
        if silent {
            self.fill_gap(key, gap_from, gap_to, old_rate);
        }
    }

    /// Bills the time without an approval, now that the payer is back (T3).
    fn fill_gap(&mut self, key: BranchKey, from: Millis, to: Millis, old_rate: Rate) {
        let from = from.max(self.extra.woke());
        let Some(b) = self.find_mut(key) else { return };
        let gap = b.rp.fill(from, to, old_rate.min(b.rp.rate()));
        let account = b.account.clone();
        self.post(Entry::ReceiverPaymentFrom(key), Some(account), gap, true);
    }

    /// Says whether a hop that does not charge stands between this one and the one that it pays,
    /// and may have merged more than what this one reserves. Then nothing waits for growth.
    pub fn set_upstream_veiled(&mut self, veiled: bool) {
        self.up.veiled = veiled;
    }

    /// Notes by which of our sequences the flowspec of a branch travels up (T12).
    fn note_flowspec(&mut self, key: BranchKey, grown: bool) {
        self.up.grown |= grown && (!self.up.veiled || self.up.sent.is_none());
        let needs = if self.up.grown { None } else { self.up.carried_by };
        if let Some(b) = self.find_mut(key) {
            b.needs = needs;
        }
    }

    /// The limits that a payment echoes, but for the number of hops, which every hop counts down.
    fn shared_echo(&self, payment: &Payment) -> Option<Arc<Limits>> {
        let echoed = Limits { max_hops: None, ..payment.limits };
        self.down.as_ref()?.shared_limits(echoed)
    }

    /// A branch goes. Its open segments close now, never beyond the end of its approval; the
    /// remaining branches share anew. `None` if there is no such branch.
    pub fn remove_branch(&mut self, clock: Clock, key: BranchKey, cause: Cause) -> Option<Closed> {
        let index = self.branches.binary_search_by_key(&key, |b| b.key).ok()?;
        let (rp_end, sp_end) = self.branch_ends(self.branches.get(index)?);
        let mut b = self.branches.remove(index);
        let rp = b.rp.restart(clock.now, rp_end, Rate::ZERO);
        let sp = b.sp.restart(clock.now, sp_end, Rate::ZERO);
        self.end_turns(clock.now, key, [(&b.rp, rp_end), (&b.sp, sp_end)]);
        self.post_branch(key, b.account, rp, sp);
        self.leave_quality(clock.now, key);
        self.refunds_leave(clock.now, key);
        self.extra.bury(key, b.instance);
        self.extra.set_flowspec(key, None);
        self.extra.retain_asked(|asked| asked.key != key);
        if let Some(group) = self.groups.iter_mut().find(|g| g.id == key.group) {
            // Whatever is quoted here next is not older than what any branch was told.
            let newer = |told: u32| group.join.epoch.is_some_and(|own| serial_newer(own, told));
            let epoch = b.offered.epoch.filter(|told| !newer(*told));
            group.join = Offered { epoch, ..b.offered };
            self.tell_only_branch_anew(key.group);
            // What was said was for what it reserved, and what is said next is not.
            if let Some(group) = self.groups.iter_mut().find(|g| g.id == key.group)
                && b.price.is_some()
            {
                group.join.epoch = None;
            }
        }
        if self.branches.is_empty() {
            self.close_upstream(clock.now);
        }
        self.settle(clock, Why::Resplit);
        Some(Closed {
            cause,
            receiver_payment: b.rp.amount_at(clock.now, clock.now),
            sender_payment: b.sp.amount_at(clock.now, clock.now),
        })
    }

    pub(super) fn close_upstream(&mut self, now: Millis) {
        if let Some(refunds) = self.extra.refunds_mut_if_any() {
            refunds.instance_ends(self.up.instance);
        }
        let (rp_until, sp_until) = self.upstream_ends();
        let rp = self.up.rp.restart(now, rp_until, Rate::ZERO);
        let sp = self.up.sp.restart(now, sp_until, Rate::ZERO);
        self.post_upstream(Entry::ReceiverPaymentToUpstream, rp);
        self.post_upstream(Entry::SenderPaymentFromUpstream, sp);
        self.up.end_instance();
    }

    /// Time has come to `clock`: lapses branches that nobody has heard of for 2H, approves an
    /// upstream increase that cannot wait longer, and names the branches to be removed. Calling it
    /// early or twice does no harm.
    pub fn tick(&mut self, clock: Clock) -> Vec<Happening> {
        let mut happenings = Vec::new();
        let mut lapsed = false;
        for b in &mut self.branches {
            if b.status != Status::Lapsed && clock.now >= b.counts_until() {
                b.status = Status::Lapsed;
                lapsed = true;
                happenings.push(Happening::Lapsed(b.key));
            }
            if clock.now >= b.deadline {
                happenings.push(Happening::Uncovered(b.key));
            }
        }
        if clock.now >= self.withdrawn_at() {
            // Those below would go on to pay for as long as we repeat what nobody tells us.
            if let Some(down) = &mut self.down {
                down.lapsed = true;
            }
            self.settle(clock, Why::Terms);
        }
        if lapsed {
            self.settle(clock, Why::Resplit);
            if self.sums().count == 0 {
                self.close_upstream(clock.now);
            }
        } else if clock.now >= self.up.deadline.before(self.config.margin) {
            self.settle(clock, Why::Terms);
        }
        if self.forget_asked(|asked| clock.now < asked.until) {
            self.settle(clock, Why::Terms);
        }
        self.audit_due(clock.now);
        happenings.extend(self.overdue().map(Happening::Inconsistent));
        happenings
    }

    /// When [`tick`](Self::tick) is next due; ask again after every input.
    pub fn next_deadline(&self) -> Option<Millis> {
        let of_branch = |b: &Branch| match b.status {
            Status::Lapsed => b.deadline,
            _ => b.counts_until().min(b.deadline),
        };
        // An end system approves nothing when its own deadline comes: nothing is due then.
        let carries = self.branches.iter().any(|b| !b.key.is_local());
        let own = match self.up.deadline {
            deadline if carries && deadline != NEVER => deadline.before(self.config.margin),
            _ => NEVER,
        };
        let first = self.branches.iter().map(of_branch).min().unwrap_or(NEVER);
        let first = first.min(own).min(self.withdrawn_at());
        let first = first.min(self.audit_deadline().unwrap_or(NEVER)).min(self.next_lapse());
        let forgotten = self.extra.asked().iter().map(|asked| asked.until).min();
        let first = first.min(forgotten.unwrap_or(NEVER));
        (first != NEVER).then_some(first)
    }
}

/// The verdict on a payment that does not cover the newest quote of the installed branch `b`.
fn kept(b: &Branch, payment: &Payment, extended: bool) -> Verdict {
    Verdict::Kept {
        required: b.offered.charge.receiver_payment(),
        offered: payment.payment,
        extended,
        deadline: (b.deadline != NEVER).then_some(b.deadline),
        stale_echo: b.offered.epoch.is_some_and(|e| serial_newer(e, payment.epoch_echo)),
    }
}
