//! The books that the demo leaves, and what they come to.

use std::collections::BTreeMap;
use std::path::Path;

use lcm_daemon::ledger::record::Payment;
use lcm_daemon::ledger::replay::Posting;
use lcm_daemon::ledger::verify::{Expected, Walk};
use lcm_tests::harness::TestResult;

use crate::demo::{findings, scratch};
use crate::support::golden::{A, B, C};
use crate::support::programs::{lcmctl, text};

/// For how long the demo meters each phase at least, less what its own reading takes.
const PLATEAU_MS: u64 = 900;

pub(crate) fn kept() -> TestResult {
    let dir = scratch("books")?;
    let findings = findings(&["--keep", dir.to_str().ok_or("a path that is not UTF-8")?])?;
    for node in ["S", "IS1", "IS2", "IS3", "R1", "R2"] {
        let books = dir.join(node).join("ledger");
        let output = lcmctl(&["ledger", "verify"]).arg(&books).output()?;
        let said = text(&output.stdout);
        assert!(output.status.success(), "{node}: {said}{}", text(&output.stderr));
        let last = said.lines().last().unwrap_or_default();
        assert!(last.ends_with(" accounts, sum 0") && last.contains(" records, "), "{last}");

        let plateaus = plateaus(&postings(&books)?);
        let mut place = 0;
        for phase in [A, C, B] {
            // R1 takes no part while it is away.
            let rate = findings[phase]["balances"][node].as_i64().unwrap_or(0);
            // Who earns the same in two phases does so without a break.
            let found = plateaus[place..].iter().position(|plateau| *plateau == rate.into());
            let found = found.unwrap_or_else(|| {
                panic!("{node} earns {rate} in {phase}, but by its books {plateaus:?}")
            });
            place += found;
        }
    }
    Ok(())
}

fn postings(books: &Path) -> Result<Vec<Posting>, Box<dyn std::error::Error>> {
    let mut walk = Walk::new(books, Expected::default())?;
    let mut all = Vec::new();
    while let Some((_, _, applied)) = walk.step()? {
        all.extend(applied);
    }
    assert_eq!(walk.replay().open().count(), 0, "the daemon stopped in order");
    let own: i128 = all.iter().map(earned).sum();
    let balance = walk.replay().accounts().filter_map(|(account, balance)| {
        matches!(account, lcm_daemon::ledger::replay::Account::Own(_)).then_some(balance)
    });
    assert_eq!(balance.sum::<i128>(), own);
    Ok(all)
}

/// 1 for what is received, -1 for what is paid.
fn sign(posting: &Posting) -> i128 {
    match posting.meter.payment {
        Payment::ReceiverIn | Payment::SenderIn => 1,
        Payment::SenderOut | Payment::ReceiverOut => -1,
    }
}

fn earned(posting: &Posting) -> i128 {
    sign(posting) * i128::try_from(posting.amount).expect("fits")
}

/// What a node earned per second, where that stood still for long enough.
fn plateaus(postings: &[Posting]) -> Vec<i128> {
    let mut turns: BTreeMap<u64, i128> = BTreeMap::new();
    for posting in postings {
        let rate = sign(posting) * i128::from(posting.rate);
        *turns.entry(posting.from.at_ms).or_default() += rate;
        *turns.entry(posting.to.at_ms).or_default() -= rate;
    }
    turns.retain(|_, change| *change != 0);
    let mut rate = 0;
    let mut plateaus = Vec::new();
    let ends = turns.keys().skip(1).copied().chain([u64::MAX]);
    for ((from, change), to) in turns.iter().zip(ends) {
        rate += change;
        if to - from >= PLATEAU_MS {
            plateaus.push(rate);
        }
    }
    plateaus
}
