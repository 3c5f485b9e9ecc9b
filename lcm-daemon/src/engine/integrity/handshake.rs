//! The Integrity Handshake (RFC 2747 section 4.3): a sending system whose number is not known is
//! asked for it, with a cookie that nobody can guess, until it answers.

use std::net::IpAddr;

use rsvp_wire::iana::class;
use rsvp_wire::message::{IntegrityChallenge, IntegrityResponse};
use rsvp_wire::object::Challenge;
use rsvp_wire::{MessageType, Packet};
use sha2::{Digest as _, Sha256};

use super::super::record::RecordId;
use super::super::time::{Instant, Now, Span};
use super::super::upstream::HOP_TTL;
use super::super::{Core, Engine};
use super::keys;
use super::refusals::{Disbelief, refuse};
use super::window::Window;
use super::{Peer, PeerKey};
use crate::config::Handshake;
use crate::packet::{PacketMeta, TransmitMeta};

/// How often a challenge is sent.
const TRIES: u32 = 5;
/// Time after which the first is repeated; each further time is twice as long.
const FIRST_WAIT_MS: u64 = 1_000;
/// Rest after a challenge that nobody answered: only a message of that system asks anew.
const REST: Span = Span::from_millis(30_000);
/// Anybody can forge a challenge: so often, in such a time, one on an interface has everything
/// refreshed.
const REFRESHES: u8 = 8;
const REFRESHES_IN: Span = Span::from_millis(30_000);

/// A challenge that was not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    cookie: u64,
    interface: u32,
    tries: u32,
    /// When it is repeated, or forgotten after the last time.
    next: Instant,
}

impl Core {
    /// Asks a sending system for its number, unless that was done already.
    pub(super) fn challenge(&mut self, peer: PeerKey, interface: u32) {
        if self.integrity.peers.contains_key(&peer) {
            return;
        }
        if !self.integrity.has_room(self.config.limits.max_neighbours_per_interface) {
            return refuse(self, interface, peer.address, false, Disbelief::TooMany);
        }
        let cookie = self.integrity.cookie(&peer, self.unix_s);
        let question = Question { cookie, interface, tries: 0, next: self.at };
        self.integrity.peers.insert(peer, Peer::Asked(question));
        self.ask(peer);
    }

    /// Sends a challenge that is due, for the first time or again.
    fn ask(&mut self, peer: PeerKey) {
        let now = self.at;
        let Some(Peer::Asked(question)) = self.integrity.peers.get_mut(&peer) else { return };
        if question.tries >= TRIES {
            self.integrity.peers.remove(&peer);
            return;
        }
        let wait = Span::from_millis(FIRST_WAIT_MS << question.tries);
        question.tries += 1;
        question.next = now + if question.tries < TRIES { wait } else { REST };
        let challenge = Challenge { key_id: peer.key_id, cookie: question.cookie };
        let interface = question.interface;
        let source = self.interfaces.address(interface, peer.address);
        let meta = to_neighbour(source, peer.address);
        let kind = MessageType::IntegrityChallenge;
        let to = self.hop(interface, None);
        let Self { outbox, counters, .. } = self;
        outbox.send(counters, to, meta, kind, RecordId::NONE, |w| w.object(&challenge));
    }

    /// Repeats what was not answered.
    pub(crate) fn challenge_due(&mut self) {
        let now = self.at;
        let due = |peer: &Peer| matches!(peer, Peer::Asked(question) if question.next <= now);
        let due: Vec<PeerKey> =
            self.integrity.peers.iter().filter(|(_, p)| due(p)).map(|(key, _)| *key).collect();
        due.into_iter().for_each(|peer| self.ask(peer));
    }

