//! What the engine asks of the kernel and hears from it, as plain values.
//!
//! The engine is sans-IO: `io::netlink` fills these in on a router, a table does in a simulation.

use std::net::IpAddr;

/// A network interface as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's interface index; also the Logical Interface Handle that we put into RSVP_HOP.
    pub index: u32,
    /// The name, as operators write it in the configuration.
    pub name: String,
    /// Administratively up and with carrier.
    pub up: bool,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// True for the loopback interface.
    pub loopback: bool,
    /// Addresses with their prefix lengths, primary first; IPv6 link-local ones included.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// What to look up in the kernel's forwarding tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Where the data goes: a unicast or a multicast address.
    pub destination: IpAddr,
    /// The data's source, for a multicast flow in transit: then the multicast forwarding cache is
    /// asked. `None` asks the unicast table (also for a multicast group that this host sends to).
    /// With `transport`, the source of a unicast flow.
    pub source: Option<IpAddr>,
    /// Interface on which the PATH came in (0 if unknown, or if the sender is on this node). Of a
    /// multicast flow it is for kernels whose multicast routing daemon wants to be asked with it,
    /// and not part of the answer's meaning.
    pub incoming: u32,
    /// Asks for one unicast flow, where [`Route::PerFlow`] said that this makes a difference.
    pub transport: Option<Transport>,
}

/// What tells the flows between two hosts apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transport {
    /// IP protocol number.
    pub protocol: u8,
    /// Source port, 0 without one.
    pub source_port: u16,
    /// Destination port, 0 without one.
    pub destination_port: u16,
}

/// The kernel's answer to a [`RouteKey`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Route {
    /// No route; PATH can go no further.
    #[default]
    Unreachable,
    /// The destination is an address of this node.
    Local,
    /// Unicast, or a locally originated multicast: one outgoing interface.
    Unicast {
        /// Outgoing interface index.
        interface: u32,
        /// Next hop, or `None` if the destination is on the link.
        gateway: Option<IpAddr>,
    },
    /// Several equal routes lead there, and the kernel picks one for each flow by its addresses
    /// and, if the operator wishes, its ports: ask again with [`RouteKey::transport`]. Never the
    /// answer to a key that has one.
    PerFlow,
    /// A multicast forwarding cache entry.
    Multicast {
        /// Interface on which data of this source must arrive.
        incoming: u32,
        /// Interfaces to which data is copied, ascending.
        outgoing: Vec<u32>,
    },
}

/// News from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelNews {
    /// An interface appeared or changed in any respect.
    Interface(Interface),
    /// An interface is gone.
    InterfaceGone {
        /// Its former index.
        index: u32,
    },
    /// Some unicast routes changed (or may have, as after a link went down): ask again for the
    /// keys within this prefix; `None` means any.
    UnicastRoutes {
        /// Prefix that changed.
        prefix: Option<(IpAddr, u8)>,
    },
    /// A multicast forwarding entry was added, changed or deleted.
    MulticastRoute {
        /// Source of the flow.
        source: IpAddr,
        /// Group of the flow.
        group: IpAddr,
    },
    /// News was lost (the netlink buffer overflowed): everything must be asked again.
    Resync,
}
