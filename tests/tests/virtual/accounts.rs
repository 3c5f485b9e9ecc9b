//! Who may spend how much: cut off at the very millisecond at which nothing is left, never before,
//! never after.

use std::collections::BTreeMap;

use lcm_daemon::config::{Accounts, Unknown};
use lcm_daemon::engine::{AccountError, NoticeEvent, REASON_MAX, SenderShare, SpendingNews};
use lcm_daemon::ledger::record::{Actor, Body, Cause, Contra, Gap, Meter, Payment, Runs};
use lcm_daemon::purse::{Backend, Caps, End, Holder, Simultaneous, Terms, amount_text};
use lcm_tests::sim::{Kind, Net, NodeConfig, NodeId, Options, Topology, Weather, reserve_up_to};
use rsvp_wire::object::Session;

pub(crate) const S: NodeId = 0;
pub(crate) const A: NodeId = 1;
pub(crate) const R: NodeId = 2;
pub(crate) const EUR: u16 = 978;
/// Nothing gets through.
const DEAF: Weather = Weather { loss_permille: 1_000, ..Weather::FAIR };
/// A's price to R, and so what a session costs: wire units per second, ledger units per ms.
pub(crate) const PRICE: u64 = 1_000;

pub(crate) fn options(accounts: Accounts) -> Options {
    let config = NodeConfig { accounts: Some(accounts), ..NodeConfig::default() };
    Options { config, ..Options::default() }
}

/// S - A - R; only A asks for anything.
pub(crate) fn net(accounts: Accounts) -> Net {
    let mut t = Topology::default();
    for (name, kind) in [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host)] {
        t.node(name, kind);
    }
    t.link(S, A, (0, 0));
    t.link(A, R, (PRICE, PRICE));
    Net::new(t, options(accounts))
}

/// The same, whose packets are not kept.
pub(crate) fn silent_net(accounts: Accounts) -> Net {
    let kept = net(accounts);
    Net::new(kept.topology.clone(), Options { keep_packets: false, ..options(accounts) })
}

pub(crate) fn actor() -> Actor {
    Actor { uid: 0, name: "root".to_owned() }
}

/// The account that R names.
pub(crate) fn holder() -> Holder {
    "opaque:R".parse().unwrap()
}

pub(crate) fn create(net: &mut Net, holder: Holder, terms: Terms) {
    let created =
        net.input(A, |engine, now| engine.create_account(now, &actor(), 0, (holder, terms)));
    created.unwrap();
}

pub(crate) fn credit(net: &mut Net, holder: Holder, amount: u128) -> Result<(), AccountError> {
    let paid = (holder, EUR, amount);
    let why = "cash".to_owned();
    net.input(A, |engine, now| engine.credit_account(now, &actor(), 0, paid, why)).map(|_| ())
}

pub(crate) fn session(net: &Net, number: u16) -> Session {
    Session::new(net.address(R), 17, 5_000 + number)
}

pub(crate) fn open(net: &mut Net, number: u16) {
    let session = session(net, number);
    net.send(S, session, None);
    net.receive_as(R, reserve_up_to(session, None));
}

pub(crate) fn balance(net: &mut Net) -> String {
    let views = net.input(A, |engine, now| engine.show_purses(now));
    views[0].balance.clone()
}

/// When and why spending ended at A.
pub(crate) fn ends(net: &Net) -> Vec<(u64, End)> {
    let ended = |news: &lcm_daemon::engine::Spending| match news.news {
        SpendingNews::Ended { at_ms, why, .. } => Some((at_ms, why)),
        SpendingNews::Soon { .. } => None,
    };
    net.node(A).spending().iter().filter_map(ended).collect()
}

/// Errors that the receivers were told: value and what is required.
fn refusals(net: &Net) -> Vec<(u16, Option<u64>)> {
    let refusal = |event: &NoticeEvent| match event {
        NoticeEvent::Error { code: 2, value, required, .. } => Some((*value, *required)),
        _ => None,
    };
    net.node(R).notices().iter().filter_map(|notice| refusal(&notice.event)).collect()
}

pub(crate) fn reserved(net: &Net) -> usize {
    net.node(A).engine().sizes().2
}

