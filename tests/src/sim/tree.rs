//! Networks from a `charging_model` tree, and whether they agree with what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use charging_model::flow::Limits;
use charging_model::tree::{Link, LinkCharges, Solution, Tree};
use charging_model::{Ppm, Rate};
use lcm_daemon::engine::{Handle, Level, ReceiverRequest, SenderShare};
use rsvp_wire::charging::{Dcpe, Ucpe};
use rsvp_wire::object::{Filter, Session};

use super::apps::{group, reserve_up_to};
use super::net::{Net, Options};
use super::topology::{Kind, LinkId, NodeId, Topology};

/// The node that sends.
const SENDER: NodeId = 0;
/// How long a network without faults may take to come to rest: half a second a hop for what
/// travels without haste (charging.md T19), and more.
const REST_MS: u64 = 10_000;
/// Where members are fixed, PATH went to hosts that had not joined: it comes again with the next
/// refresh, at most 1.5 R later.
const REFRESH_MS: u64 = 45_000;

/// A multicast session over a tree: node 0 sends, nodes of the tree that receive are hosts, all
/// others are routers that charge.
#[derive(Debug)]
pub struct TreeNet {
    /// The network.
    pub net: Net,
    /// What it was made from.
    pub tree: Tree,
    /// The session.
    pub session: Session,
    /// The sender.
    pub sender: Filter,
    /// The sender's application.
    pub sending: Option<Handle>,
    /// The applications of the receivers that joined.
    pub receiving: BTreeMap<NodeId, Handle>,
    rest_ms: u64,
}

impl TreeNet {
    /// Starts the daemons and the sender. With `fixed` members data (and PATH) flows to all
    /// receivers all the time; without, to those that have joined.
    pub fn new(tree: &Tree, options: Options, fixed: bool) -> Self {
        let letter = |receives: bool| if receives { 'R' } else { 'I' };
        let names = tree.links.iter().enumerate();
        let names = names.map(|(index, link)| format!("{}{}", letter(link.receives), index + 1));
        let names: Vec<String> = std::iter::once("S".to_owned()).chain(names).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Self::named(tree, &names, options, fixed)
    }

    /// The same with the names of all nodes, the sender's first.
    pub fn named(tree: &Tree, names: &[&str], options: Options, fixed: bool) -> Self {
        let mut topology = Topology::default();
        let receives = |node: usize| node > 0 && tree.links[node - 1].receives;
        for (node, name) in names.iter().enumerate() {
            let host = node == SENDER || receives(node);
            topology.node(name, if host { Kind::Host } else { Kind::Router });
        }
        for (index, link) in tree.links.iter().enumerate() {
            topology.link(link.parent, index + 1, (link.local.0, link.max_local.0));
        }
        let session = group(options.family, 3);
        let mut net = Net::new(topology, options);
        if fixed {
            let hosts = (1..=tree.links.len()).filter(|node| tree.links[node - 1].receives);
            net.fix_members(session, hosts);
        }
        let share = SenderShare {
            fraction_ppm: tree.fraction.get(),
            account: None,
            limit_per_receiver: tree.limits.per_receiver.map(|rate| rate.0),
            limit_per_hop: tree.limits.per_hop.map(|rate| rate.0),
            max_hops: tree.limits.max_hops,
        };
        let sending = Some(net.send(SENDER, session, Some(share)));
        let sender = net.sender(SENDER);
        let rest_ms = if fixed { REFRESH_MS + REST_MS } else { REST_MS };
        let receiving = BTreeMap::new();
        Self { net, tree: tree.clone(), session, sender, sending, receiving, rest_ms }
    }

    /// A receiver joins and pays whatever is asked.
    pub fn join(&mut self, node: NodeId) {
        let handle = self.net.receive(node, self.session);
        assert!(self.receiving.insert(node, handle).is_none(), "node {node} has joined before");
    }

    /// A receiver joins, pays whatever is asked, and asks where that arises.
    pub fn join_asking(&mut self, node: NodeId) {
        let request = ReceiverRequest { detail: Level::Hops, ..reserve_up_to(self.session, None) };
        let handle = self.net.receive_as(node, request);
        assert!(self.receiving.insert(node, handle).is_none(), "node {node} has joined before");
    }

