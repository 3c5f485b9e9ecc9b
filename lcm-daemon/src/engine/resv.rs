//! RESV: check the payment, keep the reservation, and see what the previous hops must hear
//! (RFC 2205 sections 2.2 and 3.1.4, RFC 2209 section 2 "RESV message arrives").

use std::net::IpAddr;

use rsvp_wire::iana::error_code;
use rsvp_wire::message::Resv;
use rsvp_wire::object::{Filter, FilterSpec, FlowSpec, Hop, ResvConfirm, Style};

use super::charging::{self, Admission, Fault};
use super::flowspec::merge;
use super::limits::Limit;
use super::path::has_stray_port;
use super::payers::veils;
use super::policy::{self, Carried, Concerns, ResvPolicy};
use super::psb::Psb;
use super::reduce::Numbers;
use super::rsb::{LOCAL, Payer, Rsb, Selection};
use super::session::SessionState;
use super::time::{Instant, Now, lifetime};
use super::{Core, Engine, Few};

/// One flow descriptor of a RESV with all that came with it.
pub(crate) struct Request {
    pub(crate) outgoing: u32,
    pub(crate) next_hop: IpAddr,
    pub(crate) selection: Selection,
    pub(crate) flowspec: FlowSpec,
    pub(crate) confirm: Option<ResvConfirm>,
    pub(crate) scope: Option<Box<[IpAddr]>>,
    pub(crate) refresh_ms: u32,
    /// What it says to handlers, and what goes on.
    pub(crate) policy: ResvPolicy,
    /// The block that this renews was paid for in advance (PRT, RFC 2750 section 3.2).
    pub(crate) paid_before: bool,
    /// What is reserved already where this renews or changes a block.
    pub(crate) stood: Option<FlowSpec>,
    /// Who pays, where that is not the next hop alone: at first as the block that this renews has
    /// it.
    pub(crate) payers: Box<[Payer]>,
    /// It is for a receiver without RSVP.
    pub(crate) proxied: bool,
    /// What this request, and none that comes of it, may take from reservations of lower priority,
    /// in bits per second.
    pub(crate) yielding: u128,
}

/// A part of a request that was refused: for this sender, or for all of them.
pub(crate) type Refusal = (Option<Filter>, Fault);

impl Engine {
    /// True if nothing of it was refused.
    pub(crate) fn handle_resv(&mut self, now: Now, resv: &Resv<'_>) -> bool {
        if let Err(reason) = self.plausible_next_hop(resv.hop) {
            self.core.counters.drop(reason);
            return false;
        }
        let filters = resv.flows().filter_map(|flow| flow.filter);
        if filters.into_iter().any(|filter| has_stray_port(&resv.session, filter.0)) {
            self.core.counters.drop("source_port_without_destination_port");
            return false;
        }
        let outgoing = resv.hop.lih;
        let Some(slot) = self.sessions.find(&resv.session) else {
            let conflict = self.sessions.port_conflict(&resv.session);
            let fault = if conflict { Fault::DEST_PORTS } else { Fault::NO_PATH };
            self.refuse_resv(resv, None, &fault);
            return false;
        };
        let most = self.core.config.limits.max_flows_per_message as usize;
        let mut descriptors = descriptors(resv);
        let mut all_taken = descriptors.len() <= most;
        if let Some((flowspec, filters)) = descriptors.get(most) {
            // One answer for all that is left over: it names the first.
            let fault = Limit::FlowsPerMessage.in_resv();
            self.refuse_resv(resv, Some((*flowspec, filters)), &fault);
            descriptors.truncate(most);
        }
        for (flowspec, filters) in descriptors {
            let request = Request::read(&self.core, now, resv, flowspec, &filters);
            let refusals = match request {
                Ok(mut request) => {
                    let claim = self.claim(slot, &mut request);
                    let refusals = self
                        .with_session(slot, |core, session| session.take_resv(core, now, request));
                    self.collect(now, claim);
                    refusals.unwrap_or_default()
                }
                Err(fault) => vec![(None, fault)],
            };
            all_taken &= refusals.is_empty();
            for (sender, fault) in refusals {
                let about =
                    sender.map_or_else(|| filters.clone(), |sender| Few::from_iter([sender]));
                let answered = self.refuse_resv(resv, Some((flowspec, &about)), &fault);
                if !answered || fault.code != error_code::POLICY {
                    continue;
                }
                self.with_session(slot, |core, session| {
                    for sender in about {
                        session.requote(core, now, sender, outgoing);
                    }
                });
            }
        }
        all_taken
    }
}

