//! Statements of periods and spans: each posting is on one, and what is closed stays as it is.

use super::*;
use crate::ledger::prune::prune;
use crate::ledger::record::{Action, Actor, Gap, Operator};
use crate::purse::Terms;

pub(super) fn query(holder: Holder) -> Query {
    Query { holder, from_ms: None, to_ms: None, period: None, provisional: false, detail: 1 }
}

fn exact(play: &Play, query: &Query) -> i128 {
    match gather(play.dir.path(), query) {
        Ok(statement) => total(&statement, 0, &[]).exact,
        Err(Refused::Nobody(_)) => 0,
        Err(refused) => panic!("{refused}"),
    }
}

fn of_period(play: &Play, holder: &Holder, period: u64) -> i128 {
    exact(play, &Query { period: Some(period), ..query(holder.clone()) })
}

fn ended_ms(play: &Play, period: u64) -> u64 {
    let holder = (0..3).map(|who| Holder::Customer(customer(who)));
    let drawn = holder.map(|holder| Query { period: Some(period), ..query(holder) });
    let ends = drawn.filter_map(|query| gather(play.dir.path(), &query).ok());
    ends.map(|statement| statement.to_ms).next().unwrap_or(0)
}

#[test]
fn what_is_closed_stays_as_it_is_and_periods_come_to_what_was_posted() {
    let (mut set_back, mut disputed_over_an_end) = (0, 0);
    for seed in 100..116 {
        let mut play = Play::new(seed);
        let mut told: Vec<[i128; 3]> = Vec::new();
        for _ in 0..play.rng.usize(10..80) {
            if play.rng.u8(0..8) == 0 {
                set_back += 1;
                play.back_ms += play.rng.u64(0..60_000);
            }
            play.step();
            let customers = [0, 1, 2].map(|who| Holder::Customer(customer(who)));
            for period in told.len() as u64 + 1..=play.period {
                told.push(customers.each_ref().map(|holder| of_period(&play, holder, period)));
                disputed_over_an_end += play.lines.iter().filter(|line| line.disputed).count();
            }
        }
        play.end();
        for (who, holder) in [0, 1, 2].map(|who| (who, Holder::Customer(customer(who)))) {
            for (place, amounts) in told.iter().enumerate() {
                let now = of_period(&play, &holder, place as u64 + 1);
                assert_eq!(now, amounts[who], "seed {seed}: period {} changed", place + 1);
            }
            let posted = play.lines.iter().filter(|l| l.customer == who).map(Line::stands);
            let (posted, all): (i128, Vec<u64>) = (posted.sum(), (1..=play.period).collect());
            let periods: Vec<i128> = all.iter().map(|p| of_period(&play, &holder, *p)).collect();
            assert_eq!(periods.iter().sum::<i128>(), posted, "seed {seed}, customer {who}");
            assert_eq!(exact(&play, &query(holder.clone())), posted, "seed {seed}: the whole");
            // By days it is the same, wherever they are cut.
            let end = ended_ms(&play, play.period);
            let cut = play.rng.u64(1_780_000_000_000..=end.max(1_780_000_000_000));
            let first = Query { to_ms: Some(cut), ..query(holder.clone()) };
            let second = Query { from_ms: Some(cut), ..query(holder.clone()) };
            assert_eq!(exact(&play, &first) + exact(&play, &second), posted, "seed {seed}: {cut}");
        }
    }
    assert!(set_back > 20 && disputed_over_an_end > 20, "{set_back}, {disputed_over_an_end}");
}

/// One customer's rate.
pub(super) fn run(play: &mut Play, who: usize, rate: u64, cause: Cause) -> u64 {
    let neighbour = neighbour(who);
    let meter = Meter { flow: who as u64 + 1, payment: Payment::ReceiverIn, neighbour };
    let at_ms = play.at_ms;
    if rate > 0 {
        play.write(&Body::Consent(Consent {
            at_ms,
            flow: meter.flow,
            payer: neighbour,
            account: customer(who),
            ceiling: rate,
            epoch: 1,
            sequence: 1,
            instance: 1,
            tariff: 1,
            digest: [0; 16],
        }));
    }
    play.write(&Body::Runs(Runs { at_ms, meter, rate, cause }))
}

#[test]
fn a_gap_that_is_billed_after_its_period_ended_is_on_the_next() {
    let mut play = Play::new(1);
    run(&mut play, 0, 1_000, Cause::Terms);
    play.at_ms += 10_000;
    let lapsed_ms = play.at_ms;
    run(&mut play, 0, 0, Cause::Lapsed);
    play.at_ms += 2_000;
    play.close();
    let holder = Holder::Customer(customer(0));
    let before = of_period(&play, &holder, 1);
    let meter = Meter { flow: 1, payment: Payment::ReceiverIn, neighbour: neighbour(0) };
    play.write(&Body::Gap(Gap {
        meter,
        from_ms: lapsed_ms,
        to_ms: lapsed_ms + 1_000,
        rate: 1_000,
    }));
    play.at_ms += 1_000;
    play.close();
    assert_eq!((before, of_period(&play, &holder, 1)), (10_000_000, 10_000_000));
    assert_eq!(of_period(&play, &holder, 2), 1_000_000);
    let by_days = Query { to_ms: Some(ended_ms(&play, 1)), ..query(holder) };
    assert_eq!(exact(&play, &by_days), before);
}

pub(super) fn order(play: &mut Play, action: Action) {
    let by = Actor { uid: 0, name: "root".to_owned() };
    play.write(&Body::Operator(Operator { by, wall_ms: play.stamp().wall_ms, action }));
}

