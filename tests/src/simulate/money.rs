//! What must be announced and paid: the charging hops of each sender's reservations, as one tree
//! that `charging_model::tree` solves as a whole (charging.md section 1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use charging_model::flow::Limits;
use charging_model::tree::{Link, LinkCharges, Tree};
use charging_model::{Ppm, Rate};
use rsvp_wire::object::Style;

use super::reference::{At, Branch, Expected};
use super::world::{Sending, World};
use crate::sim::{Kind, LinkId, NodeId};

/// What is due on one link of the tree of charging hops.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// Who is paid; `None` where the sender's own PATH says nothing of charges.
    pub payee: Option<At>,
    /// Behind which interface of the payee, for which next hop.
    pub branch: Branch,
    /// Who pays.
    pub payer: At,
    /// How much of everything.
    pub charges: LinkCharges,
}

/// What is known to be missing in the engine, and so is not compared. Both kinds ask for a payee
/// that knows its payers by the originating RSVP_HOP of their elements (charging.md section 6,
/// partial deployment), which it does not yet.
#[derive(Debug, Default)]
pub(super) struct Tolerated {
    /// Who has paid through each policy-ignorant node, by session.
    through_ignorant: BTreeMap<(NodeId, usize), BTreeSet<NodeId>>,
    /// Who has paid behind each interface of a node that charges, by session.
    behind_one: BTreeMap<(NodeId, usize, String), BTreeSet<IpAddr>>,
}

impl Tolerated {
    /// Adds those who pay now.
    pub(super) fn note(&mut self, world: &World, expected: &Expected) {
        if !world.charging {
            return;
        }
        for ((node, topic, _), branches) in &expected.reservations {
            let ignorant = world.net.topology.nodes[*node].kind == Kind::Ignorant;
            for (interface, hop) in branches.keys() {
                if ignorant {
                    let through = self.through_ignorant.entry((*node, *topic)).or_default();
                    through.extend(world.net.topology.owner(*hop));
                } else {
                    let place = (*node, *topic, interface.clone());
                    self.behind_one.entry(place).or_default().insert(*hop);
                }
            }
        }
    }

    /// Whether what a node pays is what several payers behind it approved, each for itself: then
    /// their approvals cannot be told apart.
    pub(super) fn mixes_payers(&self, world: &World, payer: NodeId) -> bool {
        world.net.topology.nodes[payer].kind == Kind::Ignorant
            && self.through_ignorant.iter().any(|((at, _), of)| *at == payer && of.len() > 1)
    }

    /// Sessions of which neither reservations nor charges are compared: a policy-ignorant node
    /// merges, or merged before, what several next hops pay, and the payee takes them for one.
    pub(super) fn unread(&self) -> BTreeSet<usize> {
        let several = self.through_ignorant.iter().filter(|(_, of)| of.len() > 1);
        several.map(|((_, topic), _)| *topic).collect()
    }

    /// Sessions of which charges are not compared: several hops pay, or paid before, behind one
    /// interface. One that is left over may go on with the price that was meant for all of them.
    pub(super) fn unpriced(&self) -> BTreeSet<usize> {
        let several = self.behind_one.iter().filter(|(_, of)| of.len() > 1);
        several.map(|((_, topic, _), _)| *topic).chain(self.unread()).collect()
    }
}

/// All that is due for one sender.
pub(super) fn due(world: &World, expected: &Expected, topic: usize, sender: NodeId) -> Vec<Due> {
    let sending = &world.senders[&(topic, sender)];
    let mut growth =
        Growth { world, expected, topic, sender, tree: empty(sending), ends: Vec::new() };
    growth.grow(sender, 0);
    let Ok(solution) = growth.tree.solve() else { return Vec::new() };
    let silent = sending.share.is_none();
    let each = growth.ends.into_iter().zip(growth.tree.links.iter()).zip(solution.links);
    each.filter_map(|((end, link), charges)| {
        let payee = (link.parent != 0 || !silent).then_some((end.payee, topic, sender));
        let payer = (end.payer, topic, sender);
        Some(Due { payee, branch: end.branch, payer, charges: charges? })
    })
    .collect()
}

