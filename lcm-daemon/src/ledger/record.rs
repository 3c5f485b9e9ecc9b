//! The records of the journal, as they stand on disk.
//!
//! Bodies are written in postcard's wire format: a variant by its place, integers by their length.
//! So variants are only ever added, at the end and with a new [`FORMAT`]; a field more is another
//! variant. Instants are milliseconds of the monotonic clock of the boot that the last
//! [`Started`] names; wall clocks are milliseconds since 1970, to date statements with, and no
//! amount follows from them. Rates count 10⁻¹² currency units per second, amounts 10⁻¹⁵ currency
//! units.

use std::net::IpAddr;

use charging_model::{Part, Parts, Rate};
use rsvp_wire::object::{Filter, FilterSpec, Session};
use rsvp_wire::{DecodeError, EncodeObject, RawObject};
use serde::{Deserialize, Serialize};

use crate::purse::{Holder, Terms, amount_text};

/// Version of the journal: of its frames and of these records. 2 has [`Body::Operator`],
/// [`Body::Exchange`] and [`Cause::Exhausted`], 3 has [`Body::Bill`], 4 [`Body::Arises`],
/// 5 [`Body::Outage`], [`Body::Granted`] and [`Body::Refund`].
pub const FORMAT: u16 = 5;

/// A record: what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// A daemon started. Whatever ran before stopped at the last instant that was proved.
    Started(Started),
    /// All that runs was still approved at this instant, which proves it.
    Alive(Stamp),
    /// A flow gets a number; all records of it carry that, until the next [`Started`].
    Flow(Flow),
    /// A next hop approved a rate: its consent opens, or changes.
    Consent(Consent),
    /// This node approved a rate of its previous hop.
    Offer(Offer),
    /// A meter runs at another rate from now on.
    Runs(Runs),
    /// Time after an approval had lapsed, billed when the payer came back (charging.md T3).
    Gap(Gap),
    /// A next hop's consent ended.
    Closed(Closed),
    /// The daemon stopped in order: what ran stopped now.
    Stopped(Stamp),
    /// A key signs from here on; signed by the key before it, if there was one.
    Key(Key),
    /// The hash of the record before this one, signed.
    Head(Head),
    /// A contra entry: a part of a posting is given back.
    Contra(Contra),
    /// A posting is disputed, or no longer so.
    Dispute(Dispute),
    /// A period ended: what it holds is billed, and its files may be put away.
    Period(Period),
    /// An operator did something.
    Operator(Operator),
    /// A rate that this node approved upstream, in the currency of the previous hop.
    Exchange(Exchange),
    /// A bill or a credit note was issued.
    Bill(Box<Bill>),
    /// Where what is paid arises, as it was told.
    Arises(Arises),
    /// What was reserved is not in place, or is again.
    Outage(Outage),
    /// What is given back for outages was agreed on.
    Granted(Granted),
    /// Contra entries by a grant: a part of what a meter came to is given back.
    Refund(Refund),
}

/// A daemon started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Name of the node, by configuration or that of its host.
    pub node: String,
    /// Name and version of the program.
    pub program: String,
    /// The boot that instants from here on belong to.
    pub boot: [u8; 16],
    /// Currency of all amounts, ISO 4217 numeric.
    pub currency: u16,
    /// How long a posting stays provisional after an orderly end, in milliseconds (T10).
    pub hold_ms: u64,
    /// Both clocks.
    pub stamp: Stamp,
}

/// An instant by both clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// By the monotonic clock.
    pub at_ms: u64,
    /// By the wall clock.
    pub wall_ms: u64,
}

/// A neighbour on one of our links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Neighbour {
    /// Index of our interface.
    pub interface: u32,
    /// Its address there.
    pub address: IpAddr,
}

/// A customer of a neighbour, as ACCOUNT names it (charging.md section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId {
    /// `id_type`.
    pub kind: u8,
    /// The identifier.
    pub id: Box<[u8]>,
}

/// A flow: one sender of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its number.
    pub flow: u64,
    /// The SESSION object as it travels, header included.
    pub session: Box<[u8]>,
    /// The sender as a FILTER_SPEC object, header included.
    pub sender: Box<[u8]>,
}

