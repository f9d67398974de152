//! A backend that computes nothing: it counts the arithmetic of a pass, so that a plan comes
//! from the very code that will run.

use std::sync::atomic::{AtomicU64, Ordering};

use apertis_kernels::{
    Activation, AttentionShape, Backend, BackendError, BufferId, Dtype, ExpertRouting, GroupedProduct, HeadOptions, Heads, NormOptions,
    ParameterUpdate, ProductOptions, ProductTerm, RotaryOptions, Tensor,
};

/// Counts operations; all memory it is given is imaginary.
#[derive(Default)]
pub(super) struct CountingBackend {
    operations: AtomicU64,
}

impl CountingBackend {
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    fn count(&self, rows: usize, inner: usize, columns: usize) {
        self.operations.fetch_add(2 * rows as u64 * inner as u64 * columns as u64, Ordering::Relaxed);
    }

    fn count_attention(&self, q: Heads, shape: &AttentionShape<'_>, products: usize) {
        for sequence in shape.sequences {
            let keys = shape.window.unwrap_or(usize::MAX).min(sequence.key_count);
            // Causality halves what is not cut by a window.
            self.count(sequence.query_count * q.heads, products * q.head_width, keys.div_ceil(2));
        }
    }
}

impl Backend for CountingBackend {
    fn name(&self) -> String {
        "counting".to_string()
    }
    fn allocate(&self, rows: usize, columns: usize, dtype: Dtype) -> Result<Tensor, BackendError> {
        Ok(Tensor::dense(BufferId(u32::MAX), dtype, 0, rows, columns))
    }
    fn free(&self, _buffer: BufferId) {}
    fn load_weight(
        &self,
        _name: &str,
        _stored: Dtype,
        kept: Dtype,
        rows: usize,
        columns: usize,
        _bytes: &[u8],
    ) -> Result<Tensor, BackendError> {
        Ok(Tensor::dense(BufferId(u32::MAX), kept, 0, rows, columns))
    }
    fn store_weight(&self, weight: Tensor) -> Vec<u8> {
        vec![0; weight.len() * weight.dtype.size_bytes()]
    }
    fn write_f32(&self, _out: Tensor, _values: &[f32]) {}
    fn write_u32(&self, _out: Tensor, _values: &[u32]) {}
    fn write_bytes(&self, _out: Tensor, _bytes: &[u8]) {}
    fn read_f32(&self, tensor: Tensor) -> Vec<f32> {
        vec![0.0; tensor.len()]
    }
    fn read_u32(&self, tensor: Tensor) -> Vec<u32> {
        vec![0; tensor.len()]
    }
    fn read_bytes(&self, tensor: Tensor) -> Vec<u8> {
        vec![0; tensor.len() * tensor.dtype.size_bytes()]
    }
    fn fill(&self, _out: Tensor, _value: f32) {}
    fn copy(&self, _out: Tensor, _x: Tensor, _scale: f32, _accumulate: bool) {}
    fn multiply(&self, _out: Tensor, _a: Tensor, _b: Tensor, _accumulate: bool) {}
    fn column_sum(&self, _out_n: Tensor, _a_tn: Tensor, _b_tn: Option<Tensor>, _scale: f32) {}
    fn row_dot(&self, _out_t: Tensor, _a_tn: Tensor, _b_tn: Tensor) {}
    fn scale_rows(&self, _out: Tensor, _a_tn: Tensor, _factor_t: Tensor, _accumulate: bool) {}
    fn dropout(&self, _out: Tensor, _x: Tensor, _probability: f32, _seed: u64) {}
    fn add_noise(&self, _x: Tensor, _magnitude_t: Tensor, _seed: u64) {}
    fn activate(&self, _out_tf: Tensor, _gate_tf: Tensor, _up_tf: Option<Tensor>, _activation: Activation) {}
    fn activate_backward(
        &self,
        _dgate_tf: Tensor,
        _dup_tf: Option<Tensor>,
        _dout_tf: Tensor,
        _gate_tf: Tensor,
        _up_tf: Option<Tensor>,
        _activation: Activation,
    ) {
    }
    fn divide_by_root(&self, _out: Tensor, _numerator: Tensor, _squares: Tensor) {}
    fn sigmoid(&self, _out: Tensor, _x: Tensor) {}
    fn product(&self, out: Tensor, terms: &[ProductTerm], _options: &ProductOptions) {
        for term in terms {
            self.count(out.rows, term.left.columns(), out.columns);
        }
    }
    fn grouped_product(&self, product: &GroupedProduct, _accumulate: bool) {
        for (out, left) in product.outs.iter().zip(&product.lefts) {
            self.count(out.rows, left.columns(), out.columns);
        }
    }
    fn embed(&self, _out_td: Tensor, _table_vd: Tensor, _ids_t: Tensor, _scale: f32, _accumulate: bool) {}
    fn embed_backward(&self, _dtable_vd: Tensor, _dx_td: Tensor, _ids_t: Tensor, _order_t: Tensor, _scale: f32) {}
    fn norm(&self, _out: Tensor, _stats: Tensor, _x: Tensor, _weight: Option<Tensor>, _bias: Option<Tensor>, _options: &NormOptions) {}
    fn norm_backward(
        &self,
        _dx: Tensor,
        _accumulate: bool,
        _dweight: Option<Tensor>,
        _dbias: Option<Tensor>,
        _dout: Tensor,
        _x: Tensor,
        _stats: Tensor,
        _weight: Option<Tensor>,
        _options: &NormOptions,
    ) {
    }
    fn rotary(&self, _heads: Heads, _table: Tensor, _table_rows_t: Tensor, _options: &RotaryOptions) {}
    fn attention(&self, _out: Heads, _lse_th: Tensor, q: Heads, _k: Heads, _v: Heads, shape: &AttentionShape<'_>) {
        self.count_attention(q, shape, 2);
    }
    fn attention_backward(
        &self,
        _dq: Heads,
        _dk: Heads,
        _dv: Heads,
        _dout: Heads,
        _out: Heads,
        _lse_th: Tensor,
        q: Heads,
        _k: Heads,
        _v: Heads,
        shape: &AttentionShape<'_>,
    ) {
        self.count_attention(q, shape, 5);
    }
    fn logits(&self, out_tv: Tensor, x_td: Tensor, _weight_vd: Tensor, _options: &HeadOptions) {
        self.count(out_tv.rows, x_td.columns, out_tv.columns);
    }
    fn head_forward(
        &self,
        _logp_t: Tensor,
        _lse_t: Tensor,
        _mean_logit_t: Tensor,
        _correct_t: Tensor,
        x_td: Tensor,
        weight_vd: Tensor,
        _targets_t: Tensor,
        _options: &HeadOptions,
    ) {
        self.count(x_td.rows, x_td.columns, weight_vd.rows);
    }
    fn head_backward(
        &self,
        _dx_td: Tensor,
        dweight_vd: Option<Tensor>,
        x_td: Tensor,
        weight_vd: Tensor,
        _targets_t: Tensor,
        _lse_t: Tensor,
        _dlogp_t: Tensor,
        _dlse_t: Tensor,
        _dmean_t: Tensor,
        _options: &HeadOptions,
    ) {
        self.count(x_td.rows, x_td.columns, weight_vd.rows * if dweight_vd.is_some() { 3 } else { 2 });
    }
    fn head_loss(
        &self,
        _logp_t: Tensor,
        _lse_t: Tensor,
        _mean_logit_t: Tensor,
        _correct_t: Tensor,
        _dx_td: Tensor,
        dweight_vd: Option<Tensor>,
        x_td: Tensor,
        weight_vd: Tensor,
        _targets_t: Tensor,
        _dlogp_t: Tensor,
        _dlse_t: Tensor,
        _dmean_t: Tensor,
        _options: &HeadOptions,
    ) {
        self.count(x_td.rows, x_td.columns, weight_vd.rows * if dweight_vd.is_some() { 3 } else { 2 });
    }
    fn route(
        &self,
        _probabilities_te: Tensor,
        _experts_tc: Tensor,
        _weights_tc: Tensor,
        _order: Tensor,
        logits_te: Tensor,
        routing: &ExpertRouting,
    ) -> Vec<usize> {
        // All pairs on one expert: the most memory that any routing can need.
        let mut counts = vec![0; logits_te.columns];
        counts[0] = logits_te.rows * routing.choices;
        counts
    }
    fn route_backward(
        &self,
        _dlogits_te: Tensor,
        _dweights_tc: Tensor,
        _probabilities_te: Tensor,
        _experts_tc: Tensor,
        _weights_tc: Tensor,
        _routing: &ExpertRouting,
    ) {
    }
    fn gather_pairs(&self, _out_pd: Tensor, _x_td: Tensor, _order: Tensor, _choices: usize) {}
    fn combine_pairs(
        &self,
        _out_td: Tensor,
        _y_pd: Tensor,
        _order: Tensor,
        _weights_tc: Option<Tensor>,
        _choices: usize,
        _accumulate: bool,
    ) {
    }
    fn combine_pairs_backward(
        &self,
        _dy_pd: Tensor,
        _dweights_tc: Tensor,
        _dout_td: Tensor,
        _y_pd: Tensor,
        _order: Tensor,
        _weights_tc: Tensor,
        _choices: usize,
    ) {
    }
    fn sum_of_squares(&self, _out: Tensor, _tensors: &[Tensor]) {}
    fn clip_factor(&self, _out: Tensor, _sum_of_squares: Tensor, _max_norm: f32) {}
    fn optimizer_step(&self, _updates: &[ParameterUpdate], _clip: Tensor) {}
}
