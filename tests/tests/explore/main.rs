//! All states of small networks of real engines.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that finds what it did not expect is to fail"
)]

use lcm_tests::explore::library::{self, in_order};
use lcm_tests::explore::{Change, Limits, Scenario, explore, explore_tree};
use rsvp_wire::object::Style;

/// Most states of one scenario here; `--bin explore` goes further.
const STATES: usize = 20_000;

/// Explores all of a scenario, or fails with the shortest way to what is wrong.
fn all_is_well(scenario: &Scenario) {
    assert!(is_well(scenario, STATES), "{}: more than {STATES} states", scenario.name);
}

/// Explores as many states of a scenario; returns whether those were all.
fn is_well(scenario: &Scenario, states: usize) -> bool {
    let report = explore(scenario, Limits::states(states));
    println!("{}", report.line(scenario));
    if let Some(violation) = &report.violation {
        panic!("{}:\n{violation}", scenario.name);
    }
    assert!(report.at_rest > 0);
    report.complete
}

#[test]
fn a_reservation_over_two_routers() {
    all_is_well(&library::pair(0));
    is_well(&library::pair(1), 15_000);
}

#[test]
fn a_reservation_over_three_routers() {
    all_is_well(&in_order(library::line(0, false)));
}

#[test]
fn two_sessions_at_once() {
    all_is_well(&in_order(library::two_sessions(0)));
}

#[test]
fn tears_that_cross_anything() {
    all_is_well(&library::tears(0));
    all_is_well(&in_order(library::tears(0)));
}

#[test]
fn a_price_that_is_refused() {
    is_well(&in_order(library::refusal(0)), 10_000);
}

#[test]
fn shared_reservations_that_branch() {
    all_is_well(&in_order(library::branch(Style::SharedExplicit, 0)));
    all_is_well(&in_order(library::branch(Style::WildcardFilter, 0)));
}

#[test]
fn a_router_that_dies() {
    all_is_well(&in_order(library::crash(0)));
}

#[test]
fn routes_that_change() {
    all_is_well(&in_order(library::triangle(&[Change::Down(0)], 0)));
    is_well(&in_order(library::triangle(&[Change::Avoid(0), Change::Take(0)], 0)), 10_000);
}

/// Meeting states once loses nothing: the whole tree of ways shows nothing else.
#[test]
fn states_that_are_taken_for_the_same_are() {
    for (scenario, depth) in [(library::pair(1), 6), (library::tears(0), 7)] {
        let limits = Limits { states: usize::MAX, depth, outcomes: true };
        let (graph, tree) = (explore(&scenario, limits), explore_tree(&scenario, limits));
        println!("{}: {} ways, {} states", scenario.name, tree.states, graph.states);
        assert_eq!(graph.outcomes, tree.outcomes, "{}", scenario.name);
    }
}
