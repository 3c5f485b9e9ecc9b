//! Messages between neighbours that speak of no session: Hello (RFC 3209 section 5), Integrity
//! Challenge and Response (RFC 2747 section 4.3).

use crate::error::DecodeError;
use crate::iana::class;
use crate::object::{Challenge, Hello, Integrity, MessageId};
use crate::packet::Packet;

use super::missing;
use super::scan::{bits, once, walk};

/// A Hello message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HelloMessage<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// The request or acknowledgement.
    pub hello: Hello,
}

impl<'a> HelloMessage<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let mut hello = None;
        let allowed = bits(&[class::HELLO, class::MESSAGE_ID, class::MESSAGE_ID_ACK]);
        walk(&packet, allowed, |raw| match raw.class {
            class::HELLO => once(&mut hello, raw, Hello::decode(raw)?),
            _ => super::scan::check_reduction(raw),
        })?;
        let hello = hello.ok_or_else(|| missing(class::HELLO))?;
        Ok(Self { packet, hello })
    }

    /// The number of this message.
    #[must_use]
    pub fn message_id(&self) -> Option<MessageId> {
        self.packet.message_id()
    }
}

/// An Integrity Challenge message; it is accepted without an integrity check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntegrityChallenge<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// The challenge.
    pub challenge: Challenge,
}

impl<'a> IntegrityChallenge<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let challenge = challenge(&packet)?;
        Ok(Self { packet, challenge })
    }
}

/// An Integrity Response message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntegrityResponse<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// The digest, with the current sequence number.
    pub integrity: Integrity<'a>,
    /// The challenge, to be compared with the one sent.
    pub challenge: Challenge,
}

impl<'a> IntegrityResponse<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let challenge = challenge(&packet)?;
        let integrity = packet.integrity().ok_or_else(|| missing(class::INTEGRITY))?;
        Ok(Self { packet, integrity, challenge })
    }
}

fn challenge(packet: &Packet<'_>) -> Result<Challenge, DecodeError> {
    let mut challenge = None;
    let allowed = bits(&[class::MESSAGE_ID, class::MESSAGE_ID_ACK]);
    super::scan::walk_with(packet, allowed, &[class::CHALLENGE], |raw| match raw.class {
        class::CHALLENGE => once(&mut challenge, raw, Challenge::decode(raw)?),
        _ => super::scan::check_reduction(raw),
    })?;
    challenge.ok_or_else(|| missing(class::CHALLENGE))
}
