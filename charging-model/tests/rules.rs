//! The rules over time, one flow at a time.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/one.rs"]
mod one;

use charging_model::flow::{Heard, Inconsistency};
use charging_model::*;
use one::*;

#[test]
fn r090_a_payment_is_a_ceiling_and_rp_is_debited() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(163, 1, 1)), new());
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
        assert_eq!(flow.received_from(key(1), Millis(10)), Some(Amount(1600)));
    });
}

#[test]
fn r091_an_approval_lasts_h_and_nothing_after_it_is_billed() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(1_000), key(1), &ucpe(160, 1, 1)), new());
        let billed = |flow: &Flow, ms| flow.received_from(key(1), Millis(ms)).unwrap().0;
        assert_eq!(billed(&flow, 1_000 + H), 160 * i128::from(H));
        assert_eq!(billed(&flow, 500_000), 160 * i128::from(H));
        let closed = flow.remove_branch(at(157_500), key(1), Cause::Timeout).unwrap();
        assert_eq!(closed.receiver_payment, Amount(160 * i128::from(H)));
        let posted: Vec<_> = flow.take_postings();
        let rp: Vec<_> =
            posted.iter().filter(|p| p.entry == Entry::ReceiverPaymentFrom(key(1))).collect();
        assert_eq!(rp.len(), 1);
        assert_eq!((rp[0].segment.from, rp[0].segment.to), (Millis(1_000), Millis(1_000 + H)));
        assert_eq!(rp[0].account, Some(Account::new(1, *b"customer")));
    });
}

#[test]
fn t3_a_late_refresh_bills_the_gap_at_the_lower_rate() {
    by_all(|| {
        for (price_now, rate) in [(60, 160), (30, 130)] {
            let mut flow = flow(0);
            assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
            keep_path(&mut flow, &dcpe(100, 0, UNIX), 30_000, 60_000);
            flow.set_group(at(60_000), 1, priced(price_now)).unwrap();
            assert_eq!(flow.on_ucpe(at(70_000), key(1), &ucpe(160, 2, 1)), again());
            let expected = 160 * i128::from(H) + rate * i128::from(70_000 - H);
            assert_eq!(flow.received_from(key(1), Millis(70_000)), Some(Amount(expected)));
            assert!(flow.take_postings().iter().any(|p| p.gap));
        }
    });
}

#[test]
fn t3_a_new_instance_is_not_billed_for_the_time_between() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(70_000), key(1), &ucpe(160, 9, 9)), new());
        assert_eq!(flow.received_from(key(1), Millis(70_000)), Some(Amount(0)));
        let rp: i128 = flow.take_postings().iter().map(|p| p.segment.amount.0).sum();
        assert_eq!(rp, 160 * i128::from(H));
    });
}

#[test]
fn t9_a_branch_counts_for_2h_and_a_gap_is_not_billed_beyond() {
    by_all(|| {
        let mut flow = flow(300_000);
        let said = dcpe(100, 300_000, UNIX);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        keep_path(&mut flow, &said, 30_000, 90_000);
        let own = flow.own_payment(at(90_000)).unwrap();
        assert_eq!((own.announced_total, own.sender_payment), (Rate(0), Rate(18)));
        assert_eq!(flow.next_deadline(), Some(Millis(2 * H)));
        assert_eq!(flow.tick(at(2 * H)), [Happening::Lapsed(key(1))]);
        assert_eq!(flow.tick(at(2 * H)), []);
        assert_eq!(flow.own_payment(at(2 * H)), None);
        assert!(flow.take_changes().withdrawn);
        let (sp, _) = flow.upstream_amounts(Millis(150_000));
        assert_eq!(sp, Amount(18 * 2 * i128::from(H)));
        // It comes back within its lifetime: billed to 2H, not for the time in which it counted nowhere.
        keep_path(&mut flow, &said, 120_000, 120_000);
        assert_eq!(flow.on_ucpe(at(150_000), key(1), &ucpe(112, 2, 1)), again());
        let billed = flow.received_from(key(1), Millis(150_000)).unwrap();
        assert_eq!(billed, Amount(112 * 2 * i128::from(H)));
        assert!(flow.own_payment(at(150_000)).is_some());
    });
}

