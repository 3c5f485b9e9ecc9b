//! `lcmctl tariff`: what a configuration charges, before anybody is charged by it.

mod day;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rsvp_wire::object::{Float, FlowSpec, Tspec};

use crate::config::{Config, Interface};
use crate::exit::Exit;
use crate::tariff::Demand;

/// Longest time that is looked at: the minutes of it are gone through one by one.
const SECONDS_MOST: i64 = 31 * 86_400;

#[derive(Debug, Subcommand)]
pub(crate) enum Tariff {
    /// What a flow would cost under a configuration, over a day.
    Test(TestArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Configuration of a daemon.
    file: PathBuf,
    /// Only this interface of it, by name; several may be given. All that charge without it.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// The service that is reserved.
    #[arg(long, value_enum, default_value = "controlled-load")]
    service: ServiceName,
    /// Token rate in bytes per second.
    #[arg(long, value_name = "BYTES/S", default_value_t = 125_000)]
    rate: u64,
    /// Bucket depth in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 10_000)]
    bucket: u64,
    /// With guaranteed service: the rate R that is reserved, in bytes per second; as --rate without.
    #[arg(long, value_name = "BYTES/S")]
    reserved_rate: Option<u64>,
    /// With guaranteed service: the slack S, in microseconds.
    #[arg(long, value_name = "US", default_value_t = 0)]
    slack: u32,
    /// When it begins, as 2026-01-31T08:00 in the time zone, or with Z or an offset; today's midnight
    /// without it.
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// For how many seconds.
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 86_400,
        value_parser = clap::value_parser!(i64).range(1..=SECONDS_MOST))]
    seconds: i64,
    /// Time zone of what is read and shown, by its IANA name; that of the first schedule without it,
    /// or else UTC.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How much of each interface is reserved in all, in percent: where prices follow that, and have
    /// followed it.
    #[arg(long, value_name = "PERCENT", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(0..=100))]
    utilisation: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Draw the prices into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServiceName {
    /// RFC 2211.
    ControlledLoad,
    /// RFC 2212.
    Guaranteed,
}

/// What is asked, understood.
#[derive(Debug)]
struct Asked {
    demand: Demand,
    from: Timestamp,
    to: Timestamp,
    zone: TimeZone,
    utilisation: u32,
}

pub(crate) fn run(what: &Tariff) -> Exit {
    let Tariff::Test(args) = what;
    match test(args) {
        Ok(()) => Exit::Ok,
        Err((exit, text)) => {
            eprintln!("lcmctl: {text}");
            exit
        }
    }
}

fn test(args: &TestArgs) -> Result<(), (Exit, String)> {
    let wrong = |text: String| (Exit::Usage, text);
    let config = Config::load(&args.file).map_err(|errors| wrong(errors.to_string()))?;
    let charging = charging(&config, args).map_err(wrong)?;
    let demand = demand(args).map_err(wrong)?;
    let zone = zone(args, &charging).map_err(wrong)?;
    let from = start(args, &zone).map_err(wrong)?;
    let to = from.checked_add(jiff::SignedDuration::from_secs(args.seconds));
    let to = to.map_err(|_| wrong("--start lies too late: give an earlier time".to_owned()))?;
    let asked = Asked { demand, from, to, zone, utilisation: args.utilisation };
    let days: Vec<day::Day> =
        charging.iter().map(|(name, settings)| day::day(name, settings, &asked)).collect();
    if let Some(file) = &args.svg {
        write(file, &show::picture(&days, &asked).to_string()).map_err(|e| (Exit::Failed, e))?;
    }
    let currency = config.charging.as_ref().map_or("", |charging| charging.currency.alphabetic());
    if args.json {
        let json = show::json(&days, &asked, currency);
        println!("{}", json.map_err(|error| (Exit::Failed, error.to_string()))?);
    } else {
        print!("{}", show::text(&days, &asked, currency));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| {
        format!(
            "--svg {} cannot be written: {error}; name a file in a folder of yours",
            file.display()
        )
    })
}

