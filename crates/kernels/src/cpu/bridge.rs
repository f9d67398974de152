//! Operations whose loops live in folders of their own (products, attention, head, optimizer):
//! here tensors become the views that those take.

use half::bf16;

use crate::backend::{AttentionShape, GroupedProduct, HeadOptions, Heads, MatrixView, ParameterUpdate, ProductOptions, ProductTerm};
use crate::cpu::attention::{self, heads::HeadRows, heads::HeadRowsMut};
use crate::cpu::buffers::{Kept, expect_apart, expect_many_apart, expect_shape};
use crate::cpu::head::{self, HeadCoefficients, HeadGradients, HeadInput, HeadMatrix, HeadMatrixMut, HeadOutputs};
use crate::cpu::matmul::{self, DataRef, Epilogue, MatrixRef, Output, Product, Term};
use crate::cpu::optimizer::{self, Moment, Update, Weight};
use crate::cpu::rotary::used_columns;
use crate::cpu::work::Work;
use crate::dtype::Dtype;
use crate::tensor::Tensor;

/// The elements of a tensor from the first to the last, gaps between rows included.
///
/// # Safety
/// Nobody writes these elements while the slice lives.
unsafe fn span<'a, T: Kept>(work: &'a Work<'_>, operation: &str, tensor: Tensor) -> &'a [T] {
    let rows = work.buffers.rows::<T>(operation, tensor);
    let count = if tensor.is_empty() { 0 } else { (tensor.rows - 1) * tensor.row_stride + tensor.columns };
    // SAFETY: checked by the view; unchanged by this function's contract.
    unsafe { std::slice::from_raw_parts(rows.pointer(), count) }
}

fn data<'a>(work: &'a Work<'_>, operation: &str, tensor: Tensor) -> DataRef<'a> {
    // SAFETY: callers check that what they write is apart from what they read.
    unsafe {
        match tensor.dtype {
            Dtype::F32 => DataRef::F32(span(work, operation, tensor)),
            Dtype::Bf16 => DataRef::Bf16(span(work, operation, tensor)),
            _ => DataRef::F16(span(work, operation, tensor)),
        }
    }
}

fn matrix<'a>(work: &'a Work<'_>, operation: &str, view: MatrixView) -> MatrixRef<'a> {
    let tensor = view.tensor;
    let matrix = MatrixRef::new(data(work, operation, tensor), tensor.rows, tensor.columns, tensor.row_stride);
    if view.transposed { matrix.transposed() } else { matrix }
}

fn output<'a>(work: &'a Work<'_>, operation: &str, out: Tensor) -> Output<'a> {
    match out.dtype {
        Dtype::F32 => Output::F32(work.buffers.rows_mut(operation, out)),
        _ => Output::Bf16(work.buffers.rows_mut(operation, out)),
    }
}

pub(super) fn product(work: &Work<'_>, out: Tensor, terms: &[ProductTerm], options: &ProductOptions) {
    const NAME: &str = "product";
    for term in terms {
        expect_apart(NAME, &[out], &[term.left.tensor, term.right.tensor]);
    }
    if let Some(bias) = options.bias {
        expect_shape(NAME, "bias", bias, 1, out.columns);
        expect_apart(NAME, &[out], &[bias]);
    }
    let terms: Vec<Term<'_>> = terms
        .iter()
        .map(|term| Term { left: matrix(work, NAME, term.left), right: matrix(work, NAME, term.right), scale: term.scale })
        .collect();
    let epilogue = Epilogue { accumulate: options.accumulate, bias: options.bias.map(|bias| data(work, NAME, bias)) };
    matmul::product(work.context, output(work, NAME, out), &terms, &epilogue);
}

