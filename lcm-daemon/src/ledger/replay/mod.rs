//! From records to books: what every meter came to, on whose account, and whether it was approved.
//!
//! ```text
//!  records ─▶ Replay::apply ─▶ postings (a closed segment each), or the first record at fault
//!                 │
//!                 ├─ run.rs       boot, last proved instant, time of day
//!                 ├─ flows.rs     approvals in force, meters; in pages.rs by number
//!                 ├─ accounts.rs  who owes whom
//!                 ├─ purses.rs    who may still spend what
//!                 └─ posting.rs   contra entries, disputes, what is final
//! ```
//!
//! No clock, no file: the same records give the same books, on any machine.

mod accounts;
mod applied;
mod bills;
mod fault;
mod flows;
mod pages;
mod posting;
mod purses;
mod refund;
mod run;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use accounts::{Account, AccountRef};
pub use applied::Applied;
pub use bills::half_even;
pub use fault::{Fault, Wrong, name};
pub use posting::{ByState, GivenBack, Posting, State, TenureRef};
pub use purses::Standing;
pub use run::Moment;

use self::accounts::{Accounts, NeighbourRef};
use self::bills::Bills;
use self::flows::{Flow, Flows, Grant, Line};
use self::posting::Postings;
use self::purses::Purses;
use self::run::Run;
use super::record::{
    Arises, Body, Cause, Closed, Consent, Contra, Dispute, Exchange, Gap, Meter, Neighbour, Offer,
    Payment, Period, Runs, Series, Stamp, Started,
};
use crate::purse::Holder;

/// The books as far as the records were applied.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Replay {
    last: u64,
    currency: Option<u16>,
    run: Option<Run>,
    flows: Flows,
    accounts: Accounts,
    postings: Postings,
    /// Meters that run though their approval ended or was lowered: what stops them must follow,
    /// with an instant not after that.
    overdue: Vec<Overdue>,
    /// Accounts of holders; format 1 had none.
    purses: Purses,
    /// Bills; last, since format 2 had none.
    bills: Bills,
}

/// A meter that must have stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Overdue {
    flow: u64,
    payment: Payment,
    with: NeighbourRef,
    since_ms: u64,
}

/// A segment that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Number of the record that opened it.
    pub number: u64,
    /// Of which meter.
    pub meter: Meter,
    /// The account that pays.
    pub debit: AccountRef,
    /// The account that is paid.
    pub credit: AccountRef,
    /// The rate.
    pub rate: u64,
    /// Since when.
    pub from: Stamp,
    /// What it has come to by the last proved instant, in 10⁻¹⁵ currency units.
    pub amount: u128,
}

impl Replay {
    /// Applies the next record. After a fault the books are what they were by then, and no more
    /// records may follow.
    ///
    /// # Errors
    /// If the record cannot follow those before it, or bills what was not approved.
    pub fn apply(&mut self, number: u64, body: &Body) -> Result<Applied, Fault> {
        let expected = self.last.saturating_add(1);
        let applied = if self.last != 0 && number != expected {
            Err(Wrong::Number { expected })
        } else {
            self.last = number;
            self.book(number, body)
        };
        applied.map_err(|what| {
            let (flow, neighbour) = about(body);
            Fault { number, flow, neighbour, what }
        })
    }

    fn book(&mut self, number: u64, body: &Body) -> Result<Applied, Wrong> {
        match body {
            Body::Started(started) => return self.started(started),
            Body::Alive(stamp) => self.alive(*stamp)?,
            Body::Flow(flow) => {
                self.running()?;
                let announced = self.flows.announce(flow.flow);
                announced.map_err(|last| Wrong::FlowReused { last })?;
            }
            Body::Consent(consent) => self.consent(consent)?,
            Body::Offer(offer) => self.offer(offer)?,
            Body::Runs(runs) => return self.runs(number, runs).map(Applied::one),
            Body::Gap(gap) => return self.gap(number, gap).map(Applied::one),
            Body::Closed(closed) => self.closed(closed)?,
            Body::Stopped(stamp) => return self.stopped(*stamp),
            Body::Key(_) | Body::Head(_) => {}
            Body::Contra(contra) => self.contra(contra)?,
            Body::Dispute(dispute) => self.dispute(dispute)?,
            Body::Period(period) => self.period(period)?,
            Body::Operator(operator) => self.purses.ordered(number, &operator.action)?,
            Body::Exchange(exchange) => self.exchange(exchange)?,
            Body::Bill(bill) => {
                self.bills.issued(number, bill, self.postings.last_period())?;
            }
            // It says where amounts arise, and changes none.
            Body::Arises(_) => drop(self.running()?),
            Body::Outage(outage) => self.noted(outage.flow, outage.at_ms)?,
            Body::Granted(granted) => self.noted(granted.flow, granted.at_ms)?,
            Body::Refund(refund) => return self.refund(refund),
        }
        Ok(Applied::default())
    }

