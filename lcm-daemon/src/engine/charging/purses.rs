//! Which meter spends whose money, and when somebody's is used up.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use charging_model::flow::Account as Named;
use rsvp_wire::object::Filter;

use super::super::time::{Instant, Now};
use crate::config::{Accounts, Config, Unknown};
use crate::ledger::record::{Gap, Meter, Neighbour, Payment, Runs};
use crate::purse::{Due, End, Holder, Kept, NotWhole, Purse, Terms};

/// For how long there must be money before payments for a sender go on that had stopped.
const RESUME_MS: u128 = 1_000;

/// Why somebody may not pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// What was spent before this start is still being read.
    Unread,
    /// Nobody here has an account for it.
    Unknown,
    /// The account is closed.
    Closed,
    /// The account is in another currency than this node's prices.
    Currency,
    /// Another session has it to itself.
    InUse,
    /// Nothing more may be spent.
    Ended(End),
}

/// A payment that is approved on an account, or on none.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// Slot of its session.
    pub(crate) slot: usize,
    pub(crate) sender: Filter,
    /// The account that its UCPEs name; sender payments name none of their own.
    named: Option<Named>,
    /// The account that it spends of, by the last turn.
    place: Option<usize>,
    rate: u64,
}

/// An account that an operator opened.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) holder: Holder,
    pub(crate) purse: Purse,
    pub(crate) closed: bool,
    users: BTreeSet<Meter>,
    alarm: Option<u64>,
}

/// All accounts, and who spends of them.
///
/// Each has one alarm among all: the millisecond at which it is used up, or of something that must
/// be seen to before. A turn of one meter moves one alarm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Purses {
    /// What is agreed where nothing else is said; `None` where nobody's spending is looked at.
    agreed: Option<Accounts>,
    currency: u16,
    unread: bool,
    places: BTreeMap<Holder, usize>,
    accounts: Vec<Account>,
    users: BTreeMap<Meter, User>,
    alarms: BTreeSet<(u64, usize)>,
    /// Senders whose payments stopped for want of money, by slot, with the rate that ran.
    unpaid: BTreeMap<(usize, Filter), u64>,
    /// Sessions of which accounts remember what they spent, though they use them no more.
    remembered: BTreeSet<(usize, usize)>,
}

fn unix(now: Now) -> u64 {
    now.unix_s.into()
}

fn ms(now: Now) -> u64 {
    now.at.as_millis()
}

