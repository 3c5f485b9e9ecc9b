//! What neighbours agreed on with each other, and with nobody else (paper sections 2.2 and 3).

use charging_model::Ppm;
use charging_model::flow::Limits;
use charging_model::tree::Tree;
use lcm_tests::sim::{Kind, Net, NodeConfig, NodeId, Options, Topology, TreeNet, group};
use rsvp_wire::MessageType;

use crate::support::link;

/// S 0 - A 1, and below it B 2 and C 3, with the receivers 4 and 5.
const S: NodeId = 0;
const A: NodeId = 1;
const B: NodeId = 2;
const C: NodeId = 3;

fn options(agreed: Option<(NodeId, NodeId)>) -> Options {
    Options { config: NodeConfig { agreed, ..NodeConfig::default() }, ..Options::default() }
}

/// The sender pays a quarter, so that accounts are named in both directions.
fn at_rest(agreed: Option<(NodeId, NodeId)>) -> TreeNet {
    let links = vec![
        link(0, 0, 0, false),
        link(1, 100, 100, false),
        link(1, 60, 60, false),
        link(2, 40, 40, true),
        link(3, 20, 20, true),
    ];
    let tree = Tree { links, fraction: Ppm::new(250_000).unwrap(), limits: Limits::default() };
    let names = ["S", "A", "B", "C", "P", "Q"];
    let mut play = TreeNet::named(&tree, &names, options(agreed), false);
    play.join(4);
    play.join(5);
    play.rest();
    // Whoever joined is named its account with the next PATH at the latest.
    play.net.run_ms(60_000);
    play.assert_agrees();
    play
}

/// The account that `from` names to the node below it.
fn named(play: &TreeNet, from: NodeId, to: NodeId) -> String {
    let dcpe = play.net.log.last_dcpe(to - 1, from, play.sender).unwrap();
    String::from_utf8(dcpe.terms.account.unwrap().id.as_bytes().to_vec()).unwrap()
}

/// The account from which a node pays the one above it.
fn paid_from(play: &TreeNet, from: NodeId) -> String {
    let ucpe = play.net.log.last_ucpe(from - 1, from, play.sender).unwrap();
    String::from_utf8(ucpe.account.id.as_bytes().to_vec()).unwrap()
}

#[test]
fn r032_each_neighbour_is_paid_from_the_account_that_was_agreed_with_it() {
    let play = at_rest(Some((A, B)));
    assert_eq!((named(&play, A, B), named(&play, A, C)), ("A with B".into(), "A".into()));
    assert_eq!(paid_from(&play, A), "A", "S is another neighbour");
    let play = at_rest(Some((A, S)));
    assert_eq!(paid_from(&play, A), "A with S");
    assert_eq!((named(&play, A, B), named(&play, A, C)), ("A".into(), "A".into()));
    // Whom B pays sees it.
    let play = at_rest(Some((B, A)));
    assert_eq!((paid_from(&play, B), paid_from(&play, C)), ("B with A".into(), "C".into()));
    let shown = play.net.node(A).engine().show_reservations(play.net.clock(A));
    let accounts: Vec<_> = shown.into_iter().map(|view| view.charging.unwrap().account).collect();
    assert!(accounts.contains(&Some("B with A".to_owned())), "{accounts:?}");
}

/// With one neighbour it is agreed that it need not pay; another like it is refused. Nobody but A
/// charges.
#[test]
fn r036_what_a_reservation_without_payment_means_is_agreed_with_each_neighbour() {
    let mut topology = Topology::default();
    let nodes =
        [("S", Kind::Ignorant), ("A", Kind::Router), ("X", Kind::Ignorant), ("Y", Kind::Ignorant)];
    let [s, a, x, y] = nodes.map(|(name, kind)| topology.node(name, kind));
    topology.link(s, a, (0, 0));
    topology.link(a, x, (100, 100));
    topology.link(a, y, (100, 100));
    let (to_x, to_y) = (topology.between(a, x), topology.between(a, y));
    for (agreed, carried) in [(None, &[][..]), (Some((a, x)), &[to_x]), (Some((a, y)), &[to_y])] {
        let mut net = Net::new(topology.clone(), options(agreed));
        let session = group(net.family(), 1);
        net.send(s, session, None);
        for node in [x, y] {
            net.receive(node, session);
        }
        net.run_ms(100_000);
        let reserved = net.node(a).engine().show_reservations(net.clock(a));
        let interfaces: Vec<String> = reserved.iter().map(|view| view.interface.clone()).collect();
        let wanted: Vec<String> =
            carried.iter().map(|link| net.topology.interface_name(a, *link)).collect();
        assert_eq!(interfaces, wanted, "{agreed:?}");
        let refused = |node| {
            let to = |c: &&lcm_tests::sim::Crossing| c.to == node;
            let crossings = net.log.crossings().iter().filter(to);
            crossings.filter(|c| c.message_type == MessageType::ResvErr).count() > 0
        };
        assert_eq!((refused(x), refused(y)), (!carried.contains(&to_x), !carried.contains(&to_y)));
        assert!(net.metered().is_empty(), "nobody pays");
    }
}
