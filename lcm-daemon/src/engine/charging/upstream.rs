//! UCPE: what the next hops pay, and what we pay the previous one.

use std::net::IpAddr;

use charging_model::flow::{Cause, Flow, Limits, OwnPayment, Payment, Reason, Verdict};
use charging_model::time::{next_serial, serial_newer};
use charging_model::{BranchKey, Flowspec, Rate, Span};
use rsvp_wire::charging::{Terms, Ucpe};
use rsvp_wire::iana::{error_code, policy};
use rsvp_wire::object::{ErrorFlags, ErrorSpec, Filter, FlowSpec, Session, Style};

use super::super::counters::bump;
use super::super::integrity::Disbelief;
use super::super::limits::Limit;
use super::super::path::may_be_source;
use super::super::policy::{Addressee, Concerns, Object};
use super::super::psb::Psb;
use super::super::resv::Request;
use super::super::rsb::Rsb;
use super::super::time::{Instant, Now};
use super::super::{Core, Few};
use super::audit::{self, AlarmKind, Link, note};
use super::{
    Accounts, ChargingFault, Context, Denied, Fault, assurance, branch, charges_on, clock, curve,
    detail, exchange, journal, pricing, serials, unwritten, wire_account,
};
use crate::config::MissingPayment;
use crate::ledger::record::Neighbour;

/// Service number of prices that are not for a reservation: controlled load (RFC 2211).
pub(super) const SERVICE: u16 = 5;

/// What a request for a reservation offers, for each sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct Payments {
    /// What a receiver on this node approves for one sender; it says nothing of others.
    local: Option<(Filter, u64)>,
    /// That receiver wants to know where its charges arise.
    asks: bool,
    /// UCPEs of a neighbour.
    neighbour: Vec<Offered>,
    /// Whose payments were not believed: the senders, and whether only because they are old.
    disbelieved: Vec<(Concerns, bool)>,
    /// The message is about several senders: then a UCPE without a FILTER_SPEC is for none of them.
    several: bool,
}

/// A UCPE of a neighbour.
#[derive(Debug, Clone)]
struct Offered {
    /// The senders that it is for.
    concerns: Concerns,
    /// Who pays: Originating RSVP_HOP; the next hop where nobody is named.
    origin: Option<IpAddr>,
    ucpe: Ucpe,
    /// The period in which it is refreshed, in milliseconds.
    refresh_ms: u32,
}

impl Payments {
    /// What a receiver on this node approves.
    pub(crate) fn of_receiver(sender: Filter, payment: u64) -> Self {
        Self { local: Some((sender, payment)), ..Self::default() }
    }

    /// The receiver on this node wants to know where its charges arise, or not.
    pub(crate) fn asking(self, asks: bool) -> Self {
        Self { asks, ..self }
    }

    /// The UCPEs for one sender, one of each hop that pays for it: with its FILTER_SPEC, or
    /// without any where there is but one sender (charging.md section 5). Nobody pays twice with
    /// one payment.
    fn of(&self, sender: Filter, next_hop: IpAddr) -> Few<(IpAddr, &Offered)> {
        let mut found: Few<(IpAddr, &Offered)> = Few::new();
        for offered in &self.neighbour {
            let for_all = offered.concerns == Concerns::All;
            if !offered.concerns.includes(sender) || (for_all && self.several) {
                continue;
            }
            let origin = offered.origin.unwrap_or(next_hop);
            match found.iter_mut().find(|(other, _)| *other == origin) {
                Some((_, known)) if known.concerns == Concerns::All && !for_all => *known = offered,
                Some(_) => {}
                None => found.push((origin, offered)),
            }
        }
        found
    }

    /// Who pays for one sender, as these say. Who repeats what is older than what is known of it
    /// says nothing: as next hop of its own it would have to wait for the end of its reservation.
    pub(crate) fn payers(&self, psb: &Psb, outgoing: u32, next_hop: IpAddr) -> Few<IpAddr> {
        let Some(flow) = &psb.flow else { return Few::new() };
        let counts = |(origin, offered): (IpAddr, &Offered)| {
            let known = flow.branch(branch(outgoing, origin))?;
            (!serial_newer(known.sequence, offered.ucpe.sequence)).then_some(origin)
        };
        self.of(psb.sender, next_hop).into_iter().filter_map(counts).collect()
    }

