//! ADSPEC (RFC 2210 section 3.3): what the path offers, gathered hop by hop.

use crate::error::{DecodeError, ErrorKind};
use crate::iana::{class, parameter, service};
use crate::object::float::Float;
use crate::object::intserv::{self, Service, Services};
use crate::packet::{OBJECT_HEADER_LEN, RawObject};
use crate::writer::{EncodeObject, Sink};

/// A checked ADSPEC object, header included: the general parameters are there and every block is
/// framed rightly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdspecView<'a> {
    object: &'a [u8],
}

/// One service's fragment of an ADSPEC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdspecService<'a> {
    /// The service number, see [`crate::iana::service`].
    pub number: u8,
    /// Set if a hop did not support the service (or, in service 1, no IntServ at all).
    pub break_bit: bool,
    block: Service<'a>,
}

impl<'a> AdspecService<'a> {
    /// The data of a parameter, if the fragment has it; also the general parameters with which a
    /// service overrides those of service 1 (RFC 2210 section 3.3.5).
    #[must_use]
    pub fn parameter(&self, number: u8) -> Option<&'a [u8]> {
        let found = self.block.parameters().filter_map(Result::ok).find(|p| p.number == number);
        found.map(|param| param.data)
    }

    /// A parameter of one 32-bit word.
    #[must_use]
    pub fn word(&self, number: u8) -> Option<u32> {
        Some(u32::from_be_bytes(self.parameter(number)?.try_into().ok()?))
    }

    /// Parameter numbers and data, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        self.block.parameters().filter_map(Result::ok).map(|param| (param.number, param.data))
    }
}

/// The guaranteed service's error terms along the path (RFC 2212); C in bytes, D in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GuaranteedTerms {
    /// End-to-end C.
    pub c_tot: u32,
    /// End-to-end D.
    pub d_tot: u32,
    /// C since the last reshaping point.
    pub c_sum: u32,
    /// D since the last reshaping point.
    pub d_sum: u32,
}

impl<'a> AdspecView<'a> {
    /// Checks an ADSPEC object that fills `object`, header included.
    ///
    /// # Errors
    /// As [`AdspecView::decode`], and a header that is not that of one ADSPEC.
    pub fn parse(object: &'a [u8]) -> Result<Self, DecodeError> {
        let raw = RawObject::parse(object)?;
        if raw.class != class::ADSPEC {
            return Err(raw.fault(ErrorKind::MisplacedObject, 2, "class", raw.class.into()));
        }
        Self::decode(&raw)
    }

