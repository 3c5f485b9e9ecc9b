//! Multicast forwarding in the routers of a network, held by this process.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::io::mroute::MulticastRouter;

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
    /// If a node or an interface is unknown, the kernel refuses, or an entry is not IPv4.
    pub fn install(
        &mut self,
        network: &Network,
        entries: &[ForwardingEntry],
    ) -> Result<(), LabError> {
        for entry in entries {
            let (IpAddr::V4(source), IpAddr::V4(group)) = (entry.source, entry.group) else {
                return Err(LabError::new(format!(
                    "multicast forwarding of {} from {}: only IPv4 is there",
                    entry.group, entry.source
                )));
            };
            let node = network.get(&entry.node)?;
            let incoming = node.ifindex(&entry.incoming)?;
            let outgoing = entry
                .outgoing
                .iter()
                .map(|interface| node.ifindex(interface))
                .collect::<Result<Vec<u32>, LabError>>()?;
            let mut router = match self.routers.remove(&entry.node) {
                Some(router) => router,
                None => {
                    node.attempt("opening the multicast routing socket", MulticastRouter::open)?
                }
            };
            let what = format!("adding the multicast route of {group} from {source}");
            let router = node.attempt(&what, move || {
                router.add_route(source, group, incoming, &outgoing)?;
                Ok::<MulticastRouter, std::io::Error>(router)
            })?;
            self.routers.insert(entry.node.clone(), router);
        }
        Ok(())
    }

    /// Deletes the entries of one source and group from all routers that have them.
    ///
    /// # Errors
    /// If the group or the source is not IPv4.
    pub fn remove(&mut self, source: IpAddr, group: IpAddr) -> Result<(), LabError> {
        let (IpAddr::V4(source), IpAddr::V4(group)) = (source, group) else {
            return Err(LabError::new(format!("no multicast forwarding of {group}: not IPv4")));
        };
        for router in self.routers.values_mut() {
            // A router without that entry answers ENOENT, and that is what is wanted.
            let _ = router.delete_route(source, group);
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
