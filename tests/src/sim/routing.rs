//! Where kernels send packets: shortest paths over the links that are up, and for each source of
//! a group the tree of the reverse paths (as PIM builds it).

use std::collections::VecDeque;

use super::topology::{Kind, LinkId, NodeId, Topology};

/// The unicast tables of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// `next[node][to]`: the link to take.
    next: Vec<Vec<Option<LinkId>>>,
}

impl Routing {
    /// Counts hops; of several shortest paths the one over the lowest link number is taken.
    pub(crate) fn new(topology: &Topology, up: &[bool]) -> Self {
        let count = topology.nodes.len();
        let mut links: Vec<Vec<LinkId>> = vec![Vec::new(); count];
        for (link, spec) in topology.links.iter().enumerate().filter(|(link, _)| up[*link]) {
            spec.ends.iter().for_each(|end| links[*end].push(link));
        }
        let mut next: Vec<Vec<Option<LinkId>>> = vec![vec![None; count]; count];
        let nodes = 0..count;
        let mut waiting = VecDeque::new();
        for to in nodes {
            waiting.push_back(to);
            while let Some(at) = waiting.pop_front() {
                // Hosts do not forward: nothing is reached through them.
                if at != to && topology.nodes[at].kind == Kind::Host {
                    continue;
                }
                for link in &links[at] {
                    let from = topology.links[*link].other(at);
                    if from != to && next[from][to].is_none() {
                        next[from][to] = Some(*link);
                        waiting.push_back(from);
                    }
                }
            }
        }
        Self { next }
    }

    /// The link by which `node` reaches another one.
    pub(crate) fn unicast(&self, node: NodeId, to: NodeId) -> Option<LinkId> {
        self.next[node][to]
    }

    /// The multicast forwarding entry of `node` for a source: the link that its data must come
    /// in on, and the links to which it is copied for these members.
    pub(crate) fn multicast(
        &self,
        topology: &Topology,
        node: NodeId,
        source: NodeId,
        members: impl Iterator<Item = NodeId>,
    ) -> Option<(LinkId, Vec<LinkId>)> {
        let incoming = self.unicast(node, source)?;
        let mut outgoing = Vec::new();
        for member in members.filter(|member| *member != source) {
            let mut at = member;
            while at != source && at != node {
                let Some(link) = self.unicast(at, source) else { break };
                at = topology.links[link].other(at);
                if at == node && !outgoing.contains(&link) {
                    outgoing.push(link);
                }
            }
        }
        outgoing.sort_unstable();
        Some((incoming, outgoing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_follow_the_paths_and_avoid_hosts() {
        let mut t = Topology::default();
        let [s, a, b, c, h] = [
            t.node("s", Kind::Host),
            t.node("a", Kind::Router),
            t.node("b", Kind::Router),
            t.node("c", Kind::Router),
            t.node("h", Kind::Host),
        ];
        let sa = t.link(s, a, (0, 0));
        let ab = t.link(a, b, (0, 0));
        let ah = t.link(a, h, (0, 0));
        let hc = t.link(h, c, (0, 0));
        let bc = t.link(b, c, (0, 0));
        let mut up = vec![true; 5];
        let routing = Routing::new(&t, &up);
        assert_eq!(routing.unicast(a, c), Some(ab), "not through the host");
        assert_eq!(routing.unicast(h, c), Some(hc));
        let members = [h, c, s];
        let entry = routing.multicast(&t, a, s, members.into_iter());
        assert_eq!(entry, Some((sa, vec![ab, ah])));
        assert_eq!(routing.multicast(&t, c, s, members.into_iter()), Some((bc, vec![])));
        up[ab] = false;
        let routing = Routing::new(&t, &up);
        assert_eq!(routing.unicast(a, c), None);
        assert_eq!(routing.multicast(&t, a, s, members.into_iter()), Some((sa, vec![ah])));
    }
}
