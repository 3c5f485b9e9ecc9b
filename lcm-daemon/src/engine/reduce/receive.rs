//! What comes from neighbours: capabilities, numbers, acknowledgements, Bundles and Srefreshes.

use std::net::IpAddr;

use rsvp_wire::message::{Bundle, Srefresh};
use rsvp_wire::object::{Filter, Hop, ListEntry, MessageId, MessageIdAck};
use rsvp_wire::{Message, MessageType, Packet};

use super::super::counters::bump;
use super::super::path::may_be_source;
use super::super::session::SessionState;
use super::super::time::{Now, Span};
use super::super::{Core, Engine, Touched};
use super::peer::CAPABLE;
use super::{GROUP_ACK_DELAY, Name, PeerKey, older, peer_key};
use crate::packet::PacketMeta;

/// What refresh reduction makes of a message before it is handled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbered {
    peer: PeerKey,
    id: Option<MessageId>,
}

impl Engine {
    /// Learns from a message what its sender can do, takes the acknowledgements in it, and looks at
    /// its number. `None`: it is older than what stands, or not for us to number; an error: it is
    /// to be dropped.
    pub(crate) fn listen(
        &mut self,
        now: Now,
        meta: PacketMeta,
        message: &Message<'_>,
    ) -> Result<Option<Numbered>, &'static str> {
        if !self.core.outbox.reduce.active {
            return Ok(None);
        }
        let Some((interface, address)) = self.core.speaker(meta, message) else { return Ok(None) };
        let key = peer_key(interface, address);
        let packet = *message.packet();
        let id = packet.message_id();
        let acks: Vec<MessageIdAck> = packet.message_id_acks().collect();
        let speaks = id.is_some() || !acks.is_empty();
        if !self.core.learn(now, key, (interface, address), &packet, speaks) {
            return Ok(None);
        }
        let port = self.core.interfaces.get(interface);
        if !port.is_some_and(|port| port.settings.refresh_reduction) {
            return Ok(Some(Numbered { peer: key, id: None }));
        }
        self.take_acks(now, key, &acks);
        let Some(id) = id else { return Ok(Some(Numbered { peer: key, id: None })) };
        if self.begins_anew(key, id.epoch) {
            self.peer_restarted(now, key);
        }
        let Some(peer) = self.core.outbox.reduce.peers.get_mut(&key) else { return Ok(None) };
        if older(id.identifier, peer.newest) && self.is_outdated(key, message, id.identifier) {
            bump(&mut self.core.counters.reduction, "out_of_order");
            return Err("out_of_order");
        }
        if let Some(peer) = self.core.outbox.reduce.peers.get_mut(&key)
            && older(peer.newest, id.identifier)
        {
            peer.newest = id.identifier;
        }
        Ok(Some(Numbered { peer: key, id: Some(id) }))
    }

    /// Notes the epoch of a neighbour; true if it had another one before.
    fn begins_anew(&mut self, key: PeerKey, epoch: u32) -> bool {
        let Some(peer) = self.core.outbox.reduce.peers.get_mut(&key) else { return false };
        let before = peer.epoch.replace(epoch);
        if before != Some(epoch) {
            peer.newest = 0;
            peer.states.clear();
        }
        before.is_some_and(|before| before != epoch)
    }

    /// True if the state that a message is about came with a newer number (section 4.5).
    fn is_outdated(&self, key: PeerKey, message: &Message<'_>, number: u32) -> bool {
        let Some(peer) = self.core.outbox.reduce.peers.get(&key) else { return false };
        let found = message.session().and_then(|session| self.sessions.find(&session));
        let Some((slot, state)) = found.and_then(|slot| Some((slot, self.sessions.get(slot)?)))
        else {
            return false;
        };
        let current = |known: u32| peer.slot_of(known) == Some(slot);
        let path = |sender: Filter| {
            let psb = state.sender(sender).and_then(|index| state.senders.get(index));
            let heard = psb.filter(|psb| psb.phop_address() == Some(key.1));
            let known = heard.and_then(|psb| psb.heard_by?.as_number());
            known.is_some_and(|known| older(number, known) && current(known))
        };
        let resv = |hop: Hop, named: &[Filter]| {
            state.reservations.iter().any(|rsb| {
                (rsb.outgoing, rsb.next_hop) == (hop.lih, hop.address)
                    && (named.is_empty()
                        || named.iter().any(|filter| rsb.selection.selects(*filter)))
                    && rsb.numbers.outdates(number, named, current)
            })
        };
        match message {
            Message::Path(path_) => path(path_.sender.template.0),
            Message::PathTear(tear) => path(tear.template.0),
            Message::Resv(message) => {
                let filters = message.flows().filter_map(|flow| Some(flow.filter?.0));
                resv(message.hop, &filters.collect::<Vec<_>>())
            }
            Message::ResvTear(tear) => {
                resv(tear.hop, &tear.filters().map(|filter| filter.0).collect::<Vec<_>>())
            }
            _ => false,
        }
    }

    /// Takes what a neighbour has, and what it does not know.
    fn take_acks(&mut self, now: Now, key: PeerKey, acks: &[MessageIdAck]) {
        let epoch = self.core.outbox.reduce.epoch;
        for ack in acks.iter().filter(|ack| ack.epoch == epoch) {
            if !ack.nack {
                if self.core.outbox.reduce.acknowledged(key, ack.identifier) {
                    bump(&mut self.core.counters.reduction, "acknowledged");
                }
                continue;
            }
            bump(&mut self.core.counters.reduction, "nack_received");
            let slot = self.core.outbox.reduce.states.get(&ack.identifier).copied();
            if let Some(slot) = slot {
                let number = ack.identifier;
                self.with_session(slot as usize, |core, session| {
                    session.say_again(core, now, number);
                });
            }
        }
    }

    /// After a message was handled: its sender is told that it came, and may refresh by its number
    /// what was `taken` of it.
    pub(crate) fn conclude(
        &mut self,
        now: Now,
        meta: PacketMeta,
        message: &Message<'_>,
        numbered: Numbered,
        taken: bool,
    ) {
        let Numbered { peer, id } = numbered;
        let number = id.map(|id| id.identifier).filter(|_| taken);
        let name = number.map(Name::number);
        let known = match message {
            Message::Path(path) => self.note_path(now, meta, path, name),
            Message::Resv(resv) => self.note_resv(now, resv, name),
            _ => None,
        };
        if let Some((number, slot)) = number.zip(known)
            && let Some(peer) = self.core.outbox.reduce.peers.get_mut(&peer)
        {
            peer.knows(number, slot);
        }
        let Some(id) = id.filter(|id| id.flags & MessageId::ACK_DESIRED != 0) else { return };
        let MessageId { epoch, identifier, .. } = id;
        let ack = MessageIdAck { nack: false, epoch, identifier };
        let reduce = &mut self.core.outbox.reduce;
        if meta.destination.is_multicast() {
            let wait = reduce.rng.u64(0..=GROUP_ACK_DELAY.as_micros());
            reduce.later.insert((now.at + Span::from_micros(wait), identifier), (peer, ack));
        } else {
            reduce.answer(peer, ack);
        }
    }

    /// Takes a message that speaks of no session.
    pub(crate) fn handle_between_neighbours(
        &mut self,
        now: Now,
        meta: PacketMeta,
        message: &Message<'_>,
        numbered: Option<Numbered>,
    ) {
        match (message, numbered) {
            (Message::Ack(_), Some(_)) => {}
            (Message::Srefresh(srefresh), Some(Numbered { peer, .. })) => {
                self.handle_srefresh(now, meta, srefresh, peer);
            }
            (Message::Hello(hello), Some(Numbered { peer, .. })) => {
                self.handle_hello(now, hello, peer);
            }
            _ => self.core.counters.drop("unsupported_message_type"),
        }
    }

    /// Takes each message of a Bundle as if it had come alone (section 3.4).
    pub(crate) fn handle_bundle(&mut self, now: Now, meta: PacketMeta, bundle: &Bundle<'_>) {
        let listening = self.core.interfaces.get(meta.interface);
        if !listening.is_some_and(|port| port.settings.refresh_reduction) {
            return self.core.counters.drop("bundle_not_wanted");
        }
        // Routers without RSVP that the Bundle has passed, its messages have passed too.
        let passed = bundle.packet.send_ttl().saturating_sub(meta.ttl);
        for part in bundle.parts() {
            let mut of_part = meta;
            let own_ttl = part.get(4).copied().unwrap_or_default();
            of_part.ttl = own_ttl.saturating_sub(passed);
            // Alone it would have been sent to its session.
            let of_session = [MessageType::Path, MessageType::PathTear].map(u8::from);
            if part.get(1).is_some_and(|kind| of_session.contains(kind))
                && let Some(session) = rsvp_wire::ErrorContext::scan(part).session
            {
                of_part.destination = session.destination;
            }
            self.handle_message(now, of_part, part);
        }
    }

    /// Refreshes what an Srefresh names, and says which of its numbers are unknown (section 5.3).
    pub(crate) fn handle_srefresh(
        &mut self,
        now: Now,
        meta: PacketMeta,
        srefresh: &Srefresh<'_>,
        key: PeerKey,
    ) {
        for list in srefresh.lists() {
            let entries = list.entries();
            let peer = self.core.outbox.reduce.peers.get(&key);
            let current = peer.is_some_and(|peer| peer.epoch == Some(list.epoch));
            for entry in entries {
                let number = entry.identifier;
                if current && self.refresh_by(now, key, number) {
                    bump(&mut self.core.counters.reduction, "refreshed_for_neighbour");
                } else if self.concerns_us(meta, &entry) {
                    bump(&mut self.core.counters.reduction, "nack_sent");
                    let nack = MessageIdAck { nack: true, epoch: list.epoch, identifier: number };
                    self.core.outbox.reduce.answer(key, nack);
                }
            }
        }
    }

    fn refresh_by(&mut self, now: Now, key: PeerKey, number: u32) -> bool {
        let peer = self.core.outbox.reduce.peers.get(&key);
        let Some(slot) = peer.and_then(|peer| peer.slot_of(number)) else { return false };
        let renew = |core: &mut Core, state: &mut SessionState| {
            if !state.is_heard_by(key.1, number) {
                return (false, Touched::Ends);
            }
            state.refresh_by(core, now, key.1, Name::number(number))
        };
        self.touch_session(slot, renew).unwrap_or(false)
    }

    /// Whether an unknown number is missed here. Of a multicast session it is not where the data is
    /// expected from elsewhere (section 5.3).
    fn concerns_us(&self, meta: PacketMeta, entry: &ListEntry) -> bool {
        let Some(source) = entry.source else { return true };
        let group = entry.destination.unwrap_or(meta.destination);
        let mut states = self.sessions.iter().filter(|s| s.session.destination == group);
        let elsewhere = |state: &SessionState| {
            state.senders.iter().any(|psb| {
                psb.sender.source == source && psb.phop.is_some() && psb.incoming != meta.interface
            })
        };
        !states.any(elsewhere)
    }
}

