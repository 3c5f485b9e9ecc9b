//! PATH messages that no honest router sends.

use std::net::SocketAddr;

use lcm_tests::harness::TestResult;
use socket2::{Domain, Protocol, Socket, Type};

use crate::attack::{Attack, Case, VICTIM};
use crate::support::metrics::Page;
use crate::support::wire::{
    DCPE, Message, Object, SENDER_TSPEC, SESSION, STYLE, fraction_offset, seal,
};

/// Where the token rate stands in the body of a SENDER_TSPEC or a FLOWSPEC (RFC 2210 section 3.1).
pub(crate) const RATE: usize = 12;
/// Where the epoch stands in a DCPE (charging.md section 5.1).
const EPOCH: usize = 32;
/// RFC 2205 appendix B: traffic control error, bad Tspec value.
const BAD_TSPEC: (u8, u16) = (21, 4);
/// RFC 2750 section 4.3 and charging.md section 6: policy error, bad element.
const BAD_ELEMENT: (u8, u16) = (2, 13);

/// A message with something else in its bytes.
pub(crate) fn bytes(message: &Message, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = message.encode();
    spoil(&mut bytes);
    bytes
}

/// A message with something else in it, and the right checksum.
pub(crate) fn changed(message: &Message, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = message.clone();
    change(&mut message);
    message.encode()
}

/// A message whose token rate is another number.
pub(crate) fn with_rate(message: &Message, class: u8, rate: f32) -> Vec<u8> {
    changed(message, |message| {
        let body = message.object_mut(class).expect("a traffic description");
        body[RATE..RATE + 4].copy_from_slice(&rate.to_be_bytes());
    })
}

/// Makes the serial number that some bytes begin with newer than any that was sent.
pub(crate) fn raise_serial(bytes: &mut [u8]) {
    let (serial, _) = bytes.split_first_chunk_mut::<4>().expect("a serial number");
    *serial = u32::from_be_bytes(*serial).wrapping_add(64).to_be_bytes();
}

/// Faults that any message may have; nobody is told of them (RFC 2205 appendix B).
pub(crate) fn of_any_kind(message: &Message) -> Vec<Case> {
    let length_of_first = |length: u16| {
        bytes(message, |bytes| {
            bytes[8..10].copy_from_slice(&length.to_be_bytes());
            seal(bytes);
        })
    };
    vec![
        Case::malformed("7 octets", "truncated", bytes(message, |b| b.truncate(7)), None),
        Case::malformed("cut off", "bad_length", bytes(message, |b| b.truncate(b.len() - 4)), None),
        Case::malformed("too long", "bad_length", bytes(message, |b| b.extend([0; 4])), None),
        Case::malformed("flipped bit", "bad_checksum", bytes(message, |b| b[20] ^= 1), None),
        Case::malformed(
            "version 2",
            "bad_version",
            bytes(message, |b| {
                b[0] = 0x20;
                seal(b);
            }),
            None,
        ),
        Case::malformed("object of 0 octets", "object_length", length_of_first(0), None),
        Case::malformed("object of 13 octets", "object_length", length_of_first(13), None),
        Case::malformed("object beyond the end", "object_length", length_of_first(0x7ff0), None),
        Case::malformed(
            "session twice",
            "duplicate_object",
            changed(message, |m| m.objects.insert(0, m.objects[0].clone())),
            None,
        ),
        Case::malformed(
            "no session",
            "missing_object",
            changed(message, |m| m.objects.retain(|object| object.class != SESSION)),
            None,
        ),
    ]
}

pub(crate) fn bad_messages() -> TestResult {
    let mut attack = Attack::start()?;
    let path = attack.path()?;
    let mut cases = of_any_kind(&path);
    let fixed_filter = Object { class: STYLE, ctype: 1, body: vec![0, 0, 0, 10] };
    cases.extend([
        Case::malformed(
            "STYLE in a PATH",
            "misplaced_object",
            changed(&path, |m| m.objects.push(fixed_filter)),
            None,
        ),
        Case::malformed(
            "unknown C-Type of SENDER_TSPEC",
            "unknown_ctype",
            changed(&path, |m| {
                let mut tspec = m.objects.iter_mut().filter(|o| o.class == SENDER_TSPEC);
                tspec.next().expect("a SENDER_TSPEC").ctype = 99;
            }),
            Some((14, u16::from_be_bytes([SENDER_TSPEC, 99]))),
        ),
        Case::refused(
            "fraction above 10^6",
            "bad_charging_element",
            changed(&path, |m| {
                let element = m.element_mut(DCPE).expect("a DCPE");
                let at = fraction_offset(element).expect("a sender fraction");
                element[at..at + 4].copy_from_slice(&1_000_001_u32.to_be_bytes());
            }),
            BAD_ELEMENT,
        ),
        Case::refused(
            "charge that overflows",
            "charge_overflow",
            changed(&path, |m| {
                let element = m.element_mut(DCPE).expect("a DCPE");
                element[12..28].fill(0xff);
                raise_serial(&mut element[EPOCH..]);
            }),
            BAD_ELEMENT,
        ),
    ]);
    for (name, rate) in
        [("NaN", f32::NAN), ("infinite", f32::INFINITY), ("negative", -1.0), ("-inf", f32::MIN)]
    {
        let payload = with_rate(&path, SENDER_TSPEC, rate);
        cases.push(Case::malformed(name, "bad_tspec", payload, Some(BAD_TSPEC)));
    }
    let sender = attack.sender_above()?;
    attack.run(&sender, path.send_ttl, cases)
}

pub(crate) fn every_prefix() -> TestResult {
    let mut attack = Attack::start()?;
    let path = attack.path()?;
    let whole = path.encode();
    let sender = attack.sender_above()?;
    for length in 0..whole.len() {
        attack.inject(&sender, path.send_ttl, &whole[..length])?;
    }
    // And one that is longer than anything that RSVP needs, in fragments.
    let (node, target) = (sender.node, attack.play.address_on(VICTIM, sender.node)?);
    attack.play.stage.network().get(node)?.attempt("sending 12000 octets", move || {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(46)))?;
        socket.send_to(&[0x10; 12_000], &SocketAddr::new(target.into(), 0).into())
    })?;
    attack.play.wait("all of them to be counted", |play| {
        let page = Page::fetch(play, VICTIM).map_err(|e| e.to_string())?;
        let counted = page.family("lcm_decode_errors_total");
        let sum: u64 = counted.iter().map(|(_, count)| count).sum();
        let long = page.value("lcm_decode_errors_total{reason=\"over_long\"}");
        if (sum, long) == (whole.len() as u64 + 1, 1) {
            Ok(())
        } else {
            Err(format!("{counted:?}"))
        }
    })?;
    attack.check_untouched()
}
