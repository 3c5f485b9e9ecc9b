//! Several senders: fixed filter, where each is charged by itself, and shared styles, where they
//! share the price of the links that they share.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;

use charging_model::flow::Limits;
use charging_model::tree::{Link, Solution, Tree};
use charging_model::*;
use common::link;
use proptest::prelude::*;

/// Senders over the same routers and receivers, each with its own previous hops and prices.
type Conference = Vec<Tree>;

/// Routers 1..=routers, then receivers, each behind one router for all senders; node 0 of a tree
/// is its sender, which stands behind a router of its choice.
fn conference() -> impl Strategy<Value = Conference> {
    let sizes = (1..5_usize, 1..5_usize, 1..5_usize);
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

/// Directed links by their ends, with the senders that are routed there and their FF prices.
fn shared_links(conference: &Conference) -> BTreeMap<(usize, usize), Vec<(usize, Rate)>> {
    let mut links: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (sender, tree) in conference.iter().enumerate() {
        let solution = tree.solve_for(|_| true).unwrap();
        for (index, l) in tree.links.iter().enumerate() {
            if solution.links[index].is_some() && l.parent != 0 {
                links.entry((l.parent, index + 1)).or_default().push((sender, l.local));
            }
        }
    }
    links
}

/// The same conference with the prices that shared styles make of its links.
fn shared(conference: &Conference) -> Conference {
    let mut shared = conference.clone();
    for ((_, node), senders) in shared_links(conference) {
        let prices: Vec<_> = senders.iter().map(|(_, price)| *price).collect();
        for ((sender, _), share) in senders.iter().zip(shared_local_prices(&prices)) {
            shared[*sender].links[node - 1].local = share;
        }
    }
    shared
}

fn solve(conference: &Conference) -> Vec<Solution> {
    conference.iter().map(|tree| tree.solve_for(|_| true).unwrap()).collect()
}

fn earned(solutions: &[Solution], node: usize) -> i128 {
    solutions.iter().map(|s| s.balances[node]).sum()
}

fn routers(tree: &Tree) -> impl Iterator<Item = usize> + '_ {
    (1..=tree.links.len()).filter(|node| !tree.links[node - 1].receives)
}

fn receivers(tree: &Tree) -> impl Iterator<Item = usize> + '_ {
    (1..=tree.links.len()).filter(|node| tree.links[node - 1].receives)
}

proptest! {
    #![proptest_config(common::cases(500))]

    #[test]
    fn r061_fixed_filter_senders_are_charged_independently(conference in conference()) {
        let solutions = solve(&conference);
        let links = shared_links(&conference);
        for node in routers(&conference[0]) {
            let due = links.iter().filter(|((from, _), _)| *from == node);
            let due: u128 = due.flat_map(|(_, s)| s).map(|(_, price)| price.wide()).sum();
            prop_assert_eq!(earned(&solutions, node), due as i128);
        }
    }

    #[test]
    fn r060_shared_styles_earn_each_link_once_and_raise_nobody(conference in conference()) {
        let fixed = solve(&conference);
        let solutions = solve(&shared(&conference));
        let links = shared_links(&conference);
        let mut total = 0;
        for node in routers(&conference[0]) {
            let due = links.iter().filter(|((from, _), _)| *from == node);
            let due: u128 = due.map(|(_, s)| s.iter().map(|(_, p)| p.wide()).max().unwrap()).sum();
            prop_assert_eq!(earned(&solutions, node), due as i128, "E_j = Σ Λ at {}", node);
            total += due as i128;
        }
        let mut paid = 0;
        for (ff, wf) in fixed.iter().zip(&solutions) {
            paid -= wf.balances[0];
            for node in receivers(&conference[0]) {
                let (ff, wf) = (ff.links[node - 1].unwrap(), wf.links[node - 1].unwrap());
                prop_assert!(wf.total <= ff.total, "receiver {} above what was announced", node);
                paid += i128::from(wf.receiver_payment.0);
            }
        }
        prop_assert_eq!(paid, total);
    }
}

/// One link at 100 with two senders behind it who cover half each.
#[test]
fn r062_two_half_senders_cover_half_not_all() {
    let tree = || {
        let receiver = Link { receives: true, ..link(1, 100, 100, true) };
        let half = Ppm::new(500_000).unwrap();
        Tree {
            links: vec![link(0, 0, 0, false), receiver],
            fraction: half,
            limits: Limits::default(),
        }
    };
    let solutions = solve(&shared(&vec![tree(), tree()]));
    assert_eq!(earned(&solutions, 1), 100);
    assert_eq!(-earned(&solutions, 2), 50, "the receiver pays half");
    assert_eq!(solutions.iter().map(|s| -s.balances[0]).collect::<Vec<_>>(), [25, 25]);
    // One sender alone is charged as by fixed filter.
    let one = vec![tree()];
    assert_eq!(shared(&one), one);
}

/// A chain of eight hops at 10 with two senders at one end: no payment turns negative (D4).
#[test]
fn d4_a_chain_of_shared_links_pays_in_one_direction() {
    let mut links = vec![link(0, 0, 0, false)];
    links.extend((1..9).map(|parent| link(parent, 10, 10, parent == 8)));
    let half = Ppm::new(500_000).unwrap();
    let tree = Tree { links, fraction: half, limits: Limits::default() };
    let solutions = solve(&shared(&vec![tree.clone(), tree]));
    for node in 2..=9 {
        let rp: u64 = solutions.iter().map(|s| s.links[node - 1].unwrap().receiver_payment.0).sum();
        let sp: u64 = solutions.iter().map(|s| s.links[node - 1].unwrap().sender_payment.0).sum();
        let hops = node as u64 - 1;
        // Each sender's ⌈·⌉ of 5·hops halves takes at most one unit.
        assert!(rp <= 5 * hops && rp + 2 >= 5 * hops, "RP into {node}: {rp}");
        assert!(sp <= 5 * (9 - node as u64) + 1, "SP into {node}: {sp}");
    }
}
