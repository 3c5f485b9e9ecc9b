//! What a flow costs on one interface, from one change of the price to the next.

use super::Asked;
use crate::config::{Interface, NO_LIMIT};
use crate::tariff::Factors;

/// Schedules change at whole minutes.
const MINUTE_S: u64 = 60;
/// Whole of a utilisation.
const PERCENT: u128 = 100;

/// A time at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// Seconds since 1970.
    pub(super) from_s: u64,
    pub(super) to_s: u64,
    pub(super) factors: Factors,
    /// In wire units.
    pub(super) rate: u64,
}

impl Span {
    /// What it comes to, in ledger units: rate × milliseconds.
    pub(super) fn amount(&self) -> u128 {
        u128::from(self.rate) * u128::from(self.to_s.saturating_sub(self.from_s)) * 1_000
    }
}

/// The price on an interface over the time that is asked about.
#[derive(Debug)]
pub(super) struct Day {
    pub(super) interface: String,
    pub(super) tariff: u32,
    pub(super) spans: Vec<Span>,
    /// Lmax, in wire units.
    pub(super) most: u64,
    /// Whether it fits beside what is reserved already.
    pub(super) fits: bool,
}

impl Day {
    pub(super) fn amount(&self) -> u128 {
        self.spans.iter().map(Span::amount).fold(0, u128::saturating_add)
    }

    /// What it comes to at Lmax.
    pub(super) fn most_amount(&self) -> u128 {
        let at_most = |span: &Span| Span { rate: self.most, ..*span }.amount();
        self.spans.iter().map(at_most).fold(0, u128::saturating_add)
    }
}

/// Follows the price of a tariff; what is reserved stays as it is asked about, and the price has
/// followed it.
pub(super) fn day(name: &str, settings: &Interface, asked: &Asked) -> Day {
    let tariff = &settings.tariff;
    let seconds = |at: jiff::Timestamp| u64::try_from(at.as_second()).unwrap_or(0);
    let (from, to) = (seconds(asked.from), seconds(asked.to));
    let all = settings.reservable_bits_per_s;
    let reserved = u128::from(asked.utilisation);
    let at_utilisation = |c: &crate::tariff::Congestion| c.target(reserved, 100);
    let congestion = tariff.congestion.as_ref().map_or(100, at_utilisation);
    let mut spans: Vec<Span> = Vec::new();
    let mut at = from;
    while at < to {
        let next = (at - at % MINUTE_S).saturating_add(MINUTE_S).min(to);
        let schedule = tariff.schedule.as_ref().map_or(100, |schedule| schedule.percent(at));
        let factors = Factors { schedule, congestion };
        match spans.last_mut().filter(|last| last.factors == factors) {
            Some(last) => last.to_s = next,
            None => {
                let rate = tariff.price(&asked.demand, factors);
                spans.push(Span { from_s: at, to_s: next, factors, rate });
            }
        }
        at = next;
    }
    let needed = u128::from(asked.demand.reserved) * PERCENT;
    let left = u128::from(all) * PERCENT.saturating_sub(reserved);
    Day {
        interface: name.to_owned(),
        tariff: tariff.version(),
        spans,
        most: tariff.most(&asked.demand),
        fits: all == NO_LIMIT || needed <= left,
    }
}
