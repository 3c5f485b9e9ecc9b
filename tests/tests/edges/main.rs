//! The edges of a network on the real kernel: who reserves, and for whom.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod identities;
mod proxies;
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
    ])
}
