//! Fields that chat and text completions share, and their way into the engine's request.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};
use terang_engine::{Constraint, Request, Sampling};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::Order;
use crate::keys::Caller;
use crate::models::Loaded;

/// How tokens are chosen, as the wire says it.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    pub(super) top_k: Option<i64>,
    pub(super) min_p: Option<f32>,
    pub(super) presence_penalty: Option<f32>,
    pub(super) frequency_penalty: Option<f32>,
    pub(super) repetition_penalty: Option<f32>,
    pub(super) logit_bias: Option<&'a BTreeMap<String, f32>>,
    pub(super) seed: Option<i64>,
}

impl Wanted<'_> {
    /// What the request leaves open is as the model's publisher says.
    pub(super) fn sampling(&self, model: &Loaded) -> ApiResult<Sampling> {
        let default = &model.sampling;
        let top_k = match self.top_k {
            None => default.top_k,
            // vLLM's way to say: all.
            Some(-1) => 0,
            Some(top_k) => usize::try_from(top_k).map_err(|_| {
                ApiError::invalid("top_k", format!("found {top_k}, allowed -1 or more"))
            })?,
        };
        Ok(Sampling {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_k,
            top_p: self.top_p.unwrap_or(default.top_p),
            min_p: self.min_p.unwrap_or(default.min_p),
            repetition_penalty: self
                .repetition_penalty
                .unwrap_or(default.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(default.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(default.frequency_penalty),
            logit_bias: self.logit_bias()?,
            seed: self.seed.map(|seed| seed as u64),
        })
    }

    fn logit_bias(&self) -> ApiResult<Vec<(u32, f32)>> {
        let entries = self.logit_bias.into_iter().flatten();
        entries
            .map(|(id, bias)| {
                let id = id.parse().map_err(|_| {
                    ApiError::invalid("logit_bias", "allowed are token ids as names of the fields")
                })?;
                Ok((id, *bias))
            })
            .collect()
    }
}

/// The answer's length. Over the context is a mistake worth telling; beyond what the prompt leaves
/// of it is not: the answer then ends with `length`.
pub(super) fn max_tokens(
    field: &str,
    wanted: Option<u64>,
    model: &Loaded,
) -> ApiResult<Option<usize>> {
    let context = model.engine.context_len();
    match wanted {
        None => Ok(None),
        Some(tokens) if tokens <= context as u64 => Ok(Some(tokens as usize)),
        Some(tokens) => Err(ApiError::invalid(
            field,
            format!("found {tokens}, but this model's context holds {context} tokens"),
        )),
    }
}

/// How many answers.
pub(super) fn count(app: &App, n: Option<u64>) -> ApiResult<usize> {
    let most = app.config.max_n;
    match n.unwrap_or(1) {
        n if (1..=most as u64).contains(&n) => Ok(n as usize),
        n => Err(ApiError::invalid(
            "n",
            format!("found {n}, allowed 1 to {most}"),
        )),
    }
}

/// Refuses fields that are not supported, unless they ask for what happens anyway.
pub(crate) fn refuse(fields: &[(&str, Option<&Value>, &[Value])]) -> ApiResult<()> {
    for (name, value, harmless) in fields {
        let Some(value) = *value else { continue };
        let empty = value.is_null() || *value == json!([]) || *value == json!({});
        if !empty && !harmless.contains(value) {
            return Err(ApiError::unsupported(name, "not supported by this server"));
        }
    }
    Ok(())
}

/// vLLM's `structured_outputs`: exactly one of its forms.
pub(super) fn structured(value: Option<&Value>) -> ApiResult<Option<Constraint>> {
    const FIELD: &str = "structured_outputs";
    let wrong = || {
        ApiError::invalid(
            FIELD,
            "allowed is an object with one of json, json_object, regex, grammar, choice",
        )
    };
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let object = value.as_object().ok_or_else(wrong)?;
    let mut given = object.iter().filter(|(_, value)| !value.is_null());
    let (Some((form, value)), None) = (given.next(), given.next()) else {
        return Err(wrong());
    };
    let constraint = match (form.as_str(), value) {
        ("json", Value::Object(_) | Value::Bool(_)) => Constraint::JsonSchema(value.clone()),
        ("json_object", Value::Bool(true)) => Constraint::JsonObject,
        ("regex", Value::String(regex)) => Constraint::Regex(regex.clone()),
        ("grammar", Value::String(grammar)) => Constraint::Lark(grammar.clone()),
        ("choice", Value::Array(choices)) if !choices.is_empty() => {
            let texts: Option<Vec<String>> = choices
                .iter()
                .map(|choice| choice.as_str().map(|text| Value::from(text).to_string()))
                .collect();
            Constraint::Lark(format!("start: {}", texts.ok_or_else(wrong)?.join(" | ")))
        }
        _ => return Err(wrong()),
    };
    Ok(Some(constraint))
}

/// Who asks: a key's users wait in line separately, and a salt of theirs separates their caches.
pub(super) fn caller(mut caller: Caller, user: Option<&str>, salt: Option<&str>) -> Caller {
    let mix = |base: u64, text: &str| {
        // Not a secret, only a number that differs; the key's own part cannot be left out.
        let mut hasher = DefaultHasher::new();
        (base, text).hash(&mut hasher);
        hasher.finish().max(1)
    };
    if let Some(user) = user {
        caller.client = mix(caller.client, user);
    }
    if let Some(salt) = salt {
        caller.cache_salt = mix(caller.cache_salt, salt);
    }
    caller
}

/// Puts an order together.
pub(super) fn order(
    model: std::sync::Arc<Loaded>,
    request: Request,
    n: usize,
    tools: Vec<String>,
    caller: Caller,
) -> Order {
    Order {
        model,
        request: Request {
            cache_salt: caller.cache_salt,
            ..request
        },
        n,
        tools: tools.into(),
        caller,
    }
}

/// A name for an answer that no other has.
pub(crate) fn new_id(prefix: &str) -> String {
    let mut bits = [0; 16];
    // Without random bits the clock has to do: an identity is no secret.
    if getrandom::fill(&mut bits).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        bits = now.map_or(0, |since| since.as_nanos()).to_le_bytes();
    }
    format!("{prefix}{:032x}", u128::from_le_bytes(bits))
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
