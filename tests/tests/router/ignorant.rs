//! A router X between that speaks RSVP and does not charge: it carries what the others say to each
//! other, and no money comes or goes there (RFC 2750 section 2.3, charging.md D10).

use lcm_daemon::demo::stage::Setup;
use lcm_daemon::lab::Topology;
use lcm_tests::harness::TestResult;

use crate::support::play::{self, GROUP, Play};
use crate::support::wire::PATH;

fn around(setup: Setup) -> Setup {
    Setup { ignorant: ["X".to_owned()].into(), ..setup }
}

pub(crate) fn unicast() -> TestResult {
    let topology = Topology::chain(&["S", "IS1", "X", "IS2", "R1"]);
    let prices = [("IS1", "X", 100, 120), ("IS2", "R1", 40, 80)];
    let mut play = Play::start(around(play::setup(topology, &prices, None)))?;
    play.send()?;
    let said = play.wait_announced("IS1", "X", 100, 120)?;
    let carried = play.wait_announced("X", "IS2", 100, 120)?;
    assert_eq!(said, carried, "X passes on what IS1 says, and adds nothing");
    let hop = play.address_on("X", "IS2")?;
    let path = play.last("X", "IS2", PATH).ok_or("no PATH")?;
    assert_eq!(path.message.hop().map(|(address, _)| address), Some(hop), "X is a hop");
    assert_eq!(path.ttl, path.message.send_ttl, "of RSVP");
    play.wait_announced("IS2", "R1", 140, 200)?;
    for node in ["IS1", "X", "IS2", "R1"] {
        let sessions = play.stage.sessions(node)?;
        let mut senders = sessions.iter().flat_map(|session| &session.senders);
        assert!(senders.all(|sender| !sender.non_rsvp_hop), "{node}: every hop speaks RSVP");
    }

    play.stage.receive("R1", None)?;
    play.wait_paid("R1", "IS2", 98)?;
    play.wait_paid("X", "IS1", 70)?;
    play.wait_paid("IS1", "S", 98)?;
    for (from, to) in [("IS1", "X"), ("X", "IS2"), ("IS2", "R1")] {
        play.wait_reserved(from, to, 80_000)?;
    }
    let balances = [("S", -42), ("IS1", 100), ("X", 0), ("IS2", 40), ("R1", -98)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())?;
    assert!(play.stage.accounts("X")?.accounts.is_empty(), "X has no accounts");
    Ok(())
}

/// Behind X the tree branches, and both branches share IS1's price and X's nothing.
pub(crate) fn multicast() -> TestResult {
    let links = [("S", "IS1"), ("IS1", "X"), ("X", "IS2"), ("IS2", "R1"), ("IS2", "R2")];
    let topology = Topology::tree(&["S", "R1", "R2"], &links);
    let prices = [("IS1", "X", 100, 120), ("IS2", "R1", 40, 80), ("IS2", "R2", 60, 80)];
    let mut play = Play::start(around(play::setup(topology, &prices, Some(GROUP))))?;
    play.send()?;
    play.stage.receive("R2", None)?;
    let one = [("S", -48), ("IS1", 100), ("X", 0), ("IS2", 60), ("R1", 0), ("R2", -112)];
    play.wait_balances(&one.map(|(name, rate)| (name.to_owned(), rate)).into())?;
    let r1 = play.stage.receive("R1", None)?;
    let both = [("S", -60), ("IS1", 100), ("X", 0), ("IS2", 100), ("R1", -63), ("R2", -77)];
    play.wait_balances(&both.map(|(name, rate)| (name.to_owned(), rate)).into())?;

    // What R1 paid for IS1's link falls to R2 again when it goes.
    play.close("R1", r1)?;
    play.wait_balances(&one.map(|(name, rate)| (name.to_owned(), rate)).into())
}
