//! Outages of what was in place, and what is given back for them (T11), one flow at a time.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/one.rs"]
mod one;

use std::sync::Arc;

use charging_model::flow::{Broken, Contra, Outage, Quality};
use charging_model::*;
use one::*;

const FROM: Entry = Entry::ReceiverPaymentToUpstream;

/// A flow that bills only what stands end to end, with a branch that pays 160, in place from 1,000 ms on.
fn standing(grant: Grant, offered: Grant) -> Flow {
    let mut flow =
        Flow::new(Arc::new(FlowConfig { require_established: true, ..FlowConfig::default() }));
    flow.set_group(at(0), 1, priced(60)).unwrap();
    flow.set_refund(1, grant);
    let _ = flow.on_dcpe(at(0), &dcpe(100, 0, UNIX)).unwrap();
    flow.hear_refunds(at(0), offered, &[]);
    assert_eq!(flow.on_ucpe(at(500), key(1), &ucpe(160, 1, 1)), new());
    flow.agree_refund(at(500), key(1), Grant::MOST);
    let own = flow.own_payment(at(500)).unwrap();
    say(&mut flow, 1_000, Some(own.sequence), 1);
    flow
}

fn say(flow: &mut Flow, ms: u64, established: Option<u32>, epoch: u32) {
    let said = Announcement { established, ..dcpe(100, 0, UNIX + epoch) };
    let _ = flow.on_dcpe(at(ms), &said).unwrap();
    turned(flow, ms);
}

fn turned(flow: &mut Flow, ms: u64) {
    let _ = flow.take_turns(Millis(ms));
    let _ = flow.take_postings();
}

fn outages(flow: &mut Flow) -> Vec<(u64, u64, Broken, bool)> {
    let of = |it: Outage| (it.from.0, it.at.0, it.why, it.over);
    flow.take_outages().into_iter().map(of).collect()
}

fn returned(flow: &mut Flow) -> Vec<(Entry, i128, u64)> {
    let of = |it: Contra| (it.entry, it.amount.0, it.time.0);
    flow.take_refunds().into_iter().map(of).collect()
}

#[test]
fn r007_an_outage_is_the_time_in_which_nothing_stood_to_the_millisecond() {
    let mut flow = standing(Grant::None, Grant::None);
    let sequence = flow.last_sequence();
    assert_eq!(
        flow.quality(key(1)),
        Quality { in_place: Some(Millis(1_000)), ..Quality::default() }
    );
    say(&mut flow, 7_000, None, 2);
    assert_eq!(outages(&mut flow), [(7_000, 7_000, Broken::Withdrawn, false)]);
    let out = flow.quality(key(1));
    assert_eq!((out.in_place, out.outage_time(Millis(9_000))), (None, Span(2_000)));
    say(&mut flow, 9_500, sequence, 3);
    assert_eq!(outages(&mut flow), [(7_000, 9_500, Broken::Withdrawn, true)]);
    let back = flow.quality(key(1));
    assert_eq!((back.in_place, back.lost, back.outages), (Some(Millis(9_500)), Span(2_500), 1));
    // A hop above gives it up; that the same is announced again says that it stands after all.
    assert!(flow.on_reservation_lost(at(10_000)));
    assert!(!flow.on_repeated(at(10_100)), "to be said in whole");
    say(&mut flow, 10_200, sequence, 3);
    let refused = Broken::Refused;
    assert_eq!(
        outages(&mut flow),
        [(10_000, 10_000, refused, false), (10_000, 10_200, refused, true)]
    );
    assert_eq!(flow.quality(key(1)).lost, Span(2_700));
    flow.on_upstream_changed(at(11_000));
    assert_eq!(outages(&mut flow), [(11_000, 11_000, Broken::Moved, false)]);
    flow.remove_branch(at(12_000), key(1), Cause::Tear);
    assert_eq!(outages(&mut flow), [(11_000, 12_000, Broken::Moved, true)]);
    assert_eq!(returned(&mut flow), []);
}

#[test]
fn r007_silence_is_an_outage_since_the_last_word_and_growth_or_leaving_is_none() {
    let mut flow = standing(Grant::None, Grant::None);
    let sequence = flow.last_sequence();
    let grown = Payment { quantity: 2_000, ..ucpe(160, 2, 1) };
    assert_eq!(flow.on_ucpe(at(2_000), key(1), &grown), again());
    let own = flow.own_payment(at(2_000)).unwrap();
    assert_ne!(Some(own.sequence), sequence);
    say(&mut flow, 3_000, None, 2);
    assert_eq!(outages(&mut flow), [], "the smaller one stands");
    say(&mut flow, 4_000, Some(own.sequence), 3);
    assert_eq!(
        flow.on_ucpe(at(60_000), key(1), &Payment { sequence: 3, ..grown.clone() }),
        again()
    );
    assert_eq!(outages(&mut flow), []);
    flow.tick(at(4_000 + 2 * H));
    assert_eq!(outages(&mut flow), [(4_000, 4_000 + 2 * H, Broken::Silent, false)]);

    let mut flow = standing(Grant::None, Grant::None);
    flow.remove_branch(at(2_000), key(1), Cause::Tear);
    assert_eq!(outages(&mut flow), []);
}

