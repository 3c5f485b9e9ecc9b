//! The measurements of a transit router, one after the other, each with a fresh router.

use std::path::Path;
use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;

use super::outcome::Outcome;
use super::population::Population;
use super::report::{Report, Round, Router};
use super::router::{Bench, Kind, Setting, cpus, pin_to};
use super::traffic::{Oddities, Traffic};
use super::{Options, disk, progress};

/// Sessions that are set up to see what each holds in memory.
const SESSIONS_FOR_MEMORY: u32 = 20_000;
/// Set-ups offered a second while these are made.
const MEMORY_RATE: u32 = 10_000;
/// Sessions that are refreshed by what changes nothing, each once in [`REFRESH`] by its neighbours
/// and once by the router: so many packets in as out.
const REFRESHED: u32 = 16_000;
const REFRESH: Duration = Duration::from_secs(1);

/// A generator that offers less than this part of the rate asked for was held up.
const KEPT_UP: f64 = 0.99;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    saturation: Duration,
    offered: Duration,
    refreshes: Duration,
}

/// Runs the whole benchmark.
///
/// # Errors
/// If the network cannot be built, or a router does not work at all.
pub(crate) fn measure(options: &Options) -> Result<Outcome, LabError> {
    let seconds = Duration::from_secs;
    let plan = if options.quick {
        Plan { rounds: 1, saturation: seconds(2), offered: seconds(3), refreshes: seconds(3) }
    } else {
        Plan { rounds: 5, saturation: seconds(4), offered: seconds(6), refreshes: seconds(5) }
    };
    let full = Kind::Daemon(Setting::FULL);
    let mut routers = vec![
        (full, Router { name: "daemon, durable books", ..Router::default() }),
        (
            Kind::Daemon(Setting::NO_BOOKS),
            Router { name: "without books", suffix: "_no_books", ..Router::default() },
        ),
        (
            Kind::Daemon(Setting::IGNORANT),
            Router { name: "charging off", suffix: "_charging_off", ..Router::default() },
        ),
        (
            Kind::Forwarder,
            Router { name: "bare forwarder", prefix: "forwarder_", ..Router::default() },
        ),
    ];
    routers.retain(|(kind, _)| !options.forwarder_only || *kind == Kind::Forwarder);
    let start = Instant::now();
    for number in 1..=plan.rounds {
        for (kind, router) in &mut routers {
            progress(&format!("transit: round {number} of {}, {}", plan.rounds, router.name));
            router.rounds.push(round(*kind, options, plan)?);
        }
    }
    let report = Report {
        offered_per_s: options.offered,
        cpus: cpus()?,
        disk: disk::name(&options.books)?,
        routers: routers.into_iter().map(|(_, router)| router).collect(),
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(report.outcome())
}

fn round(kind: Kind, options: &Options, plan: Plan) -> Result<Round, LabError> {
    let mut figures = Round::default();
    let disk = &options.books;
    saturation(kind, disk, plan.saturation, &mut figures)?;
    even_load(kind, disk, options.offered, plan.offered, &mut figures)?;
    if let Kind::Daemon(setting) = kind {
        refreshes(setting, disk, plan.refreshes, &mut figures)?;
        if setting == Setting::FULL {
            memory(setting, disk, &mut figures)?;
        }
    }
    Ok(figures)
}

/// Starts a fresh router and runs `work` with it on the generator's CPU.
///
/// The nodes' threads inherit the CPUs of the thread that makes them; so this one stays free, and
/// `work` gets a thread of its own.
pub(super) fn with_router<T: Send>(
    kind: Kind,
    disk: &Path,
    work: impl FnOnce(&mut Bench) -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    let mut bench = Bench::start(kind, disk)?;
    let generator_cpu = cpus()?.map(|(generator, _)| generator);
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            generator_cpu.map_or(Ok(()), pin_to)?;
            work(&mut bench)
        });
        thread.join()
    });
    let done = done.map_err(|_| LabError::new("the generator's thread panicked"))??;
    bench.check()?;
    Ok(done)
}

/// Set-ups a second with as many on their way as the router can take.
fn saturation(
    kind: Kind,
    disk: &Path,
    time: Duration,
    figures: &mut Round,
) -> Result<(), LabError> {
    with_router(kind, disk, |bench| {
        let mut traffic = Traffic::open(bench)?;
        let (start, cpu) = (Instant::now(), bench.cpu_time()?);
        let before = traffic.delivered();
        let in_time = traffic.saturate(time)?;
        let cpu = (bench.cpu_time()? - cpu).as_secs_f64();
        let all = f64::from(traffic.delivered() - before);
        figures.setups_per_s = f64::from(in_time) / time.as_secs_f64();
        figures.saturation_busy_share = cpu / start.elapsed().as_secs_f64();
        figures.saturation_cpu_us = cpu * 1e6 / all.max(1.0);
        figures.remember("at saturation", &traffic.oddities);
        Ok(())
    })
}

