//! Finite differences of every reference: its backward must be the slope of its forward. The
//! references compute in `f64`, so that a central difference of step 1e-5 has an error of about
//! 1e-10 from its third derivative and 1e-11 from rounding, for values near 1.

use apertis_kernels::cpu::reference::{Matrix, activation, elementwise, embedding, experts, head, norm, product, rotary};
use apertis_kernels::{ExpertRouting, HeadOptions, NormKind, NormOptions, RotaryOptions};

use crate::elementwise::ACTIVATIONS;
use crate::support::numbers;

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;

/// The gradient of `Σ dout · forward(x)` by central differences.
pub(crate) fn slope_of(forward: impl Fn(&Matrix) -> Matrix, x: &Matrix, dout: &Matrix) -> Matrix {
    let loss = |x: &Matrix| -> f64 { forward(x).values().iter().zip(dout.values()).map(|(out, dout)| out * dout).sum() };
    Matrix::from_fn(x.rows, x.columns, |row, column| {
        let (mut above, mut below) = (x.clone(), x.clone());
        above.add(row, column, STEP);
        below.add(row, column, -STEP);
        (loss(&above) - loss(&below)) / (2.0 * STEP)
    })
}

#[track_caller]
fn check(what: &str, forward: impl Fn(&Matrix) -> Matrix, x: &Matrix, dout: &Matrix, backward: &Matrix) {
    let slopes = slope_of(forward, x, dout);
    for (index, (slope, backward)) in slopes.values().iter().zip(backward.values()).enumerate() {
        assert!(
            (slope - backward).abs() <= TOLERANCE * slope.abs().max(1.0),
            "{what}: element {index} has slope {slope}, backward {backward}"
        );
    }
}

#[test]
fn elementwise_backwards_are_slopes() {
    let (a, b, dout) = (numbers(4, 5, 1), numbers(4, 5, 2), numbers(4, 5, 3));
    check("multiply", |a| elementwise::multiply(a, &b), &a, &dout, &elementwise::multiply(&dout, &b));
    let (row, drow) = (numbers(1, 5, 4), elementwise::column_sum(&dout, Some(&a), 1.0));
    check("multiply by a row", |row| elementwise::multiply(&a, row), &row, &dout, &drow);
    let (factor, dfactor) = (numbers(4, 1, 5), elementwise::row_dot(&dout, &a));
    check("scale_rows, factor", |factor| elementwise::scale_rows(&a, factor), &factor, &dout, &dfactor);
    check("scale_rows", |a| elementwise::scale_rows(a, &factor), &a, &dout, &elementwise::scale_rows(&dout, &factor));
    check("dropout", |a| elementwise::dropout(a, 0.4, 7), &a, &dout, &elementwise::dropout(&dout, 0.4, 7));
}

#[test]
fn activation_backwards_are_slopes() {
    // No value is within a step of the corner of Relu.
    let (gate, up, dout) = (numbers(9, 8, 1).map(|value| 4.0 * value + 0.001), numbers(9, 8, 2), numbers(9, 8, 3));
    for function in ACTIVATIONS {
        let (dgate, dup) = activation::activate_backward(&dout, &gate, Some(&up), function);
        check(&format!("{function:?}"), |gate| activation::activate(gate, Some(&up), function), &gate, &dout, &dgate);
        check(&format!("{function:?}, up"), |up| activation::activate(&gate, Some(up), function), &up, &dout, &dup);
        let (dgate, _) = activation::activate_backward(&dout, &gate, None, function);
        check(&format!("{function:?}, plain"), |gate| activation::activate(gate, None, function), &gate, &dout, &dgate);
    }
}

#[test]
fn norm_backwards_are_slopes() {
    for kind in [NormKind::Rms, NormKind::Layer] {
        for (width, parameter_columns, weight_offset) in [(6, 6, 0.0), (3, 3, 1.0), (2, 6, 0.0)] {
            let options = NormOptions { kind, epsilon: 1e-2, weight_offset, group_columns: width };
            let (x, dout) = (numbers(4, 6, 1), numbers(4, 6, 2));
            let (weight, bias) = (numbers(1, parameter_columns, 3), numbers(1, parameter_columns, 4));
            let (_, stats) = norm::norm(&x, Some(&weight), Some(&bias), &options);
            let (dx, dweight, dbias) = norm::norm_backward(&dout, &x, &stats, Some(&weight), parameter_columns, &options);
            check("norm", |x| norm::norm(x, Some(&weight), Some(&bias), &options).0, &x, &dout, &dx);
            check("norm, weight", |weight| norm::norm(&x, Some(weight), Some(&bias), &options).0, &weight, &dout, &dweight);
            check("norm, bias", |bias| norm::norm(&x, Some(&weight), Some(bias), &options).0, &bias, &dout, &dbias);
        }
    }
}

