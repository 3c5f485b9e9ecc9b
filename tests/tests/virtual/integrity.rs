//! RSVP authentication (RFC 2747): whole networks whose messages are signed, and what is neither
//! signed nor new in them.

use charging_model::Ppm;
use charging_model::tree::Tree;
use lcm_daemon::config::{Authentication, Handshake};
use lcm_daemon::engine::Disbelief;
use lcm_daemon::packet::PacketMeta;
use lcm_tests::sim::{Crossing, NodeConfig, NodeId, Options, Secured, TreeNet, key};
use rsvp_wire::digest::{self, Algorithm, Key};
use rsvp_wire::iana::class;
use rsvp_wire::object::{Challenge, Integrity};
use rsvp_wire::{Message, MessageType, MessageWriter, Packet, rewrite_checksum};

use crate::support::link;

/// S 0 - A 1 - B 2 - R 3: link n leads to node n + 1.
const A: NodeId = 1;
const B: NodeId = 2;
const R: NodeId = 3;
const NODES: std::ops::Range<NodeId> = 0..4;
const SECRET: &str = "the key of the network";

fn network(secured: Secured) -> TreeNet {
    let tree = Tree {
        links: vec![link(0, 0, 0, false), link(1, 100, 120, false), link(2, 60, 60, true)],
        fraction: Ppm::new(250_000).unwrap(),
        ..Tree::default()
    };
    let config = NodeConfig { secured: Some(secured), ..NodeConfig::default() };
    TreeNet::new(&tree, Options { config, ..Options::default() }, false)
}

fn established(secured: Secured) -> TreeNet {
    let mut play = network(secured);
    play.join(R);
    play.rest();
    play.assert_agrees();
    play
}

fn off() -> Secured {
    Secured { handshake: Handshake::Off, ..Secured::default() }
}

fn delivered(play: &TreeNet, crossing: &Crossing) -> (PacketMeta, Vec<u8>) {
    let meta = PacketMeta {
        interface: play.net.topology.interface(crossing.to, crossing.link),
        source: crossing.source,
        destination: crossing.destination,
        ttl: crossing.ttl,
        router_alert: crossing.router_alert,
    };
    (meta, play.net.log.bytes(crossing).to_vec())
}

/// The newest PATH that B got, and how.
fn last_path(play: &TreeNet) -> (PacketMeta, Vec<u8>) {
    delivered(play, play.net.log.newest(1, A, MessageType::Path).next().unwrap())
}

fn integrity_of(bytes: &[u8]) -> Integrity<'_> {
    Packet::parse(bytes).unwrap().integrity().expect("it is signed")
}

/// Signs again what was changed.
fn resign(bytes: &mut [u8], sequence: Option<u64>, secret: &str) {
    if let Some(sequence) = sequence {
        bytes[8 + 12..8 + 20].copy_from_slice(&sequence.to_be_bytes());
    }
    let key = Key { algorithm: Algorithm::HmacSha256, secret: secret.as_bytes() };
    digest::sign(bytes, &key).unwrap();
    bytes[2..4].fill(0);
}

fn without_integrity(bytes: &[u8]) -> Vec<u8> {
    let length = usize::from(u16::from_be_bytes([bytes[8], bytes[9]]));
    let mut bare = [&bytes[..8], &bytes[8 + length..]].concat();
    let whole = u16::try_from(bare.len()).unwrap();
    bare[6..8].copy_from_slice(&whole.to_be_bytes());
    rewrite_checksum(&mut bare);
    bare
}

fn dropped(play: &TreeNet, node: NodeId, reason: &str) -> u64 {
    let counters = play.net.node(node).engine().counters();
    counters.dropped.get(reason).copied().unwrap_or(0)
}

/// All that was ever not believed, on all nodes.
fn disbelieved(play: &TreeNet) -> u64 {
    let of = |node| Disbelief::ALL.map(|why| dropped(play, node, why.name())).iter().sum::<u64>();
    NODES.map(of).sum()
}

fn state(play: &TreeNet, node: NodeId) -> String {
    let (engine, now) = (play.net.node(node).engine(), play.net.clock(node));
    format!("{:?}{:?}", engine.show_sessions(now), engine.show_reservations(now))
}

