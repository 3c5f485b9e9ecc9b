//! The largest numbers that the wire can say.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use charging_model::flow::{BadAnnouncement, Limits};
use charging_model::tree::{Tree, TreeError};
use charging_model::*;
use common::link;
use proptest::prelude::*;

fn huge() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX - 1),
        Just(u64::MAX / 2),
        Just(u64::MAX / 2 + 1),
        any::<u64>(),
        0..1_000_u64,
    ]
}

#[derive(Clone, Debug)]
enum Input {
    Dcpe(Announcement),
    Ucpe(u32, Payment),
    Price(u32, Price),
    Remove(u32),
    Wait(u64),
    Send,
}

fn input() -> impl Strategy<Value = Input> {
    let rate = || huge().prop_map(Rate);
    let limit = || proptest::option::of(rate());
    let dcpe = (rate(), rate(), 0..=1_000_000_u32, limit(), limit(), limit(), any::<u32>(), huge())
        .prop_map(|(total, max_total, ppm, per_receiver, per_hop, sponsored, epoch, validity)| {
            Input::Dcpe(Announcement {
                total,
                max_total,
                fraction: Ppm::new(ppm).unwrap(),
                limits: Limits { per_receiver, per_hop, max_hops: Some(epoch) },
                sponsored,
                epoch,
                validity: Span(validity),
                refresh: Span(validity),
                ..Announcement::default()
            })
        });
    let ucpe = (0..4_u32, rate(), rate(), rate(), rate(), any::<u32>(), any::<bool>(), huge())
        .prop_map(|(group, payment, a, sp, b, sequence, first, refresh)| {
            let payment = Payment {
                payment,
                announced_total: a,
                sender_payment: sp,
                local_sum: b,
                epoch_echo: sequence,
                sequence,
                instance: if first { sequence } else { 1 },
                account: common::account(1),
                refresh: Span(refresh),
                quantity: refresh,
                receivers_below: u32::MAX,
                flowspec: None,
                limits: Limits {
                    per_receiver: Some(Rate(u64::from(sequence))),
                    ..Limits::default()
                },
            };
            Input::Ucpe(group, payment)
        });
    let price =
        (0..4_u32, rate(), rate(), huge()).prop_map(|(group, local, max_local, validity)| {
            Input::Price(group, Price { local, max_local, validity: Span(validity) })
        });
    prop_oneof![
        2 => dcpe,
        4 => ucpe,
        3 => price,
        1 => (0..4_u32).prop_map(Input::Remove),
        1 => huge().prop_map(Input::Wait),
        1 => Just(Input::Send),
    ]
}

fn key(group: u32) -> BranchKey {
    BranchKey { group, hop: IpAddr::V4(Ipv4Addr::LOCALHOST) }
}

proptest! {
    #![proptest_config(common::cases(2_000))]

    #[test]
    fn r024_no_input_wraps_panics_or_breaks_the_sums(
        inputs in proptest::collection::vec(input(), 1..40),
        origin in any::<bool>(),
        require_established in any::<bool>(),
    ) {
        let config =
            FlowConfig { origin, require_established, audit: true, ..FlowConfig::default() };
        let mut flow = Flow::new(Arc::new(config));
        let mut now = 0_u64;
        for input in inputs {
            let clock = Clock { now: Millis(now), unix_s: now as u32 };
            match input {
                Input::Dcpe(said) => {
                    let before = flow.downstream().cloned();
                    if flow.on_dcpe(clock, &said).is_err() {
                        prop_assert_eq!(before, flow.downstream().cloned());
                    }
                }
                Input::Ucpe(group, payment) => {
                    let _ = flow.on_ucpe(clock, key(group), &payment);
                }
                Input::Price(group, price) => {
                    let before: Vec<_> = flow.groups().collect();
                    if flow.set_group(clock, group, price).is_err() {
                        prop_assert_eq!(before, flow.groups().collect::<Vec<_>>());
                    }
                }
                Input::Remove(group) => {
                    flow.remove_branch(clock, key(group), Cause::Tear);
                }
                Input::Wait(ms) => {
                    now = now.saturating_add(ms);
                    let _ = flow.tick(Clock { now: Millis(now), unix_s: now as u32 });
                }
                Input::Send => {
                    let _ = flow.own_payment(clock);
                }
            }
            let changes = flow.take_changes();
            prop_assert!(!(changes.payment && changes.coalescable));
            for (group, price) in flow.groups() {
                let Some(quote) = flow.quote(group) else { continue };
                prop_assert!(quote.sponsored <= quote.total && quote.total <= quote.max_total);
                prop_assert!(quote.local <= price.local);
            }
            let mut earned = 0_i128;
            for b in flow.branches() {
                prop_assert!(b.receiver_payment <= b.ceiling);
                if b.status == "ACTIVE" {
                    earned += i128::from(b.receiver_payment.0) + i128::from(b.sponsored.0);
                    earned -= i128::from(b.local.0);
                }
            }
            if let Some((total, _)) = flow.approved_claim()
                && flow.branches().any(|b| b.status == "ACTIVE")
            {
                prop_assert_eq!(i128::from(total.0) - earned, flow.carried_by_hop());
            }
            for posting in flow.take_postings() {
                prop_assert!(posting.segment.amount > Amount::ZERO);
                prop_assert!(posting.segment.from < posting.segment.to);
            }
        }
    }
}