#[test]
fn t9_a_lapsed_branch_comes_back_at_the_newest_quote() {
    by_all(|| {
        let mut flow = flow(0);
        let said = dcpe(100, 0, UNIX);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        keep_path(&mut flow, &said, 30_000, 90_000);
        assert_eq!(flow.tick(at(2 * H)), [Happening::Lapsed(key(1))]);
        flow.set_group(at(100_000), 1, priced(10)).unwrap();
        assert_eq!(required(&flow, 1), 110, "quoted as if it joined");
        let short = flow.on_ucpe(at(101_000), key(1), &ucpe(109, 2, 1));
        assert!(matches!(short, Verdict::Kept { extended: false, .. }), "{short:?}");
        assert_eq!(flow.on_ucpe(at(102_000), key(1), &ucpe(110, 3, 1)), again());
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(110));
    });
}

#[test]
fn r053_t5_a_new_reservation_below_rp_installs_nothing() {
    by_all(|| {
        let mut flow = flow(300_000);
        let refusal = refused(flow.on_ucpe(at(0), key(2), &ucpe(97, 1, 1)));
        assert_eq!(refusal.reason, Reason::PaymentTooLow);
        assert_eq!((refusal.required, refusal.offered), (Rate(98), Rate(97)));
        assert_eq!(refusal.epoch, flow.quote(2).unwrap().epoch);
        assert!(refusal.to_string().contains("97") && refusal.to_string().contains("98"));
        assert_eq!(flow.branches().count(), 0);
        assert_eq!(flow.own_payment(at(0)), None);
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(98, 2, 2)), new());
    });
}

#[test]
fn r008_r101_an_increase_waits_for_approval_until_its_deadline() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let _ = (flow.own_payment(at(0)), flow.take_changes());
        flow.set_group(at(10_000), 1, priced(80)).unwrap();
        assert_eq!(flow.take_changes().groups[..], [1]);
        let deadline = 10_000 + H;
        assert_eq!(flow.next_deadline(), Some(Millis(deadline)));
        // Covering the old rate extends it, but not beyond the deadline.
        for (t, sequence) in [(30_000, 2), (55_000, 3)] {
            let verdict = flow.on_ucpe(at(t), key(1), &ucpe(160, sequence, 1));
            let Verdict::Kept { required, offered, extended, deadline: until, stale_echo } =
                verdict
            else {
                panic!("{verdict:?}");
            };
            assert_eq!((required, offered, extended), (Rate(180), Rate(160), true));
            assert_eq!(until, Some(Millis(deadline)));
            assert_eq!(stale_echo, flow.quote(1).unwrap().epoch != UNIX);
            assert_eq!(flow.tick(at(t)), []);
        }
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
        assert_eq!(flow.carried_by_hop(), 0, "L as agreed: 60");
        assert_eq!(flow.tick(at(deadline)), [Happening::Uncovered(key(1))]);
        let closed = flow.remove_branch(at(deadline + 5), key(1), Cause::Uncovered).unwrap();
        assert_eq!(closed.receiver_payment, Amount(160 * i128::from(deadline)));
        assert_eq!(flow.next_deadline(), None);
    });
}

#[test]
fn t5_a_payment_that_covers_the_new_quote_ends_the_wait() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        flow.set_group(at(10_000), 1, priced(80)).unwrap();
        assert_eq!(flow.on_ucpe(at(12_000), key(1), &ucpe(180, 2, 1)), again());
        assert_eq!(flow.branch(key(1)).unwrap().deadline, None);
        let expected = 160 * 12_000 + 180 * 1_000;
        assert_eq!(flow.received_from(key(1), Millis(13_000)), Some(Amount(expected)));
        // A decrease applies at once, and a return within the ceiling needs no approval.
        flow.set_group(at(13_000), 1, priced(10)).unwrap();
        flow.set_group(at(14_000), 1, priced(75)).unwrap();
        let expected = expected + 110 * 1_000 + 175 * 1_000;
        assert_eq!(flow.received_from(key(1), Millis(15_000)), Some(Amount(expected)));
    });
}

