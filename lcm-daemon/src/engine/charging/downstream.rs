//! DCPE: what the previous hop announces, and what we announce to the next ones.

use std::net::IpAddr;

use charging_model::equations::sponsored;
use charging_model::flow::{
    Account as ModelAccount, Announcement, Downstream, Flow, Heard, Inconsistency, Limits, Quote,
};
use charging_model::{BranchKey, Ppm, Rate, Span};
use rsvp_wire::charging::{Account, ChargingFlags, Dcpe, Terms};
use rsvp_wire::object::{Filter, Hop};

use super::super::integrity::Disbelief;
use super::super::local::SenderShare;
use super::super::path::Arrived;
use super::super::policy::{Addressee, Object};
use super::super::psb::Psb;
use super::super::time::{Now, lifetime};
use super::super::{Core, Few, One};
use super::audit::{AlarmKind, Link, note};
use super::exchange::{self, Foreign};
use super::upstream::SERVICE;
use super::{
    Accounts, Context, Fault, Priced, assurance, branch, charges_on, clock, curve, detail, journal,
    pricing, serials,
};
use crate::ledger::record::Neighbour;

/// What a PATH says about charges.
#[derive(Debug, Clone)]
pub(crate) enum Announced {
    /// Whatever it says is not for us: we are policy-ignorant and carry it on, or it is addressed
    /// to another hop.
    Unread,
    /// Nothing: this is the first charging hop.
    Nothing,
    /// A DCPE.
    Dcpe(Box<Said>),
}

/// A DCPE with what its POLICY_DATA says of it.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    dcpe: Dcpe,
    /// The period in milliseconds in which it is refreshed.
    refresh_ms: u32,
    /// Who says it: Originating RSVP_HOP.
    origin: Option<IpAddr>,
    /// What was said, where that was in another currency.
    foreign: Option<Foreign>,
}

/// Finds the DCPE that is meant for us: one addressed to us wins over an unaddressed one, one
/// addressed to somebody else on the link is ignored (RFC 2750 section 3.4, charging.md D10).
pub(super) fn read_announcement(
    core: &Core,
    objects: &mut dyn Iterator<Item = Object<'_>>,
) -> Result<Announced, Fault> {
    let Some(context) = &core.charging else { return Ok(Announced::Unread) };
    let mut found: Option<(bool, Said)> = None;
    let (mut for_others, mut disbelieved) = (false, false);
    for object in objects {
        let Some(element) = object.data.element(context.ptypes.dcpe) else { continue };
        if object.addressee == Addressee::Another {
            for_others = true;
            continue;
        }
        match core.disbelief(&object.data) {
            None => {}
            // It is older than what is known, and says nothing to us.
            Some(Disbelief::Replay) => {
                for_others = true;
                continue;
            }
            Some(_) => {
                disbelieved = true;
                continue;
            }
        }
        match Dcpe::parse(element.bytes) {
            Ok(dcpe) => {
                let addressed = object.addressee == Addressee::Us;
                if found.as_ref().is_none_or(|(other, _)| addressed && !other) {
                    let origin = object.data.originating_hop().map(|hop| hop.address);
                    let refresh_ms = object.refresh_ms;
                    found = Some((addressed, Said { dcpe, refresh_ms, origin, foreign: None }));
                }
            }
            Err(error) => Fault::of_element(&error)?,
        }
    }
    match found {
        Some((_, mut said)) if said.dcpe.currency != context.currency => {
            let agreed = context.contract(said.origin).exchange;
            let agreed = agreed.filter(|rate| rate.currency.numeric() == said.dcpe.currency);
            let rate = agreed.ok_or(Fault::FOREIGN_CURRENCY)?;
            let foreign = exchange::buy(&rate, &mut said.dcpe, context.currency);
            said.foreign = Some(foreign.ok_or(Fault::CHARGE_OVERFLOW)?);
            Ok(Announced::Dcpe(Box::new(said)))
        }
        Some((_, said)) => Ok(Announced::Dcpe(Box::new(said))),
        None if disbelieved => Err(Fault::POLICY_INTEGRITY),
        // The previous hop charges, and says nothing new to us: we are not the first (T6).
        None if for_others => Ok(Announced::Unread),
        None => Ok(Announced::Nothing),
    }
}

