//! How what a hop is charged is divided among its next hops, in networks of engines.

use lcm_daemon::engine::Handle;
use lcm_daemon::ledger::record::Body;
use lcm_daemon::tariff::{Split, Tariff};
use lcm_tests::sim::{Kind, LinkId, Net, NodeId, Options, Topology, group, reserve_up_to};
use rsvp_wire::object::{Filter, FlowSpec, Session, Tspec};

/// ```text
/// S ── A ─60─ B ─┬─ C ─┬─ R1
///                │     └─ R2
///                └─ R3
/// ```
struct Play {
    net: Net,
    session: Session,
    sender: Filter,
    routers: [NodeId; 3],
    receivers: [NodeId; 3],
}

/// What the sender sends: 1 Mbit/s.
const SENT: Tspec = Tspec::new(125_000, 10_000, 64, 1500);

impl Play {
    /// All routers share by the same strategy.
    fn new(split: &Split) -> Self {
        let mut topology = Topology::default();
        let s = topology.node("S", Kind::Host);
        let routers = ["A", "B", "C"].map(|name| topology.node(name, Kind::Router));
        let receivers = ["R1", "R2", "R3"].map(|name| topology.node(name, Kind::Host));
        topology.link(s, routers[0], (0, 0));
        topology.link(routers[0], routers[1], (60, 60));
        topology.link(routers[1], routers[2], (0, 0));
        for (at, receiver) in [(2, 0), (2, 1), (1, 2)] {
            topology.link(routers[at], receivers[receiver], (0, 0));
        }
        for node in routers {
            for link in topology.links_of(node).collect::<Vec<_>>() {
                topology.splits.insert((node, link), split.clone());
            }
        }
        let options = Options { keep_packets: true, ..Options::default() };
        let mut net = Net::new(topology, options);
        let session = group(options.family, 1);
        net.fix_members(session, receivers);
        net.send_traffic(s, session, SENT, None);
        net.run_ms(1_000);
        let sender = net.sender(s);
        Self { net, session, sender, routers, receivers }
    }

    /// R1 to R3 reserve, in this order and so many bit/s of the sender's 1,000,000.
    fn receive(&mut self, order: &[(usize, u64)]) -> Vec<(NodeId, Handle)> {
        let mut handles = Vec::new();
        for (receiver, bits) in order {
            let node = self.receivers[receiver - 1];
            let flowspec = FlowSpec::ControlledLoad(Tspec::new(bits / 8, 10_000, 64, 1500));
            let flowspec = Some(flowspec);
            let request = lcm_daemon::engine::ReceiverRequest {
                flowspec,
                ..reserve_up_to(self.session, None)
            };
            handles.push((node, self.net.receive_as(node, request)));
            // A host that joins hears the next PATH.
            self.net.run_ms(60_000);
        }
        handles
    }

    fn link(&self, a: NodeId, b: NodeId) -> LinkId {
        self.net.topology.between(a, b)
    }

    /// What a router says of the receivers below it, with its last RESV.
    fn told(&self, router: usize, above: NodeId) -> Option<u32> {
        let (router, link) = (self.routers[router], self.link(above, self.routers[router]));
        let ucpe = self.net.log.last_ucpe(link, router, self.sender).unwrap();
        ucpe.terms.receivers_below
    }

    /// What R1 to R3 pay in a second, once all is at rest.
    fn paid(&mut self) -> [i128; 3] {
        self.net.run_ms(200_000);
        let rates = self.net.rates_over(1_000);
        assert_eq!(rates[self.routers[0]], 60, "A has its price, whoever pays it");
        assert_eq!(rates.iter().sum::<i128>(), 0);
        self.net.assert_promise();
        self.receivers.map(|node| -rates[node])
    }

    /// Router B has what A charges shared otherwise, as by a new configuration.
    fn share_at_b(&mut self, split: Split) {
        let (a, b) = (self.routers[0], self.routers[1]);
        let name = self.net.topology.interface_name(b, self.link(a, b));
        let tariff = Tariff { split, ..Tariff::free() };
        self.net.input(b, |engine, now| engine.set_tariff(now, &name, tariff)).unwrap();
    }

    /// Versions that B's consents name, oldest first, one of each run.
    fn versions(&self) -> Vec<u32> {
        let records = self.net.node(self.routers[1]).records().iter();
        let mut versions: Vec<u32> = records
            .filter_map(|(_, body)| match &**body {
                Body::Consent(consent) => Some(consent.tariff),
                _ => None,
            })
            .collect();
        versions.dedup();
        versions
    }
}