/// Delivery and CPU time at a fixed rate.
fn even_load(
    kind: Kind,
    disk: &Path,
    rate: u32,
    time: Duration,
    figures: &mut Round,
) -> Result<(), LabError> {
    with_router(kind, disk, |bench| {
        let mut traffic = Traffic::open(bench)?;
        let (offered, delivered) = (traffic.offered(), traffic.delivered());
        let cpu = bench.cpu_time()?;
        let offered_per_s = traffic.offer_evenly(rate, time)?;
        let cpu = bench.cpu_time()? - cpu;
        if offered_per_s < f64::from(rate) * KEPT_UP {
            figures.notes.push(format!(
                "at {rate} a second: the generator was held up and offered {offered_per_s:.0}"
            ));
        }
        let offered = f64::from(traffic.offered() - offered);
        let delivered = f64::from(traffic.delivered() - delivered);
        figures.delivered_share = delivered / offered;
        figures.setup_cpu_us = cpu.as_secs_f64() * 1e6 / delivered.max(1.0);
        figures.remember(&format!("at {rate} a second"), &traffic.oddities);
        Ok(())
    })
}

/// CPU time for each packet of refreshes that change nothing.
fn refreshes(
    setting: Setting,
    disk: &Path,
    time: Duration,
    figures: &mut Round,
) -> Result<(), LabError> {
    let refresh_ms = u32::try_from(REFRESH.as_millis()).unwrap_or_default();
    with_router(Kind::Daemon(Setting { refresh_ms, ..setting }), disk, |bench| {
        let mut population = Population::open(bench, false)?;
        population.grow(bench, REFRESHED)?;
        // The first periods are over before anything is counted.
        population.live(REFRESH, 2 * REFRESH, |_| Ok(false))?;
        let (before, cpu) = (population.counts, bench.cpu_time()?);
        let lasted = population.live(REFRESH, time, |_| Ok(false))?;
        let (after, cpu) = (population.counts, bench.cpu_time()? - cpu);
        let out = (after.paths - before.paths + after.resvs - before.resvs) as f64;
        let sent = after.refreshes - before.refreshes;
        let due = 2.0 * f64::from(REFRESHED) * lasted.as_secs_f64() / REFRESH.as_secs_f64();
        if (sent as f64) < due * KEPT_UP {
            let share = sent as f64 / due * 100.0;
            figures.notes.push(format!("refreshes: the generator sent {share:.0} % of them"));
        }
        figures.refresh_packet_us = Some(cpu.as_secs_f64() * 1e6 / (out + sent as f64).max(1.0));
        figures.notes.extend(population.oddities("refreshes"));
        Ok(())
    })
}

/// Resident bytes for each of many sessions.
fn memory(setting: Setting, disk: &Path, figures: &mut Round) -> Result<(), LabError> {
    with_router(Kind::Daemon(setting), disk, |bench| {
        let empty = bench.resident_bytes_when_idle()?;
        let mut traffic = Traffic::open(bench)?;
        let more = SESSIONS_FOR_MEMORY.saturating_sub(traffic.offered());
        traffic.offer_evenly(
            MEMORY_RATE,
            Duration::from_secs_f64(f64::from(more) / f64::from(MEMORY_RATE)),
        )?;
        let full = bench.resident_bytes()?;
        let sessions = traffic.delivered();
        let bytes = full.saturating_sub(empty) as f64 / f64::from(sessions.max(1));
        figures.bytes_per_session = Some(bytes);
        if sessions < traffic.offered() {
            let offered = traffic.offered();
            figures.notes.push(format!(
                "for memory: {sessions} of {offered} sessions came up; their number counts"
            ));
        }
        figures.remember("for memory", &traffic.oddities);
        Ok(())
    })
}

impl Round {
    fn remember(&mut self, when: &str, oddities: &Oddities) {
        let Oddities { further_paths, further_resvs, bypassed, others, unsent, first } = oddities;
        let counts = [
            (*further_paths, "PATHs more at the sink than one for each session"),
            (*further_resvs, "RESVs more at the generator than one for each session"),
            (*bypassed, "messages that the kernel forwarded past the router"),
            (*others, "messages that were neither PATH nor RESV, or broken"),
            (*unsent, "messages that the kernel refused to send"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            self.notes.push(format!("{when}: {count} {what}"));
        }
        self.notes.extend(first.iter().map(|text| format!("{when}, the first: {text}")));
    }
}
