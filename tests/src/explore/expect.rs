//! What a network at rest must look like, from its topology and its applications alone: path
//! state along the routes, reservations where somebody receives, and what each link costs whom.
//!
//! Nothing here knows the engine. The lines are those of [`super::check::observed`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use lcm_daemon::engine::ReceiverRequest;
use rsvp_wire::object::{Session, Style};

use super::scenario::{Scenario, Step};
use super::world::World;
use crate::sim::{Family, LinkId, NodeId, TSPEC};

/// Who sends and receives now, and at what prices.
struct Situation<'s> {
    scenario: &'s Scenario,
    usable: Vec<bool>,
    up: Vec<bool>,
    senders: Vec<(NodeId, Session)>,
    receivers: Vec<(NodeId, &'s ReceiverRequest)>,
    prices: BTreeMap<(NodeId, LinkId), u64>,
}

/// The tree of one sender: the link by which each node gets its data.
type Tree = BTreeMap<NodeId, Option<LinkId>>;

/// What must be there, one line each.
pub(super) fn expected(world: &World<'_>) -> BTreeSet<String> {
    let situation = Situation::of(world);
    let mut lines = BTreeSet::new();
    for (source, session) in &situation.senders {
        let tree = situation.tree(*source, *session);
        situation.path_lines(*source, *session, &tree, &mut lines);
        situation.resv_lines(*source, *session, &tree, &mut lines);
    }
    lines
}

impl<'s> Situation<'s> {
    fn of(world: &World<'s>) -> Self {
        let scenario = world.scenario;
        let mut situation = Self {
            scenario,
            usable: world.kernels.usable(),
            up: world.kernels.up.clone(),
            senders: Vec::new(),
            receivers: Vec::new(),
            prices: BTreeMap::new(),
        };
        for (link, spec) in scenario.topology.links.iter().enumerate() {
            for side in 0..2 {
                situation.prices.insert((spec.ends[side], link), spec.prices[side].0);
            }
        }
        for (script, done) in scenario.scripts.iter().zip(&world.steps) {
            let closed: Vec<usize> = script[..*done]
                .iter()
                .filter_map(|(_, step)| if let Step::Close(at) = step { Some(*at) } else { None })
                .collect();
            for (at, (node, step)) in script[..*done].iter().enumerate() {
                match step {
                    Step::Price(link, price) => {
                        situation.prices.insert((*node, *link), *price);
                    }
                    _ if closed.contains(&at) => {}
                    Step::Send(session) => situation.senders.push((*node, *session)),
                    Step::Receive(request) => situation.receivers.push((*node, request)),
                    Step::Close(_) => {}
                }
            }
        }
        situation
    }

    fn address(&self, node: NodeId) -> IpAddr {
        self.scenario.topology.address(Family::V4, node)
    }

    fn interface(&self, node: NodeId, link: LinkId) -> String {
        self.scenario.topology.interface_name(node, link)
    }

    /// Shortest paths to those who are to get the data.
    fn tree(&self, source: NodeId, session: Session) -> Tree {
        let topology = &self.scenario.topology;
        let mut towards: Tree = BTreeMap::from([(source, None)]);
        let mut waiting = VecDeque::from([source]);
        while let Some(at) = waiting.pop_front() {
            for link in topology.links_of(at).filter(|link| self.usable[*link]) {
                let next = topology.links[link].other(at);
                if let std::collections::btree_map::Entry::Vacant(entry) = towards.entry(next) {
                    entry.insert(Some(link));
                    waiting.push_back(next);
                }
            }
        }
        let members = if session.destination.is_multicast() {
            self.scenario.members.clone()
        } else {
            Vec::from_iter(topology.owner(session.destination))
        };
        let mut tree: Tree = BTreeMap::from([(source, None)]);
        for member in members {
            let mut at = member;
            while let Some(Some(link)) = towards.get(&at) {
                tree.insert(at, Some(*link));
                at = topology.links[*link].other(at);
            }
        }
        tree
    }

    /// The links by which a node passes data on.
    fn outgoing(&self, tree: &Tree, node: NodeId) -> Vec<LinkId> {
        let topology = &self.scenario.topology;
        let links = topology.links_of(node).filter(|link| self.up[*link]);
        links
            .filter(|link| tree.get(&topology.links[*link].other(node)) == Some(&Some(*link)))
            .collect()
    }

    fn path_lines(
        &self,
        source: NodeId,
        session: Session,
        tree: &Tree,
        lines: &mut BTreeSet<String>,
    ) {
        let topology = &self.scenario.topology;
        for (node, incoming) in tree {
            let phop = incoming.map(|link| {
                topology.address_on(Family::V4, topology.links[link].other(*node), link)
            });
            let outgoing: Vec<String> = self
                .outgoing(tree, *node)
                .iter()
                .map(|link| self.interface(*node, *link))
                .collect();
            lines.insert(path_line(
                &topology.nodes[*node].name,
                session.destination,
                self.address(source),
                phop,
                &outgoing,
            ));
        }
    }

