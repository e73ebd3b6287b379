//! What the identity provider is asked, and what of its answers is believed (OpenID Connect Core 1.0,
//! Discovery 1.0). Its tokens come from itself over TLS, with which their issuer is proved
//! (Core, 3.1.3.7, 6), so that no signatures are checked here; over plain HTTP it may only be on this
//! machine.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use crate::config::{Config, is_loopback_url};

const TIMEOUT: Duration = Duration::from_secs(10);
const BODY_BYTES_MAX: u64 = 256 << 10;
const SUBJECT_BYTES_MAX: usize = 255;
/// Clocks differ.
const LEEWAY_S: i64 = 60;

/// What went wrong between the provider and this server. It is for the log: it holds no token.
#[derive(Debug, thiserror::Error)]
#[error("{asked}: {reason}")]
pub(super) struct ProviderError {
    /// What was asked for.
    asked: &'static str,
    reason: String,
}

fn wrong(asked: &'static str, reason: impl Into<String>) -> ProviderError {
    ProviderError {
        asked,
        reason: reason.into(),
    }
}

/// Where the provider takes questions.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Who came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) subject: String,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    /// The provider has seen that the address is theirs.
    pub(super) email_verified: bool,
}

/// Asks where the provider takes questions.
pub(super) fn discover(agent: &Agent, issuer: &str) -> Result<Endpoints, ProviderError> {
    let asked = "discovery";
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let request = agent
        .get(url)
        .config()
        .timeout_global(Some(TIMEOUT))
        .build();
    let found: Endpoints = read(asked, request.call())?;
    // Another's document would lead to another's tokens.
    if found.issuer != issuer {
        return Err(wrong(asked, "the document is of another issuer"));
    }
    let urls = [&found.authorization_endpoint, &found.token_endpoint];
    for url in urls.into_iter().chain(&found.userinfo_endpoint) {
        let is_plain = is_loopback_url(issuer) && is_loopback_url(url);
        if !url.starts_with("https://") && !is_plain {
            return Err(wrong(asked, "an endpoint is not https"));
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: String,
}

/// Redeems a code; gives who came.
pub(super) fn redeem(
    agent: &Agent,
    config: &Config,
    at: &Endpoints,
    code: &str,
    (verifier, nonce, redirect_uri): (&str, &str, &str),
    now_s: i64,
) -> Result<Who, ProviderError> {
    let asked = "token";
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", verifier),
    ];
    let (id, secret) = (&config.oidc_client_id, config.oidc_client_secret.reveal());
    let mut request = agent
        .post(&at.token_endpoint)
        .config()
        .timeout_global(Some(TIMEOUT))
        .build();
    // Basic is what a provider supports that names nothing.
    let methods = at.token_endpoint_auth_methods_supported.as_ref();
    let takes = |name: &str| methods.is_none_or(|all| all.iter().any(|method| method == name));
    if !secret.is_empty() && takes("client_secret_basic") {
        let pair = format!("{}:{}", form_encoded(id), form_encoded(secret));
        request = request.header("Authorization", format!("Basic {}", STANDARD.encode(pair)));
    } else {
        form.push(("client_id", id));
        if !secret.is_empty() {
            form.push(("client_secret", secret));
        }
    }
    let tokens: Tokens = read(asked, request.send_form(form))?;
    let claims = claims(&tokens.id_token, config, nonce, now_s)?;
    let Some(url) = &at.userinfo_endpoint else {
        return who("token", &claims);
    };
    let asked = "userinfo";
    let request = agent
        .get(url)
        .config()
        .timeout_global(Some(TIMEOUT))
        .build()
        .header("Authorization", format!("Bearer {}", tokens.access_token));
    let told: Value = read(asked, request.call())?;
    if told["sub"] != claims["sub"] {
        return Err(wrong(asked, "it is of another person than the token"));
    }
    who(asked, &told)
}

/// The claims of a token that is meant for this server and this journey (Core, 3.1.3.7).
fn claims(
    id_token: &str,
    config: &Config,
    nonce: &str,
    now_s: i64,
) -> Result<Value, ProviderError> {
    let no = |reason: &str| wrong("token", reason);
    let part = |part: Option<&str>| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part?).ok()?).ok()
    };
    let mut parts = id_token.split('.');
    let head = part(parts.next()).ok_or_else(|| no("its head cannot be read"))?;
    let claims = part(parts.next()).ok_or_else(|| no("its claims cannot be read"))?;
    if head["alg"]
        .as_str()
        .is_none_or(|alg| alg.eq_ignore_ascii_case("none"))
    {
        return Err(no("it is not signed"));
    }
    if claims["iss"] != config.oidc_issuer.as_str() {
        return Err(no("it is of another issuer"));
    }
    let client = config.oidc_client_id.as_str();
    let meant = match &claims["aud"] {
        Value::String(one) => one == client,
        Value::Array(all) => {
            all.iter().any(|one| one == client) && (all.len() == 1 || claims["azp"] == client)
        }
        _ => false,
    };
    if !meant {
        return Err(no("it is meant for another client"));
    }
    if claims["exp"]
        .as_i64()
        .is_none_or(|at| at + LEEWAY_S < now_s)
    {
        return Err(no("it is over"));
    }
    if claims["nonce"] != nonce {
        return Err(no("it was made for another journey"));
    }
    Ok(claims)
}

