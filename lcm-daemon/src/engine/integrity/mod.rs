//! RSVP authentication (RFC 2747, 3097): every message that comes in passes [`Engine::believes`]
//! before anything else looks at it, every message that leaves passes [`Core::seal`].
//!
//! ```text
//! bytes ─▶ who speaks (RSVP_HOP, else the IP source), on which interface ─▶ association
//!          digest ─▶ number ─▶ parsed and acted on          keys.rs, window.rs
//!            │         └ nobody's number is known: challenge, dropped   handshake.rs
//!            └ missing, wrong, replayed: dropped, counted, told         refusals.rs
//! queue of what is to be sent ─▶ association ─▶ INTEGRITY, number, digest ─▶ socket   send.rs
//! ```
//!
//! An association is found by the neighbour's address, else by the interface. Nothing is kept of a
//! system before a message of it was verified, so strangers cannot fill memory.

mod handshake;
mod keys;
mod policy;
mod refusals;
mod send;
mod view;
mod window;

pub use refusals::{Disbelief, Disbelieved};
pub use view::{AssociationView, DisbeliefView, KeyView, PeerView};

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ahash::RandomState;
use rsvp_wire::iana::class;
use rsvp_wire::object::{Hop, Integrity};
use rsvp_wire::{Message, MessageType, Packet, digest};

use super::counters::bump;
use super::interfaces::Interfaces;
use super::time::{Instant, Now};
use super::{Core, Engine};
use crate::config::{Authentication, Handshake};
use crate::packet::PacketMeta;
use handshake::Question;
use policy::PolicyNumbers;
use refusals::{Refusals, refuse};
use window::{Sequence, Window};

/// A sending system with one of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerKey {
    /// The first association that has the key: what was heard on one interface is no news on another
    /// one that shares the key.
    association: usize,
    key_id: u64,
    address: IpAddr,
}

/// What is known of it.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// Its numbers.
    Known(Window),
    /// It was asked for its number.
    Asked(Question),
}

/// All associations of a node, and what it knows of those who share them.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    associations: Vec<Authentication>,
    by_neighbour: BTreeMap<IpAddr, usize>,
    by_interface: BTreeMap<String, usize>,
    policy_by_neighbour: BTreeMap<IpAddr, usize>,
    policy_by_interface: BTreeMap<String, usize>,
    policy_numbers: PolicyNumbers,
    /// By association and key identifier: the first association that has the same key.
    first_with: BTreeMap<(usize, u64), usize>,
    peers: HashMap<PeerKey, Peer, RandomState>,
    sequence: Sequence,
    /// Known to this node alone.
    secret: [u8; 32],
    /// Challenges made so far.
    cookies: u64,
    /// How often everything was refreshed because of challenges on an interface, and since when.
    refreshed: BTreeMap<u32, (Instant, u8)>,
    refusals: Refusals,
    /// Associations whose last key has ended, as the operator was told.
    told_overdue: Vec<usize>,
}

/// What an association is about.
fn scope(one: &Authentication) -> (bool, Option<IpAddr>, Option<&str>) {
    (one.policy, one.neighbour, one.interface.as_deref())
}

fn first_with(associations: &[Authentication]) -> BTreeMap<(usize, u64), usize> {
    let mut found = BTreeMap::new();
    for (at, one) in associations.iter().enumerate() {
        for key in &one.keys {
            let same = |other: &crate::config::Key| {
                (other.id, other.algorithm, &other.secret) == (key.id, key.algorithm, &key.secret)
            };
            let has =
                |other: &Authentication| other.policy == one.policy && other.keys.iter().any(same);
            let first = associations.iter().position(has);
            found.insert((at, key.id), first.unwrap_or(at));
        }
    }
    found
}

impl Guard {
    pub(crate) fn new(associations: &[Authentication], hasher: RandomState, seed: u64) -> Self {
        let mut secret = [0; 32];
        let mut rng = fastrand::Rng::with_seed(seed);
        secret.fill_with(|| rng.u8(..));
        let mut guard = Self {
            associations: Vec::new(),
            by_neighbour: BTreeMap::new(),
            by_interface: BTreeMap::new(),
            policy_by_neighbour: BTreeMap::new(),
            policy_by_interface: BTreeMap::new(),
            policy_numbers: PolicyNumbers::new(hasher.clone()),
            first_with: BTreeMap::new(),
            peers: HashMap::with_hasher(hasher),
            sequence: Sequence::default(),
            secret,
            cookies: 0,
            refreshed: BTreeMap::new(),
            refusals: Refusals::default(),
            told_overdue: Vec::new(),
        };
        guard.set(associations.to_vec());
        guard
    }

