//! BPE over characters with a visible space, as SentencePiece's models of Llama, Mistral,
//! Phi-3 and Gemma are: the text is no sequence of words, its merges run over all of it.
//!
//! A text is cut where no merge can reach over: a token that spans the place between two
//! characters was once joined there, by a merge whose left token ends with the first and
//! whose right token begins with the second. Where no merge is so, both sides are merged
//! as if alone, in the same order as together. The stretches are short, mostly words, and
//! come again, so that a cache knows most of them.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::ops::Range;

use serde_json::Value;

use super::merge::{Merges, PairHasher, WordCache};
use super::push;
use crate::pipeline::{BpeSpec, Spec};
use crate::tokenizer::Encoding;

/// The visible space, and the character under which it and the plain one are known here.
const VISIBLE_SPACE: char = '\u{2581}';
const SPACE: u32 = ' ' as u32;
/// Marks characters that the vocabulary lacks.
const UNKNOWN: u32 = u32::MAX;

/// Which texts get a space in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Front {
    /// None.
    Never,
    /// Every stretch between added tokens.
    Always,
    /// Those that begin with no space.
    Missing,
    /// The beginning of the whole text, where it is no space.
    MissingFirst,
}

/// How spaces are shown and where text is cut before the merges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spaces {
    pub(super) front: Front,
    /// Whether every space begins a word of its own.
    pub(super) splits: bool,
}

impl Spaces {
    /// What the normaliser and the pre-tokenizer do, where they are known.
    pub(super) fn of(normalizer: &Value, pre_tokenizer: &Value) -> Option<Self> {
        let kind = |step: &Value| step.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let steps = match (kind(normalizer).as_str(), normalizer) {
            (_, Value::Null) => &[],
            ("Sequence", _) => normalizer.get("normalizers")?.as_array()?.as_slice(),
            _ => std::slice::from_ref(normalizer),
        };
        let is_visible = |value: Option<&Value>| value.and_then(Value::as_str) == Some("\u{2581}");
        let is_space = |step: &Value| step.get("pattern").and_then(|pattern| pattern.get("String")).and_then(Value::as_str) == Some(" ");
        let prepends = |step: &Value| kind(step) == "Prepend" && is_visible(step.get("prepend"));
        let replaces = |step: &Value| kind(step) == "Replace" && is_space(step) && is_visible(step.get("content"));
        let normalised = match steps {
            [] => None,
            [replace] if replaces(replace) => Some(Front::Never),
            [first, second] if (prepends(first) && replaces(second)) || (replaces(first) && prepends(second)) => Some(Front::Always),
            _ => return None,
        };
        let flag = |name: &str| pre_tokenizer.get(name).and_then(Value::as_bool);
        match (kind(pre_tokenizer).as_str(), normalised) {
            ("", Some(front)) if pre_tokenizer.is_null() => Some(Self { front, splits: false }),
            // No plain space is left to split at.
            ("Split", Some(front)) if is_space(pre_tokenizer) && flag("invert") == Some(false) => Some(Self { front, splits: false }),
            ("Metaspace", _) if is_visible(pre_tokenizer.get("replacement")) => {
                let scheme = pre_tokenizer.get("prepend_scheme").and_then(Value::as_str).unwrap_or("always");
                let front = match (scheme, normalised) {
                    (_, _) if flag("add_prefix_space") == Some(false) => normalised.unwrap_or(Front::Never),
                    ("never", _) => normalised.unwrap_or(Front::Never),
                    // A text that begins with a space gets no second one.
                    (_, Some(Front::Always)) => Front::Always,
                    ("always", _) => Front::Missing,
                    ("first", _) => Front::MissingFirst,
                    _ => return None,
                };
                Some(Self { front, splits: flag("split").unwrap_or(true) })
            }
            _ => None,
        }
    }
}

/// A vocabulary of this kind.
pub(super) struct Spaced {
    spaces: Spaces,
    merges: Merges,
    /// Ids of the characters below 128, the visible space in place of the plain one.
    ascii_ids: [u32; 128],
    wide_ids: std::collections::HashMap<u32, u32, BuildHasherDefault<PairHasher>>,
    /// The tokens of bytes, for characters without an id; `None` where there are none.
    byte_ids: Option<Box<[u32; 256]>>,
    /// For each character below 128 the ones below 128 that a merge joins to it.
    ascii_joins: Box<[u128; 128]>,
    wide_joins: HashSet<u64, BuildHasherDefault<PairHasher>>,
}

impl Spaced {
    /// The vocabulary, where all of the pipeline is known and its merges only ever join
    /// tokens of known text.
    pub(super) fn new(spec: &Spec, ranked: &[(u32, u32, u32)]) -> Option<Self> {
        let bpe = &spec.bpe;
        let spaces = Spaces::of(&spec.normalizer, &spec.pre_tokenizer)?;
        if bpe.ignore_merges || !bpe.prefix.is_empty() || !bpe.suffix.is_empty() || bpe.vocab.contains_key("") || !has_own_ids(bpe) {
            return None;
        }
        let mut spaced = Self {
            spaces,
            merges: Merges::new(ranked),
            ascii_ids: [UNKNOWN; 128],
            wide_ids: Default::default(),
            byte_ids: byte_ids(bpe, ranked)?,
            ascii_joins: Box::new([0; 128]),
            wide_joins: HashSet::default(),
        };
        for (piece, id) in &bpe.vocab {
            let mut symbols = piece.chars();
            if let (Some(symbol), None) = (symbols.next(), symbols.next())
                && let Some(code) = code_of_piece(symbol)
            {
                match spaced.ascii_ids.get_mut(code as usize) {
                    Some(place) => *place = *id,
                    None => drop(spaced.wide_ids.insert(code, *id)),
                }
            }
        }
        for (left, right) in &bpe.merges {
            let (left, right) = (left.chars().next_back()?, right.chars().next()?);
            if let (Some(left), Some(right)) = (code_of_piece(left), code_of_piece(right))
                && !(spaces.splits && right == SPACE)
            {
                if left < 128 && right < 128 {
                    spaced.ascii_joins[left as usize] |= 1 << right;
                } else {
                    spaced.wide_joins.insert(pair(left, right));
                }
            }
        }
        (spaced.ascii_ids[SPACE as usize] != UNKNOWN).then_some(spaced)
    }

