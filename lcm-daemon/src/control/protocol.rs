//! What travels over the control socket.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::IdentityKind;
use crate::engine::{
    AssociationView, DisbeliefView, Level, NoticeEvent, Priority, TraceView, show,
};
use crate::notes::Note;

/// Asked of a daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// List state.
    Show {
        /// Which.
        what: What,
    },
    /// What this node knows about the charges of a session, to be compared with other nodes' notes.
    Note {
        /// The session.
        session: SessionName,
    },
    /// Open a session as a sender.
    Send(SendRequest),
    /// Open a session as a receiver.
    Receive(ReceiveRequest),
    /// End a registration.
    Close {
        /// As returned when it was made.
        handle: u64,
    },
    /// Change the local price of an interface.
    Price {
        /// Interface name.
        interface: String,
        /// New local price, in 10⁻¹² currency units per second.
        price: u64,
        /// New highest price, same unit; absent keeps the old one.
        #[serde(default)]
        max_price: Option<u64>,
        /// Take effect when the next reservation is admitted there.
        #[serde(default)]
        at_admission: bool,
    },
    /// Change the refresh period of an interface.
    Refresh {
        /// Interface name.
        interface: String,
        /// R in milliseconds.
        refresh_ms: u32,
    },
    /// Go out of service, or come back.
    Drain {
        /// Whether nothing new is let in from now on.
        on: bool,
        /// Let it in at so many percent of the price instead, 100 or more.
        #[serde(default)]
        price_percent: Option<u32>,
    },
    /// Ask the hops of a path for their state (RFC 2745).
    Trace(TraceSpec),
    /// List accounts of customers and neighbours.
    ListAccounts,
    /// Do something about an account.
    Account(AccountOrder),
    /// Do something about a posting.
    Correct {
        /// The ledger's directory, absolute: a daemon that keeps another one refuses.
        directory: PathBuf,
        /// Number of the record that opened the posting.
        posting: u64,
        /// Why, or how it was resolved.
        reason: String,
        /// What.
        order: CorrectOrder,
    },
    /// Issue bills and credit notes that are due.
    IssueBills {
        /// The ledger's directory, absolute: a daemon that keeps another one refuses.
        directory: PathBuf,
    },
    /// Close a period of the ledger.
    ClosePeriod {
        /// The ledger's directory, absolute: a daemon that keeps another one refuses.
        directory: PathBuf,
    },
}

/// What to do about an account. Accounts are KIND:ID or `neighbour:ADDRESS`, amounts decimal currency
/// units, currencies codes of ISO 4217.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum AccountOrder {
    /// Open it.
    Create {
        /// Whose.
        account: String,
        /// Its currency; absent takes that of the prices.
        #[serde(default)]
        currency: Option<String>,
        /// Terms that differ from those of the configuration.
        #[serde(default)]
        terms: TermsOrder,
        /// What its holder pays in at once, in currency units as `12.50`.
        #[serde(default)]
        credit: Option<String>,
        /// Why, or by which payment.
        #[serde(default)]
        reason: String,
    },
    /// Credit it with what its holder paid in.
    Credit {
        /// Whose.
        account: String,
        /// The currency of the amount; absent takes that of the prices.
        #[serde(default)]
        currency: Option<String>,
        /// How much.
        amount: String,
        /// Why, or by which payment.
        #[serde(default)]
        reason: String,
    },
    /// Change its terms.
    Limit {
        /// Whose.
        account: String,
        /// Terms that differ from those that hold.
        terms: TermsOrder,
    },
    /// Close it.
    Close {
        /// Whose.
        account: String,
        /// Why.
        #[serde(default)]
        reason: String,
    },
}

/// What to do about a posting. Amounts are decimal currency units, or `all`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum CorrectOrder {
    /// Keep it out of bills.
    Dispute,
    /// Let it stand again.
    Resolve {
        /// But for so much of it.
        #[serde(default)]
        give_back: Option<String>,
    },
    /// Give a part of it back.
    GiveBack {
        /// How much.
        amount: String,
    },
}

