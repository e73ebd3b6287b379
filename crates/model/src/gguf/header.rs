//! The walk through a GGUF header: counts, keys and values, the tensor table.

use super::cursor::Cursor;
use super::metadata::{Entry, RawValue};
use super::value::{Value, ValueType};
use super::{DIMS_MAX, MAGIC, TensorInfo};
use crate::mapped::MappedFile;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use terang_kernels::DType;

/// Most keys; files of today have under a hundred.
const KEYS_MAX: u64 = 1 << 16;
/// Most tensors; files of today have some thousands.
const TENSORS_MAX: u64 = 1 << 16;
/// Longest key or tensor name in bytes; both are copied. The longest of today have some dozens.
const NAME_BYTES_MAX: usize = 256;
/// Deepest arrays in arrays.
const ARRAY_DEPTH_MAX: usize = 4;
const ALIGNMENT_KEY: &str = "general.alignment";
const ALIGNMENT_DEFAULT: usize = 32;
/// Data of typed tensors must be aligned for its widest element; wider than a huge page is absurd.
const ALIGNMENTS: std::ops::RangeInclusive<u32> = 8..=1 << 21;

/// What the walk finds.
pub(super) struct Header {
    pub(super) version: u32,
    /// Sorted by key.
    pub(super) entries: Vec<Entry>,
    /// Sorted by name.
    pub(super) tensors: Vec<TensorInfo>,
}

/// A tensor whose place is relative to the start of the data, which comes after the table.
struct TableRow {
    info: TensorInfo,
    offset: u64,
    size: usize,
}

pub(super) fn parse(map: &MappedFile) -> Result<Header> {
    let path = map.path();
    let mut cursor = Cursor::new(map);
    let version = parse_version(&mut cursor, path)?;
    let tensor_count = cursor.u64(|| "tensor count".into())?;
    let key_count = cursor.u64(|| "key count".into())?;
    // The shortest key takes 14 bytes, the shortest row of the table 33.
    check_count(
        path,
        "tensor count",
        tensor_count,
        TENSORS_MAX,
        cursor.left() / 33,
    )?;
    check_count(path, "key count", key_count, KEYS_MAX, cursor.left() / 14)?;

    let mut entries = Vec::new();
    for index in 0..key_count {
        entries.push(parse_entry(&mut cursor, path, index)?);
    }
    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let twice = |pair: &&[Entry]| pair[0].key == pair[1].key;
    if let Some(pair) = entries.windows(2).find(twice) {
        let key = &*pair[0].key;
        return Err(Error::invalid(path, key, "the key twice", "each key once"));
    }
    let alignment = alignment(map, &entries)?;

    let mut rows = Vec::new();
    for index in 0..tensor_count {
        rows.push(parse_row(&mut cursor, path, index)?);
    }
    let data_start = cursor.position().next_multiple_of(alignment);
    let tensors = place(map, rows, data_start, alignment)?;
    Ok(Header {
        version,
        entries,
        tensors,
    })
}

fn parse_version(cursor: &mut Cursor<'_>, path: &Path) -> Result<u32> {
    let magic: [u8; 4] = cursor.array(|| "magic".into())?;
    if magic != MAGIC {
        let found = format!("\"{}\"", magic.escape_ascii());
        return Err(Error::invalid(path, "magic", found, "\"GGUF\""));
    }
    let version = cursor.u32(|| "version".into())?;
    let supported = "versions 2 and 3, little endian";
    match version {
        2 | 3 => Ok(version),
        1 => Err(Error::unsupported(path, "version", version, supported)),
        _ if matches!(version.swap_bytes(), 1..=3) => {
            let found = format!("version {} in big endian", version.swap_bytes());
            Err(Error::unsupported(path, "version", found, supported))
        }
        _ => Err(Error::invalid(path, "version", version, supported)),
    }
}

fn check_count(path: &Path, field: &str, count: u64, max: u64, room: usize) -> Result<()> {
    if count > max {
        return Err(Error::invalid(path, field, count, format!("at most {max}")));
    }
    if count > room as u64 {
        let allowed = format!("at most {room}, for which the file has room");
        return Err(Error::invalid(path, field, count, allowed));
    }
    Ok(())
}

