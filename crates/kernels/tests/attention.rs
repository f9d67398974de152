//! Attention on every instruction set against its definition (the `scalar` path), and the
//! definition against finite differences.

use apertis_kernels::cpu::attention::heads::{HeadRows, HeadRowsMut};
use apertis_kernels::cpu::attention::{attention, attention_backward};
use apertis_kernels::cpu::view::{Rows, RowsMut};
use apertis_kernels::{AttentionShape, Context, Element, InstructionSet, SequenceSpan, VisibleSpan};
use half::bf16;

/// Numbers between -1 and 1, the same at every call.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

#[derive(Clone)]
struct Case {
    heads: usize,
    key_heads: usize,
    width: usize,
    /// Queries, keys, and rows between this sequence and the one before.
    sequences: Vec<(usize, usize)>,
    window: Option<usize>,
    soft_cap: Option<f32>,
    visible: Vec<VisibleSpan>,
}

fn case(heads: usize, key_heads: usize, width: usize, sequences: &[(usize, usize)]) -> Case {
    Case { heads, key_heads, width, sequences: sequences.to_vec(), window: None, soft_cap: None, visible: Vec::new() }
}

/// out, lse, dq, dk, dv.
#[derive(Clone, Debug, PartialEq)]
struct Results {
    out: Vec<f32>,
    lse: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
}

struct Inputs {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
}

impl Case {
    fn spans(&self) -> Vec<SequenceSpan> {
        let (mut query_start, mut key_start) = (0, 0);
        self.sequences
            .iter()
            .map(|(query_count, key_count)| {
                let span = SequenceSpan { query_start, query_count: *query_count, key_start, key_count: *key_count };
                query_start += query_count;
                key_start += key_count;
                span
            })
            .collect()
    }
    fn queries(&self) -> usize {
        self.sequences.iter().map(|(queries, _)| queries).sum()
    }
    fn keys(&self) -> usize {
        self.sequences.iter().map(|(_, keys)| keys).sum()
    }
    fn inputs(&self) -> Inputs {
        Inputs {
            q: numbers(self.queries() * self.heads * self.width, 1),
            k: numbers(self.keys() * self.key_heads * self.width, 2),
            v: numbers(self.keys() * self.key_heads * self.width, 3),
            dout: numbers(self.queries() * self.heads * self.width, 4),
        }
    }
    fn scale(&self) -> f32 {
        2.0 / (self.width as f32).sqrt()
    }

    fn run<T: Element>(&self, set: InstructionSet, threads: usize, inputs: &Inputs) -> Results {
        let context = Context::new(threads, set).expect("available sets make contexts");
        let narrow = |values: &[f32]| values.iter().map(|value| T::from_f32(*value)).collect::<Vec<T>>();
        let widen = |values: &[T]| values.iter().map(|value| value.to_f32()).collect::<Vec<f32>>();
        let (q, k, v, dout) = (narrow(&inputs.q), narrow(&inputs.k), narrow(&inputs.v), narrow(&inputs.dout));
        let (queries, keys) = (self.queries(), self.keys());
        let (h, g, w) = (self.heads, self.key_heads, self.width);
        let spans = self.spans();
        let shape =
            AttentionShape { scale: self.scale(), window: self.window, soft_cap: self.soft_cap, sequences: &spans, visible: &self.visible };
        let heads = |data, rows, heads| HeadRows::new(Rows::<T>::dense(data, rows, heads * w), heads, w, w);
        let mut out = vec![T::from_f32(f32::NAN); queries * h * w];
        let mut lse = vec![f32::NAN; queries * h];
        let mut dq = vec![T::from_f32(f32::NAN); queries * h * w];
        let mut dk = vec![T::from_f32(f32::NAN); keys * g * w];
        let mut dv = vec![T::from_f32(f32::NAN); keys * g * w];
        let (q, k, v, dout) = (heads(&q, queries, h), heads(&k, keys, g), heads(&v, keys, g), heads(&dout, queries, h));
        attention(
            &context,
            &HeadRowsMut::new(RowsMut::dense(&mut out, queries, h * w), h, w, w),
            &RowsMut::dense(&mut lse, queries, h),
            &q,
            &k,
            &v,
            &shape,
        );
        attention_backward(
            &context,
            &HeadRowsMut::new(RowsMut::dense(&mut dq, queries, h * w), h, w, w),
            &HeadRowsMut::new(RowsMut::dense(&mut dk, keys, g * w), g, w, w),
            &HeadRowsMut::new(RowsMut::dense(&mut dv, keys, g * w), g, w, w),
            &dout,
            &heads(&out, queries, h),
            &Rows::dense(&lse, queries, h),
            &q,
            &k,
            &v,
            &shape,
        );
        Results { out: widen(&out), lse, dq: widen(&dq), dk: widen(&dk), dv: widen(&dv) }
    }
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    // Where a query sees one key its gradient is a difference of equal numbers of this size.
    let bound = tolerance * largest.max(0.1);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= bound, "{what}[{index}]: found {found}, expected {expected} ± {bound}");
    }
}