#[test]
fn t5_a_payment_below_the_old_rate_changes_nothing() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let verdict = flow.on_ucpe(at(20_000), key(1), &ucpe(159, 2, 1));
        assert!(matches!(verdict, Verdict::Kept { extended: false, .. }), "{verdict:?}");
        let b = flow.branch(key(1)).unwrap();
        assert_eq!((b.ceiling, b.approved_until), (Rate(160), Millis(H)));
    });
}

#[test]
fn t4_the_hop_carries_one_unit_of_a_resplits_rounding() {
    by_those_alike(|| {
        let said = dcpe(2, 0, UNIX);
        let mut flow = flow_with(config(), &said, &[(1, 5), (2, 5), (3, 5)]);
        for group in 1..=3 {
            let payment = required(&flow, group);
            assert_eq!(flow.on_ucpe(at(0), key(group), &ucpe(payment, 1, 1)), new());
        }
        // 2 = 1 + 1 + 0; each pays what it owes now.
        for (group, payment) in [(1, 6), (2, 6), (3, 5)] {
            assert_eq!(flow.on_ucpe(at(1), key(group), &ucpe(payment, 2, 1)), again());
        }
        flow.remove_branch(at(2), key(1), Cause::Tear).unwrap();
        let b = flow.branch(key(3)).unwrap();
        assert_eq!((b.required, b.receiver_payment, b.deadline), (Rate(6), Rate(5), None));
        assert_eq!(flow.carried_by_hop(), 1);
        assert_eq!(flow.on_ucpe(at(3), key(3), &ucpe(5, 3, 1)), again());
        // One unit of a price is no rounding.
        flow.set_group(at(4), 2, priced(6)).unwrap();
        assert!(flow.branch(key(2)).unwrap().deadline.is_some());
    });
}

#[test]
fn r072_validity_stops_new_reservations_only() {
    by_all(|| {
        let said = Announcement { validity: Span(20_000), ..dcpe(100, 0, UNIX) };
        let mut flow = flow_with(config(), &said, &[(1, 60), (2, 40)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(20_001), key(1), &ucpe(160, 2, 1)), again());
        let refusal = refused(flow.on_ucpe(at(20_001), key(2), &ucpe(140, 1, 1)));
        assert_eq!(refusal.reason, Reason::AnnouncementExpired);
        assert_eq!(flow.downstream().unwrap().total, Rate(100), "not the first hop for that");
        let _ = flow.on_dcpe(at(21_000), &said).unwrap();
        assert_eq!(flow.on_ucpe(at(21_000), key(2), &ucpe(140, 1, 1)), new());
    });
}

#[test]
fn r119_an_old_quote_binds_only_where_it_is_honoured() {
    by_all(|| {
        for honour_quote in [false, true] {
            let config = FlowConfig { honour_quote, ..config() };
            let mut flow = flow_with(config, &dcpe(100, 0, UNIX), &[(1, 60)]);
            let echo = flow.quote(1).unwrap().epoch;
            flow.set_group(at(5_000), 1, priced(70)).unwrap();
            let old = Payment { epoch_echo: echo, ..ucpe(160, 1, 1) };
            let verdict = flow.on_ucpe(at(6_000), key(1), &old);
            if honour_quote {
                assert_eq!(verdict, new());
                assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
                let late = Payment { epoch_echo: echo, ..ucpe(160, 9, 9) };
                flow.remove_branch(at(7_000), key(1), Cause::Tear);
                refused(flow.on_ucpe(at(65_001), key(1), &late));
            } else {
                let refusal = refused(verdict);
                assert_eq!((refusal.required, refusal.stale_echo), (Rate(170), true));
            }
        }
    });
}

