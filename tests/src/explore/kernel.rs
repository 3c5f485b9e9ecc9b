//! What the kernels do: routes, interception by Router Alert, forwarding around a dead daemon.

use std::net::IpAddr;
use std::rc::Rc;

use lcm_daemon::config::{Config, Limits};
use lcm_daemon::kernel::{Interface, Route, RouteKey};
use lcm_daemon::packet::{PacketMeta, TransmitMeta};

use super::scenario::{Change, Scenario};
use crate::sim::{Family, LinkId, NodeConfig, NodeId, Routing, Topology, interfaces, node_config};

/// The lifetime multiplier K of all daemons: the least one, so that two losses in a row are felt.
pub(super) const K: u8 = 1;
/// R of all daemons, in milliseconds.
pub(super) const R_MS: u32 = 30_000;

/// Copies of a node share its counts, so that none may come to a limit.
fn boundless() -> Limits {
    Limits {
        max_senders: u32::MAX,
        max_senders_per_neighbour: u32::MAX,
        max_reservations: u32::MAX,
        max_reservations_per_neighbour: u32::MAX,
        max_policy_bytes_in_all: u32::MAX,
        max_local_handles: u32::MAX,
        ..Limits::default()
    }
}

/// An IP packet with an RSVP message in it, as it reaches a node.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    /// Interface of the receiver.
    pub(super) interface: u32,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    router_alert: bool,
    pub(super) bytes: Rc<[u8]>,
}

/// All kernels of a network.
#[derive(Debug, Clone)]
pub(super) struct Kernels {
    topology: Rc<Topology>,
    members: Rc<[NodeId]>,
    /// Changes that have happened.
    pub(super) changes: usize,
    pub(super) up: Vec<bool>,
    /// Links that routes may take.
    pub(super) taken: Vec<bool>,
    routing: Rc<Routing>,
}

