//! RESVERR: blockade what was refused for want of resources, and pass the word to everyone
//! downstream who shares in it (RFC 2205 sections 3.1.8 and 3.5, RFC 2209 section 2 "RERR
//! message arrives").

use std::net::IpAddr;

use charging_model::BranchKey;
use rsvp_wire::MessageType;
use rsvp_wire::iana::{self, error_code};
use rsvp_wire::message::ResvErr;
use rsvp_wire::object::{ErrorFlags, ErrorSpec, Filter, FlowSpec, Hop, Scope, Style};

use super::blockade::Blockade;
use super::charging::{self, ChargingFault, Fault};
use super::error::{about, send_resv_err, towards};
use super::flowspec::{at_least, larger};
use super::local::NoticeEvent;
use super::policy;
use super::psb::Psb;
use super::record::RecordId;
use super::reduce::refuses_numbers;
use super::resv::filter_specs;
use super::rsb::LOCAL;
use super::session::SessionState;
use super::time::Now;
use super::{Core, Engine};
use crate::packet::PacketMeta;

impl Engine {
    pub(crate) fn handle_resv_err(&mut self, now: Now, meta: PacketMeta, error: &ResvErr<'_>) {
        let Some(slot) = self.sessions.find(&error.session) else {
            return self.core.counters.drop("error_about_nothing");
        };
        if refuses_numbers(&error.error) && self.core.outbox.reduce.active {
            let phop = error.hop.address;
            self.with_session(slot, |core, state| state.resv_without_number(core, now, phop));
            return;
        }
        let charging = charging::charging_error(&self.core, error.policy_data());
        let policy = error.error.code == error_code::POLICY;
        if policy && charging.is_none() && charging::blames_others(&self.core, error.policy_data())
        {
            // A hop that does not charge copies it to all who share in what it merged.
            return self.core.counters.drop("refusal_of_another_payment");
        }
        self.with_session(slot, |core, state| {
            state.take_resv_err(core, now, meta, error, charging.as_ref());
        });
    }
}

impl SessionState {
    fn take_resv_err(
        &mut self,
        core: &mut Core,
        now: Now,
        meta: PacketMeta,
        error: &ResvErr<'_>,
        charging: Option<&ChargingFault>,
    ) {
        let named: Vec<Filter> = error.filters().map(|filter| filter.0).collect();
        let wildcard = error.style == Style::WildcardFilter;
        let mut from_elsewhere = false;
        let mut incoming = meta.interface;
        let mut concerned = Vec::new();
        for (index, psb) in self.senders.iter().enumerate() {
            if !wildcard && !named.contains(&psb.sender) {
                continue;
            }
            // Between hops that are no neighbours it may come back another way than it went: to the
            // address under which this node asked.
            let asked_from = core.interfaces.address(psb.incoming, self.session.destination);
            let to_us = psb.incoming == meta.interface || asked_from == Some(meta.destination);
            if psb.phop_address() == Some(error.hop.address) && to_us {
                concerned.push((index, psb.sender));
                incoming = psb.incoming;
            } else {
                from_elsewhere = true;
            }
        }
        if concerned.is_empty() {
            let reason =
                if from_elsewhere { "error_from_another_hop" } else { "error_about_nothing" };
            return core.counters.drop(reason);
        }
        for (index, _) in &concerned {
            if let Some(psb) = self.senders.get_mut(*index) {
                charging::own_refused(core, now, psb, &error.error, charging);
                charging::lost(core, now, psb, &error.error);
            }
        }
        if error.error.code == error_code::ADMISSION
            && let Some(flowspec) = error.flowspec
        {
            self.blockade(core, now, &concerned, flowspec, error.hop.address);
        }
        let senders: Vec<Filter> = concerned.into_iter().map(|(_, sender)| sender).collect();
        let mut event = about(error.error, charging.map(|fault| &fault.error));
        event.explain(policy::explained(error.policy_data()));
        if refuses_way(&error.error) {
            self.ways_refused(core, now, &senders);
        }
        let held_back = |psb: &&Psb| senders.contains(&psb.sender) && psb.held_back;
        // What the price requires is offered, if it may be.
        let adapts = error.error.code == error_code::POLICY
            && charging.is_some()
            && !self.senders.iter().any(|psb| held_back(&psb));
        let proxied = self.pass_resv_err(core, incoming, error, &senders, &event);
        for about in proxied.into_iter().filter(|_| !adapts) {
            self.proxy_refused(core, now, about, error.error);
        }
        if reduces(&error.error)
            && let Some(left) = error.flowspec
        {
            self.reduced_upstream(core, now, &senders, left);
        }
        self.after_all_charging(core, now);
    }

    /// Holds back reservations like the one refused, and asks for the smaller ones at once.
    fn blockade(
        &mut self,
        core: &mut Core,
        now: Now,
        concerned: &[(usize, Filter)],
        flowspec: FlowSpec,
        phop: IpAddr,
    ) {
        for (index, _) in concerned {
            if let Some(psb) = self.senders.get_mut(*index) {
                let blockade = Blockade::new(flowspec, now, core.config.rsvp.refresh_ms);
                psb.blockade = Some(Box::new(blockade));
            }
        }
        if !concerned.iter().all(|(index, _)| self.all_blockaded(*index)) {
            self.send_resv(core, now, phop);
        }
    }

