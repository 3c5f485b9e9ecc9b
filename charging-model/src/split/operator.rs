//! Weights that the operator gives to neighbours, and to interfaces.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{BranchFacts, SplitPolicy};

/// The operator's weights.
#[derive(Clone, Debug, Default)]
pub struct OperatorWeights {
    /// Weight by next hop.
    pub by_hop: BTreeMap<IpAddr, u64>,
    /// Weight by outgoing interface, of next hops that are not listed.
    pub by_group: BTreeMap<u32, u64>,
    /// The weight of everybody else.
    pub otherwise: u64,
}

impl SplitPolicy for OperatorWeights {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        let by_group = |b: &BranchFacts| self.by_group.get(&b.key.group);
        let weight = |b: &BranchFacts| {
            let of_group = by_group(b).copied().unwrap_or(self.otherwise);
            if b.is_anyone() {
                // It may be any of those listed.
                return self.by_hop.values().copied().fold(of_group, u64::max);
            }
            self.by_hop.get(&b.key.hop).copied().unwrap_or(of_group)
        };
        weights.extend(branches.iter().map(weight));
    }
}
