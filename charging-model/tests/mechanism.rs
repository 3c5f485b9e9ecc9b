//! Mechanism apart from strategy: the model has no number of a tariff or of a split in it. All that
//! anybody is charged comes from prices and weights that are handed in.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use charging_model::flow::Limits;
use charging_model::tree::Tree;
use charging_model::*;
use common::sharing::{Sharing, demand};
use common::{Net, Will, link};
use proptest::prelude::*;

/// Every number above 2 in the model, where it stands, and what it is.
const NUMBERS: [(&str, u128, &str); 23] = [
    ("curve.rs", 3, "places of points from the end of a curve"),
    ("curve.rs", 4, "the fewest points that a curve is thinned to"),
    ("curve.rs", 16, "points of a curve that is announced: size of a message"),
    ("flow/asked.rs", 16, "hops that may ask at once: memory"),
    ("flow/audit.rs", 3, "periods until a suspicion is overdue"),
    ("flow/audit.rs", 6, "messages until a suspicion is passed on"),
    ("flow/audit.rs", 8, "units of rounding, and the longest period, of an audit"),
    ("flow/extra.rs", 64, "instances and quotes that are remembered: memory"),
    ("flow/messages.rs", 2_000, "milliseconds before a deadline: default, from the configuration"),
    ("flow/messages.rs", 30_000, "R in milliseconds: default, from the configuration"),
    ("flow/mod.rs", 4, "growth of small vectors: memory"),
    ("flow/quality.rs", 7, "reasons of outages, counted"),
    ("flow/quality.rs", 64, "branches whose outages are remembered: memory"),
    ("flow/refund.rs", 64, "reservations whose refunds are remembered: memory"),
    ("flow/report.rs", 29, "a digest"),
    ("flow/report.rs", 0x9e37_79b9_7f4a_7c15, "a digest"),
    ("meter.rs", 64, "bits of half an amount"),
    ("money.rs", 1_000_000, "parts per million"),
    ("parts.rs", 3, "neighbours that become one sum"),
    ("parts.rs", 16, "parts of a charge that are told: memory"),
    ("time.rs", 4, "H and 2H of a period (T3, T9)"),
    ("time.rs", 5, "H and 2H of a period (T3, T9)"),
    ("time.rs", 31, "bits of serial arithmetic (T17)"),
];
/// Numbers that two places of one file share.
const ALSO: [(&str, u128); 2] = [("time.rs", 2_000), ("tree.rs", 1_000_000)];

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|e| e == "rs") {
            all.push(path);
        }
    }
}

/// The numbers above 2 in a line of code: not those in names, texts and comments.
fn numbers(line: &str) -> Vec<u128> {
    let code = line.split("//").next().unwrap_or_default();
    let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    let numeric = words.filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let read = |word: &str| {
        let digits = word.replace('_', "");
        let suffixes = ["u128", "i128", "usize", "u64", "i64", "u32", "u16", "u8"];
        let bare = suffixes.iter().find_map(|s| digits.strip_suffix(s)).unwrap_or(&digits);
        match bare.strip_prefix("0x") {
            Some(hex) => u128::from_str_radix(hex, 16).unwrap_or(u128::MAX),
            None => bare.parse().unwrap_or(u128::MAX),
        }
    };
    numeric.map(read).filter(|number| *number > 2).collect()
}

#[test]
fn r117_no_number_in_the_model_is_one_of_a_tariff() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    sources(&root, &mut all);
    let mut found = BTreeSet::new();
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in code.lines() {
            found.extend(numbers(line).into_iter().map(|number| (name.clone(), number)));
            let lower = line.split("//").next().unwrap_or_default().to_lowercase();
            for word in ["euro", "dollar", "currency", "price_pico", "tariff"] {
                assert!(!lower.contains(word), "{name}: {line}");
            }
        }
    }
    let known = NUMBERS.iter().map(|(file, number, _)| (file, number));
    let known = known.chain(ALSO.iter().map(|(file, number)| (file, number)));
    let known: BTreeSet<_> = known.map(|(file, number)| ((*file).to_owned(), *number)).collect();
    assert_eq!(found, known, "a number of the model is none of a strategy: say above what it is");
    assert!(all.iter().any(|path| path.ends_with("split/incremental.rs")), "strategies, too");
}

