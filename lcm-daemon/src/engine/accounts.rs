//! Accounts: what operators order, and what happens when one is used up.
//!
//! Every input brings what is used up by then to its end first, at the millisecond at which it
//! was: so nothing is billed after that, however late the alarm or the input comes.

use std::collections::BTreeSet;
use std::fmt;

use rsvp_wire::object::Filter;

use super::charging::{self, Fault, Purses, User};
use super::counters::bump;
use super::outbox::Output;
use super::record::RecordId;
use super::session::SessionState;
use super::show::PurseView;
use super::time::Now;
use super::{Core, Engine};
use crate::ledger::record::{
    Action, Actor, Bill, Body, Cause, Contra, Dispute, Meter, Operator, Payment, Runs,
};
use crate::ledger::replay::GivenBack;
use crate::purse::{Due, End, Holder, Kept, NotWhole, Purse, Terms, TermsError, amount_text};

/// Longest reason of an order, and longest text of what an operator did, in bytes.
pub const REASON_MAX: usize = 1_024;

/// News of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spending {
    /// Whose.
    pub holder: Holder,
    /// What happened.
    pub news: SpendingNews,
}

/// What happened to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpendingNews {
    /// Nothing will be left soon.
    Soon {
        /// Why.
        why: End,
        /// How soon, in milliseconds, if nothing changes.
        in_ms: u64,
    },
    /// Spending has ended.
    Ended {
        /// Why.
        why: End,
        /// When, by the monotonic clock in milliseconds.
        at_ms: u64,
        /// Payments that ended.
        payments: usize,
        /// How much later this node came to see to it, in milliseconds.
        late_ms: u64,
    },
}

impl SpendingNews {
    /// Its name in counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Soon { .. } => "warned",
            Self::Ended { why, .. } => why.name(),
        }
    }
}

impl fmt::Display for Spending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = &self.holder;
        match self.news {
            SpendingNews::Soon { why: End::Exhausted, in_ms } => write!(
                f,
                "account {holder} will be used up in {in_ms} ms: credit it, or raise its limit, \
                 with lcmctl account"
            ),
            SpendingNews::Soon { why, in_ms } => {
                write!(f, "account {holder} reaches its {} in {in_ms} ms", cap(why))
            }
            SpendingNews::Ended { why: End::Exhausted, payments, late_ms, .. } => write!(
                f,
                "account {holder} is used up; {payments} payments ended, seen to {late_ms} ms later"
            ),
            SpendingNews::Ended { why, payments, late_ms, .. } => write!(
                f,
                "account {holder} reached its {}; {payments} payments ended, seen to {late_ms} ms \
                 later",
                cap(why)
            ),
        }
    }
}

const fn cap(end: End) -> &'static str {
    match end {
        End::Exhausted => "end",
        End::SessionCap => "cap for a session",
        End::DayCap => "cap for a day",
        End::MonthCap => "cap for a month",
    }
}

/// Why an order about an account is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountError {
    /// No accounts are kept.
    Off,
    /// What was written before this start is still being read.
    Unread,
    /// There is no such account.
    Unknown(Holder),
    /// It is there already.
    Exists(Holder),
    /// It is closed.
    Closed(Holder),
    /// It is in use.
    InUse {
        /// Which one.
        holder: Holder,
        /// Payments that are approved on it.
        payments: usize,
    },
    /// Amounts on it are in another currency.
    Currency {
        /// Which one.
        holder: Holder,
        /// Its currency, ISO 4217 numeric.
        is: u16,
        /// The one that was named.
        named: u16,
    },
    /// It is to be opened in another currency than that of this node's prices.
    ForeignCurrency {
        /// Which one.
        holder: Holder,
        /// The currency of this node's prices, ISO 4217 numeric.
        own: u16,
        /// The one that was named.
        named: u16,
    },
    /// Nothing was paid in.
    Nothing,
    /// A reason is longer than [`REASON_MAX`].
    LongReason {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The terms cannot hold.
    Terms(TermsError),
    /// What is paid in cannot be held.
    NotWhole(NotWhole),
}

