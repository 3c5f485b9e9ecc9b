//! After every input: who is quoted, charged and debited what.
//!
//! Quotes follow the newest claim of the previous hop; debits follow the claim that this node has
//! itself approved there. A branch whose target is covered by its ceiling agrees at once; any
//! other keeps what it agreed to, a deadline runs, and this hop carries U_j (T4, T5, T7, T8).

use super::asked::Asked;
use super::branch::{Branch, Group, NEVER, Status, Sums};
use super::charge::{Charge, Claim, Few, Member, Target, charges, stood_in_for};
use super::downstream::Downstream;
use super::{Flow, equal_or_newer};
use crate::equations::{sender_payment, sender_take};
use crate::ledger::Entry;
use crate::money::{Overflow, Rate};
use crate::split::BranchKey;
use crate::time::{Clock, Millis, next_serial};

/// Why the flow settles anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Only who shares has changed: a unit of rounding is this hop's to carry (T4).
    Resplit,
    /// Anything else.
    Terms,
    /// Something that every quote carries has changed: all of them are new.
    AllQuotes,
}

/// What the present branches are charged, in their order.
type Targets = Few<Target>;

impl Flow {
    /// Brings quotes, agreements and meters in line with the state. The bounds of the state were
    /// checked before it was changed, so an overflow cannot occur; should it, all stays as agreed.
    pub(super) fn settle(&mut self, clock: Clock, why: Why) {
        self.activate();
        if let Ok(quotes) = self.requote(clock, why) {
            self.approve_upstream(clock);
            let _unchanged_on_overflow = self.agree(quotes);
        }
        self.run_meters(clock.now);
        self.audit(clock.now);
    }

    /// PENDING branches become ACTIVE once the path above them stands (T12).
    fn activate(&mut self) {
        for index in 0..self.branches.len() {
            let stands = self.branches.get(index).is_some_and(|b| self.stands_for(b));
            if let Some(b) = self.branches.get_mut(index)
                && b.status == Status::Pending
                && stands
            {
                b.status = Status::Active;
            }
        }
    }

    /// Whether the path above stands for what `branch` reserves, so that it may be billed.
    pub(super) fn stands_for(&self, branch: &Branch) -> bool {
        if self.up.lost {
            return false;
        }
        if !self.config.require_established || self.config.origin {
            return true;
        }
        let Some(down) = &self.down else { return false };
        if down.epoch.is_none() {
            return true;
        }
        if down.lapsed {
            return false;
        }
        match (down.established, branch.needs) {
            (Some(established), Some(needs)) => equal_or_newer(established, needs),
            _ => false,
        }
    }

    /// Whether `branch` takes part in the split: if none is ACTIVE yet, all PENDING ones do.
    pub(super) fn counts(&self, branch: &Branch) -> bool {
        match branch.status {
            Status::Active => true,
            Status::Lapsed => false,
            Status::Pending => !self.branches.iter().any(|b| b.status == Status::Active),
        }
    }

    fn member_of(&self, b: &Branch) -> Member {
        b.member(self.group(b.key.group), self.extra.flowspec(b.key))
    }

    pub(super) fn members(&self) -> Few<Member> {
        let none_active = !self.branches.iter().any(|b| b.status == Status::Active);
        let counts = |b: &&Branch| {
            b.status == Status::Active || (none_active && b.status == Status::Pending)
        };
        self.branches.iter().filter(counts).map(|b| self.member_of(b)).collect()
    }

    /// The targets of all present branches under `claim`; those that do not count are quoted as if
    /// they joined.
    fn targets(&self, down: &Downstream, claim: Claim) -> Result<Targets, Overflow> {
        let members = self.members();
        let terms = down.terms(claim, self.config.origin);
        let mut shared = charges(&terms, &members, &*self.config.policy)?.into_iter();
        let mut targets = Few::with_capacity(self.branches.len());
        for b in &self.branches {
            let counted = if self.counts(b) { shared.next() } else { None };
            targets.push(match counted {
                Some(target) => target,
                None => self.charge_joining(down, claim, &members, self.member_of(b))?,
            });
        }
        Ok(targets)
    }