impl Core {
    /// Which neighbour made a message, by the rule for its type (section 4.5); `None` where that is
    /// nobody who could be one.
    fn speaker(&self, meta: PacketMeta, message: &Message<'_>) -> Option<(u32, IpAddr)> {
        let by_hop = |hop: Hop| match self.interfaces.get(hop.lih) {
            Some(_) => (hop.lih, hop.address),
            None => (meta.interface, hop.address),
        };
        let (interface, address) = match message {
            Message::Path(path) => (meta.interface, path.hop.address),
            Message::PathTear(tear) => (meta.interface, tear.hop.address),
            Message::Resv(resv) => by_hop(resv.hop),
            Message::ResvTear(tear) => by_hop(tear.hop),
            Message::ResvErr(error) => (meta.interface, error.hop.address),
            // It may come from far away.
            Message::ResvConf(_) | Message::Dreq(_) | Message::Drep(_) => return None,
            _ => (meta.interface, meta.source),
        };
        let port = self.interfaces.get(interface);
        let on =
            port.is_some_and(|port| port.settings.refresh_reduction || port.settings.hello_ms > 0);
        let honest = may_be_source(address) && !self.interfaces.owns(address);
        // Between hops that are no neighbours messages may come by any interface.
        let interface = self.interfaces.on_link(interface, address).unwrap_or(interface);
        (on && honest).then_some((interface, address))
    }

