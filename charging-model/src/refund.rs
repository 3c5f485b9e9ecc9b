//! What a provider grants where it could not deliver, and what neighbours tell each other of it (T11).

use crate::money::Amount;
use crate::time::{Millis, Span};

/// What is given back, the weakest first: along a path the weakest of all counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Grant {
    /// Nothing.
    #[default]
    None,
    /// What was metered of an outage until it was noticed.
    ProRata,
    /// That, and all of a reservation that breaks before it was in place for so long.
    FreeIfShort(Span),
}

impl Grant {
    /// The strongest there is: who charges nothing can grant it.
    pub const MOST: Self = Self::FreeIfShort(Span(u64::MAX));

    /// From when on what was metered is given back, of a reservation that was in place since
    /// `placed`, was last known to be at `from`, and is known not to be at `now`.
    pub fn since(self, placed: Millis, from: Millis, now: Millis) -> Option<Millis> {
        match self {
            Self::None => None,
            Self::FreeIfShort(least) if now.since(placed) < least => Some(placed.min(from)),
            Self::ProRata | Self::FreeIfShort(_) => Some(from),
        }
    }
}

/// What a payee says of all that it gave back of one reservation instance. It only grows, so what is
/// lost is said again with the next, and what is repeated says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Refunded {
    /// The payer's instance.
    pub instance: u32,
    /// Which count of the payee this is: another one begins at nothing.
    pub since: u32,
    /// Billed time that was given back, in all.
    pub time: Span,
    /// Since when what is metered now is given back, where the outage lasts: so long ago.
    pub ago: Option<Span>,
    /// What was given back, in all.
    pub amount: Amount,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_of_a_path_is_the_least() {
        let short = |ms| Grant::FreeIfShort(Span(ms));
        let all = [Grant::None, Grant::ProRata, short(5), short(9), Grant::MOST];
        assert!(all.is_sorted());
        assert_eq!(short(9).min(Grant::ProRata), Grant::ProRata);
        assert_eq!(Grant::MOST.min(short(9)), short(9));
    }

    #[test]
    fn a_threshold_is_reached_with_its_last_millisecond() {
        let (placed, from) = (Millis(1_000), Millis(5_000));
        let short = Grant::FreeIfShort(Span(6_000));
        assert_eq!(Grant::None.since(placed, from, Millis(6_000)), None);
        assert_eq!(Grant::ProRata.since(placed, from, Millis(6_000)), Some(from));
        assert_eq!(short.since(placed, from, Millis(6_999)), Some(placed));
        assert_eq!(short.since(placed, from, Millis(7_000)), Some(from));
    }
}
