//! Nodes and links together, and the routes between them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

use super::enter::scratch_dir;
use super::error::{Attempt, LabError};
use super::graph::{Hop, path_to, shortest_paths};
use super::link::{Link, LinkEnd, LinkOptions};
use super::multicast::ForwardingEntry;
use super::netlink::{Prefix, Rtnetlink};
use super::node::{NodeHandle, Role, has_ipv6};
use super::wait::until;

/// Longest interface name that the kernel takes (IFNAMSIZ without its terminating zero).
const INTERFACE_NAME_MAX: usize = 15;

/// `IFA_F_TENTATIVE`: an IPv6 address that cannot be used yet (linux/if_addr.h).
const TENTATIVE: u32 = 0x40;

/// Time for the kernel to see that both ends of a new link are up.
const CARRIER: Duration = Duration::from_secs(5);

/// All IPv4 multicast groups.
const MULTICAST: Prefix = (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4);

/// Numbers the networks of this process, for the names of their directories.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// One route that a node needs: prefix, gateway, interface index.
type NodeRoute = (Prefix, Option<IpAddr>, u32);

/// A network of nodes and links. All of it is gone when it and its [`NodeHandle`]s are dropped.
#[derive(Debug)]
pub struct Network {
    dir: PathBuf,
    nodes: Vec<NodeHandle>,
    links: Vec<Link>,
}

