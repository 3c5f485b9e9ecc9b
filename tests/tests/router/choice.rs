//! Two providers compete for a receiver with a link to each of them (paper section 3.1).
//!
//! ```text
//!             ┌─ P ─┐
//! S ── IS ────┤     ├── R
//!             └─ Q ─┘
//! ```

use std::error::Error;
use std::net::IpAddr;

use lcm_daemon::lab::Topology;
use lcm_daemon::lab::multicast::ForwardingEntry;
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::support::metrics::Page;
use crate::support::play::{self, GROUP, Play};
use crate::support::programs::{Talker, at_node, succeed};
use crate::support::wire::{RESV, RESV_TEAR};

/// P asks 100, Q 90; each link of IS to them 40.
const PRICES: [(&str, &str, u64, u64); 4] =
    [("IS", "P", 40, 40), ("IS", "Q", 40, 40), ("P", "R", 100, 500), ("Q", "R", 90, 500)];

pub(crate) fn two_providers() -> TestResult {
    let mut play = start()?;
    play.send_share(0)?;
    let session = play.stage.session()?.destination.to_string();
    let arguments = ["receive", &session, "--cheapest", "--max-price", "300", "--json"];
    let mut receiver = Talker::start(at_node(&play, "R", &arguments)?)?;
    let chosen = wait_chosen(&mut receiver)?;
    assert_eq!(chosen["interface"], "to-Q", "{chosen}");
    assert_eq!(chosen["previous_hop"], play.address_on("Q", "R")?.to_string(), "{chosen}");
    assert_eq!(chosen["others"][0]["interface"], "to-P", "{chosen}");
    assert_eq!(chosen["others"][0]["payment"], 140, "{chosen}");
    play.wait_paid("R", "Q", 130)?;
    play.wait_reserved("Q", "R", 80_000)?;
    assert!(play.last("R", "P", RESV).is_none(), "P is asked for nothing");
    assert_eq!(play.reserved("P", "R")?, 0);

    // Q becomes dearer than P by more than the margin, once its time is over.
    succeed(&play, "Q", &["price", "to-R", "200"])?;
    let chosen = wait_chosen(&mut receiver)?;
    assert_eq!(chosen["interface"], "to-P", "{chosen}");
    play.wait_paid("R", "P", 140)?;
    play.wait_reserved("P", "R", 80_000)?;
    play.wait_reserved("Q", "R", 0)?;
    // What the old one had reserved ended before the new one was asked.
    let heard = play.heard();
    let torn = heard.iter().position(|heard| heard.is("R", "Q", RESV_TEAR));
    let asked = heard.iter().position(|heard| heard.is("R", "P", RESV));
    assert!(torn.is_some() && torn < asked, "{torn:?} {asked:?}");

    // P goes above the maximum: back to Q, though that is dear as well.
    succeed(&play, "P", &["price", "to-R", "400"])?;
    let chosen = wait_chosen(&mut receiver)?;
    assert_eq!(chosen["interface"], "to-Q", "{chosen}");
    play.wait_paid("R", "Q", 240)?;
    play.wait_reserved("P", "R", 0)?;
    let page = Page::fetch(&play, "R")?;
    assert_eq!(page.value("lcm_ways_taken_total{why=\"first\"}"), 1);
    assert_eq!(page.value("lcm_ways_taken_total{why=\"price\"}"), 2);
    Ok(())
}

/// The receiver's link to either provider gets the data of the group.
fn start() -> Result<Play, Box<dyn Error>> {
    let links = [("S", "IS"), ("IS", "P"), ("IS", "Q"), ("P", "R"), ("Q", "R")];
    let topology = Topology::tree(&["S", "R"], &links);
    let mut setup = play::setup(topology, &PRICES, Some(GROUP));
    setup.more.insert("R".to_owned(), "\n[choice]\nhold_ms = 2000\n".to_owned());
    let mut play = Play::start(setup)?;
    let source = play.stage.address("S")?;
    let group = IpAddr::V4(GROUP);
    let entry = |node: &str, incoming: &str, outgoing: &[&str]| ForwardingEntry {
        node: node.to_owned(),
        source,
        group,
        incoming: incoming.to_owned(),
        outgoing: outgoing.iter().map(|&name| name.to_owned()).collect(),
    };
    play.stage.forward(&[
        entry("IS", "to-S", &["to-P", "to-Q"]),
        entry("P", "to-IS", &["to-R"]),
        entry("Q", "to-IS", &["to-R"]),
    ])?;
    Ok(play)
}

fn wait_chosen(receiver: &mut Talker) -> Result<Value, Box<dyn Error>> {
    let line = receiver.wait_line("the choice", |line| line.contains("\"chosen\""))?;
    let notice: Value = serde_json::from_str(&line)?;
    Ok(notice["event"].clone())
}