/// Terms of an account; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsOrder {
    /// What it may owe.
    #[serde(default)]
    pub credit_limit: Option<String>,
    /// It is settled with tokens of this value.
    #[serde(default)]
    pub tokens: Option<String>,
    /// The most that a session may spend; `none` lifts the cap.
    #[serde(default)]
    pub session_cap: Option<String>,
    /// The most that may be spent in a day; `none` lifts the cap.
    #[serde(default)]
    pub day_cap: Option<String>,
    /// The most that may be spent in a month; `none` lifts the cap.
    #[serde(default)]
    pub month_cap: Option<String>,
    /// Whether one session has it to itself.
    #[serde(default)]
    pub alone: Option<bool>,
    /// How many seconds before nothing is left it is warned of.
    #[serde(default)]
    pub warn_s: Option<u32>,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Path state, with the downstream charging state.
    Sessions,
    /// Reservation state, with the upstream charging state.
    Reservations,
    /// Interfaces and their prices.
    Interfaces,
    /// What neighbours owe and are owed.
    Accounts,
    /// Who has to prove to be who it is, and what was not believed.
    Authentication,
    /// Neighbours that reduce refreshes or are greeted.
    Neighbours,
    /// Whether the node goes out of service, and what is left.
    Drain,
}

/// How a session is named: `udp:239.1.2.3:5000` on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionName {
    /// Destination address and port.
    pub destination: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
}

/// Token bucket of a flow in whole bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficSpec {
    /// Token rate in bytes per second.
    pub rate: u64,
    /// Bucket depth in bytes.
    pub bucket: u64,
    /// Peak rate in bytes per second; absent is unlimited.
    #[serde(default)]
    pub peak: Option<u64>,
    /// Minimum policed unit in bytes.
    pub min_policed: u32,
    /// Largest packet in bytes.
    pub max_packet: u32,
}

/// Opens a session as a sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// The session.
    pub session: SessionName,
    /// Source address and port.
    pub source: SocketAddr,
    /// What will be sent.
    pub traffic: TrafficSpec,
    /// TTL of PATH.
    pub ttl: u8,
    /// Outgoing interface by name; absent follows the kernel's route.
    #[serde(default)]
    pub interface: Option<String>,
    /// The sender is a host without RSVP behind this router; absent for this machine itself.
    #[serde(default)]
    pub proxy: Option<Place>,
    /// What the sender pays; absent sends a PATH without charging.
    #[serde(default)]
    pub share: Option<Share>,
    /// Stay registered after the connection ends.
    #[serde(default)]
    pub detach: bool,
}

/// Where a sender without RSVP is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Its data comes in somewhere.
    Anywhere,
    /// Behind this interface, by which multicast is routed.
    Interface(String),
}

/// The sender's share of the charge.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Parts per million of the charge.
    pub fraction_ppm: u32,
    /// Account to charge, as `kind:id`; absent names the daemon's own.
    #[serde(default)]
    pub account: Option<String>,
    /// Most that is covered for one receiver, in wire units.
    #[serde(default)]
    pub limit_per_receiver: Option<u64>,
    /// A hop whose local prices exceed this is not sponsored, in wire units.
    #[serde(default)]
    pub limit_per_hop: Option<u64>,
    /// Hops over which the sender pays.
    #[serde(default)]
    pub max_hops: Option<u32>,
}

