//! A recipe: everything that a training run depends on, in one TOML file.

use crate::optimizer::{Schedule, Settings};
use crate::{Result, TrainError};
use serde::{Deserialize, Serialize};
use std::path::Path;
use terang_data::config::{nearest, suggestion};

/// What to make, from what, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What the model is called.
    pub name: String,
    /// Of the initial values, and of the order of the data.
    #[serde(default)]
    pub seed: u64,
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
    /// Sequences a step.
    pub batch: usize,
    /// Sequences of a micro-batch; `batch / micro_batch` is a power of two.
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
/// Bounds that no model for this machine comes near.
const SIZE_MAX: usize = 1 << 20;
const BYTES_OF_RUN_MAX: u128 = 256 << 30;

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
        let recipe: Self = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map(|span| 1 + text[..span.start].matches('\n').count());
            let place = line
                .map(|line| format!("line {line}: "))
                .unwrap_or_default();
            recipe_error(
                path,
                format!("{place}{}{}", error.message(), suggestion(error.message())),
            )
        })?;
        recipe
            .check()
            .map_err(|reason| recipe_error(path, reason))?;
        Ok(recipe)
    }

    fn check(&self) -> std::result::Result<(), String> {
        self.check_model()?;
        if self.stage.is_empty() {
            return Err("stage: found none, allowed one or more ([[stage]])".to_owned());
        }
        for source in &self.data {
            if !(source.weight > 0.0 && source.weight <= 1000.0) {
                return Err(format!(
                    "data {}: weight: found {}, allowed above 0 to 1000",
                    source.name, source.weight
                ));
            }
            source
                .check()
                .map_err(|reason| format!("data {}: {reason}", source.name))?;
        }
        self.stage
            .iter()
            .try_for_each(|stage| self.check_stage(stage))
    }

    fn check_model(&self) -> std::result::Result<(), String> {
        let m = &self.model;
        if let Some(lora) = &self.lora {
            if m.from.is_none() {
                return Err(
                    "lora: there is no model to correct; name one with model.from".to_owned(),
                );
            }
            if lora.rank == 0 || lora.rank > terang_model::adapter::RANK_MAX {
                return Err(format!(
                    "lora.rank: found {}, allowed 1 to {}",
                    lora.rank,
                    terang_model::adapter::RANK_MAX
                ));
            }
            if !(lora.alpha > 0.0 && lora.alpha.is_finite()) {
                return Err(format!("lora.alpha: found {}, allowed above 0", lora.alpha));
            }
        }
        if m.from.is_some() {
            let shape = Model {
                from: m.from.clone(),
                ..Model::default()
            };
            if *m != shape || self.tokenizer != Tokenizer::default() {
                return Err(
                    "model.from: the model has its own shape and tokenizer; leave those out"
                        .to_owned(),
                );
            }
            return Ok(());
        }
        let sizes = [
            ("model.hidden_size", m.hidden_size),
            ("model.intermediate_size", m.intermediate_size),
            ("model.num_hidden_layers", m.num_hidden_layers),
            ("model.num_attention_heads", m.num_attention_heads),
            ("model.num_key_value_heads", m.num_key_value_heads),
            ("model.context", m.context),
        ];
        for (name, size) in sizes {
            if size == 0 || size > SIZE_MAX {
                return Err(format!("{name}: found {size}, allowed 1 to {SIZE_MAX}"));
            }
        }
        if !m.hidden_size.is_multiple_of(2 * m.num_attention_heads) {
            return Err(format!(
                "model.hidden_size: found {}, allowed a multiple of 2 x num_attention_heads ({})",
                m.hidden_size,
                2 * m.num_attention_heads
            ));
        }
        if !m.num_attention_heads.is_multiple_of(m.num_key_value_heads) {
            return Err(format!(
                "model.num_key_value_heads: found {}, allowed a divisor of num_attention_heads ({})",
                m.num_key_value_heads, m.num_attention_heads
            ));
        }
        Ok(())
    }

    /// What a step needs is more than any machine that this is for has.
    fn check_memory(&self, stage: &Stage) -> std::result::Result<(), String> {
        let m = &self.model;
        let n = |x: usize| x as u128;
        let (d, ffn, layers) = (
            n(m.hidden_size),
            n(m.intermediate_size),
            n(m.num_hidden_layers),
        );
        let parameters = 2 * n(self.tokenizer.vocab_size) * d + layers * (4 * d * d + 3 * d * ffn);
        // Weights, two moments and two sums of gradients; activations of each layer.
        let tokens = n(stage.micro_batch) * n(stage.sequence);
        let bytes = 4 * (5 * parameters + tokens * (layers * (6 * d + 2 * ffn) + 3 * ffn));
        if bytes > BYTES_OF_RUN_MAX {
            return Err(format!(
                "stage {}: it needs about {} GiB, allowed at most {}; make the model or the micro-batch smaller",
                stage.name,
                bytes >> 30,
                BYTES_OF_RUN_MAX >> 30
            ));
        }
        Ok(())
    }

    fn check_stage(&self, stage: &Stage) -> std::result::Result<(), String> {
        let name = &stage.name;
        if stage.data.is_empty() {
            return Err(format!(
                "stage {name}: data: found none, allowed names of [[data]]"
            ));
        }
        for wanted in &stage.data {
            let Some(source) = self.data.iter().find(|source| source.name == *wanted) else {
                let known: Vec<&str> = self
                    .data
                    .iter()
                    .map(|source| source.name.as_str())
                    .collect();
                let near = nearest(wanted, &known).map(|near| format!("; did you mean {near}?"));
                return Err(format!(
                    "stage {name}: data: found {wanted}, allowed {}{}",
                    known.join(", "),
                    near.unwrap_or_default()
                ));
            };
            if (stage.kind == StageKind::Sft) != (source.form == Form::Chat) {
                return Err(format!(
                    "stage {name}: data: {wanted} holds {}, which a stage of this kind cannot learn from",
                    if source.form == Form::Chat {
                        "conversations"
                    } else {
                        "plain text"
                    }
                ));
            }
        }
        if stage.micro_batch == 0
            || stage.batch == 0
            || !stage.batch.is_multiple_of(stage.micro_batch)
        {
            return Err(format!(
                "stage {name}: micro_batch: found {}, allowed a divisor of batch ({})",
                stage.micro_batch, stage.batch
            ));
        }
        if !(stage.batch / stage.micro_batch).is_power_of_two() {
            return Err(format!(
                "stage {name}: batch / micro_batch: found {}, allowed a power of two, so that gradients are \
                 summed in one tree",
                stage.batch / stage.micro_batch
            ));
        }
        if stage.sequence < 2 || (self.model.from.is_none() && stage.sequence > self.model.context)
        {
            return Err(format!(
                "stage {name}: sequence: found {}, allowed 2 to model.context ({})",
                stage.sequence, self.model.context
            ));
        }
        if stage.batch.saturating_mul(stage.sequence) > 1 << 26 {
            return Err(format!(
                "stage {name}: batch x sequence: allowed at most {} tokens",
                1 << 26
            ));
        }
        if stage.steps == 0 || stage.validate_every == 0 || self.checkpoint.every == 0 {
            return Err(format!(
                "stage {name}: steps, validate_every and checkpoint.every: found 0, allowed 1 or more"
            ));
        }
        if !(0.0..=0.5).contains(&stage.validation) {
            return Err(format!(
                "stage {name}: validation: found {}, allowed 0 to 0.5",
                stage.validation
            ));
        }
        self.check_memory(stage)?;
        let rate = stage.optimizer.learning_rate;
        if !(rate > 0.0 && rate <= 10.0) {
            return Err(format!(
                "stage {name}: optimizer.learning_rate: found {rate}, allowed above 0 to 10"
            ));
        }
        Ok(())
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

impl Source {
    fn check(&self) -> std::result::Result<(), String> {
        let Some(prepared) = &self.prepared else {
            if self.files.is_empty() {
                return Err("files: found none, allowed names of files, or prepared".to_owned());
            }
            if self.config.is_some() || !self.sources.is_empty() {
                return Err("config and sources: allowed beside prepared alone".to_owned());
            }
            return Ok(());
        };
        if !self.files.is_empty() {
            return Err("files and prepared: allowed one of them".to_owned());
        }
        let is_name = !prepared.is_empty() && !prepared.split('/').any(|part| part == "..");
        if !is_name {
            return Err(format!(
                "prepared: found {prepared}, allowed the path of a folder"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
name = "x"
[tokenizer]
vocab_size = 300
[model]
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 1
context = 64
[[data]]
name = "text"
files = ["a.txt"]
form = "text"
[[stage]]
name = "pretrain"
kind = "pretrain"
data = ["text"]
steps = 10
batch = 4
micro_batch = 1
sequence = 32
[stage.optimizer]
learning_rate = 0.01
"#;

    proptest::proptest! {
        /// Whatever stands there, it is read or refused.
        #[test]
        fn no_text_is_fatal(at in 0..GOOD.len(), cut in 0..40usize, put in "[ -~\\n]{0,12}") {
            let mut text = GOOD.to_owned();
            text.replace_range(at..(at + cut).min(GOOD.len()), &put);
            let _ = Recipe::parse(Path::new("r.toml"), &text);
        }
    }

    #[test]
    fn wrong_recipes_are_refused_by_name() {
        let path = Path::new("r.toml");
        assert!(Recipe::parse(path, GOOD).is_ok());
        let cases = [
            (
                "learning_rate = 0.01",
                "learning_rat = 0.01",
                "did you mean learning_rate?",
            ),
            (
                "data = [\"text\"]",
                "data = [\"texd\"]",
                "did you mean text?",
            ),
            ("micro_batch = 1", "micro_batch = 3", "micro_batch: found 3"),
            ("batch = 4\nmicro", "batch = 12\nmicro", "a power of two"),
            (
                "sequence = 32",
                "sequence = 65",
                "allowed 2 to model.context (64)",
            ),
            ("kind = \"pretrain\"", "kind = \"sft\"", "plain text"),
            (
                "kind = \"pretrain\"",
                "kind = \"pretrian\"",
                "did you mean pretrain?",
            ),
            ("hidden_size = 16", "hidden_size = 18", "a multiple of 2 x"),
            ("steps = 10", "steps = 0", "found 0"),
            (
                "learning_rate = 0.01",
                "learning_rate = nan",
                "learning_rate: found NaN",
            ),
            (
                "files = [\"a.txt\"]",
                "prepared = \"../x\"",
                "prepared: found ../x",
            ),
            (
                "files = [\"a.txt\"]",
                "files = [\"a.txt\"]\nconfig = \"d.toml\"",
                "beside prepared alone",
            ),
            ("files = [\"a.txt\"]", "", "files: found none"),
            ("name = \"x\"", "name = ", "line 2"),
            ("hidden_size = 16", "hidden_size = 1000000", "GiB"),
        ];
        for (from, to, expected) in cases {
            assert!(GOOD.contains(from), "{from}");
            let error = Recipe::parse(path, &GOOD.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.starts_with("r.toml: "),
                "{to}: {error}"
            );
        }
    }
}
