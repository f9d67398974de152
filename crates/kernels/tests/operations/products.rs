//! Cases of products, attention, the head and the optimizer, through the trait. Their kernels
//! have tests of their own at greater depth; here it is shown that a backend hands them the
//! right places of the right buffers.

use apertis_kernels::cpu::reference::{Matrix, head, product};
use apertis_kernels::{
    AttentionShape, Dtype, GroupedProduct, HeadOptions, Heads, MatrixView, OptimizerRule, Owned, ParameterUpdate, ProductOptions,
    ProductTerm, SequenceSpan, VisibleSpan,
};

use crate::differences::slope_of;
use crate::support::{Bench, KINDS, Kind, Placed, numbers, plus};

pub(crate) fn suite(bench: &Bench) {
    for kind in KINDS {
        for (tokens, inner, outer) in [(1, 3, 5), (19, 33, 40), (70, 64, 130)] {
            products(bench, tokens, inner, outer, kind);
        }
        groups(bench, [11, 0, 19], 20, 9, kind);
        heads(bench, kind);
        attention(bench, kind);
    }
    optimizer(bench);
}

/// Rows, sums and columns of any small number; the kernels' own tests have those of attention, the
/// head and the optimizers.
pub(crate) fn tails(bench: &Bench, size: usize) {
    for kind in KINDS {
        for (tokens, inner, outer) in [(size, 5, 7), (3, size, 6), (6, 9, size)] {
            products(bench, tokens, inner, outer, kind);
            groups(bench, [tokens, 0, 2], inner, outer, kind);
        }
    }
}

/// Error of a sum of `terms` products, and where one of the factors may be rounded to bf16
/// before it is multiplied, half a unit of its last place for each, adding as their root.
fn product_error(terms: usize, kind: Kind) -> f64 {
    let rounding = if kind.input == Dtype::Bf16 { 0.5 * 65536.0 * (terms as f64).sqrt() } else { 0.0 };
    8.0 + terms as f64 + rounding
}

fn products(bench: &Bench, tokens: usize, inner: usize, outer: usize, kind: Kind) {
    let backend = &bench.backend;
    let weight_dtype = kind.input;
    let x = bench.input(tokens, inner, kind, 1);
    let weight = bench.weight(&numbers(outer, inner, 2), weight_dtype);
    let bias = bench.weight(&numbers(1, outer, 3), Dtype::F32);
    let out = bench.output(tokens, outer, kind);
    let forward = product::product(&x.values, &product::transpose(&weight.values), 1.0);
    backend.product(
        out.tensor,
        &[ProductTerm::forward(x.tensor, weight.tensor)],
        &ProductOptions { accumulate: false, bias: Some(bias.tensor) },
    );
    let expected = Matrix::from_fn(tokens, outer, |row, column| forward.at(row, column) + bias.values.at(0, column));
    bench.expect("product", &out, &expected, product_error(inner, kind));

    // An adapter's low-rank term joins the sum before it is rounded.
    let (small, up) = (bench.input(tokens, 2, kind, 4), bench.weight(&numbers(outer, 2, 5), weight_dtype));
    let out = bench.output(tokens, outer, kind);
    let terms = [ProductTerm::forward(x.tensor, weight.tensor), ProductTerm::forward(small.tensor, up.tensor).scaled(2.0)];
    backend.product(out.tensor, &terms, &ProductOptions { accumulate: true, bias: None });
    let expected = plus(&plus(&out.values, &forward), &product::product(&small.values, &product::transpose(&up.values), 2.0));
    bench.expect("product, two terms, added", &out, &expected, product_error(inner + 2, kind));

    let dy = bench.input(tokens, outer, kind, 6);
    let dx = bench.output(tokens, inner, kind);
    backend.product(dx.tensor, &[ProductTerm::input_gradient(dy.tensor, weight.tensor)], &ProductOptions::default());
    bench.expect("product, input gradient", &dx, &product::product(&dy.values, &weight.values, 1.0), product_error(outer, kind));
    let dweight = bench.plain(&numbers(outer, inner, 7));
    let options = ProductOptions { accumulate: true, bias: None };
    backend.product(dweight.tensor, &[ProductTerm::weight_gradient(dy.tensor, x.tensor)], &options);
    let expected = plus(&dweight.values, &product::product(&product::transpose(&dy.values), &x.values, 1.0));
    bench.expect("product, weight gradient", &dweight, &expected, product_error(tokens, kind));
    // Views of rows of one weight, as a fused projection is read.
    if outer >= 40 {
        let part = weight.tensor.row_range(7, 30);
        let out = bench.output(tokens, 30, kind);
        backend.product(out.tensor, &[ProductTerm::forward(x.tensor, part)], &ProductOptions::default());
        let expected = Matrix::from_fn(tokens, 30, |row, column| forward.at(row, column + 7));
        bench.expect("product with rows of a weight", &out, &expected, product_error(inner, kind));
    }
}

