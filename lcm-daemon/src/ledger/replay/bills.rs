//! Bills and credit notes: numbers without gaps, and what is left over of each account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::Wrong;
use crate::ledger::record::{Bill, BillOf, Series};
use crate::purse::Holder;

/// Exponent of ledger units.
const LEDGER_DIGITS: u32 = 15;

/// Parts per million that make a whole.
const WHOLE: i128 = 1_000_000;

/// All that were issued.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Bills {
    /// The last number of each series.
    last: BTreeMap<Series, u64>,
    /// What is left over, by holder, in ledger units.
    carried: BTreeMap<Holder, i128>,
    /// The last period that was billed, by holder.
    through: BTreeMap<Holder, u64>,
    /// Whose the bill in this record is.
    holders: BTreeMap<u64, Holder>,
}

impl Bills {
    /// The last number of a series; 0 if there is none.
    pub(super) fn last(&self, series: &Series) -> u64 {
        self.last.get(series).copied().unwrap_or_default()
    }

    /// What is left over of a holder's bills.
    pub(super) fn carried(&self, holder: &Holder) -> i128 {
        self.carried.get(holder).copied().unwrap_or_default()
    }

    /// The last period that was billed, by holder.
    pub(super) fn through(&self) -> &BTreeMap<Holder, u64> {
        &self.through
    }

    /// Whether any was issued.
    pub(super) fn any(&self) -> bool {
        !self.holders.is_empty()
    }

    /// Takes one that record `number` issues; `period` is the last that was closed.
    pub(super) fn issued(
        &mut self,
        number: u64,
        bill: &Bill,
        period: Option<u64>,
    ) -> Result<(), Wrong> {
        let expected = match bill.number {
            // Nothing to be paid yet: no number is used up.
            0 if bill.net == 0 && bill.gross == 0 => 0,
            _ => self.last(&bill.series).saturating_add(1),
        };
        if bill.number != expected {
            return Err(Wrong::BillNumber { expected, found: bill.number });
        }
        if bill.carried_in != self.carried(&bill.holder) {
            return Err(Wrong::BillCarried { number });
        }
        sums(bill).filter(|fair| *fair).ok_or(Wrong::BillSum { number })?;
        match bill.of {
            BillOf::Period(through) => {
                let before = self.through.get(&bill.holder).copied().unwrap_or_default();
                if through <= before
                    || period.is_none_or(|last| last < through)
                    || bill.series.credit
                {
                    return Err(Wrong::BillPeriod { period: through });
                }
                self.through.insert(bill.holder.clone(), through);
            }
            BillOf::Credit { bill: of, through } => {
                let known = self.holders.get(&of).is_some_and(|known| *known == bill.holder);
                if !known || through >= number || !bill.series.credit || bill.exact >= 0 {
                    return Err(Wrong::NoSuchBill { record: of });
                }
            }
        }
        if bill.number > 0 {
            self.last.insert(bill.series.clone(), bill.number);
        }
        self.carried.insert(bill.holder.clone(), bill.carried_out);
        self.holders.insert(number, bill.holder.clone());
        Ok(())
    }
}

/// Whether the sums of a bill are what its exact amount comes to; `None` if they do not fit.
fn sums(bill: &Bill) -> Option<bool> {
    let unit = 10_i128.checked_pow(LEDGER_DIGITS.checked_sub(bill.digits.into())?)?;
    let due = bill.exact.checked_add(bill.carried_in)?;
    let mut gross = bill.net;
    let mut fair = bill.net == half_even(due, unit)
        && bill.carried_out == due.checked_sub(bill.net.checked_mul(unit)?)?;
    for tax in &bill.taxes {
        fair &= tax.amount == half_even(bill.net.checked_mul(tax.ppm.into())?, WHOLE);
        gross = gross.checked_add(tax.amount)?;
    }
    Some(fair && gross == bill.gross)
}

/// Divides and rounds half to even; `by` is positive.
#[must_use]
pub fn half_even(amount: i128, by: i128) -> i128 {
    let (quotient, rest) = (amount.div_euclid(by), amount.rem_euclid(by));
    match (rest * 2).cmp(&by) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + quotient.rem_euclid(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::Taxed;

    fn bill(number: u64, period: u64, exact: i128, carried_in: i128) -> Bill {
        let unit = 10_i128.pow(13);
        let due = exact + carried_in;
        let net = half_even(due, unit);
        let tax = half_even(net * 190_000, WHOLE);
        Bill {
            series: Series { prefix: "A".to_owned(), year: 2026, credit: false },
            number,
            holder: "opaque:R".parse().unwrap(),
            of: BillOf::Period(period),
            digits: 2,
            exact,
            carried_in,
            net,
            carried_out: due - net * unit,
            taxes: vec![Taxed { name: "VAT".to_owned(), ppm: 190_000, amount: tax }],
            gross: net + tax,
            issuer: String::new(),
            by: String::new(),
            wall_ms: 0,
        }
    }

    #[test]
    fn numbers_have_no_gaps_remainders_are_carried_and_sums_are_right() {
        let mut bills = Bills::default();
        let first = bill(1, 1, 1_234_567_890_123_456, 0);
        let left = first.carried_out;
        assert_eq!(
            bills.issued(5, &bill(2, 1, 5, 0), Some(1)),
            Err(Wrong::BillNumber { expected: 1, found: 2 })
        );
        assert_eq!(bills.issued(5, &first, None), Err(Wrong::BillPeriod { period: 1 }));
        bills.issued(5, &first, Some(1)).unwrap();
        assert_eq!((bills.last(&first.series), bills.carried(&first.holder)), (1, left));
        let again = bill(2, 1, 5, left);
        assert_eq!(bills.issued(6, &again, Some(1)), Err(Wrong::BillPeriod { period: 1 }));
        let twice = bill(1, 2, 10_i128.pow(15), left);
        assert!(matches!(bills.issued(6, &twice, Some(2)), Err(Wrong::BillNumber { .. })));
        let lost = bill(2, 2, 10_i128.pow(15), 0);
        assert_eq!(bills.issued(6, &lost, Some(2)), Err(Wrong::BillCarried { number: 6 }));
        for change in [
            |bill: &mut Bill| bill.net += 1,
            |bill: &mut Bill| bill.gross += 1,
            |bill: &mut Bill| bill.carried_out += 1,
            |bill: &mut Bill| bill.taxes[0].amount -= 1,
        ] {
            let mut wrong = bill(2, 2, 10_i128.pow(15), left);
            change(&mut wrong);
            assert_eq!(bills.issued(6, &wrong, Some(2)), Err(Wrong::BillSum { number: 6 }));
        }
        // What comes to nothing uses up no number.
        let small = bill(0, 2, 1_000, left);
        let carried = small.carried_out;
        bills.issued(6, &small, Some(2)).unwrap();
        let credit = Bill {
            series: Series { credit: true, ..first.series.clone() },
            of: BillOf::Credit { bill: 5, through: 6 },
            ..bill(1, 0, -10_i128.pow(15), carried)
        };
        let other = Bill { of: BillOf::Credit { bill: 4, through: 6 }, ..credit.clone() };
        assert_eq!(bills.issued(7, &other, Some(2)), Err(Wrong::NoSuchBill { record: 4 }));
        bills.issued(7, &credit, Some(2)).unwrap();
        assert_eq!((bills.last(&first.series), bills.last(&credit.series)), (1, 1));
    }
}