    /// The accounts that pay for one sender.
    pub(crate) fn accounts(
        &self,
        sender: Filter,
        next_hop: IpAddr,
    ) -> impl Iterator<Item = &rsvp_wire::charging::Account> {
        self.of(sender, next_hop).into_iter().map(|(_, offered)| &offered.ucpe.account)
    }

    /// The longest period in which any of the UCPEs is refreshed, in milliseconds; 0 without any.
    pub(crate) fn refresh_ms(&self) -> u32 {
        self.neighbour.iter().map(|offered| offered.refresh_ms).max().unwrap_or_default()
    }

    /// Says whether the request is about more than one sender.
    pub(crate) fn for_senders(&mut self, count: usize) {
        self.several |= count > 1;
    }
}

/// How a payment was taken.
#[derive(Debug)]
pub(crate) enum Admission {
    /// The reservation stands at the price.
    Taken,
    /// It stands, though not everybody pays the price: who does not is told what is missing.
    Kept(Vec<Fault>),
    /// It stands as it was; the message was an old one.
    Ignored,
}

/// The charging state of a new sender; `None` on a policy-ignorant node.
pub(crate) fn new_flow(core: &Core) -> Option<Box<Flow>> {
    core.charging.as_ref().map(|context| Box::new(Flow::new(context.transit.clone())))
}

/// The payments that a RESV carries.
pub(super) fn read_payments(
    core: &Core,
    objects: &mut dyn Iterator<Item = Object<'_>>,
    payments: &mut Payments,
) -> Result<(), Fault> {
    let Some(context) = &core.charging else { return Ok(()) };
    for object in objects.filter(|object| object.addressee != Addressee::Another) {
        let Some(element) = object.data.element(context.ptypes.ucpe) else { continue };
        if let Some(why) = core.disbelief(&object.data) {
            let old = why == Disbelief::Replay;
            payments.disbelieved.push((Concerns::of(&object.data), old));
            continue;
        }
        match Ucpe::parse(element.bytes) {
            Ok(ucpe) if ucpe.currency != context.currency => return Err(Fault::FOREIGN_CURRENCY),
            Ok(ucpe) => {
                let origin = object.data.originating_hop().map(|hop| hop.address);
                if origin.is_some_and(|hop| !may_be_source(hop) || core.interfaces.owns(hop)) {
                    // No honest hop: it would be taken for one of ours.
                    return Err(Fault::BAD_ELEMENT);
                }
                let concerns = Concerns::of(&object.data);
                let refresh_ms = object.refresh_ms;
                // Mostly one: no room for more ahead of them.
                payments.neighbour.reserve_exact(1);
                payments.neighbour.push(Offered { concerns, origin, ucpe, refresh_ms });
            }
            Err(error) => Fault::of_element(&error)?,
        }
    }
    Ok(())
}

/// True if any of these hops pays for this sender as it stands.
pub(crate) fn is_paid(psb: &Psb, outgoing: u32, origins: impl IntoIterator<Item = IpAddr>) -> bool {
    let pays = |hop| psb.flow.as_ref().is_none_or(|f| f.branch(branch(outgoing, hop)).is_some());
    origins.into_iter().any(pays)
}

/// True if all of these hops that pay for this sender ask for more than they pay for.
pub(crate) fn is_unpaid(
    psb: &Psb,
    outgoing: u32,
    origins: impl IntoIterator<Item = IpAddr>,
) -> bool {
    let Some(flow) = &psb.flow else { return false };
    let keys = origins.into_iter().map(|hop| branch(outgoing, hop));
    let mut paying = keys.filter(|key| flow.branch(*key).is_some()).peekable();
    paying.peek().is_some() && paying.all(|key| flow.unpaid(key))
}

