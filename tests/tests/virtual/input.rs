//! What no honest neighbour sends, straight into an engine with an established reservation.

use std::net::IpAddr;

use charging_model::tree::Tree;
use charging_model::{Ppm, Rate};
use lcm_daemon::packet::PacketMeta;
use lcm_tests::sim::{Crossing, NodeId, Options, TreeNet};
use proptest::prelude::*;
use rsvp_wire::charging::Dcpe;
use rsvp_wire::iana::{class, error_code, policy, traffic_control};
use rsvp_wire::message::Path;
use rsvp_wire::object::{Hop, SenderTspec};
use rsvp_wire::{Message, MessageType, MessageWriter, PolicyOptions, rewrite_checksum};

use crate::support::{link, networks};

const DCPE: u16 = 0xD001;
const UCPE: u16 = 0xD002;
/// S 0 - A 1 - B 2 - R 3: link n leads to node n + 1.
const A: NodeId = 1;
const B: NodeId = 2;

fn established() -> TreeNet {
    let tree = Tree {
        links: vec![link(0, 0, 0, false), link(1, 100, 120, false), link(2, 60, 60, true)],
        fraction: Ppm::new(250_000).unwrap(),
        ..Tree::default()
    };
    let mut play = TreeNet::new(&tree, Options::default(), false);
    play.join(3);
    play.rest();
    play.assert_agrees();
    play
}

/// The last message of a type between A and B, and how B's or A's kernel delivered it.
fn last(play: &TreeNet, from: NodeId, message_type: MessageType) -> (NodeId, PacketMeta, Vec<u8>) {
    let crossing = play.net.log.newest(1, from, message_type).next().unwrap();
    delivered(play, crossing)
}

fn delivered(play: &TreeNet, crossing: &Crossing) -> (NodeId, PacketMeta, Vec<u8>) {
    let meta = PacketMeta {
        interface: play.net.topology.interface(crossing.to, crossing.link),
        source: crossing.source,
        destination: crossing.destination,
        ttl: crossing.ttl,
        router_alert: crossing.router_alert,
    };
    (crossing.to, meta, play.net.log.bytes(crossing).to_vec())
}

/// Everything that all engines show, and how many messages they sent.
fn state(play: &TreeNet) -> String {
    let mut text = String::new();
    for id in 0..play.net.topology.nodes.len() {
        let (engine, now) = (play.net.node(id).engine(), play.net.clock(id));
        text += &format!("{:?}{:?}", engine.show_sessions(now), engine.show_reservations(now));
    }
    text
}

/// The same without the times that a refresh moves.
fn lasting_state(play: &TreeNet) -> String {
    let state = state(play);
    let mut parts = state.split("_ms: Some(");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text += part.split_once(')').unwrap().1;
    }
    let approved: Vec<&str> = text.split("approved_for_ms: ").collect();
    let rest = approved.iter().skip(1).map(|part| part.trim_start_matches(char::is_numeric));
    std::iter::once(approved[0]).chain(rest).collect()
}

/// Where an element of this P-Type begins.
fn element(bytes: &[u8], ptype: u16) -> usize {
    let place = bytes.windows(2).position(|pair| pair == ptype.to_be_bytes());
    place.expect("the element is there") - 2
}

/// Where the object of this class begins, and its length.
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

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// Appends an object without a meaning.
fn append(bytes: &mut Vec<u8>, class: u8) {
    bytes.extend_from_slice(&[0, 8, class, 1, 1, 2, 3, 4]);
    let length = u16::try_from(bytes.len()).unwrap();
    put(bytes, 6, &length.to_be_bytes());
}

/// An error that goes back, by code and value.
type Answer = Option<(MessageType, u8, u16)>;

fn path_err(code: u8, value: u16) -> Answer {
    Some((MessageType::PathErr, code, value))
}

fn resv_err(code: u8, value: u16) -> Answer {
    Some((MessageType::ResvErr, code, value))
}

struct Case {
    name: &'static str,
    from: NodeId,
    change: fn(&mut Vec<u8>),
    answer: Answer,
    /// Counted as malformed, dropped or refused under this name.
    reason: &'static str,
}