impl Flow {
    /// The record that gives a sender of a session its number.
    #[must_use]
    pub fn new(flow: u64, session: Session, sender: Filter) -> Self {
        Self { flow, session: object(&session.key()), sender: object(&FilterSpec(sender)) }
    }

    /// The session.
    ///
    /// # Errors
    /// What is written is no SESSION.
    pub fn session(&self) -> Result<Session, DecodeError> {
        Session::decode(&RawObject::parse(&self.session)?)
    }

    /// The sender.
    ///
    /// # Errors
    /// What is written is no FILTER_SPEC.
    pub fn sender(&self) -> Result<Filter, DecodeError> {
        Ok(FilterSpec::decode(&RawObject::parse(&self.sender)?)?.0)
    }
}

/// An object as it travels.
fn object(object: &impl EncodeObject) -> Box<[u8]> {
    let mut bytes = vec![0; object.encoded_len()];
    // There is room for exactly this.
    let _ = object.encode(&mut bytes);
    bytes.into()
}

/// A payer's consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// When it was given.
    pub at_ms: u64,
    /// For which flow.
    pub flow: u64,
    /// By whom.
    pub payer: Neighbour,
    /// The account that it named.
    pub account: AccountId,
    /// The most that may be debited.
    pub ceiling: u64,
    /// Epoch of the price that it answers.
    pub epoch: u32,
    /// Sequence of the UCPE.
    pub sequence: u32,
    /// Instance of the reservation.
    pub instance: u32,
    /// Version of the tariff by which the link was priced; exclusive or that of the split by which
    /// it carries a part of what the previous hop charges, where that is not the equal one.
    pub tariff: u32,
    /// First half of the SHA-256 of the message that brought it.
    pub digest: [u8; 16],
}

/// What this node approved upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// When.
    pub at_ms: u64,
    /// For which flow.
    pub flow: u64,
    /// Whom it pays.
    pub payee: Neighbour,
    /// The most that may be debited.
    pub ceiling: u64,
    /// Epoch of the price that it answers.
    pub epoch: u32,
    /// Sequence of the UCPE.
    pub sequence: u32,
    /// Instance of the reservation.
    pub instance: u32,
}

/// Which of the payments between a flow and its neighbours a meter measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Payment {
    /// RP of a next hop, which we are paid and meter.
    ReceiverIn,
    /// SP of the previous hop, which we are paid and meter.
    SenderIn,
    /// SP to a next hop, which meters it: ours is a shadow.
    SenderOut,
    /// RP to the previous hop, which meters it: ours is a shadow.
    ReceiverOut,
}

/// A meter: one of a flow's payments, with one neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Meter {
    /// Of which flow.
    pub flow: u64,
    /// Which payment.
    pub payment: Payment,
    /// With whom.
    pub neighbour: Neighbour,
}

/// A meter turns to another rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// From when on; for a lapse its instant, which may lie before that of the record before.
    pub at_ms: u64,
    /// Which one.
    pub meter: Meter,
    /// Rate, 0 if it stops.
    pub rate: u64,
    /// Why.
    pub cause: Cause,
}

/// Why a meter turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// What is charged changed: a join, a leave, a price, a share, a consent, ESTABLISHED.
    Terms,
    /// The approval ended without being given again (t + H).
    Lapsed,
    /// The reservation or the sender is gone.
    Ended,
    /// The payer's money was used up.
    Exhausted,
}

/// A gap that was billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Of which meter.
    pub meter: Meter,
    /// When the approval had lapsed.
    pub from_ms: u64,
    /// When it was given again.
    pub to_ms: u64,
    /// The lower of the rates before and after.
    pub rate: u64,
}

/// A consent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at_ms: u64,
    /// For which flow.
    pub flow: u64,
    /// Whose.
    pub payer: Neighbour,
    /// Torn down in order; otherwise timed out or refused.
    pub orderly: bool,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The public key, Ed25519.
    pub public: [u8; 32],
    /// The previous key's signature of it, in two halves; zeros for the first key.
    pub signature: [[u8; 32]; 2],
}

