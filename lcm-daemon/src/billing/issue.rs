//! Issuing bills and credit notes: numbers in turn, rounded once, what is left over carried on.
//!
//! What is issued is written to the journal before anybody sees its number, so a crash leaves no gap
//! and nothing twice: what is not in the journal was never issued, and is drawn again.

use std::collections::HashMap;
use std::path::Path;
use std::{error, fmt, io};

use super::book::{Book, Mismatch};
use super::{Refused, half_even};
use crate::config::{Billing, Currency};
use crate::ledger::journal::{AppendError, Journal, OpenError, Options};
use crate::ledger::record::{Bill, BillOf, Body, Series, Taxed};
use crate::ledger::replay::{Applied, Replay};
use crate::ledger::verify::{Expected, Unsound, Walk};
use crate::purse::Holder;

/// Exponent of ledger units.
const LEDGER_DIGITS: u32 = 15;

/// Bills that are written at once.
const BATCH: usize = 64;

/// Parts per million that make a whole.
const WHOLE: i128 = 1_000_000;

/// Why no bill is issued or shown.
#[derive(Debug)]
pub enum NotIssued {
    /// The journal is not sound.
    Unsound(Unsound),
    /// A bill in it says otherwise than the postings.
    Mismatch(Mismatch),
    /// The journal cannot be opened, or a daemon has it.
    Open(OpenError),
    /// A record cannot be appended.
    Append(AppendError),
    /// It cannot be made durable.
    Io(io::Error),
    /// There is no such bill.
    Unknown(String),
    /// Its lines cannot be told.
    Untold(Refused),
}

impl error::Error for NotIssued {}

impl fmt::Display for NotIssued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsound(unsound) => write!(f, "{unsound}; no bill is issued or shown"),
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::Open(error) => write!(f, "{error}; or ask the daemon that has it, with --socket"),
            Self::Append(error) => error.fmt(f),
            Self::Untold(refused) => refused.fmt(f),
            Self::Io(error) => {
                write!(f, "{error}; look with `lcmctl bill list` before you repeat it")
            }
            Self::Unknown(number) => write!(
                f,
                "there is no bill or credit note {number}: `lcmctl bill list` shows those there are"
            ),
        }
    }
}

impl From<Unsound> for NotIssued {
    fn from(unsound: Unsound) -> Self {
        Self::Unsound(unsound)
    }
}

/// A record of the journal, what it came to, and what stands behind it.
pub(super) struct Step<'a> {
    pub(super) number: u64,
    pub(super) body: &'a Body,
    pub(super) applied: &'a Applied,
    pub(super) replay: &'a Replay,
    pub(super) book: &'a Book,
}

/// Goes through a journal with a book of its bills; `look` sees each record, with what `begin` made
/// of what stands before the first.
pub(super) fn walk<S>(
    dir: &Path,
    focus: Option<Holder>,
    begin: impl FnOnce(&Walk) -> S,
    mut look: impl FnMut(&mut S, Step<'_>),
) -> Result<(Book, Replay, S), NotIssued> {
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut book = Book::new(walk.replay(), focus);
    let mut state = begin(&walk);
    while let Some((number, body, applied)) = walk.step()? {
        book.step(number, &body, &applied, walk.replay()).map_err(NotIssued::Mismatch)?;
        let (body, applied, replay) = (&body, &applied, walk.replay());
        look(&mut state, Step { number, body, applied, replay, book: &book });
    }
    Ok((book, walk.end()?.replay, state))
}

/// All bills of a journal, with what is not billed yet, and its books.
///
/// # Errors
/// As [`draw`].
pub fn bills(dir: &Path) -> Result<(Book, Replay), NotIssued> {
    let (book, replay, ()) = walk(dir, None, |_| (), |(), _| {})?;
    Ok((book, replay))
}

/// What is to be issued by now, numbered: bills for the periods that are closed, and credit notes.
///
/// # Errors
/// If the journal is not sound, or a bill in it says otherwise than the postings.
pub fn draw(
    dir: &Path,
    billing: &Billing,
    by: &str,
    wall_ms: u64,
) -> Result<(Vec<Bill>, Replay), NotIssued> {
    let (book, replay) = bills(dir)?;
    Ok((drawn(&book, &replay, billing, by, wall_ms), replay))
}

/// As [`draw`], of a book.
#[must_use]
pub fn drawn(book: &Book, replay: &Replay, billing: &Billing, by: &str, wall_ms: u64) -> Vec<Bill> {
    let currency = replay.currency().unwrap_or_default();
    let digits = Currency::from_numeric(currency).map_or(2, Currency::digits);
    let mut press = Press {
        replay,
        billing,
        by,
        wall_ms,
        digits: u8::try_from(digits).unwrap_or(2),
        last: HashMap::new(),
        carried: HashMap::new(),
    };
    let mut all = Vec::new();
    for (holder, period, exact) in book.to_bill() {
        let point_ms = book.period_end(period).unwrap_or(wall_ms);
        let taxes = billing.taxes(&holder.to_string(), currency, point_ms);
        all.push(press.print(holder, BillOf::Period(period), exact, taxes));
    }
    for (holder, record, amount) in book.to_credit() {
        let corrected = book.issued().iter().find(|issued| issued.record == record);
        let taxes = corrected.map(|issued| issued.bill.taxes.as_slice()).unwrap_or_default();
        let taxes = taxes.iter().map(|tax| (tax.name.clone(), tax.ppm)).collect();
        let of = BillOf::Credit { bill: record, through: replay.last() };
        let amount = i128::try_from(amount).unwrap_or(i128::MAX);
        all.push(press.print(holder, of, -amount, taxes));
    }
    all
}

/// Numbers and remainders as they go on.
struct Press<'a> {
    replay: &'a Replay,
    billing: &'a Billing,
    by: &'a str,
    wall_ms: u64,
    digits: u8,
    last: HashMap<Series, u64>,
    carried: HashMap<Holder, i128>,
}

