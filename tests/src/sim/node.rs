//! One node: its engine, and what its kernel knows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use lcm_daemon::config::{
    Account, Accounts, Authentication, Charges, Config, Contract, Currency, Exchange, Handshake,
    HopRecords, Interface as InterfaceSettings, Key, KeyUse, Limits, LinkRole, MissingPayment,
    NO_LIMIT, OnInconsistency, Preemption, Prefix, Role, Secret,
};
use lcm_daemon::engine::{
    Alarm, Disbelieved, Engine, Notice, RecordId, Spending, TraceView, TrafficChange,
    TrafficSetting,
};
use lcm_daemon::kernel::Interface;
use lcm_daemon::ledger::record::{Body, Neighbour};
use lcm_daemon::ledger::replay::{GivenBack, Replay};
use lcm_daemon::tariff::{Bucket, Class, Most, Refunds, Tariff};

use rsvp_wire::digest::Algorithm;
use rsvp_wire::object::{Filter, Session};

use super::journal::Journal;
use super::topology::{Family, Kind, LOOPBACK, LinkId, NodeId, Topology};

/// Settings that all daemons of a network share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeConfig {
    /// R in milliseconds.
    pub refresh_ms: u32,
    /// Validity of prices in milliseconds.
    pub validity_ms: u32,
    /// What strangers may make a daemon keep.
    pub limits: Limits,
    /// Whether nodes that could charge do; without, all daemons are policy-ignorant.
    pub charging: bool,
    /// What becomes of neighbours that contradict themselves.
    pub on_inconsistency: OnInconsistency,
    /// Part of the nodes, by this number, reduce refreshes, and part of these send Bundles; `None`
    /// for nobody, `Some(0)` for all.
    pub reducing: Option<u64>,
    /// Period of Hello on the nodes that reduce refreshes, in milliseconds; 0 for none.
    pub hello_ms: u32,
    /// A node, and the node whose account it does not take for a sender's.
    pub refused_account: Option<(NodeId, NodeId)>,
    /// A node, and a neighbour of it with which it has a contract of its own: an account named
    /// after both, and reservations without payment are carried for nothing.
    pub agreed: Option<(NodeId, NodeId)>,
    /// Nodes of one provider: what is between two of them is interior.
    pub house: &'static [NodeId],
    /// Accounts of who pays, on all nodes that charge.
    pub accounts: Option<Accounts>,
    /// Nodes whose currency is the dollar; all others have the euro.
    pub abroad: &'static [NodeId],
    /// A node with a previous hop abroad.
    pub border: Option<Border>,
    /// How all messages are authenticated, if they are: all daemons share the keys.
    pub secured: Option<Secured>,
    /// What becomes of reservations of lower priority.
    pub preemption: Preemption,
    /// What those who ask see of charges.
    pub charges: Charges,
    /// What next hops are granted for outages, everywhere.
    pub refunds: Refunds,
    /// Who may ask from wherever.
    pub requesters: Option<Prefix>,
    /// What customers that ask are told of where their charges arise.
    pub hop_record: HopRecords,
    /// Who is shown all charges.
    pub trusted: Option<Prefix>,
    /// Whether next hops are told what other rates would cost, everywhere.
    pub price_curves: bool,
}

/// A node and its previous hop abroad; so many of its euros are so many dollars; and a price that
/// is charged there without being announced.
pub type Border = (NodeId, NodeId, (u64, u64), Option<u64>);

/// How a network is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secured {
    /// The hash of all keys.
    pub algorithm: Algorithm,
    /// Whether numbers are asked for.
    pub handshake: Handshake,
    /// How many messages out of order are tolerated.
    pub window: u32,
    /// Direct neighbours are named too, beside the interfaces.
    pub by_neighbour: bool,
}

impl Default for Secured {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::HmacSha256,
            handshake: Handshake::IfOffered,
            window: 32,
            by_neighbour: false,
        }
    }
}

/// A key of a simulated network.
pub fn key(id: u64, algorithm: Algorithm, secret: &str) -> Key {
    Key {
        id,
        algorithm,
        file: "/etc/lcm/keys/simulated".into(),
        usage: KeyUse::Both,
        start: None,
        end: None,
        secret: Some(Secret::new(secret.as_bytes())),
    }
}