    fn running(&mut self) -> Result<&mut Run, Wrong> {
        self.run.as_mut().filter(|run| !run.stopped).ok_or(Wrong::NotRunning)
    }

    /// A start closes what a crash left open, at the last instant that is proved.
    fn started(&mut self, started: &Started) -> Result<Applied, Wrong> {
        if let Some(before) = self.currency.filter(|before| *before != started.currency) {
            return Err(Wrong::Currency { before, now: started.currency });
        }
        let run = Run::new(started, self.run.as_ref())?;
        let closed = match &self.run {
            Some(before) if !before.stopped => self.close_all(before.proved.at_ms)?,
            _ => Applied::default(),
        };
        self.postings.run(run.boot, run.hold_ms);
        self.currency = Some(started.currency);
        self.run = Some(run);
        Ok(closed)
    }

    fn alive(&mut self, stamp: Stamp) -> Result<(), Wrong> {
        self.running()?.prove(stamp)?;
        self.nothing_overdue(stamp.at_ms)?;
        // What no consent or offer covered has ended by now, if nothing said so before.
        for (tenure, at_ms) in self.flows.tidy(stamp.at_ms) {
            self.end(tenure, at_ms, true);
        }
        Ok(())
    }

    fn stopped(&mut self, stamp: Stamp) -> Result<Applied, Wrong> {
        let run = self.running()?;
        run.prove(stamp)?;
        run.stopped = true;
        self.nothing_overdue(stamp.at_ms)?;
        self.close_all(stamp.at_ms)
    }

    fn nothing_overdue(&self, until_ms: u64) -> Result<(), Wrong> {
        match self.overdue.first() {
            Some(Overdue { payment, since_ms, .. }) if *since_ms < until_ms => {
                Err(Wrong::RanOn { payment: *payment, since_ms: *since_ms, until_ms })
            }
            _ => Ok(()),
        }
    }

    /// Closes all that runs at `at_ms`, what opened after that at its opening, and what had to
    /// stop before, then. No flow is left.
    fn close_all(&mut self, at_ms: u64) -> Result<Applied, Wrong> {
        let mut applied = Applied::default();
        let overdue = std::mem::take(&mut self.overdue);
        for (flow, mut state) in self.flows.take_all() {
            for line in state.meters.iter_mut() {
                let due = overdue
                    .iter()
                    .find(|o| (o.flow, o.payment, o.with) == (flow, line.payment, line.with));
                let at_ms = due.map_or(at_ms, |due| due.since_ms.min(at_ms));
                let at_ms = at_ms.max(line.from.at_ms);
                if line.running {
                    applied.more.extend(self.close(flow, line, at_ms)?);
                }
                self.end(line.tenure, at_ms.max(line.billed_ms), false);
            }
            for grant in state.grants {
                self.end(grant.tenure, at_ms, false);
            }
        }
        Ok(applied)
    }

    fn end(&mut self, tenure: TenureRef, at_ms: u64, orderly: bool) {
        if let Some(run) = &self.run {
            self.postings.end(tenure, run.dated(at_ms), orderly);
        }
    }

    /// Closes the open segment of a meter; what it came to, unless that is nothing.
    fn close(&mut self, flow: u64, line: &mut Line, at_ms: u64) -> Result<Option<Posting>, Wrong> {
        let from = line.from;
        let Some(ms) = at_ms.checked_sub(from.at_ms) else {
            return Err(Wrong::EndsBeforeItBegan { at_ms, from_ms: from.at_ms });
        };
        line.running = false;
        line.billed_ms = at_ms;
        if ms == 0 {
            return Ok(None);
        }
        let to = self.run.as_ref().map_or(from, |run| run.dated(at_ms));
        self.post(flow, line, (from, to), line.rate, false)
    }