/// A signed head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Signature of the number of this record and the hash before it, in two halves.
    pub signature: [[u8; 32]; 2],
    /// By the wall clock, in milliseconds.
    pub wall_ms: u64,
}

/// A contra entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contra {
    /// Number of the record that opened the posting which is corrected.
    pub of: u64,
    /// What is given back, in ledger units; at most what the posting came to.
    pub amount: u128,
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// By the wall clock, in milliseconds.
    pub wall_ms: u64,
}

/// A dispute opens or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Number of the record that opened the posting.
    pub of: u64,
    /// Opened; otherwise resolved.
    pub open: bool,
    /// Who said so.
    pub by: String,
    /// Why, or how it was resolved.
    pub reason: String,
    /// By the wall clock, in milliseconds.
    pub wall_ms: u64,
}

/// A period ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Number of the period, without gaps from 1.
    pub number: u64,
    /// Both clocks.
    pub stamp: Stamp,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operator {
    /// Who.
    pub by: Actor,
    /// By the wall clock, in milliseconds.
    pub wall_ms: u64,
    /// What.
    pub action: Action,
}

/// Who gave an order, as the kernel knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Number of the user.
    pub uid: u32,
    /// Name of the user at that time; empty if it had none.
    pub name: String,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// An account is opened, or one that was closed anew. What is paid from here on is charged to
    /// it.
    Open {
        /// Whose.
        holder: Holder,
        /// On which terms.
        terms: Terms,
    },
    /// Its holder paid in.
    Credit {
        /// Whose account.
        holder: Holder,
        /// How much, in ledger units.
        amount: u128,
        /// Why, or by which payment.
        reason: String,
    },
    /// Other terms hold.
    Agree {
        /// Whose account.
        holder: Holder,
        /// The new ones, as a whole.
        terms: Terms,
    },
    /// An account that nobody uses is closed.
    Close {
        /// Whose account.
        holder: Holder,
        /// Why.
        reason: String,
    },
    /// Anything else that changes what this node does: a price, a refresh period.
    Did(String),
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open { holder, terms } => write!(f, "opened account {holder}: {}", terms.words()),
            Self::Credit { holder, amount, reason } => {
                let amount = amount_text(i128::try_from(*amount).unwrap_or(i128::MAX));
                write!(f, "credited account {holder} with {amount}: {reason}")
            }
            Self::Agree { holder, terms } => {
                write!(f, "changed account {holder}: {}", terms.words())
            }
            Self::Close { holder, reason } => write!(f, "closed account {holder}: {reason}"),
            Self::Did(what) => f.write_str(what),
        }
    }
}

/// What was approved upstream at a border between currencies: at which rate of exchange, by which
/// version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// When.
    pub at_ms: u64,
    /// For which flow.
    pub flow: u64,
    /// Whom it pays.
    pub payee: Neighbour,
    /// The payee's currency, ISO 4217 numeric.
    pub currency: u16,
    /// Version of the rate of exchange.
    pub version: u32,
    /// So much of our currency
    pub ours: u64,
    /// is so much of the payee's.
    pub theirs: u64,
    /// What is approved, in our currency: no more than `foreign_rate` comes to.
    pub rate: u64,
    /// What the payee debits, in its currency.
    pub foreign_rate: u64,
}

/// Numbers that are counted together, from 1 and without gaps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Series {
    /// They begin with it.
    pub prefix: String,
    /// The year in which they are issued.
    pub year: u16,
    /// Credit notes; otherwise bills.
    pub credit: bool,
}

/// What a bill is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BillOf {
    /// All that its holder's last bill did not have, up to the end of this period.
    Period(u64),
    /// A credit note, about what was given back of an earlier bill.
    Credit {
        /// Number of the record that issued that bill.
        bill: u64,
        /// Contra entries up to this record.
        through: u64,
    },
}

/// A tax on a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taxed {
    /// Its name.
    pub name: String,
    /// Its rate in parts per million of the net amount.
    pub ppm: u32,
    /// How much, in the smallest unit of the currency.
    pub amount: i128,
}

