//! Contra entries, disputes, and what is final when.

use super::*;

use Cause::{Ended, Terms};
use Payment::{ReceiverIn, ReceiverOut, SenderIn};

fn contra(of: u64, amount: u128) -> Body {
    let (by, reason) = ("ops".to_owned(), "outage".to_owned());
    Body::Contra(Contra { of, amount, by, reason, wall_ms: 0 })
}

fn dispute(of: u64, open: bool) -> Body {
    let (by, reason) = ("ops".to_owned(), "letter 7".to_owned());
    Body::Dispute(Dispute { of, open, by, reason, wall_ms: 0 })
}

/// A posting of 1,000 that record 4 opened, closed at 30 ms of boot 1 in this manner.
fn books(orderly: bool) -> Vec<Body> {
    let rp = meter(1, ReceiverIn, 2);
    vec![
        started(1, 0),
        flow(1),
        consent(10, 1, 2, 100, 7),
        runs(10, rp, 50, Terms),
        runs(30, rp, 0, Ended),
        closed(30, 1, 2, orderly),
    ]
}

fn with(orderly: bool, more: &[Body]) -> Result<(Replay, Vec<Posting>), Fault> {
    let mut records = books(orderly);
    records.extend_from_slice(more);
    play(&records)
}

fn at(boot: u8, at_ms: u64, wall_ms: u64) -> Moment {
    Moment { boot: [boot; 16], stamp: Stamp { at_ms, wall_ms } }
}

#[test]
fn r003_contra_entries_give_back_at_most_what_was_posted() {
    let (replay, _) = with(true, &[contra(4, 300), contra(4, 700)]).unwrap();
    assert_eq!((own(&replay, ReceiverIn), replay.returned(4)), (0, 1_000));
    let what = |more: &[Body]| with(true, more).unwrap_err().what;
    let too_large = Wrong::ContraTooLarge { of: 4, amount: 701, left: 700 };
    assert_eq!(what(&[contra(4, 300), contra(4, 701)]), too_large);
    assert_eq!(what(&[contra(4, 0)]), Wrong::EmptyContra { of: 4 });
    assert_eq!(what(&[contra(5, 1)]), Wrong::NoSuchPosting { of: 5 });
    let mut open = books(true);
    open.truncate(4);
    open.push(contra(4, 1));
    assert_eq!(play(&open).unwrap_err().what, Wrong::NoSuchPosting { of: 4 });
}

/// 1,000 that record 4 opened and 600 that record 5 did, of one meter.
fn refunded(more: &[Body]) -> Result<(Replay, Vec<Posting>), Fault> {
    let rp = meter(1, ReceiverIn, 2);
    let mut records = books(true);
    records.truncate(4);
    records.extend([runs(30, rp, 20, Terms), runs(60, rp, 0, Terms)]);
    records.extend_from_slice(more);
    play(&records)
}

fn refund(meter: Meter, amount: u128) -> Body {
    Body::Refund(record::Refund {
        at_ms: 60,
        meter,
        ms: 1,
        amount,
        why: record::Interruption::Silent,
    })
}

#[test]
fn r009_a_grant_gives_the_newest_postings_of_its_meter_back_first() {
    let rp = meter(1, ReceiverIn, 2);
    let (replay, _) = refunded(&[refund(rp, 500), refund(rp, 300)]).unwrap();
    assert_eq!((replay.returned(5), replay.returned(4)), (600, 200));
    assert_eq!(own(&replay, ReceiverIn), 800);
    let what = |more: &[Body]| refunded(more).unwrap_err().what;
    let too_large = |amount, left| Wrong::RefundTooLarge { amount, left };
    assert_eq!(what(&[refund(rp, 1_601)]), too_large(1_601, 1_600));
    assert_eq!(what(&[refund(rp, 1_000), refund(rp, 601)]), too_large(601, 600));
    assert_eq!(what(&[refund(rp, 0)]), too_large(0, 0));
    // Neither of another meter, nor of one that ran before this start.
    assert_eq!(what(&[refund(meter(1, ReceiverIn, 3), 1)]), too_large(1, 0));
    assert_eq!(what(&[started(1, 60), flow(1), refund(rp, 1)]), too_large(1, 0));
}

#[test]
fn r009_what_was_given_back_by_hand_no_grant_gives_back_again() {
    let rp = meter(1, ReceiverIn, 2);
    let by_hand = [contra(5, 600), contra(4, 100)];
    let (replay, _) = refunded(&[&by_hand[..], &[refund(rp, 1_600)]].concat()).unwrap();
    assert_eq!((replay.returned(5), replay.returned(4)), (600, 1_000));
    assert_eq!(own(&replay, ReceiverIn), 0);
    // And that counts once only.
    let twice = [&by_hand[..], &[refund(rp, 600), refund(rp, 1_001)]].concat();
    let too_large = Wrong::RefundTooLarge { amount: 1_001, left: 1_000 };
    assert_eq!(refunded(&twice).unwrap_err().what, too_large);
}

