//! `terang plan`: reads files and flags, and prints what the crate `plan` says.

use std::path::Path;

use serde_json::json;
use terang_plan::config::model_from_config;
use terang_plan::plan::{plan, sizes};
use terang_plan::request::{Request, Text, parse_count};
use terang_plan::rows::{Row, read_rows};
use terang_plan::serving::{self, Demand};
use terang_plan::{
    Fitted, Model, PlanError, Precision, emit, find_gpu, find_model, text, validate,
};

use crate::args::{Plan, PlanFlags, PlanServe, PlanWhat, Scheduler};
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, misuse};

/// More than any file of this kind has.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Plans, or does what the verb after it says.
pub(crate) fn run(args: &Plan) -> Outcome<()> {
    match &args.what {
        None => plan_run(&args.flags),
        Some(PlanWhat::Serve(args)) => serve(args),
        Some(PlanWhat::Compare {
            first,
            second,
            json,
        }) => compare(first, second, *json),
        Some(PlanWhat::Validate { path, json }) => validate(path, *json),
    }
}

/// Wrong input, in the words of the crate below.
#[allow(
    clippy::needless_pass_by_value,
    reason = "it stands in map_err, which hands errors over"
)]
fn wrong(error: PlanError) -> Problem {
    Problem::Misused(error.to_string())
}

fn read(path: &Path) -> Outcome<String> {
    let unreadable = |reason: String| {
        misuse(Msg::FileUnreadable {
            path: path.display().to_string(),
            reason,
        })
    };
    let size = std::fs::metadata(path)
        .map_err(|e| unreadable(e.to_string()))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it has {size} bytes, allowed {FILE_BYTES_MAX}"
        )));
    }
    std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))
}

/// The request that flags and file make.
fn request(flags: &PlanFlags) -> Outcome<Request> {
    let words = |w: &Option<String>| w.as_deref().map(Text::from);
    let mut over = Request {
        gpu: flags.gpu.clone(),
        gpus: words(&flags.gpus),
        params: words(&flags.params),
        tokens: words(&flags.tokens),
        seq: flags.seq,
        global_batch: flags.global_batch,
        precision: match &flags.precision {
            Some(name) => Some(Precision::parse(name).map_err(wrong)?),
            None => None,
        },
        fix: flags.fix.clone(),
        network: flags.network.clone(),
        gpus_per_node: flags.gpus_per_node,
        price: flags.price,
        pue: flags.pue,
        carbon: flags.carbon,
        failures: flags.failures,
        spares: flags.spares,
        pod_gpus: flags.pod_gpus,
        oversubscription: flags.oversubscription,
        sharp: flags.sharp.then_some(true),
        slow_share: flags.slow_share,
        checkpoint: flags.checkpoint.clone(),
        checkpoint_every: flags.checkpoint_every,
        storage: flags.storage.clone(),
        elastic: flags.no_elastic.then_some(false),
        silent_share: flags.silent_share,
        silent_hours: flags.silent_hours,
        ..Request::default()
    };
    if let Some(name) = &flags.model {
        match architecture(name)? {
            Some(model) => over.architecture = Some(model),
            None => over.model = Some(name.clone()),
        }
    }
    let Some(file) = &flags.file else {
        return Ok(over);
    };
    let base = Request::parse(&read(file)?, &file.display().to_string()).map_err(wrong)?;
    // A model of the command line comes before one of the file, whichever way it is named.
    let base = if over.model.is_some() || over.architecture.is_some() || over.params.is_some() {
        Request {
            model: None,
            architecture: None,
            params: None,
            ..base
        }
    } else {
        base
    };
    Ok(base.with(over))
}

/// The architecture in a file, where `name` is one and no model's name.
fn architecture(name: &str) -> Outcome<Option<Model>> {
    let path = Path::new(name);
    let path = if path.is_dir() {
        path.join("config.json")
    } else if path.extension().is_some_and(|e| e == "json") {
        path.to_owned()
    } else {
        return Ok(None);
    };
    let shown = path.display().to_string();
    model_from_config(&read(&path)?, &shown)
        .map(Some)
        .map_err(wrong)
}

