//! Bad input over the real socket: counted under its reason, answered as RFC 2205 and RFC 2750
//! say, the established session untouched, the daemon alive.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod attack;
mod keys;
mod path;
mod resv;
#[path = "../support/mod.rs"]
mod support;
mod unknown;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[
        ("r024_r068_bad_path_messages", path::bad_messages),
        ("r024_every_part_of_a_path", path::every_prefix),
        ("r024_bad_resv_messages", resv::bad_messages),
        ("keys_roll_over_between_daemons_without_a_dropped_message", keys::rollover),
        ("r022_r088_forged_replayed_and_wrongly_keyed_messages_are_refused", keys::refused),
        ("unknown_classes_are_refused_ignored_or_forwarded", unknown::three_kinds),
    ])
}
