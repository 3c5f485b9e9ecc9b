//! What is to be billed, and what was: a function of the journal alone.
//!
//! ```text
//!  Walk ─▶ Book: at each Period a draft for each holder ─▶ a Bill record takes them up
//!            └─ contra entry of what is billed already   ─▶ a Bill record of a credit note does
//! ```
//!
//! A draft is made of what was posted by the record of its period and is in no earlier one, so what
//! is billed does not depend on how often somebody asks for it. What a segment that runs has come to by
//! then is in it, too; the rest is in a later one. What is disputed before it is billed waits until it
//! stands, and is in the next draft then; a bill that was issued stays as it is. What is given back is
//! taken off what is not billed yet; beyond that it becomes a credit note that names the bill.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::ledger::record::{Bill, BillOf, Body, Payment};
use crate::ledger::replay::{Account, Applied, Replay};
use crate::purse::Holder;

/// A part of a posting that is billed, or given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The record that opened it.
    pub record: u64,
    /// From its so many-th millisecond on
    pub from_ms: u64,
    /// up to this one.
    pub to_ms: u64,
    /// What is given back of it, in ledger units.
    pub refund: u128,
}

/// What a holder owes for a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The sum, in ledger units.
    pub exact: i128,
    rows: Vec<Row>,
}

/// A bill or credit note that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The record that did.
    pub record: u64,
    /// What it says.
    pub bill: Bill,
    /// What it is made of; of the holder in focus.
    pub rows: Vec<Row>,
    /// What it is made of, or a part of that, was put away.
    pub put_away: bool,
}

/// A bill that says otherwise than the postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The record.
    pub record: u64,
    /// Whose.
    pub holder: Holder,
    /// What it says, in ledger units.
    pub says: i128,
    /// What the postings come to.
    pub is: i128,
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, holder, says, is } = self;
        write!(
            f,
            "record {record} bills {holder} {says} x 10^-15, and its postings come to {is}: the \
             program that wrote it was wrong; keep the journal, and ask who maintains it"
        )
    }
}

#[derive(Debug, Clone)]
struct Posted {
    holder: Holder,
    rate: u64,
    ms: u64,
    /// What of it is billed, in milliseconds, and as amounts by period.
    billed_ms: u64,
    billed: Vec<(u64, u128)>,
    /// What is given back of what is not billed yet.
    absorbed: u128,
    /// What is given back of what was billed before these books begin: there is no bill to name.
    owed: u128,
    disputed: bool,
}

impl Posted {
    fn fresh(&self) -> u128 {
        u128::from(self.rate) * u128::from(self.ms.saturating_sub(self.billed_ms))
    }
}

/// What is given back of a bill.
#[derive(Debug, Clone)]
struct Credited {
    record: u64,
    posting: u64,
    amount: u128,
}

/// All bills, as far as the journal was walked.
#[derive(Debug, Default)]
pub struct Book {
    postings: HashMap<u64, Posted>,
    /// Closed postings of which something may be billed.
    open: BTreeSet<u64>,
    drafts: BTreeMap<(Holder, u64), Draft>,
    /// By holder and record of the bill.
    credits: BTreeMap<(Holder, u64), Vec<Credited>>,
    /// Which record bills a holder up to which period.
    covered: BTreeMap<Holder, Vec<(u64, u64)>>,
    issued: Vec<Issued>,
    periods: BTreeMap<u64, u64>,
    focus: Option<Holder>,
    /// The last record and the last period that were put away, and which periods were billed by then.
    before: (u64, u64),
    billed_before: BTreeMap<Holder, u64>,
}

impl Book {
    /// A walk that begins with these books; what runs in them is billed by then.
    #[must_use]
    pub fn new(replay: &Replay, focus: Option<Holder>) -> Self {
        let before = (replay.last(), replay.last_period().unwrap_or_default());
        let billed_before = replay.billed_through().clone();
        let mut book = Self { focus, before, billed_before, ..Self::default() };
        for open in replay.open() {
            if let Some(holder) = holder(replay, open.meter.payment, open.debit, open.number) {
                let ms = ms(open.amount, open.rate);
                book.posted(open.number, holder, open.rate, ms).billed_ms = ms;
            }
        }
        book
    }

