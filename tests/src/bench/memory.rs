//! What a session takes in memory: resident bytes by the number of sessions.

use lcm_daemon::lab::LabError;
use serde_json::json;

use super::Options;
use super::figure::Figure;
use super::outcome::{Outcome, Plot, Table};
use super::population::Population;
use super::router::{Kind, Setting};
use super::sizes::{begin, curve, label, rounds, sizes};
use super::transit::with_router;

/// Resident bytes of a router with so many sessions, in all and for each session.
type Row = (u32, Figure, Figure);

/// Measures a router that charges beside one that does not.
///
/// # Errors
/// If the network cannot be built, or sessions do not come up.
pub(crate) fn measure(options: &Options) -> Result<Outcome, LabError> {
    let settings = [
        ("charging", "charging, durable books", Setting::FULL),
        ("charging_off", "charging off", Setting::IGNORANT),
    ];
    let mut table = Table::new(
        "Resident memory: 1 PATH, 1 RESV, 1 sender, 1 receiver a session",
        &["", "charging, B a session", "MB in all", "charging off, B a session", "MB in all"],
    );
    let mut all: Vec<Vec<Row>> = Vec::new();
    for (_, name, setting) in settings {
        let rows = sizes(options).into_iter().map(|size| {
            begin("memory", size, name);
            let rounds: Result<Vec<_>, LabError> = (0..rounds(options, size))
                .map(|_| resident(options, setting, size, &mut table))
                .collect();
            let rounds = rounds?;
            let whole = Figure::of(rounds.iter().map(|(_, whole)| whole / 1e6));
            Ok((size, Figure::of(rounds.iter().map(|(each, _)| *each)), whole))
        });
        all.push(rows.collect::<Result<_, LabError>>()?);
    }
    for (at, size) in sizes(options).into_iter().enumerate() {
        let cells = all.iter().filter_map(|rows| rows.get(at));
        table.row(label(size), cells.flat_map(|(_, each, whole)| [each.text(0), whole.text(1)]));
    }
    table.note(
        "each session stands end to end (ESTABLISHED); what the daemon holds before the \
                first one is left out of the bytes a session, not of the megabytes",
    );
    let mut json = serde_json::Map::new();
    let mut curves = Vec::new();
    for ((key, name, _), rows) in settings.iter().zip(&all) {
        let rows_json = rows.iter().map(|(size, each, whole)| {
            json!({ "sessions": size, "bytes_per_session": each.json(0),
                    "spread": each.spread(0), "resident_mb": whole.json(1) })
        });
        json.insert((*key).to_owned(), rows_json.collect());
        let figures: Vec<_> = rows.iter().map(|(size, each, _)| (*size, each.clone())).collect();
        curves.push(curve(*name, &figures));
    }
    let plot = Plot {
        file: "memory",
        title: "Resident memory of a session".to_owned(),
        unit: "bytes a session".to_owned(),
        curves,
    };
    Ok(Outcome { name: "memory", tables: vec![table], json: json.into(), plots: vec![plot] })
}

/// Resident bytes for each of so many sessions, and in all.
fn resident(
    options: &Options,
    setting: Setting,
    sessions: u32,
    table: &mut Table,
) -> Result<(f64, f64), LabError> {
    let (empty, full, notes) = with_router(Kind::Daemon(setting), &options.books, |bench| {
        let empty = bench.resident_bytes_when_idle()?;
        let mut population = Population::open(bench, setting.reduction)?;
        population.grow(bench, sessions)?;
        let notes = population.oddities(&label(sessions));
        Ok((empty, bench.resident_bytes()?, notes))
    })?;
    notes.into_iter().for_each(|note| table.note(note));
    Ok((full.saturating_sub(empty) as f64 / f64::from(sessions), full as f64))
}
