//! From the description of a tokenizer to a working pipeline of the `tokenizers`
//! crate, checked first, because that crate panics or only warns on some malformed
//! vocabularies.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper};

use crate::error::TokenizerError;
use crate::fast::FastEncoder;
use crate::tokenizer_json::{self, Parsed};

/// A tokenizer with a BPE model, in the terms of `tokenizer.json`.
#[derive(Debug, Default)]
pub(crate) struct Spec {
    pub(crate) normalizer: Value,
    pub(crate) pre_tokenizer: Value,
    pub(crate) post_processor: Value,
    pub(crate) decoder: Value,
    pub(crate) added_tokens: Vec<(u32, AddedToken)>,
    pub(crate) bpe: BpeSpec,
}

/// The model of a [`Spec`].
#[derive(Debug, Default)]
pub(crate) struct BpeSpec {
    pub(crate) vocab: Vocab,
    pub(crate) merges: Vec<(String, String)>,
    pub(crate) unk_token: Option<String>,
    /// Marks tokens that continue a word; empty for none.
    pub(crate) prefix: String,
    /// Marks tokens that end a word; empty for none.
    pub(crate) suffix: String,
    pub(crate) fuse_unk: bool,
    pub(crate) byte_fallback: bool,
    pub(crate) ignore_merges: bool,
}

/// A tokenizer made of other files than `tokenizer.json`.
#[derive(Debug)]
pub(crate) enum Made {
    /// In the form of a `tokenizer.json`.
    Json(Vec<u8>),
    /// A BPE tokenizer.
    Bpe(Box<Spec>),
}

/// A working pipeline.
pub(crate) struct Pipeline {
    pub(crate) inner: tokenizers::Tokenizer,
    pub(crate) fast: Option<FastEncoder>,
}

/// Builds the pipeline of a `tokenizer.json`.
///
/// Truncation, padding, dropout and the trimming of offsets are left out: they
/// would cut text silently, or make ids or offsets other than what training needs.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming `file` for anything that is not a usable
/// tokenizer.
pub(crate) fn build(file: &str, json: &[u8]) -> Result<Pipeline, TokenizerError> {
    match tokenizer_json::parse(file, json)? {
        Parsed::Bpe(spec) => finish(file, assemble(file, *spec)?),
        Parsed::Other(declared) => {
            let inner = guarded(file, || tokenizers::Tokenizer::from_bytes(json))?;
            finish(file, (inner, None, declared))
        }
    }
}

/// Builds the pipeline of a tokenizer that was made of other files.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_made(file: &str, made: Made) -> Result<Pipeline, TokenizerError> {
    match made {
        Made::Json(json) => build(file, &json),
        Made::Bpe(spec) => finish(file, assemble(file, *spec)?),
    }
}

fn finish(file: &str, (mut inner, fast, declared): Assembled) -> Result<Pipeline, TokenizerError> {
    check_added(file, &declared, &inner)?;
    inner.with_truncation(None).map_err(|error| TokenizerError::malformed(file, error))?;
    inner.with_padding(None);
    let exact = inner.get_post_processor().cloned().map(exact_offsets);
    inner.with_post_processor(exact);
    Ok(Pipeline { inner, fast })
}

type Assembled = (tokenizers::Tokenizer, Option<FastEncoder>, Vec<(u32, AddedToken)>);

/// Puts a pipeline together from the parts of a [`Spec`].
fn assemble(file: &str, spec: Spec) -> Result<Assembled, TokenizerError> {
    let malformed = |error: &dyn std::fmt::Display| TokenizerError::malformed(file, error);
    let ranked = rank_merges(file, &spec.bpe)?;
    let fast = FastEncoder::new(&spec, &ranked);
    let BpeSpec { vocab, merges, unk_token, prefix, suffix, fuse_unk, byte_fallback, ignore_merges } = spec.bpe;
    let mut builder = BPE::builder()
        .vocab_and_merges(vocab, merges)
        .continuing_subword_prefix(prefix)
        .end_of_word_suffix(suffix)
        .fuse_unk(fuse_unk)
        .byte_fallback(byte_fallback)
        .ignore_merges(ignore_merges);
    if let Some(token) = unk_token {
        builder = builder.unk_token(token);
    }
    let mut inner = tokenizers::Tokenizer::new(guarded(file, || builder.build())?);
    let normalizer: Option<NormalizerWrapper> = part(file, "normalizer", spec.normalizer)?;
    inner.with_normalizer(normalizer).map_err(|error| malformed(&error))?;
    inner.with_pre_tokenizer(part::<PreTokenizerWrapper>(file, "pre_tokenizer", spec.pre_tokenizer)?);
    inner.with_post_processor(part::<PostProcessorWrapper>(file, "post_processor", spec.post_processor)?);
    inner.with_decoder(part::<DecoderWrapper>(file, "decoder", spec.decoder)?);
    let tokens = spec.added_tokens.iter().map(|(_, token)| token.clone());
    inner.add_tokens(tokens).map_err(|error| malformed(&error))?;
    Ok((inner, fast, spec.added_tokens))
}