/// What would be due for a reservation by what was announced; nothing at the first charging hop,
/// and nobody knows where it was not read.
pub(crate) fn asked(announced: &Announced) -> Option<u64> {
    match announced {
        Announced::Unread => None,
        Announced::Nothing => Some(0),
        Announced::Dcpe(said) => {
            let Dcpe { total, terms, .. } = &said.dcpe;
            let fraction = Ppm::new(terms.sender_fraction.unwrap_or(0)).unwrap_or_default();
            let sponsored = terms.sponsored.unwrap_or_else(|| sponsored(fraction, Rate(*total)).0);
            Some(total.saturating_sub(sponsored))
        }
    }
}

/// Whether an announcement from another previous hop than the last, of this address behind this
/// interface, could be taken, without taking it.
pub(super) fn acceptable(
    core: &mut Core,
    now: Now,
    psb: &Psb,
    (interface, hop): (u32, Option<IpAddr>),
    announced: &Announced,
) -> Result<(), Fault> {
    let (Announced::Dcpe(said), Some(flow)) = (announced, &psb.flow) else { return Ok(()) };
    let payee = said.origin.or(hop);
    welcome(core, payee, &said.dcpe)?;
    can_pay(core, now, psb.sender, (interface, payee), &said.dcpe)?;
    let announcement = announcement(&mut core.accounts, &said.dcpe).ok_or(Fault::BAD_ELEMENT)?;
    let mut trial = flow.clone();
    trial.on_upstream_changed(clock(now));
    trial.on_dcpe(clock(now), &announcement).map(|_| ()).map_err(|_| Fault::CHARGE_OVERFLOW)
}

/// Takes the announcement of a PATH into the charging state of its sender; on an error nothing
/// changed. False: the PATH is older than what is known.
pub(super) fn announce(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    arrived: &Arrived,
) -> Result<bool, Fault> {
    match &arrived.policy.announced {
        Announced::Dcpe(said) => follow_announcer(core, now, psb, said)?,
        // Who announced behind the previous hop does so no more: it is settled with by its name.
        Announced::Nothing if psb.policy_until <= now.at && psb.announcer.is_some() => {
            upstream_moved(core, now, psb);
        }
        _ => {}
    }
    let payee = psb.payee();
    end_silence(core, now, psb, payee);
    let link = Link::from(psb, arrived.session);
    if psb.flow.is_none() {
        return Ok(true);
    }
    let claimed = match &arrived.policy.announced {
        Announced::Dcpe(said) => curve::claim(now, psb, &arrived.facts.tspec, &said.dcpe),
        _ => None,
    };
    let Some(flow) = psb.flow.as_mut() else { return Ok(true) };
    match &arrived.policy.announced {
        Announced::Unread => {}
        // The last DCPE came with a longer period of its own (PRT, RFC 2750 section 3.2).
        Announced::Nothing if psb.policy_until > now.at => {}
        Announced::Nothing => {
            let refresh = Span(u64::from(arrived.refresh_ms));
            let quantity = arrived.facts.tspec.rate.to_integer().saturating_mul(8);
            flow.on_no_dcpe(clock(now), refresh, quantity);
            journal::take(core, now, psb);
            return Ok(true);
        }
        Announced::Dcpe(said) => {
            let Said { dcpe, refresh_ms, .. } = said.as_ref();
            welcome(core, payee, dcpe)?;
            can_pay(core, now, psb.sender, (psb.incoming, payee), dcpe)?;
            let mut flags = dcpe.flags;
            if arrived.facts.non_rsvp_hop || psb.announcer.is_some() {
                flags = flags.union(ChargingFlags::NON_CHARGING_HOP);
            }
            let announcement = Announcement {
                flags: flags.bits(),
                refresh: Span(u64::from(*refresh_ms)),
                ..announcement(&mut core.accounts, dcpe).ok_or(Fault::BAD_ELEMENT)?
            };
            let announcement = match claimed {
                Some((total, sponsored)) => Announcement { total, sponsored, ..announcement },
                None => announcement,
            };
            let sender = (core.in_hand, psb.sender);
            if payee.is_some_and(|hop| core.purses.resumes(now, sender, hop)) {
                flow.sender_pays(clock(now));
            }
            let before = flow.downstream().map(Known::of).unwrap_or_default();
            let heard = flow.on_dcpe(clock(now), &announcement);
            if let (Ok(heard), Some(link)) = (heard, link) {
                doubt(core, now, link, &before, dcpe, heard)?;
            }
            match heard {
                Ok(Heard::Changed | Heard::Refreshed | Heard::Inconsistent { .. }) => {
                    assurance::hear(
                        core,
                        now,
                        psb,
                        arrived.session,
                        said.foreign.is_some(),
                        &dcpe.terms,
                    );
                    let k = u32::from(core.config.rsvp.lifetime_multiplier);
                    let slow = *refresh_ms > arrived.refresh_ms;
                    let held = if slow { lifetime(*refresh_ms, k) } else { Default::default() };
                    psb.policy_until = now.at + held;
                    exchange::keep(psb, said.foreign);
                    detail::heard(core, now, psb, dcpe);
                    curve::heard(core, psb, &arrived.facts.tspec, dcpe);
                }
                Ok(Heard::Stale) => {
                    core.counters.drop("stale_announcement");
                    return Ok(false);
                }
                Err(_) => return Err(Fault::CHARGE_OVERFLOW),
            }
        }
    }
    journal::take(core, now, psb);
    Ok(true)
}

