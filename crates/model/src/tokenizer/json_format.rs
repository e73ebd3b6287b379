//! The parts of `tokenizer.json` (Hugging Face `tokenizers`) that this crate reads.
//!
//! The file is hostile until proven otherwise: unknown fields are skipped without being stored,
//! lists have a most number of elements, and the two large tables (`vocab`, `merges`) stay in the
//! file's text until they are streamed into their final form.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Most added tokens; Gemma 3 has 6,400.
pub(super) const ADDED_TOKENS_MAX: usize = 1 << 16;
/// Most components in a sequence of normalizers, pre-tokenizers or decoders.
pub(super) const COMPONENTS_MAX: usize = 64;
/// Most merges; the largest in use have about 515 thousand.
pub(super) const MERGES_MAX: usize = 800_000;

/// The whole file.
#[derive(Debug, Deserialize)]
pub(super) struct TokenizerFile<'a> {
    #[serde(borrow, default)]
    pub(super) added_tokens: Bounded<AddedTokenEntry<'a>, ADDED_TOKENS_MAX>,
    #[serde(borrow)]
    pub(super) normalizer: Option<Component<'a>>,
    #[serde(borrow)]
    pub(super) pre_tokenizer: Option<Component<'a>>,
    #[serde(borrow)]
    pub(super) post_processor: Option<Component<'a>>,
    #[serde(borrow)]
    pub(super) decoder: Option<Component<'a>>,
    #[serde(borrow)]
    pub(super) model: Model<'a>,
}

/// One element of `added_tokens`.
#[derive(Debug, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the format's independent switches"
)]
pub(super) struct AddedTokenEntry<'a> {
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) content: Cow<'a, str>,
    #[serde(default)]
    pub(super) special: bool,
    #[serde(default)]
    pub(super) single_word: bool,
    #[serde(default)]
    pub(super) lstrip: bool,
    #[serde(default)]
    pub(super) rstrip: bool,
    #[serde(default)]
    pub(super) normalized: bool,
}

/// The merging model.
#[derive(Debug, Deserialize)]
pub(super) struct Model<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) vocab: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) merges: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) unk_token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) continuing_subword_prefix: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) end_of_word_suffix: Option<Cow<'a, str>>,
    pub(super) fuse_unk: Option<bool>,
    pub(super) byte_fallback: Option<bool>,
    pub(super) ignore_merges: Option<bool>,
    pub(super) max_input_chars_per_word: Option<usize>,
}

/// A normalizer, pre-tokenizer, post-processor or decoder: the union of their fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Component<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) normalizers: Bounded<Component<'a>, COMPONENTS_MAX>,
    #[serde(borrow)]
    pub(super) pretokenizers: Bounded<Component<'a>, COMPONENTS_MAX>,
    #[serde(borrow)]
    pub(super) processors: Bounded<Component<'a>, COMPONENTS_MAX>,
    #[serde(borrow)]
    pub(super) decoders: Bounded<Component<'a>, COMPONENTS_MAX>,
    #[serde(borrow)]
    pub(super) pattern: Option<PatternEntry<'a>>,
    #[serde(borrow)]
    pub(super) content: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) prepend: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) prefix: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) behavior: Option<Cow<'a, str>>,
    pub(super) invert: Option<bool>,
    pub(super) add_prefix_space: Option<bool>,
    pub(super) use_regex: Option<bool>,
    pub(super) individual_digits: Option<bool>,
    #[serde(borrow)]
    pub(super) replacement: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) prepend_scheme: Option<Cow<'a, str>>,
    pub(super) split: Option<bool>,
    pub(super) strip_left: Option<bool>,
    pub(super) strip_right: Option<bool>,
    pub(super) start: Option<u32>,
    pub(super) clean_text: Option<bool>,
    pub(super) handle_chinese_chars: Option<bool>,
    pub(super) strip_accents: Option<bool>,
    pub(super) lowercase: Option<bool>,
    #[serde(borrow)]
    pub(super) single: Bounded<TemplateItem<'a>, COMPONENTS_MAX>,
}

