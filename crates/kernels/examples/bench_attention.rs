//! Times of attention, the head and the optimizers at the shapes of real training steps.
//!
//! `cargo run --release -p apertis-kernels --example bench_attention [threads] [part of a name]`

#![expect(clippy::print_stdout, reason = "a bench is for people")]

use std::time::Instant;

use apertis_kernels::cpu::attention::heads::{HeadRows, HeadRowsMut};
use apertis_kernels::cpu::attention::{attention, attention_backward};
use apertis_kernels::cpu::view::{Rows, RowsMut};
use apertis_kernels::{AttentionShape, Context, Element, InstructionSet, SequenceSpan};
use half::bf16;

fn numbers<T: Element>(count: usize, seed: u32) -> Vec<T> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        T::from_f32((state >> 8) as f32 / 8_388_608.0 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// Median milliseconds of several runs.
fn milliseconds(runs: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
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
            let forward = milliseconds(41, || {
                attention(&context, &view_mut(&mut out, queries, h, w), &RowsMut::dense(&mut lse, queries, h), &q, &k, &v, &shape);
            });
            print!("{name}: forward {forward:.3} ms, {:.0} GFLOP/s", gigaflops(2, forward));
            let backward = milliseconds(41, || {
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
}
