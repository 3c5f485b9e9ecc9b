//! DIAG_RESPONSE: what this hop reports (RFC 2745 section 3.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rsvp_wire::iana::class;
use rsvp_wire::object::{
    DiagResponse, FilterSpec, FlowSpec, Scope, SenderTemplate, SenderTspec, Session, Style,
};
use rsvp_wire::{EncodeObject, RawObject};

use super::super::Core;
use super::super::charging;
use super::super::flowspec::merge;
use super::super::psb::Psb;
use super::super::rsb::{LOCAL, Rsb, Selection};
use super::super::session::SessionState;
use super::super::time::Now;
use super::Arrival;
use super::message::Message;

/// Bytes of response objects at most, so that no state makes a report as long as it likes.
const OBJECTS_MAX: usize = 2_048;
/// Senders that are named of a shared reservation, and of a SCOPE.
const NAMED_MOST: usize = 16;
/// Seconds from 1900, where NTP begins to count, to 1970.
const NTP_UNIX: u64 = 2_208_988_800;

/// The state here that a request is about.
#[derive(Debug)]
pub(super) struct Here<'s> {
    found: Option<(&'s SessionState, &'s Psb)>,
    arrival: Arrival,
    /// The interface where the data goes on and the request came from; `None` if not known.
    outgoing: Option<u32>,
    /// The hop that the request comes from; `None` at the LAST-HOP.
    next_hop: Option<IpAddr>,
}

impl<'s> Here<'s> {
    pub(super) fn new(
        core: &Core,
        request: &Message,
        arrival: Arrival,
        found: Option<(&'s SessionState, &'s Psb)>,
    ) -> Self {
        let fresh = request.is_fresh();
        let handle = request.hop.lih;
        let outgoing = match found {
            Some((state, psb)) if fresh => way_on(state, psb),
            Some((_, psb)) => psb.outgoing.contains(&handle).then_some(handle),
            None if fresh => None,
            None => core.way_of(handle),
        };
        let next_hop = (!fresh).then_some(request.hop.address);
        Self { found, arrival, outgoing, next_hop }
    }

    /// The whole object.
    pub(super) fn response(&self, core: &Core, now: Now, request: &Message) -> Vec<u8> {
        let v6 = request.session.destination.is_ipv6();
        let address = |interface: Option<u32>| {
            let own =
                interface.and_then(|way| core.interfaces.address(way, request.session.destination));
            own.unwrap_or(unspecified(v6))
        };
        let psb = self.found.map(|(_, psb)| psb);
        let phop = psb.and_then(|psb| psb.phop);
        let incoming = psb.filter(|_| phop.is_some()).map(|psb| psb.incoming);
        let mut response = DiagResponse::new(
            address(incoming),
            address(self.outgoing.filter(|way| *way != LOCAL)),
            phop.map_or(unspecified(v6), |phop| phop.address),
        );
        response.arrival_time = core.ntp_time(now);
        response.hops = self.arrival.hops;
        response.refresh_multiple = core.config.rsvp.lifetime_multiplier.min(15);
        let refresh_ms = core.interfaces.refresh_ms(core.config.rsvp.refresh_ms, now.at);
        response.timer = u16::try_from(refresh_ms.div_ceil(1_000)).unwrap_or(u16::MAX);
        let mut objects = Collected { request, bytes: Vec::new() };
        match self.found {
            None => response.error = DiagResponse::NO_PATH_STATE,
            Some((state, psb)) => {
                let here: Vec<&Rsb> = self.reservations(state, psb).collect();
                let elsewhere = |rsb: &Rsb| Some(rsb.outgoing) != self.outgoing;
                let others = state.reservations_for(psb.sender).any(elsewhere);
                response.merged = !here.is_empty() && others;
                objects.of_path(psb);
                objects.of_reservation(psb, &here);
                self.report_charges(core, &mut objects, state.session, psb, &here);
            }
        }
        encoded(&response.with_objects(&objects.bytes))
    }

    /// The reservations for the data that goes on where the request came from.
    fn reservations(
        &self,
        state: &'s SessionState,
        psb: &'s Psb,
    ) -> impl Iterator<Item = &'s Rsb> + use<'s> {
        let outgoing = self.outgoing;
        state.reservations_for(psb.sender).filter(move |rsb| Some(rsb.outgoing) == outgoing)
    }

    fn report_charges(
        &self,
        core: &Core,
        objects: &mut Collected<'_>,
        session: Session,
        psb: &Psb,
        here: &[&Rsb],
    ) {
        if !objects.request.selects(class::POLICY_DATA, 1, false) {
            return;
        }
        let Some(outgoing) = self.outgoing else { return };
        let payers = here
            .iter()
            .filter(|rsb| self.next_hop.is_none_or(|hop| rsb.next_hop == hop))
            .flat_map(|rsb| rsb.origins(psb.sender));
        let payers: Vec<IpAddr> = payers.collect();
        let asked = objects.request.diagnostic;
        let visible = |payer: Option<IpAddr>| {
            let parties: Vec<IpAddr> = payer.into_iter().chain(psb.payee()).collect();
            core.visible(&self.arrival, &asked, &parties)
        };
        let report = charging::report(core, session, psb, outgoing, &payers, visible);
        objects.add_raw(&report);
    }
}

