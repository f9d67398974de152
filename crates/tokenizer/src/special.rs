//! Which tokens begin and end a text, and which are hidden when reading: settled
//! from `tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json`
//! and `config.json`, in this order.

use serde_json::{Map, Value};
use tokenizers::AddedToken;
use tokenizers::processors::template::TemplateProcessing;

use crate::error::TokenizerError;
use crate::pipeline::check_unique;

/// The ids with a role of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct SpecialIds {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Vec<u32>,
    pub(crate) pad: Option<u32>,
    pub(crate) unk: Option<u32>,
}

/// The JSON files that name special tokens; an absent file is an empty map.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// `tokenizer_config.json`
    pub(crate) tokenizer: Map<String, Value>,
    /// `special_tokens_map.json`
    pub(crate) special: Map<String, Value>,
    /// `added_tokens.json`
    pub(crate) added: Map<String, Value>,
    /// `generation_config.json`
    pub(crate) generation: Option<Map<String, Value>>,
    /// `config.json`
    pub(crate) model: Map<String, Value>,
}

impl Settings {
    /// The text of a named special token such as `bos_token`.
    pub(crate) fn token(&self, name: &str) -> Option<&str> {
        [&self.tokenizer, &self.special].into_iter().filter_map(|map| map.get(name)).find_map(token_text)
    }

    /// A yes or no of `tokenizer_config.json`, where it is written down.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.tokenizer.get(name).and_then(Value::as_bool)
    }

    /// The ids that `generation_config.json`, or without it `config.json`, gives.
    fn ids(&self, name: &str) -> Vec<u32> {
        let map = self.generation.as_ref().unwrap_or(&self.model);
        let as_id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        match map.get(name) {
            Some(Value::Array(values)) => values.iter().filter_map(as_id).collect(),
            Some(value) => as_id(value).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// The text of a token that is written as a string or as an object with `content`.
pub(crate) fn token_text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(fields) => fields.get("content").and_then(Value::as_str),
        _ => None,
    }
}

/// Adds what the settings declare beyond the pipeline, and finds the special ids.
///
/// # Errors
/// [`TokenizerError::Malformed`] where a declared id is not the one that the
/// vocabulary gives.
pub(crate) fn settle(inner: &mut tokenizers::Tokenizer, settings: &Settings, is_made: bool) -> Result<SpecialIds, TokenizerError> {
    add_declared(inner, settings)?;
    mark_named(inner, settings)?;
    let named = |name: &str| settings.token(name).and_then(|text| inner.token_to_id(text));
    let mut ids = SpecialIds {
        bos: named("bos_token").or_else(|| settings.ids("bos_token_id").first().copied()),
        eos: named("eos_token").into_iter().collect(),
        pad: named("pad_token").or_else(|| settings.ids("pad_token_id").first().copied()),
        unk: named("unk_token"),
    };
    for id in settings.ids("eos_token_id") {
        if !ids.eos.contains(&id) {
            ids.eos.push(id);
        }
    }
    if ids.eos.is_empty() && settings.tokenizer.is_empty() {
        // A bare tokenizer.json: the one token that the GPT-2 and Qwen lines end texts with.
        ids.eos.extend(inner.token_to_id("<|endoftext|>"));
    }
    if is_made {
        set_sequence_ends(inner, settings, &ids)?;
    }
    Ok(ids)
}

