//! Preemption (RFC 3181): where an interface is full, a request of higher priority takes the room of
//! reservations that defend themselves with less. What is taken is as little as possible: the last of
//! them is reduced rather than ended, if the operator wants it so (RFC 4495).
//!
//! ```text
//! RESV with PREEMPTION_PRI, and no room
//!   claim      what reservations of lower defending priority hold there: enough?
//!   take_resv  admitted beyond what there is, if its payment is, too
//!   collect    the lowest give way: RESVERR 02/5 and the end of the reservation,
//!              or RESVERR 02/102 with what is left, and that upstream
//! ```
//!
//! The receiver of a reduced reservation asks for no more than what is left. Until it does, what it
//! asks for is refused beyond that, and stands in part; so a lost RESVERR takes nothing away twice.

use std::cmp::Reverse;

use charging_model::flow::Broken;
use rsvp_wire::MessageType;
use rsvp_wire::PolicyOptions;
use rsvp_wire::iana::{admission, error_code, policy};
use rsvp_wire::object::{ErrorFlags, ErrorSpec, Filter, Float, FlowSpec, Hop, Style, Tspec};
use rsvp_wire::policy::PreemptionPri;

use super::counters::bump;
use super::error::towards;
use super::flowspec::at_least;
use super::policy::{defending, preempting};
use super::record::RecordId;
use super::resv::{Request, filter_specs};
use super::rsb::{LOCAL, Rsb, Selection};
use super::session::SessionState;
use super::time::Now;
use super::traffic::{bits_per_s, own_sender};
use super::{Core, Engine};
use crate::config::{NO_LIMIT, Preemption};

/// What is left of a reservation is at least this, in bits per second; less is no reservation.
const LEAST_BITS_PER_S: u128 = 8;

/// The room that a request may take from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    interface: u32,
    by: PreemptionPri,
    /// Whose it is: the session's slot, and the sender of a reservation of its own.
    own: (usize, Option<Filter>),
}

/// A reservation on an interface that defends itself with less than a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Victim {
    defending: u16,
    bits: u128,
    slot: usize,
    /// The sender that has it of its own; `None` for a shared one.
    sender: Option<Filter>,
}

impl Engine {
    /// Sees whether a request for which there is no room may take some from others, and how much.
    pub(crate) fn claim(&self, slot: usize, request: &mut Request) -> Option<Claim> {
        if self.core.config.rsvp.preemption == Preemption::Off || request.outgoing == LOCAL {
            return None;
        }
        let port = self.core.interfaces.get(request.outgoing)?;
        let by = preempting(request).filter(|_| port.settings.reservable_bits_per_s != NO_LIMIT)?;
        let refused = self.sessions.get(slot)?.admit_traffic(&self.core, request).err()?;
        if refused.value != admission::BANDWIDTH_UNAVAILABLE {
            return None;
        }
        let own = (slot, own_sender(&request.selection));
        let claim = Claim { interface: request.outgoing, by, own };
        request.yielding = self.victims(&claim).iter().map(|victim| victim.bits).sum();
        (request.yielding > 0).then_some(claim)
    }

    /// Takes what a request that was admitted beyond the interface's limit needs.
    pub(crate) fn collect(&mut self, now: Now, claim: Option<Claim>) {
        let Some(claim) = claim else { return };
        let Some(port) = self.core.interfaces.get(claim.interface) else { return };
        let most = u128::from(port.settings.reservable_bits_per_s);
        let mut over = port.reserved_bits_per_s.saturating_sub(most);
        if over == 0 {
            return;
        }
        let reduces = self.core.config.rsvp.preemption == Preemption::Reduce;
        for victim in self.victims(&claim) {
            if over == 0 {
                return;
            }
            let left = victim.bits.saturating_sub(over);
            let left = Some(left).filter(|left| reduces && *left >= LEAST_BITS_PER_S);
            over = over.saturating_sub(victim.bits);
            self.with_session(victim.slot, |core, state| {
                state.yield_to(core, now, &claim, victim.sender, left);
            });
        }
    }