/// A part of the pipeline from its description; null for none.
fn part<T: DeserializeOwned>(file: &str, name: &str, value: Value) -> Result<Option<T>, TokenizerError> {
    guarded(file, || serde_json::from_value(value).map_err(Into::into)).map_err(|error| match error {
        TokenizerError::Malformed { file, reason } => TokenizerError::Malformed { file, reason: format!("{name}: {reason}") },
        other => other,
    })
}

fn guarded<T>(file: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, TokenizerError> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| TokenizerError::malformed(file, "the tokenizer's parts do not fit each other"))?
        .map_err(|error| TokenizerError::malformed(file, error))
}

/// The merges as ids of left, right and joined token. Every merge must join two tokens
/// into a third: the `tokenizers` crate overruns a buffer where the joined token is
/// longer than any known one.
fn rank_merges(file: &str, bpe: &BpeSpec) -> Result<Vec<(u32, u32, u32)>, TokenizerError> {
    let mut joined = String::new();
    let mut ranked = Vec::with_capacity(bpe.merges.len());
    for (index, (left, right)) in bpe.merges.iter().enumerate() {
        let id = |token: &str| {
            bpe.vocab.get(token).copied().ok_or_else(|| {
                let reason = format!("merge {index} needs the token {token:?}, which is not in the vocabulary");
                TokenizerError::malformed(file, reason)
            })
        };
        let Some(tail) = right.strip_prefix(bpe.prefix.as_str()) else {
            let reason = format!("merge {index} joins {right:?}, which lacks the prefix {:?}", bpe.prefix);
            return Err(TokenizerError::malformed(file, reason));
        };
        joined.clear();
        joined.push_str(left);
        joined.push_str(tail);
        ranked.push((id(left)?, id(right)?, id(&joined)?));
    }
    Ok(ranked)
}

/// Every added token must have got the id that the file declares, and no id two
/// tokens: ids that leave holes are renumbered by the `tokenizers` crate with a warning only.
fn check_added(file: &str, declared: &[(u32, AddedToken)], inner: &tokenizers::Tokenizer) -> Result<(), TokenizerError> {
    for (id, token) in declared {
        let got = inner.token_to_id(&token.content);
        if got != Some(*id) && !token.content.is_empty() {
            let got = got.map_or_else(|| "none".to_owned(), |id| id.to_string());
            return Err(TokenizerError::malformed(
                file,
                format!(
                    "the added token {:?} declares id {id} but its place in the vocabulary gives id {got}; \
                     ids must follow each other without holes",
                    token.content
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

/// The same processor with offsets that cover each token's whole text; trimmed ones
/// leave tokens of white space without any.
fn exact_offsets(processor: PostProcessorWrapper) -> PostProcessorWrapper {
    match processor {
        PostProcessorWrapper::ByteLevel(level) => PostProcessorWrapper::ByteLevel(level.trim_offsets(false)),
        PostProcessorWrapper::Roberta(roberta) => PostProcessorWrapper::Roberta(roberta.trim_offsets(false)),
        PostProcessorWrapper::Sequence(sequence) => {
            let exact = sequence.into_iter().map(exact_offsets).collect();
            PostProcessorWrapper::Sequence(tokenizers::processors::sequence::Sequence::new(exact))
        }
        other => other,
    }
}

/// The byte-level step in the terms of `tokenizer.json`.
pub(crate) fn byte_level(add_prefix_space: bool, use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": false, "use_regex": use_regex})
}
