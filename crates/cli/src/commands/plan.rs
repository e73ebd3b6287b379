//! `terang plan`: reads files and flags, and prints what the crate `plan` says.

use std::path::Path;

use serde_json::json;
use terang_plan::config::model_from_config;
use terang_plan::plan::plan;
use terang_plan::request::{Request, Text};
use terang_plan::rows::{Row, read_rows};
use terang_plan::{Fitted, PlanError, Precision, text, validate};

use crate::args::{Plan, PlanFlags, PlanWhat};
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, misuse};

/// More than any file of this kind has.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Plans, or does what the verb after it says.
pub(crate) fn run(args: &Plan) -> Outcome<()> {
    match &args.what {
        None => plan_run(&args.flags),
        Some(PlanWhat::Validate { path, json }) => validate(path, *json),
    }
}

/// Wrong input, in the words of the crate below.
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
        ..Request::default()
    };
    if let Some(name) = &flags.model {
        let path = Path::new(name);
        if path.extension().is_some_and(|e| e == "json") || path.is_dir() {
            let path = if path.is_dir() {
                path.join("config.json")
            } else {
                path.to_owned()
            };
            let shown = path.display().to_string();
            over.architecture = Some(model_from_config(&read(&path)?, &shown).map_err(wrong)?);
        } else {
            over.model = Some(name.clone());
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

fn plan_run(flags: &PlanFlags) -> Outcome<()> {
    let asked = request(flags)?.resolve().map_err(wrong)?;
    let plan = plan(&asked, Fitted::built_in()).map_err(wrong)?;
    if flags.json {
        return output::json(&plan);
    }
    output::write(&text::report(&plan))
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
