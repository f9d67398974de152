//! Writes the packed sample files of `fixtures/data`: parquet (flat and nested), gzip, zstd.
//! They are the valid files that the tests of damage and the fuzz targets start from.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

const ROWS: [(&str, &str); 4] = [
    ("What floats?", "A boat."),
    ("Und was schwimmt?", "Ein Fisch \u{1f41f}."),
    ("What is 2 + 2?", "4"),
    ("Again: what floats?", "A boat."),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data");
    std::fs::create_dir_all(&folder)?;
    flat(&folder.join("rows.parquet"), Compression::UNCOMPRESSED)?;
    flat(&folder.join("rows.snappy.parquet"), Compression::SNAPPY)?;
    nested(&folder.join("messages.parquet"))?;
    let lines: String = ROWS.iter().map(|(prompt, answer)| format!("{{\"prompt\":{prompt:?},\"completion\":{answer:?}}}\n")).collect();
    let mut gzip = flate2::write::GzEncoder::new(File::create(folder.join("rows.jsonl.gz"))?, flate2::Compression::best());
    gzip.write_all(lines.as_bytes())?;
    gzip.finish()?;
    std::fs::write(folder.join("rows.jsonl.zst"), zstd::encode_all(lines.as_bytes(), 19)?)?;
    Ok(())
}

/// Two columns of text and one of numbers, in two row groups.
fn flat(path: &Path, compression: Compression) -> Result<(), Box<dyn Error>> {
    let schema = "message rows { required binary prompt (UTF8); optional binary completion (UTF8); required int64 size; }";
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = SerializedFileWriter::new(File::create(path)?, Arc::new(parse_message_type(schema)?), Arc::new(properties))?;
    for half in ROWS.chunks(2) {
        let mut group = writer.next_row_group()?;
        let text =
            |at: fn(&(&'static str, &'static str)) -> &'static str| -> Vec<ByteArray> { half.iter().map(|row| at(row).into()).collect() };
        let mut column = group.next_column()?.ok_or("prompt")?;
        column.typed::<ByteArrayType>().write_batch(&text(|row| row.0), None, None)?;
        column.close()?;
        let mut column = group.next_column()?.ok_or("completion")?;
        column.typed::<ByteArrayType>().write_batch(&text(|row| row.1), Some(&[1, 1]), None)?;
        column.close()?;
        let mut column = group.next_column()?.ok_or("size")?;
        column.typed::<Int64Type>().write_batch(&[7, -7], None, None)?;
        column.close()?;
        group.close()?;
    }
    writer.close()?;
    Ok(())
}

/// A list of messages a row, as published chats have it.
fn nested(path: &Path) -> Result<(), Box<dyn Error>> {
    let schema = "message rows { optional group messages (LIST) { repeated group list { optional group element { \
                  optional binary role (UTF8); optional binary content (UTF8); } } } }";
    let mut writer = SerializedFileWriter::new(File::create(path)?, Arc::new(parse_message_type(schema)?), Arc::default())?;
    let mut group = writer.next_row_group()?;
    let definitions = [4i16; 8];
    let repetitions = [0i16, 1, 0, 1, 0, 1, 0, 1];
    let roles: Vec<ByteArray> = ["user", "assistant"].iter().cycle().take(8).map(|role| (*role).into()).collect();
    let contents: Vec<ByteArray> = ROWS.iter().flat_map(|(prompt, answer)| [ByteArray::from(*prompt), ByteArray::from(*answer)]).collect();
    for values in [roles, contents] {
        let mut column = group.next_column()?.ok_or("a column")?;
        column.typed::<ByteArrayType>().write_batch(&values, Some(&definitions), Some(&repetitions))?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}
