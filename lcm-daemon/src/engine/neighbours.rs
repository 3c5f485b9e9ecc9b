//! The neighbours that speak to this node: how fast each may, and how much state each has here.
//!
//! A neighbour is the address in RSVP_HOP together with the interface, so that nobody can use up
//! what another one's neighbours on another link are entitled to. All addresses can be forged
//! where RFC 2747 is not used; the table itself is bounded for each interface, and who has neither
//! state nor a recent message makes room.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;

use super::limits::{Limit, Seat, Tally};
use super::time::{Instant, Span};
use crate::config::Limits;

/// Seconds' worth of messages that a neighbour may send at once: after a change of routes it
/// repeats the PATH of all its flows.
const BURST_S: u64 = 5;
/// Least time between two searches for neighbours that make room, which cost a walk of the table.
const SEARCH_EVERY: Span = Span::from_millis(1_000);
/// Parts of a token: rates are per second, time is in microseconds.
const PARTS: u64 = 1_000_000;

/// A token bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    parts: u64,
    at: Instant,
}

/// So many a second, and so many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rate: u64,
    pub(crate) burst: u64,
}

impl Bucket {
    pub(crate) fn full(pace: Pace, now: Instant) -> Self {
        Self { parts: pace.burst.saturating_mul(PARTS), at: now }
    }

    /// Fills up for the time that has passed.
    pub(crate) fn fill(&mut self, pace: Pace, now: Instant) {
        let passed = now.as_micros().saturating_sub(self.at.as_micros());
        let more = self.parts.saturating_add(passed.saturating_mul(pace.rate));
        self.parts = more.min(pace.burst.saturating_mul(PARTS));
        self.at = self.at.max(now);
    }

    fn is_full(&self, pace: Pace) -> bool {
        self.parts >= pace.burst.saturating_mul(PARTS)
    }

    /// Takes a token, unless fewer than `kept` and one are left.
    pub(crate) fn take(&mut self, kept: u64) -> bool {
        let enough = self.parts >= kept.saturating_add(1).saturating_mul(PARTS);
        if enough {
            self.parts -= PARTS;
        }
        enough
    }
}

#[derive(Debug, Clone)]
struct Neighbour {
    senders: Arc<Tally>,
    reservations: Arc<Tally>,
    messages: Bucket,
    errors: Bucket,
}

/// The neighbours of one interface.
#[derive(Debug, Clone, Default)]
struct Crowd {
    count: u64,
    searched: Option<Instant>,
}

/// All neighbours, and what is kept in all.
#[derive(Debug, Clone)]
pub(crate) struct Neighbours {
    known: HashMap<(u32, IpAddr), Neighbour, RandomState>,
    crowds: BTreeMap<u32, Crowd>,
    senders: Arc<Tally>,
    reservations: Arc<Tally>,
    /// Bytes of objects that are carried on.
    pub(crate) carried: Arc<Tally>,
    /// Registrations of applications on this node.
    pub(crate) handles: Arc<Tally>,
}

impl Neighbours {
    /// Nobody yet; `hasher` is keyed, so that strangers cannot aim at one bucket.
    pub(crate) fn new(hasher: RandomState) -> Self {
        Self {
            known: HashMap::with_hasher(hasher),
            crowds: BTreeMap::new(),
            senders: Arc::default(),
            reservations: Arc::default(),
            carried: Arc::default(),
            handles: Arc::default(),
        }
    }

