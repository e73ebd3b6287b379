//! What a run leaves to look at: points of its metrics, a page with plots, a line of blocks for terminals.

use crate::checkpoint::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A line of `metrics.jsonl`: a step, or a validation after it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The stage's name.
    pub stage: String,
    /// Steps of the stage that were made.
    pub step: u64,
    /// The loss, in nats a token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<f64>,
    /// The share of right answers, or of pairs in the right order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reward: Option<f64>,
    /// The same of what is kept back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_reward: Option<f64>,
    /// The loss on what is kept back, in nats a token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_loss: Option<f64>,
    /// The learning rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub learning_rate: Option<f64>,
    /// The gradient's norm.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gradient_norm: Option<f64>,
    /// Tokens a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tokens_per_s: Option<f64>,
}

impl Point {
    /// What is known, by name.
    pub fn scalars(&self) -> Vec<(&'static str, f64)> {
        let all = [
            ("loss", self.loss),
            ("reward", self.reward),
            ("val_reward", self.val_reward),
            ("val_loss", self.val_loss),
            ("learning_rate", self.learning_rate),
            ("gradient_norm", self.gradient_norm),
            ("tokens_per_s", self.tokens_per_s),
        ];
        let known = all.into_iter();
        known
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// The points of a run that was broken off before; lines that are cut are left out.
pub fn read_points(path: &Path) -> Vec<Point> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// Numbers as blocks of different heights, the newest at the right, each the mean of its part.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if values.is_empty() {
        return String::new();
    }
    let part = values.len().div_ceil(width);
    let means: Vec<f64> = values
        .chunks(part)
        .map(|part| part.iter().sum::<f64>() / part.len() as f64)
        .collect();
    let (low, high) = bounds(&means);
    let height = |x: f64| {
        (((x - low) / (high - low).max(1e-9)) * 7.0)
            .round()
            .clamp(0.0, 7.0)
    };
    means.iter().map(|&x| BLOCKS[height(x) as usize]).collect()
}

fn bounds(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| {
            (low.min(x), high.max(x))
        })
}

/// One page with the plots of a run and where the model is from; it needs nothing else.
pub fn html(name: &str, points: &[Point], manifest: &Manifest) -> String {
    // Steps that were made again after a run was broken off count once.
    let mut stages: Vec<&str> = Vec::new();
    for point in points {
        if !stages.contains(&point.stage.as_str()) {
            stages.push(&point.stage);
        }
    }
    let mut merged: BTreeMap<(usize, u64, bool), &Point> = BTreeMap::new();
    for point in points {
        let stage = stages
            .iter()
            .position(|stage| *stage == point.stage)
            .unwrap_or(0);
        let is_validation = point.loss.is_none();
        merged.insert((stage, point.step, is_validation), point);
    }
    let mut offsets = vec![0u64; stages.len() + 1];
    for stage in 0..stages.len() {
        let last = merged
            .keys()
            .filter(|key| key.0 == stage)
            .map(|key| key.1)
            .max()
            .unwrap_or(0);
        offsets[stage + 1] = offsets[stage] + last;
    }
    let line = |get: &dyn Fn(&Point) -> Option<f64>| -> Vec<(f64, f64)> {
        let all = merged
            .iter()
            .filter_map(|(key, point)| Some((key, get(point)?)));
        all.map(|(key, y)| ((offsets[key.0] + key.1) as f64, y))
            .filter(|(_, y)| y.is_finite())
            .collect()
    };
    let marks: Vec<f64> = offsets[1..offsets.len().max(2) - 1]
        .iter()
        .map(|&x| x as f64)
        .collect();
    let plots = [
        plot(
            "Loss (nats a token)",
            &[
                ("training", line(&|p| p.loss)),
                ("validation", line(&|p| p.val_loss)),
            ],
            &marks,
        ),
        plot(
            "Share of right answers",
            &[
                ("training", line(&|p| p.reward)),
                ("validation", line(&|p| p.val_reward)),
            ],
            &marks,
        ),
        plot("Learning rate", &[("", line(&|p| p.learning_rate))], &marks),
        plot(
            "Norm of the gradient",
            &[("", line(&|p| p.gradient_norm))],
            &marks,
        ),
        plot(
            "Tokens a second",
            &[("", line(&|p| p.tokens_per_s))],
            &marks,
        ),
    ];
    let mut rows = String::new();
    let mut row = |key: &str, value: &str| {
        let _ = write!(
            rows,
            "<tr><th>{}</th><td>{}</td></tr>",
            escape(key),
            escape(value)
        );
    };
    row("Made by", &manifest.made_by);
    row("Numerics", &manifest.profile);
    row("Stages", &stages.join(", "));
    row("Tokens seen", &manifest.tokens.to_string());
    row(
        "Floating-point operations",
        &format!("{:.3e}", manifest.flops),
    );
    if let Some(loss) = manifest.val_loss {
        row("Validation loss", &format!("{loss:.4} nats a token"));
    }
    if let Some(reward) = manifest.val_reward {
        row(
            "Right answers in validation",
            &format!("{:.1}%", 100.0 * reward),
        );
    }
    for source in &manifest.data {
        let licence = if source.licence.is_empty() {
            "licence not given"
        } else {
            &source.licence
        };
        let text = format!(
            "{} documents, {} tokens, {licence} {}",
            source.documents, source.tokens, source.origin
        );
        row(&format!("Data: {}", source.name), &text);
    }
    if let Some(sha256) = manifest.weights_sha256() {
        row("SHA-256 of the weights", sha256);
    }
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{name}</title><style>\
         :root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem \
         auto;padding:0 1rem}}svg{{width:100%;height:auto}}text{{fill:currentColor;font-size:12px}}\
         th{{text-align:left;padding-right:1rem;vertical-align:top}}td{{overflow-wrap:anywhere}}\
         .grid{{stroke:currentColor;opacity:.15}}.a{{stroke:#0a7d54}}.b{{stroke:#c2410c}}\
         path{{fill:none;stroke-width:1.5}}</style><h1>{name}</h1>{}<h2>Where it is from</h2><table>{rows}</table>\
         <h2>Recipe</h2><pre>{}</pre></html>\n",
        plots.concat(),
        escape(&manifest.recipe),
        name = escape(name),
    )
}

