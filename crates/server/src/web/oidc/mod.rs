//! Logging in with an identity provider (OpenID Connect, the authorization code flow with PKCE), and the
//! identities of an account.
//!
//! Who an identity belongs to is decided by the provider's own name for the person, never by an address:
//! whoever has somebody's address at a provider does not get their account here.

mod journey;
mod provider;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use terang_store::{NewUser, Subject, User, UserRole, now_ms};
use tokio::sync::{Mutex, Semaphore};

use self::journey::{JOURNEY_S, Journey};
use self::provider::{Endpoints, Who, form_encoded};
use super::account::{add_cookie, begin, record};
use super::text;
use super::visitor::{Person, Visitor, cookie, nobody};
use super::wire::{DONE, Done, Identities, Identity};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::outgoing;

const COOKIE: &str = "terang_oidc";
/// Where the provider's answers about itself are asked for again.
const DISCOVERED_FOR: Duration = Duration::from_hours(1);
/// Questions to the provider at once; each takes a thread.
const ASKING_MAX: usize = 4;
const NAME_CHARS_MAX: usize = 80;
/// Characters of a code and a state that are looked at.
const PARAMETER_CHARS_MAX: usize = 4096;

/// What is known of the provider.
#[derive(Debug)]
pub(super) struct Provider {
    discovered: Mutex<Option<(Instant, Endpoints)>>,
    asking: Semaphore,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            discovered: Mutex::default(),
            asking: Semaphore::new(ASKING_MAX),
        }
    }
}

/// What the provider is called, where there is one.
pub(super) fn name(app: &App) -> Option<String> {
    is_on(app).then(|| app.config.oidc_name.clone())
}

fn is_on(app: &App) -> bool {
    let config = &app.config;
    let set = [
        &config.oidc_issuer,
        &config.oidc_client_id,
        &config.public_url,
    ];
    app.web.mode == super::state::Mode::Accounts && set.iter().all(|text| !text.is_empty())
}

fn check_on(app: &App) -> ApiResult<()> {
    if is_on(app) {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "oidc_off",
        "this server knows no identity provider; see oidc_issuer in the settings",
    ))
}

fn redirect_uri(app: &App) -> String {
    format!(
        "{}/api/oidc/callback",
        app.config.public_url.trim_end_matches('/')
    )
}

/// Asks the provider something on a thread that may wait.
async fn ask<T: Send + 'static>(
    app: &Arc<App>,
    question: impl FnOnce(&ureq::Agent, &App) -> Result<T, provider::ProviderError> + Send + 'static,
) -> ApiResult<T> {
    let away = || {
        ApiError::unavailable(
            "oidc_unavailable",
            "the identity provider cannot be asked now; try again",
        )
    };
    let Ok(_place) = app.web.oidc.asking.try_acquire() else {
        return Err(away());
    };
    let shared = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || {
        let certificate = std::env::var("SSL_CERT_FILE").ok();
        match outgoing::agent(certificate.as_deref().filter(|path| !path.is_empty())) {
            Ok(agent) => question(&agent, &shared).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    });
    match done.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::error!(error, "the identity provider");
            Err(away())
        }
        Err(_) => Err(ApiError::internal(
            "the identity provider could not be asked",
        )),
    }
}

async fn endpoints(app: &Arc<App>) -> ApiResult<Endpoints> {
    let mut known = app.web.oidc.discovered.lock().await;
    if let Some((at, endpoints)) = known.as_ref()
        && at.elapsed() < DISCOVERED_FOR
    {
        return Ok(endpoints.clone());
    }
    let found = ask(app, |agent, app| {
        provider::discover(agent, &app.config.oidc_issuer)
    })
    .await?;
    *known = Some((Instant::now(), found.clone()));
    Ok(found)
}

/// Sends the browser elsewhere.
fn see(place: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// Sets the cookie of a journey. It has to come along when the provider, another site, sends the browser
/// back: hence `Lax`.
fn carry(app: &App, response: &mut Response, value: &str, age_s: i64) {
    let text = format!("{COOKIE}={value}; HttpOnly; SameSite=Lax; Path=/api/oidc; Max-Age={age_s}");
    add_cookie(app, response, &text);
}

/// How a journey begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// Adds the identity to the account of who asks, instead of logging in.
    #[serde(default)]
    link: bool,
}

