//! RESV: check the payment, keep the reservation, merge, and ask the previous hops
//! (RFC 2205 sections 2.2 and 3.1.4, RFC 2209 section 2 "RESV message arrives").
//!
//! Fixed-filter reservations only so far; other styles are answered by RESVERR 06.

use std::net::IpAddr;

use rsvp_wire::MessageType;
use rsvp_wire::message::Resv;
use rsvp_wire::object::{
    ErrorFlags, ErrorSpec, Filter, FilterSpec, FlowSpec, Hop, ResvConfirm, Session, Style,
    TimeValues,
};

use super::charging::{self, Admission, Fault};
use super::psb::Psb;
use super::rsb::{LOCAL, Rsb, merge};
use super::session::SessionState;
use super::time::{Instant, Now, lifetime};
use super::{Core, Engine};
use crate::packet::{PacketMeta, TransmitMeta};

/// TTL of messages that go straight to the neighbouring hop.
pub(crate) const HOP_TTL: u8 = 255;

/// Flow descriptors that go into one RESV; with a payment each they stay below a common MTU.
const DESCRIPTORS_PER_MESSAGE: usize = 6;

/// One flow descriptor of a RESV with all that came with it.
pub(crate) struct Request {
    pub(crate) outgoing: u32,
    pub(crate) next_hop: IpAddr,
    pub(crate) sender: Filter,
    pub(crate) flowspec: FlowSpec,
    pub(crate) confirm: Option<ResvConfirm>,
    pub(crate) carried: Option<Box<[u8]>>,
    pub(crate) refresh_ms: u32,
    pub(crate) payment: charging::Offered,
}

impl Engine {
    pub(crate) fn handle_resv(&mut self, now: Now, meta: PacketMeta, resv: &Resv<'_>) {
        if !self.core.interfaces.owns(meta.destination) {
            return self.core.counters.drop("resv_not_for_us");
        }
        let outgoing = resv.hop.lih;
        if self.core.interfaces.get(outgoing).is_none() {
            return self.core.counters.drop("unknown_interface_handle");
        }
        if resv.style != Style::FixedFilter {
            return self.refuse_resv(resv, None, &Fault::UNKNOWN_STYLE);
        }
        let Some(slot) = self.sessions.find(&resv.session) else {
            return self.refuse_resv(resv, None, &Fault::NO_PATH);
        };
        for descriptor in resv.flows() {
            let Some(filter) = descriptor.filter else { continue };
            let outcome = match Request::read(&self.core, resv, descriptor.flowspec, filter.0) {
                Ok(request) => self
                    .with_session(slot, |core, session| session.take_resv(core, now, request))
                    .unwrap_or(Ok(())),
                Err(fault) => Err(fault),
            };
            if let Err(fault) = outcome {
                self.refuse_resv(resv, Some((descriptor.flowspec, filter)), &fault);
                self.with_session(slot, |core, session| {
                    session.requote(core, now, filter.0, outgoing);
                });
            }
        }
    }
}

impl Request {
    fn read(
        core: &Core,
        resv: &Resv<'_>,
        flowspec: FlowSpec,
        sender: Filter,
    ) -> Result<Self, Fault> {
        let rsvp = &core.config.rsvp;
        Ok(Self {
            outgoing: resv.hop.lih,
            next_hop: resv.hop.address,
            sender,
            flowspec,
            confirm: resv.confirm,
            carried: charging::carried(
                core,
                resv.policy_data(),
                resv.unknown().map(|object| object.bytes),
            )?,
            refresh_ms: resv
                .time_values
                .refresh_ms
                .clamp(rsvp.accept_refresh_min_ms, rsvp.accept_refresh_max_ms),
            payment: charging::read_payment(core, resv, sender)?,
        })
    }
}

