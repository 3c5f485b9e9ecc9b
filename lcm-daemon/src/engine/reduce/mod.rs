//! Refresh overhead reduction between neighbours (RFC 2961) and Hello (RFC 3209 section 5).
//!
//! ```text
//!  PATH, RESV ─▶ outbox ─┬─ said before, and acknowledged ─▶ number into the peer's next Srefresh
//!                        ├─ said before, or new ────────────▶ message with MESSAGE_ID ─┐
//!                        └─ peer has none of this ──────────▶ message as RFC 2205 has it│
//!  tears, errors ─▶ a new number, and kept until acknowledged ◀────────────────────────┘
//!
//!  MESSAGE_ID in ─▶ older than what stands? dropped ─▶ handled ─▶ acknowledged, number kept
//!  Srefresh in ──▶ number known? state refreshed as by the whole message; otherwise NACK
//! ```
//!
//! A message is told from one that was sent before by a digest of it, so nothing that changed can be
//! taken for a refresh (section 5.5, first method). Numbers are one sequence for the whole node. What
//! is kept of a state is its number and digest here, and its number at the receiver.

mod again;
mod bundle;
mod hello;
mod numbers;
mod peer;
mod receive;
mod refused;
mod renew;
mod restart;
mod sent;
mod srefresh;
mod tick;
mod unacked;

pub use hello::NeighbourNews;
pub(crate) use numbers::{Name, Numbers};
pub(crate) use peer::{PeerKey, To};
pub(crate) use refused::refuses_numbers;
pub(crate) use sent::{Sent, SentPaths};
pub(crate) use unacked::Unacked;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ahash::RandomState;
use rsvp_wire::object::MessageIdAck;

use super::time::{Instant, Span};
use crate::packet::{PacketMeta, TransmitMeta};
use peer::Peer;

/// First wait for an acknowledgement, Rf (section 6.2).
pub(crate) const RETRANSMIT: Span = Span::from_millis(500);
/// How often a message is sent at most without being acknowledged, Rl.
pub(crate) const TRANSMISSIONS: u8 = 3;
/// Longest random wait before a message to a group is acknowledged (section 4.7): an
/// acknowledgement must be there before [`RETRANSMIT`] is over.
const GROUP_ACK_DELAY: Span = Span::from_millis(250);
/// Neighbours that are kept at most; one more is taken for one that has none of this.
const PEERS_MAX: usize = 1 << 16;
/// Forgotten numbers that a table may hold before it is looked through.
const SPARE_NUMBERS: usize = 64;
/// Tells the hashes and random numbers here from others of the same seed.
const SALT: u64 = 0x5246_4332_3936_3100;

/// What a node keeps for its neighbours that reduce refreshes.
#[derive(Debug, Clone)]
pub(crate) struct Reduce {
    /// Drawn at random with each start (section 4.2).
    epoch: u32,
    last_number: u32,
    hasher: RandomState,
    rng: fastrand::Rng,
    peers: HashMap<PeerKey, Peer, RandomState>,
    /// Messages that are not acknowledged, by their numbers.
    unacked: HashMap<u32, Unacked, RandomState>,
    /// When they are sent again.
    retries: BTreeSet<(Instant, u32)>,
    /// Messages that left with a record, at an instant that nobody told: they are due at the next.
    fresh: Vec<u32>,
    /// Session slots by the numbers of the PATHs and RESVs that are refreshed by them.
    states: HashMap<u32, u32, RandomState>,
    swept: usize,
    /// How long they wait for others.
    batch_wait: Span,
    /// When numbers that were collected leave as an Srefresh.
    batches: BTreeSet<(Instant, PeerKey)>,
    /// Acknowledgements of messages to groups that wait.
    later: BTreeMap<(Instant, u32), (PeerKey, MessageIdAck)>,
    hellos: BTreeSet<(Instant, PeerKey)>,
    /// Peers that have acknowledgements to be sent now.
    answered: Vec<PeerKey>,
    /// Some interface reduces refreshes or says Hello.
    pub(crate) active: bool,
}

