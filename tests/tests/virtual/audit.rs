//! Neighbours that contradict themselves or us are noticed on the link where they do, told once with
//! the evidence, and as configured refused (charging.md section 1, Audit; paper sections 2 and 4).

use charging_model::Ppm;
use charging_model::flow::Limits;
use charging_model::tree::Tree;
use lcm_daemon::config::OnInconsistency;
use lcm_daemon::engine::{Alarm, AlarmKind};
use lcm_daemon::packet::PacketMeta;
use lcm_tests::sim::{Crossing, NodeConfig, NodeId, Options, TreeNet};
use rsvp_wire::MessageType;

use crate::support::{link, networks, random_tree, seeds};

/// S 0 - A 1 - B 2 - R 3, and C 4 below A with the receiver Q 5.
const S: NodeId = 0;
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
const C: NodeId = 4;
const Q: NodeId = 5;
const R_MS: u64 = 30_000;
const H_MS: u64 = R_MS * 3 / 2 + 2_000;
/// A refresh comes after 1.5 R at the latest, and what it says is told upwards within 500 ms.
const SOON_MS: u64 = R_MS * 3 / 2 + 2_000;

const DCPE: [u8; 2] = [0xD0, 0x01];
const UCPE: [u8; 2] = [0xD0, 0x02];

fn options(on_inconsistency: OnInconsistency) -> Options {
    let config = NodeConfig { on_inconsistency, ..NodeConfig::default() };
    Options { config, keep_packets: true, ..Options::default() }
}

fn tree(limits: Limits) -> Tree {
    let links = vec![
        link(0, 0, 0, false),
        link(1, 100, 120, false),
        link(2, 60, 60, true),
        link(1, 80, 80, false),
        link(4, 50, 50, true),
    ];
    Tree { links, fraction: Ppm::new(250_000).unwrap(), limits }
}

/// The network with both receivers, at rest.
fn at_rest(limits: Limits, options: Options) -> TreeNet {
    let mut play = TreeNet::new(&tree(limits), options, false);
    play.join(R);
    play.join(Q);
    play.rest();
    play
}

/// Changes the u64 at an offset of the first element of a P-Type in a message.
fn alter(message: &mut [u8], ptype: [u8; 2], offset: usize, change: fn(u64) -> u64) {
    let Some(at) = message.windows(2).position(|pair| pair == ptype) else { return };
    let field = &mut message[at - 2 + offset..][..8];
    let value = u64::from_be_bytes(field.try_into().unwrap());
    field.copy_from_slice(&change(value).to_be_bytes());
}

fn alarms(play: &TreeNet, node: NodeId) -> Vec<(Option<AlarmKind>, bool)> {
    play.net.node(node).alarms().iter().map(|alarm| (alarm.kind, alarm.refused)).collect()
}

fn kinds(play: &TreeNet, node: NodeId) -> Vec<AlarmKind> {
    alarms(play, node).into_iter().filter_map(|(kind, _)| kind).collect()
}

fn open(play: &TreeNet, node: NodeId) -> u64 {
    play.net.node(node).engine().show_audit().iter().map(|view| view.open).sum()
}

fn counted(play: &TreeNet, node: NodeId, kind: AlarmKind) -> u64 {
    let views = play.net.node(node).engine().show_audit();
    let of_kind = |(counted, count): &(AlarmKind, u64)| (*counted == kind).then_some(*count);
    views.iter().flat_map(|view| view.counts.iter().filter_map(of_kind)).sum()
}

/// B says that 500 more were announced below it than were.
fn inflate(message: &mut [u8]) {
    alter(message, UCPE, 20, |a| a + 500);
}

#[test]
fn r105_a_next_hop_whose_totals_do_not_fit_is_named_once_and_nobody_else() {
    let mut play = at_rest(Limits::default(), options(OnInconsistency::Report));
    play.net.set_lie(B, Some(inflate));
    // The lie comes with B's next refresh.
    play.net.run_ms(SOON_MS + 2 * H_MS + 1_000);
    let told: Vec<Alarm> = play.net.node(A).alarms().to_vec();
    let [alarm] = told.as_slice() else { panic!("{told:?}") };
    let edge = play.net.topology.between(A, B);
    assert_eq!(alarm.kind, Some(AlarmKind::Totals));
    assert_eq!(alarm.neighbour, play.net.topology.address_on(play.net.family(), B, edge));
    assert_eq!(alarm.interface, play.net.topology.interface_name(A, edge));
    assert_eq!((alarm.session, alarm.sender), (play.session, play.sender));
    let text = alarm.to_string();
    assert!(text.contains("expected C 100") && text.contains("A 660 - B 60 = 600"), "{text}");
    assert_eq!((open(&play, A), counted(&play, A, AlarmKind::Totals)), (1, 1));
    let held = play.net.node(A).engine().show_reservations(play.net.clock(A));
    let marked: Vec<bool> = held.iter().map(|r| r.charging.as_ref().unwrap().alarm).collect();
    assert_eq!(marked.iter().filter(|alarm| **alarm).count(), 1, "{held:?}");
    play.net.run_ms(20 * R_MS);
    assert_eq!(play.net.node(A).alarms().len(), 1, "once");
    for innocent in [S, B, R, C, Q] {
        assert_eq!(alarms(&play, innocent), [], "node {innocent}");
    }
    // What it costs has nothing to do with it.
    play.net.set_lie(B, None);
    play.net.run_ms(SOON_MS);
    assert_eq!(alarms(&play, A), [(Some(AlarmKind::Totals), false), (None, false)]);
    assert_eq!(open(&play, A), 0);
    play.assert_metered(30_000);
    play.net.assert_promise();
}

