//! What `lcmctl ledger` does with a directory.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::super::backup::{BackupError, backup, segments};
use super::super::carried::Carried;
use super::super::journal::{Journal, Options};
use super::super::prune::{PruneError, prune};
use super::super::record::{
    AccountId, Body, Cause, Closed, Consent, Contra, Dispute, Flow, Meter, Neighbour, Payment,
    Period, Runs, Stamp,
};
use super::super::replay::{Account, Moment, Replay, Wrong};
use super::super::segment;
use super::super::sign::hex;
use super::super::verify::{Deposit, Expected, Unsound, verify};
use super::started;
use crate::ctl::ctl_with;
use crate::exit::Exit;

fn payer() -> Neighbour {
    Neighbour { interface: 2, address: [192, 0, 2, 1].into() }
}

fn at(at_ms: u64) -> Stamp {
    Stamp { at_ms, wall_ms: at_ms + 1 }
}

fn meter(flow: u64) -> Meter {
    Meter { flow, payment: Payment::ReceiverIn, neighbour: payer() }
}

/// A reservation at 7 from `from` to `to`; to the end of the records without that.
fn reservation(flow: u64, from: u64, to: Option<u64>) -> Vec<Body> {
    let consent = Consent {
        at_ms: from,
        flow,
        payer: payer(),
        account: AccountId { kind: 1, id: Box::from(*b"a") },
        ceiling: 9,
        epoch: 1,
        sequence: 1,
        instance: 1,
        tariff: 1,
        digest: [0; 16],
    };
    let runs = |at_ms, rate, cause| Body::Runs(Runs { at_ms, meter: meter(flow), rate, cause });
    let mut records = vec![
        Body::Flow(Flow { flow, session: Box::default(), sender: Box::default() }),
        Body::Consent(consent),
        runs(from, 7, Cause::Terms),
    ];
    if let Some(at_ms) = to {
        records.push(runs(at_ms, 0, Cause::Ended));
        records.push(Body::Closed(Closed { at_ms, flow, payer: payer(), orderly: true }));
    }
    records
}

fn write(journal: &mut Journal, records: &[Body]) {
    for body in records {
        journal.append(body).unwrap();
        // A file ends behind a period.
        if matches!(body, Body::Period(_)) {
            journal.sync().unwrap();
        }
    }
    journal.sign();
    journal.sync().unwrap();
}

fn open(dir: &Path) -> Journal {
    Journal::open(dir, Options::default()).unwrap()
}

fn period(number: u64, at_ms: u64) -> Body {
    Body::Period(Period { number, stamp: at(at_ms) })
}

/// Two periods and a third that lasts: 700 in the first, 350 in the second, a reservation that
/// began in the first and runs still.
fn books(dir: &Path) {
    let mut journal = open(dir);
    let mut records = vec![started()];
    records.extend(reservation(1, 10, None));
    records.extend(reservation(2, 100, Some(200)));
    records.extend([Body::Alive(at(300)), period(1, 300)]);
    records.extend(reservation(3, 300, Some(350)));
    records.extend([Body::Alive(at(400)), period(2, 400)]);
    records.extend(reservation(4, 400, Some(410)));
    records.push(Body::Alive(at(500)));
    write(&mut journal, &records);
}

fn sound(dir: &Path) -> Replay {
    verify(dir, Expected::default()).unwrap().replay
}

fn earned(replay: &Replay) -> i128 {
    let own = |(account, _): &(&Account, i128)| matches!(account, Account::Own(_));
    replay.accounts().filter(own).map(|(_, balance)| balance).sum()
}

fn later() -> Moment {
    Moment { boot: [3; 16], stamp: at(1_000) }
}

fn ctl(words: &[&str]) -> Exit {
    let words = ["lcmctl", "ledger"].iter().chain(words);
    ctl_with(words.map(OsString::from).collect::<Vec<_>>())
}

fn path(dir: &Path) -> &str {
    dir.to_str().unwrap()
}