/// Gives B a message that it must not act on: counted under `why`, nothing changes, nobody is
/// answered, and the operator hears of it.
fn assert_dropped(play: &mut TreeNet, meta: PacketMeta, bytes: &[u8], why: Disbelief) {
    let before = (state(play, B), play.net.log.messages(), dropped(play, B, why.name()));
    let malformed = play.net.node(B).engine().counters().malformed.clone();
    let told = play.net.node(B).disbelieved().len();
    play.net.inject(B, meta, bytes);
    let after = (state(play, B), play.net.log.messages(), dropped(play, B, why.name()));
    assert_eq!(after, (before.0, before.1, before.2 + 1), "{why:?}");
    assert_eq!(play.net.node(B).engine().counters().malformed, malformed);
    let news = &play.net.node(B).disbelieved()[told..];
    assert!(news.len() <= 1 && news.iter().all(|n| n.why == why), "{news:?}");
    let view = play.net.node(B).engine().show_disbelief();
    assert!(view.iter().any(|v| v.dropped.iter().any(|(name, _)| name == why.name())));
}

#[test]
fn every_message_is_signed_right_behind_the_header_with_rising_numbers() {
    for algorithm in [Algorithm::HmacMd5, Algorithm::HmacSha1, Algorithm::HmacSha256] {
        for by_neighbour in [false, true] {
            let mut play = established(Secured { algorithm, by_neighbour, ..Secured::default() });
            play.net.run_ms(100_000);
            play.assert_agrees();
            let mut last = [0; 4];
            let mut signed = 0;
            for crossing in play.net.log.crossings() {
                let bytes = play.net.log.bytes(crossing);
                if crossing.message_type == MessageType::IntegrityChallenge {
                    assert!(Packet::parse(bytes).unwrap().integrity().is_none());
                    continue;
                }
                let integrity = integrity_of(bytes);
                assert_eq!(bytes[10], class::INTEGRITY);
                assert_eq!((bytes[2], bytes[3]), (0, 0), "no checksum");
                assert_eq!((integrity.flags, bytes[13]), (Integrity::HANDSHAKE, 0));
                assert_eq!(integrity.digest.len(), algorithm.digest_len());
                let key = Key { algorithm, secret: SECRET.as_bytes() };
                digest::verify(&Packet::parse(bytes).unwrap(), &key).unwrap();
                assert!(integrity.sequence > last[crossing.from]);
                last[crossing.from] = integrity.sequence;
                signed += 1;
            }
            assert!(signed > 20, "{signed}");
            assert_eq!(disbelieved(&play), 0);
        }
    }
}

#[test]
fn r022_r088_what_is_forged_replayed_or_not_signed_changes_nothing_and_is_not_answered() {
    let mut play = established(Secured::default());
    let (meta, path) = last_path(&play);
    let number = integrity_of(&path).sequence;
    // Each byte counts: header, every object, the digest itself, the number. The type and the
    // length have errors of their own, the checksum is none.
    for at in (0..path.len()).filter(|at| ![0, 1, 2, 3, 6, 7].contains(at)) {
        let mut forged = path.clone();
        forged[at] ^= 0x10;
        resign_not(&mut play, meta, &forged, at);
    }
    assert_dropped(&mut play, meta, &path, Disbelief::Replay);
    let mut other = path.clone();
    resign(&mut other, Some(number + 1_000), "a key of somebody else");
    assert_dropped(&mut play, meta, &other, Disbelief::WrongDigest);
    let mut unknown = path.clone();
    unknown[8 + 11] ^= 1;
    resign(&mut unknown, Some(number + 1_000), SECRET);
    assert_dropped(&mut play, meta, &unknown, Disbelief::UnknownKey);
    assert_dropped(&mut play, meta, &without_integrity(&path), Disbelief::Missing);
    // What an unsigned message would be answered for is not either.
    let mut odd = without_integrity(&path);
    let length = odd.len();
    odd.extend_from_slice(&[0, 8, 0x7f, 1, 0, 0, 0, 0]);
    odd[6..8].copy_from_slice(&u16::try_from(length + 8).unwrap().to_be_bytes());
    rewrite_checksum(&mut odd);
    assert_dropped(&mut play, meta, &odd, Disbelief::Missing);
    // The same message with the next number is believed.
    let mut next = path;
    resign(&mut next, Some(number + 1_000), SECRET);
    let before = disbelieved(&play);
    play.net.inject(B, meta, &next);
    assert_eq!(disbelieved(&play), before);
}

