//! A conference: several senders over the same routers and receivers, each with previous hops,
//! prices and terms of its own.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;

use charging_model::flow::Limits;
use charging_model::tree::{Solution, Tree};
use charging_model::*;
use proptest::prelude::*;

use crate::common::sharing::Sharing;
use crate::common::{Net, SENDER, Will, key, link, local_key};

/// Routers 1..=routers, then receivers, each behind one router for all senders; node 0 of a tree
/// is its sender, which stands behind a router of its choice.
pub(crate) fn conference(senders: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Tree>> {
    let sizes = (1..5_usize, 1..5_usize, senders);
    sizes.prop_flat_map(|(routers, receivers, senders)| {
        let ppm = prop_oneof![Just(0), Just(500_000), Just(333_333), Just(1_000_000)];
        let one = (
            proptest::collection::vec(any::<prop::sample::Index>(), routers),
            Just((1..=routers).collect::<Vec<_>>()).prop_shuffle(),
            proptest::collection::vec(0..100_u64, routers + receivers),
            ppm,
        );
        let access = proptest::collection::vec(1..=routers, receivers);
        (proptest::collection::vec(one, senders), access).prop_map(move |(senders, access)| {
            let tree = |(parents, order, prices, ppm): (
                Vec<prop::sample::Index>,
                Vec<usize>,
                Vec<u64>,
                u32,
            )| {
                let mut links = vec![link(0, 0, 0, false); routers + receivers];
                for (place, node) in order.iter().enumerate().skip(1) {
                    let parent = order[parents[place].index(place)];
                    links[node - 1] = link(parent, prices[node - 1], 100, false);
                }
                for (index, router) in access.iter().enumerate() {
                    let node = routers + index;
                    links[node] = link(*router, prices[node], 100, true);
                }
                Tree { links, fraction: Ppm::new(ppm).unwrap(), limits: Limits::default() }
            };
            senders.into_iter().map(tree).collect()
        })
    })
}

/// Directed links by their ends, with the senders for which they are reserved and their FF prices.
pub(crate) fn shared_links(
    trees: &[Tree],
    reserves: impl Fn(usize, usize) -> bool,
) -> BTreeMap<(usize, usize), Vec<(usize, Rate)>> {
    let mut links: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (sender, tree) in trees.iter().enumerate() {
        let solution = tree.solve_for(|node| reserves(sender, node)).unwrap();
        for (index, l) in tree.links.iter().enumerate() {
            if solution.links[index].is_some() && l.parent != SENDER {
                links.entry((l.parent, index + 1)).or_default().push((sender, l.local));
            }
        }
    }
    links
}

/// The same trees with the prices that shared styles make of their links.
pub(crate) fn shared(trees: &[Tree], reserves: impl Fn(usize, usize) -> bool) -> Vec<Tree> {
    let mut shared = trees.to_vec();
    for ((_, node), senders) in shared_links(trees, reserves) {
        let prices: Vec<_> = senders.iter().map(|(_, price)| *price).collect();
        for ((sender, _), share) in senders.iter().zip(shared_local_prices(&prices)) {
            shared[*sender].links[node - 1].local = share;
        }
    }
    shared
}

/// What runs the flows of one sender: calmly or in weather.
pub(crate) trait Runs {
    fn net(&self) -> &Net;
    fn net_mut(&mut self) -> &mut Net;
    fn settle(&mut self);
    /// What must hold between any two events.
    fn check(&self);
    fn next_event(&self) -> u64;
    fn step_to(&mut self, next: u64);
}

impl Runs for Net {
    fn net(&self) -> &Net {
        self
    }
    fn net_mut(&mut self) -> &mut Net {
        self
    }
    fn settle(&mut self) {
        self.pump();
    }
    fn check(&self) {
        self.assert_invariants();
    }
    fn next_event(&self) -> u64 {
        self.next_event()
    }
    fn step_to(&mut self, next: u64) {
        self.step_to(next);
    }
}

impl Runs for crate::storm::Storm {
    fn net(&self) -> &Net {
        &self.net
    }
    fn net_mut(&mut self) -> &mut Net {
        &mut self.net
    }
    fn settle(&mut self) {
        self.speak();
    }
    fn check(&self) {
        self.net.assert_invariants();
    }
    fn next_event(&self) -> u64 {
        self.next_event()
    }
    fn step_to(&mut self, next: u64) {
        self.step_to(next);
    }
}

pub(crate) struct Conference<N> {
    pub(crate) senders: Vec<N>,
    /// With each sender's own prices.
    pub(crate) trees: Vec<Tree>,
    /// SE or WF, not FF.
    pub(crate) shares: bool,
}

impl<N: Runs> Conference<N> {
    pub(crate) fn new(trees: Vec<Tree>, shares: bool, run: impl FnMut(&Tree) -> N) -> Self {
        Self { senders: trees.iter().map(run).collect(), trees, shares }
    }

    pub(crate) fn net(&mut self, sender: usize) -> &mut Net {
        self.senders[sender].net_mut()
    }

    pub(crate) fn now(&self) -> u64 {
        self.senders[0].net().now
    }

    pub(crate) fn receivers(&self) -> Vec<usize> {
        let links = &self.trees[0].links;
        (1..=links.len()).filter(|node| links[node - 1].receives).collect()
    }

    pub(crate) fn reserves(&self, sender: usize, node: usize) -> bool {
        self.senders[sender].net().nodes[node].will != Will::Absent
    }

    /// A receiver wants a sender. Where the price is above what it pays, it stays absent.
    pub(crate) fn join(&mut self, sender: usize, node: usize, will: Will) {
        self.net(sender).join(node, will);
        let net = self.senders[sender].net_mut();
        if net.nodes[node].flow.branch(local_key(node)).is_none() {
            net.nodes[node].will = Will::Absent;
        }
        self.settle();
    }

    pub(crate) fn leave(&mut self, sender: usize, node: usize) {
        self.net(sender).leave(node);
        self.settle();
    }

    /// Another price of one sender's own reservation on the link to `node`.
    pub(crate) fn price(&mut self, sender: usize, node: usize, local: u64) {
        let l = &mut self.trees[sender].links[node - 1];
        if l.parent != SENDER {
            l.local = Rate(local);
            l.max_local = l.max_local.max(l.local);
            self.settle();
        }
    }

    pub(crate) fn fraction(&mut self, sender: usize, ppm: u32) {
        let fraction = Ppm::new(ppm).unwrap();
        self.trees[sender].fraction = fraction;
        let net = self.net(sender);
        net.terms.fraction = fraction;
        net.terms.epoch += 1;
        net.announce();
        self.settle();
    }

    /// Lets the messages flow, and every hop share the prices of its links among the senders that
    /// somebody behind them pays for, until nothing changes.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            self.senders.iter_mut().for_each(Runs::settle);
            if !self.share() {
                return self.senders.iter().for_each(Runs::check);
            }
        }
        panic!("the prices of the conference do not come to rest");
    }

    fn share(&mut self) -> bool {
        let mut changed = false;
        for node in 1..=self.trees[0].links.len() {
            for sender in 0..self.trees.len() {
                let parent = self.trees[sender].links[node - 1].parent;
                if parent == SENDER {
                    continue;
                }
                let local = self.share_of(sender, parent, node);
                let flow = &self.senders[sender].net().nodes[parent].flow;
                let price = flow.groups().find(|(g, _)| *g == node as u32).unwrap().1;
                if price.local != local {
                    self.net(sender).set_price(node, local.0);
                    changed = true;
                }
            }
        }
        changed
    }

    /// ℓ_s on the link to `node`, or L_s where nobody pays for s, or the style shares nothing.
    fn share_of(&self, sender: usize, parent: usize, node: usize) -> Rate {
        let own = |s: usize| self.trees[s].links[node - 1].local;
        let paid = |s: &usize| {
            self.trees[*s].links[node - 1].parent == parent
                && self.senders[*s].net().nodes[parent].flow.branch(key(node)).is_some()
        };
        let sharing: Vec<_> = (0..self.trees.len()).filter(paid).collect();
        let prices: Vec<_> = sharing.iter().map(|s| own(*s)).collect();
        match sharing.iter().position(|s| *s == sender) {
            Some(place) if self.shares => shared_local_prices(&prices)[place],
            _ => own(sender),
        }
    }

    pub(crate) fn run_to(&mut self, ms: u64) {
        self.settle();
        while self.now() < ms {
            let next = self.senders.iter().map(Runs::next_event).min().unwrap().min(ms);
            self.senders.iter_mut().for_each(|run| run.step_to(next));
            self.settle();
        }
    }

    /// Asserts that every sender's network stands where the model says, that every hop earns what
    /// its links cost once, over all its previous hops, and that nobody is charged more than a
    /// reservation of its own would cost.
    pub(crate) fn assert_agrees(&self) {
        let reserves = |sender, node| self.reserves(sender, node);
        let fixed: Vec<Solution> = self
            .trees
            .iter()
            .enumerate()
            .map(|(s, tree)| {
                let (net, mut tree) = (self.senders[s].net(), tree.clone());
                if net.sharing != Sharing::Equal {
                    net.sharing.weigh(net, &mut tree);
                }
                tree.solve_for(|node| reserves(s, node)).unwrap()
            })
            .collect();
        let expected = if self.shares { shared(&self.trees, reserves) } else { self.trees.clone() };
        let mut earned = vec![0_i128; self.trees[0].links.len() + 1];
        for ((run, tree), fixed) in self.senders.iter().zip(&expected).zip(&fixed) {
            let net = run.net();
            net.assert_agrees(tree);
            for (sum, rate) in earned.iter_mut().zip(net.rates()) {
                *sum += rate;
            }
            for (node, alone) in fixed.links.iter().enumerate().map(|(i, l)| (i + 1, l)) {
                let parent = tree.links[node - 1].parent;
                let Some(alone) = alone else { continue };
                let b = net.nodes[parent].flow.branch(key(node)).unwrap();
                assert!(b.total <= alone.total, "link to {node} above what FF was announced");
            }
        }
        let mut due = vec![0_i128; earned.len()];
        for ((from, _), senders) in shared_links(&self.trees, reserves) {
            let prices = senders.iter().map(|(_, price)| i128::from(price.0));
            due[from] += if self.shares { prices.max().unwrap() } else { prices.sum() };
        }
        let links = &self.trees[0].links;
        for node in (1..earned.len()).filter(|node| !links[node - 1].receives) {
            assert_eq!(earned[node], due[node], "E_j = ΣΛ at {node}");
        }
    }

    /// How many routers have different previous hops for different senders somebody pays for.
    pub(crate) fn several_previous_hops(&self) -> usize {
        let links = shared_links(&self.trees, |s, n| self.reserves(s, n));
        let mut previous: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, node) in links.keys() {
            *previous.entry(*node).or_default() += 1;
        }
        previous.values().filter(|count| **count > 1).count()
    }
}
