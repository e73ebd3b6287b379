//! The last pass: token shards, each beside its shard of text.
//!
//! `tokens-NNNNN.bin` has the tokens, little-endian numbers of 2 or 4 bytes; `offsets-NNNNN.bin` where each document
//! begins, and where the last ends, as numbers of 8 bytes; `learned-NNNNN.bin` a bit for each token, the lowest of a
//! byte first, where not all are learned.

use crate::config;
use crate::config::Config;
use crate::document::{Kind, messages};
use crate::error::at;
use crate::manifest::{ShardRecord, TokenizerRecord, shard_file};
use crate::parallel::ordered;
use crate::prepare::{Progress, Work};
use crate::prepared::{ShardText, read_shard};
use crate::read::sha256_of;
use crate::shards::Output;
use crate::{DataError, Result};
use std::io::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where the tokenizer stands in the folder.
pub const TOKENIZER: &str = "tokenizer.json";

/// The tokens of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Its tokens, the one that ends it included.
    pub tokens: Vec<u32>,
    /// As long as `tokens`: whether a token is learned. Empty where all are.
    pub learned: Vec<bool>,
}

/// Turns documents into tokens.
pub trait Encode: Sync {
    /// Tokens of the vocabulary.
    fn vocab_size(&self) -> usize;
    /// The tokens of a document. None where it cannot be learned from.
    ///
    /// # Errors
    /// [`DataError::Tokens`] where this is no fault of the document.
    fn encode(&self, kind: Kind, text: &str) -> Result<Option<Encoded>>;
}

/// Makes tokenizers and opens them. This crate prepares text and knows no model; who trains does.
pub trait Tokenizers: Sync {
    /// Trains one on files of text and writes it to `out`.
    ///
    /// # Errors
    /// Those of reading, of settings and of writing.
    fn train(&self, texts: &[PathBuf], settings: &config::Tokenizer, out: &Path) -> Result<()>;
    /// Opens one.
    ///
    /// # Errors
    /// [`DataError::Tokens`] where the file holds none that texts can be learned with.
    fn open(&self, file: &Path) -> Result<Box<dyn Encode>>;
}

/// No tokenizer: what is prepared is text alone.
#[derive(Clone, Copy, Debug)]
pub struct NoTokens;

impl Tokenizers for NoTokens {
    fn train(&self, _: &[PathBuf], _: &config::Tokenizer, _: &Path) -> Result<()> {
        Err(no_tokens())
    }
    fn open(&self, _: &Path) -> Result<Box<dyn Encode>> {
        Err(no_tokens())
    }
}

fn no_tokens() -> DataError {
    DataError::Tokens {
        reason: "none is available here".to_owned(),
    }
}

/// Puts the tokenizer into its place: the configuration's, or one that is trained on the shards.
pub(crate) fn prepare_tokenizer(
    settings: &config::Tokenizer,
    base: &Path,
    out: &Path,
    work: &Work,
    tokenizers: &dyn Tokenizers,
) -> Result<PathBuf> {
    let path = out.join(TOKENIZER);
    let part = work.path(TOKENIZER);
    if let Some(file) = &settings.file {
        let from = base.join(file);
        std::fs::copy(&from, &part).map_err(at(&from))?;
    } else {
        let text = work.path("tokenizer.txt");
        sample(settings, out, work, &text)?;
        tokenizers.train(std::slice::from_ref(&text), settings, &part)?;
        std::fs::remove_file(&text).map_err(at(&text))?;
    }
    std::fs::rename(&part, &path).map_err(at(&path))?;
    Ok(path)
}

/// Text for a tokenizer: from the beginning of each source, equally much at most.
fn sample(settings: &config::Tokenizer, out: &Path, work: &Work, path: &Path) -> Result<()> {
    let file = std::fs::File::create(path).map_err(at(path))?;
    let mut file = std::io::BufWriter::new(file);
    let mut left = vec![
        settings.bytes_max / work.state.written.counts.len().max(1) as u64;
        work.state.written.counts.len()
    ];
    for (number, shard) in work.state.written.shards.iter().enumerate() {
        let shard = read_shard(out, number, shard)?;
        for index in 0..shard.records.len() {
            let record = &shard.records[index];
            let left = &mut left[usize::from(record.source)];
            if *left == 0 {
                continue;
            }
            *left = left.saturating_sub(u64::from(record.len));
            let text = shard.text(index);
            let mut put = |text: &str| writeln!(file, "{text}").map_err(at(path));
            match record.kind {
                Kind::Text => put(text)?,
                Kind::Chat => messages(text).iter().try_for_each(|m| put(&m.content))?,
            }
        }
    }
    file.flush().map_err(at(path))
}