    /// Checks an ADSPEC.
    ///
    /// # Errors
    /// An unknown C-Type, wrong lengths, services that do not start with 1 or do not ascend, a
    /// general parameter (4, 6, 8, 10) that is missing or no single word, a path bandwidth that is
    /// NaN or negative, or a guaranteed fragment that is neither empty nor complete.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        if raw.ctype != 2 {
            return Err(raw.bad_ctype());
        }
        let fault = |(offset, field, value)| {
            raw.fault(ErrorKind::BadAdspec, OBJECT_HEADER_LEN + offset, field, value)
        };
        let mut last = 0;
        for item in intserv::services(raw.body).map_err(fault)? {
            let block = item.map_err(fault)?;
            let out_of_order = block.number <= last || (last == 0) != (block.number == 1);
            if out_of_order {
                return Err(fault((block.offset, "service number", block.number.into())));
            }
            last = block.number;
            check_block(&block).map_err(fault)?;
        }
        if last == 0 {
            return Err(fault((2, "overall length", 0)));
        }
        Ok(Self { object: raw.bytes })
    }

    /// The whole object as it came, header included.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.object
    }

    /// The fragments in order.
    pub fn services(&self) -> impl Iterator<Item = AdspecService<'a>> + use<'a> {
        let body = self.object.get(OBJECT_HEADER_LEN..).unwrap_or_default();
        Services::checked(body).filter_map(Result::ok).map(|block| AdspecService {
            number: block.number,
            break_bit: block.break_bit,
            block,
        })
    }

    /// The fragment of one service, if the sender cares for it.
    #[must_use]
    pub fn service(&self, number: u8) -> Option<AdspecService<'a>> {
        self.services().find(|fragment| fragment.number == number)
    }

    fn general(&self, number: u8) -> u32 {
        self.service(service::GENERAL).and_then(|general| general.word(number)).unwrap_or(0)
    }

    /// Whether a hop without integrated services was passed (RFC 2215 NON_IS_HOP).
    #[must_use]
    pub fn global_break(&self) -> bool {
        self.service(service::GENERAL).is_some_and(|general| general.break_bit)
    }

    /// Number of hops that support integrated services.
    #[must_use]
    pub fn hop_count(&self) -> u32 {
        self.general(parameter::IS_HOPS)
    }

    /// Smallest bandwidth of the path, in bytes a second.
    #[must_use]
    pub fn path_bandwidth(&self) -> Float {
        let bits = self.general(parameter::PATH_BANDWIDTH);
        Float::from_bits_or_infinity(bits).unwrap_or_default()
    }

    /// Latency of the path in microseconds; `u32::MAX` means that it is not known.
    #[must_use]
    pub fn min_latency(&self) -> u32 {
        self.general(parameter::PATH_LATENCY)
    }

    /// Largest packet that the whole path takes, in bytes.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.general(parameter::PATH_MTU)
    }

    /// The guaranteed service's terms, if its fragment is there and not empty.
    #[must_use]
    pub fn guaranteed(&self) -> Option<GuaranteedTerms> {
        let fragment = self.service(service::GUARANTEED)?;
        Some(GuaranteedTerms {
            c_tot: fragment.word(parameter::C_TOT)?,
            d_tot: fragment.word(parameter::D_TOT)?,
            c_sum: fragment.word(parameter::C_SUM)?,
            d_sum: fragment.word(parameter::D_SUM)?,
        })
    }

    /// Whether a service is offered and was supported at every hop so far.
    #[must_use]
    pub fn supports(&self, number: u8) -> bool {
        self.service(number).is_some_and(|fragment| !fragment.break_bit)
    }
}

impl EncodeObject for AdspecView<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::ADSPEC, 2)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put(self.object.get(OBJECT_HEADER_LEN..).unwrap_or_default());
    }
}

/// Whether the general parameters are the four of RFC 2210 section 3.3.2 in their order, which is
/// how nearly all are, and right; the general way finds the same.
#[inline]
fn is_usual_general(data: &[u8]) -> bool {
    let Ok(words) = <&[u8; 32]>::try_from(data) else { return false };
    let (words, _) = words.as_chunks::<8>();
    let &[hops, bandwidth, latency, mtu] = words else { return false };
    let heads = [hops, bandwidth, latency, mtu].map(|[n, _, l1, l0, ..]| [n, l1, l0]);
    let [_, _, _, _, a, b, c, d] = bandwidth;
    heads == [[4, 0, 1], [6, 0, 1], [8, 0, 1], [10, 0, 1]]
        && Float::from_bits_or_infinity(u32::from_be_bytes([a, b, c, d])).is_some()
}

