//! A border between two currencies (paper sections 2.2 and 3: contracts are bilateral).
//!
//! ```text
//!  previous hop, its currency │            this node, its own currency
//!  DCPE: C, S, M, limits ─────┼─▶ bought at the door: the flow and all customers see ours only
//!  UCPE: RP, SP, A, B    ◀────┼── sold at the exit: exactly the RP that was announced
//! ```
//!
//! The claim C − S is rounded down for customers, and paid as it was announced; what the sender's
//! side owes us is rounded down as it leaves. So the hop loses less than one unit a second for each,
//! and both sides of it stand in the accounts: what the neighbour is owed in its currency, and what
//! that came to in ours.

use charging_model::equations::sponsored;
use charging_model::flow::OwnPayment;
use charging_model::{Amount, Entry, Posting, Ppm, Rate};
use rsvp_wire::charging::{Dcpe, Terms, Ucpe};

use super::super::Core;
use super::super::psb::Psb;
use super::super::time::Now;
use super::{Context, clock, curve, detail, journal};
use crate::config::Exchange;
use crate::ledger::record::{self, Body};

/// A rate in both currencies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) ours: u64,
    pub(crate) theirs: u64,
}

/// What a previous hop announced in its own currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreign {
    claim: Pair,
    total: Pair,
    per_receiver: Option<Pair>,
    per_hop: Option<Pair>,
}

/// How a flow stands at a border.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traded {
    newest: Foreign,
    /// RP that was approved last.
    paid: Pair,
}

/// What a closed segment comes to in the neighbour's currency.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Border {
    pub(super) exchange: Exchange,
    paid: Pair,
}

impl Border {
    /// Of a flow, if its previous hop is paid in another currency.
    pub(crate) fn of(context: Option<&Context>, psb: &Psb) -> Option<Self> {
        let traded = psb.traded.as_ref()?;
        let exchange = context?.contract(psb.payee()).exchange?;
        Some(Self { exchange, paid: traded.paid })
    }

    /// A posting with the previous hop in its currency.
    pub(super) fn foreign(&self, posting: &Posting) -> Option<Amount> {
        let rate = posting.segment.rate.0;
        let theirs = match posting.entry {
            Entry::ReceiverPaymentToUpstream if rate == self.paid.ours => self.paid.theirs,
            Entry::ReceiverPaymentToUpstream => self.exchange.theirs_at_most(rate)?,
            Entry::SenderPaymentFromUpstream => self.exchange.theirs_of(rate)?,
            _ => return None,
        };
        let ms = posting.segment.to.0.saturating_sub(posting.segment.from.0);
        Some(Amount(i128::from(theirs).saturating_mul(i128::from(ms))))
    }
}

/// Turns what a previous hop announces into our currency; `None` if it does not fit.
pub(super) fn buy(exchange: &Exchange, dcpe: &mut Dcpe, own: u16) -> Option<Foreign> {
    let fraction = Ppm::new(dcpe.terms.sender_fraction.unwrap_or(0)).ok()?;
    let given = dcpe.terms.sponsored;
    let covered = given.unwrap_or_else(|| sponsored(fraction, Rate(dcpe.total)).0);
    let claim = dcpe.total.checked_sub(covered)?;
    let claim = Pair { ours: exchange.ours_of(claim)?, theirs: claim };
    let whole = exchange.ours_of(dcpe.total)?;
    let mut part = whole.checked_sub(claim.ours)?;
    if given.is_none() {
        part = part.min(most_beside(fraction, claim.ours));
    }
    let total = Pair { ours: claim.ours.checked_add(part)?, theirs: dcpe.total };
    let limit = |theirs: Option<u64>| -> Option<Option<Pair>> {
        let Some(theirs) = theirs else { return Some(None) };
        // A limit that does not fit is none that could be reached.
        let ours = exchange.ours_of(theirs).unwrap_or(u64::MAX);
        Some(Some(Pair { ours, theirs }))
    };
    let per_receiver = limit(dcpe.terms.limit_per_receiver)?;
    let per_hop = limit(dcpe.terms.limit_per_hop)?;
    detail::convert(dcpe, total.ours);
    curve::end(dcpe);
    dcpe.currency = own;
    dcpe.total = total.ours;
    dcpe.max_total = exchange.ours_at_most(dcpe.max_total).unwrap_or(u64::MAX);
    dcpe.terms.sponsored = (part != most_of(fraction, total.ours)).then_some(part);
    dcpe.terms.limit_per_receiver = per_receiver.map(|pair| pair.ours);
    dcpe.terms.limit_per_hop = per_hop.map(|pair| pair.ours);
    Some(Foreign { claim, total, per_receiver, per_hop })
}

