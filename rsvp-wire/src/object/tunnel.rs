//! SESSION_ASSOC and NODE_CHAR (RFC 2746 section 2.3): RSVP over IP tunnels.

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::{FilterSpec, Session};
use crate::packet::{OBJECT_HEADER_LEN, Objects, RawObject};
use crate::writer::{EncodeObject, Sink};

/// SESSION_ASSOC: which tunnel session carries an end-to-end session. RFC 2745 section 3.7 uses it
/// as TUNNEL object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionAssoc {
    /// The end-to-end session.
    pub session: Session,
    /// The tunnel session, told by its source port.
    pub tunnel: FilterSpec,
}

impl SessionAssoc {
    /// Reads a SESSION_ASSOC; its C-Type is ignored, as the RFC asks.
    ///
    /// # Errors
    /// Anything but one SESSION and one FILTER_SPEC inside, or a fault in one of them.
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let inner = Objects::new(raw.body, raw.offset + OBJECT_HEADER_LEN);
        inner.check()?;
        let [first, second] = exactly_two(raw, inner)?;
        if first.class != class::SESSION || second.class != class::FILTER_SPEC {
            let class = first.class.into();
            return Err(raw.fault(
                ErrorKind::BadValue,
                OBJECT_HEADER_LEN + 2,
                "class inside",
                class,
            ));
        }
        Ok(Self { session: Session::decode(&first)?, tunnel: FilterSpec::decode(&second)? })
    }
}

/// The two objects that stand inside another.
pub(super) fn exactly_two<'a>(
    raw: &RawObject<'a>,
    mut inner: Objects<'a>,
) -> Result<[RawObject<'a>; 2], DecodeError> {
    match (inner.next(), inner.next(), inner.next()) {
        (Some(first), Some(second), None) => Ok([first, second]),
        _ => Err(raw.bad_length()),
    }
}

impl EncodeObject for SessionAssoc {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::SESSION_ASSOC, 0)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_object(&self.session);
        sink.put_object(&self.tunnel);
    }
}

/// NODE_CHAR: what the node that sends it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeChar {
    /// T: the node is capable of RSVP over tunnels.
    pub tunnel: bool,
}

impl NodeChar {
    /// Reads a NODE_CHAR; its C-Type is ignored, as the RFC asks.
    ///
    /// # Errors
    /// A wrong length.
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let &[_, _, _, last] = raw.body else { return Err(raw.bad_length()) };
        Ok(Self { tunnel: last & 1 != 0 })
    }
}

impl EncodeObject for NodeChar {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::NODE_CHAR, 0)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_u32(self.tunnel.into());
    }
}
