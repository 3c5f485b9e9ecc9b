//! Policy control (RFC 2750): elements of POLICY_DATA are handed to handlers by their P-Type; what
//! no handler takes goes on as through a policy-ignorant node.
//!
//! ```text
//! PATH, RESV ─▶ read_path, read_resv ─┬─ taken, for us ────▶ decoded once, kept with the message
//!                (before any state    ├─ taken, for another ▶ ignored, or carried if so wished
//!                 changes)            └─ not taken ─────────▶ Carried, byte for byte
//! PSB, RSB   ─▶ path_in, resv_in      the handler's decision, by sender
//!            ─▶ resv_offer            what we may ask upstream at all
//!            ─▶ path_out, resv_out    POLICY_DATA written into the outgoing message
//! ```
//!
//! Charging is one handler. It keeps a [`Flow`](charging_model::flow::Flow) per sender; simpler
//! ones keep the elements themselves, which [`Elements`] does for them by the rules of RFC 2750
//! section 3.4.

mod carried;
mod credential;
mod elements;
mod identity;
#[cfg(test)]
mod identity_tests;
mod preemption;
#[cfg(test)]
mod tests;

pub(crate) use carried::{Carried, Concerns};
pub(crate) use elements::Elements;
pub(crate) use identity::{Identities, explained};
pub(crate) use preemption::{Preemption, add_priority, defending, preempting};

use std::net::IpAddr;
use std::sync::Arc;

use rsvp_wire::iana::ptype;
use rsvp_wire::message::{Path, Resv};
use rsvp_wire::object::{Filter, FilterSpec, Hop, PolicyData, PolicyElement, Session};
use rsvp_wire::{BufferTooSmall, MessageWriter, PolicyOptions};

use super::Core;
use super::charging::{Admission, Announced, Fault, Payments};
use super::limits::Limit;
use super::path::Arrived;
use super::psb::Psb;
use super::resv::Request;
use super::rsb::Rsb;
use super::time::{Now, lifetime};
use crate::config::Credential;

/// Whom a POLICY_DATA object is for (RFC 2750 section 3.2, Destination RSVP_HOP).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addressee {
    Everybody,
    Us,
    Another,
}

/// A hop: interface and address.
pub(crate) type Neighbour = (u32, IpAddr);

/// One POLICY_DATA object of a message with its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object<'a> {
    pub(crate) data: PolicyData<'a>,
    /// Interface and address of the hop whose message it is in; none in an error.
    pub(crate) from: Option<Neighbour>,
    pub(crate) addressee: Addressee,
    /// The period in which its elements are refreshed, in milliseconds: N · R, N = ⌊PRT / R⌋.
    pub(crate) refresh_ms: u32,
    /// N > 1: its elements outlast messages that leave them out.
    pub(crate) slow: bool,
}

impl<'a> Object<'a> {
    /// `refresh_ms` is the R of the message. PRT beyond the longest R that is accepted counts as
    /// that: the provider carries what a payer that falls silent does not pay.
    fn new(core: &Core, data: PolicyData<'a>, from: Option<Neighbour>, refresh_ms: u32) -> Self {
        let addressee = match data.destination_hop() {
            None => Addressee::Everybody,
            Some(hop) if core.interfaces.owns(hop.address) => Addressee::Us,
            Some(_) => Addressee::Another,
        };
        let period = data.time_values().map_or(0, |prt| prt.refresh_ms);
        let period = period.min(core.config.rsvp.accept_refresh_max_ms);
        let multiplier = period.checked_div(refresh_ms).unwrap_or(1).max(1);
        let refresh_ms = multiplier * refresh_ms;
        Self { data, from, addressee, refresh_ms, slow: multiplier > 1 }
    }
}

/// What a PATH says to handlers, decoded.
#[derive(Debug, Clone)]
pub(crate) struct PathPolicy {
    pub(crate) announced: Announced,
    pub(crate) elements: Elements,
    pub(crate) carried: Option<Carried>,
}

/// What a RESV says to handlers about the senders of one descriptor, decoded.
#[derive(Debug, Default)]
pub(crate) struct ResvPolicy {
    pub(crate) payments: Payments,
    pub(crate) elements: Elements,
    pub(crate) carried: Option<Carried>,
}

