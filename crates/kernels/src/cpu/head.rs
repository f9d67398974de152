//! The head: the product into the vocabulary and its softmax, in chunks of rows.
//!
//! Logits are never kept: a chunk of rows times the vocabulary lives in scratch memory, is
//! reduced to a few numbers a row or turned into its gradient where it lies, and is forgotten.
//! Letters as in `backend`.

mod products;
mod softmax;

use half::bf16;

use crate::backend::HeadOptions;
use crate::context::Context;
use crate::cpu::view::{Rows, RowsMut};
use crate::dtype::Element;

/// A matrix that the head reads.
#[derive(Clone, Copy, Debug)]
pub enum HeadMatrix<'a> {
    /// 32-bit elements.
    F32(Rows<'a, f32>),
    /// bf16 elements.
    Bf16(Rows<'a, bf16>),
}

impl HeadMatrix<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            HeadMatrix::F32(rows) => rows.rows,
            HeadMatrix::Bf16(rows) => rows.rows,
        }
    }
    /// Elements of a row.
    pub fn columns(&self) -> usize {
        match self {
            HeadMatrix::F32(rows) => rows.columns,
            HeadMatrix::Bf16(rows) => rows.columns,
        }
    }
}

/// A matrix that the head writes.
#[derive(Debug)]
pub enum HeadMatrixMut<'a> {
    /// 32-bit elements.
    F32(RowsMut<'a, f32>),
    /// bf16 elements, rounded to nearest.
    Bf16(RowsMut<'a, bf16>),
}

/// What the head is computed from.
#[derive(Clone, Copy, Debug)]
pub struct HeadInput<'a> {
    /// t × d.
    pub x_td: HeadMatrix<'a>,
    /// v × d.
    pub weight_vd: HeadMatrix<'a>,
    /// t × 1. A number outside the vocabulary says that the row has no target: all its outputs
    /// and gradients are 0, and no time is spent on it.
    pub targets_t: Rows<'a, u32>,
    /// Scale and cap of the logits.
    pub options: HeadOptions,
}

/// What the head says about each row; all t × 1.
#[derive(Debug)]
pub struct HeadOutputs<'a> {
    /// Log probability of the target.
    pub logp_t: RowsMut<'a, f32>,
    /// Log of the sum of the exponentials of the logits.
    pub lse_t: RowsMut<'a, f32>,
    /// Mean of the logits.
    pub mean_logit_t: RowsMut<'a, f32>,
    /// 1 where no logit is larger than the target's, else 0.
    pub correct_t: RowsMut<'a, f32>,
}

/// Derivatives by the outputs; all t × 1.
#[derive(Clone, Copy, Debug)]
pub struct HeadCoefficients<'a> {
    /// By the log probability.
    pub dlogp_t: Rows<'a, f32>,
    /// By the log-sum-exp.
    pub dlse_t: Rows<'a, f32>,
    /// By the mean logit.
    pub dmean_t: Rows<'a, f32>,
}

/// Where gradients go.
#[derive(Debug)]
pub struct HeadGradients<'a> {
    /// t × d, replaced.
    pub dx_td: HeadMatrixMut<'a>,
    /// v × d, added to.
    pub dweight_vd: Option<RowsMut<'a, f32>>,
}

/// All logits, scaled and capped.
///
/// # Panics
/// When shapes differ.
pub fn logits(context: &Context, out_tv: &RowsMut<'_, f32>, x_td: HeadMatrix<'_>, weight_vd: HeadMatrix<'_>, options: HeadOptions) {
    assert!(
        out_tv.rows == x_td.rows() && out_tv.columns == weight_vd.rows(),
        "logits: out does not fit {} × {}",
        x_td.rows(),
        weight_vd.rows()
    );
    products::forward(context, out_tv, x_td, weight_vd);
    if options.scale != 1.0 || options.soft_cap.is_some() {
        context.for_each(out_tv.rows, |row| {
            // SAFETY: each task has its own row.
            softmax::adjust(context.instruction_set(), unsafe { out_tv.row(row) }, &options);
        });
    }
}

