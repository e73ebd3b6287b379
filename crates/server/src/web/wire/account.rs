//! Accounts, sessions, invitations, and what admins see.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terang_store as store;
use utoipa::ToSchema;

/// What somebody may do.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserRole {
    /// Everything.
    Owner,
    /// Looks after accounts.
    Admin,
    /// Uses it.
    Member,
}

impl From<store::UserRole> for UserRole {
    fn from(role: store::UserRole) -> Self {
        match role {
            store::UserRole::Owner => Self::Owner,
            store::UserRole::Admin => Self::Admin,
            store::UserRole::Member => Self::Member,
        }
    }
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// Its identity.
    id: String,
    /// What they are called.
    name: String,
    /// Their address.
    email: Option<String>,
    /// What they may do.
    role: UserRole,
    /// May not log in.
    disabled: bool,
    /// Milliseconds since 1970.
    created_at: i64,
}

impl From<store::User> for User {
    fn from(user: store::User) -> Self {
        Self {
            id: user.id,
            name: user.name,
            email: user.email,
            role: user.role.into(),
            disabled: user.disabled,
            created_at: user.created_at,
        }
    }
}

/// Who the app is for.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebMode {
    /// The one person at this machine; nobody logs in.
    Single,
    /// People with accounts.
    Accounts,
}

/// Who asks, and of what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// `single`: nobody logs in; or `accounts`.
    pub(crate) mode: WebMode,
    /// Nobody can log in yet: the first account is to be made.
    pub(crate) setup_needed: bool,
    /// Making it needs the token from the server's log.
    pub(crate) setup_token_needed: bool,
    /// Who has logged in.
    pub(crate) user: Option<User>,
    /// Their settings.
    #[schema(value_type = Object)]
    pub(crate) settings: Map<String, Value>,
    /// What the identity provider is called that people may log in with.
    pub(crate) oidc: Option<String>,
    /// The server's version.
    pub(crate) version: &'static str,
}

/// The first account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    /// What they are called.
    pub(crate) name: String,
    /// Their address.
    pub(crate) email: String,
    /// Their password.
    pub(crate) password: String,
    /// From the server's log, where it is needed.
    pub(crate) token: Option<String>,
}

/// Logging in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The address.
    pub(crate) email: String,
    /// The password.
    pub(crate) password: String,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// The one so far.
    pub(crate) old: String,
    /// The one from now on.
    pub(crate) new: String,
}

/// Deleting one's account.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leave {
    /// The password, where there is one.
    pub(crate) password: Option<String>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// By which it is revoked.
    pub(crate) id: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// When it was last used, to the minute.
    pub(crate) seen_at: i64,
    /// The browser, as it calls itself.
    pub(crate) agent: String,
    /// It is the one that asks.
    pub(crate) current: bool,
}

/// Sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// The one last seen first.
    pub(crate) sessions: Vec<Session>,
}

/// What an invitation is for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invitation {
    /// What who comes may do.
    pub(crate) role: UserRole,
    /// For whom alone it is.
    pub(crate) email: Option<String>,
}

/// Coming by an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    /// What they are called.
    pub(crate) name: String,
    /// Their address.
    pub(crate) email: String,
    /// Their password.
    pub(crate) password: String,
}

/// An invitation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invite {
    /// `admin` or `member`.
    pub(crate) role: UserRole,
    /// For whom alone it is.
    pub(crate) email: Option<String>,
}

/// An invitation that was made; its token is shown once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invited {
    /// The secret.
    pub(crate) token: String,
    /// The path of the page that takes it.
    pub(crate) url: String,
}

/// All accounts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Users {
    /// The oldest first.
    pub(crate) users: Vec<User>,
}

/// What of an account is to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    /// `admin` or `member`.
    pub(crate) role: Option<UserRole>,
    /// May not log in.
    pub(crate) disabled: Option<bool>,
}

/// What somebody used of a model on a day.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Used {
    /// Who.
    pub(crate) user_id: String,
    /// The day's beginning in UTC, in milliseconds since 1970.
    pub(crate) day: i64,
    /// The model.
    pub(crate) model: String,
    /// Answers.
    pub(crate) requests: i64,
    /// Tokens of prompts.
    pub(crate) prompt_tokens: i64,
    /// Tokens of answers.
    pub(crate) completion_tokens: i64,
}

