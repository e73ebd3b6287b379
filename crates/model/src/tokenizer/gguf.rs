//! Builds a [`Tokenizer`] from the `tokenizer.ggml.*` metadata of a GGUF file.

use super::added::{AddedToken, Matcher};
use super::bpe::{Bpe, Ranks, Unknown};
use super::json::{MergeBuilder, byte_tokens, conflict_text, lookup};
use super::json_format::MERGES_MAX;
use super::pattern::Pattern;
use super::split::{Behavior, Normalize, Split};
use super::vocab::{Kind, TOKENS_MAX, Vocab};
use super::{TextForm, Tokenizer, Words, bytelevel, pretokenizers};
use crate::gguf::{Metadata, Strings};
use crate::{Error, Result};
use hashbrown::HashMap;
use std::path::Path;

/// The tokenizer metadata of a GGUF file.
#[derive(Clone, Debug, Default)]
pub struct GgufVocab<'a> {
    /// `tokenizer.ggml.model`: `gpt2` or `llama`.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`: the pre-tokenizer's name, for `gpt2`.
    pub pre: Option<&'a str>,
    /// `tokenizer.ggml.tokens`.
    pub tokens: Vec<&'a str>,
    /// `tokenizer.ggml.scores`, for `llama`.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused,
    /// 6 byte; empty: all normal.
    pub token_types: Vec<i32>,
    /// `tokenizer.ggml.merges`, for `gpt2`.
    pub merges: Vec<&'a str>,
    /// `tokenizer.ggml.bos_token_id`.
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`.
    pub eom: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub padding: Option<u32>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`, for `llama`.
    pub add_space_prefix: Option<bool>,
}

impl<'a> GgufVocab<'a> {
    /// Reads the keys `tokenizer.ggml.*`.
    pub fn read(metadata: &'a Metadata) -> Result<Self> {
        let key = |name: &str| format!("tokenizer.ggml.{name}");
        let id = |name: &str| metadata.get_opt::<u32>(&key(name));
        let strings = |name: &str, limit: usize| -> Result<Vec<&'a str>> {
            let Some(strings) = metadata.get_opt::<Strings<'a>>(&key(name))? else {
                return Ok(Vec::new());
            };
            if strings.len() > limit {
                let found = format!("{} elements", strings.len());
                let allowed = format!("at most {limit}");
                return Err(Error::invalid(metadata.path(), key(name), found, allowed));
            }
            strings.utf8().collect()
        };
        let tokens = strings("tokens", TOKENS_MAX)?;
        let types = key("token_type");
        let scores = key("scores");
        Ok(Self {
            model: metadata.str(&key("model"))?,
            pre: metadata.get_opt(&key("pre"))?,
            scores: if metadata.contains(&scores) {
                // One over, so that a list that is too long is seen to be so.
                metadata.floats(&scores)?.take(tokens.len() + 1).collect()
            } else {
                Vec::new()
            },
            token_types: if metadata.contains(&types) {
                let types = metadata.ints(&types)?.take(tokens.len() + 1);
                types.map(|t| i32::try_from(t).unwrap_or(-1)).collect()
            } else {
                Vec::new()
            },
            tokens,
            merges: strings("merges", MERGES_MAX)?,
            bos: id("bos_token_id")?,
            eos: id("eos_token_id")?,
            eot: id("eot_token_id")?,
            eom: id("eom_token_id")?,
            unknown: id("unknown_token_id")?,
            padding: id("padding_token_id")?,
            add_bos: metadata.get_opt(&key("add_bos_token"))?,
            add_space_prefix: metadata.get_opt(&key("add_space_prefix"))?,
        })
    }
}

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";

impl Tokenizer {
    /// The tokenizer of a GGUF file.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self> {
        Self::from_gguf_vocab(metadata.path(), &GgufVocab::read(metadata)?)
    }

    /// Builds from GGUF metadata; `path` is named in errors.
    pub fn from_gguf_vocab(path: &Path, vocab: &GgufVocab<'_>) -> Result<Self> {
        Builder { path, gguf: vocab }.build()
    }
}

struct Builder<'p, 'v, 'a> {
    path: &'p Path,
    gguf: &'v GgufVocab<'a>,
}

