//! CHG_ERR: why a charging element was refused, in PATHERR and RESVERR.

use crate::charging::header::{EXPONENT, element_data};
use crate::charging::{ChargingError, Terms};
use crate::object::write_element;
use crate::writer::{BufferTooSmall, Sink};

/// Charging error element. Rates are in 10^exponent currency units a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChgErr {
    /// RFC 2750 error value, or one from 0x8000 on for this element alone.
    pub reason: u16,
    /// ISO 4217 numeric code.
    pub currency: u16,
    /// −12 in version 1.
    pub exponent: i8,
    /// What would have been enough.
    pub required: u64,
    /// What was offered.
    pub offered: u64,
    /// Epoch of the offer that `required` comes from.
    pub epoch: u32,
    /// Sequence of the refused UCPE.
    pub sequence: u32,
    /// The TLVs.
    pub terms: Terms,
}

/// Bytes without TLVs, header included.
const CORE_LEN: usize = 36;

impl ChgErr {
    /// Reads a whole policy element, header included.
    ///
    /// # Errors
    /// See [`ChargingError`].
    pub fn parse(element: &[u8]) -> Result<Self, ChargingError> {
        let data = element_data(element)?;
        let wrong = || ChargingError::malformed(0, "length", element.len() as u64);
        let (&[r1, r0, c1, c0, exponent, _, _, _], rest) =
            data.split_first_chunk::<8>().ok_or_else(wrong)?;
        let signed = i8::from_be_bytes([exponent]);
        if signed != EXPONENT {
            return Err(ChargingError::malformed(8, "exponent (octet)", exponent.into()));
        }
        let (required, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (offered, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (epoch, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (sequence, tlvs) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        Ok(Self {
            reason: u16::from_be_bytes([r1, r0]),
            currency: u16::from_be_bytes([c1, c0]),
            exponent: signed,
            required: u64::from_be_bytes(*required),
            offered: u64::from_be_bytes(*offered),
            epoch: u32::from_be_bytes(*epoch),
            sequence: u32::from_be_bytes(*sequence),
            terms: Terms::parse(tlvs, CORE_LEN)?,
        })
    }

    /// Appends the policy element under this P-Type.
    pub fn write(&self, ptype: u16, sink: &mut Sink<'_>) {
        write_element(sink, ptype, |sink| {
            sink.put_u16(self.reason);
            sink.put_u16(self.currency);
            sink.put(&self.exponent.to_be_bytes());
            sink.put(&[0; 3]);
            sink.put_u64(self.required);
            sink.put_u64(self.offered);
            sink.put_u32(self.epoch);
            sink.put_u32(self.sequence);
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
