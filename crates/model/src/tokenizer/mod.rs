//! Text to token ids and back.
//!
//! One [`Tokenizer`] serves every model: byte-level BPE (GPT-2, Llama 3, Qwen), SentencePiece-style
//! BPE (Llama 2, Mistral, Gemma) and `WordPiece` (BERT), read from a Hugging Face `tokenizer.json` or
//! from the metadata of a GGUF file. Text is cut at added tokens, normalised, split into words, and
//! these into tokens.
//!
//! Invariant: a control token comes out of text only where the caller says so: with
//! [`Special::Parse`], or in [`Tokenizer::encode_chat`] where it stands in the chat template itself.

mod added;
mod bert;
mod bpe;
mod bytelevel;
mod detokenize;
mod gguf;
mod json;
mod json_format;
mod pattern;
mod pretokenizers;
mod split;
mod vocab;
mod wordpiece;
mod words;

pub use detokenize::Detokenizer;
pub use gguf::GgufVocab;
pub(crate) use json::{read_bounded, read_json};
pub use words::{PreTokenizer, byte_text};

use crate::template::Rendered;
use crate::{Error, Result};
use added::{Matcher, Section};
use bpe::{Bpe, Scratch};
use split::{Normalize, Split};
use std::ops::Range;
use vocab::{Kind, Vocab};
use wordpiece::WordPiece;

/// What to do with the text of control tokens (`<|im_end|>`) in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// It is ordinary text. Right for anything that a user wrote.
    Ignore,
    /// It becomes the control token.
    Parse,
}

/// How token texts turn back into plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextForm {
    /// Token texts are the bytes themselves.
    Bytes,
    /// `▁` stands for a space.
    Metaspace {
        /// One space at the very beginning was put there by the tokenizer.
        strip_first_space: bool,
    },
    /// A space stands before each token that has no `##` to say that it goes on within a word.
    WordPiece,
}

/// How words become tokens.
#[derive(Debug)]
enum Words {
    Bpe(Bpe),
    WordPiece(WordPiece),
}

/// What tokens that go on within a word begin with.
const CONTINUING: &str = "##";

/// A model's tokenizer; see the module's comment.
#[derive(Debug)]
pub struct Tokenizer {
    vocab: Vocab,
    words: Words,
    /// Added tokens found in the text as it is, and those found after normalisation.
    added: Matcher,
    added_normalized: Matcher,
    normalize: Vec<Normalize>,
    split: Vec<Split>,
    form: TextForm,
    /// What stands before and after every text.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    padding: Option<u32>,
    end_ids: Vec<u32>,
}

impl Tokenizer {
    /// The tokens of `text`, without any that the model wants at the beginning (see
    /// [`Self::add_bos`]).
    pub fn encode(&self, text: &str, special: Special) -> Result<Vec<u32>> {
        self.encode_where(text, |_| special == Special::Parse)
    }

    /// The tokens of `text` with those that the model wants around every text: what an encoder reads
    /// (`[CLS] … [SEP]`). Control tokens in the text are ordinary text.
    pub fn encode_whole(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.prefix.clone();
        ids.extend(self.encode(text, Special::Ignore)?);
        ids.extend(&self.suffix);
        Ok(ids)
    }

