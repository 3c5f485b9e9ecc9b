//! `lcmctl` and the metrics page, as an operator uses them.

use std::time::Duration;

use lcm_daemon::control::Request;
use lcm_daemon::lab::process::DaemonProcess;
use lcm_daemon::lab::wait::until;
use lcm_tests::harness::TestResult;
use lcm_tests::node;
use serde_json::Value;

use crate::chain;
use crate::support::metrics::Page;
use crate::support::play::{Play, program};
use crate::support::programs::{Talker, at_node, json, run, succeed, text};
use crate::support::wire::{RESV, RESV_ERR};

pub(crate) fn declined() -> TestResult {
    let mut play = chain::start()?;
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    let session = play.stage.session()?.destination.to_string();
    // 98 is due.
    let arguments = ["receive", &session, "--max-price", "97", "--json"];
    let mut receiver = Talker::start(at_node(&play, "R1", &arguments)?)?;
    let line = receiver.wait_line("the decline", |line| line.contains("declined"))?;
    let notice: Value = serde_json::from_str(&line)?;
    let event = &notice["event"];
    assert_eq!((&event["due"], &event["max_payment"]), (&98.into(), &97.into()), "{line}");
    // Two more announcements do not change its mind.
    let mark = play.mark();
    let mut refreshes = 0;
    play.wait_for("two more PATH", mark, |heard| {
        refreshes += u32::from(heard.is("IS2", "R1", crate::support::wire::PATH));
        refreshes >= 2
    })?;
    assert!(play.last("R1", "IS2", RESV).is_none(), "nothing is reserved");
    assert!(play.stage.reservations("IS2")?.is_empty());

    // ⌈3/10 of 139⌉ is 42 as before, and 97 is left.
    succeed(&play, "IS2", &["price", "to-R1", "39"])?;
    play.wait_announced("IS2", "R1", 139, 200)?;
    let line = receiver.wait_line("the offer", |line| line.contains("offered"))?;
    let notice: Value = serde_json::from_str(&line)?;
    assert_eq!(notice["event"]["payment"], 97, "{line}");
    play.wait_paid("R1", "IS2", 97)?;
    // Its maximum never leaves the node: the payment is what is due, whatever the price.
    succeed(&play, "IS2", &["price", "to-R1", "29"])?;
    play.wait_paid("R1", "IS2", 90)?;
    Ok(())
}

/// Rate times duration, by the program, with nothing reserved.
pub(crate) fn quoted() -> TestResult {
    let mut play = chain::start()?;
    let session = play.stage.session()?.destination.to_string();
    let early = run(&play, "R1", &["quote", &session])?;
    assert_eq!(early.status.code(), Some(1));
    assert!(text(&early.stderr).contains("nobody announces a price"), "{}", text(&early.stderr));
    play.send()?;
    play.wait_announced("IS2", "R1", 140, 200)?;
    let quote = play.wait("a quote", |play| {
        json(play, "R1", &["quote", &session, "--for", "90"]).map_err(|e| e.to_string())
    })?;
    let expected = serde_json::json!({ "rate": 98, "amount": "8820000", "most_rate": 140, "most": "12600000" });
    for (key, value) in expected.as_object().ok_or("no object")? {
        assert_eq!(&quote[0][key], value, "{key} in {quote}");
    }
    let table = succeed(&play, "R1", &["quote", &session, "--for", "90"])?;
    assert_eq!(rows(&table)[1][1..], ["98", "90", "8820000", "140", "12600000"], "{table}");
    assert!(play.heard().iter().all(|heard| heard.message.kind != RESV), "nothing is reserved");
    Ok(())
}

