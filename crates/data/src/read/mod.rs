//! From files to items: the bytes of one document each, or what was lost instead of one.
//!
//! Invariant: what is held does not grow with a file. A line, a record, a page has a limit; what is longer is
//! counted and passed over. What unpacks has a limit too, by which a bomb ends as an error.

mod archive;
mod files;
mod json;
mod lines;
mod table;

use crate::config::{Cut, Form, Generate, Source};
use crate::document::Document;
use crate::{DataError, Result, error::at, generate};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

pub(crate) use files::find;
pub(crate) use files::fits;

/// Most bytes of a line, a record, or a page.
pub(crate) const LINE_MAX: usize = 16 << 20;
/// A text that is longer is cut at the next empty line.
const TEXT_MAX: usize = 1 << 20;
/// Bytes that a file may always unpack to, however small it is.
const UNPACKED_ALWAYS: u64 = 64 << 20;
/// Above that, how many times its own size.
const RATIO_MAX: u64 = 200;
/// Most members of an archive.
const MEMBERS_MAX: usize = 1_000_000;
const BUFFER: usize = 256 << 10;

/// How a JSON record is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A text or a conversation.
    Record,
    /// A post of X.
    Tweet,
    /// A post of Mastodon.
    Activity,
}

/// A document's bytes, or what was lost.
#[derive(Debug)]
pub(crate) enum Item {
    /// Text.
    Text(Vec<u8>),
    /// A page of the web.
    Html(Vec<u8>),
    /// A JSON object, not parsed yet.
    Json(Shape, Vec<u8>),
    /// A row of a table.
    Value(Value),
    /// A document that was made.
    Made(Document),
    /// Something that is no document, by the name that it is counted under.
    Lost(&'static str),
}

impl Item {
    /// Bytes that are held for it, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(bytes) | Self::Html(bytes) | Self::Json(_, bytes) => bytes.len(),
            Self::Value(Value::Object(fields)) => fields
                .values()
                .map(|value| value.as_str().map_or(8, str::len))
                .sum(),
            Self::Value(_) | Self::Lost(_) => 8,
            Self::Made(document) => document.text.len(),
        }
    }
}

/// Takes items, and says by an error that it takes no more.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Item) -> Result<()>;

/// A file to read, or something to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// Which source it belongs to.
    pub(crate) source: usize,
    /// Where it lies; empty where it is made from nothing.
    pub(crate) path: PathBuf,
    /// How it is called in manifests: no path of the machine.
    pub(crate) name: String,
}

/// What is known of a file when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// Reads an input to its end.
pub(crate) fn read(input: &Input, source: &Source, sink: Sink<'_>) -> Result<Seen> {
    if let Some(generate) = source.generate {
        return make(input, source, generate, sink);
    }
    let path = &input.path;
    let mut file = File::open(path).map_err(at(path))?;
    let bytes = file.metadata().map_err(at(path))?.len();
    let what = What::of(&input.name, source.form);
    if bytes == 0 {
        sink(Item::Lost("empty_file"))?;
        let sha256 = hex(&Sha256::digest([]));
        return Ok(Seen { sha256, bytes });
    }
    let reading = Reading {
        name: input.name.clone(),
        source,
        size: bytes,
    };
    if what.is_seekable() {
        // Such a file is not read from its beginning to its end, so it is read once more for its digest.
        let sha256 = digest_of(&mut file).map_err(at(path))?;
        guarded(&input.name, || match what.form {
            Form::Parquet => table::parquet(&reading, file, sink),
            _ => archive::zip(&reading, file, sink),
        })?;
        return Ok(Seen { sha256, bytes });
    }
    let mut hashing = Hashing {
        file: &mut file,
        digest: Sha256::new(),
        bytes: 0,
    };
    guarded(&input.name, || reading.stream(&mut hashing, what, sink))?;
    // What follows is part of the file, though not of its text.
    io::copy(&mut hashing, &mut io::sink()).map_err(at(path))?;
    Ok(Seen {
        bytes: hashing.bytes,
        sha256: hex(&hashing.digest.finalize()),
    })
}

/// Nothing that a file holds may end the program, whatever a parser of others makes of it.
fn guarded(name: &str, read: impl FnOnce() -> Result<()>) -> Result<()> {
    let read = std::panic::AssertUnwindSafe(read);
    std::panic::catch_unwind(read)
        .unwrap_or_else(|_| Err(damaged(name, "its parser gave up on it")))
}

