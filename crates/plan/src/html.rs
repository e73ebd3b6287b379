//! The plan as one page that needs nothing else: numbers, and plots drawn as SVG.

use std::fmt::Write as _;

use crate::plan::{Plan, Size, layout_words};
use crate::text::{carbon, dollars, duration, energy, short};

/// Colours of categories, distinct to most eyes (after Okabe and Ito 2008).
const COLOURS: [&str; 9] = [
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a100", "#7a7a7a",
    "#44337a",
];

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #5d5d5d; --line: #d8d8d8; --page: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --soft: #a8a8a8; --line: #3a3a3a; --page: #161616; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } .soft, svg text.soft { color: var(--soft); fill: var(--soft); }
.wide { overflow-x: auto; }
@media (max-width: 44rem) { svg text { font-size: 24px; } .wide svg { min-width: 36rem; } .wide svg text { font-size: 18px; } }
.key span { display: inline-block; margin-right: 1rem; } .key i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
";

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The page.
pub fn page(p: &Plan, sizes: &[Size]) -> String {
    let failures = &p.simulation;
    let best = &p.found.best;
    let gpu = &best.run.cluster.gpu;
    let title = format!("{} on {} {}", p.model, short(p.gpus as f64), gpu.name);
    let mut o = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{0}</h1>\n",
        escape(&title)
    );
    let rows = [
        ("Layout", layout_words(best)),
        (
            "Time",
            format!(
                "{}; without failures {}; if slower than predicted as one in ten runs was, {}",
                duration(p.days * 86_400.0),
                duration(p.days_undisturbed * 86_400.0),
                duration(p.days_if_slower * 86_400.0)
            ),
        ),
        (
            "Step",
            format!(
                "{} for {} tokens, {:.0} tokens/s/GPU, MFU {:.1}%",
                duration(best.step.total_s),
                short(best.run.tokens()),
                best.tokens_per_s / best.run.cluster.gpus as f64,
                p.mfu * 100.0
            ),
        ),
        ("Money", dollars(p.cost_usd)),
        (
            "Energy",
            format!("{}, {}", energy(p.energy_mwh), carbon(p.carbon_t)),
        ),
        (
            "Failures",
            format!(
                "{:.0} expected, one in {}",
                p.upkeep.failures,
                duration(p.upkeep.mtbf_h * 3600.0)
            ),
        ),
        ("Compute", format!("{:.2e} FLOPs", p.flops)),
    ];
    o.push_str("<table>\n");
    for (name, words) in rows {
        let _ = writeln!(o, "<tr><th>{name}</th><td>{}</td></tr>", escape(&words));
    }
    for t in p.thresholds.iter().filter(|t| t.crossed) {
        let _ = writeln!(
            o,
            "<tr><th>Over {:.0e}</th><td>{}<br><span class=\"soft\">{}</span></td></tr>",
            t.flops,
            escape(t.law),
            escape(t.source)
        );
    }
    o.push_str("</table>\n");

    let s = &best.step;
    let step = [
        ("products", s.products_s),
        ("attention", s.attention_s),
        ("pointwise", s.pointwise_s + s.launch_s),
        ("tensor-parallel", s.tensor_s),
        ("expert- and context-parallel", s.expert_s + s.context_s),
        ("pipeline", s.bubble_s + s.pipeline_send_s),
        ("gradients and weights", s.data_s),
        ("optimizer", s.optimizer_s),
        ("slowest GPU and the rest", s.straggle_s + s.other_s),
    ];
    let _ = writeln!(o, "<h2>A step's time: {}</h2>", duration(s.total_s));
    stacked(
        &mut o,
        "time of a step by what it goes to",
        &step,
        s.total_s,
        &duration,
    );
    let m = &best.memory;
    let memory = [
        ("weights", m.weights_gib),
        ("gradients", m.gradients_gib),
        ("optimizer", m.optimizer_gib),
        ("activations", m.activations_gib),
        ("logits", m.logits_gib),
        ("fragments", m.fragments_gib),
        ("driver", m.driver_gib),
    ];
    let _ = writeln!(
        o,
        "<h2>Memory of the fullest GPU: {:.1} of {:.1} GiB</h2>",
        m.total_gib, gpu.memory_gib
    );
    stacked(
        &mut o,
        "memory of a GPU by what it holds",
        &memory,
        gpu.memory_gib,
        &|v| format!("{v:.1} GiB"),
    );

    let _ = writeln!(
        o,
        "<h2>Share of the time that is training</h2><p class=\"soft\">{} runs played through: {:.1}% in the middle, \
         {:.1} to {:.1}% in eight of ten; {:.0} interruptions ({:.0} to {:.0}). Done after {:.1} days in half of \
         them, {:.1} in nine of ten, {:.1} in 99 of a hundred.</p>",
        failures.runs,
        failures.goodput[2] * 100.0,
        failures.goodput[1] * 100.0,
        failures.goodput[3] * 100.0,
        failures.interruptions[0],
        failures.interruptions[1],
        failures.interruptions[2],
        failures.days[0],
        failures.days[1],
        failures.days[2]
    );
    histogram(&mut o, &failures.curve);
    o.push_str("<table><tr><th>Lost to</th><th class=\"n\">GPU-hours a run</th></tr>\n");
    for l in failures
        .losses
        .iter()
        .filter(|l| l.gpu_hours >= 0.5)
        .take(8)
    {
        let _ = writeln!(
            o,
            "<tr><td>{}</td><td class=\"n\">{}</td></tr>",
            escape(&l.what),
            short(l.gpu_hours)
        );
    }
    o.push_str("</table>\n");

    o.push_str("<h2>Cost against the number of GPUs</h2>\n");
    cost_plot(&mut o, sizes);
    o.push_str("<h2>Where the ranks lie</h2>\n");
    grid(&mut o, p);

    o.push_str("<h2>Other layouts</h2>\n<table>\n");
    for (c, why) in &p.found.runners_up {
        let _ = writeln!(
            o,
            "<tr><td>{}</td><td>{}</td></tr>",
            escape(&layout_words(c)),
            escape(why)
        );
    }
    let _ = writeln!(
        o,
        "</table>\n<p class=\"soft\">{} layouts were looked at, {} fit. Predictions of runs like this were \
         within {:.0}% in nine of ten measured cases.</p>\n</body>\n</html>",
        p.found.looked_at, p.found.fitting, p.error_p90_pct
    );
    o
}

