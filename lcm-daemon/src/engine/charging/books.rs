//! What neighbours owe and are owed, in memory: settled segments of all flows, by neighbour.

use std::collections::BTreeMap;
use std::net::IpAddr;

use charging_model::flow::Flow;
use charging_model::{Amount, Entry, Posting};

use super::super::psb::Psb;
use super::super::rsb::LOCAL;
use super::super::show::{AccountView, AccountsView, ForeignView};
use super::super::time::Now;
use super::clock;
use super::exchange::Border;
use crate::config::Exchange;
use crate::ledger::record::Neighbour;

/// Sums with one neighbour, in ledger units.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    receiver_payments_in: Amount,
    receiver_payments_out: Amount,
    sender_payments_in: Amount,
    sender_payments_out: Amount,
    /// What we gave back to it, less what it gave back to us.
    given_back: Amount,
    /// Balance from before this start; filled in for a reading only.
    carried: Amount,
    /// Net rate per second as it runs now; filled in for a reading only.
    rate: i128,
    /// Number of the last posting.
    last: u64,
    /// What stands with it in its own currency.
    foreign: Option<Abroad>,
}

/// What stands with a neighbour in its own currency, in 10⁻¹⁵ of its units.
#[derive(Debug, Clone, Copy)]
struct Abroad {
    exchange: Exchange,
    receiver_payments_out: Amount,
    sender_payments_in: Amount,
}

impl Account {
    fn merge(&mut self, other: &Account) {
        for (own, more) in [
            (&mut self.receiver_payments_in, other.receiver_payments_in),
            (&mut self.receiver_payments_out, other.receiver_payments_out),
            (&mut self.sender_payments_in, other.sender_payments_in),
            (&mut self.sender_payments_out, other.sender_payments_out),
            (&mut self.given_back, other.given_back),
        ] {
            *own = add(*own, more);
        }
    }

    fn trade(&mut self, border: &Border, entry: Entry, amount: Amount) {
        let exchange = border.exchange;
        let abroad = self.foreign.get_or_insert(Abroad {
            exchange,
            receiver_payments_out: Amount(0),
            sender_payments_in: Amount(0),
        });
        abroad.exchange = exchange;
        let sum = match entry {
            Entry::ReceiverPaymentToUpstream => &mut abroad.receiver_payments_out,
            _ => &mut abroad.sender_payments_in,
        };
        *sum = add(*sum, amount);
    }

    fn balance(&self) -> Amount {
        let received = add(self.receiver_payments_in, self.sender_payments_in);
        let paid = add(self.receiver_payments_out, self.sender_payments_out);
        let paid = add(paid, self.given_back);
        add(self.carried, Amount(received.0.saturating_sub(paid.0)))
    }
}

/// An account: the neighbour, and whether it is of the same house.
type Party = (IpAddr, bool);

impl Abroad {
    fn view(&self) -> ForeignView {
        let owed = self.sender_payments_in.0.saturating_sub(self.receiver_payments_out.0);
        ForeignView {
            currency: self.exchange.currency.alphabetic().to_owned(),
            version: self.exchange.version,
            receiver_payments_out: self.receiver_payments_out.0.to_string(),
            sender_payments_in: self.sender_payments_in.0.to_string(),
            amount: owed.to_string(),
        }
    }
}

/// The settled part of all accounts.
///
/// Whoever reserves and pays under ever new addresses would make this grow for ever. Past a limit,
/// the accounts that were posted to least lately are added up in one sum: what each of those
/// neighbours owes stands in the records, which are exact and on disk.
#[derive(Debug, Clone)]
pub(crate) struct Books {
    accounts: BTreeMap<Party, Account>,
    /// Balances from before this start, by the ledger.
    carried: BTreeMap<IpAddr, Amount>,
    /// Accounts that are kept apart.
    most: usize,
    /// The sum of those that are not, and how many there were.
    folded: Account,
    folded_count: u64,
    /// Postings so far: the age of accounts.
    postings: u64,
}

impl Books {
    /// No accounts yet; as many as `most` are kept apart.
    pub(crate) fn new(most: u32) -> Self {
        Self {
            accounts: BTreeMap::new(),
            carried: BTreeMap::new(),
            most: most as usize,
            folded: Account::default(),
            folded_count: 0,
            postings: 0,
        }
    }