/// When what a next hop approved for one sender ends, or ended.
pub(crate) fn approved_until(psb: &Psb, outgoing: u32, next_hop: IpAddr) -> Option<Instant> {
    let branch = psb.flow.as_ref()?.branch(branch(outgoing, next_hop))?;
    Some(Instant::from_millis(branch.approved_until.0))
}

/// Decides on what is paid for one sender. The reservation stands if one of those who pay is
/// accepted or paid before, each at its own price; the others are told what is missing. On errors
/// nothing was installed.
pub(super) fn admit(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    request: &Request,
) -> Result<Admission, Vec<Fault>> {
    if !charges_on(core, psb, request.outgoing) {
        return Ok(Admission::Taken);
    }
    let key = branch(request.outgoing, request.next_hop);
    match request.policy.payments.local {
        Some((sender, payment)) if sender == psb.sender => {
            let quantity = if request.proxied { bits(request) } else { 0 };
            let style = request.selection.style();
            let flowspec = pricing::reserved(core, psb, style, &request.flowspec);
            let consent = (payment, quantity, flowspec);
            let local = pricing::of_request(core, psb, request);
            let verdict = renew(core, now, session, psb, key, consent, local);
            detail::asks(core, psb, key, request.policy.payments.asks);
            return verdict.map_err(|fault| vec![fault]);
        }
        Some(_) => return Ok(Admission::Ignored),
        None => {}
    }
    let offers = request.policy.payments.of(psb.sender, request.next_hop);
    if offers.is_empty() {
        let disbelieved = &request.policy.payments.disbelieved;
        let mut here = disbelieved.iter().filter(|(concerns, _)| concerns.includes(psb.sender));
        if let Some((_, old)) = here.next() {
            let old = *old && here.all(|(_, old)| *old);
            return if old { Ok(Admission::Ignored) } else { Err(vec![Fault::POLICY_INTEGRITY]) };
        }
        reprice_at_admission(core, now, psb, key);
        return without_payment(core, psb, request).map_err(|fault| vec![fault]);
    }
    let (mut stands, mut faults) = (false, Vec::new());
    for (hop, offered) in offers {
        let key = BranchKey { hop, ..key };
        match take_payment(core, now, session, psb, key, offered, request) {
            Ok(Admission::Taken) => stands = true,
            Ok(Admission::Kept(missing)) => {
                stands = true;
                faults.extend(missing);
            }
            Ok(Admission::Ignored) => {}
            Err(fault) => faults.push(fault),
        }
    }
    match (stands, faults.is_empty()) {
        (true, true) => Ok(Admission::Taken),
        (true, false) => Ok(Admission::Kept(faults)),
        (false, true) => Ok(Admission::Ignored),
        (false, false) => Err(faults),
    }
}

/// Takes the UCPE of one of those who pay for a sender.
fn take_payment(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    key: BranchKey,
    offered: &Offered,
    request: &Request,
) -> Result<Admission, Fault> {
    let Offered { ucpe, refresh_ms, .. } = offered;
    if !may_join(core, psb, key) {
        return Err(Limit::NextHops.in_resv());
    }
    reprice_at_admission(core, now, psb, key);
    if let Some(flow) = psb.flow.as_mut() {
        flow.set_upstream_veiled(psb.announcer.is_some());
    }
    let mut payment = payment_of(&mut core.accounts, ucpe, *refresh_ms, bits(request));
    let style = request.selection.style();
    payment.flowspec = pricing::reserved(core, psb, style, &request.flowspec);
    let local = pricing::of_request(core, psb, request);
    let link = Link::to(key, session, psb.sender);
    let known = psb.flow.as_ref().and_then(|flow| flow.branch(key)).map(|b| b.sequence);
    if let Err(denied) = may_pay(core, now, psb, key, &payment) {
        let fault = Fault::denied(core, psb, key, denied, ucpe);
        bump(&mut core.counters.payments_refused, fault.reason);
        return Err(fault);
    }
    curve::ask(now, psb, key, &payment, &request.flowspec);
    let verdict = pay(core, now, session, psb, key, payment, local)?;
    detail::asks(core, psb, key, detail::wants_hops(ucpe));
    assurance::agree(core, now, psb, key, &ucpe.terms);
    match verdict {
        Some(Verdict::Kept { required, .. }) => {
            core.counters.payments_kept += 1;
            Ok(Admission::Kept(vec![Fault::kept(core, psb, key, required.0, ucpe)]))
        }
        Some(Verdict::Refused(refusal)) => {
            let fault = Fault::refused(core, psb, key, &refusal, ucpe);
            if refusal.reason == Reason::InstanceRemoved {
                let instance = format!("instance {}", ucpe.instance);
                note(core, now, link, AlarmKind::RemovedInstance, true, ("a new one", instance));
            }
            bump(&mut core.counters.payments_refused, fault.reason);
            Err(fault)
        }
        Some(Verdict::Stale) => {
            core.counters.drop("stale_payment");
            let known = format!("sequence {}", known.unwrap_or_default());
            let said = format!("sequence {}", ucpe.sequence);
            note(core, now, link, AlarmKind::OldSequence, true, (known, said));
            Ok(Admission::Ignored)
        }
        Some(Verdict::Accepted { .. }) | None => {
            core.counters.payments_accepted += 1;
            Ok(Admission::Taken)
        }
    }
}

