//! `terang bench MODEL`: how fast a model is on this machine, beside what the machine can do.
//!
//! A figure is the median of several rounds, and in a round the kinds of work take turns: a shared
//! machine's speed moves, and so it moves for all of them.

mod child;
mod fit;
mod report;
mod samples;
mod work;

use terang_kernels::limits::{ReadBuffer, f32_flops_per_s, int8_ops_per_s, int8_tile_ops_per_s};
use terang_kernels::{Cpu, ThreadPool};
use terang_model::bundle::LoadedModel;
use terang_model::decoder::{Decoder, LoadOptions};

use self::report::{Report, label};
use self::samples::{Kind, Samples};
use self::work::{Sizes, Work};
use crate::args::{Bench, BenchPart};
use crate::chat::{self, Located};
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};
use crate::pull::Progress;

const ROUNDS: u16 = 5;
/// More than the caches of most machines hold, little enough for any that runs a model.
const READ_BYTES: usize = 256 << 20;

/// Measures and prints.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &Bench) -> Outcome<()> {
    let progress = Progress::new(args.memory_only);
    let model = chat::locate_answering(data, Some(&args.model), &progress)?;
    let decoder = load(data, &model, compute, &progress)?;
    let context_len = decoder.config().max_position_embeddings;
    let sizes = Sizes::new(context_len, usize::from(args.prompt), args.quick);
    if args.memory_only {
        return child::tell_peak_memory(Work::new(decoder, sizes));
    }
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { ROUNDS });
    let wants = |part| args.only.is_empty() || args.only.contains(&part);
    let mut bench = Run {
        compute,
        machine: Machine::new(decoder.cpu(), decoder.threads())?,
        work: Work::new(decoder, sizes),
        plan: plan(sizes, wants),
        samples: Samples::default(),
        progress,
    };
    let measured = bench.rounds(data, &model, rounds);
    bench.progress.clear();
    measured?;
    let peak_rss_bytes = if wants(BenchPart::Memory) {
        child::peak_memory(data, &model, compute)?
    } else {
        None
    };
    let report = Report {
        model: model.name,
        rounds,
        peak_rss_bytes,
        decoder: bench.work.decoder(),
        sizes,
        samples: &bench.samples,
    };
    if args.json {
        output::json(&report.json())
    } else {
        report.print()
    }
}

fn load(
    data: &DataDir,
    model: &Located,
    compute: Compute,
    progress: &Progress,
) -> Outcome<Decoder> {
    let below = |e: &dyn std::fmt::Display| Problem::Below(e.to_string());
    let options = LoadOptions {
        cpu: Cpu::from_env().map_err(|e| below(&e))?,
        threads: compute.threads(),
        kv_type: compute.kv_type(),
        packed_cache: compute.packed_cache(data),
    };
    let model = LoadedModel::open(&model.path).map_err(|e| below(&e))?;
    let mut started = false;
    let decoder = Decoder::load(model.tensors, model.config, &options, &mut |done, total| {
        if !started {
            started = true;
            progress.start_count(total as u64, &Msg::LabelLoading {});
        }
        progress.reach(done as u64);
    });
    progress.clear();
    go_on()?;
    decoder.map_err(|e| below(&e))
}

/// The machine's limits, with threads of their own: those of the decoder belong to it.
struct Machine {
    cpu: Cpu,
    pool: ThreadPool,
    memory: ReadBuffer,
}

impl Machine {
    fn new(cpu: Cpu, threads: usize) -> Outcome<Self> {
        let pool = ThreadPool::new(threads);
        let memory =
            ReadBuffer::new(&pool, READ_BYTES).map_err(|e| Problem::Below(e.to_string()))?;
        Ok(Self { cpu, pool, memory })
    }

    fn read_bytes_per_s(&self) -> f64 {
        self.memory.bytes_per_s(self.cpu, &self.pool)
    }
}

