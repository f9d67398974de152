//! Real vocabularies and templates, where the shared test data is beside the project;
//! without it these tests have nothing to check.

use std::fs::{copy, read_to_string};
use std::path::{Path, PathBuf};

use apertis_testkit::shared_testdata;
use apertis_tokenizer::{Message, SpanRefusal, Tokenizer, TrainOn, mask_from_spans, trained_spans};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_str(&read_to_string(path).expect("reads")).expect("JSON")
}

/// A folder with copies of the files under the names that folders use.
fn folder(root: &Path, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (from, name) in files {
        copy(root.join(from), folder.path().join(name)).expect("copies");
    }
    folder
}

fn check_golden(tokenizer: &Tokenizer, golden: &Path) {
    let inputs = read_to_string(golden.with_extension("inp")).expect("reads");
    let outputs = read_to_string(golden.with_extension("out")).expect("reads");
    let inputs: Vec<&str> = inputs.split("\n__ggml_vocab_test__\n").collect();
    let outputs: Vec<&str> = outputs.split('\n').collect();
    assert!(inputs.len() > 40 && outputs.len() >= inputs.len());
    for (text, ids) in inputs.into_iter().zip(outputs) {
        let expected: Vec<u32> = ids.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        assert_eq!(tokenizer.encode(text, false).expect("encodes"), expected, "{text:?}");
    }
}

#[test]
fn golden_ids_of_gpt2_and_llama() {
    let Some(root) = shared_testdata() else { return };
    let root = root.join("tokenizers");
    let gpt2 = Tokenizer::from_folder(&root.join("gpt2")).expect("reads");
    check_golden(&gpt2, &root.join("golden/ggml-vocab-gpt-2.gguf.inp"));
    let files = folder(&root, &[("gpt2/encoder.json", "encoder.json"), ("gpt2/vocab.bpe", "vocab.bpe")]);
    let older = Tokenizer::from_folder(files.path()).expect("reads the older pair of files");
    check_golden(&older, &root.join("golden/ggml-vocab-gpt-2.gguf.inp"));
    let phi3 = Tokenizer::from_folder(&root.join("phi-3-mini")).expect("reads");
    check_golden(&phi3, &root.join("golden/ggml-vocab-llama-spm.gguf.inp"));
    let long = json(&root.join("golden/gpt2_encoded_tokens.json"));
    let ids = gpt2.encode(long["text"].as_str().expect("text"), false).expect("encodes");
    assert_eq!(Value::from(ids), long["token_ids"]);
}

#[test]
fn recorded_ids_of_the_stories_model() {
    let Some(root) = shared_testdata() else { return };
    let reference = &json(&root.join("models/reference-values.json"))["stories260K"];
    let expected: Vec<u32> = serde_json::from_value(reference["ids"].clone()).expect("ids");
    let text = reference["text"].as_str().expect("text").replace("<0x0A>", "\n");
    let models = root.join("models/stories260K-llama2c");
    for name in ["tok512.model", "tok512.bin"] {
        let tokenizer = Tokenizer::from_file(&models.join(name)).expect("reads");
        assert_eq!(tokenizer.encode(&text, true).expect("encodes"), expected, "{name}");
        assert_eq!(tokenizer.decode(&expected, true).expect("decodes"), text, "{name}");
        assert_eq!(tokenizer.vocab_size(), 512);
    }
    assert_eq!(Tokenizer::from_folder(&models).expect("finds the one .model file").vocab_size(), 512);
    assert_eq!(Tokenizer::from_file(&models.join("tok4096.bin")).expect("reads").vocab_size(), 4096);
}

#[test]
fn published_sentencepiece_models() {
    let Some(root) = shared_testdata() else { return };
    let root = root.join("tokenizers");
    // Ids by the sentencepiece library.
    for (name, size, expected) in [
        ("mistral/tokenizer.model.v1", 32_000, [16_230, 28_725, 1_526, 28_808].as_slice()),
        ("mistral/mistral_instruct_tokenizer_240323.model.v3", 32_768, [16_998, 29_493, 2_294, 29_576].as_slice()),
    ] {
        let files = folder(&root, &[(name, "tokenizer.model")]);
        let tokenizer = Tokenizer::from_folder(files.path()).expect("reads");
        assert_eq!(tokenizer.vocab_size(), size);
        let ids = tokenizer.encode("Hello, world!", true).expect("encodes");
        assert_eq!((ids[0], ids.len()), (1, expected.len() + 1), "{name}");
        assert_eq!(ids[2..], expected[1..], "{name}");
        assert_eq!(tokenizer.decode(&ids, true).expect("decodes"), "Hello, world!");
    }
}

