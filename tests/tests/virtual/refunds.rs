//! What is given back for outages (charging.md T11): negotiated at setup, contra entries on both
//! ends of each link, nothing twice and nothing lost.

use std::collections::BTreeMap;

use charging_model::tree::Tree;
use charging_model::{Grant, Ppm, Span};
use lcm_daemon::billing::{Claim, believe, claim, reconcile, sign};
use lcm_daemon::ledger::record::{Body, Granted, Payment, Refund};
use lcm_daemon::purse::Holder;
use lcm_daemon::tariff::Refunds;
use lcm_tests::sim::{Net, NodeId, Options, Pair, TreeNet, Weather};

use crate::statements::{query, write_changed};
use crate::support::{link, seeds};

/// S 0 - A 1 - B 2 - C 3 - R 4.
const S: NodeId = 0;
const A: NodeId = 1;
const B: NodeId = 2;
const C: NodeId = 3;
const R: NodeId = 4;
const R_MS: u64 = 30_000;
const H_MS: u64 = R_MS * 3 / 2 + 2_000;

fn granting(grant: Grant) -> Options {
    let refunds = Refunds { controlled_load: Some(grant), guaranteed: None };
    let mut options = Options::default();
    options.config.refunds = refunds;
    options
}

fn chain(options: Options) -> TreeNet {
    let tree = Tree {
        links: vec![
            link(0, 0, 0, false),
            link(1, 100, 100, false),
            link(2, 60, 60, false),
            link(3, 40, 40, true),
        ],
        fraction: Ppm::new(250_000).unwrap(),
        ..Tree::default()
    };
    let mut play = TreeNet::new(&tree, options, true);
    play.net.run_ms(2_000);
    play.join(R);
    play.rest();
    play
}

/// What payees gave back, and what payers say that they were given back.
fn given_back(net: &mut Net) -> [BTreeMap<Pair, i128>; 2] {
    net.metered();
    let mut all = [BTreeMap::new(), BTreeMap::new()];
    for id in 0..net.topology.nodes.len() {
        if !net.node(id).runs() {
            continue;
        }
        let accounts = net.input(id, |engine, now| engine.show_accounts(now)).accounts;
        for account in accounts {
            let Some(other) = net.topology.owner(account.neighbour) else { continue };
            let amount: i128 = account.given_back.parse().unwrap();
            let (side, pair) = match amount {
                0 => continue,
                1.. => (0, Pair { payee: id, payer: other }),
                _ => (1, Pair { payee: other, payer: id }),
            };
            *all[side].entry(pair).or_default() += amount.abs();
        }
    }
    all
}

fn refunds(net: &Net, node: NodeId) -> Vec<Refund> {
    let of = |body: &Body| match body {
        Body::Refund(refund) => Some(refund.clone()),
        _ => None,
    };
    net.node(node).records().iter().filter_map(|(_, body)| of(body)).collect()
}

fn granted(net: &Net, node: NodeId) -> Vec<Granted> {
    let of = |body: &Body| match body {
        Body::Granted(granted) => Some(granted.clone()),
        _ => None,
    };
    net.node(node).records().iter().filter_map(|(_, body)| of(body)).collect()
}

