//! Where what is reserved has a price of its own: larger and smaller reservations, and who is
//! quoted what for them.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests")]

#[path = "common/one.rs"]
mod one;

use charging_model::*;
use one::*;

/// A payment for a reservation of so many bit/s.
fn pays(payment: u64, sequence: u32, quantity: u64) -> Payment {
    Payment { quantity, ..ucpe(payment, sequence, 1) }
}

fn local(rate: u64) -> Option<Rate> {
    Some(Rate(rate))
}

#[test]
fn a_smaller_reservation_than_quoted_costs_less_from_the_start() {
    let mut flow = flow(0);
    let verdict = flow.on_ucpe_at(at(0), key(1), &pays(160, 1, 1_000), local(30));
    assert_eq!(verdict, new());
    assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(130));
    let quote = flow.quote(1).unwrap();
    assert_eq!((quote.total, quote.quantity), (Rate(130), 1_000));
    assert_eq!(flow.received_from(key(1), Millis(10)), Some(Amount(1_300)));
    // The rest of the interface's price is quoted again to whoever comes next.
    flow.remove_branch(at(20), key(1), Cause::Tear).unwrap();
    assert_eq!(flow.quote(1).unwrap().total, Rate(160));
}

#[test]
fn t4_a_larger_reservation_is_quoted_before_it_is_installed_or_billed() {
    let mut flow = flow(0);
    assert_eq!(flow.on_ucpe_at(at(0), key(1), &pays(130, 1, 1_000), local(30)), new());
    let _ = flow.take_changes();
    let verdict = flow.on_ucpe_at(at(1_000), key(1), &pays(130, 2, 2_000), local(50));
    let Verdict::Kept { required: Rate(150), extended: true, deadline: None, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert!(flow.unpaid(key(1)));
    assert_eq!(flow.take_changes().groups[..], [1], "the larger one is quoted at once");
    let quote = flow.quote(1).unwrap();
    assert_eq!((quote.total, quote.quantity), (Rate(150), 2_000));
    assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(130));
    assert_eq!(flow.received_from(key(1), Millis(2_000)), Some(Amount(260_000)));
    // What stands goes on as long as it is paid for; nobody is given up for having asked.
    for t in (30_000..=300_000).step_by(30_000) {
        let again = flow.on_ucpe_at(at(t), key(1), &pays(130, 2, 2_000), local(50));
        assert!(matches!(again, Verdict::Kept { extended: true, .. }), "{again:?}");
        assert_eq!(flow.tick(at(t)), []);
    }
    let t = 301_000;
    assert_eq!(flow.on_ucpe_at(at(t), key(1), &pays(150, 3, 2_000), local(50)), again());
    assert!(!flow.unpaid(key(1)));
    assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(150));
}

#[test]
fn t4_what_is_no_longer_asked_for_is_no_longer_quoted() {
    let mut flow = flow(0);
    assert_eq!(flow.on_ucpe_at(at(0), key(1), &pays(130, 1, 1_000), local(30)), new());
    let _ = flow.on_ucpe_at(at(1_000), key(1), &pays(130, 2, 2_000), local(50));
    assert_eq!(required(&flow, 1), 150);
    assert_eq!(flow.on_ucpe_at(at(2_000), key(1), &pays(130, 3, 1_000), local(30)), again());
    assert_eq!(required(&flow, 1), 130);
    let _ = flow.on_ucpe_at(at(3_000), key(1), &pays(130, 4, 2_000), local(50));
    assert_eq!(required(&flow, 1), 150);
    // It refreshes by number alone, and nothing is said of the flowspec.
    let _ = flow.on_ucpe(at(30_000), key(1), &pays(130, 4, 1_000));
    let due = flow.next_deadline().unwrap();
    assert_eq!(due, Millis(3_000 + H));
    assert_eq!(flow.tick(Clock { now: due, unix_s: 0 }), []);
    assert_eq!(required(&flow, 1), 130);
}

#[test]
fn t5_a_new_reservation_dearer_than_quoted_is_refused_and_quoted() {
    let mut flow = flow(0);
    let refusal = refused(flow.on_ucpe_at(at(0), key(1), &pays(160, 1, 9_000), local(90)));
    assert_eq!((refusal.reason, refusal.required), (Reason::PaymentTooLow, Rate(190)));
    let quote = flow.quote(1).unwrap();
    assert_eq!((quote.total, quote.quantity), (Rate(190), 9_000));
    assert!(quote.max_total >= quote.total, "Lmax is honest");
    assert_eq!(flow.on_ucpe_at(at(1), key(1), &pays(190, 2, 9_000), local(90)), new());
    assert_eq!(flow.branch(key(1)).unwrap().local, Rate(90));
}

#[test]
fn an_interface_costs_what_the_dearest_reservation_on_it_does() {
    let other = BranchKey { hop: "10.0.0.9".parse().unwrap(), ..key(1) };
    let mut flow = flow(0);
    assert_eq!(flow.on_ucpe_at(at(0), key(1), &pays(160, 1, 1_000), local(20)), new());
    assert_eq!(flow.on_ucpe_at(at(0), other, &pays(160, 1, 4_000), local(50)), new());
    let local_of = |flow: &Flow, key| flow.branch(key).unwrap().local;
    assert_eq!((local_of(&flow, key(1)), local_of(&flow, other)), (Rate(25), Rate(25)));
    flow.remove_branch(at(5), other, Cause::Tear).unwrap();
    assert_eq!(flow.quote(1).unwrap().local, Rate(20));
}

#[test]
fn a_new_tariff_prices_what_stands_and_what_joins_apart() {
    let mut flow = flow(0);
    assert_eq!(flow.on_ucpe_at(at(0), key(1), &pays(160, 1, 1_000), local(20)), new());
    flow.reprice(at(10), 1, priced(90), &[(key(1), Rate(25))]).unwrap();
    assert_eq!(flow.quote(1).unwrap().local, Rate(25));
    assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(125));
    let join = flow.join_quote(at(11), 1).unwrap();
    assert_eq!(join.local, Rate(45), "half of the dearer of both");
    // One price for all again.
    flow.set_group(at(12), 1, priced(60)).unwrap();
    assert_eq!(flow.branch(key(1)).unwrap().receiver_payment, Rate(160));
}

#[test]
fn a_total_above_the_old_maximum_is_no_contradiction_where_more_is_asked_for() {
    let mut flow = flow(0);
    let more = Announcement { total: Rate(500), max_total: Rate(500), ..dcpe(500, 0, UNIX + 1) };
    let grown = Announcement { quantity: 9_000, ..more.clone() };
    assert!(matches!(flow.clone().on_dcpe(at(1), &grown), Ok(flow::Heard::Changed)));
    let heard = flow.on_dcpe(at(1), &more);
    assert!(matches!(heard, Ok(flow::Heard::Inconsistent { .. })), "{heard:?}");
}
