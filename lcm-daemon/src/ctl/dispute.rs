//! `lcmctl dispute`: postings that somebody says are wrong.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nix::unistd::{Uid, User};

use super::ledger::print_record;
use crate::io::clock;
use crate::ledger::amend::{dispute, evidence};
use crate::ledger::record::Dispute;
use crate::purse::amount_text;

/// What to do about a posting.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Keep a posting out of bills, and list its evidence.
    Open(DisputeArgs),
    /// Let it stand again; give back what was wrong of it first.
    Resolve(DisputeArgs),
    /// List what the journal has about a posting.
    Evidence {
        /// Directory of the books.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
        ledger: PathBuf,
        /// Number of the record that opened the posting.
        posting: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DisputeArgs {
    /// Directory of the books; no daemon may run on it.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
    ledger: PathBuf,
    /// Why, or how it was resolved: stands in the journal.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Number of the record that opened the posting.
    posting: u64,
}

pub(crate) fn run(what: &What) -> Result<(), String> {
    let (args, open) = match what {
        What::Evidence { ledger, posting } => return list(ledger, *posting),
        What::Open(args) => (args, true),
        What::Resolve(args) => (args, false),
    };
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten();
    let by = user.map_or_else(|| uid.to_string(), |user| user.name);
    let reason = args.reason.clone();
    let record = Dispute { of: args.posting, open, by, reason, wall_ms: clock::unix_ms() };
    dispute(&args.ledger, record).map_err(|error| error.to_string())?;
    let state = if open { "disputed" } else { "disputed no more" };
    println!("posting {} is {state}", args.posting);
    if open { list(&args.ledger, args.posting) } else { Ok(()) }
}

fn list(ledger: &std::path::Path, of: u64) -> Result<(), String> {
    let found = evidence(ledger, of).map_err(|error| error.to_string())?;
    let Some(posting) = &found.posting else {
        return Err(format!(
            "record {of} opened no posting that has come to anything: `lcmctl ledger export --what \
             postings` lists them"
        ));
    };
    let amount = amount_text(i128::try_from(posting.amount).unwrap_or(i128::MAX));
    let ms = posting.to.at_ms.saturating_sub(posting.from.at_ms);
    println!("posting {of}: {} x {ms} ms = {amount}", posting.rate);
    for (number, body) in &found.records {
        print_record(*number, body)?;
    }
    Ok(())
}
