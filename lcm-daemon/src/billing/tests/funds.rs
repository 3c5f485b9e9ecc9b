//! Accounts on statements: what was paid in is not asked for again, and balances are those of the books.

use super::spans::{order, query, run};
use super::*;
use crate::ledger::record::Action;
use crate::purse::{Backend, Terms};

fn open(play: &mut Play, holder: &Holder, backend: Backend) {
    let terms = Terms { backend, ..Terms::prepaid(978) };
    order(play, Action::Open { holder: holder.clone(), terms });
}

fn credit(play: &mut Play, holder: &Holder, amount: i128) {
    let (holder, reason) = (holder.clone(), "transfer".to_owned());
    order(play, Action::Credit { holder, amount: amount.unsigned_abs(), reason });
}

fn of_period(play: &Play, holder: &Holder, period: u64) -> (Statement, Total) {
    let asked = Query { period: Some(period), ..query(holder.clone()) };
    let statement = gather(play.dir.path(), &asked).unwrap();
    let total = total(&statement, 0, &[Tax { name: "VAT".to_owned(), ppm: 190_000 }]);
    (statement, total)
}

/// A rate that comes to so many cents in a second.
const CENT_RATE: u64 = 10_000_000_000;

fn spend(play: &mut Play, cents: u64) {
    run(play, 0, cents * CENT_RATE, Cause::Terms);
    play.at_ms += 1_000;
    run(play, 0, 0, Cause::Terms);
}

#[test]
fn r058_money_in_an_account_is_not_asked_for_again() {
    for backend in [Backend::Account { limit: 0 }, Backend::Tokens { value: CENT.unsigned_abs() }] {
        let mut play = Play::new(1);
        let holder = Holder::Customer(customer(0));
        open(&mut play, &holder, backend);
        credit(&mut play, &holder, 5_000 * CENT);
        spend(&mut play, 1_000);
        play.end_period();
        let (statement, due) = of_period(&play, &holder, 1);
        // An account holds net amounts: the tax is left to pay.
        assert_eq!((due.net, due.gross), (1_000, 1_190));
        assert_eq!((due.from_account, due.to_pay), (1_000, 190));
        let funds = statement.funds.unwrap();
        assert_eq!((funds.before, funds.after), (0, 4_000 * CENT));
        assert_eq!((funds.paid_in[0].amount, funds.charged), (5_000 * CENT, -1_000 * CENT));
        spend(&mut play, 500);
        play.end_period();
        let (statement, due) = of_period(&play, &holder, 2);
        assert_eq!((due.net, due.to_pay), (500, 95));
        let funds = statement.funds.as_ref().unwrap();
        assert_eq!((funds.before, funds.after), (4_000 * CENT, 3_500 * CENT));
        assert!(funds.paid_in.is_empty(), "in one period only");
        let (book, _) = bills(play.dir.path()).unwrap();
        let number = book.issued()[1].bill.to_string();
        let (bill, billed) = issued(play.dir.path(), &number, 1).unwrap();
        assert_eq!((&bill.funds, &billed), (&statement.funds, &due), "the bill says so, too");
        for drawn in [text(&bill, &billed), csv(&bill, &billed), html(&bill, &billed)] {
            let lower = drawn.to_lowercase();
            assert!(lower.contains("from the account") || lower.contains("from_account,"));
            assert!(drawn.contains("3500000000000000") || drawn.contains("35.00"), "{drawn}");
        }
    }
}

