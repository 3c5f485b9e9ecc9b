//! PATH: remember the sender, price what lies behind each outgoing interface, pass it on
//! (RFC 2205 sections 2.1 and 3.1.3, RFC 2209 section 2 "PATH message arrives").

use std::net::IpAddr;

use rsvp_wire::MessageType;
use rsvp_wire::message::Path;
use rsvp_wire::object::{
    Filter, FlowId, Hop, SenderTemplate, SenderTspec, Session, Style, TimeValues,
};

use super::charging;
use super::limits::Limit;
use super::outbox::Saying;
use super::policy::{self, Carried, PathPolicy};
use super::psb::{Outgoing, Psb, SenderFacts, Way};
use super::record::RecordId;
use super::session::SessionState;
use super::time::{Now, lifetime};
use super::{Core, Engine};
use crate::kernel::{Route, RouteKey};
use crate::packet::{PacketMeta, TransmitMeta};

/// Longest ADSPEC that is taken: one with all services of RFC 2212 and 2215 has some 100 bytes.
const ADSPEC_BYTES_MAX: usize = 1_024;

impl Engine {
    pub(crate) fn handle_path(&mut self, now: Now, meta: PacketMeta, path: &Path<'_>) {
        if let Err(reason) = self.plausible_path(&meta, path) {
            return self.core.counters.drop(reason);
        }
        let arrived = match Arrived::read(&self.core, now, meta, path) {
            Ok(arrived) => arrived,
            Err(fault) => return self.refuse_path(path, meta, fault),
        };
        if let Err(fault) = self.consistent_ports(path) {
            return self.refuse_path(path, meta, fault);
        }
        let slot = match self.sessions.find(&path.session) {
            Some(slot) => slot,
            None if self.sessions.len() >= self.core.config.limits.max_sessions as usize => {
                return self.refuse_path(path, meta, Limit::Sessions.in_path());
            }
            None => self.sessions.create(path.session),
        };
        let refused =
            self.with_session(slot, |core, session| session.take_path(core, now, arrived));
        if let Some(Err(fault)) = refused {
            self.refuse_path(path, meta, fault);
        }
    }

    /// Ports with and without a number do not mix (RFC 2205 section 3.2 rules 1 and 3).
    fn consistent_ports(&mut self, path: &Path<'_>) -> Result<(), charging::Fault> {
        let Some(slot) = self.sessions.find(&path.session) else {
            let conflict = self.sessions.port_conflict(&path.session);
            return if conflict { Err(charging::Fault::DEST_PORTS) } else { Ok(()) };
        };
        let sender = path.sender.template.0;
        let Some(state) = self.sessions.get_mut(slot) else { return Ok(()) };
        let mixes = |other: Filter| {
            other.source == sender.source
                && other.id != sender.id
                && (other.id == FlowId::Port(0) || sender.id == FlowId::Port(0))
        };
        if state.senders.iter().any(|psb| mixes(psb.sender)) {
            return Err(charging::Fault::SENDER_PORTS);
        }
        Ok(())
    }

    /// Looks at addresses that no honest PATH carries.
    fn plausible_path(&self, meta: &PacketMeta, path: &Path<'_>) -> Result<(), &'static str> {
        if self.core.interfaces.owns(path.hop.address) {
            return Err("own_message_returned");
        }
        if !may_be_destination(path.session.destination) {
            return Err("bad_session_address");
        }
        if meta.destination != path.session.destination {
            return Err("path_not_to_its_session");
        }
        if !may_be_source(path.sender.template.0.source) || !may_be_source(path.hop.address) {
            return Err("bad_sender_address");
        }
        if has_stray_port(&path.session, path.sender.template.0) {
            return Err("source_port_without_destination_port");
        }
        Ok(())
    }
}

/// A PATH in the shape in which the session keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) session: Session,
    pub(crate) sender: Filter,
    pub(crate) hop: Hop,
    pub(crate) incoming: u32,
    pub(crate) facts: SenderFacts,
    pub(crate) refresh_ms: u32,
    pub(crate) policy: PathPolicy,
}