#[test]
fn t8_an_upstream_rise_waits_for_the_branches_and_then_for_the_deadline() {
    by_those_alike(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(140, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(110, 2, 1)), again());
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(90, 2, 1)), again());
        assert_eq!(flow.own_payment(at(0)).unwrap().payment, Rate(100));
        let _ = flow.take_changes();
        assert_eq!(
            flow.on_dcpe(at(1_000), &dcpe(200, 0, UNIX + 1)),
            Ok(Heard::Inconsistent { how: Inconsistency::AboveMaximum, taken: true })
        );
        assert_eq!(flow.take_changes().groups[..], [1, 2]);
        // One approves: nothing is debited yet beyond the claim that we approved, 50 of 100 each.
        assert_eq!(flow.on_ucpe(at(2_000), key(1), &ucpe(160, 3, 1)), again());
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(110));
        assert_eq!(flow.own_payment(at(2_000)).unwrap().payment, Rate(100));
        assert!(!flow.take_changes().payment);
        // So does the other: ours follows at once.
        assert_eq!(flow.on_ucpe(at(3_000), key(2), &ucpe(140, 3, 1)), again());
        assert!(flow.take_changes().payment);
        assert_eq!(flow.own_payment(at(3_000)).unwrap().payment, Rate(200));
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
        assert_eq!(flow.carried_by_hop(), 0);
    });
}

#[test]
fn t8_the_hold_out_is_carried_from_the_deadline_on() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        assert_eq!(flow.own_payment(at(0)).unwrap().payment, Rate(100));
        let _ = flow.take_changes();
        assert_eq!(
            flow.on_dcpe(at(1_000), &dcpe(200, 0, UNIX + 1)),
            Ok(Heard::Inconsistent { how: Inconsistency::AboveMaximum, taken: true })
        );
        assert_eq!(flow.own_payment(at(1_000)).unwrap().payment, Rate(100));
        let mine = 1_000 + H - 2_000;
        assert_eq!(flow.next_deadline(), Some(Millis(mine)));
        let _ = flow.on_ucpe(at(30_000), key(1), &ucpe(160, 2, 1));
        assert_eq!(flow.tick(at(mine - 1)), []);
        assert!(!flow.take_changes().payment);
        assert_eq!(flow.tick(at(mine)), []);
        assert!(flow.take_changes().payment);
        assert_eq!(flow.own_payment(at(mine)).unwrap().payment, Rate(200));
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
        assert_eq!(flow.carried_by_hop(), 100);
        assert_eq!(flow.tick(at(1_000 + H)), [Happening::Uncovered(key(1))]);
    });
}

#[test]
fn t8_a_waiting_increase_never_makes_a_take_negative() {
    by_all(|| {
        let mut flow = flow(300_000);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        assert_eq!(flow.own_payment(at(0)).unwrap().sender_payment, Rate(18));
        let _ = flow.on_dcpe(at(1_000), &dcpe(1_000, 300_000, UNIX + 1)).unwrap();
        let _ = flow.on_ucpe(at(30_000), key(1), &ucpe(112, 2, 1));
        flow.tick(at(1_000 + H - 2_000));
        assert_eq!(flow.approved_claim(), Some((Rate(1_000), Rate(300))));
        let b = flow.branch(key(1)).unwrap();
        assert_eq!((b.sponsored, b.receiver_payment), (Rate(300), Rate(112)));
        assert_eq!(flow.own_payment(at(46_000)).unwrap().sender_payment, Rate(0));
        // C_k = RP + S = 412 = c + 60: the hop carries the rest of 1000.
        assert_eq!(flow.carried_by_hop(), 1_000 - (412 - 60));
    });
}

