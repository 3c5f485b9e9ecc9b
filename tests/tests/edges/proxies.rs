//! S–IS1–IS2–R1 where a host has no RSVP (RFC 5945, RFC 5946): no daemon runs there.

use std::collections::BTreeMap;
use std::error::Error;

use lcm_daemon::lab::{Role, Topology};
use lcm_tests::harness::TestResult;

use crate::support::metrics::Page;
use crate::support::play::{self, Play};
use crate::support::programs::{Talker, at_node, json, succeed};
use crate::support::wire::{PATH, PATH_ERR, PATH_TEAR, RESV, RESV_TEAR};

const PRICES: [(&str, &str, u64, u64); 2] = [("IS1", "IS2", 100, 120), ("IS2", "R1", 40, 80)];

/// The chain; these hosts have no daemon, and IS2 reserves for receivers up to a price.
fn start(plain: &[&str], max_price: Option<u64>, more: &str) -> Result<Play, Box<dyn Error>> {
    let mut topology = Topology::chain(&["S", "IS1", "IS2", "R1"]);
    for name in plain {
        topology = topology.with_role(name, Role::Plain);
    }
    let mut setup = play::setup(topology, &PRICES, None);
    let proxy = max_price.map(|most| {
        format!(
            "\n[[receiver_proxy]]\nreceiver = \"10.0.0.0/8\"\ninterface = \"to-R1\"\n\
             max_price_pico_per_s = {most}\nretry_s = 1\n\
             account = \"nai:r1@customers.example\"\n{more}"
        )
    });
    setup.more = proxy.map(|proxy| ("IS2".to_owned(), proxy)).into_iter().collect();
    Play::start(setup)
}

fn rates<const N: usize>(of: [(&str, i64); N]) -> BTreeMap<String, i64> {
    of.map(|(name, rate)| (name.to_owned(), rate)).into()
}

pub(crate) fn of_a_receiver() -> TestResult {
    let mut play = start(&["R1"], Some(98), "")?;
    let sender = play.send()?;
    play.wait_paid("IS2", "IS1", 70)?;
    play.wait_paid("IS1", "S", 98)?;
    // R1 owes 98, IS2 pays 70 of it on, and takes 12 on the sender's behalf.
    play.wait_balances(&rates([("S", -42), ("IS1", 100), ("IS2", 40)]))?;
    let shown = play.stage.reservations("IS2")?;
    assert!(shown.len() == 1 && shown[0].proxied, "{shown:?}");
    let paid = shown[0].charging.as_ref().ok_or("no charges")?;
    let account = paid.account.as_deref();
    assert_eq!((paid.debited, account), (98, Some("r1@customers.example")));
    play.wait_announced("IS2", "R1", 140, 200)?;
    assert!(play.last("R1", "IS2", RESV).is_none(), "R1 says nothing");
    // A unit more than the operator allows, and it is over; the sender is told what is missing.
    let mark = play.mark();
    succeed(&play, "IS2", &["price", "to-R1", "42"])?;
    let told = play.wait_for("a PATHERR", mark, |heard| heard.is("IS2", "IS1", PATH_ERR))?;
    let error = told.message.error().ok_or("no ERROR_SPEC")?;
    assert_eq!((error.code, error.value), (2, 4));
    play.wait_for("it at the sender", mark, |heard| heard.is("IS1", "S", PATH_ERR))?;
    play.wait_for("RESVTEAR", mark, |heard| heard.is("IS2", "IS1", RESV_TEAR))?;
    play.wait_balances(&rates([("S", 0), ("IS1", 0), ("IS2", 0)]))?;
    succeed(&play, "IS2", &["price", "to-R1", "40"])?;
    play.wait_balances(&rates([("S", -42), ("IS1", 100), ("IS2", 40)]))?;
    let metrics = Page::fetch(&play, "IS2")?;
    for event in ["asked", "declined"] {
        let series = format!("lcm_receiver_proxy_total{{event=\"{event}\"}}");
        assert!(metrics.value(&series) >= 1, "{event}");
    }
    play.close("S", sender)?;
    play.wait_empty(&["S", "IS1", "IS2"])
}