    /// Takes the balances from before this start.
    pub(crate) fn carry(&mut self, balances: impl IntoIterator<Item = (IpAddr, Amount)>) {
        self.carried = balances.into_iter().collect();
    }

    /// Takes the segments that a flow closed; `payee` is who was paid for it then, and `internal`
    /// says who is of the same house.
    pub(crate) fn take(
        &mut self,
        payee: Option<Neighbour>,
        flow: &mut Flow,
        border: Option<Border>,
        internal: impl Fn(Neighbour) -> bool,
    ) {
        for posting in flow.take_postings() {
            let Some(who) = neighbour(payee, posting.entry) else { continue };
            let party = (who.address, internal(who));
            self.post(party, &posting);
            let abroad = border.and_then(|border| Some((border, border.foreign(&posting)?)));
            if let (Some((border, amount)), Some(account)) = (abroad, self.accounts.get_mut(&party))
            {
                account.trade(&border, posting.entry, amount);
            }
        }
    }

    /// A part of what a neighbour paid is given back to it; negative, of what it was paid.
    pub(crate) fn give_back(&mut self, party: Party, amount: i128) {
        let account = self.touch(party);
        account.given_back = add(account.given_back, Amount(amount));
    }

    /// The account of a party, which is now the one that was posted to last.
    fn touch(&mut self, party: Party) -> &mut Account {
        if self.accounts.len() >= self.most && !self.accounts.contains_key(&party) {
            self.fold();
        }
        self.postings += 1;
        let account = self.accounts.entry(party).or_default();
        account.last = self.postings;
        account
    }

    fn post(&mut self, neighbour: Party, posting: &Posting) {
        let account = self.touch(neighbour);
        let sum = match posting.entry {
            Entry::ReceiverPaymentFrom(_) => &mut account.receiver_payments_in,
            Entry::SenderPaymentFromUpstream => &mut account.sender_payments_in,
            Entry::SenderPaymentTo(_) => &mut account.sender_payments_out,
            Entry::ReceiverPaymentToUpstream => &mut account.receiver_payments_out,
        };
        *sum = add(*sum, posting.segment.amount);
    }

    /// Adds up the older half of the accounts, so that this walk is rare.
    fn fold(&mut self) {
        let mut ages: Vec<u64> = self.accounts.values().map(|account| account.last).collect();
        ages.sort_unstable();
        let Some(&last) = ages.get(ages.len() / 2) else { return };
        let folded = &mut self.folded;
        let before = self.accounts.len();
        self.accounts.retain(|_, account| {
            let kept = account.last > last;
            if !kept {
                folded.merge(account);
            }
            kept
        });
        self.folded_count += (before - self.accounts.len()) as u64;
    }

    /// Reads all accounts at `now`. Running segments are closed for it, so that the reading is
    /// exact; that changes no rate and no sum.
    pub(crate) fn read<'a>(
        &mut self,
        now: Now,
        senders: impl Iterator<Item = &'a mut Psb>,
        border: impl Fn(&Psb) -> Option<Border>,
        internal: impl Fn(Neighbour) -> bool,
    ) -> AccountsView {
        let mut rates: BTreeMap<Party, i128> = BTreeMap::new();
        for psb in senders {
            let payee = psb.previous();
            let border = border(psb);
            let Some(flow) = psb.flow.as_mut() else { continue };
            flow.checkpoint(clock(now).now);
            self.take(payee, flow, border, &internal);
            for (who, rate) in running(now, payee, flow) {
                *rates.entry((who.address, internal(who))).or_default() += rate;
            }
        }
        let mut accounts: BTreeMap<Party, Account> = self.accounts.clone();
        for (neighbour, rate) in rates {
            accounts.entry(neighbour).or_default().rate = rate;
        }
        for (neighbour, carried) in &self.carried {
            accounts.entry((*neighbour, false)).or_default().carried = *carried;
        }
        view(now, accounts, &self.folded, self.folded_count)
    }
}

