//! So much per second, whatever is reserved.

use super::{Demand, Shape};

/// `kind = "flat"`
#[derive(Debug, Clone, Copy)]
pub struct Flat {
    /// L, in 10⁻¹² currency units per second.
    pub price_pico_per_s: u64,
}

impl Shape for Flat {
    fn kind(&self) -> &'static str {
        "flat"
    }

    fn price(&self, _: &Demand) -> u64 {
        self.price_pico_per_s
    }

    fn by_demand(&self) -> bool {
        false
    }

    fn settings(&self) -> Vec<(&'static str, u64)> {
        vec![("price_pico_per_s", self.price_pico_per_s)]
    }
}
