//! The strategies of a split, one by one: what each weighs, and what it is told.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common {
    pub(crate) mod one;
}

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use charging_model::split::{ByQuantity, ByReceivers, Incremental, OperatorWeights};
use charging_model::*;
use common::one::{UNIX, again, at, dcpe, flow_with, key, new, refused, required, ucpe};

fn by(policy: impl SplitPolicy + 'static) -> FlowConfig {
    FlowConfig { policy: Arc::new(policy), ..FlowConfig::default() }
}

/// C_j = 90 and nothing to pay here, on interfaces 1 to 3.
fn hop(policy: impl SplitPolicy + 'static) -> Flow {
    flow_with(by(policy), &dcpe(90, 0, UNIX), &[(1, 0), (2, 0), (3, 0)])
}

/// A next hop that pays whatever it takes for so much and so many.
fn pays(quantity: u64, receivers_below: u32) -> Payment {
    Payment { quantity, receivers_below, ..ucpe(1_000, 1, 1) }
}

fn carried(flow: &Flow) -> Vec<u64> {
    flow.branches().map(|b| b.carried.0).collect()
}

fn facts(group: u32, quantity: u64, receivers_below: u32, joined: u32) -> BranchFacts {
    BranchFacts { key: key(group), quantity, receivers_below, joined, flowspec: None }
}

#[test]
fn r020_each_strategy_weighs_what_it_says() {
    let weigh = |policy: &dyn SplitPolicy, all: &[BranchFacts]| {
        let mut weights = Vec::new();
        policy.weights(all, &mut weights);
        weights
    };
    // The second came first.
    let all = [facts(1, 3_000, 4, 2), facts(2, 1_000, 2, 1), facts(3, 2_000, 1, 3)];
    assert_eq!(weigh(&EqualNextHop, &all), [1, 1, 1]);
    assert_eq!(weigh(&ByReceivers, &all), [4, 2, 1]);
    assert_eq!(weigh(&ByQuantity, &all), [3_000, 1_000, 2_000]);
    assert_eq!(weigh(&Incremental, &all), [2_000, 1_000, 0]);
    let unknown = [facts(1, 0, 1, 3), facts(2, 0, 1, 2)];
    assert_eq!(weigh(&Incremental, &unknown), [0, 1], "the first pays, whatever it reserves");
    let weights = OperatorWeights {
        by_hop: BTreeMap::from([(key(1).hop, 7)]),
        joining: BTreeMap::from([(3, 5)]),
        otherwise: 3,
    };
    assert_eq!(weigh(&weights, &all), [7, 3, 3]);
    let anyone = |group| {
        let key = BranchKey { group, hop: IpAddr::from([0, 0, 0, 0]) };
        BranchFacts { key, ..all[2] }
    };
    let anyones = [anyone(2), anyone(3)];
    assert_eq!(weigh(&weights, &anyones), [7, 5], "it may be the dearest of those listed");
}

#[test]
fn r020_the_first_pays_and_those_who_come_later_pay_what_they_add() {
    let mut flow = hop(Incremental);
    assert_eq!(flow.on_ucpe(at(0), key(2), &pays(1_000, 1)), new());
    assert_eq!(carried(&flow), [90]);
    assert_eq!(required(&flow, 1), 0, "who adds nothing carries nothing");
    assert_eq!(flow.on_ucpe(at(0), key(1), &pays(1_000, 1)), new());
    assert_eq!(carried(&flow), [0, 90]);
    // Twice as much again as what was there.
    assert_eq!(flow.on_ucpe(at(0), key(3), &pays(3_000, 1)), new());
    assert_eq!(carried(&flow), [0, 30, 60]);
    // A new instance does not lead to the end of the queue.
    let anew = Payment { sequence: 2, instance: 2, ..pays(1_000, 1) };
    assert_eq!(flow.on_ucpe(at(1), key(2), &anew), new());
    assert_eq!(carried(&flow), [0, 30, 60]);
    flow.remove_branch(at(2), key(2), Cause::Tear);
    assert_eq!(carried(&flow), [30, 60], "the next is the first now");
}

#[test]
fn r020_a_count_harms_who_says_too_much_and_is_bounded() {
    let mut flow = flow_with(
        FlowConfig { receivers_most: 8, ..by(ByReceivers) },
        &dcpe(90, 0, UNIX),
        &[(1, 0), (2, 0)],
    );
    // None at all counts as one.
    assert_eq!(flow.on_ucpe(at(0), key(1), &pays(0, 0)), new());
    assert_eq!(flow.on_ucpe(at(0), key(2), &pays(0, u32::MAX)), new());
    assert_eq!(carried(&flow), [10, 80]);
    assert_eq!(flow.own_payment(at(0)).unwrap().receivers_below, 9);
    // The same again is a repetition, whatever was made of it.
    let sequence = flow.branch(key(2)).unwrap().sequence;
    assert_eq!(flow.on_ucpe(at(1), key(2), &pays(0, u32::MAX)), again());
    assert_eq!(flow.branch(key(2)).unwrap().sequence, sequence);
    assert_eq!(carried(&flow), [10, 80]);
}

#[test]
fn r020_a_change_of_counts_is_told_upstream_and_by_itself_moves_no_payment() {
    let mut flow = hop(ByReceivers);
    assert_eq!(flow.on_ucpe(at(0), key(1), &pays(0, 1)), new());
    let before = flow.own_payment(at(0)).unwrap();
    let _ = flow.take_changes();
    assert_eq!(flow.on_ucpe(at(1), key(1), &Payment { sequence: 2, ..pays(0, 3) }), again());
    let changes = flow.take_changes();
    assert!(!changes.payment && changes.coalescable, "{changes:?}");
    let after = flow.own_payment(at(1)).unwrap();
    assert_eq!((before.receivers_below, after.receivers_below), (1, 3));
    assert_eq!(before.payment, after.payment);
    assert_ne!(before.sequence, after.sequence);
}

