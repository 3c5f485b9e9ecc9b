//! STYLE (RFC 2205 A.7).

use core::fmt;

use crate::error::DecodeError;
use crate::iana::class;
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// The reservation style.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Style {
    /// WF: one reservation shared by all senders.
    WildcardFilter,
    /// FF: a reservation of its own for each sender named.
    FixedFilter,
    /// SE: one reservation shared by the senders named.
    SharedExplicit,
    /// Any other option vector (24 bits).
    Unknown(u32),
}

impl Style {
    /// Reads a STYLE. As A.7 permits, only the five bits that RFC 2205 defines decide; further
    /// bits and the flags are ignored. An unknown style is a value here, no error.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let &[_flags, a, b, c] = raw.body else { return Err(raw.bad_length()) };
        Ok(Self::from_vector(u32::from_be_bytes([0, a, b, c])))
    }

    /// The style that an option vector stands for.
    #[must_use]
    pub const fn from_vector(vector: u32) -> Self {
        match vector & 0x1f {
            0b10001 => Self::WildcardFilter,
            0b01010 => Self::FixedFilter,
            0b10010 => Self::SharedExplicit,
            _ => Self::Unknown(vector & 0x00ff_ffff),
        }
    }

    /// The option vector (24 bits).
    #[must_use]
    pub const fn vector(self) -> u32 {
        match self {
            Self::WildcardFilter => 0b10001,
            Self::FixedFilter => 0b01010,
            Self::SharedExplicit => 0b10010,
            Self::Unknown(vector) => vector & 0x00ff_ffff,
        }
    }

    /// Whether all senders named share one reservation; an unknown style counts as distinct.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::WildcardFilter | Self::SharedExplicit)
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WildcardFilter => f.write_str("WF"),
            Self::FixedFilter => f.write_str("FF"),
            Self::SharedExplicit => f.write_str("SE"),
            Self::Unknown(vector) => write!(f, "unknown style {vector:#08x}"),
        }
    }
}

impl EncodeObject for Style {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::STYLE, 1)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        // The flags octet above the 24 bits is 0.
        sink.put_u32(self.vector());
    }
}
