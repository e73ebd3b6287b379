//! Identities: UUIDs of version 7 (RFC 9562), which sort by the time at which they were made.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Result, StoreError};

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as i64)
}

/// A new identity.
pub fn new_id() -> Result<String> {
    new_id_at(now_ms())
}

fn new_id_at(ms: i64) -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes[6..]).map_err(StoreError::Random)?;
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_of_version_7_differ_and_sort_by_time() {
        let (early, late) = (
            new_id_at(1_700_000_000_000).unwrap(),
            new_id_at(1_700_000_000_001).unwrap(),
        );
        assert!(early < late, "{early} {late}");
        assert_ne!(new_id().unwrap(), new_id().unwrap());
        assert_eq!(early.len(), 36);
        assert_eq!(
            &early[..18],
            "018bcfe5-6800-7000"[..14].to_owned() + &early[14..18]
        );
        assert!(matches!(early.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
