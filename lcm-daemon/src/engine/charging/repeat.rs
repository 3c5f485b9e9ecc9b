//! What was announced and paid, announced and paid again by number (T14).

use std::net::IpAddr;

use charging_model::flow::Verdict;
use rsvp_wire::object::Session;

use super::super::Core;
use super::super::psb::Psb;
use super::super::time::Now;
use super::upstream::{may_pay, pay};
use super::{branch, charges_on, clock};

/// True if the last PATH of a sender was taken with what it announced.
pub(crate) fn was_announced(now: Now, psb: &Psb) -> bool {
    let heard = |flow: &charging_model::flow::Flow| flow.downstream().map(|down| down.heard);
    psb.flow.as_ref().is_none_or(|flow| heard(flow) == Some(clock(now).now))
}

/// What became of something that was said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It runs anew, and nothing else changed.
    Quiet,
    /// It was taken as it would be for the first time; something may have changed.
    Settled,
    /// It has to be said in whole.
    Refused,
}

/// The previous hop repeats what it announced last.
pub(crate) fn announced_again(now: Now, psb: &mut Psb) -> Again {
    if super::curve::waits(psb) {
        return Again::Refused;
    }
    match psb.flow.as_mut().is_none_or(|flow| flow.on_repeated(clock(now))) {
        true => Again::Quiet,
        false => Again::Refused,
    }
}

/// A next hop pays again what it paid last for a sender. Refused if it does not cover what is due
/// now, so that the next hop must be told.
pub(crate) fn paid_again(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    (outgoing, next_hop): (u32, IpAddr),
) -> Again {
    if !charges_on(core, psb, outgoing) {
        return Again::Quiet;
    }
    let key = branch(outgoing, next_hop);
    if psb.flow.as_mut().is_some_and(|flow| flow.on_repeated_payment(clock(now), key)) {
        core.counters.payments_accepted += 1;
        return Again::Quiet;
    }
    let Some(payment) = psb.flow.as_ref().and_then(|flow| flow.last_payment(key)) else {
        return Again::Refused;
    };
    // Who was silent for too long is billed for the gap at once, and needs the money for it.
    if may_pay(core, now, psb, key, &payment).is_err() {
        return Again::Refused;
    }
    match pay(core, now, session, psb, key, payment, None) {
        Ok(Some(Verdict::Accepted { .. })) => {
            core.counters.payments_accepted += 1;
            Again::Settled
        }
        _ => Again::Refused,
    }
}
