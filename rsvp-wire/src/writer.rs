//! Writing messages into a caller's buffer.

use core::fmt;
use core::net::IpAddr;

use crate::checksum;
use crate::iana::{MessageType, class};
use crate::object::{FilterSpec, Hop, Integrity, TimeValues};
use crate::packet::HEADER_LEN;

/// The largest message: the RSVP Length has 16 bits and is a multiple of 4.
pub const MAX_MESSAGE_LEN: usize = 65_532;

/// The buffer cannot hold what was written.
///
/// Writing goes on counting past the end, so the error of [`MessageWriter::finish`] names what the
/// whole message needs. No buffer helps where `needed` is over 65,532 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Bytes that everything written so far needs.
    pub needed: usize,
    /// Bytes that there are.
    pub available: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, available } = self;
        write!(f, "RSVP encoding needs {needed} bytes, the buffer has {available}")?;
        if *needed > MAX_MESSAGE_LEN {
            write!(f, "; a message or object cannot be longer than {MAX_MESSAGE_LEN}")?;
        }
        Ok(())
    }
}

impl core::error::Error for BufferTooSmall {}

/// A growing position in a fixed buffer; it counts on past the buffer's end without writing there.
#[derive(Debug)]
pub struct Sink<'b> {
    buffer: &'b mut [u8],
    position: usize,
}

impl<'b> Sink<'b> {
    /// A sink that writes from the start of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        // Longer parts of a buffer could not be described by a 16-bit length.
        let length = buffer.len().min(MAX_MESSAGE_LEN);
        Self { buffer: buffer.split_at_mut(length).0, position: 0 }
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.position.saturating_add(bytes.len());
        if let Some(to) = self.buffer.get_mut(self.position..end) {
            to.copy_from_slice(bytes);
        }
        self.position = end;
    }

    /// Appends an octet.
    #[inline]
    pub fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends 16 bits, big-endian.
    #[inline]
    pub fn put_u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    /// Appends 32 bits, big-endian.
    #[inline]
    pub fn put_u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// Appends 64 bits, big-endian.
    #[inline]
    pub fn put_u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    /// Appends the 4 or 16 octets of an address.
    pub fn put_ip(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.put(&v4.octets()),
            IpAddr::V6(v6) => self.put(&v6.octets()),
        }
    }

    /// Appends zeros up to the next multiple of 4, counted from `start`.
    pub fn pad(&mut self, start: usize) {
        let over = self.position.wrapping_sub(start) % 4;
        let zeros: &[u8] = match over {
            1 => &[0; 3],
            2 => &[0; 2],
            3 => &[0; 1],
            _ => &[],
        };
        self.put(zeros);
    }

    /// Bytes that everything appended so far takes.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Overwrites two octets at `at` with a length; one over 65,535 makes the sink overflow anyway.
    pub fn set_u16(&mut self, at: usize, value: usize) {
        let value = u16::try_from(value).unwrap_or(u16::MAX);
        if let Some(to) = self.buffer.get_mut(at..at.saturating_add(2)) {
            to.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Fails if more was appended than there was room for.
    ///
    /// # Errors
    /// [`BufferTooSmall`] with the room that all of it needs.
    pub fn check(&self) -> Result<(), BufferTooSmall> {
        if self.position <= self.buffer.len() {
            return Ok(());
        }
        Err(BufferTooSmall { needed: self.position, available: self.buffer.len() })
    }

    /// Appends one object with its header.
    pub fn put_object(&mut self, object: &(impl EncodeObject + ?Sized)) {
        let (class, ctype) = object.class_and_ctype();
        let start = self.put_object_header(class, ctype);
        object.encode_body(self);
        self.close_object(start);
    }

    /// Appends an object's header whose length [`Sink::close_object`] fills in.
    pub(crate) fn put_object_header(&mut self, class: u8, ctype: u8) -> usize {
        let start = self.position;
        self.put(&[0, 0, class, ctype]);
        start
    }

    /// Fills in the length of what was appended since `start`.
    pub(crate) fn close_object(&mut self, start: usize) {
        self.set_u16(start, self.position - start);
    }
}

/// An object that knows how it is written.
pub trait EncodeObject {
    /// Class-Num and C-Type.
    fn class_and_ctype(&self) -> (u8, u8);

    /// Appends what follows the object's header; a multiple of 4 bytes.
    fn encode_body(&self, sink: &mut Sink<'_>);

    /// Bytes of the whole object, header included.
    fn encoded_len(&self) -> usize {
        let mut sink = Sink::new(&mut []);
        sink.put_object(self);
        sink.position()
    }

    /// Writes the whole object into `out` and says how long it is.
    ///
    /// # Errors
    /// [`BufferTooSmall`] with the room that it needs.
    fn encode(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut sink = Sink::new(out);
        sink.put_object(self);
        sink.check()?;
        Ok(sink.position())
    }
}

/// The options of a POLICY_DATA object (RFC 2750 section 3.2), in the order in which they are
/// written.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicyOptions<'a> {
    /// The senders concerned; none means all flows of the session. Not together with `scope`.
    pub filters: &'a [FilterSpec],
    /// The senders concerned, by address only, in ascending order.
    pub scope: &'a [IpAddr],
    /// The policy node that made the object.
    pub originating: Option<Hop>,
    /// The policy node that it is for; written only after an originating hop.
    pub destination: Option<Hop>,
    /// A digest over the object (RFC 2750 appendix B).
    pub integrity: Option<Integrity<'a>>,
    /// Policy refresh time.
    pub refresh: Option<TimeValues>,
}

impl PolicyOptions<'_> {
    /// The common case: the object's maker, nothing else.
    #[must_use]
    pub fn from_hop(originating: Hop) -> Self {
        Self { originating: Some(originating), ..Self::default() }
    }

    fn encode(&self, sink: &mut Sink<'_>) {
        for filter in self.filters {
            sink.put_object(filter);
        }
        if !self.scope.is_empty() {
            sink.put_object(&crate::object::Scope(self.scope));
        }
        for hop in [self.originating, self.destination].into_iter().flatten() {
            sink.put_object(&hop);
        }
        if let Some(integrity) = &self.integrity {
            sink.put_object(integrity);
        }
        if let Some(refresh) = &self.refresh {
            sink.put_object(refresh);
        }
    }
}