/// Where a handler writes into a RESV: one call a sender.
pub(crate) struct ResvOut<'a> {
    pub(crate) own: Hop,
    pub(crate) session: Session,
    /// The interface that it goes out of, and to whom.
    pub(crate) interface: u32,
    pub(crate) phop: IpAddr,
    /// The first of the senders of the message.
    pub(crate) first: bool,
    /// Who the receiver on this node is, if that is what the message is about.
    pub(crate) identity: Option<&'a Credential>,
    pub(crate) sender: Filter,
    /// The message is about several senders: FILTER_SPEC says which (RFC 2750 section 3.2).
    pub(crate) named: bool,
    /// All reservations of the session; those for the sender are to be merged.
    pub(crate) below: &'a [Rsb],
    /// What [`Handler::resv_offer`] decided.
    pub(crate) offer: &'a Offer,
}

/// What this node offers the previous hop for one sender.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    pub(crate) payment: Option<rsvp_wire::charging::Ucpe>,
    /// It says for which sender it is, whatever else the message is about.
    pub(crate) named: bool,
    /// How it is signed, if it is.
    pub(crate) integrity: Option<rsvp_wire::object::Integrity<'static>>,
}

/// A local policy decision point for some P-Types. The defaults keep the elements, and pass on
/// nothing.
pub(crate) trait Handler: std::fmt::Debug + Send + Sync {
    /// Whether an element is this handler's; one that is nobody's is carried on.
    fn takes(&self, element: &PolicyElement<'_>) -> bool;

    /// Whether it takes elements out of this object at all.
    fn takes_from(&self, _core: &Core, _object: &Object<'_>) -> bool {
        true
    }

    /// Tells elements of one P-Type apart that are active side by side.
    fn part(&self, _element: &PolicyElement<'_>) -> u8 {
        0
    }

    /// Whether elements addressed to another node go on to it, or end here because their makers
    /// send them to neighbours only.
    fn carries_for_others(&self) -> bool {
        true
    }

    /// Decodes the elements of a PATH; nothing is decided yet, and no state is there.
    fn read_path(
        &self,
        core: &Core,
        objects: &mut dyn Iterator<Item = Object<'_>>,
        into: &mut PathPolicy,
    ) -> Result<(), Fault> {
        into.elements.take(core, self, objects);
        Ok(())
    }

    /// Decodes the elements of a RESV.
    fn read_resv(
        &self,
        core: &Core,
        objects: &mut dyn Iterator<Item = Object<'_>>,
        into: &mut ResvPolicy,
    ) -> Result<(), Fault> {
        into.elements.take(core, self, objects);
        Ok(())
    }

    /// Judges a PATH from another previous hop than its sender's, with which nothing was settled yet:
    /// nothing changes. What is refused here leaves the reservation where it is.
    fn path_may_move(
        &self,
        _core: &mut Core,
        _now: Now,
        _psb: &Psb,
        _arrived: &Arrived,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// Judges a PATH; on an error nothing has changed. False: it is older than what is known, and
    /// refreshes nothing.
    fn path_in(
        &self,
        _core: &mut Core,
        _now: Now,
        _psb: &mut Psb,
        _arrived: &Arrived,
    ) -> Result<bool, Fault> {
        Ok(true)
    }

    /// Writes POLICY_DATA into a PATH; an error keeps it from being sent, and is counted.
    fn path_out(
        &self,
        _core: &mut Core,
        _now: Now,
        _psb: &mut Psb,
        _session: Session,
        _own: Hop,
        _out: &mut Out,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    /// Decides on a reservation for one sender; on errors, of which there may be one for each hop
    /// behind the next one, nothing was installed.
    fn resv_in(
        &self,
        _core: &mut Core,
        _now: Now,
        _session: Session,
        _psb: &mut Psb,
        _request: &Request,
    ) -> Result<Admission, Vec<Fault>> {
        Ok(Admission::Taken)
    }

    /// Decides what to offer the previous hop for one sender. False: it cannot be asked now.
    fn resv_offer(&self, _core: &mut Core, _now: Now, _psb: &mut Psb, _offer: &mut Offer) -> bool {
        true
    }

    /// Writes POLICY_DATA into a RESV.
    fn resv_out(&self, _core: &Core, _about: &ResvOut<'_>, _out: &mut Out) {}
}

/// The handlers of a node. Shared, so that one can be called with the node in hand.
pub(crate) type Handlers = Arc<[Box<dyn Handler>]>;

/// POLICY_DATA objects to be written, in a buffer that is used again and again.
#[derive(Debug, Default)]
pub(crate) struct Out(Vec<u8>);

/// The buffer is no state: a copy of a node starts with an empty one.
impl Clone for Out {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Out {
    /// Appends a POLICY_DATA object of at most `room` bytes.
    pub(crate) fn object(
        &mut self,
        options: &PolicyOptions<'_>,
        room: usize,
        elements: impl FnOnce(&mut rsvp_wire::Sink<'_>),
    ) {
        let start = self.0.len();
        self.0.resize(start + room, 0);
        let mut sink = rsvp_wire::Sink::new(self.0.get_mut(start..).unwrap_or_default());
        rsvp_wire::write_policy_data(&mut sink, options, elements);
        // What needs more room than any element of ours has is not written at all.
        let length = sink.position();
        self.0.truncate(if length <= room { start + length } else { start });
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Reads the policy data of a PATH, and what it has carried on.
pub(crate) fn read_path(
    core: &Core,
    now: Now,
    path: &Path<'_>,
    incoming: u32,
    refresh_ms: u32,
) -> Result<PathPolicy, Fault> {
    let from = (incoming, path.hop.address);
    let mut policy =
        PathPolicy { announced: Announced::Unread, elements: Elements::default(), carried: None };
    for handler in core.handlers.iter() {
        let mut objects =
            path.policy_data().map(|data| Object::new(core, data, Some(from), refresh_ms));
        handler.read_path(core, &mut objects, &mut policy)?;
    }
    let unknown = path.unknown().map(|object| object.bytes);
    policy.carried = carry(core, now, path.policy_data(), unknown, None, (from, refresh_ms))
        .map_err(Limit::in_path)?;
    Ok(policy)
}

/// Reads the policy data of a RESV that concerns the senders of one descriptor; all with none.
pub(crate) fn read_resv(
    core: &Core,
    now: Now,
    resv: &Resv<'_>,
    senders: &[Filter],
    refresh_ms: u32,
) -> Result<ResvPolicy, Fault> {
    let mut policy = ResvPolicy::default();
    let from = (resv.hop.lih, resv.hop.address);
    for handler in core.handlers.iter() {
        let mut objects =
            resv.policy_data().map(|data| Object::new(core, data, Some(from), refresh_ms));
        handler.read_resv(core, &mut objects, &mut policy)?;
    }
    let named = resv.flows().filter(|flow| flow.filter.is_some()).count();
    policy.payments.for_senders(named);
    let unknown = resv.unknown().map(|object| object.bytes);
    let about = (resv.style == rsvp_wire::object::Style::FixedFilter).then_some(senders);
    policy.carried = carry(core, now, resv.policy_data(), unknown, about, (from, refresh_ms))
        .map_err(Limit::in_resv)?;
    Ok(policy)
}

/// What goes on byte for byte: POLICY_DATA of which no handler takes an element, the rest of
/// objects that have both, what is for another node, and unknown objects.
fn carry<'a>(
    core: &Core,
    now: Now,
    policy: impl Iterator<Item = PolicyData<'a>>,
    unknown: impl Iterator<Item = &'a [u8]>,
    about: Option<&[Filter]>,
    (from, refresh_ms): (Neighbour, u32),
) -> Result<Option<Carried>, Limit> {
    let k = u32::from(core.config.rsvp.lifetime_multiplier);
    let most = core.config.limits.max_policy_bytes as usize;
    let mut carried = carried::Collected::default();
    let mut length = 0;
    for data in policy {
        length += data.bytes().len();
        let object = Object::new(core, data, Some(from), refresh_ms);
        let concerns = Concerns::of(&data);
        if about.is_some_and(|senders| !senders.iter().any(|sender| concerns.includes(*sender))) {
            continue;
        }
        let until = object.slow.then(|| now.at + lifetime(object.refresh_ms, k));
        let goes_on = |element: &PolicyElement<'_>| goes_on(core, &object, element);
        if data.elements().all(|element| goes_on(&element)) {
            carried.push(data.bytes(), carried::Identity::of(&data, concerns), until);
        } else if let Some(rest) = without(&data, goes_on) {
            carried.push(&rest, carried::Identity::of(&data, concerns), until);
        }
    }
    for object in unknown {
        length += object.len();
        carried.push(object, carried::Identity::NONE, None);
    }
    if length > most {
        return Err(Limit::PolicyBytes);
    }
    Ok(carried.finish(&core.neighbours.carried))
}

fn goes_on(core: &Core, object: &Object<'_>, element: &PolicyElement<'_>) -> bool {
    match core.handlers.iter().find(|h| h.takes(element) && h.takes_from(core, object)) {
        Some(handler) => object.addressee == Addressee::Another && handler.carries_for_others(),
        None => true,
    }
}

/// An object with some elements only: with its options, but without its INTEGRITY, which covered
/// what is gone.
fn without(data: &PolicyData<'_>, kept: impl Fn(&PolicyElement<'_>) -> bool) -> Option<Vec<u8>> {
    if !data.elements().any(|element| kept(&element)) {
        return None;
    }
    let filters: Vec<FilterSpec> = data.filter_specs().collect();
    let scope: Vec<IpAddr> = data.scope().into_iter().flatten().collect();
    let options = PolicyOptions {
        filters: &filters,
        scope: &scope,
        originating: data.originating_hop(),
        destination: data.destination_hop(),
        integrity: None,
        refresh: data.time_values(),
    };
    let mut out = Out::default();
    out.object(&options, data.bytes().len(), |sink| {
        data.elements().filter(|element| kept(element)).for_each(|element| sink.put(element.bytes));
    });
    Some(out.0)
}

/// The POLICY_DATA of an error message that goes on beyond this node: handlers have read theirs.
pub(crate) fn error_onward<'a>(
    core: &Core,
    objects: impl Iterator<Item = PolicyData<'a>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    for data in objects {
        let object = Object::new(core, data, None, 0);
        let kept = |element: &PolicyElement<'_>| {
            // It is for whoever asked with a priority (RFC 3181 section 6).
            element.ptype == ptype::PREEMPTION_PRI || goes_on(core, &object, element)
        };
        if data.elements().all(|element| kept(&element)) {
            bytes.extend_from_slice(data.bytes());
        } else {
            bytes.extend(without(&data, kept).unwrap_or_default());
        }
    }
    bytes
}

/// A policy error must carry POLICY_DATA (RFC 2750 section 4.3): where no handler has anything to
/// say, an object that names its maker.
pub(crate) fn write_bare(writer: &mut MessageWriter<'_>, own: Hop) -> Result<(), BufferTooSmall> {
    writer.policy_data(&PolicyOptions::from_hop(own), |_| {})
}

/// Asks all handlers whether a PATH may take its sender to another previous hop.
pub(crate) fn path_may_move(
    core: &mut Core,
    now: Now,
    psb: &Psb,
    arrived: &Arrived,
) -> Result<(), Fault> {
    let handlers = Arc::clone(&core.handlers);
    handlers.iter().try_for_each(|handler| handler.path_may_move(core, now, psb, arrived))
}

/// Asks all handlers about a PATH, in their order; the first that refuses decides.
pub(crate) fn path_in(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    arrived: &Arrived,
) -> Result<bool, Fault> {
    let mut fresh = true;
    for handler in Arc::clone(&core.handlers).iter() {
        fresh &= handler.path_in(core, now, psb, arrived)?;
    }
    Ok(fresh)
}

/// Collects what handlers write into a PATH.
pub(crate) fn path_out(
    core: &mut Core,
    now: Now,
    psb: &mut Psb,
    session: Session,
    own: Hop,
    out: &mut Out,
) -> Result<(), &'static str> {
    out.clear();
    Arc::clone(&core.handlers)
        .iter()
        .try_for_each(|handler| handler.path_out(core, now, psb, session, own, out))
}

/// Asks all handlers about a reservation for one sender: it stands if all take it. Charging comes
/// last, so that nobody pays for what another one refuses.
pub(crate) fn resv_in(
    core: &mut Core,
    now: Now,
    session: Session,
    psb: &mut Psb,
    request: &Request,
) -> Result<Admission, Vec<Fault>> {
    let mut admission = Admission::Taken;
    for handler in Arc::clone(&core.handlers).iter() {
        match handler.resv_in(core, now, session, psb, request)? {
            Admission::Taken => {}
            Admission::Ignored => return Ok(Admission::Ignored),
            kept @ Admission::Kept(_) => admission = kept,
        }
    }
    Ok(admission)
}

/// What may be offered for one sender; `None` if a handler has it wait.
pub(crate) fn resv_offer(core: &mut Core, now: Now, psb: &mut Psb) -> Option<Offer> {
    let mut offer = Offer::default();
    let handlers = Arc::clone(&core.handlers);
    let all = handlers.iter().all(|handler| handler.resv_offer(core, now, psb, &mut offer));
    all.then_some(offer)
}

/// Appends what handlers write into a RESV about one sender.
pub(crate) fn resv_out(core: &Core, about: &ResvOut<'_>, out: &mut Out) {
    core.handlers.iter().for_each(|handler| handler.resv_out(core, about, out));
}