impl Network {
    /// An empty network.
    ///
    /// # Errors
    /// If [`super::enter`] was not called.
    pub fn new() -> Result<Network, LabError> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let dir = scratch_dir()?.join(format!("net{number}"));
        std::fs::create_dir(&dir).attempt(|| format!("creating {}", dir.display()))?;
        Ok(Network { dir, nodes: Vec::new(), links: Vec::new() })
    }

    /// This network's own directory in the scratch file system.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Adds a router.
    ///
    /// # Errors
    /// If the kernel refuses the namespace, or the name is taken.
    pub fn node(&mut self, name: &str) -> Result<NodeHandle, LabError> {
        self.add(name, Role::Router)
    }

    /// Adds an end host.
    ///
    /// # Errors
    /// If the kernel refuses the namespace, or the name is taken.
    pub fn host(&mut self, name: &str) -> Result<NodeHandle, LabError> {
        self.add(name, Role::Host)
    }

    /// Adds a node of any role.
    ///
    /// # Errors
    /// If the kernel refuses the namespace, or the name is taken.
    pub fn add(&mut self, name: &str, role: Role) -> Result<NodeHandle, LabError> {
        if self.position(name).is_some() {
            return Err(LabError::new(format!("there is a node {name} already")));
        }
        let node = NodeHandle::start(name, role, self.dir.join(name))?;
        self.nodes.push(node.clone());
        Ok(node)
    }

    /// The node of that name.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<NodeHandle, LabError> {
        self.position(name)
            .and_then(|position| self.nodes.get(position))
            .cloned()
            .ok_or_else(|| LabError::new(format!("there is no node {name}")))
    }

    /// All nodes, in the order in which they were added.
    #[must_use]
    pub fn nodes(&self) -> &[NodeHandle] {
        &self.nodes
    }

    /// All links, in the order in which they were added.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The first link between two nodes, named in either order.
    ///
    /// # Errors
    /// If there is none.
    pub fn link_between(&self, a: &str, b: &str) -> Result<&Link, LabError> {
        self.links
            .iter()
            .find(|link| link.end(a).is_some() && link.end(b).is_some())
            .ok_or_else(|| LabError::new(format!("there is no link between {a} and {b}")))
    }

    /// Connects two nodes by a veth pair with interfaces named `to-<other node>`, addresses on both
    /// ends, both ends up.
    ///
    /// # Errors
    /// If a node is missing, or the kernel refuses.
    pub fn link(&mut self, a: &str, b: &str, options: LinkOptions) -> Result<Link, LabError> {
        let (node_a, node_b) = (self.get(a)?, self.get(b)?);
        let parallel =
            self.links.iter().filter(|link| link.end(a).is_some() && link.end(b).is_some()).count();
        let (interface_a, interface_b) =
            (interface_name(b, parallel)?, interface_name(a, parallel)?);
        let index = self.links.len();
        let number = u16::try_from(index + 1)
            .attempt(|| format!("numbering the link between {a} and {b}"))?;
        let mut addresses = options.addresses_for(number);
        if options.addresses.is_empty() && !has_ipv6() {
            addresses.retain(|(address, ..)| address.is_ipv4());
        }

        let [index_a, index_b] = interface_indexes(number);
        let (name, peer_name) = (interface_a.clone(), interface_b.clone());
        let peer_namespace = node_b.namespace();
        node_a.attempt(&format!("making the link to {b}"), move || {
            let (here, there) = ((name.as_str(), index_a), (peer_name.as_str(), index_b));
            Rtnetlink::open()?.add_veth(here, there, peer_namespace.as_fd(), options.mtu)
        })?;
        let side = |first: bool| -> Vec<Prefix> {
            addresses.iter().map(|&(a, b, length)| (if first { a } else { b }, length)).collect()
        };
        let end_a = configure_end(&node_a, interface_a, index_a, side(true))?;
        let end_b = configure_end(&node_b, interface_b, index_b, side(false))?;
        await_carrier(&node_a, &end_a)?;
        await_carrier(&node_b, &end_b)?;
        let link = Link { index, ends: [end_a, end_b], addresses };
        for node in [&node_a, &node_b] {
            if let Some(address) = link.address(node.name()) {
                node.offer_address(address);
            }
        }
        self.links.push(link.clone());
        Ok(link)
    }

    /// Gives every node a static route over the shortest path to every link that it is not on, for
    /// both families, and every host a route for all multicast over its first link.
    ///
    /// # Errors
    /// If the kernel refuses a route.
    pub fn auto_routes(&self) -> Result<(), LabError> {
        let edges = self.edges();
        for (position, node) in self.nodes.iter().enumerate() {
            let hops = shortest_paths(self.nodes.len(), &edges, position);
            let mut routes: Vec<NodeRoute> = Vec::new();
            for link in &self.links {
                routes.extend(self.routes_towards(link, position, &hops));
            }
            if node.role() == Role::Host {
                let first = self.links.iter().find_map(|link| link.end(node.name()));
                routes.extend(first.map(|end| (MULTICAST, None, end.ifindex)));
            }
            node.attempt("setting routes", move || {
                let mut netlink = Rtnetlink::open()?;
                routes
                    .into_iter()
                    .try_for_each(|(prefix, via, index)| netlink.set_route(prefix, via, index))
            })?;
        }
        Ok(())
    }

    /// The multicast forwarding entry of every router on the tree of shortest paths from a source
    /// to the receivers, both given by the names of their nodes.
    ///
    /// The source address is the one that the source node has on its (first) link of the tree, of
    /// the family of `group`.
    ///
    /// # Errors
    /// If a node is unknown or cannot be reached, or a link has no address of that family.
    pub fn multicast_entries(
        &self,
        source_node: &str,
        group: IpAddr,
        receivers: &[&str],
    ) -> Result<Vec<ForwardingEntry>, LabError> {
        let root = self.require(source_node)?;
        let hops = shortest_paths(self.nodes.len(), &self.edges(), root);
        // Node number: the link that leads into it, and those that lead on.
        let mut tree: BTreeMap<usize, (Option<usize>, Vec<usize>)> = BTreeMap::new();
        for receiver in receivers {
            let target = self.require(receiver)?;
            let path = path_to(&hops, root, target).ok_or_else(|| {
                LabError::new(format!("there is no path from {source_node} to {receiver}"))
            })?;
            for (hop, to) in path {
                tree.entry(to).or_default().0 = Some(hop.link);
                let onward = &mut tree.entry(hop.from).or_default().1;
                if !onward.contains(&hop.link) {
                    onward.push(hop.link);
                }
            }
        }
        let first_link = tree.get(&root).and_then(|(_, onward)| onward.first());
        let source = first_link
            .and_then(|&link| self.links.get(link))
            .and_then(|link| {
                let mut own = link.addresses_of(source_node).map(|(address, _)| address);
                own.find(|address| address.is_ipv4() == group.is_ipv4())
            })
            .ok_or_else(|| {
                LabError::new(format!("{source_node} has no address from which to send to {group}"))
            })?;
        let mut entries = Vec::new();
        for (node, (incoming, onward)) in tree {
            let (Some(incoming), false) = (incoming, onward.is_empty()) else { continue };
            entries.push(ForwardingEntry {
                node: self.name_of(node).to_owned(),
                source,
                group,
                incoming: self.interface_at(node, incoming)?,
                outgoing: onward
                    .into_iter()
                    .map(|link| self.interface_at(node, link))
                    .collect::<Result<_, _>>()?,
            });
        }
        Ok(entries)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name() == name)
    }

    fn require(&self, name: &str) -> Result<usize, LabError> {
        self.position(name).ok_or_else(|| LabError::new(format!("there is no node {name}")))
    }

    fn name_of(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", NodeHandle::name)
    }

    fn interface_at(&self, node: usize, link: usize) -> Result<String, LabError> {
        let name = self.name_of(node);
        let end = self.links.get(link).and_then(|link| link.end(name));
        end.map(|end| end.interface.clone())
            .ok_or_else(|| LabError::new(format!("{name} is not on link number {link}")))
    }

    /// The links as pairs of node numbers.
    fn edges(&self) -> Vec<(usize, usize)> {
        let number = |end: &LinkEnd| self.position(&end.node).unwrap_or(usize::MAX);
        self.links.iter().map(|Link { ends: [a, b], .. }| (number(a), number(b))).collect()
    }

    /// The routes of node `root` to the prefixes of a link that it is not on; `hops` is its tree.
    fn routes_towards(&self, link: &Link, root: usize, hops: &[Option<Hop>]) -> Vec<NodeRoute> {
        let paths =
            link.ends.iter().filter_map(|end| path_to(hops, root, self.position(&end.node)?));
        let Some(&(first, neighbour)) =
            paths.min_by_key(Vec::len).as_ref().and_then(|path| path.first())
        else {
            return Vec::new();
        };
        let Some(first_link) = self.links.get(first.link) else { return Vec::new() };
        let Some(own_end) = first_link.end(self.name_of(root)) else { return Vec::new() };
        let gateways: Vec<IpAddr> =
            first_link.addresses_of(self.name_of(neighbour)).map(|(address, _)| address).collect();
        link.prefixes()
            .filter_map(|prefix| {
                let via = gateways.iter().find(|via| via.is_ipv4() == prefix.0.is_ipv4())?;
                Some((prefix, Some(*via), own_end.ifindex))
            })
            .collect()
    }
}

