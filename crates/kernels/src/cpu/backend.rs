//! [`CpuBackend`]: each operation of the trait, handed to the file that has its loops.

use std::sync::{Arc, Mutex, PoisonError};

use crate::backend::{
    Activation, AttentionShape, Backend, BackendError, ExpertRouting, GroupedProduct, HeadOptions, Heads, NormOptions, ParameterUpdate,
    ProductOptions, ProductTerm, RotaryOptions,
};
use crate::context::Context;
use crate::cpu::bridge::HeadCall;
use crate::cpu::buffers::Buffers;
use crate::cpu::work::Work;
use crate::cpu::{activation, bridge, elementwise, embedding, experts, norm, rotary, weights};
use crate::dtype::Dtype;
use crate::tensor::{BufferId, Tensor};

/// The processor as a device.
///
/// Operations run when they are called, one after the other: callers on several threads wait for
/// each other. Weights are kept row by row. Called on a thread of its own context's pool, an
/// operation must be the only one there, or it waits for itself.
pub struct CpuBackend {
    context: Arc<Context>,
    buffers: Mutex<Buffers>,
}

impl CpuBackend {
    /// A backend without buffers that works with the threads and instructions of `context`.
    pub fn new(context: Arc<Context>) -> Arc<CpuBackend> {
        Arc::new(CpuBackend { context, buffers: Mutex::default() })
    }

    /// The context it works with.
    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    fn work(&self) -> Work<'_> {
        // A lock that a panic left behind still guards a consistent table: an operation changes
        // elements, never the table.
        Work { context: &self.context, buffers: self.buffers.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> String {
        let threads = self.context.threads();
        format!("cpu ({}, {threads} thread{})", self.context.instruction_set(), if threads == 1 { "" } else { "s" })
    }

    fn allocate(&self, rows: usize, columns: usize, dtype: Dtype) -> Result<Tensor, BackendError> {
        let memory = weights::reserve(&self.context, rows, columns, dtype)?;
        Ok(Tensor::dense(self.work().buffers.insert(memory), dtype, 0, rows, columns))
    }

    fn scratch_bytes(&self, rows: usize, width: usize, vocabulary: usize) -> usize {
        super::head::scratch_bytes(rows, width, vocabulary) + super::matmul::packed_bytes(rows, width, vocabulary)
    }

    fn free(&self, buffer: BufferId) {
        // The memory goes after the lock.
        let memory = self.work().buffers.remove(buffer);
        drop(memory);
    }

    fn load_weight(
        &self,
        name: &str,
        stored: Dtype,
        kept: Dtype,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> Result<Tensor, BackendError> {
        weights::expect_weight(name, stored, kept, rows, columns, bytes.len())?;
        let weight = self.allocate(rows, columns, kept)?;
        weights::load(&self.work(), weight, stored, bytes);
        Ok(weight)
    }

    fn store_weight(&self, weight: Tensor) -> Vec<u8> {
        weights::read_bytes(&self.work(), weight)
    }

    fn write_f32(&self, out: Tensor, values: &[f32]) {
        weights::write_f32(&self.work(), out, values);
    }

    fn write_u32(&self, out: Tensor, values: &[u32]) {
        weights::write_u32(&self.work(), out, values);
    }

    fn write_bytes(&self, out: Tensor, bytes: &[u8]) {
        weights::write_bytes(&self.work(), out, bytes);
    }

    fn read_f32(&self, tensor: Tensor) -> Vec<f32> {
        weights::read_f32(&self.work(), tensor)
    }

    fn read_u32(&self, tensor: Tensor) -> Vec<u32> {
        self.work().integers("read_u32", tensor)
    }

    fn read_bytes(&self, tensor: Tensor) -> Vec<u8> {
        weights::read_bytes(&self.work(), tensor)
    }

    fn fill(&self, out: Tensor, value: f32) {
        elementwise::fill(&self.work(), out, value);
    }

    fn copy(&self, out: Tensor, x: Tensor, scale: f32, accumulate: bool) {
        elementwise::copy(&self.work(), out, x, scale, accumulate);
    }

    fn multiply(&self, out: Tensor, a: Tensor, b: Tensor, accumulate: bool) {
        elementwise::multiply(&self.work(), out, a, b, accumulate);
    }

    fn column_sum(&self, out_n: Tensor, a_tn: Tensor, b_tn: Option<Tensor>, scale: f32) {
        elementwise::column_sum(&self.work(), out_n, a_tn, b_tn, scale);
    }

    fn row_dot(&self, out_t: Tensor, a_tn: Tensor, b_tn: Tensor) {
        elementwise::row_dot(&self.work(), out_t, a_tn, b_tn);
    }

    fn scale_rows(&self, out: Tensor, a_tn: Tensor, factor_t: Tensor, accumulate: bool) {
        elementwise::scale_rows(&self.work(), out, a_tn, factor_t, accumulate);
    }

    fn dropout(&self, out: Tensor, x: Tensor, probability: f32, seed: u64) {
        elementwise::dropout(&self.work(), out, x, probability, seed);
    }

    fn add_noise(&self, x: Tensor, magnitude_t: Tensor, seed: u64) {
        elementwise::add_noise(&self.work(), x, magnitude_t, seed);
    }

    fn activate(&self, out_tf: Tensor, gate_tf: Tensor, up_tf: Option<Tensor>, function: Activation) {
        activation::activate(&self.work(), out_tf, gate_tf, up_tf, function);
    }

    fn activate_backward(
        &self,
        dgate_tf: Tensor,
        dup_tf: Option<Tensor>,
        dout_tf: Tensor,
        gate_tf: Tensor,
        up_tf: Option<Tensor>,
        function: Activation,
    ) {
        activation::activate_backward(&self.work(), dgate_tf, dup_tf, dout_tf, gate_tf, up_tf, function);
    }

    fn divide_by_root(&self, out: Tensor, numerator: Tensor, squares: Tensor) {
        elementwise::divide_by_root(&self.work(), out, numerator, squares);
    }

    fn sigmoid(&self, out: Tensor, x: Tensor) {
        elementwise::sigmoid(&self.work(), out, x);
    }

    fn product(&self, out: Tensor, terms: &[ProductTerm], options: &ProductOptions) {
        bridge::product(&self.work(), out, terms, options);
    }

    fn grouped_product(&self, product: &GroupedProduct, accumulate: bool) {
        bridge::grouped_product(&self.work(), product, accumulate);
    }

    fn embed(&self, out_td: Tensor, table_vd: Tensor, ids_t: Tensor, scale: f32, accumulate: bool) {
        embedding::embed(&self.work(), out_td, table_vd, ids_t, scale, accumulate);
    }

    fn embed_backward(&self, dtable_vd: Tensor, dx_td: Tensor, ids_t: Tensor, order_t: Tensor, scale: f32) {
        embedding::embed_backward(&self.work(), dtable_vd, dx_td, ids_t, order_t, scale);
    }

    fn norm(&self, out: Tensor, stats: Tensor, x: Tensor, weight: Option<Tensor>, bias: Option<Tensor>, options: &NormOptions) {
        norm::norm(&self.work(), out, stats, x, weight, bias, options);
    }

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
    ) {
        norm::norm_backward(&self.work(), dx, accumulate, dweight, dbias, dout, x, stats, weight, options);
    }

    fn rotary(&self, heads: Heads, table: Tensor, table_rows_t: Tensor, options: &RotaryOptions) {
        rotary::rotary(&self.work(), heads, table, table_rows_t, options);
    }

    fn attention(&self, out: Heads, lse_th: Tensor, q: Heads, k: Heads, v: Heads, shape: &AttentionShape) {
        bridge::attend(&self.work(), out, lse_th, q, k, v, shape);
    }

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
    ) {
        bridge::attend_backward(&self.work(), dq, dk, dv, dout, out, lse_th, q, k, v, shape);
    }

