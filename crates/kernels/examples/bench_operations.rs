//! Bandwidth of the operations that wait for memory, at the shapes of a training step of a small
//! model, out of cache: each run takes the next of many sets of tensors.
//!
//! `cargo run --release -p apertis-kernels --example bench_operations [threads] [tokens] [part of a name]`

#![expect(clippy::print_stdout, reason = "a bench is for people")]

use std::sync::Arc;
use std::time::Instant;

use apertis_kernels::{
    Activation, Backend, Context, CpuBackend, Dtype, ExpertRouting, Heads, InstructionSet, NormKind, NormOptions, Owned, RotaryOptions,
    Tensor,
};

const WIDTH: usize = 576;
const HIDDEN: usize = 1536;
/// Together larger than the last cache.
const SETS: usize = 12;
const RUNS: usize = 96;

struct Bench {
    backend: Arc<dyn Backend>,
    filter: String,
    kept: Vec<Owned>,
}

impl Bench {
    fn tensor(&mut self, rows: usize, columns: usize, dtype: Dtype) -> Tensor {
        // As in an arena, tensors do not all start at the same place of a page.
        let start = self.kept.len() % 29 * 352;
        let owner = Owned::zeros(&self.backend, 1, start + rows * columns, dtype).expect("a few megabytes");
        let tensor = owner.column_range(start, rows * columns).reshape(rows, columns);
        if matches!(dtype, Dtype::F32 | Dtype::Bf16) {
            let values: Vec<f32> = (0..rows * columns).map(|index| ((index * 7919 % 1000) as f32 - 500.0) / 250.0).collect();
            self.backend.write_f32(tensor, &values);
        }
        self.kept.push(owner);
        tensor
    }

