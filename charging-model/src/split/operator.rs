//! Weights that the operator gives to neighbours.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{BranchFacts, SplitPolicy};

/// The operator's weights.
#[derive(Clone, Debug, Default)]
pub struct OperatorWeights {
    /// Weight by next hop.
    pub by_hop: BTreeMap<IpAddr, u64>,
    /// What a next hop that nobody knows yet may come to weigh, by outgoing interface; where none
    /// is said it may be any of those listed.
    pub joining: BTreeMap<u32, u64>,
    /// The weight of everybody else.
    pub otherwise: u64,
}

impl SplitPolicy for OperatorWeights {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        let weight = |b: &BranchFacts| {
            if b.is_anyone() {
                let dearest = || self.by_hop.values().copied().fold(self.otherwise, u64::max);
                return self.joining.get(&b.key.group).copied().unwrap_or_else(dearest);
            }
            self.by_hop.get(&b.key.hop).copied().unwrap_or(self.otherwise)
        };
        weights.extend(branches.iter().map(weight));
    }
}