#[test]
fn t15_a_lower_fraction_is_quoted_at_once_and_paid_when_approved() {
    by_all(|| {
        let mut flow = flow(500_000);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(80, 1, 1)), new());
        let _ = flow.own_payment(at(0));
        let _ = flow.on_dcpe(at(1_000), &dcpe(100, 100_000, UNIX + 1)).unwrap();
        assert_eq!(required(&flow, 1), 144);
        let b = flow.branch(key(1)).unwrap();
        assert_eq!((b.receiver_payment, b.sponsored), (Rate(80), Rate(80)));
        assert_eq!(flow.own_payment(at(1_000)).unwrap().payment, Rate(50), "ours waits too");
        assert_eq!(flow.on_ucpe(at(2_000), key(1), &ucpe(144, 2, 1)), again());
        assert_eq!(flow.own_payment(at(2_000)).unwrap().payment, Rate(90));
        assert_eq!(flow.branch(key(1)).unwrap().sponsored, Rate(16));
    });
}

#[test]
fn t17_older_sequences_and_epochs_are_ignored_and_removed_instances_stay_removed() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 5, 5)), new());
        assert_eq!(flow.on_ucpe(at(1), key(1), &ucpe(999, 4, 4)), Verdict::Stale);
        assert_eq!(flow.on_dcpe(at(1), &dcpe(7, 0, UNIX - 1)), Ok(Heard::Stale));
        assert_eq!(
            flow.on_dcpe(at(1), &dcpe(7, 0, UNIX)),
            Ok(Heard::Inconsistent { how: Inconsistency::EpochReused, taken: true })
        );
        flow.remove_branch(at(2), key(1), Cause::Tear).unwrap();
        for late in [ucpe(160, 6, 5), ucpe(160, 3, 3)] {
            assert_eq!(refused(flow.on_ucpe(at(3), key(1), &late)).reason, Reason::InstanceRemoved);
        }
        assert_eq!(flow.on_ucpe(at(4), key(1), &ucpe(160, 7, 7)), new());
    });
}

#[test]
fn t14_a_refresh_repeats_its_sequence_and_a_change_moves_it() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let first = flow.own_payment(at(0)).unwrap();
        let second = flow.own_payment(at(30_000)).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.instance, first.sequence);
        assert_eq!(
            flow.take_changes(),
            Changes { groups: [1, 2].into_iter().collect(), ..Changes::default() }
        );
        let report =
            Payment { announced_total: Rate(300), local_sum: Rate(140), ..ucpe(160, 2, 1) };
        assert_eq!(flow.on_ucpe(at(31_000), key(1), &report), again());
        let changes = flow.take_changes();
        assert!(changes.coalescable && !changes.payment, "T19: {changes:?}");
        let third = flow.own_payment(at(31_000)).unwrap();
        assert!(third.sequence > first.sequence);
        assert_eq!(third.instance, first.instance);
        assert_eq!((third.announced_total, third.local_sum), (Rate(300), Rate(200)));
    });
}

#[test]
fn t18_a_refused_payment_is_not_offered_again() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let first = flow.own_payment(at(0)).unwrap();
        flow.on_own_refused(at(1), Rate(150));
        assert_eq!(flow.own_payment(at(1)), None);
        assert!(!flow.take_changes().payment);
        // The new price comes; the branch has not approved it, but this hop must reserve anew.
        let _ = flow.on_dcpe(at(2), &dcpe(150, 0, UNIX + 1)).unwrap();
        let next = flow.own_payment(at(2)).unwrap();
        assert_eq!(next.payment, Rate(150));
        assert!(next.instance > first.instance);
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
        assert_eq!(flow.carried_by_hop(), 50);
    });
}

#[test]
fn r006_an_end_system_never_approves_for_its_receiver() {
    by_all(|| {
        let mut flow = flow_with(config(), &dcpe(100, 0, UNIX), &[(LOCAL_GROUP, 0)]);
        assert_eq!(flow.on_ucpe(at(0), key(0), &ucpe(100, 1, 1)), new());
        assert_eq!(flow.own_payment(at(0)).unwrap().payment, Rate(100));
        let _ = flow.on_dcpe(at(1_000), &dcpe(200, 0, UNIX + 1)).unwrap();
        let _ = flow.on_ucpe(at(30_000), key(0), &ucpe(100, 2, 1));
        flow.tick(at(1_000 + H - 1));
        assert_eq!(flow.own_payment(at(1_000 + H - 1)).unwrap().payment, Rate(100));
        assert_eq!(flow.on_ucpe(at(1_000 + H - 1), key(0), &ucpe(250, 3, 1)), again());
        let own = flow.own_payment(at(1_000 + H - 1)).unwrap();
        assert_eq!(
            (own.payment, own.announced_total, own.local_sum),
            (Rate(200), Rate(200), Rate(0))
        );
    });
}

