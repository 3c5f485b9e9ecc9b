//! By the bit/s that are set aside.

use super::{Demand, MBIT, Shape, linear};

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
        let by_rate = linear(demand.reserved, self.per_mbit_pico_per_s, MBIT);
        self.price_pico_per_s.saturating_add(by_rate)
    }

    fn by_demand(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("price_pico_per_s", self.price_pico_per_s),
            ("per_mbit_pico_per_s", self.per_mbit_pico_per_s),
        ]
    }
}
