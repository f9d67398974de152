//! Which keys a query sees, and how the work is cut into tasks by shape alone.

use std::ops::Range;

use super::kernel::{LANES, MOST_COLUMNS};
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
}

/// A part of the work that one thread does.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Index into the sequences.
    pub(super) sequence: usize,
    /// Key/value head; the query heads that read it belong to the task.
    pub(super) key_head: usize,
    /// Queries of the sequence.
    pub(super) queries: Range<usize>,
    /// Keys of the sequence; in a forward, those that its last query may see.
    pub(super) keys: Range<usize>,
    /// What of it is wanted: in a backward, gradients of queries, of keys and values, or both.
    pub(super) gradients: Gradients,
}

impl Task {
    /// Puts long tasks first, so that threads finish together.
    pub(super) fn sort(tasks: &mut [Task]) {
        tasks.sort_by_key(|task| std::cmp::Reverse(task.queries.len() * (task.keys.end - task.keys.start)));
    }
}

/// Which gradients a task computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gradients {
    /// None: a forward.
    None,
    /// Of its queries.
    Queries,
    /// Of its keys and values.
    Keys,
    /// Of all.
    Both,
}

/// Queries that stand side by side in the lanes of vectors, each with one of the heads of a
/// group: lane by lane all queries of the first head, then of the next.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Queries of the sequence.
    pub(super) queries: Range<usize>,
    /// Number of (head, query) pairs before the first lane.
    first_pair: usize,
    /// Lanes in use.
    pub(super) lanes: usize,
    /// Every key that some lane sees.
    pub(super) keys: Range<usize>,
    /// Keys that every lane sees.
    pub(super) common_keys: Range<usize>,
}

impl Block {
    /// Vectors that hold the lanes.
    #[inline(always)]
    pub(super) fn columns(&self) -> usize {
        self.lanes.div_ceil(LANES)
    }

    /// Query of the sequence, and head of the group, of a lane.
    #[inline(always)]
    pub(super) fn lane(&self, lane: usize) -> (usize, usize) {
        let pair = self.first_pair + lane;
        (self.queries.start + pair % self.queries.len(), pair / self.queries.len())
    }

    /// Cuts queries of a sequence, each with all heads of a group, into blocks.
    pub(super) fn cut(visibility: &Visibility, queries: Range<usize>, group: usize, blocks: &mut Vec<Block>) {
        blocks.clear();
        for start in queries.clone().step_by(LANES) {
            let chunk = start..(start + LANES).min(queries.end);
            let all = chunk.clone().map(|query| visibility.keys(query));
            let keys = all.clone().reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
            let common_keys = all.reduce(|a, b| a.start.max(b.start)..a.end.min(b.end)).unwrap_or(0..0);
            let pairs = chunk.len() * group;
            for first_pair in (0..pairs).step_by(MOST_COLUMNS * LANES) {
                let lanes = (pairs - first_pair).min(MOST_COLUMNS * LANES);
                blocks.push(Block { queries: chunk.clone(), first_pair, lanes, keys: keys.clone(), common_keys: common_keys.clone() });
            }
        }
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
