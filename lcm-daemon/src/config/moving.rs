//! `schedule` and `congestion` of an interface: prices that move by themselves.

use toml::Spanned;

use super::check::number;
use super::problem::Problems;
use super::raw::{self, Given};
use crate::tariff::{Congestion, DAY_MINUTES, DAYS, Schedule, Window};

/// How long a price that follows utilisation stands at least, where nothing else is said.
const DEFAULT_HOLD_MS: u32 = 60_000;
/// Changes of such a price that are too small to be made.
const DEFAULT_LEAST_CHANGE_PERCENT: u32 = 5;
/// How much of the way to the curve one change goes.
const DEFAULT_APPROACH_PERCENT: u32 = 50;
/// Longest time that a price may be held: a day.
const HOLD_MS_MAX: u32 = 86_400_000;
/// The most that a window or a curve may multiply prices by.
const PERCENT_MAX: u32 = 1_000_000;

/// Prices by the time of day; `None` where something is wrong.
pub(super) fn schedule(
    given: &Spanned<raw::Schedule>,
    problems: &mut Problems<'_>,
) -> Option<Schedule> {
    let raw = given.get_ref();
    let windows: Vec<Window> =
        raw.windows.iter().filter_map(|window| self::window(window, problems)).collect();
    let zone = raw.time_zone.as_ref();
    let name = zone.map_or("UTC", |zone| zone.get_ref());
    let schedule = Schedule::new(name, windows);
    if schedule.is_none() {
        let place = zone.map_or_else(|| given.span(), Spanned::span);
        let remedy = "write a name as in \"Europe/Berlin\" or \"UTC\"".to_owned();
        problems.at(place, "there is no such time zone".to_owned(), remedy);
    }
    schedule
}

fn window(given: &Spanned<raw::Window>, problems: &mut Problems<'_>) -> Option<Window> {
    let raw = given.get_ref();
    let mut days = [raw.days.is_none(); 7];
    for named in raw.days.iter().flat_map(|days| days.get_ref()) {
        match DAYS.iter().position(|day| day == named.get_ref()).and_then(|at| days.get_mut(at)) {
            Some(day) => *day = true,
            None => problems.at(
                named.span(),
                "not a day of the week".to_owned(),
                format!("use one of: {}", DAYS.join(", ")),
            ),
        }
    }
    let (from, to) = (minute(&raw.from, problems)?, minute(&raw.to, problems)?);
    if raw.percent.is_none() {
        let what = "a window needs the percent that prices have in it".to_owned();
        problems.at(given.span(), what, "add percent = N".to_owned());
    }
    let percent = number(raw.percent.as_ref(), 100, 0..=PERCENT_MAX, " percent", problems);
    Some(Window { days, from, to, percent })
}

/// A time of day as a minute; midnight where none is given.
fn minute(given: &Given<String>, problems: &mut Problems<'_>) -> Option<u16> {
    let Some(given) = given else { return Some(0) };
    let (hours, minutes) = given.get_ref().split_once(':').unwrap_or_default();
    let part = |text: &str| (text.len() == 2).then(|| text.parse::<u16>().ok()).flatten();
    let at = part(hours).zip(part(minutes)).filter(|(_, minute)| *minute < 60);
    let at = at.map(|(hour, minute)| hour * 60 + minute).filter(|at| *at < DAY_MINUTES);
    if at.is_none() {
        let remedy = "write HH:MM, as in \"08:00\" or \"23:59\"".to_owned();
        problems.at(given.span(), "not a time of day".to_owned(), remedy);
    }
    at
}

/// Prices by utilisation; `None` where something is wrong.
pub(super) fn congestion(
    given: &Spanned<raw::Congestion>,
    problems: &mut Problems<'_>,
) -> Option<Congestion> {
    let raw = given.get_ref();
    let points = raw.points.as_ref().map(|points| points.get_ref().clone()).unwrap_or_default();
    let ascending = points.windows(2).all(|w| matches!(w, [(a, _), (b, _)] if a < b));
    let fit = points.iter().all(|(used, percent)| *used <= 100 && *percent <= PERCENT_MAX);
    if points.is_empty() || !ascending || !fit {
        problems.at(
            raw.points.as_ref().map_or_else(|| given.span(), Spanned::span),
            "these are no points of a curve of prices over utilisation".to_owned(),
            "write [percent used, percent of the price] with rising use up to 100, as in \
             points = [[50, 100], [80, 150], [100, 400]]"
                .to_owned(),
        );
        return None;
    }
    let hold = raw.hold_ms.as_ref();
    let (least, approach) = (raw.least_change_percent.as_ref(), raw.approach_percent.as_ref());
    Some(Congestion {
        points,
        hold_ms: number(hold, DEFAULT_HOLD_MS, 0..=HOLD_MS_MAX, " milliseconds", problems),
        least_change_percent: number(
            least,
            DEFAULT_LEAST_CHANGE_PERCENT,
            0..=1_000,
            " percent",
            problems,
        ),
        approach_percent: number(approach, DEFAULT_APPROACH_PERCENT, 1..=100, " percent", problems),
    })
}
