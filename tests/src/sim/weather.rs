//! What becomes of a packet on a link.

/// How a link treats packets. Each field is drawn for each packet from the seed of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weather {
    /// Least and greatest delay in microseconds.
    pub delay_us: (u64, u64),
    /// Packets in a thousand that are lost.
    pub loss_permille: u32,
    /// Packets in a thousand that arrive twice.
    pub duplicate_permille: u32,
    /// Packets may overtake each other; otherwise a link is a queue.
    pub reorder: bool,
}

impl Weather {
    /// One millisecond, and nothing is lost.
    pub const FAIR: Self = Self::steady(1_000);

    /// This delay, and nothing is lost.
    pub const fn steady(delay_us: u64) -> Self {
        Self {
            delay_us: (delay_us, delay_us),
            loss_permille: 0,
            duplicate_permille: 0,
            reorder: false,
        }
    }

    /// Up to 400 ms late, out of order, `loss_permille` lost and one in twenty doubled.
    pub const fn storm(loss_permille: u32) -> Self {
        Self { delay_us: (500, 400_000), loss_permille, duplicate_permille: 50, reorder: true }
    }

    /// Draws how often and how late a packet arrives.
    pub(super) fn draw(&self, rng: &mut fastrand::Rng) -> Vec<u64> {
        let chance = |rng: &mut fastrand::Rng, of: u32| of > 0 && rng.u32(0..1000) < of;
        let copies = match (chance(rng, self.loss_permille), chance(rng, self.duplicate_permille)) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        };
        let (least, most) = self.delay_us;
        let delay =
            |rng: &mut fastrand::Rng| if least == most { least } else { rng.u64(least..=most) };
        (0..copies).map(|_| delay(rng)).collect()
    }
}
