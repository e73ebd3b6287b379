//! What can be wrong with a plan's input. Each message is one line that says what, where, and what to
//! do next.

use thiserror::Error;

/// Why a plan cannot be made.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum PlanError {
    /// A name that no table holds.
    #[error("unknown {what} \"{name}\"{}", suggest(nearest.as_deref()))]
    Unknown {
        /// What was named: a GPU kind, a model.
        what: &'static str,
        /// The name given.
        name: String,
        /// The nearest name in the table.
        nearest: Option<String>,
    },
    /// A value out of its bounds.
    #[error("{field} is {value}: {allowed}")]
    Value {
        /// The field.
        field: String,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Pins that contradict each other or the cluster.
    #[error("{reason}")]
    Contradiction {
        /// What contradicts what.
        reason: String,
    },
    /// No layout fits into memory.
    #[error(
        "{model} does not fit on {gpus} {gpu} in any layout: the smallest needs {needed_gib:.1} GiB a \
         GPU and {available_gib:.1} GiB are there; use more GPUs or ones with more memory"
    )]
    DoesNotFit {
        /// The model's name.
        model: String,
        /// GPUs of the cluster.
        gpus: u64,
        /// GPU kind.
        gpu: String,
        /// GiB that the smallest layout needs.
        needed_gib: f64,
        /// GiB that a GPU has.
        available_gib: f64,
    },
    /// A file whose form is wrong.
    #[error("{path}: {reason}")]
    Form {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

fn suggest(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |n| format!(": did you mean \"{n}\"?"))
}

/// The nearest of `names` to `name`, where one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let name = name.to_lowercase();
    names
        .map(|n| (strsim::jaro_winkler(&name, &n.to_lowercase()), n))
        .filter(|(score, _)| *score > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, n)| n.to_owned())
}
