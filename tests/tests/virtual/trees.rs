//! Random trees against the whole-tree computation.

use lcm_tests::sim::{Family, NodeId, Options, TreeNet};

use crate::support::{random_tree, seeds};

pub(crate) fn options(seed: u64) -> Options {
    let family = if seed.is_multiple_of(2) { Family::V4 } else { Family::V6 };
    // Every third network waits for its disks and kernels.
    let slow = if seed.is_multiple_of(3) { (100, 9_000) } else { (0, 0) };
    Options { seed, family, record_us: slow, route_us: slow, ..Options::default() }
}

pub(crate) fn receivers(play: &TreeNet) -> Vec<NodeId> {
    let links = play.tree.links.iter().enumerate();
    links.filter(|(_, link)| link.receives).map(|(index, _)| index + 1).collect()
}

fn shuffled(rng: &mut fastrand::Rng, play: &TreeNet) -> Vec<NodeId> {
    let mut nodes = receivers(play);
    rng.shuffle(&mut nodes);
    nodes
}

#[test]
fn r040_r041_r047_r051_r055_random_trees_agree_with_the_whole_tree() {
    for seed in seeds(1_000) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, options(seed), rng.bool());
        for receiver in shuffled(&mut rng, &play) {
            play.join(receiver);
            play.net.run_ms(rng.u64(0..100));
        }
        play.rest();
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

#[test]
fn r075_r103_joins_and_leaves_in_any_order_come_to_the_tree_of_those_who_stay() {
    for seed in seeds(500) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, options(seed), rng.bool());
        let all = receivers(&play);
        for _ in 0..rng.usize(2..20) {
            let node = all[rng.usize(..all.len())];
            if play.receiving.contains_key(&node) {
                play.leave(node)
            } else {
                play.join(node)
            }
            if rng.bool() {
                play.net.run_ms(rng.u64(0..3_000));
            }
        }
        play.rest();
        play.assert_agrees();
        play.assert_metered(20_000);
        play.net.assert_promise();
    }
}

/// After the last RESVTEAR no reservation is left, after PATHTEAR nothing; and all alarms end.
#[test]
fn r044_nothing_is_left_behind_after_the_last_teardown() {
    for seed in seeds(500) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, options(seed), rng.bool());
        for receiver in shuffled(&mut rng, &play) {
            play.join(receiver);
        }
        play.rest();
        let sender_first = rng.bool();
        if sender_first {
            play.stop_sending();
        }
        for receiver in shuffled(&mut rng, &play) {
            play.net.run_ms(rng.u64(0..100));
            play.leave(receiver);
        }
        play.net.run_ms(1_000);
        assert_eq!(play.net.sizes().2, 0, "seed {seed}: reservations");
        if !sender_first {
            play.stop_sending();
        }
        // Alarms that were set before may still ring, for nothing.
        assert!(play.net.run_out(200_000), "seed {seed}: an alarm without a session");
        assert_eq!(play.net.sizes(), (0, 0, 0), "seed {seed}");
        assert_eq!(play.net.balances().iter().sum::<i128>(), 0);
        play.net.assert_promise();
    }
}

/// A seed repeats to the last byte of the last message; another seed differs.
#[test]
fn one_seed_one_play() {
    let digest = |seed| {
        let tree = random_tree(&mut fastrand::Rng::with_seed(7));
        let mut play = TreeNet::new(&tree, Options { seed, ..Options::default() }, true);
        receivers(&play).into_iter().for_each(|node| play.join(node));
        play.net.run_ms(300_000);
        (play.net.log.digest(), play.net.log.messages())
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

/// How many messages a join and a leave cost: no storm, whatever the tree.
#[test]
fn r109_a_join_or_leave_costs_a_bounded_number_of_messages() {
    let (mut most_join, mut most_leave, mut joins, mut leaves, mut count) =
        (0.0_f64, 0.0_f64, 0, 0, 0);
    for seed in seeds(500) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let options = Options { seed, ..Options::default() };
        let mut play = TreeNet::new(&tree, options, false);
        let nodes = shuffled(&mut rng, &play);
        for node in &nodes {
            play.rest();
            let before = play.net.log.messages();
            play.join(*node);
            play.net.run_ms(5_000);
            let cost = play.net.log.messages() - before;
            joins += cost;
            most_join = most_join.max(cost as f64 / tree.links.len() as f64);
        }
        for node in &nodes {
            play.rest();
            let before = play.net.log.messages();
            play.leave(*node);
            play.net.run_ms(5_000);
            let cost = play.net.log.messages() - before;
            leaves += cost;
            most_leave = most_leave.max(cost as f64 / tree.links.len() as f64);
        }
        count += nodes.len() as u64;
    }
    println!(
        "{count} joins: {:.1} messages each, at most {most_join:.1} a link; leaves: {:.1}, at most \
         {most_leave:.1} a link",
        joins as f64 / count as f64,
        leaves as f64 / count as f64
    );
    // Refreshes fall into the windows too. A change goes down once and comes up once or twice.
    assert!(most_join <= 8.0 && most_leave <= 8.0, "{most_join} {most_leave}");
}