#[test]
fn r020_routers_say_how_many_receivers_are_below() {
    let mut play = Play::new(&Split::Equal);
    let [a, b, _] = play.routers;
    let mut handles = Vec::new();
    // Who has one says nothing: the message is as short as ever.
    for (receiver, counts) in [(1, (None, None)), (3, (None, Some(2))), (2, (Some(2), Some(3)))] {
        handles.extend(play.receive(&[(receiver, 1_000_000)]));
        assert_eq!((play.told(2, b), play.told(1, a)), counts, "after R{receiver}");
    }
    let (node, handle) = handles.remove(0);
    play.net.close(node, handle);
    play.net.run_ms(2_000);
    assert_eq!((play.told(2, b), play.told(1, a)), (None, Some(2)));
}

/// One link of 60 above B; C stands for R1 and R2.
#[test]
fn r020_r115_routers_share_by_the_strategy_of_their_configuration() {
    let all = [(1, 1_000_000), (3, 500_000), (2, 250_000)];
    for (split, paid) in [
        (Split::Equal, [15, 15, 30]),
        (Split::Receivers(0), [20, 20, 20]),
        (Split::Quantity, [32, 8, 20]),
        (Split::Incremental, [60, 0, 0]),
        // C weighs three times as much as R3.
        (threefold(), [23, 22, 15]),
    ] {
        let mut play = Play::new(&split);
        play.receive(&all);
        assert_eq!(play.paid(), paid, "{split}");
    }
    // C came first, with less than R3; it grows and keeps its place.
    let mut play = Play::new(&Split::Incremental);
    play.receive(&[(2, 250_000), (3, 500_000)]);
    assert_eq!(play.paid(), [0, 30, 30]);
    play.receive(&[(1, 1_000_000)]);
    assert_eq!(play.paid(), [45, 15, 0]);
}

/// C weighs 3, all others 1.
fn threefold() -> Split {
    let Play { net, routers, .. } = Play::new(&Split::Equal);
    let link = net.topology.between(routers[1], routers[2]);
    let hop = net.topology.address_on(net.family(), routers[2], link);
    Split::Weights { neighbours: [(hop, 3)].into(), otherwise: 1 }
}

/// Before anybody is known, a next hop that may weigh more is quoted what it may come to.
#[test]
fn r020_a_next_hop_of_weight_is_quoted_it_before_it_joins() {
    let mut play = Play::new(&threefold());
    let told = |play: &Play, node| {
        let now = play.net.clock(node);
        let sessions = play.net.node(node).engine().show_sessions(now);
        sessions[0].senders[0].charging.as_ref().unwrap().total_charge
    };
    play.receive(&[(3, 1_000_000)]);
    assert_eq!(told(&play, play.routers[2]), 45);
    play.receive(&[(1, 1_000_000)]);
    assert_eq!(told(&play, play.receivers[2]), 15);
    assert_eq!(play.paid(), [45, 0, 15]);
}

/// Another strategy at SIGHUP: falls hold at once, rises when they are paid, and consents tell by
/// which strategy they were given (T4 to T6).
#[test]
fn r020_r108_a_new_split_holds_as_new_prices_do() {
    let mut play = Play::new(&Split::Equal);
    play.receive(&[(1, 1_000_000), (2, 1_000_000), (3, 1_000_000)]);
    assert_eq!(play.paid(), [15, 15, 30]);
    let equal = play.versions();
    assert_eq!(equal.len(), 1);
    play.share_at_b(Split::Receivers(0));
    assert_eq!(play.paid(), [15, 15, 30].map(|_| 20));
    let receivers = equal[0] ^ Split::Receivers(0).version();
    assert_eq!(play.versions(), [equal[0], receivers]);
    // A price that the operator sets meanwhile leaves the split as it is.
    let (b, link) = (play.routers[1], play.link(play.routers[0], play.routers[1]));
    play.net.set_price(b, link, 0, false);
    assert_eq!(play.paid(), [20, 20, 20]);
    play.share_at_b(Split::Equal);
    assert_eq!(play.paid(), [15, 15, 30]);
    assert_eq!(play.versions(), [equal[0], receivers, equal[0]]);
}

/// As if four next hops shared: the hop carries what is left, nobody pays more than was announced
/// before anyone was there, and nobody's reports are doubted for it.
#[test]
fn r005_a_group_that_is_expected_pays_no_more_than_announced_while_it_grows() {
    let mut play = Play::new(&Split::EqualOf(4));
    for (receiver, paid) in [(1, [4, 0, 0]), (3, [4, 0, 15]), (2, [4, 4, 15])] {
        play.receive(&[(receiver, 1_000_000)]);
        assert_eq!(play.paid(), paid);
    }
    let rates = play.net.rates_over(1_000);
    assert_eq!(play.routers.map(|node| rates[node]), [60, 30 - 60, 8 - 15]);
    for node in 0..play.net.topology.nodes.len() {
        assert_eq!(play.net.node(node).alarms(), []);
    }
}