    /// Takes other keys. What is known of sending systems stays for the keys that stay the same, so
    /// that neither a message is lost nor a replay gets in.
    fn set(&mut self, new: Vec<Authentication>) {
        let old = std::mem::replace(&mut self.associations, new);
        self.first_with = first_with(&self.associations);
        let same_key = |at: usize, key_id: u64| {
            let before = old.get(at)?;
            let now = self.associations.iter().position(|a| scope(a) == scope(before))?;
            let of = |a: &Authentication| a.keys.iter().find(|key| key.id == key_id).cloned();
            let (before, after) = (of(before)?, of(self.associations.get(now)?)?);
            let same = (before.algorithm, before.secret) == (after.algorithm, after.secret);
            same.then(|| self.first_with.get(&(now, key_id)).copied().unwrap_or(now))
        };
        let peers = std::mem::replace(&mut self.peers, HashMap::with_hasher(RandomState::new()));
        let hasher = peers.hasher().clone();
        let kept = peers.into_iter().filter_map(|(peer, known)| {
            let association = same_key(peer.association, peer.key_id)?;
            Some((PeerKey { association, ..peer }, known))
        });
        let mut peers = HashMap::with_hasher(hasher);
        peers.extend(kept);
        self.peers = peers;
        self.told_overdue.clear();
        self.by_neighbour.clear();
        self.by_interface.clear();
        self.index_policy(&old);
        for (at, one) in self.associations.iter().enumerate().filter(|(_, one)| !one.policy) {
            if let Some(neighbour) = one.neighbour {
                self.by_neighbour.insert(neighbour, at);
            } else if let Some(interface) = &one.interface {
                self.by_interface.insert(interface.clone(), at);
            }
        }
    }

    fn index_policy(&mut self, old: &[Authentication]) {
        self.policy_by_neighbour.clear();
        self.policy_by_interface.clear();
        // Numbers are known by the place of their association.
        if !old.iter().map(scope).eq(self.associations.iter().map(scope)) {
            self.policy_numbers.clear();
        }
        for (at, one) in self.associations.iter().enumerate().filter(|(_, one)| one.policy) {
            if let Some(neighbour) = one.neighbour {
                self.policy_by_neighbour.insert(neighbour, at);
            }
            // What is for all behind an interface goes by its own table, else by the first
            // neighbour's that names it.
            if let Some(interface) = &one.interface {
                let own = one.neighbour.is_none();
                if own || !self.policy_by_interface.contains_key(interface) {
                    self.policy_by_interface.insert(interface.clone(), at);
                }
            }
        }
    }

    /// Whether no message needs to be looked at.
    pub(super) fn is_open(&self) -> bool {
        self.by_neighbour.is_empty() && self.by_interface.is_empty()
    }

    /// The association by which messages of a neighbour on an interface are judged.
    fn of_messages(&self, ports: &Interfaces, interface: u32, neighbour: IpAddr) -> Option<usize> {
        let by_interface = || {
            let port = ports.get(interface)?;
            self.by_interface.get(&port.kernel.name)
        };
        self.by_neighbour.get(&neighbour).or_else(by_interface).copied()
    }

    /// The association by which a message is judged. One that comes in by an open interface is no way
    /// around a secured one: a RESV is judged by the interface on which it reserves, and a neighbour
    /// on a secured link proves itself wherever it is heard.
    fn of_arrival(
        &self,
        ports: &Interfaces,
        interface: u32,
        neighbour: IpAddr,
        packet: &Packet<'_>,
    ) -> Option<usize> {
        let reserves = reserved_on(packet);
        let on_link = ports.iter().find(|port| port.reaches(neighbour) && !port.kernel.loopback);
        let on_link = on_link.map(|port| port.kernel.index);
        let mut ways = [reserves, Some(interface), on_link].into_iter().flatten();
        ways.find_map(|way| self.of_messages(ports, way, neighbour))
    }

    fn peer(&self, at: usize, key_id: u64, address: IpAddr) -> PeerKey {
        let association = self.first_with.get(&(at, key_id)).copied().unwrap_or(at);
        PeerKey { association, key_id, address }
    }

