//! Whatever the bytes, reading ends in rows, counts or a sentence; never in a panic.

mod support;

use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use apertis_dataset::{Columns, DataSettings};
use proptest::prelude::*;
use support::{folder, open, rows_of, settings};

/// Far more than the largest of these files takes, on a busy machine too.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Reads and prepares a file; both may refuse it, neither may panic or go on for ever.
fn survive(path: &Path) -> String {
    let read = match rows_of(path, &Columns::default()) {
        Ok(rows) => format!("{} rows", rows.len()),
        Err(sentence) => sentence,
    };
    let cache = tempfile::tempdir().expect("a folder");
    let data = DataSettings { max_length: 64, ..settings(path) };
    match open(&data, cache.path()) {
        Ok(prepared) => {
            let batches = prepared.train.in_order(256).map(|batch| batch.expect("a batch").ids.len());
            format!("{read}; {} tokens", batches.sum::<usize>())
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.contains('\n') && sentence.len() > 20, "no sentence: {sentence:?}");
            format!("{read}; {sentence}")
        }
    }
}

fn files_under(folder: &Path) -> Vec<std::path::PathBuf> {
    let pattern = format!("{}/**/*", folder.display());
    let mut files: Vec<_> = glob::glob(&pattern).expect("a pattern").flatten().filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn malformed_public_files() {
    let Some(shared) = apertis_testkit::shared_testdata() else {
        return;
    };
    let files = files_under(&shared.join("conformance"));
    for suite in ["JSONTestSuite", "csv-spectrum", "parquet-testing", "utf8tests", "blns"] {
        assert!(files.iter().any(|file| file.components().any(|part| part.as_os_str() == suite)), "no {suite}");
    }
    assert!(files.len() > 300, "only {} files", files.len());
    for file in files {
        let (sender, receiver) = std::sync::mpsc::channel();
        let path = file.clone();
        let worker = std::thread::spawn(move || {
            let outcome = survive(&path);
            // Nobody listens any more once the time is up.
            let _ = sender.send(outcome);
        });
        match receiver.recv_timeout(TIME_LIMIT) {
            Ok(outcome) => assert!(!outcome.is_empty()),
            Err(RecvTimeoutError::Timeout) => panic!("{}: no end within {TIME_LIMIT:?}", file.display()),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{}: {:?}", file.display(), worker.join().expect_err("it panicked").downcast_ref::<String>())
            }
        }
    }
}

/// Valid JSON is never refused as broken, and what RFC 8259 forbids never becomes a row.
#[test]
fn json_that_must_be_accepted_or_rejected() {
    let Some(shared) = apertis_testkit::shared_testdata() else {
        return;
    };
    for file in files_under(&shared.join("conformance/JSONTestSuite/test_parsing")) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let content = std::fs::read(&file).expect("readable");
        let mut row = b"{\"text\":\"t\",\"value\":".to_vec();
        row.extend(content.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
        row.extend_from_slice(b"}\n{\"text\":\"u\"}\n");
        let folder = folder(&[("row.jsonl", &row)]);
        let rows = rows_of(&folder.path().join("row.jsonl"), &Columns::default());
        if name.starts_with("y_") {
            assert_eq!(rows.as_deref(), Ok(&["t".to_string(), "u".to_string()][..]), "{name}");
        } else if name.starts_with("n_") && name != "n_string_unescaped_newline.json" {
            let is_refused = rows.as_ref().is_err_and(|sentence| sentence.contains("binary"))
                || rows.as_ref().is_ok_and(|rows| rows.iter().any(|row| row.contains(": not_json") || row.contains(": broken_utf8")));
            assert!(is_refused, "{name}: {rows:?}");
        }
    }
}

const SEEDS: [(&str, &[u8]); 6] = [
    (
        "seed.jsonl",
        b"{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":\"a\"}]}\n{\"messages\":[]}\n",
    ),
    ("seed.json", b"[{\"prompt\":\"p\",\"completion\":\"c\"},\n {\"prompt\":\"p\",\"completion\":\"c\"}]"),
    ("seed.csv", b"question,answer\n\"q, 1\",\"a\n2\"\nq2,3.3\n"),
    ("seed.tsv", b"text\tid\nabc def\t1\nghi\t2\n"),
    ("seed.txt", "Zeile eins\nZeile zwei \u{1f600}\n\nEnde".as_bytes()),
    ("seed.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0x2a, 0x49, 0xad, 0x28, 0x51, 0xb2, 0x52, 0x4a, 0x54, 0xaa, 0xe5, 2, 0]),
];

/// Packed and compressed files, where a changed byte is a changed length, count or reference.
#[test]
fn damaged_packed_files() {
    let samples = apertis_testkit::fixtures().join("data");
    for name in ["rows.parquet", "rows.snappy.parquet", "messages.parquet", "rows.jsonl.gz", "rows.jsonl.zst"] {
        let content = std::fs::read(samples.join(name)).expect("committed");
        let whole = rows_of(&samples.join(name), &Columns::default()).expect("undamaged, it reads");
        assert_eq!(whole.len(), 4, "{name}: {whole:?}");
        for (index, bytes) in apertis_testkit::damaged(&content, 240).enumerate() {
            let folder = folder(&[(name, &bytes)]);
            let path = folder.path().join(name);
            match index % 12 {
                0 => drop(survive(&path)),
                _ => drop(rows_of(&path, &Columns::default())),
            }
        }
    }
}

/// The same damage in every run, for the readers whose files are text.
#[test]
fn damaged_text_files() {
    for (name, content) in SEEDS {
        for bytes in apertis_testkit::damaged(content, 200) {
            let folder = folder(&[(name, &bytes)]);
            drop(rows_of(&folder.path().join(name), &Columns::default()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn changed_files(seed in 0..SEEDS.len(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6)) {
        let (name, content) = SEEDS[seed];
        let mut bytes = content.to_vec();
        for (index, byte, kind) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        let folder = folder(&[(name, &bytes)]);
        survive(&folder.path().join(name));
    }

    #[test]
    fn any_json_rows(values in prop::collection::vec(json_value(), 1..5)) {
        let text: String = values.iter().map(|value| format!("{value}\n")).collect();
        let folder = folder(&[("rows.jsonl", text.as_bytes())]);
        survive(&folder.path().join("rows.jsonl"));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400), ending in 0..5usize) {
        let name = ["any.jsonl", "any.csv", "any.parquet", "any.txt", "any.zst"][ending];
        let folder = folder(&[(name, &bytes)]);
        survive(&folder.path().join(name));
    }
}

/// JSON values whose keys are the ones that formats look for.
fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(vec![
        "messages",
        "conversations",
        "role",
        "from",
        "content",
        "value",
        "prompt",
        "completion",
        "chosen",
        "rejected",
        "text",
        "tools",
        "history",
        "system",
        "label",
        "tool_calls",
        "function",
        "name",
        "instruction",
        "input",
        "output",
    ]);
    let word = prop::sample::select(vec!["user", "assistant", "gpt", "human", "system", "tool", "", "[]", "[{}]", "{\"name\":1}"]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        word.prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect())),
        ]
    })
}
