//! From files to documents of tokens.

use crate::examples::{Example, RawPair, RawTask, encode_pair, encode_task, read_pair, read_task};
use crate::recipe::{Form, Source};
use crate::{Result, TrainError};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use terang_data::config::fits_name as fits;
use terang_model::template::{ChatInput, ChatTemplate, Limits};
use terang_model::tokenizer::{Special, Tokenizer};

/// Most bytes of a line.
const LINE_MAX: usize = 16 << 20;
/// Most bytes of text that are held in memory.
pub(crate) const BYTES_MAX: u64 = 2 << 30;

/// Ends a text.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";
/// Tokens that come out of no text.
pub(crate) const SPECIAL: [&str; 3] = [END_OF_TEXT, "<|im_start|>", "<|im_end|>"];
/// `ChatML`, the form of a conversation that most open models share.
pub(crate) const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' \
}}{% endif %}";

/// A document, with what its tokens count when they are learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its tokens, the one that ends it included.
    pub tokens: Vec<u32>,
    /// As long as `tokens`: whether a token is learned. Empty where all are.
    pub learned: Vec<bool>,
}

/// The texts of a source, and what is known of it.
#[derive(Clone, Debug)]
pub struct Texts {
    /// Documents: texts, or conversations.
    pub documents: Vec<Raw>,
    /// Files, each with the SHA-256 of its bytes in hexadecimal.
    pub files: Vec<(PathBuf, String)>,
    /// Bytes read.
    pub bytes: u64,
}

/// A document before it is tokens.
#[derive(Clone, Debug)]
pub enum Raw {
    /// Plain text.
    Text(String),
    /// Messages in OpenAI's form.
    Chat(Vec<Value>),
    /// Two answers, one better than the other.
    Pair(RawPair),
    /// A question whose answer can be checked.
    Task(RawTask),
}

impl Raw {
    /// Its words, for a tokenizer to learn from.
    pub fn words(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Chat(messages) => contents(messages).collect(),
            Self::Pair(pair) => pair.messages().flat_map(contents).collect(),
            Self::Task(task) => contents(task.messages()).collect(),
        }
    }
}

fn contents(messages: &[Value]) -> impl Iterator<Item = &str> {
    messages
        .iter()
        .filter_map(|message| message["content"].as_str())
}

/// The files that a source names, by their paths from `base`.
///
/// # Errors
/// [`TrainError::File`] where a folder cannot be read, [`TrainError::NoFiles`] where nothing fits a name.
pub fn files(base: &Path, source: &Source) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for pattern in &source.files {
        let path = base.join(pattern);
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !name.contains('*') {
            all.push(path);
            continue;
        }
        let folder = path.parent().unwrap_or(base);
        let wrong = |error| TrainError::File {
            path: folder.to_owned(),
            source: error,
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if fits(&name, &entry.file_name().to_string_lossy()) && entry.path().is_file() {
                found.push(entry.path());
            }
        }
        if found.is_empty() {
            return Err(TrainError::NoFiles {
                source_name: source.name.clone(),
                pattern: pattern.clone(),
            });
        }
        found.sort();
        all.append(&mut found);
    }
    Ok(all)
}