/// Sends the browser to the identity provider.
#[utoipa::path(get, path = "/api/oidc/start", tag = "account",
    params(("link" = Option<bool>, Query, description = "add the identity to one's account")),
    responses((status = 303, description = "to the provider"),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn start(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    start: Result<Query<Start>, QueryRejection>,
) -> ApiResult<Response> {
    check_on(&app)?;
    let start = super::chats::query(start)?;
    let user_id = match (start.link, visitor.user) {
        (false, _) => None,
        (true, Some(user)) => Some(user.id),
        (true, None) => return Err(nobody()),
    };
    let endpoints = endpoints(&app).await?;
    let journey = Journey::new(user_id)?;
    let parameters = [
        ("response_type", "code"),
        ("client_id", &app.config.oidc_client_id),
        ("redirect_uri", &redirect_uri(&app)),
        ("scope", "openid email profile"),
        ("state", &journey.state),
        ("nonce", &journey.nonce),
        ("code_challenge", &journey.challenge()),
        ("code_challenge_method", "S256"),
    ];
    let query: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", form_encoded(value)))
        .collect();
    let at = &endpoints.authorization_endpoint;
    let joint = if at.contains('?') { '&' } else { '?' };
    let mut response = see(&format!("{at}{joint}{}", query.join("&")));
    carry(
        &app,
        &mut response,
        &journey.pack(&app.web.secret),
        JOURNEY_S,
    );
    Ok(response)
}

/// What the provider sends the browser back with.
#[derive(Debug, Deserialize)]
pub(crate) struct Arrival {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    error: String,
}

/// Where the identity provider sends the browser back to. What goes wrong is told by the page that the
/// browser is sent on to.
#[utoipa::path(get, path = "/api/oidc/callback", tag = "account",
    params(("code" = Option<String>, Query, description = "the provider's"),
        ("state" = Option<String>, Query, description = "that of the start"),
        ("error" = Option<String>, Query, description = "the provider's")),
    responses((status = 303, description = "to the app, or to the page that tells what is wrong")))]
pub(crate) async fn callback(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    arrival: Result<Query<Arrival>, QueryRejection>,
) -> ApiResult<Response> {
    check_on(&app)?;
    let arrival = super::chats::query(arrival)?;
    let mut response = match arrive(&app, &visitor, &headers, &arrival).await {
        Ok(response) => response,
        Err(error) => {
            let code = error.code.unwrap_or("oidc_failed");
            see(&format!("/login?problem={}", form_encoded(code)))
        }
    };
    carry(&app, &mut response, "", 0);
    Ok(response)
}

async fn arrive(
    app: &Arc<App>,
    visitor: &Visitor,
    headers: &HeaderMap,
    arrival: &Arrival,
) -> ApiResult<Response> {
    let expired = || ApiError::forbidden("oidc_expired", "the log-in took too long; begin again");
    let packed = cookie(headers, COOKIE).ok_or_else(expired)?;
    let long = [&arrival.code, &arrival.state]
        .map(String::len)
        .into_iter()
        .max();
    if packed.len() > PARAMETER_CHARS_MAX || long > Some(PARAMETER_CHARS_MAX) {
        return Err(expired());
    }
    let secret = &app.web.secret;
    let journey = Journey::unpack(secret, packed, &arrival.state).ok_or_else(expired)?;
    if !arrival.error.is_empty() || arrival.code.is_empty() {
        return Err(ApiError::forbidden(
            "oidc_refused",
            "the identity provider did not let you in",
        ));
    }
    let endpoints = endpoints(app).await?;
    let code = arrival.code.clone();
    let back = redirect_uri(app);
    let user_id = journey.user_id.clone();
    let who = ask(app, move |agent, app| {
        let journey = (
            journey.verifier.as_str(),
            journey.nonce.as_str(),
            back.as_str(),
        );
        provider::redeem(
            agent,
            &app.config,
            &endpoints,
            &code,
            journey,
            now_ms() / 1000,
        )
    })
    .await?;
    match user_id {
        Some(user_id) => link(app, visitor, &user_id, &who).await,
        None => log_in(app, visitor, headers, &who).await,
    }
}

