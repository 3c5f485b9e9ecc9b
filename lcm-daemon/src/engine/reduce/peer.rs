//! A neighbour as far as refresh reduction knows it, and whom a message is for.

use std::collections::HashMap;
use std::net::IpAddr;

use ahash::RandomState;
use rsvp_wire::object::{ListEntry, MessageIdAck};

use super::super::Core;
use super::super::rsb::Rsb;
use super::super::session::SessionState;
use super::super::time::Instant;
use super::hello::Greeting;
use super::{Name, Numbers, PEERS_MAX, Reduce, SPARE_NUMBERS, peer_key};

/// A generator of numbers: its address, and the interface where that is a link's own.
pub(crate) type PeerKey = (u32, IpAddr);

/// Flag of the common header: refresh reduction capable (section 2).
pub(super) const CAPABLE: u8 = 0x01;

/// Whom a message is for, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct To {
    /// Flags of the common header.
    pub(crate) flags: u8,
    /// The neighbour that will handle it.
    pub(crate) peer: Option<PeerKey>,
    /// Our address by which it knows what we send it, as RSVP_HOP has it.
    pub(super) own: Option<IpAddr>,
    /// Largest RSVP message that fits the link.
    pub(super) room: usize,
    /// Messages to this neighbour may be bundled.
    pub(super) bundle: bool,
}

/// What is kept of a neighbour.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Where it was heard last.
    pub(crate) interface: u32,
    /// Our address there: it knows us by this.
    pub(super) own: IpAddr,
    /// Largest RSVP message that fits the link.
    pub(super) room: usize,
    /// Its messages have the capable bit (section 2).
    pub(super) capable: bool,
    /// It understands MESSAGE_ID, with or without the bit.
    pub(super) numbers: bool,
    /// Its numbers count from here; `None` before the first.
    pub(super) epoch: Option<u32>,
    pub(super) newest: u32,
    /// Session slots by the numbers that it refreshes them by.
    pub(super) states: HashMap<u32, u32, RandomState>,
    swept: usize,
    /// To be sent with the next message to it.
    pub(super) acks: Vec<MessageIdAck>,
    /// Our numbers to be refreshed, by the address of ours under which it knows them; nearly always
    /// there is but one.
    pub(super) batches: Vec<Batch>,
    /// When they are.
    pub(super) batch_due: Option<Instant>,
    /// It is on the link, as far as prefixes tell.
    pub(super) near: bool,
    /// When it said something that is no Hello.
    pub(super) spoke: Instant,
    /// Rises when it has lost what it was told: nothing that was sent before counts.
    pub(super) generation: u32,
    pub(super) greeting: Greeting,
}

/// Numbers that wait for others.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    pub(super) own: IpAddr,
    pub(super) plain: Vec<u32>,
    pub(super) multicast: Vec<ListEntry>,
}

impl Peer {
    /// True if it is refreshed by numbers.
    pub(crate) fn reduces(&self) -> bool {
        self.capable
    }

    /// True if messages to it have numbers.
    pub(crate) fn understands_numbers(&self) -> bool {
        self.numbers
    }

    /// How many of its messages it refreshes state by.
    pub(crate) fn states(&self) -> usize {
        self.states.len()
    }

    /// Remembers that a state is refreshed by this number.
    pub(super) fn knows(&mut self, number: u32, slot: usize) {
        self.states.insert(number, u32::try_from(slot).unwrap_or(u32::MAX));
    }

    /// The session slot of a state that is refreshed by this number.
    pub(super) fn slot_of(&self, number: u32) -> Option<usize> {
        self.states.get(&number).map(|slot| *slot as usize)
    }
}

impl Reduce {
    /// What is known of a neighbour; a new one if there is room.
    pub(super) fn peer(
        &mut self,
        key: PeerKey,
        interface: u32,
        own: IpAddr,
        room: usize,
    ) -> Option<&mut Peer> {
        if !self.peers.contains_key(&key) && self.peers.len() >= PEERS_MAX {
            return None;
        }
        let hasher = &self.hasher;
        let rng = &mut self.rng;
        let peer = self.peers.entry(key).or_insert_with(|| Peer {
            interface,
            own,
            room,
            capable: false,
            numbers: false,
            epoch: None,
            newest: 0,
            states: HashMap::with_hasher(hasher.clone()),
            swept: 0,
            acks: Vec::new(),
            batches: Vec::new(),
            batch_due: None,
            near: false,
            spoke: Instant::default(),
            generation: 0,
            greeting: Greeting::new(rng.u32(1..)),
        });
        (peer.interface, peer.own, peer.room) = (interface, own, room);
        Some(peer)
    }

