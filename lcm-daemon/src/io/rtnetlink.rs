//! The few messages of rtnetlink that a router reads, and the questions that it asks.
//!
//! Only the attributes that matter are looked at, so that a newer kernel's additions, or an odd
//! driver's, cannot make a message unreadable. Layout: netlink(7), rtnetlink(7): a message is
//! `{ u32 length; u16 type; u16 flags; u32 sequence; u32 port }` and a body, an attribute is
//! `{ u16 length; u16 type }` and data; lengths count the header, everything is aligned to 4.

use std::net::IpAddr;

use crate::kernel::Transport;

/// Address family of IPv4 multicast forwarding entries (`RTNL_FAMILY_IPMR`).
pub(super) const FAMILY_IPMR: u8 = 128;
/// Address family of IPv6 multicast forwarding entries (`RTNL_FAMILY_IP6MR`).
pub(super) const FAMILY_IP6MR: u8 = 129;
/// `AF_INET`, in the width of rtnetlink.
pub(super) const FAMILY_IPV4: u8 = libc::AF_INET as u8;
/// `AF_INET6`, in the width of rtnetlink.
pub(super) const FAMILY_IPV6: u8 = libc::AF_INET6 as u8;

const MESSAGE_HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;
const NEXT_HOP_HEADER: usize = 8;

/// `ARPHRD_PIMREG` of linux/if_arp.h: the pseudo interface of PIM register messages.
const HARDWARE_PIMREG: u16 = 779;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const IF_OPER_UNKNOWN: u8 = 0;
const RTNH_F_UNRESOLVED: u32 = 32;
// From linux/rtnetlink.h.
const RTM_F_FIB_MATCH: u32 = 0x2000;
const RTA_IP_PROTO: u16 = 27;
const RTA_SPORT: u16 = 28;
const RTA_DPORT: u16 = 29;

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|field| u16::from_ne_bytes(*field))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|field| u32::from_ne_bytes(*field))
}

/// An address of 4 or 16 octets.
fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(data) {
        return Some(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(data).ok().map(IpAddr::from)
}

/// The octets of an address.
pub(super) fn octets(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// One netlink message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'b> {
    /// `RTM_…` or `NLMSG_…`.
    pub(super) kind: u16,
    /// `NLM_F_…`.
    pub(super) flags: u16,
    /// The sequence number of the question that it answers.
    pub(super) sequence: u32,
    /// What follows the header.
    pub(super) body: &'b [u8],
}

impl Message<'_> {
    /// The error number of `NLMSG_ERROR` (0 for an acknowledgement) and of `NLMSG_DONE`.
    pub(super) fn error(&self) -> i32 {
        u32_at(self.body, 0).map_or(0, |code| code.cast_signed().saturating_neg())
    }
}

/// The messages in one datagram; ends at the first that is cut off.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(datagram, 0)?).ok()?;
        let message = Message {
            kind: u16_at(datagram, 4)?,
            flags: u16_at(datagram, 6)?,
            sequence: u32_at(datagram, 8)?,
            body: datagram.get(MESSAGE_HEADER..length)?,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes in a body; ends at the first that is cut off.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The two high bits say "nested" and "network byte order".
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let data = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, data))
    })
}