#[test]
fn r009_silence_is_given_back_down_to_the_receiver_and_both_ends_say_the_same() {
    let mut play = chain(granting(Grant::ProRata));
    for node in [A, B, C] {
        let said = granted(&play.net, node);
        assert_eq!(said.len(), 1, "accepted with the consent at {node}: {said:?}");
        assert_eq!((said[0].policy, said[0].threshold_ms), (1, 0));
    }
    play.net.run_ms(3 * R_MS);
    // A hears nothing any more; B, C and R hear A, which says so when 2H are over.
    let before = play.net.metered();
    play.net.mute(S, true);
    play.net.run_ms(2 * H_MS + 1_000);
    let after = play.net.metered();
    let [given, received] = given_back(&mut play.net);
    assert_eq!(given, received, "{}", play.net.story());
    for (payee, rate) in [(A, 75), (B, 120), (C, 150)] {
        let pair = Pair { payee, payer: payee + 1 };
        let back = given[&pair];
        assert_eq!(back % rate, 0);
        let ms = u64::try_from(back / rate).unwrap();
        assert!(ms.abs_diff(2 * H_MS) < 50, "{payee} gave {ms} ms back");
        // What was metered since the last word, in whole, and no more.
        let billed = after[&pair].receiver_payment - before[&pair].receiver_payment;
        assert!(billed <= back, "{payee} billed {billed} and gave {back} back");
        let own = refunds(&play.net, payee);
        let own = own.iter().filter(|it| it.meter.payment == Payment::ReceiverIn);
        let [record] = &own.collect::<Vec<_>>()[..] else { panic!("at {payee}") };
        assert_eq!(record.amount, back as u128);
        let shadow = refunds(&play.net, payee + 1);
        let shadow = shadow.iter().find(|it| it.meter.payment == Payment::ReceiverOut).unwrap();
        assert_eq!(shadow.amount, record.amount);
    }
    // What stands again is paid for again, and what is repeated says nothing.
    play.net.mute(S, false);
    play.net.run_ms(6 * R_MS);
    assert_eq!(given_back(&mut play.net), [given.clone(), given]);
    play.net.assert_promise();
}

/// The ledgers of two neighbours after an outage come to the same claim, less what was given back.
#[test]
fn r009_settlement_takes_off_what_both_ends_say_was_given_back() {
    let mut play = chain(granting(Grant::ProRata));
    play.net.run_ms(3 * R_MS);
    play.net.mute(S, true);
    play.net.run_ms(2 * H_MS + 1_000);
    let net = &play.net;
    let link = net.topology.between(B, C);
    let of = |node| net.topology.address_on(net.family(), node, link);
    let claimed = |node: NodeId, name, about: NodeId, change: fn(&Body) -> Body| {
        let dir = tempfile::tempdir().unwrap();
        write_changed(net, (node, name), dir.path(), change, &[]);
        let any = query(Holder::Neighbour(of(about)));
        let signed = sign(dir.path(), claim(dir.path(), of(about), &any).unwrap()).unwrap();
        believe(&serde_json::to_string(&signed).unwrap(), None).unwrap()
    };
    let (ours, theirs) = (claimed(B, "B", C, Clone::clone), claimed(C, "C", B, Clone::clone));
    let settled = reconcile(&ours, &theirs, 200).unwrap();
    assert!(settled.differences.is_empty() && settled.agreed > 0, "{settled:?}");
    let back: u128 = refunds(net, B)
        .iter()
        .filter(|refund| refund.meter.neighbour.address == of(C))
        .map(|refund| match refund.meter.payment {
            Payment::ReceiverIn | Payment::SenderIn => refund.amount,
            _ => 0,
        })
        .sum();
    assert!(back > 0);
    assert_eq!(settled.returned, back.cast_signed());
    // Who is paid meters: B what C's receivers pay, and C what B's sender does.
    let earned = |claim: &Claim| {
        let lines = claim.lines.iter().filter(|line| line.payment.ends_with("_in"));
        lines.map(|line| i128::from(line.rate) * i128::from(line.ms)).sum::<i128>()
    };
    assert_eq!(settled.due, earned(&ours) - earned(&theirs) - back.cast_signed());
    let mirrored = reconcile(&theirs, &ours, 200).unwrap();
    assert_eq!((mirrored.due, mirrored.returned), (-settled.due, -settled.returned));
    // C says that the outage was ten seconds longer.
    let longer = |body: &Body| match body {
        Body::Refund(refund) if refund.meter.payment == Payment::ReceiverOut => {
            let amount = refund.amount + 10_000 * 120;
            Body::Refund(Refund { amount, ..refund.clone() })
        }
        other => other.clone(),
    };
    let due = settled.due;
    let settled = reconcile(&ours, &claimed(C, "C", B, longer), 200).unwrap();
    assert_eq!(settled.due, due, "who is paid says what was given");
    let [difference] = &settled.differences[..] else { panic!("{settled:?}") };
    let (ours, theirs) = (difference.ours.returned, difference.theirs.returned);
    assert_eq!((ours, theirs), (back.cast_signed(), back.cast_signed() + 10_000 * 120));
}

