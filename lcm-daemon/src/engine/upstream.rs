//! What this node asks of its previous hops: merged from all reservations, refreshed, confirmed
//! (RFC 2205 sections 2.2 and 2.6, RFC 2209 section 2 "RESV refresh").

use std::net::IpAddr;

use rsvp_wire::MessageType;
use rsvp_wire::iana::class;
use rsvp_wire::object::{
    ErrorFlags, ErrorSpec, Filter, FlowSpec, Hop, ResvConfirm, Scope, Session, Style, TimeValues,
};

use super::flowspec::merge;
use super::outbox::Saying;
use super::policy::{self, Offer, ResvOut};
use super::psb::Psb;
use super::record::RecordId;
use super::resv::filter_specs;
use super::rsb::{LOCAL, Rsb, Selection};
use super::session::SessionState;
use super::time::Now;
use super::{Core, Few, One};
use crate::packet::TransmitMeta;

/// TTL of messages that go straight to the neighbouring hop.
pub(crate) const HOP_TTL: u8 = 255;

/// Senders that go into one RESV; with a payment each they stay below a common MTU.
const SENDERS_PER_MESSAGE: usize = 6;

/// What is asked for one sender.
pub(crate) type Wish = (Filter, IpAddr, FlowSpec);

/// A next hop: interface and address.
type NextHop = (u32, IpAddr);

/// One sender's part of a RESV.
struct Part {
    sender: Filter,
    flowspec: FlowSpec,
    offer: Offer,
}

impl SessionState {
    /// What the previous hops are to be asked for now.
    pub(crate) fn upstream_wishes(&self) -> Few<Wish> {
        let wish = |psb: &Psb| Some((psb.sender, psb.phop_address()?, self.merged(psb.sender)?));
        self.senders.iter().filter_map(wish).collect()
    }

    /// The previous hops whose wishes are not what they were.
    pub(crate) fn changed_wishes(&self, before: &[Wish]) -> Few<IpAddr> {
        let now = self.upstream_wishes();
        let new = now.iter().filter(|wish| !before.contains(wish));
        let gone = before.iter().filter(|wish| !now.contains(wish));
        let mut hops: Few<IpAddr> = new.chain(gone).map(|(_, phop, _)| *phop).collect();
        hops.sort_unstable();
        hops.dedup();
        hops
    }

    /// Sends what this node reserves at one previous hop.
    pub(crate) fn send_resv(&mut self, core: &mut Core, now: Now, phop: IpAddr) {
        self.say_resv(core, now, phop, false);
    }

    /// Refreshes what this node reserves at one previous hop.
    pub(crate) fn refresh_resv(&mut self, core: &mut Core, now: Now, phop: IpAddr) {
        self.say_resv(core, now, phop, true);
    }

    fn say_resv(&mut self, core: &mut Core, now: Now, phop: IpAddr, refresh: bool) {
        let Some(style) = self.style() else { return };
        let reserved: Few<usize> = (0..self.senders.len())
            .filter(|index| {
                let psb = self.senders.get(*index);
                psb.is_some_and(|psb| {
                    psb.phop_address() == Some(phop)
                        && self.reservations_for(psb.sender).next().is_some()
                })
            })
            .collect();
        let chunk = match style {
            // All senders share one descriptor without filters.
            Style::WildcardFilter => reserved.len().max(1),
            _ => SENDERS_PER_MESSAGE,
        };
        // All senders of a shared style are asked for together, however many messages it takes.
        let mut shared = None;
        if style != Style::FixedFilter {
            let flowspecs = reserved.iter().filter_map(|index| self.senders.get(*index));
            let mut flowspecs = flowspecs.filter_map(|psb| self.merged(psb.sender));
            let first = flowspecs.next();
            shared = first.and_then(|first| flowspecs.try_fold(first, merge));
            if shared.is_none() {
                return;
            }
        }
        let mut said: Few<usize> = Few::new();
        for part in reserved.chunks(chunk) {
            said.extend(self.send_parts(core, now, style, shared, part, refresh));
        }
        // Messages that began with another sender are past.
        let to_hop = |(index, psb): &(usize, &mut Psb)| {
            psb.phop_address() == Some(phop) && !said.contains(index)
        };
        for (_, psb) in self.senders.iter_mut().enumerate().filter(to_hop) {
            psb.forget_resv(core);
        }
    }