impl Engine {
    /// Looks at an RSVP_HOP that no honest next hop sends: its handle names an interface of ours,
    /// its address somebody else.
    pub(crate) fn plausible_next_hop(&self, hop: Hop) -> Result<(), &'static str> {
        if hop.lih == LOCAL || self.core.interfaces.get(hop.lih).is_none() {
            return Err("unknown_interface_handle");
        }
        if !super::path::may_be_source(hop.address) || self.core.interfaces.owns(hop.address) {
            return Err("bad_next_hop_address");
        }
        Ok(())
    }
}

/// The flow descriptors: one for each sender with fixed filters, one for all with shared ones.
pub(crate) fn descriptors(resv: &Resv<'_>) -> Few<(FlowSpec, Few<Filter>)> {
    let each = resv.flows().map(|flow| (flow.flowspec, flow.filter.map(|filter| filter.0)));
    if resv.style == Style::FixedFilter {
        return each.map(|(flowspec, filter)| (flowspec, Few::from_iter(filter))).collect();
    }
    let Some(flowspec) = resv.flows().next().map(|flow| flow.flowspec) else {
        return Few::new();
    };
    let mut filters: Few<Filter> = each.filter_map(|(_, filter)| filter).collect();
    filters.sort_unstable();
    filters.dedup();
    Few::from_iter([(flowspec, filters)])
}

impl Request {
    fn read(
        core: &Core,
        now: Now,
        resv: &Resv<'_>,
        flowspec: FlowSpec,
        filters: &[Filter],
    ) -> Result<Self, Fault> {
        let rsvp = &core.config.rsvp;
        let refresh_ms = resv
            .time_values
            .refresh_ms
            .clamp(rsvp.accept_refresh_min_ms, rsvp.accept_refresh_max_ms);
        let expires = now.at + lifetime(refresh_ms, u32::from(rsvp.lifetime_multiplier));
        let selection = match (resv.style, filters) {
            (Style::FixedFilter, [filter, ..]) => Selection::Fixed(*filter),
            (Style::SharedExplicit, filters) => {
                Selection::Explicit(filters.iter().map(|filter| (*filter, expires)).collect())
            }
            (Style::WildcardFilter, _) => Selection::Wildcard,
            _ => return Err(Fault::UNKNOWN_STYLE),
        };
        Ok(Self {
            outgoing: resv.hop.lih,
            next_hop: resv.hop.address,
            selection,
            flowspec,
            confirm: resv.confirm,
            scope: resv.has_scope().then(|| resv.scope().collect()),
            refresh_ms,
            policy: policy::read_resv(core, now, resv, filters, refresh_ms)?,
            paid_before: false,
            stood: None,
            payers: Box::default(),
            proxied: false,
            yielding: 0,
        })
    }

    /// The block that this request would make.
    fn into_rsb(self, expires: Instant) -> Rsb {
        Rsb {
            outgoing: self.outgoing,
            next_hop: self.next_hop,
            selection: self.selection,
            flowspec: self.flowspec,
            confirm: self.confirm,
            carried: self.policy.carried,
            elements: self.policy.elements,
            policy_until: Instant::default(),
            scope: self.scope,
            payers: self.payers,
            proxied: self.proxied,
            expires,
            refresh_ms: self.refresh_ms,
            numbers: Numbers::default(),
            seat: None,
        }
    }
}

