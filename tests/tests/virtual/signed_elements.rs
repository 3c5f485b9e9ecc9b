//! INTEGRITY inside POLICY_DATA (RFC 2750 section 3.2 and appendix B): charging hops that believe each
//! other across a hop that does not charge, and what that hop, or somebody beside it, tries.

use lcm_daemon::config::{Authentication, Handshake, Key, KeyUse, Secret};
use lcm_daemon::engine::Disbelief;
use lcm_daemon::packet::PacketMeta;
use lcm_tests::sim::{Crossing, Family, Kind, Net, NodeId, Options, Topology, key};
use rsvp_wire::digest::{self, Algorithm};
use rsvp_wire::object::Style;
use rsvp_wire::{Message, MessageType, rewrite_checksum};

use crate::veiled::{BETWEEN, BOTH, Fork, STYLES};

/// S 0 - A 1 - X 2, behind it B 3 and C 4.
const A: NodeId = 1;
const B: NodeId = 3;
const C: NodeId = 4;
const X: NodeId = 2;
/// The link between A and X.
const TO_X: usize = 1;
const UCPE: u16 = 0xD002;

fn behind_x(keys: Vec<Key>) -> Vec<Authentication> {
    vec![Authentication {
        interface: Some("to-X".to_owned()),
        neighbour: None,
        policy: true,
        sign: true,
        demand: true,
        handshake: Handshake::Off,
        window: 32,
        keys,
    }]
}

fn shared() -> Key {
    key(1, Algorithm::HmacMd5, "between charging hops")
}

fn secured(net: &mut Net) {
    [A, B, C].into_iter().for_each(|node| net.set_authentication(node, behind_x(vec![shared()])));
}

fn dropped(net: &Net, node: NodeId, why: Disbelief) -> u64 {
    net.node(node).engine().counters().dropped.get(why.name()).copied().unwrap_or(0)
}

fn disbelieved(net: &Net) -> u64 {
    [A, B, C]
        .iter()
        .map(|n| Disbelief::ALL.map(|why| dropped(net, *n, why)).iter().sum::<u64>())
        .sum()
}

#[test]
fn r022_r088_charging_hops_believe_each_other_across_a_hop_that_does_not_charge() {
    for between in BETWEEN {
        for style in STYLES {
            let mut fork = Fork::with(between, Family::V4, style, None, secured);
            assert_eq!(fork.rates(), BOTH, "{between:?} {style}");
            fork.net.run_ms(300_000);
            assert_eq!(fork.rates(), BOTH, "{between:?} {style}");
            assert_eq!(disbelieved(&fork.net), 0);
            let (mut paths, mut resvs) = (0, 0);
            for crossing in fork.net.log.crossings() {
                let count = signed_elements(&fork.net, crossing);
                match crossing.message_type {
                    MessageType::Path if crossing.link == TO_X => paths += count,
                    MessageType::Resv if crossing.link == TO_X => resvs += count,
                    _ => {}
                }
            }
            assert!(paths > 20 && resvs > 20, "{paths} {resvs}");
        }
        let mut fork = Fork::with(between, Family::V6, Style::FixedFilter, None, secured);
        assert_eq!((fork.rates(), disbelieved(&fork.net)), (BOTH, 0));
    }
}

/// Charging elements on a link around X: all are signed, and the digest is right.
fn signed_elements(net: &Net, crossing: &Crossing) -> usize {
    if ![crossing.from, crossing.to].contains(&X) {
        return 0;
    }
    let message = Message::parse(net.log.bytes(crossing)).unwrap();
    let Some(session) = message.session() else { return 0 };
    let key = digest::Key { algorithm: Algorithm::HmacMd5, secret: b"between charging hops" };
    let mut count = 0;
    for data in message.packet().policy_data().filter(|data| data.elements().next().is_some()) {
        digest::verify_policy(&data, &session, &key).unwrap();
        count += 1;
    }
    count
}

