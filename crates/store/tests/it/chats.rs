//! Chats and the trees of their messages.

use terang_store::{
    ChatChange, ChatFilter, Ending, ImportedChat, NewChat, Role, Status, StoreError, TokenCounts,
    now_ms,
};

use crate::{account, on_both, question};

fn ended(content: &str) -> Ending<'_> {
    Ending {
        content,
        status: Status::Done,
        error: None,
        usage: TokenCounts {
            prompt_tokens: 3,
            completion_tokens: 2,
            cached_tokens: 1,
        },
    }
}

#[test]
fn a_question_is_kept_with_the_place_of_its_answer_and_only_once() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let asked = question("q1", None, "Name three fruits.\nNow.", &chat.id);
        let (kept, answer, new) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        assert!(new && kept.content == asked.content && kept.created_at > 0);
        assert_eq!(
            (answer.role, answer.status),
            (Role::Assistant, Status::Streaming)
        );
        assert_eq!(answer.parent_id.as_deref(), Some("q1"));
        let (_, same, new) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        assert!(!new && same.id == answer.id);
        let other = question("q1", None, "Something else", &chat.id);
        let other = store.send(&ann.id, &chat.id, &other, "m").await;
        assert!(matches!(other, Err(StoreError::Conflict(_))));
        let chat = store.chat(&ann.id, &chat.id).await.unwrap();
        assert_eq!(chat.title, "Name three fruits.");
        assert_eq!(chat.leaf_id, Some(answer.id));
    });
}

#[test]
fn an_answer_grows_ends_once_and_can_be_continued() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let asked = question("q1", None, "Hi", &chat.id);
        let (_, answer, _) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        let early = question("q2", Some(&answer.id), "And?", &chat.id);
        let early = store.send(&ann.id, &chat.id, &early, "m").await;
        assert!(matches!(early, Err(StoreError::Conflict(_))), "{early:?}");
        assert!(store.grow(&chat.id, &answer.id, "Hel\0lo").await.unwrap());
        let end = store
            .end_answer(&ann.id, &chat.id, &answer.id, ended("Hello."))
            .await;
        let end = end.unwrap().unwrap();
        assert_eq!((end.content.as_str(), end.status), ("Hello.", Status::Done));
        assert_eq!(end.usage.unwrap().completion_tokens, 2);
        assert!(!store.grow(&chat.id, &answer.id, "late").await.unwrap());
        let twice = store
            .end_answer(&ann.id, &chat.id, &answer.id, ended("late"))
            .await;
        assert_eq!(twice.unwrap(), None);
        let open = store.reopen(&ann.id, &chat.id, &answer.id).await.unwrap();
        assert_eq!(
            (open.content.as_str(), open.status),
            ("Hello.", Status::Streaming)
        );
        let wrong = store.reopen(&ann.id, &chat.id, "q1").await;
        assert!(matches!(wrong, Err(StoreError::Conflict(_))));
        let used = store.usage_since(0).await.unwrap();
        assert_eq!(used.iter().map(|row| row.requests).sum::<i64>(), 2);
    });
}

#[test]
fn answers_whose_maker_died_are_cut_and_keep_their_text() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let asked = question("q1", None, "Hi", &chat.id);
        let (_, answer, _) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        store.grow(&chat.id, &answer.id, "Hel").await.unwrap();
        assert_eq!(store.cut_answers(now_ms() - 60_000).await.unwrap(), 0);
        assert_eq!(store.cut_answers(now_ms() + 1).await.unwrap(), 1);
        let cut = store.message(&ann.id, &chat.id, &answer.id).await.unwrap();
        assert_eq!((cut.content.as_str(), cut.status), ("Hel", Status::Cut));
    });
}

#[test]
fn branches_are_told_apart_and_deleted_with_what_follows() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let mut parent = None;
        let mut leaves = Vec::new();
        for number in 0..3 {
            let id = format!("q{number}");
            let asked = question(&id, parent.as_deref(), "Hi", &chat.id);
            let (_, answer, _) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
            let end = store
                .end_answer(&ann.id, &chat.id, &answer.id, ended("a"))
                .await;
            end.unwrap().unwrap();
            leaves.push(answer.id.clone());
            parent = Some(answer.id);
        }
        let again = store
            .answer_again(&ann.id, &chat.id, "q1", "m")
            .await
            .unwrap();
        let branch = store.branch(&ann.id, &chat.id, &again.id).await.unwrap();
        let ids: Vec<&str> = branch.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["q0", &leaves[0], "q1", &again.id]);
        let whole = store.branch(&ann.id, &chat.id, &leaves[2]).await.unwrap();
        assert_eq!(whole.len(), 6);
        let gone = store.delete_message(&ann.id, &chat.id, "q1").await.unwrap();
        assert_eq!(gone.len(), 5);
        let chat = store.chat(&ann.id, &chat.id).await.unwrap();
        assert_eq!(chat.leaf_id.as_ref(), Some(&leaves[0]));
        assert!(!store.grow(&chat.id, &again.id, "late").await.unwrap());
    });
}