impl Press<'_> {
    fn print(
        &mut self,
        holder: Holder,
        of: BillOf,
        exact: i128,
        taxes: Vec<(String, u32)>,
    ) -> Bill {
        let credit = matches!(of, BillOf::Credit { .. });
        let year = self.billing.year(self.wall_ms);
        let series = Series { prefix: self.billing.prefix.clone(), year, credit };
        let unit = 10_i128.pow(LEDGER_DIGITS.saturating_sub(self.digits.into()));
        let carried = self.carried.entry(holder.clone());
        let carried = carried.or_insert_with(|| self.replay.carried(&holder));
        let carried_in = *carried;
        let due = exact.saturating_add(carried_in);
        let net = half_even(due, unit);
        let carried_out = due - net * unit;
        *carried = carried_out;
        let taxed = |(name, ppm): (String, u32)| {
            let amount = half_even(net.saturating_mul(ppm.into()), WHOLE);
            Taxed { name, ppm, amount }
        };
        let taxes: Vec<Taxed> = taxes.into_iter().map(taxed).collect();
        let gross = net + taxes.iter().map(|tax| tax.amount).sum::<i128>();
        // What comes to nothing yet is carried on, and uses up no number.
        let number = if net == 0 && gross == 0 {
            0
        } else {
            let last = self.last.entry(series.clone());
            let last = last.or_insert_with(|| self.replay.last_bill(&series));
            *last = last.saturating_add(1);
            *last
        };
        Bill {
            series,
            number,
            holder,
            of,
            digits: self.digits,
            exact,
            carried_in,
            net,
            carried_out,
            taxes,
            gross,
            issuer: self.billing.issuer.join("\n"),
            by: self.by.to_owned(),
            wall_ms: self.wall_ms,
        }
    }
}

/// Issues what is to be issued by now, durably, while no daemon runs.
///
/// # Errors
/// If a daemon has the directory, the journal is not sound, or the disk fails.
pub fn issue(
    dir: &Path,
    billing: &Billing,
    by: &str,
    wall_ms: u64,
) -> Result<Vec<Bill>, NotIssued> {
    // Opening would begin a journal where there is none, and write into one that is not sound.
    let (mut all, replay) = draw(dir, billing, by, wall_ms)?;
    let mut journal = Journal::open(dir, Options::default()).map_err(NotIssued::Open)?;
    if journal.last().number != replay.last() {
        all = draw(dir, billing, by, wall_ms)?.0;
    }
    for some in all.chunks(BATCH) {
        for bill in some {
            journal.append(&Body::Bill(Box::new(bill.clone()))).map_err(NotIssued::Append)?;
        }
        journal.sync().map_err(NotIssued::Io)?;
    }
    Ok(all)
}
