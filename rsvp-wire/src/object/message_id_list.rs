//! MESSAGE_ID LIST, SRC_LIST and MCAST_LIST (RFC 2961 section 5.1).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message_id::put_epoch;
use crate::error::DecodeError;
use crate::iana::class;
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// Which of the three lists, and for the latter two of which address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// MESSAGE_ID LIST: numbers alone.
    Plain,
    /// IPv4 SRC_LIST: number and source.
    SourceV4,
    /// IPv6 SRC_LIST: number and source.
    SourceV6,
    /// IPv4 MCAST_LIST: number, source and destination.
    MulticastV4,
    /// IPv6 MCAST_LIST: number, source and destination.
    MulticastV6,
}

impl ListKind {
    const fn from_ctype(ctype: u8) -> Option<Self> {
        Some(match ctype {
            1 => Self::Plain,
            2 => Self::SourceV4,
            3 => Self::SourceV6,
            4 => Self::MulticastV4,
            5 => Self::MulticastV6,
            _ => return None,
        })
    }

    const fn ctype(self) -> u8 {
        match self {
            Self::Plain => 1,
            Self::SourceV4 => 2,
            Self::SourceV6 => 3,
            Self::MulticastV4 => 4,
            Self::MulticastV6 => 5,
        }
    }

    /// Whether the entries name a source but no destination.
    #[must_use]
    pub const fn is_source_list(self) -> bool {
        matches!(self, Self::SourceV4 | Self::SourceV6)
    }

    const fn entry_len(self) -> usize {
        match self {
            Self::Plain => 4,
            Self::SourceV4 => 8,
            Self::SourceV6 => 20,
            Self::MulticastV4 => 12,
            Self::MulticastV6 => 36,
        }
    }
}

/// One state to refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListEntry {
    /// Number of the message that advertised the state.
    pub identifier: u32,
    /// The sender of the path state, in SRC_LIST and MCAST_LIST.
    pub source: Option<IpAddr>,
    /// The session's destination, in MCAST_LIST.
    pub destination: Option<IpAddr>,
}

/// A checked list: at least one entry, whole entries only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageIdList<'a> {
    /// Which list.
    pub kind: ListKind,
    /// Epoch of all numbers in the list; 24 bits.
    pub epoch: u32,
    entries: &'a [u8],
}

impl<'a> MessageIdList<'a> {
    /// Reads a MESSAGE_ID_LIST object; its flags are ignored.
    ///
    /// # Errors
    /// An unknown C-Type, or a length that is not one of whole entries and at least one.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        let Some(kind) = ListKind::from_ctype(raw.ctype) else { return Err(raw.bad_ctype()) };
        let Some((&[_flags, a, b, c], entries)) = raw.body.split_first_chunk::<4>() else {
            return Err(raw.bad_length());
        };
        if entries.is_empty() || !entries.len().is_multiple_of(kind.entry_len()) {
            return Err(raw.bad_length());
        }
        Ok(Self { kind, epoch: u32::from_be_bytes([0, a, b, c]), entries })
    }

    /// The entries in order.
    #[must_use]
    pub const fn entries(&self) -> ListEntries<'a> {
        ListEntries { kind: self.kind, rest: self.entries }
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len() / self.kind.entry_len()
    }

    /// Whether there are no entries; a list that was read always has some.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The entries of a list.
#[derive(Debug, Clone, Copy)]
pub struct ListEntries<'a> {
    kind: ListKind,
    rest: &'a [u8],
}

impl ListEntries<'_> {
    fn take_ip(&mut self) -> Option<IpAddr> {
        match self.kind {
            ListKind::SourceV6 | ListKind::MulticastV6 => {
                let (octets, rest) = self.rest.split_first_chunk::<16>()?;
                self.rest = rest;
                Some(IpAddr::V6(Ipv6Addr::from(*octets)))
            }
            _ => {
                let (octets, rest) = self.rest.split_first_chunk::<4>()?;
                self.rest = rest;
                Some(IpAddr::V4(Ipv4Addr::from(*octets)))
            }
        }
    }
}

impl Iterator for ListEntries<'_> {
    type Item = ListEntry;

    fn next(&mut self) -> Option<ListEntry> {
        let (identifier, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        let identifier = u32::from_be_bytes(*identifier);
        let (source, destination) = match self.kind {
            ListKind::Plain => (None, None),
            ListKind::SourceV4 | ListKind::SourceV6 => (Some(self.take_ip()?), None),
            _ => (Some(self.take_ip()?), Some(self.take_ip()?)),
        };
        Some(ListEntry { identifier, source, destination })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len() / self.kind.entry_len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for ListEntries<'_> {}

impl EncodeObject for MessageIdList<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::MESSAGE_ID_LIST, self.kind.ctype())
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        put_epoch(sink, 0, self.epoch);
        sink.put(self.entries);
    }
}

/// A list for writing. The entries have to have the addresses that the kind asks for; one that
/// lacks them is written with the unspecified address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageIds<'a> {
    /// Which list.
    pub kind: ListKind,
    /// Epoch of all numbers in the list; 24 bits on the wire.
    pub epoch: u32,
    /// The entries; not empty.
    pub entries: &'a [ListEntry],
}

impl MessageIds<'_> {
    fn put_ip(&self, sink: &mut Sink<'_>, address: Option<IpAddr>) {
        let v6 = matches!(self.kind, ListKind::SourceV6 | ListKind::MulticastV6);
        match address {
            Some(address) if address.is_ipv6() == v6 => sink.put_ip(address),
            _ if v6 => sink.put(&[0; 16]),
            _ => sink.put(&[0; 4]),
        }
    }
}

impl EncodeObject for MessageIds<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::MESSAGE_ID_LIST, self.kind.ctype())
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        put_epoch(sink, 0, self.epoch);
        for entry in self.entries {
            sink.put_u32(entry.identifier);
            if self.kind != ListKind::Plain {
                self.put_ip(sink, entry.source);
            }
            if matches!(self.kind, ListKind::MulticastV4 | ListKind::MulticastV6) {
                self.put_ip(sink, entry.destination);
            }
        }
    }
}
