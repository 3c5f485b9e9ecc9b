//! Daemons that keep books on a real disk: killed and started again, and with a disk that for a
//! while is full, can be read only, fails or is slow.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod accounts;
mod disk;
mod outage;
mod periods;
mod refused;
mod restart;
mod rights;
#[path = "../support/mod.rs"]
mod support;
#[cfg(target_arch = "x86_64")]
mod tamper;
mod thousand;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use lcm_daemon::ledger::verify::{Expected, Verified, verify};
use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[
        ("crash_r003_r006_daemons_killed_in_mid_session_bill_what_was_proved", restart::killed),
        ("r003_books_go_on_where_they_stopped", restart::stopped),
        ("periods_are_closed_put_away_and_gone_on_with", periods::closed_and_put_away),
        ("r104_what_ended_is_put_away_when_its_hold_has_passed", periods::held),
        ("r009_what_was_paid_for_a_dead_router_is_given_back_in_both_books", outage::given_back),
        ("r047_nothing_new_is_agreed_to_while_the_disk_is_full", disk::full),
        ("r047_nothing_new_is_agreed_to_while_the_disk_can_be_read_only", disk::read_only),
        #[cfg(target_arch = "x86_64")]
        ("r047_nothing_new_is_agreed_to_while_the_disk_is_slow", disk::slow),
        #[cfg(target_arch = "x86_64")]
        ("r047_nothing_new_is_agreed_to_while_syncs_fail", disk::failing),
        ("refusals_one_by_one_say_what_to_do", refused::one_by_one),
        ("a_second_user_may_do_what_its_groups_may", rights::rights),
        ("r023_prepaid_to_the_last_millisecond_and_through_a_kill", accounts::prepaid),
        (
            "r023_a_thousand_sessions_on_one_account_are_cut_off_at_its_millisecond",
            thousand::to_zero,
        ),
        ("a_second_daemon_on_a_ledger_is_refused", disk::second_daemon),
        ("a_ledger_of_a_newer_program_is_refused_and_left_alone", disk::newer),
    ])
}

/// The books of a node, sound.
fn sound(books: &Path, node: &str) -> Result<Verified, Box<dyn Error>> {
    let verified = verify(&books.join(node).join("ledger"), Expected::default());
    let verified = verified.map_err(|unsound| format!("{node}: {unsound}"))?;
    assert_eq!(verified.replay.sum(), Some(0), "{node}");
    Ok(verified)
}
