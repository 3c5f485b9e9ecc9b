//! `lcmctl settle`: our metering held against a neighbour's.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::when::Span;
use crate::billing::{Metered, Query, Settlement, believe, claim, reconcile, sign};
use crate::ledger::sign::PublicKey;
use crate::purse::{Holder, amount_text};

#[derive(Debug, Args)]
pub(crate) struct SettleArgs {
    /// Address of the neighbour.
    neighbour: IpAddr,
    /// Directory of our books.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/lcm/ledger")]
    ledger: PathBuf,
    /// The neighbour's signed statement about us; without it ours is printed, to be sent there.
    #[arg(long, value_name = "FILE")]
    theirs: Option<PathBuf>,
    /// The key that must have signed it: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = super::ledger::public_key)]
    public_key: Option<PublicKey>,
    #[command(flatten)]
    span: Span,
    /// How much later than the other each may hear of a change, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    tolerance: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Also over a span that is not closed.
    #[arg(long)]
    provisional: bool,
}

/// False if there are differences.
pub(crate) fn run(args: &SettleArgs) -> Result<bool, String> {
    let (from_ms, to_ms) = args.span.ms()?;
    let query = Query {
        holder: Holder::Neighbour(args.neighbour),
        from_ms,
        to_ms,
        period: None,
        provisional: args.provisional,
        detail: 1,
    };
    let ours = claim(&args.ledger, args.neighbour, &query).map_err(|error| error.to_string())?;
    let Some(file) = &args.theirs else {
        let signed = sign(&args.ledger, ours).map_err(|error| error.to_string())?;
        println!("{}", serde_json::to_string_pretty(&signed).map_err(|e| e.to_string())?);
        return Ok(true);
    };
    let at = |error: &dyn std::fmt::Display| format!("--theirs {}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| at(&error))?;
    let theirs = believe(&text, args.public_key).map_err(|error| at(&error))?;
    let settlement = reconcile(&ours, &theirs, args.tolerance).map_err(|error| at(&error))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&settlement).map_err(|e| e.to_string())?);
    } else {
        println!("theirs is by {}, about {}", theirs.node, theirs.about);
        print(&settlement, &ours.currency, args.public_key.is_some());
    }
    Ok(settlement.differences.is_empty())
}

fn print(settlement: &Settlement, currency: &str, known: bool) {
    if !known {
        println!("nobody said which key is the neighbour's: add --public-key");
    }
    for difference in &settlement.differences {
        let (session, sender, payment) =
            (&difference.session, &difference.sender, &difference.payment);
        println!("differs: session {session}, sender {sender}, {payment}");
        for (whose, metered) in [("ours", &difference.ours), ("theirs", &difference.theirs)] {
            let Metered { amount, ms, records, returned, .. } = metered;
            let returned = match returned {
                0 => String::new(),
                returned => format!(", {} of it given back", amount_text(*returned)),
            };
            println!(
                "  {whose:<7} {:>24} {currency} in {ms} ms{returned}, records {records:?}",
                amount_text(*amount)
            );
        }
    }
    let (agreed, within) = (settlement.agreed, amount_text(settlement.within));
    println!("{agreed} flows agree, but for {within} {currency} in sum");
    if settlement.returned != 0 {
        let returned = amount_text(settlement.returned);
        println!("given back, by who is paid: {returned} {currency}");
    }
    let due = amount_text(settlement.due);
    println!("due to us, by who is paid: {due} {currency}");
}
