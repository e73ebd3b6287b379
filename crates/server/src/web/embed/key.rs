//! Keys that signatures of embedding applications are checked with: a secret of both sides, or a
//! public key in PEM form, of which the numbers are taken out here (RFC 5280, RFC 8017, RFC 5480).

use ring::{hmac, signature};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

/// How an application signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA's PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// Its name in a token's header.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// The one with a name.
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Rs256, Self::Es256]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const FORM: &str = "allowed is a public key in PEM form (BEGIN PUBLIC KEY)";
const PEM_BYTES_MAX: usize = 8 << 10;
/// Bytes of an RSA modulus.
const RSA_MIN: usize = 256;
const RSA_MAX: usize = 1024;

/// What a signature is checked with.
pub(super) enum VerifyKey {
    Secret(hmac::Key),
    /// In the form of PKCS #1.
    Rsa(Vec<u8>),
    /// A point, not compressed.
    Ec(Vec<u8>),
}

impl std::fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A secret is in no log.
        f.write_str(self.algorithm().name())
    }
}

impl VerifyKey {
    /// A key as it is kept. `Err`: what is allowed.
    pub(super) fn parse(algorithm: Algorithm, text: &str) -> Result<Self, &'static str> {
        if algorithm == Algorithm::Hs256 {
            return Ok(Self::Secret(hmac::Key::new(
                hmac::HMAC_SHA256,
                text.as_bytes(),
            )));
        }
        if text.len() > PEM_BYTES_MAX {
            return Err(FORM);
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| FORM)?;
        let (kind, parameters, key) = public_key(&der).ok_or(FORM)?;
        if algorithm == Algorithm::Rs256 {
            if kind != RSA {
                return Err("for RS256 it is a key of RSA");
            }
            let bytes = modulus_bytes(key).ok_or(FORM)?;
            if !(RSA_MIN..=RSA_MAX).contains(&bytes) {
                return Err("a key of RSA has 2048 to 8192 bits");
            }
            return Ok(Self::Rsa(key.to_vec()));
        }
        let on_curve = item(parameters, 0x06).is_some_and(|(oid, _)| oid == P256);
        if kind != EC || !on_curve {
            return Err("for ES256 it is a key on the curve P-256");
        }
        if key.len() != 65 || key[0] != 4 {
            return Err("a key on P-256 has a point that is not compressed");
        }
        Ok(Self::Ec(key.to_vec()))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Secret(_) => Algorithm::Hs256,
            Self::Rsa(_) => Algorithm::Rs256,
            Self::Ec(_) => Algorithm::Es256,
        }
    }

    /// Whether `signature` is that of `signed`.
    pub(super) fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let by = |algorithm: &'static dyn signature::VerificationAlgorithm, key: &[u8]| {
            signature::UnparsedPublicKey::new(algorithm, key)
                .verify(signed, signature)
                .is_ok()
        };
        match self {
            // In a time that does not depend on where they differ.
            Self::Secret(key) => hmac::verify(key, signed, signature).is_ok(),
            Self::Rsa(key) => by(&signature::RSA_PKCS1_2048_8192_SHA256, key),
            Self::Ec(key) => by(&signature::ECDSA_P256_SHA256_FIXED, key),
        }
    }
}

/// The kind of a public key, its parameters, and its bits.
fn public_key(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (whole, rest) = item(der, 0x30)?;
    if !rest.is_empty() {
        return None;
    }
    let (algorithm, bits) = item(whole, 0x30)?;
    let (kind, parameters) = item(algorithm, 0x06)?;
    let (bits, rest) = item(bits, 0x03)?;
    let (unused, key) = bits.split_first()?;
    (*unused == 0 && rest.is_empty()).then_some((kind, parameters, key))
}

fn modulus_bytes(key: &[u8]) -> Option<usize> {
    let (numbers, _) = item(key, 0x30)?;
    let (modulus, _) = item(numbers, 0x02)?;
    let sign = usize::from(modulus.first() == Some(&0));
    Some(modulus.len() - sign)
}

/// The content of the item of DER that `bytes` begin with, if it has this tag, and what follows it.
fn item(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let length = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
            (usize::from(length), rest.get(2..)?)
        }
        _ => return None,
    };
    if found != tag || length > rest.len() {
        return None;
    }
    Some(rest.split_at(length))
}

#[cfg(test)]
pub(super) mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn pem(der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        match content.len() {
            short @ 0..=0x7f => bytes.push(short as u8),
            long => {
                bytes.push(0x82);
                bytes.extend((long as u16).to_be_bytes());
            }
        }
        bytes.extend(content);
        bytes
    }

    fn info(kind: &[u8], parameters: &[u8], key: &[u8]) -> Vec<u8> {
        let algorithm = der(0x30, &[der(0x06, kind), parameters.to_vec()].concat());
        let bits = der(0x03, &[&[0], key].concat());
        der(0x30, &[algorithm, bits].concat())
    }

    /// A point of P-256 as a public key in PEM form.
    pub(in super::super) fn ec_pem(point: &[u8]) -> String {
        pem(&info(EC, &der(0x06, P256), point))
    }

    fn rsa(bytes: usize) -> String {
        let modulus = [vec![0], vec![0xff; bytes]].concat();
        let key = der(0x30, &[der(0x02, &modulus), der(0x02, &[1, 0, 1])].concat());
        pem(&info(RSA, &der(0x05, &[]), &key))
    }

    #[test]
    fn keys_are_of_the_kind_and_size_that_is_allowed() {
        let point = [&[4][..], &[7; 64]].concat();
        let parse = |algorithm, text: &str| VerifyKey::parse(algorithm, text).is_ok();
        assert!(parse(Algorithm::Es256, &ec_pem(&point)));
        assert!(parse(Algorithm::Rs256, &rsa(256)));
        assert!(!parse(Algorithm::Rs256, &rsa(128)));
        assert!(!parse(Algorithm::Rs256, &rsa(2000)));
        assert!(!parse(Algorithm::Rs256, &ec_pem(&point)));
        assert!(!parse(Algorithm::Es256, &rsa(256)));
        assert!(!parse(Algorithm::Es256, &ec_pem(&point[..33])));
        let other_curve = pem(&info(EC, &der(0x06, &P256[..7]), &point));
        assert!(!parse(Algorithm::Es256, &other_curve));
        for text in [
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
            &"x".repeat(9000),
        ] {
            assert!(!parse(Algorithm::Rs256, text) && !parse(Algorithm::Es256, text));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = public_key(&bytes);
            let _ = modulus_bytes(&bytes);
            let text = pem(&bytes);
            let _ = VerifyKey::parse(Algorithm::Rs256, &text);
            let _ = VerifyKey::parse(Algorithm::Es256, &text);
        }
    }
}
