//! The charging state of one (session, sender) at one node.
//!
//! ```text
//!  DCPE ──▶ on_dcpe ─▶ downstream state ─┐                        ┌─▶ quote(group) ──▶ DCPE
//!                                        ├─▶ settle: quotes, agreed c and S, meters
//!  UCPE ◀── own_payment ◀─ approved claim ┘                        └─◀ on_ucpe ◀────── UCPE
//! ```
//!
//! After each input the caller asks [`Flow::take_changes`] who should hear of it,
//! [`Flow::take_postings`] what was metered, and [`Flow::next_deadline`] when to call
//! [`Flow::tick`]. Instants passed in must not run backwards.

mod branch;
mod charge;
mod downstream;
mod extra;
mod messages;
mod settle;
mod upstream;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use branch::{Branch, Group, NEVER, Offered, Status, Sums};
use charge::Member;
use extra::Extra;
use settle::Why;
use upstream::{Content, Sent, Upstream};

pub use downstream::{BadAnnouncement, Downstream, Heard};
pub use messages::{
    Account, Announcement, BranchView, Cause, Changes, Closed, FlowConfig, Happening, Limits,
    OwnPayment, Payment, Price, Quote, Reason, Refusal, Verdict,
};

use crate::equations::max_total_charge;
use crate::ledger::{Entry, Posting};
use crate::money::{Amount, Overflow, Rate};
use crate::split::{BranchFacts, BranchKey};
use crate::time::{Clock, Millis, Span, next_serial, serial_newer};

fn equal_or_newer(a: u32, b: u32) -> bool {
    a == b || serial_newer(a, b)
}

/// The charging state of one (session, sender) at one node.
#[derive(Clone, Debug)]
pub struct Flow {
    config: Arc<FlowConfig>,
    down: Option<Downstream>,
    groups: Vec<Group>,
    branches: Vec<Branch>,
    up: Upstream,
    last_epoch: Option<u32>,
    extra: Extra,
}

/// Adds to a small vector without the room for three more that `push` would make.
fn insert_snug<T>(items: &mut Vec<T>, index: usize, item: T) {
    if items.len() == items.capacity() && items.len() < 4 {
        items.reserve_exact(1);
    }
    items.insert(index.min(items.len()), item);
}

impl Flow {
    /// A flow of which nothing is known yet.
    pub fn new(config: Arc<FlowConfig>) -> Self {
        Self {
            config,
            down: None,
            groups: Vec::new(),
            branches: Vec::new(),
            up: Upstream::default(),
            last_epoch: None,
            extra: Extra::default(),
        }
    }

    // ---- inputs from upstream ----

    /// A PATH brought a DCPE. On an error the state is untouched: treat the PATH's DCPE as bad.
    pub fn on_dcpe(&mut self, clock: Clock, said: &Announcement) -> Result<Heard, BadAnnouncement> {
        let mut next = Downstream::new(clock, said)?;
        let Some(old) = &self.down else {
            self.check_bounds(next.total, next.max_total, &self.groups, None)?;
            self.replace_downstream(clock, next, Why::AllQuotes);
            return Ok(Heard::Changed);
        };
        if old.epoch.is_some_and(|epoch| serial_newer(epoch, said.epoch)) {
            return Ok(Heard::Stale);
        }
        next.max_total = next.max_total.max(old.max_total);
        let same_epoch = old.epoch == next.epoch;
        let heard = match (old.same_content(&next), same_epoch) {
            (true, _) => Heard::Refreshed,
            (false, false) => Heard::Changed,
            (false, true) => Heard::EpochReused,
        };
        let why = if old.same_terms(&next) { Why::Terms } else { Why::AllQuotes };
        self.check_bounds(next.total, next.max_total, &self.groups, None)?;
        self.replace_downstream(clock, next, why);
        Ok(heard)
    }

    /// A PATH brought no DCPE: this is the first charging hop, C = 0 and no sender pays. `refresh`
    /// and `quantity` (bit/s) are the PATH's. Not for a DCPE whose validity has expired (T6).
    pub fn on_no_dcpe(&mut self, clock: Clock, refresh: Span, quantity: u64) {
        let next = Downstream::first_hop(clock, refresh, quantity);
        let terms_changed = self.down.as_ref().is_none_or(|old| !old.same_terms(&next));
        let why = if terms_changed { Why::AllQuotes } else { Why::Terms };
        self.replace_downstream(clock, next, why);
    }

