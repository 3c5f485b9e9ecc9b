//! Plain counters; the metrics page reads them.

use std::collections::BTreeMap;

/// Number of message types that are counted one by one; larger numbers share the last slot.
pub const MESSAGE_TYPES: usize = 32;

/// What the engine counted since it started.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// Messages received, by message type.
    pub received: [u64; MESSAGE_TYPES],
    /// Messages handed to the sockets, by message type.
    pub sent: [u64; MESSAGE_TYPES],
    /// Messages that could not be read, by reason.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Messages that could be read and were not acted on, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// PATHERR sent, by (code, value).
    pub path_errors_sent: BTreeMap<(u8, u16), u64>,
    /// RESVERR sent, by (code, value).
    pub resv_errors_sent: BTreeMap<(u8, u16), u64>,
    /// UCPEs accepted.
    pub payments_accepted: u64,
    /// UCPEs that kept the old rate of an existing reservation.
    pub payments_kept: u64,
    /// Changes of prices that follow the clock or utilisation.
    pub price_moves: u64,
    /// UCPEs refused, by reason.
    pub payments_refused: BTreeMap<&'static str, u64>,
    /// Route look-ups asked of the kernel.
    pub route_queries: u64,
    /// Events of refresh reduction (RFC 2961), by what happened.
    pub reduction: BTreeMap<&'static str, u64>,
    /// Events of diagnostics (RFC 2745), by what happened.
    pub diagnostics: BTreeMap<&'static str, u64>,
    /// What became of neighbours by Hello (RFC 3209).
    pub neighbours: BTreeMap<&'static str, u64>,
    /// Ways that receivers on this node took, by reason.
    pub ways_taken: BTreeMap<&'static str, u64>,
    /// What became of accounts, by what happened.
    pub accounts: BTreeMap<&'static str, u64>,
    /// How late the end of an account was seen to that was latest, in milliseconds.
    pub account_end_late_ms: u64,
    /// Reservations for receivers without RSVP (RFC 5946), by what became of them.
    pub receiver_proxy: BTreeMap<&'static str, u64>,
    /// Reservations that gave way to others of higher priority (RFC 3181), by how.
    pub preempted: BTreeMap<&'static str, u64>,
    /// Outages of what next hops reserved, by reason.
    pub outages: BTreeMap<&'static str, u64>,
    /// How long those lasted that are over, in milliseconds.
    pub outage_ms: u64,
    /// Contra entries for outages: given to payers, received from payees.
    pub refunds: BTreeMap<&'static str, u64>,
    /// Price curves that previous hops told, by what became of them.
    pub curves: BTreeMap<&'static str, u64>,
    /// Soft state that timed out, by kind.
    pub expired: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Counts a message that was not acted on.
    pub(crate) fn drop(&mut self, reason: &'static str) {
        bump(&mut self.dropped, reason);
    }

    pub(crate) fn received(&mut self, message_type: u8) {
        count(&mut self.received, message_type);
    }

    pub(crate) fn sent(&mut self, message_type: u8) {
        count(&mut self.sent, message_type);
    }
}

/// Adds one to the counter under `key`.
pub(crate) fn bump<K: Ord>(map: &mut BTreeMap<K, u64>, key: K) {
    *map.entry(key).or_default() += 1;
}

fn count(slots: &mut [u64; MESSAGE_TYPES], message_type: u8) {
    let last = MESSAGE_TYPES - 1;
    if let Some(slot) = slots.get_mut(usize::from(message_type).min(last)) {
        *slot += 1;
    }
}
