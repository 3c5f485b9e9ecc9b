//! Accounts on the real kernel: prepaid to the last millisecond, through a kill, and what operators
//! are refused.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use lcm_daemon::demo::stage::Setup;
use lcm_daemon::ledger::record::{Action, Body, Cause, Runs};
use lcm_daemon::ledger::replay::Posting;
use lcm_daemon::ledger::verify::{Expected, Walk};
use lcm_daemon::purse::{Holder, parse_amount};
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::restart::ENDING;
use crate::sound;
use crate::support::play::{self, Play};
use crate::support::programs::{json, run, succeed, text};

const NODE: &str = "IS2";
const R1: &str = "nai:R1@figure2.example";

/// What the account of R1 is said to be.
fn account(play: &Play) -> Result<Value, Box<dyn Error>> {
    let all = json(play, NODE, &["account", "show", R1])?;
    Ok(all[0].clone())
}

/// In 10⁻¹⁵ currency units; never negative, or it is no amount.
fn balance(play: &Play) -> Result<u128, Box<dyn Error>> {
    Ok(parse_amount(account(play)?["balance"].as_str().ok_or("no balance")?)?)
}

/// What `lcmctl account` says against something.
fn refused(play: &Play, words: &[&str]) -> Result<String, Box<dyn Error>> {
    let output = run(play, NODE, &[&["account"], words].concat())?;
    assert!(!output.status.success(), "{words:?} was done");
    Ok(text(&output.stderr).to_owned())
}

fn records(books: &std::path::Path) -> Result<Vec<Body>, Box<dyn Error>> {
    let mut walk = Walk::new(&books.join(NODE).join("ledger"), Expected::default())?;
    let mut all = Vec::new();
    while let Some((_, body, _)) = walk.step()? {
        all.push(body);
    }
    Ok(all)
}

pub(crate) fn prepaid() -> TestResult {
    let books = tempfile::tempdir()?;
    let more = "\n[accounts]\nwarn_s = 2\n[billing]\nprefix = \"B\"\n".to_owned();
    let more = BTreeMap::from([(NODE.to_owned(), more)]);
    let setup = Setup { books: Some(books.path().to_owned()), more, ..play::figure() };
    let mut play = Play::start(setup)?;
    play.wait("the past to be read", |play| {
        succeed(play, NODE, &["account", "create", R1]).map_err(|e| e.to_string())
    })?;
    // 63 for 3 s and half a millisecond; alone it pays more, for less time.
    succeed(&play, NODE, &["account", "credit", R1, "0.000000000189031", "--reason", "cash"])?;
    refusals(&play)?;
    play.send()?;
    play.stage.receive("R2", None)?;
    play.stage.receive("R1", None)?;
    play.wait("R1 to be cut off", |play| {
        let account = account(play).map_err(|e| e.to_string())?;
        let left = balance(play).map_err(|e| e.to_string())?;
        match account["sessions"].as_u64() {
            Some(0) if left < 1_000 => Ok(()),
            _ => Err(account.to_string()),
        }
    })?;
    let left = balance(&play)?;
    // Through a kill and a start: what was spent is in the journal, and no more than that.
    play.kill(NODE)?;
    play.restart(NODE)?;
    play.stage.wait_ready(NODE)?;
    play.wait("what was spent before", |play| {
        let now = balance(play).map_err(|e| e.to_string())?;
        if now == left { Ok(()) } else { Err(format!("{now}, and it was {left}")) }
    })?;
    // With money it is let in again, and the account is in use.
    succeed(&play, NODE, &["account", "credit", R1, "1"])?;
    play.wait("R1 to be back", |play| {
        let account = account(play).map_err(|e| e.to_string())?;
        let spends = account["rate"].as_u64().is_some_and(|rate| rate > 0);
        if spends { Ok(()) } else { Err(account.to_string()) }
    })?;
    let in_use = refused(&play, &["close", R1])?;
    assert!(in_use.contains("in use by 1 payments: wait until its sessions end"), "{in_use}");
    let ledger = books.path().join(NODE).join("ledger");
    disputes(&play, &ledger)?;
    closed_and_billed(&mut play, &ledger)?;
    assert!(play.terminate(NODE, ENDING)?.success());
    journal(books.path(), left)
}