/// Where the data goes on from the LAST-HOP: to a receiver that has reserved, if there is one.
fn way_on(state: &SessionState, psb: &Psb) -> Option<u32> {
    let reserved = state.reservations_for(psb.sender).map(|rsb| rsb.outgoing).min();
    reserved.or(state.receiver.as_ref().map(|_| LOCAL)).or(psb.outgoing.first().copied())
}

/// Response objects as they are asked for.
struct Collected<'r> {
    request: &'r Message,
    bytes: Vec<u8>,
}

impl Collected<'_> {
    fn add(&mut self, object: &impl EncodeObject, by_default: bool) {
        let (class, ctype) = object.class_and_ctype();
        if self.request.selects(class, ctype, by_default) {
            self.add_raw(&encoded(object));
        }
    }

    fn add_raw(&mut self, object: &[u8]) {
        if self.bytes.len() + object.len() <= OBJECTS_MAX {
            self.bytes.extend_from_slice(object);
        }
    }

    fn of_path(&mut self, psb: &Psb) {
        if let Some(phop) = &psb.phop {
            self.add(phop, false);
        }
        self.add(&SenderTemplate(psb.sender), false);
        self.add(&SenderTspec(psb.facts.tspec), true);
        let adspec = psb.facts.adspec.as_deref().unwrap_or_default();
        let ctype = adspec.get(3).copied().unwrap_or_default();
        if self.request.selects(class::ADSPEC, ctype, false) {
            self.add_raw(adspec);
        }
    }

    fn of_reservation(&mut self, psb: &Psb, here: &[&Rsb]) {
        let Some(first) = here.first() else { return };
        self.add(&first.selection.style(), true);
        let mut flowspecs = here.iter().map(|rsb| rsb.flowspec);
        let all: Option<FlowSpec> = flowspecs.next().and_then(|of| flowspecs.try_fold(of, merge));
        self.add(&all.unwrap_or(first.flowspec), true);
        for confirm in here.iter().filter_map(|rsb| rsb.confirm).take(1) {
            self.add(&confirm, false);
        }
        let filters = here.iter().flat_map(|rsb| match &rsb.selection {
            Selection::Fixed(_) => vec![psb.sender],
            Selection::Explicit(filters) => filters.iter().map(|(filter, _)| *filter).collect(),
            Selection::Wildcard => Vec::new(),
        });
        let mut filters: Vec<_> = filters.collect();
        filters.sort_unstable();
        filters.dedup();
        for filter in filters.into_iter().take(NAMED_MOST) {
            self.add(&FilterSpec(filter), true);
        }
        if first.selection.style() == Style::WildcardFilter
            && let Some(scope) = here.iter().find_map(|rsb| rsb.scope.as_ref())
        {
            self.add(&Scope(scope.get(..NAMED_MOST).unwrap_or(scope)), false);
        }
    }
}

impl Core {
    /// The middle 32 bits of the NTP time.
    fn ntp_time(&self, now: Now) -> u32 {
        let seconds = u64::from(now.unix_s) * 1_000_000;
        let unix_us = match self.diagnose.wall {
            Some((at, unix_us)) => unix_us.saturating_add(now.at.since(at)),
            None => seconds,
        };
        let whole = (unix_us / 1_000_000).wrapping_add(NTP_UNIX) & 0xffff;
        let fraction = (unix_us % 1_000_000) * 65_536 / 1_000_000;
        // Both have 16 bits.
        ((whole as u32) << 16) | (fraction as u32 & 0xffff)
    }
}

/// The reports in a message, whole objects one behind the other.
pub(super) fn responses(bytes: &[u8]) -> Vec<DiagResponse<'_>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some(length) = rest.first_chunk::<2>().map(|l| usize::from(u16::from_be_bytes(*l))) {
        let Some((object, behind)) = rest.split_at_checked(length.max(4)) else { break };
        let raw = RawObject::parse(object);
        found.extend(raw.ok().and_then(|raw| DiagResponse::decode(&raw).ok()));
        rest = behind;
    }
    found
}

/// Sets R-error bits in an encoded report.
pub(super) fn add_error(response: &mut [u8], error: u8, v6: bool) {
    let at = 4 + 4 + 3 * if v6 { 16 } else { 4 } + 1;
    if let Some(bits) = response.get_mut(at) {
        *bits |= (error & 0x07) << 4;
    }
}

fn unspecified(v6: bool) -> IpAddr {
    if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

fn encoded(object: &impl EncodeObject) -> Vec<u8> {
    let mut bytes = vec![0; object.encoded_len()];
    match object.encode(&mut bytes) {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}
