//! What crossed each link, and a digest of every message sent.

use std::net::IpAddr;

use rsvp_wire::charging::{Dcpe, Ucpe};
use rsvp_wire::message::{Path, Resv};
use rsvp_wire::object::Filter;
use rsvp_wire::{Message, MessageType};

use super::topology::{LinkId, NodeId};

/// P-Types of the charging elements, as all simulated nodes have them.
const DCPE: u16 = 0xD001;
const UCPE: u16 = 0xD002;

/// What became of a packet on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives at this instant, in microseconds of virtual time.
    Arrives(u64),
    /// The link, or a muted node, lost it.
    Lost,
}

impl Fate {
    /// When it arrives.
    pub fn arrival(self) -> Option<u64> {
        match self {
            Self::Arrives(at) => Some(at),
            Self::Lost => None,
        }
    }
}

/// One packet on one link.
#[derive(Debug, Clone)]
pub struct Crossing {
    /// When it was sent, in microseconds of virtual time.
    pub at: u64,
    /// Over which link.
    pub link: LinkId,
    /// Who put it on the link.
    pub from: NodeId,
    /// Who is at the other end.
    pub to: NodeId,
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// TTL of the IP header.
    pub ttl: u8,
    /// Whether it carries Router Alert.
    pub router_alert: bool,
    /// Whether it arrives.
    pub fate: Fate,
    /// The type of the RSVP message.
    pub message_type: MessageType,
    start: usize,
    length: usize,
}

/// All packets so far.
#[derive(Debug, Default)]
pub struct Log {
    crossings: Vec<Crossing>,
    bytes: Vec<u8>,
    digest: u64,
    sent: u64,
}

/// A packet as the log takes it.
pub(super) struct Entry<'a> {
    pub(super) at: u64,
    pub(super) link: LinkId,
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) router_alert: bool,
    pub(super) fate: Fate,
    pub(super) bytes: &'a [u8],
}

impl Log {
    pub(super) fn cross(&mut self, entry: &Entry<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(entry.bytes);
        self.crossings.push(Crossing {
            at: entry.at,
            link: entry.link,
            from: entry.from,
            to: entry.to,
            source: entry.source,
            destination: entry.destination,
            ttl: entry.ttl,
            router_alert: entry.router_alert,
            fate: entry.fate,
            message_type: MessageType::from(entry.bytes.get(1).copied().unwrap_or_default()),
            start,
            length: entry.bytes.len(),
        });
    }