#[test]
fn r002_as_configured_a_next_hop_that_keeps_lying_is_refused_and_its_sibling_is_not() {
    let mut play = at_rest(Limits::default(), options(OnInconsistency::Refuse));
    play.net.set_lie(B, Some(inflate));
    play.net.run_ms(2 * H_MS);
    assert!(
        !play.net.node(A).engine().counters().payments_refused.contains_key("inconsistent_totals")
    );
    play.net.run_ms(SOON_MS + H_MS + 1_000);
    let counters = play.net.node(A).engine().counters();
    assert_eq!(counters.payments_refused["inconsistent_totals"], 1);
    assert_eq!(counters.resv_errors_sent[&(2, 3)], 1);
    // It was over with the branch; it may reserve anew, and is under suspicion again.
    assert_eq!(alarms(&play, A), [(Some(AlarmKind::Totals), false), (None, false)]);
    assert_eq!(alarms(&play, S), []);
    let refused = &play.net.node(S).engine().counters().payments_refused;
    assert!(refused.is_empty(), "nobody refuses A for the lie of B: {refused:?}");
    play.net.assert_promise();
}

#[test]
fn r002_a_price_above_the_maximum_that_was_announced_is_told_and_as_configured_not_taken() {
    for (choice, total) in [(OnInconsistency::Report, 121), (OnInconsistency::Refuse, 100)] {
        let mut play = at_rest(Limits::default(), options(choice));
        play.leave(Q);
        play.rest();
        let edge = play.net.topology.between(A, B);
        let dcpe = play.net.log.last_dcpe(edge, A, play.sender).unwrap();
        assert_eq!((dcpe.total, dcpe.max_total), (100, 120));
        play.net.set_lie(A, Some(|message| alter(message, DCPE, 12, |total| total + 21)));
        play.net.run_ms(SOON_MS);
        assert_eq!(kinds(&play, B).first(), Some(&AlarmKind::PriceAboveMaximum), "{choice:?}");
        let alarm = &play.net.node(B).alarms()[0];
        assert_eq!(alarm.refused, choice == OnInconsistency::Refuse);
        assert!(alarm.to_string().contains("C 121, expected C 120 at most"), "{alarm}");
        let shown = play.net.node(B).engine().show_sessions(play.net.clock(B));
        assert_eq!(shown[0].senders[0].charging.as_ref().unwrap().total_charge, total);
        let answered = play.net.node(B).engine().counters().path_errors_sent.get(&(2, 3)).copied();
        assert_eq!(answered.is_some(), choice == OnInconsistency::Refuse);
    }
}

#[test]
fn r002_a_price_that_changes_under_its_epoch_is_told_and_as_configured_not_taken() {
    for (choice, total) in [(OnInconsistency::Report, 110), (OnInconsistency::Refuse, 100)] {
        let mut play = at_rest(Limits::default(), options(choice));
        play.net.set_lie(A, Some(|message| alter(message, DCPE, 12, |total| total + 10)));
        play.net.run_ms(SOON_MS);
        assert_eq!(kinds(&play, B).first(), Some(&AlarmKind::EpochReused), "{choice:?}");
        let shown = play.net.node(B).engine().show_sessions(play.net.clock(B));
        assert_eq!(shown[0].senders[0].charging.as_ref().unwrap().total_charge, total);
    }
}

#[test]
fn r002_payments_that_are_said_again_are_told_and_never_taken() {
    let limits = Limits::default();
    let mut play = TreeNet::new(&tree(limits), options(OnInconsistency::Report), true);
    play.join(R);
    play.rest();
    let edge = play.net.topology.between(A, B);
    let last_of_b = |play: &TreeNet| {
        let of_b = |c: &&Crossing| c.from == B && c.message_type == MessageType::Resv;
        let log = &play.net.log;
        let last = log.crossings().iter().filter(|c| c.link == edge).rfind(of_b);
        log.bytes(last.unwrap()).to_vec()
    };
    let from_b = PacketMeta {
        interface: play.net.topology.interface(A, edge),
        source: play.net.topology.address_on(play.net.family(), B, edge),
        destination: play.net.topology.address_on(play.net.family(), A, edge),
        ttl: 63,
        router_alert: false,
    };
    let old = last_of_b(&play);
    play.net.set_price(A, edge, 110, false);
    play.rest();
    play.net.inject(A, from_b, &old);
    assert_eq!(kinds(&play, A), [AlarmKind::OldSequence]);
    // So soon after, it is counted only.
    play.net.inject(A, from_b, &old);
    assert_eq!(kinds(&play, A), [AlarmKind::OldSequence]);
    assert_eq!(counted(&play, A, AlarmKind::OldSequence), 2);
    let held = |play: &TreeNet| {
        let held = play.net.node(A).engine().show_reservations(play.net.clock(A));
        held.into_iter().map(|held| held.charging.unwrap().agreed_total).collect::<Vec<_>>()
    };
    assert_eq!(held(&play), [110]);
    let newest = last_of_b(&play);
    play.leave(R);
    play.net.run_ms(5_000);
    assert_eq!(held(&play), [] as [u64; 0]);
    play.net.inject(A, from_b, &newest);
    assert_eq!(held(&play), [] as [u64; 0], "it does not come back");
    assert_eq!(kinds(&play, A), [AlarmKind::OldSequence, AlarmKind::RemovedInstance]);
}

