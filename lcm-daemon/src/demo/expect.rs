//! What the figure must come to: the model's equations over the whole tree, by code that shares
//! nothing with what the daemons run.

use std::collections::BTreeMap;

use charging_model::tree::{Link, LinkCharges, Tree, TreeError};
use charging_model::{Ppm, Rate};
use serde::Serialize;

use super::stage::LinkPrice;
use crate::lab::Topology;

/// What one link's PATH announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DcpeRow {
    /// `IS1->IS2`.
    pub link: String,
    /// C_k, in wire units like all that follows.
    pub total_charge: u64,
    /// M_k.
    pub max_total_charge: u64,
    /// Validity in seconds.
    pub validity_s: u64,
    /// r, as a reduced fraction.
    pub sender_fraction: String,
    /// The part of C_j in it.
    pub c: u64,
    /// L.
    pub local_price: u64,
}

/// What one link's RESV pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UcpeRow {
    /// `IS2->IS1`.
    pub link: String,
    /// The payment; to the sender, what all receivers pay, as information.
    pub payment: u64,
    /// What is debited of it: RP.
    pub debited: u64,
    /// A.
    pub total_charge: u64,
    /// B.
    pub local_sum: u64,
    /// SP.
    pub sender_payment: u64,
}

/// One phase of the play: rows in the order of the paper's tables, in which announcements go down
/// and payments go up, and what each node earns (or, below zero, pays) per second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// Announcements.
    #[serde(rename = "DCPE")]
    pub dcpe: Vec<DcpeRow>,
    /// Payments.
    #[serde(rename = "UCPE")]
    pub ucpe: Vec<UcpeRow>,
    /// Balances per second, by node.
    pub balances: BTreeMap<String, i64>,
}

/// The figure with its prices.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Nodes and links.
    pub topology: Topology,
    /// L and Lmax by (upstream end, downstream end).
    pub prices: BTreeMap<(String, String), LinkPrice>,
    /// The sender's fraction.
    pub fraction: Ppm,
    /// Announced validity in seconds.
    pub validity_s: u64,
}

impl Figure {
    /// The equilibrium in which these receivers reserve.
    ///
    /// # Errors
    /// If the prices add up to more than a rate can hold.
    pub fn expect(&self, reserved: &[&str]) -> Result<Phase, TreeError> {
        let names = self.names();
        let tree = Tree {
            links: self.topology.links.iter().map(|link| self.tree_link(&names, link)).collect(),
            fraction: self.fraction,
            ..Tree::default()
        };
        let reserves = |node: usize| names.get(node).is_some_and(|name| reserved.contains(name));
        let solution = tree.solve_for(reserves)?;
        let mut phase = Phase { dcpe: Vec::new(), ucpe: Vec::new(), balances: BTreeMap::new() };
        for (link, charges) in self.topology.links.iter().zip(&solution.links) {
            if let Some(charges) = charges {
                phase.dcpe.push(self.dcpe_row(&link.a, &link.b, charges));
                phase.ucpe.push(ucpe_row(&link.b, &link.a, charges));
            }
        }
        phase.ucpe.reverse();
        for (name, balance) in names.iter().zip(&solution.balances) {
            let taking_part = phase.dcpe.iter().any(|row| mentions(&row.link, name));
            if taking_part {
                let balance = i64::try_from(*balance).unwrap_or(i64::MAX);
                phase.balances.insert((*name).to_owned(), balance);
            }
        }
        Ok(phase)
    }

    /// Nodes by their numbers in the tree: the sender, then the far ends of the links.
    fn names(&self) -> Vec<&str> {
        let ends = self.topology.links.iter().map(|link| link.b.as_str());
        std::iter::once(self.topology.sender.as_str()).chain(ends).collect()
    }

    fn tree_link(&self, names: &[&str], link: &crate::lab::LinkSpec) -> Link {
        let price = self.price(&link.a, &link.b);
        Link {
            parent: names.iter().position(|name| *name == link.a).unwrap_or(0),
            local: Rate(price.price),
            max_local: Rate(price.max_price),
            weight: 1,
            receives: self.topology.receivers.contains(&link.b),
        }
    }

    fn price(&self, from: &str, to: &str) -> LinkPrice {
        self.prices.get(&(from.to_owned(), to.to_owned())).copied().unwrap_or_default()
    }

    fn dcpe_row(&self, from: &str, to: &str, charges: &LinkCharges) -> DcpeRow {
        DcpeRow {
            link: format!("{from}->{to}"),
            total_charge: charges.total.0,
            max_total_charge: charges.max_total.0,
            validity_s: self.validity_s,
            sender_fraction: reduced(charges.fraction.get()),
            c: charges.carried.0,
            local_price: charges.local.0,
        }
    }
}

fn ucpe_row(from: &str, to: &str, charges: &LinkCharges) -> UcpeRow {
    let debited = charges.receiver_payment.0;
    // Next to the sender nothing is due, nor ever will be, and the field says what the receivers
    // pay (D3).
    let next_to_sender = charges.total == Rate::ZERO && charges.max_total == Rate::ZERO;
    let informed = charges
        .announced_total
        .0
        .saturating_sub(charges.sponsored.0)
        .saturating_sub(charges.sender_payment.0);
    UcpeRow {
        link: format!("{from}->{to}"),
        payment: if next_to_sender { informed } else { debited },
        debited,
        total_charge: charges.announced_total.0,
        local_sum: charges.local_sum.0,
        sender_payment: charges.sender_payment.0,
    }
}

fn mentions(link: &str, name: &str) -> bool {
    link.split("->").any(|end| end == name)
}

/// Parts per million as a reduced fraction: `3/10`.
pub(super) fn reduced(ppm: u32) -> String {
    let (mut a, mut b) = (ppm, 1_000_000);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    match (ppm / a, 1_000_000 / a) {
        (whole, 1) => whole.to_string(),
        (part, of) => format!("{part}/{of}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_reduced() {
        assert_eq!(reduced(300_000), "3/10");
        assert_eq!(reduced(0), "0");
        assert_eq!(reduced(1_000_000), "1");
        assert_eq!(reduced(333_333), "333333/1000000");
    }
}
