//! Public keys of authenticators, and their signatures.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// COSE's numbers (RFC 9053, RFC 8812) of the algorithms that are taken, the one liked best first.
pub(super) const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];
const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;

/// What stands before the key in a `SubjectPublicKeyInfo` (RFC 5480, RFC 8410).
const P256_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_HEAD: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// The algorithm of an RSA key, in it (RFC 3279).
const RSA_ALGORITHM: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
const RSA_BYTES_MAX: usize = 1100;

/// The key inside of a `SubjectPublicKeyInfo` in DER, which is how browsers give it; `None`: not one of
/// this algorithm.
pub(super) fn inner(algorithm: i64, spki: &[u8]) -> Option<&[u8]> {
    match algorithm {
        ES256 => {
            let point = spki.strip_prefix(&P256_HEAD)?;
            (point.len() == 65 && point[0] == 4).then_some(point)
        }
        EDDSA => spki
            .strip_prefix(&ED25519_HEAD)
            .filter(|key| key.len() == 32),
        RS256 if spki.len() <= RSA_BYTES_MAX => {
            let (body, rest) = element(0x30, spki)?;
            let bits = body.strip_prefix(&RSA_ALGORITHM)?;
            let (bits, more) = element(0x03, bits)?;
            let key = bits.strip_prefix(&[0])?;
            (rest.is_empty() && more.is_empty()).then_some(key)
        }
        _ => None,
    }
}

/// The contents of a DER element with this tag, and what comes behind it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.strip_prefix(&[tag])?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = match first {
        0..=0x7f => (usize::from(first), bytes),
        0x81 => (usize::from(*bytes.first()?), &bytes[1..]),
        0x82 => {
            let (length, bytes) = bytes.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), bytes)
        }
        _ => return None,
    };
    (length <= bytes.len()).then(|| bytes.split_at(length))
}

/// Whether a signature over `message` is of the key's owner.
pub(super) fn is_signed(algorithm: i64, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let method: &dyn VerificationAlgorithm = match algorithm {
        ES256 => &ECDSA_P256_SHA256_ASN1,
        EDDSA => &ED25519,
        RS256 => &RSA_PKCS1_2048_8192_SHA256,
        _ => return false,
    };
    UnparsedPublicKey::new(method, key)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    #[test]
    fn only_the_keys_owner_signs() {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
        let pair = pair.unwrap();
        let spki = [&P256_HEAD[..], pair.public_key().as_ref()].concat();
        let key = inner(ES256, &spki).unwrap();
        let signature = pair.sign(&random, b"message").unwrap();
        assert!(is_signed(ES256, key, b"message", signature.as_ref()));
        assert!(!is_signed(ES256, key, b"another", signature.as_ref()));
        assert!(!is_signed(RS256, key, b"message", signature.as_ref()));
        assert!(!is_signed(0, key, b"message", signature.as_ref()));

        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let spki = [&ED25519_HEAD[..], pair.public_key().as_ref()].concat();
        let key = inner(EDDSA, &spki).unwrap();
        let signature = pair.sign(b"message");
        assert!(is_signed(EDDSA, key, b"message", signature.as_ref()));
        assert!(!is_signed(EDDSA, key, b"message", &signature.as_ref()[1..]));
        assert_eq!(inner(ES256, &spki), None);
    }

    #[test]
    fn an_rsa_key_is_taken_out_of_its_wrapping() {
        let key = [7; 270];
        let bits = [&[0x03, 0x82, 0x01, 0x0f, 0x00][..], &key].concat();
        let body = [&RSA_ALGORITHM[..], &bits].concat();
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let spki = [&[0x30, 0x82][..], &length, &body].concat();
        assert_eq!(inner(RS256, &spki), Some(&key[..]));
        assert_eq!(inner(RS256, &spki[..spki.len() - 1]), None);
        assert_eq!(inner(RS256, &[&spki[..], &[0]].concat()), None);
    }

    proptest! {
        #[test]
        fn nonsense_is_no_key(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for algorithm in ALGORITHMS {
                prop_assert_eq!(inner(algorithm, &bytes), None);
            }
        }
    }
}
