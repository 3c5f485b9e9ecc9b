//! The RSVP engine: messages, time and kernel news go in; messages, timers and effects come out.
//!
//! No clock, socket or disk is known here, so whole networks of engines run in one test in
//! virtual time. The driver's duty after every input:
//!
//! 1. take [`Engine::poll_output`] until it is empty, and do what it says;
//! 2. send [`Engine::transmits`] and clear it;
//! 3. sleep no longer than to [`Engine::poll_timeout`], then call [`Engine::handle_timeout`];
//!    an alarm that comes too early or for nothing does no harm.

mod accounts;
mod blockade;
mod budget;
mod charging;
mod choice;
mod counters;
mod diagnose;
mod drain;
mod error;
mod flowspec;
mod heard;
mod image;
mod index;
mod integrity;
mod interfaces;
mod limits;
mod local;
mod local_api;
mod moving;
mod neighbours;
mod note;
mod outbox;
mod path;
mod payers;
mod policy;
mod preempt;
mod proxy;
mod psb;
mod record;
mod reduce;
mod refresh;
mod requote;
mod resv;
mod resv_err;
mod routes;
mod rsb;
mod session;
pub mod show;
mod slew;
mod tear;
mod time;
mod timers;
mod traffic;
mod upstream;

pub use accounts::{AccountError, REASON_MAX, Spending, SpendingNews};
pub use charging::{Alarm, AlarmKind, AuditView, HopCharge, wire_account};
pub use counters::{Counters, MESSAGE_TYPES};
pub use diagnose::{
    TraceCharges, TraceError, TraceHop, TraceId, TraceRequest, TraceView, TracedFlow,
};
pub use drain::DRAIN_PERCENT_MAX;
pub use integrity::{AssociationView, Disbelief, DisbeliefView, Disbelieved, KeyView, PeerView};
pub use local::{
    Behind, Handle, Level, LocalError, Notice, NoticeEvent, OtherWay, Priority, ReceiverRequest,
    SenderRequest, SenderShare,
};
pub use local_api::PriceChange;
pub use outbox::Output;
pub use record::RecordId;
pub use reduce::NeighbourNews;
pub use time::{Instant, Now, Span, lifetime};
pub use traffic::{Police, TrafficChange, TrafficSetting};

use ahash::RandomState;
use rsvp_wire::Message;
use rsvp_wire::MessageType::{Ack, Bundle, Drep, Dreq, Hello, PathErr, Resv, ResvErr, ResvTear};
use smallvec::SmallVec;

use crate::config::Config;
use crate::kernel::{KernelNews, Route, RouteKey};
use crate::packet::{PacketMeta, TransmitQueue};
use charging::{Accounts, Books, Purses};
use integrity::Guard;
use interfaces::Interfaces;
use neighbours::Neighbours;
use outbox::Outbox;
use routes::Routes;
use session::{SessionState, Sessions};
use timers::Timers;

/// Things of which there are mostly one or two, as senders of a session: they need no memory but
/// where they are looked at.
pub(crate) type Few<T> = SmallVec<[T; 2]>;

/// What was done with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touched {
    /// Nothing, but that what was to end ends later.
    Ends,
    /// Anything.
    More,
}

/// As [`Few`], of things so large that room for a second one would cost more than it saves.
pub(crate) type One<T> = SmallVec<[T; 1]>;

/// Tells these hashes from others of the same seed.
const HASH_SALT: u64 = 0x5253_5650;

/// Least time between two looks at a session by the clock.
const SHORTEST_ALARM: Span = Span::from_millis(1);

/// One RSVP node.
///
/// A copy counts its state against the same limits as the original: copies are for explorations
/// of nodes that reach none.
#[derive(Debug, Clone)]
pub struct Engine {
    core: Core,
    sessions: Sessions,
}

