//! Half-precision floats as bit patterns. Every conversion is a pure function of its argument's
//! bits, the same on every platform; conversions to fewer bits round to nearest, ties to even. A
//! signalling NaN becomes a quiet one with the same sign and payload, as IEEE 754 and the
//! processors' own instructions (F16C, NEON) have it.

/// The value of an IEEE 754 half-precision number. Exact.
#[inline]
pub const fn f16_to_f32(bits: u16) -> f32 {
    let sign = (bits as u32 & 0x8000) << 16;
    let exponent = (bits as u32 >> 10) & 0x1f;
    let fraction = bits as u32 & 0x3ff;
    let magnitude = match (exponent, fraction) {
        // Subnormal or zero: a multiple of 2^-24.
        (0, _) => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
        (31, 0) => 0x7f80_0000,
        (31, _) => 0x7fc0_0000 | fraction << 13,
        _ => (exponent + (127 - 15)) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// The half-precision number nearest to `value`, ties to even; infinite from 65520 on.
#[inline]
pub const fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = if magnitude > 0x7f80_0000 {
        0x7e00 | (magnitude >> 13) & 0x3ff
    } else if magnitude >= 0x477f_f000 {
        0x7c00
    } else if magnitude >= 0x3880_0000 {
        // Normal: a carry out of the fraction moves to the exponent by itself.
        let rebased = magnitude - ((127 - 15) << 23);
        (rebased + 0xfff + ((rebased >> 13) & 1)) >> 13
    } else if magnitude > 0x3300_0000 {
        // Subnormal: the significand counts units of 2^(exponent - 150), the result of 2^-24.
        let significand = (magnitude & 0x007f_ffff) | 0x0080_0000;
        let shift = 126 - (magnitude >> 23);
        let quotient = significand >> shift;
        let rest = significand & ((1 << shift) - 1);
        let tie = 1 << (shift - 1);
        quotient + (rest > tie || rest == tie && quotient & 1 == 1) as u32
    } else {
        0
    };
    sign | half as u16
}

/// The value of a bfloat16 number. Exact, NaN bits included.
#[inline]
pub const fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits((bits as u32) << 16)
}

/// The bfloat16 number nearest to `value`, ties to even.
#[inline]
pub const fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in arithmetic that holds every intermediate exactly.
    fn f16_value(bits: u16) -> f64 {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let exponent = i32::from(bits >> 10 & 0x1f);
        let fraction = f64::from(bits & 0x3ff);
        match exponent {
            0 => sign * fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1024.0 + fraction) * 2f64.powi(exponent - 25),
        }
    }

    #[test]
    fn every_half_widens_exactly_and_comes_back() {
        for bits in 0..=u16::MAX {
            let wide = f16_to_f32(bits);
            let expected = f16_value(bits);
            if expected.is_nan() {
                assert!(wide.is_nan(), "{bits:#06x}");
                assert_eq!(f32_to_f16(wide), bits | 0x200, "{bits:#06x}");
            } else {
                assert_eq!(f64::from(wide).to_bits(), expected.to_bits(), "{bits:#06x}");
                assert_eq!(f32_to_f16(wide), bits, "{bits:#06x}");
            }
        }
    }

    #[test]
    fn singles_between_two_halves_round_to_the_nearer_and_ties_to_even() {
        for low in 0..0x7c00_u16 {
            let high = low + 1;
            let below = f16_to_f32(low);
            // The step past the greatest finite half is 2^16, where infinity stands.
            let above = if high == 0x7c00 {
                65536.0
            } else {
                f16_to_f32(high)
            };
            let middle = f32::midpoint(below, above);
            let even = if low & 1 == 0 { low } else { high };
            assert_eq!(f32_to_f16(middle), even, "{low:#06x}");
            assert_eq!(f32_to_f16(middle.next_down()), low, "{low:#06x}");
            assert_eq!(f32_to_f16(middle.next_up()), high, "{low:#06x}");
            assert_eq!(f32_to_f16(-middle), even | 0x8000, "{low:#06x}");
        }
        assert_eq!(f32_to_f16(f32::MAX), 0x7c00);
        assert_eq!(f32_to_f16(f32::from_bits(1)), 0);
    }

    #[test]
    fn bfloat16_is_the_upper_half_and_rounds_ties_to_even() {
        for bits in 0..=u16::MAX {
            let wide = bf16_to_f32(bits);
            assert_eq!(wide.to_bits(), u32::from(bits) << 16);
            if wide.is_nan() {
                assert_eq!(f32_to_bf16(wide), bits | 0x40);
                continue;
            }
            assert_eq!(f32_to_bf16(wide), bits);
            if wide.is_finite() {
                let middle = f32::from_bits(u32::from(bits) << 16 | 0x8000);
                assert_eq!(f32_to_bf16(middle), bits + (bits & 1), "{bits:#06x}");
                let under = f32::from_bits(u32::from(bits) << 16 | 0x7fff);
                assert_eq!(f32_to_bf16(under), bits, "{bits:#06x}");
                let over = f32::from_bits(u32::from(bits) << 16 | 0x8001);
                assert_eq!(f32_to_bf16(over), bits + 1, "{bits:#06x}");
            }
        }
        // A NaN whose payload lies in the lower half only must not become infinite.
        assert!(bf16_to_f32(f32_to_bf16(f32::from_bits(0x7f80_0001))).is_nan());
    }
}
