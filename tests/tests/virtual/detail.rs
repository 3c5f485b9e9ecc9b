//! Where charges arise, told to those who ask as far as the providers tell.

use charging_model::tree::{Link, Tree};
use charging_model::{Ppm, Rate};
use lcm_daemon::config::HopRecords;
use lcm_daemon::engine::{HopCharge, NoticeEvent};
use lcm_daemon::ledger::record::{Arises, Body, Payment};
use lcm_tests::sim::{NodeConfig, NodeId, Options, TreeNet};
use rsvp_wire::charging::HopRecord;
use rsvp_wire::{Message, MessageType};

use crate::support::figure::{IS2, IS3, NAMES, R1, R2, figure};
use crate::support::{link, random_tree, seeds};
use crate::trees::receivers;

fn options(hop_record: HopRecords) -> Options {
    Options { config: NodeConfig { hop_record, ..NodeConfig::default() }, ..Options::default() }
}

/// What a receiver was told last.
fn told(play: &TreeNet, node: NodeId) -> Vec<HopCharge> {
    let notices = play.net.node(node).notices().iter().rev();
    let arises = |event: &NoticeEvent| match event {
        NoticeEvent::Arises { parts, .. } => Some(parts.clone()),
        _ => None,
    };
    notices.map(|notice| arises(&notice.event)).find(Option::is_some).flatten().unwrap_or_default()
}

/// The same in names and rates.
fn named(play: &TreeNet, node: NodeId) -> Vec<(String, u64)> {
    let name = |part: &HopCharge| {
        let owner = |hop| (0..play.net.topology.nodes.len()).find(|id| owns(play, *id, hop));
        match part.hop.map(owner) {
            Some(id) => play.net.topology.nodes[id.expect("a node")].name.clone(),
            None => "-".to_owned(),
        }
    };
    told(play, node).iter().map(|part| (name(part), part.rate)).collect()
}

fn owns(play: &TreeNet, node: NodeId, address: std::net::IpAddr) -> bool {
    let family = play.net.family();
    let on = |link| play.net.topology.address_on(family, node, link) == address;
    play.net.address(node) == address || play.net.topology.links_of(node).any(on)
}

fn is(told: &[(String, u64)], expected: &[(&str, u64)]) -> bool {
    told.iter().map(|(name, rate)| (&**name, *rate)).eq(expected.iter().copied())
}

/// The records that went from a node to a neighbour last.
fn sent(play: &TreeNet, link: usize, from: NodeId) -> Vec<HopRecord> {
    let dcpe = play.net.log.last_dcpe(link, from, play.sender).unwrap();
    dcpe.terms.hop_records().to_vec()
}

fn arises(play: &TreeNet, node: NodeId, payment: Payment) -> Vec<Arises> {
    let of = |body: &Body| match body {
        Body::Arises(arises) if arises.meter.payment == payment => Some(arises.clone()),
        _ => None,
    };
    play.net.node(node).records().iter().filter_map(|(_, body)| of(body)).collect()
}

#[test]
fn r012_receivers_that_ask_are_told_where_their_charges_arise() {
    let mut play = TreeNet::named(&figure(), &NAMES, options(HopRecords::All), false);
    play.join_asking(R1);
    play.join_asking(R2);
    play.rest();
    play.net.run_ms(60_000);
    assert!(is(&named(&play, R1), &[("IS1", 50), ("IS2", 40)]), "{:?}", named(&play, R1));
    let all = [("IS1", 50), ("IS2", 60), ("IS3", 50)];
    assert!(is(&named(&play, R2), &all), "{:?}", named(&play, R2));
    play.assert_agrees();
    // What a customer was told stands in the books of both, and explains each rate that is paid.
    let at = arises(&play, IS3, Payment::ReceiverIn);
    let (last, first) = (at.last().unwrap(), &arises(&play, R2, Payment::ReceiverOut)[0]);
    assert_eq!(last.parts.iter().map(|(_, rate)| *rate).collect::<Vec<_>>(), [50, 60, 50]);
    assert_eq!(first.parts.len(), 2, "IS3 was told nothing before it asked: {first:?}");
    assert_eq!(arises(&play, R2, Payment::ReceiverOut).last().unwrap().parts, last.parts);
    let of_payment: Vec<u64> = last.of_rate(112).into_iter().map(|(_, rate)| rate).collect();
    assert_eq!(of_payment, [35, 42, 35]);
    let shown = play.net.node(R2).engine().show_sessions(play.net.clock(R2));
    let down = shown[0].senders[0].charging.clone().unwrap();
    assert_eq!((down.arises, down.total_charge), (told(&play, R2), 160));
    play.net.assert_promise();
    // Alone, R2 carries all of what was shared, and is told.
    play.leave(R1);
    play.rest();
    play.net.run_ms(60_000);
    let all = [("IS1", 100), ("IS2", 60), ("IS3", 50)];
    assert!(is(&named(&play, R2), &all), "{:?}", named(&play, R2));
}

