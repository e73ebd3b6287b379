//! What an encoder's folder says about it: `config.json`, and the small files that
//! sentence-transformers puts beside it.

use crate::checkpoint::{folder_file, read_text};
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

const SUPPORTED: &str = "bert";
const CONFIG_BYTES_MAX: usize = 512 << 10;
const LAYERS_MAX: usize = 1024;
const HEADS_MAX: usize = 1024;

/// Everything the encoder needs to know besides the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// The family as the file names it; for messages only.
    pub architecture: String,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream, and of the vectors that come out.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Attention heads; a divisor of `hidden_size`.
    pub num_attention_heads: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Positions that have an embedding.
    pub max_position_embeddings: usize,
    /// Kinds of text that have an embedding; a text by itself is of the first.
    pub type_vocab_size: usize,
    /// Epsilon of every norm.
    pub layer_norm_eps: f32,
    /// Tokens of a text that the model was made for, its ends included.
    pub max_tokens: usize,
}

#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "small")]
    layer_norm_eps: f32,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn two() -> usize {
    2
}

fn small() -> f32 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

/// Whether a folder's `config.json` describes an encoder: what reads texts whole and gives vectors,
/// and no answers.
pub fn is_encoder(dir: &Path) -> bool {
    let config = || {
        if !dir.is_dir() || !dir.join("config.json").is_file() {
            return None;
        }
        let text = read_text(dir, "config.json", CONFIG_BYTES_MAX).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    };
    config().is_some_and(|config| config["model_type"] == SUPPORTED)
}

impl EncoderConfig {
    /// Reads what a folder says, and no weights.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::from_folder(dir, &read_text(dir, "config.json", CONFIG_BYTES_MAX)?)
    }

    /// Reads `text`, the `config.json` of the folder, and what lies beside it.
    pub(super) fn from_folder(dir: &Path, text: &str) -> Result<Self> {
        let mut config = Self::from_hf_json(&dir.join("config.json"), text)?;
        if let Some(sentence) = small_file(dir, "sentence_bert_config.json")? {
            config.limit_tokens(&dir.join("sentence_bert_config.json"), &sentence)?;
        }
        let pooling = dir.join("1_Pooling");
        // A link under this name could lead anywhere.
        if pooling.symlink_metadata().is_ok_and(|meta| meta.is_dir())
            && let Some(value) = small_file(&pooling, "config.json")?
        {
            require_mean(&pooling.join("config.json"), &value)?;
        }
        Ok(config)
    }

    /// Reads `text`, the contents of the `config.json` at `path`.
    pub fn from_hf_json(path: &Path, text: &str) -> Result<Self> {
        let not_json =
            |e: serde_json::Error| Error::invalid(path, format!("line {}", e.line()), e, "JSON");
        let value: Value = serde_json::from_str(text).map_err(not_json)?;
        match value["model_type"].as_str() {
            Some(SUPPORTED) => {}
            found => {
                let found = found.unwrap_or("nothing");
                return Err(Error::unsupported(path, "model_type", found, SUPPORTED));
            }
        }
        let raw = Raw::deserialize(&value)
            .map_err(|e| Error::invalid(path, "fields", e, "those of an encoder"))?;
        for (field, found, supported) in [
            ("hidden_act", &raw.hidden_act, "gelu"),
            (
                "position_embedding_type",
                &raw.position_embedding_type,
                "absolute",
            ),
        ] {
            if found != supported {
                return Err(Error::unsupported(path, field, found, supported));
            }
        }
        for (field, found, max) in [
            ("vocab_size", raw.vocab_size, 1 << 22),
            ("hidden_size", raw.hidden_size, 1 << 14),
            ("intermediate_size", raw.intermediate_size, 1 << 16),
            ("num_attention_heads", raw.num_attention_heads, HEADS_MAX),
            ("num_hidden_layers", raw.num_hidden_layers, LAYERS_MAX),
            (
                "max_position_embeddings",
                raw.max_position_embeddings,
                super::BATCH_TOKENS_MAX,
            ),
            ("type_vocab_size", raw.type_vocab_size, 1 << 10),
        ] {
            if !(1..=max).contains(&found) {
                return Err(Error::invalid(path, field, found, format!("1 to {max}")));
            }
        }
        let heads = raw.num_attention_heads;
        if !raw.hidden_size.is_multiple_of(heads) || raw.hidden_size / heads > 1024 {
            let allowed = format!("a multiple of {heads} heads of at most 1024");
            return Err(Error::invalid(
                path,
                "hidden_size",
                raw.hidden_size,
                allowed,
            ));
        }
        if !(0.0..1.0).contains(&raw.layer_norm_eps) {
            let field = "layer_norm_eps";
            return Err(Error::invalid(path, field, raw.layer_norm_eps, "0 to 1"));
        }
        Ok(Self {
            architecture: SUPPORTED.to_owned(),
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_attention_heads: heads,
            num_hidden_layers: raw.num_hidden_layers,
            max_position_embeddings: raw.max_position_embeddings,
            type_vocab_size: raw.type_vocab_size,
            layer_norm_eps: raw.layer_norm_eps,
            max_tokens: raw.max_position_embeddings,
        })
    }

    /// Texts may be shorter than there are positions for.
    fn limit_tokens(&mut self, path: &Path, sentence: &Value) -> Result<()> {
        let field = "max_seq_length";
        let Some(value) = sentence.get(field).filter(|value| !value.is_null()) else {
            return Ok(());
        };
        let found = value.as_u64().and_then(|n| usize::try_from(n).ok());
        match found {
            Some(tokens @ 3..) => self.max_tokens = self.max_tokens.min(tokens),
            _ => return Err(Error::invalid(path, field, value, "at least 3")),
        }
        Ok(())
    }
}

