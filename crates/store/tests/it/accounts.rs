//! Accounts, sessions and invitations.

use terang_store::{Credential, NewUser, StoreError, Subject, UserRole, now_ms};

use crate::{account, on_both};

#[test]
fn the_first_account_takes_over_what_the_sole_owner_had() {
    on_both(async |store| {
        let owner = store.sole_owner("me").await.unwrap();
        assert_eq!(store.sole_owner("other").await.unwrap(), owner);
        assert!(!store.has_accounts().await.unwrap());
        let made = store
            .set_up("Ann", "ann@example.org", "digest")
            .await
            .unwrap();
        assert_eq!((made.id, made.role), (owner.id, UserRole::Owner));
        assert!(store.has_accounts().await.unwrap());
        let again = store.set_up("Eve", "eve@example.org", "digest").await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    });
}

#[test]
fn an_address_is_one_account() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let again = NewUser {
            name: "Eve",
            email: Some("ann@example.org"),
            password: Some("digest"),
            role: UserRole::Member,
        };
        let again = store.create_user(again).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        let found = store.user_by_email("ann@example.org").await.unwrap();
        assert_eq!(found, Some(ann));
        assert_eq!(store.user_by_email("eve@example.org").await.unwrap(), None);
    });
}

#[test]
fn sessions_end_when_they_are_old_revoked_or_their_account_is_disabled() {
    on_both(async |store| {
        let (ann, ben) = (account(&store, "ann").await, account(&store, "ben").await);
        let id = store
            .create_session(&ann.id, "one", "browser")
            .await
            .unwrap();
        store
            .create_session(&ann.id, "two", "browser")
            .await
            .unwrap();
        let (user, session) = store.session("one", 0, 0).await.unwrap().unwrap();
        assert_eq!((&user, &session.id), (&ann, &id));
        assert!(
            store
                .session("one", now_ms() + 1000, 0)
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            store
                .session("one", 0, now_ms() + 1000)
                .await
                .unwrap()
                .is_none()
        );
        assert!(store.session("three", 0, 0).await.unwrap().is_none());
        // Another's session is not there.
        let other = store.end_session(&ben.id, &id).await;
        assert!(matches!(other, Err(StoreError::NotFound)));
        store.end_session(&ann.id, &id).await.unwrap();
        assert!(store.session("one", 0, 0).await.unwrap().is_none());
        store.change_user(&ann.id, None, Some(true)).await.unwrap();
        assert!(store.session("two", 0, 0).await.unwrap().is_none());
        assert!(store.sessions(&ann.id).await.unwrap().is_empty());
    });
}

#[test]
fn another_role_or_password_ends_the_sessions() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        store.create_session(&ann.id, "one", "").await.unwrap();
        store.create_session(&ann.id, "two", "").await.unwrap();
        store
            .change_password(&ann.id, "other", "two")
            .await
            .unwrap();
        let left = store.sessions(&ann.id).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].digest, "two");
        let changed = store
            .change_user(&ann.id, Some(UserRole::Admin), None)
            .await;
        assert_eq!(changed.unwrap().role, UserRole::Admin);
        assert!(store.sessions(&ann.id).await.unwrap().is_empty());
        let owner = store.sole_owner("me").await.unwrap();
        let refused = store
            .change_user(&owner.id, Some(UserRole::Member), None)
            .await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))));
    });
}

#[test]
fn one_account_has_a_bounded_number_of_sessions() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        for number in 0..105 {
            let digest = format!("digest {number}");
            store.create_session(&ann.id, &digest, "").await.unwrap();
        }
        assert_eq!(store.sessions(&ann.id).await.unwrap().len(), 100);
        assert!(store.session("digest 104", 0, 0).await.unwrap().is_some());
    });
}

#[test]
fn an_invitation_is_used_once_by_whom_it_is_for() {
    on_both(async |store| {
        let later = now_ms() + 60_000;
        let role = UserRole::Admin;
        let email = Some("ann@example.org");
        store
            .create_invitation("one", role, email, later)
            .await
            .unwrap();
        store
            .create_invitation("old", role, None, now_ms() - 1)
            .await
            .unwrap();
        let gone = store.invitation("old").await;
        assert!(matches!(gone, Err(StoreError::NotFound)));
        let other = store
            .accept_invitation("one", "Eve", "eve@example.org", "d")
            .await;
        assert!(matches!(other, Err(StoreError::NotFound)));
        let ann = store
            .accept_invitation("one", "Ann", "ann@example.org", "d")
            .await;
        assert_eq!(ann.unwrap().role, UserRole::Admin);
        let again = store
            .accept_invitation("one", "Ann", "ann@example.org", "d")
            .await;
        assert!(matches!(again, Err(StoreError::NotFound)));
        // One whose address is taken does not use the invitation up.
        store
            .create_invitation("two", role, None, later)
            .await
            .unwrap();
        let taken = store
            .accept_invitation("two", "Ann", "ann@example.org", "d")
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))));
        assert!(store.invitation("two").await.is_ok());
    });
}

