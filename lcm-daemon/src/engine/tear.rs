//! PATHTEAR and RESVTEAR, and every other way in which state ends
//! (RFC 2205 sections 2.3, 3.1.5 and 3.1.6, RFC 2209).

use std::net::IpAddr;

use charging_model::BranchKey;
use charging_model::flow::Broken;
use rsvp_wire::message::{PathTear, ResvTear};
use rsvp_wire::object::{Filter, Hop, SenderTemplate, SenderTspec, Style};
use rsvp_wire::{MessageType, Packet};

use super::charging;
use super::counters::bump;
use super::local::NoticeEvent;
use super::path::next_hop;
use super::psb::Way;
use super::record::RecordId;
use super::resv::filter_specs;
use super::rsb::{LOCAL, Rsb, Selection};
use super::session::SessionState;
use super::time::Now;
use super::upstream::HOP_TTL;
use super::{Core, Engine, Few};
use crate::packet::{PacketMeta, TransmitMeta};

impl Engine {
    pub(crate) fn handle_path_tear(&mut self, now: Now, meta: PacketMeta, tear: &PathTear<'_>) {
        let Some(slot) = self.sessions.find(&tear.session) else {
            return self.core.counters.drop("tear_of_nothing");
        };
        let (filter, hop) = (tear.template.0, tear.hop);
        self.core.torn_with = unknown(tear.packet, &self.core);
        self.with_session(slot, |core, session| {
            let psb = session.sender(filter).and_then(|index| session.senders.get(index));
            let ours = psb.map(|psb| psb.came_from(hop, meta.interface));
            match ours {
                Some(true) => {
                    session.drop_sender(core, now, filter);
                    session.fall_back(core, now, filter);
                }
                Some(false) if session.unhear(filter, hop, meta.interface) => {}
                Some(false) => core.counters.drop("tear_from_another_hop"),
                None => core.counters.drop("tear_of_nothing"),
            }
        });
        self.core.torn_with.clear();
    }

    pub(crate) fn handle_resv_tear(&mut self, now: Now, tear: &ResvTear<'_>) {
        let Some(slot) = self.sessions.find(&tear.session) else {
            return self.core.counters.drop("tear_of_nothing");
        };
        if let Err(reason) = self.plausible_next_hop(tear.hop) {
            return self.core.counters.drop(reason);
        }
        let (outgoing, next_hop) = (tear.hop.lih, tear.hop.address);
        let filters: Vec<Filter> = tear.filters().map(|filter| filter.0).collect();
        self.core.torn_with = unknown(tear.packet, &self.core);
        self.with_session(slot, |core, session| {
            if session.style().is_some_and(|style| style != tear.style) {
                return core.counters.drop("tear_of_another_style");
            }
            let torn = match tear.style {
                Style::WildcardFilter => {
                    let at = session.reservation(outgoing, next_hop, &Selection::Wildcard);
                    at.map(|at| session.end_reservation(core, now, at, &[])).is_some()
                }
                _ => session.tear_filters(core, now, outgoing, next_hop, &filters),
            };
            if !torn {
                core.counters.drop("tear_of_nothing");
            }
            session.after_all_charging(core, now);
        });
        self.core.torn_with.clear();
    }
}

/// The objects of a tear that go on with it, unless there are more than anybody may add.
fn unknown(packet: Packet<'_>, core: &Core) -> Vec<u8> {
    let bytes: Vec<u8> = packet.unknown().flat_map(|object| object.bytes).copied().collect();
    let most = core.config.limits.max_policy_bytes as usize;
    if bytes.len() > most { Vec::new() } else { bytes }
}

impl SessionState {
    fn tear_filters(
        &mut self,
        core: &mut Core,
        now: Now,
        outgoing: u32,
        next_hop: IpAddr,
        filters: &[Filter],
    ) -> bool {
        let mut torn = false;
        for filter in filters {
            // All of a shared list go at once, so that the previous hops hear of it once.
            if let Some(at) = self.reservation_of(outgoing, next_hop, *filter) {
                self.end_reservation(core, now, at, filters);
                torn = true;
            }
        }
        torn
    }

