//! A router X between that forwards packets and knows nothing of RSVP.

use std::net::IpAddr;

use lcm_daemon::lab::{Role, Topology};
use lcm_tests::harness::TestResult;

use crate::support::play::{self, GROUP, Play};
use crate::support::wire::{ADSPEC, Message, PATH, RESV};

/// Flag B: a hop that does not charge was passed.
const PASSED: u8 = 0x02;

pub(crate) fn unicast() -> TestResult {
    let topology = Topology::chain(&["S", "IS1", "X", "IS2", "R1"]).with_role("X", Role::Plain);
    let prices = [("IS1", "X", 100, 120), ("IS2", "R1", 40, 80)];
    let mut play = Play::start(play::setup(topology, &prices, None))?;
    play.send()?;
    play.wait_announced("IS1", "X", 100, 120)?;
    let dcpe = play.wait_announced("X", "IS2", 100, 120)?;
    assert_eq!(dcpe.flags & PASSED, 0, "IS1 cannot know of X");
    let hop = play.address_on("IS1", "X")?;
    let path = play.last("X", "IS2", PATH).ok_or("no PATH")?;
    assert_eq!(path.message.hop().map(|(address, _)| address), Some(hop), "PHOP is IS1");
    assert_eq!(path.ttl, path.message.send_ttl - 1, "X forwards it as any packet");
    let dcpe = play.wait_announced("IS2", "R1", 140, 200)?;
    assert_eq!(dcpe.flags & PASSED, PASSED, "{dcpe:?}");
    let mut breaks = |from, to| {
        let path = play.last(from, to, PATH).ok_or("no PATH")?;
        break_bit(&path.message).ok_or("no ADSPEC")
    };
    let seen = [breaks("IS1", "X")?, breaks("X", "IS2")?, breaks("IS2", "R1")?];
    assert_eq!(seen, [false, false, true], "IS2 says that there was a break of the services");
    let sessions = play.stage.sessions("IS2")?;
    assert!(sessions.iter().flat_map(|s| &s.senders).all(|sender| sender.non_rsvp_hop));
    let sessions = play.stage.sessions("IS1")?;
    assert!(sessions.iter().flat_map(|s| &s.senders).all(|sender| !sender.non_rsvp_hop));

    play.stage.receive("R1", None)?;
    play.wait_paid("R1", "IS2", 98)?;
    play.wait_paid("IS2", "X", 70)?;
    play.wait_paid("X", "IS1", 70)?;
    let resv = play.last("X", "IS1", RESV).ok_or("no RESV")?;
    assert_eq!(resv.destination, IpAddr::V4(hop));
    play.wait_paid("IS1", "S", 98)?;
    let balances = [("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())
}

/// The global break bit of a PATH's ADSPEC: the flag of the default general parameters, service 1,
/// which come first (RFC 2210 section 3.3.1).
fn break_bit(message: &Message) -> Option<bool> {
    let body = message.object(ADSPEC)?;
    let (service, flags) = (*body.get(4)?, *body.get(5)?);
    (service == 1).then_some(flags & 0x80 != 0)
}

/// X copies one PATH to two hops that pay: each is quoted its own part of the price of IS1's one
/// interface, by its address (charging.md D10).
pub(crate) fn multicast() -> TestResult {
    let links = [("S", "IS1"), ("IS1", "X"), ("X", "R1"), ("X", "IS2"), ("IS2", "R2")];
    let topology = Topology::tree(&["S", "R1", "R2"], &links).with_role("X", Role::Plain);
    let prices = [("IS1", "X", 100, 120), ("IS2", "R2", 40, 80)];
    let mut play = Play::start(play::setup(topology, &prices, Some(GROUP)))?;
    play.send()?;
    for to in ["R1", "IS2"] {
        play.wait_announced("X", to, 100, 120)?;
    }
    let dcpe = play.wait_announced("IS2", "R2", 140, 200)?;
    assert_eq!(dcpe.flags & PASSED, PASSED, "{dcpe:?}");

    play.stage.receive("R2", None)?;
    play.wait_paid("R2", "IS2", 98)?;
    play.wait_paid("X", "IS1", 70)?;
    play.wait_paid("IS1", "S", 98)?;
    play.stage.receive("R1", None)?;
    play.wait_paid("R1", "X", 35)?;
    play.wait_paid("IS2", "X", 35)?;
    play.wait_paid("R2", "IS2", 63)?;
    play.wait_paid("IS1", "S", 98)?;
    let (r1, is2) = (play.address_on("R1", "X")?, play.address_on("IS2", "X")?);
    for (to, peer) in [("R1", r1), ("IS2", is2)] {
        play.wait(&format!("a DCPE for {to}"), |play| {
            let path = play.last("X", to, PATH).ok_or("no PATH")?;
            let dcpes = path.message.dcpes();
            let own = dcpes.iter().find(|dcpe| dcpe.destination == Some(peer));
            let total = own.map(|dcpe| dcpe.total);
            if total == Some(50) { Ok(()) } else { Err(format!("{dcpes:?}")) }
        })?;
    }
    let balances = [("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -35), ("R2", -63)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())
}
