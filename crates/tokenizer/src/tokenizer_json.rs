//! Reading `tokenizer.json`: its BPE models field by field, without the copies that a
//! general reader makes of a vocabulary; of other models only the added tokens.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::bpe::Vocab;

use crate::error::TokenizerError;
use crate::pipeline::{BpeSpec, Spec};

/// What was read.
pub(crate) enum Parsed {
    /// A tokenizer with a BPE model.
    Bpe(Box<Spec>),
    /// Another; with the ids that it declares for added tokens.
    Other(Vec<(u32, AddedToken)>),
}

/// Reads a `tokenizer.json`.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming `file`.
pub(crate) fn parse(file: &str, json: &[u8]) -> Result<Parsed, TokenizerError> {
    let read: File =
        serde_json::from_slice(json).map_err(|error| TokenizerError::malformed(file, format!("not a tokenizer.json, {error}")))?;
    if let Some(version) = read.version.as_deref().filter(|version| *version != "1.0") {
        return Err(TokenizerError::malformed(file, format!("found version {version:?}, expected \"1.0\"")));
    }
    let added_tokens = read.added_tokens.into_iter().map(|entry| (entry.id, entry.token)).collect();
    let model = read.model;
    let is_bpe = model.kind.as_deref().map_or(model.merges.is_some(), |kind| kind == "BPE");
    let (Some(Vocabulary::Map(vocab)), true) = (model.vocab, is_bpe) else {
        return Ok(Parsed::Other(added_tokens));
    };
    let merges = model.merges.unwrap_or_default().into_iter().enumerate().map(|(index, merge)| match merge {
        Merge::Pair(left, right) => Ok((left, right)),
        Merge::Broken(text) => Err(TokenizerError::malformed(file, format!("merge {index} is {text:?}, expected two tokens"))),
    });
    Ok(Parsed::Bpe(Box::new(Spec {
        normalizer: read.normalizer,
        pre_tokenizer: read.pre_tokenizer,
        post_processor: read.post_processor,
        decoder: read.decoder,
        added_tokens,
        bpe: BpeSpec {
            vocab,
            merges: merges.collect::<Result<_, _>>()?,
            unk_token: model.unk_token,
            prefix: model.continuing_subword_prefix.unwrap_or_default(),
            suffix: model.end_of_word_suffix.unwrap_or_default(),
            fuse_unk: model.fuse_unk,
            byte_fallback: model.byte_fallback,
            ignore_merges: model.ignore_merges,
        },
    })))
}

#[derive(Deserialize)]
struct File {
    version: Option<String>,
    #[serde(default)]
    added_tokens: Vec<AddedEntry>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

#[derive(Deserialize)]
struct AddedEntry {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Option<Vocabulary>,
    merges: Option<Vec<Merge>>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// A map of token to id; a list (of another kind of model) is left to its own reader.
enum Vocabulary {
    Map(Vocab),
    List,
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vocabulary;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map or list of tokens")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut vocab = Vocab::new();
                while let Some((token, id)) = map.next_entry::<String, u32>()? {
                    vocab.insert(token, id);
                }
                Ok(Vocabulary::Map(vocab))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vocabulary, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Vocabulary::List)
            }
        }
        deserializer.deserialize_any(Entries)
    }
}

/// Two tokens, written as a pair or with a space between.
enum Merge {
    Pair(String, String),
    Broken(String),
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;
        impl<'de> Visitor<'de> for Tokens {
            type Value = Merge;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a merge of two tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
                let mut tokens = text.split(' ');
                Ok(match (tokens.next(), tokens.next(), tokens.next()) {
                    (Some(left), Some(right), None) => Merge::Pair(left.to_owned(), right.to_owned()),
                    _ => Merge::Broken(text.to_owned()),
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merge, A::Error> {
                let mut tokens = Vec::new();
                while let Some(token) = list.next_element::<String>()? {
                    tokens.push(token);
                }
                Ok(match <[String; 2]>::try_from(tokens) {
                    Ok([left, right]) => Merge::Pair(left, right),
                    Err(tokens) => Merge::Broken(tokens.join(" ")),
                })
            }
        }
        deserializer.deserialize_any(Tokens)
    }
}

/// Reads a map of token to id by itself, as `vocab.json` is one.
pub(crate) fn read_vocab(json: &[u8]) -> Result<Vocab, String> {
    match serde_json::from_slice(json) {
        Ok(Vocabulary::Map(vocab)) => Ok(vocab),
        Ok(Vocabulary::List) => Err("found a list".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
