//! The quick way over characters with a visible space against the general one: the same
//! ids and offsets for any text, any known way to show spaces, and any merges.

use std::path::Path;
use std::sync::OnceLock;

use apertis_testkit::{fixtures, shared_testdata};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::spaced::{Front, Spaces};
use super::tests::is_same;
use crate::Tokenizer;
use crate::pipeline::{Pipeline, build};

const PREPEND: &str = r#"{"type": "Prepend", "prepend": "▁"}"#;
const REPLACE: &str = r#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn metaspace(scheme: &str, split: bool) -> Value {
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
}

/// Normaliser, pre-tokenizer, and what they are recognised as.
fn ways_to_show_spaces() -> Vec<(Value, Value, Spaces)> {
    let replace = parsed(REPLACE);
    let both = json!({"type": "Sequence", "normalizers": [parsed(PREPEND), replace]});
    let split = json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false});
    let (whole, words) = (false, true);
    let is = |front, splits| Spaces { front, splits };
    vec![
        (both.clone(), Value::Null, is(Front::Always, whole)),
        (json!({"type": "Sequence", "normalizers": [replace, parsed(PREPEND)]}), metaspace("never", words), is(Front::Always, words)),
        (both, metaspace("always", words), is(Front::Always, words)),
        (replace.clone(), Value::Null, is(Front::Never, whole)),
        (replace.clone(), split, is(Front::Never, whole)),
        (replace, metaspace("first", words), is(Front::MissingFirst, words)),
        (Value::Null, metaspace("always", whole), is(Front::Missing, whole)),
        (Value::Null, metaspace("always", words), is(Front::Missing, words)),
        (Value::Null, metaspace("first", whole), is(Front::MissingFirst, whole)),
        (Value::Null, metaspace("never", words), is(Front::Never, words)),
        (Value::Null, json!({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true}), is(Front::Missing, words)),
    ]
}

fn settled(value: &Value) -> Pipeline {
    let mut pipeline = build("test", value.to_string().as_bytes()).expect("builds");
    pipeline.fast = pipeline.fast.take().and_then(|fast| fast.settle(&pipeline.inner));
    pipeline
}

fn saved(tokenizer: &Tokenizer) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    tokenizer.save(folder.path()).expect("saves");
    parsed(&std::fs::read_to_string(folder.path().join("tokenizer.json")).expect("reads"))
}

/// One small vocabulary under every way to show spaces, with added tokens of every kind.
fn pipelines() -> &'static [Pipeline] {
    static ALL: OnceLock<Vec<Pipeline>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut value = saved(&Tokenizer::from_folder(&fixtures().join("tokenizer/sentencepiece_bpe")).expect("reads"));
        let mut id = value["model"]["vocab"].as_object().expect("a map").len();
        for (content, flag) in [("<|user|>", "rstrip"), ("<|end|>", "lstrip"), ("one", "single_word"), ("<old>", "normalized"), ("\n\n", "special")] {
            let mut token = json!({"id": id, "content": content, "special": false, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false});
            token[flag] = json!(true);
            value["added_tokens"].as_array_mut().expect("a list").push(token);
            id += 1;
        }
        let mut all = Vec::new();
        for (normalizer, pre_tokenizer, _) in ways_to_show_spaces() {
            (value["normalizer"], value["pre_tokenizer"]) = (normalizer, pre_tokenizer);
            for byte_fallback in [true, false] {
                value["model"]["byte_fallback"] = json!(byte_fallback);
                all.push(settled(&value));
            }
        }
        all
    })
}

fn check(text: &str) {
    for (index, pipeline) in pipelines().iter().enumerate() {
        let fast = pipeline.fast.as_ref().expect("the kind is known");
        let is_quick = is_same(&pipeline.inner, fast, text, &index);
        let has_bytes = index % 2 == 0;
        assert!(is_quick || text.contains("<old>") || !has_bytes, "{text:?}: nothing else sends a text the general way");
    }
}

#[test]
fn ways_to_show_spaces_are_recognised_and_others_are_not() {
    for (normalizer, pre_tokenizer, expected) in ways_to_show_spaces() {
        assert_eq!(Spaces::of(&normalizer, &pre_tokenizer), Some(expected), "{normalizer} {pre_tokenizer}");
    }
    let replace = parsed(REPLACE);
    let mut pattern = replace.clone();
    pattern["pattern"] = json!({"Regex": " "});
    for (normalizer, pre_tokenizer) in [
        (Value::Null, Value::Null),
        (parsed(PREPEND), Value::Null),
        (pattern, Value::Null),
        (json!({"type": "NFKC"}), metaspace("always", true)),
        (json!({"type": "Sequence", "normalizers": [parsed(PREPEND), replace, json!({"type": "NFC"})]}), Value::Null),
        (replace.clone(), json!({"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated", "invert": false})),
        (replace, json!({"type": "Whitespace"})),
        (Value::Null, json!({"type": "Metaspace", "replacement": "_"})),
    ] {
        assert_eq!(Spaces::of(&normalizer, &pre_tokenizer), None, "{normalizer} {pre_tokenizer}");
    }
}

#[test]
fn chosen_texts_give_the_same() {
    let long = "one two three ".repeat(400);
    let letters = "the".repeat(900);
    let spaces = " ".repeat(2_500);
    for text in [
        "",
        " ",
        "▁",
        "\n",
        "a",
        " a",
        "▁a",
        "é",
        "日本語 🦙🚀",
        "  two  spaces   and ▁ ▁▁ visible",
        "one bone one's (one) one",
        "<|user|>  hi\n<|end|><|user|><|end|> \n",
        "  <|end|>  <|user|>  ",
        "a\n\nb\n\n\nc<s>d</s> e<unk>",
        "<old> <old>x",
        "<0x0A> <0xFF> \u{0}\u{1}\u{7f}\u{85}",
        "e\u{301}\u{200d} \u{fffd}\u{10ffff}",
        &long,
        &letters,
        &spaces,
    ] {
        check(text);
    }
}

