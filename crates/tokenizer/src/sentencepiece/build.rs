//! From scored pieces to a pipeline that gives the ids of SentencePiece.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use super::{Algorithm, PieceKind, PieceModel};
use crate::error::TokenizerError;
use crate::pipeline::{BpeSpec, Made, Spec};
use crate::special::Settings;

/// SentencePiece's visible space.
const SPACE: &str = "\u{2581}";

/// Describes the tokenizer of a model, and names its special tokens in the
/// settings where they are not named yet.
///
/// # Errors
/// [`TokenizerError::Malformed`] naming `file` for a kind of model that has no
/// equal here, or for pieces that occur twice.
pub(crate) fn describe(file: &str, model: &PieceModel, settings: &mut Settings) -> Result<Made, TokenizerError> {
    if model.whitespace_as_suffix {
        return Err(TokenizerError::malformed(file, "spaces belong to the word before them, which is not supported"));
    }
    let ids = piece_ids(file, model)?;
    name_special(model, settings);
    let spaces = Spaces::of(model, settings);
    let (normalizer, pre_tokenizer) = spaces.steps(model);
    let post_processor = sequence_ends(model, settings);
    let decoder = decoder(model);
    let with_merges = match model.algorithm {
        Algorithm::Bpe => true,
        Algorithm::Char => false,
        Algorithm::Unigram => {
            let pipeline = json!({
                "version": "1.0", "truncation": null, "padding": null,
                "added_tokens": added_tokens(model)
                    .into_iter()
                    .map(|(id, token)| {
                        json!({
                            "id": id, "content": token.content, "single_word": false, "lstrip": false,
                            "rstrip": false, "normalized": false, "special": token.special
                        })
                    })
                    .collect::<Vec<Value>>(),
                "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
                "post_processor": post_processor, "decoder": decoder, "model": unigram(model),
            });
            return Ok(Made::Json(pipeline.to_string().into_bytes()));
        }
        Algorithm::Word => {
            return Err(TokenizerError::malformed(file, "the model is of whole words, expected BPE, unigram or characters"));
        }
    };
    let bpe = bpe(model, &ids, with_merges);
    let added_tokens = added_tokens(model);
    Ok(Made::Bpe(Box::new(Spec { normalizer, pre_tokenizer, post_processor, decoder, added_tokens, bpe })))
}

fn piece_ids<'a>(file: &str, model: &'a PieceModel) -> Result<HashMap<&'a str, u32>, TokenizerError> {
    let mut ids = HashMap::with_capacity(model.pieces.len());
    for (id, piece) in model.pieces.iter().enumerate() {
        if let Some(first) = ids.insert(piece.text.as_str(), id as u32) {
            return Err(TokenizerError::malformed(file, format!("the piece {:?} has the ids {first} and {id}", piece.text)));
        }
    }
    Ok(ids)
}

fn name_special(model: &PieceModel, settings: &mut Settings) {
    for (name, id) in [("unk_token", model.unk_id), ("bos_token", model.bos_id), ("eos_token", model.eos_id), ("pad_token", model.pad_id)] {
        let named = settings.tokenizer.contains_key(name) || settings.special.contains_key(name);
        if let Some(piece) = id.and_then(|id| model.pieces.get(id as usize))
            && !named
        {
            let text = Value::from(piece.text.clone());
            settings.special.insert(name.to_owned(), text);
        }
    }
}

/// How spaces become visible and whether a text gets one in front.
enum Spaces {
    /// Of every stretch between special tokens, exactly as SentencePiece does for a text.
    Exact,
    /// Only of the whole text (`legacy: false`).
    FirstOnly,
    /// Word by word with extra spaces removed, as unigram models are trained.
    Words,
}

impl Spaces {
    fn of(model: &PieceModel, settings: &Settings) -> Self {
        if model.algorithm == Algorithm::Unigram && model.remove_extra_whitespaces {
            Self::Words
        } else if settings.flag("legacy") == Some(false) && model.add_dummy_prefix {
            Self::FirstOnly
        } else {
            Self::Exact
        }
    }

    /// The normaliser and the pre-tokenizer.
    fn steps(&self, model: &PieceModel) -> (Value, Value) {
        let mut steps = Vec::new();
        if !model.charsmap.is_empty() {
            steps.push(json!({
                "type": "Precompiled", "precompiled_charsmap": base64(&model.charsmap)
            }));
        }
        if model.remove_extra_whitespaces {
            // Only spaces: a line break or tab at the end of a text stays.
            for (pattern, content) in [(r"\A +| +\z", ""), (" {2,}", " ")] {
                steps.push(json!({
                    "type": "Replace", "pattern": {"Regex": pattern}, "content": content
                }));
            }
        }
        let metaspace = |scheme: &str, split: bool| {
            json!({
                "type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": split
            })
        };
        if matches!(self, Self::FirstOnly) {
            return (sequence(steps), metaspace("first", false));
        }
        if model.add_dummy_prefix {
            steps.push(json!({"type": "Prepend", "prepend": SPACE}));
        }
        steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}));
        let by_word = matches!(self, Self::Words);
        (sequence(steps), if by_word { metaspace("never", true) } else { Value::Null })
    }
}

