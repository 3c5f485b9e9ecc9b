//! `lcmctl dispute`: postings that somebody says are wrong.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nix::unistd::{Uid, User};

use super::Daemon;
use super::ledger::{keeper, print_record};
use crate::bookkeeper::desk::said;
use crate::control::orders::correction;
use crate::control::protocol::{CorrectOrder, Reply, Request};
use crate::io::clock;
use crate::ledger::amend::{Ordered, amend, evidence};
use crate::purse::amount_text;

/// What to do about a posting.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Keep a posting out of bills, and list its evidence.
    Open(PostingArgs),
    /// Let it stand again, but for what is given back.
    Resolve(ResolveArgs),
    /// List what the journal has about a posting.
    Evidence {
        /// Directory of the books.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
        ledger: PathBuf,
        /// Number of the record that opened the posting.
        posting: u64,
    },
}

/// Which posting, in which books, and why.
#[derive(Debug, Args)]
pub(crate) struct PostingArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Directory of the books; a daemon that writes there is asked.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
    ledger: PathBuf,
    /// Why, or how it was resolved: stands in the journal.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Number of the record that opened the posting.
    posting: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    posting: PostingArgs,
    /// Give so much of it back: currency units, or all.
    #[arg(long, value_name = "AMOUNT")]
    give_back: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RefundArgs {
    #[command(flatten)]
    posting: PostingArgs,
    /// How much: currency units, as 12.50, or all that is left.
    #[arg(allow_hyphen_values = true)]
    amount: String,
}

pub(crate) fn run(what: &What) -> Result<(), String> {
    match what {
        What::Evidence { ledger, posting } => list(ledger, *posting),
        What::Open(args) => {
            order(args, CorrectOrder::Dispute)?;
            list(&args.ledger, args.posting)
        }
        What::Resolve(ResolveArgs { posting, give_back }) => {
            order(posting, CorrectOrder::Resolve { give_back: give_back.clone() })
        }
    }
}

/// Gives a part of a posting back.
pub(crate) fn refund(args: &RefundArgs) -> Result<(), String> {
    order(&args.posting, CorrectOrder::GiveBack { amount: args.amount.clone() })
}

/// Has the daemon do it that writes there, or does it in its absence.
fn order(args: &PostingArgs, order: CorrectOrder) -> Result<(), String> {
    let (posting, reason) = (args.posting, args.reason.clone());
    let said = match keeper(&args.daemon, &args.ledger)? {
        Some((mut client, directory)) => {
            let request = Request::Correct { directory, posting, reason, order };
            match client.ask(&request).map_err(|e| e.to_string())? {
                Reply::Said(said) => said,
                other => return Err(format!("the daemon gave another answer: {other:?}")),
            }
        }
        None => {
            let uid = Uid::current();
            let user = User::from_uid(uid).ok().flatten();
            let by = user.map_or_else(|| uid.to_string(), |user| user.name);
            let ordered = Ordered { by, reason, wall_ms: clock::unix_ms() };
            let correction = correction(&order)?;
            let done = amend(&args.ledger, posting, &correction, &ordered);
            said(posting, &done.map_err(|error| error.to_string())?)
        }
    };
    println!("{said}");
    Ok(())
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
