//! Accounts where something comes in between: starts, midnight, other senders, orders about what
//! runs.

use lcm_daemon::config::Accounts;
use lcm_daemon::engine::{
    AccountError, Engine, NoticeEvent, Now, Output, SenderShare, Span, SpendingNews,
};
use lcm_daemon::ledger::record::{Body, Payment, Runs};
use lcm_daemon::purse::{Backend, Caps, End, Holder, Terms, amount_text};
use lcm_tests::sim::{Kind, Net, NodeId, Topology, Weather, reserve_up_to};
use rsvp_wire::object::Session;

use super::accounts::{
    A, EUR, PRICE, R, S, actor, balance, create, credit, ends, holder, net, open, options,
    reserved, session, silent_net, turns,
};

/// The account of S as a neighbour of A.
fn sender(net: &Net) -> Holder {
    Holder::Neighbour(net.topology.address_on(net.family(), S, net.topology.between(S, A)))
}

/// S pays for all.
fn open_paid(net: &mut Net) -> Session {
    let session = session(net, 0);
    let share = SenderShare { fraction_ppm: 1_000_000, ..SenderShare::default() };
    net.send(S, session, Some(share));
    net.receive_as(R, reserve_up_to(session, None));
    session
}

/// Turns of what S pays A.
fn shares(net: &Net) -> Vec<Runs> {
    let runs = |body: &Body| match body {
        Body::Runs(runs) if runs.meter.payment == Payment::SenderIn => Some(runs.clone()),
        _ => None,
    };
    net.node(A).records().iter().filter_map(|(_, body)| runs(body)).collect()
}

/// Errors that S was told.
fn told(net: &Net) -> Vec<(u8, u16)> {
    let error = |event: &NoticeEvent| match event {
        NoticeEvent::Error { code, value, .. } => Some((*code, *value)),
        _ => None,
    };
    net.node(S).notices().iter().filter_map(|notice| error(&notice.event)).collect()
}

/// A dies, and reads its journal for a minute when it is back.
fn restart_and_read(net: &mut Net) {
    let standings: Vec<_> = net
        .node(A)
        .replay()
        .standings()
        .map(|(holder, known)| ((holder.clone(), known.terms.clone(), known.closed), known.kept))
        .collect();
    net.kill(A);
    net.start(A);
    net.input(A, |engine, _| engine.await_accounts());
    net.run_ms(60_000);
    net.input(A, |engine, now| engine.restore_accounts(now, standings));
}

/// What A would do with an input that comes so many seconds late, if nothing came before it.
fn later(net: &Net, seconds: u32, give: impl FnOnce(&mut Engine, Now)) -> Vec<Output> {
    let mut engine = net.node(A).engine().clone();
    let now = net.clock(A);
    let at = now.at + Span::from_millis(u64::from(seconds) * 1_000);
    give(&mut engine, Now::new(at, now.unix_s + seconds));
    std::iter::from_fn(|| engine.poll_output()).collect()
}

#[test]
fn a_sender_pays_on_after_a_start_whose_journal_takes_long_to_read() {
    let mut net = net(Accounts::default());
    let hop = sender(&net);
    create(&mut net, hop.clone(), Terms::prepaid(EUR));
    net.input(A, |engine, now| {
        engine.credit_account(now, &actor(), 0, (hop, EUR, 1_000_000_000_000), String::new())
    })
    .unwrap();
    open_paid(&mut net);
    net.run_ms(10_000);
    assert_eq!(shares(&net).last().map(|runs| runs.rate), Some(PRICE));
    restart_and_read(&mut net);
    assert!(told(&net).contains(&(2, 10)), "nobody knows yet: {:?}", told(&net));
    assert!(!told(&net).contains(&(2, 3)), "the account is not refused: {:?}", told(&net));
    net.run_ms(100_000);
    let last = turns(&net).last().map_or(0, |runs| runs.rate);
    assert_eq!((shares(&net).last().map(|runs| runs.rate), last), (Some(PRICE), 0));
    assert_eq!(reserved(&net), 1);
}

#[test]
fn a_cap_that_is_set_on_a_running_account_counts_what_was_spent_today() {
    let mut net = silent_net(Accounts::default());
    create(&mut net, holder(), Terms::prepaid(EUR));
    credit(&mut net, holder(), 1 << 60).unwrap();
    // From ten minutes before midnight on, without a pause.
    let of_day = u64::from(net.clock(A).unix_s) % 86_400;
    net.run_ms((2 * 86_400 - of_day - 600) * 1_000);
    open(&mut net, 0);
    net.run_ms(600_000 + 60_000);
    assert_eq!((reserved(&net), turns(&net).len()), (1, 1), "one rate ran all the time");
    let views = net.input(A, |engine, now| engine.show_purses(now));
    let now = net.clock(A).at.as_millis();
    let today = 60_000 * u128::from(PRICE);
    let shown = lcm_daemon::purse::parse_amount(&views[0].spent_today).unwrap();
    // Seconds of the wall clock are whole.
    assert!(shown.abs_diff(today) <= 1_000 * u128::from(PRICE), "{shown} of {today}");
    let cap = shown + 10_000 * u128::from(PRICE);
    let capped = |terms: Terms| Terms { caps: Caps { day: Some(cap), ..terms.caps }, ..terms };
    let changed =
        net.input(A, |engine, now| engine.limit_account(now, &actor(), 0, holder(), capped));
    changed.unwrap();
    net.run_ms(9_000);
    assert!(ends(&net).is_empty() && reserved(&net) == 1, "{:?}", ends(&net));
    net.run_ms(2_000);
    assert_eq!(ends(&net), [(now + 10_000, End::DayCap)]);
}

