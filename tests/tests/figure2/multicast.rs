//! The multicast session of the figure: quotes, A, C and B, asserted at each hop from what was
//! captured there.

use std::net::IpAddr;

use lcm_daemon::control::Request;
use lcm_tests::harness::TestResult;

use crate::support::golden::{self, A, B, C};
use crate::support::play::{self, GROUP, Heard, PORT, Play};
use crate::support::wire::{PATH, RESV, RESV_ERR};

/// C and M of each link before anybody reserves: a receiver would pay for its whole path (T7).
const QUOTES: [(&str, &str, u64, u64); 5] = [
    ("S", "IS1", 0, 0),
    ("IS1", "IS2", 100, 120),
    ("IS2", "IS3", 160, 190),
    ("IS2", "R1", 140, 200),
    ("IS3", "R2", 210, 250),
];

pub(crate) fn figure_hop_by_hop() -> TestResult {
    let mut play = Play::start(play::figure())?;
    play.send()?;
    for (from, to, total, max_total) in QUOTES {
        play.wait_announced(from, to, total, max_total)?;
        check_path_header(&mut play, from, to)?;
    }
    // Nobody has reserved, so nobody pays (r047).
    assert!(play.heard().iter().all(|heard| heard.message.kind == PATH));

    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, C)?;

    // R1 joins: what it is quoted, it pays, and IS2 splits its charge of 100 anew.
    let joining = play.mark();
    let r1 = play.stage.receive("R1", None)?;
    let offer = play.wait_for("R1's RESV", joining, |heard| heard.is("R1", "IS2", RESV))?;
    assert_eq!(offer.message.ucpe().map(|ucpe| ucpe.payment), Some(63), "(1 - 3/10) of 90");
    golden::wait_case(&mut play, A)?;

    play.close("R1", r1)?;
    golden::wait_case(&mut play, C)?;

    play.stage.ask(
        "IS2",
        &Request::Price {
            interface: "to-R1".to_owned(),
            price: 60,
            max_price: None,
            at_admission: true,
        },
    )?;
    let returning = play.mark();
    play.stage.receive("R1", None)?;
    golden::wait_case(&mut play, B)?;
    check_refusal(play.heard().get(returning..).unwrap_or_default());
    assert!(play.noise.is_empty(), "{:?}", play.noise);
    Ok(())
}

/// A PATH looks as if the sender had sent it, but for its hop, and routers are to read it.
fn check_path_header(play: &mut Play, from: &str, to: &str) -> TestResult {
    let hop = play.address_on(from, to)?;
    let sender = play.stage.address("S")?;
    let path = play.last(from, to, PATH).ok_or("no PATH")?;
    assert_eq!(path.message.hop().map(|(address, _)| address), Some(hop), "{from}->{to}");
    assert_eq!((path.source, path.destination), (sender, IpAddr::V4(GROUP)), "{from}->{to}");
    assert!(path.router_alert && path.ttl == path.message.send_ttl, "{from}->{to}: {path:?}");
    assert_eq!(path.message.session(), Some((GROUP, PORT)));
    Ok(())
}

/// R1 offers what it had been quoted, is refused, quoted anew, and pays that (r100).
fn check_refusal(said: &[Heard]) {
    let between = |heard: &&Heard| {
        (heard.from == "R1" && heard.to == "IS2") || (heard.from == "IS2" && heard.to == "R1")
    };
    let mut story = Vec::new();
    for heard in said.iter().filter(between) {
        let message = &heard.message;
        let line = match message.kind {
            RESV => format!("offer {:?}", message.ucpe().map(|ucpe| ucpe.payment)),
            PATH => format!("quote {:?}", message.dcpe().map(|dcpe| dcpe.total)),
            RESV_ERR => {
                let error = message.error().map(|error| (error.code, error.value));
                format!("refusal {error:?} {:?}", message.charging_error())
            }
            other => format!("type {other}"),
        };
        if story.last() != Some(&line) {
            story.push(line);
        }
    }
    // The new quote follows the refusal at once, long before the next refresh.
    let refusal = said.iter().position(|heard| heard.is("IS2", "R1", RESV_ERR));
    let behind = said.iter().skip(refusal.expect("a refusal"));
    let quoted = behind.clone().find(|heard| heard.is("IS2", "R1", PATH)).expect("a new quote");
    let took_ms = behind.clone().next().map(|refusal| (quoted.at_ns - refusal.at_ns) / 1_000_000);
    assert!(took_ms < Some(200), "the new quote came after {took_ms:?} ms");
    // Refreshes of the old quote may come first.
    let from_offer = story.iter().skip_while(|line| line.starts_with("quote"));
    let story: Vec<&str> = from_offer.map(String::as_str).take(4).collect();
    let wanted = [
        "offer Some(63)",
        "refusal Some((2, 4)) Some((77, 63))",
        "quote Some(110)",
        "offer Some(77)",
    ];
    assert_eq!(story, wanted, "required and offered: 77, 63");
}

pub(crate) fn initial_dcpe() -> TestResult {
    let mut play = Play::start(play::figure())?;
    let mark = play.mark();
    play.send_share(0)?;
    let first = play.wait_for("the first PATH", mark, |heard| heard.is("S", "IS1", PATH))?;
    let dcpes = first.message.dcpes();
    assert_eq!(dcpes.len(), 1, "{dcpes:?}");
    let dcpe = &dcpes[0];
    assert_eq!((dcpe.total, dcpe.max_total, dcpe.fraction, dcpe.flags), (0, 0, 0, 0));
    Ok(())
}

pub(crate) fn ends_see_the_totals() -> TestResult {
    let mut play = Play::start(play::figure())?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;
    let at_sender = play.wait("what the sender is told", |play| {
        let sessions = play.stage.sessions("S").map_err(|e| e.to_string())?;
        let sender = sessions.iter().flat_map(|session| &session.senders).next();
        let reservations = play.stage.reservations("S").map_err(|e| e.to_string())?;
        let reserved = reservations.iter().find_map(|rsb| rsb.charging.clone());
        sender.ok_or("no sender")?;
        reserved.ok_or_else(|| "nothing is reserved".to_owned())
    })?;
    assert_eq!(at_sender.total_charge_downstream, 250, "paid by all");
    assert_eq!(at_sender.payment_downstream, 75, "paid by the sender");
    assert_eq!(at_sender.ceiling, 175, "paid by the receivers");
    for (node, total) in [("R1", 90), ("R2", 160)] {
        let sessions = play.stage.sessions(node)?;
        let mut senders = sessions.iter().flat_map(|session| &session.senders);
        let charging = senders.next().and_then(|sender| sender.charging.clone());
        assert_eq!(charging.map(|state| state.total_charge), Some(total), "{node}");
    }
    Ok(())
}