impl Purses {
    /// No accounts yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            agreed: config.accounts,
            currency: config.charging.as_ref().map_or(0, |charging| charging.currency.numeric()),
            ..Self::default()
        }
    }

    /// Whether spending is looked at.
    pub(crate) fn is_on(&self) -> bool {
        self.agreed.is_some()
    }

    /// Says that the accounts of before this start are to come.
    pub(crate) fn await_past(&mut self) {
        self.unread = self.is_on();
    }

    /// Whether they have not come yet.
    pub(crate) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Takes an account as it stood before this start.
    pub(crate) fn restore(
        &mut self,
        now: Now,
        (holder, terms, closed): (Holder, Terms, bool),
        kept: &Kept,
    ) -> Result<(), NotWhole> {
        let place = self.open(now, holder, terms);
        let Some(account) = self.accounts.get_mut(place) else { return Ok(()) };
        account.closed = closed;
        account.purse.restore(kept)
    }

    /// All accounts of before this start were restored.
    pub(crate) fn past_is_known(&mut self) {
        self.unread = false;
    }

    /// Opens an account, or one that was closed anew; its place.
    pub(crate) fn open(&mut self, now: Now, holder: Holder, terms: Terms) -> usize {
        let purse = Purse::new(terms, ms(now), unix(now));
        if let Some(&place) = self.places.get(&holder) {
            if let Some(account) = self.accounts.get_mut(place) {
                account.purse = purse;
                account.closed = false;
            }
            return place;
        }
        let place = self.accounts.len();
        self.places.insert(holder.clone(), place);
        let users = BTreeSet::new();
        self.accounts.push(Account { holder, purse, closed: false, users, alarm: None });
        place
    }

    /// The account of this holder.
    pub(crate) fn find(&self, holder: &Holder) -> Option<(usize, &Account)> {
        let place = *self.places.get(holder)?;
        Some((place, self.accounts.get(place)?))
    }

    /// All accounts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter()
    }

    /// Changes an account; its sums stand as of `now` before.
    pub(crate) fn change<T>(
        &mut self,
        now: Now,
        place: usize,
        change: impl FnOnce(&mut Account) -> T,
    ) -> Option<T> {
        let account = self.accounts.get_mut(place)?;
        account.purse.roll(ms(now), unix(now));
        account.purse.advance(ms(now));
        let result = change(account);
        self.rearm(now, place);
        Some(result)
    }

    /// The account by which a payer is let in or not: a customer's own, or else its neighbour's.
    fn resolve(&self, neighbour: IpAddr, named: Option<&Named>) -> Option<usize> {
        self.resolve_if(neighbour, named, |_| true)
    }

    /// The account that a payer spends of, as in the journal (`ledger/replay/purses.rs`): of the
    /// same two the first that is open, in this node's currency.
    fn spends_of(&self, neighbour: IpAddr, named: Option<&Named>) -> Option<usize> {
        self.resolve_if(neighbour, named, |account| {
            !account.closed && account.purse.terms().currency == self.currency
        })
    }

    fn resolve_if(
        &self,
        neighbour: IpAddr,
        named: Option<&Named>,
        may: impl Fn(&Account) -> bool,
    ) -> Option<usize> {
        if self.accounts.is_empty() {
            return None;
        }
        let place = |holder: &Holder| {
            let place = *self.places.get(holder)?;
            self.accounts.get(place).filter(|account| may(account)).map(|_| place)
        };
        let customer = named.map(|named| Holder::customer(named.kind(), named.id()));
        customer.and_then(|holder| place(&holder)).or_else(|| place(&Holder::Neighbour(neighbour)))
    }

    /// Whether a payer may pay `rate` for a session, after `gap` for the time in which it was
    /// silent.
    pub(crate) fn admits(
        &self,
        now: Now,
        slot: usize,
        (neighbour, named): (IpAddr, Option<&Named>),
        (rate, gap): (u64, u128),
    ) -> Result<(), Denied> {
        let Some(agreed) = &self.agreed else { return Ok(()) };
        if self.unread {
            return Err(Denied::Unread);
        }
        let place = self.resolve(neighbour, named);
        let Some(account) = place.and_then(|place| self.accounts.get(place)) else {
            return match agreed.unknown {
                Unknown::Accept => Ok(()),
                Unknown::Refuse => Err(Denied::Unknown),
            };
        };
        let terms = account.purse.terms();
        if account.closed {
            return Err(Denied::Closed);
        }
        if terms.currency != self.currency {
            return Err(Denied::Currency);
        }
        let alone = terms.simultaneous == crate::purse::Simultaneous::Deny;
        if alone && account.purse.used_by_other(slot) {
            return Err(Denied::InUse);
        }
        let (room, end) = account.purse.room(ms(now), unix(now), Some(slot));
        // What does not pay for a millisecond would end before it began.
        if room < gap.saturating_add(rate.into()) { Err(Denied::Ended(end)) } else { Ok(()) }
    }

    /// The payments for a sender stopped: nothing is left of the money of who passes them on.
    pub(crate) fn stopped(&mut self, slot: usize, sender: Filter, rate: u64) {
        self.unpaid.insert((slot, sender), rate);
    }

    /// Whether a previous hop has the money for the time in which it was silent.
    pub(crate) fn can_fill(&self, now: Now, slot: usize, (hop, gap): (IpAddr, u128)) -> bool {
        let denied = self.admits(now, slot, (hop, None), (0, gap));
        !matches!(denied, Err(Denied::Ended(_) | Denied::Unread))
    }

    /// Whether the previous hop can pay for a sender; for one whose payments stopped there must be
    /// enough for a while.
    pub(crate) fn admits_sender(
        &self,
        now: Now,
        (slot, sender): (usize, Filter),
        hop: IpAddr,
    ) -> Result<(), Denied> {
        let stopped = self.unpaid.get(&(slot, sender));
        let least = stopped.map_or(1, |rate| u128::from(*rate).saturating_mul(RESUME_MS));
        self.admits(now, slot, (hop, None), (0, least))
    }

    /// Whether payments for a sender that had stopped go on.
    pub(crate) fn resumes(&mut self, now: Now, sender: (usize, Filter), hop: IpAddr) -> bool {
        self.unpaid.contains_key(&sender)
            && self.admits_sender(now, sender, hop).is_ok()
            && self.unpaid.remove(&sender).is_some()
    }

    /// A sender is gone.
    pub(crate) fn forget_sender(&mut self, slot: usize, sender: Filter) {
        self.unpaid.remove(&(slot, sender));
    }

    /// The last sender of a session is gone: what it spent counts no more against its cap.
    pub(crate) fn forget_session(&mut self, slot: usize) {
        let of_slot = self.remembered.range((slot, 0)..=(slot, usize::MAX)).copied();
        for (slot, place) in of_slot.collect::<Vec<_>>() {
            self.remembered.remove(&(slot, place));
            if let Some(account) = self.accounts.get_mut(place) {
                account.purse.forget(slot);
            }
        }
    }

    /// A payment is approved on the account that its UCPE names.
    pub(crate) fn consented(
        &mut self,
        now: Now,
        meter: Meter,
        (slot, sender): (usize, Filter),
        named: &Named,
    ) {
        if !self.is_on() {
            return;
        }
        if let Some(user) = self.users.get_mut(&meter) {
            // It spends of the other account from its next turn on, as in the books.
            user.named = Some(named.clone());
            return;
        }
        let user = User { slot, sender, named: Some(named.clone()), place: None, rate: 0 };
        self.users.insert(meter, user);
        self.settle_place(now, meter);
    }

    /// Nothing more is approved for this meter, which stands still.
    pub(crate) fn closed(&mut self, now: Now, meter: Meter) {
        if !self.users.is_empty() {
            self.drop_user(now, meter);
        }
    }

    /// The meters of a flow with next hops behind an interface are gone.
    pub(crate) fn forget_interface(&mut self, now: Now, flow: u64, interface: u32) {
        if self.users.is_empty() {
            return;
        }
        for meter in self.of_flow(flow) {
            if meter.payment == Payment::ReceiverIn && meter.neighbour.interface == interface {
                self.drop_user(now, meter);
            }
        }
    }

    fn of_flow(&self, flow: u64) -> Vec<Meter> {
        let address = IpAddr::from([0, 0, 0, 0]);
        let neighbour = Neighbour { interface: 0, address };
        let first = Meter { flow, payment: Payment::ReceiverIn, neighbour };
        let of_flow = self.users.range(first..).map(|(meter, _)| *meter);
        of_flow.take_while(|meter| meter.flow == flow).collect()
    }

    fn drop_user(&mut self, now: Now, meter: Meter) {
        let Some(user) = self.users.remove(&meter) else { return };
        if let Some(place) = user.place {
            self.leave(now, place, meter, &user);
        }
    }

    /// A meter turned. One that is metered by the other side is none of ours.
    pub(crate) fn turned(&mut self, now: Now, runs: &Runs, (slot, sender): (usize, Filter)) {
        let meter = runs.meter;
        if !self.is_on() || !is_ours(meter.payment) {
            return;
        }
        if let Entry::Vacant(new) = self.users.entry(meter) {
            if runs.rate == 0 {
                return;
            }
            new.insert(User { slot, sender, named: None, place: None, rate: 0 });
        }
        if runs.rate > 0 {
            self.stop(now, meter, runs.at_ms);
            self.settle_place(now, meter);
        }
        self.run(now, meter, runs.at_ms, runs.rate);
        let over = runs.rate == 0 && meter.payment == Payment::SenderIn;
        if over {
            self.drop_user(now, meter);
        }
    }

    /// The account that a meter spends of, by its last turn.
    pub(crate) fn place_of(&self, meter: &Meter) -> Option<usize> {
        self.users.get(meter).and_then(|user| user.place)
    }

    /// A gap was billed to a session; the account that pays it. Who pays for a sender uses the account
    /// only while that runs.
    pub(super) fn billed(&mut self, now: Now, gap: &Gap, slot: usize) -> Option<usize> {
        if !self.is_on() || !is_ours(gap.meter.payment) {
            return None;
        }
        if self.users.get(&gap.meter).is_some_and(|user| user.rate == 0) {
            self.settle_place(now, gap.meter);
        }
        let place = match self.users.get(&gap.meter) {
            Some(user) => user.place,
            None => self.spends_of(gap.meter.neighbour.address, None),
        };
        let place = place?;
        let amount = u128::from(gap.rate) * u128::from(gap.to_ms.saturating_sub(gap.from_ms));
        if let Some(account) = self.accounts.get_mut(place) {
            account.purse.roll(ms(now), unix(now));
            account.purse.bill(slot, amount);
            self.rearm(now, place);
        }
        Some(place)
    }

    /// A part of what a holder was charged is given back: there is more to spend at once.
    pub(crate) fn give_back(&mut self, now: Now, holder: &Holder, amount: u128) {
        let Some(&place) = self.places.get(holder) else { return };
        self.change(now, place, |account| account.purse.refund(amount));
    }

    /// A part of what a meter came to is given back: to the account that it spends of, or spent of.
    pub(crate) fn refund(&mut self, now: Now, meter: Meter, named: Option<&Named>, amount: u128) {
        let user = self.place_of(&meter);
        let Some(place) = user.or_else(|| self.resolve(meter.neighbour.address, named)) else {
            return;
        };
        self.refund_at(now, place, amount);
    }

    /// A part of what was charged to an account is given back.
    pub(super) fn refund_at(&mut self, now: Now, place: usize, amount: u128) {
        self.change(now, place, |account| account.purse.refund(amount));
    }

    /// Puts a user that stands still on the account that is its by now.
    fn settle_place(&mut self, now: Now, meter: Meter) {
        let Some(user) = self.users.get(&meter) else { return };
        let (old, slot) = (user.place, user.slot);
        let new = self.spends_of(meter.neighbour.address, user.named.as_ref());
        if old == new {
            return;
        }
        if let (Some(place), Some(user)) = (old, self.users.get(&meter).cloned()) {
            self.leave(now, place, meter, &user);
        }
        if let Some(user) = self.users.get_mut(&meter) {
            user.place = new;
        }
        if let Some(account) = new.and_then(|place| self.accounts.get_mut(place)) {
            account.users.insert(meter);
            account.purse.join(slot, ms(now));
        }
    }

    fn leave(&mut self, now: Now, place: usize, meter: Meter, user: &User) {
        if let Some(account) = self.accounts.get_mut(place) {
            if user.rate > 0 {
                account.purse.roll(ms(now), unix(now));
                account.purse.turn(user.slot, ms(now), user.rate, 0);
            }
            account.users.remove(&meter);
            if account.purse.leave(user.slot) {
                self.remembered.insert((user.slot, place));
            }
        }
        self.rearm(now, place);
    }

    fn stop(&mut self, now: Now, meter: Meter, at_ms: u64) {
        self.run(now, meter, at_ms, 0);
    }

    fn run(&mut self, now: Now, meter: Meter, at_ms: u64, rate: u64) {
        let Some(user) = self.users.get_mut(&meter) else { return };
        let old = std::mem::replace(&mut user.rate, rate);
        let (Some(place), slot) = (user.place, user.slot) else { return };
        if let Some(account) = self.accounts.get_mut(place) {
            account.purse.roll(ms(now), unix(now));
            account.purse.turn(slot, at_ms, old, rate);
        }
        self.rearm(now, place);
    }

    fn rearm(&mut self, now: Now, place: usize) {
        let Some(account) = self.accounts.get_mut(place) else { return };
        let alarm = account.purse.alarm(ms(now), unix(now));
        if alarm == account.alarm {
            return;
        }
        if let Some(old) = std::mem::replace(&mut account.alarm, alarm) {
            self.alarms.remove(&(old, place));
        }
        if let Some(new) = alarm {
            self.alarms.insert((new, place));
        }
    }

    /// When something must be seen to.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.first().map(|(at, _)| Instant::from_millis(*at))
    }

    /// The next thing that is due by now, on which account.
    pub(crate) fn due(&mut self, now: Now) -> Option<(usize, Due)> {
        while let Some(&(at, place)) = self.alarms.first() {
            if at > ms(now) {
                return None;
            }
            let account = self.accounts.get_mut(place)?;
            account.purse.roll(ms(now), unix(now));
            let due = account.purse.due(ms(now));
            self.alarms.remove(&(at, place));
            if let Some(account) = self.accounts.get_mut(place) {
                account.alarm = None;
            }
            if due.is_some() {
                self.rearm(now, place);
                return due.map(|due| (place, due));
            }
            // Not due any more, or a day that ends: never twice in one millisecond.
            self.rearm_later(now, place);
        }
        None
    }

    fn rearm_later(&mut self, now: Now, place: usize) {
        let Some(account) = self.accounts.get_mut(place) else { return };
        let later = ms(now).saturating_add(1);
        account.alarm = account.purse.alarm(ms(now), unix(now)).map(|at| at.max(later));
        if let Some(at) = account.alarm {
            self.alarms.insert((at, place));
        }
    }

    /// Who spends of an account now: of one session, or of all.
    pub(crate) fn spenders(&self, place: usize, session: Option<usize>) -> Vec<(Meter, User)> {
        let Some(account) = self.accounts.get(place) else { return Vec::new() };
        let users = account.users.iter().filter_map(|meter| Some((*meter, self.users.get(meter)?)));
        let spends = |user: &User| user.rate > 0 && session.is_none_or(|slot| user.slot == slot);
        users.filter(|(_, user)| spends(user)).map(|(meter, user)| (meter, user.clone())).collect()
    }

    /// What has to be told anew for the books to know that it is spent of another account now.
    pub(crate) fn movers(&self) -> Vec<(Meter, u64)> {
        let moves = |(meter, user): &(&Meter, &User)| {
            user.rate > 0
                && user.place != self.spends_of(meter.neighbour.address, user.named.as_ref())
        };
        self.users.iter().filter(moves).map(|(meter, user)| (*meter, user.rate)).collect()
    }

    /// Slots of the sessions that spend anything.
    pub(crate) fn spending(&self) -> BTreeSet<usize> {
        self.users.values().filter(|user| user.rate > 0).map(|user| user.slot).collect()
    }

    /// The currency of what is spent, ISO 4217 numeric.
    pub(crate) fn currency(&self) -> u16 {
        self.currency
    }

    /// As [`turned`](Self::turned), for a meter that is known.
    pub(crate) fn turned_again(&mut self, now: Now, runs: &Runs) {
        let Some(user) = self.users.get(&runs.meter) else { return };
        let session = (user.slot, user.sender);
        self.turned(now, runs, session);
    }

    /// The account at a place.
    pub(crate) fn at(&self, place: usize) -> Option<&Account> {
        self.accounts.get(place)
    }

    /// Whatever still spends of an account did so up to `at_ms`, and never after that.
    pub(crate) fn silence(&mut self, now: Now, left: &[(Meter, User)], at_ms: u64) {
        for (meter, _) in left {
            if self.users.get(meter).is_some_and(|user| user.rate > 0) {
                self.run(now, *meter, at_ms, 0);
                self.drop_user(now, *meter);
            }
        }
    }
}

impl User {
    /// The rate that runs.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }
}

impl Account {
    /// Payments that are approved on it.
    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }
}

/// Whether a payment is one that we meter and are paid.
const fn is_ours(payment: Payment) -> bool {
    matches!(payment, Payment::ReceiverIn | Payment::SenderIn)
}
