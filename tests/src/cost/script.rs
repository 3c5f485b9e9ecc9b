//! A fixed script of messages, played in a process of its own that valgrind watches.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use super::{Policy, Transit, Way};

/// What one run plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// PATHs of new sessions.
    Paths,
    /// PATHs of new sessions and the RESVs that answer them.
    SetUps,
    /// Sessions that stand, and then the PATH of each session again.
    PathRefreshes,
    /// Sessions that stand, and then the RESV of each session again.
    ResvRefreshes,
}

/// The script's arguments.
#[derive(Debug, Clone, Copy, Parser)]
pub struct Script {
    /// What is played.
    #[arg(value_enum)]
    pub part: Part,
    /// For so many sessions.
    #[arg(long, default_value_t = 1_000)]
    pub sessions: u32,
    /// And so many times again, where something is refreshed.
    #[arg(long, default_value_t = 1)]
    pub rounds: u32,
    /// The router passes policy elements on.
    #[arg(long)]
    pub ignorant: bool,
}

/// Plays the part that the command line names.
#[must_use]
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let name = OsString::from("script");
    play(Script::parse_from(std::iter::once(name).chain(arguments)));
    ExitCode::SUCCESS
}

/// Plays a script.
///
/// # Panics
/// If the router does not do what a transit router does.
pub fn play(script: Script) {
    let Script { part, sessions, rounds, ignorant } = script;
    let policy = if ignorant { Policy::Ignorant } else { Policy::Charging };
    let mut transit = Transit::new(policy);
    if part == Part::Paths {
        for session in 0..sessions {
            let path = transit.path(session);
            transit.take(Way::Down, &path);
        }
        return;
    }
    if part == Part::SetUps {
        (0..sessions).for_each(|session| transit.set_up(session));
        return;
    }
    let messages: Vec<_> = (0..sessions).map(|session| transit.establish(session)).collect();
    // What a PATH starts, such as news that waits to be told, is over.
    transit.pass_us(1_000_000);
    transit.wake();
    let sent = transit.sent;
    for _ in 0..rounds {
        transit.pass_us(10_000_000);
        for [path, resv] in &messages {
            match part {
                Part::PathRefreshes => transit.take(Way::Down, path),
                Part::ResvRefreshes => transit.take(Way::Up, resv),
                Part::Paths | Part::SetUps => {}
            }
        }
    }
    assert_eq!(transit.sent, sent, "a refresh that changes nothing is answered by nothing");
}