impl Reduce {
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(16), SALT);
        let mut rng = fastrand::Rng::with_seed(seed ^ SALT);
        let table = || HashMap::with_hasher(hasher.clone());
        Self {
            epoch: rng.u32(..) & 0x00ff_ffff,
            last_number: 0,
            peers: HashMap::with_hasher(hasher.clone()),
            unacked: HashMap::with_hasher(hasher.clone()),
            retries: BTreeSet::new(),
            fresh: Vec::new(),
            states: table(),
            swept: 0,
            batch_wait: Span::default(),
            batches: BTreeSet::new(),
            later: BTreeMap::new(),
            hellos: BTreeSet::new(),
            answered: Vec::new(),
            active: false,
            hasher,
            rng,
        }
    }

    /// When something is due here.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if !self.fresh.is_empty() {
            return Some(Instant::default());
        }
        let first = |due: &BTreeSet<(Instant, PeerKey)>| due.first().map(|(at, _)| *at);
        let retry = self.retries.first().map(|(at, _)| *at);
        let later = self.later.keys().next().map(|(at, _)| *at);
        [retry, later, first(&self.batches), first(&self.hellos)].into_iter().flatten().min()
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What tells a message to a neighbour from others: its objects but MESSAGE_ID, how it travels,
    /// and whether the neighbour has lost everything since.
    pub(crate) fn digest(&self, key: PeerKey, meta: &TransmitMeta, body: &[u8]) -> u64 {
        let generation = self.peers.get(&key).map_or(0, |peer| peer.generation);
        let TransmitMeta { interface, gateway, source, destination, ttl, .. } = *meta;
        let travels = (interface, gateway, source, destination, ttl);
        self.hasher.hash_one((key, generation, travels, body))
    }

    /// What tells octets that arrived this way from others.
    pub(crate) fn name_of(&self, meta: &PacketMeta, message: &[u8]) -> Name {
        let PacketMeta { interface, source, destination, ttl, router_alert } = *meta;
        let came = (interface, source, destination, ttl, router_alert);
        Name::octets(self.hasher.hash_one((came, message)))
    }

    /// A PATH or RESV with this number speaks of a session.
    pub(crate) fn stands(&mut self, number: u32, slot: usize) {
        self.states.insert(number, u32::try_from(slot).unwrap_or(u32::MAX));
    }

    /// A number that none of our messages had, for long (section 4.5); 0 is none.
    pub(crate) fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1).max(1);
        self.last_number
    }

    /// A neighbour as operators see it.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (&PeerKey, &Peer)> {
        self.peers.iter()
    }

    /// What is decided by, to be printed; of a node without peers always the same.
    pub(crate) fn image(&self) -> impl std::fmt::Debug + '_ {
        let peers: BTreeMap<_, _> = self.peers.iter().collect();
        let unacked: BTreeMap<_, _> = self.unacked.iter().collect();
        (peers, unacked, &self.retries, &self.fresh, &self.batches, &self.later, &self.hellos)
    }

    /// Forgets the neighbours behind an interface that is gone.
    pub(crate) fn forget_interface(&mut self, interface: u32) {
        let gone = |peer: &Peer| peer.interface == interface;
        self.peers.retain(|_, peer| !gone(peer));
        let Self { peers, batches, hellos, answered, later, .. } = self;
        batches.retain(|(_, key)| peers.contains_key(key));
        hellos.retain(|(_, key)| peers.contains_key(key));
        answered.retain(|key| peers.contains_key(key));
        later.retain(|_, (key, _)| peers.contains_key(key));
    }
}

/// True if `a` comes before `b` in a sequence that may wrap (section 4.5).
fn older(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) > 0
}

/// By whom a message was made that comes with RSVP_HOP `address` over `interface`: addresses of one
/// link are told apart by it.
pub(crate) fn peer_key(interface: u32, address: IpAddr) -> PeerKey {
    let on_link = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    (if on_link { interface } else { 0 }, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_wrap_over_none() {
        let mut reduce = Reduce::new(7);
        assert_eq!((reduce.next_number(), reduce.next_number()), (1, 2));
        reduce.last_number = u32::MAX - 1;
        assert_eq!((reduce.next_number(), reduce.next_number()), (u32::MAX, 1));
        assert!(older(u32::MAX, 1) && !older(1, u32::MAX) && !older(5, 5) && older(4, 5));
        assert!(reduce.epoch <= 0x00ff_ffff && reduce.epoch != Reduce::new(8).epoch);
    }
}
