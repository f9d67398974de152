//! The quick way over bytes against the general one: the same ids and offsets for any
//! text, under every known pattern.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::cut::Cut;
use super::{FastEncoder, Words};
use crate::pipeline::{Pipeline, build, byte_level};

/// Llama 3's pattern and GPT-2's as a step of its own.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

fn sequence(first: Value, use_regex: bool) -> Value {
    json!({"type": "Sequence", "pretokenizers": [first, byte_level(false, use_regex)]})
}

fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

fn pre_tokenizers() -> Vec<(Value, Cut)> {
    vec![
        (byte_level(false, true), Cut::Gpt2 { digits: false }),
        (sequence(split(GPT2), false), Cut::Gpt2 { digits: false }),
        (sequence(json!({"type": "Digits", "individual_digits": true}), true), Cut::Gpt2 { digits: true }),
        (sequence(split(crate::bpe_files::QWEN_PATTERN), false), Cut::Llama3 { digits_max: 1 }),
        (sequence(split(LLAMA3), false), Cut::Llama3 { digits_max: 3 }),
    ]
}

/// Pipelines of every known kind over one small vocabulary, with added tokens that
/// take the space around them.
fn pipelines() -> &'static [Pipeline] {
    static ALL: OnceLock<Vec<Pipeline>> = OnceLock::new();
    ALL.get_or_init(|| {
        let text = "the thing that they'll say: it's 12345 times\n\n  better, isn't it? été ‘quoted’ 日本\r\n\tdone ".repeat(3);
        let learned = crate::learn::byte_level_bpe([text].iter(), 330, &crate::learn::SpecialTokens::default()).expect("learns");
        let folder = tempfile::tempdir().expect("a temporary folder");
        learned.save(folder.path()).expect("saves");
        let bytes = std::fs::read(folder.path().join("tokenizer.json")).expect("reads");
        let base: Value = serde_json::from_slice(&bytes).expect("JSON");
        let mut all = Vec::new();
        for (pre_tokenizer, _) in pre_tokenizers() {
            for (normalizer, ignore_merges, ends) in [(Value::Null, false, false), (json!({"type": "NFC"}), true, true)] {
                let mut value = base.clone();
                value["pre_tokenizer"] = pre_tokenizer.clone();
                value["normalizer"] = normalizer;
                value["model"]["ignore_merges"] = json!(ignore_merges);
                value["added_tokens"][1]["lstrip"] = json!(true);
                value["added_tokens"][2]["rstrip"] = json!(true);
                value["added_tokens"][0]["normalized"] = json!(ends);
                let mut word = value["added_tokens"][0].clone();
                for (name, to) in [
                    ("id", json!(value["model"]["vocab"].as_object().expect("a map").len())),
                    ("content", json!("bet")),
                    ("single_word", json!(true)),
                ] {
                    word[name] = to;
                }
                value["added_tokens"].as_array_mut().expect("a list").push(word);
                if ends {
                    value["post_processor"] = json!({
                        "type": "TemplateProcessing",
                        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
                        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}},
                    });
                }
                let mut pipeline = build("test", value.to_string().as_bytes()).expect("builds");
                pipeline.fast = pipeline.fast.take().and_then(|fast| fast.settle(&pipeline.inner));
                all.push(pipeline);
            }
        }
        all
    })
}

/// Compares both ways; true where the quick one took the text.
pub(super) fn is_same(inner: &tokenizers::Tokenizer, fast: &FastEncoder, text: &str, what: &dyn std::fmt::Debug) -> bool {
    [false, true].into_iter().all(|special| {
        let general = inner.encode(text, special).expect("encodes");
        let Some(quick) = fast.encode(text, special) else {
            return false;
        };
        assert_eq!(quick.ids, general.get_ids(), "{what:?}: {text:?}");
        assert_eq!(quick.offsets, general.get_offsets(), "{what:?}: {text:?}");
        true
    })
}

fn check(text: &str) {
    for (index, pipeline) in pipelines().iter().enumerate() {
        let fast = pipeline.fast.as_ref().expect("the kind is known");
        let Words::ByteLevel(words) = &fast.words else {
            panic!("another kind");
        };
        let is_quick = is_same(&pipeline.inner, fast, text, &index);
        assert!(is_quick || words.needs_nfc && !text.is_ascii(), "{text:?}: only composition sends a text the general way");
    }
}

#[test]
fn known_patterns_are_recognised_and_others_are_not() {
    for (value, cut) in pre_tokenizers() {
        assert_eq!(Cut::of(&value), Some(cut));
    }
    let mut inverted = split(GPT2);
    inverted["invert"] = json!(true);
    for other in [
        Value::Null,
        byte_level(true, true),
        byte_level(false, false),
        sequence(split("x"), false),
        sequence(split(GPT2), true),
        sequence(inverted, false),
        json!({"type": "Whitespace"}),
        json!({"type": "Sequence", "pretokenizers": [byte_level(false, true)]}),
    ] {
        assert_eq!(Cut::of(&other), None, "{other}");
    }
}

#[test]
fn chosen_texts_give_the_same() {
    let long = "abcdefghij".repeat(50);
    let same = "a".repeat(3_000);
    for text in [
        "",
        " ",
        "\n",
        "   \n\n  x",
        "it's IT'S 'S 'ſ 'LL 'lL 're'Re x'vex ''s '",
        "12 345 6789 １２３ ½ Ⅷ ٣٤",
        " a  b   c    ",
        "\ta\t\tb\r\n\r\nc\r\n \r\n  d",
        "a!!!\n\n\nb ?!\r\nc ...",
        "word\u{a0}word\u{3000}word\u{2028}x",
        "日本語、です。한국어 ไทย हिन्दी",
        "e\u{301} é ﬁ Å \u{212B}",
        "🦙🚀👩\u{200d}👩\u{200d}👧 x🦙y",
        "a <|im_start|> b<|im_end|>  c<|endoftext|><|im_start|>",
        "  <|im_start|>\n<|im_end|>\n x <| im_start",
        "bet bets abet (bet) bet\u{301} bet_ bet",
        "<|im_start|><|endoftext|>bet<|endoftext|> bet ",
        &long,
        &same,
    ] {
        check(text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_texts_give_the_same(
        text in r#"([ -~]|[ \t\r\n\u00a0\u2003\u3000]|[strevmldSTREVMLD'ſ]|[0-9½²Ⅷ٣]|[a-zéßñçÅàА-я]|[日本語カナ한국]|[\u0300-\u0304]|[🦙🚀‘’“”…—]|<\|im_start\|>|<\|im_end\|>|<\|endoftext\|>| bet |\PC){0,60}"#
    ) {
        check(&text);
    }
}
