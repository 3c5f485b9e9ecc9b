//! Random networks of flows: conservation at every step, and the whole-tree fixpoint at rest.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use charging_model::flow::Limits;
use charging_model::tree::Tree;
use charging_model::*;
use common::sharing::{Sharing, any_sharing};
use common::{Net, SENDER, Will, key, link, local_key};
use proptest::prelude::*;

/// One thing that happens to a network.
#[derive(Clone, Copy, Debug)]
enum Op {
    Join(usize),
    JoinUpTo(usize, u64),
    Relent(usize),
    Leave(usize),
    Price(usize, u64),
    Fraction(u32),
    Wait(u64),
}

fn ppm() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(333_333), Just(500_000), Just(1_000_000), 0..=1_000_000_u32]
}

fn price() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..1_000_u64, 0..1_000_000_000_u64]
}

fn limits() -> impl Strategy<Value = Limits> {
    let rate = || proptest::option::weighted(0.3, price());
    (rate(), rate(), proptest::option::weighted(0.3, 0..6_u32)).prop_map(|(r, h, max_hops)| {
        Limits { per_receiver: r.map(Rate), per_hop: h.map(Rate), max_hops }
    })
}

/// Random trees: any node's parent is an earlier one; a node without next hops receives. The
/// sender's own links cost nothing.
fn tree(limits: impl Strategy<Value = Limits>) -> impl Strategy<Value = Tree> {
    let nodes =
        proptest::collection::vec((any::<prop::sample::Index>(), price(), 0..100_u64), 1..12);
    (nodes, ppm(), limits).prop_map(|(nodes, ppm, limits)| {
        let mut links: Vec<_> = Vec::new();
        for (index, (parent, local, more)) in nodes.iter().enumerate() {
            let parent = if index == 0 { 0 } else { parent.index(index + 1) };
            let local = if parent == SENDER { 0 } else { *local };
            links.push(link(parent, local, local + more, false));
        }
        // A router below the sender, so that nobody receives from the sender itself.
        let parents: Vec<_> = links.iter().map(|l| l.parent).collect();
        for (index, l) in links.iter_mut().enumerate() {
            l.receives = !parents.contains(&(index + 1));
        }
        Tree { links, fraction: Ppm::new(ppm).unwrap(), limits }
    })
}

fn ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    let node = || 0..12_usize;
    let op = prop_oneof![
        4 => node().prop_map(Op::Join),
        2 => (node(), price()).prop_map(|(n, p)| Op::JoinUpTo(n, p)),
        1 => node().prop_map(Op::Relent),
        2 => node().prop_map(Op::Leave),
        2 => (node(), price()).prop_map(|(n, p)| Op::Price(n, p)),
        1 => ppm().prop_map(Op::Fraction),
        2 => (0..90_000_u64).prop_map(Op::Wait),
    ];
    proptest::collection::vec(op, 1..count)
}

fn receivers(net: &Net) -> Vec<usize> {
    (1..net.nodes.len()).filter(|n| net.nodes[*n].receives).collect()
}

/// Applies `op`; the tree follows it.
fn apply(net: &mut Net, tree: &mut Tree, op: Op) {
    let all = receivers(net);
    let pick = |n: usize| all[n % all.len()];
    match op {
        Op::Join(n) | Op::JoinUpTo(n, _) if net.nodes[pick(n)].will == Will::Absent => {
            let will = if let Op::JoinUpTo(_, most) = op { Will::UpTo(most) } else { Will::Any };
            net.join(pick(n), will);
            if net.nodes[pick(n)].flow.branch(local_key(pick(n))).is_none() {
                net.nodes[pick(n)].will = Will::Absent;
            }
        }
        Op::Join(_) | Op::JoinUpTo(..) => {}
        Op::Relent(n) => {
            if net.nodes[pick(n)].will != Will::Absent {
                net.nodes[pick(n)].will = Will::Any;
                net.answer(pick(n));
            }
        }
        Op::Leave(n) => net.leave(pick(n)),
        Op::Price(n, local) => {
            let node = n % (net.nodes.len() - 1) + 1;
            if net.nodes[node].parent != SENDER {
                net.set_price(node, local);
                let l = &mut tree.links[node - 1];
                l.local = Rate(local);
                if l.max_local < l.local {
                    l.max_local = l.local;
                    // M alone is no new quote (T14): the next refresh brings it.
                    net.refresh();
                }
            }
        }
        Op::Fraction(ppm) => {
            tree.fraction = Ppm::new(ppm).unwrap();
            net.terms.fraction = tree.fraction;
            net.terms.epoch += 1;
            net.announce();
        }
        Op::Wait(ms) => net.run_to(net.now + ms),
    }
    net.pump();
}

