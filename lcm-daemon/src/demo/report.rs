//! The figure as a person wants to see it.

use std::fmt::Write;

use super::expect::{Phase, reduced};
use super::figure2::Findings;
use super::observe::{Spoken, Words};

/// Links of the figure from the sender down, with how they are drawn.
const DRAWING: [(&str, &str, &str); 5] = [
    ("S", "IS1", "S ── IS1"),
    ("IS1", "IS2", "     └─ IS2"),
    ("IS2", "IS3", "         ├─ IS3"),
    ("IS3", "R2", "         │   └─ R2"),
    ("IS2", "R1", "         └─ R1"),
];

pub(super) fn opening(fraction: u32) -> String {
    format!(
        "The charging paper's Figure 2 on this machine's kernel: six namespaces, six daemons.\n\
         Rates are in 10^-12 currency units per second; the sender offers {} of the charge.",
        reduced(fraction)
    )
}

/// The tree with what each link carries, and what each node's ledger metered.
pub(super) fn phase(title: &str, seen: &Phase) -> String {
    let mut text = format!("\n{title}\n\n");
    let heading = ["link", "price L", "C", "max", "paid", "debited", "A", "B", "by sender"];
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "  {:<18}{:>9}{:>8}{:>8} │{:>8}{:>9}{:>8}{:>8}{:>11}",
        heading[0],
        heading[1],
        heading[2],
        heading[3],
        heading[4],
        heading[5],
        heading[6],
        heading[7],
        heading[8]
    );
    for (from, to, drawing) in DRAWING {
        let dcpe = seen.dcpe.iter().find(|row| row.link == format!("{from}->{to}"));
        let ucpe = seen.ucpe.iter().find(|row| row.link == format!("{to}->{from}"));
        let Some((dcpe, ucpe)) = dcpe.zip(ucpe) else { continue };
        let _ = writeln!(
            text,
            "  {drawing:<18}{:>9}{:>8}{:>8} │{:>8}{:>9}{:>8}{:>8}{:>11}",
            dcpe.local_price,
            dcpe.total_charge,
            dcpe.max_total_charge,
            ucpe.payment,
            ucpe.debited,
            ucpe.total_charge,
            ucpe.local_sum,
            ucpe.sender_payment
        );
    }
    text.push_str("\n  metered per second: ");
    let balances: Vec<String> =
        seen.balances.iter().map(|(name, rate)| format!("{name} {rate:+}")).collect();
    text.push_str(&balances.join("  "));
    let sum: i64 = seen.balances.values().sum();
    let _ = write!(text, "  (sum {sum})");
    text
}

/// What passed between IS2 and R1, in order, without repetitions.
pub(super) fn exchange(said: &[&Spoken]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for spoken in said {
        let between = [spoken.from.as_str(), spoken.to.as_str()];
        if between != ["IS2", "R1"] && between != ["R1", "IS2"] {
            continue;
        }
        let line = format!("    {:>3} → {:<3}  {}", spoken.from, spoken.to, words(&spoken.words));
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    format!("\n  between IS2 and R1, as captured:\n{}", lines.join("\n"))
}

fn words(words: &Words) -> String {
    match words {
        Words::Path(Some(dcpe)) => {
            format!("PATH     C {} (at most {})", dcpe.total, dcpe.max_total)
        }
        Words::Path(None) => "PATH     without a price".to_owned(),
        Words::Resv(Some(ucpe)) => format!("RESV     pays {}", ucpe.payment),
        Words::Resv(None) => "RESV     without a payment".to_owned(),
        Words::ResvErr(code, value, Some(error)) => format!(
            "RESVERR  {code}/{value}: {} offered, {} required",
            error.offered, error.required
        ),
        Words::ResvErr(code, value, None) => format!("RESVERR  {code}/{value}"),
        Words::PathErr(code, value, _) => format!("PATHERR  {code}/{value}"),
        Words::Other(kind) => kind.name().to_uppercase(),
        Words::Malformed(why) => format!("malformed: {why}"),
    }
}

/// Where two phases differ, a line for each row.
pub(super) fn difference(expected: &Phase, seen: &Phase) -> String {
    let mut text = String::new();
    for row in &expected.dcpe {
        let found = seen.dcpe.iter().find(|other| other.link == row.link);
        if found != Some(row) {
            let _ = writeln!(text, "  expected DCPE {row:?}\n  found    {found:?}");
        }
    }
    for row in &expected.ucpe {
        let found = seen.ucpe.iter().find(|other| other.link == row.link);
        if found != Some(row) {
            let _ = writeln!(text, "  expected UCPE {row:?}\n  found    {found:?}");
        }
    }
    for (name, rate) in &expected.balances {
        let found = seen.balances.get(name);
        if found != Some(rate) {
            let _ = writeln!(text, "  expected balance of {name} {rate}, found {found:?}");
        }
    }
    text
}

/// The last words.
pub(super) fn summary(findings: &Findings) {
    let rows = [&findings.a, &findings.c, &findings.b];
    let links: usize = rows.iter().map(|phase| phase.dcpe.len() + phase.ucpe.len()).sum();
    println!(
        "\nChecked: {links} announcements and payments parsed from captured packets and the \
         balances of three phases,\neach as the model's equations over the whole tree have it, \
         to the unit."
    );
}
