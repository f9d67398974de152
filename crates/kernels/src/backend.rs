//! The seam between what a model computes and how a device computes it.
//!
//! Operations are queued: a call may return before its work is done, and errors of the device
//! surface at the next read. The host sees numbers only through [`Backend::read_f32`] and
//! [`Backend::store_weight`]. Nothing above this trait touches a buffer's bytes, assumes the
//! layout of a weight, or takes a decision from a value that is still on the device.
//!
//! Shape letters: t tokens (rows laid end to end), d width, h query heads, g key/value heads,
//! k head width, f hidden width of the channel, v vocabulary, r adapter rank, e experts,
//! c choices a token makes among experts.

use thiserror::Error;

use crate::dtype::Dtype;
use crate::tensor::{BufferId, Tensor};

/// What can go wrong when a backend is asked for memory or numbers.
#[derive(Debug, Error)]
pub enum BackendError {
    /// The device has no room.
    #[error("allocate: {wanted_bytes} bytes do not fit in memory")]
    OutOfMemory {
        /// Bytes asked for.
        wanted_bytes: usize,
    },
    /// The bytes of a weight do not fit its shape.
    #[error("load_weight {name}: found {found_bytes} bytes, expected {expected_bytes}")]
    WeightSize {
        /// Name of the tensor in the file.
        name: String,
        /// Bytes given.
        found_bytes: usize,
        /// Bytes that the shape needs.
        expected_bytes: usize,
    },
    /// The backend cannot keep this type.
    #[error("{operation}: {dtype:?} is not supported by this backend")]
    UnsupportedDtype {
        /// The operation that refused.
        operation: &'static str,
        /// The type it was given.
        dtype: Dtype,
    },
}

/// A matrix as a product reads it.
#[derive(Clone, Copy, Debug)]
pub struct MatrixView {
    /// Activation, gradient or weight.
    pub tensor: Tensor,
    /// Read rows as columns.
    pub transposed: bool,
}

impl MatrixView {
    /// The matrix as it lies.
    pub fn plain(tensor: Tensor) -> MatrixView {
        MatrixView { tensor, transposed: false }
    }
    /// Its transpose.
    pub fn transposed(tensor: Tensor) -> MatrixView {
        MatrixView { tensor, transposed: true }
    }
    /// Rows as the product sees them.
    pub fn rows(&self) -> usize {
        if self.transposed { self.tensor.columns } else { self.tensor.rows }
    }
    /// Columns as the product sees them.
    pub fn columns(&self) -> usize {
        if self.transposed { self.tensor.rows } else { self.tensor.columns }
    }
}

/// One summand of a product: `scale · left · right`.
#[derive(Clone, Copy, Debug)]
pub struct ProductTerm {
    /// m × k.
    pub left: MatrixView,
    /// k × n.
    pub right: MatrixView,
    /// Multiplies this summand.
    pub scale: f32,
}

impl ProductTerm {
    /// `x_tk · weight_nkᵀ`, the forward product of a linear module.
    pub fn forward(x_tk: Tensor, weight_nk: Tensor) -> ProductTerm {
        ProductTerm { left: MatrixView::plain(x_tk), right: MatrixView::transposed(weight_nk), scale: 1.0 }
    }
    /// `dy_tn · weight_nk`, the gradient of a linear module's input.
    pub fn input_gradient(dy_tn: Tensor, weight_nk: Tensor) -> ProductTerm {
        ProductTerm { left: MatrixView::plain(dy_tn), right: MatrixView::plain(weight_nk), scale: 1.0 }
    }
    /// `dy_tnᵀ · x_tk`, the gradient of a linear module's weight.
    pub fn weight_gradient(dy_tn: Tensor, x_tk: Tensor) -> ProductTerm {
        ProductTerm { left: MatrixView::transposed(dy_tn), right: MatrixView::plain(x_tk), scale: 1.0 }
    }
    /// The same summand, scaled.
    pub fn scaled(self, scale: f32) -> ProductTerm {
        ProductTerm { scale: self.scale * scale, ..self }
    }
}

/// What happens to a product on its way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProductOptions {
    /// Add to what `out` holds instead of replacing it.
    pub accumulate: bool,
    /// A row of n values added to every row.
    pub bias: Option<Tensor>,
}

/// One product of a group (an expert): its own output and summands.
#[derive(Clone, Debug)]
pub struct GroupedProduct {
    /// Output of each group: either one tensor a group, or row ranges are cut from one tensor.
    pub outs: Vec<Tensor>,
    /// Left matrix of each group.
    pub lefts: Vec<MatrixView>,
    /// Right matrix of each group.
    pub rights: Vec<MatrixView>,
    /// Multiplies each product.
    pub scale: f32,
}

