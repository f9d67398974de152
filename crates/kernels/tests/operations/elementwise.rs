//! Cases of the operations by element, row and column.

use apertis_kernels::cpu::reference::{Matrix, activation, elementwise};
use apertis_kernels::{Activation, Dtype};

use crate::support::{Bench, KINDS, Kind, SHAPES, plus};

pub(crate) const ACTIVATIONS: [Activation; 5] =
    [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::Relu, Activation::ReluSquared];

pub(crate) fn suite(bench: &Bench) {
    for (rows, columns) in SHAPES {
        for kind in KINDS {
            copies(bench, rows, columns, kind);
            products(bench, rows, columns, kind);
            sums(bench, rows, columns, kind);
            randomness(bench, rows, columns, kind);
            activations(bench, rows, columns, kind);
        }
    }
    moves(bench);
}

/// Rows and columns of any small number.
pub(crate) fn tails(bench: &Bench, size: usize) {
    for kind in KINDS {
        for (rows, columns) in [(2, size), (size, 3)] {
            copies(bench, rows, columns, kind);
            products(bench, rows, columns, kind);
            sums(bench, rows, columns, kind);
            randomness(bench, rows, columns, kind);
            activations(bench, rows, columns, kind);
        }
    }
}

fn copies(bench: &Bench, rows: usize, columns: usize, kind: Kind) {
    let backend = &bench.backend;
    let (x, out) = (bench.input(rows, columns, kind, 1), bench.output(rows, columns, kind));
    backend.copy(out.tensor, x.tensor, 1.0, false);
    bench.expect("copy", &out, &x.values, 1.0);
    let out = bench.output(rows, columns, kind);
    backend.copy(out.tensor, x.tensor, -0.7, true);
    bench.expect("copy, added", &out, &plus(&out.values, &elementwise::copy(&x.values, f64::from(-0.7f32))), 2.0);
    backend.fill(out.tensor, -1.25);
    bench.expect("fill", &out, &x.values.map(|_| -1.25), 0.0);
    backend.sigmoid(out.tensor, x.tensor);
    bench.expect("sigmoid", &out, &elementwise::sigmoid(&x.values), 3.0);
}

fn products(bench: &Bench, rows: usize, columns: usize, kind: Kind) {
    let backend = &bench.backend;
    let (a, b) = (bench.input(rows, columns, kind, 2), bench.input(rows, columns, kind, 3));
    let out = bench.output(rows, columns, kind);
    backend.multiply(out.tensor, a.tensor, b.tensor, true);
    bench.expect("multiply, added", &out, &plus(&out.values, &elementwise::multiply(&a.values, &b.values)), 2.0);
    let row = bench.input(1, columns, kind, 4);
    backend.multiply(out.tensor, a.tensor, row.tensor, false);
    bench.expect("multiply by a row", &out, &elementwise::multiply(&a.values, &row.values), 1.0);
    let factor = bench.input(rows, 1, kind, 5);
    let out = bench.output(rows, columns, kind);
    backend.scale_rows(out.tensor, a.tensor, factor.tensor, true);
    bench.expect("scale_rows, added", &out, &plus(&out.values, &elementwise::scale_rows(&a.values, &factor.values)), 2.0);
    if kind.input == kind.output {
        backend.multiply(a.tensor, a.tensor, b.tensor, false);
        bench.expect("multiply in place", &a, &elementwise::multiply(&a.values, &b.values), 1.0);
    }
    let squares = bench.plain(&b.values.map(|value| value * value + 0.01));
    let numerator = bench.plain(&a.values);
    let out = bench.plain(&a.values);
    backend.divide_by_root(out.tensor, numerator.tensor, squares.tensor);
    bench.expect("divide_by_root", &out, &elementwise::divide_by_root(&numerator.values, &squares.values), 3.0);
}

