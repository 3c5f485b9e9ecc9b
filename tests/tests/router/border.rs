//! The paper's figure with a border: S and IS1 reckon in dollars, all others in euros.

use std::collections::BTreeMap;

use lcm_daemon::demo::stage::Extra;
use lcm_tests::harness::TestResult;

use crate::support::play::{self, Play};
use crate::support::programs::json;

/// IS2's neighbour beyond the border, on the second link.
const IS1: &str = "10.0.2.1";

pub(crate) fn in_the_figure() -> TestResult {
    let books = tempfile::tempdir()?;
    let mut setup = play::figure();
    setup.books = Some(books.path().to_owned());
    for name in ["S", "IS1"] {
        let dollars = Extra { currency: Some("USD"), ..Extra::default() };
        setup.extra.insert(name.to_owned(), dollars);
    }
    let table = format!(
        "\n[[neighbour]]\naddress = \"{IS1}\"\n\
         exchange = {{ currency = \"USD\", ours = 9, theirs = 10, version = 4 }}\n"
    );
    setup.more.insert("IS2".to_owned(), table);
    let mut play = Play::start(setup)?;
    assert_eq!(play.address_on("IS1", "IS2")?.to_string(), IS1);
    play.send()?;
    for receiver in ["R1", "R2"] {
        play.stage.receive(receiver, None)?;
    }
    // 100 dollars are 90 euros, of which each branch carries 45.
    play.wait_announced("IS1", "IS2", 100, 120)?;
    play.wait_announced("IS2", "R1", 85, 188)?;
    play.wait_announced("IS3", "R2", 155, 238)?;
    play.wait_paid("R1", "IS2", 59)?;
    play.wait_paid("R2", "IS3", 108)?;
    // What IS2 pays is exactly what IS1 asks, in its currency.
    play.wait_paid("IS2", "IS1", 70)?;
    let rates = [("S", -81), ("IS1", 100), ("IS2", 100), ("IS3", 50), ("R1", -59), ("R2", -108)];
    let rates: BTreeMap<String, i64> = rates.map(|(name, rate)| (name.to_owned(), rate)).into();
    play.wait_balances(&rates)?;
    let paid = play.paid("IS2", "IS1").ok_or("no payment")?;
    assert_eq!(paid.sender_payment, 51, "46 euros: {paid:?}");
    let shown = json(&play, "IS2", &["show", "accounts"])?;
    let border = shown["accounts"]
        .as_array()
        .and_then(|all| all.iter().find(|account| account["neighbour"] == IS1));
    let border = border.ok_or("no account with IS1")?;
    assert_eq!(border["foreign"]["currency"], "USD", "{border}");
    assert_eq!(border["foreign"]["version"], 4, "{border}");
    // The rate that was agreed stands in the books.
    let directory = books.path().join("IS2").join("ledger");
    let directory = directory.to_str().ok_or("a path")?;
    let export = crate::support::programs::succeed(
        &play,
        "IS2",
        &["ledger", "export", directory, "--format", "jsonl", "--what", "records"],
    )?;
    let exchange = export.lines().find(|line| line.contains("\"exchange\""));
    let exchange = exchange.ok_or_else(|| format!("no exchange in {export}"))?;
    for part in ["\"version\":4", "\"rate\":\"63\"", "\"foreign_rate\":\"70\""] {
        assert!(exchange.contains(part), "{part} in {exchange}");
    }
    Ok(())
}
