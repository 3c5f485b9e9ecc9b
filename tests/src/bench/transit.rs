//! The measurements, one after the other, each with a fresh router.

use std::time::{Duration, Instant};

use lcm_daemon::lab::LabError;

use super::Options;
use super::report::{Report, RouterFigures};
use super::router::{Bench, Kind, cpus, pin_to};
use super::traffic::{Oddities, Traffic};

/// Sessions that are set up to see what each holds in memory.
const SESSIONS_FOR_MEMORY: u32 = 20_000;
/// Set-ups offered a second while these are made.
const MEMORY_RATE: u32 = 10_000;

/// A generator that offers less than this part of the rate asked for was held up.
const KEPT_UP: f64 = 0.99;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: usize,
    saturation: Duration,
    offered: Duration,
}

/// Runs the whole benchmark.
///
/// # Errors
/// If the network cannot be built, or a router does not work at all.
pub(crate) fn measure(options: &Options) -> Result<Report, LabError> {
    let plan = if options.quick {
        Plan { rounds: 1, saturation: Duration::from_secs(3), offered: Duration::from_secs(4) }
    } else {
        Plan { rounds: 3, saturation: Duration::from_secs(8), offered: Duration::from_secs(12) }
    };
    let cpus = cpus()?;
    let mut report = Report { offered_per_s: options.offered, cpus, ..Report::default() };
    let start = Instant::now();
    report.forwarder = rounds(Kind::Forwarder, options, plan)?;
    if !options.forwarder_only {
        report.daemon = Some(rounds(Kind::Daemon, options, plan)?);
    }
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

fn rounds(kind: Kind, options: &Options, plan: Plan) -> Result<RouterFigures, LabError> {
    let figures = (0..plan.rounds)
        .map(|_| round(kind, options, plan))
        .collect::<Result<Vec<RouterFigures>, LabError>>()?;
    Ok(RouterFigures::median(&figures))
}

fn round(kind: Kind, options: &Options, plan: Plan) -> Result<RouterFigures, LabError> {
    let mut figures = RouterFigures::default();
    saturation(kind, plan.saturation, &mut figures)?;
    even_load(kind, options.offered, plan.offered, &mut figures)?;
    if kind == Kind::Daemon {
        memory(&mut figures)?;
    }
    Ok(figures)
}

/// Starts a fresh router and runs `work` with it on the generator's CPU.
///
/// The nodes' threads inherit the CPUs of the thread that makes them; so this one stays free, and
/// `work` gets a thread of its own.
fn with_router(
    kind: Kind,
    work: impl FnOnce(&mut Bench) -> Result<(), LabError> + Send,
) -> Result<(), LabError> {
    let mut bench = Bench::start(kind)?;
    let generator_cpu = cpus()?.map(|(generator, _)| generator);
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            generator_cpu.map_or(Ok(()), pin_to)?;
            work(&mut bench)
        });
        thread.join()
    });
    done.map_err(|_| LabError::new("the generator's thread panicked"))??;
    bench.check()
}

/// Set-ups a second with as many on their way as the router can take.
fn saturation(kind: Kind, time: Duration, figures: &mut RouterFigures) -> Result<(), LabError> {
    with_router(kind, |bench| {
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
    rate: u32,
    time: Duration,
    figures: &mut RouterFigures,
) -> Result<(), LabError> {
    with_router(kind, |bench| {
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

/// Resident bytes for each of many sessions.
fn memory(figures: &mut RouterFigures) -> Result<(), LabError> {
    with_router(Kind::Daemon, |bench| {
        let empty = bench.resident_bytes_when_idle()?;
        let mut traffic = Traffic::open(bench)?;
        let more = SESSIONS_FOR_MEMORY.saturating_sub(traffic.offered());
        traffic.offer_evenly(
            MEMORY_RATE,
            Duration::from_secs_f64(f64::from(more) / f64::from(MEMORY_RATE)),
        )?;
        let full = bench.resident_bytes()?;
        let sessions = traffic.delivered();
        figures.bytes_per_session = full.saturating_sub(empty) as f64 / f64::from(sessions.max(1));
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

impl RouterFigures {
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
