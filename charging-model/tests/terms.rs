//! Limits, prices, accounts and the fields of the state, one flow at a time.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/one.rs"]
mod one;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use charging_model::flow::Limits;
use charging_model::*;
use one::*;
use proptest::prelude::*;

fn limited(limits: Limits) -> Announcement {
    Announcement { limits, ..dcpe(100, 300_000, UNIX) }
}

#[test]
fn r069_absent_limits_are_unlimited() {
    by_all(|| {
        let flow = flow(1_000_000);
        let quote = flow.quote(1).unwrap();
        assert_eq!((quote.fraction, quote.sponsored), (Ppm::ONE, Rate(160)));
        assert_eq!(quote.limits, Limits::default());
        assert_eq!(quote.sponsored_tlv(), None);
    });
}

#[test]
fn r078_r081_r083_r085_limit_per_receiver_cuts_the_branch_and_carries_what_was_sponsored() {
    by_all(|| {
        let limits = Limits { per_receiver: Some(Rate(45)), ..Limits::default() };
        let flow = flow_with(config(), &limited(limits), &[(1, 60), (2, 40)]);
        // 0.3 × 160 = 48 > 45: cut, the 30 of C_j go on. 0.3 × 140 = 42: not cut.
        let cut = flow.quote(1).unwrap();
        assert_eq!((cut.fraction, cut.sponsored_tlv()), (Ppm::ZERO, Some(Rate(30))));
        assert_eq!(cut.receiver_payment(), Rate(130));
        assert_eq!(cut.limits, limits, "r081: passed on unchanged");
        let whole = flow.quote(2).unwrap();
        assert_eq!((whole.fraction.get(), whole.sponsored), (300_000, Rate(42)));
        // Incoming: 0.3 × 100 = 30 > 29 cuts every branch.
        let limits = Limits { per_receiver: Some(Rate(29)), ..Limits::default() };
        let flow = flow_with(config(), &limited(limits), &[(1, 0), (2, 40)]);
        for group in [1, 2] {
            assert_eq!(flow.quote(group).unwrap().fraction, Ppm::ZERO);
            assert_eq!(flow.quote(group).unwrap().sponsored, Rate(30));
        }
    });
}

/// 0.3 × 100 = 30 is above 29, though neither branch comes to more than 0.3 × 90 = 27.
#[test]
fn r083_r085_what_came_in_above_the_limit_is_cut_for_all_branches() {
    by_those_alike(|| {
        for (limit, fraction, sponsored) in [(30, 300_000, 27), (29, 0, 15)] {
            let limits = Limits { per_receiver: Some(Rate(limit)), ..Limits::default() };
            let mut flow = flow_with(config(), &limited(limits), &[(1, 40), (2, 40)]);
            for group in [1, 2] {
                let payment = required(&flow, group);
                assert_eq!(flow.on_ucpe(at(0), key(group), &ucpe(payment, 1, 1)), new());
            }
            for group in [1, 2] {
                let quote = flow.quote(group).unwrap();
                assert_eq!((quote.fraction.get(), quote.sponsored.0), (fraction, sponsored));
            }
        }
    });
}

#[test]
fn r079_r084_limit_per_hop_is_about_the_whole_local_price() {
    by_those_alike(|| {
        for (limit, fraction) in [(60, 300_000), (59, 0)] {
            let limits = Limits { per_hop: Some(Rate(limit)), ..Limits::default() };
            let mut flow = flow_with(config(), &limited(limits), &[(1, 60), (2, 40)]);
            assert_eq!(flow.quote(1).unwrap().fraction.get(), fraction);
            let payment = required(&flow, 1);
            assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(payment, 1, 1)), new());
            // With a second interface ΣL = 100 is above either limit: this hop sponsors nothing.
            let payment = required(&flow, 2);
            assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(payment, 1, 1)), new());
            assert_eq!(flow.quote(1).unwrap().fraction, Ppm::ZERO);
            assert_eq!(flow.quote(1).unwrap().sponsored, Rate(15));
            assert_eq!(flow.own_payment(at(0)).unwrap().sender_payment, Rate(0));
        }
    });
}