    /// Sends one RESV for senders that share a previous hop and interface; returns under which of
    /// them it is known.
    fn send_parts(
        &mut self,
        core: &mut Core,
        now: Now,
        style: Style,
        shared: Option<FlowSpec>,
        indices: &[usize],
        refresh: bool,
    ) -> Option<usize> {
        let head = *indices.first()?;
        let psb = self.senders.get(head)?;
        let (phop, incoming) = (psb.phop?, psb.incoming);
        let mut sent = psb.sent_resv;
        let address = core.interfaces.address(incoming, self.session.destination)?;
        let refresh_ms = core.interfaces.refresh_ms_on(incoming, now.at);
        let scope = self.scope_towards(style, phop.address);
        if scope.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let mut needs = RecordId::default();
        let mut parts: One<Part> = One::with_capacity(indices.len());
        for index in indices {
            let Some(flowspec) = self.senders.get(*index).and_then(|psb| self.merged(psb.sender))
            else {
                continue;
            };
            let Some(psb) = self.senders.get_mut(*index) else { continue };
            let Some(offer) = policy::resv_offer(core, now, psb) else { continue };
            psb.reserved_upstream = true;
            needs = needs.max(psb.needs);
            let flowspec = shared.unwrap_or(flowspec);
            parts.push(Part { sender: psb.sender, flowspec, offer });
        }
        if parts.is_empty() {
            return None;
        }
        let (confirm, carried) =
            self.upstream_extras(&parts, core.config.limits.max_policy_bytes as usize);
        let meta = TransmitMeta {
            interface: None,
            gateway: None,
            source: Some(address),
            destination: phop.address,
            ttl: HOP_TTL,
            router_alert: false,
        };
        let (session, hop) = (self.session, Hop { address, lih: phop.lih });
        let mut out = std::mem::take(&mut core.policy_out);
        out.clear();
        let named = parts.len() > 1 || style == Style::WildcardFilter;
        let below = &self.reservations;
        let to = core.hop(incoming, Some(phop.address));
        // One that asks for a confirmation is no refresh, nor can it be repeated by number.
        let refresh = refresh && confirm.is_none();
        let slot = self.slot;
        let saying = Saying { sent: &mut sent, slot, refresh, needs, multicast: None };
        let here =
            |rsb: &Rsb| rsb.outgoing == LOCAL && parts.iter().any(|part| rsb.selects(part.sender));
        let receiver = self.receiver.as_ref().filter(|_| below.iter().any(here));
        let identity = receiver.and_then(|receiver| receiver.request.identity.as_ref());
        for (at, Part { sender, offer, .. }) in parts.iter().enumerate() {
            let about = ResvOut {
                own: hop,
                session,
                interface: incoming,
                phop: phop.address,
                first: at == 0,
                identity,
                sender: *sender,
                named,
                below,
                offer,
            };
            policy::resv_out(core, &about, &mut out);
        }
        core.outbox.say(&mut core.counters, to, meta, MessageType::Resv, saying, |w| {
            w.object(&session)?;
            w.object(&hop)?;
            w.object(&TimeValues { refresh_ms })?;
            if let Some(confirm) = confirm {
                w.object(&confirm)?;
            }
            if let Some(scope) = &scope {
                w.object(&Scope(scope))?;
            }
            w.raw(out.bytes())?;
            w.raw(&carried)?;
            w.object(&style)?;
            write_descriptors(w, style, &parts)
        });
        core.policy_out = out;
        if let Some(psb) = self.senders.get_mut(head) {
            psb.sent_resv = sent;
        }
        Some(head)
    }

    /// WF: the senders behind a previous hop that the reservation is meant to reach, where there
    /// are several previous hops and so a loop is possible (RFC 2205 section 3.4); `None` where no
    /// SCOPE is needed.
    fn scope_towards(&self, style: Style, phop: IpAddr) -> Option<Vec<IpAddr>> {
        let elsewhere = self.senders.iter().any(|psb| psb.phop_address() != Some(phop));
        if style != Style::WildcardFilter || !elsewhere {
            return None;
        }
        let here = self.senders.iter().filter(|psb| psb.phop_address() == Some(phop));
        let reserved = here.filter(|psb| self.reservations_for(psb.sender).next().is_some());
        let mut sources: Vec<IpAddr> = reserved.map(|psb| psb.sender.source).collect();
        sources.sort_unstable();
        sources.dedup();
        Some(sources)
    }