/// Turns of what A is paid, as it wrote them down.
pub(crate) fn turns(net: &Net) -> Vec<Runs> {
    let runs = |body: &Body| match body {
        Body::Runs(runs) if runs.meter.payment == Payment::ReceiverIn => Some(runs.clone()),
        _ => None,
    };
    net.node(A).records().iter().filter_map(|(_, body)| runs(body)).collect()
}

#[test]
fn r058_an_account_and_tokens_are_both_spent_to_the_last_millisecond() {
    let account = Backend::Account { limit: 0 };
    for (backend, paid_in, left) in [
        (account, 10_000_500, "0.0000000000005"),
        (Backend::Account { limit: 2_000_000 }, 8_000_500, "-0.0000000019995"),
        (Backend::Tokens { value: 1_000 }, 10_000_000, "0.00"),
    ] {
        let mut net = net(Accounts::default());
        create(&mut net, holder(), Terms { backend, ..Terms::prepaid(EUR) });
        if backend != account && matches!(backend, Backend::Tokens { .. }) {
            assert!(matches!(credit(&mut net, holder(), 500), Err(AccountError::NotWhole(_))));
        }
        credit(&mut net, holder(), paid_in).unwrap();
        open(&mut net, 0);
        net.run_ms(9_000);
        assert!(ends(&net).is_empty() && reserved(&net) == 1, "{backend:?}");
        net.run_ms(11_000);
        let began = turns(&net)[0].at_ms;
        assert_eq!(ends(&net), [(began + 10_000, End::Exhausted)], "{backend:?}");
        assert_eq!(balance(&mut net), left, "{backend:?}");
        assert_eq!(reserved(&net), 0);
        assert!(refusals(&net).iter().all(|told| *told == (4, Some(PRICE))), "{backend:?}");
        assert!(!refusals(&net).is_empty());
        let end = turns(&net).into_iter().find(|runs| runs.cause == Cause::Exhausted).unwrap();
        assert_eq!((end.at_ms, end.rate), (began + 10_000, 0));
        // Nobody is let in again until there is money, and then the next refresh is.
        net.run_ms(60_000);
        assert_eq!((reserved(&net), balance(&mut net).as_str()), (0, left), "{backend:?}");
        credit(&mut net, holder(), 50_000_000).unwrap();
        net.run_ms(46_000);
        assert_eq!(reserved(&net), 1, "{backend:?}");
        net.assert_promise();
    }
}

#[test]
fn a_top_up_in_time_keeps_the_reservation_and_a_warning_comes_before_the_end() {
    let mut net = net(Accounts::default());
    create(&mut net, holder(), Terms { warn_ms: 3_000, ..Terms::prepaid(EUR) });
    credit(&mut net, holder(), 10_000_000).unwrap();
    open(&mut net, 0);
    net.run_ms(6_900);
    assert!(net.node(A).spending().is_empty());
    net.run_ms(1_000);
    let news: Vec<_> = net.node(A).spending().iter().map(|news| news.news).collect();
    let [SpendingNews::Soon { why: End::Exhausted, in_ms: 3_000 }] = news[..] else {
        panic!("{news:?}");
    };
    credit(&mut net, holder(), 20_000_000).unwrap();
    net.run_ms(20_000);
    assert!(ends(&net).is_empty() && refusals(&net).is_empty() && reserved(&net) == 1);
    net.run_ms(5_000);
    assert_eq!((ends(&net).len(), balance(&mut net).as_str()), (1, "0.00"));
}

/// What was spent, from A's records and the credits alone, an event after the other; panics where
/// the balance falls below zero, or where somebody was cut off with money for another millisecond.
fn reckon(net: &Net, credits: &[(u64, i128)]) -> (i128, usize) {
    enum Event {
        Credit(i128),
        Turn(Meter, u64, bool),
        Gap(i128),
    }
    let mut events: Vec<(u64, Event)> =
        credits.iter().map(|(at, amount)| (*at, Event::Credit(*amount))).collect();
    for (_, body) in net.node(A).records() {
        match &**body {
            Body::Runs(Runs { at_ms, meter, rate, cause })
                if meter.payment == Payment::ReceiverIn =>
            {
                events.push((*at_ms, Event::Turn(*meter, *rate, *cause == Cause::Exhausted)));
            }
            Body::Gap(Gap { from_ms, to_ms, rate, .. }) => {
                let amount = i128::from(*rate) * i128::from(to_ms - from_ms);
                events.push((*to_ms, Event::Gap(amount)));
            }
            _ => {}
        }
    }
    events.sort_by_key(|(at, _)| *at);
    let mut running: BTreeMap<Meter, u64> = BTreeMap::new();
    let (mut balance, mut last, mut cuts, mut cut_at) = (0_i128, 0, 0, 0);
    for (at, event) in events {
        let rate: i128 = running.values().map(|rate| i128::from(*rate)).sum();
        balance -= rate * i128::from(at - last);
        assert!(balance >= 0, "at {at} ms it is {balance}");
        last = at;
        match event {
            Event::Credit(amount) => balance += amount,
            Event::Gap(amount) => balance -= amount,
            Event::Turn(meter, rate_now, exhausted) => {
                if exhausted && cut_at != at {
                    assert!(balance < rate, "cut off at {at} ms with {balance} left at {rate}");
                    (cuts, cut_at) = (cuts + 1, at);
                }
                running.insert(meter, rate_now);
            }
        }
    }
    (balance, cuts)
}

