//! MESSAGE_ID, MESSAGE_ID_ACK and MESSAGE_ID_NACK (RFC 2961 sections 4.2 and 4.3).

use crate::error::DecodeError;
use crate::iana::class;
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// MESSAGE_ID: names the message and the state in it, between two neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// Flag bits: [`MessageId::ACK_DESIRED`].
    pub flags: u8,
    /// When the sender's numbers started anew; 24 bits on the wire.
    pub epoch: u32,
    /// The number of the message.
    pub identifier: u32,
}

impl MessageId {
    /// Flag: the sender wants an acknowledgement.
    pub const ACK_DESIRED: u8 = 0x01;

    /// Reads a MESSAGE_ID.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let (flags, epoch, identifier) = split(raw)?;
        Ok(Self { flags, epoch, identifier })
    }
}

/// MESSAGE_ID_ACK, or MESSAGE_ID_NACK if the state of a summary refresh was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageIdAck {
    /// Whether it is a MESSAGE_ID_NACK.
    pub nack: bool,
    /// Epoch of the message acknowledged; 24 bits on the wire.
    pub epoch: u32,
    /// Number of the message acknowledged.
    pub identifier: u32,
}

impl MessageIdAck {
    /// Reads a MESSAGE_ID_ACK or MESSAGE_ID_NACK; its flags are ignored.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let nack = match raw.ctype {
            1 => false,
            2 => true,
            _ => return Err(raw.bad_ctype()),
        };
        let (_, epoch, identifier) = split(raw)?;
        Ok(Self { nack, epoch, identifier })
    }
}

fn split(raw: &RawObject<'_>) -> Result<(u8, u32, u32), DecodeError> {
    let &[flags, a, b, c, d, e, f, g] = raw.body else { return Err(raw.bad_length()) };
    Ok((flags, u32::from_be_bytes([0, a, b, c]), u32::from_be_bytes([d, e, f, g])))
}

/// Flags and a 24-bit epoch in one word.
pub(super) fn put_epoch(sink: &mut Sink<'_>, flags: u8, epoch: u32) {
    let [_, a, b, c] = epoch.to_be_bytes();
    sink.put(&[flags, a, b, c]);
}

impl EncodeObject for MessageId {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::MESSAGE_ID, 1)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        put_epoch(sink, self.flags, self.epoch);
        sink.put_u32(self.identifier);
    }
}

impl EncodeObject for MessageIdAck {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::MESSAGE_ID_ACK, if self.nack { 2 } else { 1 })
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        put_epoch(sink, 0, self.epoch);
        sink.put_u32(self.identifier);
    }
}
