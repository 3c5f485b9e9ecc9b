//! Settlement between neighbours: our metering held against the other's, which was exchanged as a
//! signed statement.
//!
//! Who is paid meters, and that counts; who pays keeps a shadow of it. Both name flows alike, by
//! session and sender, so each difference points at a flow, and at the records of both journals
//! that it comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::gather::{Whose, gather_of};
use super::{Query, Refused};
use crate::ledger::keys::{self, KeyError};
use crate::ledger::sign::{PublicKey, hex, signed};
use crate::purse::Holder;

/// What is signed begins with this.
const TEXT: &[u8] = b"lcm settlement\0\0";

/// What a node metered between itself and a neighbour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The node that says so.
    pub node: String,
    /// The neighbour, as the node knows it.
    pub about: String,
    /// The currency.
    pub currency: String,
    /// From when on, in milliseconds since 1970.
    pub from_ms: u64,
    /// Until when.
    pub to_ms: u64,
    /// Each rate that ran.
    pub lines: Vec<ClaimLine>,
    /// What was given back, of these or of earlier ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<ClaimRefund>,
}

/// A rate that ran between the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimLine {
    /// The session.
    pub session: String,
    /// The sender.
    pub sender: String,
    /// Which payment, as the node sees it.
    pub payment: String,
    /// The record of its journal that opened it.
    pub record: u64,
    /// From when on.
    pub from_ms: u64,
    /// For how long.
    pub ms: u64,
    /// The rate, in 10⁻¹² currency units per second.
    pub rate: u64,
}

/// What was given back of a posting between the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRefund {
    /// The session.
    pub session: String,
    /// The sender.
    pub sender: String,
    /// Which payment, as the node sees it.
    pub payment: String,
    /// The record of its journal that opened the posting.
    pub record: u64,
    /// The rate that ran, in 10⁻¹² currency units per second.
    pub rate: u64,
    /// The record that gave it back.
    pub by: u64,
    /// How much, in 10⁻¹⁵ currency units.
    #[serde(with = "super::amount")]
    pub amount: i128,
}

/// A claim, signed by the key of the journal that it follows from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedClaim {
    /// What is claimed.
    pub claim: Claim,
    /// The key: 64 hexadecimal digits.
    pub public_key: String,
    /// The Ed25519 signature: 128 hexadecimal digits.
    pub signature: String,
}

/// A flow on which the two do not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The session.
    pub session: String,
    /// The sender.
    pub sender: String,
    /// Which payment, as we see it.
    pub payment: String,
    /// What we metered, and for how long, in which records.
    pub ours: Metered,
    /// What the neighbour did.
    pub theirs: Metered,
}

/// What one side metered of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Metered {
    /// The amount, in 10⁻¹⁵ currency units, before anything was given back.
    #[serde(with = "super::amount")]
    pub amount: i128,
    /// What was given back.
    #[serde(with = "super::amount")]
    pub returned: i128,
    /// The time, in milliseconds.
    pub ms: u64,
    /// Records that opened what it comes from, and that gave it back.
    pub records: Vec<u64>,
    #[serde(skip)]
    dearest: u64,
    /// The rates that ran, and times that something was given back.
    #[serde(skip)]
    lines: u64,
}

/// What two claims come to beside each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// What the neighbour owes us, by who is paid, in 10⁻¹⁵ currency units; negative where we owe.
    #[serde(with = "super::amount")]
    pub due: i128,
    /// What is taken off that because it was given back, by who is paid; negative where it is to us.
    #[serde(with = "super::amount")]
    pub returned: i128,
    /// Flows on which both agree, within the tolerance.
    pub agreed: usize,
    /// What they differ by in sum.
    #[serde(with = "super::amount")]
    pub within: i128,
    /// Those on which they do not.
    pub differences: Vec<Difference>,
}