/// Plays a case: the answer, the counter, the state as it was, and everything goes on.
fn assert_refused(case: &Case) {
    let Case { name, from, change, answer, reason } = case;
    let mut play = established();
    let message_type = if *from == A { MessageType::Path } else { MessageType::Resv };
    let (to, meta, mut bytes) = last(&play, *from, message_type);
    change(&mut bytes);
    rewrite_checksum(&mut bytes);
    let before = (state(&play), play.net.log.crossings().len());
    let counted = count(&play, to, reason);
    play.net.inject(to, meta, &bytes);
    let answers: Vec<Answer> = play.net.log.crossings()[before.1..]
        .iter()
        .filter(|crossing| crossing.from == to)
        .filter_map(|crossing| match Message::parse(play.net.log.bytes(crossing)) {
            Ok(Message::PathErr(e)) => Some(path_err(e.error.code, e.error.value)),
            Ok(Message::ResvErr(e)) => Some(resv_err(e.error.code, e.error.value)),
            _ => None,
        })
        .collect();
    assert_eq!(answers, Vec::from_iter(answer.map(Some)), "{name}");
    assert_eq!(count(&play, to, reason), counted + 1, "{name}: {:?}", counters(&play, to));
    assert_eq!(difference(&state(&play), &before.0), None, "{name}");
    play.rest();
    play.assert_agrees();
    play.assert_metered(100_000);
}

/// What stands around the first difference.
fn difference(new: &str, old: &str) -> Option<String> {
    let at = new.bytes().zip(old.bytes()).position(|(a, b)| a != b)?;
    let around = |text: &str| text[at.saturating_sub(60)..(at + 40).min(text.len())].to_owned();
    Some(format!("{}\nwas\n{}", around(new), around(old)))
}

fn counters(play: &TreeNet, id: NodeId) -> lcm_daemon::engine::Counters {
    play.net.node(id).engine().counters().clone()
}

fn count(play: &TreeNet, id: NodeId, reason: &str) -> u64 {
    let counters = counters(play, id);
    let of = |map: &std::collections::BTreeMap<&'static str, u64>| map.get(reason).copied();
    of(&counters.malformed).or(of(&counters.dropped)).unwrap_or_default()
}

#[test]
fn r022_r024_r068_bad_elements_are_refused_by_code_and_counted() {
    let p = policy::PE_BAD;
    let cases = [
        Case {
            name: "a DCPE in dollars",
            from: A,
            change: |bytes| {
                let at = element(bytes, DCPE);
                put(bytes, at + 6, &840_u16.to_be_bytes())
            },
            answer: path_err(error_code::POLICY, policy::MERGE),
            reason: "foreign_currency",
        },
        Case {
            name: "a UCPE in dollars",
            from: B,
            change: |bytes| {
                let at = element(bytes, UCPE);
                put(bytes, at + 6, &840_u16.to_be_bytes())
            },
            answer: resv_err(error_code::POLICY, policy::MERGE),
            reason: "foreign_currency",
        },
        Case {
            name: "a fraction above one",
            from: A,
            change: |bytes| {
                let at = bytes
                    .windows(8)
                    .position(|w| w[..3] == [0, 8, 1] && w[4..] == 250_000_u32.to_be_bytes());
                put(bytes, at.unwrap() + 4, &1_000_001_u32.to_be_bytes());
            },
            answer: path_err(error_code::POLICY, p),
            reason: "bad_charging_element",
        },
        Case {
            name: "another exponent",
            from: A,
            change: |bytes| {
                let at = element(bytes, DCPE);
                put(bytes, at + 8, &[0xF7])
            },
            answer: path_err(error_code::POLICY, p),
            reason: "bad_charging_element",
        },
        Case {
            name: "a charge to which no price can be added",
            from: A,
            change: |bytes| {
                let at = element(bytes, DCPE);
                put(bytes, at + 12, &[0xFF; 16])
            },
            answer: path_err(error_code::POLICY, p),
            reason: "charge_overflow",
        },
        Case {
            name: "totals that overflow",
            from: B,
            change: |bytes| {
                let at = element(bytes, UCPE);
                put(bytes, at + 20, &[0xFF; 24])
            },
            answer: resv_err(error_code::POLICY, p),
            reason: "payment_overflow",
        },
        Case {
            name: "a UCPE without ACCOUNT",
            from: B,
            change: |bytes| {
                let at = element(bytes, UCPE);
                bytes[at + 56 + 2] = 0x70
            },
            answer: resv_err(error_code::POLICY, p),
            reason: "bad_charging_element",
        },
        Case {
            name: "a stale sequence",
            from: B,
            change: |bytes| {
                let at = element(bytes, UCPE);
                put(bytes, at + 48, &1_700_000_000_u32.to_be_bytes())
            },
            answer: None,
            reason: "stale_payment",
        },
        Case {
            name: "a stale epoch",
            from: A,
            change: |bytes| {
                let at = element(bytes, DCPE);
                put(bytes, at + 12, &7_u64.to_be_bytes());
                put(bytes, at + 32, &1_700_000_000_u32.to_be_bytes());
            },
            answer: None,
            reason: "stale_announcement",
        },
    ];
    cases.iter().for_each(assert_refused);
}

