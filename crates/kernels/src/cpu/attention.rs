//! Attention over sequences laid end to end, forward and backward.
//!
//! The fast path never keeps the scores of a whole sequence: it walks blocks of keys, with 16
//! queries side by side in the lanes of a vector (Dao et al. 2022). Letters as in `backend`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod backward;
pub(crate) mod exponential;
mod forward;
pub mod heads;
mod kernel;
mod plan;
mod portable;
mod reference;
mod scratch;

use self::heads::{HeadRows, HeadRowsMut};
use crate::backend::AttentionShape;
use crate::context::Context;
use crate::cpu::view::{Rows, RowsMut};
#[cfg(target_arch = "x86_64")]
use crate::dtype::Dtype;
use crate::instruction_set::InstructionSet;

/// `out_thk = softmax(scores) · v`; `lse_th` receives the log of the sum of exponentials.
///
/// Rows that belong to no sequence are left as they are. A sequence gives the same bits
/// whatever other sequences stand beside it, and whatever the number of threads.
///
/// # Shapes
/// `q`, `out` t × h × k; `k`, `v` (rows of keys) × g × k; `lse_th` t × h.
///
/// # Panics
/// When shapes do not fit each other or a sequence lies outside the rows.
pub fn attention(
    context: &Context,
    out: &HeadRowsMut<'_>,
    lse_th: &RowsMut<'_, f32>,
    q: &HeadRows<'_>,
    k: &HeadRows<'_>,
    v: &HeadRows<'_>,
    shape: &AttentionShape<'_>,
) {
    check(q, k, v, shape);
    assert!(out.heads() == q.heads() && out.head_width() == q.head_width() && out.rows() >= q.rows(), "attention: out does not fit q");
    assert!(lse_th.columns == q.heads() && lse_th.rows >= q.rows(), "attention: lse does not fit q");
    let forward = forward::Forward { out, lse_th, q, k, v, shape };
    match context.instruction_set() {
        InstructionSet::Scalar => reference::attention(context, out, lse_th, q, k, v, shape),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => forward::run::<avx2::Path>(context, &forward),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Bf16 if are_bf16([q, k, v]) => forward::run::<avx512::pairs::Path>(context, &forward),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 | InstructionSet::Avx512Bf16 => forward::run::<avx512::plain::Path>(context, &forward),
        _ => forward::run::<portable::Path>(context, &forward),
    }
}

/// Gradients of [`attention`]: `dq`, `dk` and `dv` of every row of a sequence are replaced.
///
/// Probabilities are made again from `lse_th`. The gradients of a key/value head are summed
/// over its query heads in a fixed order by one thread.
///
/// # Panics
/// As [`attention`].
#[expect(clippy::too_many_arguments, reason = "the operation has this many tensors")]
pub fn attention_backward(
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
    check(q, k, v, shape);
    for (name, heads, expected) in [("dq", dq, q), ("dk", dk, k), ("dv", dv, v)] {
        let fits = heads.heads() == expected.heads() && heads.head_width() == expected.head_width() && heads.rows() >= expected.rows();
        assert!(fits, "attention_backward: {name} does not fit its tensor");
    }
    for (name, heads) in [("dout", dout), ("out", out)] {
        let fits = heads.heads() == q.heads() && heads.head_width() == q.head_width() && heads.rows() >= q.rows();
        assert!(fits, "attention_backward: {name} does not fit q");
    }
    assert!(lse_th.columns == q.heads() && lse_th.rows >= q.rows(), "attention_backward: lse does not fit q");
    let backward = backward::Backward { dq, dk, dv, dout, out, lse_th, q, k, v, shape };
    match context.instruction_set() {
        InstructionSet::Scalar => reference::attention_backward(context, dq, dk, dv, dout, out, lse_th, q, k, v, shape),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => backward::run::<avx2::Path>(context, &backward),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Bf16 if are_bf16([q, k, v]) => backward::run::<avx512::pairs::Path>(context, &backward),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 | InstructionSet::Avx512Bf16 => backward::run::<avx512::plain::Path>(context, &backward),
        _ => backward::run::<portable::Path>(context, &backward),
    }
}

/// Whether operands may be rounded to bf16 without a loss.
#[cfg(target_arch = "x86_64")]
fn are_bf16(tensors: [&HeadRows<'_>; 3]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == Dtype::Bf16)
}

fn check(q: &HeadRows<'_>, k: &HeadRows<'_>, v: &HeadRows<'_>, shape: &AttentionShape<'_>) {
    assert!(
        k.heads() > 0 && q.heads().is_multiple_of(k.heads()),
        "attention: found {} query heads for {} key heads, expected a multiple",
        q.heads(),
        k.heads()
    );
    assert!(k.heads() == v.heads() && k.rows() == v.rows(), "attention: keys and values differ in rows or heads");
    assert!(
        q.head_width() == k.head_width() && q.head_width() == v.head_width(),
        "attention: head widths differ, {} {} {}",
        q.head_width(),
        k.head_width(),
        v.head_width()
    );
    plan::check_spans(shape, q.rows(), k.rows());
}
