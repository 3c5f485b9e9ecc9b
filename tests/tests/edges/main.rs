//! The edges of a network on the real kernel: who reserves.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod identities;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[(
        "r021_r088_lcmctl_reserves_with_an_identity_and_not_with_another_s",
        identities::reserved,
    )])
}
