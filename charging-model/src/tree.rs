//! A whole distribution tree, computed at once: the independent expectation.
//!
//! Given who is whose previous hop, the local prices, the sender's terms and who receives, this
//! works out every field of every link in equilibrium. It knows all nodes, which no hop of a
//! network does, and shares nothing with [`flow`](crate::flow) but the integer types: a network
//! of flows must come to the same numbers.

use std::fmt;

use crate::flow::Limits;
use crate::money::{Overflow, Ppm, Rate};

/// The link into one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// m(k): the previous hop, 0 for the sender.
    pub parent: usize,
    /// L on the previous hop's interface towards this node.
    pub local: Rate,
    /// Lmax there.
    pub max_local: Rate,
    /// How this branch weighs in the previous hop's split.
    pub weight: u64,
    /// This node receives (and has no next hops).
    pub receives: bool,
}

/// A tree: node 0 is the sender, `links[n − 1]` leads to node n. The branches of a hop stand in
/// the order of their numbers, which decides ties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// One link for every node but the sender.
    pub links: Vec<Link>,
    /// r.
    pub fraction: Ppm,
    /// The sender's limits.
    pub limits: Limits,
}

/// What one reserved link carries in equilibrium.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCharges {
    /// C_k
    pub total: Rate,
    /// M_k
    pub max_total: Rate,
    /// c_{j,k}
    pub carried: Rate,
    /// L_{j,k}
    pub local: Rate,
    /// r as announced on this link: 0 after a cut.
    pub fraction: Ppm,
    /// max_hops as announced on this link.
    pub max_hops: Option<u32>,
    /// S_k
    pub sponsored: Rate,
    /// RP_{k,j}
    pub receiver_payment: Rate,
    /// SP_{j,k}
    pub sender_payment: Rate,
    /// A
    pub announced_total: Rate,
    /// B
    pub local_sum: Rate,
}

/// A solved tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// By node − 1; `None` where nobody below receives.
    pub links: Vec<Option<LinkCharges>>,
    /// By node: what it receives less what it pays. E_j of the routers, debts of the end systems.
    pub balances: Vec<i128>,
}

/// Why a tree has no solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeError {
    /// The iterates of m do not lead from this node to the sender.
    NotRooted {
        /// The node.
        node: usize,
    },
    /// A receiver is somebody's previous hop, or a router is nobody's.
    Misplaced {
        /// The node.
        node: usize,
    },
    /// A charge does not fit.
    Overflow(Overflow),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRooted { node } => {
                write!(f, "the previous hops of node {node} do not lead to the sender (node 0)")
            }
            Self::Misplaced { node } => {
                write!(f, "node {node}: a router needs a next hop, a receiver may not have one")
            }
            Self::Overflow(overflow) => overflow.fmt(f),
        }
    }
}

impl std::error::Error for TreeError {}

impl From<Overflow> for TreeError {
    fn from(overflow: Overflow) -> Self {
        Self::Overflow(overflow)
    }
}

/// What a node was announced.
#[derive(Clone, Copy)]
struct Incoming {
    total: u128,
    sponsored: u128,
    max_total: u128,
    fraction: u128,
    max_hops: Option<u32>,
}

const ONE: u128 = 1_000_000;

impl Tree {
    /// Checks the conditions on m(): every node reaches the sender (D1: that alone excludes
    /// cycles of any length), every router has a next hop, no receiver has one.
    pub fn check(&self) -> Result<(), TreeError> {
        for node in 1..=self.links.len() {
            let mut at = node;
            let mut steps = 0;
            while at != 0 {
                let parent = self.link(at).map(|l| l.parent);
                steps += 1;
                match parent {
                    Some(parent) if steps <= self.links.len() => at = parent,
                    _ => return Err(TreeError::NotRooted { node }),
                }
            }
        }
        for node in 1..=self.links.len() {
            let receives = self.link(node).is_some_and(|l| l.receives);
            if receives == self.links.iter().any(|l| l.parent == node) {
                return Err(TreeError::Misplaced { node });
            }
        }
        Ok(())
    }

    /// The equilibrium in which every receiver of the tree reserves.
    pub fn solve(&self) -> Result<Solution, TreeError> {
        self.check()?;
        self.solve_for(|_| true)
    }

    /// The equilibrium in which those receivers reserve for which `reserves` is true.
    pub fn solve_for(&self, reserves: impl Fn(usize) -> bool) -> Result<Solution, TreeError> {
        let count = self.links.len() + 1;
        let mut wanted = vec![false; count];
        for (index, link) in self.links.iter().enumerate() {
            let mut at = index + 1;
            let starts = link.receives && reserves(at);
            let mut steps = 0;
            while starts && at != 0 {
                set(&mut wanted, at, true);
                at = self.link(at).map_or(0, |l| l.parent);
                steps += 1;
                if steps > count {
                    return Err(TreeError::NotRooted { node: index + 1 });
                }
            }
        }
        let mut solution =
            Solution { links: vec![None; self.links.len()], balances: vec![0; count] };
        let incoming = Incoming {
            total: 0,
            sponsored: 0,
            max_total: 0,
            fraction: u128::from(self.fraction.get()),
            max_hops: self.limits.max_hops,
        };
        self.visit(0, incoming, &wanted, &mut solution)?;
        solution.balances = self.balances(&solution);
        Ok(solution)
    }

    fn link(&self, node: usize) -> Option<&Link> {
        node.checked_sub(1).and_then(|index| self.links.get(index))
    }

