//! Rotation of heads by position, in place.

use crate::backend::{Heads, RotaryOptions};
use crate::cpu::buffers::{Kept, expect_apart, expect_shape};
use crate::cpu::reference::rotary as reference;
use crate::cpu::work::{Work, for_row_ranges};
use crate::dtype::{Dtype, Element};
use crate::instruction_set::vectorized;
use crate::tensor::Tensor;

const NAME: &str = "rotary";

/// The columns of a tensor that its heads use.
pub(super) fn used_columns(operation: &str, heads: Heads) -> Tensor {
    assert!(heads.heads > 0 && heads.head_stride >= heads.head_width, "{operation}: heads of {} columns overlap", heads.head_width);
    heads.tensor.column_range(0, (heads.heads - 1) * heads.head_stride + heads.head_width)
}

pub(super) fn rotary(work: &Work<'_>, heads: Heads, table: Tensor, table_rows: Tensor, options: &RotaryOptions) {
    let x = used_columns(NAME, heads);
    assert!(
        options.rotary_width.is_multiple_of(2) && options.rotary_width <= heads.head_width,
        "{NAME}: found a rotary width of {}, expected an even one up to {}",
        options.rotary_width,
        heads.head_width
    );
    expect_shape(NAME, "table", table, table.rows, options.rotary_width);
    expect_shape(NAME, "table rows", table_rows, x.rows, 1);
    expect_apart(NAME, &[x], &[table, table_rows]);
    let numbers = work.integers(NAME, table_rows);
    if let Some(number) = numbers.iter().find(|number| **number as usize >= table.rows) {
        panic!("{NAME}: found row {number} of a table of {} rows", table.rows);
    }
    match x.dtype {
        _ if work.is_scalar() => {
            let result =
                reference::rotary(&work.matrix(NAME, x), heads.heads, heads.head_stride, &work.matrix(NAME, table), &numbers, options);
            work.put(NAME, x, &result, false);
        }
        Dtype::F32 => rotate::<f32>(work, x, heads, table, &numbers, options),
        _ => rotate::<half::bf16>(work, x, heads, table, &numbers, options),
    }
}

fn rotate<T: Element + Kept>(work: &Work<'_>, x: Tensor, heads: Heads, table: Tensor, numbers: &[u32], options: &RotaryOptions) {
    let rows = work.buffers.rows_mut::<T>(NAME, x);
    let table = work.buffers.rows::<f32>(NAME, table);
    let set = work.instruction_set();
    let sign = if options.inverse { -1.0 } else { 1.0 };
    for_row_ranges(work.context, x.rows, x.columns, |range| {
        for row in range {
            let (cosines, sines) = table.row(numbers[row] as usize).split_at(options.rotary_width / 2);
            // SAFETY: each row is written by one task.
            let values = unsafe { rows.row(row) };
            if options.interleaved {
                rotate_neighbours(set, values, heads.head_stride, cosines, sines, sign);
            } else {
                rotate_halves(set, values, heads.head_stride, cosines, sines, sign);
            }
        }
    });
}

vectorized! {
    fn rotate_halves<T: Element>(values: &mut [T], head_stride: usize, cosines: &[f32], sines: &[f32], sign: f32) {
        for head in values.chunks_mut(head_stride) {
            let (first, rest) = head.split_at_mut(cosines.len());
            for (((first, second), cosine), sine) in first.iter_mut().zip(&mut rest[..cosines.len()]).zip(cosines).zip(sines) {
                let (x, y, sine) = (first.to_f32(), second.to_f32(), sine * sign);
                *first = T::from_f32(x * cosine - y * sine);
                *second = T::from_f32(y * cosine + x * sine);
            }
        }
    }
}

vectorized! {
    fn rotate_neighbours<T: Element>(values: &mut [T], head_stride: usize, cosines: &[f32], sines: &[f32], sign: f32) {
        for head in values.chunks_mut(head_stride) {
            for ((pair, cosine), sine) in head[..2 * cosines.len()].chunks_exact_mut(2).zip(cosines).zip(sines) {
                let (x, y, sine) = (pair[0].to_f32(), pair[1].to_f32(), sine * sign);
                pair[0] = T::from_f32(x * cosine - y * sine);
                pair[1] = T::from_f32(y * cosine + x * sine);
            }
        }
    }
}
