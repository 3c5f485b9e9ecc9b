//! What applications, operators and fate want of a network: the intents that the reference starts
//! from, and the events that change them.

use std::collections::BTreeMap;

use lcm_daemon::config::Handshake;
use lcm_daemon::engine::{Handle, Level, ReceiverRequest, SenderShare};
use rsvp_wire::object::{FlowSpec, Style, Tspec};

use super::intruder::Intruder;
use super::plan::{self, Ground, Plan, Topic};
use super::tellers::Tellers;
use crate::sim::{Kind, LinkId, Net, NodeId, Weather};

/// A sending application.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Its registration.
    pub handle: Handle,
    /// SENDER_TSPEC.
    pub tspec: Tspec,
    /// What it pays; `None`: its PATH says nothing of charges.
    pub share: Option<SenderShare>,
}

/// A receiving application.
#[derive(Debug, Clone)]
pub struct Receiving {
    /// Its registration.
    pub handle: Handle,
    /// The node whose sender it wants; `None` for each that appears.
    pub only: Option<NodeId>,
    /// What it reserves; `None` takes the sender's own words.
    pub flowspec: Option<Tspec>,
}

/// A network and what is wanted of it.
#[derive(Debug)]
pub struct World {
    /// What it was made from.
    pub plan: Plan,
    /// The network.
    pub net: Net,
    /// Its sessions.
    pub topics: Vec<Topic>,
    /// Whether anybody charges.
    pub charging: bool,
    /// Senders by session and node.
    pub senders: BTreeMap<(usize, NodeId), Sending>,
    /// Receivers by session and node.
    pub receivers: BTreeMap<(usize, NodeId), Receiving>,
    /// L and Lmax of each link's ends, as operators set them last.
    pub prices: Vec<[(u64, u64); 2]>,
    /// What they ask for by what is reserved.
    pub usage: Vec<[(u64, u64); 2]>,
    /// When a session last had a receiver, in microseconds.
    pub wanted: Vec<Option<u64>>,
    /// A wall clock went back since the network was last at rest.
    pub clock_went_back: bool,
    /// Events by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What happened, one event a line.
    pub diary: Vec<String>,
    /// Who forges and replays where messages are authenticated.
    pub(super) intruder: Option<Intruder>,
    /// Who opens accounts, credits and closes them, where they are kept.
    pub(super) tellers: Option<Tellers>,
    /// Feeds the play.
    pub rng: fastrand::Rng,
}

impl World {
    /// The network of a plan, at rest.
    pub(super) fn new(plan: Plan) -> Self {
        let Ground { net, topics, charging, secured, accounts, rng } = plan::build(plan);
        let intruder =
            secured.map(|secured| Intruder::new(plan.seed, secured.handshake != Handshake::Off));
        let prices = net.topology.links.iter().map(|link| link.prices).collect();
        let usage = net.topology.links.iter().map(|link| link.usage).collect();
        let wanted = vec![None; topics.len()];
        let tellers = accounts.map(|kept| Tellers::new(plan.seed, kept));
        let mut world = Self {
            plan,
            net,
            topics,
            charging,
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
            prices,
            usage,
            wanted,
            clock_went_back: false,
            faults: BTreeMap::new(),
            diary: Vec::new(),
            intruder,
            tellers,
            rng,
        };
        world.open_for_business();
        world
    }

    /// The name of a node.
    pub(super) fn name(&self, id: NodeId) -> &str {
        &self.net.topology.nodes[id].name
    }

    /// Whether a daemon runs on a node that speaks RSVP.
    pub(super) fn runs(&self, id: NodeId) -> bool {
        self.net.node(id).runs()
    }

    /// Members of a session: the nodes whose applications receive.
    pub(super) fn members(&self, topic: usize) -> Vec<NodeId> {
        self.receivers.keys().filter(|(t, _)| *t == topic).map(|(_, node)| *node).collect()
    }

    pub(super) fn note(&mut self, kind: &'static str, what: String) {
        *self.faults.entry(kind).or_default() += 1;
        let seconds = self.net.now_us() as f64 / 1e6;
        self.diary.push(format!("{seconds:>9.3} {what}"));
    }

    /// Lets something happen, of whatever kind.
    pub(super) fn disturb(&mut self) {
        self.intrude();
        self.keep_accounts();
        match self.rng.u8(0..20) {
            0..=2 => self.toggle_sender(),
            3..=8 => self.toggle_receiver(),
            9..=11 => self.reprice(),
            12..=14 => self.toggle_daemon(),
            15..=17 => self.toggle_link(),
            18 => self.toggle_router(),
            _ => self.change_weather(),
        }
    }

    /// Opens senders and receivers for a start.
    pub(super) fn populate(&mut self) {
        for _ in 0..self.rng.usize(2..5) * self.topics.len() {
            if self.rng.bool() { self.toggle_sender() } else { self.toggle_receiver() }
        }
    }