#[test]
fn no_account_is_in_another_currency_than_prices_are() {
    let mut net = net(Accounts::default());
    open(&mut net, 0);
    net.run_ms(5_000);
    let dollars = Terms { backend: Backend::Account { limit: 1 << 60 }, ..Terms::prepaid(840) };
    let refused =
        net.input(A, |engine, now| engine.create_account(now, &actor(), 0, (holder(), dollars)));
    let wrong = AccountError::ForeignCurrency { holder: holder(), own: EUR, named: 840 };
    assert_eq!(refused, Err(wrong.clone()));
    assert!(wrong.to_string().ends_with("what is paid here is in EUR, so open it in EUR"));
    assert_eq!((reserved(&net), turns(&net).len()), (1, 1), "and nothing turned");
}

#[test]
fn what_begins_after_an_account_was_closed_is_not_charged_to_it() {
    let mut net = net(Accounts::default());
    let hop = sender(&net);
    let limit = Backend::Account { limit: 1 << 60 };
    create(&mut net, hop.clone(), Terms { backend: limit, ..Terms::prepaid(EUR) });
    let session = session(&net, 0);
    let share = SenderShare { fraction_ppm: 1_000_000, ..SenderShare::default() };
    net.send(S, session, Some(share));
    net.run_ms(1_000);
    // Its PATH is here, and nobody has reserved.
    let closed = net
        .input(A, |engine, now| engine.close_account(now, &actor(), 0, hop.clone(), String::new()));
    closed.unwrap();
    net.receive_as(R, reserve_up_to(session, None));
    net.run_ms(5_000);
    // Its share ran until the next PATH of S was looked at, and was refused then.
    let ran = shares(&net);
    assert!(ran.first().is_some_and(|runs| runs.rate == PRICE), "{ran:?}");
    assert!(ran.last().is_some_and(|runs| runs.rate == 0 && runs.at_ms > ran[0].at_ms), "{ran:?}");
    assert_eq!(balance(&mut net), "0.00");
    let (_, standing) = net.node(A).replay().standings().next().unwrap();
    assert_eq!(standing.kept.charged, 0, "the journal says so, too: {standing:?}");
}

#[test]
fn who_pays_already_goes_on_when_an_account_is_opened_with_money() {
    for (paid, stays) in [(Some(20_000_000), 1), (None, 0)] {
        let mut net = net(Accounts::default());
        open(&mut net, 0);
        net.run_ms(5_000);
        let new = (holder(), Terms::prepaid(EUR));
        let opened = net.clock(A).at.as_millis();
        let created = net.input(A, |engine, now| match paid {
            Some(paid) => {
                engine.create_account_with(now, &actor(), 0, new, (paid, "cash".to_owned()))
            }
            None => engine.create_account(now, &actor(), 0, new),
        });
        created.unwrap();
        net.run_ms(10_000);
        assert_eq!(reserved(&net), stays, "{paid:?}");
        net.run_ms(12_000);
        let end = opened + paid.map_or(0, |_| 20_000);
        assert_eq!(ends(&net), [(end, End::Exhausted)], "{paid:?}");
        assert_eq!(balance(&mut net), "0.00");
    }
    let mut net = net(Accounts::default());
    let nothing = net.input(A, |engine, now| {
        let new = (holder(), Terms::prepaid(EUR));
        engine.create_account_with(now, &actor(), 0, new, (0, String::new()))
    });
    assert_eq!(nothing, Err(AccountError::Nothing));
    assert_eq!(credit(&mut net, holder(), 1), Err(AccountError::Unknown(holder())));
}