fn priced(rate: u64) -> Price {
    Price { local: Rate(rate), max_local: Rate(rate), validity: Span(60_000) }
}

#[test]
fn an_overflow_is_refused_by_the_one_who_says_it() {
    let clock = Clock { now: Millis(0), unix_s: 1 };
    let mut flow = Flow::new(Arc::new(FlowConfig::default()));
    let said = Announcement { total: Rate(100), validity: Span(60_000), ..Announcement::default() };
    let _ = flow.on_dcpe(clock, &said).unwrap();
    flow.set_group(clock, 1, priced(60)).unwrap();
    flow.set_group(clock, 2, priced(60)).unwrap();
    assert!(flow.set_group(clock, 2, priced(u64::MAX - 99)).is_err());
    let dear = Announcement { total: Rate(u64::MAX - 59), epoch: 1, ..said };
    assert!(matches!(flow.on_dcpe(clock, &dear), Err(BadAnnouncement::Overflow(_))));
    let payment = |a| Payment {
        payment: Rate(160),
        announced_total: Rate(a),
        sender_payment: Rate(0),
        local_sum: Rate(0),
        epoch_echo: 0,
        sequence: 1,
        instance: 1,
        account: common::account(1),
        refresh: Span(30_000),
        quantity: 0,
        receivers_below: 1,
        flowspec: None,
        limits: Limits::default(),
    };
    assert_eq!(flow.on_ucpe(clock, key(1), &payment(1)), Verdict::Accepted { new: true });
    // The child that says too much is refused; its sibling and the merge are untouched.
    let Verdict::Refused(refusal) = flow.on_ucpe(clock, key(2), &payment(u64::MAX)) else {
        panic!("A + u64::MAX was taken");
    };
    assert!(matches!(refusal.reason, Reason::Overflow(o) if o.operation == "A = ΣA_k"));
    // SP + C + ΣL must fit too, whatever S becomes; and so must B + ΣL.
    let room = u64::MAX - 100 - 120;
    for (sp, b, operation) in
        [(room + 1, 0, "SP = ΣSP_k + X_j"), (0, u64::MAX - 119, "B = Σ(B_k + L_k)")]
    {
        let said = Payment { sender_payment: Rate(sp), local_sum: Rate(b), ..payment(1) };
        let Verdict::Refused(refusal) = flow.on_ucpe(clock, key(2), &said) else {
            panic!("{operation} was taken");
        };
        assert!(matches!(refusal.reason, Reason::Overflow(o) if o.operation == operation));
    }
    assert_eq!(flow.branches().count(), 1);
    assert_eq!(flow.own_payment(clock).unwrap().announced_total, Rate(1));
}

