//! What happens to one row of logits: scale and cap, its softmax, and its gradient in place.

use half::bf16;

use crate::backend::HeadOptions;
use crate::cpu::attention::exponential::{exp, tanh};
use crate::dtype::Element;
use crate::instruction_set::vectorized;

/// What the head says about one row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowResult {
    pub(super) logp: f32,
    pub(super) lse: f32,
    pub(super) mean_logit: f32,
    pub(super) correct: f32,
}

/// Derivatives by the outputs of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slopes {
    pub(super) dlogp: f32,
    pub(super) dlse: f32,
    pub(super) dmean: f32,
}

/// Lanes of the sums; blocks of [`BLOCK`] are summed in f32, and these in f64.
const LANES: usize = 16;
const BLOCK: usize = 2048;

vectorized! {
    /// Scales and caps logits where they lie.
    pub(super) fn adjust(logits_v: &mut [f32], options: &HeadOptions) {
        if options.scale != 1.0 {
            for logit in logits_v.iter_mut() {
                *logit *= options.scale;
            }
        }
        if let Some(cap) = options.soft_cap {
            let inverse = 1.0 / cap;
            for logit in logits_v.iter_mut() {
                *logit = cap * tanh(*logit * inverse);
            }
        }
    }
}

vectorized! {
    fn largest(values: &[f32]) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in values.chunks(LANES) {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = if *value > *lane { *value } else { *lane };
            }
        }
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}

vectorized! {
    /// Σ exp(value - largest) and Σ value.
    fn sums(values: &[f32], largest: f32) -> (f64, f64) {
        let (mut exponentials, mut plain) = (0f64, 0f64);
        for block in values.chunks(BLOCK) {
            let (mut exponential_lanes, mut plain_lanes) = ([0f32; LANES], [0f32; LANES]);
            let chunks = block.chunks_exact(LANES);
            for value in chunks.remainder() {
                exponentials += f64::from(exp(*value - largest));
                plain += f64::from(*value);
            }
            for chunk in chunks {
                for lane in 0..LANES {
                    exponential_lanes[lane] += exp(chunk[lane] - largest);
                    plain_lanes[lane] += chunk[lane];
                }
            }
            exponentials += exponential_lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
            plain += plain_lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
        }
        (exponentials, plain)
    }
}

/// Adjusts a row and reduces it.
pub(super) fn reduce(set: crate::InstructionSet, logits_v: &mut [f32], target: usize, options: &HeadOptions) -> RowResult {
    adjust(set, logits_v, options);
    let largest = largest(set, logits_v);
    let (exponentials, plain) = sums(set, logits_v, largest);
    let lse = f64::from(largest) + exponentials.ln();
    RowResult {
        logp: (f64::from(logits_v[target]) - lse) as f32,
        lse: lse as f32,
        mean_logit: (plain / logits_v.len() as f64) as f32,
        correct: if logits_v[target] >= largest { 1.0 } else { 0.0 },
    }
}

/// Derivative by a raw logit, before the part of the target.
#[inline(always)]
fn slope(logit: f32, lse: f32, by_probability: f32, constant: f32, scale: f32, inverse_cap: f32) -> f32 {
    let capped = logit * inverse_cap;
    (exp(logit - lse) * by_probability + constant) * (1.0 - capped * capped) * scale
}

vectorized! {
    /// Turns adjusted logits into the gradient of the raw ones.
    pub(super) fn gradient_f32(logits_v: &mut [f32], target: usize, lse: f32, slopes: Slopes, options: &HeadOptions) {
        let constant = slopes.dmean / logits_v.len() as f32;
        let inverse_cap = options.soft_cap.map_or(0.0, |cap| 1.0 / cap);
        let by_probability = slopes.dlse - slopes.dlogp;
        let at_target = logits_v[target];
        for logit in logits_v.iter_mut() {
            *logit = slope(*logit, lse, by_probability, constant, options.scale, inverse_cap);
        }
        logits_v[target] = slope(at_target, lse, by_probability, constant + slopes.dlogp, options.scale, inverse_cap);
    }
}

vectorized! {
    /// The same, rounded to bf16 into the first half of the row's memory.
    pub(super) fn gradient_bf16(logits_v: &mut [f32], target: usize, lse: f32, slopes: Slopes, options: &HeadOptions) {
        let vocabulary = logits_v.len();
        let constant = slopes.dmean / vocabulary as f32;
        let inverse_cap = options.soft_cap.map_or(0.0, |cap| 1.0 / cap);
        let by_probability = slopes.dlse - slopes.dlogp;
        let at_target = slope(logits_v[target], lse, by_probability, constant + slopes.dlogp, options.scale, inverse_cap);
        let out = logits_v.as_mut_ptr().cast::<bf16>();
        let mut gradients = [0f32; 256];
        for start in (0..vocabulary).step_by(256) {
            let length = 256.min(vocabulary - start);
            for (gradient, logit) in gradients.iter_mut().zip(&logits_v[start..start + length]) {
                *gradient = slope(*logit, lse, by_probability, constant, options.scale, inverse_cap);
            }
            // SAFETY: inside the row, and only over logits that were read already.
            let rounded = unsafe { std::slice::from_raw_parts_mut(out.add(start), length) };
            for (rounded, gradient) in rounded.iter_mut().zip(&gradients) {
                *rounded = Element::from_f32(*gradient);
            }
        }
        // SAFETY: the target lies inside the vocabulary.
        unsafe { *out.add(target) = Element::from_f32(at_target) };
    }
}
