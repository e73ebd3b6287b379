//! What an answer must look like, token by token: JSON schemas, regular expressions and grammars,
//! compiled by `llguidance`.
//!
//! A constraint is compiled on the thread that submits the request, so that one that is wrong or
//! grows without bound is that call's error. While the answer is generated, a [`Matcher`] rules out
//! the tokens that cannot go on from where it stands; which these are depends on the constraint and
//! the tokens before alone. A token that ends the turn is allowed exactly where the answer may end.

#[cfg(test)]
mod timing;
mod vocabulary;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{InferenceCapabilities, SimpleVob, TokEnv};
use llguidance::{ParserFactory, panic_utils};
use serde_json::{Value, json};
use terang_model::tokenizer::Tokenizer;

use crate::{Constraint, Error, Result};

/// Longest schema or grammar, in bytes of its text.
pub const GRAMMAR_BYTES_MAX: usize = 256 << 10;
/// Longest regular expression in bytes.
pub const REGEX_BYTES_MAX: usize = 16 << 10;
/// Deepest nesting of brackets: what parsing it takes of the stack.
const NESTING_MAX: usize = 128;
/// Stack of the thread that compiles.
const STACK_BYTES: usize = 16 << 20;
/// White space between the parts of JSON, where a schema says nothing of it. Bounded, since a small
/// model that has nothing to say would go on with it for ever.
const JSON_WHITESPACE: &str = r"[\x20\x0A\x0D\x09]{1,20}";
/// Where a schema holds options for the compiler.
const SCHEMA_OPTIONS: &str = "x-guidance";
/// Options by which answers would pass that are no instances of the schema.
const LOOSENING: [&str; 2] = ["lenient", "coerce_one_of"];
/// Tokens that most rules for text allow together, so that they are not looked at one by one. Each
/// of these is contained in one of the compiler's own classes.
const WORDS: [&str; 2] = ["[A-Za-z]{1,10}", " [A-Za-z]{1,9}"];
/// Longest reason that is passed on.
const REASON_CHARS_MAX: usize = 300;

/// Bounds on time and memory: a grammar that needs more is refused, or its answer fails.
fn limits() -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 100_000,
        step_max_items: 50_000,
        max_items_in_row: 2_000,
        // A state takes one or two kilobytes, of each answer.
        max_lexer_states: 12_000,
        max_grammar_size: 300_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

/// Compiles constraints for one model.
pub(crate) struct Grammars {
    tokenizer: Arc<Tokenizer>,
    vocab_size: usize,
    /// Built when the first constraint comes, since most models never see any.
    factory: OnceLock<Result<ParserFactory, String>>,
}

impl Grammars {
    pub(crate) fn new(tokenizer: Arc<Tokenizer>, vocab_size: usize) -> Self {
        Self {
            tokenizer,
            vocab_size,
            factory: OnceLock::new(),
        }
    }

