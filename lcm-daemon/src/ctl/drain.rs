//! `lcmctl drain`.

use std::time::Duration;

use clap::Args;

use super::Daemon;
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::Reply;

/// How often the daemon is asked what is left.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Let new reservations in again.
    #[arg(long, conflicts_with = "detach")]
    cancel: bool,
    /// Let new reservations in at so many percent of the price instead of refusing them; what stands
    /// keeps its price.
    #[arg(long, value_name = "N", conflicts_with = "cancel",
        value_parser = clap::value_parser!(u32).range(100..=10_000))]
    price_percent: Option<u32>,
    /// Do not wait until the last reservation has ended.
    #[arg(long)]
    detach: bool,
}

pub(crate) fn run(args: &DrainArgs) -> Result<(), ClientError> {
    let mut client = Client::connect(&args.daemon.socket)?;
    let mut said = None;
    loop {
        let reply =
            client.ask(&Request::Drain { on: !args.cancel, price_percent: args.price_percent })?;
        let Reply::Drain { reservations } = reply else { return Ok(()) };
        if args.cancel {
            println!("in service, with {reservations} reservations");
            return Ok(());
        }
        if reservations == 0 {
            println!("empty: nothing is reserved, and nothing new is let in");
            return Ok(());
        }
        if said != Some(reservations) {
            println!("draining: {reservations} reservations are left");
            said = Some(reservations);
        }
        if args.detach {
            return Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