    /// The reservations on an interface that a claim may take from, the least defended first, and
    /// of equals the largest, so that as few as possible are touched (RFC 4495 section 5.6).
    fn victims(&self, claim: &Claim) -> Vec<Victim> {
        let mut victims = Vec::new();
        for state in self.sessions.iter() {
            for tcsb in state.traffic.iter().filter(|tcsb| tcsb.outgoing == claim.interface) {
                let sender = tcsb.sender;
                if (state.slot, sender) == claim.own {
                    continue;
                }
                let held: Vec<&Rsb> = state.held_on(claim.interface, sender).collect();
                let defending = defending(&held, sender);
                if defending < claim.by.preemption {
                    let bits = bits_per_s(&tcsb.setting.flowspec);
                    victims.push(Victim { defending, bits, slot: state.slot, sender });
                }
            }
        }
        victims.sort_by_key(|it| (it.defending, Reverse(it.bits), it.slot, it.sender));
        victims
    }
}

impl SessionState {
    /// The blocks that make up one reservation on an interface.
    fn held_on(&self, interface: u32, sender: Option<Filter>) -> impl Iterator<Item = &Rsb> {
        let ours =
            move |rsb: &&Rsb| rsb.outgoing == interface && own_sender(&rsb.selection) == sender;
        self.reservations.iter().filter(ours)
    }

    /// Ends a reservation for another one's sake, or reduces it to so many bits per second.
    fn yield_to(
        &mut self,
        core: &mut Core,
        now: Now,
        claim: &Claim,
        sender: Option<Filter>,
        left: Option<u128>,
    ) {
        let interface = claim.interface;
        match left {
            Some(bits) => self.reduce(core, now, claim, sender, bits),
            None => {
                let is =
                    |rsb: &Rsb| rsb.outgoing == interface && own_sender(&rsb.selection) == sender;
                while let Some(at) = self.reservations.iter().position(is) {
                    if let Some(flowspec) = self.reservations.get(at).map(|rsb| rsb.flowspec) {
                        self.tell_preempted(core, claim, at, flowspec, policy::PREEMPT);
                    }
                    bump(&mut core.counters.preempted, "ended");
                    self.broken_at(core, now, at, Broken::Preempted);
                    self.end_reservation(core, now, at, &[]);
                }
            }
        }
        self.traffic_stale = true;
        self.after_all_charging(core, now);
    }

    /// What is more than is left is cut; no RESVTEAR goes upstream (RFC 4495 section 5).
    fn reduce(
        &mut self,
        core: &mut Core,
        now: Now,
        claim: &Claim,
        sender: Option<Filter>,
        bits: u128,
    ) {
        let before = self.upstream_wishes();
        let is =
            |rsb: &Rsb| rsb.outgoing == claim.interface && own_sender(&rsb.selection) == sender;
        for at in 0..self.reservations.len() {
            let Some(rsb) = self.reservations.get(at).filter(|rsb| is(rsb)) else { continue };
            let left = within(rsb.flowspec, bits);
            if left == rsb.flowspec {
                continue;
            }
            self.tell_preempted(core, claim, at, left, policy::PARTIAL_PREEMPT);
            bump(&mut core.counters.preempted, "reduced");
            if let Some(rsb) = self.reservations.get_mut(at) {
                // A number would stand for the whole of what was asked for.
                core.outbox.reduce.disown(rsb);
                rsb.flowspec = left;
            }
        }
        // Less costs less from now on, not from when the receiver has understood (T4).
        for index in 0..self.senders.len() {
            self.follow_route(core, now, index);
        }
        for phop in self.changed_wishes(&before) {
            self.send_resv(core, now, phop);
        }
    }