#[test]
fn r021_r088_nobody_is_debited_by_a_payment_that_is_not_believed() {
    for between in BETWEEN {
        for style in STYLES {
            let mut fork = Fork::with(between, Family::V4, style, None, |net| {
                secured(net);
                // What A says is believed at B, but what B says is signed by somebody else.
                let mut old = shared();
                old.usage = KeyUse::Receive;
                let mut own = key(2, Algorithm::HmacMd5, "the true key of B");
                net.set_authentication(A, behind_x(vec![shared(), own.clone()]));
                own.usage = KeyUse::Send;
                own.secret = Some(Secret::new(b"not the key of B"));
                net.set_authentication(B, behind_x(vec![own, old]));
            });
            // B tries all the time, and pays nothing; C pays as if it were alone: 0.7 of 100, and
            // its own 40.
            let rates = fork.rates();
            assert_eq!((rates[3], rates[5]), (40, -70 - 28), "{between:?} {style}");
            assert_eq!(fork.payers(), [(C, 70)]);
            assert!(dropped(&fork.net, A, Disbelief::WrongDigest) > 0);
            let told = fork.net.node(A).disbelieved();
            assert!(told.iter().all(|news| news.policy
                && news.neighbour
                    == fork.net.topology.address_on(
                        Family::V4,
                        B,
                        fork.net.topology.between(X, B)
                    )));
        }
    }
}

/// The newest RESV that A got from X with a payment of B, and how.
fn payment_of_b(fork: &Fork) -> (PacketMeta, Vec<u8>) {
    let b = fork.net.topology.address_on(Family::V4, B, fork.net.topology.between(X, B));
    let mut newest = fork.net.log.crossings().iter().rev();
    let crossing = newest.find(|c| {
        let pays = c.to == A && c.message_type == MessageType::Resv;
        pays && match Message::parse(fork.net.log.bytes(c)).unwrap() {
            Message::Resv(resv) => {
                let mut objects = resv.policy_data();
                objects.any(|data| data.originating_hop().is_some_and(|hop| hop.address == b))
            }
            _ => false,
        }
    });
    let crossing = crossing.expect("B pays");
    let meta = PacketMeta {
        interface: fork.net.topology.interface(A, TO_X),
        source: crossing.source,
        destination: crossing.destination,
        ttl: crossing.ttl,
        router_alert: false,
    };
    (meta, fork.net.log.bytes(crossing).to_vec())
}

fn raise_payment(bytes: &mut [u8], element: usize) {
    bytes[element + 19] ^= 1;
}

fn take_digest_off(bytes: &mut [u8], element: usize) {
    let integrity = bytes[..element].windows(4).rposition(|word| word[2..] == [4, 1]).unwrap();
    // As an option of class NULL it means nothing.
    bytes[integrity + 2] = 0;
}

#[test]
fn r022_r088_what_the_hop_between_changes_or_repeats_late_is_not_believed() {
    for between in BETWEEN {
        let mut fork = Fork::with(between, Family::V4, Style::FixedFilter, None, secured);
        let (meta, old) = payment_of_b(&fork);
        // It raises what is paid, and takes the digest off.
        for change in [raise_payment as fn(&mut [u8], usize), take_digest_off] {
            let (meta, mut bytes) = (meta, payment_of_b(&fork).1);
            let element = UCPE.to_be_bytes();
            let at = bytes.windows(2).position(|pair| pair == element).unwrap() - 2;
            change(&mut bytes, at);
            rewrite_checksum(&mut bytes);
            let (before, payers) = (disbelieved(&fork.net), fork.payers());
            fork.net.inject(A, meta, &bytes);
            assert_eq!(disbelieved(&fork.net), before + 1);
            assert_eq!(fork.payers(), payers);
        }
        // As the last one it may be repeated, as by a hop that refreshes its own state.
        fork.net.run_ms(100_000);
        let (meta, last) = payment_of_b(&fork);
        let before = disbelieved(&fork.net);
        fork.net.inject(A, meta, &last);
        assert_eq!(disbelieved(&fork.net), before);
        // An older one is a replay.
        fork.net.inject(A, meta, &old);
        assert!(dropped(&fork.net, A, Disbelief::Replay) > 0);
        fork.net.run_ms(100_000);
        assert_eq!(fork.rates(), BOTH);
        assert_eq!(fork.payers(), [(B, 35), (C, 35)]);
    }
}