/// A plot as SVG, with a vertical line where each stage but the first begins.
fn plot(title: &str, lines: &[(&str, Vec<(f64, f64)>)], marks: &[f64]) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 240.0;
    const LEFT: f64 = 60.0;
    const BOTTOM: f64 = 24.0;
    let all: Vec<(f64, f64)> = lines
        .iter()
        .flat_map(|(_, points)| points.iter().copied())
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let (x_low, x_high) = bounds(&all.iter().map(|p| p.0).collect::<Vec<_>>());
    let (y_low, y_high) = bounds(&all.iter().map(|p| p.1).collect::<Vec<_>>());
    let x_at = |x: f64| LEFT + (x - x_low) / (x_high - x_low).max(1e-12) * (WIDTH - LEFT - 8.0);
    let y_at = |y: f64| 8.0 + (y_high - y) / (y_high - y_low).max(1e-12) * (HEIGHT - BOTTOM - 16.0);
    let mut svg = format!(
        "<h2>{title}</h2><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
    );
    for i in 0..=4 {
        let value = y_low + (y_high - y_low) * f64::from(i) / 4.0;
        let y = y_at(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    for mark in marks {
        let x = x_at(*mark);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"8\" y2=\"{:.1}\"/>",
            HEIGHT - BOTTOM
        );
    }
    for (x, anchor) in [(x_low, "start"), (x_high, "end")] {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">step {x:.0}</text>",
            x_at(x),
            HEIGHT - 6.0
        );
    }
    for (index, (label, points)) in lines.iter().enumerate() {
        let class = if index == 0 { "a" } else { "b" };
        // No more points than can be told apart.
        let part = points.len().div_ceil(1000).max(1);
        let mut path = String::new();
        for chunk in points.chunks(part) {
            let n = chunk.len() as f64;
            let x = chunk.iter().map(|p| p.0).sum::<f64>() / n;
            let y = chunk.iter().map(|p| p.1).sum::<f64>() / n;
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", x_at(x), y_at(y));
        }
        let _ = write!(svg, "<path class=\"{class}\" d=\"{path}\"/>");
        if !label.is_empty() && !points.is_empty() {
            let _ = write!(
                svg,
                "<path class=\"{class}\" d=\"M{0} {2}L{1} {2}\"/><text x=\"{3}\" y=\"{4}\">{label}</text>",
                WIDTH - 130.0,
                WIDTH - 110.0,
                16 + 18 * index,
                WIDTH - 104.0,
                20 + 18 * index
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if (0.01..100_000.0).contains(&size) {
        let digits = if size >= 100.0 { 0 } else { 2 };
        format!("{value:.digits$}")
    } else {
        format!("{value:.1e}")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_blocks_fall_as_the_numbers_do() {
        assert_eq!(sparkline(&[8.0, 4.0, 1.0], 8), "█▄▁");
        assert_eq!(sparkline(&[1.0; 40], 4).chars().count(), 4);
        assert_eq!(sparkline(&[], 4), "");
    }

    #[test]
    fn points_survive_a_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let point = Point {
            stage: "s".to_owned(),
            step: 3,
            loss: Some(1.5),
            ..Point::default()
        };
        let line = serde_json::to_string(&point).unwrap();
        std::fs::write(&path, format!("{line}\n{}", &line[..9])).unwrap();
        assert_eq!(read_points(&path), [point]);
    }
}