/// A previous hop that was silent is billed for the gap at once (T3, T15). One whose account has not
/// that much any more paid nothing since its approval ended, and pays as little from now on as where
/// all of it is spent.
fn end_silence(core: &mut Core, now: Now, psb: &mut Psb, payee: Option<IpAddr>) {
    let Some(hop) = payee.filter(|_| core.purses.is_on()) else { return };
    let Some(flow) = psb.flow.as_mut() else { return };
    let (rate, silent) = flow.sender_gap(clock(now).now);
    let gap = u128::from(rate.0).saturating_mul(silent.0.into());
    let internal = core.is_internal(Neighbour { interface: psb.incoming, address: hop });
    if gap > 0 && !internal && !core.purses.can_fill(now, core.in_hand, (hop, gap)) {
        flow.stop_sender(clock(now).now);
        core.purses.stopped(core.in_hand, psb.sender, rate.0);
    }
}

/// Notes who announces the price. Where that is another hop than before, though the PATH comes the
/// same way, the old one is settled with as where the previous hop is another one.
fn follow_announcer(core: &mut Core, now: Now, psb: &mut Psb, said: &Said) -> Result<(), Fault> {
    let announcer = said.origin.filter(|origin| Some(*origin) != psb.phop_address());
    if announcer == psb.announcer {
        return Ok(());
    }
    if psb.flow.as_ref().is_some_and(|flow| flow.downstream().is_some()) {
        let from = (psb.incoming, psb.phop_address());
        acceptable(core, now, psb, from, &Announced::Dcpe(Box::new(said.clone())))?;
        upstream_moved(core, now, psb);
    }
    psb.announcer = announcer;
    Ok(())
}

/// Whether the account of a DCPE may pay on the sender's behalf; one of which nothing is taken may.
fn welcome(core: &Core, payee: Option<IpAddr>, dcpe: &Dcpe) -> Result<(), Fault> {
    let contract = core.charging.as_ref().map(|context| context.contract(payee));
    let refused = contract.map(|agreed| &agreed.refused_sender_accounts[..]);
    let pays = dcpe.terms.sender_fraction.is_some_and(|fraction| fraction > 0);
    match &dcpe.terms.account {
        Some(account) if pays && refused.is_some_and(|refused| refused.contains(account)) => {
            Err(Fault::sender_account(dcpe))
        }
        _ => Ok(()),
    }
}

/// Whether the previous hop's account can pay for the sender.
fn can_pay(
    core: &Core,
    now: Now,
    sender: Filter,
    (interface, payee): (u32, Option<IpAddr>),
    dcpe: &Dcpe,
) -> Result<(), Fault> {
    let pays = dcpe.terms.sender_fraction.is_some_and(|fraction| fraction > 0);
    let ours = |address: &IpAddr| core.is_internal(Neighbour { interface, address: *address });
    let Some(hop) = payee.filter(|hop| pays && !ours(hop)) else { return Ok(()) };
    let admitted = core.purses.admits_sender(now, (core.in_hand, sender), hop);
    admitted.map_err(|denied| Fault::sender_denied(denied, dcpe))
}

/// What the previous hop had said.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    total: Rate,
    max_total: Rate,
    epoch: u32,
}

impl Known {
    fn of(down: &Downstream) -> Self {
        Self { total: down.total, max_total: down.max_total, epoch: down.epoch.unwrap_or_default() }
    }
}

