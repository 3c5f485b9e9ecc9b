//! Messages that were not believed: counted by neighbour and reason, and told the operator. Nobody
//! is answered. Strangers can forge any address, so the table is bounded, and a line about one
//! neighbour and reason comes every ten seconds at most.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use super::super::Core;
use super::super::outbox::Output;
use super::super::show::interface_name;
use super::super::time::{Instant, Span};

/// Neighbours that are told apart; all others are counted as one.
const NEIGHBOURS_MOST: usize = 256;
/// Time between two lines about the same neighbour and reason.
const QUIET: Span = Span::from_millis(10_000);

/// Why a message, or a POLICY_DATA object, is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disbelief {
    /// There is no digest where one is demanded.
    Missing,
    /// No key has the identifier that is named.
    UnknownKey,
    /// The key that is named is not yet or no more to be used.
    KeyNotLive,
    /// The digest is not that of the message under the key.
    WrongDigest,
    /// The sequence number was used before, or is older than the window.
    Replay,
    /// The sending system does not answer challenges, which is demanded.
    NoHandshake,
    /// A response to a challenge that was not asked, or with another cookie.
    WrongResponse,
    /// So many sending systems are known that there is no room for another one.
    TooMany,
}

impl Disbelief {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Missing,
        Self::UnknownKey,
        Self::KeyNotLive,
        Self::WrongDigest,
        Self::Replay,
        Self::NoHandshake,
        Self::WrongResponse,
        Self::TooMany,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "integrity_missing",
            Self::UnknownKey => "integrity_unknown_key",
            Self::KeyNotLive => "integrity_key_not_live",
            Self::WrongDigest => "integrity_wrong_digest",
            Self::Replay => "integrity_replay",
            Self::NoHandshake => "integrity_no_handshake",
            Self::WrongResponse => "integrity_wrong_response",
            Self::TooMany => "integrity_too_many_neighbours",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Missing => "is not signed; give it a key, or set demand = false",
            Self::UnknownKey => "is signed with a key that is not configured here",
            Self::KeyNotLive => {
                "is signed with a key outside of its lifetime; are the clocks right?"
            }
            Self::WrongDigest => "has a wrong digest: another secret or algorithm, or a forgery",
            Self::Replay => {
                "repeats a sequence number or one older than the window; a replay, or a neighbour \
                 whose clock went back before it was restarted"
            }
            Self::NoHandshake => "comes from a system that answers no challenges",
            Self::WrongResponse => "answers a challenge that was not asked",
            Self::TooMany => "comes from one more system than limits.max_neighbours_per_interface",
        }
    }
}

/// What is told of a neighbour whose messages are not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disbelieved {
    /// Interface on which it came in.
    pub interface: String,
    /// The sending system, as the message has it: it may be forged.
    pub neighbour: IpAddr,
    /// It is about a POLICY_DATA object of a charging neighbour, not about a message.
    pub policy: bool,
    /// Why.
    pub why: Disbelief,
    /// How many more like it were not told since the last line.
    pub untold: u64,
}

impl fmt::Display for Disbelieved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { interface, neighbour, policy, why, untold } = self;
        let thing = if *policy { "policy data" } else { "a message" };
        write!(f, "{thing} of {neighbour} on {interface} {}; dropped", why.what())?;
        match untold {
            0 => Ok(()),
            untold => write!(f, ", and {untold} more like it"),
        }
    }
}

/// What was not believed of one neighbour.
#[derive(Debug, Clone, Default)]
struct Record {
    reasons: BTreeMap<Disbelief, Told>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    count: u64,
    untold: u64,
    quiet_until: Instant,
}

/// What was counted of one neighbour, or of all others.
pub(crate) struct Counted {
    pub(crate) of: Option<(u32, IpAddr)>,
    pub(crate) reasons: Vec<(Disbelief, u64)>,
}

/// What was not believed, by interface and neighbour.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals {
    known: BTreeMap<(u32, IpAddr), Record>,
    others: Record,
}

impl Refusals {
    fn told(&mut self, key: (u32, IpAddr), why: Disbelief, configured: bool) -> &mut Told {
        let room = configured || self.known.len() < NEIGHBOURS_MOST;
        let record = match room || self.known.contains_key(&key) {
            true => self.known.entry(key).or_default(),
            false => &mut self.others,
        };
        record.reasons.entry(why).or_default()
    }

    /// What was counted, by neighbour; `None` for all beyond those told apart.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Counted> {
        let counted = |of, record: &Record| Counted {
            of,
            reasons: record.reasons.iter().map(|(why, told)| (*why, told.count)).collect(),
        };
        let others = (!self.others.reasons.is_empty()).then(|| counted(None, &self.others));
        self.known.iter().map(move |(key, record)| counted(Some(*key), record)).chain(others)
    }
}

/// Counts what is not believed, and tells it unless the like was told just now.
pub(crate) fn refuse(core: &mut Core, interface: u32, from: IpAddr, policy: bool, why: Disbelief) {
    core.counters.drop(why.name());
    let now = core.at;
    let configured = core.integrity.names(from);
    let told = core.integrity.refusals.told((interface, from), why, configured);
    told.count += 1;
    if now < told.quiet_until {
        told.untold += 1;
        return;
    }
    told.quiet_until = now + QUIET;
    let untold = std::mem::take(&mut told.untold);
    let interface = interface_name(core, interface);
    let news = Disbelieved { interface, neighbour: from, policy, why, untold };
    core.outbox.push(Output::Disbelieved(Box::new(news)));
}
