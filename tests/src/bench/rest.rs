//! What sessions cost that nobody touches: CPU time while they are refreshed and no more.

use std::time::Duration;

use lcm_daemon::lab::LabError;
use serde_json::json;

use super::Options;
use super::figure::Figure;
use super::outcome::{Outcome, Plot, Table};
use super::router::{Kind, Setting};
use super::sizes::{begin, curve, label, populated, sizes};

/// R of all nodes.
const PERIOD: Duration = Duration::from_secs(30);
/// So long nothing is counted: the first refresh comes after half a period at the earliest, and then
/// they come as often as ever. Then so long it is; with a million sessions a whole period.
const WARM_UP: Duration = Duration::from_secs(16);
const SHORT: Duration = Duration::from_secs(12);

/// What one second costs and brings.
#[derive(Debug, Clone, Copy)]
struct Second {
    /// Share of one CPU, in percent.
    cpu_percent: f64,
    /// Refreshes of a state that came, and that went, in whole or as a number.
    refreshes_in: f64,
    refreshes_out: f64,
    /// A generator that was held up sends less than it should.
    sent_share: f64,
}

/// Measures with refresh reduction, without, and with charging off.
///
/// # Errors
/// If the network cannot be built, or sessions do not come up.
pub(crate) fn measure(options: &Options) -> Result<Outcome, LabError> {
    let standing = Setting { refresh_ms: 30_000, ..Setting::FULL };
    let numbers = Setting { reduction: true, ..standing };
    let ignorant = Setting { charging: false, books: false, ..numbers };
    let settings = [
        ("reduction", "refreshes by number", numbers),
        ("whole", "refreshes in whole", standing),
        ("reduction_charging_off", "by number, charging off", ignorant),
    ];
    let mut table = Table::new(
        "CPU at rest, R = 30 s: percent of one CPU",
        &["", settings[0].1, settings[1].1, settings[2].1, "states refreshed a second, in, out"],
    );
    let mut rows: Vec<(u32, [Option<Second>; 3])> = Vec::new();
    for size in sizes(options) {
        let mut row = [None; 3];
        for (cell, (_, name, setting)) in row.iter_mut().zip(settings) {
            // Without charging a million are not worth their minutes.
            if setting.charging || size < 1_000_000 {
                begin("rest", size, name);
                *cell = Some(rest(options, setting, size, &mut table)?);
            }
        }
        rows.push((size, row));
    }
    for (size, row) in &rows {
        let text = |cell: &Option<Second>| {
            cell.map_or("-".to_owned(), |second| format!("{:.2}", second.cpu_percent))
        };
        let rates = row[0].map_or("-".to_owned(), |second| {
            format!("{:.0}, {:.0}", second.refreshes_in, second.refreshes_out)
        });
        table.row(label(*size), row.iter().map(text).chain([rates]));
    }
    table.note(
        "both neighbours refresh PATH and RESV of each session once in R and acknowledge; \
                the generator speaks RFC 2961 itself; one round of 12 s, of 30 s with a million",
    );
    Ok(outcome(table, &rows, settings.map(|(key, name, _)| (key, name))))
}

fn outcome(table: Table, rows: &[(u32, [Option<Second>; 3])], names: [(&str, &str); 3]) -> Outcome {
    let mut json = serde_json::Map::new();
    let mut curves = Vec::new();
    for (at, (key, name)) in names.into_iter().enumerate() {
        let cells: Vec<(u32, Second)> = rows
            .iter()
            .filter_map(|(size, row)| Some((*size, row.get(at).copied().flatten()?)))
            .collect();
        let values = cells.iter().map(|(size, second)| {
            json!({ "sessions": size, "cpu_percent": second.cpu_percent,
                    "refreshes_in_per_s": second.refreshes_in.round(),
                    "refreshes_out_per_s": second.refreshes_out.round() })
        });
        json.insert(key.to_owned(), values.collect());
        let figures: Vec<_> =
            cells.iter().map(|(size, s)| (*size, Figure::of([s.cpu_percent]))).collect();
        curves.push(curve(name, &figures));
    }
    let plot = Plot {
        file: "rest",
        title: "CPU at rest, R = 30 s".to_owned(),
        unit: "percent of one CPU".to_owned(),
        curves,
    };
    Outcome { name: "rest", tables: vec![table], json: json.into(), plots: vec![plot] }
}

fn rest(
    options: &Options,
    setting: Setting,
    sessions: u32,
    table: &mut Table,
) -> Result<Second, LabError> {
    let time = if sessions >= 1_000_000 { PERIOD } else { SHORT };
    let kind = Kind::Daemon(setting);
    let (second, notes) =
        populated(options, kind, sessions, setting.reduction, |bench, population| {
            population.live(PERIOD, WARM_UP, |_| Ok(false))?;
            let (before, cpu) = (population.counts, bench.cpu_time()?);
            let lasted = population.live(PERIOD, time, |_| Ok(false))?.as_secs_f64();
            let (after, cpu) = (population.counts, bench.cpu_time()? - cpu);
            let came =
                |of: fn(&super::population::Counts) -> u64| (of(&after) - of(&before)) as f64;
            let refreshes_in = came(|counts| counts.refreshes) / lasted;
            let due = 2.0 * f64::from(sessions) / PERIOD.as_secs_f64();
            let second = Second {
                cpu_percent: cpu.as_secs_f64() / lasted * 100.0,
                refreshes_in,
                refreshes_out: came(|counts| counts.paths + counts.resvs + counts.numbers) / lasted,
                sent_share: refreshes_in / due,
            };
            Ok((second, population.oddities(&label(sessions))))
        })?;
    notes.into_iter().for_each(|note| table.note(note));
    if second.sent_share < 0.98 {
        table.note(format!(
            "{}: the generator sent only {:.0} % of the refreshes that were due",
            label(sessions),
            second.sent_share * 100.0
        ));
    }
    Ok(second)
}
