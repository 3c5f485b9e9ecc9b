//! Message generation (RFC 2747 section 4.1): INTEGRITY goes right behind the common header as the
//! message leaves, so that numbers rise in the order of sending.

use std::net::IpAddr;

use rsvp_wire::iana::class;
use rsvp_wire::object::{Challenge, Integrity};
use rsvp_wire::{EncodeObject as _, HEADER_LEN, MessageType, Packet, digest, rewrite_checksum};

use super::super::Core;
use super::super::interfaces::Interfaces;
use super::policy::sign_policies;
use super::{Guard, Sequence, keys};
use crate::config::{Authentication, Handshake};
use crate::packet::{Sealed, TransmitMeta};

/// Longest INTEGRITY object: header, fields, digest of 32 bytes.
const INTEGRITY_MAX: usize = 52;
/// Longest message that fits an IPv4 packet with the Router Alert option.
const MESSAGE_MAX: usize = 65_535 - 24;

/// Why a message that has to be signed cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unsigned {
    NoKey,
    Ambiguous,
    TooLong,
}

impl Unsigned {
    fn name(self) -> &'static str {
        match self {
            Self::NoKey => "integrity_no_key_to_sign_with",
            Self::Ambiguous => "integrity_ambiguous_neighbour",
            Self::TooLong => "message_too_long",
        }
    }
}

impl Core {
    /// Signs what is to be sent since the last call. What must be signed and cannot be is not sent.
    pub(crate) fn seal(&mut self) {
        let Self { integrity, interfaces, outbox, counters, unix_s, .. } = self;
        let policy = integrity.has_policy();
        if integrity.is_open() && !policy {
            return;
        }
        let mut overdue = false;
        outbox.transmits().seal(|meta, message, out| {
            let Some(&kind) = message.get(1) else { return Sealed::AsItIs };
            let kind = MessageType::from(kind);
            if kind == MessageType::IntegrityChallenge {
                return Sealed::AsItIs;
            }
            let mut copy = if policy { message.to_vec() } else { Vec::new() };
            let inside = match policy {
                true => sign_policies(integrity, *unix_s, &mut copy),
                false => Some(false),
            };
            let Some(inside) = inside else {
                counters.drop(Unsigned::NoKey.name());
                return Sealed::Dropped;
            };
            let message = if inside { &copy } else { message };
            let signed = integrity.to_sign(interfaces, meta, kind).and_then(|found| {
                let Some(at) = found else { return Ok(None) };
                let Guard { associations, sequence, .. } = &mut *integrity;
                let Some(association) = associations.get(at) else { return Ok(None) };
                overdue |= sign(association, sequence, *unix_s, message, out)?;
                Ok(Some(()))
            });
            match signed {
                Ok(Some(())) => Sealed::Rewritten,
                Ok(None) if inside => {
                    rewrite_checksum(&mut copy);
                    out.extend_from_slice(&copy);
                    Sealed::Rewritten
                }
                Ok(None) => Sealed::AsItIs,
                Err(why) => {
                    counters.drop(why.name());
                    Sealed::Dropped
                }
            }
        });
        if overdue {
            self.tell_overdue();
        }
    }
}

impl Core {
    /// Whether what follows the data out of an interface is signed.
    pub(crate) fn signs_on(&self, interface: u32) -> bool {
        let Some(port) = self.interfaces.get(interface) else { return false };
        let guard = &self.integrity;
        let by_interface = guard.by_interface.get(&port.kernel.name);
        let here = guard.by_neighbour.iter().filter(|(address, _)| port.reaches(**address));
        let mut found = by_interface.into_iter().chain(here.map(|(_, found)| found));
        found.any(|at| guard.associations.get(*at).is_some_and(|one| one.sign))
    }
}

impl Guard {
    /// The association that a message is to be signed under; none if it goes out as it is.
    fn to_sign(
        &self,
        ports: &Interfaces,
        meta: &TransmitMeta,
        kind: MessageType,
    ) -> Result<Option<usize>, Unsigned> {
        let found = self.of_transmit(ports, meta, kind)?;
        Ok(found.filter(|at| self.associations.get(*at).is_some_and(|one| one.sign)))
    }