impl Arrived {
    fn read(
        core: &Core,
        now: Now,
        meta: PacketMeta,
        path: &Path<'_>,
    ) -> Result<Self, charging::Fault> {
        let rsvp = &core.config.rsvp;
        let refresh_ms = path
            .time_values
            .refresh_ms
            .clamp(rsvp.accept_refresh_min_ms, rsvp.accept_refresh_max_ms);
        let adspec = path.sender.adspec.map(|adspec| adspec.bytes());
        if adspec.is_some_and(|adspec| adspec.len() > ADSPEC_BYTES_MAX) {
            return Err(charging::Fault::LONG_ADSPEC);
        }
        let mut policy = policy::read_path(core, now, path, meta.interface, refresh_ms)?;
        let carried = policy.carried.take();
        Ok(Self {
            session: path.session,
            sender: path.sender.template.0,
            hop: path.hop,
            incoming: meta.interface,
            facts: SenderFacts {
                tspec: path.sender.tspec,
                adspec: adspec.map(Into::into),
                carried,
                ttl: meta.ttl.saturating_sub(1),
                non_rsvp_hop: path.packet.send_ttl() != meta.ttl
                    || core
                        .interfaces
                        .get(meta.interface)
                        .is_some_and(|port| port.settings.non_rsvp_hop),
                e_police: path.session.flags & Session::E_POLICE != 0,
            },
            refresh_ms,
            policy,
        })
    }
}

impl SessionState {
    /// Creates or refreshes the PSB; forwards at once what changed. On an error nothing changed.
    pub(crate) fn take_path(
        &mut self,
        core: &mut Core,
        now: Now,
        mut arrived: Arrived,
    ) -> Result<(), charging::Fault> {
        let known = self.sender(arrived.sender);
        let old = known.and_then(|index| self.senders.get(index)?.facts.carried.as_ref());
        arrived.facts.carried = Carried::renewed(core, now, old, arrived.facts.carried, |_| false);
        self.room_for_carried(core, arrived.facts.carried.as_ref(), known, None)
            .map_err(Limit::in_path)?;
        let (index, created) = match known {
            Some(index) => (index, false),
            None => (self.add_sender(core, &arrived)?, true),
        };
        let Some(psb) = self.senders.get_mut(index) else { return Ok(()) };
        if psb.phop.is_none() {
            // A stranger claims to be a sender that lives here.
            core.counters.drop("path_from_own_sender");
            return Ok(());
        }
        let moved = !psb.came_from(arrived.hop, arrived.incoming);
        if moved && !self.counts(core, now, index, &arrived) {
            self.look_elsewhere(core, now, index);
            return Ok(());
        }
        let kept = self.chooses().then(|| arrived.clone());
        let Some(psb) = self.senders.get_mut(index) else { return Ok(()) };
        if moved {
            policy::path_may_move(core, now, psb, &arrived)?;
            self.move_upstream(core, now, index, arrived.hop, arrived.incoming);
        }
        let Some(psb) = self.senders.get_mut(index) else { return Ok(()) };
        match policy::path_in(core, now, psb, &arrived) {
            Ok(true) => {}
            // Refreshing by it would keep for ever what nobody announces any more, when a
            // previous hop has come back with a clock that went back.
            Ok(false) => return Ok(()),
            Err(fault) => {
                if created {
                    self.senders.pop();
                }
                return Err(fault);
            }
        }
        arrived.policy.elements.renew(&psb.elements, now);
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        psb.expires = now.at + lifetime(arrived.refresh_ms, k);
        psb.refresh_ms = arrived.refresh_ms;
        let changed = created
            || moved
            || psb.facts != arrived.facts
            || psb.elements != arrived.policy.elements;
        self.traffic_stale |= changed;
        psb.facts = arrived.facts;
        psb.elements = arrived.policy.elements;
        if let Some(kept) = kept {
            self.keep_counted(core, now, kept);
        }
        self.settle_outgoing(core, now, index);
        self.follow_route(core, now, index);
        let told = self.after_charging(core, now, index);
        if changed {
            self.forward_path_except(core, now, index, &told.interfaces);
        }
        if moved && !told.upstream {
            self.send_resv(core, now, arrived.hop.address);
        }
        self.arm_refresh(core, now);
        Ok(())
    }

