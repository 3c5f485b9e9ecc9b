//! `lcmctl drain`.

use std::time::Duration;

use clap::Args;

use super::Daemon;
use crate::control::Request;
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{Reply, What};

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
    // It is ordered once: what somebody else orders afterwards holds.
    let order = Request::Drain { on: !args.cancel, price_percent: args.price_percent };
    let mut reply = client.ask(&order)?;
    let mut said = None;
    loop {
        let Reply::Drain { reservations, on, price_percent } = reply else { return Ok(()) };
        if args.cancel {
            println!("in service, with {reservations} reservations");
            return Ok(());
        }
        if let Some(end) = ended(reservations, on, price_percent) {
            println!("{end}");
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
        reply = client.ask(&Request::Show { what: What::Drain })?;
    }
}

/// What is said when there is nothing more to wait for.
fn ended(reservations: usize, on: bool, price_percent: Option<u32>) -> Option<String> {
    match (on, reservations, price_percent) {
        (false, left, _) => {
            Some(format!("in service again, with {left} reservations: somebody ended the drain"))
        }
        (true, 0, None) => Some("empty: nothing is reserved, and nothing new is let in".to_owned()),
        (true, 0, Some(percent)) => Some(format!(
            "empty: nothing is reserved, and what is new is let in at {percent} % of the price"
        )),
        (true, _, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_drain_is_told_as_it_is() {
        assert_eq!(ended(3, true, None), None);
        assert_eq!(ended(3, true, Some(150)), None);
        assert!(ended(0, true, None).unwrap().contains("nothing new is let in"));
        assert!(ended(0, true, Some(150)).unwrap().contains("at 150 % of the price"));
        assert!(ended(2, false, None).unwrap().starts_with("in service again, with 2"));
    }
}
