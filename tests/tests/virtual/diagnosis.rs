//! RSVP diagnostics (RFC 2745): paths are traced through networks, whatever becomes of messages.

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_daemon::config::Charges;
use lcm_daemon::engine::{SenderShare, TraceError, TraceRequest, TraceView};
use lcm_tests::sim::{
    Family, Kind, Net, NodeConfig, NodeId, Options, Secured, Topology, TreeNet, group,
};
use rsvp_wire::object::Session;
use rsvp_wire::{Message, MessageType};

use crate::support::link;

pub(crate) fn everybody_sees_all() -> NodeConfig {
    NodeConfig { charges: Charges::All, ..NodeConfig::default() }
}

pub(crate) fn path_of(session: Session) -> TraceRequest {
    TraceRequest { session, sender: None, last_hop: None, max_hops: 0, hop_by_hop: true }
}

/// S ── I1 ── … ── In ── R, all links at price 10; some hops are of other kinds.
pub(crate) struct Chain {
    pub(crate) net: Net,
    pub(crate) nodes: Vec<NodeId>,
    pub(crate) session: Session,
}

impl Chain {
    pub(crate) fn with(between: &[Kind], options: Options) -> Self {
        let mut topology = Topology::default();
        let mut nodes = vec![topology.node("S", Kind::Host)];
        for (index, kind) in between.iter().enumerate() {
            nodes.push(topology.node(&format!("I{}", index + 1), *kind));
        }
        nodes.push(topology.node("R", Kind::Host));
        for pair in nodes.windows(2) {
            let first = pair[0] == nodes[0];
            topology.link(pair[0], pair[1], if first { (0, 0) } else { (10, 20) });
        }
        let net = Net::new(topology, options);
        let session = net.session_to(*nodes.last().unwrap());
        Self { net, nodes, session }
    }

    pub(crate) fn reserved(between: &[Kind], options: Options) -> Self {
        let mut chain = Self::with(between, options);
        let share = SenderShare { fraction_ppm: 500_000, ..SenderShare::default() };
        chain.net.send(chain.nodes[0], chain.session, Some(share));
        chain.net.run_ms(1_000);
        chain.net.receive(chain.receiver(), chain.session);
        chain.net.run_ms(120_000);
        chain
    }

    pub(crate) fn receiver(&self) -> NodeId {
        *self.nodes.last().unwrap()
    }

    pub(crate) fn trace(&mut self) -> TraceView {
        let request = path_of(self.session);
        self.net.trace(self.receiver(), request).unwrap()
    }

    /// The nodes that a trace heard of, from the receiver to the sender.
    pub(crate) fn heard(&self, view: &TraceView) -> Vec<NodeId> {
        let owner = |address| self.net.topology.owner(address).unwrap();
        let address = |hop: &lcm_daemon::engine::TraceHop| hop.incoming.or(hop.outgoing).unwrap();
        view.hops.iter().map(|hop| owner(address(hop))).collect()
    }

    pub(crate) fn backwards(&self) -> Vec<NodeId> {
        self.nodes.iter().rev().copied().collect()
    }

    pub(crate) fn counted(&self, node: NodeId, event: &str) -> u64 {
        let counters = self.net.node(node).engine().counters();
        counters.diagnostics.get(event).copied().unwrap_or_default()
    }
}

pub(crate) fn options(family: Family, config: NodeConfig) -> Options {
    Options { family, config, ..Options::default() }
}