#[test]
fn r049_cycles_of_any_length_are_rejected() {
    let tree = |parents: &[usize]| Tree {
        links: parents.iter().map(|p| link(*p, 1, 1, false)).collect(),
        ..Tree::default()
    };
    // 1 → 2 → 3 → 1 satisfies every condition that the paper prints (D1).
    for (parents, node) in [(&[2, 3, 1][..], 1), (&[0, 2], 2), (&[0, 3, 2], 2), (&[7], 1)] {
        assert_eq!(tree(parents).check(), Err(TreeError::NotRooted { node }), "{parents:?}");
    }
    assert_eq!(tree(&[0, 1]).check(), Err(TreeError::Misplaced { node: 2 }));
    let mut fine = tree(&[0, 1]);
    fine.links[1].receives = true;
    assert_eq!(fine.check(), Ok(()));
    fine.links[0].receives = true;
    assert_eq!(fine.check(), Err(TreeError::Misplaced { node: 1 }));
}

/// 256 branches that report and offer the most that the wire can say, split by the largest
/// weights, for the longest time.
#[test]
fn r024_the_highest_fan_out_at_the_largest_rates_for_the_longest_time() {
    use charging_model::split::{ByQuantity, ByReceivers};
    const COUNT: u32 = 256;
    let policies: [Arc<dyn SplitPolicy>; 3] =
        [Arc::new(EqualNextHop), Arc::new(ByQuantity), Arc::new(ByReceivers)];
    for policy in policies {
        let clock = Clock { now: Millis(0), unix_s: u32::MAX };
        let mut flow = Flow::new(Arc::new(FlowConfig { policy, ..FlowConfig::default() }));
        let said = Announcement {
            total: Rate::MAX,
            max_total: Rate::MAX,
            fraction: Ppm::new(333_333).unwrap(),
            epoch: u32::MAX,
            validity: Span(u64::MAX),
            refresh: Span(u64::MAX),
            ..Announcement::default()
        };
        let _ = flow.on_dcpe(clock, &said).unwrap();
        for group in 1..=COUNT {
            flow.set_group(clock, group, priced(0)).unwrap();
            let payment = Payment {
                payment: Rate::MAX,
                announced_total: Rate::MAX.0.checked_div(COUNT.into()).map(Rate).unwrap(),
                sender_payment: Rate::ZERO,
                local_sum: Rate::MAX.0.checked_div(COUNT.into()).map(Rate).unwrap(),
                epoch_echo: u32::MAX,
                sequence: u32::MAX,
                instance: u32::MAX,
                account: common::account(1),
                refresh: Span(u32::MAX.into()),
                quantity: u64::MAX - u64::from(group),
                receivers_below: u32::MAX - group,
                flowspec: None,
                limits: Limits::default(),
            };
            let verdict = flow.on_ucpe(clock, key(group), &payment);
            assert_eq!(verdict, Verdict::Accepted { new: true }, "branch {group}");
        }
        let sum = |f: fn(&BranchView) -> Rate| flow.branches().map(|b| f(&b).wide()).sum::<u128>();
        assert_eq!(sum(|b| b.carried), Rate::MAX.wide(), "Σc = C_j");
        let sponsored = sum(|b| b.sponsored);
        assert_eq!(sum(|b| b.receiver_payment) + sponsored, Rate::MAX.wide());
        assert_eq!(flow.carried_by_hop(), 0);
        let own = flow.own_payment(clock).unwrap();
        assert_eq!((own.receivers_below, own.quantity), (u32::MAX, u64::MAX - 1));
        assert_eq!(own.payment.wide() + said.fraction.ceil_of(Rate::MAX).wide(), Rate::MAX.wide());
        let later = Clock { now: Millis(u64::MAX), unix_s: 0 };
        flow.checkpoint(later.now);
        let metered: Option<i128> = flow
            .take_postings()
            .iter()
            .filter(|p| matches!(p.entry, Entry::ReceiverPaymentFrom(_)))
            .try_fold(0_i128, |sum, p| sum.checked_add(p.segment.amount.0));
        let paid: u128 = flow.branches().map(|b| b.receiver_payment.wide()).sum();
        // Each approved to the end of its H, 1.5 · 2³² ms and 2 s.
        let approved = u128::from(Span(u32::MAX.into()).approval().0);
        assert_eq!(metered, i128::try_from(paid * approved).ok());
        let _ = flow.tick(later);
        assert_eq!(flow.branches().filter(|b| b.status == "ACTIVE").count(), 0, "lapsed at 2H");
    }
    let dear = vec![Rate::MAX; 1_000];
    assert_eq!(shared_local_prices(&dear).iter().map(|r| r.wide()).sum::<u128>(), Rate::MAX.wide());
}
