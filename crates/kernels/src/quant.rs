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
#[allow(missing_docs)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let abs = bits & 0x7fff_ffff;
    if abs > 0x7f80_0000 { return sign | 0x7e00; }
    if abs >= 0x477f_f000 { return sign | 0x7c00; }
    if abs < 0x3880_0000 {
        let v = (f32::from_bits(abs) * 16_777_216.0).round_ties_even() as u16;
        return sign | v;
    }
    let r = abs + 0xfff + ((abs >> 13) & 1);
    sign | ((r >> 13) - (112 << 10)) as u16
}