#[test]
fn r024_bad_rsvp_objects_are_refused_by_code_and_counted() {
    const NAN: [u8; 4] = 0x7FC0_0000_u32.to_be_bytes();
    const INFINITE: [u8; 4] = f32::INFINITY.to_bits().to_be_bytes();
    const NEGATIVE: [u8; 4] = (-1.0_f32).to_bits().to_be_bytes();
    /// Where r stands: behind the headers of object, body, service and parameter.
    const RATE: usize = 16;
    fn rate(bytes: &mut [u8], class: u8, new: [u8; 4]) {
        let (at, _) = object(bytes, class);
        put(bytes, at + RATE, &new);
    }
    let tspec = path_err(error_code::TRAFFIC_CONTROL, traffic_control::BAD_TSPEC);
    let flowspec = resv_err(error_code::TRAFFIC_CONTROL, traffic_control::BAD_FLOWSPEC);
    let path = |name, change, answer, reason| Case { name, from: A, change, answer, reason };
    let resv = |name, change, answer, reason| Case { name, from: B, change, answer, reason };
    let unknown = |c: u8| u16::from(c) << 8 | 1;
    let cases = [
        path("r is NaN", |b| rate(b, class::SENDER_TSPEC, NAN), tspec, "bad_tspec"),
        path("r is infinite", |b| rate(b, class::SENDER_TSPEC, INFINITE), tspec, "bad_tspec"),
        path("r is negative", |b| rate(b, class::SENDER_TSPEC, NEGATIVE), tspec, "bad_tspec"),
        resv("R is NaN", |b| rate(b, class::FLOWSPEC, NAN), flowspec, "bad_flowspec"),
        resv("R is negative", |b| rate(b, class::FLOWSPEC, NEGATIVE), flowspec, "bad_flowspec"),
        path(
            "an object of a class that must be known",
            |b| append(b, 0x7E),
            path_err(error_code::UNKNOWN_CLASS, unknown(0x7E)),
            "unknown_class",
        ),
        resv(
            "an unknown style",
            |b| {
                let (at, _) = object(b, class::STYLE);
                b[at + 7] = 0x1F;
            },
            resv_err(error_code::UNKNOWN_STYLE, 0),
            "bad_style",
        ),
        path(
            "an unknown C-Type",
            |b| {
                let (at, _) = object(b, class::SENDER_TSPEC);
                b[at + 3] = 99;
            },
            path_err(error_code::UNKNOWN_CTYPE, u16::from(class::SENDER_TSPEC) << 8 | 99),
            "unknown_ctype",
        ),
    ];
    cases.iter().for_each(assert_refused);
}

