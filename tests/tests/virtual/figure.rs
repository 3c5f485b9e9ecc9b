//! The paper's Figure 2 with its golden numbers.

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_daemon::engine::NoticeEvent;
use lcm_tests::sim::{Family, Net, NodeId, Options, TreeNet, Weather};
use rsvp_wire::MessageType;
use serde_json::Value;

use crate::support::link;

/// S 0, IS1 1, IS2 2, IS3 3, R1 4, R2 5; link n leads to node n + 1.
const NAMES: [&str; 6] = ["S", "IS1", "IS2", "IS3", "R1", "R2"];
const IS2: NodeId = 2;
const R1: NodeId = 4;
const R2: NodeId = 5;
const LINK_TO_R1: usize = 3;
const LINK_TO_R2: usize = 4;

fn golden(case: &str) -> Value {
    let text = include_str!("../../../charging-model/tests/figure2.json");
    serde_json::from_str::<Value>(text).unwrap()[case].clone()
}

fn figure(family: Family) -> TreeNet {
    let tree = Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 100, 120, false),
            link(2, 60, 70, false),
            link(2, 40, 80, true),
            link(3, 50, 60, true),
        ],
        fraction: Ppm::new(300_000).unwrap(),
        ..Tree::default()
    };
    TreeNet::named(&tree, &NAMES, Options { family, ..Options::default() }, false)
}

fn node(name: &str) -> NodeId {
    NAMES.iter().position(|other| *other == name).unwrap()
}

fn ends(row: &Value) -> (NodeId, NodeId) {
    let (from, to) = row["link"].as_str().unwrap().split_once("->").unwrap();
    (node(from), node(to))
}

/// Every number of a case, from what crossed the links and what the payees have on their books.
fn assert_golden(play: &mut TreeNet, case: &str) {
    let case = golden(case);
    let number = |row: &Value, field: &str| row[field].as_u64().unwrap();
    for row in case["DCPE"].as_array().unwrap() {
        let (from, to) = ends(row);
        let dcpe = play.net.log.last_dcpe(to - 1, from, play.sender).unwrap();
        assert_eq!(dcpe.total, number(row, "total_charge"), "{row}");
        assert_eq!(dcpe.max_total, number(row, "max_total_charge"), "{row}");
        assert_eq!(u64::from(dcpe.validity_ms), 1_000 * number(row, "validity_s"), "{row}");
        assert_eq!(dcpe.terms.sender_fraction, Some(300_000), "{row}");
        assert_eq!((dcpe.currency, dcpe.service), (978, 5));
    }
    for row in case["UCPE"].as_array().unwrap() {
        let (from, to) = ends(row);
        let ucpe = play.net.log.last_ucpe(from - 1, from, play.sender).unwrap();
        assert_eq!(ucpe.payment, number(row, "payment"), "{row}");
        assert_eq!(ucpe.announced_total, number(row, "total_charge"), "{row}");
        assert_eq!(ucpe.local_sum, number(row, "local_sum"), "{row}");
        assert_eq!(ucpe.sender_payment, number(row, "sender_payment"), "{row}");
        assert_eq!(ucpe.account.id.as_bytes(), NAMES[from].as_bytes());
        assert_eq!(debited(&play.net, to, from), number(row, "debited"), "{row}");
    }
    let rates = play.net.rates_over(5_000);
    for (name, rate) in case["balances"].as_object().unwrap() {
        assert_eq!(rates[node(name)], i128::from(rate.as_i64().unwrap()), "{name}");
    }
}

fn debited(net: &Net, payee: NodeId, payer: NodeId) -> u64 {
    let reservations = net.node(payee).engine().show_reservations(net.clock(payee));
    let ours = reservations.iter().find(|r| net.topology.owner(r.next_hop) == Some(payer));
    ours.unwrap().charging.as_ref().unwrap().debited
}

fn settled_a(family: Family) -> TreeNet {
    let mut play = figure(family);
    play.join(R2);
    play.join(R1);
    play.rest();
    play
}

