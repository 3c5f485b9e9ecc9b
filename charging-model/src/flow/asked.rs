//! Reservations that were asked for and not paid for: what is quoted for them (T4, T5).
//!
//! Where the local price goes by what is reserved, a payment may be too low for the flowspec that
//! comes with it, though it covers what was quoted for another one. Such a reservation is not
//! installed; an installed one stays as it is. What was asked for is quoted instead of what stands,
//! until it is paid for, no longer asked for, or not asked for again in time. So every hop on the
//! way learns what the larger reservation would cost before anything of it is billed.

use std::net::{IpAddr, Ipv4Addr};

use super::Flow;
use super::branch::{Branch, Group};
use super::charge::{Charge, Member, Target};
use super::downstream::Downstream;
use super::messages::Payment;
use super::settle::Why;
use crate::money::{Overflow, Rate};
use crate::split::{BranchFacts, BranchKey, Flowspec};
use crate::time::{Clock, Millis, serial_newer};

/// How many hops without a reservation may ask at once; what more ask is refused and forgotten.
const ASKED_MAX: usize = 16;

/// What one hop asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) key: BranchKey,
    /// L of what it asked for.
    pub(super) local: Rate,
    /// bit/s.
    pub(super) quantity: u64,
    /// At least 1.
    pub(super) receivers_below: u32,
    pub(super) flowspec: Option<Flowspec>,
    /// What the branch is quoted for what stands; nothing where none does.
    pub(super) stands: Option<Charge>,
    /// When it is forgotten.
    pub(super) until: Millis,
}

impl Asked {
    /// What `payment`, whose flowspec costs `local`, asks for.
    fn of(key: BranchKey, payment: &Payment, local: Rate) -> Self {
        Self {
            key,
            local,
            quantity: payment.quantity,
            receivers_below: payment.receivers_below,
            flowspec: payment.flowspec,
            stands: None,
            until: Millis(0),
        }
    }

    /// As facts for the split.
    pub(super) fn facts(&self, key: BranchKey, joined: u32) -> BranchFacts {
        let Self { quantity, receivers_below, flowspec, .. } = *self;
        BranchFacts { key, quantity, receivers_below, joined, flowspec }
    }
}

/// The place in the order of joining of whoever is still to come.
pub(super) const LAST: u32 = u32::MAX;

impl Flow {
    /// L of what a branch reserves.
    pub(super) fn local_of(&self, b: &Branch) -> Rate {
        b.price.unwrap_or_else(|| self.group(b.key.group).map_or(Rate::ZERO, |g| g.price.local))
    }

    /// The dearest price on an interface of what is or may be reserved there.
    pub(super) fn dearest(&self, group: &Group) -> Rate {
        let installed = self.branches.iter().filter(|b| b.key.group == group.id);
        let asked = self.extra.asked().iter().filter(|asked| asked.key.group == group.id);
        let own = installed.filter_map(|b| b.price).chain(asked.map(|asked| asked.local));
        own.fold(group.price.local, Rate::max)
    }

    /// What `b` would be charged with what it asked for.
    pub(super) fn charge_as_asked(
        &self,
        down: &Downstream,
        b: &Branch,
        asked: &Asked,
    ) -> Result<Target, Overflow> {
        let mut members = self.members();
        members.retain(|member| member.facts.key != b.key);
        let joiner = b.member_as_asked(self.group(b.key.group), asked);
        self.charge_joining(down, down.newest(), &members, joiner)
    }

    /// Whether a branch asks for more than it pays for.
    pub fn unpaid(&self, key: BranchKey) -> bool {
        self.extra.asked_by(key).is_some() && self.find(key).is_some()
    }

    /// What is asked for with `payment`, whose flowspec costs `local` here, where that is more than
    /// stands and not paid for.
    pub(super) fn unpaid_wish(&self, b: &Branch, payment: &Payment, local: Rate) -> Option<Asked> {
        let down = self.down.as_ref()?;
        if local <= self.local_of(b) {
            return None;
        }
        let stands = self.extra.asked_by(b.key).map_or(Some(b.offered.charge), |old| old.stands);
        let asked = Asked { stands, ..Asked::of(b.key, payment, local) };
        let target = self.charge_as_asked(down, b, &asked);
        let paid = |t: Target| payment.payment >= t.charge.receiver_payment();
        (!target.is_ok_and(paid)).then_some(asked)
    }