fn open(play: &mut Play, holder: &Holder) {
    let action = Action::Open { holder: holder.clone(), terms: Terms::prepaid(978) };
    order(play, action);
}

#[test]
fn r010_each_posting_is_on_the_statement_of_whose_account_was_charged() {
    let mut play = Play::new(1);
    let (own, hop) = (Holder::Customer(customer(0)), Holder::Neighbour(neighbour(0).address));
    let run_for = |play: &mut Play, seconds: u64| {
        run(play, 0, 1_000, Cause::Terms);
        play.at_ms += seconds * 1_000;
        run(play, 0, 0, Cause::Terms);
        play.close();
        let period = play.period;
        let charged = |holder: &Holder| {
            let all = play.replay.standings().find(|(known, _)| *known == holder);
            all.map_or(0, |(_, standing)| standing.kept.charged / 1_000_000)
        };
        let drawn = |holder| of_period(play, holder, period) / 1_000_000;
        ((drawn(&own), drawn(&hop)), (charged(&own), charged(&hop)))
    };
    // Without accounts it is that of the customer who was named.
    assert_eq!(run_for(&mut play, 1), ((1, 0), (0, 0)));
    open(&mut play, &hop);
    assert_eq!(run_for(&mut play, 2), ((0, 2), (0, 2)));
    open(&mut play, &own);
    assert_eq!(run_for(&mut play, 4), ((4, 0), (4, 2)));
    let action = Action::Close { holder: own.clone(), reason: String::new() };
    order(&mut play, action);
    // The neighbour pays for what no customer's account does.
    assert_eq!(run_for(&mut play, 8), ((0, 8), (4, 10)));
    let bill = |holder: &Holder| {
        let (book, _) = bills(play.dir.path()).unwrap();
        book.to_bill().into_iter().find(|(known, ..)| known == holder).unwrap().2 / 1_000_000
    };
    assert_eq!((bill(&own), bill(&hop)), (5, 10));
    let all = |holder: &Holder| exact(&play, &query(holder.clone())) / 1_000_000;
    assert_eq!((all(&own), all(&hop)), (5, 10));
    // Between providers all counts that came over the hop.
    let claimed = claim(play.dir.path(), neighbour(0).address, &query(hop)).unwrap();
    assert_eq!(claimed.lines.iter().map(|line| line.ms).sum::<u64>(), 15_000);
}

/// The journal goes on in another file, as behind a period.
pub(super) fn new_file(play: &mut Play) {
    let elsewhere = tempfile::tempdir().unwrap();
    play.journal = Journal::open(elsewhere.path(), Options::default()).unwrap();
    play.journal = Journal::open(play.dir.path(), Options::default()).unwrap();
}

pub(super) fn put_away(play: &mut Play, period: u64) {
    let elsewhere = tempfile::tempdir().unwrap();
    play.journal = Journal::open(elsewhere.path(), Options::default()).unwrap();
    let end = crate::ledger::replay::Moment { boot: [7; 16], stamp: play.stamp() };
    prune(play.dir.path(), period, None, &end).unwrap().unwrap();
    play.journal = Journal::open(play.dir.path(), Options::default()).unwrap();
}

/// One flow at one rate through two periods; the first is put away.
#[test]
fn what_a_pruned_journal_says_is_whole_or_refused() {
    let mut play = Play::new(1);
    let holder = Holder::Customer(customer(0));
    run(&mut play, 0, 1_000, Cause::Terms);
    play.at_ms += 10_000;
    play.close();
    let first_ms = ended_ms(&play, 1);
    new_file(&mut play);
    play.at_ms += 20_000;
    run(&mut play, 0, 2_000, Cause::Terms);
    play.at_ms += 1_000;
    run(&mut play, 0, 0, Cause::Ended);
    let (at_ms, flow, payer) = (play.at_ms, 1, neighbour(0));
    play.write(&Body::Closed(Closed { at_ms, flow, payer, orderly: true }));
    play.close();
    let whole = gather(play.dir.path(), &Query { period: Some(2), ..query(holder.clone()) });
    let whole = whole.unwrap();
    put_away(&mut play, 1);
    let second = gather(play.dir.path(), &Query { period: Some(2), ..query(holder.clone()) });
    let second = second.unwrap();
    let lines = |statement: &Statement| {
        let session = &statement.sessions[0];
        let segments = session.flows.iter().flat_map(|flow| &flow.segments);
        let segments = segments.map(|s| (s.record, s.rate, s.from_ms, s.ms, s.amount));
        (session.session.clone(), session.ms, segments.collect::<Vec<_>>())
    };
    assert_eq!(lines(&second), lines(&whole));
    assert_eq!(second.sessions[0].flows[0].segments[0].began, "earlier");
    assert_eq!(total(&second, 0, &[]).exact, 22_000_000);
    let by_days = Query { from_ms: Some(first_ms), ..query(holder.clone()) };
    assert_eq!(exact(&play, &by_days), 22_000_000);
    for short in [
        query(holder.clone()),
        Query { period: Some(1), ..query(holder.clone()) },
        Query { from_ms: Some(0), ..query(holder.clone()) },
        Query { from_ms: Some(first_ms - 1), ..query(holder.clone()) },
    ] {
        let refused = gather(play.dir.path(), &short);
        assert!(matches!(refused, Err(Refused::PutAway)), "{short:?}: {refused:?}");
    }
}
