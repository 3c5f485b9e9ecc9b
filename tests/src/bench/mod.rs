//! The benchmark of a transit router.
//!
//! ```text
//!  node G            node D                  node K
//!  generator ──PATH──> the router under test ──PATH──> sink
//!            <──RESV── (a process)           <──RESV──
//! ```
//!
//! Generator and sink are one thread of this process on one CPU, the router is a process of its
//! own on another. A *set-up* is one PATH of a new session from G to K, where its quote is read,
//! and the RESV that pays it back to G; each is parsed and checked at both ends, and counted once.
//! The same is run through a bare forwarder on the same raw socket: what the kernel alone costs.

mod all;
mod bytes;
mod change;
mod disk;
mod end;
mod figure;
pub mod forwarder;
mod journal;
mod latency;
mod memory;
pub(crate) mod messages;
mod numbers;
mod outcome;
mod overhead;
mod plot;
mod population;
mod report;
mod rest;
mod restart;
mod router;
mod sizes;
mod traffic;
mod transit;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lcm_daemon::lab::{self, LabError};

use outcome::Outcome;

/// Measures how fast the daemon is.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Everything below but the journal, one table after the other, in half an hour.
    All(Options),
    /// The daemon as a transit router, beside a bare forwarder.
    Transit(Options),
    /// Resident memory by the number of sessions.
    Memory(Options),
    /// CPU time while sessions stand and are refreshed, by their number.
    Rest(Options),
    /// How long a PATH takes through the router, beside a bare forwarder.
    Latency(Options),
    /// What joins, leaves and prices cost beside many sessions.
    Change(Options),
    /// How long a router that was killed takes to come back.
    Restart(Options),
    /// What a message costs, counted by valgrind: charging beside passing policy elements on.
    Overhead(overhead::Options),
    /// The journal, beside a bare loop of appends and redb.
    Journal(journal::Options),
}

/// How to run a benchmark.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// One short round of everything and fewer sessions, for a first look.
    #[arg(long)]
    quick: bool,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// Set-ups offered a second in the measurement of delivery and CPU time.
    #[arg(long, value_name = "RATE", default_value_t = 28_000)]
    offered: u32,
    /// Measure the bare forwarder only.
    #[arg(long)]
    forwarder_only: bool,
    /// Most sessions to measure with: 100000 in a quick run, else 1000000.
    #[arg(long, value_name = "N")]
    sessions: Option<u32>,
    /// Draw costs against the number of sessions into this directory, as SVG.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Keep the daemon's books below this directory, on a real disk.
    #[arg(long, value_name = "DIR", default_value_os_t = disk::beside_program())]
    books: PathBuf,
}

/// The program: reads the command line, measures, prints.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::All(options) => all::measure(&options),
        What::Transit(options) => in_the_lab(&options, transit::measure),
        What::Memory(options) => in_the_lab(&options, memory::measure),
        What::Rest(options) => in_the_lab(&options, rest::measure),
        What::Latency(options) => in_the_lab(&options, latency::measure),
        What::Change(options) => in_the_lab(&options, change::measure),
        What::Restart(options) => in_the_lab(&options, restart::measure),
        What::Overhead(options) => overhead::run(&options),
        What::Journal(options) => journal::measure(&options).map(|report| println!("{report}")),
    };
    if let Err(error) = result {
        eprintln!("bench: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Measures in namespaces of its own, and prints.
fn in_the_lab(
    options: &Options,
    measure: fn(&Options) -> Result<Outcome, LabError>,
) -> Result<(), Box<dyn Error>> {
    let outcome = enter(options).and_then(|()| measure(options))?;
    if options.json {
        println!("{}", outcome.json);
    } else {
        print!("{outcome}");
    }
    draw(options, &outcome)
}

/// Enters namespaces of its own, from which the books and the plots can still be written.
fn enter(options: &Options) -> Result<(), LabError> {
    let mut keep = vec![options.books.as_path()];
    keep.extend(options.plots.as_deref());
    lab::enter(&keep)
}

/// Writes the plots of a benchmark, where they are wanted.
fn draw(options: &Options, outcome: &Outcome) -> Result<(), Box<dyn Error>> {
    let Some(directory) = &options.plots else { return Ok(()) };
    for plot in &outcome.plots {
        let path = directory.join(format!("bench-{}.svg", plot.file));
        let written = std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&path, plot::svg(plot)));
        written.map_err(|error| format!("writing {}: {error}", path.display()))?;
    }
    Ok(())
}

/// Says on standard error how far it has come.
fn progress(what: &str) {
    eprintln!("bench: {what}");
}
