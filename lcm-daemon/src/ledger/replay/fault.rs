//! What can be wrong with a sequence of records.

use std::fmt;

use crate::ledger::record::{Neighbour, Payment};
use crate::purse::amount_text;

/// The first record that cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub number: u64,
    /// The flow that it is about, if any.
    pub flow: Option<u64>,
    /// The neighbour that it is about, if any.
    pub neighbour: Option<Neighbour>,
    /// What is wrong.
    pub what: Wrong,
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}", self.number)?;
        if let Some(flow) = self.flow {
            write!(f, ", flow {flow}")?;
        }
        if let Some(Neighbour { interface, address }) = self.neighbour {
            write!(f, ", neighbour {address} on interface {interface}")?;
        }
        write!(f, ": {}", self.what)
    }
}

impl Wrong {
    /// What is wrong, and what to do, for who asked for such a record.
    #[must_use]
    pub fn advice(&self) -> String {
        let list = "`lcmctl ledger export --what postings` lists postings and their states";
        match self {
            Self::NoSuchPosting { of } => format!(
                "record {of} opened no posting that has ended: {list}; what still runs can be \
                 disputed when it has ended"
            ),
            Self::DisputedAlready { of } => {
                format!("posting {of} is disputed already: `lcmctl dispute resolve {of}` ends that")
            }
            Self::NotDisputed { of } => {
                format!("posting {of} is not disputed: {list}; to give back, use `lcmctl refund`")
            }
            Self::ContraTooLarge { of, amount, left } => {
                let text = |amount: u128| amount_text(i128::try_from(amount).unwrap_or(i128::MAX));
                let (amount, left) = (text(*amount), text(*left));
                format!(
                    "{amount} is more than what is left of posting {of}, {left}: name that, or all"
                )
            }
            Self::EmptyContra { of } => {
                format!("nothing is left of posting {of} that could be given back")
            }
            other => other.to_string(),
        }
    }
}