fn parse_name(
    cursor: &mut Cursor<'_>,
    path: &Path,
    field: impl Fn() -> String,
) -> Result<Range<usize>> {
    let name = cursor.text(&field)?;
    if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
        let found = format!("a name of {} bytes", name.len());
        let allowed = format!("1 to {NAME_BYTES_MAX} bytes");
        return Err(Error::invalid(path, field(), found, allowed));
    }
    Ok(name)
}

fn parse_entry(cursor: &mut Cursor<'_>, path: &Path, index: u64) -> Result<Entry> {
    let key = parse_name(cursor, path, || format!("key {index}"))?;
    let name = cursor.str(&key);
    let value = match parse_type(cursor, path, name)? {
        ValueType::Array => parse_array(cursor, path, name, 1)?,
        ValueType::String => RawValue::Scalar(ValueType::String, cursor.text(|| name.to_owned())?),
        value_type => {
            let size = value_type.size().unwrap_or(0) as u64;
            RawValue::Scalar(value_type, cursor.range(size, || name.to_owned())?)
        }
    };
    Ok(Entry {
        key: name.into(),
        value,
    })
}

fn parse_type(cursor: &mut Cursor<'_>, path: &Path, key: &str) -> Result<ValueType> {
    let id = cursor.u32(|| format!("{key}: type"))?;
    ValueType::from_id(id)
        .ok_or_else(|| Error::invalid(path, format!("{key}: type"), id, "0 to 12"))
}

fn parse_array(cursor: &mut Cursor<'_>, path: &Path, key: &str, depth: usize) -> Result<RawValue> {
    let item_type = parse_type(cursor, path, key)?;
    let count = cursor.u64(|| format!("{key}: length"))?;
    // The shortest string takes 8 bytes, the shortest array 12.
    let item_bytes = item_type.size().unwrap_or(match item_type {
        ValueType::String => 8,
        _ => 12,
    });
    let room = cursor.left() / item_bytes;
    let Some(len) = usize::try_from(count).ok().filter(|len| *len <= room) else {
        let found = format!("{count} items");
        let allowed = format!("at most {room}, for which the header has room");
        return Err(Error::invalid(path, key, found, allowed));
    };
    let start = cursor.position();
    match item_type {
        ValueType::String => {
            for index in 0..len {
                cursor.string(|| format!("{key}[{index}]"))?;
            }
        }
        ValueType::Array if depth == ARRAY_DEPTH_MAX => {
            let allowed = format!("at most {ARRAY_DEPTH_MAX}");
            return Err(Error::invalid(path, key, "arrays nested deeper", allowed));
        }
        ValueType::Array => {
            for _ in 0..len {
                parse_array(cursor, path, key, depth + 1)?;
            }
        }
        _ => {
            cursor.range((len * item_bytes) as u64, || key.to_owned())?;
        }
    }
    Ok(RawValue::Array {
        item_type,
        len,
        range: start..cursor.position(),
    })
}

fn alignment(map: &MappedFile, entries: &[Entry]) -> Result<usize> {
    let Ok(found) = entries.binary_search_by(|entry| (*entry.key).cmp(ALIGNMENT_KEY)) else {
        return Ok(ALIGNMENT_DEFAULT);
    };
    let found = match &entries[found].value {
        RawValue::Scalar(ValueType::U32, range) => {
            match Value::scalar(ValueType::U32, &map.bytes()[range.clone()]) {
                Some(Value::U32(x)) if x.is_power_of_two() && ALIGNMENTS.contains(&x) => {
                    return Ok(x as usize);
                }
                Some(value) => value.to_string(),
                None => "nothing".into(),
            }
        }
        RawValue::Scalar(value_type, _) => format!("a value of type {}", value_type.name()),
        RawValue::Array { .. } => "an array".into(),
    };
    let (min, max) = ALIGNMENTS.into_inner();
    let allowed = format!("a u32 that is a power of two from {min} to {max}");
    Err(Error::invalid(map.path(), ALIGNMENT_KEY, found, allowed))
}

