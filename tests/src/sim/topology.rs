//! Nodes and links, and the addresses that they have.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lcm_daemon::tariff::Split;

/// Index of a node.
pub type NodeId = usize;
/// Index of a link.
pub type LinkId = usize;

/// Kernel index of the loopback interface; the links of a node follow in their order.
pub(super) const LOOPBACK: u32 = 1;
/// Kernel index of a node's first link.
const FIRST_LINK: u32 = 2;

/// Address family of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 10.0.0.0/8, a /24 a link.
    V4,
    /// 2001:db8::/32, a /64 a link.
    V6,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs a daemon in host role and never forwards.
    Host,
    /// Runs a daemon that charges.
    Router,
    /// Runs a daemon that does not charge: a policy-ignorant node of RFC 2750.
    Ignorant,
    /// Forwards IP and knows no RSVP.
    Plain,
}

/// A node.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// Name, for people.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// A point-to-point link.
#[derive(Debug, Clone, Copy)]
pub struct LinkSpec {
    /// Its two ends.
    pub ends: [NodeId; 2],
    /// L and Lmax that each end asks for sending over it.
    pub prices: [(u64, u64); 2],
    /// What is asked for on top of L by what is reserved: for each Mbit/s and each 1,000 bytes of
    /// bucket depth. Lmax is half as much again then.
    pub usage: [(u64, u64); 2],
    /// What may be reserved for data that each end sends, in bits per second.
    pub reservable: [Option<u64>; 2],
}

impl LinkSpec {
    /// A link that costs nothing.
    fn between(a: NodeId, b: NodeId) -> Self {
        let none = (0, 0);
        Self { ends: [a, b], prices: [none; 2], usage: [none; 2], reservable: [None; 2] }
    }

    /// Which of the two ends `node` is.
    pub fn side(&self, node: NodeId) -> usize {
        usize::from(self.ends[1] == node)
    }

    /// The other end.
    pub fn other(&self, node: NodeId) -> NodeId {
        self.ends[1 - self.side(node)]
    }
}

/// A network.
#[derive(Debug, Clone, Default)]
pub struct Topology {
    /// Nodes by index.
    pub nodes: Vec<NodeSpec>,
    /// Links by index.
    pub links: Vec<LinkSpec>,
    /// How nodes share what is charged on a link, where that is not equally.
    pub splits: BTreeMap<(NodeId, LinkId), Split>,
}

impl Topology {
    /// Adds a node.
    pub fn node(&mut self, name: &str, kind: Kind) -> NodeId {
        self.nodes.push(NodeSpec { name: name.to_owned(), kind });
        self.nodes.len() - 1
    }

    /// Adds a link; `price` is L and Lmax of `a` for sending to `b`.
    pub fn link(&mut self, a: NodeId, b: NodeId, price: (u64, u64)) -> LinkId {
        self.links.push(LinkSpec { prices: [price, (0, 0)], ..LinkSpec::between(a, b) });
        self.links.len() - 1
    }

    /// Adds a link with the prices of both ends, each for sending to the other.
    pub fn two_way(&mut self, a: NodeId, b: NodeId, prices: [(u64, u64); 2]) -> LinkId {
        self.links.push(LinkSpec { prices, ..LinkSpec::between(a, b) });
        self.links.len() - 1
    }

    /// Lets no more than so many bits per second be reserved for data that `from` sends over a link.
    pub fn limit(&mut self, link: LinkId, from: NodeId, bits_per_s: u64) {
        let link = &mut self.links[link];
        let side = link.side(from);
        link.reservable[side] = Some(bits_per_s);
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> NodeId {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("no node is named {name}"))
    }

    /// The link between two nodes.
    pub fn between(&self, a: NodeId, b: NodeId) -> LinkId {
        let found = self.links.iter().position(|l| l.ends == [a, b] || l.ends == [b, a]);
        found.unwrap_or_else(|| panic!("nodes {a} and {b} are not linked"))
    }