    fn replace_downstream(&mut self, clock: Clock, next: Downstream, why: Why) {
        // What ran until now ran under the old approval; the sender was silent in a gap (T3, T15).
        let (_, until) = self.upstream_ends();
        let rate = self.up.sp.rate();
        let silent = clock.now > until && self.down.is_some();
        let give_up =
            self.down.as_ref().map_or(until, |d| d.heard.after(d.refresh.approval().twice()));
        if silent {
            let closed = self.up.sp.restart(clock.now, until, rate);
            self.extra.post(Entry::SenderPaymentFromUpstream, closed);
        }
        self.down = Some(next);
        self.settle(clock, why);
        if silent {
            let lower = rate.min(self.up.sp.rate());
            let gap = self.up.sp.fill(until, clock.now.min(give_up), lower);
            self.post_gap(Entry::SenderPaymentFromUpstream, gap);
        }
    }

    /// The previous hop is another one (route change): closes the meters towards the old one. What
    /// is announced next is a new claim, which is approved at once, as a new reservation instance;
    /// until the branches approve, this hop carries the difference.
    pub fn on_upstream_changed(&mut self, clock: Clock) {
        let (rp_until, sp_until) = self.upstream_ends();
        let rp = self.up.rp.restart(clock.now, rp_until, Rate::ZERO);
        let sp = self.up.sp.restart(clock.now, sp_until, Rate::ZERO);
        self.extra.post(Entry::ReceiverPaymentToUpstream, rp);
        self.extra.post(Entry::SenderPaymentFromUpstream, sp);
        self.up.end_instance();
        self.up.withdrawn = false;
        for b in &mut self.branches {
            b.needs = None;
        }
        self.down = None;
    }

    /// The previous hop refused our UCPE (RESVERR, not InPlace) and requires `required`: nothing
    /// of ours is in place there, and less than that is not offered again (T18).
    pub fn on_own_refused(&mut self, clock: Clock, required: Rate) {
        self.up.end_instance();
        self.up.withdrawn = false;
        self.up.refused_below = Some(required);
        for b in &mut self.branches {
            b.needs = None;
        }
        self.settle(clock, Why::Terms);
    }

    // ---- interfaces ----

    /// The PATH is forwarded on `group` at this price; also for a new price of a known group.
    pub fn set_group(&mut self, clock: Clock, group: u32, price: Price) -> Result<(), Overflow> {
        let place = self.groups.binary_search_by_key(&group, |g| g.id);
        let mut next = price;
        next.max_local = next.max_local.max(next.local);
        if let Some(old) = place.ok().and_then(|i| self.groups.get(i)) {
            next.max_local = next.max_local.max(old.price.max_local);
            if old.price == next {
                return Ok(());
            }
        }
        let mut groups = self.groups.clone();
        match place {
            Ok(index) => {
                if let Some(old) = groups.get_mut(index) {
                    old.price = next;
                }
            }
            Err(index) => {
                let new = Group { id: group, price: next, join: Offered::default(), dirty: true };
                insert_snug(&mut groups, index, new);
            }
        }
        let (total, max) =
            self.down.as_ref().map_or_else(Default::default, |d| (d.total, d.max_total));
        self.check_bounds(total, max, &groups, None)?;
        self.groups = groups;
        self.settle(clock, Why::Terms);
        Ok(())
    }

    /// The PATH is no longer forwarded on `group`: its branches are torn.
    pub fn remove_group(&mut self, clock: Clock, group: u32) -> Vec<(BranchKey, Closed)> {
        let keys: Vec<_> =
            self.branches.iter().map(|b| b.key).filter(|key| key.group == group).collect();
        let close = |key| self.remove_branch(clock, key, Cause::Tear).map(|closed| (key, closed));
        let closed = keys.into_iter().filter_map(close).collect();
        self.groups.retain(|g| g.id != group);
        self.settle(clock, Why::Resplit);
        closed
    }