    /// Brings up all links and daemons that are down.
    pub(super) fn heal(&mut self) {
        for link in 0..self.prices.len() {
            if !self.net.is_up(link) {
                self.net.set_link(link, true);
            }
        }
        for id in self.dead() {
            self.restart(id);
        }
        self.note("repairs of everything", "everything is repaired".to_owned());
    }

    /// Nodes whose daemons have died.
    fn dead(&self) -> Vec<NodeId> {
        let speaks = |id: &NodeId| self.net.topology.nodes[*id].kind != Kind::Plain;
        (0..self.net.topology.nodes.len()).filter(speaks).filter(|id| !self.runs(*id)).collect()
    }

    /// Keeps in mind which sessions are wanted now.
    pub(super) fn look_who_wants(&mut self) {
        for topic in 0..self.topics.len() {
            if !self.members(topic).is_empty() {
                self.wanted[topic] = Some(self.net.now_us());
            }
        }
    }

    fn living_hosts(&self) -> Vec<NodeId> {
        let is_host = |id: &NodeId| self.net.topology.nodes[*id].kind == Kind::Host;
        (0..self.net.topology.nodes.len()).filter(is_host).filter(|id| self.runs(*id)).collect()
    }

    /// A sender comes or goes.
    pub(super) fn toggle_sender(&mut self) {
        let hosts = self.living_hosts();
        let Some(node) = self.rng.choice(&hosts).copied() else { return };
        let topic = self.rng.usize(..self.topics.len());
        if self.topics[topic].home == Some(node) {
            return;
        }
        if self.senders.contains_key(&(topic, node)) && self.rng.bool() {
            // Whoever is there stays rather than goes.
            return;
        }
        if let Some(sending) = self.senders.remove(&(topic, node)) {
            self.net.close(node, sending.handle);
            let what = format!("{} stops sending to session {topic}", self.name(node));
            return self.note("senders that went", what);
        }
        if self.senders.keys().filter(|(t, _)| *t == topic).count() >= 5 {
            return;
        }
        let tspec = plan::traffic(&mut self.rng);
        let share = plan::share(&mut self.rng).filter(|_| self.charging);
        let session = self.topics[topic].session;
        let handle = self.net.send_traffic(node, session, tspec, share.clone());
        let what = format!("{} sends to session {topic}: {share:?}", self.name(node));
        self.senders.insert((topic, node), Sending { handle, tspec, share });
        self.note("senders that came", what);
    }

    /// A receiver comes or goes.
    pub(super) fn toggle_receiver(&mut self) {
        let hosts = self.living_hosts();
        let topic = self.rng.usize(..self.topics.len());
        let node = match self.topics[topic].home {
            Some(home) => Some(home).filter(|home| hosts.contains(home)),
            None => self.rng.choice(&hosts).copied(),
        };
        let Some(node) = node else { return };
        if self.receivers.contains_key(&(topic, node)) && self.rng.bool() {
            return;
        }
        if let Some(receiving) = self.receivers.remove(&(topic, node)) {
            self.wanted[topic] = Some(self.net.now_us());
            self.net.close(node, receiving.handle);
            let what = format!("{} stops receiving session {topic}", self.name(node));
            return self.note("receivers that went", what);
        }
        let style = self.topics[topic].style;
        let senders: Vec<NodeId> = self
            .senders
            .keys()
            .filter(|(t, n)| *t == topic && *n != node)
            .map(|(_, n)| *n)
            .collect();
        let choosy = style != Style::WildcardFilter && self.rng.u8(0..4) == 0;
        let only = if choosy { self.rng.choice(&senders).copied() } else { None };
        // Senders of a shared reservation describe different traffic: a receiver must say what
        // it wants for all of them.
        let own_words = style != Style::FixedFilter || self.rng.bool();
        let flowspec = own_words.then(|| plan::traffic(&mut self.rng));
        let request = ReceiverRequest {
            session: self.topics[topic].session,
            sender: only.map(|node| self.net.sender(node)),
            style,
            flowspec: flowspec.map(FlowSpec::ControlledLoad),
            max_payment: None,
            budget: None,
            interface: None,
            cheapest: false,
            detail: Level::Totals,
            confirm: self.rng.bool(),
            identity: None,
            priority: None,
        };
        let handle = self.net.receive_as(node, request);
        let what = format!(
            "{} receives session {topic} ({style}), only {only:?}, {flowspec:?}",
            self.name(node)
        );
        self.receivers.insert((topic, node), Receiving { handle, only, flowspec });
        self.note("receivers that came", what);
    }

    fn reprice(&mut self) {
        let link = self.rng.usize(..self.prices.len());
        let side = self.rng.usize(..2);
        let node = self.net.topology.links[link].ends[side];
        let charges = self.charging && self.net.topology.nodes[node].kind == Kind::Router;
        if !charges || !self.runs(node) {
            return;
        }
        if self.usage[link][side] != (0, 0) {
            return self.set_tariff(node, link, side);
        }
        let (price, _) = plan::price(&mut self.rng);
        self.net.set_price(node, link, price, false);
        let most = &mut self.prices[link][side];
        *most = (price, most.1.max(price));
        let what = format!("{} asks {price} on link {link}", self.name(node));
        self.note("price changes", what);
    }

