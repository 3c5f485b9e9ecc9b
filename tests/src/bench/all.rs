//! All benchmarks of the daemon, one after the other.

use std::error::Error;
use std::time::Instant;

use lcm_daemon::lab::LabError;
use serde_json::{Map, Value, json};

use super::outcome::Outcome;
use super::{
    Options, change, draw, enter, latency, memory, overhead, progress, rest, restart, transit,
};

/// A benchmark by its name.
type Benchmark = (&'static str, fn(&Options) -> Result<Outcome, LabError>);

/// In the order of their tables.
const ALL: [Benchmark; 7] = [
    ("transit", transit::measure),
    ("memory", memory::measure),
    ("rest", rest::measure),
    ("latency", latency::measure),
    ("change", change::measure),
    ("restart", restart::measure),
    ("overhead", overhead::in_all),
];

/// Measures everything. What fails is said, and the rest is measured all the same.
pub(super) fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    enter(options)?;
    let start = Instant::now();
    let mut json = Map::new();
    let mut failed = Vec::new();
    for (at, (name, benchmark)) in (1..).zip(ALL) {
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        progress(&format!("{name}, {at} of {}, after {minutes:.1} minutes", ALL.len()));
        match benchmark(options) {
            Ok(outcome) => {
                if !options.json {
                    println!("{outcome}");
                }
                draw(options, &outcome)?;
                json.insert(outcome.name.to_owned(), outcome.json);
            }
            Err(error) => {
                progress(&format!("{name} failed: {error}"));
                failed.push(name);
            }
        }
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    if options.json {
        json.insert("minutes".to_owned(), json!((minutes * 10.0).round() / 10.0));
        println!("{}", Value::Object(json));
    } else {
        println!("{minutes:.1} minutes in all.");
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} failed", failed.join(", ")).into()) }
}
