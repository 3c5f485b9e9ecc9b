//! `lcmctl trace` through the figure: each hop's own price and what it is paid, and the messages as
//! `lcmctl decode` shows them.

use lcm_daemon::demo::stage::Setup;
use lcm_tests::harness::TestResult;
use serde_json::{Value, json};

use crate::support::golden::{self, A};
use crate::support::play::{self, Play};
use crate::support::programs::{self, lcmctl, run, succeed, text};

/// C, Cmax, L, S and the payment, from the golden case A; the sender's hop takes what all pay.
fn row(total: u64, max: u64, local: u64, sponsored: u64, payment: u64) -> Value {
    json!([total, max, local, sponsored, payment])
}

pub(crate) fn through_the_figure() -> TestResult {
    let folder = tempfile::tempdir()?;
    let setup = Setup { pcap: Some(folder.path().to_owned()), ..play::figure() };
    let mut play = Play::start(setup)?;
    play.send()?;
    play.stage.receive("R1", None)?;
    play.stage.receive("R2", None)?;
    golden::wait_case(&mut play, A)?;
    let session = play.stage.session()?.destination.to_string();
    let paths = [
        ("R1", ["IS2", "IS1"].as_slice(), vec![row(90, 200, 40, 27, 63)]),
        (
            "R2",
            ["IS3", "IS2", "IS1"].as_slice(),
            vec![row(160, 250, 50, 48, 112), row(110, 190, 60, 33, 77)],
        ),
    ];
    for (receiver, routers, mut rows) in paths {
        rows.extend([row(100, 120, 100, 30, 70), row(0, 0, 0, 0, 175)]);
        let traced = programs::json(&play, receiver, &["trace", &session])?;
        let hops = traced["hops"].as_array().ok_or("no hops")?;
        assert_eq!(traced["complete"], true, "{traced}");
        let keys = ["total", "max_total", "local_price", "sponsored", "payment"];
        let seen =
            |hop: &Value| Value::from(keys.map(|key| hop["charges"][0][key].clone()).to_vec());
        let charged: Vec<Value> = hops[1..].iter().map(seen).collect();
        assert_eq!(charged, rows, "{receiver}: {traced}");
        assert_eq!(hops[0]["charges"], json!([]), "{receiver}");
        assert!(hops.iter().all(|hop| hop["hidden_hops"] == 0 && hop["reserved"]["style"] == "FF"));
        for (hop, router) in hops[1..].iter().zip(routers) {
            let below = hops.iter().zip(&hops[1..]).find(|(_, upper)| *upper == hop);
            let phop = below.map(|(lower, _)| lower["previous_hop"].clone());
            assert_eq!(phop, Some(hop["outgoing"].clone()), "{router} is the previous hop");
        }
        // All clocks are one: each hop is reached after the one before.
        let times: Vec<u64> = hops.iter().filter_map(|hop| hop["arrival"].as_u64()).collect();
        assert!(times.is_sorted(), "{times:?}");
        let us = traced["round_trip_us"].as_u64().ok_or("no time")?;
        assert!((1..5_000_000).contains(&us), "{us} µs");
    }

    let drawn = succeed(&play, "R1", &["trace", &session])?;
    assert!(drawn.contains(": 4 hops, "), "{drawn}");
    let asks = "for C 90 (at most 200), L 40 of it its own, S 27 covered by the sender (r 30 %)";
    for line in [asks, "pays 63, stands end to end; below it A 90, B 0", "← sender", "receiver ←"]
    {
        assert!(drawn.contains(line), "{line:?} is not in\n{drawn}");
    }
    assert!(drawn.contains("reserved 10000 bytes/s, FF, merged with other branches"), "{drawn}");
    let short = succeed(&play, "R1", &["trace", &session, "--max-hops", "2"])?;
    assert!(short.contains(": 2 hops, ") && !short.contains("← sender"), "{short}");
    let unknown = run(&play, "R1", &["trace", "239.9.9.9:9"])?;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("no sender of this session is known here"));

    drop(play);
    let mut decoded = Vec::new();
    for file in std::fs::read_dir(folder.path())? {
        let path = file?.path();
        let output = lcmctl(&["decode", "--json", &path.to_string_lossy()]).output()?;
        decoded.extend(text(&output.stdout).lines().map(str::to_owned));
    }
    let drep = decoded.iter().find(|line| line.contains("\"DREP\"") && line.contains("UCPE"));
    let drep: Value = serde_json::from_str(drep.ok_or("no DREP was decoded")?)?;
    let shown = drep.to_string();
    for part in ["DIAGNOSTIC", "DIAG_SELECT", "ROUTE", "DIAG_RESPONSE", "SENDER_TSPEC", "DCPE"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(decoded.iter().any(|line| line.contains("\"DREQ\"")));
    Ok(())
}
