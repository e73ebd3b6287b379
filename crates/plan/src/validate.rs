//! Compares predictions with measured rows: row by row, by group and GPU kind, with the group left out
//! of the fit, and by how good the best predicted layout of a sweep really was.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::cost::step_time;
use crate::fit::fit;
use crate::fitted::Fitted;
use crate::memory::reported_gib;
use crate::rows::{Case, Row};

/// One row's prediction.
#[derive(Clone, Debug, Serialize)]
pub struct RowResult {
    /// The row's id.
    pub id: String,
    /// Where it comes from.
    pub group: String,
    /// Whether it is a mixture of experts.
    pub moe: bool,
    /// What `measured` and `predicted` are: `step_s`, or `tokens_per_s_per_gpu` for mixtures.
    pub unit: &'static str,
    /// What was measured.
    pub measured: Option<f64>,
    /// What is predicted.
    pub predicted: Option<f64>,
    /// By how much the prediction is over the measurement, percent.
    pub error_pct: Option<f64>,
    /// Measured memory of a GPU, GiB.
    pub memory_measured_gib: Option<f64>,
    /// Predicted memory of a GPU, GiB.
    pub memory_predicted_gib: Option<f64>,
    /// By how much the predicted memory is over the measured, percent.
    pub memory_error_pct: Option<f64>,
    /// Why something above is null.
    pub reason: Option<String>,
}

fn error_pct(predicted: f64, measured: f64) -> f64 {
    (predicted / measured - 1.0) * 100.0
}

/// Predicts one case.
pub fn predict(case: &Case, fitted: &Fitted) -> RowResult {
    let run = &case.run;
    let moe = run.model.is_moe();
    let convert = |step: f64| {
        if moe {
            run.tokens() / step / run.cluster.gpus as f64
        } else {
            step
        }
    };
    let predicted = convert(step_time(run, fitted).total_s);
    let measured = case.measured.step_s.map(convert);
    let memory = reported_gib(run, fitted);
    let held = case.measured.memory_gib;
    RowResult {
        id: case.id.clone(),
        group: case.group.clone(),
        moe,
        unit: if moe {
            "tokens_per_s_per_gpu"
        } else {
            "step_s"
        },
        measured,
        predicted: Some(predicted),
        error_pct: measured.map(|m| error_pct(predicted, m)),
        memory_measured_gib: held,
        memory_predicted_gib: Some(memory),
        memory_error_pct: held.map(|m| error_pct(memory, m)),
        reason: (measured.is_none()).then(|| {
            "no step time, tokens a second, TFLOP/s or share of peak was measured".to_owned()
        }),
    }
}

/// Predicts every row of a file.
pub fn predict_rows(rows: &[Row], fitted: &Fitted) -> Vec<RowResult> {
    rows.iter()
        .map(|row| match row {
            Ok(case) => predict(case, fitted),
            Err(s) => RowResult {
                id: s.id.clone(),
                group: s.group.clone(),
                moe: s.moe,
                unit: if s.moe {
                    "tokens_per_s_per_gpu"
                } else {
                    "step_s"
                },
                measured: s.measured,
                predicted: None,
                error_pct: None,
                memory_measured_gib: None,
                memory_predicted_gib: None,
                memory_error_pct: None,
                reason: Some(s.reason.clone()),
            },
        })
        .collect()
}

/// Errors of several rows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Errors {
    /// Rows.
    pub rows: usize,
    /// Mean of absolute errors, percent.
    pub mean_pct: f64,
    /// Nine of ten are at most this, percent.
    pub p90_pct: f64,
    /// The worst, percent.
    pub worst_pct: f64,
    /// Mean of signed errors, percent.
    pub bias_pct: f64,
}

impl Errors {
    /// Of signed errors in percent.
    pub fn of(errors: &[f64]) -> Self {
        if errors.is_empty() {
            return Self::default();
        }
        let n = errors.len();
        let mut absolute: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
        absolute.sort_by(f64::total_cmp);
        Self {
            rows: n,
            mean_pct: absolute.iter().sum::<f64>() / n as f64,
            p90_pct: absolute[((n as f64 * 0.9).ceil() as usize).clamp(1, n) - 1],
            worst_pct: absolute[n - 1],
            bias_pct: errors.iter().sum::<f64>() / n as f64,
        }
    }
}

/// Errors of one group and GPU kind, or of a sum of groups.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Group, or what is summed up.
    pub group: String,
    /// GPU kind; empty in sums.
    pub gpu_kind: String,
    /// `dense`, `moe` or `memory`.
    pub kind: &'static str,
    /// With all rows in the fit.
    pub fitted: Errors,
    /// With the group left out of it.
    pub left_out: Errors,
}