    fn post(
        &mut self,
        flow: u64,
        line: &Line,
        (from, to): (Stamp, Stamp),
        rate: u64,
        gap: bool,
    ) -> Result<Option<Posting>, Wrong> {
        let ms = to.at_ms.saturating_sub(from.at_ms);
        let amount = u128::from(rate) * u128::from(ms);
        let Some(neighbour) = self.accounts.who(line.with).filter(|_| amount > 0) else {
            return Ok(None);
        };
        self.accounts.transfer(line.sides, amount)?;
        let posting = Posting {
            number: line.number,
            meter: Meter { flow, payment: line.payment, neighbour },
            debit: line.sides.debit,
            credit: line.sides.credit,
            rate,
            from,
            to,
            amount,
            gap,
            tenure: line.tenure,
        };
        self.postings.keep(&posting);
        if let Some(payer) = self.accounts.get(posting.debit) {
            self.purses.charge(payer, &posting);
        }
        Ok(Some(posting))
    }

    fn consent(&mut self, consent: &Consent) -> Result<(), Wrong> {
        let Consent { at_ms, flow, payer, ceiling, instance, .. } = *consent;
        self.running()?.opens_at(at_ms)?;
        let with = self.accounts.neighbour(payer);
        let account = self.accounts.of(with, Some(&consent.account));
        let state = self.flows.get(flow).ok_or(Wrong::UnknownFlow)?;
        let terms = Terms { at_ms, ceiling, instance, account };
        grant(state, &mut self.postings, (with, false), terms);
        self.bound(flow, Payment::ReceiverIn, with, at_ms, Some(ceiling));
        Ok(())
    }

    fn offer(&mut self, offer: &Offer) -> Result<(), Wrong> {
        let Offer { at_ms, flow, payee, ceiling, instance, .. } = *offer;
        self.running()?.opens_at(at_ms)?;
        let with = self.accounts.neighbour(payee);
        let account = self.accounts.of(with, None);
        let state = self.flows.get(flow).ok_or(Wrong::UnknownFlow)?;
        let terms = Terms { at_ms, ceiling, instance, account };
        grant(state, &mut self.postings, (with, true), terms);
        self.bound(flow, Payment::ReceiverOut, with, at_ms, Some(ceiling));
        Ok(())
    }

    /// Notes whether a meter runs above what is approved from `since_ms` on, which may be nothing.
    fn bound(
        &mut self,
        flow: u64,
        payment: Payment,
        with: NeighbourRef,
        since_ms: u64,
        ceiling: Option<u64>,
    ) {
        let same = |o: &Overdue| (o.flow, o.payment, o.with) == (flow, payment, with);
        let known = self.overdue.iter().position(same);
        let line = self.flows.get(flow).and_then(|state| state.meter(payment, with));
        let runs = line.is_some_and(|l| l.running && ceiling.is_none_or(|most| l.rate > most));
        match known {
            // What was overdue stays so, even if a later approval covers it again.
            Some(_) => {}
            None if runs => self.overdue.push(Overdue { flow, payment, with, since_ms }),
            None => {}
        }
    }

    fn closed(&mut self, closed: &Closed) -> Result<(), Wrong> {
        let Closed { at_ms, flow, payer, orderly } = *closed;
        self.running()?.names(at_ms);
        let with = self.accounts.neighbour(payer);
        let state = self.flows.get(flow).ok_or(Wrong::UnknownFlow)?;
        let grant = state.revoke(with, false).ok_or(Wrong::NoConsentToClose)?;
        self.end(grant.tenure, at_ms, orderly);
        self.bound(flow, Payment::ReceiverIn, with, at_ms, None);
        self.flows.rests(flow);
        Ok(())
    }