/// Whether who pays has the money: asked where a reservation begins, where another account is named
/// and where a silent payer comes back, who is billed for the gap at once. In between its account
/// has an alarm.
pub(super) fn may_pay(
    core: &Core,
    now: Now,
    psb: &Psb,
    key: BranchKey,
    payment: &Payment,
) -> Result<(), Denied> {
    let Some(flow) = psb.flow.as_ref().filter(|_| core.purses.is_on()) else { return Ok(()) };
    if core.is_internal(Neighbour { interface: key.group, address: key.hop }) {
        return Ok(());
    }
    let known = flow.branch(key).filter(|b| b.instance == payment.instance);
    let mut gap = 0;
    if let Some(branch) = known.filter(|b| b.account == payment.account) {
        let silent = clock(now).now.since(branch.approved_until).0;
        if silent == 0 {
            return Ok(());
        }
        gap = u128::from(branch.receiver_payment.0).saturating_mul(silent.into());
    }
    let rate = flow.due_of(key).unwrap_or(payment.payment).0;
    core.purses.admits(now, core.in_hand, (key.hop, Some(&payment.account)), (rate, gap))
}

/// Whether there is room for one more who pays behind an interface.
fn may_join(core: &Core, psb: &Psb, key: BranchKey) -> bool {
    let Some(flow) = &psb.flow else { return true };
    let here = || flow.branches().filter(|b| b.key.group == key.group).count();
    flow.branch(key).is_some() || here() < core.config.limits.max_next_hops as usize
}

/// A UCPE as the model takes it; `quantity` is what is reserved, in bit/s.
fn payment_of(accounts: &mut Accounts, ucpe: &Ucpe, refresh_ms: u32, quantity: u64) -> Payment {
    Payment {
        payment: Rate(ucpe.payment),
        announced_total: Rate(ucpe.announced_total),
        sender_payment: Rate(ucpe.sender_payment),
        local_sum: Rate(ucpe.local_sum),
        epoch_echo: ucpe.epoch_echo,
        sequence: ucpe.sequence,
        instance: ucpe.instance,
        account: accounts.get(ucpe.account.kind.into(), ucpe.account.id.as_bytes()),
        refresh: Span(u64::from(refresh_ms)),
        quantity,
        receivers_below: ucpe.terms.receivers_below.unwrap_or(1),
        flowspec: None,
        limits: Limits {
            per_receiver: ucpe.terms.limit_per_receiver.map(Rate),
            per_hop: ucpe.terms.limit_per_hop.map(Rate),
            max_hops: None,
        },
    }
}

/// What is reserved for one flow, in bits per second; 0 where flows share it. The flowspec of a
/// shared reservation travels with whichever sender was paid for first: a hop that took it for the
/// growth of each flow would wait for an ESTABLISHED that the previous hop, which saw nothing grow,
/// has no reason to send (T12).
fn bits(request: &Request) -> u64 {
    bits_of(request.selection.style(), &request.flowspec)
}