    /// The links of a node, in the order of its interfaces.
    pub fn links_of(&self, node: NodeId) -> impl Iterator<Item = LinkId> + '_ {
        let ours = move |link: &(usize, &LinkSpec)| link.1.ends.contains(&node);
        self.links.iter().enumerate().filter(ours).map(|(link, _)| link)
    }

    /// The interface of `node` on `link`.
    pub fn interface(&self, node: NodeId, link: LinkId) -> u32 {
        let before = self.links_of(node).take_while(|other| *other != link).count();
        FIRST_LINK + u32::try_from(before).expect("few links")
    }

    /// The link behind an interface; `None` for the loopback and for what is not there.
    pub fn link_of(&self, node: NodeId, interface: u32) -> Option<LinkId> {
        let at = interface.checked_sub(FIRST_LINK)?;
        self.links_of(node).nth(at as usize)
    }

    /// The name of the interface of `node` on `link`: `to-IS2`.
    pub fn interface_name(&self, node: NodeId, link: LinkId) -> String {
        let peer = self.links[link].other(node);
        let parallel = self
            .links_of(node)
            .take_while(|l| *l != link)
            .filter(|l| self.links[*l].other(node) == peer);
        match parallel.count() {
            0 => format!("to-{}", self.nodes[peer].name),
            more => format!("to-{}.{}", self.nodes[peer].name, more + 1),
        }
    }

    /// The address of `node` on `link`.
    pub fn address_on(&self, family: Family, node: NodeId, link: LinkId) -> IpAddr {
        address(family, link, self.links[link].side(node))
    }

    /// The address by which a node is known: that on its first link.
    pub fn address(&self, family: Family, node: NodeId) -> IpAddr {
        let link = self.links_of(node).next().expect("every node has a link");
        self.address_on(family, node, link)
    }

    /// Who has an address.
    pub fn owner(&self, address: IpAddr) -> Option<NodeId> {
        let (link, end) = match address {
            IpAddr::V4(v4) => {
                let [ten, high, low, end] = v4.octets();
                (ten == 10).then_some((usize::from(high) << 8 | usize::from(low), end))?
            }
            IpAddr::V6(v6) => {
                let [a, b, link, zero, .., end] = v6.segments();
                let ours = a == 0x2001 && b == 0xdb8 && zero == 0 && end < 256;
                ours.then_some((usize::from(link), u8::try_from(end).ok()?))?
            }
        };
        let side = end.checked_sub(1).filter(|side| *side < 2)?;
        Some(self.links.get(link)?.ends[usize::from(side)])
    }
}

fn address(family: Family, link: LinkId, side: usize) -> IpAddr {
    let link = u16::try_from(link).expect("at most 65536 links");
    let end = u8::from(side == 1) + 1;
    match family {
        Family::V4 => {
            let [high, low] = link.to_be_bytes();
            Ipv4Addr::new(10, high, low, end).into()
        }
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, link, 0, 0, 0, 0, u16::from(end)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_back_to_their_owners() {
        let mut topology = Topology::default();
        let a = topology.node("a", Kind::Router);
        let b = topology.node("b", Kind::Router);
        for _ in 0..300 {
            topology.link(a, b, (0, 0));
        }
        for family in [Family::V4, Family::V6] {
            for link in [0, 1, 255, 256, 299] {
                assert_eq!(topology.owner(topology.address_on(family, a, link)), Some(a));
                assert_eq!(topology.owner(topology.address_on(family, b, link)), Some(b));
            }
        }
        assert_eq!(topology.owner("10.1.44.1".parse().unwrap()), None);
        assert_eq!(topology.owner("10.0.0.3".parse().unwrap()), None);
        assert_eq!(topology.interface_name(a, 1), "to-b.2");
        assert_eq!(topology.link_of(a, topology.interface(a, 7)), Some(7));
        assert_eq!(topology.link_of(a, LOOPBACK), None);
    }
}
