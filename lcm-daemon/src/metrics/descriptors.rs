//! What is measured: the name, the meaning and the labels of every metric.
//!
//! Names follow Prometheus' conventions: counters end in `_total`, units are spelled out. Label
//! values come from small fixed sets that this program chooses, never from what a neighbour sent,
//! so that nobody can make the number of time series grow.

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
pub const PROTOCOL_ERRORS_SENT: Descriptor<3> = Descriptor::counter(
    "lcm_protocol_errors_sent_total",
    ["type", "code", "value"],
    "Errors that this node reported in patherr and resverr messages, by RSVP error code and value.",
);

/// ERROR_SPECs of others. The error value is left out, for others choose it.
pub const PROTOCOL_ERRORS_RECEIVED: Descriptor<2> = Descriptor::counter(
    "lcm_protocol_errors_received_total",
    ["type", "code"],
    "Errors that other nodes reported to this one in patherr and resverr messages, by error code.",
);

/// Objects of unknown class or C-Type, by what became of them (RFC 2205 section 3.10):
/// `rejected`, `ignored`, `forwarded`.
pub const OBJECTS_UNKNOWN: Descriptor<1> = Descriptor::counter(
    "lcm_objects_unknown_total",
    ["action"],
    "Received objects of an unknown class or type, by what was done with them.",
);

/// Objects of known class whose content is wrong, by class.
pub const OBJECTS_BAD: Descriptor<1> = Descriptor::counter(
    "lcm_objects_bad_total",
    ["class"],
    "Received objects of a known class with content that makes no sense, by class.",
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

/// State that ended: `state` is `path` or `reservation`, `cause` is `timeout`, `tear` or `error`.
pub const STATES_REMOVED: Descriptor<2> = Descriptor::counter(
    "lcm_states_removed_total",
    ["state", "cause"],
    "Path and reservation states that were removed, by cause.",
);

/// State refused for want of room, by the setting of `[limits]` that was reached.
pub const LIMIT_REFUSALS: Descriptor<1> = Descriptor::counter(
    "lcm_limit_refusals_total",
    ["limit"],
    "Messages refused because a configured limit was reached, by the limit's setting.",
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

/// Quotes changed.
pub const CHARGING_QUOTES: Descriptor<0> = Descriptor::counter(
    "lcm_charging_quotes_changed_total",
    [],
    "New epochs of announced prices (DCPEs): quotes that differ from the one before.",
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

/// Questions to the kernel's forwarding tables, by table (`unicast`, `multicast`).
pub const ROUTE_QUERIES: Descriptor<1> = Descriptor::counter(
    "lcm_route_queries_total",
    ["table"],
    "Lookups in the kernel's forwarding tables, by table.",
);

/// News from the kernel, by kind (`interface`, `unicast_routes`, `multicast_route`, `resync`).
pub const KERNEL_NEWS: Descriptor<1> = Descriptor::counter(
    "lcm_kernel_news_total",
    ["kind"],
    "Changes of interfaces and routes heard from the kernel; resync means that some were lost.",
);

/// Timers that fired, by what they were for.
pub const TIMERS_FIRED: Descriptor<1> =
    Descriptor::counter("lcm_timers_fired_total", ["timer"], "Timers that fired, by purpose.");

/// Timers that wait.
pub const TIMERS_PENDING: Descriptor<0> =
    Descriptor::gauge("lcm_timers_pending", [], "Timers that wait for their time.");

/// Requests on the control socket, by request and result (`ok`, `error`).
pub const CONTROL_REQUESTS: Descriptor<2> = Descriptor::counter(
    "lcm_control_requests_total",
    ["request", "result"],
    "Requests on the control socket, by request and result.",
);
