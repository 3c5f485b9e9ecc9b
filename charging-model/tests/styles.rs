//! Conferences of flows: several senders over the same hops, reached over previous hops of their
//! own, by fixed filter and by shared styles; joins, leaves, hold-outs and weather at any instant.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "common/conference.rs"]
mod conference;
#[path = "common/storm.rs"]
mod storm;

use charging_model::tree::Tree;
use charging_model::*;
use common::sharing::{Sharing, any_sharing};
use common::{Net, SENDER, Will};
use conference::{Conference, Runs};
use proptest::prelude::*;
use storm::{LIFETIME, Storm};

/// One thing that happens in a conference; the first number says to which sender.
#[derive(Clone, Copy, Debug)]
enum Op {
    Join(usize, usize),
    JoinUpTo(usize, usize, u64),
    Relent(usize, usize),
    Leave(usize, usize),
    /// Not above the largest of the link, 100.
    Price(usize, usize, u64),
    Fraction(usize, u32),
    Limit(usize, u64),
}

fn op() -> impl Strategy<Value = Op> {
    let pair = || (0..4_usize, 0..8_usize);
    let ppm = prop_oneof![Just(0), Just(250_000), Just(900_001), Just(1_000_000)];
    prop_oneof![
        6 => pair().prop_map(|(s, n)| Op::Join(s, n)),
        2 => (pair(), 0..400_u64).prop_map(|((s, n), most)| Op::JoinUpTo(s, n, most)),
        1 => pair().prop_map(|(s, n)| Op::Relent(s, n)),
        2 => pair().prop_map(|(s, n)| Op::Leave(s, n)),
        2 => (pair(), 0..101_u64).prop_map(|((s, n), price)| Op::Price(s, n, price)),
        1 => (0..4_usize, ppm).prop_map(|(s, ppm)| Op::Fraction(s, ppm)),
        1 => (0..4_usize, 0..200_u64).prop_map(|(s, limit)| Op::Limit(s, limit)),
    ]
}

fn ops(count: usize) -> impl Strategy<Value = Vec<(Op, u64)>> {
    proptest::collection::vec((op(), 0..60_000_u64), 1..count)
}

fn apply<N: Runs>(c: &mut Conference<N>, op: Op) {
    let (all, senders) = (c.receivers(), c.trees.len());
    let pick = |s: usize, n: usize| (s % senders, all[n % all.len()]);
    match op {
        Op::Join(s, n) | Op::JoinUpTo(s, n, _) => {
            let (s, node) = pick(s, n);
            let will = if let Op::JoinUpTo(_, _, most) = op { Will::UpTo(most) } else { Will::Any };
            if !c.reserves(s, node) {
                c.join(s, node, will);
            }
        }
        Op::Relent(s, n) => {
            let (s, node) = pick(s, n);
            if c.reserves(s, node) {
                c.net(s).nodes[node].will = Will::Any;
                c.net(s).answer(node);
            }
        }
        Op::Leave(s, n) => {
            let (s, node) = pick(s, n);
            c.leave(s, node);
        }
        Op::Price(s, n, local) => c.price(s % senders, n % c.trees[0].links.len() + 1, local),
        Op::Fraction(s, ppm) => c.fraction(s % senders, ppm),
        Op::Limit(s, limit) => {
            let limit = Some(Rate(limit));
            c.trees[s % senders].limits.per_receiver = limit;
            c.net(s % senders).terms.limits.per_receiver = limit;
            let ppm = c.trees[s % senders].fraction.get();
            c.fraction(s % senders, ppm);
        }
    }
    c.settle();
}

/// What the receiver of a sender was quoted, and what it pays.
fn receiver<N: Runs>(c: &Conference<N>, sender: usize, node: usize) -> (Option<Rate>, Rate) {
    let flow = &c.senders[sender].net().nodes[node].flow;
    let paid = flow.branches().next().map_or(Rate::ZERO, |b| b.receiver_payment);
    (flow.quote(LOCAL_GROUP).map(|q| q.receiver_payment()), paid)
}

