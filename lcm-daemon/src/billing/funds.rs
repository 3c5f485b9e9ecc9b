//! What became of a holder's account in a span: what was paid in, charged and given back.
//!
//! An account is charged as money is spent, whatever is disputed, so its balance follows from all that
//! was posted, and not from what is billed.

use super::pieces::{Extent, Piece};
use super::{Funds, PaidIn};
use crate::ledger::record::{Action, Operator};
use crate::ledger::replay::{AccountRef, Replay};
use crate::purse::{Backend, Holder};

/// What operators did to one account.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// As it stood when the books begin: the record that opened it, how it is settled, and its balance.
    base: Option<(u64, Backend, i128)>,
    all: Vec<Move>,
}

#[derive(Debug)]
struct Move {
    record: u64,
    at_ms: u64,
    /// The period in which it was done, by its place.
    period: Option<usize>,
    what: What,
}

#[derive(Debug)]
enum What {
    Opened(Backend),
    Agreed(Backend),
    PaidIn(u128, String),
    Closed,
}

/// Whether a posting that a record opened is charged to a holder's account.
pub(super) fn is_charged(replay: &Replay, holder: &Holder, debit: AccountRef, record: u64) -> bool {
    let payer = replay.account(debit).and_then(|account| replay.payer(account, record));
    payer == Some(holder)
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

impl Moves {
    /// As the account stood when the books begin.
    pub(super) fn new(replay: &Replay, holder: &Holder) -> Self {
        let standing = replay.standings().find(|(known, _)| *known == holder);
        let base = standing.filter(|(_, standing)| !standing.closed).map(|(_, standing)| {
            let charged = |open: &crate::ledger::replay::Open| {
                is_charged(replay, holder, open.debit, open.number)
            };
            let runs: u128 = replay.open().filter(charged).map(|open| open.amount).sum();
            let balance = standing.kept.balance() - signed(runs);
            (standing.opened, standing.terms.backend, balance)
        });
        Self { base, all: Vec::new() }
    }

    pub(super) fn note(&mut self, record: u64, operator: &Operator, of: &Holder) {
        let (holder, what) = match &operator.action {
            Action::Open { holder, terms } => (holder, What::Opened(terms.backend)),
            Action::Agree { holder, terms } => (holder, What::Agreed(terms.backend)),
            Action::Credit { holder, amount, reason } => {
                (holder, What::PaidIn(*amount, reason.clone()))
            }
            Action::Close { holder, .. } => (holder, What::Closed),
            Action::Did(_) => return,
        };
        if holder == of {
            self.all.push(Move { record, at_ms: operator.wall_ms, period: None, what });
        }
    }

    /// Whether the holder ever had an account.
    pub(super) fn any(&self) -> bool {
        self.base.is_some() || !self.all.is_empty()
    }

    /// A period ends: what was done before is dated into it.
    pub(super) fn tell(&mut self, period: usize) {
        self.all.iter_mut().rev().take_while(|done| done.period.is_none()).for_each(|done| {
            done.period = Some(period);
        });
    }

    /// What became of the account that the holder had last, from an instant to before another; `None`
    /// if there was none.
    pub(super) fn over<'a>(
        &self,
        (from_ms, to_ms): (u64, u64),
        pieces: impl Iterator<Item = &'a Piece>,
        periods: &[Extent],
    ) -> Option<Funds> {
        let dated = |at_ms: u64, period: Option<usize>| {
            period.and_then(|place| periods.get(place)).map(|period| period.dated(at_ms))
        };
        let when = |done: &Move| dated(done.at_ms, done.period).unwrap_or(u64::MAX);
        let known = || self.all.iter().filter(|done| when(done) < to_ms);
        let opening = known().rfind(|done| matches!(done.what, What::Opened(_)));
        let (opened, mut backend, begins) = match opening {
            Some(Move { record, what: What::Opened(backend), .. }) => (*record, *backend, 0),
            _ => self.base?,
        };
        let mut funds = Funds { before: begins, after: begins, ..Funds::default() };
        for done in known().filter(|done| done.record > opened) {
            let at_ms = when(done);
            match &done.what {
                What::Opened(_) => {}
                What::Agreed(other) => backend = *other,
                What::Closed if at_ms < from_ms => return None,
                What::Closed => funds.closed = true,
                What::PaidIn(amount, _) if at_ms < from_ms => funds.before += signed(*amount),
                What::PaidIn(amount, reason) => {
                    let (record, reason) = (done.record, reason.clone());
                    funds.paid_in.push(PaidIn { record, at_ms, amount: signed(*amount), reason });
                }
            }
        }
        for piece in pieces.filter(|piece| piece.charged) {
            if piece.record > opened {
                let [skipped, until] = [from_ms, to_ms].map(|at| piece.seen_before(at, periods));
                let amount = |ms: u64| i128::from(piece.rate) * i128::from(ms);
                funds.before -= amount(skipped);
                funds.charged -= amount(until.saturating_sub(skipped));
            }
            for refund in piece.refunds.iter().filter(|refund| refund.record > opened) {
                match dated(refund.at_ms, refund.seen) {
                    Some(at_ms) if at_ms < from_ms => funds.before -= refund.amount,
                    Some(at_ms) if at_ms < to_ms => funds.returned -= refund.amount,
                    _ => {}
                }
            }
        }
        (funds.kind, funds.credit_limit) = match backend {
            Backend::Tokens { .. } => ("tokens", 0),
            Backend::Account { limit: 0 } => ("prepaid", 0),
            Backend::Account { limit } => ("postpaid", signed(limit)),
        };
        let paid_in: i128 = funds.paid_in.iter().map(|paid| paid.amount).sum();
        funds.after = funds.before + paid_in + funds.charged + funds.returned;
        Some(funds)
    }
}
