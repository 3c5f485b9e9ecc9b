//! Sender, receivers and hops between compare notes: honest networks agree, and whoever tells two
//! stories is found out (paper section 4, "Transparency"; docs/notes.md).

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_daemon::engine::{ReceiverRequest, SenderShare};
use lcm_daemon::notes::{Compared, Finding, Note, Options as Comparison, Place, Verdict, compare};
use lcm_daemon::tariff::{Split, Tariff};
use lcm_tests::sim::{
    Family, Kind, Net, NodeId, Options, Topology, TreeNet, Weather, group, reserve_up_to,
};
use rsvp_wire::object::{Session, Style};

use crate::support::figure::{IS1, IS2, IS3, NAMES, R1, R2, figure};
use crate::support::{random_tree, seeds};
use crate::trees::receivers;
use crate::veiled::{BETWEEN, Fork, STYLES};

/// Until state that nobody refreshed is gone, and some more.
const SETTLED_MS: u64 = 240_000;

const DCPE: [u8; 2] = [0xD0, 0x01];
const UCPE: [u8; 2] = [0xD0, 0x02];

/// The note of a node, as a file that was sent by somebody.
fn note(net: &Net, node: NodeId, session: Session) -> Option<Note> {
    let mut note = net.node(node).engine().note(net.clock(node), &session)?;
    note.name.clone_from(&net.topology.nodes[node].name);
    let sent = serde_json::to_string(&note).unwrap();
    assert_eq!(Note::read(&sent).as_ref(), Ok(&note));
    Some(note)
}

fn notes(net: &Net, session: Session, nodes: impl IntoIterator<Item = NodeId>) -> Vec<Note> {
    nodes.into_iter().filter_map(|node| note(net, node, session)).collect()
}

fn compared(play: &TreeNet, nodes: impl IntoIterator<Item = NodeId>) -> Compared {
    compare(&notes(&play.net, play.session, nodes), &Comparison::default())
}

/// The sender and those that receive.
fn ends(play: &TreeNet) -> Vec<NodeId> {
    std::iter::once(0).chain(play.receiving.keys().copied()).collect()
}

fn all(play: &TreeNet) -> std::ops::Range<NodeId> {
    0..play.net.topology.nodes.len()
}

fn found(compared: &Compared) -> Vec<&Finding> {
    compared.senders.iter().flat_map(|sender| &sender.findings).collect()
}

fn playing(options: Options) -> TreeNet {
    let mut play = TreeNet::named(&figure(), &NAMES, options, false);
    play.join(R1);
    play.join(R2);
    play.rest();
    play
}

/// The figure, settled.
fn at_rest() -> TreeNet {
    let mut play = playing(Options::default());
    play.net.run_ms(SETTLED_MS);
    play
}

#[test]
fn r105_notes_of_the_figures_ends_agree_and_say_what_was_paid() {
    let play = at_rest();
    for nodes in [ends(&play), all(&play).collect()] {
        let compared = compared(&play, nodes);
        assert_eq!(compared.verdict, Verdict::Agree, "{compared}");
        let [report] = compared.senders.as_slice() else { panic!("{compared}") };
        assert!(report.remarks.is_empty() && report.unclear.is_empty(), "{compared}");
        let sums = report.sums.clone().unwrap();
        assert_eq!((sums.receivers_told, sums.receivers), (2, 2));
        assert_eq!((sums.told, sums.charged), (250, 250));
        assert_eq!((sums.taken, sums.covered), (75, 75));
        assert_eq!((sums.paid_told, sums.paid), (175, 175));
    }
    assert_eq!(compared(&play, all(&play)).senders[0].links, 5);
}

#[test]
fn a_missing_note_is_no_accusation() {
    let play = at_rest();
    let missing = compared(&play, [0, R1]);
    assert_eq!(missing.verdict, Verdict::Unclear, "{missing}");
    assert!(missing.to_string().contains("2 receivers are said to be below"), "{missing}");
    let no_sender = compared(&play, [R1, R2]);
    assert_eq!(no_sender.verdict, Verdict::Unclear);
    assert!(no_sender.to_string().contains("no note of the sender's side"), "{no_sender}");
    assert_eq!(compared(&play, [0]).verdict, Verdict::Unclear);
    assert_eq!(compare(&[], &Comparison::default()).verdict, Verdict::Unclear);
    // Some hops lend theirs, and others do not.
    for some in [vec![0, IS2, R1, R2], vec![0, IS1, IS3, R1, R2], vec![0, IS3, R1, R2]] {
        let compared = compared(&play, some);
        assert_eq!(compared.verdict, Verdict::Agree, "{compared}");
    }
}

