//! Wire types that several parts of the API share.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::generate::Usage;

/// One text or several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOrMany(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Vec<String>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(vec![text.to_owned()])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_any(Texts).map(Self)
    }
}

/// What to go on from or to look at: texts or tokens, one or several.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Inputs {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u32>>),
}

/// [`OneOrMany`] as the API's document describes it.
#[derive(ToSchema)]
#[schema(as = OneOrMany)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum OneOrManySchema {
    /// One text.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// [`Inputs`] as the API's document describes it.
#[derive(ToSchema)]
#[schema(as = Inputs)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum InputsSchema {
    /// One text.
    Text(String),
    /// Several.
    Texts(Vec<String>),
    /// The tokens of one text.
    Tokens(Vec<u32>),
    /// Of several.
    TokenLists(Vec<Vec<u32>>),
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// An element of the list, which says what the list is of.
        enum Item {
            Text(String),
            Token(u32),
            Tokens(Vec<u32>),
        }
        impl<'de> Deserialize<'de> for Item {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct One;
                impl<'de> Visitor<'de> for One {
                    type Value = Item;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string, a token id or a list of token ids")
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<Item, E> {
                        Ok(Item::Text(text.to_owned()))
                    }
                    fn visit_u64<E: de::Error>(self, id: u64) -> Result<Item, E> {
                        let id = u32::try_from(id);
                        id.map(Item::Token)
                            .map_err(|_| E::custom("token ids are below 2^32"))
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
                        let mut ids = Vec::new();
                        while let Some(id) = seq.next_element()? {
                            ids.push(id);
                        }
                        Ok(Item::Tokens(ids))
                    }
                }
                deserializer.deserialize_any(One)
            }
        }
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Inputs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of strings, or lists of token ids")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Inputs, E> {
                Ok(Inputs::Texts(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Inputs, A::Error> {
                let mixed = || de::Error::custom("one list holds either strings or token ids");
                let mut inputs = match seq.next_element()? {
                    None => return Ok(Inputs::Texts(Vec::new())),
                    Some(Item::Text(text)) => Inputs::Texts(vec![text]),
                    Some(Item::Tokens(ids)) => Inputs::Tokens(vec![ids]),
                    Some(Item::Token(id)) => {
                        let mut ids = vec![id];
                        while let Some(id) = seq.next_element()? {
                            ids.push(id);
                        }
                        return Ok(Inputs::Tokens(vec![ids]));
                    }
                };
                while let Some(item) = seq.next_element()? {
                    match (&mut inputs, item) {
                        (Inputs::Texts(texts), Item::Text(text)) => texts.push(text),
                        (Inputs::Tokens(lists), Item::Tokens(ids)) => lists.push(ids),
                        _ => return Err(mixed()),
                    }
                }
                Ok(inputs)
            }
        }
        deserializer.deserialize_any(All)
    }
}

/// What a stream holds besides the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamOptions {
    /// End the stream with the tokens used.
    pub(crate) include_usage: Option<bool>,
    /// Accepted; nothing is padded.
    #[allow(dead_code, reason = "nothing is padded either way")]
    pub(crate) include_obfuscation: Option<bool>,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct UsageWire {
    /// Of the prompt.
    pub(crate) prompt_tokens: usize,
    /// Of all answers.
    pub(crate) completion_tokens: usize,
    /// Of both.
    pub(crate) total_tokens: usize,
    /// More about the prompt's.
    pub(crate) prompt_tokens_details: PromptTokensDetails,
}

/// Tokens used, in the events of a stream.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum UsageSoFar {
    /// Not told yet.
    Untold(()),
    /// In the last event.
    Told(UsageWire),
}

/// More about the prompt's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PromptTokensDetails {
    /// Those that need not be read again.
    pub(crate) cached_tokens: usize,
}

impl From<Usage> for UsageWire {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            prompt_tokens_details: PromptTokensDetails {
                cached_tokens: usage.cached_tokens,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(json: &str) -> Result<Inputs, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn inputs_have_four_forms() {
        let texts = |texts: &[&str]| {
            Ok(Inputs::Texts(
                texts.iter().map(ToString::to_string).collect(),
            ))
        };
        assert_eq!(inputs(r#""a""#), texts(&["a"]));
        assert_eq!(inputs(r#"["a", "b"]"#), texts(&["a", "b"]));
        assert_eq!(inputs("[1, 2]"), Ok(Inputs::Tokens(vec![vec![1, 2]])));
        assert_eq!(
            inputs("[[1], [2, 3]]"),
            Ok(Inputs::Tokens(vec![vec![1], vec![2, 3]]))
        );
        for wrong in [
            "7",
            r#"["a", 1]"#,
            r#"[1, "a"]"#,
            "[[1], 2]",
            "[-1]",
            "[4294967296]",
            "{}",
        ] {
            assert!(inputs(wrong).is_err(), "{wrong}");
        }
    }
}
