//! A bill or credit note as it was issued, drawn from the journal again: the same each time.

use std::path::Path;

use super::book::Issued;
use super::gather::{Cut, Gathered, Whose};
use super::issue::{NotIssued, Step, bills, walk};
use super::sum::from_account;
use super::{Document, Query, Refused, Statement, Tax, TaxLine, Total};
use crate::ledger::record::{Bill, BillOf};
use crate::ledger::verify::Walk;

/// The bill or credit note of this number, with its lines: what was issued, to the unit.
///
/// # Errors
/// If there is none, or the journal does not come to what it says.
pub fn issued(dir: &Path, number: &str, detail: u8) -> Result<(Statement, Total), NotIssued> {
    let (book, _) = bills(dir)?;
    let of = |issued: &&Issued| issued.bill.number > 0 && issued.bill.to_string() == number;
    let unknown = || NotIssued::Unknown(number.to_owned());
    let wanted = book.issued().iter().find(of).ok_or_else(unknown)?;
    if wanted.put_away {
        return Err(NotIssued::Untold(Refused::PutAway));
    }
    let (record, bill) = (wanted.record, wanted.bill.clone());
    let corrects = match bill.of {
        BillOf::Period(_) => None,
        BillOf::Credit { bill: of, .. } => {
            let corrected = book.issued().iter().find(|issued| issued.record == of);
            corrected.filter(|issued| issued.bill.number > 0).map(|found| found.bill.to_string())
        }
    };
    let earlier = |issued: &&Issued| {
        issued.record < record
            && issued.bill.holder == bill.holder
            && matches!(issued.bill.of, BillOf::Period(_))
    };
    let before = book.issued().iter().rfind(earlier);
    let before = before.map(|issued| issued.bill.of);
    let holder = bill.holder.clone();
    let query = Query {
        holder: holder.clone(),
        from_ms: None,
        to_ms: None,
        period: None,
        provisional: false,
        // A credit note is about what was given back alone.
        detail: if bill.series.credit { detail.min(1) } else { detail },
    };
    let begin = |walk: &Walk| {
        (Some(Gathered::new(walk.flows(), walk.replay(), &query, Whose::Billed)), None)
    };
    let (_, _, (_, drawn)) = walk(dir, Some(holder), begin, |state, step| {
        let (gathered, drawn) = state;
        let Some(all) = gathered else { return };
        let Step { number, body, applied, replay, book } = step;
        all.take_record(replay, &query, number, body, applied);
        if number == record
            && let Some(mut all) = gathered.take()
        {
            all.take_running(replay, &query);
            let rows = book.issued().last().map(|issued| issued.rows.clone()).unwrap_or_default();
            let disputed = book.disputed(&query.holder);
            let end = |of: BillOf| match of {
                BillOf::Period(period) => all.ended_ms(period),
                BillOf::Credit { .. } => None,
            };
            let from_ms = before.and_then(end).unwrap_or(0);
            let cut = Cut::rows((from_ms, end(bill.of).unwrap_or(bill.wall_ms)), rows, disputed);
            *drawn = Some(all.named().map(|()| all.statement(&query, replay, &cut, false)));
        }
    })?;
    let mut statement = drawn.ok_or_else(unknown)?.map_err(NotIssued::Untold)?;
    statement.through_record = record;
    statement.document = Some(Document {
        number: bill.to_string(),
        kind: if bill.series.credit { "credit_note" } else { "bill" },
        corrects,
        issued_ms: bill.wall_ms,
        issuer: bill.issuer.lines().map(str::to_owned).collect(),
    });
    let total = total(&bill, &statement);
    if bill.series.credit {
        // It is about its bill's time.
        statement.funds = None;
    }
    Ok((statement, total))
}

/// The sums of a bill as they were written down.
#[must_use]
fn total(bill: &Bill, statement: &Statement) -> Total {
    let line = |tax: &crate::ledger::record::Taxed| TaxLine {
        tax: Tax { name: tax.name.clone(), ppm: tax.ppm },
        amount: tax.amount,
    };
    let due = bill.exact.saturating_add(bill.carried_in);
    let from_account = from_account(statement, due, bill.net);
    Total {
        exact: bill.exact,
        carried_in: bill.carried_in,
        net: bill.net,
        carried_out: bill.carried_out,
        taxes: bill.taxes.iter().map(line).collect(),
        gross: bill.gross,
        from_account,
        to_pay: bill.gross - from_account,
    }
}