#[test]
fn a_session_s_cap_stands_until_its_last_sender_is_gone() {
    const S2: NodeId = 3;
    let mut t = Topology::default();
    for (name, kind) in
        [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host), ("S2", Kind::Host)]
    {
        t.node(name, kind);
    }
    t.link(S, A, (0, 0));
    t.link(A, R, (PRICE, PRICE));
    t.link(S2, A, (0, 0));
    let mut net = Net::new(t, options(Accounts::default()));
    let caps = Caps { session: Some(20_000_000), ..Caps::default() };
    create(&mut net, holder(), Terms { caps, ..Terms::prepaid(EUR) });
    credit(&mut net, holder(), 1 << 60).unwrap();
    let session = session(&net, 0);
    let first = net.send(S, session, None);
    net.receive_as(R, reserve_up_to(session, None));
    net.run_ms(15_000);
    let second = net.send(S2, session, None);
    net.run_ms(15_000);
    let capped = ends(&net);
    assert_eq!(capped.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [End::SessionCap]);
    let left = balance(&mut net);
    // One of two senders ends: the session has spent what it may all the same.
    net.close(S2, second);
    net.run_ms(100_000);
    assert_eq!((reserved(&net), balance(&mut net)), (0, left.clone()));
    // With the last one the session ends, and what comes then is another.
    net.close(S, first);
    net.run_ms(5_000);
    net.send(S, session, None);
    net.run_ms(60_000);
    assert_eq!(ends(&net).len(), 2, "{:?}", ends(&net));
    assert_ne!(balance(&mut net), left);
}

#[test]
fn what_has_lapsed_is_not_told_to_run_on_by_an_account_that_is_opened() {
    let mut net = net(Accounts::default());
    open(&mut net, 0);
    net.run_ms(5_000);
    // R is silent for so long that its approval has ended, and A has not looked at the time.
    let late = net.clock(A).at + Span::from_millis(120_000);
    let outputs = later(&net, 120, |engine, late| {
        let limit = Backend::Account { limit: 1 << 60 };
        let new = (holder(), Terms { backend: limit, ..Terms::prepaid(EUR) });
        engine.create_account(late, &actor(), 0, new).unwrap();
    });
    let turn = |output: &Output| match output {
        Output::Record(_, body) => match &**body {
            Body::Runs(runs) if runs.meter.payment == Payment::ReceiverIn => Some(runs.clone()),
            _ => None,
        },
        _ => None,
    };
    let told: Vec<_> = outputs.iter().filter_map(turn).collect();
    assert!(told.iter().all(|runs| runs.rate == 0 && runs.at_ms < late.as_millis()), "{told:?}");
    assert_eq!(told.len(), 1);
}

#[test]
fn what_is_used_up_ends_before_a_node_goes_out_of_service() {
    let mut net = net(Accounts::default());
    create(&mut net, holder(), Terms::prepaid(EUR));
    credit(&mut net, holder(), 10_000_000).unwrap();
    open(&mut net, 0);
    net.run_ms(5_000);
    let began = turns(&net)[0].at_ms;
    let outputs = later(&net, 15, |engine, late| {
        engine.set_drain(late, Some(Some(200))).unwrap();
    });
    let ended = outputs.iter().find_map(|output| match output {
        Output::Spending(spending) => Some(spending.news),
        _ => None,
    });
    let late_ms = (net.clock(A).at.as_millis() + 15_000) - (began + 10_000);
    let at_ms = began + 10_000;
    let end = SpendingNews::Ended { why: End::Exhausted, at_ms, payments: 1, late_ms };
    assert_eq!(ended, Some(end));
}

/// What is left of S's account with A by the journal.
fn booked(net: &Net) -> String {
    let now = net.clock(A).at.as_millis();
    let open = net.node(A).replay().open();
    let open = open.filter(|open| open.meter.payment == Payment::SenderIn);
    let running: u128 =
        open.map(|open| u128::from(open.rate) * u128::from(now - open.from.at_ms)).sum();
    let (_, standing) = net.node(A).replay().standings().next().unwrap();
    let spent = i128::try_from(standing.kept.charged + running).unwrap();
    amount_text(i128::try_from(standing.kept.paid_in).unwrap() - spent)
}

#[test]
fn r023_a_sender_s_gap_is_paid_from_the_account_and_only_where_there_is_enough() {
    // S is silent until its approval has ended, after some 47 s: what then has passed is due when it
    // is heard again.
    let mut credit = 1_u128 << 60;
    for goes_on in [true, false] {
        let mut net = net(Accounts::default());
        let hop = sender(&net);
        create(&mut net, hop.clone(), Terms::prepaid(EUR));
        super::accounts::credit(&mut net, hop, credit).unwrap();
        open_paid(&mut net);
        net.run_ms(5_000);
        let link = net.topology.between(S, A);
        net.set_weather_of(link, Weather { loss_permille: 1_000, ..Weather::FAIR });
        while shares(&net).last().is_some_and(|runs| runs.rate > 0) {
            net.run_ms(1_000);
        }
        // The second time ten milliseconds more than what was spent by now are paid in.
        let (_, standing) = net.node(A).replay().standings().next().unwrap();
        credit = standing.kept.charged + 10 * u128::from(PRICE);
        net.set_weather_of(link, Weather::FAIR);
        net.run_ms(50_000);
        let gap =
            |body: &Body| matches!(body, Body::Gap(gap) if gap.meter.payment == Payment::SenderIn);
        let billed = net.node(A).records().iter().any(|(_, body)| gap(body));
        assert_eq!(billed, goes_on);
        let now = balance(&mut net);
        assert!(!now.starts_with('-'), "{now}");
        assert_eq!(now, booked(&net), "as the journal has it");
    }
}
