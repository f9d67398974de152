//! What a file is, by its content first and its ending second.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::de::IgnoredAny;

use super::decompress::{Stream, open_stream};
use super::files::ending;
use super::json::{JsonShape, json_reader, json_shape};
use super::{Payload, RowReader, csv, parquet, text};
use crate::error::DatasetError;

/// The kinds of data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Json,
    Table,
    Parquet,
    Text,
}

/// Opens a file for reading; `position` follows the bytes read from disk.
pub(crate) fn open_file(path: &Path, file: u32, position: Arc<AtomicU64>) -> Result<(FileKind, Box<dyn RowReader>), DatasetError> {
    let refused = |reason: String| DatasetError::Refused { path: path.to_path_buf(), reason };
    let stream = open_stream(path, position).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => DatasetError::io("open data file", path)(error),
        _ => refused(format!("its compressed content is damaged ({error})")),
    })?;
    if stream.head.starts_with(b"PAR1") {
        if stream.is_whole && stream.head.len() as u64 != path.metadata().map_or(0, |metadata| metadata.len()) {
            return Err(refused("parquet inside another compression, expected the parquet file itself".to_string()));
        }
        let reader = parquet::parquet_reader(path, file).map_err(refused)?;
        return Ok((FileKind::Parquet, reader));
    }
    if stream.head.iter().all(u8::is_ascii_whitespace) && stream.is_whole {
        return Err(refused("the file is empty, expected rows of data".to_string()));
    }
    if let Some(what) = foreign_kind(&stream.head) {
        return Err(refused(format!("{what}, expected text, JSON, a table or parquet")));
    }
    let kind = file_kind(&ending(path), &stream);
    let reader = match kind {
        FileKind::Json => json_reader(stream.reader, file, json_shape(&stream.head, stream.is_whole)),
        FileKind::Table => csv::csv_reader(stream.reader, file, csv::separator(&stream.head)),
        FileKind::Text | FileKind::Parquet => text::text_reader(stream.reader, file),
    };
    Ok((kind, reader))
}

/// Names content that is no data of ours.
fn foreign_kind(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "a zip archive or office document"),
        (b"%PDF", "a PDF document"),
        (b"\x89PNG", "a picture"),
        (b"\xff\xd8\xff", "a picture"),
        (b"GGUF", "a model file"),
        (b"ARROW1", "an Arrow file"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    let looked_at = &head[..head.len().min(8 << 10)];
    let odd = looked_at.iter().filter(|&&byte| byte < 9 || (14..32).contains(&byte) && byte != 27).count();
    (looked_at.contains(&0) || odd * 20 > looked_at.len()).then_some("binary data")
}

fn file_kind(ending: &str, stream: &Stream) -> FileKind {
    let first = stream.head.iter().find(|byte| !byte.is_ascii_whitespace());
    let may_be_json = matches!(first, Some(b'{' | b'['));
    match ending {
        "json" | "jsonl" | "ndjson" if may_be_json || !is_table_of_known_columns(&stream.head) => FileKind::Json,
        _ if may_be_json && begins_with_value(stream) => FileKind::Json,
        "csv" | "tsv" | "json" | "jsonl" | "ndjson" => FileKind::Table,
        "txt" | "text" | "md" => FileKind::Text,
        _ if is_table_of_known_columns(&stream.head) => FileKind::Table,
        _ => FileKind::Text,
    }
}

/// Whether the first value is an object, or an array of objects, that really parses: prose may
/// begin with a bracket too.
fn begins_with_value(stream: &Stream) -> bool {
    let shape = json_shape(&stream.head, stream.is_whole);
    let mut reader = json_reader(std::io::Cursor::new(stream.head.clone()), 0, shape);
    match reader.next_row().map(|row| row.payload) {
        Some(Payload::Json(bytes)) => {
            let begins_as_row = bytes.first().is_some_and(|byte| matches!(byte, b'{' | b'['));
            begins_as_row && serde_json::from_slice::<IgnoredAny>(&bytes).is_ok()
        }
        // A first value longer than what was looked at: a table or prose has no such thing.
        _ => shape != JsonShape::Lines && !stream.is_whole,
    }
}

/// Whether the first line is a header of at least two columns of which one is known.
fn is_table_of_known_columns(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let separator = csv::separator(line);
    let names: Vec<String> = line
        .split(|&byte| byte == separator)
        .map(|name| String::from_utf8_lossy(name).trim().trim_matches('"').to_ascii_lowercase())
        .collect();
    names.len() > 1 && names.iter().any(|name| crate::recognise::is_known_field(name))
}
