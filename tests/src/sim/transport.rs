//! Packets as kernels carry them: interception by Router Alert, forwarding with a TTL, groups.

use std::net::IpAddr;
use std::rc::Rc;

use lcm_daemon::config::Role;
use lcm_daemon::kernel::{KernelNews, Route, RouteKey};
use lcm_daemon::packet::{PacketMeta, TransmitMeta};
use rsvp_wire::MessageType;
use rsvp_wire::iana::class;

use super::log::{Entry, Fate};
use super::net::{Event, Net};
use super::topology::{Kind, LOOPBACK, LinkId, NodeId};

/// The sequence number of a message that is signed (RFC 2747 section 2.1).
pub(super) fn signed_number(bytes: &[u8]) -> Option<u64> {
    let signed = bytes.get(10) == Some(&class::INTEGRITY);
    let number = bytes.get(20..28).filter(|_| signed)?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// An IP packet with an RSVP message in it.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    source: IpAddr,
    destination: IpAddr,
    ttl: u8,
    router_alert: bool,
    bytes: Rc<[u8]>,
}

impl Net {
    /// A daemon sends a message.
    pub(super) fn transmit(&mut self, id: NodeId, meta: TransmitMeta, mut bytes: Rc<[u8]>) {
        if let Some(lie) = self.liars.get(&id) {
            let mut told = bytes.to_vec();
            lie(&mut told);
            // No checksum (RFC 2205 section 3.1.1).
            told[2..4].fill(0);
            bytes = told.into();
        }
        self.log.sent(self.now_us(), id, meta.ttl, &bytes);
        assert_eq!(meta.router_alert, travels_with_alert(bytes[1].into()), "{meta:?}");
        let own = self.topology.owner(meta.destination) == Some(id);
        let link = match meta.interface {
            Some(interface) => self.topology.link_of(id, interface),
            None if own => None,
            None => self.unicast(id, meta.destination),
        };
        let packet = |source| Packet {
            source,
            destination: meta.destination,
            ttl: meta.ttl,
            router_alert: meta.router_alert,
            bytes,
        };
        if own && link.is_none() {
            let packet = packet(meta.source.unwrap_or(meta.destination));
            return self.schedule(self.now_us(), Event::Arrival(id, None, packet));
        }
        let Some(link) = link else { return };
        if !self.has_next_hop(id, link, &meta) {
            return;
        }
        let address = self.topology.address_on(self.options.family, id, link);
        let packet = packet(meta.source.unwrap_or(address));
        self.put(id, link, packet);
    }

    /// Whether somebody on a link takes a unicast message: the next hop that the daemon names, or
    /// the one of the kernel's route. Where the route leads elsewhere, Linux takes the destination
    /// to be on the link, and nobody there answers for it.
    fn has_next_hop(&self, id: NodeId, link: LinkId, meta: &TransmitMeta) -> bool {
        let other = self.topology.links[link].other(id);
        let next_hop = meta.gateway.unwrap_or(meta.destination);
        meta.destination.is_multicast()
            || self.topology.owner(next_hop) == Some(other)
            || (meta.gateway.is_none() && self.unicast(id, meta.destination) == Some(link))
    }

    /// From now on everything that a node sends is altered on the way, its length aside; `None`
    /// ends that.
    pub fn set_lie(&mut self, id: NodeId, lie: Option<fn(&mut [u8])>) {
        match lie {
            Some(lie) => drop(self.liars.insert(id, lie)),
            None => drop(self.liars.remove(&id)),
        }
    }

    /// Gives a message to a daemon as if its kernel had received it.
    pub fn inject(&mut self, id: NodeId, meta: PacketMeta, bytes: &[u8]) {
        self.hand_over(id, meta, bytes);
    }

    fn hand_over(&mut self, id: NodeId, meta: PacketMeta, bytes: &[u8]) {
        let before = self.disbelieved(id);
        self.take_message(id, meta, bytes);
        if let Some(number) = signed_number(bytes).filter(|_| self.disbelieved(id) == before) {
            let now = self.now_us();
            self.believed.entry((id, meta.source, number)).or_insert(now);
        }
    }

    /// Puts a packet on a link.
    fn put(&mut self, from: NodeId, link: LinkId, packet: Packet) {
        let spec = &self.topology.links[link];
        let (side, to) = (spec.side(from), spec.other(from));
        let weather = self.weather[link];
        let mut delays = weather.draw(&mut self.rng);
        if self.nodes[from].muted || !self.up[link] {
            delays.clear();
        }
        if delays.is_empty() {
            return self.note(from, to, link, &packet, Fate::Lost);
        }
        for delay in delays {
            let mut at = self.now_us() + delay;
            if !weather.reorder {
                at = at.max(self.busy_until[link][side]);
                self.busy_until[link][side] = at;
            }
            self.note(from, to, link, &packet, Fate::Arrives(at));
            self.schedule(at, Event::Arrival(to, Some(link), packet.clone()));
        }
    }

    fn note(&mut self, from: NodeId, to: NodeId, link: LinkId, packet: &Packet, fate: Fate) {
        if self.options.keep_packets {
            self.log.cross(&Entry {
                at: self.now_us(),
                link,
                from,
                to,
                source: packet.source,
                destination: packet.destination,
                ttl: packet.ttl,
                router_alert: packet.router_alert,
                fate,
                bytes: &packet.bytes,
            });
        }
    }

    /// How many messages a daemon has dropped for want of proof.
    fn disbelieved(&self, id: NodeId) -> u64 {
        let Some(engine) = &self.nodes[id].engine else { return 0 };
        let dropped = engine.counters().dropped.iter();
        dropped.filter(|(why, _)| why.starts_with("integrity_")).map(|(_, count)| count).sum()
    }

