//! DIAGNOSTIC, DIAG_SELECT, ROUTE and DIAG_RESPONSE (RFC 2745 section 3).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::tunnel::exactly_two;
use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::address::family_ctype;
use crate::object::{FilterSpec, ScopeIter, SenderTemplate};
use crate::packet::{Objects, RawObject};
use crate::writer::{EncodeObject, Sink};

/// DIAGNOSTIC: what a DREQ asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Diagnostic {
    /// How many RSVP hops to collect from, 0 for all.
    pub max_hops: u8,
    /// RSVP hops passed so far.
    pub hop_count: u8,
    /// MF: more fragments of the reply follow.
    pub more_fragments: bool,
    /// Names the request.
    pub request_id: u32,
    /// Largest DREQ and DREP, in bytes.
    pub path_mtu: u16,
    /// Where this fragment belongs in the reply, in bytes.
    pub fragment_offset: u16,
    /// Where collecting starts.
    pub last_hop: IpAddr,
    /// The sender towards whom the request goes.
    pub sender: SenderTemplate,
    /// Who asked.
    pub requester: FilterSpec,
}

/// Takes an address of a C-Type's family (1: IPv4, 2: IPv6) off the front.
fn split_ip(bytes: &[u8], ctype: u8) -> Option<(IpAddr, &[u8])> {
    if ctype == 2 {
        let (octets, rest) = bytes.split_first_chunk::<16>()?;
        Some((IpAddr::V6(Ipv6Addr::from(*octets)), rest))
    } else {
        let (octets, rest) = bytes.split_first_chunk::<4>()?;
        Some((IpAddr::V4(Ipv4Addr::from(*octets)), rest))
    }
}

impl Diagnostic {
    /// Reads a DIAGNOSTIC.
    ///
    /// # Errors
    /// An unknown C-Type, anything but one SENDER_TEMPLATE and one FILTER_SPEC inside, addresses
    /// of another family than the C-Type's.
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if !matches!(raw.ctype, 1 | 2) {
            return Err(raw.bad_ctype());
        }
        let short = || raw.bad_length();
        let (&[max_hops, hop_count, _, flags], rest) =
            raw.body.split_first_chunk::<4>().ok_or_else(short)?;
        let (request_id, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let (path_mtu, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (fragment_offset, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let (last_hop, inside) = split_ip(rest, raw.ctype).ok_or_else(short)?;

        let inner = Objects::new(inside, raw.offset + raw.bytes.len() - inside.len());
        inner.check()?;
        let [first, second] = exactly_two(raw, inner)?;
        if first.class != class::SENDER_TEMPLATE || second.class != class::FILTER_SPEC {
            let class = first.class.into();
            return Err(first.fault(ErrorKind::BadValue, 2, "class inside DIAGNOSTIC", class));
        }
        let sender = SenderTemplate::decode(&first)?;
        let requester = FilterSpec::decode(&second)?;
        for (object, filter) in [(first, sender.0), (second, requester.0)] {
            if filter.source.is_ipv6() != last_hop.is_ipv6() {
                let ctype = object.ctype.into();
                return Err(object.fault(ErrorKind::AddressFamily, 3, "C-Type", ctype));
            }
        }
        Ok(Self {
            max_hops,
            hop_count,
            more_fragments: flags & 1 != 0,
            request_id: u32::from_be_bytes(*request_id),
            path_mtu: u16::from_be_bytes(*path_mtu),
            fragment_offset: u16::from_be_bytes(*fragment_offset),
            last_hop,
            sender,
            requester,
        })
    }
}

impl EncodeObject for Diagnostic {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::DIAGNOSTIC, family_ctype(self.last_hop))
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put(&[self.max_hops, self.hop_count, 0, self.more_fragments.into()]);
        sink.put_u32(self.request_id);
        sink.put_u16(self.path_mtu);
        sink.put_u16(self.fragment_offset);
        sink.put_ip(self.last_hop);
        sink.put_object(&self.sender);
        sink.put_object(&self.requester);
    }
}

/// DIAG_SELECT: which objects are to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiagSelect<'a> {
    pairs: &'a [[u8; 2]],
}

impl<'a> DiagSelect<'a> {
    /// A selection of (Class-Num, C-Type) pairs for writing; C-Type 0 stands for any.
    #[must_use]
    pub const fn new(pairs: &'a [[u8; 2]]) -> Self {
        Self { pairs }
    }

    /// Reads a DIAG_SELECT. Padding, a last pair of zeros, is not part of the selection.
    ///
    /// # Errors
    /// An unknown C-Type.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let (pairs, _) = raw.body.as_chunks::<2>();
        Ok(Self { pairs: pairs.strip_suffix(&[[0, 0]]).unwrap_or(pairs) })
    }

    /// The pairs of Class-Num and C-Type.
    #[must_use]
    pub const fn pairs(&self) -> &'a [[u8; 2]] {
        self.pairs
    }

    /// Whether an object of this class and C-Type is asked for.
    #[must_use]
    pub fn selects(&self, class: u8, ctype: u8) -> bool {
        self.pairs.iter().any(|&[c, t]| c == class && (t == 0 || t == ctype))
    }
}

impl EncodeObject for DiagSelect<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::DIAG_SELECT, 1)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let start = sink.position();
        sink.put(self.pairs.as_flattened());
        sink.pad(start);
    }
}

