//! Every small conference, completely: all trees of up to four routers with at most two receivers
//! a router, every style, every single join and leave, by every strategy of a split.
//!
//! Two senders: one behind router 1, the root of the tree as it is written down, the other behind
//! each router in turn, so that the tree is also walked with every other root, and a router has
//! different previous hops for the two. Prices differ by link and direction.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "common/conference.rs"]
mod conference;
#[path = "common/storm.rs"]
mod storm;

use charging_model::flow::Limits;
use charging_model::tree::{Link, Tree};
use charging_model::*;
use common::sharing::Sharing;
use common::{Net, SENDER, Will, link};
use conference::Conference;

const FRACTIONS: [u32; 4] = [0, 333_333, 500_000, 1_000_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Each sender by itself.
    Ff,
    /// Receivers in turn select both senders, the first, the second.
    Se,
    /// All receivers take both senders.
    Wf,
}

/// How far a case goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    /// All receivers join in turn, and leave in turn; the second sender behind one of the routers.
    InTurn,
    /// From every membership every single join, and every single leave.
    Everywhere,
}

/// m(k) of routers 2.. as `shape` numbers it, and how many receivers each router has.
struct Shape {
    parents: Vec<usize>,
    receivers: Vec<usize>,
}

/// All trees of `routers` routers by the previous hops of the routers, with 0 to 2 receivers each,
/// at least one in all.
fn shapes(routers: usize) -> impl Iterator<Item = Shape> {
    let trees = (1..routers).product::<usize>().max(1);
    (0..trees).flat_map(move |tree| {
        (1..3_usize.pow(routers as u32)).map(move |population| {
            let (mut shape, mut rest) = (tree, population);
            let mut parents = vec![SENDER, SENDER];
            for node in 2..=routers {
                parents.push(1 + shape % (node - 1));
                shape /= node - 1;
            }
            let mut receivers = vec![0];
            for _ in 0..routers {
                receivers.push(rest % 3);
                rest /= 3;
            }
            Shape { parents, receivers }
        })
    })
}

impl Shape {
    fn routers(&self) -> usize {
        self.parents.len() - 1
    }

    /// Whether a router other than `second` leads nowhere.
    fn dead_end(&self, second: usize) -> bool {
        (1..=self.routers()).any(|router| {
            router != second && self.receivers[router] == 0 && !self.parents[2..].contains(&router)
        })
    }

    /// The tree of a sender behind router `root`.
    fn rooted_at(&self, root: usize, ppm: u32) -> Tree {
        let mut parents = self.parents.clone();
        let (mut at, mut below) = (root, SENDER);
        while at != SENDER {
            (below, at) = (at, std::mem::replace(&mut parents[at], below));
        }
        let priced = |parent: usize, node: usize, receives| Link {
            receives,
            ..link(parent, (7 * node + 5 * root + 3 * parent) as u64 % 60, 90, false)
        };
        let mut links: Vec<_> =
            (1..=self.routers()).map(|node| priced(parents[node], node, false)).collect();
        links[root - 1].local = Rate::ZERO;
        for router in 1..=self.routers() {
            for _ in 0..self.receivers[router] {
                links.push(priced(router, links.len() + 1, true));
            }
        }
        Tree { links, fraction: Ppm::new(ppm).unwrap(), limits: Limits::default() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    conferences: u64,
    joins_and_leaves: u64,
}

struct Case {
    conference: Conference<Net>,
    style: Style,
    steps: u64,
}

impl Case {
    fn senders(&self, index: usize) -> &'static [usize] {
        match (self.style, index % 3) {
            (Style::Ff | Style::Wf, _) | (Style::Se, 0) => &[0, 1],
            (Style::Se, 1) => &[0],
            (Style::Se, _) => &[1],
        }
    }

    fn join(&mut self, index: usize, node: usize) {
        for sender in self.senders(index) {
            self.conference.join(*sender, node, Will::Any);
        }
        self.steps += 1;
        self.conference.assert_agrees();
    }

    fn leave(&mut self, index: usize, node: usize) {
        for sender in self.senders(index) {
            self.conference.leave(*sender, node);
        }
        self.steps += 1;
        self.conference.assert_agrees();
    }

    fn in_turn(&mut self) {
        let all: Vec<_> = self.conference.receivers().into_iter().enumerate().collect();
        all.iter().for_each(|(i, node)| self.join(*i, *node));
        all.iter().for_each(|(i, node)| self.leave(*i, *node));
    }

    fn play(&mut self, walk: Walk) {
        match walk {
            Walk::InTurn => self.in_turn(),
            Walk::Everywhere => {
                let members = 1 << self.conference.receivers().len();
                self.everywhere(0, &mut vec![false; members]);
            }
        }
    }

    /// With `members` in place: each of the others joins, all that is beyond is seen, it leaves.
    fn everywhere(&mut self, members: usize, seen: &mut [bool]) {
        seen[members] = true;
        for (i, node) in self.conference.receivers().into_iter().enumerate() {
            let more = members | 1 << i;
            if more == members {
                continue;
            }
            self.join(i, node);
            if !seen[more] {
                self.everywhere(more, seen);
            }
            self.leave(i, node);
        }
    }
}

/// Behind which routers the second sender stands in turn. By fixed filter it is nothing to the
/// first, and one place is enough.
fn places(shape: &Shape, number: usize, style: Style, walk: Walk) -> Vec<usize> {
    let all: Vec<_> = (1..=shape.routers()).filter(|second| !shape.dead_end(*second)).collect();
    match style {
        _ if all.is_empty() => all,
        Style::Se | Style::Wf if walk != Walk::InTurn => all,
        _ => vec![all[number % all.len()]],
    }
}

/// By which strategies the nodes of a conference share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The equal split.
    Equal,
    /// Each of the others in turn, as the conferences come: so each meets all shapes in some style.
    Others,
    /// All of them, one after the other.
    All,
}