#[test]
fn r009_a_hop_that_grants_nothing_is_the_weakest() {
    let mut play = chain(granting(Grant::ProRata));
    play.net.configure(B, |config| {
        config.default_interface.tariff.refunds = Refunds::default();
        for interface in config.interfaces.values_mut() {
            interface.tariff.refunds = Refunds::default();
        }
    });
    let before = granted(&play.net, B).len();
    play.net.run_ms(6 * R_MS);
    play.net.mute(S, true);
    play.net.run_ms(2 * H_MS + 1_000);
    let [given, received] = given_back(&mut play.net);
    assert_eq!(given, received);
    // B takes nothing that it would not pass on, and C cannot promise what B does not.
    let of: Vec<NodeId> = given.keys().map(|pair| pair.payee).collect();
    assert!(of.is_empty(), "{given:?}");
    assert_eq!(granted(&play.net, B).len(), before);
}

/// Random trees whose routers fall silent for a while and whose links lose messages: nobody got back
/// more than it paid, or took more off than it was given; and nothing is lost on the way.
#[test]
fn r009_nothing_is_given_back_twice_or_lost_in_any_weather() {
    let (mut total, mut compared) = (0, 0);
    for seed in seeds(300) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let routers = rng.usize(2..6);
        // A router below each, and a receiver below every router.
        let mut links = vec![link(0, 0, 0, false)];
        for own in 1..routers {
            let parent = if rng.bool() { own } else { rng.usize(1..=own) };
            let local = rng.u64(1..1_000);
            links.push(link(parent, local, local, false));
        }
        for parent in 1..=routers {
            let local = rng.u64(1..1_000);
            links.push(link(parent, local, local, true));
        }
        let tree =
            Tree { links, fraction: Ppm::new(rng.u32(0..600_000)).unwrap(), ..Tree::default() };
        let short = Span(rng.u64(1..1_000) * 100);
        let grant = if rng.bool() { Grant::ProRata } else { Grant::FreeIfShort(short) };
        let mut play = TreeNet::new(&tree, Options { seed, ..granting(grant) }, false);
        for receiver in (routers + 1)..=(2 * routers) {
            play.join(receiver);
        }
        play.rest();
        let lossy = rng.bool();
        let loss =
            if lossy { Weather { loss_permille: 100, ..Weather::FAIR } } else { Weather::FAIR };
        play.net.set_weather(loss);
        for _ in 0..3 {
            let broken = rng.usize(0..=routers);
            play.net.mute(broken, true);
            play.net.run_ms(rng.u64(1_000..2 * H_MS + 10_000));
            play.net.mute(broken, false);
            if rng.bool() {
                play.net.run_ms(rng.u64(0..6 * R_MS));
            }
        }
        play.net.set_weather(Weather::FAIR);
        play.net.run_ms(12 * R_MS);
        let [given, received] = given_back(&mut play.net);
        for (pair, back) in &received {
            assert!(given.get(pair) >= Some(back), "seed {seed}: {pair:?} took too much");
        }
        let (metered, shadows) = (play.net.metered(), play.net.shadows());
        // Who lost its state does not know what it paid, and takes nothing off it. Anybody else takes
        // off all but what its own meter, which began or ended with another message, never came to.
        let whole = (0..=2 * routers).all(|node| {
            let expired = &play.net.node(node).engine().counters().expired;
            !expired.keys().any(|kind| ["sender", "reservation", "payer"].contains(kind))
        });
        for (pair, back) in given.iter().filter(|_| whole) {
            let short = back - received.get(pair).copied().unwrap_or_default();
            let shadow = shadows.get(pair).map_or(0, |shadow| shadow.receiver_payment);
            let less = metered[pair].receiver_payment - shadow;
            assert!(short == 0 || short <= less, "seed {seed}: {pair:?} lacks {short}, not {less}");
            compared += 1;
        }
        for (pair, back) in &given {
            let paid = metered[pair].receiver_payment;
            assert!(*back <= paid, "seed {seed}: {pair:?} got {back} of {paid} back");
            total += back;
        }
        play.net.assert_promise();
    }
    assert!(total > 0 && compared > 0, "{compared} compared");
}
