//! The head against its definition in f64, on every instruction set and both element types.

use apertis_kernels::cpu::head::{
    HeadCoefficients, HeadGradients, HeadInput, HeadMatrix, HeadMatrixMut, HeadOutputs, chunk_rows, head_backward, head_forward, head_loss,
    logits,
};
use apertis_kernels::cpu::view::{Rows, RowsMut};
use apertis_kernels::{Context, Element, HeadOptions, InstructionSet};
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

fn rounded(values: &[f32]) -> Vec<bf16> {
    values.iter().map(|value| Element::from_f32(*value)).collect()
}

struct Case {
    tokens: usize,
    vocabulary: usize,
    width: usize,
    options: HeadOptions,
    /// Every third row has none.
    without_target: bool,
}

/// What the definition says, in f64.
#[derive(Default)]
struct Expected {
    logits: Vec<f64>,
    outputs: [Vec<f64>; 4],
    dx: Vec<f64>,
    dweight: Vec<f64>,
}

fn expected(case: &Case, x: &[f32], weight: &[f32], targets: &[u32], coefficients: [&[f32]; 3]) -> Expected {
    let Case { tokens, vocabulary, width, options, .. } = *case;
    let mut expected = Expected { dx: vec![0.0; tokens * width], dweight: vec![0.0; vocabulary * width], ..Expected::default() };
    for token in 0..tokens {
        let x_d = &x[token * width..(token + 1) * width];
        let row = |column: usize| &weight[column * width..(column + 1) * width];
        let mut slopes = Vec::new();
        let mut logits = Vec::new();
        for column in 0..vocabulary {
            let raw = x_d.iter().zip(row(column)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * f64::from(options.scale);
            let (logit, slope) = match options.soft_cap.map(f64::from) {
                None => (raw, 1.0),
                Some(cap) => (cap * (raw / cap).tanh(), 1.0 - (raw / cap).tanh().powi(2)),
            };
            logits.push(logit);
            slopes.push(slope * f64::from(options.scale));
        }
        expected.logits.extend(&logits);
        let target = targets[token] as usize;
        if target >= vocabulary {
            expected.outputs.iter_mut().for_each(|output| output.push(0.0));
            continue;
        }
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = largest + logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln();
        let correct = if logits[target] >= largest { 1.0 } else { 0.0 };
        let values = [logits[target] - lse, lse, logits.iter().sum::<f64>() / vocabulary as f64, correct];
        expected.outputs.iter_mut().zip(values).for_each(|(output, value)| output.push(value));
        let [dlogp, dlse, dmean] = coefficients.map(|coefficient| f64::from(coefficient[token]));
        for column in 0..vocabulary {
            let probability = (logits[column] - lse).exp();
            let hit = if column == target { 1.0 } else { 0.0 };
            let slope = (dlogp * (hit - probability) + dlse * probability + dmean / vocabulary as f64) * slopes[column];
            for (index, (x, weight)) in x_d.iter().zip(row(column)).enumerate() {
                expected.dx[token * width + index] += slope * f64::from(*weight);
                expected.dweight[column * width + index] += slope * f64::from(*x);
            }
        }
    }
    expected
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

fn close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let bound = tolerance * largest(expected).max(1e-3);
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= bound, "{what}[{index}]: found {found}, expected {expected} ± {bound}");
    }
}

