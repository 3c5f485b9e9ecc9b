//! Trees for the tests.

use charging_model::flow::Limits;
use charging_model::tree::{Link, Tree};
use charging_model::{Ppm, Rate};

/// How many random networks a test plays: `full` in release, a tenth of them otherwise, or as
/// `SIM_NETWORKS` says.
pub(crate) fn networks(full: u64) -> u64 {
    let asked = std::env::var("SIM_NETWORKS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(if cfg!(debug_assertions) { full / 10 } else { full })
}

/// The first seed of a test: 0, or as `SIM_SEED` says, to play one case again.
pub(crate) fn seeds(full: u64) -> std::ops::Range<u64> {
    match std::env::var("SIM_SEED").ok().and_then(|text| text.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..networks(full),
    }
}

pub(crate) fn link(parent: usize, local: u64, max_local: u64, receives: bool) -> Link {
    Link { parent, local: Rate(local), max_local: Rate(max_local), weight: 1, receives }
}

/// A tree of 1 to 8 routers and 1 to 8 receivers; every router has somebody below it.
pub(crate) fn random_tree(rng: &mut fastrand::Rng) -> Tree {
    let routers = rng.usize(1..=8);
    let receivers = rng.usize(1..=8);
    let dear = price_scale(rng);
    let mut links = vec![link(0, 0, 0, false)];
    for node in 2..=routers {
        let parent = rng.usize(1..node);
        links.push(priced(rng, parent, dear, false));
    }
    for _ in 0..receivers {
        let parent = rng.usize(1..=routers);
        links.push(priced(rng, parent, dear, true));
    }
    // A router that nobody hangs on gets a receiver.
    for router in 1..=routers {
        if !links.iter().any(|link| link.parent == router) {
            links.push(priced(rng, router, dear, true));
        }
    }
    let tree = Tree { links, fraction: fraction(rng), limits: limits(rng, dear) };
    tree.check().unwrap();
    tree
}

/// L and Lmax of an interface, often nothing.
pub(crate) fn price(rng: &mut fastrand::Rng) -> (u64, u64) {
    let price = if rng.u8(0..5) == 0 { 0 } else { rng.u64(0..1_000) };
    (price, price + rng.u64(0..1_000))
}

fn priced(rng: &mut fastrand::Rng, parent: usize, dear: u64, receives: bool) -> Link {
    let local = if rng.u8(0..5) == 0 { 0 } else { rng.u64(0..=dear) };
    let max_local = local + rng.u64(0..=dear);
    link(parent, local, max_local, receives)
}

/// Pennies, a usual price, or so dear that the sums over a network just fit the wire.
fn price_scale(rng: &mut fastrand::Rng) -> u64 {
    match rng.u8(0..4) {
        0 => 7,
        1 | 2 => 1_000,
        _ => u64::MAX / 128,
    }
}

fn fraction(rng: &mut fastrand::Rng) -> Ppm {
    let ppm = match rng.u8(0..6) {
        0 => 0,
        1 => 1_000_000,
        2 => 333_333,
        3 => 1,
        _ => rng.u32(0..=1_000_000),
    };
    Ppm::new(ppm).unwrap()
}

fn limits(rng: &mut fastrand::Rng, dear: u64) -> Limits {
    let some = |rng: &mut fastrand::Rng| rng.u8(0..4) == 0;
    Limits {
        per_receiver: some(rng).then(|| Rate(rng.u64(0..=dear.saturating_mul(3)))),
        per_hop: some(rng).then(|| Rate(rng.u64(0..=dear.saturating_mul(2)))),
        max_hops: some(rng).then(|| rng.u32(0..6)),
    }
}

/// The figure: S ─ IS1 ─ IS2 ─ IS3 ─ R2, and R1 at IS2.
pub(crate) mod figure {
    use lcm_tests::sim::NodeId;

    use super::{Ppm, Tree, link};

    pub(crate) fn figure() -> Tree {
        let links = vec![
            link(0, 0, 0, false),
            link(1, 100, 120, false),
            link(2, 60, 70, false),
            link(2, 40, 80, true),
            link(3, 50, 60, true),
        ];
        Tree { links, fraction: Ppm::new(300_000).unwrap(), ..Tree::default() }
    }

    pub(crate) const NAMES: [&str; 6] = ["S", "IS1", "IS2", "IS3", "R1", "R2"];
    pub(crate) const IS1: NodeId = 1;
    pub(crate) const IS2: NodeId = 2;
    pub(crate) const IS3: NodeId = 3;
    pub(crate) const R1: NodeId = 4;
    pub(crate) const R2: NodeId = 5;
}