#[test]
fn a_thousand_sessions_on_one_account_are_cut_off_at_the_very_millisecond() {
    let mut cuts = 0;
    for seed in 0..3 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut net = silent_net(Accounts::default());
        create(&mut net, holder(), Terms::prepaid(EUR));
        let mut credits = Vec::new();
        let pay = |net: &mut Net, amount: u128, credits: &mut Vec<(u64, i128)>| {
            credit(net, holder(), amount).unwrap();
            let now = net.clock(A).at.as_millis();
            credits.push((now, i128::try_from(amount).unwrap()));
        };
        pay(&mut net, 20_000_000_000, &mut credits);
        let mut opened = 0;
        let link = net.topology.between(A, R);
        for _ in 0..60 {
            for _ in 0..rng.u16(0..60) {
                if opened < 1_000 {
                    open(&mut net, opened);
                    opened += 1;
                }
            }
            match rng.u8(0..5) {
                0 => net.set_price(A, link, rng.u64(1..3_000), false),
                1 | 2 => pay(&mut net, rng.u128(1..5_000_000_000), &mut credits),
                _ => {}
            }
            net.run_ms(rng.u64(1..4_000));
            let shown = balance(&mut net);
            assert!(!shown.starts_with('-'), "seed {seed}: {shown}");
        }
        assert!(opened > 900, "seed {seed}: {opened}");
        let (left, cut) = reckon(&net, &credits);
        cuts += cut;
        let now = net.clock(A).at.as_millis();
        let running: i128 = net
            .node(A)
            .replay()
            .open()
            .filter(|open| open.meter.payment == Payment::ReceiverIn)
            .map(|open| i128::from(open.rate) * i128::from(now - open.from.at_ms))
            .sum();
        let (_, standing) = net.node(A).replay().standings().next().unwrap();
        let booked = i128::try_from(standing.kept.paid_in).unwrap()
            - i128::try_from(standing.kept.charged).unwrap()
            - running;
        let text = lcm_daemon::purse::amount_text(booked);
        assert_eq!(balance(&mut net), text, "seed {seed}: the journal comes to the same");
        assert!(left >= booked, "seed {seed}");
    }
    assert!(cuts > 3, "the seeds are to run out of money: {cuts}");
}

#[test]
fn r023_unknown_closed_and_empty_accounts_are_refused_and_told_what_is_due() {
    let refuse = Accounts { unknown: Unknown::Refuse, ..Accounts::default() };
    let mut net = net(refuse);
    open(&mut net, 0);
    net.run_ms(1_000);
    assert_eq!((reserved(&net), refusals(&net)), (0, vec![(3, Some(PRICE))]), "unknown");
    create(&mut net, holder(), Terms::prepaid(EUR));
    net.run_ms(60_000);
    assert_eq!(reserved(&net), 0, "nothing was paid in");
    assert!(refusals(&net).contains(&(4, Some(PRICE))));
    credit(&mut net, holder(), 1_000_000_000).unwrap();
    net.run_ms(60_000);
    assert_eq!(reserved(&net), 1);
    let by = actor();
    let close = |net: &mut Net| {
        let why = "moved".to_owned();
        net.input(A, |engine, now| engine.close_account(now, &by, 0, holder(), why))
    };
    assert_eq!(close(&mut net), Err(AccountError::InUse { holder: holder(), payments: 1 }));
    let handle = net.receive_as(R, reserve_up_to(session(&net, 9), None));
    net.close(R, handle);
    // The session ends, the account is closed, and the next one is refused.
    let sessions = net.node(A).engine().sizes().0;
    assert_eq!(sessions, 1);
    net.kill(R);
    net.run_ms(200_000);
    assert_eq!(reserved(&net), 0);
    close(&mut net).unwrap();
    net.start(R);
    open(&mut net, 1);
    net.run_ms(2_000);
    assert_eq!(refusals(&net).last(), Some(&(3, Some(PRICE))), "closed");
    let again = credit(&mut net, holder(), 1);
    assert_eq!(again, Err(AccountError::Closed(holder())));
}

