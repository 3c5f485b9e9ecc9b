//! `lcmctl demo figure2` as a program: what it prints, and what it refuses.

use std::error::Error;
use std::path::PathBuf;
use std::process::Output;

use lcm_daemon::lab;
use lcm_tests::harness::TestResult;
use serde_json::Value;

use crate::invariants::{Terms, check};
use crate::pcap;
use crate::support::golden::{self, A, B, C};
use crate::support::programs::{lcmctl, text};
use crate::support::wire::{PATH, RESV};

fn demo(arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    Ok(lcmctl(&["demo", "figure2"]).args(arguments).output()?)
}

/// The demo's object; the demo must succeed.
pub(crate) fn findings(arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    let output = demo(&[arguments, &["--json"]].concat())?;
    let said = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}: {said}", output.status);
    assert_eq!(said, "", "nothing but the object");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Plays with other prices or another share, and checks the rules of charging.md in each phase.
fn play_and_check(arguments: &[&str], terms: &Terms) -> TestResult {
    let findings = findings(arguments)?;
    check(&findings[A], terms, &["R1", "R2"]);
    check(&findings[C], terms, &["R2"]);
    let (price, _) = terms.prices["IS2->R1"];
    let raised = if price < 60 { 60 } else { price + 20 };
    check(&findings[B], &terms.clone().with("IS2->R1", raised), &["R1", "R2"]);
    Ok(())
}

pub(crate) fn golden() -> TestResult {
    let dir = scratch("golden")?;
    let findings = findings(&["--pcap", dir.to_str().ok_or("a path that is not UTF-8")?])?;
    let keys: Vec<&String> = findings.as_object().ok_or("no object")?.keys().collect();
    assert_eq!(keys, [A, B, C]);
    for name in [A, B, C] {
        assert_eq!(findings[name], golden::case(name)?, "{name}");
    }
    check_captures(&dir)
}

/// The same numbers over IPv6.
pub(crate) fn over_ipv6() -> TestResult {
    let findings = findings(&["--ipv6"])?;
    for name in [A, B, C] {
        assert_eq!(findings[name], golden::case(name)?, "{name}");
    }
    Ok(())
}

/// One file a link, each readable, with the last announcement and payment of case B in it.
fn check_captures(dir: &std::path::Path) -> TestResult {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    let expected = ["IS1-IS2.pcap", "IS2-IS3.pcap", "IS2-R1.pcap", "IS3-R2.pcap", "S-IS1.pcap"];
    assert_eq!(names, expected);
    let last = [(100, 70), (110, 77), (110, 77), (160, 112), (0, 189)];
    for (name, (total, payment)) in names.iter().zip(last) {
        let messages = pcap::messages(&std::fs::read(dir.join(name))?)
            .map_err(|why| format!("{name}: {why}"))?;
        let of_kind = |kind| messages.iter().rev().filter(move |message| message.kind == kind);
        let dcpe = of_kind(PATH).find_map(|message| message.dcpe());
        assert_eq!(dcpe.map(|dcpe| dcpe.total), Some(total), "{name}");
        let ucpe = of_kind(RESV).find_map(|message| message.ucpe());
        assert_eq!(ucpe.map(|ucpe| ucpe.payment), Some(payment), "{name}");
    }
    Ok(())
}

pub(crate) fn scratch(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let dir = lab::scratch_dir()?.join(name);
    std::fs::create_dir(&dir)?;
    Ok(dir)
}

pub(crate) fn price_of_41() -> TestResult {
    play_and_check(&["--price", "IS2-R1=41"], &Terms::golden().with("IS2->R1", 41))
}

pub(crate) fn receivers_pay() -> TestResult {
    let terms = Terms { fraction_ppm: 0, fraction: "0", ..Terms::golden() };
    play_and_check(&["--fraction", "0"], &terms)
}

pub(crate) fn sender_pays() -> TestResult {
    let terms = Terms { fraction_ppm: 1_000_000, fraction: "1", ..Terms::golden() };
    play_and_check(&["--fraction", "1000000"], &terms)
}

pub(crate) fn a_third() -> TestResult {
    let terms = Terms { fraction_ppm: 333_333, fraction: "333333/1000000", ..Terms::golden() };
    play_and_check(&["--fraction", "333333"], &terms)
}

pub(crate) fn odd_prices() -> TestResult {
    let terms = Terms::golden()
        .with("IS1->IS2", 101)
        .with("IS2->IS3", 7)
        .with("IS3->R2", 1)
        .with("IS2->R1", 77);
    let arguments = [
        ["--price", "IS1-IS2=101"],
        ["--price", "IS2-IS3=7"],
        ["--price", "IS3->R2=1"],
        ["--price", "IS2-R1=77"],
    ];
    play_and_check(arguments.as_flattened(), &terms)
}

pub(crate) fn huge_prices() -> TestResult {
    // Three millions a second, and an odd unit.
    let terms = Terms::golden()
        .with("IS1->IS2", 3_000_000_000_000_000_001)
        .with("IS3->R2", 1_000_000_000_000_000_000);
    let arguments =
        ["--price", "IS1-IS2=3000000000000000001", "--price", "IS3-R2=1000000000000000000"];
    play_and_check(&arguments, &terms)
}

pub(crate) fn refusals() -> TestResult {
    // Arguments, and what the message must name.
    let cases: [(&[&str], &[&str]); 12] = [
        (&["--price", "IS1-R1=5"], &["IS1-R1", "S-IS1", "IS2-R1"]),
        (&["--max-price", "R2-IS3=5"], &["R2-IS3", "IS3-R2"]),
        (&["--price", "IS2-R1"], &["IS2-R1", "LINK=RATE"]),
        (&["--price", "IS2-R1=-4"], &["-4"]),
        (&["--price", "IS2-R1=1.5"], &["1.5", "whole number"]),
        (&["--price", "IS2-R1=18446744073709551616"], &["18446744073709551616"]),
        (&["--max-price", "IS2-R1=39"], &["IS2-R1", "39", "40"]),
        (&["--fraction", "1000001"], &["1000001", "--fraction"]),
        (&["--fraction", "0.3"], &["0.3", "--fraction"]),
        (&["--refresh-ms", "99"], &["99", "--refresh-ms"]),
        (&["--nonsense"], &["--nonsense"]),
        (&["--price", "IS1-IS2=18446744073709551615"], &["cannot be added up", "lower"]),
    ];
    for (arguments, names) in cases {
        let output = demo(arguments)?;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        for name in names {
            assert!(said.contains(name), "{arguments:?} does not name {name}: {said}");
        }
    }
    let unwritable = demo(&["--pcap", "/proc/no-such-place"])?;
    let said = text(&unwritable.stderr);
    assert_eq!(unwritable.status.code(), Some(2), "{said}");
    assert!(said.contains("/proc/no-such-place"), "{said}");
    Ok(())
}

pub(crate) fn story() -> TestResult {
    let output = demo(&["--refresh-ms", "500"])?;
    let told = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for words in [
        "A: R1 and R2 have reserved",
        "C: R1 has left",
        "B: R1 is back",
        "IS1 +100  IS2 +100  IS3 +50  R1 -63  R2 -112  S -75  (sum 0)",
        "IS1 +100  IS2 +60  IS3 +50  R2 -147  S -63  (sum 0)",
        "IS1 +100  IS2 +120  IS3 +50  R1 -77  R2 -112  S -81  (sum 0)",
        "63 offered, 77 required",
    ] {
        assert!(told.contains(words), "{words:?} is not in the story:\n{told}");
    }
    Ok(())
}