/// Reads a source.
///
/// # Errors
/// Those of reading; a line that is no JSON or lacks its field is told by its number.
pub fn read(base: &Path, source: &Source) -> Result<Texts> {
    let mut texts = Texts {
        documents: Vec::new(),
        files: Vec::new(),
        bytes: 0,
    };
    for path in files(base, source)? {
        let wrong = |error| TrainError::File {
            path: path.clone(),
            source: error,
        };
        let mut reader = BufReader::new(std::fs::File::open(&path).map_err(wrong)?);
        let mut digest = Sha256::new();
        let (mut line, mut number, mut paragraph) = (Vec::new(), 0u64, String::new());
        loop {
            line.clear();
            let at = texts.bytes;
            let mut limited = std::io::Read::take(&mut reader, LINE_MAX as u64 + 1);
            let n = limited.read_until(b'\n', &mut line).map_err(wrong)?;
            if n == 0 {
                break;
            }
            if n > LINE_MAX {
                return Err(TrainError::LongLine {
                    path,
                    at,
                    allowed: LINE_MAX,
                });
            }
            digest.update(&line);
            texts.bytes += n as u64;
            number += 1;
            if texts.bytes > BYTES_MAX {
                return Err(TrainError::TooMuchText {
                    source_name: source.name.clone(),
                    allowed: BYTES_MAX,
                });
            }
            let text = std::str::from_utf8(&line).map_err(|error| TrainError::NotText {
                path: path.clone(),
                at: at + error.valid_up_to() as u64,
            })?;
            let bad = |reason: String| TrainError::Line {
                path: path.clone(),
                number,
                reason,
            };
            let json = || -> Result<Value> {
                serde_json::from_str(text).map_err(|error| bad(error.to_string()))
            };
            match source.form {
                Form::Text if text.trim().is_empty() => flush(&mut paragraph, &mut texts.documents),
                Form::Text => paragraph.push_str(text),
                _ if text.trim().is_empty() => {}
                Form::Jsonl => {
                    let value = json()?;
                    let text = value["text"]
                        .as_str()
                        .ok_or_else(|| bad("no field `text` with a string".to_owned()))?;
                    texts.documents.push(Raw::Text(text.to_owned()));
                }
                Form::Chat => {
                    let value = json()?;
                    let messages = value["messages"]
                        .as_array()
                        .filter(|messages| !messages.is_empty());
                    let messages = messages
                        .ok_or_else(|| bad("no field `messages` with messages".to_owned()))?;
                    texts.documents.push(Raw::Chat(messages.clone()));
                }
                Form::Preference => {
                    let pair = read_pair(&json()?).map_err(bad)?;
                    texts.documents.push(Raw::Pair(pair));
                }
                Form::Task => {
                    let task = read_task(&json()?).map_err(bad)?;
                    texts.documents.push(Raw::Task(task));
                }
            }
        }
        flush(&mut paragraph, &mut texts.documents);
        texts.files.push((path, hex(&digest.finalize())));
    }
    Ok(texts)
}

fn flush(paragraph: &mut String, documents: &mut Vec<Raw>) {
    if !paragraph.is_empty() {
        documents.push(Raw::Text(std::mem::take(paragraph)));
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = std::fmt::Write::write_fmt(&mut out, format_args!("{byte:02x}"));
        out
    })
}

/// The token that ends a text.
///
/// # Errors
/// [`TrainError::Setting`] where there is none.
pub(crate) fn end_of_text(tokenizer: &Tokenizer) -> Result<u32> {
    let end = tokenizer.id_of(END_OF_TEXT).or_else(|| tokenizer.eos());
    end.ok_or_else(|| TrainError::Setting {
        name: "tokenizer",
        found: "no token that ends a text".to_owned(),
        allowed: format!("one with {END_OF_TEXT}"),
    })
}