/// What a node demands of its interfaces and neighbours.
fn authentication(topology: &Topology, id: NodeId, secured: Secured) -> Vec<Authentication> {
    let Secured { algorithm, handshake, window, by_neighbour } = secured;
    let one = |interface, neighbour| Authentication {
        interface,
        neighbour,
        policy: false,
        sign: true,
        demand: true,
        handshake,
        window,
        keys: vec![key(1, algorithm, "the key of the network")],
    };
    let interface = |link: LinkId| one(Some(topology.interface_name(id, link)), None);
    let neighbour = |link: LinkId| {
        let other = topology.links[link].other(id);
        let address = move |family| topology.address_on(family, other, link);
        [Family::V4, Family::V6].map(|family| one(None, Some(address(family))))
    };
    let interfaces = topology.links_of(id).map(interface);
    let neighbours = topology.links_of(id).filter(|_| by_neighbour).flat_map(neighbour);
    interfaces.chain(neighbours).collect()
}

impl Default for NodeConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            refresh_ms: 30_000,
            validity_ms: 60_000,
            limits,
            charging: true,
            on_inconsistency: OnInconsistency::Report,
            reducing: None,
            hello_ms: 0,
            refused_account: None,
            agreed: None,
            house: &[],
            accounts: None,
            abroad: &[],
            border: None,
            secured: None,
            preemption: Preemption::Off,
            charges: Charges::Own,
            refunds: Refunds::default(),
            requesters: None,
            hop_record: HopRecords::None,
            trusted: None,
            price_curves: false,
        }
    }
}

/// What names a reservation in traffic control: the session, the interface, and the sender if it
/// has a reservation of its own.
pub type Reserved = (Session, u32, Option<Filter>);

/// A node in the simulation.
#[derive(Debug)]
pub struct Node {
    /// The daemon; `None` on a plain router and while it is dead.
    pub(super) engine: Option<Engine>,
    /// The daemon's configuration; `None` where there never is a daemon.
    pub(super) config: Option<Config>,
    /// Rises when the daemon dies: what was meant for the old one is void.
    pub(super) life: u64,
    /// When the engine wants to be called, in its own clock's microseconds.
    pub(super) alarm: u64,
    /// How far the node's monotonic clock is ahead of virtual time, in microseconds.
    pub(super) clock_ahead: u64,
    /// How much faster than virtual time it runs, in parts per million.
    pub(super) drift_ppm: i64,
    /// How far its wall clock is ahead, in seconds.
    pub(super) wall_ahead: i64,
    /// Groups that the daemon's socket is a member of, by interface.
    pub(super) joined: BTreeSet<(IpAddr, u32)>,
    /// Everything that the node sends is lost.
    pub(super) muted: bool,
    /// The machine is suspended.
    pub(super) asleep: bool,
    /// Nothing becomes durable.
    pub(super) disk_failed: bool,
    /// Records are made durable by somebody else, who has been given those up to this one.
    pub(super) outside: Option<RecordId>,
    /// Records that are not durable yet.
    pub(super) pending: Vec<(RecordId, Box<Body>)>,
    /// Records that are.
    pub(super) records: Vec<(RecordId, Box<Body>)>,
    /// What they come to in this life.
    pub(super) journal: Journal,
    /// What traffic control reserves, by session, interface and sender.
    pub(super) traffic: BTreeMap<Reserved, TrafficSetting>,
    /// What traces have found, oldest first.
    pub(super) traced: Vec<TraceView>,
    /// Diagnostic replies that were to leave by UDP.
    pub(super) datagrams: Vec<(SocketAddr, Box<[u8]>)>,
    /// What local applications were told.
    pub(super) notices: Vec<Notice>,
    /// What the operator was told of neighbours.
    pub(super) alarms: Vec<Alarm>,
    /// News of accounts.
    pub(super) spending: Vec<Spending>,
    /// What the operator was told of messages that were not believed.
    pub(super) disbelieved: Vec<Disbelieved>,
    /// Keys that have ended though they were the last, as the operator was told.
    pub(super) keys_ended: Vec<(String, u64)>,
}

