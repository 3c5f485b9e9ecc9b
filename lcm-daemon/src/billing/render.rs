//! Statements as text, JSON and CSV.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::Serialize;

use super::{Document, Funds, PaidIn, RefundLine, Statement, Total};
use crate::purse::amount_text;

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// An instant of the wall clock, UTC.
#[must_use]
pub(super) fn instant(ms: u64) -> String {
    let (day, of_day) = (ms / 1_000 / DAY_S, ms / 1_000 % DAY_S);
    let (year, month, of_month) = crate::purse::date(day);
    let (h, m, s) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{of_month:02} {h:02}:{m:02}:{s:02}.{:03} UTC", ms % 1_000)
}

/// A span of time.
#[must_use]
pub(super) fn span(ms: u64) -> String {
    let s = ms / 1_000;
    format!("{}:{:02}:{:02}.{:03}", s / 3_600, s / 60 % 60, s % 60, ms % 1_000)
}

/// The day of an instant, UTC.
#[must_use]
pub fn day(ms: u64) -> String {
    let (year, month, of_month) = crate::purse::date(ms / 1_000 / DAY_S);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// A count of the currency's smallest unit.
#[must_use]
pub fn money(amount: i128, digits: u32) -> String {
    let unit = 10_u128.pow(digits);
    let (sign, amount) = (if amount < 0 { "-" } else { "" }, amount.unsigned_abs());
    match digits {
        0 => format!("{sign}{amount}"),
        _ => {
            let width = usize::try_from(digits).unwrap_or(0);
            format!("{sign}{}.{:0width$}", amount / unit, amount % unit)
        }
    }
}

pub(super) fn title(statement: &Statement) -> String {
    if let Some(document) = &statement.document {
        let Document { number, kind, corrects, issued_ms, .. } = document;
        let what = if *kind == "bill" { "Bill" } else { "Credit note" };
        let of = corrects.as_ref().map_or(String::new(), |bill| format!(" on bill {bill}"));
        let (account, node, issued) = (&statement.account, &statement.node, day(*issued_ms));
        return format!("{what} {number}{of} of {issued} to {account} by {node}");
    }
    let what = if statement.provisional { "Provisional statement" } else { "Statement" };
    let period = statement.period.map_or(String::new(), |number| format!(", period {number}"));
    format!("{what} of {} by {}{period}", statement.account, statement.node)
}

/// The lines that say who issued it.
pub(super) fn issuer(statement: &Statement) -> &[String] {
    statement.document.as_ref().map(|document| document.issuer.as_slice()).unwrap_or_default()
}

pub(super) fn extent(statement: &Statement) -> String {
    let from = match statement.from_ms {
        0 => "the beginning".to_owned(),
        ms => instant(ms),
    };
    format!("from {from} to {}", instant(statement.to_ms))
}

/// As people read it in a terminal.
#[must_use]
pub fn text(statement: &Statement, total: &Total) -> String {
    let mut out = String::new();
    // A String takes whatever is written to it.
    let _ = write_text(&mut out, statement, total);
    out
}

fn write_text(out: &mut String, statement: &Statement, total: &Total) -> std::fmt::Result {
    let Statement { currency, digits, .. } = statement;
    for line in issuer(statement) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", title(statement))?;
    writeln!(out, "{}; record {} of its journal\n", extent(statement), statement.through_record)?;
    for line in &statement.sessions {
        writeln!(out, "session {}  {}", line.session, span(line.ms))?;
        let parts = [
            ("receivers' share", line.receiver),
            ("sender's share", line.sender),
            ("owed to you", line.ours),
            ("refunds", line.refunds),
        ];
        for (name, amount) in parts.iter().filter(|(_, amount)| *amount != 0) {
            writeln!(out, "  {name:<18} {:>24}", amount_text(*amount))?;
        }
        for flow in &line.flows {
            writeln!(out, "  sender {}  {}", flow.sender, span(flow.ms))?;
            for s in &flow.segments {
                writeln!(
                    out,
                    "    {:<8} {}  {:>14}  {:<12} {:>20}/s {:>24}  {}, {}",
                    format!("#{}", s.record),
                    instant(s.from_ms),
                    span(s.ms),
                    s.payment,
                    rate(s.rate),
                    amount_text(s.amount),
                    s.began,
                    s.ended
                )?;
            }
            for refund in &flow.returned {
                let amount = amount_text(refund.amount);
                let record = format!("#{}", refund.record);
                writeln!(out, "    {record:<8} {:<81} {amount:>24}", given_back(refund))?;
            }
            if let Some(arose) = &flow.arose {
                writeln!(
                    out,
                    "    of all that was paid for this flow here, {}: {} passed on, {} for this hop",
                    amount_text(arose.received),
                    amount_text(arose.passed_on),
                    amount_text(arose.here)
                )?;
                for sum in &arose.hops {
                    let (hop, amount) = (hop(sum.hop), amount_text(sum.amount));
                    writeln!(out, "    arose at {hop:<46} {amount:>24}")?;
                }
            }
        }
        writeln!(out, "  {:<18} {:>24}\n", "sum", amount_text(line.total))?;
    }
    for line in &statement.disputed {
        for (name, amount) in [("not in the sum", line.amount), ("on an earlier one", line.earlier)]
        {
            if amount != 0 {
                let (record, amount) = (line.record, amount_text(amount));
                writeln!(out, "disputed, {name}: posting {record}, {amount}: {}", line.reason)?;
            }
        }
    }
    let exact = |name: &str, amount| format!("{name:<20} {:>24}", amount_text(amount));
    writeln!(out, "{}", exact("exact", total.exact))?;
    if statement.document.is_some() || total.carried_in != 0 {
        writeln!(out, "{}", exact("carried from before", total.carried_in))?;
    }
    let due = |name: &str, amount| format!("{name:<20} {:>24}", money(amount, *digits));
    writeln!(out, "{} {currency}", due("net", total.net))?;
    for line in &total.taxes {
        let name = format!("{} {}", line.tax.name, percent(line.tax.ppm));
        writeln!(out, "{} {currency}", due(&name, line.amount))?;
    }
    if total.from_account != 0 {
        writeln!(out, "{} {currency}", due("gross", total.gross))?;
        writeln!(out, "{} {currency}", due("from the account", -total.from_account))?;
    }
    writeln!(out, "{} {currency}", due("to pay", total.to_pay))?;
    // A bill is followed by another one, a statement by none.
    let left = if statement.document.is_some() { "carried on" } else { "left over" };
    writeln!(out, "{}", exact(left, total.carried_out))?;
    let Some(funds) = &statement.funds else { return Ok(()) };
    writeln!(out, "\n{}", account(funds))?;
    writeln!(out, "  {}", exact("balance before", funds.before))?;
    for paid in &funds.paid_in {
        let line = exact("paid in", paid.amount);
        writeln!(out, "  {line}  {} {}", instant(paid.at_ms), paid.reason)?;
    }
    for (name, amount) in [("charged", funds.charged), ("given back", funds.returned)] {
        if amount != 0 {
            writeln!(out, "  {}", exact(name, amount))?;
        }
    }
    writeln!(out, "  {}", exact("balance", funds.after))
}

/// What a line says that gives something back.
pub(super) fn given_back(refund: &RefundLine) -> String {
    let when = refund.at_ms.map_or_else(String::new, |at_ms| format!("{}, ", instant(at_ms)));
    format!("{when}given back of {}", refund.payment)
}

/// The name of a hop, or of those that do not tell.
pub(super) fn hop(hop: Option<IpAddr>) -> String {
    hop.map_or_else(|| "hops not told".to_owned(), |hop| hop.to_string())
}

/// What kind of an account it is.
pub(super) fn account(funds: &Funds) -> String {
    let closed = if funds.closed { ", closed" } else { "" };
    let limit = match funds.credit_limit {
        0 => String::new(),
        limit => format!(", may owe {}", amount_text(limit)),
    };
    format!("account, {}{limit}{closed}", funds.kind)
}

pub(super) fn rate(rate: u64) -> String {
    amount_text(i128::from(rate) * 1_000)
}

pub(super) fn percent(ppm: u32) -> String {
    let (whole, part) = (ppm / 10_000, ppm % 10_000);
    if part == 0 {
        return format!("{whole} %");
    }
    let part = format!("{part:04}");
    format!("{whole}.{} %", part.trim_end_matches('0'))
}

#[derive(Serialize)]
struct Whole<'a> {
    statement: &'a Statement,
    total: &'a Total,
}