/// Classes 10bbbbbb are ignored, classes 11bbbbbb travel on (RFC 2205 section 3.10).
#[test]
fn unknown_classes_that_may_be_ignored_are_dropped_or_forwarded() {
    for (class, forwarded) in [(0xBE, false), (0xFE, true)] {
        let mut play = established();
        let (to, meta, mut bytes) = last(&play, A, MessageType::Path);
        append(&mut bytes, class);
        rewrite_checksum(&mut bytes);
        let before = (lasting_state(&play), play.net.log.crossings().len());
        play.net.inject(to, meta, &bytes);
        let onward = play.net.log.crossings()[before.1..].iter().any(|crossing| {
            let bytes = play.net.log.bytes(crossing);
            crossing.link == 2 && bytes.windows(8).any(|w| w == [0, 8, class, 1, 1, 2, 3, 4])
        });
        assert_eq!(onward, forwarded, "class {class:#x}");
        assert_eq!(count(&play, to, "unknown_class"), 0);
        assert_eq!(difference(&lasting_state(&play), &before.0), None);
        play.rest();
        play.assert_agrees();
    }
}

/// A DCPE that is addressed to another hop of the link says nothing to us (RFC 2750 section 3.4).
#[test]
fn r022_an_announcement_for_somebody_else_is_ignored() {
    let mut play = established();
    let (to, meta, bytes) = last(&play, A, MessageType::Path);
    let Ok(Message::Path(path)) = Message::parse(&bytes) else { panic!("a PATH") };
    let own = element_of(&path);
    let stranger = Hop { address: "10.9.9.9".parse().unwrap(), lih: 0 };
    let mut dear = own.clone();
    (dear.total, dear.max_total, dear.epoch) = (999, 999, own.epoch + 5);
    for elements in [
        vec![(None, own.clone()), (Some(stranger), dear.clone())],
        vec![(Some(stranger), dear.clone()), (None, own.clone())],
        vec![(Some(stranger), dear.clone())],
    ] {
        let before = lasting_state(&play);
        let message = compose(&path, &elements);
        play.net.inject(to, meta, &message);
        let count = elements.len();
        assert_eq!(difference(&lasting_state(&play), &before), None, "{count} elements");
    }
    play.rest();
    play.assert_agrees();
}

fn element_of(path: &Path<'_>) -> Dcpe {
    let element = path.policy_data().find_map(|object| object.element(DCPE)).unwrap();
    Dcpe::parse(element.bytes).unwrap()
}

/// The same PATH with other announcements.
fn compose(path: &Path<'_>, elements: &[(Option<Hop>, Dcpe)]) -> Vec<u8> {
    let mut buffer = vec![0; 2_000];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, path.packet.send_ttl());
    writer.object(&path.session).unwrap();
    writer.object(&path.hop).unwrap();
    writer.object(&path.time_values).unwrap();
    for (destination, dcpe) in elements {
        let options =
            PolicyOptions { destination: *destination, ..PolicyOptions::from_hop(path.hop) };
        writer.policy_data(&options, |sink| dcpe.write(DCPE, sink)).unwrap();
    }
    writer.object(&path.sender.template).unwrap();
    writer.object(&SenderTspec(path.sender.tspec)).unwrap();
    writer.raw(path.sender.adspec.unwrap().bytes()).unwrap();
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}

/// A play in which messages of all types were sent.
fn eventful() -> TreeNet {
    let mut play = established();
    play.net.set_price(B, 2, 75, false);
    play.rest();
    play.leave(3);
    play.rest();
    play.net.set_price(B, 2, 80, true);
    let mut request = lcm_tests::sim::reserve_up_to(play.session, None);
    request.confirm = true;
    let handle = play.net.receive_as(3, request);
    play.receiving.insert(3, handle);
    play.rest();
    play.stop_sending();
    play.net.run_ms(2_000);
    let share = lcm_daemon::engine::SenderShare { fraction_ppm: 250_000, ..Default::default() };
    play.sending = Some(play.net.send(0, play.session, Some(share)));
    play.rest();
    play.tree.links[2].local = Rate(80);
    play.tree.links[2].max_local = Rate(80);
    play.assert_agrees();
    play
}

