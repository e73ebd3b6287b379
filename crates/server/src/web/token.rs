//! Secrets that are handed out: 256 random bits each, of which only the SHA-256 is kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ApiResult};

/// A new secret.
pub(super) fn new() -> ApiResult<String> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)
        .map_err(|_| ApiError::internal("the system has no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

/// What of a secret is kept.
pub(super) fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// A keyed digest of a text: the inner one is hashed again, so that nothing can be appended.
pub(super) fn sign(key: &str, text: &str) -> String {
    let inner = Sha256::digest(format!("{key}\n{text}").as_bytes());
    hex(&Sha256::digest(
        format!("{key}\n{}", hex(&inner)).as_bytes(),
    ))
}

/// Whether two texts are equal, in a time that depends on their length alone.
pub(super) fn equal(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one
            .bytes()
            .zip(other.bytes())
            .fold(0, |differ, (a, b)| differ | (a ^ b))
            == 0
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_signatures_hold_for_their_text_alone() {
        assert_ne!(new().unwrap(), new().unwrap());
        assert_eq!(new().unwrap().len(), 43);
        let signed = sign("key", "text");
        assert!(equal(&signed, &sign("key", "text")));
        for other in [sign("key", "text2"), sign("key2", "text"), String::new()] {
            assert!(!equal(&signed, &other));
        }
        assert_eq!(
            digest("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
