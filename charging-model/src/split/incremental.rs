//! The first pays, later joiners pay what they add.
//!
//! In the order of joining, each branch weighs what it adds to the largest reservation of those
//! before it: the merged reservation upstream, and so its price, is as large as it is because of
//! them. Who adds nothing carries nothing. When the first leaves, the next in the order is the
//! first. A next hop keeps its place when it begins a new instance of its reservation.

use super::quantity::quantity;
use super::{BranchFacts, SplitPolicy};

/// Incremental cost by the order of joining.
#[derive(Clone, Copy, Debug, Default)]
pub struct Incremental;

impl SplitPolicy for Incremental {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        let mut order: Vec<usize> = (0..branches.len()).collect();
        order.sort_by_key(|at| branches.get(*at).map(|b| (b.joined, b.key)));
        let mut added = vec![0; branches.len()];
        let mut largest = 0;
        for (place, at) in order.into_iter().enumerate() {
            let (Some(branch), Some(weight)) = (branches.get(at), added.get_mut(at)) else {
                continue;
            };
            let reserves = quantity(branch);
            // The first is the first whatever it reserves, also where nobody says.
            let before = if place == 0 { 0 } else { largest };
            *weight = reserves.saturating_sub(before);
            largest = largest.max(reserves);
            if place == 0 && reserves == 0 {
                (*weight, largest) = (1, 1);
            }
        }
        weights.extend(added);
    }
}
