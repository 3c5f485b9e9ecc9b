//! PATHTEAR and RESVTEAR, and every other way in which state ends
//! (RFC 2205 sections 2.3, 3.1.5 and 3.1.6).

use std::net::IpAddr;

use rsvp_wire::MessageType;
use rsvp_wire::message::{PathTear, ResvTear};
use rsvp_wire::object::{Filter, FilterSpec, Hop, SenderTemplate, SenderTspec, Style};

use super::charging;
use super::local::NoticeEvent;
use super::resv::HOP_TTL;
use super::session::SessionState;
use super::time::Now;
use super::{Core, Engine};
use crate::packet::{PacketMeta, TransmitMeta};

impl Engine {
    pub(crate) fn handle_path_tear(&mut self, now: Now, meta: PacketMeta, tear: &PathTear<'_>) {
        let Some(slot) = self.sessions.find(&tear.session) else {
            return self.core.counters.drop("tear_of_nothing");
        };
        let (filter, hop) = (tear.template.0, tear.hop);
        self.with_session(slot, |core, session| {
            match session.sender(filter).and_then(|index| session.senders.get(index)) {
                Some(psb) if psb.came_from(hop, meta.interface) => {
                    session.drop_sender(core, now, filter);
                }
                Some(_) => core.counters.drop("tear_from_another_hop"),
                None => core.counters.drop("tear_of_nothing"),
            }
        });
    }

    pub(crate) fn handle_resv_tear(&mut self, now: Now, meta: PacketMeta, tear: &ResvTear<'_>) {
        if !self.core.interfaces.owns(meta.destination) {
            return self.core.counters.drop("resv_not_for_us");
        }
        let Some(slot) = self.sessions.find(&tear.session) else {
            return self.core.counters.drop("tear_of_nothing");
        };
        let (outgoing, next_hop) = (tear.hop.lih, tear.hop.address);
        for filter in tear.filters() {
            self.with_session(slot, |core, session| {
                if session.reservation(outgoing, next_hop, filter.0).is_none() {
                    return core.counters.drop("tear_of_nothing");
                }
                session.drop_reservation(core, now, outgoing, next_hop, filter.0);
                if let Some(index) = session.sender(filter.0) {
                    session.after_charging(core, now, index);
                }
            });
        }
    }
}

impl SessionState {
    /// Removes one reservation, settles it, and tells the previous hop if it was the last.
    pub(crate) fn drop_reservation(
        &mut self,
        core: &mut Core,
        now: Now,
        outgoing: u32,
        next_hop: IpAddr,
        sender: Filter,
    ) {
        let Some(at) = self.reservation(outgoing, next_hop, sender) else { return };
        let before = self.merged(sender);
        self.reservations.remove(at);
        let session = self.session;
        let Some(index) = self.sender(sender) else { return };
        if let Some(psb) = self.senders.get_mut(index) {
            charging::release(core, now, session, psb, outgoing, next_hop);
        }
        match self.merged(sender) {
            None => {
                self.tear_upstream(core, index);
                self.notify_sender(core, sender, NoticeEvent::Released);
            }
            after if after != before => {
                let phop = self.senders.get(index).and_then(|psb| psb.phop_address());
                if let Some(phop) = phop {
                    self.send_resv(core, now, phop);
                }
            }
            _ => {}
        }
    }

    /// Tells the previous hop that nothing is reserved any more, if it was told that something is.
    pub(crate) fn tear_upstream(&mut self, core: &mut Core, index: usize) {
        let session = self.session;
        let Some(psb) = self.senders.get_mut(index) else { return };
        if !std::mem::take(&mut psb.reserved_upstream) {
            return;
        }
        let Some(phop) = psb.phop else { return };
        let Some(port) = core.interfaces.get(psb.incoming) else { return };
        let Some(address) = port.address(session.destination) else { return };
        let meta = TransmitMeta {
            interface: None,
            source: Some(address),
            destination: phop.address,
            ttl: HOP_TTL,
            router_alert: false,
        };
        let sender = psb.sender;
        core.outbox.send(&mut core.counters, meta, MessageType::ResvTear, true, |w| {
            w.object(&session)?;
            w.object(&Hop { address, lih: phop.lih })?;
            w.object(&Style::FixedFilter)?;
            w.object(&FilterSpec(sender))
        });
    }

    /// Removes a sender with its reservations, and says so downstream.
    pub(crate) fn drop_sender(&mut self, core: &mut Core, now: Now, sender: Filter) {
        let Some(index) = self.sender(sender) else { return };
        self.forward_path_tear(core, index);
        self.notify_receiver(core, sender, NoticeEvent::SenderGone);
        if let Some(receiver) = &mut self.receiver {
            receiver.told.remove(&sender);
        }
        self.reservations.retain(|rsb| rsb.sender != sender);
        let session = self.session;
        let mut psb = self.senders.remove(index);
        charging::settle(core, now, session, &mut psb);
        if !self.senders.iter().any(|other| other.route == psb.route) {
            core.routes.leave(&psb.route, self.slot);
        }
    }

    fn forward_path_tear(&self, core: &mut Core, index: usize) {
        let session = self.session;
        let Some(psb) = self.senders.get(index) else { return };
        for interface in super::path::outgoing(core, session, psb) {
            let Some(port) = core.interfaces.get(interface) else { continue };
            let Some(address) = port.address(session.destination) else { continue };
            let meta = TransmitMeta {
                interface: Some(interface),
                source: Some(psb.sender.source),
                destination: session.destination,
                ttl: psb.facts.ttl.max(1),
                router_alert: true,
            };
            core.outbox.send(&mut core.counters, meta, MessageType::PathTear, false, |w| {
                w.object(&session)?;
                w.object(&Hop { address, lih: interface })?;
                w.object(&SenderTemplate(psb.sender))?;
                w.object(&SenderTspec(psb.facts.tspec))
            });
        }
    }
}