/// A question, or with other flags an order, to the kernel.
#[derive(Debug, Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A message of this type with `NLM_F_REQUEST` and the flags given, and its fixed header.
    pub(super) fn new(kind: u16, flags: i32, sequence: u32, header: &[u8]) -> Request {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST).unwrap_or_default();
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(header);
        Request { bytes }
    }

    /// A dump of all links, without their statistics.
    pub(super) fn dump_links(sequence: u32) -> Request {
        let mut request =
            Request::new(libc::RTM_GETLINK, libc::NLM_F_DUMP, sequence, &[0; LINK_HEADER]);
        request.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
        request
    }

    /// One link.
    pub(super) fn get_link(sequence: u32, index: u32) -> Request {
        let mut header = [0; LINK_HEADER];
        if let Some(field) = header.get_mut(4..8) {
            field.copy_from_slice(&index.to_ne_bytes());
        }
        let mut request = Request::new(libc::RTM_GETLINK, 0, sequence, &header);
        request.attribute(IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
        request
    }

    /// A dump of all addresses.
    pub(super) fn dump_addresses(sequence: u32) -> Request {
        Request::new(libc::RTM_GETADDR, libc::NLM_F_DUMP, sequence, &[0; ADDRESS_HEADER])
    }

    /// A dump of all routes of `family`, in all tables.
    pub(super) fn dump_routes(sequence: u32, family: u8) -> Request {
        Request::dump_family(libc::RTM_GETROUTE, sequence, family)
    }

    /// A dump of the rules by which `family` chooses a table.
    pub(super) fn dump_rules(sequence: u32, family: u8) -> Request {
        Request::dump_family(libc::RTM_GETRULE, sequence, family)
    }

    fn dump_family(kind: u16, sequence: u32, family: u8) -> Request {
        let mut header = [0; ROUTE_HEADER];
        if let Some(field) = header.first_mut() {
            *field = family;
        }
        Request::new(kind, libc::NLM_F_DUMP, sequence, &header)
    }

    /// A route lookup in the tables of `family` towards one address, from one if it is given.
    pub(super) fn get_route(
        sequence: u32,
        family: u8,
        destination: &IpAddr,
        source: Option<&IpAddr>,
    ) -> Request {
        let destination = octets(destination);
        let source = source.map(octets).unwrap_or_default();
        let bits = |octets: &[u8]| u8::try_from(octets.len() * 8).unwrap_or_default();
        let header = [family, bits(&destination), bits(&source), 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut request = Request::new(libc::RTM_GETROUTE, 0, sequence, &header);
        request.attribute(libc::RTA_DST, &destination);
        if !source.is_empty() {
            request.attribute(libc::RTA_SRC, &source);
        }
        request
    }

    /// Makes a route lookup answer with the entry of the table that it finds, all next hops
    /// included, instead of with the one path that it picks. Kernels before 4.13 pick all the same.
    pub(super) fn match_only(mut self) -> Request {
        // rtm_flags is the last field of the header.
        let flags = self.bytes.get_mut(MESSAGE_HEADER + ROUTE_HEADER - 4..);
        if let Some(field) = flags.and_then(<[u8]>::first_chunk_mut) {
            *field = RTM_F_FIB_MATCH.to_ne_bytes();
        }
        self
    }

    /// Makes a route lookup one of a flow that comes in by an interface (0: from this node).
    pub(super) fn of_flow(mut self, incoming: u32, transport: Transport) -> Request {
        if incoming != 0 {
            self.attribute(libc::RTA_IIF, &incoming.to_ne_bytes());
        }
        // The kernel takes no other protocol here, and hashes nobody else's ports.
        if matches!(i32::from(transport.protocol), libc::IPPROTO_TCP | libc::IPPROTO_UDP) {
            self.attribute(RTA_IP_PROTO, &[transport.protocol]);
            self.attribute(RTA_SPORT, &transport.source_port.to_be_bytes());
            self.attribute(RTA_DPORT, &transport.destination_port.to_be_bytes());
        }
        self
    }

    /// Appends an attribute.
    pub(super) fn attribute(&mut self, kind: u16, data: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEADER + data.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The message, with its length filled in.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or_default();
        if let Some(field) = self.bytes.first_chunk_mut() {
            *field = length.to_ne_bytes();
        }
        self.bytes
    }
}

/// A network interface, without its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: u32,
    pub(super) up: bool,
    pub(super) loopback: bool,
    /// The pseudo interface through which PIM encapsulates multicast to its rendezvous point.
    pub(super) pim_register: bool,
}

impl Link {
    /// Reads the body of `RTM_NEWLINK` or `RTM_DELLINK`; `None` for what is no news of the
    /// interface itself, such as a bridge port's.
    pub(super) fn read(body: &[u8]) -> Option<Link> {
        let family = *body.first()?;
        if i32::from(family) != libc::AF_UNSPEC {
            return None;
        }
        let has = |flags: u32, bit: i32| flags & bit.cast_unsigned() != 0;
        let flags = u32_at(body, 8)?;
        let mut link = Link {
            index: u32_at(body, 4)?,
            name: String::new(),
            mtu: 0,
            up: has(flags, libc::IFF_UP) && has(flags, libc::IFF_RUNNING),
            loopback: has(flags, libc::IFF_LOOPBACK),
            pim_register: u16_at(body, 2)? == HARDWARE_PIMREG,
        };
        let (mut state_unknown, mut carrier_changes) = (false, 0);
        for (kind, data) in attributes(body.get(LINK_HEADER..)?) {
            match kind {
                libc::IFLA_IFNAME => {
                    let name = data.split(|octet| *octet == 0).next().unwrap_or_default();
                    link.name = String::from_utf8_lossy(name).into_owned();
                }
                libc::IFLA_MTU => link.mtu = u32_at(data, 0)?,
                libc::IFLA_OPERSTATE => state_unknown = data.first() == Some(&IF_OPER_UNKNOWN),
                libc::IFLA_CARRIER_CHANGES => carrier_changes = u32_at(data, 0)?,
                _ => {}
            }
        }
        // A new interface claims to run before the kernel has dealt with the first change of its
        // carrier, and drops in silence what is sent until then. What never had a carrier to
        // change, as the loopback, stays in the unknown state for ever.
        if state_unknown && carrier_changes > 0 {
            link.up = false;
        }
        // Wireless drivers send messages without a name that say nothing about the link.
        (!link.name.is_empty()).then_some(link)
    }
}

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InterfaceAddress {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    /// IPv4: another address of the same prefix came before; IPv6: a temporary address.
    pub(super) secondary: bool,
    /// False while duplicate address detection runs, and after it failed.
    pub(super) usable: bool,
}

