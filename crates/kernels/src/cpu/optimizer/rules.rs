//! Rules that treat each element alone (AdamW, its 8-bit form, Lion), block by block.

use std::marker::PhantomData;

use half::bf16;

use super::code::{CODE_BLOCK, decode_signed, decode_unsigned, encode_signed, encode_unsigned, hash};
use super::master::{join_master, split_master};
use super::{Moment, Update, Weight};
use crate::backend::OptimizerRule;
use crate::context::Context;
use crate::instruction_set::vectorized;

/// Elements of a task: long enough to hide its start, short enough to share out.
const TASK: usize = 32_768;
/// Elements whose masters lie joined in the nearest cache; a multiple of [`CODE_BLOCK`].
const BLOCK: usize = 1024;

/// A slice that tasks write, each its own part.
struct Shared<'a, T> {
    pointer: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: `part` hands out parts that its contract keeps disjoint.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    fn new(slice: &'a mut [T]) -> Self {
        Shared { pointer: slice.as_mut_ptr(), length: slice.len(), lifetime: PhantomData }
    }

    /// # Safety
    /// No two threads hold overlapping parts at once.
    #[expect(clippy::mut_from_ref, reason = "threads write disjoint parts; the contract says so")]
    unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        assert!(start + length <= self.length, "optimizer_step: a state is too short");
        // SAFETY: inside the slice by the check, exclusive by contract.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(start), length) }
    }
}

enum SharedWeight<'a> {
    F32(Shared<'a, f32>),
    Split(Shared<'a, bf16>, Shared<'a, u16>),
}

enum State<'a> {
    AdamW { first: Shared<'a, f32>, second: Shared<'a, f32> },
    AdamW8bit { first: Shared<'a, u8>, second: Shared<'a, u8>, first_scales: Shared<'a, f32>, second_scales: Shared<'a, f32> },
    Lion { momentum: Shared<'a, f32> },
}

/// Numbers of a rule that are the same for all elements, rounded once as PyTorch does.
#[derive(Clone, Copy)]
struct Coefficients {
    gradient_factor: f32,
    /// `1 - learning_rate · weight_decay`.
    keep: f32,
    learning_rate: f32,
    /// `learning_rate / (1 - beta1^t)`.
    step_size: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `sqrt(1 - beta2^t)`.
    second_correction: f32,
    epsilon: f32,
    /// Names this update to the random rounding.
    seed: u32,
}

struct Job<'a> {
    weight: SharedWeight<'a>,
    gradient: &'a [f32],
    state: State<'a>,
    coefficients: Coefficients,
    first_task: usize,
}

fn coefficients(update: &Update<'_>, gradient_factor: f32) -> Option<Coefficients> {
    let (beta1, beta2, epsilon) = match update.rule {
        OptimizerRule::AdamW { beta1, beta2, epsilon } | OptimizerRule::AdamW8bit { beta1, beta2, epsilon } => (beta1, beta2, epsilon),
        OptimizerRule::Lion { beta1, beta2 } => (beta1, beta2, 0.0),
        OptimizerRule::Muon { .. } => return None,
    };
    let learning_rate = f64::from(update.learning_rate);
    let power = |beta: f32| f64::from(beta).powf(update.update_count as f64);
    Some(Coefficients {
        gradient_factor,
        keep: (1.0 - learning_rate * f64::from(update.weight_decay)) as f32,
        learning_rate: update.learning_rate,
        step_size: (learning_rate / (1.0 - power(beta1))) as f32,
        beta1,
        one_minus_beta1: (1.0 - f64::from(beta1)) as f32,
        beta2,
        one_minus_beta2: (1.0 - f64::from(beta2)) as f32,
        second_correction: (1.0 - power(beta2)).sqrt() as f32,
        epsilon,
        seed: hash(update.update_count as u32),
    })
}

fn state<'a>(update: &'a mut Moment<'_>, second: Option<&'a mut Moment<'_>>, rule: OptimizerRule) -> State<'a> {
    match (rule, update, second) {
        (OptimizerRule::AdamW { .. }, Moment::F32(first), Some(Moment::F32(second))) => {
            State::AdamW { first: Shared::new(first), second: Shared::new(second) }
        }
        (OptimizerRule::AdamW8bit { .. }, Moment::Coded(first, first_scales), Some(Moment::Coded(second, second_scales))) => {
            State::AdamW8bit {
                first: Shared::new(first),
                second: Shared::new(second),
                first_scales: Shared::new(first_scales),
                second_scales: Shared::new(second_scales),
            }
        }
        (OptimizerRule::Lion { .. }, Moment::F32(momentum), _) => State::Lion { momentum: Shared::new(momentum) },
        (rule, _, _) => panic!("optimizer_step: moments do not fit {rule:?}"),
    }
}

