//! Random trees against the whole-tree computation.

use lcm_tests::sim::{Family, Options, TreeNet};

use crate::support::{random_tree, seeds};

fn options(seed: u64) -> Options {
    let family = if seed % 2 == 0 { Family::V4 } else { Family::V6 };
    Options { seed, family, ..Options::default() }
}

#[test]
fn r040_r041_r047_r051_r055_random_trees_agree_with_the_whole_tree() {
    for seed in seeds(1_000) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tree = random_tree(&mut rng);
        let mut play = TreeNet::new(&tree, options(seed), rng.bool());
        let mut receivers: Vec<usize> =
            (1..=tree.links.len()).filter(|node| tree.links[node - 1].receives).collect();
        rng.shuffle(&mut receivers);
        for receiver in &receivers {
            play.join(*receiver);
            play.net.run_ms(rng.u64(0..100));
        }
        play.rest();
        play.assert_agrees();
        play.assert_metered(20_000);
    }
}
