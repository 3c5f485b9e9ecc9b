//! What is written down: consents as they are given, and meters as they turn.

use std::net::IpAddr;

use charging_model::flow::{BranchView, OwnPayment, Payment, Turn, Turned};
use charging_model::{Amount, BranchKey, Entry, Millis};
use rsvp_wire::MessageType;
use rsvp_wire::object::Session;
use sha2::{Digest, Sha256};

use super::super::psb::Psb;
use super::super::record::RecordId;
use super::super::rsb::LOCAL;
use super::super::time::{Instant, Now};
use super::super::{Core, Engine};
use super::exchange::Border;
use super::unwritten::{Opening, Waiting};
use super::{assurance, clock};
use crate::ledger::record;
use crate::ledger::record::{
    AccountId, Body, Cause, Closed, Consent, Gap, Meter, Neighbour, Offer,
};

/// Takes what a flow's meters did since they were last asked: closed segments into the books,
/// turns into records.
pub(super) fn take(core: &mut Core, now: Now, psb: &mut Psb) {
    if psb.flow.as_ref().is_none_or(|flow| flow.is_idle()) {
        return;
    }
    let (number, phop) = (psb.number, psb.previous());
    let border = Border::of(core.charging.as_ref(), psb);
    let Some(flow) = psb.flow.as_mut() else { return };
    let kept = flow.refunds_kept();
    for turn in flow.take_turns(clock(now).now) {
        let body = of_turn(number, phop, &turn);
        let with = body.as_ref().and_then(neighbour_of);
        if let Some(body) = body.filter(|_| !with.is_some_and(|with| core.is_internal(with))) {
            match &body {
                Body::Runs(runs) => {
                    core.purses.turned(now, runs, (core.in_hand, psb.sender));
                    if let Some(kept) = kept {
                        core.returns.turned(runs, core.purses.place_of(&runs.meter), kept);
                    }
                }
                Body::Gap(gap) => {
                    let place = core.purses.billed(now, gap, core.in_hand);
                    if kept.is_some() {
                        core.returns.billed(gap, place);
                    }
                }
                _ => {}
            }
            core.outbox.record(body);
        }
    }
    let Core { charging, interfaces, books, .. } = core;
    let internal =
        |who| charging.as_ref().is_some_and(|context| context.is_internal(interfaces, who));
    books.take(phop, flow, border, internal);
    assurance::take(core, now, psb);
}

impl Engine {
    /// The machine slept from `from` until now, and carried nothing: nobody pays for that.
    pub fn slept(&mut self, now: Now, from: Instant) {
        // What was used up before it slept ended then; in its sleep nothing is spent.
        self.enter(Now { at: from, ..now });
        for slot in self.sessions.slots() {
            self.with_session(slot, |core, session| {
                for psb in &mut session.senders {
                    if let Some(flow) = psb.flow.as_mut() {
                        flow.slept(Millis(from.as_millis()), clock(now).now);
                        take(core, now, psb);
                    }
                }
            });
        }
    }

    /// Takes the balances of neighbours from before this start: what they owe us, less what we owe
    /// them, in 10⁻¹⁵ currency units.
    pub fn carry_in(&mut self, balances: impl IntoIterator<Item = (IpAddr, i128)>) {
        let balances = balances.into_iter().map(|(neighbour, owed)| (neighbour, Amount(owed)));
        self.core.books.carry(balances);
    }

    /// Writes down all that stands, for books that begin anew.
    pub fn declare(&mut self, now: Now) {
        self.core.returns.forget_all();
        for slot in self.sessions.slots() {
            self.with_session(slot, |core, session| {
                let name = session.session;
                for psb in session.senders.iter_mut().filter(|psb| psb.number != 0) {
                    declare(core, now, name, psb);
                }
            });
        }
    }
}

