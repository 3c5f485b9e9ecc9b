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

pub mod forwarder;
mod journal;
pub(crate) mod messages;
mod overhead;
mod report;
mod router;
mod traffic;
mod transit;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use lcm_daemon::lab;

/// Measures how fast the daemon is.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The daemon as a transit router, beside a bare forwarder.
    Transit(Options),
    /// What a message costs, counted by valgrind: charging beside passing policy elements on.
    Overhead(overhead::Options),
    /// The journal, beside a bare loop of appends and redb.
    Journal(journal::Options),
}

/// How to run the benchmark.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// One short round of everything, under 40 s; otherwise three longer ones and their medians.
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
}

/// The program: reads the command line, measures, prints.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Transit(options) => transit(&options),
        What::Overhead(options) => {
            overhead::measure(&options).map(|table| println!("{table}")).map_err(Into::into)
        }
        What::Journal(options) => journal::measure(&options).map(|report| println!("{report}")),
    };
    if let Err(error) = result {
        eprintln!("bench: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn transit(options: &Options) -> Result<(), Box<dyn Error>> {
    let report = lab::enter(&[]).and_then(|()| transit::measure(options))?;
    if options.json {
        println!("{}", report.json());
    } else {
        println!("{report}");
    }
    Ok(())
}
