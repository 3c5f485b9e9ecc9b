//! The common header and the framing of objects (RFC 2205 sections 3.1.1 and 3.1.2).
//!
//! ```text
//!  0             1              2             3
//! +-------------+-------------+-------------+-------------+
//! | Vers | Flags|  Msg Type   |       RSVP Checksum       |
//! +-------------+-------------+-------------+-------------+
//! |  Send_TTL   | (Reserved)  |        RSVP Length        |
//! +-------------+-------------+-------------+-------------+
//! ```

use crate::checksum;
use crate::error::{DecodeError, ErrorKind};
use crate::iana::MessageType;
use crate::message::BundleParts;

/// Bytes of the common header.
pub const HEADER_LEN: usize = 8;
/// Bytes of an object's header.
pub const OBJECT_HEADER_LEN: usize = 4;

/// One object as it came: any class, contents not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawObject<'a> {
    /// Class-Num.
    pub class: u8,
    /// C-Type.
    pub ctype: u8,
    /// Bytes from the start of what was parsed (the message, if it is one) to the object's header.
    pub offset: usize,
    /// What follows the object's header.
    pub body: &'a [u8],
    /// The whole object with its header.
    pub bytes: &'a [u8],
}

impl<'a> RawObject<'a> {
    /// Takes the first object off `bytes`, which begin `offset` bytes into the message.
    pub(crate) fn split(bytes: &'a [u8], offset: usize) -> Result<(Self, &'a [u8]), DecodeError> {
        let Some((&[high, low, class, ctype], _)) = bytes.split_first_chunk::<OBJECT_HEADER_LEN>()
        else {
            let left = bytes.len() as u64;
            return Err(DecodeError::header(
                ErrorKind::Truncated,
                offset,
                "bytes left for an object",
                left,
            ));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let fault = |kind| DecodeError {
            kind,
            message_type: None,
            object: Some((class, ctype)),
            offset,
            field: "length",
            value: length as u64,
        };
        if length < OBJECT_HEADER_LEN || length % 4 != 0 {
            return Err(fault(ErrorKind::ObjectLength));
        }
        let Some((object, rest)) = bytes.split_at_checked(length) else {
            return Err(fault(ErrorKind::ObjectLength));
        };
        let body = object.get(OBJECT_HEADER_LEN..).unwrap_or_default();
        Ok((Self { class, ctype, offset, body, bytes: object }, rest))
    }

    /// Reads one object that fills `bytes`, header included.
    ///
    /// # Errors
    /// [`ErrorKind::ObjectLength`] or [`ErrorKind::Truncated`] where it does not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let (object, rest) = Self::split(bytes, 0)?;
        if rest.is_empty() {
            Ok(object)
        } else {
            Err(object.fault(ErrorKind::ObjectLength, 0, "length", object.bytes.len() as u64))
        }
    }

    /// A fault in this object, `at` bytes from the start of its header.
    pub(crate) const fn fault(
        &self,
        kind: ErrorKind,
        at: usize,
        field: &'static str,
        value: u64,
    ) -> DecodeError {
        DecodeError {
            kind,
            message_type: None,
            object: Some((self.class, self.ctype)),
            offset: self.offset + at,
            field,
            value,
        }
    }

    /// The fault of a length that this class and C-Type cannot have.
    pub(crate) const fn bad_length(&self) -> DecodeError {
        self.fault(ErrorKind::ObjectLength, 0, "length", self.bytes.len() as u64)
    }

    /// The fault of a C-Type that this class does not have.
    pub(crate) const fn bad_ctype(&self) -> DecodeError {
        self.fault(ErrorKind::UnknownCType, 3, "C-Type", self.ctype as u64)
    }
}

/// The objects of a checked sequence, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objects<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Objects<'a> {
    /// Objects over bytes that begin `offset` bytes into the message.
    pub(crate) const fn new(rest: &'a [u8], offset: usize) -> Self {
        Self { rest, offset }
    }

    /// Bytes from the start of the message to the next object.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// Fails unless the bytes are objects from end to end.
    pub(crate) fn check(mut self) -> Result<(), DecodeError> {
        while !self.rest.is_empty() {
            let (object, rest) = RawObject::split(self.rest, self.offset)?;
            self.offset += object.bytes.len();
            self.rest = rest;
        }
        Ok(())
    }
}