fn phases_a_c_b(family: Family) {
    let mut play = settled_a(family);
    assert_golden(&mut play, "A_equilibrium");
    play.assert_agrees();

    play.leave(R1);
    play.rest();
    assert_golden(&mut play, "C_R2_only");
    play.assert_agrees();

    play.net.set_price(IS2, LINK_TO_R1, 60, true);
    let before = play.net.log.crossings().len();
    play.join(R1);
    play.rest();
    assert_golden(&mut play, "B_after_R1_price_rise_40_to_60");
    play.tree.links[LINK_TO_R1].local = charging_model::Rate(60);
    play.assert_agrees();

    // 63 on the quote of 90, RESVERR, a new PATH with 110, 77 (paper section 3.6).
    let said = play.net.log.crossings()[before..].iter().filter(|c| c.link == LINK_TO_R1);
    let types: Vec<MessageType> = said.clone().map(|c| c.message_type).collect();
    use MessageType::{Path, Resv, ResvErr};
    let expected = [Path, Resv, ResvErr, Path, Resv];
    assert_eq!(types[..5], expected);
    let payments: Vec<u64> = play
        .net
        .node(R1)
        .notices()
        .iter()
        .filter_map(|notice| match notice.event {
            NoticeEvent::Offered { payment, .. } => Some(payment),
            _ => None,
        })
        .collect();
    assert_eq!(payments[payments.len() - 2..], [63, 77]);
}

#[test]
fn r016_r041_r053_r054_r099_r100_figure2_over_ipv4() {
    phases_a_c_b(Family::V4);
}

#[test]
fn r016_r041_r053_r054_r099_r100_figure2_over_ipv6() {
    phases_a_c_b(Family::V6);
}

#[test]
fn r059_r096_end_systems_know_the_totals() {
    let mut play = settled_a(Family::V4);
    let told = play.net.node(0).notices().last().unwrap().event.clone();
    let whole = NoticeEvent::Reserved { receivers_pay: 175, sender_pays: 75, total: 250 };
    assert_eq!(told, whole);
    let told = play.net.node(R2).notices().last().unwrap().event.clone();
    assert_eq!(told, NoticeEvent::Offered { payment: 112, total: 160, max_total: 250 });
    play.assert_metered(60_000);
}

/// A for 45 s; R1 leaves; R2's approval of 147 reaches IS3 at 60 s; C until 90 s.
#[test]
fn r057_r075_golden_d_over_90_seconds() {
    let case = golden("D_time");
    let mut play = settled_a(Family::V4);
    // Nothing takes time but the way to R2 and back: 15 s together.
    play.net.set_weather(Weather::steady(0));
    play.net.set_weather_of(LINK_TO_R2, Weather::steady(7_500_000));
    let start = play.net.balances();
    assert_rates(&mut play, 45_000, &case["rates_0_45"]);
    play.leave(R1);
    // What moves no payment is reported upstream within half a second a hop (T19).
    play.net.run_ms(2_000);
    assert_rates(&mut play, 12_999, &case["rates_45_60"]);
    play.net.run_ms(2_001);
    assert_rates(&mut play, 28_000, &case["rates_60_90"]);
    let end = play.net.balances();
    let total = |name: &str| end[node(name)] - start[node(name)];
    let expected = |name: &str| 1_000 * i128::from(case["totals_90s"][name].as_i64().unwrap());
    for name in ["R1", "R2", "IS2", "IS3"] {
        assert_eq!(total(name), expected(name), "{name}");
    }
    // The case has all know at once that the sender's share fell by 27 and rose by 15; here IS1
    // hears of both within half a second (T19), and debits the old share till then.
    let late = 500 * (27 - 15);
    assert_eq!(total("IS1"), expected("IS1") + late);
    assert_eq!(total("S"), expected("S") - late);
    assert_eq!(NAMES.map(total).iter().sum::<i128>(), 0);
}

fn assert_rates(play: &mut TreeNet, ms: u64, expected: &Value) {
    let rates = play.net.rates_over(ms);
    for (name, rate) in expected.as_object().unwrap() {
        assert_eq!(rates[node(name)], i128::from(rate.as_i64().unwrap()), "{name}: {expected}");
    }
}
