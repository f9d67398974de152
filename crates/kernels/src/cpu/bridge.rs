//! Operations whose loops live in folders of their own (products, attention, head, optimizer):
//! here tensors become the views that those take.

use half::bf16;

use crate::backend::{AttentionShape, GroupedProduct, HeadOptions, Heads, MatrixView, ParameterUpdate, ProductOptions, ProductTerm};
use crate::cpu::attention::{self, heads::HeadRows, heads::HeadRowsMut};
use crate::cpu::buffers::{expect_apart, expect_shape};
use crate::cpu::optimizer::{self, Moment, Update, Weight};
use crate::cpu::reference::{self, Matrix};
use crate::cpu::rotary::used_columns;
use crate::cpu::work::Work;
use crate::dtype::Dtype;
use crate::tensor::Tensor;

fn view(work: &Work<'_>, view: MatrixView) -> Matrix {
    let matrix = work.matrix("product", view.tensor);
    if view.transposed { reference::product::transpose(&matrix) } else { matrix }
}

pub(super) fn product(work: &Work<'_>, out: Tensor, terms: &[ProductTerm], options: &ProductOptions) {
    const NAME: &str = "product";
    let mut sum = Matrix::zeros(out.rows, out.columns);
    for term in terms {
        expect_apart(NAME, &[out], &[term.left.tensor, term.right.tensor]);
        let part = reference::product::product(&view(work, term.left), &view(work, term.right), f64::from(term.scale));
        sum = Matrix::from_fn(out.rows, out.columns, |row, column| sum.at(row, column) + part.at(row, column));
    }
    if let Some(bias) = options.bias {
        expect_shape(NAME, "bias", bias, 1, out.columns);
        expect_apart(NAME, &[out], &[bias]);
        let bias = work.matrix(NAME, bias);
        sum = Matrix::from_fn(out.rows, out.columns, |row, column| sum.at(row, column) + bias.at(0, column));
    }
    work.put(NAME, out, &sum, options.accumulate);
}

pub(super) fn grouped_product(work: &Work<'_>, product_of_groups: &GroupedProduct, accumulate: bool) {
    let GroupedProduct { outs, lefts, rights, scale } = product_of_groups;
    assert!(outs.len() == lefts.len() && outs.len() == rights.len(), "grouped_product: numbers of groups differ");
    for ((out, left), right) in outs.iter().zip(lefts).zip(rights) {
        let term = ProductTerm { left: *left, right: *right, scale: *scale };
        product(work, *out, &[term], &ProductOptions { accumulate, bias: None });
    }
}

fn read_heads<'a>(work: &'a Work<'_>, operation: &str, heads: Heads) -> HeadRows<'a> {
    let used = used_columns(operation, heads);
    match used.dtype {
        Dtype::F32 => HeadRows::new(work.buffers.rows::<f32>(operation, used), heads.heads, heads.head_width, heads.head_stride),
        _ => HeadRows::new(work.buffers.rows::<bf16>(operation, used), heads.heads, heads.head_width, heads.head_stride),
    }
}

fn write_heads<'a>(work: &'a Work<'_>, operation: &str, heads: Heads) -> HeadRowsMut<'a> {
    let used = used_columns(operation, heads);
    match used.dtype {
        Dtype::F32 => HeadRowsMut::new(work.buffers.rows_mut::<f32>(operation, used), heads.heads, heads.head_width, heads.head_stride),
        _ => HeadRowsMut::new(work.buffers.rows_mut::<bf16>(operation, used), heads.heads, heads.head_width, heads.head_stride),
    }
}

/// Checks that heads which are written are apart from what is read. Heads that interleave in
/// one row, such as those of a fused projection, are apart when they never share a column.
fn expect_heads_apart(operation: &str, outs: &[Heads], ins: &[Heads], tensors: &[Tensor]) {
    let columns = |heads: &Heads| -> Vec<Tensor> {
        let count = if heads.head_stride == heads.head_width { 1 } else { heads.heads };
        let width = heads.heads * heads.head_width / count;
        (0..count).map(|head| heads.tensor.column_range(head * heads.head_stride, width)).collect()
    };
    let outs: Vec<Tensor> = outs.iter().flat_map(columns).collect();
    let ins: Vec<Tensor> = ins.iter().flat_map(columns).chain(tensors.iter().copied()).collect();
    expect_apart(operation, &outs, &ins);
}

