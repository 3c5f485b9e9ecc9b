//! The hot path of a transit router's engine: time and allocations of each message.
//!
//! `cargo bench -p lcm-tests --bench message` prints a table: medians, and beside them what was
//! allocated for one message. Messages are made before the clock runs, by a second router that
//! hears the same ones, so all that is counted is the router's. What was seen stands in
//! `docs/performance.md`.

#![allow(missing_docs, clippy::indexing_slicing, reason = "a benchmark")]

use std::cell::RefCell;

use divan::{AllocProfiler, Bencher};
use lcm_tests::cost::{Policy, Transit, Way};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

/// Sessions that stand while messages come again.
const SESSIONS: u32 = 1_000;
/// Charging, and beside it passing policy elements on.
const POLICIES: [Policy; 2] = [Policy::Charging, Policy::Ignorant];

fn main() {
    divan::main();
}

/// A router, and another one that heard the same.
struct Twins {
    router: Transit,
    twin: Transit,
    next: u32,
}

impl Twins {
    fn new(policy: Policy) -> RefCell<Twins> {
        let (router, twin) = (Transit::new(policy), Transit::new(policy));
        RefCell::new(Twins { router, twin, next: 0 })
    }

    /// The PATH of the next session, and the RESV that answers what it becomes.
    fn next(&mut self) -> [Box<[u8]>; 2] {
        let path = self.twin.path(self.next);
        self.next += 1;
        self.twin.take(Way::Down, &path);
        let resv = self.twin.resv();
        self.twin.take(Way::Up, &resv);
        [path, resv]
    }
}

/// PATH of a new session.
#[divan::bench(args = POLICIES)]
fn new_path(bencher: Bencher<'_, '_>, policy: &Policy) {
    let twins = Twins::new(*policy);
    bencher
        .with_inputs(|| twins.borrow_mut().next())
        .bench_local_refs(|[path, _]| twins.borrow_mut().router.take(Way::Down, path));
}

/// PATH and RESV of a new session, with the record of the consent.
#[divan::bench(args = POLICIES)]
fn set_up(bencher: Bencher<'_, '_>, policy: &Policy) {
    let twins = Twins::new(*policy);
    bencher.with_inputs(|| twins.borrow_mut().next()).bench_local_refs(|[path, resv]| {
        let router = &mut twins.borrow_mut().router;
        router.take(Way::Down, path);
        router.take(Way::Up, resv);
    });
}

/// PATH that comes again as it was.
#[divan::bench(args = POLICIES)]
fn path_refresh(bencher: Bencher<'_, '_>, policy: &Policy) {
    refresh(bencher, *policy, Way::Down);
}

/// RESV that comes again as it was.
#[divan::bench(args = POLICIES)]
fn resv_refresh(bencher: Bencher<'_, '_>, policy: &Policy) {
    refresh(bencher, *policy, Way::Up);
}

fn refresh(bencher: Bencher<'_, '_>, policy: Policy, way: Way) {
    let mut router = Transit::new(policy);
    let messages: Vec<_> = (0..SESSIONS).map(|session| router.establish(session)).collect();
    router.pass_us(1_000_000);
    router.wake();
    let mut at = 0;
    bencher.bench_local(|| {
        let [path, resv] = &messages[at % messages.len()];
        at += 1;
        match way {
            Way::Down => router.take(way, path),
            Way::Up => router.take(way, resv),
        }
    });
}