    /// A meter turns: closes its open segment, opens the next one.
    fn runs(&mut self, number: u64, runs: &Runs) -> Result<Option<Posting>, Wrong> {
        let Runs { at_ms, meter, rate, cause } = *runs;
        let with = self.accounts.neighbour(meter.neighbour);
        if rate > 0 {
            self.running()?.opens_at(at_ms)?;
        } else {
            self.running()?.names(at_ms);
        }
        self.settle_overdue(&meter, with, at_ms)?;
        let state = self.flows.get(meter.flow).ok_or(Wrong::UnknownFlow)?;
        let known = state.meter(meter.payment, with).copied();
        if rate > 0 {
            self.turn(number, runs, with, known)
        } else {
            let posting = known.map_or(Ok(None), |line| self.stop(runs, line))?;
            if cause == Cause::Ended && meter.payment == Payment::ReceiverOut {
                let state = self.flows.get(meter.flow);
                // Also where nothing ever ran.
                if let Some(grant) = state.and_then(|state| state.revoke(with, true)) {
                    self.end(grant.tenure, at_ms, true);
                }
            }
            self.flows.rests(meter.flow);
            Ok(posting)
        }
    }

    fn turn(
        &mut self,
        number: u64,
        runs: &Runs,
        with: NeighbourRef,
        known: Option<Line>,
    ) -> Result<Option<Posting>, Wrong> {
        let Runs { at_ms, meter, rate, .. } = *runs;
        let (sides, tenure) = self.approval(&meter, with, rate, known)?;
        let from = self.running()?.dated(at_ms);
        let mut line = known.unwrap_or(Line {
            payment: meter.payment,
            running: false,
            lapsed: false,
            with,
            sides,
            tenure,
            number,
            rate,
            gap_rate: 0,
            from,
            billed_ms: 0,
        });
        let running = line.running;
        let posting = if running { self.close(meter.flow, &mut line, at_ms)? } else { None };
        if at_ms < line.billed_ms {
            return Err(Wrong::BilledTwice { from_ms: at_ms, until_ms: line.billed_ms });
        }
        line = Line { running: true, lapsed: false, sides, tenure, number, rate, from, ..line };
        self.put(meter.flow, line);
        Ok(posting)
    }

    fn stop(&mut self, runs: &Runs, mut line: Line) -> Result<Option<Posting>, Wrong> {
        let Runs { at_ms, meter, cause, .. } = *runs;
        // An approval may have lapsed before the instant at which the rate turned last.
        let end = if cause == Cause::Lapsed { at_ms.max(line.from.at_ms) } else { at_ms };
        let running = line.running;
        let posting = if running { self.close(meter.flow, &mut line, end)? } else { None };
        line.lapsed = cause == Cause::Lapsed;
        if running {
            line.gap_rate = line.rate;
        }
        if cause == Cause::Ended {
            self.ended(&line, end);
        }
        self.put(meter.flow, line);
        Ok(posting)
    }

    fn put(&mut self, flow: u64, line: Line) {
        let Some(state) = self.flows.get(flow) else { return };
        match state.meter(line.payment, line.with) {
            Some(slot) => *slot = line,
            None => state.meters.push(line),
        }
    }

    /// What was approved upstream has no record of its end but that its meter stops.
    fn ended(&mut self, line: &Line, at_ms: u64) {
        if matches!(line.payment, Payment::SenderIn | Payment::ReceiverOut) {
            self.end(line.tenure, at_ms, true);
        }
    }

    /// A turn settles what was overdue, but not after the approval had ended.
    fn settle_overdue(
        &mut self,
        meter: &Meter,
        with: NeighbourRef,
        at_ms: u64,
    ) -> Result<(), Wrong> {
        let same = |o: &Overdue| (o.flow, o.payment, o.with) == (meter.flow, meter.payment, with);
        let Some(place) = self.overdue.iter().position(same) else { return Ok(()) };
        let Overdue { payment, since_ms, .. } = self.overdue.swap_remove(place);
        if at_ms > since_ms {
            return Err(Wrong::RanOn { payment, since_ms, until_ms: at_ms });
        }
        Ok(())
    }

    /// Between whom a meter that turns to `rate` moves money, and what it rests on.
    fn approval(
        &mut self,
        meter: &Meter,
        with: NeighbourRef,
        rate: u64,
        known: Option<Line>,
    ) -> Result<(accounts::Sides, TenureRef), Wrong> {
        let payment = meter.payment;
        let state = self.flows.get(meter.flow).ok_or(Wrong::UnknownFlow)?;
        let offer = matches!(payment, Payment::ReceiverOut | Payment::SenderIn);
        let grant = state.grant(with, offer).copied();
        let bound = matches!(payment, Payment::ReceiverIn | Payment::ReceiverOut);
        match grant {
            None if bound => return Err(Wrong::NoConsent { payment, rate }),
            Some(Grant { ceiling, .. }) if bound && rate > ceiling => {
                return Err(Wrong::AboveCeiling { payment, rate, ceiling });
            }
            _ => {}
        }
        let account = match grant.filter(|_| payment == Payment::ReceiverIn) {
            Some(grant) => grant.account,
            None => self.accounts.of(with, None),
        };
        let tenure = match (grant, known) {
            (Some(grant), _) => grant.tenure,
            (None, Some(line)) => line.tenure,
            (None, None) => self.postings.begin(),
        };
        Ok((self.accounts.sides(payment, account), tenure))
    }