    /// True if messages to this neighbour have numbers.
    pub(crate) fn numbers_for(&self, to: To) -> bool {
        let peer = to.peer.and_then(|key| self.peers.get(&key));
        to.flags & CAPABLE != 0 && peer.is_some_and(|peer| peer.numbers)
    }

    /// A reservation, or a part of it, is ending. What the messages said of which it was made stands
    /// in part at most: the next hop must say it in whole again.
    pub(crate) fn disown(&mut self, rsb: &mut Rsb) {
        let key = peer_key(rsb.outgoing, rsb.next_hop);
        if let Some(peer) = self.peers.get_mut(&key) {
            for number in rsb.numbers.iter().filter_map(Name::as_number) {
                peer.states.remove(&number);
            }
        }
        rsb.numbers = Numbers::None;
    }

    /// Forgets numbers that nothing is refreshed by any more, once there may be as many of them as
    /// of others.
    pub(crate) fn sweep<'s>(&mut self, session: impl Fn(usize) -> Option<&'s SessionState>) {
        let due = |len: usize, swept: usize| len > 2 * swept + SPARE_NUMBERS;
        if due(self.states.len(), self.swept) {
            let says = |slot: u32, number: u32| {
                session(slot as usize).is_some_and(|state| state.says(number))
            };
            self.states.retain(|number, slot| says(*slot, *number));
            self.swept = self.states.len();
            let states = &self.states;
            // What was given up for lost is kept only for the state that it was about.
            self.unacked.retain(|number, it| !it.is_given_up() || states.contains_key(number));
        }
        for (key, peer) in &mut self.peers {
            if due(peer.states.len(), peer.swept) {
                let hears = |slot: u32, number: u32| {
                    session(slot as usize).is_some_and(|state| state.is_heard_by(key.1, number))
                };
                peer.states.retain(|number, slot| hears(*slot, *number));
                peer.swept = peer.states.len();
            }
        }
    }
}

impl Core {
    /// The neighbour on an interface that will handle a message, or none if that is not known.
    pub(crate) fn hop(&self, interface: u32, neighbour: Option<IpAddr>) -> To {
        let port = self.interfaces.get(interface);
        let on = port.is_some_and(|port| port.settings.refresh_reduction);
        let mtu = port.map_or(1_500, |port| port.kernel.mtu) as usize;
        let header = if neighbour.is_some_and(|address| address.is_ipv6()) { 48 } else { 24 };
        let reduce = &self.outbox.reduce;
        let key = neighbour.filter(|_| on).map(|address| peer_key(interface, address));
        let capable = key.and_then(|key| reduce.peers.get(&key)).is_some_and(|peer| peer.capable);
        To {
            flags: if on { CAPABLE } else { 0 },
            peer: key,
            own: key.and_then(|key| self.interfaces.address(interface, key.1)),
            room: mtu.saturating_sub(header),
            bundle: capable && port.is_some_and(|port| port.settings.bundle),
        }
    }
}

impl SessionState {
    /// True if a PATH or RESV with this number of ours is about this session as it stands.
    pub(super) fn says(&self, number: u32) -> bool {
        self.senders.iter().any(|psb| {
            psb.sent.iter().any(|(_, sent)| sent.number == number)
                || psb.sent_resv.is_some_and(|sent| sent.number == number)
        })
    }

    /// True if a neighbour refreshes something of this session by this number.
    pub(super) fn is_heard_by(&self, neighbour: IpAddr, number: u32) -> bool {
        let name = Name::number(number);
        let of_path = self
            .senders
            .iter()
            .any(|psb| psb.heard_by == Some(name) && psb.phop_address() == Some(neighbour));
        of_path
            || self.reservations.iter().any(|rsb| {
                rsb.next_hop == neighbour && rsb.numbers.iter().any(|other| other == name)
            })
    }
}
