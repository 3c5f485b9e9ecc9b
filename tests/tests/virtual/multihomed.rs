//! One sender heard over several interfaces (RFC 2205 section 3.9, RFC 2209 section 2).

use std::net::IpAddr;

use lcm_daemon::packet::PacketMeta;
use lcm_tests::sim::{Kind, LinkId, Net, NodeId, Options, TSPEC, Topology, group, reserve_up_to};
use rsvp_wire::object::{Hop, SenderTemplate, SenderTspec, Session, TimeValues};
use rsvp_wire::{MessageType, MessageWriter};

const R_MS: u64 = 30_000;

/// S ── A ── B, and X, which claims to forward S's data to A and to B as well.
struct TwoWays {
    net: Net,
    session: Session,
    sender: NodeId,
    routers: [NodeId; 2],
    stranger: NodeId,
}

impl TwoWays {
    fn new() -> Self {
        let mut topology = Topology::default();
        let sender = topology.node("S", Kind::Host);
        let routers = [topology.node("A", Kind::Ignorant), topology.node("B", Kind::Host)];
        let stranger = topology.node("X", Kind::Plain);
        topology.link(sender, routers[0], (0, 0));
        topology.link(routers[0], routers[1], (0, 0));
        for router in routers {
            topology.link(router, stranger, (0, 0));
        }
        let mut net = Net::new(topology, Options::default());
        let session = group(net.family(), 1);
        net.fix_members(session, [routers[1]]);
        net.send(sender, session, None);
        net.receive_as(routers[1], reserve_up_to(session, None));
        net.run_ms(1_000);
        Self { net, session, sender, routers, stranger }
    }

    fn link(&self, a: NodeId, b: NodeId) -> LinkId {
        self.net.topology.between(a, b)
    }

    /// A PATH of S by way of X reaches a node.
    fn path_from_stranger(&mut self, to: NodeId) {
        let link = self.link(to, self.stranger);
        let topology = &self.net.topology;
        let address = topology.address_on(self.net.family(), self.stranger, link);
        let sender = self.net.sender(self.sender);
        let mut bytes = [0; 512];
        let mut writer = MessageWriter::new(&mut bytes, MessageType::Path, 60);
        writer.object(&self.session).unwrap();
        writer.object(&Hop { address, lih: 9 }).unwrap();
        writer.object(&TimeValues { refresh_ms: 30_000 }).unwrap();
        writer.object(&SenderTemplate(sender)).unwrap();
        writer.object(&SenderTspec(TSPEC)).unwrap();
        let length = writer.finish().unwrap();
        let meta = PacketMeta {
            interface: topology.interface(to, link),
            source: sender.source,
            destination: self.session.destination,
            ttl: 60,
            router_alert: true,
        };
        self.net.inject(to, meta, &bytes[..length]);
    }

    /// The previous hop of S at a node, if S is known there.
    fn phop(&self, at: NodeId) -> Option<IpAddr> {
        let shown = self.net.node(at).engine().show_sessions(self.net.clock(at));
        shown.first()?.senders.first()?.phop
    }

    fn address_towards(&self, node: NodeId, peer: NodeId) -> IpAddr {
        let link = self.link(node, peer);
        self.net.topology.address_on(self.net.family(), node, link)
    }

    /// Messages that went to X.
    fn told_stranger(&self) -> usize {
        self.net.log.crossings().iter().filter(|crossing| crossing.to == self.stranger).count()
    }
}

#[test]
fn a_router_goes_by_where_routing_expects_the_data() {
    let mut play = TwoWays::new();
    let [a, _] = play.routers;
    let from_s = play.address_towards(play.sender, a);
    for _ in 0..20 {
        play.path_from_stranger(a);
        play.net.run_ms(R_MS / 2);
        assert_eq!(play.phop(a), Some(from_s));
    }
    assert_eq!(play.told_stranger(), 0, "X is asked for nothing");
}

#[test]
fn a_host_stays_with_its_previous_hop_until_that_falls_silent() {
    let mut play = TwoWays::new();
    let [a, b] = play.routers;
    let (from_a, from_x) = (play.address_towards(a, b), play.address_towards(play.stranger, b));
    for _ in 0..20 {
        play.path_from_stranger(b);
        play.net.run_ms(R_MS / 2);
        assert_eq!(play.phop(b), Some(from_a));
    }
    play.net.mute(a, true);
    // Two longest gaps between refreshes, not the lifetime of the state.
    for _ in 0..6 {
        play.path_from_stranger(b);
        play.net.run_ms(R_MS / 2);
    }
    assert_eq!(play.phop(b), Some(from_x));
    assert!(play.told_stranger() > 0, "the reservation goes to the new previous hop");
}

#[test]
fn a_teardown_leaves_what_is_heard_over_the_other_interface() {
    let mut play = TwoWays::new();
    let [a, b] = play.routers;
    let from_x = play.address_towards(play.stranger, b);
    play.path_from_stranger(b);
    let link = play.link(play.sender, a);
    play.net.kill(play.sender);
    play.net.set_link(link, false);
    for _ in 0..12 {
        play.net.run_ms(R_MS / 2);
        play.path_from_stranger(b);
    }
    assert_eq!(play.phop(b), Some(from_x));
    // And it ends when that is no longer heard either.
    play.net.run_ms(8 * R_MS);
    assert_eq!(play.phop(b), None);
}