fn small_file(dir: &Path, name: &str) -> Result<Option<Value>> {
    let path = dir.join(name);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    folder_file(dir, name)?;
    let text = read_text(dir, name, CONFIG_BYTES_MAX)?;
    let value = serde_json::from_str(&text).map_err(|e| Error::invalid(path, "file", e, "JSON"))?;
    Ok(Some(value))
}

/// Vectors of another pooling would be wrong, silently.
fn require_mean(path: &Path, value: &Value) -> Result<()> {
    let object = value.as_object().into_iter().flatten();
    for (field, on) in object {
        let wanted = field == "pooling_mode_mean_tokens";
        let is_mode = field.starts_with("pooling_mode_");
        if is_mode && on.as_bool() == Some(!wanted) {
            let found = format!("{field} {on}");
            return Err(Error::unsupported(path, "pooling", found, "the mean"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn minilm() -> Value {
        json!({
            "model_type": "bert", "hidden_act": "gelu", "hidden_size": 384,
            "intermediate_size": 1536, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
            "num_attention_heads": 12, "num_hidden_layers": 6, "type_vocab_size": 2,
            "vocab_size": 30522, "position_embedding_type": "absolute"
        })
    }

    fn read(value: &Value) -> Result<EncoderConfig> {
        EncoderConfig::from_hf_json(Path::new("config.json"), &value.to_string())
    }

    #[test]
    fn what_contradicts_itself_or_is_not_done_is_refused_by_name() {
        assert_eq!(read(&minilm()).unwrap().max_tokens, 512);
        for (field, value) in [
            ("hidden_size", json!(385)),
            ("hidden_size", json!(0)),
            ("num_attention_heads", json!(0)),
            ("num_hidden_layers", json!(1_000_000)),
            ("vocab_size", json!(u64::MAX)),
            ("max_position_embeddings", json!(1 << 30)),
            ("hidden_act", json!("relu")),
            ("position_embedding_type", json!("relative_key")),
            ("layer_norm_eps", json!(2.0)),
            ("model_type", json!("roberta")),
        ] {
            let mut config = minilm();
            config[field] = value;
            let error = read(&config).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        for field in ["hidden_size", "vocab_size"] {
            let mut config = minilm();
            config.as_object_mut().unwrap().remove(field);
            assert!(read(&config).unwrap_err().to_string().contains(field));
        }
    }

    #[test]
    fn the_small_files_beside_it_count() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, value: Value| {
            std::fs::write(dir.path().join(name), value.to_string()).unwrap();
        };
        let open = || EncoderConfig::from_folder(dir.path(), &minilm().to_string());
        std::fs::create_dir(dir.path().join("1_Pooling")).unwrap();
        write("sentence_bert_config.json", json!({"max_seq_length": 256}));
        write(
            "1_Pooling/config.json",
            json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}),
        );
        assert_eq!(open().unwrap().max_tokens, 256);
        write(
            "sentence_bert_config.json",
            json!({"max_seq_length": 100_000}),
        );
        assert_eq!(open().unwrap().max_tokens, 512);
        write("sentence_bert_config.json", json!({"max_seq_length": 2}));
        assert!(open().is_err());
        write("sentence_bert_config.json", json!({}));
        for pooling in [
            json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}),
            json!({"pooling_mode_mean_tokens": false}),
        ] {
            write("1_Pooling/config.json", pooling);
            assert!(open().unwrap_err().to_string().contains("pooling"));
        }
        assert!(!is_encoder(dir.path()));
        write("config.json", minilm());
        assert!(is_encoder(dir.path()));
        write("config.json", json!({"model_type": "llama"}));
        assert!(!is_encoder(dir.path()));
    }
}
