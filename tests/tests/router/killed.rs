//! A router is killed in mid-session and started again.

use std::error::Error;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lcm_daemon::demo::stage::Setup;
use lcm_tests::harness::TestResult;

use crate::chain;
use crate::support::golden::{self, A};
use crate::support::play::{self, Play, REFRESH_MS};
use crate::support::wire::PATH;

pub(crate) fn killed_and_restarted() -> TestResult {
    let mut play = Play::start(play::figure())?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;

    let start = earned(&play)?;
    let mark = play.mark();
    play.kill("IS2")?;
    passed_by_the_kernel(&mut play, mark)?;
    // IS1's price of 100 is now split over IS3 and R1, who pay it to IS1.
    let meanwhile = [("S", -45), ("IS1", 100), ("IS3", 50), ("R1", -35), ("R2", -70)];
    play.wait_balances(&meanwhile.map(|(name, rate)| (name.to_owned(), rate)).into())?;

    play.restart("IS2")?;
    play.stage.wait_ready("IS2")?;
    let ready = Instant::now();
    golden::wait_links(&mut play, A)?;
    let case = golden::case(A)?;
    let balances = golden::balances(&case)?;
    play.wait_rates(&balances)?;
    let back = ready.elapsed();
    let allowed = Duration::from_millis(3 * u64::from(REFRESH_MS) + 2000);
    assert!(back <= allowed, "all was back after {back:?}, which may be {allowed:?}");
    golden::wait_case(&mut play, A)?;

    let checked = play.check_promise()?;
    // R1 and IS3 at IS2 and at IS1, IS2 at IS1, R2 at IS3.
    assert!(checked >= 6, "only {checked} accounts moved");
    sold_once(&start, &earned(&play)?);
    Ok(())
}

/// A payer that falls silent is billed to the end of its last approval, H = 1.5 R + 2 s after it
/// came, though its reservation stays until it times out much later (charging.md T3).
pub(crate) fn silent_payer() -> TestResult {
    // H is 5 s, and the state of a reservation lasts for 10.5 s.
    let setup = Setup { refresh_ms: 2000, ..chain::setup() };
    let mut play = Play::start(setup)?;
    play.stage.receive("R1", None)?;
    play.send()?;
    chain::wait_equilibrium(&mut play)?;
    play.kill("R1")?;
    let payer = IpAddr::V4(play.address_on("R1", "IS2")?);
    let view = play.wait("the end of R1's payments", |play| {
        let view = play.stage.accounts("IS2").map_err(|e| e.to_string())?;
        let account = view.accounts.iter().find(|account| account.neighbour == payer);
        let account = account.ok_or("no account of R1")?;
        if account.rate == 0 { Ok(account.clone()) } else { Err(format!("{account:?}")) }
    })?;
    let left = play.stage.reservations("IS2")?;
    assert_eq!(left.len(), 1, "R1's reservation is still there");
    let billed: u128 = view.receiver_payments_in.parse()?;
    let now_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let most = play.evidence().most("IS2", "R1", now_ms);
    assert!(billed <= most, "billed {billed}, and {most} were approved");
    // Nor was it let off: all that was approved and stood is billed, but for the first second, in
    // which the reservation was set up.
    assert!(billed + 98 * 1000 > most, "billed {billed} of {most} approved");
    Ok(())
}

/// While IS2's daemon is dead its kernel forwards PATH as any packet: behind IS2 they come from
/// hop IS1.
fn passed_by_the_kernel(play: &mut Play, mark: usize) -> TestResult {
    let hop = play.address_on("IS1", "IS2")?;
    for to in ["IS3", "R1"] {
        let path = play.wait_for(&format!("PATH past IS2 to {to}"), mark, |heard| {
            let of_is1 = heard.message.hop().is_some_and(|(address, _)| address == hop);
            heard.is("IS2", to, PATH) && of_is1
        })?;
        assert_eq!(path.ttl, path.message.send_ttl - 1, "forwarded");
        assert!(path.router_alert, "the next router still sees it");
        assert_eq!(path.message.dcpe().map(|dcpe| dcpe.max_total), Some(120), "IS1's own");
    }
    Ok(())
}

/// The clock and the balance of IS1.
fn earned(play: &Play) -> Result<(u64, i128), Box<dyn Error>> {
    let view = play.stage.accounts("IS1")?;
    Ok((view.as_of_ms, view.amount.parse()?))
}

/// IS1, which has nobody to pay above it, never earned more than the price of its one interface,
/// whoever stood behind that: IS2, IS3 and R1, or for a while all of them.
fn sold_once(start: &(u64, i128), end: &(u64, i128)) {
    let (ms, earned) = (end.0 - start.0, end.1 - start.1);
    assert!(earned <= 100 * i128::from(ms), "IS1 earned {earned} in {ms} ms");
}
