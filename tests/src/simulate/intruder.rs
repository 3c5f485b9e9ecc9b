//! What is done to authenticated networks (RFC 2747): messages are played again and forged, and
//! operators give a daemon the wrong keys for a while. Nothing of it may show in what the network
//! comes to.

use std::collections::BTreeMap;

use lcm_daemon::config::{Authentication, Secret};
use lcm_daemon::packet::PacketMeta;
use rsvp_wire::rewrite_checksum;

use super::world::World;
use crate::sim::{Crossing, Fate, NodeId};

/// How many of the newest messages are played again.
const MEMORY: usize = 2_000;

/// Who forges and replays, and whose keys are wrong.
#[derive(Debug)]
pub(super) struct Intruder {
    /// What the nodes with wrong keys had before.
    right: BTreeMap<NodeId, Vec<Authentication>>,
    /// Nodes ask each other for their numbers.
    handshake: bool,
    /// Not what feeds the play: that stays as it is without an intruder.
    rng: fastrand::Rng,
}

impl Intruder {
    pub(super) fn new(seed: u64, handshake: bool) -> Self {
        let rng = fastrand::Rng::with_seed(seed ^ 0xBAD0_2747_BAD0_2747);
        Self { right: BTreeMap::new(), handshake, rng }
    }
}

impl World {
    /// Has the intruder do something, where there is one.
    pub(super) fn intrude(&mut self) {
        let Some(mut intruder) = self.intruder.take() else { return };
        match intruder.rng.u8(0..6) {
            // Without a handshake the first message after a start may be an old one (RFC 2747
            // section 4.3).
            0 | 1 if intruder.handshake => self.replay(&mut intruder.rng),
            2 => self.forge(&mut intruder.rng),
            3 => self.change_keys(&mut intruder),
            _ => {}
        }
        self.intruder = Some(intruder);
    }

    /// Some of the messages that had arrived, as they did.
    fn heard(&self, rng: &mut fastrand::Rng) -> Vec<(NodeId, PacketMeta, Vec<u8>)> {
        let now = self.net.now_us();
        let crossings = self.net.log.crossings();
        let newest = &crossings[crossings.len().saturating_sub(MEMORY)..];
        let heard = |c: &&Crossing| {
            let own = self.net.topology.owner(c.destination) == Some(c.to);
            own || c.router_alert
        };
        let arrived = |c: &&Crossing| matches!(c.fate, Fate::Arrives(at) if at < now) && heard(c);
        let arrived: Vec<&Crossing> = newest.iter().filter(arrived).collect();
        let mut heard = Vec::new();
        for _ in 0..rng.usize(1..20) {
            let Some(crossing) = rng.choice(&arrived) else { continue };
            let meta = PacketMeta {
                interface: self.net.topology.interface(crossing.to, crossing.link),
                source: crossing.source,
                destination: crossing.destination,
                ttl: crossing.ttl,
                router_alert: crossing.router_alert,
            };
            heard.push((crossing.to, meta, self.net.log.bytes(crossing).to_vec()));
        }
        heard
    }

    /// Messages arrive once more.
    fn replay(&mut self, rng: &mut fastrand::Rng) {
        for (to, meta, bytes) in self.heard(rng) {
            if self.runs(to) {
                self.net.inject(to, meta, &bytes);
                let what = format!("{} gets an old message again", self.name(to));
                self.note("messages replayed", what);
            }
        }
    }

    /// Messages arrive that were changed on the way, or whose digest was taken off.
    fn forge(&mut self, rng: &mut fastrand::Rng) {
        for (to, meta, mut bytes) in self.heard(rng) {
            if !self.runs(to) || bytes.get(10) != Some(&rsvp_wire::iana::class::INTEGRITY) {
                continue;
            }
            if rng.bool() {
                let at = rng.usize(28..bytes.len());
                bytes[at] ^= 1 << rng.u8(0..8);
            } else {
                let digest = usize::from(u16::from_be_bytes([bytes[8], bytes[9]]));
                bytes.drain(8..8 + digest);
                let length = u16::try_from(bytes.len()).unwrap_or_default();
                bytes[6..8].copy_from_slice(&length.to_be_bytes());
            }
            rewrite_checksum(&mut bytes);
            self.net.inject(to, meta, &bytes);
            let what = format!("{} gets a forged message", self.name(to));
            self.note("messages forged", what);
        }
    }

    /// A daemon gets a key that nobody else has, or the right one again.
    fn change_keys(&mut self, intruder: &mut Intruder) {
        let id = intruder.rng.usize(..self.net.topology.nodes.len());
        if let Some(right) = intruder.right.remove(&id) {
            self.net.set_authentication(id, right);
            let what = format!("{} has the right keys again", self.name(id));
            return self.note("keys put right", what);
        }
        let right = self.net.authentication(id);
        let mut wrong = right.clone();
        for key in wrong.iter_mut().flat_map(|one| &mut one.keys) {
            key.secret = Some(Secret::new(b"a key that nobody else has"));
        }
        self.net.set_authentication(id, wrong);
        intruder.right.insert(id, right);
        let what = format!("{} gets wrong keys", self.name(id));
        self.note("wrong keys", what);
    }

    /// All daemons have the right keys again.
    pub(super) fn give_right_keys(&mut self) {
        let right = self.intruder.as_mut().map(|intruder| std::mem::take(&mut intruder.right));
        for (id, right) in right.into_iter().flatten() {
            self.net.set_authentication(id, right);
            let what = format!("{} has the right keys again", self.name(id));
            self.note("keys put right", what);
        }
    }
}