#[test]
fn disputes_open_and_end_once() {
    let what = |more: &[Body]| with(true, more).unwrap_err().what;
    assert_eq!(what(&[dispute(3, true)]), Wrong::NoSuchPosting { of: 3 });
    assert_eq!(what(&[dispute(4, true), dispute(4, true)]), Wrong::DisputedAlready { of: 4 });
    assert_eq!(what(&[dispute(4, false)]), Wrong::NotDisputed { of: 4 });
    let now = at(1, 10_000, 0);
    let (replay, postings) = with(true, &[dispute(4, true)]).unwrap();
    assert_eq!(replay.state(&postings[0], &now), State::Disputed);
    let (replay, postings) = with(true, &[dispute(4, true), dispute(4, false)]).unwrap();
    assert_eq!(replay.state(&postings[0], &now), State::Final);
}

#[test]
fn r104_a_posting_is_provisional_until_an_orderly_end_and_the_hold() {
    let (replay, postings) = with(true, &[]).unwrap();
    let state = |now| replay.state(&postings[0], &now);
    let wall = stamp(30).wall_ms;
    assert_eq!(state(at(1, 529, wall + 9_000)), State::Provisional, "a wall clock may jump");
    assert_eq!(state(at(1, 530, 0)), State::Final);
    assert_eq!(state(at(2, 9_000, wall + 499)), State::Provisional);
    assert_eq!(state(at(2, 0, wall + 500)), State::Final);
    let mut lasts = books(true);
    lasts.truncate(5);
    let (replay, postings) = play(&lasts).unwrap();
    assert_eq!(replay.state(&postings[0], &at(1, 99_999, wall * 2)), State::Provisional);
}

/// A sender payment needs no offer of ours; then nothing says that it ended but that it rests.
#[test]
fn a_payment_without_an_offer_ends_when_it_rests() {
    let sp = meter(1, SenderIn, 1);
    let mut records = vec![started(1, 0), flow(1), runs(10, sp, 50, Terms), runs(30, sp, 0, Terms)];
    let state = |records: &[Body], at_ms| {
        let (replay, postings) = play(records).unwrap();
        replay.state(&postings[0], &at(1, at_ms, 0))
    };
    assert_eq!(state(&records, 9_000), State::Provisional);
    records.push(Body::Alive(stamp(40)));
    assert_eq!((state(&records, 529), state(&records, 530)), (State::Provisional, State::Final));
}

/// An offer ends with what rests on it, also if nothing of ours ran there any more.
#[test]
fn an_offer_that_is_over_ends_what_the_sender_paid() {
    let (sp, rp) = (meter(1, SenderIn, 1), meter(1, ReceiverOut, 1));
    let records = [
        started(1, 0),
        flow(1),
        offer(10, 1, 1, 0),
        runs(10, sp, 50, Terms),
        runs(30, sp, 0, Terms),
        runs(35, rp, 0, Ended),
    ];
    let (replay, postings) = play(&records).unwrap();
    let state = |at_ms| replay.state(&postings[0], &at(1, at_ms, 0));
    assert_eq!((state(534), state(535)), (State::Provisional, State::Final));
}

#[test]
fn what_broke_off_is_final_once_a_period_is_closed_after_the_hold() {
    let late = at(1, 10_000, 0);
    let period = |number, at_ms| Body::Period(Period { number, stamp: stamp(at_ms) });
    let (replay, postings) = with(false, &[period(1, 529)]).unwrap();
    assert_eq!(replay.state(&postings[0], &late), State::Provisional);
    let (replay, postings) = with(false, &[period(1, 529), period(2, 530)]).unwrap();
    assert_eq!(replay.state(&postings[0], &late), State::Final);
}

#[test]
fn sums_by_state_are_the_balances() {
    let sp = meter(1, SenderIn, 1);
    let more = [runs(30, sp, 3, Terms), runs(40, sp, 0, Terms), contra(4, 100), dispute(7, true)];
    let (replay, _) = with(true, &more).unwrap();
    let sums = replay.by_state(&at(1, 600, 0));
    for ((account, balance), sum) in replay.accounts().zip(&sums) {
        assert_eq!(sum.provisional + sum.settled + sum.disputed, balance, "{account:?}");
    }
    assert_eq!(sums.iter().map(|sum| sum.settled).max(), Some(900));
    assert_eq!(sums.iter().map(|sum| sum.disputed).min(), Some(-30));
}

#[test]
fn instants_are_dated_by_the_nearest_earlier_stamp() {
    let rp = meter(1, ReceiverIn, 2);
    let jumped = Stamp { at_ms: 20, wall_ms: 5_000_000 };
    let mut records = books(true);
    records.truncate(4);
    records.extend([Body::Alive(jumped), runs(26, rp, 60, Terms), runs(31, rp, 0, Ended)]);
    let (_, postings) = play(&records).unwrap();
    assert_eq!(postings[0].from, stamp(10), "before the jump");
    assert_eq!(postings[0].to, Stamp { at_ms: 26, wall_ms: 5_000_006 });
    assert_eq!(postings[0].amount, 16 * 50, "no amount follows from a wall clock");
}
