//! Daemons that are stopped in order and started again, and a whole chain that is killed.

use std::time::{Duration, Instant};

use lcm_daemon::demo::stage::Setup;
use lcm_tests::harness::TestResult;

use crate::chain;
use crate::support::play::{Play, REFRESH_MS};
use crate::support::wire::{PATH, PATH_TEAR, RESV_TEAR};

const NAMES: [&str; 4] = ["S", "IS1", "IS2", "R1"];

/// How long a daemon may take to end when it is asked to.
const ENDING: Duration = Duration::from_secs(5);

/// How long the neighbours' refreshes may take to bring everything back: one PATH down, one RESV
/// up, one of slack, and what a message takes on a machine that has other things to do.
const COMING_BACK: Duration = Duration::from_millis(3 * REFRESH_MS as u64 + 2000);

/// A router that is stopped leaves its neighbours' state alone: the kernel passes their messages
/// meanwhile, and the session goes on without the router.
pub(crate) fn router_stopped() -> TestResult {
    let mut play = chain::start()?;
    play.send()?;
    play.stage.receive("R1", None)?;
    chain::wait_equilibrium(&mut play)?;

    let mark = play.mark();
    assert!(play.terminate("IS2", ENDING)?.success());
    let hop = play.address_on("IS1", "IS2")?;
    play.wait_for("PATH past IS2", mark, |heard| {
        let of_is1 = heard.message.hop().is_some_and(|(address, _)| address == hop);
        heard.is("IS2", "R1", PATH) && of_is1
    })?;
    // Nobody is paid for IS2's link.
    let meanwhile = [("S", -30), ("IS1", 100), ("R1", -70)];
    play.wait_balances(&meanwhile.map(|(name, rate)| (name.to_owned(), rate)).into())?;
    let tear = |kind| kind == PATH_TEAR || kind == RESV_TEAR;
    let tears = play.heard().get(mark..).unwrap_or_default().iter();
    let tears = tears.filter(|heard| heard.from == "IS2" && tear(heard.message.kind)).count();
    assert_eq!(tears, 0, "what others asked for is not IS2's to end");

    come_back(&mut play, &["IS2"])?;
    let checked = play.check_promise()?;
    // R1 at IS2 and at IS1, IS2 at IS1.
    assert_eq!(checked, 3, "accounts moved");
    Ok(())
}

/// A host that is stopped says what ends with it, at once and everywhere.
pub(crate) fn hosts_stopped() -> TestResult {
    // States last for 157.5 s, so nothing here ends by itself.
    let mut play = Play::start(Setup { refresh_ms: 30_000, ..chain::setup() })?;
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    play.stage.receive("R1", None)?;
    chain::wait_equilibrium(&mut play)?;

    let mark = play.mark();
    assert!(play.terminate("R1", ENDING)?.success());
    play.wait_for("its tear", mark, |heard| heard.is("IS1", "S", RESV_TEAR))?;
    for (from, to) in [("S", "IS1"), ("IS1", "IS2"), ("IS2", "R1")] {
        play.wait_reserved(from, to, 0)?;
    }
    play.wait_balances(&["S", "IS1", "IS2"].map(|name| (name.to_owned(), 0)).into())?;

    let mark = play.mark();
    assert!(play.terminate("S", ENDING)?.success());
    play.wait_for("its tear", mark, |heard| heard.is("IS2", "R1", PATH_TEAR))?;
    play.wait_empty(&["IS1", "IS2"])?;

    // New daemons, new sessions: their numbers are newer than what the routers may remember.
    for host in ["R1", "S"] {
        play.restart(host)?;
        play.stage.wait_ready(host)?;
    }
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    play.stage.receive("R1", None)?;
    chain::wait_equilibrium(&mut play)
}

/// All routers die at one instant, and then all nodes.
pub(crate) fn chain_killed() -> TestResult {
    let mut play = chain::start()?;
    play.send()?;
    play.stage.receive("R1", None)?;
    chain::wait_equilibrium(&mut play)?;

    let mut moved = 0;
    for killed in [&["IS1", "IS2"][..], &NAMES] {
        for name in killed {
            play.kill(name)?;
        }
        come_back(&mut play, killed)?;
        let checked = play.check_promise()?;
        assert!(checked >= 2 && checked >= moved, "{checked} accounts moved");
        moved = checked;
    }
    Ok(())
}

/// Starts daemons again, with the applications of hosts, and waits until all is as it was.
fn come_back(play: &mut Play, names: &[&'static str]) -> TestResult {
    let mark = play.mark();
    for name in names {
        play.restart(name)?;
    }
    for name in names {
        play.stage.wait_ready(name)?;
    }
    if names.contains(&"S") {
        play.send()?;
    }
    if names.contains(&"R1") {
        play.stage.receive("R1", None)?;
    }
    let ready = Instant::now();
    let balances = chain::balances();
    // Not what was said before.
    for (from, to) in [("S", "IS1"), ("IS1", "IS2"), ("IS2", "R1")] {
        let what = format!("a PATH {from}->{to} of the new daemons");
        let hop = play.address_on(from, to)?;
        play.wait_for(&what, mark, |heard| {
            let own = heard.message.hop().is_some_and(|(address, _)| address == hop);
            heard.is(from, to, PATH) && own
        })?;
    }
    play.wait_rates(&balances)?;
    let back = ready.elapsed();
    assert!(back <= COMING_BACK, "all was back after {back:?}, which may be {COMING_BACK:?}");
    chain::wait_equilibrium(play)
}