/// Writes down what stands of one flow.
fn declare(core: &mut Core, now: Now, session: Session, psb: &mut Psb) {
    if let Some(detail) = &mut psb.detail {
        detail.untell();
    }
    let (number, phop, at_ms) = (psb.number, psb.previous(), now.at.as_millis());
    let incoming = psb.incoming;
    core.outbox.record(Body::Flow(record::Flow::new(number, session, psb.sender)));
    let Some(flow) = psb.flow.as_mut() else { return };
    flow.forget_metered();
    for view in flow.branches() {
        if core.is_internal(neighbour(view.key)) {
            continue;
        }
        core.outbox.record(Body::Consent(Consent {
            at_ms,
            flow: number,
            payer: neighbour(view.key),
            account: AccountId { kind: view.account.kind(), id: view.account.id().into() },
            ceiling: view.ceiling.0,
            epoch: view.epoch_echo,
            sequence: view.sequence,
            instance: view.instance,
            tariff: core.price_version(incoming, view.key.group),
            digest: [0; 16],
        }));
    }
    let payee = phop.filter(|payee| !core.is_internal(*payee));
    if let (Some(payee), Some(paid)) = (payee, flow.own_ceiling()) {
        let said = flow.preview_payment();
        let of = |field: fn(&OwnPayment) -> u32| said.as_ref().map(field).unwrap_or_default();
        core.outbox.record(Body::Offer(Offer {
            at_ms,
            flow: number,
            payee,
            ceiling: paid.0,
            epoch: of(|said| said.epoch_echo),
            sequence: of(|said| said.sequence),
            instance: of(|said| said.instance),
        }));
    }
    for (entry, rate) in flow.told().collect::<Vec<_>>() {
        let meter = meter(number, phop, entry);
        let Some(meter) = meter.filter(|meter| !core.is_internal(meter.neighbour)) else {
            continue;
        };
        let runs = record::Runs { at_ms, meter, rate: rate.0, cause: Cause::Terms };
        if let Some(kept) = flow.refunds_kept() {
            core.returns.turned(&runs, core.purses.place_of(&meter), kept);
        }
        core.outbox.record(Body::Runs(runs));
    }
}

/// What a meter is paid from was used up at an instant of the past: it stands still since.
pub(crate) fn stop_spending(core: &mut Core, now: Now, psb: &mut Psb, meter: &Meter, at_ms: u64) {
    let Some(flow) = psb.flow.as_mut() else { return };
    match meter.payment {
        record::Payment::SenderIn => flow.stop_sender(Millis(at_ms)),
        _ => {
            let Neighbour { interface: group, address: hop } = meter.neighbour;
            flow.stop_receiver(BranchKey { group, hop }, Millis(at_ms));
        }
    }
    take(core, now, psb);
}

/// The record of a turn; none of what stays within this node.
fn of_turn(flow: u64, phop: Option<Neighbour>, turn: &Turn) -> Option<Body> {
    match *turn {
        Turn::Runs { entry, at, rate, why } => {
            let cause = match why {
                Turned::Terms => Cause::Terms,
                Turned::Lapsed => Cause::Lapsed,
                Turned::Ended => Cause::Ended,
                Turned::Exhausted => Cause::Exhausted,
            };
            let meter = meter(flow, phop, entry)?;
            Some(Body::Runs(record::Runs { at_ms: at.0, meter, rate: rate.0, cause }))
        }
        Turn::Gap { entry, from, to, rate } => {
            let meter = meter(flow, phop, entry)?;
            Some(Body::Gap(Gap { meter, from_ms: from.0, to_ms: to.0, rate: rate.0 }))
        }
    }
}

/// With whom the meter of a turn is.
fn neighbour_of(body: &Body) -> Option<Neighbour> {
    match body {
        Body::Runs(runs) => Some(runs.meter.neighbour),
        Body::Gap(gap) => Some(gap.meter.neighbour),
        _ => None,
    }
}

pub(super) fn meter(flow: u64, phop: Option<Neighbour>, entry: Entry) -> Option<Meter> {
    let next = |key: BranchKey| (key.group != LOCAL).then(|| neighbour(key));
    let (payment, neighbour) = match entry {
        Entry::ReceiverPaymentFrom(key) => (record::Payment::ReceiverIn, next(key)?),
        Entry::SenderPaymentTo(key) => (record::Payment::SenderOut, next(key)?),
        Entry::SenderPaymentFromUpstream => (record::Payment::SenderIn, phop?),
        Entry::ReceiverPaymentToUpstream => (record::Payment::ReceiverOut, phop?),
    };
    Some(Meter { flow, payment, neighbour })
}

fn neighbour(key: BranchKey) -> Neighbour {
    Neighbour { interface: key.group, address: key.hop }
}

