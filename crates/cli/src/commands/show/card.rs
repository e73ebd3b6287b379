//! The model card of what was trained here: where it is from, by its manifest.

use std::path::Path;

use serde_json::json;
use terang_plan::law::thresholds;
use terang_train::checkpoint::{MANIFEST, Manifest, SourceRecord, read_manifest};
use terang_train::evaluations::{self, Evaluation, Evaluations};

use super::Fact;
use crate::messages::Msg;
use crate::problem::{Outcome, Problem};

/// What the manifest of a model or checkpoint says; nothing where there is none.
pub(super) fn facts(path: &Path) -> Outcome<Vec<Fact>> {
    if !path.join(MANIFEST).is_file() {
        return Ok(Vec::new());
    }
    let manifest = read_manifest(path).map_err(|error| Problem::Below(error.to_string()))?;
    let text = |key, label, value: &str| Fact(key, label, json!(value), value.to_owned());
    let mut facts = vec![
        text("trained_as", Msg::CardName {}, &manifest.name),
        text("made_by", Msg::CardMadeBy {}, &manifest.made_by),
        text("numerics", Msg::CardNumerics {}, &manifest.profile),
        compute(&manifest),
        law(manifest.flops),
        quality(&manifest),
        Fact(
            "training_data",
            Msg::CardData {},
            json!(manifest.data),
            manifest
                .data
                .iter()
                .map(source)
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    ];
    let found = evaluations::read(path).map_err(|error| Problem::Below(error.to_string()))?;
    if let Some(found) = found {
        facts.push(evaluated(&found));
    }
    if let Some(sha256) = manifest.weights_sha256() {
        facts.push(text("weights_sha256", Msg::CardWeights {}, sha256));
    }
    if let Some(parent) = &manifest.parent {
        facts.push(text("parent_sha256", Msg::CardParent {}, parent));
    }
    Ok(facts)
}

fn compute(manifest: &Manifest) -> Fact {
    let text = Msg::CardComputed {
        tokens: manifest.tokens.to_string(),
        flops: format!("{:.3e}", manifest.flops),
        watt_hours: format!("{:.2}", manifest.energy_j / 3600.0),
    };
    let value = json!({
        "tokens": manifest.tokens,
        "flops": manifest.flops,
        "energy_j_estimate": manifest.energy_j,
    });
    Fact("training", Msg::CardTraining {}, value, text.to_string())
}

/// The first threshold that the training has not crossed, and how much of it that is.
fn law(flops: f64) -> Fact {
    let all = thresholds(flops);
    let next = all.iter().find(|threshold| !threshold.crossed);
    let crossed: Vec<_> = all.iter().filter(|threshold| threshold.crossed).collect();
    let mut lines: Vec<String> = crossed
        .iter()
        .map(|threshold| format!("> {:.0e} FLOP: {}", threshold.flops, threshold.law))
        .collect();
    if let Some(next) = next {
        lines.push(
            Msg::CardUnder {
                share: format!("{:.1e}", flops / next.flops),
                flops: format!("{:.0e}", next.flops),
                law: next.law.to_owned(),
            }
            .to_string(),
        );
    }
    let value = json!({ "crossed": crossed, "next": next });
    Fact("law", Msg::CardLaw {}, value, lines.join("\n"))
}

fn quality(manifest: &Manifest) -> Fact {
    let number = |value: Option<f64>| value.map(|value| format!("{value:.4}"));
    let mut parts = Vec::new();
    if let Some(loss) = number(manifest.val_loss) {
        parts.push(Msg::CardLoss { loss }.to_string());
    }
    if let Some(share) = number(manifest.val_reward) {
        parts.push(Msg::CardRight { share }.to_string());
    }
    let value = json!({ "val_loss": manifest.val_loss, "val_reward": manifest.val_reward });
    let text = if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    };
    Fact("validation", Msg::CardValidation {}, value, text)
}

/// A line for each suite.
fn evaluated(found: &Evaluations) -> Fact {
    let line = |(name, suite): (&String, &Evaluation)| {
        let metrics = suite.metrics.iter().map(|(name, (value, half))| {
            let half = half.map_or_else(String::new, |half| format!(" ± {half:.4}"));
            format!("{name} {value:.4}{half}")
        });
        let metrics: Vec<String> = metrics.collect();
        format!("{name} ({})  {}", suite.items, metrics.join("  "))
    };
    let lines: Vec<String> = found.suites.iter().map(line).collect();
    let value = json!(found.suites);
    Fact(
        "evaluations",
        Msg::CardEvaluations {},
        value,
        lines.join("\n"),
    )
}

fn source(record: &SourceRecord) -> String {
    let licence = if record.licence.is_empty() {
        Msg::CardNoLicence {}.to_string()
    } else {
        record.licence.clone()
    };
    Msg::CardSource {
        name: record.name.clone(),
        documents: record.documents.to_string(),
        tokens: record.tokens.to_string(),
        licence,
        origin: record.origin.clone(),
    }
    .to_string()
}
