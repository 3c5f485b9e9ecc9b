//! A receiver with a budget, and prices by rate that change.

use std::collections::BTreeMap;

use lcm_daemon::demo::stage::Extra;
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::chain;
use crate::support::metrics::Page;
use crate::support::play::Play;
use crate::support::programs::{Talker, at_node, json, succeed};

/// What R1 may spend.
const BUDGET: u64 = 60_000;

/// What IS2 has reserved for R1, bytes a second.
fn reserved(play: &Play) -> Result<u64, String> {
    let shown = json(play, "IS2", &["show", "reservations"]).map_err(|e| e.to_string())?;
    let rate = |one: &Value| one["traffic"]["rate"].as_u64();
    let here = shown.as_array().and_then(|all| all.iter().find_map(rate));
    here.ok_or_else(|| format!("nothing is reserved: {shown}"))
}

fn wait_reserved(play: &mut Play, bytes: u64) -> TestResult {
    play.wait(&format!("{bytes} bytes/s at IS2"), |play| match reserved(play)? {
        found if found == bytes => Ok(()),
        found => Err(format!("{found}")),
    })?;
    Ok(())
}

/// The sender sends 80,000 bit/s. A bit/s costs 1 at IS1 and 1/2 at IS2.
pub(crate) fn budget() -> TestResult {
    let mut setup = chain::setup();
    for (node, to, per_mbit) in [("IS1", "IS2", 1_000_000), ("IS2", "R1", 500_000)] {
        let tariff = format!(
            "tariff = {{ kind = \"rate\", price_pico_per_s = 0, per_mbit_pico_per_s = {per_mbit}, \
             max_percent = 200 }}\nprice_curve = true"
        );
        let interfaces = BTreeMap::from([(to.to_owned(), tariff)]);
        setup.extra.insert(node.to_owned(), Extra { interfaces, ..Extra::default() });
    }
    let mut play = Play::start(setup)?;
    play.send_share(0)?;
    let session = play.stage.session()?.destination.to_string();
    let budget = BUDGET.to_string();
    let arguments = ["receive", &session, "--budget", &budget, "--json"];
    let _receiver = Talker::start(at_node(&play, "R1", &arguments)?)?;
    // Half of it, to the unit.
    wait_reserved(&mut play, 5_000)?;
    play.wait_paid("R1", "IS2", BUDGET)?;
    play.wait_paid("IS2", "IS1", 40_000)?;
    // IS2 takes half of the budget, whatever is reserved: what is left buys 30,000 bit/s of IS1.
    succeed(&play, "IS2", &["price", "to-R1", "30000"])?;
    wait_reserved(&mut play, 3_750)?;
    play.wait_paid("R1", "IS2", BUDGET)?;
    play.wait_paid("IS2", "IS1", 30_000)?;
    let page = Page::fetch(&play, "IS2")?;
    let taken = page.value("lcm_price_curves_total{event=\"taken\"}");
    assert!(taken > 0, "the curve of IS1");
    Ok(())
}