pub(super) fn attend(work: &Work<'_>, out: Heads, lse: Tensor, q: Heads, k: Heads, v: Heads, shape: &AttentionShape<'_>) {
    const NAME: &str = "attention";
    expect_heads_apart(NAME, &[out], &[q, k, v], &[lse]);
    for heads in [q, k, v] {
        expect_apart(NAME, &[lse], &[heads.tensor]);
    }
    attention::attention(
        work.context,
        &write_heads(work, NAME, out),
        &work.buffers.rows_mut::<f32>(NAME, lse),
        &read_heads(work, NAME, q),
        &read_heads(work, NAME, k),
        &read_heads(work, NAME, v),
        shape,
    );
}

#[expect(clippy::too_many_arguments, reason = "the operation has them")]
pub(super) fn attend_backward(
    work: &Work<'_>,
    dq: Heads,
    dk: Heads,
    dv: Heads,
    dout: Heads,
    out: Heads,
    lse: Tensor,
    q: Heads,
    k: Heads,
    v: Heads,
    shape: &AttentionShape<'_>,
) {
    const NAME: &str = "attention_backward";
    expect_heads_apart(NAME, &[dq, dk, dv], &[dout, out, q, k, v], &[lse]);
    attention::attention_backward(
        work.context,
        &write_heads(work, NAME, dq),
        &write_heads(work, NAME, dk),
        &write_heads(work, NAME, dv),
        &read_heads(work, NAME, dout),
        &read_heads(work, NAME, out),
        &work.buffers.rows::<f32>(NAME, lse),
        &read_heads(work, NAME, q),
        &read_heads(work, NAME, k),
        &read_heads(work, NAME, v),
        shape,
    );
}

pub(super) fn logits(work: &Work<'_>, out: Tensor, x: Tensor, weight: Tensor, options: &HeadOptions) {
    expect_apart("logits", &[out], &[x, weight]);
    work.put("logits", out, &reference::head::logits(&work.matrix("logits", x), &work.matrix("logits", weight), options), false);
}

/// The tensors of a call of the head; what is missing is not asked for.
#[derive(Clone, Copy)]
pub(super) struct HeadCall {
    /// logp, lse, mean logit, correct.
    pub(super) outputs: Option<[Tensor; 4]>,
    /// dx, dweight.
    pub(super) gradients: Option<(Tensor, Option<Tensor>)>,
    /// Derivatives by logp, lse and mean logit.
    pub(super) derivatives: Option<[Tensor; 3]>,
    pub(super) x: Tensor,
    pub(super) weight: Tensor,
    pub(super) targets: Tensor,
    /// Known from a forward before.
    pub(super) lse: Option<Tensor>,
    pub(super) options: HeadOptions,
}

pub(super) fn head(work: &Work<'_>, operation: &str, call: &HeadCall) {
    let tokens = call.x.rows;
    let outs: Vec<Tensor> = call.outputs.iter().flatten().copied().collect();
    let gradients: Vec<Tensor> = call.gradients.iter().flat_map(|(dx, dweight)| [Some(*dx), *dweight]).flatten().collect();
    let derivatives: Vec<Tensor> = call.derivatives.iter().flatten().copied().collect();
    for tensor in outs.iter().chain(&derivatives).chain(&call.lse).chain([&call.targets]) {
        expect_shape(operation, "a column", *tensor, tokens, 1);
    }
    expect_shape(operation, "weight", call.weight, call.weight.rows, call.x.columns);
    if let Some((dx, dweight)) = call.gradients {
        expect_shape(operation, "dx", dx, tokens, call.x.columns);
        if let Some(dweight) = dweight {
            expect_shape(operation, "dweight", dweight, call.weight.rows, call.weight.columns);
        }
    }
    let written: Vec<Tensor> = outs.iter().chain(&gradients).copied().collect();
    let read: Vec<Tensor> = [call.x, call.weight, call.targets].into_iter().chain(derivatives.iter().copied()).chain(call.lse).collect();
    expect_apart(operation, &written, &read);
    let zero = Matrix::zeros(tokens, 1);
    let derivative = |index: usize| call.derivatives.map_or(zero.clone(), |tensors| work.matrix(operation, tensors[index]));
    let (dlogp, dlse, dmean) = (derivative(0), derivative(1), derivative(2));
    let (x, weight) = (work.matrix(operation, call.x), work.matrix(operation, call.weight));
    let head = reference::head::head(&x, &weight, &work.integers(operation, call.targets), [&dlogp, &dlse, &dmean], &call.options);
    for (tensor, values) in outs.iter().zip([&head.logp, &head.lse, &head.mean, &head.correct]) {
        work.put(operation, *tensor, values, false);
    }
    if let Some((dx, dweight)) = call.gradients {
        work.put(operation, dx, &head.dx, false);
        if let Some(dweight) = dweight {
            work.put(operation, dweight, &head.dweight, true);
        }
    }
}

