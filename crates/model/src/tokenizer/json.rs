//! Builds a [`Tokenizer`] from `tokenizer.json` and the small files that lie beside it.

use super::added::{AddedToken, Matcher};
use super::bpe::{Bpe, Ranks, Unknown};
use super::json_format::{self as format, Component, MERGES_MAX, Model, TokenizerFile};
use super::pattern::Pattern;
use super::split::{self, Behavior, Normalize, PrependScheme, Split};
use super::vocab::{Conflict, Kind, TOKENS_MAX, Vocab};
use super::wordpiece::{WORD_CHARS_MAX, WordPiece};
use super::{CONTINUING, TextForm, Tokenizer, Words, bert, bytelevel, pretokenizers};
use crate::{Error, Result};
use hashbrown::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest `tokenizer.json`; Gemma's is 33 MB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Largest of the small files beside it.
const SIBLING_BYTES_MAX: u64 = 4 << 20;

impl Tokenizer {
    /// Reads a `tokenizer.json`, and `tokenizer_config.json`, `generation_config.json` and
    /// `config.json` beside it where they are there: these name the begin and end tokens.
    pub fn from_file(path: &Path) -> Result<Self> {
        let mut tokenizer = Self::from_json_bytes(path, &read_bounded(path, FILE_BYTES_MAX)?)?;
        if let Some(folder) = path.parent() {
            tokenizer.read_siblings(folder)?;
        }
        Ok(tokenizer)
    }

    /// Builds from the text of a `tokenizer.json`; `path` is named in errors.
    pub fn from_json_bytes(path: &Path, json: &[u8]) -> Result<Self> {
        if json.len() as u64 > FILE_BYTES_MAX {
            return Err(too_large(path, FILE_BYTES_MAX));
        }
        let file: TokenizerFile<'_> = serde_json::from_slice(json)
            .map_err(|e| Error::invalid(path, "tokenizer.json", e, "a tokenizer"))?;
        Builder { path }.build(&file)
    }

    fn read_siblings(&mut self, folder: &Path) -> Result<()> {
        let mut declared = Vec::new();
        for name in ["generation_config.json", "config.json"] {
            let Some(value) = read_json(&folder.join(name))? else {
                continue;
            };
            match &value["eos_token_id"] {
                serde_json::Value::Array(ids) => declared.extend(ids.iter().filter_map(id_of)),
                id => declared.extend(id_of(id)),
            }
        }
        if let Some(value) = read_json(&folder.join("tokenizer_config.json"))? {
            let token = |key: &str| {
                let entry = &value[key];
                let text = entry.as_str().or_else(|| entry["content"].as_str())?;
                self.id_of(text)
            };
            let (bos, eos) = (token("bos_token"), token("eos_token"));
            let (unknown, padding) = (token("unk_token"), token("pad_token"));
            self.bos = bos.or(self.bos);
            self.eos = eos.or(self.eos);
            self.unknown = unknown.or(self.unknown);
            self.padding = padding.or(self.padding);
            match value["add_bos_token"].as_bool() {
                Some(true) => self.prefix = self.bos.into_iter().collect(),
                Some(false) => self.prefix.clear(),
                None => {}
            }
        }
        self.eos = self.eos.or(declared.first().copied());
        self.find_end_ids(declared);
        Ok(())
    }
}

fn id_of(value: &serde_json::Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn too_large(path: &Path, limit: u64) -> Error {
    Error::invalid(
        path,
        "file",
        "a larger file",
        format!("at most {limit} bytes"),
    )
}

pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
    if !metadata.is_file() {
        return Err(Error::invalid(path, "file", "no ordinary file", "a file"));
    }
    if metadata.len() > limit {
        return Err(too_large(path, limit));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io(path, e))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(path, limit));
    }
    Ok(bytes)
}

/// A small JSON file, if it is there.
pub(crate) fn read_json(path: &Path) -> Result<Option<serde_json::Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_bounded(path, SIBLING_BYTES_MAX)?;
    let value =
        serde_json::from_slice(&bytes).map_err(|e| Error::invalid(path, "file", e, "JSON"))?;
    Ok(Some(value))
}

struct Builder<'p> {
    path: &'p Path,
}

