//! Each way in which a record can be wrong.

use super::*;

use Cause::{Ended, Lapsed, Terms};
use Payment::{ReceiverIn, ReceiverOut, SenderIn};

/// A start at 0, flow 1, a consent of neighbour 2 up to 100 at 10, which runs at 50 from 10 on;
/// then `more`, the last of which is at fault.
fn wrong(more: &[Body]) -> Wrong {
    let mut records = base();
    records.extend_from_slice(more);
    let last = records.len() as u64;
    match play(&records) {
        Ok(_) => panic!("{more:?} passed"),
        Err(fault) => {
            assert_eq!(fault.number, last, "{fault}");
            let text = fault.to_string();
            assert!(text.starts_with(&format!("record {last}")), "{text}");
            fault.what
        }
    }
}

fn base() -> Vec<Body> {
    let rp = meter(1, ReceiverIn, 2);
    vec![started(1, 0), flow(1), consent(10, 1, 2, 100, 7), runs(10, rp, 50, Terms)]
}

fn right(more: &[Body]) -> (Replay, Vec<Posting>) {
    let mut records = base();
    records.extend_from_slice(more);
    play(&records).unwrap()
}

fn rp() -> Meter {
    meter(1, ReceiverIn, 2)
}

fn gap(from_ms: u64, to_ms: u64, rate: u64) -> Body {
    Body::Gap(Gap { meter: rp(), from_ms, to_ms, rate })
}

#[test]
fn a_segment_is_posted_once_it_closes() {
    let (replay, postings) = right(&[runs(30, rp(), 70, Terms)]);
    let [posting] = &postings[..] else { panic!("{postings:?}") };
    assert_eq!((posting.number, posting.amount, posting.rate), (4, 1_000, 50));
    assert_eq!((posting.from, posting.to), (stamp(10), stamp(30)));
    assert_eq!(own(&replay, ReceiverIn), 1_000);
    let named = record::AccountId { kind: 1, id: Box::from([1]) };
    let payer = Account::Neighbour(neighbour(2), Some(named));
    assert_eq!(replay.account(posting.debit), Some(&payer));
    let open: Vec<Open> = replay.open().collect();
    assert_eq!((open.len(), open[0].number, open[0].rate), (1, 5, 70));
}

#[test]
fn r006_no_rate_runs_without_consent_or_above_it() {
    let other = meter(1, ReceiverIn, 3);
    let payment = ReceiverIn;
    assert_eq!(wrong(&[runs(20, other, 1, Terms)]), Wrong::NoConsent { payment, rate: 1 });
    assert_eq!(
        wrong(&[runs(20, rp(), 101, Terms)]),
        Wrong::AboveCeiling { payment, rate: 101, ceiling: 100 }
    );
    let out = meter(1, ReceiverOut, 1);
    let payment = ReceiverOut;
    assert_eq!(wrong(&[runs(20, out, 1, Terms)]), Wrong::NoConsent { payment, rate: 1 });
    assert_eq!(
        wrong(&[offer(20, 1, 1, 5), runs(20, out, 6, Terms)]),
        Wrong::AboveCeiling { payment, rate: 6, ceiling: 5 }
    );
    right(&[runs(20, meter(1, SenderIn, 1), 1_000_000, Terms)]);
    let over = [runs(20, rp(), 0, Ended), closed(20, 1, 2, true), runs(20, rp(), 1, Terms)];
    assert_eq!(wrong(&over), Wrong::NoConsent { payment: ReceiverIn, rate: 1 });
}

#[test]
fn r006_nothing_runs_on_after_its_consent_ended_or_fell() {
    let payment = ReceiverIn;
    let ran_on = |since_ms, until_ms| Wrong::RanOn { payment, since_ms, until_ms };
    let close = closed(20, 1, 2, true);
    let end = |at_ms| runs(at_ms, rp(), 0, Ended);
    right(&[close.clone(), end(20), Body::Alive(stamp(30))]);
    assert_eq!(wrong(&[close.clone(), end(21)]), ran_on(20, 21));
    assert_eq!(wrong(&[close.clone(), Body::Alive(stamp(30))]), ran_on(20, 30));
    assert_eq!(wrong(&[close.clone(), Body::Stopped(stamp(30))]), ran_on(20, 30));
    let fell = consent(20, 1, 2, 49, 7);
    right(&[fell.clone(), runs(20, rp(), 49, Terms), Body::Alive(stamp(30))]);
    assert_eq!(wrong(&[fell.clone(), runs(25, rp(), 49, Terms)]), ran_on(20, 25));
    // A crash in between bills no longer than the consent lasted.
    let alive = Body::Alive(stamp(18));
    let (replay, _) = right(&[alive, close, started(2, 0)]);
    assert_eq!(own(&replay, ReceiverIn), 50 * 8);
    let late = closed(15, 1, 2, false);
    let (replay, _) = right(&[Body::Alive(stamp(18)), late, started(2, 0)]);
    assert_eq!(own(&replay, ReceiverIn), 50 * 5);
}

