//! All that the router knows of one session, and the table of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use ahash::RandomState;
use rsvp_wire::Message;
use rsvp_wire::object::{Filter, Session, Style};
use slab::Slab;
use thin_vec::ThinVec;

use super::heard::Heard;
use super::index::Index;
use super::local::{LocalReceiver, LocalSender};
use super::proxy::Proxied;
use super::psb::Psb;
use super::rsb::{Rsb, Selection};
use super::time::Instant;
use super::traffic::Tcsb;

/// The path and reservation state of one session. There may be a million: what most of them have
/// none of is in vectors of one word.
#[derive(Debug, Clone)]
pub(crate) struct SessionState {
    pub(crate) session: Session,
    /// Slot in the table, by which alarms and routes refer to this session.
    pub(crate) slot: usize,
    pub(crate) senders: Vec<Psb>,
    pub(crate) reservations: Vec<Rsb>,
    /// Senders as they were heard over other interfaces than those of their blocks.
    pub(crate) heard: ThinVec<Heard>,
    /// What traffic control was told.
    pub(crate) traffic: Vec<Tcsb>,
    /// It must be told anew.
    pub(crate) traffic_stale: bool,
    /// The application on this node that receives, if there is one.
    pub(crate) receiver: Option<Box<LocalReceiver>>,
    /// Receivers without RSVP that this node reserves for, by sender and interface.
    pub(crate) proxied: ThinVec<Proxied>,
    /// The applications on this node that send.
    pub(crate) local_senders: ThinVec<LocalSender>,
    /// When PATH messages go downstream again.
    pub(crate) path_refresh: Instant,
    /// When RESV messages go upstream again.
    pub(crate) resv_refresh: Instant,
    /// The alarm that stands in the heap.
    pub(crate) armed: Instant,
}

impl SessionState {
    fn new(session: Session, slot: usize) -> Self {
        Self {
            session,
            slot,
            senders: Vec::new(),
            reservations: Vec::new(),
            heard: ThinVec::new(),
            traffic: Vec::new(),
            traffic_stale: false,
            receiver: None,
            proxied: ThinVec::new(),
            local_senders: ThinVec::new(),
            path_refresh: Instant::NEVER,
            resv_refresh: Instant::NEVER,
            armed: Instant::NEVER,
        }
    }

    /// The index of the sender with this template.
    pub(crate) fn sender(&self, filter: Filter) -> Option<usize> {
        self.senders.iter().position(|psb| psb.sender == filter)
    }

    /// Reservations for the data of one sender.
    pub(crate) fn reservations_for(&self, filter: Filter) -> impl Iterator<Item = &Rsb> {
        let psb = self.sender(filter).and_then(|index| self.senders.get(index));
        self.reservations.iter().filter(move |rsb| psb.is_some_and(|psb| rsb.matches(psb)))
    }

    /// The style of all reservations of this session: styles do not mix (RFC 2205 section 1.3).
    pub(crate) fn style(&self) -> Option<Style> {
        self.reservations.first().map(|rsb| rsb.selection.style())
    }

    /// The index of the reservation of a next hop that a message with this selection is about.
    pub(crate) fn reservation(
        &self,
        outgoing: u32,
        next_hop: IpAddr,
        selection: &Selection,
    ) -> Option<usize> {
        self.reservations.iter().position(|rsb| rsb.is(outgoing, next_hop, selection))
    }

    /// The index of the reservation of a next hop for this sender.
    pub(crate) fn reservation_of(
        &self,
        outgoing: u32,
        next_hop: IpAddr,
        sender: Filter,
    ) -> Option<usize> {
        self.reservations.iter().position(|rsb| {
            rsb.outgoing == outgoing && rsb.next_hop == next_hop && rsb.selects(sender)
        })
    }

    /// True if nothing is left to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.senders.is_empty() && self.reservations.is_empty() && self.receiver.is_none()
    }

    /// The earliest instant at which something is due.
    pub(crate) fn deadline(&self) -> Instant {
        let senders = self.senders.iter().map(|psb| {
            let charging = psb.flow.as_ref().and_then(|flow| flow.next_deadline());
            let charging = charging.map_or(Instant::NEVER, |at| Instant::from_millis(at.0));
            psb.expires.min(charging)
        });
        let reservations = self.reservations.iter().map(Rsb::deadline);
        let heard = self.heard.iter().map(|heard| heard.expires);
        let choices = self.receiver.iter().flat_map(|receiver| &receiver.choosing);
        let heard = heard.chain(choices.map(|choosing| choosing.due));
        let refresh = self.path_refresh.min(self.resv_refresh).min(self.proxy_deadline());
        senders.chain(reservations).chain(heard).fold(refresh, Instant::min)
    }
}

