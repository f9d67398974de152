//! Which keys a query sees, and how the work is cut into tasks by shape alone.

use std::ops::Range;

use crate::backend::{AttentionShape, SequenceSpan, VisibleSpan};

/// What the queries of one sequence see.
///
/// A query at position p sees the window that ends at p and every visible span that holds p.
/// Both hold p, so that what it sees is always one interval of keys.
#[derive(Clone, Debug)]
pub(super) struct Visibility {
    /// The sequence.
    pub(super) span: SequenceSpan,
    window: usize,
    visible: Vec<VisibleSpan>,
}

impl Visibility {
    /// The rules of sequence number `sequence`.
    ///
    /// # Panics
    /// When there are fewer keys than queries, or the window is empty.
    pub(super) fn new(shape: &AttentionShape<'_>, sequence: usize) -> Visibility {
        let span = shape.sequences[sequence];
        assert!(
            span.key_count >= span.query_count,
            "attention: found {} keys for {} queries, expected at least as many",
            span.key_count,
            span.query_count
        );
        let window = shape.window.unwrap_or(usize::MAX);
        assert!(window > 0, "attention: found a window of 0 keys, expected at least 1");
        let visible = shape.visible.iter().filter(|visible| visible.sequence == sequence).copied().collect();
        Visibility { span, window, visible }
    }

    /// Keys (counted from the start of the sequence) that query number `query` sees.
    pub(super) fn keys(&self, query: usize) -> Range<usize> {
        let position = self.span.key_count - self.span.query_count + query;
        let mut start = (position + 1).saturating_sub(self.window);
        let mut end = position + 1;
        for visible in &self.visible {
            if visible.start <= position && position < visible.end {
                start = start.min(visible.start);
                end = end.max(visible.end.min(self.span.key_count));
            }
        }
        start..end
    }

    /// The smallest interval that holds what each of `queries` sees.
    pub(super) fn keys_of(&self, queries: Range<usize>) -> Range<usize> {
        queries.map(|query| self.keys(query)).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }
}

/// Rows that the sequences of a call may touch, checked against the tensors.
pub(super) fn check_spans(shape: &AttentionShape<'_>, query_rows: usize, key_rows: usize) {
    for span in shape.sequences {
        assert!(
            span.query_start + span.query_count <= query_rows && span.key_start + span.key_count <= key_rows,
            "attention: sequence {span:?} is outside {query_rows} query rows and {key_rows} key rows"
        );
    }
}