/// While the daemon writes: what R1 paid first is disputed, resolved in its favour, and there to
/// spend at once.
fn disputes(play: &Play, ledger: &Path) -> TestResult {
    let posting = paid_first(ledger)?;
    let (of, dir) = (posting.number.to_string(), ledger.to_str().ok_or("a path")?);
    let order = |words: &[&str]| -> Result<Result<String, String>, Box<dyn Error>> {
        let output = run(play, NODE, &[words, &["--ledger", dir, "--reason", "noise"]].concat())?;
        let said = (text(&output.stdout).to_owned(), text(&output.stderr).to_owned());
        Ok(if output.status.success() { Ok(said.0) } else { Err(said.1) })
    };
    let none = order(&["dispute", "open", "1"])?.unwrap_err();
    assert!(none.contains("`lcmctl ledger export --what postings`"), "{none}");
    let not = order(&["dispute", "resolve", &of])?.unwrap_err();
    assert!(not.contains("is not disputed"), "{not}");
    let opened = order(&["dispute", "open", &of])??;
    assert!(opened.starts_with(&format!("posting {of} is disputed\n")), "{opened}");
    assert!(opened.contains("\"kind\":\"consent\""), "its evidence: {opened}");
    let twice = order(&["dispute", "open", &of])?.unwrap_err();
    assert!(twice.contains("`lcmctl dispute resolve"), "{twice}");
    let much = order(&["refund", &of, "1"])?.unwrap_err();
    assert!(much.contains("name that, or all"), "{much}");
    let negative = order(&["refund", &of, "-1"])?.unwrap_err();
    assert!(negative.contains("write a positive amount"), "{negative}");
    let (before, asked) = (balance(play)?, Instant::now());
    let resolved = order(&["dispute", "resolve", &of, "--give-back", "all"])??;
    assert!(resolved.contains(&format!("is given back to {R1}; posting {of} is disputed no more")));
    // At most 147 are spent in a millisecond meanwhile, however slow this machine is.
    let after = balance(play)?;
    let spent = 147 * (asked.elapsed().as_millis() + 100);
    assert!(after + spent >= before + posting.amount, "{before}, and then {after}");
    let nothing = order(&["refund", &of, "all"])?.unwrap_err();
    assert!(nothing.contains("nothing is left"), "{nothing}");
    let elsewhere = run(play, NODE, &["refund", &of, "all", "--ledger", "/", "--reason", "x"])?;
    assert!(text(&elsewhere.stderr).contains("no journal"), "{}", text(&elsewhere.stderr));
    Ok(())
}

/// What `lcmctl statement` prints, or why not.
fn statement(
    play: &Play,
    dir: &str,
    words: &[&str],
) -> Result<Result<String, String>, Box<dyn Error>> {
    let output = run(play, NODE, &[&["statement", "--ledger", dir], words].concat())?;
    let said = (text(&output.stdout).to_owned(), text(&output.stderr).to_owned());
    Ok(if output.status.success() { Ok(said.0) } else { Err(said.1) })
}

