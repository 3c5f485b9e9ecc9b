//! What neighbours owe and are owed, in memory: settled segments of all flows, by neighbour.

use std::collections::BTreeMap;
use std::net::IpAddr;

use charging_model::flow::Flow;
use charging_model::{Amount, Entry, Posting};

use super::super::psb::Psb;
use super::super::rsb::LOCAL;
use super::super::show::{AccountView, AccountsView};
use super::super::time::Now;
use super::clock;

/// Sums with one neighbour, in ledger units.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    receiver_payments_in: Amount,
    receiver_payments_out: Amount,
    sender_payments_in: Amount,
    sender_payments_out: Amount,
    /// Net rate per second as it runs now; filled in for a reading only.
    rate: i128,
}

impl Account {
    fn balance(&self) -> Amount {
        let received = add(self.receiver_payments_in, self.sender_payments_in);
        let paid = add(self.receiver_payments_out, self.sender_payments_out);
        Amount(received.0.saturating_sub(paid.0))
    }
}

/// The settled part of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Books {
    accounts: BTreeMap<IpAddr, Account>,
}

impl Books {
    /// Takes the segments that a flow closed; `phop` is the previous hop that it had then.
    pub(crate) fn take(&mut self, phop: Option<IpAddr>, flow: &mut Flow) {
        for posting in flow.take_postings() {
            self.post(phop, &posting);
        }
    }

    fn post(&mut self, phop: Option<IpAddr>, posting: &Posting) {
        let Some(neighbour) = neighbour(phop, posting.entry) else { return };
        let account = self.accounts.entry(neighbour).or_default();
        let sum = match posting.entry {
            Entry::ReceiverPaymentFrom(_) => &mut account.receiver_payments_in,
            Entry::SenderPaymentFromUpstream => &mut account.sender_payments_in,
            Entry::SenderPaymentTo(_) => &mut account.sender_payments_out,
            Entry::ReceiverPaymentToUpstream => &mut account.receiver_payments_out,
        };
        *sum = add(*sum, posting.segment.amount);
    }

    /// Reads all accounts at `now`. Running segments are closed for it, so that the reading is
    /// exact; that changes no rate and no sum.
    pub(crate) fn read<'a>(
        &mut self,
        now: Now,
        senders: impl Iterator<Item = &'a mut Psb>,
    ) -> AccountsView {
        let mut rates: BTreeMap<IpAddr, i128> = BTreeMap::new();
        for psb in senders {
            let phop = psb.phop_address();
            let Some(flow) = psb.flow.as_mut() else { continue };
            flow.checkpoint(clock(now).now);
            self.take(phop, flow);
            for (neighbour, rate) in running(now, phop, flow) {
                *rates.entry(neighbour).or_default() += rate;
            }
        }
        for neighbour in rates.keys() {
            self.accounts.entry(*neighbour).or_default();
        }
        let accounts = self.accounts.iter().map(|(neighbour, account)| {
            let rate = rates.get(neighbour).copied().unwrap_or_default();
            (*neighbour, Account { rate, ..*account })
        });
        view(now, accounts.collect())
    }
}

/// What a flow moves per second between us and its neighbours at `now`. A reservation that is not
/// billed yet, or whose approval has ended, moves nothing.
fn running(now: Now, phop: Option<IpAddr>, flow: &Flow) -> Vec<(IpAddr, i128)> {
    let silent = flow.branches().map(|branch| Entry::ReceiverPaymentFrom(branch.key));
    let silent = silent.chain([Entry::ReceiverPaymentToUpstream]).map(|entry| (entry, 0));
    let moving = flow.running(clock(now).now).map(|(entry, rate)| (entry, i128::from(rate.0)));
    silent
        .chain(moving)
        .filter_map(|(entry, rate)| {
            let to_us = if entry.is_metered_here() { rate } else { -rate };
            Some((neighbour(phop, entry)?, to_us))
        })
        .collect()
}

/// Whom an entry is about; nobody if it is an application on this node: what that pays stays
/// within the house.
fn neighbour(phop: Option<IpAddr>, entry: Entry) -> Option<IpAddr> {
    match entry {
        Entry::ReceiverPaymentFrom(key) | Entry::SenderPaymentTo(key) => {
            (key.group != LOCAL).then_some(key.hop)
        }
        Entry::SenderPaymentFromUpstream | Entry::ReceiverPaymentToUpstream => phop,
    }
}

fn view(now: Now, accounts: Vec<(IpAddr, Account)>) -> AccountsView {
    let total = accounts.iter().fold(Amount::ZERO, |sum, (_, account)| add(sum, account.balance()));
    let rate: i128 = accounts.iter().map(|(_, account)| account.rate).sum();
    AccountsView {
        as_of_ms: now.at.as_millis(),
        accounts: accounts
            .into_iter()
            .map(|(neighbour, account)| AccountView {
                neighbour,
                rate: narrow(account.rate),
                receiver_payments_in: account.receiver_payments_in.0.to_string(),
                receiver_payments_out: account.receiver_payments_out.0.to_string(),
                sender_payments_in: account.sender_payments_in.0.to_string(),
                sender_payments_out: account.sender_payments_out.0.to_string(),
                amount: account.balance().0.to_string(),
            })
            .collect(),
        rate: narrow(rate),
        amount: total.0.to_string(),
    }
}

fn add(a: Amount, b: Amount) -> Amount {
    // 2⁶⁴ wire units per second over 2⁶³ ms just fit; sums beyond that are not of this world.
    Amount(a.0.saturating_add(b.0))
}

fn narrow(rate: i128) -> i64 {
    i64::try_from(rate).unwrap_or(if rate < 0 { i64::MIN } else { i64::MAX })
}
