//! What every part of a forward or backward pass reads, and the linear modules with the
//! adapters that sit on them.
//!
//! Shape letters: t tokens, i inputs of a module, o its outputs, r rank.

use apertis_kernels::{Backend, Dtype, ProductOptions, ProductTerm, Tensor};

use super::arena::Arena;
use super::parameters::{Gradients, ModelWeights};
use crate::adapter::{Adapter, LowRank};
use crate::spec::{ModelSpec, ModuleId, NormSpec, ParameterId};

/// One traversal of the decoder.
pub(super) struct Pass<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) spec: &'a ModelSpec,
    pub(super) weights: &'a ModelWeights,
    pub(super) adapter: Option<&'a Adapter>,
    pub(super) gradients: Option<&'a Gradients>,
    /// Type of activations and their gradients.
    pub(super) activation: Dtype,
    /// Decides dropout masks; none while not training.
    pub(super) dropout_seed: Option<u64>,
    /// Factors of additions with magnitudes, by number of the addition.
    pub(super) magnitude_factors: Vec<Option<Tensor>>,
    pub(super) tokens: usize,
}

/// What a linear module keeps for its backward.
#[derive(Clone, Debug, Default)]
pub(super) struct SavedCall {
    /// For each addition: scale · dropout(x) · aᵀ, t × r.
    low: Vec<Tensor>,
    /// The output before its magnitude and bias, t × o (DoRA).
    raw: Option<Tensor>,
}

impl SavedCall {
    pub(super) fn of(low: Vec<Tensor>) -> SavedCall {
        SavedCall { low, raw: None }
    }
}

