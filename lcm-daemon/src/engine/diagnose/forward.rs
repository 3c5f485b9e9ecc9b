//! The rules of RFC 2745 section 4.1: a response is added, and the request goes on towards the
//! sender or back.

use std::net::IpAddr;

use rsvp_wire::object::{DiagResponse, Diagnostic, Hop, Session};

use super::super::time::Now;
use super::super::upstream::own_address;
use super::super::{Core, Engine};
use super::message::Message;
use super::respond::Here;
use super::{Arrival, From};

/// Bytes of an IPv4 and of an IPv6 header.
const IP_HEADER: (usize, usize) = (20, 40);
/// Bytes of the longest INTEGRITY object that we write.
const INTEGRITY: usize = 52;

/// Where a request goes on to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Onward {
    interface: u32,
    /// Our address there, which goes into ROUTE and RSVP_HOP.
    own: IpAddr,
    phop: Hop,
}

impl Engine {
    /// Adds the response of this node to a request that may be answered, and sends it on or back.
    pub(super) fn diagnose(&mut self, now: Now, arrival: Arrival, mut request: Message) {
        let Self { core, sessions } = self;
        let state = sessions.find(&request.session).and_then(|slot| sessions.get(slot));
        let psb = state.and_then(|state| {
            let index = state.sender(request.diagnostic.sender.0)?;
            Some((state, state.senders.get(index)?))
        });
        let here = Here::new(core, &request, arrival, psb);
        request.diagnostic.hop_count = request.diagnostic.hop_count.saturating_add(1);
        let onward = psb.and_then(|(state, psb)| onward(core, state.session, psb));
        let Diagnostic { hop_count, max_hops, .. } = request.diagnostic;
        let looped = onward.is_some_and(|onward| passed_here(&request, onward.own));
        if looped {
            core.diagnosed("loop");
        }
        // Steps 6 and 8: a hop limit of 0 is none.
        let more = !looped && hop_count != max_hops && hop_count != u8::MAX;
        let onward = onward.filter(|_| more);
        if let Some(port) = onward.and_then(|onward| core.interfaces.get(onward.interface)) {
            let mtu = u16::try_from(port.kernel.mtu).unwrap_or(u16::MAX);
            request.diagnostic.path_mtu = request.diagnostic.path_mtu.min(mtu);
        }
        let mut response = here.response(core, now, &request);
        core.make_room(&mut request, &mut response, arrival);
        request.responses.extend_from_slice(&response);
        match onward {
            Some(onward) => core.forward(now, request, arrival, onward),
            None => self.answer(now, request, arrival, false),
        }
    }

    /// Sends back what a request has collected (step 10).
    pub(super) fn answer(&mut self, now: Now, reply: Message, arrival: Arrival, more: bool) {
        if arrival.meta.is_none() {
            let reply = Message {
                diagnostic: Diagnostic { more_fragments: more, ..reply.diagnostic },
                ..reply
            };
            return self.take_reply(now, &reply);
        }
        self.core.send_back(&reply, more, arrival.fresh);
    }
}

/// Where a request goes on to, if not here is its end.
fn onward(core: &Core, session: Session, psb: &super::super::psb::Psb) -> Option<Onward> {
    let phop = psb.phop?;
    let own = own_address(core, session, psb)?;
    Some(Onward { interface: psb.incoming, own, phop })
}

/// Whether a request has been here before, by what hops wrote into it.
fn passed_here(request: &Message, own: IpAddr) -> bool {
    let in_route = request.route.as_ref().is_some_and(|nodes| nodes.contains(&own));
    let responses = super::respond::responses(&request.responses);
    in_route || responses.into_iter().any(|response| response.incoming == own)
}

impl Core {
    /// Makes room for one more response where the message would be too big (steps 7 and SD1 to
    /// SD4): what was collected goes back as a fragment, and where that is not enough, ROUTE too.
    fn make_room(&mut self, request: &mut Message, response: &mut [u8], arrival: Arrival) {
        let size = |v6: bool, of: (usize, usize)| if v6 { of.1 } else { of.0 };
        let v6 = request.session.destination.is_ipv6();
        // The Path MTU is for packets: with their IP header, and with a digest if there is one.
        let mut room = usize::from(request.diagnostic.path_mtu);
        room = room.saturating_sub(size(v6, IP_HEADER));
        if !self.integrity.is_open() {
            room = room.saturating_sub(INTEGRITY);
        }
        let fits = |request: &Message| {
            let route = request.route.as_ref().map_or(0, |_| size(v6, (4, 16)));
            request.length() + response.len() + route <= room
        };
        if fits(request) {
            return;
        }
        let mut error = DiagResponse::PACKET_TOO_BIG;
        if !request.responses.is_empty() {
            if arrival.meta.is_some() {
                self.send_back(request, true, arrival.fresh);
            }
            let trimmed = std::mem::take(&mut request.responses).len();
            let offset = usize::from(request.diagnostic.fragment_offset) + trimmed;
            // Replies of 64 KiB are no more put together.
            request.diagnostic.fragment_offset = u16::try_from(offset).unwrap_or(u16::MAX);
        }
        if !fits(request) && request.route.as_ref().is_some_and(|nodes| !nodes.is_empty()) {
            error |= DiagResponse::ROUTE_TOO_BIG;
            request.route = Some(Vec::new());
            request.pointer = 0;
        }
        super::respond::add_error(response, error, v6);
    }

    /// Sends a request on towards the sender (step 9).
    fn forward(&mut self, now: Now, mut request: Message, arrival: Arrival, onward: Onward) {
        let Diagnostic { requester, request_id, .. } = request.diagnostic;
        if let Some(nodes) = &mut request.route {
            nodes.push(onward.own);
            request.pointer = request.pointer.saturating_add(1);
        }
        if arrival.meta.is_some() {
            let handle = request.hop.lih;
            let interface = self.way_of(handle).or(arrival.meta.map(|meta| meta.interface));
            let from = From { hop: request.hop.address, interface, fresh: arrival.fresh };
            self.diagnose.remember(now.at, requester.0, request_id, from);
        }
        request.hop = Hop { address: onward.own, lih: onward.phop.lih };
        self.diagnosed("request_forwarded");
        self.send_diagnostic(&request, false, Some(onward.interface), onward.phop.address);
    }

    /// Sends a reply that is made here to the hop before or to the requester.
    fn send_back(&mut self, request: &Message, more: bool, fresh: bool) {
        let mut reply = request.clone();
        reply.diagnostic.more_fragments = more;
        self.diagnosed(if more { "reply_fragment" } else { "reply" });
        let last = reply.route.as_ref().and_then(|nodes| nodes.last().copied());
        let Some(target) = last else { return self.send_to_requester(&reply, fresh) };
        reply.pointer = reply.pointer.saturating_sub(1);
        let handle = reply.hop.lih;
        let interface = self.way_of(handle).or_else(|| self.interfaces.towards(target, None));
        self.send_diagnostic(&reply, true, interface, target);
    }
}
