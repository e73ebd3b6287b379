//! One suite for both databases: every test runs on SQLite and, where it is installed, on a
//! PostgreSQL of the tests' own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod chats;
mod embeds;
mod kept;
mod knowledge;
mod opening;
#[cfg(unix)]
mod postgres;
mod search;
mod tools;

use terang_store::{Message, NewUser, Role, Status, Store, User, UserRole};

/// Runs a test on each kind of database.
pub(crate) fn on_both<F>(test: impl Fn(Store) -> F)
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_file(&folder.path().join("store.db")).await;
        let store = store.unwrap();
        test(store.clone()).await;
        store.verify().await.unwrap();
        store.close().await;
        #[cfg(unix)]
        if let Some(cluster) = postgres::cluster() {
            let store = Store::open(&cluster.database()).await.unwrap();
            test(store.clone()).await;
            store.close().await;
        }
    });
}

/// An account called `name`.
pub(crate) async fn account(store: &Store, name: &str) -> User {
    let email = format!("{name}@example.org");
    let new = NewUser {
        name,
        email: Some(&email),
        password: Some("digest"),
        role: UserRole::Member,
    };
    store.create_user(new).await.unwrap()
}

/// A question.
pub(crate) fn question(id: &str, parent: Option<&str>, content: &str, chat: &str) -> Message {
    Message {
        id: id.to_owned(),
        chat_id: chat.to_owned(),
        parent_id: parent.map(str::to_owned),
        role: Role::User,
        content: content.to_owned(),
        status: Status::Done,
        error: None,
        model: None,
        attachments: "[]".to_owned(),
        usage: None,
        sources: None,
        created_at: 0,
    }
}
