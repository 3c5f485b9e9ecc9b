//! What leaves together: acknowledgements go along with messages to the same neighbour, and messages
//! to one neighbour go in one Bundle (sections 3.3 and 4.6).

use rsvp_wire::object::MessageIdAck;
use rsvp_wire::{MessageType, MessageWriter, rewrite_checksum};

use super::super::counters::{Counters, bump};
use super::super::outbox::Outbox;
use super::super::upstream::HOP_TTL;
use super::peer::{CAPABLE, Peer};
use super::{PeerKey, Reduce, To};
use crate::packet::TransmitMeta;

/// Bytes of the common header.
const HEADER: usize = 8;
/// Bytes of a MESSAGE_ID_ACK or MESSAGE_ID_NACK.
const ACK: usize = 12;

impl Peer {
    /// The IP header of a message straight to this neighbour.
    pub(super) fn meta(&self, key: PeerKey) -> TransmitMeta {
        TransmitMeta {
            interface: (key.0 != 0).then_some(key.0),
            gateway: None,
            source: Some(self.own),
            destination: key.1,
            ttl: HOP_TTL,
            router_alert: false,
        }
    }

    /// The same as far as the outbox knows it.
    pub(super) fn to(&self, key: PeerKey) -> To {
        To { flags: CAPABLE, peer: Some(key), own: Some(self.own), room: self.room, bundle: false }
    }
}

impl Reduce {
    /// Has a message acknowledged, or refused to be known, with what is sent next.
    pub(super) fn answer(&mut self, key: PeerKey, ack: MessageIdAck) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.acks.is_empty() {
            self.answered.push(key);
        }
        if !peer.acks.contains(&ack) {
            peer.acks.push(ack);
        }
    }

    /// Takes acknowledgements that go along with a message of `length` bytes.
    fn acks_for(&mut self, key: PeerKey, length: usize) -> Vec<MessageIdAck> {
        let Some(peer) = self.peers.get_mut(&key) else { return Vec::new() };
        let fit = peer.room.saturating_sub(length) / ACK;
        peer.acks.drain(..fit.min(peer.acks.len())).collect()
    }
}

impl Outbox {
    /// Hands out what is staged, with all acknowledgements that are due.
    pub(in super::super) fn dispatch(&mut self, counters: &mut Counters, bundles: bool) {
        if self.staged_to.is_empty() && self.reduce.answered.is_empty() {
            return;
        }
        let staged = std::mem::take(&mut self.staged);
        let to = std::mem::take(&mut self.staged_to);
        let mut all: Vec<(To, TransmitMeta, Vec<u8>)> = Vec::with_capacity(to.len());
        for (to, (meta, message)) in to.iter().zip(staged.iter()) {
            // Only what is addressed to the neighbour itself is surely read by it and nobody else.
            let to = To { bundle: to.bundle && bundles, ..*to };
            let direct = to.peer.filter(|key| key.1 == meta.destination);
            let acks = direct.map(|key| self.reduce.acks_for(key, message.len()));
            all.push((to, meta, with_acks(message, &acks.unwrap_or_default())));
        }
        self.ack_alone(counters, &mut all);
        let mut taken = vec![false; all.len()];
        for at in 0..all.len() {
            if !taken.get(at).copied().unwrap_or(true) {
                self.bundle_from(counters, &all, at, &mut taken);
            }
        }
        // The room is kept for the next time.
        self.staged = staged;
        self.staged.clear();
    }

    /// Acknowledgements that no message takes along go in Ack messages.
    fn ack_alone(&mut self, counters: &mut Counters, all: &mut Vec<(To, TransmitMeta, Vec<u8>)>) {
        for key in std::mem::take(&mut self.reduce.answered) {
            loop {
                let acks = self.reduce.acks_for(key, HEADER);
                let Some(peer) = self.reduce.peers.get(&key).filter(|_| !acks.is_empty()) else {
                    break;
                };
                let (to, meta) = (peer.to(key), peer.meta(key));
                let mut message = vec![0; HEADER + ACK * acks.len()];
                let mut writer =
                    MessageWriter::with_flags(&mut message, MessageType::Ack, HOP_TTL, CAPABLE);
                let written = acks.iter().try_for_each(|ack| writer.object(ack));
                if written.and_then(|()| writer.finish()).is_err() {
                    break;
                }
                counters.sent(MessageType::Ack.into());
                all.push((to, meta, message));
            }
        }
    }

    /// Hands out the message at `at`, together with later ones to the same neighbour that fit.
    fn bundle_from(
        &mut self,
        counters: &mut Counters,
        all: &[(To, TransmitMeta, Vec<u8>)],
        at: usize,
        taken: &mut [bool],
    ) {
        let Some((to, meta, first)) = all.get(at) else { return };
        let key = to.peer.filter(|_| to.bundle);
        let mut length = HEADER + first.len();
        let mut parts = vec![first];
        for (later, (other, _, message)) in all.iter().enumerate().skip(at + 1) {
            if key.is_none() || other.peer != key {
                continue;
            }
            // Whatever comes behind one that does not fit would overtake it.
            if length + message.len() > to.room || !other.bundle {
                break;
            }
            length += message.len();
            parts.push(message);
            if let Some(taken) = taken.get_mut(later) {
                *taken = true;
            }
        }
        let peer = key.and_then(|key| Some((key, self.reduce.peers.get(&key)?)));
        let (Some((key, peer)), [_, _, ..]) = (peer, &*parts) else {
            return self.pass(*meta, first);
        };
        let meta = peer.meta(key);
        let mut bundle = vec![0; length];
        let mut writer =
            MessageWriter::with_flags(&mut bundle, MessageType::Bundle, HOP_TTL, CAPABLE);
        let written = parts.iter().try_for_each(|part| writer.raw(part));
        if written.and_then(|()| writer.finish()).is_ok() {
            counters.sent(MessageType::Bundle.into());
            bump(&mut counters.reduction, "bundled");
            self.pass(meta, &bundle);
        }
    }
}

/// A message with acknowledgements behind its header, where they must stand (section 4.1).
fn with_acks(message: &[u8], acks: &[MessageIdAck]) -> Vec<u8> {
    let Some((header, objects)) = message.split_at_checked(HEADER).filter(|_| !acks.is_empty())
    else {
        return message.to_vec();
    };
    let mut objects_of_acks = vec![0; ACK * acks.len()];
    let mut sink = rsvp_wire::Sink::new(&mut objects_of_acks);
    for ack in acks {
        sink.put_object(ack);
    }
    let mut with = [header, &objects_of_acks, objects].concat();
    let length = u16::try_from(with.len()).unwrap_or(u16::MAX);
    if let Some(place) = with.get_mut(6..8) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    rewrite_checksum(&mut with);
    with
}