    /// Notes what a neighbour can do; false if there is nothing to be noted of it.
    fn learn(
        &mut self,
        now: Now,
        key: PeerKey,
        (interface, address): (u32, IpAddr),
        packet: &Packet<'_>,
        speaks: bool,
    ) -> bool {
        let Some(port) = self.interfaces.get(interface) else { return false };
        let (on, hello_ms) = (port.settings.refresh_reduction, port.settings.hello_ms);
        let capable = on && packet.flags() & CAPABLE != 0;
        let speaks = on && speaks;
        let reduce = &mut self.outbox.reduce;
        if !capable && !speaks && hello_ms == 0 && !reduce.peers.contains_key(&key) {
            return false;
        }
        let Some(own) = self.interfaces.address(interface, address) else { return false };
        let mtu = port.kernel.mtu as usize;
        let room = mtu.saturating_sub(if address.is_ipv6() { 48 } else { 24 });
        let Some(peer) = reduce.peer(key, interface, own, room) else { return false };
        if peer.capable && !capable {
            bump(&mut self.counters.reduction, "capability_lost");
        }
        peer.capable = capable;
        peer.numbers = capable || speaks;
        peer.near = self.interfaces.on_link(interface, address) == Some(interface);
        let greets = packet.message_type() == MessageType::Hello;
        if !greets {
            peer.spoke = now.at;
        }
        let greeted = peer.near && !greets;
        self.outbox.reduce.greet(now.at, key, if greeted { hello_ms } else { 0 });
        true
    }
}