/// Writes one message: objects in the order of the calls, then length and checksum.
///
/// After a [`BufferTooSmall`] further calls go on counting, so that `finish` can say what the whole
/// message needs.
#[derive(Debug)]
pub struct MessageWriter<'b> {
    sink: Sink<'b>,
}

impl<'b> MessageWriter<'b> {
    /// Starts a message of this type, to be sent with this IP TTL, at the start of `buffer`.
    pub fn new(buffer: &'b mut [u8], message_type: MessageType, send_ttl: u8) -> Self {
        Self::with_flags(buffer, message_type, send_ttl, 0)
    }

    /// Starts a message with flag bits in the header (RFC 2961: 0x01, refresh reduction capable).
    pub fn with_flags(
        buffer: &'b mut [u8],
        message_type: MessageType,
        send_ttl: u8,
        flags: u8,
    ) -> Self {
        let mut sink = Sink::new(buffer);
        sink.put(&[0x10 | (flags & 0x0f), message_type.into(), 0, 0, send_ttl, 0, 0, 0]);
        Self { sink }
    }

    /// Appends an object.
    ///
    /// # Errors
    /// [`BufferTooSmall`] once the message no longer fits.
    pub fn object(&mut self, object: &(impl EncodeObject + ?Sized)) -> Result<(), BufferTooSmall> {
        self.sink.put_object(object);
        self.sink.check()
    }

    /// Appends bytes that are whole objects already.
    ///
    /// # Errors
    /// [`BufferTooSmall`] once the message no longer fits.
    pub fn raw(&mut self, objects: &[u8]) -> Result<(), BufferTooSmall> {
        self.sink.put(objects);
        self.sink.check()
    }

    /// Appends a POLICY_DATA object: these options, then the policy elements that `elements`
    /// writes.
    ///
    /// # Errors
    /// [`BufferTooSmall`] once the message no longer fits.
    pub fn policy_data(
        &mut self,
        options: &PolicyOptions<'_>,
        elements: impl FnOnce(&mut Sink<'_>),
    ) -> Result<(), BufferTooSmall> {
        write_policy_data(&mut self.sink, options, elements);
        self.sink.check()
    }

    /// Bytes written so far, header included.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.sink.position()
    }

    /// Fills in length and checksum and returns the length of the message.
    ///
    /// # Errors
    /// [`BufferTooSmall`] with the room that the whole message needs.
    pub fn finish(self) -> Result<usize, BufferTooSmall> {
        self.finish_with(true)
    }

    /// As [`MessageWriter::finish`], but a checksum of 0, that is none.
    ///
    /// # Errors
    /// [`BufferTooSmall`] with the room that the whole message needs.
    pub fn finish_without_checksum(self) -> Result<usize, BufferTooSmall> {
        self.finish_with(false)
    }

    fn finish_with(mut self, checksum: bool) -> Result<usize, BufferTooSmall> {
        self.sink.check()?;
        let length = self.sink.position();
        self.sink.set_u16(6, length);
        if checksum {
            rewrite_checksum(self.sink.buffer.get_mut(..length).unwrap_or_default());
        }
        Ok(length)
    }
}

/// Writes a POLICY_DATA object: these options, then the elements that `elements` writes.
pub fn write_policy_data(
    sink: &mut Sink<'_>,
    options: &PolicyOptions<'_>,
    elements: impl FnOnce(&mut Sink<'_>),
) {
    let start = sink.put_object_header(class::POLICY_DATA, 1);
    sink.put_u32(0);
    options.encode(sink);
    sink.set_u16(start + 4, sink.position() - start);
    elements(sink);
    sink.close_object(start);
}

/// Sets the Send_TTL octet of a finished message; call [`rewrite_checksum`] afterwards.
pub fn rewrite_send_ttl(message: &mut [u8], send_ttl: u8) {
    if let Some(octet) = message.get_mut(4) {
        *octet = send_ttl;
    }
}

/// Computes the checksum of a finished message anew, in place.
pub fn rewrite_checksum(message: &mut [u8]) {
    let Some(header) = message.first_chunk_mut::<HEADER_LEN>() else { return };
    let [_, _, high, low, ..] = header;
    (*high, *low) = (0, 0);
    let sum = checksum::for_header(message).to_be_bytes();
    if let Some(to) = message.get_mut(2..4) {
        to.copy_from_slice(&sum);
    }
}
