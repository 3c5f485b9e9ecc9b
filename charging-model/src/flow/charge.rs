//! What each branch of a set is charged under one claim.

use smallvec::SmallVec;

use super::branch::Group;
use super::messages::Limits;
use crate::equations::{sponsored, total_charge};
use crate::money::{Overflow, Ppm, Rate};
use crate::split::{BranchFacts, SplitPolicy, equal_parts, largest_remainder};

/// What the previous hop claims: C_j and S_j; the claim on this hop is C_j − S_j (paper 3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) total: Rate,
    pub(super) sponsored: Rate,
}

impl Claim {
    /// RP_{j,i}; S_j ≤ C_j was checked as the announcement came in.
    pub(super) fn receiver_payment(self) -> Rate {
        self.total.minus(self.sponsored, "RP = C − S").unwrap_or_default()
    }
}

/// A claim and the sender's terms for passing it on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) claim: Claim,
    pub(super) fraction: Ppm,
    pub(super) limits: Limits,
    /// The sender itself, which checks nothing.
    pub(super) origin: bool,
}

/// One branch of the set, in the order of the keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) facts: BranchFacts,
    /// L of what it reserves. The branches of an interface share the dearest of theirs.
    pub(super) price: Rate,
    /// Sender payments are refused there: r := 0 from here on.
    pub(super) cut: bool,
}

impl Member {
    /// A branch on `group`, for which what it reserves has a price of its own, or that of the
    /// interface.
    pub(super) fn new(facts: BranchFacts, group: Option<&Group>, own: Option<Rate>) -> Self {
        let price = own.unwrap_or_else(|| group.map_or(Rate::ZERO, |g| g.price.local));
        Self { facts, price, cut: group.is_some_and(|g| g.refused) }
    }
}

/// What one branch is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Charge {
    /// c_{j,k}
    pub(super) carried: Rate,
    /// Its part of L.
    pub(super) local: Rate,
    /// S_k
    pub(super) sponsored: Rate,
}

/// A charge, and what goes with it under the claim that it was worked out for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) charge: Charge,
    /// s_{j,k}: the part of S_j that goes with c_{j,k}; never above S_k.
    pub(super) share: Rate,
    /// r towards the branch: 0 after a cut.
    pub(super) fraction: Ppm,
}

impl Charge {
    /// C_k
    pub(super) fn total(&self) -> Rate {
        Rate(self.carried.0.saturating_add(self.local.0))
    }

    /// RP_{k,j}
    pub(super) fn receiver_payment(&self) -> Rate {
        Rate(self.total().0.saturating_sub(self.sponsored.0))
    }
}

/// Few branches are the rule, so what is worked out for each of them stands on the stack.
pub(super) type Few<T> = SmallVec<[T; 2]>;

/// Charges each of `members`, which stand in the order of their keys. The carried parts, with what
/// this hop carries for those who are not there yet, sum to C_j, the local parts to the L of every interface that occurs, the shares to S_j.
pub(super) fn charges(
    terms: &Terms,
    members: &[Member],
    policy: &dyn SplitPolicy,
) -> Result<Few<Target>, Overflow> {
    let mut out = Few::with_capacity(members.len());
    let parts = carried_parts(terms, members, policy).into_iter();
    for (carried, local) in parts.zip(locals(members, policy)) {
        let total = total_charge(carried, local)?;
        let full = sponsored(terms.fraction, total);
        let charge = Charge { carried, local, sponsored: full };
        out.push(Target { charge, share: Rate::ZERO, fraction: terms.fraction });
    }
    share_sponsorship(terms, &mut out);
    let all_cut = cut_for_all(terms, &out);
    for (Target { charge, share, fraction }, member) in out.iter_mut().zip(members) {
        if all_cut || member.cut || exceeds(charge.sponsored, terms, terms.limits.per_receiver) {
            charge.sponsored = *share;
            *fraction = Ppm::ZERO;
        } else {
            // Equal unless S_j is above ⌈r·C_j⌉, which a previous hop may say: no negative take.
            charge.sponsored = charge.sponsored.max(*share);
        }
    }
    Ok(out)
}

/// c_{j,k}: parts of C_j.
fn carried_parts(terms: &Terms, members: &[Member], policy: &dyn SplitPolicy) -> Few<Rate> {
    let (total, count) = (terms.claim.total.0, members.len());
    if policy.is_equal() {
        return equal_parts(total, count).map(Rate).collect();
    }
    let mut weights = weights_of(members, policy);
    weights.extend(absent(terms, members, policy, &weights));
    let mut shares = Vec::with_capacity(weights.len());
    largest_remainder(total, &weights, &mut shares);
    shares.into_iter().take(count).map(Rate).collect()
}