    /// RESVERR with the priority of whoever took the room (RFC 3181 section 6), and the flowspec
    /// that may stay or is gone.
    fn tell_preempted(
        &mut self,
        core: &mut Core,
        claim: &Claim,
        at: usize,
        flowspec: FlowSpec,
        value: u16,
    ) {
        let Some(rsb) = self.reservations.get(at) else { return };
        if rsb.proxied {
            // Nobody is there who would hear it but the sender.
            let Selection::Fixed(sender) = rsb.selection else { return };
            return self.proxy_preempted(core, sender, claim.interface, value);
        }
        let meta = towards(core, rsb.outgoing, self.session.destination, rsb.next_hop);
        let Some(node) = meta.source else { return };
        let code = error_code::POLICY;
        bump(&mut core.counters.resv_errors_sent, (code, value));
        let partly = value == policy::PARTIAL_PREEMPT;
        let flags = if partly { ErrorFlags::IN_PLACE } else { ErrorFlags::NONE };
        let own = Hop { address: node, lih: rsb.outgoing };
        let style = rsb.selection.style();
        let filters: Vec<Filter> =
            self.senders.iter().filter(|psb| rsb.matches(psb)).map(|psb| psb.sender).collect();
        let by = PreemptionPri { error: rsvp_wire::policy::PriorityError::Preemption, ..claim.by };
        let to = core.hop(rsb.outgoing, Some(rsb.next_hop));
        let (kind, session) = (MessageType::ResvErr, self.session);
        core.outbox.send(&mut core.counters, to, meta, kind, RecordId::NONE, |w| {
            w.object(&session)?;
            w.object(&own)?;
            w.object(&ErrorSpec { node, flags, code, value })?;
            w.policy_data(&PolicyOptions::from_hop(own), |sink| by.write(sink))?;
            w.object(&style)?;
            w.object(&flowspec)?;
            if style != Style::WildcardFilter {
                filter_specs(&filters).try_for_each(|filter| w.object(&filter))?;
            }
            Ok(())
        });
    }

    /// A hop upstream has cut our reservation: the receiver on this node asks for no more than is
    /// left, until it is opened anew.
    pub(crate) fn reduced_upstream(
        &mut self,
        core: &mut Core,
        now: Now,
        senders: &[Filter],
        left: FlowSpec,
    ) {
        for index in 0..self.senders.len() {
            let Some(sender) = self.senders.get(index).map(|psb| psb.sender) else { continue };
            let stands = self.reservation_of(LOCAL, self.session.destination, sender);
            let stands = stands.and_then(|at| self.reservations.get(at)).map(|rsb| rsb.flowspec);
            let more = stands.is_some_and(|stands| !at_least(left, stands));
            let Some(receiver) = &mut self.receiver else { return };
            if !more || !senders.contains(&sender) {
                continue;
            }
            receiver.reduced.retain(|(other, _)| *other != sender);
            receiver.reduced.push((sender, left));
            self.answer_locally(core, now, index);
        }
    }
}

/// The part of a flowspec that needs no more than so many bits per second.
fn within(flowspec: FlowSpec, bits: u128) -> FlowSpec {
    if bits_per_s(&flowspec) <= bits {
        return flowspec;
    }
    let most = at_most(u64::try_from(bits / 8).unwrap_or(u64::MAX));
    let cut = |tspec: Tspec| Tspec { rate: tspec.rate.min(most), ..tspec };
    match flowspec {
        FlowSpec::ControlledLoad(tspec) => FlowSpec::ControlledLoad(cut(tspec)),
        FlowSpec::Guaranteed { tspec, rate, slack } => {
            FlowSpec::Guaranteed { tspec: cut(tspec), rate: rate.min(most), slack }
        }
    }
}

/// The number on the wire that is nearest to `rate` and no more.
fn at_most(rate: u64) -> Float {
    let nearest = Float::from_integer(rate);
    if nearest.to_integer() <= rate {
        return nearest;
    }
    // 24 bits of mantissa: one part in 2^23 less is surely below.
    Float::from_integer(rate - (rate >> 22).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_more_than_there_is() {
        let load = |rate| FlowSpec::ControlledLoad(Tspec::new(rate, 900, 64, 1_500));
        assert_eq!(within(load(1_000), 8_000), load(1_000));
        assert_eq!(within(load(1_000), 2_400), load(300));
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let bits = rng.u32(1..50);
            let rate = rng.u64(1..1 << bits);
            assert!(at_most(rate).to_integer() <= rate, "{rate}");
            assert!(at_most(rate).to_integer() >= rate - rate / 1_000_000 - 1, "{rate}");
        }
        let tspec = Tspec::new(1_000, 900, 64, 1_500);
        let rate = Float::from_integer(2_000);
        let cut = within(FlowSpec::Guaranteed { tspec, rate, slack: 3 }, 4_000);
        assert_eq!((bits_per_s(&cut), cut.tspec().rate.to_integer()), (4_000, 500));
    }
}
