//! Which rows are held out: a function of the data and the seed alone. All of them come from the
//! first block, so that evaluation can begin before the rest of large data is tokenised; data of
//! one block, 64 MiB, is thus split as a whole.

use std::ops::Range;

use crate::random::mix;
use crate::settings::EVAL_ROWS_MAX;
use crate::store::Shard;

/// Fewest tokens that the end of a text may be held out for, whatever its windows.
const EVAL_TOKENS_MAX: u64 = 1 << 20;

/// What of the first block is held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeldOut {
    /// Row numbers, ascending.
    Rows(Vec<u64>),
    /// Token ranges, ascending: whole documents, or the end of a text.
    Tokens(Vec<Range<u64>>),
}

/// Chooses rows. `None` when nothing is or can be held out.
pub(crate) fn hold_out_rows(shard: &Shard, bytes_total: u64, fraction: f64, seed: u64) -> Option<HeldOut> {
    let count = held_out_count(shard.row_count(), scale(shard, bytes_total), fraction);
    let rows = smallest_hashes(shard.row_count(), count, seed);
    (!rows.is_empty()).then_some(HeldOut::Rows(rows))
}

/// Chooses documents, or the end of the text where there are too few to choose from.
pub(crate) fn hold_out_tokens(shard: &Shard, bytes_total: u64, fraction: f64, seed: u64, window: usize) -> Option<HeldOut> {
    if fraction <= 0.0 {
        return None;
    }
    let scale = scale(shard, bytes_total);
    let starts: Vec<u64> = (0..shard.row_count()).filter(|&row| row == 0 || !shard.row(row).continues).collect();
    let documents = starts.len() as u64;
    if documents as f64 * fraction >= 1.0 {
        let count = held_out_count(documents, scale, fraction);
        let chosen = smallest_hashes(documents, count, seed);
        let end_of = |document: u64| match starts.get(document as usize + 1) {
            Some(&row) => shard.row_start(row),
            None => shard.token_count(),
        };
        let ranges = chosen.iter().map(|&document| shard.row_start(starts[document as usize])..end_of(document));
        return Some(HeldOut::Tokens(ranges.collect()));
    }
    let tokens = shard.token_count();
    let wanted = tokens - (tokens as f64 * (1.0 - fraction)).floor() as u64;
    let most = (EVAL_ROWS_MAX * window as u64).max(EVAL_TOKENS_MAX);
    let held = ((wanted as f64 * scale) as u64).clamp(2, most).min(tokens / 2);
    (held >= 2).then(|| HeldOut::Tokens(std::iter::once(tokens - held..tokens).collect()))
}

/// How many times larger the data is than its first block.
fn scale(shard: &Shard, bytes_total: u64) -> f64 {
    if shard.is_full() { (bytes_total as f64 / shard.disk_bytes().max(1) as f64).max(1.0) } else { 1.0 }
}

fn held_out_count(rows: u64, scale: f64, fraction: f64) -> u64 {
    if fraction <= 0.0 || rows < 2 {
        return 0;
    }
    let wanted = (rows as f64 * scale * fraction).round() as u64;
    let room = if scale > 1.0 { rows / 2 } else { rows - 1 };
    wanted.clamp(1, EVAL_ROWS_MAX).min(room)
}

/// The `count` numbers below `total` whose hashes are smallest, ascending.
fn smallest_hashes(total: u64, count: u64, seed: u64) -> Vec<u64> {
    let mut hashed: Vec<(u64, u64)> = (0..total).map(|row| (mix(&[seed, 0x0e7a_1000, row]), row)).collect();
    let count = count as usize;
    if count < hashed.len() {
        hashed.select_nth_unstable(count);
        hashed.truncate(count);
    }
    let mut rows: Vec<u64> = hashed.into_iter().map(|(_, row)| row).collect();
    rows.sort_unstable();
    rows
}
