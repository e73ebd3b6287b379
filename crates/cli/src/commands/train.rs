//! `terang train`: a recipe becomes a model, and everybody can watch.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;
use terang_data::DataError;
use terang_kernels::{Cpu, ThreadPool, limits};
use terang_train::TrainError;
use terang_train::events::{self, Events};
use terang_train::prepared::Folders;
use terang_train::recipe::Recipe;
use terang_train::report::{self, Point};
use terang_train::run::{self, Event, Finished, Options, Step};

use crate::args::Train;
use crate::chat;
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, fail, misuse};
use crate::pull::Progress;

/// Makes the model, or goes on with it.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &Train) -> Outcome<()> {
    let recipe = Recipe::read(&args.recipe).map_err(|error| explain(error, "train"))?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => data.runs().join(folder_name(&recipe.name)?),
    };
    let cpu = Cpu::from_env().map_err(|error| Problem::Below(error.to_string()))?;
    let workers = usize::from(args.workers);
    let base = match &recipe.model.from {
        Some(from) => Some(base(data, args, from)?),
        None => None,
    };
    let options = Options {
        recipe: args.recipe.clone(),
        base,
        folders: Folders {
            data: data.prepared(),
            packages: data.packages(),
        },
        out,
        workers,
        threads: (compute.threads() / workers).max(1),
        cpu,
        samples: !args.json,
    };
    let peak = if args.json {
        0.0
    } else {
        limits::f32_flops_per_s(cpu, &ThreadPool::new(options.threads * workers))
    };
    let watch = Mutex::new(Watch::new(&recipe, &options.out, args.json, peak)?);
    let begun = Instant::now();
    let finished = run::run(&recipe, &options, &|event| {
        let mut watch = watch
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        watch.see(event);
        !interrupt::requested()
    });
    let watch = watch
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    watch.progress.clear();
    let finished = match finished {
        Err(TrainError::Stopped) if interrupt::requested() => {
            return Err(Problem::Stopped(Box::new(Msg::TrainStopped {
                path: options.out.display().to_string(),
            })));
        }
        other => other.map_err(|error| explain(error, "train"))?,
    };
    let report = options.out.join("report.html");
    let page = report::html(&recipe.name, &watch.points, &finished.manifest);
    std::fs::write(&report, page).map_err(|error| Problem::file(&report, &error))?;
    tell(
        args,
        &recipe,
        &watch,
        &finished,
        &report,
        begun.elapsed().as_secs_f64(),
    )
}

fn tell(
    args: &Train,
    recipe: &Recipe,
    watch: &Watch,
    finished: &Finished,
    report: &Path,
    seconds: f64,
) -> Outcome<()> {
    let tokens_per_s = if watch.seconds > 0.0 {
        watch.tokens as f64 / watch.seconds
    } else {
        0.0
    };
    if args.json {
        return output::json_line(&json!({
            "model": finished.model,
            "weights_sha256": finished.weights_sha256,
            "val_loss": finished.val_loss,
            "val_reward": finished.val_reward,
            "tokens_per_s": tokens_per_s,
            "parameters": finished.parameters,
            "tokens": finished.manifest.tokens,
            "flops": finished.manifest.flops,
            "steps": finished.manifest.steps_total,
            "report": report,
            "seconds": seconds,
        }));
    }
    let model = finished.model.display().to_string();
    // A correction of a model is talked to on top of that model.
    let talk = match &recipe.model.from {
        Some(from) if recipe.lora.is_some() => format!("{from} --adapter {model}"),
        _ => model.clone(),
    };
    let val_loss = number(finished.val_loss);
    output::line(
        &Msg::TrainDone {
            path: model,
            talk,
            val_loss,
            speed: format!("{tokens_per_s:.0}"),
            sha256: finished.weights_sha256.clone(),
            report: report.display().to_string(),
        }
        .to_string(),
    )
}

/// The model to begin from: a path from the recipe, or one of the catalogue, which is fetched if need be.
fn base(data: &DataDir, args: &Train, from: &str) -> Outcome<PathBuf> {
    let beside = args.recipe.parent().unwrap_or(Path::new(".")).join(from);
    if beside.exists() {
        return Ok(beside);
    }
    let progress = Progress::new(args.json);
    let located = chat::locate_answering(data, Some(from), &progress)?;
    progress.clear();
    Ok(located.path)
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

/// A name that a folder may have.
fn folder_name(name: &str) -> Outcome<PathBuf> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(fits) {
        return Err(misuse(Msg::UsageInvalidValue {
            argument: "name".to_owned(),
            value: name.chars().take(40).collect(),
            allowed: "a-z, 0-9, -, _ and .".to_owned(),
            verb: "train ".to_owned(),
        }));
    }
    Ok(PathBuf::from(name))
}

/// What was seen of a run: on the terminal, in `metrics.jsonl` and in `TensorBoard`'s form.
struct Watch {
    progress: Progress,
    metrics: File,
    events: Events<File>,
    /// Steps before each stage, by its name.
    before: Vec<(String, u64)>,
    points: Vec<Point>,
    /// The machine's f32 limit, operations a second; 0 where nobody looks.
    peak: f64,
    tokens: u64,
    seconds: f64,
    failed: bool,
}

