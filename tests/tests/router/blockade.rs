//! A reservation that a link has no room for does not stand in the way of one that it has room for
//! (RFC 2205 section 3.5, the first kind of killer reservation).

use std::error::Error;

use lcm_daemon::control::Request;
use lcm_daemon::control::protocol::{ReceiveRequest, SendRequest, Share, StyleName, TrafficSpec};
use lcm_daemon::demo::stage::Setup;
use lcm_daemon::engine::Level;
use lcm_daemon::lab::Topology;
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::support::play::{self, GROUP, PORT, Play};
use crate::support::programs::{Talker, at_node};
use crate::support::wire::{RESV, RESV_ERR};

/// In bytes per second; the link from IS1 to IS2 has room for the small one alone.
const SMALL: u64 = 10_000;
const BIG: u64 = 100_000;
const ROOM_BITS_PER_S: u64 = 200_000;

pub(crate) fn small_one_stays() -> TestResult {
    let links = [("S", "IS1"), ("IS1", "IS2"), ("IS2", "R1"), ("IS2", "R2")];
    let topology = Topology::tree(&["S", "R1", "R2"], &links);
    let prices = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80), ("IS2", "R2", 40, 80)];
    let narrow = [(("IS1".to_owned(), "IS2".to_owned()), ROOM_BITS_PER_S)].into();
    let setup = Setup { reservable: narrow, ..play::setup(topology, &prices, Some(GROUP)) };
    let mut play = Play::start(setup)?;
    send(&play)?;
    let session = play.stage.session()?;
    let request = Request::Receive(ReceiveRequest {
        session,
        sender: None,
        style: StyleName::Ff,
        traffic: Some(traffic(SMALL)),
        max_payment: None,
        budget: None,
        interface: None,
        confirm: false,
        identity: None,
        priority: None,
        cheapest: None,
        detail: Level::Totals,
        detach: true,
    });
    play.stage.ask("R1", &request)?;
    play.wait_reserved("S", "IS1", SMALL * 8)?;

    let mark = play.mark();
    let destination = session.destination.to_string();
    let rate = format!("{BIG}");
    let arguments = ["receive", &destination, "--rate", &rate, "--bucket", "2000", "--json"];
    let mut big = Talker::start(at_node(&play, "R2", &arguments)?)?;
    let line = big.wait_line("the refusal", |line| line.contains("error"))?;
    let notice: Value = serde_json::from_str(&line)?;
    assert_eq!((&notice["event"]["code"], &notice["event"]["value"]), (&1.into(), &2.into()));

    // It is tried again when the blockade wears off, refused again, and between that refreshed.
    let refuser = play.address_on("IS1", "IS2")?;
    let mut watched = 0;
    play.wait("two refusals of the big one and five of its refreshes", |play| {
        small_stands(play).map_err(|e| e.to_string())?;
        watched += 1;
        let later = play.heard().get(mark..).unwrap_or_default();
        let refused = later.iter().filter(|heard| heard.is("IS2", "R2", RESV_ERR)).count();
        let refreshed = later.iter().filter(|heard| heard.is("R2", "IS2", RESV)).count();
        let seen = format!("{refused} refusals, {refreshed} refreshes");
        if refused >= 2 && refreshed >= 6 { Ok(()) } else { Err(seen) }
    })?;
    assert!(watched > 10, "looked at {watched} times");
    let later = play.heard().get(mark..).unwrap_or_default();
    let errors: Vec<_> = later.iter().filter(|heard| heard.message.kind == RESV_ERR).collect();
    for heard in &errors {
        let error = heard.message.error().ok_or("a RESVERR without ERROR_SPEC")?;
        assert_eq!((error.code, error.value, error.node), (1, 2, refuser));
        let way = (heard.from.as_str(), heard.to.as_str());
        assert!([("IS1", "IS2"), ("IS2", "R2")].contains(&way), "{way:?} was told");
    }

    // Without the big one, all is as if it had never been.
    drop(big);
    play.wait_reserved("IS2", "R2", 0)?;
    small_stands(&play)?;
    let balances = [("S", 0), ("IS1", 100), ("IS2", 40), ("R1", -140), ("R2", 0)];
    play.wait_balances(&balances.map(|(name, rate)| (name.to_owned(), rate)).into())
}

/// The small reservation stands on all its way.
fn small_stands(play: &Play) -> TestResult {
    for (from, to) in [("S", "IS1"), ("IS1", "IS2"), ("IS2", "R1")] {
        let reserved = play.reserved(from, to)?;
        assert_eq!(reserved, SMALL * 8, "{from}->{to}");
    }
    Ok(())
}

/// A sender of as much as the big receiver wants, who pays nothing.
fn send(play: &Play) -> Result<(), Box<dyn Error>> {
    let request = Request::Send(SendRequest {
        session: play.stage.session()?,
        source: (play.stage.address("S")?, PORT).into(),
        traffic: traffic(BIG),
        ttl: 63,
        interface: None,
        proxy: None,
        share: Some(Share::default()),
        detach: true,
    });
    play.stage.ask("S", &request)?;
    Ok(())
}

fn traffic(rate: u64) -> TrafficSpec {
    TrafficSpec { rate, bucket: 2_000, peak: None, min_policed: 64, max_packet: 1_500 }
}