    /// Tokens that the model wants after every text.
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// The tokens of a rendered chat prompt. Control tokens are recognised where the template put
    /// them and nowhere else; exactly one begin token leads if the model wants one.
    pub fn encode_chat(&self, prompt: &Rendered) -> Result<Vec<u32>> {
        let (text, guarded) = prompt.unguarded();
        let mut ids = self.encode_where(&text, |range| {
            // A control token may neither begin at a guarded place nor reach over one.
            let next = guarded.partition_point(|&place| place < range.start);
            guarded.get(next).is_none_or(|&place| place >= range.end)
        })?;
        if let Some(bos) = self.add_bos()
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// `special_at`: whether a control token that covers these bytes is to be recognised.
    fn encode_where(
        &self,
        text: &str,
        special_at: impl Fn(Range<usize>) -> bool,
    ) -> Result<Vec<u32>> {
        if text.len() > split::TEXT_BYTES_MAX {
            return Err(Error::Limit {
                what: "bytes of text",
                found: text.len(),
                limit: split::TEXT_BYTES_MAX,
            });
        }
        let mut out = Vec::with_capacity(text.len() / 3 + 4);
        let mut scratch = Scratch::default();
        let sections = self
            .added
            .sections(text, |token, range| !token.special || special_at(range));
        for section in sections {
            match section {
                Section::Token(id) => out.push(id),
                Section::Text(range) => {
                    let first = range.start == 0;
                    self.encode_section(&text[range], first, &mut scratch, &mut out)?;
                }
            }
        }
        Ok(out)
    }

    fn encode_section(
        &self,
        text: &str,
        first: bool,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        let text = split::normalize(&self.normalize, text)?;
        for section in self.added_normalized.sections(&text, |_, _| true) {
            match section {
                Section::Token(id) => out.push(id),
                Section::Text(range) => {
                    let first = first && range.start == 0;
                    split::split(&self.split, &text[range], first, |word| match &self.words {
                        Words::Bpe(bpe) => bpe.encode_word(&self.vocab, word, scratch, out),
                        Words::WordPiece(pieces) => pieces.encode_word(&self.vocab, word, out),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The token that the model wants at the beginning of every text, if any.
    pub fn add_bos(&self) -> Option<u32> {
        self.prefix.first().copied()
    }

    /// The text of `ids`. Bytes that are no UTF-8 become U+FFFD. `skip_special` leaves control
    /// tokens out; ids that the vocabulary lacks are left out always.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut detokenizer = Detokenizer::new(skip_special);
        let mut text = String::with_capacity(ids.len() * 4);
        for &id in ids {
            text.push_str(&detokenizer.push(self, id));
        }
        text.push_str(&detokenizer.flush());
        text
    }

    /// The bytes that a token stands for in the middle of a text.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let bytes = self.vocab.bytes(id)?;
        Some(match (self.vocab.kind(id), self.form) {
            (Kind::Byte(byte), _) => vec![byte],
            (Kind::Normal | Kind::UserDefined, TextForm::Metaspace { .. }) => {
                detokenize::metaspace_to_space(bytes).into_owned()
            }
            _ => bytes.to_vec(),
        })
    }

    /// The id of the token with this text (for a byte-level vocabulary: of these plain bytes).
    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.vocab
            .control_id(text.as_bytes())
            .or_else(|| self.vocab.id(text.as_bytes()))
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// Tokens that end the model's turn; never empty for a model that declares any.
    pub fn eos_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// Whether a token is a control token.
    pub fn is_special(&self, id: u32) -> bool {
        self.vocab.kind(id) == Kind::Special
    }

    /// The begin token, whether or not the model wants it before every text.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The main end token.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// The unknown token.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The padding token.
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// The text of a token as it is written in templates (`<s>`).
    pub fn token_text(&self, id: u32) -> Option<String> {
        let bytes = self.token_bytes(id)?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The texts of all control tokens: what a chat prompt must not take from user text.
    pub fn special_texts(&self) -> impl Iterator<Item = &str> {
        self.added
            .tokens()
            .iter()
            .filter(|token| token.special)
            .map(|token| token.content.as_str())
    }

    /// Completes the list of end tokens: what the model declares, and the tokens by which families
    /// are known to end a turn where they are control tokens of this vocabulary.
    fn find_end_ids(&mut self, declared: impl IntoIterator<Item = u32>) {
        const TURN_ENDS: [&str; 15] = [
            "<|im_end|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|end|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<|end_of_turn|>",
            "<|END_OF_TURN_TOKEN|>",
            "<｜end▁of▁sentence｜>",
            "<|return|>",
            "<|call|>",
            "<EOT>",
            "</s>",
            "<eos>",
        ];
        let mut ids: Vec<u32> = self.eos.into_iter().chain(declared).collect();
        for text in TURN_ENDS {
            if let Some(id) = self.vocab.control_id(text.as_bytes())
                && self.is_special(id)
            {
                ids.push(id);
            }
        }
        ids.retain(|&id| self.vocab.kind(id) != Kind::Absent);
        let mut seen = Vec::new();
        ids.retain(|&id| {
            !seen.contains(&id) && {
                seen.push(id);
                true
            }
        });
        self.end_ids = ids;
    }
}