impl Builder<'_> {
    fn build(&self, file: &TokenizerFile<'_>) -> Result<Tokenizer> {
        let model = &file.model;
        let word_piece = match model.kind.as_deref() {
            Some("BPE") | None => false,
            Some("WordPiece") => true,
            Some(other) => return Err(self.unsupported("model.type", other, "BPE, WordPiece")),
        };
        let mut normalize = Vec::new();
        if let Some(normalizer) = &file.normalizer {
            self.normalizer(normalizer, &mut normalize)?;
        }
        let mut split = Vec::new();
        let mut bytes = false;
        if let Some(pre_tokenizer) = &file.pre_tokenizer {
            self.pre_tokenizer(pre_tokenizer, &mut split, &mut bytes)?;
        }

        let mut vocab = self.vocabulary(file, bytes)?;
        let (added, added_normalized) = self.added_tokens(file, &normalize, &mut vocab)?;
        let unknown_token = match model.unk_token.as_deref() {
            Some(text) => Some(lookup(&vocab, text.as_bytes()).ok_or_else(|| {
                self.invalid("model.unk_token", text, "a token of the vocabulary")
            })?),
            None => None,
        };
        let words = if word_piece {
            Words::WordPiece(self.word_piece(model, unknown_token)?)
        } else {
            Words::Bpe(self.bpe(file, bytes, unknown_token, &mut vocab)?)
        };
        let [prefix, suffix] = self.around(file, &vocab)?;
        let form = match file.decoder.as_ref() {
            None if word_piece => TextForm::WordPiece,
            decoder => self.text_form(decoder, bytes)?,
        };
        let mut tokenizer = Tokenizer {
            words,
            added: self.matcher(added)?,
            added_normalized: self.matcher(added_normalized)?,
            normalize,
            split,
            form,
            bos: prefix.first().copied(),
            prefix,
            suffix,
            eos: None,
            unknown: unknown_token,
            padding: None,
            end_ids: Vec::new(),
            vocab,
        };
        tokenizer.find_end_ids([]);
        Ok(tokenizer)
    }

    fn bpe(
        &self,
        file: &TokenizerFile<'_>,
        bytes: bool,
        unknown_token: Option<u32>,
        vocab: &mut Vocab,
    ) -> Result<Bpe> {
        let model = &file.model;
        for (field, value) in [
            (
                "continuing_subword_prefix",
                &model.continuing_subword_prefix,
            ),
            ("end_of_word_suffix", &model.end_of_word_suffix),
        ] {
            if value.as_deref().is_some_and(|text| !text.is_empty()) {
                let field = format!("model.{field}");
                return Err(self.unsupported(&field, value.as_deref().unwrap_or(""), "none"));
            }
        }
        let merges = self.merges(file, bytes, vocab)?;
        let unknown = Unknown {
            bytes: if model.byte_fallback == Some(true) {
                byte_tokens(vocab)
            } else {
                None
            },
            token: unknown_token,
            fuse: model.fuse_unk == Some(true),
        };
        if let Some(bytes) = &unknown.bytes {
            for (byte, &id) in (0..=255u8).zip(bytes.iter()) {
                vocab.set_kind(id, Kind::Byte(byte));
            }
        }
        Ok(Bpe {
            ranks: Ranks::Merges(merges),
            bytes,
            whole_words: model.ignore_merges == Some(true),
            unknown,
        })
    }

    fn word_piece(&self, model: &Model<'_>, unknown_token: Option<u32>) -> Result<WordPiece> {
        let continuing = model.continuing_subword_prefix.as_deref();
        let continuing = continuing.unwrap_or(CONTINUING);
        if continuing != CONTINUING {
            let field = "model.continuing_subword_prefix";
            return Err(self.unsupported(field, continuing, CONTINUING));
        }
        let word_chars_max = model.max_input_chars_per_word.unwrap_or(100);
        if word_chars_max > WORD_CHARS_MAX {
            let allowed = format!("at most {WORD_CHARS_MAX}");
            let field = "model.max_input_chars_per_word";
            return Err(self.invalid(field, word_chars_max, &allowed));
        }
        let unknown = unknown_token
            .ok_or_else(|| self.invalid("model.unk_token", "nothing", "the unknown token"))?;
        Ok(WordPiece {
            word_chars_max,
            unknown,
        })
    }

    fn invalid(&self, field: &str, found: impl std::fmt::Display, allowed: &str) -> Error {
        Error::invalid(self.path, field, found, allowed)
    }

    fn unsupported(&self, field: &str, found: &str, supported: &str) -> Error {
        Error::unsupported(self.path, field, found, supported)
    }

    fn matcher(&self, tokens: Vec<AddedToken>) -> Result<Matcher> {
        Matcher::new(tokens).map_err(|e| self.invalid("added_tokens", e, "fewer or shorter tokens"))
    }

    fn vocabulary(&self, file: &TokenizerFile<'_>, bytes: bool) -> Result<Vocab> {
        let json = file
            .model
            .vocab
            .ok_or_else(|| self.invalid("model.vocab", "nothing", "an object of tokens"))?;
        // An entry takes at least `"":0,`.
        let mut vocab = Vocab::with_capacity((json.get().len() / 12).min(1 << 18));
        let mut count = 0usize;
        let mut plain = Vec::new();
        format::each_token(json, |token, id| {
            count += 1;
            if count > TOKENS_MAX {
                return Err(format!("over {TOKENS_MAX} tokens"));
            }
            let (text, kind) = if !bytes {
                (token.as_bytes(), Kind::Normal)
            } else if bytelevel::decode_into(token, &mut plain) {
                (plain.as_slice(), Kind::Normal)
            } else {
                // No byte string: it can be decoded but never comes out of text.
                (token.as_bytes(), Kind::UserDefined)
            };
            if kind == Kind::Normal && vocab.id(text).is_some() {
                return Err(format!("token {token:?} twice"));
            }
            vocab
                .insert(id, text, kind)
                .map_err(|conflict| conflict_text(conflict, token, id))
        })
        .map_err(|e| self.invalid("model.vocab", e, "tokens with ids of their own"))?;
        Ok(vocab)
    }

    /// Puts the added tokens into the vocabulary; gives those found before normalisation and those
    /// found after it.
    fn added_tokens(
        &self,
        file: &TokenizerFile<'_>,
        normalize: &[Normalize],
        vocab: &mut Vocab,
    ) -> Result<(Vec<AddedToken>, Vec<AddedToken>)> {
        let mut added = Vec::new();
        let mut added_normalized = Vec::new();
        for entry in &file.added_tokens.0 {
            let content = entry.content.as_ref();
            let kind = if entry.special {
                Kind::Special
            } else {
                Kind::UserDefined
            };
            let same = vocab.bytes(entry.id).is_some_and(|text| {
                let mut plain = Vec::new();
                text == content.as_bytes()
                    || (bytelevel::decode_into(content, &mut plain) && text == plain)
            });
            if same {
                // A token of the vocabulary that text may also become by merging stays as it is.
                if entry.special {
                    vocab.set_kind(entry.id, Kind::Special);
                }
            } else {
                vocab
                    .insert(entry.id, content.as_bytes(), kind)
                    .map_err(|conflict| {
                        let found = conflict_text(conflict, content, entry.id);
                        self.invalid("added_tokens", found, "tokens with ids of their own")
                    })?;
            }
            let mut token = AddedToken {
                id: entry.id,
                content: content.to_owned(),
                special: entry.special,
                single_word: entry.single_word,
                strip_left: entry.lstrip,
                strip_right: entry.rstrip,
            };
            // Control tokens are always found as they are written: a normalizer must not be able to
            // make one out of other text.
            if entry.normalized && !entry.special && !normalize.is_empty() {
                token.content = split::normalize(normalize, content)?.into_owned();
                added_normalized.push(token);
            } else {
                added.push(token);
            }
        }
        Ok((added, added_normalized))
    }

    fn merges(
        &self,
        file: &TokenizerFile<'_>,
        bytes: bool,
        vocab: &Vocab,
    ) -> Result<HashMap<(u32, u32), (u32, u32)>> {
        let Some(json) = file.model.merges else {
            return Err(self.invalid("model.merges", "nothing", "a list of merges"));
        };
        let mut merges = HashMap::with_capacity((json.get().len() / 12).min(1 << 18));
        let mut builder = MergeBuilder::new(vocab, bytes);
        format::each_merge(json, |left, right| builder.add(&mut merges, left, right))
            .map_err(|e| self.invalid("model.merges", e, "pairs of tokens that make a token"))?;
        Ok(merges)
    }

    fn normalizer(&self, component: &Component<'_>, out: &mut Vec<Normalize>) -> Result<()> {
        out.push(match component.kind.as_ref() {
            "BertNormalizer" => return bert::normalizer(self.path, component, out),
            "Sequence" => {
                for inner in &component.normalizers.0 {
                    self.normalizer(inner, out)?;
                }
                return Ok(());
            }
            "NFC" => Normalize::Nfc,
            "NFD" => Normalize::Nfd,
            "NFKC" => Normalize::Nfkc,
            "NFKD" => Normalize::Nfkd,
            "Lowercase" => Normalize::Lowercase,
            "Strip" => Normalize::Strip {
                left: component.strip_left.unwrap_or(true),
                right: component.strip_right.unwrap_or(true),
            },
            "Prepend" => Normalize::Prepend(component.prepend.as_deref().unwrap_or("▁").to_owned()),
            "Replace" => Normalize::Replace {
                pattern: self.pattern("normalizer.pattern", component)?,
                with: component.content.as_deref().unwrap_or("").to_owned(),
            },
            other => {
                let supported =
                    "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Replace, \
                     BertNormalizer";
                return Err(self.unsupported("normalizer.type", other, supported));
            }
        });
        Ok(())
    }

    fn pattern(&self, field: &str, component: &Component<'_>) -> Result<Pattern> {
        match component.pattern.as_ref().map(|p| (&p.string, &p.regex)) {
            Some((Some(literal), None)) => Ok(Pattern::Literal(literal.as_ref().to_owned())),
            Some((None, Some(source))) => Pattern::regex(self.path, field, source),
            _ => Err(self.invalid(field, "nothing", "a String or a Regex")),
        }
    }

    fn pre_tokenizer(
        &self,
        component: &Component<'_>,
        out: &mut Vec<Split>,
        bytes: &mut bool,
    ) -> Result<()> {
        const FIELD: &str = "pre_tokenizer.type";
        let kind = component.kind.as_ref();
        if *bytes {
            return Err(self.unsupported(FIELD, kind, "nothing after ByteLevel"));
        }
        match kind {
            "Sequence" => {
                for inner in &component.pretokenizers.0 {
                    self.pre_tokenizer(inner, out, bytes)?;
                }
            }
            "BertPreTokenizer" => bert::pre_tokenizer(self.path, out)?,
            "Split" => out.push(Split::Pattern {
                pattern: self.pattern("pre_tokenizer.pattern", component)?,
                behavior: match component.behavior.as_deref() {
                    Some("Removed") => Behavior::Removed,
                    Some("Isolated") => Behavior::Isolated,
                    Some("MergedWithPrevious") => Behavior::MergedWithPrevious,
                    Some("MergedWithNext") => Behavior::MergedWithNext,
                    Some("Contiguous") => Behavior::Contiguous,
                    other => {
                        let found = other.unwrap_or("nothing");
                        return Err(self.unsupported("pre_tokenizer.behavior", found, "Isolated"));
                    }
                },
                invert: component.invert.unwrap_or(false),
            }),
            "Digits" => out.push(Split::Pattern {
                pattern: Pattern::regex(self.path, FIELD, r"\p{N}")?,
                behavior: if component.individual_digits == Some(true) {
                    Behavior::Isolated
                } else {
                    Behavior::Contiguous
                },
                invert: false,
            }),
            "ByteLevel" => {
                *bytes = true;
                if component.add_prefix_space.unwrap_or(true) {
                    out.push(Split::PrefixSpace);
                }
                if component.use_regex.unwrap_or(true) {
                    out.push(Split::Pattern {
                        pattern: Pattern::regex(self.path, FIELD, pretokenizers::GPT2)?,
                        behavior: Behavior::Isolated,
                        invert: false,
                    });
                }
            }
            "Metaspace" => {
                let text = component.replacement.as_deref().unwrap_or("▁");
                let mut chars = text.chars();
                let (Some(replacement), None) = (chars.next(), chars.next()) else {
                    return Err(self.invalid("pre_tokenizer.replacement", text, "one character"));
                };
                out.push(Split::Metaspace {
                    replacement,
                    scheme: match component.prepend_scheme.as_deref() {
                        Some("never") => PrependScheme::Never,
                        Some("first") => PrependScheme::First,
                        None if component.add_prefix_space == Some(false) => PrependScheme::Never,
                        _ => PrependScheme::Always,
                    },
                    split: component.split.unwrap_or(true),
                });
            }
            other => {
                let supported = "Sequence, Split, Digits, ByteLevel, Metaspace, BertPreTokenizer";
                return Err(self.unsupported(FIELD, other, supported));
            }
        }
        Ok(())
    }

    /// The tokens that the post-processor puts before a text and after it.
    fn around(&self, file: &TokenizerFile<'_>, vocab: &Vocab) -> Result<[Vec<u32>; 2]> {
        let mut around = [Vec::new(), Vec::new()];
        let Some(processor) = &file.post_processor else {
            return Ok(around);
        };
        let template = std::iter::once(processor)
            .chain(&processor.processors.0)
            .find(|component| component.kind == "TemplateProcessing");
        let mut side = 0;
        for item in template.map_or(&[][..], |template| &template.single.0) {
            let Some(token) = &item.special_token else {
                side = 1;
                continue;
            };
            around[side].push(lookup(vocab, token.id.as_bytes()).ok_or_else(|| {
                self.invalid(
                    "post_processor.single",
                    &token.id,
                    "a token of the vocabulary",
                )
            })?);
        }
        Ok(around)
    }

    fn text_form(&self, decoder: Option<&Component<'_>>, bytes: bool) -> Result<TextForm> {
        let Some(decoder) = decoder else {
            return Ok(if bytes {
                TextForm::Bytes
            } else {
                TextForm::Metaspace {
                    strip_first_space: false,
                }
            });
        };
        let steps = if decoder.kind == "Sequence" {
            decoder.decoders.0.as_slice()
        } else {
            std::slice::from_ref(decoder)
        };
        let mut form = TextForm::Bytes;
        for step in steps {
            match step.kind.as_ref() {
                "ByteLevel" | "ByteFallback" | "Fuse" => {}
                "WordPiece" if step.prefix.as_deref().unwrap_or(CONTINUING) == CONTINUING => {
                    form = TextForm::WordPiece;
                }
                "Replace" => {
                    form = TextForm::Metaspace {
                        strip_first_space: false,
                    };
                }
                "Metaspace" => {
                    let prepended = step.prepend_scheme.as_deref() != Some("never")
                        && step.add_prefix_space != Some(false);
                    form = TextForm::Metaspace {
                        strip_first_space: prepended,
                    };
                }
                "Strip" if step.start == Some(1) => {
                    form = TextForm::Metaspace {
                        strip_first_space: true,
                    };
                }
                other => {
                    let supported = "Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, \
                                     Metaspace, WordPiece with ##";
                    return Err(self.unsupported("decoder.type", other, supported));
                }
            }
        }
        Ok(form)
    }
}