fn groups(bench: &Bench, counts: [usize; 3], inner: usize, outer: usize, kind: Kind) {
    let tokens = counts.iter().sum();
    let (x, out) = (bench.input(tokens, inner, kind, 1), bench.output(tokens, outer, kind));
    let weights: Vec<Placed> = (0..3).map(|expert| bench.weight(&numbers(outer, inner, 10 + expert), kind.input)).collect();
    let ranges = [(0, counts[0]), (counts[0], counts[1]), (counts[0] + counts[1], counts[2])];
    let group = GroupedProduct {
        outs: ranges.iter().map(|(start, count)| out.tensor.row_range(*start, *count)).collect(),
        lefts: ranges.iter().map(|(start, count)| MatrixView::plain(x.tensor.row_range(*start, *count))).collect(),
        rights: weights.iter().map(|weight| MatrixView::transposed(weight.tensor)).collect(),
        scale: 0.5,
    };
    bench.backend.grouped_product(&group, true);
    let all: Vec<Matrix> = weights.iter().map(|weight| product::product(&x.values, &product::transpose(&weight.values), 0.5)).collect();
    let expert_of = |row: usize| ranges.iter().position(|(start, count)| (*start..start + count).contains(&row)).expect("one's row");
    let sum = Matrix::from_fn(tokens, outer, |row, column| all[expert_of(row)].at(row, column));
    bench.expect("grouped_product", &out, &plus(&out.values, &sum), product_error(inner, kind));
}

fn heads(bench: &Bench, kind: Kind) {
    let backend = &bench.backend;
    let (tokens, width, vocabulary) = (21, 24, 90);
    for (scale, soft_cap) in [(1.0, None), (0.5, Some(3.0))] {
        let options = HeadOptions { scale, soft_cap };
        let x = bench.input(tokens, width, kind, 1);
        let weight = bench.weight(&numbers(vocabulary, width, 2), kind.input);
        let targets: Vec<u32> =
            (0..tokens as u32).map(|token| if token % 5 == 3 { u32::MAX } else { token * 17 % vocabulary as u32 }).collect();
        let ids = bench.ids(&targets);
        let coefficients = [3, 4, 5].map(|seed| bench.plain(&numbers(tokens, 1, seed)));
        let [dlogp, dlse, dmean] = &coefficients;
        let expected = head::head(&x.values, &weight.values, &targets, [&dlogp.values, &dlse.values, &dmean.values], &options);
        let error = product_error(width, kind);
        let logits = bench.plain(&Matrix::zeros(tokens, vocabulary));
        backend.logits(logits.tensor, x.tensor, weight.tensor, &options);
        bench.expect("logits", &logits, &head::logits(&x.values, &weight.values, &options), error);
        for fused in [false, true] {
            let columns = [0; 4].map(|_| bench.plain(&Matrix::zeros(tokens, 1)));
            let [logp, lse, mean, correct] = &columns;
            let dx = bench.output(tokens, width, kind);
            let dweight = bench.plain(&numbers(vocabulary, width, 6));
            let (x, weight, targets) = (x.tensor, weight.tensor, *ids);
            let (dlogp, dlse, dmean) = (dlogp.tensor, dlse.tensor, dmean.tensor);
            let outs = [logp.tensor, lse.tensor, mean.tensor, correct.tensor];
            let gradient = Some(dweight.tensor);
            if fused {
                backend
                    .head_loss(outs[0], outs[1], outs[2], outs[3], dx.tensor, gradient, x, weight, targets, dlogp, dlse, dmean, &options);
            } else {
                backend.head_forward(outs[0], outs[1], outs[2], outs[3], x, weight, targets, &options);
                backend.head_backward(dx.tensor, gradient, x, weight, targets, outs[1], dlogp, dlse, dmean, &options);
            }
            bench.expect("head, logp", logp, &expected.logp, error);
            bench.expect("head, lse", lse, &expected.lse, error);
            bench.expect("head, mean logit", mean, &expected.mean, 4.0 * error);
            bench.expect("head, correct", correct, &expected.correct, 0.0);
            bench.expect("head, dx", &dx, &expected.dx, product_error(vocabulary, kind));
            bench.expect("head, dweight", &dweight, &plus(&dweight.values, &expected.dweight), product_error(tokens, kind));
        }
    }
}