/// What this node's journal says of a neighbour in a span.
///
/// # Errors
/// As [`gather`](super::gather::gather).
pub fn claim(dir: &Path, neighbour: IpAddr, query: &Query) -> Result<Claim, Refused> {
    let query = Query { holder: Holder::Neighbour(neighbour), detail: 1, ..query.clone() };
    let statement = gather_of(dir, &query, Whose::Address)?;
    let (mut lines, mut refunds) = (Vec::new(), Vec::new());
    for session in &statement.sessions {
        for flow in &session.flows {
            let line = |segment: &super::SegmentLine| ClaimLine {
                session: session.session.clone(),
                sender: flow.sender.clone(),
                payment: segment.payment.to_owned(),
                record: segment.record,
                from_ms: segment.from_ms,
                ms: segment.ms,
                rate: segment.rate,
            };
            lines.extend(flow.segments.iter().map(line));
            let refund = |refund: &super::RefundLine| ClaimRefund {
                session: session.session.clone(),
                sender: flow.sender.clone(),
                payment: refund.payment.to_owned(),
                record: refund.record,
                rate: refund.rate,
                by: refund.by.unwrap_or_default(),
                amount: refund.amount.saturating_abs(),
            };
            refunds.extend(flow.returned.iter().map(refund));
        }
    }
    Ok(Claim {
        node: statement.node,
        about: statement.account,
        currency: statement.currency,
        from_ms: statement.from_ms,
        to_ms: statement.to_ms,
        lines,
        refunds,
    })
}

/// Signs a claim with the key of the journal in `dir`.
///
/// # Errors
/// If the key cannot be used.
pub fn sign(dir: &Path, claim: Claim) -> Result<SignedClaim, KeyError> {
    let signer = keys::existing(dir)?;
    let signature = hex(&signer.sums(&text(&claim)).concat());
    Ok(SignedClaim { claim, public_key: hex(&signer.public()), signature })
}

fn text(claim: &Claim) -> Vec<u8> {
    let bytes = serde_json::to_vec(claim).unwrap_or_default();
    [TEXT, Sha256::digest(&bytes).as_slice()].concat()
}

/// The claim of a file, if the key that it names signed it, and is the one that is known.
///
/// # Errors
/// Why it is not believed.
pub fn believe(file: &str, known: Option<PublicKey>) -> Result<Claim, String> {
    let given: SignedClaim =
        serde_json::from_str(file).map_err(|error| format!("no signed statement: {error}"))?;
    let key = digits::<32>(&given.public_key).ok_or("its key is not 64 hexadecimal digits")?;
    let signature = digits::<64>(&given.signature).ok_or("its signature is not 128 digits")?;
    if known.is_some_and(|known| known != key) {
        return Err(format!(
            "signed by {}, not by the key that was asked for: has the neighbour changed its key? \
             Ask it over another way, then give --public-key",
            given.public_key
        ));
    }
    let (r, s) = signature.split_at(32);
    let halves = [r, s].map(|half| <[u8; 32]>::try_from(half).unwrap_or_default());
    if !signed(&key, &text(&given.claim), halves) {
        return Err("the signature is wrong: it was changed after it was signed".to_owned());
    }
    Ok(given.claim)
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let bytes = text.as_bytes();
    if bytes.len() != 2 * N || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let all: Option<Vec<u8>> = bytes.chunks(2).map(byte).collect();
    all?.try_into().ok()
}

/// The payment that the other side calls so.
fn mirrored(payment: &str) -> &str {
    match payment {
        "receiver_in" => "receiver_out",
        "receiver_out" => "receiver_in",
        "sender_in" => "sender_out",
        "sender_out" => "sender_in",
        other => other,
    }
}

/// Session, sender, and payment as we see it.
type Key = (String, String, String);

/// Why two claims cannot be held against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomparable {
    /// They are in different currencies: ours, theirs.
    Currency(String, String),
    /// They are about different spans, in milliseconds since 1970: ours, theirs.
    Span((u64, u64), (u64, u64)),
    /// A line of theirs ran for no time, which no meter writes: its record.
    Line(u64),
    /// They gave nothing back, or less, by a record: its number.
    Refund(u64),
    /// Sums are larger than any that can be owed.
    Overflow,
}

impl std::error::Error for Incomparable {}

