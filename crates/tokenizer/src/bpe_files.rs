//! A pipeline from `vocab.json` and `merges.txt`, the older pair of files of
//! byte-level BPE (GPT-2, Qwen2, Qwen3).

use serde_json::{Value, json};

use crate::error::TokenizerError;
use crate::pipeline::{BpeSpec, Spec, byte_level};
use crate::special::Settings;
use crate::tokenizer_json::read_vocab;
use tokenizers::models::bpe::Vocab;

/// How the Qwen family cuts text before merging.
///
/// # Source
/// The `pre_tokenizer` of the published Qwen2 `tokenizer.json`.
pub(crate) const QWEN_PATTERN: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Describes the tokenizer of the two files; fills in the family's usual special
/// tokens where the settings name none.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming the file.
pub(crate) fn describe(
    vocab_name: &str,
    vocab: &[u8],
    merges_name: &str,
    merges: &[u8],
    settings: &mut Settings,
) -> Result<Spec, TokenizerError> {
    let vocab = read_vocab(vocab).map_err(|error| TokenizerError::malformed(vocab_name, format!("not a map of token to id, {error}")))?;
    let merges = parse_merges(merges_name, merges)?;
    let is_qwen = is_qwen(settings);
    set_defaults(settings, &vocab, is_qwen);
    let prefix_space = settings.flag("add_prefix_space").unwrap_or(false);
    let mut spec = Spec {
        normalizer: Value::Null,
        pre_tokenizer: byte_level(prefix_space, true),
        post_processor: byte_level(prefix_space, true),
        decoder: byte_level(true, true),
        added_tokens: Vec::new(),
        bpe: BpeSpec { vocab, merges, ..BpeSpec::default() },
    };
    if is_qwen {
        let split = json!({
            "type": "Split", "pattern": {"Regex": QWEN_PATTERN}, "behavior": "Isolated", "invert": false
        });
        spec.normalizer = json!({"type": "NFC"});
        spec.pre_tokenizer = json!({"type": "Sequence", "pretokenizers": [split, byte_level(prefix_space, false)]});
    }
    Ok(spec)
}

fn parse_merges(name: &str, merges: &[u8]) -> Result<Vec<(String, String)>, TokenizerError> {
    let text = std::str::from_utf8(merges).map_err(|error| TokenizerError::malformed(name, format!("not UTF-8 text, {error}")))?;
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || (index == 0 && line.starts_with("#version")) {
            continue;
        }
        match line.split_once(' ').filter(|(_, right)| !right.contains(' ')) {
            Some((left, right)) => pairs.push((left.to_owned(), right.to_owned())),
            None => {
                return Err(TokenizerError::malformed(name, format!("line {} is {line:?}, expected two tokens", index + 1)));
            }
        }
    }
    Ok(pairs)
}

fn is_qwen(settings: &Settings) -> bool {
    let names = [settings.tokenizer.get("tokenizer_class"), settings.model.get("model_type")];
    let first = names.into_iter().flatten().find_map(Value::as_str);
    first.is_some_and(|name| name.to_ascii_lowercase().starts_with("qwen"))
}

/// Both families begin and end texts with the same token where nothing else is said.
fn set_defaults(settings: &mut Settings, vocab: &Vocab, is_qwen: bool) {
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