/// Attention of one row layout, by its definition.
struct Definition<'a> {
    query_heads: usize,
    key_heads: usize,
    width: usize,
    shape: AttentionShape<'a>,
}

impl Definition<'_> {
    fn sees(&self, sequence: usize, query: usize, key: usize) -> bool {
        let near = key <= query && self.shape.window.is_none_or(|window| key + window > query);
        let inside = |position: usize, span: &VisibleSpan| position >= span.start && position < span.end;
        near || self.shape.visible.iter().any(|span| span.sequence == sequence && inside(query, span) && inside(key, span))
    }

    /// `out` and the log-sum-exp.
    fn forward(&self, q: &Matrix, k: &Matrix, v: &Matrix) -> (Matrix, Matrix) {
        let width = self.width;
        let (mut out, mut lse) = (Matrix::zeros(q.rows, q.columns), Matrix::zeros(q.rows, self.query_heads));
        for (number, span) in self.shape.sequences.iter().enumerate() {
            for query in 0..span.query_count {
                let (row, position) = (span.query_start + query, span.key_count - span.query_count + query);
                for head in 0..self.query_heads {
                    let key_head = head / (self.query_heads / self.key_heads);
                    let keys: Vec<usize> = (0..span.key_count).filter(|key| self.sees(number, position, *key)).collect();
                    let score = |key: usize| {
                        let dot =
                            (0..width).map(|i| q.at(row, head * width + i) * k.at(span.key_start + key, key_head * width + i)).sum::<f64>();
                        let score = dot * f64::from(self.shape.scale);
                        self.shape.soft_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                    };
                    let total: f64 = keys.iter().map(|key| score(*key).exp()).sum();
                    lse.set(row, head, total.ln());
                    for key in &keys {
                        for i in 0..width {
                            out.add(row, head * width + i, score(*key).exp() / total * v.at(span.key_start + key, key_head * width + i));
                        }
                    }
                }
            }
        }
        (out, lse)
    }
}

fn attention(bench: &Bench, kind: Kind) {
    let sequences = [
        SequenceSpan { query_start: 0, query_count: 5, key_start: 0, key_count: 5 },
        SequenceSpan { query_start: 5, query_count: 2, key_start: 5, key_count: 6 },
    ];
    let visible = [VisibleSpan { sequence: 0, start: 1, end: 4 }];
    for (window, soft_cap, visible) in [(None, None, [].as_slice()), (Some(2), Some(1.5), &visible)] {
        let shape = AttentionShape { scale: 0.6, window, soft_cap, sequences: &sequences, visible };
        let definition = Definition { query_heads: 4, key_heads: 2, width: 8, shape };
        let backend = &bench.backend;
        let (q, k, v) = (bench.input(7, 32, kind, 1), bench.input(11, 16, kind, 2), bench.input(11, 16, kind, 3));
        let heads = |placed: &Placed| Heads { tensor: placed.tensor, heads: placed.tensor.columns / 8, head_width: 8, head_stride: 8 };
        let (out, lse) = (bench.output(7, 32, kind), bench.plain(&Matrix::zeros(7, 4)));
        backend.attention(heads(&out), lse.tensor, heads(&q), heads(&k), heads(&v), &shape);
        let (out_values, lse_values) = definition.forward(&q.values, &k.values, &v.values);
        // Probabilities and scores may be made of factors in bf16.
        let error = if kind.input == Dtype::Bf16 { 2.0 * 65536.0 } else { 64.0 };
        bench.expect("attention", &out, &out_values, error);
        bench.expect("attention, lse", &lse, &lse_values, error);

        let dout = bench.input(7, 32, kind, 4);
        let (dq, dk, dv) = (bench.output(7, 32, kind), bench.output(11, 16, kind), bench.output(11, 16, kind));
        let out = bench.place(&out_values, kind.input, kind.gaps);
        let all = [&dq, &dk, &dv, &dout, &out, &q, &k, &v].map(heads);
        backend.attention_backward(all[0], all[1], all[2], all[3], all[4], lse.tensor, all[5], all[6], all[7], &shape);
        let (q, k, v, dout) = (&q.values, &k.values, &v.values, &dout.values);
        // The slopes of differences are exact to 1e-9 or so; the rest is the error of the kernel.
        let error = if kind.input == Dtype::Bf16 { 6.0 * 65536.0 } else { 256.0 };
        bench.expect("attention_backward, dq", &dq, &slope_of(|q| definition.forward(q, k, v).0, q, dout), error);
        bench.expect("attention_backward, dk", &dk, &slope_of(|k| definition.forward(q, k, v).0, k, dout), error);
        bench.expect("attention_backward, dv", &dv, &slope_of(|v| definition.forward(q, k, v).0, v, dout), error);
    }
}

