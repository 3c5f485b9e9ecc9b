//! A link goes down under a unicast reservation, and comes back.

use std::net::IpAddr;

use lcm_daemon::lab::Topology;
use lcm_tests::harness::TestResult;

use crate::support::play::{self, Play};
use crate::support::wire::{PATH, PATH_TEAR};

pub(crate) fn link_down_and_up() -> TestResult {
    let links = [
        ("S", "IS1"),
        ("IS1", "IS2"),
        ("IS2", "IS4"),
        ("IS1", "IS3"),
        ("IS3", "IS4"),
        ("IS4", "R1"),
    ];
    let prices = [
        ("IS1", "IS2", 100, 120),
        ("IS2", "IS4", 20, 20),
        ("IS1", "IS3", 70, 70),
        ("IS3", "IS4", 10, 10),
        ("IS4", "R1", 40, 80),
    ];
    let topology = Topology::tree(&["S", "R1"], &links);
    let mut play = Play::start(play::setup(topology, &prices, None))?;
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
    play.wait_announced("IS1", "IS3", 70, 70)?;
    play.wait_announced("IS3", "IS4", 80, 80)?;
    play.wait_announced("IS4", "R1", 120, 160)?;
    play.wait_paid("R1", "IS4", 84)?;
    play.wait_paid("IS4", "IS3", 56)?;
    play.wait_paid("IS3", "IS1", 49)?;
    let balances = [("S", -36), ("IS1", 70), ("IS2", 0), ("IS3", 10), ("IS4", 40), ("R1", -84)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())?;
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