/// Log probabilities of the targets and what else is asked of the logits, chunk by chunk.
///
/// # Panics
/// When shapes differ.
pub fn head_forward(context: &Context, outputs: &HeadOutputs<'_>, input: &HeadInput<'_>) {
    run(context, input, Some(outputs), None, None);
}

/// Gradients of any function of the outputs of [`head_forward`]; recomputes the logits.
///
/// # Panics
/// When shapes differ.
pub fn head_backward(
    context: &Context,
    gradients: &HeadGradients<'_>,
    input: &HeadInput<'_>,
    lse_t: Rows<'_, f32>,
    coefficients: &HeadCoefficients<'_>,
) {
    run(context, input, None, Some(lse_t), Some((gradients, coefficients)));
}

/// Both at once, where the coefficients are known ahead.
///
/// # Panics
/// When shapes differ.
pub fn head_loss(
    context: &Context,
    outputs: &HeadOutputs<'_>,
    gradients: &HeadGradients<'_>,
    input: &HeadInput<'_>,
    coefficients: &HeadCoefficients<'_>,
) {
    run(context, input, Some(outputs), None, Some((gradients, coefficients)));
}

/// Bytes of logits that are in memory at once, as long as that leaves [`LEAST_ROWS`] rows.
/// Measured at 800 × 50,260 × 576: 16 MB reach 47% of the processor's peak, 32 MB 56%, 64 MB
/// 67%, 96 MB 79%, all rows at once (161 MB) 78%: each chunk reads and packs the whole weight.
const SCRATCH_BYTES: usize = 96 << 20;
/// Fewer rows a chunk would spend more time on reading the weight than on multiplying.
const LEAST_ROWS: usize = 128;
/// More rows gain nothing.
const MOST_ROWS: usize = 1024;

/// Rows of logits that are in memory at once, for a number of rows and a vocabulary: as many as
/// memory allows, in chunks of one size.
pub fn chunk_rows(rows: usize, vocabulary: usize) -> usize {
    let most = (SCRATCH_BYTES / (4 * vocabulary.max(1)) / 16 * 16).clamp(LEAST_ROWS, MOST_ROWS);
    rows.div_ceil(rows.div_ceil(most).max(1)).next_multiple_of(16).min(rows)
}

/// Bytes of scratch memory for a number of rows, their width and a vocabulary.
pub(crate) fn scratch_bytes(rows: usize, width: usize, vocabulary: usize) -> usize {
    // Logits, rows of x (in F32 where the weight is), and their gradient.
    chunk_rows(rows, vocabulary).saturating_mul(4 * vocabulary + 8 * width)
}

