//! TLVs: length (header and value, without padding), type, flags; padded with zeros to 4.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::charging::{Account, ChargingError, HopRecord, PricePoint, Refund, Refunded, Terms};
use crate::writer::Sink;

/// The whole: a sender that pays everything.
pub const MAX_FRACTION_PPM: u32 = 1_000_000;

/// The most points of a PRICE_CURVE: more is malformed, so that nobody is made to reckon with
/// thousands.
pub const PRICE_CURVE_POINTS_MAX: usize = 64;

const HEADER_LEN: usize = 4;
const MUST_UNDERSTAND: u8 = 0x80;

mod tlv_type {
    pub(super) const SENDER_FRACTION: u8 = 1;
    pub(super) const ACCOUNT: u8 = 2;
    pub(super) const LIMIT_PER_RECEIVER: u8 = 3;
    pub(super) const LIMIT_PER_HOP: u8 = 4;
    pub(super) const MAX_HOPS: u8 = 5;
    pub(super) const SPONSORED: u8 = 6;
    pub(super) const QUANTITY: u8 = 7;
    pub(super) const REFUND: u8 = 8;
    pub(super) const RECEIVERS_BELOW: u8 = 9;
    pub(super) const HOP_RECORD: u8 = 10;
    pub(super) const PRICE_CURVE: u8 = 11;
    pub(super) const ESTABLISHED: u8 = 12;
    /// The first of the private types.
    pub(super) const REFUNDED: u8 = 128;
}

/// One TLV as it stands in an element.
struct Tlv<'a> {
    kind: u8,
    flags: u8,
    /// Bytes from the start of the element to the TLV.
    offset: usize,
    value: &'a [u8],
    /// Header, value and padding.
    bytes: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Takes the first TLV off `bytes`, which are not empty.
    fn split(bytes: &'a [u8], offset: usize) -> Result<(Self, &'a [u8]), ChargingError> {
        let Some((&[high, low, kind, flags], rest)) = bytes.split_first_chunk::<HEADER_LEN>()
        else {
            let left = bytes.len() as u64;
            return Err(ChargingError::malformed(offset, "bytes left for a TLV", left));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let fault = || ChargingError::malformed(offset, "TLV length", length as u64);
        let value_len = length.checked_sub(HEADER_LEN).ok_or_else(fault)?;
        let value = rest.get(..value_len).ok_or_else(fault)?;
        let (whole, after) =
            bytes.split_at_checked(length.next_multiple_of(4)).ok_or_else(fault)?;
        Ok((Self { kind, flags, offset, value, bytes: whole }, after))
    }

    fn wrong_length(&self) -> ChargingError {
        ChargingError::malformed(self.offset, "TLV length", (HEADER_LEN + self.value.len()) as u64)
    }

    fn fixed<const N: usize>(&self) -> Result<[u8; N], ChargingError> {
        self.value.try_into().map_err(|_| self.wrong_length())
    }

    fn once_u32(&self, slot: &mut Option<u32>) -> Result<(), ChargingError> {
        self.once(slot, u32::from_be_bytes(self.fixed()?))
    }

    fn once_u64(&self, slot: &mut Option<u64>) -> Result<(), ChargingError> {
        self.once(slot, u64::from_be_bytes(self.fixed()?))
    }

    fn once<T>(&self, slot: &mut Option<T>, value: T) -> Result<(), ChargingError> {
        if slot.is_some() {
            let kind = self.kind.into();
            return Err(ChargingError::malformed(self.offset, "TLV given twice, type", kind));
        }
        *slot = Some(value);
        Ok(())
    }

    fn account(&self) -> Result<Account, ChargingError> {
        let Some((&[kind, _, high, low], rest)) = self.value.split_first_chunk::<4>() else {
            return Err(self.wrong_length());
        };
        let length = u16::from_be_bytes([high, low]);
        let fault = || ChargingError::malformed(self.offset + 6, "id_length", length.into());
        let id = rest.get(..usize::from(length)).ok_or_else(fault)?;
        // Behind the identifier there is at most its padding.
        if id.is_empty() || rest.len() > id.len().next_multiple_of(4) {
            return Err(fault());
        }
        Ok(Account::new(kind.into(), id))
    }

    fn refund(&self) -> Result<Refund, ChargingError> {
        let [policy, _, high, low] = self.fixed()?;
        Ok(Refund { policy: policy.into(), threshold: u16::from_be_bytes([high, low]) })
    }

    fn refunded(&self) -> Result<Refunded, ChargingError> {
        let bytes: [u8; 36] = self.fixed()?;
        let (words, amount) = bytes.split_at(20);
        let mut words = words.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
        let mut word = || words.next().unwrap_or_default();
        Ok(Refunded {
            instance: word(),
            since: word(),
            payer: word(),
            time_ms: word(),
            ago_ms: word(),
            amount: amount.try_into().map_or(0, u128::from_be_bytes),
        })
    }

    fn hop_record(&self) -> Result<HopRecord, ChargingError> {
        let Some((&[family, detail, _, _], rest)) = self.value.split_first_chunk::<4>() else {
            return Err(self.wrong_length());
        };
        let (address, price) = match family {
            4 => {
                let (octets, price) =
                    rest.split_first_chunk::<4>().ok_or_else(|| self.wrong_length())?;
                (IpAddr::V4(Ipv4Addr::from(*octets)), price)
            }
            6 => {
                let (octets, price) =
                    rest.split_first_chunk::<16>().ok_or_else(|| self.wrong_length())?;
                (IpAddr::V6(Ipv6Addr::from(*octets)), price)
            }
            _ => {
                let offset = self.offset + 4;
                return Err(ChargingError::malformed(offset, "family", family.into()));
            }
        };
        let price = price.try_into().map_err(|_| self.wrong_length())?;
        Ok(HopRecord { detail, address, local_price: u64::from_be_bytes(price) })
    }

    fn price_curve(&self) -> Result<Vec<PricePoint>, ChargingError> {
        let Some((&[high, low, _, _], rest)) = self.value.split_first_chunk::<4>() else {
            return Err(self.wrong_length());
        };
        let count = u16::from_be_bytes([high, low]);
        let (halves, odd) = rest.as_chunks::<8>();
        let bounded = (1..=PRICE_CURVE_POINTS_MAX).contains(&usize::from(count));
        if !bounded || !odd.is_empty() || halves.len() != 2 * usize::from(count) {
            return Err(ChargingError::malformed(self.offset + 4, "count", count.into()));
        }
        let mut points: Vec<PricePoint> = Vec::with_capacity(count.into());
        for pair in halves.chunks_exact(2) {
            let &[bits_per_s, rate] = pair else { continue };
            let bits_per_s = u64::from_be_bytes(bits_per_s);
            if points.last().is_some_and(|last| last.bits_per_s >= bits_per_s) {
                let field = "quantity that does not ascend";
                return Err(ChargingError::malformed(self.offset, field, bits_per_s));
            }
            points.push(PricePoint { bits_per_s, rate: u64::from_be_bytes(rate) });
        }
        Ok(points)
    }
}

