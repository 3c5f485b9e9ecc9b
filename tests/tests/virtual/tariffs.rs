//! Prices by what is reserved, and by service class.

use lcm_daemon::engine::{NoticeEvent, ReceiverRequest, SenderShare};
use lcm_daemon::tariff::{
    Class, Congestion, Flat, Guaranteed, Most, Rate, Schedule, Tariff, Window,
};
use lcm_tests::sim::{Kind, LinkId, Net, NodeId, Options, Topology, group, reserve_up_to};
use rsvp_wire::object::{Float, FlowSpec, Tspec};

/// What a Mbit/s costs on each link of the chain.
const PER_MBIT: [u64; 2] = [1_000, 3_000];

/// What the sender sends: 1 Mbit/s.
const SENT: Tspec = Tspec::new(125_000, 10_000, 64, 1500);

struct Chain {
    net: Net,
    sender: NodeId,
    routers: [NodeId; 2],
    receiver: NodeId,
}

impl Chain {
    /// A sender, two routers that charge by rate, and a receiver.
    fn new() -> Self {
        let mut topology = Topology::default();
        let sender = topology.node("S", Kind::Host);
        let routers = ["A", "B"].map(|name| topology.node(name, Kind::Router));
        let receiver = topology.node("R", Kind::Host);
        topology.link(sender, routers[0], (0, 0));
        topology.link(routers[0], routers[1], (0, 0));
        topology.link(routers[1], receiver, (0, 0));
        let mut net = Net::new(topology, Options::default());
        for (at, per_mbit) in PER_MBIT.into_iter().enumerate() {
            net.set_tariff(routers[at], at + 1, (0, 0), (per_mbit, 0));
        }
        Self { net, sender, routers, receiver }
    }

    fn send(&mut self) {
        let session = group(self.net.family(), 1);
        self.net.send_traffic(self.sender, session, SENT, Some(SenderShare::default()));
    }

    fn reserve(&mut self, flowspec: FlowSpec) -> lcm_daemon::engine::Handle {
        let session = group(self.net.family(), 1);
        let request = ReceiverRequest { flowspec: Some(flowspec), ..reserve_up_to(session, None) };
        self.net.receive_as(self.receiver, request)
    }

    fn set(&mut self, at: usize, tariff: Tariff) {
        let link: LinkId = at + 1;
        let name = self.net.topology.interface_name(self.routers[at], link);
        self.net
            .input(self.routers[at], |engine, now| engine.set_tariff(now, &name, tariff))
            .unwrap();
    }

    /// What everybody earns in a second.
    fn rates(&mut self) -> Vec<i128> {
        self.net.run_ms(200_000);
        self.net.rates_over(1_000)
    }

    /// What the receiver was quoted last.
    fn quoted(&self) -> u64 {
        let now = self.net.clock(self.receiver);
        let sessions = self.net.node(self.receiver).engine().show_sessions(now);
        sessions[0].senders[0].charging.as_ref().unwrap().total_charge
    }
}

fn half() -> FlowSpec {
    FlowSpec::ControlledLoad(Tspec::new(62_500, 10_000, 64, 1500))
}

fn all() -> FlowSpec {
    FlowSpec::ControlledLoad(SENT)
}

fn guaranteed(rate: u64) -> FlowSpec {
    FlowSpec::Guaranteed { tspec: SENT, rate: Float::from_integer(rate), slack: 0 }
}

#[test]
fn r056_twice_the_bandwidth_costs_twice_as_much() {
    for (flowspec, times) in [(half(), 1), (all(), 2)] {
        let mut chain = Chain::new();
        chain.send();
        chain.reserve(flowspec);
        assert_eq!(chain.rates(), [0, 500 * times, 1_500 * times, -2_000 * times]);
        chain.net.assert_promise();
    }
}

