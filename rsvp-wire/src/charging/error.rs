//! Why a charging element cannot be used.

use core::fmt;

use crate::error::Reaction;
use crate::iana::{MessageType, error_code, policy};

/// A fault in a charging element. Offsets count from the element's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChargingError {
    /// The element has a header only: it deletes state (RFC 2750 section 3.4). For a UCPE that
    /// revokes consent.
    Empty,
    /// Bad syntax or a value that cannot be: answered with ERR_PE_BAD.
    Malformed {
        /// Where.
        offset: usize,
        /// Which field.
        field: &'static str,
        /// What was found there.
        value: u64,
    },
    /// A TLV that has to be understood (flag 0x80) and is not: answered with ERR_PE_BAD.
    MustUnderstand {
        /// Where the TLV starts.
        offset: usize,
        /// Its type.
        tlv_type: u8,
    },
    /// A version above 1: the element is to be treated as one of an unknown P-Type, that is
    /// forwarded as it is.
    HigherVersion(u8),
}

impl ChargingError {
    pub(crate) const fn malformed(offset: usize, field: &'static str, value: u64) -> Self {
        Self::Malformed { offset, field, value }
    }

    /// A short stable label, for metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty_element",
            Self::Malformed { .. } => "malformed_element",
            Self::MustUnderstand { .. } => "must_understand",
            Self::HigherVersion(_) => "higher_version",
        }
    }

    /// What to do when the element came in a message of this type.
    #[must_use]
    pub const fn reaction(&self, message_type: MessageType) -> Reaction {
        let (code, value) = (error_code::POLICY, policy::PE_BAD);
        match (self, message_type) {
            (Self::HigherVersion(_), _) => Reaction::ForwardObject,
            (Self::Empty, _) => Reaction::IgnoreObject,
            (_, MessageType::Path) => Reaction::SendPathErr { code, value },
            (_, MessageType::Resv) => Reaction::SendResvErr { code, value },
            _ => Reaction::Drop,
        }
    }
}

impl fmt::Display for ChargingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("charging element without contents"),
            Self::Malformed { offset, field, value } => {
                write!(f, "malformed charging element: {field} is {value} at offset {offset}")
            }
            Self::MustUnderstand { offset, tlv_type } => write!(
                f,
                "charging TLV of type {tlv_type} at offset {offset} must be understood and is not"
            ),
            Self::HigherVersion(version) => {
                write!(f, "charging element of version {version}, this node knows 1")
            }
        }
    }
}

impl core::error::Error for ChargingError {}