pub(crate) fn programs() -> TestResult {
    let mut play = chain::start()?;
    let session = play.stage.session()?.destination.to_string();
    let source = format!("{}:5000", play.stage.address("S")?);
    let sending = ["send", &session, "--source", &source, "--fraction", "300000"];
    let more = ["--account", "nai:s@figure2.example", "--limit-per-receiver", "1000", "--detach"];
    let sender = json(&play, "S", &[&sending[..], &more].concat())?;
    let sender = sender["handle"].as_u64().ok_or("no handle")?.to_string();
    let mut receiver = Talker::start(at_node(&play, "R1", &["receive", &session])?)?;
    receiver.wait_line("the handle", |line| line.starts_with("registered, handle "))?;
    chain::wait_equilibrium(&mut play)?;
    tables(&play)?;
    objects(&play)?;

    succeed(&play, "IS2", &["price", "to-R1", "60", "--max-price", "90"])?;
    let shown = json(&play, "IS2", &["show", "interfaces"])?;
    let interfaces = shown.as_array().ok_or("no array")?;
    let to_r1 = interfaces.iter().find(|interface| interface["name"] == "to-R1");
    let to_r1 = to_r1.ok_or("no interface to-R1")?;
    assert_eq!((&to_r1["price"], &to_r1["max_price"]), (&60.into(), &90.into()));
    play.wait_announced("IS2", "R1", 160, 210)?;
    play.wait_paid("R1", "IS2", 112)?;

    // The receiver lasts as long as its program, the detached sender until it is closed.
    drop(receiver);
    play.wait("the end of the reservation", |play| {
        let left = play.stage.reservations("S").map_err(|e| e.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    assert_eq!(succeed(&play, "S", &["close", &sender])?, "");
    play.wait_empty(&["S", "IS1", "IS2", "R1"])
}

/// A router goes out of service: its reservation stays until the receiver leaves, nobody else is
/// let in, and then the program that waits for that ends.
pub(crate) fn drained() -> TestResult {
    let mut play = chain::start()?;
    play.send()?;
    let handle = play.stage.receive("R1", None)?;
    chain::wait_equilibrium(&mut play)?;
    let mut waiting = Talker::start(at_node(&play, "IS2", &["drain"])?)?;
    waiting.wait_line("what is left", |line| line == "draining: 1 reservations are left")?;
    let said = succeed(&play, "IS2", &["drain", "--detach"])?;
    assert_eq!(said, "draining: 1 reservations are left\n");
    play.close("R1", handle)?;
    waiting.wait_line("the end", |line| line.starts_with("empty: "))?;

    play.stage.receive("R1", None)?;
    play.wait_for("a RESVERR", 0, |heard| heard.is("IS2", "R1", RESV_ERR))?;
    assert_eq!(play.stage.reservations("IS2")?, []);
    assert_eq!(succeed(&play, "IS2", &["drain", "--cancel"])?, "in service, with 0 reservations\n");
    chain::wait_equilibrium(&mut play)
}

/// The lines of a table, each as its words.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

fn tables(play: &Play) -> TestResult {
    let destination = play.stage.session()?.destination.to_string();
    let sessions = succeed(play, "IS2", &["show", "sessions"])?;
    let rows_of = rows(&sessions);
    assert!(rows_of[0].starts_with(&["SESSION", "SENDER"]), "{sessions}");
    assert!(rows_of.len() == 2 && rows_of[1][0].contains(&destination), "{sessions}");
    let reservations = succeed(play, "IS2", &["show", "reservations"])?;
    let rows_of = rows(&reservations);
    for (name, value) in [("L", "40"), ("C", "140"), ("DEBITED", "98"), ("CEILING", "98")] {
        // NEXT HOP and PAID DOWN are two words in the heading.
        let heading = reservations.lines().next().unwrap_or_default().replace("NEXT HOP", "HOP");
        let column = heading.split_whitespace().position(|word| word == name);
        let column = column.ok_or_else(|| format!("no column {name} in {reservations}"))?;
        assert_eq!(rows_of[1][column], value, "{name} in\n{reservations}");
    }
    let interfaces = succeed(play, "IS2", &["show", "interfaces"])?;
    for name in ["to-IS1", "to-R1", "lo"] {
        assert_eq!(interfaces.matches(name).count(), 1, "{interfaces}");
    }
    let accounts = succeed(play, "IS2", &["show", "accounts"])?;
    let last = accounts.lines().last().unwrap_or_default();
    assert!(rows(last)[0].starts_with(&["all", "40"]), "{accounts}");
    Ok(())
}

fn objects(play: &Play) -> TestResult {
    let sessions = json(play, "R1", &["show", "sessions"])?;
    let sender = &sessions[0]["senders"][0];
    assert_eq!(sender["charging"]["total_charge"], 140, "{sessions}");
    assert_eq!(sender["charging"]["max_total_charge"], 200, "{sessions}");
    assert_eq!(sender["charging"]["sender_fraction_ppm"], 300_000, "{sessions}");
    let reservations = json(play, "IS1", &["show", "reservations"])?;
    assert_eq!(reservations[0]["charging"]["debited"], 70, "{reservations}");
    let accounts = json(play, "R1", &["show", "accounts"])?;
    assert_eq!(accounts["rate"], -98, "{accounts}");
    assert!(accounts["amount"].is_string(), "amounts outgrow numbers: {accounts}");
    Ok(())
}

pub(crate) fn refusals() -> TestResult {
    let play = chain::start()?;
    let session = play.stage.session()?.destination.to_string();
    // At which node, what, status, and what the message must name.
    let cases: [(&str, &[&str], i32, &[&str]); 9] = [
        ("S", &["close", "77"], 1, &["77"]),
        ("S", &["send", &session, "--source", "192.0.2.9:1"], 1, &["192.0.2.9", "interfaces"]),
        ("IS2", &["price", "to-R9", "5"], 1, &["to-R9", "interfaces"]),
        ("IS2", &["price", "to-R1", "5", "--max-price", "4"], 1, &["5", "4"]),
        ("IS2", &["price", "to-R1", "cheap"], 2, &["cheap"]),
        ("R1", &["receive", "nowhere"], 2, &["nowhere", "ADDRESS:PORT"]),
        ("R1", &["receive", "10.99.0.1:5000"], 1, &["10.99.0.1"]),
        ("S", &["show", "everything"], 2, &["everything", "sessions"]),
        (
            "S",
            &["show", "sessions", "--socket", "/run/no.sock"],
            1,
            &["/run/no.sock", "lcm-daemon"],
        ),
    ];
    for (node, arguments, status, names) in cases {
        let output = run(&play, node, arguments)?;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        for name in names {
            assert!(said.contains(name), "{arguments:?} does not name {name}: {said}");
        }
    }
    Ok(())
}

pub(crate) fn metrics() -> TestResult {
    let mut play = chain::start()?;
    let fresh = Page::fetch(&play, "IS2")?;
    assert_eq!((fresh.value("lcm_sessions"), fresh.value("lcm_path_states")), (0, 0));
    play.send()?;
    let receiver = play.stage.receive("R1", None)?;
    chain::wait_equilibrium(&mut play)?;
    let page = Page::fetch(&play, "IS2")?;
    for gauge in ["lcm_sessions", "lcm_path_states", "lcm_reservation_states"] {
        assert_eq!(page.value(gauge), 1, "{gauge}");
    }
    // As many as were seen on the link, or a few more by the time of the page.
    let seen = |play: &mut Play, from: &str, to: &str, kind: u8| {
        play.heard().iter().filter(|heard| heard.is(from, to, kind)).count() as u64
    };
    for (series, from, to, kind) in [
        (r#"lcm_messages_received_total{type="path"}"#, "IS1", "IS2", 1),
        (r#"lcm_messages_received_total{type="resv"}"#, "R1", "IS2", 2),
        (r#"lcm_messages_sent_total{type="path"}"#, "IS2", "R1", 1),
        (r#"lcm_messages_sent_total{type="resv"}"#, "IS2", "IS1", 2),
    ] {
        let at_least = seen(&mut play, from, to, kind);
        let page = Page::fetch(&play, "IS2")?;
        play.wait("the capture to catch up", |play| {
            let (counted, captured) = (page.value(series), seen(play, from, to, kind));
            let ahead = counted >= at_least && captured >= counted;
            if ahead { Ok(()) } else { Err(format!("{series}: {counted}, captured {captured}")) }
        })?;
    }
    assert!(page.value("lcm_charging_accepts_total") > 0);
    refusal(&mut play, receiver)
}

/// R1 comes back on an old quote and is refused: counted as such, and as the RESVERR that says so.
fn refusal(play: &mut Play, receiver: u64) -> TestResult {
    let refused = r#"lcm_charging_refusals_total{reason="payment_too_low"}"#;
    let told = r#"lcm_protocol_errors_sent_total{code="2",type="resverr",value="4"}"#;
    let before = Page::fetch(play, "IS2")?;
    assert_eq!((before.value(refused), before.value(told)), (0, 0));
    play.close("R1", receiver)?;
    let request = |price| Request::Price {
        interface: "to-R1".to_owned(),
        price,
        max_price: None,
        at_admission: true,
    };
    play.wait("the end of the reservation", |play| {
        let left = play.stage.reservations("IS2").map_err(|e| e.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })?;
    play.stage.ask("IS2", &request(60))?;
    let mark = play.mark();
    play.stage.receive("R1", None)?;
    play.wait_for("the refusal", mark, |heard| heard.is("IS2", "R1", RESV_ERR))?;
    play.wait_paid("R1", "IS2", 112)?;
    let after = Page::fetch(play, "IS2")?;
    assert_eq!((after.value(refused), after.value(told)), (1, 1), "{after:?}");
    Ok(())
}

pub(crate) fn second_daemon() -> TestResult {
    let mut play = chain::start()?;
    let node = play.stage.network().get("IS1")?;
    let config = node.dir().join("lcm.toml");
    let config = config.to_str().ok_or("a path that is not UTF-8")?;
    let arguments = [node::DAEMON, "--config", config];
    let mut second = DaemonProcess::start(&node, "second", &program(), &arguments)?;
    let process = second.process_mut();
    let status = until(Duration::from_secs(10), "the end of the second daemon", || {
        process.status().ok().flatten()
    })?;
    let said = std::fs::read_to_string(process.stderr())?;
    assert_eq!(status.code(), Some(1), "{said}");
    let socket = play.stage.socket("IS1")?.display().to_string();
    for words in [&*socket, "another daemon listens here", "daemon.control_socket"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    // The first one never noticed.
    play.send()?;
    play.wait_announced("IS1", "IS2", 100, 120)?;
    Ok(())
}
