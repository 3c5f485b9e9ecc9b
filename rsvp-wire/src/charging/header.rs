//! The first 12 bytes that DCPE and UCPE share.

use crate::charging::ChargingError;
use crate::writer::Sink;

/// The version of the wire format that is written and understood.
pub const VERSION: u8 = 1;
/// Amounts count 10^EXPONENT currency units; fixed in version 1.
pub const EXPONENT: i8 = -12;
/// The time unit of rates in version 1: a second.
pub const TIME_UNIT_SECOND: u8 = 1;

/// The flags octet; bits without a name are ignored on receipt and sent as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChargingFlags(u8);

impl ChargingFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// B: a hop that does not charge or does not speak RSVP was passed.
    pub const NON_CHARGING_HOP: Self = Self(0x02);

    /// The flags of a received octet.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::NON_CHARGING_HOP.0)
    }

    /// The octet to send.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the shared header says.
pub(super) struct Header {
    pub(super) flags: ChargingFlags,
    pub(super) currency: u16,
    pub(super) exponent: i8,
    pub(super) time_unit: u8,
    pub(super) service: u16,
}

/// Checks a policy element's own header and returns what follows it.
pub(super) fn element_data(element: &[u8]) -> Result<&[u8], ChargingError> {
    let Some((&[high, low, _, _], data)) = element.split_first_chunk::<4>() else {
        return Err(ChargingError::malformed(0, "bytes", element.len() as u64));
    };
    let length = u16::from_be_bytes([high, low]);
    if usize::from(length) != element.len() || length % 4 != 0 {
        return Err(ChargingError::malformed(0, "length", length.into()));
    }
    if data.is_empty() { Err(ChargingError::Empty) } else { Ok(data) }
}

impl Header {
    /// Splits an element into the shared header and what follows it.
    pub(super) fn parse(element: &[u8]) -> Result<(Self, &[u8]), ChargingError> {
        let data = element_data(element)?;
        // A later version may have any layout behind this octet.
        match data.first() {
            Some(0) => return Err(ChargingError::malformed(4, "version", 0)),
            Some(&version) if version > VERSION => {
                return Err(ChargingError::HigherVersion(version));
            }
            _ => {}
        }
        let Some((&[_, flags, c1, c0, exponent, time_unit, s1, s0], rest)) =
            data.split_first_chunk::<8>()
        else {
            return Err(ChargingError::malformed(0, "length", element.len() as u64));
        };
        let exponent = i8::from_be_bytes([exponent]);
        if exponent != EXPONENT {
            let octet = u8::from_be_bytes(exponent.to_be_bytes());
            return Err(ChargingError::malformed(8, "exponent (octet)", octet.into()));
        }
        if time_unit != TIME_UNIT_SECOND {
            return Err(ChargingError::malformed(9, "time unit", time_unit.into()));
        }
        let flags = ChargingFlags::from_bits(flags);
        let currency = u16::from_be_bytes([c1, c0]);
        let service = u16::from_be_bytes([s1, s0]);
        Ok((Self { flags, currency, exponent, time_unit, service }, rest))
    }

    pub(super) fn encode(&self, sink: &mut Sink<'_>) {
        sink.put(&[VERSION, self.flags.bits()]);
        sink.put_u16(self.currency);
        sink.put(&self.exponent.to_be_bytes());
        sink.put_u8(self.time_unit);
        sink.put_u16(self.service);
    }
}