/// The tokens of `added_tokens.json` and `added_tokens_decoder` that the pipeline lacks.
fn add_declared(inner: &mut tokenizers::Tokenizer, settings: &Settings) -> Result<(), TokenizerError> {
    let mut declared: Vec<(u32, AddedToken)> = Vec::new();
    if let Some(Value::Object(decoder)) = settings.tokenizer.get("added_tokens_decoder") {
        for (id, value) in decoder {
            let id: u32 = id.parse().map_err(|_| {
                TokenizerError::malformed("tokenizer_config.json", format!("added_tokens_decoder has the key {id:?}, expected an id"))
            })?;
            let Some(content) = token_text(value) else {
                return Err(TokenizerError::malformed(
                    "tokenizer_config.json",
                    format!("added_tokens_decoder gives no content for id {id}"),
                ));
            };
            let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
            let token = AddedToken::from(content, flag("special"))
                .normalized(flag("normalized"))
                .lstrip(flag("lstrip"))
                .rstrip(flag("rstrip"))
                .single_word(flag("single_word"));
            declared.push((id, token));
        }
    }
    for (content, id) in &settings.added {
        let Some(id) = id.as_u64().and_then(|id| u32::try_from(id).ok()) else {
            return Err(TokenizerError::malformed("added_tokens.json", format!("{content:?} has {id}, expected an id")));
        };
        if !declared.iter().any(|(_, token)| &token.content == content) {
            declared.push((id, AddedToken::from(content.clone(), false).normalized(false)));
        }
    }
    declared.sort_by_key(|(id, _)| *id);
    let known = inner.get_added_vocabulary().get_vocab().clone();
    let missing: Vec<(u32, AddedToken)> = declared.into_iter().filter(|(_, token)| !known.contains_key(&token.content)).collect();
    inner
        .add_tokens(missing.iter().map(|(_, token)| token.clone()))
        .map_err(|error| TokenizerError::malformed("tokenizer_config.json", error))?;
    for (id, token) in &missing {
        let got = inner.token_to_id(&token.content);
        if got != Some(*id) {
            let got = got.map_or_else(|| "none".to_owned(), |id| id.to_string());
            return Err(TokenizerError::malformed(
                "tokenizer_config.json",
                format!("the added token {:?} declares id {id} but the vocabulary gives it {got}", token.content),
            ));
        }
    }
    check_unique("tokenizer_config.json", inner)
}

/// Named special tokens of the vocabulary are matched whole and hidden when reading.
fn mark_named(inner: &mut tokenizers::Tokenizer, settings: &Settings) -> Result<(), TokenizerError> {
    const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
    let listed = [&settings.tokenizer, &settings.special]
        .into_iter()
        .filter_map(|map| map.get("additional_special_tokens"))
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(token_text);
    let texts: Vec<&str> = NAMES.iter().filter_map(|name| settings.token(name)).chain(listed).collect();
    let added = inner.get_added_tokens_decoder();
    let mut changed: Vec<AddedToken> = Vec::new();
    for text in texts {
        let Some(id) = inner.token_to_id(text) else {
            continue;
        };
        match added.get(&id) {
            Some(token) if token.special => {}
            Some(token) => changed.push(token.clone().special(true)),
            None => changed.push(AddedToken::from(text, true).normalized(false)),
        }
    }
    if !changed.is_empty() {
        inner.add_special_tokens(changed).map_err(|error| TokenizerError::malformed("tokenizer_config.json", error))?;
    }
    Ok(())
}

/// `add_bos_token` and `add_eos_token` decide for a pipeline that was made of other
/// files; a `tokenizer.json` has its own rule, and there the reference implementation
/// (Transformers 5) does not look at them.
fn set_sequence_ends(inner: &mut tokenizers::Tokenizer, settings: &Settings, ids: &SpecialIds) -> Result<(), TokenizerError> {
    let (add_bos, add_eos) = (settings.flag("add_bos_token"), settings.flag("add_eos_token"));
    if add_bos.is_none() && add_eos.is_none() {
        return Ok(());
    }
    let bos = ids.bos.filter(|_| add_bos == Some(true)).zip(settings.token("bos_token"));
    let eos = ids.eos.first().copied().filter(|_| add_eos == Some(true)).zip(settings.token("eos_token"));
    let mut single: Vec<String> = Vec::new();
    let mut tokens: Vec<(String, u32)> = Vec::new();
    let mut push = |part: Option<(u32, &str)>, single: &mut Vec<String>| {
        if let Some((id, text)) = part {
            single.push(text.to_owned());
            if !tokens.iter().any(|(known, _)| known == text) {
                tokens.push((text.to_owned(), id));
            }
        }
    };
    push(bos, &mut single);
    single.push("$A".to_owned());
    push(eos, &mut single);
    let processor = TemplateProcessing::builder()
        .try_single(single)
        .map_err(|error| TokenizerError::malformed("tokenizer_config.json", error))?
        .special_tokens(tokens)
        .build()
        .map_err(|error| TokenizerError::malformed("tokenizer_config.json", error))?;
    inner.with_post_processor(Some(processor));
    Ok(())
}
