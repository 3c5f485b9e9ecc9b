//! Requirements that the figure shows at other settings, and the strategies of a split.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use charging_model::flow::Limits;
use charging_model::split::{ByQuantity, ByReceivers, OperatorWeights};
use charging_model::*;
use common::{Net, SENDER, Will, account, figure, key, link, local_key, terms};

const R1: usize = 4;
const R2: usize = 5;

/// The figure with both receivers, at a fraction and limits.
fn joined(ppm: u32, limits: Limits) -> Net {
    let mut tree = figure(40);
    (tree.fraction, tree.limits) = (Ppm::new(ppm).unwrap(), limits);
    let mut net = Net::new(&tree);
    for node in [R2, R1] {
        net.join(node, Will::Any);
        net.pump();
    }
    net.assert_agrees(&tree);
    net
}

fn quote(net: &Net, node: usize) -> Quote {
    net.nodes[net.nodes[node].parent].flow.quote(node as u32).unwrap()
}

fn own(net: &Net, node: usize) -> OwnPayment {
    net.nodes[node].flow.preview_payment().unwrap()
}

#[test]
fn r014_a_sender_can_pay_everything() {
    let net = joined(1_000_000, Limits::default());
    for node in 2..=R2 {
        assert_eq!(quote(&net, node).receiver_payment(), Rate(0));
    }
    assert_eq!(net.rates(), [-250, 100, 100, 50, 0, 0]);
}

#[test]
fn r015_receivers_can_pay_everything() {
    let net = joined(0, Limits::default());
    for node in 1..=R2 {
        assert_eq!(own(&net, node).sender_payment, Rate(0));
    }
    assert_eq!(net.rates(), [0, 100, 100, 50, -90, -160]);
}

#[test]
fn r017_the_fraction_is_honoured_at_each_hop() {
    for ppm in [1, 123_456, 999_999] {
        let net = joined(ppm, Limits::default());
        for node in 2..=R2 {
            let q = quote(&net, node);
            assert_eq!(q.fraction.get(), ppm);
            assert_eq!(
                u128::from(q.sponsored.0),
                (u128::from(ppm) * q.total.wide()).div_ceil(1_000_000)
            );
        }
    }
}

#[test]
fn r018_a_limit_per_receiver_bounds_what_the_sender_pays() {
    for limit in 0..120 {
        let limits = Limits { per_receiver: Some(Rate(limit)), ..Limits::default() };
        let net = joined(700_000, limits);
        for node in [R1, R2] {
            assert!(quote(&net, node).sponsored.0 <= limit, "limit {limit}");
        }
        assert!(-net.rates()[SENDER] <= 2 * i128::from(limit));
    }
}

#[test]
fn r031_r040_r071_charges_add_up_along_the_path() {
    let net = joined(300_000, Limits::default());
    for node in 2..=R2 {
        let q = quote(&net, node);
        assert_eq!(q.total.0, q.carried.0 + q.local.0);
    }
    assert_eq!(quote(&net, R1).total.0 + quote(&net, R2).total.0, 100 + 60 + 40 + 50);
}

#[test]
fn r005_r074_no_charge_exceeds_the_maximum_announced_before_anyone_joined() {
    let mut net = Net::new(&figure(40));
    let announced: Vec<_> = (1..=R2).map(|node| quote(&net, node).max_total).collect();
    assert_eq!(announced, [0, 120, 190, 200, 250].map(Rate));
    for (node, joins) in [(R1, true), (R2, true), (R1, false), (R1, true), (R2, false)] {
        if joins {
            net.join(node, Will::Any)
        } else {
            net.leave(node)
        }
        net.pump();
        for (node, max) in (1..=R2).zip(&announced) {
            assert!(quote(&net, node).total <= *max);
        }
    }
}

#[test]
fn r059_r094_r096_both_ends_know_the_totals() {
    let net = joined(300_000, Limits::default());
    let info = own(&net, 1);
    assert_eq!((info.payment, info.sender_payment), (Rate(175), Rate(75)));
    assert_eq!((info.announced_total, info.local_sum), (Rate(250), Rate(250)));
    assert_eq!(net.nodes[R2].flow.downstream().unwrap().total, Rate(160));
    // A − B = C_j on every link, and what the receivers below paid is A − S_j − SP.
    for node in 1..=R2 {
        let (own, down) = (own(&net, node), net.nodes[node].flow.downstream().unwrap());
        assert_eq!(own.announced_total.0 - own.local_sum.0, down.total.0);
    }
}

