//! Traffic control: what is to be reserved on each outgoing interface, and whether it fits
//! (RFC 2205 sections 2.2, 3.8 and 3.11.2, RFC 2209 section 2 "UPDATE TRAFFIC CONTROL").
//!
//! ```text
//!  RSBs of one session and interface ── LUB ──▶ TC_Flowspec ┐
//!  PSBs that they match ── sum of tspecs ──▶ Path_Te        ├─▶ TCSB ── changed? ──▶ TrafficChange
//!                       └─ how many, whence ──▶ police flags ┘
//! ```

use rsvp_wire::iana::{admission, error_code};
use rsvp_wire::object::{Filter, Float, FlowSpec, Session, Style, Tspec};

use super::charging::Fault;
use super::flowspec::{at_least, merge};
use super::psb::Psb;
use super::record::RecordId;
use super::resv::Request;
use super::rsb::{LOCAL, Rsb, Selection};
use super::session::SessionState;
use super::{Core, Few};
use crate::config::NO_LIMIT;

/// Where packets of a reservation are to be policed (RFC 2205 section 3.8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Police {
    /// E_Police_Flag: this is the first node that could police the traffic.
    pub entry: bool,
    /// M_Police_Flag: flows of several senders merge into the reservation.
    pub merge: bool,
    /// B_Police_Flag: more is reserved on another branch, so more may come in than fits here.
    pub branch: bool,
}

/// What is reserved for one flow, or for flows that share, on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficSetting {
    /// The senders that it is for; empty for all of the session (WF).
    pub filters: Box<[Filter]>,
    /// TC_Flowspec: the least upper bound of what the next hops ask for.
    pub flowspec: FlowSpec,
    /// Path_Te: what the senders together can send.
    pub path_te: Tspec,
    /// Where to police.
    pub police: Police,
}

/// A reservation to be made, modified or deleted on an interface: TC_AddFlowspec, TC_ModFlowspec
/// and TC_DelFlowspec of RFC 2205 section 3.11.2 with their filters, as one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficChange {
    /// The session.
    pub session: Session,
    /// Interface of the outgoing data.
    pub interface: u32,
    /// The sender that has this reservation of its own (FF), or `None` for a shared one.
    pub sender: Option<Filter>,
    /// What is to stand there from now on; `None` ends it.
    pub setting: Option<TrafficSetting>,
}

/// Traffic control state block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tcsb {
    pub(crate) outgoing: u32,
    pub(crate) sender: Option<Filter>,
    pub(crate) setting: TrafficSetting,
}

impl Tcsb {
    fn is(&self, outgoing: u32, sender: Option<Filter>) -> bool {
        self.outgoing == outgoing && self.sender == sender
    }
}

/// The rate that a flowspec takes of an interface, in bits per second: the token rate of
/// controlled load (RFC 2211), the rate R of guaranteed service (RFC 2212).
pub(crate) fn bits_per_s(flowspec: &FlowSpec) -> u128 {
    let rate = match flowspec {
        FlowSpec::ControlledLoad(tspec) => tspec.rate,
        FlowSpec::Guaranteed { rate, .. } => *rate,
    };
    u128::from(rate.to_integer()) * 8
}

/// The sender that has a reservation of its own.
pub(crate) fn own_sender(selection: &Selection) -> Option<Filter> {
    match selection {
        Selection::Fixed(sender) => Some(*sender),
        _ => None,
    }
}

impl SessionState {
    /// Whether what a request makes of the reservations on its interface fits there. Nothing that
    /// stands is touched by a refusal (RFC 2205 section 3.11.2, TC_ModFlowspec).
    pub(crate) fn admit_traffic(&self, core: &Core, request: &Request) -> Result<(), Fault> {
        let outgoing = request.outgoing;
        let Some(port) = core.interfaces.get(outgoing) else { return Ok(()) };
        let mtu = port.kernel.mtu;
        if request.flowspec.tspec().max_packet > mtu {
            return Err(Fault::new(
                error_code::ADMISSION,
                admission::MTU_TOO_LARGE,
                "packets_above_mtu",
            ));
        }
        let most = port.settings.reservable_bits_per_s;
        if most == NO_LIMIT {
            return Ok(());
        }
        let sender = own_sender(&request.selection);
        let known = self.reservation(outgoing, request.next_hop, &request.selection);
        let beside = self.reservations.iter().enumerate().filter(|(at, rsb)| {
            Some(*at) != known && rsb.outgoing == outgoing && own_sender(&rsb.selection) == sender
        });
        let merged = beside.map(|(_, rsb)| rsb.flowspec).try_fold(request.flowspec, merge);
        let wanted = merged.map_or(u128::MAX, |flowspec| bits_per_s(&flowspec));
        let standing = self.traffic.iter().find(|tcsb| tcsb.is(outgoing, sender));
        let held = standing.map_or(0, |tcsb| bits_per_s(&tcsb.setting.flowspec));
        let others = port.reserved_bits_per_s.saturating_sub(held);
        let room = u128::from(most).saturating_add(request.yielding);
        if wanted > held && others.saturating_add(wanted) > room {
            let value = admission::BANDWIDTH_UNAVAILABLE;
            return Err(Fault::new(error_code::ADMISSION, value, "bandwidth_unavailable"));
        }
        Ok(())
    }

