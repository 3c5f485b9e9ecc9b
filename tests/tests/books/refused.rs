//! What operators are refused, one thing after the other: each message names the thing and says what
//! to do, the status is not 0, and nothing of it is in the books.

use std::collections::BTreeMap;

use lcm_daemon::demo::stage::Setup;
use lcm_daemon::ledger::record::{Action, Body};
use lcm_daemon::ledger::verify::{Expected, Walk};
use lcm_tests::harness::TestResult;

use crate::restart::ENDING;
use crate::rights::{as_nobody, has_users};
use crate::support::play::{self, Play};
use crate::support::programs::{run, succeed, text};

const NODE: &str = "IS2";
const R1: &str = "nai:R1@figure2.example";
const NONE: &str = "nai:nobody@example.net";
/// The group of root, to which the socket belongs.
const ROOT_GROUP: u32 = 0;

/// What is refused, by which words, and what the message must say.
type Case<'a> = (&'a str, Vec<&'a str>, [&'a str; 2]);

pub(crate) fn one_by_one() -> TestResult {
    let books = tempfile::tempdir()?;
    let more = "\n[accounts]\n[control]\ncredit_groups = []\n".to_owned();
    let more = BTreeMap::from([(NODE.to_owned(), more)]);
    let setup = Setup { books: Some(books.path().to_owned()), more, ..play::figure() };
    let mut play = Play::start(setup)?;
    play.wait("the past to be read", |play| {
        let words = ["account", "create", R1, "--credit", "1"];
        succeed(play, NODE, &words).map_err(|e| e.to_string())
    })?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.wait("R1 to use its account", |play| {
        let shown = succeed(play, NODE, &["account", "list", "--json"]);
        let shown = shown.map_err(|e| e.to_string())?;
        if shown.contains("\"sessions\": 1") { Ok(()) } else { Err(shown) }
    })?;
    let dir = books.path().join(NODE).join("ledger");
    let ledger = dir.to_str().ok_or("a path")?;
    for (what, words, says) in cases(ledger) {
        let output = run(&play, NODE, &words)?;
        let said = text(&output.stderr);
        assert!(!output.status.success() && output.stdout.is_empty(), "{what}: {said}");
        for word in says {
            assert!(said.contains(word), "{what}: {word:?} is not in: {said}");
        }
    }
    if has_users() {
        let said = as_nobody(&play, ROOT_GROUP, &["account", "credit", R1, "1"])?.unwrap_err();
        for word in ["user nobody (uid 65534) may not open, credit,", "(control.credit_groups)"] {
            assert!(said.contains(word), "no right: {word:?} is not in: {said}");
        }
    }
    assert!(play.terminate(NODE, ENDING)?.success());
    // One order was obeyed, with its credit.
    let mut walk = Walk::new(&dir, Expected::default())?;
    let mut orders = Vec::new();
    while let Some((_, body, _)) = walk.step()? {
        if let Body::Operator(operator) = body {
            orders.push(operator.action);
        }
    }
    assert!(matches!(orders[..], [Action::Open { .. }, Action::Credit { .. }]), "{orders:?}");
    Ok(())
}

fn cases(ledger: &str) -> Vec<Case<'_>> {
    let no_account = "there is no account nai:nobody@example.net";
    let create = "`lcmctl account create nai:nobody@example.net` makes it";
    let open_period = "close one with `lcmctl ledger close-period`";
    vec![
        ("an unknown account", vec!["account", "credit", NONE, "1"], [no_account, create]),
        ("one to be limited", vec!["account", "limit", NONE, "--warn", "5"], [no_account, create]),
        ("one to be closed", vec!["account", "close", NONE], [no_account, create]),
        ("one to be shown", vec!["account", "show", NONE], [NONE, "lcmctl account list"]),
        (
            "a credit in the wrong currency",
            vec!["account", "credit", R1, "1", "--currency", "USD"],
            ["is in EUR, not in USD", "name an amount in its own currency"],
        ),
        (
            "an account in the wrong currency",
            vec!["account", "create", NONE, "--currency", "USD"],
            ["cannot be in USD", "so open it in EUR"],
        ),
        (
            "a negative credit",
            vec!["account", "credit", R1, "-1"],
            ["-1", "name an amount above 0"],
        ),
        (
            "a negative credit at once",
            vec!["account", "create", NONE, "--credit", "-1"],
            ["-1", "name an amount above 0"],
        ),
        (
            "closing an account in use",
            vec!["account", "close", R1],
            ["is in use by 1 payments", "wait until its sessions end, or end them, then close it"],
        ),
        (
            "a statement before a period is closed",
            vec!["statement", R1, "--ledger", ledger],
            ["no period is closed yet", open_period],
        ),
        (
            "a statement over a period that is not closed",
            vec!["statement", R1, "--ledger", ledger, "--period", "1"],
            ["period 1 is not closed", "close it with"],
        ),
    ]
}
