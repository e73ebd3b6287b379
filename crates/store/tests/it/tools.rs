//! Servers of tools, what is allowed of them, and calls that belong to answers.

use terang_store::{
    Allowed, CallState, Ending, Message, NewChat, Status, Store, StoreError, TokenCounts, ToolCall,
    ToolServer, now_ms,
};

use crate::{account, on_both, question};

const TOOL: Allowed<'_> = Allowed {
    server_id: "",
    tool: "add",
    digest: "one",
};

async fn server(store: &Store, name: &str) -> ToolServer {
    let made = store.create_tool_server(name, "{\"kind\":1}", "{\"token\":\"secret\"}");
    made.await.unwrap()
}

async fn answer(store: &Store, user: &str) -> (String, Message) {
    let chat = store.create_chat(user, NewChat::default()).await.unwrap();
    let asked = question("q", None, "What is it?", &chat.id);
    let (_, answer, _) = store.send(user, &chat.id, &asked, "m").await.unwrap();
    (chat.id, answer)
}

fn call(message: &str, server: &ToolServer) -> ToolCall {
    ToolCall {
        id: String::new(),
        message_id: message.to_owned(),
        round: 0,
        at: 3,
        server_id: server.id.clone(),
        server: server.name.clone(),
        tool: "add".to_owned(),
        offered: "add".to_owned(),
        arguments: "{\"a\":1}".to_owned(),
        state: CallState::Waiting,
        result: String::new(),
        detail: "{}".to_owned(),
        created_at: 0,
        ended_at: None,
    }
}

#[test]
fn servers_of_tools_have_names_of_their_own_and_keep_their_secrets() {
    on_both(async |store| {
        let one = server(&store, "one").await;
        assert_eq!((one.enabled, one.version), (true, 1));
        let same = store.create_tool_server("one", "{}", "{}").await;
        assert!(matches!(same, Err(StoreError::Conflict(what)) if what.starts_with("name")));
        let two = server(&store, "two").await;
        let clash = ToolServer {
            name: "one".to_owned(),
            ..two.clone()
        };
        assert!(matches!(
            store.replace_tool_server(&clash).await,
            Err(StoreError::Conflict(_))
        ));
        let off = ToolServer {
            enabled: false,
            ..two.clone()
        };
        let off = store.replace_tool_server(&off).await.unwrap();
        assert_eq!((off.enabled, off.version), (false, 2));
        assert!(!format!("{off:?}").contains("secret"));
        assert_eq!(store.tool_servers().await.unwrap(), [one, off]);
        store.delete_tool_server(&two.id).await.unwrap();
        assert!(matches!(
            store.delete_tool_server(&two.id).await,
            Err(StoreError::NotFound)
        ));
    });
}

#[test]
fn servers_of_the_settings_file_are_there_as_long_as_they_stand_in_it() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let own = server(&store, "own").await;
        let taken = server(&store, "two").await;
        let of = |name: &str, spec: &str| (name.to_owned(), spec.to_owned(), "{}".to_owned());
        let names = async |store: &Store| -> Vec<(String, bool)> {
            let servers = store.tool_servers().await.unwrap();
            servers.into_iter().map(|it| (it.name, it.given)).collect()
        };
        let is = |name: &str, given| (name.to_owned(), given);
        let both = [of("one", "{\"a\":1}"), of("two", "{\"b\":1}")];
        store.give_tool_servers(&both).await.unwrap();
        assert_eq!(
            names(&store).await,
            [is("one", true), is("own", false), is("two", true)]
        );
        // One that was set up in the app is the file's now, with its identity.
        let two = store.tool_server(&taken.id).await.unwrap();
        assert_eq!((two.spec.as_str(), two.version), ("{\"b\":1}", 2));
        // Given again as it was, nothing changes, and what was allowed holds.
        let tool = Allowed {
            server_id: &two.id,
            ..TOOL
        };
        store.allow_tool(&ann.id, None, tool).await.unwrap();
        store.give_tool_servers(&both).await.unwrap();
        assert_eq!(store.tool_server(&two.id).await.unwrap(), two);
        assert!(store.is_tool_allowed(&ann.id, "", tool).await.unwrap());
        let otherwise = [of("two", "{\"b\":2}")];
        store.give_tool_servers(&otherwise).await.unwrap();
        assert_eq!(names(&store).await, [is("own", false), is("two", true)]);
        assert!(!store.is_tool_allowed(&ann.id, "", tool).await.unwrap());
        store.give_tool_servers(&[]).await.unwrap();
        assert_eq!(store.tool_servers().await.unwrap(), [own]);
    });
}