#[test]
fn what_a_postpaid_account_owes_is_left_to_pay_and_what_is_given_back_is_not() {
    let mut play = Play::new(1);
    let holder = Holder::Customer(customer(0));
    // Charged to nobody's account.
    spend(&mut play, 100);
    open(&mut play, &holder, Backend::Account { limit: 100_000 * CENT.unsigned_abs() });
    credit(&mut play, &holder, 400 * CENT);
    spend(&mut play, 1_000);
    play.end_period();
    let (statement, due) = of_period(&play, &holder, 1);
    assert_eq!((statement.charged, due.net), (1_000 * CENT, 1_100));
    assert_eq!((due.from_account, due.to_pay), (400, 700 + 209));
    // What is not paid yet is on the bill that asked for it.
    spend(&mut play, 50);
    play.end_period();
    let (statement, due) = of_period(&play, &holder, 2);
    assert_eq!((due.net, due.from_account), (50, 0));
    assert_eq!(statement.funds.unwrap().after, -650 * CENT);
    credit(&mut play, &holder, 650 * CENT);
    let of = play.replay.last();
    let of = (1..of).rev().find(|number| play.replay.has_posting(*number)).unwrap();
    let (by, reason, wall_ms) = ("r".to_owned(), "r".to_owned(), play.stamp().wall_ms);
    let amount = 50 * CENT.unsigned_abs();
    play.write(&Body::Contra(Contra { of, amount, by, reason, wall_ms }));
    play.end_period();
    let (statement, due) = of_period(&play, &holder, 3);
    assert_eq!((due.net, due.from_account, due.gross), (-50, -50, -60));
    let funds = statement.funds.unwrap();
    assert_eq!((funds.before, funds.returned, funds.after), (-650 * CENT, 50 * CENT, 50 * CENT));
    let (book, _) = bills(play.dir.path()).unwrap();
    let note = book.issued().iter().find(|issued| issued.bill.series.credit).unwrap();
    let (note, shown) = issued(play.dir.path(), &note.bill.to_string(), 1).unwrap();
    assert!(note.funds.is_none());
    assert_eq!((shown.net, shown.from_account), (-50, -50), "the account has it already");
}

/// What the books say an account has left, by what is proved.
fn left(play: &Play, holder: &Holder) -> Option<i128> {
    let (_, standing) = play.replay.standings().find(|(known, _)| *known == holder)?;
    let pays = |open: &crate::ledger::replay::Open| {
        let payer = play.replay.account(open.debit).unwrap();
        play.replay.payer(payer, open.number) == Some(holder)
    };
    let runs: u128 = play.replay.open().filter(pays).map(|open| open.amount).sum();
    let kept = &standing.kept;
    Some(kept.paid_in.cast_signed() - kept.charged.cast_signed() - runs.cast_signed())
}

#[test]
fn balances_are_those_of_the_books_however_spans_are_cut() {
    let mut compared = 0;
    for seed in 200..212 {
        let mut play = Play::new(seed);
        let customers = [0, 1, 2].map(|who| Holder::Customer(customer(who)));
        let mut ends: Vec<[Option<i128>; 3]> = Vec::new();
        for _ in 0..play.rng.usize(20..60) {
            let holder = &customers[play.rng.usize(0..3)];
            match play.rng.u8(0..12) {
                0 if left(&play, holder).is_none() => {
                    open(&mut play, holder, Backend::Account { limit: 0 });
                }
                1 if left(&play, holder).is_some() => {
                    let amount = play.rng.i128(1..100_000 * CENT);
                    credit(&mut play, holder, amount);
                }
                2 => play.back_ms += play.rng.u64(0..60_000),
                _ => play.step(),
            }
            if ends.len() < play.period as usize {
                ends.push(customers.each_ref().map(|holder| left(&play, holder)));
            }
        }
        play.end();
        ends.push(customers.each_ref().map(|holder| left(&play, holder)));
        for (who, holder) in customers.iter().enumerate() {
            let mut before = None;
            for (place, end) in ends.iter().enumerate() {
                let asked = Query { period: Some(place as u64 + 1), ..query(holder.clone()) };
                let Ok(statement) = gather(play.dir.path(), &asked) else { continue };
                let after = statement.funds.as_ref().map(|funds| funds.after);
                assert_eq!(after, end[who], "seed {seed}, {holder}, period {}", place + 1);
                if let (Some(funds), Some(before)) = (&statement.funds, before) {
                    assert_eq!(funds.before, before, "seed {seed}");
                    compared += 1;
                }
                before = after;
                // Somewhere within it.
                let (from_ms, to_ms) = (statement.from_ms, statement.to_ms);
                let cut = play.rng.u64(from_ms..=to_ms);
                let halves = [(from_ms, cut), (cut, to_ms)].map(|(from_ms, to_ms)| {
                    let (from_ms, to_ms) = (Some(from_ms), Some(to_ms));
                    let asked = Query { from_ms, to_ms, ..query(holder.clone()) };
                    gather(play.dir.path(), &asked).unwrap().funds
                });
                let [first, second] = &halves;
                assert_eq!(second.as_ref().map(|funds| funds.after), after, "seed {seed}");
                if let (Some(first), Some(second)) = (first, second) {
                    assert_eq!(first.after, second.before, "seed {seed}, {holder}: {cut}");
                }
            }
        }
    }
    assert!(compared > 40, "{compared}");
}
