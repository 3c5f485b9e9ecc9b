//! Other ways to send: several senders, unicast, hops that do not charge.

use std::collections::BTreeSet;

use lcm_daemon::engine::SenderShare;
use lcm_tests::sim::{
    Branching, Family, Kind, Net, NodeId, Options, Topology, group, reserve_up_to,
};
use rsvp_wire::object::Tspec;
use rsvp_wire::{Message, MessageType};

use crate::support::{price, seeds};
use crate::trees::options;

/// A network without cycles: routers, and hosts that hang on them; prices in both directions.
fn network(rng: &mut fastrand::Rng, hosts: usize) -> (Topology, Vec<NodeId>) {
    let mut topology = Topology::default();
    let routers = rng.usize(1..=6);
    for index in 0..routers {
        topology.node(&format!("I{index}"), Kind::Router);
        if index > 0 {
            let parent = rng.usize(..index);
            let prices = [price(rng), price(rng)];
            topology.two_way(parent, index, prices);
        }
    }
    let host = |index: usize| {
        let host = topology.node(&format!("H{index}"), Kind::Host);
        let prices = [price(rng), (0, 0)];
        topology.two_way(rng.usize(..routers), host, prices);
        host
    };
    let hosts = (0..hosts).map(host).collect();
    (topology, hosts)
}

fn share(rng: &mut fastrand::Rng) -> SenderShare {
    let some = |rng: &mut fastrand::Rng| rng.u8(0..4) == 0;
    SenderShare {
        fraction_ppm: rng.u32(0..=1_000_000),
        account: None,
        limit_per_receiver: some(rng).then(|| rng.u64(0..3_000)),
        limit_per_hop: some(rng).then(|| rng.u64(0..2_000)),
        max_hops: some(rng).then(|| rng.u32(0..5)),
    }
}

/// Hosts that send and receive in one session, each flow with a reservation of its own: packed
/// RESVs with a FILTER_SPEC option a payment.
#[test]
fn r061_each_of_several_senders_agrees_with_its_own_tree() {
    let mut packed = 0;
    for seed in seeds(300) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let count = rng.usize(3..=7);
        let (topology, hosts) = network(&mut rng, count);
        let mut net = Net::new(topology, options(seed));
        let session = group(net.family(), 1);
        let senders: Vec<NodeId> = hosts[..rng.usize(2..=hosts.len())].to_vec();
        let receivers: Vec<NodeId> = hosts[rng.usize(..hosts.len() - 1)..].to_vec();
        let shares: Vec<SenderShare> = senders.iter().map(|_| share(&mut rng)).collect();
        for (sender, share) in senders.iter().zip(&shares) {
            net.send(*sender, session, Some(share.clone()));
        }
        for receiver in &receivers {
            net.run_ms(rng.u64(0..50));
            net.receive(*receiver, session);
        }
        net.run_ms(60_000);
        let mut balances = vec![0; net.topology.nodes.len()];
        for (sender, share) in senders.iter().zip(&shares) {
            let others: BTreeSet<NodeId> =
                receivers.iter().copied().filter(|node| node != sender).collect();
            if others.is_empty() {
                continue;
            }
            let tree = Branching::of(&net, *sender, &others, share);
            if let Some(difference) = tree.disagreement(&net, net.sender(*sender)) {
                panic!("seed {seed}: {difference}\n{:?}\n{}", tree.tree, net.story());
            }
            tree.add_balances(&mut balances);
        }
        net.assert_metered(20_000, &balances);
        net.assert_promise();
        packed += packed_resvs(&net);
    }
    assert!(packed > 100, "only {packed} RESVs carried several flows");
}

/// RESVs with several flows, each with its own payment.
fn packed_resvs(net: &Net) -> usize {
    let several = |crossing: &&lcm_tests::sim::Crossing| {
        let Ok(Message::Resv(resv)) = Message::parse(net.log.bytes(crossing)) else { return false };
        let flows = resv.flows().count();
        let named = resv.policy_data().filter(|object| object.filter_spec().is_some()).count();
        assert!(flows == 1 || named == flows, "{flows} flows, {named} payments with a filter");
        flows > 1
    };
    net.log.crossings().iter().filter(several).count()
}

