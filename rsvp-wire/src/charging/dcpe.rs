//! DCPE: the price announced downstream, in PATH.

use crate::charging::header::{EXPONENT, Header, TIME_UNIT_SECOND};
use crate::charging::{ChargingError, ChargingFlags, Terms};
use crate::object::write_element;
use crate::writer::{BufferTooSmall, Sink};

/// Downstream charging policy element. Rates are in 10^exponent currency units a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dcpe {
    /// Flags.
    pub flags: ChargingFlags,
    /// ISO 4217 numeric code.
    pub currency: u16,
    /// −12 in version 1.
    pub exponent: i8,
    /// 1, a second, in version 1.
    pub time_unit: u8,
    /// RFC 2210 service number.
    pub service: u16,
    /// Total charge announced to the next hop.
    pub total: u64,
    /// Highest total that the path may come to (unicast worst case).
    pub max_total: u64,
    /// How long the quote holds for new reservations, in milliseconds.
    pub validity_ms: u32,
    /// Moves whenever the offer changes.
    pub epoch: u32,
    /// The TLVs.
    pub terms: Terms,
}

/// Bytes without TLVs, header included.
const CORE_LEN: usize = 36;

impl Dcpe {
    /// A first quote of 0, as a sender starts it.
    #[must_use]
    pub fn new(currency: u16, service: u16) -> Self {
        Self {
            flags: ChargingFlags::NONE,
            currency,
            exponent: EXPONENT,
            time_unit: TIME_UNIT_SECOND,
            service,
            total: 0,
            max_total: 0,
            validity_ms: 0,
            epoch: 0,
            terms: Terms::default(),
        }
    }

    /// Reads a whole policy element, header included.
    ///
    /// # Errors
    /// See [`ChargingError`].
    pub fn parse(element: &[u8]) -> Result<Self, ChargingError> {
        let (header, rest) = Header::parse(element)?;
        let wrong = || ChargingError::malformed(0, "length", element.len() as u64);
        let (total, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (max_total, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (validity, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (epoch, tlvs) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let Header { flags, currency, exponent, time_unit, service } = header;
        Ok(Self {
            flags,
            currency,
            exponent,
            time_unit,
            service,
            total: u64::from_be_bytes(*total),
            max_total: u64::from_be_bytes(*max_total),
            validity_ms: u32::from_be_bytes(*validity),
            epoch: u32::from_be_bytes(*epoch),
            terms: Terms::parse(tlvs, CORE_LEN)?,
        })
    }

    /// Appends the policy element under this P-Type.
    pub fn write(&self, ptype: u16, sink: &mut Sink<'_>) {
        let &Self { flags, currency, exponent, time_unit, service, .. } = self;
        write_element(sink, ptype, |sink| {
            Header { flags, currency, exponent, time_unit, service }.encode(sink);
            sink.put_u64(self.total);
            sink.put_u64(self.max_total);
            sink.put_u32(self.validity_ms);
            sink.put_u32(self.epoch);
            self.terms.encode(self.terms.account.as_ref(), sink);
        });
    }

    /// Bytes of the policy element, header included.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut sink = Sink::new(&mut []);
        self.write(0, &mut sink);
        sink.position()
    }

    /// Writes the policy element into `out` and says how long it is.
    ///
    /// # Errors
    /// [`BufferTooSmall`] with the room that it needs.
    pub fn encode(&self, ptype: u16, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut sink = Sink::new(out);
        self.write(ptype, &mut sink);
        sink.check()?;
        Ok(sink.position())
    }
}