    /// Receivers of a session who can pay what they are asked.
    fn willing(&self, source: NodeId, session: Session, tree: &Tree) -> Vec<(NodeId, Style)> {
        let mut willing: Vec<(NodeId, &ReceiverRequest)> = self
            .receivers
            .iter()
            .filter(|(node, request)| {
                request.session == session && tree.contains_key(node) && *node != source
            })
            .copied()
            .collect();
        loop {
            let nodes: Vec<NodeId> = willing.iter().map(|(node, _)| *node).collect();
            let costs = self.costs(source, tree, &nodes);
            let before = willing.len();
            willing.retain(|(node, request)| {
                request.max_payment.is_none_or(|most| costs[&(*node, None)] <= most)
            });
            if willing.len() == before {
                return willing.iter().map(|(node, request)| (*node, request.style)).collect();
            }
        }
    }

    /// What is due on each branch: by node and outgoing link, `None` for a receiver there. A node
    /// divides what it is charged among its branches evenly, and adds the price of the link.
    fn costs(
        &self,
        source: NodeId,
        tree: &Tree,
        receivers: &[NodeId],
    ) -> BTreeMap<(NodeId, Option<LinkId>), u64> {
        let topology = &self.scenario.topology;
        let mut costs = BTreeMap::new();
        let mut waiting = VecDeque::from([(source, 0)]);
        while let Some((node, charged)) = waiting.pop_front() {
            let mut branches: Vec<Option<LinkId>> = Vec::new();
            branches.extend(receivers.contains(&node).then_some(None));
            for link in self.outgoing(tree, node) {
                if self.reached(tree, topology.links[link].other(node), receivers) {
                    branches.push(Some(link));
                }
            }
            let count = branches.len() as u64;
            for (index, branch) in (0..).zip(branches) {
                let share = charged / count + u64::from(index < charged % count);
                let price = branch.map_or(0, |link| self.prices[&(node, link)]);
                costs.insert((node, branch), share + price);
                if let Some(link) = branch {
                    waiting.push_back((topology.links[link].other(node), share + price));
                }
            }
        }
        costs
    }

    /// Whether a node or one behind it receives.
    fn reached(&self, tree: &Tree, node: NodeId, receivers: &[NodeId]) -> bool {
        let mut behind = self
            .outgoing(tree, node)
            .into_iter()
            .map(|link| self.scenario.topology.links[link].other(node));
        receivers.contains(&node) || behind.any(|next| self.reached(tree, next, receivers))
    }

    fn resv_lines(
        &self,
        source: NodeId,
        session: Session,
        tree: &Tree,
        lines: &mut BTreeSet<String>,
    ) {
        let topology = &self.scenario.topology;
        let willing = self.willing(source, session, tree);
        let Some((_, style)) = willing.first().copied() else { return };
        let nodes: Vec<NodeId> = willing.iter().map(|(node, _)| *node).collect();
        for ((node, branch), due) in self.costs(source, tree, &nodes) {
            let (interface, next_hop) = match branch {
                None => ("local".to_owned(), session.destination),
                Some(link) => {
                    let next = topology.links[link].other(node);
                    (self.interface(node, link), topology.address_on(Family::V4, next, link))
                }
            };
            lines.insert(resv_line(
                &topology.nodes[node].name,
                session.destination,
                self.address(source),
                &interface,
                next_hop,
                &style.to_string(),
                TSPEC.rate.to_integer(),
                Some(("ACTIVE", due)),
            ));
            if let Some(link) = branch {
                let next = &topology.nodes[topology.links[link].other(node)].name;
                lines.insert(owes_line(next, session.destination, self.address(source), due));
            }
        }
    }
}

pub(super) fn path_line(
    node: &str,
    destination: IpAddr,
    source: IpAddr,
    phop: Option<IpAddr>,
    outgoing: &[String],
) -> String {
    let phop = phop.map_or("here".to_owned(), |phop| phop.to_string());
    format!("{node}: path {source} to {destination} from {phop} on to {outgoing:?}")
}

#[allow(clippy::too_many_arguments, reason = "one line of a table, made in two places")]
pub(super) fn resv_line(
    node: &str,
    destination: IpAddr,
    source: IpAddr,
    interface: &str,
    next_hop: IpAddr,
    style: &str,
    rate: u64,
    charged: Option<(&str, u64)>,
) -> String {
    let charged = match charged {
        Some((status, due)) => format!("{status} pays {due}"),
        None => "free".to_owned(),
    };
    format!(
        "{node}: {style} {source} to {destination} for {next_hop} on {interface}, {rate} bytes/s, \
         {charged}"
    )
}

pub(super) fn owes_line(node: &str, destination: IpAddr, source: IpAddr, due: u64) -> String {
    format!("{node}: owes {due} for {source} to {destination}")
}