    fn posted(&mut self, number: u64, holder: Holder, rate: u64, ms: u64) -> &mut Posted {
        let new = Posted {
            holder,
            rate,
            ms,
            billed_ms: 0,
            billed: Vec::new(),
            absorbed: 0,
            owed: 0,
            disputed: false,
        };
        let posted = self.postings.entry(number).or_insert(new);
        posted.ms = ms;
        posted
    }

    /// Takes a record and what it came to; the books stand behind it.
    ///
    /// # Errors
    /// If it is a bill that says otherwise than the postings.
    pub fn step(
        &mut self,
        number: u64,
        body: &Body,
        applied: &Applied,
        replay: &Replay,
    ) -> Result<(), Mismatch> {
        for posting in applied.postings() {
            let (payment, debit) = (posting.meter.payment, posting.debit);
            let Some(holder) = holder(replay, payment, debit, posting.number) else { continue };
            let ms = posting.to.at_ms.saturating_sub(posting.from.at_ms);
            self.posted(posting.number, holder, posting.rate, ms);
            self.open.insert(posting.number);
        }
        match body {
            Body::Period(period) => {
                self.periods.insert(period.number, period.stamp.wall_ms);
                self.close(period.number, replay);
            }
            Body::Contra(contra) => self.contra(number, contra.of, contra.amount),
            Body::Refund(_) => {
                for (of, amount) in applied.returned() {
                    self.contra(number, *of, *amount);
                }
            }
            Body::Dispute(dispute) => {
                if let Some(posted) = self.postings.get_mut(&dispute.of) {
                    posted.disputed = dispute.open;
                    self.open.insert(dispute.of);
                }
                if dispute.open {
                    self.withdraw(dispute.of);
                }
            }
            Body::Bill(bill) => self.take(number, bill)?,
            _ => {}
        }
        Ok(())
    }

    /// A period ends: what is not in an earlier draft is in this one.
    fn close(&mut self, period: u64, replay: &Replay) {
        let mut fresh = std::mem::take(&mut self.open);
        for open in replay.open() {
            let payment = open.meter.payment;
            if let Some(holder) = holder(replay, payment, open.debit, open.number) {
                self.posted(open.number, holder, open.rate, ms(open.amount, open.rate));
                fresh.insert(open.number);
            }
        }
        for record in fresh {
            let Some(posted) = self.postings.get_mut(&record) else { continue };
            if posted.disputed {
                self.open.insert(record);
                continue;
            }
            let refund = posted.absorbed.min(posted.fresh());
            let amount = posted.fresh() - refund;
            let row = Row { record, from_ms: posted.billed_ms, to_ms: posted.ms, refund };
            let fresh = posted.fresh() > 0;
            if !fresh && posted.owed == 0 {
                continue;
            }
            let draft = self.drafts.entry((posted.holder.clone(), period)).or_default();
            if fresh {
                posted.billed_ms = posted.ms;
                posted.absorbed -= refund;
                posted.billed.push((period, amount));
                draft.exact += signed(amount);
                draft.rows.push(row);
            }
            let refund = std::mem::take(&mut posted.owed);
            if refund > 0 {
                draft.exact -= signed(refund);
                draft.rows.push(Row { record, from_ms: 0, to_ms: 0, refund });
            }
        }
    }

    /// A record gives so much of a posting back, by hand or by a grant.
    fn contra(&mut self, record: u64, of: u64, amount: u128) {
        let Some(posted) = self.postings.get_mut(&of) else { return };
        let absorbed = amount.min(posted.fresh().saturating_sub(posted.absorbed));
        posted.absorbed += absorbed;
        let mut rest = amount - absorbed;
        // The latest first: that is what a refund is about, mostly.
        for (period, billed) in posted.billed.iter_mut().rev() {
            let amount = rest.min(*billed);
            if amount == 0 {
                continue;
            }
            *billed -= amount;
            rest -= amount;
            let holder = posted.holder.clone();
            if let Some(draft) = self.drafts.get_mut(&(holder.clone(), *period)) {
                draft.exact -= signed(amount);
                let row = Row { record: of, from_ms: 0, to_ms: 0, refund: amount };
                draft.rows.push(row);
                continue;
            }
            let bills = self.covered.get(&holder);
            let bill = bills.and_then(|all| all.iter().find(|(through, _)| through >= period));
            if let Some((_, bill)) = bill {
                let credited = Credited { record, posting: of, amount };
                self.credits.entry((holder, *bill)).or_default().push(credited);
            }
        }
        if rest > 0 {
            posted.owed += rest;
            self.open.insert(of);
        }
    }

