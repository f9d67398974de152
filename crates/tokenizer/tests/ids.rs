//! Ids of every kind of vocabulary file, compared with the programs that define them
//! (`fixtures/tokenizer/make.py`), and the round trips that must hold for any text.

use std::collections::HashMap;
use std::fs::read_to_string;
use std::path::PathBuf;

use apertis_testkit::fixtures;
use apertis_tokenizer::{Encoding, Tokenizer};
use proptest::prelude::*;
use serde_json::Value;

fn folder(name: &str) -> PathBuf {
    fixtures().join("tokenizer").join(name)
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_folder(&folder(name)).expect("the fixture loads")
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("ids")
}

/// Pushes ids one by one; every piece that comes out is whole text.
fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut decoder = tokenizer.stream_decoder(skip_special);
    let mut text = String::new();
    for id in ids {
        text.extend(decoder.push(*id).expect("decodes"));
    }
    text.extend(decoder.finish().expect("decodes"));
    text
}

#[test]
fn ids_and_text_are_those_of_the_reference() {
    let text = read_to_string(folder("ids.json")).expect("the fixture is there");
    let cases: Vec<Value> = serde_json::from_str(&text).expect("the fixture is JSON");
    let mut tokenizers: HashMap<String, Tokenizer> = HashMap::new();
    for case in &cases {
        let name = case["folder"].as_str().expect("name");
        let tokenizer = tokenizers.entry(name.to_owned()).or_insert_with(|| tokenizer(name));
        let text = case["text"].as_str().expect("text");
        let expected = ids(&case["ids"]);
        assert_eq!(tokenizer.encode(text, false).expect("encodes"), expected, "{name}: {text:?}");
        if expected.iter().any(|id| Some(*id) == tokenizer.unk_id()) {
            continue; // SentencePiece and Transformers show the unknown differently.
        }
        if name == "sentencepiece_unigram" && text.starts_with('\u{2581}') {
            continue; // SentencePiece drops every space that such a text begins with.
        }
        let decoded = case["decoded"].as_str().expect("text");
        assert_eq!(tokenizer.decode(&expected, false).expect("decodes"), decoded, "{name}: {text:?}");
        assert_eq!(streamed(tokenizer, &expected, false), decoded, "{name}: {text:?}");
    }
    assert!(cases.len() > 50);
    let (model, llama2c) = (&tokenizers["sentencepiece_bpe"], tokenizer("llama2c"));
    for case in cases.iter().filter(|case| case["folder"] == "sentencepiece_bpe") {
        let text = case["text"].as_str().expect("text");
        assert_eq!(llama2c.encode(text, true).expect("encodes"), model.encode(text, true).expect("encodes"), "{text:?}");
    }
}

#[test]
fn special_tokens_have_their_ids_and_places() {
    let check = |name: &str, bos: Option<u32>, eos: &[u32], unk: Option<u32>, adds_bos: bool| {
        let tokenizer = tokenizer(name);
        assert_eq!(tokenizer.bos_id(), bos, "{name}");
        assert_eq!(tokenizer.eos_ids(), eos, "{name}");
        assert_eq!(tokenizer.unk_id(), unk, "{name}");
        assert_eq!(tokenizer.adds_bos(), adds_bos, "{name}");
        for id in eos {
            assert!(tokenizer.is_special(*id), "{name}");
        }
        assert_eq!(tokenizer.largest_id() as usize + 1, tokenizer.vocab_size(), "{name}");
    };
    check("sentencepiece_bpe", Some(1), &[2], Some(0), true);
    check("sentencepiece_unigram", Some(1), &[2], Some(0), true);
    check("llama2c", Some(1), &[2], Some(0), true);
    check("byte_level", Some(0), &[0], Some(0), false);

    let model = tokenizer("sentencepiece_bpe");
    let plain = model.encode("Hi", false).expect("encodes");
    let whole = model.encode("Hi", true).expect("encodes");
    assert_eq!(whole, [&[1], plain.as_slice()].concat());
    assert_eq!(model.encode_rendered("<s>Hi").expect("encodes").ids, whole, "a written beginning is not doubled");
    assert_eq!(model.decode(&[1, 2], true).expect("decodes"), "");
    assert_eq!(model.decode(&[1, 2], false).expect("decodes"), "<s></s>");
    assert_eq!(model.decode(&[9_999], false).expect("decodes"), "", "an id that no token has stands for no text");
}

