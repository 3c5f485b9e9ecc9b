//! RSVP messages as bytes, read and written by the tests' own hand: RFC 2205 section 3.1, RFC 2750
//! section 2.1, charging.md section 5.1. Nothing here shares code with the product.

use std::net::Ipv4Addr;

pub(crate) const PATH: u8 = 1;
pub(crate) const RESV: u8 = 2;
pub(crate) const PATH_ERR: u8 = 3;
pub(crate) const RESV_ERR: u8 = 4;
pub(crate) const PATH_TEAR: u8 = 5;
pub(crate) const RESV_TEAR: u8 = 6;
pub(crate) const RESV_CONF: u8 = 7;

pub(crate) const SESSION: u8 = 1;
pub(crate) const RSVP_HOP: u8 = 3;
pub(crate) const TIME_VALUES: u8 = 5;
pub(crate) const ERROR_SPEC: u8 = 6;
pub(crate) const STYLE: u8 = 8;
pub(crate) const FLOWSPEC: u8 = 9;
pub(crate) const FILTER_SPEC: u8 = 10;
pub(crate) const SENDER_TEMPLATE: u8 = 11;
pub(crate) const SENDER_TSPEC: u8 = 12;
pub(crate) const ADSPEC: u8 = 13;
pub(crate) const POLICY_DATA: u8 = 14;

/// P-Types of the charging elements.
pub(crate) const DCPE: u16 = 0xD001;
pub(crate) const UCPE: u16 = 0xD002;
pub(crate) const CHG_ERR: u16 = 0xD003;

/// TLV types of a DCPE.
const SENDER_FRACTION: u8 = 1;
const ESTABLISHED: u8 = 12;

/// One object: class, C-Type and what follows its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) class: u8,
    pub(crate) ctype: u8,
    pub(crate) body: Vec<u8>,
}

/// One message: type, Send_TTL and objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) send_ttl: u8,
    pub(crate) objects: Vec<Object>,
}

/// A policy element with the options of the POLICY_DATA object that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// The node that made it.
    pub(crate) origin: Option<Ipv4Addr>,
    /// The only node that it is meant for.
    pub(crate) destination: Option<Ipv4Addr>,
    /// The senders that it is about; those of the message if there are none.
    pub(crate) filters: Vec<(Ipv4Addr, u16)>,
    pub(crate) bytes: &'a [u8],
}

/// What a PATH announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dcpe {
    pub(crate) flags: u8,
    pub(crate) total: u64,
    pub(crate) max_total: u64,
    pub(crate) validity_ms: u32,
    pub(crate) epoch: u32,
    /// Parts per million; 0 where the TLV is missing.
    pub(crate) fraction: u32,
    /// The sequence of the next hop's UCPE that is in place.
    pub(crate) established: Option<u32>,
    /// The only next hop that it is meant for.
    pub(crate) destination: Option<Ipv4Addr>,
}

/// What a RESV pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ucpe {
    pub(crate) payment: u64,
    pub(crate) announced_total: u64,
    pub(crate) sender_payment: u64,
    pub(crate) local_sum: u64,
    pub(crate) sequence: u32,
    pub(crate) instance: u32,
}

/// An ERROR_SPEC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ErrorSpec {
    pub(crate) node: Ipv4Addr,
    pub(crate) code: u8,
    pub(crate) value: u16,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes)
}

fn address_at(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    u32_at(bytes, at).map(Ipv4Addr::from)
}

