//! RSVP diagnostics (RFC 2745): requests are answered and forwarded towards the sender, replies go
//! back the way the request came.
//!
//! ```text
//! DREQ ─▶ access.rs   may it be asked here, by whom, how often
//!         respond.rs  DIAG_RESPONSE: the state of this hop, of charges what the requester may see
//!         forward.rs  on to the previous hop, or back as a DREP; fragments by Path MTU (section 4.1)
//! DREP ─▶ mod.rs      back along ROUTE, if it answers a request that went on from here
//!         trace.rs    what applications of this node asked: repeated, collected, given up
//! ```
//!
//! Nothing here changes state of sessions. A request that is forwarded leaves a short note, so that
//! replies are relayed for nothing else: a stranger's DREP goes nowhere.

mod access;
mod forward;
mod message;
mod respond;
mod trace;
mod view;

pub use trace::{TraceError, TraceId, TraceRequest};
pub use view::{TraceCharges, TraceHop, TraceView, TracedFlow};

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use rsvp_wire::message::Diagnosis;
use rsvp_wire::object::Filter;

use super::counters::bump;
use super::neighbours::{Bucket, Pace};
use super::outbox::Output;
use super::record::RecordId;
use super::time::{Instant, Now, Span};
use super::upstream::HOP_TTL;
use super::{Core, Engine};
use crate::packet::{PacketMeta, TransmitMeta};
use message::Message;
use trace::Trace;

/// For how long replies to a request that went on are relayed.
const RELAYED_FOR: Span = Span::from_millis(20_000);
/// Replies to one request that are relayed: so many fragments have the longest paths.
const RELAYED_MOST: u16 = 255;
/// Requests that went on and are remembered; the oldest makes room.
const REMEMBERED_MOST: usize = 1_024;

/// What a node keeps for diagnostics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Diagnose {
    /// Filled when the first request comes.
    bucket: Option<Bucket>,
    /// Requests that went on, oldest first.
    passed: VecDeque<Passed>,
    /// What applications of this node asked.
    traces: BTreeMap<TraceId, Trace>,
    next_trace: u64,
    /// The wall clock in microseconds since 1970 at an instant; without it, whole seconds do.
    wall: Option<(Instant, u64)>,
}

/// The hop that a request came from, and our interface towards it.
#[derive(Debug, Clone, Copy)]
struct From {
    hop: IpAddr,
    interface: Option<u32>,
    /// It began here.
    fresh: bool,
}

/// A request that went on from here.
#[derive(Debug, Clone, Copy)]
struct Passed {
    requester: Filter,
    id: u32,
    /// Where it came from.
    from: From,
    until: Instant,
    /// Replies that may still come.
    left: u16,
}

impl Diagnose {
    fn allow(&mut self, now: Instant, rate: u32) -> bool {
        let pace = Pace { rate: rate.into(), burst: rate.into() };
        let bucket = self.bucket.get_or_insert_with(|| Bucket::full(pace, now));
        bucket.fill(pace, now);
        bucket.take(0)
    }

    fn remember(&mut self, now: Instant, requester: Filter, id: u32, from: From) {
        self.passed.retain(|it| now < it.until && (it.requester, it.id) != (requester, id));
        if self.passed.len() >= REMEMBERED_MOST {
            self.passed.pop_front();
        }
        let until = now + RELAYED_FOR;
        self.passed.push_back(Passed { requester, id, from, until, left: RELAYED_MOST });
    }

    /// Where the request came from that a reply is to, if it went on from here.
    fn recall(&mut self, now: Instant, requester: Filter, id: u32) -> Option<From> {
        let mut passed = self.passed.iter_mut().filter(|it| now < it.until && it.left > 0);
        let passed = passed.find(|it| (it.requester, it.id) == (requester, id))?;
        passed.left -= 1;
        Some(passed.from)
    }

    /// Whether an application of this node asked this, and waits for the answer.
    fn is_running(&self, requester: IpAddr, id: u32) -> bool {
        self.traces.values().any(|trace| trace.asks(requester, id))
    }

    /// When something is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.traces.values().map(Trace::due).min()
    }
}

/// Where a message came from.
#[derive(Debug, Clone, Copy)]
struct Arrival {
    /// `None` if it was made here.
    meta: Option<PacketMeta>,
    /// IP hops without RSVP on the way, by Send_TTL and the TTL in the IP header.
    hops: u8,
    /// Nothing was collected when it came.
    fresh: bool,
    /// The hop that it came from proved by a key to be who it is.
    proved: bool,
}

impl Engine {
    /// Tells the wall clock to the microsecond, for the arrival times in reports; without it they
    /// are in whole seconds.
    pub fn set_wall_clock(&mut self, at: Instant, unix_us: u64) {
        self.core.diagnose.wall = Some((at, unix_us));
    }

