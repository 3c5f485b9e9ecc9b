//! A new price on its way to many sessions: told some at a time, all within a refresh period, and each
//! pays it from the moment that it agreed (charging.md T4 to T6).

use std::collections::BTreeMap;

use lcm_tests::sim::{Kind, Net, NodeId, Options, Topology, reserve_up_to};
use rsvp_wire::MessageType;
use rsvp_wire::object::Session;

const R_MS: u64 = 30_000;
const SESSIONS: u16 = 400;
/// What a router quotes in one breath at most.
const BATCH: usize = 64;

/// S ── A ── B ── R, each router at its price, with many sessions that stand.
struct Crowd {
    net: Net,
    nodes: [NodeId; 4],
}

impl Crowd {
    fn new() -> Self {
        let mut topology = Topology::default();
        let nodes =
            [("S", Kind::Host), ("A", Kind::Router), ("B", Kind::Router), ("R", Kind::Host)]
                .map(|(n, k)| topology.node(n, k));
        let [s, a, b, r] = nodes;
        topology.link(s, a, (0, 0));
        topology.link(a, b, (60, 200));
        topology.link(b, r, (40, 40));
        let net = Net::new(topology, Options { keep_packets: true, ..Options::default() });
        let mut crowd = Self { net, nodes };
        for port in 0..SESSIONS {
            let any = crowd.net.session_to(r);
            let session = Session { destination_port: 5_000 + port, ..any };
            crowd.net.send(s, session, None);
            crowd.net.receive_as(r, reserve_up_to(session, None));
        }
        crowd.net.run_ms(4 * R_MS);
        crowd.assert_paid(60);
        crowd
    }

    fn set_price(&mut self, price: u64) {
        let [_, a, b, _] = self.nodes;
        let link = self.net.topology.between(a, b);
        self.net.set_price(a, link, price, false);
    }

    /// PATHs that A sent since `mark`, by the instant.
    fn told_since(&self, mark: usize) -> BTreeMap<u64, usize> {
        let [_, a, b, _] = self.nodes;
        let link = self.net.topology.between(a, b);
        let new = self.net.log.crossings()[mark..].iter();
        let mut told = BTreeMap::new();
        for path in new.filter(|c| (c.link, c.from, c.message_type) == (link, a, MessageType::Path))
        {
            *told.entry(path.at).or_default() += 1;
        }
        told
    }

    /// Every session pays A's price and B's 40, and nothing else.
    fn assert_paid(&mut self, price: i128) {
        let each = i128::from(SESSIONS);
        let earned = [0, price * each, 40 * each, -(price + 40) * each];
        self.net.assert_metered(1_000, &earned);
    }
}

/// How far a new price has come: left to tell, by the router's own count.
fn left(crowd: &Crowd) -> usize {
    crowd.net.node(crowd.nodes[1]).engine().requotes_left()
}

#[test]
fn r108_a_new_price_reaches_many_sessions_some_at_a_time() {
    let mut crowd = Crowd::new();
    let mark = crowd.net.log.crossings().len();
    crowd.set_price(110);
    assert!(left(&crowd) > 0, "all {SESSIONS} were told at once");
    crowd.net.run_ms(1_000);
    assert_eq!(left(&crowd), 0);
    let told = crowd.told_since(mark);
    assert!(told.values().all(|count| *count <= BATCH + 2), "{told:?}");
    let all: usize = told.values().sum();
    assert!(all >= SESSIONS.into(), "{all} of {SESSIONS} heard of it");
    // One PATH each and, once it is paid for, one more that says so; refreshes beside.
    assert!(all <= 3 * usize::from(SESSIONS), "{all} PATHs for {SESSIONS} sessions");
    crowd.net.run_ms(2_000);
    crowd.assert_paid(110);
}

#[test]
fn r108_a_price_that_changes_on_its_way_reaches_all_as_it_is_last() {
    let mut crowd = Crowd::new();
    crowd.set_price(110);
    crowd.net.run_ms(25);
    assert!((1..usize::from(SESSIONS)).contains(&left(&crowd)), "{}", left(&crowd));
    crowd.set_price(90);
    crowd.net.run_ms(25);
    crowd.set_price(80);
    crowd.net.run_ms(3_000);
    assert_eq!(left(&crowd), 0);
    crowd.assert_paid(80);
}

/// Sessions come and go while a price is on its way.
#[test]
fn a_price_on_its_way_passes_whoever_left_and_misses_nobody_who_came() {
    let mut crowd = Crowd::new();
    crowd.set_price(110);
    let [s, _, _, r] = crowd.nodes;
    let any = crowd.net.session_to(r);
    for port in 0..SESSIONS {
        let session = Session { destination_port: 6_000 + port, ..any };
        crowd.net.send(s, session, None);
        crowd.net.receive_as(r, reserve_up_to(session, None));
        if port % 50 == 0 {
            crowd.net.run_ms(7);
        }
    }
    crowd.net.run_ms(3_000);
    assert_eq!(left(&crowd), 0);
    let each = 2 * i128::from(SESSIONS);
    crowd.net.assert_metered(1_000, &[0, 110 * each, 40 * each, -150 * each]);
}
