//! Bundle, Ack and Srefresh (RFC 2961 sections 3, 4.4 and 5.2).

use crate::error::{DecodeError, ErrorKind};
use crate::iana::{MessageType, class};
use crate::object::{MessageId, MessageIdAck, MessageIdList};
use crate::packet::{HEADER_LEN, Packet};

use super::missing;
use super::scan::{bits, walk};

/// A Bundle: whole messages one behind the other, each to be taken as if it had come alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// The packet; it has no objects.
    pub packet: Packet<'a>,
}

impl<'a> Bundle<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        packet.check_framing()?;
        let bundle = Self { packet };
        match bundle.parts().next() {
            Some(_) => Ok(bundle),
            None => {
                Err(DecodeError::header(ErrorKind::MissingObject, HEADER_LEN, "sub-messages", 0))
            }
        }
    }

    /// The sub-messages as they came. Their framing is checked, nothing else; one that
    /// [`super::Message::parse`] refuses does not touch the others.
    #[must_use]
    pub fn parts(&self) -> BundleParts<'a> {
        BundleParts::of(&self.packet)
    }
}

/// The sub-messages of a Bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleParts<'a> {
    rest: &'a [u8],
}

impl<'a> BundleParts<'a> {
    pub(crate) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The sub-messages of a packet; none if it is not a Bundle.
    pub(crate) fn of(packet: &Packet<'a>) -> Self {
        let is_bundle = packet.message_type() == MessageType::Bundle;
        let body = packet.bytes().get(HEADER_LEN..).filter(|_| is_bundle);
        Self::new(body.unwrap_or_default())
    }

    /// Fails unless the bytes are messages other than Bundles from end to end; `offset` is where
    /// they begin.
    pub(crate) fn check(mut self, offset: usize) -> Result<(), DecodeError> {
        let whole = self.rest.len();
        while !self.rest.is_empty() {
            let at = offset + whole - self.rest.len();
            let Some((&[first, kind, _, _, _, _, l1, l0], _)) =
                self.rest.split_first_chunk::<HEADER_LEN>()
            else {
                let left = self.rest.len() as u64;
                return Err(DecodeError::header(
                    ErrorKind::Truncated,
                    at,
                    "bytes left for a sub-message",
                    left,
                ));
            };
            if first >> 4 != 1 {
                let version = u64::from(first >> 4);
                let kind = ErrorKind::BadVersion;
                return Err(DecodeError::header(kind, at, "sub-message version", version));
            }
            if MessageType::from(kind) == MessageType::Bundle {
                let value = kind.into();
                let kind = ErrorKind::MisplacedObject;
                return Err(DecodeError::header(kind, at + 1, "sub-message type", value));
            }
            if self.next().is_none() {
                let length = u16::from_be_bytes([l1, l0]).into();
                let kind = ErrorKind::BadLength;
                return Err(DecodeError::header(kind, at + 6, "sub-message RSVP Length", length));
            }
        }
        Ok(())
    }
}

impl<'a> Iterator for BundleParts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&[_, _, _, _, _, _, l1, l0], _) = self.rest.split_first_chunk::<HEADER_LEN>()?;
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        if length < HEADER_LEN || length % 4 != 0 {
            return None;
        }
        let (part, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(part)
    }
}

/// An Ack message: acknowledgements that had no other message to go with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack<'a> {
    /// The packet.
    pub packet: Packet<'a>,
}

impl<'a> Ack<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let mut any = false;
        walk(&packet, bits(&[class::MESSAGE_ID_ACK]), |raw| {
            any = true;
            MessageIdAck::decode(raw).map(drop)
        })?;
        if any { Ok(Self { packet }) } else { Err(missing(class::MESSAGE_ID_ACK)) }
    }

    /// The acknowledgements, at least one.
    pub fn acks(&self) -> impl Iterator<Item = MessageIdAck> + Clone + use<'a> {
        self.packet.message_id_acks()
    }
}

/// An Srefresh message: state refreshed by the numbers of the messages that advertised it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Srefresh<'a> {
    /// The packet.
    pub packet: Packet<'a>,
    /// The number of this message itself.
    pub message_id: Option<MessageId>,
}

impl<'a> Srefresh<'a> {
    pub(super) fn new(packet: Packet<'a>) -> Result<Self, DecodeError> {
        let mut message_id = None;
        let mut source_lists: Option<bool> = None;
        let allowed = bits(&[class::MESSAGE_ID, class::MESSAGE_ID_ACK, class::MESSAGE_ID_LIST]);
        walk(&packet, allowed, |raw| match raw.class {
            class::MESSAGE_ID => super::scan::once(&mut message_id, raw, MessageId::decode(raw)?),
            class::MESSAGE_ID_ACK => MessageIdAck::decode(raw).map(drop),
            _ => {
                let is_source = MessageIdList::decode(raw)?.kind.is_source_list();
                if source_lists.is_some_and(|before| before != is_source) {
                    let ctype = raw.ctype.into();
                    return Err(raw.fault(ErrorKind::MisplacedObject, 3, "C-Type", ctype));
                }
                source_lists = Some(is_source);
                Ok(())
            }
        })?;
        match source_lists {
            Some(_) => Ok(Self { packet, message_id }),
            None => Err(missing(class::MESSAGE_ID_LIST)),
        }
    }

    /// The lists in order, at least one: either SRC_LISTs alone or none of them.
    pub fn lists(&self) -> impl Iterator<Item = MessageIdList<'a>> + Clone + use<'a> {
        let of_class = self.packet.objects_of(class::MESSAGE_ID_LIST);
        of_class.filter_map(|raw| MessageIdList::decode(&raw).ok())
    }

    /// Acknowledgements that go along.
    pub fn message_id_acks(&self) -> impl Iterator<Item = MessageIdAck> + Clone + use<'a> {
        self.packet.message_id_acks()
    }
}