/// `{"String": …}` or `{"Regex": …}`.
#[derive(Debug, Deserialize)]
pub(super) struct PatternEntry<'a> {
    #[serde(rename = "String", borrow)]
    pub(super) string: Option<Cow<'a, str>>,
    #[serde(rename = "Regex", borrow)]
    pub(super) regex: Option<Cow<'a, str>>,
}

/// One element of a post-processor's `single`.
#[derive(Debug, Deserialize)]
pub(super) struct TemplateItem<'a> {
    #[serde(rename = "SpecialToken", borrow)]
    pub(super) special_token: Option<TemplateToken<'a>>,
}

/// A control token of a post-processor.
#[derive(Debug, Deserialize)]
pub(super) struct TemplateToken<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
}

/// A list of at most `MAX` elements; a longer one is an error as soon as it is too long.
#[derive(Debug)]
pub(super) struct Bounded<T, const MAX: usize>(pub(super) Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
            type Value = Bounded<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MAX} elements")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Bounded(Vec::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if list.len() == MAX {
                        return Err(A::Error::custom(format!("a list of over {MAX} elements")));
                    }
                    list.push(element);
                }
                Ok(Bounded(list))
            }
        }
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

/// A string that borrows from the file where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Calls `on_token` with every entry of a vocabulary; its error message stops the reading.
pub(super) fn each_token(
    json: &RawValue,
    on_token: impl FnMut(&str, u32) -> Result<(), String>,
) -> serde_json::Result<()> {
    struct Vocabulary<F>(F);
    impl<'de, F: FnMut(&str, u32) -> Result<(), String>> Visitor<'de> for Vocabulary<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object of tokens and their ids")
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((token, id)) = map.next_entry::<Text<'de>, u32>()? {
                (self.0)(&token.0, id).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(json.get()).deserialize_map(Vocabulary(on_token))
}

/// Calls `on_merge` with the two sides of every merge; its error message stops the reading.
pub(super) fn each_merge(
    json: &RawValue,
    on_merge: impl FnMut(&str, &str) -> Result<(), String>,
) -> serde_json::Result<()> {
    struct Merges<F>(F);
    impl<'de, F: FnMut(&str, &str) -> Result<(), String>> Visitor<'de> for Merges<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of merges")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(merge) = seq.next_element::<Merge<'de>>()? {
                let (left, right) = match &merge {
                    Merge::Line(line) => line
                        .split_once(' ')
                        .filter(|(_, right)| !right.contains(' '))
                        .ok_or_else(|| A::Error::custom("a merge without its one space"))?,
                    Merge::Pair(left, right) => (left.as_ref(), right.as_ref()),
                };
                (self.0)(left, right).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(json.get()).deserialize_seq(Merges(on_merge))
}

/// `"a b"` or `["a", "b"]`.
enum Merge<'a> {
    Line(Cow<'a, str>),
    Pair(Cow<'a, str>, Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Merge<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MergeVisitor;
        impl<'de> Visitor<'de> for MergeVisitor {
            type Value = Merge<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge as one string or as a pair")
            }
            fn visit_borrowed_str<E>(self, line: &'de str) -> Result<Self::Value, E> {
                Ok(Merge::Line(Cow::Borrowed(line)))
            }
            fn visit_str<E>(self, line: &str) -> Result<Self::Value, E> {
                Ok(Merge::Line(Cow::Owned(line.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let left = seq.next_element::<Text<'de>>()?;
                let right = seq.next_element::<Text<'de>>()?;
                match (left, right, seq.next_element::<Text<'de>>()?) {
                    (Some(left), Some(right), None) => Ok(Merge::Pair(left.0, right.0)),
                    _ => Err(A::Error::custom("a merge that is not a pair")),
                }
            }
        }
        deserializer.deserialize_any(MergeVisitor)
    }
}
