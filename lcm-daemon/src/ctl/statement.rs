//! `lcmctl statement`: what a customer or a neighbour owes, from the journal alone.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::billing::{Query, Tax, csv, gather, html, json, text, total};
use crate::purse::Holder;

#[derive(Debug, Args)]
pub(crate) struct StatementArgs {
    /// Whose: KIND:ID as customers name it, or neighbour:ADDRESS.
    account: Holder,
    /// Directory of the books.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
    ledger: PathBuf,
    /// From when on, in milliseconds since 1970; from the beginning without it.
    #[arg(long, value_name = "MS", conflicts_with = "period")]
    from: Option<u64>,
    /// Until when; to the end of the last closed period without it.
    #[arg(long, value_name = "MS", conflicts_with = "period")]
    to: Option<u64>,
    /// A closed period by its number.
    #[arg(long, value_name = "NUMBER")]
    period: Option<u64>,
    /// 0: sessions; 1: flows and rates too; 2: where charges arose too.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    detail: u8,
    /// How it is written.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// A tax on the net amount, as NAME=PERCENT; may be given several times.
    #[arg(long, value_name = "NAME=PERCENT", value_parser = tax)]
    tax: Vec<Tax>,
    /// Draw it though the span is not closed: it may change.
    #[arg(long)]
    provisional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
    Html,
}

/// Reads `NAME=PERCENT`, with four digits behind the point at most.
fn tax(text: &str) -> Result<Tax, String> {
    let wrong = || format!("{text:?} is no tax: write NAME=PERCENT, as VAT=19 or VAT=7.5");
    let (name, percent) = text.split_once('=').ok_or_else(wrong)?;
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if name.is_empty() || !digits(whole) || !digits(part) || part.len() > 4 || whole.len() > 3 {
        return Err(wrong());
    }
    let ppm = format!("{whole}{part:0<4}").parse().map_err(|_| wrong())?;
    Ok(Tax { name: name.to_owned(), ppm })
}

pub(crate) fn run(args: &StatementArgs) -> Result<(), String> {
    let query = Query {
        holder: args.account.clone(),
        from_ms: args.from,
        to_ms: args.to,
        period: args.period,
        provisional: args.provisional,
        detail: args.detail,
    };
    let statement = gather(&args.ledger, &query).map_err(|error| error.to_string())?;
    let total = total(&statement, 0, &args.tax);
    print!(
        "{}",
        match args.format {
            Format::Text => text(&statement, &total),
            Format::Json => json(&statement, &total),
            Format::Csv => csv(&statement, &total),
            Format::Html => html(&statement, &total),
        }
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taxes_are_named_with_their_percentage() {
        let vat = |ppm| Ok(Tax { name: "VAT".to_owned(), ppm });
        assert_eq!((tax("VAT=19"), tax("VAT=7.75")), (vat(190_000), vat(77_500)));
        for text in ["VAT", "=19", "VAT=", "VAT=x", "VAT=1.23456"] {
            assert!(tax(text).is_err(), "{text}");
        }
    }
}