    /// Passes it downstream; returns for whom this node itself reserved, and behind which interface.
    fn pass_resv_err(
        &self,
        core: &mut Core,
        incoming: u32,
        error: &ResvErr<'_>,
        senders: &[Filter],
        event: &NoticeEvent,
    ) -> Vec<(Filter, u32)> {
        let mut proxied = Vec::new();
        let admission = error.error.code == error_code::ADMISSION;
        let in_place = error.error.flags.contains(ErrorFlags::IN_PLACE);
        for rsb in self.reservations.iter().filter(|rsb| rsb.outgoing != incoming) {
            let shared: Vec<Filter> = self
                .senders
                .iter()
                .filter(|psb| senders.contains(&psb.sender) && rsb.matches(psb))
                .map(|psb| psb.sender)
                .collect();
            let Some(first) = shared.first() else { continue };
            let innocent = error.flowspec.is_some_and(|refused| larger(refused, rsb.flowspec));
            if admission && in_place && innocent {
                continue;
            }
            // What asks for no more than is left is not concerned (RFC 4495 section 5.2).
            let fits = error.flowspec.is_some_and(|left| at_least(left, rsb.flowspec));
            if reduces(&error.error) && fits {
                continue;
            }
            if rsb.outgoing == LOCAL {
                self.notify_receiver(core, *first, event.clone());
                continue;
            }
            if rsb.proxied {
                // A smaller one than was refused goes on in its place.
                if !innocent {
                    proxied.extend(shared.iter().map(|sender| (*sender, rsb.outgoing)));
                }
                continue;
            }
            let scope = self.scope_downstream(rsb.outgoing, error);
            if scope.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let mut spec = error.error;
            if innocent {
                spec.flags = spec.flags.union(ErrorFlags::NOT_GUILTY);
            }
            let hop = Hop { address: rsb.next_hop, lih: rsb.outgoing };
            send_on(core, error, hop, spec, scope.as_deref(), &shared);
        }
        proxied
    }

    /// WF: of the senders that the error is about, those whose data goes out on an interface;
    /// `None` for other styles and errors without a SCOPE.
    fn scope_downstream(&self, outgoing: u32, error: &ResvErr<'_>) -> Option<Vec<IpAddr>> {
        if error.style != Style::WildcardFilter || !error.has_scope() {
            return None;
        }
        let routed = |source: &IpAddr| {
            self.senders
                .iter()
                .any(|psb| psb.sender.source == *source && psb.outgoing.contains(&outgoing))
        };
        Some(error.scope().filter(routed).collect())
    }

    /// Tells who pays for a sender that its part of the reservation is given up.
    pub(crate) fn refuse_existing(
        &mut self,
        core: &mut Core,
        key: BranchKey,
        sender: Filter,
        fault: &Fault,
    ) {
        let at = self.paid_by(key, sender);
        let Some(rsb) = at.and_then(|at| self.reservations.get(at)) else { return };
        if key.is_local() {
            let event = NoticeEvent::Error {
                node: key.hop,
                code: fault.code,
                value: fault.value,
                required: fault.required(),
                detail: None,
            };
            return self.notify_receiver(core, sender, event);
        }
        if rsb.proxied {
            return self.proxy_ended(core, sender, key.group, fault);
        }
        let hop = Hop { address: rsb.next_hop, lih: key.group };
        let about = [sender];
        let part = Some((rsb.flowspec, about.as_slice()));
        send_resv_err(core, self.session, hop, rsb.selection.style(), part, fault);
    }
}

/// True if a previous hop does not want our reservation at all: nothing of it stands, and no other
/// price would help.
fn refuses_way(error: &ErrorSpec) -> bool {
    let price = [iana::policy::EXCEED, iana::policy::EXPIRED].contains(&error.value);
    let about_price = error.code == error_code::POLICY && price;
    !about_price && !error.flags.contains(ErrorFlags::IN_PLACE)
}

/// True if a reservation was preempted in part: the flowspec says what may stay (RFC 4495).
fn reduces(error: &ErrorSpec) -> bool {
    (error.code, error.value) == (error_code::POLICY, iana::policy::PARTIAL_PREEMPT)
}

/// Passes on a RESVERR of another node, with our own hop in it, and with the POLICY_DATA that no
/// handler here has taken (RFC 2750 section 4.3: a policy error has some).
fn send_on(
    core: &mut Core,
    error: &ResvErr<'_>,
    hop: Hop,
    spec: ErrorSpec,
    scope: Option<&[IpAddr]>,
    senders: &[Filter],
) {
    let meta = towards(core, hop.lih, error.session.destination, hop.address);
    let Some(address) = meta.source else { return };
    let carried = policy::error_onward(core, error.policy_data());
    let to = core.hop(hop.lih, Some(hop.address));
    core.outbox.send(&mut core.counters, to, meta, MessageType::ResvErr, RecordId::NONE, |w| {
        w.object(&error.session)?;
        w.object(&Hop { address, lih: hop.lih })?;
        w.object(&spec)?;
        if spec.code == error_code::POLICY && carried.is_empty() {
            policy::write_bare(w, Hop { address, lih: hop.lih })?;
        }
        w.raw(&carried)?;
        if let Some(scope) = scope {
            w.object(&Scope(scope))?;
        }
        w.object(&error.style)?;
        w.raw(error.flowspec_bytes().unwrap_or_default())?;
        if error.style != Style::WildcardFilter {
            for filter in filter_specs(senders) {
                w.object(&filter)?;
            }
        }
        error.unknown().try_for_each(|object| w.raw(object.bytes))
    });
}