    /// A gap is billed before or after the meter turns on again, but never over what is billed.
    fn gap(&mut self, number: u64, gap: &Gap) -> Result<Option<Posting>, Wrong> {
        let Gap { meter, from_ms, to_ms, rate } = *gap;
        self.running()?.names(to_ms);
        if from_ms >= to_ms {
            return Err(Wrong::EmptyGap { from_ms, to_ms });
        }
        let with = self.accounts.neighbour(meter.neighbour);
        let state = self.flows.get(meter.flow).ok_or(Wrong::UnknownFlow)?;
        let known = state.meter(meter.payment, with).copied();
        let offer = matches!(meter.payment, Payment::ReceiverOut | Payment::SenderIn);
        let grant = state.grant(with, offer).copied();
        let (sides, tenure) = self.approval(&meter, with, rate, known)?;
        let since_ms = grant.map_or(0, |grant| grant.since_ms);
        if from_ms < since_ms {
            return Err(Wrong::GapBeforeInstance { from_ms, since_ms });
        }
        let run = self.running()?;
        let span = (run.dated(from_ms), run.dated(to_ms));
        let mut line = known.unwrap_or(Line {
            payment: meter.payment,
            running: false,
            lapsed: false,
            with,
            sides,
            tenure,
            number,
            rate: 0,
            gap_rate: 0,
            from: span.0,
            billed_ms: 0,
        });
        if from_ms < line.billed_ms {
            return Err(Wrong::BilledTwice { from_ms, until_ms: line.billed_ms });
        }
        if line.running && to_ms > line.from.at_ms {
            return Err(Wrong::BilledTwice { from_ms: line.from.at_ms, until_ms: to_ms });
        }
        if rate > line.gap_rate {
            return Err(Wrong::GapTooDear { rate, most: line.gap_rate });
        }
        line.billed_ms = to_ms;
        let posted = Line { sides, tenure, number, ..line };
        let posting = self.post(meter.flow, &posted, span, rate, true)?;
        self.put(meter.flow, line);
        Ok(posting)
    }

    fn contra(&mut self, contra: &Contra) -> Result<(), Wrong> {
        let payer = self.postings.contra(&mut self.accounts, contra)?;
        if let Some(payer) = self.accounts.get(payer) {
            self.purses.give_back(payer, contra.of, contra.amount);
        }
        Ok(())
    }

    /// Customers were asked for no more than what the payee's price comes to, and for less than a
    /// unit less.
    fn exchange(&mut self, exchange: &Exchange) -> Result<(), Wrong> {
        let Exchange { at_ms, flow, ours, theirs, rate, foreign_rate, .. } = *exchange;
        self.running()?.opens_at(at_ms)?;
        self.flows.get(flow).ok_or(Wrong::UnknownFlow)?;
        let exact = u128::from(foreign_rate) * u128::from(ours);
        let bought = u128::from(rate) * u128::from(theirs);
        let fair = bought <= exact && exact < bought.saturating_add(theirs.into());
        if fair { Ok(()) } else { Err(Wrong::Exchange { rate, foreign_rate }) }
    }

    fn dispute(&mut self, dispute: &Dispute) -> Result<(), Wrong> {
        self.postings.dispute(dispute)
    }

    fn period(&mut self, period: &Period) -> Result<(), Wrong> {
        let run = self.run.as_ref().ok_or(Wrong::NotRunning)?;
        let (at_ms, after_ms) = (period.stamp.at_ms, run.proved.at_ms);
        if at_ms < after_ms {
            return Err(Wrong::Backwards { at_ms, after_ms });
        }
        let at = Moment { boot: run.boot, stamp: period.stamp };
        self.postings.period(period.number, at)
    }