    /// Whether the configuration names this neighbour.
    fn names(&self, neighbour: IpAddr) -> bool {
        self.associations.iter().any(|one| one.neighbour == Some(neighbour))
    }

    fn has_room(&self, most: u32) -> bool {
        self.peers.len() < most as usize
    }
}

impl Engine {
    /// Takes other associations and keys from now on, without losing a message; the secrets must
    /// have been read. What holds for interfaces and neighbours otherwise stays as it is.
    pub fn set_authentication(&mut self, now: Now, associations: Vec<Authentication>) {
        self.core.believable(now);
        self.core.config.authentication.clone_from(&associations);
        self.core.integrity.set(associations);
        self.core.tell_overdue();
        self.forget_names();
    }

    /// Gives the node a secret that nobody can guess, which the cookies of challenges rest on;
    /// without, it comes from the engine's seed.
    pub fn set_secret(&mut self, secret: [u8; 32]) {
        self.core.integrity.secret = secret;
    }

    /// Whether a message is to be acted on: it is believed, or nobody is asked to prove anything
    /// here. Nothing but what is known of its sending system changes on the way.
    pub(super) fn believes(&mut self, now: Now, meta: PacketMeta, bytes: &[u8]) -> bool {
        if self.core.integrity.is_open() {
            return true;
        }
        let packet = match Packet::parse_header(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                // No header, no object: nobody can have signed it.
                bump(&mut self.core.counters.malformed, error.reason());
                return false;
            }
        };
        match packet.message_type() {
            // The messages in it are signed one by one, and pass here one by one.
            MessageType::Bundle => true,
            MessageType::IntegrityChallenge => {
                match Message::parse(bytes) {
                    Ok(Message::IntegrityChallenge(challenge)) => {
                        self.handle_challenge(now, meta, &challenge);
                    }
                    Ok(_) => {}
                    Err(error) => bump(&mut self.core.counters.malformed, error.reason()),
                }
                false
            }
            _ => self.core.verifies(meta, &packet),
        }
    }
}

/// The interface that a RESV or RESVTEAR is for, whichever it comes in by (RFC 2205 section 3.3).
fn reserved_on(packet: &Packet<'_>) -> Option<u32> {
    let kind = packet.message_type();
    let hop = packet.objects_of(class::RSVP_HOP).next();
    let for_it = matches!(kind, MessageType::Resv | MessageType::ResvTear | MessageType::Dreq);
    let hop = hop.filter(|_| for_it);
    hop.and_then(|raw| Hop::decode(&raw).ok()).map(|hop| hop.lih)
}

/// The system that sent a message: RSVP_HOP, or the IP source where there is none (section 4).
fn sending_system(meta: PacketMeta, packet: &Packet<'_>) -> IpAddr {
    // A diagnostic reply goes back with the RSVP_HOP of the request (RFC 2745 section 4.1).
    let reply = packet.message_type() == MessageType::Drep;
    let hop = packet.objects_of(class::RSVP_HOP).next().filter(|_| !reply);
    hop.and_then(|raw| Hop::decode(&raw).ok()).map_or(meta.source, |hop| hop.address)
}

impl Core {
    /// Whether a message that was believed bore a proof of who says it.
    pub(crate) fn is_proved(&self, meta: PacketMeta, packet: &Packet<'_>) -> bool {
        let from = sending_system(meta, packet);
        let ports = &self.interfaces;
        let of = self.integrity.of_arrival(ports, meta.interface, from, packet);
        of.is_some() && packet.integrity().is_some()
    }

    fn verifies(&mut self, meta: PacketMeta, packet: &Packet<'_>) -> bool {
        let interface = meta.interface;
        let from = sending_system(meta, packet);
        let response = packet.message_type() == MessageType::IntegrityResponse;
        // A response may come another way than the challenge went.
        let asked = if response { self.integrity.asked(from, packet) } else { None };
        let found = self.integrity.of_arrival(&self.interfaces, interface, from, packet);
        let Some(at) = asked.or(found) else { return true };
        let verified = self.check_digest(at, packet);
        let integrity = match verified {
            Ok(Some(integrity)) => integrity,
            Ok(None) => return true,
            Err(why) => {
                refuse(self, interface, from, false, why);
                return false;
            }
        };
        let peer = self.integrity.peer(at, integrity.key_id, from);
        if response {
            match Message::parse(packet.bytes()) {
                Ok(Message::IntegrityResponse(response)) => {
                    self.handle_response(peer, interface, &response);
                }
                Ok(_) => {}
                Err(error) => bump(&mut self.counters.malformed, error.reason()),
            }
            return false;
        }
        let believed = self.check_number(at, peer, interface, &integrity);
        if believed {
            self.ask_ahead(at, peer, interface, &integrity);
        }
        believed
    }

