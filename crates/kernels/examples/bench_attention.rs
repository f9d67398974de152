//! Times of attention, the head and the optimizers at the shapes of real training steps.
//!
//! `cargo run --release -p apertis-kernels --example bench_attention [threads] [part of a name]`

#![expect(clippy::print_stdout, reason = "a bench is for people")]

use std::time::Instant;

use apertis_kernels::cpu::attention::heads::{HeadRows, HeadRowsMut};
use apertis_kernels::cpu::attention::{attention, attention_backward};
use apertis_kernels::cpu::head::{
    HeadCoefficients, HeadGradients, HeadInput, HeadMatrix, HeadMatrixMut, HeadOutputs, head_forward, head_loss,
};
use apertis_kernels::cpu::optimizer::{Moment, Update, Weight, optimizer_step};
use apertis_kernels::cpu::view::{Rows, RowsMut};
use apertis_kernels::{AttentionShape, Context, Dtype, Element, HeadOptions, InstructionSet, OptimizerRule, SequenceSpan};
use half::bf16;

fn numbers<T: Element>(count: usize, seed: u32) -> Vec<T> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        T::from_f32((state >> 8) as f32 / 8_388_608.0 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// Nanoseconds that all threads of this process spent on a processor, where Linux tells.
fn busy_nanoseconds() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let seconds = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
    Some(seconds.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok()).sum())
}

/// Milliseconds of a run: the median of five batches by the clock, or, on one thread where
/// Linux tells, the least time on the processor, which does not count what other programs take.
fn milliseconds(threads: usize, mut work: impl FnMut()) -> f64 {
    // Threads of the bench before may still be ending.
    std::thread::sleep(std::time::Duration::from_millis(20));
    let start = Instant::now();
    work();
    // The processor's time is only brought up to date every few milliseconds.
    let runs = (0.15 / start.elapsed().as_secs_f64()).ceil() as usize;
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let (start, busy) = (Instant::now(), busy_nanoseconds());
            (0..runs).for_each(|_| work());
            let elapsed = match (busy, busy_nanoseconds()) {
                (Some(before), Some(after)) if threads == 1 => (after - before) / 1e6,
                _ => start.elapsed().as_secs_f64() * 1e3,
            };
            elapsed / runs as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[if threads == 1 { 0 } else { times.len() / 2 }]
}

struct Bench {
    threads: usize,
    filter: String,
}

impl Bench {
    fn attention<T: Element>(&self, name: &str, set: InstructionSet, heads: [usize; 3], lengths: &[(usize, usize)]) {
        let name = format!("attention {name} {set} {:?}", T::DTYPE);
        if !name.contains(&self.filter) {
            return;
        }
        let [h, g, w] = heads;
        let context = Context::new(self.threads, set).expect("available sets make contexts");
        let mut spans = Vec::new();
        let (mut queries, mut keys, mut pairs) = (0, 0, 0);
        for (query_count, key_count) in lengths {
            spans.push(SequenceSpan { query_start: queries, query_count: *query_count, key_start: keys, key_count: *key_count });
            queries += query_count;
            keys += key_count;
            pairs += (0..*query_count).map(|query| key_count - query_count + query + 1).sum::<usize>() * h;
        }
        let shape = AttentionShape { scale: 0.125, window: None, soft_cap: None, sequences: &spans, visible: &[] };
        let (q, dout): (Vec<T>, Vec<T>) = (numbers(queries * h * w, 1), numbers(queries * h * w, 2));
        let (k, v): (Vec<T>, Vec<T>) = (numbers(keys * g * w, 3), numbers(keys * g * w, 4));
        let (mut out, mut dq) = (q.clone(), q.clone());
        let (mut dk, mut dv) = (k.clone(), k.clone());
        let mut lse = vec![0f32; queries * h];
        fn view<T: Element>(data: &[T], rows: usize, heads: usize, width: usize) -> HeadRows<'_> {
            HeadRows::new(Rows::dense(data, rows, heads * width), heads, width, width)
        }
        fn view_mut<T: Element>(data: &mut [T], rows: usize, heads: usize, width: usize) -> HeadRowsMut<'_> {
            HeadRowsMut::new(RowsMut::dense(data, rows, heads * width), heads, width, width)
        }
        let (q, k, v, dout) = (view(&q, queries, h, w), view(&k, keys, g, w), view(&v, keys, g, w), view(&dout, queries, h, w));
        let gigaflops = |products: usize, time: f64| (2 * products * pairs * w) as f64 / time / 1e6;
        context.install(|| {
            let forward = milliseconds(self.threads, || {
                attention(&context, &view_mut(&mut out, queries, h, w), &RowsMut::dense(&mut lse, queries, h), &q, &k, &v, &shape);
            });
            print!("{name}: forward {forward:.3} ms, {:.0} GFLOP/s", gigaflops(2, forward));
            let backward = milliseconds(self.threads, || {
                attention_backward(
                    &context,
                    &view_mut(&mut dq, queries, h, w),
                    &view_mut(&mut dk, keys, g, w),
                    &view_mut(&mut dv, keys, g, w),
                    &dout,
                    &view(&out, queries, h, w),
                    &Rows::dense(&lse, queries, h),
                    &q,
                    &k,
                    &v,
                    &shape,
                );
            });
            println!("; backward {backward:.3} ms, {:.0} GFLOP/s", gigaflops(5, backward));
        });
    }
}