impl SessionState {
    /// Admits, refreshes or changes one reservation; returns what was refused of it.
    pub(crate) fn take_resv(
        &mut self,
        core: &mut Core,
        now: Now,
        mut request: Request,
    ) -> Vec<Refusal> {
        self.renew_policy(core, now, &mut request);
        self.release_unheard(core, now, &request);
        let senders = match self.admissible(core, &mut request) {
            Ok(senders) => senders,
            Err(fault) => return vec![(None, fault)],
        };
        let crowded_out = match self.crowded_out(core, &mut request) {
            Ok(refusal) => refusal,
            Err(fault) => return vec![(None, fault)],
        };
        request.policy.payments.for_senders(senders.len());
        let (admitted, mut refusals) = self.settle_payments(core, now, &request, &senders);
        refusals.extend(crowded_out);
        self.leave_unpaid(&mut request, &admitted);
        if admitted.is_empty() {
            return refusals;
        }
        if let Selection::Explicit(filters) = &mut request.selection {
            filters.retain(|(filter, _)| admitted.contains(filter));
        }
        request.payers = self.payers_with(now, &request, &admitted);
        let present = self.present_payers(&request, &admitted);
        for psb in self.senders.iter_mut().filter(|psb| admitted.contains(&psb.sender)) {
            let elsewhere = self.reservations.iter().any(|rsb| {
                (rsb.outgoing, rsb.next_hop) != (request.outgoing, request.next_hop)
                    && veils(&rsb.payers, rsb.next_hop, psb.sender)
            });
            psb.veiled = elsewhere || veils(&request.payers, request.next_hop, psb.sender);
        }
        let hop = (request.outgoing, request.next_hop);
        let speaks_rsvp = hop.0 != LOCAL && !request.proxied;
        self.install(core, now, request);
        self.move_payers(core, now, hop, &present);
        if speaks_rsvp {
            self.give_way(core, now, hop.0, &admitted);
        }
        refusals
    }

    /// Adds what stands to the policy data of a request that renews a block and leaves it out.
    fn renew_policy(&self, core: &Core, now: Now, request: &mut Request) {
        let known = self.reservation(request.outgoing, request.next_hop, &request.selection);
        let Some(old) = known.and_then(|at| self.reservations.get(at)) else { return };
        request.stood = Some(old.flowspec);
        request.paid_before = old.policy_until > now.at;
        request.payers = old.payers.clone();
        request.policy.elements.renew(&old.elements, now);
        let named: Few<Filter> = match &request.selection {
            Selection::Explicit(filters) => filters.iter().map(|(filter, _)| *filter).collect(),
            _ => Few::new(),
        };
        // A list of senders may come in several messages.
        let others =
            |concerns: &Concerns| !named.is_empty() && Carried::only_others(concerns, &named);
        let new = request.policy.carried.take();
        request.policy.carried = Carried::renewed(core, now, old.carried.as_ref(), new, others);
    }

    /// Asks traffic control. A change for which there is no room is refused, and the message taken
    /// as a refresh of what stands: "InPlace" (RFC 2205 sections 3.1.8 and 3.11.2).
    fn crowded_out(&self, core: &Core, request: &mut Request) -> Result<Option<Refusal>, Fault> {
        let admitted = self
            .admit_while_draining(core, request)
            .and_then(|()| self.admit_traffic(core, request));
        let Err(mut fault) = admitted else { return Ok(None) };
        let known = self.reservation(request.outgoing, request.next_hop, &request.selection);
        let Some(stands) = known.and_then(|at| self.reservations.get(at)) else {
            return Err(fault);
        };
        request.flowspec = stands.flowspec;
        request.confirm = None;
        fault.in_place = true;
        Ok(Some((None, fault)))
    }