impl Node {
    pub(super) fn new(topology: &Topology, id: NodeId, shared: NodeConfig, clock: u64) -> Self {
        Self {
            engine: None,
            config: config(topology, id, shared),
            life: 0,
            alarm: u64::MAX,
            clock_ahead: clock,
            drift_ppm: 0,
            wall_ahead: 0,
            joined: BTreeSet::new(),
            muted: false,
            asleep: false,
            disk_failed: false,
            outside: None,
            pending: Vec::new(),
            records: Vec::new(),
            journal: Journal::default(),
            traffic: BTreeMap::new(),
            traced: Vec::new(),
            datagrams: Vec::new(),
            notices: Vec::new(),
            alarms: Vec::new(),
            spending: Vec::new(),
            disbelieved: Vec::new(),
            keys_ended: Vec::new(),
        }
    }

    /// The engine; panics where there is none.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the daemon runs")
    }

    /// Whether the daemon runs.
    pub fn runs(&self) -> bool {
        self.engine.is_some()
    }

    /// The node's monotonic clock at an instant of virtual time, in microseconds.
    pub(super) fn local_us(&self, at: u64) -> u64 {
        let gained = i128::from(at) * i128::from(self.drift_ppm) / 1_000_000;
        let local = i128::from(self.clock_ahead) + i128::from(at) + gained;
        u64::try_from(local).expect("clocks run forward")
    }

    /// The first instant of virtual time at which the node's clock has come to `local`.
    pub(super) fn virtual_us(&self, local: u64) -> u64 {
        let since = i128::from(local.saturating_sub(self.clock_ahead));
        let guess = since * 1_000_000 / i128::from(1_000_000 + self.drift_ppm);
        let mut at = u64::try_from(guess.saturating_sub(2)).unwrap_or(0);
        while self.local_us(at) < local {
            at += 1;
        }
        at
    }

    /// Records that were acknowledged, with their numbers.
    pub fn records(&self) -> &[(RecordId, Box<Body>)] {
        &self.records
    }

    /// All records up to the pending one at `at`, the newest first.
    fn records_up_to(&self, at: usize) -> impl Iterator<Item = &Body> {
        let pending = self.pending.iter().take(at + 1).rev();
        pending.chain(self.records.iter().rev()).map(|(_, body)| &**body)
    }

    /// The session and the sender of a flow by its number.
    pub(super) fn flow(&self, number: u64) -> (Session, Filter) {
        let named = self.records_up_to(self.pending.len()).find_map(|body| match body {
            Body::Flow(flow) if flow.flow == number => Some(flow),
            _ => None,
        });
        let flow = named.expect("a flow is named before anything is written of it");
        (flow.session().expect("a session"), flow.sender().expect("a sender"))
    }

    /// The flow of a pending record, if that is a consent that opens, or an offer of ours that
    /// approves more than the one before it, or than nothing, and which has not ended since.
    pub(super) fn approves_more(&self, at: usize) -> Option<u64> {
        let approval = |body: &Body| match body {
            Body::Consent(c) => Some((c.flow, c.payer, false, c.ceiling, c.instance)),
            Body::Offer(o) => Some((o.flow, o.payee, true, o.ceiling, o.instance)),
            _ => None,
        };
        let mut records = self.records_up_to(at);
        let (flow, who, ours, ceiling, instance) = approval(records.next()?)?;
        if ours && ceiling == 0 {
            return None;
        }
        let of_same = |body: &Body| match body {
            Body::Closed(closed) => !ours && (closed.flow, closed.payer) == (flow, who),
            _ => approval(body).is_some_and(|(f, w, o, ..)| (f, w, o) == (flow, who, ours)),
        };
        let ends = |body: &Body| matches!(body, Body::Closed(_)) && of_same(body);
        if self.pending.iter().skip(at + 1).any(|(_, body)| ends(body)) {
            return None;
        }
        let before = records.find(|body| of_same(body)).and_then(approval);
        // What rests on a payer's rise is our own offer, which follows it if that rises too.
        let covered = |(.., old, of): (u64, Neighbour, bool, u64, u32)| {
            (old >= ceiling || !ours) && of == instance
        };
        (!before.is_some_and(covered)).then_some(flow)
    }

    /// What traffic control reserves on this node.
    pub fn traffic(&self) -> &BTreeMap<Reserved, TrafficSetting> {
        &self.traffic
    }

    /// Does what an engine asks of traffic control.
    pub(super) fn reserve(&mut self, change: TrafficChange) {
        let key = (change.session, change.interface, change.sender);
        match change.setting {
            Some(setting) => drop(self.traffic.insert(key, setting)),
            None => {
                let ended = self.traffic.remove(&key);
                assert!(ended.is_some(), "nothing was reserved for {key:?}");
            }
        }
    }

    /// What the operator of this node was told of accounts, oldest first.
    pub fn spending(&self) -> &[Spending] {
        &self.spending
    }

    /// The books that follow from the records of this life; of all lives where accounts are kept.
    pub fn replay(&self) -> &Replay {
        self.journal.replay()
    }

    /// All postings of the journal by their numbers; none where no accounts are kept.
    pub fn postings(&self) -> Vec<u64> {
        self.journal.postings().collect()
    }

    /// To whom what is given back of a posting goes, as who looked it up in the journal knows.
    pub fn given_back(&self, of: u64) -> GivenBack {
        self.journal.given_back(of)
    }

    /// All that the journal holds of all lives, in its order; nothing where no accounts are kept.
    pub fn journal(&self) -> &[Body] {
        self.journal.bodies()
    }

    /// What the operator of this node was told of neighbours that contradict themselves or us,
    /// oldest first.
    pub fn alarms(&self) -> &[Alarm] {
        &self.alarms
    }

    /// What the operator of this node was told of messages that were not believed, oldest first.
    pub fn disbelieved(&self) -> &[Disbelieved] {
        &self.disbelieved
    }

    /// Interfaces and neighbours whose last key has ended, with its identifier.
    pub fn keys_ended(&self) -> &[(String, u64)] {
        &self.keys_ended
    }

    /// What the traces of this node have found, oldest first.
    pub fn traced(&self) -> &[TraceView] {
        &self.traced
    }

    /// Diagnostic replies of this node that leave by UDP, oldest first.
    pub fn datagrams(&self) -> &[(SocketAddr, Box<[u8]>)] {
        &self.datagrams
    }

    /// What the applications of this node were told, oldest first.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }
}

