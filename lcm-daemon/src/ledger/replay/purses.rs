//! Accounts of holders: what operators opened and paid in, and what was charged to them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::accounts::Account;
use super::fault::Wrong;
use super::posting::Posting;
use crate::ledger::record::Action;
use crate::purse::{Holder, Kept, Terms};

/// An account as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its terms.
    pub terms: Terms,
    /// It is closed.
    pub closed: bool,
    /// Number of the record that opened it: segments that began before are none of its own.
    pub opened: u64,
    /// What was paid in and charged since.
    pub kept: Kept,
}

/// All of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Purses(BTreeMap<Holder, Standing>);

impl Purses {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Holder, &Standing)> {
        self.0.iter()
    }

    /// Does what an operator ordered.
    pub(super) fn ordered(&mut self, number: u64, action: &Action) -> Result<(), Wrong> {
        match action {
            Action::Open { holder, terms } => {
                if self.0.get(holder).is_some_and(|known| !known.closed) {
                    return Err(Wrong::OpenAlready);
                }
                let (terms, kept) = (terms.clone(), Kept::default());
                let new = Standing { terms, closed: false, opened: number, kept };
                self.0.insert(holder.clone(), new);
            }
            Action::Credit { holder, amount, .. } => {
                let known = self.open(holder)?;
                known.kept.paid_in =
                    known.kept.paid_in.checked_add(*amount).ok_or(Wrong::Overflow)?;
                holds(known)?;
            }
            Action::Agree { holder, terms } => {
                let known = self.open(holder)?;
                known.terms = terms.clone();
                holds(known)?;
            }
            Action::Close { holder, .. } => self.open(holder)?.closed = true,
            Action::Did(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, holder: &Holder) -> Result<&mut Standing, Wrong> {
        self.0.get_mut(holder).filter(|known| !known.closed).ok_or(Wrong::NoSuchAccount)
    }

    /// Who holds the account that a payer spends of by a segment that this record opened: a
    /// customer its own, or else its neighbour.
    pub(super) fn payer(&self, payer: &Account, number: u64) -> Option<&Holder> {
        self.payer_if(payer, number, |_| true)
    }

    fn payer_if(
        &self,
        payer: &Account,
        number: u64,
        may: impl Fn(&Standing) -> bool,
    ) -> Option<&Holder> {
        if self.0.is_empty() {
            return None;
        }
        let Account::Neighbour(neighbour, named) = payer else { return None };
        let known = |holder: Holder| {
            let (holder, standing) = self.0.get_key_value(&holder)?;
            (standing.opened < number && may(standing)).then_some(holder)
        };
        let customer = named.as_ref().and_then(|named| known(Holder::Customer(named.clone())));
        customer.or_else(|| known(Holder::Neighbour(neighbour.address)))
    }

    pub(super) fn charge(&mut self, payer: &Account, posting: &Posting) {
        // One is closed when nothing runs on it, so what is charged later began later.
        let open = |standing: &Standing| !standing.closed;
        let Some(holder) = self.payer_if(payer, posting.number, open).cloned() else { return };
        let Some(standing) = self.0.get_mut(&holder) else { return };
        let span = (posting.from.wall_ms, posting.to.wall_ms);
        standing.kept.charge(posting.rate, posting.amount, span);
    }

    pub(super) fn give_back(&mut self, payer: &Account, number: u64, amount: u128) {
        let Some(holder) = self.payer(payer, number).cloned() else { return };
        if let Some(standing) = self.0.get_mut(&holder) {
            standing.kept.charged = standing.kept.charged.saturating_sub(amount);
        }
    }
}

/// Whether what was paid in can be held under the terms.
fn holds(standing: &Standing) -> Result<(), Wrong> {
    let mut money = standing.terms.backend.open();
    money.pay_in(standing.kept.paid_in).map_err(|_| Wrong::NotHeld)
}