fn bits_of(style: Style, flowspec: &FlowSpec) -> u64 {
    match style {
        Style::FixedFilter => flowspec.tspec().rate.to_integer().saturating_mul(8),
        _ => 0,
    }
}

/// Hands a payment to the model, and records the consent if it differs from what stood. `local` is
/// what the reservation costs here, where that goes by what is reserved.
pub(super) fn pay(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    key: BranchKey,
    mut payment: Payment,
    local: Option<Rate>,
) -> Result<Option<Verdict>, Fault> {
    payment.payment = unwritten::acceptable(core, psb, key, &payment)?;
    let Some(flow) = psb.flow.as_mut() else { return Ok(None) };
    let before = flow.branch(key);
    let verdict = flow.on_ucpe_at(clock(now), key, &payment, local);
    journal::consented(core, now, session, psb, before.as_ref(), (key, &payment));
    journal::take(core, now, psb);
    Ok(Some(verdict))
}

/// A price that waited for the next new reservation on its interface takes effect now (T6).
fn reprice_at_admission(core: &mut Core, now: Now, psb: &mut Psb, key: BranchKey) {
    let Some(flow) = psb.flow.as_mut() else { return };
    if flow.branch(key).is_some() {
        return;
    }
    let Some(port) = core.interfaces.get_mut(key.group) else { return };
    let Some(new) = port.price_at_admission.take() else { return };
    let max = port.settings.tariff.max_price_pico_per_s().max(new);
    port.set_price(new, max);
    core.repriced.push(key.group);
    if let Some(price) = pricing::quoted(core, key.group, &psb.facts.tspec)
        && flow.set_group(clock(now), key.group, price).is_err()
    {
        core.counters.drop("price_overflow");
    }
}

/// A RESV without a UCPE. One that came before with a longer period of its own (PRT) goes on to
/// count (RFC 2750 section 3.2).
fn without_payment(core: &mut Core, psb: &Psb, request: &Request) -> Result<Admission, Fault> {
    let before = request.payers.iter().filter(|payer| payer.sender == psb.sender);
    let hops = before.map(|payer| payer.origin).chain([request.next_hop]);
    let paid_before = is_paid(psb, request.outgoing, hops);
    if paid_before && request.paid_before {
        return Ok(Admission::Taken);
    }
    let contract = core.charging.as_ref().map(|context| context.contract(Some(request.next_hop)));
    match contract.map(|agreed| agreed.on_missing_payment) {
        Some(MissingPayment::Free) if !paid_before => Ok(Admission::Taken),
        _ => {
            let fault = Fault::MISSING_PAYMENT;
            bump(&mut core.counters.payments_refused, fault.reason);
            Err(fault)
        }
    }
}

/// What is agreed to for a receiver without RSVP is numbered as if it were long past, in seconds:
/// once the receiver speaks for itself, what it says is newer (T17).
const PROXY_LAG_S: u32 = 1 << 28;

