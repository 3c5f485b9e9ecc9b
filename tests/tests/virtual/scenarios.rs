//! Each scenario of the simulator, short, from seeds (row 116).

use lcm_tests::simulate::{Scenario, stage};

use crate::support::seeds;

#[test]
fn r116_a_price_war_ends_where_the_prices_say() {
    for seed in seeds(3) {
        let figures = stage(Scenario::PriceWar, seed);
        assert_eq!((figures.alarms, figures.outages), (0, 0), "{figures}");
        assert!(figures.messages.0 > figures.messages.1, "{figures}");
    }
}

#[test]
fn r116_mass_joins_and_leaves_cost_a_bounded_number_of_messages() {
    for seed in seeds(3) {
        let figures = stage(Scenario::MassJoinLeave, seed);
        assert_eq!(figures.alarms, 0, "{figures}");
        // A join or leave is news on the way to the root and, in its share of the price, to all.
        let (messages, at_rest) = figures.messages;
        let nodes = (figures.size.0 + figures.size.1) as u64;
        assert!(messages < at_rest + figures.disturbances * 8 * nodes, "{figures}");
    }
}

#[test]
fn r116_a_lying_neighbour_is_named_and_costs_nobody_anything() {
    for seed in seeds(3) {
        let figures = stage(Scenario::LyingNeighbour, seed);
        assert_eq!((figures.alarms, figures.outages), (1, 0), "{figures}");
    }
}

#[test]
fn r116_a_burst_of_loss_is_overcome_and_the_same_from_one_seed() {
    for seed in seeds(3) {
        let figures = stage(Scenario::LossBurst, seed);
        assert_eq!(figures.alarms, 0, "{figures}");
        assert_eq!(figures, stage(Scenario::LossBurst, seed));
    }
}