    /// Takes a diagnostic request.
    pub(super) fn handle_dreq(&mut self, now: Now, meta: PacketMeta, dreq: &Diagnosis<'_>) {
        let hops = dreq.packet.send_ttl().saturating_sub(meta.ttl);
        let Some(request) = Message::read(dreq) else {
            return self.core.diagnosed("malformed");
        };
        let hop = request.hop.address;
        let slot = self.sessions.find(&request.session);
        let state = slot.and_then(|slot| self.sessions.get(slot));
        let reserves =
            state.is_some_and(|state| state.reservations.iter().any(|rsb| rsb.next_hop == hop));
        if let Err(why) = self.core.may_be_asked(meta, &request, reserves) {
            return self.core.diagnosed(why);
        }
        let last_hop = request.diagnostic.last_hop;
        if request.is_fresh() && !self.core.interfaces.owns(last_hop) {
            // Nothing is to be collected downstream of the LAST-HOP (section 4.1).
            let way = self.core.interfaces.towards(last_hop, None);
            self.core.diagnosed("request_passed");
            return self.core.send_diagnostic(&request, false, way, last_hop);
        }
        self.core.diagnosed("request");
        let proved = self.core.is_proved(meta, &dreq.packet);
        let fresh = request.is_fresh();
        self.diagnose(now, Arrival { meta: Some(meta), hops, fresh, proved }, request);
    }

    /// Takes a diagnostic reply (section 4.2).
    pub(super) fn handle_drep(&mut self, now: Now, drep: &Diagnosis<'_>) {
        let Some(reply) = Message::read(drep) else {
            return self.core.diagnosed("malformed");
        };
        let (requester, id) = (reply.diagnostic.requester.0, reply.diagnostic.request_id);
        if self.core.interfaces.owns(requester.source) && reply.requester_port() == 0 {
            return self.take_reply(now, &reply);
        }
        let core = &mut self.core;
        let Some(from) = core.diagnose.recall(now.at, requester, id) else {
            return core.diagnosed("reply_unasked");
        };
        let target = core.next_of_route(&reply);
        // The request came from there, or the reply was tampered with.
        let target = target.filter(|to| to.is_none_or(|(_, next)| next == from.hop));
        let Some(target) = target else { return core.diagnosed("reply_astray") };
        core.diagnosed("reply_passed");
        match target {
            Some((pointer, next)) => {
                let onward = Message { pointer, ..reply };
                core.send_diagnostic(&onward, true, from.interface, next);
            }
            None => core.send_to_requester(&reply, from.fresh),
        }
    }
}

impl Core {
    /// Counts an event.
    fn diagnosed(&mut self, what: &'static str) {
        bump(&mut self.counters.diagnostics, what);
    }

    /// The next node of a reply's ROUTE and the R-pointer to it; `Some(None)` if it goes to the
    /// requester from here, `None` if we are not on it.
    fn next_of_route(&self, reply: &Message) -> Option<Option<(u8, IpAddr)>> {
        if self.interfaces.owns(reply.diagnostic.last_hop) {
            return Some(None);
        }
        let route = reply.route.as_ref()?;
        let here = route.get(usize::from(reply.pointer))?;
        if !self.interfaces.owns(*here) {
            return None;
        }
        let Some(pointer) = reply.pointer.checked_sub(1) else { return Some(None) };
        Some(Some((pointer, *route.get(usize::from(pointer))?)))
    }

    /// The interface that a handle names, if messages can come in by it.
    fn way_of(&self, handle: u32) -> Option<u32> {
        let port = self.interfaces.get(handle)?;
        (!port.kernel.loopback).then_some(handle)
    }

    /// Sends a message from hop to hop.
    fn send_diagnostic(
        &mut self,
        message: &Message,
        reply: bool,
        interface: Option<u32>,
        to: IpAddr,
    ) {
        // What asks comes from the hop that it names.
        let own = Some(message.hop.address).filter(|own| !reply && self.interfaces.owns(*own));
        let source = own.or_else(|| self.interfaces.address(interface?, to));
        let meta = TransmitMeta {
            interface: None,
            gateway: None,
            source,
            destination: to,
            ttl: HOP_TTL,
            router_alert: false,
        };
        // Not acknowledged and not repeated: the requester does that.
        let hop = self.hop(interface.unwrap_or_default(), None);
        let kind = message.kind(reply);
        self.outbox.send(&mut self.counters, hop, meta, kind, RecordId::NONE, |w| message.write(w));
    }

    /// Sends a reply straight to the requester, by UDP if it names a port (section 6); `fresh`: the
    /// request began here.
    fn send_to_requester(&mut self, reply: &Message, fresh: bool) {
        let to = reply.diagnostic.requester.0.source;
        if !self.may_hear_directly(to, fresh) {
            return self.diagnosed("reply_to_a_stranger");
        }
        let port = reply.requester_port();
        if port == 0 {
            let way = self.interfaces.towards(to, None);
            return self.send_diagnostic(reply, true, way, to);
        }
        if let Some(message) = reply.encode(true, HOP_TTL) {
            let to = SocketAddr::new(to, port);
            self.outbox.push(Output::Datagram { to, message: message.into() });
        }
    }
}
