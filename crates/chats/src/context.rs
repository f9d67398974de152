//! How much of a model's context a conversation takes, so that "context full" is said before it
//! happens. Who knows the tokenizer and the template counts.

use crate::{Conversation, MessageId, Turn};

/// What room is left for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContextFit {
    /// The longest answer asked for fits.
    Fits,
    /// An answer fits, but not the longest one asked for.
    Shortened,
    /// Not one token fits.
    Full,
}

/// How a conversation stands to a model's context. All numbers are tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextUse {
    /// What the prompt takes.
    pub used: u64,
    /// What the model can read.
    pub limit: u64,
    /// How long the next answer can be.
    pub answer_max: u64,
    /// What that means.
    pub fit: ContextFit,
}

impl ContextUse {
    /// Holds a counted prompt against a limit and the longest answer asked for.
    pub fn new(used: u64, limit: u64, answer_wanted: u64) -> ContextUse {
        let left = limit.saturating_sub(used);
        let fit = match left {
            0 => ContextFit::Full,
            left if left < answer_wanted => ContextFit::Shortened,
            _ => ContextFit::Fits,
        };
        ContextUse { used, limit, answer_max: left.min(answer_wanted), fit }
    }
}

impl Conversation {
    /// Counts the prompt of an answer after a message (after the chosen path where none is named),
    /// with the count of the caller: turns as the model would read them, system first.
    ///
    /// # Errors
    /// What the count gives back.
    pub fn context<E>(
        &self,
        after: Option<MessageId>,
        limit: u64,
        answer_wanted: u64,
        count: impl FnOnce(&[Turn]) -> Result<u64, E>,
    ) -> Result<ContextUse, E> {
        let used = count(&self.turns(after, &self.next.settings.system))?;
        Ok(ContextUse::new(used, limit, answer_wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_says_when_it_is_full() {
        let check = |used, limit, wanted, answer_max, fit| {
            assert_eq!(ContextUse::new(used, limit, wanted), ContextUse { used, limit, answer_max, fit });
        };
        check(412, 2048, 512, 512, ContextFit::Fits);
        check(1536, 2048, 512, 512, ContextFit::Fits);
        check(1537, 2048, 512, 511, ContextFit::Shortened);
        check(2048, 2048, 512, 0, ContextFit::Full);
        check(4000, 2048, 512, 0, ContextFit::Full);
    }
}