fn plan_run(flags: &PlanFlags) -> Outcome<()> {
    let asked = request(flags)?.resolve().map_err(wrong)?;
    let plan = plan(&asked, Fitted::built_in()).map_err(wrong)?;
    if let Some(path) = &flags.html {
        let page = terang_plan::html::page(&plan, &sizes(&asked, Fitted::built_in()));
        std::fs::write(path, page).map_err(|e| Problem::file(path, &e))?;
    }
    match flags.emit {
        Some(Scheduler::Slurm) => output::write(&emit::slurm(&plan)),
        Some(Scheduler::Kubernetes) => output::write(&emit::kubernetes(&plan)),
        None if flags.json => output::json(&plan),
        None => output::write(&text::report(&plan)),
    }
}

fn compare(first: &Path, second: &Path, json: bool) -> Outcome<()> {
    let of = |path: &Path| {
        let shown = path.display().to_string();
        let asked = Request::parse(&read(path)?, &shown)
            .and_then(|r| r.resolve())
            .map_err(wrong)?;
        let plan = plan(&asked, Fitted::built_in()).map_err(wrong)?;
        let name = path
            .file_stem()
            .map_or(shown, |n| n.to_string_lossy().into_owned());
        Ok((name, plan))
    };
    let (a, b) = (of(first)?, of(second)?);
    if json {
        return output::json(&json!({ "first": a.1, "second": b.1 }));
    }
    output::write(&text::compare([&a.0, &b.0], [&a.1, &b.1]))
}

fn serve(args: &PlanServe) -> Outcome<()> {
    let gpu = find_gpu(&args.gpu).map_err(wrong)?.clone();
    let model = match architecture(&args.model)? {
        Some(model) => model,
        None => find_model(&args.model).map_err(wrong)?.clone(),
    };
    let count = |field, words: &Option<String>| match words {
        Some(w) => parse_count(field, w).map(Some).map_err(wrong),
        None => Ok(None),
    };
    // A tenth of a day's requests come in its busiest hour.
    let requests_per_s = match count("requests", &args.requests)? {
        Some(n) => n,
        None => count("people", &args.people)?.unwrap_or(0.0) * args.asks * 0.1 / 3600.0,
    };
    let precision = Precision::parse(&args.precision).map_err(wrong)?;
    if gpu.peak(precision).is_none() {
        return Err(wrong(PlanError::Contradiction {
            reason: format!("{} has no {} products", gpu.name, precision.name()),
        }));
    }
    let demand = Demand {
        price: args.price.unwrap_or(gpu.usd_per_hour),
        model,
        gpu,
        precision,
        requests_per_s,
        prompt_tokens: args.prompt,
        answer_tokens: args.answer,
        ttft_ms: args.ttft_ms,
        tpot_ms: args.tpot_ms,
    };
    let ways = serving::serve(&demand, Fitted::built_in()).map_err(wrong)?;
    if args.json {
        return output::json(&json!({ "best": ways.first(), "ways": ways }));
    }
    output::write(&serving::text(&demand, &ways))
}

fn rows_of(path: &Path) -> Outcome<Vec<Row>> {
    read_rows(&read(path)?).map_err(|reason| {
        misuse(Msg::FileFailed {
            path: path.display().to_string(),
            reason,
        })
    })
}

fn validate(path: &Path, json: bool) -> Outcome<()> {
    if path.is_dir() {
        let mut rows = rows_of(&path.join("runs.csv"))?;
        let single = path.join("runs-single-node-a100.csv");
        if single.exists() {
            rows.extend(rows_of(&single)?);
        }
        let report = validate::report(rows, Fitted::built_in());
        if json {
            return output::json(&report);
        }
        return output::write(&validate::markdown(&report));
    }
    let rows = validate::predict_rows(&rows_of(path)?, Fitted::built_in());
    if json {
        return output::json(&json!({ "rows": rows }));
    }
    output::write(&validate::rows_markdown(&rows))
}
