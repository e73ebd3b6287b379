//! `terang export`: a model that was trained, as others read it.

use serde_json::json;
use terang_kernels::DType;
use terang_train::export;

use crate::args::{Export, Form, Quantize};
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};

/// Writes and tells.
pub(crate) fn run(args: &Export) -> Outcome<()> {
    let ending = if args.to == Form::Gguf { "gguf" } else { "hf" };
    let beside = || args.model.with_extension(ending);
    let out = args.out.clone().unwrap_or_else(beside);
    let written = match args.to {
        Form::Gguf => export::gguf(&args.model, &out, dtype(args.quantize)),
        Form::Hf => export::hf(&args.model, &out),
    };
    let bytes = written.map_err(|error| Problem::Below(error.to_string()))?;
    if args.json {
        return output::json(&json!({ "path": out, "bytes": bytes }));
    }
    let path = out.display().to_string();
    output::line(
        &Msg::ExportDone {
            path,
            bytes: bytes.to_string(),
        }
        .to_string(),
    )
}

fn dtype(quantize: Quantize) -> DType {
    match quantize {
        Quantize::F32 => DType::F32,
        Quantize::F16 => DType::F16,
        Quantize::Q8_0 => DType::Q8_0,
        Quantize::Q4_1 => DType::Q4_1,
        Quantize::Q4_0 => DType::Q4_0,
        Quantize::Q4_K => DType::Q4_K,
    }
}