impl Terms {
    /// Reads the TLVs in `bytes`, which begin `offset` bytes into the element.
    pub(super) fn parse(mut bytes: &[u8], mut offset: usize) -> Result<Self, ChargingError> {
        let mut terms = Self::default();
        while !bytes.is_empty() {
            let (tlv, rest) = Tlv::split(bytes, offset)?;
            terms.take(&tlv)?;
            offset += tlv.bytes.len();
            bytes = rest;
        }
        Ok(terms)
    }

    fn take(&mut self, tlv: &Tlv<'_>) -> Result<(), ChargingError> {
        match tlv.kind {
            tlv_type::SENDER_FRACTION => {
                tlv.once_u32(&mut self.sender_fraction)?;
                match self.sender_fraction {
                    Some(ppm) if ppm > MAX_FRACTION_PPM => {
                        let offset = tlv.offset + HEADER_LEN;
                        Err(ChargingError::malformed(offset, "sender fraction", ppm.into()))
                    }
                    _ => Ok(()),
                }
            }
            tlv_type::ACCOUNT => tlv.once(&mut self.account, tlv.account()?),
            tlv_type::LIMIT_PER_RECEIVER => tlv.once_u64(&mut self.limit_per_receiver),
            tlv_type::LIMIT_PER_HOP => tlv.once_u64(&mut self.limit_per_hop),
            tlv_type::MAX_HOPS => tlv.once_u32(&mut self.max_hops),
            tlv_type::SPONSORED => tlv.once_u64(&mut self.sponsored),
            tlv_type::QUANTITY => tlv.once_u64(&mut self.quantity),
            tlv_type::REFUND => tlv.once(&mut self.refund, tlv.refund()?),
            tlv_type::RECEIVERS_BELOW => tlv.once_u32(&mut self.receivers_below),
            tlv_type::ESTABLISHED => tlv.once_u32(&mut self.established),
            tlv_type::HOP_RECORD => {
                self.push_hop_record(tlv.hop_record()?);
                Ok(())
            }
            tlv_type::PRICE_CURVE => {
                let curve = tlv.price_curve()?;
                let mut before = (!self.price_curve().is_empty()).then_some(());
                tlv.once(&mut before, ())?;
                self.extra_mut().price_curve = curve;
                Ok(())
            }
            tlv_type::REFUNDED => {
                self.extra_mut().refunded.push(tlv.refunded()?);
                Ok(())
            }
            _ if tlv.flags & MUST_UNDERSTAND != 0 => {
                Err(ChargingError::MustUnderstand { offset: tlv.offset, tlv_type: tlv.kind })
            }
            _ => {
                self.append_unknown(tlv.bytes);
                Ok(())
            }
        }
    }

