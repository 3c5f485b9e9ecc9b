//! Whole networks of RSVP engines in one process, in virtual time, from a seed.
//!
//! ```text
//!  topology.rs  nodes, links, addresses        routing.rs  unicast tables, multicast trees
//!  node.rs      one node: its engine, what its kernel knows
//!  net.rs       the clock: the next event, whatever it is, and what an engine then wants done
//!  transport.rs packets as kernels carry them: interception, forwarding, TTL, groups
//!  weather.rs   delay, loss, duplication, reordering of a link
//!  log.rs       what crossed each link, and a digest of every message sent
//!  apps.rs      senders, receivers, prices
//!  books.rs     what was metered, and what was approved
//!  tree.rs      networks from a `charging_model` tree, and whether they agree with it
//! ```
//!
//! Nothing here knows a wall clock or a thread: one seed, one play, to the last byte.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a simulation stops at the first thing that cannot be; nodes and links are indices"
)]

mod apps;
mod books;
mod journal;
mod log;
mod net;
mod node;
mod routing;
mod topology;
mod transport;
mod tree;
mod weather;

pub use apps::{TSPEC, group, reserve_up_to, sender_port};
pub use books::{Metered, Pair};
pub use log::{Crossing, Fate, Log};
pub use net::{Net, Options, UNIX_START};
pub use node::{Border, Node, NodeConfig, Reserved, Secured, key};
pub use topology::{Family, Kind, LinkId, LinkSpec, NodeId, NodeSpec, Topology};
pub use tree::{Branching, TreeNet};
pub use weather::Weather;

pub(crate) use log::ucpes;
pub(crate) use node::{config as node_config, interfaces};
pub(crate) use routing::Routing;