#[test]
fn r021_strangers_behind_a_secured_interface_are_not_heard() {
    // C is not secured at all: nothing that it says counts, and what it hears is not checked there.
    let mut fork = Fork::with(Kind::Ignorant, Family::V4, Style::FixedFilter, None, |net| {
        [A, B].into_iter().for_each(|n| net.set_authentication(n, behind_x(vec![shared()])));
    });
    let rates = fork.rates();
    assert_eq!((rates[0], rates[3], rates[5]), (100, 0, 0));
    assert_eq!(fork.payers(), [(B, 70)]);
    assert!(dropped(&fork.net, A, Disbelief::Missing) > 0);
}

#[test]
fn r021_an_open_interface_is_no_way_around_a_secured_one() {
    let mut fork = Fork::with(Kind::Plain, Family::V4, Style::FixedFilter, None, secured);
    let (meta, mut forged) = payment_of_b(&fork);
    let element = UCPE.to_be_bytes();
    let at = forged.windows(2).position(|pair| pair == element).unwrap() - 2;
    raise_payment(&mut forged, at);
    take_digest_off(&mut forged, at);
    rewrite_checksum(&mut forged);
    // From the side of the sender, which is not secured, about the interface that is.
    let open = PacketMeta { interface: fork.net.topology.interface(A, 0), ..meta };
    let (before, payers) = (dropped(&fork.net, A, Disbelief::Missing), fork.payers());
    fork.net.inject(A, open, &forged);
    assert_eq!(dropped(&fork.net, A, Disbelief::Missing), before + 1);
    assert_eq!(fork.payers(), payers);
}

#[test]
fn keys_of_elements_roll_over_without_a_dropped_payment() {
    let mut fork = Fork::with(Kind::Ignorant, Family::V4, Style::FixedFilter, None, secured);
    let new = key(2, Algorithm::HmacSha256, "between charging hops, next year");
    for keys in [vec![shared(), new.clone()], vec![new.clone(), shared()], vec![new]] {
        for node in [A, B, C] {
            fork.net.set_authentication(node, behind_x(keys.clone()));
            fork.net.run_ms(31_000);
        }
        // What X repeats is not older than a lifetime.
        fork.net.run_ms(160_000);
        assert_eq!(fork.rates(), BOTH);
    }
    assert_eq!(disbelieved(&fork.net), 0);
}

/// S - A - R, whose elements alone are signed: what was overheard, and comes again octet for octet,
/// approves nothing once the key has ended, or was taken away.
#[test]
fn r022_r088_what_is_repeated_is_believed_as_long_as_its_key() {
    for ends in [true, false] {
        let mut t = Topology::default();
        let nodes = [("S", Kind::Host), ("A", Kind::Router), ("R", Kind::Host)];
        let [s, a, r] = nodes.map(|(name, kind)| t.node(name, kind));
        t.link(s, a, (0, 0));
        let link = t.link(a, r, (100, 100));
        let mut net = Net::new(t, Options::default());
        let towards = |interface: &str, keys: Vec<Key>| {
            let mut associations = behind_x(keys);
            associations[0].interface = Some(interface.to_owned());
            associations
        };
        let other = key(2, Algorithm::HmacMd5, "for later");
        let mut first = shared();
        first.end = ends.then(|| u64::from(net.clock(a).unix_s) + 200);
        net.set_authentication(a, towards("to-R", vec![first, other.clone()]));
        net.set_authentication(r, towards("to-A", vec![shared()]));
        let session = net.session_to(r);
        net.send(s, session, None);
        net.receive(r, session);
        net.run_ms(100_000);
        net.assert_metered(10_000, &[0, 100, -100]);
        let last = net.log.crossings().iter().rev();
        let mut last = last.filter(|c| c.from == r && c.message_type == MessageType::Resv);
        let bytes = net.log.bytes(last.next().unwrap()).to_vec();
        net.kill(r);
        let meta = PacketMeta {
            interface: net.topology.interface(a, link),
            source: net.topology.address_on(Family::V4, r, link),
            destination: net.topology.address_on(Family::V4, a, link),
            ttl: 63,
            router_alert: false,
        };
        for half_minute in 0..10 {
            net.inject(a, meta, &bytes);
            if half_minute == 2 && !ends {
                net.set_authentication(a, towards("to-R", vec![other.clone()]));
            }
            net.run_ms(30_000);
        }
        assert_eq!(net.rates_over(10_000), [0, 0, 0], "{ends}");
        let why = if ends { Disbelief::KeyNotLive } else { Disbelief::UnknownKey };
        assert!(dropped(&net, a, why) > 5, "{ends}");
    }
}
