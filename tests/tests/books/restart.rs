//! Daemons that end, in order or not, and go on with their books.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use lcm_daemon::demo::stage::Setup;
use lcm_daemon::ledger::record::Body;
use lcm_daemon::ledger::replay::Account;
use lcm_daemon::ledger::verify::{Expected, Walk};
use lcm_tests::harness::TestResult;

use crate::sound;
use crate::support::golden::{self, A};
use crate::support::play::{self, Play};

const NODES: [&str; 6] = ["S", "IS1", "IS2", "IS3", "R1", "R2"];

/// How long a daemon may take to end when it is asked to.
pub(crate) const ENDING: Duration = Duration::from_secs(5);

/// What a crash may cost of each meter, in milliseconds: the time between two proofs, and half of
/// that for a machine that has other things to do.
const LOST_MS: i128 = 1_500;

fn figure(books: &Path) -> Result<Play, Box<dyn Error>> {
    let mut play = Play::start(Setup { books: Some(books.to_owned()), ..play::figure() })?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;
    Ok(play)
}

/// What every neighbour of a node owes it, less what it owes them, by its own words.
fn balances(play: &Play, node: &str) -> Result<BTreeMap<IpAddr, i128>, Box<dyn Error>> {
    let view = play.stage.accounts(node)?;
    let parsed =
        view.accounts.iter().map(|account| Ok((account.neighbour, account.amount.parse()?)));
    parsed.collect()
}

/// What every neighbour of a node owed it when its daemon was last started, by its ledger.
fn proved(books: &Path, node: &str) -> Result<BTreeMap<IpAddr, i128>, Box<dyn Error>> {
    let mut walk = Walk::new(&books.join(node).join("ledger"), Expected::default())?;
    let mut at_start = BTreeMap::new();
    while let Some((_, body, _)) = walk.step()? {
        if !matches!(body, Body::Started(_)) {
            continue;
        }
        at_start.clear();
        for (account, received) in walk.replay().accounts() {
            if let Account::Neighbour(neighbour, _) = account {
                *at_start.entry(neighbour.address).or_default() -= received;
            }
        }
    }
    Ok(at_start)
}

/// SIGKILL, five times over. What is billed of the time before it is what the books proved, at
/// most 1.5 s less than it had come to; and that is carried on.
pub(crate) fn killed() -> TestResult {
    let books = tempfile::tempdir()?;
    let mut play = figure(books.path())?;
    for _ in 0..5 {
        let before = balances(&play, "IS2")?;
        play.kill("IS2")?;
        play.restart("IS2")?;
        play.stage.wait_ready("IS2")?;
        golden::wait_case(&mut play, A)?;
        let proved = proved(books.path(), "IS2")?;
        for (neighbour, had) in &before {
            let kept = proved.get(neighbour).copied().unwrap_or_default();
            // Receiver and sender payments run against each other; none is above 250.
            let most = LOST_MS * 250;
            assert!((had - kept).abs() <= most, "{neighbour}: {had}, of which {kept} are proved");
        }
        play.wait("the balances of before", |play| {
            let view = play.stage.accounts("IS2").map_err(|e| e.to_string())?;
            for account in &view.accounts {
                let kept = proved.get(&account.neighbour).copied().unwrap_or_default();
                if account.carried != kept.to_string() {
                    return Err(format!("{account:?}, and {kept} were proved"));
                }
            }
            Ok(())
        })?;
    }
    play.check_promise()?;
    for node in NODES {
        sound(books.path(), node)?;
    }
    Ok(())
}

/// SIGTERM: all that was metered is in the books, to the unit.
pub(crate) fn stopped() -> TestResult {
    let books = tempfile::tempdir()?;
    let mut play = figure(books.path())?;
    let rates = play.stage.accounts("IS1")?;
    assert!(rates.accounts.iter().any(|account| account.rate != 0), "{rates:?}");
    let mut last = BTreeMap::new();
    for _ in 0..2 {
        assert!(play.terminate("IS1", ENDING)?.success());
        let verified = sound(books.path(), "IS1")?;
        assert!(verified.replay.is_stopped(), "an orderly end is written");
        let records = verified.records;
        play.restart("IS1")?;
        play.stage.wait_ready("IS1")?;
        golden::wait_case(&mut play, A)?;
        let proved = proved(books.path(), "IS1")?;
        assert_ne!(proved, last, "something was metered meanwhile");
        assert!(sound(books.path(), "IS1")?.records > records, "the same books go on");
        last = proved;
    }
    Ok(())
}
