//! What the state of all nodes must come to: a computation over topology, kernels' routes and the
//! intents of applications, fresh from RFC 2205 and RFC 2209. It shares nothing with the engine.
//!
//! - Path state (RFC 2205 section 2.1): data of a sender is followed along the kernels' routes.
//!   Whoever runs RSVP on the way has a path state block; the previous hop is the last one that
//!   did. Whoever does not forwards unseen.
//! - Reservations (sections 1.3, 2.2, 2.4): each node asks its previous hop for the least upper
//!   bound of what its receivers and next hops ask for, per sender with fixed filters, for all
//!   senders behind one previous hop together in shared styles. Rings of shared reservations must
//!   not keep themselves alive (section 3.4), so it is the *least* fixed point that holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rsvp_wire::object::{Style, Tspec};

use super::world::World;
use crate::sim::{Kind, LinkId, NodeId};

/// A node, a session, and the node of a sender.
pub(super) type At = (NodeId, usize, NodeId);

/// Rate, bucket, smallest policed unit, largest packet: what a flowspec asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// r in bytes per second.
    pub rate: u64,
    /// b in bytes.
    pub bucket: u64,
    /// m in bytes.
    pub min_policed: u32,
    /// M in bytes.
    pub max_packet: u32,
}

impl Asked {
    pub(super) fn of(tspec: &Tspec) -> Self {
        Self {
            rate: tspec.rate.to_integer(),
            bucket: tspec.bucket.to_integer(),
            min_policed: tspec.min_policed,
            max_packet: tspec.max_packet,
        }
    }

    /// The merged TSpec of RFC 2211 section 8.
    fn merged(self, other: Self) -> Self {
        Self {
            rate: self.rate.max(other.rate),
            bucket: self.bucket.max(other.bucket),
            min_policed: self.min_policed.min(other.min_policed),
            max_packet: self.max_packet.min(other.max_packet),
        }
    }
}

/// A path state block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathState {
    /// Previous hop; `None` where the sender lives.
    pub phop: Option<IpAddr>,
    /// Interface by which PATH comes in.
    pub incoming: Option<String>,
    /// Interfaces on which it goes out, by name.
    pub outgoing: BTreeSet<String>,
    /// SENDER_TSPEC.
    pub tspec: Asked,
}

/// Where a reservation is installed: an interface (or `local`) and the next hop that asked.
pub(super) type Branch = (String, IpAddr);

/// All reservations: what is installed for each sender, by node and branch.
pub(super) type Reservations = BTreeMap<At, BTreeMap<Branch, Asked>>;

/// The state that all nodes must come to.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    /// Path state blocks.
    pub paths: BTreeMap<At, PathState>,
    /// Reservation state, one entry per sender that it is for.
    pub reservations: Reservations,
    /// RSVP hops of the longest path.
    pub depth: u64,
    /// PATH messages that one refresh of everything takes.
    pub flows: u64,
}

/// Works it out.
pub(super) fn expect(world: &World) -> Expected {
    let mut expected = Expected::default();
    for (topic, node) in world.senders.keys() {
        let mut walk = Walk { world, topic: *topic, sender: *node, expected: &mut expected };
        walk.start();
    }
    for topic in 0..world.topics.len() {
        reserve(world, topic, &mut expected);
    }
    expected.flows = expected.paths.values().map(|path| path.outgoing.len() as u64).sum();
    expected
}

/// One sender's PATH on its way.
struct Walk<'a> {
    world: &'a World,
    topic: usize,
    sender: NodeId,
    expected: &'a mut Expected,
}

