//! A router dies, and who paid for what lay behind it has it back, in the books of both sides.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::path::Path;

use lcm_daemon::billing::{Query, gather};
use lcm_daemon::demo::stage::{Extra, Setup};
use lcm_daemon::ledger::record::{Body, Interruption, Payment, Refund};
use lcm_daemon::ledger::verify::{Expected, Walk};
use lcm_daemon::purse::Holder;
use lcm_tests::harness::TestResult;

use crate::sound;
use crate::support::golden::{self, A};
use crate::support::play::{self, Play};

/// How much later a message may come, in milliseconds, and the dearest rate of the figure.
const LATE_MS: u128 = 300;
const DEAREST: u128 = 200;

/// Who grants what to whom: the routers of the figure, for each of their next hops.
const EDGES: [(&str, &str); 4] = [("IS1", "IS2"), ("IS2", "IS3"), ("IS2", "R1"), ("IS3", "R2")];

fn setup(books: &Path) -> Setup {
    let mut extra: BTreeMap<String, Extra> = BTreeMap::new();
    for (payee, payer) in EDGES {
        let grant = "refund = { policy = \"free_if_short\", threshold_ms = 600000 }".to_owned();
        let of = extra.entry(payee.to_owned()).or_default();
        of.interfaces.insert(payer.to_owned(), grant);
    }
    Setup { books: Some(books.to_owned()), extra, ..play::figure() }
}

/// What a node's books say was given back, of this kind of payment.
fn refunds(books: &Path, node: &str, kind: Payment) -> Result<Vec<Refund>, Box<dyn Error>> {
    let mut walk = Walk::new(&books.join(node).join("ledger"), Expected::default())?;
    let mut all = Vec::new();
    while let Some((_, body, _)) = walk.step()? {
        match body {
            Body::Refund(refund) if refund.meter.payment == kind => all.push(refund),
            _ => {}
        }
    }
    Ok(all)
}

/// What was given back over a link, if both ends say the same, and it is something.
fn agreed(play: &Play, books: &Path, (payee, payer): (&str, &str)) -> Result<u128, String> {
    let text = |error: Box<dyn Error>| error.to_string();
    let address = IpAddr::from(play.address_on(payer, payee).map_err(text)?);
    let given = refunds(books, payee, Payment::ReceiverIn).map_err(text)?;
    let given = given.iter().filter(|refund| refund.meter.neighbour.address == address);
    let given: u128 = given.map(|refund| refund.amount).sum();
    let taken = refunds(books, payer, Payment::ReceiverOut).map_err(text)?;
    let taken: u128 = taken.iter().map(|refund| refund.amount).sum();
    // A meter below begins by a message later, and takes off no more than it came to.
    if given > 0 && taken <= given && given - taken <= LATE_MS * DEAREST {
        Ok(given)
    } else {
        Err(format!("{payee} gave {payer} {given} back, and {payer} knows of {taken}"))
    }
}

pub(crate) fn given_back() -> TestResult {
    let books = tempfile::tempdir()?;
    let dir = books.path();
    let mut play = Play::start(setup(dir))?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;
    play.kill("IS1")?;
    // The kernel forwards around the dead daemon: what stood over it has broken within minutes, and
    // is free down to the receivers, in the books of both ends and on the bill.
    for link @ (payee, payer) in [("IS2", "R1"), ("IS2", "IS3"), ("IS3", "R2")] {
        let given =
            play.wait("what was paid over a dead router", |play| agreed(play, dir, link))?;
        let holder: Holder = format!("nai:{payer}@figure2.example").parse()?;
        let query = Query {
            holder,
            from_ms: None,
            to_ms: None,
            period: None,
            provisional: true,
            detail: 1,
        };
        let statement = gather(&dir.join(payee).join("ledger"), &query)?;
        let lines: i128 = statement.sessions.iter().map(|session| session.refunds).sum();
        assert_eq!(lines, -i128::try_from(given)?, "the statement for {payer}");
        let paid: i128 = statement.sessions.iter().map(|session| session.receiver).sum();
        assert!(-lines <= paid, "{payer} paid {paid}");
    }
    let given = refunds(dir, "IS2", Payment::ReceiverIn)?;
    assert!(given.iter().all(|refund| refund.why == Interruption::Moved), "{given:?}");
    // When it is back the way changes again, and both ends say the same of that, too.
    play.restart("IS1")?;
    play.stage.wait_ready("IS1")?;
    golden::wait_case(&mut play, A)?;
    for link in [("IS2", "R1"), ("IS2", "IS3"), ("IS3", "R2")] {
        play.wait("what was paid before the way changed", |play| agreed(play, dir, link))?;
    }
    for node in ["S", "IS1", "IS2", "IS3", "R1", "R2"] {
        sound(dir, node)?;
    }
    Ok(())
}
