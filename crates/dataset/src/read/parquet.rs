//! Parquet by its record interface: rows of nested columns to JSON values. Damaged files can make
//! the decoder panic; that is caught here and becomes a counted problem.

use std::cell::Cell;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use super::{Payload, ROW_BYTES_MAX, RawRow, RowReader};
use crate::problem::{RowProblem, RowSource};

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is inside a decoder whose panics are caught and become counted problems;
/// a program's panic hook asks, so that it reports only what nobody catches.
pub fn catches_panics() -> bool {
    IS_GUARDED.get()
}

/// Calls the decoder; `None` when it panicked.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    IS_GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work)).ok();
    IS_GUARDED.set(false);
    outcome
}

/// Opens a parquet file; `Err` is the sentence why it cannot be read.
pub(super) fn parquet_reader(path: &Path, file: u32) -> Result<Box<dyn RowReader>, String> {
    let opened = guarded(|| {
        let input = File::open(path).map_err(|error| error.to_string())?;
        let bytes = input.metadata().map_or(0, |metadata| metadata.len());
        let reader = SerializedFileReader::new(input).map_err(|error| error.to_string())?;
        let rows_stated = reader.metadata().file_metadata().num_rows().max(0) as u64;
        for group in reader.metadata().row_groups() {
            let row_bytes = group.total_byte_size() / group.num_rows().max(1);
            if row_bytes > ROW_BYTES_MAX as i64 {
                let (found, most) = (row_bytes >> 20, ROW_BYTES_MAX >> 20);
                return Err(format!("its rows are {found} MiB long, at most {most} MiB are read"));
            }
        }
        let rows = RowIter::from_file_into(Box::new(reader));
        Ok::<_, String>((bytes, rows_stated, rows))
    });
    let (bytes, rows_stated, rows) = match opened {
        Some(Ok(parts)) => parts,
        Some(Err(reason)) => return Err(format!("a parquet file that cannot be read: {reason}")),
        None => return Err("a damaged parquet file: its metadata contradict each other".to_string()),
    };
    Ok(Box::new(ParquetRows { rows, file, row: 0, rows_stated, bytes_per_row: bytes / rows_stated.max(1), is_done: false }))
}

struct ParquetRows {
    rows: RowIter<'static>,
    file: u32,
    row: u64,
    rows_stated: u64,
    bytes_per_row: u64,
    is_done: bool,
}

impl RowReader for ParquetRows {
    fn next_row(&mut self) -> Option<RawRow> {
        if self.is_done {
            return None;
        }
        let source = RowSource { file: self.file, line: self.row + 1 };
        let next = guarded(|| self.rows.next());
        let damaged = |detail: String| RawRow::problem(source, 0, RowProblem::DamagedFile, detail, b"");
        match next {
            Some(Some(Ok(row))) => {
                self.row += 1;
                Some(RawRow { source, bytes: self.bytes_per_row, payload: Payload::Value(row_value(row)) })
            }
            Some(Some(Err(error))) => {
                self.is_done = true;
                Some(damaged(format!("rows cannot be read from here on: {error}")))
            }
            Some(None) => {
                self.is_done = true;
                (self.row < self.rows_stated).then(|| damaged(format!("{} rows found, {} stated in the file", self.row, self.rows_stated)))
            }
            None => {
                self.is_done = true;
                Some(damaged("rows cannot be decoded from here on; the file is damaged".to_string()))
            }
        }
    }
}

fn row_value(row: Row) -> Value {
    let fields: Map<String, Value> = row.into_columns().into_iter().map(|(name, field)| (name, field_value(&field))).collect();
    Value::Object(fields)
}

fn field_value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => Value::from(*value),
        Field::Long(value) | Field::TimeMicros(value) | Field::TimestampMillis(value) | Field::TimestampMicros(value) => {
            Value::from(*value)
        }
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float16(value) => float_value(f64::from(value.to_f32())),
        Field::Float(value) => float_value(f64::from(*value)),
        Field::Double(value) => float_value(*value),
        Field::Str(text) => Value::String(text.clone()),
        // Text is often stored without its logical type.
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, |text| Value::String(text.to_string())),
        Field::Group(row) => Value::Object(row.get_column_iter().map(|(name, field)| (name.clone(), field_value(field))).collect()),
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(field_value).collect()),
        Field::MapInternal(map) => Value::Object(
            map.entries()
                .iter()
                .map(|(key, value)| {
                    let name = match field_value(key) {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    (name, field_value(value))
                })
                .collect(),
        ),
        other => Value::String(other.to_string()),
    }
}

fn float_value(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