fn make(input: &Input, source: &Source, generate: Generate, sink: Sink<'_>) -> Result<Seen> {
    let mut bytes = Vec::new();
    if generate != Generate::Arithmetic {
        let path = &input.path;
        let mut file = File::open(path).map_err(at(path))?;
        let mut limited = (&mut file).take(UNPACKED_ALWAYS + 1);
        limited.read_to_end(&mut bytes).map_err(at(path))?;
    }
    let seen = Seen {
        sha256: hex(&Sha256::digest(&bytes)),
        bytes: bytes.len() as u64,
    };
    if matches!(Pack::of(&input.name).0, Pack::Gzip) {
        let packed = std::mem::take(&mut bytes);
        let mut reader = flate2::read::MultiGzDecoder::new(&packed[..]).take(UNPACKED_ALWAYS + 1);
        let read = reader.read_to_end(&mut bytes);
        read.map_err(|error| damaged(&input.name, &error.to_string()))?;
    }
    if bytes.len() as u64 > UNPACKED_ALWAYS {
        let reason = format!("more than {UNPACKED_ALWAYS} bytes, which no generator reads");
        return Err(damaged(&input.name, &reason));
    }
    let made = generate::documents(generate, &input.name, &bytes, source.count)?;
    made.into_iter()
        .try_for_each(|document| sink(Item::Made(document)))?;
    Ok(seen)
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pack {
    None,
    Gzip,
    Zstd,
}

impl Pack {
    /// By its name, and the name without that.
    fn of(name: &str) -> (Self, &str) {
        for (end, pack, rest) in [
            (".gz", Self::Gzip, ""),
            (".dz", Self::Gzip, ""),
            (".tgz", Self::Gzip, ".tar"),
            (".zst", Self::Zstd, ""),
        ] {
            if let Some(stem) = name.strip_suffix(end) {
                return (pack, if rest.is_empty() { stem } else { rest });
            }
        }
        (Self::None, name)
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct What {
    pack: Pack,
    form: Form,
    /// An archive whose members have forms of their own.
    archive: Option<Archive>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Archive {
    Zip,
    Tar,
}

impl What {
    /// By a file's name, where the configuration does not say.
    fn of(name: &str, form: Form) -> Self {
        let lower = name.to_ascii_lowercase();
        let (pack, stem) = Pack::of(&lower);
        let end = stem.rsplit('/').next().unwrap_or(stem);
        let end = end.rsplit_once('.').map_or("", |(_, end)| end);
        let archive = match end {
            "zip" => Some(Archive::Zip),
            "tar" => Some(Archive::Tar),
            _ => None,
        };
        let by_name = match end {
            "html" | "htm" | "xhtml" => Form::Html,
            "jsonl" | "ndjson" => Form::Jsonl,
            "json" if stem.ends_with("outbox.json") => Form::Mastodon,
            "json" => Form::Json,
            "csv" | "tsv" => Form::Csv,
            "parquet" => Form::Parquet,
            "md" | "markdown" => Form::Markdown,
            "js" if is_posts(stem) => Form::X,
            _ => Form::Text,
        };
        Self {
            pack,
            form: if form == Form::Auto { by_name } else { form },
            archive,
        }
    }

    fn is_seekable(self) -> bool {
        self.pack == Pack::None
            && (self.archive == Some(Archive::Zip) || self.form == Form::Parquet)
    }
}

/// Whether a file of an archive of X has posts: `tweets.js`, `tweets-part1.js`, in older ones `tweet.js`.
fn is_posts(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name);
    let stem = name.strip_suffix(".js").unwrap_or_default();
    matches!(stem, "tweets" | "tweet") || stem.starts_with("tweets-part")
}

/// A file that is being read.
struct Reading<'a> {
    name: String,
    source: &'a Source,
    /// Bytes that it has, packed.
    size: u64,
}

impl Reading<'_> {
    /// Reads what comes packed from `reader`.
    fn stream(&self, reader: &mut dyn Read, what: What, sink: Sink<'_>) -> Result<()> {
        let allowed = UNPACKED_ALWAYS.max(self.size.saturating_mul(RATIO_MAX));
        let mut unpacked: Box<dyn Read + '_> = match what.pack {
            Pack::None => Box::new(reader),
            Pack::Gzip => Box::new(Bounded {
                reader: flate2::read::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, reader)),
                left: allowed,
            }),
            Pack::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(reader);
                Box::new(Bounded {
                    reader: decoder.map_err(|error| self.wrong(&error))?,
                    left: allowed,
                })
            }
        };
        match what.archive {
            Some(Archive::Tar) => return archive::tar(self, &mut *unpacked, sink),
            Some(Archive::Zip) => {
                let reason = "a zip that is packed once more; unpack it first";
                return Err(damaged(&self.name, reason));
            }
            None => {}
        }
        let mut reader = BufReader::with_capacity(BUFFER, unpacked);
        self.items(&mut reader, what.form, sink)
    }

    /// Reads what is unpacked.
    fn items(&self, reader: &mut dyn BufRead, form: Form, sink: Sink<'_>) -> Result<()> {
        match form {
            Form::Auto | Form::Text | Form::Markdown => {
                lines::texts(self, reader, self.source.cut, sink)
            }
            Form::Jsonl => lines::records(self, reader, sink),
            Form::Html => self.page(reader, sink),
            Form::Json => json::elements(self, reader, None, Shape::Record, sink),
            Form::X => json::elements(self, reader, None, Shape::Tweet, sink),
            Form::Mastodon => {
                json::elements(self, reader, Some("orderedItems"), Shape::Activity, sink)
            }
            Form::Csv => table::csv(self, reader, sink),
            Form::Parquet => {
                let reason = "a packed Parquet file; unpack it, it is packed in itself";
                Err(damaged(&self.name, reason))
            }
        }
    }

    fn page(&self, reader: &mut dyn BufRead, sink: Sink<'_>) -> Result<()> {
        let mut page = Vec::new();
        let mut limited = reader.take(LINE_MAX as u64 + 1);
        limited
            .read_to_end(&mut page)
            .map_err(|error| self.wrong(&error))?;
        sink(match page.len() {
            0 => Item::Lost("empty_file"),
            1..=LINE_MAX => Item::Html(page),
            _ => Item::Lost("too_long"),
        })
    }

    /// What a failed read means.
    fn wrong(&self, error: &io::Error) -> DataError {
        if error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Bomb>)
        {
            return DataError::Bomb {
                path: self.name.clone(),
                allowed: UNPACKED_ALWAYS.max(self.size.saturating_mul(RATIO_MAX)),
                ratio: RATIO_MAX,
            };
        }
        damaged(&self.name, &error.to_string())
    }
}