#[test]
fn a_crash_bills_up_to_the_last_proof_and_an_orderly_stop_up_to_it() {
    let (replay, _) = right(&[Body::Alive(stamp(30)), started(1, 90)]);
    assert_eq!(own(&replay, ReceiverIn), 50 * 20);
    let (replay, postings) = right(&[started(1, 90)]);
    assert_eq!((own(&replay, ReceiverIn), postings.len()), (0, 0));
    let (replay, _) = right(&[Body::Stopped(stamp(44)), started(2, 7)]);
    assert_eq!(own(&replay, ReceiverIn), 50 * 34);
    let not_running = Wrong::NotRunning;
    assert_eq!(wrong(&[Body::Stopped(stamp(44)), Body::Alive(stamp(50))]), not_running);
    assert_eq!(wrong(&[Body::Stopped(stamp(44)), flow(2)]), not_running);
    assert_eq!(play(&[flow(1)]).unwrap_err().what, not_running);
}

#[test]
fn r003_instants_do_not_run_backwards() {
    let backwards = |at_ms, after_ms| Wrong::Backwards { at_ms, after_ms };
    let alive = |at_ms| Body::Alive(stamp(at_ms));
    assert_eq!(wrong(&[alive(30), alive(29)]), backwards(29, 30));
    assert_eq!(wrong(&[alive(9)]), backwards(9, 10));
    assert_eq!(wrong(&[alive(30), runs(29, rp(), 60, Terms)]), backwards(29, 30));
    assert_eq!(wrong(&[alive(30), consent(29, 1, 3, 60, 1)]), backwards(29, 30));
    assert_eq!(wrong(&[alive(30), offer(29, 1, 1, 60)]), backwards(29, 30));
    assert_eq!(wrong(&[alive(30), Body::Stopped(stamp(29))]), backwards(29, 30));
    assert_eq!(wrong(&[alive(30), started(1, 29)]), backwards(29, 30));
    right(&[alive(30), started(2, 29)]);
    // A lapse is noticed late.
    let (replay, _) = right(&[alive(30), runs(20, rp(), 0, Lapsed), alive(40)]);
    assert_eq!(own(&replay, ReceiverIn), 500);
    assert_eq!(
        wrong(&[runs(9, rp(), 0, Ended)]),
        Wrong::EndsBeforeItBegan { at_ms: 9, from_ms: 10 }
    );
    let (replay, _) = right(&[runs(9, rp(), 0, Lapsed)]);
    assert_eq!(own(&replay, ReceiverIn), 0);
}

#[test]
fn r003_flows_are_announced_and_numbered_in_turn() {
    assert_eq!(wrong(&[runs(20, meter(9, ReceiverIn, 2), 0, Ended)]), Wrong::UnknownFlow);
    assert_eq!(wrong(&[closed(20, 9, 2, true)]), Wrong::UnknownFlow);
    assert_eq!(wrong(&[consent(20, 9, 2, 1, 1)]), Wrong::UnknownFlow);
    assert_eq!(wrong(&[offer(20, 9, 2, 1)]), Wrong::UnknownFlow);
    let stranger = Gap { meter: meter(9, ReceiverIn, 2), from_ms: 1, to_ms: 2, rate: 1 };
    assert_eq!(wrong(&[Body::Gap(stranger)]), Wrong::UnknownFlow);
    assert_eq!(wrong(&[flow(1)]), Wrong::FlowReused { last: 1 });
    assert_eq!(wrong(&[flow(5), flow(3)]), Wrong::FlowReused { last: 5 });
    assert_eq!(wrong(&[flow(5), consent(20, 3, 2, 1, 1)]), Wrong::UnknownFlow);
    right(&[flow(5), consent(20, 5, 2, 1, 1)]);
    right(&[started(1, 20), flow(1)]);
    assert_eq!(wrong(&[started(1, 20), consent(20, 1, 2, 1, 1)]), Wrong::UnknownFlow);
}