impl Pass<'_> {
    pub(super) fn parameter(&self, id: ParameterId) -> Tensor {
        self.adapter.and_then(|adapter| adapter.replacement(id)).unwrap_or_else(|| self.weights.tensor(id))
    }

    pub(super) fn vector(&self, id: ParameterId) -> Tensor {
        let tensor = self.parameter(id);
        tensor.reshape(1, tensor.len())
    }

    pub(super) fn gradient(&self, id: ParameterId) -> Option<Tensor> {
        self.gradients.and_then(|gradients| gradients.of_parameter[id.0])
    }

    fn vector_gradient(&self, id: Option<ParameterId>) -> Option<Tensor> {
        id.and_then(|id| self.gradient(id)).map(|gradient| gradient.reshape(1, gradient.len()))
    }

    /// Additions on a module, with their numbers.
    fn additions(&self, module: ModuleId) -> impl Iterator<Item = (usize, &LowRank)> {
        self.adapter.into_iter().flat_map(move |adapter| adapter.on(module))
    }

    /// Memory for one call of a module over `rows` rows.
    pub(super) fn take_call(&self, arena: &mut Arena, module: ModuleId, rows: usize) -> SavedCall {
        let low = self.additions(module).map(|(_, addition)| arena.take(rows, addition.spec.rank, self.activation)).collect();
        let has_magnitude = self.additions(module).any(|(_, addition)| addition.magnitude.is_some());
        let raw = has_magnitude.then(|| arena.take(rows, self.spec.module(module).output_width, self.activation));
        SavedCall { low, raw }
    }

    /// `out = scale · module(x)`, or added to what `out` holds.
    pub(super) fn module_forward(
        &self,
        arena: &mut Arena,
        module: ModuleId,
        call: &SavedCall,
        x_ti: Tensor,
        out_to: Tensor,
        scale: f32,
        accumulate: bool,
    ) {
        let mark = arena.mark();
        let module_spec = self.spec.module(module);
        let mut terms = vec![ProductTerm::forward(x_ti, self.parameter(module_spec.weight)).scaled(scale)];
        let mut partial = Vec::new();
        for ((number, addition), low_tr) in self.additions(module).zip(&call.low) {
            let input = self.dropped(arena, number, addition, x_ti);
            self.backend.product(
                *low_tr,
                &[ProductTerm::forward(input, *addition.a).scaled(addition.spec.scale)],
                &ProductOptions::default(),
            );
            let term = ProductTerm::forward(*low_tr, *addition.b).scaled(scale);
            if addition.spec.output_count == module_spec.output_width {
                terms.push(term);
            } else {
                partial.push((addition.spec.output_start, addition.spec.output_count, term));
            }
        }
        let bias = module_spec.bias.map(|bias| self.vector(bias));
        match (call.raw, bias) {
            (Some(raw), bias) => {
                let plain: Vec<ProductTerm> = terms.iter().map(|term| term.scaled(1.0 / scale)).collect();
                self.backend.product(raw, &plain, &ProductOptions::default());
                for (start, count, term) in &partial {
                    self.backend.product(
                        raw.column_range(*start, *count),
                        &[term.scaled(1.0 / scale)],
                        &ProductOptions { accumulate: true, bias: None },
                    );
                }
                let scaled = arena.take(raw.rows, raw.columns, Dtype::F32);
                self.multiply_magnitudes(module, scaled, raw);
                if let Some(bias) = bias {
                    self.backend.product(scaled, &[], &ProductOptions { accumulate: true, bias: Some(bias) });
                }
                self.backend.copy(out_to, scaled, scale, accumulate);
            }
            (None, Some(bias)) if scale != 1.0 => {
                let scaled = arena.take(out_to.rows, out_to.columns, Dtype::F32);
                let plain: Vec<ProductTerm> = terms.iter().map(|term| term.scaled(1.0 / scale)).collect();
                self.backend.product(scaled, &plain, &ProductOptions { accumulate: false, bias: Some(bias) });
                self.backend.copy(out_to, scaled, scale, accumulate);
                self.add_partial(out_to, &partial);
            }
            (None, bias) => {
                self.backend.product(out_to, &terms, &ProductOptions { accumulate, bias });
                self.add_partial(out_to, &partial);
            }
        }
        arena.release(mark);
    }

    fn add_partial(&self, out_to: Tensor, partial: &[(usize, usize, ProductTerm)]) {
        for (start, count, term) in partial {
            self.backend.product(out_to.column_range(*start, *count), &[*term], &ProductOptions { accumulate: true, bias: None });
        }
    }

    /// `out = raw · magnitude / length`, column by column; columns without one pass unchanged.
    fn multiply_magnitudes(&self, module: ModuleId, out: Tensor, raw: Tensor) {
        let covered: usize = self
            .additions(module)
            .filter(|(_, addition)| addition.magnitude.is_some())
            .map(|(_, addition)| addition.spec.output_count)
            .sum();
        if covered < raw.columns {
            self.backend.copy(out, raw, 1.0, false);
        }
        for (number, addition) in self.additions(module) {
            if let Some(factor) = self.magnitude_factors.get(number).copied().flatten() {
                let (start, count) = (addition.spec.output_start, addition.spec.output_count);
                self.backend.multiply(out.column_range(start, count), raw.column_range(start, count), factor.row_range(0, 1), false);
            }
        }
    }

    fn dropped(&self, arena: &mut Arena, number: usize, addition: &LowRank, x_ti: Tensor) -> Tensor {
        match self.dropout_seed {
            Some(seed) if addition.spec.dropout > 0.0 => {
                let out = arena.take(x_ti.rows, x_ti.columns, x_ti.dtype);
                self.backend.dropout(out, x_ti, addition.spec.dropout, mask_seed(seed, number));
                out
            }
            _ => x_ti,
        }
    }

    /// Adds the gradients of a module's parameters and additions, and appends the summands of
    /// its input's gradient. Scratch of the summands stays taken until the caller releases it.
    ///
    /// Returns summands that pass through a dropout mask, to be added apart.
    pub(super) fn module_backward(
        &self,
        arena: &mut Arena,
        module: ModuleId,
        call: &SavedCall,
        dout_to: Tensor,
        x_ti: Tensor,
        terms: &mut Vec<ProductTerm>,
        masked: &mut Vec<MaskedTerm>,
    ) {
        let module_spec = self.spec.module(module);
        if let (Some(dbias), true) = (self.vector_gradient(module_spec.bias), true) {
            self.backend.column_sum(dbias, dout_to, None, 1.0);
        }
        let dout_to = match call.raw {
            None => dout_to,
            Some(raw) => self.magnitude_backward(arena, module, dout_to, raw),
        };
        if let Some(dweight) = self.gradient(module_spec.weight) {
            let dweight = dweight.reshape(module_spec.output_width, module_spec.input_width);
            self.backend.product(dweight, &[ProductTerm::weight_gradient(dout_to, x_ti)], &ProductOptions { accumulate: true, bias: None });
        }
        for ((number, addition), low_tr) in self.additions(module).zip(&call.low) {
            let dout = dout_to.column_range(addition.spec.output_start, addition.spec.output_count);
            let dlow = arena.take(dout.rows, addition.spec.rank, self.activation);
            self.backend.product(
                dlow,
                &[ProductTerm::input_gradient(dout, *addition.b).scaled(addition.spec.scale)],
                &ProductOptions::default(),
            );
            if let Some(gradient) = self.gradients.and_then(|gradients| gradients.of_addition.get(number)) {
                let mark = arena.mark();
                let input = self.dropped(arena, number, addition, x_ti);
                let accumulate = ProductOptions { accumulate: true, bias: None };
                self.backend.product(gradient.a, &[ProductTerm::weight_gradient(dlow, input)], &accumulate);
                self.backend.product(gradient.b, &[ProductTerm::weight_gradient(dout, *low_tr)], &accumulate);
                arena.release(mark);
            }
            let term = ProductTerm::input_gradient(dlow, *addition.a);
            match self.dropout_seed {
                Some(seed) if addition.spec.dropout > 0.0 => {
                    masked.push(MaskedTerm { term, probability: addition.spec.dropout, seed: mask_seed(seed, number) })
                }
                _ => terms.push(term),
            }
        }
        terms.push(ProductTerm::input_gradient(dout_to, self.parameter(module_spec.weight)));
    }

    /// Through `y = raw · factor`: the magnitudes' gradients, and the gradient of `raw`.
    fn magnitude_backward(&self, arena: &mut Arena, module: ModuleId, dout_to: Tensor, raw: Tensor) -> Tensor {
        let draw = arena.take(raw.rows, raw.columns, self.activation);
        self.multiply_magnitudes(module, draw, dout_to);
        for (number, addition) in self.additions(module) {
            let gradient = self.gradients.and_then(|gradients| gradients.of_addition.get(number)).and_then(|gradient| gradient.magnitude);
            let factor = self.magnitude_factors.get(number).copied().flatten();
            if let (Some(gradient), Some(factor)) = (gradient, factor) {
                let mark = arena.mark();
                let (start, count) = (addition.spec.output_start, addition.spec.output_count);
                let sum = arena.take(1, count, Dtype::F32);
                self.backend.fill(sum, 0.0);
                self.backend.column_sum(sum, dout_to.column_range(start, count), Some(raw.column_range(start, count)), 1.0);
                // Row 1 of the factors holds one over the lengths.
                self.backend.multiply(gradient, sum, factor.row_range(1, 1), true);
                arena.release(mark);
            }
        }
        draw
    }

    /// `dx = Σ terms`, the masked ones each through its mask.
    pub(super) fn sum_input_gradient(&self, arena: &mut Arena, dx_ti: Tensor, terms: &[ProductTerm], masked: &[MaskedTerm]) {
        self.backend.product(dx_ti, terms, &ProductOptions::default());
        for part in masked {
            let mark = arena.mark();
            let plain = arena.take(dx_ti.rows, dx_ti.columns, self.activation);
            let dropped = arena.take(dx_ti.rows, dx_ti.columns, self.activation);
            self.backend.product(plain, &[part.term], &ProductOptions::default());
            self.backend.dropout(dropped, plain, part.probability, part.seed);
            self.backend.copy(dx_ti, dropped, 1.0, true);
            arena.release(mark);
        }
    }

    /// Normalises, keeping the statistics.
    pub(super) fn norm_forward(&self, norm: &NormSpec, out: Tensor, stats: Tensor, x: Tensor) {
        let options = norm_options(norm);
        self.backend.norm(out, stats, x, norm.weight.map(|id| self.vector(id)), norm.bias.map(|id| self.vector(id)), &options);
    }

    /// Gradient of [`Pass::norm_forward`].
    pub(super) fn norm_backward(&self, norm: &NormSpec, dx: Tensor, accumulate: bool, dout: Tensor, x: Tensor, stats: Tensor) {
        let options = norm_options(norm);
        self.backend.norm_backward(
            dx,
            accumulate,
            self.vector_gradient(norm.weight),
            self.vector_gradient(norm.bias),
            dout,
            x,
            stats,
            norm.weight.map(|id| self.vector(id)),
            &options,
        );
    }

    /// Groups that a row of `columns` holds.
    pub(super) fn norm_stats(&self, arena: &mut Arena, norm: &NormSpec, rows: usize, columns: usize) -> Tensor {
        arena.take(rows, 2 * (columns / norm.group_columns), Dtype::F32)
    }
}

/// A summand of an input's gradient that passes through a dropout mask.
pub(super) struct MaskedTerm {
    term: ProductTerm,
    probability: f32,
    seed: u64,
}

fn norm_options(norm: &NormSpec) -> apertis_kernels::NormOptions {
    apertis_kernels::NormOptions {
        kind: norm.kind,
        epsilon: norm.epsilon,
        weight_offset: norm.weight_offset,
        group_columns: norm.group_columns,
    }
}

fn mask_seed(seed: u64, number: usize) -> u64 {
    seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}
