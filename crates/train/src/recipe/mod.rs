//! A recipe: everything that a training run depends on, in one TOML file.

mod check;
#[cfg(test)]
mod tests;

use crate::optimizer::{Schedule, Settings};
use crate::{Result, TrainError};
use serde::{Deserialize, Serialize};
use std::path::Path;
use terang_data::config::from_toml;

/// What to make, from what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the model is called.
    pub name: String,
    /// Of the initial values, and of the order of the data.
    #[serde(default)]
    pub seed: u64,
    /// The precision of matrix products in steps.
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// The tokenizer; a model that training begins from has its own.
    #[serde(default)]
    pub tokenizer: Tokenizer,
    /// The model's shape.
    pub model: Model,
    /// Where text comes from.
    #[serde(default)]
    pub data: Vec<Source>,
    /// What is done with it, in turn.
    #[serde(default)]
    pub stage: Vec<Stage>,
    /// Thin corrections are learned, and the model itself stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// How often it is saved.
    #[serde(default)]
    pub checkpoint: Keep,
}

/// What the numbers of matrix products are rounded to; all else is in single precision always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// bf16, which processors with AMX multiply several times as fast; sums are in single precision.
    Bf16,
}

impl Precision {
    /// The numerics profile that fixes every bit of a run.
    pub const fn profile(self) -> &'static str {
        match self {
            Self::F32 => "terang-train-f32-1",
            Self::Bf16 => "terang-train-bf16-1",
        }
    }

    /// As the kernels call it.
    pub const fn of_products(self) -> terang_kernels::gemm::Precision {
        match self {
            Self::F32 => terang_kernels::gemm::Precision::F32,
            Self::Bf16 => terang_kernels::gemm::Precision::Bf16,
        }
    }
}

/// A low-rank adapter (LoRA, arXiv:2106.09685).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Rank of each correction.
    pub rank: usize,
    /// The correction counts `alpha / rank`.
    pub alpha: f64,
    /// Projections that are corrected.
    pub targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        let all = [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ];
        Self {
            rank: 16,
            alpha: 32.0,
            targets: all.map(str::to_owned).to_vec(),
        }
    }
}

/// The tokenizer: read, or trained on the recipe's data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokenizer {
    /// A `tokenizer.json`, by its path from the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Tokens in all, where it is trained.
    pub vocab_size: usize,
    /// How text is cut into words.
    pub pre_tokenizer: String,
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self {
            file: None,
            vocab_size: 8192,
            pre_tokenizer: "smollm".to_owned(),
        }
    }
}

/// The model's shape, in Hugging Face's terms, or a model to begin from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// A model of the catalogue by its name, or one by its path from the recipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key-value heads.
    pub num_key_value_heads: usize,
    /// Longest sequence.
    pub context: usize,
    /// Base of the rotary embedding.
    pub rope_theta: f32,
    /// The head shares the embedding's weights.
    pub tie_word_embeddings: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            from: None,
            hidden_size: 0,
            intermediate_size: 0,
            num_hidden_layers: 0,
            num_attention_heads: 0,
            num_key_value_heads: 0,
            context: 0,
            rope_theta: 10_000.0,
            tie_word_embeddings: true,
        }
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Plain text; an empty line ends a document.
    Text,
    /// A JSON object a line, the text in its field `text`.
    Jsonl,
    /// A JSON object a line, a conversation in its field `messages` (OpenAI's form).
    Chat,
    /// A JSON object a line: `prompt`, and the answers `chosen` and `rejected`.
    Preference,
    /// A JSON object a line: `prompt` or `messages`, and how its `answer` is checked.
    Task,
}

/// A source of text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What stages call it.
    pub name: String,
    /// Its files, by their paths from the recipe; `*` stands for any part of a file's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Instead of files, a folder that `terang data prepare` made: by its path from the recipe, or one of the data
    /// folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<String>,
    /// What that folder is made from where it is not there, by its path from the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Sources of that folder that are taken; all that hold `form` where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// What they hold.
    pub form: Form,
    /// How often it is taken for once of the others; a part of one is taken by documents.
    #[serde(default = "one")]
    pub weight: f64,
    /// Its licence, for the lineage.
    #[serde(default)]
    pub licence: String,
    /// Where it is from, for the lineage.
    #[serde(default)]
    pub origin: String,
}

