//! Refresh overhead reduction (RFC 2961) in virtual networks: what crosses the links at rest, and
//! what becomes of losses, disorder, restarts and neighbours that have none of it.

use lcm_daemon::engine::Handle;
use lcm_tests::sim::{Kind, Net, NodeConfig, NodeId, Options, Topology, reserve_up_to};
use rsvp_wire::object::Session;
use rsvp_wire::{Message, MessageType};

/// What was set for all nodes, beside which nodes reduce refreshes.
const R_MS: u64 = 30_000;

/// S ── A ── B ── R
struct Chain {
    net: Net,
    s: NodeId,
    a: NodeId,
    b: NodeId,
    r: NodeId,
    session: Session,
    handles: Option<(Handle, Handle)>,
    /// Packets before those that [`Chain::sent`] counts.
    mark: usize,
}

impl Chain {
    fn with(config: NodeConfig) -> Self {
        let mut topology = Topology::default();
        let nodes =
            [("S", Kind::Host), ("A", Kind::Router), ("B", Kind::Router), ("R", Kind::Host)]
                .map(|(n, k)| topology.node(n, k));
        let [s, a, b, r] = nodes;
        topology.link(s, a, (0, 0));
        topology.link(a, b, (60, 60));
        topology.link(b, r, (40, 40));
        let options = Options { config, keep_packets: true, ..Options::default() };
        let net = Net::new(topology, options);
        let session = net.session_to(r);
        Self { net, s, a, b, r, session, handles: None, mark: 0 }
    }

    /// All reduce refreshes; a reservation stands.
    fn reserved() -> Self {
        let mut chain = Self::with(NodeConfig { reducing: Some(0), ..NodeConfig::default() });
        chain.reserve();
        chain
    }

    fn reserve(&mut self) {
        let sender = self.net.send(self.s, self.session, None);
        let receiver = self.net.receive_as(self.r, reserve_up_to(self.session, None));
        self.handles = Some((receiver, sender));
        self.net.run_ms(4 * R_MS);
        assert!(self.stands(), "{:?} {}", self.net.sizes(), self.net.story());
    }

    /// A reservation at each node but the receiver's, beside the receiver's own.
    fn stands(&self) -> bool {
        let (_, paths, reservations) = self.net.sizes();
        (paths, reservations) == (4, 4)
    }

    fn gone(&self) -> bool {
        let (_, paths, reservations) = self.net.sizes();
        (paths, reservations) == (0, 0)
    }

    /// Messages of a type that left a node, those in Bundles too.
    fn sent(&self, from: NodeId, kind: MessageType) -> usize {
        let kinds = |bytes: &[u8]| match Message::parse(bytes) {
            Ok(Message::Bundle(bundle)) => bundle.parts().map(|part| part[1].into()).collect(),
            _ => vec![MessageType::from(bytes[1])],
        };
        let crossings = self.net.log.crossings()[self.mark..].iter();
        let crossings = crossings.filter(|crossing| crossing.from == from);
        let kinds = crossings.flat_map(|crossing| kinds(self.net.log.bytes(crossing)));
        kinds.filter(|sent| *sent == kind).count()
    }

    fn counted(&self, node: NodeId, event: &str) -> u64 {
        let counters = self.net.node(node).engine().counters();
        counters.reduction.get(event).copied().unwrap_or_default()
    }
}

#[test]
fn at_rest_only_numbers_cross_and_payments_go_on() {
    let mut chain = Chain::reserved();
    chain.mark = chain.net.log.crossings().len();
    // R pays 100 a second, of which A and B keep 60 and 40.
    chain.net.assert_metered(20 * R_MS, &[0, 60, 40, -100]);
    chain.net.assert_promise();
    for node in [chain.s, chain.a, chain.b, chain.r] {
        assert_eq!(chain.sent(node, MessageType::Path), 0, "{}", chain.net.story());
        assert_eq!(chain.sent(node, MessageType::Resv), 0, "{}", chain.net.story());
    }
    // Each of the two in the middle refreshes both sides, 20 times in the mean.
    assert!((24..=84).contains(&chain.sent(chain.a, MessageType::Srefresh)));
    assert_eq!(chain.counted(chain.a, "nack_sent"), 0);
    assert!(chain.stands());
}

#[test]
fn a_neighbour_without_it_is_refreshed_as_ever() {
    // The seed has it that some reduce refreshes and some do not.
    for seed in 1..=8 {
        let config = NodeConfig { reducing: Some(seed), ..NodeConfig::default() };
        let mut chain = Chain::with(config);
        chain.reserve();
        chain.mark = chain.net.log.crossings().len();
        chain.net.assert_metered(10 * R_MS, &[0, 60, 40, -100]);
        let reduces = |node: NodeId| chain.net.node(node).engine().show_neighbours().len();
        let both = |a: NodeId, b: NodeId| reduces(a) > 0 && reduces(b) > 0;
        let (sends, resvs) = (MessageType::Path, MessageType::Resv);
        if !both(chain.r, chain.b) {
            assert!(chain.sent(chain.r, resvs) > 0, "seed {seed}");
        }
        if !both(chain.s, chain.a) {
            assert!(chain.sent(chain.s, sends) > 0, "seed {seed}");
        }
        assert!(chain.stands());
    }
}

#[test]
fn a_changed_price_goes_as_a_whole_message_and_is_approved() {
    let mut chain = Chain::reserved();
    let link = chain.net.topology.between(chain.a, chain.b);
    chain.net.set_price(chain.a, link, 90, false);
    chain.net.run_ms(R_MS);
    chain.mark = chain.net.log.crossings().len();
    chain.net.assert_metered(4 * R_MS, &[0, 90, 40, -130]);
    chain.net.assert_promise();
    assert_eq!(chain.sent(chain.a, MessageType::Path), 0, "{}", chain.net.story());
}