impl std::error::Error for AccountError {}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("no accounts are kept: add [accounts] to the configuration"),
            Self::Unread => f.write_str(
                "what was spent before this start is still being read from the ledger: repeat \
                 this in a moment; if it stays so, see `lcmctl ledger verify`",
            ),
            Self::Unknown(holder) => write!(
                f,
                "there is no account {holder}: `lcmctl account list` shows those there are, \
                 `lcmctl account create {holder}` makes it"
            ),
            Self::Exists(holder) => write!(
                f,
                "account {holder} is there already: `lcmctl account limit {holder}` changes its \
                 terms"
            ),
            Self::Closed(holder) => write!(
                f,
                "account {holder} is closed: `lcmctl account create {holder}` opens it anew"
            ),
            Self::InUse { holder, payments } => write!(
                f,
                "account {holder} is in use by {payments} payments: wait until its sessions end, \
                 or end them, then close it"
            ),
            Self::Currency { holder, is, named } => write!(
                f,
                "account {holder} is in {}, not in {}: name an amount in its own currency",
                currency(*is),
                currency(*named)
            ),
            Self::ForeignCurrency { holder, own, named } => write!(
                f,
                "account {holder} cannot be in {named}: what is paid here is in {own}, so open it \
                 in {own}",
                named = currency(*named),
                own = currency(*own)
            ),
            Self::Nothing => f.write_str("nothing to pay in: name an amount above 0"),
            Self::LongReason { bytes } => write!(
                f,
                "the reason has {bytes} bytes, and a record holds {REASON_MAX}: shorten it, or name \
                 where the whole text is kept"
            ),
            Self::Terms(error) => error.fmt(f),
            Self::NotWhole(error) => error.fmt(f),
        }
    }
}

/// A currency as people write it.
pub(crate) fn currency(number: u16) -> String {
    crate::config::Currency::from_numeric(number)
        .map_or_else(|| number.to_string(), |known| known.alphabetic().to_owned())
}

impl Engine {
    /// Notes that accounts of before this start are to come with
    /// [`restore_accounts`](Self::restore_accounts); until then nobody new is let in.
    pub fn await_accounts(&mut self) {
        self.core.purses.await_past();
    }

    /// Takes the accounts of before this start: holder, terms, whether closed, and sums. Those that
    /// cannot be held are named.
    pub fn restore_accounts(
        &mut self,
        now: Now,
        accounts: impl IntoIterator<Item = ((Holder, Terms, bool), Kept)>,
    ) -> Vec<Holder> {
        let mut bad = Vec::new();
        for (account, kept) in accounts {
            let holder = account.0.clone();
            if self.core.purses.restore(now, account, &kept).is_err() {
                bad.push(holder);
            }
        }
        self.core.purses.past_is_known();
        bad
    }

    /// Opens an account, or one that was closed anew; the record of it.
    ///
    /// # Errors
    /// If there is one, or it cannot be.
    pub fn create_account(
        &mut self,
        now: Now,
        by: &Actor,
        wall_ms: u64,
        new: (Holder, Terms),
    ) -> Result<RecordId, AccountError> {
        self.open_with(now, by, wall_ms, new, None)
    }

    /// As [`create_account`](Self::create_account), with what its holder pays in, and why: so who
    /// spends already goes on, though nothing may be spent beyond what is paid in.
    ///
    /// # Errors
    /// As there, and if nothing is paid in, or it cannot be held.
    pub fn create_account_with(
        &mut self,
        now: Now,
        by: &Actor,
        wall_ms: u64,
        new: (Holder, Terms),
        (amount, reason): (u128, String),
    ) -> Result<RecordId, AccountError> {
        reasonable(&reason)?;
        payable(amount)?;
        self.open_with(now, by, wall_ms, new, Some((amount, reason)))
    }

