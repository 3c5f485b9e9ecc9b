//! With how many sessions costs are measured, and how they grow with their number.

use lcm_daemon::lab::LabError;

use super::figure::{Figure, grouped};
use super::outcome::Curve;
use super::{Options, population, progress, router};
use population::Population;
use router::{Bench, Kind};

/// All numbers of sessions.
const SIZES: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// The numbers of sessions to measure with: a quick run leaves the largest out.
pub(super) fn sizes(options: &Options) -> Vec<u32> {
    let most = options.sessions.unwrap_or(if options.quick { 100_000 } else { 1_000_000 });
    SIZES.into_iter().filter(|&size| size <= most).collect()
}

/// Rounds of a measurement with so many sessions: a million take a minute to set up, and differ
/// little.
pub(super) fn rounds(options: &Options, sessions: u32) -> usize {
    if options.quick || sessions >= 1_000_000 { 1 } else { 5 }
}

/// A fresh router with so many sessions that stand end to end.
pub(super) fn populated<T: Send>(
    options: &Options,
    kind: Kind,
    sessions: u32,
    numbers: bool,
    work: impl FnOnce(&mut Bench, &mut Population) -> Result<T, LabError> + Send,
) -> Result<T, LabError> {
    super::transit::with_router(kind, &options.books, |bench| {
        let mut population = Population::open(bench, numbers)?;
        population.grow(bench, sessions)?;
        work(bench, &mut population)
    })
}

/// Says that a measurement with so many sessions begins.
pub(super) fn begin(what: &str, sessions: u32, name: &str) {
    progress(&format!("{what}: {} sessions, {name}", grouped(sessions.into(), 0)));
}

/// The curve through figures by the number of sessions.
pub(super) fn curve(name: impl Into<String>, figures: &[(u32, Figure)]) -> Curve {
    let points = figures.iter().map(|(size, figure)| (f64::from(*size), figure.median()));
    Curve { name: name.into(), points: points.collect() }
}

/// A number of sessions, for a table's row.
pub(super) fn label(sessions: u32) -> String {
    format!("{} sessions", grouped(sessions.into(), 0))
}
