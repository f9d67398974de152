//! The trait, each operation put in the queue with the tensors that it will ask for.

use crate::backend::{
    Activation, AttentionShape, Backend, BackendError, ExpertRouting, GroupedProduct, HeadOptions, Heads, NormOptions, ParameterUpdate,
    ProductOptions, ProductTerm, RotaryOptions,
};
use crate::cpu::CpuBackend;
use crate::deferred::DeferredBackend;
use crate::dtype::Dtype;
use crate::tensor::{BufferId, Tensor};

impl Backend for DeferredBackend {
    fn name(&self) -> String {
        "deferred (scalar, transposed weights)".to_string()
    }

    fn allocate(&self, rows: usize, columns: usize, dtype: Dtype) -> Result<Tensor, BackendError> {
        self.machine.allocate(rows, columns, dtype)
    }

    fn free(&self, buffer: BufferId) {
        self.defer(move |stage| stage.free(buffer));
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
        self.load(name, [stored, kept], rows, columns, bytes)
    }

    fn store_weight(&self, weight: Tensor) -> Vec<u8> {
        self.read_bytes(weight)
    }

    fn write_f32(&self, out: Tensor, values: &[f32]) {
        let values = values.to_vec();
        self.defer_at(out, move |machine, out| machine.write_f32(out, &values));
    }

    fn write_u32(&self, out: Tensor, values: &[u32]) {
        let values = values.to_vec();
        self.defer_at(out, move |machine, out| machine.write_u32(out, &values));
    }

    fn write_bytes(&self, out: Tensor, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.defer_at(out, move |machine, out| machine.write_bytes(out, &bytes));
    }

    fn read_f32(&self, tensor: Tensor) -> Vec<f32> {
        self.finish_at(tensor, CpuBackend::read_f32)
    }

    fn read_u32(&self, tensor: Tensor) -> Vec<u32> {
        self.finish_at(tensor, CpuBackend::read_u32)
    }

    fn read_bytes(&self, tensor: Tensor) -> Vec<u8> {
        self.finish_at(tensor, CpuBackend::read_bytes)
    }

    fn product(&self, out: Tensor, terms: &[ProductTerm], options: &ProductOptions) {
        let (terms, options) = (terms.to_vec(), *options);
        self.defer(move |stage| {
            let terms: Vec<ProductTerm> = terms
                .into_iter()
                .map(|term| ProductTerm { left: stage.matrix(term.left), right: stage.matrix(term.right), scale: term.scale })
                .collect();
            let (out, bias) = (stage.at(out), stage.maybe(options.bias));
            stage.machine.product(out, &terms, &ProductOptions { bias, ..options });
        });
    }

    fn grouped_product(&self, product: &GroupedProduct, accumulate: bool) {
        let product = product.clone();
        self.defer(move |stage| {
            let product = GroupedProduct {
                outs: product.outs.into_iter().map(|out| stage.at(out)).collect(),
                lefts: product.lefts.into_iter().map(|left| stage.matrix(left)).collect(),
                rights: product.rights.into_iter().map(|right| stage.matrix(right)).collect(),
                scale: product.scale,
            };
            stage.machine.grouped_product(&product, accumulate);
        });
    }

    fn attention(&self, out: Heads, lse_th: Tensor, q: Heads, k: Heads, v: Heads, shape: &AttentionShape) {
        let (sequences, visible) = (shape.sequences.to_vec(), shape.visible.to_vec());
        let AttentionShape { scale, window, soft_cap, .. } = *shape;
        self.defer(move |stage| {
            let shape = AttentionShape { scale, window, soft_cap, sequences: &sequences, visible: &visible };
            let (out, q, k, v) = (stage.heads(out), stage.heads(q), stage.heads(k), stage.heads(v));
            stage.machine.attention(out, lse_th, q, k, v, &shape);
        });
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
        let (sequences, visible) = (shape.sequences.to_vec(), shape.visible.to_vec());
        let AttentionShape { scale, window, soft_cap, .. } = *shape;
        self.defer(move |stage| {
            let shape = AttentionShape { scale, window, soft_cap, sequences: &sequences, visible: &visible };
            let (dq, dk, dv) = (stage.heads(dq), stage.heads(dk), stage.heads(dv));
            let (dout, out, q, k, v) = (stage.heads(dout), stage.heads(out), stage.heads(q), stage.heads(k), stage.heads(v));
            stage.machine.attention_backward(dq, dk, dv, dout, out, lse_th, q, k, v, &shape);
        });
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
        self.finish(|stage| stage.machine.route(probabilities_te, experts_tc, weights_tc, order, logits_te, routing))
    }

    fn sum_of_squares(&self, out: Tensor, tensors: &[Tensor]) {
        let tensors = tensors.to_vec();
        self.defer(move |stage| {
            let tensors: Vec<Tensor> = tensors.into_iter().map(|tensor| stage.at(tensor)).collect();
            stage.machine.sum_of_squares(out, &tensors);
        });
    }

