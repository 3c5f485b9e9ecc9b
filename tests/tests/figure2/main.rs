//! The paper's Figure 2 on the real kernel, hop by hop, and `lcmctl demo figure2` as a program.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod books;
mod demo;
mod detail;
mod invariants;
mod leftovers;
mod minute;
mod multicast;
mod notes;
mod pcap;
#[path = "../support/mod.rs"]
mod support;
mod traced;

use std::process::ExitCode;

use lcm_tests::harness;

fn main() -> ExitCode {
    harness::main(&[
        (
            "r034_multicast_r016_mixed_payment_r053_r054_r055_r098_r099_r100_figure_hop_by_hop",
            multicast::figure_hop_by_hop,
        ),
        ("r097_initial_dcpe_is_all_zeros", multicast::initial_dcpe),
        ("r059_r096_sender_and_receivers_see_the_totals", multicast::ends_see_the_totals),
        ("r016_r041_demo_prints_the_golden_numbers_and_keeps_captures", demo::golden),
        ("r016_r041_demo_over_ipv6_prints_the_golden_numbers", demo::over_ipv6),
        ("r040_r071_demo_with_a_price_of_41", demo::price_of_41),
        ("r015_demo_where_receivers_pay_all", demo::receivers_pay),
        ("r014_demo_where_the_sender_pays_all", demo::sender_pays),
        ("r017_demo_with_a_third_of_a_million", demo::a_third),
        ("r055_demo_with_odd_prices", demo::odd_prices),
        ("r055_demo_with_huge_prices", demo::huge_prices),
        ("r003_demo_keeps_books_that_come_to_what_it_prints", books::kept),
        ("r003_r010_r011_a_minute_of_the_demo_ends_in_statements_that_add_up", minute::billed),
        ("r106_r111_lcmctl_traces_the_figure_with_its_numbers", traced::through_the_figure),
        ("r012_r013_receivers_that_ask_are_told_where_charges_arise", detail::told_to_receivers),
        ("r105_lcmctl_compares_the_notes_of_the_figure", notes::compared),
        ("demo_refuses_what_makes_no_sense", demo::refusals),
        ("demo_tells_its_story", demo::story),
        ("demo_leaves_nothing_after_success", leftovers::after_success),
        ("demo_leaves_nothing_after_ctrl_c", leftovers::after_interrupt),
        ("demo_leaves_nothing_after_sigkill", leftovers::after_kill),
        ("demo_runs_for_an_ordinary_user", leftovers::ordinary_user),
    ])
}