#[test]
fn sound_books_verify_also_while_they_are_written() {
    let dir = TempDir::new().unwrap();
    books(dir.path());
    let verified = verify(dir.path(), Expected::default()).unwrap();
    assert_eq!(earned(&verified.replay), 700 + 350 + 70);
    assert_eq!(verified.replay.accounts().len(), 2);
    assert_eq!(verified.heads, 3);
    assert_eq!(ctl(&["verify", path(dir.path()), "--accounts"]), Exit::Ok);
    for what in ["records", "postings", "accounts"] {
        for format in ["jsonl", "csv"] {
            let words = ["export", path(dir.path()), "--format", format, "--what", what];
            assert_eq!(ctl(&words), Exit::Ok);
        }
    }
    let _writing = open(dir.path());
    assert_eq!(ctl(&["verify", path(dir.path())]), Exit::Ok);
    assert_eq!(ctl(&["rotate-key", path(dir.path())]), Exit::Failed);
    assert_eq!(ctl(&["prune", path(dir.path()), "--through", "1"]), Exit::Failed);
    assert_eq!(ctl(&["verify", "/nonexistent"]), Exit::Failed);
    assert_eq!(ctl(&["verify", path(dir.path()), "--public-key", "7"]), Exit::Usage);
}

#[test]
fn r003_the_first_record_at_fault_is_named() {
    let dir = TempDir::new().unwrap();
    books(dir.path());
    let mut journal = open(dir.path());
    // Nobody consented to this: the chain and its signatures are right, the books are not.
    let runs = Runs { at_ms: 500, meter: meter(4), rate: 1, cause: Cause::Terms };
    write(&mut journal, &[Body::Runs(runs)]);
    let number = journal.durable() - 1;
    drop(journal);
    match verify(dir.path(), Expected::default()) {
        Err(Unsound::Books(fault)) => {
            assert_eq!((fault.number, fault.flow), (number, Some(4)));
            assert!(matches!(fault.what, Wrong::NoConsent { rate: 1, .. }));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ctl(&["verify", path(dir.path())]), Exit::Failed);
}

#[test]
fn any_byte_that_changes_is_found() {
    let dir = TempDir::new().unwrap();
    books(dir.path());
    for first in segments(dir.path()).unwrap() {
        let file = dir.path().join(segment::name(first));
        let good = fs::read(&file).unwrap();
        for place in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[place] ^= 4;
            fs::write(&file, &bad).unwrap();
            assert!(verify(dir.path(), Expected::default()).is_err(), "{first}, byte {place}");
        }
        fs::write(&file, &good).unwrap();
    }
    sound(dir.path());
}

#[test]
fn a_torn_tail_is_named_unless_somebody_writes() {
    let dir = TempDir::new().unwrap();
    books(dir.path());
    let last = *segments(dir.path()).unwrap().last().unwrap();
    let file = dir.path().join(segment::name(last));
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() - 3]).unwrap();
    let error = verify(dir.path(), Expected::default()).unwrap_err().to_string();
    assert!(error.contains("nothing acknowledged is lost"), "{error}");
    assert_eq!(ctl(&["verify", path(dir.path())]), Exit::Failed);
    let _writer = super::super::storage::Disk::claim(dir.path()).unwrap();
    assert!(verify(dir.path(), Expected::default()).unwrap().unfinished);
}

#[test]
fn a_deposited_head_tells_whether_history_was_rewritten() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    books(dir.path());
    let head = verify(dir.path(), Expected::default()).unwrap().head.unwrap();
    let file = dir.path().join("head.json");
    fs::write(&file, serde_json::to_string(&head).unwrap()).unwrap();
    let asked = ["verify", path(dir.path()), "--head", path(&file)];
    assert_eq!(ctl(&asked), Exit::Ok);
    write(&mut open(dir.path()), &[Body::Alive(at(600))]);
    assert_eq!(ctl(&asked), Exit::Ok, "the journal went on");

    // The same records, signed by another: sound in itself, but another history.
    books(other.path());
    let expect = |head: &Deposit| Expected { head: Some(head.clone()), key: None };
    let wrong = verify(other.path(), expect(&head));
    assert!(matches!(wrong, Err(Unsound::Rewritten { .. })), "{wrong:?}");
    let beyond = Deposit { number: 9_999, ..head.clone() };
    let wrong = verify(other.path(), expect(&beyond));
    assert!(matches!(wrong, Err(Unsound::Shortened { number: 9_999, .. })), "{wrong:?}");
    let words = ["verify", path(other.path()), "--public-key", &head.public_key];
    assert_eq!(ctl(&words), Exit::Failed);
    assert_eq!(ctl(&["verify", path(dir.path()), "--public-key", &head.public_key]), Exit::Ok);
    assert_eq!(ctl(&["head", path(dir.path())]), Exit::Ok);
}

