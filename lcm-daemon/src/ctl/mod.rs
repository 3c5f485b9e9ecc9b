//! `lcmctl`: reads any daemon, opens sessions at a daemon in host role, shows the figure.

mod account;
mod authentication;
mod bill;
mod decode;
mod dispute;
mod drain;
mod ledger;
mod notes;
mod price;
pub mod quote;
mod refresh;
mod session;
mod settle;
mod show;
mod statement;
mod table;
mod tariff;
mod trace;
mod when;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cli::{daemon_with, usage};
use crate::config::DEFAULT_CONTROL_SOCKET;
use crate::demo;
use crate::exit::Exit;

/// Operate and use the RSVP router that charges.
#[derive(Debug, Parser)]
#[command(name = "lcmctl", version)]
struct Ctl {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what a daemon knows.
    Show(show::ShowArgs),
    /// Open a session as a sender: PATH with an initial DCPE.
    Send(session::SendArgs),
    /// Answer a session as a receiver: RESV with a UCPE that pays the price due.
    Receive(session::ReceiveArgs),
    /// What receiving a session would cost for a while, before anything is reserved.
    Quote(quote::QuoteArgs),
    /// End a registration that was made with --detach.
    Close(session::CloseArgs),
    /// Change the local price of an interface.
    Price(price::PriceArgs),
    /// Change the refresh period of an interface.
    Refresh(refresh::RefreshArgs),
    /// Open, credit, limit and close accounts of customers and neighbours.
    Account {
        #[command(subcommand)]
        what: account::Account,
    },
    /// Issue, list and show bills and credit notes.
    Bill {
        #[command(subcommand)]
        what: bill::What,
    },
    /// Keep a posting out of bills, let it stand again, list its evidence.
    Dispute {
        #[command(subcommand)]
        what: dispute::What,
    },
    /// Give a part of what was charged back, as a contra entry.
    Refund(dispute::RefundArgs),
    /// Hold what we metered against what a neighbour says; status 1 if they differ.
    Settle(settle::SettleArgs),
    /// What a customer or a neighbour owes, computed from the journal alone.
    Statement(statement::StatementArgs),
    /// Find out with others whether anybody between cheats.
    Notes {
        #[command(subcommand)]
        what: notes::What,
    },
    /// What a configuration's tariffs come to.
    Tariff {
        #[command(subcommand)]
        what: tariff::Tariff,
    },
    /// Let no new reservation in, and wait until those that stand have ended.
    Drain(drain::DrainArgs),
    /// Ask the hops of a path for their state, and draw what each one charges.
    Trace(trace::TraceArgs),
    /// Show the RSVP packets of a capture file.
    Decode(decode::DecodeArgs),
    /// Check, copy and export the books of a daemon.
    Ledger {
        #[command(subcommand)]
        what: ledger::Ledger,
    },
    /// Show the product at work on this machine's kernel.
    Demo {
        #[command(subcommand)]
        what: demo::Demo,
    },
}

/// Where the daemon is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Daemon {
    /// Control socket of the daemon.
    #[arg(long, value_name = "PATH", default_value = DEFAULT_CONTROL_SOCKET, env = "LCM_SOCKET")]
    pub(crate) socket: PathBuf,
}

/// Runs the tool by the process's own arguments.
///
/// The hidden first argument `daemon` makes this program the daemon, so that the demo can start
/// daemons of the very code that it was built from.
pub fn ctl_main() -> Exit {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|word| word == "daemon") {
        return daemon_with(args.into_iter().skip(1));
    }
    ctl_with(args)
}

/// Runs the tool by these arguments, the first of which is the program's name. `demo` starts its
/// daemons by calling the running program with `daemon` as the first argument.
pub fn ctl_with(args: impl IntoIterator<Item = OsString>) -> Exit {
    let ctl = match Ctl::try_parse_from(args) {
        Ok(ctl) => ctl,
        Err(error) => return usage(&error),
    };
    let result = match ctl.command {
        Command::Show(args) => show::run(&args),
        Command::Send(args) => session::send(&args),
        Command::Receive(args) => session::receive(&args),
        Command::Quote(args) => quote::run(&args),
        Command::Close(args) => session::close(&args),
        Command::Price(args) => price::run(&args),
        Command::Refresh(args) => refresh::run(&args),
        Command::Account { what } => account::run(&what),
        Command::Drain(args) => drain::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Decode(args) => return decode::run(&args),
        Command::Ledger { what } => return ledger::run(&what),
        Command::Bill { what } => return ended(bill::run(&what).map(|()| true)),
        Command::Dispute { what } => return ended(dispute::run(&what).map(|()| true)),
        Command::Refund(args) => return ended(dispute::refund(&args).map(|()| true)),
        Command::Settle(args) => return ended(settle::run(&args)),
        Command::Statement(args) => return ended(statement::run(&args).map(|()| true)),
        Command::Notes { what } => return notes::run(&what),
        Command::Tariff { what } => return tariff::run(&what),
        Command::Demo { what } => return demo::run(&what),
    };
    match result {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("lcmctl: {error}");
            Exit::Failed
        }
    }
}

/// How a command ends that found what it looked for, or did not.
fn ended(result: Result<bool, String>) -> Exit {
    match result {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Failed,
        Err(error) => {
            eprintln!("lcmctl: {error}");
            Exit::Failed
        }
    }
}