/// A statement is refused as long as no period is closed; closing one issues bills, once. Here they
/// come to less than a cent, which is carried on.
fn closed_and_billed(play: &mut Play, ledger: &Path) -> TestResult {
    let dir = ledger.to_str().ok_or("a path")?;
    let future = ["--to", "2999-01-01", R1];
    for (words, says) in [
        (&[R1][..], "no period is closed yet: close one with `lcmctl ledger close-period`"),
        (&["--period", "1", R1], "period 1 is not closed: close it with"),
        (&["--from", "tomorrow", R1], "write a day as 2026-11-01"),
        (&["--from", "2026-03-29T02:30", "--time-zone", "Europe/Berlin", R1], "write the offset"),
        (&["--to", "2026-01-01", "--from", "2026-02-01", R1], "--to lies before --from"),
    ] {
        let refused = statement(play, dir, words)?.unwrap_err();
        assert!(refused.contains(says), "{words:?}: {refused}");
    }
    succeed(play, NODE, &["ledger", "close-period", dir])?;
    let refused = statement(play, dir, &future)?.unwrap_err();
    assert!(refused.contains("the span is not closed: the last period, 1, ended at"), "{refused}");
    let nobody = statement(play, dir, &["nai:nobody@example.net"])?.unwrap_err();
    assert!(nobody.contains("`lcmctl ledger verify --accounts`"), "{nobody}");
    assert!(statement(play, dir, &["--period", "1", R1])??.contains("to pay"));
    play.wait("the bills of the period", |play| {
        let records = succeed(
            play,
            NODE,
            &["ledger", "export", "--format", "jsonl", "--what", "records", dir],
        )
        .map_err(|e| e.to_string())?;
        let billed = |line: &&str| line.contains("\"kind\":\"bill\"") && line.contains(R1);
        match records.lines().filter(billed).count() {
            1 => Ok(()),
            count => Err(format!("{count} bills for R1")),
        }
    })?;
    let again = succeed(play, NODE, &["bill", "issue", "--ledger", dir])?;
    assert!(again.contains("nothing is to be issued"), "{again}");
    let unknown = run(play, NODE, &["bill", "show", "B-2026-000001", "--ledger", dir])?;
    assert!(text(&unknown.stderr).contains("`lcmctl bill list`"), "{}", text(&unknown.stderr));
    Ok(())
}

/// The first posting that R1 paid for.
fn paid_first(ledger: &Path) -> Result<Posting, Box<dyn Error>> {
    let mut walk = Walk::new(ledger, Expected::default())?;
    let holder: Holder = R1.parse()?;
    while let Some((_, _, applied)) = walk.step()? {
        for posting in applied {
            if walk.replay().holder(&posting) == Some(&holder) {
                return Ok(posting);
            }
        }
    }
    Err("R1 paid nothing".into())
}

/// Each is refused, and says what to do.
fn refusals(play: &Play) -> TestResult {
    for (words, says) in [
        (&["credit", "nai:x@example.net", "1"][..], "`lcmctl account create nai:x@example.net`"),
        (&["credit", R1, "1", "--currency", "USD"], "is in EUR, not in USD: name an amount in its"),
        (&["credit", R1, "-1"], "name an amount above 0"),
        (&["credit", R1, "0"], "name an amount above 0"),
        (&["create", R1], "`lcmctl account limit"),
        (&["create", "alice"], "write KIND:ID"),
        (&["close", "neighbour:192.0.2.9"], "`lcmctl account list`"),
        (&["limit", R1, "--credit-limit", "1e9"], "not a number of currency units"),
    ] {
        let said = refused(play, words)?;
        assert!(said.contains(says), "{words:?}: {said}");
    }
    Ok(())
}

/// The journal has who ordered what, and the end at the millisecond that was paid last.
fn journal(books: &std::path::Path, left: u128) -> TestResult {
    let verified = sound(books, NODE)?;
    let holder: Holder = R1.parse()?;
    let standing = verified.replay.standings().find(|(known, _)| **known == holder);
    let (_, standing) = standing.ok_or("no account in the journal")?;
    assert!(standing.kept.charged <= standing.kept.paid_in, "{standing:?}");
    let records = records(books)?;
    let actions: Vec<&Action> = records
        .iter()
        .filter_map(|body| match body {
            Body::Operator(operator) if operator.by.uid == 0 => Some(&operator.action),
            _ => None,
        })
        .collect();
    let credits = actions.iter().filter(|action| matches!(action, Action::Credit { .. })).count();
    assert!(matches!(actions[0], Action::Open { .. }) && credits == 2, "{actions:?}");
    let mut rate = 0;
    for body in &records {
        match body {
            Body::Runs(Runs { cause: Cause::Exhausted, rate: 0, .. }) => {
                assert!(rate > 0 && left < u128::from(rate), "{left} left at {rate}");
                return Ok(());
            }
            Body::Runs(runs) if runs.rate > 0 && runs.meter.payment as u8 == 0 => rate = runs.rate,
            _ => {}
        }
    }
    Err("nobody was cut off".into())
}