/// A router that charges, in euro, from an account of its own; prices and names are set later.
fn template() -> &'static Config {
    static TEMPLATE: OnceLock<Config> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let text = "[charging]\nenabled = true\ncurrency = \"EUR\"\n\
                    account = { kind = \"opaque\", id = \"simulated\" }\n\
                    [default_interface]\ntariff = { price_pico_per_s = 0 }\n";
        Config::parse(text, "simulation").unwrap_or_else(|errors| panic!("{errors}"))
    })
}

/// The contracts of a node with its neighbours on each link, for whichever family is played.
fn contracts(topology: &Topology, id: NodeId, with: NodeId, general: &Contract) -> Contracts {
    let names = [id, with].map(|node| topology.nodes[node].name.clone());
    let account = general.account.clone().expect("the template has one");
    let account = Account { id: names.join(" with ").into_bytes(), ..account };
    let contract = Contract {
        account: Some(account),
        on_missing_payment: MissingPayment::Free,
        ..general.clone()
    };
    let address = |family| topology.address_on(family, with, topology.between(id, with));
    [Family::V4, Family::V6].map(|family| (address(family), contract.clone())).into()
}

/// A flat price, or one by what is reserved; see [`LinkSpec::usage`](super::topology::LinkSpec).
pub(crate) fn tariff((price, max): (u64, u64), usage: (u64, u64)) -> Tariff {
    let (per_mbit_pico_per_s, per_kbyte_pico_per_s) = usage;
    if usage == (0, 0) {
        return Tariff::flat(price, max);
    }
    let shape = Bucket { price_pico_per_s: price, per_mbit_pico_per_s, per_kbyte_pico_per_s };
    Tariff::new(Class::new(shape, Most::Percent(150)), None)
}

fn dollar() -> Currency {
    Currency::from_numeric(840).expect("a currency")
}

type Contracts = BTreeMap<IpAddr, Contract>;