    fn open_with(
        &mut self,
        now: Now,
        by: &Actor,
        wall_ms: u64,
        (holder, terms): (Holder, Terms),
        paid_in: Option<(u128, String)>,
    ) -> Result<RecordId, AccountError> {
        let now = self.enter(now);
        self.accounts_ready()?;
        terms.check().map_err(AccountError::Terms)?;
        let (own, named) = (self.core.purses.currency(), terms.currency);
        if own != named {
            return Err(AccountError::ForeignCurrency { holder, own, named });
        }
        if let Some((amount, _)) = &paid_in {
            terms.backend.open().pay_in(*amount).map_err(AccountError::NotWhole)?;
        }
        if self.core.purses.find(&holder).is_some_and(|(_, account)| !account.closed) {
            return Err(AccountError::Exists(holder));
        }
        let action = Action::Open { holder: holder.clone(), terms: terms.clone() };
        // What has lapsed ends when it did, and is not told to run on.
        for slot in self.core.purses.spending() {
            self.with_session(slot, |core, session| session.handle_due(core, now));
        }
        let mut record = self.order(by, wall_ms, action);
        let place = self.core.purses.open(now, holder.clone(), terms);
        if let Some((amount, reason)) = paid_in {
            let paid = self.core.purses.change(now, place, |account| account.purse.pay_in(amount));
            paid.unwrap_or(Ok(())).map_err(AccountError::NotWhole)?;
            record = self.order(by, wall_ms, Action::Credit { holder, amount, reason });
        }
        // Whoever spends already, does so of this account from now on.
        for (meter, rate) in self.core.purses.movers() {
            let at_ms = now.at.as_millis();
            let runs = Runs { at_ms, meter, rate, cause: Cause::Terms };
            self.core.purses.turned_again(now, &runs);
            self.core.returns.goes_on(&runs, self.core.purses.place_of(&meter));
            self.core.outbox.record(Body::Runs(runs));
        }
        Ok(record)
    }

    /// Credits an account with what its holder paid in.
    ///
    /// # Errors
    /// If there is no such account, or the amount cannot be held.
    pub fn credit_account(
        &mut self,
        now: Now,
        by: &Actor,
        wall_ms: u64,
        (holder, currency, amount): (Holder, u16, u128),
        reason: String,
    ) -> Result<RecordId, AccountError> {
        reasonable(&reason)?;
        let now = self.enter(now);
        let (place, purse) = self.open_account(&holder)?;
        let is = purse.terms().currency;
        if currency != is {
            return Err(AccountError::Currency { holder, is, named: currency });
        }
        payable(amount)?;
        let paid = self.core.purses.change(now, place, |account| account.purse.pay_in(amount));
        paid.unwrap_or(Ok(())).map_err(AccountError::NotWhole)?;
        Ok(self.order(by, wall_ms, Action::Credit { holder, amount, reason }))
    }

    /// Changes the terms of an account.
    ///
    /// # Errors
    /// If there is no such account, or the terms cannot hold.
    pub fn limit_account(
        &mut self,
        now: Now,
        by: &Actor,
        wall_ms: u64,
        holder: Holder,
        change: impl FnOnce(Terms) -> Terms,
    ) -> Result<RecordId, AccountError> {
        let now = self.enter(now);
        let (place, purse) = self.open_account(&holder)?;
        let is = purse.terms().currency;
        let terms = change(purse.terms().clone());
        terms.check().map_err(AccountError::Terms)?;
        if terms.currency != is {
            return Err(AccountError::Currency { holder, is, named: terms.currency });
        }
        let new = terms.clone();
        let agreed = self.core.purses.change(now, place, |account| account.purse.agree(new));
        agreed.unwrap_or(Ok(())).map_err(AccountError::NotWhole)?;
        Ok(self.order(by, wall_ms, Action::Agree { holder, terms }))
    }

    /// Closes an account that nobody uses.
    ///
    /// # Errors
    /// If there is no such account, or it is in use.
    pub fn close_account(
        &mut self,
        now: Now,
        by: &Actor,
        wall_ms: u64,
        holder: Holder,
        reason: String,
    ) -> Result<RecordId, AccountError> {
        reasonable(&reason)?;
        let now = self.enter(now);
        let (place, _) = self.open_account(&holder)?;
        let payments = self.core.purses.at(place).map_or(0, |account| account.users());
        if payments > 0 {
            return Err(AccountError::InUse { holder, payments });
        }
        self.core.purses.change(now, place, |account| account.closed = true);
        Ok(self.order(by, wall_ms, Action::Close { holder, reason }))
    }