/// Published vocabularies, where the shared test data is beside the project.
fn published() -> Vec<(String, Tokenizer)> {
    let Some(root) = shared_testdata().map(|root| root.join("tokenizers")) else {
        return Vec::new();
    };
    let phi3 = Tokenizer::from_folder(&root.join("phi-3-mini")).expect("reads");
    let mut all = vec![("phi-3-mini".to_owned(), phi3)];
    for name in ["mistral/tokenizer.model.v1", "mistral/mistral_instruct_tokenizer_240323.model.v3"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::copy(root.join(name), folder.path().join("tokenizer.model")).expect("copies");
        let first_only = folder.path().join("tokenizer_config.json");
        all.push((name.to_owned(), Tokenizer::from_folder(folder.path()).expect("reads")));
        std::fs::write(first_only, r#"{"legacy": false}"#).expect("writes");
        all.push((format!("{name}, first only"), Tokenizer::from_folder(folder.path()).expect("reads")));
    }
    all
}

fn check_published(text: &str) {
    static ALL: OnceLock<Vec<(String, Tokenizer)>> = OnceLock::new();
    for (name, tokenizer) in ALL.get_or_init(published) {
        let (inner, fast) = tokenizer.ways();
        assert!(is_same(inner, fast.expect("the kind is known"), text, name), "{name}: {text:?}");
    }
}

#[test]
fn shared_texts_give_the_same_with_published_vocabularies() {
    let Some(root) = shared_testdata() else { return };
    let mut files = 0;
    let mut read = |path: &Path| {
        files += 1;
        String::from_utf8_lossy(&std::fs::read(path).expect("reads")).into_owned()
    };
    let folder = |name: &str| std::fs::read_dir(root.join(name)).expect("a folder").map(|entry| entry.expect("an entry").path());
    for path in folder("tokenizers/golden").chain(folder("conformance/blns")).filter(|path| path.is_file()) {
        let text = read(&path);
        check_published(&text);
        text.lines().chain(text.split("\n__ggml_vocab_test__\n")).for_each(check_published);
    }
    read(&root.join("text/tinyshakespeare.txt")).split("\n\n").take(400).for_each(check_published);
    read(&root.join("chat/gsm8k-test-300.jsonl")).lines().take(100).for_each(check_published);
    assert!(files > 6);
}

/// A vocabulary of a few letters and spaces whose merges are any pairs of earlier tokens.
fn any_merges(choices: &[(u16, u16)], splits: bool) -> Value {
    let mut tokens: Vec<String> = ["▁", "a", "b", "é", "字", "<unk>"].map(str::to_owned).to_vec();
    let mut merges = Vec::new();
    for (left, right) in choices {
        let pick = |choice: &u16| tokens[*choice as usize % tokens.len()].clone();
        let (left, right) = (pick(left), pick(right));
        let joined = format!("{left}{right}");
        if joined.contains('<') || joined.chars().count() > 9 {
            continue;
        }
        merges.push(json!([left, right]));
        if !tokens.contains(&joined) {
            tokens.push(joined);
        }
    }
    for byte in 0..=255_u8 {
        tokens.push(format!("<0x{byte:02X}>"));
    }
    let vocab: serde_json::Map<String, Value> = tokens.into_iter().enumerate().map(|(id, token)| (token, json!(id))).collect();
    json!({
        "version": "1.0", "added_tokens": [], "post_processor": null, "decoder": null, "truncation": null, "padding": null,
        "normalizer": null, "pre_tokenizer": metaspace("always", splits),
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true},
    })
}

#[test]
fn vocabularies_with_a_twist_go_the_general_way() {
    let base = any_merges(&[(1, 2), (0, 1)], false);
    assert!(settled(&base).fast.is_some());
    for (name, to) in [("ignore_merges", json!(true)), ("end_of_word_suffix", json!("</w>")), ("continuing_subword_prefix", json!("b"))] {
        let mut value = base.clone();
        value["model"][name] = to;
        if name == "continuing_subword_prefix" {
            value["model"]["merges"] = json!([]);
        }
        assert!(settled(&value).fast.is_none(), "{name}");
    }
    let mut value = base.clone();
    value["model"]["vocab"]["<0x61>a"] = json!(1_000);
    value["model"]["merges"] = json!([["<0x61>", "a"]]);
    assert!(settled(&value).fast.is_none(), "a merge of a byte");
    let mut value = base;
    value["model"]["vocab"].as_object_mut().expect("a map").remove("▁");
    value["model"]["merges"] = json!([]);
    assert!(settled(&value).fast.is_none(), "no visible space");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_texts_give_the_same(
        text in r#"([ -~]|[ \t\r\n▁\u00a0\u2003]| one |[oneth ]{1,6}|[a-zéßñçÅàА-я]|[日本語カナ한국]|[\u0300-\u0304]|[🦙🚀‘’“”…—]|<\|user\|>|<\|end\|>|<old>|<s>|\n\n|\PC){0,60}"#
    ) {
        check(&text);
        check_published(&text);
    }

    #[test]
    fn any_merges_give_the_same(
        choices in prop::collection::vec((any::<u16>(), any::<u16>()), 0..40),
        splits in any::<bool>(),
        texts in prop::collection::vec("[ ▁abé字x]{0,90}", 6),
    ) {
        let pipeline = settled(&any_merges(&choices, splits));
        let fast = pipeline.fast.as_ref().expect("the kind is known");
        for text in &texts {
            prop_assert!(is_same(&pipeline.inner, fast, text, &choices));
        }
    }
}