#[test]
fn rotary_backwards_are_slopes() {
    let table = Matrix::from_fn(5, 4, |row, column| {
        let angle = row as f64 * 0.7 + (column % 2) as f64;
        if column < 2 { angle.cos() } else { angle.sin() }
    });
    for interleaved in [false, true] {
        let (x, dout, rows) = (numbers(3, 12, 1), numbers(3, 12, 2), [4, 0, 2]);
        let options = |inverse: bool| RotaryOptions { rotary_width: 4, interleaved, inverse };
        let dx = rotary::rotary(&dout, 2, 6, &table, &rows, &options(true));
        check("rotary", |x| rotary::rotary(x, 2, 6, &table, &rows, &options(false)), &x, &dout, &dx);
    }
}

#[test]
fn embedding_and_product_backwards_are_slopes() {
    let (table, ids, dout) = (numbers(5, 3, 1), [4, 0, 4, 2], numbers(4, 3, 2));
    let dtable = embedding::embed_backward(5, &dout, &ids, 1.5);
    check("embed", |table| embedding::embed(table, &ids, 1.5), &table, &dout, &dtable);
    let (left, right, dout) = (numbers(3, 4, 3), numbers(4, 5, 4), numbers(3, 5, 5));
    let dleft = product::product(&dout, &product::transpose(&right), 0.5);
    check("product, left", |left| product::product(left, &right, 0.5), &left, &dout, &dleft);
    let dright = product::product(&product::transpose(&left), &dout, 0.5);
    check("product, right", |right| product::product(&left, right, 0.5), &right, &dout, &dright);
}

#[test]
fn expert_backwards_are_slopes() {
    for normalize in [false, true] {
        let routing = ExpertRouting { choices: 2, normalize };
        let (logits, dweights) = (numbers(6, 5, 1).map(|value| 3.0 * value), numbers(6, 2, 2));
        let routed = experts::route(&logits, &routing);
        let dlogits = experts::route_backward(&dweights, &routed.probabilities, &routed.experts, &routed.weights, &routing);
        check("route", |logits| experts::route(logits, &routing).weights, &logits, &dweights, &dlogits);
        let (y, weights, dout) = (numbers(12, 3, 3), numbers(6, 2, 4), numbers(6, 3, 5));
        let (dy, dweights) = experts::combine_pairs_backward(&dout, &y, &routed.order, &weights, 2);
        check("combine_pairs", |y| experts::combine_pairs(y, &routed.order, Some(&weights), 2), &y, &dout, &dy);
        check("combine_pairs, weights", |weights| experts::combine_pairs(&y, &routed.order, Some(weights), 2), &weights, &dout, &dweights);
        let (x, dpairs) = (numbers(6, 3, 6), numbers(12, 3, 7));
        let dx = experts::combine_pairs(&dpairs, &routed.order, None, 2);
        check("gather_pairs", |x| experts::gather_pairs(x, &routed.order, 2), &x, &dpairs, &dx);
    }
}

#[test]
fn head_backwards_are_slopes() {
    for (scale, soft_cap) in [(1.0, None), (0.7, Some(2.0))] {
        let options = HeadOptions { scale, soft_cap };
        let (x, weight, targets) = (numbers(4, 3, 1), numbers(6, 3, 2), [5, 0, u32::MAX, 2]);
        let derivatives = [numbers(4, 1, 3), numbers(4, 1, 4), numbers(4, 1, 5)];
        let [dlogp, dlse, dmean] = &derivatives;
        let all = Matrix::from_fn(4, 3, |row, column| derivatives[column].at(row, 0));
        let run = |x: &Matrix, weight: &Matrix| head::head(x, weight, &targets, [dlogp, dlse, dmean], &options);
        let outputs = |x: &Matrix, weight: &Matrix| {
            let head = run(x, weight);
            Matrix::from_fn(4, 3, |row, column| [&head.logp, &head.lse, &head.mean][column].at(row, 0))
        };
        let head = run(&x, &weight);
        check("head, x", |x| outputs(x, &weight), &x, &all, &head.dx);
        check("head, weight", |weight| outputs(&x, weight), &weight, &all, &head.dweight);
    }
}
