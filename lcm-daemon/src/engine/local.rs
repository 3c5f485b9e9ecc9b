//! Applications on this node: they send, or receive and pay (RFC 2205 section 3.11.1).

use std::collections::BTreeMap;
use std::net::IpAddr;

use rsvp_wire::charging::Account;
use rsvp_wire::object::{Filter, FlowSpec, Session, Style, Tspec};
use serde::{Deserialize, Serialize};

use super::budget::Fitted;
use super::charging::HopCharge;
use super::choice::Choosing;
use super::limits::Seat;
use crate::config::Credential;

/// Names one application's registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle(pub u64);

/// Opens a session as a sender.
#[derive(Debug, Clone)]
pub struct SenderRequest {
    /// The session to send to.
    pub session: Session,
    /// Source address (one of this node's) and port.
    pub sender: Filter,
    /// The traffic that will be sent.
    pub tspec: Tspec,
    /// TTL of the data, and so of PATH.
    pub ttl: u8,
    /// Outgoing interface, or `None` for the one that the kernel routes by.
    pub interface: Option<u32>,
    /// What the sender pays, or `None` for a PATH without charging.
    pub share: Option<SenderShare>,
    /// The sender is a host without RSVP behind this router (RFC 5945), instead of this node.
    pub behind: Option<Behind>,
}

/// Where a sender is for which a router sends PATH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Its data comes in somewhere; it is routed by its destination alone.
    Anywhere,
    /// Behind this interface; data for a group is routed by it.
    Interface(u32),
}

/// The sender's part of the charge (charging.md section 1, paper section 3.4).
#[derive(Debug, Clone, Default)]
pub struct SenderShare {
    /// Fraction in parts per million.
    pub fraction_ppm: u32,
    /// Account to charge; `None` names the node's own.
    pub account: Option<Account>,
    /// Most that the sender covers for one receiver, in wire units; `None` is unlimited.
    pub limit_per_receiver: Option<u64>,
    /// A hop whose local prices exceed this is not sponsored, in wire units.
    pub limit_per_hop: Option<u64>,
    /// Hops over which the sender pays.
    pub max_hops: Option<u32>,
}

/// Opens a session as a receiver.
#[derive(Debug, Clone)]
pub struct ReceiverRequest {
    /// The session to receive.
    pub session: Session,
    /// The sender to reserve for; `None` for each that appears.
    pub sender: Option<Filter>,
    /// Reservation style: shared styles make one reservation for all senders that are paid for.
    pub style: Style,
    /// What to reserve; `None` takes the sender's tspec as controlled load.
    pub flowspec: Option<FlowSpec>,
    /// Most that this receiver pays per sender, in wire units; never leaves this node.
    pub max_payment: Option<u64>,
    /// Reserve as much of it as costs no more than this per sender, in wire units, by what the
    /// previous hops say that other rates cost; all of it where they do not say. It never leaves
    /// this node, and nothing beyond it is paid.
    pub budget: Option<u64>,
    /// Interface on which to join a multicast group; `None` for all that speak RSVP.
    pub interface: Option<u32>,
    /// Ask for a RESVCONF.
    pub confirm: bool,
    /// Who receives (RFC 3182): the previous hop may ask for it.
    pub identity: Option<Credential>,
    /// Whose reservations may be taken from for this one, and by whom it may be (RFC 3181).
    pub priority: Option<Priority>,
    /// Of the interfaces on which a sender to a multicast group is heard, reserve on the cheapest
    /// (`[choice]` of the configuration).
    pub cheapest: bool,
    /// How much it wants to know of where its charges arise.
    pub detail: Level,
}

/// How much a receiver wants to know of its charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// What they come to.
    #[default]
    Totals,
    /// What each hop asks for, as far as the providers tell.
    Hops,
}

/// How important a reservation is (RFC 3181): higher numbers are more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// While it asks for room: compared with the defending priority of what stands.
    pub preemption: u16,
    /// Once it stands; one below `preemption` counts as that.
    pub defending: u16,
}

/// A receiving application as the session keeps it.
#[derive(Debug, Clone)]
pub(crate) struct LocalReceiver {
    pub(crate) handle: Handle,
    pub(crate) request: ReceiverRequest,
    /// Interfaces on which the group was joined.
    pub(crate) joined: Vec<u32>,
    /// The price that the application was last told of, per sender, and by which epoch.
    pub(crate) told: BTreeMap<Filter, Option<(u32, NoticeEvent)>>,
    /// Senders for which a hop upstream leaves no more than this.
    pub(crate) reduced: Vec<(Filter, FlowSpec)>,
    /// What it reserves of each sender to keep within its budget.
    pub(crate) fitted: Vec<Fitted>,
    /// Where it stands with each sender whose ways it compares.
    pub(crate) choosing: Vec<Choosing>,
    pub(crate) _seat: Seat,
}

/// A sending application as the session keeps it.
#[derive(Debug, Clone)]
pub(crate) struct LocalSender {
    pub(crate) handle: Handle,
    pub(crate) sender: Filter,
    /// What the application was last told.
    pub(crate) told: Option<NoticeEvent>,
    pub(crate) _seat: Seat,
}

/// News for a local application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whom it concerns.
    pub handle: Handle,
    /// The sender that it is about.
    pub sender: Filter,
    /// What happened.
    pub event: NoticeEvent,
}

