//! SENDER_TSPEC and FLOWSPEC (RFC 2210 sections 3.1 and 3.2).

use crate::error::{DecodeError, ErrorKind};
use crate::iana::{class, parameter, service};
use crate::object::float::Float;
use crate::object::intserv::{self, Parameter, Service};
use crate::packet::{OBJECT_HEADER_LEN, RawObject};
use crate::writer::{EncodeObject, Sink};

/// A token bucket: what a flow may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tspec {
    /// r: token rate in bytes a second, finite.
    pub rate: Float,
    /// b: bucket size in bytes, finite.
    pub bucket: Float,
    /// p: peak rate in bytes a second, infinite if unknown.
    pub peak: Float,
    /// m: smallest packet accounted for, in bytes. RFC 2210 calls 0 illegal, but routers in the
    /// field send m = M = 0 for "not stated", so it is accepted.
    pub min_policed: u32,
    /// M: largest packet in bytes; not below m.
    pub max_packet: u32,
}

impl Tspec {
    /// A token bucket with an infinite peak rate; rate in bytes a second, sizes in bytes.
    #[must_use]
    pub const fn new(rate: u64, bucket: u64, min_policed: u32, max_packet: u32) -> Self {
        Self {
            rate: Float::from_integer(rate),
            bucket: Float::from_integer(bucket),
            peak: Float::INFINITY,
            min_policed,
            max_packet,
        }
    }

    #[inline(always)]
    fn from_parameter(at: &At<'_, '_>, param: &Parameter<'_>) -> Result<Self, DecodeError> {
        let (words, rest) = param.data.as_chunks::<4>();
        let (&[r, b, p, m, max], []) = (words, rest) else {
            let length = param.data.len() as u64;
            return Err(at.fault(param.offset + 2, "token bucket length", length));
        };
        let float = |bytes, index: usize, field| {
            let bits = u32::from_be_bytes(bytes);
            let offset = param.offset + 4 + 4 * index;
            Float::from_bits(bits).ok_or_else(|| at.fault(offset, field, bits.into()))
        };
        let rate = float(r, 0, "token bucket rate")?;
        let bucket = float(b, 1, "token bucket size")?;
        let bits = u32::from_be_bytes(p);
        let peak = Float::from_bits_or_infinity(bits)
            .ok_or_else(|| at.fault(param.offset + 12, "peak data rate", bits.into()))?;
        let (min_policed, max_packet) = (u32::from_be_bytes(m), u32::from_be_bytes(max));
        if max_packet < min_policed {
            return Err(at.fault(param.offset + 20, "maximum packet size", max_packet.into()));
        }
        Ok(Self { rate, bucket, peak, min_policed, max_packet })
    }

    /// Reads the token bucket of a SENDER_TSPEC.
    ///
    /// Further parameters and services in the object are skipped if they are framed rightly.
    ///
    /// # Errors
    /// An unknown C-Type, wrong lengths, no token bucket under service 1, a rate or size that is
    /// NaN, negative or (but for the peak rate) infinite, M < m.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if raw.ctype != 2 {
            return Err(raw.bad_ctype());
        }
        match usual_bucket(raw.body, service::GENERAL) {
            Some(bucket) => Self::from_parameter(&At { raw, kind: ErrorKind::BadTspec }, &bucket),
            None => Self::decode_unusual(raw),
        }
    }

    #[cold]
    fn decode_unusual(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let at = At { raw, kind: ErrorKind::BadTspec };
        let block = at.first_service()?;
        if block.number != service::GENERAL {
            return Err(at.fault(block.offset, "service number", block.number.into()));
        }
        at.parameters(&block).map(|(tspec, _)| tspec)
    }

    fn encode_parameter(&self, sink: &mut Sink<'_>) {
        sink.put(&[parameter::TOKEN_BUCKET, 0, 0, 5]);
        sink.put_u32(self.rate.to_bits());
        sink.put_u32(self.bucket.to_bits());
        sink.put_u32(self.peak.to_bits());
        sink.put_u32(self.min_policed);
        sink.put_u32(self.max_packet);
    }
}

/// SENDER_TSPEC for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SenderTspec(pub Tspec);

impl EncodeObject for SenderTspec {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::SENDER_TSPEC, 2)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put(&[0, 0, 0, 7, service::GENERAL, 0, 0, 6]);
        self.0.encode_parameter(sink);
    }
}

/// FLOWSPEC: what a receiver asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowSpec {
    /// Controlled-load service (RFC 2211).
    ControlledLoad(Tspec),
    /// Guaranteed service (RFC 2212).
    Guaranteed {
        /// The traffic.
        tspec: Tspec,
        /// R: reserved rate in bytes a second, finite.
        rate: Float,
        /// S: slack in microseconds.
        slack: u32,
    },
}

impl FlowSpec {
    /// The traffic.
    #[must_use]
    pub const fn tspec(&self) -> &Tspec {
        match self {
            Self::ControlledLoad(tspec) | Self::Guaranteed { tspec, .. } => tspec,
        }
    }

    /// The IntServ service number: 5 controlled-load, 2 guaranteed.
    #[must_use]
    pub const fn service(&self) -> u16 {
        match self {
            Self::ControlledLoad(_) => service::CONTROLLED_LOAD as u16,
            Self::Guaranteed { .. } => service::GUARANTEED as u16,
        }
    }