/// The precision of a service, and so its tariff, goes by its class: another tariff for one class
/// changes nothing for reservations of the other.
#[test]
fn r120_a_tariff_is_keyed_by_service_class() {
    let class = |price_pico_per_s| {
        let shape = Rate { price_pico_per_s, per_mbit_pico_per_s: 1_000 };
        Class::new(shape, Most::Percent(100))
    };
    // Each tariff for controlled load and for guaranteed service, and what either pays.
    for (flowspec, paid) in
        [(all(), [1_010, 1_011, 1_011]), (guaranteed(125_000), [1_020, 1_020, 1_021])]
    {
        let mut chain = Chain::new();
        let mut rates = Vec::new();
        for (controlled_load, guaranteed) in [(10, 20), (11, 20), (11, 21)] {
            chain.set(0, Tariff::new(class(controlled_load), Some(class(guaranteed))));
            if rates.is_empty() {
                chain.send();
                chain.reserve(flowspec);
            }
            rates.push(chain.rates()[1]);
        }
        assert_eq!(rates, paid);
        chain.net.assert_promise();
    }
}

#[test]
fn r035_controlled_load_and_guaranteed_service_have_prices_of_their_own() {
    let mut rates = Vec::new();
    for flowspec in [all(), guaranteed(125_000), guaranteed(250_000)] {
        let mut chain = Chain::new();
        let controlled_load = Class::new(
            Rate { price_pico_per_s: 0, per_mbit_pico_per_s: 1_000 },
            Most::Percent(100),
        );
        let by_rate = Guaranteed {
            price_pico_per_s: 7,
            per_mbit_pico_per_s: 5_000,
            half_price_slack_us: 1_000,
        };
        let own = Some(Class::new(by_rate, Most::Percent(100)));
        chain.set(0, Tariff::new(controlled_load, own));
        chain.send();
        chain.reserve(flowspec);
        rates.push(chain.rates()[1]);
        // It was quoted less than guaranteed service costs, and told before it was billed.
        chain.net.assert_promise();
    }
    assert_eq!(rates, [1_000, 5_007, 10_007]);
}

/// What was quoted for what the sender sends does not cover what was asked for: refused, quoted
/// anew by one hop after the other, and never billed for less than it agreed to.
#[test]
fn t5_more_than_was_quoted_for_is_quoted_by_every_hop() {
    let mut chain = Chain::new();
    chain.send();
    chain.net.run_ms(40_000);
    chain.reserve(guaranteed(500_000));
    assert_eq!(chain.rates(), [0, 4_000, 12_000, -16_000]);
    assert_eq!(chain.quoted(), 16_000);
    chain.net.assert_promise();
}

#[test]
fn t4_a_reservation_grows_when_the_whole_way_is_paid_for() {
    let mut chain = Chain::new();
    chain.send();
    let first = chain.reserve(half());
    assert_eq!(chain.rates(), [0, 500, 1_500, -2_000]);
    chain.net.close(chain.receiver, first);
    chain.reserve(all());
    assert_eq!(chain.rates(), [0, 1_000, 3_000, -4_000]);
    chain.net.assert_promise();
}

/// Two policies side by side, each with its node.
#[test]
fn r001_each_node_prices_by_a_policy_of_its_own() {
    let mut chain = Chain::new();
    let flat = Class::new(Flat { price_pico_per_s: 250 }, Most::Price(400));
    chain.set(1, Tariff::new(flat, None));
    chain.send();
    chain.reserve(half());
    assert_eq!(chain.rates(), [0, 500, 250, -750]);
}

/// A configuration that is read again: what is dearer waits for approval, what is cheaper does not;
/// and the consents name the tariff.
#[test]
fn t4_a_tariff_that_is_read_again_holds_at_once_and_debits_what_is_approved() {
    let mut chain = Chain::new();
    chain.send();
    let session = group(chain.net.family(), 1);
    let bounded = ReceiverRequest { flowspec: Some(all()), ..reserve_up_to(session, Some(5_000)) };
    chain.net.receive_as(chain.receiver, bounded);
    assert_eq!(chain.rates(), [0, 1_000, 3_000, -4_000]);
    let node = chain.routers[1];
    let name = chain.net.topology.interface_name(node, 2);
    let read_again = |chain: &mut Chain, tariff: &Tariff| {
        let mut config = lcm_daemon::config::Config::parse("", "none").unwrap();
        let of = lcm_daemon::config::Interface {
            tariff: tariff.clone(),
            ..config.default_interface.clone()
        };
        config.interfaces.insert(name.clone(), of);
        chain.net.input(node, |engine, now| engine.set_tariffs(now, &config))
    };
    let by_rate = |per_mbit_pico_per_s| {
        let shape = Rate { price_pico_per_s: 0, per_mbit_pico_per_s };
        Tariff::new(Class::new(shape, Most::Percent(100)), None)
    };
    let changed = read_again(&mut chain, &by_rate(2_000));
    assert_eq!(changed, [(name.clone(), by_rate(2_000))]);
    assert_eq!(read_again(&mut chain, &by_rate(2_000)), []);
    chain.net.run_ms(1_000);
    assert_eq!(chain.net.rates_over(1_000), [0, 1_000, 2_000, -3_000]);
    // Above its maximum: it pays the old price until it is given up.
    read_again(&mut chain, &by_rate(9_000));
    chain.net.run_ms(5_000);
    assert_eq!(chain.net.rates_over(1_000), [0, 1_000, 2_000, -3_000]);
    let declined = |n: &lcm_daemon::engine::Notice| {
        matches!(n.event, NoticeEvent::Declined { due: 10_000, .. })
    };
    assert!(chain.net.node(chain.receiver).notices().iter().any(declined));
    chain.net.run_ms(60_000);
    assert_eq!(chain.net.rates_over(1_000), [0, 0, 0, 0]);
    chain.net.assert_promise();
}