/// A RESV that says to come from another hop than its UCPE looks as if somebody paid from behind
/// that hop. The next true one takes the payment back; with it a single payer is told its price as
/// all on the link are, though what repeats it changes nothing by itself.
#[test]
fn r024_a_forged_next_hop_leaves_no_quote_apart() {
    let mut play = eventful();
    let (to, meta, mut bytes) = last(&play, B, MessageType::Resv);
    // The common header, the session, the header of RSVP_HOP.
    let hop = 8 + 12 + 4;
    assert_eq!(IpAddr::from(<[u8; 4]>::try_from(&bytes[hop..hop + 4]).unwrap()), meta.source);
    bytes[hop] ^= 1;
    rewrite_checksum(&mut bytes);
    play.net.inject(to, meta, &bytes);
    play.net.run_ms(6 * 157_500);
    let quoted = play.net.log.last_dcpe(1, 1, play.sender).unwrap();
    assert_eq!(quoted.total, play.solution().links[1].unwrap().total.0);
    play.assert_agrees();
}

/// Sequence and instance of a UCPE: a payee remembers the newest that it has seen, so that whoever
/// can forge these without INTEGRITY (RFC 2747) can lock the true payer out.
fn is_serial(bytes: &[u8], at: usize) -> bool {
    let begins = |at: usize| bytes[at..].starts_with(&UCPE.to_be_bytes());
    (48..56).any(|offset| at >= offset && begins(at + 2 - offset))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: u32::try_from(networks(1_000)).unwrap(), failure_persistence: None, ..ProptestConfig::default() })]

    /// What does not check out changes nothing and costs nobody a message.
    #[test]
    fn r024_damaged_messages_change_nothing(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        flips in 1_u8..=255,
        cut in any::<bool>(),
    ) {
        let mut play = eventful();
        let crossings = play.net.log.crossings();
        let crossing = which.get(crossings).clone();
        let (to, meta, mut bytes) = delivered(&play, &crossing);
        let at = place.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flips }
        let (before, sent) = (state(&play), play.net.log.messages());
        let malformed = |play: &TreeNet| counters(play, to).malformed.values().sum::<u64>();
        let counted = malformed(&play);
        play.net.inject(to, meta, &bytes);
        // Flipping the checksum field to 0 says that there is none.
        let unchecked = bytes.len() > 3 && bytes[2..4] == [0, 0];
        if !unchecked {
            prop_assert_eq!(state(&play), before);
            prop_assert_eq!(play.net.log.messages(), sent);
            prop_assert_eq!(malformed(&play), counted + 1);
        }
    }

    /// What checks out and says something else is believed where that is all one can do, and
    /// wears off: soft state heals.
    #[test]
    fn r024_forged_messages_never_panic_and_wear_off(
        forgeries in proptest::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1_u8..=255, any::<bool>()),
            1..8,
        ),
    ) {
        let mut play = eventful();
        let crossings = play.net.log.crossings().len();
        for (which, place, flips, cut) in forgeries {
            let crossing = play.net.log.crossings()[which.index(crossings)].clone();
            let (to, meta, mut bytes) = delivered(&play, &crossing);
            let at = 8 + place.index(bytes.len() - 8);
            if !cut && is_serial(&bytes, at) {
                continue;
            }
            if cut {
                bytes.truncate(at);
                let length = u16::try_from(bytes.len()).unwrap();
                put(&mut bytes, 6, &length.to_be_bytes());
            } else {
                bytes[at] ^= flips;
            }
            rewrite_checksum(&mut bytes);
            play.net.inject(to, meta, &bytes);
            play.net.run_ms(10);
        }
        play.net.run_ms(6 * 157_500);
        let solution = play.solution();
        for (link, charges) in solution.links.iter().enumerate() {
            let total = charges.unwrap().total;
            // The highest Lmax ever heard of is remembered; what is charged now is not.
            let dcpe = play.net.log.last_dcpe(link, link, play.sender).unwrap();
            prop_assert_eq!(dcpe.total, total.0, "link {}\n{}", link, play.net.story());
        }
        let rates = play.net.rates_over(20_000);
        prop_assert_eq!(rates, solution.balances, "{}", play.net.story());
        // With the sessions all is forgotten.
        play.leave(3);
        play.stop_sending();
        play.net.run_ms(157_500);
        prop_assert_eq!(play.net.sizes(), (0, 0, 0));
    }
}
