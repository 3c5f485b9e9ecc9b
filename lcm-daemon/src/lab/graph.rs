//! Shortest paths over the links of a network, by numbers only.

use std::collections::VecDeque;

/// How a node reaches another: over which link, and from which node that link comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Number of the link.
    pub link: usize,
    /// Number of the node at its nearer end.
    pub from: usize,
}

/// A tree of shortest paths: for every node the last hop of the path from the root.
///
/// `None` for the root itself and for what cannot be reached. Among paths of equal length the one
/// over the links with the lowest numbers is taken, so that both directions agree in a tree and the
/// result depends on nothing else.
pub(crate) fn shortest_paths(
    nodes: usize,
    links: &[(usize, usize)],
    root: usize,
) -> Vec<Option<Hop>> {
    let mut neighbours: Vec<Vec<(usize, usize)>> = vec![Vec::new(); nodes];
    for (link, &(a, b)) in links.iter().enumerate() {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(list) = neighbours.get_mut(from) {
                list.push((link, to));
            }
        }
    }
    let mut hops: Vec<Option<Hop>> = vec![None; nodes];
    let mut queue = VecDeque::from([root]);
    while let Some(from) = queue.pop_front() {
        for &(link, to) in neighbours.get(from).map_or(&[][..], Vec::as_slice) {
            match hops.get_mut(to) {
                Some(hop) if hop.is_none() && to != root => {
                    *hop = Some(Hop { link, from });
                    queue.push_back(to);
                }
                _ => {}
            }
        }
    }
    hops
}

/// The path from the root to `target`, as pairs of a hop and the node that it enters; empty for the
/// root, `None` for what cannot be reached.
pub(crate) fn path_to(
    hops: &[Option<Hop>],
    root: usize,
    target: usize,
) -> Option<Vec<(Hop, usize)>> {
    let mut path = Vec::new();
    let mut node = target;
    while node != root {
        let hop = hops.get(node).copied().flatten()?;
        path.push((hop, node));
        node = hop.from;
    }
    path.reverse();
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    // S0 - 1 - 2 - {R3, 4 - R5}, and node 6 alone.
    const FIGURE: [(usize, usize); 5] = [(0, 1), (1, 2), (2, 3), (2, 4), (4, 5)];

    #[test]
    fn the_path_through_a_tree() {
        let hops = shortest_paths(7, &FIGURE, 0);
        let links: Vec<usize> =
            path_to(&hops, 0, 5).unwrap().iter().map(|(hop, _)| hop.link).collect();
        assert_eq!(links, [0, 1, 3, 4]);
        assert_eq!(path_to(&hops, 0, 0), Some(Vec::new()));
        assert_eq!(path_to(&hops, 0, 6), None);
    }

    #[test]
    fn a_ring_takes_the_shorter_way() {
        let ring = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)];
        let hops = shortest_paths(5, &ring, 0);
        assert_eq!(hops[3], Some(Hop { link: 3, from: 4 }));
        assert_eq!(hops[2], Some(Hop { link: 1, from: 1 }));
    }
}