impl InterfaceAddress {
    /// Reads the body of `RTM_NEWADDR` or `RTM_DELADDR`.
    pub(super) fn read(body: &[u8]) -> Option<InterfaceAddress> {
        let mut flags = u32::from(*body.get(2)?);
        let (mut local, mut peer) = (None, None);
        for (kind, data) in attributes(body.get(ADDRESS_HEADER..)?) {
            match kind {
                // On a point-to-point link IFA_ADDRESS is the other end's.
                libc::IFA_LOCAL => local = address(data),
                libc::IFA_ADDRESS => peer = address(data),
                libc::IFA_FLAGS => flags = u32_at(data, 0)?,
                _ => {}
            }
        }
        let tentative = flags & libc::IFA_F_TENTATIVE != 0 && flags & libc::IFA_F_OPTIMISTIC == 0;
        Some(InterfaceAddress {
            index: u32_at(body, 4)?,
            address: local.or(peer)?,
            prefix: *body.get(1)?,
            secondary: flags & libc::IFA_F_SECONDARY != 0,
            usable: !tentative && flags & libc::IFA_F_DADFAILED == 0,
        })
    }
}

/// A route or a multicast forwarding entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RouteEntry {
    /// `AF_INET`, `AF_INET6`, or one of the multicast families.
    pub(super) family: u8,
    /// `RTN_…`.
    pub(super) kind: u8,
    /// A copy that the kernel made for one destination, or a forwarding entry that still waits for
    /// a multicast routing daemon.
    pub(super) transient: bool,
    pub(super) destination: Option<IpAddr>,
    pub(super) destination_prefix: u8,
    pub(super) source: Option<IpAddr>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) incoming: Option<u32>,
    pub(super) outgoing: Option<u32>,
    /// Interface indices of `RTA_MULTIPATH`, in the kernel's order.
    pub(super) next_hops: Vec<u32>,
}

impl RouteEntry {
    /// Reads the body of `RTM_NEWROUTE` or `RTM_DELROUTE`.
    pub(super) fn read(body: &[u8]) -> Option<RouteEntry> {
        let flags = u32_at(body, 8)?;
        let mut route = RouteEntry {
            family: *body.first()?,
            kind: *body.get(7)?,
            transient: flags & (libc::RTM_F_CLONED | RTNH_F_UNRESOLVED) != 0,
            destination: None,
            destination_prefix: *body.get(1)?,
            source: None,
            gateway: None,
            incoming: None,
            outgoing: None,
            next_hops: Vec::new(),
        };
        for (kind, data) in attributes(body.get(ROUTE_HEADER..)?) {
            match kind {
                libc::RTA_DST => route.destination = address(data),
                libc::RTA_SRC => route.source = address(data),
                libc::RTA_GATEWAY => route.gateway = address(data),
                // A gateway of the other family: the family in two octets, then the address.
                libc::RTA_VIA => route.gateway = data.get(2..).and_then(address),
                libc::RTA_IIF => route.incoming = u32_at(data, 0),
                libc::RTA_OIF => route.outgoing = u32_at(data, 0),
                libc::RTA_MULTIPATH => route.next_hops = next_hops(data).collect(),
                _ => {}
            }
        }
        Some(route)
    }
}

/// The interface indices of the next hops in `RTA_MULTIPATH`.
fn next_hops(mut bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        if length < NEXT_HOP_HEADER {
            return None;
        }
        let index = u32_at(bytes, 4)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(index)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic_or_loop(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / MESSAGE_HEADER);
            Link::read(&bytes);
            InterfaceAddress::read(&bytes);
            RouteEntry::read(&bytes);
            prop_assert!(attributes(&bytes).count() <= bytes.len());
            prop_assert!(next_hops(&bytes).count() <= bytes.len());
        }

        #[test]
        fn requests_read_back(
            destination in any::<IpAddr>(),
            source in proptest::option::of(any::<IpAddr>()),
            sequence in any::<u32>(),
        ) {
            let bytes = Request::get_route(sequence, 2, &destination, source.as_ref()).finish();
            let all: Vec<_> = messages(&bytes).collect();
            prop_assert_eq!(all.len(), 1);
            prop_assert_eq!(all[0].kind, libc::RTM_GETROUTE);
            prop_assert_eq!(all[0].sequence, sequence);
            let route = RouteEntry::read(all[0].body).unwrap();
            prop_assert_eq!(route.destination, Some(destination));
            prop_assert_eq!(route.source, source);
            let bits = if destination.is_ipv4() { 32 } else { 128 };
            prop_assert_eq!(route.destination_prefix, bits);
        }
    }

    #[test]
    fn an_attribute_of_length_zero_ends_the_walk() {
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(next_hops(&[0; 64]).count(), 0);
    }
}
