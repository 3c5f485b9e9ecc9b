//! Rates, amounts and fractions as exact integers.
//!
//! A [`Rate`] counts 10⁻¹² currency units per second, as the wire does (exponent −12). An
//! [`Amount`] counts 10⁻¹⁵ currency units, which is a rate times milliseconds, so that metering
//! never rounds. A [`Ppm`] is the sender's fraction r in parts per million. Every operation is
//! checked; one that does not fit is an [`Overflow`] which names the operation, never a wrap.

use std::fmt;

use crate::time::Span;

/// An operation whose exact result does not fit its type (or would be negative where it may not).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Overflow {
    /// The operation, in the notation of the model, e.g. `"C_k = c + L"`.
    pub operation: &'static str,
}

impl Overflow {
    /// An overflow in `operation`.
    pub const fn new(operation: &'static str) -> Self {
        Self { operation }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exact result of `{}` does not fit its integer", self.operation)
    }
}

impl std::error::Error for Overflow {}

/// A price or payment per time: 10⁻¹² currency units per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Rate(pub u64);

impl Rate {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest rate that the wire can say.
    pub const MAX: Self = Self(u64::MAX);

    /// `self + other`; `operation` names the sum in the error.
    pub fn plus(self, other: Self, operation: &'static str) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow::new(operation))
    }

    /// `self − other`; a negative result is an error, `operation` names the difference.
    pub fn minus(self, other: Self, operation: &'static str) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(Overflow::new(operation))
    }

    /// The rate that a wide sum stands for, if it fits.
    pub fn from_wide(sum: u128, operation: &'static str) -> Result<Self, Overflow> {
        u64::try_from(sum).map(Self).map_err(|_| Overflow::new(operation))
    }

    /// The same count in 128 bits, for sums over branches.
    pub const fn wide(self) -> u128 {
        self.0 as u128
    }

    /// What this rate comes to in `span`, exactly. u64 × u64 always fits 128 bits, but the sign
    /// bit of an [`Amount`] is needed for itself: the largest rate over the longest span is an
    /// error.
    pub fn over(self, span: Span) -> Result<Amount, Overflow> {
        let product = self.wide() * u128::from(span.0);
        i128::try_from(product).map(Amount).map_err(|_| Overflow::new("rate × ms"))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An amount of money: 10⁻¹⁵ currency units, signed (a balance may be a debt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Amount(pub i128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self + other`; `operation` names the sum in the error.
    pub fn plus(self, other: Self, operation: &'static str) -> Result<Self, Overflow> {
        self.0.checked_add(other.0).map(Self).ok_or(Overflow::new(operation))
    }

    /// `self − other`; `operation` names the difference in the error.
    pub fn minus(self, other: Self, operation: &'static str) -> Result<Self, Overflow> {
        self.0.checked_sub(other.0).map(Self).ok_or(Overflow::new(operation))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A fraction in parts per million, at most one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "u32", into = "u32"))]
pub struct Ppm(u32);

impl Ppm {
    /// No share.
    pub const ZERO: Self = Self(0);
    /// The whole.
    pub const ONE: Self = Self(1_000_000);

    /// A fraction of `ppm` millionths; more than 1,000,000 is refused.
    pub const fn new(ppm: u32) -> Result<Self, FractionAboveOne> {
        if ppm > Self::ONE.0 { Err(FractionAboveOne { ppm }) } else { Ok(Self(ppm)) }
    }

    /// The count of millionths, 0..=1,000,000.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// ⌈r·x⌉: rounding up, the sender absorbs the remainder. r ≤ 1, so the result is at most x.
    pub fn ceil_of(self, x: Rate) -> Rate {
        if let Some(millionths) = x.0.checked_mul(u64::from(self.0)) {
            return Rate(millionths.div_ceil(1_000_000));
        }
        let millionths = u128::from(self.0) * x.wide();
        // At most x, hence within u64; the fallback is never taken.
        Rate::from_wide(millionths.div_ceil(1_000_000), "⌈r·C⌉").unwrap_or(x)
    }
}

impl TryFrom<u32> for Ppm {
    type Error = FractionAboveOne;

    fn try_from(ppm: u32) -> Result<Self, FractionAboveOne> {
        Self::new(ppm)
    }
}

impl From<Ppm> for u32 {
    fn from(ppm: Ppm) -> Self {
        ppm.0
    }
}

/// A sender's fraction above 10⁶ parts per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FractionAboveOne {
    /// What was offered.
    pub ppm: u32,
}

impl fmt::Display for FractionAboveOne {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sender fraction {} ppm is above 1000000; a sender covers at most all", self.ppm)
    }
}

impl std::error::Error for FractionAboveOne {}
