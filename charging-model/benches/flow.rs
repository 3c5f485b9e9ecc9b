//! What one hop spends on a flow: announcements, payments, joins, re-splits.
//!
//! `cargo bench -p charging-model` prints a table; what was seen stands in `docs/benchmarks.md`.
//! A rewrite is what a changed DCPE costs: taken, settled, and a new quote made for every
//! interface that is to hear of it. A re-split of 256 branches is to stay within 300 rewrites at a
//! hop with one branch.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use charging_model::flow::Heard;
use charging_model::tree::Tree;
use charging_model::*;
use common::{Net, Will, account, link};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const AT: Clock = Clock { now: Millis(1_000), unix_s: 1_750_000_001 };

fn key(group: u32) -> BranchKey {
    BranchKey { group, hop: IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + group)) }
}

fn said(total: u64, epoch: u32) -> Announcement {
    Announcement {
        total: Rate(total),
        max_total: Rate(2_000_000_000),
        fraction: Ppm::new(300_000).unwrap(),
        sender_account: Some(account(0)),
        epoch,
        validity: Span(600_000),
        refresh: Span(30_000),
        ..Announcement::default()
    }
}

fn payment(rate: u64, sequence: u32) -> Payment {
    Payment {
        payment: Rate(rate),
        announced_total: Rate(rate),
        sender_payment: Rate(7),
        local_sum: Rate(3),
        epoch_echo: 1_750_000_000,
        sequence,
        instance: 1,
        account: account(1),
        refresh: Span(30_000),
        quantity: 64_000,
        receivers_below: 1,
        flowspec: None,
        limits: charging_model::flow::Limits::default(),
    }
}

/// A hop with `branches` installed ones, each behind an interface of its own, and `idle` interfaces
/// more where somebody may join.
fn hop(branches: u32, idle: u32) -> Flow {
    let mut flow = Flow::new(Arc::new(FlowConfig::default()));
    assert_eq!(flow.on_dcpe(AT, &said(1_000_000_000, 1)), Ok(Heard::Changed));
    for group in 1..=branches + idle {
        let local = Rate(1_000 + u64::from(group));
        let price = Price { local, max_local: local, validity: Span(60_000) };
        flow.set_group(AT, group, price).unwrap();
    }
    for group in 1..=branches {
        assert!(matches!(flow.on_ucpe(AT, key(group), &joining()), Verdict::Accepted { .. }));
    }
    let _ = (flow.own_payment(AT), flow.take_changes(), flow.take_postings());
    flow
}

/// Covers whatever is quoted here.
fn joining() -> Payment {
    payment(2_000_000_000, 1)
}

/// What the caller does after an input: asks who should hear of it, and makes the quotes.
fn tell(flow: &mut Flow) -> usize {
    let changes = flow.take_changes();
    let quotes = changes.groups.iter().filter_map(|group| black_box(flow.quote(*group)));
    quotes.count()
}

/// A changed DCPE at a hop with this many branches: each of them is split to, judged, charged and
/// quoted anew.
#[divan::bench(args = [1, 2, 16, 256])]
fn dcpe_rewritten(bencher: Bencher<'_, '_>, branches: u32) {
    let mut flow = hop(branches, 0);
    let (mut epoch, mut total) = (1, 1_000_000_000);
    bencher.bench_local(|| {
        (epoch, total) = (epoch + 1, total ^ 4_096);
        assert_eq!(flow.on_dcpe(AT, black_box(&said(total, epoch))), Ok(Heard::Changed));
        assert_eq!(tell(&mut flow), branches as usize);
    });
}

/// The same DCPE again.
#[divan::bench(args = [1, 256])]
fn dcpe_refreshed(bencher: Bencher<'_, '_>, branches: u32) {
    let mut flow = hop(branches, 0);
    let same = said(1_000_000_000, 1);
    bencher.bench_local(|| {
        assert_eq!(flow.on_dcpe(AT, black_box(&same)), Ok(Heard::Refreshed));
    });
}