impl Psb {
    /// Who is paid as the records name it; `None` for a sender on this node.
    pub(super) fn previous(&self) -> Option<Neighbour> {
        let address: IpAddr = self.payee()?;
        Some(Neighbour { interface: self.incoming, address })
    }
}

/// Gives a flow its number, before anything else is written of it.
fn name(core: &mut Core, session: Session, psb: &mut Psb) {
    if psb.number != 0 {
        return;
    }
    core.named_flows += 1;
    psb.number = core.named_flows;
    core.outbox.record(Body::Flow(record::Flow::new(psb.number, session, psb.sender)));
}

/// Writes down a payer's consent, where it differs from what stood before. What rests on it waits
/// until it is durable, if it opens a reservation.
pub(super) fn consented(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    before: Option<&BranchView>,
    (key, payment): (BranchKey, &Payment),
) {
    let after = psb.flow.as_ref().and_then(|flow| flow.branch(key));
    let Some(after) = after else { return };
    let known = before.filter(|before| before.instance == after.instance);
    if known.is_some_and(|k| k.ceiling == after.ceiling && k.account == after.account) {
        return;
    }
    name(core, session, psb);
    if core.is_internal(neighbour(key)) {
        return;
    }
    if let Some(meter) = meter(psb.number, None, Entry::ReceiverPaymentFrom(key)) {
        core.purses.consented(now, meter, (core.in_hand, psb.sender), &after.account);
    }
    let digest = if core.message.is_empty() { [0; 16] } else { digest(&core.message) };
    let id = core.outbox.record(Body::Consent(Consent {
        at_ms: now.at.as_millis(),
        flow: psb.number,
        payer: neighbour(key),
        account: AccountId { kind: after.account.kind(), id: after.account.id().into() },
        ceiling: after.ceiling.0,
        epoch: payment.epoch_echo,
        sequence: payment.sequence,
        instance: payment.instance,
        tariff: core.price_version(psb.incoming, key.group),
        digest,
    }));
    // Where more is approved than stood, what rests on it is our own offer, if that rises too.
    if known.is_none() {
        let opening = Opening { session: session.key(), sender: psb.sender, payer: key };
        rests_on(core, psb, id, Some(opening));
    }
}

/// What is sent for this sender from now on rests on a record.
fn rests_on(core: &mut Core, psb: &mut Psb, id: RecordId, opens: Option<Opening>) {
    psb.needs = id;
    core.unwritten.push(Waiting { id, flow: psb.number, opens });
}

/// The first half of the SHA-256 of a message.
fn digest(message: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(Sha256::digest(message)) {
        *to = from;
    }
    half
}

/// A payer's consent ended: in order if it, or the sender's side, says so itself, and not where it
/// times out or is refused (T10).
pub(super) fn closed(core: &mut Core, now: Now, psb: &Psb, key: BranchKey) {
    let says_so = [MessageType::PathTear, MessageType::ResvTear, MessageType::Resv];
    let kind = core.message.get(1).copied();
    let orderly = core.closing || says_so.iter().any(|of| kind == Some(u8::from(*of)));
    let (at_ms, flow, payer) = (now.at.as_millis(), psb.number, neighbour(key));
    if core.is_internal(payer) {
        return;
    }
    if let Some(meter) = meter(flow, None, Entry::ReceiverPaymentFrom(key)) {
        core.purses.closed(now, meter);
    }
    core.outbox.record(Body::Closed(Closed { at_ms, flow, payer, orderly }));
}

/// Writes down what this node approved upstream, where it differs from what stood before.
pub(super) fn offered(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    before: Option<u64>,
    paid: &OwnPayment,
) {
    let ceiling = psb.flow.as_ref().and_then(|flow| flow.own_ceiling()).map(|rate| rate.0);
    let (Some(payee), Some(ceiling)) = (psb.previous(), ceiling) else { return };
    if before == Some(ceiling) || psb.number == 0 || core.is_internal(payee) {
        return;
    }
    let id = core.outbox.record(Body::Offer(Offer {
        at_ms: now.at.as_millis(),
        flow: psb.number,
        payee,
        ceiling,
        epoch: paid.epoch_echo,
        sequence: paid.sequence,
        instance: paid.instance,
    }));
    if before.is_none_or(|before| before < ceiling) {
        rests_on(core, psb, id, None);
    }
}
