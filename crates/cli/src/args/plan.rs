//! Arguments of `terang plan`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `terang plan`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Plan {
    /// What to plan, or to check
    #[command(subcommand)]
    pub(crate) what: Option<PlanWhat>,
    /// The run
    #[command(flatten)]
    pub(crate) flags: PlanFlags,
}

/// What `terang plan` does besides planning a run.
#[derive(Debug, Subcommand)]
pub(crate) enum PlanWhat {
    /// Plan the serving of a model: replicas, memory, latency, cost
    #[command(after_help = "Examples:
  terang plan serve --model grok-1 --gpu h100 --people 10M
  terang plan serve --model llama3-70b --gpu h200 --requests 20 --ttft-ms 500 --tpot-ms 30 --json

--people counts who asks in a day: each --asks times, a tenth of a day's requests in its busiest hour.")]
    Serve(PlanServe),
    /// Two runs side by side
    #[command(after_help = "Examples:
  terang plan compare h100.toml b200.toml")]
    Compare {
        /// The first run's TOML file
        #[arg(value_name = "A")]
        first: PathBuf,
        /// The second run's TOML file
        #[arg(value_name = "B")]
        second: PathBuf,
        /// Give JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare predictions with published measurements
    #[command(after_help = "Examples:
  terang plan validate measurements/
  terang plan validate runs.csv --json

A folder's runs.csv and runs-single-node-a100.csv are compared by group and GPU kind, also with each
group left out of the fit in turn. Of a file every row is predicted.")]
    Validate {
        /// A folder of measurements, or one CSV file
        #[arg(value_name = "FOLDER|FILE")]
        path: PathBuf,
        /// Give JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to serve, to how many, how fast.
#[derive(Debug, Args)]
pub(crate) struct PlanServe {
    /// Built-in model, or a config.json
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: String,
    /// GPU kind
    #[arg(long, value_name = "KIND", default_value = "h100")]
    pub(crate) gpu: String,
    /// Format of weights and products: bf16, fp8, mxfp8 or nvfp4
    #[arg(long, value_name = "FORMAT", default_value = "bf16")]
    pub(crate) precision: String,
    /// Requests a second at the busiest time
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "people",
        conflicts_with = "people"
    )]
    pub(crate) requests: Option<String>,
    /// People who ask in a day, in the place of --requests
    #[arg(long, value_name = "N")]
    pub(crate) people: Option<String>,
    /// How often each of them asks
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    pub(crate) asks: f64,
    /// Tokens of a prompt, the conversation before it included
    #[arg(long, value_name = "N", default_value_t = 1500.0)]
    pub(crate) prompt: f64,
    /// Tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 400.0)]
    pub(crate) answer: f64,
    /// Time to the first token that is allowed, ms
    #[arg(long, value_name = "MS", default_value_t = 1000.0)]
    pub(crate) ttft_ms: f64,
    /// Time between tokens that is allowed, ms
    #[arg(long, value_name = "MS", default_value_t = 50.0)]
    pub(crate) tpot_ms: f64,
    /// Rent of a GPU, USD an hour
    #[arg(long, value_name = "USD")]
    pub(crate) price: Option<f64>,
    /// Give JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The scheduler that a launch file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scheduler {
    /// A batch script.
    Slurm,
    /// A job and its service.
    Kubernetes,
}

/// A run, in words.
#[derive(Debug, Args)]
pub(crate) struct PlanFlags {
    /// A TOML file with any of these; flags come before it
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// GPU kind: v100, a100, h100, h200, b200, gb200, gb300, mi300x and others
    #[arg(long, value_name = "KIND")]
    pub(crate) gpu: Option<String>,
    /// How many GPUs
    #[arg(long, value_name = "N")]
    pub(crate) gpus: Option<String>,
    /// Built-in model, or a config.json
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// Parameters of a Llama-like model, in the place of --model
    #[arg(long, value_name = "N", conflicts_with = "model")]
    pub(crate) params: Option<String>,
    /// Training tokens, or optimal for 20 a parameter
    #[arg(long, value_name = "N|optimal")]
    pub(crate) tokens: Option<String>,
    /// Tokens of a sequence
    #[arg(long, value_name = "N")]
    pub(crate) seq: Option<u64>,
    /// Sequences of a step
    #[arg(long, value_name = "N")]
    pub(crate) global_batch: Option<u64>,
    /// Format of the products: bf16, fp8, mxfp8 or nvfp4
    #[arg(long, value_name = "FORMAT")]
    pub(crate) precision: Option<String>,
    /// Parts of the layout that are given, such as tp=8,pp=16
    #[arg(long, value_name = "PART=N,…")]
    pub(crate) fix: Option<String>,
    /// Network bandwidth of a node, with its unit
    #[arg(long, value_name = "BANDWIDTH")]
    pub(crate) network: Option<String>,
    /// GPUs of a node
    #[arg(long, value_name = "N")]
    pub(crate) gpus_per_node: Option<u32>,
    /// Rent of a GPU, USD an hour
    #[arg(long, value_name = "USD")]
    pub(crate) price: Option<f64>,
    /// Power usage effectiveness of the building
    #[arg(long, value_name = "FACTOR")]
    pub(crate) pue: Option<f64>,
    /// Carbon of the electricity, g CO2 a kWh
    #[arg(long, value_name = "GRAMS")]
    pub(crate) carbon: Option<f64>,
    /// Full bandwidth reaches this many GPUs; over them the network is oversubscribed
    #[arg(long, value_name = "N")]
    pub(crate) pod_gpus: Option<u64>,
    /// Bandwidth of a pod's nodes by that of its links upwards, such as 7
    #[arg(long, value_name = "FACTOR")]
    pub(crate) oversubscription: Option<f64>,
    /// Switches add up what passes (SHARP)
    #[arg(long)]
    pub(crate) sharp: bool,
    /// Share of GPUs that are slow by a tenth and stay in
    #[arg(long, value_name = "SHARE")]
    pub(crate) slow_share: Option<f64>,
    /// Failures by 1,000 days of a node
    #[arg(long, value_name = "N")]
    pub(crate) failures: Option<f64>,
    /// Spare nodes; those that the layout leaves over when absent
    #[arg(long, value_name = "N")]
    pub(crate) spares: Option<u64>,
    /// How states are saved: sync, async or peer (a peer node's memory)
    #[arg(long, value_name = "WAY")]
    pub(crate) checkpoint: Option<String>,
    /// Seconds between saves; the best when absent
    #[arg(long, value_name = "SECONDS")]
    pub(crate) checkpoint_every: Option<f64>,
    /// Storage bandwidth of a node, with its unit
    #[arg(long, value_name = "BANDWIDTH")]
    pub(crate) storage: Option<String>,
    /// Wait for a node where no spare is left, in the place of going on with fewer
    #[arg(long)]
    pub(crate) no_elastic: bool,
    /// Share of failures that corrupt silently
    #[arg(long, value_name = "SHARE")]
    pub(crate) silent_share: Option<f64>,
    /// Hours until silent corruption shows
    #[arg(long, value_name = "HOURS")]
    pub(crate) silent_hours: Option<f64>,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page with plots to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print a launch file with the layout in the place of the report
    #[arg(long, value_name = "SCHEDULER", conflicts_with = "json")]
    pub(crate) emit: Option<Scheduler>,
}
