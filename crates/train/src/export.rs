//! A trained model as a GGUF file, for Terang and for all programs that read llama.cpp's files.

use crate::decoder::Layout;
use crate::{Result, TrainError};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use terang_kernels::DType;
use terang_kernels::quant::{
    f32_to_f16, quantize_row_q4_0, quantize_row_q4_1, quantize_row_q4_k, quantize_row_q8_0,
};
use terang_model::bundle::LoadedModel;
use terang_model::config::{Config, RopePairing};
use terang_model::gguf::{NewTensor, NewValue, write};
use terang_model::tokenizer::PreTokenizer;

/// Files of a folder that Hugging Face's library reads.
const HF_FILES: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
];

/// Writes the model in folder `model` to the GGUF file `out`, its matrices as `dtype`. A matrix whose rows
/// are no whole blocks is written as `F16`, as llama.cpp's converter does. Returns the file's bytes.
///
/// # Errors
/// [`TrainError::Export`] if the model has what this cannot write, and those of reading and writing.
pub fn gguf(model: &Path, out: &Path, dtype: DType) -> Result<u64> {
    let loaded = LoadedModel::open(model)?;
    let layout = Layout::new(&loaded.config)?;
    let wrong = |reason: &str| TrainError::Export {
        path: model.to_owned(),
        reason: reason.to_owned(),
    };
    if loaded.config.rope[0].pairing != RopePairing::Half {
        return Err(wrong(
            "it is a GGUF file already; give the folder of a trained model",
        ));
    }
    let metadata = metadata(model, &loaded, dtype)?;
    let mut tensors = Vec::new();
    for tensor in &layout.table.tensors {
        let view = loaded.tensors.require(&tensor.name)?;
        if view.dtype != DType::F32 || view.shape != tensor.shape {
            return Err(wrong(
                "its weights are not those of a model that was trained here",
            ));
        }
        let numbers: Vec<f32> = view
            .data
            .as_chunks::<4>()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x))
            .collect();
        let numbers = rows_of(&tensor.name, numbers, &loaded.config);
        let columns = tensor.shape.last().copied().unwrap_or(1);
        let dtype = match dtype {
            _ if tensor.shape.len() == 1 => DType::F32,
            // The nearest type for rows that are no whole super-blocks, as llama.cpp chooses.
            DType::Q4_K if dtype.row_bytes(columns).is_none() && columns.is_multiple_of(32) => {
                DType::Q8_0
            }
            dtype if dtype.row_bytes(columns).is_none() => DType::F16,
            dtype => dtype,
        };
        tensors.push(NewTensor {
            name: gguf_name(&tensor.name).ok_or_else(|| wrong("a tensor has no name in GGUF"))?,
            shape: tensor.shape.clone(),
            dtype,
            data: encode(dtype, &numbers, columns),
        });
    }
    let on = |source| TrainError::File {
        path: out.to_owned(),
        source,
    };
    let mut part = out.as_os_str().to_owned();
    part.push(".part");
    let mut file = BufWriter::new(File::create(&part).map_err(on)?);
    write(&mut file, &metadata, &tensors)
        .and_then(|()| file.flush())
        .map_err(on)?;
    file.get_ref().sync_all().map_err(on)?;
    let bytes = file.get_ref().metadata().map_err(on)?.len();
    fs::rename(&part, out).map_err(on)?;
    Ok(bytes)
}

/// Writes what Hugging Face's library reads of the model in folder `model` to the folder `out`. Returns the
/// bytes.
///
/// # Errors
/// Those of reading and writing.
pub fn hf(model: &Path, out: &Path) -> Result<u64> {
    LoadedModel::open(model)?;
    let on = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::File { path, source }
    };
    fs::create_dir_all(out).map_err(on(out))?;
    let mut bytes = 0;
    for name in HF_FILES {
        let from = terang_model::checkpoint::folder_file(model, name)?;
        bytes += fs::copy(&from, out.join(name)).map_err(on(&out.join(name)))?;
    }
    Ok(bytes)
}