#[test]
fn keys_rotate_and_the_old_one_still_vouches_for_what_it_signed() {
    let dir = TempDir::new().unwrap();
    books(dir.path());
    let before = verify(dir.path(), Expected::default()).unwrap();
    assert_eq!(ctl(&["rotate-key", path(dir.path())]), Exit::Ok);
    write(&mut open(dir.path()), &[Body::Alive(at(600))]);
    let after = verify(dir.path(), Expected::default()).unwrap();
    assert_ne!(before.key, after.key);
    for key in [before.key, after.key] {
        verify(dir.path(), Expected { head: before.head.clone(), key }).unwrap();
    }
}

#[test]
fn backups_grow_and_restore() {
    let dir = TempDir::new().unwrap();
    let (copy, back) = (dir.path().join("copy"), dir.path().join("back"));
    let live = dir.path().join("live");
    fs::create_dir(&live).unwrap();
    books(&live);
    let first = backup(&live, &copy).unwrap();
    let mut journal = open(&live);
    let mut more = reservation(5, 500, Some(600));
    more.push(period(3, 600));
    more.push(Body::Alive(at(700)));
    write(&mut journal, &more);
    let second = backup(&live, &copy).unwrap();
    assert!(second.records > first.records, "while it is written");
    drop(journal);
    assert_eq!(earned(&sound(&copy)), 700 + 350 + 70 + 700);

    // A copy that was cut off goes on where it is sound.
    let last = *segments(&copy).unwrap().last().unwrap();
    let file = copy.join(segment::name(last));
    let good = fs::read(&file).unwrap();
    fs::write(&file, &good[..good.len() - 5]).unwrap();
    backup(&live, &copy).unwrap();
    assert_eq!(fs::read(&file).unwrap(), good);

    assert_eq!(ctl(&["restore", path(&copy), path(&live)]), Exit::Failed, "not empty");
    assert_eq!(ctl(&["restore", path(&copy), path(&back)]), Exit::Ok);
    write(&mut open(&back), &[Body::Alive(at(800))]);
    assert_eq!(earned(&sound(&back)), earned(&sound(&copy)));

    // The two went apart since.
    write(&mut open(&live), &[Body::Alive(at(801))]);
    backup(&live, &copy).unwrap();
    assert!(matches!(backup(&back, &copy), Err(BackupError::OtherChain { .. })));
    sound(&copy);
}

#[test]
fn closed_periods_are_put_away_and_the_books_stay_the_same() {
    let dir = TempDir::new().unwrap();
    let (live, away) = (dir.path().join("live"), dir.path().join("away"));
    fs::create_dir(&live).unwrap();
    books(&live);
    let before = sound(&live);
    let early = Moment { boot: [3; 16], stamp: at(150) };
    assert!(matches!(prune(&live, 1, None, &early), Err(PruneError::NotFinal { .. })));
    assert!(matches!(prune(&live, 3, None, &later()), Err(PruneError::NotClosed { .. })));
    let pruned = prune(&live, 1, Some(&away), &later()).unwrap().unwrap();
    assert_eq!(pruned.files.len(), 1);
    assert_eq!(segments(&live).unwrap().first(), Some(&pruned.first));
    let after = sound(&live);
    assert_eq!(earned(&after), earned(&before));
    assert_eq!(after.open().collect::<Vec<_>>(), before.open().collect::<Vec<_>>());
    assert_eq!(prune(&live, 1, Some(&away), &later()).unwrap(), None);

    // The open segment closes as it would have, and corrections of what is there go on.
    assert_eq!(ctl(&["rotate-key", path(&live)]), Exit::Ok);
    let runs = Runs { at_ms: 1_010, meter: meter(1), rate: 0, cause: Cause::Ended };
    write(&mut open(&live), &[Body::Runs(runs), Body::Alive(at(1_010))]);
    assert_eq!(earned(&sound(&live)), 7 * (100 + 50 + 10 + 1_000));
    let pruned = prune(&live, 2, None, &later()).unwrap().unwrap();
    assert!(!live.join(Carried::name(1)).exists());
    assert_eq!(earned(&sound(&live)), 7 * (100 + 50 + 10 + 1_000));

    // What was put away cannot be corrected any more.
    let (by, reason) = (String::new(), String::new());
    let contra = Contra { of: 8, amount: 1, by, reason, wall_ms: 0 };
    write(&mut open(&live), &[Body::Contra(contra)]);
    let wrong = verify(&live, Expected::default());
    assert!(matches!(wrong, Err(Unsound::Books(_))), "{wrong:?}");

    // A summary is believed as it was signed, or not at all.
    let file = live.join(Carried::name(pruned.first));
    let good = fs::read(&file).unwrap();
    for place in (0..good.len()).step_by(5) {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&file, &bad).unwrap();
        let wrong = verify(&live, Expected::default());
        assert!(matches!(wrong, Err(Unsound::Carried(..))), "byte {place}: {wrong:?}");
    }
    fs::remove_file(&file).unwrap();
    assert!(matches!(verify(&live, Expected::default()), Err(Unsound::Cut { .. })));
}