impl Bench {
    fn head<T: Element>(&self, set: InstructionSet, [t, v, d]: [usize; 3], with_weight: bool) {
        let gradients = if with_weight { "dx and dw" } else { "dx" };
        let name = format!("head_loss {t} × {v} × {d}, {gradients} {set} {:?}", T::DTYPE);
        if !name.contains(&self.filter) {
            return;
        }
        let context = Context::new(self.threads, set).expect("available sets make contexts");
        let (x, weight): (Vec<bf16>, Vec<bf16>) = (numbers(t * d, 1), numbers(v * d, 2));
        let (x_f32, weight_f32): (Vec<f32>, Vec<f32>) = (numbers(t * d, 1), numbers(v * d, 2));
        let targets: Vec<u32> = (0..t as u32).map(|row| row * 7919 % v as u32).collect();
        let column: Vec<f32> = vec![1.0; t];
        let mut outputs = vec![vec![0f32; t]; 4];
        let mut dx = vec![0f32; t * d];
        let mut dweight = vec![0f32; if with_weight { v * d } else { 0 }];
        let is_bf16 = T::DTYPE == Dtype::Bf16;
        let input = HeadInput {
            x_td: if is_bf16 { HeadMatrix::Bf16(Rows::dense(&x, t, d)) } else { HeadMatrix::F32(Rows::dense(&x_f32, t, d)) },
            weight_vd: if is_bf16 { HeadMatrix::Bf16(Rows::dense(&weight, v, d)) } else { HeadMatrix::F32(Rows::dense(&weight_f32, v, d)) },
            targets_t: Rows::dense(&targets, t, 1),
            options: HeadOptions { scale: 1.0, soft_cap: None },
        };
        let coefficient = Rows::dense(&column, t, 1);
        let coefficients = HeadCoefficients { dlogp_t: coefficient, dlse_t: coefficient, dmean_t: coefficient };
        let [logp, lse, mean, correct] = &mut outputs[..] else { unreachable!("there are four") };
        let outputs = HeadOutputs {
            logp_t: RowsMut::dense(logp, t, 1),
            lse_t: RowsMut::dense(lse, t, 1),
            mean_logit_t: RowsMut::dense(mean, t, 1),
            correct_t: RowsMut::dense(correct, t, 1),
        };
        let gradients = HeadGradients {
            dx_td: HeadMatrixMut::F32(RowsMut::dense(&mut dx, t, d)),
            dweight_vd: with_weight.then(|| RowsMut::dense(&mut dweight, v, d)),
        };
        context.install(|| {
            let time = milliseconds(self.threads, || head_loss(&context, &outputs, &gradients, &input, &coefficients));
            let products = if with_weight { 6 } else { 4 };
            println!("{name}: {time:.1} ms, {:.0} GFLOP/s", (products * t * v * d) as f64 / time / 1e6);
            let time = milliseconds(self.threads, || head_forward(&context, &outputs, &input));
            println!("  head_forward: {time:.1} ms, {:.0} GFLOP/s", (2 * t * v * d) as f64 / time / 1e6);
        });
    }

