//! Accounts and their balances.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::fault::Wrong;
use crate::ledger::record::{AccountId, Neighbour, Payment};

/// A party of postings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Account {
    /// Our own side of one kind of payment.
    Own(Payment),
    /// A neighbour, and its customer where a consent names one.
    Neighbour(Neighbour, Option<AccountId>),
}

/// The place of an account among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountRef(pub(super) u32);

impl AccountRef {
    /// Its number, from 0, in the order of the accounts.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The place of a neighbour among all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NeighbourRef(u32);

/// The two accounts of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sides {
    pub(super) debit: AccountRef,
    pub(super) credit: AccountRef,
}

/// All accounts, each with its balance: what it received less what it paid.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Accounts {
    all: Vec<(Account, i128)>,
    /// Our own, by payment.
    own: [Option<AccountRef>; 4],
    neighbours: Vec<Customers>,
    numbers: HashMap<Neighbour, NeighbourRef>,
}

/// The accounts of one neighbour.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Customers {
    neighbour: Neighbour,
    itself: Option<AccountRef>,
    named: HashMap<AccountId, AccountRef>,
}

impl Accounts {
    /// A neighbour's place, a new one if it is new.
    pub(super) fn neighbour(&mut self, neighbour: Neighbour) -> NeighbourRef {
        if let Some(&known) = self.numbers.get(&neighbour) {
            return known;
        }
        let new = NeighbourRef(place(self.neighbours.len()));
        self.neighbours.push(Customers { neighbour, itself: None, named: HashMap::new() });
        self.numbers.insert(neighbour, new);
        new
    }

    /// Who stands at a place.
    pub(super) fn who(&self, place: NeighbourRef) -> Option<Neighbour> {
        self.neighbours.get(place.0 as usize).map(|known| known.neighbour)
    }

    /// The account of a neighbour, or of its customer.
    pub(super) fn of(&mut self, neighbour: NeighbourRef, id: Option<&AccountId>) -> AccountRef {
        let new = AccountRef(place(self.all.len()));
        let Some(customers) = self.neighbours.get_mut(neighbour.0 as usize) else { return new };
        let known = match id {
            None => customers.itself,
            Some(id) => customers.named.get(id).copied(),
        };
        if let Some(known) = known {
            return known;
        }
        match id {
            None => customers.itself = Some(new),
            Some(id) => drop(customers.named.insert(id.clone(), new)),
        }
        self.all.push((Account::Neighbour(customers.neighbour, id.cloned()), 0));
        new
    }

    /// Who pays whom by a payment between us and the account `theirs`.
    pub(super) fn sides(&mut self, payment: Payment, theirs: AccountRef) -> Sides {
        let new = AccountRef(place(self.all.len()));
        let own = match self.own.get_mut(payment as usize) {
            Some(Some(known)) => *known,
            slot => {
                if let Some(slot) = slot {
                    *slot = Some(new);
                }
                self.all.push((Account::Own(payment), 0));
                new
            }
        };
        match payment {
            Payment::ReceiverIn | Payment::SenderIn => Sides { debit: theirs, credit: own },
            Payment::SenderOut | Payment::ReceiverOut => Sides { debit: own, credit: theirs },
        }
    }

    /// Moves an amount from the one side to the other: both, or on overflow neither.
    pub(super) fn transfer(&mut self, sides: Sides, amount: u128) -> Result<(), Wrong> {
        let amount = i128::try_from(amount).map_err(|_| Wrong::Overflow)?;
        let balance = |place| self.balance(place).ok_or(Wrong::Overflow);
        let debited = balance(sides.debit)?.checked_sub(amount).ok_or(Wrong::Overflow)?;
        let credited = balance(sides.credit)?.checked_add(amount).ok_or(Wrong::Overflow)?;
        for (place, value) in [(sides.debit, debited), (sides.credit, credited)] {
            if let Some((_, balance)) = self.all.get_mut(place.0 as usize) {
                *balance = value;
            }
        }
        Ok(())
    }

    pub(super) fn get(&self, place: AccountRef) -> Option<&Account> {
        self.all.get(place.0 as usize).map(|(account, _)| account)
    }

    fn balance(&self, place: AccountRef) -> Option<i128> {
        self.all.get(place.0 as usize).map(|(_, balance)| *balance)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&Account, i128)> {
        self.all.iter().map(|(account, balance)| (account, *balance))
    }
}

/// Fewer than 2³² accounts fit into memory.
fn place(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