/// A reservation that ran over the end of a period is final once it ended, whatever period that
/// was in; and what a later record corrects stays.
#[test]
fn r104_what_outlasts_a_period_is_put_away_when_it_is_final() {
    let dir = TempDir::new().unwrap();
    let live = dir.path();
    let mut journal = open(live);
    let mut records = vec![started()];
    records.extend(reservation(1, 10, None));
    let turns = |at_ms, rate, cause| Body::Runs(Runs { at_ms, meter: meter(1), rate, cause });
    records.extend([turns(100, 6, Cause::Terms), Body::Alive(at(300)), period(1, 300)]);
    write(&mut journal, &records);
    let posting = 5;
    write(&mut journal, &[Body::Alive(at(400))]);
    drop(journal);
    let refused = prune(live, 1, None, &later());
    assert!(matches!(refused, Err(PruneError::NotFinal { posting: found }) if found == posting));

    let end = Closed { at_ms: 500, flow: 1, payer: payer(), orderly: true };
    write(&mut open(live), &[turns(500, 0, Cause::Ended), Body::Closed(end), Body::Alive(at(600))]);
    let dispute = |open| {
        let (by, reason) = (String::new(), String::new());
        Body::Dispute(Dispute { of: posting, open, by, reason, wall_ms: 0 })
    };
    write(&mut open(live), &[dispute(true), dispute(false)]);
    let refused = prune(live, 1, None, &later());
    assert!(matches!(refused, Err(PruneError::Corrected { .. })), "{refused:?}");
    let closed = super::super::period::close(live, &later()).unwrap();
    assert_eq!(closed, 2);
    write(&mut open(live), &[Body::Alive(at(1_100))]);
    let earned_before = earned(&sound(live));
    prune(live, 2, None, &later()).unwrap().unwrap();
    assert_eq!(earned(&sound(live)), earned_before);
    assert_eq!(sound(live).postings(), 0);
}

#[test]
fn a_period_that_is_closed_without_a_daemon_ends_its_file() {
    let dir = TempDir::new().unwrap();
    assert_eq!(ctl(&["close-period", path(dir.path())]), Exit::Failed, "nothing is there");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "and nothing was made");
    books(dir.path());
    let files = segments(dir.path()).unwrap().len();
    assert_eq!(ctl(&["close-period", path(dir.path())]), Exit::Ok);
    assert_eq!(sound(dir.path()).last_period(), Some(3));
    // Nobody else writes behind it in that file, also not who opens the journal anew.
    write(&mut open(dir.path()), &[Body::Alive(at(u64::MAX / 2))]);
    assert_eq!(segments(dir.path()).unwrap().len(), files + 1);
    assert_eq!(ctl(&["prune", path(dir.path()), "--through", "4"]), Exit::Failed);
}

#[test]
fn a_backup_of_pruned_books_verifies_alone() {
    let dir = TempDir::new().unwrap();
    let (live, copy, old) =
        (dir.path().join("live"), dir.path().join("copy"), dir.path().join("old"));
    fs::create_dir(&live).unwrap();
    books(&live);
    backup(&live, &old).unwrap();
    prune(&live, 1, None, &later()).unwrap().unwrap();
    let key = sound_key(&live);
    let fresh = backup(&live, &copy).unwrap();
    let grown = backup(&live, &old).unwrap();
    assert!(grown.records > fresh.records, "the older copy has all of it");
    assert_eq!(sound_key(&copy), key);
    assert_eq!(ctl(&["verify", path(&copy), "--public-key", &key]), Exit::Ok);
}

fn sound_key(dir: &Path) -> String {
    hex(&verify(dir, Expected::default()).unwrap().key.unwrap())
}
