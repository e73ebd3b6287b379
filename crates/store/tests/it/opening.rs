//! Opening: the schema, names of databases, a copy of a running one, and many at once.

use terang_store::{NewChat, Store, StoreError};

use crate::{account, on_both};

/// Runs a statement on a file behind the store's back.
async fn sqlite(path: &std::path::Path, sql: &'static str) -> Result<(), sqlx::Error> {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await
}

#[test]
fn opening_again_changes_nothing_and_a_newer_schema_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/store.db");
        let first = Store::open_file(&path).await.unwrap();
        let user = account(&first, "ann").await;
        first.close().await;
        // The file's lock goes with the value.
        drop(first);
        let again = Store::open_file(&path).await.unwrap();
        assert_eq!(again.user(&user.id).await.unwrap(), user);
        assert!(again.is_alone());
        let beside = Store::open_file(&path).await.unwrap();
        assert!(!beside.is_alone());
        beside.close().await;
        again.close().await;
        drop((again, beside));
        let newer = sqlite(&path, "INSERT INTO migrations VALUES (999, 0)").await;
        newer.unwrap();
        let error = Store::open_file(&path).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { found: 999, .. }),
            "{error}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    });
}

#[test]
fn what_is_no_database_is_refused_without_its_password() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for url in ["", "mysql://me:secret@host/db", "store.db"] {
            let error = Store::open(url).await.unwrap_err();
            assert!(matches!(error, StoreError::Url(_)), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(
            &path,
            "this is no database, however long it is made".repeat(40),
        )
        .unwrap();
        let error = Store::open_file(&path).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error}");
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(kept.starts_with("this is no database"));
    });
}

#[test]
fn a_copy_of_a_running_file_is_whole() {
    on_both(async |store| {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy.db");
        let user = account(&store, "ann").await;
        let new = NewChat {
            title: "kept",
            ..NewChat::default()
        };
        let chat = store.create_chat(&user.id, new).await.unwrap();
        if store.dialect() == terang_store::Dialect::Postgres {
            let error = store.backup(&copy).await.unwrap_err();
            assert!(error.to_string().contains("pg_dump"), "{error}");
            return;
        }
        store.backup(&copy).await.unwrap();
        store.delete_chat(&user.id, &chat.id).await.unwrap();
        let copied = Store::open_file(&copy).await.unwrap();
        assert_eq!(copied.chat(&user.id, &chat.id).await.unwrap(), chat);
        copied.verify().await.unwrap();
        // A second copy does not write over the first.
        assert!(store.backup(&copy).await.is_err());
        copied.close().await;
    });
}

#[test]
fn many_who_write_at_once_all_succeed() {
    on_both(async |store| {
        let user = account(&store, "ann").await;
        let tasks: Vec<_> = (0..40)
            .map(|number| {
                let (store, user) = (store.clone(), user.id.clone());
                tokio::spawn(async move {
                    let title = format!("chat {number}");
                    let new = NewChat {
                        title: &title,
                        ..NewChat::default()
                    };
                    store.create_chat(&user, new).await.unwrap();
                    store.setting_or("secret", &title).await.unwrap()
                })
            })
            .collect();
        let mut settings = std::collections::BTreeSet::new();
        for task in tasks {
            settings.insert(task.await.unwrap());
        }
        assert_eq!(settings.len(), 1, "{settings:?}");
        assert_eq!(store.chat_ids(&user.id).await.unwrap().len(), 40);
    });
}
