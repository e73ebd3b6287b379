//! Folders, prompts, assistants, attachments, shares, records.

use terang_store::{
    Assistant, Attachment, ChatChange, NewAttachment, NewChat, Store, StoreError, now_ms,
};

use crate::{account, on_both, question};

#[test]
fn chats_outlast_their_folder() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let folder = store
            .create_folder(&ann.id, "work", Some("be brief"))
            .await
            .unwrap();
        let new = NewChat {
            folder_id: Some(&folder.id),
            ..NewChat::default()
        };
        let chat = store.create_chat(&ann.id, new).await.unwrap();
        assert_eq!(chat.folder_id.as_ref(), Some(&folder.id));
        let renamed = store
            .change_folder(&ann.id, &folder.id, Some("home"), None)
            .await;
        let renamed = renamed.unwrap();
        assert_eq!(
            (renamed.name.as_str(), renamed.instructions.as_deref()),
            ("home", Some("be brief"))
        );
        let out = ChatChange {
            folder_id: Some(None),
            ..ChatChange::default()
        };
        let out = store.change_chat(&ann.id, &chat.id, out).await.unwrap();
        assert_eq!(out.folder_id, None);
        let back = ChatChange {
            folder_id: Some(Some(folder.id.clone())),
            ..ChatChange::default()
        };
        store.change_chat(&ann.id, &chat.id, back).await.unwrap();
        store.delete_folder(&ann.id, &folder.id).await.unwrap();
        assert_eq!(store.chat(&ann.id, &chat.id).await.unwrap().folder_id, None);
    });
}

#[test]
fn prompts_and_assistants_are_kept() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let prompt = store
            .create_prompt(&ann.id, "fix", "Fix this:")
            .await
            .unwrap();
        assert_eq!(
            store.prompts(&ann.id).await.unwrap(),
            std::slice::from_ref(&prompt)
        );
        assert!(store.prompts(&eve.id).await.unwrap().is_empty());
        assert!(store.delete_prompt(&eve.id, &prompt.id).await.is_err());
        store.delete_prompt(&ann.id, &prompt.id).await.unwrap();
        let new = Assistant {
            name: "Editor".to_owned(),
            settings: "{}".to_owned(),
            ..Assistant::default()
        };
        let made = store.create_assistant(&ann.id, new).await.unwrap();
        let changed = Assistant {
            description: "edits".to_owned(),
            ..made.clone()
        };
        let other = store.replace_assistant(&eve.id, &changed).await;
        assert!(matches!(other, Err(StoreError::NotFound)));
        store.replace_assistant(&ann.id, &changed).await.unwrap();
        assert_eq!(store.assistants(&ann.id).await.unwrap(), [changed]);
        store.delete_assistant(&ann.id, &made.id).await.unwrap();
    });
}

#[test]
fn attachments_come_back_as_they_were() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let new = NewAttachment {
            name: "notes.md",
            mime: "text/markdown",
            data: vec![0, 1, 255],
            text: Some("né"),
            pixels: None,
        };
        let made = store.attach(&ann.id, new).await.unwrap();
        assert_eq!((made.bytes, made.text_chars), (3, 2));
        assert_eq!(
            store.attachment_data(&ann.id, &made.id).await.unwrap(),
            [0, 1, 255]
        );
        let text = store.attachment_text(&ann.id, &made.id).await.unwrap();
        assert_eq!(text, ("notes.md".to_owned(), "né".to_owned()));
        assert!(store.attachment_data(&eve.id, &made.id).await.is_err());
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let mut asked = question("q", None, "Read this", &chat.id);
        asked.attachments = format!("[\"{}\"]", made.id);
        store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        let of_chat = store.attachments_of_chat(&ann.id, &chat.id).await.unwrap();
        assert_eq!(of_chat, [made]);
    });
}

/// A picture.
async fn picture(store: &Store, user_id: &str) -> Attachment {
    let new = NewAttachment {
        name: "sawah.png",
        mime: "image/png",
        data: b"pixels".to_vec(),
        text: None,
        pixels: Some((640, 480)),
    };
    store.attach(user_id, new).await.unwrap()
}

/// Sends a question with a picture in a chat.
async fn show(store: &Store, user_id: &str, chat: &str, id: &str, file: &Attachment) {
    let mut asked = question(id, None, "What is this?", chat);
    asked.attachments = format!("[\"{}\"]", file.id);
    store.send(user_id, chat, &asked, "m").await.unwrap();
}

#[test]
fn a_picture_is_kept_with_its_size_for_its_owner_alone() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let made = picture(&store, &ann.id).await;
        assert_eq!(made.pixels, Some((640, 480)));
        assert_eq!(store.attachment(&ann.id, &made.id).await.unwrap(), made);
        let text = store.attachment_text(&ann.id, &made.id).await.unwrap();
        assert_eq!(text, ("sawah.png".to_owned(), String::new()));
        for found in [
            store.attachment(&eve.id, &made.id).await.map(drop),
            store.attachment_data(&eve.id, &made.id).await.map(drop),
        ] {
            assert!(matches!(found, Err(StoreError::NotFound)));
        }
    });
}