/// How good the layout predicted as best was in a sweep.
#[derive(Clone, Debug, Serialize)]
pub struct Choice {
    /// Model and GPUs of the sweep.
    pub sweep: String,
    /// Layouts measured.
    pub layouts: usize,
    /// The row predicted as best, by parameters that its group had no part in.
    pub chosen: String,
    /// The row measured as best.
    pub best: String,
    /// By how much the chosen one's measured time is over the best's, percent.
    pub over_best_pct: f64,
}

/// All of a validation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Sums over groups, then groups.
    pub lines: Vec<Line>,
    /// Mixtures, each with all rows of its model left out of the fit, whatever their source.
    pub models: Vec<Line>,
    /// Sweeps.
    pub choices: Vec<Choice>,
    /// Rows that could not be predicted, by group and reason.
    pub skipped: Vec<(String, String, usize)>,
}

/// The group of single-node rows, of which a part is enough to fit to.
const SINGLE: &str = "vtrain-single";

/// The cases that parameters are fitted to.
pub fn training(cases: &[Case]) -> Vec<&Case> {
    cases
        .iter()
        .enumerate()
        .filter(|(i, c)| c.fit && (c.group != SINGLE || i % 6 == 0))
        .map(|(_, c)| c)
        .collect()
}

/// For each group the parameters fitted without it.
pub fn leave_out(cases: &[Case], start: &Fitted) -> BTreeMap<String, Fitted> {
    let all = training(cases);
    let groups: BTreeSet<&str> = all.iter().map(|c| c.group.as_str()).collect();
    groups
        .into_iter()
        .map(|g| {
            let others: Vec<&Case> = all.iter().copied().filter(|c| c.group != g).collect();
            (g.to_owned(), fit(&others, start, 10))
        })
        .collect()
}

/// What was measured again and again with newer software.
fn configuration(case: &Case) -> String {
    let r = &case.run;
    format!(
        "{} {} {} {} {} {} {}",
        case.group,
        r.model.name,
        case.gpu_kind,
        r.cluster.gpus,
        r.precision.name(),
        r.seq,
        if r.model.is_moe() { 0 } else { r.global_batch }
    )
}

/// When its software was released, in thousandths of a year; only some sources tell.
fn year(case: &Case) -> u64 {
    if case.group.contains("bridge") {
        (case.run.software.year * 1000.0) as u64
    } else {
        0
    }
}

/// Sums before groups, then group, GPU kind and what is compared.
type Key = (u8, String, String, &'static str);
/// Errors with the group in the fit, and without.
type Pair = (Vec<f64>, Vec<f64>);

/// Compares all rows marked for it.
pub fn report(rows: Vec<Row>, fitted: &Fitted) -> Report {
    let mut skipped: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut cases = Vec::new();
    for row in rows {
        match row {
            Ok(case) if case.fit => cases.push(case),
            Err(s) if s.fit => *skipped.entry((s.group, s.reason)).or_default() += 1,
            _ => {}
        }
    }
    let without = leave_out(&cases, fitted);
    let mut newest: BTreeMap<String, u64> = BTreeMap::new();
    for case in &cases {
        let latest = newest.entry(configuration(case)).or_default();
        *latest = (*latest).max(year(case));
    }
    let mut table: BTreeMap<Key, Pair> = BTreeMap::new();
    for case in &cases {
        let with = predict(case, fitted);
        let left = predict(case, without.get(&case.group).unwrap_or(fitted));
        let mut add = |kind: &'static str, a: Option<f64>, b: Option<f64>| {
            let (Some(a), Some(b)) = (a, b) else { return };
            let mut keys = vec![(1, case.group.clone(), case.gpu_kind.clone(), kind)];
            if case.group != SINGLE {
                keys.push((0, "all".to_owned(), String::new(), kind));
                if newest.get(&configuration(case)) == Some(&year(case)) {
                    keys.push((
                        0,
                        "all, newest release of each".to_owned(),
                        String::new(),
                        kind,
                    ));
                }
            }
            for key in keys {
                let entry = table.entry(key).or_default();
                entry.0.push(a);
                entry.1.push(b);
            }
        };
        add(
            if with.moe { "moe" } else { "dense" },
            with.error_pct,
            left.error_pct,
        );
        add("memory", with.memory_error_pct, left.memory_error_pct);
    }
    let lines = table
        .into_iter()
        .map(|((_, group, gpu_kind, kind), (a, b))| Line {
            group,
            gpu_kind,
            kind,
            fitted: Errors::of(&a),
            left_out: Errors::of(&b),
        })
        .collect();
    Report {
        lines,
        models: models_left_out(&cases, fitted),
        choices: choices(&cases, &without),
        skipped: skipped.into_iter().map(|((g, r), n)| (g, r, n)).collect(),
    }
}

