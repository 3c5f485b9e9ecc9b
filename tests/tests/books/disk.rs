//! Disks that are full, slow, broken or to be read only, and directories that are not ours.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
#[cfg(target_arch = "x86_64")]
use std::time::Duration;

use lcm_daemon::control::protocol::Request;
use lcm_daemon::demo::stage::Setup;
use lcm_daemon::ledger::verify::{Expected, verify};
use lcm_tests::harness::TestResult;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::sound;
use crate::support::golden::{self, A, C};
use crate::support::metrics::Page;
use crate::support::play::{self, Heard, Play};
use crate::support::wire::RESV_ERR;
#[cfg(target_arch = "x86_64")]
use crate::tamper::{Sync, Tamper};

/// A small file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(at: &Path) -> Result<SmallDisk, Box<dyn Error>> {
        fs::create_dir_all(at)?;
        let size = Some("size=1m");
        mount(Some("books"), at, Some("tmpfs"), MsFlags::empty(), size)?;
        Ok(SmallDisk(at.to_owned()))
    }

    /// A file that can take up space.
    fn filler(&self) -> io::Result<File> {
        File::create(self.0.join("filler"))
    }
}

/// Leaves no byte free: the file takes up what was.
fn fill(mut file: &File) -> TestResult {
    loop {
        match file.write(&[0; 4096]) {
            Ok(_) if file.metadata()?.len() < 1 << 24 => {}
            Ok(_) => return Err("the file system is larger than it was made".into()),
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// Another view of a directory in its place, which can be read only.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn over(at: &Path) -> Result<ReadOnly, Box<dyn Error>> {
        let none: Option<&str> = None;
        mount(Some(at), at, none, MsFlags::MS_BIND, none)?;
        let cover = ReadOnly(at.to_owned());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, at, none, flags, none)?;
        Ok(cover)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// A play that keeps books under `books`, IS2 on whatever stands in its place there; R2 has
/// reserved.
fn started(books: &Path) -> Result<Play, Box<dyn Error>> {
    let mut play = Play::start(Setup { books: Some(books.to_owned()), ..play::figure() })?;
    play.send()?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, C)?;
    Ok(play)
}

/// A series of IS2's metrics page.
fn metric(play: &Play, series: &str) -> Result<u64, String> {
    Ok(Page::fetch(play, "IS2").map_err(|e| e.to_string())?.value(series))
}

/// Waits until IS2 has found out what its disk is like.
fn wait_closed(play: &mut Play) -> TestResult {
    // What fits into the last page of the file still does, so there must be something to write.
    let mut prices = [Some(70), None, None, None, Some(60), None, None, None].into_iter().cycle();
    play.wait("the ledger to be found closed", |play| {
        if let Some(price) = prices.next().flatten() {
            play.stage.ask("IS2", &to_is3(price)).map_err(|e| e.to_string())?;
        }
        match metric(play, "lcm_ledger_open")? {
            0 => Ok(()),
            open => Err(format!("open: {open}")),
        }
    })?;
    play.stage.ask("IS2", &to_is3(60))?;
    Ok(())
}

/// R1, who comes now, is refused with code 02 value 10, so many times; R2's reservation goes on.
fn assert_refused(play: &mut Play, times: usize) -> TestResult {
    let mut mark = play.mark();
    play.stage.receive("R1", None)?;
    for _ in 0..times {
        let refused = |heard: &Heard| heard.is("IS2", "R1", RESV_ERR);
        let error = play.wait_for("RESVERR of IS2", mark, refused)?;
        let error = error.message.error().expect("an ERROR_SPEC");
        assert_eq!((error.code, error.value), (2, 10), "the books are closed");
        mark = play.mark();
    }
    play.wait_rates(&golden::balances(&golden::case(C)?)?)?;
    assert_eq!(metric(play, "lcm_ledger_open")?, 0);
    Ok(())
}

/// IS2 goes on by itself: R1's reservation stands, the log says what was and that it is over, so
/// often as the trouble is counted, and the books are sound.
fn assert_well(play: &mut Play, books: &Path, kind: &str, said: [&str; 2]) -> TestResult {
    golden::wait_case(play, A)?;
    assert_eq!(metric(play, "lcm_ledger_open")?, 1);
    play.check_promise()?;
    assert_eq!(metric(play, &format!("lcm_ledger_troubles_total{{kind={kind:?}}}"))?, 1);
    let log = fs::read_to_string(play.stage.daemon("IS2")?.process().stderr())?;
    for line in said {
        assert_eq!(log.matches(line).count(), 1, "{line:?} in the log:\n{log}");
    }
    let verified = sound(books, "IS2")?;
    assert!(verified.records > 10, "{} records", verified.records);
    Ok(())
}

/// What the log says of a disk that failed, and of one that is well again.
const FAILED: [&str; 2] = ["the ledger cannot be written: new", "the ledger can be written again"];
#[cfg(target_arch = "x86_64")]
const SLOW: [&str; 2] = ["the ledger's disk takes too long", "the ledger's disk is swift again"];

/// IS2's disk is full: R1, who comes then, is refused with code 02 value 10; R2's reservation goes
/// on; and when there is room again, IS2 goes on by itself.
pub(crate) fn full() -> TestResult {
    let books = tempfile::tempdir()?;
    let disk = SmallDisk::new(&books.path().join("IS2"))?;
    let mut play = started(books.path())?;
    let filler = disk.filler()?;
    fill(&filler)?;
    wait_closed(&mut play)?;
    assert_refused(&mut play, 1)?;
    filler.set_len(0)?;
    assert_well(&mut play, books.path(), "failed", FAILED)?;
    drop(play);
    Ok(())
}

/// IS2's directory can be read only: what comes then is refused, though there is space, and what
/// is established goes on; and when it can be written again, IS2 goes on by itself.
pub(crate) fn read_only() -> TestResult {
    let books = tempfile::tempdir()?;
    let at = books.path().join("IS2");
    let disk = SmallDisk::new(&at)?;
    let mut play = started(books.path())?;
    let filler = disk.filler()?;
    let cover = ReadOnly::over(&at)?;
    let refused = File::create(at.join("file")).expect_err("it can be read only");
    assert!(refused.to_string().contains("os error 30"), "{refused}");
    // A file that was open before can still be written; it is left when the disk fails, here for
    // want of space for a moment.
    fill(&filler)?;
    wait_closed(&mut play)?;
    filler.set_len(0)?;
    // R1 repeats itself each half second, and the daemon tries the disk each second.
    assert_refused(&mut play, 6)?;
    drop(cover);
    assert_well(&mut play, books.path(), "failed", FAILED)?;
    drop(play);
    Ok(())
}

/// Syncs of IS2's disk take five seconds: what comes then is refused, what is established goes on;
/// and when they are swift again, IS2 goes on by itself.
#[cfg(target_arch = "x86_64")]
pub(crate) fn slow() -> TestResult {
    let takes = Sync::Takes(Duration::from_secs(5));
    tampered(takes, "slow", SLOW)
}

/// Syncs of IS2's disk fail: the same.
#[cfg(target_arch = "x86_64")]
pub(crate) fn failing() -> TestResult {
    tampered(Sync::Fails, "failed", FAILED)
}

#[cfg(target_arch = "x86_64")]
fn tampered(sync: Sync, kind: &str, said: [&str; 2]) -> TestResult {
    let books = tempfile::tempdir()?;
    let mut play = started(books.path())?;
    let daemon = play.stage.daemon("IS2")?.process().pid();
    let tamper = Tamper::with(daemon, sync)?;
    wait_closed(&mut play)?;
    assert_refused(&mut play, 12)?;
    tamper.end()?;
    assert_well(&mut play, books.path(), kind, said)?;
    drop(play);
    Ok(())
}

/// Asks IS2 for another price of its link to IS3.
fn to_is3(price: u64) -> Request {
    let interface = "to-IS3".to_owned();
    Request::Price { interface, price, max_price: Some(70), at_admission: false }
}

/// The journal of a node is one daemon's.
pub(crate) fn second_daemon() -> TestResult {
    let books = tempfile::tempdir()?;
    let setup = || Setup { books: Some(books.path().to_owned()), ..play::figure() };
    let play = Play::start(setup())?;
    let refused = Play::start(setup()).err().ok_or("two daemons write one journal")?;
    let text = refused.to_string();
    assert!(text.contains("ledger") && text.contains("process"), "{text}");
    drop(play);
    Ok(())
}

/// A journal that a newer program wrote is refused with its number, and stays as it is.
pub(crate) fn newer() -> TestResult {
    let books = tempfile::tempdir()?;
    let setup = || Setup { books: Some(books.path().to_owned()), ..play::figure() };
    drop(Play::start(setup())?);
    let ledger = books.path().join("IS2").join("ledger");
    let journal = fs::read_dir(&ledger)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "journal"))
        .ok_or("a journal")?;
    let mut bytes = fs::read(&journal)?;
    // The version stands behind the magic number of eight bytes, in two.
    bytes[8..10].copy_from_slice(&77_u16.to_be_bytes());
    fs::write(&journal, &bytes)?;
    let refused = Play::start(setup()).err().ok_or("it was taken")?.to_string();
    assert!(refused.contains("77"), "{refused}");
    assert_eq!(fs::read(&journal)?, bytes, "untouched");
    assert!(verify(&ledger, Expected::default()).is_err());
    Ok(())
}
