//! UCPE: the payment offered upstream, in RESV.

use crate::charging::header::{EXPONENT, Header, TIME_UNIT_SECOND};
use crate::charging::{Account, ChargingError, ChargingFlags, Terms};
use crate::object::write_element;
use crate::writer::{BufferTooSmall, Sink};

/// Upstream charging policy element. Rates are in 10^exponent currency units a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ucpe {
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
    /// What the hop that sends this offers to pay at most: a ceiling.
    pub payment: u64,
    /// A: sum of the totals announced to the receivers below.
    pub announced_total: u64,
    /// What the sender side owes for the links below.
    pub sender_payment: u64,
    /// B: sum of the local prices below.
    pub local_sum: u64,
    /// The epoch of the DCPE that this answers.
    pub epoch_echo: u32,
    /// Moves with every change of the offer.
    pub sequence: u32,
    /// First sequence of this instance of the reservation (rule T3).
    pub instance: u32,
    /// The account that pays; every UCPE names one.
    pub account: Account,
    /// The other TLVs; `terms.account` is none.
    pub terms: Terms,
}

/// Bytes without TLVs, header included.
const CORE_LEN: usize = 56;

impl Ucpe {
    /// An offer of 0 from an account.
    #[must_use]
    pub fn new(currency: u16, service: u16, account: Account) -> Self {
        Self {
            flags: ChargingFlags::NONE,
            currency,
            exponent: EXPONENT,
            time_unit: TIME_UNIT_SECOND,
            service,
            payment: 0,
            announced_total: 0,
            sender_payment: 0,
            local_sum: 0,
            epoch_echo: 0,
            sequence: 0,
            instance: 0,
            account,
            terms: Terms::default(),
        }
    }

    /// Reads a whole policy element, header included.
    ///
    /// # Errors
    /// See [`ChargingError`]; a UCPE without ACCOUNT is malformed.
    pub fn parse(element: &[u8]) -> Result<Self, ChargingError> {
        let (header, rest) = Header::parse(element)?;
        let wrong = || ChargingError::malformed(0, "length", element.len() as u64);
        let (payment, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (announced, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (sender_payment, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (local_sum, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
        let (epoch_echo, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (sequence, rest) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let (instance, tlvs) = rest.split_first_chunk::<4>().ok_or_else(wrong)?;
        let mut terms = Terms::parse(tlvs, CORE_LEN)?;
        let missing = || ChargingError::malformed(CORE_LEN, "ACCOUNT TLVs", 0);
        let account = terms.account.take().ok_or_else(missing)?;
        let Header { flags, currency, exponent, time_unit, service } = header;
        Ok(Self {
            flags,
            currency,
            exponent,
            time_unit,
            service,
            payment: u64::from_be_bytes(*payment),
            announced_total: u64::from_be_bytes(*announced),
            sender_payment: u64::from_be_bytes(*sender_payment),
            local_sum: u64::from_be_bytes(*local_sum),
            epoch_echo: u32::from_be_bytes(*epoch_echo),
            sequence: u32::from_be_bytes(*sequence),
            instance: u32::from_be_bytes(*instance),
            account,
            terms,
        })
    }

    /// Appends the policy element under this P-Type.
    pub fn write(&self, ptype: u16, sink: &mut Sink<'_>) {
        let &Self { flags, currency, exponent, time_unit, service, .. } = self;
        write_element(sink, ptype, |sink| {
            Header { flags, currency, exponent, time_unit, service }.encode(sink);
            sink.put_u64(self.payment);
            sink.put_u64(self.announced_total);
            sink.put_u64(self.sender_payment);
            sink.put_u64(self.local_sum);
            sink.put_u32(self.epoch_echo);
            sink.put_u32(self.sequence);
            sink.put_u32(self.instance);
            self.terms.encode(Some(&self.account), sink);
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
