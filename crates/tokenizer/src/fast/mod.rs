//! BPE without the detours of the general pipeline, for the two common kinds of
//! vocabulary: over bytes ([`byte_level`]) and over characters with a visible space
//! ([`spaced`]). Words are looked up in a cache, and nothing but ids and offsets is built.
//! It gives exactly what the `tokenizers` crate gives, which stays in charge of
//! everything that is not recognised here.

mod added;
mod byte_level;
mod classes;
mod cut;
mod merge;
mod spaced;

use std::sync::Mutex;

use tokenizers::AddedToken;

use crate::pipeline::Spec;
use crate::tokenizer::Encoding;
use added::{AddedTokens, Stretch};
use byte_level::ByteLevel;
use merge::WordCache;
use spaced::Spaced;

/// An encoder for one vocabulary.
pub(crate) struct FastEncoder {
    words: Words,
    /// Added tokens that are found in a text as it stands.
    added: Option<AddedTokens>,
    /// Added tokens that are found in normalised text, or the part of each that the
    /// normaliser leaves alone.
    normalized: Option<AddedTokens>,
    /// What goes before and after a text with special tokens.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    /// Caches that no thread holds at the moment.
    caches: Mutex<Vec<WordCache>>,
}

/// A kind of vocabulary.
enum Words {
    ByteLevel(ByteLevel),
    Spaced(Spaced),
}

impl FastEncoder {
    /// An encoder for the pipeline, where all its parts are known.
    pub(crate) fn new(spec: &Spec, ranked: &[(u32, u32, u32)]) -> Option<Self> {
        let bytes = || ByteLevel::new(spec, ranked).map(Words::ByteLevel);
        let words = bytes().or_else(|| Spaced::new(spec, ranked).map(Words::Spaced))?;
        let (added, normalized, prefix, suffix) = (None, None, Vec::new(), Vec::new());
        Some(Self { words, added, normalized, prefix, suffix, caches: Mutex::new(Vec::new()) })
    }

    /// Learns what the finished pipeline does around the model: its added tokens, and
    /// what it puts before and after a text. `None` where that is not constant.
    pub(crate) fn settle(mut self, inner: &tokenizers::Tokenizer) -> Option<Self> {
        let (mut plain, mut normalized) = (Vec::new(), Vec::new());
        for (id, token) in inner.get_added_tokens_decoder() {
            let mut token = token.clone();
            if !token.normalized {
                plain.push((id, token));
                continue;
            }
            match &self.words {
                Words::ByteLevel(words) if words.needs_nfc && !token.content.is_ascii() => return None,
                Words::ByteLevel(_) => {}
                Words::Spaced(_) => token.content = longest_without_spaces(&token.content)?,
            }
            normalized.push((id, token));
        }
        let matcher = |tokens: Vec<(u32, AddedToken)>| AddedTokens::new(tokens).ok();
        (self.added, self.normalized) = (matcher(plain)?, matcher(normalized)?);
        let plain = inner.encode_fast("a", false).ok()?;
        let whole = inner.encode_fast("a", true).ok()?;
        let (plain, whole) = (plain.get_ids(), whole.get_ids());
        let at = whole.windows(plain.len().max(1)).position(|window| window == plain)?;
        self.prefix = whole[..at].to_vec();
        self.suffix = whole[at + plain.len()..].to_vec();
        Some(self)
    }

    /// The ids and offsets of a text; `None` for the few texts that need the general way.
    pub(crate) fn encode(&self, text: &str, add_special_tokens: bool) -> Option<Encoding> {
        match (&self.words, &self.normalized) {
            (Words::ByteLevel(words), _) if !words.knows(text) => return None,
            (Words::Spaced(_), Some(normalized)) if normalized.occur_in(text) => return None,
            _ => {}
        }
        let mut encoding = Encoding::default();
        if add_special_tokens {
            push_ends(&self.prefix, &mut encoding);
        }
        let mut cache = self.caches.lock().ok()?.pop().unwrap_or_default();
        let done = self.encode_stretches(text, &mut cache, &mut encoding);
        if let Ok(mut caches) = self.caches.lock() {
            caches.push(cache);
        }
        done?;
        if add_special_tokens {
            push_ends(&self.suffix, &mut encoding);
        }
        Some(encoding)
    }

    /// Added tokens first, then those of normalised text between them, then words.
    fn encode_stretches(&self, text: &str, cache: &mut WordCache, encoding: &mut Encoding) -> Option<()> {
        each_stretch(self.added.as_ref(), text, |outer| {
            if let Some(id) = outer.token {
                push(encoding, text, 0, id, outer.start, outer.end);
                return Some(());
            }
            let words = match &self.words {
                Words::Spaced(words) => return words.encode(&text[outer.start..outer.end], outer.start, cache, encoding),
                Words::ByteLevel(words) => words,
            };
            each_stretch(self.normalized.as_ref(), &text[outer.start..outer.end], |inner| {
                let (start, end) = (outer.start + inner.start, outer.start + inner.end);
                match inner.token {
                    Some(id) => push(encoding, text, 0, id, start, end),
                    None => words.encode(&text[start..end], start, cache, encoding),
                }
                Some(())
            })
        })
    }
}

/// The stretches of a text that may have no added tokens at all.
fn each_stretch(tokens: Option<&AddedTokens>, text: &str, mut take: impl FnMut(Stretch) -> Option<()>) -> Option<()> {
    match tokens {
        Some(tokens) => tokens.stretches(text, take),
        None if text.is_empty() => Some(()),
        None => take(Stretch { token: None, start: 0, end: text.len() }),
    }
}

/// The longest part of a token that no space is in, plain or visible.
fn longest_without_spaces(content: &str) -> Option<String> {
    let parts = content.split([' ', '\u{2581}']).filter(|part| !part.is_empty());
    parts.max_by_key(|part| part.len()).map(str::to_owned)
}

/// Adds a token that stands for some bytes of a stretch; tokens of parts of a character
/// stand for the whole of it. `base` bytes of the text precede the stretch.
fn push(encoding: &mut Encoding, stretch: &str, base: usize, id: u32, start: usize, end: usize) {
    encoding.ids.push(id);
    encoding.offsets.push((base + char_start(stretch, start), base + char_end(stretch, end)));
}

/// Tokens around a text stand for none of its bytes.
fn push_ends(ids: &[u32], encoding: &mut Encoding) {
    encoding.ids.extend(ids);
    encoding.offsets.extend(ids.iter().map(|_| (0, 0)));
}

/// The beginning of the character that the byte belongs to.
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
mod spaced_tests;
#[cfg(test)]
mod tests;