fn sums(bench: &Bench, rows: usize, columns: usize, kind: Kind) {
    let backend = &bench.backend;
    let (a, b) = (bench.input(rows, columns, kind, 6), bench.input(rows, columns, kind, 7));
    // A sum of n rounded products, relative to the sum of their sizes: terms may cancel.
    let error = |terms: usize, sizes: &Matrix, expected: &Matrix| {
        let largest = |matrix: &Matrix| matrix.values().iter().fold(1e-3f64, |largest, value| largest.max(value.abs()));
        (4.0 + terms as f64) * (largest(sizes) / largest(expected)).max(1.0)
    };
    let (a_sizes, b_sizes) = (a.values.map(f64::abs), b.values.map(f64::abs));
    for second in [None, Some(&b)] {
        let out = bench.output(1, columns, Kind { output: Dtype::F32, ..kind });
        backend.column_sum(out.tensor, a.tensor, second.map(|b| b.tensor), 0.5);
        let expected = plus(&out.values, &elementwise::column_sum(&a.values, second.map(|b| &b.values), 0.5));
        let sizes = plus(&out.values.map(f64::abs), &elementwise::column_sum(&a_sizes, second.map(|_| &b_sizes), 0.5));
        bench.expect("column_sum", &out, &expected, error(rows, &sizes, &expected));
    }
    let out = bench.output(rows, 1, kind);
    backend.row_dot(out.tensor, a.tensor, b.tensor);
    let expected = elementwise::row_dot(&a.values, &b.values);
    bench.expect("row_dot", &out, &expected, error(columns / 4, &elementwise::row_dot(&a_sizes, &b_sizes), &expected));
}

fn randomness(bench: &Bench, rows: usize, columns: usize, kind: Kind) {
    let backend = &bench.backend;
    let (x, out) = (bench.input(rows, columns, kind, 8), bench.output(rows, columns, kind));
    backend.dropout(out.tensor, x.tensor, 0.3, 11);
    let expected = elementwise::dropout(&x.values, 0.3, 11);
    bench.expect("dropout", &out, &expected, 2.0);
    if rows * columns > 10_000 {
        let zeros = expected.values().iter().filter(|value| **value == 0.0).count() as f64 / (rows * columns) as f64;
        assert!((zeros - 0.3).abs() < 0.02, "dropout: {zeros} of the elements are zero, expected 0.3");
    }
    let magnitude = bench.input(rows, 1, kind, 9);
    let x = bench.output(rows, columns, kind);
    backend.add_noise(x.tensor, magnitude.tensor, 12);
    bench.expect("add_noise", &x, &elementwise::add_noise(&x.values, &magnitude.values, 12), 2.0);
}

fn activations(bench: &Bench, rows: usize, columns: usize, kind: Kind) {
    let backend = &bench.backend;
    for function in ACTIVATIONS {
        let gate = bench.place(&crate::support::numbers(rows, columns, 13).map(|value| 3.0 * value), kind.input, kind.gaps);
        let (up, dout) = (bench.input(rows, columns, kind, 14), bench.input(rows, columns, kind, 15));
        for up in [Some(&up), None] {
            let up_tensor = up.map(|up| up.tensor);
            let up_values: Option<&Matrix> = up.map(|up| &up.values);
            let what = format!("{function:?}, {}", if up.is_some() { "gated" } else { "plain" });
            let out = bench.output(rows, columns, kind);
            backend.activate(out.tensor, gate.tensor, up_tensor, function);
            bench.expect(&what, &out, &activation::activate(&gate.values, up_values, function), 6.0);
            let (dgate, dup) = (bench.output(rows, columns, kind), bench.output(rows, columns, kind));
            backend.activate_backward(dgate.tensor, up.map(|_| dup.tensor), dout.tensor, gate.tensor, up_tensor, function);
            let (dgate_values, dup_values) = activation::activate_backward(&dout.values, &gate.values, up_values, function);
            bench.expect(&format!("{what}, dgate"), &dgate, &dgate_values, 12.0);
            if up.is_some() {
                bench.expect(&format!("{what}, dup"), &dup, &dup_values, 6.0);
            }
        }
        // In place, as the training step does it to save memory.
        let (gate, up) = (bench.place(&gate.values, kind.output, kind.gaps), bench.place(&up.values, kind.output, kind.gaps));
        backend.activate_backward(gate.tensor, Some(up.tensor), dout.tensor, gate.tensor, Some(up.tensor), function);
        let (dgate_values, dup_values) = activation::activate_backward(&dout.values, &gate.values, Some(&up.values), function);
        bench.expect("dgate in place", &gate, &dgate_values, 12.0);
        bench.expect("dup in place", &up, &dup_values, 6.0);
    }
}

/// Copies of what is no number.
fn moves(bench: &Bench) {
    let ids: Vec<u32> = (0..200_000u32).map(|id| id.wrapping_mul(2_654_435_761)).collect();
    let (from, to) = (bench.ids(&ids), bench.ids(&vec![0; ids.len()]));
    bench.backend.copy(*to, *from, 1.0, false);
    bench.expect_ids("copy of ids", *to, &ids);
}
