//! Rates and sizes as IEEE 754 singles (RFC 2210 section 3.1), handled as bits.

use core::fmt;

const INFINITY: u32 = 0x7f80_0000;
const FRACTION_BITS: i32 = 23;

/// A non-negative IEEE 754 single, bit for bit as it travels: bytes, or bytes a second.
///
/// Neither NaN nor a negative number, nor negative zero; so equality, order and hash of the bits
/// are those of the value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Float(u32);

impl Float {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// Positive infinity: an unknown peak rate (RFC 2210 section 3.1).
    pub const INFINITY: Self = Self(INFINITY);
    /// The greatest finite value.
    pub const MAX: Self = Self(INFINITY - 1);

    /// A finite number from its bits; none for NaN, infinity and anything with the sign set.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < INFINITY { Some(Self(bits)) } else { None }
    }

    /// A finite number or positive infinity from its bits.
    #[must_use]
    pub const fn from_bits_or_infinity(bits: u32) -> Option<Self> {
        if bits <= INFINITY { Some(Self(bits)) } else { None }
    }

    /// A number or positive infinity; none for NaN and anything with the sign set.
    #[must_use]
    pub const fn new(value: f32) -> Option<Self> {
        Self::from_bits_or_infinity(value.to_bits())
    }

    /// The bits as they travel.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The number.
    #[must_use]
    pub const fn to_f32(self) -> f32 {
        f32::from_bits(self.0)
    }

    /// Whether it is a number rather than infinity.
    #[must_use]
    pub const fn is_finite(self) -> bool {
        self.0 < INFINITY
    }

    /// The number rounded up; `u64::MAX` for infinity and for what is larger than that.
    #[must_use]
    pub const fn to_integer(self) -> u64 {
        if self.0 == 0 {
            return 0;
        }
        let biased = (self.0 >> FRACTION_BITS) as i32;
        if biased == 0 {
            return 1; // A subnormal number, far below 1.
        }
        let mantissa = (self.0 & 0x007f_ffff | 0x0080_0000) as u64;
        // The value is mantissa × 2^shift.
        let shift = biased - 127 - FRACTION_BITS;
        if shift > 40 {
            u64::MAX
        } else if shift >= 0 {
            mantissa << shift
        } else if shift <= -24 {
            1
        } else {
            mantissa.div_ceil(1 << -shift)
        }
    }

    /// The smallest number that is not below `value`, so that nothing gets lost by the conversion.
    #[must_use]
    pub const fn from_integer(value: u64) -> Self {
        if value == 0 {
            return Self(0);
        }
        let mut exponent = 63 - value.leading_zeros() as i32;
        let mut mantissa = if exponent <= FRACTION_BITS {
            value << (FRACTION_BITS - exponent)
        } else {
            value.div_ceil(1 << (exponent - FRACTION_BITS))
        };
        if mantissa == 1 << (FRACTION_BITS + 1) {
            mantissa >>= 1;
            exponent += 1;
        }
        Self((((exponent + 127) as u32) << FRACTION_BITS) | (mantissa as u32 & 0x007f_ffff))
    }
}

impl fmt::Debug for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_f32(), f)
    }
}

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_f32(), f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_rate() {
        for bits in [f32::NAN.to_bits(), 0xffc0_0000, (-1.0_f32).to_bits(), 0x8000_0000] {
            assert_eq!(Float::from_bits_or_infinity(bits), None, "{bits:#x}");
        }
        assert_eq!(Float::from_bits(INFINITY), None);
        assert_eq!(Float::new(f32::INFINITY), Some(Float::INFINITY));
        assert_eq!(Float::INFINITY.to_integer(), u64::MAX);
    }

    proptest! {
        #[test]
        fn to_integer_is_the_ceiling(bits in 0..=INFINITY) {
            let float = Float(bits);
            let exact = f64::from(float.to_f32()).ceil();
            // `as` saturates, which is what the function promises.
            prop_assert_eq!(float.to_integer(), exact as u64);
        }

        #[test]
        fn from_integer_is_the_next_single(value in prop_oneof![any::<u64>(), 0..1_u64 << 26]) {
            let float = Float::from_integer(value);
            prop_assert!(f64::from(float.to_f32()) as u128 >= u128::from(value));
            if let Some(below) = float.0.checked_sub(1) {
                prop_assert!((f64::from(f32::from_bits(below)) as u128) < u128::from(value));
            }
        }

        #[test]
        fn order_is_that_of_the_numbers(a in 0..=INFINITY, b in 0..=INFINITY) {
            let (a, b) = (Float(a), Float(b));
            prop_assert_eq!(a.partial_cmp(&b), a.to_f32().partial_cmp(&b.to_f32()));
        }
    }
}