    /// Works out all links below `node` and returns (SP, A, B) of the link into it.
    fn visit(
        &self,
        node: usize,
        incoming: Incoming,
        wanted: &[bool],
        solution: &mut Solution,
    ) -> Result<(u128, u128, u128), Overflow> {
        if self.link(node).is_some_and(|l| l.receives) {
            return Ok((0, incoming.total, 0));
        }
        let children: Vec<(usize, Link)> = (1..=self.links.len())
            .filter(|child| wanted.get(*child).copied().unwrap_or(false))
            .filter_map(|child| self.link(child).map(|link| (child, *link)))
            .filter(|(_, link)| link.parent == node)
            .collect();
        let outgoing = self.outgoing(node, incoming, &children);
        let (mut sp_below, mut a, mut b, mut sponsored_below) = (0, 0, 0, 0);
        for ((child, link), out) in children.iter().zip(&outgoing) {
            let (sp, a_below, b_below) = self.visit(*child, *out, wanted, solution)?;
            let charges = LinkCharges {
                total: narrow(out.total, "C_k")?,
                max_total: narrow(out.max_total, "M_k")?,
                carried: narrow(out.total - link.local.wide(), "c_k")?,
                local: link.local,
                fraction: if out.fraction == 0 { Ppm::ZERO } else { self.fraction },
                max_hops: out.max_hops,
                sponsored: narrow(out.sponsored, "S_k")?,
                receiver_payment: narrow(out.total - out.sponsored, "RP")?,
                sender_payment: narrow(sp, "SP")?,
                announced_total: narrow(a_below, "A")?,
                local_sum: narrow(b_below, "B")?,
            };
            set(&mut solution.links, child - 1, Some(charges));
            sp_below += sp;
            a += a_below;
            b += b_below + link.local.wide();
            sponsored_below += out.sponsored;
        }
        Ok((sp_below + sponsored_below - incoming.sponsored, a, b))
    }

    /// What `node` announces to its reserved children.
    fn outgoing(&self, node: usize, at: Incoming, children: &[(usize, Link)]) -> Vec<Incoming> {
        let weights: Vec<u128> = children.iter().map(|(_, l)| u128::from(l.weight)).collect();
        let carried = apportion(at.total, &weights);
        let sums: Vec<u128> =
            (0..=carried.len()).map(|upto| carried.iter().take(upto).sum()).collect();
        let shares: Vec<u128> = if at.fraction > 0 {
            let part = |w: &[u128]| match w {
                [before, after] => ceil(at.fraction, *after) - ceil(at.fraction, *before),
                _ => 0,
            };
            sums.windows(2).map(part).collect()
        } else {
            apportion(at.sponsored, &carried)
        };
        let is_sender = node == 0;
        let above =
            |limit: Option<Rate>, x: u128| !is_sender && limit.is_some_and(|l| x > l.wide());
        let local_sum: u128 = children.iter().map(|(_, l)| l.local.wide()).sum();
        // r·C > limit without rounding: both sides in millionths.
        let too_dear = |x: u128| {
            let limit = self.limits.per_receiver.map(Rate::wide);
            !is_sender && limit.is_some_and(|l| at.fraction * x > l * ONE)
        };
        let all_cut = !is_sender
            && (at.max_hops.is_some_and(|hops| hops <= 1)
                || too_dear(at.total)
                || above(self.limits.per_hop, local_sum));
        let each = children.iter().zip(carried).zip(shares);
        each.map(|(((_, link), c), s)| {
            let total = c + link.local.wide();
            let cut = at.fraction == 0 || all_cut || too_dear(total);
            Incoming {
                total,
                sponsored: if cut { s } else { ceil(at.fraction, total) },
                max_total: at.max_total + link.max_local.wide(),
                fraction: if cut { 0 } else { at.fraction },
                max_hops: at.max_hops.map(|h| if is_sender { h } else { h.saturating_sub(1) }),
            }
        })
        .collect()
    }

    /// RP goes from every node to its previous hop, SP the other way.
    fn balances(&self, solution: &Solution) -> Vec<i128> {
        let mut balances = vec![0_i128; self.links.len() + 1];
        for (index, (link, charges)) in self.links.iter().zip(&solution.links).enumerate() {
            let Some(charges) = charges else { continue };
            let up = i128::from(charges.receiver_payment.0) - i128::from(charges.sender_payment.0);
            if let Some(parent) = balances.get_mut(link.parent) {
                *parent += up;
            }
            if let Some(child) = balances.get_mut(index + 1) {
                *child -= up;
            }
        }
        balances
    }
}

fn ceil(millionths: u128, x: u128) -> u128 {
    (millionths * x).div_ceil(ONE)
}

fn narrow(x: u128, what: &'static str) -> Result<Rate, Overflow> {
    Rate::from_wide(x, what)
}

fn set<T>(items: &mut [T], index: usize, value: T) {
    if let Some(item) = items.get_mut(index) {
        *item = value;
    }
}

/// Largest remainder, one unit at a time: whoever is furthest below the exact quota gets the next
/// unit, the first of several.
fn apportion(total: u128, weights: &[u128]) -> Vec<u128> {
    let sum: u128 = weights.iter().sum();
    let even = vec![1; weights.len()];
    let (weights, sum) =
        if sum == 0 { (even.as_slice(), even.len() as u128) } else { (weights, sum) };
    let mut parts: Vec<u128> = weights.iter().map(|w| total * w / sum.max(1)).collect();
    let mut served = vec![false; parts.len()];
    while !parts.is_empty() && parts.iter().sum::<u128>() < total {
        let waiting = (0..parts.len()).filter(|i| !served.get(*i).copied().unwrap_or(true));
        let remainder = |i: &usize| weights.get(*i).map_or(0, |w| total * w % sum);
        let Some(next) = waiting.rev().max_by_key(remainder) else { break };
        set(&mut served, next, true);
        if let Some(part) = parts.get_mut(next) {
            *part += 1;
        }
    }
    parts
}
