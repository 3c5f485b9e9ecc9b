//! The configuration of one node: a TOML file, checked as a whole before anything starts.
//!
//! ```text
//!  text ── toml ──▶ tables with places ── serde ──▶ raw ── check ──▶ Config (effective values)
//!            │                             │                 │
//!            └──────────── every problem: line, key, value, remedy ──▶ ConfigErrors
//! ```
//!
//! A [`Config`] holds effective values only: defaults are filled in, an interface has what it
//! inherits, and whatever could contradict something else has been compared with it. All problems
//! of a file are reported together; the daemon then ends with
//! [`Exit::Usage`](crate::exit::Exit::Usage) and has started nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::DeTable;

use crate::tariff::Tariff;

mod account;
mod accounts;
mod authentication;
mod billing;
mod check;
mod choice;
mod control;
mod diagnostics;
mod exchange;
mod identity;
mod interfaces;
mod keys;
mod ledger;
mod limits;
mod moving;
mod neighbours;
mod problem;
mod proxy;
mod raw;
mod read;
mod refund;
mod render;
#[cfg(test)]
mod shipped_tests;
mod split;
mod tariff;
#[cfg(test)]
mod tests;
mod when;
mod wording;

pub use account::{ACCOUNT_ID_BYTES_MAX, Account, AccountKind, Currency};
pub use accounts::{Accounts, SettlementKind, Unknown};
pub use authentication::{
    Authentication, DEFAULT_HANDSHAKE, DEFAULT_WINDOW, Handshake, Key, KeyUse, Secret, WINDOW_MAX,
};
pub use billing::{Billing, TaxRate, percent};
pub use choice::{
    Choice, DEFAULT_CHOICE_ENABLED, DEFAULT_CHOICE_HOLD_MS, DEFAULT_CHOICE_MARGIN_PERCENT,
    DEFAULT_CHOICE_WAIT_MS,
};
pub use control::Control;
pub use diagnostics::{
    Charges, DEFAULT_ANSWER, DEFAULT_CHARGES, DEFAULT_MAX_PER_S, Diagnostics, Prefix,
};
pub use exchange::Exchange;
pub use identity::{
    Admitted, Credential, Demand, IDENTITY_BYTES_MAX, IdentityKey, IdentityKind, IdentityRule,
    name_fault,
};
pub use keys::{KeyFileErrors, read_secret, secret_of};
pub use ledger::{DEFAULT_HOLD_S, DEFAULT_PROOF_MS, DEFAULT_SEGMENT_BYTES, Ledger};
pub use limits::Limits;
pub use problem::{ConfigErrors, PROBLEMS_MAX, Problem};
pub use proxy::{DEFAULT_PROXY_TTL, DEFAULT_RETRY_S, ReceiverProxy, SenderProxy};

/// Largest configuration file that is read, in bytes.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Name of the node in its logs.
pub const DEFAULT_NAME: &str = "lcm";
/// Where `lcmctl` finds the daemon.
pub const DEFAULT_CONTROL_SOCKET: &str = "/run/lcm/control.sock";
/// Events below this level are not logged.
pub const DEFAULT_LOG_LEVEL: LogLevel = LogLevel::Info;
/// What the node is.
pub const DEFAULT_ROLE: Role = Role::Router;
/// Refresh period R in milliseconds (RFC 2205 section 3.7 suggests 30 s).
pub const DEFAULT_REFRESH_MS: u32 = 30_000;
/// K of RFC 2205 section 3.7: K − 1 successive refreshes may be lost before state expires.
pub const DEFAULT_LIFETIME_MULTIPLIER: u8 = 3;
/// Shortest refresh period that a neighbour may announce, in milliseconds.
pub const DEFAULT_ACCEPT_REFRESH_MIN_MS: u32 = REFRESH_MS_MIN;
/// Longest refresh period that a neighbour may announce, in milliseconds: it bounds for how long
/// a payer that fell silent is carried.
pub const DEFAULT_ACCEPT_REFRESH_MAX_MS: u32 = 300_000;
/// Whether a node charges.
pub const DEFAULT_CHARGING_ENABLED: bool = false;
/// For how long a quoted price stands, in milliseconds.
pub const DEFAULT_VALIDITY_MS: u32 = 60_000;
/// Whether a price once quoted is honoured until its validity ends, though it has changed since.
/// The paper holds the provider not liable (rule T6).
pub const DEFAULT_HONOUR_QUOTE: bool = false;
/// Whether a reservation is billed only once the path above it stands end to end (rule T12).
pub const DEFAULT_REQUIRE_ESTABLISHED: bool = true;
/// What becomes of a RESV without payment.
pub const DEFAULT_ON_MISSING_PAYMENT: MissingPayment = MissingPayment::Reject;
/// What is told of where charges arise to those who ask.
pub const DEFAULT_HOP_RECORD: HopRecords = HopRecords::None;
/// Whether neighbours on an interface are customers and providers, or of the same house.
pub const DEFAULT_INTERFACE_ROLE: LinkRole = LinkRole::Edge;
/// What was agreed with a neighbour (the paper's section 2.2: contracts are bilateral).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// The account that we pay it from, and name for sender payments; always there on a router.
    pub account: Option<Account>,
    /// What becomes of a RESV without UCPE.
    pub on_missing_payment: MissingPayment,
    /// What it is told of where its charges arise, if it asks.
    pub hop_record: HopRecords,
    /// Accounts that may not pay on a sender's behalf: a PATH that offers it is answered with
    /// PATHERR, and the previous hop cuts the sender's share.
    pub refused_sender_accounts: Vec<Account>,
    /// Whether it is another party; by its interface where nothing is said.
    pub role: Option<LinkRole>,
    /// The currency in which it announces prices and is paid, if that is not ours.
    pub exchange: Option<Exchange>,
}

