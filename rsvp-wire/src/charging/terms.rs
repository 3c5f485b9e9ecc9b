//! What the TLVs of a charging element say.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::charging::{Account, UnknownTlvs};
use crate::iana::open_enum;

open_enum! {
    /// The policy octet of a REFUND TLV.
    pub enum RefundPolicy(u8) {
        /// No refund.
        NoRefund = 0 => "none",
        /// Outages are refunded in proportion to their length.
        ProRata = 1 => "pro rata",
        /// Sessions shorter than the threshold are free.
        FreeIfShort = 2 => "free if short",
    }
}

/// REFUND (requirement of the paper's section 2.1; rule T11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refund {
    /// The policy agreed at set-up.
    pub policy: RefundPolicy,
    /// Threshold in units of 100 ms.
    pub threshold: u16,
}

/// REFUNDED, a private TLV: what a payee has given back of one reservation instance so far (rule
/// T11). It only grows, so that one which is lost is made up for by the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Refunded {
    /// The payer's instance of the reservation.
    pub instance: u32,
    /// Which count of the payee this is.
    pub since: u32,
    /// The payer's address, folded into 32 bits: several may share an interface.
    pub payer: u32,
    /// Billed time that was given back, in milliseconds.
    pub time_ms: u32,
    /// How long ago that began which is still given back, in milliseconds; 0 if nothing is.
    pub ago_ms: u32,
    /// What was given back, in 10⁻¹⁵ currency units.
    pub amount: u128,
}

/// HOP_RECORD: one hop's price, in path order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HopRecord {
    /// Detail level that the user asked for.
    pub detail: u8,
    /// The hop.
    pub address: IpAddr,
    /// Its local price, 10⁻¹² currency units a second.
    pub local_price: u64,
}

/// One point of a PRICE_CURVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PricePoint {
    /// Quantity in bit/s.
    pub bits_per_s: u64,
    /// Price, 10⁻¹² currency units a second.
    pub rate: u64,
}

/// The TLVs of an element; absent ones are `None`. Rates are in 10⁻¹² currency units a second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// SENDER_FRACTION: the sender's share in parts per million, at most 10⁶.
    pub sender_fraction: Option<u32>,
    /// MAX_HOPS: charging hops that the sender still covers.
    pub max_hops: Option<u32>,
    /// RECEIVERS_BELOW: receivers behind this link.
    pub receivers_below: Option<u32>,
    /// ESTABLISHED: the highest UCPE sequence that is in place end to end.
    pub established: Option<u32>,
    /// LIMIT_PER_RECEIVER: what the sender covers at most for each receiver.
    pub limit_per_receiver: Option<u64>,
    /// LIMIT_PER_HOP: what the sender covers at most at each hop.
    pub limit_per_hop: Option<u64>,
    /// SPONSORED: how much of the total the sender side covers after a limit was hit.
    pub sponsored: Option<u64>,
    /// QUANTITY: what the rates are for, in bit/s.
    pub quantity: Option<u64>,
    /// REFUND.
    pub refund: Option<Refund>,
    /// ACCOUNT.
    pub account: Option<Account>,
    /// What is seldom there, so that elements without it stay small and free of allocations. `None`
    /// is the same as a value whose parts are all empty; parsing never yields the latter.
    pub extra: Option<Box<ExtraTerms>>,
}

/// TLVs that are seldom there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtraTerms {
    /// HOP_RECORD, one per hop in path order.
    pub hop_records: Vec<HopRecord>,
    /// PRICE_CURVE: 1 to [`PRICE_CURVE_POINTS_MAX`](crate::charging::PRICE_CURVE_POINTS_MAX) points,
    /// quantities ascending; linear between the points, the last slope continues. Empty without one.
    pub price_curve: Vec<PricePoint>,
    /// REFUNDED: what was given back for outages, one for each reservation.
    pub refunded: Vec<Refunded>,
    /// TLVs of unknown types in the order in which they came, whole and padded, byte for byte.
    pub unknown: Vec<u8>,
}

impl Terms {
    /// HOP_RECORDs in path order.
    #[must_use]
    pub fn hop_records(&self) -> &[HopRecord] {
        self.extra.as_ref().map_or(&[], |extra| &extra.hop_records)
    }

    /// What was given back for outages.
    #[must_use]
    pub fn refunded(&self) -> &[Refunded] {
        self.extra.as_ref().map_or(&[], |extra| &extra.refunded)
    }

    /// The points of the PRICE_CURVE; none without one.
    #[must_use]
    pub fn price_curve(&self) -> &[PricePoint] {
        self.extra.as_ref().map_or(&[], |extra| &extra.price_curve)
    }

    /// The bytes of the TLVs of unknown types, which go on in order (RFC 2750 section 4.2).
    #[must_use]
    pub fn unknown(&self) -> &[u8] {
        self.extra.as_ref().map_or(&[], |extra| &extra.unknown)
    }

    /// The TLVs of unknown types one by one.
    #[must_use]
    pub fn unknown_tlvs(&self) -> UnknownTlvs<'_> {
        UnknownTlvs::new(self.unknown())
    }

    /// The seldom parts, made if they are not there.
    pub fn extra_mut(&mut self) -> &mut ExtraTerms {
        self.extra.get_or_insert_default()
    }

    /// Appends a hop's price behind those of the hops before it.
    pub fn push_hop_record(&mut self, record: HopRecord) {
        self.extra_mut().hop_records.push(record);
    }

    /// Appends TLVs as they came: how unknown ones of several branches are carried upstream.
    pub fn append_unknown(&mut self, tlvs: &[u8]) {
        if !tlvs.is_empty() {
            self.extra_mut().unknown.extend_from_slice(tlvs);
        }
    }
}