/// The same without a word to R1, which would not understand it.
pub(crate) fn silently() -> TestResult {
    let mut play = start(&["R1"], Some(98), "discover = false\n")?;
    let sender = play.send()?;
    play.wait_balances(&rates([("S", -42), ("IS1", 100), ("IS2", 40)]))?;
    play.close("S", sender)?;
    play.wait_empty(&["S", "IS1", "IS2"])?;
    let to_r1 = |kind| move |heard: &&play::Heard| heard.is("IS2", "R1", kind);
    assert_eq!(play.heard().iter().filter(to_r1(PATH)).count(), 0);
    assert_eq!(play.heard().iter().filter(to_r1(PATH_TEAR)).count(), 0);
    Ok(())
}

/// R1 speaks RSVP after all: it takes the reservation over.
pub(crate) fn taken_over() -> TestResult {
    let mut play = start(&[], Some(98), "")?;
    play.send()?;
    play.wait_paid("IS2", "IS1", 70)?;
    assert!(play.stage.reservations("IS2")?[0].proxied);
    let mark = play.mark();
    let receiver = play.stage.receive("R1", None)?;
    play.wait_paid("R1", "IS2", 98)?;
    play.wait_balances(&rates([("S", -42), ("IS1", 100), ("IS2", 40), ("R1", -98)]))?;
    let shown = play.stage.reservations("IS2")?;
    assert!(shown.len() == 1 && !shown[0].proxied, "{shown:?}");
    let torn = |heard: &play::Heard| heard.message.kind == RESV_TEAR;
    assert!(!play.heard()[mark..].iter().any(torn), "nothing was torn");
    play.close("R1", receiver)?;
    play.wait_balances(&rates([("S", 0), ("IS1", 0), ("IS2", 0), ("R1", 0)]))
}

/// IS1 sends PATH for S, by the program and by the configuration.
pub(crate) fn of_a_sender() -> TestResult {
    let mut play = start(&["S"], None, "")?;
    let session = play.stage.session()?.destination.to_string();
    let source = format!("{}:5000", play.stage.address("S")?);
    let sending = ["send", &session, "--source", &source, "--proxy", "--behind", "to-S"];
    let share = ["--fraction", "300000", "--limit-per-receiver", "1000", "--detach"];
    let sender = json(&play, "IS1", &[&sending[..], &share].concat())?;
    let sender = sender["handle"].as_u64().ok_or("no handle")?;
    play.wait_announced("IS1", "IS2", 100, 120)?;
    let path = play.last("IS1", "IS2", PATH).ok_or("no PATH")?;
    assert_eq!(path.source.to_string(), play_address(&source), "as if it came from S");
    let mut receiver = Talker::start(at_node(&play, "R1", &["receive", &session])?)?;
    receiver.wait_line("the offer", |line| line.contains("we pay 98"))?;
    // IS1 takes 70, and pays IS2 the sender's 12.
    play.wait_balances(&rates([("IS1", 58), ("IS2", 40), ("R1", -98)]))?;
    play.close("IS1", sender)?;
    play.wait_empty(&["IS1", "IS2", "R1"])
}

fn play_address(source: &str) -> String {
    source.split(':').next().unwrap_or_default().to_owned()
}

/// Neither end has RSVP; the routers are told by their configurations.
pub(crate) fn of_both() -> TestResult {
    let topology = Topology::chain(&["S", "IS1", "IS2", "R1"])
        .with_role("S", Role::Plain)
        .with_role("R1", Role::Plain);
    let mut setup = play::setup(topology, &PRICES, None);
    let is1 = "\n[[sender_proxy]]\nsession = \"10.0.3.2:5000\"\nsource = \"10.0.1.1:5000\"\n\
               interface = \"to-S\"\nrate = 10000\nfraction_ppm = 300000\n\
               limit_per_receiver = 1000\n";
    let is2 = "\n[[receiver_proxy]]\nreceiver = \"10.0.3.0/24\"\nmax_price_pico_per_s = 98\n";
    setup.more =
        [("IS1", is1), ("IS2", is2)].map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let mut play = Play::start(setup)?;
    play.wait_paid("IS2", "IS1", 70)?;
    play.wait_balances(&rates([("IS1", 58), ("IS2", 40)]))?;
    play.wait_reserved("IS1", "IS2", 80_000)?;
    play.wait_reserved("IS2", "R1", 80_000)
}
