//! What is wrong with a message, and what RFC 2205 wants done about it.

use core::fmt;

use crate::iana::{self, MessageType, UnknownClassAction, error_code, policy, traffic_control};

/// The kinds of fault; [`DecodeError`] adds where it is and the value at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Fewer bytes than the header or an object needs.
    Truncated,
    /// The version is not 1.
    BadVersion,
    /// The RSVP Length is not the length of the packet, or no multiple of 4.
    BadLength,
    /// The checksum does not match.
    BadChecksum,
    /// An object's length is no multiple of 4, below 4, over the message, or wrong for its type.
    ObjectLength,
    /// A required object is not there.
    MissingObject,
    /// An object stands twice where one is allowed.
    DuplicateObject,
    /// An object stands in a message or at a place where it may not.
    MisplacedObject,
    /// An object of an unknown class that has to be refused (0bbbbbbb).
    UnknownClass,
    /// A known class with an unknown C-Type.
    UnknownCType,
    /// IPv4 and IPv6, or ports and security parameter indices, mixed in one message.
    AddressFamily,
    /// A SESSION without destination or protocol.
    BadSession,
    /// An RSVP_HOP whose address cannot be a hop's.
    BadHop,
    /// A sender without address.
    BadFilter,
    /// A source port although the session has no destination port (RFC 2205 section 3.2).
    BadPort,
    /// A STYLE that is not WF, FF or SE.
    BadStyle,
    /// The flow descriptors do not suit the style.
    BadFlowDescriptor,
    /// A SENDER_TSPEC with a malformed or unreasonable value.
    BadTspec,
    /// A FLOWSPEC with a malformed or unreasonable value.
    BadFlowspec,
    /// A FLOWSPEC for a service other than guaranteed and controlled-load.
    UnknownService,
    /// An ADSPEC with a malformed or unreasonable value.
    BadAdspec,
    /// A SCOPE list that is malformed.
    BadScope,
    /// A POLICY_DATA object whose options or elements are malformed.
    BadPolicy,
    /// Any other object with a value that its definition excludes.
    BadValue,
}

impl ErrorKind {
    /// A short stable label, for metrics and logs.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadVersion => "bad_version",
            Self::BadLength => "bad_length",
            Self::BadChecksum => "bad_checksum",
            Self::ObjectLength => "object_length",
            Self::MissingObject => "missing_object",
            Self::DuplicateObject => "duplicate_object",
            Self::MisplacedObject => "misplaced_object",
            Self::UnknownClass => "unknown_class",
            Self::UnknownCType => "unknown_ctype",
            Self::AddressFamily => "address_family",
            Self::BadSession => "bad_session",
            Self::BadHop => "bad_hop",
            Self::BadFilter => "bad_filter",
            Self::BadPort => "bad_port",
            Self::BadStyle => "bad_style",
            Self::BadFlowDescriptor => "bad_flow_descriptor",
            Self::BadTspec => "bad_tspec",
            Self::BadFlowspec => "bad_flowspec",
            Self::UnknownService => "unknown_service",
            Self::BadAdspec => "bad_adspec",
            Self::BadScope => "bad_scope",
            Self::BadPolicy => "bad_policy",
            Self::BadValue => "bad_value",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Truncated => "ends too early",
            Self::BadVersion => "is not RSVP version 1",
            Self::BadLength => "has a length that is not the packet's",
            Self::BadChecksum => "has a wrong checksum",
            Self::ObjectLength => "has a length that cannot be",
            Self::MissingObject => "is missing",
            Self::DuplicateObject => "stands twice",
            Self::MisplacedObject => "may not stand here",
            Self::UnknownClass => "is of an unknown class that must be refused",
            Self::UnknownCType => "has an unknown C-Type",
            Self::AddressFamily => "is of another address family than the session",
            Self::BadSession => "names no session",
            Self::BadHop => "names no hop",
            Self::BadFilter => "names no sender",
            Self::BadPort => "has a source port in a session without destination port",
            Self::BadStyle => "is none of WF, FF and SE",
            Self::BadFlowDescriptor => "does not suit the reservation style",
            Self::BadTspec => "is no usable traffic specification",
            Self::BadFlowspec => "is no usable reservation request",
            Self::UnknownService => "asks for an unknown service",
            Self::BadAdspec => "is no usable advertisement",
            Self::BadScope => "is no usable sender list",
            Self::BadPolicy => "is malformed",
            Self::BadValue => "has a value that cannot be",
        }
    }
}