fn weights_of(members: &[Member], policy: &dyn SplitPolicy) -> Vec<u64> {
    let facts: Vec<_> = members.iter().map(|m| m.facts).collect();
    let mut weights = Vec::with_capacity(members.len() + 1);
    policy.weights(&facts, &mut weights);
    weights.resize(members.len(), 0);
    weights
}

/// The weight of those who are not there yet, if it counts. Where the sender covers a part, its
/// payments follow what receivers are charged, and nobody stands in; nor does an end system.
fn absent(
    terms: &Terms,
    members: &[Member],
    policy: &dyn SplitPolicy,
    weights: &[u64],
) -> Option<u64> {
    let sponsored = terms.fraction > Ppm::ZERO || terms.claim.sponsored > Rate::ZERO;
    if sponsored || members.iter().all(|m| m.facts.key.is_local()) {
        return None;
    }
    Some(policy.absent(weights)).filter(|absent| *absent > 0)
}

/// The part of C_j that this hop carries for those who are not there yet.
pub(super) fn stood_in_for(terms: &Terms, members: &[Member], policy: &dyn SplitPolicy) -> Rate {
    if absent(terms, members, policy, &weights_of(members, policy)).is_none() {
        return Rate::ZERO;
    }
    let parts = carried_parts(terms, members, policy);
    let carried: u64 = parts.iter().map(|part| part.0).sum();
    Rate(terms.claim.total.0.saturating_sub(carried))
}

/// The L of each interface, which is that of the dearest reservation on it, divided among its
/// branches: a lone next hop has it all.
fn locals(members: &[Member], policy: &dyn SplitPolicy) -> Few<Rate> {
    let mut all = Few::with_capacity(members.len());
    let mut shares = Vec::new();
    for run in members.chunk_by(|a, b| a.facts.key.group == b.facts.key.group) {
        let price = run.iter().map(|m| m.price.0).max().unwrap_or(0);
        if run.len() == 1 || policy.is_equal() {
            all.extend(equal_parts(price, run.len()).map(Rate));
        } else {
            largest_remainder(price, &weights_of(run, policy), &mut shares);
            all.extend(shares.iter().copied().map(Rate));
        }
    }
    all
}

/// s_{j,k}: parts of S_j by c. While S_j is ⌈r·C_j⌉, differences of ⌈r·(c_1+…+c_k)⌉, so that no
/// part exceeds ⌈r·c_k⌉; otherwise (a hop above has cut) the largest remainder.
fn share_sponsorship(terms: &Terms, targets: &mut [Target]) {
    let Claim { total, sponsored: below } = terms.claim;
    if below == Rate::ZERO {
        return;
    }
    if terms.fraction.ceil_of(total) == below {
        let (mut sum, mut before) = (0_u64, 0_u64);
        for target in targets {
            sum = sum.saturating_add(target.charge.carried.0);
            let upto = terms.fraction.ceil_of(Rate(sum)).0;
            target.share = Rate(upto.saturating_sub(before));
            before = upto;
        }
    } else {
        let weights: Vec<_> = targets.iter().map(|t| t.charge.carried.0).collect();
        let mut shares = Vec::with_capacity(weights.len());
        largest_remainder(below.0, &weights, &mut shares);
        for (target, share) in targets.iter_mut().zip(shares) {
            target.share = Rate(share);
        }
    }
}

/// Checks 1 to 3 (paper 3.4) as far as they hit every branch: hops used up, r·C_j above the limit
/// per receiver, ΣL (all of it, not r·ΣL) above the limit per hop.
fn cut_for_all(terms: &Terms, targets: &[Target]) -> bool {
    let Limits { per_receiver, per_hop, max_hops } = terms.limits;
    if terms.origin {
        return false;
    }
    let sponsored_here = terms.fraction.ceil_of(terms.claim.total);
    let local_sum: u128 = targets.iter().map(|t| t.charge.local.wide()).sum();
    max_hops.is_some_and(|hops| hops <= 1)
        || exceeds(sponsored_here, terms, per_receiver)
        || per_hop.is_some_and(|limit| local_sum > limit.wide())
}

/// Whether r·C, rounded up, is above an integer limit; it is if and only if the exact r·C is.
fn exceeds(sponsored: Rate, terms: &Terms, limit: Option<Rate>) -> bool {
    !terms.origin && limit.is_some_and(|limit| sponsored > limit)
}
