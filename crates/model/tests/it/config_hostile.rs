//! Descriptions that must be refused: each with a typed error that names the file, the field, what
//! stands there and what may, in a second and without memory by the file's counts (file attack 14).

use crate::bounds::refused_with;
use crate::config_models::{
    LLAMA_2_7B, LLAMA_3_1_8B, MISTRAL_7B, MIXTRAL_8X7B, QWEN_2_5_0_5B, QWEN_3_30B_A3B, SMOLLM_3_3B,
};
use crate::config_models_gemma_grok::GEMMA_2_2B;
use serde_json::Value;
use std::path::Path;
use terang_model::checkpoint::Checkpoint;
use terang_model::{Config, Error};

#[track_caller]
pub(crate) fn refuse(text: &str, words: &[&str]) {
    refused_with(&[&["config.json: "], words].concat(), || {
        let error = Config::from_hf_json(Path::new("config.json"), text).map(drop);
        if let Err(error) = &error {
            let typed = matches!(error, Error::Invalid { .. } | Error::Unsupported { .. });
            assert!(typed, "{error:?}");
        }
        error
    });
}

/// `text` with the field set to `value`, which need not be JSON.
pub(crate) fn with(text: &str, field: &str, value: &str) -> String {
    let mut json: Value = serde_json::from_str(text).unwrap();
    json[field] = Value::String("MARK".into());
    json.to_string().replace("\"MARK\"", value)
}

fn without(text: &str, field: &str) -> String {
    let mut json: Value = serde_json::from_str(text).unwrap();
    json.as_object_mut().unwrap().remove(field).unwrap();
    json.to_string()
}

/// Refused with that value, in words that begin with the field's name.
#[track_caller]
pub(crate) fn refuse_value(text: &str, field: &str, value: &str, words: &[&str]) {
    let name = format!("config.json: {field}: ");
    refuse(&with(text, field, value), &[&[&*name], words].concat());
}

const COUNTS: [&str; 7] = [
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "vocab_size",
];

#[test]
fn counts_that_are_zero_or_absurd() {
    for field in COUNTS {
        refuse_value(LLAMA_3_1_8B, field, "0", &["found 0, allowed 1 to "]);
        for huge in ["9223372036854775808", "18446744073709551615"] {
            // Odd widths are refused because they do not divide, with or without their size.
            let found = format!("found {huge}, allowed ");
            refuse_value(LLAMA_3_1_8B, field, huge, &[&found]);
        }
        let absurd = "1099511627776";
        refuse_value(LLAMA_3_1_8B, field, absurd, &["found 1099511627776"]);
    }
    for (field, value) in [
        ("head_dim", "0"),
        ("head_dim", "7"),
        ("head_dim", "1048576"),
    ] {
        refuse_value(LLAMA_3_1_8B, field, value, &["found", "allowed"]);
    }
    refuse_value(
        MISTRAL_7B,
        "sliding_window",
        "0",
        &["found 0", "at least 1"],
    );
}

#[test]
fn numbers_that_are_not_counts() {
    let bad = [
        "-1",
        "-0",
        "-0.0",
        "1.5",
        "4096.0",
        "1e3",
        "1e300",
        "18446744073709551616",
        "\"4096\"",
        "[]",
        "[4096]",
        "{}",
        "true",
    ];
    for field in COUNTS.into_iter().chain(["head_dim"]) {
        for value in bad {
            refuse_value(LLAMA_3_1_8B, field, value, &["found", "allowed a count"]);
        }
    }
}