/// Prices that move with the clock are quoted at the minute, and never above what was announced as
/// the most from the start.
#[test]
fn r005_the_most_that_windows_and_congestion_come_to_is_announced_from_the_start() {
    let mut chain = Chain::new();
    // The clock starts at 2025-06-15 15:06:40 UTC, a Sunday.
    let window = Window { days: [true; 7], from: 15 * 60 + 10, to: 15 * 60 + 20, percent: 300 };
    let flat = Class::new(Flat { price_pico_per_s: 100 }, Most::Price(150));
    let schedule = Schedule::new("UTC", vec![window]);
    chain.set(1, Tariff { schedule, ..Tariff::new(flat, None) });
    chain.send();
    chain.reserve(all());
    let mut seen = Vec::new();
    for _ in 0..20 {
        chain.net.run_ms(60_000);
        seen.push(chain.quoted());
    }
    assert!(seen.contains(&1_100) && seen.contains(&1_300), "{seen:?}");
    let turns = seen.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(turns, 2, "{seen:?}");
    let now = chain.net.clock(chain.receiver);
    let sessions = chain.net.node(chain.receiver).engine().show_sessions(now);
    let most = sessions[0].senders[0].charging.as_ref().unwrap().max_total_charge;
    assert_eq!(most, 1_500 + 450);
    chain.net.assert_promise();
}

/// Each change of what is reserved moves the price at once; or not before it was held for long
/// enough, and what passes meanwhile moves nothing.
#[test]
fn r108_prices_change_as_often_as_the_operator_lets_them() {
    for (hold_ms, expected) in [(0, [200, 300, 200]), (100_000, [200, 200, 200])] {
        let mut topology = Topology::default();
        let [s, a, r] = [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host)]
            .map(|(name, kind)| topology.node(name, kind));
        topology.link(s, a, (0, 0));
        let out = topology.link(a, r, (0, 0));
        topology.links[out].reservable[0] = Some(4_000_000);
        let mut net = Net::new(topology, Options::default());
        let flat = Class::new(Flat { price_pico_per_s: 100 }, Most::Price(100));
        let curve = Congestion {
            points: vec![(0, 100), (100, 500)],
            hold_ms,
            least_change_percent: 0,
            approach_percent: 100,
        };
        let tariff = Tariff { congestion: Some(curve), ..Tariff::new(flat, None) };
        let name = net.topology.interface_name(a, out);
        net.input(a, |engine, now| engine.set_tariff(now, &name, tariff)).unwrap();
        let mut handles = Vec::new();
        let mut seen = Vec::new();
        for step in 0..3 {
            // A Mbit/s, another one, and the first one goes.
            if step < 2 {
                let session = group(net.family(), step + 1);
                net.send_traffic(s, session, SENT, Some(SenderShare::default()));
                handles.push(net.receive_as(r, reserve_up_to(session, None)));
            } else {
                net.close(r, handles[0]);
            }
            net.run_ms(40_000);
            let now = net.clock(a);
            let on = net.node(a).engine().show_interfaces(now);
            seen.push(on.iter().find(|port| port.name == name).unwrap().price);
        }
        assert_eq!(seen, expected, "held for {hold_ms} ms");
        net.run_ms(200_000);
        net.assert_promise();
    }
}
