//! Collections, documents, and passages that are found by words and by vectors.

use terang_store::{
    DocumentState, NewChat, NewDocument, NewPassage, Store, StoreError, StoredVector, TakenDocument,
};

use crate::{account, on_both, question};

async fn add(store: &Store, user: &str, collection: &str, name: &str, data: &[u8]) -> String {
    let new = NewDocument {
        name,
        mime: "text/plain",
        data: data.to_vec(),
    };
    store.add_document(user, collection, new).await.unwrap().id
}

async fn take(store: &Store, after: &str) -> TakenDocument {
    store.take_document(after, 0).await.unwrap().unwrap()
}

/// Reads a document as if each of its lines were a passage.
async fn read(store: &Store, taken: &TakenDocument) {
    let text = String::from_utf8(taken.data.clone()).unwrap();
    let mut passages = Vec::new();
    let mut at = 0;
    for line in text.lines() {
        passages.push(NewPassage {
            page: Some(1),
            heading: Some("Top"),
            range: at..at + line.len(),
            content: line,
        });
        at += line.len() + 1;
    }
    let kept = store.document_read(taken, &text, Some(1), &passages).await;
    assert!(kept.unwrap());
}

#[test]
fn a_document_waits_is_taken_read_found_and_deleted() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let made = store
            .create_collection(&ann.id, "Work", "rules")
            .await
            .unwrap();
        let id = add(
            &store,
            &ann.id,
            &made.id,
            "leave.txt",
            b"Twelve days of leave\nNo dogs",
        )
        .await;
        let waiting = store.document(&ann.id, &id).await.unwrap();
        assert_eq!((waiting.state, waiting.bytes), (DocumentState::Waiting, 28));
        let taken = take(&store, "").await;
        assert_eq!((taken.id.as_str(), taken.tries), (id.as_str(), 0));
        // Taken once: nobody else takes it, unless who took it died.
        assert!(store.take_document("", 0).await.unwrap().is_none());
        read(&store, &taken).await;
        let ready = store.document(&ann.id, &id).await.unwrap();
        assert_eq!(
            (ready.state, ready.passages, ready.pages),
            (DocumentState::Ready, 2, Some(1))
        );
        assert_eq!(
            store.document_text(&ann.id, &id).await.unwrap(),
            "Twelve days of leave\nNo dogs"
        );
        let listed = store.collections(&ann.id).await.unwrap();
        assert_eq!((listed[0].documents, listed[0].passages), (1, 2));
        let own = [made.id.clone()];
        for asked in ["How many days?", "LEAVE?", "who leaves"] {
            let found = store
                .passages_with_words(&ann.id, &own, asked, 5)
                .await
                .unwrap();
            assert_eq!(found[0].content, "Twelve days of leave", "{asked}");
            assert_eq!(found[0].name, "leave.txt");
        }
        assert!(
            store
                .passages_with_words(&ann.id, &own, "cats", 5)
                .await
                .unwrap()
                .is_empty()
        );
        let passage = store.passage(&ann.id, &id, 1).await.unwrap();
        assert_eq!(
            (passage.begins, passage.ends, passage.page),
            (21, 28, Some(1))
        );
        // Another finds nothing by any way.
        assert!(store.collections(&eve.id).await.unwrap().is_empty());
        for lost in [
            store.collection(&eve.id, &made.id).await.map(drop),
            store
                .change_collection(&eve.id, &made.id, Some("x"), None)
                .await
                .map(drop),
            store.delete_collection(&eve.id, &made.id).await,
            store.document(&eve.id, &id).await.map(drop),
            store.document_data(&eve.id, &id).await.map(drop),
            store.document_text(&eve.id, &id).await.map(drop),
            store.retry_document(&eve.id, &id).await.map(drop),
            store.delete_document(&eve.id, &id).await,
            store.passage(&eve.id, &id, 0).await.map(drop),
        ] {
            assert!(matches!(lost, Err(StoreError::NotFound)), "{lost:?}");
        }
        assert!(store.documents(&eve.id, &made.id).await.unwrap().is_empty());
        assert!(
            store
                .passages_with_words(&eve.id, &own, "leave", 5)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            store
                .passages_of(&eve.id, &[passage.seq])
                .await
                .unwrap()
                .is_empty()
        );
        let new = NewDocument {
            name: "x",
            mime: "text/plain",
            data: vec![1],
        };
        let added = store.add_document(&eve.id, &made.id, new).await;
        assert!(matches!(added, Err(StoreError::NotFound)));
        store.delete_document(&ann.id, &id).await.unwrap();
        assert!(
            store
                .passages_with_words(&ann.id, &own, "leave", 5)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(store.passage(&ann.id, &id, 0).await.is_err());
    });
}

