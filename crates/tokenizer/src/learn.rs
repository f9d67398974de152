//! Learning a vocabulary from text: byte-level BPE, or one token a character. The
//! same text always gives the same vocabulary, and the results are complete
//! tokenizers whose folders other programs load.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use crate::error::TokenizerError;
use crate::template::CHATML;
use crate::tokenizer::Tokenizer;

/// The tokens with a role of their own in a learned vocabulary; they get the first ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Ends a text, and begins one where `bos` is not set.
    pub eos: String,
    /// Begins every text, where set.
    pub bos: Option<String>,
    /// Further tokens that are matched whole, such as those of a chat template.
    pub more: Vec<String>,
}

impl Default for SpecialTokens {
    /// `<|endoftext|>` to end a text, and the two tokens of ChatML, so that the model
    /// can be tuned to chat later.
    fn default() -> Self {
        Self { eos: "<|endoftext|>".to_owned(), bos: None, more: vec!["<|im_start|>".to_owned(), "<|im_end|>".to_owned()] }
    }
}

impl SpecialTokens {
    fn all(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        std::iter::once(self.eos.as_str())
            .chain(self.bos.as_deref())
            .chain(self.more.iter().map(String::as_str))
            .filter(|token| seen.insert(*token))
            .collect()
    }
}

/// Learns a byte-level BPE vocabulary of at most `vocab_size` tokens: the special
/// tokens, the 256 bytes, then the most common joins. Any text can be encoded with it.
/// A small text gives fewer tokens than asked for.
///
/// # Errors
/// [`TokenizerError::Learn`] where `vocab_size` has no room for the bytes, or where
/// there is no text.
pub fn byte_level_bpe<I>(texts: I, vocab_size: usize, special: &SpecialTokens) -> Result<Tokenizer, TokenizerError>
where
    I: Iterator + Send,
    I::Item: AsRef<str> + Send,
{
    let tokens = special.all();
    if tokens.iter().any(|token| token.is_empty()) {
        return Err(TokenizerError::Learn("found an empty special token".to_owned()));
    }
    let smallest = tokens.len() + 256;
    if vocab_size < smallest {
        return Err(TokenizerError::Learn(format!(
            "found vocab_size {vocab_size}, expected at least {smallest}: {} special tokens and 256 bytes",
            tokens.len()
        )));
    }
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(vocab_size)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(tokens.iter().map(|token| AddedToken::from(*token, true)).collect())
        .build();
    let mut saw_text = std::sync::atomic::AtomicBool::new(false);
    let texts = texts.inspect(|text| {
        if !text.as_ref().is_empty() {
            saw_text.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let mut learner = tokenizers::TokenizerImpl::<
        BPE,
        tokenizers::NormalizerWrapper,
        ByteLevel,
        tokenizers::PostProcessorWrapper,
        tokenizers::DecoderWrapper,
    >::new(BPE::default());
    learner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    learner.train(&mut trainer, texts).map_err(|error| TokenizerError::Learn(error.to_string()))?;
    if !*saw_text.get_mut() {
        return Err(TokenizerError::Learn("found no text".to_owned()));
    }
    let model = serde_json::to_value(learner.get_model()).map_err(|error| TokenizerError::Learn(error.to_string()))?;
    let level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true
    });
    complete(model, &tokens, Some(level), special)
}

/// Makes a vocabulary of the characters of a text, in the order of their code points.
/// Encoding a character that is not among them is an error.
///
/// # Errors
/// [`TokenizerError::Learn`] where there is no text.
pub fn characters(text: &str) -> Result<Tokenizer, TokenizerError> {
    let symbols: BTreeSet<char> = text.chars().collect();
    if symbols.is_empty() {
        return Err(TokenizerError::Learn("found no text".to_owned()));
    }
    let vocab: Map<String, Value> = symbols.iter().enumerate().map(|(id, symbol)| (symbol.to_string(), Value::from(id))).collect();
    let model = json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": false, "vocab": vocab, "merges": [],
    });
    let none = SpecialTokens { eos: String::new(), bos: None, more: Vec::new() };
    complete(model, &[], None, &none)
}

/// The two files of a learned tokenizer, read back as any other.
fn complete(model: Value, tokens: &[&str], level: Option<Value>, special: &SpecialTokens) -> Result<Tokenizer, TokenizerError> {
    let added: Vec<Value> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        })
        .collect();
    let begin = match &special.bos {
        Some(bos) => begin_with(bos, tokens),
        None => level.clone().unwrap_or_default(),
    };
    let pipeline = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": level,
        "post_processor": begin,
        "decoder": level.clone().unwrap_or_else(|| json!({"type": "Fuse"})),
        "model": model,
    });
    let mut config = Map::new();
    config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
    config.insert("clean_up_tokenization_spaces".to_owned(), false.into());
    if !special.eos.is_empty() {
        config.insert("eos_token".to_owned(), special.eos.as_str().into());
        config.insert("pad_token".to_owned(), special.eos.as_str().into());
    }
    if let Some(bos) = &special.bos {
        config.insert("bos_token".to_owned(), bos.as_str().into());
    }
    if special.more.iter().any(|token| token == "<|im_start|>") {
        config.insert("chat_template".to_owned(), CHATML.into());
    }
    let config = serde_json::to_string_pretty(&Value::Object(config)).expect("a map of JSON values is always written");
    Tokenizer::from_json(&pipeline.to_string(), Some(&config))
}

/// The step that puts a token before every text.
fn begin_with(bos: &str, tokens: &[&str]) -> Value {
    let id = tokens.iter().position(|token| *token == bos);
    let mark = json!({"SpecialToken": {"id": bos, "type_id": 0}});
    let (first, second) = (json!({"Sequence": {"id": "A", "type_id": 0}}), json!({"Sequence": {"id": "B", "type_id": 0}}));
    json!({
        "type": "TemplateProcessing",
        "single": [mark, first],
        "pair": [mark, first, mark, second],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    })
}
