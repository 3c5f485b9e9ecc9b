//! One program that is every process of a test: the daemon that ships, and small helpers.
//!
//! Cargo builds a daemon for another package's tests only if they ask for it; the daemon's code is
//! a library, though, so our own programs become the daemon when they are called as
//! `<program> daemon --config FILE`.

use std::ffi::OsString;
use std::process::ExitCode;

use lcm_daemon::lab::process::die_with_parent;

use crate::bench::forwarder;
use crate::{cost, crash};

/// First argument of a process that is to be the daemon; the daemon's own arguments follow.
pub const DAEMON: &str = "daemon";
/// First argument of a process that is to be `lcmctl`; its own arguments follow.
pub const CTL: &str = "ctl";
/// First argument of a process that is to be the bare forwarder of the benchmark.
pub const FORWARDER: &str = "forwarder";
/// First argument of a process that writes a journal until it is killed.
pub const JOURNAL: &str = "write-journal";
/// First argument of a process that keeps the books of a router until it is killed.
pub const KEEP_BOOKS: &str = "keep-books";
/// First argument of a process that makes a journal and its key.
pub const JOURNAL_OPEN: &str = "open-journal";
/// First argument of a process that writes a journal on a file system that is full for a while.
pub const JOURNAL_FULL: &str = "fill-disk";
/// First argument of a process that plays messages through an engine while valgrind counts.
pub const SCRIPT: &str = "script";

/// Plays the part that the first argument names, if it names one; to be called first of all in
/// `main`, and its result to be returned. `None`: the program is called for its own purpose.
#[must_use]
pub fn play_part() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let part = arguments.next()?;
    let play: fn(Vec<OsString>) -> ExitCode = match part.to_str()? {
        DAEMON => daemon,
        CTL => ctl,
        FORWARDER => forwarder::main,
        JOURNAL => crash::writer,
        KEEP_BOOKS => crash::books::keeper,
        JOURNAL_OPEN => crash::opener,
        JOURNAL_FULL => crash::full_disk,
        SCRIPT => cost::script::main,
        _ => return None,
    };
    if let Err(error) = die_with_parent() {
        eprintln!("{error}");
        return Some(ExitCode::FAILURE);
    }
    Some(play(arguments.collect()))
}

/// The daemon, by its own command line.
fn daemon(arguments: Vec<OsString>) -> ExitCode {
    let name = OsString::from("lcm-daemon");
    lcm_daemon::cli::daemon_with(std::iter::once(name).chain(arguments)).into()
}

/// `lcmctl`, by its own command line.
fn ctl(arguments: Vec<OsString>) -> ExitCode {
    let name = OsString::from("lcmctl");
    lcm_daemon::ctl::ctl_with(std::iter::once(name).chain(arguments)).into()
}
