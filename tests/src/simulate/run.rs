//! The program: one network, or many; what came of them; how to see a failure again.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;

use super::plan::Plan;
use super::play::{Failure, Totals, play};
use super::scenario::{Scenario, stage};

/// Differences that a report shows; the rest follows from them as a rule.
const SHOWN: usize = 12;
/// Networks of a series have at least this many nodes.
const LEAST_NODES: usize = 4;

/// Plays random networks of RSVP engines in virtual time and holds them against a reference.
#[derive(Debug, Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// Seed of the network, or of the first one of several.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nodes of the network; with --networks, the most that one has.
    #[arg(long, default_value_t = 12)]
    nodes: usize,
    /// Minutes of virtual time before everything is torn down.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Plays this many networks, with sizes from 4 nodes to --nodes.
    #[arg(long)]
    networks: Option<u64>,
    /// Plays this scenario instead of a random life, and prints its figures.
    #[arg(long, value_enum)]
    scenario: Option<Scenario>,
    /// Also prints every message of the network.
    #[arg(long)]
    story: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(scenario) = arguments.scenario {
        println!("{}", stage(scenario, arguments.seed));
        return ExitCode::SUCCESS;
    }
    // A panic is reported as what it is: the end of one network.
    panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let (totals, failed) = match arguments.networks {
        None => one(&arguments),
        Some(networks) => {
            let Arguments { seed, nodes, minutes, .. } = arguments;
            let (totals, reports) = series(Plan { seed, nodes, minutes }, networks);
            reports.iter().for_each(|report| println!("{report}"));
            (totals, reports.len() as u64)
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let rate = totals.networks as f64 / seconds.max(1e-9);
    eprintln!("{seconds:.1} s, {rate:.2} networks a second");
    report(&totals, failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(arguments: &Arguments) -> (Totals, u64) {
    let Arguments { seed, nodes, minutes, story, .. } = *arguments;
    let plan = Plan { seed, nodes, minutes };
    let outcome = attempt(plan, story);
    let mut totals = Totals::default();
    match outcome {
        Ok(own) => totals.add(&own),
        Err(text) => {
            println!("{text}");
            return (totals, 1);
        }
    }
    (totals, 0)
}

/// Plays many networks on all cores, with seeds from that of `first` and sizes up to its own;
/// returns what they came to, and a report for each that failed.
pub fn series(first: Plan, networks: u64) -> (Totals, Vec<String>) {
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new(Vec::new());
    let work = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= networks {
            return;
        }
        let outcome = attempt(member(first, index), false);
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    let mut totals = Totals::default();
    let mut reports = Vec::new();
    for (_, outcome) in outcomes {
        match outcome {
            Ok(own) => totals.add(&own),
            Err(text) => reports.push(text),
        }
    }
    (totals, reports)
}

/// One network of a series.
fn member(first: Plan, index: u64) -> Plan {
    let seed = first.seed + index;
    let most = first.nodes.max(LEAST_NODES);
    let sizes = (most - LEAST_NODES + 1) as u64;
    let nodes = LEAST_NODES + (seed % sizes) as usize;
    Plan { seed, nodes, ..first }
}

/// Plays a network; an error is the text of its report.
fn attempt(plan: Plan, story: bool) -> Result<Totals, String> {
    let told = AtomicBool::new(false);
    let played = panic::catch_unwind(AssertUnwindSafe(|| {
        let (result, world) = play(plan);
        if story {
            told.store(true, Ordering::Relaxed);
            println!("{}\n{}", world.diary.join("\n"), world.net.story());
        }
        result.map_err(|failure| describe(plan, &failure))
    }));
    played.unwrap_or_else(|reason| Err(described(plan, "", &panic_text(reason.as_ref()))))
}

fn panic_text(reason: &(dyn Any + Send)) -> String {
    let text = reason.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| reason.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    let lines: Vec<&str> = text.lines().take(SHOWN).collect();
    lines.join("\n  ")
}

fn describe(plan: Plan, failure: &Failure) -> String {
    let seconds = failure.at_us as f64 / 1e6;
    let shown = failure.differences.iter().take(SHOWN).map(|d| format!("  {d}\n"));
    let more = failure.differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("  and {more} more\n") } else { String::new() };
    let diary: String = failure.diary.iter().map(|line| format!("  | {line}\n")).collect();
    let when = format!(" at {seconds:.3} s");
    let text = format!("{}\n{diary}{}{more}", failure.promise, shown.collect::<String>());
    described(plan, &when, &text)
}

fn described(plan: Plan, when: &str, text: &str) -> String {
    let Plan { seed, nodes, minutes } = plan;
    format!(
        "FAILED: seed {seed}{when}: {text}\n  again: cargo run --release -p lcm-tests --bin \
         simulate -- --seed {seed} --nodes {nodes} --minutes {minutes}\n"
    )
}

fn report(totals: &Totals, failed: u64) {
    let hours = totals.virtual_ms as f64 / 3_600_000.0;
    println!("networks             {:>12}", totals.networks);
    println!("networks that failed {failed:>12}");
    println!("virtual hours        {hours:>12.1}");
    println!("messages             {:>12}", totals.messages);
    println!("states compared      {:>12}", totals.compared);
    println!("rests                {:>12}", totals.rests);
    println!("slowest rest         {:>11.1}%", totals.slowest as f64 / 10.0);
    println!("messages per change  {:>12.2}", totals.dearest as f64 / 100.0);
    for (kind, count) in &totals.faults {
        println!("{kind:<24} {count:>8}");
    }
    println!("digest {:016x}", totals.digest);
}
