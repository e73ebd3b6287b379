//! Rotary scalings, factors, lists and experts that must be refused: see `config_hostile`.

use crate::config_hostile::{refuse, refuse_value, with};
use crate::config_models::{LLAMA_2_7B, MIXTRAL_8X7B, QWEN_3_30B_A3B, SMOLLM_3_3B};
use crate::config_models_gemma_grok::{GEMMA_2_2B, GEMMA_3_1B, GROK_1};

#[test]
fn factors_that_are_not_finite_or_not_above_zero() {
    for value in ["0", "0.0", "-0.0", "-1", "1e39", "-1e300", "1e-60"] {
        for (text, field, named) in [
            (LLAMA_2_7B, "rope_theta", "rope_theta"),
            (GEMMA_3_1B, "rope_local_base_freq", "rope_theta"),
            (GEMMA_2_2B, "query_pre_attn_scalar", "query_pre_attn_scalar"),
            (GEMMA_2_2B, "attn_logit_softcapping", "attn_logit_softcap"),
            (GEMMA_2_2B, "final_logit_softcapping", "final_logit_softcap"),
            (GROK_1, "attn_output_multiplier", "attention_scale"),
            (GROK_1, "embedding_multiplier_scale", "embedding_scale"),
            (GROK_1, "output_multiplier_scale", "logit_scale"),
            (GROK_1, "max_attn_value", "attn_logit_softcap"),
        ] {
            let text = with(text, field, value);
            refuse(&text, &[named, "found", "allowed a finite number above 0"]);
        }
    }
    for value in ["-1e-5", "1", "1e300"] {
        refuse_value(LLAMA_2_7B, "rms_norm_eps", value, &["allowed 0 to 1"]);
    }
    for value in ["-1", "0", "0.01", "1.5", "1e300", "0.51"] {
        let text = with(LLAMA_2_7B, "partial_rotary_factor", value);
        refuse(&text, &["rope dimensions", "found", "allowed"]);
    }
}

#[test]
fn rotary_scalings() {
    let refuse = |scaling: &str, words: &[&str]| {
        refuse(&with(LLAMA_2_7B, "rope_scaling", scaling), words);
        refuse(&with(LLAMA_2_7B, "rope_parameters", scaling), words);
    };
    for kind in ["dynamic", "longrope", "su", "", "LINEAR"] {
        let scaling = format!(r#"{{"type": "{kind}", "factor": 2.0}}"#);
        refuse(
            &scaling,
            &[
                "rope_type",
                kind,
                "supported: default, linear, llama3, yarn",
            ],
        );
    }
    refuse(
        r#"{"rope_type": 4}"#,
        &["rope_type: found 4, allowed a string"],
    );
    for kind in ["linear", "yarn", "llama3"] {
        refuse(
            &format!(r#"{{"rope_type": "{kind}"}}"#),
            &["factor: found nothing"],
        );
        for factor in ["0", "-2", "1e39"] {
            let scaling = format!(
                r#"{{"rope_type": "{kind}", "factor": {factor}, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0}}"#
            );
            refuse(
                &scaling,
                &["rope_scaling", "allowed a finite number above 0"],
            );
        }
    }
    let llama3 = |low: &str, high: &str, context: &str| {
        format!(
            r#"{{"rope_type": "llama3", "factor": 8, "low_freq_factor": {low},
            "high_freq_factor": {high}, "original_max_position_embeddings": {context}}}"#
        )
    };
    refuse(
        &llama3("4", "4", "8192"),
        &["low_freq_factor", "less than high_freq_factor 4"],
    );
    refuse(
        &llama3("5", "4", "8192"),
        &["low_freq_factor", "less than high_freq_factor 4"],
    );
    refuse(
        &llama3("null", "4", "8192"),
        &["low_freq_factor: found nothing"],
    );
    refuse(
        &llama3("1", "null", "8192"),
        &["high_freq_factor: found nothing"],
    );
    for context in ["0", "9223372036854775808"] {
        let words = [
            "original_max_position_embeddings",
            context,
            "1 to 134217728",
        ];
        refuse(&llama3("1", "4", context), &words);
        let yarn = format!(
            r#"{{"type": "yarn", "factor": 4, "original_max_position_embeddings": {context}}}"#
        );
        refuse(&yarn, &words);
    }
    for field in ["beta_fast", "beta_slow", "attention_factor"] {
        let yarn = format!(r#"{{"type": "yarn", "factor": 4, "{field}": -1}}"#);
        refuse(&yarn, &["rope_scaling: found -1"]);
    }
}

#[test]
fn lists_of_the_wrong_length_or_content() {
    let allowed = "full_attention or sliding_attention for each layer";
    for value in [
        "[]",
        r#"["full_attention"]"#,
        "{}",
        &format!("[{}]", vec!["\"full_attention\""; 27].join(",")),
        &format!("[{}]", vec!["\"linear_attention\""; 26].join(",")),
        &format!("[{}]", vec!["0"; 26].join(",")),
    ] {
        refuse_value(GEMMA_2_2B, "layer_types", value, &[allowed]);
        refuse_value(GEMMA_3_1B, "layer_types", value, &[allowed]);
    }
    for value in ["[]", "[1, 1, 1]"] {
        let allowed = "one entry for each of 36 layers";
        refuse_value(SMOLLM_3_3B, "no_rope_layers", value, &[allowed]);
    }
    for entry in ["2", "-1", "\"0\"", "false", "null"] {
        let list = format!("[{}]", vec![entry; 36].join(","));
        refuse_value(
            SMOLLM_3_3B,
            "no_rope_layers",
            &list,
            &["found", "allowed 0 or 1"],
        );
    }
}

#[test]
fn experts() {
    for (text, field) in [
        (QWEN_3_30B_A3B, "num_experts"),
        (MIXTRAL_8X7B, "num_local_experts"),
    ] {
        for value in ["0", "1025", "9223372036854775808"] {
            let found = format!("num_experts: found {value}, allowed 1 to 1024");
            refuse(&with(text, field, value), &[&found]);
        }
    }
    let field = "num_experts_per_tok";
    refuse_value(
        QWEN_3_30B_A3B,
        field,
        "129",
        &["found 129, allowed 1 to 128"],
    );
    refuse_value(MIXTRAL_8X7B, field, "0", &["found 0, allowed 1 to 8"]);
    refuse_value(GROK_1, field, "9", &["found 9, allowed 1 to 8"]);
    for value in ["0", "2097152", "18446744073709551615"] {
        refuse_value(
            QWEN_3_30B_A3B,
            "moe_intermediate_size",
            value,
            &["allowed 1 to 1048576"],
        );
    }
    // Nothing reads it where all layers have experts, but no count goes unchecked.
    let field = "intermediate_size";
    refuse_value(
        QWEN_3_30B_A3B,
        field,
        "18446744073709551615",
        &["allowed 0 to 1048576"],
    );
}
