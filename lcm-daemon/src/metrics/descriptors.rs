//! What is measured: the name, the meaning and the labels of every metric.
//!
//! Names follow Prometheus' conventions: counters end in `_total`, units are spelled out. Label
//! values come from small fixed sets that this program chooses, never from what a neighbour sent,
//! so that nobody can make the number of time series grow. Three metrics name neighbours; so many
//! are told apart, and the rest share `other`.

/// Whether a metric only rises or goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rises for as long as the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric with `N` labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor<const N: usize> {
    /// The name in the exposition.
    pub name: &'static str,
    /// The meaning, in one line.
    pub help: &'static str,
    /// Counter or gauge.
    pub kind: Kind,
    /// The names of the labels, in the order of the values given to `set`.
    pub labels: [&'static str; N],
}

impl<const N: usize> Descriptor<N> {
    const fn counter(
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Descriptor<N> {
        Descriptor { name, help, kind: Kind::Counter, labels }
    }

    const fn gauge(
        name: &'static str,
        labels: [&'static str; N],
        help: &'static str,
    ) -> Descriptor<N> {
        Descriptor { name, help, kind: Kind::Gauge, labels }
    }
}

/// One for the running version.
pub const BUILD_INFO: Descriptor<1> = Descriptor::gauge(
    "lcm_build_info",
    ["version"],
    "Always 1; the label says which version runs.",
);

/// When the process started.
pub const START_TIME: Descriptor<0> = Descriptor::gauge(
    "lcm_start_time_seconds",
    [],
    "When the daemon started, in seconds since 1970-01-01 UTC.",
);

/// RSVP messages in, by type (`path`, `resv`, `patherr`, `resverr`, `pathtear`, `resvtear`,
/// `resvconf`, `other`).
pub const MESSAGES_RECEIVED: Descriptor<1> = Descriptor::counter(
    "lcm_messages_received_total",
    ["type"],
    "RSVP messages that were received and could be decoded, by message type.",
);

/// RSVP messages out, by type.
pub const MESSAGES_SENT: Descriptor<1> = Descriptor::counter(
    "lcm_messages_sent_total",
    ["type"],
    "RSVP messages handed to the kernel for sending, by message type.",
);

/// Messages longer than the interface's MTU, which the kernel sent in fragments.
pub const MESSAGES_FRAGMENTED: Descriptor<0> = Descriptor::counter(
    "lcm_messages_fragmented_total",
    [],
    "RSVP messages longer than the interface's MTU, which the kernel sent in fragments.",
);

/// Messages that could not be decoded (RFC 2205 section 3.1), by reason.
pub const DECODE_ERRORS: Descriptor<1> = Descriptor::counter(
    "lcm_decode_errors_total",
    ["reason"],
    "Received messages that were dropped because they could not be decoded, by reason.",
);

/// Well-formed messages that could not be acted on, by reason.
pub const MESSAGES_DROPPED: Descriptor<1> = Descriptor::counter(
    "lcm_messages_dropped_total",
    ["reason"],
    "Received messages that were well formed but were not acted on, by reason.",
);

/// ERROR_SPECs of our own making (RFC 2205 appendix B).
///
/// The registry knows a series by a hash of its label values, one behind the other without a mark
/// between: numbers must not be neighbours there, or 2/13 and 21/3 are one series.
pub const PROTOCOL_ERRORS_SENT: Descriptor<3> = Descriptor::counter(
    "lcm_protocol_errors_sent_total",
    ["code", "type", "value"],
    "Errors that this node reported in patherr and resverr messages, by RSVP error code and value.",
);

/// Sessions.
pub const SESSIONS: Descriptor<0> =
    Descriptor::gauge("lcm_sessions", [], "RSVP sessions that this node keeps.");

/// PSBs.
pub const PATH_STATES: Descriptor<0> =
    Descriptor::gauge("lcm_path_states", [], "Path state blocks (PSBs): senders of all sessions.");

/// RSBs.
pub const RESERVATION_STATES: Descriptor<0> = Descriptor::gauge(
    "lcm_reservation_states",
    [],
    "Reservation state blocks (RSBs): reservations of all sessions and next hops.",
);

/// UCPEs accepted.
pub const CHARGING_ACCEPTS: Descriptor<0> = Descriptor::counter(
    "lcm_charging_accepts_total",
    [],
    "Payments (UCPEs) that were accepted, refreshes included.",
);

/// UCPEs refused, by reason of the CHG_ERR.
pub const CHARGING_REFUSALS: Descriptor<1> = Descriptor::counter(
    "lcm_charging_refusals_total",
    ["reason"],
    "Payments (UCPEs) that were refused, by reason.",
);

/// Evidence against neighbours that contradict themselves or us, by kind
/// ([`AlarmKind`](crate::engine::AlarmKind)); neighbours beyond the first 256 share `other`.
pub const CHARGING_INCONSISTENCIES: Descriptor<3> = Descriptor::counter(
    "lcm_charging_inconsistencies_total",
    ["interface", "kind", "neighbour"],
    "How often a neighbour contradicted what it, or this node, had said of charges, by kind.",
);

/// Alarms that stand, by next hop.
pub const CHARGING_ALARMS: Descriptor<2> = Descriptor::gauge(
    "lcm_charging_alarms",
    ["interface", "neighbour"],
    "Reservations whose next hop reports what has not fitted what it was told for long.",
);

/// Messages and POLICY_DATA objects that were not believed (RFC 2747), by reason
/// ([`Disbelief`](crate::engine::Disbelief)); neighbours beyond the first 256 share `other`.
pub const INTEGRITY_DROPPED: Descriptor<3> = Descriptor::counter(
    "lcm_integrity_dropped_total",
    ["interface", "neighbour", "reason"],
    "Messages, or policy data in them, dropped because their sender was not believed, by reason.",
);

/// Packets that the kernel threw away before we read them, by socket.
pub const KERNEL_DROPS: Descriptor<1> = Descriptor::counter(
    "lcm_kernel_drops_total",
    ["socket"],
    "Packets that the kernel dropped because a receive buffer was full, by socket.",
);

/// Messages that the kernel refused to send, by errno (`ENETUNREACH`).
pub const SEND_ERRORS: Descriptor<1> = Descriptor::counter(
    "lcm_send_errors_total",
    ["errno"],
    "Messages that the kernel refused to send, by the error's name.",
);

/// Soft state that ended without being torn down, by what it was.
pub const STATES_EXPIRED: Descriptor<1> = Descriptor::counter(
    "lcm_states_expired_total",
    ["state"],
    "Soft states that ended because nobody refreshed, approved or could reach them, by state.",
);

/// What refresh overhead reduction (RFC 2961) did, by event.
pub const REFRESH_REDUCTION: Descriptor<1> = Descriptor::counter(
    "lcm_refresh_reduction_total",
    ["event"],
    "Events of refresh overhead reduction (RFC 2961): numbers, acknowledgements, retransmissions.",
);

/// Reservations that gave way to others of higher priority (RFC 3181), by how.
pub const PREEMPTED: Descriptor<1> = Descriptor::counter(
    "lcm_preempted_total",
    ["how"],
    "Reservations that gave way to others of higher priority (RFC 3181): ended, or reduced.",
);

/// Outages of what next hops had reserved, by reason.
pub const OUTAGES: Descriptor<1> = Descriptor::counter(
    "lcm_outages_total",
    ["reason"],
    "Times that what a next hop had reserved was no longer in place end to end, by reason.",
);

/// How long outages lasted.
pub const OUTAGE_MS: Descriptor<0> = Descriptor::counter(
    "lcm_outage_milliseconds_total",
    [],
    "Milliseconds of outages that are over, of all next hops.",
);

/// Contra entries for outages.
pub const REFUNDS: Descriptor<1> = Descriptor::counter(
    "lcm_refunds_total",
    ["direction"],
    "Contra entries for outages: given to who pays us, received from whom we pay.",
);

/// Price curves that were heard.
pub const CURVES: Descriptor<1> = Descriptor::counter(
    "lcm_price_curves_total",
    ["event"],
    "Price curves that previous hops announced, where something new was said: taken, or ignored since \
     they say less than the total beside them, or are none.",
);

/// What became of diagnostic requests and replies (RFC 2745), by event.
pub const DIAGNOSTICS: Descriptor<1> = Descriptor::counter(
    "lcm_diagnostics_total",
    ["event"],
    "Events of RSVP diagnostics (RFC 2745): requests, replies, and why they went no further.",
);

/// Reservations for receivers without RSVP (RFC 5946), by what became of them.
pub const RECEIVER_PROXY: Descriptor<1> = Descriptor::counter(
    "lcm_receiver_proxy_total",
    ["event"],
    "Reservations for receivers without RSVP (RFC 5946), by what became of them.",
);

/// What became of neighbours by Hello (RFC 3209).
pub const NEIGHBOUR_NEWS: Descriptor<1> = Descriptor::counter(
    "lcm_neighbour_news_total",
    ["news"],
    "Neighbours that fell silent, restarted or were greeted by Hello (RFC 3209).",
);

/// Ways that receivers on this node took, by reason (`first`, `price`, `refused`, `lost`).
pub const WAYS_TAKEN: Descriptor<1> = Descriptor::counter(
    "lcm_ways_taken_total",
    ["why"],
    "Ways that receivers on this node took, of several on which a sender is heard, by reason.",
);

/// UCPEs that left an existing reservation at its old rate (InPlace).
pub const CHARGING_KEPT: Descriptor<0> = Descriptor::counter(
    "lcm_charging_kept_total",
    [],
    "Payments (UCPEs) that did not cover a new price and kept the old rate of a reservation.",
);

/// Prices that followed the time of day or utilisation.
pub const CHARGING_PRICE_MOVES: Descriptor<0> = Descriptor::counter(
    "lcm_charging_price_moves_total",
    [],
    "Changes of prices that follow the time of day or what is reserved on an interface.",
);

/// New prices on their way.
pub const CHARGING_REQUOTES_LEFT: Descriptor<0> = Descriptor::gauge(
    "lcm_charging_requotes_left",
    [],
    "Sessions at most that a new price has still to be quoted to; they are told some at a time.",
);

/// Questions to the kernel's forwarding tables.
pub const ROUTE_QUERIES: Descriptor<0> = Descriptor::counter(
    "lcm_route_queries_total",
    [],
    "Lookups in the kernel's forwarding tables.",
);

/// What became of accounts, by event.
pub const ACCOUNT_EVENTS: Descriptor<1> = Descriptor::counter(
    "lcm_account_events_total",
    ["event"],
    "What became of accounts: warned of, used up, or at a cap.",
);

/// How late the end of an account was seen to.
pub const ACCOUNT_END_LATE_MS: Descriptor<0> = Descriptor::gauge(
    "lcm_account_end_late_milliseconds",
    [],
    "How much later than its millisecond the end of an account was seen to, at most since the start.",
);

/// Accounts, by state.
pub const ACCOUNTS: Descriptor<1> = Descriptor::gauge(
    "lcm_accounts",
    ["state"],
    "Accounts of customers and neighbours, by state: open, spending, closed.",
);

/// Records handed to the ledger.
pub const LEDGER_RECORDS: Descriptor<0> = Descriptor::counter(
    "lcm_ledger_records_total",
    [],
    "Records of consents and of meters that were handed to the ledger.",
);

/// Whether the node goes out of service.
pub const DRAINING: Descriptor<0> = Descriptor::gauge(
    "lcm_draining",
    [],
    "1 while the node goes out of service: nothing new is let in, or at a higher price (lcmctl drain).",
);

/// Whether reservations can be agreed to.
pub const LEDGER_OPEN: Descriptor<0> = Descriptor::gauge(
    "lcm_ledger_open",
    [],
    "1 while consents can be written; 0 while new reservations are refused because they cannot.",
);

/// Age of the oldest record that is not durable yet.
pub const LEDGER_WAITING: Descriptor<0> = Descriptor::gauge(
    "lcm_ledger_waiting_seconds",
    [],
    "How long the oldest record has waited that is not durable yet, in whole seconds.",
);

/// Times that the ledger's disk failed, was slow, or so much waited that the books began anew.
pub const LEDGER_TROUBLES: Descriptor<1> = Descriptor::counter(
    "lcm_ledger_troubles_total",
    ["kind"],
    "How often the ledger failed, was slow, overflowed while the disk was away, or was unsound.",
);
