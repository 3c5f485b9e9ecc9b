//! Conferences: three senders share one reservation on each link, with one price, at every hop
//! (RFC 2205 section 1.3, charging.md section 1 "shared styles").
//!
//! ```text
//! S1 ─┐
//!     IS1 ──── IS2 ──── IS3 ── R2
//! S2 ─┘        │ └─ R1
//!              S3
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;

use lcm_daemon::control::Request;
use lcm_daemon::control::protocol::{
    ReceiveRequest, Reply, SendRequest, Share, StyleName, TrafficSpec,
};
use lcm_daemon::engine::Level;
use lcm_daemon::lab::Topology;
use lcm_tests::harness::TestResult;

use crate::support::play::{self, GROUP, PORT, Play};
use crate::support::wire::{PATH_TEAR, RESV};

const SENDERS: [&str; 3] = ["S1", "S2", "S3"];
const RECEIVERS: [&str; 2] = ["R1", "R2"];
const ALL: [&str; 8] = ["S1", "S2", "S3", "IS1", "IS2", "IS3", "R1", "R2"];
/// What every link reserves, whoever sends.
const SHARED_BITS_PER_S: u64 = 80_000;

/// What applications registered, by node.
type Handles = Vec<(&'static str, u64)>;

pub(crate) fn shared_explicit() -> TestResult {
    conference(StyleName::Se)
}

pub(crate) fn wildcard() -> TestResult {
    conference(StyleName::Wf)
}

fn conference(style: StyleName) -> TestResult {
    let (mut play, receivers) = start(style)?;
    let mut senders = BTreeMap::new();
    for sender in SENDERS {
        senders.insert(sender, send(&play, sender)?);
    }
    // IS1 earns on its link to IS2, IS2 on those to IS3 and R1, IS3 on that to R2: once each.
    let all = [("IS1", 100), ("IS2", 100), ("IS3", 50)];
    wait_at_rest(&mut play, style, &SENDERS, &all)?;
    for at in ["IS1", "IS2", "IS3"] {
        // S1 and S2 meet in IS1, and S3 joins them in IS2; IS3 gets what is merged already.
        wait_merged(&mut play, at)?;
    }

    // One leaves, and nothing changes for the others but that they share among fewer.
    leave(&mut play, "S2", &mut senders)?;
    wait_at_rest(&mut play, style, &["S1", "S3"], &all)?;
    // Behind IS1 nobody sends any more: its link carries nothing, and earns nothing.
    leave(&mut play, "S1", &mut senders)?;
    wait_at_rest(&mut play, style, &["S3"], &[("IS1", 0), ("IS2", 100), ("IS3", 50)])?;
    // They come back.
    for sender in ["S2", "S1"] {
        senders.insert(sender, send(&play, sender)?);
    }
    wait_at_rest(&mut play, style, &SENDERS, &all)?;

    for (receiver, handle) in receivers {
        play.close(receiver, handle)?;
    }
    play.wait("no reservation anywhere", |play| {
        for node in ALL {
            let left = play.stage.reservations(node).map_err(|e| e.to_string())?;
            if !left.is_empty() {
                return Err(format!("{node}: {left:?}"));
            }
        }
        Ok(())
    })?;
    wait_links(&mut play, &[])?;
    play.wait_balances(&ALL.map(|name| (name.to_owned(), 0)).into())
}

/// The network with both receivers in the group, waiting for senders.
fn start(style: StyleName) -> Result<(Play, Handles), Box<dyn Error>> {
    let links = [
        ("S1", "IS1"),
        ("S2", "IS1"),
        ("IS1", "IS2"),
        ("S3", "IS2"),
        ("IS2", "IS3"),
        ("IS2", "R1"),
        ("IS3", "R2"),
    ];
    let mut topology = Topology::tree(&["S1", "S2", "S3", "R1", "R2"], &links);
    topology.receivers = RECEIVERS.map(str::to_owned).into();
    let prices = [
        ("IS1", "IS2", 100, 120),
        ("IS2", "IS3", 60, 70),
        ("IS2", "R1", 40, 80),
        ("IS3", "R2", 50, 60),
    ];
    let mut play = Play::start(play::setup(topology, &prices, Some(GROUP)))?;
    for sender in SENDERS {
        let network = play.stage.network();
        let entries = network.multicast_entries(sender, IpAddr::V4(GROUP), &RECEIVERS)?;
        play.stage.forward(&entries)?;
    }
    let mut receivers = Vec::new();
    for receiver in RECEIVERS {
        let request = Request::Receive(ReceiveRequest {
            session: play.stage.session()?,
            sender: None,
            style,
            traffic: Some(traffic()),
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
        receivers.push((receiver, handle(play.stage.ask(receiver, &request)?)?));
    }
    Ok((play, receivers))
}

fn send(play: &Play, sender: &str) -> Result<u64, Box<dyn Error>> {
    let request = Request::Send(SendRequest {
        session: play.stage.session()?,
        source: (play.stage.address(sender)?, PORT).into(),
        traffic: traffic(),
        ttl: 63,
        interface: None,
        proxy: None,
        share: Some(Share::default()),
        detach: true,
    });
    handle(play.stage.ask(sender, &request)?)
}

fn traffic() -> TrafficSpec {
    let rate = SHARED_BITS_PER_S / 8;
    TrafficSpec { rate, bucket: 2_000, peak: None, min_policed: 64, max_packet: 1_500 }
}

fn handle(reply: Reply) -> Result<u64, Box<dyn Error>> {
    match reply {
        Reply::Handle(handle) => Ok(handle),
        other => Err(format!("{other:?}").into()),
    }
}

fn leave(
    play: &mut Play,
    sender: &'static str,
    senders: &mut BTreeMap<&'static str, u64>,
) -> TestResult {
    let mark = play.mark();
    let handle = senders.remove(sender).ok_or("nobody sends there")?;
    play.close(sender, handle)?;
    play.wait_for("its PATHTEAR", mark, |heard| heard.is("IS3", "R2", PATH_TEAR))?;
    Ok(())
}

/// Waits until exactly these send, on each link that their data takes one reservation stands, and
/// the routers earn what they should; the receivers together pay all of it.
fn wait_at_rest(
    play: &mut Play,
    style: StyleName,
    sending: &[&str],
    earned: &[(&str, i64)],
) -> TestResult {
    let mut sources = Vec::new();
    for sender in sending {
        sources.push(play.stage.address(sender)?);
    }
    sources.sort_unstable();
    play.wait("one reservation for all who send", |play| {
        let all = play.stage.reservations("IS3").map_err(|e| e.to_string())?;
        let mut served: Vec<IpAddr> = all.iter().map(|view| view.sender.source).collect();
        served.sort_unstable();
        if served == sources { Ok(()) } else { Err(format!("{all:?}")) }
    })?;
    wait_links(play, sending)?;
    for view in play.stage.reservations("IS3")? {
        let wanted = if style == StyleName::Se { "SE" } else { "WF" };
        assert_eq!(view.style, wanted, "{view:?}");
    }
    let mut silent: BTreeMap<String, i64> = SENDERS.map(|name| (name.to_owned(), 0)).into();
    silent.extend(earned.iter().map(|(name, rate)| ((*name).to_owned(), *rate)));
    play.wait_balances(&silent)?;
    let total: i64 = earned.iter().map(|(_, rate)| rate).sum();
    play.wait("what the receivers pay", |play| {
        let mut paid = 0;
        for receiver in RECEIVERS {
            paid -= play.stage.accounts(receiver).map_err(|e| e.to_string())?.rate;
        }
        if paid == total { Ok(()) } else { Err(format!("{paid}, not {total}")) }
    })?;
    // A RESV of a shared style has one flowspec, however many senders it is for.
    let resv = play.last("R2", "IS3", RESV).ok_or("no RESV")?;
    let flowspecs = resv.message.objects.iter();
    assert_eq!(
        flowspecs.filter(|object| object.class == crate::support::wire::FLOWSPEC).count(),
        1
    );
    Ok(())
}

/// Waits until each link that these senders' data takes reserves once, and the others nothing.
fn wait_links(play: &mut Play, sending: &[&str]) -> TestResult {
    let sends = |names: &[&str]| names.iter().any(|name| sending.contains(name));
    let links = [
        ("S1", "IS1", sends(&["S1"])),
        ("S2", "IS1", sends(&["S2"])),
        ("S3", "IS2", sends(&["S3"])),
        ("IS1", "IS2", sends(&["S1", "S2"])),
        ("IS2", "IS3", sends(&SENDERS)),
        ("IS2", "R1", sends(&SENDERS)),
        ("IS3", "R2", sends(&SENDERS)),
    ];
    for (from, to, used) in links {
        play.wait_reserved(from, to, if used { SHARED_BITS_PER_S } else { 0 })?;
    }
    Ok(())
}

/// Waits until a router has told traffic control to police where the senders' flows merge
/// (RFC 2205 section 3.8, M_Police_Flag).
fn wait_merged(play: &mut Play, at: &str) -> TestResult {
    play.wait(&format!("policing of merged flows in {at}"), |play| {
        let daemon = play.stage.daemon(at).map_err(|e| e.to_string())?;
        let log = std::fs::read_to_string(daemon.process().stderr()).map_err(|e| e.to_string())?;
        let mut told = log.lines().filter(|line| line.contains("traffic control"));
        let merged = told.any(|line| line.contains("merge: true"));
        if merged { Ok(()) } else { Err("no such line in its log".to_owned()) }
    })
}
