//! The charging state of one (session, sender) at one node.
//!
//! ```text
//!  DCPE ──▶ on_dcpe ─▶ downstream state ─┐                        ┌─▶ quote(group) ──▶ DCPE
//!                                        ├─▶ settle: quotes, agreed c and S, meters
//!  UCPE ◀── own_payment ◀─ approved claim ┘                        └─◀ on_ucpe ◀────── UCPE
//! ```
//!
//! After each input the caller asks [`Flow::take_changes`] who should hear of it,
//! [`Flow::take_turns`] and [`Flow::take_postings`] what was metered, and
//! [`Flow::next_deadline`] when to call [`Flow::tick`]. Instants passed in must not run backwards.

mod announce;
mod asked;
mod audit;
mod branch;
mod charge;
mod company;
mod downstream;
mod extra;
mod image;
mod messages;
mod quality;
mod refund;
mod repeat;
mod report;
mod reserve;
mod settle;
mod turns;
mod upstream;

use std::sync::Arc;

use branch::{Branch, Group, NEVER, Offered, Status, Sums};
use extra::Extra;
use settle::Why;
use upstream::Upstream;

pub use company::Company;
pub use downstream::{BadAnnouncement, Downstream, Heard, Inconsistency};
pub use messages::{
    Account, Announcement, BranchView, Cause, Changes, Closed, Doubt, Finding, FlowConfig,
    Happening, Limits, Mismatch, OwnPayment, Payment, Price, Quote, Reason, Refusal, Verdict,
};

pub use quality::{Broken, Outage, Quality};
pub use refund::Contra;
pub use turns::{Turn, Turned};

use crate::equations::max_total_charge;
use crate::money::{Overflow, Rate};
use crate::split::{BranchKey, Flowspec, SplitPolicy};
use crate::time::{Clock, Millis, serial_newer};

fn equal_or_newer(a: u32, b: u32) -> bool {
    a == b || serial_newer(a, b)
}

fn own_price(locals: &[(BranchKey, Rate)], key: BranchKey) -> Option<Rate> {
    locals.iter().find(|(of, _)| *of == key).map(|(_, local)| *local)
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

    /// Takes other settings, of which the strategy of the split is one: quotes follow at once, and
    /// what is agreed as after any other change of prices (T4 to T6). `sends` is what the sender
    /// sends, for the quotes of hops that nobody knows yet; the strategy may want to know.
    pub fn configure(&mut self, clock: Clock, config: &Arc<FlowConfig>, sends: Option<Flowspec>) {
        let same = Arc::ptr_eq(&self.config, config);
        if same && self.extra.sends() == sends {
            return;
        }
        if !same {
            self.config = Arc::clone(config);
        }
        self.extra.set_sends(sends);
        self.settle(clock, Why::Terms);
    }

    /// The strategy of the split.
    pub fn policy(&self) -> &dyn SplitPolicy {
        &*self.config.policy
    }

    // ---- interfaces ----

    /// The PATH is forwarded on `group` at this price, whatever is reserved; also for a new price
    /// of a known group.
    pub fn set_group(&mut self, clock: Clock, group: u32, price: Price) -> Result<(), Overflow> {
        self.reprice(clock, group, price, &[])
    }

    /// As [`set_group`](Self::set_group), where what is reserved has prices of its own: `price` is
    /// for a hop that joins, `locals` are for the branches there, each for what it reserves.
    pub fn reprice(
        &mut self,
        clock: Clock,
        group: u32,
        price: Price,
        locals: &[(BranchKey, Rate)],
    ) -> Result<(), Overflow> {
        let place = self.groups.binary_search_by_key(&group, |g| g.id);
        let mut next = price;
        next.max_local = next.max_local.max(next.local);
        if let Some(old) = place.ok().and_then(|i| self.groups.get(i)) {
            next.max_local = next.max_local.max(old.price.max_local);
            let mut here = self.branches.iter().filter(|b| b.key.group == group);
            if old.price == next && here.all(|b| b.price == own_price(locals, b.key)) {
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
                let join = Offered::default();
                let new = Group { id: group, price: next, refused: false, join, dirty: true };
                insert_snug(&mut groups, index, new);
            }
        }
        let (total, max) =
            self.down.as_ref().map_or_else(Default::default, |d| (d.total, d.max_total));
        let dearer = |group: &Group| {
            let here = locals.iter().filter(|(key, _)| key.group == group.id);
            here.map(|(_, local)| *local).fold(self.dearest(group), Rate::max)
        };
        self.check_prices(total, max, &groups, None, dearer)?;
        self.groups = groups;
        for b in self.branches.iter_mut().filter(|b| b.key.group == group) {
            b.price = own_price(locals, b.key);
        }
        // What was asked for is asked for again, and has the new price then.
        self.forget_asked(|asked| asked.key.group != group);
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

    /// What goes with the quotes on `group` changed, though they did not: it is among the next
    /// [`take_changes`](Self::take_changes).
    pub fn tell_again(&mut self, group: u32) {
        self.mark_dirty(group);
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

    fn mark_dirty(&mut self, group: u32) {
        let place = self.groups.binary_search_by_key(&group, |g| g.id);
        if let Some(group) = place.ok().and_then(|index| self.groups.get_mut(index)) {
            group.dirty = true;
        }
    }

    fn has_branch(&self, group: u32) -> bool {
        self.first_branch(group).is_some()
    }

    fn first_branch(&self, group: u32) -> Option<&Branch> {
        let place = self.branches.partition_point(|b| b.key.group < group);
        self.branches.get(place).filter(|b| b.key.group == group)
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

    /// Where the sender is the previous hop, C_j = 0 and M_j = 0: our payment there is information
    /// (D3). A hop that is free at the moment announces what it may come to, and gets a ceiling.
    fn next_to_sender(&self) -> bool {
        self.down.as_ref().is_some_and(|down| down.max_total == Rate::ZERO)
            && self.up.approved.is_some_and(|claim| claim.total == Rate::ZERO)
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

    /// When ESTABLISHED, which nobody refreshed, is withdrawn from those below (T12).
    fn withdrawn_at(&self) -> Millis {
        let told = self.down.as_ref().is_some_and(|d| d.established.is_some() && !d.lapsed);
        if told && !self.branches.is_empty() { self.stands_until() } else { NEVER }
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
        let own = |group: &Group| {
            let here = joining.filter(|b| b.key.group == group.id).and_then(|b| b.price);
            here.map_or_else(|| self.dearest(group), |own| own.max(self.dearest(group)))
        };
        self.check_prices(total, max_total, groups, joining, own)
    }

    /// As [`check_bounds`](Self::check_bounds), at the `dearest` price of each interface.
    fn check_prices(
        &self,
        total: Rate,
        max_total: Rate,
        groups: &[Group],
        joining: Option<&Branch>,
        dearest: impl Fn(&Group) -> Rate,
    ) -> Result<(), Overflow> {
        let mut prices = 0;
        for group in groups {
            let local = dearest(group);
            total.plus(local, "C_k = c + L")?;
            max_total_charge(max_total, group.price.max_local.max(local))?;
            prices += local.wide();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A router keeps a million of these.
    #[test]
    fn the_state_of_one_flow_is_small() {
        let sizes = (size_of::<Flow>(), size_of::<Branch>(), size_of::<Group>());
        assert!(sizes.0 + sizes.1 + sizes.2 <= 784, "{sizes:?}");
    }
}