/// A run of all rounds.
struct Run {
    compute: Compute,
    machine: Machine,
    work: Work,
    /// What a round measures, in this order.
    plan: Vec<Kind>,
    samples: Samples,
    progress: Progress,
}

impl Run {
    fn rounds(&mut self, data: &DataDir, model: &Located, rounds: u16) -> Outcome<()> {
        let total = self.plan.len() as u64 * u64::from(rounds);
        self.progress.start_count(total, &label(Kind::ReadBytes));
        self.work.warm_up()?;
        let mut done = 0;
        for _ in 0..rounds {
            for kind in self.plan.clone() {
                go_on()?;
                self.progress.label(label(kind).to_string());
                self.step(kind, data, model)?;
                done += 1;
                self.progress.reach(done);
            }
        }
        Ok(())
    }

    fn step(&mut self, kind: Kind, data: &DataDir, model: &Located) -> Outcome<()> {
        let figure = match kind {
            Kind::Prefill(tokens) => self.work.prefill(tokens)?,
            Kind::Decode(depth) => self.work.decode(depth)?,
            Kind::Batched(sequences) => self.work.batched(sequences)?,
            Kind::ColdStart => child::cold_start_ms(data, model, self.compute)?,
            Kind::ReadBytes => self.machine.read_bytes_per_s(),
            Kind::Int8Ops => int8_ops_per_s(self.machine.cpu, &self.machine.pool),
            Kind::Int8TileOps => match int8_tile_ops_per_s(self.machine.cpu, &self.machine.pool) {
                Some(figure) => figure,
                None => return Ok(()),
            },
            Kind::F32Flops => f32_flops_per_s(self.machine.cpu, &self.machine.pool),
        };
        self.samples.add(kind, figure);
        Ok(())
    }
}

/// A round: the limits, then each kind of work that is wanted, the kinds mixed.
fn plan(sizes: Sizes, wants: impl Fn(BenchPart) -> bool) -> Vec<Kind> {
    let mut plan = vec![
        Kind::ReadBytes,
        Kind::Int8Ops,
        Kind::Int8TileOps,
        Kind::F32Flops,
    ];
    let mut batches = sizes.batches().map(Kind::Batched);
    let of_each = sizes
        .batches()
        .count()
        .div_ceil(1 + sizes.prefill().count());
    for tokens in [0].into_iter().chain(sizes.prefill()) {
        if tokens > 0 && wants(BenchPart::Prefill) {
            plan.push(Kind::Prefill(tokens));
        }
        // After the prefill that is as long, whose cache it uses.
        if wants(BenchPart::Decode) && sizes.depths().any(|depth| depth == tokens) {
            plan.push(Kind::Decode(tokens));
        }
        if wants(BenchPart::Batched) {
            plan.extend(batches.by_ref().take(of_each));
        }
    }
    if wants(BenchPart::Cold) {
        plan.push(Kind::ColdStart);
    }
    plan
}

/// Fails after Ctrl-C.
fn go_on() -> Outcome<()> {
    if interrupt::requested() {
        Err(Problem::Interrupted)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_everything_once_and_mixes_it() {
        let all = plan(Sizes::new(8192, 128, false), |_| true);
        assert_eq!(all.len(), 4 + 3 + 3 + 6 + 1);
        for (index, kind) in all.iter().enumerate() {
            assert!(!all[..index].contains(kind), "{kind:?}");
        }
        let at = |kind| all.iter().position(|k| *k == kind);
        assert!(at(Kind::Batched(1)) < at(Kind::Prefill(512)));
        assert_eq!(
            at(Kind::Decode(2048)),
            at(Kind::Prefill(2048)).map(|i| i + 1)
        );
        let short = plan(Sizes::new(600, 128, false), |part| {
            part == BenchPart::Decode
        });
        assert_eq!(short[4..], [Kind::Decode(0), Kind::Decode(512)]);
    }
}