#[test]
fn r019_headroom_is_offered_only_where_it_is_configured() {
    by_all(|| {
        for (headroom, offered) in [(false, 100), (true, 250)] {
            let config = FlowConfig { headroom, ..config() };
            let mut flow = flow_with(config, &dcpe(100, 0, UNIX), &[(LOCAL_GROUP, 0)]);
            assert_eq!(flow.on_ucpe(at(0), key(0), &ucpe(250, 1, 1)), new());
            assert_eq!(flow.own_payment(at(0)).unwrap().payment, Rate(offered));
        }
    });
}

#[test]
fn a_route_change_closes_the_meters_and_reserves_anew_at_once() {
    by_all(|| {
        let mut flow = flow(300_000);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        let first = flow.own_payment(at(0)).unwrap();
        flow.on_upstream_changed(at(10_000));
        let _ = flow.on_dcpe(at(11_000), &dcpe(300, 300_000, 7)).unwrap();
        let own = flow.own_payment(at(11_000)).unwrap();
        assert_eq!(own.payment, Rate(210), "an older epoch of another hop is believed");
        assert!(own.instance > first.instance);
        assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(112));
        let sp: Vec<_> = flow
            .take_postings()
            .into_iter()
            .filter(|p| p.entry == Entry::SenderPaymentFromUpstream)
            .collect();
        assert_eq!(sp.len(), 1);
        assert_eq!((sp[0].segment.rate, sp[0].segment.to), (Rate(18), Millis(10_000)));
    });
}

#[test]
fn r092_a_pending_reservation_costs_nothing_until_established() {
    by_those_alike(|| {
        let config = FlowConfig { require_established: true, ..config() };
        let mut said = dcpe(100, 300_000, UNIX);
        let mut flow = flow_with(config, &said, &[(1, 60), (2, 40)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 5, 5)), new());
        assert_eq!(flow.branch(key(1)).unwrap().status, "PENDING");
        assert_eq!(flow.quote(1).unwrap().established, None);
        let own = flow.own_payment(at(0)).unwrap();
        assert_eq!(own.payment, Rate(70));
        assert_eq!(flow.received_from(key(1), Millis(9_000)), Some(Amount(0)));
        // The path above stands: ACTIVE, and the branch is told so.
        said.established = Some(own.sequence);
        said.epoch += 1;
        let _ = flow.on_dcpe(at(9_000), &said).unwrap();
        assert_eq!(flow.branch(key(1)).unwrap().status, "ACTIVE");
        assert_eq!(flow.quote(1).unwrap().established, Some(5));
        assert_eq!(flow.received_from(key(1), Millis(10_000)), Some(Amount(112_000)));
        assert_eq!(flow.upstream_amounts(Millis(10_000)), (Amount(18_000), Amount(70_000)));
        // A second branch needs no more than what stands already, and is ACTIVE at once.
        let join = required(&flow, 2);
        assert_eq!(flow.on_ucpe(at(10_000), key(2), &ucpe(join, 1, 1)), new());
        let _ = flow.own_payment(at(10_000));
        assert_eq!(flow.branch(key(2)).unwrap().status, "ACTIVE");
        assert_eq!(flow.quote(2).unwrap().established, Some(1));
        // Withdrawn: RP and SP stop, the shares stay.
        let before = flow.received_from(key(1), Millis(11_000));
        said.established = None;
        said.epoch += 1;
        let _ = flow.on_dcpe(at(11_000), &said).unwrap();
        assert_eq!(flow.received_from(key(1), Millis(20_000)), before);
        assert_eq!(flow.quote(1).unwrap().carried, Rate(50));
    });
}

