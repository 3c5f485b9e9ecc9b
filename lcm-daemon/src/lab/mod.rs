//! Throw-away networks of namespaces, for the demo and the tests.
//!
//! [`enter`] gives the process a mount namespace of its own (and a user namespace, where it is not
//! privileged) with a scratch directory in memory. A [`Network`] then holds nodes, each of them one
//! network namespace that lives in one *holder thread*:
//!
//! ```text
//! Network ── Node "IS1" ── holder thread (unshared its network namespace)
//!        │                   ├─ closures sent by NodeHandle::run
//!        │                   └─ child processes of NodeHandle::spawn (inherit the namespace)
//!        └── Link "S-IS1" ── a veth pair: to-IS1 in S, to-S in IS1
//! ```
//!
//! Nothing has a name outside of the process, nothing is written outside of the scratch directory,
//! and no other program is called. The kernel removes a namespace with its last thread, process and
//! file descriptor, so nothing is left when the process ends, however it ends: children are started
//! by the holder thread and ask to be killed when it ends (see [`process`]).

pub mod capture;
mod enter;
mod error;
mod graph;
mod lan;
mod link;
pub mod multicast;
mod netlink;
mod network;
mod node;
mod pcap;
pub mod process;
mod rsvp_packet;
mod topology;
pub mod wait;

pub use enter::{enter, scratch_dir};
pub use error::LabError;
pub use link::{Link, LinkEnd, LinkOptions};
pub use multicast::ForwardingEntry;
pub use network::Network;
pub use node::{NodeHandle, Role};
pub use rsvp_packet::RsvpPacket;
pub use topology::{LinkSpec, NodeSpec, Topology};
