//! What applications of this node ask (RFC 2745 section 6): a request is repeated until it is
//! answered, and its fragments are put together. If nothing comes, ever longer parts of the path
//! are asked for, up to the first hop that does not answer (section 5.6).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use rsvp_wire::iana::class;
use rsvp_wire::object::{Diagnostic, Filter, FilterSpec, Hop, SenderTemplate, Session};

use super::super::outbox::Output;
use super::super::time::{Instant, Now, Span};
use super::super::upstream::own_address;
use super::super::{Core, Engine};
use super::message::Message;
use super::view::{Answer, TraceView};
use super::{Arrival, RELAYED_FOR};

/// Traces that may run at one time.
const TRACES_MOST: usize = 64;
/// How long each try of the whole request waits.
const WAITS: [Span; 3] =
    [Span::from_millis(1_000), Span::from_millis(1_500), Span::from_millis(2_500)];
/// How long each try waits while the hop that does not answer is looked for.
const SEARCH_WAITS: [Span; 2] = [Span::from_millis(500), Span::from_millis(1_000)];
/// The search goes no further.
const SEARCH_MOST: u8 = 64;
/// Fragments of one answer that are kept.
const FRAGMENTS_MOST: usize = 256;
/// Path MTU to begin with; each hop lowers it to its own.
const PATH_MTU: u16 = 1_500;

/// Names a running trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub u64);

/// What is to be traced.
#[derive(Debug, Clone, Copy)]
pub struct TraceRequest {
    /// The session.
    pub session: Session,
    /// The sender; `None` for the only one that is known here.
    pub sender: Option<Filter>,
    /// Where collecting starts; `None` for this node.
    pub last_hop: Option<IpAddr>,
    /// So many hops at most, 0 for all.
    pub max_hops: u8,
    /// Replies come back by the hops of the request rather than straight.
    pub hop_by_hop: bool,
}

/// Why nothing can be traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceError {
    /// There is no sender of this session here to trace.
    NoSender,
    /// There are several.
    Several(Vec<Filter>),
    /// This node has no address of the session's family.
    NoAddress,
    /// Too many traces run.
    TooMany,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSender => f.write_str(
                "no sender of this session is known here: see `lcmctl show sessions`, or name a \
                 sender and the last hop of the path (--sender, --last-hop)",
            ),
            Self::Several(senders) => {
                let each: Vec<String> = senders.iter().map(ToString::to_string).collect();
                write!(f, "several senders: name one with --sender: {}", each.join(", "))
            }
            Self::NoAddress => f.write_str("this node has no address of the session's family"),
            Self::TooMany => {
                write!(f, "{TRACES_MOST} traces are running; wait until one has ended")
            }
        }
    }
}

impl std::error::Error for TraceError {}

/// How far a trace has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The whole path is asked for.
    Whole,
    /// So many hops are asked for, to find out who does not answer.
    Search(u8),
}

/// A running trace.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    message: Message,
    max_hops: u8,
    phase: Phase,
    tries: usize,
    sent: Instant,
    due: Instant,
    /// Reports by where they belong, and whether more follow.
    fragments: BTreeMap<u16, (Vec<u8>, bool)>,
    /// The longest answer so far.
    best: Vec<u8>,
}

impl Trace {
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether it is this request that is to be answered.
    pub(super) fn asks(&self, requester: IpAddr, id: u32) -> bool {
        let asked = &self.message.diagnostic;
        (asked.requester.0.source, asked.request_id) == (requester, id)
    }

    /// Takes a reply; true once the answer is whole.
    fn take(&mut self, reply: &Message) -> bool {
        let Diagnostic { fragment_offset, more_fragments, .. } = reply.diagnostic;
        if self.fragments.len() >= FRAGMENTS_MOST && !self.fragments.contains_key(&fragment_offset)
        {
            return false;
        }
        self.fragments.insert(fragment_offset, (reply.responses.clone(), more_fragments));
        let (reports, whole) = self.joined();
        if reports.len() > self.best.len() {
            self.best = reports;
        }
        whole
    }