    /// Ends reservations on interfaces that a sender's data no longer takes.
    pub(crate) fn drop_rerouted(
        &mut self,
        core: &mut Core,
        now: Now,
        sender: Filter,
        outgoing: &[u32],
    ) {
        let lost: Vec<(u32, IpAddr)> = self
            .reservations
            .iter()
            .filter(|rsb| rsb.selects(sender))
            .filter(|rsb| rsb.outgoing != LOCAL && !outgoing.contains(&rsb.outgoing))
            .map(|rsb| (rsb.outgoing, rsb.next_hop))
            .collect();
        for (interface, next_hop) in lost {
            bump(&mut core.counters.expired, "reservation_rerouted");
            // Groups are left by their members.
            let left = self.session.destination.is_multicast();
            let at = self.reservation_of(interface, next_hop, sender).filter(|_| !left);
            if let Some(at) = at {
                self.broken_at(core, now, at, Broken::Unrouted);
            }
            self.release_sender(core, now, interface, next_hop, sender);
        }
    }

    /// What stands of a reservation is given up by this node.
    pub(crate) fn broken_at(&mut self, core: &mut Core, now: Now, at: usize, why: Broken) {
        let Some(rsb) = self.reservations.get(at) else { return };
        for psb in self.senders.iter_mut().filter(|psb| rsb.selects(psb.sender)) {
            let outgoing = rsb.outgoing;
            for hop in rsb.origins(psb.sender) {
                charging::broken(core, now, psb, BranchKey { group: outgoing, hop }, why);
            }
        }
    }

    /// The data of one sender goes elsewhere: its part of a reservation is settled. A reservation
    /// that is left with no sender at all ends.
    pub(crate) fn release_sender(
        &mut self,
        core: &mut Core,
        now: Now,
        outgoing: u32,
        next_hop: IpAddr,
        sender: Filter,
    ) {
        let Some(at) = self.reservation_of(outgoing, next_hop, sender) else { return };
        let others = self.senders.iter().any(|psb| {
            psb.sender != sender && self.reservations.get(at).is_some_and(|rsb| rsb.matches(psb))
        });
        let wildcard =
            self.reservations.get(at).is_some_and(|rsb| rsb.selection == Selection::Wildcard);
        if wildcard && others {
            let session = self.session;
            let origins: Vec<IpAddr> =
                self.reservations.get(at).into_iter().flat_map(|rsb| rsb.origins(sender)).collect();
            for hop in origins {
                let key = BranchKey { group: outgoing, hop };
                let elsewhere = self.paid_except(at, key, sender);
                let index = self.sender(sender).filter(|_| !elsewhere);
                if let Some(psb) = index.and_then(|index| self.senders.get_mut(index)) {
                    charging::release(core, now, session, psb, key);
                }
            }
            return;
        }
        self.end_reservation(core, now, at, &[sender]);
    }

    /// Settles with a next hop for senders that none of its reservations selects any more.
    pub(crate) fn release_deselected(
        &mut self,
        core: &mut Core,
        now: Now,
        outgoing: u32,
        next_hop: IpAddr,
    ) {
        let of_hop = |rsb: &&Rsb| rsb.outgoing == outgoing && rsb.next_hop == next_hop;
        let payers = self.reservations.iter().filter(of_hop).flat_map(|rsb| &rsb.payers);
        let mut hops: Few<IpAddr> = payers.map(|payer| payer.origin).collect();
        hops.push(next_hop);
        hops.sort_unstable();
        hops.dedup();
        for hop in hops {
            self.release_unpaid(core, now, BranchKey { group: outgoing, hop });
        }
    }