    /// What is disputed is taken out of what is not issued yet: it is in no bill until it stands.
    fn withdraw(&mut self, record: u64) {
        let Some(posted) = self.postings.get_mut(&record) else { return };
        while let Some((period, amount)) = posted.billed.last().copied() {
            let key = (posted.holder.clone(), period);
            let Some(draft) = self.drafts.get_mut(&key) else { break };
            posted.billed.pop();
            let (mut gross, mut returned) = (0, 0);
            for row in draft.rows.extract_if(.., |row| row.record == record) {
                returned += row.refund;
                if row.from_ms < row.to_ms {
                    posted.billed_ms = posted.billed_ms.min(row.from_ms);
                    gross += u128::from(posted.rate) * u128::from(row.to_ms - row.from_ms);
                }
            }
            // What is given back beyond what it came to here is of earlier bills.
            let absorbed = gross.saturating_sub(amount);
            let owed = returned.saturating_sub(absorbed);
            posted.absorbed += absorbed;
            posted.owed += owed;
            draft.exact -= signed(amount) - signed(owed);
            if draft.rows.is_empty() {
                self.drafts.remove(&key);
            }
        }
    }

    /// A bill takes drafts up, or a credit note what is given back.
    fn take(&mut self, record: u64, bill: &Bill) -> Result<(), Mismatch> {
        let holder = &bill.holder;
        let mut rows = Vec::new();
        let mut is = 0;
        let put_away = self.is_put_away(bill);
        match bill.of {
            BillOf::Period(through) => {
                for ((_, period), draft) in self.of(holder, through) {
                    is += draft.exact;
                    rows.extend(draft.rows);
                    self.drafts.remove(&(holder.clone(), period));
                }
                self.covered.entry(holder.clone()).or_default().push((through, record));
            }
            BillOf::Credit { bill: of, through } => {
                let key = (holder.clone(), of);
                let pending = self.credits.remove(&key).unwrap_or_default();
                let (now, later): (Vec<_>, Vec<_>) =
                    pending.into_iter().partition(|credited| credited.record <= through);
                for credited in now {
                    let refund = credited.amount;
                    is -= signed(refund);
                    rows.push(Row { record: credited.posting, from_ms: 0, to_ms: 0, refund });
                }
                if !later.is_empty() {
                    self.credits.insert(key, later);
                }
            }
        }
        let put_away = put_away && is != bill.exact;
        if is != bill.exact && !put_away {
            return Err(Mismatch { record, holder: holder.clone(), says: bill.exact, is });
        }
        if self.focus.as_ref() != Some(holder) {
            rows = Vec::new();
        }
        self.issued.push(Issued { record, bill: bill.clone(), rows, put_away });
        Ok(())
    }

    /// Whether a document may be about what was put away: then what it says cannot be reckoned anew. A
    /// bill is issued after its period was closed, and so may stay while that is put away.
    fn is_put_away(&mut self, bill: &Bill) -> bool {
        let (record, period) = self.before;
        let billed = self.billed_before.get(&bill.holder).copied().unwrap_or_default();
        match bill.of {
            BillOf::Period(through) if billed < period => {
                self.billed_before.insert(bill.holder.clone(), through.max(period));
                true
            }
            BillOf::Period(_) => false,
            BillOf::Credit { bill: of, .. } if of <= record => true,
            // Its bill is here, and is about what was put away.
            BillOf::Credit { bill: of, .. } => {
                self.issued.iter().any(|issued| issued.record == of && issued.put_away)
            }
        }
    }

