//! Damaged vocabularies and templates, the same ones each time: every one ends in a tokenizer or
//! in one sentence.

use std::path::Path;

use apertis_testkit::{damaged, fixtures};
use apertis_tokenizer::{ChatTemplate, Message, Tokenizer, TrainOn, learn, trained_spans};

fn survives(folder: &Path) {
    match Tokenizer::from_folder(folder) {
        Err(error) => assert!(!error.to_string().trim_end().contains('\n'), "{error}"),
        Ok(tokenizer) => {
            if let Ok(ids) = tokenizer.encode("Hello é\n <s> 42", true) {
                drop(tokenizer.decode(&ids, false));
            }
            drop(tokenizer.token_text(tokenizer.largest_id()));
        }
    }
}

#[test]
fn damaged_vocabularies_end_in_a_tokenizer_or_a_sentence() {
    let files = [
        ("byte_level", "vocab.json"),
        ("byte_level", "merges.txt"),
        ("sentencepiece_bpe", "tokenizer.model"),
        ("sentencepiece_unigram", "tokenizer.model"),
        ("llama2c", "tok.bin"),
    ];
    for (name, file) in files {
        let source = fixtures().join("tokenizer").join(name);
        let folder = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(&source).expect("committed").flatten().filter(|entry| entry.path().is_file()) {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("room");
        }
        let content = std::fs::read(source.join(file)).expect("committed");
        for bytes in damaged(&content, 120) {
            std::fs::write(folder.path().join(file), bytes).expect("room");
            survives(folder.path());
        }
    }
}

#[test]
fn damaged_tokenizer_json_ends_in_a_tokenizer_or_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    learn::characters("abc hello").expect("learns").save(folder.path()).expect("saves");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        let content = std::fs::read(folder.path().join(file)).expect("it was saved");
        for bytes in damaged(&content, 300) {
            std::fs::write(folder.path().join(file), bytes).expect("room");
            survives(folder.path());
        }
        std::fs::write(folder.path().join(file), content).expect("room");
    }
}

#[test]
fn damaged_templates_end_in_spans_or_a_sentence() {
    let talk = [("user", "u"), ("assistant", "é"), ("user", "v"), ("assistant", "b")].map(|(role, content)| Message::text(role, content));
    for entry in std::fs::read_dir(fixtures().join("tokenizer/templates")).expect("committed").flatten() {
        let content = std::fs::read(entry.path()).expect("committed");
        for bytes in damaged(&content, 150) {
            let Ok(source) = String::from_utf8(bytes) else { continue };
            let Ok(template) = ChatTemplate::new(&source, Some("<s>"), Some("</s>")) else { continue };
            if let Ok((text, spans)) = trained_spans(&template, &talk, None, TrainOn::AllAssistantTurns) {
                assert!(spans.iter().all(|span| text.get(span.clone()).is_some()), "{source:?}: {spans:?}");
            }
        }
    }
}
