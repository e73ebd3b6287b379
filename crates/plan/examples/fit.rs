//! Fits the cost model's parameters to the rows of a folder.
//!
//! `cargo run --release -p terang-plan --example fit -- FOLDER table` prints the table that
//! `tables/fitted.toml` holds; `report` compares with the rows, `rows` prints each row's prediction and
//! what it is made of, `memory` the same for memory, and `without=GROUP` which parameters depend on a
//! group.

#![allow(clippy::print_stdout, reason = "it is a script")]

use terang_plan::fit::fit;
use terang_plan::memory::{memory, reported_gib};
use terang_plan::rows::{Case, Row, read_rows};
use terang_plan::validate::{markdown, predict, report, training};
use terang_plan::{Fitted, step_time};

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().unwrap_or_else(|| ".".to_owned());
    let mode = args.next().unwrap_or_default();
    let mut rows: Vec<Row> = Vec::new();
    for name in ["runs.csv", "runs-single-node-a100.csv"] {
        let path = format!("{folder}/{name}");
        match std::fs::read_to_string(&path)
            .map_err(|e| e.to_string())
            .and_then(|t| read_rows(&t))
        {
            Ok(more) => rows.extend(more),
            Err(e) => {
                eprintln!("{path}: {e}");
                std::process::exit(2);
            }
        }
    }
    let cases: Vec<Case> = rows.iter().flatten().filter(|c| c.fit).cloned().collect();
    match mode.as_str() {
        "table" => print!("{}", fit(&training(&cases), &Fitted::prior(), 40).to_toml()),
        "report" => print!("{}", markdown(&report(rows, Fitted::built_in()))),
        // All of these after a new fit, for work on the model.
        "fresh" => {
            let fitted = fit(&training(&cases), &Fitted::prior(), 40);
            print!("{}", fitted.to_toml());
            print!("{}", markdown(&report(rows, &fitted)));
            print_rows(&cases, &fitted);
        }
        "rows" => print_rows(&cases, Fitted::built_in()),
        "memory" => print_memory(&cases),
        other => {
            if let Some(group) = other.strip_prefix("without=") {
                print_without(&cases, group);
            } else {
                eprintln!("usage: fit FOLDER table|report|fresh|rows|memory|without=GROUP");
                std::process::exit(2);
            }
        }
    }
}

fn print_rows(cases: &[Case], fitted: &Fitted) {
    for c in cases {
        let p = step_time(&c.run, fitted);
        let Some(error) = predict(c, fitted).error_pct else {
            continue;
        };
        let l = &c.run.layout;
        let share = |s: f64| (100.0 * s / p.total_s).round();
        println!(
            "{error:6.1} {:9.4} {} {} [{}] t{} p{} v{} d{} c{} e{} m{} n{} | gemm {} attn {} pw {} launch {} \
             tp {} cp {} ep {} send {} bub {} dp {} opt {} oth {}",
            c.measured.step_s.unwrap_or(0.0),
            c.group,
            c.id,
            l.recompute.name(),
            l.tp,
            l.pp,
            l.vpp,
            l.dp,
            l.cp,
            l.ep,
            l.micro_batch,
            c.run.micro_batches(),
            share(p.products_s),
            share(p.attention_s),
            share(p.pointwise_s),
            share(p.launch_s),
            share(p.tensor_s),
            share(p.context_s),
            share(p.expert_s),
            share(p.pipeline_send_s),
            share(p.bubble_s),
            share(p.data_s),
            share(p.optimizer_s),
            share(p.straggle_s + p.other_s),
        );
    }
}

fn print_memory(cases: &[Case]) {
    for c in cases {
        let Some(measured) = c.measured.memory_gib else {
            continue;
        };
        let predicted = reported_gib(&c.run, Fitted::built_in());
        println!(
            "{:6.1} {measured:7.2} {predicted:7.2} {} {:.1?}",
            (predicted / measured - 1.0) * 100.0,
            c.id,
            memory(&c.run, Fitted::built_in())
        );
    }
}

fn print_without(cases: &[Case], group: &str) {
    let all = Fitted::built_in();
    let others: Vec<&Case> = training(cases)
        .into_iter()
        .filter(|c| c.group != group)
        .collect();
    let left = fit(&others, all, 10);
    for i in 0..Fitted::len() {
        let (name, prior, _) = Fitted::describe(i);
        let (a, b) = (all.get(i), left.get(i));
        println!(
            "{name:24} prior {prior:9.4} all {a:9.4} without {b:9.4} ({:+.0}%)",
            (b / a - 1.0) * 100.0
        );
    }
    for c in cases.iter().filter(|c| c.group == group) {
        let e = |f| predict(c, f).error_pct.unwrap_or(0.0);
        println!("{:6.1} left out, {:6.1} fitted: {}", e(&left), e(all), c.id);
    }
}
