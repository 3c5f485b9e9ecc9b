//! `lcmctl statement`: what a customer or a neighbour owes, from the journal alone.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::when::Span;
use crate::billing::{Query, Statement, Tax, Total, csv, gather, html, json, text, total};
use crate::config::percent;
use crate::purse::Holder;

#[derive(Debug, Args)]
pub(crate) struct StatementArgs {
    /// Whose: KIND:ID as customers name it, or neighbour:ADDRESS.
    account: Holder,
    /// Directory of the books.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
    ledger: PathBuf,
    #[command(flatten)]
    span: Span,
    /// A closed period by its number.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["from", "to"])]
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
pub(crate) enum Format {
    Text,
    Json,
    Csv,
    Html,
}

/// Reads `NAME=PERCENT`, with four digits behind the point at most.
fn tax(text: &str) -> Result<Tax, String> {
    let wrong = || format!("{text:?} is no tax: write NAME=PERCENT, as VAT=19 or VAT=7.5");
    let (name, rate) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let ppm = percent(rate).ok_or_else(wrong)?;
    Ok(Tax { name: name.to_owned(), ppm })
}

/// A statement as it was asked for.
pub(crate) fn written(format: Format, statement: &Statement, total: &Total) -> String {
    match format {
        Format::Text => text(statement, total),
        Format::Json => json(statement, total),
        Format::Csv => csv(statement, total),
        Format::Html => html(statement, total),
    }
}

pub(crate) fn run(args: &StatementArgs) -> Result<(), String> {
    let (from_ms, to_ms) = args.span.ms()?;
    let query = Query {
        holder: args.account.clone(),
        from_ms,
        to_ms,
        period: args.period,
        provisional: args.provisional,
        detail: args.detail,
    };
    let statement = gather(&args.ledger, &query).map_err(|error| error.to_string())?;
    let total = total(&statement, 0, &args.tax);
    print!("{}", written(args.format, &statement, &total));
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
