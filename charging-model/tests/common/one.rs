//! One flow by itself, and what is said to it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use charging_model::split::{ByQuantity, ByReceivers, Expecting, Incremental, OperatorWeights};
use charging_model::*;

pub(crate) const UNIX: u32 = 1_750_000_000;
/// H of a refresh period of 30 s.
pub(crate) const H: u64 = 47_000;

thread_local! {
    /// How flows share whose configuration says nothing of it.
    static POLICY: RefCell<Arc<dyn SplitPolicy>> = RefCell::new(Arc::new(EqualNextHop));
}

/// Two parts more for each interface with a lower number: a strategy of nobody but this test.
#[derive(Debug)]
struct Outside;

impl SplitPolicy for Outside {
    fn weights(&self, branches: &[BranchFacts], weights: &mut Vec<u64>) {
        weights.extend(branches.iter().map(|b| u64::from(9_u32.saturating_sub(2 * b.key.group))));
    }
}

/// Strategies by which branches weigh the same that reserve the same for the same number.
fn alike() -> Vec<Arc<dyn SplitPolicy>> {
    let weights = OperatorWeights { otherwise: 4, ..OperatorWeights::default() };
    let nobody = Expecting { members: 0, by: Arc::new(ByReceivers) };
    vec![
        Arc::new(EqualNextHop),
        Arc::new(ByReceivers),
        Arc::new(ByQuantity),
        Arc::new(weights),
        Arc::new(nobody),
    ]
}

/// Those by which they do not.
fn unlike() -> Vec<Arc<dyn SplitPolicy>> {
    let weights = OperatorWeights {
        by_hop: BTreeMap::from([(key(1).hop, 3)]),
        joining: BTreeMap::from([(1, 3)]),
        otherwise: 1,
    };
    vec![Arc::new(Incremental), Arc::new(weights), Arc::new(Outside)]
}

#[allow(clippy::disallowed_macros, reason = "shown where the test fails")]
fn play(policies: Vec<Arc<dyn SplitPolicy>>, mut test: impl FnMut()) {
    for policy in policies {
        println!("by {policy:?}");
        POLICY.set(policy);
        test();
    }
    POLICY.set(Arc::new(EqualNextHop));
}

/// Plays a test by each strategy.
pub(crate) fn by_all(test: impl FnMut()) {
    play([alike(), unlike()].concat(), test);
}

/// Plays a test whose amounts are those of two branches that weigh the same.
pub(crate) fn by_those_alike(test: impl FnMut()) {
    play(alike(), test);
}

/// The defaults, and the strategy that is being played.
pub(crate) fn config() -> FlowConfig {
    FlowConfig { policy: POLICY.with_borrow(Arc::clone), ..FlowConfig::default() }
}

pub(crate) fn at(ms: u64) -> Clock {
    Clock { now: Millis(ms), unix_s: UNIX + (ms / 1000) as u32 }
}

pub(crate) fn key(group: u32) -> BranchKey {
    BranchKey { group, hop: IpAddr::V4(Ipv4Addr::new(10, 0, group as u8, 2)) }
}

pub(crate) fn dcpe(total: u64, ppm: u32, epoch: u32) -> Announcement {
    Announcement {
        total: Rate(total),
        max_total: Rate(total + 20),
        fraction: Ppm::new(ppm).unwrap(),
        sender_account: Some(Account::new(1, *b"upstream")),
        epoch,
        validity: Span(600_000),
        refresh: Span(30_000),
        ..Announcement::default()
    }
}

pub(crate) fn ucpe(payment: u64, sequence: u32, instance: u32) -> Payment {
    Payment {
        payment: Rate(payment),
        announced_total: Rate(0),
        sender_payment: Rate(0),
        local_sum: Rate(0),
        epoch_echo: UNIX,
        sequence,
        instance,
        account: Account::new(1, *b"customer"),
        refresh: Span(30_000),
        quantity: 0,
        receivers_below: 1,
        flowspec: None,
        limits: flow::Limits::default(),
    }
}

pub(crate) fn priced(local: u64) -> Price {
    Price { local: Rate(local), max_local: Rate(local), validity: Span(60_000) }
}

pub(crate) fn flow_with(config: FlowConfig, said: &Announcement, prices: &[(u32, u64)]) -> Flow {
    let mut flow = Flow::new(Arc::new(config));
    let _ = flow.on_dcpe(at(0), said).unwrap();
    for (group, local) in prices {
        flow.set_group(at(0), *group, priced(*local)).unwrap();
    }
    flow
}

/// C_j = 100, r as given, L = 60 on interface 1 and 40 on interface 2.
pub(crate) fn flow(ppm: u32) -> Flow {
    flow_with(config(), &dcpe(100, ppm, UNIX), &[(1, 60), (2, 40)])
}

pub(crate) fn new() -> Verdict {
    Verdict::Accepted { new: true }
}

pub(crate) fn again() -> Verdict {
    Verdict::Accepted { new: false }
}

pub(crate) fn refused(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn required(flow: &Flow, group: u32) -> u64 {
    flow.quote(group).unwrap().receiver_payment().0
}

/// Repeats the DCPE every 30 s up to `ms`, so that the sender side stays approved.
pub(crate) fn keep_path(flow: &mut Flow, said: &Announcement, from: u64, ms: u64) {
    for t in (from..=ms).step_by(30_000) {
        let _ = flow.on_dcpe(at(t), said).unwrap();
    }
}