/// Nobody asks: whatever providers would tell, no octet is another one, and nothing is written.
#[test]
fn r013_at_level_0_no_record_travels() {
    let digest = |hop_record| {
        let mut play = TreeNet::named(&figure(), &NAMES, options(hop_record), false);
        play.join(R1);
        play.join(R2);
        play.net.run_ms(120_000);
        for node in [IS2, R2] {
            assert!(arises(&play, node, Payment::ReceiverIn).is_empty());
            assert!(told(&play, node).is_empty());
        }
        play.net.log.digest()
    };
    assert_eq!(digest(HopRecords::All), digest(HopRecords::None));
}

/// Beside one that asks: R1 is told nothing, and neither are the hops between R2 and it.
#[test]
fn r013_who_does_not_ask_is_told_nothing_though_others_are() {
    let mut play = TreeNet::named(&figure(), &NAMES, options(HopRecords::All), false);
    play.join(R1);
    play.join_asking(R2);
    play.net.run_ms(120_000);
    assert_eq!((sent(&play, 3, IS2).len(), sent(&play, 2, IS2).len()), (0, 2));
    assert!(told(&play, R1).is_empty());
    // Who asked has left: the next refresh says so, and records end.
    play.leave(R2);
    play.net.run_ms(120_000);
    assert!(sent(&play, 1, 1).is_empty());
    let asks = play.net.log.newest(1, IS2, MessageType::Resv).next().unwrap();
    let Ok(Message::Resv(_)) = Message::parse(play.net.log.bytes(asks)) else { panic!() };
    let ucpe = play.net.log.last_ucpe(1, IS2, play.sender).unwrap();
    assert!(ucpe.terms.hop_records().is_empty());
}

#[test]
fn r012_a_hop_that_does_not_tell_is_a_sum_of_what_is_hidden() {
    for (silent, policy, expected) in [
        (2, HopRecords::None, vec![("-", 110), ("IS3", 50)]),
        (2, HopRecords::Own, vec![("-", 50), ("IS2", 60), ("IS3", 50)]),
        (3, HopRecords::Own, vec![("-", 110), ("IS3", 50)]),
        (1, HopRecords::None, vec![("-", 50), ("IS2", 60), ("IS3", 50)]),
        (3, HopRecords::None, vec![("-", 160)]),
    ] {
        let mut play = TreeNet::named(&figure(), &NAMES, options(HopRecords::All), false);
        play.net.configure(silent, |config| {
            config.charging.as_mut().unwrap().general.hop_record = policy;
        });
        play.net.run_ms(60_000);
        play.join_asking(R1);
        play.join_asking(R2);
        play.net.run_ms(120_000);
        let told = named(&play, R2);
        assert!(is(&told, &expected), "IS{silent} {policy:?}: {told:?}, not {expected:?}");
    }
}

/// A hop asks later than its neighbours, for a receiver that joins where the tree stands already.
#[test]
fn r012_a_receiver_that_joins_a_standing_tree_is_told_soon() {
    let mut play = TreeNet::named(&figure(), &NAMES, options(HopRecords::All), true);
    play.net.run_ms(60_000);
    play.join(R1);
    play.net.run_ms(100_000);
    play.join_asking(R2);
    // Its host does not keep what it hears before it joins: the next PATH, and a few seconds.
    play.net.run_ms(50_000);
    let all = [("IS1", 50), ("IS2", 60), ("IS3", 50)];
    assert!(is(&named(&play, R2), &all), "{:?}", named(&play, R2));
}

