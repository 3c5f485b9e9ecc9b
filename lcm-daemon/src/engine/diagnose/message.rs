//! DREQ and DREP as they are changed from hop to hop.

use std::net::IpAddr;

use rsvp_wire::iana::class;
use rsvp_wire::message::Diagnosis;
use rsvp_wire::object::{DiagSelect, Diagnostic, FlowId, Hop, Route, Session};
use rsvp_wire::{BufferTooSmall, EncodeObject, MessageType, MessageWriter};

/// Longest message that fits an IPv4 packet with the Router Alert option.
const MESSAGE_MAX: usize = 65_535 - 24;
/// Bytes of the common header.
const HEADER: usize = 8;

/// A request or reply taken apart.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) session: Session,
    /// NHOP, with our handle of the interface where it came in.
    pub(super) hop: Hop,
    pub(super) diagnostic: Diagnostic,
    /// The objects asked for; `None` is the default list.
    pub(super) select: Option<Vec<[u8; 2]>>,
    /// The hops passed since the LAST-HOP, where the reply goes back by them.
    pub(super) route: Option<Vec<IpAddr>>,
    /// R-pointer.
    pub(super) pointer: u8,
    /// DIAG_RESPONSE objects, whole, one behind the other.
    pub(super) responses: Vec<u8>,
    /// Objects of classes that go on unread (RFC 2205 section 3.10).
    pub(super) unknown: Vec<u8>,
}

impl Message {
    /// A request that starts here.
    pub(super) fn new(session: Session, hop: Hop, diagnostic: Diagnostic) -> Self {
        Self {
            session,
            hop,
            diagnostic,
            select: None,
            route: None,
            pointer: 0,
            responses: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Takes a message apart; `None` if its parts are not of one address family, or a request has
    /// MF (section 3.3).
    pub(super) fn read(message: &Diagnosis<'_>) -> Option<Self> {
        let v6 = message.session.destination.is_ipv6();
        let of_family = |address: IpAddr| address.is_ipv6() == v6;
        let diagnostic = message.diagnostic;
        let request = message.packet.message_type() == MessageType::Dreq;
        let sound = of_family(message.hop.address)
            && of_family(diagnostic.last_hop)
            && message.route.is_none_or(|route| {
                route.nodes.len() == 0 || route.nodes.into_iter().all(of_family)
            })
            && message.responses().all(|response| of_family(response.incoming))
            && !(request && diagnostic.more_fragments);
        let bytes_of = |class: u8| {
            let objects = message.packet.objects_of(class);
            objects.flat_map(|raw| raw.bytes).copied().collect::<Vec<u8>>()
        };
        sound.then(|| Self {
            session: message.session,
            hop: message.hop,
            diagnostic,
            select: message.select.map(|select| select.pairs().to_vec()),
            route: message.route.map(|route| route.nodes.into_iter().collect()),
            pointer: message.route.map_or(0, |route| route.pointer),
            responses: bytes_of(class::DIAG_RESPONSE),
            unknown: message.packet.unknown().flat_map(|raw| raw.bytes).copied().collect(),
        })
    }

    pub(super) fn kind(&self, reply: bool) -> MessageType {
        if reply { MessageType::Drep } else { MessageType::Dreq }
    }

    /// Whether nothing was collected yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.responses.is_empty() && self.diagnostic.fragment_offset == 0
    }

    /// The UDP port where the requester listens, 0 if it takes RSVP messages.
    pub(super) fn requester_port(&self) -> u16 {
        match self.diagnostic.requester.0.id {
            FlowId::Port(port) => port,
            _ => 0,
        }
    }

    /// Whether objects of this class and C-Type are asked for; `by_default` is what holds where
    /// nothing is said.
    pub(super) fn selects(&self, class: u8, ctype: u8, by_default: bool) -> bool {
        match &self.select {
            None => by_default,
            Some(pairs) => DiagSelect::new(pairs).selects(class, ctype),
        }
    }

    /// Bytes of the message.
    pub(super) fn length(&self) -> usize {
        let size = if self.session.destination.is_ipv6() { 16 } else { 4 };
        let select = self.select.as_ref().map_or(0, |pairs| DiagSelect::new(pairs).encoded_len());
        let route = self.route.as_ref().map_or(0, |nodes| 8 + size * nodes.len());
        HEADER
            + self.session.encoded_len()
            + self.hop.encoded_len()
            + self.diagnostic.encoded_len()
            + select
            + route
            + self.responses.len()
            + self.unknown.len()
    }

    pub(super) fn write(&self, w: &mut MessageWriter<'_>) -> Result<(), BufferTooSmall> {
        w.object(&self.session)?;
        w.object(&self.hop)?;
        w.object(&self.diagnostic)?;
        if let Some(pairs) = &self.select {
            w.object(&DiagSelect::new(pairs))?;
        }
        if let Some(nodes) = &self.route {
            let mut bytes = Vec::with_capacity(16 * nodes.len());
            for node in nodes {
                match node {
                    IpAddr::V4(v4) => bytes.extend(v4.octets()),
                    IpAddr::V6(v6) => bytes.extend(v6.octets()),
                }
            }
            let v6 = self.session.destination.is_ipv6();
            if let Some(route) = Route::new(self.pointer, &bytes, v6) {
                w.object(&route)?;
            }
        }
        w.raw(&self.responses)?;
        w.raw(&self.unknown)
    }

    /// The whole message; `None` if it fits no packet.
    pub(super) fn encode(&self, reply: bool, ttl: u8) -> Option<Vec<u8>> {
        let mut buffer = vec![0; MESSAGE_MAX];
        let mut writer = MessageWriter::new(&mut buffer, self.kind(reply), ttl);
        self.write(&mut writer).ok()?;
        let length = writer.finish().ok()?;
        buffer.truncate(length);
        Some(buffer)
    }
}
