//! `terang pull NAME`.

use serde_json::json;

use crate::args;
use crate::catalogue::Catalogue;
use crate::data_dir::DataDir;
use crate::messages::{Msg, human_bytes};
use crate::output;
use crate::problem::{Outcome, Problem};
use crate::pull::{self, Progress};
use crate::{resolve, store};

/// Fetches the model, or says that it is here.
pub(crate) fn run(data: &DataDir, args: &args::Pull) -> Outcome<()> {
    let catalogue = Catalogue::load()?;
    let entry = resolve::entry(&catalogue, &args.name)?;
    let before = store::installed(data, &entry.name).ok().flatten().is_some();
    let progress = Progress::new(args.quiet || args.json);
    let installed = pull::pull(data, entry, args.from.as_deref(), &progress).map_err(
        |problem| match problem {
            Problem::Interrupted => Problem::Stopped(Box::new(Msg::PullInterrupted {
                name: entry.name.clone(),
            })),
            other => other,
        },
    )?;
    if args.quiet {
        return Ok(());
    }
    if args.json {
        return output::json(&json!({
            "name": entry.name,
            "path": installed.path,
            "bytes": installed.receipt.bytes,
            "sha256": installed.receipt.sha256,
            "source": installed.receipt.source,
            "already_installed": before,
        }));
    }
    let path = installed.path.display().to_string();
    let name = entry.name.clone();
    let message = if before {
        Msg::AlreadyInstalled { name, path }
    } else {
        Msg::Installed {
            name,
            size: human_bytes(installed.receipt.bytes_here()),
            path,
        }
    };
    output::line(&message.to_string())
}
