//! Periods of books that a daemon keeps: closed while it runs and while it does not, put away, and
//! gone on with.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lcm_daemon::ctl::ctl_with;
use lcm_daemon::demo::stage::Setup;
use lcm_daemon::exit::Exit;
use lcm_daemon::io::clock;
use lcm_daemon::lab::wait::until;
use lcm_daemon::ledger::backup::{backup, restore};
use lcm_daemon::ledger::period;
use lcm_daemon::ledger::prune::{PruneError, prune};
use lcm_daemon::ledger::record::{Body, Closed, Period, Stamp};
use lcm_daemon::ledger::replay::{Moment, Replay};
use lcm_daemon::ledger::verify::{Expected, Walk, verify};
use lcm_tests::harness::TestResult;

use crate::restart::ENDING;
use crate::sound;
use crate::support::golden::{self, A};
use crate::support::play::{self, PATIENCE, Play};

const NODE: &str = "IS2";

/// The hold of 30 days, and a day.
const HELD_MS: u64 = 31 * 24 * 3_600_000;

/// `lcmctl ledger`.
fn ctl(words: &[&Path]) -> Exit {
    let words = words.iter().map(|word| word.as_os_str().to_owned());
    ctl_with(["lcmctl", "ledger"].map(OsString::from).into_iter().chain(words))
}

fn close_period(play: &Play, dir: &Path) -> Result<Exit, Box<dyn Error>> {
    let socket = play.stage.socket(NODE)?;
    Ok(ctl(&["close-period".as_ref(), "--socket".as_ref(), &socket, dir]))
}

/// All ends of periods.
fn periods(dir: &Path) -> Result<Vec<Period>, Box<dyn Error>> {
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut all = Vec::new();
    while let Some((_, body, _)) = walk.step()? {
        if let Body::Period(period) = body {
            all.push(period);
        }
    }
    Ok(all)
}

fn balances(replay: &Replay) -> Vec<i128> {
    replay.accounts().map(|(_, balance)| balance).collect()
}

fn at(wall_ms: u64) -> Result<Moment, Box<dyn Error>> {
    let at_ms = clock::monotonic_us() / 1_000 + wall_ms.saturating_sub(clock::unix_ms());
    Ok(Moment { boot: clock::boot_id()?.to_be_bytes(), stamp: Stamp { at_ms, wall_ms } })
}

/// IS2 meters, closes a period, meters again and stops; a second period is closed without it, the
/// first one put away when its hold has passed, and the daemon goes on with what is left, which
/// also a backup of it gives back.
pub(crate) fn closed_and_put_away() -> TestResult {
    let books = tempfile::tempdir()?;
    let dir = books.path().join(NODE).join("ledger");
    let setup = Setup { books: Some(books.path().to_owned()), ..play::figure() };
    let mut play = Play::start(setup)?;
    let sender = play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;

    let other = books.path().join("R1").join("ledger");
    assert_eq!(close_period(&play, &other)?, Exit::Failed, "another daemon keeps these");
    play.close("S", sender)?;
    play.wait_empty(&[NODE])?;
    assert_eq!(close_period(&play, &dir)?, Exit::Ok);
    assert_eq!(sound(books.path(), NODE)?.replay.last_period(), Some(1), "it is durable");
    play.send()?;
    golden::wait_case(&mut play, A)?;
    assert!(play.terminate(NODE, ENDING)?.success());

    // Nobody is asked where no daemon is.
    let nowhere = PathBuf::from("/nonexistent");
    let words = ["close-period".as_ref(), "--socket".as_ref(), nowhere.as_path(), dir.as_path()];
    assert_eq!(ctl(&words), Exit::Ok);
    let stopped = sound(books.path(), NODE)?;
    let proved = stopped.replay.proved().ok_or("a proof")?;
    let closed = periods(&dir)?;
    assert_eq!(closed.iter().map(|period| period.number).collect::<Vec<_>>(), [1, 2]);
    assert!(closed[0].stamp.at_ms < proved.stamp.at_ms, "{closed:?}, {proved:?}");
    assert!(closed[1].stamp.at_ms >= proved.stamp.at_ms, "{closed:?}, {proved:?}");

    play.restart(NODE)?;
    play.stage.wait_ready(NODE)?;
    golden::wait_case(&mut play, A)?;
    assert_eq!(close_period(&play, &dir)?, Exit::Ok);
    let closed = periods(&dir)?;
    assert_eq!(closed[2].number, 3, "numbers go on over a restart");
    assert!(closed[2].stamp.at_ms > closed[1].stamp.at_ms, "{closed:?}");
    assert_eq!(prune_by_hand(&dir), Exit::Failed, "a daemon writes here");
    assert!(play.terminate(NODE, ENDING)?.success());
    assert_eq!(prune_by_hand(&dir), Exit::Failed, "30 days have not passed");

    let held = at(clock::unix_ms() + HELD_MS)?;
    let early = prune(&dir, 1, None, &at(clock::unix_ms())?);
    assert!(matches!(early, Err(PruneError::NotFinal { .. })), "{early:?}");
    // All that the first period holds ended in order; what broke off later is for a fourth one.
    assert_eq!(period::close(&dir, &held)?, 4);
    let before = sound(books.path(), NODE)?;
    let copy = books.path().join("copy");
    backup(&dir, &copy)?;
    let pruned = prune(&dir, 1, None, &held)?.ok_or("a file of the first period")?;
    assert!(!pruned.files.is_empty());
    let after = sound(books.path(), NODE)?;
    assert!(after.records < before.records);
    assert_eq!(balances(&after.replay), balances(&before.replay));
    for what in ["records", "postings", "accounts"] {
        let words = ["export", "--format", "csv", "--what", what].map(Path::new);
        assert_eq!(ctl(&[&words[..], &[&dir]].concat()), Exit::Ok, "{what}");
    }

    // What the backup of before had is still all there; the pruned books can be copied too.
    let (lean, back) = (books.path().join("lean"), books.path().join("back"));
    backup(&dir, &lean)?;
    restore(&lean, &back)?;
    for (dir, records) in [(&copy, before.records), (&back, after.records)] {
        let verified = verify(dir, Expected::default())?;
        assert_eq!(verified.records, records);
        assert_eq!(balances(&verified.replay), balances(&before.replay));
    }

    play.restart(NODE)?;
    play.stage.wait_ready(NODE)?;
    golden::wait_case(&mut play, A)?;
    assert_eq!(close_period(&play, &dir)?, Exit::Ok);
    assert_eq!(sound(books.path(), NODE)?.replay.last_period(), Some(5));
    drop(play);
    Ok(())
}

