//! One state of a network, and what may happen next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::rc::Rc;

use lcm_daemon::engine::{
    Engine, Handle, Instant, Now, Output, PriceChange, SenderRequest, SenderShare,
};
use lcm_daemon::kernel::KernelNews;
use rsvp_wire::object::{Filter, Session};
use rsvp_wire::{Message, MessageType};

use super::kernel::{Kernels, Packet, R_MS};
use super::scenario::{Change, LATE_US, Scenario, Step};
use super::shape::{Fingerprint, LOOKBACK_US, Print, Relative, Shape};
use crate::sim::{Family, NodeId, TSPEC, sender_port, ucpes};

/// Unix time at the start; no other number in a state or a message is near it.
pub(super) const UNIX_START: u32 = 1_750_000_000;
/// Monotonic time at the start, in microseconds: later than everything that looks back.
const START_US: u64 = 1_000_000_000;

/// A daemon that runs.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) engine: Engine,
    shape: Shape,
    /// When something is due.
    due_us: u64,
}

/// A packet on its way to a node.
#[derive(Debug, Clone)]
pub(super) struct Flying {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) packet: Rc<Packet>,
    shape: Rc<Shape>,
    /// Until when a late one may be on its way.
    late_until_us: Option<u64>,
}

/// The payer of a flow, as a payee knows it: payee, next hop, session, sender.
pub(super) type Payer = (NodeId, IpAddr, Session, Filter);

/// Something that may happen. Messages are meant by their place among those on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A message arrives.
    Deliver(u8),
    /// It is lost.
    Lose(u8),
    /// A second copy of it will arrive.
    Double(u8),
    /// It may arrive after the next timers.
    Delay(u8),
    /// A node does what is due.
    Timer(u8),
    /// The next step of a script.
    Script(u8),
    /// The next change of the network.
    Change,
    /// The router dies.
    Crash,
    /// It comes back.
    Restart,
    /// Time goes on to whatever is next.
    Advance,
}

/// A state.
#[derive(Debug, Clone)]
pub(super) struct World<'s> {
    pub(super) scenario: &'s Scenario,
    pub(super) kernels: Rc<Kernels>,
    pub(super) now_us: u64,
    pub(super) seats: Vec<Option<Rc<Seat>>>,
    pub(super) flying: Vec<Flying>,
    /// Steps done of each script.
    pub(super) steps: Vec<usize>,
    handles: Vec<Vec<Option<Handle>>>,
    faults: u8,
    crashed: bool,
    /// When the network was last disturbed.
    disturbed_us: u64,
    /// What payers approved at their payees: ceilings and the ends of their time.
    pub(super) approvals: BTreeMap<Payer, Vec<(u64, u64)>>,
}

impl<'s> World<'s> {
    pub(super) fn new(scenario: &'s Scenario) -> Self {
        let count = scenario.topology.nodes.len();
        let mut world = Self {
            scenario,
            kernels: Rc::new(Kernels::new(scenario)),
            now_us: START_US,
            seats: (0..count).map(|_| None).collect(),
            flying: Vec::new(),
            steps: vec![0; scenario.scripts.len()],
            handles: scenario.scripts.iter().map(|script| vec![None; script.len()]).collect(),
            faults: scenario.budget.faults,
            crashed: false,
            disturbed_us: START_US,
            approvals: BTreeMap::new(),
        };
        (0..count).for_each(|node| world.start(node));
        // Long enough that nothing looks back to the start.
        world.play_calmly(LOOKBACK_US);
        world.now_us += LOOKBACK_US;
        world.play_prelude();
        world
    }

    /// Does the first steps one after the other, each with time to be answered and refreshed.
    fn play_prelude(&mut self) {
        for (script, steps) in self.scenario.prelude.iter().enumerate() {
            for _ in 0..*steps {
                self.step(script);
                self.play_calmly(2 * u64::from(R_MS) * 1_000);
            }
        }
        self.disturbed_us = self.now_us;
    }

