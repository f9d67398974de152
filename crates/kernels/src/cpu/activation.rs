//! The pointwise functions of the channel, alone or gated, forward and backward in one pass.

use crate::backend::Activation;
use crate::cpu::buffers::{expect_apart, expect_apart_or_same, expect_shape};
use crate::cpu::functions::{Arithmetic, erf, exp, sigmoid, with_arithmetic};
use crate::cpu::operand::CHUNK;
use crate::cpu::reference::activation as reference;
use crate::cpu::work::{Work, flatten, for_tiles};
use crate::instruction_set::vectorized;
use crate::tensor::Tensor;

/// √(2/π), of the tanh form of Gelu.
const GELU_SCALE: f32 = 0.797_884_6;
/// Hendrycks and Gimpel 2016.
const GELU_CUBE: f32 = 0.044_715;
/// 1/√(2π), the density of the normal distribution at 0.
const DENSITY: f32 = 0.398_942_3;

pub(super) fn activate(work: &Work<'_>, out: Tensor, gate: Tensor, up: Option<Tensor>, activation: Activation) {
    expect_shape("activate", "out", out, gate.rows, gate.columns);
    expect_apart_or_same("activate", out, &[gate]);
    if let Some(up) = up {
        expect_shape("activate", "up", up, gate.rows, gate.columns);
        expect_apart_or_same("activate", out, &[up]);
    }
    if work.is_scalar() {
        let up = work.optional_matrix("activate", up);
        return work.put("activate", out, &reference::activate(&work.matrix("activate", gate), up.as_ref(), activation), false);
    }
    let (mut sink, mut gate) = (work.buffers.sink("activate", out), work.buffers.source("activate", gate));
    let mut up = up.map(|up| work.buffers.source("activate", up));
    match &mut up {
        Some(up) => flatten(&mut sink, [&mut gate, up]),
        None => flatten(&mut sink, [&mut gate]),
    }
    let set = work.instruction_set();
    let scratch = || [[1.0; CHUNK]; 2];
    for_tiles(work.context, sink.rows, sink.columns, scratch, |[x, y], tile| {
        let (x, y) = (&mut x[..tile.count], &mut y[..tile.count]);
        gate.load(set, tile.row, tile.start, x);
        if let Some(up) = &up {
            up.load(set, tile.row, tile.start, y);
        }
        match activation {
            Activation::Silu => with_arithmetic!(forward, set, x, y, Silu),
            Activation::Gelu => with_arithmetic!(forward, set, x, y, Gelu),
            Activation::GeluTanh => with_arithmetic!(forward, set, x, y, GeluTanh),
            Activation::Relu => with_arithmetic!(forward, set, x, y, Relu),
            Activation::ReluSquared => with_arithmetic!(forward, set, x, y, ReluSquared),
        }
        // SAFETY: tiles are disjoint.
        unsafe { sink.store(set, tile.row, tile.start, x) };
    });
}

pub(super) fn activate_backward(
    work: &Work<'_>,
    dgate: Tensor,
    dup: Option<Tensor>,
    dout: Tensor,
    gate: Tensor,
    up: Option<Tensor>,
    activation: Activation,
) {
    const NAME: &str = "activate_backward";
    for (role, tensor) in [("dgate", Some(dgate)), ("dup", dup), ("dout", Some(dout)), ("up", up)] {
        if let Some(tensor) = tensor {
            expect_shape(NAME, role, tensor, gate.rows, gate.columns);
        }
    }
    assert_eq!(dup.is_some(), up.is_some(), "{NAME}: found one of up and dup, expected both or none");
    let ins: Vec<Tensor> = [Some(dout), Some(gate), up].into_iter().flatten().collect();
    expect_apart_or_same(NAME, dgate, &ins);
    if let Some(dup) = dup {
        expect_apart_or_same(NAME, dup, &ins);
        expect_apart(NAME, &[dgate, dup], &[]);
    }
    if work.is_scalar() {
        let up = work.optional_matrix(NAME, up);
        let (dgate_values, dup_values) =
            reference::activate_backward(&work.matrix(NAME, dout), &work.matrix(NAME, gate), up.as_ref(), activation);
        work.put(NAME, dgate, &dgate_values, false);
        if let Some(dup) = dup {
            work.put(NAME, dup, &dup_values, false);
        }
        return;
    }
    let (mut dgate, mut dout, mut gate) =
        (work.buffers.sink(NAME, dgate), work.buffers.source(NAME, dout), work.buffers.source(NAME, gate));
    let mut gated = dup.zip(up).map(|(dup, up)| (work.buffers.sink(NAME, dup), work.buffers.source(NAME, up)));
    match &mut gated {
        Some((dup, up)) if dup.is_dense() => {
            flatten(&mut dgate, [&mut dout, &mut gate, up]);
            if dgate.rows != dup.rows {
                *dup = dup.flattened();
            }
        }
        Some(_) => {}
        None => flatten(&mut dgate, [&mut dout, &mut gate]),
    }
    let set = work.instruction_set();
    let scratch = || [[1.0; CHUNK]; 3];
    for_tiles(work.context, dgate.rows, dgate.columns, scratch, |[d, x, y], tile| {
        let (d, x, y) = (&mut d[..tile.count], &mut x[..tile.count], &mut y[..tile.count]);
        dout.load(set, tile.row, tile.start, d);
        gate.load(set, tile.row, tile.start, x);
        match &gated {
            Some((_, up)) => up.load(set, tile.row, tile.start, y),
            None => y.fill(1.0),
        }
        match activation {
            Activation::Silu => with_arithmetic!(backward, set, d, x, y, Silu),
            Activation::Gelu => with_arithmetic!(backward, set, d, x, y, Gelu),
            Activation::GeluTanh => with_arithmetic!(backward, set, d, x, y, GeluTanh),
            Activation::Relu => with_arithmetic!(backward, set, d, x, y, Relu),
            Activation::ReluSquared => with_arithmetic!(backward, set, d, x, y, ReluSquared),
        }
        // SAFETY: tiles are disjoint, and so are the two outputs.
        unsafe {
            dgate.store(set, tile.row, tile.start, x);
            if let Some((dup, _)) = &gated {
                dup.store(set, tile.row, tile.start, y);
            }
        }
    });
}