#[test]
fn people_take_turns_and_what_was_lost_is_taken_again() {
    on_both(async |store| {
        let mut people = [
            account(&store, "ann").await.id,
            account(&store, "eve").await.id,
        ];
        people.sort();
        let mut ids = Vec::new();
        for (person, count) in people.iter().zip([3, 1]) {
            let made = store.create_collection(person, "c", "").await.unwrap();
            for number in 0..count {
                let name = format!("{number}.txt");
                ids.push(add(&store, person, &made.id, &name, b"word").await);
            }
        }
        let first = take(&store, "").await;
        let second = take(&store, &first.user_id).await;
        let third = take(&store, &second.user_id).await;
        let of: Vec<&str> = [&first, &second, &third]
            .map(|taken| taken.user_id.as_str())
            .to_vec();
        assert_eq!(of, [&people[0], &people[1], &people[0]]);
        // Long after: whoever took the first has died.
        let later = terang_store::now_ms() + 1;
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        let again = store.take_document("", later).await.unwrap().unwrap();
        assert_eq!((again.id.as_str(), again.tries), (first.id.as_str(), 1));
        // What the dead one still says does not count.
        assert!(!store.document_read(&first, "old", None, &[]).await.unwrap());
        store.document_failed(&first, "old", "old").await.unwrap();
        read(&store, &again).await;
        store
            .document_failed(&second, "locked", "it is locked")
            .await
            .unwrap();
        let failed = store.document(&people[1], &second.id).await.unwrap();
        assert_eq!(failed.state, DocumentState::Failed);
        assert_eq!(failed.reason.as_deref(), Some("it is locked"));
        let retried = store.retry_document(&people[1], &second.id).await.unwrap();
        assert_eq!(
            (retried.state, retried.reason),
            (DocumentState::Waiting, None)
        );
        let twice = store.retry_document(&people[1], &second.id).await;
        assert!(matches!(twice, Err(StoreError::Conflict(_))));
    });
}

#[test]
fn vectors_are_one_models_and_one_persons() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let made = store.create_collection(&ann.id, "c", "").await.unwrap();
        let id = add(&store, &ann.id, &made.id, "a.txt", b"one\ntwo\nthree").await;
        read(&store, &take(&store, "").await).await;
        let missing = store.passages_to_encode("m", 0, 2).await.unwrap();
        assert_eq!(missing.len(), 2);
        assert_eq!(missing[0].content, "one");
        let vector = |passage| StoredVector {
            passage,
            codes: vec![1, 255],
            scale: 0.25,
        };
        let gone = vector(1 << 40);
        store
            .keep_vectors("m", vec![vector(missing[0].seq), gone])
            .await
            .unwrap();
        let rest = store.passages_to_encode("m", 0, 9).await.unwrap();
        assert_eq!(rest.len(), 2);
        let own = [made.id.clone()];
        let found = store.vectors(&ann.id, &own, "m", 0, 9).await.unwrap();
        assert_eq!(found, [vector(missing[0].seq)]);
        assert!(
            store
                .vectors(&eve.id, &own, "m", 0, 9)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            store
                .vectors(&ann.id, &own, "n", 0, 9)
                .await
                .unwrap()
                .is_empty()
        );
        // Another model: all of it is to be done again, and takes the place of what was.
        assert_eq!(store.passages_to_encode("n", 0, 9).await.unwrap().len(), 3);
        store
            .keep_vectors("n", vec![vector(missing[0].seq)])
            .await
            .unwrap();
        assert!(
            store
                .vectors(&ann.id, &own, "m", 0, 9)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(store.vector_count(&ann.id, &made.id, "n").await.unwrap(), 1);
        store.delete_document(&ann.id, &id).await.unwrap();
        assert_eq!(store.vector_count(&ann.id, &made.id, "n").await.unwrap(), 0);
        store.delete_collection(&ann.id, &made.id).await.unwrap();
    });
}

#[test]
fn questions_of_any_signs_are_questions() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let made = store.create_collection(&ann.id, "c", "").await.unwrap();
        add(
            &store,
            &ann.id,
            &made.id,
            "a.txt",
            "O'Neil said \"naïve\" (OR) 字 AND near*".as_bytes(),
        )
        .await;
        read(&store, &take(&store, "").await).await;
        let own = [made.id];
        for asked in [
            "\"",
            "'",
            "O'Neil",
            "\" OR 1=1 --",
            "a:b",
            "NEAR(x y)",
            "collection_id : x",
            "*",
            "naïve",
            "字",
            "\\",
            "& | ! <->",
            "'' & ''",
            "^x",
            "{content} : x",
            "\0",
            "said\0",
        ] {
            store
                .passages_with_words(&ann.id, &own, asked, 5)
                .await
                .unwrap();
        }
        let others = ["\" OR \"".to_owned(), "'".to_owned()];
        let none = store
            .passages_with_words(&ann.id, &others, "said", 5)
            .await
            .unwrap();
        assert!(none.is_empty());
        let found = store
            .passages_with_words(&ann.id, &own, "what did O'Neil say", 5)
            .await
            .unwrap();
        assert_eq!(found.len(), 1);
    });
}

#[test]
fn sources_stay_with_their_answer() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let chat = store
            .create_chat(&ann.id, NewChat::default())
            .await
            .unwrap();
        let asked = question("q", None, "Why?", &chat.id);
        let (_, answer, _) = store.send(&ann.id, &chat.id, &asked, "m").await.unwrap();
        let other = store
            .set_sources(&eve.id, &chat.id, &answer.id, "[2]")
            .await;
        assert!(matches!(other, Err(StoreError::NotFound)));
        store
            .set_sources(&ann.id, &chat.id, &answer.id, "[1]")
            .await
            .unwrap();
        let kept = store.message(&ann.id, &chat.id, &answer.id).await.unwrap();
        assert_eq!(kept.sources.as_deref(), Some("[1]"));
    });
}
