//! What must be durable before the messages that rest on it may leave.

use std::net::IpAddr;

use rsvp_wire::object::{Filter, Session};

/// Number of a record; rises by one from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordId(pub u64);

impl RecordId {
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A consent, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, by the monotonic clock, in milliseconds.
    pub at_ms: u64,
    /// The session.
    pub session: Session,
    /// The sender whose flow is reserved.
    pub sender: Filter,
    /// The neighbour that pays.
    pub payer: IpAddr,
    /// What happened.
    pub event: RecordEvent,
}

/// What happened to a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordEvent {
    /// The payer approved a rate.
    Approved {
        /// What is debited, in wire units.
        rate: u64,
        /// The most that may be debited under this approval, in wire units.
        ceiling: u64,
        /// Epoch of the price that was approved.
        epoch: u32,
        /// Sequence of the UCPE.
        sequence: u32,
        /// Instance of the reservation.
        instance: u32,
    },
    /// The consent ended: torn down, timed out or withdrawn.
    Closed,
}
