//! Every branch carries in proportion to the receivers below it: HSE97's equal link split
//! downstream. Each receiver then pays the same part of every link above it.

use super::{BranchFacts, SplitPolicy};

/// Equal link split downstream.
///
/// Counts are what next hops say. One that says too much carries more itself, and one that says
/// too little, or nothing, counts as one receiver
/// ([`FlowConfig::receivers_most`](crate::FlowConfig::receivers_most) bounds them).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByReceivers;

impl SplitPolicy for ByReceivers {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        weights.extend(branches.iter().map(|b| u64::from(b.receivers_below)));
    }
}
