//! The lab itself: what it builds is there, works, and is gone afterwards.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that finds what it did not expect is to fail"
)]

mod ending;
mod networks;
mod packets;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os(ending::ROLE_VARIABLE) {
        return ending::play(&role);
    }
    harness::main(&[
        ("figure2_is_built_in_a_second", networks::figure2_is_built_in_a_second),
        ("every_pair_of_nodes_can_talk", networks::every_pair_of_nodes_can_talk),
        ("a_link_that_is_down_carries_nothing", networks::a_link_that_is_down_carries_nothing),
        ("routes_can_be_moved_and_deleted", networks::routes_can_be_moved_and_deleted),
        ("parallel_links_have_their_own_names", networks::parallel_links_have_their_own_names),
        ("a_new_network_is_at_rest", networks::a_new_network_is_at_rest),
        ("what_is_wrong_is_named", networks::what_is_wrong_is_named),
        ("a_panic_in_a_node_is_an_error", networks::a_panic_in_a_node_is_an_error),
        ("captures_follow_a_packet_hop_by_hop", packets::captures_follow_a_packet_hop_by_hop),
        ("captures_see_ipv6_behind_options", packets::captures_see_ipv6_behind_options),
        ("a_stopped_capture_has_lost_nothing", packets::a_stopped_capture_has_lost_nothing),
        ("multicast_reaches_the_chosen_receivers", packets::multicast_reaches_the_chosen_receivers),
        ("a_dropped_network_leaves_no_namespace", ending::a_dropped_network_leaves_no_namespace),
        ("a_dead_process_is_told_with_its_log", ending::a_dead_process_is_told_with_its_log),
        ("a_process_can_be_restarted", ending::a_process_can_be_restarted),
        ("children_die_with_a_killed_lab", ending::children_die_with_a_killed_lab),
        ("an_ordinary_user_can_enter", ending::an_ordinary_user_can_enter),
    ])
}