/// The consent of the receiver on this node, or of one that this node reserves for, given or
/// repeated: the payment, what is reserved in bit/s, and what that costs here (see
/// [`pricing::of_request`]).
fn renew(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    key: BranchKey,
    (payment, quantity, flowspec): (u64, u64, Option<Flowspec>),
    local: Option<Rate>,
) -> Result<Admission, Fault> {
    let Some(context) = &core.charging else { return Ok(Admission::Taken) };
    let Some(flow) = psb.flow.as_ref() else { return Ok(Admission::Taken) };
    let proxy = core.receiver_proxy(session, key.group);
    let (account, serial_s) = match (key.is_local(), proxy.and_then(|p| p.account.as_ref())) {
        (true, _) => (context.general.account.clone(), now.serial_s),
        (false, own) => {
            let agreed = || context.contract(Some(key.hop)).account.clone();
            (own.map_or_else(agreed, wire_account), now.serial_s.wrapping_sub(PROXY_LAG_S))
        }
    };
    let account = &account;
    let quote = flow.quote_for(key).or_else(|| flow.quote(key.group));
    let announced = quote.as_ref().filter(|_| !key.is_local()).map(|quote| quote.total);
    let known = flow.branch(key);
    let changed = known.as_ref().is_none_or(|branch| branch.ceiling.0 != payment);
    let sequence = match known.as_ref().map(|branch| branch.sequence) {
        Some(last) if !changed => last,
        Some(last) => next_serial(Some(last), serial_s),
        None => flow.next_instance(key, serial_s),
    };
    let offered = Payment {
        payment: Rate(payment),
        announced_total: announced.unwrap_or(Rate::ZERO),
        sender_payment: Rate::ZERO,
        local_sum: Rate::ZERO,
        epoch_echo: quote.map_or(0, |quote| quote.epoch),
        sequence,
        instance: known.as_ref().map_or(sequence, |branch| branch.instance),
        account: core.accounts.get(account.kind.into(), account.id.as_bytes()),
        refresh: Span(u64::from(core.config.rsvp.refresh_ms)),
        // What a receiver here reserves grows at the previous hop, if anywhere.
        quantity,
        receivers_below: 1,
        flowspec,
        limits: Limits::default(),
    };
    let mut ucpe = Ucpe::new(context.currency, SERVICE, account.clone());
    (ucpe.payment, ucpe.sequence) = (payment, sequence);
    if !key.is_local()
        && let Err(denied) = may_pay(core, now, psb, key, &offered)
    {
        let fault = Fault::denied(core, psb, key, denied, &ucpe);
        bump(&mut core.counters.payments_refused, fault.reason);
        return Err(fault);
    }
    match pay(core, now, session, psb, key, offered, local)? {
        Some(Verdict::Refused(refusal)) => Err(Fault::refused(core, psb, key, &refusal, &ucpe)),
        Some(Verdict::Kept { required, .. }) => {
            Ok(Admission::Kept(vec![Fault::kept(core, psb, key, required.0, &ucpe)]))
        }
        _ => Ok(Admission::Taken),
    }
}

/// Repeats what the receiver on this node, or one that it reserves for, approved last.
pub(crate) fn renew_local(core: &mut Core, now: Now, session: Session, psb: &mut Psb, rsb: &Rsb) {
    let key = branch(rsb.outgoing, rsb.next_hop);
    let quantity = if rsb.proxied { bits_of(rsb.selection.style(), &rsb.flowspec) } else { 0 };
    let approved = psb.flow.as_ref().and_then(|flow| flow.branch(key)).map(|b| b.ceiling.0);
    if let Some(payment) = approved {
        let flowspec = pricing::reserved(core, psb, rsb.selection.style(), &rsb.flowspec);
        // What was good before is good again, or is answered when the price is looked at.
        let _ = renew(core, now, session, psb, key, (payment, quantity, flowspec), None);
    }
}

/// What a receiver on this node would pay now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalDue {
    pub(crate) payment: u64,
    pub(crate) total: u64,
    pub(crate) max_total: u64,
    pub(crate) epoch: u32,
    /// It has approved exactly this already.
    pub(crate) approved: bool,
}

/// The price of a sender for a receiver on this node, or for one that it reserves for; `None` before
/// one was announced.
pub(crate) fn due_of(psb: &Psb, key: BranchKey) -> Option<LocalDue> {
    let flow = psb.flow.as_ref()?;
    let quote = flow.quote_for(key).or_else(|| flow.quote(key.group))?;
    let payment = quote.receiver_payment();
    let approved = flow.branch(key).is_some_and(|branch| branch.ceiling == payment);
    Some(LocalDue {
        payment: payment.0,
        total: quote.total.0,
        max_total: quote.max_total.0,
        epoch: quote.epoch,
        approved,
    })
}