#[test]
fn r023_one_account_is_shared_by_sessions_or_had_by_one_alone() {
    let mut net = net(Accounts::default());
    let simultaneous = Simultaneous::Deny;
    create(&mut net, holder(), Terms { simultaneous, ..Terms::prepaid(EUR) });
    credit(&mut net, holder(), 1_000_000_000).unwrap();
    open(&mut net, 0);
    net.run_ms(1_000);
    open(&mut net, 1);
    net.run_ms(1_000);
    assert_eq!((reserved(&net), refusals(&net)), (1, vec![(3, Some(PRICE))]));
    let share = |terms: Terms| Terms { simultaneous: Simultaneous::Share, ..terms };
    let changed =
        net.input(A, |engine, now| engine.limit_account(now, &actor(), 0, holder(), share));
    changed.unwrap();
    net.run_ms(60_000);
    assert_eq!(reserved(&net), 2);
}

#[test]
fn caps_end_a_session_or_a_day_and_not_more() {
    let mut net = net(Accounts::default());
    let caps = Caps { session: Some(20_000_000), day: Some(35_000_000), month: None };
    create(&mut net, holder(), Terms { caps, ..Terms::prepaid(EUR) });
    credit(&mut net, holder(), 1_000_000_000_000).unwrap();
    open(&mut net, 0);
    net.run_ms(10_000);
    let first = turns(&net)[0].at_ms;
    open(&mut net, 1);
    net.run_ms(20_000);
    let second = turns(&net)[1].at_ms;
    // 20 s of the first; then the day has 15 s left for the second, of which 10 are gone.
    let day = first + 20_000 + (35_000 - 20_000 - (first + 20_000 - second));
    assert_eq!(ends(&net), [(first + 20_000, End::SessionCap), (day, End::DayCap)]);
    assert_eq!(reserved(&net), 0);
    // The next day, UTC.
    let of_day = u64::from(net.clock(A).unix_s) % 86_400;
    net.run_ms((86_400 - of_day) * 1_000 + 60_000);
    // The second session has 5 s left of its own; the first has none, however often it comes back.
    let last = ends(&net);
    assert_eq!((last.len(), last[2].1), (3, End::SessionCap), "{last:?}");
    assert_eq!((reserved(&net), balance(&mut net).as_str()), (0, "0.00099996"));
}

#[test]
fn an_account_that_is_opened_later_pays_from_then_on_and_gaps_are_paid_at_once() {
    let mut net = net(Accounts::default());
    open(&mut net, 0);
    net.run_ms(5_000);
    create(
        &mut net,
        holder(),
        Terms { backend: Backend::Account { limit: 100_000_000 }, ..Terms::prepaid(EUR) },
    );
    let opened = net.clock(A).at.as_millis();
    net.run_ms(4_000);
    assert_eq!(balance(&mut net), "-0.000000004");
    let turned = turns(&net);
    assert_eq!((turned.len(), turned[1].at_ms, turned[1].rate), (2, opened, PRICE));
    // A neighbour's account takes what no customer's does.
    let other: Holder = Holder::Neighbour(net.address(R));
    let there = net.input(A, |engine, now| {
        engine.create_account(now, &actor(), 0, (other, Terms::prepaid(EUR)))
    });
    there.unwrap();
    net.run_ms(1_000);
    assert_eq!(balance(&mut net), "-0.000000005", "the customer has one of its own");
    let (_, standing) = net.node(A).replay().standings().next().unwrap();
    assert_eq!(standing.kept.charged, 0, "nothing is closed yet");
}