    /// What `joiner` would be charged if it joined `members`.
    pub(super) fn charge_joining(
        &self,
        down: &Downstream,
        claim: Claim,
        members: &[Member],
        joiner: Member,
    ) -> Result<Target, Overflow> {
        let (place, with) = joined(members, joiner);
        let all = charges(&down.terms(claim, self.config.origin), &with, &*self.config.policy)?;
        all.get(place).copied().ok_or(Overflow::new("join quote"))
    }

    /// What one more hop on `group` would be charged, whatever its address. Where all weigh the
    /// same, a place in the order decides who has the odd units of C_j and of S_j, so the charges of
    /// those who are there show what each place costs.
    pub(super) fn charge_anyone(
        &self,
        down: &Downstream,
        group: &Group,
    ) -> Result<Target, Overflow> {
        let (place, with) = joined(&self.members(), self.anyone_in(group));
        let terms = down.terms(down.newest(), self.config.origin);
        let all = charges(&terms, &with, &*self.config.policy)?;
        let own = all.get(place).copied().ok_or(Overflow::new("join quote"))?;
        if !self.config.policy.is_equal() {
            return Ok(own);
        }
        let there = all.iter().zip(&with).filter(|(_, m)| m.facts.key.group == group.id);
        let dearer = |a: Target, b: &Target| {
            if b.charge.receiver_payment() > a.charge.receiver_payment() { *b } else { a }
        };
        Ok(there.map(|(target, _)| target).fold(own, dearer))
    }

    /// Renews all quotes under the newest claim, with a new epoch where one differs, and lets a
    /// deadline run for each branch that no longer covers its quote.
    fn requote(&mut self, clock: Clock, why: Why) -> Result<Targets, Overflow> {
        let Some(down) = &self.down else { return Ok(Few::new()) };
        let quotes = self.targets(down, down.newest())?;
        let joins = self.join_charges(down)?;
        let force = why == Why::AllQuotes;
        let epoch = next_serial(self.last_epoch, clock.unix_s);
        let mut used = false;
        let asked = self.quotes_as_asked(down);
        for index in 0..self.branches.len() {
            let established = self.branches.get(index).and_then(|b| self.established_for(b));
            let Some(b) = self.branches.get_mut(index) else { continue };
            let Some(quote) = quotes.get(index) else { continue };
            let wish = asked.iter().find(|(key, _)| *key == b.key).map(|(_, target)| target);
            let before = match self.extra.asked_by(b.key).and_then(|asked| asked.stands) {
                Some(stands) => stands.receiver_payment(),
                None => b.offered.charge.receiver_payment(),
            };
            let changed = b.offered.update(wish.unwrap_or(quote), established, force);
            if changed {
                b.offered.epoch = Some(epoch);
                used = true;
            }
            let key = b.key;
            if b.status != Status::Lapsed {
                judge(b, &quote.charge, before, clock.now, why);
            }
            if wish.is_some() {
                self.extra.set_stands(key, quote.charge);
            }
            if changed {
                self.mark_dirty(key.group);
            }
        }
        for (group, join) in self.groups.iter_mut().zip(joins) {
            let Some(target) = join else { continue };
            let old = group.join;
            if group.join.update(&target, None, force) {
                group.join.epoch = Some(epoch);
                // That nothing stands any more is no news to the hop that ended it. A PATH at once
                // might call it back from another way, to which its data went (RFC 2205 section
                // 3.6).
                let same = old.charges_as(&target) || old.epoch.is_none();
                let ended = old.established.is_some() && same && !force;
                group.dirty |= !ended;
                used = true;
                self.extra.remember_quote(&self.config, clock.now, group, old);
            }
        }
        if used {
            self.last_epoch = Some(epoch);
        }
        Ok(quotes)
    }

    /// What the branches that asked for more than they pay for would be charged for it.
    fn quotes_as_asked(&self, down: &Downstream) -> Vec<(BranchKey, Target)> {
        let quote = |asked: &Asked| {
            let b = self.find(asked.key)?;
            Some((asked.key, self.charge_as_asked(down, b, asked).ok()?))
        };
        self.extra.asked().iter().filter_map(quote).collect()
    }