impl<'a> Iterator for Objects<'a> {
    type Item = RawObject<'a>;

    /// The next object; ends early only on bytes that were not checked.
    #[inline]
    fn next(&mut self) -> Option<RawObject<'a>> {
        let (object, rest) = RawObject::split(self.rest, self.offset).ok()?;
        self.offset += object.bytes.len();
        self.rest = rest;
        Some(object)
    }
}

/// A message whose header, checksum and object framing are right; the objects themselves have not
/// been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    bytes: &'a [u8],
    message_type: MessageType,
    flags: u8,
    checksum: u16,
    send_ttl: u8,
}

impl<'a> Packet<'a> {
    /// Checks header, checksum (unless the sender sent 0, that is none) and framing of the message
    /// that fills `bytes`. Reserved fields are ignored.
    ///
    /// # Errors
    /// The first fault, in this order: too short for a header, version, RSVP Length, checksum,
    /// object lengths from the first object on (of a
    /// Bundle, the lengths, versions and types of its messages).
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = Self::parse_header(bytes)?;
        let fault = |error: DecodeError| error.in_message(packet.message_type.into());
        if packet.checksum != 0 && checksum::of(bytes) != 0 {
            let found = u64::from(packet.checksum);
            return Err(fault(DecodeError::header(ErrorKind::BadChecksum, 2, "checksum", found)));
        }
        if packet.is_bundle() {
            BundleParts::new(packet.body()).check(HEADER_LEN).map_err(fault)?;
        } else {
            packet.objects().check().map_err(fault)?;
        }
        Ok(packet)
    }

    /// Checks the header alone, for callers that want to show a malformed message as far as it
    /// goes: the checksum is not compared, and [`Packet::objects`] ends at the first object whose
    /// length is wrong.
    ///
    /// # Errors
    /// Too short for a header, version, RSVP Length.
    pub fn parse_header(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some((&[first, kind, c1, c0, send_ttl, _, l1, l0], _)) =
            bytes.split_first_chunk::<HEADER_LEN>()
        else {
            let mut error =
                DecodeError::header(ErrorKind::Truncated, bytes.len(), "bytes", bytes.len() as u64);
            error.message_type = bytes.get(1).copied();
            return Err(error);
        };
        let fault = |kind_of, offset, field, value| {
            DecodeError::header(kind_of, offset, field, value).in_message(kind)
        };
        if first >> 4 != 1 {
            return Err(fault(ErrorKind::BadVersion, 0, "version", u64::from(first >> 4)));
        }
        let length = u16::from_be_bytes([l1, l0]);
        if usize::from(length) != bytes.len() || length % 4 != 0 {
            return Err(fault(ErrorKind::BadLength, 6, "RSVP Length", length.into()));
        }
        Ok(Self {
            bytes,
            message_type: kind.into(),
            flags: first & 0x0f,
            checksum: u16::from_be_bytes([c1, c0]),
            send_ttl,
        })
    }

    /// The Msg Type.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        self.message_type
    }

    /// The four flag bits; 0x01 says that the sender can do refresh reduction (RFC 2961).
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// The IP TTL with which the message was sent.
    #[must_use]
    pub const fn send_ttl(&self) -> u8 {
        self.send_ttl
    }

    /// The checksum field as it came; 0 means that none was sent.
    #[must_use]
    pub const fn checksum(&self) -> u16 {
        self.checksum
    }

    /// Whether the checksum is right; none if the sender sent none.
    #[must_use]
    pub fn checksum_ok(&self) -> Option<bool> {
        (self.checksum != 0).then(|| checksum::of(self.bytes) == 0)
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    fn is_bundle(&self) -> bool {
        self.message_type == MessageType::Bundle
    }

    /// The objects in the order in which they came; a Bundle has none, but messages
    /// ([`crate::message::Bundle::parts`]).
    #[must_use]
    pub fn objects(&self) -> Objects<'a> {
        let objects = if self.is_bundle() { &[] } else { self.body() };
        Objects::new(objects, HEADER_LEN)
    }

    /// The objects of one class.
    pub fn objects_of(&self, class: u8) -> impl Iterator<Item = RawObject<'a>> + Clone + use<'a> {
        self.objects().filter(move |object| object.class == class)
    }
}
