//! Multicast forwarding in the routers of a network, held by this process.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::io::{MulticastRouter, MulticastRouter6};

use super::error::LabError;
use super::network::Network;

/// One entry of a router's multicast forwarding cache, by names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardingEntry {
    /// The router.
    pub node: String,
    /// Source of the data.
    pub source: IpAddr,
    /// Group of the data.
    pub group: IpAddr,
    /// Interface on which the data comes in.
    pub incoming: String,
    /// Interfaces to which it is copied.
    pub outgoing: Vec<String>,
}

/// The multicast routing sockets of a network's routers, one for each router that has entries. All
/// entries vanish when it is dropped.
#[derive(Debug, Default)]
pub struct MulticastRoutes {
    routers: BTreeMap<String, MulticastRouter>,
    routers6: BTreeMap<String, MulticastRouter6>,
}

impl MulticastRoutes {
    /// No entries yet.
    #[must_use]
    pub fn new() -> MulticastRoutes {
        MulticastRoutes::default()
    }

    /// Adds entries, or replaces those of the same source and group.
    ///
    /// # Errors
    /// If a node or an interface is unknown, the kernel refuses, or source and group are of
    /// different families.
    pub fn install(
        &mut self,
        network: &Network,
        entries: &[ForwardingEntry],
    ) -> Result<(), LabError> {
        for entry in entries {
            let node = network.get(&entry.node)?;
            let incoming = node.ifindex(&entry.incoming)?;
            let outgoing = entry
                .outgoing
                .iter()
                .map(|interface| node.ifindex(interface))
                .collect::<Result<Vec<u32>, LabError>>()?;
            let what =
                format!("adding the multicast route of {} from {}", entry.group, entry.source);
            let opening = "opening the multicast routing socket";
            match (entry.source, entry.group) {
                (IpAddr::V4(source), IpAddr::V4(group)) => {
                    let mut router = match self.routers.remove(&entry.node) {
                        Some(router) => router,
                        None => node.attempt(opening, MulticastRouter::open)?,
                    };
                    let router = node.attempt(&what, move || {
                        router.add_route(source, group, incoming, &outgoing)?;
                        Ok::<_, std::io::Error>(router)
                    })?;
                    self.routers.insert(entry.node.clone(), router);
                }
                (IpAddr::V6(source), IpAddr::V6(group)) => {
                    let mut router = match self.routers6.remove(&entry.node) {
                        Some(router) => router,
                        None => node.attempt(opening, MulticastRouter6::open)?,
                    };
                    let router = node.attempt(&what, move || {
                        router.add_route(source, group, incoming, &outgoing)?;
                        Ok::<_, std::io::Error>(router)
                    })?;
                    self.routers6.insert(entry.node.clone(), router);
                }
                _ => return Err(LabError::new(format!("{what}: two families"))),
            }
        }
        Ok(())
    }

    /// Deletes the entries of one source and group from all routers that have them.
    ///
    /// # Errors
    /// If source and group are of different families.
    pub fn remove(&mut self, source: IpAddr, group: IpAddr) -> Result<(), LabError> {
        // A router without that entry answers ENOENT, and that is what is wanted.
        match (source, group) {
            (IpAddr::V4(source), IpAddr::V4(group)) => {
                for router in self.routers.values_mut() {
                    let _ = router.delete_route(source, group);
                }
            }
            (IpAddr::V6(source), IpAddr::V6(group)) => {
                for router in self.routers6.values_mut() {
                    let _ = router.delete_route(source, group);
                }
            }
            _ => return Err(LabError::new(format!("({source}, {group}): two families"))),
        }
        Ok(())
    }
}

/// Installs entries into fresh multicast routing sockets; keep the result as long as they are
/// needed.
///
/// # Errors
/// Those of [`MulticastRoutes::install`].
pub fn install(
    network: &Network,
    entries: &[ForwardingEntry],
) -> Result<MulticastRoutes, LabError> {
    let mut routes = MulticastRoutes::new();
    routes.install(network, entries)?;
    Ok(routes)
}