/// Random trees and permissions: what is told adds up to what is charged, tells of nobody who does
/// not permit it, and of all who do.
#[test]
fn r012_random_trees_are_told_of_to_those_who_ask() {
    for seed in seeds(150) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let options = Options { seed, ..options(HopRecords::All) };
        let mut play = TreeNet::new(&tree, options, false);
        let routers: Vec<NodeId> =
            (1..=tree.links.len()).filter(|node| !tree.links[node - 1].receives).collect();
        let policies = [HopRecords::All, HopRecords::All, HopRecords::Own, HopRecords::None];
        let mut policy = vec![HopRecords::All; tree.links.len() + 1];
        for node in routers {
            policy[node] = policies[rng.usize(0..4)];
            let policy = policy[node];
            play.net.configure(node, |config| {
                config.charging.as_mut().unwrap().general.hop_record = policy;
            });
        }
        play.net.run_ms(60_000);
        let all = receivers(&play);
        let asking: Vec<NodeId> = all.iter().copied().filter(|_| rng.bool()).collect();
        for node in &all {
            if asking.contains(node) {
                play.join_asking(*node);
            } else {
                play.join(*node);
            }
        }
        play.rest();
        play.net.run_ms(120_000);
        play.assert_agrees();
        for node in all {
            let told = told(&play, node);
            if !asking.contains(&node) {
                assert!(told.is_empty(), "seed {seed}");
                continue;
            }
            check(&play, &policy, node, &told, seed);
        }
    }
}

/// Compares what a receiver was told with who permits what on its path.
fn check(play: &TreeNet, policy: &[HopRecords], node: NodeId, told: &[HopCharge], seed: u64) {
    let parent = |node: NodeId| play.tree.links[node - 1].parent;
    let mut expected = Vec::new();
    let (mut hop, mut open) = (parent(node), true);
    while hop > 0 && open {
        match policy[hop] {
            HopRecords::None => break,
            own => open = own == HopRecords::All,
        }
        expected.push(hop);
        hop = parent(hop);
    }
    expected.reverse();
    let sum: u64 = told.iter().map(|part| part.rate).sum();
    let charge = play.solution().links[node - 1].unwrap().total;
    assert_eq!(Rate(sum), charge, "seed {seed}, node {node}: {told:?}");
    let hops: Vec<_> = told.iter().filter_map(|part| part.hop).collect();
    assert_eq!(hops.len(), expected.len(), "seed {seed}, node {node}: {told:?}, {expected:?}");
    for (hop, node) in hops.iter().zip(&expected) {
        assert!(owns(play, *node, *hop), "seed {seed}: {told:?}, not {expected:?}");
    }
    if let Some(last) = told.last().filter(|last| last.hop.is_some()) {
        let Link { local, .. } = play.tree.links[node - 1];
        assert_eq!(Rate(last.rate), local, "seed {seed}: the last hop's own price is its alone");
    }
}

/// Behind a border the parts are those of the charge in the receiver's currency.
#[test]
fn r012_parts_in_another_currency_are_parts_of_what_it_comes_to() {
    let links = vec![
        link(0, 0, 0, false),
        link(1, 100, 100, false),
        link(2, 51, 51, false),
        link(3, 40, 40, true),
    ];
    let tree = Tree { links, fraction: Ppm::new(200_000).unwrap(), ..Tree::default() };
    let mut options = options(HopRecords::All);
    // S, A and B reckon in dollars, of which three are two euros.
    options.config.abroad = &[0, 1, 2];
    options.config.border = Some((3, 2, (2, 3), None));
    let mut play = TreeNet::named(&tree, &["S", "A", "B", "C", "R"], options, false);
    play.join_asking(4);
    play.net.run_ms(150_000);
    let told = named(&play, 4);
    assert!(is(&told, &[("A", 66), ("B", 34), ("C", 40)]), "{told:?}");
}

/// Of a longer way only so much is told: the rest is a sum of what lies furthest.
#[test]
fn r012_records_are_bounded_in_number_and_size() {
    let mut links = vec![link(0, 0, 0, false)];
    links.extend((1..24).map(|parent| link(parent, 10, 10, false)));
    links.push(link(24, 10, 10, true));
    let tree = Tree { links, ..Tree::default() };
    let mut play = TreeNet::new(&tree, options(HopRecords::All), false);
    play.join_asking(25);
    play.net.run_ms(240_000);
    let told = told(&play, 25);
    assert_eq!((told.len(), told[0].clone()), (16, HopCharge { hop: None, rate: 90 }));
    assert!(told[1..].iter().all(|part| part.hop.is_some() && part.rate == 10), "{told:?}");
    let longest = play.net.log.crossings().iter().map(|c| play.net.log.bytes(c).len()).max();
    assert!(longest < Some(600), "{longest:?}");
}