/// Checks the parameters of one service.
fn check_block(block: &Service<'_>) -> Result<(), intserv::Fault> {
    if block.number == service::GENERAL && is_usual_general(block.data) {
        return Ok(());
    }
    // Bit n says that the n-th of the four parameters that the service needs was seen.
    let mut seen = 0_u8;
    for item in block.parameters() {
        let param = item?;
        let needed = match (block.number, param.number) {
            (service::GENERAL, parameter::IS_HOPS) | (service::GUARANTEED, parameter::C_TOT) => 1,
            (service::GENERAL, parameter::PATH_BANDWIDTH)
            | (service::GUARANTEED, parameter::D_TOT) => 2,
            (service::GENERAL, parameter::PATH_LATENCY)
            | (service::GUARANTEED, parameter::C_SUM) => 4,
            (service::GENERAL, parameter::PATH_MTU) | (service::GUARANTEED, parameter::D_SUM) => 8,
            _ => 0,
        };
        if seen & needed != 0 {
            return Err((param.offset, "parameter given twice", param.number.into()));
        }
        seen |= needed;
        let general = matches!(param.number, 4 | 6 | 8 | 10);
        if (needed != 0 || general) && param.data.len() != 4 {
            return Err((param.offset + 2, "parameter length", param.data.len() as u64));
        }
        if param.number == parameter::PATH_BANDWIDTH {
            let bits = u32::from_be_bytes(param.data.try_into().unwrap_or_default());
            if Float::from_bits_or_infinity(bits).is_none() {
                return Err((param.offset + 4, "path bandwidth", bits.into()));
            }
        }
    }
    let complete = match block.number {
        service::GENERAL => seen == 0b1111,
        // A sender that does not know the service sends the empty fragment.
        service::GUARANTEED => seen == 0b1111 || block.data.is_empty(),
        _ => true,
    };
    if complete {
        Ok(())
    } else {
        Err((block.offset, "parameters missing in service", block.number.into()))
    }
}

/// ADSPEC for writing, as a sender starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Adspec {
    /// Whether a hop without integrated services was passed.
    pub global_break: bool,
    /// Number of hops that support integrated services.
    pub hop_count: u32,
    /// Smallest bandwidth, in bytes a second.
    pub path_bandwidth: Float,
    /// Latency in microseconds; `u32::MAX` means that it is not known.
    pub min_latency: u32,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// The guaranteed service's fragment: break bit and terms; absent if it is not wanted, without
    /// terms if the fragment is empty.
    pub guaranteed: Option<(bool, Option<GuaranteedTerms>)>,
    /// The controlled-load service's fragment: break bit; absent if it is not wanted.
    pub controlled_load: Option<bool>,
}

impl Adspec {
    /// An ADSPEC that no hop has touched: it offers controlled-load service over a first link with
    /// this bandwidth (bytes a second) and MTU (bytes).
    #[must_use]
    pub const fn controlled_load(path_bandwidth: Float, mtu: u32) -> Self {
        Self {
            global_break: false,
            hop_count: 0,
            path_bandwidth,
            min_latency: 0,
            mtu,
            guaranteed: None,
            controlled_load: Some(false),
        }
    }
}

const fn break_octet(set: bool) -> u8 {
    if set { intserv::BREAK_BIT } else { 0 }
}

fn put_word(sink: &mut Sink<'_>, number: u8, value: u32) {
    sink.put(&[number, 0, 0, 1]);
    sink.put_u32(value);
}

impl EncodeObject for Adspec {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::ADSPEC, 2)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let start = sink.position();
        sink.put(&[0, 0, 0, 0, service::GENERAL, break_octet(self.global_break), 0, 8]);
        put_word(sink, parameter::IS_HOPS, self.hop_count);
        put_word(sink, parameter::PATH_BANDWIDTH, self.path_bandwidth.to_bits());
        put_word(sink, parameter::PATH_LATENCY, self.min_latency);
        put_word(sink, parameter::PATH_MTU, self.mtu);
        if let Some((broken, terms)) = self.guaranteed {
            let words = if terms.is_some() { 8 } else { 0 };
            sink.put(&[service::GUARANTEED, break_octet(broken), 0, words]);
            if let Some(terms) = terms {
                put_word(sink, parameter::C_TOT, terms.c_tot);
                put_word(sink, parameter::D_TOT, terms.d_tot);
                put_word(sink, parameter::C_SUM, terms.c_sum);
                put_word(sink, parameter::D_SUM, terms.d_sum);
            }
        }
        if let Some(broken) = self.controlled_load {
            sink.put(&[service::CONTROLLED_LOAD, break_octet(broken), 0, 0]);
        }
        sink.set_u16(start + 2, (sink.position() - start) / 4 - 1);
    }
}
