//! S–IS1–IS2–R1 with a unicast session.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::IpAddr;

use lcm_daemon::demo::stage::Setup;
use lcm_daemon::lab::Topology;
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::support::play::{self, Play};
use crate::support::programs::{Talker, at_node};
use crate::support::wire::{PATH, RESV, RESV_CONF};

/// The chain with prices of 100 and 40.
pub(crate) fn setup() -> Setup {
    let prices = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80)];
    play::setup(Topology::chain(&["S", "IS1", "IS2", "R1"]), &prices, None)
}

/// The chain, running.
pub(crate) fn start() -> Result<Play, Box<dyn Error>> {
    Play::start(setup())
}

/// The balances of the chain: the sender pays ⌈3/10 of 140⌉.
pub(crate) fn balances() -> BTreeMap<String, i64> {
    [("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)]
        .map(|(name, rate)| (name.to_owned(), rate))
        .into()
}

/// Waits for the session's announcements, payments and rates, hop by hop.
pub(crate) fn wait_equilibrium(play: &mut Play) -> TestResult {
    play.wait_announced("S", "IS1", 0, 0)?;
    play.wait_announced("IS1", "IS2", 100, 120)?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    play.wait_paid("R1", "IS2", 98)?;
    play.wait_paid("IS2", "IS1", 70)?;
    play.wait_paid("IS1", "S", 98)?;
    play.wait_balances(&balances())
}

pub(crate) fn hop_by_hop() -> TestResult {
    let mut play = start()?;
    play.send()?;
    let (sender, receiver) = (play.stage.address("S")?, play.stage.address("R1")?);
    for (from, to, total, max_total) in
        [("S", "IS1", 0, 0), ("IS1", "IS2", 100, 120), ("IS2", "R1", 140, 200)]
    {
        let dcpe = play.wait_announced(from, to, total, max_total)?;
        assert_eq!((dcpe.fraction, dcpe.flags), (play::FRACTION, 0), "{from}->{to}");
        let hop = play.address_on(from, to)?;
        let path = play.last(from, to, PATH).ok_or("no PATH")?;
        assert_eq!((path.source, path.destination), (sender, receiver), "{from}->{to}");
        assert!(path.router_alert && path.ttl == path.message.send_ttl, "{from}->{to}: {path:?}");
        assert_eq!(path.message.hop().map(|(address, _)| address), Some(hop), "{from}->{to}");
    }
    assert!(play.heard().iter().all(|heard| heard.message.kind == PATH), "nobody reserved");

    play.stage.receive("R1", None)?;
    // payment, A, B, sender payment: charging.md section 1.
    let payments = [
        ("R1", "IS2", [98, 140, 0, 0]),
        ("IS2", "IS1", [70, 140, 40, 12]),
        ("IS1", "S", [98, 140, 140, 42]),
    ];
    for (from, to, wanted) in payments {
        play.wait(&format!("RESV {from}->{to} with {wanted:?}"), |play| {
            let ucpe = play.paid(from, to).ok_or("no RESV with a UCPE")?;
            let seen = [ucpe.payment, ucpe.announced_total, ucpe.local_sum, ucpe.sender_payment];
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?}")) }
        })?;
        let (own, neighbour) = (play.address_on(from, to)?, play.address_on(to, from)?);
        let resv = play.last(from, to, RESV).ok_or("no RESV")?;
        let ends = (resv.source, resv.destination);
        assert_eq!(ends, (IpAddr::V4(own), IpAddr::V4(neighbour)), "hop by hop");
        assert_eq!(resv.message.hop().map(|(address, _)| address), Some(own));
    }
    play.wait_balances(&balances())?;
    only_neighbours(&play)?;
    assert!(play.noise.is_empty(), "{:?}", play.noise);
    Ok(())
}

/// Each node has accounts with its neighbours and nobody else.
fn only_neighbours(play: &Play) -> TestResult {
    let neighbours: [(&str, &[&str]); 4] =
        [("S", &["IS1"]), ("IS1", &["S", "IS2"]), ("IS2", &["IS1", "R1"]), ("R1", &["IS2"])];
    for (node, peers) in neighbours {
        let mut expected = BTreeSet::new();
        for peer in peers {
            expected.insert(IpAddr::V4(play.address_on(peer, node)?));
        }
        let accounts = play.stage.accounts(node)?.accounts;
        let seen: BTreeSet<IpAddr> = accounts.iter().map(|account| account.neighbour).collect();
        assert_eq!(seen, expected, "accounts of {node}");
    }
    Ok(())
}

pub(crate) fn confirmation() -> TestResult {
    let mut play = start()?;
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    let session = play.stage.session()?.destination.to_string();
    let command = at_node(&play, "R1", &["receive", &session, "--confirm", "--json"])?;
    let mut receiver = Talker::start(command)?;
    let line = receiver.wait_line("a confirmation", |line| line.contains("confirmed"))?;
    let notice: Value = serde_json::from_str(&line)?;
    assert_eq!(notice["event"]["event"], "confirmed", "{line}");
    let destination = play.stage.address("R1")?;
    for (from, to) in [("S", "IS1"), ("IS1", "IS2"), ("IS2", "R1")] {
        let what = format!("RESVCONF {from}->{to}");
        let conf = play.wait_for(&what, 0, |heard| heard.is(from, to, RESV_CONF))?;
        assert_eq!(conf.destination, destination, "{from}->{to}");
        assert!(conf.message.dcpe().is_none() && conf.message.ucpe().is_none());
    }
    Ok(())
}
