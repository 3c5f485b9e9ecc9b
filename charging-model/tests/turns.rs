//! Turns of meters, one by one: what a journal writes.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

#[path = "common/one.rs"]
mod one;

use charging_model::*;
use one::*;

const RP_IN: Entry = Entry::ReceiverPaymentFrom(BranchKey {
    group: 1,
    hop: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 2)),
});
const RP_OUT: Entry = Entry::ReceiverPaymentToUpstream;

fn runs(entry: Entry, at: u64, rate: u64, why: Turned) -> Turn {
    Turn::Runs { entry, at: Millis(at), rate: Rate(rate), why }
}

/// A flow that one branch pays 160 and that pays 100 upstream, from 0 on.
fn paid() -> Flow {
    let mut flow = flow(0);
    assert_eq!(flow.on_ucpe(at(0), key(1), &ucpe(160, 1, 1)), new());
    let _ = flow.own_payment(at(0));
    let expected = [runs(RP_IN, 0, 160, Turned::Terms), runs(RP_OUT, 0, 100, Turned::Terms)];
    assert_eq!(flow.take_turns(Millis(0)), expected);
    assert_eq!(flow.take_turns(Millis(0)), [], "told once");
    flow
}

#[test]
fn r091_an_approval_that_lapses_is_told_at_its_end_and_the_gap_when_it_is_filled() {
    by_all(|| {
        let mut flow = paid();
        assert_eq!(flow.next_deadline(), Some(Millis(H)), "somebody must look when it lapses");
        keep_path(&mut flow, &dcpe(100, 0, UNIX), 30_000, 60_000);
        let lapsed = |entry| runs(entry, H, 0, Turned::Lapsed);
        // Looked at late, it is told as of when it was.
        let _ = flow.tick(at(H + 5));
        assert_eq!(flow.take_turns(Millis(H + 5)), [lapsed(RP_IN), lapsed(RP_OUT)]);
        let _ = flow.take_postings();
        assert_eq!(flow.on_ucpe(at(60_000), key(1), &ucpe(160, 1, 1)), again());
        let gap = Turn::Gap { entry: RP_IN, from: Millis(H), to: Millis(60_000), rate: Rate(160) };
        assert_eq!(flow.take_turns(Millis(60_000)), [gap, runs(RP_IN, 60_000, 160, Turned::Terms)]);
    });
}

#[test]
fn nobody_looked_when_it_lapsed_and_it_is_told_all_the_same() {
    by_all(|| {
        let mut flow = paid();
        keep_path(&mut flow, &dcpe(100, 0, UNIX), 30_000, 60_000);
        assert_eq!(flow.on_ucpe(at(60_000), key(1), &ucpe(160, 1, 1)), again());
        let turns = flow.take_turns(Millis(60_000));
        let gap = Turn::Gap { entry: RP_IN, from: Millis(H), to: Millis(60_000), rate: Rate(160) };
        let back = runs(RP_IN, 60_000, 160, Turned::Terms);
        let lapsed = |entry| runs(entry, H, 0, Turned::Lapsed);
        assert_eq!(turns, [lapsed(RP_IN), gap, back, lapsed(RP_OUT)]);
    });
}

#[test]
fn a_branch_that_goes_takes_its_meters_with_it() {
    by_all(|| {
        let mut flow = paid();
        let _ = flow.remove_branch(at(9), key(1), Cause::Tear);
        let ended = runs(RP_IN, 9, 0, Turned::Ended);
        assert_eq!(flow.take_turns(Millis(9)), [ended, runs(RP_OUT, 9, 0, Turned::Ended)]);
        assert_eq!(flow.told().count(), 0);
    });
}

#[test]
fn what_was_approved_upstream_ends_also_when_nothing_ran_any_more() {
    by_all(|| {
        let mut flow = paid();
        let _ = flow.tick(at(H + 5));
        let lapsed = |entry| runs(entry, H, 0, Turned::Lapsed);
        assert_eq!(flow.take_turns(Millis(H + 5)), [lapsed(RP_IN), lapsed(RP_OUT)]);
        let _ = flow.remove_branch(at(H + 9), key(1), Cause::Tear);
        assert_eq!(flow.take_turns(Millis(H + 9)), [runs(RP_OUT, H + 9, 0, Turned::Ended)]);
        assert_eq!(flow.take_turns(Millis(H + 9)), [], "told once");
    });
}

#[test]
fn another_account_takes_over_at_the_same_rate() {
    by_all(|| {
        let mut flow = paid();
        let account = Account::new(1, *b"another");
        let payment = Payment { account, ..ucpe(160, 2, 1) };
        assert_eq!(flow.on_ucpe(at(7), key(1), &payment), again());
        assert_eq!(flow.take_turns(Millis(7)), [runs(RP_IN, 7, 160, Turned::Terms)]);
    });
}

#[test]
fn the_shadow_of_what_was_paid_stays_when_the_previous_hop_refuses_what_stood() {
    by_all(|| {
        let mut flow = paid();
        flow.on_own_refused(at(1_000), Rate(120));
        assert_eq!(flow.take_turns(Millis(1_000)), [runs(RP_OUT, 1_000, 0, Turned::Ended)]);
        let paid: Vec<_> = flow.take_postings();
        let shadow = paid.iter().find(|posting| posting.entry == RP_OUT).unwrap();
        assert_eq!(shadow.segment.amount, Amount(100 * 1_000));
    });
}

#[test]
fn r091_nobody_pays_for_time_in_which_the_node_slept() {
    by_all(|| {
        let mut flow = paid();
        flow.slept(Millis(1_000), Millis(31_000));
        let (sleep, wake) = (|entry| runs(entry, 1_000, 0, Turned::Terms), 31_000);
        let back = |entry, rate| runs(entry, wake, rate, Turned::Terms);
        let expected = [sleep(RP_IN), sleep(RP_OUT), back(RP_IN, 160), back(RP_OUT, 100)];
        assert_eq!(flow.take_turns(Millis(wake)), expected);
        let _ = flow.take_postings();
        // Approvals went on meanwhile, and their end is where it was.
        let _ = flow.remove_branch(at(60_000), key(1), Cause::Tear);
        let rp = flow.take_postings().into_iter().find(|posting| posting.entry == RP_IN).unwrap();
        assert_eq!((rp.segment.from, rp.segment.to), (Millis(wake), Millis(H)));
    });
}

#[test]
fn a_gap_is_filled_from_when_the_node_woke_up() {
    by_all(|| {
        let mut flow = paid();
        flow.slept(Millis(1_000), Millis(55_000));
        let _ = (flow.take_turns(Millis(55_000)), flow.take_postings());
        keep_path(&mut flow, &dcpe(100, 0, UNIX), 55_000, 55_000);
        assert_eq!(flow.on_ucpe(at(60_000), key(1), &ucpe(160, 1, 1)), again());
        let gap =
            Turn::Gap { entry: RP_IN, from: Millis(55_000), to: Millis(60_000), rate: Rate(160) };
        assert!(flow.take_turns(Millis(60_000)).contains(&gap));
    });
}
