//! RSVP messages as far as they go: what a node would refuse is what an operator looks for, so
//! everything in front of a fault is kept.

use rsvp_wire::iana::class;
use rsvp_wire::{
    DecodeError, ErrorKind, HEADER_LEN, Message, MessageType, OBJECT_HEADER_LEN, Packet, RawObject,
    checksum,
};

use super::object;
use super::record::Record;

/// The common header, whatever it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) flags: u8,
    pub(super) send_ttl: u8,
    /// RSVP Length as it was sent.
    pub(super) length: u16,
    /// Whether the checksum is right; none where the sender sent none, or where not all bytes
    /// that it covers are there.
    pub(super) checksum_ok: Option<bool>,
    /// Whether the sender sent a checksum.
    pub(super) has_checksum: bool,
}

/// A message, whole or in front of a fault.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    /// The Msg Type octet, if there is one.
    pub(super) message_type: Option<u8>,
    /// None if there are not even 8 bytes.
    pub(super) header: Option<Header>,
    pub(super) objects: Vec<RawObject<'a>>,
    /// The messages of a Bundle.
    pub(super) parts: Vec<Decoded<'a>>,
    /// What is malformed.
    pub(super) error: Option<String>,
    /// What is not malformed but of no use to a node without the extension that it belongs to.
    pub(super) note: Option<String>,
}

/// Reads the message in an IP payload of `sent` bytes, of which `bytes` were captured.
pub(super) fn decode(bytes: &[u8], sent: usize) -> Decoded<'_> {
    let mut decoded = decode_part(bytes, sent);
    if decoded.message_type == Some(MessageType::Bundle.into()) {
        decoded.parts = parts(bytes);
    }
    decoded
}

/// Reads a message, but not the messages of a Bundle.
fn decode_part(bytes: &[u8], sent: usize) -> Decoded<'_> {
    let missing = sent.saturating_sub(bytes.len());
    let message_type = bytes.get(1).copied();
    let header = header(bytes);
    let mut decoded = Decoded {
        message_type,
        header,
        objects: Vec::new(),
        parts: Vec::new(),
        error: None,
        note: None,
    };
    let parsed = Packet::parse_header(bytes);
    let cut = (missing > 0).then(|| {
        format!("the capture was cut: it holds {} of the {sent} bytes of the message", bytes.len())
    });
    let version_is_known = !matches!(
        &parsed,
        Err(DecodeError { kind: ErrorKind::BadVersion | ErrorKind::Truncated, .. })
    );
    if header.is_none() || !version_is_known {
        decoded.error = cut.or_else(|| parsed.err().map(|error| error.to_string()));
        return decoded;
    }
    let fault = if is_bundle(message_type) { None } else { decoded.frame(bytes) };
    decoded.error = match (cut, parsed, fault) {
        (Some(cut), _, Some(fault)) if !is_end(&fault, bytes.len()) => {
            Some(format!("{cut}; {fault}"))
        }
        (Some(cut), _, _) => Some(cut),
        (None, Err(error), _) | (None, Ok(_), Some(error)) => Some(error.to_string()),
        (None, Ok(packet), None) => {
            decoded.judge(&packet);
            return decoded;
        }
    };
    decoded
}

/// Whether a fault says no more than that the bytes end there.
fn is_end(fault: &DecodeError, length: usize) -> bool {
    let left = length.saturating_sub(fault.offset) as u64;
    fault.kind == ErrorKind::Truncated || fault.value > left
}

fn is_bundle(message_type: Option<u8>) -> bool {
    message_type == Some(MessageType::Bundle.into())
}

fn header(bytes: &[u8]) -> Option<Header> {
    let &[first, _, c1, c0, send_ttl, _, l1, l0] = bytes.first_chunk::<HEADER_LEN>()?;
    let length = u16::from_be_bytes([l1, l0]);
    let has_checksum = [c1, c0] != [0, 0];
    let covered = bytes.get(..length.into()).filter(|covered| covered.len() >= HEADER_LEN);
    let checksum_ok = covered.filter(|_| has_checksum).map(|covered| checksum::of(covered) == 0);
    Some(Header { flags: first & 0x0f, send_ttl, length, checksum_ok, has_checksum })
}

/// What lies behind the header and within both the message and the bytes that are there.
fn body(bytes: &[u8]) -> &[u8] {
    let length = bytes.get(6..).and_then(<[u8]>::first_chunk::<2>).copied().unwrap_or_default();
    let end = usize::from(u16::from_be_bytes(length)).min(bytes.len());
    bytes.get(HEADER_LEN..end).unwrap_or_default()
}

