//! The setup gap: a reservation costs nothing before it stands end to end, nor long after it
//! ceased to (charging.md T12).

use std::collections::BTreeMap;

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_tests::sim::{Metered, NodeId, Options, Pair, TreeNet};

use crate::support::{link, seeds};

/// S 0 - A 1 - B 2 - R 3.
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
const R_MS: u64 = 30_000;
/// H: for how long an approval or a notice holds.
const H_MS: u64 = R_MS * 3 / 2 + 2_000;
/// What B asks of R, whose sender pays a quarter.
const RATE: i128 = 120;

fn chain() -> TreeNet {
    let tree = Tree {
        links: vec![link(0, 0, 0, false), link(1, 100, 100, false), link(2, 60, 60, true)],
        fraction: Ppm::new(250_000).unwrap(),
        ..Tree::default()
    };
    // The receiver is a member from the start: it hears the price with the next PATH of B.
    let mut play = TreeNet::new(&tree, Options::default(), true);
    play.net.run_ms(2_000);
    play
}

/// What R was charged so far.
fn charged(play: &mut TreeNet) -> i128 {
    let books = play.net.metered();
    books.get(&Pair { payee: B, payer: R }).map_or(0, |metered| metered.receiver_payment)
}

#[test]
fn r092_a_reservation_costs_nothing_while_it_is_pending() {
    let mut play = chain();
    play.net.mute(A, true);
    play.join(R);
    // B holds the reservation and hears nothing from above.
    for _ in 0..60 {
        play.net.run_ms(1_000);
        assert_eq!(charged(&mut play), 0);
    }
    let held = play.net.node(B).engine().show_reservations(play.net.clock(B));
    let charging = held[0].charging.as_ref().unwrap();
    assert_eq!((held.len(), charging.status.as_str()), (1, "PENDING"));
    play.net.mute(A, false);
    play.rest();
    let before = charged(&mut play);
    play.net.run_ms(10_000);
    assert_eq!(charged(&mut play) - before, RATE * 10_000);
    play.net.assert_promise();
}

#[test]
fn r093_a_setup_that_fails_upstream_leaves_nothing_to_pay() {
    let mut play = chain();
    play.net.mute(A, true);
    play.join(R);
    // The RESV of B is answered by nobody; the path is forgotten after its lifetime.
    play.net.run_ms(8 * R_MS);
    assert_eq!(charged(&mut play), 0);
    assert_eq!(play.net.node(B).engine().sizes(), (0, 0, 0));
    assert!(play.net.balances().iter().all(|balance| *balance == 0));
}

#[test]
fn r092_billing_ends_2h_after_the_path_above_was_heard_last() {
    let mut play = chain();
    play.join(R);
    play.rest();
    play.net.mute(A, true);
    let before = charged(&mut play);
    play.net.run_ms(4 * R_MS);
    let cost = charged(&mut play) - before;
    let most = RATE * i128::from(2 * H_MS);
    assert!(cost > 0 && cost <= most, "{cost} of at most {most}");
    play.net.run_ms(R_MS);
    assert_eq!(charged(&mut play) - before, cost, "and it stays ended");
}

/// A chain of so many routers between the sender and one receiver, with its own prices.
fn long_chain(rng: &mut fastrand::Rng, routers: usize, seed: u64) -> TreeNet {
    let mut links = vec![link(0, 0, 0, false)];
    for parent in 1..=routers {
        let local = rng.u64(1..1_000);
        links.push(link(parent, local, local, parent == routers));
    }
    let tree = Tree { links, fraction: Ppm::new(rng.u32(0..500_000)).unwrap(), ..Tree::default() };
    TreeNet::new(&tree, Options { seed, ..Options::default() }, false)
}

/// What the node above debits a node per second.
fn debited(play: &TreeNet, payer: NodeId) -> u64 {
    let above = payer - 1;
    let held = play.net.node(above).engine().show_reservations(play.net.clock(above));
    held.first().and_then(|held| held.charging.as_ref()).map_or(0, |charging| charging.debited)
}

/// Wherever the path breaks, every payer below is charged for 2H and a moment more at most: the
/// first hop below the break waits for 2H, the others hear of it at once.
#[test]
fn r092_the_time_to_notice_does_not_grow_with_the_depth() {
    let mut longest = 0;
    for seed in seeds(200) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let routers = rng.usize(2..=8);
        let mut play = long_chain(&mut rng, routers, seed);
        let receiver = routers + 1;
        play.join(receiver);
        play.rest();
        play.net.run_ms(rng.u64(0..R_MS));
        // The links below the broken router go on to work.
        let broken = rng.usize(0..routers);
        play.net.mute(broken, true);
        let rates: Vec<u64> = (1..=receiver).map(|payer| debited(&play, payer)).collect();
        let before = play.net.metered();
        play.net.run_ms(2 * H_MS + 1_000);
        let noticed = play.net.metered();
        play.net.run_ms(4 * R_MS);
        let after = play.net.metered();
        for payer in broken + 2..=receiver {
            let of = |books: &BTreeMap<Pair, Metered>| {
                let pair = Pair { payee: payer - 1, payer };
                books.get(&pair).map_or(0, |metered| metered.receiver_payment)
            };
            assert_eq!(of(&noticed), of(&after), "seed {seed}: {payer} is billed after 2H");
            let cost = of(&noticed) - of(&before);
            longest = longest.max(cost / i128::from(rates[payer - 1]).max(1));
        }
    }
    println!("longest time billed after the break: {longest} ms; 2H is {} ms", 2 * H_MS);
    assert!(longest > 0);
}
