//! Full-text search over one's own chats.

use crate::db::values;
use crate::dialect::Dialect;
use crate::error::Result;
use crate::store::Store;

/// Words of a query that count.
const WORDS_MAX: usize = 16;
const QUESTION_WORDS_MAX: usize = 64;
/// Characters of a snippet, and of them before the first word found.
const SNIPPET_CHARS: usize = 200;
const SNIPPET_CHARS_BEFORE: usize = 60;

/// Something found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The chat.
    pub chat_id: String,
    /// Its title.
    pub title: String,
    /// The message; `None`: the title has the words.
    pub message_id: Option<String>,
    /// Some of the text, with U+0001 before and U+0002 behind each word that was found.
    pub snippet: String,
    /// Of the chat.
    pub updated_at: i64,
}

impl Store {
    /// Finds the chats and messages of somebody that have all words of `query`, the last of which may
    /// be a beginning; those of the newest chats come first, and titles before messages.
    pub async fn search(&self, user_id: &str, query: &str, limit: usize) -> Result<Vec<Hit>> {
        let words = words(query);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = self.db.dialect().match_words(&words);
        let limit = limit.clamp(1, 200);
        let (titles, messages) = match self.db.dialect() {
            Dialect::Sqlite => (
                "SELECT chats.id, chats.title, chats.updated_at FROM chats_index JOIN chats \
                 ON chats.seq = chats_index.rowid WHERE chats_index MATCH $1 \
                 AND chats.user_id = $2 AND chats.temporary = 0 \
                 ORDER BY chats.updated_at DESC, chats.seq DESC LIMIT $3",
                "SELECT chats.id, chats.title, chats.updated_at, m.id, m.content FROM \
                 messages_index JOIN messages m ON m.seq = messages_index.rowid JOIN chats \
                 ON chats.id = m.chat_id WHERE messages_index MATCH $1 AND m.user_id = $2 \
                 AND chats.temporary = 0 \
                 ORDER BY chats.updated_at DESC, m.seq DESC LIMIT $3",
            ),
            Dialect::Postgres => (
                "SELECT chats.id, chats.title, chats.updated_at FROM chats \
                 WHERE terang_words(chats.title) @@ to_tsquery('simple', $1) \
                 AND chats.user_id = $2 AND chats.temporary = 0 \
                 ORDER BY chats.updated_at DESC, chats.seq DESC LIMIT $3",
                // The index is asked once and first, also where nothing is known yet of how much
                // the tables hold, as after an import.
                "WITH found AS MATERIALIZED (SELECT seq, chat_id FROM messages \
                 WHERE status <> 'streaming' \
                 AND terang_words(content) @@ to_tsquery('simple', $1) AND user_id = $2), \
                 newest AS MATERIALIZED (SELECT found.seq, chats.id, chats.title, \
                 chats.updated_at FROM found JOIN chats ON chats.id = found.chat_id \
                 WHERE chats.temporary = 0 \
                 ORDER BY chats.updated_at DESC, found.seq DESC LIMIT $3) \
                 SELECT newest.id, newest.title, newest.updated_at, m.id, m.content FROM newest \
                 JOIN messages m ON m.seq = newest.seq \
                 ORDER BY newest.updated_at DESC, newest.seq DESC",
            ),
        };
        let mut hits = Vec::new();
        for mut row in self
            .db
            .fetch(titles, values![&wanted, user_id, limit])
            .await?
        {
            let (chat_id, title) = (row.text()?, row.text()?);
            hits.push(Hit {
                chat_id,
                snippet: snippet(&title, &words),
                title,
                message_id: None,
                updated_at: row.int()?,
            });
        }
        let left = limit - hits.len();
        if left > 0 {
            for mut row in self
                .db
                .fetch(messages, values![&wanted, user_id, left])
                .await?
            {
                hits.push(Hit {
                    chat_id: row.text()?,
                    title: row.text()?,
                    updated_at: row.int()?,
                    message_id: Some(row.text()?),
                    snippet: snippet(&row.text()?, &words),
                });
            }
        }
        Ok(hits)
    }
}

/// The words of a text: runs of letters and digits, in small letters.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.take(WORDS_MAX).map(str::to_lowercase).collect()
}