#[test]
fn r034_unicast_agrees_with_its_chain() {
    for seed in seeds(300) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (topology, hosts) = network(&mut rng, 2);
        let mut net = Net::new(topology, options(seed));
        let (sender, receiver) = (hosts[0], hosts[1]);
        let session = net.session_to(receiver);
        let share = share(&mut rng);
        net.receive(receiver, session);
        let sending = net.send(sender, session, Some(share.clone()));
        net.run_ms(10_000);
        let tree = Branching::of(&net, sender, &BTreeSet::from([receiver]), &share);
        if let Some(difference) = tree.disagreement(&net, net.sender(sender)) {
            panic!("seed {seed}: {difference}\n{:?}\n{}", tree.tree, net.story());
        }
        let mut balances = vec![0; net.topology.nodes.len()];
        tree.add_balances(&mut balances);
        net.assert_metered(100_000, &balances);
        net.assert_promise();
        net.close(sender, sending);
        net.run_ms(1_000);
        assert_eq!(net.sizes(), (1, 0, 0), "only the receiver's application is left");
    }
}

/// S - A - P - B - R, where P is of another kind than the charging routers A and B.
fn chain(kind: Kind) -> (Net, [NodeId; 5]) {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let a = t.node("A", Kind::Router);
    let p = t.node("P", kind);
    let b = t.node("B", Kind::Router);
    let r = t.node("R", Kind::Host);
    t.link(s, a, (0, 0));
    t.link(a, p, (100, 120));
    t.link(p, b, (0, 0));
    t.link(b, r, (60, 70));
    (Net::new(t, Options::default()), [s, a, p, b, r])
}

fn half() -> Option<SenderShare> {
    Some(SenderShare { fraction_ppm: 250_000, ..SenderShare::default() })
}

#[test]
fn r037_r107_sums_hold_across_a_router_without_rsvp() {
    let (mut net, [s, a, p, b, r]) = chain(Kind::Plain);
    let session = group(Family::V4, 1);
    net.send(s, session, half());
    net.receive(r, session);
    net.run_ms(10_000);
    let view = |id: NodeId| net.node(id).engine().show_sessions(net.clock(id))[0].clone();
    let seen: Vec<bool> = [a, b, r].map(|id| view(id).senders[0].non_rsvp_hop).into();
    assert_eq!(seen, [false, true, false], "who saw that a hop was passed");
    let phop = view(b).senders[0].phop.unwrap();
    assert_eq!(net.topology.owner(phop), Some(a));
    // Flag B is set where the hop was passed, and stays set (charging.md section 5).
    let flag = |link, from| net.log.last_dcpe(link, from, net.sender(s)).unwrap().flags.bits();
    assert_eq!([flag(1, a), flag(2, p), flag(3, b)], [0, 0, 2]);
    let mut expected = vec![0; 5];
    (expected[s], expected[a], expected[b], expected[r]) = (-40, 100, 60, -120);
    net.assert_metered(100_000, &expected);
    net.assert_promise();
}

/// Two charging routers behind one plain one: each pays its share of the way to it.
#[test]
fn r037_two_next_hops_behind_one_interface_share_its_price() {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let a = t.node("A", Kind::Router);
    let p = t.node("P", Kind::Plain);
    let b = t.node("B", Kind::Router);
    let c = t.node("C", Kind::Router);
    let r = t.node("R1", Kind::Host);
    let q = t.node("R2", Kind::Host);
    for (from, to, price) in [(s, a, 0), (a, p, 100), (p, b, 0), (p, c, 0), (b, r, 60), (c, q, 40)]
    {
        t.link(from, to, (price, price));
    }
    let mut net = Net::new(t, Options::default());
    let session = group(Family::V4, 1);
    net.send(s, session, half());
    net.receive(r, session);
    let second = net.receive(q, session);
    net.run_ms(100_000);
    let mut expected = vec![0; 7];
    // A earns 100, once; each branch carries 50 of it.
    (expected[a], expected[b], expected[c]) = (100, 60, 40);
    (expected[s], expected[r], expected[q]) = (-51, -82, -67);
    net.assert_metered(100_000, &expected);
    net.close(q, second);
    net.run_ms(100_000);
    let mut expected = vec![0; 7];
    (expected[a], expected[b], expected[s], expected[r]) = (100, 60, -40, -120);
    net.assert_metered(100_000, &expected);
    net.assert_promise();
}