/// Mixtures whose model the fit has not seen: what a plan for a new model on known software is worth.
fn models_left_out(cases: &[Case], fitted: &Fitted) -> Vec<Line> {
    let training = training(cases);
    let mut by_model: BTreeMap<&str, Pair> = BTreeMap::new();
    for case in cases.iter().filter(|c| c.run.model.is_moe()) {
        by_model.entry(&case.run.model.name).or_default();
    }
    for (name, (with, left)) in &mut by_model {
        let others: Vec<&Case> = training
            .iter()
            .copied()
            .filter(|c| c.run.model.name != *name)
            .collect();
        let without = fit(&others, fitted, 10);
        for case in cases.iter().filter(|c| c.run.model.name == *name) {
            with.extend(predict(case, fitted).error_pct);
            left.extend(predict(case, &without).error_pct);
        }
    }
    let all = by_model.values().fold(Pair::default(), |mut all, (a, b)| {
        all.0.extend(a);
        all.1.extend(b);
        all
    });
    let line = |name: &str, (with, left): &Pair| Line {
        group: name.to_owned(),
        gpu_kind: String::new(),
        kind: "moe",
        fitted: Errors::of(with),
        left_out: Errors::of(left),
    };
    std::iter::once(line("all", &all))
        .chain(by_model.iter().map(|(name, pair)| line(name, pair)))
        .collect()
}

/// Sweeps are rows of one group with the same model, GPUs and batch, in at least four layouts.
fn choices(cases: &[Case], without: &BTreeMap<String, Fitted>) -> Vec<Choice> {
    let mut sweeps: BTreeMap<String, Vec<(&Case, f64)>> = BTreeMap::new();
    for c in cases {
        let swept = ["bloom-prequel", "vtrain-multi"].contains(&c.group.as_str());
        let (true, Some(step)) = (swept, c.measured.step_s) else {
            continue;
        };
        let m = &c.run.model;
        let key = format!(
            "{}: {} layers of {}, {} heads, {} GPUs, batch {}",
            c.group,
            m.num_hidden_layers,
            m.hidden_size,
            m.num_attention_heads,
            c.run.cluster.gpus,
            c.run.global_batch
        );
        sweeps.entry(key).or_default().push((c, step));
    }
    sweeps
        .into_iter()
        .filter_map(|(sweep, rows)| {
            let layouts: BTreeSet<String> = rows
                .iter()
                .map(|(c, _)| format!("{:?}", c.run.layout))
                .collect();
            if layouts.len() < 4 {
                return None;
            }
            let fitted = without.get(&rows[0].0.group)?;
            let predicted = |c: &Case| step_time(&c.run, fitted).total_s;
            let chosen = rows
                .iter()
                .min_by(|a, b| predicted(a.0).total_cmp(&predicted(b.0)))?;
            let best = rows.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
            Some(Choice {
                sweep,
                layouts: layouts.len(),
                chosen: chosen.0.id.clone(),
                best: best.0.id.clone(),
                over_best_pct: error_pct(chosen.1, best.1),
            })
        })
        .collect()
}

/// The report as Markdown tables.
pub fn markdown(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "| group | GPU | what | rows | mean % | p90 % | worst % | bias % | left out: mean % | p90 % | worst % | bias % |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let e = |e: &Errors| {
        format!(
            "{:.1} | {:.1} | {:.1} | {:+.1}",
            e.mean_pct, e.p90_pct, e.worst_pct, e.bias_pct
        )
    };
    for l in &report.lines {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            l.group,
            l.gpu_kind,
            l.kind,
            l.fitted.rows,
            e(&l.fitted),
            e(&l.left_out)
        );
    }
    out.push_str(
        "\n| mixture | rows | mean % | p90 % | worst % | bias % | left out: mean % | p90 % | worst % | bias % |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for l in &report.models {
        let (with, left) = (e(&l.fitted), e(&l.left_out));
        let _ = writeln!(out, "| {} | {} | {with} | {left} |", l.group, l.fitted.rows);
    }
    out.push_str(
        "\n| sweep | layouts | predicted best | measured best | over the best % |\n\
         | --- | ---: | --- | --- | ---: |\n",
    );
    for c in &report.choices {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {:.1} |",
            c.sweep, c.layouts, c.chosen, c.best, c.over_best_pct
        );
    }
    for (group, reason, n) in &report.skipped {
        let _ = writeln!(out, "\nskipped: {n} rows of {group}: {reason}");
    }
    out
}

/// Rows' predictions as a Markdown table.
pub fn rows_markdown(rows: &[RowResult]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from(
        "| id | group | what | measured | predicted | error % | memory GiB | predicted | error % |\n\
         | --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let n = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.2}"));
    for r in rows {
        if let (None, Some(reason)) = (r.predicted, &r.reason) {
            let _ = writeln!(
                out,
                "| {} | {} | skipped: {reason} | | | | | | |",
                r.id, r.group
            );
            continue;
        }
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            r.id,
            r.group,
            r.unit,
            n(r.measured),
            n(r.predicted),
            n(r.error_pct),
            n(r.memory_measured_gib),
            n(r.memory_predicted_gib),
            n(r.memory_error_pct)
        );
    }
    out
}
