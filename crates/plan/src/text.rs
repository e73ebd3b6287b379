//! The plan as text for a terminal.

use std::fmt::Write as _;

use crate::gpu::Generation;
use crate::plan::{Plan, layout_words};

/// A number with a suffix of its size.
pub fn short(n: f64) -> String {
    let (v, unit) = match n {
        n if n >= 1e12 => (n / 1e12, "T"),
        n if n >= 1e9 => (n / 1e9, "B"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e4 => (n / 1e3, "k"),
        n => (n, ""),
    };
    if v >= 100.0 || v.fract() == 0.0 {
        format!("{v:.0}{unit}")
    } else {
        format!("{v:.1}{unit}")
    }
}

/// Money with a suffix.
pub fn dollars(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} billion USD", n / 1e9),
        n if n >= 1e6 => format!("{:.1} million USD", n / 1e6),
        n if n >= 1e4 => format!("{:.0} thousand USD", n / 1e3),
        n => format!("{n:.0} USD"),
    }
}

/// A time in the unit that reads best.
pub fn duration(s: f64) -> String {
    match s {
        s if s >= 2.0 * 86_400.0 => format!("{:.1} days", s / 86_400.0),
        s if s >= 2.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 120.0 => format!("{:.1} min", s / 60.0),
        s if s >= 1.0 => format!("{s:.2} s"),
        s => format!("{:.0} ms", s * 1e3),
    }
}

/// Days, or hours where they are few.
fn days(n: f64) -> String {
    duration(n * 86_400.0)
}

/// Energy in the unit that reads best.
pub fn energy(mwh: f64) -> String {
    if mwh < 10.0 {
        format!("{} kWh", short((mwh * 1e3).round()))
    } else {
        format!("{} MWh", short(mwh))
    }
}

/// Carbon in the unit that reads best.
pub fn carbon(t: f64) -> String {
    if t < 10.0 {
        format!("{} kg CO2", short((t * 1e3).round()))
    } else {
        format!("{} t CO2", short(t))
    }
}

/// The run's format; 16 bits are fp16 where a chip knows no other.
fn precision(p: &Plan) -> &'static str {
    let run = &p.found.best.run;
    if run.cluster.gpu.generation == Generation::Volta {
        "fp16"
    } else {
        run.precision.name()
    }
}

