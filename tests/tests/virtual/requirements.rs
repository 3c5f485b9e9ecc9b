//! Requirements of the paper that need a network of engines and no disturbance.

use charging_model::Ppm;
use charging_model::Rate;
use charging_model::flow::Limits;
use charging_model::tree::Tree;
use lcm_daemon::ctl::quote::estimate;
use lcm_daemon::engine::{NoticeEvent, SenderShare};
use lcm_tests::sim::{Kind, Net, NodeId, Options, Topology, TreeNet, group, reserve_up_to};
use rsvp_wire::MessageType;

use crate::support::{link, random_tree, seeds};
use crate::trees::{options, receivers};

/// The paper's figure: S 0, IS1 1, IS2 2, IS3 3, R1 4, R2 5; link n leads to node n + 1.
const NAMES: [&str; 6] = ["S", "IS1", "IS2", "IS3", "R1", "R2"];

fn figure() -> TreeNet {
    let limits =
        Limits { per_receiver: Some(Rate(900)), per_hop: Some(Rate(800)), max_hops: Some(9) };
    let tree = Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 100, 120, false),
            link(2, 60, 70, false),
            link(2, 40, 80, true),
            link(3, 50, 60, true),
        ],
        fraction: Ppm::new(300_000).unwrap(),
        limits,
    };
    let mut play = TreeNet::named(&tree, &NAMES, Options::default(), false);
    play.join(4);
    play.join(5);
    play.rest();
    play
}

/// From the messages on the links: what goes out is what came in, shared, and the interface's L.
#[test]
fn r045_r052_r077_each_hop_adds_its_price_and_puts_its_own_account() {
    let play = figure();
    let dcpe = |to: NodeId| {
        let from = play.tree.links[to - 1].parent;
        (from, play.net.log.last_dcpe(to - 1, from, play.sender).unwrap())
    };
    // IS2 halves the 100 that it is charged, and asks 60 and 40 on its two interfaces.
    for (to, total) in [(1, 0), (2, 100), (3, 50 + 60), (4, 50 + 40), (5, 110 + 50)] {
        let (from, dcpe) = dcpe(to);
        assert_eq!(dcpe.total, total, "to {}", NAMES[to]);
        let account = dcpe.terms.account.unwrap();
        assert_eq!(account.id.as_bytes(), NAMES[from].as_bytes(), "to {}", NAMES[to]);
    }
}

#[test]
fn r063_r064_the_dump_shows_the_papers_fields() {
    let play = figure();
    let (engine, now) = (play.net.node(2).engine(), play.net.clock(2));
    let session = engine.show_sessions(now)[0].clone();
    let down = session.senders[0].charging.clone().unwrap();
    assert_eq!((down.total_charge, down.max_total_charge), (100, 120));
    assert_eq!(down.sender_fraction_ppm, 300_000);
    assert!(down.sender_account.unwrap().ends_with("IS1"));
    assert_eq!((down.limit_per_receiver, down.limit_per_hop), (Some(900), Some(800)));
    assert_eq!(down.max_hops, Some(8), "IS1 has counted itself");
    let mut up: Vec<_> = engine
        .show_reservations(now)
        .into_iter()
        .map(|reservation| reservation.charging.unwrap())
        .map(|up| (up.local_price, up.payment_downstream, up.total_charge_downstream))
        .collect();
    up.sort_unstable();
    // To R1, which is owed nothing, and to IS3, which takes 15 for the sender and has R2 below.
    assert_eq!(up, [(40, 0, 90), (60, 15, 160)]);
}

/// One downstream entry a PSB, one upstream entry an RSB, also after joins and leaves.
#[test]
fn r067_there_is_as_much_charging_state_as_rsvp_state() {
    for seed in seeds(100) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, options(seed), true);
        for node in receivers(&play) {
            play.join(node);
        }
        play.rest();
        assert_counts(&play.net, seed);
        for node in receivers(&play).into_iter().filter(|_| rng.bool()) {
            play.leave(node);
        }
        play.rest();
        assert_counts(&play.net, seed);
    }
}

