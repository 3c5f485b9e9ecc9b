//! Statements and bills: what a customer or a neighbour owes, computed from the journal alone.
//!
//! ```text
//!  journal ─ ledger::verify::Walk ─▶ gather.rs: sessions, flows, segments of one holder in a span
//!                                        │  ├ pieces.rs: which period tells what
//!                                        │  └ funds.rs: what became of its account
//!                                        └─▶ sum.rs: rounded once, the remainder carried, tax
//!                                              └─▶ render.rs, html.rs: text, JSON, CSV, HTML
//! ```
//!
//! book.rs knows what is billed and what is not, issue.rs gives bills and credit notes their numbers,
//! and issued.rs draws one again as it was issued.
//!
//! settle.rs holds such a statement against the neighbour's own.
//!
//! A span is cut at instants of the wall clock. A segment that reaches over its end belongs to both
//! sides by the millisecond, so statements of adjacent spans add up to that of both. What a period
//! told stays told: what is posted later is dated after its end (pieces.rs).

mod book;
mod funds;
mod gather;
mod html;
mod issue;
mod issued;
mod lines;
mod pieces;
mod render;
mod settle;
mod sum;
#[cfg(test)]
mod tests;

pub use book::{Book, Draft, Issued, Mismatch, Row};
pub use gather::{Query, Refused, gather};
pub use html::html;
pub use issue::{NotIssued, bills, draw, drawn, issue};
pub use issued::issued;
pub use render::{csv, day, json, money, text};
pub use settle::{
    Claim, ClaimLine, Difference, Incomparable, Metered, Settlement, SignedClaim, believe, claim,
    reconcile, sign,
};
pub use sum::{Tax, TaxLine, Total, half_even, total};

use std::net::IpAddr;

use serde::Serialize;

/// What one holder owes for a span. Amounts are signed counts of 10⁻¹⁵ currency units, as text in
/// JSON: positive where the holder owes, negative where we do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Whose, as KIND:ID.
    pub account: String,
    /// The node that it comes from.
    pub node: String,
    /// Its currency.
    pub currency: String,
    /// Digits of the currency behind the point.
    pub digits: u32,
    /// The first instant, in milliseconds since 1970.
    pub from_ms: u64,
    /// The instant at which it ends.
    pub to_ms: u64,
    /// The period that it is about, if it is one.
    pub period: Option<u64>,
    /// It reaches beyond the last period that was closed: it may change.
    pub provisional: bool,
    /// What is billed, by session.
    pub sessions: Vec<SessionLine>,
    /// What is disputed: in no sum of this statement.
    pub disputed: Vec<Disputed>,
    /// What of the sum was charged to the holder's account, less what was given back to it.
    #[serde(with = "amount")]
    pub charged: i128,
    /// What became of that account; none if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub funds: Option<Funds>,
    /// Record of the journal up to which it was computed.
    pub through_record: u64,
    /// The bill or credit note that it is, if it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

/// What became of the holder's account in a span, whether it is billed or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Funds {
    /// `prepaid`, `postpaid` or `tokens`.
    pub kind: &'static str,
    /// What it may owe.
    #[serde(with = "amount")]
    pub credit_limit: i128,
    /// It was closed.
    pub closed: bool,
    /// Its balance when the span begins, or when it was opened.
    #[serde(with = "amount")]
    pub before: i128,
    /// What was paid in.
    pub paid_in: Vec<PaidIn>,
    /// What was charged, as a negative amount; also what is disputed.
    #[serde(with = "amount")]
    pub charged: i128,
    /// What was given back.
    #[serde(with = "amount")]
    pub returned: i128,
    /// Its balance when the span ends.
    #[serde(with = "amount")]
    pub after: i128,
}

/// What was paid in at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaidIn {
    /// The record that says so.
    pub record: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// How much.
    #[serde(with = "amount")]
    pub amount: i128,
    /// Why, or by which payment.
    pub reason: String,
}

/// What makes a statement a bill, or a credit note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Its number.
    pub number: String,
    /// `bill` or `credit_note`.
    pub kind: &'static str,
    /// The number of the bill that a credit note is about.
    pub corrects: Option<String>,
    /// When it was issued, in milliseconds since 1970.
    pub issued_ms: u64,
    /// Who issued it, in lines.
    pub issuer: Vec<String>,
}

