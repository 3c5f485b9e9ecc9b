//! A random network from a seed: nodes, links, prices, clocks, and the sessions that it may carry.

use lcm_daemon::config::{Accounts, Handshake, Unknown};
use lcm_daemon::engine::SenderShare;
use lcm_daemon::tariff::Split;
use rsvp_wire::digest::Algorithm;
use rsvp_wire::object::{Session, Style, Tspec};

use crate::sim::{
    Family, Kind, Net, NodeConfig, NodeId, Options, Secured, Topology, Weather, group,
};

/// R of all nodes, in milliseconds.
pub(super) const R_MS: u64 = 30_000;
/// Prices are multiples of this, so that up to six senders of a shared reservation divide one
/// evenly: whom the remainder goes to depends on history (charging.md section 1 leaves it open).
const EVEN: u64 = 60;
/// Drift of an ordinary quartz, in parts per million.
const QUARTZ_PPM: i64 = 200;
/// Drift of a clock that is out of order. At 1 % a refresh after 1.5 R still falls into
/// H = 1.5 R + 2 s of the other's clock.
const BROKEN_PPM: i64 = 10_000;

/// What a network is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Feeds every choice.
    pub seed: u64,
    /// Nodes: about three routers to two hosts.
    pub nodes: usize,
    /// Minutes of virtual time, before everything is torn down.
    pub minutes: u64,
}

/// A session that applications may open.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// Its name on the wire.
    pub session: Session,
    /// The style of all its reservations.
    pub style: Style,
    /// The receiver of a unicast session.
    pub home: Option<NodeId>,
}

/// A network that has not carried anything yet.
#[derive(Debug)]
pub(super) struct Ground {
    /// The network.
    pub net: Net,
    /// Sessions.
    pub topics: Vec<Topic>,
    /// Whether anybody charges.
    pub charging: bool,
    /// How all messages are authenticated, if they are.
    pub secured: Option<Secured>,
    /// How accounts are kept, if they are.
    pub accounts: Option<Kept>,
    /// What goes on to feed the play.
    pub rng: fastrand::Rng,
}

/// How accounts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// Who has no account is refused.
    pub refuse: bool,
    /// Operators look at neighbours' accounts, too, and so at what senders pay.
    pub neighbours: bool,
}

/// Builds a network.
pub(super) fn build(plan: Plan) -> Ground {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x5EED_0F51_3A7E_0001);
    let charging = rng.u8(0..4) > 0;
    let (mut topology, hosts) = topology(&mut rng, plan.nodes.max(4), charging);
    price_by_quantity(plan, &mut topology);
    let slow = if rng.u8(0..3) == 0 { (100, 9_000) } else { (0, 0) };
    let family = if rng.bool() { Family::V4 } else { Family::V6 };
    divide(plan, &mut topology, family);
    // Routers of one network differ in what they can do.
    let reducing = (plan.seed % 3 == 1).then_some(plan.seed);
    let hello_ms = if plan.seed % 6 == 1 { 5_000 } else { 0 };
    let accounts = accounts(plan).filter(|_| charging);
    let options = Options {
        seed: plan.seed,
        family,
        config: NodeConfig {
            charging,
            secured: secured(plan),
            reducing,
            hello_ms,
            accounts: accounts.map(|kept| Accounts {
                unknown: if kept.refuse { Unknown::Refuse } else { Unknown::Accept },
                ..Accounts::default()
            }),
            ..NodeConfig::default()
        },
        weather: Weather::FAIR,
        record_us: slow,
        route_us: slow,
        route_per_flow: plan.seed % 4 == 3,
        keep_packets: true,
    };
    let mut net = Net::new(topology, options);
    for id in 0..net.topology.nodes.len() {
        set_clocks(&mut net, &mut rng, id);
    }
    let topics = topics(&net, &mut rng, &hosts);
    let secured = options.config.secured;
    Ground { net, topics, charging, secured, accounts, rng }
}

/// Whether all messages are authenticated, in two networks of five: not drawn from what feeds the
/// other choices, which stay as they are.
fn secured(plan: Plan) -> Option<Secured> {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x5EC0_2747_5EC0_3097);
    let known = Algorithm::KNOWN;
    let handshakes = [Handshake::Off, Handshake::IfOffered, Handshake::Required];
    let secured = Secured {
        algorithm: *rng.choice(known.iter()).unwrap_or(&Algorithm::HmacMd5),
        handshake: *rng.choice(handshakes.iter()).unwrap_or(&Handshake::Off),
        window: if rng.bool() { 32 } else { rng.u32(1..200) },
        by_neighbour: rng.bool(),
    };
    (rng.u8(0..5) < 2).then_some(secured)
}

/// Whether accounts are kept, in a third of the networks; again not drawn from what feeds the other
/// choices.
fn accounts(plan: Plan) -> Option<Kept> {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x0ACC_0097_0ACC_0023);
    let kept = Kept { refuse: rng.u8(0..3) == 0, neighbours: rng.u8(0..3) == 0 };
    (rng.u8(0..3) == 0).then_some(kept)
}

