//! Passkeys (Web Authentication): logging in with what a device or a security key holds. The
//! authenticator makes sure who it is by itself, so a passkey is enough to log in, without an address.

mod ceremony;
mod key;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use terang_store::{Credential, now_ms};

use self::ceremony::{CEREMONY_S, Purpose, Site};
use super::account::{accounts_only, begin_session, hold_up, record};
use super::attempts::Place;
use super::text;
use super::visitor::{Person, Visitor, nobody};
use super::wire::{
    AskChallenge, Ceremony, ChallengeFor, DONE, Done, Me, NewPasskey, Passkey, PasskeyLogin,
    Passkeys,
};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;

const NAME_CHARS_MAX: usize = 80;
const CREDENTIAL_BYTES_MAX: usize = 1023;
const KEY_BYTES_MAX: usize = 1100;
const DATA_BYTES_MAX: usize = 4096;
/// Challenges that were answered and are not over yet; when there are more, nobody logs in this way.
const ANSWERED_MAX: usize = 10_000;

/// Challenges that were answered: each counts once.
#[derive(Debug, Default)]
pub(super) struct Answered(Mutex<HashMap<String, i64>>);

impl Answered {
    /// Whether it is the first answer to this challenge.
    fn first(&self, challenge: &str, until: i64) -> bool {
        let mut answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now_ms();
        answered.retain(|_, until| *until >= now);
        answered.len() < ANSWERED_MAX && answered.insert(challenge.to_owned(), until).is_none()
    }
}

/// The site that people see: as it is set, or as they have asked for it.
fn site(app: &App, headers: &HeaderMap) -> ApiResult<Site> {
    if !app.config.public_url.is_empty() {
        return Site::at(&app.config.public_url);
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let scheme = if app.tls.is_some() { "https" } else { "http" };
    Site::at(&format!("{scheme}://{}", host.unwrap_or_default()))
}

fn refused() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "authentication_error",
        Some("wrong_passkey"),
        "no account here has this passkey, or it has not signed what it was asked to",
    )
}

fn over() -> ApiError {
    ApiError::invalid(
        "ticket",
        "it is over or was used; ask for another challenge",
    )
}

/// Gives a challenge for an authenticator to sign.
#[utoipa::path(post, path = "/api/passkeys/challenge", tag = "account", request_body = AskChallenge,
    responses((status = 200, description = "the challenge", body = Ceremony),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn challenge(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Json(wanted): Json<AskChallenge>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let site = site(&app, &headers)?;
    let user = visitor.user.as_ref().map(|user| user.id.clone());
    let purpose = match (wanted.purpose, &user) {
        (ChallengeFor::Login, _) => Purpose::Login,
        (ChallengeFor::Register, Some(user_id)) => Purpose::Register(user_id),
        (ChallengeFor::Register, None) => return Err(nobody()),
    };
    let (challenge, ticket) = ceremony::challenge(&app.web.secret, purpose)?;
    Ok(json_body(&Ceremony {
        challenge,
        ticket,
        rp_id: site.rp_id,
        algorithms: key::ALGORITHMS.to_vec(),
        timeout_ms: CEREMONY_S * 1000,
    }))
}

/// Adds a passkey to one's account.
#[utoipa::path(post, path = "/api/passkeys", tag = "account", request_body = NewPasskey,
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Json(new): Json<NewPasskey>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let site = site(&app, &headers)?;
    let name = text::line("name", &new.name, NAME_CHARS_MAX)?;
    let purpose = Purpose::Register(&user.id);
    let secret = &app.web.secret;
    let (challenge, until) = ceremony::redeem(secret, purpose, &new.ticket).ok_or_else(over)?;
    let client = ceremony::bytes("client_data", &new.client_data, DATA_BYTES_MAX)?;
    ceremony::check_client(&client, "webauthn.create", challenge, &site)?;
    let field = "authenticator_data";
    let data = ceremony::bytes(field, &new.authenticator_data, DATA_BYTES_MAX)?;
    let said = ceremony::check_authenticator(&data, &site)?;
    let credential = said
        .credential
        .filter(|credential| credential.len() <= CREDENTIAL_BYTES_MAX);
    let credential =
        credential.ok_or_else(|| ApiError::invalid(field, "it holds no new passkey"))?;
    let spki = ceremony::bytes("public_key", &new.public_key, KEY_BYTES_MAX)?;
    let key = key::inner(new.algorithm, &spki).ok_or_else(|| {
        ApiError::invalid(
            "public_key",
            "allowed are keys of the algorithms of the challenge",
        )
    })?;
    if !app.web.answered.first(challenge, until) {
        return Err(over());
    }
    let known = Credential {
        credential: URL_SAFE_NO_PAD.encode(credential),
        algorithm: new.algorithm,
        public_key: URL_SAFE_NO_PAD.encode(key),
        counter: i64::from(said.counter),
    };
    app.web.store.add_passkey(&user.id, &name, &known).await?;
    record(&app, Some(&user.id), "passkey_added", None, &visitor).await?;
    Ok(json_body(&DONE))
}