#[test]
fn r006_a_gap_is_billed_within_an_instance_and_over_nothing_else() {
    let lapse = runs(20, rp(), 0, Lapsed);
    let again = |instance| consent(40, 1, 2, 100, instance);
    let back = runs(40, rp(), 60, Terms);
    for order in [[gap(20, 40, 50), back.clone()], [back.clone(), gap(20, 40, 50)]] {
        let mut more = vec![lapse.clone(), Body::Alive(stamp(39)), again(7)];
        more.extend(order);
        let (replay, postings) = right(&more);
        assert_eq!(own(&replay, ReceiverIn), 50 * 30);
        assert!(postings[1].gap && postings[1].amount == 1_000);
    }
    assert_eq!(
        wrong(&[lapse.clone(), again(8), gap(20, 40, 50)]),
        Wrong::GapBeforeInstance { from_ms: 20, since_ms: 40 }
    );
    let twice = |from_ms, until_ms| Wrong::BilledTwice { from_ms, until_ms };
    assert_eq!(wrong(&[lapse.clone(), gap(19, 40, 50)]), twice(19, 20));
    assert_eq!(wrong(&[lapse.clone(), gap(20, 40, 50), gap(30, 50, 50)]), twice(30, 40));
    assert_eq!(wrong(&[lapse.clone(), back.clone(), gap(20, 41, 50)]), twice(40, 41));
    let early = runs(39, rp(), 60, Terms);
    assert_eq!(wrong(&[lapse.clone(), gap(20, 40, 50), early]), twice(39, 40));
    assert_eq!(wrong(&[gap(20, 40, 50)]), twice(10, 40), "the meter runs");
    assert_eq!(
        wrong(&[lapse.clone(), gap(40, 40, 50)]),
        Wrong::EmptyGap { from_ms: 40, to_ms: 40 }
    );
    let raised = consent(40, 1, 2, 200, 7);
    let too_dear = Wrong::GapTooDear { rate: 51, most: 50 };
    assert_eq!(wrong(&[lapse.clone(), raised.clone(), gap(20, 40, 51)]), too_dear);
    assert_eq!(wrong(&[lapse.clone(), raised, back.clone(), gap(20, 40, 51)]), too_dear);
    let never = Gap { meter: meter(1, ReceiverIn, 3), from_ms: 20, to_ms: 40, rate: 1 };
    let never = [consent(20, 1, 3, 9, 7), Body::Gap(never)];
    assert_eq!(wrong(&never), Wrong::GapTooDear { rate: 1, most: 0 });
    let lowered = consent(40, 1, 2, 40, 7);
    let dear = [lapse.clone(), lowered, gap(20, 40, 41)];
    assert_eq!(wrong(&dear), Wrong::AboveCeiling { payment: ReceiverIn, rate: 41, ceiling: 40 });
    let ended = [lapse, closed(30, 1, 2, false), gap(20, 40, 50)];
    assert_eq!(wrong(&ended), Wrong::NoConsent { payment: ReceiverIn, rate: 50 });
}

#[test]
fn a_consent_ends_once() {
    assert_eq!(wrong(&[closed(20, 1, 3, true)]), Wrong::NoConsentToClose);
    let end = runs(20, rp(), 0, Ended);
    let twice = [end, closed(20, 1, 2, true), closed(21, 1, 2, true)];
    assert_eq!(wrong(&twice), Wrong::NoConsentToClose);
}

#[test]
fn r003_records_periods_and_currencies_are_in_order() {
    let mut replay = Replay::default();
    replay.apply(1, &started(1, 0)).unwrap();
    let fault = replay.apply(3, &flow(1)).unwrap_err();
    assert_eq!(fault.what, Wrong::Number { expected: 2 });
    let period = |number| Body::Period(Period { number, stamp: stamp(50) });
    right(&[period(1), period(2)]);
    let late = Body::Alive(stamp(51));
    assert_eq!(wrong(&[late, period(1)]), Wrong::Backwards { at_ms: 50, after_ms: 51 });
    assert_eq!(wrong(&[period(2)]), Wrong::Period { expected: 1, found: 2 });
    assert_eq!(wrong(&[period(1), period(1)]), Wrong::Period { expected: 2, found: 1 });
    let mut other = started(2, 0);
    if let Body::Started(started) = &mut other {
        started.currency = 840;
    }
    assert_eq!(wrong(&[other]), Wrong::Currency { before: 978, now: 840 });
}

#[test]
fn sums_that_do_not_fit_are_refused() {
    let meter = meter(1, SenderIn, 1);
    let most = u64::MAX;
    let end = Body::Alive(Stamp { at_ms: most, wall_ms: 0 });
    let more = [runs(20, meter, most, Terms), end, runs(most, meter, 0, Ended)];
    assert_eq!(wrong(&more), Wrong::Overflow);
}