    /// A matcher at the beginning of an answer. `ends`: tokens that may end the answer besides the
    /// model's own.
    pub(crate) fn compile(&self, constraint: &Constraint, ends: &[u32]) -> Result<Matcher> {
        let grammar = grammar(constraint)?;
        // Parsing is recursive; the caller's stack may be a small one.
        let compiled = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let compile = || {
                let factory = self.factory()?;
                // The factory is only read.
                let compile = AssertUnwindSafe(|| factory.create_parser(grammar));
                let parser = panic_utils::catch_unwind(compile);
                parser.map_err(|error| Error::constraint(&error))
            };
            let thread = thread.spawn_scoped(scope, compile).map_err(Error::Thread)?;
            let died = || Error::constraint(&"the compiler died");
            thread.join().unwrap_or_else(|_| Err(died()))
        })?;
        let mut ends: Vec<u32> = ends.to_vec();
        ends.retain(|&id| self.tokenizer.is_special(id));
        let inner = llguidance::Matcher::new(Ok(compiled));
        match inner.get_error() {
            Some(reason) => Err(Error::constraint(&reason)),
            None => Ok(Matcher {
                inner,
                model_end: self.tokenizer.eos_ids().first().copied(),
                ends,
            }),
        }
    }

    fn factory(&self) -> Result<&ParserFactory> {
        let build = || {
            let build = AssertUnwindSafe(|| {
                let env: TokEnv = vocabulary::env(&self.tokenizer, self.vocab_size);
                let caps = InferenceCapabilities::default();
                let mut slices = SlicedBiasComputer::general_slices();
                slices.extend(WORDS.map(String::from));
                let mut factory = ParserFactory::new(&env, caps, &slices)?;
                factory.quiet();
                *factory.limits_mut() = limits();
                Ok(factory)
            });
            panic_utils::catch_unwind(build).map_err(|error| error.to_string())
        };
        let factory = self.factory.get_or_init(build).as_ref();
        factory.map_err(|reason| Error::constraint(&format!("the vocabulary: {reason}")))
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

/// The constraint in the compiler's form, if its size is within bounds.
fn grammar(constraint: &Constraint) -> Result<TopLevelGrammar> {
    let grammar = match constraint {
        Constraint::JsonObject => json_schema(json!({ "type": "object" })),
        Constraint::JsonSchema(schema) => {
            check_depth(schema)?;
            check_exact(schema)?;
            bounded(
                "bytes of JSON schema",
                schema.to_string().len(),
                GRAMMAR_BYTES_MAX,
            )?;
            json_schema(schema.clone())
        }
        Constraint::Regex(regex) => {
            bounded("bytes of regular expression", regex.len(), REGEX_BYTES_MAX)?;
            bounded("nested brackets", nesting(regex), NESTING_MAX)?;
            GrammarWithLexer::from_regex(regex)
        }
        Constraint::Lark(lark) => {
            bounded("bytes of grammar", lark.len(), GRAMMAR_BYTES_MAX)?;
            bounded("nested brackets", nesting(lark), NESTING_MAX)?;
            GrammarWithLexer::from_lark(lark.clone())
        }
    };
    Ok(TopLevelGrammar::from_grammar(grammar))
}

fn json_schema(mut schema: Value) -> GrammarWithLexer {
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    if let Some(fields) = schema.as_object_mut()
        && !fields.contains_key(SCHEMA_OPTIONS)
    {
        let options = json!({ "whitespace_pattern": JSON_WHITESPACE });
        fields.insert(SCHEMA_OPTIONS.into(), options);
    }
    GrammarWithLexer::from_json_schema(schema)
}

fn bounded(what: &str, found: usize, most: usize) -> Result<()> {
    if found > most {
        return Err(Error::invalid(
            "constraint",
            format_args!("{found} {what}"),
            format!("at most {most}"),
        ));
    }
    Ok(())
}

/// What a schema says is kept to as a whole, or it is refused.
fn check_exact(schema: &Value) -> Result<()> {
    let options = &schema[SCHEMA_OPTIONS];
    let loosening = LOOSENING.iter().find(|name| options[**name] == true);
    loosening.map_or(Ok(()), |name| {
        let reason =
            format!("{SCHEMA_OPTIONS}: with {name} answers would not be held to the schema");
        Err(Error::constraint(&reason))
    })
}

/// Walks without recursion, since it is the depth that is in question.
fn check_depth(schema: &Value) -> Result<()> {
    let mut level: Vec<&Value> = vec![schema];
    let mut depth = 0;
    while !level.is_empty() {
        bounded("levels of JSON schema", depth, NESTING_MAX)?;
        depth += 1;
        level = level
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect::<Vec<_>>(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            })
            .collect();
    }
    Ok(())
}

/// The deepest nesting of brackets, those in strings and character classes included.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

impl Error {
    fn constraint(reason: &dyn fmt::Display) -> Self {
        let reason = reason.to_string();
        let first_line = reason.lines().next().unwrap_or_default();
        Self::Constraint {
            reason: first_line.chars().take(REASON_CHARS_MAX).collect(),
        }
    }
}

/// Where an answer stands in its constraint.
pub(crate) struct Matcher {
    inner: llguidance::Matcher,
    /// One of the model's end tokens; all are allowed at the same places.
    model_end: Option<u32>,
    /// Further tokens that are allowed where the answer may end.
    ends: Vec<u32>,
}

impl Matcher {
    /// The same constraint for another answer, which shares nothing with this one.
    pub(crate) fn fork(&self) -> Self {
        Self {
            inner: self.inner.deep_clone(),
            model_end: self.model_end,
            ends: self.ends.clone(),
        }
    }