/// Notes what contradicts what the previous hop had said; an error where it is refused.
fn doubt(
    core: &mut Core,
    now: Now,
    link: Link,
    known: &Known,
    dcpe: &Dcpe,
    heard: Heard,
) -> Result<(), Fault> {
    let &Known { total, max_total, epoch } = known;
    let said = Rate(dcpe.total);
    let (kind, taken, evidence) = match heard {
        Heard::Inconsistent { how: Inconsistency::AboveMaximum, taken } => {
            let evidence = (format!("C {max_total} at most"), format!("C {said}"));
            (AlarmKind::PriceAboveMaximum, taken, evidence)
        }
        Heard::Inconsistent { how: Inconsistency::EpochReused, taken } => {
            let evidence = (format!("C {total}"), format!("C {said} under epoch {epoch}"));
            (AlarmKind::EpochReused, taken, evidence)
        }
        Heard::Stale => {
            let evidence = (format!("epoch {epoch}"), format!("epoch {}", dcpe.epoch));
            (AlarmKind::OldEpoch, true, evidence)
        }
        Heard::Changed | Heard::Refreshed => return Ok(()),
    };
    note(core, now, link, kind, !taken, evidence);
    if taken { Ok(()) } else { Err(Fault::inconsistent_price(dcpe, kind.name(), total.0)) }
}

fn announcement(accounts: &mut Accounts, dcpe: &Dcpe) -> Option<Announcement> {
    let terms = &dcpe.terms;
    let account = terms.account.as_ref().map(|a| accounts.get(a.kind.into(), a.id.as_bytes()));
    Some(Announcement {
        total: Rate(dcpe.total),
        max_total: Rate(dcpe.max_total),
        fraction: Ppm::new(terms.sender_fraction.unwrap_or(0)).ok()?,
        sender_account: account,
        limits: Limits {
            per_receiver: terms.limit_per_receiver.map(Rate),
            per_hop: terms.limit_per_hop.map(Rate),
            max_hops: terms.max_hops,
        },
        sponsored: terms.sponsored.map(Rate),
        epoch: dcpe.epoch,
        validity: Span(u64::from(dcpe.validity_ms)),
        established: terms.established,
        quantity: terms.quantity.unwrap_or(0),
        flags: 0,
        refresh: Span(0),
    })
}

/// Starts the charging state of a sender on this node: C = 0, its own share and limits.
pub(crate) fn originate(core: &Core, now: Now, psb: &mut Psb, share: &SenderShare) {
    let Some(context) = &core.charging else { return };
    let mut flow = Flow::new(context.origin.clone());
    let account = share.account.as_ref().unwrap_or(&context.general.account);
    let account = ModelAccount::new(account.kind.into(), account.id.as_bytes());
    let announcement = Announcement {
        fraction: Ppm::new(share.fraction_ppm).unwrap_or_default(),
        sender_account: (share.fraction_ppm > 0).then_some(account),
        limits: Limits {
            per_receiver: share.limit_per_receiver.map(Rate),
            per_hop: share.limit_per_hop.map(Rate),
            max_hops: share.max_hops,
        },
        epoch: now.serial_s,
        validity: Span(u64::MAX),
        refresh: Span(u64::from(psb.refresh_ms)),
        ..Announcement::default()
    };
    // Zero totals cannot overflow.
    let _ = flow.on_dcpe(clock(now), &announcement);
    psb.flow = Some(Box::new(flow));
}

/// The previous hop is another one now: settles with the old one.
pub(crate) fn upstream_moved(core: &mut Core, now: Now, psb: &mut Psb) {
    if let Some(flow) = psb.flow.as_mut() {
        flow.on_upstream_changed(clock(now));
        journal::take(core, now, psb);
    }
    psb.announcer = None;
    psb.traded = None;
    psb.curve = None;
    if let Some(detail) = &mut psb.detail {
        detail.forget_upstream();
    }
}

/// Prices the interfaces that a sender's PATH goes out on, and forgets the others.
pub(crate) fn sync_groups(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    wanted: &[Priced],
    shared: bool,
) {
    let sends = pricing::sends(core, psb, shared);
    let Some(flow) = psb.flow.as_mut() else { return };
    if let Some(context) = core.charging.as_ref().filter(|_| psb.phop.is_some()) {
        flow.configure(clock(now), context.sharing(psb.incoming), sends);
    }
    let gone: Vec<u32> = flow
        .groups()
        .map(|(group, _)| group)
        .filter(|group| !wanted.iter().any(|priced| priced.interface == *group))
        .collect();
    if !gone.is_empty() {
        serials::remember(&mut core.unused_serial, now, flow);
    }
    let mut torn = Vec::new();
    for group in gone {
        flow.remove_group(clock(now), group);
        torn.push(group);
    }
    for Priced { interface, price, locals, refund } in wanted {
        flow.set_refund(*interface, *refund);
        if flow.reprice(clock(now), *interface, *price, locals).is_err() {
            core.counters.drop("price_overflow");
        }
    }
    journal::take(core, now, psb);
    for group in torn {
        core.purses.forget_interface(now, psb.number, group);
    }
}

