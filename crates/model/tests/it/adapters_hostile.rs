//! Adapters that are broken, lie, or ask for what the decoder does not do: each is refused by name,
//! within the bounds of every hostile file.

use crate::adapters::adapter_folder;
use crate::bounds::refused_with;
use crate::files_fuzzed::{changes, mutate};
use crate::files_safetensors::file;
use crate::gguf_writer::GgufWriter;
use crate::parity::fixtures;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use terang_kernels::DType;
use terang_model::adapter::Adapter;
use terang_model::{Config, bundle::ModelFiles};

fn config(family: &str) -> Config {
    let files = ModelFiles::open(&fixtures().join(family)).unwrap();
    files.config().unwrap()
}

fn settings() -> Value {
    json!({ "peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "down_proj"] })
}

/// One tensor: its name, shape, type and bytes.
type Tensor = (&'static str, &'static [usize], &'static str, Vec<u8>);

const A: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
const B: &str = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight";

fn floats(name: &'static str, shape: &'static [usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    (name, shape, "F32", 0.5_f32.to_le_bytes().repeat(count))
}

fn pair() -> Vec<Tensor> {
    vec![floats(A, &[2, 32]), floats(B, &[32, 2])]
}

fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, dtype, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        let row = json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets });
        header.insert((*name).to_owned(), row);
        data.extend(bytes);
    }
    file(&Value::Object(header).to_string(), &data)
}

fn folder(settings: &str, weights: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("adapter_config.json"), settings).unwrap();
    std::fs::write(folder.path().join("adapter_model.safetensors"), weights).unwrap();
    folder
}

#[track_caller]
fn refuse(family: &str, settings: &Value, tensors: &[Tensor], words: &[&str]) {
    let folder = folder(&settings.to_string(), &safetensors(tensors));
    let config = config(family);
    refused_with(words, || Adapter::open(folder.path(), &config));
}

#[test]
fn a_sound_folder_opens() {
    let folder = folder(&settings().to_string(), &safetensors(&pair()));
    let adapter = Adapter::open(folder.path(), &config("llama")).unwrap();
    assert_eq!(adapter.len(), 1);
}

