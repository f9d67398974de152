//! Text out of ids that arrive one by one: a character of several tokens comes out
//! once it is whole.

use crate::error::TokenizerError;
use crate::tokenizer::Tokenizer;

/// Turns a stream of ids into a stream of whole text; made by [`Tokenizer::stream_decoder`].
///
/// The pieces joined are what [`Tokenizer::decode`] gives for all ids at once; only
/// bytes that are no text may read as more or fewer U+FFFD.
#[derive(Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    /// The ids whose text gives the context, then those not yet let out.
    window: Vec<u32>,
    /// How many ids of the window are already let out.
    context: usize,
    /// The text of the context.
    context_text: String,
    /// The last bytes, as many as a character can have.
    tail: Vec<u8>,
}

impl<'a> StreamDecoder<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer, skip_special: bool) -> Self {
        Self { tokenizer, skip_special, window: Vec::new(), context: 0, context_text: String::new(), tail: Vec::new() }
    }

    /// Takes the next id; gives the text that became whole, if any.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>, TokenizerError> {
        self.window.push(id);
        if !(self.skip_special && self.tokenizer.is_special(id)) {
            self.tail.extend(self.tokenizer.token_bytes(id).unwrap_or_default());
            self.tail.drain(..self.tail.len().saturating_sub(4));
        }
        if ends_inside_character(&self.tail) {
            return Ok(None);
        }
        let text = self.tokenizer.decode(&self.window, self.skip_special)?;
        let fresh = text[self.known_prefix(&text)..].to_owned();
        if fresh.is_empty() {
            return Ok(None);
        }
        self.window.drain(..self.context);
        self.context = self.window.len();
        self.context_text = self.tokenizer.decode(&self.window, self.skip_special)?;
        Ok(Some(fresh))
    }

    /// The text that is left when no more ids come; broken bytes read as U+FFFD.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(self) -> Result<Option<String>, TokenizerError> {
        let text = self.tokenizer.decode(&self.window, self.skip_special)?;
        let rest = &text[self.known_prefix(&text)..];
        Ok((!rest.is_empty()).then(|| rest.to_owned()))
    }

    /// Length of the part of `text` that was let out before.
    fn known_prefix(&self, text: &str) -> usize {
        let same = text.bytes().zip(self.context_text.bytes()).take_while(|(new, old)| new == old).count();
        (0..=same).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
    }
}

/// True where the last bytes begin a character of UTF-8 that has more bytes.
fn ends_inside_character(tail: &[u8]) -> bool {
    for (back, byte) in tail.iter().rev().enumerate() {
        let length = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        return length > back + 1;
    }
    false
}