fn limited() -> Limits {
    Limits { per_receiver: Some(charging_model::Rate(1_000)), ..Limits::default() }
}

/// A tells B of another limit than the sender's: the first u64 behind the head of that TLV.
fn raise_limit(message: &mut [u8]) {
    let head = [0, 12, 3, 0];
    let Some(dcpe) = message.windows(2).position(|pair| pair == DCPE) else { return };
    let Some(at) = message[dcpe..].windows(4).position(|four| four == head) else { return };
    message[dcpe + at + 4..][..8].copy_from_slice(&5_000_u64.to_be_bytes());
}

#[test]
fn r086_whoever_was_told_of_higher_limits_shows_at_the_sender() {
    let mut play = at_rest(limited(), options(OnInconsistency::Report));
    let edge = play.net.topology.between(S, A);
    let echoed = |play: &TreeNet| {
        let ucpe = play.net.log.last_ucpe(edge, A, play.sender).unwrap();
        (ucpe.terms.limit_per_receiver, ucpe.terms.limit_per_hop)
    };
    play.net.run_ms(8 * R_MS);
    assert_eq!(echoed(&play), (Some(1_000), None));
    for node in [S, A, B, C] {
        assert_eq!(alarms(&play, node), [], "node {node}");
    }
    play.net.set_lie(A, Some(raise_limit));
    play.net.run_ms(SOON_MS + 2 * H_MS + 1_000);
    // On the way up A's own words say what it told.
    assert_eq!(echoed(&play), (Some(5_000), None));
    assert_eq!(kinds(&play, S), [AlarmKind::Limits]);
    let text = play.net.node(S).alarms()[0].to_string();
    assert!(text.contains("per receiver 5000") && text.contains("per receiver 1000"), "{text}");
    play.net.set_lie(A, None);
    play.net.run_ms(2 * SOON_MS);
    assert_eq!((open(&play, S), open(&play, A)), (0, 0));
}

/// S 0 - A 1 - B 2 - D 3 - R 4, and D does not take the account of B.
#[test]
fn r085_where_an_account_is_refused_the_sender_covers_what_it_did_above_and_no_more() {
    let links = vec![
        link(0, 0, 0, false),
        link(1, 100, 100, false),
        link(2, 60, 60, false),
        link(3, 40, 40, true),
    ];
    let tree = Tree { links, fraction: Ppm::new(250_000).unwrap(), ..Tree::default() };
    let config = NodeConfig { refused_account: Some((3, B)), ..NodeConfig::default() };
    let mut play =
        TreeNet::new(&tree, Options { config, keep_packets: true, ..Options::default() }, false);
    play.join(4);
    play.rest();
    let [upper, lower] = [(A, B), (B, 3)].map(|(from, to)| {
        let edge = play.net.topology.between(from, to);
        play.net.log.last_dcpe(edge, from, play.sender).unwrap()
    });
    assert_eq!((upper.terms.sender_fraction, upper.terms.sponsored), (Some(250_000), None));
    assert_eq!((lower.terms.sender_fraction, lower.terms.sponsored), (Some(0), Some(25)));
    let errors = |node: NodeId| play.net.node(node).engine().counters().path_errors_sent.clone();
    assert_eq!(errors(3)[&(2, 3)], 1, "one refusal is enough");
    // The sender pays a quarter of the 100 above B; the receiver all else; each hop earns its L.
    play.net.assert_metered(30_000, &[-25, 100, 60, 40, -175]);
    play.net.assert_promise();
}

#[test]
fn r105_honest_networks_raise_no_alarm() {
    for seed in seeds(networks(300).min(300)) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let options = Options { seed, ..options(OnInconsistency::Refuse) };
        let mut play = TreeNet::new(&tree, options, false);
        let receivers: Vec<NodeId> =
            (1..=tree.links.len()).filter(|node| tree.links[node - 1].receives).collect();
        for _ in 0..6 {
            let node = receivers[rng.usize(..receivers.len())];
            match play.receiving.contains_key(&node) {
                true => play.leave(node),
                false => play.join(node),
            }
            play.net.run_ms(rng.u64(0..3 * H_MS));
        }
        play.net.run_ms(4 * H_MS);
        for node in 0..=tree.links.len() {
            assert_eq!(play.net.node(node).alarms(), [], "seed {seed}: node {node}");
        }
    }
}
