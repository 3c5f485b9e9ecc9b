//! The books that the demo leaves, and what they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lcm_daemon::billing::{Query, gather, total};
use lcm_daemon::ledger::record::Payment;
use lcm_daemon::ledger::replay::{Account, Posting};
use lcm_daemon::ledger::verify::{Expected, Walk, verify};
use lcm_daemon::purse::Holder;
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
    statements(&dir)
}

/// Statements of all who paid a node, or were paid, come to what it earns, and what customers owe to what
/// providers earn: to the unit, with who is paid as the one who meters.
fn statements(dir: &Path) -> TestResult {
    let books = |node: &str| dir.join(node).join("ledger");
    let paid = |node: &str, who: &str| -> Result<(i128, i128), Box<dyn std::error::Error>> {
        let holder = who.parse()?;
        let drawn = gather(&books(node), &provisional(holder))?;
        Ok(drawn.sessions.iter().fold((0, 0), |(rp, sp), s| (rp + s.receiver, sp + s.sender)))
    };
    let (mut received, mut passed_on) = (0, 0);
    for node in ["IS1", "IS2", "IS3"] {
        let replay = verify(&books(node), Expected::default())?.replay;
        let (mut own, mut holders) = (0, BTreeSet::new());
        for (account, balance) in replay.accounts() {
            match account {
                Account::Own(Payment::ReceiverIn | Payment::SenderIn) => {
                    own += balance;
                    received += balance;
                }
                Account::Own(_) => own += balance,
                Account::Neighbour(neighbour, None) => {
                    holders.insert(Holder::Neighbour(neighbour.address));
                }
                Account::Neighbour(_, Some(named)) => {
                    holders.insert(Holder::Customer(named.clone()));
                }
            }
        }
        let mut drawn = 0;
        for holder in holders {
            let statement = gather(&books(node), &provisional(holder))?;
            drawn += total(&statement, 0, &[]).exact;
        }
        assert!(own > 0 && drawn == own, "{node}: statements of {drawn}, and it earned {own}");
    }
    // Only S pays IS1 from above, only the router before it pays each other one.
    let sender_in = |node: &str| -> Result<i128, Box<dyn std::error::Error>> {
        let replay = verify(&books(node), Expected::default())?.replay;
        let own = replay.accounts().find(|(a, _)| **a == Account::Own(Payment::SenderIn));
        Ok(own.map_or(0, |(_, balance)| balance))
    };
    for (node, who) in [("IS1", "nai:IS2@figure2.example"), ("IS2", "nai:IS3@figure2.example")] {
        passed_on += paid(node, who)?.0;
    }
    passed_on += sender_in("IS2")? + sender_in("IS3")?;
    let customers = sender_in("IS1")?
        + paid("IS2", "nai:R1@figure2.example")?.0
        + paid("IS3", "nai:R2@figure2.example")?.0;
    assert!(customers > 0);
    assert_eq!(customers, received - passed_on, "what customers owe, and what providers earn");
    Ok(())
}

/// All that somebody paid so far.
fn provisional(holder: Holder) -> Query {
    Query { holder, from_ms: None, to_ms: None, period: None, provisional: true, detail: 0 }
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
