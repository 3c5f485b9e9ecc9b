//! The prices of a day as a table, as JSON and as a picture.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::Asked;
use super::day::{Day, Span};
use crate::chart::{Axis, Chart, Line};
use crate::ctl::table::Table;
use crate::purse::amount_text;
use crate::tariff::Service;

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

fn clock(asked: &Asked, at_s: u64, format: &str) -> String {
    let at = i64::try_from(at_s).ok().and_then(|at| Timestamp::from_second(at).ok());
    let at = at.unwrap_or(asked.from).to_zoned(asked.zone.clone());
    at.strftime(format).to_string()
}

fn service(asked: &Asked) -> &'static str {
    match asked.demand.service {
        Service::ControlledLoad => "controlled load",
        Service::Guaranteed => "guaranteed service",
    }
}

fn flow(asked: &Asked) -> String {
    let demand = &asked.demand;
    let mut text =
        format!("{}, {} bit/s, bucket {} bytes", service(asked), demand.rate, demand.bucket);
    if demand.service == Service::Guaranteed {
        // A String takes whatever is written to it.
        let _ = write!(text, ", R {} bit/s, slack {} us", demand.reserved, demand.slack_us);
    }
    text
}

fn amount(amount: u128) -> String {
    amount_text(i128::try_from(amount).unwrap_or(i128::MAX))
}

/// For people.
pub(super) fn text(days: &[Day], asked: &Asked, currency: &str) -> String {
    let seconds = asked.to.as_second().saturating_sub(asked.from.as_second());
    let from = asked.from.to_zoned(asked.zone.clone());
    let mut text = format!("{} for {seconds} s from {from}\n", flow(asked));
    for day in days {
        let Day { interface, tariff, most, .. } = day;
        let _ = writeln!(
            text,
            "\n{interface}: tariff {tariff:08x}, {} % reserved{}",
            asked.utilisation,
            if day.fits { "" } else { "; this flow would not be admitted" }
        );
        let mut table = Table::new(["FROM", "TO", "SCHEDULE", "CONGESTION", "RATE", "AMOUNT"]);
        for span in &day.spans {
            table.row([
                clock(asked, span.from_s, "%a %H:%M:%S"),
                clock(asked, span.to_s, "%a %H:%M:%S"),
                format!("{} %", span.factors.schedule),
                format!("{} %", span.factors.congestion),
                span.rate.to_string(),
                amount(span.amount()),
            ]);
        }
        let _ = write!(text, "{table}");
        let _ = writeln!(
            text,
            "in all {} {currency}, at most {} {currency} (a rate of {most})",
            amount(day.amount()),
            amount(day.most_amount())
        );
    }
    text
}

#[derive(Serialize)]
struct Shown<'a> {
    service: u16,
    rate_bits_per_s: u64,
    bucket_bytes: u64,
    reserved_bits_per_s: u64,
    slack_us: u32,
    from: String,
    to: String,
    time_zone: Option<&'a str>,
    utilisation_percent: u32,
    currency: &'a str,
    interfaces: Vec<ShownDay<'a>>,
}

/// Amounts are text: many readers of JSON would round them.
#[derive(Serialize)]
struct ShownDay<'a> {
    interface: &'a str,
    tariff: u32,
    fits: bool,
    spans: Vec<ShownSpan>,
    amount: String,
    most_rate: u64,
    most: String,
}

#[derive(Serialize)]
struct ShownSpan {
    from_s: u64,
    to_s: u64,
    schedule_percent: u32,
    congestion_percent: u32,
    rate: u64,
    amount: String,
}

fn shown(day: &Day) -> ShownDay<'_> {
    let span = |span: &Span| ShownSpan {
        from_s: span.from_s,
        to_s: span.to_s,
        schedule_percent: span.factors.schedule,
        congestion_percent: span.factors.congestion,
        rate: span.rate,
        amount: span.amount().to_string(),
    };
    ShownDay {
        interface: &day.interface,
        tariff: day.tariff,
        fits: day.fits,
        spans: day.spans.iter().map(span).collect(),
        amount: day.amount().to_string(),
        most_rate: day.most,
        most: day.most_amount().to_string(),
    }
}

/// For programs.
pub(super) fn json(days: &[Day], asked: &Asked, currency: &str) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Shown {
        service: asked.demand.service.number(),
        rate_bits_per_s: asked.demand.rate,
        bucket_bytes: asked.demand.bucket,
        reserved_bits_per_s: asked.demand.reserved,
        slack_us: asked.demand.slack_us,
        from: asked.from.to_string(),
        to: asked.to.to_string(),
        time_zone: asked.zone.iana_name(),
        utilisation_percent: asked.utilisation,
        currency,
        interfaces: days.iter().map(shown).collect(),
    })
}

/// The price over the time, a line for each interface.
pub(super) fn picture(days: &[Day], asked: &Asked) -> Chart {
    let ends = |day: &'_ Day| {
        (day.spans.first().map_or(0, |s| s.from_s), day.spans.last().map_or(0, |s| s.to_s))
    };
    let (from, to) = days.first().map(ends).unwrap_or_default();
    let most = days.iter().flat_map(|day| &day.spans).map(|span| span.rate).max();
    let long = to.saturating_sub(from);
    let scales =
        [(HOUR_S, HOUR_S / 6, "%H:%M"), (DAY_S, 3 * HOUR_S, "%H:%M"), (8 * DAY_S, DAY_S, "%a %d")];
    let scale = scales.into_iter().find(|(most, ..)| long <= *most);
    let (step, format) = scale.map_or((4 * DAY_S, "%d %b"), |(_, step, format)| (step, format));
    let marks = (from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    let marks = marks.map(|at| (at, clock(asked, at, format))).collect();
    let zone = asked.zone.iana_name().unwrap_or("UTC");
    let label = format!("{}, {zone}", clock(asked, from, "%Y-%m-%d"));
    let line = |day: &Day| {
        let begins = day.spans.iter().map(|span| (span.from_s, span.rate));
        let ends = day.spans.last().map(|span| (span.to_s, span.rate));
        let cost = amount(day.amount());
        Line {
            name: format!("{}: {cost} in all", day.interface),
            points: begins.chain(ends).collect(),
            steps: true,
        }
    };
    Chart {
        title: format!("{}, at {} % reserved", flow(asked), asked.utilisation),
        x: Axis { label, from, to, marks },
        y: Axis::up_to("10⁻¹² currency units per second", most.unwrap_or(0)),
        lines: days.iter().map(line).collect(),
    }
}
