//! Disputes and refunds before a period is closed, after that, and after its bill was issued.

use super::spans::{new_file, put_away, query, run};
use super::*;

const RATE: u64 = 10_000_000_000;

/// Spends so many cents; the record that opened the posting.
fn spend(play: &mut Play, cents: u64) -> u64 {
    let record = run(play, 0, cents * RATE, Cause::Terms);
    play.at_ms += 1_000;
    run(play, 0, 0, Cause::Terms);
    record
}

fn dispute(play: &mut Play, of: u64, open: bool) {
    let (by, reason) = ("r".to_owned(), "the line was down".to_owned());
    let wall_ms = play.stamp().wall_ms;
    play.write(&Body::Dispute(Dispute { of, open, by, reason, wall_ms }));
}

fn give_back(play: &mut Play, of: u64, cents: i128) {
    let (by, reason, wall_ms) = ("r".to_owned(), "r".to_owned(), play.stamp().wall_ms);
    let amount = (cents * CENT).unsigned_abs();
    play.write(&Body::Contra(Contra { of, amount, by, reason, wall_ms }));
}

/// The bills and credit notes that were issued: net amounts in cents, and what of each is disputed.
fn issued_so_far(play: &Play) -> Vec<(bool, i128, i128)> {
    let (book, _) = bills(play.dir.path()).unwrap();
    let disputed = book.disputed_bills();
    let row = |issued: &Issued| {
        let disputed = disputed.get(&issued.record).copied().unwrap_or_default() / CENT;
        (issued.bill.series.credit, issued.bill.net, disputed)
    };
    book.issued().iter().map(row).collect()
}

fn drawn(play: &Play, period: u64) -> Statement {
    let holder = Holder::Customer(customer(0));
    gather(play.dir.path(), &Query { period: Some(period), ..query(holder) }).unwrap()
}

/// What is disputed on a statement, in cents: on none yet, and on an earlier one.
fn listed(statement: &Statement) -> Vec<(i128, i128)> {
    statement.disputed.iter().map(|line| (line.amount / CENT, line.earlier / CENT)).collect()
}

#[test]
fn a_dispute_between_the_end_of_a_period_and_its_bill_keeps_the_posting_out_of_the_bill() {
    let mut play = Play::new(1);
    let (first, _) = (spend(&mut play, 100), spend(&mut play, 10));
    play.close();
    give_back(&mut play, first, 30);
    dispute(&mut play, first, true);
    give_back(&mut play, first, 20);
    play.issue();
    assert_eq!(issued_so_far(&play), [(false, 10, 0)]);
    let (book, _) = bills(play.dir.path()).unwrap();
    let number = book.issued()[0].bill.to_string();
    let (bill, due) = super::super::issued(play.dir.path(), &number, 1).unwrap();
    assert_eq!(listed(&bill), [(50, 0)], "and the bill says so");
    assert!(text(&bill, &due).contains("disputed, not in the sum: posting"));
    // Nothing else comes, and it is not forgotten.
    play.end_period();
    assert_eq!(issued_so_far(&play).len(), 1);
    dispute(&mut play, first, false);
    play.end_period();
    assert_eq!(issued_so_far(&play), [(false, 10, 0), (false, 50, 0)]);
}

#[test]
fn a_dispute_of_what_was_billed_changes_no_bill_and_ends_in_a_credit_note() {
    let mut play = Play::new(1);
    let first = spend(&mut play, 100);
    play.end_period();
    let before = drawn(&play, 1);
    dispute(&mut play, first, true);
    spend(&mut play, 10);
    play.end_period();
    // The bill stands, and whoever asks for the money sees that it is disputed.
    assert_eq!(issued_so_far(&play), [(false, 100, 100), (false, 10, 0)]);
    assert_eq!(drawn(&play, 1).disputed, before.disputed);
    let second = drawn(&play, 2);
    assert_eq!((total(&second, 0, &[]).net, listed(&second)), (10, vec![(0, 100)]));
    for drawn in [text(&second, &total(&second, 0, &[])), html(&second, &total(&second, 0, &[]))] {
        assert!(drawn.contains("on an earlier one"), "{drawn}");
    }
    give_back(&mut play, first, 40);
    dispute(&mut play, first, false);
    play.issue();
    assert_eq!(issued_so_far(&play), [(false, 100, 0), (false, 10, 0), (true, -40, 0)]);
    play.end_period();
    let third = drawn(&play, 3);
    assert_eq!((total(&third, 0, &[]).net, listed(&third)), (-40, vec![]));
    assert_eq!(total(&drawn(&play, 1), 0, &[]).net, 100);
}

#[test]
fn what_is_given_back_before_the_bill_makes_it_smaller_and_after_it_is_a_credit_note() {
    let mut play = Play::new(1);
    let first = spend(&mut play, 100);
    give_back(&mut play, first, 10);
    play.close();
    give_back(&mut play, first, 20);
    play.issue();
    assert_eq!(issued_so_far(&play), [(false, 70, 0)]);
    give_back(&mut play, first, 70);
    play.issue();
    assert_eq!(issued_so_far(&play), [(false, 70, 0), (true, -70, 0)]);
}

#[test]
fn what_is_given_back_of_bills_that_were_put_away_is_on_the_next_bill() {
    let mut play = Play::new(1);
    let first = run(&mut play, 0, 10 * RATE, Cause::Terms);
    play.at_ms += 1_000;
    play.end_period();
    new_file(&mut play);
    play.at_ms += 2_000;
    run(&mut play, 0, 0, Cause::Ended);
    let (at_ms, flow, payer) = (play.at_ms, 1, neighbour(0));
    play.write(&Body::Closed(Closed { at_ms, flow, payer, orderly: true }));
    play.prove();
    put_away(&mut play, 1);
    // 10 cents are billed, and 20 are not.
    give_back(&mut play, first, 25);
    spend(&mut play, 7);
    play.close();
    dispute(&mut play, first, true);
    play.issue();
    // The first bill is written behind its period, and stays.
    assert_eq!(issued_so_far(&play), [(false, 10, 0), (false, 7, 0)]);
    let (book, _) = bills(play.dir.path()).unwrap();
    let refused = issued(play.dir.path(), &book.issued()[0].bill.to_string(), 1).unwrap_err();
    assert!(matches!(refused, NotIssued::Untold(Refused::PutAway)), "{refused}");
    dispute(&mut play, first, false);
    play.end_period();
    assert_eq!(issued_so_far(&play), [(false, 10, 0), (false, 7, 0), (false, -5, 0)]);
    let both = total(&drawn(&play, 2), 0, &[]).net;
    assert_eq!(both, 2, "as the statement says");
}
