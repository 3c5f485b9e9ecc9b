//! The strategies of a split in networks of flows, and what each link of a tree weighs by them:
//! worked out from who receives, and from nothing that the strategies say.

use std::collections::BTreeMap;
use std::sync::Arc;

use charging_model::split::{ByQuantity, ByReceivers, Incremental, OperatorWeights};
use charging_model::tree::Tree;
use charging_model::*;
use proptest::prelude::*;

use super::{Net, Will, hop, key};

/// How all nodes of a network share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sharing {
    #[default]
    Equal,
    Receivers,
    Quantity,
    Incremental,
    Weights,
    /// A strategy that the model knows nothing of.
    Outside,
}

pub(crate) fn any_sharing() -> impl Strategy<Value = Sharing> {
    use Sharing::{Equal, Incremental, Outside, Quantity, Receivers, Weights};
    prop::sample::select(vec![Equal, Receivers, Quantity, Incremental, Weights, Outside])
}

/// Three parts for whoever came first, one more for each receiver below, and none for next hops
/// with an address that 5 divides: numbers of nobody but this test.
#[derive(Debug)]
struct Strange;

impl SplitPolicy for Strange {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        let first = branches.iter().map(|b| b.joined).min();
        weights.extend(branches.iter().map(|b| {
            let head_start = if Some(b.joined) == first { 3 } else { 0 };
            match b.key.group % 5 {
                0 => 0,
                _ => head_start + u64::from(b.receivers_below),
            }
        }));
    }
}

fn weight_of(node: usize) -> u64 {
    node as u64 * 7 % 4
}

/// What the sender sends and a receiver reserves at most, bit/s.
pub(crate) const MOST: u64 = 4_000;

/// What a receiver reserves, bit/s: a quarter of it up to all.
pub(crate) fn demand(node: usize) -> u64 {
    MOST / 4 * (node as u64 * 3 % 4 + 1)
}

impl Sharing {
    pub(crate) fn policy(self) -> Arc<dyn SplitPolicy> {
        match self {
            Self::Equal => Arc::new(EqualNextHop),
            Self::Receivers => Arc::new(ByReceivers),
            Self::Quantity => Arc::new(ByQuantity),
            Self::Incremental => Arc::new(Incremental),
            Self::Weights => Arc::new(OperatorWeights {
                by_hop: (0..64).map(|node| (hop(node), weight_of(node))).collect(),
                joining: (0..64).map(|node| (node as u32, weight_of(node))).collect(),
                otherwise: 1,
            }),
            Self::Outside => Arc::new(Strange),
        }
    }

    /// Gives the links of `tree` the weights that they have for those who receive now.
    pub(crate) fn weigh(self, net: &Net, tree: &mut Tree) {
        let count = tree.links.len() + 1;
        let parent: Vec<usize> =
            (0..count).map(|n| if n == 0 { 0 } else { tree.links[n - 1].parent }).collect();
        let (mut below, mut largest) = (vec![0_u64; count], vec![0_u64; count]);
        for node in
            (1..count).filter(|n| net.nodes[*n].receives && net.nodes[*n].will != Will::Absent)
        {
            let mut at = node;
            while at != 0 {
                below[at] += 1;
                largest[at] = largest[at].max(demand(node));
                at = parent[at];
            }
        }
        // Who came first is history, which only the nodes remember.
        let joined = |node: usize| net.nodes[parent[node]].flow.branch(key(node)).map(|b| b.joined);
        let mut families: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for node in (1..count).filter(|node| below[*node] > 0) {
            families.entry(parent[node]).or_default().push(node);
        }
        for children in families.into_values() {
            let mut order = children.clone();
            order.sort_by_key(|node| (joined(*node), *node));
            let mut before = 0;
            for (place, node) in order.into_iter().enumerate() {
                let head_start = if place == 0 { 3 } else { 0 };
                tree.links[node - 1].weight = match self {
                    Self::Equal => 1,
                    Self::Receivers => below[node],
                    Self::Quantity => largest[node],
                    Self::Incremental => largest[node].saturating_sub(before),
                    Self::Weights => weight_of(node),
                    Self::Outside if node % 5 == 0 => 0,
                    Self::Outside => head_start + below[node],
                };
                before = before.max(largest[node]);
            }
        }
    }
}