impl Watch {
    fn new(recipe: &Recipe, out: &Path, quiet: bool, peak: f64) -> Outcome<Self> {
        std::fs::create_dir_all(out).map_err(|error| Problem::file(out, &error))?;
        let path = out.join("metrics.jsonl");
        let points = report::read_points(&path);
        let metrics = File::options().create(true).append(true).open(&path);
        let events_path = out.join(events::file_name());
        let events = File::options().create(true).append(true).open(&events_path);
        let events = events.and_then(Events::new);
        let mut steps = 0;
        let stages = recipe.stage.iter().map(|stage| {
            steps += stage.steps;
            (stage.name.clone(), steps - stage.steps)
        });
        Ok(Self {
            progress: Progress::new(quiet),
            metrics: metrics.map_err(|error| Problem::file(&path, &error))?,
            events: events.map_err(|error| Problem::file(&events_path, &error))?,
            before: stages.collect(),
            points,
            peak,
            tokens: 0,
            seconds: 0.0,
            failed: false,
        })
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Preparing { source } => {
                self.progress.start_count(
                    0,
                    &Msg::LabelPreparing {
                        source: source.clone(),
                    },
                );
            }
            Event::Stage {
                name,
                step,
                steps,
                tokens,
                parameters,
                ..
            } => {
                self.progress.line(&Msg::TrainStage {
                    stage: name.clone(),
                    parameters: parameters.to_string(),
                    tokens: tokens.to_string(),
                });
                self.progress.start_count(
                    *steps,
                    &Msg::LabelStage {
                        stage: name.clone(),
                    },
                );
                self.progress.reach(*step);
            }
            Event::Step(step) => self.step(step),
            Event::Validated {
                stage,
                step,
                loss,
                reward,
            } => {
                let (stage, step_text, loss_text) =
                    (stage.clone(), step.to_string(), number(*loss));
                self.progress.line(&match reward {
                    None => Msg::TrainValidated {
                        stage: stage.clone(),
                        step: step_text,
                        loss: loss_text,
                    },
                    Some(reward) => Msg::TrainValidatedRight {
                        stage: stage.clone(),
                        step: step_text,
                        loss: loss_text,
                        right: format!("{:.1}", 100.0 * reward),
                    },
                });
                self.note(Point {
                    stage,
                    step: *step,
                    val_loss: *loss,
                    val_reward: *reward,
                    ..Point::default()
                });
            }
            Event::Sample { prompt, text } => self.progress.line(&Msg::TrainSample {
                prompt: printable(prompt),
                text: printable(text),
            }),
            Event::Saving { .. } => {}
        }
    }

    fn step(&mut self, step: &Step) {
        self.tokens += step.tokens as u64;
        self.seconds += step.seconds;
        self.progress.reach(step.step);
        let speed = step.tokens as f64 / step.seconds;
        self.note(Point {
            stage: step.stage.clone(),
            step: step.step,
            loss: Some(step.loss),
            learning_rate: Some(step.learning_rate),
            gradient_norm: Some(step.gradient_norm),
            tokens_per_s: Some(speed),
            reward: step.reward,
            ..Point::default()
        });
        if self.peak == 0.0 {
            return;
        }
        let losses: Vec<f64> = self.points.iter().filter_map(|point| point.loss).collect();
        self.progress.label(
            Msg::TrainStep {
                stage: step.stage.clone(),
                curve: report::sparkline(&losses, 16),
                loss: match step.reward {
                    None => format!("{:.3}", step.loss),
                    Some(right) => format!("{:.3} ({:.0}% ✓)", step.loss, 100.0 * right),
                },
                rate: format!("{:.1e}", step.learning_rate),
                norm: format!("{:.2}", step.gradient_norm),
                speed: format!("{speed:.0}"),
                share: format!(
                    "{:.0}",
                    100.0 * step.flops / step.seconds / self.peak.max(1.0)
                ),
            }
            .to_string(),
        );
    }

    /// Keeps a point, and writes it down; what cannot be written is said once.
    fn note(&mut self, point: Point) {
        let line = serde_json::to_string(&point).unwrap_or_default() + "\n";
        let before = self.before.iter().find(|(stage, _)| *stage == point.stage);
        let step = before.map_or(0, |(_, steps)| *steps) + point.step;
        let written = self.metrics.write_all(line.as_bytes());
        if let Err(error) = written.and_then(|()| self.events.scalars(step, &point.scalars()))
            && !self.failed
        {
            self.failed = true;
            output::note(
                &fail(Msg::OutputFailed {
                    reason: error.to_string(),
                })
                .to_string(),
            );
        }
        self.points.push(point);
    }
}

/// A model's words on one line of a terminal.
fn printable(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.chars().filter(|c| !c.is_control()).collect()
}

/// The problem for a person who gave `verb`.
pub(super) fn explain(error: TrainError, verb: &str) -> Problem {
    match error {
        TrainError::Stopped => Problem::Interrupted,
        TrainError::File { path, source } | TrainError::Data(DataError::File { path, source }) => {
            Problem::file(&path, &source)
        }
        // What stands in a recipe has the name that it has there; flags have no dots.
        TrainError::Setting { name, .. } if name.contains('.') => {
            Problem::Misused(error.to_string())
        }
        TrainError::Data(
            DataError::Config { .. }
            | DataError::NotPrepared { .. }
            | DataError::NotIndexed { .. }
            | DataError::Setting { .. },
        ) => Problem::Misused(error.to_string()),
        TrainError::Recipe { .. } => Problem::Usage(Box::new(Msg::Plain {
            text: error.to_string(),
        })),
        TrainError::Setting {
            name,
            found,
            allowed,
        } => misuse(Msg::UsageInvalidValue {
            argument: format!("--{}", name.replace('_', "-")),
            value: found,
            allowed,
            verb: format!("{verb} "),
        }),
        other => Problem::Below(other.to_string()),
    }
}