/// What is wrong with a record. Instants are milliseconds of the monotonic clock, rates 10⁻¹²
/// currency units per second, amounts 10⁻¹⁵ currency units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Numbers of bills have no gaps.
    BillNumber {
        /// What must have come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A bill takes up what the last one left over.
    BillCarried {
        /// Number of the record.
        number: u64,
    },
    /// The sums of a bill follow from its exact amount.
    BillSum {
        /// Number of the record.
        number: u64,
    },
    /// A bill is about periods that are closed, and not billed to this holder before.
    BillPeriod {
        /// Which it names.
        period: u64,
    },
    /// A credit note is about a bill of the same holder.
    NoSuchBill {
        /// The record that it names.
        record: u64,
    },
    /// Its number does not follow.
    Number {
        /// What must have come.
        expected: u64,
    },
    /// No daemon runs that could have written it.
    NotRunning,
    /// The currency of a journal never changes.
    Currency {
        /// That of the records before.
        before: u16,
        /// That of this one.
        now: u16,
    },
    /// A flow that no record since the daemon's start announced.
    UnknownFlow,
    /// Numbers of flows rise; this one does not.
    FlowReused {
        /// The highest so far.
        last: u64,
    },
    /// An instant before one that a record before it names or proves.
    Backwards {
        /// The instant.
        at_ms: u64,
        /// The later one.
        after_ms: u64,
    },
    /// A segment ends before it began.
    EndsBeforeItBegan {
        /// The end.
        at_ms: u64,
        /// The beginning.
        from_ms: u64,
    },
    /// Time that is billed already.
    BilledTwice {
        /// From when on it is billed now.
        from_ms: u64,
        /// Until when it was billed before.
        until_ms: u64,
    },
    /// A rate runs that the payer has no consent in force for, or this node no offer to the payee.
    NoConsent {
        /// Which payment.
        payment: Payment,
        /// The rate.
        rate: u64,
    },
    /// A rate above what was approved.
    AboveCeiling {
        /// Which payment.
        payment: Payment,
        /// The rate.
        rate: u64,
        /// The most that was approved.
        ceiling: u64,
    },
    /// A rate ran on after its approval had ended or been lowered.
    RanOn {
        /// Which payment.
        payment: Payment,
        /// When the approval ended.
        since_ms: u64,
        /// Until when the rate ran.
        until_ms: u64,
    },
    /// A gap without length.
    EmptyGap {
        /// Its beginning.
        from_ms: u64,
        /// Its end.
        to_ms: u64,
    },
    /// A gap that began before the instance of the reservation that is billed for it.
    GapBeforeInstance {
        /// When the gap began.
        from_ms: u64,
        /// When the instance did.
        since_ms: u64,
    },
    /// A gap at a higher rate than ran when the approval lapsed.
    GapTooDear {
        /// Its rate.
        rate: u64,
        /// What ran.
        most: u64,
    },
    /// The end of a consent that is not in force.
    NoConsentToClose,
    /// Periods are numbered without gaps.
    Period {
        /// What must have come.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// There is no posting that this record opened, or it came to nothing.
    NoSuchPosting {
        /// The record.
        of: u64,
    },
    /// A contra entry of nothing.
    EmptyContra {
        /// Of which posting.
        of: u64,
    },
    /// More is given back than is left of a posting.
    ContraTooLarge {
        /// Of which posting.
        of: u64,
        /// What is given back.
        amount: u128,
        /// What is left.
        left: u128,
    },
    /// More is given back than is left of all that a meter came to in this run.
    RefundTooLarge {
        /// What is given back.
        amount: u128,
        /// What is left.
        left: u128,
    },
    /// The posting is disputed already.
    DisputedAlready {
        /// Which posting.
        of: u64,
    },
    /// The posting is not disputed.
    NotDisputed {
        /// Which posting.
        of: u64,
    },
    /// An account is opened that is open.
    OpenAlready,
    /// An order about an account that is not open.
    NoSuchAccount,
    /// What is paid in, or agreed on, cannot be held.
    NotHeld,
    /// A sum that does not fit 127 bits.
    Overflow,
    /// A rate that is not what the payee's comes to, rounded down.
    Exchange {
        /// Ours.
        rate: u64,
        /// The payee's.
        foreign_rate: u64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number { expected } => write!(f, "record {expected} must come here"),
            Self::Exchange { rate, foreign_rate } => write!(
                f,
                "{rate} is approved where {foreign_rate} of the payee's currency are due, which do \
                 not come to that at the rate of exchange"
            ),
            Self::NotRunning => f.write_str(
                "no daemon ran here: the last start was followed by a stop, or is missing",
            ),
            Self::Currency { before, now } => write!(
                f,
                "the currency is {now} (ISO 4217), that of the records before is {before}; \
                 keep a directory for each currency"
            ),
            Self::UnknownFlow => f.write_str("no record since the last start announces the flow"),
            Self::FlowReused { last } => {
                write!(f, "numbers of flows must rise, and flow {last} came before")
            }
            Self::Backwards { at_ms, after_ms } => {
                write!(f, "its instant {at_ms} ms lies before {after_ms} ms, which came first")
            }
            Self::EndsBeforeItBegan { at_ms, from_ms } => {
                write!(f, "ends at {at_ms} ms what began at {from_ms} ms")
            }
            Self::BilledTwice { from_ms, until_ms } => {
                write!(f, "bills from {from_ms} ms on what is billed until {until_ms} ms already")
            }
            Self::NoConsent { payment, rate } => {
                let whose = approval(payment);
                write!(f, "{} runs at {rate} without {whose} in force", name(payment))
            }
            Self::AboveCeiling { payment, rate, ceiling } => write!(
                f,
                "{} runs at {rate}, above the {ceiling} of {}",
                name(payment),
                approval(payment)
            ),
            Self::RanOn { payment, since_ms, until_ms } => write!(
                f,
                "{} ran on until {until_ms} ms, though {} ended or was lowered at {since_ms} ms",
                name(payment),
                approval(payment)
            ),
            Self::EmptyGap { from_ms, to_ms } => {
                write!(f, "a gap from {from_ms} ms to {to_ms} ms has no length")
            }
            Self::GapBeforeInstance { from_ms, since_ms } => write!(
                f,
                "bills a gap from {from_ms} ms on, but the instance began at {since_ms} ms"
            ),
            Self::GapTooDear { rate, most } => {
                write!(f, "bills a gap at {rate}, above the {most} that ran before it")
            }
            Self::NoConsentToClose => f.write_str("ends a consent that is not in force"),
            Self::Period { expected, found } => {
                write!(f, "closes period {found} where period {expected} must come")
            }
            Self::NoSuchPosting { of } => {
                write!(f, "record {of} opened no posting that has come to anything by here")
            }
            Self::EmptyContra { of } => write!(f, "gives back nothing of posting {of}"),
            Self::ContraTooLarge { of, amount, left } => {
                write!(f, "gives back {amount} of posting {of}, of which {left} is left")
            }
            Self::RefundTooLarge { amount, left } => {
                write!(f, "gives back {amount} of a meter that came to no more than {left}")
            }
            Self::DisputedAlready { of } => write!(f, "posting {of} is disputed already"),
            Self::NotDisputed { of } => write!(f, "posting {of} is not disputed"),
            Self::BillNumber { expected, found } => {
                write!(f, "issues a bill with number {found} where {expected} must come")
            }
            Self::BillCarried { .. } => {
                f.write_str("issues a bill that does not carry on what the last one left over")
            }
            Self::BillSum { .. } => {
                f.write_str("issues a bill whose net amount, remainder and taxes are not its sum")
            }
            Self::BillPeriod { period } => {
                write!(f, "bills period {period}, which is billed or not closed")
            }
            Self::NoSuchBill { record } => {
                write!(f, "credits a bill that record {record} did not issue to this account")
            }
            Self::OpenAlready => f.write_str("opens an account that is open"),
            Self::NoSuchAccount => f.write_str("is about an account that is not open"),
            Self::NotHeld => f.write_str("pays in or agrees on what the account cannot hold"),
            Self::Overflow => f.write_str("a sum does not fit 127 bits"),
        }
    }
}

/// A payment as the columns of exports call it.
#[must_use]
pub fn name(payment: Payment) -> &'static str {
    match payment {
        Payment::ReceiverIn => "receiver_in",
        Payment::SenderIn => "sender_in",
        Payment::SenderOut => "sender_out",
        Payment::ReceiverOut => "receiver_out",
    }
}

fn approval(payment: Payment) -> &'static str {
    if payment == Payment::ReceiverOut { "our offer" } else { "the payer's consent" }
}