#[test]
fn r093_a_failure_before_established_leaves_nothing_billed() {
    by_all(|| {
        let config = FlowConfig { require_established: true, ..config() };
        let mut flow = flow_with(config, &dcpe(100, 300_000, UNIX), &[(1, 60)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 5, 5)), new());
        let _ = flow.own_payment(at(0));
        let closed = flow.remove_branch(at(8_000), key(1), Cause::Uncovered).unwrap();
        assert_eq!((closed.receiver_payment, closed.sender_payment), (Amount(0), Amount(0)));
        assert_eq!(flow.take_postings(), []);
    });
}

#[test]
fn t12_a_grown_flowspec_waits_for_the_sequence_that_carries_it() {
    by_all(|| {
        let config = FlowConfig { require_established: true, ..config() };
        let mut said = dcpe(100, 0, UNIX);
        let mut flow = flow_with(config, &said, &[(1, 60)]);
        let small = Payment { quantity: 1_000, ..ucpe(160, 1, 1) };
        assert_eq!(flow.on_ucpe(at(0), key(1), &small), new());
        let first = flow.own_payment(at(0)).unwrap();
        (said.established, said.epoch) = (Some(first.sequence), said.epoch + 1);
        let _ = flow.on_dcpe(at(1_000), &said).unwrap();
        let large = Payment { quantity: 2_000, ..ucpe(160, 2, 1) };
        assert_eq!(flow.on_ucpe(at(2_000), key(1), &large), again());
        assert!(flow.take_changes().coalescable);
        let grown = flow.own_payment(at(2_000)).unwrap();
        assert!(grown.sequence > first.sequence && grown.quantity == 2_000);
        assert_eq!(flow.received_from(key(1), Millis(5_000)), Some(Amount(160 * 1_000)));
        (said.established, said.epoch) = (Some(grown.sequence), said.epoch + 1);
        let _ = flow.on_dcpe(at(5_000), &said).unwrap();
        assert_eq!(flow.quote(1).unwrap().established, Some(2));
        assert_eq!(flow.received_from(key(1), Millis(6_000)), Some(Amount(160 * 2_000)));
    });
}

#[test]
fn t5_a_quote_that_rises_again_gives_time_again() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        for (t, price, deadline) in [(5_000, 80, 5_000), (9_000, 70, 5_000), (12_000, 75, 12_000)] {
            flow.set_group(at(t), 1, priced(price)).unwrap();
            let until = flow.branch(key(1)).unwrap().deadline;
            assert_eq!(until, Some(Millis(deadline + H)), "price {price}");
        }
    });
}

#[test]
fn t2_the_shadow_follows_what_was_sent_not_what_was_approved() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(500, 1, 1)), new());
        assert_eq!(flow.own_payment(at(0)).unwrap().payment, Rate(100));
        // The branch covers the rise, so it is approved; the previous hop knows only when we say so.
        let _ = flow.on_dcpe(at(1_000), &dcpe(150, 0, UNIX + 1)).unwrap();
        assert_eq!(flow.upstream_amounts(Millis(3_000)).1, Amount(300_000));
        assert_eq!(flow.own_payment(at(3_000)).unwrap().payment, Rate(150));
        assert_eq!(flow.upstream_amounts(Millis(4_000)).1, Amount(450_000));
        let running: Vec<_> = flow.running(Millis(4_000)).collect();
        let rp = (Entry::ReceiverPaymentFrom(key(1)), Rate(210));
        assert_eq!(running, [rp, (Entry::ReceiverPaymentToUpstream, Rate(150))]);
        assert_eq!(flow.running(Millis(60_000)).count(), 0, "no approval, nothing runs");
    });
}

#[test]
fn t3_the_shadow_fills_a_gap_as_the_payee_does() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let _ = flow.own_payment(at(0));
        keep_path(&mut flow, &dcpe(100, 0, UNIX), 30_000, 60_000);
        assert_eq!(flow.on_ucpe(at(40_000), key(1), &ucpe(160, 2, 1)), again());
        assert_eq!(flow.upstream_amounts(Millis(70_000)).1, Amount(100 * i128::from(H)));
        let _ = flow.own_payment(at(70_000));
        assert_eq!(flow.upstream_amounts(Millis(70_000)).1, Amount(100 * 70_000));
    });
}