/// What a session cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionLine {
    /// The session.
    pub session: String,
    /// For how long anything of it was billed, summed over its flows, in milliseconds.
    pub ms: u64,
    /// The receivers' share (RP).
    #[serde(with = "amount")]
    pub receiver: i128,
    /// The sender's share (SP).
    #[serde(with = "amount")]
    pub sender: i128,
    /// What we owe for it, as a negative amount.
    #[serde(with = "amount")]
    pub ours: i128,
    /// What was given back, as a negative amount.
    #[serde(with = "amount")]
    pub refunds: i128,
    /// The sum.
    #[serde(with = "amount")]
    pub total: i128,
    /// By flow; from detail 1 on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowLine>,
}

/// What a flow cost: one sender of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowLine {
    /// The sender.
    pub sender: String,
    /// For how long it was billed.
    pub ms: u64,
    /// The receivers' share (RP).
    #[serde(with = "amount")]
    pub receiver: i128,
    /// The sender's share (SP).
    #[serde(with = "amount")]
    pub shared: i128,
    /// What we owe, as a negative amount.
    #[serde(with = "amount")]
    pub ours: i128,
    /// What was given back, as a negative amount.
    #[serde(with = "amount")]
    pub refunds: i128,
    /// The sum.
    #[serde(with = "amount")]
    pub total: i128,
    /// Each rate that ran.
    pub segments: Vec<SegmentLine>,
    /// What was given back of which.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<RefundLine>,
    /// Where the charges of this flow arose; at detail 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arose: Option<Arose>,
}

/// A rate that ran for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentLine {
    /// Record of the journal that opened it.
    pub record: u64,
    /// Which payment.
    pub payment: &'static str,
    /// The rate, in 10⁻¹² currency units per second.
    pub rate: u64,
    /// From when on, by the wall clock in milliseconds.
    pub from_ms: u64,
    /// Until when.
    pub to_ms: u64,
    /// Its length.
    pub ms: u64,
    /// What it came to.
    #[serde(with = "amount")]
    pub amount: i128,
    /// Why the rate changed to this one.
    pub began: &'static str,
    /// Why it ended.
    pub ended: &'static str,
}

/// A part of a posting that was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefundLine {
    /// Record of the journal that opened the posting.
    pub record: u64,
    /// Which payment.
    pub payment: &'static str,
    /// The rate that ran, in 10⁻¹² currency units per second.
    pub rate: u64,
    /// Record that gave it back; none on a bill, which sums up what was given back by then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<u64>,
    /// When that was, by the wall clock in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// How much: negative where it went to the holder.
    #[serde(with = "amount")]
    pub amount: i128,
}

/// Where the charges of a flow arose, as far as this node knows: of all its customers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Arose {
    /// What all next hops and the sender's side paid here.
    #[serde(with = "amount")]
    pub received: i128,
    /// What of it was passed on to neighbours.
    #[serde(with = "amount")]
    pub passed_on: i128,
    /// The rest: this node's own price.
    #[serde(with = "amount")]
    pub here: i128,
    /// What of the holder's own payments by receivers arose where, as far as hops told it
    /// (HOP_RECORD), in path order; none where nobody asked. Refunds are in no part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<HopSum>,
}

/// What arose at a hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HopSum {
    /// The hop; none for all that do not tell, and times at which nothing was told.
    pub hop: Option<IpAddr>,
    /// How much: negative where we owe it.
    #[serde(with = "amount")]
    pub amount: i128,
}

/// A posting that is disputed, by the end of the span: the evidence stands in the journal under its
/// number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disputed {
    /// Record that opened it.
    pub record: u64,
    /// The session.
    pub session: String,
    /// What of it is on no statement or bill until it stands.
    #[serde(with = "amount")]
    pub amount: i128,
    /// What of it is on earlier ones, which stay as they are: what is given back is a later line.
    #[serde(with = "amount")]
    pub earlier: i128,
    /// Why it is disputed.
    pub reason: String,
}

/// Amounts as text: many readers of JSON would round them.
mod amount {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(amount: &i128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&amount.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<i128, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
