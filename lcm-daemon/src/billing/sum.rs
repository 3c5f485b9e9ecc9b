//! Rounding: once, at the end, half to even; what is left over stays on the account.

use serde::Serialize;

use super::Statement;
pub use crate::ledger::replay::half_even;

/// A tax.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tax {
    /// Its name.
    pub name: String,
    /// Its rate in parts per million.
    pub ppm: u32,
}

/// What is to be paid. Amounts to be paid are counts of the currency's smallest unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The exact sum, in 10⁻¹⁵ currency units.
    #[serde(with = "super::amount")]
    pub exact: i128,
    /// What the last bill left over, in 10⁻¹⁵ currency units.
    #[serde(with = "super::amount")]
    pub carried_in: i128,
    /// Both, rounded half to even.
    #[serde(with = "super::amount")]
    pub net: i128,
    /// What is left over: less than half of the smallest unit, and carried on.
    #[serde(with = "super::amount")]
    pub carried_out: i128,
    /// Each tax, on the net amount.
    pub taxes: Vec<TaxLine>,
    /// Net and taxes.
    #[serde(with = "super::amount")]
    pub gross: i128,
    /// What of the net amount the account paid. It holds net amounts, so taxes are left to pay.
    #[serde(with = "super::amount")]
    pub from_account: i128,
    /// What is left to pay.
    #[serde(with = "super::amount")]
    pub to_pay: i128,
}

/// A tax on a sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaxLine {
    /// Which.
    pub tax: Tax,
    /// How much.
    #[serde(with = "super::amount")]
    pub amount: i128,
}

/// Exponent of ledger units.
const LEDGER_DIGITS: u32 = 15;

/// Parts per million that make a whole.
const WHOLE: i128 = 1_000_000;

/// Sums up a statement.
#[must_use]
pub fn total(statement: &Statement, carried_in: i128, taxes: &[Tax]) -> Total {
    let unit = 10_i128.pow(LEDGER_DIGITS.saturating_sub(statement.digits));
    let exact: i128 = statement.sessions.iter().map(|line| line.total).sum();
    let due = exact + carried_in;
    let net = half_even(due, unit);
    let of = |tax: &Tax| TaxLine {
        tax: tax.clone(),
        amount: half_even(net.saturating_mul(tax.ppm.into()), WHOLE),
    };
    let taxes: Vec<TaxLine> = taxes.iter().map(of).collect();
    let gross = net + taxes.iter().map(|line| line.amount).sum::<i128>();
    let from_account = from_account(statement, due, net);
    let to_pay = gross - from_account;
    Total {
        exact,
        carried_in,
        net,
        carried_out: due - net * unit,
        taxes,
        gross,
        from_account,
        to_pay,
    }
}

/// What of a net amount, in the smallest unit, the holder's account paid: all that was charged to it,
/// but for what it owes by the end. What was paid in counts for what is oldest.
pub(super) fn from_account(statement: &Statement, due: i128, net: i128) -> i128 {
    let unit = 10_i128.pow(LEDGER_DIGITS.saturating_sub(statement.digits));
    let charged = statement.charged;
    let owed = statement.funds.as_ref().map_or(0, |funds| -funds.after);
    let paid = charged - owed.clamp(0, charged.max(0));
    net - half_even(due - paid, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_side() {
        for (amount, rounded) in [
            (0, 0),
            (4, 0),
            (5, 0),
            (6, 1),
            (15, 2),
            (25, 2),
            (35, 4),
            (-4, 0),
            (-5, 0),
            (-6, -1),
            (-15, -2),
            (-25, -2),
        ] {
            assert_eq!(half_even(amount, 10), rounded, "{amount}");
        }
    }

    #[test]
    fn what_is_left_over_is_carried_and_nothing_is_lost() {
        let unit = 10_i128.pow(13);
        let mut left = 0;
        let (mut billed, mut owed) = (0, 0);
        for number in 1..200_i128 {
            let exact = number * 7_777_777_777_777;
            let net = half_even(exact + left, unit);
            (billed, owed) = (billed + net * unit, owed + exact);
            left = exact + left - net * unit;
            assert!(left.abs() * 2 <= unit && billed + left == owed);
        }
    }
}
