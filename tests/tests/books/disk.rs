//! Disks that are full, and directories that are not ours.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use lcm_daemon::control::protocol::Request;
use lcm_daemon::demo::stage::Setup;
use lcm_daemon::ledger::verify::{Expected, verify};
use lcm_tests::harness::TestResult;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::sound;
use crate::support::golden::{self, A, C};
use crate::support::metrics::Page;
use crate::support::play::{self, Play};
use crate::support::wire::RESV_ERR;

/// A small file system of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(at: &Path) -> Result<SmallDisk, Box<dyn Error>> {
        fs::create_dir_all(at)?;
        let size = Some("size=1m");
        mount(Some("books"), at, Some("tmpfs"), MsFlags::empty(), size)?;
        Ok(SmallDisk(at.to_owned()))
    }

    /// Leaves no byte free.
    fn fill(&self) -> Result<(), Box<dyn Error>> {
        let mut file = fs::File::create(self.filler())?;
        while file.write(&[0; 4096])? > 0 {
            if file.metadata()?.len() > 1 << 24 {
                return Err("the file system is larger than it was made".into());
            }
        }
        Ok(())
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// IS2's disk is full: R1, who comes then, is refused with code 02 value 10; R2's reservation goes
/// on; and when there is room again, IS2 goes on by itself.
pub(crate) fn full() -> TestResult {
    let books = tempfile::tempdir()?;
    let disk = SmallDisk::new(&books.path().join("IS2"))?;
    let setup = Setup { books: Some(books.path().to_owned()), ..play::figure() };
    let mut play = Play::start(setup)?;
    play.send()?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, C)?;

    // The error that says so has errno 28.
    let filled = disk.fill().expect_err("until nothing is left");
    assert!(filled.to_string().contains("os error 28"), "{filled}");
    let metric = |play: &Play, series: &str| -> Result<u64, String> {
        Ok(Page::fetch(play, "IS2").map_err(|e| e.to_string())?.value(series))
    };
    // What fits into the last page of the file still does, so there must be something to write.
    let mut prices = [70, 60].into_iter().cycle();
    play.wait("the ledger to be found closed", |play| {
        let price = prices.next().unwrap_or(60);
        play.stage.ask("IS2", &to_is3(price)).map_err(|e| e.to_string())?;
        match metric(play, "lcm_ledger_open")? {
            0 => Ok(()),
            open => Err(format!("open: {open}")),
        }
    })?;
    play.stage.ask("IS2", &to_is3(60))?;
    let mark = play.mark();
    play.stage.receive("R1", None)?;
    let error = play.wait_for("RESVERR of IS2", mark, |heard| heard.is("IS2", "R1", RESV_ERR))?;
    let error = error.message.error().expect("an ERROR_SPEC");
    assert_eq!((error.code, error.value), (2, 10), "the books are closed");
    let case = golden::case(C)?;
    play.wait_rates(&golden::balances(&case)?)?;
    assert_eq!(metric(&play, "lcm_ledger_troubles_total{kind=\"failed\"}")?, 1);

    fs::remove_file(disk.filler())?;
    golden::wait_case(&mut play, A)?;
    assert_eq!(metric(&play, "lcm_ledger_open")?, 1);
    play.check_promise()?;
    let verified = sound(books.path(), "IS2")?;
    assert!(verified.records > 10, "{} records", verified.records);
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
