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
    /// Takes the first object off `bytes`, which begin `offset` bytes into the message; none if they
    /// do not begin with an object.
    #[inline]
    fn take(bytes: &'a [u8], offset: usize) -> Option<(Self, &'a [u8])> {
        let (&[high, low, class, ctype], _) = bytes.split_first_chunk::<OBJECT_HEADER_LEN>()?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length % 4 != 0 {
            return None;
        }
        let (object, rest) = bytes.split_at_checked(length)?;
        let body = object.get(OBJECT_HEADER_LEN..)?;
        Some((Self { class, ctype, offset, body, bytes: object }, rest))
    }

    /// As [`RawObject::take`], with the fault of what is no object.
    #[inline]
    pub(crate) fn split(bytes: &'a [u8], offset: usize) -> Result<(Self, &'a [u8]), DecodeError> {
        Self::take(bytes, offset).ok_or_else(|| Self::no_object(bytes, offset))
    }

    #[cold]
    fn no_object(bytes: &[u8], offset: usize) -> DecodeError {
        let Some((&[high, low, class, ctype], _)) = bytes.split_first_chunk::<OBJECT_HEADER_LEN>()
        else {
            let left = bytes.len() as u64;
            let field = "bytes left for an object";
            return DecodeError::header(ErrorKind::Truncated, offset, field, left);
        };
        DecodeError {
            kind: ErrorKind::ObjectLength,
            message_type: None,
            object: Some((class, ctype)),
            offset,
            field: "length",
            value: u16::from_be_bytes([high, low]).into(),
        }
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
    #[cold]
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
    #[cold]
    pub(crate) const fn bad_length(&self) -> DecodeError {
        self.fault(ErrorKind::ObjectLength, 0, "length", self.bytes.len() as u64)
    }

    /// The fault of a C-Type that this class does not have.
    #[cold]
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
    /// Whether nothing is left; after the last item this tells whether all bytes were objects.
    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

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
        let (object, rest) = RawObject::take(self.rest, self.offset)?;
        self.offset += object.bytes.len();
        self.rest = rest;
        Some(object)
    }
}

/// A message whose header, checksum and object framing are right; the objects themselves have not
/// been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// At least a header. Its fields are read where they are asked for: a packet of one reference
    /// travels in registers.
    bytes: &'a [u8],
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
        let packet = Self::parse_unframed(bytes)?;
        packet.check_framing()?;
        Ok(packet)
    }

    /// As [`Packet::parse`] but for the framing of the objects.
    #[inline(always)]
    pub(crate) fn parse_unframed(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let packet = Self::parse_header(bytes)?;
        if packet.checksum() != 0 && checksum::of(bytes) != 0 {
            let found = u64::from(packet.checksum());
            let error = DecodeError::header(ErrorKind::BadChecksum, 2, "checksum", found);
            return Err(error.in_message(packet.message_type().into()));
        }
        Ok(packet)
    }

    /// Fails unless what follows the header is objects, or in a Bundle messages, from end to end.
    pub(crate) fn check_framing(&self) -> Result<(), DecodeError> {
        let framed = if self.is_bundle() {
            BundleParts::new(self.body()).check(HEADER_LEN)
        } else {
            self.objects().check()
        };
        framed.map_err(|error| error.in_message(self.message_type().into()))
    }

    /// Checks the header alone, for callers that want to show a malformed message as far as it
    /// goes: the checksum is not compared, and [`Packet::objects`] ends at the first object whose
    /// length is wrong.
    ///
    /// # Errors
    /// Too short for a header, version, RSVP Length.
    #[inline(always)]
    pub fn parse_header(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let Some((&[first, kind, _, _, _, _, l1, l0], _)) = bytes.split_first_chunk::<HEADER_LEN>()
        else {
            return Err(Self::no_header(bytes));
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
        Ok(Self { bytes })
    }

    #[cold]
    fn no_header(bytes: &[u8]) -> DecodeError {
        let length = bytes.len();
        let error = DecodeError::header(ErrorKind::Truncated, length, "bytes", length as u64);
        DecodeError { message_type: bytes.get(1).copied(), ..error }
    }

    /// The Msg Type.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        let [_, kind, ..] = self.header();
        kind.into()
    }

    /// The four flag bits; 0x01 says that the sender can do refresh reduction (RFC 2961).
    #[must_use]
    pub fn flags(&self) -> u8 {
        let [first, ..] = self.header();
        first & 0x0f
    }

    /// The IP TTL with which the message was sent.
    #[must_use]
    pub fn send_ttl(&self) -> u8 {
        let [_, _, _, _, send_ttl, ..] = self.header();
        send_ttl
    }

    /// The checksum field as it came; 0 means that none was sent.
    #[must_use]
    pub fn checksum(&self) -> u16 {
        let [_, _, high, low, ..] = self.header();
        u16::from_be_bytes([high, low])
    }

    /// Whether the checksum is right; none if the sender sent none.
    #[must_use]
    pub fn checksum_ok(&self) -> Option<bool> {
        (self.checksum() != 0).then(|| checksum::of(self.bytes) == 0)
    }

    /// The whole message.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    fn header(&self) -> [u8; HEADER_LEN] {
        self.bytes.first_chunk().copied().unwrap_or_default()
    }

    fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    fn is_bundle(&self) -> bool {
        self.message_type() == MessageType::Bundle
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
