//! The edges of a network on the real kernel: who reserves, for whom, and links of many.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod identities;
mod lan;
mod proxies;
mod signed;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[
        ("r021_r088_lcmctl_reserves_with_an_identity_and_not_with_another_s", identities::reserved),
        ("r110_a_router_reserves_for_a_receiver_without_rsvp", proxies::of_a_receiver),
        ("a_router_reserves_for_a_receiver_and_sends_it_nothing", proxies::silently),
        ("a_receiver_with_rsvp_takes_over_from_its_proxy", proxies::taken_over),
        ("a_router_sends_path_for_a_sender_without_rsvp", proxies::of_a_sender),
        ("routers_speak_for_both_ends", proxies::of_both),
        (
            "r037_r088_charging_routers_believe_each_other_across_one_that_does_not_charge",
            signed::across_an_ignorant_hop,
        ),
        ("r034_routers_and_hosts_on_one_link_share_its_price", lan::shared_by_all),
        ("r044_a_router_on_a_link_of_many_that_dies_is_charged_no_more", lan::one_dies),
    ])
}
