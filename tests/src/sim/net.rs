//! The clock of a network: the next event, whatever it is, and what an engine then wants done.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::IpAddr;
use std::rc::Rc;

use lcm_daemon::config::{Authentication, Config};
use lcm_daemon::engine::{Engine, Instant, Now, Output, RecordId};
use lcm_daemon::kernel::{KernelNews, RouteKey};
use lcm_daemon::ledger::record::Body;
use lcm_daemon::packet::PacketMeta;
use rsvp_wire::object::Filter;
use rsvp_wire::{Message, MessageType};

use super::books::Metered;
use super::books::Pair;
use super::journal::Journal;
use super::log::Log;
use super::node::{Node, NodeConfig, interfaces};
use super::routing::Routing;
use super::topology::{Family, LinkId, NodeId, Topology};
use super::transport::Packet;
use super::weather::Weather;

/// Unix time at the start of every simulation, in seconds.
pub const UNIX_START: u32 = 1_750_000_000;
/// Events at one instant beyond which the network is taken to run in circles.
const STORM: u32 = 100_000;

/// What a network is made with.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Feeds every random choice.
    pub seed: u64,
    /// Addresses.
    pub family: Family,
    /// Settings of all daemons.
    pub config: NodeConfig,
    /// Weather of all links at the start.
    pub weather: Weather,
    /// Least and greatest time until a record is durable, in microseconds; (0, 0) at once.
    pub record_us: (u64, u64),
    /// Least and greatest time until a kernel answers about a route; (0, 0) at once.
    pub route_us: (u64, u64),
    /// Whether kernels have a route for each unicast flow instead of one for each destination.
    pub route_per_flow: bool,
    /// Whether packets are kept for reading; the digest is made anyway.
    pub keep_packets: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            family: Family::V4,
            config: NodeConfig::default(),
            weather: Weather::FAIR,
            record_us: (0, 0),
            route_us: (0, 0),
            route_per_flow: false,
            keep_packets: true,
        }
    }
}

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    /// A packet reaches a node over a link; `None`: over its loopback.
    Arrival(NodeId, Option<LinkId>, Packet),
    /// Records up to this one are durable.
    Recorded(NodeId, u64, RecordId),
    /// The kernel answers.
    Route(NodeId, u64, RouteKey),
}

#[derive(Debug)]
struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Whether the messages that an engine just handed out may have been held back before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Input,
    /// Messages in one Bundle: what answers the first was made before the next was read. So many
    /// records were pending before.
    Several(usize),
    Recorded,
}

/// A network.
#[derive(Debug)]
pub struct Net {
    /// What it is made of.
    pub topology: Topology,
    /// Everything that was sent.
    pub log: Log,
    pub(super) options: Options,
    pub(super) nodes: Vec<Node>,
    pub(super) routing: Routing,
    pub(super) weather: Vec<Weather>,
    pub(super) up: Vec<bool>,
    /// When the last packet of each link and direction arrives.
    pub(super) busy_until: Vec<[u64; 2]>,
    /// Members of groups, where they are laid down instead of found out by joins.
    pub(super) members: BTreeMap<IpAddr, BTreeSet<NodeId>>,
    /// Links to which a node copies what is sent to groups, whoever is a member: behind them is a
    /// host that has joined on several interfaces.
    pub(super) copied: BTreeMap<NodeId, BTreeSet<LinkId>>,
    /// Sources that send to a group.
    pub(super) sources: BTreeMap<IpAddr, BTreeSet<IpAddr>>,
    /// What daemons that are dead now had metered, and what their payers believed.
    pub(super) buried: [BTreeMap<Pair, Metered>; 2],
    /// Nodes that do not say what their daemons do.
    pub(super) liars: BTreeMap<NodeId, fn(&mut [u8])>,
    /// When signed messages were believed: by whom, their source, and their number.
    pub(super) believed: BTreeMap<(NodeId, IpAddr, u64), u64>,
    pub(super) rng: fastrand::Rng,
    now: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    events: u64,
}