impl Walk<'_> {
    fn start(&mut self) {
        let net = &self.world.net;
        let Some(sending) = self.world.senders.get(&(self.topic, self.sender)) else { return };
        let out: Vec<LinkId> = match self.world.topics[self.topic].home {
            Some(home) => net.way(self.sender, home).into_iter().collect(),
            // A host sends to a group by its default route.
            None => net.topology.links_of(self.sender).take(1).collect(),
        };
        let out: Vec<LinkId> = out.into_iter().filter(|link| net.is_up(*link)).collect();
        let state = PathState {
            phop: None,
            incoming: None,
            outgoing: out.iter().map(|l| net.topology.interface_name(self.sender, *l)).collect(),
            tspec: Asked::of(&sending.tspec),
        };
        self.expected.paths.insert((self.sender, self.topic, self.sender), state);
        for link in out {
            self.follow(self.sender, link, self.address(self.sender, link), 1);
        }
    }

    fn address(&self, node: NodeId, link: LinkId) -> IpAddr {
        self.world.net.topology.address_on(self.world.net.family(), node, link)
    }

    /// Follows the data over a link; `phop` is who announced it last.
    fn follow(&mut self, from: NodeId, link: LinkId, phop: IpAddr, hops: u64) {
        let net = &self.world.net;
        let to = net.topology.links[link].other(from);
        if !net.is_up(link) || hops > 64 {
            return;
        }
        let kind = net.topology.nodes[to].kind;
        let speaks = self.world.runs(to);
        if kind == Kind::Host {
            if speaks {
                self.arrive(to, link, phop, Vec::new(), hops);
            }
            return;
        }
        let out = self.outgoing(to, link);
        if speaks {
            self.arrive(to, link, phop, out.clone(), hops);
        }
        for next in out {
            let phop = if speaks { self.address(to, next) } else { phop };
            self.follow(to, next, phop, hops + 1);
        }
    }

    /// Where a kernel forwards the data to.
    fn outgoing(&self, node: NodeId, incoming: LinkId) -> Vec<LinkId> {
        let net = &self.world.net;
        let out = match self.world.topics[self.topic].home {
            Some(home) if home == node => Vec::new(),
            Some(home) => net.way(node, home).into_iter().collect(),
            None => match net.tree_entry(node, self.sender, &self.world.members(self.topic)) {
                Some((expected, outgoing)) if expected == incoming => outgoing,
                _ => Vec::new(),
            },
        };
        out.into_iter().filter(|link| *link != incoming && net.is_up(*link)).collect()
    }

    fn arrive(&mut self, node: NodeId, by: LinkId, phop: IpAddr, out: Vec<LinkId>, hops: u64) {
        let topology = &self.world.net.topology;
        let sending = &self.world.senders[&(self.topic, self.sender)];
        let state = PathState {
            phop: Some(phop),
            incoming: Some(topology.interface_name(node, by)),
            outgoing: out.iter().map(|link| topology.interface_name(node, *link)).collect(),
            tspec: Asked::of(&sending.tspec),
        };
        self.expected.depth = self.expected.depth.max(hops);
        self.expected.paths.insert((node, self.topic, self.sender), state);
    }
}

/// The reservations of one session.
fn reserve(world: &World, topic: usize, expected: &mut Expected) {
    let mut now = Reservations::new();
    loop {
        let mut next = receivers(world, topic, expected);
        ask_upstream(world, topic, expected, &now, &mut next);
        if next == now {
            break;
        }
        now = next;
    }
    expected.reservations.extend(now);
}

/// What the applications ask for, each on its own node.
fn receivers(world: &World, topic: usize, expected: &Expected) -> Reservations {
    let mut found = Reservations::new();
    for ((_, node), receiving) in world.receivers.iter().filter(|((t, _), _)| *t == topic) {
        for ((at, of, sender), path) in &expected.paths {
            let wanted = receiving.only.is_none_or(|only| only == *sender);
            if at != node || *of != topic || path.phop.is_none() || !wanted {
                continue;
            }
            let asked = receiving.flowspec.as_ref().map_or(path.tspec, Asked::of);
            let branch = ("local".to_owned(), world.topics[topic].session.destination);
            found.entry((*node, topic, *sender)).or_default().insert(branch, asked);
        }
    }
    found
}

/// What each node asks its previous hops for, given what is reserved there.
fn ask_upstream(
    world: &World,
    topic: usize,
    expected: &Expected,
    now: &Reservations,
    next: &mut Reservations,
) {
    let shared = world.topics[topic].style != Style::FixedFilter;
    // What all senders behind one previous hop need together.
    let mut together: BTreeMap<(NodeId, IpAddr), Asked> = BTreeMap::new();
    let needs = |at: &At| {
        let branches = now.get(at)?.values().copied();
        branches.reduce(Asked::merged)
    };
    let ours = || expected.paths.iter().filter(|((_, of, _), _)| *of == topic);
    for (at, path) in ours() {
        if let (Some(phop), Some(needed)) = (path.phop, needs(at)) {
            let sum = together.entry((at.0, phop)).or_insert(needed);
            *sum = sum.merged(needed);
        }
    }
    for (at, path) in ours() {
        let (Some(phop), Some(needed)) = (path.phop, needs(at)) else { continue };
        let asked = if shared { together[&(at.0, phop)] } else { needed };
        let topology = &world.net.topology;
        let Some(upstream) = topology.owner(phop) else { continue };
        let Some(out) = link_with(world, upstream, phop) else { continue };
        let Some(own) = own_address(world, at.0, path) else { continue };
        let branch = (topology.interface_name(upstream, out), own);
        next.entry((upstream, topic, at.2)).or_default().insert(branch, asked);
    }
}

/// The link on which a node has an address.
fn link_with(world: &World, node: NodeId, address: IpAddr) -> Option<LinkId> {
    let (net, family) = (&world.net, world.net.family());
    net.topology.links_of(node).find(|l| net.topology.address_on(family, node, *l) == address)
}

/// The address of a node where PATH comes in.
fn own_address(world: &World, node: NodeId, path: &PathState) -> Option<IpAddr> {
    let (topology, name) = (&world.net.topology, path.incoming.as_ref()?);
    let link = topology.links_of(node).find(|l| topology.interface_name(node, *l) == *name)?;
    Some(topology.address_on(world.net.family(), node, link))
}