proptest! {
    #![proptest_config(common::cases(800))]

    #[test]
    fn r051_r055_a_whole_tree_conserves_money(tree in tree(limits())) {
        let Ok(solution) = tree.solve() else { return Ok(()) };
        prop_assert_eq!(solution.balances.iter().sum::<i128>(), 0);
        let mut sponsored = 0;
        for (node, balance) in solution.balances.iter().enumerate() {
            let below = || (1..=tree.links.len()).filter(|k| tree.links[k - 1].parent == node);
            let charges = |k: usize| solution.links[k - 1].unwrap();
            let prices: u128 = below().map(|k| tree.links[k - 1].local.wide()).sum();
            let carried: u128 = below().map(|k| charges(k).carried.wide()).sum();
            let here = node.checked_sub(1).map(|i| solution.links[i].unwrap());
            if let Some(here) = here.filter(|_| !tree.links[node - 1].receives) {
                prop_assert_eq!(*balance, prices as i128, "E_j at {}", node);
                prop_assert_eq!(carried, here.total.wide(), "Σc at {}", node);
                prop_assert_eq!(here.announced_total.0 - here.local_sum.0, here.total.0);
            }
            if let Some(here) = here.filter(|_| tree.links[node - 1].receives) {
                sponsored += here.sponsored.wide();
                prop_assert!(here.total <= here.max_total);
            }
        }
        prop_assert_eq!(-solution.balances[SENDER], sponsored as i128);
    }

    #[test]
    fn r051_any_split_sums_exactly(
        total in any::<u64>(),
        weights in proptest::collection::vec(prop_oneof![0..9_u64, any::<u64>()], 1..9),
    ) {
        let mut shares = Vec::new();
        split::largest_remainder(total, &weights, &mut shares);
        prop_assert_eq!(shares.len(), weights.len());
        prop_assert_eq!(shares.iter().map(|s| u128::from(*s)).sum::<u128>(), u128::from(total));
        let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
        for (share, weight) in shares.iter().zip(&weights).filter(|_| sum > 0) {
            let floor = u128::from(total) * u128::from(*weight) / sum;
            prop_assert!((floor..=floor + 1).contains(&u128::from(*share)));
        }
    }

    #[test]
    fn r055_r061_flows_agree_with_the_whole_tree(
        start in tree(limits()),
        ops in ops(12),
        sharing in any_sharing(),
    ) {
        let mut tree = start;
        let mut net = Net::shared(&tree, FlowConfig::default(), sharing);
        for op in ops {
            let op = match op {
                Op::JoinUpTo(n, _) => Op::Join(n),
                other => other,
            };
            apply(&mut net, &mut tree, op);
            net.assert_invariants();
            net.assert_agrees(&tree);
        }
    }

    #[test]
    fn r006_hold_outs_never_pay_more_and_the_fixpoint_returns(
        start in tree(limits()),
        ops in ops(16),
        sharing in any_sharing(),
    ) {
        let mut tree = start;
        let mut net = Net::shared(&tree, FlowConfig::default(), sharing);
        for op in ops {
            apply(&mut net, &mut tree, op);
            net.assert_invariants();
        }
        net.run_to(net.now + 400_000);
        net.assert_invariants();
        net.assert_agrees(&tree);
    }

    #[test]
    fn r103_an_equal_split_never_raises_another_on_a_join(
        start in tree(Just(Limits::default())),
        order in proptest::collection::vec(0..12_usize, 1..12),
    ) {
        let mut net = Net::new(&start);
        let all = receivers(&net);
        for n in order {
            let joiner = all[n % all.len()];
            if net.nodes[joiner].will != Will::Absent {
                continue;
            }
            let totals = |net: &Net| -> Vec<_> {
                (1..net.nodes.len())
                    .map(|k| net.nodes[net.nodes[k].parent].flow.branch(key(k)).map(|b| b.total))
                    .collect()
            };
            let before = totals(&net);
            net.join(joiner, Will::Any);
            net.pump();
            for (old, new) in before.iter().zip(totals(&net)) {
                if let (Some(old), Some(new)) = (old, new) {
                    prop_assert!(new <= *old);
                }
            }
        }
    }

    /// By receivers nobody who is there pays more for a join, but for a unit of rounding at each
    /// hop: with more receivers below, a branch carries more of what more of them share.
    #[test]
    fn r103_by_receivers_a_join_raises_no_receiver_beyond_rounding(
        start in tree(Just(Limits::default())),
        order in proptest::collection::vec(0..12_usize, 1..12),
    ) {
        let mut net = Net::shared(&start, FlowConfig::default(), Sharing::Receivers);
        let all = receivers(&net);
        for n in order {
            let paid = |net: &Net, node: usize| net.nodes[node].flow.branch(local_key(node)).map(|b| b.total.0);
            let before: Vec<_> = all.iter().map(|node| paid(&net, *node)).collect();
            let joiner = all[n % all.len()];
            if net.nodes[joiner].will != Will::Absent {
                continue;
            }
            net.join(joiner, Will::Any);
            net.pump();
            for (node, before) in all.iter().zip(before) {
                if let (Some(before), Some(after)) = (before, paid(&net, *node)) {
                    prop_assert!(after <= before + start.links.len() as u64, "{before} {after}");
                }
            }
        }
    }

    #[test]
    fn r102_no_epoch_moves_without_an_event(start in tree(limits()), sharing in any_sharing()) {
        let mut net = Net::shared(&start, FlowConfig::default(), sharing);
        for node in receivers(&net) {
            net.join(node, Will::Any);
            net.pump();
        }
        let epochs = |net: &Net| -> Vec<_> {
            (1..net.nodes.len())
                .map(|k| net.nodes[net.nodes[k].parent].flow.quote(k as u32).map(|q| q.epoch))
                .collect()
        };
        let (before, messages) = (epochs(&net), net.messages);
        net.run_to(300_000);
        prop_assert_eq!(before, epochs(&net));
        // Ten rounds of refreshes, one PATH and one RESV a link, and nothing else.
        prop_assert_eq!(net.messages - messages, 10 * 2 * start.links.len());
    }
}

/// M is not among what makes a quote new (T14): where a higher Lmax changes no charge, the next
/// refresh tells it.
#[test]
fn r065_r102_a_higher_maximum_by_itself_comes_with_the_next_refresh() {
    // 0 sender, 1 and 2 routers, 3 a receiver that may join, 4 one that has joined.
    let links =
        vec![link(0, 0, 0, false), link(1, 5, 5, false), link(2, 0, 0, true), link(2, 0, 0, true)];
    let mut tree = Tree { links, ..Tree::default() };
    let mut net = Net::new(&tree);
    net.join(4, Will::Any);
    net.pump();
    // The joiner's part of 5 and of 6 is 3.
    net.set_price(2, 6);
    (tree.links[1].local, tree.links[1].max_local) = (Rate(6), Rate(6));
    net.pump();
    net.assert_agrees(&tree);
    let heard = |net: &Net| {
        let down = net.nodes[3].flow.downstream().unwrap();
        (down.total, down.max_total)
    };
    assert_eq!(heard(&net), (Rate(3), Rate(5)));
    net.run_to(30_000);
    assert_eq!(heard(&net), (Rate(3), Rate(6)));
    net.join(3, Will::Any);
    net.pump();
    net.assert_agrees(&tree);
}
