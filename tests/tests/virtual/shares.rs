//! How what a hop is charged is divided among its next hops, in networks of engines.

use lcm_tests::sim::{Kind, Net, NodeId, Options, Topology, group, reserve_up_to};
use rsvp_wire::object::{Filter, Session};

/// ```text
/// S ── A ─100─ B ─┬─ C ─┬─ R1
///                 │     └─ R2
///                 └─ R3
/// ```
struct Play {
    net: Net,
    session: Session,
    sender: Filter,
    routers: [NodeId; 3],
    receivers: [NodeId; 3],
}

impl Play {
    fn new() -> Self {
        let mut topology = Topology::default();
        let s = topology.node("S", Kind::Host);
        let routers = ["A", "B", "C"].map(|name| topology.node(name, Kind::Router));
        let receivers = ["R1", "R2", "R3"].map(|name| topology.node(name, Kind::Host));
        topology.link(s, routers[0], (0, 0));
        topology.link(routers[0], routers[1], (100, 120));
        topology.link(routers[1], routers[2], (60, 60));
        for (at, receiver) in [(2, 0), (2, 1), (1, 2)] {
            topology.link(routers[at], receivers[receiver], (0, 0));
        }
        let options = Options::default();
        let mut net = Net::new(topology, options);
        let session = group(options.family, 1);
        net.fix_members(session, receivers);
        net.send(s, session, None);
        net.run_ms(1_000);
        let sender = net.sender(s);
        Self { net, session, sender, routers, receivers }
    }

    /// What a router says of the receivers below it, with its last RESV.
    fn told(&self, router: usize, above: NodeId) -> Option<u32> {
        let (topology, router) = (&self.net.topology, self.routers[router]);
        let link = (0..topology.links.len()).find(|link| {
            topology.links[*link].ends.contains(&above)
                && topology.links[*link].ends.contains(&router)
        });
        let ucpe = self.net.log.last_ucpe(link.unwrap(), router, self.sender).unwrap();
        ucpe.terms.receivers_below
    }
}

#[test]
fn r020_routers_say_how_many_receivers_are_below() {
    let mut play = Play::new();
    let [a, b, _] = play.routers;
    let mut handles = Vec::new();
    // Who has one says nothing: the message is as short as ever.
    for (receiver, counts) in [(0, (None, None)), (2, (None, Some(2))), (1, (Some(2), Some(3)))] {
        let request = reserve_up_to(play.session, None);
        handles.push((
            play.receivers[receiver],
            play.net.receive_as(play.receivers[receiver], request),
        ));
        play.net.run_ms(2_000);
        assert_eq!((play.told(2, b), play.told(1, a)), counts, "after R{}", receiver + 1);
    }
    let (node, handle) = handles.remove(0);
    play.net.close(node, handle);
    play.net.run_ms(2_000);
    assert_eq!((play.told(2, b), play.told(1, a)), (None, Some(2)));
}
