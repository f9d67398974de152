//! The optimizers against their formulas in f64, on every instruction set, with both kinds of
//! master weights, and whatever the number of threads.

use apertis_kernels::cpu::optimizer::{Moment, Update, Weight, clip_factor, join_master, optimizer_step, split_master, sum_of_squares};
use apertis_kernels::cpu::view::Rows;
use apertis_kernels::{Context, InstructionSet, OptimizerRule};
use half::bf16;
use serde_json::Value;

const ADAMW: OptimizerRule = OptimizerRule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
const ADAMW_8BIT: OptimizerRule = OptimizerRule::AdamW8bit { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
const LION: OptimizerRule = OptimizerRule::Lion { beta1: 0.9, beta2: 0.99 };
const MUON: OptimizerRule = OptimizerRule::Muon { momentum: 0.95, nesterov: true };
const LEARNING_RATE: f32 = 3e-3;
const WEIGHT_DECAY: f32 = 0.1;

/// Numbers between -1 and 1, the same at every call.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A parameter in training.
struct Training {
    learning_rate: f32,
    weight_decay: f32,
    rows: usize,
    columns: usize,
    rule: OptimizerRule,
    is_split: bool,
    weight: Vec<f32>,
    weight_bf16: Vec<bf16>,
    remainder: Vec<u16>,
    moments: [Vec<f32>; 2],
    codes: [Vec<u8>; 2],
    scales: [Vec<f32>; 2],
    steps: u64,
}

impl Training {
    fn new(rows: usize, columns: usize, rule: OptimizerRule, is_split: bool) -> Training {
        let length = rows * columns;
        let weight = numbers(length, 1);
        let (weight_bf16, remainder) = weight.iter().map(|value| split_master(*value)).unzip();
        let blocks = length.div_ceil(256);
        Training {
            learning_rate: LEARNING_RATE,
            weight_decay: WEIGHT_DECAY,
            rows,
            columns,
            rule,
            is_split,
            weight,
            weight_bf16,
            remainder,
            moments: [vec![0.0; length], vec![0.0; length]],
            codes: [vec![0; length], vec![0; length]],
            scales: [vec![0.0; blocks], vec![0.0; blocks]],
            steps: 0,
        }
    }

    fn masters(&self) -> Vec<f32> {
        if self.is_split {
            self.weight_bf16.iter().zip(&self.remainder).map(|(weight, remainder)| join_master(*weight, *remainder)).collect()
        } else {
            self.weight.clone()
        }
    }

    fn step(&mut self, context: &Context, gradient: &[f32], clip: [f32; 3]) {
        self.steps += 1;
        let [first, second] = &mut self.moments;
        let [first_codes, second_codes] = &mut self.codes;
        let [first_scales, second_scales] = &mut self.scales;
        let is_coded = matches!(self.rule, OptimizerRule::AdamW8bit { .. });
        let has_second = matches!(self.rule, OptimizerRule::AdamW { .. } | OptimizerRule::AdamW8bit { .. });
        let mut updates = [Update {
            weight: if self.is_split { Weight::Split(&mut self.weight_bf16, &mut self.remainder) } else { Weight::F32(&mut self.weight) },
            rows: self.rows,
            columns: self.columns,
            gradient,
            first: if is_coded { Moment::Coded(first_codes, first_scales) } else { Moment::F32(first) },
            second: match (has_second, is_coded) {
                (false, _) => None,
                (true, true) => Some(Moment::Coded(second_codes, second_scales)),
                (true, false) => Some(Moment::F32(second)),
            },
            rule: self.rule,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            update_count: self.steps,
        }];
        optimizer_step(context, &mut updates, &clip);
    }
}

fn gradient(length: usize, step: u32) -> Vec<f32> {
    numbers(length, 100 + step)
}

/// Several steps of a rule by its formula, in f64, each gradient times `factor`.
fn expected(rows: usize, columns: usize, rule: OptimizerRule, steps: u32, factor: f32) -> Vec<f64> {
    let length = rows * columns;
    let mut weight: Vec<f64> = numbers(length, 1).into_iter().map(f64::from).collect();
    let (mut first, mut second) = (vec![0f64; length], vec![0f64; length]);
    let (learning_rate, decay) = (f64::from(LEARNING_RATE), f64::from(WEIGHT_DECAY));
    for step in 1..=steps {
        let gradient: Vec<f64> = gradient(length, step).into_iter().map(|value| f64::from(value) * f64::from(factor)).collect();
        weight.iter_mut().for_each(|weight| *weight *= 1.0 - learning_rate * decay);
        match rule {
            OptimizerRule::AdamW { beta1, beta2, epsilon } | OptimizerRule::AdamW8bit { beta1, beta2, epsilon } => {
                let (beta1, beta2) = (f64::from(beta1), f64::from(beta2));
                for index in 0..length {
                    first[index] = beta1 * first[index] + (1.0 - beta1) * gradient[index];
                    second[index] = beta2 * second[index] + (1.0 - beta2) * gradient[index] * gradient[index];
                    let mean = first[index] / (1.0 - beta1.powi(step as i32));
                    let variance = second[index] / (1.0 - beta2.powi(step as i32));
                    weight[index] -= learning_rate * mean / (variance.sqrt() + f64::from(epsilon));
                }
            }
            OptimizerRule::Lion { beta1, beta2 } => {
                let (beta1, beta2) = (f64::from(beta1), f64::from(beta2));
                for index in 0..length {
                    weight[index] -= learning_rate * (beta1 * first[index] + (1.0 - beta1) * gradient[index]).signum();
                    first[index] = beta2 * first[index] + (1.0 - beta2) * gradient[index];
                }
            }
            OptimizerRule::Muon { momentum, nesterov } => {
                let momentum = f64::from(momentum);
                let mut x = vec![0f64; length];
                for index in 0..length {
                    first[index] = momentum * first[index] + (1.0 - momentum) * gradient[index];
                    x[index] = if nesterov { momentum * first[index] + (1.0 - momentum) * gradient[index] } else { first[index] };
                }
                let norm = x.iter().map(|value| value * value).sum::<f64>().sqrt();
                x.iter_mut().for_each(|value| *value /= norm);
                for _ in 0..5 {
                    x = newton_schulz(&x, rows, columns);
                }
                let scale = learning_rate * (rows as f64 / columns as f64).max(1.0).sqrt();
                weight.iter_mut().zip(&x).for_each(|(weight, x)| *weight -= scale * x);
            }
        }
    }
    weight
}

/// `a·x + b·(x·xᵀ)·x + c·(x·xᵀ)²·x`; the same whether x is tall or wide.
fn newton_schulz(x: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    let product = |left: &[f64], right: &[f64]| -> Vec<f64> {
        let inner = left.len() / rows;
        let width = right.len() / inner;
        let mut out = vec![0f64; rows * width];
        for row in 0..rows {
            for (index, right) in right.chunks_exact(width).enumerate() {
                out[row * width..(row + 1) * width]
                    .iter_mut()
                    .zip(right)
                    .for_each(|(out, right)| *out += left[row * inner + index] * right);
            }
        }
        out
    };
    let transposed: Vec<f64> = (0..rows * columns).map(|index| x[index % rows * columns + index / rows]).collect();
    let gram = product(x, &transposed);
    let cubic = product(&gram, x);
    let quintic = product(&gram, &cubic);
    (0..x.len()).map(|index| 3.4445 * x[index] - 4.775 * cubic[index] + 2.0315 * quintic[index]).collect()
}

fn check(rows: usize, columns: usize, rule: OptimizerRule, tolerance: f64) {
    let steps = 12;
    let factor = 0.37;
    let expected = expected(rows, columns, rule, steps, factor);
    for set in InstructionSet::available() {
        for is_split in [false, true] {
            let mut results = Vec::new();
            for threads in [1, 3] {
                let context = Context::new(threads, set).expect("available sets make contexts");
                let mut training = Training::new(rows, columns, rule, is_split);
                for step in 1..=steps {
                    training.step(&context, &gradient(rows * columns, step), [1.0, factor, 1.0]);
                }
                results.push(training.masters());
            }
            assert!(results[0] == results[1], "{rule:?} {set}: results depend on the number of threads");
            for (index, (found, expected)) in results[0].iter().zip(&expected).enumerate() {
                assert!(
                    (f64::from(*found) - expected).abs() <= tolerance,
                    "{rule:?} {set} {rows} × {columns} [{index}]: found {found}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn rules_equal_their_formulas() {
    for (rows, columns) in [(1, 1), (1, 17), (5, 300), (40, 1031), (3, 33_000)] {
        // Weights near 1 are rounded to 2^-24 twelve times.
        check(rows, columns, ADAMW, 1e-6);
        check(rows, columns, LION, 1e-6);
    }
}

#[test]
fn rules_of_every_small_width_equal_their_formulas() {
    for columns in 1..=40 {
        check(1, columns, ADAMW, 1e-6);
        check(3, columns, LION, 1e-6);
        check(7, columns, MUON, 2e-6);
    }
}

#[test]
fn muon_equals_its_formula() {
    // Five products of products in f32 lose a few digits of singular values near 1.
    for (rows, columns) in [(4, 4), (24, 40), (40, 24), (1, 30), (65, 130)] {
        check(rows, columns, MUON, 2e-6);
    }
}

#[test]
fn rules_equal_pytorch() {
    let path = apertis_testkit::fixtures().join("optimizers/expected.json");
    let text = std::fs::read_to_string(&path).expect("the fixture is committed");
    let recorded: Value = serde_json::from_str(&text).expect("the fixture is JSON");
    let floats = |value: &Value| -> Vec<f32> {
        value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number") as f32).collect()
    };
    let tensors = recorded["tensors"].as_object().expect("tensors by name");
    assert!(tensors.len() >= 4, "found {} tensors", tensors.len());
    for (name, tensor) in tensors {
        let shape = floats(&tensor["shape"]);
        let columns = shape[shape.len() - 1] as usize;
        let rows = floats(&tensor["start"]).len() / columns;
        for (key, settings, rule) in [("adamw", "adamw", ADAMW), ("lion", "lion", LION), ("muon_f32", "muon", MUON)] {
            // Vectors are not given to Muon.
            let Some(expected) = tensor[key].as_array() else { continue };
            let setting = |key: &str| recorded["settings"][settings][key].as_f64().expect("a number") as f32;
            for set in InstructionSet::available() {
                let context = Context::new(2, set).expect("available sets make contexts");
                for is_split in [false, true] {
                    let mut training = Training::new(rows, columns, rule, is_split);
                    training.learning_rate = setting("learning_rate");
                    training.weight_decay = setting("weight_decay");
                    training.weight = floats(&tensor["start"]);
                    (training.weight_bf16, training.remainder) = training.weight.iter().map(|value| split_master(*value)).unzip();
                    for (step, expected) in expected.iter().enumerate() {
                        training.step(&context, &floats(&tensor["gradients"][step]), [1.0, 1.0, 1.0]);
                        for (found, expected) in training.masters().iter().zip(floats(expected)) {
                            // Weights up to 4, each step a few roundings to 2^-24.
                            assert!((found - expected).abs() <= 2e-6, "{key} {name} {set} step {step}: found {found}, expected {expected}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn eight_bit_moments_follow_the_exact_ones() {
    let (rows, columns) = (16, 512);
    let context = Context::new(2, InstructionSet::detect()).expect("the detected set makes a context");
    let goal = numbers(rows * columns, 7);
    let distance = |weight: &[f32]| weight.iter().zip(&goal).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
    let mut losses = Vec::new();
    for rule in [ADAMW, ADAMW_8BIT] {
        let mut training = Training::new(rows, columns, rule, true);
        let mut curve = Vec::new();
        for step in 0..300u32 {
            let weight = training.masters();
            curve.push(distance(&weight));
            let noise = numbers(weight.len(), 1000 + step);
            let gradient: Vec<f32> =
                weight.iter().zip(&goal).zip(noise).map(|((weight, goal), noise)| weight - goal + 0.3 * noise).collect();
            training.step(&context, &gradient, [1.0, 1.0, 1.0]);
        }
        losses.push(curve);
    }
    assert!(losses[0][299] < 0.2 * losses[0][0], "the exact rule does not train: {} to {}", losses[0][0], losses[0][299]);
    for (step, (exact, coded)) in losses[0].iter().zip(&losses[1]).enumerate() {
        // A code of the first moment is at most 2% off, one of the second's root 1%.
        assert!((exact - coded).abs() <= 0.02 * exact + 1e-3 * losses[0][0], "step {step}: {coded} strays from {exact}");
    }
}

#[test]
fn a_step_that_is_not_finite_changes_nothing() {
    let context = Context::new(1, InstructionSet::detect()).expect("the detected set makes a context");
    for rule in [ADAMW, ADAMW_8BIT, LION, MUON] {
        let mut training = Training::new(4, 8, rule, false);
        training.step(&context, &[f32::NAN; 32], [f32::NAN, 1.0, 0.0]);
        assert_eq!(training.weight, numbers(32, 1));
        assert!(training.moments[0].iter().all(|value| *value == 0.0) && training.codes[0].iter().all(|code| *code == 0));
    }
}

#[test]
fn the_norm_is_the_same_on_any_number_of_threads() {
    for set in InstructionSet::available() {
        let large = numbers(300_001, 1);
        let small = numbers(7 * 40, 2);
        // Columns 3 to 20 of rows of 40.
        let tensors = [Rows::dense(&large, 1, 300_001), Rows::new(&small[3..], 7, 17, 40), Rows::dense(&small[..0], 0, 5)];
        let exact: f64 = large.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>()
            + small.chunks(40).flat_map(|row| &row[3..20]).map(|value| f64::from(*value).powi(2)).sum::<f64>();
        let sums: Vec<f64> = [1, 2, 5]
            .into_iter()
            .map(|threads| sum_of_squares(&Context::new(threads, set).expect("available sets make contexts"), &tensors))
            .collect();
        assert!(sums[0] == sums[1] && sums[0] == sums[2], "{set}: {sums:?}");
        // 128 squares a lane are summed in f32.
        assert!((sums[0] - exact).abs() <= 1e-6 * exact, "{set}: found {}, expected {exact}", sums[0]);
    }
}

#[test]
fn clipping_follows_the_norm() {
    let close = |found: f32, expected: f32| assert!((found - expected).abs() <= 1e-6 * expected, "found {found}, expected {expected}");
    let [norm, factor, is_finite] = clip_factor(16.0, 1.0);
    close(norm, 4.0);
    close(factor, 1.0 / (4.0 + 1e-6));
    assert_eq!(is_finite, 1.0);
    assert_eq!(clip_factor(0.25, 1.0), [0.5, 1.0, 1.0]);
    assert_eq!(clip_factor(16.0, 0.0), [4.0, 1.0, 1.0]);
    assert_eq!(clip_factor(f64::INFINITY, 1.0)[2], 0.0);
    assert_eq!(clip_factor(f64::NAN, 1.0)[2], 0.0);
}