    fn add_sender(&mut self, core: &mut Core, arrived: &Arrived) -> Result<usize, charging::Fault> {
        let limits = &core.config.limits;
        if self.senders.len() >= limits.max_senders_per_session as usize {
            return Err(Limit::SendersPerSession.in_path());
        }
        let from = (arrived.incoming, arrived.hop.address);
        core.neighbours.room_for_sender(limits, core.at, from).map_err(Limit::in_path)?;
        let multicast = self.session.destination.is_multicast();
        let route = RouteKey {
            destination: self.session.destination,
            source: multicast.then_some(arrived.sender.source),
            incoming: if multicast { arrived.incoming } else { 0 },
            transport: None,
        };
        // Nearly every session has one sender; room for four would be wasted a million times.
        self.senders.reserve_exact(1);
        let facts = arrived.facts.clone();
        self.senders.push(Psb {
            phop: Some(arrived.hop),
            incoming: arrived.incoming,
            flow: charging::new_flow(core),
            seat: core.neighbours.seat_sender(from),
            ..Psb::new(arrived.sender, facts, arrived.refresh_ms, route)
        });
        Ok(self.senders.len() - 1)
    }

    /// The PATH now comes over another previous hop: settle with the old one.
    fn move_upstream(&mut self, core: &mut Core, now: Now, index: usize, hop: Hop, incoming: u32) {
        if let (Some(style), Some(psb)) = (self.style(), self.senders.get(index)) {
            let sender = psb.sender;
            self.tear_upstream(core, style, &[sender]);
        }
        let slot = self.slot;
        let Some(psb) = self.senders.get_mut(index) else { return };
        charging::upstream_moved(core, now, psb);
        leave_flow_route(core, self.session, psb, slot);
        psb.hand_over(now.at, hop, incoming);
        psb.heard_by = None;
        psb.seat = core.neighbours.seat_sender((incoming, hop.address));
        if psb.route.source.is_some() && psb.route.incoming != incoming {
            let old = psb.route;
            psb.route.incoming = incoming;
            if !self.senders.iter().any(|other| other.route == old) {
                core.routes.leave(&old, slot);
            }
        }
    }

    /// Follows the sender's route, and ends what is reserved where its data goes no longer.
    fn settle_outgoing(&mut self, core: &mut Core, now: Now, index: usize) {
        let Some(psb) = self.senders.get(index) else { return };
        if psb.pinned.is_none()
            && let Some(Route::PerFlow) = core.routes.follow(psb.route, self.slot)
        {
            core.routes.follow(psb.flow_route(self.session), self.slot);
        }
        let outgoing = routed_to(core, self.session, psb);
        if outgoing == psb.outgoing {
            return;
        }
        let (sender, style) = (psb.sender, self.style());
        self.drop_rerouted(core, now, sender, &outgoing);
        let before = self.upstream_wishes();
        let was_reserved = self.reservations_for(sender).next().is_some();
        let Some(psb) = self.senders.get_mut(index) else { return };
        for number in psb.sent.take(|interface| !outgoing.contains(&interface)) {
            core.outbox.reduce.forget(number);
        }
        psb.outgoing = outgoing;
        self.traffic_stale = true;
        if let Some(style) = style {
            let concerned: &[Filter] = if was_reserved { &[sender] } else { &[] };
            self.tell_previous_hops(core, now, style, &before, concerned, false);
        }
    }

