//! All states of small networks of real engines: `explore --states 5000000`.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use lcm_tests::explore::{Change, Limits, Scenario, explore, library};
use rsvp_wire::object::Style;

/// Explores every interleaving of deliveries, timers and faults in small networks.
#[derive(Debug, Parser)]
struct Args {
    /// Most states of one scenario.
    #[arg(long, default_value_t = 5_000_000)]
    states: usize,
    /// Messages that are lost, doubled or late in one play.
    #[arg(long, default_value_t = 2)]
    faults: u8,
    /// Messages on a link keep their order.
    #[arg(long)]
    in_order: bool,
    /// Only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut failed = false;
    let mut scenarios = scenarios(args.faults);
    scenarios.retain(|scenario| scenario.name.contains(&args.only));
    for scenario in &mut scenarios {
        scenario.budget.in_order = args.in_order;
        let start = Instant::now();
        let report = explore(scenario, Limits::states(args.states));
        println!("{}", report.line(scenario));
        eprintln!("  {:.1} s", start.elapsed().as_secs_f64());
        if let Some(violation) = &report.violation {
            println!("{violation}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn scenarios(faults: u8) -> Vec<Scenario> {
    vec![
        library::pair(faults),
        library::two_sessions(faults),
        library::line(faults, false),
        library::line(faults, true),
        library::tears(faults),
        library::refusal(faults),
        library::branch(Style::SharedExplicit, faults),
        library::branch(Style::WildcardFilter, faults),
        library::crash(faults),
        library::triangle(&[Change::Down(0), Change::Up(0)], faults),
        library::triangle(&[Change::Avoid(0), Change::Take(0)], faults),
    ]
}
