//! Words and their translations, from a dictionary in the form that `FreeDict` has for dictd: a head with its part of
//! speech, then lines of translations, each meaning ending in the number of the next.

use super::{pair, typed};
use crate::document::Document;
use std::collections::HashSet;

/// A word with its first translation.
struct Entry<'a> {
    english: &'a str,
    indonesian: &'a str,
    /// Meanings: words that people use much have many.
    meanings: usize,
    place: usize,
}

/// Questions about the words with the most meanings.
pub(super) fn documents(text: &str, count: usize) -> Vec<Document> {
    let mut entries = entries(text);
    entries.sort_by_key(|entry| (std::cmp::Reverse(entry.meanings), entry.place));
    let mut seen = HashSet::new();
    entries.retain(|entry| seen.insert(entry.english));
    let mut answered = HashSet::new();
    let mut documents = Vec::new();
    for entry in entries {
        if documents.len() >= count {
            break;
        }
        let (en, id) = (entry.english, entry.indonesian);
        let mut ask = |question: String, answer: String| {
            documents.push(pair(&typed(&question), &answer));
            documents.push(pair(&question, &answer));
        };
        let answer = format!("\"{en}\" is \"{id}\" in Indonesian.");
        ask(format!("What is \"{en}\" in Indonesian?"), answer.clone());
        ask(format!("Translate {en} to Indonesian."), answer);
        ask(
            format!("Apa bahasa Indonesia dari {en}?"),
            format!("Bahasa Indonesia dari \"{en}\" adalah \"{id}\"."),
        );
        // One word of Indonesian has one answer, though it may translate several.
        if answered.insert(id) {
            ask(
                format!("Apa bahasa Inggris dari \"{id}\"?"),
                format!("Bahasa Inggris dari \"{id}\" adalah \"{en}\"."),
            );
            ask(
                format!("Translate {id} to English."),
                format!("\"{id}\" is \"{en}\" in English."),
            );
        }
    }
    documents
}

fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut is_open = false;
    while let Some((place, line)) = lines.next() {
        let Some(head) = head(line) else {
            if is_open
                && ends_in_number(line)
                && let Some(entry) = entries.last_mut()
            {
                entry.meanings += 1;
            }
            continue;
        };
        is_open = false;
        let Some((_, next)) = lines.peek() else { break };
        let first = next.split(',').next().unwrap_or_default();
        let first = first
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
            .trim();
        if is_plain(head) && is_plain(first) && head.len() >= 2 {
            is_open = true;
            entries.push(Entry {
                english: head,
                indonesian: first,
                meanings: 1,
                place,
            });
        }
    }
    entries
}

/// The word of a line that begins an entry: `water /ˈwɔːtə/ <n>`.
fn head(line: &str) -> Option<&str> {
    let (head, kind) = line.strip_suffix('>')?.rsplit_once(" <")?;
    let is_kind =
        !kind.is_empty() && kind.len() <= 8 && kind.bytes().all(|b| b.is_ascii_lowercase());
    let word = head.split_once(" /").map_or(head, |(word, _)| word);
    let is_word = matches!(kind, "n" | "v" | "adj" | "adv" | "num" | "pron" | "prep");
    (is_kind && is_word && !word.is_empty()).then_some(word.trim())
}

fn ends_in_number(line: &str) -> bool {
    let end = line.trim_end().strip_suffix('.');
    end.is_some_and(|line| {
        line.rsplit(' ')
            .next()
            .is_some_and(|n| n.parse::<u32>().is_ok())
    })
}

/// One word of small letters, or two.
fn is_plain(word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_lowercase() || c == ' ' || c == '-';
    (2..=20).contains(&word.len()) && word.chars().all(is_letter) && word.matches(' ').count() <= 1
}
