//! Chat templates: the model's own Jinja template, sandboxed and bounded.
//!
//! A template comes from a model file and is hostile until proven otherwise. It can reach nothing
//! but the conversation it is given and the clock; each step and each byte is paid for from limits
//! that depend only on the conversation's size. What it prints is what Hugging Face's
//! `apply_chat_template` prints.

mod budget;
mod clock;
mod eval;
mod filters;
mod functions;
mod guard;
mod load;
mod methods;
mod operators;
mod predicates;
mod python;
mod value;

use crate::tokenizer::Tokenizer;
use crate::{Error, Result};
use budget::{Budget, Failure, Outcome};
use clock::Civil;
use eval::Interpreter;
use guard::{Guards, UnusedChar};
use indexmap::IndexMap;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::rc::Rc;
use value::{DEPTH_MAX, Key, Value};

/// Stack for parsing and evaluating; nesting is bounded so that this is enough.
const STACK_BYTES: usize = 16 << 20;

/// A conversation with what its template may want to see besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatInput {
    /// Messages as in `OpenAI`'s API: objects with `role`, `content` and, where they apply,
    /// `tool_calls`, `tool_call_id`, `name`, `reasoning_content`.
    pub messages: Vec<Json>,
    /// Tool definitions as in `OpenAI`'s API.
    pub tools: Vec<Json>,
    /// End with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Further variables of the template (`enable_thinking`, …).
    pub extra: serde_json::Map<String, Json>,
}

/// What one rendering may use. The parts for each byte and value of the conversation come on top,
/// so that a long conversation does not run into limits made for a hostile template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Evaluation steps; a statement or an operator is one, 32 bytes copied or compared another.
    pub steps: u64,
    /// Bytes taken in all, freed or not.
    pub memory_bytes: usize,
    /// Bytes of output.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 2_000_000,
            memory_bytes: 24 << 20,
            output_bytes: 1 << 20,
        }
    }
}

impl Limits {
    const STEPS_PER_VALUE: u64 = 2_000;
    const STEPS_PER_BYTE: u64 = 20;
    const MEMORY_PER_BYTE: usize = 200;
    const OUTPUT_PER_BYTE: usize = 4;
}

/// A prompt that a chat template wrote.
///
/// It remembers which control tokens' texts are the template's own and which came from the
/// conversation; [`Tokenizer::encode_chat`] takes the one for tokens and the other for text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    marked: String,
    guard: Option<char>,
}

impl Rendered {
    /// The text without guards, and the byte places in it that had one before them, ascending.
    pub(crate) fn unguarded(&self) -> (Cow<'_, str>, Vec<usize>) {
        let Some(guard) = self.guard else {
            return (Cow::Borrowed(&self.marked), Vec::new());
        };
        let mut text = String::with_capacity(self.marked.len());
        let mut places = Vec::new();
        for (i, piece) in self.marked.split(guard).enumerate() {
            if i > 0 {
                places.push(text.len());
            }
            text.push_str(piece);
        }
        (Cow::Owned(text), places)
    }

    /// The prompt as text.
    pub fn text(&self) -> String {
        self.unguarded().0.into_owned()
    }
}

/// A model's chat template.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    source: String,
    /// `bos_token` and the like.
    variables: Vec<(&'static str, String)>,
    guards: Guards,
    clock_unix_seconds: Option<i64>,
}

impl ChatTemplate {
    /// Checks that the template can be parsed. The tokenizer gives `bos_token` and its like, and
    /// the control tokens that text of a conversation must not become.
    pub fn new(source: &str, tokenizer: &Tokenizer) -> Result<Self> {
        let source = load::prepare(source)?;
        let variables = [
            ("bos_token", tokenizer.bos()),
            ("eos_token", tokenizer.eos()),
            ("unk_token", tokenizer.unknown()),
            ("pad_token", tokenizer.padding()),
        ];
        let variables = variables
            .into_iter()
            .filter_map(|(name, id)| Some((name, tokenizer.token_text(id?)?)))
            .collect();
        let guards = Guards::new(tokenizer.special_texts().map(str::to_owned).collect())
            .map_err(|reason| Error::Template { reason })?;
        let template = Self {
            source,
            variables,
            guards,
            clock_unix_seconds: None,
        };
        on_large_stack(|| load::parse(&template.source).map(|_| ()))?;
        Ok(template)
    }

