//! What a recipe may hold.

use super::{Form, Model, Recipe, Source, Stage, StageKind, Tokenizer};
use terang_data::config::nearest;

/// Bounds that no model for this machine comes near.
const SIZE_MAX: usize = 1 << 20;
const BYTES_OF_RUN_MAX: u128 = 256 << 30;

impl Recipe {
    pub(super) fn check(&self) -> std::result::Result<(), String> {
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
            if !stage.kind.takes(source.form) {
                let holds = match source.form {
                    Form::Text | Form::Jsonl => "plain text",
                    Form::Chat => "conversations",
                    Form::Preference => "pairs of answers",
                    Form::Task => "tasks",
                };
                return Err(format!(
                    "stage {name}: data: {wanted} holds {holds}, which a stage of this kind cannot learn from"
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
        check_answers(stage)?;
        self.check_memory(stage)?;
        let rate = stage.optimizer.learning_rate;
        if !(rate > 0.0 && rate <= 10.0) {
            return Err(format!(
                "stage {name}: optimizer.learning_rate: found {rate}, allowed above 0 to 10"
            ));
        }
        Ok(())
    }
}

/// Settings of stages that compare or reward answers.
fn check_answers(stage: &Stage) -> std::result::Result<(), String> {
    let wrong = |name: &str, found: &dyn std::fmt::Display, allowed: &str| {
        Err(format!(
            "stage {}: {name}: found {found}, allowed {allowed}",
            stage.name
        ))
    };
    let is_answers = matches!(stage.kind, StageKind::Dpo | StageKind::Grpo);
    if is_answers && stage.z_loss != 0.0 {
        return wrong(
            "z_loss",
            &stage.z_loss,
            "0 where answers are compared or rewarded",
        );
    }
    if !(stage.dpo.beta > 0.0 && stage.dpo.beta <= 100.0) {
        return wrong("dpo.beta", &stage.dpo.beta, "above 0 to 100");
    }
    let grpo = &stage.grpo;
    if !(grpo.temperature > 0.0 && grpo.temperature <= 10.0) {
        return wrong("grpo.temperature", &grpo.temperature, "above 0 to 10");
    }
    if stage.kind != StageKind::Grpo {
        return Ok(());
    }
    if grpo.group < 2 || !stage.micro_batch.is_multiple_of(grpo.group) {
        let allowed = format!(
            "2 and more, a divisor of micro_batch ({})",
            stage.micro_batch
        );
        return wrong("grpo.group", &grpo.group, &allowed);
    }
    if grpo.answer_tokens == 0 || grpo.answer_tokens >= stage.sequence {
        let allowed = format!("1 and more, below sequence ({})", stage.sequence);
        return wrong("grpo.answer_tokens", &grpo.answer_tokens, &allowed);
    }
    Ok(())
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
        if matches!(self.form, Form::Preference | Form::Task) {
            return Err("form: prepared data hold text and chat".to_owned());
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