#[test]
fn t15_sender_payments_run_while_paths_come_and_a_gap_is_filled() {
    by_all(|| {
        let mut flow = flow(300_000);
        let said = dcpe(100, 300_000, UNIX);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(40_000), key(1), &ucpe(112, 2, 1)), again());
        assert_eq!(flow.upstream_amounts(Millis(60_000)).0, Amount(18 * i128::from(H)));
        let _ = flow.on_dcpe(at(60_000), &said).unwrap();
        assert_eq!(flow.upstream_amounts(Millis(60_000)).0, Amount(18 * 60_000));
    });
}

#[test]
fn t12_established_that_is_not_refreshed_for_2h_stops_the_billing() {
    by_all(|| {
        let config = FlowConfig { require_established: true, ..config() };
        let mut said = dcpe(100, 300_000, UNIX);
        let mut flow = flow_with(config, &said, &[(1, 60)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        (said.established, said.epoch) =
            (Some(flow.own_payment(at(0)).unwrap().sequence), UNIX + 1);
        let _ = flow.on_dcpe(at(0), &said).unwrap();
        for t in (30_000..=150_000).step_by(30_000) {
            assert_eq!(flow.on_ucpe(at(t), key(1), &ucpe(112, 1, 1)), again());
        }
        let billed = |flow: &Flow, ms| flow.received_from(key(1), Millis(ms)).unwrap();
        assert_eq!(billed(&flow, 150_000), Amount(112 * 2 * i128::from(H)));
        // The next PATH says that the path still stands: from then on, not for the time between.
        let _ = flow.on_dcpe(at(150_000), &said).unwrap();
        assert_eq!(billed(&flow, 151_000), Amount(112 * (2 * i128::from(H) + 1_000)));
    });
}

#[test]
fn t12_a_gap_is_billed_only_while_the_path_stood() {
    by_all(|| {
        let config = FlowConfig { require_established: true, ..config() };
        let mut said = dcpe(100, 0, UNIX);
        let mut flow = flow_with(config, &said, &[(1, 60)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        (said.established, said.epoch) =
            (Some(flow.own_payment(at(0)).unwrap().sequence), UNIX + 1);
        let _ = flow.on_dcpe(at(0), &said).unwrap();
        assert_eq!(flow.on_ucpe(at(40_000), key(1), &ucpe(160, 2, 1)), again());
        assert_eq!(flow.on_ucpe(at(100_000), key(1), &ucpe(160, 3, 1)), again());
        let billed = flow.received_from(key(1), Millis(100_000)).unwrap();
        assert_eq!(billed, Amount(160 * 2 * i128::from(H)));
    });
}

#[test]
fn t3_t12_a_gap_costs_no_more_than_what_ran_when_the_approval_lapsed() {
    by_all(|| {
        let config = FlowConfig { require_established: true, ..config() };
        let mut flow = flow_with(config, &dcpe(100, 0, UNIX), &[(1, 60)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let own = flow.own_payment(at(0)).unwrap();
        let _ = flow.on_dcpe(at(30_000), &dcpe(100, 0, UNIX)).unwrap();
        // It was PENDING when it fell silent, and comes into place end to end while it is.
        let stands = Announcement { established: Some(own.sequence), ..dcpe(100, 0, UNIX + 1) };
        let _ = flow.on_dcpe(at(H + 3_000), &stands).unwrap();
        assert_eq!(flow.on_ucpe(at(60_000), key(1), &ucpe(160, 1, 1)), again());
        let billed = |flow: &Flow, ms| flow.received_from(key(1), Millis(ms)).unwrap();
        assert_eq!(billed(&flow, 60_000), Amount(0), "PENDING costs nothing, nor does silence");
        assert_eq!(billed(&flow, 61_000), Amount(160 * 1_000));
    });
}