    /// Takes a response whose digest is right.
    pub(super) fn handle_response(
        &mut self,
        peer: PeerKey,
        interface: u32,
        response: &IntegrityResponse<'_>,
    ) {
        match self.integrity.peers.get_mut(&peer) {
            Some(known @ Peer::Asked(_)) => {
                let Peer::Asked(question) = &*known else { return };
                let asked = Challenge { key_id: peer.key_id, cookie: question.cookie };
                if asked != response.challenge {
                    return refuse(self, interface, peer.address, false, Disbelief::WrongResponse);
                }
                *known = Peer::Known(Window::after(response.integrity.sequence));
            }
            // It has answered before, perhaps a challenge that was sent twice.
            Some(Peer::Known(_)) => self.counters.drop("integrity_needless_response"),
            None => refuse(self, interface, peer.address, false, Disbelief::WrongResponse),
        }
    }
}

impl Engine {
    /// Answers the challenge of a neighbour that wants to know our number, and has it told soon
    /// what it could not take before.
    pub(super) fn handle_challenge(
        &mut self,
        now: Now,
        meta: PacketMeta,
        message: &IntegrityChallenge<'_>,
    ) {
        let core = &mut self.core;
        let challenge = message.challenge;
        let association = core.integrity.of_messages(&core.interfaces, meta.interface, meta.source);
        let found = association.and_then(|at| core.integrity.associations.get(at));
        let willing = found.filter(|found| found.sign && found.handshake != Handshake::Off);
        let unix_s = u64::from(core.unix_s);
        let key = willing.and_then(|w| keys::signing_by_id(w, challenge.key_id, unix_s));
        let for_us = core.interfaces.owns(meta.destination);
        if key.is_none() || !for_us {
            return core.counters.drop("integrity_challenge_not_answered");
        }
        if !core.may_answer(meta.interface, meta.source) {
            return;
        }
        let to = core.hop(meta.interface, None);
        let back = to_neighbour(Some(meta.destination), meta.source);
        let (kind, none) = (MessageType::IntegrityResponse, RecordId::NONE);
        core.outbox.send(&mut core.counters, to, back, kind, none, |w| w.object(&challenge));
        let refreshed = core.integrity.refreshed.entry(meta.interface).or_insert((now.at, 0));
        if now.at >= refreshed.0 + REFRESHES_IN {
            *refreshed = (now.at, 0);
        }
        refreshed.1 = refreshed.1.saturating_add(1);
        if refreshed.1 > REFRESHES {
            return;
        }
        for slot in self.sessions.slots() {
            self.with_session(slot, |core, session| session.refresh_soon(core, now));
        }
    }
}

impl super::Guard {
    /// A cookie that depends on a secret of this node, the peer and the time, and comes once.
    fn cookie(&mut self, peer: &PeerKey, unix_s: u32) -> u64 {
        self.cookies += 1;
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update(self.cookies.to_be_bytes());
        hash.update(unix_s.to_be_bytes());
        hash.update(peer.key_id.to_be_bytes());
        match peer.address {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
        hash.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// The association under which a system was asked what this message answers.
    pub(super) fn asked(&self, from: IpAddr, packet: &Packet<'_>) -> Option<usize> {
        let raw = packet.objects_of(class::CHALLENGE).next()?;
        let answered = Challenge::decode(&raw).ok()?;
        let fits = |(peer, known): (&PeerKey, &Peer)| match known {
            Peer::Asked(question) => {
                (peer.address, peer.key_id, question.cookie)
                    == (from, answered.key_id, answered.cookie)
            }
            Peer::Known(_) => false,
        };
        self.peers.iter().find(|entry| fits(*entry)).map(|(peer, _)| peer.association)
    }

    /// When something is to be asked again.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let questions = self.peers.values().filter_map(|peer| match peer {
            Peer::Asked(question) => Some(question.next),
            Peer::Known(_) => None,
        });
        questions.min()
    }
}

fn to_neighbour(source: Option<IpAddr>, destination: IpAddr) -> TransmitMeta {
    TransmitMeta {
        interface: None,
        gateway: None,
        source,
        destination,
        ttl: HOP_TTL,
        router_alert: false,
    }
}
