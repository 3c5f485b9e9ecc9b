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
    items: Vec<Item>,
    /// The first items of which nothing is to be changed any more.
    sealed: usize,
}

#[derive(Debug, Clone)]
struct Item {
    meta: TransmitMeta,
    range: Range<usize>,
    /// It is somebody else's message, which goes on as it came.
    foreign: bool,
}

/// What became of a message as it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// It is sent as it is.
    AsItIs,
    /// What was written instead is sent.
    Rewritten,
    /// It is not sent.
    Dropped,
}

impl TransmitQueue {
    /// Appends one RSVP message (header and objects, without the IP header).
    pub fn push(&mut self, meta: TransmitMeta, message: &[u8]) {
        self.append(meta, message, false);
    }

    /// Appends somebody else's message, which goes on as it came.
    pub(crate) fn push_foreign(&mut self, meta: TransmitMeta, message: &[u8]) {
        self.append(meta, message, true);
    }

    fn append(&mut self, meta: TransmitMeta, message: &[u8], foreign: bool) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.items.push(Item { meta, range: start..self.bytes.len(), foreign });
    }

    /// Has each of our messages looked at once, in order: `seal` may write another one into the
    /// empty buffer that it is given.
    pub(crate) fn seal(
        &mut self,
        mut seal: impl FnMut(&TransmitMeta, &[u8], &mut Vec<u8>) -> Sealed,
    ) {
        let fresh = self.items.split_off(self.sealed.min(self.items.len()));
        let Some(start) = fresh.first().map(|item| item.range.start) else { return };
        let old = self.bytes.split_off(start);
        let mut instead = Vec::new();
        for Item { meta, range, foreign } in fresh {
            let message = old.get(range.start - start..range.end - start).unwrap_or_default();
            instead.clear();
            let sealed = if foreign { Sealed::AsItIs } else { seal(&meta, message, &mut instead) };
            match sealed {
                Sealed::AsItIs => self.append(meta, message, foreign),
                Sealed::Rewritten => self.append(meta, &instead, foreign),
                Sealed::Dropped => {}
            }
        }
        self.sealed = self.items.len();
    }

    /// The messages in the order in which they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = (TransmitMeta, &[u8])> {
        self.items
            .iter()
            .map(|item| (item.meta, self.bytes.get(item.range.clone()).unwrap_or_default()))
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
        self.sealed = 0;
    }
}