/// The interfaces that are looked at.
fn charging<'a>(
    config: &'a Config,
    args: &TestArgs,
) -> Result<Vec<(&'a str, &'a Interface)>, String> {
    let file = args.file.display();
    if config.charging.is_none() {
        return Err(format!(
            "charging.enabled = false in {file}: nothing costs anything; set it to true, and add a \
             tariff"
        ));
    }
    let listed = config.interfaces.iter().map(|(name, settings)| (name.as_str(), settings));
    let other = [("default_interface", &config.default_interface)];
    let all: Vec<_> = listed.chain(other).filter(|(_, settings)| settings.charging).collect();
    let names = || all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    for wanted in &args.interface {
        if !all.iter().any(|(name, _)| name == wanted) {
            return Err(format!(
                "--interface {wanted}: {file} has no tariff for it; it has some for {}",
                names()
            ));
        }
    }
    if all.is_empty() {
        return Err(format!(
            "no interface of {file} charges: set charging = true and a tariff in [default_interface] \
             or in an [[interface]]"
        ));
    }
    let asked = |name: &str| args.interface.is_empty() || args.interface.iter().any(|n| n == name);
    Ok(all.into_iter().filter(|(name, _)| asked(name)).collect())
}

fn demand(args: &TestArgs) -> Result<Demand, String> {
    // What the wire has for a rate is a float of 32 bits; beyond this a price would be of another.
    const RATE_MOST: u64 = 1 << 60;
    let options = [("--rate", Some(args.rate)), ("--bucket", Some(args.bucket))];
    for (name, value) in options.into_iter().chain([("--reserved-rate", args.reserved_rate)]) {
        if let Some(value) = value.filter(|value| *value > RATE_MOST) {
            return Err(format!("{name} {value} is too much: give {RATE_MOST} at most"));
        }
    }
    let guaranteed = args.service == ServiceName::Guaranteed;
    if !guaranteed && (args.reserved_rate.is_some() || args.slack > 0) {
        let name = if args.slack > 0 { "--slack" } else { "--reserved-rate" };
        return Err(format!(
            "{name} is of guaranteed service: add --service guaranteed, or leave it away"
        ));
    }
    if let Some(reserved) = args.reserved_rate.filter(|reserved| *reserved < args.rate) {
        return Err(format!(
            "--reserved-rate {reserved} is below --rate {}: R of guaranteed service is at least the \
             token rate (RFC 2212)",
            args.rate
        ));
    }
    let (rate, bucket) = (Float::from_integer(args.rate), Float::from_integer(args.bucket));
    let tspec = Tspec { rate, bucket, ..Tspec::new(0, 0, 64, 1_500) };
    let reserved = Float::from_integer(args.reserved_rate.unwrap_or(args.rate));
    let flowspec = match args.service {
        ServiceName::ControlledLoad => FlowSpec::ControlledLoad(tspec),
        ServiceName::Guaranteed => {
            FlowSpec::Guaranteed { tspec, rate: reserved, slack: args.slack }
        }
    };
    Ok(Demand::of(&flowspec, &tspec))
}

fn zone(args: &TestArgs, charging: &[(&str, &Interface)]) -> Result<TimeZone, String> {
    let Some(name) = &args.time_zone else {
        let schedules = charging.iter().filter_map(|(_, of)| of.tariff.schedule.as_ref());
        return Ok(schedules.map(|of| of.zone().clone()).next().unwrap_or(TimeZone::UTC));
    };
    TimeZone::get(name).map_err(|_| {
        format!("--time-zone {name} is not known: give a name of the IANA, such as Europe/Berlin")
    })
}

fn start(args: &TestArgs, zone: &TimeZone) -> Result<Timestamp, String> {
    let Some(text) = &args.start else {
        let midnight = Timestamp::now().to_zoned(zone.clone()).start_of_day();
        return midnight.map(|at| at.timestamp()).map_err(|error| error.to_string());
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let civil = text.parse::<DateTime>().ok();
    let at = civil.and_then(|at| at.to_zoned(zone.clone()).ok());
    at.map(|at| at.timestamp()).ok_or_else(|| {
        format!(
            "--start {text} is no time: write 2026-01-31T08:00, which is by the clock of the time \
             zone, or 2026-01-31T08:00:00Z"
        )
    })
}