    /// Ends a reservation block, or only these senders' part of a shared list: settles it and
    /// tells the previous hops.
    pub(crate) fn end_reservation(
        &mut self,
        core: &mut Core,
        now: Now,
        at: usize,
        only: &[Filter],
    ) {
        let before = self.upstream_wishes();
        let Some(rsb) = self.reservations.get_mut(at) else { return };
        core.outbox.reduce.disown(rsb);
        let (outgoing, style) = (rsb.outgoing, rsb.selection.style());
        let ended: Vec<Filter> = self
            .senders
            .iter()
            .map(|psb| psb.sender)
            .filter(|sender| rsb.selects(*sender))
            .filter(|sender| {
                style != Style::SharedExplicit || only.is_empty() || only.contains(sender)
            })
            .collect();
        let mut paid: Vec<IpAddr> = ended.iter().flat_map(|sender| rsb.origins(*sender)).collect();
        paid.sort_unstable();
        paid.dedup();
        // What it had carried on is no longer true, whatever becomes of flowspecs.
        let said = rsb.carried.is_some();
        if let Selection::Explicit(list) = &mut rsb.selection
            && !only.is_empty()
        {
            list.retain(|(filter, _)| !only.contains(filter));
            rsb.forget_payers(|payer| only.contains(&payer.sender));
        }
        let emptied = match &rsb.selection {
            Selection::Explicit(list) => list.is_empty() || only.is_empty(),
            _ => true,
        };
        self.traffic_stale = true;
        if emptied {
            self.reservations.remove(at);
        }
        for hop in paid {
            self.release_unpaid(core, now, BranchKey { group: outgoing, hop });
        }
        self.lift_veils(now);
        self.share_prices(core, now, outgoing);
        self.tell_previous_hops(core, now, style, &before, &ended, said);
    }

    /// Tears what nobody reserves any more at its previous hop, refreshes what is left there: where
    /// that changed, or is without what a next hop had `said`.
    pub(crate) fn tell_previous_hops(
        &mut self,
        core: &mut Core,
        now: Now,
        style: Style,
        before: &[super::upstream::Wish],
        ended: &[Filter],
        said: bool,
    ) {
        let over: Vec<Filter> = ended
            .iter()
            .copied()
            .filter(|sender| self.reservations_for(*sender).next().is_none())
            .collect();
        let mut changed = self.changed_wishes(before);
        if said {
            let left = ended.iter().filter(|sender| !over.contains(sender));
            let hops =
                left.filter_map(|sender| self.senders.get(self.sender(*sender)?)?.phop_address());
            changed.extend(hops);
            changed.sort_unstable();
            changed.dedup();
        }
        self.tear_upstream(core, style, &over);
        for sender in over {
            self.notify_sender(core, sender, NoticeEvent::Released);
        }
        for phop in changed {
            self.send_resv(core, now, phop);
        }
    }

    /// Tells the previous hops of these senders that nothing is reserved for them any more, if
    /// they were told that something is.
    pub(crate) fn tear_upstream(&mut self, core: &mut Core, style: Style, senders: &[Filter]) {
        let session = self.session;
        let mut hops: Vec<(Hop, u32, Vec<Filter>)> = Vec::new();
        let mut needs = RecordId::default();
        let shared = |phop: Option<Hop>, senders_left: &[(Option<Hop>, bool)]| {
            style == Style::WildcardFilter
                && senders_left.iter().any(|(hop, reserved)| *hop == phop && *reserved)
        };
        // A wildcard tear names no sender: it may go only where nothing else is reserved.
        let left: Vec<(Option<Hop>, bool)> = self
            .senders
            .iter()
            .filter(|psb| !senders.contains(&psb.sender))
            .map(|psb| (psb.phop, self.reservations_for(psb.sender).next().is_some()))
            .collect();
        for psb in self.senders.iter_mut().filter(|psb| senders.contains(&psb.sender)) {
            let Some(phop) = psb.phop.filter(|hop| !shared(Some(*hop), &left)) else { continue };
            if !std::mem::take(&mut psb.reserved_upstream) {
                continue;
            }
            // Sent again after the tear, it would reserve anew.
            psb.forget_resv(core);
            // A tear must not overtake the RESV that it ends.
            needs = needs.max(psb.needs);
            match hops.iter_mut().find(|(hop, ..)| *hop == phop) {
                Some((.., filters)) => filters.push(psb.sender),
                None => hops.push((phop, psb.incoming, vec![psb.sender])),
            }
        }
        for (phop, incoming, filters) in hops {
            let Some(address) = core.interfaces.address(incoming, session.destination) else {
                continue;
            };
            let meta = TransmitMeta {
                interface: None,
                gateway: None,
                source: Some(address),
                destination: phop.address,
                ttl: HOP_TTL,
                router_alert: false,
            };
            let to = core.hop(incoming, Some(phop.address));
            core.outbox.send(&mut core.counters, to, meta, MessageType::ResvTear, needs, |w| {
                w.object(&session)?;
                w.object(&Hop { address, lih: phop.lih })?;
                w.object(&style)?;
                if style != Style::WildcardFilter {
                    for filter in filter_specs(&filters) {
                        w.object(&filter)?;
                    }
                }
                w.raw(&core.torn_with)
            });
        }
    }