    /// Lets time pass: messages arrive in the order in which they were sent.
    fn play_calmly(&mut self, span_us: u64) {
        let end = self.now_us + span_us;
        loop {
            let due =
                self.seats.iter().position(|s| s.as_ref().is_some_and(|s| s.due_us <= self.now_us));
            let action = match (self.flying.is_empty(), due) {
                (false, _) => Action::Deliver(0),
                (true, Some(node)) => Action::Timer(u8::try_from(node).expect("few nodes")),
                (true, None) if self.next_us().is_some_and(|at| at < end) => Action::Advance,
                _ => return,
            };
            self.apply(action);
        }
    }

    fn now(&self) -> Now {
        let seconds = u32::try_from((self.now_us - START_US) / 1_000_000).expect("hours");
        Now::new(Instant::from_micros(self.now_us), UNIX_START + seconds)
    }

    /// How long ago the network was last disturbed.
    pub(super) fn calm_us(&self) -> u64 {
        self.now_us - self.disturbed_us
    }

    /// Nothing is on its way, nothing is due, all daemons run.
    pub(super) fn is_idle(&self) -> bool {
        self.flying.is_empty()
            && self.seats.iter().all(|s| s.as_ref().is_some_and(|s| s.due_us > self.now_us))
    }

    /// Everything that may happen now.
    pub(super) fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.message_actions(&mut actions);
        let mut due = false;
        for (node, seat) in (0..).zip(&self.seats) {
            if seat.as_ref().is_some_and(|seat| seat.due_us <= self.now_us) {
                actions.push(Action::Timer(node));
                due = true;
            }
        }
        for (script, done) in (0..).zip(&self.steps) {
            if *done < self.scenario.scripts[usize::from(script)].len() {
                actions.push(Action::Script(script));
            }
        }
        if self.kernels.changes < self.scenario.changes.len() {
            actions.push(Action::Change);
        }
        if let Some(victim) = self.scenario.budget.crash {
            match (&self.seats[victim], self.crashed) {
                (Some(_), false) => actions.push(Action::Crash),
                (None, _) => actions.push(Action::Restart),
                _ => {}
            }
        }
        let prompt = self.flying.iter().any(|f| f.late_until_us.is_none_or(|t| t <= self.now_us));
        if !due && !prompt && self.next_us().is_some() {
            actions.push(Action::Advance);
        }
        actions
    }

    fn message_actions(&self, actions: &mut Vec<Action>) {
        let mut seen = BTreeSet::new();
        let relative = self.relative();
        for (at, flying) in (0..).zip(&self.flying) {
            if self.scenario.budget.in_order && self.is_behind(usize::from(at)) {
                continue;
            }
            // Of two copies it does not matter which one arrives.
            if !seen.insert(flying.print(&relative)) {
                continue;
            }
            actions.push(Action::Deliver(at));
            if self.faults > 0 {
                actions.push(Action::Lose(at));
                actions.push(Action::Double(at));
                if self.scenario.budget.late && flying.late_until_us.is_none() {
                    actions.push(Action::Delay(at));
                }
            }
        }
    }

    /// True if a message was sent after another one that is on its way over the same link.
    fn is_behind(&self, at: usize) -> bool {
        let flying = &self.flying[at];
        let way = (flying.from, flying.to, flying.packet.interface);
        let before = self.flying[..at].iter().filter(|f| f.late_until_us.is_none());
        flying.late_until_us.is_none()
            && before.into_iter().any(|f| (f.from, f.to, f.packet.interface) == way)
    }

    /// When time next stops.
    fn next_us(&self) -> Option<u64> {
        let due = self.seats.iter().flatten().map(|seat| seat.due_us);
        let late = self.flying.iter().filter_map(|flying| flying.late_until_us);
        due.chain(late).min().filter(|at| *at != u64::MAX)
    }

    /// The state after something happened.
    pub(super) fn after(&self, action: Action) -> Self {
        let mut next = self.clone();
        next.apply(action);
        next
    }

    fn apply(&mut self, action: Action) {
        if !matches!(action, Action::Deliver(_) | Action::Timer(_) | Action::Advance) {
            self.disturbed_us = self.now_us;
        }
        match action {
            Action::Deliver(at) => {
                let flying = self.flying.remove(usize::from(at));
                if flying.late_until_us.is_some() {
                    self.disturbed_us = self.now_us;
                }
                self.arrive(flying);
            }
            Action::Lose(at) => {
                self.faults -= 1;
                self.flying.remove(usize::from(at));
            }
            Action::Double(at) => {
                self.faults -= 1;
                let late = self.scenario.budget.late.then_some(self.now_us + LATE_US);
                let copy = Flying { late_until_us: late, ..self.flying[usize::from(at)].clone() };
                self.flying.push(copy);
            }
            Action::Delay(at) => {
                self.faults -= 1;
                self.flying[usize::from(at)].late_until_us = Some(self.now_us + LATE_US);
            }
            Action::Timer(node) => self.input(usize::from(node), Engine::handle_timeout),
            Action::Script(script) => self.step(usize::from(script)),
            Action::Change => self.change(),
            Action::Crash => {
                self.crashed = true;
                let victim = self.victim();
                self.seats[victim] = None;
                self.approvals.retain(|(payee, ..), _| *payee != victim);
            }
            Action::Restart => self.start(self.victim()),
            Action::Advance => {
                self.now_us = self.next_us().expect("there is something to come");
                let now = self.now_us;
                for approvals in self.approvals.values_mut() {
                    approvals.retain(|(_, until)| *until > now);
                }
                self.approvals.retain(|_, approvals| !approvals.is_empty());
            }
        }
    }

    fn victim(&self) -> NodeId {
        self.scenario.budget.crash.expect("a router may die")
    }

    fn start(&mut self, node: NodeId) {
        let mut engine = Engine::without_jitter(self.kernels.config(node));
        let now = self.now();
        for interface in self.kernels.interfaces(node) {
            engine.handle_news(now, KernelNews::Interface(interface));
        }
        self.settle(node, engine);
    }

    /// Gives an input to an engine, and does what it then asks for.
    fn input<T>(&mut self, node: NodeId, give: impl FnOnce(&mut Engine, Now) -> T) -> T {
        let seat = self.seats[node].take().expect("the daemon runs");
        let mut engine = seat.engine.clone();
        let result = give(&mut engine, self.now());
        self.settle(node, engine);
        result
    }

    /// The driver's duty after an input; kernels and the journal answer at once.
    fn settle(&mut self, node: NodeId, mut engine: Engine) {
        let now = self.now();
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Route(key) => {
                    let route = self.kernels.route(node, &key);
                    engine.handle_route(now, key, route);
                }
                Output::Record(number, _) => engine.handle_recorded(number),
                Output::Join { .. }
                | Output::Leave { .. }
                | Output::Notice(_)
                | Output::Alarm(_)
                | Output::Disbelieved(_)
                | Output::LastKeyEnded { .. }
                | Output::Neighbour { .. }
                | Output::Datagram { .. }
                | Output::Traced(..)
                | Output::Spending(_)
                | Output::Traffic(_) => {}
            }
        }
        let queue = std::mem::take(engine.transmits());
        for (meta, bytes) in queue.iter() {
            if let Some((to, packet)) = self.kernels.transmit(node, meta, bytes) {
                self.fly(node, to, packet);
            }
        }
        let shape = Shape::of_image(&engine.image());
        let due_us = engine.next_due().map_or(u64::MAX, Instant::as_micros);
        // The copy is without the room for messages.
        let engine = engine.clone();
        self.seats[node] = Some(Rc::new(Seat { engine, shape, due_us }));
    }

    fn fly(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        let shape = Rc::new(Shape::of_message(&packet.bytes));
        self.flying.push(Flying { from, to, packet: Rc::new(packet), shape, late_until_us: None });
    }

    fn arrive(&mut self, flying: Flying) {
        let Flying { to, packet, .. } = flying;
        let running = self.seats[to].is_some();
        match self.kernels.receive(to, running, &packet) {
            Ok(meta) => {
                self.note_approval(to, &packet.bytes);
                self.input(to, |engine, now| engine.handle_packet(now, meta, &packet.bytes));
            }
            Err(Some((next, packet))) => self.fly(to, next, packet),
            Err(None) => {}
        }
    }

    /// Notes what a RESV approves: up to its ceiling for H = 1.5 R + 2 s (charging.md T3). A
    /// RESVTEAR ends that.
    fn note_approval(&mut self, payee: NodeId, bytes: &[u8]) {
        match Message::parse(bytes) {
            Ok(Message::Resv(resv)) => {
                let refresh = u64::from(resv.time_values.refresh_ms);
                let until = self.now_us + (refresh + refresh.div_ceil(2) + 2_000) * 1_000;
                for (sender, ucpe, _) in ucpes(&resv) {
                    let payer = (payee, resv.hop.address, resv.session, sender);
                    let approvals = self.approvals.entry(payer).or_default();
                    approvals.retain(|(ceiling, end)| *ceiling > ucpe.payment || *end > until);
                    approvals.push((ucpe.payment, until));
                    approvals.sort_unstable();
                    approvals.dedup();
                }
            }
            Ok(Message::ResvTear(tear)) => {
                let filters: Vec<Filter> = tear.filters().map(|filter| filter.0).collect();
                self.approvals.retain(|(at, hop, session, sender), _| {
                    let same = (*at, *hop, *session) == (payee, tear.hop.address, tear.session);
                    !same || (!filters.is_empty() && !filters.contains(sender))
                });
            }
            _ => {}
        }
    }

    fn step(&mut self, script: usize) {
        let at = self.steps[script];
        self.steps[script] += 1;
        let (node, step) = &self.scenario.scripts[script][at];
        let node = *node;
        let handle = match step {
            Step::Send(session) => {
                let address = self.scenario.topology.address(Family::V4, node);
                let sender = Filter::port(address, sender_port() + script as u16);
                let request = SenderRequest {
                    session: *session,
                    sender,
                    tspec: TSPEC,
                    ttl: 64,
                    interface: None,
                    share: Some(SenderShare::default()),
                    behind: None,
                };
                Some(self.input(node, |engine, now| engine.open_sender(now, request)))
            }
            Step::Receive(request) => {
                let request = request.as_ref().clone();
                Some(self.input(node, |engine, now| engine.open_receiver(now, request)))
            }
            Step::Close(opened) => {
                let handle = self.handles[script][*opened].take().expect("it was opened");
                self.input(node, |engine, now| engine.close(now, handle)).expect("it is open");
                None
            }
            Step::Price(link, price) => {
                let change = PriceChange {
                    interface: self.scenario.topology.interface_name(node, *link),
                    price: *price,
                    max_price: None,
                    at_admission: false,
                };
                self.input(node, |engine, now| engine.set_price(now, &change)).expect("set");
                None
            }
        };
        self.handles[script][at] = handle.map(|handle| handle.expect("it opens"));
    }

    fn change(&mut self) {
        let kernels = Rc::make_mut(&mut self.kernels);
        let change = self.scenario.changes[kernels.changes];
        kernels.change(&self.scenario.topology, change);
        if let Change::Down(link) = change {
            let ends = self.scenario.topology.links[link].ends;
            self.flying.retain(|f| !(ends.contains(&f.from) && ends.contains(&f.to)));
        }
        for node in 0..self.seats.len() {
            if self.seats[node].is_none() {
                continue;
            }
            let changed = match change {
                Change::Down(link) | Change::Up(link) => self.kernels.interface(node, link),
                Change::Avoid(_) | Change::Take(_) => None,
            };
            if let Some(interface) = changed {
                self.input(node, |e, now| e.handle_news(now, KernelNews::Interface(interface)));
            }
            self.input(node, |e, now| e.handle_news(now, KernelNews::Resync));
        }
    }

    fn relative(&self) -> Relative {
        let seats = self.seats.iter().flatten().map(|seat| &seat.shape);
        let flying = self.flying.iter().map(|flying| flying.shape.as_ref());
        Relative::new(self.now_us, self.now().unix_s, seats.chain(flying))
    }

    /// What makes this state the same as another one; of how long it has been calm, nothing beyond
    /// `rest_us`.
    pub(super) fn fingerprint(&self, rest_us: u64) -> Fingerprint {
        let relative = self.relative();
        let mut print = Print::new();
        for seat in &self.seats {
            match seat {
                Some(seat) => relative.add(&seat.shape, &mut print),
                None => print.add("dead"),
            }
        }
        let mut flying: Vec<_> = self
            .flying
            .iter()
            .map(|f| (f.from, f.to, f.packet.interface, f.print(&relative)))
            .collect();
        if self.scenario.budget.in_order {
            // By link, and on a link in the order in which they were sent.
            flying.sort_by_key(|(from, to, interface, _)| (*from, *to, *interface));
        } else {
            flying.sort_unstable();
        }
        print.add(&flying);
        print.add(&relative.phase());
        print.add(&(&self.steps, self.kernels.changes, self.faults, self.crashed));
        print.add(&self.calm_us().min(rest_us));
        for (payer, approvals) in &self.approvals {
            let (payee, hop, session, sender) = payer;
            print.add(&(payee, hop, session.destination, sender));
            for (ceiling, until) in approvals {
                print.add(&(ceiling, relative.instant(*until)));
            }
        }
        print.finish()
    }

    /// An action in the words of an operator.
    pub(super) fn describe(&self, action: Action) -> String {
        let name = |node: NodeId| self.scenario.topology.nodes[node].name.as_str();
        let message = |at: u8| {
            let flying = &self.flying[usize::from(at)];
            let kind = MessageType::from(flying.packet.bytes[1]);
            format!("{kind:?} of {} to {}", name(flying.from), name(flying.to))
        };
        let mut line = format!("{:>9} ms  ", (self.now_us - START_US) / 1_000);
        let what = match action {
            Action::Deliver(at) => format!("{} arrives", message(at)),
            Action::Lose(at) => format!("{} is lost", message(at)),
            Action::Double(at) => format!("{} is doubled", message(at)),
            Action::Delay(at) => format!("{} is late", message(at)),
            Action::Timer(node) => format!("timer of {}", name(usize::from(node))),
            Action::Script(script) => {
                let script = usize::from(script);
                let (node, step) = &self.scenario.scripts[script][self.steps[script]];
                match step {
                    Step::Send(session) => format!("{} sends to {session}", name(*node)),
                    Step::Receive(request) => {
                        format!("{} receives {} {}", name(*node), request.session, request.style)
                    }
                    Step::Close(step) => format!("{} closes step {step}", name(*node)),
                    Step::Price(link, price) => {
                        format!("{} asks {price} for link {link}", name(*node))
                    }
                }
            }
            Action::Change => format!("{:?}", self.scenario.changes[self.kernels.changes]),
            Action::Crash => format!("{} dies", name(self.victim())),
            Action::Restart => format!("{} comes back", name(self.victim())),
            Action::Advance => "time goes on".to_owned(),
        };
        let _ = write!(line, "{what}");
        line
    }
}

impl Flying {
    fn print(&self, relative: &Relative) -> Fingerprint {
        let mut print = Print::new();
        let packet = &self.packet;
        print.add(&(self.to, packet.interface, packet.source, packet.destination, packet.ttl));
        relative.add(&self.shape, &mut print);
        print.add(&self.late_until_us.map(|until| relative.instant(until)));
        print.finish()
    }
}
