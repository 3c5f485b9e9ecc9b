//! The way of a reservation changes: its link goes down, its route or its tree is replaced.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use lcm_daemon::demo::stage::Setup;
use lcm_daemon::lab::{ForwardingEntry, Topology};
use lcm_tests::harness::TestResult;

use crate::support::play::{self, GROUP, Play};
use crate::support::wire::{PATH, PATH_TEAR};

/// Two ways from S to R1: IS1–IS2–IS4 and IS1–IS3–IS4.
const LINKS: [(&str, &str); 6] =
    [("S", "IS1"), ("IS1", "IS2"), ("IS2", "IS4"), ("IS1", "IS3"), ("IS3", "IS4"), ("IS4", "R1")];

/// IS3's way is cheaper.
const PRICES: [(&str, &str, u64, u64); 5] = [
    ("IS1", "IS2", 100, 120),
    ("IS2", "IS4", 20, 20),
    ("IS1", "IS3", 70, 70),
    ("IS3", "IS4", 10, 10),
    ("IS4", "R1", 40, 80),
];

/// Refresh period of the tests in which nothing may wait for a refresh.
const SLOW_REFRESH_MS: u32 = 30_000;

/// How long local repair may take with it (RFC 2205 section 3.6: the least refresh is 15 s away).
const REPAIR: Duration = Duration::from_secs(5);

/// The bits per second of a session.
const RESERVED: u64 = 80_000;

fn setup(prices: &[(&str, &str, u64, u64)], group: Option<Ipv4Addr>) -> Setup {
    play::setup(Topology::tree(&["S", "R1"], &LINKS), prices, group)
}

pub(crate) fn link_down_and_up() -> TestResult {
    let mut play = Play::start(setup(&PRICES, None))?;
    // The way round, for when the better route is gone.
    let is1 = play.stage.network().get("IS1")?;
    let around = IpAddr::V4(play.address_on("IS3", "IS1")?);
    is1.route(("10.0.0.0".parse()?, 16), Some(around), "to-IS3")?;

    play.send()?;
    play.stage.receive("R1", None)?;
    over_is2(&mut play)?;

    // The kernel takes the routes over a link that is down with it, and tells nobody of them.
    let down = play.mark();
    is1.set_link("to-IS2", false)?;
    over_is3(&mut play)?;
    play.wait_empty(&["IS2"])?;
    // IS2 was not heard of by IS4 again, but for what it said before it knew.
    let later = play.heard().get(down..).unwrap_or_default();
    let stale = later.iter().filter(|heard| heard.is("IS2", "IS4", PATH)).count();
    assert!(stale <= 1, "IS2 announced {stale} times what cannot come over it");

    let mark = play.mark();
    is1.set_link("to-IS2", true)?;
    let back = IpAddr::V4(play.address_on("IS2", "IS1")?);
    is1.route(("10.0.6.0".parse()?, 24), Some(back), "to-IS2")?;
    over_is2(&mut play)?;
    // IS3 would go on to refresh IS4 until its state timed out, and IS4 would follow it each time.
    play.wait_for("the end of the old way", mark, |heard| heard.is("IS1", "IS3", PATH_TEAR))?;
    play.wait_empty(&["IS3"])
}

/// The better route is replaced, and comes back, while all links stay up.
pub(crate) fn route_replaced() -> TestResult {
    let slow = Setup { refresh_ms: SLOW_REFRESH_MS, ..setup(&PRICES, None) };
    let mut play = Play::start(slow)?;
    let receivers_link = ("10.0.6.0".parse()?, 24);
    let is1 = play.stage.network().get("IS1")?;
    let ways = [("IS2", play.address_on("IS2", "IS1")?), ("IS3", play.address_on("IS3", "IS1")?)];
    let [over_2, over_3] = ways.map(|(next, gateway)| {
        let is1 = is1.clone();
        move || is1.route(receivers_link, Some(IpAddr::V4(gateway)), &format!("to-{next}"))
    });
    over_2()?;
    play.send()?;
    play.wait_announced("IS4", "R1", 160, 220)?;
    play.stage.receive("R1", None)?;
    over_is2(&mut play)?;

    let (mark, changed) = (play.mark(), Instant::now());
    over_3()?;
    over_is3(&mut play)?;
    left(&mut play, mark, "IS2", "IS3")?;
    soon(changed);

    let (mark, changed) = (play.mark(), Instant::now());
    over_2()?;
    over_is2(&mut play)?;
    left(&mut play, mark, "IS3", "IS2")?;
    soon(changed);
    Ok(())
}