fn sequence(steps: Vec<Value>) -> Value {
    if steps.is_empty() { Value::Null } else { json!({"type": "Sequence", "normalizers": steps}) }
}

fn decoder(model: &PieceModel) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if model.add_dummy_prefix {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}

/// Control pieces are special; pieces defined by the user are matched whole.
fn added_tokens(model: &PieceModel) -> Vec<(u32, AddedToken)> {
    let mut tokens = Vec::new();
    for (id, piece) in model.pieces.iter().enumerate() {
        let is_special = matches!(piece.kind, PieceKind::Control | PieceKind::Unknown);
        if is_special || piece.kind == PieceKind::UserDefined {
            tokens.push((id as u32, AddedToken::from(piece.text.clone(), is_special).normalized(false)));
        }
    }
    tokens
}

/// The beginning token is put first unless the settings say otherwise; T5 ends texts instead.
fn sequence_ends(model: &PieceModel, settings: &Settings) -> Value {
    let class = settings.tokenizer.get("tokenizer_class").and_then(Value::as_str);
    let is_t5 = class.is_some_and(|class| class.starts_with("T5"));
    let piece = |id: Option<u32>| id.and_then(|id| model.pieces.get(id as usize).map(|piece| (id, piece)));
    let bos = piece(model.bos_id).filter(|_| settings.flag("add_bos_token").unwrap_or(!is_t5));
    let eos = piece(model.eos_id).filter(|_| settings.flag("add_eos_token").unwrap_or(is_t5));
    let mut tokens = Map::new();
    let mut mark = |end: Option<(u32, &super::Piece)>| {
        end.map(|(id, piece)| {
            let text = piece.text.as_str();
            let token = json!({"id": text, "ids": [id], "tokens": [text]});
            tokens.insert(text.to_owned(), token);
            json!({"SpecialToken": {"id": text, "type_id": 0}})
        })
    };
    let (bos, eos) = (mark(bos), mark(eos));
    let around = |letter: &str| {
        let sequence = json!({"Sequence": {"id": letter, "type_id": 0}});
        bos.iter().cloned().chain([sequence]).chain(eos.iter().cloned()).collect::<Vec<Value>>()
    };
    let pair = [around("A"), around("B")].concat();
    json!({
        "type": "TemplateProcessing",
        "single": around("A"),
        "pair": pair,
        "special_tokens": tokens,
    })
}

fn unigram(model: &PieceModel) -> Value {
    let vocab: Vec<Value> = model.pieces.iter().map(|piece| json!([piece.text, f64::from(piece.score)])).collect();
    json!({
        "type": "Unigram", "unk_id": model.unk_id, "vocab": vocab,
        "byte_fallback": model.byte_fallback
    })
}

/// SentencePiece joins the two neighbours whose union scores best; as ranked merges
/// this is every way to cut every piece in two, best piece first.
fn bpe(model: &PieceModel, ids: &HashMap<&str, u32>, with_merges: bool) -> BpeSpec {
    let can_merge = |kind: PieceKind| matches!(kind, PieceKind::Normal | PieceKind::UserDefined);
    let part = |text: &str| ids.get(text).copied().filter(|id| can_merge(model.pieces[*id as usize].kind));
    let mut ranked: Vec<&super::Piece> = model.pieces.iter().filter(|piece| with_merges && can_merge(piece.kind)).collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut merges: Vec<(String, String)> = Vec::new();
    for piece in ranked {
        let mut cuts: Vec<(u32, u32, usize)> = piece
            .text
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = piece.text.split_at(at);
                Some((part(left)?, part(right)?, at))
            })
            .collect();
        cuts.sort_unstable();
        merges.extend(cuts.into_iter().map(|(_, _, at)| {
            let (left, right) = piece.text.split_at(at);
            (left.to_owned(), right.to_owned())
        }));
    }
    BpeSpec {
        vocab: ids.iter().map(|(text, id)| ((*text).to_owned(), *id)).collect(),
        merges,
        unk_token: model.unk_id.map(|id| model.pieces[id as usize].text.clone()),
        fuse_unk: true,
        byte_fallback: model.byte_fallback,
        ..BpeSpec::default()
    }
}

/// Bytes as base64 text, which is how `tokenizer.json` carries a character map.
///
/// # Source
/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain([&0, &0]).take(3).fold(0_usize, |group, byte| group << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = DIGITS[group >> (18 - 6 * place) & 63];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