/// A receiver that somebody made up, for whom the sender pays.
#[test]
fn whoever_makes_up_a_receiver_is_caught_when_all_notes_are_there() {
    let play = at_rest();
    let notes = notes(&play.net, play.session, [0, R1]);
    let complete = Comparison { complete: true, ..Comparison::default() };
    let compared = compare(&notes, &complete);
    assert_eq!(compared.verdict, Verdict::Differ, "{compared}");
    assert!(compared.to_string().contains("the number of receivers below is 2"), "{compared}");
}

/// Changes the u64 at an offset of each element of a P-Type in a message.
fn alter(message: &mut [u8], ptype: [u8; 2], offset: usize, change: fn(u64) -> u64) {
    let Some(at) = message.windows(2).position(|pair| pair == ptype) else { return };
    let field = &mut message[at - 2 + offset..][..8];
    let value = u64::from_be_bytes(field.try_into().unwrap());
    field.copy_from_slice(&change(value).to_be_bytes());
}

/// What is passed on in PATH is dearer than what was announced, and M goes along.
fn dearer(message: &mut [u8]) {
    alter(message, DCPE, 12, |total| total + 30);
    alter(message, DCPE, 20, |max| max.saturating_add(30));
}

/// More is taken from the sender than covers anything.
fn greedy(message: &mut [u8]) {
    alter(message, UCPE, 28, |sender_payment| sender_payment + 30);
}

/// What the receivers are charged is hidden from the sender. No neighbour sees it: A − B is C.
fn secretive(message: &mut [u8]) {
    alter(message, UCPE, 20, |total| total.saturating_sub(30));
    alter(message, UCPE, 36, |locals| locals.saturating_sub(30));
}

/// A network in which a node lies from the beginning, settled.
fn lied_to(liar: NodeId, lie: fn(&mut [u8])) -> TreeNet {
    let mut play = TreeNet::named(&figure(), &NAMES, Options::default(), false);
    play.net.set_lie(liar, Some(lie));
    play.join(R1);
    play.join(R2);
    play.rest();
    play.net.run_ms(SETTLED_MS);
    play
}

/// Every finding is on a link of the liar.
fn assert_named(compared: &Compared, liar: &str) {
    let found = found(compared);
    assert!(!found.is_empty(), "{compared}");
    for finding in found {
        let named = match &finding.place {
            Place::Link(upper, lower) => upper == liar || lower == liar,
            Place::Inside(_) | Place::Hidden { .. } => false,
        };
        assert!(named, "{liar} was to be named: {finding}\n{compared}");
    }
}

#[test]
fn r105_a_provider_that_cheats_is_found_by_sender_and_receivers_and_named_by_all() {
    for lie in [dearer, greedy, secretive] {
        let play = lied_to(IS2, lie);
        let by_ends = compared(&play, ends(&play));
        assert_eq!(by_ends.verdict, Verdict::Differ, "{by_ends}");
        let hidden = |finding: &&Finding| matches!(finding.place, Place::Hidden { .. });
        assert!(found(&by_ends).iter().all(hidden), "{by_ends}");
        let by_all = compared(&play, all(&play));
        assert_eq!(by_all.verdict, Verdict::Differ, "{by_all}");
        assert_named(&by_all, "IS2");
        assert!(found(&by_all).iter().any(|finding| finding.same_message), "{by_all}");
        // Without its own note, those around it still know where.
        let around = compared(&play, [0, IS1, IS3, R1, R2]);
        assert_eq!(around.verdict, Verdict::Differ, "{around}");
    }
}

/// Notes that the cheater wrote to look well do not help it: they differ from its neighbours'.
#[test]
fn r002_a_liar_that_forges_its_note_differs_from_its_neighbours() {
    let play = lied_to(IS2, secretive);
    let mut all = notes(&play.net, play.session, all(&play));
    let forged = all.iter_mut().find(|note| note.name == "IS2").unwrap();
    let pays = forged.senders[0].pays.as_mut().unwrap();
    pays.announced_total -= 30;
    pays.local_sum -= 30;
    let compared = compare(&all, &Comparison::default());
    assert_eq!(compared.verdict, Verdict::Differ, "{compared}");
    let places: Vec<&Place> = found(&compared).iter().map(|finding| &finding.place).collect();
    let inside = Place::Inside("IS2".to_owned());
    assert!(!places.is_empty() && places.iter().all(|place| **place == inside), "{compared}");
}

