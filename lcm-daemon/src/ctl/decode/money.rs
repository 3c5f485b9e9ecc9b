//! Rates of charging elements for people.

use crate::config::Currency;

/// Digits behind the point: rates count 10⁻¹² currency units a second.
const DECIMALS: usize = 12;

/// The three letters of a currency.
pub(super) fn letters(numeric: u16) -> Option<&'static str> {
    Currency::from_numeric(numeric).map(Currency::alphabetic)
}

/// A rate with its currency, such as `0.000041 EUR/s`.
pub(super) fn rate(amount: u64, numeric: u16) -> String {
    let digits = format!("{amount:0>width$}", width = DECIMALS + 1);
    let (whole, fraction) = digits.split_at(digits.len() - DECIMALS);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    match letters(numeric) {
        Some(letters) => format!("{whole}{point}{fraction} {letters}/s"),
        None => format!("{whole}{point}{fraction} of currency {numeric}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn amounts_keep_every_digit() {
        assert_eq!(rate(0, 978), "0 EUR/s");
        assert_eq!(rate(41_000_000, 978), "0.000041 EUR/s");
        assert_eq!(rate(1_000_000_000_001, 840), "1.000000000001 USD/s");
        assert_eq!(rate(u64::MAX, 1), "18446744.073709551615 of currency 1/s");
    }
}