    /// Keeps what a hop asked for and did not pay for, for as long as its payment would have
    /// counted.
    pub(super) fn keep_asked(&mut self, clock: Clock, asked: Asked, payment: &Payment) {
        let until = clock.now.after(payment.refresh.approval());
        let known = self.extra.asked().iter().any(|other| other.key == asked.key);
        let room = self.extra.asked().len() < ASKED_MAX;
        if known || room || self.find(asked.key).is_some() {
            self.extra.ask(Asked { until, ..asked });
        }
    }

    /// What somebody who is not there yet asked for on an interface: the dearest.
    pub(super) fn asked_to_join(&self, group: u32) -> Option<Asked> {
        let here = self.extra.asked().iter().filter(|a| a.key.group == group);
        here.filter(|a| self.find(a.key).is_none()).max_by_key(|a| a.local).copied()
    }

    /// Whether somebody who is not there yet asked for more on an interface than was quoted there,
    /// and is to be quoted apart from who is there.
    pub fn asks_to_join(&self, group: u32) -> bool {
        self.asked_to_join(group).is_some()
    }

    /// Forgets what nobody has asked for again; true if there was any.
    pub(super) fn forget_asked(&mut self, keep: impl Fn(&Asked) -> bool) -> bool {
        let gone = self.extra.asked().iter().filter(|asked| !keep(asked));
        let groups: Vec<u32> = gone.map(|asked| asked.key.group).collect();
        let any = self.extra.retain_asked(keep);
        for group in groups {
            self.tell_only_branch_anew(group);
        }
        any
    }

    /// Nobody is told a price apart any more: a single branch hears what all on its interface do.
    pub fn tell_alone(&mut self, clock: Clock) {
        let groups: Vec<u32> = self.groups.iter().map(|group| group.id).collect();
        for group in groups {
            self.tell_only_branch_anew(group);
        }
        self.settle(clock, Why::Terms);
    }

    /// A single branch is told what all on the interface hear: again not what is older than what
    /// they heard.
    pub(super) fn tell_only_branch_anew(&mut self, group: u32) {
        let heard = self.group(group).and_then(|group| group.join.epoch);
        let mut here = self.branches.iter_mut().filter(|b| b.key.group == group);
        if let (Some(only), None) = (here.next(), here.next())
            && let (Some(own), Some(heard)) = (only.offered.epoch, heard)
            && serial_newer(heard, own)
        {
            only.offered.epoch = None;
        }
    }

    /// A hop asked for a reservation and did not pay for it: it is quoted what it asked for, where
    /// that decides the price, here or in the split.
    pub(super) fn keep_wish(
        &mut self,
        clock: Clock,
        key: BranchKey,
        payment: &Payment,
        local: Option<Rate>,
    ) {
        let of_group = || self.group(key.group).map(|group| group.price.local);
        let equal = self.config.policy.is_equal();
        if let Some(local) = local.or_else(|| of_group().filter(|_| !equal)) {
            self.keep_asked(clock, Asked::of(key, payment, local), payment);
            self.settle(clock, Why::Terms);
        }
    }

    /// A hop that nobody knows yet, in the first place of its group; or the one that asked for the
    /// most there.
    pub(super) fn anyone_in(&self, group: &Group) -> Member {
        let asked = self.asked_to_join(group.id);
        let key = BranchKey { group: group.id, hop: IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        let Some(asked) = asked else {
            let flowspec = self.extra.sends();
            let quantity = flowspec.map_or(0, |flowspec| flowspec.rate);
            let facts = BranchFacts { key, quantity, receivers_below: 1, joined: LAST, flowspec };
            return Member::new(facts, Some(group), None);
        };
        // Where all weigh the same, whoever else joins is quoted the dearest place, too.
        let key = if self.config.policy.is_equal() { key } else { asked.key };
        Member::new(asked.facts(key, LAST), Some(group), Some(asked.local))
    }
}