/// What a local application is told; also in this form over the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum NoticeEvent {
    /// A price came, and was accepted: the reservation is asked for.
    Offered {
        /// What we pay, in wire units.
        payment: u64,
        /// C, the whole charge, in wire units.
        total: u64,
        /// Highest C that the providers foresee.
        max_total: u64,
    },
    /// A price came that lies over the application's maximum; nothing is reserved at it.
    Declined {
        /// What would be due, in wire units.
        due: u64,
        /// The application's own maximum.
        max_payment: u64,
    },
    /// By what other rates cost, as much is asked for as the budget allows.
    Fitted {
        /// Token rate, bytes per second.
        bytes_per_s: u64,
        /// What that costs at most, in wire units.
        payment: u64,
        /// The budget.
        budget: u64,
    },
    /// A reservation reached this sender.
    Reserved {
        /// What all receivers pay, in wire units.
        receivers_pay: u64,
        /// What this sender pays, in wire units.
        sender_pays: u64,
        /// The sum of all local prices, in wire units.
        total: u64,
    },
    /// Where the charge arises, in path order and as far as the hops tell; told to those who ask.
    Arises {
        /// C, in wire units.
        total: u64,
        /// What it is made up of.
        parts: Vec<HopCharge>,
    },
    /// The last reservation for this sender ended.
    Released,
    /// RESVCONF came.
    Confirmed,
    /// RESVERR or PATHERR came.
    Error {
        /// Node that found the error.
        node: IpAddr,
        /// RFC 2205 appendix B.
        code: u8,
        /// RFC 2205 appendix B.
        value: u16,
        /// What would be required, where a CHG_ERR says so, in wire units.
        required: Option<u64>,
        /// What else the error says, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The sender is gone.
    SenderGone,
    /// Of several interfaces on which the sender is heard this one was chosen: the reservation is
    /// made there, and the data is to be received there.
    Chosen {
        /// Its name.
        interface: String,
        /// Previous hop: the provider that is asked.
        previous_hop: IpAddr,
        /// The other ones.
        others: Vec<OtherWay>,
    },
}

/// An interface on which a sender is heard too, and that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherWay {
    /// Its name.
    pub interface: String,
    /// What is asked for there, in wire units.
    pub payment: u64,
}

impl NoticeEvent {
    /// Adds to an error what else is known of it.
    pub(crate) fn explain(&mut self, more: Option<String>) {
        if let Self::Error { detail, .. } = self {
            *detail = more;
        }
    }
}

/// Why a local request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalError {
    /// The sender's address is not one of this node's.
    NotOurAddress(IpAddr),
    /// The destination cannot be a session's.
    BadDestination(IpAddr),
    /// The source cannot be a sender's.
    BadSource(IpAddr),
    /// With this session, ports with and without a number would mix (RFC 2205 section 3.2).
    Ports(Session),
    /// A sender or receiver of this kind is registered already.
    Taken(Session),
    /// A limit of the configuration is reached.
    Limit(&'static str),
    /// No such registration.
    UnknownHandle(Handle),
    /// No interface of this name.
    UnknownInterface(String),
    /// A refresh period out of its range.
    Refresh {
        /// What it was, in milliseconds.
        refresh_ms: u32,
        /// What it may be at least.
        least: u32,
        /// What it may be at most.
        most: u32,
    },
    /// Charging is off in this node's configuration.
    ChargingOff,
    /// A value out of its range.
    OutOfRange {
        /// Which.
        what: &'static str,
        /// What it was.
        value: u64,
        /// What it may be at most.
        most: u64,
    },
}

impl std::fmt::Display for LocalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotOurAddress(address) => write!(
                f,
                "source address {address} is not an address of this node: \
                 give one that `lcmctl show interfaces` lists"
            ),
            Self::BadDestination(address) => write!(
                f,
                "destination {address} cannot be a session address: \
                 give a unicast or multicast address that data can be sent to"
            ),
            Self::BadSource(address) => {
                write!(f, "source address {address} cannot be a sender's: give a unicast address")
            }
            Self::Ports(session) => write!(
                f,
                "session {session} mixes ports with none: for one destination and protocol give \
                 every session and sender a port, or none of them (RFC 2205 section 3.2)"
            ),
            Self::Taken(session) => write!(
                f,
                "session {session} is taken by another application of this node: \
                 close that one first (`lcmctl show sessions` lists it)"
            ),
            Self::Limit(what) => write!(f, "limit {what} of the configuration is reached"),
            Self::UnknownHandle(handle) => {
                write!(f, "no application is registered under handle {}", handle.0)
            }
            Self::UnknownInterface(name) => write!(
                f,
                "no interface is named {name}: `lcmctl show interfaces` lists those there are"
            ),
            Self::Refresh { refresh_ms, least, most } => write!(
                f,
                "refresh period {refresh_ms} ms is out of range: give {least} to {most}; where \
                 prices are announced, their validity bounds it (validity_ms in the configuration)"
            ),
            Self::ChargingOff => write!(
                f,
                "charging is off on this node: set charging.enabled = true in its configuration"
            ),
            Self::OutOfRange { what, value, most } => {
                write!(f, "{what} = {value} is out of range: give 0 to {most}")
            }
        }
    }
}

impl std::error::Error for LocalError {}
