//! Signed tokens of embedding applications: JSON Web Tokens (RFC 7519, RFC 7515) as little as is
//! needed. The algorithm is the application's, never the token's; nothing of what a token says is
//! read before its signature is found right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key::VerifyKey;

/// Longer tokens are not looked at.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// A token holds for at most so long from now: it is made for one opening of a page.
pub(crate) const LIFE_MAX_S: i64 = 600;
/// Clocks differ.
const LEEWAY_S: i64 = 30;
const SUBJECT_CHARS_MAX: usize = 200;
const NAME_CHARS_MAX: usize = 80;

/// Who comes, as the application says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// Who it is, by the application's own identity.
    pub(super) subject: String,
    /// What they are called.
    pub(super) name: Option<String>,
}

/// Why a token opens nothing, by the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token: {part}: {why}")]
pub(super) struct Refused {
    pub(super) part: &'static str,
    pub(super) why: String,
}

fn refused<T>(part: &'static str, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused {
        part,
        why: why.into(),
    })
}

/// Reads a token that was signed for the application `audience` with the counterpart of `key`.
pub(super) fn read(
    token: &str,
    key: &VerifyKey,
    audience: &str,
    now_s: i64,
) -> Result<Claims, Refused> {
    if token.len() > TOKEN_BYTES_MAX {
        return refused("form", format!("allowed are {TOKEN_BYTES_MAX} bytes"));
    }
    let mut parts = token.split('.');
    let (Some(head), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return refused(
            "form",
            "allowed are three parts with full stops between them",
        );
    };
    let header = object("header", head)?;
    let wanted = key.algorithm().name();
    if header.get("alg").and_then(Value::as_str) != Some(wanted) {
        return refused("alg", format!("allowed is {wanted}"));
    }
    // Extensions that must be understood are not.
    if header.contains_key("crit") {
        return refused("crit", "no extension is supported");
    }
    let kind = header.get("typ").map(|kind| kind.as_str().unwrap_or("?"));
    if kind.is_some_and(|kind| !kind.eq_ignore_ascii_case("JWT")) {
        return refused("typ", "allowed is JWT");
    }
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
        return refused("signature", "is not base64url");
    };
    let signed = &token.as_bytes()[..head.len() + 1 + claims.len()];
    if !key.verifies(signed, &signature) {
        return refused("signature", "is not that of the application's key");
    }
    check(&object("claims", claims)?, audience, now_s)
}

fn object(part: &'static str, text: &str) -> Result<Map<String, Value>, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        _ => refused(part, "is no JSON object in base64url"),
    }
}

