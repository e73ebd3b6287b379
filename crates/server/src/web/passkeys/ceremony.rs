//! What browser and authenticator have to show (Web Authentication, level 3, 7.1 and 7.2). Attestation
//! is not asked for, so a key is whatever the browser of somebody who has logged in says it is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use terang_store::now_ms;

use crate::error::{ApiError, ApiResult};
use crate::web::token;

/// So long somebody may take to find their key.
pub(super) const CEREMONY_S: i64 = 300;

const PRESENT: u8 = 1;
const VERIFIED: u8 = 1 << 2;
const WITH_CREDENTIAL: u8 = 1 << 6;
/// Digest of the site's name, flags, counter.
const HEAD_BYTES: usize = 37;
const AAGUID_BYTES: usize = 16;

/// The site, as browsers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    /// Its name without port: what a passkey belongs to.
    pub(super) rp_id: String,
    /// With scheme and port.
    pub(super) origin: String,
}

impl Site {
    /// The site at an address. Passkeys belong to names, so one that is a number has none.
    pub(super) fn at(url: &str) -> ApiResult<Self> {
        let wrong = || {
            ApiError::bad(
                "passkeys belong to a name: set public_url, or open the app as localhost instead of by number",
            )
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let authority = rest
            .split('/')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let host = authority.split(':').next().unwrap_or_default();
        let is_number = host.is_empty()
            || authority.starts_with('[')
            || host.parse::<std::net::Ipv4Addr>().is_ok();
        if is_number {
            return Err(wrong());
        }
        Ok(Self {
            rp_id: host.to_owned(),
            origin: format!("{scheme}://{authority}"),
        })
    }
}

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// To log in.
    Login,
    /// To add a passkey to this account.
    Register(&'a str),
}

impl Purpose<'_> {
    fn text(self) -> String {
        match self {
            Self::Login => "login".to_owned(),
            Self::Register(user_id) => format!("register {user_id}"),
        }
    }
}

/// A challenge and the ticket by which this server knows it again.
pub(super) fn challenge(secret: &str, purpose: Purpose<'_>) -> ApiResult<(String, String)> {
    let challenge = token::new()?;
    let until = now_ms() + CEREMONY_S * 1000;
    Ok((
        challenge.clone(),
        ticket(secret, purpose, &challenge, until),
    ))
}

fn ticket(secret: &str, purpose: Purpose<'_>, challenge: &str, until: i64) -> String {
    let purpose = purpose.text();
    let signed = token::sign(secret, &format!("passkey {purpose} {challenge} {until}"));
    format!("{challenge}.{until}.{signed}")
}

/// The challenge of a ticket, and until when it counts; `None`: not this server's, for something else,
/// or over.
pub(super) fn redeem<'a>(
    secret: &str,
    purpose: Purpose<'_>,
    given: &'a str,
) -> Option<(&'a str, i64)> {
    let mut parts = given.splitn(3, '.');
    let (challenge, until) = (parts.next()?, parts.next()?.parse().ok()?);
    let right = ticket(secret, purpose, challenge, until);
    (token::equal(given, &right) && until >= now_ms()).then_some((challenge, until))
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
}

/// What the authenticator says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    pub(super) counter: u32,
    /// Its name for itself, when it is new.
    pub(super) credential: Option<&'a [u8]>,
}

/// Checks what the browser says: `kind` is `webauthn.create` or `webauthn.get`.
pub(super) fn check_client(json: &[u8], kind: &str, challenge: &str, site: &Site) -> ApiResult<()> {
    let wrong = |what: &str| ApiError::invalid("client_data", what);
    let data: ClientData = serde_json::from_slice(json).map_err(|_| wrong("it cannot be read"))?;
    if data.kind != kind {
        return Err(wrong("it is of another ceremony"));
    }
    if !token::equal(&data.challenge, challenge) {
        return Err(wrong("it answers another challenge"));
    }
    if data.origin != site.origin || data.cross_origin {
        return Err(wrong("it is of another site; see public_url"));
    }
    Ok(())
}

/// Checks what the authenticator says.
pub(super) fn check_authenticator<'a>(data: &'a [u8], site: &Site) -> ApiResult<Said<'a>> {
    let wrong = |what: &str| ApiError::invalid("authenticator_data", what);
    let Some((head, rest)) = data.split_at_checked(HEAD_BYTES) else {
        return Err(wrong("it is too short"));
    };
    if head[..32] != Sha256::digest(site.rp_id.as_bytes())[..] {
        return Err(wrong("it is of another site"));
    }
    let flags = head[32];
    if flags & PRESENT == 0 || flags & VERIFIED == 0 {
        return Err(wrong("the authenticator has not made sure who you are"));
    }
    let counter = u32::from_be_bytes([head[33], head[34], head[35], head[36]]);
    let credential = if flags & WITH_CREDENTIAL == 0 {
        None
    } else {
        let length = rest.get(AAGUID_BYTES..AAGUID_BYTES + 2);
        let length = length.map(|l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        let found = length.and_then(|length| rest.get(AAGUID_BYTES + 2..)?.get(..length));
        Some(found.ok_or_else(|| wrong("it is too short"))?)
    };
    Ok(Said {
        counter,
        credential,
    })
}

