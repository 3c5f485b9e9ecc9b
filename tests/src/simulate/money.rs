//! What must be announced and paid: the charging hops of each sender's reservations, as one tree
//! that `charging_model::tree` solves as a whole (charging.md section 1).

use std::collections::BTreeMap;
use std::net::IpAddr;

use charging_model::flow::Limits;
use charging_model::tree::{Link, LinkCharges, Tree};
use charging_model::{Ppm, Rate};
use lcm_daemon::tariff::Split;
use rsvp_wire::object::Style;

use super::reference::{Asked, At, Branch, Expected};
use super::world::{Sending, World};
use crate::sim::{Kind, LinkId, NodeId};

/// What is due on one link of the tree of charging hops.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// Who is paid; `None` where the sender's own PATH says nothing of charges.
    pub payee: Option<At>,
    /// Behind which interface of the payee, for whom.
    pub branch: Branch,
    /// Who pays.
    pub payer: At,
    /// How much of everything.
    pub charges: LinkCharges,
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
        let weights = self.weights(node, &branches);
        for (position, (link, address, _)) in branches.iter().enumerate() {
            let group: Vec<usize> =
                (0..branches.len()).filter(|other| branches[*other].0 == *link).collect();
            let place = group.iter().position(|other| *other == position).unwrap_or(0);
            let topology = &self.world.net.topology;
            let Some(payer) = topology.owner(*address) else { continue };
            let (price, max_price) = self.price(node, *link);
            // What is added to the reservation on a link is added to that of those on it alone.
            let there: Vec<_> = group.iter().map(|other| branches[*other]).collect();
            let each = self.weights(node, &there);
            let receives = topology.nodes[payer].kind == Kind::Host;
            self.tree.links.push(Link {
                parent: at,
                local: Rate(divided(price, &each)[place]),
                max_local: Rate(max_price),
                weight: weights[position],
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

    /// Those who pay, in the order that decides ties: interface, then address; and the next hop
    /// that reserves for them.
    fn branches(&self, node: NodeId) -> Vec<(LinkId, IpAddr, IpAddr)> {
        let next_hops = self.next_hops(node).into_iter();
        let mut found: Vec<(LinkId, IpAddr, IpAddr)> = next_hops
            .flat_map(|(link, address)| {
                self.charging_hops(address).into_iter().map(move |payer| (link, payer, address))
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// How the branches of a node weigh, by its strategy for what its previous hop charges.
    fn weights(&self, node: NodeId, branches: &[(LinkId, IpAddr, IpAddr)]) -> Vec<u64> {
        let topology = &self.world.net.topology;
        let named = |link: &LinkId, name: &str| topology.interface_name(node, *link) == name;
        let path = self.expected.paths.get(&(node, self.topic, self.sender));
        let incoming = path.and_then(|path| path.incoming.as_deref());
        let incoming = topology.links_of(node).find(|l| incoming.is_some_and(|at| named(l, at)));
        let split = incoming.and_then(|link| topology.splits.get(&(node, link)));
        let each = branches.iter();
        match split {
            None | Some(Split::Equal | Split::EqualOf(_)) => each.map(|_| 1).collect(),
            Some(Split::Receivers(_)) => each.map(|(_, hop, _)| self.receivers(*hop)).collect(),
            Some(Split::Quantity) => each.map(|b| self.bits(node, b)).collect(),
            Some(Split::Weights { neighbours, otherwise }) => {
                each.map(|(_, hop, _)| *neighbours.get(hop).unwrap_or(otherwise)).collect()
            }
            Some(Split::Incremental) => {
                // Who came first is history, which only the node itself remembers.
                let mut order: Vec<usize> = (0..branches.len()).collect();
                order.sort_by_key(|at| self.joined(node, &branches[*at]));
                let (mut weights, mut largest) = (vec![0; branches.len()], 0);
                for (place, at) in order.into_iter().enumerate() {
                    let bits = self.bits(node, &branches[at]);
                    let bits = if place == 0 { bits.max(1) } else { bits };
                    weights[at] = bits.saturating_sub(largest);
                    largest = largest.max(bits);
                }
                weights
            }
        }
    }

    /// Receivers at or below a payer.
    fn receivers(&self, hop: IpAddr) -> u64 {
        let topology = &self.world.net.topology;
        match topology.owner(hop) {
            Some(node) if topology.nodes[node].kind != Kind::Host => {
                self.branches(node).iter().map(|(_, payer, _)| self.receivers(*payer)).sum()
            }
            _ => 1,
        }
    }

    /// What a payer reserves for this sender alone, in bit/s.
    fn bits(&self, node: NodeId, (link, _, next_hop): &(LinkId, IpAddr, IpAddr)) -> u64 {
        if self.world.topics[self.topic].style != Style::FixedFilter {
            return 0;
        }
        let sent = Asked::of(&self.world.senders[&(self.topic, self.sender)].tspec);
        let name = self.world.net.topology.interface_name(node, *link);
        let here = self.expected.reservations.get(&(node, self.topic, self.sender));
        let asked = here.and_then(|branches| branches.get(&(name, *next_hop)));
        asked.map_or(0, |asked| asked.rate.min(sent.rate) * 8)
    }

    /// A payer's place in the order of joining.
    fn joined(&self, node: NodeId, (link, payer, _): &(LinkId, IpAddr, IpAddr)) -> u32 {
        let (net, now) = (&self.world.net, self.world.net.clock(node));
        let name = net.topology.interface_name(node, *link);
        let views = net.node(node).engine().show_reservations(now);
        let ours = views.iter().filter(|view| {
            let topic = &self.world.topics[self.topic].session;
            (view.session.destination, view.session.port)
                == (topic.destination, topic.destination_port)
                && net.topology.owner(view.sender.source) == Some(self.sender)
                && view.interface == name
        });
        let mut payers = ours.flat_map(|view| view.charging.iter().chain(&view.more_payers));
        payers.find(|state| state.payer == *payer).map_or(0, |state| state.joined)
    }

    /// The next hops that reserve.
    fn next_hops(&self, node: NodeId) -> Vec<(LinkId, IpAddr)> {
        let at = (node, self.topic, self.sender);
        let topology = &self.world.net.topology;
        let asked = self.expected.reservations.get(&at);
        let asked = asked.into_iter().flat_map(|branches| branches.keys());
        asked
            .filter_map(|(name, address)| {
                let named = |link: &LinkId| topology.interface_name(node, *link) == *name;
                Some((topology.links_of(node).find(named)?, *address))
            })
            .collect()
    }

    /// Who pays where a next hop reserves: itself, or all charging hops behind one that passes
    /// their elements on.
    fn charging_hops(&self, address: IpAddr) -> Vec<IpAddr> {
        let topology = &self.world.net.topology;
        match topology.owner(address) {
            Some(node) if topology.nodes[node].kind == Kind::Ignorant => {
                let behind = self.next_hops(node).into_iter();
                behind.flat_map(|(_, next)| self.charging_hops(next)).collect()
            }
            Some(_) => vec![address],
            None => Vec::new(),
        }
    }

    /// L and Lmax of a link. Senders that share a reservation share the price of the dearest, each
    /// by what it would cost for that sender alone: ℓ_s = L · L_s / ΣL_s.
    fn price(&self, node: NodeId, link: LinkId) -> (u64, u64) {
        let name = self.world.net.topology.interface_name(node, link);
        let reserved = |((at, topic, sender), branches): (&At, &BTreeMap<Branch, Asked>)| {
            let here = (*at, *topic) == (node, self.topic);
            // Next hops behind one interface cost what the dearest of them does.
            let asked = branches.iter().filter(|((on, _), _)| here && *on == name);
            let prices = asked.map(|(_, asked)| self.alone(node, link, *sender, asked));
            Some((*sender, prices.max()?))
        };
        let mut prices: Vec<_> = self.expected.reservations.iter().filter_map(reserved).collect();
        prices.sort_by_key(|(sender, _)| self.world.net.sender(*sender));
        let place = prices.iter().position(|(sender, _)| *sender == self.sender);
        let most = Asked::of(&self.world.senders[&(self.topic, self.sender)].tspec);
        let max_price = self.largest(node, link, &most);
        match place {
            Some(at) if self.world.topics[self.topic].style == Style::FixedFilter => {
                (prices[at].1, max_price)
            }
            Some(at) => {
                let each: Vec<u64> = prices.iter().map(|(_, price)| *price).collect();
                (in_proportion(&each)[at], max_price)
            }
            None => (0, max_price),
        }
    }

    /// What a reservation costs one sender, which uses no more of it than it sends.
    fn alone(&self, node: NodeId, link: LinkId, sender: NodeId, asked: &Asked) -> u64 {
        let sent = Asked::of(&self.world.senders[&(self.topic, sender)].tspec);
        let side = self.world.net.topology.links[link].side(node);
        let (per_mbit, per_kbyte) = self.world.usage[link][side];
        let bits = asked.rate.min(sent.rate) * 8;
        let bytes = asked.bucket.min(sent.bucket);
        let (flat, _) = self.world.prices[link][side];
        flat + bits * per_mbit / 1_000_000 + bytes * per_kbyte / 1_000
    }

    /// Lmax: as set, or half as much again as all that the sender sends would cost.
    fn largest(&self, node: NodeId, link: LinkId, sent: &Asked) -> u64 {
        let side = self.world.net.topology.links[link].side(node);
        match self.world.usage[link][side] {
            (0, 0) => self.world.prices[link][side].1,
            _ => self.alone(node, link, self.sender, sent) * 3 / 2,
        }
    }
}

/// The greatest of these, divided in proportion to them.
fn in_proportion(prices: &[u64]) -> Vec<u64> {
    divided(prices.iter().copied().max().unwrap_or(0), prices)
}

/// `total` in proportion to weights, equally if all are 0: whole units, what is left over to the
/// largest remainders, the first of equals.
fn divided(total: u64, weights: &[u64]) -> Vec<u64> {
    let sum = weights.iter().sum::<u64>();
    if sum == 0 {
        let even = vec![1; weights.len()];
        return if weights.is_empty() { even } else { divided(total, &even) };
    }
    let mut parts: Vec<u64> = weights.iter().map(|weight| total * weight / sum).collect();
    let mut left = total - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(total * weights[*at] % sum));
    for at in order {
        if left > 0 {
            (parts[at], left) = (parts[at] + 1, left - 1);
        }
    }
    parts
}
