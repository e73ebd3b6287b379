//! Limits that every description must keep, wherever it comes from.

use super::{Config, Experts, RopeScaling};
use crate::{Error, Result};
use std::path::Path;

const LAYERS_MAX: usize = 1024;
const HEADS_MAX: usize = 1024;

/// Checked before anything is allocated by the number of layers.
pub(super) fn limit_layers(path: &Path, field: &str, n_layers: usize) -> Result<()> {
    between(path, field, n_layers, 1, LAYERS_MAX)
}

/// The size of one of `heads` that share the width in `field`, where a file gives no size of its own.
pub(super) fn shared_width(path: &Path, field: &str, width: usize, heads: usize) -> Result<usize> {
    between(path, "num_attention_heads", heads, 1, HEADS_MAX)?;
    if !width.is_multiple_of(heads) {
        let allowed = format!("a multiple of {heads} attention heads, or a head size");
        return Err(Error::invalid(path, field, width, allowed));
    }
    Ok(width / heads)
}

/// Refuses counts that are zero, absurd or contradict each other, and numbers that are not finite.
pub(super) fn validate(path: &Path, config: &Config) -> Result<()> {
    let counts = [
        ("vocab_size", config.vocab_size, 1 << 22),
        ("hidden_size", config.hidden_size, 1 << 17),
        ("num_attention_heads", config.num_attention_heads, HEADS_MAX),
        ("num_key_value_heads", config.num_key_value_heads, HEADS_MAX),
        ("head_dim", config.head_dim, 1024),
        (
            "max_position_embeddings",
            config.max_position_embeddings,
            1 << 27,
        ),
        ("layers", config.layers.len(), LAYERS_MAX),
    ];
    for (field, found, max) in counts {
        between(path, field, found, 1, max)?;
    }
    let dense = config.layers.iter().any(|layer| !layer.experts);
    let width = config.intermediate_size;
    between(path, "intermediate_size", width, dense.into(), 1 << 20)?;
    if !config
        .num_attention_heads
        .is_multiple_of(config.num_key_value_heads)
    {
        let allowed = format!(
            "a divisor of {} attention heads",
            config.num_attention_heads
        );
        return Err(Error::invalid(
            path,
            "num_key_value_heads",
            config.num_key_value_heads,
            allowed,
        ));
    }
    if !config.head_dim.is_multiple_of(2) {
        return Err(Error::invalid(
            path,
            "head_dim",
            config.head_dim,
            "an even number",
        ));
    }
    let factors = [
        ("embedding_scale", config.embedding_scale),
        ("logit_scale", config.logit_scale),
        ("attention_scale", config.attention_scale),
        (
            "attn_logit_softcap",
            config.attn_logit_softcap.unwrap_or(1.0),
        ),
        (
            "final_logit_softcap",
            config.final_logit_softcap.unwrap_or(1.0),
        ),
    ];
    for (field, found) in factors {
        positive(path, field, found)?;
    }
    if !(0.0..1.0).contains(&config.rms_norm_eps) {
        return Err(Error::invalid(
            path,
            "rms_norm_eps",
            config.rms_norm_eps,
            "0 to 1",
        ));
    }
    for layer in &config.layers {
        if layer.sliding_window == Some(0) {
            return Err(Error::invalid(
                path,
                "sliding_window",
                0,
                "at least 1, or none",
            ));
        }
        if layer.rope.is_some_and(|rope| rope >= config.rope.len()) {
            return Err(Error::invalid(
                path,
                "rope",
                "a layer without its rope",
                "one of the ropes",
            ));
        }
    }
    if let Some(experts) = &config.experts {
        validate_experts(path, experts)?;
    }
    config.rope.iter().try_for_each(|rope| {
        between(path, "rope dimensions", rope.dim, 2, config.head_dim)?;
        if !rope.dim.is_multiple_of(2) {
            return Err(Error::invalid(
                path,
                "rope dimensions",
                rope.dim,
                "an even number",
            ));
        }
        positive(path, "rope_theta", rope.theta)?;
        validate_scaling(path, &rope.scaling, rope.dim)
    })
}

fn validate_experts(path: &Path, experts: &Experts) -> Result<()> {
    between(path, "num_experts", experts.num_experts, 1, 1024)?;
    between(
        path,
        "num_experts_per_tok",
        experts.num_experts_per_tok,
        1,
        experts.num_experts,
    )?;
    between(
        path,
        "moe_intermediate_size",
        experts.moe_intermediate_size,
        1,
        1 << 20,
    )
}

fn validate_scaling(path: &Path, scaling: &RopeScaling, dim: usize) -> Result<()> {
    let field = "rope_scaling";
    match scaling {
        RopeScaling::None => Ok(()),
        RopeScaling::Linear { factor } => positive(path, field, *factor),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            for x in [factor, low_freq_factor, high_freq_factor] {
                positive(path, field, *x)?;
            }
            if low_freq_factor >= high_freq_factor {
                let allowed = format!("less than high_freq_factor {high_freq_factor}");
                return Err(Error::invalid(
                    path,
                    "low_freq_factor",
                    low_freq_factor,
                    allowed,
                ));
            }
            let context = *original_max_position_embeddings;
            between(
                path,
                "original_max_position_embeddings",
                context,
                1,
                1 << 27,
            )
        }
        RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            beta_fast,
            beta_slow,
            attention_factor,
        } => {
            for x in [factor, beta_fast, beta_slow, attention_factor] {
                positive(path, field, *x)?;
            }
            let context = *original_max_position_embeddings;
            between(
                path,
                "original_max_position_embeddings",
                context,
                1,
                1 << 27,
            )
        }
        RopeScaling::Factors { factors } => {
            if factors.len() != dim / 2 {
                return Err(Error::invalid(
                    path,
                    field,
                    factors.len(),
                    format!("{} factors", dim / 2),
                ));
            }
            factors.iter().try_for_each(|x| positive(path, field, *x))
        }
    }
}

fn between(path: &Path, field: &str, found: usize, min: usize, max: usize) -> Result<()> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(Error::invalid(
        path,
        field,
        found,
        format!("{min} to {max}"),
    ))
}

pub(super) fn positive(path: &Path, field: &str, found: f32) -> Result<()> {
    if found.is_finite() && found > 0.0 {
        return Ok(());
    }
    Err(Error::invalid(
        path,
        field,
        found,
        "a finite number above 0",
    ))
}