/// What we pay the previous hop with the RESV that is sent now.
pub(super) fn own_payment(core: &mut Core, now: Now, psb: &mut Psb) -> Option<Ucpe> {
    let flow = psb.flow.as_mut()?;
    let mut clock = clock(now);
    if std::mem::take(&mut psb.outdated) {
        clock.unix_s = serials::further(flow.last_sequence(), clock.unix_s);
    }
    psb.held_back = false;
    let before = flow.own_ceiling().map(|rate| rate.0);
    let paid = flow.own_payment(clock);
    if let Some(paid) = &paid {
        journal::offered(core, now, psb, before, paid);
    }
    journal::take(core, now, psb);
    let paid = paid?;
    let mut ucpe = ucpe_of(core.charging.as_ref()?, psb.payee(), &paid);
    let accepted = psb.flow.as_ref().map(|flow| flow.refund_accepted()).unwrap_or_default();
    ucpe.terms.refund = assurance::of_grant(accepted);
    exchange::sell(core, now, psb, &paid, &mut ucpe);
    detail::ask(core, psb, &mut ucpe);
    Some(ucpe)
}

/// The previous hop refused what we offered (T5, T18): unless our old reservation stays in place,
/// nothing of ours is there any more.
pub(crate) fn own_refused(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    error: &ErrorSpec,
    charging: Option<&ChargingFault>,
) {
    let in_place = error.flags.contains(ErrorFlags::IN_PLACE);
    if error.code != error_code::POLICY || in_place {
        return;
    }
    let Some(charging) = charging.filter(|fault| fault.concerns(psb.sender)) else { return };
    let charging = &charging.error;
    let Some(flow) = psb.flow.as_mut() else { return };
    if flow.last_sequence() != Some(charging.sequence) {
        // It is about an offer that we have changed since.
        return core.counters.drop("refusal_of_an_older_payment");
    }
    let required = exchange::required(core.charging.as_ref(), psb, charging.required);
    let Some(flow) = psb.flow.as_mut() else { return };
    flow.on_own_refused(clock(now), Rate(required));
    psb.outdated = charging.reason == policy::EXPIRED;
    psb.held_back = ![policy::EXPIRED, policy::EXCEED].contains(&charging.reason);
    journal::take(core, now, psb);
}

/// The next hops on an interface refuse the account that sender payments would debit: the sender's
/// side pays nothing of what lies behind it (charging.md section 6).
pub(crate) fn sender_refused(core: &mut Core, now: Now, psb: &mut Psb, interface: u32) -> bool {
    if !charges_on(core, psb, interface) || !psb.outgoing.contains(&interface) {
        return false;
    }
    if let Some(flow) = psb.flow.as_mut() {
        flow.on_sender_refused(clock(now), interface);
    }
    true
}

fn ucpe_of(context: &Context, payee: Option<IpAddr>, paid: &OwnPayment) -> Ucpe {
    let terms = Terms {
        limit_per_receiver: paid.limits.per_receiver.map(|rate| rate.0),
        limit_per_hop: paid.limits.per_hop.map(|rate| rate.0),
        // Whoever says nothing has one.
        receivers_below: Some(paid.receivers_below).filter(|count| *count > 1),
        ..Terms::default()
    };
    Ucpe {
        terms,
        payment: paid.payment.0,
        announced_total: paid.announced_total.0,
        sender_payment: paid.sender_payment.0,
        local_sum: paid.local_sum.0,
        epoch_echo: paid.epoch_echo,
        sequence: paid.sequence,
        instance: paid.instance,
        ..Ucpe::new(context.currency, SERVICE, context.contract(payee).account.clone())
    }
}

/// Who paid for a reservation does so no more: closes its meters.
pub(crate) fn release(core: &mut Core, now: Now, session: Session, psb: &mut Psb, key: BranchKey) {
    let Some(flow) = psb.flow.as_mut() else { return };
    if flow.remove_branch(clock(now), key, Cause::Tear).is_some() {
        journal::take(core, now, psb);
        audit::take(core, now, session, psb);
        journal::closed(core, now, psb, key);
    }
}

/// A sender is gone: closes all its meters.
pub(crate) fn settle(core: &mut Core, now: Now, session: Session, psb: &mut Psb) {
    let keys: Vec<BranchKey> = match &psb.flow {
        Some(flow) => {
            serials::remember(&mut core.unused_serial, now, flow);
            flow.branches().map(|branch| branch.key).collect()
        }
        None => return,
    };
    for key in keys {
        release(core, now, session, psb, key);
    }
    core.purses.forget_sender(core.in_hand, psb.sender);
    core.returns.forget(psb.number);
}