/// Whoever asks for a price by its own numbers is told it by them.
#[test]
fn r020_a_joiner_that_brings_more_than_was_quoted_is_refused_and_quoted_its_own_price() {
    let mut flow = hop(ByReceivers);
    assert_eq!(flow.on_ucpe(at(0), key(1), &pays(0, 1)), new());
    assert_eq!(required(&flow, 2), 45);
    let joins = Payment { payment: Rate(45), ..pays(0, 5) };
    assert_eq!(refused(flow.on_ucpe(at(0), key(2), &joins)).required, Rate(75));
    assert_eq!(required(&flow, 2), 75);
    let joins = Payment { payment: Rate(75), sequence: 2, ..joins };
    assert_eq!(flow.on_ucpe(at(1), key(2), &joins), new());
    assert_eq!(carried(&flow), [15, 75]);
    // Nobody who might still come is quoted by its numbers.
    assert_eq!(required(&flow, 3), 13);
}

/// By what flowspecs have beside a rate.
#[test]
fn r115_a_strategy_sees_the_flowspecs() {
    #[derive(Debug)]
    struct ByBucket;
    impl SplitPolicy for ByBucket {
        fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
            weights.extend(branches.iter().map(|b| b.flowspec.map_or(0, |f| f.bucket)));
        }
    }
    let spec =
        |rate, bucket| Flowspec { service: 2, rate, bucket, reserved: 2 * rate, slack_us: 0 };
    let sends = spec(900, 70);
    let play = |config: FlowConfig| {
        let mut flow = hop(EqualNextHop);
        flow.configure(at(0), &Arc::new(config), Some(sends));
        for (group, flowspec) in [(1, spec(100, 10)), (2, spec(200, 10))] {
            let payment = Payment { flowspec: Some(flowspec), ..pays(flowspec.rate, 1) };
            assert_eq!(flow.on_ucpe(at(0), key(group), &payment), new());
            assert_eq!(flow.last_payment(key(group)), Some(payment));
        }
        flow
    };
    let mut flow = play(by(ByBucket));
    assert_eq!(carried(&flow), [45, 45]);
    assert_eq!(required(&flow, 3), 70, "as if it reserved all that is sent");
    // It grows: the price of the others falls at once, its own is to be paid.
    let grows = Payment { flowspec: Some(spec(200, 20)), sequence: 2, ..pays(200, 1) };
    assert_eq!(flow.on_ucpe(at(1), key(2), &grows), again());
    assert_eq!(carried(&flow), [30, 60]);
    // What is set aside is not the token rate.
    let guaranteed = Flowspec { reserved: 800, ..spec(200, 20) };
    let mut flow = play(by(ByQuantity));
    assert_eq!(carried(&flow), [30, 60]);
    let grows = Payment { flowspec: Some(guaranteed), sequence: 2, ..pays(200, 1) };
    assert_eq!(flow.on_ucpe(at(1), key(2), &grows), again());
    assert_eq!(carried(&flow), [18, 72]);
    flow.remove_branch(at(2), key(2), Cause::Tear);
    assert_eq!(flow.last_payment(key(1)).unwrap().flowspec, Some(spec(100, 10)));
}

/// Next hops behind one interface share its price by the same weights.
#[test]
fn r020_the_price_of_a_link_of_many_is_shared_like_what_is_carried() {
    let mut flow = flow_with(by(ByReceivers), &dcpe(90, 0, UNIX), &[(1, 60)]);
    let second = BranchKey { hop: IpAddr::from([10, 0, 1, 3]), ..key(1) };
    assert_eq!(flow.on_ucpe(at(0), key(1), &pays(0, 1)), new());
    assert_eq!(flow.on_ucpe(at(0), second, &pays(0, 2)), new());
    let locals: Vec<_> = flow.branches().map(|b| (b.carried.0, b.local.0)).collect();
    assert_eq!(locals, [(30, 20), (60, 40)]);
}

/// Another strategy while reservations stand: falls at once, rises only when it is paid (T4, T5).
#[test]
fn r020_a_new_strategy_raises_nobody_who_does_not_pay_more() {
    let mut flow = hop(EqualNextHop);
    for (group, count) in [(1, 1), (2, 2)] {
        let payment = Payment { payment: Rate(45 * u64::from(3 - group)), ..pays(0, count) };
        let _ = flow.on_ucpe(at(0), key(group), &payment);
    }
    let _ = flow.on_ucpe(at(0), key(1), &Payment { payment: Rate(45), sequence: 2, ..pays(0, 1) });
    assert_eq!(carried(&flow), [45, 45]);
    flow.configure(at(1), &Arc::new(by(ByReceivers)), None);
    let agreed: Vec<_> = flow.branches().map(|b| (b.receiver_payment.0, b.required.0)).collect();
    assert_eq!(agreed, [(30, 30), (45, 60)]);
    assert_eq!(flow.carried_by_hop(), 15, "until the second agrees, or is gone");
    assert!(flow.branch(key(2)).unwrap().deadline.is_some());
    let agrees = Payment { payment: Rate(60), sequence: 2, ..pays(0, 2) };
    assert_eq!(flow.on_ucpe(at(2), key(2), &agrees), again());
    assert_eq!((carried(&flow), flow.carried_by_hop()), (vec![30, 60], 0));
}
