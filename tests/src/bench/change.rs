//! What a change costs at a router that holds many sessions: a join, a leave, a new price; and
//! whether a price that touches very many of them is told at a pace that neighbours can follow.

use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;
use serde_json::json;

use super::Options;
use super::figure::{Figure, grouped, rounded};
use super::outcome::{Curve, Outcome, Plot, Table};
use super::population::Population;
use super::router::{Bench, Kind, PRICE, Setting};
use super::sizes::{begin, label, populated, sizes};

/// Joins, and as many leaves, that are counted.
const EVENTS: u32 = 1_000;
/// Between one and the next.
const GAP: Duration = Duration::from_millis(1);
/// Sessions that a change of a price is to touch while all of them are refreshed.
const TOUCHED: u32 = 100_000;
/// R while it does.
const PERIOD: Duration = Duration::from_secs(30);
/// In each of these it is counted how many PATHs come.
const SLICE: Duration = Duration::from_millis(100);
/// A price that is not told to all by then is not told.
const TOO_LATE: Duration = Duration::from_secs(60);

/// CPU microseconds for each event at a router with so many sessions.
#[derive(Debug, Clone, Copy)]
struct Costs {
    sessions: u32,
    join: f64,
    leave: f64,
    /// For each session whose price it is.
    price: f64,
}

/// How a price that touches many sessions was told.
#[derive(Debug, Clone, Copy)]
struct Told {
    sessions: u32,
    told: u32,
    seconds: f64,
    most_in_a_slice: u64,
    refreshes_sent: u64,
    answered: u64,
    drops: u64,
    crossed: u64,
    megabytes: [f64; 3],
}

/// Measures.
///
/// # Errors
/// If the network cannot be built, or sessions do not come up.
pub(crate) fn measure(options: &Options) -> Result<Outcome, LabError> {
    let mut notes = Vec::new();
    let mut rows = Vec::new();
    for size in sizes(options) {
        begin("change", size, "joins, leaves, a price");
        rows.push(costs(options, size, &mut notes)?);
    }
    let touched = TOUCHED.min(options.sessions.unwrap_or(TOUCHED));
    begin("change", touched, "a price that touches all of them");
    let told = tell(options, touched, &mut notes)?;
    let mut table = Table::new(
        "Cost of a change beside so many sessions, CPU µs",
        &["", "a join", "a leave", "a price, each session that it touches"],
    );
    for Costs { sessions, join, leave, price } in &rows {
        table.row(label(*sessions), [join, leave, price].map(|us| format!("{us:.1}")));
    }
    table.note(format!(
        "a join is a RESV for a session whose PATH stands and the RESV that goes up, with its \
         record in the books; a leave its RESVTEAR; {EVENTS} of each, 1,000 a second; what the \
         router does meanwhile for others is in them"
    ));
    notes.into_iter().for_each(|note| table.note(note));
    let points = |of: fn(&Costs) -> f64| {
        rows.iter().map(|costs| (f64::from(costs.sessions), of(costs))).collect()
    };
    let curves = vec![
        Curve { name: "a join".to_owned(), points: points(|costs| costs.join) },
        Curve { name: "a leave".to_owned(), points: points(|costs| costs.leave) },
        Curve { name: "a price, each session".to_owned(), points: points(|costs| costs.price) },
    ];
    let plot = Plot {
        file: "change",
        title: "Cost of a change".to_owned(),
        unit: "CPU µs".to_owned(),
        curves,
    };
    let json = json!({
        "costs": rows.iter().map(Costs::json).collect::<Vec<_>>(),
        "price_change": told.json(),
    });
    Ok(Outcome { name: "change", tables: vec![table, told.table()], json, plots: vec![plot] })
}

/// Joins, leaves and a price beside so many sessions.
fn costs(options: &Options, sessions: u32, notes: &mut Vec<String>) -> Result<Costs, LabError> {
    // Nothing is refreshed by the router while it is measured.
    let kind = Kind::Daemon(Setting { refresh_ms: 3_600_000, ..Setting::FULL });
    let (costs, odd) = populated(options, kind, sessions, false, |bench, population| {
        population.answers_below = sessions;
        population.begin(EVENTS)?;
        population.settle()?;
        let guests = sessions..sessions.saturating_add(EVENTS);
        let join = events(bench, population, guests.clone(), Population::reserve)?;
        let leave = events(bench, population, guests, Population::leave)?;
        let all = population.sessions();
        let before = bench.cpu_time()?;
        let Told { told, .. } = price(bench, population, PRICE * 2, Duration::from_secs(3_600))?;
        population.settle()?;
        let cpu = bench.cpu_time()? - before;
        let price = cpu.as_secs_f64() * 1e6 / f64::from(all);
        let mut odd = population.oddities(&label(sessions));
        if told < all {
            odd.push(format!("{}: the new price was told to {told} of {all}", label(sessions)));
        }
        Ok((Costs { sessions, join, leave, price }, odd))
    })?;
    notes.extend(odd);
    Ok(costs)
}

