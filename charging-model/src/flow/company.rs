//! What other quantities would cost: with whom a branch would share, and a claim for another
//! quantity than was announced.

use super::Flow;
use super::settle::Why;
use crate::equations::sponsored;
use crate::money::Rate;
use crate::split::BranchKey;
use crate::time::Clock;

/// Who shares what the previous hop charges with a branch, whether that is there or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// How many share, the branch among them.
    pub count: u64,
    /// The most that one of the others reserves, bit/s.
    pub quantity: u64,
    /// The most that one of the others on the same interface reserves, bit/s.
    pub beside: u64,
    /// Nobody of them has said how much it reserves, or that is a shared reservation.
    pub unknown: bool,
}

impl Flow {
    /// With whom a branch shares, or would share if it joined; any new one on its interface, if
    /// `key` is of nobody who is there.
    pub fn company(&self, key: BranchKey) -> Company {
        let others = self.branches.iter().filter(|b| b.key != key && self.counts(b));
        let mut company = Company { count: 1, ..Company::default() };
        for b in others {
            company.count = company.count.saturating_add(1);
            company.quantity = company.quantity.max(b.quantity);
            company.unknown |= b.quantity == 0;
            if b.key.group == key.group {
                company.beside = company.beside.max(b.quantity);
            }
        }
        company
    }

    /// What the previous hop announced last is not for what is reserved here, and it has told what
    /// that costs: C_j, and S_j where that is not r of it. It counts as announced. False where it
    /// does not fit, and nothing changed.
    pub fn reclaim(&mut self, clock: Clock, total: Rate, given: Option<Rate>) -> bool {
        let Some(mut next) = self.down.clone() else { return false };
        let covered = given.unwrap_or_else(|| sponsored(next.fraction, total));
        if (next.total, next.sponsored) == (total, covered) {
            return true;
        }
        let max_total = next.max_total.max(total);
        let bounds = self.check_bounds(total, max_total, &self.groups, None);
        if covered > total || bounds.is_err() {
            return false;
        }
        (next.total, next.sponsored, next.max_total) = (total, covered, max_total);
        self.down = Some(next);
        self.settle(clock, Why::Terms);
        true
    }
}