/// A UCPE that approves the same for another H.
#[divan::bench(args = [1, 256])]
fn ucpe_refreshed(bencher: Bencher<'_, '_>, branches: u32) {
    let mut flow = hop(branches, 0);
    let same = joining();
    bencher.bench_local(|| {
        let verdict = flow.on_ucpe(AT, key(1), black_box(&same));
        assert_eq!(verdict, Verdict::Accepted { new: false });
    });
}

/// A UCPE with another payment and other reports.
#[divan::bench(args = [1, 2, 16, 256])]
fn ucpe_accepted(bencher: Bencher<'_, '_>, branches: u32) {
    let mut flow = hop(branches, 0);
    let mut sequence = 1;
    bencher.bench_local(|| {
        sequence += 1;
        let said = payment(2_000_000_000 + u64::from(sequence), sequence);
        let verdict = flow.on_ucpe(AT, key(1), black_box(&said));
        assert_eq!(verdict, Verdict::Accepted { new: false });
        black_box(flow.own_payment(AT));
    });
}

/// The last of this many branches joins: all are split to and quoted anew.
#[divan::bench(args = [2, 16, 256])]
fn join(bencher: Bencher<'_, '_>, branches: u32) {
    let flow = hop(branches - 1, 1);
    bencher.with_inputs(|| flow.clone()).bench_local_refs(|flow| {
        let verdict = flow.on_ucpe(AT, key(branches), black_box(&joining()));
        assert_eq!(verdict, Verdict::Accepted { new: true });
        black_box(flow.own_payment(AT));
        // The joiner was quoted what it pays now.
        assert_eq!(tell(flow), branches as usize - 1);
    });
}

/// A join where one interface in two has a branch, the others would take one.
#[divan::bench(args = [16, 256])]
fn join_with_idle_interfaces(bencher: Bencher<'_, '_>, branches: u32) {
    let mut flow = hop(branches, 1);
    for group in (2..branches).step_by(2) {
        flow.remove_branch(AT, key(group), Cause::Tear);
    }
    let _ = (flow.take_changes(), flow.take_postings());
    bencher.with_inputs(|| flow.clone()).bench_local_refs(|flow| {
        let verdict = flow.on_ucpe(AT, key(branches + 1), black_box(&joining()));
        assert_eq!(verdict, Verdict::Accepted { new: true });
        black_box(tell(flow));
    });
}

/// A second branch joins at a hop whose first leads to a tree with this many receivers.
#[divan::bench(args = [1, 32, 1_024])]
fn join_beside_a_tree_of(bencher: Bencher<'_, '_>, receivers: usize) {
    // 0 sender, 1 this hop, 2 the joiner, from 3 on the tree: two next hops a router.
    let mut links = vec![link(0, 0, 0, false), link(1, 10, 10, true), link(1, 10, 10, false)];
    links.extend((0..2 * receivers - 1).map(|n| {
        let parent = if n == 0 { 3 } else { 4 + (n - 1) / 2 };
        link(parent, 5, 5, n >= receivers - 1)
    }));
    let tree = Tree { links, fraction: Ppm::new(300_000).unwrap(), ..Tree::default() };
    tree.check().unwrap();
    let mut net = Net::new(&tree);
    for node in (3..net.nodes.len()).filter(|n| tree.links[n - 1].receives) {
        net.join(node, Will::Any);
    }
    net.pump();
    net.assert_agrees(&tree);
    let mut flow = net.nodes[1].flow.clone();
    let _ = flow.take_changes();
    bencher.with_inputs(|| flow.clone()).bench_local_refs(|flow| {
        let said = Payment { receivers_below: 1, ..joining() };
        let verdict = flow.on_ucpe(net.clock(), common::key(2), black_box(&said));
        assert_eq!(verdict, Verdict::Accepted { new: true });
        black_box(tell(flow));
    });
}