#[test]
fn accounts_of_before_a_start_count_on_and_nobody_is_let_in_before_they_are_known() {
    let mut net = net(Accounts::default());
    create(&mut net, holder(), Terms::prepaid(EUR));
    credit(&mut net, holder(), 60_000_000).unwrap();
    open(&mut net, 0);
    net.run_ms(10_000);
    let standings: Vec<_> = net
        .node(A)
        .replay()
        .standings()
        .map(|(holder, known)| ((holder.clone(), known.terms.clone(), known.closed), known.kept))
        .collect();
    net.kill(A);
    net.start(A);
    net.input(A, |engine, _| engine.await_accounts());
    net.run_ms(50_000);
    assert_eq!(reserved(&net), 0);
    assert!(refusals(&net).iter().any(|(value, _)| *value == 10), "{:?}", refusals(&net));
    let bad = net.input(A, |engine, now| engine.restore_accounts(now, standings));
    assert!(bad.is_empty());
    net.run_ms(46_000);
    assert_eq!(reserved(&net), 1);
}

/// What the account of R has by the journal alone.
fn booked(net: &Net) -> i128 {
    let (_, standing) = net.node(A).replay().standings().next().unwrap();
    let of = |amount| i128::try_from(amount).unwrap();
    of(standing.kept.paid_in) - of(standing.kept.charged)
}

#[test]
fn what_is_given_back_is_there_to_spend_at_once_and_after_a_start() {
    let mut net = net(Accounts::default());
    create(&mut net, holder(), Terms::prepaid(EUR));
    credit(&mut net, holder(), 20_000_000).unwrap();
    open(&mut net, 0);
    net.run_ms(5_000);
    let of = net.node(A).replay().open().find(|open| open.meter.payment == Payment::ReceiverIn);
    let of = of.unwrap().number;
    let began = turns(&net)[0].at_ms;
    // It goes on at another price, so that what ran before is a posting.
    net.set_price(A, net.topology.between(A, R), PRICE / 2, false);
    net.run_ms(5_000);
    let turned = turns(&net)[1].at_ms;
    let posted = u128::from(PRICE) * u128::from(turned - began);
    let known = net.node(A).replay().clone().given_back(of).unwrap();
    assert_eq!((known.left, known.to_them, known.holder.clone()), (posted, true, Some(holder())));
    let ran = u128::from(PRICE / 2) * u128::from(net.clock(A).at.as_millis() - turned);
    assert_eq!(balance(&mut net), amount_text((20_000_000 - posted - ran).cast_signed()));
    let contra =
        Contra { of, amount: posted, by: "root".into(), reason: "noise".into(), wall_ms: 1 };
    net.input(A, |engine, now| engine.give_back(now, contra, &known));
    assert_eq!(balance(&mut net), amount_text((20_000_000 - ran).cast_signed()), "at once");
    // Neighbours' balances are those of the journal, too (`metered` compares them).
    net.metered();
    // What came back is spent to the last millisecond.
    net.run_ms(60_000);
    assert_eq!(ends(&net), [(turned + 20_000_000 / (PRICE / 2), End::Exhausted)]);
    net.run_ms(1_000);
    assert_eq!((balance(&mut net).as_str(), booked(&net)), ("0.00", 0));
    // A start that reads the journal knows the same.
    let standings: Vec<_> = net
        .node(A)
        .replay()
        .standings()
        .map(|(holder, known)| ((holder.clone(), known.terms.clone(), known.closed), known.kept))
        .collect();
    net.kill(A);
    net.start(A);
    net.input(A, |engine, now| engine.restore_accounts(now, standings));
    assert_eq!(balance(&mut net), "0.00");
}

#[test]
fn a_sender_s_payments_end_with_the_account_of_who_passes_them_on() {
    let mut net = net(Accounts::default());
    let hop =
        Holder::Neighbour(net.topology.address_on(net.family(), S, net.topology.between(S, A)));
    create(&mut net, hop.clone(), Terms::prepaid(EUR));
    credit(&mut net, hop, 10_000_500).unwrap();
    let session = session(&net, 0);
    let share = SenderShare { fraction_ppm: 1_000_000, ..SenderShare::default() };
    net.send(S, session, Some(share));
    net.receive_as(R, reserve_up_to(session, None));
    net.run_ms(11_000);
    assert_eq!(ends(&net).len(), 1);
    assert_eq!(balance(&mut net), "0.0000000000005");
    net.run_ms(200_000);
    assert_eq!(balance(&mut net), "0.0000000000005", "and nothing after that");
    let told = |event: &NoticeEvent| matches!(event, NoticeEvent::Error { code: 2, .. });
    assert!(net.node(S).notices().iter().any(|notice| told(&notice.event)));
}