    /// Prices the interfaces on which a sender's PATH goes out.
    pub(crate) fn follow_route(&mut self, core: &mut Core, now: Now, index: usize) {
        let Some(psb) = self.senders.get(index) else { return };
        let prices = self.prices(core, psb, &psb.outgoing);
        let shared = self.style().is_some_and(|style| style != Style::FixedFilter);
        if let Some(psb) = self.senders.get_mut(index) {
            charging::sync_groups(core, now, psb, &prices, shared);
        }
    }

    /// The kernel answered, or changed its mind from `old`.
    pub(crate) fn route_changed(
        &mut self,
        core: &mut Core,
        now: Now,
        key: &RouteKey,
        old: Option<&Route>,
    ) {
        for index in 0..self.senders.len() {
            let session = self.session;
            let follows = |psb: &&mut Psb| {
                psb.pinned.is_none() && (psb.route == *key || psb.flow_route(session) == *key)
            };
            let Some(psb) = self.senders.get_mut(index).filter(follows) else { continue };
            leave_ways(session, psb, old);
            if psb.route == *key && old == Some(&Route::PerFlow) {
                leave_flow_route(core, session, psb, self.slot);
            }
            self.follow_expected(core, now, index);
            self.reroute(core, now, index);
        }
    }

    /// Prices, addresses or states of interfaces changed.
    pub(crate) fn interfaces_changed(&mut self, core: &mut Core, now: Now) {
        self.join_usable(core);
        for index in 0..self.senders.len() {
            self.reroute(core, now, index);
        }
    }

    /// Brings one sender's state in line with where its data goes now (RFC 2205 section 3.6).
    fn reroute(&mut self, core: &mut Core, now: Now, index: usize) {
        self.advertise(core, now, index);
        self.end_old_ways(core, index);
    }

    /// Where the data no longer goes, a PATHTEAR follows the PATH on the new way: the old way would
    /// go on to refresh what lies behind it for the lifetime of its state, and where both meet
    /// again the previous hop, and who is paid, would flip with each PATH (RFC 2205 section 3.1.3).
    ///
    /// That waits until the kernel has said which way is new, and there is one, since a route that
    /// is merely gone may come back, and until the old interface is up, since what lies behind it
    /// may outlast its being down.
    fn end_old_ways(&mut self, core: &mut Core, index: usize) {
        let session = self.session;
        let Some(psb) = self.senders.get_mut(index).filter(|psb| !psb.left.is_empty()) else {
            return;
        };
        if psb.pinned.is_none() && route_of(core, session, psb).is_none() {
            return;
        }
        let taken = &psb.outgoing;
        let mut left = std::mem::take(&mut psb.left).into_vec();
        left.sort_unstable();
        left.dedup();
        left.retain(|way| !taken.contains(&way.interface));
        let is_up = |way: &Way| core.interfaces.get(way.interface).is_some_and(|p| p.usable());
        let (over, waiting): (Vec<Way>, _) =
            left.into_iter().partition(|way| !taken.is_empty() && is_up(way));
        psb.left = waiting.into_boxed_slice();
        self.tear_paths(core, index, &over);
    }

    /// Looks up where a sender's data goes, and sends its PATH there.
    pub(crate) fn advertise(&mut self, core: &mut Core, now: Now, index: usize) {
        self.settle_outgoing(core, now, index);
        self.follow_route(core, now, index);
        let told = self.after_charging(core, now, index);
        self.forward_path_except(core, now, index, &told.interfaces);
        self.arm_refresh(core, now);
    }

    /// Refreshes what was said of one sender on all interfaces that its data takes.
    pub(crate) fn refresh_path(&mut self, core: &mut Core, now: Now, index: usize) {
        self.forward_path_where(core, now, index, true, |_| true);
    }