/// Any of the three operations: with outputs, with gradients, or both. `lse_t` is given when the
/// outputs are not asked for.
fn run(
    context: &Context,
    input: &HeadInput<'_>,
    outputs: Option<&HeadOutputs<'_>>,
    lse_t: Option<Rows<'_, f32>>,
    gradients: Option<(&HeadGradients<'_>, &HeadCoefficients<'_>)>,
) {
    let (tokens, vocabulary, width) = (input.x_td.rows(), input.weight_vd.rows(), input.weight_vd.columns());
    assert_eq!(input.x_td.columns(), width, "head: rows of x have {} columns, expected {width}", input.x_td.columns());
    assert_eq!(input.targets_t.rows, tokens, "head: found {} targets, expected {tokens}", input.targets_t.rows);
    check(tokens, vocabulary, width, outputs, gradients);
    let target = |row: usize| input.targets_t.row(row)[0] as usize;
    let (with_target, without): (Vec<usize>, Vec<usize>) = (0..tokens).partition(|row| target(*row) < vocabulary);
    for row in without {
        if let Some(outputs) = outputs {
            write_outputs(outputs, row, &softmax::RowResult::default());
        }
        if let Some((gradients, _)) = gradients {
            write_gradient(&gradients.dx_td, row, None);
        }
    }
    let chunk = chunk_rows(with_target.len(), vocabulary);
    let is_bf16 = matches!(input.weight_vd, HeadMatrix::Bf16(_));
    context.with_scratch(|scratch: &mut Scratch| {
        scratch.prepare(chunk, width, vocabulary, is_bf16);
        for rows in with_target.chunks(chunk.max(1)) {
            let x_cd = gather(rows, input.x_td, &mut scratch.x_f32, &mut scratch.x_bf16, is_bf16);
            let logits_cv = RowsMut::new(&mut scratch.logits, rows.len(), vocabulary, vocabulary);
            products::forward(context, &logits_cv, x_cd, input.weight_vd);
            context.for_each(rows.len(), |index| {
                let row = rows[index];
                let set = context.instruction_set();
                // SAFETY: each task has its own row of the chunk and of the outputs.
                let logits_v = unsafe { logits_cv.row(index) };
                let lse = match (outputs, lse_t) {
                    (Some(outputs), _) => {
                        let result = softmax::reduce(set, logits_v, target(row), &input.options);
                        write_outputs(outputs, row, &result);
                        result.lse
                    }
                    (None, Some(lse_t)) => {
                        softmax::adjust(set, logits_v, &input.options);
                        lse_t.row(row)[0]
                    }
                    (None, None) => unreachable!("a backward is given the log-sum-exp"),
                };
                if let Some((_, coefficients)) = gradients {
                    let slopes = softmax::Slopes {
                        dlogp: coefficients.dlogp_t.row(row)[0],
                        dlse: coefficients.dlse_t.row(row)[0],
                        dmean: coefficients.dmean_t.row(row)[0],
                    };
                    match input.weight_vd {
                        HeadMatrix::F32(_) => softmax::gradient_f32(set, logits_v, target(row), lse, slopes, &input.options),
                        HeadMatrix::Bf16(_) => softmax::gradient_bf16(set, logits_v, target(row), lse, slopes, &input.options),
                    }
                }
            });
            let Some((gradients, _)) = gradients else { continue };
            let dlogits_cv = if is_bf16 {
                // SAFETY: the gradient of a row lies as bf16 in the first half of its memory,
                // which stays as it is while this view lives.
                HeadMatrix::Bf16(unsafe { Rows::from_pointer(scratch.logits.as_ptr().cast(), rows.len(), vocabulary, 2 * vocabulary) })
            } else {
                HeadMatrix::F32(Rows::new(&scratch.logits, rows.len(), vocabulary, vocabulary))
            };
            let dx_cd = RowsMut::new(&mut scratch.dx, rows.len(), width, width);
            products::input_gradient(context, &dx_cd, dlogits_cv, input.weight_vd);
            for (index, row) in rows.iter().enumerate() {
                // SAFETY: no other reference to the chunk is alive.
                write_gradient(&gradients.dx_td, *row, Some(unsafe { dx_cd.row(index) }));
            }
            if let Some(dweight_vd) = &gradients.dweight_vd {
                products::weight_gradient(context, dweight_vd, dlogits_cv, x_cd);
            }
        }
    });
}

fn check(
    tokens: usize,
    vocabulary: usize,
    width: usize,
    outputs: Option<&HeadOutputs<'_>>,
    gradients: Option<(&HeadGradients<'_>, &HeadCoefficients<'_>)>,
) {
    if let Some(outputs) = outputs {
        for out in [&outputs.logp_t, &outputs.lse_t, &outputs.mean_logit_t, &outputs.correct_t] {
            assert!(out.rows == tokens && out.columns >= 1, "head: an output has {} rows, expected {tokens}", out.rows);
        }
    }
    if let Some((gradients, coefficients)) = gradients {
        for coefficient in [&coefficients.dlogp_t, &coefficients.dlse_t, &coefficients.dmean_t] {
            assert_eq!(coefficient.rows, tokens, "head: a coefficient has {} rows, expected {tokens}", coefficient.rows);
        }
        let (rows, columns) = match &gradients.dx_td {
            HeadMatrixMut::F32(rows) => (rows.rows, rows.columns),
            HeadMatrixMut::Bf16(rows) => (rows.rows, rows.columns),
        };
        assert_eq!((rows, columns), (tokens, width), "head: dx has another shape than x");
        if let Some(dweight) = &gradients.dweight_vd {
            assert_eq!((dweight.rows, dweight.columns), (vocabulary, width), "head: dweight has another shape than the weight");
        }
    }
}

