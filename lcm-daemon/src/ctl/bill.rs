//! `lcmctl bill`: bills and credit notes, issued once, with numbers without gaps.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nix::unistd::{Uid, User};

use super::Daemon;
use super::ledger::keeper;
use super::statement::{Format, written};
use super::table::Table;
use crate::billing::{bills, day, issue, issued, money};
use crate::bookkeeper::desk::numbers;
use crate::config::{Billing, Config, Currency};
use crate::control::protocol::{Reply, Request};
use crate::io::clock;
use crate::ledger::record::{Bill, BillOf};
use crate::purse::{Holder, amount_text};

/// What to do with bills.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Issue bills for the periods that are closed, and credit notes for what was given back of
    /// bills. What is issued already is not issued again.
    Issue(IssueArgs),
    /// List what was issued.
    List {
        /// Directory of the books.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
        ledger: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        /// Whose; all without it.
        account: Option<Holder>,
    },
    /// Show a bill or credit note as it was issued.
    Show {
        /// Directory of the books.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
        ledger: PathBuf,
        /// 0: sessions; 1: flows and rates too.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
        detail: u8,
        /// How it is written.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Its number.
        number: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Directory of the books; a daemon that writes there is asked.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
    ledger: PathBuf,
    /// The daemon's configuration, whose [billing] holds where no daemon runs.
    #[arg(long, value_name = "FILE", default_value = "/etc/lcm/lcm.toml")]
    config: PathBuf,
}

pub(crate) fn run(what: &What) -> Result<(), String> {
    match what {
        What::Issue(args) => run_issue(args),
        What::List { ledger, json, account } => list(ledger, *json, account.as_ref()),
        What::Show { ledger, detail, format, number } => {
            let drawn = issued(ledger, number, *detail);
            let (statement, total) = drawn.map_err(|error| error.to_string())?;
            print!("{}", written(*format, &statement, &total));
            Ok(())
        }
    }
}

fn run_issue(args: &IssueArgs) -> Result<(), String> {
    if let Some((mut client, directory)) = keeper(&args.daemon, &args.ledger)? {
        return match client.ask(&Request::IssueBills { directory }).map_err(|e| e.to_string())? {
            Reply::Said(said) => {
                println!("{said}");
                Ok(())
            }
            other => Err(format!("the daemon gave another answer: {other:?}")),
        };
    }
    let billing = billing(&args.config)?;
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten();
    let by = user.map_or_else(|| uid.to_string(), |user| user.name);
    let all = issue(&args.ledger, &billing, &by, clock::unix_ms());
    println!("{}", numbers(&all.map_err(|error| error.to_string())?));
    Ok(())
}

fn billing(file: &Path) -> Result<Billing, String> {
    let config = Config::load(file).map_err(|error| format!("--config: {error}"))?;
    config.billing.ok_or_else(|| {
        format!(
            "{} says nothing about bills: add [billing], with the taxes that are due, and see \
             lcm.toml(5)",
            file.display()
        )
    })
}

fn list(ledger: &Path, json: bool, account: Option<&Holder>) -> Result<(), String> {
    let (book, replay) = bills(ledger).map_err(|error| error.to_string())?;
    let shown = |bill: &Bill| bill.number > 0 && account.is_none_or(|only| bill.holder == *only);
    let all = book.issued();
    let letters = replay.currency().and_then(Currency::from_numeric);
    let letters = letters.map_or_else(String::new, |known| known.alphabetic().to_owned());
    let of = |bill: &Bill| match bill.of {
        BillOf::Period(period) => format!("period {period}"),
        BillOf::Credit { bill: record, .. } => {
            let corrected = all.iter().find(|issued| issued.record == record);
            corrected.map_or_else(|| record.to_string(), |issued| issued.bill.to_string())
        }
    };
    let shown = || {
        let all = all.iter().map(|issued| (issued.record, &issued.bill));
        all.filter(|(_, bill)| shown(bill))
    };
    let disputed = book.disputed_bills();
    let disputed = |record: u64| disputed.get(&record).copied().unwrap_or_default();
    if json {
        let row = |(record, bill): (u64, &Bill)| {
            let tax = bill.gross - bill.net;
            serde_json::json!({
                "number": bill.to_string(),
                "issued_ms": bill.wall_ms,
                "account": bill.holder.to_string(),
                "of": of(bill),
                "currency": letters,
                "net": bill.net.to_string(),
                "tax": tax.to_string(),
                "gross": bill.gross.to_string(),
                "disputed": disputed(record).to_string(),
            })
        };
        let rows: Vec<_> = shown().map(row).collect();
        println!("{}", serde_json::to_string_pretty(&rows).unwrap_or_default());
        return Ok(());
    }
    let mut table =
        Table::new(["NUMBER", "ISSUED", "ACCOUNT", "FOR", "", "NET", "TAX", "GROSS", "DISPUTED"]);
    for (record, bill) in shown() {
        let money = |amount| money(amount, bill.digits.into());
        table.row([
            bill.to_string(),
            day(bill.wall_ms),
            bill.holder.to_string(),
            of(bill),
            letters.clone(),
            money(bill.net),
            money(bill.gross - bill.net),
            money(bill.gross),
            Some(disputed(record))
                .filter(|amount| *amount != 0)
                .map_or_else(String::new, amount_text),
        ]);
    }
    print!("{table}");
    let open = book.to_bill().len() + book.to_credit().len();
    if open > 0 {
        println!("{open} more are to be issued: `lcmctl bill issue`");
    }
    Ok(())
}
