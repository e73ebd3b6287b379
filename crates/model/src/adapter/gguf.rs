//! Adapters as GGUF files, as llama.cpp's `convert_lora_to_gguf.py` writes them: `general.type` is
//! `adapter`, and a tensor `blk.0.attn_q.weight` has its pair under that name with `.lora_a` and
//! `.lora_b`.

use super::{Found, PROJECTIONS, Pair, Projection, Scale};
use crate::config::{GGUF_ARCHITECTURES, gguf_pairing};
use crate::gguf::Gguf;
use crate::{Config, Error, Result, TensorSource};
use std::path::Path;

pub(super) fn read(gguf: Gguf, path: &Path, config: &Config) -> Result<Found> {
    let metadata = gguf.metadata();
    for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora")] {
        let found = metadata.get_opt::<&str>(key)?.unwrap_or("nothing");
        if found != wanted {
            return Err(Error::unsupported(path, key, found, wanted));
        }
    }
    let invoked = "adapter.alora.invocation_tokens";
    if metadata.contains(invoked) {
        let (found, supported) = ("an adapter that begins at such tokens", "plain LoRA");
        return Err(Error::unsupported(path, invoked, found, supported));
    }
    let key = "general.architecture";
    let architecture = metadata.str(key)?;
    let pairing = gguf_pairing(architecture)
        .ok_or_else(|| Error::unsupported(path, key, architecture, GGUF_ARCHITECTURES))?;
    // Folders name some families otherwise; then the shapes must do.
    let ours = &config.architecture;
    if gguf_pairing(ours).is_some() && ours != architecture {
        let allowed = format!("{ours}, as the model is");
        return Err(Error::invalid(path, key, architecture, allowed));
    }
    let alpha = metadata.f32("adapter.lora.alpha")?;
    let scale = if alpha == 0.0 {
        Scale::One
    } else {
        Scale::ByRank {
            alpha: f64::from(alpha),
        }
    };
    let pairs = pairs(&gguf, scale)?;
    Ok(Found {
        pairs,
        tensors: Box::new(gguf),
        pairing,
        rank: None,
    })
}

/// The pairs, by their tensors `A`; one without the other is an error.
fn pairs(gguf: &Gguf, scale: Scale) -> Result<Vec<Pair>> {
    const A: &str = ".lora_a";
    const B: &str = ".lora_b";
    let mut pairs = Vec::new();
    for name in gguf.names() {
        let Some(weight) = name.strip_suffix(A).or_else(|| name.strip_suffix(B)) else {
            let supported = "pairs of .lora_a and .lora_b";
            return Err(Error::unsupported(gguf.path(), name, "its kind", supported));
        };
        let (layer, projection) = place(weight)
            .ok_or_else(|| Error::unsupported(gguf.path(), name, "what it changes", PROJECTIONS))?;
        let (a, b) = (format!("{weight}{A}"), format!("{weight}{B}"));
        if name == a {
            pairs.push(Pair {
                layer,
                projection,
                a,
                b,
                scale,
            });
        } else {
            gguf.require(&a)?;
        }
    }
    Ok(pairs)
}

/// Which projection of which layer a weight is.
fn place(weight: &str) -> Option<(usize, Projection)> {
    let module = weight.strip_prefix("blk.")?.strip_suffix(".weight")?;
    let (layer, rest) = module.split_once('.')?;
    let named = |(_, _, name): &&(Projection, &str, &str)| *name == rest;
    let (projection, ..) = Projection::NAMES.iter().find(named)?;
    Some((layer.parse().ok()?, *projection))
}
