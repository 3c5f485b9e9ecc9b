//! Messages lost, late and out of order: nobody pays what it did not approve, and when the
//! weather clears the network stands where the whole-tree computation says.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "common/storm.rs"]
mod storm;

use charging_model::flow::Limits;
use charging_model::tree::Tree;
use charging_model::*;
use common::sharing::any_sharing;
use common::{SENDER, Will, link, local_key};
use proptest::prelude::*;
use storm::{LIFETIME, Storm};

fn tree() -> impl Strategy<Value = Tree> {
    let nodes = proptest::collection::vec((any::<prop::sample::Index>(), 0..200_u64), 2..9);
    let limit = proptest::option::weighted(0.2, (0..400_u64).prop_map(Rate));
    let ppm = prop_oneof![Just(0), Just(333_333), Just(500_000), Just(1_000_000)];
    (nodes, ppm, limit).prop_map(|(nodes, ppm, per_receiver)| {
        let mut links = vec![link(SENDER, 0, 0, false)];
        for (index, (parent, local)) in nodes.into_iter().enumerate() {
            links.push(link(1 + parent.index(index + 1), local, local + 50, false));
        }
        let parents: Vec<_> = links.iter().map(|l| l.parent).collect();
        for (index, l) in links.iter_mut().enumerate() {
            l.receives = !parents.contains(&(index + 1));
        }
        let limits = Limits { per_receiver, ..Limits::default() };
        Tree { links, fraction: Ppm::new(ppm).unwrap(), limits }
    })
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Join(usize),
    JoinUpTo(usize, u64),
    Relent(usize),
    Leave(usize),
    Price(usize, u64),
    Fraction(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..12_usize).prop_map(Op::Join),
        2 => (0..12_usize, 0..400_u64).prop_map(|(n, most)| Op::JoinUpTo(n, most)),
        1 => (0..12_usize).prop_map(Op::Relent),
        1 => (0..12_usize).prop_map(Op::Leave),
        2 => (0..12_usize, 0..300_u64).prop_map(|(n, p)| Op::Price(n, p)),
        1 => prop_oneof![Just(0), Just(250_000), Just(900_001)].prop_map(Op::Fraction),
    ]
}

fn apply(storm: &mut Storm, tree: &mut Tree, op: Op) {
    let net = &mut storm.net;
    let all: Vec<_> = (1..net.nodes.len()).filter(|n| net.nodes[*n].receives).collect();
    match op {
        Op::Join(n) => {
            let node = all[n % all.len()];
            if net.nodes[node].will == Will::Absent {
                net.join(node, Will::Any);
            }
        }
        Op::JoinUpTo(n, most) => {
            let node = all[n % all.len()];
            if net.nodes[node].will == Will::Absent {
                net.join(node, Will::UpTo(most));
            }
        }
        Op::Relent(n) => {
            let node = all[n % all.len()];
            if net.nodes[node].will != Will::Absent {
                net.nodes[node].will = Will::Any;
                net.answer(node);
            }
        }
        Op::Leave(n) => {
            let node = all[n % all.len()];
            net.nodes[node].will = Will::Absent;
            let clock = net.clock();
            net.nodes[node].flow.remove_branch(clock, local_key(node), Cause::Tear);
        }
        Op::Price(n, local) => {
            let node = n % (net.nodes.len() - 1) + 1;
            if net.nodes[node].parent != SENDER {
                net.set_price(node, local);
                let l = &mut tree.links[node - 1];
                l.local = Rate(local);
                l.max_local = l.max_local.max(l.local);
            }
        }
        Op::Fraction(ppm) => {
            tree.fraction = Ppm::new(ppm).unwrap();
            net.terms.fraction = tree.fraction;
            net.terms.epoch += 1;
            net.announce();
        }
    }
}

proptest! {
    #![proptest_config(common::cases(60))]

    #[test]
    fn r006_the_promise_holds_in_any_weather(
        start in tree(),
        ops in proptest::collection::vec((op(), 0..60_000_u64), 1..14),
        seed in any::<u64>(),
        require_established in any::<bool>(),
        sharing in any_sharing(),
    ) {
        let mut tree = start;
        let config = FlowConfig { require_established, audit: true, ..FlowConfig::default() };
        let mut storm = Storm::new(&tree, config, seed, sharing);
        for (op, wait) in ops {
            apply(&mut storm, &mut tree, op);
            let until = storm.net.now + wait;
            storm.run_to(until);
        }
        storm.loss_percent = 0;
        let calm = storm.net.now + 3 * LIFETIME;
        storm.run_to(calm);
        storm.give_up();
        storm.net.assert_agrees(&tree);
        for node in storm.net.nodes.iter().skip(1) {
            prop_assert!(node.flow.branches().all(|b| b.status == "ACTIVE"));
            // Everything agreed is billed: RP of every branch, and SP if there is any.
            let now = Millis(calm);
            let billed: Vec<_> = node.flow.running(now).collect();
            for b in node.flow.branches().filter(|b| b.receiver_payment > Rate::ZERO) {
                let entry = (Entry::ReceiverPaymentFrom(b.key), b.receiver_payment);
                prop_assert!(billed.contains(&entry), "{:?} in {:?}", entry, billed);
            }
        }
        // At rest there is nothing but refreshes: no storm.
        let (before, links) = (storm.messages, tree.links.len() as u64);
        storm.run_to(calm + 300_000);
        storm.give_up();
        prop_assert!(storm.messages - before <= links * 2 * 21);
        storm.net.assert_agrees(&tree);
        storm.net.close();
    }
}