pub(crate) fn config(topology: &Topology, id: NodeId, shared: NodeConfig) -> Option<Config> {
    let kind = topology.nodes[id].kind;
    let mut config = template().clone();
    match kind {
        Kind::Plain => return None,
        Kind::Host => config.rsvp.role = Role::Host,
        Kind::Ignorant => config.charging = None,
        Kind::Router => {}
    }
    if !shared.charging {
        config.charging = None;
    }
    config.rsvp.refresh_ms = shared.refresh_ms;
    config.limits = shared.limits;
    config.rsvp.preemption = shared.preemption;
    config.diagnostics.charges = shared.charges;
    config.diagnostics.requesters = shared.requesters.into_iter().collect();
    config.diagnostics.trusted = shared.trusted.into_iter().collect();
    config.accounts = shared.accounts.filter(|_| kind == Kind::Router);
    if let Some(charging) = &mut config.charging {
        charging.validity_ms = shared.validity_ms;
        let name = topology.nodes[id].name.clone().into_bytes();
        let account = charging.general.account.as_mut().expect("the template has one");
        account.id = name;
        charging.on_inconsistency = shared.on_inconsistency;
        charging.general.hop_record = shared.hop_record;
        if let Some((_, refused)) = shared.refused_account.filter(|(node, _)| *node == id) {
            let name = topology.nodes[refused].name.clone().into_bytes();
            let refused = Account { id: name, ..account.clone() };
            charging.general.refused_sender_accounts = vec![refused];
        }
        if let Some((_, with)) = shared.agreed.filter(|(node, _)| *node == id) {
            charging.neighbours = contracts(topology, id, with, &charging.general);
        }
    }
    if let (Some(charging), true) = (&mut config.charging, shared.abroad.contains(&id)) {
        charging.currency = dollar();
    }
    let border = shared.border.filter(|(node, ..)| *node == id);
    if let (Some(charging), Some((_, with, (ours, theirs), gateway_price_pico_per_s))) =
        (&mut config.charging, border)
    {
        let exchange =
            Exchange { currency: dollar(), ours, theirs, version: 7, gateway_price_pico_per_s };
        charging.neighbours = contracts(topology, id, with, &charging.general);
        for agreed in charging.neighbours.values_mut() {
            agreed.account = charging.general.account.clone();
            agreed.on_missing_payment = charging.general.on_missing_payment;
            agreed.exchange = Some(exchange);
        }
    }
    if let Some(secured) = shared.secured {
        config.authentication = authentication(topology, id, secured);
    }
    let charges = config.charging.is_some();
    let (reduces, bundles) = match shared.reducing {
        None => (false, false),
        Some(0) => (true, true),
        Some(seed) => {
            let mut rng = fastrand::Rng::with_seed(seed ^ id as u64);
            (rng.u8(0..4) > 0, rng.bool())
        }
    };
    let settings = |tariff: Tariff, reservable: Option<u64>| InterfaceSettings {
        rsvp: true,
        non_rsvp_hop: false,
        reservable_bits_per_s: reservable.unwrap_or(NO_LIMIT),
        charging: charges,
        tariff: Tariff { refunds: shared.refunds, ..tariff },
        validity_ms: shared.validity_ms,
        refresh_ms: shared.refresh_ms,
        refresh_reduction: reduces,
        bundle: bundles,
        hello_ms: if reduces { shared.hello_ms } else { 0 },
        role: LinkRole::Edge,
    };
    config.default_interface = settings(Tariff::free(), None);
    for link in topology.links_of(id) {
        let spec = &topology.links[link];
        let side = spec.side(id);
        let name = topology.interface_name(id, link);
        let within = [id, spec.other(id)].iter().all(|node| shared.house.contains(node));
        let role = if within { LinkRole::Interior } else { LinkRole::Edge };
        let split = topology.splits.get(&(id, link)).cloned().unwrap_or_default();
        let curve = shared.price_curves;
        let tariff = Tariff { split, curve, ..tariff(spec.prices[side], spec.usage[side]) };
        let settings = settings(tariff, spec.reservable[side]);
        config.interfaces.insert(name, InterfaceSettings { role, ..settings });
    }
    Some(config)
}

/// The interfaces of a node as its kernel reports them.
pub(crate) fn interfaces(
    topology: &Topology,
    family: Family,
    id: NodeId,
    up: &[bool],
) -> Vec<Interface> {
    let (localhost, length): (IpAddr, u8) = match family {
        Family::V4 => ("127.0.0.1".parse().expect("an address"), 24),
        Family::V6 => ("::1".parse().expect("an address"), 64),
    };
    let loopback = Interface {
        index: LOOPBACK,
        name: "lo".to_owned(),
        up: true,
        mtu: 65_536,
        loopback: true,
        addresses: vec![(localhost, 8)],
    };
    let link = |link| Interface {
        index: topology.interface(id, link),
        name: topology.interface_name(id, link),
        up: up[link],
        mtu: 1_500,
        loopback: false,
        addresses: vec![(topology.address_on(family, id, link), length)],
    };
    std::iter::once(loopback).chain(topology.links_of(id).map(link)).collect()
}