impl SessionState {
    /// Admits, refreshes or changes one reservation.
    pub(crate) fn take_resv(
        &mut self,
        core: &mut Core,
        now: Now,
        request: Request,
    ) -> Result<(), Fault> {
        let index = self.sender(request.sender).ok_or(Fault::NO_SENDER)?;
        let known = self.reservation(request.outgoing, request.next_hop, request.sender);
        self.admissible(core, index, known, &request)?;
        let session = self.session;
        let Some(psb) = self.senders.get_mut(index) else { return Err(Fault::NO_SENDER) };
        let kept = match charging::admit(core, now, session, psb, &request)? {
            Admission::Taken => None,
            Admission::Kept(fault) => Some(fault),
            Admission::Ignored => return Ok(()),
        };

        let before = self.merged(request.sender);
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        let expires = match request.outgoing {
            LOCAL => Instant::NEVER,
            _ => now.at + lifetime(request.refresh_ms, k),
        };
        let (sender, confirm) = (request.sender, request.confirm);
        let carried_changed = match known.and_then(|at| self.reservations.get_mut(at)) {
            Some(rsb) => {
                let changed = rsb.carried != request.carried;
                rsb.flowspec = request.flowspec;
                rsb.carried = request.carried;
                rsb.expires = expires;
                changed
            }
            None => {
                let changed = request.carried.is_some();
                self.reservations.push(Rsb {
                    outgoing: request.outgoing,
                    next_hop: request.next_hop,
                    sender,
                    flowspec: request.flowspec,
                    confirm: None,
                    carried: request.carried,
                    expires,
                });
                changed
            }
        };
        let raised = self.merged(sender) != before;
        let waits = confirm
            .is_some_and(|confirm| self.confirm(core, index, confirm, request.flowspec, raised));
        let place = self.reservation(request.outgoing, request.next_hop, sender);
        if waits && let Some(rsb) = place.and_then(|at| self.reservations.get_mut(at)) {
            rsb.confirm = confirm;
        }
        let told = self.after_charging(core, now, index);
        let upstream = self.senders.get(index).and_then(|psb| psb.phop_address());
        let due = (raised || carried_changed || waits) && !told.upstream;
        if due && let Some(phop) = upstream {
            self.send_resv(core, now, phop);
        }
        self.arm_refresh(core, now);
        kept.map_or(Ok(()), Err)
    }

    /// Sends the price as it stands to a next hop that was refused (T5).
    fn requote(&mut self, core: &mut Core, now: Now, sender: Filter, outgoing: u32) {
        if let Some(index) = self.sender(sender) {
            let told = self.after_charging(core, now, index);
            if !told.interfaces.contains(&outgoing) {
                self.forward_path_on(core, now, index, outgoing);
            }
        }
    }

    /// Everything that can refuse a reservation but its payment.
    fn admissible(
        &self,
        core: &Core,
        index: usize,
        known: Option<usize>,
        request: &Request,
    ) -> Result<(), Fault> {
        let Some(psb) = self.senders.get(index) else { return Err(Fault::NO_SENDER) };
        let leaves_here = request.outgoing == LOCAL
            || super::path::outgoing(core, self.session, psb).contains(&request.outgoing);
        if !leaves_here {
            return Err(Fault::NO_SENDER);
        }
        let full = core.config.limits.max_reservations_per_session as usize;
        if known.is_none() && self.reservations.len() >= full {
            return Err(Fault::NO_RESOURCES);
        }
        let others = self
            .reservations_for(request.sender)
            .filter(|rsb| !rsb.is(request.outgoing, request.next_hop, request.sender));
        match others.map(|rsb| rsb.flowspec).try_fold(request.flowspec, merge) {
            Some(_) => Ok(()),
            None => Err(Fault::SERVICE_CONFLICT),
        }
    }

    /// The flowspec that all reservations for one sender ask of the previous hop.
    pub(crate) fn merged(&self, sender: Filter) -> Option<FlowSpec> {
        let mut flowspecs = self.reservations_for(sender).map(|rsb| rsb.flowspec);
        let first = flowspecs.next()?;
        flowspecs.try_fold(first, merge)
    }

    /// Answers a request for confirmation here, or returns true if it must go upstream: it is
    /// answered where the reservation merges into one that is at least as large, or at the sender
    /// (RFC 2205 section 2.6).
    fn confirm(
        &self,
        core: &mut Core,
        index: usize,
        confirm: ResvConfirm,
        flowspec: FlowSpec,
        raised: bool,
    ) -> bool {
        let Some(psb) = self.senders.get(index) else { return false };
        if psb.phop.is_some() && (raised || !psb.reserved_upstream) {
            return true;
        }
        let Some(node) = own_address(core, self.session, psb) else {
            return false;
        };
        let meta = TransmitMeta {
            interface: None,
            source: Some(node),
            destination: confirm.receiver,
            ttl: HOP_TTL,
            router_alert: true,
        };
        let (session, sender) = (self.session, psb.sender);
        core.outbox.send(&mut core.counters, meta, MessageType::ResvConf, true, |w| {
            w.object(&session)?;
            w.object(&ErrorSpec { node, flags: ErrorFlags::NONE, code: 0, value: 0 })?;
            w.object(&confirm)?;
            w.object(&Style::FixedFilter)?;
            w.object(&flowspec)?;
            w.object(&FilterSpec(sender))
        });
        false
    }