    // ---- inputs from downstream ----

    /// A RESV brought the UCPE of a next hop: new, changed, or the same again (also by Srefresh).
    pub fn on_ucpe(&mut self, clock: Clock, key: BranchKey, payment: &Payment) -> Verdict {
        match self.find(key) {
            Some(b) if serial_newer(b.sequence, payment.sequence) => Verdict::Stale,
            Some(b) if b.instance == payment.instance => self.renew(clock, key, payment),
            Some(_) => {
                self.remove_branch(clock, key, Cause::Replaced);
                self.install(clock, key, payment)
            }
            None => self.install(clock, key, payment),
        }
    }

    fn install(&mut self, clock: Clock, key: BranchKey, payment: &Payment) -> Verdict {
        match self.admit(clock, key, payment) {
            Err((reason, required)) => {
                Verdict::Refused(self.refusal(key, payment, reason, required))
            }
            Ok(branch) => {
                let grown = payment.quantity > self.sums().quantity || self.up.sent.is_none();
                let place = self.branches.partition_point(|b| b.key < key);
                insert_snug(&mut self.branches, place, branch);
                self.note_flowspec(key, grown);
                self.settle(clock, Why::Resplit);
                Verdict::Accepted { new: true }
            }
        }
    }

    /// The branch that `payment` would install, or why not and what is required.
    fn admit(
        &self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
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
        };
        let joiner = Member { facts, price: group.price.local };
        let charge = self
            .charge_joining(down, down.newest(), &self.members(), joiner)
            .map_err(|overflow| (Reason::Overflow(overflow), nothing))?;
        let required = charge.receiver_payment();
        let mut branch = Branch::new(key, payment, charge, clock.now);
        branch.offered = group.join;
        if clock.now > down.expires {
            return Err((Reason::AnnouncementExpired, required));
        }
        if payment.payment < required {
            let honoured = self.extra.honoured(key.group, payment.epoch_echo, clock.now);
            let old = honoured.filter(|old| payment.payment >= old.receiver_payment());
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
    fn renew(&mut self, clock: Clock, key: BranchKey, payment: &Payment) -> Verdict {
        let Some(b) = self.find(key) else { return Verdict::Stale };
        let required = b.offered.charge.receiver_payment();
        let mut next = b.clone();
        let stale_echo = b.offered.epoch.is_some_and(|e| serial_newer(e, payment.epoch_echo));
        let kept = |extended, deadline| Verdict::Kept {
            required,
            offered: payment.payment,
            extended,
            deadline,
            stale_echo,
        };
        if payment.payment < b.receiver_payment() {
            return kept(false, (b.deadline != NEVER).then_some(b.deadline));
        }
        let ((rp_end, sp_end), counts_until) = (self.branch_ends(b), b.counts_until());
        let grown = payment.quantity > b.quantity;
        let merged_before = self.sums().quantity;
        next.approve(payment, clock.now);
        if let Err(overflow) = self.bounds_with(&next) {
            let refusal = self.refusal(key, payment, Reason::Overflow(overflow), required);
            return Verdict::Refused(refusal);
        }
        let old_rate = next.rp.rate();
        let silent = clock.now > rp_end;
        if silent {
            let (rp, sp) = (next.rp.restart(clock.now, rp_end, old_rate), next.sp.rate());
            let sp = next.sp.restart(clock.now, sp_end, sp);
            self.extra.post(Entry::ReceiverPaymentFrom(key), rp);
            self.extra.post(Entry::SenderPaymentTo(key), sp);
        }
        let back = next.status == Status::Lapsed;
        if back {
            next.status = Status::Active;
        }
        if grown {
            next.flow_sequence = payment.sequence;
        }
        if let Some(b) = self.find_mut(key) {
            *b = next;
        }
        if grown {
            self.note_flowspec(key, payment.quantity > merged_before);
        }
        self.settle(clock, if back { Why::Resplit } else { Why::Terms });
        if silent {
            self.fill_gap(key, rp_end, clock.now.min(counts_until), old_rate);
        }
        match self.find(key) {
            Some(b) if !b.covers(&b.offered.charge) => kept(true, Some(b.deadline)),
            _ => Verdict::Accepted { new: false },
        }
    }

    /// Bills the time without an approval, now that the payer is back (T3).
    fn fill_gap(&mut self, key: BranchKey, from: Millis, to: Millis, old_rate: Rate) {
        let Some(b) = self.find_mut(key) else { return };
        let gap = b.rp.fill(from, to, old_rate.min(b.rp.rate()));
        self.post_gap(Entry::ReceiverPaymentFrom(key), gap);
    }

    /// Notes by which of our sequences the flowspec of a branch travels up (T12).
    fn note_flowspec(&mut self, key: BranchKey, grown: bool) {
        self.up.grown |= grown;
        let needs = if self.up.grown { None } else { self.up.carried_by };
        if let Some(b) = self.find_mut(key) {
            b.needs = needs;
        }
    }

    /// A branch goes. Its open segments close now, never beyond the end of its approval; the
    /// remaining branches share anew. `None` if there is no such branch.
    pub fn remove_branch(&mut self, clock: Clock, key: BranchKey, cause: Cause) -> Option<Closed> {
        let index = self.branches.binary_search_by_key(&key, |b| b.key).ok()?;
        let (rp_end, sp_end) = self.branch_ends(self.branches.get(index)?);
        let mut b = self.branches.remove(index);
        let rp = b.rp.restart(clock.now, rp_end, Rate::ZERO);
        let sp = b.sp.restart(clock.now, sp_end, Rate::ZERO);
        self.extra.post(Entry::ReceiverPaymentFrom(key), rp);
        self.extra.post(Entry::SenderPaymentTo(key), sp);
        self.extra.bury(key, b.instance);
        if let Some(group) = self.groups.iter_mut().find(|g| g.id == key.group) {
            // Whatever is quoted here next is newer than what the branch was told.
            group.join = b.offered;
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

    fn close_upstream(&mut self, now: Millis) {
        let (rp_until, sp_until) = self.upstream_ends();
        let rp = self.up.rp.restart(now, rp_until, Rate::ZERO);
        let sp = self.up.sp.restart(now, sp_until, Rate::ZERO);
        self.extra.post(Entry::ReceiverPaymentToUpstream, rp);
        self.extra.post(Entry::SenderPaymentFromUpstream, sp);
        self.up.end_instance();
    }

    // ---- time ----

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
        if lapsed {
            self.settle(clock, Why::Resplit);
            if self.sums().count == 0 {
                self.close_upstream(clock.now);
            }
        } else if clock.now >= self.up.deadline.before(self.config.margin) {
            self.settle(clock, Why::Terms);
        }
        happenings
    }

    /// When [`tick`](Self::tick) is next due; ask again after every input.
    pub fn next_deadline(&self) -> Option<Millis> {
        let of_branch = |b: &Branch| match b.status {
            Status::Lapsed => b.deadline,
            _ => b.counts_until().min(b.deadline),
        };
        let own = match self.up.deadline {
            NEVER => NEVER,
            deadline => deadline.before(self.config.margin),
        };
        let first = self.branches.iter().map(of_branch).min().unwrap_or(NEVER).min(own);
        (first != NEVER).then_some(first)
    }

    // ---- outputs ----

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
            changes.payment = sent.is_none_or(|sent| sent.payment != content.payment);
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
        let branch = self.branches.iter().find(|b| b.key.group == group);
        match branch {
            Some(b) => self.quote_for(b.key),
            None => self.make_quote(self.group(group)?, &self.group(group)?.join, 0),
        }
    }

    /// The quote for an installed branch: for a PATH addressed to it where several share a group.
    pub fn quote_for(&self, key: BranchKey) -> Option<Quote> {
        let b = self.find(key)?;
        self.make_quote(self.group(key.group)?, &b.offered, b.quantity)
    }

    /// The quote for one more hop on `group`, which may have installed ones: the unaddressed DCPE
    /// on a LAN or towards an ignorant hop. It is what the joiner would be charged if it came
    /// first there, the dearest place.
    pub fn join_quote(&mut self, clock: Clock, group: u32) -> Option<Quote> {
        if self.has_branch(group) {
            let down = self.down.as_ref()?;
            let joiner = self.anyone_in(group, self.price(group));
            let charge = self.charge_joining(down, down.newest(), &self.members(), joiner).ok()?;
            let epoch = next_serial(self.last_epoch, clock.unix_s);
            let group = self.groups.iter_mut().find(|g| g.id == group)?;
            if group.join.update(charge, None, false) {
                group.join.epoch = Some(epoch);
                self.last_epoch = Some(epoch);
            }
        }
        let group = self.group(group)?;
        self.make_quote(group, &group.join, 0)
    }

    fn make_quote(&self, group: &Group, offered: &Offered, quantity: u64) -> Option<Quote> {
        let down = self.down.as_ref()?;
        let mut limits = down.limits();
        if !self.config.origin {
            limits.max_hops = limits.max_hops.map(|hops| hops.saturating_sub(1));
        }
        let charge = &offered.charge;
        let max = max_total_charge(down.max_total, group.price.max_local);
        Some(Quote {
            total: charge.total(),
            max_total: max.unwrap_or(Rate::MAX),
            carried: charge.carried,
            local: charge.local,
            fraction: charge.fraction,
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
        let (rp_end, _) = self.upstream_ends();
        let rate = self.up.rp.rate();
        if clock.now > rp_end && self.up.sent.is_some() {
            let closed = self.up.rp.restart(clock.now, rp_end, rate);
            self.extra.post(Entry::ReceiverPaymentToUpstream, closed);
        }
        self.up.sent = Some(Sent { content, at: clock.now });
        for b in self.branches.iter_mut().filter(|b| b.needs.is_none()) {
            b.needs = Some(sequence);
        }
        self.run_meters(clock.now);
        Some(self.own(content, sequence, instance))
    }

    /// What [`own_payment`](Self::own_payment) would say, without saying it; sequence and
    /// instance are those of the last UCPE sent.
    pub fn preview_payment(&self) -> Option<OwnPayment> {
        let (sequence, instance) = (self.up.last_sequence, self.up.instance);
        Some(self.own(self.content()?, sequence.unwrap_or(0), instance.unwrap_or(0)))
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
            quantity: sums.quantity,
            receivers_below: u32::try_from(sums.receivers_below).unwrap_or(u32::MAX),
        }
    }

    fn content(&self) -> Option<Content> {
        let down = self.down.as_ref()?;
        let approved = self.up.approved?;
        let sums = self.sums();
        let fit = |sum| Rate::from_wide(sum, "own UCPE").unwrap_or(Rate::MAX);
        let sender_payment = self.sender_payment_due();
        let claim = approved.receiver_payment();
        let payment = if self.next_to_sender() {
            // D3: what the receivers pay, A − S_j − SP; nothing is debited.
            let others = approved.sponsored.wide() + sender_payment.wide();
            fit(sums.announced_total.saturating_sub(others))
        } else if self.config.headroom && self.branches.iter().all(|b| b.key.is_local()) {
            claim.max(fit(sums.ceilings))
        } else {
            claim
        };
        if self.up.refused_below.is_some_and(|required| payment < required) {
            return None;
        }
        Some(Content {
            payment,
            announced_total: fit(sums.announced_total),
            sender_payment,
            local_sum: fit(sums.local_sum),
            epoch_echo: down.epoch.unwrap_or_default(),
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
            if now > rp_end || now > sp_end {
                continue;
            }
            let Some(b) = self.branches.get_mut(index) else { continue };
            let (rp, sp) = (b.rp.rate(), b.sp.rate());
            let (rp, sp) = (b.rp.restart(now, rp_end, rp), b.sp.restart(now, sp_end, sp));
            let key = b.key;
            self.extra.post(Entry::ReceiverPaymentFrom(key), rp);
            self.extra.post(Entry::SenderPaymentTo(key), sp);
        }
        let (rp_end, sp_end) = self.upstream_ends();
        if now <= rp_end && now <= sp_end {
            let (rp, sp) = (self.up.rp.rate(), self.up.sp.rate());
            let rp = self.up.rp.restart(now, rp_end, rp);
            let sp = self.up.sp.restart(now, sp_end, sp);
            self.extra.post(Entry::ReceiverPaymentToUpstream, rp);
            self.extra.post(Entry::SenderPaymentFromUpstream, sp);
        }
    }

    // ---- views ----

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

    // ---- common ----

    fn find(&self, key: BranchKey) -> Option<&Branch> {
        let index = self.branches.binary_search_by_key(&key, |b| b.key).ok()?;
        self.branches.get(index)
    }

    fn find_mut(&mut self, key: BranchKey) -> Option<&mut Branch> {
        let index = self.branches.binary_search_by_key(&key, |b| b.key).ok()?;
        self.branches.get_mut(index)
    }

    fn group(&self, id: u32) -> Option<&Group> {
        let index = self.groups.binary_search_by_key(&id, |g| g.id).ok()?;
        self.groups.get(index)
    }

    fn price(&self, group: u32) -> Rate {
        self.group(group).map_or(Rate::ZERO, |g| g.price.local)
    }

    fn mark_dirty(&mut self, group: u32) {
        if let Some(group) = self.groups.iter_mut().find(|g| g.id == group) {
            group.dirty = true;
        }
    }

    fn has_branch(&self, group: u32) -> bool {
        let place = self.branches.partition_point(|b| b.key.group < group);
        self.branches.get(place).is_some_and(|b| b.key.group == group)
    }

    /// A hop that nobody knows yet, in the first place of its group.
    fn anyone_in(&self, group: u32, price: Rate) -> Member {
        let key = BranchKey { group, hop: IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        Member { facts: BranchFacts { key, quantity: 0, receivers_below: 1 }, price }
    }

    fn epoch_for(&self, key: BranchKey) -> Option<u32> {
        match self.find(key) {
            Some(b) => b.offered.epoch,
            None => self.group(key.group)?.join.epoch,
        }
    }

    fn sums(&self) -> Sums {
        let none_active = !self.branches.iter().any(|b| b.status == Status::Active);
        Sums::over(self.branches.iter().filter(|b| match b.status {
            Status::Active => true,
            Status::Pending => none_active,
            Status::Lapsed => false,
        }))
    }

    /// Where the sender is the previous hop, C_j = 0: our payment there is information (D3).
    fn next_to_sender(&self) -> bool {
        self.up.approved.is_some_and(|claim| claim.total == Rate::ZERO)
    }

    /// ESTABLISHED for a branch: the sequence that first carried its flowspec, once that stands.
    fn established_for(&self, b: &Branch) -> Option<u32> {
        (self.config.require_established && self.stands_for(b)).then_some(b.flow_sequence)
    }

    /// Whether the path above stands for what this node reserves.
    fn stands(&self) -> bool {
        !self.config.require_established || self.branches.iter().any(|b| self.stands_for(b))
    }

    /// ESTABLISHED that is not refreshed for 2H no longer counts (T12).
    fn stands_until(&self) -> Millis {
        match &self.down {
            Some(d)
                if self.config.require_established && d.epoch.is_some() && !self.config.origin =>
            {
                d.heard.after(d.refresh.approval().twice())
            }
            _ => NEVER,
        }
    }

    /// Whether all that could follow from C_j, M_j, the local prices and the children's reports
    /// fits the wire, whoever joins or leaves.
    fn check_bounds(
        &self,
        total: Rate,
        max_total: Rate,
        groups: &[Group],
        joining: Option<&Branch>,
    ) -> Result<(), Overflow> {
        let mut prices = 0;
        for group in groups {
            total.plus(group.price.local, "C_k = c + L")?;
            max_total_charge(max_total, group.price.max_local)?;
            prices += group.price.local.wide();
        }
        let replaced = joining.map(|b| b.key);
        let kept = self.branches.iter().filter(|b| Some(b.key) != replaced);
        Sums::over(kept.chain(joining)).fit(total, prices)
    }

    fn bounds_with(&self, branch: &Branch) -> Result<(), Overflow> {
        let (total, max) =
            self.down.as_ref().map_or_else(Default::default, |d| (d.total, d.max_total));
        self.check_bounds(total, max, &self.groups, Some(branch))
    }
}

impl BranchKey {
    /// Whether this is a receiver in this very node.
    pub fn is_local(&self) -> bool {
        self.group == crate::split::LOCAL_GROUP
    }
}
