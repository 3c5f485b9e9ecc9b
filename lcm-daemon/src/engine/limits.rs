//! Limits on what others can make this node keep: which one was reached, how the neighbour is told,
//! and counts that cannot be forgotten.
//!
//! A block of state that counts against a limit holds a [`Seat`]; dropping it gives the place
//! back, however the block ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rsvp_wire::iana::{error_code, policy};
use rsvp_wire::object::Filter;

use super::Core;
use super::charging::Fault;
use super::policy::Carried;
use super::resv::Request;
use super::rsb::{LOCAL, named};
use super::session::SessionState;

/// A limit of the configuration.
///
/// A PATH that one refuses is answered with code 02, policy control failure, ERR_NO_RSC: of all
/// codes that may stand in a PATHERR it is the only one for an administrative quota (RFC 2205
/// appendix B). A RESV is answered with code 23, RSVP system error, whose value is ours to choose:
/// it is RSVP's own table that is full, not traffic control (22), and the request is not at fault
/// (21). Code 01, admission control failure, would blockade the flowspec all the way down, though
/// a smaller one is not admitted either. Policy data that is too long gets 02 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Sessions = 1,
    Senders,
    SendersPerNeighbour,
    SendersPerSession,
    Reservations,
    ReservationsPerNeighbour,
    ReservationsPerSession,
    FiltersPerSession,
    FlowsPerMessage,
    NextHops,
    Neighbours,
    PolicyBytes,
    PolicyBytesPerSession,
    PolicyBytesInAll,
}

impl Limit {
    /// The setting's name, under which refusals are counted.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "max_sessions",
            Self::Senders => "max_senders",
            Self::SendersPerNeighbour => "max_senders_per_neighbour",
            Self::SendersPerSession => "max_senders_per_session",
            Self::Reservations => "max_reservations",
            Self::ReservationsPerNeighbour => "max_reservations_per_neighbour",
            Self::ReservationsPerSession => "max_reservations_per_session",
            Self::FiltersPerSession => "max_filters_per_session",
            Self::FlowsPerMessage => "max_flows_per_message",
            Self::NextHops => "max_next_hops",
            Self::Neighbours => "max_neighbours_per_interface",
            Self::PolicyBytes => "max_policy_bytes",
            Self::PolicyBytesPerSession => "max_policy_bytes_per_session",
            Self::PolicyBytesInAll => "max_policy_bytes_in_all",
        }
    }

    /// How a PATH is refused.
    pub(crate) const fn in_path(self) -> Fault {
        Fault::new(error_code::POLICY, policy::NO_RESOURCES, self.name())
    }

    /// How a RESV is refused; the value of code 23 is the place in the list above.
    pub(crate) const fn in_resv(self) -> Fault {
        match self {
            Self::PolicyBytes | Self::PolicyBytesPerSession | Self::PolicyBytesInAll => {
                self.in_path()
            }
            _ => Fault::new(error_code::RSVP_SYSTEM, self as u16, self.name()),
        }
    }
}

/// A count of what is kept, and of which larger count it is a part.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    count: AtomicU64,
    whole: Option<Arc<Tally>>,
}

impl Tally {
    /// A part of a larger count.
    pub(crate) fn part_of(whole: &Arc<Tally>) -> Arc<Tally> {
        Arc::new(Tally { count: AtomicU64::new(0), whole: Some(Arc::clone(whole)) })
    }

    // One thread owns an engine: the counts are atomic only so that it may move to another.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn add(&self, size: u64) {
        self.count.fetch_add(size, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.add(size);
        }
    }

    fn remove(&self, size: u64) {
        self.count.fetch_sub(size, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.remove(size);
        }
    }
}

/// A place that is taken, given back when this is dropped.
pub(crate) struct Seat {
    tally: Arc<Tally>,
    size: u32,
}

impl Seat {
    pub(crate) fn take(tally: &Arc<Tally>, size: u32) -> Self {
        tally.add(u64::from(size));
        Self { tally: Arc::clone(tally), size }
    }
}