#[test]
fn an_account_goes_with_all_that_is_its_own() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let chat = store
            .create_chat(&ann.id, terang_store::NewChat::default())
            .await
            .unwrap();
        let asked = crate::question("q", None, "Hi", &chat.id);
        store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        store
            .share(&ann.id, &chat.id, "token", "t", "[]")
            .await
            .unwrap();
        store.delete_user(&ann.id).await.unwrap();
        assert!(store.chat_ids(&ann.id).await.unwrap().is_empty());
        assert!(store.messages(&ann.id, &chat.id).await.unwrap().is_empty());
        assert!(matches!(
            store.shared("token").await,
            Err(StoreError::NotFound)
        ));
        assert!(matches!(
            store.delete_user(&ann.id).await,
            Err(StoreError::NotFound)
        ));
    });
}

#[test]
fn an_identity_opens_one_account_and_the_last_way_in_stays() {
    on_both(async |store| {
        let of = |subject| Subject {
            issuer: "https://id.example.org",
            subject,
            label: "a label",
        };
        let ann = account(&store, "ann").await;
        let new = NewUser {
            name: "Budi",
            email: Some("budi@example.org"),
            password: None,
            role: UserRole::Member,
        };
        let budi = store.create_user_by_identity(new, of("1")).await.unwrap();
        store.link_identity(&ann.id, of("2")).await.unwrap();
        // Neither an identity nor an address is taken from somebody.
        let taken = store.link_identity(&ann.id, of("1")).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
        let taken = store.create_user_by_identity(new, of("3")).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
        let other = "https://id.example.com";
        assert_eq!(store.user_by_identity(other, "1").await.unwrap(), None);
        let found = store.user_by_identity(of("1").issuer, "1").await.unwrap();
        assert_eq!(found, Some(budi.clone()));
        // The only way in stays, another may go, and nobody takes another's off.
        let one = store.identities(&budi.id).await.unwrap().remove(0);
        let only = store.unlink_identity(&budi.id, &one.id).await;
        assert!(matches!(only, Err(StoreError::Conflict(_))), "{only:?}");
        let theirs = store.unlink_identity(&ann.id, &one.id).await;
        assert!(matches!(theirs, Err(StoreError::NotFound)), "{theirs:?}");
        let anns = store.identities(&ann.id).await.unwrap();
        assert_eq!((anns.len(), anns[0].label.as_str()), (1, "a label"));
        store.unlink_identity(&ann.id, &anns[0].id).await.unwrap();
        assert_eq!(store.identities(&ann.id).await.unwrap(), []);
        // With the account its identities go.
        store.delete_user(&budi.id).await.unwrap();
        store.link_identity(&ann.id, of("1")).await.unwrap();
    });
}

#[test]
fn a_passkey_opens_one_account_and_counts_forward() {
    on_both(async |store| {
        let of = |credential: &str| Credential {
            credential: credential.to_owned(),
            algorithm: -7,
            public_key: "key".to_owned(),
            counter: 0,
        };
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        store.add_passkey(&ann.id, "Phone", &of("a")).await.unwrap();
        let taken = store.add_passkey(&eve.id, "Mine", &of("a")).await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
        let found = store.user_by_passkey("a").await.unwrap();
        assert_eq!(found, Some((ann.clone(), of("a"))));
        assert_eq!(store.user_by_passkey("b").await.unwrap(), None);
        // One that does not count may stay at zero; one that counts never goes back.
        for (counter, fits) in [
            (0, true),
            (3, true),
            (3, false),
            (2, false),
            (0, false),
            (4, true),
        ] {
            assert_eq!(store.use_passkey("a", counter).await.unwrap(), fits);
        }
        let listed = store.passkeys(&ann.id).await.unwrap();
        assert!(listed[0].used_at.is_some());
        let theirs = store.remove_passkey(&eve.id, &listed[0].id).await;
        assert!(matches!(theirs, Err(StoreError::NotFound)), "{theirs:?}");
        // Without a password an identity or a passkey has to stay.
        let new = NewUser {
            name: "Budi",
            email: None,
            password: None,
            role: UserRole::Member,
        };
        let subject = Subject {
            issuer: "https://id.example.org",
            subject: "1",
            label: "1",
        };
        let budi = store.create_user_by_identity(new, subject).await.unwrap();
        store.add_passkey(&budi.id, "Key", &of("c")).await.unwrap();
        let identity = store.identities(&budi.id).await.unwrap().remove(0);
        store.unlink_identity(&budi.id, &identity.id).await.unwrap();
        let passkey = store.passkeys(&budi.id).await.unwrap().remove(0);
        let only = store.remove_passkey(&budi.id, &passkey.id).await;
        assert!(matches!(only, Err(StoreError::Conflict(_))), "{only:?}");
        assert_eq!(store.passkeys(&budi.id).await.unwrap(), [passkey]);
        store.remove_passkey(&ann.id, &listed[0].id).await.unwrap();
        assert_eq!(store.user_by_passkey("a").await.unwrap(), None);
    });
}