    /// An operator's new tariff, which may be flat.
    fn set_tariff(&mut self, node: NodeId, link: LinkId, side: usize) {
        let price = plan::price(&mut self.rng);
        let usage = plan::usage(&mut self.rng);
        self.net.set_tariff(node, link, price, usage);
        (self.prices[link][side], self.usage[link][side]) = (price, usage);
        let what = format!("{} has {price:?} and {usage:?} for link {link}", self.name(node));
        self.note("changes of tariffs", what);
    }

    /// A daemon dies, and its kernel goes on; or one comes back.
    fn toggle_daemon(&mut self) {
        let dead = self.dead();
        if self.rng.u8(0..4) > 0
            && let Some(id) = self.rng.choice(&dead)
        {
            return self.restart(*id);
        }
        let id = self.rng.usize(..self.net.topology.nodes.len());
        if self.runs(id) {
            self.crash(id);
        }
    }

    fn crash(&mut self, id: NodeId) {
        self.look_who_wants();
        self.senders.retain(|(_, node), _| *node != id);
        self.receivers.retain(|(_, node), _| *node != id);
        self.net.kill(id);
        let what = format!("{} dies", self.name(id));
        self.note("daemons that died", what);
    }

    fn restart(&mut self, id: NodeId) {
        for (link, spec) in self.net.topology.links.iter().enumerate() {
            if spec.ends.contains(&id) {
                let side = spec.side(id);
                self.prices[link][side] = spec.prices[side];
                self.usage[link][side] = spec.usage[side];
            }
        }
        if self.rng.u8(0..8) == 0 {
            let mut ahead = self.rng.i64(-86_400..86_400);
            if self.intruder.is_some() {
                // Its neighbours take smaller numbers for replays until they are restarted.
                ahead = ahead.max(self.net.wall_ahead(id));
            }
            self.net.set_wall_clock(id, ahead);
            self.clock_went_back = true;
        }
        self.net.start(id);
        self.await_accounts(id);
        let what = format!("{} starts again", self.name(id));
        self.note("daemons that came back", what);
    }

    /// A whole router loses its power with all its links, or gets it back.
    fn toggle_router(&mut self) {
        let id = self.rng.usize(..self.net.topology.nodes.len());
        if self.net.topology.nodes[id].kind == Kind::Host {
            return;
        }
        let links: Vec<LinkId> = self.net.topology.links_of(id).collect();
        let up = !links.iter().any(|link| self.net.is_up(*link));
        if !up && self.runs(id) {
            self.crash(id);
        }
        for link in links {
            if self.net.is_up(link) != up {
                self.net.set_link(link, up);
            }
        }
        if up && !self.runs(id) && self.net.topology.nodes[id].kind != Kind::Plain {
            self.restart(id);
        }
        let word = if up { "regains" } else { "loses" };
        let what = format!("{} {word} its power", self.name(id));
        self.note(if up { "routers switched on" } else { "routers switched off" }, what);
    }

    fn toggle_link(&mut self) {
        let down: Vec<LinkId> =
            (0..self.prices.len()).filter(|link| !self.net.is_up(*link)).collect();
        let heals = !down.is_empty() && self.rng.u8(0..3) > 0;
        let link = match self.rng.choice(&down) {
            Some(link) if heals => *link,
            _ => self.rng.usize(..self.prices.len()),
        };
        let up = !self.net.is_up(link);
        self.net.set_link(link, up);
        let ends = self.net.topology.links[link].ends;
        let (a, b) = (self.name(ends[0]), self.name(ends[1]));
        let what = format!("link {link} {a}-{b} goes {}", if up { "up" } else { "down" });
        self.note(if up { "links that came up" } else { "links that went down" }, what);
    }

    fn change_weather(&mut self) {
        let loss = self.rng.u32(0..400);
        let weather = match self.rng.u8(0..3) {
            0 => Weather::FAIR,
            _ => Weather::storm(loss),
        };
        if self.rng.bool() {
            self.net.set_weather(weather);
        } else {
            let link = self.rng.usize(..self.prices.len());
            self.net.set_weather_of(link, weather);
        }
        self.note("changes of weather", format!("weather: {weather:?}"));
    }

    /// Everybody closes what is open.
    pub(super) fn close_all(&mut self) {
        self.look_who_wants();
        for ((_, node), sending) in std::mem::take(&mut self.senders) {
            self.net.close(node, sending.handle);
        }
        for ((_, node), receiving) in std::mem::take(&mut self.receivers) {
            self.net.close(node, receiving.handle);
        }
        self.note("teardowns of everything", "everybody closes".to_owned());
    }
}
