//! `exchange = { … }` of a `[[neighbour]]`: a border between two currencies.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::Currency;
use super::check::{currency, number};
use super::problem::Problems;
use super::raw::{self, Given};

/// At what rate a previous hop's currency becomes ours. All roundings favour who pays: what is
/// passed on to customers is rounded down, and so is what the sender's side is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The currency in which it announces, and is paid.
    pub currency: Currency,
    /// So much of our currency,
    pub ours: u64,
    /// is so much of its; none of them is 0.
    pub theirs: u64,
    /// Number of this rate, as it was agreed; it stands in the books with each price.
    pub version: u32,
    /// What it charges by a scheme of its own for what it does not announce a price for, in 10⁻¹²
    /// of its currency units per second: it becomes a part of our local prices.
    pub gateway_price_pico_per_s: Option<u64>,
}

impl Exchange {
    /// What `theirs` comes to here, rounded down; `None` if that does not fit.
    #[must_use]
    pub fn ours_of(&self, theirs: u64) -> Option<u64> {
        let product = u128::from(theirs) * u128::from(self.ours);
        u64::try_from(product / u128::from(self.theirs.max(1))).ok()
    }

    /// The same, rounded up.
    #[must_use]
    pub fn ours_at_most(&self, theirs: u64) -> Option<u64> {
        let product = u128::from(theirs) * u128::from(self.ours);
        u64::try_from(product.div_ceil(u128::from(self.theirs.max(1)))).ok()
    }

    /// What `ours` comes to there, rounded down; `None` if that does not fit.
    #[must_use]
    pub fn theirs_of(&self, ours: u64) -> Option<u64> {
        let product = u128::from(ours) * u128::from(self.theirs);
        u64::try_from(product / u128::from(self.ours.max(1))).ok()
    }

    /// The same, rounded up.
    #[must_use]
    pub fn theirs_at_most(&self, ours: u64) -> Option<u64> {
        let product = u128::from(ours) * u128::from(self.theirs);
        u64::try_from(product.div_ceil(u128::from(self.ours.max(1)))).ok()
    }
}

/// The table as it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { currency = \"USD\", ours = 9, theirs = 10, version = 1 }"
)]
pub(super) struct Raw {
    currency: Given<raw::CurrencyCode>,
    ours: Given<u64>,
    theirs: Given<u64>,
    version: Given<u64>,
    gateway_price_pico_per_s: Given<u64>,
}

pub(super) fn check(given: Spanned<Raw>, problems: &mut Problems<'_>) -> Option<Exchange> {
    let place = given.span();
    let raw = given.into_inner();
    let (Some(code), Some(ours), Some(theirs), Some(version)) =
        (raw.currency, raw.ours, raw.theirs, raw.version)
    else {
        problems.at(
            place,
            "an exchange needs a currency, a rate and its version".to_owned(),
            "write { currency = \"USD\", ours = 9, theirs = 10, version = 1 }".to_owned(),
        );
        return None;
    };
    let amount = |given: &Spanned<u64>, problems: &mut Problems<'_>| {
        number(Some(given), 1, 1..=u64::from(u32::MAX), "", problems)
    };
    Some(Exchange {
        currency: currency(&code, problems)?,
        ours: amount(&ours, problems),
        theirs: amount(&theirs, problems),
        version: number(Some(&version), 0, 0..=u32::MAX, "", problems),
        gateway_price_pico_per_s: raw.gateway_price_pico_per_s.map(Spanned::into_inner),
    })
}

pub(super) fn render(out: &mut impl fmt::Write, exchange: &Exchange) -> fmt::Result {
    let Exchange { currency, ours, theirs, version, gateway_price_pico_per_s } = exchange;
    write!(
        out,
        "exchange = {{ currency = \"{}\", ours = {ours}, theirs = {theirs}, version = {version}",
        currency.alphabetic()
    )?;
    if let Some(price) = gateway_price_pico_per_s {
        write!(out, ", gateway_price_pico_per_s = {price}")?;
    }
    writeln!(out, " }}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn r038_rounding_costs_nobody_more_than_a_unit(
            ours in 1..=u64::from(u32::MAX),
            theirs in 1..=u64::from(u32::MAX),
            price in 0..=u64::from(u32::MAX),
        ) {
            let currency = Currency::from_numeric(840).unwrap();
            let rate = Exchange {
                currency, ours, theirs, version: 1, gateway_price_pico_per_s: None,
            };
            let exact = u128::from(price) * u128::from(ours);
            let bought = u128::from(rate.ours_of(price).unwrap()) * u128::from(theirs);
            prop_assert!(bought <= exact && exact < bought + u128::from(theirs));
            let most = u128::from(rate.ours_at_most(price).unwrap()) * u128::from(theirs);
            prop_assert!(exact <= most && most < exact + u128::from(theirs));
            let exact = u128::from(price) * u128::from(theirs);
            let sold = u128::from(rate.theirs_of(price).unwrap()) * u128::from(ours);
            prop_assert!(sold <= exact && exact < sold + u128::from(ours));
            let most = u128::from(rate.theirs_at_most(price).unwrap()) * u128::from(ours);
            prop_assert!(exact <= most && most < exact + u128::from(ours));
        }
    }
}