/// The figure, from both receivers: each hop's own price, what it announces and is paid.
#[test]
fn r106_a_trace_shows_what_each_hop_of_the_figure_charges() {
    for family in [Family::V4, Family::V6] {
        let tree = Tree {
            links: vec![
                link(0, 0, 0, false),
                link(1, 100, 120, false),
                link(2, 60, 70, false),
                link(2, 40, 80, true),
                link(3, 50, 60, true),
            ],
            fraction: Ppm::new(300_000).unwrap(),
            ..Tree::default()
        };
        let names = ["S", "IS1", "IS2", "IS3", "R1", "R2"];
        let mut play = TreeNet::named(&tree, &names, options(family, everybody_sees_all()), false);
        play.join(4);
        play.join(5);
        play.net.run_ms(120_000);
        let charges = |play: &mut TreeNet, from: NodeId| {
            let view = play.net.trace(from, path_of(play.session)).unwrap();
            assert!(view.complete && view.problem.is_none(), "{view:?}");
            assert!(view.round_trip_us.is_some_and(|us| us > 0 && us < 1_000_000));
            let row = |hop: &lcm_daemon::engine::TraceHop| {
                let it = hop.charges.first()?;
                assert_eq!(it.currency, 978);
                assert_eq!(it.established, Some(true));
                assert_eq!(it.sender_fraction_ppm, Some(300_000));
                Some((it.total, it.max_total, it.local_price?, it.sponsored?, it.payment?))
            };
            let merged: Vec<bool> = view.hops.iter().map(|hop| hop.merged).collect();
            (view.hops.iter().map(row).collect::<Vec<_>>(), merged)
        };
        let to_r1 = [None, Some((90, 200, 40, 27, 63)), Some((100, 120, 100, 30, 70))];
        let (rows, merged) = charges(&mut play, 4);
        assert_eq!(rows[..3], to_r1, "R1, IS2, IS1");
        assert_eq!((rows[3], rows.len()), (Some((0, 0, 0, 0, 175)), 4), "S");
        assert_eq!(merged, [false, true, false, false]);
        let to_r2 = [None, Some((160, 250, 50, 48, 112)), Some((110, 190, 60, 33, 77)), to_r1[2]];
        let (rows, merged) = charges(&mut play, 5);
        assert_eq!(rows[..4], to_r2, "R2, IS3, IS2, IS1");
        assert_eq!(merged, [false, false, true, false, false]);
    }
}

#[test]
fn nothing_is_changed_by_a_trace() {
    let mut chain = Chain::reserved(&[Kind::Router; 3], options(Family::V4, everybody_sees_all()));
    let images = |chain: &Chain| {
        let all = chain.nodes.iter().map(|node| chain.net.node(*node).engine().image());
        all.collect::<Vec<_>>()
    };
    let before = images(&chain);
    let request = path_of(chain.session);
    let receiver = chain.receiver();
    chain.net.input(receiver, |engine, now| engine.trace(now, request)).unwrap();
    chain.net.run_ms(50);
    assert_eq!(chain.net.node(receiver).traced().len(), 1, "{}", chain.net.story());
    assert_eq!(images(&chain), before);
}

#[test]
fn a_path_is_traced_before_anything_is_reserved() {
    let mut chain = Chain::with(&[Kind::Router; 2], options(Family::V4, everybody_sees_all()));
    let share = SenderShare { fraction_ppm: 500_000, ..SenderShare::default() };
    chain.net.send(chain.nodes[0], chain.session, Some(share));
    chain.net.run_ms(1_000);
    let view = chain.trace();
    assert_eq!(chain.heard(&view), chain.backwards(), "{view:?}");
    assert!(view.complete && view.hops.iter().all(|hop| hop.reserved.is_none()));
    let quoted: Vec<_> = view.hops.iter().filter_map(|hop| hop.charges.first()).collect();
    // R announces nothing, I2 20, I1 10, S nothing; nobody pays yet.
    let totals: Vec<u64> = quoted.iter().map(|charges| charges.total).collect();
    assert_eq!(totals, [20, 10, 0]);
    assert!(quoted.iter().all(|charges| charges.payer.is_none() && charges.payment.is_none()));
}

