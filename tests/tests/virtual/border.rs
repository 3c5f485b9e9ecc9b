//! A border where one currency becomes another (paper sections 2.2 and 3).
//!
//! ```text
//! S ── A ── B ── C ── R      S and A reckon in dollars, B, C and R in euros
//!           └─ Q
//! ```

use std::collections::BTreeMap;

use charging_model::Ppm;
use charging_model::flow::Limits;
use charging_model::tree::Tree;
use lcm_daemon::ledger::record::{Body, Exchange};
use lcm_tests::sim::{Kind, Net, NodeConfig, NodeId, Options, Topology, TreeNet, group};

use crate::support::{link, seeds};

const ABROAD: [NodeId; 2] = [0, 1];
const B: NodeId = 2;
const RECEIVERS: [NodeId; 2] = [4, 5];

fn options(rate: (u64, u64), seed: u64) -> Options {
    let border = Some((B, 1, rate, None));
    let config = NodeConfig { abroad: &ABROAD, border, ..NodeConfig::default() };
    Options { config, seed, ..Options::default() }
}

fn play(prices: [u64; 4], fraction: u32, rate: (u64, u64), seed: u64) -> TreeNet {
    let [a, b, c, q] = prices;
    let links = vec![
        link(0, 0, 0, false),
        link(1, a, 2 * a, false),
        link(2, b, b, false),
        link(3, c, c, true),
        link(2, q, q, true),
    ];
    let tree = Tree { links, fraction: Ppm::new(fraction).unwrap(), limits: Limits::default() };
    let names = ["S", "A", "B", "C", "R", "Q"];
    let mut play = TreeNet::named(&tree, &names, options(rate, seed), false);
    for receiver in RECEIVERS {
        play.join(receiver);
    }
    play.rest();
    play.net.run_ms(60_000);
    play
}

/// What is announced and paid on the link to B, and what that is to B itself.
fn at_the_border(play: &TreeNet) -> (u64, u64, u64, u64) {
    let dcpe = play.net.log.last_dcpe(1, 1, play.sender).unwrap();
    let ucpe = play.net.log.last_ucpe(1, B, play.sender).unwrap();
    assert_eq!((dcpe.currency, ucpe.currency), (840, 840));
    let shown = play.net.node(B).engine().show_sessions(play.net.clock(B));
    let down = shown[0].senders[0].charging.clone().unwrap();
    let covered = dcpe.terms.sponsored.unwrap_or_else(|| {
        (dcpe.total * u64::from(dcpe.terms.sender_fraction.unwrap_or(0))).div_ceil(1_000_000)
    });
    assert_eq!(ucpe.payment, dcpe.total - covered, "exactly what was announced is paid");
    (dcpe.total, ucpe.payment, down.total_charge, down.total_charge - down.sponsored)
}

#[test]
fn r038_what_costs_dollars_is_passed_on_in_euros_and_paid_in_dollars() {
    let mut play = play([100, 60, 50, 40], 300_000, (9, 10), 1);
    assert_eq!(at_the_border(&play), (100, 70, 90, 63), "9 euros for 10 dollars");
    // 45 of 90 each, with what lies behind B.
    let dcpe = |link, from| play.net.log.last_dcpe(link, from, play.sender).unwrap();
    assert_eq!((dcpe(3, 3).total, dcpe(3, 3).currency), (45 + 60 + 50, 978));
    assert_eq!(dcpe(4, B).total, 45 + 40);
    // What is owed abroad stands in both currencies, and each of them adds up to nothing.
    let mut sums: BTreeMap<u16, i128> = BTreeMap::new();
    for id in 0..6 {
        let view = play.net.input(id, |engine, now| engine.show_accounts(now));
        let own = if ABROAD.contains(&id) { 840 } else { 978 };
        for account in &view.accounts {
            let amount: i128 = account.amount.parse().unwrap();
            *sums.entry(own).or_default() += amount;
            let Some(foreign) = &account.foreign else { continue };
            assert_eq!((id, &*foreign.currency, foreign.version), (B, "USD", 7));
            // The conversion account: it took in our euros, and gives dollars.
            *sums.entry(978).or_default() -= amount;
            *sums.entry(840).or_default() += foreign.amount.parse::<i128>().unwrap();
        }
    }
    // Meters of two neighbours differ by the time that a message takes.
    for (currency, sum) in sums {
        assert!(sum.abs() < 100_000, "{currency}: {sum}");
    }
    let mut exchanges = play.net.node(B).records().iter().filter_map(|(_, body)| match &**body {
        Body::Exchange(exchange) => Some(exchange.clone()),
        _ => None,
    });
    let last = exchanges.next_back().unwrap();
    let Exchange { currency, version, ours, theirs, rate, foreign_rate, .. } = last;
    assert_eq!((currency, version, ours, theirs, rate, foreign_rate), (840, 7, 9, 10, 63, 70));
    assert!(play.net.node(A_NODE).alarms().is_empty(), "{:?}", play.net.node(A_NODE).alarms());
    play.net.assert_promise();
}