    /// Sends the PATH of one sender out of one interface.
    pub(crate) fn forward_path_on(
        &mut self,
        core: &mut Core,
        now: Now,
        index: usize,
        interface: u32,
    ) {
        self.forward_path_where(core, now, index, false, |other| other == interface);
    }

    fn forward_path_except(&mut self, core: &mut Core, now: Now, index: usize, done: &[u32]) {
        self.forward_path_where(core, now, index, false, |other| !done.contains(&other));
    }

    fn forward_path_where(
        &mut self,
        core: &mut Core,
        now: Now,
        index: usize,
        refresh: bool,
        wanted: impl Fn(u32) -> bool,
    ) {
        let (session, slot) = (self.session, self.slot);
        let Some(psb) = self.senders.get_mut(index) else { return };
        if psb.facts.ttl == 0 && psb.outgoing.iter().any(|interface| wanted(*interface)) {
            return core.counters.drop("ttl_exhausted");
        }
        for at in 0..psb.outgoing.len() {
            if let Some(interface) = psb.outgoing.get(at).copied().filter(|it| wanted(*it)) {
                send_path(core, now, (session, slot), psb, interface, refresh);
            }
        }
    }
}

/// Interfaces on which a sender's PATH is to leave this node, as routing has it now.
fn routed_to(core: &Core, session: Session, psb: &Psb) -> Outgoing {
    let is_usable = |interface| core.interfaces.get(interface).is_some_and(|port| port.usable());
    if psb.phop.is_some() {
        // Nothing comes in over an interface that is down. Whoever went on to refresh the way
        // behind it would be taken for a previous hop there, beside the one that replaced it.
        if core.config.rsvp.role == crate::config::Role::Host || !is_usable(psb.incoming) {
            return Outgoing::Nowhere;
        }
    }
    let usable = |interface: &u32| *interface != psb.incoming && is_usable(*interface);
    if let Some(interface) = psb.pinned {
        return Some(interface).into_iter().filter(usable).collect();
    }
    let Some(route) = route_of(core, session, psb) else {
        // The kernel has not answered yet: what is reserved stays until it does.
        return psb.outgoing.iter().copied().filter(usable).collect();
    };
    named_by(Some(route), session, psb).iter().copied().filter(usable).collect()
}

/// The route of a sender's data; `None` while the kernel has not answered.
fn route_of<'c>(core: &'c Core, session: Session, psb: &Psb) -> Option<&'c Route> {
    match core.routes.get(&psb.route) {
        Some(Route::PerFlow) => core.routes.get(&psb.flow_route(session)),
        route => route,
    }
}

/// Forgets the route of one flow: the destination has one for all again, or the flow comes in
/// elsewhere.
fn leave_flow_route(core: &mut Core, session: Session, psb: &mut Psb, slot: usize) {
    let flow = psb.flow_route(session);
    leave_ways(session, psb, core.routes.get(&flow));
    core.routes.leave(&flow, slot);
}

/// Notes the ways of a route that a sender's data may have left.
fn leave_ways(session: Session, psb: &mut Psb, route: Option<&Route>) {
    let gateway = match route {
        Some(Route::Unicast { gateway, .. }) => *gateway,
        _ => None,
    };
    let mut left = std::mem::take(&mut psb.left).into_vec();
    let interfaces = named_by(route, session, psb);
    left.extend(interfaces.iter().map(|interface| Way { interface: *interface, gateway }));
    psb.left = left.into_boxed_slice();
}

/// Interfaces to which a route sends a sender's data.
fn named_by<'a>(route: Option<&'a Route>, session: Session, psb: &Psb) -> &'a [u32] {
    match route {
        Some(Route::Unicast { interface, .. }) => std::slice::from_ref(interface),
        // Data that comes in elsewhere than where the kernel expects it is not forwarded, so
        // PATH must not be either (RFC 2205 section 3.9, "Local_Only").
        Some(Route::Multicast { incoming, outgoing })
            if *incoming == psb.incoming && session.destination.is_multicast() =>
        {
            outgoing
        }
        _ => &[],
    }
}

