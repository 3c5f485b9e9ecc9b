//! The few rtnetlink requests that build a network: links, addresses, routes.
//!
//! A socket belongs to the namespace of the thread that opens it, so every function here is called
//! inside of a node's holder thread.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteNextHop, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The table of what is this node's own (linux/rtnetlink.h).
const RT_TABLE_LOCAL: u8 = 255;

/// An address and the length of its prefix in bits.
pub(crate) type Prefix = (IpAddr, u8);

/// A connection to the kernel's routing tables in the calling thread's namespace.
pub(crate) struct Rtnetlink {
    socket: Socket,
    sequence: u32,
}

impl Rtnetlink {
    /// Opens a socket in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Rtnetlink> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Rtnetlink { socket, sequence: 0 })
    }

    /// Makes a veth pair: the first end in this namespace, the other in the one that
    /// `peer_namespace` is open on. Each is a name and an interface index that are free.
    pub(crate) fn add_veth(
        &mut self,
        (name, index): (&str, u32),
        (peer_name, peer_index): (&str, u32),
        peer_namespace: BorrowedFd<'_>,
        mtu: Option<u32>,
    ) -> io::Result<()> {
        let mtu = mtu.map(LinkAttribute::Mtu);
        let mut peer = LinkMessage::default();
        peer.header.index = peer_index;
        peer.attributes.push(LinkAttribute::IfName(peer_name.to_owned()));
        peer.attributes.push(LinkAttribute::NetNsFd(peer_namespace.as_raw_fd()));
        peer.attributes.extend(mtu.clone());
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        link.attributes.extend(mtu);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a bridge.
    pub(crate) fn add_bridge(&mut self, (name, index): (&str, u32)) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes.push(LinkAttribute::IfName(name.to_owned()));
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes a link a port of a bridge, and sets it up.
    pub(crate) fn add_port(&mut self, index: u32, bridge: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.change_mask = LinkFlags::Up;
        link.header.flags = LinkFlags::Up;
        link.attributes.push(LinkAttribute::Controller(bridge));
        self.request(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Sets a link up or down.
    pub(crate) fn set_up(&mut self, index: u32, up: bool) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.header.change_mask = LinkFlags::Up;
        link.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        self.request(RouteNetlinkMessage::SetLink(link), 0)
    }

    /// Adds an address; an IPv6 address is usable at once (no duplicate address detection).
    pub(crate) fn add_address(&mut self, index: u32, (address, length): Prefix) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = length;
        message.header.index = index;
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Adds a route or replaces the one to the same prefix.
    pub(crate) fn set_route(
        &mut self,
        prefix: Prefix,
        via: Option<IpAddr>,
        index: u32,
    ) -> io::Result<()> {
        let mut route = route_to(prefix);
        route.header.protocol = RouteProtocol::Static;
        route.header.kind = RouteType::Unicast;
        route.header.scope = if via.is_some() { RouteScope::Universe } else { RouteScope::Link };
        route.attributes.extend(via.map(|gateway| RouteAttribute::Gateway(gateway.into())));
        route.attributes.push(RouteAttribute::Oif(index));
        self.request(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Adds a route over several gateways of the same weight, or replaces the one to the same
    /// prefix.
    pub(crate) fn set_equal_routes(
        &mut self,
        prefix: Prefix,
        gateways: &[(IpAddr, u32)],
    ) -> io::Result<()> {
        let hop = |&(gateway, index): &(IpAddr, u32)| {
            let mut hop = RouteNextHop::default();
            hop.interface_index = index;
            hop.attributes.push(RouteAttribute::Gateway(gateway.into()));
            hop
        };
        let mut route = route_to(prefix);
        route.header.protocol = RouteProtocol::Static;
        route.header.kind = RouteType::Unicast;
        route.header.scope = RouteScope::Universe;
        route.attributes.push(RouteAttribute::MultiPath(gateways.iter().map(hop).collect()));
        self.request(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Makes every address of a prefix one of this node's own.
    pub(crate) fn add_local(&mut self, prefix: Prefix, loopback: u32) -> io::Result<()> {
        let mut route = route_to(prefix);
        route.header.table = RT_TABLE_LOCAL;
        route.header.protocol = RouteProtocol::Static;
        route.header.kind = RouteType::Local;
        route.header.scope = RouteScope::Host;
        route.attributes.push(RouteAttribute::Oif(loopback));
        self.request(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Deletes the route to a prefix.
    pub(crate) fn delete_route(&mut self, prefix: Prefix) -> io::Result<()> {
        let mut route = route_to(prefix);
        route.header.scope = RouteScope::NoWhere;
        self.request(RouteNetlinkMessage::DelRoute(route), 0)
    }

    /// Sends one request and waits for the kernel's acknowledgement.
    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        request.header.sequence_number = self.sequence;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            if let NetlinkPayload::Error(error) = answer.payload {
                return if error.code.is_none() { Ok(()) } else { Err(error.to_io()) };
            }
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn route_to((address, length): Prefix) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family(address);
    route.header.destination_prefix_length = length;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    if length > 0 {
        route.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
    }
    route
}
