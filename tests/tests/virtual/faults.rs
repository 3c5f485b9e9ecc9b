//! Silence, loss, death: soft state ends or comes back in time, and nobody pays for what it did
//! not approve.

use lcm_daemon::engine::SenderShare;
use lcm_tests::sim::{Family, Kind, Net, NodeId, Options, Topology, TreeNet, Weather, group};

use crate::support::{random_tree, seeds};
use crate::trees::{options, receivers};

/// R of all daemons here, in milliseconds.
const R: u64 = 30_000;
/// How long an approval lasts: 1.5 R + 2 s (charging.md T3).
const H: u64 = 47_000;
/// (K + ½) · 1.5 R.
const LIFETIME: u64 = 157_500;

/// How long healing may take over a tree: depth · 1.5 R + (K + ½) · 1.5 R.
fn healing_ms(play: &TreeNet) -> u64 {
    let depth = |mut node: NodeId| {
        let mut depth = 0;
        while node != 0 {
            node = play.tree.links[node - 1].parent;
            depth += 1;
        }
        depth
    };
    let deepest = (1..=play.tree.links.len()).map(depth).max().unwrap();
    deepest * R * 3 / 2 + LIFETIME
}

fn all_joined(seed: u64) -> TreeNet {
    let mut rng = fastrand::Rng::with_seed(seed);
    let tree = random_tree(&mut rng);
    let mut play = TreeNet::new(&tree, options(seed), rng.bool());
    receivers(&play).into_iter().for_each(|node| play.join(node));
    play.rest();
    play
}

#[test]
fn r044_reservations_end_with_their_lifetime_and_bills_after_h() {
    for seed in seeds(200) {
        let mut play = all_joined(seed);
        let all = receivers(&play);
        all.iter().for_each(|node| play.net.mute(*node, true));
        // The last approvals were given up to now; some refreshes may be on their way.
        play.net.run_ms(1 + H);
        let billed = play.net.metered();
        play.net.run_ms(LIFETIME - H);
        let later = play.net.metered();
        for (pair, metered) in &later {
            if all.contains(&pair.payer) {
                let before = billed[pair].receiver_payment;
                assert_eq!(metered.receiver_payment, before, "seed {seed}: {pair:?} after t + H");
            }
        }
        play.net.assert_promise();
        play.net.run_ms(1_000);
        for node in (0..play.net.topology.nodes.len()).filter(|node| !all.contains(node)) {
            let (_, senders, reservations) = play.net.node(node).engine().sizes();
            assert_eq!((senders, reservations), (1, 0), "seed {seed}: node {node}");
        }
        play.net.run_ms(LIFETIME);
        play.net.assert_promise();
        let balances = play.net.balances();
        play.net.run_ms(LIFETIME);
        assert_eq!(play.net.balances(), balances, "seed {seed}: nothing is reserved or billed");
    }
}

#[test]
fn r006_lost_late_and_doubled_messages_heal_in_time() {
    for seed in seeds(300) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5151);
        let mut play = all_joined(seed);
        play.net.set_weather(Weather::storm(300));
        let all = receivers(&play);
        for _ in 0..rng.usize(1..10) {
            let node = all[rng.usize(..all.len())];
            if play.receiving.contains_key(&node) {
                play.leave(node)
            } else {
                play.join(node)
            }
            play.net.run_ms(rng.u64(0..60_000));
        }
        play.net.assert_promise();
        play.net.set_weather(Weather::FAIR);
        let healing = healing_ms(&play);
        play.net.run_ms(healing);
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

/// Any router but the first and last ones dies, for a moment or for good, and comes back.
#[test]
fn r006_r118_a_router_that_dies_comes_back_within_three_refreshes() {
    for seed in seeds(300) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xdead);
        let mut play = all_joined(seed);
        let routers: Vec<NodeId> = (1..=play.tree.links.len())
            .filter(|node| !play.tree.links[node - 1].receives)
            .collect();
        let victim = routers[rng.usize(..routers.len())];
        play.net.kill(victim);
        play.net.run_ms(rng.u64(0..300_000));
        play.net.assert_promise();
        play.net.start(victim);
        play.net.run_ms(3 * R + 2_000);
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

/// While it is dead, its kernel passes PATH on, and the session goes on without it: nobody pays
/// twice, and it earns nothing.
#[test]
fn r006_r037_the_session_goes_on_around_a_dead_router() {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let a = t.node("A", Kind::Router);
    let b = t.node("B", Kind::Router);
    let c = t.node("C", Kind::Router);
    let r = t.node("R", Kind::Host);
    for (from, to, price) in [(s, a, 0), (a, b, 100), (b, c, 60), (c, r, 40)] {
        t.link(from, to, (price, price));
    }
    let mut net = Net::new(t, Options::default());
    let session = group(Family::V4, 1);
    let share = SenderShare { fraction_ppm: 500_000, ..SenderShare::default() };
    net.send(s, session, Some(share));
    net.receive(r, session);
    net.run_ms(10_000);
    net.assert_metered(100_000, &[-100, 100, 60, 40, -100]);
    net.kill(b);
    // Within one refresh of A, C hears from A itself. What A had of B ends with its approval.
    net.run_ms(R * 3 / 2 + LIFETIME);
    net.assert_promise();
    net.assert_metered(100_000, &[-70, 100, 0, 40, -70]);
    net.start(b);
    net.run_ms(3 * R + 2_000);
    net.assert_metered(100_000, &[-100, 100, 60, 40, -100]);
    net.assert_promise();
}

/// A whole part of the network is cut off and comes back.
#[test]
fn links_that_fail_and_return_leave_nothing_wrong() {
    for seed in seeds(200) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xcab1e);
        let mut play = all_joined(seed);
        let link = rng.usize(..play.tree.links.len());
        play.net.set_link(link, false);
        play.net.run_ms(rng.u64(0..200_000));
        play.net.set_link(link, true);
        let healing = healing_ms(&play);
        play.net.run_ms(healing);
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

/// A router without a clock of its own wakes up at another time than it died. Its neighbours know
/// newer epochs and sequences of it; they forget them with the state that they belong to.
fn a_router_comes_back_with_its_wall_clock(ahead_s: i64) {
    for seed in seeds(100) {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0xc10c);
        let mut play = all_joined(seed);
        let victim = rng.usize(1..=play.tree.links.len());
        if play.tree.links[victim - 1].receives {
            continue;
        }
        play.net.kill(victim);
        play.net.run_ms(rng.u64(0..60_000));
        play.net.set_wall_clock(victim, ahead_s);
        play.net.start(victim);
        let before = play.net.log.messages();
        let healing = healing_ms(&play) + LIFETIME;
        play.net.run_ms(healing);
        let links = play.tree.links.len() as u64;
        let messages = play.net.log.messages() - before;
        // Twice what refreshes come to where each comes as early as it may.
        let refreshes = 2 * links * (healing / (R / 2));
        assert!(messages < 2 * refreshes, "seed {seed}: {messages} messages over {links} links");
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

#[test]
fn a_router_comes_back_with_a_clock_that_went_forward() {
    a_router_comes_back_with_its_wall_clock(86_400);
}

#[test]
fn a_router_comes_back_with_a_clock_that_went_back() {
    a_router_comes_back_with_its_wall_clock(-86_400);
}