    /// The reports from the first one on without a gap, and whether nothing follows.
    fn joined(&self) -> (Vec<u8>, bool) {
        let mut reports = Vec::new();
        loop {
            let at = u16::try_from(reports.len()).unwrap_or(u16::MAX);
            match self.fragments.get(&at) {
                Some((_, true)) if reports.len() >= usize::from(u16::MAX) => {
                    return (reports, true);
                }
                Some((more, true)) if more.is_empty() => return (reports, false),
                Some((more, true)) => reports.extend_from_slice(more),
                Some((last, false)) => {
                    reports.extend_from_slice(last);
                    return (reports, true);
                }
                None => return (reports, false),
            }
        }
    }

    /// The next request, if one more is to be made.
    fn next(&mut self, now: Instant, id: u32) -> bool {
        let waits: &[Span] = match self.phase {
            Phase::Whole => &WAITS,
            Phase::Search(_) => &SEARCH_WAITS,
        };
        if let Some(wait) = waits.get(self.tries) {
            self.tries += 1;
            (self.sent, self.due) = (now, now + *wait);
            return true;
        }
        if self.phase != Phase::Whole {
            return false;
        }
        self.search(now, 1, id);
        true
    }

    /// Asks for so many hops.
    fn search(&mut self, now: Instant, hops: u8, id: u32) {
        self.phase = Phase::Search(hops);
        self.message.diagnostic.max_hops = hops;
        // An answer that comes late belongs to the request before.
        self.message.diagnostic.request_id = id;
        self.fragments.clear();
        self.tries = 1;
        let [wait, ..] = SEARCH_WAITS;
        (self.sent, self.due) = (now, now + wait);
    }
}

impl Engine {
    /// Begins to trace a path; [`Output::Traced`] tells what was found. Nothing is changed by it
    /// on the way.
    ///
    /// # Errors
    /// If nothing can be asked.
    pub fn trace(&mut self, now: Now, request: TraceRequest) -> Result<TraceId, TraceError> {
        let now = self.enter(now);
        if self.core.diagnose.traces.len() >= TRACES_MOST {
            return Err(TraceError::TooMany);
        }
        let message = self.first_request(&request)?;
        let diagnose = &mut self.core.diagnose;
        diagnose.next_trace += 1;
        let id = TraceId(diagnose.next_trace);
        let mut trace = Trace {
            message,
            max_hops: request.max_hops,
            phase: Phase::Whole,
            tries: 0,
            sent: now.at,
            due: now.at,
            fragments: BTreeMap::new(),
            best: Vec::new(),
        };
        trace.next(now.at, 0);
        let message = trace.message.clone();
        diagnose.traces.insert(id, trace);
        self.ask(now, message);
        Ok(id)
    }

    fn first_request(&mut self, request: &TraceRequest) -> Result<Message, TraceError> {
        let TraceRequest { session, last_hop, max_hops, hop_by_hop, .. } = *request;
        let state = self.sessions.find(&session).and_then(|slot| self.sessions.get(slot));
        let senders: Vec<Filter> =
            state.iter().flat_map(|state| &state.senders).map(|psb| psb.sender).collect();
        let sender = match (request.sender, senders.as_slice()) {
            (Some(sender), _) => sender,
            (None, [only]) => *only,
            (None, []) => return Err(TraceError::NoSender),
            (None, _) => return Err(TraceError::Several(senders)),
        };
        let interfaces = &self.core.interfaces;
        let far = last_hop.filter(|hop| !interfaces.owns(*hop));
        let psb = state.and_then(|state| state.senders.get(state.sender(sender)?));
        let way = far.and_then(|far| interfaces.towards(far, None));
        let near = way.and_then(|way| interfaces.address(way, session.destination));
        let here = || psb.and_then(|psb| own_address(&self.core, session, psb));
        let own = match far {
            Some(_) => near,
            None => here(),
        };
        let own = own.or_else(|| interfaces.node_address(session.destination));
        let own = own.ok_or(TraceError::NoAddress)?;
        let diagnostic = Diagnostic {
            max_hops,
            hop_count: 0,
            more_fragments: false,
            request_id: self.core.rng.u32(..),
            path_mtu: PATH_MTU,
            fragment_offset: 0,
            last_hop: far.unwrap_or(own),
            sender: SenderTemplate(sender),
            requester: FilterSpec(Filter::port(own, 0)),
        };
        let hop = Hop { address: own, lih: way.unwrap_or_default() };
        let mut message = Message::new(session.key(), hop, diagnostic);
        let asked = [
            class::SENDER_TSPEC,
            class::STYLE,
            class::FLOWSPEC,
            class::FILTER_SPEC,
            class::POLICY_DATA,
        ];
        message.select = Some(asked.map(|class| [class, 0]).to_vec());
        message.route = hop_by_hop.then(Vec::new);
        Ok(message)
    }