fn empty(sending: &Sending) -> Tree {
    let share = sending.share.clone().unwrap_or_default();
    Tree {
        links: Vec::new(),
        fraction: Ppm::new(share.fraction_ppm).unwrap_or_default(),
        limits: Limits {
            per_receiver: share.limit_per_receiver.map(Rate),
            per_hop: share.limit_per_hop.map(Rate),
            max_hops: share.max_hops,
        },
    }
}

/// Where a link of the tree begins and ends in the network.
struct End {
    payee: NodeId,
    branch: Branch,
    payer: NodeId,
}

struct Growth<'a> {
    world: &'a World,
    expected: &'a Expected,
    topic: usize,
    sender: NodeId,
    tree: Tree,
    ends: Vec<End>,
}

impl Growth<'_> {
    /// Adds what hangs on the charging node `node`, which is number `at` of the tree.
    fn grow(&mut self, node: NodeId, at: usize) {
        let branches = self.branches(node);
        for (position, (link, address)) in branches.iter().enumerate() {
            let group: Vec<usize> =
                (0..branches.len()).filter(|other| branches[*other].0 == *link).collect();
            let place = group.iter().position(|other| *other == position).unwrap_or(0);
            let Some(payer) = self.charging_hop(*address) else { continue };
            let topology = &self.world.net.topology;
            let side = topology.links[*link].side(node);
            let (price, max_price) = self.world.prices[*link][side];
            let price = self.share_of(node, *link, price);
            let count = group.len() as u64;
            let part = |sum: u64| Rate(sum / count + u64::from((place as u64) < sum % count));
            let receives = topology.nodes[payer].kind == Kind::Host;
            self.tree.links.push(Link {
                parent: at,
                local: part(price),
                max_local: Rate(max_price),
                weight: 1,
                receives,
            });
            self.ends.push(End {
                payee: node,
                branch: (topology.interface_name(node, *link), *address),
                payer,
            });
            let number = self.tree.links.len();
            if !receives {
                self.grow(payer, number);
            }
        }
    }

    /// The next hops that reserve, in the order that decides ties: interface, then address.
    fn branches(&self, node: NodeId) -> Vec<(LinkId, IpAddr)> {
        let at = (node, self.topic, self.sender);
        let topology = &self.world.net.topology;
        let asked = self.expected.reservations.get(&at);
        let asked = asked.into_iter().flat_map(|branches| branches.keys());
        let mut found: Vec<(LinkId, IpAddr)> = asked
            .filter_map(|(name, address)| {
                let named = |link: &LinkId| topology.interface_name(node, *link) == *name;
                Some((topology.links_of(node).find(named)?, *address))
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// Who answers for a next hop: itself, or the one charging hop behind those that pass its
    /// elements on.
    fn charging_hop(&self, address: IpAddr) -> Option<NodeId> {
        let node = self.world.net.topology.owner(address)?;
        if self.world.net.topology.nodes[node].kind != Kind::Ignorant {
            return Some(node);
        }
        let (_, next) = self.branches(node).into_iter().next()?;
        self.charging_hop(next)
    }

    /// Senders that share a reservation on a link share its price: ℓ = L / n.
    fn share_of(&self, node: NodeId, link: LinkId, price: u64) -> u64 {
        if self.world.topics[self.topic].style == Style::FixedFilter {
            return price;
        }
        let name = self.world.net.topology.interface_name(node, link);
        let reserved = self.expected.reservations.iter().filter(|((at, topic, _), branches)| {
            (*at, *topic) == (node, self.topic) && branches.keys().any(|(on, _)| *on == name)
        });
        price / (reserved.count().max(1) as u64)
    }
}