    /// A waiting request for confirmation and the objects that are carried.
    fn upstream_extras(&self, parts: &[Part], most: usize) -> (Option<ResvConfirm>, Vec<u8>) {
        let concerned = self
            .reservations
            .iter()
            .filter(|rsb| parts.iter().any(|part| rsb.selects(part.sender)));
        let senders: Few<Filter> = parts.iter().map(|part| part.sender).collect();
        let mut confirm = None;
        let mut carried = Vec::new();
        let mut taken: Vec<(Option<NextHop>, &[u8])> = Vec::new();
        for rsb in concerned {
            confirm = confirm.or(rsb.confirm);
            for object in rsb.carried.iter().flat_map(|carried| carried.about(&senders)) {
                // Only one copy of each object of unknown class (RFC 2205 section 3.10). All
                // POLICY_DATA (RFC 2750 section 4.2), but one copy of what fixed filters share that
                // came in one message. And what strangers add must not keep our own RESV from
                // fitting into a packet.
                let of_policy = object.get(2) == Some(&class::POLICY_DATA);
                let from = of_policy.then_some((rsb.outgoing, rsb.next_hop));
                if carried.len() + object.len() <= most && !taken.contains(&(from, object)) {
                    carried.extend_from_slice(object);
                    taken.push((from, object));
                }
            }
        }
        (confirm, carried)
    }

    /// Answers the request for confirmation of a reservation for each sender whose share merges
    /// into one that stands already, or that lives here; returns the previous hops to which it
    /// must go on (RFC 2205 section 2.6).
    pub(crate) fn answer_confirm(
        &mut self,
        core: &mut Core,
        outgoing: u32,
        next_hop: IpAddr,
        selection: &Selection,
        changed: &[IpAddr],
    ) -> Vec<IpAddr> {
        let at = self.reservation(outgoing, next_hop, selection);
        let Some(rsb) = at.and_then(|at| self.reservations.get(at)) else { return Vec::new() };
        let Some(confirm) = rsb.confirm else { return Vec::new() };
        let mut onward = Vec::new();
        let mut here = Vec::new();
        for psb in self.senders.iter().filter(|psb| rsb.matches(psb)) {
            match psb.phop_address() {
                Some(phop) if changed.contains(&phop) || !psb.reserved_upstream => {
                    onward.push(phop);
                }
                _ => here.push(psb),
            }
        }
        if onward.is_empty()
            && let Some(first) = here.first()
            && let Some(node) = core
                .interfaces
                .address(outgoing, self.session.destination)
                .or_else(|| own_address(core, self.session, first))
        {
            let filters: Vec<Filter> = here.iter().map(|psb| psb.sender).collect();
            let needs = here.iter().map(|psb| psb.needs).max().unwrap_or_default();
            let about = Confirmed { node, confirm, flowspec: rsb.flowspec, selection, needs };
            send_confirmation(core, self.session, &about, &filters);
        }
        onward
    }
}

fn write_descriptors(
    writer: &mut rsvp_wire::MessageWriter<'_>,
    style: Style,
    parts: &[Part],
) -> Result<(), rsvp_wire::BufferTooSmall> {
    if style == Style::FixedFilter {
        for part in parts {
            writer.object(&part.flowspec)?;
            writer.object(&rsvp_wire::object::FilterSpec(part.sender))?;
        }
        return Ok(());
    }
    if let Some(part) = parts.first() {
        writer.object(&part.flowspec)?;
    }
    if style == Style::SharedExplicit {
        for part in parts {
            writer.object(&rsvp_wire::object::FilterSpec(part.sender))?;
        }
    }
    Ok(())
}

/// What a RESVCONF says.
struct Confirmed<'a> {
    node: IpAddr,
    confirm: ResvConfirm,
    flowspec: FlowSpec,
    selection: &'a Selection,
    /// The record that it rests on.
    needs: RecordId,
}

fn send_confirmation(core: &mut Core, session: Session, about: &Confirmed<'_>, filters: &[Filter]) {
    let Confirmed { node, confirm, flowspec, selection, needs } = *about;
    let meta = TransmitMeta {
        interface: None,
        gateway: None,
        source: Some(node),
        destination: confirm.receiver,
        ttl: HOP_TTL,
        router_alert: true,
    };
    let style = selection.style();
    // It goes by way of the next hops, which are not asked for an acknowledgement.
    let to = core.hop(0, None);
    core.outbox.send(&mut core.counters, to, meta, MessageType::ResvConf, needs, |w| {
        w.object(&session)?;
        w.object(&ErrorSpec { node, flags: ErrorFlags::NONE, code: 0, value: 0 })?;
        w.object(&confirm)?;
        w.object(&style)?;
        w.object(&flowspec)?;
        if style != Style::WildcardFilter {
            for filter in filter_specs(filters) {
                w.object(&filter)?;
            }
        }
        Ok(())
    });
}

/// The address by which this node speaks of a sender: the incoming interface's, or the sender's
/// own if it lives here.
pub(crate) fn own_address(core: &Core, session: Session, psb: &Psb) -> Option<IpAddr> {
    match psb.phop {
        None => Some(psb.sender.source),
        Some(_) => core.interfaces.address(psb.incoming, session.destination),
    }
}