#[test]
fn qwen_vocabulary_with_added_tokens() {
    let Some(root) = shared_testdata() else { return };
    let tokenizer = Tokenizer::from_folder(&root.join("tokenizers/qwen3")).expect("reads");
    assert_eq!((tokenizer.vocab_size(), tokenizer.largest_id()), (151_669, 151_668));
    assert_eq!(tokenizer.eos_ids(), [151_645]);
    // Ids by Transformers.
    let check = |text: &str, ids: &[u32]| assert_eq!(tokenizer.encode(text, true).expect("encodes"), ids, "{text:?}");
    check("Hello world", &[9707, 1879]);
    check("é🦙\t", &[963, 149_955, 197]);
    check("<|im_start|>user\n<think>", &[151_644, 872, 198, 151_667]);
}

#[test]
fn refused_vocabularies() {
    let Some(root) = shared_testdata() else { return };
    let root = root.join("tokenizers/negative");
    let error = Tokenizer::from_file(&root.join("test_hf_tokenizer.json")).expect_err("refused").to_string();
    assert!(error.contains("merge 0 needs the token \"He\""), "{error}");
    for name in ["invalid_base64", "invalid_rank", "no_space"] {
        let error = Tokenizer::from_file(&root.join(format!("test_tiktoken_{name}.model"))).expect_err("refused").to_string();
        assert!(error.contains("not a SentencePiece model"), "{error}");
    }
}

fn talk() -> Vec<Message> {
    [("user", "Hi"), ("assistant", "Hello"), ("user", "Bye"), ("assistant", "See you")]
        .map(|(role, content)| Message::text(role, content))
        .to_vec()
}

/// The trained tokens of a conversation, read back as text.
fn trained(tokenizer: &Tokenizer, which: TrainOn) -> Result<Vec<String>, SpanRefusal> {
    let template = tokenizer.chat_template().expect("a template");
    let (text, spans) = trained_spans(template, &talk(), None, which)?;
    let encoding = tokenizer.encode_rendered(&text).expect("encodes");
    let mask = mask_from_spans(&encoding, &spans);
    let chosen = encoding.ids.iter().zip(mask).filter(|(_, trained)| *trained);
    Ok(chosen.map(|(id, _)| tokenizer.token_text(*id).expect("a token")).collect())
}

#[test]
fn trained_tokens_of_phi3_and_qwen() {
    let Some(root) = shared_testdata() else { return };
    let root = root.join("tokenizers");
    let phi3 = Tokenizer::from_folder(&root.join("phi-3-mini")).expect("reads");
    let expected = [" Hello", "<|end|>", " See", " you", "<|end|>", "<|endoftext|>"];
    assert_eq!(trained(&phi3, TrainOn::AllAssistantTurns).expect("spans"), expected);
    assert_eq!(trained(&phi3, TrainOn::LastTurn).expect("spans"), expected[2..]);
    let files: [(&str, &str); 3] = [
        ("qwen3/vocab.json", "vocab.json"),
        ("qwen3/merges.txt", "merges.txt"),
        ("qwen2.5/tokenizer_config.json", "tokenizer_config.json"),
    ];
    let qwen = Tokenizer::from_folder(folder(&root, &files).path()).expect("reads");
    let expected = ["Hello", "<|im_end|>", "\n", "See", " you", "<|im_end|>", "\n"];
    assert_eq!(trained(&qwen, TrainOn::AllAssistantTurns).expect("spans"), expected);
}

#[test]
fn every_shared_config_reads_as_settings() {
    let Some(root) = shared_testdata() else { return };
    let vocabulary = root.join("tokenizers/gpt2/tokenizer.json");
    let pipeline = read_to_string(vocabulary).expect("reads");
    for name in ["smollm3", "qwen2.5", "phi-3-mini"] {
        let config: PathBuf = root.join("tokenizers").join(name).join("tokenizer_config.json");
        // The ids of the config belong to another vocabulary, which is noticed.
        let text = read_to_string(config).expect("reads");
        let error = Tokenizer::from_json(&pipeline, Some(&text)).expect_err("other ids").to_string();
        assert!(error.contains("tokenizer_config.json"), "{error}");
    }
}
