//! Votes as preference rows: a prompt, the answer that was better, the one that was not.

use serde_json::json;

use super::{Choice, Pair};
use crate::{Role, Turn};

/// The rows, and what is not among them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preferences {
    /// JSON Lines of `prompt`, `chosen` and `rejected`, each a list of messages, and where they come
    /// from.
    pub lines: String,
    /// How many there are.
    pub rows: usize,
    /// Pairs without a vote.
    pub without_vote: usize,
    /// Votes that prefer neither.
    pub without_preference: usize,
    /// Votes between equal answers, or for or against an empty one.
    pub without_difference: usize,
}

/// Makes rows of the votes that prefer one answer.
pub fn preferences<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Preferences {
    let mut found = Preferences::default();
    for pair in pairs {
        let (chosen, rejected) = match pair.choice {
            Some(Choice::A) => (&pair.a, &pair.b),
            Some(Choice::B) => (&pair.b, &pair.a),
            Some(Choice::Tie | Choice::BothBad) => {
                found.without_preference += 1;
                continue;
            }
            None => {
                found.without_vote += 1;
                continue;
            }
        };
        let (better, worse) = (chosen.answer.as_deref().unwrap_or_default(), rejected.answer.as_deref().unwrap_or_default());
        if better.trim() == worse.trim() || better.trim().is_empty() || worse.trim().is_empty() {
            found.without_difference += 1;
            continue;
        }
        let row = json!({
            "prompt": pair.prompt,
            "chosen": [Turn::new(Role::Assistant, better)],
            "rejected": [Turn::new(Role::Assistant, worse)],
            "chosen_model": chosen.model.label(),
            "rejected_model": rejected.model.label(),
            "voted_at": pair.voted,
        });
        found.lines.push_str(&row.to_string());
        found.lines.push('\n');
        found.rows += 1;
    }
    found
}