    /// Whether a message of this neighbour is to be acted on; otherwise the name of the limit.
    /// Half of the burst is kept for messages that `refreshes` says are about what is known.
    pub(crate) fn hear(
        &mut self,
        limits: &Limits,
        now: Instant,
        from: (u32, IpAddr),
        refreshes: impl FnOnce() -> bool,
    ) -> Result<(), &'static str> {
        let pace = message_pace(limits);
        let neighbour = self.neighbour(limits, now, from).map_err(Limit::name)?;
        neighbour.messages.fill(pace, now);
        let heard =
            neighbour.messages.take(pace.burst / 2) || (refreshes() && neighbour.messages.take(0));
        if heard { Ok(()) } else { Err("max_messages_per_s") }
    }

    /// Whether this neighbour may be sent one more error message.
    pub(crate) fn may_answer(&mut self, limits: &Limits, now: Instant, to: (u32, IpAddr)) -> bool {
        let pace = error_pace(limits);
        let Ok(neighbour) = self.neighbour(limits, now, to) else { return false };
        neighbour.errors.fill(pace, now);
        neighbour.errors.take(0)
    }

    /// Whether this previous hop may have one more sender here.
    pub(crate) fn room_for_sender(
        &mut self,
        limits: &Limits,
        now: Instant,
        from: (u32, IpAddr),
    ) -> Result<(), Limit> {
        let all = self.senders.count();
        let own = self.neighbour(limits, now, from)?.senders.count();
        room(all, limits.max_senders, Limit::Senders)?;
        room(own, limits.max_senders_per_neighbour, Limit::SendersPerNeighbour)
    }

    /// Whether this next hop may have one more reservation here.
    pub(crate) fn room_for_reservation(
        &mut self,
        limits: &Limits,
        now: Instant,
        from: (u32, IpAddr),
    ) -> Result<(), Limit> {
        let all = self.reservations.count();
        let own = self.neighbour(limits, now, from)?.reservations.count();
        room(all, limits.max_reservations, Limit::Reservations)?;
        room(own, limits.max_reservations_per_neighbour, Limit::ReservationsPerNeighbour)
    }

    /// Counts a sender of a previous hop; one that came over from another hop counts even where
    /// there is no room, since it is established.
    pub(crate) fn seat_sender(&self, from: (u32, IpAddr)) -> Option<Seat> {
        Some(Seat::take(&self.known.get(&from)?.senders, 1))
    }

    /// Counts a reservation of a next hop.
    pub(crate) fn seat_reservation(&self, from: (u32, IpAddr)) -> Option<Seat> {
        Some(Seat::take(&self.known.get(&from)?.reservations, 1))
    }

    /// Forgets an interface; state that is left keeps its seats.
    pub(crate) fn forget_interface(&mut self, interface: u32) {
        self.known.retain(|(own, _), _| *own != interface);
        self.crowds.remove(&interface);
    }

    fn neighbour(
        &mut self,
        limits: &Limits,
        now: Instant,
        key: (u32, IpAddr),
    ) -> Result<&mut Neighbour, Limit> {
        // A second look-up, since what `get_mut` returns would be borrowed to the end.
        if !self.known.contains_key(&key) {
            self.make_room(limits, now, key.0)?;
            self.crowds.entry(key.0).or_default().count += 1;
        }
        let (senders, reservations) = (&self.senders, &self.reservations);
        Ok(self.known.entry(key).or_insert_with(|| Neighbour {
            senders: Tally::part_of(senders),
            reservations: Tally::part_of(reservations),
            messages: Bucket::full(message_pace(limits), now),
            errors: Bucket::full(error_pace(limits), now),
        }))
    }

    fn make_room(&mut self, limits: &Limits, now: Instant, interface: u32) -> Result<(), Limit> {
        let most = limits.max_neighbours_per_interface;
        let crowd = self.crowds.entry(interface).or_default();
        if crowd.count < u64::from(most) {
            return Ok(());
        }
        if crowd.searched.is_some_and(|last| now < last + SEARCH_EVERY) {
            return Err(Limit::Neighbours);
        }
        crowd.searched = Some(now);
        let (messages, errors) = (message_pace(limits), error_pace(limits));
        let mut gone = 0;
        self.known.retain(|(own, _), neighbour| {
            neighbour.messages.fill(messages, now);
            neighbour.errors.fill(errors, now);
            let idle = neighbour.senders.count() == 0
                && neighbour.reservations.count() == 0
                && neighbour.messages.is_full(messages)
                && neighbour.errors.is_full(errors);
            let leaves = idle && *own == interface;
            gone += u64::from(leaves);
            !leaves
        });
        crowd.count = crowd.count.saturating_sub(gone);
        room(crowd.count, most, Limit::Neighbours)
    }
}