    /// Messages to a neighbour go by its address. PATH and what else follows the data names none:
    /// it goes by the interface, or by the only secured neighbour on it.
    fn of_transmit(
        &self,
        ports: &Interfaces,
        meta: &TransmitMeta,
        kind: MessageType,
    ) -> Result<Option<usize>, Unsigned> {
        use MessageType::{Path, PathTear, ResvConf};
        let neighbour = |address: IpAddr| self.by_neighbour.get(&address).copied();
        let routed = matches!(kind, Path | PathTear | ResvConf);
        let to = if routed { meta.gateway } else { Some(meta.destination) };
        if let Some(found) = to.and_then(neighbour) {
            return Ok(Some(found));
        }
        let index = meta.interface.or_else(|| ports.towards(meta.destination, meta.source));
        let Some(port) = index.and_then(|index| ports.get(index)) else { return Ok(None) };
        if let Some(found) = self.by_interface.get(&port.kernel.name) {
            return Ok(Some(*found));
        }
        if !routed {
            return Ok(None);
        }
        if let Some(found) = neighbour(meta.destination) {
            return Ok(Some(found));
        }
        let mut here = self.by_neighbour.iter().filter(|(address, _)| port.reaches(**address));
        match (here.next(), here.next()) {
            (Some((_, found)), None) => Ok(Some(*found)),
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Unsigned::Ambiguous),
        }
    }
}

/// Appends a message with its INTEGRITY object to `out`; true if the key has ended.
fn sign(
    association: &Authentication,
    sequence: &mut Sequence,
    unix_s: u32,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<bool, Unsigned> {
    let now = u64::from(unix_s);
    let usable = match challenged(message) {
        Some(key_id) => keys::signing_by_id(association, key_id, now),
        None => keys::signing(association, now),
    };
    let usable = usable.ok_or(Unsigned::NoKey)?;
    let key = keys::wire_key(usable.key).ok_or(Unsigned::NoKey)?;
    let answers = association.handshake != Handshake::Off;
    let integrity = Integrity {
        flags: if answers { Integrity::HANDSHAKE } else { 0 },
        key_id: usable.key.id,
        sequence: sequence.next(unix_s),
        digest: key.algorithm.blank(),
    };
    let mut object = [0; INTEGRITY_MAX];
    let length = integrity.encode(&mut object).map_err(|_| Unsigned::TooLong)?;
    let (header, mut objects) = message.split_at_checked(HEADER_LEN).ok_or(Unsigned::TooLong)?;
    // A RESVCONF that goes on has that of the hop before, which we have verified.
    let first = Packet::parse_header(message).ok().and_then(|packet| packet.objects().next());
    if let Some(old) = first.filter(|first| first.class == class::INTEGRITY) {
        objects = objects.get(old.bytes.len()..).unwrap_or_default();
    }
    let whole = header.len() + length + objects.len();
    if whole > MESSAGE_MAX {
        return Err(Unsigned::TooLong);
    }
    let start = out.len();
    out.extend_from_slice(header);
    out.extend_from_slice(object.get(..length).unwrap_or_default());
    out.extend_from_slice(objects);
    let made = out.get_mut(start..).unwrap_or_default();
    if let (Some(field), Ok(whole)) = (made.get_mut(6..8), u16::try_from(whole)) {
        field.copy_from_slice(&whole.to_be_bytes());
    }
    digest::sign(made, &key).map_err(|_| Unsigned::NoKey)?;
    // The digest is the stronger check (section 4.1).
    if let Some(checksum) = made.get_mut(2..4) {
        checksum.fill(0);
    }
    Ok(usable.overdue)
}

/// The key that a response has to be signed with.
fn challenged(message: &[u8]) -> Option<u64> {
    let packet = Packet::parse_header(message).ok()?;
    if packet.message_type() != MessageType::IntegrityResponse {
        return None;
    }
    let raw = packet.objects_of(class::CHALLENGE).next()?;
    Challenge::decode(&raw).ok().map(|challenge| challenge.key_id)
}
