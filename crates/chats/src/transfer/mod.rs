//! Conversations to files of other programs' formats and back: the path that a person reads, not the
//! tree.

mod markdown;
mod openai;

pub use markdown::{export_markdown, import_markdown};
pub use openai::{export_openai, import_openai};

use crate::Turn;

/// What was read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The title that the file gives, where it does.
    pub title: Option<String>,
    /// Instructions at its head.
    pub system: String,
    /// The messages, in order.
    pub turns: Vec<Turn>,
    /// What of the file could not be taken over, a sentence each.
    pub skipped: Vec<String>,
    /// The format, in a word.
    pub format: &'static str,
}
