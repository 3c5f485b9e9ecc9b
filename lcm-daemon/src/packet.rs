//! RSVP packets at the boundary between the engine and the sockets.

use std::net::IpAddr;
use std::ops::Range;

/// What the IP layer said about a received RSVP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketMeta {
    /// Interface on which it came in.
    pub interface: u32,
    /// Source address in the IP header.
    pub source: IpAddr,
    /// Destination address in the IP header.
    pub destination: IpAddr,
    /// TTL or hop limit as it arrived, before any decrement (compare with `Send_TTL`).
    pub ttl: u8,
    /// True if the packet carried the Router Alert option.
    pub router_alert: bool,
}

/// How one message is to be put on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransmitMeta {
    /// Outgoing interface; `None` lets the kernel route by the destination (RESV and its kin).
    pub interface: Option<u32>,
    /// Next hop on that interface, for what is to go another way than the kernel's routes lead;
    /// `None` leaves it to them. Only with `interface`.
    pub gateway: Option<IpAddr>,
    /// Source address of the IP header; `None` lets the kernel choose.
    pub source: Option<IpAddr>,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// TTL or hop limit of the IP header.
    pub ttl: u8,
    /// Carry the Router Alert option (RFC 2113, RFC 2711), as PATH, PATHTEAR and RESVCONF do.
    pub router_alert: bool,
}

/// Messages waiting to be sent, in one contiguous buffer so that none costs an allocation.
#[derive(Debug, Clone, Default)]
pub struct TransmitQueue {
    bytes: Vec<u8>,
    items: Vec<(TransmitMeta, Range<usize>)>,
}

impl TransmitQueue {
    /// Appends one RSVP message (header and objects, without the IP header).
    pub fn push(&mut self, meta: TransmitMeta, message: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.items.push((meta, start..self.bytes.len()));
    }

    /// The messages in the order in which they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = (TransmitMeta, &[u8])> {
        self.items
            .iter()
            .map(|(meta, range)| (*meta, self.bytes.get(range.clone()).unwrap_or_default()))
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Forgets all messages and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}
