//! Slow reference of the rotation by position.

use super::Matrix;
use crate::backend::RotaryOptions;

/// Rotates the heads of `x`, head `i` of which starts at column `i · head_stride`.
pub fn rotary(x: &Matrix, heads: usize, head_stride: usize, table: &Matrix, table_rows: &[u32], options: &RotaryOptions) -> Matrix {
    let pairs = options.rotary_width / 2;
    let mut out = x.clone();
    for (row, table_row) in table_rows.iter().enumerate() {
        for head in 0..heads {
            for pair in 0..pairs {
                let start = head * head_stride;
                let (first, second) =
                    if options.interleaved { (start + 2 * pair, start + 2 * pair + 1) } else { (start + pair, start + pair + pairs) };
                let cosine = table.at(*table_row as usize, pair);
                let sine = table.at(*table_row as usize, pairs + pair) * if options.inverse { -1.0 } else { 1.0 };
                out.set(row, first, x.at(row, first) * cosine - x.at(row, second) * sine);
                out.set(row, second, x.at(row, second) * cosine + x.at(row, first) * sine);
            }
        }
    }
    out
}