fn assert_counts(net: &Net, seed: u64) {
    for node in 0..net.topology.nodes.len() {
        let (engine, now) = (net.node(node).engine(), net.clock(node));
        let (_, senders, reservations) = engine.sizes();
        let shown = engine.show_sessions(now);
        let downstream: Vec<_> = shown
            .iter()
            .flat_map(|session| &session.senders)
            .filter_map(|sender| sender.charging.as_ref())
            .collect();
        // Every installed branch is quoted by its next hop; that of an application is not shown.
        let quoted = downstream.iter().flat_map(|down| &down.quotes);
        let branches = quoted.filter(|quote| quote.next_hop.is_some()).count();
        let reserved = engine.show_reservations(now);
        let local = reserved.iter().filter(|reservation| reservation.interface == "local").count();
        let upstream = reserved.iter().filter(|reservation| reservation.charging.is_some()).count();
        let found = (downstream.len(), branches + local, upstream);
        assert_eq!(found, (senders, reservations, reservations), "seed {seed}: node {node}");
    }
}

/// S - A - R, at 100.
fn chain() -> (Net, [NodeId; 3]) {
    let mut topology = Topology::default();
    let nodes = [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host)];
    let nodes = nodes.map(|(name, kind)| topology.node(name, kind));
    topology.link(nodes[0], nodes[1], (0, 0));
    topology.link(nodes[1], nodes[2], (100, 200));
    (Net::new(topology, Options::default()), nodes)
}

#[test]
fn r019_r046_a_quote_above_the_receivers_maximum_reserves_nothing() {
    let (mut net, [s, a, r]) = chain();
    let session = group(net.family(), 1);
    net.send(s, session, Some(SenderShare::default()));
    net.receive_as(r, reserve_up_to(session, Some(99)));
    net.run_ms(100_000);
    let told = net.node(r).notices().last().unwrap().event.clone();
    assert_eq!(told, NoticeEvent::Declined { due: 100, max_payment: 99 });
    let asked = |net: &Net| {
        net.log.crossings().iter().filter(|c| c.message_type == MessageType::Resv).count()
    };
    assert_eq!((asked(&net), net.sizes().2), (0, 0));
    assert!(net.metered().is_empty());
    // Down to the maximum, and it reserves; beyond it, it keeps what it agreed to.
    let link = net.topology.between(a, r);
    net.set_price(a, link, 99, false);
    net.run_ms(10_000);
    assert!(asked(&net) > 0);
    assert_eq!(net.rates_over(1_000), [0, 99, -99]);
    net.set_price(a, link, 150, false);
    net.run_ms(10_000);
    assert_eq!(net.rates_over(1_000), [0, 99, -99]);
    net.assert_promise();
}

/// What a receiver is told before it reserves is what it pays, as long as nobody else comes.
#[test]
fn r004_what_was_quoted_before_the_reservation_is_what_it_costs() {
    let (mut net, [s, _, r]) = chain();
    let session = group(net.family(), 1);
    let share = SenderShare { fraction_ppm: 333_333, ..SenderShare::default() };
    net.send(s, session, Some(share));
    // At 0 it declines, and knows the price.
    let declined = net.receive_as(r, reserve_up_to(session, Some(0)));
    net.run_ms(100_000);
    let asked = |net: &Net| {
        net.log.crossings().iter().any(|crossing| crossing.message_type == MessageType::Resv)
    };
    assert!(!asked(&net), "nothing is reserved");
    let now = net.clock(r);
    let sessions = net.node(r).engine().show_sessions(now);
    let announced = sessions[0].senders[0].charging.clone().unwrap();
    let quoted = estimate(&announced, 7_200_000);
    assert_eq!((quoted.rate, quoted.most_rate), (66, 133));

    net.close(r, declined);
    net.receive(r, session);
    net.run_ms(10_000);
    let before = net.balances()[r];
    net.run_ms(7_200_000);
    let paid = before - net.balances()[r];
    assert_eq!(u128::try_from(paid).unwrap(), quoted.amount);
}

/// Whatever it sends and receives, an end system settles with its own provider alone.
#[test]
fn r029_an_end_system_has_one_account() {
    let (mut net, [s, a, r]) = chain();
    for number in 1..=5 {
        let session = group(net.family(), number);
        let fraction_ppm = 100_000 * u32::from(number);
        net.send(s, session, Some(SenderShare { fraction_ppm, ..SenderShare::default() }));
        net.receive(r, session);
    }
    net.run_ms(100_000);
    for (node, rate) in [(s, -150), (r, -350)] {
        let now = net.clock(node);
        let books = net.input(node, |engine, _| engine.show_accounts(now));
        assert_eq!(books.accounts.len(), 1, "node {node}: {books:?}");
        assert_eq!(net.topology.owner(books.accounts[0].neighbour), Some(a));
        assert_eq!((books.accounts[0].rate, books.rate), (rate, rate), "node {node}");
    }
}