/// What a flow moves per second between us and its neighbours at `now`. A reservation that is not
/// billed yet, or whose approval has ended, moves nothing.
fn running(now: Now, payee: Option<Neighbour>, flow: &Flow) -> Vec<(Neighbour, i128)> {
    let silent = flow.branches().map(|branch| Entry::ReceiverPaymentFrom(branch.key));
    let silent = silent.chain([Entry::ReceiverPaymentToUpstream]).map(|entry| (entry, 0));
    let moving = flow.running(clock(now).now).map(|(entry, rate)| (entry, i128::from(rate.0)));
    silent
        .chain(moving)
        .filter_map(|(entry, rate)| {
            let to_us = if entry.is_metered_here() { rate } else { -rate };
            Some((neighbour(payee, entry)?, to_us))
        })
        .collect()
}

/// Whom an entry is about; nobody if it is an application on this node: what that pays stays
/// within the house.
fn neighbour(payee: Option<Neighbour>, entry: Entry) -> Option<Neighbour> {
    match entry {
        Entry::ReceiverPaymentFrom(key) | Entry::SenderPaymentTo(key) => {
            let who = Neighbour { interface: key.group, address: key.hop };
            (key.group != LOCAL).then_some(who)
        }
        Entry::SenderPaymentFromUpstream | Entry::ReceiverPaymentToUpstream => payee,
    }
}

fn view(
    now: Now,
    accounts: BTreeMap<Party, Account>,
    folded: &Account,
    folded_count: u64,
) -> AccountsView {
    let balances = accounts.values().map(Account::balance);
    let total = balances.fold(folded.balance(), add);
    let rate: i128 = accounts.values().map(|account| account.rate).sum();
    let within = || accounts.iter().filter(|((_, internal), _)| *internal).map(|(_, a)| a);
    let internal_rate: i128 = within().map(|account| account.rate).sum();
    let internal_amount = within().map(Account::balance).fold(Amount(0), add);
    AccountsView {
        internal_rate: narrow(internal_rate),
        internal_amount: internal_amount.0.to_string(),
        as_of_ms: now.at.as_millis(),
        accounts: accounts
            .into_iter()
            .map(|((neighbour, internal), account)| AccountView {
                neighbour,
                internal,
                rate: narrow(account.rate),
                receiver_payments_in: account.receiver_payments_in.0.to_string(),
                receiver_payments_out: account.receiver_payments_out.0.to_string(),
                sender_payments_in: account.sender_payments_in.0.to_string(),
                sender_payments_out: account.sender_payments_out.0.to_string(),
                given_back: account.given_back.0.to_string(),
                carried: account.carried.0.to_string(),
                foreign: account.foreign.as_ref().map(Abroad::view),
                amount: account.balance().0.to_string(),
            })
            .collect(),
        folded_accounts: folded_count,
        folded_amount: folded.balance().0.to_string(),
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

#[cfg(test)]
mod tests {
    use charging_model::meter::Segment;
    use charging_model::{BranchKey, Millis, Rate};

    use super::*;

    #[test]
    fn payers_under_ever_new_addresses_are_added_up_and_no_sum_is_lost() {
        let mut books = Books::new(10);
        let pay = |books: &mut Books, last: u32, amount: i128| {
            let hop = IpAddr::from(last.to_be_bytes());
            let entry = Entry::ReceiverPaymentFrom(BranchKey { group: 2, hop });
            let amount = Amount(amount);
            let segment = Segment { rate: Rate(1), from: Millis(0), to: Millis(1), amount };
            books.post((hop, false), &Posting { entry, account: None, segment, gap: false });
        };
        for number in 0..1_000 {
            pay(&mut books, number, 1);
            pay(&mut books, 7_000, 1_000);
            assert!(books.accounts.len() <= 10);
        }
        let busy = IpAddr::from(7_000_u32.to_be_bytes());
        assert_eq!(
            books.accounts[&(busy, false)].balance(),
            Amount(1_000_000),
            "the busy one is kept apart"
        );
        let apart: i128 = books.accounts.values().map(|account| account.balance().0).sum();
        assert_eq!(apart + books.folded.balance().0, 1_001_000);
        let now = Now::new(crate::engine::Instant::default(), 0);
        let view = books.read(now, std::iter::empty(), |_| None, |_| false);
        assert_eq!(view.amount, "1001000");
        assert_eq!(view.folded_accounts + view.accounts.len() as u64, 1_001);
    }
}
