//! What the handlers of the web app share.

use std::sync::Arc;
use std::time::Duration;

use terang_documents::isolated;
use terang_store::{Store, StoreError, User, now_ms};
use tokio::sync::{Notify, Semaphore};

use super::answering::Answering;
use super::attempts::Attempts;
use super::reading::Reading;
use super::tools::Tools;
use super::{oidc, passkeys, token};
use crate::error::ApiResult;

/// Passwords that are hashed at once: each takes a core and 19 MiB for a moment.
const HASHING_MAX: usize = 2;
/// Who makes an answer says so at least this often; one that has not for longer has died.
pub(super) const ANSWER_LOST_MS: i64 = 30_000;
/// Temporary chats are forgotten so long after their last message.
const TEMPORARY_MS: i64 = 24 * 3_600_000;
/// Files that were attached and never sent are forgotten so long after they came.
const UNSENT_MS: i64 = 7 * 24 * 3_600_000;
/// How much further back such files are looked for: not at all of them, each time.
const UNSENT_LOOKED_AT_MS: i64 = 30 * 24 * 3_600_000;
/// A session that is not used ends after this, and any after [`SESSION_MS`].
pub(super) const SESSION_UNUSED_MS: i64 = 30 * 24 * 3_600_000;
pub(super) const SESSION_MS: i64 = 180 * 24 * 3_600_000;

/// Who the app is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The one person at this machine; nobody logs in.
    Single,
    /// People with accounts.
    Accounts,
}

/// The web app's state.
pub(crate) struct Web {
    pub(crate) store: Store,
    pub(crate) mode: Mode,
    pub(super) attempts: Attempts,
    pub(super) hashing: Semaphore,
    pub(super) oidc: oidc::Provider,
    pub(super) answered: passkeys::Answered,
    pub(super) answering: Arc<Answering>,
    /// Reads what people upload.
    pub(super) reading: Reading,
    /// Tells that a document waits to be read.
    pub(super) to_read: Notify,
    pub(crate) tools: Tools,
    /// Needed to set up, where others than the person at this machine can reach it.
    pub(super) setup_token: Option<String>,
    /// Signs what browsers keep.
    pub(super) secret: String,
    /// The one person of [`Mode::Single`].
    pub(super) sole: Option<User>,
}

impl Web {
    /// Opens the state. `reachable`: others than the person at this machine can reach it.
    pub(crate) async fn open(
        store: Store,
        documents: isolated::Reader,
        accounts: bool,
        reachable: bool,
    ) -> Result<Self, StoreError> {
        // A machine on which people have accounts does not open one of them to whoever comes.
        let has_accounts = store.has_accounts().await?;
        let mode = if accounts || reachable || has_accounts {
            Mode::Accounts
        } else {
            Mode::Single
        };
        let secret = token::new().map_err(|error| StoreError::Damaged(error.message))?;
        let setup = token::new().map_err(|error| StoreError::Damaged(error.message))?;
        let secret = store.setting_or("secret", &secret).await?;
        let sole = match mode {
            Mode::Single => Some(store.sole_owner("Owner").await?),
            Mode::Accounts => None,
        };
        // With nobody else at the file, whatever is unfinished is by one that died.
        let lost = if store.is_alone() {
            i64::MAX
        } else {
            now_ms() - ANSWER_LOST_MS
        };
        let cut = store.cut_answers(lost).await?;
        if cut > 0 {
            tracing::warn!(answers = cut, "were cut when the server died");
        }
        let needs_token = mode == Mode::Accounts && !has_accounts && reachable;
        Ok(Self {
            store,
            mode,
            attempts: Attempts::default(),
            hashing: Semaphore::new(HASHING_MAX),
            oidc: oidc::Provider::default(),
            answered: passkeys::Answered::default(),
            answering: Arc::default(),
            reading: Reading::new(documents),
            to_read: Notify::new(),
            tools: Tools::default(),
            setup_token: needs_token.then_some(setup),
            secret,
            sole,
        })
    }

    /// What the first person to come needs, where it needs anything.
    pub(crate) fn setup_token(&self) -> Option<&str> {
        self.setup_token.as_deref()
    }

    pub(super) async fn setup_needed(&self) -> ApiResult<bool> {
        Ok(self.mode == Mode::Accounts && !self.store.has_accounts().await?)
    }

    /// Waits until no answer is made any more, at most so long. False: some still are.
    pub(crate) async fn idle(&self, within: Duration) -> bool {
        self.answering.idle(within).await
    }

    /// What is to be done now and then.
    pub(crate) async fn tidy(&self) -> Result<(), StoreError> {
        let now = now_ms();
        self.store.cut_answers(now - ANSWER_LOST_MS).await?;
        self.store.forget_temporary(now - TEMPORARY_MS).await?;
        let unsent = now - UNSENT_MS;
        let since = unsent - UNSENT_LOOKED_AT_MS;
        self.store.forget_unsent(since, unsent).await?;
        self.store.forget_expired(now - SESSION_UNUSED_MS).await?;
        self.store.forget_embed_sessions().await?;
        self.store.trim_audit().await
    }
}