/// One bar in parts, with a key.
fn stacked(
    o: &mut String,
    label: &str,
    parts: &[(&str, f64)],
    whole: f64,
    text: &dyn Fn(f64) -> String,
) {
    let _ = write!(
        o,
        "<svg viewBox=\"0 0 800 46\" role=\"img\" aria-label=\"{label}\"><rect x=\"0\" y=\"4\" width=\"800\" height=\"38\" fill=\"none\" stroke=\"var(--line)\"/>"
    );
    let mut x = 0.0;
    let mut key = String::from("<p class=\"key\">");
    for ((name, v), colour) in parts.iter().zip(COLOURS) {
        let width = v / whole * 800.0;
        if width < 0.4 {
            continue;
        }
        let _ = write!(
            o,
            "<rect x=\"{x:.1}\" y=\"4\" width=\"{width:.1}\" height=\"38\" fill=\"{colour}\"><title>{name} {}</title></rect>",
            text(*v)
        );
        let _ = write!(
            key,
            "<span><i style=\"background:{colour}\"></i>{name} {} ({:.1}%)</span>",
            text(*v),
            v / whole * 100.0
        );
        x += width;
    }
    let _ = writeln!(o, "</svg>\n{key}</p>");
}

/// Bars of the histogram.
const BINS: usize = 20;

/// How many of the runs came to which goodput.
fn histogram(o: &mut String, sorted: &[f64]) {
    let (Some(low), Some(high)) = (sorted.first(), sorted.last()) else {
        return;
    };
    let (low, high) = (
        (low * 100.0).floor(),
        (high * 100.0).ceil().max((low * 100.0).floor() + 1.0),
    );
    let mut bins = [0_u32; BINS];
    for v in sorted {
        let i = ((v * 100.0 - low) / (high - low) * BINS as f64) as usize;
        bins[i.min(BINS - 1)] += 1;
    }
    let most = f64::from(bins.iter().copied().max().unwrap_or(1).max(1));
    o.push_str("<svg viewBox=\"0 0 800 180\" role=\"img\" aria-label=\"distribution of goodput over runs\">");
    for (i, n) in bins.iter().enumerate() {
        let height = f64::from(*n) / most * 140.0;
        let _ = write!(
            o,
            "<rect x=\"{}\" y=\"{:.1}\" width=\"38\" height=\"{height:.1}\" fill=\"{}\"/>",
            i * 40 + 1,
            150.0 - height,
            COLOURS[2]
        );
    }
    let _ = writeln!(
        o,
        "<text x=\"0\" y=\"170\">{low:.0}%</text><text x=\"800\" y=\"170\" text-anchor=\"end\">{high:.0}%</text></svg>"
    );
}

