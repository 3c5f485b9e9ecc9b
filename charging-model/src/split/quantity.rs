//! Every branch carries in proportion to what it reserves.

use super::{BranchFacts, SplitPolicy};

/// Weighted by quantity, bit/s: what is set aside where the flowspec is known, else the token rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByQuantity;

/// What a branch reserves, bit/s.
pub(super) fn quantity(branch: &BranchFacts) -> u64 {
    branch.flowspec.map_or(branch.quantity, |flowspec| flowspec.reserved)
}

impl SplitPolicy for ByQuantity {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        weights.extend(branches.iter().map(quantity));
    }
}
