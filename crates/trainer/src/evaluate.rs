//! Evaluation of held-out rows: mean negative log-likelihood, accuracy, and each row's own.

use apertis_dataset::{Dataset, PackedBatch, RowId};
use apertis_model::decoder::{Arena, HeadOutputs};
use apertis_model::{Adapter, Decoder};

use crate::error::TrainError;
use crate::learner::{Learner, device_batch, smoothed_targets};

/// Resamples of a bootstrap interval: enough for two digits. Efron 1979.
const RESAMPLES: usize = 1000;

/// One row's part of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowScore {
    /// Which row.
    pub row: RowId,
    /// Sum of the negative log-likelihoods of its targets.
    pub nll_sum: f64,
    /// Targets predicted first.
    pub correct: f64,
    /// Number of targets.
    pub targets: u64,
}

/// An evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// One entry a row, in file order.
    pub rows: Vec<RowScore>,
}

impl Evaluation {
    /// Number of judged tokens.
    pub fn target_tokens(&self) -> u64 {
        self.rows.iter().map(|row| row.targets).sum()
    }

    /// Mean negative log-likelihood a target token.
    pub fn loss(&self) -> f64 {
        mean(self.rows.iter(), |row| row.nll_sum)
    }

    /// Share of target tokens predicted first.
    pub fn accuracy(&self) -> f64 {
        mean(self.rows.iter(), |row| row.correct)
    }

    /// 95% bootstrap interval of the loss over rows; a function of the rows alone.
    pub fn loss_interval(&self) -> (f64, f64) {
        bootstrap_interval(self.rows.len(), |sample| mean(sample.iter().map(|index| &self.rows[*index]), |row| row.nll_sum))
    }

    fn add(&mut self, batch: &PackedBatch, outputs: &HeadOutputs) {
        let mut next = 0;
        for (row, range) in batch.rows.iter().zip(batch.offsets.windows(2)) {
            let targets = batch.targets[range[0] as usize..range[1] as usize].iter().filter(|target| **target >= 0).count();
            let places = next..next + targets;
            next += targets;
            let score = RowScore {
                row: *row,
                nll_sum: outputs.logp[places.clone()].iter().map(|logp| -f64::from(*logp)).sum(),
                correct: outputs.correct[places].iter().map(|correct| f64::from(*correct)).sum(),
                targets: targets as u64,
            };
            match self.rows.last_mut() {
                // A long row comes in several sequences.
                Some(last) if last.row == score.row => {
                    last.nll_sum += score.nll_sum;
                    last.correct += score.correct;
                    last.targets += score.targets;
                }
                _ => self.rows.push(score),
            }
        }
    }
}

/// Evaluates a run's held-out rows as they stand now.
///
/// # Errors
/// When the data or a batch cannot be used.
pub fn evaluate_learner(
    learner: &mut Learner,
    dataset: &Dataset,
    micro_batch_tokens: usize,
    mut progress: impl FnMut(),
) -> Result<Evaluation, TrainError> {
    let mut evaluation = Evaluation::default();
    for batch in dataset.in_order(micro_batch_tokens) {
        let batch = batch?;
        let outputs = learner.judge(&batch)?;
        evaluation.add(&batch, &outputs);
        progress();
    }
    Ok(evaluation)
}

/// Evaluates a model that is not being trained; the arena grows to what the largest batch needs.
///
/// # Errors
/// When the data, a batch or memory fails.
pub fn evaluate_model(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    dataset: &Dataset,
    micro_batch_tokens: usize,
    mut progress: impl FnMut(u64),
) -> Result<Evaluation, TrainError> {
    let mut evaluation = Evaluation::default();
    let mut arena: Option<(usize, Arena)> = None;
    for batch in dataset.in_order(micro_batch_tokens) {
        let batch = batch?;
        let tokens = batch.ids.len();
        if arena.as_ref().is_none_or(|(room, _)| *room < tokens) {
            drop(arena.take());
            let room = tokens.max(micro_batch_tokens.min(2 * tokens));
            let size_bytes = decoder.plan_evaluation(&[room], room, adapter).arena_bytes + ARENA_SLACK_BYTES;
            arena = Some((room, Arena::new(decoder.weights().backend(), size_bytes)?));
        }
        let Some((_, arena)) = &mut arena else { continue };
        let targets = smoothed_targets(&batch, 1.0, 0.0);
        let outputs = decoder.evaluate(arena, &device_batch(&batch), &targets, adapter)?;
        evaluation.add(&batch, &outputs);
        progress(tokens as u64);
    }
    Ok(evaluation)
}

/// Alignment of small tensors differs between the planned and the real row lengths.
pub(crate) const ARENA_SLACK_BYTES: usize = 1 << 20;

/// 95% interval of a statistic over resampled indices; the same for the same input.
pub fn bootstrap_interval(count: usize, statistic: impl Fn(&[usize]) -> f64) -> (f64, f64) {
    if count < 2 {
        let all: Vec<usize> = (0..count).collect();
        let value = statistic(&all);
        return (value, value);
    }
    let mut state = 0x853c_49e6_748f_ea9bu64;
    let mut next = move || {
        // SplitMix64, Steele et al. 2014.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let mut sample = vec![0; count];
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            sample.iter_mut().for_each(|index| *index = (next() % count as u64) as usize);
            statistic(&sample)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    (values[RESAMPLES * 25 / 1000], values[RESAMPLES * 975 / 1000])
}

fn mean<'a>(rows: impl Iterator<Item = &'a RowScore>, value: impl Fn(&RowScore) -> f64) -> f64 {
    let (mut sum, mut targets) = (0.0, 0);
    for row in rows {
        sum += value(row);
        targets += row.targets;
    }
    if targets == 0 { f64::NAN } else { sum / targets as f64 }
}