#[test]
fn a_conversation_of_thousands_of_messages_is_read_and_deleted() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let messages = (0..3000).map(|number: usize| {
            let parent = number.checked_sub(1).map(|before| format!("m{before}"));
            question(&format!("m{number}"), parent.as_deref(), "text", "")
        });
        let imported = ImportedChat {
            title: "long".to_owned(),
            leaf_id: Some("m2999".to_owned()),
            messages: messages.collect(),
            ..ImportedChat::default()
        };
        store
            .import(&ann.id, &[imported.clone(), imported])
            .await
            .unwrap();
        let ids = store.chat_ids(&ann.id).await.unwrap();
        let branch = store.branch(&ann.id, &ids[0], "m2999").await.unwrap();
        assert_eq!((branch.len(), branch[7].id.as_str()), (3000, "m7"));
        let gone = store.delete_message(&ann.id, &ids[0], "m1").await.unwrap();
        assert_eq!(gone.len(), 2999);
        store.delete_chat(&ann.id, &ids[1]).await.unwrap();
        assert!(store.messages(&ann.id, &ids[1]).await.unwrap().is_empty());
    });
}

#[test]
fn an_import_is_kept_whole_or_not_at_all() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let good = ImportedChat {
            messages: vec![question("a", None, "x", "")],
            ..ImportedChat::default()
        };
        let bad = ImportedChat {
            messages: vec![question("a", Some("missing"), "x", "")],
            ..ImportedChat::default()
        };
        let done = store.import(&ann.id, &[good, bad]).await;
        assert!(matches!(done, Err(StoreError::Conflict(_))), "{done:?}");
        assert!(store.chat_ids(&ann.id).await.unwrap().is_empty());
    });
}

#[test]
fn the_list_has_pinned_ones_first_and_goes_on_where_it_stopped() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let mut made = Vec::new();
        for number in 0..7 {
            let title = format!("chat {number}");
            let new = NewChat {
                title: &title,
                ..NewChat::default()
            };
            made.push(store.create_chat(&ann.id, new).await.unwrap());
        }
        let hidden = NewChat {
            temporary: true,
            ..NewChat::default()
        };
        store.create_chat(&ann.id, hidden).await.unwrap();
        let pin = ChatChange {
            pinned: Some(true),
            ..ChatChange::default()
        };
        store.change_chat(&ann.id, &made[2].id, pin).await.unwrap();
        let archive = ChatChange {
            archived: Some(true),
            ..ChatChange::default()
        };
        store
            .change_chat(&ann.id, &made[3].id, archive)
            .await
            .unwrap();
        let mut seen = Vec::new();
        let mut before: Option<String> = None;
        loop {
            let filter = ChatFilter {
                before: before.as_deref(),
                limit: 2,
                ..ChatFilter::default()
            };
            let page = store.chats(&ann.id, filter).await.unwrap();
            seen.extend(page.chats.into_iter().map(|chat| chat.title));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(
            seen,
            ["chat 2", "chat 6", "chat 5", "chat 4", "chat 1", "chat 0"]
        );
        let filter = ChatFilter {
            archived: true,
            limit: 9,
            ..ChatFilter::default()
        };
        let archived = store.chats(&ann.id, filter).await.unwrap();
        assert_eq!(archived.chats.len(), 1);
        let wrong = ChatFilter {
            before: Some("x"),
            limit: 9,
            ..ChatFilter::default()
        };
        assert!(matches!(
            store.chats(&ann.id, wrong).await,
            Err(StoreError::NotFound)
        ));
        assert_eq!(store.forget_temporary(now_ms() + 1).await.unwrap(), 1);
    });
}

#[test]
fn nothing_of_another_is_found() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let folder = store.create_folder(&ann.id, "f", None).await.unwrap();
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let asked = question("q1", None, "secret", &chat.id);
        let (_, answer, _) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        store
            .end_answer(&ann.id, &chat.id, &answer.id, ended("a"))
            .await
            .unwrap();
        let title = ChatChange {
            title: Some("t".into()),
            ..ChatChange::default()
        };
        let into = NewChat {
            folder_id: Some(&folder.id),
            ..NewChat::default()
        };
        macro_rules! refused {
            ($($call:expr),* $(,)?) => {
                $(assert!(matches!($call.await, Err(StoreError::NotFound)), stringify!($call));)*
            };
        }
        let again = question("q2", None, "x", &chat.id);
        refused!(
            store.chat(&eve.id, &chat.id),
            store.change_chat(&eve.id, &chat.id, title),
            store.delete_chat(&eve.id, &chat.id),
            store.send(&eve.id, &chat.id, &again, "m"),
            store.answer_again(&eve.id, &chat.id, "q1", "m"),
            store.reopen(&eve.id, &chat.id, &answer.id),
            store.message(&eve.id, &chat.id, "q1"),
            store.branch(&eve.id, &chat.id, "q1"),
            store.delete_message(&eve.id, &chat.id, "q1"),
            store.share(&eve.id, &chat.id, "token", "t", "[]"),
            store.create_chat(&eve.id, into),
            store.change_folder(&eve.id, &folder.id, Some("x"), None),
            store.delete_folder(&eve.id, &folder.id),
        );
        assert!(store.messages(&eve.id, &chat.id).await.unwrap().is_empty());
        let own = store
            .create_chat(&eve.id, NewChat::default())
            .await
            .unwrap();
        let move_in = ChatChange {
            folder_id: Some(Some(folder.id)),
            ..ChatChange::default()
        };
        let leaf = ChatChange {
            leaf_id: Some("q1".into()),
            ..ChatChange::default()
        };
        refused!(
            store.change_chat(&eve.id, &own.id, move_in),
            store.change_chat(&eve.id, &own.id, leaf),
        );
        assert_eq!(store.messages(&ann.id, &chat.id).await.unwrap().len(), 2);
    });
}
