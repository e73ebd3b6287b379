//! Fits the cost model's parameters to the rows of a folder and prints the table, with errors by group.
//!
//! `cargo run --release -p terang-plan --example fit -- FOLDER [residuals]`

#![allow(clippy::print_stdout, reason = "it is a script")]

use std::collections::BTreeMap;

use terang_plan::{Fitted, fit::fit, rows::{Case, read_rows}, step_time};

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| ".".to_owned());
    let mode = args.next().unwrap_or_default();
    let mut cases: Vec<Case> = Vec::new();
    let mut skipped = BTreeMap::new();
    for name in ["runs.csv", "runs-single-node-a100.csv"] {
        let text = std::fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
        for row in read_rows(&text).unwrap_or_default() {
            match row {
                Ok(c) if c.fit && c.measured.step_s.is_some() => cases.push(c),
                Err(s) if s.fit => *skipped.entry((s.group, s.reason)).or_insert(0) += 1,
                _ => {}
            }
        }
    }
    eprintln!("{skipped:?}");
    // Every sixth of the single-node rows is enough to fit to.
    let train: Vec<&Case> = cases
        .iter()
        .enumerate()
        .filter(|(i, c)| c.group != "vtrain-single" || i % 6 == 0)
        .map(|(_, c)| c)
        .collect();
    let start = if mode == "prior" { Fitted::prior() } else { Fitted::built_in().clone() };
    let t = std::time::Instant::now();
    let best = if mode == "none" { start.clone() } else { fit(&train, &start, 30) };
    eprintln!("fit {:?}", t.elapsed());
    if mode == "residuals" || mode == "none" {
        for c in &cases {
            let p = step_time(&c.run, &best);
            let m = c.measured.step_s.unwrap_or(f64::NAN);
            let l = &c.run.layout;
            println!("{:6.1} {:9.4} {:9.4} {} {} t{} p{} v{} d{} c{} e{} m{} n{} | gemm {:.0} attn {:.0} pw {:.0} launch {:.0} tp {:.0} cp {:.0} ep {:.0} send {:.0} bub {:.0} dp {:.0} opt {:.0} oth {:.0}",
                (p.total_s / m - 1.0) * 100.0, m, p.total_s, c.group, c.id, l.tp, l.pp, l.vpp, l.dp, l.cp, l.ep, l.micro_batch, c.run.micro_batches(),
                100.0 * p.products_s / p.total_s, 100.0 * p.attention_s / p.total_s, 100.0 * p.pointwise_s / p.total_s, 100.0 * p.launch_s / p.total_s, 100.0 * p.tensor_s / p.total_s,
                100.0 * p.context_s / p.total_s, 100.0 * p.expert_s / p.total_s, 100.0 * p.pipeline_send_s / p.total_s, 100.0 * p.bubble_s / p.total_s, 100.0 * p.data_s / p.total_s, 100.0 * p.optimizer_s / p.total_s, 100.0 * p.other_s / p.total_s);
        }
    } else {
        print!("{}", best.to_toml());
    }
    if let Some(g) = mode.strip_prefix("without=") {
        let others: Vec<&Case> = train.iter().copied().filter(|c| c.group != g).collect();
        let left = fit(&others, &best, 12);
        for i in 0..Fitted::len() {
            let (name, prior, _) = Fitted::describe(i);
            println!("{name:24} prior {prior:9.4} all {:9.4} without {:9.4} ({:+.0}%)", best.get(i), left.get(i), (left.get(i) / best.get(i) - 1.0) * 100.0);
        }
        for c in cases.iter().filter(|c| c.group == g).step_by(if g == "vtrain-single" { 25 } else { 1 }) {
            let (p, q) = (step_time(&c.run, &left), step_time(&c.run, &best));
            let m = c.measured.step_s.unwrap_or(f64::NAN);
            println!("without {:6.1} with {:6.1} {:9.4} {} t{} p{} d{} m{} n{} h{} | {:.3?}", (p.total_s / m - 1.0) * 100.0, (q.total_s / m - 1.0) * 100.0, m, c.id, c.run.layout.tp, c.run.layout.pp, c.run.layout.dp, c.run.layout.micro_batch, c.run.micro_batches(), c.run.model.hidden_size, p);
        }
        return;
    }
    // Leave one group out.
    let groups: std::collections::BTreeSet<&str> = cases.iter().map(|c| c.group.as_str()).collect();
    let mut table: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for g in groups {
        let others: Vec<&Case> = train.iter().copied().filter(|c| c.group != g).collect();
        let left = if mode == "none" { best.clone() } else { fit(&others, &best, 12) };
        for c in cases.iter().filter(|c| c.group == g) {
            let m = c.measured.step_s.unwrap_or(f64::NAN);
            let e = |f: &Fitted| (step_time(&c.run, f).total_s / m - 1.0) * 100.0;
            let kind = if c.run.model.is_moe() { "moe" } else { "dense" };
            let pair = (e(&best), e(&left));
            table.entry(format!("{g} {kind}")).or_default().push(pair);
            table.entry(format!("{g} {kind} {}", c.gpu_kind)).or_default().push(pair);
            if g != "vtrain-single" {
                table.entry(format!("ALL {kind}")).or_default().push(pair);
            }
        }
    }
    for (name, pairs) in table {
        let n = pairs.len() as f64;
        let mean = |f: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(f).sum::<f64>() / n;
        eprintln!("{name:48} n {n:4} fit {:6.2} bias {:6.2} | logo {:6.2} bias {:6.2}", mean(&|p| p.0.abs()), mean(&|p| p.0), mean(&|p| p.1.abs()), mean(&|p| p.1));
    }
    eprintln!("{:?}", t.elapsed());
}