#[test]
fn r097_the_sender_announces_zeros_and_its_own_terms() {
    let limits = Limits { max_hops: Some(7), ..Limits::default() };
    let mut tree = figure(40);
    tree.limits = limits;
    let q = quote(&Net::new(&tree), 1);
    assert_eq!((q.total, q.max_total, q.fraction.get()), (Rate(0), Rate(0), 300_000));
    assert_eq!(q.limits, limits, "the sender is no hop");
    assert_eq!(quote(&Net::new(&tree), 2).limits.max_hops, Some(6));
}

#[test]
fn r099_a_receiver_computes_what_it_pays_from_the_announcement() {
    let net = joined(300_000, Limits::default());
    let down = net.nodes[R2].flow.downstream().unwrap();
    assert_eq!((down.claim(), own(&net, R2).payment), (Rate(112), Rate(112)));
}

#[test]
fn r030_r039_every_posting_joins_neighbours() {
    let mut net = joined(300_000, Limits::default());
    let _ = net.take_all();
    net.run_to(60_000);
    let now = Millis(net.now);
    let mut pairs = BTreeMap::new();
    for node in 0..net.nodes.len() {
        net.nodes[node].flow.checkpoint(now);
        for posting in net.nodes[node].flow.take_postings() {
            assert_eq!(posting.segment.to, now);
            if let Entry::ReceiverPaymentFrom(k) = posting.entry
                && !k.is_local()
            {
                assert_eq!(posting.account, Some(account(k.group as usize)));
                pairs.insert((k.group as usize, node), posting.segment.rate.0);
            }
        }
    }
    let chain = [((2, 1), 70), ((3, 2), 77), ((R1, 2), 63), ((R2, 3), 112)];
    assert_eq!(pairs.into_iter().collect::<Vec<_>>(), chain);
}

#[test]
fn r103_a_small_change_changes_the_shares_of_its_own_branch() {
    let mut net = joined(0, Limits::default());
    let before = [2, 3, R2].map(|node| quote(&net, node).total);
    net.set_price(R1, 41);
    net.pump();
    assert_eq!([2, 3, R2].map(|node| quote(&net, node).total), before);
    assert_eq!(quote(&net, R1).total, Rate(91));
}

/// A hop charged 90 with two branches at price 0, of which the first reserves twice as much for
/// twice as many receivers.
fn split_by(policy: impl SplitPolicy + 'static) -> [u64; 2] {
    let config = FlowConfig { policy: Arc::new(policy), ..FlowConfig::default() };
    let mut flow = Flow::new(Arc::new(config));
    let clock = Clock::default();
    let said = Announcement { total: Rate(90), max_total: Rate(90), ..terms(0, Limits::default()) };
    let _ = flow.on_dcpe(clock, &said).unwrap();
    for (node, times) in [(1, 2), (2, 1)] {
        flow.set_group(clock, node, Price::default()).unwrap();
        let payment = Payment {
            payment: Rate(90),
            announced_total: Rate(0),
            sender_payment: Rate(0),
            local_sum: Rate(0),
            epoch_echo: 0,
            sequence: 1,
            instance: 1,
            account: account(1),
            refresh: Span(30_000),
            quantity: 1_000 * u64::from(times),
            receivers_below: times,
            flowspec: None,
            limits: Limits::default(),
        };
        let verdict = flow.on_ucpe(clock, key(node as usize), &payment);
        assert_eq!(verdict, Verdict::Accepted { new: true });
    }
    [1, 2].map(|node| flow.branch(key(node)).unwrap().carried.0)
}

#[test]
fn r020_r115_strategies_see_what_is_reserved_and_for_how_many() {
    assert_eq!(split_by(EqualNextHop), [45, 45]);
    assert_eq!(split_by(ByQuantity), [60, 30]);
    assert_eq!(split_by(ByReceivers), [60, 30]);
    let weights = OperatorWeights {
        by_hop: BTreeMap::from([(key(2).hop, 8)]),
        otherwise: 1,
        ..Default::default()
    };
    assert_eq!(split_by(weights), [10, 80]);
}

#[test]
fn r020_equal_link_split_downstream_charges_each_receiver_its_part_of_every_link() {
    // One link of 60 above three receivers: two behind a link of 40, one behind a link of 9.
    let tree = tree::Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 60, 60, false),
            link(2, 40, 40, false),
            link(2, 9, 9, true),
            link(3, 0, 0, true),
            link(3, 0, 0, true),
        ],
        ..tree::Tree::default()
    };
    let config = FlowConfig { policy: Arc::new(ByReceivers), ..FlowConfig::default() };
    let mut net = Net::with(&tree, config);
    for node in [4, 5, 6] {
        net.join(node, Will::Any);
        net.pump();
    }
    let totals =
        [4, 5, 6].map(|node| net.nodes[node].flow.branch(local_key(node)).unwrap().total.0);
    assert_eq!(totals, [20 + 9, 20 + 20, 20 + 20]);
}
