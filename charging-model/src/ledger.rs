//! Postings and the accounts of neighbours.
//!
//! RP_{k,j} debits k's account at j; SP_{j,k} debits j's account at k. Every posting joins two
//! adjacent parties, so all accounts sum to zero at any time. The payee meters; the payer's
//! meters are shadows, which stand in a ledger of their own if anyone wants to compare.

use std::collections::BTreeMap;

use crate::flow::Account;
use crate::meter::Segment;
use crate::money::{Amount, Overflow};
use crate::split::BranchKey;

/// Which of a flow's payments a posting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Entry {
    /// RP_{k,j}, received from next hop k: metered here.
    ReceiverPaymentFrom(BranchKey),
    /// SP_{i,j}, received from the previous hop: metered here.
    SenderPaymentFromUpstream,
    /// SP_{j,k}, paid to next hop k, who meters it: a shadow.
    SenderPaymentTo(BranchKey),
    /// RP_{j,i}, paid to the previous hop, who meters it: a shadow.
    ReceiverPaymentToUpstream,
}

impl Entry {
    /// Whether this node is the payee, whose meter counts.
    pub const fn is_metered_here(&self) -> bool {
        matches!(self, Self::ReceiverPaymentFrom(_) | Self::SenderPaymentFromUpstream)
    }
}

/// One closed segment of one of a flow's payments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Posting {
    /// Whose payment.
    pub entry: Entry,
    /// The account debited, where this node is the payee and the payer named one.
    pub account: Option<Account>,
    /// Rate, instants and amount.
    pub segment: Segment,
    /// Time after the end of an approval, billed when the payer came back (T3).
    pub gap: bool,
}

/// The accounts of a set of parties; a party is whatever the caller tells them apart by.
#[derive(Clone, Debug)]
pub struct Ledger<P> {
    accounts: BTreeMap<P, Amount>,
}

impl<P> Default for Ledger<P> {
    fn default() -> Self {
        Self { accounts: BTreeMap::new() }
    }
}

impl<P: Ord + Clone> Ledger<P> {
    /// Moves `amount` from `payer` to `payee`: both accounts, or on overflow neither.
    pub fn transfer(&mut self, payer: &P, payee: &P, amount: Amount) -> Result<(), Overflow> {
        if payer == payee {
            return Ok(());
        }
        let debited = self.balance(payer).minus(amount, "account − amount")?;
        let credited = self.balance(payee).plus(amount, "account + amount")?;
        self.accounts.insert(payer.clone(), debited);
        self.accounts.insert(payee.clone(), credited);
        debug_assert!(self.total().is_none_or(|t| t == Amount::ZERO), "accounts do not sum to 0");
        Ok(())
    }

    /// The balance of `party`: what it has received less what it has paid.
    pub fn balance(&self, party: &P) -> Amount {
        self.accounts.get(party).copied().unwrap_or_default()
    }

    /// All accounts, in the order of the parties.
    pub fn accounts(&self) -> impl Iterator<Item = (&P, Amount)> {
        self.accounts.iter().map(|(party, amount)| (party, *amount))
    }

    /// The sum of all accounts, zero at any time; `None` if it does not fit an amount.
    pub fn total(&self) -> Option<Amount> {
        let sum = |total: Amount, a: &Amount| total.plus(*a, "Σ accounts").ok();
        self.accounts.values().try_fold(Amount::ZERO, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r030_a_transfer_joins_two_accounts_or_none() {
        let mut ledger = Ledger::default();
        ledger.transfer(&"R1", &"IS2", Amount(63)).unwrap();
        ledger.transfer(&"IS2", &"IS1", Amount(70)).unwrap();
        assert_eq!(ledger.balance(&"IS2"), Amount(-7));
        assert_eq!(ledger.total(), Some(Amount::ZERO));
        ledger.transfer(&"R1", &"R1", Amount(5)).unwrap();
        assert_eq!(ledger.balance(&"R1"), Amount(-63));
        ledger.transfer(&"a", &"b", Amount(i128::MAX)).unwrap();
        assert!(ledger.transfer(&"a", &"IS1", Amount(2)).is_err());
        assert_eq!(ledger.balance(&"IS1"), Amount(70));
    }
}
