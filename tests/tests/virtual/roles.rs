//! Edge and interior LCMs (paper section 3.1): a provider's border routers account to the outside,
//! those between them pass quotes and payments on.
//!
//! ```text
//! S ── A ── B ── C ── R     A, B and C are one provider's
//! ```

use charging_model::Ppm;
use charging_model::flow::Limits;
use charging_model::tree::{Link, Tree};
use lcm_daemon::ledger::record::Body;
use lcm_tests::sim::{NodeConfig, NodeId, Options, TreeNet};

use crate::support::link;

const HOUSE: [NodeId; 3] = [1, 2, 3];
const RECEIVER: NodeId = 4;

fn play(links: Vec<Link>, house: &'static [NodeId]) -> TreeNet {
    let tree = Tree { links, fraction: Ppm::new(300_000).unwrap(), limits: Limits::default() };
    let config = NodeConfig { house, ..NodeConfig::default() };
    let options = Options { config, ..Options::default() };
    let mut play = TreeNet::named(&tree, &["S", "A", "B", "C", "R"], options, false);
    play.join(RECEIVER);
    play.rest();
    play.net.run_ms(60_000);
    play.assert_agrees();
    play
}

fn chain(prices: [u64; 3]) -> Vec<Link> {
    let [a, b, c] = prices;
    vec![link(0, 0, 0, false), link(1, a, a, false), link(2, b, b, false), link(3, c, c, true)]
}

/// What a node earns per second from the outside, and what it accounts for within.
fn earned(play: &mut TreeNet, id: NodeId) -> (i64, i64) {
    let view = play.net.input(id, |engine, now| engine.show_accounts(now));
    (view.rate - view.internal_rate, view.internal_rate)
}

/// How many records of consents, offers and meters a node's journal holds.
fn evidence(play: &TreeNet, id: NodeId) -> usize {
    let records = play.net.node(id).records().iter();
    records.filter(|(_, body)| !matches!(**body, Body::Flow(_))).count()
}

#[test]
fn r043_border_routers_account_to_the_outside_and_interior_ones_to_nobody() {
    let mut inside = play(chain([100, 60, 40]), &HOUSE);
    let mut alone = play(chain([100, 60, 40]), &[]);
    // What is announced and paid is the same: quotes and payments are forwarded.
    for (link, from) in [(0, 0), (1, 1), (2, 2), (3, 3)] {
        let said = |play: &TreeNet| {
            let dcpe = play.net.log.last_dcpe(link, from, play.sender).unwrap();
            let ucpe = play.net.log.last_ucpe(link, from + 1, play.sender).unwrap();
            (dcpe.total, dcpe.max_total, ucpe.payment, ucpe.sender_payment, ucpe.local_sum)
        };
        assert_eq!(said(&inside), said(&alone), "link {link}");
    }
    // R pays 140 of 200, and S 60: A and C take that in, and B deals with nobody outside.
    let rates = HOUSE.map(|id| earned(&mut inside, id));
    assert_eq!(rates.map(|(outside, _)| outside), [60, 0, 140]);
    assert_eq!(rates.map(|(_, within)| within), [40, 60, -100], "what each one's link costs");
    assert_eq!(rates.iter().map(|(_, within)| within).sum::<i64>(), 0);
    assert_eq!(HOUSE.map(|id| earned(&mut alone, id)), [(100, 0), (60, 0), (40, 0)]);
    // Of what stays within the house nothing is written down.
    assert_eq!(evidence(&inside, 2), 0, "{:?}", inside.net.node(2).records());
    assert!(evidence(&inside, 1) > 0 && evidence(&inside, 3) > 0);
    assert!(HOUSE.map(|id| evidence(&alone, id)).iter().all(|count| *count > 0));
    for id in [1, 3] {
        let view = inside.net.input(id, |engine, now| engine.show_accounts(now));
        let within: Vec<bool> = view.accounts.iter().map(|account| account.internal).collect();
        assert!(within.contains(&true) && within.contains(&false), "{view:?}");
        for (_, body) in inside.net.node(id).records() {
            let with = match &**body {
                Body::Consent(consent) => consent.payer,
                Body::Offer(offer) => offer.payee,
                Body::Runs(runs) => runs.meter.neighbour,
                _ => continue,
            };
            let account = view.accounts.iter().find(|account| account.neighbour == with.address);
            assert!(account.is_some_and(|account| !account.internal), "{body:?}");
        }
    }
    inside.net.assert_promise();
}

/// All of a provider's links for nothing: it earns nothing and still passes on what others ask.
#[test]
fn r043_a_zone_at_price_zero_passes_on_what_lies_behind_it() {
    let mut play = play(chain([0, 0, 40]), &[2, 3]);
    assert_eq!(earned(&mut play, 1), (0, 0), "A is the first charging hop, and asks nothing");
    let dcpe = |from| play.net.log.last_dcpe(from, from, play.sender).unwrap().total;
    assert_eq!([1, 2, 3].map(dcpe), [0, 0, 40]);
    play.leave(RECEIVER);
    play.rest();
    assert_eq!(earned(&mut play, 3).0, 0);
    play.net.assert_promise();
}
