//! S–IS1–X–IS2–R1: X speaks RSVP and does not charge; IS1 and IS2 sign for each other across it what
//! they say of charges (RFC 2750 section 3.2).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use lcm_daemon::lab::{Topology, scratch_dir};
use lcm_tests::harness::TestResult;
use nix::sys::signal::Signal;

use crate::support::metrics::Page;
use crate::support::play::{self, Play};
use crate::support::wire::{PATH, PATH_ERR};

pub(crate) fn across_an_ignorant_hop() -> TestResult {
    let mut tables = Vec::new();
    for (name, secret) in [("right.key", "0c"), ("false.key", "0d")] {
        let file = scratch_dir()?.join(name);
        fs::write(&file, secret.repeat(32))?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
        tables.push(format!(
            "\n[[authentication]]\ninterface = \"to-X\"\npolicy = true\nkeys = [{{ id = 1, \
             algorithm = \"hmac-sha256\", file = \"{}\" }}]\n",
            file.display()
        ));
    }
    let topology = Topology::chain(&["S", "IS1", "X", "IS2", "R1"]);
    let prices = [("IS1", "X", 100, 120), ("IS2", "R1", 40, 80)];
    let mut setup = play::setup(topology, &prices, None);
    setup.ignorant = ["X".to_owned()].into();
    setup.more = ["IS1", "IS2"].map(|name| (name.to_owned(), tables[0].clone())).into();
    let mut play = Play::start(setup)?;
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    let signed = play.last("X", "IS2", PATH).ok_or("no PATH")?.bytes.clone();
    let said = play.last("IS1", "X", PATH).ok_or("no PATH")?.bytes.clone();
    assert!(signed.len() > 100 && said.len() > 100);
    play.stage.receive("R1", None)?;
    play.wait_paid("X", "IS1", 70)?;
    let rates = [("S", -42), ("IS1", 100), ("X", 0), ("IS2", 40), ("R1", -98)];
    play.wait_balances(&rates.map(|(name, rate)| (name.to_owned(), rate)).into())?;
    let dropped = |play: &Play| {
        let page = Page::fetch(play, "IS2")?;
        let all = page.family("lcm_integrity_dropped_total");
        let sum = all.iter().filter(|(series, _)| series.contains("wrong_digest")).map(|(_, n)| *n);
        Ok::<u64, Box<dyn std::error::Error>>(sum.sum())
    };
    assert_eq!(dropped(&play)?, 0);

    // IS2 gets another key: what IS1 says is no longer believed, and X carries the refusal.
    let mark = play.mark();
    let file = play.stage.network().get("IS2")?.dir().join("lcm.toml");
    let before = fs::read_to_string(&file)?;
    fs::write(&file, before.replace(&tables[0], &tables[1]))?;
    play.stage.daemon("IS2")?.process_mut().signal(Signal::SIGHUP)?;
    let told = play.wait_for("a PATHERR", mark, |heard| heard.is("IS2", "X", PATH_ERR))?;
    let error = told.message.error().ok_or("no ERROR_SPEC")?;
    assert_eq!((error.code, error.value), (2, 12), "policy data failed its integrity check");
    assert!(dropped(&play)? > 0);
    // With the right one again all is as before.
    fs::write(&file, before)?;
    play.stage.daemon("IS2")?.process_mut().signal(Signal::SIGHUP)?;
    play.wait_rates(&rates.map(|(name, rate)| (name.to_owned(), rate)).into())
}
