//! A pipeline from `vocab.json` and `merges.txt`, the older pair of files of
//! byte-level BPE (GPT-2, Qwen2, Qwen3).

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::error::TokenizerError;
use crate::special::Settings;

/// How the Qwen family cuts text before merging.
///
/// # Source
/// The `pre_tokenizer` of the published Qwen2 `tokenizer.json`.
const QWEN_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Makes the `tokenizer.json` of the two files; fills in the family's usual special
/// tokens where the settings name none.
pub(crate) fn pipeline(
    vocab_name: &str,
    vocab: &[u8],
    merges_name: &str,
    merges: &[u8],
    settings: &mut Settings,
) -> Result<Vec<u8>, TokenizerError> {
    let vocab: HashMap<String, u32> = serde_json::from_slice(vocab)
        .map_err(|error| TokenizerError::malformed(vocab_name, format!("not a map of token to id, {error}")))?;
    let merges = parse_merges(merges_name, merges)?;
    let is_qwen = is_qwen(settings);
    set_defaults(settings, &vocab, is_qwen);
    let prefix_space = settings.flag("add_prefix_space").unwrap_or(false);
    let level =
        |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true, "use_regex": use_regex});
    let (normalizer, pre_tokenizer) = if is_qwen {
        let split = json!({
            "type": "Split", "pattern": {"Regex": QWEN_PATTERN}, "behavior": "Isolated", "invert": false
        });
        (json!({"type": "NFC"}), json!({"type": "Sequence", "pretokenizers": [split, level(false)]}))
    } else {
        (Value::Null, level(true))
    };
    let mut sorted: Vec<(String, u32)> = vocab.into_iter().collect();
    sorted.sort_by_key(|(_, id)| *id);
    let vocab: serde_json::Map<String, Value> = sorted.into_iter().map(|(token, id)| (token, Value::from(id))).collect();
    let pipeline = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {
            "type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": false, "use_regex": true
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": merges,
        },
    });
    Ok(pipeline.to_string().into_bytes())
}

fn parse_merges(name: &str, merges: &[u8]) -> Result<Vec<String>, TokenizerError> {
    let text = std::str::from_utf8(merges).map_err(|error| TokenizerError::malformed(name, format!("not UTF-8 text, {error}")))?;
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || (index == 0 && line.starts_with("#version")) {
            continue;
        }
        if line.split(' ').count() != 2 {
            return Err(TokenizerError::malformed(name, format!("line {} is {line:?}, expected two tokens", index + 1)));
        }
        pairs.push(line.to_owned());
    }
    Ok(pairs)
}

fn is_qwen(settings: &Settings) -> bool {
    let names = [settings.tokenizer.get("tokenizer_class"), settings.model.get("model_type")];
    let first = names.into_iter().flatten().find_map(Value::as_str);
    first.is_some_and(|name| name.to_ascii_lowercase().starts_with("qwen"))
}

/// Both families begin and end texts with the same token where nothing else is said.
fn set_defaults(settings: &mut Settings, vocab: &HashMap<String, u32>, is_qwen: bool) {
    const END: &str = "<|endoftext|>";
    let names: &[&str] = if is_qwen { &["eos_token", "pad_token"] } else { &["bos_token", "eos_token", "unk_token"] };
    let known = vocab.contains_key(END)
        || settings.added.contains_key(END)
        || settings.tokenizer.get("added_tokens_decoder").is_some_and(|tokens| tokens.to_string().contains(END));
    for name in names {
        let named = settings.tokenizer.contains_key(*name) || settings.special.contains_key(*name);
        if known && !named {
            settings.special.insert((*name).to_owned(), Value::from(END));
        }
    }
}
