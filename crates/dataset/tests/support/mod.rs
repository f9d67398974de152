//! What the tests of this crate share: a tokenizer of single bytes, small folders, and one-line
//! summaries of rows.

#![expect(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apertis_dataset::{Columns, Converted, DataSettings, Prepared, Sample, samples};
use apertis_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

/// The character that stands for a byte in byte-level vocabularies.
fn byte_characters() -> Vec<char> {
    let printable = |byte: u32| (33..=126).contains(&byte) || (161..=172).contains(&byte) || (174..=255).contains(&byte);
    let mut next = 256;
    (0..256u32)
        .map(|byte| {
            let code = if printable(byte) {
                byte
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).expect("a character")
        })
        .collect()
}

/// A tokenizer with one token a byte (its id is the byte), and the marks of ChatML and of an end.
pub(crate) fn byte_tokenizer() -> Arc<Tokenizer> {
    let vocab: Map<String, Value> =
        byte_characters().iter().enumerate().map(|(id, character)| (character.to_string(), json!(id))).collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [special(256, "<|im_start|>"), special(257, "<|im_end|>"), special(258, "<|endoftext|>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    let config = json!({"eos_token": "<|endoftext|>"});
    let tokenizer = Tokenizer::from_json(&tokenizer.to_string(), Some(&config.to_string()));
    Arc::new(tokenizer.expect("a tokenizer of bytes"))
}

/// The end-of-text id of [`byte_tokenizer`].
pub(crate) const EOS: u32 = 258;

/// Writes files into a fresh folder.
pub(crate) fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a written file");
    }
    folder
}

/// Settings for one path.
pub(crate) fn settings(path: impl Into<PathBuf>) -> DataSettings {
    DataSettings { paths: vec![path.into()], threads: 2, ..DataSettings::default() }
}

/// Opens all of the data.
pub(crate) fn open(settings: &DataSettings, cache: &Path) -> Result<Prepared, apertis_dataset::DatasetError> {
    apertis_dataset::open_whole(settings, &byte_tokenizer(), cache, &mut |_| {})
}

/// A sample as one line: `user: hi | assistant: hello`, or the text.
pub(crate) fn line_of(converted: &Converted) -> String {
    match &converted.sample {
        Sample::Document(text) => text.clone(),
        Sample::Conversation(conversation) => {
            let turns = conversation.messages.iter().map(|message| {
                let calls = message.tool_calls.as_ref().map(|calls| format!(" {calls}")).unwrap_or_default();
                format!("{}: {}{calls}", message.role, message.content.as_text().unwrap_or_default())
            });
            turns.collect::<Vec<_>>().join(" | ")
        }
    }
}

/// Every row of a path: `Ok` lines, or `line N: code` where it cannot be used.
pub(crate) fn rows_of(path: &Path, columns: &Columns) -> Result<Vec<String>, String> {
    let rows = samples(&[path.to_path_buf()], columns).map_err(|error| error.to_string())?;
    rows.map(|row| {
        let row = row.map_err(|error| error.to_string())?;
        Ok(match &row.content {
            Ok(converted) => line_of(converted),
            Err(problem) => format!("line {}: {}", row.source.line, problem.kind.code()),
        })
    })
    .collect()
}