impl Net {
    /// Starts all daemons.
    pub fn new(topology: Topology, options: Options) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed);
        let count = topology.nodes.len();
        // Whole milliseconds, so that all nodes' milliseconds begin together.
        let clock = |rng: &mut fastrand::Rng| rng.u64(0..1_000_000_000) * 1_000;
        let nodes = (0..count)
            .map(|id| Node::new(&topology, id, options.config, clock(&mut rng)))
            .collect();
        let up = vec![true; topology.links.len()];
        let mut net = Self {
            log: Log::default(),
            options,
            nodes,
            routing: Routing::new(&topology, &up),
            weather: vec![options.weather; up.len()],
            busy_until: vec![[0; 2]; up.len()],
            up,
            members: BTreeMap::new(),
            copied: BTreeMap::new(),
            sources: BTreeMap::new(),
            buried: Default::default(),
            liars: BTreeMap::new(),
            believed: BTreeMap::new(),
            rng,
            now: 0,
            queue: BinaryHeap::new(),
            order: 0,
            events: 0,
            topology,
        };
        (0..count).for_each(|id| net.start(id));
        net
    }

    /// Virtual time since the start, in microseconds.
    pub fn now_us(&self) -> u64 {
        self.now
    }

    /// Events handled so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// A node by its index.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// Virtual time as a node's clocks have it.
    pub fn clock(&self, id: NodeId) -> Now {
        let node = &self.nodes[id];
        let seconds = i64::try_from(self.now / 1_000_000).expect("few") + node.wall_ahead;
        let unix_s = u32::try_from(i64::from(UNIX_START) + seconds).expect("between 1970 and 2106");
        Now::new(Instant::from_micros(node.local_us(self.now)), unix_s)
    }

    /// Sets a node's wall clock ahead of the true time, or behind it.
    pub fn set_wall_clock(&mut self, id: NodeId, ahead_s: i64) {
        self.nodes[id].wall_ahead = ahead_s;
    }

    /// How far a node's wall clock is ahead of the true time, in seconds.
    pub fn wall_ahead(&self, id: NodeId) -> i64 {
        self.nodes[id].wall_ahead
    }

    /// Lets a node's monotonic clock run faster than virtual time, or slower. To be set before
    /// anything depends on it.
    pub fn set_drift(&mut self, id: NodeId, ppm: i64) {
        self.nodes[id].drift_ppm = ppm;
    }

    /// Whether a link is up.
    pub fn is_up(&self, link: LinkId) -> bool {
        self.up[link]
    }

    /// The link by which the kernel of a node reaches another node.
    pub fn way(&self, node: NodeId, to: NodeId) -> Option<LinkId> {
        self.routing.unicast(node, to)
    }

    /// The forwarding entry of a node for a source and these members of a group: where data
    /// must come in, and where it goes out.
    pub fn tree_entry(
        &self,
        node: NodeId,
        source: NodeId,
        members: &[NodeId],
    ) -> Option<(LinkId, Vec<LinkId>)> {
        self.routing.multicast(&self.topology, node, source, members.iter().copied())
    }

    /// Starts the daemon of a node, which knows nothing of any life before.
    pub fn start(&mut self, id: NodeId) {
        let Some(config) = self.nodes[id].config.clone() else { return };
        assert!(self.nodes[id].engine.is_none(), "the daemon of node {id} runs already");
        self.nodes[id].engine = Some(Engine::new(config, self.rng.u64(..)));
        let (now, node) = (self.clock(id), &mut self.nodes[id]);
        let keeps_accounts = node.config.as_ref().is_some_and(|config| config.accounts.is_some());
        node.journal = match keeps_accounts && node.outside.is_none() {
            true => std::mem::take(&mut node.journal).again(now),
            false => Journal::start(now),
        };
        for interface in interfaces(&self.topology, self.options.family, id, &self.up) {
            self.input(id, |engine, now| {
                engine.handle_news(now, KernelNews::Interface(interface));
            });
        }
    }

    /// Starts a daemon anew with another configuration, before anything was opened.
    pub fn configure(&mut self, id: NodeId, change: impl FnOnce(&mut Config)) {
        let config = self.nodes[id].config.as_mut();
        change(config.expect("there is a daemon"));
        self.kill(id);
        self.start(id);
    }

    /// Gives a node other keys, as its operator does with a new configuration.
    pub fn set_authentication(&mut self, id: NodeId, associations: Vec<Authentication>) {
        if let Some(config) = &mut self.nodes[id].config {
            config.authentication.clone_from(&associations);
        }
        if self.nodes[id].engine.is_some() {
            self.input(id, |engine, now| engine.set_authentication(now, associations));
        }
    }

    /// The associations and keys of a node.
    pub fn authentication(&self, id: NodeId) -> Vec<Authentication> {
        self.nodes[id].config.as_ref().map_or_else(Vec::new, |c| c.authentication.clone())
    }

    /// Kills the daemon of a node: the kernel goes on, and forwards what the daemon intercepted.
    pub fn kill(&mut self, id: NodeId) {
        self.bury_books(id);
        let node = &mut self.nodes[id];
        node.engine = None;
        node.life += 1;
        node.alarm = u64::MAX;
        node.pending.clear();
        node.traffic.clear();
        let left: Vec<_> = std::mem::take(&mut node.joined).into_iter().collect();
        left.into_iter().for_each(|(group, _)| self.membership_changed(group));
    }

    /// Loses (or no longer loses) everything that a node sends.
    pub fn mute(&mut self, id: NodeId, muted: bool) {
        self.nodes[id].muted = muted;
    }

    /// Sets the weather of all links.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather.fill(weather);
    }

    /// Sets the weather of one link.
    pub fn set_weather_of(&mut self, link: LinkId, weather: Weather) {
        self.weather[link] = weather;
    }

    /// Takes a link down or up; all kernels know the new routes at once.
    pub fn set_link(&mut self, link: LinkId, up: bool) {
        self.up[link] = up;
        self.routing = Routing::new(&self.topology, &self.up);
        for id in 0..self.nodes.len() {
            let ours = self.topology.links_of(id).any(|other| other == link);
            for interface in interfaces(&self.topology, self.options.family, id, &self.up) {
                if ours && self.topology.link_of(id, interface.index) == Some(link) {
                    self.news(id, KernelNews::Interface(interface));
                }
            }
            self.news(id, KernelNews::Resync);
        }
    }

    /// All packets so far, one a line.
    pub fn story(&self) -> String {
        self.log.story(|node| self.topology.nodes[node].name.clone())
    }

    /// Runs for a while.
    pub fn run_ms(&mut self, ms: u64) {
        self.run_to_us(self.now + ms * 1_000);
    }

    /// Runs up to and including an instant.
    pub fn run_to_us(&mut self, end: u64) {
        let mut here = (self.now, 0);
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            here = if at == here.0 { (at, here.1 + 1) } else { (at, 0) };
            assert!(here.1 < STORM, "seed {}: endless talk at {at} µs", self.options.seed);
            self.now = at.max(self.now);
            self.step();
        }
        self.now = end.max(self.now);
    }

    /// Runs until nothing is on its way and no alarm is set; false if that takes longer.
    pub fn run_out(&mut self, ms_at_most: u64) -> bool {
        self.run_ms(ms_at_most);
        self.next_at().is_none()
    }

    fn next_at(&self) -> Option<u64> {
        let queued = self.queue.peek().map_or(u64::MAX, |Reverse(first)| first.at);
        let alarm = self.nodes.iter().map(|node| node.alarm).min().unwrap_or(u64::MAX);
        Some(queued.min(alarm)).filter(|at| *at != u64::MAX)
    }

    /// Handles the next event, which is due now.
    fn step(&mut self) {
        self.events += 1;
        if self.queue.peek().is_some_and(|Reverse(first)| first.at <= self.now) {
            if let Some(Reverse(Scheduled { event, .. })) = self.queue.pop() {
                self.handle(event);
            }
            return;
        }
        let due = self.nodes.iter().position(|node| node.alarm <= self.now);
        if let Some(id) = due {
            self.input(id, Engine::handle_timeout);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Arrival(id, link, packet) => self.arrive(id, link, packet),
            Event::Recorded(id, life, record) if self.nodes[id].life == life => {
                self.acknowledge(id, record);
                self.drain(id, After::Recorded);
            }
            Event::Route(id, life, key) if self.nodes[id].life == life => {
                let route = self.route(id, &key);
                self.input(id, |engine, now| engine.handle_route(now, key, route));
            }
            Event::Recorded(..) | Event::Route(..) => {}
        }
    }

    pub(super) fn schedule(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse(Scheduled { at, order: self.order, event }));
    }

    /// A node's machine is suspended for so long: it hears, says and does nothing.
    pub fn sleep_ms(&mut self, id: NodeId, ms: u64) {
        let from = self.clock(id).at;
        self.nodes[id].asleep = true;
        self.nodes[id].alarm = u64::MAX;
        self.run_ms(ms);
        self.nodes[id].asleep = false;
        self.input(id, |engine, now| engine.slept(now, from));
    }

    /// A node's books begin anew, as after a disk that was away for too long.
    pub fn begin_books_anew(&mut self, id: NodeId) {
        let now = self.clock(id);
        self.nodes[id].journal.begin_anew(now);
        self.input(id, Engine::declare);
    }

    /// A node's disk fails: what is recorded from now on is not acknowledged until it is
    /// [mended](Self::mend_disk).
    pub fn fail_disk(&mut self, id: NodeId) {
        self.nodes[id].disk_failed = true;
        if self.nodes[id].runs() {
            self.input(id, Engine::books_closed);
        }
    }

    /// The disk is well again, and takes all that waited.
    pub fn mend_disk(&mut self, id: NodeId) {
        self.nodes[id].disk_failed = false;
        let last = self.nodes[id].pending.last().map(|(number, _)| *number);
        if self.nodes[id].runs() {
            if let Some(last) = last {
                self.acknowledge(id, last);
            }
            self.input(id, |engine, _| engine.books_opened());
        }
    }

    /// Tells a daemon, if it runs, what its kernel has to say.
    pub(super) fn news(&mut self, id: NodeId, news: KernelNews) {
        if self.nodes[id].engine.is_some() {
            self.input(id, |engine, now| engine.handle_news(now, news));
        }
    }

    /// Gives an input to an engine, and does what it then asks for.
    pub fn input<T>(&mut self, id: NodeId, give: impl FnOnce(&mut Engine, Now) -> T) -> T {
        self.input_of(id, After::Input, give)
    }

    /// The same for a message; a Bundle holds several.
    pub(super) fn take_message(&mut self, id: NodeId, meta: PacketMeta, bytes: &[u8]) {
        let bundle = bytes.get(1) == Some(&u8::from(MessageType::Bundle));
        let pending = self.nodes[id].pending.len();
        let after = if bundle { After::Several(pending) } else { After::Input };
        self.input_of(id, after, |engine, now| engine.handle_packet(now, meta, bytes));
    }

    fn input_of<T>(
        &mut self,
        id: NodeId,
        after: After,
        give: impl FnOnce(&mut Engine, Now) -> T,
    ) -> T {
        let now = self.clock(id);
        let engine = self.nodes[id].engine.as_mut().expect("the daemon runs");
        let result = give(engine, now);
        self.drain(id, after);
        result
    }

    /// The driver's duty after every input (see [`lcm_daemon::engine`]).
    fn drain(&mut self, id: NodeId, after: After) {
        let engine = |net: &mut Self| net.nodes[id].engine.as_mut().expect("runs").poll_output();
        while let Some(output) = engine(self) {
            self.perform(id, output);
        }
        let now = self.clock(id);
        let node = &mut self.nodes[id];
        node.journal.prove(now);
        node.alarm = match node.engine.as_ref().and_then(Engine::poll_timeout) {
            Some(at) if at == Instant::NEVER => u64::MAX,
            Some(at) => node.virtual_us(at.as_micros()).max(self.now),
            None => u64::MAX,
        };
        let Some(engine) = node.engine.as_mut() else { return };
        let queue = engine.transmits();
        if queue.is_empty() {
            return;
        }
        let packets: Vec<(_, Rc<[u8]>)> =
            queue.iter().map(|(meta, bytes)| (meta, bytes.into())).collect();
        queue.clear();
        for (meta, bytes) in packets {
            self.assert_recorded(id, after, &bytes);
            self.transmit(id, meta, bytes);
        }
    }

    fn perform(&mut self, id: NodeId, output: Output) {
        let life = self.nodes[id].life;
        match output {
            Output::Route(key) => match self.delay(self.options.route_us) {
                0 => {
                    let (route, now) = (self.route(id, &key), self.clock(id));
                    let engine = self.nodes[id].engine.as_mut().expect("it asked");
                    engine.handle_route(now, key, route);
                }
                delay => self.schedule(self.now + delay, Event::Route(id, life, key)),
            },
            Output::Record(number, record) => {
                self.nodes[id].journal.take(&record);
                self.nodes[id].pending.push((number, record));
                if self.nodes[id].outside.is_some() {
                    return;
                }
                match self.delay(self.options.record_us) {
                    0 => self.acknowledge(id, number),
                    delay => self.schedule(self.now + delay, Event::Recorded(id, life, number)),
                }
            }
            Output::Join { group, interface } => {
                self.nodes[id].joined.insert((group, interface));
                self.membership_changed(group);
            }
            Output::Leave { group, interface } => {
                self.nodes[id].joined.remove(&(group, interface));
                self.membership_changed(group);
            }
            Output::Traffic(change) => self.nodes[id].reserve(*change),
            Output::Traced(_, view) => self.nodes[id].traced.push(*view),
            Output::Datagram { to, message } => self.nodes[id].datagrams.push((to, message)),
            Output::Notice(notice) => self.nodes[id].notices.push(notice),
            Output::Neighbour { .. } => {}
            Output::Spending(news) => self.nodes[id].spending.push(*news),
            Output::Alarm(alarm) => self.nodes[id].alarms.push(*alarm),
            Output::Disbelieved(news) => self.nodes[id].disbelieved.push(*news),
            Output::LastKeyEnded { of, key_id } => self.nodes[id].keys_ended.push((of, key_id)),
        }
    }

    fn delay(&mut self, (least, most): (u64, u64)) -> u64 {
        if most == 0 { 0 } else { self.rng.u64(least..=most) }
    }

    /// Restarts the daemon of a node, whose monotonic clock is set, as on a machine that was
    /// booted so long ago. Its records are not acknowledged by the network from now on, but by who
    /// [takes](Self::take_records) them.
    pub fn restart_at(&mut self, id: NodeId, at_ms: u64) {
        self.kill(id);
        self.nodes[id].clock_ahead = (at_ms * 1_000).saturating_sub(self.now);
        self.nodes[id].outside = Some(RecordId(0));
        self.start(id);
    }

    /// The records of a node that was [restarted](Self::restart_at) that were not taken before.
    pub fn take_records(&mut self, id: NodeId) -> Vec<(RecordId, Box<Body>)> {
        let node = &mut self.nodes[id];
        let new = node.pending.iter().filter(|(number, _)| Some(*number) > node.outside);
        let new: Vec<_> = new.cloned().collect();
        node.outside = new.last().map(|(number, _)| *number).or(node.outside);
        new
    }

    /// Records up to this one, which were [taken](Self::take_records), are durable.
    pub fn recorded(&mut self, id: NodeId, number: RecordId) {
        self.acknowledge(id, number);
        self.drain(id, After::Recorded);
    }

    fn acknowledge(&mut self, id: NodeId, number: RecordId) {
        let node = &mut self.nodes[id];
        if node.disk_failed {
            return;
        }
        let durable = node.pending.iter().take_while(|(pending, _)| *pending <= number).count();
        node.records.extend(node.pending.drain(..durable));
        node.engine.as_mut().expect("lives").handle_recorded(number);
    }

    /// No RESV leaves before the consents that it rests on are durable: those of the flows that it
    /// pays for that open a reservation or approve more than stood, and our own upstream. A message
    /// that leaves upon an acknowledgement may be older than records that came since, so there is
    /// no telling; nor is there between those of one Bundle.
    fn assert_recorded(&self, id: NodeId, after: After, bytes: &[u8]) {
        let pending = &self.nodes[id].pending;
        let concerned = match after {
            After::Input => pending.len(),
            After::Several(before) => before,
            After::Recorded => 0,
        };
        if concerned == 0 {
            return;
        }
        let Ok(Message::Resv(resv)) = Message::parse(bytes) else { return };
        // A wildcard reservation names its senders where it pays for them.
        let named = resv.policy_data().flat_map(|data| data.filter_specs());
        let filters = resv.flows().filter_map(|flow| flow.filter).chain(named);
        let senders: Vec<Filter> = filters.map(|filter| filter.0).collect();
        let node = &self.nodes[id];
        let paid_for = |flow: u64| {
            let (of, sender) = node.flow(flow);
            of == resv.session && senders.contains(&sender)
        };
        let early = (0..concerned).find(|at| node.approves_more(*at).is_some_and(paid_for));
        let early = early.map(|at| &pending[at]);
        let (seed, now) = (self.options.seed, self.now);
        assert!(
            early.is_none(),
            "seed {seed}: a RESV of node {id} leaves at {now} µs before its record is durable: \
             {early:?}\n{}",
            self.story()
        );
    }
}
