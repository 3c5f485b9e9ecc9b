//! Where a charge arises: the parts of C_k that the hops on the path ask for.
//!
//! Parts go along with announcements. What a hop passes on to one branch is divided like C_j itself,
//! and its own price follows it, so that the parts told to anybody add up to exactly what he is
//! charged:
//!
//! ```text
//!  Σ parts(j) = C_j ──carried──▶ Σ = c_{j,k} ──then(L_{j,k})──▶ Σ parts(k) = C_k
//! ```
//!
//! What nobody tells is a part too, of no hop. What others say of themselves is not believed further
//! than that: who asks for more than it announces is not told of at all.

use std::net::IpAddr;

use crate::money::Rate;
use crate::split::largest_remainder;

/// Most parts of a charge; those of the hops furthest up are added up beyond it.
pub const PARTS_MAX: usize = 16;

/// What one hop asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Which one; `None` for one or more that do not tell.
    pub hop: Option<IpAddr>,
    /// How much of the charge it is.
    pub rate: Rate,
}

impl Part {
    /// What nobody tells.
    pub fn hidden(rate: Rate) -> Self {
        Self { hop: None, rate }
    }
}

/// The parts of a charge, in path order: [`PARTS_MAX`] at most, no two hidden ones side by side, and
/// none of nothing hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts(Vec<Part>);

impl Parts {
    /// A charge of which nothing is told.
    pub fn hidden(total: Rate) -> Self {
        Self::default().then(Part::hidden(total))
    }

    /// What a previous hop that announces `total` tells of it. What is missing is hidden right
    /// before this hop; if it is more than the total, all is.
    pub fn of(total: Rate, told: impl IntoIterator<Item = Part>) -> Self {
        let (mut parts, mut left) = (Self::default(), total.0);
        for part in told {
            match left.checked_sub(part.rate.0) {
                Some(rest) => left = rest,
                None => return Self::hidden(total),
            }
            parts = parts.then(part);
        }
        parts.then(Part::hidden(Rate(left)))
    }

    /// The same parts of another sum, such as what one branch carries of it, in whole units.
    pub fn carried(&self, carried: Rate) -> Self {
        let weights: Vec<u64> = self.0.iter().map(|part| part.rate.0).collect();
        if weights.iter().all(|weight| *weight == 0) && carried > Rate::ZERO {
            return Self::hidden(carried);
        }
        let mut shares = Vec::with_capacity(weights.len());
        largest_remainder(carried.0, &weights, &mut shares);
        let shared = self.0.iter().zip(shares);
        let with = |parts: Self, (part, share): (&Part, u64)| {
            parts.then(Part { rate: Rate(share), ..*part })
        };
        shared.fold(Self::default(), with)
    }

    /// These parts and one more behind them.
    #[must_use]
    pub fn then(mut self, part: Part) -> Self {
        let none = part.hop.is_none();
        match self.0.last_mut().filter(|last| none && last.hop.is_none()) {
            _ if none && part.rate == Rate::ZERO => return self,
            Some(last) => *last = Part::hidden(sum(last.rate, part.rate)),
            None => self.0.push(part),
        }
        if self.0.len() > PARTS_MAX {
            // What is added up may lie beside what was hidden before.
            let beside = self.0.get(2).is_some_and(|third| third.hop.is_none());
            let first = self.0.drain(..if beside { 3 } else { 2 });
            let rate = first.fold(Rate::ZERO, |rate, part| sum(rate, part.rate));
            if rate > Rate::ZERO {
                self.0.insert(0, Part::hidden(rate));
            }
        }
        self
    }

    /// The charge.
    pub fn total(&self) -> Rate {
        self.0.iter().fold(Rate::ZERO, |total, part| sum(total, part.rate))
    }

    /// In path order.
    pub fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// Whether there are none: of a charge of nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The parts of a charge fit whatever that fits.
fn sum(a: Rate, b: Rate) -> Rate {
    Rate(a.0.saturating_add(b.0))
}
