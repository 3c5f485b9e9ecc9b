//! `lcmctl tariff test`: what a flow would cost under a configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use lcm_tests::node;
use serde_json::Value;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/tariff")
}

/// Status, standard output and standard error.
fn tariff_test(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcm-node"));
    let file = golden().join("lcm.toml");
    command.arg(node::CTL).args(["tariff", "test"]).arg(file).args(arguments);
    let output = command.output().expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A Friday in winter.
const FRIDAY: [&str; 2] = ["--start", "2026-01-09T00:00"];

#[test]
fn r004_a_day_under_a_tariff_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let svg = dir.path().join("day.svg");
    let drawn = ["--utilisation", "65", "--svg", svg.to_str().unwrap()];
    let guaranteed = [
        "--service",
        "guaranteed",
        "--rate",
        "125000",
        "--reserved-rate",
        "250000",
        "--slack",
        "20000",
        "--interface",
        "uplink",
        "--for",
        "172800",
        "--json",
    ];
    let (first, text, errors) = tariff_test(&[&FRIDAY[..], &drawn].concat());
    let (second, json, more) = tariff_test(&[&FRIDAY[..], &guaranteed].concat());
    assert_eq!((first, second), (Some(0), Some(0)), "{errors}{more}");
    let svg = std::fs::read_to_string(svg).expect("it was drawn");
    for (name, now) in [("day.txt", text), ("days.json", json), ("day.svg", svg)] {
        let file = golden().join(name);
        if std::env::var_os("KEEP_GOLDEN").is_some() {
            std::fs::write(&file, &now).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(now, kept, "{name}: look at it, then KEEP_GOLDEN=1");
    }
}

/// By the tariff and the clock alone: a Mbit/s on a Friday at 65 %, which is halfway from 100 to 160.
#[test]
fn r004_r056_what_a_flow_costs_is_rate_times_time_by_hand() {
    let cost = |more: &[&str]| {
        let fixed = ["--interface", "uplink", "--utilisation", "65", "--json"];
        let (status, out, err) = tariff_test(&[&fixed[..], more].concat());
        assert_eq!(status, Some(0), "{err}");
        let shown: Value = serde_json::from_str(&out).unwrap();
        let day = shown["interfaces"][0].clone();
        (day["spans"].as_array().unwrap().len(), day["amount"].as_str().unwrap().to_owned())
    };
    // 8 h + 4 h at 1, 10 h at 1.5, 2 h at 0.4; prices are cut off below a unit.
    let base = 101_000_000u128 * 130;
    let by_hand = 12 * 3_600_000 * (base / 100)
        + 10 * 3_600_000 * (base * 150 / 10_000)
        + 2 * 3_600_000 * (base * 40 / 10_000);
    assert_eq!(cost(&FRIDAY), (4, by_hand.to_string()));
    let (_, twice) = cost(&[&FRIDAY[..], &["--rate", "250000"]].concat());
    let base = 201_000_000u128 * 130;
    let by_hand = 12 * 3_600_000 * (base / 100)
        + 10 * 3_600_000 * (base * 150 / 10_000)
        + 2 * 3_600_000 * (base * 40 / 10_000);
    assert_eq!(twice, by_hand.to_string());
    // Half an hour within one window, begun at an odd second.
    let odd = ["--start", "2026-01-09T08:10:07", "--for", "1800"];
    let (spans, amount) = cost(&odd);
    assert_eq!(
        (spans, amount),
        (1, (1_800_000 * (101_000_000u128 * 130 * 150 / 10_000)).to_string())
    );
}

#[test]
fn what_makes_no_sense_names_the_option_its_value_and_a_remedy() {
    for (arguments, parts) in [
        (&["--interface", "eth7"][..], ["--interface eth7", "flat0, uplink"]),
        (&["--slack", "5"], ["--slack", "--service guaranteed"]),
        (&["--start", "tomorrow"], ["--start tomorrow", "2026-01-31T08:00"]),
        (&["--time-zone", "Europe/Atlantis"], ["Europe/Atlantis", "Europe/Berlin"]),
        (&["--utilisation", "101"], ["101", "0..=100"]),
        (&["--for", "0"], ["0", "1..="]),
        (
            &["--service", "guaranteed", "--rate", "9", "--reserved-rate", "8"],
            ["--reserved-rate 8", "--rate 9"],
        ),
    ] {
        let (status, out, err) = tariff_test(arguments);
        assert_eq!((status, &*out), (Some(2), ""), "{arguments:?}: {err}");
        for part in parts {
            assert!(err.contains(part), "{arguments:?}: {part:?} is not in {err}");
        }
    }
    let (status, _, err) = tariff_test(&["--svg", "/nowhere/at/all.svg"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("--svg /nowhere/at/all.svg cannot be written"), "{err}");
}
