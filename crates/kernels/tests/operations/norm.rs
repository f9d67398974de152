//! Cases of normalisation and rotation.

use apertis_kernels::cpu::reference::{Matrix, norm, rotary};
use apertis_kernels::{Dtype, Heads, NormKind, NormOptions, RotaryOptions};

use crate::support::{Bench, KINDS, Kind, numbers, plus};

pub(crate) fn suite(bench: &Bench) {
    for kind in KINDS {
        for (rows, groups, width) in [(1, 1, 1), (3, 1, 7), (150, 1, 200), (70, 3, 20), (40, 2, 530)] {
            for norm_kind in [NormKind::Rms, NormKind::Layer] {
                for (shared, weight_offset) in [(true, 0.0), (false, 1.0)] {
                    let options = NormOptions { kind: norm_kind, epsilon: 1e-5, weight_offset, group_columns: width };
                    norms(bench, rows, groups, shared, &options, kind);
                }
            }
        }
        for interleaved in [false, true] {
            for (heads, head_stride, rotary_width) in [(1, 8, 8), (3, 16, 16), (3, 20, 12), (9, 64, 64)] {
                rotations(bench, 40, heads, head_stride, rotary_width, interleaved, kind);
            }
        }
    }
}

/// Rows, widths, heads and rotated columns of any small number.
pub(crate) fn tails(bench: &Bench, size: usize) {
    for kind in KINDS {
        for norm_kind in [NormKind::Rms, NormKind::Layer] {
            for (rows, groups, width, shared) in [(3, 1, size, true), (2, 2, size, false), (size, 1, 5, true), (2, size, 3, true)] {
                let options = NormOptions { kind: norm_kind, epsilon: 1e-5, weight_offset: 0.0, group_columns: width };
                norms(bench, rows, groups, shared, &options, kind);
            }
        }
        for interleaved in [false, true] {
            rotations(bench, size, 2, 24, 8, interleaved, kind);
            rotations(bench, 3, size, 9, 6, interleaved, kind);
            rotations(bench, 3, 2, 40, size.next_multiple_of(2), interleaved, kind);
        }
    }
}

fn norms(bench: &Bench, rows: usize, groups: usize, shared: bool, options: &NormOptions, kind: Kind) {
    let backend = &bench.backend;
    let columns = groups * options.group_columns;
    let x = bench.place(&numbers(rows, columns, 1).map(|value| 2.0 * value + 0.3), kind.input, kind.gaps);
    let parameter_columns = if shared { options.group_columns } else { columns };
    let weight = bench.weight(&numbers(1, parameter_columns, 2), if kind.input == Dtype::Bf16 { Dtype::Bf16 } else { Dtype::F32 });
    let bias = bench.weight(&numbers(1, parameter_columns, 3), Dtype::F32);
    // One value, or two around their mean, hardly change their own normal form: the gradient is a
    // difference of numbers that are almost equal, up to the reciprocal of the root of epsilon in size.
    let is_degenerate = options.group_columns <= 2;
    for parameters in [true, false] {
        let (weight_tensor, weight_values) = if parameters { (Some(weight.tensor), Some(&weight.values)) } else { (None, None) };
        let (bias_tensor, bias_values) = if parameters { (Some(bias.tensor), Some(&bias.values)) } else { (None, None) };
        let (out, stats) = (bench.output(rows, columns, kind), bench.plain(&Matrix::zeros(rows, 2 * groups)));
        backend.norm(out.tensor, stats.tensor, x.tensor, weight_tensor, bias_tensor, options);
        let (out_values, stats_values) = norm::norm(&x.values, weight_values, bias_values, options);
        bench.expect("norm", &out, &out_values, 16.0);
        bench.expect("norm, statistics", &stats, &stats_values, 16.0);

        let dout = bench.input(rows, columns, kind, 4);
        let (dx_values, dweight_values, dbias_values) =
            norm::norm_backward(&dout.values, &x.values, &stats_values, weight_values, parameter_columns, options);
        for accumulate in [false, true] {
            let dx = bench.output(rows, columns, kind);
            let (dweight, dbias) = (bench.plain(&numbers(1, parameter_columns, 5)), bench.plain(&numbers(1, parameter_columns, 6)));
            backend.norm_backward(
                dx.tensor,
                accumulate,
                parameters.then_some(dweight.tensor),
                parameters.then_some(dbias.tensor),
                dout.tensor,
                x.tensor,
                stats.tensor,
                weight_tensor,
                options,
            );
            let expected = if accumulate { plus(&dx.values, &dx_values) } else { dx_values.clone() };
            bench.expect("norm_backward, dx", &dx, &expected, if is_degenerate { 4e4 } else { 64.0 });
            if parameters {
                let terms = (rows * groups) as f64;
                bench.expect("norm_backward, dweight", &dweight, &plus(&dweight.values, &dweight_values), 16.0 + terms);
                bench.expect("norm_backward, dbias", &dbias, &plus(&dbias.values, &dbias_values), 16.0 + terms);
            }
        }
        let in_place = bench.place(&dout.values, kind.output, kind.gaps);
        let (dx_values, _, _) = norm::norm_backward(&in_place.values, &x.values, &stats_values, weight_values, parameter_columns, options);
        backend.norm_backward(in_place.tensor, false, None, None, in_place.tensor, x.tensor, stats.tensor, weight_tensor, options);
        bench.expect("norm_backward in place", &in_place, &dx_values, if is_degenerate { 4e4 } else { 64.0 });
    }
}

fn rotations(bench: &Bench, tokens: usize, heads: usize, head_stride: usize, rotary_width: usize, interleaved: bool, kind: Kind) {
    let backend = &bench.backend;
    let pairs = rotary_width / 2;
    let table = bench.plain(&Matrix::from_fn(100, rotary_width, |row, column| {
        let angle = row as f64 * 0.5f64.powi((column % pairs) as i32);
        if column < pairs { angle.cos() } else { angle.sin() }
    }));
    let table_rows: Vec<u32> = (0..tokens as u32).map(|token| (token * 37 + 5) % 100).collect();
    let ids = bench.ids(&table_rows);
    let head_width = head_stride - head_stride % 8;
    let columns = (heads - 1) * head_stride + head_width;
    for inverse in [false, true] {
        let options = RotaryOptions { rotary_width, interleaved, inverse };
        let x = bench.output(tokens, columns, kind);
        let view = Heads { tensor: x.tensor, heads, head_width, head_stride };
        backend.rotary(view, table.tensor, *ids, &options);
        let expected = rotary::rotary(&x.values, heads, head_stride, &table.values, &table_rows, &options);
        bench.expect(&format!("rotary {options:?}"), &x, &expected, 2.0);
    }
}
