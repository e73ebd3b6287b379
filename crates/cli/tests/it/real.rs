//! The real model that some tests talk to: the catalogue's smallest, fetched once by the product's own
//! `terang pull` and kept between runs. `TERANG_TEST_MODELS` names a data folder that has it already.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::Outcome;

pub(crate) const MODEL: &str = "smollm2:135m";
const REFERENCE_FILE: &str = "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// A data folder that holds the model.
pub(crate) struct Real {
    data: PathBuf,
}

/// The real model; `None`, said loudly, where it is neither here nor to be had.
pub(crate) fn model() -> Option<&'static Real> {
    static REAL: OnceLock<Result<Real, String>> = OnceLock::new();
    match REAL.get_or_init(fetch) {
        Ok(real) => Some(real),
        Err(reason) => {
            skipped(&format!("{MODEL} is not here: {reason}"));
            None
        }
    }
}

/// A data folder with the catalogue's model for embeddings, and nothing else. It is apart from the
/// other, so that what is there does not depend on which tests ran before.
pub(crate) fn with_encoder() -> Option<&'static Path> {
    static ENCODER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let fetch = || {
        let data = test_data().1.join("with-encoder");
        pull(&data, "all-minilm", None).map(|()| data)
    };
    match ENCODER.get_or_init(fetch) {
        Ok(data) => Some(data),
        Err(reason) => {
            skipped(&format!("all-minilm is not here: {reason}"));
            None
        }
    }
}

/// Says that a test, or a part of it, did not run. Not with `eprintln!`, which the test harness keeps to
/// itself when a test passes.
pub(crate) fn skipped(reason: &str) {
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
}

/// A file of the repository.
pub(crate) fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(name)
}

/// Where `tests/reference/fetch.sh` puts things, and the data folder that tests share.
fn test_data() -> (PathBuf, PathBuf) {
    let fetched = std::env::var_os("TERANG_TEST_DATA")
        .map_or_else(|| repository("target/test-data"), PathBuf::from);
    let data = std::env::var_os("TERANG_TEST_MODELS")
        .map_or_else(|| fetched.join("terang"), PathBuf::from);
    (fetched, data)
}

/// Pulls a model. The product's own lock keeps two test processes from fetching it twice.
fn pull(data: &Path, model: &str, from: Option<&Path>) -> Result<(), String> {
    // With the person's own environment: it says how the network is reached.
    let mut command = Command::new(env!("CARGO_BIN_EXE_terang"));
    command
        .args(["--lang", "en", "pull", "--quiet", model])
        .env("TERANG_DATA_DIR", data)
        .env_remove("TERANG_CATALOGUE")
        .stdin(Stdio::null());
    if let Some(from) = from {
        command.arg("--from").arg(from);
    }
    let outcome: Outcome = command.output().unwrap().into();
    if outcome.code == Some(0) {
        return Ok(());
    }
    // No network is no fault of the product; anything else is.
    let reason = outcome.stderr.trim_end();
    let no_fault = reason.contains("could not be fetched")
        && !["panicked", "sha-256 differs", "size differs"]
            .iter()
            .any(|fault| reason.contains(fault));
    assert!(from.is_some() || no_fault, "{reason}");
    Err(reason.to_owned())
}

fn fetch() -> Result<Real, String> {
    let (fetched, data) = test_data();
    // What `tests/reference/fetch.sh` has fetched need not be fetched again.
    let reference = fetched.join(REFERENCE_FILE);
    if reference.exists() && pull(&data, MODEL, Some(&reference)).is_ok() {
        return Ok(Real { data });
    }
    pull(&data, MODEL, None)?;
    Ok(Real { data })
}

impl Real {
    /// The weights.
    pub(crate) fn file(&self) -> PathBuf {
        self.data.join("models/smollm2_135m/model.gguf")
    }

    /// The binary with the model at hand, cut off from the person's own environment.
    pub(crate) fn terang(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_terang"));
        command
            .env_clear()
            .env("TERANG_DATA_DIR", &self.data)
            .env("LANG", "en_US.UTF-8")
            .stdin(Stdio::null());
        command
    }

    /// `terang chat` with the model and these arguments.
    pub(crate) fn chat(&self, arguments: &[&str]) -> Command {
        let mut command = self.terang();
        command.args(["chat", "--model", MODEL]).args(arguments);
        command
    }

    /// The answer as a person sees it.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Outcome {
        self.chat(arguments).output().unwrap().into()
    }

    /// The answer with its figures.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.chat(arguments).arg("--json"))
    }

    /// Levels of this machine, as the program itself lists them when it is asked for one that is not.
    pub(crate) fn levels(&self) -> Vec<String> {
        let outcome: Outcome = self
            .chat(&["hi"])
            .env("TERANG_CPU", "abacus")
            .output()
            .unwrap()
            .into();
        outcome.fails(1, "TERANG_CPU: found abacus, allowed on this machine ");
        let (_, list) = outcome.stderr.trim_end().split_once("machine ").unwrap();
        let levels: Vec<String> = list.split(", ").map(str::to_owned).collect();
        assert!(levels.contains(&"scalar".to_owned()), "{levels:?}");
        levels
    }
}

/// The object of `--json`.
#[derive(Clone, Debug)]
pub(crate) struct Answer(pub(crate) Value);

impl Answer {
    /// What the command prints: one object and nothing else anywhere.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Self {
        let outcome: Outcome = command.output().unwrap().into();
        outcome.succeeds();
        assert_eq!(outcome.stderr, "");
        Self(serde_json::from_str(&outcome.stdout).unwrap())
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        self.0["text"].as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn ended_by(&self) -> &str {
        self.0["finish_reason"].as_str().unwrap()
    }

    /// Everything that must not differ between two runs: all but the clock.
    pub(crate) fn without_timings(&self) -> BTreeMap<&str, &Value> {
        let object = self.0.as_object().unwrap().iter();
        object
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| *name != "timings")
            .collect()
    }
}