/// `to-IS1`, and `to-IS1-2` for the second link between the same two nodes.
fn interface_name(other: &str, parallel: usize) -> Result<String, LabError> {
    let name = match parallel {
        0 => format!("to-{other}"),
        more => format!("to-{other}-{}", more + 1),
    };
    if name.len() > INTERFACE_NAME_MAX {
        return Err(LabError::new(format!(
            "interface name {name} is longer than {INTERFACE_NAME_MAX} bytes: give node {other} a \
             shorter name"
        )));
    }
    Ok(name)
}

/// The interface indexes of the ends of link number `number` (from 1): 11 and 12, 21 and 22, ...
///
/// They are the same in every run, and no two of them are equal: a router that takes another's
/// handle for its own does not get away with it. Besides, the kernel tells of a veth interface whose
/// peer has the same index only a second later that it has come up.
fn interface_indexes(number: u16) -> [u32; 2] {
    [1, 2].map(|end| 10 * u32::from(number) + end)
}

/// Addresses one end of a link and sets it up.
pub(crate) fn configure_end(
    node: &NodeHandle,
    interface: String,
    ifindex: u32,
    addresses: Vec<Prefix>,
) -> Result<LinkEnd, LabError> {
    node.attempt(&format!("configuring {interface}"), move || {
        let mut netlink = Rtnetlink::open()?;
        for address in addresses {
            netlink.add_address(ifindex, address)?;
        }
        netlink.set_up(ifindex, true)
    })?;
    Ok(LinkEnd { node: node.name().to_owned(), interface, ifindex })
}

/// Waits until the kernel has taken note that the other end is up and has made the link-local
/// address: what follows is then a network at rest, without news of its links.
pub(crate) fn await_carrier(node: &NodeHandle, end: &LinkEnd) -> Result<(), LabError> {
    let name = end.interface.clone();
    node.attempt(&format!("waiting for {name}"), move || {
        until(CARRIER, "an interface in operation", || match is_operating(&name) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{name} is not")),
            Err(error) => Err(error.to_string()),
        })
    })
}

/// True if an interface of the calling thread's namespace has carrier and, where there is IPv6, a
/// link-local address that is no longer tentative.
fn is_operating(name: &str) -> std::io::Result<bool> {
    let mut flags =
        getifaddrs()?.filter(|entry| entry.interface_name == name).map(|entry| entry.flags);
    let running = flags.next().is_some_and(|flags| flags.contains(InterfaceFlags::IFF_RUNNING));
    if !running || !has_ipv6() {
        return Ok(running);
    }
    // Lines of: address, interface index, prefix length, scope, flags, name; numbers in hex.
    let addresses = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    Ok(addresses.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [address, _, _, _, flags, interface] = fields.as_slice() else { return false };
        let tentative = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & TENTATIVE != 0);
        *interface == name && address.starts_with("fe80") && !tentative
    }))
}
