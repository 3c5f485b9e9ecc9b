//! What sender, receivers and hops between lend each other to find out whether anybody cheats
//! (paper section 4, "Transparency"; `docs/notes.md`).
//!
//! A [`Note`] is what one node knows about one session at one time: what it was told upstream and
//! what it tells below, what it pays and what it is paid. [`compare`] holds notes against each
//! other. Nothing here knows an engine, a socket or a clock.
//!
//! ```text
//!   sender's note        what it pays for the sender (SP), what it was told of all receivers (A)
//!     │  link            both ends gave a note: the same message must say the same at both
//!   a hop's note         what comes in must go out: its own books add up
//!     │
//!   ┌─┴─────────────┐    hops without a note: what goes in at the top must come out below,
//!   │     ?    ?    │      ΣA = ΣA,  ΣSP + ΣS = ΣSP + ΣS,  receivers = receivers
//!   └─┬───────────┬─┘
//!   receivers' notes     what they were told (C), what they pay (C − S), what is covered (S)
//! ```
//!
//! Only the model's equations are used (charging.md section 1): A = ΣA_k, B = Σ(B_k + L_k),
//! SP = ΣSP_k + ΣS_k − S, and A − B = C on every link; where no hop between gave a note they come to
//! ΣC of the receivers = A at the sender, and ΣS of the receivers = SP there.

mod compare;
mod facts;
mod meet;
#[cfg(test)]
mod tests;
mod text;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::engine::show::{SenderId, SessionId};

pub use compare::{Compared, Finding, Options, Place, Said, SenderReport, Sums, Verdict, compare};
pub use facts::What;

/// The version of notes that is written and read.
pub const VERSION: u32 = 1;

/// What a node knows about a session. Rates are wire units (10⁻¹² currency units per second).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// [`VERSION`].
    pub note: u32,
    /// What the node is called in what is said about it.
    #[serde(default)]
    pub name: String,
    /// When it was taken, by the node's own clock, in seconds since 1970.
    pub taken: u32,
    /// The longest refresh period R of these interfaces, in milliseconds.
    pub refresh_ms: u32,
    /// The currency in which it reckons, by ISO 4217.
    pub currency: String,
    /// The session.
    pub session: SessionId,
    /// Addresses of the interfaces that the session uses, by which the notes of its neighbours know it.
    pub addresses: Vec<IpAddr>,
    /// One for each sender that it knows charges of.
    pub senders: Vec<SenderNote>,
}

/// What a node knows about one sender of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderNote {
    /// The sender.
    pub sender: SenderId,
    /// It is on this node, or this node speaks for it.
    pub here: bool,
    /// The previous hop is paid in another currency than the note's.
    #[serde(default)]
    pub abroad: bool,
    /// What the previous hop announced; absent where nobody did: here charges begin.
    #[serde(default)]
    pub heard: Option<Announced>,
    /// What this node announces to each next hop that reserves.
    pub announced: Vec<Announced>,
    /// What it pays the previous hop; absent while nothing is reserved.
    #[serde(default)]
    pub pays: Option<Pays>,
    /// What each next hop, or receiver here, pays.
    pub paid: Vec<Paid>,
}

/// An announcement on its way down (DCPE).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// The hop at the other end.
    pub hop: IpAddr,
    /// C: the total charge.
    pub total: u64,
    /// S: the part of it that the sender's side covers.
    pub sponsored: u64,
    /// r: the sender's fraction in parts per million.
    pub fraction_ppm: u32,
    /// Number of the announcement.
    pub epoch: u32,
}

/// A payment on its way up (UCPE), by who pays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pays {
    /// C that was approved.
    pub total: u64,
    /// S in it.
    pub sponsored: u64,
    /// RP: what is owed for it.
    pub debited: u64,
    /// A: what was announced to all receivers below.
    pub announced_total: u64,
    /// B: the sum of local prices below.
    pub local_sum: u64,
    /// SP: what is taken from the sender's side.
    pub sender_payment: u64,
    /// Receivers below.
    pub receivers: u32,
    /// Part of A for which this node stands in itself, since whom it expects is not there.
    #[serde(default)]
    pub stands_in: u64,
    /// Number of the payment that was sent last.
    pub sequence: u32,
    /// Something of it has changed and was not sent yet.
    #[serde(default)]
    pub unsaid: bool,
}

/// A payment by who is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// Who pays.
    pub by: IpAddr,
    /// It is a receiver on this node, or one for which this node reserves.
    #[serde(default)]
    pub ends: bool,
    /// PENDING, ACTIVE or LAPSED.
    pub status: String,
    /// L: the price of this link.
    pub local_price: u64,
    /// C that was agreed.
    pub total: u64,
    /// S in it.
    pub sponsored: u64,
    /// RP: what is debited.
    pub debited: u64,
    /// A: as the payer reports it.
    pub announced_total: u64,
    /// B: as the payer reports it, without L of this link.
    pub local_sum: u64,
    /// SP: what it takes.
    pub sender_payment: u64,
    /// Receivers below it.
    pub receivers: u32,
    /// Number of the payment that was heard last.
    pub sequence: u32,
}

/// Longest name of a node.
const NAME_MOST: usize = 64;
/// What a reservation may be.
const STATES: [&str; 3] = ["PENDING", "ACTIVE", "LAPSED"];

/// Only the version is looked at before the rest is believed to be of it.
#[derive(Deserialize)]
struct Version {
    note: u32,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// What is wrong with the text, and what to do.
    pub fn read(text: &str) -> Result<Self, String> {
        let plain: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            format!("not a note, nor any JSON ({error}): take it anew with `lcmctl notes take`")
        })?;
        let Ok(Version { note }) = Version::deserialize(&plain) else {
            return Err("not a note: its field `note` has no version; take it anew with `lcmctl \
                        notes take`"
                .to_owned());
        };
        if note != VERSION {
            return Err(format!(
                "a note of version {note}, and this program reads version {VERSION}: take it and \
                 compare it with programs of one release"
            ));
        }
        let damaged =
            |why: String| format!("a damaged note ({why}): have it sent again, or take it anew");
        let note = Self::deserialize(&plain).map_err(|error| damaged(error.to_string()))?;
        match note.oddity() {
            Some(odd) => Err(damaged(odd)),
            None => Ok(note),
        }
    }

    /// Words in it that no daemon writes. They are printed, and notes come from strangers.
    fn oddity(&self) -> Option<String> {
        let plain = |text: &str, most: usize| {
            text.chars().count() <= most && !text.chars().any(char::is_control)
        };
        if !plain(&self.name, NAME_MOST) {
            return Some(format!("its name is longer than {NAME_MOST} or not of one line"));
        }
        if self.currency.len() > 5 || !self.currency.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Some("its currency is none".to_owned());
        }
        let mut paid = self.senders.iter().flat_map(|about| &about.paid);
        let odd = paid.find(|paid| !STATES.contains(&paid.status.as_str()))?;
        Some(format!("the reservation of {} is in no state that there is", odd.by))
    }

    /// What the node is called: its name, or its first address.
    pub(crate) fn who(&self) -> String {
        match (self.name.as_str(), self.addresses.first()) {
            ("", Some(address)) => address.to_string(),
            ("", None) => "a node without addresses".to_owned(),
            (name, _) => name.to_owned(),
        }
    }
}