    /// Stops the clock that `strftime_now` reads, at seconds since 1970 in UTC.
    #[must_use]
    pub fn with_clock(mut self, unix_seconds: i64) -> Self {
        self.clock_unix_seconds = Some(unix_seconds);
        self
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Writes the prompt for a conversation.
    pub fn render(&self, input: &ChatInput, limits: &Limits) -> Result<Rendered> {
        check_roles(&input.messages)?;
        let mut scan = Scan::new();
        scan.unused.see(&self.source);
        for text in self.guards.texts() {
            scan.unused.see(text);
        }
        scan.input(input)?;
        let guard = scan.unused.find().ok_or_else(|| Error::Template {
            reason: "the conversation uses up all noncharacters".to_owned(),
        })?;
        let bytes = scan.bytes;
        let steps = limits
            .steps
            .saturating_add(Limits::STEPS_PER_VALUE.saturating_mul(scan.values as u64))
            .saturating_add(Limits::STEPS_PER_BYTE.saturating_mul(bytes as u64));
        let memory = limits
            .memory_bytes
            .saturating_add(Limits::MEMORY_PER_BYTE.saturating_mul(bytes));
        let output = limits
            .output_bytes
            .saturating_add(Limits::OUTPUT_PER_BYTE.saturating_mul(bytes));
        let now = self
            .clock_unix_seconds
            .map_or_else(Civil::now, Civil::from_unix_seconds);
        let marked = on_large_stack(|| {
            let template = load::parse(&self.source)?;
            let mut budget = Budget::new(steps, memory);
            let variables = self.variables(input, guard, &mut budget)?;
            Interpreter::new(budget, output, now).run(&template, variables)
        })?;
        Ok(Rendered {
            marked,
            guard: Some(guard),
        })
    }

    fn variables(
        &self,
        input: &ChatInput,
        guard: char,
        budget: &mut Budget,
    ) -> Outcome<IndexMap<Rc<str>, Value>> {
        let import = Import {
            guards: &self.guards,
            guard,
        };
        let mut variables = IndexMap::new();
        for (name, text) in &self.variables {
            variables.insert(Rc::from(*name), Value::str(text));
        }
        let mut messages = Vec::new();
        for message in &input.messages {
            messages.push(import.message(message, budget)?);
        }
        variables.insert(Rc::from("messages"), Value::list(messages, budget)?);
        let tools = if input.tools.is_empty() {
            Value::None
        } else {
            import.list(&input.tools, budget)?
        };
        variables.insert(Rc::from("tools"), tools);
        variables.insert(Rc::from("documents"), Value::None);
        let add_generation_prompt = Value::Bool(input.add_generation_prompt);
        variables.insert(Rc::from("add_generation_prompt"), add_generation_prompt);
        for (name, value) in &input.extra {
            variables.insert(Rc::from(name.as_str()), import.value(value, budget)?);
        }
        Ok(variables)
    }
}

/// A role is written between parts of control tokens by some templates (`<|{{ role }}|>`), so it
/// may only be a plain word.
fn check_roles(messages: &[Json]) -> Result<()> {
    const ROLE_BYTES_MAX: usize = 64;
    for message in messages {
        let role = &message["role"];
        let plain = role.as_str().is_some_and(|role| {
            !role.is_empty()
                && role.len() <= ROLE_BYTES_MAX
                && role
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        });
        if !plain {
            let role: String = role.to_string().chars().take(80).collect();
            return Err(Error::Template {
                reason: format!("a message's role is {role}, allowed are words such as \"user\""),
            });
        }
    }
    Ok(())
}

/// Runs on a thread whose stack is large enough for the deepest nesting that the limits allow.
fn on_large_stack<T: Send>(work: impl FnOnce() -> Outcome<T> + Send) -> Result<T> {
    let result = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("chat template".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        match thread {
            Ok(thread) => match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            },
            Err(e) => Err(Failure::new(format!("no thread: {e}"))),
        }
    });
    result.map_err(|failure| {
        // Parts of the reason are the template's own words.
        let reason: String = failure
            .reason
            .chars()
            .flat_map(|c| {
                let escaped = c.is_control().then(|| c.escape_default());
                let plain = escaped.is_none().then_some(c);
                escaped.into_iter().flatten().chain(plain)
            })
            .collect();
        Error::Template {
            reason: match failure.line {
                Some(line) => format!("line {line}: {reason}"),
                None => reason,
            },
        }
    })
}

