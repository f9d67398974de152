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

/// FNV-1a over the ids' bytes.
fn digest(ids: &[u32]) -> u64 {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Runs of spaces as one, as vocabularies with `remove_extra_whitespaces` read a text.
fn with_single_spaces(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A whole book as one text: its ids, and the way back in one piece, as a stream, and by offsets.
fn check_book(name: &str, tokenizer: &Tokenizer, text: &str, recorded: Option<(usize, u64)>) {
    let shown = |text: &str| if name == "stories" { with_single_spaces(text) } else { text.to_owned() };
    let encoding = tokenizer.encode_with_offsets(text, false).expect("encodes");
    if let Some((count, expected)) = recorded {
        assert_eq!((encoding.ids.len(), digest(&encoding.ids)), (count, expected), "{name}: ids");
    }
    assert_eq!(tokenizer.encode(text, false).expect("encodes"), encoding.ids, "{name}: ids without offsets");
    assert!(tokenizer.decode(&encoding.ids, false).expect("decodes") == shown(text), "{name}: the way back");
    let mut decoder = tokenizer.stream_decoder(false);
    let mut streamed = String::new();
    for id in &encoding.ids {
        streamed.extend(decoder.push(*id).expect("decodes"));
    }
    streamed.extend(decoder.finish().expect("decodes"));
    assert!(streamed == shown(text), "{name}: the way back as a stream");
    let mut covered = 0;
    for (start, end) in &encoding.offsets {
        assert!(start <= end && text.is_char_boundary(*start) && text.is_char_boundary(*end), "{name}: {start}..{end}");
        let between = text.get(covered..*start).unwrap_or_default();
        assert!(shown(between).is_empty(), "{name}: {between:?} belongs to no token");
        covered = covered.max(*end);
    }
    assert_eq!(covered, text.len(), "{name}: characters without a token");
    let lines: Vec<&str> = text.lines().collect();
    let batch = tokenizer.encode_batch_with_offsets(&lines, false).expect("encodes");
    for (line, encoding) in lines.iter().zip(batch) {
        assert_eq!(tokenizer.encode(line, false).expect("encodes"), encoding.ids, "{name}: {line:?}");
        assert_eq!(tokenizer.decode(&encoding.ids, false).expect("decodes"), shown(line), "{name}");
    }
}

#[test]
fn a_book_through_every_vocabulary() {
    let Some(root) = shared_testdata() else { return };
    let Ok(text) = read_to_string(root.join("text/tinyshakespeare.txt")) else { return };
    // Counts and digests of the ids by the `tokenizers`, `transformers` and `sentencepiece`
    // packages of Python (0.23.3, 5.23 and 0.2.3).
    let folders: [(&str, &[(&str, &str)], Option<(usize, u64)>); 8] = [
        ("gpt2", &[("tokenizers/gpt2/tokenizer.json", "tokenizer.json")], Some((338_025, 0xe22f_cd86_8ca9_0167))),
        (
            "gpt2, the older files",
            &[("tokenizers/gpt2/encoder.json", "encoder.json"), ("tokenizers/gpt2/vocab.bpe", "vocab.bpe")],
            Some((338_025, 0xe22f_cd86_8ca9_0167)),
        ),
        ("phi-3-mini", &[("tokenizers/phi-3-mini/tokenizer.json", "tokenizer.json")], Some((368_633, 0xf8e5_eec8_68d0_ecb2))),
        (
            "qwen3",
            &[
                ("tokenizers/qwen3/vocab.json", "vocab.json"),
                ("tokenizers/qwen3/merges.txt", "merges.txt"),
                ("tokenizers/qwen3/tokenizer_config.json", "tokenizer_config.json"),
            ],
            Some((301_829, 0xa0ce_432d_8a5d_8350)),
        ),
        ("mistral v1", &[("tokenizers/mistral/tokenizer.model.v1", "tokenizer.model")], Some((361_972, 0x1f94_c76c_8e29_f107))),
        (
            "mistral v3",
            &[("tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3", "tokenizer.model")],
            Some((361_972, 0xffb6_a93b_a969_8cf9)),
        ),
        ("stories", &[("models/stories260K-llama2c/tok512.model", "tokenizer.model")], Some((693_347, 0xc51a_1dd1_8bb1_b47c))),
        ("stories, 4096", &[("models/stories260K-llama2c/tok4096.bin", "tok4096.bin")], None),
    ];
    for (name, files, recorded) in folders {
        let copied = folder(&root, files);
        let tokenizer = match files {
            [(_, file)] if file.ends_with(".bin") => Tokenizer::from_file(&copied.path().join(file)).expect("reads"),
            _ => Tokenizer::from_folder(copied.path()).expect("reads"),
        };
        check_book(name, &tokenizer, &text, recorded);
    }
    // The smaller file does not say that runs of spaces are one.
    let text = with_single_spaces(&text);
    let pair = ["tok512.model", "tok512.bin"].map(|name| {
        let tokenizer = Tokenizer::from_file(&root.join("models/stories260K-llama2c").join(name)).expect("reads");
        tokenizer.encode(&text, false).expect("encodes")
    });
    assert!(pair[0] == pair[1], "both forms of one vocabulary give the same ids");
}