    fn logits(&self, out_tv: Tensor, x_td: Tensor, weight_vd: Tensor, options: &HeadOptions) {
        bridge::logits(&self.work(), out_tv, x_td, weight_vd, options);
    }

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
    ) {
        let call = HeadCall {
            outputs: Some([logp_t, lse_t, mean_logit_t, correct_t]),
            gradients: None,
            derivatives: None,
            x: x_td,
            weight: weight_vd,
            targets: targets_t,
            lse: None,
            options: *options,
        };
        bridge::head(&self.work(), "head_forward", &call);
    }

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
    ) {
        let call = HeadCall {
            outputs: None,
            gradients: Some((dx_td, dweight_vd)),
            derivatives: Some([dlogp_t, dlse_t, dmean_t]),
            x: x_td,
            weight: weight_vd,
            targets: targets_t,
            lse: Some(lse_t),
            options: *options,
        };
        bridge::head(&self.work(), "head_backward", &call);
    }

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
    ) {
        let call = HeadCall {
            outputs: Some([logp_t, lse_t, mean_logit_t, correct_t]),
            gradients: Some((dx_td, dweight_vd)),
            derivatives: Some([dlogp_t, dlse_t, dmean_t]),
            x: x_td,
            weight: weight_vd,
            targets: targets_t,
            lse: None,
            options: *options,
        };
        bridge::head(&self.work(), "head_loss", &call);
    }

    fn route(
        &self,
        probabilities_te: Tensor,
        experts_tc: Tensor,
        weights_tc: Tensor,
        order: Tensor,
        logits_te: Tensor,
        routing: &ExpertRouting,
    ) -> Vec<usize> {
        experts::route(&self.work(), probabilities_te, experts_tc, weights_tc, order, logits_te, routing)
    }

    fn route_backward(
        &self,
        dlogits_te: Tensor,
        dweights_tc: Tensor,
        probabilities_te: Tensor,
        experts_tc: Tensor,
        weights_tc: Tensor,
        routing: &ExpertRouting,
    ) {
        experts::route_backward(&self.work(), dlogits_te, dweights_tc, probabilities_te, experts_tc, weights_tc, routing);
    }

    fn gather_pairs(&self, out_pd: Tensor, x_td: Tensor, order: Tensor, choices: usize) {
        experts::gather_pairs(&self.work(), out_pd, x_td, order, choices);
    }

    fn combine_pairs(&self, out_td: Tensor, y_pd: Tensor, order: Tensor, weights_tc: Option<Tensor>, choices: usize, accumulate: bool) {
        experts::combine_pairs(&self.work(), out_td, y_pd, order, weights_tc, choices, accumulate);
    }

    fn combine_pairs_backward(
        &self,
        dy_pd: Tensor,
        dweights_tc: Tensor,
        dout_td: Tensor,
        y_pd: Tensor,
        order: Tensor,
        weights_tc: Tensor,
        choices: usize,
    ) {
        experts::combine_pairs_backward(&self.work(), dy_pd, dweights_tc, dout_td, y_pd, order, weights_tc, choices);
    }

    fn sum_of_squares(&self, out: Tensor, tensors: &[Tensor]) {
        bridge::sum_of_squares(&self.work(), out, tensors);
    }

    fn clip_factor(&self, out: Tensor, sum_of_squares: Tensor, max_norm: f32) {
        bridge::clip_factor(&self.work(), out, sum_of_squares, max_norm);
    }

    fn optimizer_step(&self, updates: &[ParameterUpdate], clip: Tensor) {
        bridge::optimizer_step(&self.work(), updates, clip);
    }
}