#[test]
fn files_go_with_the_last_message_that_has_them() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let id = async |temporary| {
            let new = NewChat {
                temporary,
                ..NewChat::default()
            };
            store.create_chat(&ann.id, new).await.unwrap().id
        };
        let (one, two, fleeting) = (id(false).await, id(false).await, id(true).await);
        let here = async |file: &Attachment| store.attachment(&ann.id, &file.id).await.is_ok();

        // Two versions of a question, and another chat.
        let shared = picture(&store, &ann.id).await;
        let own = picture(&store, &ann.id).await;
        let unsent = picture(&store, &ann.id).await;
        show(&store, &ann.id, &one, "q1", &shared).await;
        show(&store, &ann.id, &one, "q2", &shared).await;
        show(&store, &ann.id, &two, "q1", &shared).await;
        show(&store, &ann.id, &two, "q2", &own).await;
        show(&store, &ann.id, &fleeting, "q0", &unsent).await;
        store
            .delete_message(&ann.id, &fleeting, "q0")
            .await
            .unwrap();
        assert!(!here(&unsent).await);
        let unsent = picture(&store, &ann.id).await;
        let mut both = vec![shared.id.clone(), own.id.clone()];
        both.sort();
        let mut used = store.attachment_ids(&ann.id).await.unwrap();
        used.sort();
        assert_eq!(used, both);
        store.delete_message(&ann.id, &one, "q1").await.unwrap();
        assert!(here(&shared).await);
        store.delete_message(&ann.id, &one, "q2").await.unwrap();
        assert!(here(&shared).await);
        assert!(store.delete_chat(&eve.id, &two).await.is_err());
        assert!(here(&shared).await && here(&own).await);
        store.delete_chat(&ann.id, &two).await.unwrap();
        assert!(!here(&shared).await && !here(&own).await);

        let kept = picture(&store, &ann.id).await;
        let brief = picture(&store, &ann.id).await;
        show(&store, &ann.id, &one, "q3", &kept).await;
        show(&store, &ann.id, &fleeting, "q1", &kept).await;
        show(&store, &ann.id, &fleeting, "q2", &brief).await;
        let staying = store.attachment_ids(&ann.id).await.unwrap();
        assert_eq!(staying, std::slice::from_ref(&kept.id));
        store.forget_temporary(now_ms() + 1).await.unwrap();
        assert!(here(&kept).await && !here(&brief).await);

        // What was never sent stays until somebody says that it is not needed, and that is its owner.
        let ids = [kept.id.clone(), unsent.id.clone()];
        store.forget_unused(&eve.id, &ids).await.unwrap();
        assert!(here(&unsent).await);
        store.forget_unused(&ann.id, &ids).await.unwrap();
        assert!(here(&kept).await && !here(&unsent).await);

        let unsent = picture(&store, &ann.id).await;
        let now = now_ms() + 1;
        assert_eq!(store.forget_unsent(now, now + 1).await.unwrap(), 0);
        assert_eq!(store.forget_unsent(0, now).await.unwrap(), 1);
        assert!(here(&kept).await && !here(&unsent).await);
        store.delete_user(&ann.id).await.unwrap();
        assert!(!here(&kept).await);
    });
}

#[test]
fn a_share_shows_what_was_shared_until_it_ends() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let share = store
            .share(&ann.id, &chat.id, "token", "Title", "[1]")
            .await
            .unwrap();
        let seen = store.shared("token").await.unwrap();
        assert_eq!(
            (seen.title.as_str(), seen.content.as_str()),
            ("Title", "[1]")
        );
        assert_eq!(
            store.shares(&ann.id).await.unwrap(),
            std::slice::from_ref(&share)
        );
        assert!(store.shares(&eve.id).await.unwrap().is_empty());
        assert!(matches!(
            store.unshare(&eve.id, &share.id).await,
            Err(StoreError::NotFound)
        ));
        store.change_user(&ann.id, None, Some(true)).await.unwrap();
        assert!(store.shared("token").await.is_err());
        store.change_user(&ann.id, None, Some(false)).await.unwrap();
        store.unshare(&ann.id, &share.id).await.unwrap();
        assert!(matches!(
            store.shared("token").await,
            Err(StoreError::NotFound)
        ));
    });
}

#[test]
fn what_was_done_is_on_record() {
    on_both(async |store| {
        store
            .record(None, "login_failed", Some("ann@example.org"), Some("::1"))
            .await
            .unwrap();
        store
            .record(Some("someone"), "login", None, None)
            .await
            .unwrap();
        store.trim_audit().await.unwrap();
        let entries = store.audit(None, 10).await.unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].1.action, "login");
        let older = store.audit(Some(entries[0].0), 10).await.unwrap();
        assert_eq!(older[0].1.target.as_deref(), Some("ann@example.org"));
    });
}