    /// Sends a request of this node to its LAST-HOP, which may be this node.
    fn ask(&mut self, now: Now, request: Message) {
        let last_hop = request.diagnostic.last_hop;
        if self.core.interfaces.owns(last_hop) {
            let arrival = Arrival { meta: None, hops: 0, fresh: true, proved: true };
            return self.diagnose(now, arrival, request);
        }
        let way = self.core.interfaces.towards(last_hop, None);
        self.core.send_diagnostic(&request, false, way, last_hop);
    }

    /// Takes a reply to a request of this node.
    pub(super) fn take_reply(&mut self, now: Now, reply: &Message) {
        let id = reply.diagnostic.request_id;
        let mut traces = self.core.diagnose.traces.iter_mut();
        let found = traces.find(|(_, trace)| {
            let asked = &trace.message;
            let same =
                |a: &Diagnostic, b: &Diagnostic| (a.sender, a.requester) == (b.sender, b.requester);
            asked.diagnostic.request_id == id
                && asked.session == reply.session.key()
                && same(&asked.diagnostic, &reply.diagnostic)
        });
        let Some((&trace_id, trace)) = found else { return self.core.diagnosed("reply_unasked") };
        if !trace.take(reply) {
            return;
        }
        match trace.phase {
            Phase::Whole => self.conclude_trace(now, trace_id, true),
            Phase::Search(hops) => {
                let heard = super::respond::responses(&trace.best);
                let ended = heard.len() < usize::from(hops)
                    || heard.last().is_none_or(|last| last.previous_hop.is_unspecified())
                    || hops == trace.max_hops;
                if ended || hops >= SEARCH_MOST {
                    return self.conclude_trace(now, trace_id, ended);
                }
                let id = self.core.rng.u32(..);
                trace.search(now.at, hops + 1, id);
                let message = trace.message.clone();
                self.ask(now, message);
            }
        }
    }

    /// Repeats requests that were not answered, and gives them up.
    pub(in super::super) fn traces_due(&mut self, now: Now) {
        let due = |(id, trace): (&TraceId, &Trace)| (trace.due <= now.at).then_some(*id);
        let due: Vec<TraceId> = self.core.diagnose.traces.iter().filter_map(due).collect();
        for trace_id in due {
            let fresh_id = self.core.rng.u32(..);
            let Some(trace) = self.core.diagnose.traces.get_mut(&trace_id) else { continue };
            if trace.next(now.at, fresh_id) {
                let message = trace.message.clone();
                self.ask(now, message);
            } else {
                self.conclude_trace(now, trace_id, false);
            }
        }
    }

    fn conclude_trace(&mut self, now: Now, id: TraceId, answered: bool) {
        let Some(trace) = self.core.diagnose.traces.remove(&id) else { return };
        self.core.diagnosed(if answered { "trace" } else { "trace_unanswered" });
        let round_trip = now.at.since(trace.sent);
        let answer = Answer {
            session: trace.message.session,
            diagnostic: trace.message.diagnostic,
            reports: &trace.best,
            round_trip_us: answered
                .then_some(round_trip)
                .filter(|us| *us < RELAYED_FOR.as_micros()),
            answered,
            max_hops: trace.max_hops,
        };
        let view = TraceView::new(&self.core, &answer);
        self.core.outbox.push(Output::Traced(id, Box::new(view)));
    }
}

impl Core {
    /// The P-Types by which charging elements are known here.
    pub(super) fn p_types(&self) -> crate::config::PTypes {
        let charging = self.config.charging.as_ref();
        charging.map_or(crate::config::DEFAULT_P_TYPES, |charging| charging.p_types)
    }
}
