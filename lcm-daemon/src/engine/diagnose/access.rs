//! Who may ask what, and who may be answered how.
//!
//! No answer is to be had sent to somebody else who did not ask. A request begins at its LAST-HOP,
//! where the requester must be on the link by which it came and speak for itself, or be named in
//! the configuration. On its way a request comes from somebody on a link, or from a next hop that
//! reserves in this session (so before anything is reserved, none comes from beyond a router without
//! RSVP, but for a requester that is named), and where it has a ROUTE, back to that hop goes what it
//! causes. Straight to the requester goes only what is for somebody on a link
//! of this node, or named in the configuration. For one request, a hop sends one message on and
//! two back at most.
//!
//! The requester's address and the hop's are words in a message. What is shown or sent because of them
//! rests on where the packet came from, on a key of RFC 2747, or on the request having begun here.

use std::net::IpAddr;

use rsvp_wire::object::Diagnostic;

use super::super::Core;
use super::super::path::may_be_source;
use super::Arrival;
use super::message::Message;
use crate::config::{Charges, Prefix};
use crate::packet::PacketMeta;

fn within(prefixes: &[Prefix], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(address))
}

impl Core {
    /// Whether a request is to be taken; otherwise what it is counted as. `reserves`: the hop that
    /// it comes from is a next hop of this session.
    pub(super) fn may_be_asked(
        &mut self,
        meta: PacketMeta,
        request: &Message,
        reserves: bool,
    ) -> Result<(), &'static str> {
        let settings = &self.config.diagnostics;
        if !settings.answer {
            return Err("answering_is_off");
        }
        let (requester, hop) = (request.diagnostic.requester.0.source, request.hop);
        let named = within(&settings.requesters, requester);
        let ours = self.diagnose.is_running(requester, request.diagnostic.request_id);
        if !settings.requesters.is_empty() && !named && !ours {
            return Err("requester_not_allowed");
        }
        if !may_be_source(requester) || !may_be_source(request.diagnostic.last_hop) {
            return Err("malformed");
        }
        if request.is_fresh() {
            // Nothing was passed yet (section 6).
            if request.route.as_ref().is_some_and(|nodes| !nodes.is_empty()) {
                return Err("malformed");
            }
            let port = self.interfaces.get(meta.interface);
            let itself = requester == meta.source && port.is_some_and(|p| p.reaches(requester));
            if !itself && !named {
                return Err("requester_is_a_stranger");
            }
        } else {
            // A hop does not answer itself, nor for a hop that is not on the way back.
            let came_by = request.route.as_ref().map(|nodes| nodes.last() == Some(&hop.address));
            if self.interfaces.owns(hop.address) || came_by == Some(false) {
                return Err("request_astray");
            }
            let on_link = self.is_on_link(hop.address);
            if meta.source != hop.address && (on_link || !reserves) {
                return Err("request_astray");
            }
            if !reserves && !named && !on_link {
                return Err("hop_is_a_stranger");
            }
        }
        let rate = self.config.diagnostics.max_per_s;
        if !self.diagnose.allow(self.at, rate) {
            return Err("max_per_s");
        }
        Ok(())
    }

    /// Whether a reply may go straight to a requester; `fresh`: the request began here, where its
    /// requester was seen to be on the link.
    pub(super) fn may_hear_directly(&self, requester: IpAddr, fresh: bool) -> bool {
        let named = within(&self.config.diagnostics.requesters, requester);
        named || (fresh && self.is_on_link(requester))
    }

    fn is_on_link(&self, address: IpAddr) -> bool {
        let mut links = self.interfaces.iter().filter(|port| !port.kernel.loopback);
        links.any(|port| port.reaches(address))
    }

    /// What a requester sees of the charges between this node and `parties`.
    pub(super) fn visible(
        &self,
        arrival: &Arrival,
        asked: &Diagnostic,
        parties: &[IpAddr],
    ) -> Charges {
        let settings = &self.config.diagnostics;
        let requester = asked.requester.0.source;
        // A request of an application here may come by here again, on its way from a LAST-HOP.
        let Some(meta) =
            arrival.meta.filter(|_| !self.diagnose.is_running(requester, asked.request_id))
        else {
            return Charges::All;
        };
        let vouched = arrival.proved || within(&settings.trusted, meta.source);
        if vouched && within(&settings.trusted, requester) {
            return Charges::All;
        }
        let itself = arrival.proved || meta.source == requester;
        match settings.charges {
            Charges::Own if itself && parties.contains(&requester) => Charges::All,
            Charges::Own => Charges::Totals,
            other => other,
        }
    }
}