/// Writes the token shards that are not there yet.
pub(crate) fn write(
    config: &Config,
    out: &Path,
    work: &mut Work,
    tokenizer: &Path,
    tokenizers: &dyn Tokenizers,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<TokenizerRecord> {
    let encoder = tokenizers.open(tokenizer)?;
    let record = TokenizerRecord {
        sha256: sha256_of(tokenizer)?,
        vocab_size: encoder.vocab_size(),
        token_bytes: if encoder.vocab_size() <= 1 << 16 {
            2
        } else {
            4
        },
    };
    let mut seen = 0;
    for number in 0..work.state.written.shards.len() {
        let written = &work.state.written.shards[number];
        if written.tokens_sha256.is_empty() {
            let shard = read_shard(out, number, written)?;
            let place = Place {
                out,
                number,
                token_bytes: record.token_bytes,
                seen,
            };
            let (tokens, by_source) =
                write_shard(&place, config, &shard, &*encoder, threads, progress)?;
            let written = &mut work.state.written;
            let shard = &mut written.shards[number];
            shard.tokens = tokens.tokens;
            shard.tokens_sha256 = tokens.tokens_sha256;
            shard.offsets_sha256 = tokens.offsets_sha256;
            shard.learned_sha256 = tokens.learned_sha256;
            for (counts, (tokens, refused)) in written.counts.iter_mut().zip(by_source) {
                counts.tokens += tokens;
                for _ in 0..refused {
                    counts.drop("not_encoded");
                }
            }
            work.save()?;
        }
        seen += work.state.written.shards[number].documents;
    }
    Ok(record)
}

/// Where a shard goes.
struct Place<'a> {
    out: &'a Path,
    number: usize,
    token_bytes: usize,
    /// Documents before it.
    seen: u64,
}

/// Bytes of text of a part that one thread encodes.
const PART_BYTES: usize = 256 << 10;

/// Tokens and refused documents of each source.
type BySource = Vec<(u64, u64)>;

fn write_shard(
    place: &Place<'_>,
    config: &Config,
    shard: &ShardText,
    encoder: &dyn Encode,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<(ShardRecord, BySource)> {
    let open = |part| Output::create(place.out.join(shard_file(part, place.number)));
    let (mut tokens, mut offsets, mut learned) =
        (open("tokens")?, open("offsets")?, open("learned")?);
    let mut by_source: BySource = vec![(0, 0); config.source.len()];
    let has_chats = shard.records.iter().any(|record| record.kind == Kind::Chat);
    let mut bits = BitWriter::default();
    let mut count = 0u64;
    offsets.write(&0u64.to_le_bytes())?;
    let produce = |give: &mut dyn FnMut(Range<usize>) -> Result<()>| {
        let (mut first, mut bytes) = (0, 0);
        for (index, record) in shard.records.iter().enumerate() {
            bytes += record.len as usize;
            if bytes >= PART_BYTES {
                let end = index + 1;
                give(first..end)?;
                (first, bytes) = (end, 0);
            }
        }
        give(first..shard.records.len())
    };
    let encode = |range: Range<usize>| {
        let encode = |index: usize| encoder.encode(shard.records[index].kind, shard.text(index));
        let encoded = range.clone().map(encode).collect::<Result<Vec<_>>>()?;
        Ok((range, encoded))
    };
    ordered(threads, produce, encode, |(range, encoded)| {
        for (index, encoded) in range.clone().zip(encoded) {
            let source = &mut by_source[usize::from(shard.records[index].source)];
            source.1 += u64::from(encoded.is_none());
            let encoded = encoded.unwrap_or_default();
            source.0 += encoded.tokens.len() as u64;
            count += encoded.tokens.len() as u64;
            for token in &encoded.tokens {
                tokens.write(&token.to_le_bytes()[..place.token_bytes])?;
            }
            if has_chats {
                let all = encoded.learned.is_empty();
                for at in 0..encoded.tokens.len() {
                    bits.push(all || encoded.learned[at], &mut learned)?;
                }
            }
            offsets.write(&count.to_le_bytes())?;
        }
        progress.reach("", place.seen + range.end as u64)
    })?;
    let mut record = ShardRecord {
        tokens: count,
        tokens_sha256: tokens.finish()?,
        offsets_sha256: offsets.finish()?,
        ..ShardRecord::default()
    };
    bits.flush(&mut learned)?;
    let digest = learned.finish()?;
    if has_chats {
        record.learned_sha256 = digest;
    } else {
        let path = place.out.join(shard_file("learned", place.number));
        std::fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok((record, by_source))
}

/// Bits, the lowest of a byte first.
#[derive(Default)]
struct BitWriter {
    byte: u8,
    count: u8,
}

impl BitWriter {
    fn push(&mut self, bit: bool, out: &mut Output) -> Result<()> {
        self.byte |= u8::from(bit) << self.count;
        self.count += 1;
        if self.count == 8 {
            self.flush(out)?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Output) -> Result<()> {
        if self.count > 0 {
            out.write(&[self.byte])?;
            *self = Self::default();
        }
        Ok(())
    }
}