/// The session table.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    slots: Slab<Box<SessionState>>,
    index: Index,
    /// How many sessions with a port there are for a destination and protocol.
    with_port: HashMap<(IpAddr, u8), u32, RandomState>,
}

impl Sessions {
    /// An empty table; `hasher` is keyed, so that strangers cannot aim at one bucket.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            slots: Slab::new(),
            index: Index::new(hasher.clone()),
            with_port: HashMap::with_hasher(hasher),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, session: &Session) -> Option<usize> {
        self.index.find(&session.key(), |slot| self.session_in(slot))
    }

    fn session_in(&self, slot: usize) -> Option<Session> {
        self.slots.get(slot).map(|state| state.session)
    }

    /// Whether a message is about state that stands: it refreshes, changes or ends it.
    pub(crate) fn knows(&self, incoming: u32, message: &Message<'_>) -> bool {
        let state = message.session().and_then(|session| self.slots.get(self.find(&session)?));
        state.is_some_and(|state| match message {
            Message::Path(path) => {
                let index = state.sender(path.sender.template.0);
                let psb = index.and_then(|index| state.senders.get(index));
                psb.is_some_and(|psb| psb.came_from(path.hop, incoming))
            }
            Message::Resv(resv) => {
                let (interface, next_hop) = (resv.hop.lih, resv.hop.address);
                let own = |rsb: &Rsb| rsb.outgoing == interface && rsb.next_hop == next_hop;
                state.reservations.iter().any(own)
            }
            _ => true,
        })
    }

    pub(crate) fn get(&self, slot: usize) -> Option<&SessionState> {
        self.slots.get(slot).map(Box::as_ref)
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut SessionState> {
        self.slots.get_mut(slot).map(Box::as_mut)
    }

    /// True if this session cannot live beside those there are: for one destination and protocol,
    /// all destination ports are zero or none is (RFC 2205 section 3.2 rule 1). Virtual ports
    /// (RFC 2207) are no ports.
    pub(crate) fn port_conflict(&self, session: &Session) -> bool {
        if session.generalized {
            return false;
        }
        match session.destination_port {
            0 => self.with_port.contains_key(&(session.destination, session.protocol)),
            _ => self.find(&Session { destination_port: 0, ..*session }).is_some(),
        }
    }

    /// Adds a session that is not there yet.
    pub(crate) fn create(&mut self, session: Session) -> usize {
        let entry = self.slots.vacant_entry();
        let slot = entry.key();
        entry.insert(Box::new(SessionState::new(session.key(), slot)));
        let Self { slots, index, .. } = self;
        index.insert(slot, |slot| slots.get(slot).map(|state| state.session));
        if has_port(&session) {
            *self.with_port.entry((session.destination, session.protocol)).or_default() += 1;
        }
        slot
    }

    pub(crate) fn remove(&mut self, slot: usize) {
        let Self { slots, index, .. } = self;
        index.remove(slot, |slot| slots.get(slot).map(|state| state.session));
        if let Some(state) = self.slots.try_remove(slot) {
            let session = state.session;
            if has_port(&session)
                && let Entry::Occupied(mut count) =
                    self.with_port.entry((session.destination, session.protocol))
            {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// All sessions by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SessionState> {
        self.slots.iter().map(|(_, state)| state.as_ref())
    }

    /// All sessions by slot, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SessionState> {
        self.slots.iter_mut().map(|(_, state)| state.as_mut())
    }

    /// One more than the last slot that may be in use.
    pub(crate) fn end(&self) -> usize {
        self.slots.capacity()
    }

    /// All slots in use.
    pub(crate) fn slots(&self) -> Vec<usize> {
        self.slots.iter().map(|(slot, _)| slot).collect()
    }
}

fn has_port(session: &Session) -> bool {
    session.destination_port != 0 && !session.generalized
}