    /// Removes a sender with its reservations, and says so downstream.
    pub(crate) fn drop_sender(&mut self, core: &mut Core, now: Now, sender: Filter) {
        let Some(index) = self.sender(sender) else { return };
        self.forward_path_tear(core, index);
        self.notify_receiver(core, sender, NoticeEvent::SenderGone);
        if let Some(receiver) = &mut self.receiver {
            receiver.told.remove(&sender);
        }
        self.forget_choice(sender);
        let session = self.session;
        let mut psb = self.senders.remove(index);
        psb.forget_resv(core);
        charging::settle(core, now, session, &mut psb);
        if self.senders.is_empty() {
            core.purses.forget_session(self.slot);
        }
        if !self.senders.iter().any(|other| other.route == psb.route) {
            core.routes.leave(&psb.route, self.slot);
        }
        core.routes.leave(&psb.flow_route(session), self.slot);
        self.forget_filter(core, sender);
        self.forget_proxied(sender);
        let interfaces: Vec<u32> = self.reservations.iter().map(|rsb| rsb.outgoing).collect();
        for interface in interfaces {
            self.share_prices(core, now, interface);
        }
        self.after_all_charging(core, now);
    }

    /// Takes a sender that is gone out of all reservations; those for nobody else end with it.
    fn forget_filter(&mut self, core: &mut Core, sender: Filter) {
        self.traffic_stale = true;
        for rsb in self.reservations.iter_mut().filter(|rsb| rsb.selection.selects(sender)) {
            core.outbox.reduce.disown(rsb);
            if let Selection::Explicit(list) = &mut rsb.selection {
                list.retain(|(filter, _)| *filter != sender);
            }
            rsb.forget_payers(|payer| payer.sender == sender);
        }
        let senders = &self.senders;
        self.reservations.retain(|rsb| match &rsb.selection {
            Selection::Fixed(only) => *only != sender,
            Selection::Explicit(list) => !list.is_empty(),
            Selection::Wildcard => senders.iter().any(|psb| rsb.selects(psb.sender)),
        });
    }

    fn forward_path_tear(&mut self, core: &mut Core, index: usize) {
        let Some(psb) = self.senders.get(index) else { return };
        let along = |interface: &u32| Way { interface: *interface, gateway: None };
        let ways: Vec<Way> = psb.outgoing.iter().map(along).collect();
        self.tear_paths(core, index, &ways);
    }

    /// Tells those on some ways that a sender's data does not come from here.
    pub(crate) fn tear_paths(&mut self, core: &mut Core, index: usize, ways: &[Way]) {
        let session = self.session;
        let Some(psb) = self.senders.get_mut(index) else { return };
        for number in psb.sent.take(|sent| ways.iter().any(|way| way.interface == sent)) {
            core.outbox.reduce.forget(number);
        }
        let Some(psb) = self.senders.get(index) else { return };
        for &Way { interface, gateway } in ways {
            if core.sinks_path(session, interface) {
                continue;
            }
            let Some(address) = core.interfaces.address(interface, session.destination) else {
                continue;
            };
            let meta = TransmitMeta {
                interface: Some(interface),
                gateway,
                source: Some(psb.sender.source),
                destination: session.destination,
                ttl: psb.facts.ttl.max(1),
                router_alert: true,
            };
            let on_link = || Some(session.destination).filter(|to| !to.is_multicast());
            let by_route = next_hop(core, session, psb, interface);
            let to = core.hop(interface, gateway.or(by_route).or_else(on_link));
            core.outbox.send(
                &mut core.counters,
                to,
                meta,
                MessageType::PathTear,
                RecordId::NONE,
                |w| {
                    w.object(&session)?;
                    w.object(&Hop { address, lih: interface })?;
                    w.object(&SenderTemplate(psb.sender))?;
                    w.object(&SenderTspec(psb.facts.tspec))?;
                    w.raw(&core.torn_with)
                },
            );
        }
    }
}