impl Charging {
    /// The contract with the neighbour of this address.
    #[must_use]
    pub fn contract(&self, neighbour: IpAddr) -> &Contract {
        self.neighbours.get(&neighbour).unwrap_or(&self.general)
    }
}

/// What becomes of a neighbour that contradicts itself or us.
pub const DEFAULT_ON_INCONSISTENCY: OnInconsistency = OnInconsistency::Report;
/// P-Types of the charging elements, in the private range of RFC 2750.
pub const DEFAULT_P_TYPES: PTypes = PTypes { dcpe: 0xD001, ucpe: 0xD002, chg_err: 0xD003 };
/// Slew.Max of RFC 2205 section 3.7, in percent: how much R may grow from one refresh to the next.
pub const DEFAULT_SLEW_MAX_PERCENT: u32 = 30;
/// Whether requests of higher priority take room from reservations of lower.
pub const DEFAULT_PREEMPTION: Preemption = Preemption::Off;
/// Whether a hop without RSVP lies behind an interface that the TTL does not betray.
pub const DEFAULT_INTERFACE_NON_RSVP_HOP: bool = false;
/// Whether refresh overhead reduction (RFC 2961) is offered on an interface.
pub const DEFAULT_INTERFACE_REFRESH_REDUCTION: bool = false;
/// Whether messages to one neighbour are bundled where refresh reduction is used.
pub const DEFAULT_INTERFACE_BUNDLE: bool = true;
/// Whether next hops are told what other rates would cost.
pub const DEFAULT_INTERFACE_PRICE_CURVE: bool = false;
/// Period of Hello messages; 0 sends none.
pub const DEFAULT_INTERFACE_HELLO_MS: u32 = 0;
/// Whether RSVP runs on an interface.
pub const DEFAULT_INTERFACE_RSVP: bool = true;
/// Whether an interface of a charging node charges.
pub const DEFAULT_INTERFACE_CHARGING: bool = true;

