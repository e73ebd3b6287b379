//! Block formats of the quantized storage types and their exact dequantization.
#[allow(missing_docs)]
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = u32::from(h >> 15) << 31;
    let exp = u32::from(h >> 10) & 31;
    let man = u32::from(h) & 0x3ff;
    match exp {
        0 => { let v = man as f32 * (1.0 / 16_777_216.0); f32::from_bits(v.to_bits() | sign) }
        31 => f32::from_bits(sign | 0x7f80_0000 | (man << 13)),
        _ => f32::from_bits(sign | ((exp + 112) << 23) | (man << 13)),
    }
}
#[allow(missing_docs)]
pub fn bf16_to_f32(h: u16) -> f32 { f32::from_bits(u32::from(h) << 16) }
