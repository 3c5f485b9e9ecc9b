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
pub(super) struct Purses {
    all: BTreeMap<Holder, Standing>,
    /// The records that opened and closed those that were closed since the books' beginning; what
    /// was posted before that can be named no more.
    #[serde(skip)]
    past: BTreeMap<Holder, Vec<(u64, u64)>>,
}

impl Purses {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Holder, &Standing)> {
        self.all.iter()
    }

    /// What was given back to holders beyond what they were charged since.
    pub(super) fn over(&self) -> Vec<(Holder, u128)> {
        let over = |(holder, known): (&Holder, &Standing)| (holder.clone(), known.kept.over);
        self.all.iter().map(over).filter(|(_, over)| *over > 0).collect()
    }

    pub(super) fn set_over(&mut self, over: Vec<(Holder, u128)>) {
        for (holder, over) in over {
            if let Some(known) = self.all.get_mut(&holder) {
                known.kept.over = over;
            }
        }
    }

    /// Does what an operator ordered.
    pub(super) fn ordered(&mut self, number: u64, action: &Action) -> Result<(), Wrong> {
        match action {
            Action::Open { holder, terms } => {
                if self.all.get(holder).is_some_and(|known| !known.closed) {
                    return Err(Wrong::OpenAlready);
                }
                let (terms, kept) = (terms.clone(), Kept::default());
                let new = Standing { terms, closed: false, opened: number, kept };
                self.all.insert(holder.clone(), new);
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
            Action::Close { holder, .. } => {
                let known = self.open(holder)?;
                known.closed = true;
                let span = (known.opened, number);
                self.past.entry(holder.clone()).or_default().push(span);
            }
            Action::Did(_) => {}
        }
        Ok(())
    }

    fn open(&mut self, holder: &Holder) -> Result<&mut Standing, Wrong> {
        self.all.get_mut(holder).filter(|known| !known.closed).ok_or(Wrong::NoSuchAccount)
    }

    /// Who holds the account that a payer spends of by a segment that this record opened: a
    /// customer its own, or else its neighbour. One is closed when nothing runs on it, so what is
    /// charged to it began while it was open.
    pub(super) fn payer(&self, payer: &Account, number: u64) -> Option<&Holder> {
        if self.all.is_empty() {
            return None;
        }
        let Account::Neighbour(neighbour, named) = payer else { return None };
        let known = |holder: Holder| {
            let (holder, standing) = self.all.get_key_value(&holder)?;
            let open = !standing.closed && standing.opened < number;
            let was_open = || {
                let past = self.past.get(holder).into_iter().flatten();
                past.into_iter().any(|(opened, closed)| (*opened..*closed).contains(&number))
            };
            (open || was_open()).then_some(holder)
        };
        let customer = named.as_ref().and_then(|named| known(Holder::Customer(named.clone())));
        customer.or_else(|| known(Holder::Neighbour(neighbour.address)))
    }

    pub(super) fn charge(&mut self, payer: &Account, posting: &Posting) {
        let Some(holder) = self.payer(payer, posting.number).cloned() else { return };
        let Some(standing) = self.all.get_mut(&holder) else { return };
        let span = (posting.from.wall_ms, posting.to.wall_ms);
        standing.kept.charge(posting.rate, posting.amount, span);
    }

    pub(super) fn give_back(&mut self, payer: &Account, number: u64, amount: u128) {
        let Some(holder) = self.payer(payer, number).cloned() else { return };
        if let Some(standing) = self.all.get_mut(&holder) {
            standing.kept.give_back(amount);
        }
    }
}

/// Whether what was paid in can be held under the terms.
fn holds(standing: &Standing) -> Result<(), Wrong> {
    let mut money = standing.terms.backend.open();
    money.pay_in(standing.kept.paid_in).map_err(|_| Wrong::NotHeld)
}