/// A token by its text, whatever it is for.
pub(super) fn lookup(vocab: &Vocab, text: &[u8]) -> Option<u32> {
    vocab.id(text).or_else(|| vocab.control_id(text))
}

/// The tokens `<0x00>` to `<0xFF>`, if the vocabulary has them all.
pub(super) fn byte_tokens(vocab: &Vocab) -> Option<Box<[u32; 256]>> {
    let mut tokens = Box::new([0; 256]);
    for (byte, token) in tokens.iter_mut().enumerate() {
        *token = lookup(vocab, format!("<0x{byte:02X}>").as_bytes())?;
    }
    Some(tokens)
}

pub(super) fn conflict_text(conflict: Conflict, token: &str, id: u32) -> String {
    match conflict {
        Conflict::Id => format!("token {token:?} with id {id}, ids end below {TOKENS_MAX}"),
        Conflict::Taken => format!("token {token:?} with id {id}, which another token has"),
        Conflict::Length(length) => format!("a token of {length} bytes"),
    }
}

/// Turns merges as texts into pairs of ids.
pub(super) struct MergeBuilder<'v> {
    vocab: &'v Vocab,
    bytes: bool,
    count: u32,
    left: Vec<u8>,
    right: Vec<u8>,
}

impl<'v> MergeBuilder<'v> {
    pub(super) fn new(vocab: &'v Vocab, bytes: bool) -> Self {
        Self {
            vocab,
            bytes,
            count: 0,
            left: Vec::new(),
            right: Vec::new(),
        }
    }

    /// Adds the next merge; `Err` tells what is wrong with it.
    pub(super) fn add(
        &mut self,
        merges: &mut HashMap<(u32, u32), (u32, u32)>,
        left: &str,
        right: &str,
    ) -> Result<(), String> {
        let rank = self.count;
        self.count += 1;
        if rank as usize >= MERGES_MAX {
            return Err(format!("over {MERGES_MAX} merges"));
        }
        let find = |out: &mut Vec<u8>, text: &str| {
            if !(self.bytes && bytelevel::decode_into(text, out)) {
                out.clear();
                out.extend_from_slice(text.as_bytes());
            }
            lookup(self.vocab, out)
        };
        let a = find(&mut self.left, left);
        let b = find(&mut self.right, right);
        self.left.extend_from_slice(&self.right);
        let merged = lookup(self.vocab, &self.left);
        let (Some(a), Some(b), Some(merged)) = (a, b, merged) else {
            return Err(format!("merge {left:?} {right:?}, not in the vocabulary"));
        };
        // A control token never comes out of text, not even by merging.
        if self.vocab.kind(merged) != Kind::Special {
            merges.entry((a, b)).or_insert((rank, merged));
        }
        Ok(())
    }
}