#[test]
fn what_is_allowed_holds_for_one_person_one_tool_and_as_it_was_described() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let made = server(&store, "one").await;
        let tool = Allowed {
            server_id: &made.id,
            ..TOOL
        };
        let (chat, _) = answer(&store, &ann.id).await;
        let (other, _) = answer(&store, &ann.id).await;
        let allowed = async |user: &str, chat: &str, tool: Allowed<'_>| {
            store.is_tool_allowed(user, chat, tool).await.unwrap()
        };
        assert!(!allowed(&ann.id, &chat, tool).await);
        // In a chat of somebody else nothing can be allowed.
        let stolen = store.allow_tool(&eve.id, Some(&chat), tool).await;
        assert!(matches!(stolen, Err(StoreError::NotFound)));
        for _ in 0..2 {
            store.allow_tool(&ann.id, Some(&chat), tool).await.unwrap();
        }
        assert!(allowed(&ann.id, &chat, tool).await);
        assert!(!allowed(&ann.id, &other, tool).await);
        assert!(!allowed(&eve.id, &chat, tool).await);
        let changed = Allowed {
            digest: "two",
            ..tool
        };
        assert!(!allowed(&ann.id, &chat, changed).await);
        let another = Allowed {
            tool: "remove",
            ..tool
        };
        assert!(!allowed(&ann.id, &chat, another).await);
        store.allow_tool(&ann.id, None, tool).await.unwrap();
        assert!(allowed(&ann.id, &other, tool).await);
        let listed = store.tool_consents(&ann.id).await.unwrap();
        assert_eq!(listed.len(), 2);
        assert!(store.tool_consents(&eve.id).await.unwrap().is_empty());
        let everywhere = listed.iter().find(|one| one.chat_id.is_none()).unwrap();
        let by_eve = store.disallow_tool(&eve.id, &everywhere.id).await;
        assert!(matches!(by_eve, Err(StoreError::NotFound)));
        store.disallow_tool(&ann.id, &everywhere.id).await.unwrap();
        assert!(!allowed(&ann.id, &other, tool).await);
        // A chat takes what was allowed in it along; a server that is reached otherwise, all of it.
        let moved = ToolServer {
            spec: "{\"kind\":2}".to_owned(),
            ..made.clone()
        };
        store.replace_tool_server(&moved).await.unwrap();
        assert!(!allowed(&ann.id, &chat, tool).await);
        store.allow_tool(&ann.id, Some(&chat), tool).await.unwrap();
        store.delete_chat(&ann.id, &chat).await.unwrap();
        assert!(store.tool_consents(&ann.id).await.unwrap().is_empty());
        // Of a server that is gone nothing can be allowed.
        store.delete_tool_server(&made.id).await.unwrap();
        store.allow_tool(&ann.id, None, tool).await.unwrap();
        assert!(store.tool_consents(&ann.id).await.unwrap().is_empty());
    });
}

