//! What a flow says: quotes, its own payment, postings, and views of its state.

use super::Flow;
use super::branch::{Branch, Group, Offered};
use super::downstream::Downstream;
use super::messages::{Account, BranchView, Changes, Limits, OwnPayment, Price, Quote};
use super::upstream::{Content, Sent};
use crate::equations::max_total_charge;
use crate::ledger::{Entry, Posting};
use crate::meter::Segment;
use crate::money::{Amount, Rate};
use crate::split::BranchKey;
use crate::time::{Clock, Millis, next_serial, serial_newer};

impl Flow {
    /// What to tell whom since this was last asked. `payment` and `coalescable` stay until
    /// [`own_payment`](Self::own_payment) is called.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        for group in &mut self.groups {
            if std::mem::take(&mut group.dirty) {
                changes.groups.push(group.id);
            }
        }
        if let Some(content) = self.content() {
            let sent = self.up.sent.map(|sent| sent.content);
            let refused = self.extra.is_refused(content.payment, content.epoch_echo);
            changes.payment = match sent {
                Some(sent) => sent.payment != content.payment,
                None => !refused,
            };
            changes.coalescable =
                !changes.payment && (sent.is_some_and(|sent| sent != content) || self.up.grown);
            self.up.withdrawn = false;
        } else {
            changes.withdrawn = std::mem::take(&mut self.up.withdrawn);
        }
        changes
    }

    /// The quote for a PATH on `group`: that of its branch, or of the first of several, or for a
    /// hop that would join. `None` while nothing was announced or the group is unknown.
    pub fn quote(&self, group: u32) -> Option<Quote> {
        let place = self.group(group)?;
        match self.first_branch(group) {
            Some(b) => self.make_quote(place, &b.offered, self.quoted_quantity(b)),
            None => self.make_quote(place, &place.join, self.join_quantity(group)),
        }
    }

    /// The quote for an installed branch: for a PATH addressed to it where several share a group.
    pub fn quote_for(&self, key: BranchKey) -> Option<Quote> {
        let b = self.find(key)?;
        self.make_quote(self.group(key.group)?, &b.offered, self.quoted_quantity(b))
    }

    /// What is due of a branch, or would be of a next hop that is none yet: beside those that are.
    pub fn due_of(&self, key: BranchKey) -> Option<Rate> {
        if self.find(key).is_none() && self.has_branch(key.group) {
            let joins = self.charge_anyone(self.down.as_ref()?, self.group(key.group)?).ok()?;
            return Some(joins.charge.receiver_payment());
        }
        let quote = self.quote_for(key).or_else(|| self.quote(key.group));
        quote.map(|quote| quote.receiver_payment())
    }

    /// What a branch is quoted for: what it asked for, or what it reserves.
    fn quoted_quantity(&self, b: &Branch) -> u64 {
        self.extra.asked_by(b.key).map_or(b.quantity, |asked| asked.quantity)
    }

    fn join_quantity(&self, group: u32) -> u64 {
        self.asked_to_join(group).map_or(0, |asked| asked.quantity)
    }

    /// The quote for one more hop on `group`, which may have installed ones: the unaddressed DCPE
    /// on a LAN or towards an ignorant hop. It is what the joiner would be charged at the dearest
    /// place there: which one is its own is known when it has joined.
    pub fn join_quote(&mut self, clock: Clock, group: u32) -> Option<Quote> {
        if self.has_branch(group) {
            let down = self.down.as_ref()?;
            let target = self.charge_anyone(down, self.group(group)?).ok()?;
            let epoch = next_serial(self.last_epoch, clock.unix_s);
            // Whoever only listens heard what a branch was told while that was the only one here,
            // and would take what is older for something stale.
            let told = self.newest_told(group);
            let group = self.groups.iter_mut().find(|g| g.id == group)?;
            let older = matches!((told, group.join.epoch), (Some(told), Some(own)) if serial_newer(told, own));
            if group.join.update(&target, None, older) {
                group.join.epoch = Some(epoch);
                self.last_epoch = Some(epoch);
            }
        }
        let quantity = self.join_quantity(group);
        let group = self.group(group)?;
        self.make_quote(group, &group.join, quantity)
    }

    /// The newest epoch that a branch of a group was told.
    fn newest_told(&self, group: u32) -> Option<u32> {
        let told = self.branches.iter().filter(|b| b.key.group == group);
        let newer = |a: u32, b: u32| if serial_newer(b, a) { b } else { a };
        told.filter_map(|b| b.offered.epoch).reduce(newer)
    }

    /// The account that sender payments debit.
    pub(super) fn sender_account(&self) -> Option<Account> {
        self.down.as_ref().and_then(|d| d.sender_account.clone())
    }

    /// Keeps a closed segment for [`take_postings`](Self::take_postings).
    pub(super) fn post(
        &mut self,
        entry: Entry,
        account: Option<Account>,
        segment: Option<Segment>,
        gap: bool,
    ) {
        if let Some(segment) = segment {
            let kept = self.noticed_within();
            self.extra.push(Posting { entry, account, segment, gap }, kept);
        }
    }

    /// Keeps what a branch paid (RP) and was paid (SP).
    pub(super) fn post_branch(
        &mut self,
        key: BranchKey,
        account: Account,
        rp: Option<Segment>,
        sp: Option<Segment>,
    ) {
        self.post(Entry::ReceiverPaymentFrom(key), Some(account), rp, false);
        self.post(Entry::SenderPaymentTo(key), None, sp, false);
    }

    /// Keeps what the previous hop paid (SP) or was paid (RP).
    pub(super) fn post_upstream(&mut self, entry: Entry, segment: Option<Segment>) {
        if segment.is_some() {
            let account = entry.is_metered_here().then(|| self.sender_account()).flatten();
            self.post(entry, account, segment, false);
        }
    }

    fn make_quote(&self, group: &Group, offered: &Offered, quantity: u64) -> Option<Quote> {
        let down = self.down.as_ref()?;
        let mut limits = down.limits();
        if !self.config.origin {
            limits.max_hops = limits.max_hops.map(|hops| hops.saturating_sub(1));
        }
        let charge = &offered.charge;
        let max_local = group.price.max_local.max(charge.local);
        let max = max_total_charge(down.max_total, max_local);
        Some(Quote {
            total: charge.total(),
            max_total: max.unwrap_or(Rate::MAX),
            carried: charge.carried,
            local: charge.local,
            fraction: offered.fraction,
            sponsored: charge.sponsored,
            limits,
            epoch: offered.epoch?,
            validity: group.price.validity,
            established: offered.established,
            quantity: if quantity == 0 { down.quantity } else { quantity },
            flags: down.flags,
        })
    }

    /// Our UCPE, for a RESV that is sent now, which approves [now, now + H]. A refresh that says
    /// the same repeats the sequence; any other content moves it. `None` if nothing is reserved,
    /// or nothing may be offered.
    pub fn own_payment(&mut self, clock: Clock) -> Option<OwnPayment> {
        let content = self.content()?;
        let (sequence, instance) = self.up.number(&content, clock.unix_s);
        let flowspec = self.branches.iter().map(|b| b.quantity).max().unwrap_or(0);
        self.up.carried = self.up.carried.max(flowspec);
        let ((rp_end, _), rate) = (self.upstream_ends(), self.up.rp.rate());
        let silent = self.up.sent.filter(|_| clock.now > rp_end).map(|sent| sent.at);
        if silent.is_some() {
            let closed = self.up.rp.restart(clock.now, rp_end, rate);
            self.post_upstream(Entry::ReceiverPaymentToUpstream, closed);
        }
        // Next to the sender the payment is information, not a ceiling.
        let binding = !self.next_to_sender();
        self.up.sent = Some(Sent { content, binding, at: clock.now });
        self.up.refused_below = Rate::ZERO;
        for b in self.branches.iter_mut().filter(|b| b.needs.is_none()) {
            b.needs = Some(sequence);
        }
        self.run_meters(clock.now);
        if let Some(last) = silent {
            // The previous hop bills the gap like we bill those of our branches (T3).
            let lower = rate.min(self.up.rp.rate());
            let end = last.after(self.config.refresh.approval().twice()).min(self.stands_until());
            let from = rp_end.max(self.extra.woke());
            let gap = self.up.rp.fill(from, clock.now.min(end), lower);
            self.post(Entry::ReceiverPaymentToUpstream, None, gap, true);
        }
        Some(self.own(content, sequence, instance))
    }

    /// What [`own_payment`](Self::own_payment) would say, without saying it; sequence and
    /// instance are those of the last UCPE sent.
    pub fn preview_payment(&self) -> Option<OwnPayment> {
        let (sequence, instance) = (self.up.last_sequence, self.up.instance);
        Some(self.own(self.content()?, sequence.unwrap_or(0), instance.unwrap_or(0)))
    }

    /// Whether [`preview_payment`](Self::preview_payment) is not what the last UCPE sent said.
    pub fn has_unsaid(&self) -> bool {
        self.content() != self.up.sent.map(|sent| sent.content)
    }

    /// The part of A for which this hop stands in itself: for members who are expected and not
    /// there.
    pub fn stands_in(&self) -> Rate {
        self.extra.stands_in()
    }

    fn own(&self, content: Content, sequence: u32, instance: u32) -> OwnPayment {
        let sums = self.sums();
        OwnPayment {
            payment: content.payment,
            announced_total: content.announced_total,
            sender_payment: content.sender_payment,
            local_sum: content.local_sum,
            epoch_echo: content.epoch_echo,
            sequence,
            instance,
            // What is pending is asked for, too: the previous hop sees it grow.
            quantity: self.branches.iter().map(|b| b.quantity).max().unwrap_or(0),
            receivers_below: sums.receivers(),
            limits: self.heard_limits(),
        }
    }

    fn content(&self) -> Option<Content> {
        let down = self.down.as_ref()?;
        let approved = self.up.approved?;
        let sums = self.sums();
        let fit = |sum| Rate::from_wide(sum, "own UCPE").unwrap_or(Rate::MAX);
        // For those who are not there yet this hop stands in like a receiver: A − B is C_j.
        let announced_total = sums.announced_total.saturating_add_signed(self.distrusted());
        let announced_total = announced_total.saturating_add(self.extra.stands_in().wide());
        let sender_payment = self.sender_payment_due(&sums);
        let claim = approved.receiver_payment();
        let payment = if self.next_to_sender() {
            // D3: what the receivers pay, A − S_j − SP; nothing is debited.
            let others = approved.sponsored.wide() + sender_payment.wide();
            fit(announced_total.saturating_sub(others))
        } else if self.config.headroom && self.branches.iter().all(|b| b.key.is_local()) {
            claim.max(fit(sums.ceilings))
        } else {
            claim
        };
        if payment < self.up.refused_below {
            return None;
        }
        Some(Content {
            payment,
            announced_total: fit(announced_total),
            sender_payment,
            local_sum: fit(sums.local_sum),
            epoch_echo: down.epoch.unwrap_or_default(),
            digest: digest(&self.heard_limits(), sums.receivers()),
        })
    }

    /// The segments closed since this was last asked.
    pub fn take_postings(&mut self) -> Vec<Posting> {
        self.extra.take_postings()
    }

    /// Closes all open segments at `now` without changing a rate, for a durable record of a long
    /// flow; they are among the next [`take_postings`](Self::take_postings).
    pub fn checkpoint(&mut self, now: Millis) {
        for index in 0..self.branches.len() {
            let Some(b) = self.branches.get(index) else { continue };
            let (rp_end, sp_end) = self.branch_ends(b);
            let Some(b) = self.branches.get_mut(index) else { continue };
            let (rp, sp) = (b.rp.rate(), b.sp.rate());
            let (rp, sp) = (b.rp.restart(now, rp_end, rp), b.sp.restart(now, sp_end, sp));
            let (key, account) = (b.key, b.account.clone());
            self.post_branch(key, account, rp, sp);
        }
        let (rp_end, sp_end) = self.upstream_ends();
        let (rp, sp) = (self.up.rp.rate(), self.up.sp.rate());
        let rp = self.up.rp.restart(now, rp_end, rp);
        let sp = self.up.sp.restart(now, sp_end, sp);
        self.post_upstream(Entry::ReceiverPaymentToUpstream, rp);
        self.post_upstream(Entry::SenderPaymentFromUpstream, sp);
    }

    /// Downstream charging state, if anything was announced.
    pub fn downstream(&self) -> Option<&Downstream> {
        self.down.as_ref()
    }

    /// The interfaces that the PATH is forwarded on, with their prices.
    pub fn groups(&self) -> impl Iterator<Item = (u32, Price)> + '_ {
        self.groups.iter().map(|g| (g.id, g.price))
    }

    /// The installed branches, in the order of their keys.
    pub fn branches(&self) -> impl Iterator<Item = BranchView> + '_ {
        self.branches.iter().map(Branch::view)
    }

    /// One installed branch.
    pub fn branch(&self, key: BranchKey) -> Option<BranchView> {
        self.find(key).map(Branch::view)
    }

    /// RP received from a branch up to `now`.
    pub fn received_from(&self, key: BranchKey, now: Millis) -> Option<Amount> {
        let b = self.find(key)?;
        Some(b.rp.amount_at(now, self.branch_ends(b).0))
    }

    /// SP paid to a branch up to `now` (our shadow).
    pub fn paid_to(&self, key: BranchKey, now: Millis) -> Option<Amount> {
        let b = self.find(key)?;
        Some(b.sp.amount_at(now, self.branch_ends(b).1))
    }

    /// SP received from the previous hop, and RP paid to it (our shadow), up to `now`.
    pub fn upstream_amounts(&self, now: Millis) -> (Amount, Amount) {
        let (rp_end, sp_end) = self.upstream_ends();
        (self.up.sp.amount_at(now, sp_end), self.up.rp.amount_at(now, rp_end))
    }

    /// What is being metered at `now`: the rates of all payments that run, shadows included. A
    /// payment whose approval has ended, or which is not billed yet, is not among them.
    pub fn running(&self, now: Millis) -> impl Iterator<Item = (Entry, Rate)> + '_ {
        let (rp_end, sp_end) = self.upstream_ends();
        let own = [
            (Entry::ReceiverPaymentToUpstream, self.up.rp.rate(), rp_end),
            (Entry::SenderPaymentFromUpstream, self.up.sp.rate(), sp_end),
        ];
        let branches = self.branches.iter().flat_map(|b| {
            let (rp_end, sp_end) = self.branch_ends(b);
            [
                (Entry::ReceiverPaymentFrom(b.key), b.rp.rate(), rp_end),
                (Entry::SenderPaymentTo(b.key), b.sp.rate(), sp_end),
            ]
        });
        let runs = move |(_, rate, end): &(Entry, Rate, Millis)| *rate > Rate::ZERO && now < *end;
        branches.chain(own).filter(runs).map(|(entry, rate, _)| (entry, rate))
    }

    /// An instance that a branch which left can come back with, newer than what was removed
    /// (T17): for a receiver in this node, which may leave and return within a second.
    pub fn next_instance(&self, key: BranchKey, unix_s: u32) -> u32 {
        next_serial(self.extra.last_removed(key), unix_s)
    }

    /// The sequence of the last UCPE sent: a RESVERR about another one is out of date, and no
    /// reason for [`on_own_refused`](Self::on_own_refused).
    pub fn last_sequence(&self) -> Option<u32> {
        self.up.last_sequence
    }

    /// What the previous hop may debit at most, by the last UCPE sent.
    pub fn own_ceiling(&self) -> Option<Rate> {
        self.up.ceiling()
    }

    /// C_j and S_j of the claim that this node has approved upstream; debits follow it.
    pub fn approved_claim(&self) -> Option<(Rate, Rate)> {
        self.up.approved.map(|claim| (claim.total, claim.sponsored))
    }

    /// U_j = C_j − Σc of the approved claim: what this hop carries while increases wait.
    pub fn carried_by_hop(&self) -> i128 {
        let claimed = self.up.approved.map_or(0, |claim| i128::from(claim.total.0));
        claimed - i128::try_from(self.sums().carried).unwrap_or(i128::MAX)
    }

    /// Next hops whose reports do not agree with what they were told (audit; transient while
    /// increases wait, so raise an alarm only if it persists).
    pub fn inconsistent(&self) -> impl Iterator<Item = BranchKey> + '_ {
        self.branches.iter().filter(|b| self.counts(b) && !b.is_consistent()).map(|b| b.key)
    }
}

/// Tells limits and numbers of receivers apart, nearly always: a change that it misses is told with
/// the next refresh.
fn digest(limits: &Limits, receivers: u32) -> u32 {
    let parts = [limits.per_receiver, limits.per_hop];
    parts.iter().fold(receivers.into(), |sum: u64, limit| {
        let part = limit.map_or(0, |rate| rate.0.wrapping_add(1));
        (sum ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    }) as u32
}
