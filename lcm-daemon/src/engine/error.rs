//! PATHERR, RESVERR and RESVCONF: answered, passed on, and told to applications
//! (RFC 2205 sections 2.5, 3.1.7 to 3.1.9 and 3.10).

use std::net::IpAddr;

use rsvp_wire::charging::ChgErr;
use rsvp_wire::iana::class;
use rsvp_wire::message::{Path, PathErr, Resv, ResvConf};
use rsvp_wire::object::{
    ErrorFlags, ErrorSpec, Filter, FilterSpec, FlowSpec, Hop, SenderTemplate, SenderTspec, Session,
    Style,
};
use rsvp_wire::{DecodeError, EncodeObject, ErrorContext, MessageType, Packet, Reaction};

use super::charging::{self, ChargingFault, Fault};
use super::counters::bump;
use super::local::NoticeEvent;
use super::policy;
use super::record::RecordId;
use super::reduce::refuses_numbers;
use super::resv::filter_specs;
use super::rsb::Rsb;
use super::time::Now;
use super::upstream::HOP_TTL;
use super::{Core, Engine};
use crate::packet::{PacketMeta, TransmitMeta};

impl Engine {
    /// Answers a PATH that cannot be taken.
    pub(crate) fn refuse_path(&mut self, path: &Path<'_>, meta: PacketMeta, fault: Fault) {
        self.core.counters.drop(fault.reason);
        if !self.core.may_answer(meta.interface, path.hop.address) {
            return;
        }
        let descriptor = descriptor_of(path.packet);
        send_path_err(&mut self.core, meta.interface, path.hop, path.session, &descriptor, &fault);
    }

    /// Answers a RESV, or a part of it, that cannot be taken; without a part, all of it. False if
    /// the neighbour had too many answers lately.
    pub(crate) fn refuse_resv(
        &mut self,
        resv: &Resv<'_>,
        part: Option<(FlowSpec, &[Filter])>,
        fault: &Fault,
    ) -> bool {
        self.core.counters.drop(fault.reason);
        if !self.core.may_answer(resv.hop.lih, resv.hop.address) {
            return false;
        }
        let all: Vec<Filter> = resv.flows().filter_map(|flow| Some(flow.filter?.0)).collect();
        let whole = resv.flows().next().map(|flow| (flow.flowspec, all.as_slice()));
        let about = part.or(whole);
        send_resv_err(&mut self.core, resv.session, resv.hop, resv.style, about, fault);
        true
    }

    /// Counts a message that could not be read and answers it where RFC 2205 wants that.
    pub(crate) fn handle_malformed(&mut self, meta: PacketMeta, bytes: &[u8], error: &DecodeError) {
        bump(&mut self.core.counters.malformed, error.reason());
        let context = ErrorContext::scan(bytes);
        let (Some(session), Some(hop)) = (context.session, context.hop) else { return };
        if self.core.interfaces.owns(hop.address) || !super::path::may_be_source(hop.address) {
            return;
        }
        let reaction = error.reaction();
        let interface = match reaction {
            Reaction::SendResvErr { .. } => hop.lih,
            _ => meta.interface,
        };
        let answered =
            matches!(reaction, Reaction::SendPathErr { .. } | Reaction::SendResvErr { .. });
        if !answered || !self.core.may_answer(interface, hop.address) {
            return;
        }
        match reaction {
            Reaction::SendPathErr { code, value } => {
                let fault = Fault::new(code, value, error.reason());
                // The descriptor as it came, though it may be what is at fault; without a sender
                // nobody upstream could tell whom it is about.
                let known = Packet::parse_header(bytes).ok().filter(|_| context.template.is_some());
                let descriptor = known.map_or_else(Vec::new, descriptor_of);
                send_path_err(&mut self.core, meta.interface, hop, session, &descriptor, &fault);
            }
            Reaction::SendResvErr { code, value } => {
                let fault = Fault::new(code, value, error.reason());
                let style = context.style.unwrap_or(Style::FixedFilter);
                let filter = context.filter.map(|filter| filter.0);
                let about = context.flowspec.map(|flowspec| (flowspec, filter.as_slice()));
                send_resv_err(&mut self.core, session, hop, style, about, &fault);
            }
            _ => {}
        }
    }