impl fmt::Display for Incomparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Currency(ours, theirs) => {
                write!(f, "it is in {theirs}, our books are in {ours}")
            }
            Self::Span((from, to), (their_from, their_to)) => write!(
                f,
                "it is about {their_from} to {their_to} ms since 1970, and ours about {from} to \
                 {to}: draw both with the same --from and --to"
            ),
            Self::Line(record) => write!(
                f,
                "its line of record {record} ran for no time: ask the neighbour for another"
            ),
            Self::Refund(record) => write!(
                f,
                "its record {record} gives back nothing, or less: ask the neighbour for another"
            ),
            Self::Overflow => f.write_str(
                "its amounts are larger than any that can be owed: ask the neighbour for another",
            ),
        }
    }
}

/// Whether the other's claim can be held against ours.
fn comparable(ours: &Claim, theirs: &Claim) -> Result<(), Incomparable> {
    if theirs.currency != ours.currency {
        return Err(Incomparable::Currency(ours.currency.clone(), theirs.currency.clone()));
    }
    let span = |claim: &Claim| (claim.from_ms, claim.to_ms);
    if span(ours) != span(theirs) {
        return Err(Incomparable::Span(span(ours), span(theirs)));
    }
    if let Some(line) = theirs.lines.iter().find(|line| line.ms == 0) {
        return Err(Incomparable::Line(line.record));
    }
    match theirs.refunds.iter().find(|refund| refund.amount <= 0) {
        Some(refund) => Err(Incomparable::Refund(refund.by)),
        None => Ok(()),
    }
}

fn by_flow(claim: &Claim, ours: bool) -> Option<BTreeMap<Key, Metered>> {
    let mut flows: BTreeMap<Key, Metered> = BTreeMap::new();
    let seen = |payment: &str| if ours { payment } else { mirrored(payment) }.to_owned();
    for line in &claim.lines {
        let key = (line.session.clone(), line.sender.clone(), seen(&line.payment));
        let metered = flows.entry(key).or_default();
        let amount = i128::from(line.rate).checked_mul(line.ms.into())?;
        metered.amount = metered.amount.checked_add(amount)?;
        metered.ms = metered.ms.saturating_add(line.ms);
        metered.records.push(line.record);
        metered.dearest = metered.dearest.max(line.rate);
        metered.lines = metered.lines.saturating_add(1);
    }
    for refund in &claim.refunds {
        let key = (refund.session.clone(), refund.sender.clone(), seen(&refund.payment));
        let metered = flows.entry(key).or_default();
        metered.returned = metered.returned.checked_add(refund.amount)?;
        metered.records.push(refund.by);
        metered.dearest = metered.dearest.max(refund.rate);
        metered.lines = metered.lines.saturating_add(1);
    }
    Some(flows)
}

/// Holds two claims against each other. A flow on which they differ by no more than `tolerance_ms`
/// of its dearest rate, for each rate that ran, is agreed on: news take time to arrive. Both count
/// as we metered them, so that nobody widens the tolerance but by what is so. What was given back is
/// held against each other alike, but for what only who is paid gave.
///
/// # Errors
/// If the two are about different things, or theirs cannot be.
pub fn reconcile(
    ours: &Claim,
    theirs: &Claim,
    tolerance_ms: u64,
) -> Result<Settlement, Incomparable> {
    comparable(ours, theirs)?;
    settle(ours, theirs, tolerance_ms).ok_or(Incomparable::Overflow)
}