impl<'a> Decoded<'a> {
    /// Takes the objects up to the first whose length cannot be.
    fn frame(&mut self, bytes: &'a [u8]) -> Option<DecodeError> {
        let mut rest = body(bytes);
        let mut offset = HEADER_LEN;
        while !rest.is_empty() {
            match frame_object(rest, offset) {
                Ok(raw) => {
                    rest = rest.get(raw.bytes.len()..).unwrap_or_default();
                    offset += raw.bytes.len();
                    self.objects.push(raw);
                }
                Err(error) => {
                    return Some(DecodeError { message_type: self.message_type, ..error });
                }
            }
        }
        None
    }

    /// Checks a message whose framing is right, and drops the objects from the first fault on.
    fn judge(&mut self, packet: &Packet<'a>) {
        let error = match Message::from_packet(*packet) {
            // Objects in messages of other RFCs are not looked at by the parser.
            Ok(Message::Other(_)) => self.objects.iter().find_map(|raw| object::check(raw).err()),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let Some(error) = error else { return };
        match error.kind {
            ErrorKind::UnknownClass
            | ErrorKind::UnknownCType
            | ErrorKind::UnknownService
            | ErrorKind::BadStyle => self.note = Some(error.to_string()),
            _ => {
                // What is missing, or ends too early, is a fault behind all objects.
                let at_end = matches!(
                    (error.kind, error.object),
                    (ErrorKind::MissingObject, _)
                        | (ErrorKind::BadFlowDescriptor, Some((class::STYLE, _)))
                );
                if !at_end {
                    self.objects.retain(|raw| raw.offset + raw.bytes.len() <= error.offset);
                }
                self.error = Some(error.to_string());
            }
        }
    }
}

/// Takes the first object off `bytes`.
fn frame_object(bytes: &[u8], offset: usize) -> Result<RawObject<'_>, DecodeError> {
    let length = bytes.first_chunk::<2>().map_or(0, |length| u16::from_be_bytes(*length));
    let whole = bytes.get(..length.into()).filter(|object| object.len() >= OBJECT_HEADER_LEN);
    match RawObject::parse(whole.unwrap_or(bytes)) {
        Ok(raw) => Ok(RawObject { offset, ..raw }),
        Err(error) => Err(DecodeError { offset: error.offset + offset, ..error }),
    }
}

/// The messages of a Bundle (RFC 2961 section 3) up to the first whose framing is wrong. A Bundle in
/// a Bundle is malformed and not looked into.
fn parts(bytes: &[u8]) -> Vec<Decoded<'_>> {
    let mut parts = Vec::new();
    let mut rest = body(bytes);
    while let Some((&[first, kind, _, _, _, _, l1, l0], _)) = rest.split_first_chunk::<HEADER_LEN>()
    {
        let length = usize::from(u16::from_be_bytes([l1, l0]));
        let part = rest.get(..length).filter(|part| part.len() >= HEADER_LEN && length % 4 == 0);
        let (Some(part), 1, false) = (part, first >> 4, is_bundle(Some(kind))) else { break };
        parts.push(decode_part(part, length));
        rest = rest.get(length..).unwrap_or_default();
    }
    parts
}

/// The name of a message type.
pub(super) fn type_name(message_type: Option<u8>) -> &'static str {
    message_type.map_or("unknown", |number| MessageType::from(number).name())
}

/// A message as JSON, behind the members of `envelope` that say where it was seen.
pub(super) fn record(decoded: &Decoded<'_>, envelope: &Record) -> Record {
    let mut record = envelope.clone();
    record.put("msg_type", decoded.message_type);
    record.put("msg_name", type_name(decoded.message_type));
    record.put("checksum_ok", decoded.header.and_then(|header| header.checksum_ok));
    record.put("length", decoded.header.map(|header| header.length));
    record.put("flags", decoded.header.map(|header| header.flags));
    record.put("send_ttl", decoded.header.map(|header| header.send_ttl));
    record.put("objects", decoded.objects.iter().map(object::record).collect::<Vec<_>>());
    if is_bundle(decoded.message_type) {
        let parts = decoded.parts.iter().map(|part| self::record(part, envelope));
        record.put("messages", parts.collect::<Vec<_>>());
    }
    record.put_some("error", decoded.error.clone());
    record.put_some("note", decoded.note.clone());
    record
}