fn write_outputs(outputs: &HeadOutputs<'_>, row: usize, result: &softmax::RowResult) {
    // SAFETY: each row is written by the one task that has it.
    unsafe {
        outputs.logp_t.row(row)[0] = result.logp;
        outputs.lse_t.row(row)[0] = result.lse;
        outputs.mean_logit_t.row(row)[0] = result.mean_logit;
        outputs.correct_t.row(row)[0] = result.correct;
    }
}

/// Rounds a row into the gradient of x, or zeroes it.
fn write_gradient(dx_td: &HeadMatrixMut<'_>, row: usize, values: Option<&[f32]>) {
    // SAFETY: rows are written by the calling thread, one after another.
    unsafe {
        match (dx_td, values) {
            (HeadMatrixMut::F32(dx), Some(values)) => dx.row(row).copy_from_slice(values),
            (HeadMatrixMut::Bf16(dx), Some(values)) => {
                for (out, value) in dx.row(row).iter_mut().zip(values) {
                    *out = Element::from_f32(*value);
                }
            }
            (HeadMatrixMut::F32(dx), None) => dx.row(row).fill(0.0),
            (HeadMatrixMut::Bf16(dx), None) => dx.row(row).fill(bf16::ZERO),
        }
    }
}

/// Lays the rows of a chunk end to end, in the type of the weight.
fn gather<'a>(rows: &[usize], x_td: HeadMatrix<'_>, x_f32: &'a mut [f32], x_bf16: &'a mut [bf16], is_bf16: bool) -> HeadMatrix<'a> {
    let width = x_td.columns();
    if is_bf16 {
        for (row, out) in rows.iter().zip(x_bf16.chunks_exact_mut(width)) {
            match x_td {
                HeadMatrix::F32(x) => out.iter_mut().zip(x.row(*row)).for_each(|(out, value)| *out = Element::from_f32(*value)),
                HeadMatrix::Bf16(x) => out.copy_from_slice(x.row(*row)),
            }
        }
        HeadMatrix::Bf16(Rows::new(x_bf16, rows.len(), width, width))
    } else {
        for (row, out) in rows.iter().zip(x_f32.chunks_exact_mut(width)) {
            match x_td {
                HeadMatrix::F32(x) => out.copy_from_slice(x.row(*row)),
                HeadMatrix::Bf16(x) => out.iter_mut().zip(x.row(*row)).for_each(|(out, value)| *out = Element::to_f32(*value)),
            }
        }
        HeadMatrix::F32(Rows::new(x_f32, rows.len(), width, width))
    }
}

/// Memory of a chunk, kept by the context from step to step.
#[derive(Default)]
struct Scratch {
    logits: Vec<f32>,
    x_f32: Vec<f32>,
    x_bf16: Vec<bf16>,
    dx: Vec<f32>,
}

impl Scratch {
    fn prepare(&mut self, rows: usize, width: usize, vocabulary: usize, is_bf16: bool) {
        fn grow<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) {
            if buffer.len() < length {
                // The old one goes first: both at once are more than was planned.
                *buffer = Vec::new();
                *buffer = vec![T::default(); length];
            }
        }
        grow(&mut self.logits, rows * vocabulary);
        grow(&mut self.dx, rows * width);
        grow(&mut self.x_f32, if is_bf16 { 0 } else { rows * width });
        grow(&mut self.x_bf16, if is_bf16 { rows * width } else { 0 });
    }
}