    /// Counts a message that a node sent into the digest.
    pub(super) fn sent(&mut self, at: u64, node: NodeId, ttl: u8, bytes: &[u8]) {
        // Who is told that a message came sends no other than those that are counted.
        let answers = matches!(MessageType::from(bytes[1]), MessageType::Ack | MessageType::Hello);
        self.sent += u64::from(!answers);
        self.mix(at);
        self.mix(node as u64 ^ u64::from(ttl) << 32 ^ (bytes.len() as u64) << 40);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_be_bytes(word));
        }
    }

    fn mix(&mut self, word: u64) {
        // Multiplication by an odd number loses nothing; the rotation brings high bits down.
        self.digest = (self.digest ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    /// A number that differs if any message sent so far, its time or its sender differs.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Messages but acknowledgements and Hellos sent by all nodes so far (each once, however many links it crosses).
    pub fn messages(&self) -> u64 {
        self.sent
    }

    /// All packets, oldest first.
    pub fn crossings(&self) -> &[Crossing] {
        &self.crossings
    }

    /// Forgets the packets and keeps the digest.
    pub fn clear(&mut self) {
        self.crossings.clear();
        self.bytes.clear();
    }

    /// The RSVP message of a packet.
    pub fn bytes(&self, crossing: &Crossing) -> &[u8] {
        &self.bytes[crossing.start..crossing.start + crossing.length]
    }

    /// The packets from one node to the other end of a link, newest first.
    pub fn newest(
        &self,
        link: LinkId,
        from: NodeId,
        message_type: MessageType,
    ) -> impl Iterator<Item = &Crossing> {
        let wanted =
            move |c: &&Crossing| c.link == link && c.from == from && c.message_type == message_type;
        self.crossings.iter().rev().filter(wanted)
    }

    /// The last DCPE that went from a node over a link for one sender.
    pub fn last_dcpe(&self, link: LinkId, from: NodeId, sender: Filter) -> Option<Dcpe> {
        self.newest(link, from, MessageType::Path).find_map(|crossing| {
            let Ok(Message::Path(path)) = Message::parse(self.bytes(crossing)) else { return None };
            if path.sender.template.0 == sender { Some(dcpe(&path)) } else { None }
        })?
    }

    /// The last UCPE that went from a node over a link for one sender.
    pub fn last_ucpe(&self, link: LinkId, from: NodeId, sender: Filter) -> Option<Ucpe> {
        self.newest(link, from, MessageType::Resv).find_map(|crossing| {
            let Ok(Message::Resv(resv)) = Message::parse(self.bytes(crossing)) else { return None };
            ucpes(&resv).into_iter().find(|(of, ..)| *of == sender).map(|(_, ucpe, _)| ucpe)
        })
    }

    /// Packets by (sender, receiver, type), one a line, for people.
    pub fn story(&self, names: impl Fn(NodeId) -> String) -> String {
        let mut text = String::new();
        for c in &self.crossings {
            let lost = if c.fate == Fate::Lost { " lost" } else { "" };
            let (from, to) = (names(c.from), names(c.to));
            let what = self.describe(c);
            text += &format!("{:>12} {from}->{to}{lost} {what}\n", c.at);
        }
        text
    }

    fn describe(&self, crossing: &Crossing) -> String {
        match Message::parse(self.bytes(crossing)) {
            Ok(Message::Path(path)) => {
                let announced = dcpes(&path).map(|(to, d)| {
                    let to = to.map(|to| format!(" for {to}:")).unwrap_or_default();
                    format!("{to} C={} epoch={}", d.total, d.epoch)
                });
                format!("PATH {}{}", path.sender.template.0, announced.collect::<String>())
            }
            Ok(Message::Resv(resv)) => {
                let paid = ucpes(&resv).into_iter().map(|(filter, u, payer)| {
                    let by = if payer == resv.hop.address {
                        String::new()
                    } else {
                        format!(" {payer}:")
                    };
                    let Ucpe { payment, epoch_echo, sequence, .. } = u;
                    format!("{by} {filter} pays {payment} echo={epoch_echo} seq={sequence}")
                });
                format!("RESV{}", paid.collect::<String>())
            }
            Ok(Message::ResvErr(e)) => format!("RESVERR {}/{}", e.error.code, e.error.value),
            Ok(Message::PathErr(e)) => format!("PATHERR {}/{}", e.error.code, e.error.value),
            _ => format!("{:?}", crossing.message_type),
        }
    }
}

/// The DCPE of a PATH: the last one, which is the unaddressed one where there are several.
fn dcpe(path: &Path<'_>) -> Option<Dcpe> {
    dcpes(path).map(|(_, dcpe)| dcpe).last()
}

/// All DCPEs of a PATH with whom they are for.
fn dcpes<'a>(path: &Path<'a>) -> impl Iterator<Item = (Option<IpAddr>, Dcpe)> {
    path.policy_data().filter_map(|object| {
        let to = object.destination_hop().map(|hop| hop.address);
        Some((to, Dcpe::parse(object.element(DCPE)?.bytes).ok()?))
    })
}

/// The UCPEs of a RESV with the senders that they are for, and who pays.
pub(crate) fn ucpes(resv: &Resv<'_>) -> Vec<(Filter, Ucpe, IpAddr)> {
    let mut found = Vec::new();
    for object in resv.policy_data() {
        let Some(element) = object.element(UCPE) else { continue };
        let Ok(ucpe) = Ucpe::parse(element.bytes) else { continue };
        let mut filters: Vec<Filter> = object.filter_specs().map(|filter| filter.0).collect();
        if filters.is_empty() {
            filters = resv.flows().filter_map(|flow| flow.filter).map(|f| f.0).collect();
        }
        let payer = object.originating_hop().map_or(resv.hop.address, |hop| hop.address);
        found.extend(filters.into_iter().map(|filter| (filter, ucpe.clone(), payer)));
    }
    found
}