/// A weight and all that a rule keeps for it.
fn optimizer(bench: &Bench) {
    let backend = &bench.backend;
    let (rows, columns) = (6, 50);
    let gradient = bench.plain(&numbers(rows, columns, 1));
    let (sum, clip) = (bench.plain(&Matrix::zeros(1, 1)), bench.plain(&Matrix::zeros(1, 3)));
    backend.sum_of_squares(sum.tensor, &[gradient.tensor, gradient.tensor.row_range(0, 2)]);
    let squares = |rows: usize| (0..rows * columns).map(|index| gradient.values.values()[index].powi(2)).sum::<f64>();
    let total = squares(rows) + squares(2);
    bench.expect("sum_of_squares", &sum, &Matrix::from_fn(1, 1, |_, _| total), 16.0);
    backend.clip_factor(clip.tensor, sum.tensor, 0.5);
    let factor = 0.5 / (total.sqrt() + 1e-6);
    bench.expect("clip_factor", &clip, &Matrix::from_fn(1, 3, |_, column| [total.sqrt(), factor, 1.0][column]), 4.0);

    let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
    let rule = OptimizerRule::AdamW { beta1, beta2, epsilon };
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let weight = bench.weight(&numbers(rows, columns, 2), dtype);
        let remainder = (dtype == Dtype::Bf16).then(|| Owned::zeros(backend, rows, columns, Dtype::U16).expect("small"));
        let (first, second) = (bench.plain(&Matrix::zeros(rows, columns)), bench.plain(&Matrix::zeros(rows, columns)));
        let mut expected = weight.values.clone();
        let (mut first_values, mut second_values) = (first.values.clone(), second.values.clone());
        for update_count in 1..=3 {
            let update = ParameterUpdate {
                weight: weight.tensor,
                remainder: remainder.as_deref().copied(),
                gradient: gradient.tensor,
                first_moment: first.tensor,
                second_moment: Some(second.tensor),
                first_scales: None,
                second_scales: None,
                rule,
                learning_rate: 0.01,
                weight_decay: 0.1,
                update_count,
            };
            backend.optimizer_step(&[update], clip.tensor);
            let power = update_count as i32;
            for row in 0..rows {
                for column in 0..columns {
                    let slope = gradient.values.at(row, column) * factor;
                    let m = f64::from(beta1) * first_values.at(row, column) + (1.0 - f64::from(beta1)) * slope;
                    let s = f64::from(beta2) * second_values.at(row, column) + (1.0 - f64::from(beta2)) * slope * slope;
                    first_values.set(row, column, m);
                    second_values.set(row, column, s);
                    let (m, s) = (m / (1.0 - f64::from(beta1).powi(power)), s / (1.0 - f64::from(beta2).powi(power)));
                    expected.set(row, column, expected.at(row, column) * (1.0 - 0.01 * 0.1) - 0.01 * m / (s.sqrt() + f64::from(epsilon)));
                }
            }
        }
        bench.expect("optimizer_step", &weight, &expected, 64.0);
        let stored = backend.store_weight(weight.tensor);
        assert_eq!(stored.len(), rows * columns * dtype.size_bytes(), "store_weight: bytes");
        // A step that is not finite changes nothing.
        let before = backend.store_weight(weight.tensor);
        backend.write_f32(clip.tensor, &[f32::NAN, 1.0, 0.0]);
        let update = ParameterUpdate {
            weight: weight.tensor,
            remainder: remainder.as_deref().copied(),
            gradient: gradient.tensor,
            first_moment: first.tensor,
            second_moment: Some(second.tensor),
            first_scales: None,
            second_scales: None,
            rule,
            learning_rate: 0.01,
            weight_decay: 0.1,
            update_count: 4,
        };
        backend.optimizer_step(&[update], clip.tensor);
        assert_eq!(backend.store_weight(weight.tensor), before, "a step that is not finite changed a weight");
        backend.clip_factor(clip.tensor, sum.tensor, 0.5);
    }
}
