//! Full-text search: what is found, and by whom.

use terang_store::{ChatChange, Ending, NewChat, Status, Store, TokenCounts};

use crate::{account, on_both, question};

async fn found(store: &Store, user: &str, query: &str) -> Vec<(Option<String>, String)> {
    let hits = store.search(user, query, 20).await.unwrap();
    hits.into_iter()
        .map(|hit| (hit.message_id, hit.snippet))
        .collect()
}

#[test]
fn words_are_found_in_titles_and_messages_of_ones_own_chats() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let new = NewChat {
            title: "Durian farming",
            ..NewChat::default()
        };
        let chat = store.create_chat(&ann.id, new).await.unwrap();
        let asked = question(
            "q1",
            None,
            "Where do mangosteen-trees grow, café?",
            &chat.id,
        );
        let (_, answer, _) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        let id = &chat.id;
        assert!(store.grow(id, &answer.id, "In Sumatra").await.unwrap());
        // What still grows is not found yet.
        assert!(found(&store, &ann.id, "sumatra").await.is_empty());
        let ending = Ending {
            content: "In Sumatra, mostly.",
            status: Status::Done,
            error: None,
            usage: TokenCounts::default(),
        };
        store
            .end_answer(&ann.id, id, &answer.id, ending)
            .await
            .unwrap();
        assert_eq!(
            found(&store, &ann.id, "SUMATRA").await,
            [(
                Some(answer.id.clone()),
                "In \u{1}Sumatra\u{2}, mostly.".to_owned()
            )]
        );
        assert_eq!(
            found(&store, &ann.id, "dur").await,
            [(None, "\u{1}Durian\u{2} farming".to_owned())]
        );
        assert_eq!(found(&store, &ann.id, "trees mango").await.len(), 1);
        assert_eq!(found(&store, &ann.id, "café").await.len(), 1);
        assert!(found(&store, &ann.id, "mango trees").await.is_empty());
        for nobody in ["durian", "sumatra", "trees"] {
            assert!(found(&store, &eve.id, nobody).await.is_empty(), "{nobody}");
        }
        store.reopen(&ann.id, id, &answer.id).await.unwrap();
        assert!(found(&store, &ann.id, "sumatra").await.is_empty());
        let renamed = ChatChange {
            title: Some("Rice".into()),
            ..ChatChange::default()
        };
        store.change_chat(&ann.id, id, renamed).await.unwrap();
        assert!(found(&store, &ann.id, "durian").await.is_empty());
        store.delete_message(&ann.id, id, "q1").await.unwrap();
        assert!(found(&store, &ann.id, "trees").await.is_empty());
        assert_eq!(found(&store, &ann.id, "rice").await.len(), 1);
        store.delete_chat(&ann.id, id).await.unwrap();
        assert!(found(&store, &ann.id, "rice").await.is_empty());
    });
}

#[test]
fn no_query_is_an_error() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        for query in [
            "",
            "\"",
            "*",
            "a AND",
            "NEAR(",
            "(a",
            "a:*",
            "'",
            "\\",
            "& |",
            "!a",
            "a:b",
            "<->",
            "\0",
            "content:a",
            "^a",
            "a\u{0}b",
            "-",
            "OR OR",
        ] {
            store.search(&ann.id, query, 5).await.unwrap();
        }
        store
            .search(&ann.id, &"word ".repeat(10_000), 5)
            .await
            .unwrap();
    });
}
