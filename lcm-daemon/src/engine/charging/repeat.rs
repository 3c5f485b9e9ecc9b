//! What was announced and paid, announced and paid again by number (T14).

use std::net::IpAddr;

use charging_model::flow::Verdict;
use rsvp_wire::object::Session;

use super::super::Core;
use super::super::psb::Psb;
use super::super::time::Now;
use super::upstream::pay;
use super::{branch, charges_on, clock, journal};

/// True if the last PATH of a sender was taken with what it announced.
pub(crate) fn was_announced(now: Now, psb: &Psb) -> bool {
    let heard = |flow: &charging_model::flow::Flow| flow.downstream().map(|down| down.heard);
    psb.flow.as_ref().is_none_or(|flow| heard(flow) == Some(clock(now).now))
}

/// The previous hop repeats what it announced last. False if that has to be said in whole.
pub(crate) fn announced_again(core: &mut Core, now: Now, psb: &mut Psb) -> bool {
    let Some(flow) = psb.flow.as_mut() else { return true };
    let taken = flow.on_repeated(clock(now));
    journal::take(core, now, psb);
    taken
}

/// A next hop pays again what it paid last for a sender. False if that has to be said in whole: it
/// does not cover what is due now, and the next hop must be told.
pub(crate) fn paid_again(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    (outgoing, next_hop): (u32, IpAddr),
) -> bool {
    if !charges_on(core, psb, outgoing) {
        return true;
    }
    let key = branch(outgoing, next_hop);
    let Some(payment) = psb.flow.as_ref().and_then(|flow| flow.last_payment(key)) else {
        return false;
    };
    match pay(core, now, session, psb, key, payment, None) {
        Ok(Some(Verdict::Accepted { .. })) => {
            core.counters.payments_accepted += 1;
            true
        }
        _ => false,
    }
}
