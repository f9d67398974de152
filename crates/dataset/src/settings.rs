//! What a caller decides about the data: where it is, how rows are read, and what is done with
//! rows that are bad or too long.

use std::path::PathBuf;

use apertis_domain::recipe::{OnBadRow, TooLong};
use apertis_tokenizer::{ChatTemplate, TrainOn};
use serde::{Deserialize, Serialize};

/// Everything that [`crate::open`] needs to know.
#[derive(Debug, Clone)]
pub struct DataSettings {
    /// Files, folders and glob patterns, in order.
    pub paths: Vec<PathBuf>,
    /// Held-out data of its own; when given, nothing is held out of `paths`.
    pub eval_paths: Vec<PathBuf>,
    /// Which columns hold what; empty means that the format is recognised.
    pub columns: Columns,
    /// The chat template; `None` takes the tokenizer's own, else ChatML.
    pub template: Option<ChatTemplate>,
    /// Which turns of a conversation are trained.
    pub train_on: TrainOn,
    /// Longest row or window, in tokens.
    pub max_length: usize,
    /// What happens to a conversation longer than that.
    pub too_long: TooLong,
    /// What happens when a row is bad.
    pub on_bad_row: OnBadRow,
    /// What happens to exact copies of earlier rows.
    pub duplicates: Duplicates,
    /// Whether short plain documents share a window.
    pub packing: bool,
    /// Share of rows held out, 0 to 0.9; 0 holds nothing out.
    pub eval_fraction: f64,
    /// Seed of the split.
    pub seed: u64,
    /// Threads of the preparation; 0 takes all.
    pub threads: usize,
    /// Source bytes after which a block ends and training may begin on it.
    pub block_bytes: u64,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            eval_paths: Vec::new(),
            columns: Columns::default(),
            template: None,
            train_on: TrainOn::AllAssistantTurns,
            max_length: 1024,
            too_long: TooLong::Cut,
            on_bad_row: OnBadRow::Skip,
            duplicates: Duplicates::Keep,
            packing: true,
            eval_fraction: 0.05,
            seed: 42,
            threads: 0,
            block_bytes: BLOCK_BYTES,
        }
    }
}

/// Source bytes of one block: what is shuffled as a whole, and what must be tokenised before the
/// first step. On two cores about ten seconds of work.
pub const BLOCK_BYTES: u64 = 64 << 20;
/// Rows of one block at most, so that its row index stays a few megabytes.
pub(crate) const BLOCK_ROWS: usize = 1 << 17;
/// Rows held out at most.
pub const EVAL_ROWS_MAX: u64 = 1000;

/// Names of columns, for data whose format is not recognised by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// The person's side.
    pub prompt: Option<String>,
    /// The answer to learn.
    pub response: Option<String>,
    /// The system message.
    pub system: Option<String>,
    /// Plain text to continue.
    pub text: Option<String>,
    /// A whole conversation.
    pub messages: Option<String>,
}

impl Columns {
    /// Whether no column is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What happens to exact copies of earlier rows. They are counted in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// They are trained on: repeating rows is a common way to weigh them.
    Keep,
    /// They are left out.
    Skip,
}
