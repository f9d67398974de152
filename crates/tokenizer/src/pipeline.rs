//! From the bytes of a `tokenizer.json` to a working pipeline of the `tokenizers`
//! crate, checked first, because that crate panics or only warns on some
//! malformed vocabularies.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;
use tokenizers::models::ModelWrapper;
use tokenizers::processors::PostProcessorWrapper;

use crate::error::TokenizerError;

/// The parts of a `tokenizer.json` that are checked before it is built.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    model: ModelOutline<'a>,
    #[serde(default, borrow)]
    added_tokens: Vec<AddedOutline<'a>>,
}

#[derive(Deserialize)]
struct ModelOutline<'a> {
    #[serde(default, borrow)]
    merges: Option<Vec<MergeOutline<'a>>>,
    #[serde(default, borrow)]
    vocab: Option<VocabOutline<'a>>,
    #[serde(default, borrow)]
    continuing_subword_prefix: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum VocabOutline<'a> {
    Map(#[serde(borrow)] HashMap<Cow<'a, str>, u32>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MergeOutline<'a> {
    Joined(#[serde(borrow)] Cow<'a, str>),
    Pair(#[serde(borrow)] (Cow<'a, str>, Cow<'a, str>)),
}

#[derive(Deserialize)]
struct AddedOutline<'a> {
    id: u32,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// Builds the pipeline of a `tokenizer.json`.
///
/// Truncation, padding, dropout and the trimming of offsets are switched off: they
/// would cut text silently, or make ids or offsets other than what training needs.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming `file` for anything that is not a usable
/// tokenizer.
pub(crate) fn build(file: &str, json: &[u8]) -> Result<tokenizers::Tokenizer, TokenizerError> {
    let outline: Outline<'_> =
        serde_json::from_slice(json).map_err(|error| TokenizerError::malformed(file, format!("not a tokenizer.json, {error}")))?;
    check_merges(file, &outline.model)?;
    let mut inner = catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(json)))
        .map_err(|_| TokenizerError::malformed(file, "the tokenizer's parts do not fit each other"))?
        .map_err(|error| TokenizerError::malformed(file, error))?;
    check_added(file, &outline, &inner)?;
    inner.with_truncation(None).map_err(|error| TokenizerError::malformed(file, error))?;
    inner.with_padding(None);
    drop_dropout(&mut inner);
    let exact = inner.get_post_processor().cloned().map(exact_offsets);
    inner.with_post_processor(exact);
    Ok(inner)
}

/// Every merge must join two tokens into a third: the `tokenizers` crate overruns a
/// buffer where the joined token is longer than any known one.
fn check_merges(file: &str, model: &ModelOutline<'_>) -> Result<(), TokenizerError> {
    let (Some(merges), Some(VocabOutline::Map(vocab))) = (&model.merges, &model.vocab) else {
        return Ok(());
    };
    let prefix = model.continuing_subword_prefix.as_deref().unwrap_or("");
    let mut joined = String::new();
    for (index, merge) in merges.iter().enumerate() {
        let (left, right): (&str, &str) = match merge {
            MergeOutline::Pair((left, right)) => (left, right),
            MergeOutline::Joined(text) => text
                .split_once(' ')
                .ok_or_else(|| TokenizerError::malformed(file, format!("merge {index} is {text:?}, expected two tokens")))?,
        };
        joined.clear();
        joined.push_str(left);
        joined.push_str(
            right.strip_prefix(prefix).ok_or_else(|| {
                TokenizerError::malformed(file, format!("merge {index} joins {right:?}, which lacks the prefix {prefix:?}"))
            })?,
        );
        for token in [left, right, joined.as_str()] {
            if !vocab.contains_key(token) {
                return Err(TokenizerError::malformed(
                    file,
                    format!("merge {index} needs the token {token:?}, which is not in the vocabulary"),
                ));
            }
        }
    }
    Ok(())
}

/// Every added token must have got the id that the file declares, and no id two
/// tokens: ids that leave holes are renumbered by the `tokenizers` crate with a warning only.
fn check_added(file: &str, outline: &Outline<'_>, inner: &tokenizers::Tokenizer) -> Result<(), TokenizerError> {
    for token in &outline.added_tokens {
        let got = inner.token_to_id(&token.content);
        if got != Some(token.id) && !token.content.is_empty() {
            let got = got.map_or_else(|| "none".to_owned(), |id| id.to_string());
            return Err(TokenizerError::malformed(
                file,
                format!(
                    "the added token {:?} declares id {} but its place in the vocabulary gives id {got}; \
                     ids must follow each other without holes",
                    token.content, token.id
                ),
            ));
        }
    }
    check_unique(file, inner)
}

/// No added token may share its id with another token of the vocabulary.
pub(crate) fn check_unique(file: &str, inner: &tokenizers::Tokenizer) -> Result<(), TokenizerError> {
    use tokenizers::Model;
    for (id, token) in inner.get_added_tokens_decoder() {
        if let Some(other) = inner.get_model().id_to_token(id)
            && other != token.content
        {
            return Err(TokenizerError::malformed(
                file,
                format!("id {id} stands for both {other:?} and {:?}, expected one", token.content),
            ));
        }
    }
    Ok(())
}

/// True where characters outside of the vocabulary are dropped without a trace: BPE
/// without a token for the unknown, over characters instead of bytes.
pub(crate) fn loses_unknown(inner: &tokenizers::Tokenizer) -> bool {
    matches!(inner.get_model(), ModelWrapper::BPE(model)
        if model.unk_token.is_none() && !model.byte_fallback)
        && inner.get_pre_tokenizer().is_none()
        && inner.get_normalizer().is_none()
}

/// Random merges would make the same text give other ids each time.
fn drop_dropout(inner: &mut tokenizers::Tokenizer) {
    if let ModelWrapper::BPE(model) = inner.get_model()
        && model.dropout.is_some()
    {
        let mut model = model.clone();
        model.dropout = None;
        inner.with_model(model);
    }
}

/// The same processor with offsets that cover each token's whole text; trimmed ones
/// leave tokens of white space without any.
fn exact_offsets(processor: PostProcessorWrapper) -> PostProcessorWrapper {
    match processor {
        PostProcessorWrapper::ByteLevel(level) => PostProcessorWrapper::ByteLevel(level.trim_offsets(false)),
        PostProcessorWrapper::Roberta(roberta) => PostProcessorWrapper::Roberta(roberta.trim_offsets(false)),
        PostProcessorWrapper::Sequence(sequence) => PostProcessorWrapper::Sequence(tokenizers::processors::sequence::Sequence::new(
            sequence.into_iter().map(exact_offsets).collect(),
        )),
        other => other,
    }
}
