//! Outages of what is reserved, and what is given back for them (charging.md T11): what the model
//! finds, counted, written down and booked.

use std::net::IpAddr;

use charging_model::flow::{Broken, Contra, Outage};
use charging_model::{Amount, BranchKey, Grant, Refunded, Span};
use rsvp_wire::charging::{Refund, RefundPolicy, Terms};
use rsvp_wire::iana::{error_code, policy};
use rsvp_wire::object::{ErrorFlags, ErrorSpec, Session};

use super::super::Core;
use super::super::counters::bump;
use super::super::psb::Psb;
use super::super::rsb::LOCAL;
use super::super::time::Now;
use super::{clock, journal};
use crate::ledger::record::{self, Body, Interruption, Neighbour};

/// Takes outages and contra entries of a flow; after its postings were taken.
pub(super) fn take(core: &mut Core, now: Now, psb: &mut Psb) {
    let (number, phop) = (psb.number, psb.previous());
    let Some(flow) = psb.flow.as_mut() else { return };
    for outage in flow.take_outages() {
        note(core, number, &outage);
    }
    for contra in flow.take_refunds() {
        give_back(core, now, number, phop, &contra);
    }
}

fn note(core: &mut Core, flow: u64, outage: &Outage) {
    let Outage { key, from, at, why, over } = *outage;
    if over {
        core.counters.outage_ms += at.since(from).0;
    } else {
        bump(&mut core.counters.outages, why.name());
    }
    let payer = Neighbour { interface: key.group, address: key.hop };
    if key.group == LOCAL || flow == 0 || core.is_internal(payer) {
        return;
    }
    let (at_ms, from_ms, why) = (at.0, from.0, interruption(why));
    core.outbox.record(Body::Outage(record::Outage { at_ms, from_ms, flow, payer, why, over }));
}

fn give_back(core: &mut Core, now: Now, flow: u64, phop: Option<Neighbour>, contra: &Contra) {
    let Contra { entry, account, amount, time, why } = contra;
    let Some(meter) = journal::meter(flow, phop, *entry) else { return };
    let who = meter.neighbour;
    let internal = core.is_internal(who);
    let ours = entry.is_metered_here();
    bump(&mut core.counters.refunds, if ours { "given" } else { "received" });
    let amount = amount.0.unsigned_abs();
    let given = core.returns.granted(&meter, amount);
    let signed = i128::try_from(given.amount).unwrap_or(i128::MAX);
    core.books.give_back((who.address, internal), if ours { signed } else { -signed });
    if internal || flow == 0 {
        return;
    }
    if ours {
        for (part, place) in given.parts {
            if let Some(place) = place {
                core.purses.refund_at(now, place, part);
            }
        }
        if given.rest > 0 {
            core.purses.refund(now, meter, account.as_ref(), given.rest);
        }
    }
    let (at_ms, ms, why) = (now.at.as_millis(), time.0, interruption(*why));
    core.outbox.record(Body::Refund(record::Refund { at_ms, meter, ms, amount, why }));
}

fn interruption(why: Broken) -> Interruption {
    match why {
        Broken::Silent => Interruption::Silent,
        Broken::Withdrawn => Interruption::Withdrawn,
        Broken::Refused => Interruption::Refused,
        Broken::Moved => Interruption::Moved,
        Broken::Unrouted => Interruption::Unrouted,
        Broken::Preempted => Interruption::Preempted,
        Broken::Slept => Interruption::Slept,
    }
}

/// What a next hop pays for is given up here: to be told before its part is settled.
pub(crate) fn broken(core: &mut Core, now: Now, psb: &mut Psb, key: BranchKey, why: Broken) {
    if let Some(flow) = psb.flow.as_mut() {
        flow.break_branch(clock(now), key, why);
        journal::take(core, now, psb);
    }
}

/// A RESVERR says that a hop above has given up what it had admitted, so nothing stands from end to
/// end. What is refused for its price is dealt with as an offer ([`own_refused`](super::own_refused)).
pub(crate) fn lost(core: &mut Core, now: Now, psb: &mut Psb, error: &ErrorSpec) {
    let preempted = (error.code, error.value) == (error_code::POLICY, policy::PREEMPT);
    let gone = preempted || error.code == error_code::ADMISSION;
    if !gone || error.flags.contains(ErrorFlags::IN_PLACE) {
        return;
    }
    if let Some(flow) = psb.flow.as_mut()
        && flow.on_reservation_lost(clock(now))
    {
        journal::take(core, now, psb);
    }
}

