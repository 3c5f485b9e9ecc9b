//! Outages of what was reserved: measured, told and written down (charging.md T11).

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_daemon::engine::show::QualityView;
use lcm_daemon::ledger::record::{Body, Interruption, Outage};
use lcm_tests::sim::{Net, NodeId, Options, TreeNet};

use crate::support::link;

/// S 0 - A 1 - B 2 - R 3.
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
const R_MS: u64 = 30_000;
const H_MS: u64 = R_MS * 3 / 2 + 2_000;

fn chain(options: Options) -> TreeNet {
    let tree = Tree {
        links: vec![link(0, 0, 0, false), link(1, 100, 100, false), link(2, 60, 60, true)],
        fraction: Ppm::new(250_000).unwrap(),
        ..Tree::default()
    };
    let mut play = TreeNet::new(&tree, options, true);
    play.net.run_ms(2_000);
    play.join(R);
    play.rest();
    play
}

/// How the only reservation that a node holds has fared.
fn quality(net: &Net, node: NodeId) -> QualityView {
    let held = net.node(node).engine().show_reservations(net.clock(node));
    held[0].charging.as_ref().unwrap().quality.clone()
}

fn outages(net: &Net, node: NodeId) -> Vec<Outage> {
    let of = |body: &Body| match body {
        Body::Outage(outage) => Some(outage.clone()),
        _ => None,
    };
    net.node(node).records().iter().filter_map(|(_, body)| of(body)).collect()
}

#[test]
fn r007_silence_above_is_an_outage_until_it_stands_again() {
    let mut play = chain(Options::default());
    let before = quality(&play.net, B);
    assert!(before.in_place_ms > Some(0), "{before:?}");
    assert_eq!((before.outages, before.outage_ms, before.outage), (0, 0, None));
    assert_eq!(play.net.node(B).engine().counters().outages.len(), 0);
    play.net.mute(A, true);
    play.net.run_ms(2 * H_MS + 1_000);
    let out = quality(&play.net, B);
    assert_eq!((out.in_place_ms, out.outage.as_deref(), out.outages), (None, Some("silent"), 1));
    // It counts from the last word, which was repeated every R.
    let most = 2 * H_MS + 1_000 + R_MS * 3 / 2;
    assert!((2 * H_MS..=most).contains(&out.outage_ms), "{out:?}");
    // Who is below hears of it from B.
    assert_eq!(quality(&play.net, R).outage.as_deref(), Some("withdrawn"));
    play.net.mute(A, false);
    play.net.run_ms(3 * R_MS);
    let back = quality(&play.net, B);
    assert!(back.in_place_ms > Some(0), "{back:?}");
    assert_eq!((back.outages, back.outage), (1, None));
    let [begun, over] = &outages(&play.net, B)[..] else { panic!("{:?}", outages(&play.net, B)) };
    assert_eq!((begun.why, begun.over, over.over), (Interruption::Silent, false, true));
    assert_eq!(begun.from_ms, over.from_ms);
    assert!(begun.at_ms - begun.from_ms == 2 * H_MS, "{begun:?}");
    assert_eq!(back.outage_ms, over.at_ms - over.from_ms);
    let counters = play.net.node(B).engine().counters();
    assert_eq!((counters.outages["silent"], counters.outage_ms), (1, back.outage_ms));
    // The journal is sound with it, and nobody was promised anything for it.
    play.net.metered();
    assert!(counters_of(&play.net).iter().all(|given| *given == 0));
}

fn counters_of(net: &Net) -> Vec<u64> {
    let refunds = |node| net.node(node).engine().counters().refunds.values().sum();
    [A, B, R].map(refunds).to_vec()
}

#[test]
fn r007_hello_finds_a_dead_hop_long_before_2h() {
    let mut options = Options::default();
    options.config.hello_ms = 2_000;
    options.config.reducing = Some(0);
    let mut play = chain(options);
    play.net.mute(A, true);
    play.net.run_ms(10_000);
    let out = quality(&play.net, B);
    assert_eq!((out.outage.as_deref(), out.outages), (Some("silent"), 1), "{}", play.net.story());
    let before = play.net.metered();
    play.net.run_ms(R_MS);
    assert_eq!(play.net.metered()[&pair()], before[&pair()], "and nobody pays for it");
    play.net.mute(A, false);
    play.net.run_ms(3 * R_MS);
    assert!(quality(&play.net, B).in_place_ms.is_some());
}

fn pair() -> lcm_tests::sim::Pair {
    lcm_tests::sim::Pair { payee: B, payer: R }
}

#[test]
fn r007_leaving_and_a_message_that_is_lost_are_no_outages() {
    let mut play = chain(Options::default());
    play.net.mute(A, true);
    play.net.run_ms(R_MS * 3 / 2);
    play.net.mute(A, false);
    play.rest();
    assert_eq!((quality(&play.net, B).outages, quality(&play.net, R).outages), (0, 0));
    play.leave(R);
    play.rest();
    for node in [A, B, R] {
        assert_eq!(outages(&play.net, node), []);
        assert!(play.net.node(node).engine().counters().outages.is_empty());
    }
}