fn run(case: &Case, set: InstructionSet, threads: usize, is_bf16: bool) -> Vec<Vec<f32>> {
    let Case { tokens, vocabulary, width, options, without_target } = *case;
    let context = Context::new(threads, set).expect("available sets make contexts");
    let mut x = numbers(tokens * width, 1);
    let mut weight = numbers(vocabulary * width, 2);
    let (x_bf16, weight_bf16) = (rounded(&x), rounded(&weight));
    if is_bf16 {
        x = x_bf16.iter().map(|value| Element::to_f32(*value)).collect();
        weight = weight_bf16.iter().map(|value| Element::to_f32(*value)).collect();
    }
    let targets: Vec<u32> = (0..tokens as u32)
        .map(|token| if without_target && token % 3 == 1 { u32::MAX } else { token * 7919 % vocabulary as u32 })
        .collect();
    let coefficients = [numbers(tokens, 3), numbers(tokens, 4), numbers(tokens, 5)];
    let expected = expected(case, &x, &weight, &targets, [&coefficients[0], &coefficients[1], &coefficients[2]]);
    let matrix = |values: &[f32], rounded: &[bf16], rows| {
        // SAFETY: both outlive every use below, and nobody writes them.
        unsafe {
            if is_bf16 {
                HeadMatrix::Bf16(Rows::from_pointer(rounded.as_ptr(), rows, width, width))
            } else {
                HeadMatrix::F32(Rows::from_pointer(values.as_ptr(), rows, width, width))
            }
        }
    };
    let input = HeadInput {
        x_td: matrix(&x, &x_bf16, tokens),
        weight_vd: matrix(&weight, &weight_bf16, vocabulary),
        targets_t: Rows::dense(&targets, tokens, 1),
        options,
    };
    let coefficient = |index: usize| Rows::dense(&coefficients[index], tokens, 1);
    let coefficients = HeadCoefficients { dlogp_t: coefficient(0), dlse_t: coefficient(1), dmean_t: coefficient(2) };
    // Products of f32 sum `width` or `vocabulary` terms, each rounded to 2^-24; in bf16 the
    // gradient of a logit is rounded to 2^-9.
    let (exact, coarse) = (1e-5, if is_bf16 { 1e-2 } else { 2e-5 });

    let mut all = vec![0f32; tokens * vocabulary];
    logits(&context, &RowsMut::dense(&mut all, tokens, vocabulary), input.x_td, input.weight_vd, options);
    close("logits", &all, &expected.logits, exact);

    let mut results = vec![all];
    let mut saved_lse = vec![0f32; tokens];
    for fused in [false, true] {
        let mut outputs = vec![vec![f32::NAN; tokens]; 4];
        let mut dx = vec![f32::NAN; tokens * width];
        let mut dweight = vec![1f32; vocabulary * width];
        {
            let [logp, lse, mean, correct] = &mut outputs[..] else { unreachable!("there are four") };
            let outputs = HeadOutputs {
                logp_t: RowsMut::dense(logp, tokens, 1),
                lse_t: RowsMut::dense(lse, tokens, 1),
                mean_logit_t: RowsMut::dense(mean, tokens, 1),
                correct_t: RowsMut::dense(correct, tokens, 1),
            };
            let gradients = HeadGradients {
                dx_td: HeadMatrixMut::F32(RowsMut::dense(&mut dx, tokens, width)),
                dweight_vd: Some(RowsMut::dense(&mut dweight, vocabulary, width)),
            };
            if fused {
                head_loss(&context, &outputs, &gradients, &input, &coefficients);
            } else {
                head_forward(&context, &outputs, &input);
                // SAFETY: nobody writes the outputs any more.
                saved_lse.copy_from_slice(unsafe { std::slice::from_raw_parts(outputs.lse_t.pointer(), tokens) });
                head_backward(&context, &gradients, &input, Rows::dense(&saved_lse, tokens, 1), &coefficients);
            }
        }
        for (index, name) in ["logp", "lse", "mean", "correct"].into_iter().enumerate() {
            close(name, &outputs[index], &expected.outputs[index], exact);
        }
        close("dx", &dx, &expected.dx, coarse);
        let added: Vec<f32> = dweight.iter().map(|value| value - 1.0).collect();
        close("dweight", &added, &expected.dweight, coarse);
        results.extend(outputs);
        results.extend([dx, dweight]);
    }
    for index in 0..6 {
        assert_eq!(results[1 + index], results[7 + index], "the fused head differs from its two halves");
    }
    results
}

#[test]
fn chunks_are_even_and_fit_in_memory() {
    for (rows, vocabulary, expected) in [
        (0, 100, 0),
        (5, 300_000, 5),
        (800, 50_260, 400),
        (1_030, 40, 528),
        // Never fewer than 128, whatever the vocabulary.
        (512, 262_144, 128),
        (130, 262_144, 80),
    ] {
        assert_eq!(chunk_rows(rows, vocabulary), expected, "{rows} rows of {vocabulary}");
    }
}

#[test]
fn head_equals_its_definition() {
    let plain = HeadOptions { scale: 1.0, soft_cap: None };
    let capped = HeadOptions { scale: 0.5, soft_cap: Some(3.0) };
    let cases = [
        Case { tokens: 1, vocabulary: 1, width: 1, options: plain, without_target: false },
        Case { tokens: 1, vocabulary: 300, width: 8, options: plain, without_target: false },
        Case { tokens: 5, vocabulary: 17, width: 12, options: capped, without_target: true },
        Case { tokens: 40, vocabulary: 1031, width: 33, options: plain, without_target: true },
        Case { tokens: 7, vocabulary: 2100, width: 64, options: capped, without_target: false },
        Case { tokens: 0, vocabulary: 9, width: 4, options: plain, without_target: false },
        // More rows than a chunk holds.
        Case { tokens: 1030, vocabulary: 40, width: 8, options: capped, without_target: false },
    ];
    for case in &cases {
        for set in InstructionSet::available() {
            for is_bf16 in [false, true] {
                let one = run(case, set, 1, is_bf16);
                let three = run(case, set, 3, is_bf16);
                assert!(one == three, "{set}: results depend on the number of threads");
            }
        }
    }
}

#[test]
fn every_small_number_of_tokens_ids_and_columns() {
    for size in 1..=40 {
        for (tokens, vocabulary, width) in [(size, 9, 5), (3, size, 6), (4, 19, size)] {
            let options = HeadOptions { scale: 0.7, soft_cap: (size % 2 == 0).then_some(2.0) };
            let case = Case { tokens, vocabulary, width, options, without_target: size % 3 == 0 };
            for set in InstructionSet::available() {
                for is_bf16 in [false, true] {
                    run(&case, set, 2, is_bf16);
                }
            }
        }
    }
}