    /// Writes the TLVs with this account: known ones by type, then the unknown ones as they came.
    pub(super) fn encode(&self, account: Option<&Account>, sink: &mut Sink<'_>) {
        put_u32(sink, tlv_type::SENDER_FRACTION, self.sender_fraction);
        if let Some(account) = account {
            let id = account.id.as_bytes();
            put_tlv(sink, tlv_type::ACCOUNT, |sink| {
                sink.put(&[account.kind.into(), 0]);
                sink.put_u16(u16::try_from(id.len()).unwrap_or(u16::MAX));
                sink.put(id);
            });
        }
        put_u64(sink, tlv_type::LIMIT_PER_RECEIVER, self.limit_per_receiver);
        put_u64(sink, tlv_type::LIMIT_PER_HOP, self.limit_per_hop);
        put_u32(sink, tlv_type::MAX_HOPS, self.max_hops);
        put_u64(sink, tlv_type::SPONSORED, self.sponsored);
        put_u64(sink, tlv_type::QUANTITY, self.quantity);
        if let Some(refund) = &self.refund {
            put_tlv(sink, tlv_type::REFUND, |sink| {
                sink.put(&[refund.policy.into(), 0]);
                sink.put_u16(refund.threshold);
            });
        }
        put_u32(sink, tlv_type::RECEIVERS_BELOW, self.receivers_below);
        if let Some(extra) = &self.extra {
            for record in &extra.hop_records {
                put_tlv(sink, tlv_type::HOP_RECORD, |sink| {
                    sink.put(&[if record.address.is_ipv6() { 6 } else { 4 }, record.detail, 0, 0]);
                    sink.put_ip(record.address);
                    sink.put_u64(record.local_price);
                });
            }
            if !extra.price_curve.is_empty() {
                put_tlv(sink, tlv_type::PRICE_CURVE, |sink| {
                    sink.put_u16(u16::try_from(extra.price_curve.len()).unwrap_or(u16::MAX));
                    sink.put_u16(0);
                    for point in &extra.price_curve {
                        sink.put_u64(point.bits_per_s);
                        sink.put_u64(point.rate);
                    }
                });
            }
        }
        put_u32(sink, tlv_type::ESTABLISHED, self.established);
        for it in self.refunded() {
            put_tlv(sink, tlv_type::REFUNDED, |sink| {
                for word in [it.instance, it.since, it.payer, it.time_ms, it.ago_ms] {
                    sink.put_u32(word);
                }
                sink.put(&it.amount.to_be_bytes());
            });
        }
        sink.put(self.unknown());
    }
}

fn put_tlv(sink: &mut Sink<'_>, kind: u8, value: impl FnOnce(&mut Sink<'_>)) {
    let start = sink.position();
    sink.put(&[0, 0, kind, 0]);
    value(sink);
    sink.set_u16(start, sink.position() - start);
    sink.pad(start);
}

fn put_u32(sink: &mut Sink<'_>, kind: u8, value: Option<u32>) {
    if let Some(value) = value {
        put_tlv(sink, kind, |sink| sink.put_u32(value));
    }
}

fn put_u64(sink: &mut Sink<'_>, kind: u8, value: Option<u64>) {
    if let Some(value) = value {
        put_tlv(sink, kind, |sink| sink.put_u64(value));
    }
}

/// A TLV of an unknown type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownTlv<'a> {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its value, without padding.
    pub value: &'a [u8],
}

/// TLVs of unknown types, in order.
#[derive(Debug, Clone, Copy)]
pub struct UnknownTlvs<'a> {
    rest: &'a [u8],
}

impl<'a> UnknownTlvs<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }
}

impl<'a> Iterator for UnknownTlvs<'a> {
    type Item = UnknownTlv<'a>;

    fn next(&mut self) -> Option<UnknownTlv<'a>> {
        let (tlv, rest) = Tlv::split(self.rest, 0).ok()?;
        self.rest = rest;
        Some(UnknownTlv { kind: tlv.kind, flags: tlv.flags, value: tlv.value })
    }
}