/// Which mean a normalisation removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Divides by the root mean square. Zhang and Sennrich 2019.
    Rms,
    /// Subtracts the mean, divides by the standard deviation. Ba et al. 2016.
    Layer,
}

/// Settings of a normalisation.
#[derive(Clone, Copy, Debug)]
pub struct NormOptions {
    /// Which mean is removed.
    pub kind: NormKind,
    /// Added to the mean square (variance).
    pub epsilon: f32,
    /// Added to the weight before it multiplies (1 for Gemma, else 0).
    pub weight_offset: f32,
    /// Columns normalised together; a row holds `columns / group_columns` groups.
    pub group_columns: usize,
}

/// A tensor read as heads: head `i` of a row starts at column `i * head_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// t × anything; the first head starts at column 0 of this view.
    pub tensor: Tensor,
    /// Number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Columns between the starts of two heads (`head_width`, or more when interleaved).
    pub head_stride: usize,
}

/// Settings of a rotation by position.
#[derive(Clone, Copy, Debug)]
pub struct RotaryOptions {
    /// Columns of each head that rotate; the rest pass unchanged. Even.
    pub rotary_width: usize,
    /// Pairs are neighbours (2i, 2i+1) instead of halves (i, i + width/2).
    pub interleaved: bool,
    /// Rotate back: the gradient of the rotation.
    pub inverse: bool,
}

/// Where one sequence lies among the rows of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceSpan {
    /// First query row.
    pub query_start: usize,
    /// Number of queries; they are the last positions of the sequence.
    pub query_count: usize,
    /// First key row.
    pub key_start: usize,
    /// Number of keys, those of earlier positions (a KV cache) included.
    pub key_count: usize,
}

/// Positions of one sequence that see each other in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibleSpan {
    /// Index into the sequences of the call.
    pub sequence: usize,
    /// First key position of the span, counted from the start of the sequence.
    pub start: usize,
    /// One past the last position.
    pub end: usize,
}

/// What attention needs to know beside its tensors.
///
/// Query head `i` reads key/value head `i / (query heads / key heads)`. A query at position p
/// sees keys at positions `p - window < j <= p`, and all of a visible span that holds p.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape<'a> {
    /// Multiplies the scores.
    pub scale: f32,
    /// Keys a query sees, itself included.
    pub window: Option<usize>,
    /// `cap · tanh(score / cap)` after scaling.
    pub soft_cap: Option<f32>,
    /// Sequences; attention never crosses from one to another.
    pub sequences: &'a [SequenceSpan],
    /// Spans seen in both directions; mostly empty.
    pub visible: &'a [VisibleSpan],
}

/// Pointwise functions of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// Gaussian error linear unit by the error function.
    Gelu,
    /// Its approximation by tanh.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// max(x, 0)².
    ReluSquared,
}

/// Settings of the head (the last product, into the vocabulary).
#[derive(Clone, Copy, Debug)]
pub struct HeadOptions {
    /// Multiplies the logits (Granite divides by its `logits_scaling`).
    pub scale: f32,
    /// `cap · tanh(logit / cap)` after scaling (Gemma 2).
    pub soft_cap: Option<f32>,
}

/// How tokens choose experts.
#[derive(Clone, Copy, Debug)]
pub struct ExpertRouting {
    /// Experts a token is sent to.
    pub choices: usize,
    /// Divide the chosen probabilities by their sum.
    pub normalize: bool,
}

/// The rule by which an optimizer turns a gradient into a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerRule {
    /// Loshchilov and Hutter 2019, in PyTorch's order of operations.
    AdamW {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// The same with moments kept in 8 bits, a scale for every 256 values.
    /// Dettmers et al. 2022.
    AdamW8bit {
        /// Decay of the first moment.
        beta1: f32,
        /// Decay of the second moment.
        beta2: f32,
        /// Added to the root of the second moment.
        epsilon: f32,
    },
    /// Sign of an interpolated momentum. Chen et al. 2023.
    Lion {
        /// Interpolation for the update.
        beta1: f32,
        /// Decay of the momentum.
        beta2: f32,
    },
    /// Orthogonalised momentum for matrices, by five Newton-Schulz steps. Jordan et al. 2024.
    Muon {
        /// Decay of the momentum.
        momentum: f32,
        /// Look one step ahead.
        nesterov: bool,
    },
}

