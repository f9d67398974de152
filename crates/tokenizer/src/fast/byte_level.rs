//! Byte-level BPE: the cuts of the known patterns made by hand, then merges over bytes.

use serde_json::Value;

use super::classes::{self, Classes};
use super::cut::Cut;
use super::merge::{Merges, WholeWords, WordCache};
use super::push;
use crate::pipeline::{BpeSpec, Spec};
use crate::tokenizer::{Encoding, byte_of_char};

/// A byte-level vocabulary and how its text is cut into words.
pub(super) struct ByteLevel {
    cut: Cut,
    classes: &'static Classes,
    merges: Merges,
    byte_ids: [u32; 256],
    whole: WholeWords,
    pub(super) needs_nfc: bool,
}

impl ByteLevel {
    /// The vocabulary, where it is one over bytes and all else of the pipeline is known.
    pub(super) fn new(spec: &Spec, ranked: &[(u32, u32, u32)]) -> Option<Self> {
        let needs_nfc = match spec.normalizer.get("type").and_then(Value::as_str) {
            None if spec.normalizer.is_null() => false,
            Some("NFC") => true,
            _ => return None,
        };
        let cut = Cut::of(&spec.pre_tokenizer)?;
        let (byte_ids, whole) = Self::words(&spec.bpe)?;
        Some(Self { cut, classes: Classes::get(), merges: Merges::new(ranked), byte_ids, whole, needs_nfc })
    }

    /// The ids of single bytes, and the words that need no merges.
    fn words(bpe: &BpeSpec) -> Option<([u32; 256], WholeWords)> {
        if bpe.byte_fallback || !bpe.prefix.is_empty() || !bpe.suffix.is_empty() {
            return None;
        }
        let mut byte_ids = [u32::MAX; 256];
        let mut whole = WholeWords::default();
        for (piece, id) in &bpe.vocab {
            let mut symbols = piece.chars();
            if let (Some(symbol), None) = (symbols.next(), symbols.next())
                && let Some(byte) = byte_of_char(symbol)
            {
                byte_ids[usize::from(byte)] = *id;
            }
            if bpe.ignore_merges
                && let Some(bytes) = piece.chars().map(byte_of_char).collect::<Option<Vec<u8>>>()
            {
                whole.insert(bytes, *id);
            }
        }
        (!byte_ids.contains(&u32::MAX)).then_some((byte_ids, whole))
    }

    /// False for the few texts that composition might change.
    pub(super) fn knows(&self, text: &str) -> bool {
        !self.needs_nfc || text.is_ascii() || text.chars().all(classes::is_composed)
    }

    /// Cuts a stretch without added tokens into words and looks them up.
    pub(super) fn encode(&self, piece: &str, base: usize, cache: &mut WordCache, encoding: &mut Encoding) {
        self.cut.words(piece, self.classes, |start, end| {
            let word = &piece.as_bytes()[start..end];
            if let Some(id) = self.whole.get(word) {
                return push(encoding, piece, base, *id, start, end);
            }
            let mut at = start;
            let begin = |tokens: &mut Vec<(u32, u32)>| {
                tokens.extend(word.iter().map(|byte| (self.byte_ids[usize::from(*byte)], 1)));
                Some(())
            };
            let done = self.merges.encode(word, cache, begin, |id, length| {
                push(encoding, piece, base, id, at, at + length);
                at += length;
            });
            debug_assert!(done.is_some(), "every byte has an id");
        });
    }
}