/// So many hops that their reports do not fit into one packet.
#[test]
fn reports_that_do_not_fit_come_in_fragments() {
    for (family, secured) in
        [(Family::V4, None), (Family::V6, None), (Family::V4, Some(Secured::default()))]
    {
        let config = NodeConfig { secured, ..everybody_sees_all() };
        let mut chain = Chain::reserved(&[Kind::Router; 14], options(family, config));
        let mark = chain.net.log.crossings().len();
        let view = chain.trace();
        assert_eq!(chain.heard(&view), chain.backwards(), "{view:?}");
        assert!(view.complete);
        let totals: Vec<u64> = view.hops[1..].iter().map(|hop| hop.charges[0].total).collect();
        let expected: Vec<u64> = (0..=14).rev().map(|hop| hop * 10).collect();
        assert_eq!(totals, expected);
        let mut parts = 0;
        for crossing in &chain.net.log.crossings()[mark..] {
            let bytes = chain.net.log.bytes(crossing);
            let header = if family == Family::V4 { 20 } else { 40 };
            assert!(bytes.len() + header <= 1_500, "{} bytes", bytes.len());
            if let Ok(Message::Drep(drep)) = Message::parse(bytes) {
                parts += u32::from(drep.diagnostic.more_fragments);
            }
        }
        assert!(parts > 0, "{}", chain.net.story());
        let in_parts = |hop: &lcm_daemon::engine::TraceHop| !hop.errors.is_empty();
        let begun = view.hops.iter().filter(|hop| in_parts(hop)).count();
        assert!((1..=8).contains(&begun), "{begun}");
    }
}

#[test]
fn a_hop_limit_ends_the_request_there() {
    let mut chain = Chain::reserved(&[Kind::Router; 4], Options::default());
    for most in 1..=5 {
        let request = TraceRequest { max_hops: most, ..path_of(chain.session) };
        let view = chain.net.trace(chain.receiver(), request).unwrap();
        assert_eq!(chain.heard(&view), chain.backwards()[..usize::from(most)]);
        assert!(view.complete && view.problem.is_none(), "{view:?}");
    }
}

/// Routers without RSVP are counted, ignorant ones say what they know, and charge nothing.
#[test]
fn r107_hops_without_rsvp_and_without_charges_are_seen() {
    let kinds = [Kind::Router, Kind::Plain, Kind::Router, Kind::Ignorant, Kind::Router];
    for family in [Family::V4, Family::V6] {
        let mut chain = Chain::reserved(&kinds, options(family, everybody_sees_all()));
        let view = chain.trace();
        let [s, i1, _, i3, i4, i5, r] = chain.nodes[..] else { panic!() };
        assert_eq!(chain.heard(&view), [r, i5, i4, i3, i1, s], "{view:?}");
        let hidden: Vec<u8> = view.hops.iter().map(|hop| hop.hidden_hops).collect();
        assert_eq!(hidden, [0, 0, 0, 0, 1, 0]);
        let charging: Vec<usize> = view.hops.iter().map(|hop| hop.charges.len()).collect();
        assert_eq!(charging, [0, 1, 0, 1, 1, 1]);
        // I5 pays I3 from behind I4.
        let payer = view.hops[3].charges[0].payer.unwrap();
        assert_eq!(chain.net.topology.owner(payer), Some(i5));
    }
}

#[test]
fn what_is_lost_is_asked_for_again() {
    for muted in 1..=3 {
        let mut chain = Chain::reserved(&[Kind::Router; 2], Options::default());
        let (receiver, request) = (chain.receiver(), path_of(chain.session));
        let node = chain.nodes[chain.nodes.len() - muted];
        chain.net.mute(node, true);
        chain.net.input(receiver, |engine, now| engine.trace(now, request)).unwrap();
        chain.net.run_ms(2_000);
        assert_eq!(chain.net.node(receiver).traced().len(), 0);
        chain.net.mute(node, false);
        chain.net.run_ms(1_000);
        let view = chain.net.node(receiver).traced()[0].clone();
        assert_eq!(chain.heard(&view), chain.backwards(), "{view:?}");
        assert!(view.complete);
    }
}

/// A hop that says nothing is found out: the last one that answers is named, and its previous hop.
#[test]
fn a_silent_hop_is_named() {
    for dead in 1..=2 {
        let mut chain = Chain::reserved(&[Kind::Router; 4], Options::default());
        chain.net.mute(chain.nodes[dead], true);
        let view = chain.trace();
        let heard = chain.backwards();
        assert_eq!(chain.heard(&view), heard[..heard.len() - dead - 1], "{view:?}");
        assert!(!view.complete);
        let problem = view.problem.unwrap();
        let last = view.hops.last().unwrap();
        let (own, phop) = (last.incoming.unwrap(), last.previous_hop.unwrap());
        assert!(problem.contains(&format!("beyond {own}")), "{problem}");
        assert!(problem.contains(&format!("previous hop {phop} does not answer")), "{problem}");
    }
}