/// None if an amount is beyond all that can be owed.
fn settle(ours: &Claim, theirs: &Claim, tolerance_ms: u64) -> Option<Settlement> {
    let (own, mut other) = (by_flow(ours, true)?, by_flow(theirs, false)?);
    let mut settlement = Settlement::default();
    let mut pairs: Vec<(Key, Metered, Metered)> = Vec::new();
    for (key, metered) in own {
        let theirs = other.remove(&key).unwrap_or_default();
        pairs.push((key, metered, theirs));
    }
    pairs.extend(other.into_iter().map(|(key, theirs)| (key, Metered::default(), theirs)));
    for ((session, sender, payment), ours, theirs) in pairs {
        let (payee, payer, sign) = match payment.as_str() {
            "receiver_in" | "sender_in" => (&ours, &theirs, 1),
            _ => (&theirs, &ours, -1),
        };
        let due = payee.amount.checked_sub(payee.returned)?.checked_mul(sign)?;
        settlement.due = settlement.due.checked_add(due)?;
        let returned = payee.returned.checked_mul(sign)?;
        settlement.returned = settlement.returned.checked_add(returned)?;
        let tolerated = i128::from(ours.dearest).checked_mul(tolerance_ms.into())?;
        let tolerated = tolerated.checked_mul(ours.lines.into())?;
        let off = ours.amount.checked_sub(theirs.amount)?;
        // Who is paid may give back what the other knows nothing of, and not the other way round.
        let missing = payer.returned.checked_sub(payee.returned)?;
        if off.checked_abs()? <= tolerated && missing <= tolerated {
            settlement.agreed += 1;
            settlement.within = settlement.within.checked_add(off)?;
        } else {
            let difference = Difference { session, sender, payment, ours, theirs };
            settlement.differences.push(difference);
        }
    }
    Some(settlement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(payment: &str, ms: u64) -> Claim {
        let line = ClaimLine {
            session: "udp:192.0.2.1:5".to_owned(),
            sender: "192.0.2.2:4".to_owned(),
            payment: payment.to_owned(),
            record: 7,
            from_ms: 0,
            ms,
            rate: 10,
        };
        let words = || "x".to_owned();
        let lines = vec![line];
        let (from_ms, to_ms, refunds) = (0, 9_000, Vec::new());
        Claim { node: words(), about: words(), currency: words(), from_ms, to_ms, lines, refunds }
    }

    #[test]
    fn who_is_paid_counts_and_what_news_take_is_tolerated() {
        let (ours, theirs) = (claim("receiver_in", 1_000), claim("receiver_out", 1_005));
        let settled = reconcile(&ours, &theirs, 5).unwrap();
        assert_eq!((settled.due, settled.agreed, settled.within), (10_000, 1, -50));
        let settled = reconcile(&ours, &theirs, 4).unwrap();
        assert_eq!((settled.due, settled.differences.len()), (10_000, 1));
        // The other way round the neighbour is paid, and its metering counts.
        assert_eq!(reconcile(&theirs, &ours, 5).unwrap().due, -10_000);
        let nothing = Claim { lines: Vec::new(), ..ours.clone() };
        let settled = reconcile(&nothing, &theirs, 5).unwrap();
        assert_eq!(settled.differences[0].theirs.records, [7]);
    }

    fn returning(claim: Claim, amount: i128) -> Claim {
        let ClaimLine { session, sender, payment, record, rate, .. } = claim.lines[0].clone();
        let refund = ClaimRefund { session, sender, payment, record, rate, by: 9, amount };
        Claim { refunds: vec![refund], ..claim }
    }

    #[test]
    fn r009_what_is_given_back_is_taken_off_by_who_is_paid_and_by_nobody_else() {
        let (payee, payer) = (claim("receiver_in", 1_000), claim("receiver_out", 1_000));
        let given = |payee_gives: i128, payer_says: i128| {
            let some = |claim: &Claim, amount| match amount {
                0 => claim.clone(),
                amount => returning(claim.clone(), amount),
            };
            let (payee, payer) = (some(&payee, payee_gives), some(&payer, payer_says));
            let settled = reconcile(&payee, &payer, 5).unwrap();
            // The other side comes to the same.
            let other = reconcile(&payer, &payee, 5).unwrap();
            assert_eq!((other.due, other.returned), (-settled.due, -settled.returned));
            assert_eq!(other.agreed, settled.agreed);
            (settled.due, settled.returned, settled.agreed)
        };
        assert_eq!(given(0, 0), (10_000, 0, 1));
        assert_eq!(given(4_000, 4_000), (6_000, 4_000, 1));
        // An outage that the other saw some milliseconds longer.
        assert_eq!(given(4_000, 4_060), (6_000, 4_000, 1));
        assert_eq!(given(4_000, 0), (6_000, 4_000, 1), "by hand");
        assert_eq!(given(0, 4_000), (10_000, 0, 0), "whoever pays cannot take it off");
        assert_eq!(given(12_000, 0), (-2_000, 12_000, 1), "of an earlier span, too");
        let settled = reconcile(&payee, &returning(payer.clone(), 4_000), 5).unwrap();
        assert_eq!(settled.differences[0].theirs.records, [7, 9]);
        for amount in [0, -4_000] {
            let refused = reconcile(&payee, &returning(payer.clone(), amount), 5);
            assert_eq!(refused, Err(Incomparable::Refund(9)), "more would be due to them");
        }
        let file = serde_json::to_string(&returning(payee.clone(), 4_000)).unwrap();
        assert_eq!(serde_json::from_str::<Claim>(&file).unwrap(), returning(payee, 4_000));
    }

    /// The same claim with a line for which nothing, or next to nothing, is to be paid.
    fn padded(claim: &Claim, ms: u64, rate: u64) -> Claim {
        let mut padded = claim.clone();
        let line = ClaimLine { record: 8, ms, rate, ..claim.lines[0].clone() };
        padded.lines.push(line);
        padded
    }

    #[test]
    fn the_other_side_cannot_widen_the_tolerance() {
        let (ours, double) = (claim("receiver_out", 1_000), claim("receiver_in", 2_000));
        let refused = reconcile(&ours, &padded(&double, 0, u64::MAX), 1_000);
        assert_eq!(refused, Err(Incomparable::Line(8)));
        for rate in [1, 1_000_000] {
            let settled = reconcile(&ours, &padded(&double, 1, rate), 900).unwrap();
            assert_eq!((settled.agreed, settled.differences.len()), (0, 1), "{rate}");
        }
        let mut many = double.clone();
        many.lines =
            (0..20).map(|at| ClaimLine { from_ms: at, ms: 100, ..many.lines[0].clone() }).collect();
        assert_eq!(reconcile(&ours, &many, 900).unwrap().differences.len(), 1);
    }

    #[test]
    fn claims_about_other_spans_or_beyond_all_bounds_are_refused() {
        let (ours, theirs) = (claim("receiver_out", 1_000), claim("receiver_in", 1_000));
        let later = Claim { to_ms: 9_001, ..theirs.clone() };
        let refused = reconcile(&ours, &later, 0).unwrap_err();
        assert_eq!(refused, Incomparable::Span((0, 9_000), (0, 9_001)));
        assert!(refused.to_string().contains("the same --from and --to"));
        let francs = Claim { currency: "CHF".to_owned(), ..theirs.clone() };
        assert!(matches!(reconcile(&ours, &francs, 0), Err(Incomparable::Currency(..))));
        // Sums that no amount can hold are no sums.
        let (all, rate) = (u64::MAX, u64::MAX);
        let vast = |claim: Claim| {
            let line = ClaimLine { from_ms: 0, ms: all, rate, ..claim.lines[0].clone() };
            Claim { to_ms: all, lines: vec![line; 2], ..claim }
        };
        let unlimited = reconcile(&vast(ours), &vast(theirs), 0);
        assert_eq!(unlimited, Err(Incomparable::Overflow));
    }

    #[test]
    fn what_was_changed_or_signed_by_another_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sign(dir.path(), claim("receiver_in", 1)).is_err(), "there is no key");
        let options = crate::ledger::journal::Options::default();
        drop(crate::ledger::journal::Journal::open(dir.path(), options).unwrap());
        let signed = sign(dir.path(), claim("receiver_in", 1)).unwrap();
        let text = serde_json::to_string(&signed).unwrap();
        let key = digits::<32>(&signed.public_key);
        assert_eq!(believe(&text, key), Ok(signed.claim));
        assert!(believe(&text, Some([3; 32])).unwrap_err().contains("--public-key"));
        let changed = text.replace("\"ms\":1", "\"ms\":2");
        assert!(believe(&changed, key).unwrap_err().contains("changed after"));
        assert!(believe("{}", None).is_err());
    }
}
