//! What a checkpoint was found to answer right: a file beside its manifest, which names the manifest by its
//! digest, so that results of one checkpoint are never shown as another's. The manifest itself does not
//! change: checkpoints made from it name its digest.

use crate::checkpoint::{MANIFEST, manifest_digest};
use crate::corpus::hex;
use crate::{Result, TrainError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// The file's name.
pub const EVALUATIONS: &str = "terang-evaluations.json";
const FORMAT: &str = "terang-evaluations-1";
const BYTES_MAX: u64 = 4 << 20;

/// Results of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluations {
    /// The form of this file.
    pub format: String,
    /// The SHA-256 of the checkpoint's manifest.
    pub manifest_sha256: String,
    /// By the suite's name.
    pub suites: BTreeMap<String, Evaluation>,
}

/// Results on one suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The program's version.
    pub made_by: String,
    /// Questions.
    pub items: usize,
    /// The SHA-256 of the questions, as this program reads them.
    pub questions_sha256: String,
    /// Figures, and what is to be added and taken away for 95% confidence.
    pub metrics: BTreeMap<String, (f64, Option<f64>)>,
}

/// The results of the checkpoint in `dir`; none where there is no file.
///
/// # Errors
/// [`TrainError::File`], [`TrainError::Line`], [`TrainError::Tampered`] where they are another manifest's.
pub fn read(dir: &Path) -> Result<Option<Evaluations>> {
    let path = dir.join(EVALUATIONS);
    let wrong = |source| TrainError::File {
        path: path.clone(),
        source,
    };
    if !path.try_exists().map_err(wrong)? {
        return Ok(None);
    }
    let bytes = fs::metadata(&path).map_err(wrong)?.len();
    if bytes > BYTES_MAX {
        let reason = format!("{bytes} bytes, allowed {BYTES_MAX}");
        return Err(TrainError::Export { path, reason });
    }
    let text = fs::read_to_string(&path).map_err(wrong)?;
    let found: Evaluations = serde_json::from_str(&text).map_err(|error| TrainError::Line {
        path: path.clone(),
        number: error.line() as u64,
        reason: error.to_string(),
    })?;
    let digest = manifest_digest(dir)?;
    if found.manifest_sha256 != digest {
        return Err(TrainError::Tampered {
            path: dir.join(MANIFEST),
            recorded: found.manifest_sha256,
        });
    }
    Ok(Some(found))
}

/// The SHA-256 of questions.
pub fn digest(questions: &str) -> String {
    hex(&Sha256::digest(questions.as_bytes()))
}

/// Adds results to those of the checkpoint in `dir`; a suite that was measured before is measured anew.
///
/// # Errors
/// As of [`read`], and what the system says when it cannot write.
pub fn add(dir: &Path, suites: BTreeMap<String, Evaluation>) -> Result<()> {
    let mut all = match read(dir)? {
        Some(all) => all,
        None => Evaluations {
            format: FORMAT.to_owned(),
            manifest_sha256: manifest_digest(dir)?,
            suites: BTreeMap::new(),
        },
    };
    all.suites.extend(suites);
    let path = dir.join(EVALUATIONS);
    let wrong = |source| TrainError::File {
        path: path.clone(),
        source,
    };
    let part = dir.join(format!("{EVALUATIONS}.part-{}", std::process::id()));
    let text = serde_json::to_string_pretty(&all).map_err(|error| wrong(error.into()))?;
    let mut file = fs::File::create(&part).map_err(wrong)?;
    file.write_all(text.as_bytes()).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    fs::rename(&part, &path).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(value: f64) -> BTreeMap<String, Evaluation> {
        let metrics = [("acc".to_owned(), (value, Some(0.1)))].into();
        let one = Evaluation {
            made_by: "terang".to_owned(),
            items: 3,
            questions_sha256: "0".to_owned(),
            metrics,
        };
        [("arc".to_owned(), one)].into()
    }

    #[test]
    fn results_are_kept_and_belong_to_one_manifest() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(MANIFEST), "{\"a\": 1}").unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        add(dir.path(), evaluation(0.5)).unwrap();
        add(dir.path(), evaluation(0.75)).unwrap();
        let found = read(dir.path()).unwrap().unwrap();
        assert_eq!(found.suites, evaluation(0.75));
        fs::write(dir.path().join(MANIFEST), "{\"a\": 2}").unwrap();
        assert!(matches!(read(dir.path()), Err(TrainError::Tampered { .. })));
        fs::write(dir.path().join(EVALUATIONS), "{").unwrap();
        assert!(matches!(read(dir.path()), Err(TrainError::Line { .. })));
    }
}