/// One parameter's part of an optimizer step.
#[derive(Clone, Copy, Debug)]
pub struct ParameterUpdate {
    /// The weight, changed in place: F32, or Bf16 with a remainder.
    pub weight: Tensor,
    /// Lower 16 bits of the F32 master of a Bf16 weight; the weight is its upper half,
    /// rounded to nearest, so that master = weight + remainder exactly.
    pub remainder: Option<Tensor>,
    /// F32, same shape.
    pub gradient: Tensor,
    /// First moment or momentum (F32, or U8 for 8-bit rules).
    pub first_moment: Tensor,
    /// Second moment (F32 or U8); unused by Lion and Muon.
    pub second_moment: Option<Tensor>,
    /// Scales of 8-bit moments, 1 × blocks, F32.
    pub first_scales: Option<Tensor>,
    /// Scales of the 8-bit second moment.
    pub second_scales: Option<Tensor>,
    /// The rule.
    pub rule: OptimizerRule,
    /// Step size.
    pub learning_rate: f32,
    /// Decoupled decay: the weight is multiplied by `1 - learning_rate * weight_decay` first.
    pub weight_decay: f32,
    /// Updates of this parameter so far, this one included; for bias correction.
    pub update_count: u64,
}

/// A device that keeps tensors and runs operations on them.
///
/// Unless said otherwise an output replaces what was there, may have its own dtype (values are
/// computed in F32 and rounded once), and must not overlap an input.
#[expect(clippy::too_many_arguments, reason = "a fused operation names each of its tensors")]
pub trait Backend: Send + Sync {
    /// A name for people: device and code path.
    fn name(&self) -> String;

    // Memory -----------------------------------------------------------------------------