/// Sends one sender's PATH out of one interface.
fn send_path(
    core: &mut Core,
    now: Now,
    (session, slot): (Session, usize),
    psb: &mut Psb,
    interface: u32,
    refresh: bool,
) {
    if core.sinks_path(session, interface) {
        return;
    }
    let Some(port) = core.interfaces.get(interface) else { return };
    let Some(address) = core.interfaces.address(interface, session.destination) else {
        return core.counters.drop("no_address_on_outgoing_interface");
    };
    let refresh_ms = core.interfaces.refresh_ms_on(interface, now.at);
    let mtu = port.kernel.mtu;
    let meta = TransmitMeta {
        interface: Some(interface),
        gateway: None,
        source: Some(psb.sender.source),
        destination: session.destination,
        ttl: psb.facts.ttl,
        router_alert: true,
    };
    let hop = Hop { address, lih: interface };
    let to = core.hop(interface, next_hop(core, session, psb, interface));
    let mut out = std::mem::take(&mut core.policy_out);
    let said = policy::path_out(core, now, psb, session, hop, &mut out);
    let facts = &psb.facts;
    let sender = psb.sender;
    let group = session.destination.is_multicast();
    let multicast = group.then_some((sender.source, session.destination));
    let mut sent = psb.sent.get(interface);
    // Routers police; a host leaves that to the first of them (RFC 2205 section 3.8).
    let host = core.config.rsvp.role == crate::config::Role::Host;
    let session = if host && facts.e_police {
        Session { flags: Session::E_POLICE, ..session }
    } else {
        session
    };
    if let Err(reason) = said {
        core.counters.drop(reason);
        core.policy_out = out;
        return;
    }
    let saying = Saying { sent: &mut sent, slot, refresh, needs: RecordId::NONE, multicast };
    core.outbox.say(&mut core.counters, to, meta, MessageType::Path, saying, |w| {
        w.object(&session)?;
        w.object(&hop)?;
        w.object(&TimeValues { refresh_ms })?;
        w.raw(out.bytes())?;
        // POLICY_DATA is among it, which stands before the sender descriptor.
        w.raw(facts.carried.as_ref().map(Carried::bytes).unwrap_or_default())?;
        w.object(&SenderTemplate(sender))?;
        w.object(&SenderTspec(facts.tspec))?;
        match &facts.adspec {
            Some(adspec) => super::refresh::write_adspec(w, adspec, facts.non_rsvp_hop, mtu),
            None => Ok(()),
        }
    });
    core.policy_out = out;
    psb.sent.set(interface, sent);
}

/// The hop that will handle what is sent along with a sender's data on an interface, where routing
/// tells and would tell if another one did (RFC 2961 section 3.3): the next hop of a unicast route,
/// whoever is at the other end of a link between two.
pub(crate) fn next_hop(core: &Core, session: Session, psb: &Psb, interface: u32) -> Option<IpAddr> {
    let destination = session.destination;
    if destination.is_multicast() {
        return core.interfaces.get(interface)?.other_end(destination);
    }
    match route_of(core, session, psb)? {
        Route::Unicast { interface: out, gateway } if *out == interface => {
            Some(gateway.unwrap_or(destination))
        }
        _ => None,
    }
}

/// True for a sender with a port in a session without: such messages are discarded without a word
/// (RFC 2205 section 3.2 rule 2, RFC 2209 section 2).
pub(crate) fn has_stray_port(session: &Session, sender: Filter) -> bool {
    session.destination_port == 0
        && !session.generalized
        && matches!(sender.id, FlowId::Port(port) if port != 0)
}

/// True for an address that a session can have.
pub(crate) fn may_be_destination(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_loopback() && !broadcast
}

/// True for an address that a sender or a hop can have.
pub(crate) fn may_be_source(address: IpAddr) -> bool {
    may_be_destination(address) && !address.is_multicast()
}
