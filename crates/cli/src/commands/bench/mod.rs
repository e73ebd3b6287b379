//! `terang bench MODEL`: how fast a model is on this machine, beside what the machine can do.
//!
//! A figure is the median of several rounds, and in a round the kinds of work take turns: a shared
//! machine's speed moves, and so it moves for all of them.

mod child;
mod fit;
mod report;
mod samples;
mod work;

use terang_kernels::limits::{ReadBuffer, f32_flops_per_s, int8_ops_per_s};
use terang_kernels::{Cpu, ThreadPool};
use terang_model::bundle::LoadedModel;
use terang_model::decoder::{Decoder, KvType, LoadOptions};

use self::report::{Report, label};
use self::samples::{Kind, Samples};
use self::work::{Sizes, Work};
use crate::args::Bench;
use crate::chat::{self, Located};
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
pub(crate) fn run(data: &DataDir, threads: Option<u16>, args: &Bench) -> Outcome<()> {
    let progress = Progress::new(args.memory_only);
    let model = chat::locate(data, Some(&args.model), &progress)?;
    let threads = threads.map_or_else(ThreadPool::default_threads, usize::from);
    let decoder = load(&model, threads, &progress)?;
    let sizes = Sizes::new(decoder.config().max_position_embeddings, args.quick);
    if args.memory_only {
        return child::tell_peak_memory(Work::new(decoder, sizes));
    }
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { ROUNDS });
    let mut bench = Run {
        machine: Machine::new(decoder.cpu(), decoder.threads()),
        work: Work::new(decoder, sizes),
        samples: Samples::default(),
        progress,
        steps_done: 0,
    };
    let done = bench.rounds(data, &model, rounds);
    bench.progress.clear();
    let report = Report {
        peak_rss_bytes: done?,
        model: model.name,
        rounds,
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

fn load(model: &Located, threads: usize, progress: &Progress) -> Outcome<Decoder> {
    let below = |e: &dyn std::fmt::Display| Problem::Below(e.to_string());
    let options = LoadOptions {
        cpu: Cpu::from_env().map_err(|e| below(&e))?,
        threads,
        kv_type: KvType::default(),
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
    fn new(cpu: Cpu, threads: usize) -> Self {
        let pool = ThreadPool::new(threads);
        let memory = ReadBuffer::new(&pool, READ_BYTES);
        Self { cpu, pool, memory }
    }

    fn measure(&self, samples: &mut Samples) {
        let (cpu, pool) = (self.cpu, &self.pool);
        samples.add(Kind::ReadBytes, self.memory.bytes_per_s(cpu, pool));
        samples.add(Kind::Int8Ops, int8_ops_per_s(cpu, pool));
        samples.add(Kind::F32Flops, f32_flops_per_s(cpu, pool));
    }
}

/// A run of all rounds.
struct Run {
    machine: Machine,
    work: Work,
    samples: Samples,
    progress: Progress,
    steps_done: u64,
}

impl Run {
    /// All rounds; gives the peak memory, which one measurement tells.
    fn rounds(&mut self, data: &DataDir, model: &Located, rounds: u16) -> Outcome<Option<u64>> {
        let sizes = self.work.sizes();
        let steps = 2 + sizes.prefill().count() + sizes.depths().count() + sizes.batches().count();
        let total = steps as u64 * u64::from(rounds) + 1;
        self.progress.start_count(total, &Msg::LabelLimits {});
        self.work.warm_up()?;
        for _ in 0..rounds {
            self.round(data, model)?;
        }
        self.step(&Msg::LabelMemory {})?;
        child::peak_memory(data, model, self.machine.pool.threads())
    }

    /// Each kind of work once, the kinds mixed.
    fn round(&mut self, data: &DataDir, model: &Located) -> Outcome<()> {
        self.step(&Msg::LabelLimits {})?;
        self.machine.measure(&mut self.samples);
        let sizes = self.work.sizes();
        let mut batches = sizes.batches();
        let of_each = sizes
            .batches()
            .count()
            .div_ceil(1 + sizes.prefill().count());
        if sizes.depths().any(|depth| depth == 0) {
            self.decode(0)?;
        }
        for tokens in sizes.prefill() {
            self.step(&label(Kind::Prefill(tokens)))?;
            let speed = self.work.prefill(tokens)?;
            self.samples.add(Kind::Prefill(tokens), speed);
            if sizes.depths().any(|depth| depth == tokens) {
                self.decode(tokens)?;
            }
            self.batches(batches.by_ref().take(of_each))?;
        }
        self.batches(batches)?;
        self.step(&label(Kind::ColdStart))?;
        let ms = child::cold_start_ms(data, model, self.machine.pool.threads())?;
        self.samples.add(Kind::ColdStart, ms);
        Ok(())
    }

    fn decode(&mut self, depth: usize) -> Outcome<()> {
        self.step(&label(Kind::Decode(depth)))?;
        let speed = self.work.decode(depth)?;
        self.samples.add(Kind::Decode(depth), speed);
        Ok(())
    }

    fn batches(&mut self, batches: impl Iterator<Item = usize>) -> Outcome<()> {
        for sequences in batches {
            self.step(&label(Kind::Batched(sequences)))?;
            let speed = self.work.batched(sequences)?;
            self.samples.add(Kind::Batched(sequences), speed);
        }
        Ok(())
    }

    /// Says what comes now.
    fn step(&mut self, label: &Msg) -> Outcome<()> {
        go_on()?;
        self.progress.label(label.to_string());
        self.progress.reach(self.steps_done);
        self.steps_done += 1;
        Ok(())
    }
}

/// Fails after Ctrl-C.
fn go_on() -> Outcome<()> {
    if interrupt::requested() {
        Err(Problem::Interrupted)
    } else {
        Ok(())
    }
}