    /// Gives back a part of a posting, as the journal knows it: neighbour and holder have it at
    /// once. Whoever calls this has looked that so much is left of it.
    pub fn give_back(&mut self, now: Now, contra: Contra, of: &GivenBack) -> RecordId {
        let now = self.enter(now);
        let amount = i128::try_from(contra.amount).unwrap_or(i128::MAX);
        let amount = if of.to_them { amount } else { -amount };
        self.core.books.give_back((of.neighbour.address, false), amount);
        if let Some(holder) = &of.holder {
            self.core.purses.give_back(now, holder, contra.amount);
        }
        if let Some(piece) = of.piece {
            self.core.returns.by_hand(piece, contra.amount);
        }
        self.core.outbox.record(Body::Contra(contra))
    }

    /// Writes down a dispute that opens or ends.
    pub fn dispute(&mut self, dispute: Dispute) -> RecordId {
        self.core.outbox.record(Body::Dispute(dispute))
    }

    /// Writes down a bill or a credit note.
    pub fn issue(&mut self, bill: Bill) -> RecordId {
        self.core.outbox.record(Body::Bill(Box::new(bill)))
    }

    /// Writes down what an operator did otherwise, in [`REASON_MAX`] bytes at most.
    pub fn operator_did(&mut self, by: &Actor, wall_ms: u64, mut what: String) -> RecordId {
        let most = REASON_MAX.min(what.len());
        let end = (0..=most).rev().find(|at| what.is_char_boundary(*at));
        what.truncate(end.unwrap_or_default());
        self.order(by, wall_ms, Action::Did(what))
    }

    /// All accounts as they stand.
    pub fn show_purses(&mut self, now: Now) -> Vec<PurseView> {
        let now = self.enter(now);
        self.core.purses.iter().map(|account| PurseView::of(account, now)).collect()
    }

    /// How many accounts there are in each state; none where none are kept.
    pub fn account_states(&self) -> Vec<(&'static str, u64)> {
        if !self.core.purses.is_on() {
            return Vec::new();
        }
        let mut states = [("open", 0), ("spending", 0), ("closed", 0)];
        for account in self.core.purses.iter() {
            let at = if account.closed { 2 } else { usize::from(account.purse.rate() > 0) };
            if let Some((_, count)) = states.get_mut(at) {
                *count += 1;
            }
        }
        states.to_vec()
    }

    fn order(&mut self, by: &Actor, wall_ms: u64, action: Action) -> RecordId {
        let by = by.clone();
        self.core.outbox.record(Body::Operator(Operator { by, wall_ms, action }))
    }

    fn accounts_ready(&self) -> Result<(), AccountError> {
        let purses: &Purses = &self.core.purses;
        if !purses.is_on() {
            return Err(AccountError::Off);
        }
        if purses.is_unread() {
            return Err(AccountError::Unread);
        }
        Ok(())
    }

    fn open_account(&self, holder: &Holder) -> Result<(usize, &Purse), AccountError> {
        self.accounts_ready()?;
        match self.core.purses.find(holder) {
            None => Err(AccountError::Unknown(holder.clone())),
            Some((_, account)) if account.closed => Err(AccountError::Closed(holder.clone())),
            Some((place, account)) => Ok((place, &account.purse)),
        }
    }

    /// Begins an input: what is used up by now ends first. Once for each account and session: what
    /// should be spent again at once waits for the next input, at that millisecond of the past.
    pub(super) fn enter(&mut self, now: Now) -> Now {
        let believed = self.core.believable(now);
        let mut ended = BTreeSet::new();
        while let Some((place, due)) = self.core.purses.due(now) {
            if let Due::End { session, .. } = due
                && !ended.insert((place, session))
            {
                break;
            }
            let Some(holder) = self.core.purses.at(place).map(|account| account.holder.clone())
            else {
                break;
            };
            let news = match due {
                Due::Warn { why, at_ms } => {
                    let in_ms = at_ms.saturating_sub(now.at.as_millis());
                    SpendingNews::Soon { why, in_ms }
                }
                Due::End { why, at_ms, session } => {
                    let payments = self.end_spending(believed, (place, session), why, at_ms);
                    let late_ms = now.at.as_millis().saturating_sub(at_ms);
                    let latest = &mut self.core.counters.account_end_late_ms;
                    *latest = late_ms.max(*latest);
                    SpendingNews::Ended { why, at_ms, payments, late_ms }
                }
            };
            bump(&mut self.core.counters.accounts, news.name());
            self.core.outbox.push(Output::Spending(Box::new(Spending { holder, news })));
        }
        believed
    }