#[test]
fn what_is_a_number_is_found() {
    assert_eq!(numbers("let price = 1_250u64; // 7"), [1_250]);
    assert_eq!(numbers("Rate(0x10), 3, x4, self.0.1, \"5 per cent\", 2"), [16, 3]);
}

/// A tariff of odd numbers that the model never saw: dearer for what is reserved, and by the square
/// of the time of day.
fn odd_price(node: usize, hour: u64) -> u64 {
    977 + 13 * demand(node) + 7 * hour * hour + 31 * node as u64
}

/// A router below the sender, and a random tree behind it.
fn tree(parents: &[prop::sample::Index]) -> Tree {
    let mut links = vec![link(0, 0, 0, false)];
    for (index, parent) in parents.iter().enumerate() {
        links.push(link(1 + parent.index(index + 1), 0, 0, false));
    }
    let inner: Vec<_> = links.iter().map(|l| l.parent).collect();
    for (index, l) in links.iter_mut().enumerate() {
        l.receives = !inner.contains(&(index + 1));
    }
    Tree { links, fraction: Ppm::ZERO, limits: Limits::default() }
}

/// What all pay in a second when the links cost `price`.
fn rates(tree: &Tree, sharing: Sharing, price: impl Fn(usize) -> u64) -> Vec<i128> {
    let mut tree = tree.clone();
    for (index, l) in tree.links.iter_mut().enumerate().skip(1) {
        l.local = Rate(price(index + 1));
        l.max_local = l.local;
    }
    let mut net = Net::shared(&tree, FlowConfig::default(), sharing);
    for node in (1..net.nodes.len()).filter(|node| tree.links[node - 1].receives) {
        net.join(node, Will::Any);
        net.pump();
    }
    net.assert_agrees(&tree);
    net.rates()
}

proptest! {
    #![proptest_config(common::cases(200))]

    /// Every hop earns to the unit what a tariff outside says, shared by a strategy outside; and
    /// nobody is charged anything where nothing costs anything.
    #[test]
    fn r117_a_tariff_and_a_strategy_from_outside_are_all_that_is_charged(
        parents in proptest::collection::vec(any::<prop::sample::Index>(), 2..9),
        hour in 0..24_u64,
    ) {
        let tree = tree(&parents);
        let rates_now = rates(&tree, Sharing::Outside, |node| odd_price(node, hour));
        for node in (1..=tree.links.len()).filter(|node| !tree.links[node - 1].receives) {
            let below = (2..=tree.links.len()).filter(|k| tree.links[k - 1].parent == node);
            let earns: u64 = below.map(|k| odd_price(k, hour)).sum();
            prop_assert_eq!(rates_now[node], i128::from(earns));
        }
        prop_assert!(rates(&tree, Sharing::Outside, |_| 0).iter().all(|rate| *rate == 0));
    }

    /// Whatever money is counted in: prices a million times as high make every charge a million
    /// times as high, but for rounding. An amount of the model's own would show.
    #[test]
    fn r117_charges_scale_with_prices(
        parents in proptest::collection::vec(any::<prop::sample::Index>(), 2..9),
    ) {
        const TIMES: u64 = 1_000_000;
        let tree = tree(&parents);
        let once = rates(&tree, Sharing::Outside, |node| odd_price(node, 3));
        let many = rates(&tree, Sharing::Outside, |node| TIMES * odd_price(node, 3));
        for (once, many) in once.iter().zip(&many) {
            let apart = (many - once * i128::from(TIMES)).unsigned_abs();
            // A unit of each link, a million times as large.
            prop_assert!(apart <= u128::from(TIMES) * tree.links.len() as u128 * 2);
        }
    }
}