#[test]
fn a_call_is_decided_once_by_whose_it_is() {
    on_both(async |store| {
        let (ann, eve) = (account(&store, "ann").await, account(&store, "eve").await);
        let made = server(&store, "one").await;
        let (chat, answer) = answer(&store, &ann.id).await;
        let by_eve = store
            .add_call(&eve.id, &chat, call(&answer.id, &made))
            .await;
        assert!(matches!(by_eve, Err(StoreError::NotFound)));
        let one = store
            .add_call(&ann.id, &chat, call(&answer.id, &made))
            .await
            .unwrap();
        assert!(one.created_at > 0 && !one.id.is_empty());
        for allow in [true, false] {
            let decided = store.decide_call(&eve.id, &chat, &one.id, allow).await;
            assert!(matches!(decided, Err(StoreError::NotFound)));
        }
        assert!(store.call(&eve.id, &chat, &one.id).await.is_err());
        assert!(
            store
                .calls_of_chat(&eve.id, &chat)
                .await
                .unwrap()
                .is_empty()
        );
        assert!(
            store
                .decide_call(&ann.id, &chat, &one.id, true)
                .await
                .unwrap()
        );
        assert!(
            !store
                .decide_call(&ann.id, &chat, &one.id, false)
                .await
                .unwrap()
        );
        let running = store.call(&ann.id, &chat, &one.id).await.unwrap();
        assert_eq!(running.state, CallState::Running);
        let end = store.end_call(&chat, &one.id, CallState::Done, "three", "{\"a\":1}");
        assert!(end.await.unwrap());
        let end = store.end_call(&chat, &one.id, CallState::Failed, "no", "{}");
        assert!(!end.await.unwrap());
        let two = store
            .add_call(&ann.id, &chat, call(&answer.id, &made))
            .await
            .unwrap();
        assert!(
            store
                .decide_call(&ann.id, &chat, &two.id, false)
                .await
                .unwrap()
        );
        let calls = store
            .calls_of_message(&ann.id, &chat, &answer.id)
            .await
            .unwrap();
        assert_eq!(calls, store.calls_of_chat(&ann.id, &chat).await.unwrap());
        assert_eq!(
            (calls[0].state, calls[0].result.as_str()),
            (CallState::Done, "three")
        );
        assert_eq!(calls[1].state, CallState::Denied);
        assert!(calls.iter().all(|call| call.ended_at.is_some()));
        // They outlast their server, and go with their answer.
        store.delete_tool_server(&made.id).await.unwrap();
        assert_eq!(store.calls_of_chat(&ann.id, &chat).await.unwrap().len(), 2);
        store.delete_message(&ann.id, &chat, "q").await.unwrap();
        assert!(
            store
                .calls_of_chat(&ann.id, &chat)
                .await
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn calls_that_were_open_when_the_server_died_are_cut() {
    on_both(async |store| {
        let ann = account(&store, "ann").await;
        let made = server(&store, "one").await;
        let (chat, message) = answer(&store, &ann.id).await;
        let add = async |state| {
            let new = ToolCall {
                state,
                ..call(&message.id, &made)
            };
            store.add_call(&ann.id, &chat, new).await.unwrap()
        };
        for state in [CallState::Waiting, CallState::Running, CallState::Done] {
            add(state).await;
        }
        // While the answer grows nothing is cut.
        assert_eq!(store.cut_answers(0).await.unwrap(), 0);
        let states = async || {
            let calls = store.calls_of_chat(&ann.id, &chat).await.unwrap();
            calls.iter().map(|call| call.state).collect::<Vec<_>>()
        };
        let open = [CallState::Waiting, CallState::Running, CallState::Done];
        assert_eq!(states().await, open);
        assert_eq!(store.cut_answers(now_ms() + 1000).await.unwrap(), 1);
        assert_eq!(
            states().await,
            [CallState::Cut, CallState::Cut, CallState::Done]
        );
        // Nor is a call added to an answer that has ended.
        let ending = Ending {
            content: "",
            status: Status::Done,
            error: None,
            usage: TokenCounts::default(),
        };
        let end = store.end_answer(&ann.id, &chat, &message.id, ending).await;
        assert!(end.unwrap().is_none());
        let late = store
            .add_call(&ann.id, &chat, call(&message.id, &made))
            .await;
        assert!(matches!(late, Err(StoreError::NotFound)));
    });
}