/// Measures a conversation and sees which characters it uses.
struct Scan {
    unused: UnusedChar,
    values: usize,
    bytes: usize,
}

impl Scan {
    fn new() -> Self {
        Self {
            unused: UnusedChar::new(),
            values: 0,
            bytes: 0,
        }
    }

    fn input(&mut self, input: &ChatInput) -> Result<()> {
        for value in input.messages.iter().chain(&input.tools) {
            self.value(value, 0)?;
        }
        for (key, value) in &input.extra {
            self.text(key);
            self.value(value, 0)?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.bytes += text.len();
        self.unused.see(text);
    }

    fn value(&mut self, value: &Json, depth: u32) -> Result<()> {
        if depth >= DEPTH_MAX {
            return Err(Error::Template {
                reason: format!("the conversation nests over {DEPTH_MAX} deep"),
            });
        }
        self.values += 1;
        self.bytes += size_of::<Value>();
        match value {
            Json::String(text) => self.text(text),
            Json::Array(items) => {
                for item in items {
                    self.value(item, depth + 1)?;
                }
            }
            Json::Object(entries) => {
                for (key, value) in entries {
                    self.text(key);
                    self.value(value, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Brings the conversation's values in, guarded.
struct Import<'g> {
    guards: &'g Guards,
    guard: char,
}

impl Import<'_> {
    fn text(&self, text: &str) -> Rc<str> {
        match self.guards.apply(text, self.guard) {
            Some(guarded) => Rc::from(guarded),
            None => Rc::from(text),
        }
    }

    fn value(&self, value: &Json, budget: &mut Budget) -> Outcome<Value> {
        Ok(match value {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Value::Int(i128::from(int)),
                (None, Some(int)) => Value::Int(i128::from(int)),
                (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Value::Str(self.text(text)),
            Json::Array(items) => self.list(items, budget)?,
            Json::Object(entries) => self.map(entries, false, budget)?,
        })
    }

    fn list(&self, items: &[Json], budget: &mut Budget) -> Outcome<Value> {
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            list.push(self.value(item, budget)?);
        }
        Value::list(list, budget)
    }

    /// `role_plain`: the entry `role` has been checked and is taken as it is.
    fn map(
        &self,
        entries: &serde_json::Map<String, Json>,
        role_plain: bool,
        budget: &mut Budget,
    ) -> Outcome<Value> {
        let mut map = IndexMap::with_capacity(entries.len());
        for (key, value) in entries {
            let value = match value {
                Json::String(role) if role_plain && key == "role" => Value::str(role),
                other => self.value(other, budget)?,
            };
            map.insert(Key::Str(self.text(key)), value);
        }
        Value::map(map, budget)
    }

    fn message(&self, message: &Json, budget: &mut Budget) -> Outcome<Value> {
        match message {
            Json::Object(entries) => self.map(entries, true, budget),
            other => self.value(other, budget),
        }
    }
}