/// A fault in a received message: which object, where, which field, which value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The Msg Type octet, where the message was long enough to hold it.
    pub message_type: Option<u8>,
    /// Class-Num and C-Type of the object at fault; none if the header is. A missing object has
    /// the C-Type 0.
    pub object: Option<(u8, u8)>,
    /// Bytes from the start of the message (of the object, if it was parsed alone) to the field.
    pub offset: usize,
    /// The field at fault.
    pub field: &'static str,
    /// The value found there.
    pub value: u64,
}

impl DecodeError {
    #[cold]
    pub(crate) const fn header(
        kind: ErrorKind,
        offset: usize,
        field: &'static str,
        value: u64,
    ) -> Self {
        Self { kind, message_type: None, object: None, offset, field, value }
    }

    /// The same fault with the message type filled in.
    pub(crate) const fn in_message(mut self, message_type: u8) -> Self {
        self.message_type = Some(message_type);
        self
    }

    /// A short stable label, for metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    /// What RFC 2205 (section 3.10, appendix B) and RFC 2750 (appendix A) want done.
    ///
    /// Only Path and Resv are answered: errors about other messages, and faults that merely show a
    /// broken neighbour, are logged where they were seen (appendix B, last paragraphs).
    #[must_use]
    pub fn reaction(&self) -> Reaction {
        let (class, ctype) = self.object.unwrap_or((0, 0));
        let which = u16::from_be_bytes([class, ctype]);
        let (code, value) = match self.kind {
            ErrorKind::UnknownClass => (error_code::UNKNOWN_CLASS, which),
            ErrorKind::UnknownCType => (error_code::UNKNOWN_CTYPE, which),
            ErrorKind::BadStyle => (error_code::UNKNOWN_STYLE, 0),
            ErrorKind::BadTspec => (error_code::TRAFFIC_CONTROL, traffic_control::BAD_TSPEC),
            ErrorKind::BadFlowspec => (error_code::TRAFFIC_CONTROL, traffic_control::BAD_FLOWSPEC),
            ErrorKind::UnknownService => {
                (error_code::TRAFFIC_CONTROL, traffic_control::SERVICE_UNSUPPORTED)
            }
            ErrorKind::BadAdspec => (error_code::TRAFFIC_CONTROL, traffic_control::BAD_ADSPEC),
            ErrorKind::BadPolicy => (error_code::POLICY, policy::PD_SYNTAX),
            _ => return Reaction::Drop,
        };
        match self.message_type.map(MessageType::from) {
            Some(MessageType::Path) => Reaction::SendPathErr { code, value },
            Some(MessageType::Resv) => Reaction::SendResvErr { code, value },
            _ => Reaction::Drop,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message_type {
            Some(number) => match MessageType::from(number) {
                MessageType::Unknown(_) => write!(f, "message type {number}: ")?,
                known => write!(f, "{}: ", known.name())?,
            },
            None => f.write_str("RSVP message: ")?,
        }
        match self.object {
            Some((class, ctype)) => {
                match iana::class_name(class) {
                    Some(name) => write!(f, "{name} (class {class}, C-Type {ctype})")?,
                    None => write!(f, "object of class {class}, C-Type {ctype},")?,
                }
                write!(f, " {}", self.kind.text())?;
            }
            None => write!(f, "header {}", self.kind.text())?,
        }
        write!(f, ": {} is {} at offset {}", self.field, self.value, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// What to do about a message or an object that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Drop the message; count it and, at most, log it.
    Drop,
    /// Go on without the object.
    IgnoreObject,
    /// Go on without the object, but forward it unmodified.
    ForwardObject,
    /// Answer with a PathErr that carries this error.
    SendPathErr {
        /// Error Code.
        code: u8,
        /// Error Value.
        value: u16,
    },
    /// Answer with a ResvErr that carries this error.
    SendResvErr {
        /// Error Code.
        code: u8,
        /// Error Value.
        value: u16,
    },
}

impl Reaction {
    /// What RFC 2205 section 3.10 wants done about an object of an unknown class.
    #[must_use]
    pub fn for_unknown_class(message_type: MessageType, class: u8, ctype: u8) -> Self {
        match iana::unknown_class_action(class) {
            UnknownClassAction::Ignore => Self::IgnoreObject,
            UnknownClassAction::Forward => Self::ForwardObject,
            UnknownClassAction::Reject => DecodeError {
                kind: ErrorKind::UnknownClass,
                message_type: Some(message_type.into()),
                object: Some((class, ctype)),
                offset: 0,
                field: "class",
                value: class.into(),
            }
            .reaction(),
        }
    }
}