/// A multicast routing daemon moves the tree. Both ways cost the same, so that no change of a price
/// is what brings the messages that are needed.
pub(crate) fn tree_moved() -> TestResult {
    let prices = PRICES.map(|(from, to, price, most)| match (from, to) {
        ("IS1", _) => (from, to, 100, 120),
        (_, "IS4") => (from, to, 20, 20),
        _ => (from, to, price, most),
    });
    let slow = Setup { refresh_ms: SLOW_REFRESH_MS, ..setup(&prices, Some(GROUP)) };
    let mut play = Play::start(slow)?;
    tree(&mut play, "IS2", &["IS4", "IS1"])?;
    // A host that joins hears only what is said later.
    play.stage.receive("R1", None)?;
    play.send()?;
    let balances = |over: &str| -> BTreeMap<String, i64> {
        let all = [("S", -48), ("IS1", 100), ("IS2", 0), ("IS3", 0), ("IS4", 40), ("R1", -112)];
        let paid = all.map(|(name, rate)| (name, if name == over { 20 } else { rate }));
        paid.map(|(name, rate)| (name.to_owned(), rate)).into()
    };
    play.wait_balances(&balances("IS2"))?;

    // Whether the lower or the upper router hears first.
    for (next, old, order) in [("IS3", "IS2", ["IS4", "IS1"]), ("IS2", "IS3", ["IS1", "IS4"])] {
        let (mark, changed) = (play.mark(), Instant::now());
        tree(&mut play, next, &order)?;
        play.wait_announced(next, "IS4", 120, 140)?;
        play.wait_paid("R1", "IS4", 112)?;
        play.wait_balances(&balances(next))?;
        left(&mut play, mark, old, next)?;
        soon(changed);
    }
    Ok(())
}

/// Routes the group over one of the two ways: the router on it, then the two that it joins in the
/// order that is given.
fn tree(play: &mut Play, over: &str, order: &[&str]) -> TestResult {
    let source = play.stage.address("S")?;
    let entry = |node: &str, incoming: &str, outgoing: &str| ForwardingEntry {
        node: node.to_owned(),
        source,
        group: IpAddr::V4(GROUP),
        incoming: format!("to-{incoming}"),
        outgoing: vec![format!("to-{outgoing}")],
    };
    play.stage.forward(&[entry(over, "IS1", "IS4")])?;
    for node in order {
        let joined =
            if *node == "IS1" { entry("IS1", "S", over) } else { entry("IS4", over, "R1") };
        play.stage.forward(&[joined])?;
    }
    Ok(())
}

/// Waits until the old way is told, forgets, and has nothing reserved; the new way has it all.
fn left(play: &mut Play, mark: usize, old: &str, new: &str) -> TestResult {
    play.wait_for("the end of the old way", mark, |heard| heard.is("IS1", old, PATH_TEAR))?;
    play.wait_empty(&[old])?;
    for (way, reserved) in [(old, 0), (new, RESERVED)] {
        play.wait_reserved("IS1", way, reserved)?;
        play.wait_reserved(way, "IS4", reserved)?;
    }
    play.wait_reserved("IS4", "R1", RESERVED)
}

fn soon(changed: Instant) {
    let took = changed.elapsed();
    assert!(took < REPAIR, "local repair took {took:?}, with R = {SLOW_REFRESH_MS} ms");
}

fn over_is2(play: &mut Play) -> TestResult {
    play.wait_announced("IS1", "IS2", 100, 120)?;
    play.wait_announced("IS2", "IS4", 120, 140)?;
    play.wait_announced("IS4", "R1", 160, 220)?;
    play.wait_paid("R1", "IS4", 112)?;
    play.wait_paid("IS4", "IS2", 84)?;
    play.wait_paid("IS2", "IS1", 70)?;
    play.wait_paid("IS1", "S", 112)?;
    let balances = [("S", -48), ("IS1", 100), ("IS2", 20), ("IS3", 0), ("IS4", 40), ("R1", -112)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())
}

fn over_is3(play: &mut Play) -> TestResult {
    play.wait_announced("IS1", "IS3", 70, 70)?;
    play.wait_announced("IS3", "IS4", 80, 80)?;
    play.wait_announced("IS4", "R1", 120, 160)?;
    play.wait_paid("R1", "IS4", 84)?;
    play.wait_paid("IS4", "IS3", 56)?;
    play.wait_paid("IS3", "IS1", 49)?;
    let balances = [("S", -36), ("IS1", 70), ("IS2", 0), ("IS3", 10), ("IS4", 40), ("R1", -84)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())
}