    /// Runs an operation on tensors of the given shapes; the best time of many, since other
    /// programs can only add to it.
    fn run(&mut self, name: &str, shapes: &[(usize, usize, Dtype)], traffic: usize, operation: impl Fn(&dyn Backend, &[Tensor])) {
        if !name.contains(&self.filter) {
            return;
        }
        let sets: Vec<Vec<Tensor>> =
            (0..SETS).map(|_| shapes.iter().map(|(rows, columns, dtype)| self.tensor(*rows, *columns, *dtype)).collect()).collect();
        let mut times: Vec<f64> = (0..RUNS)
            .map(|run| {
                let start = Instant::now();
                operation(&*self.backend, &sets[run % SETS]);
                start.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{name:34} {:8.1} µs {:7.1} GB/s   (median {:8.1} µs)",
            times[0] * 1e6,
            traffic as f64 / times[0] / 1e9,
            times[RUNS / 2] * 1e6
        );
        self.kept.clear();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(2);
    let tokens = arguments.next().and_then(|word| word.parse().ok()).unwrap_or(1340);
    let filter = arguments.next().unwrap_or_default();
    for set in InstructionSet::available().into_iter().filter(|set| *set != InstructionSet::Scalar).rev() {
        let context = Context::new(threads, set).expect("an available set");
        let backend: Arc<dyn Backend> = CpuBackend::new(Arc::new(context));
        println!("{}: t={tokens} d={WIDTH} f={HIDDEN}", backend.name());
        for dtype in [Dtype::Bf16, Dtype::F32] {
            operations(&mut Bench { backend: Arc::clone(&backend), filter: filter.clone(), kept: Vec::new() }, dtype, tokens);
        }
    }
}

fn operations(bench: &mut Bench, dtype: Dtype, tokens: usize) {
    let name = |operation: &str| format!("{operation} {}", dtype.name().to_lowercase());
    let size = dtype.size_bytes();
    let (d, f) = (tokens * WIDTH, tokens * HIDDEN);
    let wide = (tokens, HIDDEN, dtype);
    let narrow = (tokens, WIDTH, dtype);
    let parameter = (1, WIDTH, Dtype::F32);
    bench.run(&name("fill"), &[wide], f * size, |backend, x| backend.fill(x[0], 1.0));
    bench.run(&name("copy"), &[wide, wide], 2 * f * size, |backend, x| backend.copy(x[0], x[1], 1.0, false));
    bench.run(&name("copy to f32, added"), &[(tokens, WIDTH, Dtype::F32), narrow], d * (8 + size), |backend, x| {
        backend.copy(x[0], x[1], 1.0, true);
    });
    bench.run(&name("multiply"), &[wide, wide, wide], 3 * f * size, |backend, x| backend.multiply(x[0], x[1], x[2], false));
    bench.run(&name("dropout"), &[narrow, narrow], 2 * d * size, |backend, x| backend.dropout(x[0], x[1], 0.1, 1));
    for function in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
        bench.run(&name(&format!("activate {function:?}")), &[wide; 3], 3 * f * size, |backend, x| {
            backend.activate(x[0], x[1], Some(x[2]), function);
        });
        bench.run(&name(&format!("activate_backward {function:?}")), &[wide; 5], 5 * f * size, |backend, x| {
            backend.activate_backward(x[0], Some(x[1]), x[2], x[3], Some(x[4]), function);
        });
    }
    let options = NormOptions { kind: NormKind::Rms, epsilon: 1e-5, weight_offset: 0.0, group_columns: WIDTH };
    let stats = (tokens, 2, Dtype::F32);
    bench.run(&name("norm"), &[narrow, stats, (tokens, WIDTH, Dtype::F32), parameter], d * (4 + size), |backend, x| {
        backend.norm(x[0], x[1], x[2], Some(x[3]), None, &options);
    });
    let residual = (tokens, WIDTH, Dtype::F32);
    let shapes = [residual, parameter, narrow, residual, stats, parameter];
    bench.run(&name("norm_backward, added"), &shapes, d * (12 + size), |backend, x| {
        backend.norm_backward(x[0], true, Some(x[1]), None, x[2], x[3], x[4], Some(x[5]), &options);
    });
    bench.run(&name("norm_backward, frozen"), &shapes, d * (12 + size), |backend, x| {
        backend.norm_backward(x[0], true, None, None, x[2], x[3], x[4], Some(x[5]), &options);
    });
    let rotation = RotaryOptions { rotary_width: 64, interleaved: false, inverse: false };
    let shapes = [narrow, (2048, 64, Dtype::F32), (tokens, 1, Dtype::U32)];
    bench.run(&name("rotary"), &shapes, 2 * d * size, |backend, x| {
        backend.rotary(Heads { tensor: x[0], heads: 9, head_width: 64, head_stride: 64 }, x[1], x[2], &rotation);
    });
    bench.run(&name("column_sum"), &[parameter, narrow], d * size, |backend, x| backend.column_sum(x[0], x[1], None, 1.0));
    bench.run(&name("row_dot"), &[(tokens, 1, Dtype::F32), narrow, narrow], 2 * d * size, |backend, x| backend.row_dot(x[0], x[1], x[2]));
    let ids = (tokens, 1, Dtype::U32);
    bench.run(&name("embed"), &[(tokens, WIDTH, Dtype::F32), (4096, WIDTH, dtype), ids], d * (4 + size), |backend, x| {
        backend.embed(x[0], x[1], x[2], 1.0, false);
    });
    let routing = ExpertRouting { choices: 4, normalize: true };
    let (logits, chosen, pairs) = ((tokens, 64, Dtype::F32), (tokens, 4, Dtype::F32), (tokens * 4, WIDTH, dtype));
    let shapes = [logits, (tokens, 4, Dtype::U32), chosen, (1, tokens * 4, Dtype::U32), logits, narrow, pairs];
    bench.run(&name("route"), &shapes, tokens * 64 * 8, |backend, x| {
        backend.route(x[0], x[1], x[2], x[3], x[4], &routing);
    });
    bench.run(&name("route, gather and combine"), &shapes, d * size * 10, |backend, x| {
        backend.route(x[0], x[1], x[2], x[3], x[4], &routing);
        backend.gather_pairs(x[6], x[5], x[3], 4);
        backend.combine_pairs(x[5], x[6], x[3], Some(x[2]), 4, false);
    });
    // The width of a small model's step, where handing over costs more than the work.
    let small = (768, 128, dtype);
    bench.run(&name("multiply 768 × 128"), &[small; 3], 3 * 768 * 128 * size, |backend, x| backend.multiply(x[0], x[1], x[2], false));
}