/// ROUTE: the RSVP hops that a DREQ has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// R-pointer: on the way back, which node is next.
    pub pointer: u8,
    /// The nodes from the LAST-HOP on.
    pub nodes: ScopeIter<'a>,
}

impl<'a> Route<'a> {
    /// A ROUTE for writing: whole addresses of one family, one behind the other. `None` if they
    /// are not whole.
    #[must_use]
    pub fn new(pointer: u8, addresses: &'a [u8], v6: bool) -> Option<Self> {
        let nodes = ScopeIter::over(addresses, if v6 { 2 } else { 1 })?;
        Some(Self { pointer, nodes })
    }

    /// Reads a ROUTE.
    ///
    /// # Errors
    /// An unknown C-Type, or a length that is not one of whole addresses.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        let Some((&[_, _, _, pointer], list)) = raw.body.split_first_chunk::<4>() else {
            return Err(raw.bad_length());
        };
        match ScopeIter::over(list, raw.ctype) {
            Some(nodes) => Ok(Self { pointer, nodes }),
            None if matches!(raw.ctype, 1 | 2) => Err(raw.bad_length()),
            None => Err(raw.bad_ctype()),
        }
    }
}

impl EncodeObject for Route<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::ROUTE, if self.nodes.is_v6() { 2 } else { 1 })
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put(&[0, 0, 0, self.pointer]);
        for node in self.nodes {
            sink.put_ip(node);
        }
    }
}

/// DIAG_RESPONSE: what one node reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiagResponse<'a> {
    /// When the DREQ came, as the middle 32 bits of an NTP timestamp.
    pub arrival_time: u32,
    /// Where messages from the sender are expected; unspecified if not known.
    pub incoming: IpAddr,
    /// Where messages to the session go out; unspecified if not known.
    pub outgoing: IpAddr,
    /// Where PATH messages come from; unspecified if not known.
    pub previous_hop: IpAddr,
    /// IP hops from the RSVP node downstream.
    pub hops: u8,
    /// M: the reservation is merged with others before it goes upstream.
    pub merged: bool,
    /// R-error, 3 bits: [`DiagResponse::NO_PATH_STATE`] and others.
    pub error: u8,
    /// K, the refresh timer multiple; 4 bits.
    pub refresh_multiple: u8,
    /// The refresh period, in seconds.
    pub timer: u16,
    objects: &'a [u8],
    objects_offset: usize,
}

impl<'a> DiagResponse<'a> {
    /// R-error: there is no path state.
    pub const NO_PATH_STATE: u8 = 0x01;
    /// R-error: the packet would be too big.
    pub const PACKET_TOO_BIG: u8 = 0x02;
    /// R-error: the ROUTE object would be too big.
    pub const ROUTE_TOO_BIG: u8 = 0x04;

    /// A report about one address family for writing; all values zero, no objects.
    #[must_use]
    pub const fn new(incoming: IpAddr, outgoing: IpAddr, previous_hop: IpAddr) -> Self {
        Self {
            arrival_time: 0,
            incoming,
            outgoing,
            previous_hop,
            hops: 0,
            merged: false,
            error: 0,
            refresh_multiple: 0,
            timer: 0,
            objects: &[],
            objects_offset: 0,
        }
    }

    /// The same report with these whole objects, one behind the other: first a TUNNEL object if
    /// there is one ([`crate::object::SessionAssoc`]), then the response objects.
    #[must_use]
    pub const fn with_objects(self, objects: &'a [u8]) -> Self {
        Self { objects, ..self }
    }

    /// Reads a DIAG_RESPONSE; the objects inside are checked for their framing.
    ///
    /// # Errors
    /// An unknown C-Type or wrong lengths.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        if !matches!(raw.ctype, 1 | 2) {
            return Err(raw.bad_ctype());
        }
        let short = || raw.bad_length();
        let (arrival_time, rest) = raw.body.split_first_chunk::<4>().ok_or_else(short)?;
        let (incoming, rest) = split_ip(rest, raw.ctype).ok_or_else(short)?;
        let (outgoing, rest) = split_ip(rest, raw.ctype).ok_or_else(short)?;
        let (previous_hop, rest) = split_ip(rest, raw.ctype).ok_or_else(short)?;
        let (&[hops, bits, t1, t0], objects) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let objects_offset = raw.offset + raw.bytes.len() - objects.len();
        Objects::new(objects, objects_offset).check()?;
        Ok(Self {
            arrival_time: u32::from_be_bytes(*arrival_time),
            incoming,
            outgoing,
            previous_hop,
            hops,
            merged: bits & 0x80 != 0,
            error: bits >> 4 & 0x07,
            refresh_multiple: bits & 0x0f,
            timer: u16::from_be_bytes([t1, t0]),
            objects,
            objects_offset,
        })
    }

    /// The TUNNEL object, if there is one, and the response objects.
    #[must_use]
    pub const fn objects(&self) -> Objects<'a> {
        Objects::new(self.objects, self.objects_offset)
    }
}

impl EncodeObject for DiagResponse<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::DIAG_RESPONSE, family_ctype(self.incoming))
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_u32(self.arrival_time);
        for address in [self.incoming, self.outgoing, self.previous_hop] {
            sink.put_ip(address);
        }
        let merged = if self.merged { 0x80 } else { 0 };
        let bits = merged | (self.error & 0x07) << 4 | self.refresh_multiple & 0x0f;
        sink.put(&[self.hops, bits]);
        sink.put_u16(self.timer);
        sink.put(self.objects);
    }
}