#[test]
fn r080_r082_max_hops_is_decremented_and_the_last_hop_cuts() {
    by_all(|| {
        for (hops, sent, fraction) in [(3, 2, 300_000), (2, 1, 300_000), (1, 0, 0), (0, 0, 0)] {
            let limits = Limits { max_hops: Some(hops), ..Limits::default() };
            let flow = flow_with(config(), &limited(limits), &[(1, 60)]);
            let quote = flow.quote(1).unwrap();
            assert_eq!((quote.limits.max_hops, quote.fraction.get()), (Some(sent), fraction));
        }
    });
}

#[test]
fn d7_a_cut_above_is_passed_on_whole() {
    by_those_alike(|| {
        let said = Announcement { sponsored: Some(Rate(31)), ..dcpe(100, 0, UNIX) };
        let mut flow = flow_with(config(), &said, &[(1, 60), (2, 40)]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(129, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(129, 1, 1)), new());
        let parts = [1, 2].map(|g| flow.quote(g).unwrap().sponsored.0);
        assert_eq!(parts, [16, 15]);
        let own = flow.own_payment(at(0)).unwrap();
        assert_eq!((own.payment, own.sender_payment), (Rate(69), Rate(0)));
    });
}

#[test]
fn r063_r064_r066_state_has_the_papers_fields() {
    by_all(|| {
        let limits =
            Limits { per_receiver: Some(Rate(90)), per_hop: Some(Rate(91)), max_hops: Some(9) };
        let mut flow = flow_with(config(), &limited(limits), &[(1, 60)]);
        let down = flow.downstream().unwrap();
        assert_eq!((down.total, down.max_total), (Rate(100), Rate(120)));
        assert_eq!(down.fraction.get(), 300_000);
        assert_eq!(down.sender_account, Some(Account::new(1, *b"upstream")));
        assert_eq!(down.limits(), limits);
        assert_eq!(down.claim(), Rate(70), "r066: C − S");
        let report = Payment {
            announced_total: Rate(250),
            sender_payment: Rate(15),
            local_sum: Rate(90),
            ..ucpe(112, 1, 1)
        };
        assert_eq!(flow.on_ucpe(at(0), key(1), &report), new());
        let b = flow.branch(key(1)).unwrap();
        assert_eq!((b.local, b.sender_payment, b.announced_total), (Rate(60), Rate(15), Rate(250)));
        assert!(b.consistent);
    });
}

#[test]
fn r065_the_maximum_is_remembered() {
    by_all(|| {
        let mut flow = flow(0);
        let lower = Announcement { max_total: Rate(101), ..dcpe(100, 0, UNIX + 1) };
        let _ = flow.on_dcpe(at(1), &lower).unwrap();
        assert_eq!(flow.downstream().unwrap().max_total, Rate(120));
        flow.set_group(at(2), 1, Price { max_local: Rate(90), ..priced(10) }).unwrap();
        flow.set_group(at(3), 1, priced(10)).unwrap();
        assert_eq!(flow.quote(1).unwrap().max_total, Rate(210));
    });
}

#[test]
fn r052_r098_r073_each_interface_has_its_own_price_and_validity() {
    by_those_alike(|| {
        let mut flow = flow(300_000);
        flow.set_group(at(0), 2, Price { validity: Span(5_000), ..priced(40) }).unwrap();
        assert_eq!([1, 2].map(|g| flow.quote(g).unwrap().total.0), [160, 140]);
        assert_eq!([1, 2].map(|g| flow.quote(g).unwrap().validity.0), [60_000, 5_000]);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(98, 1, 1)), new());
        assert_eq!([1, 2].map(|g| flow.quote(g).unwrap().total.0), [110, 90]);
    });
}

