//! `lcmctl price`.

use clap::Args;

use super::Daemon;
use crate::control::Request;
use crate::control::client::{Client, ClientError};

#[derive(Debug, Args)]
pub(crate) struct PriceArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Interface whose price changes.
    interface: String,
    /// New local price, in 10^-12 currency units per second.
    price: u64,
    /// New highest price, same unit; the old one stays without it (raised to the price).
    #[arg(long, value_name = "RATE")]
    max_price: Option<u64>,
    /// Take effect when the next new reservation is admitted on the interface: it is refused if
    /// it paid for the old price, and told the new one.
    #[arg(long)]
    at_admission: bool,
}

pub(crate) fn run(args: &PriceArgs) -> Result<(), ClientError> {
    let request = Request::Price {
        interface: args.interface.clone(),
        price: args.price,
        max_price: args.max_price,
        at_admission: args.at_admission,
    };
    Client::connect(&args.daemon.socket)?.ask(&request)?;
    Ok(())
}