impl Builder<'_, '_, '_> {
    fn build(&self) -> Result<Tokenizer> {
        let gguf = self.gguf;
        if gguf.tokens.is_empty() || gguf.tokens.len() > TOKENS_MAX {
            let allowed = format!("1 to {TOKENS_MAX} tokens");
            return Err(self.invalid(TOKENS, format!("{} tokens", gguf.tokens.len()), &allowed));
        }
        self.same_length(TYPES, gguf.token_types.len())?;
        for (field, id) in [
            ("bos_token_id", gguf.bos),
            ("eos_token_id", gguf.eos),
            ("eot_token_id", gguf.eot),
            ("eom_token_id", gguf.eom),
            ("unknown_token_id", gguf.unknown),
            ("padding_token_id", gguf.padding),
        ] {
            if let Some(id) = id
                && id as usize >= gguf.tokens.len()
            {
                let allowed = format!("an id below {}", gguf.tokens.len());
                return Err(self.invalid(&format!("tokenizer.ggml.{field}"), id, &allowed));
            }
        }
        let mut tokenizer = match gguf.model {
            "gpt2" => self.byte_level()?,
            "llama" => self.sentence_piece()?,
            other => {
                return Err(Error::unsupported(
                    self.path,
                    "tokenizer.ggml.model",
                    other,
                    "gpt2, llama",
                ));
            }
        };
        tokenizer.find_end_ids(gguf.eot.into_iter().chain(gguf.eom));
        Ok(tokenizer)
    }

    fn invalid(&self, field: &str, found: impl std::fmt::Display, allowed: &str) -> Error {
        Error::invalid(self.path, field, found, allowed)
    }

    /// A list beside the tokens is empty or as long as they are.
    fn same_length(&self, field: &str, length: usize) -> Result<()> {
        let tokens = self.gguf.tokens.len();
        if length != 0 && length != tokens {
            return Err(self.invalid(field, format!("{length} elements"), &format!("{tokens}")));
        }
        Ok(())
    }

    /// Vocabulary and added tokens.
    fn vocabulary(&self, bytes: bool) -> Result<(Vocab, Vec<AddedToken>)> {
        let gguf = self.gguf;
        let mut vocab = Vocab::with_capacity(gguf.tokens.len());
        let mut added = Vec::new();
        let mut plain = Vec::new();
        for (id, &token) in gguf.tokens.iter().enumerate() {
            let id = id as u32;
            let token_type = gguf.token_types.get(id as usize).copied().unwrap_or(1);
            let mut text = token.as_bytes();
            let kind = match token_type {
                1 | 4 if token.is_empty() => Kind::UserDefined,
                1 if bytes => {
                    if bytelevel::decode_into(token, &mut plain) {
                        text = &plain;
                        Kind::Normal
                    } else {
                        // No byte string: it can be decoded but never comes out of text.
                        Kind::UserDefined
                    }
                }
                1 | 4 => Kind::Normal,
                // The unknown token is written in text like any control token.
                2 | 3 => Kind::Special,
                5 => Kind::UserDefined,
                6 => Kind::Byte(byte_of(token).ok_or_else(|| {
                    self.invalid(TOKENS, format!("byte token {token:?}"), "<0x00> to <0xFF>")
                })?),
                other => return Err(self.invalid(TYPES, other, "1 to 6")),
            };
            if matches!(token_type, 2..=4) {
                added.push(AddedToken {
                    id,
                    content: token.to_owned(),
                    special: token_type != 4,
                    ..AddedToken::default()
                });
            }
            vocab.insert(id, text, kind).map_err(|conflict| {
                let found = conflict_text(conflict, token, id);
                self.invalid(TOKENS, found, "tokens of ordinary length")
            })?;
        }
        Ok((vocab, added))
    }

    fn byte_level(&self) -> Result<Tokenizer> {
        const PRE: &str = "tokenizer.ggml.pre";
        let name = self.gguf.pre.unwrap_or("(absent)");
        let pre = pretokenizers::named(name)
            .ok_or_else(|| Error::unsupported(self.path, PRE, name, pretokenizers::NAMES))?;
        let (vocab, added) = self.vocabulary(true)?;
        let mut merges = HashMap::with_capacity(self.gguf.merges.len().min(1 << 19));
        let mut builder = MergeBuilder::new(&vocab, true);
        for merge in &self.gguf.merges {
            let result = match merge.split_once(' ') {
                Some((left, right)) => builder.add(&mut merges, left, right),
                None => Err(format!("merge {merge:?} without a space")),
            };
            result.map_err(|found| {
                let allowed = "pairs of tokens that make a token";
                self.invalid("tokenizer.ggml.merges", found, allowed)
            })?;
        }
        let mut split = Vec::new();
        for pattern in pre.patterns {
            split.push(Split::Pattern {
                pattern: Pattern::regex(self.path, PRE, pattern)?,
                behavior: Behavior::Isolated,
                invert: false,
            });
        }
        let bpe = Bpe {
            ranks: Ranks::Merges(merges),
            bytes: true,
            whole_words: pre.whole_words,
            unknown: Unknown::default(),
        };
        let normalize = if pre.nfc {
            vec![Normalize::Nfc]
        } else {
            Vec::new()
        };
        self.finish(
            vocab,
            added,
            bpe,
            normalize,
            split,
            TextForm::Bytes,
            pre.add_bos,
        )
    }

    fn sentence_piece(&self) -> Result<Tokenizer> {
        const SCORES: &str = "tokenizer.ggml.scores";
        if self.gguf.scores.is_empty() {
            return Err(self.invalid(SCORES, "nothing", "one score for each token"));
        }
        self.same_length(SCORES, self.gguf.scores.len())?;
        let (vocab, added) = self.vocabulary(false)?;
        let ranks = self.score_ranks(SCORES)?;
        let space_prefix = self.gguf.add_space_prefix.unwrap_or(true);
        let mut normalize = Vec::new();
        if space_prefix {
            normalize.push(Normalize::Prepend(" ".to_owned()));
        }
        normalize.push(Normalize::Replace {
            pattern: Pattern::Literal(" ".to_owned()),
            with: "▁".to_owned(),
        });
        let bpe = Bpe {
            ranks: Ranks::Scores(ranks),
            bytes: false,
            whole_words: false,
            unknown: Unknown {
                bytes: byte_tokens(&vocab),
                token: self.gguf.unknown.or_else(|| lookup(&vocab, b"<unk>")),
                fuse: false,
            },
        };
        let form = TextForm::Metaspace {
            strip_first_space: space_prefix,
        };
        self.finish(vocab, added, bpe, normalize, Vec::new(), form, true)
    }

    /// Place of each token in descending order of score; equal scores share a place.
    fn score_ranks(&self, field: &str) -> Result<Vec<u32>> {
        let scores = &self.gguf.scores;
        if let Some(id) = scores.iter().position(|score| !score.is_finite()) {
            let found = format!("{} for token {id}", scores[id]);
            return Err(self.invalid(field, found, "finite numbers"));
        }
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let mut ranks = vec![0; scores.len()];
        let mut rank = 0;
        for pair in order.windows(2) {
            rank += u32::from(scores[pair[0] as usize] != scores[pair[1] as usize]);
            ranks[pair[1] as usize] = rank;
        }
        Ok(ranks)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one value, each used once"
    )]
    fn finish(
        &self,
        vocab: Vocab,
        added: Vec<AddedToken>,
        bpe: Bpe,
        normalize: Vec<Normalize>,
        split: Vec<Split>,
        form: TextForm,
        add_bos_default: bool,
    ) -> Result<Tokenizer> {
        let gguf = self.gguf;
        let prefix = if gguf.add_bos.unwrap_or(add_bos_default) {
            gguf.bos.into_iter().collect()
        } else {
            Vec::new()
        };
        Ok(Tokenizer {
            vocab,
            words: Words::Bpe(bpe),
            added: Matcher::new(added)
                .map_err(|e| self.invalid(TOKENS, e, "fewer or shorter control tokens"))?,
            added_normalized: Matcher::default(),
            normalize,
            split,
            form,
            prefix,
            suffix: Vec::new(),
            bos: gguf.bos,
            eos: gguf.eos,
            unknown: gguf.unknown,
            padding: gguf.padding,
            end_ids: Vec::new(),
        })
    }
}

/// The byte of `<0xNN>`.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}
