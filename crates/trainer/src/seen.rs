//! The first batches as a person can read them: what the model really sees, after packing.

use apertis_dataset::{GlobalBatch, PackedBatch, RowId, Sampler};
use apertis_tokenizer::Tokenizer;

use crate::error::TrainError;

/// Batches that are shown.
const BATCHES: u64 = 3;
/// Rows of a batch that are shown.
const ROWS_MAX: usize = 24;
/// Tokens of a row that are shown.
const TOKENS_MAX: usize = 1024;

/// A row of one of the first batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// The batch, from 0.
    pub batch: u64,
    /// The row's number in its file, from 0.
    pub row: u64,
    /// Its tokens.
    pub tokens: Vec<SeenToken>,
}

/// A token of a packed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenToken {
    /// Its id.
    pub id: u32,
    /// What it reads as.
    pub text: String,
    /// Whether the model is trained to predict it, rather than only to read it.
    pub is_trained: bool,
}

/// The rows of the first batches of a run.
///
/// # Errors
/// The data cannot be read.
pub fn first_batches(sampler: &Sampler, tokenizer: &Tokenizer) -> Result<Vec<SeenRow>, TrainError> {
    let mut rows = Vec::new();
    for number in 0..BATCHES {
        let number_of = |id: RowId| sampler.dataset().row(id).map_or(id.0, |row| row.source.line.saturating_sub(1));
        rows.extend(rows_of(number, &sampler.global_batch(number)?, tokenizer, &number_of));
    }
    Ok(rows)
}

fn rows_of(number: u64, batch: &GlobalBatch, tokenizer: &Tokenizer, number_of: &dyn Fn(RowId) -> u64) -> Vec<SeenRow> {
    let sequences = batch.micro.iter().flat_map(|packed| (0..packed.rows.len()).map(move |at| (packed, at)));
    sequences
        .take(ROWS_MAX)
        .map(|(packed, at)| SeenRow { batch: number, row: number_of(packed.rows[at]), tokens: tokens_of(packed, at, tokenizer) })
        .collect()
}

fn tokens_of(packed: &PackedBatch, at: usize, tokenizer: &Tokenizer) -> Vec<SeenToken> {
    let (start, end) = (packed.offsets[at] as usize, packed.offsets[at + 1] as usize);
    let shown = start..end.min(start + TOKENS_MAX);
    let tokens = shown.map(|place| SeenToken {
        id: packed.ids[place],
        text: tokenizer.token_text(packed.ids[place]).unwrap_or_default(),
        // A token is learned where the one before it has it as its target.
        is_trained: place > start && packed.targets[place - 1] >= 0,
    });
    tokens.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apertis_tokenizer::learn;

    #[test]
    fn a_row_says_what_is_learned_of_it() {
        let special = learn::SpecialTokens::default();
        let tokenizer = learn::byte_level_bpe(["ab"].iter(), 256 + 1 + special.more.len(), &special).expect("a tokenizer of bytes");
        let id = |letter: &str| tokenizer.encode(letter, false).expect("a letter")[0];
        let (a, b) = (id("a"), id("b"));
        let packed = PackedBatch::from_sequences([([a, b, a].as_slice(), [false, false, true].as_slice()), (&[b, b], &[true, true])]);
        let batch = GlobalBatch { micro: vec![packed], ..GlobalBatch::default() };
        let rows = rows_of(2, &batch, &tokenizer, &|id| id.0 + 10);
        let shown: Vec<String> = rows
            .iter()
            .map(|row| {
                row.tokens.iter().map(|token| if token.is_trained { token.text.to_uppercase() } else { token.text.clone() }).collect()
            })
            .collect();
        // The first token has nothing before it to be predicted from.
        assert_eq!(shown, ["abA", "bB"]);
        assert_eq!((rows[1].batch, rows[1].row, rows[1].tokens[0].id), (2, 11, b));
    }
}