fn room(count: u64, most: u32, limit: Limit) -> Result<(), Limit> {
    if count < u64::from(most) { Ok(()) } else { Err(limit) }
}

fn message_pace(limits: &Limits) -> Pace {
    let rate = u64::from(limits.max_messages_per_s);
    Pace { rate, burst: rate * BURST_S }
}

fn error_pace(limits: &Limits) -> Pace {
    let rate = u64::from(limits.max_errors_per_s);
    Pace { rate, burst: rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Neighbours {
        Neighbours::new(RandomState::with_seed(1))
    }

    fn hop(interface: u32, last: u8) -> (u32, IpAddr) {
        (interface, IpAddr::from([10, 0, 0, last]))
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn half_of_the_burst_is_for_refreshes_and_time_brings_it_back() {
        let limits = Limits { max_messages_per_s: 10, ..Limits::default() };
        let (mut table, me) = (table(), hop(2, 1));
        let mut hear = |ms, known| table.hear(&limits, at(ms), me, || known).is_ok();
        let new = (0..100).filter(|_| hear(0, false)).count();
        let known = (0..100).filter(|_| hear(0, true)).count();
        assert_eq!((new, known), (25, 25));
        assert!(!hear(99, true) && hear(100, true) && !hear(199, true));
        // 100 s later no more than the burst is there.
        assert_eq!((0..100).filter(|_| hear(100_000, true)).count(), 50);
        assert_eq!(table.hear(&limits, at(0), hop(2, 2), || false), Ok(()));
        assert_eq!(table.hear(&limits, at(0), hop(3, 1), || false), Ok(()));
    }

    #[test]
    fn a_full_table_makes_room_by_those_that_are_idle_and_have_no_state() {
        let limits = Limits { max_neighbours_per_interface: 2, ..Limits::default() };
        let mut table = table();
        let hear = |table: &mut Neighbours, ms, key| table.hear(&limits, at(ms), key, || false);
        assert_eq!(hear(&mut table, 0, hop(2, 1)), Ok(()));
        assert_eq!(hear(&mut table, 0, hop(2, 2)), Ok(()));
        let seat = table.seat_sender(hop(2, 1));
        assert_eq!(hear(&mut table, 0, hop(2, 3)), Err("max_neighbours_per_interface"));
        assert_eq!(hear(&mut table, 0, hop(3, 3)), Ok(()), "another interface");
        // The search is not repeated at once.
        assert_eq!(hear(&mut table, 999, hop(2, 3)), Err("max_neighbours_per_interface"));
        assert_eq!(hear(&mut table, 1_000, hop(2, 3)), Ok(()));
        assert!(table.known.contains_key(&hop(2, 1)) && !table.known.contains_key(&hop(2, 2)));
        drop(seat);
        assert_eq!(hear(&mut table, 3_000, hop(2, 4)), Ok(()));
        assert_eq!(table.known.len(), 2 + 1 - 1);
    }

    #[test]
    fn senders_count_by_neighbour_and_in_all() {
        let limits = Limits { max_senders_per_neighbour: 1, max_senders: 2, ..Limits::default() };
        let mut table = table();
        let mut seats = Vec::new();
        for (last, expected) in [
            (1, Ok(())),
            (1, Err(Limit::SendersPerNeighbour)),
            (2, Ok(())),
            (3, Err(Limit::Senders)),
        ] {
            let room = table.room_for_sender(&limits, at(0), hop(2, last));
            assert_eq!(room, expected, "hop {last}");
            seats.extend(room.ok().and_then(|()| table.seat_sender(hop(2, last))));
        }
        seats.clear();
        assert_eq!(table.room_for_sender(&limits, at(0), hop(2, 1)), Ok(()));
    }
}