/// A message with one byte changed is dropped, for whichever reason comes first.
fn resign_not(play: &mut TreeNet, meta: PacketMeta, forged: &[u8], at: usize) {
    let before = (state(play, B), play.net.log.messages());
    let counted = |play: &TreeNet| {
        let malformed = &play.net.node(B).engine().counters().malformed;
        disbelieved(play) + malformed.values().sum::<u64>()
    };
    let count = counted(play);
    play.net.inject(B, meta, forged);
    assert_eq!((state(play, B), play.net.log.messages()), before, "byte {at}");
    assert_eq!(counted(play), count + 1, "byte {at}");
}

#[test]
fn strangers_cannot_flood_the_log_or_memory() {
    let mut play = established(Secured::default());
    let (meta, path) = last_path(&play);
    let bare = without_integrity(&path);
    let told = play.net.node(B).disbelieved().len();
    for _ in 0..1_000 {
        play.net.inject(B, meta, &bare);
    }
    assert_eq!(play.net.node(B).disbelieved().len(), told + 1);
    play.net.run_ms(10_000);
    play.net.inject(B, meta, &bare);
    let news = play.net.node(B).disbelieved().last().unwrap();
    assert_eq!(news.untold, 999);
    assert!(news.to_string().contains(&meta.source.to_string()) || !news.interface.is_empty());
    // Forged neighbours: so many are told apart.
    let (hop, _) = object(&bare, class::RSVP_HOP);
    for number in 0..2_000_u16 {
        let mut forged = bare.clone();
        forged[hop + 4..hop + 8].copy_from_slice(&[10, 200, (number >> 8) as u8, number as u8]);
        rewrite_checksum(&mut forged);
        play.net.inject(B, meta, &forged);
    }
    let views = play.net.node(B).engine().show_disbelief();
    assert!(views.len() <= 258 && views.iter().any(|view| view.interface == "other"));
    let all: u64 = views.iter().flat_map(|view| &view.dropped).map(|(_, count)| count).sum();
    assert_eq!(all, 3_001);
    let peers = |play: &TreeNet| {
        let engine = play.net.node(B).engine();
        let associations = engine.show_associations(play.net.clock(B));
        associations.iter().flat_map(|a| &a.keys).map(|key| key.peers.len()).sum::<usize>()
    };
    // A and R, which both interfaces list since they have one key.
    assert_eq!(peers(&play), 4, "nothing is kept of whom nobody believes");
}

fn object(bytes: &[u8], class: u8) -> (usize, usize) {
    let mut at = 8;
    loop {
        let length = usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
        if bytes[at + 2] == class {
            return (at, length);
        }
        at += length;
    }
}

#[test]
fn messages_out_of_order_are_taken_within_the_window() {
    for (window, late, taken) in [(1, 1, false), (4, 3, true), (4, 4, false)] {
        let mut play = established(Secured { window, ..off() });
        let (meta, path) = last_path(&play);
        let number = integrity_of(&path).sequence;
        let with = |ahead: u64| {
            let mut next = path.clone();
            resign(&mut next, Some(number + 100 + ahead), SECRET);
            next
        };
        (1..=late).for_each(|ahead| play.net.inject(B, meta, &with(ahead)));
        let before = dropped(&play, B, Disbelief::Replay.name());
        play.net.inject(B, meta, &with(0));
        let refused = dropped(&play, B, Disbelief::Replay.name()) - before;
        assert_eq!(refused == 0, taken, "{late} too late with a window of {window}");
        play.net.inject(B, meta, &with(0));
        assert_eq!(dropped(&play, B, Disbelief::Replay.name()), before + refused + 1, "once only");
    }
}

