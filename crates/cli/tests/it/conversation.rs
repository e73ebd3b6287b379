//! A conversation in a terminal, on a real model.

use std::fs;

use serde_json::Value;

use crate::real::{self, Real};
use crate::support::Place;
use crate::terminal::Terminal;

/// A conversation in which history and files are the test's own.
fn talk(real: &Real, place: &Place, arguments: &[&str]) -> Terminal {
    let mut command = place.terang();
    command.args(["chat", "--model"]).arg(real.file());
    command.args(arguments).current_dir(place.path("."));
    let (terminal, banner) = Terminal::start(&mut command);
    assert!(banner.contains("/help lists the commands"), "{banner}");
    terminal
}

/// The figures of `/stats`: tokens of the prompt, those of them from the cache, tokens of the answer.
fn stats(terminal: &mut Terminal) -> (u64, u64, u64) {
    let line = terminal.ask("/stats");
    let numbers: Vec<u64> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(line.contains("cached") && numbers.len() >= 3, "{line}");
    (numbers[0], numbers[1], numbers[2])
}

/// The contents of a saved conversation's messages.
fn saved(place: &Place, name: &str) -> Vec<String> {
    let text = fs::read_to_string(place.path(name)).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let messages = value["messages"].as_array().unwrap().iter();
    messages
        .map(|m| m["content"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_follow_up_reads_only_what_is_new_and_answers_as_if_it_read_all() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let greedy = ["--temperature", "0", "--max-tokens", "10"];
    let mut terminal = talk(real, &place, &greedy);
    assert!(terminal.ask("/stats").contains("no answer yet"));
    terminal.ask("Name three fruits.");
    let (first_prompt, cached, first_answer) = stats(&mut terminal);
    assert_eq!((cached, first_answer), (0, 10));
    terminal.ask("Which one is red?");
    let (prompt, cached, _) = stats(&mut terminal);
    // All of the first turn but its last token, which was chosen and never evaluated.
    assert!(
        cached + 1 >= first_prompt + first_answer,
        "{cached} of {prompt}"
    );
    assert!(prompt - cached < 24, "{cached} of {prompt}");
    assert!(terminal.ask("/save all.json").contains("saved to all.json"));
    assert_eq!(terminal.leave("/quit\r"), Some(0));
    assert!(place.data().join("chat_history").exists());

    // The same conversation, all of it read anew.
    let mut terminal = talk(real, &place, &greedy);
    assert!(terminal.ask("/load all.json").contains("4 messages"));
    terminal.ask("/retry");
    let (again, cached, _) = stats(&mut terminal);
    assert_eq!((again, cached), (prompt, 0));
    terminal.ask("/save again.json");
    assert_eq!(saved(&place, "again.json"), saved(&place, "all.json"));
    assert_eq!(terminal.leave("\u{4}"), Some(0));
}

#[test]
fn an_interrupt_stops_the_answer_and_not_the_conversation() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let mut terminal = talk(real, &place, &["--seed", "7"]);
    let question = "Write a very long story about a ship, with many chapters.";
    terminal.ask_and_wait_for(question, 40);
    terminal.interrupt();
    assert!(terminal.until_prompt().contains("(stopped)"));
    terminal.ask("/set max_tokens 4");
    terminal.ask("Go on.");
    let (prompt, cached, answer) = stats(&mut terminal);
    assert!(
        cached > 40 && prompt - cached < 24 && answer <= 4,
        "{cached} of {prompt}"
    );
    terminal.ask("/save stopped.json");
    let messages = saved(&place, "stopped.json");
    assert_eq!((messages.len(), messages[0].as_str()), (4, question));
    assert!(!messages[1].is_empty());
    assert_eq!(terminal.leave("\u{4}"), Some(0));
}

#[test]
fn what_goes_wrong_in_a_line_does_not_end_the_conversation() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let mut terminal = talk(real, &place, &["--context", "64", "--max-tokens", "2"]);
    terminal.ask("Hello.");
    let before = stats(&mut terminal);
    for (line, part) in [
        ("/halp", "error: unknown command /halp"),
        ("/set temperature hot", "error: temperature: found hot"),
        ("/load none.json", "error: none.json: "),
        (
            "/model ./none.gguf",
            "error: ./none.gguf: no such model file",
        ),
        (&"word ".repeat(80), "the context holds 64 "),
    ] {
        let shown = terminal.ask(line);
        assert!(shown.contains(part), "{shown:?} lacks {part:?}");
    }
    assert_eq!(stats(&mut terminal), before);
    terminal.ask("/save after.json");
    assert_eq!(saved(&place, "after.json").len(), 2);
    // Once is a slip of the hand, twice is meant.
    terminal.press("\u{3}");
    assert!(terminal.until_prompt().contains("Ctrl-C again"));
    assert_eq!(terminal.leave("\u{3}"), Some(0));
}