    /// Number of the last record.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The currency of all amounts, ISO 4217 numeric, once a daemon started.
    #[must_use]
    pub fn currency(&self) -> Option<u16> {
        self.currency
    }

    /// The last instant that is proved.
    #[must_use]
    pub fn proved(&self) -> Option<Moment> {
        self.run.as_ref().map(|run| Moment { boot: run.boot, stamp: run.proved })
    }

    /// An instant of this run by both clocks.
    #[must_use]
    pub fn dated(&self, at_ms: u64) -> Option<Stamp> {
        self.run.as_ref().map(|run| run.dated(at_ms))
    }

    /// Whether the last run stopped in order.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.run.as_ref().is_none_or(|run| run.stopped)
    }

    /// All accounts and their balances, what was received less what was paid, in the order in
    /// which they were first used.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = (&Account, i128)> {
        self.accounts.iter()
    }

    /// The account at a place.
    #[must_use]
    pub fn account(&self, place: AccountRef) -> Option<&Account> {
        self.accounts.get(place)
    }

    /// The sum of all accounts: zero, always. `None` if it does not fit.
    #[must_use]
    pub fn sum(&self) -> Option<i128> {
        self.accounts.iter().try_fold(0_i128, |sum, (_, balance)| sum.checked_add(balance))
    }

    /// What stands on each account by the state of its postings at `now`, in the order of
    /// [`accounts`](Self::accounts).
    #[must_use]
    pub fn by_state(&self, now: &Moment) -> Vec<ByState> {
        self.postings.by_state(self.accounts.iter().len(), now)
    }

    /// The state of a posting at an instant.
    #[must_use]
    pub fn state(&self, posting: &Posting, now: &Moment) -> State {
        self.postings.state(posting.number, posting.tenure, now)
    }

    /// What contra entries gave back of the posting that a record opened.
    #[must_use]
    pub fn returned(&self, number: u64) -> u128 {
        self.postings.returned(number)
    }

    /// The accounts that operators opened, by their holders.
    pub fn standings(&self) -> impl Iterator<Item = (&Holder, &Standing)> {
        self.purses.iter()
    }

    /// What was given back to holders beyond what they were charged since their account was opened:
    /// a summary keeps it apart from the books.
    #[must_use]
    pub fn over(&self) -> Vec<(Holder, u128)> {
        self.purses.over()
    }

    /// Takes what a summary kept apart.
    pub fn set_over(&mut self, over: Vec<(Holder, u128)>) {
        self.purses.set_over(over);
    }

    /// The holder whose account a posting was charged to, if there is one.
    #[must_use]
    pub fn holder(&self, posting: &Posting) -> Option<&Holder> {
        self.purses.payer(self.accounts.get(posting.debit)?, posting.number)
    }

    /// Who holds the account that a payer spends of by a segment that this record opened.
    #[must_use]
    pub fn payer(&self, payer: &Account, number: u64) -> Option<&Holder> {
        self.purses.payer(payer, number)
    }

    /// What is left over of a holder's bills, in ledger units.
    #[must_use]
    pub fn carried(&self, holder: &Holder) -> i128 {
        self.bills.carried(holder)
    }

    /// The last number of a series of bills; 0 if there is none.
    #[must_use]
    pub fn last_bill(&self, series: &Series) -> u64 {
        self.bills.last(series)
    }

    /// The last period that was billed, by holder.
    #[must_use]
    pub fn billed_through(&self) -> &std::collections::BTreeMap<Holder, u64> {
        self.bills.through()
    }

    /// Whether bills were issued.
    #[must_use]
    pub fn has_bills(&self) -> bool {
        self.bills.any()
    }

    /// To whom what is given back of the posting that a record opened goes.
    ///
    /// # Errors
    /// If there is no such posting.
    pub fn given_back(&mut self, of: u64) -> Result<GivenBack, Wrong> {
        let (debit, credit, left) = self.postings.left(of)?;
        let theirs = |place| match self.accounts.get(place) {
            Some(Account::Neighbour(neighbour, _)) => Some(*neighbour),
            _ => None,
        };
        let paid = theirs(debit);
        let neighbour = paid.or_else(|| theirs(credit)).ok_or(Wrong::NoSuchPosting { of })?;
        let payer = self.accounts.get(debit);
        let holder = payer.and_then(|payer| self.purses.payer(payer, of)).cloned();
        Ok(GivenBack { neighbour, to_them: paid.is_some(), holder, left, piece: None })
    }

    /// The first posting that is not final at an instant, by what `later` knows: these books
    /// after more records.
    #[must_use]
    pub fn not_final(&self, later: &Replay, now: &Moment) -> Option<u64> {
        self.postings.not_final(&later.postings, now)
    }

    /// Whether a record opened a posting that can be corrected.
    #[must_use]
    pub fn has_posting(&self, number: u64) -> bool {
        self.postings.has(number)
    }

    /// Forgets the single postings: what they came to stays in the balances, and can be corrected
    /// no more.
    pub fn carry(&mut self) {
        let mut kept = self.postings.forget();
        self.flows.each_tenure(|tenure| *tenure = self.postings.keep_tenure(&mut kept, *tenure));
    }

    /// The number of postings so far.
    #[must_use]
    pub fn postings(&self) -> usize {
        self.postings.len()
    }

    /// Number of the last period that was closed.
    #[must_use]
    pub fn last_period(&self) -> Option<u64> {
        self.postings.last_period()
    }

    /// The last period that was closed, and when.
    #[must_use]
    pub fn period_ended(&self) -> Option<(u64, Moment)> {
        self.postings.period_ended()
    }

    /// The segments that run, in no order, with what they have come to by the last proved instant.
    pub fn open(&self) -> impl Iterator<Item = Open> {
        let proved_ms = self.run.as_ref().map_or(0, |run| run.proved.at_ms);
        let lines = self.flows.iter().flat_map(|(flow, state): (u64, &Flow)| {
            state.meters.iter().filter(|line| line.running).map(move |line| (flow, line))
        });
        lines.filter_map(move |(flow, line)| {
            let neighbour: Neighbour = self.accounts.who(line.with)?;
            let ms = proved_ms.saturating_sub(line.from.at_ms);
            Some(Open {
                number: line.number,
                meter: Meter { flow, payment: line.payment, neighbour },
                debit: line.sides.debit,
                credit: line.sides.credit,
                rate: line.rate,
                from: line.from,
                amount: u128::from(line.rate) * u128::from(ms),
            })
        })
    }
}