/// Everything of a node but its sessions, so that one session and the rest can be borrowed at
/// the same time.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    pub(crate) config: Config,
    /// `None` on a policy-ignorant node.
    pub(crate) charging: Option<charging::Context>,
    /// Who is asked about policy elements.
    pub(crate) handlers: policy::Handlers,
    /// Policy objects on their way into a message.
    pub(crate) policy_out: policy::Out,
    pub(crate) interfaces: Interfaces,
    pub(crate) routes: Routes,
    pub(crate) neighbours: Neighbours,
    /// Who has to prove to be who it is, and how.
    pub(crate) integrity: Guard,
    /// POLICY_DATA objects of the message in hand that are not believed, by where they stand in it.
    disbelieved: Vec<(usize, Disbelief)>,
    diagnose: diagnose::Diagnose,
    pub(crate) outbox: Outbox,
    pub(crate) timers: Timers,
    pub(crate) counters: Counters,
    pub(crate) books: Books,
    pub(crate) unwritten: charging::Unwritten,
    pub(crate) audit: charging::Audit,
    pub(crate) accounts: Accounts,
    /// Who may still spend how much.
    pub(crate) purses: Purses,
    /// What can be given back of what was metered.
    pub(crate) returns: charging::Returns,
    /// Slot of the session that is in hand.
    pub(crate) in_hand: usize,
    pub(crate) rng: fastrand::Rng,
    /// Refreshes come every R exactly.
    pub(crate) steady: bool,
    /// Interfaces whose price changed while one session was in hand.
    pub(crate) repriced: Vec<u32>,
    /// New prices on their way to many sessions.
    requotes: requote::Requotes,
    /// When prices that move by themselves are looked at next.
    pub(crate) prices_move: Option<Instant>,
    /// Objects of unknown classes of the tear in hand: they go on in the tears that follow from it
    /// (RFC 2205 section 3.10).
    pub(crate) torn_with: Vec<u8>,
    /// The time of the input that is being taken.
    at: Instant,
    /// The wall clock of that input.
    unix_s: u32,
    /// No alarm is set before this: whatever asks for time that has passed is looked at a thousand
    /// times a second at most, and cannot stop the node.
    soonest: Instant,
    /// Newer than every epoch and sequence of the flows that were forgotten lately.
    pub(crate) unused_serial: Option<u32>,
    next_handle: u64,
    /// Flows that were named in the records so far.
    named_flows: u64,
    /// The message that is being taken; empty while none is.
    message: Vec<u8>,
    /// An application here is ending what it registered.
    closing: bool,
    /// The node goes out of service: nothing new is let in.
    draining: bool,
    /// It lets in what is new at so many percent of the price.
    drain_percent: Option<u32>,
    /// Senders of `[[sender_proxy]]` that are not open yet, and whether the operator knows.
    unopened: Vec<(crate::config::SenderProxy, bool)>,
}

impl Engine {
    /// A node without interfaces and sessions; the interfaces come as kernel news. `seed` feeds
    /// the jitter of the refresh timers.
    pub fn new(config: Config, seed: u64) -> Self {
        // Keyed by the seed, so that a simulation repeats.
        let hasher = RandomState::with_seeds(seed, !seed, seed.rotate_left(32), HASH_SALT);
        let core = Core {
            charging: charging::Context::new(&config),
            handlers: charging::handlers(&config),
            policy_out: policy::Out::default(),
            interfaces: Interfaces::new(config.rsvp.slew_max_percent),
            routes: Routes::new(hasher.clone()),
            neighbours: Neighbours::new(hasher.clone()),
            disbelieved: Vec::new(),
            diagnose: diagnose::Diagnose::default(),
            integrity: Guard::new(&config.authentication, hasher.clone(), seed),
            outbox: Outbox::new(seed),
            timers: Timers::default(),
            counters: Counters::default(),
            books: Books::new(config.limits.max_accounts),
            unwritten: charging::Unwritten::default(),
            audit: charging::Audit::default(),
            accounts: Accounts::default(),
            purses: Purses::new(&config),
            returns: charging::Returns::default(),
            in_hand: 0,
            rng: fastrand::Rng::with_seed(seed),
            steady: false,
            repriced: Vec::new(),
            requotes: requote::Requotes::default(),
            prices_move: None,
            torn_with: Vec::new(),
            at: Instant::default(),
            unix_s: 0,
            soonest: Instant::default(),
            unused_serial: None,
            next_handle: 0,
            named_flows: 0,
            message: Vec::new(),
            closing: false,
            draining: false,
            drain_percent: None,
            unopened: config.sender_proxies.iter().map(|one| (one.clone(), false)).collect(),
            config,
        };
        Self { core, sessions: Sessions::new(hasher) }
    }

    /// As [`new`](Self::new), but refreshes come every R exactly, so that a network of such nodes
    /// comes back to states that it was in before. Not for a real network, whose routers would fall
    /// into step.
    pub fn without_jitter(config: Config) -> Self {
        let mut engine = Self::new(config, 0);
        engine.core.steady = true;
        engine
    }