fn who(asked: &'static str, claims: &Value) -> Result<Who, ProviderError> {
    let text = |name: &str| {
        let found = claims[name].as_str().map(str::trim);
        found.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let subject = text("sub").filter(|subject| subject.len() <= SUBJECT_BYTES_MAX);
    Ok(Who {
        subject: subject.ok_or_else(|| wrong(asked, "it names nobody"))?,
        name: text("name").or_else(|| text("preferred_username")),
        email: text("email").map(|email| email.to_lowercase()),
        // Some providers write it as text.
        email_verified: claims["email_verified"] == true || claims["email_verified"] == "true",
    })
}

/// The JSON of an answer of bounded size. What stands in a refusal may hold a token: it is not told.
fn read<T: DeserializeOwned>(
    asked: &'static str,
    answer: Result<Response<ureq::Body>, ureq::Error>,
) -> Result<T, ProviderError> {
    let mut answer = answer.map_err(|error| wrong(asked, error.to_string()))?;
    if answer.status() != 200 {
        return Err(wrong(asked, format!("status {}", answer.status().as_u16())));
    }
    let body = answer.body_mut().with_config().limit(BODY_BYTES_MAX);
    let body = body
        .read_to_vec()
        .map_err(|e| wrong(asked, e.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        wrong(
            asked,
            format!("the answer is not what was asked for (line {line}, column {column})"),
        )
    })
}

/// As forms and addresses have it.
pub(super) fn form_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config() -> Config {
        Config {
            oidc_issuer: "https://id.example.org".to_owned(),
            oidc_client_id: "terang".to_owned(),
            ..Config::default()
        }
    }

    fn token(alg: &str, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({ "alg": alg })), part(claims))
    }

    fn good() -> Value {
        json!({ "iss": "https://id.example.org", "aud": "terang", "exp": 1000, "nonce": "n", "sub": "7" })
    }

    #[test]
    fn a_token_for_this_server_and_journey_is_believed() {
        for aud in [json!("terang"), json!(["terang"])] {
            let mut right = good();
            right["aud"] = aud;
            assert!(claims(&token("RS256", &right), &config(), "n", 1050).is_ok());
        }
        let mut several = good();
        several["aud"] = json!(["other", "terang"]);
        assert!(claims(&token("RS256", &several), &config(), "n", 900).is_err());
        several["azp"] = json!("terang");
        assert!(claims(&token("RS256", &several), &config(), "n", 900).is_ok());
    }

    #[test]
    fn no_other_token_is() {
        for (field, value) in [
            ("iss", json!("https://id.example.org/")),
            ("iss", json!(null)),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!({ "terang": 1 })),
            ("exp", json!(100)),
            ("exp", json!("9999")),
            ("nonce", json!("m")),
            ("nonce", json!(null)),
        ] {
            let mut wrong = good();
            wrong[field] = value.clone();
            let found = claims(&token("RS256", &wrong), &config(), "n", 900);
            assert!(found.is_err(), "{field}: {value}");
        }
        for alg in ["none", "None", "NONE"] {
            assert!(claims(&token(alg, &good()), &config(), "n", 900).is_err());
        }
        for broken in ["", "..", "a.b.c", "e30.e30.e30", &"x".repeat(100_000)] {
            assert!(claims(broken, &config(), "n", 900).is_err());
        }
    }

    #[test]
    fn who_came_is_named_or_refused() {
        let told = json!({ "sub": "7", "preferred_username": "ann", "email": " Ann@Example.org ",
            "email_verified": "true" });
        let found = who("userinfo", &told).unwrap();
        assert_eq!(found.email.as_deref(), Some("ann@example.org"));
        assert_eq!(
            (found.name.as_deref(), found.email_verified),
            (Some("ann"), true)
        );
        for nobody in [
            json!({}),
            json!({ "sub": "" }),
            json!({ "sub": "x".repeat(256) }),
        ] {
            assert!(who("userinfo", &nobody).is_err());
        }
        let unsure = json!({ "sub": "7", "email": "a@b.c", "email_verified": 1 });
        assert!(!who("userinfo", &unsure).unwrap().email_verified);
    }
}