/// The template of conversations, where a tokenizer has its tokens.
pub(crate) fn chat_template(tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>> {
    let has = |token: &str| tokenizer.id_of(token).is_some();
    if !SPECIAL[1..].iter().all(|token| has(token)) {
        return Ok(None);
    }
    Ok(Some(ChatTemplate::new(CHAT_TEMPLATE, tokenizer)?))
}

/// Documents as often as a source's weight says: whole times, and of the rest the first ones.
pub(crate) fn weighted<T: Clone>(documents: Vec<T>, weight: f64) -> Vec<T> {
    if weight == 1.0 {
        return documents;
    }
    let n = (documents.len() as f64 * weight).round() as usize;
    documents
        .iter()
        .cycle()
        .take(n.max(1).min(documents.len().saturating_mul(1000)))
        .cloned()
        .collect()
}

/// The tokens of a document; `end` follows a text.
///
/// # Errors
/// [`TrainError::Words`] where text has no tokens or the template refuses a conversation;
/// [`TrainError::Template`] where the assistant's words cannot be told from the rest.
pub fn encode(
    raw: &Raw,
    tokenizer: &Tokenizer,
    template: Option<&ChatTemplate>,
    end: u32,
) -> Result<Example> {
    let template = || {
        template.ok_or(TrainError::Template {
            reason: "there is no chat template",
        })
    };
    Ok(match raw {
        Raw::Text(text) => {
            let mut tokens = tokenizer.encode(text, Special::Ignore)?;
            tokens.push(end);
            Example::Document(Document {
                tokens,
                learned: Vec::new(),
            })
        }
        Raw::Chat(messages) => Example::Document(encode_chat(messages, tokenizer, template()?)?),
        Raw::Pair(pair) => Example::Pair(encode_pair(pair, tokenizer, template()?)?),
        Raw::Task(task) => Example::Task(encode_task(task, tokenizer, template()?)?),
    })
}

/// A conversation as the template writes it. What the assistant says is what follows a prompt that ends
/// with the opening of its turn.
pub(crate) fn encode_chat(
    messages: &[Value],
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Document> {
    let render = |messages: &[Value], add_generation_prompt: bool| -> Result<Vec<u32>> {
        let input = ChatInput {
            messages: messages.to_vec(),
            add_generation_prompt,
            ..ChatInput::default()
        };
        Ok(tokenizer.encode_chat(&template.render(&input, &Limits::default())?)?)
    };
    let tokens = render(messages, false)?;
    let mut learned = vec![false; tokens.len()];
    for (i, _) in messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message["role"] == "assistant")
    {
        let (before, after) = (
            render(&messages[..i], true)?,
            render(&messages[..=i], false)?,
        );
        if !tokens.starts_with(&after) || !after.starts_with(&before) {
            let reason = "a conversation's beginning is not written as the beginning of the whole";
            return Err(TrainError::Template { reason });
        }
        learned[before.len()..after.len()].fill(true);
    }
    Ok(Document { tokens, learned })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, expected) in [
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("*", "x", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn documents_are_read_and_wrong_lines_are_told_by_number() {
        let folder = tempfile::tempdir().unwrap();
        let source = |form, file: &str| Source {
            name: "s".to_owned(),
            files: vec![file.to_owned()],
            form,
            prepared: None,
            config: None,
            sources: Vec::new(),
            weight: 1.0,
            licence: String::new(),
            origin: String::new(),
        };
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("a.txt", b"one\ntwo\n\n\nthree");
        let texts = read(folder.path(), &source(Form::Text, "*.txt")).unwrap();
        let words: Vec<_> = texts.documents.iter().flat_map(Raw::words).collect();
        assert_eq!(words, ["one\ntwo\n", "three"]);
        assert_eq!(
            texts.files[0].1,
            hex(&Sha256::digest(b"one\ntwo\n\n\nthree"))
        );
        write("b.jsonl", b"{\"text\": \"x\"}\n\n{\"txt\": 1}\n");
        let error = read(folder.path(), &source(Form::Jsonl, "b.jsonl"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 3") && error.contains("`text`"),
            "{error}"
        );
        write("c.txt", b"ok\n\xff\xfe");
        let error = read(folder.path(), &source(Form::Text, "c.txt"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("byte 3"), "{error}");
        let error = read(folder.path(), &source(Form::Text, "*.md"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("*.md"), "{error}");
        write("e.jsonl", b"{\"prompt\": \"x\", \"answer\": \"none\"}\n");
        let error = read(folder.path(), &source(Form::Task, "e.jsonl"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("line 1: field `answer`"), "{error}");
        let long = vec![b'a'; LINE_MAX + 2];
        write("d.txt", &long);
        assert!(matches!(
            read(folder.path(), &source(Form::Text, "d.txt")),
            Err(TrainError::LongLine { .. })
        ));
    }
}