/// Applies every update but those of Muon.
pub(super) fn step(context: &Context, updates: &mut [Update<'_>], gradient_factor: f32) {
    let mut tasks = 0;
    let mut jobs = Vec::with_capacity(updates.len());
    for update in updates {
        let Some(coefficients) = coefficients(update, gradient_factor) else { continue };
        let length = update.weight.len();
        assert_eq!(update.gradient.len(), length, "optimizer_step: gradient and weight differ in size");
        let weight = match &mut update.weight {
            Weight::F32(weight) => SharedWeight::F32(Shared::new(weight)),
            Weight::Split(weight, remainder) => SharedWeight::Split(Shared::new(weight), Shared::new(remainder)),
        };
        let state = state(&mut update.first, update.second.as_mut(), update.rule);
        jobs.push(Job { weight, gradient: update.gradient, state, coefficients, first_task: tasks });
        tasks += length.div_ceil(TASK);
    }
    context.for_each(tasks, |task| {
        let job = &jobs[jobs.partition_point(|job| job.first_task <= task) - 1];
        let start = (task - job.first_task) * TASK;
        for start in (start..(start + TASK).min(job.gradient.len())).step_by(BLOCK) {
            let length = BLOCK.min(job.gradient.len() - start);
            // SAFETY: tasks and blocks cut the parameter into disjoint parts.
            unsafe { block(context, job, start, length) };
        }
    });
}

/// # Safety
/// No other thread works on this block.
unsafe fn block(context: &Context, job: &Job<'_>, start: usize, length: usize) {
    let set = context.instruction_set();
    let mut joined = [0f32; BLOCK];
    // SAFETY: passed on to the caller.
    unsafe {
        let weight: &mut [f32] = match &job.weight {
            SharedWeight::F32(weight) => weight.part(start, length),
            SharedWeight::Split(weight, remainder) => {
                join(set, weight.part(start, length), remainder.part(start, length), &mut joined[..length]);
                &mut joined[..length]
            }
        };
        let gradient = &job.gradient[start..start + length];
        match &job.state {
            State::AdamW { first, second } => {
                adamw(set, weight, gradient, first.part(start, length), second.part(start, length), &job.coefficients);
            }
            State::AdamW8bit { first, second, first_scales, second_scales } => {
                let blocks = length.div_ceil(CODE_BLOCK);
                let first_scales = first_scales.part(start / CODE_BLOCK, blocks);
                let second_scales = second_scales.part(start / CODE_BLOCK, blocks);
                for (index, (first_scale, second_scale)) in first_scales.iter_mut().zip(second_scales).enumerate() {
                    let range = index * CODE_BLOCK..((index + 1) * CODE_BLOCK).min(length);
                    adamw_8bit(
                        set,
                        &mut weight[range.clone()],
                        &gradient[range.clone()],
                        first.part(start + range.start, range.len()),
                        second.part(start + range.start, range.len()),
                        first_scale,
                        second_scale,
                        &job.coefficients,
                        job.coefficients.seed.wrapping_add((start + range.start) as u32),
                    );
                }
            }
            State::Lion { momentum } => lion(set, weight, gradient, momentum.part(start, length), &job.coefficients),
        }
        if let SharedWeight::Split(weight, remainder) = &job.weight {
            split(set, &joined[..length], weight.part(start, length), remainder.part(start, length));
        }
    }
}

vectorized! {
    pub(super) fn join(weight: &[bf16], remainder: &[u16], masters: &mut [f32]) {
        for ((master, weight), remainder) in masters.iter_mut().zip(weight).zip(remainder) {
            *master = join_master(*weight, *remainder);
        }
    }
}

vectorized! {
    pub(super) fn split(masters: &[f32], weight: &mut [bf16], remainder: &mut [u16]) {
        for ((master, weight), remainder) in masters.iter().zip(weight).zip(remainder) {
            (*weight, *remainder) = split_master(*master);
        }
    }
}

#[inline(always)]
fn adamw_body(weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], c: &Coefficients) {
    let Coefficients { gradient_factor, keep, step_size, one_minus_beta1, beta2, one_minus_beta2, second_correction, epsilon, .. } = *c;
    for (((weight, gradient), first), second) in weight.iter_mut().zip(gradient).zip(first).zip(second) {
        let gradient = gradient * gradient_factor;
        *first += (gradient - *first) * one_minus_beta1;
        *second = *second * beta2 + one_minus_beta2 * gradient * gradient;
        let denominator = second.sqrt() / second_correction + epsilon;
        *weight = *weight * keep - step_size * *first / denominator;
    }
}

vectorized! {
    fn adamw(weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], c: &Coefficients) {
        adamw_body(weight, gradient, first, second, c);
    }
}

vectorized! {
    fn adamw_8bit(
        weight: &mut [f32],
        gradient: &[f32],
        first: &mut [u8],
        second: &mut [u8],
        first_scale: &mut f32,
        second_scale: &mut f32,
        c: &Coefficients,
        seed: u32,
    ) {
        let length = weight.len().min(CODE_BLOCK);
        let (mut first_values, mut second_values) = ([0f32; CODE_BLOCK], [0f32; CODE_BLOCK]);
        let (first_values, second_values) = (&mut first_values[..length], &mut second_values[..length]);
        decode_signed(first, *first_scale, first_values);
        decode_unsigned(second, *second_scale, second_values);
        adamw_body(weight, gradient, first_values, second_values, c);
        *first_scale = encode_signed(first_values, first);
        *second_scale = encode_unsigned(second_values, second, seed);
    }
}

vectorized! {
    fn lion(weight: &mut [f32], gradient: &[f32], momentum: &mut [f32], c: &Coefficients) {
        let Coefficients { gradient_factor, keep, learning_rate, beta1, one_minus_beta1, beta2, one_minus_beta2, .. } = *c;
        for ((weight, gradient), momentum) in weight.iter_mut().zip(gradient).zip(momentum) {
            let gradient = gradient * gradient_factor;
            let direction = beta1 * *momentum + one_minus_beta1 * gradient;
            let sign = if direction > 0.0 { 1.0 } else if direction < 0.0 { -1.0 } else { 0.0 };
            *weight = *weight * keep - learning_rate * sign;
            *momentum = beta2 * *momentum + one_minus_beta2 * gradient;
        }
    }
}