fn check(case: &Case) {
    let inputs = case.inputs();
    let exact = case.run::<f32>(InstructionSet::Scalar, 2, &inputs);
    let exact_bf16 = case.run::<bf16>(InstructionSet::Scalar, 2, &inputs);
    for set in InstructionSet::available() {
        let name =
            format!("{set}, {} heads, {} key heads, width {}, sequences {:?}", case.heads, case.key_heads, case.width, case.sequences);
        let found = case.run::<f32>(set, 1, &inputs);
        // Sums of at most a few thousand terms in f32.
        for (what, found, expected) in [
            ("out", &found.out, &exact.out),
            ("lse", &found.lse, &exact.lse),
            ("dq", &found.dq, &exact.dq),
            ("dk", &found.dk, &exact.dk),
            ("dv", &found.dv, &exact.dv),
        ] {
            close(&format!("f32 {what}: {name}"), found, expected, 1e-5);
        }
        assert!(found == case.run::<f32>(set, 3, &inputs), "{name}: f32 results depend on the number of threads");
        let found = case.run::<bf16>(set, 1, &inputs);
        // Operands and results are rounded to 2^-9; the gradients also go through a rounded
        // output.
        for (what, found, expected, tolerance) in [
            ("out", &found.out, &exact_bf16.out, 1e-2),
            ("lse", &found.lse, &exact_bf16.lse, 1e-5),
            ("dq", &found.dq, &exact_bf16.dq, 2e-2),
            ("dk", &found.dk, &exact_bf16.dk, 2e-2),
            ("dv", &found.dv, &exact_bf16.dv, 2e-2),
        ] {
            close(&format!("bf16 {what}: {name}"), found, expected, tolerance);
        }
        assert!(found == case.run::<bf16>(set, 3, &inputs), "{name}: bf16 results depend on the number of threads");
    }
}

#[test]
fn widths_and_groups() {
    for width in [1, 2, 8, 16, 31, 32, 48, 64, 80, 96, 128, 256] {
        check(&case(2, 1, width, &[(21, 21)]));
    }
    for (heads, key_heads) in [(1, 1), (3, 3), (4, 1), (5, 1), (7, 1), (8, 2), (9, 3)] {
        check(&case(heads, key_heads, 16, &[(1, 1), (37, 37), (16, 16), (66, 66)]));
    }
}

#[test]
fn every_small_width_and_length() {
    for size in 1..=40 {
        check(&case(2, 1, size, &[(3, 3), (1, 18)]));
        check(&case(2, 1, 24, &[(size, size), (2, size + 1)]));
        check(&Case { window: Some(size), ..case(1, 1, 7, &[(41, 41)]) });
    }
}

#[test]
fn lengths_and_caches() {
    check(&case(3, 1, 64, &[(1, 1)]));
    check(&case(3, 1, 64, &[(2, 2), (0, 0), (63, 63), (64, 64), (65, 65), (129, 129)]));
    // Decoding over a cache: few queries, many keys; some sequences only keep keys.
    check(&case(3, 1, 32, &[(1, 77), (1, 1), (0, 5), (3, 200), (20, 84)]));
    check(&case(4, 2, 16, &[(1, 1500), (100, 700)]));
    // Long enough to be cut into parts.
    check(&case(2, 1, 16, &[(600, 600), (30, 30)]));
}

#[test]
fn windows_caps_and_spans() {
    for window in [1, 2, 7, 16, 64, 100, 1000] {
        check(&Case { window: Some(window), ..case(2, 1, 16, &[(130, 130), (5, 5), (3, 90)]) });
    }
    check(&Case { window: Some(40), ..case(2, 2, 16, &[(700, 700)]) });
    check(&Case { soft_cap: Some(2.0), ..case(4, 2, 24, &[(70, 70), (2, 40)]) });
    check(&Case { soft_cap: Some(0.5), window: Some(9), ..case(1, 1, 16, &[(70, 70)]) });
    let visible = vec![
        VisibleSpan { sequence: 0, start: 3, end: 50 },
        VisibleSpan { sequence: 0, start: 60, end: 61 },
        VisibleSpan { sequence: 2, start: 0, end: 90 },
        VisibleSpan { sequence: 2, start: 20, end: 40 },
    ];
    check(&Case { visible: visible.clone(), ..case(3, 1, 16, &[(80, 80), (20, 20), (90, 90)]) });
    check(&Case { visible, window: Some(5), ..case(2, 1, 16, &[(80, 80), (20, 20), (90, 90)]) });
}

#[test]
fn packed_sequences_equal_separate_ones_to_the_bit() {
    let sequences = [(17, 17), (64, 64), (5, 80), (1, 1), (130, 130)];
    let packed = case(6, 2, 32, &sequences);
    let inputs = packed.inputs();
    for set in InstructionSet::available() {
        let together = packed.run::<f32>(set, 2, &inputs);
        let (mut query, mut key) = (0, 0);
        for (queries, keys) in sequences {
            let alone = case(6, 2, 32, &[(queries, keys)]);
            let (q, k) = (query * 6 * 32..(query + queries) * 6 * 32, key * 2 * 32..(key + keys) * 2 * 32);
            let part = Inputs {
                q: inputs.q[q.clone()].to_vec(),
                k: inputs.k[k.clone()].to_vec(),
                v: inputs.v[k.clone()].to_vec(),
                dout: inputs.dout[q.clone()].to_vec(),
            };
            let alone = alone.run::<f32>(set, 2, &part);
            assert!(
                alone.out == together.out[q.clone()]
                    && alone.dq == together.dq[q]
                    && alone.dk == together.dk[k.clone()]
                    && alone.dv == together.dv[k],
                "{set}: a sequence of {queries} queries differs when packed"
            );
            query += queries;
            key += keys;
        }
    }
}

