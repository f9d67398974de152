//! Added tokens in a text: found as the `tokenizers` crate finds them, without the
//! copies that it makes of everything between them.

use aho_corasick::{AhoCorasick, MatchKind};
use tokenizers::AddedToken;

use super::classes::is_word;

/// A stretch of a text: an added token, or what stands between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) token: Option<u32>,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A set of added tokens to look for.
pub(super) struct AddedTokens {
    matcher: AhoCorasick,
    tokens: Vec<(u32, AddedToken)>,
}

impl AddedTokens {
    /// The set, `None` where it is empty. Fails where no matcher can be made of it.
    pub(super) fn new(mut tokens: Vec<(u32, AddedToken)>) -> Result<Option<Self>, aho_corasick::BuildError> {
        tokens.retain(|(_, token)| !token.content.is_empty());
        if tokens.is_empty() {
            return Ok(None);
        }
        let contents = tokens.iter().map(|(_, token)| token.content.as_bytes());
        let matcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(contents)?;
        Ok(Some(Self { matcher, tokens }))
    }

    /// Calls `take` with every stretch, in order; together they are the whole text.
    /// `None` where `take` gives it, or where tokens get in each other's way.
    ///
    /// # Source
    /// The rules of `single_word`, `lstrip` and `rstrip` in the `tokenizers` crate, 0.23.
    pub(super) fn stretches(&self, text: &str, mut take: impl FnMut(Stretch) -> Option<()>) -> Option<()> {
        let mut done = 0;
        for found in self.matcher.find_iter(text) {
            let (id, token) = &self.tokens[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            let touches_word = || text[..start].chars().next_back().is_some_and(is_word) || text[end..].chars().next().is_some_and(is_word);
            if token.single_word && touches_word() {
                continue;
            }
            if token.lstrip {
                start = text[..start].trim_end().len().max(done);
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if start > end {
                return None; // Two tokens want the same space; the crate refuses such a text.
            }
            if done < start {
                take(Stretch { token: None, start: done, end: start })?;
            }
            take(Stretch { token: Some(*id), start, end })?;
            done = end;
        }
        if done < text.len() {
            take(Stretch { token: None, start: done, end: text.len() })?;
        }
        Some(())
    }

    /// Whether any token's text occurs at all.
    pub(super) fn occur_in(&self, text: &str) -> bool {
        self.matcher.is_match(text)
    }
}
