//! By the depth of the token bucket: what bursts the queue must hold; and by the rate, if wished.

use super::{Demand, KBYTE, Shape, by_rate, linear};

/// `kind = "bucket"`: base + price · rate + price · depth.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// What any reservation costs, in 10⁻¹² currency units per second.
    pub price_pico_per_s: u64,
    /// For each Mbit/s.
    pub per_mbit_pico_per_s: u64,
    /// For each 1,000 bytes of bucket depth.
    pub per_kbyte_pico_per_s: u64,
}

impl Shape for Bucket {
    fn kind(&self) -> &'static str {
        "bucket"
    }

    fn price(&self, demand: &Demand) -> u64 {
        let by_depth = linear(demand.bucket, self.per_kbyte_pico_per_s, KBYTE);
        by_rate(demand, self.price_pico_per_s, self.per_mbit_pico_per_s).saturating_add(by_depth)
    }

    fn is_linear(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("price_pico_per_s", self.price_pico_per_s),
            ("per_mbit_pico_per_s", self.per_mbit_pico_per_s),
            ("per_kbyte_pico_per_s", self.per_kbyte_pico_per_s),
        ]
    }
}