    /// Whether a branch covers what it is quoted for what stands.
    fn covers_quote(&self, b: &Branch) -> bool {
        let stands = self.extra.asked_by(b.key).and_then(|asked| asked.stands);
        b.covers(&stands.unwrap_or(b.offered.charge))
    }

    /// The join charges of the interfaces that have no installed branch, in their order.
    fn join_charges(&self, down: &Downstream) -> Result<Few<Option<Target>>, Overflow> {
        let idle = |group: &Group| !self.has_branch(group.id);
        if !self.groups.iter().any(idle) {
            return Ok(Few::from_elem(None, self.groups.len()));
        }
        let members = self.members();
        let mut joins = Few::with_capacity(self.groups.len());
        for group in &self.groups {
            joins.push(if !idle(group) {
                None
            } else {
                let joiner = self.anyone_in(group);
                Some(self.charge_joining(down, down.newest(), &members, joiner)?)
            });
        }
        Ok(joins)
    }

    /// Decreases upstream apply at once; an increase is approved when all branches cover it, or
    /// shortly before the previous hop may give this node up (T8). An end system, where all
    /// branches are local receivers, has nobody who would carry the difference: it never approves
    /// what they have not.
    fn approve_upstream(&mut self, clock: Clock) {
        let Some(down) = &self.down else { return };
        let newest = down.newest();
        let counted = || self.branches.iter().filter(|b| self.counts(b));
        if counted().next().is_none() {
            self.up.approved = None;
            self.up.deadline = NEVER;
            return;
        }
        let claim = newest.receiver_payment();
        let in_place = self.up.sent.is_some() && self.up.approved.is_some();
        let carries = || {
            let late = clock.now >= self.up.deadline.before(self.config.margin);
            (!in_place || late) && !counted().all(|b| b.key.is_local())
        };
        let covered = self.up.ceiling().is_some_and(|ceiling| claim <= ceiling)
            || counted().all(|b| self.covers_quote(b))
            || carries();
        if covered {
            self.up.approved = Some(newest);
            self.up.deadline = NEVER;
        } else if !in_place {
            // Less than the claim would be refused as a new reservation.
            self.up.approved = None;
        } else if self.up.deadline == NEVER {
            self.up.deadline = clock.now.after(self.config.refresh.approval());
        }
    }

    /// Moves every branch to its target under the approved claim, where its ceiling covers that.
    /// `quotes` are the targets under the newest claim, mostly the same.
    fn agree(&mut self, quotes: Targets) -> Result<(), Overflow> {
        let (Some(down), Some(approved)) = (&self.down, self.up.approved) else { return Ok(()) };
        let targets =
            if approved == down.newest() { quotes } else { self.targets(down, approved)? };
        let policy = &*self.config.policy;
        let stands_in = if policy.is_equal() {
            Rate::ZERO
        } else {
            let terms = down.terms(approved, self.config.origin);
            stood_in_for(&terms, &self.members(), policy)
        };
        self.extra.stand_in(stands_in);
        for (b, target) in self.branches.iter_mut().zip(targets) {
            if b.status == Status::Lapsed {
                continue;
            }
            if b.covers(&target.charge) {
                b.agree(target.charge);
            } else {
                // RP stays as agreed; what the sender covers beyond, this hop need not carry.
                b.floor = b.agreed.sponsored.max(target.share);
            }
        }
        Ok(())
    }

    /// Lets all meters run at what is agreed now.
    pub(super) fn run_meters(&mut self, now: Millis) {
        let broken = self.watch(now);
        self.turn_meters(now);
        for it in broken {
            self.broke(now, it);
        }
    }