/// For programs. Amounts are text: counts of 10⁻¹⁵ currency units, and of the smallest unit in
/// `net`, `gross`, `from_account`, `to_pay` and the taxes.
#[must_use]
pub fn json(statement: &Statement, total: &Total) -> String {
    let text = serde_json::to_string_pretty(&Whole { statement, total });
    text.unwrap_or_default() + "\n"
}

/// A line per segment, flow or session, as detailed as the statement is; amounts in 10⁻¹⁵ currency
/// units.
#[must_use]
pub fn csv(statement: &Statement, total: &Total) -> String {
    let mut out = String::from(
        "kind,session,sender,record,payment,from_ms,to_ms,ms,rate,receiver,shared,ours,refunds,\
         amount,began,ended\n",
    );
    // A String takes whatever is written to it.
    let _ = write_csv(&mut out, statement, total);
    out
}

fn write_csv(out: &mut String, statement: &Statement, total: &Total) -> std::fmt::Result {
    if let Some(Document { number, kind, issued_ms, .. }) = &statement.document {
        writeln!(out, "{kind},{},,,,{issued_ms},,,,,,,,,,", cell(number))?;
    }
    for line in &statement.sessions {
        let (name, ms) = (cell(&line.session), line.ms);
        let shares = [line.receiver, line.sender, line.ours, line.refunds, line.total];
        writeln!(out, "session,{name},,,,,,{ms},,{},,", joined(&shares))?;
        for flow in &line.flows {
            let (sender, ms) = (cell(&flow.sender), flow.ms);
            let shares = [flow.receiver, flow.shared, flow.ours, flow.refunds, flow.total];
            writeln!(out, "flow,{name},{sender},,,,,{ms},,{},,", joined(&shares))?;
            for s in &flow.segments {
                writeln!(
                    out,
                    "segment,{name},{sender},{},{},{},{},{},{},,,,,{},{},{}",
                    s.record,
                    s.payment,
                    s.from_ms,
                    s.to_ms,
                    s.ms,
                    s.rate,
                    s.amount,
                    s.began,
                    s.ended
                )?;
            }
            for RefundLine { record, payment, at_ms, amount, .. } in &flow.returned {
                let at_ms = at_ms.map_or_else(String::new, |at_ms| at_ms.to_string());
                let what = format!("{record},{payment},{at_ms}");
                writeln!(out, "refund,{name},{sender},{what},,,,,,,,{amount},,")?;
            }
            let Some(arose) = &flow.arose else { continue };
            for (kind, amount) in [
                ("arose_received", arose.received),
                ("arose_passed_on", arose.passed_on),
                ("arose_here", arose.here),
            ] {
                writeln!(out, "{kind},{name},{sender},,,,,,,,,,,{amount},,")?;
            }
            for sum in &arose.hops {
                let hop = sum.hop.map_or_else(String::new, |hop| hop.to_string());
                writeln!(out, "arose_at,{name},{sender},,{hop},,,,,,,,,{},,", sum.amount)?;
            }
        }
    }
    for line in &statement.disputed {
        let name = cell(&line.session);
        for (kind, amount) in [("disputed", line.amount), ("disputed_earlier", line.earlier)] {
            if amount != 0 {
                writeln!(out, "{kind},{name},,{},,,,,,,,,,{amount},,", line.record)?;
            }
        }
    }
    for (kind, amount) in
        [("exact", total.exact), ("carried_in", total.carried_in), ("net", total.net)]
    {
        writeln!(out, "{kind},,,,,,,,,,,,,{amount},,")?;
    }
    for line in &total.taxes {
        let name = cell(&format!("{} {}", line.tax.name, percent(line.tax.ppm)));
        writeln!(out, "tax,{name},,,,,,,,,,,,{},,", line.amount)?;
    }
    for (kind, amount) in [
        ("gross", total.gross),
        ("from_account", total.from_account),
        ("to_pay", total.to_pay),
        ("carried_out", total.carried_out),
    ] {
        writeln!(out, "{kind},,,,,,,,,,,,,{amount},,")?;
    }
    let Some(funds) = &statement.funds else { return Ok(()) };
    writeln!(out, "account_before,,,,,,,,,,,,,{},,", funds.before)?;
    for PaidIn { record, at_ms, amount, reason } in &funds.paid_in {
        writeln!(out, "paid_in,,,{record},,{at_ms},,,,,,,,{amount},{},", cell(reason))?;
    }
    for (kind, amount) in [
        ("account_charged", funds.charged),
        ("account_returned", funds.returned),
        ("account_after", funds.after),
    ] {
        writeln!(out, "{kind},,,,,,,,,,,,,{amount},,")?;
    }
    Ok(())
}

fn joined(amounts: &[i128]) -> String {
    amounts.iter().map(i128::to_string).collect::<Vec<_>>().join(",")
}

/// A cell of CSV (RFC 4180).
fn cell(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_dates_and_spans_are_written_out() {
        assert_eq!(
            (money(1_250, 2), money(-5, 2), money(7, 0)),
            ("12.50".into(), "-0.05".into(), "7".into())
        );
        assert_eq!(instant(951_782_400_123), "2000-02-29 00:00:00.123 UTC");
        assert_eq!(span(3_725_004), "1:02:05.004");
        assert_eq!((percent(190_000), percent(77_500)), ("19 %".into(), "7.75 %".into()));
        assert_eq!(cell("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