/// What everybody used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllUsed {
    /// The newest day first.
    pub(crate) usage: Vec<Used>,
}

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    /// Its place, for `before`.
    pub(crate) id: i64,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    /// Who did it.
    pub(crate) user_id: Option<String>,
    /// What was done.
    pub(crate) action: String,
    /// To whom or what.
    pub(crate) target: Option<String>,
    /// From where.
    pub(crate) address: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Audit {
    /// The newest first.
    pub(crate) entries: Vec<AuditEntry>,
}

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerHealth {
    /// The database answers.
    pub(crate) database: bool,
    /// `sqlite` or `postgres`.
    pub(crate) database_kind: &'static str,
    /// The first model can answer.
    pub(crate) model: bool,
    /// Answers that are being made.
    pub(crate) answers: usize,
    /// Milliseconds since 1970, when the server started.
    pub(crate) started_at: i64,
    /// The server's version.
    pub(crate) version: &'static str,
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    /// By which it is revoked.
    pub(crate) id: String,
    /// What it is for.
    pub(crate) name: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// The key itself, once: when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) secret: Option<String>,
    /// Answers so far.
    pub(crate) requests: u64,
    /// Tokens of prompts so far.
    pub(crate) prompt_tokens: u64,
    /// Tokens of answers so far.
    pub(crate) completion_tokens: u64,
}

/// API keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Keys {
    /// In the order in which they were made.
    pub(crate) keys: Vec<Key>,
}

/// An API key to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// What it is for.
    pub(crate) name: String,
}

/// One's identities.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Identities {
    /// The oldest first.
    pub(crate) identities: Vec<Identity>,
}

/// An identity at a provider, by which one may log in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Identity {
    /// By which it is taken off.
    pub(crate) id: String,
    /// The provider.
    pub(crate) issuer: String,
    /// What one is called there.
    pub(crate) label: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// What a challenge is to be for.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChallengeFor {
    /// To log in.
    Login,
    /// To add a passkey to one's account.
    Register,
}

/// Asks for a challenge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskChallenge {
    /// What for.
    pub(crate) purpose: ChallengeFor,
}

/// A challenge for an authenticator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ceremony {
    /// What is to be signed, as base64url.
    pub(crate) challenge: String,
    /// Comes back with the answer.
    pub(crate) ticket: String,
    /// The name that passkeys of this server belong to.
    pub(crate) rp_id: String,
    /// COSE's numbers of the algorithms that are taken, the one liked best first.
    pub(crate) algorithms: Vec<i64>,
    /// Milliseconds within which the answer counts.
    pub(crate) timeout_ms: i64,
}

/// A new passkey. Bytes are base64url.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPasskey {
    /// What its owner calls it.
    pub(crate) name: String,
    /// That of the challenge.
    pub(crate) ticket: String,
    /// `clientDataJSON`.
    pub(crate) client_data: String,
    /// `getAuthenticatorData()`.
    pub(crate) authenticator_data: String,
    /// `getPublicKey()`.
    pub(crate) public_key: String,
    /// `getPublicKeyAlgorithm()`.
    pub(crate) algorithm: i64,
}

/// An answer to a challenge. Bytes are base64url.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyLogin {
    /// That of the challenge.
    pub(crate) ticket: String,
    /// The credential's identity.
    pub(crate) credential: String,
    /// `clientDataJSON`.
    pub(crate) client_data: String,
    /// `authenticatorData`.
    pub(crate) authenticator_data: String,
    /// `signature`.
    pub(crate) signature: String,
}

/// One's passkeys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Passkeys {
    /// The oldest first.
    pub(crate) passkeys: Vec<Passkey>,
}

/// A passkey.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Passkey {
    /// By which it is taken off.
    pub(crate) id: String,
    /// What its owner calls it.
    pub(crate) name: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// When it was last used.
    pub(crate) used_at: Option<i64>,
}
