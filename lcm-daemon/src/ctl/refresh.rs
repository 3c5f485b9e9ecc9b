//! `lcmctl refresh`.

use clap::Args;

use super::Daemon;
use crate::control::Request;
use crate::control::client::{Client, ClientError};

#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Interface whose refresh period changes.
    interface: String,
    /// New refresh period R, in milliseconds. A longer one is approached step by step, so that no
    /// neighbour's state times out on the way.
    refresh_ms: u32,
}

pub(crate) fn run(args: &RefreshArgs) -> Result<(), ClientError> {
    let request =
        Request::Refresh { interface: args.interface.clone(), refresh_ms: args.refresh_ms };
    Client::connect(&args.daemon.socket)?.ask(&request)?;
    Ok(())
}
