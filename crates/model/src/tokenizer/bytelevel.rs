//! The byte alphabet of GPT-2: every byte has a printable character, so that a vocabulary of byte
//! strings can be written as text. Vocabularies are turned back into bytes when they are loaded.

/// The character that stands for a byte.
pub(super) fn char_of(byte: u8) -> char {
    let code = match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => u32::from(byte),
        0..=0x20 => 0x100 + u32::from(byte),
        0x7f..=0xa0 => 0x121 + u32::from(byte - 0x7f),
        0xad => 0x143,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    let code = c as u32;
    Some(match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code as u8,
        0x100..=0x120 => (code - 0x100) as u8,
        0x121..=0x142 => (code - 0x121 + 0x7f) as u8,
        0x143 => 0xad,
        _ => return None,
    })
}

/// Writes the bytes that `text` stands for into `out`; false if a character stands for none.
pub(super) fn decode_into(text: &str, out: &mut Vec<u8>) -> bool {
    out.clear();
    for c in text.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_printable_character() {
        for byte in 0..=255u8 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
            assert!(!char_of(byte).is_control() && !char_of(byte).is_whitespace());
        }
        assert_eq!(char_of(b' '), 'Ġ');
        assert_eq!(char_of(b'\n'), 'Ċ');
        assert_eq!(byte_of(' '), None);
    }
}