/// What kind of stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StageKind {
    /// Every token is learned from, documents follow each other.
    Pretrain,
    /// As `pretrain`, by another name in the lineage: better data, before fine-tuning.
    Midtrain,
    /// Conversations, of which the assistant's words alone are learned from.
    Sft,
    /// Pairs of answers, of which the better one is made likelier (DPO).
    Dpo,
    /// Tasks, whose answers are drawn, checked and rewarded (GRPO).
    Grpo,
}

impl StageKind {
    /// What it learns from.
    fn takes(self, form: Form) -> bool {
        match self {
            Self::Pretrain | Self::Midtrain => matches!(form, Form::Text | Form::Jsonl),
            Self::Sft => form == Form::Chat,
            Self::Dpo => form == Form::Preference,
            Self::Grpo => form == Form::Task,
        }
    }
}

/// Settings of a stage that compares answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dpo {
    /// How strongly the model is held to what it was.
    pub beta: f64,
}

impl Default for Dpo {
    fn default() -> Self {
        Self { beta: 0.1 }
    }
}

/// Settings of a stage that rewards answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grpo {
    /// Answers to each question.
    pub group: usize,
    /// Longest answer, in tokens.
    pub answer_tokens: usize,
    /// How freely answers are drawn.
    pub temperature: f64,
}

impl Default for Grpo {
    fn default() -> Self {
        Self {
            group: 8,
            answer_tokens: 32,
            temperature: 1.0,
        }
    }
}

/// Some steps on some data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What it is called.
    pub name: String,
    /// What kind.
    pub kind: StageKind,
    /// Names of sources.
    pub data: Vec<String>,
    /// Steps.
    pub steps: u64,
    /// Sequences a step; pairs or answers where it compares or rewards those.
    pub batch: usize,
    /// Those of a micro-batch; `batch / micro_batch` is a power of two.
    pub micro_batch: usize,
    /// Tokens of a sequence.
    pub sequence: usize,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: Settings,
    /// The learning rate's course.
    #[serde(default)]
    pub schedule: Schedule,
    /// Weight of the z-loss.
    #[serde(default)]
    pub z_loss: f32,
    /// Part of the documents that is kept for validation.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Steps between validations.
    #[serde(default = "default_every")]
    pub validate_every: u64,
    /// Activations are made again in the backward pass, for less memory.
    #[serde(default)]
    pub recompute: bool,
    /// How answers are compared.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dpo: Dpo,
    /// How answers are rewarded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub grpo: Grpo,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How often it is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// Steps between checkpoints.
    pub every: u64,
    /// Latest checkpoints that are kept.
    pub keep: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            every: 200,
            keep: 2,
        }
    }
}

fn one() -> f64 {
    1.0
}
fn default_validation() -> f64 {
    0.02
}
fn default_every() -> u64 {
    100
}

/// Most bytes of a recipe.
const BYTES_MAX: u64 = 1 << 20;

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`TrainError::File`] if it cannot be read, [`TrainError::Recipe`] if something in it is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |source| TrainError::File {
            path: path.to_owned(),
            source,
        };
        let meta = std::fs::metadata(path).map_err(wrong)?;
        if meta.len() > BYTES_MAX {
            return Err(recipe_error(
                path,
                format!("{} bytes, allowed {BYTES_MAX}", meta.len()),
            ));
        }
        let text = std::fs::read_to_string(path).map_err(wrong)?;
        Self::parse(path, &text)
    }

    /// As [`Self::read`], from text.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let recipe: Self = from_toml(text).map_err(|reason| recipe_error(path, reason))?;
        recipe
            .check()
            .map_err(|reason| recipe_error(path, reason))?;
        Ok(recipe)
    }

    /// Hugging Face's `config.json` of the model.
    pub fn config_json(&self, vocab_size: usize, bos: u32, eos: &[u32]) -> serde_json::Value {
        let m = &self.model;
        serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
            "vocab_size": vocab_size, "hidden_size": m.hidden_size,
            "intermediate_size": m.intermediate_size, "num_hidden_layers": m.num_hidden_layers,
            "num_attention_heads": m.num_attention_heads,
            "num_key_value_heads": m.num_key_value_heads,
            "head_dim": m.hidden_size / m.num_attention_heads, "hidden_act": "silu",
            "max_position_embeddings": m.context, "rms_norm_eps": 1e-5, "rope_theta": m.rope_theta,
            "tie_word_embeddings": m.tie_word_embeddings, "attention_bias": false, "mlp_bias": false,
            "bos_token_id": bos, "eos_token_id": eos,
        })
    }
}

fn recipe_error(path: &Path, reason: String) -> TrainError {
    TrainError::Recipe {
        path: path.to_owned(),
        reason,
    }
}
