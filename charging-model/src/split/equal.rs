//! Every next hop carries the same share: HSE97's equal next-hop split.

use super::{BranchFacts, SplitPolicy};

/// Equal next-hop split; the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct EqualNextHop;

impl SplitPolicy for EqualNextHop {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        weights.extend(branches.iter().map(|_| 1));
    }

    fn is_equal(&self) -> bool {
        true
    }
}
