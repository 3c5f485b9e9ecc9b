//! By the bit/s that are set aside.

use super::{Demand, Shape, by_rate};

/// `kind = "rate"`: base + price · rate.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// What any reservation costs, in 10⁻¹² currency units per second.
    pub price_pico_per_s: u64,
    /// For each Mbit/s.
    pub per_mbit_pico_per_s: u64,
}

impl Shape for Rate {
    fn kind(&self) -> &'static str {
        "rate"
    }

    fn price(&self, demand: &Demand) -> u64 {
        by_rate(demand, self.price_pico_per_s, self.per_mbit_pico_per_s)
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("price_pico_per_s", self.price_pico_per_s),
            ("per_mbit_pico_per_s", self.per_mbit_pico_per_s),
        ]
    }
}