/// Nobody pays for this sender from behind a next hop any more.
pub(crate) fn tell_alone(now: Now, psb: &mut Psb) {
    if let Some(flow) = psb.flow.as_mut() {
        flow.tell_alone(clock(now));
    }
}

/// The DCPEs for one interface: one for each who pays where there are several, or may be behind a
/// hop that does not charge, with its address, and one without for a hop that joins; a single one
/// otherwise (D10).
pub(super) fn downstream_elements(
    core: &Core,
    now: Now,
    psb: &mut Psb,
    (interface, own): (u32, IpAddr),
) -> One<(Option<Hop>, Dcpe)> {
    let Some(context) = &core.charging else { return One::new() };
    if !charges_on(core, psb, interface) {
        return One::new();
    }
    let told = pricing::goes_by_quantity(core, psb, interface);
    let Some(flow) = psb.flow.as_mut() else { return One::new() };
    let hops: Few<_> =
        flow.branches().map(|branch| branch.key).filter(|key| key.group == interface).collect();
    let others = psb.veiled || flow.asks_to_join(interface);
    let alone = hops.is_empty() || (hops.len() == 1 && !others);
    let quotes: One<(Option<Hop>, Option<Quote>)> = if alone {
        One::from_iter([(None, flow.quote(interface))])
    } else {
        let join = flow.join_quote(clock(now), interface);
        let hop = |key: &BranchKey| Some(Hop { address: key.hop, lih: 0 });
        let addressed = hops.iter().map(|key| (hop(key), flow.quote_for(*key)));
        addressed.chain([(None, join)]).collect()
    };
    // A single branch is the only one to whom the unaddressed one matters.
    let only = hops.first().filter(|_| hops.len() == 1).map(|key| key.hop);
    let element = |(to, quote): (Option<Hop>, Option<Quote>)| {
        let neighbour = to.map(|hop| hop.address).or(only);
        let quote = quote?;
        let mut dcpe = dcpe_of(context, psb, neighbour, &quote);
        assurance::write(now, psb, (interface, to.map(|hop| hop.address)), &mut dcpe.terms);
        dcpe.terms.quantity = told.then_some(quote.quantity);
        let hop = to.map(|hop| hop.address).or(only.filter(|_| alone));
        if let Some(hop) = hop {
            detail::tell(context, psb, (branch(interface, hop), own), &quote, &mut dcpe.terms);
        }
        curve::tell(core, psb, (interface, hop), &quote, &mut dcpe.terms);
        Some((to, dcpe))
    };
    quotes.into_iter().filter_map(element).collect()
}

/// A quote as a DCPE. The account in it is the one that sender payments debit at the next hop: the
/// sender's in its own PATH, in any other what this node agreed on with the next hop `to`, if that is
/// known (paper section 3.4).
pub(super) fn dcpe_of(context: &Context, psb: &Psb, to: Option<IpAddr>, quote: &Quote) -> Dcpe {
    let down = psb.flow.as_ref().and_then(|flow| flow.downstream());
    let account = down.and_then(|down| down.sender_account.as_ref()).map(|sender| {
        if psb.phop.is_none() {
            Account::new(sender.kind().into(), sender.id())
        } else {
            context.contract(to).account.clone()
        }
    });
    let shares = account.is_some();
    Dcpe {
        flags: ChargingFlags::from_bits(quote.flags),
        total: quote.total.0,
        max_total: quote.max_total.0,
        validity_ms: u32::try_from(quote.validity.0).unwrap_or(u32::MAX),
        epoch: quote.epoch,
        terms: Terms {
            sender_fraction: shares.then_some(quote.fraction.get()),
            limit_per_receiver: quote.limits.per_receiver.map(|rate| rate.0),
            limit_per_hop: quote.limits.per_hop.map(|rate| rate.0),
            max_hops: quote.limits.max_hops,
            sponsored: quote.sponsored_tlv().map(|rate| rate.0),
            established: quote.established,
            account,
            ..Terms::default()
        },
        ..Dcpe::new(context.currency, SERVICE)
    }
}
