//! From the residual stream to log probabilities of targets, and back; logits are never kept.
//!
//! Shape letters: t tokens, m rows with a target, d width, v vocabulary.

use apertis_kernels::{Dtype, HeadOptions, ProductTerm, Tensor};

use super::arena::Arena;
use super::pass::Pass;

/// Which tokens are judged, by what they should have predicted, and how much each counts.
///
/// The gradient of a loss enters through its derivatives by the head's three outputs, so that
/// supervised, smoothed, preference and reinforcement losses are all callers.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Token numbers in the batch.
    pub rows: Vec<u32>,
    /// The ids they should predict.
    pub ids: Vec<u32>,
    /// Derivative of the loss by each log probability; empty while evaluating.
    pub dlogp: Vec<f32>,
    /// By each log-sum-exp.
    pub dlse: Vec<f32>,
    /// By each mean logit.
    pub dmean: Vec<f32>,
}

impl Targets {
    /// Targets of a mean negative log-likelihood over `divisor` targets.
    pub fn mean_nll(rows: Vec<u32>, ids: Vec<u32>, divisor: f32) -> Targets {
        let count = rows.len();
        Targets { rows, ids, dlogp: vec![-1.0 / divisor; count], dlse: vec![0.0; count], dmean: vec![0.0; count] }
    }

    /// Number of judged tokens.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is judged.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What the head says of each judged token, in the order of [`Targets::rows`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadOutputs {
    /// Log probability of the target.
    pub logp: Vec<f32>,
    /// Log of the sum of exponentials of all logits.
    pub lse: Vec<f32>,
    /// Mean of all logits.
    pub mean_logit: Vec<f32>,
    /// 1 when the target was the largest logit.
    pub correct: Vec<f32>,
}

pub(super) struct HeadMemory {
    rows: Tensor,
    order: Tensor,
    ids: Tensor,
    coefficients: [Tensor; 3],
    outputs: [Tensor; 4],
    x_md: Tensor,
    normed_md: Tensor,
    stats: Option<Tensor>,
    count: usize,
}

impl HeadMemory {
    pub(super) fn take(pass: &Pass<'_>, arena: &mut Arena, targets: &Targets) -> HeadMemory {
        let count = targets.len();
        let mut column = || arena.take(count, 1, Dtype::F32);
        let coefficients = [column(), column(), column()];
        let outputs = [column(), column(), column(), column()];
        HeadMemory {
            rows: arena.take(count, 1, Dtype::U32),
            order: arena.take(count, 1, Dtype::U32),
            ids: arena.take(count, 1, Dtype::U32),
            coefficients,
            outputs,
            x_md: arena.take(count, pass.spec.width, Dtype::F32),
            normed_md: arena.take(count, pass.spec.width, pass.activation),
            stats: pass.spec.final_norm.as_ref().map(|norm| pass.norm_stats(arena, norm, count, pass.spec.width)),
            count,
        }
    }

    fn upload(&self, pass: &Pass<'_>, targets: &Targets) {
        let backend = pass.backend;
        backend.write_u32(self.rows, &targets.rows);
        backend.write_u32(self.ids, &targets.ids);
        let mut order: Vec<u32> = (0..self.count as u32).collect();
        order.sort_by_key(|index| targets.rows[*index as usize]);
        backend.write_u32(self.order, &order);
        if !targets.dlogp.is_empty() {
            for (tensor, values) in self.coefficients.iter().zip([&targets.dlogp, &targets.dlse, &targets.dmean]) {
                backend.write_f32(*tensor, values);
            }
        }
    }

    fn normed(&self, pass: &Pass<'_>, x_td: Tensor) {
        pass.backend.embed(self.x_md, x_td, self.rows, 1.0, false);
        match (&pass.spec.final_norm, self.stats) {
            (Some(norm), Some(stats)) => pass.norm_forward(norm, self.normed_md, stats, self.x_md),
            _ => pass.backend.copy(self.normed_md, self.x_md, 1.0, false),
        }
    }

