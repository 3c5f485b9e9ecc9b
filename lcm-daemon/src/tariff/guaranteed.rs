//! Guaranteed service by rate and slack (RFC 2212): R is what the delay bound costs, and slack that
//! a receiver leaves lets the router serve it later, so it is worth something.

use super::{Demand, MBIT, Shape, linear};

/// `kind = "guaranteed"`: base + price · R · h / (h + S), with the slack h at which the price by
/// rate is halved.
#[derive(Debug, Clone, Copy)]
pub struct Guaranteed {
    /// What any reservation costs, in 10⁻¹² currency units per second.
    pub price_pico_per_s: u64,
    /// For each Mbit/s of R without slack.
    pub per_mbit_pico_per_s: u64,
    /// h, in microseconds; at least 1.
    pub half_price_slack_us: u64,
}

impl Shape for Guaranteed {
    fn kind(&self) -> &'static str {
        "guaranteed"
    }

    fn price(&self, demand: &Demand) -> u64 {
        let full = linear(demand.reserved, self.per_mbit_pico_per_s, MBIT);
        let half = self.half_price_slack_us.max(1);
        let with_slack = u128::from(half) + u128::from(demand.slack_us);
        self.price_pico_per_s.saturating_add(linear(full, half, with_slack))
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("price_pico_per_s", self.price_pico_per_s),
            ("per_mbit_pico_per_s", self.per_mbit_pico_per_s),
            ("half_price_slack_us", self.half_price_slack_us),
        ]
    }
}