    /// Brings traffic control in line with the reservations.
    pub(crate) fn update_traffic(&mut self, core: &mut Core) {
        if !std::mem::take(&mut self.traffic_stale) {
            return;
        }
        let wanted = self.wanted_traffic();
        // No flow is served on a consent that nobody could prove.
        let needs = self.senders.iter().map(|psb| psb.needs).max().unwrap_or_default();
        let before = std::mem::replace(&mut self.traffic, wanted);
        for old in &before {
            if !self.traffic.iter().any(|new| new.is(old.outgoing, old.sender)) {
                hand_over(core, self.session, Some(old), None, needs);
            }
        }
        for new in &self.traffic {
            let old = before.iter().find(|old| old.is(new.outgoing, new.sender));
            if old != Some(new) {
                hand_over(core, self.session, old, Some(new), needs);
            }
        }
    }

    /// What the reservations come to on each interface.
    fn wanted_traffic(&self) -> Vec<Tcsb> {
        let mut wanted: Vec<Tcsb> = Vec::new();
        for rsb in self.reservations.iter().filter(|rsb| rsb.outgoing != LOCAL) {
            let sender = own_sender(&rsb.selection);
            if wanted.iter().any(|tcsb| tcsb.is(rsb.outgoing, sender)) {
                continue;
            }
            if let Some(setting) = self.setting(rsb.outgoing, sender) {
                wanted.reserve_exact(1);
                wanted.push(Tcsb { outgoing: rsb.outgoing, sender, setting });
            }
        }
        wanted
    }

    /// The reservation of all next hops on an interface together; `None` if no sender's data takes
    /// it.
    fn setting(&self, outgoing: u32, sender: Option<Filter>) -> Option<TrafficSetting> {
        let together = |rsb: &&Rsb| own_sender(&rsb.selection) == sender;
        let here: Few<&Rsb> =
            self.reservations.iter().filter(together).filter(|r| r.outgoing == outgoing).collect();
        let senders: Few<&Psb> =
            self.senders.iter().filter(|psb| here.iter().any(|rsb| rsb.matches(psb))).collect();
        let path_te = senders.iter().map(|psb| psb.facts.tspec).reduce(sum)?;
        let mut flowspecs = here.iter().map(|rsb| rsb.flowspec);
        let first = flowspecs.next()?;
        let flowspec = flowspecs.try_fold(first, merge)?;
        let elsewhere = self.reservations.iter().filter(together).filter(|rsb| {
            rsb.outgoing != LOCAL
                && rsb.outgoing != outgoing
                && senders.iter().any(|psb| rsb.matches(psb))
        });
        let style = here.first()?.selection.style();
        let wildcard = style == Style::WildcardFilter;
        let named = senders.iter().filter(|_| !wildcard).map(|psb| psb.sender);
        Some(TrafficSetting {
            filters: named.collect::<Few<_>>().into_vec().into(),
            flowspec,
            path_te,
            police: Police {
                entry: senders.iter().any(|psb| psb.facts.e_police),
                merge: style != Style::FixedFilter && senders.len() > 1,
                branch: elsewhere.into_iter().any(|rsb| !at_least(flowspec, rsb.flowspec)),
            },
        })
    }
}

/// Tells the driver of traffic control, and keeps the sum of the interface.
fn hand_over(
    core: &mut Core,
    session: Session,
    old: Option<&Tcsb>,
    new: Option<&Tcsb>,
    needs: RecordId,
) {
    let Some(either) = new.or(old) else { return };
    let bits = |tcsb: Option<&Tcsb>| tcsb.map_or(0, |tcsb| bits_per_s(&tcsb.setting.flowspec));
    if let Some(port) = core.interfaces.get_mut(either.outgoing) {
        let others = port.reserved_bits_per_s.saturating_sub(bits(old));
        port.reserved_bits_per_s = others.saturating_add(bits(new));
    }
    core.utilisation_changed(either.outgoing);
    let change = TrafficChange {
        session,
        interface: either.outgoing,
        sender: either.sender,
        setting: new.map(|tcsb| tcsb.setting.clone()),
    };
    core.outbox.traffic(change, needs);
}

/// The traffic of two senders together (RFC 2210 section 3.1: rates and bursts add up).
fn sum(a: Tspec, b: Tspec) -> Tspec {
    let add = |a: Float, b: Float| {
        if a.is_finite() && b.is_finite() {
            Float::from_integer(a.to_integer().saturating_add(b.to_integer()))
        } else {
            Float::INFINITY
        }
    };
    Tspec {
        rate: add(a.rate, b.rate),
        bucket: add(a.bucket, b.bucket),
        peak: add(a.peak, b.peak),
        min_policed: a.min_policed.min(b.min_policed),
        max_packet: a.max_packet.max(b.max_packet),
    }
}