/// The most that a sender who covers this fraction may cover beside `claim`: the largest S with
/// S ≤ ⌈r·(claim + S)⌉, which the model's shares need. What rounding adds to that is dropped.
fn most_beside(fraction: Ppm, claim: u64) -> u64 {
    const WHOLE: u128 = 1_000_000;
    let r = u128::from(fraction.get());
    // S − 1 < r·(claim + S), in millionths; r = 1 holds for any S.
    let Some(rest) = WHOLE.checked_sub(r).filter(|rest| *rest > 0) else { return u64::MAX };
    let most = (WHOLE + r * u128::from(claim)).div_ceil(rest).saturating_sub(1);
    u64::try_from(most).unwrap_or(u64::MAX)
}

fn most_of(fraction: Ppm, total: u64) -> u64 {
    sponsored(fraction, Rate(total)).0
}

/// Keeps what was announced last.
pub(super) fn keep(psb: &mut Psb, foreign: Option<Foreign>) {
    match (foreign, &mut psb.traded) {
        (None, traded) => *traded = None,
        (Some(newest), Some(traded)) => traded.newest = newest,
        (Some(newest), None) => {
            psb.traded = Some(Box::new(Traded { newest, paid: Pair::default() }));
        }
    }
}

/// What is required by an error of the previous hop, in our currency.
pub(super) fn required(context: Option<&Context>, psb: &Psb, theirs: u64) -> u64 {
    let Some(border) = Border::of(context, psb) else { return theirs };
    let newest = psb.traded.as_ref().map(|traded| traded.newest.claim);
    match newest.filter(|claim| claim.theirs == theirs) {
        Some(claim) => claim.ours,
        None => border.exchange.ours_of(theirs).unwrap_or(u64::MAX),
    }
}

/// What we approve upstream as the previous hop has it, written down with the rate that made it.
pub(super) fn sell(core: &mut Core, now: Now, psb: &mut Psb, paid: &OwnPayment, ucpe: &mut Ucpe) {
    let Some(border) = Border::of(core.charging.as_ref(), psb) else { return };
    let (exchange, Some(traded)) = (border.exchange, &psb.traded) else { return };
    let Traded { newest, paid: before } = **traded;
    let least = |ours: u64| exchange.theirs_of(ours).unwrap_or(u64::MAX);
    ucpe.currency = exchange.currency.numeric();
    ucpe.sender_payment = least(paid.sender_payment.0);
    ucpe.local_sum = least(paid.local_sum.0);
    // A − B is C here as there, but for what has not settled yet.
    let (a, owed) = (paid.announced_total.0, paid.local_sum.0.saturating_add(newest.total.ours));
    let settled = ucpe.local_sum.saturating_add(newest.total.theirs);
    ucpe.announced_total = match a.checked_sub(owed) {
        Some(more) => settled.saturating_add(least(more)),
        None => settled.saturating_sub(least(owed.saturating_sub(a))),
    };
    ucpe.terms = Terms {
        limit_per_receiver: newest.per_receiver.map(|pair| pair.theirs),
        limit_per_hop: newest.per_hop.map(|pair| pair.theirs),
        ..std::mem::take(&mut ucpe.terms)
    };
    if newest.total.theirs == 0 {
        // Next to the sender it is information, and nothing is debited.
        ucpe.payment = least(paid.payment.0);
        return;
    }
    let ours = paid.payment.0;
    let known = [newest.claim, before].into_iter().find(|pair| pair.ours == ours);
    let theirs = known.map(|pair| pair.theirs).or_else(|| exchange.theirs_at_most(ours));
    ucpe.payment = theirs.unwrap_or(u64::MAX);
    let pair = Pair { ours, theirs: ucpe.payment };
    if pair == before {
        return;
    }
    // What ran until now came to what it was approved as.
    if let Some(flow) = psb.flow.as_mut() {
        flow.checkpoint(clock(now).now);
    }
    journal::take(core, now, psb);
    if let Some(traded) = &mut psb.traded {
        traded.paid = pair;
    }
    let Some(payee) = psb.previous().filter(|payee| !core.is_internal(*payee)) else { return };
    if psb.number == 0 {
        return;
    }
    core.outbox.record(Body::Exchange(record::Exchange {
        at_ms: now.at.as_millis(),
        flow: psb.number,
        payee,
        currency: exchange.currency.numeric(),
        version: exchange.version,
        ours: exchange.ours,
        theirs: exchange.theirs,
        rate: pair.ours,
        foreign_rate: pair.theirs,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_covers_as_much_as_its_fraction_allows_and_no_unit_more() {
        for ppm in [0, 1, 333_333, 500_000, 999_999, 1_000_000] {
            let fraction = Ppm::new(ppm).unwrap();
            for claim in [0, 1, 2, 7, 999, 1_000_000, u64::from(u32::MAX)] {
                let most = most_beside(fraction, claim);
                let covers = |part: u64| part <= most_of(fraction, claim.saturating_add(part));
                assert!(covers(most), "{ppm} ppm beside {claim}: {most}");
                assert!(most == u64::MAX || !covers(most + 1), "{ppm} ppm beside {claim}: {most}");
            }
        }
    }
}