    /// A buffer of zeros, touched so that later use cannot fail.
    ///
    /// # Errors
    /// [`BackendError::OutOfMemory`].
    fn allocate(&self, rows: usize, columns: usize, dtype: Dtype) -> Result<Tensor, BackendError>;
    /// Bytes that the operations of a step keep for themselves beside what is allocated: for so
    /// many rows with targets, of so many columns, and a vocabulary.
    fn scratch_bytes(&self, _rows: usize, _width: usize, _vocabulary: usize) -> usize {
        0
    }
    /// Gives a buffer back. Views of it must not be used again.
    fn free(&self, buffer: BufferId);
    /// Keeps a weight in this backend's own layout.
    ///
    /// # Shapes
    /// `bytes` holds rows × columns elements of `stored`, row by row, little-endian; the result
    /// has dtype `kept`. Only products, embeddings, norms, heads and optimizers read weights.
    ///
    /// # Errors
    /// When sizes differ, memory is short, or `kept` is not supported.
    fn load_weight(
        &self,
        name: &str,
        stored: Dtype,
        kept: Dtype,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> Result<Tensor, BackendError>;
    /// The weight's elements, row by row, little-endian, in its own dtype. A named read.
    fn store_weight(&self, weight: Tensor) -> Vec<u8>;
    /// Copies numbers to the device (rounded to the tensor's dtype).
    fn write_f32(&self, out: Tensor, values: &[f32]);
    /// Copies ids, positions or row numbers to the device.
    fn write_u32(&self, out: Tensor, values: &[u32]);
    /// Copies raw elements in the tensor's dtype, row by row, little-endian.
    fn write_bytes(&self, out: Tensor, bytes: &[u8]);
    /// Waits for queued work, then returns the elements row by row. A named read.
    fn read_f32(&self, tensor: Tensor) -> Vec<f32>;
    /// The same for U32 tensors.
    fn read_u32(&self, tensor: Tensor) -> Vec<u32>;
    /// The same as raw bytes in the tensor's dtype.
    fn read_bytes(&self, tensor: Tensor) -> Vec<u8>;

    // Elementwise ------------------------------------------------------------------------

    /// Sets every element.
    fn fill(&self, out: Tensor, value: f32);
    /// `out = scale · x` or `out += scale · x`, converting dtypes.
    fn copy(&self, out: Tensor, x: Tensor, scale: f32, accumulate: bool);
    /// `out = a · b` (elements, or b a single row multiplying every row of a).
    fn multiply(&self, out: Tensor, a: Tensor, b: Tensor, accumulate: bool);
    /// `out_n += scale · Σ_t a_tn · b_tn` (or of a alone): gradients of biases and of
    /// column factors. Fixed summation tree.
    fn column_sum(&self, out_n: Tensor, a_tn: Tensor, b_tn: Option<Tensor>, scale: f32);
    /// `out_t = Σ_n a_tn · b_tn`, one value a row (`out` is t × 1).
    fn row_dot(&self, out_t: Tensor, a_tn: Tensor, b_tn: Tensor);
    /// `out_tn = a_tn · factor_t`: one factor a row (`factor` is t × 1).
    fn scale_rows(&self, out: Tensor, a_tn: Tensor, factor_t: Tensor, accumulate: bool);
    /// Zeroes elements with the given probability and scales the rest by 1/(1-p). The mask is a
    /// function of (seed, element number), so that forward and backward agree.
    fn dropout(&self, out: Tensor, x: Tensor, probability: f32, seed: u64);
    /// Adds uniform noise in ±magnitude, a function of (seed, element number). In place.
    fn add_noise(&self, x: Tensor, magnitude_t: Tensor, seed: u64);
    /// `out_tf = act(gate_tf) · up_tf`, or `act(gate_tf)` without `up`.
    fn activate(&self, out_tf: Tensor, gate_tf: Tensor, up_tf: Option<Tensor>, activation: Activation);
    /// Gradients of [`Backend::activate`]; `dgate`, `dup` may be the same memory as `gate`, `up`.
    fn activate_backward(
        &self,
        dgate_tf: Tensor,
        dup_tf: Option<Tensor>,
        dout_tf: Tensor,
        gate_tf: Tensor,
        up_tf: Option<Tensor>,
        activation: Activation,
    );
    /// `out = numerator / √squares`, element by element (F32): factors of learned magnitudes.
    fn divide_by_root(&self, out: Tensor, numerator: Tensor, squares: Tensor);
    /// `out = sigmoid(x)`.
    fn sigmoid(&self, out: Tensor, x: Tensor);

    // Products ---------------------------------------------------------------------------

    /// `out = Σ_terms scale · left · right (+ bias) (+ out)`, summed in F32 before rounding.
    fn product(&self, out: Tensor, terms: &[ProductTerm], options: &ProductOptions);
    /// Independent products, one a group; groups may be empty.
    fn grouped_product(&self, product: &GroupedProduct, accumulate: bool);

    // Model ------------------------------------------------------------------------------

    /// `out_td = scale · table[ids_t]`, or added to what is there.
    fn embed(&self, out_td: Tensor, table_vd: Tensor, ids_t: Tensor, scale: f32, accumulate: bool);
    /// `dtable_vd[ids_t] += scale · dx_td`; `order_t` sorts the ids, so that each row of the
    /// table is summed by one thread in a fixed order. `dtable_vd` is F32.
    fn embed_backward(&self, dtable_vd: Tensor, dx_td: Tensor, ids_t: Tensor, order_t: Tensor, scale: f32);
    /// Normalises groups of columns, then multiplies by `weight` and adds `bias`.
    ///
    /// # Shapes
    /// `weight`, `bias` 1 × group_columns (shared by the groups) or 1 × columns;
    /// `stats` t × (2 · groups), F32: mean (0 for RMS) and reciprocal deviation of each group.
    fn norm(&self, out: Tensor, stats: Tensor, x: Tensor, weight: Option<Tensor>, bias: Option<Tensor>, options: &NormOptions);
    /// Gradient of [`Backend::norm`]: `dx` is replaced or added to; `dweight`, `dbias` (F32) are
    /// added to, in a fixed tree. `dx` may be the same memory as `dout` when not accumulating.
    fn norm_backward(
        &self,
        dx: Tensor,
        accumulate: bool,
        dweight: Option<Tensor>,
        dbias: Option<Tensor>,
        dout: Tensor,
        x: Tensor,
        stats: Tensor,
        weight: Option<Tensor>,
        options: &NormOptions,
    );
    /// Rotates heads in place. `table` is F32, rows of `rotary_width`: cosines of the pairs, then
    /// sines; `table_rows_t` (U32) names each token's row.
    fn rotary(&self, heads: Heads, table: Tensor, table_rows_t: Tensor, options: &RotaryOptions);
    /// `out_thk = softmax(scores) · v`; `lse_th` (F32, t × h) receives the log of the sum of
    /// exponentials, which the backward reads.
    fn attention(&self, out: Heads, lse_th: Tensor, q: Heads, k: Heads, v: Heads, shape: &AttentionShape);
    /// Gradients of [`Backend::attention`]; dq, dk, dv are replaced.
    fn attention_backward(
        &self,
        dq: Heads,
        dk: Heads,
        dv: Heads,
        dout: Heads,
        out: Heads,
        lse_th: Tensor,
        q: Heads,
        k: Heads,
        v: Heads,
        shape: &AttentionShape,
    );

    // Head -------------------------------------------------------------------------------

    /// All logits, for sampling and inspection: `out_tv` F32.
    fn logits(&self, out_tv: Tensor, x_td: Tensor, weight_vd: Tensor, options: &HeadOptions);
    /// Log probability of each target, log-sum-exp, mean logit, and whether the target was the
    /// largest logit (1 or 0); chunk by chunk, logits are never kept. Outputs are F32, t × 1;
    /// targets are U32.
    fn head_forward(
        &self,
        logp_t: Tensor,
        lse_t: Tensor,
        mean_logit_t: Tensor,
        correct_t: Tensor,
        x_td: Tensor,
        weight_vd: Tensor,
        targets_t: Tensor,
        options: &HeadOptions,
    );
    /// Gradient of any function of the three outputs of [`Backend::head_forward`]; recomputes
    /// each chunk of logits. `dx_td` is replaced; `dweight_vd` (F32) is added to.
    fn head_backward(
        &self,
        dx_td: Tensor,
        dweight_vd: Option<Tensor>,
        x_td: Tensor,
        weight_vd: Tensor,
        targets_t: Tensor,
        lse_t: Tensor,
        dlogp_t: Tensor,
        dlse_t: Tensor,
        dmean_t: Tensor,
        options: &HeadOptions,
    );
    /// Both at once where the coefficients are known ahead: one product for the logits instead
    /// of two.
    fn head_loss(
        &self,
        logp_t: Tensor,
        lse_t: Tensor,
        mean_logit_t: Tensor,
        correct_t: Tensor,
        dx_td: Tensor,
        dweight_vd: Option<Tensor>,
        x_td: Tensor,
        weight_vd: Tensor,
        targets_t: Tensor,
        dlogp_t: Tensor,
        dlse_t: Tensor,
        dmean_t: Tensor,
        options: &HeadOptions,
    );

    // Experts ----------------------------------------------------------------------------

    /// Softmax over experts, the best `choices` of each token, and their order by expert.
    ///
    /// # Shapes
    /// `logits_te` F32. `probabilities_te` F32 (kept for the backward); `experts_tc` U32;
    /// `weights_tc` F32; `order` U32, 1 × (t·c): pair numbers (token · choices + choice) sorted
    /// by expert, stable. Returns the number of pairs of each expert: a named read.
    fn route(
        &self,
        probabilities_te: Tensor,
        experts_tc: Tensor,
        weights_tc: Tensor,
        order: Tensor,
        logits_te: Tensor,
        routing: &ExpertRouting,
    ) -> Vec<usize>;
    /// `dlogits_te` from the gradients of the chosen weights.
    fn route_backward(
        &self,
        dlogits_te: Tensor,
        dweights_tc: Tensor,
        probabilities_te: Tensor,
        experts_tc: Tensor,
        weights_tc: Tensor,
        routing: &ExpertRouting,
    );
    /// `out_pd[i] = x_td[order[i] / choices]`.
    fn gather_pairs(&self, out_pd: Tensor, x_td: Tensor, order: Tensor, choices: usize);
    /// `out_td[token] (+)= Σ_choices weight · y_pd[pair]` in the order of choices; without
    /// `weights_tc` each weight is 1. Deterministic.
    fn combine_pairs(&self, out_td: Tensor, y_pd: Tensor, order: Tensor, weights_tc: Option<Tensor>, choices: usize, accumulate: bool);
    /// `dweights_tc[pair] = dout_td[token] · y_pd[pair]` and, row i of the pairs,
    /// `dy_pd[i] = weight · dout_td[token]`.
    fn combine_pairs_backward(
        &self,
        dy_pd: Tensor,
        dweights_tc: Tensor,
        dout_td: Tensor,
        y_pd: Tensor,
        order: Tensor,
        weights_tc: Tensor,
        choices: usize,
    );

    // Optimizer --------------------------------------------------------------------------

    /// `out[0] = Σ x²` over all tensors, by a fixed tree, in f64 between blocks.
    fn sum_of_squares(&self, out: Tensor, tensors: &[Tensor]);
    /// From a sum of squares: `out[0]` the norm, `out[1]` the factor for the gradients
    /// (`min(1, max_norm / (norm + 1e-6))`; 1 when `max_norm` is 0), `out[2]` 1 when the norm
    /// is finite, else 0.
    fn clip_factor(&self, out: Tensor, sum_of_squares: Tensor, max_norm: f32);
    /// Applies updates, each gradient times `clip[1]`; nothing changes when `clip[2]` is 0.
    fn optimizer_step(&self, updates: &[ParameterUpdate], clip: Tensor);
}