    /// A receiver leaves.
    pub fn leave(&mut self, node: NodeId) {
        let handle = self.receiving.remove(&node).expect("it has joined");
        self.net.close(node, handle);
    }

    /// The sender stops.
    pub fn stop_sending(&mut self) {
        let handle = self.sending.take().expect("it sends");
        self.net.close(SENDER, handle);
    }

    /// Gives the network time to come to rest.
    pub fn rest(&mut self) {
        self.net.run_ms(self.rest_ms);
    }

    /// What the whole tree comes to with the receivers that have joined.
    pub fn solution(&self) -> Solution {
        let joined = |node: usize| self.receiving.contains_key(&node);
        self.tree.solve_for(joined).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What differs from the tree of the receivers that have joined: every field of every link.
    pub fn disagreement(&self) -> Option<String> {
        Branching::identity(&self.tree).compare(&self.net, &self.solution(), self.sender)
    }

    /// Panics, with the seed, if anything differs from the tree.
    pub fn assert_agrees(&self) {
        if let Some(difference) = self.disagreement() {
            let seed = self.net.options.seed;
            panic!("seed {seed}: {difference}\n{:?}\n{}", self.tree, self.net.story());
        }
    }

    /// Meters a while, and panics if any account moves otherwise than the tree says: sums of all
    /// are zero, routers earn their local prices, payees and payers agree.
    pub fn assert_metered(&mut self, ms: u64) {
        let expected = self.solution().balances;
        self.net.assert_metered(ms, &expected);
    }
}

/// A tree of a network: which of its nodes and links the tree's are.
#[derive(Debug, Clone)]
pub struct Branching {
    /// The tree, from the sender.
    pub tree: Tree,
    /// The network's node for each of the tree's, the sender's first.
    pub nodes: Vec<NodeId>,
    /// The network's link for each of the tree's.
    pub links: Vec<LinkId>,
}

impl Branching {
    /// The tree whose node n is the network's node n, and whose link into n is the link n − 1.
    fn identity(tree: &Tree) -> Self {
        let count = tree.links.len();
        Self { tree: tree.clone(), nodes: (0..=count).collect(), links: (0..count).collect() }
    }

    /// The tree from a sender to receivers over a network without cycles, with the prices that
    /// stand in its topology. The branches of a hop stand in the order of its interfaces.
    pub fn of(
        net: &Net,
        source: NodeId,
        receivers: &BTreeSet<NodeId>,
        share: &SenderShare,
    ) -> Self {
        let limits = Limits {
            per_receiver: share.limit_per_receiver.map(Rate),
            per_hop: share.limit_per_hop.map(Rate),
            max_hops: share.max_hops,
        };
        let fraction = Ppm::new(share.fraction_ppm).expect("a fraction");
        let tree = Tree { links: Vec::new(), fraction, limits };
        let mut found = Self { tree, nodes: vec![source], links: Vec::new() };
        found.grow(net, 0, None, receivers);
        found
    }

    /// Adds what lies below a node of the tree; false, and nothing added, if nobody receives there.
    fn grow(
        &mut self,
        net: &Net,
        at: usize,
        came_by: Option<LinkId>,
        receivers: &BTreeSet<NodeId>,
    ) -> bool {
        let id = self.nodes[at];
        if came_by.is_some() && receivers.contains(&id) {
            self.tree.links[at - 1].receives = true;
            return true;
        }
        let mut any = false;
        for link in net.topology.links_of(id).filter(|link| Some(*link) != came_by) {
            let spec = &net.topology.links[link];
            let (local, max_local) = spec.prices[spec.side(id)];
            self.nodes.push(spec.other(id));
            self.links.push(link);
            let (local, max_local) = (Rate(local), Rate(max_local));
            self.tree.links.push(Link { parent: at, local, max_local, weight: 1, receives: false });
            let child = self.nodes.len() - 1;
            if self.grow(net, child, Some(link), receivers) {
                any = true;
            } else {
                self.nodes.truncate(child);
                self.links.truncate(child - 1);
                self.tree.links.truncate(child - 1);
            }
        }
        any
    }