/// What ended in order is put away as soon as its hold has passed, and not before; also if the
/// sender paid for all of it, and where nothing ran any more when it ended.
pub(crate) fn held() -> TestResult {
    const HOLD_S: u32 = 4;
    let books = tempfile::tempdir()?;
    let dir = books.path().join(NODE).join("ledger");
    let hold_s = Some(HOLD_S);
    let setup = Setup { books: Some(books.path().to_owned()), hold_s, ..play::figure() };
    let mut play = Play::start(setup)?;
    for fraction_ppm in [1_000_000, 0] {
        let sender = play.send_share(fraction_ppm)?;
        let receivers = [play.stage.receive("R1", None)?, play.stage.receive("R2", None)?];
        play.wait("IS2 to earn", |play| {
            let view = play.stage.accounts(NODE).map_err(|e| e.to_string())?;
            let runs = view.accounts.iter().filter(|account| account.rate != 0).count();
            if runs > 1 { Ok(()) } else { Err(format!("{runs} accounts run")) }
        })?;
        for (node, receiver) in ["R1", "R2"].into_iter().zip(receivers) {
            play.close(node, receiver)?;
        }
        play.close("S", sender)?;
        play.wait_empty(&[NODE])?;
    }
    assert_eq!(close_period(&play, &dir)?, Exit::Ok);
    assert!(play.terminate(NODE, ENDING)?.success());
    let ended_ms = ends(&dir)?.into_iter().max().ok_or("an end")?;
    let due_ms = ended_ms + u64::from(HOLD_S) * 1_000;
    let now_ms = || clock::monotonic_us() / 1_000;
    until(PATIENCE, "the hold to pass", || match prune_by_hand(&dir) {
        Exit::Ok => Ok(()),
        other => Err(format!("{other:?}, {} ms before it is due", due_ms.saturating_sub(now_ms()))),
    })?;
    assert!(now_ms() >= due_ms, "{} ms early", due_ms - now_ms());
    let left = sound(books.path(), NODE)?;
    assert_eq!(left.replay.postings(), 0, "all of them are put away");
    assert!(left.replay.accounts().any(|(_, balance)| balance != 0), "what they came to is there");
    drop(play);
    Ok(())
}

/// When consents ended in order.
fn ends(dir: &Path) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut all = Vec::new();
    while let Some((_, body, _)) = walk.step()? {
        if let Body::Closed(Closed { at_ms, orderly: true, .. }) = body {
            all.push(at_ms);
        }
    }
    Ok(all)
}

fn prune_by_hand(dir: &Path) -> Exit {
    ctl(&["prune".as_ref(), "--through".as_ref(), "1".as_ref(), dir])
}
