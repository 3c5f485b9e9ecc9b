//! The only room that talks to sockets and netlink, and the only one that may hold `unsafe`.
//!
//! Everything here is synchronous and nonblocking and knows no runtime: each thing that can become
//! readable offers its file descriptor. A socket belongs to the network namespace of the thread
//! that opened it, for good.
//!
//! | file | idea |
//! |-|-|
//! | [`raw_socket`] | the RSVP socket: opening, options, groups, the drop counter |
//! | [`receive`], [`transmit`] | batches in and out, without an allocation per packet |
//! | [`ip6`] | RSVP over IPv6: what is for this node, and what is in transit |
//! | [`ipv4`], `cmsg`, `options` | the IPv4 header, control messages, socket options |
//! | [`netlink`], [`monitor`] | questions to the kernel's tables, and news from them |
//! | [`route_cache`] | one question for all destinations that no route tells apart |
//! | `rtnetlink`, `interface_table` | the codec of rtnetlink and what both of them know of links |
//! | [`mroute`], [`mroute6`] | the multicast routing sockets, for networks without a multicast routing daemon |
//! | [`ready`] | waiting within tokio |
//! | [`clock`], [`caps`] | time, privileges, and dying with the parent |

pub mod caps;
pub mod clock;
mod cmsg;
mod interface_table;
pub mod ip6;
pub mod ipv4;
pub mod monitor;
pub mod mroute;
pub mod mroute6;
pub mod netlink;
mod options;
pub mod raw_socket;
pub mod ready;
pub mod receive;
pub mod route_cache;
mod rtnetlink;
pub mod transmit;

#[cfg(test)]
mod tests;

pub use ipv4::Skip;
pub use monitor::Monitor;
pub use mroute::MulticastRouter;
pub use mroute6::MulticastRouter6;
pub use netlink::Kernel;
pub use raw_socket::{RawSocket, SocketSettings};
pub use ready::watch;
pub use receive::{RecvBatch, SkipCounters};
pub use route_cache::RouteCache;
pub use transmit::{SendFailure, SendReport};