impl By {
    fn of(self, number: u64) -> Vec<Sharing> {
        use Sharing::{Equal, Incremental, Outside, Quantity, Receivers, Weights};
        let others = [Receivers, Quantity, Incremental, Weights, Outside];
        match self {
            Self::Equal => vec![Equal],
            Self::Others => vec![others[number as usize % others.len()]],
            Self::All => [&[Equal], others.as_slice()].concat(),
        }
    }
}

/// Plays every conference of `routers` routers.
fn play(routers: usize, walk: Walk, by: By) -> Count {
    let mut count = Count::default();
    for (number, shape) in shapes(routers).enumerate() {
        for style in [Style::Ff, Style::Se, Style::Wf] {
            for second in places(&shape, number, style, walk) {
                for (index, ppm) in FRACTIONS.iter().enumerate() {
                    let other = FRACTIONS[(index + 1) % FRACTIONS.len()];
                    let trees = vec![shape.rooted_at(1, *ppm), shape.rooted_at(second, other)];
                    for sharing in by.of(count.conferences) {
                        let net = |tree: &Tree| Net::shared(tree, FlowConfig::default(), sharing);
                        let shares = style != Style::Ff;
                        let conference = Conference::new(trees.clone(), shares, net);
                        let mut case = Case { conference, style, steps: 0 };
                        case.play(walk);
                        count.conferences += 1;
                        count.joins_and_leaves += case.steps;
                    }
                }
            }
        }
    }
    count
}

/// Plays all conferences of these numbers of routers, which are as many as expected.
fn play_all((walk, by): (Walk, By), expected: &[(usize, Count)]) {
    let played: Vec<_> = expected.iter().map(|(routers, _)| play(*routers, walk, by)).collect();
    let expected: Vec<_> = expected.iter().map(|(_, count)| *count).collect();
    assert_eq!(played, expected);
}

const fn count(conferences: u64, joins_and_leaves: u64) -> Count {
    Count { conferences, joins_and_leaves }
}

#[test]
fn r060_r061_every_conference_of_four_routers() {
    play_all((Walk::InTurn, By::Equal), &[(4, count(5_136, 43_776))]);
}

#[test]
fn r020_r060_every_conference_of_four_routers_by_another_strategy_each() {
    play_all((Walk::InTurn, By::Others), &[(4, count(5_136, 43_776))]);
}

#[test]
fn r060_r061_every_join_and_leave_of_every_conference_of_up_to_three_routers() {
    let small = [(1, count(6 * 24, 6 * 120)), (2, count(6 * 144, 6 * 2720))];
    play_all((Walk::Everywhere, By::All), &small);
    play_all((Walk::InTurn, By::All), &[(3, count(6 * 600, 6 * 3_816))]);
}

/// Minutes in an optimised build: `cargo test --release -p charging-model --test exhaustive --
/// --ignored`.
#[test]
#[ignore = "plays every membership of every conference of three and four routers"]
fn r060_r061_every_membership_of_every_conference_of_up_to_four_routers() {
    for by in [By::Equal, By::Others] {
        let all = [(3, count(1_080, 75_640)), (4, count(10_464, 2_551_920))];
        play_all((Walk::Everywhere, by), &all);
    }
}