    /// Judges without gradients.
    pub(super) fn evaluate(&self, pass: &Pass<'_>, targets: &Targets, x_td: Tensor) {
        self.upload(pass, targets);
        self.normed(pass, x_td);
        let [logp, lse, mean, correct] = self.outputs;
        pass.backend.head_forward(logp, lse, mean, correct, self.normed_md, pass.parameter(pass.spec.head), self.ids, &head_options(pass));
    }

    /// Judges, and sets `dx_td` (F32) to the gradient of the residual stream.
    pub(super) fn train(&self, pass: &Pass<'_>, arena: &mut Arena, targets: &Targets, x_td: Tensor, dx_td: Tensor) {
        self.upload(pass, targets);
        self.normed(pass, x_td);
        let backend = pass.backend;
        let mark = arena.mark();
        let dnormed = arena.take(self.count, pass.spec.width, pass.activation);
        let [logp, lse, mean, correct] = self.outputs;
        let [dlogp, dlse, dmean] = self.coefficients;
        backend.head_loss(
            logp,
            lse,
            mean,
            correct,
            dnormed,
            pass.gradient(pass.spec.head),
            self.normed_md,
            pass.parameter(pass.spec.head),
            self.ids,
            dlogp,
            dlse,
            dmean,
            &head_options(pass),
        );
        let drows = arena.take(self.count, pass.spec.width, Dtype::F32);
        match (&pass.spec.final_norm, self.stats) {
            (Some(norm), Some(stats)) => pass.norm_backward(norm, drows, false, dnormed, self.x_md, stats),
            _ => backend.copy(drows, dnormed, 1.0, false),
        }
        backend.fill(dx_td, 0.0);
        backend.embed_backward(dx_td, drows, self.rows, self.order, 1.0);
        arena.release(mark);
    }

    /// Adds the sums of the four outputs to a row of four totals.
    pub(super) fn add_totals(&self, pass: &Pass<'_>, totals: Tensor) {
        for (index, output) in self.outputs.iter().enumerate() {
            pass.backend.column_sum(totals.column_range(index, 1), *output, None, 1.0);
        }
    }

    /// Reads the outputs: a named read.
    pub(super) fn read(&self, pass: &Pass<'_>) -> HeadOutputs {
        let [logp, lse, mean_logit, correct] = self.outputs.map(|tensor| pass.backend.read_f32(tensor));
        HeadOutputs { logp, lse, mean_logit, correct }
    }
}

/// All logits of some rows, read back: rows × vocabulary.
pub(super) fn logits(pass: &Pass<'_>, arena: &mut Arena, rows: &[u32], x_td: Tensor) -> Vec<f32> {
    let targets = Targets { rows: rows.to_vec(), ids: vec![0; rows.len()], ..Targets::default() };
    let mark = arena.mark();
    let memory = HeadMemory::take(pass, arena, &targets);
    memory.upload(pass, &targets);
    memory.normed(pass, x_td);
    let out = arena.take(rows.len(), pass.spec.vocabulary, Dtype::F32);
    pass.backend.logits(out, memory.normed_md, pass.parameter(pass.spec.head), &head_options(pass));
    let values = pass.backend.read_f32(out);
    arena.release(mark);
    values
}

fn head_options(pass: &Pass<'_>) -> HeadOptions {
    HeadOptions { scale: pass.spec.logit_scale, soft_cap: pass.spec.logit_soft_cap }
}

/// Squared lengths of the rows of `weight + scale · b · a`, as 1 × output (DoRA).
pub(super) fn squared_row_lengths(pass: &Pass<'_>, arena: &mut Arena, addition: &crate::adapter::LowRank, out: Tensor) {
    let mark = arena.mark();
    let spec = &addition.spec;
    let weight = pass.parameter(pass.spec.module(spec.module).weight).row_range(spec.output_start, spec.output_count);
    let merged = arena.take(spec.output_count, spec.input_width, Dtype::F32);
    let product = ProductTerm {
        left: apertis_kernels::MatrixView::plain(*addition.b),
        right: apertis_kernels::MatrixView::plain(*addition.a),
        scale: spec.scale,
    };
    pass.backend.product(merged, &[product], &Default::default());
    pass.backend.copy(merged, weight, 1.0, true);
    pass.backend.row_dot(out.reshape(spec.output_count, 1), merged, merged);
    arena.release(mark);
}
