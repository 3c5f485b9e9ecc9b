//! A router that is killed and started again while many sessions stand: how long until it answers,
//! and until all of them are back.

use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;
use serde_json::json;

use super::Options;
use super::figure::rounded;
use super::outcome::{Curve, Outcome, Plot, Table};
use super::population::Population;
use super::router::{Bench, Kind, Setting};
use super::sizes::{begin, label, populated, sizes};

/// R, and in a quick run.
const PERIOD: Duration = Duration::from_secs(30);
const QUICK: Duration = Duration::from_secs(10);
/// How often a new PATH asks whether the router is back.
const ASKING: Duration = Duration::from_millis(20);

/// What was seen with so many sessions; seconds since the router was killed.
#[derive(Debug, Clone, Copy)]
struct Row {
    sessions: u32,
    first_path: Option<f64>,
    back: u32,
    all_back: f64,
}

/// Measures.
///
/// # Errors
/// If the network cannot be built, or the router does not come back.
pub(crate) fn measure(options: &Options) -> Result<Outcome, LabError> {
    let period = if options.quick { QUICK } else { PERIOD };
    let mut table = Table::new(
        format!("SIGKILL and start, books on disk, R = {} s", period.as_secs()),
        &["", "s to the first PATH", "sessions back", "s to all back", "in R"],
    );
    let mut rows = Vec::new();
    for size in sizes(options) {
        begin("restart", size, "killed and started");
        rows.push(restart(options, size, period)?);
    }
    for Row { sessions, first_path, back, all_back } in &rows {
        let first = first_path.map_or("never".to_owned(), |s| format!("{s:.2}"));
        let share = all_back / period.as_secs_f64();
        table.row(
            label(*sessions),
            [first, back.to_string(), format!("{all_back:.1}"), format!("{share:.2}")],
        );
    }
    table.note(
        "seconds since SIGKILL; the neighbours refresh in whole, each session once in R, evenly, \
         and answer what changes; a session is back when its RESV reaches the generator",
    );
    let values = rows.iter().map(|row| {
        json!({ "sessions": row.sessions, "first_path_s": row.first_path.map(|s| rounded(s, 3)),
                "back": row.back, "all_back_s": rounded(row.all_back, 2),
                "all_back_periods": rounded(row.all_back / period.as_secs_f64(), 3) })
    });
    let json = json!({ "period_s": period.as_secs(), "rows": values.collect::<Vec<_>>() });
    let first = rows.iter().filter_map(|row| Some((f64::from(row.sessions), row.first_path?)));
    let all = rows.iter().map(|row| (f64::from(row.sessions), row.all_back));
    let plot = Plot {
        file: "restart",
        title: "Restart".to_owned(),
        unit: "seconds since SIGKILL".to_owned(),
        curves: vec![
            Curve { name: "first PATH".to_owned(), points: first.collect() },
            Curve { name: "all sessions back".to_owned(), points: all.collect() },
        ],
    };
    Ok(Outcome { name: "restart", tables: vec![table], json, plots: vec![plot] })
}

fn restart(options: &Options, sessions: u32, period: Duration) -> Result<Row, LabError> {
    let refresh_ms = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    let kind = Kind::Daemon(Setting { refresh_ms, ..Setting::FULL });
    populated(options, kind, sessions, false, |bench, population| {
        population.live(period, Duration::from_secs(1), |_| Ok(false))?;
        come_back(bench, population, period)
    })
}

fn come_back(
    bench: &mut Bench,
    population: &mut Population,
    period: Duration,
) -> Result<Row, LabError> {
    let sessions = population.sessions();
    let start = Instant::now();
    bench.kill_and_start()?;
    population.router_died();
    // A session of its own, so that no refresh is waited for.
    population.begin(1)?;
    let (mut first_path, mut asked) = (None, Instant::now());
    population.live(period, 3 * period, |population| {
        if first_path.is_none() {
            if population.is_through(sessions) {
                first_path = Some(start.elapsed().as_secs_f64());
            } else if asked.elapsed() > ASKING {
                asked = Instant::now();
                population.repeat(sessions)?;
            }
        }
        Ok(first_path.is_some() && population.standing() == population.sessions())
    })?;
    bench.check()?;
    let back = population.standing().min(sessions);
    Ok(Row { sessions, first_path, back, all_back: start.elapsed().as_secs_f64() })
}
