//! The scenarios that are explored.

use rsvp_wire::object::{Session, Style};

use super::scenario::{Budget, Change, Scenario, Step};
use crate::sim::{Family, Kind, Topology, group};

fn chain(names: &[&str], prices: &[u64]) -> Topology {
    let mut topology = Topology::default();
    let nodes: Vec<_> = names.iter().map(|name| topology.node(name, Kind::Router)).collect();
    for (pair, price) in nodes.windows(2).zip(prices) {
        topology.link(pair[0], pair[1], (*price, *price));
    }
    topology
}

/// The same where messages keep their order.
pub fn in_order(mut scenario: Scenario) -> Scenario {
    scenario.budget.in_order = true;
    scenario
}

fn to(topology: &Topology, node: usize, port: u16) -> Session {
    Session::new(topology.address(Family::V4, node), 17, port)
}

fn comes_and_goes(node: usize, open: Step) -> Vec<(usize, Step)> {
    vec![(node, open), (node, Step::Close(0))]
}

fn unicast(name: &'static str, topology: Topology, budget: Budget) -> Scenario {
    let last = topology.nodes.len() - 1;
    let session = to(&topology, last, 5_000);
    Scenario {
        name,
        scripts: vec![
            comes_and_goes(0, Step::Send(session)),
            comes_and_goes(last, Step::receive(session, Style::FixedFilter, None)),
        ],
        topology,
        prelude: Vec::new(),
        members: Vec::new(),
        changes: Vec::new(),
        budget,
    }
}

/// Two routers, one FF reservation.
pub fn pair(faults: u8) -> Scenario {
    let topology = chain(&["A", "B"], &[5]);
    unicast(
        "unicast FF over 2 routers",
        topology,
        Budget { faults, late: true, ..Budget::default() },
    )
}

/// Three routers, one FF reservation.
pub fn line(faults: u8, late: bool) -> Scenario {
    let topology = chain(&["A", "B", "C"], &[5, 7]);
    unicast("unicast FF over 3 routers", topology, Budget { faults, late, ..Budget::default() })
}

/// The ends of a reservation over three routers: PATHTEAR and RESVTEAR may cross anything.
pub fn tears(faults: u8) -> Scenario {
    let topology = chain(&["A", "B", "C"], &[5, 7]);
    let budget = Budget { faults, late: true, ..Budget::default() };
    let mut scenario = unicast("tears over 3 routers", topology, budget);
    scenario.prelude = vec![1, 1];
    scenario
}

/// The router in the middle dies and comes back.
pub fn crash(faults: u8) -> Scenario {
    let topology = chain(&["A", "B", "C"], &[5, 7]);
    let budget = Budget { faults, crash: Some(1), ..Budget::default() };
    let mut scenario = unicast("crash and restart in the middle", topology, budget);
    scenario.prelude = vec![1, 1];
    scenario.scripts.iter_mut().for_each(|script| script.truncate(1));
    scenario
}

/// A group with receivers at the second and the third router, which divide the first link. The
/// second one has joined already, the third one joins and leaves.
pub fn branch(style: Style, faults: u8) -> Scenario {
    let topology = chain(&["A", "B", "C"], &[6, 7]);
    let session = group(Family::V4, 1);
    let name = match style {
        Style::WildcardFilter => "multicast WF with two receivers",
        Style::SharedExplicit => "multicast SE with two receivers",
        _ => "multicast FF with two receivers",
    };
    Scenario {
        name,
        scripts: vec![
            vec![(0, Step::Send(session))],
            vec![(1, Step::receive(session, style, None))],
            comes_and_goes(2, Step::receive(session, style, None)),
        ],
        topology,
        prelude: vec![1, 1, 0],
        members: vec![1, 2],
        changes: Vec::new(),
        budget: Budget { faults, ..Budget::default() },
    }
}

/// Two sessions over the same two routers: one ends while the other one begins and ends.
pub fn two_sessions(faults: u8) -> Scenario {
    let topology = chain(&["A", "B"], &[5]);
    let (first, second) = (to(&topology, 1, 5_000), to(&topology, 1, 5_001));
    Scenario {
        name: "two sessions over 2 routers",
        scripts: vec![
            comes_and_goes(0, Step::Send(first)),
            vec![(1, Step::receive(first, Style::FixedFilter, None))],
            vec![(0, Step::Send(second))],
            comes_and_goes(1, Step::receive(second, Style::FixedFilter, None)),
        ],
        topology,
        prelude: vec![1, 1, 1, 0],
        members: Vec::new(),
        changes: Vec::new(),
        budget: Budget { faults, ..Budget::default() },
    }
}

/// The price of the second link rises above what the receiver pays, and falls again,
/// while it joins.
pub fn refusal(faults: u8) -> Scenario {
    let topology = chain(&["A", "B", "C"], &[5, 7]);
    let session = to(&topology, 2, 5_000);
    Scenario {
        name: "price above the receiver's maximum",
        scripts: vec![
            vec![
                (0, Step::Send(session)),
                (2, Step::receive(session, Style::FixedFilter, Some(20))),
            ],
            vec![(1, Step::Price(1, 100)), (1, Step::Price(1, 8))],
        ],
        topology,
        prelude: vec![1, 0],
        members: Vec::new(),
        changes: Vec::new(),
        budget: Budget { faults, ..Budget::default() },
    }
}

/// A triangle whose direct side is lost, or merely no longer taken, and comes back.
pub fn triangle(changes: &[Change], faults: u8) -> Scenario {
    let mut topology = Topology::default();
    let nodes = ["A", "B", "C"].map(|name| topology.node(name, Kind::Router));
    topology.link(nodes[0], nodes[2], (9, 9));
    topology.link(nodes[0], nodes[1], (5, 5));
    topology.link(nodes[1], nodes[2], (7, 7));
    let session = to(&topology, 2, 5_000);
    Scenario {
        name: match changes[0] {
            Change::Down(_) => "triangle that loses its direct link",
            _ => "triangle whose direct link is avoided",
        },
        scripts: vec![vec![
            (2, Step::receive(session, Style::FixedFilter, None)),
            (0, Step::Send(session)),
        ]],
        topology,
        prelude: vec![2],
        members: Vec::new(),
        changes: changes.to_vec(),
        budget: Budget { faults, ..Budget::default() },
    }
}
