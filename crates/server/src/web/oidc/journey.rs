//! A journey to the identity provider and back. What is needed on the return travels in a cookie that
//! this server signs, so that no replica has to remember it, and only the browser that set out can
//! arrive.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use terang_store::now_ms;

use crate::error::ApiResult;
use crate::web::token;

/// So long somebody may take to log in at the provider.
pub(super) const JOURNEY_S: i64 = 600;

/// What the browser carries.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Journey {
    /// Comes back in the address: the answer is to this question.
    pub(super) state: String,
    /// Comes back in the token: the token was made for this journey.
    pub(super) nonce: String,
    /// Proves to the provider that who redeems the code is who asked for it (RFC 7636).
    pub(super) verifier: String,
    /// The account that the identity is to be added to; `None`: to log in.
    pub(super) user_id: Option<String>,
    until: i64,
}

impl Journey {
    pub(super) fn new(user_id: Option<String>) -> ApiResult<Self> {
        Ok(Self {
            state: token::new()?,
            nonce: token::new()?,
            verifier: token::new()?,
            user_id,
            until: now_ms() + JOURNEY_S * 1000,
        })
    }

    /// The verifier's digest, which the provider is told at the start.
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }

    /// The cookie's value.
    pub(super) fn pack(&self, secret: &str) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let text = URL_SAFE_NO_PAD.encode(text);
        let signature = token::sign(secret, &format!("oidc {text}"));
        format!("{text}.{signature}")
    }

    /// The journey of a cookie, if this server began it, it is not over, and `state` belongs to it.
    pub(super) fn unpack(secret: &str, cookie: &str, state: &str) -> Option<Self> {
        let (text, signature) = cookie.split_once('.')?;
        if !token::equal(signature, &token::sign(secret, &format!("oidc {text}"))) {
            return None;
        }
        let journey: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        (journey.until >= now_ms() && token::equal(&journey.state, state)).then_some(journey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_browser_that_set_out_arrives_and_only_in_time() {
        let journey = Journey::new(Some("u1".to_owned())).unwrap();
        let cookie = journey.pack("key");
        let state = journey.state.clone();
        assert_eq!(
            Journey::unpack("key", &cookie, &state).as_ref(),
            Some(&journey)
        );
        assert_eq!(Journey::unpack("other", &cookie, &state), None);
        assert_eq!(Journey::unpack("key", &cookie, "other"), None);
        assert_eq!(Journey::unpack("key", &cookie[1..], &state), None);
        for broken in ["", ".", "a.b", &cookie.replace('.', "")] {
            assert_eq!(Journey::unpack("key", broken, &state), None);
        }
        let late = Journey {
            until: now_ms() - 1,
            ..journey
        };
        assert_eq!(Journey::unpack("key", &late.pack("key"), &state), None);
    }

    #[test]
    fn the_challenge_is_that_of_the_standard() {
        // RFC 7636, appendix B.
        let journey = Journey {
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned(),
            ..Journey::new(None).unwrap()
        };
        assert_eq!(
            journey.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