/// Words that say nothing of what a question is about, in English and Indonesian.
const STOP_WORDS: [&str; 99] = [
    "a",
    "about",
    "an",
    "and",
    "are",
    "as",
    "at",
    "be",
    "by",
    "can",
    "did",
    "do",
    "does",
    "for",
    "from",
    "had",
    "has",
    "have",
    "how",
    "i",
    "if",
    "in",
    "is",
    "it",
    "its",
    "me",
    "my",
    "of",
    "on",
    "or",
    "please",
    "should",
    "tell",
    "that",
    "the",
    "their",
    "there",
    "these",
    "they",
    "this",
    "to",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "why",
    "will",
    "with",
    "would",
    "you",
    "your",
    "ada",
    "adalah",
    "akan",
    "anda",
    "apa",
    "apakah",
    "atau",
    "bagaimana",
    "bagi",
    "berapa",
    "bisa",
    "dalam",
    "dan",
    "dapat",
    "dari",
    "dengan",
    "di",
    "dia",
    "ini",
    "itu",
    "juga",
    "kah",
    "kami",
    "kapan",
    "karena",
    "ke",
    "kita",
    "mana",
    "mengapa",
    "mereka",
    "oleh",
    "pada",
    "saja",
    "saya",
    "sebuah",
    "siapa",
    "tentang",
    "tidak",
    "tolong",
    "untuk",
    "yang",
    "nya",
    "telah",
    "kenapa",
];

/// The words of a question that say what it is about, each with whether it stands for all words that
/// begin so: of longer words the last letter may be another ("invoices", "invoice").
pub(crate) fn question_words(question: &str) -> Vec<(String, bool)> {
    let all: Vec<String> = question
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(QUESTION_WORDS_MAX)
        .map(str::to_lowercase)
        .collect();
    let telling = |word: &&String| !STOP_WORDS.contains(&word.as_str());
    let mut kept: Vec<&String> = all.iter().filter(telling).collect();
    if kept.is_empty() {
        kept = all.iter().collect();
    }
    let mut words: Vec<(String, bool)> = Vec::new();
    for word in kept {
        let length = word.chars().count();
        let stem: String = word
            .chars()
            .take(length - usize::from(length > 5))
            .collect();
        let word = (stem, length > 3);
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Part of a text round the first word found, each marked.
fn snippet(text: &str, words: &[String]) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut begin = None;
    for at in 0..=chars.len() {
        let is_word = chars.get(at).is_some_and(|c| c.is_alphanumeric());
        match (begin, is_word) {
            (None, true) => begin = Some(at),
            (Some(from), false) => {
                let word: String = chars[from..at].iter().collect();
                if matches(&word.to_lowercase(), words) {
                    found.push((from, at));
                }
                begin = None;
            }
            _ => {}
        }
    }
    let first = found.first().map_or(0, |&(from, _)| from);
    let from = first.saturating_sub(SNIPPET_CHARS_BEFORE);
    let to = (from + SNIPPET_CHARS).min(chars.len());
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    let mut marks = found
        .iter()
        .filter(|&&(begin, end)| begin >= from && end <= to);
    let mut mark = marks.next();
    for (at, &c) in chars.iter().enumerate().take(to).skip(from) {
        if mark.is_some_and(|&(begin, _)| begin == at) {
            out.push('\u{1}');
        }
        // What marks hits cannot stand in the text itself.
        out.push(if c.is_control() { ' ' } else { c });
        if mark.is_some_and(|&(_, end)| end == at + 1) {
            out.push('\u{2}');
            mark = marks.next();
        }
    }
    if to < chars.len() {
        out.push('…');
    }
    out
}

fn matches(word: &str, words: &[String]) -> bool {
    let last = words.last();
    words.iter().any(|wanted| wanted == word)
        || last.is_some_and(|last| word.starts_with(last.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_marks_what_was_found() {
        let words = words("Trans  model");
        assert_eq!(words, ["trans", "model"]);
        assert_eq!(
            snippet("A trans\u{1}\nmodels", &words),
            "A \u{1}trans\u{2}  \u{1}models\u{2}"
        );
        let long = format!("{} model {}", "x ".repeat(200), "y ".repeat(200));
        let part = snippet(&long, &words);
        assert!(part.starts_with('…') && part.ends_with('…'));
        assert!(
            part.contains("\u{1}model\u{2}") && part.chars().count() < 210,
            "{part}"
        );
    }

    #[test]
    fn a_question_is_its_telling_words() {
        let begins = |word: &str| (word.to_owned(), true);
        assert_eq!(
            question_words("What is the invoices' VAT, and the invoices?"),
            [begins("invoice"), ("vat".to_owned(), false)]
        );
        assert_eq!(question_words("Apa yang ada di sana?"), [begins("sana")]);
        assert_eq!(question_words("who is it").len(), 3);
        assert!(question_words("?! * \" OR").len() == 1);
    }

    #[test]
    fn a_query_of_marks_alone_has_no_words() {
        assert!(words("\" * -- ' ; ()").is_empty());
        assert_eq!(words(&"w ".repeat(100)).len(), WORDS_MAX);
    }
}