    /// Rules out the tokens that cannot come next.
    pub(crate) fn mask(&mut self, logits: &mut [f32]) -> Result<()> {
        let mut allowed = self
            .inner
            .compute_mask_or_eos()
            .map_err(|error| Error::constraint(&error))?;
        let may_end = self
            .model_end
            .is_some_and(|id| (id as usize) < allowed.len() && allowed.is_allowed(id));
        if may_end {
            for &id in &self.ends {
                allowed.allow_token(id);
            }
        }
        apply(&allowed, logits);
        Ok(())
    }

    /// Whether tokens other than those that end the answer are allowed by a mask that was applied.
    pub(crate) fn is_open(logits: &[f32], ends: &[u32]) -> bool {
        let allowed = (0..).zip(logits).filter(|&(_, &x)| x > f32::NEG_INFINITY);
        let mut others = allowed.filter(|(id, _)| ends.binary_search(id).is_err());
        others.next().is_some()
    }

    /// Goes on by a token. Gives whether nothing can follow.
    pub(crate) fn accept(&mut self, id: u32) -> Result<bool> {
        self.inner
            .consume_token(id)
            .map_err(|error| Error::constraint(&error))?;
        Ok(self.inner.is_stopped())
    }

    /// Tokens that must come next, one after another, where there is no choice.
    pub(crate) fn forced(&mut self) -> Vec<u32> {
        self.inner.compute_ff_tokens()
    }

    /// How many of `ids` could come next, one after another.
    pub(crate) fn valid_len(&mut self, ids: &[u32]) -> usize {
        // A matcher that fails here will say so when the next mask is computed.
        self.inner.validate_tokens(ids).unwrap_or(0)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher").finish_non_exhaustive()
    }
}

/// Gives tokens that are not allowed a probability of zero.
fn apply(allowed: &SimpleVob, logits: &mut [f32]) {
    const BITS: usize = u32::BITS as usize;
    const FEW: usize = 16;
    let words = allowed.as_slice().iter().copied();
    // Logits that no token of the vocabulary belongs to are never allowed.
    for (word, logits) in words
        .chain(std::iter::repeat(0))
        .zip(logits.chunks_mut(BITS))
    {
        // Most words have all, none or few; those are not gone through bit by bit. The last chunk
        // may be shorter than a word.
        match word.count_ones() as usize {
            0 => logits.fill(f32::NEG_INFINITY),
            1..=FEW => {
                let mut kept = [0.0; FEW];
                for (bit, kept) in ones(word).zip(&mut kept) {
                    *kept = logits.get(bit).copied().unwrap_or_default();
                }
                logits.fill(f32::NEG_INFINITY);
                for (bit, kept) in ones(word).zip(kept) {
                    if let Some(logit) = logits.get_mut(bit) {
                        *logit = kept;
                    }
                }
            }
            _ => {
                for bit in ones(!word) {
                    if let Some(logit) = logits.get_mut(bit) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// The places of a word's set bits.
fn ones(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_applied_to_the_bit() {
        for len in [1_usize, 31, 32, 33, 100, 130] {
            let few = |id: u32| [0, 5, 31, 32, 64, 99].contains(&id);
            let most = |id: u32| id < 100 && ![0, 5, 31, 32, 64, 99].contains(&id);
            let all = |id: u32| id < 96;
            for wanted in [&few as &dyn Fn(u32) -> bool, &most, &all, &|_| false] {
                let mut allowed = SimpleVob::alloc(100);
                for id in (0..100).filter(|&id| wanted(id)) {
                    allowed.allow_token(id);
                }
                let mut logits: Vec<f32> = (0..len).map(|id| id as f32).collect();
                apply(&allowed, &mut logits);
                for (id, logit) in logits.iter().enumerate() {
                    let expected = if wanted(id as u32) {
                        id as f32
                    } else {
                        f32::NEG_INFINITY
                    };
                    assert_eq!(*logit, expected, "{id} of {len}");
                }
            }
        }
    }

    #[test]
    fn no_option_loosens_a_schema() {
        let with = |options: Value| {
            grammar(&Constraint::JsonSchema(json!({
                "oneOf": [{ "type": "integer" }, { "type": "number" }], "x-guidance": options,
            })))
        };
        for name in LOOSENING {
            let error = with(json!({ name: true })).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        assert!(with(json!({ "lenient": false, "whitespace_flexible": false })).is_ok());
    }

    #[test]
    fn nesting_counts_the_deepest() {
        assert_eq!(nesting("a(b[c]{d})(e)"), 2);
        assert_eq!(nesting(")))((("), 3);
    }
}