    /// The rate that the reservation takes, in bytes a second: R if guaranteed, r otherwise.
    #[must_use]
    pub const fn rate(&self) -> Float {
        match self {
            Self::ControlledLoad(tspec) => tspec.rate,
            Self::Guaranteed { rate, .. } => *rate,
        }
    }

    /// Reads a FLOWSPEC.
    ///
    /// # Errors
    /// An unknown C-Type, a service other than these two, and what [`Tspec::decode`] refuses; for
    /// guaranteed service also a missing RSpec or a rate that is no finite number.
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if raw.ctype != 2 {
            return Err(raw.bad_ctype());
        }
        let at = At { raw, kind: ErrorKind::BadFlowspec };
        if let Some(bucket) = usual_bucket(raw.body, service::CONTROLLED_LOAD) {
            return Tspec::from_parameter(&at, &bucket).map(Self::ControlledLoad);
        }
        let block = at.first_service()?;
        match block.number {
            service::CONTROLLED_LOAD => {
                at.parameters(&block).map(|(tspec, _)| Self::ControlledLoad(tspec))
            }
            service::GUARANTEED => {
                let (tspec, rspec) = at.parameters(&block)?;
                let missing = || at.fault(block.offset, "guaranteed service without RSpec", 0);
                let rspec = rspec.ok_or_else(missing)?;
                let &[a, b, c, d, e, f, g, h] = rspec.data else {
                    let length = rspec.data.len() as u64;
                    return Err(at.fault(rspec.offset + 2, "RSpec length", length));
                };
                let bits = u32::from_be_bytes([a, b, c, d]);
                let rate = Float::from_bits(bits)
                    .ok_or_else(|| at.fault(rspec.offset + 4, "RSpec rate", bits.into()))?;
                Ok(Self::Guaranteed { tspec, rate, slack: u32::from_be_bytes([e, f, g, h]) })
            }
            other => {
                let offset = OBJECT_HEADER_LEN + block.offset;
                let kind = ErrorKind::UnknownService;
                Err(raw.fault(kind, offset, "service number", other.into()))
            }
        }
    }
}

impl EncodeObject for FlowSpec {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::FLOWSPEC, 2)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        match self {
            Self::ControlledLoad(tspec) => {
                sink.put(&[0, 0, 0, 7, service::CONTROLLED_LOAD, 0, 0, 6]);
                tspec.encode_parameter(sink);
            }
            Self::Guaranteed { tspec, rate, slack } => {
                sink.put(&[0, 0, 0, 10, service::GUARANTEED, 0, 0, 9]);
                tspec.encode_parameter(sink);
                sink.put(&[parameter::RSPEC, 0, 0, 2]);
                sink.put_u32(rate.to_bits());
                sink.put_u32(*slack);
            }
        }
    }
}

/// The token bucket of a body that holds one service with nothing else in it, which is how nearly
/// all are; the general way reads the same.
#[inline]
fn usual_bucket(body: &[u8], service: u8) -> Option<Parameter<'_>> {
    let (&[v, _, o1, o0, s, _, l1, l0, n, _, p1, p0], data) = body.split_first_chunk::<12>()?;
    let usual = v >> 4 == 0
        && [o1, o0, l1, l0, p1, p0] == [0, 7, 0, 6, 0, 5]
        && [s, n] == [service, parameter::TOKEN_BUCKET]
        && data.len() == 20;
    usual.then_some(Parameter { number: n, offset: 8, data })
}

/// The object being read, and what a fault in it counts as.
struct At<'r, 'a> {
    raw: &'r RawObject<'a>,
    kind: ErrorKind,
}

impl<'a> At<'_, 'a> {
    fn fault(&self, body_offset: usize, field: &'static str, value: u64) -> DecodeError {
        self.raw.fault(self.kind, OBJECT_HEADER_LEN + body_offset, field, value)
    }

    /// The first service; all services behind it have to be framed rightly.
    fn first_service(&self) -> Result<Service<'a>, DecodeError> {
        let wrap = |(offset, field, value)| self.fault(offset, field, value);
        let mut services = intserv::services(self.raw.body).map_err(wrap)?;
        let first = services.next().ok_or_else(|| self.fault(2, "overall length", 0))?;
        for rest in services {
            rest.map_err(wrap)?;
        }
        first.map_err(wrap)
    }

    /// The token bucket, which has to be there, and the RSpec if there is one.
    fn parameters(
        &self,
        block: &Service<'a>,
    ) -> Result<(Tspec, Option<Parameter<'a>>), DecodeError> {
        let (mut tspec, mut rspec) = (None, None);
        for item in block.parameters() {
            let param = item.map_err(|(offset, field, value)| self.fault(offset, field, value))?;
            match param.number {
                parameter::TOKEN_BUCKET if tspec.is_none() => {
                    tspec = Some(Tspec::from_parameter(self, &param)?);
                }
                parameter::RSPEC if rspec.is_none() => rspec = Some(param),
                parameter::TOKEN_BUCKET | parameter::RSPEC => {
                    let number = param.number.into();
                    return Err(self.fault(param.offset, "parameter given twice", number));
                }
                _ => {}
            }
        }
        let missing = || self.fault(block.offset, "service without token bucket", 0);
        Ok((tspec.ok_or_else(missing)?, rspec))
    }
}