/// The previous hop does not answer Hello.
pub(crate) fn silent(core: &mut Core, now: Now, psb: &mut Psb) {
    if let Some(flow) = psb.flow.as_mut()
        && flow.on_silent(clock(now))
    {
        journal::take(core, now, psb);
    }
}

/// A grant as the REFUND TLV says it; none is said by nothing. A threshold beyond what fits is that.
pub(super) fn of_grant(grant: Grant) -> Option<Refund> {
    let (policy, threshold) = match grant {
        Grant::None => return None,
        Grant::ProRata => (RefundPolicy::ProRata, 0),
        Grant::FreeIfShort(Span(ms)) => {
            (RefundPolicy::FreeIfShort, u16::try_from(ms / STEP_MS).unwrap_or(u16::MAX))
        }
    };
    Some(Refund { policy, threshold })
}

/// Milliseconds in the unit of a threshold.
const STEP_MS: u64 = 100;

/// What a REFUND TLV grants; a policy that is not known, nothing.
fn grant_of(refund: Option<Refund>) -> Grant {
    match refund {
        Some(Refund { policy: RefundPolicy::ProRata, .. }) => Grant::ProRata,
        Some(Refund { policy: RefundPolicy::FreeIfShort, threshold }) => {
            Grant::FreeIfShort(Span(u64::from(threshold) * STEP_MS))
        }
        _ => Grant::None,
    }
}

/// An address in 32 bits: those on one link differ in them, nearly always.
fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let words = address.octets();
            words.as_chunks::<4>().0.iter().fold(0, |sum, word| sum ^ u32::from_be_bytes(*word))
        }
    }
}

/// Writes into a DCPE what is granted, and what was given back to whom it is for: all on the
/// interface, where it has no address.
pub(super) fn write(now: Now, psb: &Psb, (group, to): (u32, Option<IpAddr>), terms: &mut Terms) {
    let Some(flow) = &psb.flow else { return };
    terms.refund = of_grant(flow.refund_offer(group));
    let narrow = |span: Span| u32::try_from(span.0).unwrap_or(u32::MAX);
    for (key, it) in flow.refunds_told(clock(now).now, group) {
        if to.is_none_or(|hop| hop == key.hop) {
            terms.extra_mut().refunded.push(rsvp_wire::charging::Refunded {
                instance: it.instance,
                since: it.since,
                payer: fold(key.hop),
                time_ms: narrow(it.time),
                ago_ms: it.ago.map_or(0, |ago| narrow(ago).max(1)),
                amount: it.amount.0.unsigned_abs(),
            });
        }
    }
}

/// Takes what the previous hop grants, and gave back to us. At a border between currencies it would
/// be in another one than what is passed on: nothing is accepted there.
pub(super) fn hear(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    session: Session,
    foreign: bool,
    terms: &Terms,
) {
    let knows = psb.flow.as_ref().is_some_and(|flow| flow.knows_refunds());
    if !knows && terms.refund.is_none() && terms.refunded().is_empty() {
        return;
    }
    let own = core.interfaces.address(psb.incoming, session.destination).map(fold);
    let ours = terms.refunded().iter().filter(|it| Some(it.payer) == own && !foreign);
    let said: Vec<Refunded> = ours
        .map(|it| Refunded {
            instance: it.instance,
            since: it.since,
            time: Span(it.time_ms.into()),
            ago: (it.ago_ms > 0).then_some(Span(it.ago_ms.into())),
            amount: Amount(i128::try_from(it.amount).unwrap_or(i128::MAX)),
        })
        .collect();
    let grant = if foreign { Grant::None } else { grant_of(terms.refund) };
    if let Some(flow) = psb.flow.as_mut() {
        flow.hear_refunds(clock(now), grant, &said);
    }
}

/// A next hop accepts, with its payment, what it is granted; that is a part of its consent.
pub(super) fn agree(core: &mut Core, now: Now, psb: &mut Psb, key: BranchKey, terms: &Terms) {
    let number = psb.number;
    let Some(flow) = psb.flow.as_mut() else { return };
    let before = flow.refund_agreed(key);
    let accepted = grant_of(terms.refund);
    if accepted == Grant::None && before == Grant::None {
        return;
    }
    let agreed = flow.agree_refund(clock(now), key, accepted);
    let payer = Neighbour { interface: key.group, address: key.hop };
    if agreed == before || number == 0 || core.is_internal(payer) {
        return;
    }
    let said = of_grant(agreed);
    core.outbox.record(Body::Granted(record::Granted {
        at_ms: now.at.as_millis(),
        flow: number,
        payer,
        policy: said.map_or(0, |said| said.policy.into()),
        threshold_ms: said.map_or(0, |said| u64::from(said.threshold) * STEP_MS),
    }));
}