#[test]
fn a_lost_tear_is_sent_again() {
    for lost in [1, 2] {
        let mut chain = Chain::reserved();
        chain.net.mute(chain.b, true);
        let (receiver, sender) = chain.handles.unwrap();
        chain.net.close(chain.r, receiver);
        chain.net.close(chain.s, sender);
        chain.net.run_ms(lost * 400);
        chain.net.mute(chain.b, false);
        chain.net.run_ms(3_000);
        assert!(chain.gone(), "{:?} {}", chain.net.sizes(), chain.net.story());
    }
}

#[test]
fn a_neighbour_that_lost_its_state_is_told_again() {
    let mut chain = Chain::reserved();
    chain.net.kill(chain.b);
    chain.net.run_ms(100);
    chain.net.start(chain.b);
    // Soon: the others refresh by numbers, which it does not know.
    chain.net.run_ms(2 * R_MS);
    assert!(chain.stands(), "{:?} {}", chain.net.sizes(), chain.net.story());
    let restarts = chain.counted(chain.a, "neighbour_restarted");
    assert_eq!(restarts, 1);
    chain.mark = chain.net.log.crossings().len();
    chain.net.assert_metered(4 * R_MS, &[0, 60, 40, -100]);
    assert_eq!(chain.sent(chain.a, MessageType::Path), 0, "{}", chain.net.story());
}

/// What is bundled for a dead daemon reaches nobody: its kernel passes PATHs on, and no Bundles.
#[test]
fn a_dead_neighbour_is_sent_no_bundles() {
    let mut chain = Chain::reserved();
    let other = Session { destination_port: 4_001, ..chain.session };
    chain.net.send(chain.s, other, None);
    chain.net.run_ms(4 * R_MS);
    chain.net.kill(chain.b);
    chain.net.run_ms(10 * R_MS);
    let (_, paths, _) = chain.net.node(chain.r).engine().sizes();
    assert_eq!(paths, 2, "{}", chain.net.story());
}

#[test]
fn hello_notices_a_neighbour_that_died_and_one_that_restarted() {
    let config = NodeConfig { reducing: Some(0), hello_ms: 1_000, ..NodeConfig::default() };
    let mut chain = Chain::with(config);
    chain.reserve();
    let news = |chain: &Chain, what: &str| {
        let counters = chain.net.node(chain.a).engine().counters();
        counters.neighbours.get(what).copied().unwrap_or_default()
    };
    assert_eq!((news(&chain, "greeted"), news(&chain, "silent")), (2, 0));
    chain.net.kill(chain.b);
    chain.net.run_ms(3_000);
    assert_eq!(news(&chain, "silent"), 0);
    chain.net.run_ms(2_500);
    assert_eq!(news(&chain, "silent"), 1);
    chain.net.start(chain.b);
    chain.net.run_ms(2 * R_MS);
    assert!(chain.stands(), "{}", chain.net.story());
    assert_eq!(news(&chain, "greeted"), 3);
    // One that is away for less is known by its instance.
    chain.net.kill(chain.b);
    chain.net.start(chain.b);
    chain.net.run_ms(2_500);
    assert!(news(&chain, "restarted") >= 1, "{}", chain.net.story());
    assert!(chain.stands(), "{}", chain.net.story());
    let neighbours = chain.net.node(chain.a).engine().show_neighbours();
    assert!(neighbours.iter().all(|n| n.hello.as_deref() == Some("alive")), "{neighbours:?}");
}

/// RSVP bytes per second, IPv4 headers included, that cross a link at rest, both ways.
fn bytes_per_s(reducing: Option<u64>, sessions: u16) -> f64 {
    let mut chain = Chain::with(NodeConfig { reducing, ..NodeConfig::default() });
    for port in 0..sessions {
        let session = Session { destination_port: 5_000 + port, ..chain.session };
        chain.net.send(chain.s, session, None);
        chain.net.receive_as(chain.r, reserve_up_to(session, None));
    }
    chain.net.run_ms(4 * R_MS);
    let link = chain.net.topology.between(chain.a, chain.b);
    let mark = chain.net.log.crossings().len();
    let seconds = 10 * R_MS / 1_000;
    chain.net.run_ms(10 * R_MS);
    assert_eq!(chain.net.sizes().1, 4 * usize::from(sessions));
    let crossings = chain.net.log.crossings()[mark..].iter();
    let here = crossings.filter(|crossing| crossing.link == link);
    // PATH carries Router Alert beside the header.
    let header = |kind| if kind == MessageType::Path { 24 } else { 20 };
    let bytes: usize = here.map(|c| chain.net.log.bytes(c).len() + header(c.message_type)).sum();
    bytes as f64 / seconds as f64
}

#[test]
fn numbers_cost_a_tenth_of_messages_at_most() {
    let (whole, numbers) = (bytes_per_s(None, 100), bytes_per_s(Some(0), 100));
    println!("100 sessions: {whole:.0} bytes/s in whole, {numbers:.0} bytes/s by number");
    assert!(whole > 10.0 * numbers, "{whole} {numbers}");
    assert!(numbers > 0.0);
}

/// The figures of docs/benchmarks.md: `-- --ignored --nocapture`.
#[test]
#[ignore = "takes its time; the smaller one bites as well"]
fn a_thousand_sessions_at_rest() {
    let (whole, numbers) = (bytes_per_s(None, 1_000), bytes_per_s(Some(0), 1_000));
    println!("1000 sessions: {whole:.0} bytes/s in whole, {numbers:.0} bytes/s by number");
    assert!(whole > 20.0 * numbers, "{whole} {numbers}");
}