    /// Merges a stretch without added tokens; `None` where it has a character that the
    /// vocabulary knows no tokens for.
    pub(super) fn encode(&self, piece: &str, base: usize, cache: &mut WordCache, encoding: &mut Encoding) -> Option<()> {
        let bytes = piece.as_bytes();
        let begins_with_space = || piece.starts_with([' ', VISIBLE_SPACE]);
        let mut has_front = match self.spaces.front {
            Front::Never => false,
            Front::Always => true,
            Front::Missing => !begins_with_space(),
            Front::MissingFirst => base == 0 && !begins_with_space(),
        };
        let (mut start, mut at) = (0, 0);
        let mut before = has_front.then_some(SPACE);
        while at < bytes.len() {
            let (code, length) = code_at(piece, at);
            if before.is_some_and(|before| !self.joins(before, code)) {
                self.encode_word(piece, start..at, has_front, base, cache, encoding)?;
                has_front = false;
                start = at;
            }
            before = Some(code);
            at += length;
        }
        self.encode_word(piece, start..at, has_front, base, cache, encoding)
    }

    fn joins(&self, left: u32, right: u32) -> bool {
        if left < 128 && right < 128 {
            self.ascii_joins[left as usize] >> right & 1 == 1
        } else {
            self.wide_joins.contains(&pair(left, right))
        }
    }

    fn id(&self, code: u32) -> u32 {
        match self.ascii_ids.get(code as usize) {
            Some(id) => *id,
            None => self.wide_ids.get(&code).copied().unwrap_or(UNKNOWN),
        }
    }

    /// The tokens of characters that are merged with nothing around them; with
    /// `has_front` a space before them that the text does not have.
    fn encode_word(
        &self,
        piece: &str,
        word: Range<usize>,
        has_front: bool,
        base: usize,
        cache: &mut WordCache,
        encoding: &mut Encoding,
    ) -> Option<()> {
        let mut at = word.start;
        if !has_front {
            let text = &piece[word];
            let begin = |tokens: &mut Vec<(u32, u32)>| self.begin(text, tokens);
            return self.merges.encode(text.as_bytes(), cache, begin, |id, length| {
                push(encoding, piece, base, id, at, at + length);
                at += length;
            });
        }
        // As the word with a real space, so that both share a place in the cache.
        let text = format!(" {}", &piece[word]);
        let mut is_first = true;
        let begin = |tokens: &mut Vec<(u32, u32)>| self.begin(&text, tokens);
        self.merges.encode(text.as_bytes(), cache, begin, |id, length| {
            let length = length - usize::from(is_first);
            // A space alone that the text does not have stands for the character after it.
            push(encoding, piece, base, id, at, at + length.max(usize::from(is_first)));
            at += length;
            is_first = false;
        })
    }

    /// The tokens of single characters, or of their bytes.
    fn begin(&self, text: &str, tokens: &mut Vec<(u32, u32)>) -> Option<()> {
        let mut at = 0;
        while at < text.len() {
            let (code, length) = code_at(text, at);
            match self.id(code) {
                UNKNOWN => {
                    let ids = self.byte_ids.as_deref()?;
                    tokens.extend(text.as_bytes()[at..at + length].iter().map(|byte| (ids[usize::from(*byte)], 1)));
                }
                id => tokens.push((id, length as u32)),
            }
            at += length;
        }
        Some(())
    }
}

/// The character at a byte of a text as it is known here, and its bytes.
fn code_at(text: &str, at: usize) -> (u32, usize) {
    let byte = text.as_bytes()[at];
    if byte < 0x80 {
        return (u32::from(byte), 1);
    }
    let symbol = text[at..].chars().next().unwrap_or_default();
    (if symbol == VISIBLE_SPACE { SPACE } else { u32::from(symbol) }, symbol.len_utf8())
}

/// The same for a character of a token; no text has plain spaces when it is merged.
fn code_of_piece(symbol: char) -> Option<u32> {
    match symbol {
        ' ' => None,
        VISIBLE_SPACE => Some(SPACE),
        symbol => Some(u32::from(symbol)),
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Whether no two tokens have the same id.
fn has_own_ids(bpe: &BpeSpec) -> bool {
    let mut ids: Vec<u32> = bpe.vocab.values().copied().collect();
    ids.sort_unstable();
    ids.windows(2).all(|pair| pair[0] != pair[1])
}

/// The ids of `<0x00>` to `<0xFF>`, `Some(None)` where characters do not fall back to
/// bytes. `None` where some are missing, or where a merge joins one of them.
fn byte_ids(bpe: &BpeSpec, ranked: &[(u32, u32, u32)]) -> Option<Option<Box<[u32; 256]>>> {
    if !bpe.byte_fallback {
        return Some(None);
    }
    let mut ids = Box::new([0; 256]);
    for (byte, id) in ids.iter_mut().enumerate() {
        *id = *bpe.vocab.get(&format!("<0x{byte:02X}>"))?;
    }
    let known: HashSet<u32> = ids.iter().copied().collect();
    let is_joined = ranked.iter().any(|(left, right, _)| known.contains(left) || known.contains(right));
    (!is_joined).then_some(Some(ids))
}