    fn optimizer(&self, name: &str, length: usize, rule: OptimizerRule, is_split: bool) {
        let columns = 1024;
        let name = format!("optimizer_step {name} {length}");
        if !name.contains(&self.filter) {
            return;
        }
        let context = Context::new(self.threads, InstructionSet::detect()).expect("available sets make contexts");
        let gradient: Vec<f32> = numbers(length, 1);
        let (mut weight, mut weight_bf16): (Vec<f32>, Vec<bf16>) = (numbers(length, 2), numbers(length, 3));
        let mut remainder = vec![0u16; length];
        let (mut first, mut second) = (vec![0f32; length], vec![0f32; length]);
        let (mut first_codes, mut second_codes) = (vec![0u8; length], vec![0u8; length]);
        let (mut first_scales, mut second_scales) = (vec![0f32; length.div_ceil(256)], vec![0f32; length.div_ceil(256)]);
        let is_coded = matches!(rule, OptimizerRule::AdamW8bit { .. });
        let has_second = matches!(rule, OptimizerRule::AdamW { .. } | OptimizerRule::AdamW8bit { .. });
        let moments = (if is_coded { 4 } else { 8 }) * (1 + usize::from(has_second)) / if is_coded { 2 } else { 1 };
        let bytes = length * (4 + 8 + moments);
        context.install(|| {
            let time = milliseconds(self.threads, || {
                let mut updates = [Update {
                    weight: if is_split { Weight::Split(&mut weight_bf16, &mut remainder) } else { Weight::F32(&mut weight) },
                    rows: length / columns,
                    columns,
                    gradient: &gradient,
                    first: if is_coded { Moment::Coded(&mut first_codes, &mut first_scales) } else { Moment::F32(&mut first) },
                    second: match (has_second, is_coded) {
                        (false, _) => None,
                        (true, true) => Some(Moment::Coded(&mut second_codes, &mut second_scales)),
                        (true, false) => Some(Moment::F32(&mut second)),
                    },
                    rule,
                    learning_rate: 1e-4,
                    weight_decay: 0.01,
                    update_count: 3,
                }];
                optimizer_step(&context, &mut updates, &[1.0, 0.9, 1.0]);
            });
            println!("{name}: {time:.2} ms, {:.1} GB/s", bytes as f64 / time / 1e6);
        });
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(2);
    let bench = Bench { threads, filter: arguments.next().unwrap_or_default() };
    let best = InstructionSet::detect();
    let sets: Vec<InstructionSet> = InstructionSet::available().into_iter().filter(|set| *set > InstructionSet::Scalar).collect();
    let chats: Vec<(usize, usize)> = [120, 210, 95, 300, 170, 140, 188, 117].into_iter().map(|length| (length, length)).collect();
    let windows = vec![(64, 64); 12];
    bench.attention::<bf16>("135M, 1340 tokens", best, [9, 3, 64], &chats);
    for set in &sets {
        bench.attention::<f32>("135M, 1340 tokens", *set, [9, 3, 64], &chats);
    }
    bench.attention::<bf16>("characters, 768 tokens", best, [4, 4, 32], &windows);
    bench.attention::<f32>("characters, 768 tokens", best, [4, 4, 32], &windows);
    bench.attention::<bf16>("135M, one of 2048 tokens", best, [9, 3, 64], &[(2048, 2048)]);
    bench.attention::<bf16>("135M, decode at 2048", best, [9, 3, 64], &[(1, 2048)]);
    bench.attention::<bf16>("135M, decode at 256", best, [9, 3, 64], &[(1, 256)]);
    bench.attention::<bf16>("0.5B, decode at 2048", best, [14, 2, 64], &[(1, 2048)]);
    bench.head::<bf16>(best, [800, 50_260, 576], false);
    bench.head::<bf16>(best, [800, 50_260, 576], true);
    bench.head::<f32>(best, [800, 50_260, 576], false);
    bench.head::<f32>(best, [768, 65, 128], true);
    let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
    let length = 1 << 24;
    bench.optimizer("AdamW f32", length, OptimizerRule::AdamW { beta1, beta2, epsilon }, false);
    bench.optimizer("AdamW bf16 and remainder", length, OptimizerRule::AdamW { beta1, beta2, epsilon }, true);
    bench.optimizer("AdamW8bit bf16 and remainder", length, OptimizerRule::AdamW8bit { beta1, beta2, epsilon }, true);
    bench.optimizer("Lion f32", length, OptimizerRule::Lion { beta1, beta2 }, false);
    bench.optimizer("Muon f32 1024 × 1024", 1 << 20, OptimizerRule::Muon { momentum: 0.95, nesterov: true }, false);
}