#[test]
fn settings_that_are_not_done_are_refused_by_name() {
    let off: [(&str, Value); 16] = [
        ("use_dora", json!(true)),
        ("use_qalora", json!(true)),
        ("use_something_new", json!({ "on": 1 })),
        ("modules_to_save", json!(["lm_head"])),
        ("bias", json!("lora_only")),
        ("lora_bias", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("rank_pattern", json!({ "q_proj": 8 })),
        ("alpha_pattern", json!({ "q_proj": 8 })),
        ("layer_replication", json!([[0, 1]])),
        ("target_parameters", json!(["mlp.experts"])),
        ("trainable_token_indices", json!([1])),
        ("alora_invocation_tokens", json!([1, 2])),
        ("init_lora_weights", json!("pissa_niter_16")),
        ("peft_type", json!("LOHA")),
        ("peft_type", Value::Null),
    ];
    for (field, value) in off {
        let mut settings = settings();
        settings[field] = value;
        refuse("llama", &settings, &pair(), &[field, "is not supported"]);
    }
    let mut harmless = settings();
    harmless["use_dora"] = json!(false);
    harmless["rank_pattern"] = json!({});
    harmless["modules_to_save"] = Value::Null;
    harmless["init_lora_weights"] = json!("gaussian");
    let folder = folder(&harmless.to_string(), &safetensors(&pair()));
    Adapter::open(folder.path(), &config("llama")).unwrap();
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let wrong: [(&str, Value); 10] = [
        ("r", json!(0)),
        ("r", json!(-1)),
        ("r", json!(1_u64 << 40)),
        ("r", json!("2")),
        ("r", json!(3)),
        ("lora_alpha", Value::Null),
        ("lora_alpha", json!("4")),
        ("lora_alpha", json!(1e300)),
        ("use_rslora", json!("yes")),
        ("target_modules", json!([1])),
    ];
    for (field, value) in wrong {
        let mut settings = settings();
        settings[field] = value.clone();
        // What is wrong with the weights only shows there.
        let word = match (field, value.as_u64(), value.as_f64()) {
            ("r", Some(3), _) => "rank 2",
            ("lora_alpha", _, Some(_)) => "alpha",
            _ => field,
        };
        refuse("llama", &settings, &pair(), &[word]);
    }
    let config = config("llama");
    for text in ["", "[]", "{", "{\"r\": NaN}", &"[".repeat(100_000), "null"] {
        let folder = folder(text, &safetensors(&pair()));
        refused_with(&["adapter_config.json"], || {
            Adapter::open(folder.path(), &config)
        });
    }
    let long = format!("{{\"x\": \"{}\"}}", "x".repeat(1 << 20));
    let folder = folder(&long, &safetensors(&pair()));
    refused_with(&["file size"], || Adapter::open(folder.path(), &config));
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let mut any = settings();
    any["target_modules"] = json!("all-linear");
    let lone = [floats(A, &[2, 32])];
    refuse("llama", &any, &lone, &[B, "nothing"]);
    let lone = [floats(B, &[32, 2])];
    refuse("llama", &any, &lone, &[A, "nothing"]);
    refuse("llama", &any, &[], &["no tensors"]);
    let wide = [floats(A, &[2, 33]), floats(B, &[32, 2])];
    refuse("llama", &any, &wide, &["[2, 33]", "[2, 32]"]);
    let tall = [floats(A, &[2, 32]), floats(B, &[16, 2])];
    refuse("llama", &any, &tall, &["[16, 2]", "[32, 2]"]);
    let turned = [floats(A, &[2, 32]), floats(B, &[2, 32])];
    refuse("llama", &any, &turned, &["[2, 32]", "[32, 2]"]);
    let flat = [floats(A, &[64]), floats(B, &[32, 2])];
    refuse("llama", &any, &flat, &["rank 64"]);
    let scalar = [floats(A, &[]), floats(B, &[32, 2])];
    refuse("llama", &any, &scalar, &["rank 0"]);
    for bad in [f32::NAN, f32::INFINITY] {
        let mut tensors = pair();
        tensors[1].3[..4].copy_from_slice(&bad.to_le_bytes());
        refuse("llama", &any, &tensors, &[B, "not a finite number"]);
    }
    let mut doubles = pair();
    doubles[0].2 = "F64";
    doubles[0].3 = vec![0; 2 * 32 * 8];
    refuse("llama", &any, &doubles, &[A]);
    let mut named = settings();
    named["target_modules"] = json!(["v_proj", "proj"]);
    refuse("llama", &named, &pair(), &[A, "target_modules"]);
}

#[test]
fn places_that_an_adapter_cannot_change_are_refused_by_name() {
    let mut any = settings();
    any["target_modules"] = Value::Null;
    let elsewhere = [
        "base_model.model.lm_head.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
        "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight",
        "base_model.model.model.layers.0.mlp.experts.0.gate_proj.lora_A.weight",
        "base_model.model.model.layers.-1.mlp.gate_proj.lora_A.weight",
        "base_model.model.model.layers.99999999999999999999999.mlp.gate_proj.lora_A.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.layers.0.self_attn.lora_A.weight",
        ".lora_A.weight",
    ];
    for name in elsewhere {
        refuse(
            "llama",
            &any,
            &[floats(name, &[2, 32])],
            &["is not supported"],
        );
    }
    let beyond = [
        floats(
            "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
            &[2, 32],
        ),
        floats(
            "base_model.model.model.layers.2.self_attn.q_proj.lora_B.weight",
            &[32, 2],
        ),
    ];
    refuse("llama", &any, &beyond, &["found 2", "layers below 2"]);
    let mut twice = pair();
    twice.push(floats(
        "base_model.model.layers.0.self_attn.q_proj.lora_A.weight",
        &[2, 32],
    ));
    twice.push(floats(
        "base_model.model.layers.0.self_attn.q_proj.lora_B.weight",
        &[32, 2],
    ));
    refuse("llama", &any, &twice, &["a second pair"]);
    let experts = [
        floats(
            "base_model.model.model.layers.0.mlp.gate_proj.lora_A.weight",
            &[2, 32],
        ),
        floats(
            "base_model.model.model.layers.0.mlp.gate_proj.lora_B.weight",
            &[32, 2],
        ),
    ];
    refuse("mixtral", &any, &experts, &["experts", "is not supported"]);
}

#[test]
fn what_is_no_adapter_says_so() {
    let config = config("llama");
    let model = fixtures().join("llama");
    let open = |path: &Path| Adapter::open(path, &config);
    refused_with(&["adapter_config.json"], || open(&model));
    refused_with(&["general.type"], || open(&model.join("model.gguf")));
    let file = adapter_folder("llama").join("adapter_model.safetensors");
    refused_with(&["the folder"], || open(&file));
    refused_with(&["nowhere"], || open(Path::new("/nowhere")));
    let folder = folder(&settings().to_string(), b"");
    std::fs::remove_file(folder.path().join("adapter_model.safetensors")).unwrap();
    refused_with(&["adapter_model.safetensors"], || open(folder.path()));
    std::fs::write(folder.path().join("adapter_model.bin"), "PK").unwrap();
    refused_with(&["adapter_model.bin", "is not supported"], || {
        open(folder.path())
    });
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_refused() {
    let config = config("llama");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        let folder = folder(&settings().to_string(), &safetensors(&pair()));
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        std::fs::rename(folder.path().join(name), &secret).unwrap();
        std::os::unix::fs::symlink(&secret, folder.path().join(name)).unwrap();
        let words = ["a file inside the folder"];
        refused_with(&words, || Adapter::open(folder.path(), &config));
    }
}

fn gguf() -> GgufWriter {
    GgufWriter::default()
        .str("general.type", "adapter")
        .str("general.architecture", "llama")
        .str("adapter.type", "lora")
        .f32("adapter.lora.alpha", 4.0)
}

fn with_pair(writer: GgufWriter, a: DType) -> GgufWriter {
    let bytes = vec![0; a.row_bytes(32).unwrap() * 2];
    let zeros = vec![0; 32 * 2 * 4];
    writer
        .tensor("blk.0.attn_q.weight.lora_a", &[2, 32], a, &bytes)
        .tensor("blk.0.attn_q.weight.lora_b", &[32, 2], DType::F32, &zeros)
}

#[track_caller]
fn refuse_gguf(writer: &GgufWriter, words: &[&str]) {
    let (_folder, path) = crate::gguf_writer::on_disk("adapter.gguf", &writer.bytes());
    let config = config("llama");
    refused_with(words, || Adapter::open(&path, &config));
}

#[test]
fn gguf_adapters_are_held_to_the_same() {
    let keys = |kind: &str, architecture: &str, adapter: &str| {
        GgufWriter::default()
            .str("general.type", kind)
            .str("general.architecture", architecture)
            .str("adapter.type", adapter)
            .f32("adapter.lora.alpha", 4.0)
    };
    let f32 = DType::F32;
    refuse_gguf(
        &with_pair(keys("model", "llama", "lora"), f32),
        &["general.type"],
    );
    refuse_gguf(
        &with_pair(keys("adapter", "llama", "control"), f32),
        &["adapter.type"],
    );
    refuse_gguf(
        &with_pair(keys("adapter", "falcon", "lora"), f32),
        &["falcon"],
    );
    refuse_gguf(
        &with_pair(keys("adapter", "qwen2", "lora"), f32),
        &["qwen2", "llama"],
    );
    let without = GgufWriter::default()
        .str("general.type", "adapter")
        .str("general.architecture", "llama")
        .str("adapter.type", "lora");
    refuse_gguf(&with_pair(without.clone(), f32), &["adapter.lora.alpha"]);
    let endless = without.f32("adapter.lora.alpha", f32::INFINITY);
    refuse_gguf(&with_pair(endless, f32), &["finite"]);
    let begins = gguf().array("adapter.alora.invocation_tokens", 4, 1, &[1, 0, 0, 0]);
    refuse_gguf(&with_pair(begins, f32), &["invocation_tokens"]);
    refuse_gguf(&with_pair(gguf(), DType::Q8_0), &["Q8_0", "F32, F16, BF16"]);
    let zeros = vec![0; 32 * 2 * 4];
    let lone = gguf().tensor("blk.0.attn_q.weight.lora_a", &[2, 32], f32, &zeros);
    refuse_gguf(&lone, &["lora_b"]);
    for name in [
        "output.weight.lora_a",
        "blk.0.attn_q.weight",
        "blk.x.attn_q.weight.lora_a",
    ] {
        let elsewhere = with_pair(gguf(), f32).tensor(name, &[2, 32], f32, &zeros);
        refuse_gguf(&elsewhere, &[name, "is not supported"]);
    }
    let wide = vec![0; 1025 * 32 * 4];
    let ranked = gguf()
        .tensor("blk.0.attn_q.weight.lora_a", &[1025, 32], f32, &wide)
        .tensor("blk.0.attn_q.weight.lora_b", &[32, 1025], f32, &wide);
    refuse_gguf(&ranked, &["rank 1025", "1 to 1024"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_adapters_open_or_are_refused(in_config in any::<bool>(), changes in changes()) {
        let mut settings = settings().to_string().into_bytes();
        let mut weights = safetensors(&pair());
        mutate(if in_config { &mut settings } else { &mut weights }, &changes);
        let folder = folder("", &weights);
        std::fs::write(folder.path().join("adapter_config.json"), settings).unwrap();
        let _ = Adapter::open(folder.path(), &config("llama"));
        let mut bytes = with_pair(gguf(), DType::F32).bytes();
        mutate(&mut bytes, &changes);
        let (_folder, path) = crate::gguf_writer::on_disk("adapter.gguf", &bytes);
        let _ = Adapter::open(&path, &config("llama"));
    }
}
