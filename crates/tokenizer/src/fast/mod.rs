//! Byte-level BPE without the detours of the general pipeline: the cuts of the known
//! patterns are made by hand, words are looked up in a cache, and nothing but ids and
//! offsets is built. It gives exactly what the `tokenizers` crate gives, which stays
//! in charge of everything that is not recognised here.

mod classes;
mod cut;
mod merge;

use std::sync::Mutex;

use serde_json::Value;
use tokenizers::{NormalizerWrapper, OffsetReferential, OffsetType};

use crate::pipeline::Spec;
use crate::tokenizer::Encoding;
use classes::Classes;
use cut::Cut;
use merge::{Merges, WordCache};

/// An encoder for one vocabulary.
pub(crate) struct FastEncoder {
    cut: Cut,
    classes: &'static Classes,
    merges: Merges,
    needs_nfc: bool,
    /// Bytes that some added token begins with; a text without them has no added token.
    added_first: Box<[bool; 256]>,
    /// What goes before and after a text with special tokens.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// Caches that no thread holds at the moment.
    caches: Mutex<Vec<WordCache>>,
}

impl FastEncoder {
    /// An encoder for the pipeline, where all its parts are known.
    pub(crate) fn new(spec: &Spec, ranked: &[(u32, u32, u32)]) -> Option<Self> {
        let needs_nfc = match spec.normalizer.get("type").and_then(Value::as_str) {
            None if spec.normalizer.is_null() => false,
            Some("NFC") => true,
            _ => return None,
        };
        Some(Self {
            cut: Cut::of(&spec.pre_tokenizer)?,
            classes: Classes::get(),
            merges: Merges::new(&spec.bpe, ranked)?,
            needs_nfc,
            added_first: Box::new([false; 256]),
            prefix: Vec::new(),
            suffix: Vec::new(),
            caches: Mutex::new(Vec::new()),
        })
    }

    /// Learns what the finished pipeline does around the model: its added tokens, and
    /// what it puts before and after a text. `None` where that is not constant.
    pub(crate) fn settle(mut self, inner: &tokenizers::Tokenizer) -> Option<Self> {
        for token in inner.get_added_tokens_decoder().values() {
            if token.normalized && self.needs_nfc && !token.content.is_ascii() {
                return None;
            }
            if let Some(byte) = token.content.bytes().next() {
                self.added_first[usize::from(byte)] = true;
            }
        }
        let plain = inner.encode_fast("a", false).ok()?;
        let whole = inner.encode_fast("a", true).ok()?;
        let (plain, whole) = (plain.get_ids(), whole.get_ids());
        let at = whole.windows(plain.len().max(1)).position(|window| window == plain)?;
        self.prefix = whole[..at].to_vec();
        self.suffix = whole[at + plain.len()..].to_vec();
        Some(self)
    }

    /// The ids and offsets of a text; `None` for the few texts that need the general way.
    pub(crate) fn encode(&self, inner: &tokenizers::Tokenizer, text: &str, add_special_tokens: bool) -> Option<Encoding> {
        if self.needs_nfc && !text.is_ascii() && !text.chars().all(classes::is_composed) {
            return None;
        }
        let mut encoding = Encoding::default();
        if add_special_tokens {
            push_ends(&self.prefix, &mut encoding);
        }
        let mut cache = self.caches.lock().ok()?.pop().unwrap_or_default();
        if text.bytes().any(|byte| self.added_first[usize::from(byte)]) {
            let pieces = inner.get_added_vocabulary().extract_and_normalize(None::<&NormalizerWrapper>, text);
            for (piece, (start, end), tokens) in pieces.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                match tokens.as_ref().and_then(|tokens| tokens.first()) {
                    Some(token) => {
                        encoding.ids.push(token.id);
                        encoding.offsets.push((start, end));
                    }
                    None => self.encode_piece(piece, start, &mut cache, &mut encoding),
                }
            }
        } else {
            self.encode_piece(text, 0, &mut cache, &mut encoding);
        }
        if let Ok(mut caches) = self.caches.lock() {
            caches.push(cache);
        }
        if add_special_tokens {
            push_ends(&self.suffix, &mut encoding);
        }
        Some(encoding)
    }

    /// Cuts a stretch without added tokens into words and looks them up.
    fn encode_piece(&self, piece: &str, base: usize, cache: &mut WordCache, encoding: &mut Encoding) {
        self.cut.words(piece, self.classes, |start, end| {
            let word = &piece.as_bytes()[start..end];
            let mut at = start;
            self.merges.encode(word, cache, |id, length| {
                encoding.ids.push(id);
                encoding.offsets.push((base + char_start(piece, at), base + char_end(piece, at + length)));
                at += length;
            });
        });
    }
}

/// Tokens around a text stand for none of its bytes.
fn push_ends(ids: &[u32], encoding: &mut Encoding) {
    encoding.ids.extend(ids);
    encoding.offsets.extend(ids.iter().map(|_| (0, 0)));
}

/// The beginning of the character that the byte belongs to: tokens of parts of a
/// character stand for the whole of it.
fn char_start(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn char_end(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