/// A node that runs RSVP and does not charge carries the elements through unread.
#[test]
fn r037_sums_hold_across_a_policy_ignorant_router() {
    let (mut net, [s, a, p, b, r]) = chain(Kind::Ignorant);
    let session = group(Family::V4, 1);
    net.send(s, session, half());
    net.receive(r, session);
    net.run_ms(10_000);
    assert_eq!(net.node(p).engine().sizes(), (1, 1, 1));
    let mut expected = [0; 5];
    (expected[s], expected[a], expected[b], expected[r]) = (-40, 100, 60, -120);
    let rates = net.rates_over(100_000);
    // P appears in the books as the neighbour that it is for RSVP.
    assert_eq!(rates[s] + rates[r] + rates[a] + rates[b] + rates[p], 0);
    assert_eq!((rates[s], rates[r]), (expected[s], expected[r]));
}

/// A payee that gave up a reservation says so, through a node that does not know what it carries:
/// the payer comes back with a new one (RFC 2750 section 4, charging.md T17).
#[test]
fn what_was_given_up_behind_a_policy_ignorant_router_comes_back() {
    for outage_s in (50..250).step_by(10) {
        let (mut net, [s, _, p, _, r]) = chain(Kind::Ignorant);
        let session = group(Family::V4, 1);
        net.send(s, session, half());
        net.receive(r, session);
        net.run_ms(10_000);
        // RESVs are lost, PATHs are not.
        net.mute(p, true);
        net.run_ms(outage_s * 1_000);
        net.mute(p, false);
        net.run_ms(400_000);
        let rates = net.rates_over(10_000);
        assert_eq!((rates[s], rates[r]), (-40, -120), "{outage_s} s");
    }
}

/// A price that nobody confirms any more is refused to those who come anew; they ask again with
/// their refreshes, not twice a second.
#[test]
fn an_expired_price_is_asked_for_once_a_refresh() {
    let (mut net, [s, a, p, b, r]) = chain(Kind::Router);
    let session = group(Family::V4, 1);
    net.fix_members(session, [r]);
    net.send(s, session, half());
    net.receive(r, session);
    net.run_ms(10_000);
    let links = [net.topology.between(p, b), net.topology.between(s, a)];
    links.into_iter().for_each(|link| net.set_link(link, false));
    net.run_ms(70_000);
    net.set_link(links[0], true);
    net.run_ms(5_000);
    let before = net.log.messages();
    net.run_ms(60_000);
    let sent = net.log.messages() - before;
    assert!(sent < 60, "{sent} messages in a minute\n{}", net.story());
}

#[test]
fn a_group_is_joined_on_an_interface_that_comes_up_later() {
    let (mut net, [s, .., b, r]) = chain(Kind::Router);
    let session = group(Family::V4, 1);
    net.send(s, session, half());
    let link = net.topology.between(b, r);
    net.set_link(link, false);
    net.receive(r, session);
    net.run_ms(10_000);
    net.set_link(link, true);
    net.run_ms(10_000);
    assert_eq!(net.node(r).engine().sizes(), (1, 1, 1));
}

/// A receiver that reserves what the sender describes hears of a new description, even when the
/// sender came back unnoticed.
#[test]
fn a_reservation_in_the_senders_words_follows_them() {
    let (mut net, [s, .., r]) = chain(Kind::Router);
    let session = group(Family::V4, 1);
    let sending = net.send(s, session, half());
    net.receive(r, session);
    net.run_ms(10_000);
    net.mute(s, true);
    net.close(s, sending);
    net.mute(s, false);
    net.send_traffic(s, session, Tspec::new(64_000, 4_000, 128, 1_000), half());
    net.run_ms(10_000);
    for node in 0..5 {
        let reserved = net.node(node).engine().show_reservations(net.clock(node));
        assert_eq!(reserved[0].traffic.rate, 64_000, "node {node}");
    }
}

/// RESVCONF travels hop by hop back to the receiver that asked (RFC 2205 section 2.6).
#[test]
fn a_confirmation_reaches_the_receiver_that_asked() {
    for (family, kind) in [(Family::V4, Kind::Router), (Family::V6, Kind::Plain)] {
        let (net, [s, .., r]) = chain(kind);
        let mut net = Net::new(net.topology, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.send(s, session, half());
        let mut request = reserve_up_to(session, None);
        request.confirm = true;
        net.receive_as(r, request);
        net.run_ms(10_000);
        let told = net.node(r).notices().iter();
        let confirmed = told.filter(|n| n.event == lcm_daemon::engine::NoticeEvent::Confirmed);
        assert_eq!(confirmed.count(), 1, "{}", net.story());
        let sent = net.log.crossings().iter().filter(|c| c.message_type == MessageType::ResvConf);
        assert!(sent.count() >= 3);
    }
}
