//! Typed access to a GGUF file's keys and values. Errors name the file, the key, what stands there
//! and what may.

use super::value::{Array, FromValue, Numbers, Strings, Value, ValueType};
use crate::mapped::MappedFile;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Keys and values of a GGUF file, borrowed from the map.
#[derive(Debug)]
pub struct Metadata {
    map: Arc<MappedFile>,
    /// Sorted by key.
    entries: Vec<Entry>,
}

/// One key and where its value lies.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// A copy, so that the order of keys holds even if the file is rewritten.
    pub(super) key: Box<str>,
    pub(super) value: RawValue,
}

/// Where a value lies.
#[derive(Clone, Debug)]
pub(super) enum RawValue {
    /// A number, a boolean, or the bytes of a string.
    Scalar(ValueType, Range<usize>),
    /// `len` items in the range.
    Array {
        item_type: ValueType,
        len: usize,
        range: Range<usize>,
    },
}

impl Metadata {
    pub(super) fn new(map: Arc<MappedFile>, entries: Vec<Entry>) -> Self {
        Self { map, entries }
    }

    /// The file, for messages.
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// There are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Value<'_>)> {
        self.entries
            .iter()
            .map(|entry| (&*entry.key, self.decode(entry)))
    }

    /// The key is there.
    pub fn contains(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// The value of `key`, whatever its type.
    pub fn value(&self, key: &str) -> Option<Value<'_>> {
        let found = self.entries.binary_search_by(|entry| (*entry.key).cmp(key));
        Some(self.decode(&self.entries[found.ok()?]))
    }

    /// The value of `key` as `T`; an error when it is absent or of another type.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T> {
        self.get_opt(key)?
            .ok_or_else(|| Error::invalid(self.path(), key, "nothing", T::ALLOWED))
    }

    /// The value of `key` as `T`, `None` when it is absent; an error when it is of another type.
    pub fn get_opt<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        match T::from_value(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::invalid(
                self.path(),
                key,
                describe(value),
                T::ALLOWED,
            )),
        }
    }

    /// An integer of any integer type.
    pub fn u32(&self, key: &str) -> Result<u32> {
        self.get(key)
    }

    /// An integer of any integer type.
    pub fn u64(&self, key: &str) -> Result<u64> {
        self.get(key)
    }

    /// An integer of any integer type.
    pub fn usize(&self, key: &str) -> Result<usize> {
        self.get(key)
    }

    /// A floating-point number.
    pub fn f32(&self, key: &str) -> Result<f32> {
        self.get(key)
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.get(key)
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.get(key)
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Strings<'_>> {
        self.get(key)
    }

    /// An array of numbers or booleans.
    pub fn numbers(&self, key: &str) -> Result<Numbers<'_>> {
        self.get(key)
    }

    /// An array of integers, each of which fits into 64 bits with sign.
    pub fn ints(&self, key: &str) -> Result<impl ExactSizeIterator<Item = i64>> {
        let numbers = self.numbers(key)?;
        let as_i64 = |value: Value<'_>| value.as_int().and_then(|x| i64::try_from(x).ok());
        if let Some((index, value)) = numbers
            .iter()
            .enumerate()
            .find(|(_, x)| as_i64(*x).is_none())
        {
            let field = format!("{key}[{index}]");
            return Err(Error::invalid(
                self.path(),
                field,
                describe(value),
                i64::ALLOWED,
            ));
        }
        Ok(numbers.iter().map(move |value| as_i64(value).unwrap_or(0)))
    }

    /// An array of floating-point numbers.
    pub fn floats(&self, key: &str) -> Result<impl ExactSizeIterator<Item = f32>> {
        let array: Array<'_> = self.get(key)?;
        let is_float = matches!(array.item_type(), ValueType::F32 | ValueType::F64);
        let Some(numbers) = array.numbers().filter(|_| is_float) else {
            let found = describe(Value::Array(array));
            let allowed = "an array of floating-point numbers";
            return Err(Error::invalid(self.path(), key, found, allowed));
        };
        Ok(numbers.iter().map(|x| f32::from_value(x).unwrap_or(0.0)))
    }

    fn decode<'a>(&'a self, entry: &'a Entry) -> Value<'a> {
        match &entry.value {
            RawValue::Scalar(value_type, range) => {
                let bytes = &self.map.bytes()[range.clone()];
                // The range is as long as the type says.
                Value::scalar(*value_type, bytes).unwrap_or(Value::U8(0))
            }
            RawValue::Array {
                item_type,
                len,
                range,
            } => Value::Array(Array {
                path: self.map.path(),
                key: &entry.key,
                item_type: *item_type,
                len: *len,
                bytes: &self.map.bytes()[range.clone()],
            }),
        }
    }
}

/// A value with its type, for messages.
fn describe(value: Value<'_>) -> String {
    match value {
        Value::Str(text) => format!("the string {text:.80?}"),
        Value::F32(_) | Value::F64(_) => format!("the floating-point number {value}"),
        Value::Bool(_) => format!("the boolean {value}"),
        Value::Array(_) => value.to_string(),
        _ => format!("the integer {value}"),
    }
}