fn check(claims: &Map<String, Value>, audience: &str, now_s: i64) -> Result<Claims, Refused> {
    let for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    };
    if !for_us {
        return refused("aud", "allowed is the identity of the application");
    }
    let time = |name: &'static str| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            // Within what whole seconds are exact in.
            Some(at) if at.is_finite() && at.abs() < 1e15 => Ok(Some(at as i64)),
            _ => refused(name, "is no number of seconds since 1970"),
        },
    };
    let Some(expires) = time("exp")? else {
        return refused("exp", "is missing");
    };
    if expires <= now_s - LEEWAY_S {
        return refused("exp", "the token is over");
    }
    if expires > now_s + LIFE_MAX_S + LEEWAY_S {
        return refused("exp", format!("allowed are {LIFE_MAX_S} s from now"));
    }
    for name in ["nbf", "iat"] {
        if time(name)?.is_some_and(|at| at > now_s + LEEWAY_S) {
            return refused(name, "lies in the future");
        }
    }
    let text = |name: &'static str, chars_max: usize| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text))
            if !text.trim().is_empty()
                && text.chars().count() <= chars_max
                && !text.chars().any(char::is_control) =>
        {
            Ok(Some(text.clone()))
        }
        Some(_) => refused(
            name,
            format!("allowed are 1 to {chars_max} characters on one line"),
        ),
    };
    let Some(subject) = text("sub", SUBJECT_CHARS_MAX)? else {
        return refused("sub", "is missing");
    };
    let name = text("name", NAME_CHARS_MAX)?.map(|name| name.trim().to_owned());
    Ok(Claims { subject, name })
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::json;

    use super::super::key::Algorithm;
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const SECRET: &str = "a secret of thirty-two bytes or more";

    fn encoded(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        let tag = ring::hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn claims() -> Value {
        json!({ "aud": "shop", "sub": "ann", "name": "Ann", "iat": NOW, "exp": NOW + 300 })
    }

    fn secret() -> VerifyKey {
        VerifyKey::parse(Algorithm::Hs256, SECRET).unwrap()
    }

    #[track_caller]
    fn wrong(token: &str, part: &str) {
        let found = read(token, &secret(), "shop", NOW).unwrap_err();
        assert_eq!(found.part, part, "{found}");
    }

    #[test]
    fn a_token_says_who_comes() {
        let head = json!({ "alg": "HS256", "typ": "JWT" });
        let token = hs256(&head, &claims(), SECRET.as_bytes());
        let found = read(&token, &secret(), "shop", NOW).unwrap();
        assert_eq!(found.subject, "ann");
        assert_eq!(found.name.as_deref(), Some("Ann"));
        let listed = json!({ "aud": ["x", "shop"], "sub": "ann", "exp": NOW + 1 });
        let token = hs256(&json!({ "alg": "HS256" }), &listed, SECRET.as_bytes());
        assert_eq!(read(&token, &secret(), "shop", NOW).unwrap().name, None);
    }

    #[test]
    fn what_is_not_signed_by_the_application_opens_nothing() {
        let head = json!({ "alg": "HS256" });
        let good = hs256(&head, &claims(), SECRET.as_bytes());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        wrong(&hs256(&head, &claims(), b"another secret"), "signature");
        wrong(&format!("{signed}."), "signature");
        wrong(&format!("{signed}.{}", &signature[..20]), "signature");
        wrong(&format!("{signed}.!!"), "signature");
        // A changed claim under the old signature.
        let mut other = claims();
        other["sub"] = json!("eve");
        let forged = format!("{}.{}.{signature}", encoded(&head), encoded(&other));
        wrong(&forged, "signature");
        for alg in [
            json!("none"),
            json!("None"),
            json!(""),
            json!("HS512"),
            json!("hs256"),
            json!("RS256"),
            json!(null),
            json!(["HS256"]),
        ] {
            let head = json!({ "alg": alg });
            let unsigned = format!("{}.{}.", encoded(&head), encoded(&claims()));
            wrong(&unsigned, "alg");
            wrong(&hs256(&head, &claims(), SECRET.as_bytes()), "alg");
        }
        wrong(&hs256(&json!({}), &claims(), SECRET.as_bytes()), "alg");
        let crit = json!({ "alg": "HS256", "crit": ["b64"], "b64": false });
        wrong(&hs256(&crit, &claims(), SECRET.as_bytes()), "crit");
        let kind = json!({ "alg": "HS256", "typ": "at+jwt" });
        wrong(&hs256(&kind, &claims(), SECRET.as_bytes()), "typ");
        for form in ["", ".", "..", "a.b", "a.b.c.d", "....", &"a".repeat(9000)] {
            assert!(read(form, &secret(), "shop", NOW).is_err(), "{form}");
        }
        // An object twice encoded, a list, a number.
        for head in ["W10", "MQ", "e30=", "e30 "] {
            let token = format!("{head}.e30.e30");
            assert!(read(&token, &secret(), "shop", NOW).is_err(), "{head}");
        }
    }

    #[test]
    fn a_public_key_is_no_secret() {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng)
            .unwrap();
        let pem = super::super::key::tests::ec_pem(pair.public_key().as_ref());
        let key = VerifyKey::parse(Algorithm::Es256, &pem).unwrap();
        let signed = format!(
            "{}.{}",
            encoded(&json!({ "alg": "ES256" })),
            encoded(&claims())
        );
        let signature = pair.sign(&rng, signed.as_bytes()).unwrap();
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
        assert_eq!(read(&token, &key, "shop", NOW).unwrap().subject, "ann");
        // Signed with what everybody may know, as if it were a secret.
        for alg in ["HS256", "ES256"] {
            for secret in [
                pem.as_bytes(),
                pem.trim().as_bytes(),
                pair.public_key().as_ref(),
            ] {
                let forged = hs256(&json!({ "alg": alg }), &claims(), secret);
                assert!(read(&forged, &key, "shop", NOW).is_err());
            }
        }
        let zero = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
        assert!(read(&zero, &key, "shop", NOW).is_err());
    }

    #[test]
    fn what_is_signed_and_not_for_us_now_opens_nothing() {
        let with = |change: Value| {
            let mut all = claims();
            for (name, value) in change.as_object().unwrap() {
                all[name] = value.clone();
            }
            hs256(&json!({ "alg": "HS256" }), &all, SECRET.as_bytes())
        };
        for (change, part) in [
            (json!({ "aud": "school" }), "aud"),
            (json!({ "aud": ["school"] }), "aud"),
            (json!({ "aud": null }), "aud"),
            (json!({ "aud": { "shop": 1 } }), "aud"),
            (json!({ "aud": "shop " }), "aud"),
            (json!({ "exp": null }), "exp"),
            (json!({ "exp": "soon" }), "exp"),
            (json!({ "exp": NOW - 31 }), "exp"),
            (json!({ "exp": NOW + 3600 }), "exp"),
            (json!({ "exp": 1e300 }), "exp"),
            (json!({ "exp": -1e300 }), "exp"),
            (json!({ "nbf": NOW + 60 }), "nbf"),
            (json!({ "iat": NOW + 60 }), "iat"),
            (json!({ "sub": "" }), "sub"),
            (json!({ "sub": " " }), "sub"),
            (json!({ "sub": 7 }), "sub"),
            (json!({ "sub": "a\nb" }), "sub"),
            (json!({ "sub": "x".repeat(201) }), "sub"),
            (json!({ "name": "a\u{0}" }), "name"),
            (json!({ "name": 1 }), "name"),
        ] {
            wrong(&with(change), part);
        }
        let mut missing = claims();
        for name in ["aud", "exp", "sub"] {
            let kept = missing.as_object_mut().unwrap().shift_remove(name);
            wrong(
                &hs256(&json!({ "alg": "HS256" }), &missing, SECRET.as_bytes()),
                name,
            );
            missing[name] = kept.unwrap();
        }
    }
}