#[test]
fn what_is_in_motion_is_no_accusation() {
    let mut play = at_rest();
    let before = notes(&play.net, play.session, ends(&play));
    let edge = play.net.topology.between(IS2, IS3);
    play.net.set_price(IS2, edge, 70, false);
    play.net.run_ms(20);
    // In the middle of it, and between notes of before and after.
    let mixed = |play: &TreeNet, before: &[Note]| {
        let after = notes(&play.net, play.session, [R1, R2]);
        let mixed: Vec<Note> = before[..1].iter().cloned().chain(after).collect();
        compare(&mixed, &Comparison::default())
    };
    let middle = compared(&play, all(&play));
    assert_ne!(middle.verdict, Verdict::Differ, "{middle}");
    play.rest();
    assert_eq!(mixed(&play, &before).verdict, Verdict::Unclear, "{}", mixed(&play, &before));
    let text = mixed(&play, &before).to_string();
    assert!(
        text.contains("That is no accusation") && text.contains("Take all notes again"),
        "{text}"
    );
    let settled = compared(&play, all(&play));
    assert_eq!(settled.verdict, Verdict::Agree, "{settled}");
    play.net.run_ms(SETTLED_MS);
    assert_eq!(mixed(&play, &before).verdict, Verdict::Unclear, "the old note is as old as ever");
}

/// Two senders, a chain of two routers, two receivers; as in `shared`.
fn conference(family: Family, style: Style) -> (Net, Session) {
    let mut topology = Topology::default();
    let senders = [topology.node("S1", Kind::Host), topology.node("S2", Kind::Host)];
    let routers = [topology.node("A", Kind::Router), topology.node("B", Kind::Router)];
    let receivers = [topology.node("R1", Kind::Host), topology.node("R2", Kind::Host)];
    for sender in senders {
        topology.link(sender, routers[0], (0, 0));
    }
    topology.link(routers[0], routers[1], (100, 120));
    topology.link(routers[1], receivers[0], (61, 61));
    topology.link(routers[1], receivers[1], (40, 40));
    let mut net = Net::new(topology, Options { family, ..Options::default() });
    let session = group(family, 1);
    net.fix_members(session, receivers);
    for sender in senders {
        let share = SenderShare { fraction_ppm: 333_333, ..SenderShare::default() };
        net.send(sender, session, Some(share));
    }
    net.run_ms(1_000);
    for receiver in receivers {
        let request = ReceiverRequest { style, ..reserve_up_to(session, None) };
        net.receive_as(receiver, request);
    }
    net.run_ms(2 * SETTLED_MS);
    (net, session)
}

#[test]
fn honest_conferences_agree_in_every_style() {
    for style in [Style::FixedFilter, Style::SharedExplicit, Style::WildcardFilter] {
        for family in [Family::V4, Family::V6] {
            let (net, session) = conference(family, style);
            for nodes in [vec![0, 1, 4, 5], (0..6).collect()] {
                let compared = compare(&notes(&net, session, nodes), &Comparison::default());
                assert_eq!(compared.verdict, Verdict::Agree, "{style} {compared}");
                assert_eq!(compared.senders.len(), 2, "{compared}");
            }
            // One of the senders does not compare notes; nobody is asked about it.
            let one = compare(&notes(&net, session, [0, 4, 5]), &Comparison::default());
            assert_eq!((one.verdict, one.senders.len()), (Verdict::Agree, 1), "{one}");
        }
    }
}