#[test]
fn r105_reports_that_do_not_add_up_name_the_branch() {
    by_all(|| {
        let mut flow = flow(0);
        let lie = Payment { announced_total: Rate(160), local_sum: Rate(10), ..ucpe(160, 1, 1) };
        assert_eq!(flow.on_ucpe(at(0), key(1), &lie), new());
        assert_eq!(flow.inconsistent().collect::<Vec<_>>(), [key(1)]);
        let truth = Payment { announced_total: Rate(170), local_sum: Rate(10), ..ucpe(160, 2, 1) };
        assert_eq!(flow.on_ucpe(at(0), key(1), &truth), again());
        assert_eq!(flow.inconsistent().count(), 0);
    });
}

#[test]
fn r089_the_account_named_is_debited_from_then_on() {
    by_all(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let other = Payment { account: Account::new(2, *b"a@b.example"), ..ucpe(160, 2, 1) };
        assert_eq!(flow.on_ucpe(at(3_000), key(1), &other), again());
        flow.remove_branch(at(5_000), key(1), Cause::Tear).unwrap();
        let rp: Vec<_> = flow
            .take_postings()
            .into_iter()
            .filter(|p| p.entry == Entry::ReceiverPaymentFrom(key(1)))
            .map(|p| (p.account.unwrap().kind(), p.segment.amount))
            .collect();
        assert_eq!(rp, [(1, Amount(480_000)), (2, Amount(320_000))]);
    });
}

#[test]
fn r077_r095_sender_payments_debit_the_account_announced() {
    by_all(|| {
        let mut flow = flow(300_000);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(112, 1, 1)), new());
        flow.remove_branch(at(1_000), key(1), Cause::Tear).unwrap();
        let sp: Vec<_> = flow
            .take_postings()
            .into_iter()
            .filter(|p| p.entry == Entry::SenderPaymentFromUpstream)
            .collect();
        assert_eq!(sp.len(), 1);
        assert_eq!(sp[0].account, Some(Account::new(1, *b"upstream")));
        assert_eq!(sp[0].segment.amount, Amount(18_000));
    });
}

#[test]
fn d10_next_hops_behind_one_interface_share_its_price() {
    by_those_alike(|| {
        let mut flow = flow(0);
        let second = BranchKey { hop: IpAddr::V4(Ipv4Addr::new(10, 0, 1, 3)), ..key(1) };
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        let join = flow.join_quote(at(0), 1).unwrap();
        assert_eq!((join.carried, join.local), (Rate(50), Rate(30)));
        let payment = join.receiver_payment().0;
        assert_eq!(flow.on_ucpe(at(0), second, &ucpe(payment, 1, 1)), new());
        for k in [key(1), second] {
            assert_eq!(flow.quote_for(k).unwrap().total, Rate(80));
            assert_eq!(flow.branch(k).unwrap().receiver_payment, Rate(80));
        }
        // Three on two interfaces: ΣL counts each interface once.
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(140, 1, 1)), new());
        let locals: u64 = flow.branches().map(|b| b.local.0).sum();
        let received: u64 = flow.branches().map(|b| b.receiver_payment.0).sum();
        assert_eq!((locals, received), (100, 200));
        // Its last word to the second hop was newer than to the first; what follows is newer still.
        let told = flow.quote_for(key(1)).unwrap().epoch.max(flow.quote_for(second).unwrap().epoch);
        flow.remove_branch(at(1), key(1), Cause::Tear);
        flow.remove_branch(at(1), second, Cause::Tear);
        assert!(flow.quote(1).unwrap().epoch >= told);
    });
}

