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

/// Two receivers behind the router 2; the disk's writes take so long.
fn two_receivers(disk_us: u64) -> TreeNet {
    let tree = charging_model::tree::Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 100, 100, false),
            link(2, 60, 60, true),
            link(2, 40, 40, true),
        ],
        ..Default::default()
    };
    let options = Options { record_us: (disk_us, disk_us), ..Options::default() };
    let mut play = TreeNet::new(&tree, options, true);
    play.join(3);
    play.rest();
    play.assert_agrees();
    play
}

/// Code 02 value 10: the books are closed.
fn refusals(play: &TreeNet, node: usize) -> u64 {
    let sent = &play.net.node(node).engine().counters().resv_errors_sent;
    sent.get(&(2, 10)).copied().unwrap_or_default()
}

#[test]
fn r047_while_a_disk_fails_nothing_new_is_agreed_to_and_what_stands_goes_on() {
    let mut play = two_receivers(1_000);
    play.net.fail_disk(2);
    play.join(4);
    play.net.run_ms(100_000);
    assert!(refusals(&play, 2) >= 1, "the joiner is told");
    let refused = play.receiving.remove(&4).unwrap();
    play.assert_agrees();
    play.assert_metered(100_000);
    play.receiving.insert(4, refused);
    play.net.mend_disk(2);
    play.rest();
    play.assert_agrees();
    play.assert_metered(20_000);
    play.net.assert_promise();
}

#[test]
fn r047_a_consent_on_its_way_to_a_disk_that_fails_is_refused() {
    let mut play = two_receivers(400_000);
    let before = play.net.node(2).records().len();
    play.join(4);
    // It reserves when the next PATH quotes it.
    while play.net.node(2).engine().sizes().2 < 2 {
        play.net.run_ms(1);
    }
    play.net.fail_disk(2);
    assert_eq!(refusals(&play, 2), 1);
    assert_eq!(play.net.node(2).engine().sizes().2, 1, "it does not stand");
    assert_eq!(play.net.node(2).records().len(), before, "nothing became durable");
    play.net.run_ms(60_000);
    play.net.mend_disk(2);
    play.rest();
    play.assert_agrees();
    play.assert_metered(20_000);
    play.net.assert_promise();
}

#[test]
fn r006_r047_disks_that_fail_now_and_then_cost_nobody_money() {
    for seed in seeds(60) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let options = Options { seed, record_us: (1_000, 50_000), ..Options::default() };
        let mut play = TreeNet::new(&tree, options, false);
        let all = receivers(&play);
        let nodes = play.net.topology.nodes.len();
        let mut failed = std::collections::BTreeSet::new();
        for _ in 0..24 {
            let node = rng.usize(..nodes);
            match rng.u8(..4) {
                0 if failed.insert(node) => play.net.fail_disk(node),
                1 if failed.remove(&node) => play.net.mend_disk(node),
                _ => {
                    let receiver = all[rng.usize(..all.len())];
                    if play.receiving.contains_key(&receiver) {
                        play.leave(receiver)
                    } else {
                        play.join(receiver)
                    }
                }
            }
            play.net.run_ms(rng.u64(0..9_000));
        }
        failed.into_iter().for_each(|node| play.net.mend_disk(node));
        play.net.run_ms(200_000);
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

/// What the router 2 has received from the receiver 3.
fn earned(play: &mut TreeNet) -> i128 {
    let books = play.net.metered();
    let from_3 = books.iter().find(|(pair, _)| (pair.payee, pair.payer) == (2, 3));
    from_3.map_or(0, |(_, metered)| metered.receiver_payment)
}

#[test]
fn r006_nobody_is_charged_while_a_router_sleeps() {
    let mut play = two_receivers(1_000);
    let rate = 160;
    let (start, before) = (play.net.now_us(), earned(&mut play));
    play.net.sleep_ms(2, 40_000);
    // Nobody has missed it yet: its approvals hold for 47 s.
    play.rest();
    let elapsed = i128::from((play.net.now_us() - start) / 1_000);
    assert_eq!(earned(&mut play) - before, rate * (elapsed - 40_000));
    play.assert_agrees();
    play.net.assert_promise();
    // This time it sleeps for so long that all that it knew has lapsed.
    let (start, before) = (play.net.now_us(), earned(&mut play));
    play.net.sleep_ms(2, 7_200_000);
    play.net.run_ms(400_000);
    play.assert_agrees();
    let awake = i128::from((play.net.now_us() - start) / 1_000) - 7_200_000;
    let charged = earned(&mut play) - before;
    assert!(charged <= rate * awake, "{charged} for {awake} ms");
    play.net.assert_promise();
}

#[test]
fn r006_a_wall_clock_that_jumps_moves_no_amount() {
    for ahead_s in [86_400, -86_400, 400 * 86_400] {
        let mut play = two_receivers(1_000);
        let (start, before) = (play.net.now_us(), earned(&mut play));
        play.net.set_wall_clock(2, ahead_s);
        play.net.run_ms(200_000);
        let elapsed = i128::from((play.net.now_us() - start) / 1_000);
        assert_eq!(earned(&mut play) - before, 160 * elapsed);
        play.assert_agrees();
    }
}

#[test]
fn r003_books_that_begin_anew_say_all_that_stands() {
    for seed in seeds(40) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, Options { seed, ..Options::default() }, false);
        let all = receivers(&play);
        all.iter().for_each(|node| play.join(*node));
        play.net.run_ms(rng.u64(0..70_000));
        for node in 0..play.net.topology.nodes.len() {
            play.net.begin_books_anew(node);
        }
        play.net.run_ms(rng.u64(0..70_000));
        play.leave(all[rng.usize(..all.len())]);
        play.rest();
        play.assert_agrees();
        // Reading the books compares them with what the records come to.
        play.assert_metered(20_000);
    }
}

/// How the consents of the receiver 3 ended at the router 2.
fn endings(play: &TreeNet) -> Vec<bool> {
    let records = play.net.node(2).records().iter();
    let ends = records.filter_map(|(_, body)| match &**body {
        Body::Closed(closed) => Some(closed.orderly),
        _ => None,
    });
    ends.collect()
}

#[test]
fn a_tear_ends_a_consent_in_order_and_silence_does_not() {
    let mut play = two_receivers(1_000);
    play.leave(3);
    play.net.run_ms(1_000);
    assert_eq!(endings(&play), [true], "RESVTEAR");
    play.join(3);
    play.rest();
    play.net.mute(3, true);
    play.net.run_ms(200_000);
    assert_eq!(endings(&play), [true, false], "nothing more was heard");
    let mut play = two_receivers(1_000);
    play.stop_sending();
    play.net.run_ms(1_000);
    assert_eq!(endings(&play), [true], "PATHTEAR");
}

#[test]
fn r047_no_flow_is_served_before_its_consent_is_durable() {
    let mut play = two_receivers(400_000);
    assert_eq!(play.net.node(2).traffic().len(), 1);
    play.join(4);
    while play.net.node(2).engine().sizes().2 < 2 {
        play.net.run_ms(1);
    }
    assert_eq!(play.net.node(2).traffic().len(), 1, "it is admitted, and not yet written down");
    play.net.run_ms(500);
    assert_eq!(play.net.node(2).traffic().len(), 2);
}