impl Kernels {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let up = vec![true; scenario.topology.links.len()];
        Self {
            routing: Rc::new(Routing::new(&scenario.topology, &up)),
            topology: Rc::new(scenario.topology.clone()),
            members: scenario.members.as_slice().into(),
            changes: 0,
            taken: up.clone(),
            up,
        }
    }

    pub(super) fn change(&mut self, topology: &Topology, change: Change) {
        self.changes += 1;
        match change {
            Change::Down(link) => self.up[link] = false,
            Change::Up(link) => self.up[link] = true,
            Change::Avoid(link) => self.taken[link] = false,
            Change::Take(link) => self.taken[link] = true,
        }
        self.routing = Rc::new(Routing::new(topology, &self.usable()));
    }

    /// Links that routes take.
    pub(super) fn usable(&self) -> Vec<bool> {
        self.up.iter().zip(&self.taken).map(|(up, taken)| *up && *taken).collect()
    }

    pub(super) fn config(&self, node: NodeId) -> Config {
        let shared = NodeConfig { refresh_ms: R_MS, limits: boundless(), ..NodeConfig::default() };
        let mut config = node_config(&self.topology, node, shared).expect("all nodes have daemons");
        config.rsvp.lifetime_multiplier = K;
        config
    }

    pub(super) fn interfaces(&self, node: NodeId) -> Vec<Interface> {
        interfaces(&self.topology, Family::V4, node, &self.up)
    }

    /// A node's interface on a link, if it has one there.
    pub(super) fn interface(&self, node: NodeId, link: LinkId) -> Option<Interface> {
        self.topology.links_of(node).find(|other| *other == link)?;
        let index = self.topology.interface(node, link);
        self.interfaces(node).into_iter().find(|interface| interface.index == index)
    }

    fn forwarding_entry(&self, node: NodeId, source: IpAddr) -> Option<(LinkId, Vec<LinkId>)> {
        let source = self.topology.owner(source)?;
        self.routing.multicast(&self.topology, node, source, self.members.iter().copied())
    }

    pub(super) fn route(&self, node: NodeId, key: &RouteKey) -> Route {
        let interface = |link: LinkId| self.topology.interface(node, link);
        if let Some(source) = key.source {
            return match self.forwarding_entry(node, source) {
                Some((incoming, outgoing)) => Route::Multicast {
                    incoming: interface(incoming),
                    outgoing: outgoing.into_iter().map(interface).collect(),
                },
                None => Route::Unreachable,
            };
        }
        let link = if key.destination.is_multicast() {
            self.topology.links_of(node).next()
        } else {
            match self.topology.owner(key.destination) {
                Some(owner) if owner == node => return Route::Local,
                owner => owner.and_then(|owner| self.routing.unicast(node, owner)),
            }
        };
        match link.filter(|link| self.up[*link]) {
            Some(link) => {
                let peer = self.peer(node, link);
                let direct = key.destination.is_multicast() || peer == key.destination;
                Route::Unicast { interface: interface(link), gateway: (!direct).then_some(peer) }
            }
            None => Route::Unreachable,
        }
    }

    /// Where a message of a daemon goes, or nowhere.
    pub(super) fn transmit(
        &self,
        node: NodeId,
        meta: TransmitMeta,
        bytes: &[u8],
    ) -> Option<(NodeId, Packet)> {
        let link = match meta.interface {
            Some(interface) => self.topology.link_of(node, interface),
            None => self.routing.unicast(node, self.topology.owner(meta.destination)?),
        }?;
        if !self.has_next_hop(node, link, &meta) {
            return None;
        }
        let address = self.topology.address_on(Family::V4, node, link);
        let packet = Packet {
            interface: 0,
            source: meta.source.unwrap_or(address),
            destination: meta.destination,
            ttl: meta.ttl,
            router_alert: meta.router_alert,
            bytes: bytes.into(),
        };
        self.put(node, link, packet)
    }

    /// The address at the other end of a link.
    fn peer(&self, node: NodeId, link: LinkId) -> IpAddr {
        self.topology.address_on(Family::V4, self.topology.links[link].other(node), link)
    }

    /// Whether somebody on the link takes the message: without a gateway, and where the route leads
    /// elsewhere, the destination is taken to be on the link.
    fn has_next_hop(&self, node: NodeId, link: LinkId, meta: &TransmitMeta) -> bool {
        let other = self.topology.links[link].other(node);
        let next_hop = self.topology.owner(meta.gateway.unwrap_or(meta.destination));
        let routed = || next_hop.and_then(|owner| self.routing.unicast(node, owner)) == Some(link);
        meta.destination.is_multicast()
            || next_hop == Some(other)
            || (meta.gateway.is_none() && routed())
    }

    fn put(&self, from: NodeId, link: LinkId, packet: Packet) -> Option<(NodeId, Packet)> {
        let to = self.topology.links[link].other(from);
        let interface = self.topology.interface(to, link);
        self.up[link].then_some((to, Packet { interface, ..packet }))
    }

    /// What a kernel does with a packet: it gives it to the daemon, or sends it on, or drops it.
    pub(super) fn receive(
        &self,
        node: NodeId,
        running: bool,
        packet: &Packet,
    ) -> Result<PacketMeta, Option<(NodeId, Packet)>> {
        let own = self.topology.owner(packet.destination) == Some(node);
        if running && (own || packet.router_alert) {
            return Ok(PacketMeta {
                interface: packet.interface,
                source: packet.source,
                destination: packet.destination,
                ttl: packet.ttl,
                router_alert: packet.router_alert,
            });
        }
        if own || packet.ttl <= 1 {
            return Err(None);
        }
        let next = if packet.destination.is_multicast() {
            // No scenario branches at a router that may die.
            self.forwarding_entry(node, packet.source).and_then(|(_, out)| out.first().copied())
        } else {
            let owner = self.topology.owner(packet.destination);
            owner.and_then(|owner| self.routing.unicast(node, owner))
        };
        let packet = Packet { ttl: packet.ttl - 1, ..packet.clone() };
        Err(next.and_then(|link| self.put(node, link, packet)))
    }
}
