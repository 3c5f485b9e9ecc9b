//! HELLO (RFC 3209 section 5.2) and CHALLENGE (RFC 2747 section 4.3).

use crate::error::DecodeError;
use crate::iana::class;
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// HELLO REQUEST or HELLO ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hello {
    /// Whether it is a HELLO ACK.
    pub ack: bool,
    /// The sender's instance; changes when it restarts. RFC 3209 forbids 0, which is nevertheless
    /// passed on here so that the caller can treat the neighbour as reset.
    pub source_instance: u32,
    /// The instance last seen of the neighbour, 0 if none.
    pub destination_instance: u32,
}

impl Hello {
    /// Reads a HELLO.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let ack = match raw.ctype {
            1 => false,
            2 => true,
            _ => return Err(raw.bad_ctype()),
        };
        let &[a, b, c, d, e, f, g, h] = raw.body else { return Err(raw.bad_length()) };
        Ok(Self {
            ack,
            source_instance: u32::from_be_bytes([a, b, c, d]),
            destination_instance: u32::from_be_bytes([e, f, g, h]),
        })
    }
}

impl EncodeObject for Hello {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::HELLO, if self.ack { 2 } else { 1 })
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_u32(self.source_instance);
        sink.put_u32(self.destination_instance);
    }
}

/// CHALLENGE: asks a neighbour for the current sequence number of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Challenge {
    /// Key identifier, 48 bits on the wire.
    pub key_id: u64,
    /// What the response has to repeat.
    pub cookie: u64,
}

impl Challenge {
    /// Reads a CHALLENGE.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let Some((&[_, _, a, b, c, d, e, f], cookie)) = raw.body.split_first_chunk::<8>() else {
            return Err(raw.bad_length());
        };
        let cookie = cookie.try_into().map_err(|_| raw.bad_length())?;
        let key_id = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Ok(Self { key_id, cookie: u64::from_be_bytes(cookie) })
    }
}

impl EncodeObject for Challenge {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::CHALLENGE, 1)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let [_, _, key @ ..] = self.key_id.to_be_bytes();
        sink.put(&[0, 0]);
        sink.put(&key);
        sink.put_u64(self.cookie);
    }
}