fn cost_plot(o: &mut String, sizes: &[Size]) {
    let most = sizes.iter().map(|s| s.cost_usd).fold(0.0, f64::max);
    let longest = sizes.iter().map(|s| s.days).fold(0.0, f64::max);
    if sizes.is_empty() || most <= 0.0 || longest <= 0.0 {
        return;
    }
    let step = 800.0 / sizes.len() as f64;
    o.push_str("<div class=\"wide\"><svg viewBox=\"0 0 800 260\" role=\"img\" aria-label=\"cost and days against the number of GPUs\">");
    for (i, s) in sizes.iter().enumerate() {
        let x = step * i as f64;
        let (c, d) = (s.cost_usd / most * 150.0, s.days / longest * 150.0);
        let bar = (step * 0.3).min(70.0);
        let _ = write!(
            o,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{bar:.1}\" height=\"{c:.1}\" fill=\"{}\"/>\
             <rect x=\"{:.1}\" y=\"{:.1}\" width=\"{bar:.1}\" height=\"{d:.1}\" fill=\"{}\"/>\
             <text x=\"{:.1}\" y=\"215\" text-anchor=\"middle\">{} GPUs</text>\
             <text x=\"{:.1}\" y=\"233\" text-anchor=\"middle\" class=\"soft\">{}</text>\
             <text x=\"{:.1}\" y=\"251\" text-anchor=\"middle\" class=\"soft\">{:.0} days</text>",
            x + step * 0.5 - bar,
            190.0 - c,
            COLOURS[0],
            x + step * 0.5,
            190.0 - d,
            COLOURS[1],
            x + step * 0.5,
            short(s.gpus as f64),
            x + step * 0.5,
            dollars(s.cost_usd),
            x + step * 0.5,
            s.days
        );
    }
    let _ = writeln!(
        o,
        "</svg></div>\n<p class=\"key\"><span><i style=\"background:{}\"></i>cost</span><span><i style=\"background:{}\"></i>days</span></p>",
        COLOURS[0], COLOURS[1]
    );
}

/// The nodes as a grid, coloured by the pipeline stage that each one holds.
fn grid(o: &mut String, p: &Plan) {
    let run = &p.found.best.run;
    let l = &run.layout;
    let nodes = crate::emit::nodes(p);
    let per_node = u64::from(run.cluster.gpus_per_node.max(1));
    // Ranks are counted as Megatron does: tensor, context, data, then pipeline.
    let stage_ranks = (l.tp * l.cp * l.dp).max(1);
    let columns = (nodes as f64 * 2.0).sqrt().ceil().clamp(1.0, 100.0) as u64;
    let shown = nodes.min(columns * 100);
    let size = 800.0 / columns as f64;
    let height = (shown.div_ceil(columns)) as f64 * size;
    let _ = write!(
        o,
        "<svg viewBox=\"0 0 800 {height:.0}\" role=\"img\" aria-label=\"nodes by pipeline stage\">"
    );
    for node in 0..shown {
        let stage = (node * per_node / stage_ranks).min(l.pp - 1);
        let hue = stage * 300 / l.pp.max(1);
        let _ = write!(
            o,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"hsl({hue} 55% 55%)\"><title>node {node}, stage {stage}</title></rect>",
            (node % columns) as f64 * size,
            (node / columns) as f64 * size,
            size * 0.9,
            size * 0.9
        );
    }
    let _ = writeln!(
        o,
        "</svg>\n<p class=\"soft\">Each square is one of {nodes} nodes of {per_node} GPUs, its colour the pipeline \
         stage ({} of them) of its first GPU; tensor-parallel ranks lie within a node where they fit.</p>",
        l.pp
    );
}