#[test]
fn tokens_are_shown_as_people_read_them() {
    let check = |name: &str, piece: &str, expected: &str| {
        let tokenizer = tokenizer(name);
        let id = tokenizer.token_id(piece).expect("a token");
        assert_eq!(tokenizer.token_text(id).as_deref(), Some(expected), "{name} {piece}");
    };
    check("byte_level", "Ġthe", " the");
    check("byte_level", "Ċ", "\n");
    check("byte_level", "Ã", "<0xC3>");
    check("byte_level", "<|endoftext|>", "<|endoftext|>");
    check("sentencepiece_bpe", "\u{2581}the", " the");
    check("sentencepiece_bpe", "<0x0A>", "<0x0A>");
    assert_eq!(tokenizer("byte_level").token_text(100_000), None);
}

/// Offsets are in order, on character boundaries, and cover what the ids stand for.
fn check_offsets(text: &str, encoding: &Encoding) {
    assert_eq!(encoding.ids.len(), encoding.offsets.len());
    let mut covered = 0;
    for (start, end) in &encoding.offsets {
        assert!(start <= end && *end <= text.len(), "{start}..{end} of {}", text.len());
        assert!(text.is_char_boundary(*start) && text.is_char_boundary(*end), "{start}..{end} cuts a character");
        assert!(*start <= covered, "bytes {covered}..{start} belong to no token");
        covered = covered.max(*end);
    }
    assert_eq!(covered, text.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_text_survives_the_round_trip(text in "([ -~\\n\\t]|\\PC){0,60}") {
        for name in ["byte_level", "sentencepiece_bpe", "llama2c"] {
            let tokenizer = shared(name);
            let encoding = tokenizer.encode_with_offsets(&text, false).expect("encodes");
            check_offsets(&text, &encoding);
            prop_assert_eq!(&tokenizer.encode(&text, false).expect("encodes"), &encoding.ids);
            // SentencePiece shows its visible space as a plain one.
            let expected = if name == "byte_level" { text.clone() } else { text.replace('\u{2581}', " ") };
            let decoded = tokenizer.decode(&encoding.ids, false).expect("decodes");
            prop_assert_eq!(&decoded, &expected);
            prop_assert_eq!(streamed(tokenizer, &encoding.ids, false), expected);
        }
    }

    #[test]
    fn any_ids_stream_without_an_error(ids in proptest::collection::vec(0_u32..420, 0..40)) {
        // Broken bytes may read as more or fewer U+FFFD than in one piece; whole text may not differ.
        for name in ["byte_level", "sentencepiece_bpe", "sentencepiece_unigram"] {
            let tokenizer = shared(name);
            let whole = tokenizer.decode(&ids, true).expect("decodes");
            let text = streamed(tokenizer, &ids, true);
            if !whole.contains(char::REPLACEMENT_CHARACTER) {
                prop_assert_eq!(text, whole);
            }
        }
    }
}

/// Each fixture once, for tests of many cases.
fn shared(name: &str) -> &'static Tokenizer {
    use std::sync::OnceLock;
    static ALL: OnceLock<HashMap<&'static str, Tokenizer>> = OnceLock::new();
    let names = ["byte_level", "sentencepiece_bpe", "sentencepiece_unigram", "llama2c"];
    &ALL.get_or_init(|| names.into_iter().map(|name| (name, tokenizer(name))).collect())[name]
}

#[test]
fn a_batch_is_its_texts_one_by_one_in_any_pool() {
    let tokenizer = shared("byte_level");
    let texts: Vec<String> = (0..200).map(|index| format!("line {index} of a batch, {}", "x".repeat(index % 7))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let alone: Vec<Encoding> = texts.iter().map(|text| tokenizer.encode_with_offsets(text, true).expect("encodes")).collect();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let batch = pool.install(|| tokenizer.encode_batch_with_offsets(&texts, true)).expect("encodes");
        assert_eq!(batch, alone);
    }
}
