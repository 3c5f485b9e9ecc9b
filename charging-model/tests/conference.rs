//! Several senders: fixed filter, where each is charged by itself, and shared styles, where they
//! share the price of the links that they share.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "common/conference.rs"]
mod conference;
#[path = "common/storm.rs"]
mod storm;

use charging_model::flow::Limits;
use charging_model::tree::{Link, Solution, Tree};
use charging_model::*;
use common::link;
use conference::{conference, shared_links};
use proptest::prelude::*;

/// Senders over the same routers and receivers, each with its own previous hops and prices.
type Conference = Vec<Tree>;

/// The same conference with the prices that shared styles make of its links.
fn shared(conference: &Conference) -> Conference {
    conference::shared(conference, |_, _| true)
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
    #![proptest_config(common::cases(2_500))]

    #[test]
    fn r061_fixed_filter_senders_are_charged_independently(conference in conference(1..5)) {
        let solutions = solve(&conference);
        let links = shared_links(&conference, |_, _| true);
        for node in routers(&conference[0]) {
            let due = links.iter().filter(|((from, _), _)| *from == node);
            let due: u128 = due.flat_map(|(_, s)| s).map(|(_, price)| price.wide()).sum();
            prop_assert_eq!(earned(&solutions, node), due as i128);
        }
    }

    #[test]
    fn r060_shared_styles_earn_each_link_once_and_raise_nobody(conference in conference(1..5)) {
        let fixed = solve(&conference);
        let solutions = solve(&shared(&conference));
        let links = shared_links(&conference, |_, _| true);
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
