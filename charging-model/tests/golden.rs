//! The worked numbers of the paper's Figure 2: cases A to D.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use charging_model::tree::Solution;
use charging_model::*;
use common::{Net, Will, figure, key};
use serde_json::Value;

const NAMES: [&str; 6] = ["S", "IS1", "IS2", "IS3", "R1", "R2"];
const R1: usize = 4;
const R2: usize = 5;

fn golden(case: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("figure2.json")).unwrap();
    all[case].clone()
}

fn node(name: &str) -> usize {
    NAMES.iter().position(|n| *n == name).unwrap()
}

fn rows<'a>(case: &'a Value, list: &str, arrow: usize) -> impl Iterator<Item = (usize, &'a Value)> {
    case[list].as_array().unwrap().iter().map(move |row| {
        let ends: Vec<_> = row["link"].as_str().unwrap().split("->").collect();
        (node(ends[arrow]), row)
    })
}

fn number(row: &Value, field: &str) -> Rate {
    Rate(row[field].as_u64().unwrap())
}

fn assert_balances(case: &Value, field: &str, balances: &[i128]) {
    for (name, rate) in case[field].as_object().unwrap() {
        assert_eq!(balances[node(name)], i128::from(rate.as_i64().unwrap()), "{name} in {field}");
    }
}

/// Checks a tree solution against every number of a case.
fn assert_tree(case: &Value, solution: &Solution) {
    for (child, row) in rows(case, "DCPE", 1) {
        let link = solution.links[child - 1].unwrap();
        assert_eq!(link.total, number(row, "total_charge"), "{row}");
        assert_eq!(link.max_total, number(row, "max_total_charge"), "{row}");
        assert_eq!((link.carried, link.local), (number(row, "c"), number(row, "local_price")));
        assert_eq!(link.fraction.get(), 300_000);
    }
    for (child, row) in rows(case, "UCPE", 0) {
        let link = solution.links[child - 1].unwrap();
        assert_eq!(link.receiver_payment, number(row, "debited"), "{row}");
        assert_eq!(link.announced_total, number(row, "total_charge"), "{row}");
        assert_eq!(link.local_sum, number(row, "local_sum"), "{row}");
        assert_eq!(link.sender_payment, number(row, "sender_payment"), "{row}");
    }
    assert_balances(case, "balances", &solution.balances);
}

/// Checks what a network of flows quotes, pays and debits against every number of a case.
fn assert_net(case: &Value, net: &Net) {
    for (child, row) in rows(case, "DCPE", 1) {
        let quote = net.nodes[net.nodes[child].parent].flow.quote(child as u32).unwrap();
        assert_eq!(quote.total, number(row, "total_charge"), "{row}");
        assert_eq!(quote.max_total, number(row, "max_total_charge"), "{row}");
        assert_eq!((quote.carried, quote.local), (number(row, "c"), number(row, "local_price")));
        assert_eq!(quote.fraction.get(), 300_000);
        assert_eq!(quote.validity, Span(1000 * row["validity_s"].as_u64().unwrap()), "{row}");
        assert_eq!(quote.sponsored_tlv(), None);
    }
    for (child, row) in rows(case, "UCPE", 0) {
        let own = net.nodes[child].flow.preview_payment().unwrap();
        assert_eq!(own.payment, number(row, "payment"), "{row}");
        assert_eq!(own.announced_total, number(row, "total_charge"), "{row}");
        assert_eq!(own.local_sum, number(row, "local_sum"), "{row}");
        assert_eq!(own.sender_payment, number(row, "sender_payment"), "{row}");
        let branch = net.nodes[net.nodes[child].parent].flow.branch(key(child)).unwrap();
        assert_eq!(branch.receiver_payment, number(row, "debited"), "{row}");
    }
    assert_balances(case, "balances", &net.rates());
}

#[test]
fn r016_golden_a_by_the_whole_tree() {
    assert_tree(&golden("A_equilibrium"), &figure(40).solve().unwrap());
}

#[test]
fn golden_b_by_the_whole_tree() {
    assert_tree(&golden("B_after_R1_price_rise_40_to_60"), &figure(60).solve().unwrap());
}

#[test]
fn golden_c_by_the_whole_tree() {
    let solution = figure(40).solve_for(|node| node == R2).unwrap();
    assert_tree(&golden("C_R2_only"), &solution);
    assert_eq!(solution.links[R1 - 1], None);
}

fn both_joined() -> Net {
    let mut net = Net::new(&figure(40));
    net.join(R2, Will::Any);
    net.pump();
    net.join(R1, Will::Any);
    net.pump();
    net
}

#[test]
fn r016_golden_a_by_a_network_of_flows() {
    let net = both_joined();
    net.assert_agrees(&figure(40));
    assert_net(&golden("A_equilibrium"), &net);
    assert_eq!(net.refusals, 0);
}

#[test]
fn r100_golden_b_reject_new_path_new_resv() {
    let mut net = Net::new(&figure(40));
    net.join(R2, Will::Any);
    net.pump();
    // R1 answers a quote for 40, but IS2 prices the link at 60 before the RESV arrives there.
    net.join(R1, Will::Any);
    net.set_price(R1, 60);
    net.send_resv(R1);
    assert!(net.nodes[2].flow.branch(key(R1)).is_none(), "63 must not be installed");
    net.pump();
    assert!(net.refusals >= 1, "63 must be refused");
    assert_net(&golden("B_after_R1_price_rise_40_to_60"), &net);
}

#[test]
fn golden_c_by_a_network_of_flows() {
    let mut net = Net::new(&figure(40));
    net.join(R2, Will::Any);
    net.pump();
    assert_net(&golden("C_R2_only"), &net);
}

#[test]
fn r057_r075_golden_d_to_the_unit() {
    let case = golden("D_time");
    let mut net = both_joined();
    net.nodes[R2].will = Will::UpTo(112);
    assert_balances(&case, "rates_0_45", &net.rates());
    net.run_to(45_000);
    assert_balances(&case, "rates_0_45", &net.rates());
    net.leave(R1);
    net.pump();
    assert_balances(&case, "rates_45_60", &net.rates());
    assert_eq!(net.nodes[2].flow.carried_by_hop(), 50);
    net.run_to(60_000);
    assert_balances(&case, "rates_45_60", &net.rates());
    net.nodes[R2].will = Will::Any;
    net.answer(R2);
    net.pump();
    assert_balances(&case, "rates_60_90", &net.rates());
    assert_net(&golden("C_R2_only"), &net);
    net.run_to(90_000);
    net.close();
    for (name, total) in case["totals_90s"].as_object().unwrap() {
        // Totals of the case are rate × seconds; the ledger counts rate × milliseconds.
        let expected = i128::from(total.as_i64().unwrap()) * 1000;
        assert_eq!(net.ledger.balance(&node(name)), Amount(expected), "{name}");
        assert_eq!(net.shadow.balance(&node(name)), Amount(expected), "shadow of {name}");
    }
}
