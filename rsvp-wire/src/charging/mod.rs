//! The charging policy elements: DCPE (in PATH), UCPE (in RESV), CHG_ERR (in PATHERR, RESVERR).
//!
//! Layouts are version 1 of the charging model's wire format. All integers are big-endian;
//! reserved bits are written as 0 and ignored on receipt.
//!
//! ```text
//! DCPE, 36 bytes + TLVs        UCPE, 56 bytes + TLVs         CHG_ERR, 36 bytes + TLVs
//!  0 length u16, P-Type u16     0 length u16, P-Type u16      0 length u16, P-Type u16
//!  4 version u8, flags u8       4 version u8, flags u8        4 reason u16
//!  6 currency u16               6 currency u16                6 currency u16
//!  8 exponent i8, time unit u8  8 exponent i8, time unit u8   8 exponent i8, reserved 3 bytes
//! 10 service u16               10 service u16                12 required u64
//! 12 total u64                 12 payment u64                20 offered u64
//! 20 max_total u64             20 announced_total A u64      28 epoch u32
//! 28 validity_ms u32           28 sender_payment u64         32 sequence u32
//! 32 epoch u32                 36 local_sum B u64
//!                              44 epoch_echo u32, 48 sequence u32, 52 instance u32
//! ```
//!
//! `parse` takes a whole policy element whose P-Type the caller has matched, since the numbers are
//! configurable; `encode` takes the number to write.

mod account;
mod chg_err;
mod dcpe;
mod display;
mod error;
mod header;
mod terms;
mod tlv;
mod ucpe;

pub use account::{Account, AccountId, AccountKind};
pub use chg_err::ChgErr;
pub use dcpe::Dcpe;
pub use error::ChargingError;
pub use header::{ChargingFlags, EXPONENT, TIME_UNIT_SECOND, VERSION};
pub use terms::{ExtraTerms, HopRecord, PricePoint, Refund, RefundPolicy, Refunded, Terms};
pub use tlv::{MAX_FRACTION_PPM, PRICE_CURVE_POINTS_MAX, UnknownTlv, UnknownTlvs};
pub use ucpe::Ucpe;

/// Default P-Type of a DCPE.
pub const DCPE_PTYPE: u16 = crate::iana::ptype::DCPE;
/// Default P-Type of a UCPE.
pub const UCPE_PTYPE: u16 = crate::iana::ptype::UCPE;
/// Default P-Type of a CHG_ERR.
pub const CHG_ERR_PTYPE: u16 = crate::iana::ptype::CHG_ERR;
