//! How long a PATH takes through the router: from the interface where it comes in to the one where
//! it goes out, by the kernel's own time stamps.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;
use lcm_daemon::lab::capture::{Capture, Captured, Direction, Tap};
use rsvp_wire::Message;
use serde_json::json;

use super::figure::Figure;
use super::messages::number_of;
use super::outcome::{Outcome, Table};
use super::population::Population;
use super::router::{Bench, Kind, Setting};
use super::transit::with_router;
use super::{Options, progress};

/// Between one PATH and the next: 1,000 a second.
const GAP: Duration = Duration::from_millis(1);
/// Points of the distribution that are shown.
const POINTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// What kind of PATH is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    New,
    Changed,
}

/// Measures the daemon beside the forwarder, in turn.
///
/// # Errors
/// If the network cannot be built, or PATHs are lost.
pub(crate) fn measure(options: &Options) -> Result<Outcome, LabError> {
    let (rounds, count) = if options.quick { (1, 2_000) } else { (5, 3_000) };
    let kinds = [Kind::Daemon(Setting::FULL), Kind::Forwarder];
    let loads = [
        ("new_sessions", "PATHs of new sessions", Load::New),
        ("changes", "PATHs that change a session", Load::Changed),
    ];
    let mut table = Table::new(
        "Latency at 1,000 PATHs a second, in to out, µs",
        &["", "daemon p50", "p99", "p99.9", "forwarder p50", "p99", "p99.9"],
    );
    let mut json = serde_json::Map::new();
    for (key, name, load) in loads {
        let mut found: [Vec<[f64; 3]>; 2] = Default::default();
        for round in 1..=rounds {
            for (kind, found) in kinds.into_iter().zip(&mut found) {
                progress(&format!("latency: {name}, {}, round {round} of {rounds}", kind.name()));
                found.push(with_router(kind, &options.books, |bench| sample(bench, load, count))?);
            }
        }
        let figures = found.map(|rounds| {
            [0, 1, 2]
                .map(|at| Figure::of(rounds.iter().filter_map(|points| points.get(at).copied())))
        });
        table.row(name, figures.iter().flatten().map(|figure| figure.text(1)));
        let mut of_load = serde_json::Map::new();
        for (kind, figures) in ["daemon", "forwarder"].into_iter().zip(&figures) {
            for ((point, _), figure) in POINTS.into_iter().zip(figures) {
                of_load.insert(
                    format!("{kind}_{point}_us"),
                    json!({ "median": figure.json(1), "spread": figure.spread(1) }),
                );
            }
        }
        json.insert(key.to_owned(), of_load.into());
    }
    table.note(format!(
        "packet sockets on both interfaces of the router, SO_TIMESTAMPNS; {rounds} rounds of \
         {count} PATHs"
    ));
    Ok(Outcome { name: "latency", tables: vec![table], json: json.into(), plots: Vec::new() })
}

/// The points of the distribution of one round, in µs.
fn sample(bench: &mut Bench, load: Load, count: u32) -> Result<[f64; 3], LabError> {
    let mut population = Population::open(bench, false)?;
    let first = if load == Load::Changed { 0 } else { 1 };
    population.grow(bench, if load == Load::Changed { count } else { 1 })?;
    population.answers_below = 0;
    let (up, down) = &bench.interfaces;
    let tap = |interface: &String, label: &str| Tap {
        node: bench.node.clone(),
        interface: interface.clone(),
        label: label.to_owned(),
    };
    let capture = Capture::start(vec![tap(up, "in"), tap(down, "out")], None)?;
    let start = Instant::now();
    for number in 0..count {
        while start.elapsed() < GAP * number {
            population.pump()?;
        }
        match load {
            Load::New => population.begin(1)?,
            Load::Changed => population.change(number)?,
        }
    }
    population.settle()?;
    let times = times(&capture.stop()?);
    if times.len() * 1_000 < count as usize * 999 {
        return Err(LabError::new(format!(
            "only {} of {count} PATHs came through the {}, from session {first} on",
            times.len(),
            bench.kind.name()
        )));
    }
    Ok(POINTS.map(|(_, share)| at_share(&times, share)))
}

/// How long each PATH was on its way, in µs, ascending.
fn times(packets: &[Captured]) -> Vec<f64> {
    let mut came: HashMap<u32, u64> = HashMap::new();
    let mut times = Vec::new();
    for packet in packets {
        let Some(rsvp) = packet.rsvp() else { continue };
        let Ok(Message::Path(path)) = Message::parse(rsvp.message) else { continue };
        let Some(number) = number_of(&path.session) else { continue };
        match packet.direction {
            Direction::In => {
                came.insert(number, packet.timestamp_ns);
            }
            Direction::Out => {
                if let Some(from) = came.remove(&number) {
                    times.push(packet.timestamp_ns.saturating_sub(from) as f64 / 1e3);
                }
            }
        }
    }
    times.sort_by(f64::total_cmp);
    times
}

/// The value that a share of all do not exceed.
fn at_share(ascending: &[f64], share: f64) -> f64 {
    let rank = (ascending.len() as f64 * share).ceil() as usize;
    ascending.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_points_of_a_distribution() {
        let ascending: Vec<f64> = (1..=1_000).map(f64::from).collect();
        assert_eq!(POINTS.map(|(_, share)| at_share(&ascending, share)), [500.0, 990.0, 999.0]);
        assert_eq!(at_share(&[], 0.5), 0.0);
    }
}