/// What an authenticator signs.
pub(super) fn signed_message(authenticator_data: &[u8], client_data: &[u8]) -> Vec<u8> {
    [authenticator_data, &Sha256::digest(client_data)].concat()
}

/// Bytes that came as base64url.
pub(super) fn bytes(field: &str, text: &str, most: usize) -> ApiResult<Vec<u8>> {
    let found = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let found = found.filter(|bytes| !bytes.is_empty() && bytes.len() <= most);
    found.ok_or_else(|| {
        ApiError::invalid(field, format!("allowed is base64url of 1 to {most} bytes"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn site() -> Site {
        Site::at("https://Chat.example.org:8443/").unwrap()
    }

    #[test]
    fn a_site_is_a_name() {
        assert_eq!(site().rp_id, "chat.example.org");
        assert_eq!(site().origin, "https://chat.example.org:8443");
        for number in [
            "http://127.0.0.1:8080",
            "http://[::1]:80",
            "nothing",
            "http://",
        ] {
            assert!(Site::at(number).is_err(), "{number}");
        }
    }

    #[test]
    fn a_ticket_is_for_its_purpose_alone() {
        let (challenge, ticket) = challenge("key", Purpose::Register("u1")).unwrap();
        let found = redeem("key", Purpose::Register("u1"), &ticket).unwrap();
        assert_eq!(found.0, challenge);
        assert!(redeem("key", Purpose::Register("u2"), &ticket).is_none());
        assert!(redeem("key", Purpose::Login, &ticket).is_none());
        assert!(redeem("other", Purpose::Register("u1"), &ticket).is_none());
        for broken in [
            "",
            ".",
            "..",
            "a.b.c",
            &ticket[1..],
            &ticket.replace('.', ""),
        ] {
            assert!(redeem("key", Purpose::Register("u1"), broken).is_none());
        }
        let late = super::ticket("key", Purpose::Login, "c", now_ms() - 1);
        assert!(redeem("key", Purpose::Login, &late).is_none());
    }

    #[test]
    fn a_browser_at_another_site_or_with_another_challenge_is_refused() {
        let good = json!({ "type": "webauthn.get", "challenge": "c",
            "origin": "https://chat.example.org:8443", "crossOrigin": false });
        let check = |data: &serde_json::Value| {
            check_client(data.to_string().as_bytes(), "webauthn.get", "c", &site())
        };
        assert!(check(&good).is_ok());
        for (field, value) in [
            ("type", json!("webauthn.create")),
            ("challenge", json!("d")),
            ("origin", json!("https://chat.example.org")),
            (
                "origin",
                json!("https://chat.example.org.evil.example:8443"),
            ),
            ("crossOrigin", json!(true)),
        ] {
            let mut wrong = good.clone();
            wrong[field] = value;
            assert!(check(&wrong).is_err(), "{wrong}");
        }
        assert!(check_client(b"{", "webauthn.get", "c", &site()).is_err());
    }

    #[test]
    fn an_authenticator_that_asked_nobody_is_refused() {
        let mut data = [&Sha256::digest("chat.example.org")[..], &[5, 0, 0, 0, 9]].concat();
        let said = check_authenticator(&data, &site()).unwrap();
        assert_eq!((said.counter, said.credential), (9, None));
        for flags in [0, PRESENT, VERIFIED] {
            data[32] = flags;
            assert!(check_authenticator(&data, &site()).is_err());
        }
        data[32] = PRESENT | VERIFIED | WITH_CREDENTIAL;
        assert!(check_authenticator(&data, &site()).is_err());
        data.extend([0; 16]);
        data.extend([0, 2, 7, 8, 9]);
        let said = check_authenticator(&data, &site()).unwrap();
        assert_eq!(said.credential, Some(&[7, 8][..]));
        data[0] ^= 1;
        assert!(check_authenticator(&data, &site()).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(any::<u8>(), 0..120)) {
            let head = Sha256::digest("chat.example.org").to_vec();
            let _ = check_authenticator(&data, &site());
            let _ = check_authenticator(&[head, data].concat(), &site());
        }
    }
}