fn parse_row(cursor: &mut Cursor<'_>, path: &Path, index: u64) -> Result<TableRow> {
    let name_range = parse_name(cursor, path, || format!("name of tensor {index}"))?;
    let name = cursor.str(&name_range);
    let field = |part: &str| format!("{name}: {part}");
    let rank = cursor.u32(|| field("dimensions"))? as usize;
    if !(1..=DIMS_MAX).contains(&rank) {
        let allowed = format!("1 to {DIMS_MAX}");
        return Err(Error::invalid(path, field("dimensions"), rank, allowed));
    }
    let mut shape = [1; DIMS_MAX];
    // Innermost first in the file.
    for dim in shape[..rank].iter_mut().rev() {
        let size = cursor.u64(|| field("dimension"))?;
        *dim = usize::try_from(size)
            .ok()
            .filter(|size| (1..=isize::MAX as usize).contains(size))
            .ok_or_else(|| {
                let allowed = format!("1 to {}", isize::MAX);
                Error::invalid(path, field("dimension"), size, allowed)
            })?;
    }
    let dtype = parse_dtype(cursor, path, name)?;
    let cols = shape[rank - 1];
    let Some(row_bytes) = dtype.row_bytes(cols) else {
        let allowed = format!("a multiple of {} for {dtype}", dtype.block_len());
        return Err(Error::invalid(path, field("row length"), cols, allowed));
    };
    let size = shape[..rank - 1]
        .iter()
        .try_fold(row_bytes, |size, dim| size.checked_mul(*dim))
        .ok_or_else(|| {
            let found = format!("{:?} {dtype} elements", &shape[..rank]);
            Error::invalid(path, field("size"), found, "what fits into 64 bits")
        })?;
    let offset = cursor.u64(|| field("offset"))?;
    Ok(TableRow {
        info: TensorInfo {
            name: name.into(),
            dtype,
            shape,
            rank,
            data: 0..0,
        },
        offset,
        size,
    })
}

/// The number that stands for a storage type.
pub(super) const fn type_id(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q5_0 => 6,
        DType::Q5_1 => 7,
        DType::Q8_0 => 8,
        DType::Q2_K => 10,
        DType::Q3_K => 11,
        DType::Q4_K => 12,
        DType::Q5_K => 13,
        DType::Q6_K => 14,
        DType::IQ4_NL => 20,
        DType::BF16 => 30,
        DType::MXFP4 => 39,
    }
}

fn parse_dtype(cursor: &mut Cursor<'_>, path: &Path, tensor: &str) -> Result<DType> {
    let id = cursor.u32(|| format!("{tensor}: type"))?;
    if let Some(dtype) = DType::ALL.into_iter().find(|dtype| type_id(*dtype) == id) {
        return Ok(dtype);
    }
    let unsupported = match id {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        40 => "NVFP4",
        41 => "Q1_0",
        _ => {
            let field = format!("{tensor}: type");
            return Err(Error::invalid(
                path,
                field,
                id,
                "a type number of the format",
            ));
        }
    };
    let supported = DType::ALL.map(DType::name).join(", ");
    let field = format!("{tensor}: type");
    Err(Error::unsupported(path, field, unsupported, supported))
}

/// Turns offsets into ranges of the file; sorts by name.
fn place(
    map: &MappedFile,
    rows: Vec<TableRow>,
    data_start: usize,
    alignment: usize,
) -> Result<Vec<TensorInfo>> {
    let path = map.path();
    let room = map.bytes().len().saturating_sub(data_start);
    let mut tensors = Vec::with_capacity(rows.len());
    for TableRow {
        mut info,
        offset,
        size,
    } in rows
    {
        let name = &*info.name;
        if !offset.is_multiple_of(alignment as u64) {
            let allowed = format!("a multiple of {alignment}");
            return Err(Error::invalid(
                path,
                format!("{name}: offset"),
                offset,
                allowed,
            ));
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let Some(end) = start.checked_add(size).filter(|end| *end <= room) else {
            let found = format!("{size} bytes from byte {offset} of the data");
            let allowed = format!("at most {room} bytes of data, where the file ends");
            return Err(Error::invalid(path, name, found, allowed));
        };
        info.data = data_start + start..data_start + end;
        tensors.push(info);
    }
    tensors.sort_unstable_by_key(|tensor| tensor.data.start);
    if let Some(pair) = tensors
        .windows(2)
        .find(|pair| pair[0].data.end > pair[1].data.start)
    {
        let found = format!("data that overlaps {}", pair[0].name);
        let name = &*pair[1].name;
        return Err(Error::invalid(path, name, found, "data of its own"));
    }
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let twice = |pair: &&[TensorInfo]| pair[0].name == pair[1].name;
    if let Some(pair) = tensors.windows(2).find(twice) {
        let name = &*pair[0].name;
        return Err(Error::invalid(
            path,
            name,
            "the name twice",
            "each name once",
        ));
    }
    Ok(tensors)
}
