//! `lcmctl ledger`: the books of a daemon, read from its directory. A daemon is only asked to close
//! a period of books that it writes.

mod export;
mod row;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Daemon;
use super::table::Table;
use crate::control::client::Client;
use crate::control::protocol::{Reply, Request};
use crate::exit::Exit;
use crate::io::clock;
use crate::ledger::backup::{backup, restore};
use crate::ledger::journal::{Journal, Options};
use crate::ledger::prune::prune;
use crate::ledger::record::{Body, Stamp};
use crate::ledger::repair::repair;
use crate::ledger::replay::{Moment, Replay};
use crate::ledger::sign::{PublicKey, hex};
use crate::ledger::verify::{Deposit, Expected, Verified, verify};
use crate::ledger::{lock, period};

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Check chain, signatures and every amount, also while the daemon runs, and on a copy.
    ///
    /// The last line is `N records, M accounts, sum 0`; else the first record at fault is named,
    /// and the exit status is 1.
    Verify(VerifyArgs),
    /// Print the last signed head, to be deposited with a neighbour.
    Head(Dir),
    /// Print records, postings or accounts for other programs.
    Export(export::ExportArgs),
    /// Copy the books, also while the daemon runs; goes on with an earlier copy.
    Backup {
        /// Directory of the books.
        dir: PathBuf,
        /// Directory of the copy.
        dest: PathBuf,
    },
    /// Copy a backup into an empty directory, for a daemon to go on with.
    Restore {
        /// Directory of the copy.
        backup: PathBuf,
        /// Directory to restore into.
        dir: PathBuf,
    },
    /// Go over to a new signing key, which the old one signs. The daemon must be stopped.
    RotateKey(Dir),
    /// Cut damaged books before the first fault, and keep what stood behind it. The daemon must
    /// be stopped.
    Repair(Dir),
    /// Close the running period, so that its files can be put away once all in it is final: by the
    /// daemon that writes the books, or in its absence.
    ClosePeriod(ClosePeriodArgs),
    /// Put files away whose periods are closed and final. The daemon must be stopped.
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
pub(crate) struct Dir {
    /// Directory of the books.
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Directory of the books.
    dir: PathBuf,
    /// A head that `lcmctl ledger head` printed: the books must still have its history.
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// A key that must have signed: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    public_key: Option<PublicKey>,
    /// List all accounts.
    #[arg(long)]
    accounts: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClosePeriodArgs {
    #[command(flatten)]
    daemon: Daemon,
    /// Directory of the books.
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Directory of the books.
    dir: PathBuf,
    /// The last period to put away.
    #[arg(long, value_name = "PERIOD")]
    through: u64,
    /// Move the files there instead of removing them.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Reads 64 hexadecimal digits.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, String> {
    let wrong = || format!("{text:?} is not a public key: 64 hexadecimal digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut key = [0; 32];
    for (place, byte) in key.iter_mut().enumerate() {
        let digits = text.get(2 * place..2 * place + 2).ok_or_else(wrong)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(key)
}

pub(crate) fn run(what: &Ledger) -> Exit {
    let (done, dir) = match what {
        Ledger::Verify(args) => (run_verify(args), &args.dir),
        Ledger::Head(args) => (head(&args.dir), &args.dir),
        Ledger::Export(args) => (export::run(args), args.dir()),
        Ledger::Backup { dir, dest } => (copied(backup(dir, dest), dest), dir),
        Ledger::Restore { backup, dir } => (copied(restore(backup, dir), dir), dir),
        Ledger::RotateKey(args) => (rotate_key(&args.dir), &args.dir),
        Ledger::Repair(args) => (run_repair(&args.dir), &args.dir),
        Ledger::ClosePeriod(args) => (close_period(args), &args.dir),
        Ledger::Prune(args) => (run_prune(args), &args.dir),
    };
    match done {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("lcmctl ledger: {}: {error}", dir.display());
            Exit::Failed
        }
    }
}

/// The present instant of this machine.
fn now() -> Moment {
    // Without a boot of its own, time is compared by the wall clock.
    let boot = clock::boot_id().map(u128::to_be_bytes).unwrap_or_default();
    // To the millisecond, so that a period has all that was written before it was closed.
    let stamp = Stamp { at_ms: clock::monotonic_us() / 1_000, wall_ms: clock::unix_ms() };
    Moment { boot, stamp }
}

fn run_verify(args: &VerifyArgs) -> Result<(), String> {
    let head = args.head.as_deref().map(deposited).transpose()?;
    let expected = Expected { head, key: args.public_key };
    let verified = verify(&args.dir, expected).map_err(text)?;
    if args.accounts {
        print!("{}", accounts(&verified.replay));
    }
    if verified.unfinished {
        println!("a daemon is writing the next record");
    }
    if let Some(key) = &verified.key {
        println!("{} heads, signed by {}", verified.heads, hex(key));
    }
    println!("{}", sum(&verified));
    Ok(())
}

/// The last line of a verification.
fn sum(verified: &Verified) -> String {
    let accounts = verified.replay.accounts().len();
    format!("{} records, {accounts} accounts, sum 0", verified.records)
}

fn deposited(file: &Path) -> Result<Deposit, String> {
    let at = |error: &dyn Display| format!("--head {}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| at(&error))?;
    serde_json::from_str(&text).map_err(|error| at(&error))
}

/// Balances in ledger units: what is posted, and what open segments came to by the last proof.
fn accounts(replay: &Replay) -> Table {
    let mut table =
        Table::new(["ACCOUNT", "BALANCE", "RUNNING", "PROVISIONAL", "FINAL", "DISPUTED"]);
    let states = replay.by_state(&now());
    let running = export::running(replay);
    for (place, (account, balance)) in replay.accounts().enumerate() {
        let state = states.get(place).copied().unwrap_or_default();
        let running = running.get(place).copied().unwrap_or_default();
        table.row([
            row::account(account),
            balance.to_string(),
            running.to_string(),
            state.provisional.to_string(),
            state.settled.to_string(),
            state.disputed.to_string(),
        ]);
    }
    table
}

fn head(dir: &Path) -> Result<(), String> {
    let verified = verify(dir, Expected::default()).map_err(text)?;
    let head = verified.head.ok_or("no head was signed yet; one follows within a minute")?;
    println!("{}", serde_json::to_string(&head).map_err(text)?);
    Ok(())
}

fn copied<E: Display>(done: Result<Verified, E>, to: &Path) -> Result<(), String> {
    let verified = done.map_err(text)?;
    println!("{}: {}", to.display(), sum(&verified));
    Ok(())
}

fn rotate_key(dir: &Path) -> Result<(), String> {
    exists(dir)?;
    let mut journal = Journal::open(dir, Options::default()).map_err(text)?;
    let key = journal.rotate_key().map_err(text)?;
    println!("{} signs from here on", hex(&key));
    Ok(())
}

fn run_repair(dir: &Path) -> Result<(), String> {
    exists(dir)?;
    match repair(dir).map_err(text)? {
        None => println!("nothing is wrong with the chain; nothing was changed"),
        Some(repaired) => {
            println!("{}", repaired.fault);
            println!("record {} is the last one now; what stood behind it:", repaired.kept);
            for file in repaired.aside {
                println!("  {}", file.display());
            }
        }
    }
    Ok(())
}

/// The daemon that writes the books of a directory, if one does, and the directory as it knows it.
/// Who may not look at the books asks the daemon, which knows who may do what.
pub(crate) fn keeper(daemon: &Daemon, dir: &Path) -> Result<Option<(Client, PathBuf)>, String> {
    let denied = std::fs::read_dir(dir)
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    if !denied && lock::holder(dir).is_none() {
        return Ok(None);
    }
    let directory = dir.canonicalize().or_else(|_| std::path::absolute(dir)).map_err(text)?;
    let client = Client::connect(&daemon.socket).map_err(text)?;
    Ok(Some((client, directory)))
}

fn close_period(args: &ClosePeriodArgs) -> Result<(), String> {
    let number = if let Some((mut client, directory)) = keeper(&args.daemon, &args.dir)? {
        match client.ask(&Request::ClosePeriod { directory }).map_err(text)? {
            Reply::Period(number) => number,
            other => return Err(format!("the daemon gave another answer: {other:?}")),
        }
    } else {
        exists(&args.dir)?;
        period::close(&args.dir, &now()).map_err(text)?
    };
    println!("period {number} is closed");
    Ok(())
}

/// Where bills are issued, a period is put away only when its bills are.
fn billed(dir: &Path, through: u64) -> Result<(), String> {
    let (book, replay) = match crate::billing::bills(dir) {
        Ok(known) => known,
        // That is told by who puts it away.
        Err(crate::billing::NotIssued::Unsound(_)) => return Ok(()),
        Err(error) => return Err(text(error)),
    };
    let first = book.to_bill().into_iter().find(|(_, period, _)| *period <= through);
    let due = first.map(|(holder, ..)| holder);
    let due = due.or_else(|| book.to_credit().into_iter().map(|(holder, ..)| holder).next());
    match due.filter(|_| replay.has_bills()) {
        None => Ok(()),
        Some(holder) => Err(format!(
            "{holder} has no bill yet for what is to be put away; nothing was changed: issue it \
             with `lcmctl bill issue`"
        )),
    }
}

fn run_prune(args: &PruneArgs) -> Result<(), String> {
    exists(&args.dir)?;
    billed(&args.dir, args.through)?;
    let pruned = prune(&args.dir, args.through, args.to.as_deref(), &now()).map_err(text)?;
    match pruned {
        None => println!("no file holds only periods up to {}; nothing was changed", args.through),
        Some(pruned) => {
            let done = if args.to.is_some() { "moved" } else { "removed" };
            println!("record {} is the first one now; {done}:", pruned.first);
            for file in pruned.files {
                println!("  {}", file.display());
            }
        }
    }
    Ok(())
}

/// Prints a record as a line of JSON.
pub(crate) fn print_record(number: u64, body: &Body) -> Result<(), String> {
    export::print(number, body).map_err(text)
}

/// What writes would make a directory of a mistyped name.
fn exists(dir: &Path) -> Result<(), String> {
    if dir.is_dir() { Ok(()) } else { Err("no such directory".to_owned()) }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_64_digits() {
        assert_eq!(public_key(&"0f".repeat(32)), Ok([0x0f; 32]));
        for wrong in ["0f", &"0g".repeat(32), &"é".repeat(32)] {
            assert!(public_key(wrong).unwrap_err().contains("64 hexadecimal digits"), "{wrong}");
        }
    }
}