fn encode(dtype: DType, numbers: &[f32], columns: usize) -> Vec<u8> {
    let rows = |quantize: fn(&[f32]) -> Vec<u8>| {
        numbers.chunks_exact(columns).flat_map(quantize).collect()
    };
    match dtype {
        DType::Q8_0 => rows(quantize_row_q8_0),
        DType::Q4_1 => rows(quantize_row_q4_1),
        DType::Q4_K => rows(quantize_row_q4_k),
        DType::Q4_0 => rows(quantize_row_q4_0),
        DType::F16 => numbers
            .iter()
            .flat_map(|x| f32_to_f16(*x).to_le_bytes())
            .collect(),
        _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// Queries' and keys' rows in the order of GGUF's `llama`: pairs that are rotated together stand together.
fn rows_of(name: &str, numbers: Vec<f32>, config: &Config) -> Vec<f32> {
    if !name.contains("q_proj") && !name.contains("k_proj") {
        return numbers;
    }
    let (width, hd) = (config.hidden_size, config.head_dim);
    let mut out = Vec::with_capacity(numbers.len());
    for head in numbers.chunks_exact(hd * width) {
        for i in 0..hd {
            let row = i % 2 * (hd / 2) + i / 2;
            out.extend_from_slice(&head[row * width..(row + 1) * width]);
        }
    }
    out
}

pub(crate) fn gguf_name(name: &str) -> Option<String> {
    let fixed = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Some(fixed.to_owned());
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let part = match part.strip_suffix(".weight")? {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "post_attention_layernorm" => "ffn_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{part}.weight"))
}

/// The numbers that GGUF's `general.file_type` has for whole files.
const fn file_type(dtype: DType) -> u32 {
    match dtype {
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q8_0 => 7,
        // Mostly `Q4_K`, the small mixture.
        DType::Q4_K => 14,
        _ => 0,
    }
}

fn metadata(model: &Path, loaded: &LoadedModel, dtype: DType) -> Result<Vec<(String, NewValue)>> {
    let c = &loaded.config;
    let name = fs::read_to_string(model.join(crate::checkpoint::MANIFEST))
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .and_then(|manifest| manifest["name"].as_str().map(str::to_owned))
        .unwrap_or_else(|| "model".to_owned());
    let mut all: Vec<(String, NewValue)> = Vec::new();
    let mut put = |key: &str, value: NewValue| all.push((key.to_owned(), value));
    let n = |x: usize| NewValue::U32(x as u32);
    put("general.architecture", NewValue::Str("llama".to_owned()));
    put("general.name", NewValue::Str(name));
    put("general.file_type", NewValue::U32(file_type(dtype)));
    put("llama.vocab_size", n(c.vocab_size));
    put("llama.context_length", n(c.max_position_embeddings));
    put("llama.embedding_length", n(c.hidden_size));
    put("llama.block_count", n(c.layers.len()));
    put("llama.feed_forward_length", n(c.intermediate_size));
    put("llama.rope.dimension_count", n(c.head_dim));
    put("llama.rope.freq_base", NewValue::F32(c.rope[0].theta));
    put("llama.attention.head_count", n(c.num_attention_heads));
    put("llama.attention.head_count_kv", n(c.num_key_value_heads));
    put(
        "llama.attention.layer_norm_rms_epsilon",
        NewValue::F32(c.rms_norm_eps),
    );
    tokenizer(model, loaded, &mut put)?;
    if let Some(template) = &loaded.template {
        put(
            "tokenizer.chat_template",
            NewValue::Str(template.source().to_owned()),
        );
    }
    Ok(all)
}

/// The tokenizer's keys, from `tokenizer.json`.
fn tokenizer(
    model: &Path,
    loaded: &LoadedModel,
    put: &mut impl FnMut(&str, NewValue),
) -> Result<()> {
    let path = model.join("tokenizer.json");
    let wrong = |reason: &str| TrainError::Export {
        path: path.clone(),
        reason: reason.to_owned(),
    };
    let text = fs::read_to_string(&path).map_err(|source| TrainError::File {
        path: path.clone(),
        source,
    })?;
    let json: Value = serde_json::from_str(&text).map_err(|error| wrong(&error.to_string()))?;
    let mut pre = None;
    for name in PreTokenizer::NAMES {
        if PreTokenizer::named(name)?.is_some_and(|found| found.to_json() == json["pre_tokenizer"])
        {
            pre = Some(name);
        }
    }
    let pre = pre.ok_or_else(|| wrong("its pre-tokenizer has no name in GGUF"))?;
    let vocab = json["model"]["vocab"]
        .as_object()
        .ok_or_else(|| wrong("no vocabulary"))?;
    let mut tokens = vec![String::new(); loaded.config.vocab_size];
    let mut types = vec![1i32; tokens.len()];
    let mut set = |id: &Value, text: &str| -> Option<usize> {
        let id = usize::try_from(id.as_u64()?).ok()?;
        text.clone_into(tokens.get_mut(id)?);
        Some(id)
    };
    for (text, id) in vocab {
        set(id, text).ok_or_else(|| wrong("a token's id is outside of the vocabulary"))?;
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let id = set(&added["id"], added["content"].as_str().unwrap_or_default());
        let id = id.ok_or_else(|| wrong("an added token's id is outside of the vocabulary"))?;
        types[id] = if added["special"] == true { 3 } else { 4 };
    }
    let merges: Option<Vec<String>> = json["model"]["merges"].as_array().and_then(|merges| {
        let one = |merge: &Value| match merge {
            Value::String(merge) => Some(merge.clone()),
            merge => Some(format!("{} {}", merge[0].as_str()?, merge[1].as_str()?)),
        };
        merges.iter().map(one).collect()
    });
    put("tokenizer.ggml.model", NewValue::Str("gpt2".to_owned()));
    put("tokenizer.ggml.pre", NewValue::Str(pre.to_owned()));
    put("tokenizer.ggml.tokens", NewValue::Strings(tokens));
    put("tokenizer.ggml.token_type", NewValue::I32s(types));
    put(
        "tokenizer.ggml.merges",
        NewValue::Strings(merges.ok_or_else(|| wrong("no merges"))?),
    );
    if let Some(eos) = loaded.tokenizer.eos() {
        put("tokenizer.ggml.eos_token_id", NewValue::U32(eos));
        // Readers want one; it is never put before a prompt.
        put(
            "tokenizer.ggml.bos_token_id",
            NewValue::U32(loaded.tokenizer.bos().unwrap_or(eos)),
        );
    }
    put(
        "tokenizer.ggml.add_bos_token",
        NewValue::Bool(loaded.tokenizer.add_bos().is_some()),
    );
    Ok(())
}