#[test]
fn r022_after_a_restart_old_messages_are_no_good_and_numbers_are_asked_for() {
    let mut play = established(Secured::default());
    let (meta, path) = last_path(&play);
    let cookies = |play: &TreeNet, from: NodeId| {
        let crossings = play.net.log.crossings().iter().filter(move |c| c.from == from);
        let asked = crossings.filter(|c| c.message_type == MessageType::IntegrityChallenge);
        let cookie = |c: &Crossing| match Message::parse(play.net.log.bytes(c)).unwrap() {
            Message::IntegrityChallenge(challenge) => challenge.challenge.cookie,
            other => panic!("{other:?}"),
        };
        asked.map(cookie).collect::<Vec<_>>()
    };
    let before = cookies(&play, B);
    assert!(!before.is_empty());
    play.net.kill(B);
    play.net.run_ms(2_000);
    play.net.start(B);
    // A's own last message, kept by somebody and played again: its number is asked for, and the
    // answer puts what was replayed behind it.
    play.net.inject(B, meta, &path);
    assert_eq!(dropped(&play, B, "integrity_handshake_pending"), 1);
    assert_eq!(play.net.node(B).engine().sizes(), (0, 0, 0), "nothing of it was acted on");
    play.net.run_ms(500);
    assert_dropped(&mut play, meta, &path, Disbelief::Replay);
    play.rest();
    play.assert_agrees();
    let after = cookies(&play, B);
    let mut distinct = after.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() == after.len() && after.len() > before.len(), "{after:?}");
}

#[test]
fn a_challenge_is_repeated_a_few_times_ever_later_and_then_left() {
    let mut play = established(Secured::default());
    let (meta, path) = last_path(&play);
    play.net.kill(B);
    play.net.start(B);
    play.net.mute(A, true);
    play.net.mute(R, true);
    let start = play.net.now_us();
    play.net.inject(B, meta, &path);
    play.net.run_ms(200_000);
    let crossings = play.net.log.crossings().iter().filter(|c| c.from == B && c.at >= start);
    let asked = crossings.filter(|c| c.message_type == MessageType::IntegrityChallenge);
    let at: Vec<u64> = asked.map(|c| (c.at - start) / 1_000).collect();
    assert_eq!(at, [0, 1_000, 3_000, 7_000, 15_000]);
    assert_eq!(play.net.node(B).engine().poll_timeout(), None, "and no alarm is left");
    assert_eq!(play.net.node(B).engine().sizes(), (0, 0, 0));
}

#[test]
fn only_the_answer_to_our_own_challenge_is_taken() {
    let mut play = established(Secured::default());
    let (meta, path) = last_path(&play);
    play.net.kill(B);
    play.net.start(B);
    play.net.mute(A, true);
    play.net.inject(B, meta, &path);
    let asked = play.net.log.newest(1, B, MessageType::IntegrityChallenge).next().unwrap();
    let Message::IntegrityChallenge(asked) = Message::parse(play.net.log.bytes(asked)).unwrap()
    else {
        panic!("no challenge")
    };
    let asked = asked.challenge;
    let source = play.net.topology.address_on(play.net.family(), A, 1);
    let meta = PacketMeta { source, destination: asked_from(&play), ..meta };
    let answer = |cookie, sequence| {
        let mut bytes = vec![0; 200];
        let mut writer = MessageWriter::new(&mut bytes, MessageType::IntegrityResponse, 255);
        let digest = Algorithm::HmacSha256.blank();
        writer.object(&Integrity { flags: 0x80, key_id: 1, sequence, digest }).unwrap();
        writer.object(&Challenge { key_id: 1, cookie }).unwrap();
        let length = writer.finish().unwrap();
        bytes.truncate(length);
        resign(&mut bytes, None, SECRET);
        bytes
    };
    let number = integrity_of(&path).sequence;
    assert_dropped(&mut play, meta, &answer(asked.cookie ^ 1, 5), Disbelief::WrongResponse);
    let mut forged = answer(asked.cookie, 5);
    forged[20] ^= 1;
    assert_dropped(&mut play, meta, &forged, Disbelief::WrongDigest);
    play.net.inject(B, meta, &answer(asked.cookie, number - 1));
    // A second answer changes nothing more: with the smaller number the window would be reopened.
    play.net.inject(B, meta, &answer(asked.cookie, 5));
    assert_eq!(dropped(&play, B, "integrity_needless_response"), 1);
    let path_meta = PacketMeta { ..last_path(&play).0 };
    play.net.inject(B, path_meta, &path);
    assert_eq!(play.net.node(B).engine().sizes().1, 1, "what is newer than the answer is taken");
    assert_dropped(&mut play, path_meta, &path, Disbelief::Replay);
}

