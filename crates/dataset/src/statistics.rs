//! How many rows and tokens there are and how long rows are; exact, and in memory that does not
//! grow with the data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::RowSource;

/// How many of the longest rows are named.
const LONGEST_KEPT: usize = 10;

/// Counts over all usable rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Conversations or documents.
    pub rows: u64,
    /// Rows of the token cache: more than `rows` where long rows were split.
    pub token_rows: u64,
    /// Tokens that are kept.
    pub tokens: u64,
    /// Tokens that are learned.
    pub target_tokens: u64,
    /// Tokens cut off rows that were too long.
    pub cut_tokens: u64,
    /// Rows that were cut.
    pub cut_rows: u64,
    /// Rejected answers of preference rows, which are not learned.
    pub rejected_answers: u64,
    /// Exact copies of earlier rows, kept or left out.
    pub duplicate_rows: u64,
    lengths: BTreeMap<u32, u64>,
    longest: Vec<(u32, RowSource)>,
}

impl Statistics {
    /// Counts one row by its length before anything was cut.
    pub(crate) fn add_length(&mut self, length: u32, source: RowSource) {
        self.rows += 1;
        *self.lengths.entry(length).or_default() += 1;
        let at = self.longest.partition_point(|(longer, _)| *longer >= length);
        if at < LONGEST_KEPT {
            self.longest.insert(at, (length, source));
            self.longest.truncate(LONGEST_KEPT);
        }
    }

    /// The length that `share` of the rows do not exceed: 0.5 for the median.
    pub fn length_percentile(&self, share: f64) -> u32 {
        let rank = ((self.rows as f64 * share).ceil() as u64).clamp(1, self.rows.max(1));
        let mut seen = 0;
        for (&length, &count) in &self.lengths {
            seen += count;
            if seen >= rank {
                return length;
            }
        }
        0
    }

    /// Length of the longest row, before anything was cut.
    pub fn length_max(&self) -> u32 {
        self.lengths.last_key_value().map_or(0, |(&length, _)| length)
    }

    /// The longest rows, longest first.
    pub fn longest(&self) -> &[(u32, RowSource)] {
        &self.longest
    }

    /// Length and number of rows of that length, in order.
    pub fn lengths(&self) -> impl Iterator<Item = (u32, u64)> {
        self.lengths.iter().map(|(&length, &count)| (length, count))
    }

    /// Share of the tokens that are learned.
    pub fn trained_share(&self) -> f64 {
        if self.tokens == 0 { 0.0 } else { self.target_tokens as f64 / self.tokens as f64 }
    }
}