pub(super) fn sum_of_squares(work: &Work<'_>, out: Tensor, tensors: &[Tensor]) {
    const NAME: &str = "sum_of_squares";
    expect_shape(NAME, "out", out, 1, 1);
    expect_apart(NAME, &[out], tensors);
    let rows: Vec<_> = tensors.iter().map(|tensor| work.buffers.rows::<f32>(NAME, *tensor)).collect();
    let sum = optimizer::sum_of_squares(work.context, &rows);
    // SAFETY: one thread writes.
    unsafe { work.buffers.rows_mut::<f32>(NAME, out).row(0)[0] = sum as f32 };
}

pub(super) fn clip_factor(work: &Work<'_>, out: Tensor, sum_of_squares: Tensor, max_norm: f32) {
    const NAME: &str = "clip_factor";
    expect_shape(NAME, "out", out, 1, 3);
    expect_shape(NAME, "sum of squares", sum_of_squares, 1, 1);
    expect_apart(NAME, &[out], &[sum_of_squares]);
    let sum = work.buffers.rows::<f32>(NAME, sum_of_squares).row(0)[0];
    let factors = optimizer::clip_factor(f64::from(sum), max_norm);
    // SAFETY: one thread writes.
    unsafe { work.buffers.rows_mut::<f32>(NAME, out).row(0).copy_from_slice(&factors) };
}

/// All elements of a dense tensor.
///
/// # Safety
/// No one else uses these elements while the slice lives.
unsafe fn dense<'a, T: crate::cpu::buffers::Kept>(work: &'a Work<'_>, tensor: Tensor) -> &'a mut [T] {
    const NAME: &str = "optimizer_step";
    let rows = work.buffers.rows_mut::<T>(NAME, tensor.reshape(1, tensor.len()));
    // SAFETY: one row, checked by the view; exclusive by this function's contract.
    unsafe { std::slice::from_raw_parts_mut(rows.pointer(), tensor.len()) }
}

pub(super) fn optimizer_step(work: &Work<'_>, updates: &[ParameterUpdate], clip: Tensor) {
    const NAME: &str = "optimizer_step";
    expect_shape(NAME, "clip", clip, 1, 3);
    let tensors = |update: &ParameterUpdate| {
        let ParameterUpdate { weight, remainder, first_moment, second_moment, first_scales, second_scales, .. } = *update;
        [Some(weight), remainder, Some(first_moment), second_moment, first_scales, second_scales].into_iter().flatten().collect::<Vec<_>>()
    };
    // Within one parameter; that two parameters are apart is checked by their buffers' extents,
    // sorted, because comparing all pairs would take as long as the step.
    let mut extents = Vec::new();
    for update in updates {
        let written = tensors(update);
        expect_apart(NAME, &written, &[update.gradient, clip]);
        for tensor in written {
            let bytes = tensor.len() * tensor.dtype.size_bytes();
            extents.push((tensor.buffer.0, tensor.offset_bytes, tensor.offset_bytes + bytes));
        }
    }
    extents.sort_unstable();
    for pair in extents.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1, "{NAME}: two parameters share memory");
    }
    let factors = work.buffers.rows::<f32>(NAME, clip).row(0);
    let clip = [factors[0], factors[1], factors[2]];
    // SAFETY: `dense` is called once for each tensor that is written, and all of them are apart
    // from each other and from the gradients by the checks above; gradients are only read.
    let mut calls: Vec<Update<'_>> = unsafe {
        let moment = |values: Tensor, scales: Option<Tensor>| match scales {
            None => Moment::F32(dense(work, values)),
            Some(scales) => Moment::Coded(dense(work, values), dense(work, scales)),
        };
        updates
            .iter()
            .map(|update| Update {
                weight: match update.remainder {
                    None => Weight::F32(dense(work, update.weight)),
                    Some(remainder) => Weight::Split(dense(work, update.weight), dense(work, remainder)),
                },
                rows: update.weight.rows,
                columns: update.weight.columns,
                gradient: dense::<f32>(work, update.gradient),
                first: moment(update.first_moment, update.first_scales),
                second: update.second_moment.map(|second| moment(second, update.second_scales)),
                rule: update.rule,
                learning_rate: update.learning_rate,
                weight_decay: update.weight_decay,
                update_count: update.update_count,
            })
            .collect()
    };
    optimizer::optimizer_step(work.context, &mut calls, &clip);
}