pub(super) fn grouped_product(work: &Work<'_>, product: &GroupedProduct, accumulate: bool) {
    const NAME: &str = "grouped_product";
    let GroupedProduct { outs, lefts, rights, scale } = product;
    assert!(outs.len() == lefts.len() && outs.len() == rights.len(), "{NAME}: numbers of groups differ");
    let ins: Vec<Tensor> = lefts.iter().chain(rights).map(|view| view.tensor).collect();
    expect_many_apart(NAME, outs, &ins);
    let terms: Vec<[Term<'_>; 1]> = lefts
        .iter()
        .zip(rights)
        .map(|(left, right)| [Term { left: matrix(work, NAME, *left), right: matrix(work, NAME, *right), scale: *scale }])
        .collect();
    let products: Vec<Product<'_>> = outs
        .iter()
        .zip(&terms)
        .map(|(out, terms)| Product { output: output(work, NAME, *out), terms, epilogue: Epilogue { accumulate, bias: None } })
        .collect();
    matmul::products(work.context, &products);
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

fn head_matrix<'a>(work: &'a Work<'_>, operation: &str, tensor: Tensor) -> HeadMatrix<'a> {
    match tensor.dtype {
        Dtype::F32 => HeadMatrix::F32(work.buffers.rows(operation, tensor)),
        _ => HeadMatrix::Bf16(work.buffers.rows(operation, tensor)),
    }
}

pub(super) fn logits(work: &Work<'_>, out: Tensor, x: Tensor, weight: Tensor, options: &HeadOptions) {
    const NAME: &str = "logits";
    expect_apart(NAME, &[out], &[x, weight]);
    head::logits(work.context, &work.buffers.rows_mut(NAME, out), head_matrix(work, NAME, x), head_matrix(work, NAME, weight), *options);
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
    let column = |tensor: Tensor| work.buffers.rows::<f32>(operation, tensor);
    let column_mut = |tensor: Tensor| work.buffers.rows_mut::<f32>(operation, tensor);
    let input = HeadInput {
        x_td: head_matrix(work, operation, call.x),
        weight_vd: head_matrix(work, operation, call.weight),
        targets_t: work.buffers.rows(operation, call.targets),
        options: call.options,
    };
    let outputs = call.outputs.map(|[logp, lse, mean, correct]| HeadOutputs {
        logp_t: column_mut(logp),
        lse_t: column_mut(lse),
        mean_logit_t: column_mut(mean),
        correct_t: column_mut(correct),
    });
    let gradients = call.gradients.map(|(dx, dweight)| HeadGradients {
        dx_td: match dx.dtype {
            Dtype::F32 => HeadMatrixMut::F32(work.buffers.rows_mut(operation, dx)),
            _ => HeadMatrixMut::Bf16(work.buffers.rows_mut(operation, dx)),
        },
        dweight_vd: dweight.map(|dweight| work.buffers.rows_mut(operation, dweight)),
    });
    let derivatives = call.derivatives.map(|[dlogp, dlse, dmean]| HeadCoefficients {
        dlogp_t: column(dlogp),
        dlse_t: column(dlse),
        dmean_t: column(dmean),
    });
    match (&outputs, gradients.as_ref().zip(derivatives.as_ref())) {
        (Some(outputs), Some((gradients, derivatives))) => head::head_loss(work.context, outputs, gradients, &input, derivatives),
        (Some(outputs), None) => head::head_forward(work.context, outputs, &input),
        (None, Some((gradients, derivatives))) => {
            let lse = column(call.lse.expect("a backward alone names the log-sum-exp of its forward"));
            head::head_backward(work.context, gradients, &input, lse, derivatives);
        }
        (None, None) => {}
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
#[expect(clippy::mut_from_ref, reason = "the memory belongs to the backend, not to the lock's guard; the contract keeps users apart")]
unsafe fn dense<'a, T: Kept>(work: &'a Work<'_>, tensor: Tensor) -> &'a mut [T] {
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
    let written: Vec<Tensor> = updates.iter().flat_map(tensors).collect();
    let read: Vec<Tensor> = updates.iter().map(|update| update.gradient).chain([clip]).collect();
    expect_many_apart(NAME, &written, &read);
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