/// A connected graph of routers, some links more than a tree needs, and hosts that hang on it.
fn topology(rng: &mut fastrand::Rng, nodes: usize, charging: bool) -> (Topology, Vec<NodeId>) {
    let mut topology = Topology::default();
    let routers = (nodes * 3 / 5).min(nodes - 2).max(1);
    // In some networks all routers are alike.
    let mixed = rng.u8(0..3) > 0;
    for index in 0..routers {
        let kind = match rng.u8(0..10) {
            0 | 1 if mixed => Kind::Plain,
            2 | 3 if mixed && charging => Kind::Ignorant,
            _ => Kind::Router,
        };
        topology.node(&format!("I{index}"), kind);
        if index > 0 {
            // Chains as often as bushes.
            let parent = if rng.bool() { index - 1 } else { rng.usize(..index) };
            topology.two_way(parent, index, [price(rng), price(rng)]);
        }
    }
    if routers > 1 && rng.u8(0..3) > 0 {
        for _ in 0..rng.usize(1..=routers.div_ceil(2)) {
            let a = rng.usize(..routers);
            let b = rng.usize(..routers);
            if a != b {
                topology.two_way(a, b, [price(rng), price(rng)]);
            }
        }
    }
    let mut hosts = Vec::new();
    for index in routers..nodes {
        let host = topology.node(&format!("H{}", index - routers), Kind::Host);
        topology.two_way(rng.usize(..routers), host, [price(rng), (0, 0)]);
        hosts.push(host);
    }
    (topology, hosts)
}

/// L and Lmax, often nothing.
pub(super) fn price(rng: &mut fastrand::Rng) -> (u64, u64) {
    let price = if rng.u8(0..5) == 0 { 0 } else { rng.u64(0..20) * EVEN };
    (price, price + rng.u64(0..20) * EVEN)
}

/// Tariffs by what is reserved, in a third of the networks on every other link; again not drawn
/// from what feeds the other choices.
fn price_by_quantity(plan: Plan, topology: &mut Topology) {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x7A81_FF5A_0000_7007);
    if rng.u8(0..3) > 0 {
        return;
    }
    for link in &mut topology.links {
        for side in 0..2 {
            let charges = topology.nodes[link.ends[side]].kind == Kind::Router;
            if charges && rng.bool() {
                link.usage[side] = usage(&mut rng);
            }
        }
    }
}

/// In two networks of five each router shares what it is charged by a strategy of its own; again
/// not drawn from what feeds the other choices.
fn divide(plan: Plan, topology: &mut Topology, family: Family) {
    let mut rng = fastrand::Rng::with_seed(plan.seed ^ 0x5A4E_5A4E_0000_0020);
    if rng.u8(0..5) > 1 {
        return;
    }
    for node in 0..topology.nodes.len() {
        if topology.nodes[node].kind != Kind::Router {
            continue;
        }
        let links: Vec<_> = topology.links_of(node).collect();
        let split = match rng.u8(0..5) {
            0 => Split::Receivers(0),
            1 => Split::Quantity,
            2 => Split::Incremental,
            3 => Split::Weights {
                neighbours: links
                    .iter()
                    .filter_map(|link| {
                        let other = topology.links[*link].other(node);
                        let weight = rng.u64(0..5);
                        let hop = topology.address_on(family, other, *link);
                        (weight < 4).then_some((hop, weight))
                    })
                    .collect(),
                otherwise: rng.u64(1..4),
            },
            _ => continue,
        };
        for link in links {
            topology.splits.insert((node, link), split.clone());
        }
    }
}

/// Prices for each Mbit/s and each 1,000 bytes of bucket depth; sometimes none.
pub(super) fn usage(rng: &mut fastrand::Rng) -> (u64, u64) {
    (rng.u64(0..6) * 1_000, rng.u64(0..4) * 15)
}

/// A wall clock that is up to a day off, a monotonic clock that drifts.
fn set_clocks(net: &mut Net, rng: &mut fastrand::Rng, id: NodeId) {
    let wall = match rng.u8(0..4) {
        0 => rng.i64(-86_400..86_400),
        _ => rng.i64(-3..=3),
    };
    let drift = match rng.u8(0..10) {
        0 => rng.i64(-BROKEN_PPM..=BROKEN_PPM),
        _ => rng.i64(-QUARTZ_PPM..=QUARTZ_PPM),
    };
    net.set_wall_clock(id, wall);
    net.set_drift(id, drift);
}

fn topics(net: &Net, rng: &mut fastrand::Rng, hosts: &[NodeId]) -> Vec<Topic> {
    let mut homes = hosts.to_vec();
    rng.shuffle(&mut homes);
    let mut topics = Vec::new();
    for number in 1..=rng.u8(1..=3) {
        let style = *rng
            .choice([Style::FixedFilter, Style::SharedExplicit, Style::WildcardFilter].iter())
            .unwrap_or(&Style::FixedFilter);
        let unicast = rng.u8(0..3) == 0;
        let home = if unicast { homes.pop() } else { None };
        let session = match home {
            Some(home) => net.session_to(home),
            None => group(net.family(), number),
        };
        topics.push(Topic { session, style, home });
    }
    topics
}

/// What a sender pays, or nothing said of it.
pub(super) fn share(rng: &mut fastrand::Rng) -> Option<SenderShare> {
    if rng.u8(0..8) == 0 {
        return None;
    }
    let some = |rng: &mut fastrand::Rng| rng.u8(0..4) == 0;
    let fraction_ppm = match rng.u8(0..5) {
        0 => 0,
        1 => 1_000_000,
        _ => rng.u32(0..=1_000_000),
    };
    Some(SenderShare {
        fraction_ppm,
        account: None,
        limit_per_receiver: some(rng).then(|| rng.u64(0..3_000)),
        limit_per_hop: some(rng).then(|| rng.u64(0..2_000)),
        max_hops: some(rng).then(|| rng.u32(0..5)),
    })
}

/// Traffic, as a sender describes it or a receiver reserves for it.
pub(super) fn traffic(rng: &mut fastrand::Rng) -> Tspec {
    let rate = rng.u64(1..=8) * 16_000;
    let bucket = rng.u64(1..=8) * 2_000;
    let min_policed = *rng.choice([64, 128, 256].iter()).unwrap_or(&64);
    let max_packet = *rng.choice([576, 1_000, 1_500].iter()).unwrap_or(&1_500);
    Tspec::new(rate, bucket, min_policed, max_packet)
}