/// The report.
pub fn report(p: &Plan) -> String {
    let mut o = String::new();
    let best = &p.found.best;
    let gpu = &best.run.cluster.gpu;
    let (s, m) = (&best.step, &best.memory);
    let active = if best.run.model.is_moe() {
        format!(", {} active", short(p.active_params))
    } else {
        String::new()
    };
    let _ = writeln!(
        o,
        "{} ({} parameters{active}) on {} {}, {} tokens in {}",
        p.model,
        short(p.params),
        p.gpus,
        gpu.name,
        short(p.tokens),
        precision(p)
    );
    let _ = writeln!(o, "\n  {:<16}{}", "layout", layout_words(best));
    if p.gpus_idle > 0 {
        let _ = writeln!(
            o,
            "  {:<16}{} GPUs are left over by it and can stand by",
            "", p.gpus_idle
        );
    }
    let _ = writeln!(
        o,
        "  {:<16}{} for {} tokens ({} sequences of {}), {:.0} tokens/s/GPU, MFU {:.1}% of {:.0} TFLOP/s",
        "step",
        duration(s.total_s),
        short(best.run.tokens()),
        best.run.global_batch,
        best.run.seq,
        best.tokens_per_s / best.run.cluster.gpus as f64,
        p.mfu * 100.0,
        gpu.bf16_tflops
    );
    if best.run.cluster.gpus > 1 {
        let _ = writeln!(
            o,
            "  {:<16}waits for the slowest of {} GPUs, {:.1}% behind their mean; in one cluster of ten {:.1}%",
            "",
            best.run.cluster.gpus,
            p.slowest[0] * 100.0,
            p.slowest[1] * 100.0
        );
    }
    let _ = writeln!(
        o,
        "  {:<16}{} ({} without failures); nine of ten measured runs were within {:.0}%: up to {}",
        "time",
        days(p.days),
        days(p.days_undisturbed),
        p.error_p90_pct,
        days(p.days_if_slower)
    );
    let _ = writeln!(
        o,
        "  {:<16}{}, {}, {}",
        "cost",
        dollars(p.cost_usd),
        energy(p.energy_mwh),
        carbon(p.carbon_t)
    );
    let u = &p.upkeep;
    let _ = writeln!(
        o,
        "  {:<16}{:.0} expected, one in {}; a checkpoint of {} GB every {} stops training for {}; {:.1}% of the time is training",
        "failures",
        u.failures,
        duration(u.mtbf_h * 3600.0),
        short(u.checkpoint_gb),
        duration(u.interval_s),
        duration(u.checkpoint_s),
        u.goodput * 100.0
    );
    let f = &p.simulation;
    let _ = writeln!(
        o,
        "  {:<16}played through {} times: {} in half of them, {} in nine of ten, {} in 99 of 100; {} spare nodes pay",
        "",
        f.runs,
        days(f.days[0]),
        days(f.days[1]),
        days(f.days[2]),
        p.spares_that_pay
    );
    let _ = writeln!(o, "  {:<16}{:.2e} FLOPs of training", "compute", p.flops);
    for t in p.thresholds.iter().filter(|t| t.crossed) {
        let _ = writeln!(o, "  {:<16}over {:.0e}: {}", "", t.flops, t.law);
        let _ = writeln!(o, "  {:<16}  ({})", "", t.source);
    }
    if p.thresholds.iter().all(|t| !t.crossed) {
        let _ = writeln!(
            o,
            "  {:<16}under every threshold of law known here (from 1e23)",
            ""
        );
    }

    let _ = writeln!(o, "\nA step's time");
    for (name, v) in [
        ("matrix products", s.products_s),
        ("attention", s.attention_s),
        ("pointwise kernels", s.pointwise_s),
        ("host launches", s.launch_s),
        ("tensor-parallel communication", s.tensor_s),
        ("context-parallel communication", s.context_s),
        ("expert-parallel communication", s.expert_s),
        ("pipeline sends", s.pipeline_send_s),
        ("pipeline bubble", s.bubble_s),
        ("gradients and weights", s.data_s),
        ("optimizer", s.optimizer_s),
        ("waiting for the slowest GPU", s.straggle_s),
        ("the rest", s.other_s),
    ] {
        bar(&mut o, name, v, s.total_s, &duration(v));
    }
    if !p.schedules.is_empty() {
        let _ = writeln!(
            o,
            "\nThis layout's step by pipeline schedule, replayed with even stages"
        );
        for s in &p.schedules {
            let _ = writeln!(
                o,
                "  {:<32}{:>9} {:>5.1}% idle",
                s.schedule.name(),
                duration(s.step_s),
                s.idle * 100.0
            );
        }
    }
    let _ = writeln!(
        o,
        "\nMemory of the fullest GPU: {:.1} of {:.1} GiB",
        m.total_gib, gpu.memory_gib
    );
    for (name, v) in [
        ("weights", m.weights_gib),
        ("gradients", m.gradients_gib),
        ("optimizer", m.optimizer_gib),
        ("activations", m.activations_gib),
        ("logits and loss", m.logits_gib),
        ("fragments", m.fragments_gib),
        ("driver and libraries", m.driver_gib),
    ] {
        bar(&mut o, name, v, gpu.memory_gib, &format!("{v:.1} GiB"));
    }

    let _ = writeln!(
        o,
        "\nOther layouts ({} looked at, {} fit)",
        p.found.looked_at, p.found.fitting
    );
    for (c, why) in &p.found.runners_up {
        let _ = writeln!(o, "  {:<72} {why}", layout_words(c));
    }
    let _ = writeln!(o, "\nNone beats these in both time and memory");
    for c in &p.found.pareto {
        let _ = writeln!(
            o,
            "  {:<72} {}, {:.1} GiB",
            layout_words(c),
            duration(c.step.total_s),
            c.memory.total_gib
        );
    }
    o
}

fn bar(o: &mut String, name: &str, value: f64, whole: f64, text: &str) {
    let share = value / whole;
    if share < 0.0005 {
        return;
    }
    let width = (share * 40.0).round().clamp(0.0, 40.0) as usize;
    let _ = writeln!(
        o,
        "  {name:<32}{text:>9} {:>5.1}%  {}",
        share * 100.0,
        "█".repeat(width)
    );
}

/// Two plans side by side.
pub fn compare(names: [&str; 2], plans: [&Plan; 2]) -> String {
    let [a, b] = plans;
    let mut o = String::new();
    let _ = writeln!(
        o,
        "{:<26}{:>28}{:>28}{:>10}",
        "", names[0], names[1], "second"
    );
    let mut row = |name: &str, f: &dyn Fn(&Plan) -> f64, text: &dyn Fn(f64) -> String| {
        let (x, y) = (f(a), f(b));
        let change = if x > 0.0 {
            format!("{:+.1}%", (y / x - 1.0) * 100.0)
        } else {
            String::new()
        };
        let _ = writeln!(o, "{name:<26}{:>28}{:>28}{change:>10}", text(x), text(y));
    };
    let tenths = |v: f64| format!("{v:.1}");
    row("GPUs", &|p| p.gpus as f64, &short);
    row("days", &|p| p.days, &tenths);
    row("days, nine of ten runs", &|p| p.simulation.days[1], &tenths);
    row("cost", &|p| p.cost_usd, &dollars);
    row("energy, MWh", &|p| p.energy_mwh, &short);
    row("carbon, t CO2", &|p| p.carbon_t, &short);
    row("step", &|p| p.found.best.step.total_s, &duration);
    row(
        "tokens/s/GPU",
        &|p| p.found.best.tokens_per_s / p.gpus as f64,
        &short,
    );
    row("MFU, %", &|p| p.mfu * 100.0, &tenths);
    row("memory, GiB", &|p| p.found.best.memory.total_gib, &tenths);
    row("failures", &|p| p.upkeep.failures, &short);
    row("time training, %", &|p| p.upkeep.goodput * 100.0, &tenths);
    for (name, p) in names.iter().zip(plans) {
        let _ = writeln!(o, "{name}: {}", layout_words(&p.found.best));
    }
    o
}