    /// Ends all that is spent of an account, or by one session of it, at an instant of the past:
    /// first all meters, so that none runs on while others end, then what was paid for.
    fn end_spending(
        &mut self,
        now: Now,
        (place, session): (usize, Option<usize>),
        why: End,
        at_ms: u64,
    ) -> usize {
        let spenders = self.core.purses.spenders(place, session);
        for (meter, user) in &spenders {
            self.with_session(user.slot, |core, state| {
                state.stop_spending(core, now, (meter, user), at_ms);
            });
        }
        self.core.purses.silence(now, &spenders, at_ms);
        for (meter, user) in &spenders {
            self.with_session(user.slot, |core, state| {
                state.end_unpaid(core, now, (meter, user.sender), why);
            });
        }
        spenders.len()
    }
}

/// Whether so much can be paid in.
fn payable(amount: u128) -> Result<(), AccountError> {
    match amount {
        0 => Err(AccountError::Nothing),
        _ if amount > crate::purse::AMOUNT_MAX => Err(AccountError::Terms(TermsError::TooLarge)),
        _ => Ok(()),
    }
}

/// Whether a record can hold a reason.
fn reasonable(reason: &str) -> Result<(), AccountError> {
    let bytes = reason.len();
    if bytes > REASON_MAX { Err(AccountError::LongReason { bytes }) } else { Ok(()) }
}

impl SessionState {
    fn stop_spending(&mut self, core: &mut Core, now: Now, of: (&Meter, &User), at_ms: u64) {
        let (meter, user) = of;
        let Some(index) = self.sender(user.sender) else { return };
        let Some(psb) = self.senders.get_mut(index).filter(|psb| psb.number == meter.flow) else {
            return;
        };
        if meter.payment == Payment::SenderIn {
            core.purses.stopped(self.slot, user.sender, user.rate());
            // The same PATH again is to be looked at: it is refused, or the account has money.
            psb.heard_by = None;
        }
        charging::stop_spending(core, now, psb, meter, at_ms);
    }

    /// What a meter paid for ends, now that nobody pays.
    fn end_unpaid(
        &mut self,
        core: &mut Core,
        now: Now,
        (meter, sender): (&Meter, Filter),
        why: End,
    ) {
        let Some(index) = self.sender(sender) else { return };
        let Some(psb) = self.senders.get(index).filter(|psb| psb.number == meter.flow) else {
            return;
        };
        if meter.payment == Payment::SenderIn {
            self.refuse_sender(core, index);
        } else {
            let key = charging::branch(meter.neighbour.interface, meter.neighbour.address);
            let fault = Fault::used_up(core, psb, key, why);
            bump(&mut core.counters.payments_refused, fault.reason);
            self.refuse_existing(core, key, sender, &fault);
            self.release_payer(core, now, key, sender);
        }
        self.after_all_charging(core, now);
    }
}

impl PurseView {
    fn of(account: &charging::PurseAccount, now: Now) -> Self {
        let (purse, at_ms) = (&account.purse, now.at.as_millis());
        let terms = purse.terms();
        let (day, month) = purse.spent(at_ms, now.unix_s.into());
        let amount = |amount: u128| amount_text(i128::try_from(amount).unwrap_or(i128::MAX));
        Self {
            account: account.holder.to_string(),
            currency: currency(terms.currency),
            closed: account.closed,
            terms: terms.clone(),
            balance: amount_text(purse.balance(at_ms)),
            available: amount(purse.room(at_ms, now.unix_s.into(), None).0),
            spent_today: amount(day),
            spent_this_month: amount(month),
            rate: u64::try_from(purse.rate()).unwrap_or(u64::MAX),
            sessions: purse.sessions(),
            ends_in_ms: purse.end().map(|(end, _)| end.saturating_sub(at_ms)),
            ends_by: purse.end().map(|(_, why)| why.name().to_owned()),
        }
    }
}
