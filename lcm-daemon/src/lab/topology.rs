//! Networks as data: what there is, before any of it is built.

use super::error::LabError;
use super::link::LinkOptions;
use super::network::Network;
use super::node::Role;

/// A node to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name; at most 12 bytes, since interfaces are named after it.
    pub name: String,
    /// What it does.
    pub role: Role,
}

/// A link to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSpec {
    /// The node at the upstream end.
    pub a: String,
    /// The node at the downstream end.
    pub b: String,
}

/// A network to be built, and who talks to whom in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Nodes.
    pub nodes: Vec<NodeSpec>,
    /// Links; those of the upstream part first.
    pub links: Vec<LinkSpec>,
    /// The node that sends.
    pub sender: String,
    /// The nodes that receive (as members, if the session is a multicast one).
    pub receivers: Vec<String>,
}

impl Topology {
    /// The paper's Figure 2: S–IS1–IS2–{IS3–R2, R1}, with the links in the order of the paper's
    /// tables.
    #[must_use]
    pub fn figure2() -> Topology {
        Topology::tree(
            &["S", "R1", "R2"],
            &[("S", "IS1"), ("IS1", "IS2"), ("IS2", "IS3"), ("IS3", "R2"), ("IS2", "R1")],
        )
    }

    /// A chain of nodes: the first sends, the last receives, those between are routers.
    #[must_use]
    pub fn chain(names: &[&str]) -> Topology {
        let hosts: Vec<&str> = names.first().into_iter().chain(names.last()).copied().collect();
        let links: Vec<(&str, &str)> =
            names.iter().copied().zip(names.iter().copied().skip(1)).collect();
        Topology::tree(&hosts, &links)
    }

    /// Any set of links; `hosts` are the end systems (the sender first, then the receivers), all
    /// other nodes are routers.
    #[must_use]
    pub fn tree(hosts: &[&str], links: &[(&str, &str)]) -> Topology {
        let mut nodes: Vec<NodeSpec> = Vec::new();
        for name in links.iter().flat_map(|&(a, b)| [a, b]) {
            if !nodes.iter().any(|node| node.name == name) {
                let role = if hosts.contains(&name) { Role::Host } else { Role::Router };
                nodes.push(NodeSpec { name: name.to_owned(), role });
            }
        }
        let mut hosts = hosts.iter().map(|&name| name.to_owned());
        Topology {
            nodes,
            links: links
                .iter()
                .map(|&(a, b)| LinkSpec { a: a.to_owned(), b: b.to_owned() })
                .collect(),
            sender: hosts.next().unwrap_or_default(),
            receivers: hosts.collect(),
        }
    }

    /// The same network with another role for one node, such as [`Role::Plain`] for a router that
    /// knows nothing of RSVP.
    #[must_use]
    pub fn with_role(mut self, name: &str, role: Role) -> Topology {
        for node in self.nodes.iter_mut().filter(|node| node.name == name) {
            node.role = role;
        }
        self
    }

    /// Builds all of it, with unicast routes between all links.
    ///
    /// # Errors
    /// If the kernel refuses any part.
    pub fn build(&self) -> Result<Network, LabError> {
        let mut network = Network::new()?;
        for node in &self.nodes {
            network.add(&node.name, node.role)?;
        }
        for link in &self.links {
            network.link(&link.a, &link.b, LinkOptions::default())?;
        }
        network.auto_routes()?;
        Ok(network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figure_2_has_three_hosts_and_three_routers() {
        let figure = Topology::figure2();
        let count = |role| figure.nodes.iter().filter(|node| node.role == role).count();
        assert_eq!((count(Role::Host), count(Role::Router), figure.links.len()), (3, 3, 5));
        assert_eq!(
            (figure.sender.as_str(), figure.receivers),
            ("S", vec!["R1".into(), "R2".into()])
        );
    }

    #[test]
    fn a_chain_has_routers_only_between_its_ends() {
        let chain = Topology::chain(&["G", "D", "K"]).with_role("D", Role::Plain);
        let roles: Vec<Role> = chain.nodes.iter().map(|node| node.role).collect();
        assert_eq!(roles, [Role::Host, Role::Plain, Role::Host]);
        assert_eq!(chain.receivers, ["K"]);
    }
}
