//! Statements as a page that prints well: one file, no scripts, nothing from outside.

use std::fmt::Write as _;

use super::render::{
    account, extent, given_back, hop, instant, issuer, money, percent, rate, span, title,
};
use super::{FlowLine, Funds, Statement, Total};
use crate::purse::amount_text;

/// How it looks; on paper a session is not torn apart, and headings are repeated on each page.
const STYLE: &str = "\
body{font:11pt/1.4 serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111}\
h1{font-size:1.4em;margin-bottom:.2em}\
h2{font-size:1.05em;margin:1.2em 0 .3em}\
table{border-collapse:collapse;width:100%;font-size:.9em}\
th,td{text-align:left;padding:.15em .5em;border-bottom:1px solid #ccc;vertical-align:top}\
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
.sum td{border-top:2px solid #111;font-weight:bold}\
.note{color:#444;font-size:.9em}\
.from{margin:0}\
@media print{@page{size:A4;margin:18mm}body{margin:0;max-width:none;font-size:10pt}\
thead{display:table-header-group}tr,section{break-inside:avoid}h2{break-after:avoid}}";

/// The page.
#[must_use]
pub fn html(statement: &Statement, total: &Total) -> String {
    let mut out = String::new();
    // A String takes whatever is written to it.
    let _ = page(&mut out, statement, total);
    out
}

fn page(out: &mut String, statement: &Statement, total: &Total) -> std::fmt::Result {
    let name = escaped(&title(statement));
    writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<title>{name}</title>\n<style>{STYLE}</style>\n</head>\n<body>")?;
    for line in issuer(statement) {
        writeln!(out, "<p class=\"from\">{}</p>", escaped(line))?;
    }
    writeln!(out, "<h1>{name}</h1>")?;
    let record = statement.through_record;
    writeln!(out, "<p>{}.</p>", escaped(&extent(statement)))?;
    writeln!(out, "<p class=\"note\">Computed from the journal up to record {record}.</p>")?;
    for line in &statement.sessions {
        writeln!(out, "<section>\n<h2>Session {}, {}</h2>", escaped(&line.session), span(line.ms))?;
        writeln!(out, "<table>\n<tbody>")?;
        for (name, amount) in [
            ("Receivers' share", line.receiver),
            ("Sender's share", line.sender),
            ("Owed to you", line.ours),
            ("Refunds", line.refunds),
        ] {
            if amount != 0 {
                row(out, "", name, &amount_text(amount))?;
            }
        }
        row(out, " class=\"sum\"", "Sum", &amount_text(line.total))?;
        writeln!(out, "</tbody>\n</table>\n</section>")?;
        for flow in &line.flows {
            flow_table(out, flow)?;
        }
    }
    if !statement.disputed.is_empty() {
        writeln!(out, "<h2>Disputed, and in no sum</h2>\n<table>\n<tbody>")?;
        for line in &statement.disputed {
            for (known, amount) in [("", line.amount), (", on an earlier one", line.earlier)] {
                if amount != 0 {
                    let name = format!("Posting {}{known}: {}", line.record, line.reason);
                    row(out, "", &name, &amount_text(amount))?;
                }
            }
        }
        writeln!(out, "</tbody>\n</table>")?;
    }
    totals(out, statement, total)?;
    writeln!(out, "</body>\n</html>")
}

fn row(out: &mut String, class: &str, name: &str, amount: &str) -> std::fmt::Result {
    let name = escaped(name);
    writeln!(out, "<tr{class}><td>{name}</td><td class=\"n\">{}</td></tr>", escaped(amount))
}

fn flow_table(out: &mut String, flow: &FlowLine) -> std::fmt::Result {
    writeln!(out, "<p>Sender {}, {}</p>", escaped(&flow.sender), span(flow.ms))?;
    writeln!(
        out,
        "<table>\n<thead><tr><th>Posting</th><th>From</th><th>Payment</th><th class=\"n\">For</th>\
         <th class=\"n\">Rate per second</th><th class=\"n\">Amount</th><th>Why it changed</th></tr>\
         </thead>\n<tbody>"
    )?;
    for s in &flow.segments {
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td>{}; {}</td></tr>",
            s.record,
            instant(s.from_ms),
            escaped(s.payment),
            span(s.ms),
            rate(s.rate),
            amount_text(s.amount),
            escaped(s.began),
            escaped(s.ended)
        )?;
    }
    for refund in &flow.returned {
        writeln!(
            out,
            "<tr><td>{}</td><td colspan=\"4\">{}</td><td class=\"n\">{}</td><td></td></tr>",
            refund.record,
            escaped(&given_back(refund)),
            amount_text(refund.amount)
        )?;
    }
    writeln!(out, "</tbody>\n</table>")?;
    if let Some(arose) = &flow.arose {
        writeln!(
            out,
            "<p class=\"note\">Of all that was paid for this flow here, {}: {} passed on, {} for this \
             hop.</p>",
            amount_text(arose.received),
            amount_text(arose.passed_on),
            amount_text(arose.here)
        )?;
        if !arose.hops.is_empty() {
            writeln!(out, "<table>\n<tbody>")?;
            for sum in &arose.hops {
                let name = format!("Arose at {}", hop(sum.hop));
                row(out, "", &name, &amount_text(sum.amount))?;
            }
            writeln!(out, "</tbody>\n</table>")?;
        }
    }
    Ok(())
}

fn totals(out: &mut String, statement: &Statement, total: &Total) -> std::fmt::Result {
    let due = |amount| format!("{} {}", money(amount, statement.digits), statement.currency);
    writeln!(out, "<section>\n<h2>Total</h2>\n<table>\n<tbody>")?;
    row(out, "", "Exact sum", &amount_text(total.exact))?;
    if statement.document.is_some() || total.carried_in != 0 {
        row(out, "", "Carried from the last bill", &amount_text(total.carried_in))?;
    }
    row(out, "", "Net, rounded half to even", &due(total.net))?;
    for line in &total.taxes {
        let name = format!("{} {}", line.tax.name, percent(line.tax.ppm));
        row(out, "", &name, &due(line.amount))?;
    }
    if total.from_account != 0 {
        row(out, "", "Gross", &due(total.gross))?;
        row(out, "", "From the account", &due(-total.from_account))?;
    }
    row(out, " class=\"sum\"", "To pay", &due(total.to_pay))?;
    let left = match statement.document {
        Some(_) => "Carried to the next bill",
        None => "Left over",
    };
    row(out, "", left, &amount_text(total.carried_out))?;
    writeln!(out, "</tbody>\n</table>\n</section>")?;
    match &statement.funds {
        Some(funds) => account_table(out, funds),
        None => Ok(()),
    }
}

fn account_table(out: &mut String, funds: &Funds) -> std::fmt::Result {
    let title = account(funds).replacen('a', "A", 1);
    writeln!(out, "<section>\n<h2>{}</h2>\n<table>\n<tbody>", escaped(&title))?;
    row(out, "", "Balance before", &amount_text(funds.before))?;
    for paid in &funds.paid_in {
        let name = format!("Paid in {} {}", instant(paid.at_ms), paid.reason);
        row(out, "", &name, &amount_text(paid.amount))?;
    }
    for (name, amount) in [("Charged", funds.charged), ("Given back", funds.returned)] {
        if amount != 0 {
            row(out, "", name, &amount_text(amount))?;
        }
    }
    row(out, " class=\"sum\"", "Balance", &amount_text(funds.after))?;
    writeln!(out, "</tbody>\n</table>\n</section>")
}

/// Text as a page carries it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_cannot_become_markup() {
        assert_eq!(escaped("<a href='x'>&\""), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