    /// What the tree comes to.
    pub fn solution(&self) -> Solution {
        self.tree.solve().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What each node of the network earns by the tree, added to `balances`.
    pub fn add_balances(&self, balances: &mut [i128]) {
        for (node, balance) in self.nodes.iter().zip(self.solution().balances) {
            balances[*node] += balance;
        }
    }

    /// What differs between a network and this tree: every field of every link.
    pub fn disagreement(&self, net: &Net, sender: Filter) -> Option<String> {
        self.compare(net, &self.solution(), sender)
    }

    fn compare(&self, net: &Net, solution: &Solution, sender: Filter) -> Option<String> {
        let mut text = String::new();
        for (at, charges) in solution.links.iter().enumerate() {
            let Some(charges) = charges else { continue };
            let link = self.links[at];
            let (parent, child) = (self.nodes[self.tree.links[at].parent], self.nodes[at + 1]);
            let names = |from: NodeId, to: NodeId| {
                format!("{}->{}", net.topology.nodes[from].name, net.topology.nodes[to].name)
            };
            let seen = net.log.last_dcpe(link, parent, sender);
            let seen = seen.as_ref().map(Announced::of);
            let expected = Announced::due(charges);
            if seen != Some(expected) {
                let _ = writeln!(text, "{} {seen:?}, not {expected:?}", names(parent, child));
            }
            let seen = net.log.last_ucpe(link, child, sender);
            let seen = seen.as_ref().map(Paid::of);
            let expected = Paid::due(charges);
            if seen != Some(expected) {
                let _ = writeln!(text, "{} {seen:?}, not {expected:?}", names(child, parent));
            }
            let debited = debited(net, parent, child, sender);
            if debited != Some(charges.receiver_payment.0) {
                let due = charges.receiver_payment.0;
                let _ = writeln!(text, "{} debits {debited:?}, not {due}", names(parent, child));
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// What a hop debits one next hop for a sender.
fn debited(net: &Net, payee: NodeId, payer: NodeId, sender: Filter) -> Option<u64> {
    let engine = net.nodes[payee].engine.as_ref()?;
    let hop = |address| net.topology.owner(address) == Some(payer);
    let reservations = engine.show_reservations(net.clock(payee));
    let ours = reservations.iter().find(|r| hop(r.next_hop) && r.sender.source == sender.source)?;
    Some(ours.charging.as_ref()?.debited)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    total: u64,
    max_total: u64,
    fraction: u32,
    sponsored: u64,
    max_hops: Option<u32>,
}

impl Announced {
    fn of(dcpe: &Dcpe) -> Self {
        let fraction = dcpe.terms.sender_fraction.unwrap_or(0);
        // Without SPONSORED the sender covers ⌈r·C⌉.
        let product = u128::from(fraction) * u128::from(dcpe.total);
        let covered = u64::try_from(product.div_ceil(1_000_000)).expect("r is at most one");
        Self {
            total: dcpe.total,
            max_total: dcpe.max_total,
            fraction,
            sponsored: dcpe.terms.sponsored.unwrap_or(covered),
            max_hops: dcpe.terms.max_hops,
        }
    }

    fn due(charges: &LinkCharges) -> Self {
        Self {
            total: charges.total.0,
            max_total: charges.max_total.0,
            fraction: charges.fraction.get(),
            sponsored: charges.sponsored.0,
            max_hops: charges.max_hops,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Paid {
    payment: u64,
    announced_total: u64,
    local_sum: u64,
    sender_payment: u64,
}

impl Paid {
    fn of(ucpe: &Ucpe) -> Self {
        Self {
            payment: ucpe.payment,
            announced_total: ucpe.announced_total,
            local_sum: ucpe.local_sum,
            sender_payment: ucpe.sender_payment,
        }
    }

    fn due(charges: &LinkCharges) -> Self {
        let (total, sender) = (charges.announced_total.0, charges.sender_payment.0);
        // Next to the sender the field says what the receivers below pay (D3).
        let informed = total - charges.sponsored.0 - sender;
        let nothing = charges.max_total.0 == 0;
        Self {
            payment: if nothing { informed } else { charges.receiver_payment.0 },
            announced_total: total,
            local_sum: charges.local_sum.0,
            sender_payment: sender,
        }
    }
}