/// A function and its slope, as types, so that each gets its own loop.
trait Curve: Copy {
    fn value<A: Arithmetic>(self, x: f32) -> f32;
    fn value_and_slope<A: Arithmetic>(self, x: f32) -> (f32, f32);
}

vectorized! {
    /// `x = act(x) · y`.
    fn forward<A: Arithmetic, C: Curve>(_arithmetic: A, x: &mut [f32], y: &[f32], curve: C) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = curve.value::<A>(*x) * y;
        }
    }
}

vectorized! {
    /// `x, y = d · y · act'(x), d · act(x)`.
    fn backward<A: Arithmetic, C: Curve>(_arithmetic: A, d: &[f32], x: &mut [f32], y: &mut [f32], curve: C) {
        for ((d, x), y) in d.iter().zip(x).zip(y) {
            let (value, slope) = curve.value_and_slope::<A>(*x);
            *x = d * *y * slope;
            *y = d * value;
        }
    }
}

#[derive(Clone, Copy)]
struct Silu;
impl Curve for Silu {
    #[inline(always)]
    fn value<A: Arithmetic>(self, x: f32) -> f32 {
        x * sigmoid::<A>(x)
    }
    #[inline(always)]
    fn value_and_slope<A: Arithmetic>(self, x: f32) -> (f32, f32) {
        let s = sigmoid::<A>(x);
        (x * s, s * (1.0 + x * (1.0 - s)))
    }
}

#[derive(Clone, Copy)]
struct Gelu;
impl Curve for Gelu {
    #[inline(always)]
    fn value<A: Arithmetic>(self, x: f32) -> f32 {
        0.5 * x * (1.0 + erf::<A>(x * std::f32::consts::FRAC_1_SQRT_2))
    }
    #[inline(always)]
    fn value_and_slope<A: Arithmetic>(self, x: f32) -> (f32, f32) {
        let below = 0.5 * (1.0 + erf::<A>(x * std::f32::consts::FRAC_1_SQRT_2));
        (x * below, below + x * DENSITY * exp::<A>(-0.5 * x * x))
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;
impl GeluTanh {
    /// Half of `1 + tanh(u)` is `sigmoid(2u)`: one exponential, and no cancellation below 0.
    #[inline(always)]
    fn half<A: Arithmetic>(x: f32) -> f32 {
        sigmoid::<A>(2.0 * GELU_SCALE * A::multiply_add(GELU_CUBE * x * x, x, x))
    }
}
impl Curve for GeluTanh {
    #[inline(always)]
    fn value<A: Arithmetic>(self, x: f32) -> f32 {
        x * Self::half::<A>(x)
    }
    #[inline(always)]
    fn value_and_slope<A: Arithmetic>(self, x: f32) -> (f32, f32) {
        let half = Self::half::<A>(x);
        let inner = 2.0 * GELU_SCALE * A::multiply_add(3.0 * GELU_CUBE * x, x, 1.0);
        (x * half, half + x * half * (1.0 - half) * inner)
    }
}

#[derive(Clone, Copy)]
struct Relu;
impl Curve for Relu {
    #[inline(always)]
    fn value<A: Arithmetic>(self, x: f32) -> f32 {
        // NaN stays: the comparison is false for it.
        if x <= 0.0 { 0.0 } else { x }
    }
    #[inline(always)]
    fn value_and_slope<A: Arithmetic>(self, x: f32) -> (f32, f32) {
        (self.value::<A>(x), if x > 0.0 { 1.0 } else { 0.0 })
    }
}

#[derive(Clone, Copy)]
struct ReluSquared;
impl Curve for ReluSquared {
    #[inline(always)]
    fn value<A: Arithmetic>(self, x: f32) -> f32 {
        let x = Relu.value::<A>(x);
        x * x
    }
    #[inline(always)]
    fn value_and_slope<A: Arithmetic>(self, x: f32) -> (f32, f32) {
        let x = Relu.value::<A>(x);
        (x * x, 2.0 * x)
    }
}