    /// What was asked for and not paid for is not reserved: what stands stays (T4).
    fn leave_unpaid(&self, request: &mut Request, admitted: &[Filter]) {
        let known = self.reservation(request.outgoing, request.next_hop, &request.selection);
        let Some(stands) = known.and_then(|at| self.reservations.get(at)) else { return };
        let mut senders = self.senders.iter().filter(|psb| admitted.contains(&psb.sender));
        let outgoing = request.outgoing;
        if senders.any(|psb| charging::is_unpaid(psb, outgoing, stands.origins(psb.sender))) {
            request.flowspec = stands.flowspec;
            request.confirm = None;
        }
    }

    /// Everything that can refuse a reservation but its payment; otherwise the senders that it is
    /// for. Filters that match no sender are taken out of a shared list (RFC 2209).
    fn admissible(&self, core: &mut Core, request: &mut Request) -> Result<Few<Filter>, Fault> {
        let style = request.selection.style();
        if self.style().is_some_and(|own| own != style) {
            return Err(Fault::STYLE_CONFLICT);
        }
        let outgoing = request.outgoing;
        let routed = |filter: Filter| {
            let psb = self.sender(filter).and_then(|index| self.senders.get(index));
            psb.is_some_and(|psb| {
                let here = outgoing == LOCAL && psb.phop.is_some();
                here || psb.outgoing.contains(&outgoing)
            })
        };
        if let Selection::Explicit(filters) = &mut request.selection {
            filters.retain(|(filter, _)| routed(*filter));
        }
        let wanted = |filter: Filter| match &request.selection {
            Selection::Fixed(only) => *only == filter,
            Selection::Explicit(list) => list.iter().any(|(other, _)| *other == filter),
            Selection::Wildcard => {
                request.scope.as_ref().is_none_or(|scope| scope.contains(&filter.source))
            }
        };
        let all = self.senders.iter().map(|psb| psb.sender);
        let senders: Few<Filter> =
            all.filter(|filter| wanted(*filter) && routed(*filter)).collect();
        if senders.is_empty() {
            return Err(Fault::NO_SENDER);
        }
        let known = self.reservation(outgoing, request.next_hop, &request.selection);
        self.room_for(core, request, known, &senders).map_err(Limit::in_resv)?;
        let others = self.reservations.iter().enumerate().filter(|(at, rsb)| {
            let together =
                style != Style::FixedFilter || senders.iter().any(|sender| rsb.selects(*sender));
            Some(*at) != known && together
        });
        match others.map(|(_, rsb)| rsb.flowspec).try_fold(request.flowspec, merge) {
            Some(_) => Ok(senders),
            None => Err(Fault::SERVICE_CONFLICT),
        }
    }

    /// Decides on the payment for each sender; returns the senders whose reservation stands.
    fn settle_payments(
        &mut self,
        core: &mut Core,
        now: Now,
        request: &Request,
        senders: &[Filter],
    ) -> (Few<Filter>, Vec<Refusal>) {
        let session = self.session;
        let known = self.reservation(request.outgoing, request.next_hop, &request.selection);
        let before = known.and_then(|at| self.reservations.get(at));
        let mut admitted = Few::new();
        let mut refusals = Vec::new();
        for sender in senders {
            let index = self.sender(*sender);
            let Some(psb) = index.and_then(|index| self.senders.get_mut(index)) else { continue };
            let mut told = Vec::new();
            match policy::resv_in(core, now, session, psb, request) {
                Ok(Admission::Taken) => admitted.push(*sender),
                Ok(Admission::Kept(faults)) => {
                    admitted.push(*sender);
                    told.extend(faults);
                }
                Ok(Admission::Ignored) => {}
                Err(faults) => told.extend(faults),
            }
            for mut fault in told {
                // What was paid for before and still runs is not lost by one bad offer, nor is it
                // refreshed or changed by it.
                let known = before.filter(|rsb| rsb.selects(*sender));
                fault.in_place = match fault.payer() {
                    Some(payer) => charging::is_paid(psb, request.outgoing, [payer]),
                    None => known.is_some_and(|rsb| {
                        charging::is_paid(psb, request.outgoing, rsb.origins(*sender))
                    }),
                };
                refusals.push((Some(*sender), fault));
            }
        }
        (admitted, refusals)
    }