    fn turn_meters(&mut self, now: Millis) {
        for index in 0..self.branches.len() {
            let Some(b) = self.branches.get(index) else { continue };
            let counted = b.status == Status::Active;
            let billed = counted && self.stands_for(b);
            let (rp_until, sp_until) = self.branch_ends(b);
            if b.status == Status::Lapsed && self.stands_for(b) {
                // It runs no more; what it ran at is what a gap may cost (T3).
                continue;
            }
            let Some(b) = self.branches.get_mut(index) else { continue };
            let rp = if billed { b.receiver_payment() } else { Rate::ZERO };
            let sp = if billed { b.sender_payment } else { Rate::ZERO };
            let (rp, sp) = (b.rp.turn(now, rp_until, rp), b.sp.turn(now, sp_until, sp));
            if rp.is_some() || sp.is_some() {
                let (key, account) = (b.key, b.account.clone());
                self.post_branch(key, account, rp, sp);
            }
        }
        let (rp_until, sp_until) = self.upstream_ends();
        let (rp, sp) = self.upstream_rates();
        let (rp, sp) = (self.up.rp.turn(now, rp_until, rp), self.up.sp.turn(now, sp_until, sp));
        self.post_upstream(Entry::ReceiverPaymentToUpstream, rp);
        self.post_upstream(Entry::SenderPaymentFromUpstream, sp);
    }

    /// RP that the previous hop debits and SP that it owes, as far as this node knows.
    fn upstream_rates(&self) -> (Rate, Rate) {
        if self.config.origin || !self.stands() {
            return (Rate::ZERO, Rate::ZERO);
        }
        let rp = match (self.up.ceiling(), self.up.approved) {
            (Some(ceiling), Some(claim)) => claim.receiver_payment().min(ceiling),
            _ => Rate::ZERO,
        };
        let rp = if self.next_to_sender() { Rate::ZERO } else { rp };
        let sp = if self.up.unpaid { Rate::ZERO } else { self.sender_payment_due(&self.sums()) };
        (rp, sp)
    }

    /// X_j = ΣS_k − S_j of the approved claim.
    fn sender_take(&self, sums: &Sums) -> Rate {
        let here = self.up.approved.map_or(Rate::ZERO, |claim| claim.sponsored);
        sender_take(sums.sponsored, here).unwrap_or_default()
    }

    /// SP_{i,j} = ΣSP_k + X_j.
    pub(super) fn sender_payment_due(&self, sums: &Sums) -> Rate {
        if self.up.approved.is_none() || self.config.origin {
            return Rate::ZERO;
        }
        sender_payment(sums.sender_payment, self.sender_take(sums)).unwrap_or(Rate::MAX)
    }

    /// Ends of the approvals of a branch: for RP and for SP.
    pub(super) fn branch_ends(&self, b: &Branch) -> (Millis, Millis) {
        let stands = self.stands_until();
        (b.approved_until().min(stands), b.counts_until().min(stands))
    }

    /// Ends of the approvals upstream: ours for RP, the sender's by PATH for SP (T15).
    pub(super) fn upstream_ends(&self) -> (Millis, Millis) {
        let stands = self.stands_until();
        let own = self.config.refresh.approval();
        let rp = self.up.sent.map_or(Millis(0), |sent| sent.at.after(own));
        let sp = self.down.as_ref().map_or(Millis(0), Downstream::approved_until);
        (rp.min(stands), sp.min(stands))
    }
}

/// The members with one more in its place, and that place.
fn joined(members: &[Member], joiner: Member) -> (usize, Few<Member>) {
    let place = members.partition_point(|m| m.facts.key < joiner.facts.key);
    let mut with = Few::with_capacity(members.len() + 1);
    with.extend_from_slice(members.get(..place).unwrap_or_default());
    with.push(joiner);
    with.extend_from_slice(members.get(place..).unwrap_or_default());
    (place, with)
}

/// Judges a branch against its new quote: a deadline runs from the moment at which the quote rose
/// above what the branch covers, and anew whenever it rises further.
fn judge(b: &mut Branch, quote: &Charge, before: Rate, now: Millis, why: Why) {
    let required = quote.receiver_payment();
    let one_short = b.ceiling.0.checked_add(1) == Some(required.0);
    if required <= b.ceiling || !one_short {
        b.carries_unit = false;
    } else if why == Why::Resplit && b.deadline == NEVER && quote.carried > Rate::ZERO {
        b.carries_unit = true;
    }
    if b.covers(quote) {
        b.deadline = NEVER;
    } else if b.deadline == NEVER || required > before {
        b.deadline = now.after(b.approval());
    }
}
