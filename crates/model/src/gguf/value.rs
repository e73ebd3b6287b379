//! Values of GGUF metadata, borrowed from the map.

use crate::{Error, Result};
use std::path::Path;

/// Type of a value, with the number that stands for it in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(
    missing_docs,
    reason = "the variants are the format's own list of types"
)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    /// The type of that number.
    pub const fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::String,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of a value, where they are fixed.
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// The name for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug)]
#[expect(
    missing_docs,
    reason = "the variants are the format's own list of types"
)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    Str(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// A value of fixed size from its bytes, or a string.
    pub(super) fn scalar(value_type: ValueType, bytes: &'a [u8]) -> Option<Self> {
        Some(match value_type {
            ValueType::U8 => Self::U8(*bytes.first()?),
            ValueType::I8 => Self::I8(*bytes.first()? as i8),
            ValueType::Bool => Self::Bool(*bytes.first()? != 0),
            ValueType::U16 => Self::U16(u16::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::I16 => Self::I16(i16::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::U32 => Self::U32(u32::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::I32 => Self::I32(i32::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::F32 => Self::F32(f32::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::U64 => Self::U64(u64::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::I64 => Self::I64(i64::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::F64 => Self::F64(f64::from_le_bytes(*bytes.first_chunk()?)),
            ValueType::String => Self::Str(std::str::from_utf8(bytes).unwrap_or_default()),
            ValueType::Array => return None,
        })
    }

    /// The value as a whole number, whatever its integer type.
    pub fn as_int(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(x) => x.into(),
            Self::I8(x) => x.into(),
            Self::U16(x) => x.into(),
            Self::I16(x) => x.into(),
            Self::U32(x) => x.into(),
            Self::I32(x) => x.into(),
            Self::U64(x) => x.into(),
            Self::I64(x) => x.into(),
            _ => return None,
        })
    }
}

/// A short form for messages and listings; arrays as their type and length.
impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::U8(x) => x.fmt(f),
            Self::I8(x) => x.fmt(f),
            Self::U16(x) => x.fmt(f),
            Self::I16(x) => x.fmt(f),
            Self::U32(x) => x.fmt(f),
            Self::I32(x) => x.fmt(f),
            Self::U64(x) => x.fmt(f),
            Self::I64(x) => x.fmt(f),
            Self::F32(x) => x.fmt(f),
            Self::F64(x) => x.fmt(f),
            Self::Bool(x) => x.fmt(f),
            Self::Str(x) => x.fmt(f),
            Self::Array(x) => write!(f, "array of {} {}", x.len, x.item_type.name()),
        }
    }
}

/// An array as it lies in the file. Its items are decoded when they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    pub(super) path: &'a Path,
    pub(super) key: &'a str,
    pub(super) item_type: ValueType,
    pub(super) len: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Type of the items.
    pub fn item_type(&self) -> ValueType {
        self.item_type
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The items, if they are strings.
    pub fn strings(self) -> Option<Strings<'a>> {
        (self.item_type == ValueType::String).then_some(Strings {
            array: self,
            rest: self.bytes,
            next: 0,
        })
    }

    /// The items, if they are numbers or booleans.
    pub fn numbers(self) -> Option<Numbers<'a>> {
        let size = self.item_type.size()?;
        Some(Numbers {
            item_type: self.item_type,
            size,
            bytes: self.bytes,
        })
    }
}

/// The strings of an array, in order. Items are bytes, since vocabularies exist whose tokens are
/// not UTF-8; [`Strings::utf8`] checks them.
#[derive(Clone, Debug)]
pub struct Strings<'a> {
    array: Array<'a>,
    rest: &'a [u8],
    next: usize,
}

impl<'a> Strings<'a> {
    /// The strings as UTF-8; the error names file, key and index.
    pub fn utf8(self) -> impl Iterator<Item = Result<&'a str>> {
        let Array { path, key, .. } = self.array;
        self.enumerate().map(move |(index, bytes)| {
            std::str::from_utf8(bytes).map_err(|_| {
                let found = bytes.escape_ascii().to_string();
                Error::invalid(path, format!("{key}[{index}]"), found, "UTF-8")
            })
        })
    }
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.array.len {
            return None;
        }
        // Lengths were checked on opening; a file rewritten since then ends the walk instead.
        let (len, rest) = self.rest.split_first_chunk()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (string, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        self.next += 1;
        Some(string)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.array.len - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Strings<'_> {}

/// The numbers of an array.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    item_type: ValueType,
    size: usize,
    bytes: &'a [u8],
}

impl<'a> Numbers<'a> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// There are no items.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The item at `index`.
    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        let start = index.checked_mul(self.size)?;
        Value::scalar(
            self.item_type,
            self.bytes.get(start..start.checked_add(self.size)?)?,
        )
    }

    /// All items.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let Self {
            item_type,
            size,
            bytes,
        } = *self;
        bytes
            .chunks_exact(size)
            .map(move |bytes| Value::scalar(item_type, bytes).unwrap_or(Value::U8(0)))
    }
}

/// What [`Metadata::get`](super::Metadata::get) can give.
pub trait FromValue<'a>: Sized {
    /// What the file may hold, for messages.
    const ALLOWED: &'static str;
    /// The value, if it is of a fitting type and in range.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

macro_rules! from_integer {
    ($($type:ty: $allowed:literal),*) => {$(
        impl FromValue<'_> for $type {
            const ALLOWED: &'static str = $allowed;
            fn from_value(value: Value<'_>) -> Option<Self> {
                value.as_int()?.try_into().ok()
            }
        }
    )*};
}
from_integer!(
    u32: "an integer from 0 to 4294967295",
    i32: "an integer from -2147483648 to 2147483647",
    u64: "an integer from 0 to 18446744073709551615",
    i64: "an integer of 64 bits with sign",
    usize: "an integer from 0 on"
);

impl FromValue<'_> for f32 {
    const ALLOWED: &'static str = "a floating-point number";
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::F32(x) => Some(x),
            Value::F64(x) => Some(x as Self),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    const ALLOWED: &'static str = "a boolean";
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(x) => Some(x),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const ALLOWED: &'static str = "a string";
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Str(x) => Some(x),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for Array<'a> {
    const ALLOWED: &'static str = "an array";
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Array(x) => Some(x),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for Strings<'a> {
    const ALLOWED: &'static str = "an array of strings";
    fn from_value(value: Value<'a>) -> Option<Self> {
        Array::from_value(value)?.strings()
    }
}

impl<'a> FromValue<'a> for Numbers<'a> {
    const ALLOWED: &'static str = "an array of numbers";
    fn from_value(value: Value<'a>) -> Option<Self> {
        Array::from_value(value)?.numbers()
    }
}