/// Opens a session as a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiveRequest {
    /// The session.
    pub session: SessionName,
    /// Reserve for this sender only; absent for each that appears.
    #[serde(default)]
    pub sender: Option<SocketAddr>,
    /// Reservation style: `ff` (the default), `se` or `wf`.
    #[serde(default)]
    pub style: StyleName,
    /// What to reserve; absent takes the sender's own traffic description.
    #[serde(default)]
    pub traffic: Option<TrafficSpec>,
    /// Most that is paid per sender, in wire units; it never leaves this node.
    #[serde(default)]
    pub max_payment: Option<u64>,
    /// Reserve as much as costs no more than this per sender, in wire units, by the price curves that
    /// providers announce; it never leaves this node.
    #[serde(default)]
    pub budget: Option<u64>,
    /// Interface on which to join a multicast group.
    #[serde(default)]
    pub interface: Option<String>,
    /// Ask for a RESVCONF.
    #[serde(default)]
    pub confirm: bool,
    /// Who receives.
    #[serde(default)]
    pub identity: Option<Claim>,
    /// How important it is (RFC 3181).
    #[serde(default)]
    pub priority: Option<Priority>,
    /// Of the interfaces on which a sender is heard, reserve on the cheapest; absent as the
    /// daemon's configuration says.
    #[serde(default)]
    pub cheapest: Option<bool>,
    /// How much it wants to know of where its charges arise: `totals` (the default) or `hops`.
    #[serde(default)]
    pub detail: Level,
    /// Stay registered after the connection ends.
    #[serde(default)]
    pub detach: bool,
}

/// Who an application says that it is (RFC 3182).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// User or application.
    pub kind: IdentityKind,
    /// Its name.
    pub name: String,
    /// What it signs with; absent for a name alone.
    #[serde(default)]
    pub secret: Option<Hidden>,
}

/// A secret in hexadecimal digits, which no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "secret of {} digits", self.0.len())
    }
}

/// Which path is to be traced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSpec {
    /// The session.
    pub session: SessionName,
    /// The sender; absent for the only one that the daemon knows.
    #[serde(default)]
    pub sender: Option<SocketAddr>,
    /// The hop where the path begins; absent for the daemon itself.
    #[serde(default)]
    pub last_hop: Option<IpAddr>,
    /// So many hops at most; 0 for all.
    #[serde(default)]
    pub max_hops: u8,
    /// Have replies sent straight rather than back from hop to hop.
    #[serde(default)]
    pub direct: bool,
}

/// A reservation style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum StyleName {
    /// Fixed filter: a reservation of its own for each sender.
    #[default]
    Ff,
    /// Shared explicit: one reservation for the senders named.
    Se,
    /// Wildcard filter: one reservation for all senders.
    Wf,
}

/// A daemon's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done.
    Done,
    /// A registration was made.
    Handle(u64),
    /// Interfaces.
    Interfaces(Vec<show::InterfaceState>),
    /// Path state.
    Sessions(Vec<show::SessionView>),
    /// Reservation state.
    Reservations(Vec<show::ReservationView>),
    /// What neighbours owe and are owed.
    Accounts(show::AccountsView),
    /// Accounts of customers and neighbours.
    Purses(Vec<show::PurseView>),
    /// Who has to prove to be who it is.
    Authentication {
        /// Secured interfaces and neighbours.
        associations: Vec<AssociationView>,
        /// Messages that were not believed, by neighbour.
        dropped: Vec<DisbeliefView>,
    },
    /// How far the node is from being out of service.
    Drain {
        /// Reservations that still stand.
        reservations: usize,
        /// Whether it goes out of service at all.
        #[serde(default)]
        on: bool,
        /// It lets new ones in at so many percent of the price.
        #[serde(default)]
        price_percent: Option<u32>,
    },
    /// Neighbours.
    Neighbours(Vec<show::NeighbourView>),
    /// What this node knows about the charges of a session.
    Note(Box<Note>),
    /// What the hops of a path said.
    Trace(Box<TraceView>),
    /// Done, in words.
    Said(String),
    /// The period of this number is closed, durably.
    Period(u64),
    /// News of a registration.
    Notice(NoticeLine),
    /// Refused, and why.
    Error(String),
}

/// News of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeLine {
    /// Whose.
    pub handle: u64,
    /// Source address of the sender that it is about.
    pub sender: IpAddr,
    /// Its port.
    pub port: u16,
    /// What happened, in words.
    pub text: String,
    /// What happened, for programs.
    pub event: NoticeEvent,
}