#[test]
fn interleaved_heads_leave_their_neighbours_alone() {
    // Rows of head × (query, key, value), as GPT-NeoX keeps them.
    let (heads, width, tokens) = (3, 16, 40);
    let columns = heads * 3 * width;
    let plain = case(heads, heads, width, &[(tokens, tokens)]);
    let inputs = plain.inputs();
    let spans = plain.spans();
    let shape = AttentionShape { scale: plain.scale(), window: None, soft_cap: None, sequences: &spans, visible: &[] };
    let mut qkv = vec![0f32; tokens * columns];
    for row in 0..tokens {
        for head in 0..heads {
            for (part, values) in [&inputs.q, &inputs.k, &inputs.v].into_iter().enumerate() {
                let into = row * columns + (head * 3 + part) * width;
                qkv[into..into + width].copy_from_slice(&values[(row * heads + head) * width..][..width]);
            }
        }
    }
    for set in InstructionSet::available() {
        let context = Context::new(2, set).expect("available sets make contexts");
        let expected = plain.run::<f32>(set, 2, &inputs);
        let view_columns = columns - 2 * width;
        let part = |part: usize| HeadRows::new(Rows::new(&qkv[part * width..], tokens, view_columns, columns), heads, width, 3 * width);
        let mut out = vec![0f32; tokens * heads * width];
        let mut lse = vec![0f32; tokens * heads];
        let mut gradients = vec![7f32; tokens * columns];
        attention(
            &context,
            &HeadRowsMut::new(RowsMut::dense(&mut out, tokens, heads * width), heads, width, width),
            &RowsMut::dense(&mut lse, tokens, heads),
            &part(0),
            &part(1),
            &part(2),
            &shape,
        );
        let pointer = gradients.as_mut_ptr();
        // SAFETY: the three views share the buffer, but no element.
        let gradient = |part: usize| unsafe {
            HeadRowsMut::new(RowsMut::from_pointer(pointer.add(part * width), tokens, view_columns, columns), heads, width, 3 * width)
        };
        attention_backward(
            &context,
            &gradient(0),
            &gradient(1),
            &gradient(2),
            &HeadRows::new(Rows::dense(&inputs.dout, tokens, heads * width), heads, width, width),
            &HeadRows::new(Rows::dense(&out, tokens, heads * width), heads, width, width),
            &Rows::dense(&lse, tokens, heads),
            &part(0),
            &part(1),
            &part(2),
            &shape,
        );
        assert!(out == expected.out && lse == expected.lse, "{set}: the forward differs");
        for row in 0..tokens {
            for head in 0..heads {
                for (part, expected) in [&expected.dq, &expected.dk, &expected.dv].into_iter().enumerate() {
                    let from = row * columns + (head * 3 + part) * width;
                    assert_eq!(
                        gradients[from..from + width],
                        expected[(row * heads + head) * width..][..width],
                        "{set} row {row} part {part}"
                    );
                }
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let cases = [
        Case { soft_cap: Some(1.5), ..case(2, 1, 4, &[(4, 4), (2, 5)]) },
        Case { window: Some(2), visible: vec![VisibleSpan { sequence: 0, start: 1, end: 4 }], ..case(2, 2, 3, &[(5, 5)]) },
    ];
    for case in cases {
        let inputs = case.inputs();
        let results = case.run::<f32>(InstructionSet::Scalar, 1, &inputs);
        // The loss is dout · out, so that dout is its derivative.
        let loss = |inputs: &Inputs| -> f64 {
            let out = case.run::<f32>(InstructionSet::Scalar, 1, inputs).out;
            out.iter().zip(&inputs.dout).map(|(out, dout)| f64::from(*out) * f64::from(*dout)).sum()
        };
        type Pick = fn(&mut Inputs) -> &mut Vec<f32>;
        let tensors: [(Pick, &Vec<f32>); 3] = [(|i| &mut i.q, &results.dq), (|i| &mut i.k, &results.dk), (|i| &mut i.v, &results.dv)];
        for (tensor, gradient) in tensors {
            for (index, found) in gradient.iter().enumerate() {
                let moved = |step: f32| {
                    let mut inputs = case.inputs();
                    tensor(&mut inputs)[index] += step;
                    loss(&inputs)
                };
                // Error of the difference: step² from the curve, 1e-7 / step from rounding.
                let step = 4e-3;
                let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                assert!((f64::from(*found) - expected).abs() <= 2e-4, "[{index}]: found {found}, expected {expected}");
            }
        }
    }
}
