//! `terang verify`: every file of a checkpoint is what its manifest says.

use serde_json::json;
use terang_train::checkpoint;

use crate::args::Verify;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};

/// Checks and tells.
pub(crate) fn run(args: &Verify) -> Outcome<()> {
    let (manifest, digest) =
        checkpoint::verify(&args.checkpoint).map_err(|error| Problem::Below(error.to_string()))?;
    if args.json {
        return output::json(
            &json!({ "manifest": manifest, "manifest_sha256": digest, "intact": true }),
        );
    }
    output::line(
        &Msg::VerifyDone {
            path: args.checkpoint.display().to_string(),
            name: manifest.name,
            files: manifest.files.len().to_string(),
            parent: manifest
                .parent
                .unwrap_or_else(|| Msg::VerifyFirst {}.to_string()),
        }
        .to_string(),
    )
}
