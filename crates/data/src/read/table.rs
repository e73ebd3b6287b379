//! Tables: CSV, and Parquet by its record interface. A row becomes an object with the names of its columns.

use super::{Bomb, Item, LINE_MAX, Reading, Sink, UNPACKED_ALWAYS, damaged};
use crate::Result;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// Most columns of a table.
const COLUMNS_MAX: usize = 10_000;
/// A row group is unpacked a page at a time, but what it claims is held to this.
const GROUP_MAX: i64 = 4 << 30;

/// A reader that gives so many bytes a record, so that a quote which is never closed does not take the file
/// into memory.
struct Metered<R> {
    reader: R,
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        let left = self.left.get().checked_sub(n);
        self.left
            .set(left.ok_or_else(|| io::Error::other(TooLong))?);
        Ok(n)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a record of more than {LINE_MAX} bytes; is a quote never closed?")]
struct TooLong;

/// CSV, or values between tabs where the name says so; the first line has the names.
pub(super) fn csv(reading: &Reading<'_>, reader: &mut dyn BufRead, sink: Sink<'_>) -> Result<()> {
    let left = Rc::new(Cell::new(LINE_MAX));
    let metered = Metered {
        reader,
        left: Rc::clone(&left),
    };
    let is_tabs = reading.name.to_ascii_lowercase().contains(".tsv");
    let mut table = csv::ReaderBuilder::new()
        .delimiter(if is_tabs { b'\t' } else { b',' })
        .flexible(true)
        .from_reader(metered);
    let wrong = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error)
            if error
                .get_ref()
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Bomb>) =>
        {
            reading.wrong(&error)
        }
        csv::ErrorKind::Io(error) => damaged(&reading.name, &error.to_string()),
        other => damaged(&reading.name, &format!("{other:?}")),
    };
    let names = table.byte_headers().map_err(wrong)?;
    if names.len() > COLUMNS_MAX {
        let reason = format!("{} columns, allowed {COLUMNS_MAX}", names.len());
        return Err(damaged(&reading.name, &reason));
    }
    let names: Vec<String> = names
        .iter()
        .map(|name| {
            String::from_utf8_lossy(name)
                .trim_start_matches('\u{feff}')
                .to_owned()
        })
        .collect();
    let mut record = csv::ByteRecord::new();
    loop {
        left.set(LINE_MAX);
        if !table.read_byte_record(&mut record).map_err(wrong)? {
            return Ok(());
        }
        let mut row = Map::new();
        let mut is_text = true;
        for (name, value) in names.iter().zip(&record) {
            match std::str::from_utf8(value) {
                Ok(value) => drop(row.insert(name.clone(), Value::String(value.to_owned()))),
                Err(_) => is_text = false,
            }
        }
        sink(if is_text {
            Item::Value(Value::Object(row))
        } else {
            Item::Lost("not_utf8")
        })?;
    }
}

/// Parquet from a file.
pub(super) fn parquet(reading: &Reading<'_>, file: File, sink: Sink<'_>) -> Result<()> {
    rows(reading, file, sink)
}

/// Parquet from bytes that are at hand.
pub(super) fn parquet_bytes(reading: &Reading<'_>, data: &[u8], sink: Sink<'_>) -> Result<()> {
    let mut file = tempfile_of(data).map_err(|error| reading.wrong(&error))?;
    io::Seek::rewind(&mut file).map_err(|error| reading.wrong(&error))?;
    rows(reading, file, sink)
}

/// A file that has no name any more.
fn tempfile_of(data: &[u8]) -> io::Result<File> {
    let path = std::env::temp_dir().join(format!(
        "terang-parquet-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, data)?;
    let file = File::open(&path);
    std::fs::remove_file(&path)?;
    file
}

fn rows<R: ChunkReader + 'static>(reading: &Reading<'_>, file: R, sink: Sink<'_>) -> Result<()> {
    let wrong = |error: ParquetError| damaged(&reading.name, &error.to_string());
    let reader = SerializedFileReader::new(file).map_err(wrong)?;
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema();
    let allowed = i64::try_from(UNPACKED_ALWAYS.max(reading.size.saturating_mul(1000)))
        .unwrap_or(i64::MAX)
        .min(GROUP_MAX);
    for group in metadata.row_groups() {
        if group.columns().len() > COLUMNS_MAX || !(0..=allowed).contains(&group.total_byte_size())
        {
            let reason = format!(
                "a row group of {} columns and {} bytes, allowed {COLUMNS_MAX} and {allowed}",
                group.columns().len(),
                group.total_byte_size()
            );
            return Err(damaged(&reading.name, &reason));
        }
    }
    let wanted = projection(schema, reading.source.field.as_deref());
    for row in reader.get_row_iter(wanted).map_err(wrong)? {
        sink(Item::Value(object(&row.map_err(wrong)?)))?;
    }
    Ok(())
}

/// Only the columns that can hold what is looked for: the others need not be unpacked.
fn projection(schema: &Type, field: Option<&str>) -> Option<Type> {
    const KNOWN: [&str; 11] = [
        "text",
        "content",
        "messages",
        "conversations",
        "conversation",
        "instruction",
        "input",
        "context",
        "output",
        "response",
        "markdown",
    ];
    let first = field.map(|field| field.split('.').next().unwrap_or(field));
    let is_wanted = |name: &str| first.map_or_else(|| KNOWN.contains(&name), |first| first == name);
    let fields: Vec<_> = schema
        .get_fields()
        .iter()
        .filter(|field| is_wanted(field.name()))
        .cloned()
        .collect();
    if fields.is_empty() {
        return None;
    }
    Type::group_type_builder(schema.name())
        .with_fields(fields)
        .build()
        .ok()
}

fn object(row: &Row) -> Value {
    let fields = row.get_column_iter();
    Value::Object(
        fields
            .map(|(name, field)| (name.clone(), value(field)))
            .collect(),
    )
}

fn value(field: &Field) -> Value {
    match field {
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data())
            .map_or(Value::Null, |text| Value::String(text.to_owned())),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value).collect()),
        // Numbers and dates are no text.
        _ => Value::Null,
    }
}
