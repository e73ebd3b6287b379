//! Adapters as the library PEFT saves them: `adapter_config.json` and `adapter_model.safetensors` in
//! a folder. What its configuration can say and the decoder does not do is refused by name: an
//! adapter that is applied in part gives answers that nobody trained.

use super::{Found, PROJECTIONS, Pair, Projection, RANK_MAX, Scale};
use crate::checkpoint::{folder_file, read_text};
use crate::config::RopePairing;
use crate::decoder::PREFIXES;
use crate::safetensors::Safetensors;
use crate::{Error, Result, TensorSource};
use serde_json::{Map, Value};
use std::path::Path;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// Most bytes of the configuration; usual ones have under two thousand.
const CONFIG_BYTES_MAX: usize = 512 << 10;

/// Fields that change the arithmetic, or what the adapter belongs to, unless they are empty.
const MUST_BE_OFF: [&str; 9] = [
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_bias",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
];
/// Ways to begin the training that leave the model's own weights as they are.
const INITS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

pub(super) fn read(folder: &Path) -> Result<Found> {
    let has = |name: &str| folder.join(name).symlink_metadata().is_ok();
    if !has(CONFIG) {
        let found = format!("no {CONFIG}");
        let allowed =
            format!("{CONFIG} with {WEIGHTS} beside it, or the path of a GGUF file itself");
        return Err(Error::invalid(folder, "adapter folder", found, allowed));
    }
    let path = folder.join(CONFIG);
    let text = read_text(folder, CONFIG, CONFIG_BYTES_MAX)?;
    let settings = Settings::read(&path, &text)?;
    if !has(WEIGHTS) && has("adapter_model.bin") {
        let (field, found) = ("weights", "adapter_model.bin");
        return Err(Error::unsupported(folder, field, found, WEIGHTS));
    }
    let tensors = Safetensors::open(&folder_file(folder, WEIGHTS)?)?;
    let pairs = pairs(&tensors, &settings)?;
    Ok(Found {
        pairs,
        tensors: Box::new(tensors),
        pairing: RopePairing::Half,
        rank: Some(settings.rank),
    })
}

struct Settings {
    rank: usize,
    scale: Scale,
    /// Names of modules, or the ends of such names; `None` where an expression stands for them.
    targets: Option<Vec<String>>,
}

impl Settings {
    fn read(path: &Path, text: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| Error::invalid(path, format!("line {}", e.line()), e, "JSON"))?;
        let Value::Object(fields) = root else {
            let allowed = "a JSON object";
            return Err(Error::invalid(path, "file", "something else", allowed));
        };
        refuse(path, &fields)?;
        let wrong = |field: &str, allowed: &str| {
            let found = fields.get(field).unwrap_or(&Value::Null);
            Error::invalid(path, field, found, allowed)
        };
        let rank = fields.get("r").and_then(Value::as_u64);
        let rank = rank.and_then(|rank| usize::try_from(rank).ok());
        let rank = rank
            .filter(|rank| (1..=RANK_MAX).contains(rank))
            .ok_or_else(|| wrong("r", &format!("1 to {RANK_MAX}")))?;
        let alpha = fields.get("lora_alpha").and_then(Value::as_f64);
        let alpha = alpha.ok_or_else(|| wrong("lora_alpha", "a number"))?;
        let scale = match fields.get("use_rslora") {
            None | Some(Value::Null | Value::Bool(false)) => Scale::ByRank { alpha },
            Some(Value::Bool(true)) => Scale::ByRoot { alpha },
            Some(_) => return Err(wrong("use_rslora", "true or false")),
        };
        let targets = match fields.get("target_modules") {
            None | Some(Value::Null | Value::String(_)) => None,
            Some(Value::Array(names)) => {
                let names = names.iter().map(|name| name.as_str().map(str::to_owned));
                let names = names.collect::<Option<_>>();
                Some(names.ok_or_else(|| wrong("target_modules", "names of modules"))?)
            }
            Some(_) => return Err(wrong("target_modules", "names of modules")),
        };
        Ok(Self {
            rank,
            scale,
            targets,
        })
    }

    /// Whether the configuration says that `module` is changed.
    fn targets(&self, module: &str) -> bool {
        let named = |target: &String| {
            let before = module.strip_suffix(target.as_str());
            before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        self.targets
            .as_ref()
            .is_none_or(|targets| targets.iter().any(named))
    }
}

/// Refuses what the decoder does not do.
fn refuse(path: &Path, fields: &Map<String, Value>) -> Result<()> {
    let unsupported = |field: &str, found: &Value, supported: &str| {
        Err(Error::unsupported(path, field, found, supported))
    };
    match fields.get("peft_type") {
        Some(Value::String(kind)) if kind == "LORA" => {}
        found => return unsupported("peft_type", found.unwrap_or(&Value::Null), "LORA"),
    }
    match fields.get("bias") {
        None | Some(Value::Null) => {}
        Some(Value::String(bias)) if bias == "none" => {}
        Some(bias) => return unsupported("bias", bias, "none"),
    }
    match fields.get("init_lora_weights") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(Value::String(init)) if INITS.contains(&init.as_str()) => {}
        Some(init) => {
            // The others train against a changed model; PEFT can convert them when it saves.
            let supported = "true, false, gaussian, eva, orthogonal";
            return unsupported("init_lora_weights", init, supported);
        }
    }
    for (field, value) in fields {
        // Variants yet to come are switched on by such a field too.
        let variant = field.starts_with("use_") && field != "use_rslora";
        if (variant || MUST_BE_OFF.contains(&field.as_str())) && !is_off(value) {
            return unsupported(field, value, "a field that is absent or empty");
        }
    }
    Ok(())
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// The pairs, by their tensors `A`; one without the other is an error.
fn pairs(tensors: &Safetensors, settings: &Settings) -> Result<Vec<Pair>> {
    const A: &str = ".lora_A.weight";
    const B: &str = ".lora_B.weight";
    let mut pairs = Vec::new();
    for name in tensors.names() {
        let Some(module) = name.strip_suffix(A).or_else(|| name.strip_suffix(B)) else {
            let supported = "pairs of lora_A.weight and lora_B.weight";
            return Err(Error::unsupported(
                tensors.path(),
                name,
                "its kind",
                supported,
            ));
        };
        let (layer, projection) = place(module).ok_or_else(|| {
            Error::unsupported(tensors.path(), name, "what it changes", PROJECTIONS)
        })?;
        if !settings.targets(module) {
            let (found, allowed) = ("another module", "modules that target_modules names");
            return Err(Error::invalid(tensors.path(), name, found, allowed));
        }
        let (a, b) = (format!("{module}{A}"), format!("{module}{B}"));
        if name == a {
            pairs.push(Pair {
                layer,
                projection,
                a,
                b,
                scale: settings.scale,
            });
        } else {
            tensors.require(&a)?;
        }
    }
    Ok(pairs)
}

/// Which projection of which layer a module is.
fn place(module: &str) -> Option<(usize, Projection)> {
    let module = module.strip_prefix("base_model.model.")?;
    let mut below = PREFIXES.iter().filter_map(|prefix| {
        let rest = module.strip_prefix(prefix)?;
        rest.strip_prefix("layers.")
    });
    let (layer, rest) = below.next()?.split_once('.')?;
    let named = |(_, name, _): &&(Projection, &str, &str)| *name == rest;
    let (projection, ..) = Projection::NAMES.iter().find(named)?;
    Some((layer.parse().ok()?, *projection))
}
