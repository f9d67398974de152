//! Slow references of the head: logits, their softmax at the targets, and gradients.

use super::{Matrix, product};
use crate::backend::HeadOptions;

/// What the head says about each row, and its gradients.
pub struct Head {
    /// Log probability of the target, t × 1; 0 where the row has none.
    pub logp: Matrix,
    /// Log of the sum of exponentials.
    pub lse: Matrix,
    /// Mean of the logits.
    pub mean: Matrix,
    /// 1 where no logit is larger than the target's.
    pub correct: Matrix,
    /// Gradient of the input.
    pub dx: Matrix,
    /// Gradient of the weight.
    pub dweight: Matrix,
}

/// All logits, scaled and capped.
pub fn logits(x: &Matrix, weight: &Matrix, options: &HeadOptions) -> Matrix {
    product::product(x, &product::transpose(weight), f64::from(options.scale)).map(|raw| cap(raw, options.soft_cap))
}

fn cap(raw: f64, soft_cap: Option<f32>) -> f64 {
    soft_cap.map_or(raw, |cap| f64::from(cap) * (raw / f64::from(cap)).tanh())
}

/// The whole head. `derivatives` are those by the log probability, the log-sum-exp and the mean.
/// A target beyond the vocabulary says that the row has none.
pub fn head(x: &Matrix, weight: &Matrix, targets: &[u32], derivatives: [&Matrix; 3], options: &HeadOptions) -> Head {
    let logits = logits(x, weight, options);
    let column = || Matrix::zeros(x.rows, 1);
    let (mut logp, mut lse, mut mean, mut correct) = (column(), column(), column(), column());
    let mut draw = Matrix::zeros(logits.rows, logits.columns);
    for (row, target) in targets.iter().map(|target| *target as usize).enumerate().filter(|(_, target)| *target < weight.rows) {
        let values: Vec<f64> = (0..logits.columns).map(|column| logits.at(row, column)).collect();
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln();
        logp.set(row, 0, values[target] - log_sum);
        lse.set(row, 0, log_sum);
        mean.set(row, 0, values.iter().sum::<f64>() / values.len() as f64);
        correct.set(row, 0, f64::from(u8::from(values[target] >= largest)));
        let [dlogp, dlse, dmean] = derivatives.map(|derivative| derivative.at(row, 0));
        for (column, value) in values.iter().enumerate() {
            let probability = (value - log_sum).exp();
            let at_target = f64::from(u8::from(column == target));
            let dlogit = dlogp * (at_target - probability) + dlse * probability + dmean / values.len() as f64;
            let slope = options.soft_cap.map_or(1.0, |cap| 1.0 - (value / f64::from(cap)).powi(2));
            draw.set(row, column, dlogit * slope * f64::from(options.scale));
        }
    }
    Head {
        logp,
        lse,
        mean,
        correct,
        dx: product::product(&draw, weight, 1.0),
        dweight: product::product(&product::transpose(&draw), x, 1.0),
    }
}
