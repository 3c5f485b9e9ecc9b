//! As if so many members shared: what is announced while a group still grows (paper section 3.4).

use std::sync::Arc;

use super::{BranchFacts, SplitPolicy};

/// Splits as `by` does, and as if there were at least so many members: whoever comes first pays
/// its part of the expected group, and this hop carries the rest until the others are there.
/// For strategies whose weights count members: next hops, or receivers.
#[derive(Clone, Debug)]
pub struct Expecting {
    /// How many members are expected.
    pub members: u64,
    /// How those who are there share.
    pub by: Arc<dyn SplitPolicy>,
}

impl SplitPolicy for Expecting {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        self.by.weights(branches, weights);
    }

    fn absent(&self, weights: &[u64]) -> u64 {
        self.members.saturating_sub(weights.iter().fold(0, |sum, one| one.saturating_add(sum)))
    }
}
