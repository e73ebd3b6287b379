//! Times the simulation: a thousand runs of 60 days at 100,000 GPUs, and plays Llama 3's cluster.
//!
//! `cargo run --release -p terang-plan --example simulate`

#![allow(clippy::print_stdout, reason = "it is a script")]

use std::time::Instant;

use terang_plan::failure::{CORRUPT_S, Outcome, Saving, Setting, rates, simulate, spares_that_pay};

fn main() {
    // 405 billion parameters at 14 bytes; 2 s of copying each time.
    let setting = |nodes: u64, days: f64| Setting {
        nodes,
        spares: nodes / 100,
        gpus_per_node: 8,
        work_s: days * 86_400.0,
        per_1000_node_days: rates().per_1000_node_days,
        uncertain_rate: true,
        saving: Saving::Async,
        stop_s: 2.0,
        write_s: 10.0,
        load_s: 30.0,
        interval_s: None,
        replicas: nodes / 16,
        silent_share: None,
        silent_s: CORRUPT_S,
    };
    let show = |what: &str, o: &Outcome, seconds: f64| {
        println!(
            "{what}: {} runs in {seconds:.2} s; goodput {:.1}% ({:.1} to {:.1}% in eight of ten), days {:.1}, {:.1}, \
             {:.1}; interruptions {:.0} ({:.0} to {:.0})",
            o.runs,
            100.0 * o.goodput[2],
            100.0 * o.goodput[1],
            100.0 * o.goodput[3],
            o.days[0],
            o.days[1],
            o.days[2],
            o.interruptions[0],
            o.interruptions[1],
            o.interruptions[2]
        );
    };
    for (name, saving, replicas) in [
        ("async", Saving::Async, 781),
        ("sync", Saving::Sync, 781),
        ("peer", Saving::Peer, 781),
        ("async, not elastic", Saving::Async, 1),
    ] {
        let s = Setting {
            saving,
            replicas,
            stop_s: if saving == Saving::Sync { 12.0 } else { 2.0 },
            write_s: if saving == Saving::Sync { 0.0 } else { 10.0 },
            ..setting(12_500, 60.0)
        };
        let start = Instant::now();
        let o = simulate(&s, 1000, 1);
        show(
            &format!("100,000 GPUs, 60 days, {name}"),
            &o,
            start.elapsed().as_secs_f64(),
        );
    }
    let start = Instant::now();
    let pay = spares_that_pay(&setting(12_500, 60.0), 1);
    println!(
        "spares that pay: {pay}, found in {:.2} s",
        start.elapsed().as_secs_f64()
    );
    let llama = setting(2048, 54.0 * 0.93);
    let start = Instant::now();
    let o = simulate(&llama, 1000, 1);
    show(
        "16,384 GPUs, 54 days (Llama 3)",
        &o,
        start.elapsed().as_secs_f64(),
    );
    let certain = Setting {
        uncertain_rate: false,
        ..llama
    };
    show(
        "the same at the middle rate",
        &simulate(&certain, 1000, 1),
        0.0,
    );
    for l in o.losses.iter().take(10) {
        println!("  {:>9.0} GPU-hours lost to {}", l.gpu_hours, l.what);
    }
}
