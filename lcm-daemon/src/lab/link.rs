//! What a link between two nodes is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::Prefix;

/// How a link is to be made.
#[derive(Debug, Clone, Default)]
pub struct LinkOptions {
    /// Pairs of addresses (first end, second end) with the prefix length that both have. Empty:
    /// link number N (from 1) gets `10.0.N.1` and `.2` of a /24, and `fd00:0:0:N::1` and `::2` of a
    /// /64.
    pub addresses: Vec<(IpAddr, IpAddr, u8)>,
    /// Largest IP packet in bytes; `None` leaves the kernel's 1500.
    pub mtu: Option<u32>,
}

impl LinkOptions {
    /// The addresses of link number `number` (from 1).
    pub(crate) fn addresses_for(&self, number: u16) -> Vec<(IpAddr, IpAddr, u8)> {
        if !self.addresses.is_empty() {
            return self.addresses.clone();
        }
        let [high, low] = number.to_be_bytes();
        let v4 = |host| IpAddr::V4(Ipv4Addr::new(10, high, low, host));
        let v6 = |host| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, number, 0, 0, 0, host));
        vec![(v4(1), v4(2), 24), (v6(1), v6(2), 64)]
    }
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkEnd {
    /// Name of the node.
    pub node: String,
    /// Name of the interface in that node's namespace, `to-` and the other node's name.
    pub interface: String,
    /// The kernel's index of that interface.
    pub ifindex: u32,
}

/// A veth pair between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Position in [`super::Network::links`].
    pub index: usize,
    /// Both ends, in the order in which they were named.
    pub ends: [LinkEnd; 2],
    /// Addresses of the first and of the second end with their prefix length.
    pub addresses: Vec<(IpAddr, IpAddr, u8)>,
}

impl Link {
    /// `S-IS1`.
    #[must_use]
    pub fn name(&self) -> String {
        let [first, second] = &self.ends;
        format!("{}-{}", first.node, second.node)
    }

    /// The end at a node.
    #[must_use]
    pub fn end(&self, node: &str) -> Option<&LinkEnd> {
        self.ends.iter().find(|end| end.node == node)
    }

    /// The addresses that a node has on this link, with their prefix length.
    pub(crate) fn addresses_of(&self, node: &str) -> impl Iterator<Item = Prefix> {
        let [first, second] = &self.ends;
        let sides = (first.node == node, second.node == node);
        self.addresses.iter().filter_map(move |&(a, b, length)| match sides {
            (true, _) => Some((a, length)),
            (_, true) => Some((b, length)),
            _ => None,
        })
    }

    /// The first IPv4 address that a node has on this link.
    #[must_use]
    pub fn address(&self, node: &str) -> Option<Ipv4Addr> {
        self.addresses_of(node).find_map(|(address, _)| match address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        })
    }

    /// The first IPv6 address that a node has on this link.
    #[must_use]
    pub fn address6(&self, node: &str) -> Option<Ipv6Addr> {
        self.addresses_of(node).find_map(|(address, _)| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6),
        })
    }

    /// The network prefixes of this link.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Prefix> {
        self.addresses.iter().map(|&(address, _, length)| (network_of(address, length), length))
    }
}

/// The address with all host bits cleared.
fn network_of(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared() {
        let cases = [
            ("10.1.2.3", 24, "10.1.2.0"),
            ("10.1.2.3", 0, "0.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3"),
            ("fd00:0:0:7::2", 64, "fd00:0:0:7::"),
            ("fd00::2", 0, "::"),
        ];
        for (address, length, network) in cases {
            let result = network_of(address.parse().unwrap(), length);
            assert_eq!(result, network.parse::<IpAddr>().unwrap(), "{address}/{length}");
        }
    }

    #[test]
    fn the_link_number_is_in_its_addresses() {
        let addresses = LinkOptions::default().addresses_for(0x0102);
        assert_eq!(addresses[0].0, "10.1.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(addresses[1].1, "fd00:0:0:102::2".parse::<IpAddr>().unwrap());
    }
}