    fn optimizer_step(&self, updates: &[ParameterUpdate], clip: Tensor) {
        let updates = updates.to_vec();
        self.defer(move |stage| {
            let updates: Vec<ParameterUpdate> = updates
                .into_iter()
                .map(|update| ParameterUpdate { weight: stage.at(update.weight), gradient: stage.at(update.gradient), ..update })
                .collect();
            stage.machine.optimizer_step(&updates, clip);
        });
    }

    fn fill(&self, out: Tensor, value: f32) {
        self.defer_at(out, move |machine, out| machine.fill(out, value));
    }

    fn copy(&self, out: Tensor, x: Tensor, scale: f32, accumulate: bool) {
        self.defer_all([out, x], move |machine, [out, x]| machine.copy(out, x, scale, accumulate));
    }

    fn multiply(&self, out: Tensor, a: Tensor, b: Tensor, accumulate: bool) {
        self.defer_all([out, a, b], move |machine, [out, a, b]| machine.multiply(out, a, b, accumulate));
    }

    fn column_sum(&self, out_n: Tensor, a_tn: Tensor, b_tn: Option<Tensor>, scale: f32) {
        self.defer(move |stage| {
            let out_n = stage.at(out_n);
            let a_tn = stage.at(a_tn);
            let b_tn = stage.maybe(b_tn);
            stage.machine.column_sum(out_n, a_tn, b_tn, scale);
        });
    }

    fn row_dot(&self, out_t: Tensor, a_tn: Tensor, b_tn: Tensor) {
        self.defer_all([out_t, a_tn, b_tn], move |machine, [out_t, a_tn, b_tn]| machine.row_dot(out_t, a_tn, b_tn));
    }

    fn scale_rows(&self, out: Tensor, a_tn: Tensor, factor_t: Tensor, accumulate: bool) {
        self.defer_all([out, a_tn, factor_t], move |machine, [out, a_tn, factor_t]| machine.scale_rows(out, a_tn, factor_t, accumulate));
    }

    fn dropout(&self, out: Tensor, x: Tensor, probability: f32, seed: u64) {
        self.defer_all([out, x], move |machine, [out, x]| machine.dropout(out, x, probability, seed));
    }

    fn add_noise(&self, x: Tensor, magnitude_t: Tensor, seed: u64) {
        self.defer_all([x, magnitude_t], move |machine, [x, magnitude_t]| machine.add_noise(x, magnitude_t, seed));
    }

    fn activate(&self, out_tf: Tensor, gate_tf: Tensor, up_tf: Option<Tensor>, activation: Activation) {
        self.defer(move |stage| {
            let out_tf = stage.at(out_tf);
            let gate_tf = stage.at(gate_tf);
            let up_tf = stage.maybe(up_tf);
            stage.machine.activate(out_tf, gate_tf, up_tf, activation);
        });
    }

    fn activate_backward(
        &self,
        dgate_tf: Tensor,
        dup_tf: Option<Tensor>,
        dout_tf: Tensor,
        gate_tf: Tensor,
        up_tf: Option<Tensor>,
        activation: Activation,
    ) {
        self.defer(move |stage| {
            let dgate_tf = stage.at(dgate_tf);
            let dup_tf = stage.maybe(dup_tf);
            let dout_tf = stage.at(dout_tf);
            let gate_tf = stage.at(gate_tf);
            let up_tf = stage.maybe(up_tf);
            stage.machine.activate_backward(dgate_tf, dup_tf, dout_tf, gate_tf, up_tf, activation);
        });
    }

    fn divide_by_root(&self, out: Tensor, numerator: Tensor, squares: Tensor) {
        self.defer_all([out, numerator, squares], move |machine, [out, numerator, squares]| {
            machine.divide_by_root(out, numerator, squares)
        });
    }

    fn sigmoid(&self, out: Tensor, x: Tensor) {
        self.defer_all([out, x], move |machine, [out, x]| machine.sigmoid(out, x));
    }

    fn embed(&self, out_td: Tensor, table_vd: Tensor, ids_t: Tensor, scale: f32, accumulate: bool) {
        self.defer_all([out_td, table_vd, ids_t], move |machine, [out_td, table_vd, ids_t]| {
            machine.embed(out_td, table_vd, ids_t, scale, accumulate)
        });
    }

    fn embed_backward(&self, dtable_vd: Tensor, dx_td: Tensor, ids_t: Tensor, order_t: Tensor, scale: f32) {
        self.defer_all([dtable_vd, dx_td, ids_t, order_t], move |machine, [dtable_vd, dx_td, ids_t, order_t]| {
            machine.embed_backward(dtable_vd, dx_td, ids_t, order_t, scale)
        });
    }