/// A bill or a credit note; amounts are negative where we owe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The series of its number.
    pub series: Series,
    /// Its number there; 0 where nothing is to be paid yet: then all is carried on.
    pub number: u64,
    /// Whose.
    pub holder: Holder,
    /// What it is about.
    pub of: BillOf,
    /// Digits of the currency behind the point.
    pub digits: u8,
    /// The exact sum, in ledger units.
    pub exact: i128,
    /// What the last one left over, in ledger units.
    pub carried_in: i128,
    /// Both, rounded half to even to the smallest unit of the currency.
    pub net: i128,
    /// What is left over, in ledger units.
    pub carried_out: i128,
    /// Taxes on the net amount.
    pub taxes: Vec<Taxed>,
    /// Net and taxes.
    pub gross: i128,
    /// Who issues it, in lines.
    pub issuer: String,
    /// Who ordered it.
    pub by: String,
    /// When, by the wall clock in milliseconds.
    pub wall_ms: u64,
}

impl std::fmt::Display for Bill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Series { prefix, year, credit } = &self.series;
        let letter = if *credit { "C" } else { "" };
        write!(f, "{prefix}-{year}-{letter}{:06}", self.number)
    }
}

/// Where what is paid from here on arises, as far as the hops told (HOP_RECORD): to the next hop that
/// pays, or by the previous hop that is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arises {
    /// When it was told.
    pub at_ms: u64,
    /// Which payment it is about.
    pub meter: Meter,
    /// Parts of the total charge in path order: whose, `None` for hops that did not tell, and how
    /// much. They add up to that charge, of which the receivers pay what no sender covers.
    pub parts: Vec<(Option<IpAddr>, u64)>,
}

impl Arises {
    /// The same parts of a rate that is paid, in whole units that add up to it.
    #[must_use]
    pub fn of_rate(&self, rate: u64) -> Vec<(Option<IpAddr>, u64)> {
        let part = |(hop, rate): &(Option<IpAddr>, u64)| Part { hop: *hop, rate: Rate(*rate) };
        let total = self.parts.iter().fold(0, |total: u64, (_, rate)| total.saturating_add(*rate));
        let parts = Parts::of(Rate(total), self.parts.iter().map(part));
        parts.carried(Rate(rate)).iter().map(|part| (part.hop, part.rate.0)).collect()
    }
}

/// What a next hop reserved is not in place end to end, or is again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// When that was noticed.
    pub at_ms: u64,
    /// The last instant at which it was known to stand.
    pub from_ms: u64,
    /// For which flow.
    pub flow: u64,
    /// Whose reservation.
    pub payer: Neighbour,
    /// Why.
    pub why: Interruption,
    /// It stands again, or its payer ended it.
    pub over: bool,
}

/// Why a reservation was not in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interruption {
    /// The previous hop was not heard.
    Silent,
    /// The previous hop says that the path above it does not stand.
    Withdrawn,
    /// A hop above gave up what it had admitted.
    Refused,
    /// The previous hop is another one.
    Moved,
    /// The data goes out to the next hop no more.
    Unrouted,
    /// It gave way to a reservation of higher priority.
    Preempted,
    /// The node slept.
    Slept,
}

impl Interruption {
    /// Its name in exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
            Self::Moved => "moved",
            Self::Unrouted => "unrouted",
            Self::Preempted => "preempted",
            Self::Slept => "slept",
        }
    }
}

/// A next hop accepted, with its consent, what it is granted for outages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// When.
    pub at_ms: u64,
    /// For which flow.
    pub flow: u64,
    /// Who accepted it.
    pub payer: Neighbour,
    /// The policy of the REFUND TLV (charging.md section 5.1): 0 none, 1 pro rata, 2 free if short.
    pub policy: u8,
    /// The threshold of policy 2.
    pub threshold_ms: u64,
}

/// A part of what a meter came to last is given back by what was granted: of its newest postings
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// When.
    pub at_ms: u64,
    /// Of which meter.
    pub meter: Meter,
    /// For how many milliseconds.
    pub ms: u64,
    /// How much, in ledger units; at most what is left of its postings.
    pub amount: u128,
    /// Why.
    pub why: Interruption,
}
