//! Routers on the real kernel: unicast, plain routers between, a router killed, links that go,
//! tears, and the operator's programs.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod blockade;
mod border;
mod chain;
mod choice;
mod conference;
mod curves;
mod ecmp;
mod ignorant;
mod killed;
mod operator;
mod plain;
mod random;
mod reduced;
mod rerouted;
mod restarted;
#[path = "../support/mod.rs"]
mod support;
mod tears;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[
        ("r034_unicast_r030_r039_r041_r095_chain_hop_by_hop", chain::hop_by_hop),
        ("r038_a_currency_border_in_the_figure", border::in_the_figure),
        ("r048_two_providers_compete_for_a_multihomed_receiver", choice::two_providers),
        ("resvconf_comes_back_to_the_receiver", chain::confirmation),
        ("r037_r107_unicast_over_a_plain_router", plain::unicast),
        ("r037_r107_multicast_over_a_plain_router_that_branches", plain::multicast),
        ("r037_unicast_over_a_router_that_does_not_charge", ignorant::unicast),
        ("r037_multicast_over_a_router_that_does_not_charge", ignorant::multicast),
        ("r006_a_killed_router_charges_nobody_twice_and_comes_back", killed::killed_and_restarted),
        ("r047_a_silent_payer_is_billed_to_the_end_of_its_approval", killed::silent_payer),
        ("a_router_stopped_in_order_comes_back", restarted::router_stopped),
        ("hosts_stopped_in_order_end_what_is_theirs", restarted::hosts_stopped),
        ("a_chain_that_was_killed_comes_back_and_charges_nobody_twice", restarted::chain_killed),
        ("r070_a_reservation_follows_the_route", rerouted::link_down_and_up),
        ("a_replaced_route_is_followed_within_seconds", rerouted::route_replaced),
        ("a_moved_multicast_tree_is_followed_within_seconds", rerouted::tree_moved),
        ("path_takes_the_one_of_equal_routes_that_data_takes", ecmp::in_transit),
        ("path_of_a_local_sender_takes_the_route_of_its_data", ecmp::at_the_sender),
        ("conference_of_three_senders_with_shared_explicit_style", conference::shared_explicit),
        ("conference_of_three_senders_with_wildcard_style", conference::wildcard),
        ("a_refused_reservation_leaves_a_smaller_one_in_place", blockade::small_one_stays),
        ("resvtear_and_pathtear_empty_all_nodes", tears::both),
        ("r046_r110_declined_until_the_price_falls", operator::declined),
        ("r006_whatever_changes_nobody_pays_what_it_did_not_approve", random::changes),
        ("r114_a_budget_steps_to_the_rate_that_fits_and_down_when_prices_rise", curves::budget),
        ("r004_lcmctl_quotes_rate_and_duration_before_anything_is_reserved", operator::quoted),
        ("lcmctl_sends_receives_shows_prices_and_closes", operator::programs),
        ("a_thousand_sessions_at_rest_are_refreshed_by_number", reduced::a_thousand_sessions),
        ("a_router_that_drains_says_when_it_is_empty", operator::drained),
        ("lcmctl_says_what_is_wrong", operator::refusals),
        ("metrics_count_messages_and_refusals", operator::metrics),
        ("a_second_daemon_on_a_socket_is_refused", operator::second_daemon),
    ])
}