#[test]
fn r009_silence_is_given_back_since_the_last_word() {
    let mut flow = standing(Grant::ProRata, Grant::ProRata);
    assert_eq!(flow.refund_offer(1), Grant::ProRata);
    assert_eq!(flow.refund_accepted(), Grant::ProRata);
    let sequence = flow.last_sequence();
    say(&mut flow, 20_000, sequence, 1);
    // The rate changes in the time that is given back: both segments are.
    flow.set_group(at(30_000), 1, priced(50)).unwrap();
    turned(&mut flow, 30_000);
    assert_eq!(flow.on_ucpe(at(40_000), key(1), &ucpe(160, 2, 1)), again());
    flow.own_payment(at(40_000)).unwrap();
    assert_eq!(flow.on_ucpe(at(80_000), key(1), &ucpe(160, 3, 1)), again());
    let noticed = 20_000 + 2 * H;
    flow.tick(at(noticed));
    let billed = 160 * 10_000 + 150 * (noticed as i128 - 30_000);
    let entry = Entry::ReceiverPaymentFrom(key(1));
    assert_eq!(returned(&mut flow), [(entry, billed, 2 * H)]);
    // All that was billed before stays, and is not given back by another break.
    assert_eq!(
        flow.received_from(key(1), Millis(noticed)),
        Some(Amount(160 * 29_000 + billed - 1_600_000))
    );
    let told = flow.refunds_told(Millis(noticed + 500), 1);
    assert_eq!(told[0].1.amount, Amount(billed));
    assert_eq!(told[0].1.ago, Some(Span(2 * H + 500)));
    flow.break_branch(at(noticed + 1_000), key(1), Broken::Preempted);
    assert_eq!(returned(&mut flow), []);
}

#[test]
fn r009_a_reservation_that_breaks_early_is_free() {
    let short = Grant::FreeIfShort(Span(10_000));
    for (ms, free) in [(10_999, true), (11_000, false)] {
        let mut flow = standing(short, Grant::MOST);
        flow.break_branch(at(ms), key(1), Broken::Preempted);
        turned(&mut flow, ms);
        let all = [(Entry::ReceiverPaymentFrom(key(1)), 160 * (ms as i128 - 1_000), ms - 1_000)];
        assert_eq!(returned(&mut flow), if free { all.to_vec() } else { vec![] });
        flow.remove_branch(at(ms), key(1), Cause::Tear);
        assert_eq!(outages(&mut flow), [(ms, ms, Broken::Preempted, false)]);
        // Its payer hears of it for a while after it is gone.
        assert_eq!(flow.refunds_told(Millis(ms + 300_000), 1).len(), 1);
        assert!(flow.refunds_told(Millis(ms + 320_000), 1).is_empty());
    }
}

#[test]
fn r009_what_comes_from_above_is_passed_on_once() {
    let mut flow = standing(Grant::ProRata, Grant::ProRata);
    let own = flow.preview_payment().unwrap();
    say(&mut flow, 5_000, None, 2);
    assert_eq!(returned(&mut flow), [], "the previous hop says how much");
    let said = Refunded {
        instance: own.instance,
        since: 9,
        time: Span(2_000),
        ago: Some(Span(2_000)),
        amount: Amount(200_000),
    };
    let below = (Entry::ReceiverPaymentFrom(key(1)), 160 * 2_000, 2_000);
    flow.hear_refunds(at(5_000), Grant::ProRata, &[said]);
    assert_eq!(returned(&mut flow), [(FROM, 200_000, 2_000), below]);
    for again in [said, Refunded { ago: Some(Span(9_000)), ..said }, Refunded { ago: None, ..said }]
    {
        flow.hear_refunds(at(12_000), Grant::ProRata, &[again]);
        assert_eq!(returned(&mut flow), []);
    }
    // Of another reservation, or older: nothing.
    flow.hear_refunds(at(12_000), Grant::ProRata, &[Refunded { instance: 77, ..said }]);
    flow.hear_refunds(at(12_000), Grant::ProRata, &[Refunded { amount: Amount(5), ..said }]);
    assert_eq!(returned(&mut flow), []);
    // A payee that lost its count begins anew; no more comes back than was paid.
    let much = Refunded { since: 10, amount: Amount(i128::MAX), ..said };
    flow.hear_refunds(at(12_000), Grant::ProRata, &[much]);
    assert_eq!(returned(&mut flow)[0], (FROM, 100 * 4_000 - 200_000, 2_000));
}

#[test]
fn r009_the_weakest_on_the_way_counts() {
    let short = |ms| Grant::FreeIfShort(Span(ms));
    for (own, above, told) in [
        (short(9), Grant::None, Grant::None),
        (short(9), Grant::ProRata, Grant::ProRata),
        (short(9), short(5), short(5)),
        (Grant::ProRata, Grant::MOST, Grant::ProRata),
        (Grant::None, Grant::MOST, Grant::None),
    ] {
        let flow = standing(own, above);
        assert_eq!((flow.refund_offer(1), flow.refund_accepted()), (told, told));
        assert_eq!(flow.refund_agreed(key(1)), told);
    }
}
