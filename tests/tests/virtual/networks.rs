//! Random networks, disturbed, against the reference of the simulator.

use lcm_tests::simulate::{Plan, play, series};

#[test]
fn a_thousand_networks_come_to_what_the_reference_says() {
    let (totals, reports) = series(Plan { seed: 1, nodes: 10, minutes: 10 }, 1_000);
    println!("{totals:?}");
    assert!(reports.is_empty(), "{} of 1000 failed:\n{}", reports.len(), reports.join("\n"));
    assert!(totals.compared > 100_000 && totals.messages > 100_000, "{totals:?}");
}

#[test]
fn a_plan_is_played_the_same_way_twice() {
    let digest = |seed| play(Plan { seed, nodes: 8, minutes: 10 }).0.map(|totals| totals.digest);
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4));
}

#[test]
fn r023_accounts_in_random_networks_are_spent_to_zero_and_nobody_is_cut_off_before() {
    let (totals, reports) = series(Plan { seed: 6_350, nodes: 9, minutes: 10 }, 300);
    assert!(reports.is_empty(), "{} of 300 failed:\n{}", reports.len(), reports.join("\n"));
    let count = |what| totals.faults.get(what).copied().unwrap_or(0);
    for what in ["accounts credited", "accounts used up", "accounts read after a start"] {
        assert!(count(what) > 20, "{what}: {totals:?}");
    }
    assert!(count("accounts closed") > 0, "{totals:?}");
}

/// A joiner whose account was used up was told the price of those who paid beside it, and waited for
/// that for ever, however much was paid in.
#[test]
fn r023_who_was_refused_for_its_account_beside_others_comes_back_when_there_is_money() {
    let (result, _) = play(Plan { seed: 202_846, nodes: 8, minutes: 10 });
    assert!(result.is_ok(), "{result:?}");
}