    /// Keeps a reservation, and tells whoever must hear of the change.
    fn install(&mut self, core: &mut Core, now: Now, request: Request) {
        let k = u32::from(core.config.rsvp.lifetime_multiplier);
        let expires = match request.outgoing {
            LOCAL => Instant::NEVER,
            _ if request.proxied => Instant::NEVER,
            _ => now.at + lifetime(request.refresh_ms, k),
        };
        let before = self.upstream_wishes();
        let (outgoing, next_hop) = (request.outgoing, request.next_hop);
        let known = self.reservation(outgoing, next_hop, &request.selection);
        let selection = request.selection.clone();
        let paid_ms = request.policy.payments.refresh_ms();
        let slow = paid_ms > request.refresh_ms;
        let mut rsb = request.into_rsb(expires);
        if slow {
            rsb.policy_until = now.at + lifetime(paid_ms, k);
        }
        let mut says_more = false;
        match known.and_then(|at| self.reservations.get_mut(at)) {
            Some(old) => {
                says_more = old.carried != rsb.carried || old.elements != rsb.elements;
                if paid_ms == 0 {
                    rsb.policy_until = old.policy_until;
                }
                old.renew(rsb);
            }
            None => {
                let seat = core.neighbours.seat_reservation((outgoing, next_hop));
                self.reservations.reserve_exact(1);
                self.reservations.push(Rsb { seat, ..rsb });
            }
        }
        self.traffic_stale = true;
        self.release_deselected(core, now, outgoing, next_hop);
        let mut changed = self.changed_wishes(&before);
        if says_more {
            changed.extend(self.hops_reserved_at(outgoing, next_hop, &selection));
        }
        let confirms = self.answer_confirm(core, outgoing, next_hop, &selection, &changed);
        self.share_prices(core, now, outgoing);
        let mut told: Few<IpAddr> = Few::new();
        for index in 0..self.senders.len() {
            if self.after_charging(core, now, index).upstream {
                told.extend(self.senders.get(index).and_then(|psb| psb.phop_address()));
            }
        }
        for phop in changed.into_iter().chain(confirms) {
            if !told.contains(&phop) {
                told.push(phop);
                self.send_resv(core, now, phop);
            }
        }
        for rsb in &mut self.reservations {
            rsb.confirm = None;
        }
        self.tell_reserved(core);
        self.arm_refresh(core, now);
    }

    /// The previous hops to which a reservation of a next hop goes on.
    fn hops_reserved_at(
        &self,
        outgoing: u32,
        next_hop: IpAddr,
        selection: &Selection,
    ) -> Vec<IpAddr> {
        let at = self.reservation(outgoing, next_hop, selection);
        let Some(rsb) = at.and_then(|at| self.reservations.get(at)) else { return Vec::new() };
        self.senders.iter().filter(|psb| rsb.matches(psb)).filter_map(Psb::phop_address).collect()
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
}

impl Rsb {
    /// Takes a newer request for this block. Senders of a shared list that it does not name go on
    /// until their own time ends (RFC 2209).
    fn renew(&mut self, newer: Rsb) {
        let selection = match (&self.selection, newer.selection) {
            (Selection::Explicit(old), Selection::Explicit(mut new)) => {
                let kept = old.iter().filter(|(f, _)| !new.iter().any(|(other, _)| other == f));
                let kept: Vec<_> = kept.copied().collect();
                new.extend(kept);
                Selection::Explicit(new)
            }
            (_, newer) => newer,
        };
        let seat = self.seat.take();
        let numbers = std::mem::take(&mut self.numbers);
        *self = Rsb { selection, seat, numbers, ..newer };
    }
}

/// Filters as objects.
pub(crate) fn filter_specs(filters: &[Filter]) -> impl Iterator<Item = FilterSpec> + '_ {
    filters.iter().copied().map(FilterSpec)
}