    /// The drafts of a holder up to a period.
    fn of(&self, holder: &Holder, through: u64) -> Vec<((Holder, u64), Draft)> {
        let span = (holder.clone(), 0)..=(holder.clone(), through);
        self.drafts.range(span).map(|(key, draft)| (key.clone(), draft.clone())).collect()
    }

    /// What is to be billed by the last period: holder, the last period of theirs, and the sum.
    #[must_use]
    pub fn to_bill(&self) -> Vec<(Holder, u64, i128)> {
        let mut all: BTreeMap<&Holder, (u64, i128)> = BTreeMap::new();
        for ((holder, period), draft) in &self.drafts {
            let sum = all.entry(holder).or_default();
            *sum = (*period, sum.1 + draft.exact);
        }
        let due = all.into_iter().filter(|(_, (_, exact))| *exact != 0);
        due.map(|(holder, (period, exact))| (holder.clone(), period, exact)).collect()
    }

    /// What is to be credited: holder, record of the bill, and the sum.
    #[must_use]
    pub fn to_credit(&self) -> Vec<(Holder, u64, u128)> {
        let sum = |all: &Vec<Credited>| all.iter().map(|credited| credited.amount).sum();
        self.credits.iter().map(|((holder, bill), all)| (holder.clone(), *bill, sum(all))).collect()
    }

    /// What of a holder is disputed: by posting, what is on no bill, and what is on one.
    pub(super) fn disputed(&self, holder: &Holder) -> Vec<(u64, i128, i128)> {
        let of = |posted: &Posted| posted.disputed && posted.holder == *holder;
        let disputed = self.postings.iter().filter(|(_, posted)| of(posted));
        let amounts = |(record, posted): (&u64, &Posted)| {
            let billed: u128 = posted.billed.iter().map(|(_, amount)| amount).sum();
            (*record, signed(posted.fresh().saturating_sub(posted.absorbed)), signed(billed))
        };
        disputed.map(amounts).collect()
    }

    /// What of each bill is disputed, by the bill's record.
    #[must_use]
    pub fn disputed_bills(&self) -> BTreeMap<u64, i128> {
        let mut all = BTreeMap::new();
        for posted in self.postings.values().filter(|posted| posted.disputed) {
            for (period, amount) in posted.billed.iter().filter(|(_, amount)| *amount > 0) {
                let bills = self.covered.get(&posted.holder).into_iter().flatten();
                let bill = bills.into_iter().find(|(through, _)| through >= period);
                if let Some((_, bill)) = bill {
                    *all.entry(*bill).or_default() += signed(*amount);
                }
            }
        }
        all
    }

    /// All that were issued.
    #[must_use]
    pub fn issued(&self) -> &[Issued] {
        &self.issued
    }

    /// When a period ended, in milliseconds since 1970.
    #[must_use]
    pub fn period_end(&self, period: u64) -> Option<u64> {
        self.periods.get(&period).copied()
    }
}

/// Who gets the bill for what an account pays us.
fn holder(
    replay: &Replay,
    payment: Payment,
    debit: crate::ledger::replay::AccountRef,
    number: u64,
) -> Option<Holder> {
    if !matches!(payment, Payment::ReceiverIn | Payment::SenderIn) {
        return None;
    }
    billed_to(replay, replay.account(debit)?, number)
}

/// On whose bills and statements a posting of an account is: the holder's whose account was
/// charged; else those of the customer that was named, or else the neighbour's. Nobody's if the
/// account is our own.
pub(super) fn billed_to(replay: &Replay, account: &Account, number: u64) -> Option<Holder> {
    if let Some(holder) = replay.payer(account, number) {
        return Some(holder.clone());
    }
    match account {
        Account::Neighbour(_, Some(named)) => Some(Holder::Customer(named.clone())),
        Account::Neighbour(neighbour, None) => Some(Holder::Neighbour(neighbour.address)),
        Account::Own(_) => None,
    }
}

fn ms(amount: u128, rate: u64) -> u64 {
    u64::try_from(amount / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}
