//! Attention as its definition says, one query at a time in f64: slow, for tests and as the
//! `scalar` path.

use super::heads::{HeadRows, HeadRowsMut};
use super::plan::Visibility;
use crate::backend::AttentionShape;
use crate::context::Context;
use crate::cpu::view::{Rows, RowsMut};

/// Scores of one query, capped, and the derivative of the cap at each.
fn scores(q: &[f32], k: &HeadRows<'_>, key_rows: std::ops::Range<usize>, key_head: usize, shape: &AttentionShape<'_>) -> Vec<(f64, f64)> {
    key_rows
        .map(|row| {
            let key = k.head_f32(row, key_head);
            let score: f64 = q.iter().zip(&key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * f64::from(shape.scale);
            match shape.soft_cap {
                None => (score, 1.0),
                Some(cap) => {
                    let squashed = (score / f64::from(cap)).tanh();
                    (f64::from(cap) * squashed, 1.0 - squashed * squashed)
                }
            }
        })
        .collect()
}

/// See [`super::attention`].
pub(super) fn attention(
    context: &Context,
    out: &HeadRowsMut<'_>,
    lse_th: &RowsMut<'_, f32>,
    q: &HeadRows<'_>,
    k: &HeadRows<'_>,
    v: &HeadRows<'_>,
    shape: &AttentionShape<'_>,
) {
    let group = q.heads() / k.heads();
    context.for_each(shape.sequences.len() * q.heads(), |task| {
        let (sequence, head) = (task / q.heads(), task % q.heads());
        let visibility = Visibility::new(shape, sequence);
        let span = visibility.span;
        for query in 0..span.query_count {
            let keys = visibility.keys(query);
            let rows = span.key_start + keys.start..span.key_start + keys.end;
            let query_row = span.query_start + query;
            let scores = scores(&q.head_f32(query_row, head), k, rows.clone(), head / group, shape);
            let largest = scores.iter().map(|(score, _)| *score).fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = scores.iter().map(|(score, _)| (score - largest).exp()).sum();
            let mut sum = vec![0f64; q.head_width()];
            for ((score, _), row) in scores.iter().zip(rows) {
                let probability = (score - largest).exp() / total;
                for (sum, value) in sum.iter_mut().zip(v.head_f32(row, head / group)) {
                    *sum += probability * f64::from(value);
                }
            }
            let values: Vec<f32> = sum.iter().map(|value| *value as f32).collect();
            // SAFETY: each task writes its own head, and its element of `lse_th`.
            unsafe {
                out.write_head(query_row, head, &values);
                *lse_th.pointer().add(query_row * lse_th.row_stride + head) = (largest + total.ln()) as f32;
            }
        }
    });
}

/// See [`super::attention_backward`].
#[expect(clippy::too_many_arguments, reason = "the operation has this many tensors")]
pub(super) fn attention_backward(
    context: &Context,
    dq: &HeadRowsMut<'_>,
    dk: &HeadRowsMut<'_>,
    dv: &HeadRowsMut<'_>,
    dout: &HeadRows<'_>,
    out: &HeadRows<'_>,
    lse_th: &Rows<'_, f32>,
    q: &HeadRows<'_>,
    k: &HeadRows<'_>,
    v: &HeadRows<'_>,
    shape: &AttentionShape<'_>,
) {
    let group = q.heads() / k.heads();
    let width = q.head_width();
    context.for_each(shape.sequences.len() * k.heads(), |task| {
        let (sequence, key_head) = (task / k.heads(), task % k.heads());
        let visibility = Visibility::new(shape, sequence);
        let span = visibility.span;
        let mut dk_sum = vec![0f64; span.key_count * width];
        let mut dv_sum = vec![0f64; span.key_count * width];
        for head in key_head * group..(key_head + 1) * group {
            for query in 0..span.query_count {
                let keys = visibility.keys(query);
                let rows = span.key_start + keys.start..span.key_start + keys.end;
                let query_row = span.query_start + query;
                let q_k = q.head_f32(query_row, head);
                let dout_k = dout.head_f32(query_row, head);
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                let delta = dot(&dout_k, &out.head_f32(query_row, head));
                let lse = f64::from(lse_th.row(query_row)[head]);
                let mut dq_sum = vec![0f64; width];
                for ((score, slope), (key, row)) in scores(&q_k, k, rows.clone(), key_head, shape).into_iter().zip(keys.zip(rows)) {
                    let probability = (score - lse).exp();
                    let dprobability = dot(&dout_k, &v.head_f32(row, key_head));
                    let dscore = probability * (dprobability - delta) * slope * f64::from(shape.scale);
                    for (column, key_value) in k.head_f32(row, key_head).into_iter().enumerate() {
                        dq_sum[column] += dscore * f64::from(key_value);
                        dk_sum[key * width + column] += dscore * f64::from(q_k[column]);
                        dv_sum[key * width + column] += probability * f64::from(dout_k[column]);
                    }
                }
                // SAFETY: each task writes the query heads of its own key head.
                unsafe { dq.write_head(query_row, head, &narrow(&dq_sum)) };
            }
        }
        for key in 0..span.key_count {
            let range = key * width..(key + 1) * width;
            // SAFETY: each task writes its own key head of its own sequence.
            unsafe {
                dk.write_head(span.key_start + key, key_head, &narrow(&dk_sum[range.clone()]));
                dv.write_head(span.key_start + key, key_head, &narrow(&dv_sum[range]));
            }
        }
    });
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}
