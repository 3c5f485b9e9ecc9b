//! RSVP over IPv6, where the kernel hands on less than it does over IPv4.
//!
//! | what | how it gets here |
//! |-|-|
//! | addressed to this node, or to a group that it joined | [`LocalSocket`]: a raw socket of protocol 46 |
//! | PATH and its kin in transit | [`TransitSocket`]: a copy from a packet socket, while rules of netfilter keep the kernel from forwarding the packet itself |
//!
//! `IPV6_ROUTER_ALERT` would do for unicast only: multicast data and PATH alike go through the
//! kernel's forwarding cache without a look at the option. The rules stand in a table that
//! the kernel removes when the socket that owns it is closed (`nftables`): if the daemon dies, PATH is
//! forwarded as any packet.

mod local;
mod nftables;
mod transit;

use rsvp_wire::MessageType;

pub use local::LocalSocket;
pub use transit::TransitSocket;

/// What routers on the way serve though it is addressed to another node: these carry Router Alert
/// (RFC 2205 section 3.11.3, with RFC 2711).
const INTERCEPTED: [MessageType; 3] =
    [MessageType::Path, MessageType::PathTear, MessageType::ResvConf];

/// True if this kernel speaks IPv6.
#[must_use]
pub fn is_spoken() -> bool {
    std::path::Path::new("/proc/sys/net/ipv6").is_dir()
}
