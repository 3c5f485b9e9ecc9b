//! Amounts as people write them: decimal currency units.

use super::terms::{AMOUNT_MAX, UNIT};

/// Digits behind the point that an amount can have.
const DIGITS: usize = 15;

/// Reads currency units, as `12` or `0.05`, in 10⁻¹⁵ currency units.
///
/// # Errors
/// What is wrong with it.
pub fn parse_amount(text: &str) -> Result<u128, String> {
    let wrong = |what: &str| Err(format!("amount {text:?}: {what}"));
    if text.starts_with('-') {
        return wrong("negative; write a positive amount");
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let empty = whole.is_empty() || (part.is_empty() && text.contains('.'));
    if empty || !digits(whole) || !digits(part) {
        return wrong("not a number of currency units such as 12.50");
    }
    if part.len() > DIGITS {
        return wrong("more than 15 digits behind the point");
    }
    let part: u128 = format!("{part:0<DIGITS$}").parse().unwrap_or_default();
    let whole = whole.parse::<u128>().ok().and_then(|whole| whole.checked_mul(UNIT));
    match whole.and_then(|whole| whole.checked_add(part)).filter(|amount| *amount <= AMOUNT_MAX) {
        Some(amount) => Ok(amount),
        None => wrong("more than a million million currency units"),
    }
}

/// Writes 10⁻¹⁵ currency units as currency units, exactly, with two digits behind the point at
/// least.
#[must_use]
pub fn amount_text(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let (whole, part) = (amount.unsigned_abs() / UNIT, amount.unsigned_abs() % UNIT);
    let part = format!("{part:0>DIGITS$}");
    let kept = part.trim_end_matches('0').len().max(2);
    format!("{sign}{whole}.{}", part.get(..kept).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_they_are_written_and_nothing_is_rounded() {
        for (text, amount) in [
            ("0.00", 0),
            ("1.00", UNIT),
            ("12.50", 12 * UNIT + UNIT / 2),
            ("0.000000000000001", 1),
            ("1000000000000.00", AMOUNT_MAX),
        ] {
            assert_eq!(parse_amount(text), Ok(amount));
            assert_eq!(amount_text(i128::try_from(amount).unwrap()), text);
        }
        assert_eq!(amount_text(-UNIT.cast_signed() / 4), "-0.25");
        for text in ["", "-1", "1.", ".5", "1e3", "1,5", "0.0000000000000001", "1000000000000.01"] {
            assert!(parse_amount(text).is_err(), "{text:?}");
        }
    }
}