/// Networks in which receivers come and go, prices change and a tenth of all messages is lost:
/// whenever notes are compared nobody is accused, and when it has settled they agree.
#[test]
fn r105_honest_networks_never_accuse_and_agree_when_settled() {
    for seed in seeds(200) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let weather = if seed % 2 == 0 {
            Weather::FAIR
        } else {
            Weather { loss_permille: 100, ..Weather::FAIR }
        };
        let options = Options { seed, weather, keep_packets: false, ..Options::default() };
        let mut play = TreeNet::new(&tree, options, false);
        let hosts = receivers(&play);
        let mut old: Vec<Note> = Vec::new();
        for _ in 0..8 {
            let node = hosts[rng.usize(..hosts.len())];
            match (play.receiving.contains_key(&node), rng.u8(0..4)) {
                (_, 0) => {
                    let edge = rng.usize(1..tree.links.len().max(2)).min(tree.links.len() - 1);
                    let link = &tree.links[edge];
                    let price = rng.u64(0..=link.max_local.0);
                    play.net.set_price(link.parent, edge, price, false);
                }
                (true, _) => play.leave(node),
                (false, _) => play.join(node),
            }
            // Every other time long enough for what differs to be told.
            let most = if rng.bool() { 60_000 } else { 400_000 };
            play.net.run_ms(rng.u64(0..most));
            let new = notes(&play.net, play.session, all(&play));
            let some = |note: &Note| old.iter().find(|old| old.name == note.name).cloned();
            let mixed: Vec<Note> = new
                .iter()
                .map(|note| some(note).filter(|_| rng.bool()).unwrap_or(note.clone()))
                .collect();
            for notes in [&new, &mixed] {
                let compared = compare(notes, &Comparison::default());
                assert_ne!(compared.verdict, Verdict::Differ, "seed {seed}: {compared}");
            }
            old = new;
        }
        play.net.set_weather(Weather::FAIR);
        play.net.run_ms(2 * SETTLED_MS);
        for nodes in [ends(&play), all(&play).collect()] {
            if play.receiving.is_empty() {
                continue;
            }
            let compared = compared(&play, nodes);
            assert_eq!(compared.verdict, Verdict::Agree, "seed {seed}: {compared}");
        }
    }
}

/// Networks in which one router lies from the beginning: its own customers, or the sender, are
/// charged for it or kept from knowing; sender and receivers see that, and all notes name it.
#[test]
fn r105_in_random_networks_the_one_that_lies_is_named() {
    let mut named = 0;
    for seed in seeds(200) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, Options { seed, ..Options::default() }, false);
        let hosts = receivers(&play);
        let routers: Vec<NodeId> =
            all(&play).skip(1).filter(|node| !hosts.contains(node)).collect();
        let liar = routers[rng.usize(..routers.len())];
        let lies: [fn(&mut [u8]); 3] = [dearer, greedy, secretive];
        let kind = rng.usize(..3);
        play.net.set_lie(liar, Some(lies[kind]));
        let below = |node: NodeId| {
            let up = |node: &NodeId| Some(tree.links[*node - 1].parent).filter(|up| *up > 0);
            std::iter::successors(Some(node), up).any(|hop| hop == liar)
        };
        // Somebody below it receives, and others do or do not.
        let must = *hosts.iter().find(|host| below(**host)).expect("all routers have receivers");
        for host in hosts {
            if host == must || rng.bool() {
                play.join(host);
            }
        }
        play.rest();
        play.net.run_ms(2 * SETTLED_MS);
        // What is too little to be hidden stays as it is, or contradicts itself.
        let truth = note(&play.net, liar, play.session).unwrap();
        let pays = truth.senders[0].pays.clone().unwrap();
        if kind == 2 && pays.announced_total.min(pays.local_sum) < 30 {
            continue;
        }
        let by_ends = compared(&play, ends(&play));
        assert_eq!(by_ends.verdict, Verdict::Differ, "seed {seed}: {by_ends}");
        let by_all = compared(&play, all(&play));
        assert_eq!(by_all.verdict, Verdict::Differ, "seed {seed}: {by_all}");
        assert_named(&by_all, &play.net.topology.nodes[liar].name.clone());
        named += 1;
    }
    assert!(named > 0);
}

/// The figure under other settings, settled.
fn settled(options: Options, split: &Split, fraction: u32) -> TreeNet {
    let tree = Tree { fraction: Ppm::new(fraction).unwrap(), ..figure() };
    let mut play = TreeNet::named(&tree, &NAMES, options, false);
    for node in [IS1, IS2, IS3] {
        let upstream = play.net.topology.interface_name(node, node - 1);
        let tariff = Tariff { split: split.clone(), ..Tariff::free() };
        play.net.input(node, |engine, now| engine.set_tariff(now, &upstream, tariff)).unwrap();
    }
    play.join(R1);
    play.join(R2);
    play.rest();
    play.net.run_ms(2 * SETTLED_MS);
    play
}