/// So many bits per second that they stand for any number of them.
pub const NO_LIMIT: u64 = u64::MAX;
/// Shortest refresh period, in milliseconds.
pub const REFRESH_MS_MIN: u32 = 100;
/// Longest refresh period, in milliseconds: one hour.
pub const REFRESH_MS_MAX: u32 = 3_600_000;
/// Longest validity of a price, in milliseconds: one day.
pub const VALIDITY_MS_MAX: u32 = 86_400_000;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[daemon]`: the process.
    pub daemon: Daemon,
    /// `[rsvp]`: the protocol.
    pub rsvp: Rsvp,
    /// `[limits]`: how much others may make this node keep and do.
    pub limits: Limits,
    /// `[ledger]`: where the books are kept.
    pub ledger: Ledger,
    /// `[choice]`: how receivers on this node choose among providers.
    pub choice: Choice,
    /// `[diagnostics]`: who may ask about the state here, and what it is shown.
    pub diagnostics: Diagnostics,
    /// `[control]`: who may ask what over the control socket.
    pub control: Control,
    /// `[accounts]`: who may spend how much; `None` if nobody's spending is looked at.
    pub accounts: Option<Accounts>,
    /// `[billing]`: how bills are numbered and taxed; `None` if none are issued.
    pub billing: Option<Billing>,
    /// `[charging]`: who pays and in what; `None` if this node does not charge.
    pub charging: Option<Charging>,
    /// `[[authentication]]`: who must prove to be who it is, and how.
    pub authentication: Vec<Authentication>,
    /// `[[identity]]`: of whom it is asked who they are, and who we say that we are.
    pub identities: Vec<IdentityRule>,
    /// `[[receiver_proxy]]`: receivers without RSVP, for which this router reserves.
    pub receiver_proxies: Vec<ReceiverProxy>,
    /// `[[sender_proxy]]`: senders without RSVP, for which this router sends PATH.
    pub sender_proxies: Vec<SenderProxy>,
    /// `[default_interface]`: what holds for an interface that the file does not name.
    pub default_interface: Interface,
    /// `[[interface]]` by name.
    pub interfaces: BTreeMap<String, Interface>,
}

/// The process: its name and its doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Name of the node in its logs: 1 to 64 letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Unix socket for `lcmctl`; an absolute path.
    pub control_socket: PathBuf,
    /// Where `/metrics` is served over HTTP; port 0 lets the kernel choose one.
    pub metrics_listen: Option<SocketAddr>,
    /// File in which routing daemons find the prices of all links; an absolute path.
    pub price_export: Option<PathBuf>,
    /// Events below this level are not logged.
    pub log_level: LogLevel,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What needs somebody's hand.
    Error,
    /// What may need it soon.
    Warn,
    /// What an operator wants to know about in retrospect.
    Info,
    /// Every decision.
    Debug,
    /// Every message.
    Trace,
}

impl LogLevel {
    /// The level's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// The RSVP protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rsvp {
    /// What the node is.
    pub role: Role,
    /// Refresh period R in milliseconds, where an interface has no other.
    pub refresh_ms: u32,
    /// K of RFC 2205 section 3.7, at least 1: state lives (K + ½) · 1.5 · R.
    pub lifetime_multiplier: u8,
    /// Shortest R accepted in a neighbour's TIME_VALUES, in milliseconds.
    pub accept_refresh_min_ms: u32,
    /// Longest R accepted in a neighbour's TIME_VALUES, in milliseconds; not below the shortest.
    pub accept_refresh_max_ms: u32,
    /// Slew.Max (RFC 2205 section 3.7): percent by which R may grow from one refresh to the next.
    pub slew_max_percent: u32,
    /// Whether requests of higher priority take room from reservations of lower (RFC 3181).
    pub preemption: Preemption,
    /// Seed of the refresh jitter; `None` takes one from the system.
    pub jitter_seed: Option<u64>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Forwards PATH and RESV of others.
    Router,
    /// Sends and receives for the applications of its own machine; never forwards.
    Host,
}

impl Role {
    /// The role's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Router => "router",
            Role::Host => "host",
        }
    }
}

/// Who pays, in what currency, on what terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charging {
    /// The currency of every price and payment of this node.
    pub currency: Currency,
    /// What holds with every neighbour with which nothing else was agreed.
    pub general: Contract,
    /// `[[neighbour]]` by address, with what each inherits.
    pub neighbours: BTreeMap<IpAddr, Contract>,
    /// For how long a quoted price stands, in milliseconds, where an interface has no other.
    pub validity_ms: u32,
    /// Whether a price once quoted is honoured until its validity ends (rule T6).
    pub honour_quote: bool,
    /// Whether a reservation costs nothing until the path above it stands (rule T12).
    pub require_established: bool,
    /// What becomes of a neighbour that contradicts itself or us.
    pub on_inconsistency: OnInconsistency,
    /// P-Types of the charging elements.
    pub p_types: PTypes,
}

/// What becomes of a neighbour that contradicts itself or us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconsistency {
    /// It is counted, and told in the log.
    Report,
    /// It is refused as well.
    Refuse,
}

impl OnInconsistency {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            OnInconsistency::Report => "report",
            OnInconsistency::Refuse => "refuse",
        }
    }
}

/// What becomes of reservations where a request of higher priority finds no room (RFC 3181).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preemption {
    /// They stay, and the request is refused.
    Off,
    /// The lowest give way; the last of them keeps what is left (RFC 4495).
    Reduce,
    /// The lowest are ended.
    End,
}

impl Preemption {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Preemption::Off => "off",
            Preemption::Reduce => "reduce",
            Preemption::End => "end",
        }
    }
}

/// What becomes of a RESV without UCPE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingPayment {
    /// It is refused: ERR_PD_MISS, "policy data missing" (RFC 2750 section 4).
    Reject,
    /// It is carried for nothing.
    Free,
}

impl MissingPayment {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MissingPayment::Reject => "reject",
            MissingPayment::Free => "free",
        }
    }
}

/// What a customer that asks is told of where its charges arise (charging.md, HOP_RECORD).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HopRecords {
    /// Nothing: neither this hop's own price nor what those before it tell.
    None,
    /// This hop's own price; what comes from before it is one sum of which nothing is told.
    Own,
    /// That, and what the hops before it tell, who are asked in turn.
    All,
}

impl HopRecords {
    /// The choice's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HopRecords::None => "none",
            HopRecords::Own => "own",
            HopRecords::All => "all",
        }
    }
}

/// What a neighbour is to this node (the paper's section 3.1: edge and interior LCMs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkRole {
    /// Another party: it has an account, and every consent and every debit is evidence.
    Edge,
    /// A node of the same provider: quotes and payments are passed on alike, and what they come to
    /// is internal cost accounting, of which nothing is written down.
    Interior,
}

impl LinkRole {
    /// The role's name in configuration files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LinkRole::Edge => "edge",
            LinkRole::Interior => "interior",
        }
    }
}

/// P-Types of the charging elements (RFC 2750 section 8); distinct, none of them assigned by IANA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PTypes {
    /// Downstream charging policy element, in PATH.
    pub dcpe: u16,
    /// Upstream charging policy element, in RESV.
    pub ucpe: u16,
    /// Reason of a refusal, in PATHERR and RESVERR.
    pub chg_err: u16,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Whether RSVP runs on it at all.
    pub rsvp: bool,
    /// Whether a hop without RSVP lies behind it that Send_TTL does not betray, as in a tunnel
    /// (RFC 2205 section 3.8).
    pub non_rsvp_hop: bool,
    /// What may be reserved on it in all, in bits per second, or [`NO_LIMIT`].
    pub reservable_bits_per_s: u64,
    /// Whether next hops behind it are quoted a price and must pay it. If not, POLICY_DATA crosses
    /// the interface unread, as through a policy-ignorant node (RFC 2750). Always false where the
    /// node does not charge.
    pub charging: bool,
    /// The price of sending data out of it.
    pub tariff: Tariff,
    /// For how long that price stands once quoted, in milliseconds.
    pub validity_ms: u32,
    /// Refresh period R of what we send on it, in milliseconds.
    pub refresh_ms: u32,
    /// Whether neighbours on it that can are refreshed by numbers instead of whole messages, and
    /// acknowledge what changes (RFC 2961).
    pub refresh_reduction: bool,
    /// Whether messages that leave at once to one such neighbour go in one Bundle.
    pub bundle: bool,
    /// Period of Hello messages (RFC 3209 section 5) in milliseconds; 0 sends none.
    pub hello_ms: u32,
    /// What neighbours behind it are to this node, of which nothing else was agreed.
    pub role: LinkRole,
}

impl Config {
    /// Reads and checks a configuration file of at most [`CONFIG_BYTES_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or for whatever is wrong in it.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| {
            ConfigErrors::unreadable(
                &name,
                format!("cannot be read: {error}"),
                "name an existing, readable file with --config",
            )
        })?;
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(ConfigErrors::unreadable(
                &name,
                format!("longer than {CONFIG_BYTES_MAX} bytes"),
                "a configuration is far smaller; is this the right file?",
            ));
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => Config::parse(text, &name),
            Err(error) => {
                let line = bytes.iter().take(error.valid_up_to()).filter(|b| **b == b'\n').count();
                Err(ConfigErrors::unreadable(
                    &name,
                    format!("line {} is not UTF-8", line + 1),
                    "save the file as UTF-8",
                ))
            }
        }
    }

    /// Checks the text of a configuration; `name` stands for the file in messages.
    ///
    /// The empty text is valid: a plain RSVP router that does not charge.
    ///
    /// # Errors
    ///
    /// For whatever is wrong: all that is no TOML, or else all that is no valid setting.
    pub fn parse(text: &str, name: &str) -> Result<Config, ConfigErrors> {
        let mut problems = problem::Problems::new(name, text);
        let (root, syntax) = DeTable::parse_recoverable(text);
        problems.learn_keys(root.get_ref());
        for error in &syntax {
            problems.toml(error);
        }
        // What a reader recovered from broken TOML is a guess; complaints about it would mislead.
        if !problems.is_empty() {
            return Err(problems.into_errors());
        }
        let file = read::File::read(root.into_inner(), &mut problems);
        let config = check::config(file, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(problems.into_errors()) }
    }

    /// What holds for the interface of this name: its own settings, else the default ones.
    #[must_use]
    pub fn interface(&self, name: &str) -> &Interface {
        self.interfaces.get(name).unwrap_or(&self.default_interface)
    }

    /// Takes the tariffs of another configuration, for the interfaces that this one knows; returns
    /// the interfaces whose tariff changed, by name.
    pub fn take_tariffs(&mut self, from: &Config) -> Vec<String> {
        let mut changed = Vec::new();
        for (name, settings) in &mut self.interfaces {
            let tariff = &from.interface(name).tariff;
            if settings.tariff != *tariff {
                settings.tariff = tariff.clone();
                changed.push(name.clone());
            }
        }
        self.default_interface.tariff = from.default_interface.tariff.clone();
        changed
    }

    /// Every effective setting as a configuration file, which parses back to the same.
    #[must_use]
    pub fn to_toml(&self) -> String {
        render::config(self)
    }
}