async fn link(app: &App, visitor: &Visitor, user_id: &str, who: &Who) -> ApiResult<Response> {
    let store = &app.web.store;
    let linked = store.link_identity(user_id, subject(app, who)).await;
    if matches!(linked, Err(terang_store::StoreError::Conflict(_))) {
        return Ok(see("/settings/security?problem=oidc_taken"));
    }
    linked?;
    record(app, Some(user_id), "identity_added", None, visitor).await?;
    Ok(see("/settings/security"))
}

fn subject<'a>(app: &'a App, who: &'a Who) -> Subject<'a> {
    let label = who.email.as_deref().or(who.name.as_deref());
    Subject {
        issuer: &app.config.oidc_issuer,
        subject: &who.subject,
        label: label.unwrap_or(&who.subject),
    }
}

async fn log_in(
    app: &Arc<App>,
    visitor: &Visitor,
    headers: &HeaderMap,
    who: &Who,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let issuer = &app.config.oidc_issuer;
    let user = match store.user_by_identity(issuer, &who.subject).await? {
        Some(user) if user.disabled => {
            return Err(ApiError::forbidden(
                "oidc_disabled",
                "the account is switched off",
            ));
        }
        Some(user) => user,
        None => newcomer(app, visitor, who).await?,
    };
    record(app, Some(&user.id), "login", Some("oidc"), visitor).await?;
    let mut response = see("/");
    begin(app, headers, &user, &mut response).await?;
    Ok(response)
}

/// An account for somebody who is new here and whose address is in a domain that may come by itself.
async fn newcomer(app: &App, visitor: &Visitor, who: &Who) -> ApiResult<User> {
    let unknown = || {
        ApiError::forbidden(
            "oidc_no_account",
            "nobody here has this identity; log in with a password and add it in the settings",
        )
    };
    let email = who.email.as_deref().filter(|_| who.email_verified);
    let email = text::email("email", email.ok_or_else(unknown)?)?;
    let domain = email.rsplit('@').next().unwrap_or_default();
    let domains = &app.config.oidc_domains;
    let may_come = domains.iter().any(|one| one.eq_ignore_ascii_case(domain));
    // The first account is the owner's, made with the token from the log.
    if !may_come || app.web.setup_needed().await? {
        return Err(unknown());
    }
    let called = who.name.as_deref().unwrap_or(&email);
    let called: String = called
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_CHARS_MAX)
        .collect();
    let new = NewUser {
        name: &called,
        email: Some(&email),
        password: None,
        role: UserRole::Member,
    };
    let made = app
        .web
        .store
        .create_user_by_identity(new, subject(app, who))
        .await;
    let user = match made {
        Err(terang_store::StoreError::Conflict(_)) => {
            return Err(ApiError::forbidden(
                "oidc_email_taken",
                "somebody here has this address; log in with a password and add the identity in the settings",
            ));
        }
        made => made?,
    };
    record(app, Some(&user.id), "account_by_identity", None, visitor).await?;
    Ok(user)
}

/// Lists the identities of one's account.
#[utoipa::path(get, path = "/api/identities", tag = "account",
    responses((status = 200, description = "one's identities", body = Identities)))]
pub(crate) async fn list(State(app): State<Arc<App>>, Person(user): Person) -> ApiResult<Response> {
    let found = app.web.store.identities(&user.id).await?.into_iter();
    let identities = found.map(|identity| Identity {
        id: identity.id,
        issuer: identity.issuer,
        label: identity.label,
        created_at: identity.created_at,
    });
    Ok(json_body(&Identities {
        identities: identities.collect(),
    }))
}

/// Takes an identity off one's account.
#[utoipa::path(delete, path = "/api/identities/{id}", tag = "account",
    params(("id" = String, Path, description = "the identity")),
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn unlink(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.unlink_identity(&user.id, &id).await?;
    record(&app, Some(&user.id), "identity_removed", None, &visitor).await?;
    Ok(json_body(&DONE))
}