const A_NODE: NodeId = 1;

/// Whatever the rate: customers pay no more than it comes to, the hop loses less than one unit a
/// second for what it pays and for what it is paid, and nobody is suspected.
#[test]
fn r038_rounding_is_in_the_customers_favour_and_costs_the_hop_less_than_a_unit() {
    for seed in seeds(60) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let rate = (rng.u64(1..300), rng.u64(1..300));
        let prices = [0; 4].map(|_| rng.u64(0..500));
        let fraction = [0, 1, 333_333, 500_000, 1_000_000][rng.usize(0..5)];
        let mut play = play(prices, fraction, rate, seed);
        let (total, paid, ours, claim) = at_the_border(&play);
        let exact = u128::from(paid) * u128::from(rate.0);
        let bought = u128::from(claim) * u128::from(rate.1);
        assert!(bought <= exact && exact < bought + u128::from(rate.1), "seed {seed}: {rate:?}");
        assert!(u128::from(ours) * u128::from(rate.1) <= u128::from(total) * u128::from(rate.0));
        for node in 0..6 {
            assert!(play.net.node(node).alarms().is_empty(), "seed {seed}, node {node}");
        }
        play.net.assert_promise();
        // A price that moves abroad is followed.
        let link = play.net.topology.between(1, B);
        play.net.set_price(1, link, prices[0] + 7, false);
        play.rest();
        assert_eq!(at_the_border(&play).0, prices[0] + 7, "seed {seed}");
        for receiver in RECEIVERS {
            play.leave(receiver);
        }
        play.rest();
        play.net.assert_promise();
    }
}

#[test]
fn r038_without_an_agreed_rate_a_foreign_price_is_refused() {
    let config = NodeConfig { abroad: &ABROAD, ..NodeConfig::default() };
    let mut topology = Topology::default();
    let [s, a, b] = ["S", "A", "B"].map(|name| topology.node(name, Kind::Router));
    topology.link(s, a, (0, 0));
    topology.link(a, b, (9, 9));
    let mut net = Net::new(topology, Options { config, ..Options::default() });
    let session = group(net.family(), 1);
    net.fix_members(session, [b]);
    net.send(s, session, None);
    net.receive(b, session);
    net.run_ms(60_000);
    assert!(net.node(b).engine().show_sessions(net.clock(b)).iter().all(|s| s.senders.is_empty()));
}

/// A provider that charges by a scheme of its own announces nothing: what it asks is mapped to L.
#[test]
fn r038_a_gateway_maps_a_foreign_price_to_its_local_price() {
    let mut topology = Topology::default();
    let s = topology.node("S", Kind::Ignorant);
    let gateway = topology.node("G", Kind::Router);
    let r = topology.node("R", Kind::Host);
    topology.link(s, gateway, (0, 0));
    let out = topology.link(gateway, r, (40, 50));
    let border = Some((gateway, s, (9, 10), Some(33)));
    let config = NodeConfig { border, ..NodeConfig::default() };
    let mut net = Net::new(topology, Options { config, ..Options::default() });
    let session = group(net.family(), 1);
    net.send(s, session, None);
    net.receive(r, session);
    net.run_ms(60_000);
    let dcpe = net.log.last_dcpe(out, gateway, net.sender(s)).unwrap();
    assert_eq!((dcpe.total, dcpe.max_total), (40 + 29, 50 + 29), "9/10 of 33, rounded down");
    net.assert_metered(10_000, &[0, 69, -69]);
    net.assert_promise();
}