#[test]
fn orders_that_cannot_be_are_refused() {
    let mut net = net(Accounts::default());
    let unknown = credit(&mut net, holder(), 5);
    assert_eq!(unknown, Err(AccountError::Unknown(holder())));
    create(&mut net, holder(), Terms::prepaid(EUR));
    let twice = net.input(A, |engine, now| {
        engine.create_account(now, &actor(), 0, (holder(), Terms::prepaid(EUR)))
    });
    assert_eq!(twice, Err(AccountError::Exists(holder())));
    let dollars = net.input(A, |engine, now| {
        engine.credit_account(now, &actor(), 0, (holder(), 840, 5), String::new())
    });
    let wrong = AccountError::Currency { holder: holder(), is: EUR, named: 840 };
    assert_eq!(dollars, Err(wrong.clone()));
    assert_eq!(
        wrong.to_string(),
        "account opaque:R is in EUR, not in USD: name an amount in its own currency"
    );
    assert_eq!(credit(&mut net, holder(), 0), Err(AccountError::Nothing));
    let long = "a".repeat(REASON_MAX + 1);
    let too_long = AccountError::LongReason { bytes: REASON_MAX + 1 };
    let credited = net.input(A, |engine, now| {
        engine.credit_account(now, &actor(), 0, (holder(), EUR, 5), long.clone())
    });
    assert_eq!(credited, Err(too_long.clone()));
    assert_eq!(balance(&mut net), "0.00", "what is refused is not done");
    let closed =
        net.input(A, |engine, now| engine.close_account(now, &actor(), 0, holder(), long.clone()));
    assert_eq!(closed, Err(too_long));
    let mut off = Net::new(net.topology.clone(), Options::default());
    assert_eq!(credit(&mut off, holder(), 5), Err(AccountError::Off));
}

/// A refusal that is lost is said again with the next PATH, though that is the same as before.
#[test]
fn a_sender_without_money_is_told_as_often_as_it_sends_path() {
    let mut net = net(Accounts::default());
    let to_a = net.topology.between(S, A);
    let hop = Holder::Neighbour(net.topology.address_on(net.family(), S, to_a));
    create(&mut net, hop.clone(), Terms::prepaid(EUR));
    credit(&mut net, hop, 70_000_500).unwrap();
    let session = session(&net, 0);
    let share = SenderShare { fraction_ppm: 1_000_000, ..SenderShare::default() };
    net.send(S, session, Some(share));
    net.receive_as(R, reserve_up_to(session, None));
    while ends(&net).is_empty() {
        let ended = net.now_us() > 60_000_000;
        net.set_weather_of(to_a, if ended { DEAF } else { Weather::FAIR });
        net.run_ms(100);
    }
    net.set_weather_of(to_a, Weather::FAIR);
    let told = |event: &NoticeEvent| matches!(event, NoticeEvent::Error { code: 2, .. });
    assert!(!net.node(S).notices().iter().any(|notice| told(&notice.event)), "lost");
    net.run_ms(60_000);
    assert!(net.node(S).notices().iter().any(|notice| told(&notice.event)));
}

/// Who was silent and pays again is billed for the gap at once: not without money for it.
#[test]
fn r058_a_gap_is_not_billed_to_an_account_that_has_not_got_the_money() {
    let mut net = net(Accounts::default());
    create(&mut net, holder(), Terms::prepaid(EUR));
    credit(&mut net, holder(), 105_000_000).unwrap();
    open(&mut net, 0);
    open(&mut net, 1);
    let to_r = net.topology.between(A, R);
    net.run_ms(1_000);
    net.set_weather_of(to_r, DEAF);
    net.run_ms(70_000);
    let left = balance(&mut net);
    assert_eq!(ends(&net), [], "they fell silent with money left: {left}");
    net.set_weather_of(to_r, Weather::FAIR);
    net.run_ms(200_000);
    assert!(!balance(&mut net).starts_with('-'), "{left}, then {}", balance(&mut net));
    net.assert_promise();
}
