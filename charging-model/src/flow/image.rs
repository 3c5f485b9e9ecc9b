//! What a flow decides by, apart from what it has metered.

use std::fmt::Debug;

use super::Flow;
use super::branch::NEVER;
use super::upstream::Upstream;

impl Flow {
    /// Everything on which the answers to later inputs rest, to be printed: all but the
    /// configuration and the sums of the meters, which only grow. Two flows of one configuration
    /// with equal images behave alike.
    pub fn image(&self) -> impl Debug + '_ {
        // Without `..`: a new field must be thought about.
        let Self { config, down, groups, branches, up, last_epoch, extra } = self;
        let mut branches = branches.clone();
        for branch in &mut branches {
            (branch.rp, branch.sp) = (branch.rp.emptied(), branch.sp.emptied());
            // Of the order of joining it is only the order that counts, if anything.
            let before = || self.branches.iter().filter(|b| b.joined < branch.joined).count();
            let place = if config.policy.is_equal() { 0 } else { before() };
            branch.joined = u32::try_from(place).unwrap_or(u32::MAX);
        }
        // For how long something has been in place decides nothing but refunds, if any are granted.
        let placed: Vec<bool> = branches.iter().map(|branch| branch.placed != NEVER).collect();
        if !extra.has_refunds() {
            branches.iter_mut().for_each(|branch| branch.placed = NEVER);
        }
        let extra = extra.without_qualities();
        let up = Upstream { rp: up.rp.emptied(), sp: up.sp.emptied(), ..up.clone() };
        (down, groups, branches, placed, up, last_epoch, extra)
    }
}
