//! IP fragments put together (RFC 791, RFC 8200 section 4.5), within bounds.
//!
//! A packet is given up as soon as one of its fragments contradicts another: overlaps with other
//! bytes (RFC 5722), ends elsewhere, or makes it too long. A fragment that was captured twice is
//! taken once.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use super::{Fragment, IpPacket};

/// Packets in the works; each holds at most [`PACKET_MAX`] bytes and [`GAPS_MAX`] ranges.
const PACKETS_MAX: usize = 256;
/// The longest payload of an IP packet, in bytes.
const PACKET_MAX: usize = 65_535;
/// The most separate ranges of one packet.
const GAPS_MAX: usize = 256;
/// How long fragments wait for the others: 60 s (RFC 8200 section 4.5), in nanoseconds.
const WAIT_NS: i128 = 60_000_000_000;

/// What the fragments of one packet have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key<P> {
    place: P,
    src: IpAddr,
    dst: IpAddr,
    identification: u32,
    /// In IPv4 only; in IPv6 the first fragment alone has to say.
    protocol: Option<u8>,
}

#[derive(Debug)]
struct Parts {
    /// When the first fragment came, by whatever clock is given.
    since: Option<i128>,
    /// Order of arrival.
    age: u64,
    /// TTL and protocol of the fragment that begins the packet.
    first: Option<(u8, u8)>,
    data: Vec<u8>,
    /// Ranges of `data` that are there: ascending, apart from each other.
    ranges: Vec<(usize, usize)>,
    /// Length of the whole, once the last fragment has come.
    total: Option<usize>,
}

/// A packet put together.
#[derive(Debug)]
pub(crate) struct Whole {
    /// TTL of the fragment that begins the packet.
    pub(crate) ttl: u8,
    /// The protocol that it names.
    pub(crate) protocol: u8,
    /// The payload.
    pub(crate) payload: Vec<u8>,
}

/// What became of a fragment.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It waits for others.
    Waiting,
    /// It was the last one missing.
    Whole(Whole),
    /// It contradicts those before it; the packet is given up.
    Refused,
}

/// Fragments that wait for others; those of one packet come to one place, of type `P`.
#[derive(Debug)]
pub(crate) struct Fragments<P> {
    packets: HashMap<Key<P>, Parts>,
    arrivals: u64,
    lost: u64,
}

impl<P> Default for Fragments<P> {
    fn default() -> Self {
        Self { packets: HashMap::new(), arrivals: 0, lost: 0 }
    }
}

impl<P: Copy + Eq + Hash> Fragments<P> {
    /// Takes a fragment whose bytes were all captured.
    pub(crate) fn take(
        &mut self,
        packet: &IpPacket<'_>,
        fragment: Fragment,
        place: P,
        now: Option<i128>,
    ) -> Outcome {
        let key = Key {
            place,
            src: packet.src,
            dst: packet.dst,
            identification: fragment.identification,
            protocol: packet.src.is_ipv4().then_some(packet.protocol),
        };
        let outdated = |parts: &Parts| match (parts.since, now) {
            (Some(since), Some(now)) => now - since > WAIT_NS,
            _ => false,
        };
        if self.packets.get(&key).is_some_and(outdated) {
            self.give_up(&key);
        }
        if !self.packets.contains_key(&key) && self.packets.len() >= PACKETS_MAX {
            let oldest = self.packets.iter().min_by_key(|(_, parts)| parts.age);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.give_up(&oldest);
            }
        }
        self.arrivals += 1;
        let age = self.arrivals;
        let parts = self.packets.entry(key).or_insert_with(|| Parts::new(now, age));
        if !parts.add(packet, fragment) {
            self.give_up(&key);
            return Outcome::Refused;
        }
        let Some((ttl, protocol)) = parts.complete() else { return Outcome::Waiting };
        let payload = self.packets.remove(&key).map(|parts| parts.data).unwrap_or_default();
        Outcome::Whole(Whole { ttl, protocol, payload })
    }

    fn give_up(&mut self, key: &Key<P>) {
        if self.packets.remove(key).is_some() {
            self.lost += 1;
        }
    }

    /// Bytes that are kept.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.packets.values().map(|parts| parts.data.len()).sum()
    }

    /// Packets of which not all fragments came, or whose fragments contradicted each other.
    pub(crate) fn lost(&self) -> u64 {
        self.lost + self.packets.len() as u64
    }
}

impl Parts {
    const fn new(since: Option<i128>, age: u64) -> Self {
        Self { since, age, first: None, data: Vec::new(), ranges: Vec::new(), total: None }
    }

    /// Takes a fragment in; false if it contradicts those before it.
    fn add(&mut self, packet: &IpPacket<'_>, fragment: Fragment) -> bool {
        let (start, end) = (fragment.offset, fragment.offset + packet.payload.len());
        // All fragments but the last one consist of 8-byte units.
        if end > PACKET_MAX || start == end || (fragment.more && end % 8 != 0) {
            return false;
        }
        if !fragment.more && self.total.replace(end).is_some_and(|before| before != end) {
            return false;
        }
        let last = self.ranges.last().map_or(end, |&(_, last)| last.max(end));
        if self.total.is_some_and(|total| last > total) {
            return false;
        }
        if start == 0 {
            self.first = Some((packet.ttl, packet.protocol));
        }
        if self.ranges.iter().any(|&(s, e)| start < e && s < end) {
            return self.data.get(start..end) == Some(packet.payload) && self.covers(start, end);
        }
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        let Some(to) = self.data.get_mut(start..end) else { return false };
        to.copy_from_slice(packet.payload);
        self.insert(start, end);
        self.ranges.len() <= GAPS_MAX
    }

    /// Whether one range holds all of these bytes.
    fn covers(&self, start: usize, end: usize) -> bool {
        self.ranges.iter().any(|&(s, e)| s <= start && end <= e)
    }

    /// Adds a range that overlaps with none, and joins it with those that it touches.
    fn insert(&mut self, start: usize, end: usize) {
        self.ranges.push((start, end));
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, before| {
            let touches = before.1 == next.0;
            if touches {
                before.1 = next.1;
            }
            touches
        });
    }

    /// What the first fragment says, once all are there.
    fn complete(&self) -> Option<(u8, u8)> {
        (self.ranges.as_slice() == [(0, self.total?)]).then_some(self.first?)
    }
}