    /// Passes a PATHERR towards the sender that it is about.
    pub(crate) fn handle_path_err(&mut self, now: Now, meta: PacketMeta, error: &PathErr<'_>) {
        let found = self.sessions.find(&error.session).zip(error.template);
        let Some((slot, template)) = found else {
            return self.core.counters.drop("error_about_nothing");
        };
        if refuses_numbers(&error.error) && self.core.outbox.reduce.active {
            self.with_session(slot, |core, state| {
                state.path_without_number(core, now, template.0, meta.interface);
            });
            return;
        }
        let charging = charging::charging_error(&self.core, error.policy_data());
        let mut about = about(error.error, charging.as_ref().map(|fault| &fault.error));
        about.explain(policy::explained(error.policy_data()));
        // What a next hop says of our account is nothing to the hops above.
        let for_us = charging.as_ref().is_some_and(ChargingFault::refuses_sender);
        let policy = match for_us {
            true => policy::error_onward(&self.core, error.policy_data()),
            false => error.policy_data().flat_map(|object| object.bytes()).copied().collect(),
        };
        let objects: Vec<u8> = std::iter::once(policy.as_slice())
            .chain(error.sender_objects().map(|object| object.bytes))
            .chain(error.unknown().map(|object| object.bytes))
            .collect::<Vec<_>>()
            .concat();
        let (session, spec) = (error.session, error.error);
        self.with_session(slot, |core, state| {
            let index = state.sender(template.0);
            let psb = index.and_then(|index| state.senders.get_mut(index));
            let (Some(index), Some(psb)) = (index, psb) else {
                return core.counters.drop("error_about_nothing");
            };
            if for_us && charging::sender_refused(core, now, psb, meta.interface) {
                state.after_charging(core, now, index);
            }
            let Some(psb) = state.senders.get(index) else { return };
            let Some(phop) = psb.phop else {
                return state.notify_sender(core, template.0, about);
            };
            let meta = towards(core, psb.incoming, session.destination, phop.address);
            let to = core.hop(psb.incoming, Some(phop.address));
            let (kind, none) = (MessageType::PathErr, RecordId::NONE);
            core.outbox.send(&mut core.counters, to, meta, kind, none, |w| {
                w.object(&session)?;
                w.object(&spec)?;
                w.raw(&objects)
            });
        });
    }

    /// Sends a message on that is addressed to somebody else, byte for byte (RFC 2209 section 2
    /// "MESSAGE ARRIVES"): with Router Alert it may come here though we are not meant.
    pub(crate) fn pass_by(&mut self, meta: PacketMeta, message_type: u8, bytes: &[u8]) {
        if meta.ttl <= 1 {
            return self.core.counters.drop("ttl_exhausted");
        }
        if !super::path::may_be_source(meta.destination) {
            return self.core.counters.drop("not_for_one_node");
        }
        let onward = TransmitMeta {
            interface: None,
            gateway: None,
            source: Some(meta.source),
            destination: meta.destination,
            ttl: meta.ttl - 1,
            router_alert: true,
        };
        self.core.counters.sent(message_type);
        self.core.outbox.pass_foreign(onward, bytes);
    }

    /// Sends a confirmation on. It travels from hop to hop, so that each can sign it anew (RFC 2205
    /// section 3.1.9): where it is reserved for, it goes out with our own address, by which the next
    /// hop knows whose signature it bears.
    fn pass_on(&mut self, meta: PacketMeta, conf: &ResvConf<'_>) {
        if meta.ttl <= 1 {
            return self.core.counters.drop("ttl_exhausted");
        }
        let slot = self.sessions.find(&conf.session);
        let session = slot.and_then(|slot| self.sessions.get_mut(slot));
        let filters = || conf.flows().filter_map(|flow| Some(flow.filter?.0));
        let way = session.and_then(|session| {
            let mut reservations = session.reservations.iter();
            let of_conf =
                |rsb: &&Rsb| filters().next().is_none() || filters().any(|f| rsb.selects(f));
            reservations.find(of_conf).map(|rsb| rsb.outgoing)
        });
        let signs = way.is_some_and(|way| self.core.signs_on(way));
        let own = way.filter(|_| signs);
        let own = own.and_then(|way| self.core.interfaces.address(way, meta.destination));
        let onward = TransmitMeta {
            interface: None,
            gateway: None,
            source: Some(own.unwrap_or(meta.source)),
            destination: meta.destination,
            ttl: meta.ttl - 1,
            router_alert: true,
        };
        self.core.counters.sent(MessageType::ResvConf.into());
        match own {
            Some(_) => self.core.outbox.pass(onward, conf.packet.bytes()),
            None => self.core.outbox.pass_foreign(onward, conf.packet.bytes()),
        }
    }

    /// Passes a RESVCONF on to its receiver, or tells the application if it lives here.
    pub(crate) fn handle_resv_conf(&mut self, meta: PacketMeta, conf: &ResvConf<'_>) {
        let receiver = conf.confirm.receiver;
        if !self.core.interfaces.owns(receiver) {
            if meta.destination != receiver {
                return self.core.counters.drop("confirmation_astray");
            }
            return self.pass_on(meta, conf);
        }
        let Some(slot) = self.sessions.find(&conf.session) else {
            return self.core.counters.drop("confirmation_of_nothing");
        };
        for flow in conf.flows() {
            let Some(filter) = flow.filter else { continue };
            self.with_session(slot, |core, session| {
                session.notify_receiver(core, filter.0, NoticeEvent::Confirmed);
            });
        }
    }
}

impl Core {
    /// Whether a neighbour may have one more error message in answer to its own.
    pub(crate) fn may_answer(&mut self, interface: u32, neighbour: IpAddr) -> bool {
        let Self { neighbours, config, at, counters, .. } = self;
        let may = neighbours.may_answer(&config.limits, *at, (interface, neighbour));
        if !may {
            counters.drop("max_errors_per_s");
        }
        may
    }
}

