//! ERROR_SPEC and RESV_CONFIRM (RFC 2205 A.5 and A.14).

use core::net::IpAddr;

use crate::error::DecodeError;
use crate::iana::class;
use crate::object::address::{family_ctype, v4_and, v6_and};
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// The flags octet of an ERROR_SPEC; bits without a name are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ErrorFlags(pub u8);

impl ErrorFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// ResvErr only: there was and still is a reservation in place at the failure point.
    pub const IN_PLACE: Self = Self(0x01);
    /// To the receiver application only: what failed was more than this receiver asked for.
    pub const NOT_GUILTY: Self = Self(0x02);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// ERROR_SPEC: an error, or in a ResvConf the confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorSpec {
    /// The node that found the error.
    pub node: IpAddr,
    /// Flag bits.
    pub flags: ErrorFlags,
    /// Error Code, see [`crate::iana::error_code`].
    pub code: u8,
    /// Error Value; its meaning depends on the code.
    pub value: u16,
}

impl ErrorSpec {
    /// Reads an ERROR_SPEC.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let parts = match raw.ctype {
            1 => v4_and::<4>(raw.body),
            2 => v6_and::<4>(raw.body),
            _ => return Err(raw.bad_ctype()),
        };
        let Some((node, &[flags, code, high, low])) = parts else {
            return Err(raw.bad_length());
        };
        let value = u16::from_be_bytes([high, low]);
        Ok(Self { node, flags: ErrorFlags(flags), code, value })
    }
}

impl EncodeObject for ErrorSpec {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::ERROR_SPEC, family_ctype(self.node))
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let [high, low] = self.value.to_be_bytes();
        sink.put_ip(self.node);
        sink.put(&[self.flags.0, self.code, high, low]);
    }
}

/// RESV_CONFIRM: the receiver that asks for a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResvConfirm {
    /// Where the ResvConf goes.
    pub receiver: IpAddr,
}

impl ResvConfirm {
    /// Reads a RESV_CONFIRM.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let parts = match raw.ctype {
            1 => v4_and::<0>(raw.body),
            2 => v6_and::<0>(raw.body),
            _ => return Err(raw.bad_ctype()),
        };
        let Some((receiver, [])) = parts else { return Err(raw.bad_length()) };
        Ok(Self { receiver })
    }
}

impl EncodeObject for ResvConfirm {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::RESV_CONFIRM, family_ctype(self.receiver))
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_ip(self.receiver);
    }
}