/// CPU microseconds for each of some events, one a millisecond.
fn events(
    bench: &mut Bench,
    population: &mut Population,
    numbers: std::ops::Range<u32>,
    event: fn(&mut Population, u32) -> Result<(), LabError>,
) -> Result<f64, LabError> {
    let (count, start, before) = (numbers.len(), Instant::now(), bench.cpu_time()?);
    for (at, number) in (0..).zip(numbers) {
        while start.elapsed() < GAP * at {
            population.pump()?;
        }
        event(population, number)?;
    }
    population.settle()?;
    let cpu = bench.cpu_time()? - before;
    Ok(cpu.as_secs_f64() * 1e6 / count.max(1) as f64)
}

/// A price that touches many sessions, all of which are refreshed meanwhile.
fn tell(options: &Options, sessions: u32, notes: &mut Vec<String>) -> Result<Told, LabError> {
    let kind = Kind::Daemon(Setting { refresh_ms: 30_000, ..Setting::FULL });
    let (told, odd) = populated(options, kind, sessions, false, |bench, population| {
        population.live(PERIOD, Duration::from_secs(2), |_| Ok(false))?;
        let told = price(bench, population, PRICE * 2, PERIOD)?;
        Ok((told, population.oddities("a price that touches all")))
    })?;
    notes.extend(odd);
    Ok(told)
}

/// Changes the price, and waits until all sessions have heard of it.
fn price(
    bench: &mut Bench,
    population: &mut Population,
    price: u64,
    period: Duration,
) -> Result<Told, LabError> {
    let megabytes = |bench: &Bench| Ok::<f64, LabError>(bench.resident_bytes()? as f64 / 1e6);
    let sessions = population.sessions();
    let before = (population.counts, population.drops()?, megabytes(bench)?);
    population.price_awaited = price;
    let (mut slice, mut peak) = ((Duration::ZERO, before.0.paths), before.2);
    let mut most_in_a_slice = 0;
    let start = Instant::now();
    bench.set_price(price)?;
    population.live(period, TOO_LATE, |population| {
        if start.elapsed() - slice.0 >= SLICE {
            most_in_a_slice = most_in_a_slice.max(population.counts.paths - slice.1);
            slice = (start.elapsed(), population.counts.paths);
            // A look at the memory takes its time while it is large.
            if sessions <= TOUCHED {
                peak = megabytes(bench)?.max(peak);
            }
        }
        Ok(population.counts.priced == sessions)
    })?;
    let seconds = population.last_path.saturating_duration_since(start).as_secs_f64();
    // What the payments bring about is told upwards within half a second (charging.md T19).
    population.live(period, Duration::from_secs(1), |_| Ok(false))?;
    let after = population.counts;
    Ok(Told {
        sessions,
        told: after.priced,
        seconds,
        most_in_a_slice,
        refreshes_sent: after.refreshes - before.0.refreshes,
        answered: after.resvs - before.0.resvs,
        drops: population.drops()? - before.1,
        crossed: after.resv_errors - before.0.resv_errors,
        megabytes: [before.2, peak, megabytes(bench)?],
    })
}

impl Costs {
    fn json(&self) -> serde_json::Value {
        let Costs { sessions, join, leave, price } = *self;
        json!({ "sessions": sessions, "join_cpu_us": rounded(join, 2),
                "leave_cpu_us": rounded(leave, 2), "price_cpu_us_per_session": rounded(price, 2) })
    }
}

impl Told {
    fn json(&self) -> serde_json::Value {
        let [before, most, after] = self.megabytes.map(|value| rounded(value, 1));
        json!({ "sessions": self.sessions, "told": self.told,
                "seconds": rounded(self.seconds, 2),
                "most_paths_in_100_ms": self.most_in_a_slice,
                "resvs_back": self.answered, "dropped_at_the_ends": self.drops,
                "resv_errors": self.crossed,
                "resident_mb": { "before": before, "most": most, "after": after } })
    }

    fn table(&self) -> Table {
        let count = |value: u64| Figure::of([value as f64]).text(0);
        let title =
            format!("A price that touches {} sessions, R = 30 s", grouped(self.sessions.into(), 0));
        let mut table = Table::new(title, &["", ""]);
        let [before, most, after] = self.megabytes;
        let rows = [
            ("sessions that were told", count(self.told.into())),
            ("seconds until the last one was", format!("{:.2}", self.seconds)),
            ("most PATHs out in 100 ms", count(self.most_in_a_slice)),
            ("refreshes that came in meanwhile", count(self.refreshes_sent)),
            ("RESVs that went up meanwhile", count(self.answered)),
            ("packets dropped at the neighbours' sockets", count(self.drops)),
            ("RESVERRs for payments that crossed the new price", count(self.crossed)),
            ("resident MB before, at most, after", format!("{before:.1}, {most:.1}, {after:.1}")),
        ];
        rows.into_iter().for_each(|(name, value)| table.row(name, [value]));
        table
    }
}