fn damaged(name: &str, reason: &str) -> DataError {
    DataError::Damaged {
        path: name.to_owned(),
        reason: reason.to_owned(),
    }
}

/// More was unpacked than is believed.
#[derive(Debug, thiserror::Error)]
#[error("it unpacks to too much")]
struct Bomb;

/// Gives so many bytes and no more.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(n as u64)
            .ok_or_else(|| io::Error::other(Bomb))?;
        Ok(n)
    }
}

/// Sees every byte of a file as it goes by.
struct Hashing<'a> {
    file: &'a mut File,
    digest: Sha256,
    bytes: u64,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.digest.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

fn digest_of(file: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => digest.update(&buffer[..n]),
        }
    }
    io::Seek::rewind(file)?;
    Ok(hex(&digest.finalize()))
}

/// The SHA-256 of a file in hexadecimal.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(at(path))?;
    digest_of(&mut file).map_err(at(path))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = std::fmt::Write::write_fmt(&mut out, format_args!("{byte:02x}"));
        out
    })
}

/// What `data` hold, were they a file of this name: for fuzzing and tests.
#[doc(hidden)]
pub fn read_bytes(name: &str, data: &[u8], form: Form) -> Result<u64> {
    let source = Source::of_form(form);
    let reading = Reading {
        name: name.to_owned(),
        source: &source,
        size: data.len() as u64,
    };
    let mut count = 0;
    let mut sink = |item: Item| {
        count += 1;
        let _ = crate::clean::document(item, &source);
        Ok(())
    };
    let what = What::of(name, form);
    guarded(name, || match (what.archive, what.form) {
        (Some(Archive::Zip), _) => archive::zip(&reading, io::Cursor::new(data), &mut sink),
        (_, Form::Parquet) => table::parquet_bytes(&reading, data, &mut sink),
        _ => reading.stream(&mut &data[..], what, &mut sink),
    })?;
    Ok(count)
}

impl Source {
    /// A source of one file, all else as it is by itself.
    fn of_form(form: Form) -> Self {
        Self {
            name: "source".to_owned(),
            files: vec!["*".to_owned()],
            package: None,
            sha256: None,
            generate: None,
            count: 1,
            form,
            cut: Cut::File,
            field: None,
            rules: None,
            languages: None,
            deduplicate: true,
            scrub: true,
            weight: 1.0,
            licence: String::new(),
            origin: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