/// A copy of a block takes a place of its own in the same count.
impl Clone for Seat {
    fn clone(&self) -> Self {
        Self::take(&self.tally, self.size)
    }
}

/// What others count is no part of the block.
impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seat({})", self.size)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tally.remove(u64::from(self.size));
    }
}

impl SessionState {
    /// Whether the limits leave room for what a request adds; `known` is the block that it renews.
    pub(crate) fn room_for(
        &self,
        core: &mut Core,
        request: &Request,
        known: Option<usize>,
        senders: &[Filter],
    ) -> Result<(), Limit> {
        self.room_for_carried(core, request.policy.carried.as_ref(), None, known)?;
        let limits = &core.config.limits;
        let named_anew = named(&request.selection, request.scope.as_deref());
        if named_anew > 0 {
            let others = self.reservations.iter().enumerate().filter(|(at, _)| Some(*at) != known);
            let named: usize = others.map(|(_, rsb)| rsb.named()).sum();
            if named + named_anew > limits.max_filters_per_session as usize {
                return Err(Limit::FiltersPerSession);
            }
        }
        if request.outgoing == LOCAL {
            return Ok(());
        }
        let own = known.and_then(|at| self.reservations.get(at));
        for sender in senders.iter().filter(|s| own.is_none_or(|rsb| !rsb.selects(**s))) {
            let here = self
                .reservations_for(*sender)
                .filter(|rsb| rsb.outgoing == request.outgoing && rsb.next_hop != request.next_hop);
            if here.count() >= limits.max_next_hops as usize {
                return Err(Limit::NextHops);
            }
        }
        if known.is_some() {
            return Ok(());
        }
        if self.reservations.len() >= limits.max_reservations_per_session as usize {
            return Err(Limit::ReservationsPerSession);
        }
        let from = (request.outgoing, request.next_hop);
        core.neighbours.room_for_reservation(limits, core.at, from)
    }

    /// Whether the limits leave room for the objects that a message has carried on; `psb` and
    /// `rsb` are the places of the block whose objects it replaces.
    pub(crate) fn room_for_carried(
        &self,
        core: &Core,
        carried: Option<&Carried>,
        psb: Option<usize>,
        rsb: Option<usize>,
    ) -> Result<(), Limit> {
        let Some(carried) = carried else { return Ok(()) };
        let length = |carried: &Option<Carried>| carried.as_ref().map_or(0, |c| c.bytes().len());
        let psbs = self.senders.iter().enumerate().filter(|(at, _)| Some(*at) != psb);
        let rsbs = self.reservations.iter().enumerate().filter(|(at, _)| Some(*at) != rsb);
        let others: usize = psbs.map(|(_, psb)| length(&psb.facts.carried)).sum::<usize>()
            + rsbs.map(|(_, rsb)| length(&rsb.carried)).sum::<usize>();
        let limits = &core.config.limits;
        if others + carried.bytes().len() > limits.max_policy_bytes_per_session as usize {
            return Err(Limit::PolicyBytesPerSession);
        }
        // What it replaces is still in the sum, and goes on where it is the same.
        let old = psb.and_then(|at| self.senders.get(at)?.facts.carried.as_ref());
        let old = old.or(rsb.and_then(|at| self.reservations.get(at)?.carried.as_ref()));
        let in_all = core.neighbours.carried.count();
        if old != Some(carried) && in_all > u64::from(limits.max_policy_bytes_in_all) {
            return Err(Limit::PolicyBytesInAll);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_count_in_the_part_and_in_the_whole_until_they_are_dropped() {
        let whole = Arc::new(Tally::default());
        let (a, b) = (Tally::part_of(&whole), Tally::part_of(&whole));
        let seats = [Seat::take(&a, 1), Seat::take(&a, 2), Seat::take(&b, 4)];
        assert_eq!((a.count(), b.count(), whole.count()), (3, 4, 7));
        drop(seats);
        assert_eq!((a.count(), b.count(), whole.count()), (0, 0, 0));
    }
}