proptest! {
    /// The price of a join is what it says, whatever the joiner's address: which of the odd units
    /// of C_j and of S_j fall to it is not known before.
    #[test]
    fn d10_whoever_pays_the_price_of_a_join_is_let_in(
        total in 0u64..3_000,
        (fraction, cut) in (0u32..1_000_000, any::<bool>()),
        local in 0u64..100,
        there in prop::collection::btree_set(2u8..12, 1..5),
        joiner in 2u8..12,
    ) {
        let whole = dcpe(total, fraction, UNIX);
        // A hop above has cut: r is 0, and what was sponsored is carried on.
        let said = if cut {
            let sponsored = Some(Rate(total * u64::from(fraction) / 1_000_000));
            Announcement { sponsored, ..dcpe(total, 0, UNIX) }
        } else {
            whole
        };
        let mut flow = flow_with(config(), &said, &[(1, local)]);
        let hop = |last| BranchKey { hop: IpAddr::V4(Ipv4Addr::new(10, 0, 1, last)), ..key(1) };
        for last in there.iter().filter(|last| **last != joiner) {
            prop_assert_eq!(flow.on_ucpe(at(0), hop(*last), &ucpe(10_000, 1, 1)), new());
        }
        let Some(quote) = flow.join_quote(at(0), 1) else { return Ok(()) };
        let payment = quote.receiver_payment().0;
        prop_assert_eq!(flow.on_ucpe(at(0), hop(joiner), &ucpe(payment, 1, 1)), new());
        let debited = flow.branch(hop(joiner)).unwrap().receiver_payment;
        prop_assert!(debited.0 <= payment && payment <= debited.0 + 2, "{} of {}", debited.0, payment);
    }
}

#[test]
fn a_path_without_dcpe_makes_the_first_charging_hop() {
    by_all(|| {
        let mut flow = Flow::new(Arc::new(config()));
        assert_eq!(
            refused(flow.on_ucpe(at(0), key(1), &ucpe(9, 1, 1))).reason,
            Reason::NoAnnouncement
        );
        flow.on_no_dcpe(at(0), Span(30_000), 64_000);
        assert_eq!(
            refused(flow.on_ucpe(at(0), key(1), &ucpe(9, 1, 1))).reason,
            Reason::NoSuchGroup
        );
        flow.set_group(at(0), 1, priced(60)).unwrap();
        let quote = flow.quote(1).unwrap();
        assert_eq!((quote.total, quote.fraction, quote.quantity), (Rate(60), Ppm::ZERO, 64_000));
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(60, 2, 2)), new());
        assert_eq!(flow.received_from(key(1), Millis(1_000)), Some(Amount(60_000)));
    });
}

#[test]
fn d3_next_to_the_sender_the_payment_is_information_and_no_ceiling() {
    by_all(|| {
        let said = Announcement { total: Rate(0), max_total: Rate(0), ..dcpe(0, 300_000, UNIX) };
        let mut flow = flow_with(config(), &said, &[(1, 100)]);
        let report = Payment {
            announced_total: Rate(250),
            sender_payment: Rate(45),
            local_sum: Rate(150),
            ..ucpe(70, 1, 1)
        };
        assert_eq!(flow.on_ucpe(at(0), key(1), &report), new());
        let own = flow.own_payment(at(0)).unwrap();
        assert_eq!((own.payment, own.sender_payment), (Rate(175), Rate(75)));
        assert_eq!(own.announced_total, Rate(250), "r096: the sender sees 175, 75, 250");
        assert_eq!(flow.upstream_amounts(Millis(1_000)), (Amount(75_000), Amount(0)));
        // Should that hop charge after all, 175 was no approval of it.
        let _ = flow.on_dcpe(at(1_000), &dcpe(50, 300_000, UNIX + 1)).unwrap();
        assert_eq!(flow.approved_claim(), Some((Rate(0), Rate(0))));
        assert_eq!(flow.own_payment(at(1_000)).unwrap().payment, Rate(0));
    });
}

