//! Vocabulary files of every kind: `cargo xtask fuzz tokenizer`. The first byte
//! chooses the kind of file, the rest is its content.

#![no_main]

use apertis_tokenizer::Tokenizer;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 6] = ["tokenizer.json", "tokenizer.model", "tok.bin", "vocab.json", "tokenizer_config.json", "merges.txt"];
/// A complete small vocabulary, for the kinds of files that need one beside them.
const PIPELINE: &str = r#"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}}"#;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let name = NAMES[usize::from(*kind) % NAMES.len()];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).expect("writes");
    match name {
        "vocab.json" => write("merges.txt", b"#version: 0.2\na b\n"),
        "merges.txt" => write("vocab.json", br#"{"a": 0, "b": 1, "ab": 2}"#),
        "tokenizer_config.json" => write("tokenizer.json", PIPELINE.as_bytes()),
        _ => {}
    }
    write(name, content);
    if let Ok(tokenizer) = Tokenizer::from_folder(folder.path()) {
        // Text may be refused, for example where the vocabulary lacks a character.
        if let Ok(ids) = tokenizer.encode("ab b\n é <s>", true) {
            let _ = tokenizer.decode(&ids, true);
        }
        let _ = tokenizer.token_text(tokenizer.largest_id());
    }
});