/// What an approval says.
#[derive(Debug, Clone, Copy)]
struct Terms {
    at_ms: u64,
    ceiling: u64,
    instance: u32,
    account: AccountRef,
}

/// Takes an approval: a new one, or the next of its tenure.
fn grant(
    state: &mut Flow,
    postings: &mut Postings,
    (with, offer): (NeighbourRef, bool),
    terms: Terms,
) {
    let Terms { at_ms, ceiling, instance, account } = terms;
    let known = state.grants.iter_mut().find(|grant| grant.with == with && grant.offer == offer);
    match known {
        Some(known) => {
            let since_ms = if known.instance == instance { known.since_ms } else { at_ms };
            *known = Grant { ceiling, instance, account, since_ms, ..*known };
        }
        None => {
            let tenure = postings.begin();
            let since_ms = at_ms;
            let new = Grant { with, offer, instance, account, tenure, ceiling, since_ms };
            state.grants.push(new);
        }
    }
}

/// The flow and the neighbour that a record is about.
fn about(body: &Body) -> (Option<u64>, Option<Neighbour>) {
    match body {
        Body::Flow(flow) => (Some(flow.flow), None),
        Body::Consent(consent) => (Some(consent.flow), Some(consent.payer)),
        Body::Offer(offer) => (Some(offer.flow), Some(offer.payee)),
        Body::Runs(Runs { meter, .. }) | Body::Gap(Gap { meter, .. }) => {
            (Some(meter.flow), Some(meter.neighbour))
        }
        Body::Closed(closed) => (Some(closed.flow), Some(closed.payer)),
        Body::Exchange(exchange) => (Some(exchange.flow), Some(exchange.payee)),
        Body::Arises(Arises { meter, .. }) => (Some(meter.flow), Some(meter.neighbour)),
        Body::Outage(outage) => (Some(outage.flow), Some(outage.payer)),
        Body::Granted(granted) => (Some(granted.flow), Some(granted.payer)),
        Body::Refund(refund) => (Some(refund.meter.flow), Some(refund.meter.neighbour)),
        _ => (None, None),
    }
}