    /// The INTEGRITY object if its digest is right; `None` where none is there or needed.
    fn check_digest<'a>(
        &self,
        at: usize,
        packet: &Packet<'a>,
    ) -> Result<Option<Integrity<'a>>, Disbelief> {
        let Some(association) = self.integrity.associations.get(at) else { return Ok(None) };
        let Some(integrity) = packet.integrity() else {
            return if association.demand { Err(Disbelief::Missing) } else { Ok(None) };
        };
        let unix_s = u64::from(self.unix_s);
        let usable = keys::verifying(association, integrity.key_id, unix_s);
        let usable = usable.map_err(|none| match none {
            keys::NoKey::Unknown => Disbelief::UnknownKey,
            keys::NoKey::NotLive => Disbelief::KeyNotLive,
        })?;
        let key = keys::wire_key(usable.key).ok_or(Disbelief::UnknownKey)?;
        let verified = digest::verify(packet, &key);
        verified.map(Some).map_err(|_| Disbelief::WrongDigest)
    }

    /// Whether the number of a verified message is new.
    fn check_number(
        &mut self,
        at: usize,
        peer: PeerKey,
        interface: u32,
        integrity: &Integrity<'_>,
    ) -> bool {
        let Some(association) = self.integrity.associations.get(at) else { return false };
        let (window, handshake) = (association.window as usize, association.handshake);
        match self.integrity.peers.get_mut(&peer) {
            Some(Peer::Known(known)) => {
                let new = known.accept(integrity.sequence, window);
                if !new {
                    refuse(self, interface, peer.address, false, Disbelief::Replay);
                }
                return new;
            }
            Some(Peer::Asked(_)) => {
                self.counters.drop("integrity_handshake_pending");
                return false;
            }
            None => {}
        }
        let answers = integrity.flags & Integrity::HANDSHAKE != 0;
        match (handshake, answers) {
            (Handshake::Off, _) | (Handshake::IfOffered, false) => {
                let room = self.integrity.has_room(self.config.limits.max_neighbours_per_interface);
                if room {
                    let window = Window::starting_with(integrity.sequence);
                    self.integrity.peers.insert(peer, Peer::Known(window));
                } else {
                    refuse(self, interface, peer.address, false, Disbelief::TooMany);
                }
                room
            }
            (Handshake::Required, false) => {
                refuse(self, interface, peer.address, false, Disbelief::NoHandshake);
                false
            }
            (Handshake::IfOffered | Handshake::Required, true) => {
                self.counters.drop("integrity_handshake_pending");
                self.challenge(peer, interface);
                false
            }
        }
    }

    /// Asks for the numbers of the keys that a neighbour may change over to, so that it can do so
    /// without a message being dropped (section 5.1).
    fn ask_ahead(&mut self, at: usize, peer: PeerKey, interface: u32, integrity: &Integrity<'_>) {
        let Some(association) = self.integrity.associations.get(at) else { return };
        let answers = integrity.flags & Integrity::HANDSHAKE != 0;
        if association.keys.len() < 2 || association.handshake == Handshake::Off || !answers {
            return;
        }
        let unix_s = u64::from(self.unix_s);
        let others: Vec<PeerKey> = keys::accepted(association, unix_s)
            .map(|found| self.integrity.peer(at, found.key.id, peer.address))
            .filter(|other| !self.integrity.peers.contains_key(other))
            .collect();
        others.into_iter().for_each(|other| self.challenge(other, interface));
    }

    /// Tells the operator of associations whose last key has ended; it stays in use (section 5.3).
    pub(crate) fn tell_overdue(&mut self) {
        let unix_s = u64::from(self.unix_s);
        for (at, one) in self.integrity.associations.iter().enumerate() {
            let Some(key_id) = keys::overdue(one, unix_s) else { continue };
            if self.integrity.told_overdue.contains(&at) {
                continue;
            }
            self.integrity.told_overdue.push(at);
            let neighbour = one.neighbour.map(|neighbour| neighbour.to_string());
            let of = neighbour.or_else(|| one.interface.clone()).unwrap_or_default();
            self.outbox.push(super::Output::LastKeyEnded { of, key_id });
        }
    }
}