#[test]
fn a_session_that_nobody_knows_is_answered_with_an_error() {
    let mut chain = Chain::reserved(&[Kind::Router; 2], Options::default());
    let receiver = chain.receiver();
    let (unknown, sender) = (group(Family::V4, 99), chain.net.sender(chain.nodes[0]));
    let ask = |chain: &mut Chain, request| chain.net.trace(receiver, request);
    assert_eq!(ask(&mut chain, path_of(unknown)), Err(TraceError::NoSender));
    // A neighbour is asked, which does not know it either.
    let link = chain.net.topology.between(chain.nodes[2], receiver);
    let neighbour = chain.net.topology.address_on(Family::V4, chain.nodes[2], link);
    for (last_hop, session) in [(None, unknown), (Some(neighbour), unknown)] {
        let request = TraceRequest { sender: Some(sender), last_hop, ..path_of(session) };
        let view = ask(&mut chain, request).unwrap();
        assert_eq!(view.hops.len(), 1, "{view:?}");
        assert_eq!(view.hops[0].errors, ["no path state"]);
        assert!(view.problem.unwrap().contains("no path state") && !view.complete);
    }
    // Another sender of a session that is known.
    let request =
        TraceRequest { sender: Some(chain.net.sender(receiver)), ..path_of(chain.session) };
    assert_eq!(ask(&mut chain, request).unwrap().hops[0].errors, ["no path state"]);
}

/// Somebody on a link of a hop asks what lies upstream of it.
#[test]
fn a_path_may_begin_at_another_node() {
    for hop_by_hop in [true, false] {
        let mut chain = Chain::reserved(&[Kind::Router; 3], Options::default());
        let (receiver, sender) = (chain.receiver(), chain.net.sender(chain.nodes[0]));
        let link = chain.net.topology.between(chain.nodes[3], receiver);
        let last_hop = chain.net.topology.address_on(Family::V4, chain.nodes[3], link);
        let request = TraceRequest {
            sender: Some(sender),
            last_hop: Some(last_hop),
            hop_by_hop,
            ..path_of(chain.session)
        };
        let view = chain.net.trace(receiver, request).unwrap();
        if hop_by_hop {
            assert_eq!(chain.heard(&view), chain.backwards()[1..], "{view:?}");
            assert!(view.complete);
        } else {
            // S answers nobody who is not on its links.
            assert!(!view.complete && chain.counted(chain.nodes[0], "reply_to_a_stranger") > 0);
        }
    }
}

/// Diagnostic messages are authenticated like all others.
#[test]
fn a_secured_network_is_traced_and_forgers_are_not_heard() {
    for by_neighbour in [false, true] {
        let secured = Some(Secured { by_neighbour, ..Secured::default() });
        let config = NodeConfig { secured, ..everybody_sees_all() };
        let mut chain = Chain::reserved(&[Kind::Router; 3], options(Family::V4, config));
        let mark = chain.net.log.crossings().len();
        let view = chain.trace();
        assert_eq!(chain.heard(&view), chain.backwards(), "{view:?}");
        assert!(view.complete);
        let mut seen = 0;
        for crossing in &chain.net.log.crossings()[mark..] {
            let bytes = chain.net.log.bytes(crossing).to_vec();
            let kind = MessageType::from(bytes[1]);
            if !matches!(kind, MessageType::Dreq | MessageType::Drep) {
                continue;
            }
            let message = Message::parse(&bytes).unwrap();
            assert!(message.packet().integrity().is_some(), "{kind:?} is signed");
            seen += 1;
        }
        // With digests the last report does not fit: a fragment goes back, too.
        assert_eq!(seen, 12, "four requests, a fragment and a reply over four links");
    }
}