/// A hop that stands in for members who are not there tells of more than receivers are charged.
#[test]
fn whoever_expects_members_is_not_accused_for_them() {
    let play = settled(Options::default(), &Split::EqualOf(4), 0);
    let by_ends = compared(&play, ends(&play));
    assert_eq!(by_ends.verdict, Verdict::Agree, "{by_ends}");
    let sums = by_ends.senders[0].sums.clone().unwrap();
    assert!(sums.told > sums.charged && sums.taken == sums.covered, "{by_ends}");
    assert!(by_ends.to_string().contains("REMARK the sender's side is told of"), "{by_ends}");
    let by_all = compared(&play, all(&play));
    assert_eq!(by_all.verdict, Verdict::Agree, "{by_all}");
    for split in [Split::Receivers(0), Split::Receivers(5), Split::Quantity, Split::Incremental] {
        let play = settled(Options::default(), &split, 300_000);
        for nodes in [ends(&play), all(&play).collect()] {
            let compared = compared(&play, nodes);
            assert_eq!(compared.verdict, Verdict::Agree, "{split} {compared}");
        }
    }
}

/// S, IS1 and IS2 reckon in dollars, of which three are two euros.
#[test]
fn at_a_border_each_side_is_compared_alone() {
    let mut options = Options::default();
    options.config.abroad = &[0, 1, 2];
    options.config.border = Some((IS3, 2, (2, 3), None));
    let play = settled(options, &Split::Equal, 300_000);
    let across = compared(&play, ends(&play));
    assert_eq!(across.verdict, Verdict::Unclear, "{across}");
    assert!(across.to_string().contains("several currencies"), "{across}");
    let by_all = compared(&play, all(&play));
    assert_eq!(by_all.verdict, Verdict::Unclear, "{by_all}");
    assert!(by_all.to_string().contains("IS2 and IS3 reckon in different currencies"), "{by_all}");
}

/// Several payers behind a hop that merges or forwards, and does not charge.
#[test]
fn what_is_behind_an_ignorant_hop_is_compared_by_who_pays() {
    for between in BETWEEN {
        for style in STYLES {
            let mut fork = Fork::new(between, Family::V4, style, None);
            fork.net.run_ms(2 * SETTLED_MS);
            let nodes = 0..fork.net.topology.nodes.len();
            let running = nodes.filter(|node| fork.net.node(*node).runs());
            let all = notes(&fork.net, fork.session, running);
            let compared = compare(&all, &Comparison::default());
            assert_ne!(compared.verdict, Verdict::Differ, "{style} {compared}");
            assert_eq!(compared.nodes.len(), 6, "{compared}");
            let links: usize = compared.senders.iter().map(|sender| sender.links).sum();
            assert_eq!(links, 5, "S-A, A-B, A-C, B-R1, C-R2: {style} {compared}");
        }
    }
}

/// A sender that announces nothing: charges begin at the first hop that charges, whose note is the
/// sender's side.
#[test]
fn where_the_sender_does_not_charge_the_first_hop_is_its_side() {
    let mut topology = Topology::default();
    let (s, a) = (topology.node("S", Kind::Host), topology.node("A", Kind::Router));
    let (b, r) = (topology.node("B", Kind::Router), topology.node("R", Kind::Host));
    topology.link(s, a, (0, 0));
    topology.link(a, b, (100, 120));
    topology.link(b, r, (60, 60));
    let mut net = Net::new(topology, Options::default());
    let session = group(Family::V4, 1);
    net.fix_members(session, [r]);
    net.send(s, session, None);
    net.run_ms(1_000);
    net.receive(r, session);
    net.run_ms(2 * SETTLED_MS);
    for nodes in [vec![s, a, b, r], vec![a, r]] {
        let compared = compare(&notes(&net, session, nodes), &Comparison::default());
        assert_eq!(compared.verdict, Verdict::Agree, "{compared}");
        let sums = compared.senders[0].sums.clone().unwrap();
        assert_eq!((sums.told, sums.charged, sums.taken), (160, 160, 0), "{compared}");
    }
    let ends = compare(&notes(&net, session, [s, r]), &Comparison::default());
    assert_eq!(ends.verdict, Verdict::Unclear, "{ends}");
}