/// What an application is told of an error.
pub(crate) fn about(error: ErrorSpec, charging: Option<&ChgErr>) -> NoticeEvent {
    NoticeEvent::Error {
        node: error.node,
        code: error.code,
        value: error.value,
        required: charging.map(|error| error.required),
        detail: None,
    }
}

impl super::session::SessionState {
    /// Tells the previous hop that the account of which it pays for a sender cannot.
    pub(crate) fn refuse_sender(&self, core: &mut Core, index: usize) {
        let Some(psb) = self.senders.get(index) else { return };
        let (Some(hop), Some(fault)) = (psb.phop, Fault::sender_used_up(core, psb)) else { return };
        if !core.may_answer(psb.incoming, hop.address) {
            return;
        }
        let mut descriptor = Vec::new();
        for object in [object(&SenderTemplate(psb.sender)), object(&SenderTspec(psb.facts.tspec))] {
            descriptor.extend(object);
        }
        descriptor.extend(psb.facts.adspec.iter().flat_map(|adspec| adspec.iter().copied()));
        send_path_err(core, psb.incoming, hop, self.session, &descriptor, &fault);
    }
}

/// An object as it travels.
fn object(object: &impl EncodeObject) -> Vec<u8> {
    let mut bytes = vec![0; object.encoded_len()];
    // There is room for exactly this.
    let _ = object.encode(&mut bytes);
    bytes
}

/// The IP header of a message to the hop `to`, reached over `interface`.
pub(crate) fn towards(core: &Core, interface: u32, family: IpAddr, to: IpAddr) -> TransmitMeta {
    let source = core.interfaces.address(interface, family);
    TransmitMeta {
        interface: None,
        gateway: None,
        source,
        destination: to,
        ttl: HOP_TTL,
        router_alert: false,
    }
}

/// Sends a PATHERR that starts here, to a previous hop.
pub(crate) fn send_path_err(
    core: &mut Core,
    interface: u32,
    hop: Hop,
    session: Session,
    descriptor: &[u8],
    fault: &Fault,
) {
    let meta = towards(core, interface, session.destination, hop.address);
    let Some(node) = meta.source else { return };
    bump(&mut core.counters.path_errors_sent, fault.counted());
    let to = Some(fault.payer().unwrap_or(hop.address));
    let context = (core.charging.as_ref(), core.policy_integrity(interface, to));
    let flags = if fault.in_place { ErrorFlags::IN_PLACE } else { ErrorFlags::NONE };
    let error = ErrorSpec { node, flags, code: fault.code, value: fault.value };
    let to = core.hop(interface, Some(hop.address));
    core.outbox.send(&mut core.counters, to, meta, MessageType::PathErr, RecordId::NONE, |w| {
        w.object(&session)?;
        w.object(&error)?;
        let own = Hop { address: node, lih: 0 };
        charging::write_fault(w, context, own, hop.address, &[], fault)?;
        w.raw(descriptor)
    });
}

/// The objects of the sender descriptor of a PATH as they came, in the order in which RFC 2205
/// shows them.
fn descriptor_of(packet: Packet<'_>) -> Vec<u8> {
    [class::SENDER_TEMPLATE, class::SENDER_TSPEC, class::ADSPEC]
        .into_iter()
        .flat_map(|class| packet.objects_of(class))
        .flat_map(|object| object.bytes.iter().copied())
        .collect()
}

/// Sends a RESVERR that starts here; `hop` is the RSVP_HOP of the refused RESV: the next hop's
/// address and our own interface.
pub(crate) fn send_resv_err(
    core: &mut Core,
    session: Session,
    hop: Hop,
    style: Style,
    part: Option<(FlowSpec, &[Filter])>,
    fault: &Fault,
) {
    let meta = towards(core, hop.lih, session.destination, hop.address);
    let Some(node) = meta.source else { return };
    bump(&mut core.counters.resv_errors_sent, fault.counted());
    let flags = if fault.in_place { ErrorFlags::IN_PLACE } else { ErrorFlags::NONE };
    let error = ErrorSpec { node, flags, code: fault.code, value: fault.value };
    let to = Some(fault.payer().unwrap_or(hop.address));
    let context = (core.charging.as_ref(), core.policy_integrity(hop.lih, to));
    let own = Hop { address: node, lih: hop.lih };
    // A wildcard descriptor names no sender; the CHG_ERR may be about one.
    let named: Vec<FilterSpec> = match (style, part) {
        (Style::WildcardFilter, Some((_, filters))) => filter_specs(filters).collect(),
        _ => Vec::new(),
    };
    let to = core.hop(hop.lih, Some(hop.address));
    core.outbox.send(&mut core.counters, to, meta, MessageType::ResvErr, RecordId::NONE, |w| {
        w.object(&session)?;
        w.object(&own)?;
        w.object(&error)?;
        charging::write_fault(w, context, own, hop.address, &named, fault)?;
        w.object(&style)?;
        let Some((flowspec, filters)) = part else { return Ok(()) };
        w.object(&flowspec)?;
        if style != Style::WildcardFilter {
            for filter in filter_specs(filters) {
                w.object(&filter)?;
            }
        }
        Ok(())
    });
}
