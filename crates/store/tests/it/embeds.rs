//! Applications of others, and who comes through them.

use terang_store::{Embed, EmbedChange, Store, StoreError, UserRole, now_ms};

use crate::{account, on_both};

async fn made(store: &Store, name: &str) -> Embed {
    let new = Embed {
        id: String::new(),
        name: name.to_owned(),
        algorithm: "HS256".to_owned(),
        verify_key: "secret".to_owned(),
        origins: "[\"https://shop.example\"]".to_owned(),
        assistants: "[]".to_owned(),
        disabled: false,
        made_by: "admin".to_owned(),
        created_at: 0,
    };
    store.create_embed(&new).await.unwrap()
}

#[test]
fn a_subject_is_one_account_of_one_application_and_nobody_elses() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let (shop, school) = (made(&store, "shop").await, made(&store, "school").await);
        let (first, new) = store.embed_user(&shop.id, "ann", "ann").await.unwrap();
        assert!(new && first.id != ann.id && first.email.is_none() && first.password.is_none());
        assert_eq!(first.role, UserRole::Member);
        let (again, new) = store.embed_user(&shop.id, "ann", "other").await.unwrap();
        assert_eq!((&again, new), (&first, false));
        let (other, _) = store.embed_user(&school.id, "ann", "ann").await.unwrap();
        assert!(other.id != first.id && other.id != ann.id);
        // Nor is it reached by the identity or the address of an account that is there.
        for subject in [ann.id.as_str(), "ann@example.org"] {
            let (user, _) = store.embed_user(&shop.id, subject, "ann").await.unwrap();
            assert_ne!(user.id, ann.id);
        }
        let none = store.embed_user("none", "ann", "ann").await;
        assert!(matches!(none, Err(StoreError::NotFound)), "{none:?}");
        let users = store.users().await.unwrap().len();
        assert_eq!(users, 5, "what could not be bound is not made");
        let promoted = store
            .change_user(&first.id, Some(UserRole::Admin), None)
            .await;
        assert!(matches!(promoted, Err(StoreError::Conflict(_))));
        assert!(!store.embeds().await.unwrap().is_empty());
    });
}

#[test]
fn many_who_come_at_once_as_one_subject_are_one() {
    on_both(async |store| {
        let shop = made(&store, "shop").await;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, id) = (store.clone(), shop.id.clone());
                tokio::spawn(async move { store.embed_user(&id, "ann", "ann").await })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap().unwrap().0.id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 1);
        assert_eq!(store.users().await.unwrap().len(), 1);
    });
}

#[test]
fn sessions_end_with_their_time_account_application_and_key() {
    on_both(async |store| {
        let (shop, school) = (made(&store, "shop").await, made(&store, "school").await);
        let (ann, _) = store.embed_user(&shop.id, "ann", "ann").await.unwrap();
        let later = now_ms() + 60_000;
        let begin = async |digest: &str, until: i64| {
            store
                .create_embed_session(&shop.id, &ann.id, digest, until)
                .await
        };
        begin("one", later).await.unwrap();
        let (user, embed) = store.embed_session("one").await.unwrap().unwrap();
        assert_eq!((&user, &embed), (&ann, &shop));
        begin("over", now_ms() - 1).await.unwrap();
        assert_eq!(store.embed_session("over").await.unwrap(), None);
        // Of another application, or of an account that did not come through it, there is none.
        let foreign = store
            .create_embed_session(&school.id, &ann.id, "x", later)
            .await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));
        let eve = account(&store, "eve").await;
        let foreign = store
            .create_embed_session(&shop.id, &eve.id, "x", later)
            .await;
        assert!(matches!(foreign, Err(StoreError::NotFound)));

        store.change_user(&ann.id, None, Some(true)).await.unwrap();
        assert_eq!(store.embed_session("one").await.unwrap(), None);
        store.change_user(&ann.id, None, Some(false)).await.unwrap();
        assert!(store.embed_session("one").await.unwrap().is_some());
        let key = EmbedChange {
            verify_key: Some(("HS256", "other")),
            ..EmbedChange::default()
        };
        let changed = store.change_embed(&shop.id, key).await.unwrap();
        assert_eq!(changed.verify_key, "other");
        assert_eq!(store.embed_session("one").await.unwrap(), None);

        begin("two", later).await.unwrap();
        let disabled = EmbedChange {
            disabled: Some(true),
            ..EmbedChange::default()
        };
        store.change_embed(&shop.id, disabled).await.unwrap();
        let enabled = EmbedChange {
            disabled: Some(false),
            ..EmbedChange::default()
        };
        store.change_embed(&shop.id, enabled).await.unwrap();
        assert_eq!(store.embed_session("two").await.unwrap(), None);

        begin("three", later).await.unwrap();
        store.end_embed_session("three").await.unwrap();
        assert_eq!(store.embed_session("three").await.unwrap(), None);
        for number in 0..25 {
            begin(&format!("many {number}"), later).await.unwrap();
        }
        let mut open = 0;
        for number in 0..25 {
            let digest = format!("many {number}");
            open += usize::from(store.embed_session(&digest).await.unwrap().is_some());
        }
        assert_eq!(open, 20);
        store.forget_embed_sessions().await.unwrap();
        store.delete_embed(&shop.id).await.unwrap();
        assert_eq!(store.embed_session("many 24").await.unwrap(), None);
        assert!(matches!(
            store.user(&ann.id).await,
            Err(StoreError::NotFound)
        ));
        assert_eq!(store.user(&eve.id).await.unwrap().id, eve.id);
        for gone in [
            store.delete_embed(&shop.id).await,
            store.embed(&shop.id).await.map(drop),
            store.change_embed(&shop.id, enabled).await.map(drop),
        ] {
            assert!(matches!(gone, Err(StoreError::NotFound)));
        }
    });
}