#[test]
fn r070_a_route_change_reprices_the_interfaces() {
    by_those_alike(|| {
        let mut flow = flow(0);
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(0), key(2), &ucpe(140, 1, 1)), new());
        let _ = (flow.own_payment(at(0)), flow.take_changes());
        let closed = flow.remove_group(at(2_000), 1);
        assert_eq!(closed.len(), 1);
        assert_eq!(closed[0].1.receiver_payment, Amount(110 * 2_000));
        assert_eq!(flow.quote(1), None);
        flow.set_group(at(2_000), 3, priced(7)).unwrap();
        assert_eq!(flow.quote(3).unwrap().total, Rate(57));
        assert_eq!(flow.quote(2).unwrap().total, Rate(140));
        assert_eq!(flow.take_changes().groups[..], [2, 3]);
    });
}

#[test]
fn d10_quotes_on_one_interface_never_go_back_to_an_older_epoch() {
    by_all(|| {
        let said = Announcement { total: Rate(0), ..dcpe(0, 0, UNIX) };
        let mut flow = flow_with(config(), &said, &[(1, 0)]);
        let second = BranchKey { hop: IpAddr::V4(Ipv4Addr::new(10, 0, 1, 3)), ..key(1) };
        assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(0, 1, 1)), new());
        assert_eq!(flow.on_ucpe(at(0), second, &ucpe(0, 1, 1)), new());
        // Nothing costs anything, so only the second was told something new.
        let told = [key(1), second].map(|k| flow.quote_for(k).unwrap().epoch);
        assert!(told[0] < told[1], "{told:?}");
        flow.remove_branch(at(1), second, Cause::Tear);
        flow.remove_branch(at(1), key(1), Cause::Tear);
        assert!(flow.quote(1).unwrap().epoch >= told[1]);
    });
}

/// What the amounts above are an example of: however C_j and S_j are divided, all of both is, nobody
/// is sponsored beyond its charge, nothing that the sender covers stays here, and a hop earns its
/// prices.
#[test]
fn r052_r070_r079_r083_d7_all_of_what_comes_from_above_is_divided_by_any_strategy() {
    by_all(|| {
        let limit = |rate| Limits { per_receiver: Some(Rate(rate)), ..Limits::default() };
        let per_hop = Limits { per_hop: Some(Rate(59)), ..Limits::default() };
        let cut_above = Announcement { sponsored: Some(Rate(31)), ..dcpe(100, 0, UNIX) };
        let cases = [
            (dcpe(100, 300_000, UNIX), None, false),
            (limited(limit(29)), Some(30), true),
            (limited(per_hop), Some(30), true),
            (cut_above, Some(31), true),
        ];
        for (said, sponsored, cut) in cases {
            let mut flow = flow_with(config(), &said, &[(1, 60), (2, 40)]);
            for group in [1, 2] {
                let payment = required(&flow, group);
                assert_eq!(flow.on_ucpe(at(0), key(group), &ucpe(payment, 1, 1)), new());
                // Whoever is there already may have to pay more now: it does.
                for (sequence, there) in (1..=group).enumerate() {
                    let payment = ucpe(required(&flow, there), sequence as u32 + 2, 1);
                    let verdict = flow.on_ucpe(at(0), key(there), &payment);
                    assert!(!matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
                }
            }
            let branches: Vec<_> = flow.branches().collect();
            let sum = |of: fn(&BranchView) -> Rate| branches.iter().map(|b| of(b).0).sum::<u64>();
            assert_eq!((sum(|b| b.carried), sum(|b| b.local)), (100, 100));
            assert!(branches.iter().all(|b| b.sponsored <= b.total));
            let covered = sum(|b| b.sponsored);
            assert!(sponsored.is_none_or(|sponsored| covered == sponsored), "{covered}");
            for group in [1, 2] {
                assert_eq!(flow.quote(group).unwrap().fraction == Ppm::ZERO, cut);
            }
            let own = flow.own_payment(at(0)).unwrap();
            let claim = flow.downstream().unwrap().claim();
            assert_eq!(own.payment, claim);
            assert_eq!(cut, own.sender_payment == Rate::ZERO);
            assert_eq!(sum(|b| b.receiver_payment) + own.sender_payment.0 - claim.0, 100, "E = ΣL");
        }
    });
}