    /// Takes one RSVP message, as it came off the wire.
    pub fn handle_packet(&mut self, now: Now, meta: PacketMeta, bytes: &[u8]) {
        let now = self.enter(now);
        self.handle_message(now, meta, bytes);
    }

    /// Takes a message that came alone or in a Bundle.
    fn handle_message(&mut self, now: Now, meta: PacketMeta, bytes: &[u8]) {
        let message_type = bytes.get(1).copied().unwrap_or_default();
        self.core.counters.received(message_type);
        let speaks = self.core.interfaces.get(meta.interface).is_some_and(|p| p.settings.rsvp);
        if !speaks {
            return self.core.counters.drop("interface_without_rsvp");
        }
        let hop_by_hop = [Resv, ResvTear, PathErr, ResvErr, Bundle, Ack, Hello, Dreq, Drep];
        let hop_by_hop = hop_by_hop.map(u8::from).contains(&message_type);
        if hop_by_hop && !self.core.interfaces.owns(meta.destination) {
            return self.pass_by(meta, message_type, bytes);
        }
        if !self.believes(now, meta, bytes) {
            return;
        }
        if self.is_repeated(now, meta, bytes) {
            return;
        }
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(error) => return self.handle_malformed(meta, bytes, &error),
        };
        if let Err(limit) = self.hear(meta, &message) {
            return self.core.counters.drop(limit);
        }
        if let Message::Bundle(bundle) = &message {
            return self.handle_bundle(now, meta, bundle);
        }
        let numbered = match self.listen(now, meta, &message) {
            Ok(numbered) => numbered,
            Err(reason) => return self.core.counters.drop(reason),
        };
        self.core.judge_policy(meta, &message);
        self.core.message.clear();
        self.core.message.extend_from_slice(bytes);
        let mut taken = true;
        match &message {
            Message::Path(path) => self.handle_path(now, meta, path),
            Message::Resv(resv) => {
                taken = self.handle_resv(now, resv);
                self.requote_repriced(now);
            }
            Message::PathTear(tear) => self.handle_path_tear(now, meta, tear),
            Message::ResvTear(tear) => self.handle_resv_tear(now, tear),
            Message::PathErr(error) => self.handle_path_err(now, meta, error),
            Message::ResvErr(error) => self.handle_resv_err(now, meta, error),
            Message::ResvConf(conf) => self.handle_resv_conf(meta, conf),
            Message::Dreq(dreq) => self.handle_dreq(now, meta, dreq),
            Message::Drep(drep) => self.handle_drep(now, drep),
            _ => self.handle_between_neighbours(now, meta, &message, numbered),
        }
        self.core.message.clear();
        match numbered {
            Some(numbered) => self.conclude(now, meta, &message, numbered, taken),
            None => self.note_octets(now, meta, &message, bytes, taken),
        }
        self.core.disbelieved.clear();
    }

    /// Whether the neighbour that sent a message is within its rate; otherwise the limit's name.
    fn hear(&mut self, meta: PacketMeta, message: &Message<'_>) -> Result<(), &'static str> {
        let (core, sessions) = (&mut self.core, &self.sessions);
        let from = match message {
            Message::Path(path) => path.hop.address,
            Message::Resv(resv) => resv.hop.address,
            Message::PathTear(tear) => tear.hop.address,
            Message::ResvTear(tear) => tear.hop.address,
            Message::ResvErr(error) => error.hop.address,
            // The source of a PATHERR is the hop that sent it; other messages say nothing better.
            _ => meta.source,
        };
        let from = (meta.interface, from);
        let refreshes = || sessions.knows(meta.interface, message);
        core.neighbours.hear(&core.config.limits, core.at, from, refreshes)
    }

    /// Takes the kernel's answer to [`Output::Route`].
    pub fn handle_route(&mut self, now: Now, key: RouteKey, route: Route) {
        let now = self.enter(now);
        let (concerned, old) = self.core.routes.answer(&key, route);
        for slot in concerned {
            self.with_session(slot, |core, session| {
                session.route_changed(core, now, &key, old.as_ref());
            });
        }
    }

    /// Takes news from the kernel.
    pub fn handle_news(&mut self, now: Now, news: KernelNews) {
        let now = self.enter(now);
        match news {
            KernelNews::Interface(interface) => {
                let settings = self.core.config.interface(&interface.name).clone();
                let reduces = settings.refresh_reduction || settings.hello_ms > 0;
                self.core.outbox.reduce.active |= settings.rsvp && reduces;
                let changed = self.core.interfaces.update(interface, settings);
                self.core.share();
                self.move_prices(now);
                if changed {
                    self.interfaces_changed(now);
                }
            }
            KernelNews::InterfaceGone { index } => {
                self.core.neighbours.forget_interface(index);
                self.core.outbox.reduce.forget_interface(index);
                let known = self.core.interfaces.remove(index);
                self.core.share();
                if known {
                    self.interfaces_changed(now);
                }
            }
            KernelNews::UnicastRoutes { prefix } => self.core.routes.unicast_changed(prefix),
            KernelNews::MulticastRoute { source, group } => {
                self.core.routes.multicast_changed(source, group);
            }
            KernelNews::Resync => self.core.routes.all_changed(),
        }
    }

    /// Records up to and including `id` are durable: what waited for them may leave.
    pub fn handle_recorded(&mut self, id: RecordId) {
        self.core.unwritten.written(id);
        self.core.outbox.recorded(id);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = self.enter(now);
        self.core.soonest = now.at + SHORTEST_ALARM;
        self.core.challenge_due();
        let mut due = Vec::new();
        while let Some((at, slot)) = self.core.timers.pop_due(now.at) {
            if let Some(session) = self.sessions.get_mut(slot).filter(|s| s.armed == at) {
                session.armed = Instant::NEVER;
                due.push(slot);
            }
        }
        for slot in due {
            self.with_session(slot, |core, session| session.handle_due(core, now));
        }
        self.reduce_due(now);
        self.traces_due(now);
        self.prices_due(now);
        self.requotes_due(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reduction = self.core.outbox.reduce.next_due();
        let diagnosis = self.core.diagnose.next_due();
        let purses = self.core.purses.next_alarm().map(|at| at.max(self.core.soonest));
        let prices = self.core.prices_move;
        let requotes = self.core.requotes.next_due();
        let integrity = self.core.integrity.next_alarm();
        let others = [integrity, reduction, diagnosis, purses, prices, requotes];
        self.core.timers.next().into_iter().chain(others.into_iter().flatten()).min()
    }

    /// The next thing to do that is not a message.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(key) = self.core.routes.next_question() {
            self.core.counters.route_queries += 1;
            return Some(Output::Route(key));
        }
        self.core.outbox.pop()
    }

    /// The messages to send now; the driver clears them.
    pub fn transmits(&mut self) -> &mut TransmitQueue {
        let Core { outbox, counters, integrity, .. } = &mut self.core;
        // INTEGRITY stands in messages and not in Bundles: what is signed goes alone.
        outbox.dispatch(counters, integrity.is_open());
        self.core.seal();
        self.core.outbox.transmits()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.core.counters
    }

    /// Runs `work` on a session, then sees to its alarm or forgets it if it became empty.
    fn with_session<T>(
        &mut self,
        slot: usize,
        work: impl FnOnce(&mut Core, &mut SessionState) -> T,
    ) -> Option<T> {
        let session = self.sessions.get_mut(slot)?;
        self.core.in_hand = slot;
        let result = work(&mut self.core, session);
        session.update_traffic(&mut self.core);
        if session.is_empty() {
            self.sessions.remove(slot);
        } else {
            let deadline = session.deadline().max(self.core.soonest);
            session.armed = self.core.timers.arm(session.slot, session.armed, deadline);
        }
        Some(result)
    }

    /// As [`with_session`](Self::with_session), of work that mostly does no more than put off ends:
    /// then the alarm that is set comes early at worst, and finds nothing due.
    fn touch_session<T>(
        &mut self,
        slot: usize,
        work: impl FnOnce(&mut Core, &mut SessionState) -> (T, Touched),
    ) -> Option<T> {
        let session = self.sessions.get_mut(slot)?;
        self.core.in_hand = slot;
        let (result, touched) = work(&mut self.core, session);
        if touched == Touched::More {
            self.with_session(slot, |_, _| ());
        } else {
            debug_assert!(!session.traffic_stale && !session.is_empty());
            debug_assert!(session.deadline().max(self.core.soonest) >= session.armed);
        }
        Some(result)
    }

    /// An interface came, went or changed its addresses: every session may be concerned.
    fn interfaces_changed(&mut self, now: Now) {
        self.core.routes.all_changed();
        for slot in self.sessions.slots() {
            self.with_session(slot, |core, session| session.interfaces_changed(core, now));
        }
    }
}