#[test]
fn what_is_not_json() {
    for value in [
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "0x10",
        "01",
        "+1",
        ".",
    ] {
        for field in ["rope_theta", "vocab_size"] {
            let text = with(LLAMA_3_1_8B, field, value);
            refuse(&text, &["line 1: found", "allowed JSON"]);
        }
    }
    let nested = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    let objects = [r#"{"a":"#.repeat(100_000), "}".repeat(100_000)].concat();
    for deep in [&*nested, &*objects] {
        refuse(deep, &["recursion limit"]);
        refuse(&with(LLAMA_2_7B, "unknown", deep), &["recursion limit"]);
        refuse(&deep[..100_000], &["recursion limit"]);
    }
    for text in [
        "",
        " ",
        "nul",
        "{",
        "{}}",
        r#"{"model_type":"llama",}"#,
        "\u{feff}{}",
    ] {
        refuse(text, &["line 1", "allowed JSON"]);
    }
    for text in ["null", "[]", "7", "\"llama\""] {
        refuse(text, &["allowed a JSON object"]);
    }
    // As deep as may be, and of the wrong type.
    let deep = ["[".repeat(120), "]".repeat(120)].concat();
    refuse_value(LLAMA_2_7B, "vocab_size", &deep, &["…, allowed a count"]);
}

#[test]
fn text_of_a_file_cannot_flood_or_steer_the_terminal() {
    let long = format!("\"{}\"", "x".repeat(4 << 20));
    refuse_value(
        LLAMA_2_7B,
        "model_type",
        &long,
        &["xxx…", "supported: llama"],
    );
    refuse_value(LLAMA_2_7B, "vocab_size", &long, &["xxx…", "a count"]);
    refuse_value(LLAMA_2_7B, "hidden_act", &long, &["xxx…"]);
    refuse_value(
        LLAMA_2_7B,
        "hidden_act",
        r#""\u001b[2J\n""#,
        &[r"\u{1b}[2J\n"],
    );
}

/// The largest file that is read, filled with what takes the most memory.
#[test]
fn many_small_values() {
    for item in ["0", "[]", "{}", "\"\"", r#"{"":0}"#, r#"{"a":{"":[0]}}"#] {
        let count = (500 << 10) / (item.len() + 1);
        let many = format!("[{}]", vec![item; count].join(","));
        refuse_value(LLAMA_2_7B, "vocab_size", &many, &["…", "a count"]);
        refuse_value(GEMMA_2_2B, "layer_types", &many, &["…", "for each layer"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let text = with(
        LLAMA_2_7B,
        "unknown",
        &format!("\"{}\"", "x".repeat(512 << 10)),
    );
    std::fs::write(folder.path().join("config.json"), text).unwrap();
    refused_with(
        &["config.json: file size", "allowed at most 524288"],
        || Checkpoint::open(folder.path()),
    );
}

#[test]
fn fields_of_the_wrong_type() {
    for (text, field, value, allowed) in [
        (LLAMA_2_7B, "model_type", "3", "a string"),
        (LLAMA_2_7B, "model_type", "[\"llama\"]", "a string"),
        (LLAMA_2_7B, "hidden_act", "{}", "a string"),
        (LLAMA_2_7B, "rms_norm_eps", "\"1e-5\"", "a number"),
        (LLAMA_2_7B, "rope_theta", "[10000]", "a number"),
        (LLAMA_2_7B, "rope_scaling", "[]", "an object"),
        (LLAMA_2_7B, "rope_scaling", "\"linear\"", "an object"),
        (LLAMA_2_7B, "rope_parameters", "8", "an object"),
        (LLAMA_2_7B, "attention_bias", "0", "true or false"),
        (LLAMA_2_7B, "tie_word_embeddings", "\"no\"", "true or false"),
        (QWEN_2_5_0_5B, "use_sliding_window", "1", "true or false"),
        (GEMMA_2_2B, "final_logit_softcapping", "\"30\"", "a number"),
        (GEMMA_2_2B, "query_pre_attn_scalar", "{}", "a number"),
        (MISTRAL_7B, "sliding_window", "\"4096\"", "a count"),
        (MISTRAL_7B, "sliding_window", "-1", "a count"),
        (QWEN_3_30B_A3B, "mlp_only_layers", "3", "a list of layers"),
        (
            QWEN_3_30B_A3B,
            "mlp_only_layers",
            "[\"3\"]",
            "a list of layers",
        ),
        (
            QWEN_3_30B_A3B,
            "mlp_only_layers",
            "[-1]",
            "a list of layers",
        ),
        (QWEN_3_30B_A3B, "norm_topk_prob", "1", "true or false"),
        (SMOLLM_3_3B, "no_rope_layers", "{}", "a list of 0 and 1"),
    ] {
        refuse_value(text, field, value, &["found", allowed]);
    }
    let vision = r#"{"model_type": "gemma3"}"#;
    refuse(vision, &["text_config: found nothing, allowed an object"]);
    refuse(
        &with(vision, "text_config", "[]"),
        &["text_config: found [], allowed an object"],
    );
    refuse(
        &with(vision, "text_config", "{}"),
        &["hidden_size: found nothing"],
    );
}

#[test]
fn fields_that_are_missing() {
    for field in COUNTS {
        // These have defaults.
        if !["max_position_embeddings", "num_key_value_heads"].contains(&field) {
            let name = format!("{field}: found nothing, allowed a count");
            refuse(&without(LLAMA_2_7B, field), &[&name]);
            refuse(&with(LLAMA_2_7B, field, "null"), &[&name]);
        }
    }
    refuse(
        &without(MIXTRAL_8X7B, "intermediate_size"),
        &["intermediate_size: found nothing"],
    );
    for text in ["{}", &without(LLAMA_2_7B, "model_type")] {
        refuse(text, &["model_type: found nothing, allowed llama, mistral"]);
    }
}

/// The family is looked at before the fields, which others spell in their own ways.
#[test]
fn families_that_are_not_supported() {
    for family in ["gpt2", "", "LLAMA", "llama, mistral", "gemma", "../llama"] {
        let text = format!(r#"{{"model_type": "{family}", "n_embd": 768, "n_layer": 12}}"#);
        refuse(
            &text,
            &[
                "model_type: ",
                family,
                "not supported; supported: llama, mistral",
            ],
        );
    }
    refuse_value(
        LLAMA_2_7B,
        "hidden_act",
        "\"relu\"",
        &["relu is not supported"],
    );
}

#[test]
fn heads_that_do_not_divide() {
    refuse_value(
        LLAMA_3_1_8B,
        "num_key_value_heads",
        "7",
        &["found 7, allowed a divisor of 32 attention heads"],
    );
    refuse_value(
        LLAMA_3_1_8B,
        "num_key_value_heads",
        "64",
        &["a divisor of 32"],
    );
    refuse_value(
        LLAMA_3_1_8B,
        "hidden_size",
        "4097",
        &["a multiple of 32 attention heads"],
    );
    let odd = with(
        &with(LLAMA_2_7B, "num_key_value_heads", "31"),
        "num_attention_heads",
        "31",
    );
    refuse(&odd, &["hidden_size: found 4096, allowed a multiple of 31"]);
    // Widths whose product would wrap.
    let both = with(LLAMA_3_1_8B, "head_dim", "4294967296");
    let both = with(&both, "num_attention_heads", "4294967296");
    refuse(
        &both,
        &["num_attention_heads: found 4294967296, allowed 1 to 1024"],
    );
}