    fn norm(&self, out: Tensor, stats: Tensor, x: Tensor, weight: Option<Tensor>, bias: Option<Tensor>, options: &NormOptions) {
        let options = *options;
        self.defer(move |stage| {
            let out = stage.at(out);
            let stats = stage.at(stats);
            let x = stage.at(x);
            let weight = stage.maybe(weight);
            let bias = stage.maybe(bias);
            stage.machine.norm(out, stats, x, weight, bias, &options);
        });
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
        let options = *options;
        self.defer(move |stage| {
            let dx = stage.at(dx);
            let dweight = stage.maybe(dweight);
            let dbias = stage.maybe(dbias);
            let dout = stage.at(dout);
            let x = stage.at(x);
            let stats = stage.at(stats);
            let weight = stage.maybe(weight);
            stage.machine.norm_backward(dx, accumulate, dweight, dbias, dout, x, stats, weight, &options);
        });
    }

    fn rotary(&self, heads: Heads, table: Tensor, table_rows_t: Tensor, options: &RotaryOptions) {
        let options = *options;
        self.defer(move |stage| {
            let heads = stage.heads(heads);
            let table = stage.at(table);
            let table_rows_t = stage.at(table_rows_t);
            stage.machine.rotary(heads, table, table_rows_t, &options);
        });
    }

    fn logits(&self, out_tv: Tensor, x_td: Tensor, weight_vd: Tensor, options: &HeadOptions) {
        let options = *options;
        self.defer_all([out_tv, x_td, weight_vd], move |machine, [out_tv, x_td, weight_vd]| {
            machine.logits(out_tv, x_td, weight_vd, &options)
        });
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
        let options = *options;
        self.defer_all(
            [logp_t, lse_t, mean_logit_t, correct_t, x_td, weight_vd, targets_t],
            move |machine, [logp_t, lse_t, mean_logit_t, correct_t, x_td, weight_vd, targets_t]| {
                machine.head_forward(logp_t, lse_t, mean_logit_t, correct_t, x_td, weight_vd, targets_t, &options)
            },
        );
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
        let options = *options;
        self.defer(move |stage| {
            let dx_td = stage.at(dx_td);
            let dweight_vd = stage.maybe(dweight_vd);
            let x_td = stage.at(x_td);
            let weight_vd = stage.at(weight_vd);
            let targets_t = stage.at(targets_t);
            let lse_t = stage.at(lse_t);
            let dlogp_t = stage.at(dlogp_t);
            let dlse_t = stage.at(dlse_t);
            let dmean_t = stage.at(dmean_t);
            stage.machine.head_backward(dx_td, dweight_vd, x_td, weight_vd, targets_t, lse_t, dlogp_t, dlse_t, dmean_t, &options);
        });
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
        let options = *options;
        self.defer(move |stage| {
            let logp_t = stage.at(logp_t);
            let lse_t = stage.at(lse_t);
            let mean_logit_t = stage.at(mean_logit_t);
            let correct_t = stage.at(correct_t);
            let dx_td = stage.at(dx_td);
            let dweight_vd = stage.maybe(dweight_vd);
            let x_td = stage.at(x_td);
            let weight_vd = stage.at(weight_vd);
            let targets_t = stage.at(targets_t);
            let dlogp_t = stage.at(dlogp_t);
            let dlse_t = stage.at(dlse_t);
            let dmean_t = stage.at(dmean_t);
            stage.machine.head_loss(
                logp_t,
                lse_t,
                mean_logit_t,
                correct_t,
                dx_td,
                dweight_vd,
                x_td,
                weight_vd,
                targets_t,
                dlogp_t,
                dlse_t,
                dmean_t,
                &options,
            );
        });
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
        let routing = *routing;
        self.defer_all(
            [dlogits_te, dweights_tc, probabilities_te, experts_tc, weights_tc],
            move |machine, [dlogits_te, dweights_tc, probabilities_te, experts_tc, weights_tc]| {
                machine.route_backward(dlogits_te, dweights_tc, probabilities_te, experts_tc, weights_tc, &routing)
            },
        );
    }

    fn gather_pairs(&self, out_pd: Tensor, x_td: Tensor, order: Tensor, choices: usize) {
        self.defer_all([out_pd, x_td, order], move |machine, [out_pd, x_td, order]| machine.gather_pairs(out_pd, x_td, order, choices));
    }

    fn combine_pairs(&self, out_td: Tensor, y_pd: Tensor, order: Tensor, weights_tc: Option<Tensor>, choices: usize, accumulate: bool) {
        self.defer(move |stage| {
            let out_td = stage.at(out_td);
            let y_pd = stage.at(y_pd);
            let order = stage.at(order);
            let weights_tc = stage.maybe(weights_tc);
            stage.machine.combine_pairs(out_td, y_pd, order, weights_tc, choices, accumulate);
        });
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
        self.defer_all(
            [dy_pd, dweights_tc, dout_td, y_pd, order, weights_tc],
            move |machine, [dy_pd, dweights_tc, dout_td, y_pd, order, weights_tc]| {
                machine.combine_pairs_backward(dy_pd, dweights_tc, dout_td, y_pd, order, weights_tc, choices)
            },
        );
    }

    fn clip_factor(&self, out: Tensor, sum_of_squares: Tensor, max_norm: f32) {
        self.defer_all([out, sum_of_squares], move |machine, [out, sum_of_squares]| machine.clip_factor(out, sum_of_squares, max_norm));
    }
}