proptest! {
    #![proptest_config(common::cases(600))]

    #[test]
    fn r060_r061_flows_of_a_conference_agree_with_the_model(
        trees in conference::conference(1..5),
        shares in any::<bool>(),
        sharing in any_sharing(),
        ops in ops(16),
    ) {
        let mut c = by(sharing, trees, shares);
        for (op, wait) in ops {
            let op = if let Op::JoinUpTo(s, n, _) = op { Op::Join(s, n) } else { op };
            let joins = if let Op::Join(s, n) = op {
                let all = c.receivers();
                Some((s % c.trees.len(), all[n % all.len()])).filter(|(s, n)| !c.reserves(*s, *n))
            } else {
                None
            };
            let quoted = joins.map(|(s, n)| receiver(&c, s, n).0);
            apply(&mut c, op);
            c.assert_agrees();
            // Where a branch weighs more for whoever joins below it, so may C_j, which the quote was of:
            // then what is above the quote was approved by itself (no payment is above its ceiling).
            let fixed = matches!(sharing, Sharing::Equal | Sharing::Weights);
            if let (Some((s, n)), Some(Some(quoted)), true) = (joins, quoted, fixed) {
                prop_assert!(receiver(&c, s, n).1 <= quoted, "above what was announced");
            }
            let until = c.now() + wait / 4;
            c.run_to(until);
            c.assert_agrees();
        }
    }

    #[test]
    fn r006_hold_outs_in_a_conference_never_pay_more_and_the_fixpoint_returns(
        trees in conference::conference(2..4),
        shares in any::<bool>(),
        sharing in any_sharing(),
        ops in ops(12),
    ) {
        let mut c = by(sharing, trees, shares);
        for (op, wait) in ops {
            apply(&mut c, op);
            let until = c.now() + wait;
            c.run_to(until);
        }
        // One hold-out that is removed may leave a share to the next.
        let calm = c.now() + 1_200_000;
        c.run_to(calm);
        c.assert_agrees();
    }
}

/// A conference whose nodes all share by one strategy.
fn by(sharing: Sharing, trees: Vec<Tree>, shares: bool) -> Conference<Net> {
    Conference::new(trees, shares, |tree| Net::shared(tree, FlowConfig::default(), sharing))
}

fn storms(
    (trees, sharing): (Vec<Tree>, Sharing),
    shares: bool,
    seed: u64,
    established: bool,
) -> Conference<Storm> {
    let mut seed = seed;
    Conference::new(trees, shares, |tree| {
        seed = seed.rotate_left(17) ^ 0x9e37_79b9_7f4a_7c15;
        let config = FlowConfig { require_established: established, ..FlowConfig::default() };
        Storm::new(tree, config, seed, sharing)
    })
}

proptest! {
    #![proptest_config(common::cases(60))]

    #[test]
    fn r006_the_promise_holds_for_a_conference_in_any_weather(
        trees in conference::conference(2..4),
        shares in any::<bool>(),
        sharing in any_sharing(),
        ops in ops(10),
        seed in any::<u64>(),
        established in any::<bool>(),
    ) {
        let mut c = storms((trees, sharing), shares, seed, established);
        for (op, wait) in ops {
            apply(&mut c, op);
            let until = c.now() + wait;
            c.run_to(until);
        }
        c.senders.iter_mut().for_each(|storm| storm.loss_percent = 0);
        let calm = c.now() + 6 * LIFETIME;
        c.run_to(calm);
        c.senders.iter_mut().for_each(Storm::give_up);
        c.assert_agrees();
        for storm in &mut c.senders {
            storm.net.close();
        }
    }
}

/// Senders 1 and 2 behind routers of their own, which both lead to router 3 and its receiver: the
/// hop passes to each previous hop what that one claims, and keeps the price of the shared link.
#[test]
fn r060_a_hop_pays_each_of_its_previous_hops() {
    let sender = |behind: usize, upstream: u64, own: u64, ppm| {
        let idle = 3 - behind;
        let mut links = vec![common::link(SENDER, 0, 0, false); 2];
        links[idle - 1] = common::link(behind, 0, 100, false);
        links.push(common::link(behind, upstream, 100, false));
        links.push(common::link(3, own, 100, true));
        Tree { links, fraction: Ppm::new(ppm).unwrap(), ..Tree::default() }
    };
    let mut c =
        Conference::new(vec![sender(1, 50, 80, 500_000), sender(2, 30, 40, 0)], true, Net::new);
    c.join(0, 4, Will::Any);
    c.join(1, 4, Will::Any);
    c.assert_agrees();
    assert_eq!(c.several_previous_hops(), 1);
    let branch = |s: usize, from: usize, to: usize| {
        let net = c.senders[s].net();
        net.nodes[from].flow.branch(common::key(to)).unwrap()
    };
    // Λ = 80 by weights 80 and 40: 53.3 and 26.7.
    assert_eq!((branch(0, 3, 4).local, branch(1, 3, 4).local), (Rate(53), Rate(27)));
    // The sender covers ⌈103/2⌉ of C = 50 + 53, nothing of 30 + 27.
    assert_eq!(branch(0, 3, 4).receiver_payment, Rate(51));
    assert_eq!(branch(1, 3, 4).receiver_payment, Rate(57));
    assert_eq!(
        (branch(0, 1, 3).receiver_payment, branch(1, 2, 3).receiver_payment),
        (Rate(25), Rate(30))
    );
    let earned = |node: usize| c.senders.iter().map(|s| s.net().rates()[node]).sum::<i128>();
    assert_eq!([earned(1), earned(2), earned(3), earned(4)], [50, 30, 80, -108]);
}
