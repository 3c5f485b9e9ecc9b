//! RSVP over IPv6 on the real kernel: PATH in transit with Router Alert, without, and in fragments;
//! what a router does not take twice, and what passes when its daemon is dead. The figure over
//! IPv6 multicast is played by the demo (`figure2`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod chain;
mod transit;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[
        ("r034_unicast_over_ipv6_hop_by_hop", chain::hop_by_hop),
        ("path_without_router_alert_is_taken_in_transit", transit::without_alert),
        ("path_in_fragments_is_taken_in_transit", transit::in_fragments),
        ("what_one_node_sends_to_another_passes_those_between", transit::by_address),
        ("path_passes_a_router_whose_daemon_died", transit::daemon_died),
    ])
}
