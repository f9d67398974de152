//! Why a row is left out: reason codes, their counts, and the first examples of each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many examples of each reason are kept.
pub const EXAMPLES_KEPT: usize = 5;
/// Longest excerpt of a bad row, in characters.
const EXCERPT_CHARACTERS: usize = 160;

/// The reason why a row, or a part of it, is not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowProblem {
    /// The bytes are no JSON value.
    NotJson,
    /// The bytes are no UTF-8.
    BrokenUtf8,
    /// A table row with more or fewer cells than its header.
    WrongColumnCount,
    /// A field that the format needs is absent or of the wrong type.
    MissingField,
    /// The answer (or the text) is there and empty.
    EmptyAnswer,
    /// Turns in an order that no template accepts.
    WrongRoleOrder,
    /// A role that no format knows.
    UnknownRole,
    /// Images, sound or other parts that are no text.
    UnsupportedContent,
    /// The answer is marked as the worse one of a preference.
    RejectedAnswer,
    /// Longer than the maximum length, and `too_long=skip`.
    TooLong,
    /// Cut at the maximum length so that no trained token is left.
    NothingTrained,
    /// An exact copy of an earlier row.
    Duplicate,
    /// The chat template refused the conversation.
    TemplateFailed,
    /// The tokenizer refused the text.
    TokenizerFailed,
    /// One row of more than 64 MiB.
    TooLarge,
    /// The file ends early or is damaged from here on.
    DamagedFile,
    /// A file of a folder whose rows have no known shape.
    UnknownFormat,
}

impl RowProblem {
    /// Whether the row is at fault, so that `on_bad_row=stop` stops at it; other rows are left out
    /// because a setting says so.
    pub fn is_fault(self) -> bool {
        !matches!(self, Self::RejectedAnswer | Self::TooLong | Self::NothingTrained | Self::Duplicate)
    }

    /// The stable code, as written in reports and events.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::BrokenUtf8 => "broken_utf8",
            Self::WrongColumnCount => "wrong_column_count",
            Self::MissingField => "missing_field",
            Self::EmptyAnswer => "empty_answer",
            Self::WrongRoleOrder => "wrong_role_order",
            Self::UnknownRole => "unknown_role",
            Self::UnsupportedContent => "unsupported_content",
            Self::RejectedAnswer => "rejected_answer",
            Self::TooLong => "too_long",
            Self::NothingTrained => "nothing_trained",
            Self::Duplicate => "duplicate",
            Self::TemplateFailed => "template_failed",
            Self::TokenizerFailed => "tokenizer_failed",
            Self::TooLarge => "too_large",
            Self::DamagedFile => "damaged_file",
            Self::UnknownFormat => "unknown_format",
        }
    }
}

/// A reason with the sentence that belongs to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The reason code.
    pub kind: RowProblem,
    /// What was found, in words.
    pub detail: String,
}

impl Problem {
    /// A problem with its sentence.
    pub fn new(kind: RowProblem, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// Where a row came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowSource {
    /// Index into [`crate::DataReport::files`].
    pub file: u32,
    /// Line in the file, or row number for parquet; from 1.
    pub line: u64,
}

/// One example of a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemExample {
    /// Where.
    pub source: RowSource,
    /// The reason in words.
    pub detail: String,
    /// The beginning of the row.
    pub excerpt: String,
}

/// The count of one reason and its first examples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemCount {
    /// How many rows.
    pub count: u64,
    /// The first of them, in file order.
    pub examples: Vec<ProblemExample>,
}

/// Counts by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProblemCounts {
    by_reason: BTreeMap<RowProblem, ProblemCount>,
}

impl ProblemCounts {
    /// Counts one row.
    pub fn add(&mut self, source: RowSource, problem: Problem, excerpt: &str) {
        let entry = self.by_reason.entry(problem.kind).or_default();
        entry.count += 1;
        if entry.examples.len() < EXAMPLES_KEPT {
            entry.examples.push(ProblemExample { source, detail: problem.detail, excerpt: excerpt.to_string() });
        }
    }

    /// How many rows have this reason.
    pub fn count(&self, kind: RowProblem) -> u64 {
        self.by_reason.get(&kind).map_or(0, |entry| entry.count)
    }

    /// All rows of all reasons.
    pub fn total(&self) -> u64 {
        self.by_reason.values().map(|entry| entry.count).sum()
    }

    /// Reasons in a fixed order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (RowProblem, &ProblemCount)> {
        self.by_reason.iter().map(|(kind, entry)| (*kind, entry))
    }

    /// `12 not_json, 3 empty_answer (first: line 7: …)`, for a sentence.
    pub fn summary(&self) -> String {
        if self.by_reason.is_empty() {
            return "the files are empty".to_string();
        }
        let counts: Vec<String> = self.by_reason.iter().map(|(kind, entry)| format!("{} {}", entry.count, kind.code())).collect();
        let first = self.by_reason.values().flat_map(|entry| entry.examples.first()).min_by_key(|example| example.source);
        match first {
            Some(example) => {
                format!("{}; first at line {}: {}", counts.join(", "), example.source.line, example.detail)
            }
            None => counts.join(", "),
        }
    }
}

/// The beginning of a row as one printable line.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(EXCERPT_CHARACTERS * 4)];
    let text = String::from_utf8_lossy(head);
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT_CHARACTERS).collect();
    if text.chars().count() > EXCERPT_CHARACTERS || head.len() < bytes.len() {
        line.push('…');
    }
    line
}