    /// A packet reaches a node.
    pub(super) fn arrive(&mut self, id: NodeId, link: Option<LinkId>, packet: Packet) {
        if self.nodes[id].asleep {
            return;
        }
        let interface = link.map_or(LOOPBACK, |link| self.topology.interface(id, link));
        if self.is_for_daemon(id, interface, &packet) {
            let meta = PacketMeta {
                interface,
                source: packet.source,
                destination: packet.destination,
                ttl: packet.ttl,
                router_alert: packet.router_alert,
            };
            return self.hand_over(id, meta, &packet.bytes);
        }
        if let Some(link) = link {
            self.forward(id, link, packet);
        }
    }

    /// Whether the kernel gives a packet to the daemon: it is addressed to the node, or to a group
    /// that the daemon joined, or it carries Router Alert on its way through a router.
    fn is_for_daemon(&self, id: NodeId, interface: u32, packet: &Packet) -> bool {
        let node = &self.nodes[id];
        let (Some(_), Some(config)) = (&node.engine, &node.config) else { return false };
        self.topology.owner(packet.destination) == Some(id)
            || node.joined.contains(&(packet.destination, interface))
            || (packet.router_alert && config.rsvp.role == Role::Router)
    }

    /// A kernel passes a packet on, or drops it.
    fn forward(&mut self, id: NodeId, incoming: LinkId, packet: Packet) {
        let is_host = self.topology.nodes[id].kind == Kind::Host;
        let is_own = self.topology.owner(packet.destination) == Some(id);
        if is_host || is_own || packet.ttl <= 1 {
            return;
        }
        let outgoing = if packet.destination.is_multicast() {
            match self.forwarding_entry(id, packet.source, packet.destination) {
                Some((expected, outgoing)) if expected == incoming => outgoing,
                _ => return,
            }
        } else {
            self.unicast(id, packet.destination).into_iter().collect()
        };
        for link in outgoing {
            let packet = Packet { ttl: packet.ttl - 1, ..packet.clone() };
            self.put(id, link, packet);
        }
    }

    fn unicast(&self, id: NodeId, destination: IpAddr) -> Option<LinkId> {
        self.routing.unicast(id, self.topology.owner(destination)?)
    }

    fn forwarding_entry(
        &self,
        id: NodeId,
        source: IpAddr,
        group: IpAddr,
    ) -> Option<(LinkId, Vec<LinkId>)> {
        let source = self.topology.owner(source)?;
        let members: Vec<NodeId> = match self.members.get(&group) {
            Some(fixed) => fixed.iter().copied().collect(),
            None => (0..self.nodes.len()).filter(|node| self.has_joined(*node, group)).collect(),
        };
        let (incoming, mut outgoing) =
            self.routing.multicast(&self.topology, id, source, members.into_iter())?;
        outgoing.extend(self.copied.get(&id).into_iter().flatten());
        outgoing.sort_unstable();
        outgoing.dedup();
        Some((incoming, outgoing))
    }

    fn has_joined(&self, id: NodeId, group: IpAddr) -> bool {
        self.nodes[id].joined.iter().any(|(joined, _)| *joined == group)
    }

    /// What the kernel answers to a daemon's question.
    pub(super) fn route(&self, id: NodeId, key: &RouteKey) -> Route {
        let destination = key.destination;
        if let Some(source) = key.source.filter(|_| key.transport.is_none()) {
            if self.topology.nodes[id].kind == Kind::Host {
                return Route::Unreachable;
            }
            let interface = |link: &LinkId| self.topology.interface(id, *link);
            return match self.forwarding_entry(id, source, destination) {
                Some((incoming, outgoing)) => Route::Multicast {
                    incoming: interface(&incoming),
                    outgoing: outgoing.iter().map(interface).collect(),
                },
                None => Route::Unreachable,
            };
        }
        if self.topology.owner(destination) == Some(id) {
            return Route::Local;
        }
        if self.options.route_per_flow && key.transport.is_none() && !destination.is_multicast() {
            return Route::PerFlow;
        }
        let link = if destination.is_multicast() {
            self.topology.links_of(id).next()
        } else {
            self.unicast(id, destination)
        };
        let Some(link) = link.filter(|link| self.up[*link]) else { return Route::Unreachable };
        let family = self.options.family;
        let peer = self.topology.address_on(family, self.topology.links[link].other(id), link);
        Route::Unicast {
            interface: self.topology.interface(id, link),
            gateway: (peer != destination && !destination.is_multicast()).then_some(peer),
        }
    }

    /// Somebody joined or left: multicast routing daemons change the entries of the group.
    pub(super) fn membership_changed(&mut self, group: IpAddr) {
        if self.members.contains_key(&group) {
            return;
        }
        let sources = self.sources.get(&group).cloned().unwrap_or_default();
        for source in sources {
            for id in 0..self.nodes.len() {
                // An engine that is being drained hears of it too; it is asked again then.
                self.tell_group(id, source, group);
            }
        }
    }

    fn tell_group(&mut self, id: NodeId, source: IpAddr, group: IpAddr) {
        if self.topology.nodes[id].kind != Kind::Host {
            self.news(id, KernelNews::MulticastRoute { source, group });
        }
    }
}

/// Whether a message of this type travels with Router Alert (RFC 2205 section 3.11.3).
fn travels_with_alert(message_type: MessageType) -> bool {
    matches!(message_type, MessageType::Path | MessageType::PathTear | MessageType::ResvConf)
}
