//! No RESV leaves before what it rests on is durable.

use lcm_daemon::ledger::record::{Body, Consent};
use lcm_tests::sim::{Options, TreeNet};
use rsvp_wire::MessageType;

use crate::support::{link, random_tree, seeds};
use crate::trees::receivers;

/// `Net` itself panics when a RESV leaves before the records of its session are acknowledged.
#[test]
fn r023_r047_random_networks_with_slow_disks() {
    for seed in seeds(200) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let options = Options { seed, record_us: (1_000, 700_000), ..Options::default() };
        let mut play = TreeNet::new(&tree, options, false);
        let all = receivers(&play);
        for _ in 0..12 {
            let node = all[rng.usize(..all.len())];
            if play.receiving.contains_key(&node) {
                play.leave(node)
            } else {
                play.join(node)
            }
            play.net.run_ms(rng.u64(0..500));
        }
        play.net.run_ms(60_000);
        play.assert_agrees();
        play.assert_metered(20_000);
    }
}

/// On a chain each hop's disk delays the RESV by its 100 ms, and every consent has one record.
#[test]
fn r025_r047_a_record_precedes_each_hop_of_the_resv() {
    let tree = charging_model::tree::Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 100, 100, false),
            link(2, 60, 60, false),
            link(3, 40, 40, true),
        ],
        ..Default::default()
    };
    let disk_us = 100_000;
    let options = Options { record_us: (disk_us, disk_us), ..Options::default() };
    let mut play = TreeNet::new(&tree, options, true);
    play.net.run_ms(1_000);
    let start = play.net.now_us();
    play.join(4);
    play.net.run_ms(50_000);
    let resvs = play.net.log.crossings().iter().filter(|c| c.message_type == MessageType::Resv);
    let firsts: Vec<u64> = [4, 3, 2, 1]
        .map(|node| resvs.clone().find(|c| c.from == node).unwrap().at)
        .into_iter()
        .collect();
    assert!(firsts[0] > start, "the PATH came again first");
    for pair in firsts.windows(2) {
        assert_eq!(pair[1] - pair[0], disk_us + 1_000, "{firsts:?}");
    }
    for node in [1, 2, 3, 4] {
        assert_eq!(consents(&play, node).len(), 1, "{:?}", play.net.node(node).records());
    }
    let consent = &consents(&play, 3)[0];
    assert_eq!(consent.ceiling, 200);
    assert_ne!(consent.digest, [0; 16], "it came with a message");
}

fn consents(play: &TreeNet, node: usize) -> Vec<Consent> {
    let records = play.net.node(node).records().iter();
    let consents = records.filter_map(|(_, body)| match &**body {
        Body::Consent(consent) => Some(consent.clone()),
        _ => None,
    });
    consents.collect()
}
