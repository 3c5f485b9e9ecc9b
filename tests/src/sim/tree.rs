//! Networks from a `charging_model` tree, and whether they agree with what it says.

use std::collections::BTreeMap;
use std::fmt::Write;

use charging_model::tree::{LinkCharges, Solution, Tree};
use lcm_daemon::engine::{Handle, SenderShare};
use rsvp_wire::charging::{Dcpe, Ucpe};
use rsvp_wire::object::{Filter, Session};

use super::apps::group;
use super::net::{Net, Options};
use super::topology::{Kind, NodeId, Topology};

/// The node that sends.
const SENDER: NodeId = 0;
/// How long a network without faults may take to come to rest: half a second a hop for what
/// travels without haste (charging.md T19), and more.
const REST_MS: u64 = 10_000;

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
}

impl TreeNet {
    /// Starts the daemons and the sender. With `fixed` members data (and PATH) flows to all
    /// receivers all the time; without, to those that have joined.
    pub fn new(tree: &Tree, options: Options, fixed: bool) -> Self {
        let mut topology = Topology::default();
        topology.node("S", Kind::Host);
        for (index, link) in tree.links.iter().enumerate() {
            let kind = if link.receives { Kind::Host } else { Kind::Router };
            let letter = if link.receives { 'R' } else { 'I' };
            topology.node(&format!("{letter}{}", index + 1), kind);
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
        Self { net, tree: tree.clone(), session, sender, sending, receiving: BTreeMap::new() }
    }

    /// A receiver joins and pays whatever is asked.
    pub fn join(&mut self, node: NodeId) {
        let handle = self.net.receive(node, self.session);
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
        self.net.run_ms(REST_MS);
    }

    /// What the whole tree comes to with the receivers that have joined.
    pub fn solution(&self) -> Solution {
        let joined = |node: usize| self.receiving.contains_key(&node);
        self.tree.solve_for(joined).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What differs from the tree of the receivers that have joined: every field of every link.
    pub fn disagreement(&self) -> Option<String> {
        disagreement(&self.net, &self.solution(), &self.tree, self.sender)
    }

    /// Panics, with the seed, if anything differs from the tree.
    pub fn assert_agrees(&self) {
        if let Some(difference) = self.disagreement() {
            let story = self.net.log.story(|node| self.net.topology.nodes[node].name.clone());
            let seed = self.net.options.seed;
            panic!("seed {seed}: {difference}\n{:#?}\n{story}", self.tree);
        }
    }

    /// Meters a while, and panics if any account moves otherwise than the tree says: sums of all
    /// are zero, routers earn their local prices, payees and payers agree.
    pub fn assert_metered(&mut self, ms: u64) {
        let expected = self.solution().balances;
        let (payees, payers) = (self.net.metered(), self.net.shadows());
        let rates = self.net.rates_over(ms);
        assert_eq!(rates, expected, "what each node earns per second");
        assert_eq!(rates.iter().sum::<i128>(), 0);
        let (payees_now, payers_now) = (self.net.metered(), self.net.shadows());
        let gained = |now: &BTreeMap<_, super::Metered>, then: &BTreeMap<_, super::Metered>| {
            let old = |pair| then.get(pair).copied().unwrap_or_default();
            now.iter()
                .map(|(pair, metered)| {
                    let then = old(pair);
                    let rp = metered.receiver_payment - then.receiver_payment;
                    (*pair, (rp, metered.sender_payment - then.sender_payment))
                })
                .filter(|(_, gained)| *gained != (0, 0))
                .collect::<BTreeMap<_, _>>()
        };
        let (metered, believed) = (gained(&payees_now, &payees), gained(&payers_now, &payers));
        assert_eq!(metered, believed, "payees' meters against payers' shadows");
    }
}

/// What differs between what crossed the links and a solved tree whose node n is the network's
/// node n and whose link into n is the network's link n − 1.
pub fn disagreement(net: &Net, solution: &Solution, tree: &Tree, sender: Filter) -> Option<String> {
    let mut text = String::new();
    for (link, charges) in solution.links.iter().enumerate() {
        let (Some(charges), spec) = (charges, &tree.links[link]) else { continue };
        let (parent, child) = (spec.parent, link + 1);
        let names = |from: usize, to: usize| {
            format!("{}->{}", net.topology.nodes[from].name, net.topology.nodes[to].name)
        };
        let seen = net.log.last_dcpe(link, parent, sender);
        let expected = Announced::due(charges);
        if seen.as_ref().map(Announced::of) != Some(expected) {
            let _ = writeln!(text, "{} {seen:?}, not {expected:?}", names(parent, child));
        }
        let seen = net.log.last_ucpe(link, child, sender);
        let expected = Paid::due(charges);
        if seen.as_ref().map(Paid::of) != Some(expected) {
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
        // Where nothing is carried the field says what the receivers below pay (D3).
        let informed = total - charges.sponsored.0 - sender;
        let nothing = charges.total.0 == 0;
        Self {
            payment: if nothing { informed } else { charges.receiver_payment.0 },
            announced_total: total,
            local_sum: charges.local_sum.0,
            sender_payment: sender,
        }
    }
}