    /// Sends what this node reserves at one previous hop.
    pub(crate) fn send_resv(&mut self, core: &mut Core, now: Now, phop: IpAddr) {
        let reserved: Vec<usize> = (0..self.senders.len())
            .filter(|index| {
                self.senders.get(*index).is_some_and(|psb| {
                    psb.phop_address() == Some(phop)
                        && self.reservations_for(psb.sender).next().is_some()
                })
            })
            .collect();
        for part in reserved.chunks(DESCRIPTORS_PER_MESSAGE) {
            self.send_descriptors(core, now, part);
        }
    }

    /// Sends one RESV for senders that share a previous hop and interface.
    fn send_descriptors(&mut self, core: &mut Core, now: Now, part: &[usize]) {
        let session = self.session;
        let mut descriptors = Vec::with_capacity(part.len());
        let mut to = None;
        for index in part {
            let Some(psb) = self.senders.get_mut(*index) else { continue };
            let payment = charging::own_payment(core, now, psb);
            if psb.flow.is_some() && payment.is_none() {
                // What we may offer was refused (T18): wait for a price that can be paid.
                continue;
            }
            psb.reserved_upstream = true;
            let Some(psb) = self.senders.get(*index) else { continue };
            let Some(flowspec) = self.merged(psb.sender) else { continue };
            to = psb.phop.map(|hop| (hop, psb.incoming));
            descriptors.push((flowspec, psb.sender, payment));
        }
        let Some((phop, incoming)) = to else { return };
        let Some(port) = core.interfaces.get(incoming) else { return };
        let Some(address) = port.address(session.destination) else { return };
        let refresh_ms = port.settings.refresh_ms;
        let senders = descriptors.iter().map(|(_, sender, _)| *sender).collect::<Vec<_>>();
        let (confirm, carried) = self.take_upstream_extras(&senders);
        let meta = TransmitMeta {
            interface: None,
            source: Some(address),
            destination: phop.address,
            ttl: HOP_TTL,
            router_alert: false,
        };
        let hop = Hop { address, lih: phop.lih };
        let context = core.charging.as_ref();
        core.outbox.send(&mut core.counters, meta, MessageType::Resv, true, |w| {
            w.object(&session)?;
            w.object(&hop)?;
            w.object(&TimeValues { refresh_ms })?;
            if let Some(confirm) = confirm {
                w.object(&confirm)?;
            }
            let several = descriptors.len() > 1;
            for (_, sender, payment) in &descriptors {
                if let Some(payment) = payment {
                    charging::write_payment(w, context, hop, several.then_some(*sender), payment)?;
                }
            }
            w.raw(&carried)?;
            w.object(&Style::FixedFilter)?;
            for (flowspec, sender, _) in &descriptors {
                w.object(flowspec)?;
                w.object(&FilterSpec(*sender))?;
            }
            Ok(())
        });
    }

    /// A waiting request for confirmation (which travels once) and the objects that are carried.
    fn take_upstream_extras(&mut self, senders: &[Filter]) -> (Option<ResvConfirm>, Vec<u8>) {
        let mut confirm = None;
        let mut carried = Vec::new();
        for rsb in self.reservations.iter_mut().filter(|rsb| senders.contains(&rsb.sender)) {
            if confirm.is_none() {
                confirm = rsb.confirm.take();
            }
            carried.extend_from_slice(rsb.carried.as_deref().unwrap_or_default());
        }
        (confirm, carried)
    }
}

/// The address by which this node speaks of a sender: the incoming interface's, or the sender's
/// own if it lives here.
pub(crate) fn own_address(core: &Core, session: Session, psb: &Psb) -> Option<IpAddr> {
    match psb.phop {
        None => Some(psb.sender.source),
        Some(_) => core.interfaces.get(psb.incoming)?.address(session.destination),
    }
}