/// Lists one's passkeys.
#[utoipa::path(get, path = "/api/passkeys", tag = "account",
    responses((status = 200, description = "one's passkeys", body = Passkeys)))]
pub(crate) async fn list(State(app): State<Arc<App>>, Person(user): Person) -> ApiResult<Response> {
    let found = app.web.store.passkeys(&user.id).await?.into_iter();
    let passkeys = found.map(|passkey| Passkey {
        id: passkey.id,
        name: passkey.name,
        created_at: passkey.created_at,
        used_at: passkey.used_at,
    });
    Ok(json_body(&Passkeys {
        passkeys: passkeys.collect(),
    }))
}

/// Takes a passkey off one's account.
#[utoipa::path(delete, path = "/api/passkeys/{id}", tag = "account",
    params(("id" = String, Path, description = "the passkey")),
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.remove_passkey(&user.id, &id).await?;
    record(&app, Some(&user.id), "passkey_removed", None, &visitor).await?;
    Ok(json_body(&DONE))
}

/// Logs in with a passkey.
#[utoipa::path(post, path = "/api/passkeys/login", tag = "account", request_body = PasskeyLogin,
    responses((status = 200, description = "who has logged in", body = Me),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Json(login): Json<PasskeyLogin>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let web = &app.web;
    let site = site(&app, &headers)?;
    let redeemed = ceremony::redeem(&web.secret, Purpose::Login, &login.ticket);
    let (challenge, until) = redeemed.ok_or_else(over)?;
    let client = ceremony::bytes("client_data", &login.client_data, DATA_BYTES_MAX)?;
    ceremony::check_client(&client, "webauthn.get", challenge, &site)?;
    let field = "authenticator_data";
    let data = ceremony::bytes(field, &login.authenticator_data, DATA_BYTES_MAX)?;
    let said = ceremony::check_authenticator(&data, &site)?;
    let signature = ceremony::bytes("signature", &login.signature, KEY_BYTES_MAX)?;
    let credential = ceremony::bytes("credential", &login.credential, CREDENTIAL_BYTES_MAX)?;
    let credential = URL_SAFE_NO_PAD.encode(credential);
    // Guesses at one passkey slow down nobody who has another.
    let place = Place {
        address: &visitor.address,
        device: None,
        email: &credential[..credential.len().min(254)],
    };
    hold_up(web.attempts.begin(place))?;
    let found = web.store.user_by_passkey(&credential).await?;
    let (user, known) = found.ok_or_else(refused)?;
    let public_key = URL_SAFE_NO_PAD
        .decode(&known.public_key)
        .unwrap_or_default();
    let message = ceremony::signed_message(&data, &client);
    let is_signed = key::is_signed(known.algorithm, &public_key, &message, &signature);
    if !is_signed || user.disabled || !web.answered.first(challenge, until) {
        record(
            &app,
            Some(&user.id),
            "login_failed",
            Some("passkey"),
            &visitor,
        )
        .await?;
        return Err(refused());
    }
    if !web
        .store
        .use_passkey(&credential, i64::from(said.counter))
        .await?
    {
        tracing::warn!(
            user = user.id,
            "a passkey counts backwards: there may be a copy of it"
        );
        record(&app, Some(&user.id), "passkey_copied", None, &visitor).await?;
        return Err(refused());
    }
    web.attempts.succeeded(place);
    record(&app, Some(&user.id), "login", Some("passkey"), &visitor).await?;
    begin_session(&app, &headers, user).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_answered_once() {
        let answered = Answered::default();
        let until = now_ms() + 60_000;
        assert!(answered.first("a", until));
        assert!(!answered.first("a", until));
        assert!(answered.first("b", now_ms() - 1));
        assert!(answered.first("c", until));
        assert_eq!(answered.0.lock().unwrap().len(), 2);
    }
}