fn asked_from(play: &TreeNet) -> std::net::IpAddr {
    play.net.topology.address_on(play.net.family(), B, 1)
}

#[test]
fn challenges_are_answered_without_a_digest_at_a_bounded_rate_and_for_known_keys_only() {
    let mut play = established(Secured::default());
    let (meta, _) = last_path(&play);
    let source = play.net.topology.address_on(play.net.family(), A, 1);
    let meta = PacketMeta { source, destination: asked_from(&play), ..meta };
    let challenge = |key_id| {
        let mut bytes = vec![0; 64];
        let mut writer = MessageWriter::new(&mut bytes, MessageType::IntegrityChallenge, 255);
        writer.object(&Challenge { key_id, cookie: 77 }).unwrap();
        let length = writer.finish().unwrap();
        bytes.truncate(length);
        bytes
    };
    let answers =
        |play: &TreeNet| play.net.log.newest(1, B, MessageType::IntegrityResponse).count();
    let before = answers(&play);
    play.net.inject(B, meta, &challenge(9));
    assert_eq!(answers(&play), before);
    assert_eq!(dropped(&play, B, "integrity_challenge_not_answered"), 1);
    let changed = state(&play, B);
    for _ in 0..5_000 {
        play.net.inject(B, meta, &challenge(1));
    }
    assert_eq!(state(&play, B), changed);
    assert_eq!(answers(&play) - before, 1_000, "limits.max_errors_per_s");
    let newest = play.net.log.newest(1, B, MessageType::IntegrityResponse).next().unwrap();
    assert_eq!(newest.destination, source);
    let bytes = play.net.log.bytes(newest);
    match Message::parse(bytes).unwrap() {
        Message::IntegrityResponse(response) => {
            assert_eq!(response.challenge, Challenge { key_id: 1, cookie: 77 });
            assert_eq!(response.integrity.key_id, 1);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whether_to_shake_hands_is_the_operator_s_choice() {
    // Nobody asks and nobody would answer: HF is 0, and the first message sets the number.
    let play = established(off());
    let asked = |play: &TreeNet| {
        let crossings = play.net.log.crossings().iter();
        crossings.filter(|c| c.message_type == MessageType::IntegrityChallenge).count()
    };
    assert_eq!(asked(&play), 0);
    let (meta, path) = last_path(&play);
    assert_eq!(integrity_of(&path).flags, 0);
    // Who asks if it is offered asks nobody here; who insists believes nobody here.
    for (handshake, sessions) in [(Handshake::IfOffered, 1), (Handshake::Required, 0)] {
        let mut play = established(off());
        play.net.kill(B);
        let mut own = play.net.authentication(B);
        own.iter_mut().for_each(|one| one.handshake = handshake);
        play.net.set_authentication(B, own);
        play.net.start(B);
        play.net.inject(B, meta, &path);
        assert_eq!(play.net.node(B).engine().sizes().0, sessions, "{handshake:?}");
        let refused = dropped(&play, B, Disbelief::NoHandshake.name());
        assert_eq!((asked(&play), refused), (0, 1 - sessions as u64));
    }
}

#[test]
fn unsigned_messages_pass_where_nobody_demands_signatures_but_wrong_ones_never() {
    let mut play = established(Secured::default());
    let mut own = play.net.authentication(B);
    own.iter_mut().for_each(|one| one.demand = false);
    play.net.set_authentication(B, own);
    let (meta, path) = last_path(&play);
    let before = disbelieved(&play);
    play.net.inject(B, meta, &without_integrity(&path));
    assert_eq!(disbelieved(&play), before);
    let mut forged = path;
    forged[40] ^= 1;
    assert_dropped(&mut play, meta, &forged, Disbelief::WrongDigest);
}

#[test]
fn one_way_alone_can_be_secured() {
    let mut play = established(Secured::default());
    // A signs nothing any more, and nobody demands it of A; A still demands signatures.
    let mut own = play.net.authentication(A);
    own.iter_mut().for_each(|one| one.sign = false);
    play.net.set_authentication(A, own);
    for node in [0, B] {
        let mut own = play.net.authentication(node);
        own.iter_mut().for_each(|one| one.demand = false);
        play.net.set_authentication(node, own);
    }
    play.net.run_ms(400_000);
    play.assert_agrees();
    let unsigned = |from: NodeId| {
        let newest = play.net.log.newest(1, from, MessageType::Path).next();
        let newest = newest.or_else(|| play.net.log.newest(1, from, MessageType::Resv).next());
        Packet::parse(play.net.log.bytes(newest.unwrap())).unwrap().integrity().is_none()
    };
    assert!(unsigned(A) && !unsigned(B));
    assert_eq!(disbelieved(&play), 0);
}

/// Every node's associations with the keys that `keys` gives.
fn set_keys(play: &mut TreeNet, node: NodeId, keys: &[lcm_daemon::config::Key]) {
    let mut own: Vec<Authentication> = play.net.authentication(node);
    own.iter_mut().for_each(|one| one.keys = keys.to_vec());
    play.net.set_authentication(node, own);
}

#[test]
fn keys_roll_over_without_a_dropped_message() {
    for handshake in [Handshake::Off, Handshake::IfOffered, Handshake::Required] {
        let mut play = established(Secured { handshake, ..Secured::default() });
        let old = key(1, Algorithm::HmacSha256, SECRET);
        let new = key(2, Algorithm::HmacSha1, "the key of the next month");
        let pending = |play: &TreeNet| -> u64 {
            NODES.map(|node| dropped(play, node, "integrity_handshake_pending")).sum()
        };
        let before = pending(&play);
        // One after the other accepts the new key, then signs with it, then forgets the old one.
        for keys in [[old.clone(), new.clone()].as_slice(), &[new.clone(), old], &[new]] {
            for node in NODES {
                set_keys(&mut play, node, keys);
                play.net.run_ms(17_000);
            }
            play.net.run_ms(100_000);
            play.assert_agrees();
        }
        assert_eq!(disbelieved(&play), 0, "{handshake:?}");
        assert_eq!(pending(&play), before, "{handshake:?}");
        let (_, path) = last_path(&play);
        assert_eq!(integrity_of(&path).key_id, 2);
    }
}

#[test]
fn keys_with_lifetimes_roll_over_by_the_clock() {
    let mut play = network(Secured::default());
    let start = u64::from(lcm_tests::sim::UNIX_START);
    let mut old = key(1, Algorithm::HmacSha256, SECRET);
    old.end = Some(start + 1_200);
    let mut new = key(2, Algorithm::HmacMd5, "the key of the next month");
    new.start = Some(start + 1_000);
    for node in NODES {
        set_keys(&mut play, node, &[old.clone(), new.clone()]);
        // Clocks need not agree by more than half of the overlap.
        play.net.set_wall_clock(node, [-40, 40, -20, 30][node]);
    }
    play.join(R);
    play.rest();
    play.assert_agrees();
    let pending = |play: &TreeNet| -> u64 {
        NODES.map(|node| dropped(play, node, "integrity_handshake_pending")).sum()
    };
    let before = pending(&play);
    play.net.run_ms(1_500_000);
    play.assert_agrees();
    assert_eq!((disbelieved(&play), pending(&play)), (0, before));
    let signed_with = |play: &TreeNet, at_s: u64| {
        let crossings = play.net.log.crossings().iter().rev();
        let mut of_a = crossings.filter(|c| c.from == A && c.message_type == MessageType::Path);
        let last = of_a.find(|c| c.at / 1_000_000 <= at_s).unwrap();
        integrity_of(play.net.log.bytes(last)).key_id
    };
    // A's clock is 40 s ahead; the middle of the overlap is 1,100 s.
    assert_eq!((signed_with(&play, 1_050), signed_with(&play, 1_125)), (1, 2));
}

#[test]
fn the_last_key_stays_in_use_beyond_its_end() {
    let mut play = network(Secured::default());
    let start = u64::from(lcm_tests::sim::UNIX_START);
    let mut only = key(1, Algorithm::HmacSha256, SECRET);
    only.end = Some(start + 300);
    NODES.for_each(|node| set_keys(&mut play, node, &[only.clone()]));
    play.join(R);
    play.net.run_ms(900_000);
    play.assert_agrees();
    assert_eq!(disbelieved(&play), 0);
    let view = play.net.node(B).engine().show_associations(play.net.clock(B));
    assert!(view.iter().all(|one| one.keys[0].state == "overdue"), "{view:?}");
    assert_eq!(play.net.node(B).keys_ended().len(), 2, "told once for each interface");
}

#[test]
fn what_must_be_signed_and_cannot_be_is_not_sent() {
    let mut play = established(Secured::default());
    let mut early = key(3, Algorithm::HmacSha256, SECRET);
    early.start = Some(u64::from(u32::MAX));
    set_keys(&mut play, A, &[early]);
    let before = play.net.log.newest(1, A, MessageType::Path).count();
    play.net.run_ms(100_000);
    assert_eq!(play.net.log.newest(1, A, MessageType::Path).count(), before);
    assert!(dropped(&play, A, "integrity_no_key_to_sign_with") > 0);
}

#[test]
fn numbers_rise_across_a_restart_within_the_same_second_and_a_clock_that_goes_back() {
    let mut play = established(off());
    for _ in 0..3 {
        play.net.kill(A);
        play.net.start(A);
        play.net.run_ms(1_001);
    }
    play.net.run_ms(400_000);
    play.assert_agrees();
    play.net.set_wall_clock(A, -1_000);
    play.net.run_ms(100_000);
    assert_eq!(disbelieved(&play), 0);
}

#[test]
fn a_neighbour_without_keys_is_left_alone_where_only_another_one_is_secured() {
    let mut play = established(Secured::default());
    // Between S and A nothing is secured any more; between A and B everything stays.
    play.net.set_authentication(0, Vec::new());
    let own = play.net.authentication(A);
    let towards_b = play.net.topology.interface_name(A, 1);
    let own: Vec<_> =
        own.into_iter().filter(|one| one.interface.as_ref() == Some(&towards_b)).collect();
    play.net.set_authentication(A, own);
    play.net.run_ms(400_000);
    play.assert_agrees();
    assert_eq!(disbelieved(&play), 0);
}

#[test]
fn r022_an_open_interface_is_no_way_around_a_secured_one() {
    let mut play = established(Secured::default());
    // Only between B and R everything is signed; A is on an open link of B.
    let towards = |play: &TreeNet, node, link| play.net.topology.interface_name(node, link);
    for (node, keeps) in [(0, None), (A, None), (B, Some(2)), (R, Some(2))] {
        let name = keeps.map(|link| towards(&play, node, link));
        let own = play.net.authentication(node);
        let own = own.into_iter().filter(|one| name.is_some() && one.interface == name).collect();
        play.net.set_authentication(node, own);
    }
    play.net.run_ms(100_000);
    play.assert_agrees();
    let resv = play.net.log.newest(2, R, MessageType::Resv).next().unwrap();
    let (meta, resv) = delivered(&play, resv);
    let open = PacketMeta { interface: play.net.topology.interface(B, 1), ..meta };
    // What R said, with and without its signature, and what A says about R's link.
    assert_dropped(&mut play, open, &without_integrity(&resv), Disbelief::Missing);
    assert_dropped(&mut play, open, &resv, Disbelief::Replay);
    let mut of_a = without_integrity(&resv);
    let (hop, _) = object(&of_a, class::RSVP_HOP);
    of_a[hop + 4..hop + 8].copy_from_slice(&[10, 200, 0, 1]);
    rewrite_checksum(&mut of_a);
    assert_dropped(&mut play, open, &of_a, Disbelief::Missing);
    // Errors in R's name.
    let mut error = of_a;
    error[1] = MessageType::PathErr.into();
    rewrite_checksum(&mut error);
    let of_r = play.net.topology.address_on(play.net.family(), R, 2);
    let named = PacketMeta { source: of_r, ..open };
    let (at, length) = object(&error, class::RSVP_HOP);
    error.drain(at..at + length);
    let whole = u16::try_from(error.len()).unwrap();
    error[6..8].copy_from_slice(&whole.to_be_bytes());
    rewrite_checksum(&mut error);
    assert_dropped(&mut play, named, &error, Disbelief::Missing);
}