impl Message {
    /// Reads a message; `None` if its framing is broken.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Message> {
        let [version, kind, _, _, send_ttl, _, ..] = bytes else { return None };
        if version >> 4 != 1 || usize::from(u16_at(bytes, 6)?) != bytes.len() {
            return None;
        }
        let mut objects = Vec::new();
        let mut rest = bytes.get(8..)?;
        while !rest.is_empty() {
            let length = usize::from(u16_at(rest, 0)?);
            let (object, behind) = rest.split_at_checked(length)?;
            let (&class, &ctype) = (object.get(2)?, object.get(3)?);
            objects.push(Object { class, ctype, body: object.get(4..)?.to_vec() });
            rest = behind;
        }
        Some(Message { kind: *kind, send_ttl: *send_ttl, objects })
    }

    /// The bytes, with lengths and checksum as they must be.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0x10, self.kind, 0, 0, self.send_ttl, 0, 0, 0];
        for Object { class, ctype, body } in &self.objects {
            bytes.extend((body.len() as u16 + 4).to_be_bytes());
            bytes.extend([*class, *ctype]);
            bytes.extend(body);
        }
        let length = bytes.len() as u16;
        bytes[6..8].copy_from_slice(&length.to_be_bytes());
        seal(&mut bytes);
        bytes
    }

    /// The body of the first object of a class.
    pub(crate) fn object(&self, class: u8) -> Option<&[u8]> {
        self.objects.iter().find(|object| object.class == class).map(|object| &*object.body)
    }

    /// The body of the first object of a class, to be spoilt.
    pub(crate) fn object_mut(&mut self, class: u8) -> Option<&mut Vec<u8>> {
        let mut objects = self.objects.iter_mut();
        objects.find(|object| object.class == class).map(|object| &mut object.body)
    }

    /// RSVP_HOP: address and logical interface handle.
    pub(crate) fn hop(&self) -> Option<(Ipv4Addr, u32)> {
        let body = self.object(RSVP_HOP)?;
        Some((address_at(body, 0)?, u32_at(body, 4)?))
    }

    /// SESSION: destination and port.
    pub(crate) fn session(&self) -> Option<(Ipv4Addr, u16)> {
        let body = self.object(SESSION)?;
        Some((address_at(body, 0)?, u16_at(body, 6)?))
    }

    /// TIME_VALUES in milliseconds.
    pub(crate) fn refresh_ms(&self) -> Option<u32> {
        u32_at(self.object(TIME_VALUES)?, 0)
    }

    pub(crate) fn error(&self) -> Option<ErrorSpec> {
        let body = self.object(ERROR_SPEC)?;
        let (node, code) = (address_at(body, 0)?, *body.get(5)?);
        Some(ErrorSpec { node, code, value: u16_at(body, 6)? })
    }

    /// The senders that SENDER_TEMPLATE or FILTER_SPECs name: address and port.
    pub(crate) fn senders(&self) -> Vec<(Ipv4Addr, u16)> {
        let naming = |object: &&Object| [SENDER_TEMPLATE, FILTER_SPEC].contains(&object.class);
        self.objects.iter().filter(naming).filter_map(|object| sender_at(&object.body)).collect()
    }

    /// All policy elements of one P-Type.
    pub(crate) fn elements(&self, ptype: u16) -> Vec<Element<'_>> {
        let policy = self.objects.iter().filter(|object| object.class == POLICY_DATA);
        policy.flat_map(|object| elements_of(&object.body, ptype)).collect()
    }

    /// All DCPEs.
    pub(crate) fn dcpes(&self) -> Vec<Dcpe> {
        let elements = self.elements(DCPE);
        elements.into_iter().filter_map(|e| Dcpe::parse(e.destination, e.bytes)).collect()
    }

    /// The first DCPE.
    pub(crate) fn dcpe(&self) -> Option<Dcpe> {
        self.dcpes().into_iter().next()
    }

    pub(crate) fn ucpe(&self) -> Option<Ucpe> {
        Ucpe::parse(self.elements(UCPE).first()?.bytes)
    }

    /// CHG_ERR: what is required and what was offered.
    pub(crate) fn charging_error(&self) -> Option<(u64, u64)> {
        let bytes = self.elements(CHG_ERR).first()?.bytes;
        Some((u64_at(bytes, 12)?, u64_at(bytes, 20)?))
    }

    /// Where the bytes of the first policy element of a P-Type start in the POLICY_DATA body that
    /// holds it, and that body.
    pub(crate) fn element_mut(&mut self, ptype: u16) -> Option<&mut [u8]> {
        for object in self.objects.iter_mut().filter(|object| object.class == POLICY_DATA) {
            let found = elements_of(&object.body, ptype).first().map(|found| {
                let element = found.bytes;
                let start = element.as_ptr() as usize - object.body.as_ptr() as usize;
                start..start + element.len()
            });
            if let Some(range) = found {
                return object.body.get_mut(range);
            }
        }
        None
    }
}

/// The policy elements of one P-Type in the body of a POLICY_DATA object.
fn elements_of(body: &[u8], ptype: u16) -> Vec<Element<'_>> {
    // The offset counts from the object's header (RFC 2750 section 2.1).
    let Some(data) = u16_at(body, 0).and_then(|offset| usize::from(offset).checked_sub(4)) else {
        return Vec::new();
    };
    let mut options = body.get(4..data).unwrap_or_default();
    let (mut hops, mut filters) = (Vec::new(), Vec::new());
    while let Some(length) = u16_at(options, 0).map(usize::from).filter(|length| *length >= 4) {
        match options.get(2) {
            Some(&RSVP_HOP) => hops.extend(address_at(options, 4)),
            Some(&FILTER_SPEC) => filters.extend(options.get(4..).and_then(sender_at)),
            _ => {}
        }
        options = options.get(length..).unwrap_or_default();
    }
    // The first RSVP_HOP is the originating one, the second the destination.
    let (origin, destination) = (hops.first().copied(), hops.get(1).copied());
    let mut rest = body.get(data..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some(length) = u16_at(rest, 0).map(usize::from).filter(|length| *length >= 4) {
        let Some((bytes, behind)) = rest.split_at_checked(length) else { break };
        if u16_at(bytes, 2) == Some(ptype) {
            found.push(Element { origin, destination, filters: filters.clone(), bytes });
        }
        rest = behind;
    }
    found
}

/// The IPv4 address and the port in a FILTER_SPEC or SENDER_TEMPLATE.
fn sender_at(body: &[u8]) -> Option<(Ipv4Addr, u16)> {
    Some((address_at(body, 0)?, u16_at(body, 6)?))
}

impl Ucpe {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Ucpe> {
        Some(Ucpe {
            payment: u64_at(bytes, 12)?,
            announced_total: u64_at(bytes, 20)?,
            sender_payment: u64_at(bytes, 28)?,
            local_sum: u64_at(bytes, 36)?,
            sequence: u32_at(bytes, 48)?,
            instance: u32_at(bytes, 52)?,
        })
    }
}

impl Dcpe {
    fn parse(destination: Option<Ipv4Addr>, bytes: &[u8]) -> Option<Dcpe> {
        Some(Dcpe {
            flags: *bytes.get(5)?,
            total: u64_at(bytes, 12)?,
            max_total: u64_at(bytes, 20)?,
            validity_ms: u32_at(bytes, 28)?,
            epoch: u32_at(bytes, 32)?,
            fraction: tlv(bytes, SENDER_FRACTION).and_then(|at| u32_at(bytes, at)).unwrap_or(0),
            established: tlv(bytes, ESTABLISHED).and_then(|at| u32_at(bytes, at)),
            destination,
        })
    }
}

/// Where the value of the first TLV of a type starts in a DCPE.
fn tlv(element: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 36;
    loop {
        let length = usize::from(u16_at(element, at)?);
        if *element.get(at + 2)? == wanted {
            return Some(at + 4);
        }
        at += length.max(4).next_multiple_of(4);
    }
}

/// Where the sender fraction stands in a DCPE.
pub(crate) fn fraction_offset(element: &[u8]) -> Option<usize> {
    tlv(element, SENDER_FRACTION)
}

/// Puts the right checksum into a message (RFC 1071).
pub(crate) fn seal(bytes: &mut [u8]) {
    bytes[2..4].fill(0);
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
