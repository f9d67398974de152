//! Times the matrix products of a training step against the processor's own peak: a loop of
//! multiply-adds that never leaves the registers, run just before each product.
//!
//! `cargo run --release -p apertis-kernels --example bench_products -- [--json] [--f32]
//! [--set NAME] [--threads N] [--rounds N] [--busy] [NAME…]`
//!
//! `--busy` counts only the time in which the one thread really ran (Linux), for crowded machines.

#![expect(clippy::print_stdout, reason = "a program that prints what it measured")]

use std::time::Instant;

use apertis_kernels::cpu::matmul::{DataRef, Epilogue, MatrixRef, Output, Term, product};
use apertis_kernels::cpu::view::RowsMut;
use apertis_kernels::{Context, Element, InstructionSet};
use half::bf16;

/// Which of the three products of a linear module.
#[derive(Clone, Copy, Debug)]
enum Direction {
    /// `y_tn = x_tk · w_nkᵀ`, bf16.
    Forward,
    /// `dx_tk = dy_tn · w_nk`, bf16.
    InputGradient,
    /// `dw_nk += dy_tnᵀ · x_tk`, F32.
    WeightGradient,
    /// `y_tn = x_tk · w_nkᵀ + 2 · u_tr · b_nrᵀ`, bf16, r = 16.
    Adapted,
}

struct Settings {
    json: bool,
    is_f32: bool,
    set: InstructionSet,
    threads: usize,
    rounds: usize,
    is_busy: bool,
    names: Vec<String>,
}

fn main() {
    let settings = settings();
    let context = Context::new(settings.threads, settings.set).expect("the instruction set is available");
    let rows = 1340;
    let mut cases = Vec::new();
    for (name, k, n) in [("attention", 576, 576), ("key-value", 576, 192), ("up", 576, 1536), ("down", 1536, 576)] {
        for direction in [Direction::Forward, Direction::InputGradient, Direction::WeightGradient] {
            cases.push((name, rows, k, n, direction));
        }
    }
    cases.push(("adapted", rows, 576, 576, Direction::Adapted));
    for direction in [Direction::Forward, Direction::InputGradient, Direction::WeightGradient] {
        cases.push(("head", 800, 576, 49152, direction));
    }
    for (name, k, n) in [("rank-in", 576, 16), ("rank-out", 16, 576), ("rank-in-down", 1536, 16), ("rank-out-up", 16, 1536)] {
        for direction in [Direction::Forward, Direction::InputGradient, Direction::WeightGradient] {
            cases.push((name, rows, k, n, direction));
        }
    }
    for (name, k, n) in [("scratch-attention", 128, 128), ("scratch-up", 128, 344), ("scratch-down", 344, 128), ("scratch-head", 128, 65)] {
        for direction in [Direction::Forward, Direction::InputGradient, Direction::WeightGradient] {
            cases.push((name, 768, k, n, direction));
        }
    }
    for (name, k, n) in [("decode", 576, 576), ("decode-up", 576, 1536), ("decode-down", 1536, 576), ("decode-head", 576, 49152)] {
        for m in [1, 4, 8, 16, 64] {
            cases.push((name, m, k, n, Direction::Forward));
        }
    }
    if !settings.json {
        println!("{:18} {:>5} {:>5} {:>6} {:15} {:>9} {:>9} {:>7}", "name", "m", "k", "n", "direction", "us", "GFLOP/s", "of peak");
    }
    for (name, rows, k, n, direction) in cases {
        if settings.names.is_empty() || settings.names.iter().any(|wanted| wanted == name) {
            measure(&context, &settings, name, rows, k, n, direction);
        }
    }
}

fn settings() -> Settings {
    let mut settings =
        Settings { json: false, is_f32: false, set: InstructionSet::detect(), threads: 2, rounds: 5, is_busy: false, names: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("the option has a value");
        match argument.as_str() {
            "--json" => settings.json = true,
            "--f32" => settings.is_f32 = true,
            "--busy" => (settings.is_busy, settings.threads) = (true, 1),
            "--set" => settings.set = value().parse().expect("a known instruction set"),
            "--threads" => settings.threads = value().parse().expect("a number of threads"),
            "--rounds" => settings.rounds = value().parse().expect("a number of rounds"),
            _ => settings.names.push(argument),
        }
    }
    settings
}

/// A matrix of numbers between -1 and 1.
struct Matrix {
    f32: Vec<f32>,
    bf16: Vec<bf16>,
    rows: usize,
    columns: usize,
}

impl Matrix {
    fn random(seed: u64, rows: usize, columns: usize) -> Matrix {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f32 / (1u64 << 30) as f32 - 1.0
        };
        let f32: Vec<f32> = (0..rows * columns).map(|_| next()).collect();
        let bf16 = f32.iter().map(|&value| <bf16 as Element>::from_f32(value)).collect();
        Matrix { f32, bf16, rows, columns }
    }
    fn view(&self, is_f32: bool) -> MatrixRef<'_> {
        let data = if is_f32 { DataRef::F32(&self.f32) } else { DataRef::Bf16(&self.bf16) };
        MatrixRef::dense(data, self.rows, self.columns)
    }
    fn output(&mut self, is_f32: bool) -> Output<'_> {
        if is_f32 {
            Output::F32(RowsMut::dense(&mut self.f32, self.rows, self.columns))
        } else {
            Output::Bf16(RowsMut::dense(&mut self.bf16, self.rows, self.columns))
        }
    }
}

fn measure(context: &Context, settings: &Settings, name: &str, m: usize, k: usize, n: usize, direction: Direction) {
    let is_f32 = settings.is_f32;
    let (mut x, mut w, mut y) = (Matrix::random(1, m, k), Matrix::random(2, n, k), Matrix::random(3, m, n));
    let (u, b) = (Matrix::random(4, m, 16), Matrix::random(5, n, 16));
    let mut run = || match direction {
        Direction::Forward => {
            let terms = [Term::new(x.view(is_f32), w.view(is_f32).transposed())];
            product(context, y.output(is_f32), &terms, &Epilogue::default());
        }
        Direction::InputGradient => {
            let terms = [Term::new(y.view(is_f32), w.view(is_f32))];
            product(context, x.output(is_f32), &terms, &Epilogue::default());
        }
        Direction::WeightGradient => {
            let terms = [Term::new(y.view(is_f32).transposed(), x.view(is_f32))];
            let epilogue = Epilogue { accumulate: true, bias: None };
            product(context, Output::F32(RowsMut::dense(&mut w.f32, n, k)), &terms, &epilogue);
        }
        Direction::Adapted => {
            let adapter = Term { left: u.view(is_f32), right: b.view(true).transposed(), scale: 2.0 };
            let terms = [Term::new(x.view(is_f32), w.view(is_f32).transposed()), adapter];
            product(context, y.output(is_f32), &terms, &Epilogue::default());
        }
    };
    let extra = if matches!(direction, Direction::Adapted) { 16 } else { 0 };
    let operations = 2.0 * m as f64 * (k + extra) as f64 * n as f64;
    let repeats = ((6e9 / operations) as usize).clamp(1, 2000);
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    context.install(|| {
        run();
        for _ in 0..settings.rounds {
            let clock = Clock::start(settings.is_busy);
            let peak_operations = peak_loop(context, settings.set, is_f32);
            let peak = peak_operations / clock.seconds() / 1e9;
            let clock = Clock::start(settings.is_busy);
            (0..repeats).for_each(|_| run());
            let rate = operations * repeats as f64 / clock.seconds() / 1e9;
            rates.push(rate);
            ratios.push(rate / peak);
        }
    });
    let (rate, ratio) = (median(&mut rates), median(&mut ratios));
    let duration_us = operations / rate / 1e3;
    let direction = format!("{direction:?}");
    if settings.json {
        println!(
            "{{\"name\":\"{name}\",\"m\":{m},\"k\":{k},\"n\":{n},\"direction\":\"{direction}\",\"duration_us\":{duration_us:.2},\
             \"gflops\":{rate:.2},\"of_peak\":{ratio:.4},\"set\":\"{}\",\"threads\":{},\"f32\":{is_f32}}}",
            settings.set, settings.threads
        );
    } else {
        println!("{name:18} {m:5} {k:5} {n:6} {direction:15} {duration_us:9.1} {rate:9.1} {:6.1}%", 100.0 * ratio);
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Time since a moment: of the wall, or of this thread's work.
struct Clock {
    start: Instant,
    ran_ns: Option<u64>,
}

impl Clock {
    fn start(is_busy: bool) -> Clock {
        Clock { start: Instant::now(), ran_ns: is_busy.then(Clock::ran_ns) }
    }
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn ran_ns() -> u64 {
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
        }
        let mut time = [0; 2];
        // SAFETY: `time` has the layout of a timespec there; clock 3 is this thread's own.
        unsafe { clock_gettime(3, &mut time) };
        (time[0] * 1_000_000_000 + time[1]) as u64
    }
    #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
    fn ran_ns() -> u64 {
        panic!("--busy is for 64-bit Linux");
    }
    fn seconds(&self) -> f64 {
        match self.ran_ns {
            Some(before) => (Clock::ran_ns() - before) as f64 / 1e9,
            None => self.start.elapsed().as_secs_f64(),
        }
    }
}

/// Runs multiply-adds that read and write nothing on all threads; returns how many operations.
fn peak_loop(context: &Context, set: InstructionSet, is_f32: bool) -> f64 {
    let turns = 1_000_000;
    context.for_each(context.threads(), |_| {
        std::hint::black_box(register_loop(set, is_f32, turns));
    });
    let lanes = if set >= InstructionSet::Avx512 { 16 } else { 8 };
    let products = if set == InstructionSet::Avx512Bf16 && !is_f32 { 2 } else { 1 };
    (turns * SUMS * lanes * products * 2 * context.threads()) as f64
}

/// Independent sums: enough to hide the delay of a multiply-add.
const SUMS: usize = 12;

fn register_loop(set: InstructionSet, is_f32: bool, turns: usize) -> f32 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the set belongs to a context, so the processor has it.
    unsafe {
        match set {
            InstructionSet::Avx512Bf16 if !is_f32 => return peaks::pairs(turns),
            InstructionSet::Avx512Bf16 | InstructionSet::Avx512 => return peaks::wide(turns),
            InstructionSet::Avx2 => return peaks::narrow(turns),
            _ => {}
        }
    }
    let _ = (set, is_f32);
    let mut sums = [[0.0f32; 8]; SUMS];
    for _ in 0..turns {
        for lane in sums.iter_mut().flatten() {
            *lane = *lane * 0.5 + 1.0;
        }
        std::hint::black_box(&mut sums);
    }
    sums.iter().flatten().sum()
}

#[cfg(target_arch = "x86_64")]
mod peaks {
    use super::SUMS;
    use std::arch::x86_64::*;

    macro_rules! turns {
        ($turns:expr, $sums:ident, $step:expr) => {
            for _ in 0..$turns {
                for sum in &mut $sums {
                    *sum = $step(*sum);
                }
                // SAFETY: an empty instruction; it only keeps the loop from being folded.
                unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
            }
        };
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn pairs(turns: usize) -> f32 {
        let word = std::hint::black_box(_mm512_set1_epi32(0x3c00_3c01));
        // SAFETY: both types are 512 plain bits.
        let word = unsafe { std::mem::transmute::<__m512i, __m512bh>(word) };
        let mut sums = [_mm512_setzero_ps(); SUMS];
        turns!(turns, sums, |sum| _mm512_dpbf16_ps(sum, word, word));
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn wide(turns: usize) -> f32 {
        let factor = std::hint::black_box(_mm512_set1_ps(0.5));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        turns!(turns, sums, |sum| _mm512_fmadd_ps(factor, factor, sum));
        sums.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn narrow(turns: usize) -> f32 {
        let factor = std::hint::black_box(_mm256_set1_ps(0.5));
        let mut sums = [_mm256_setzero_ps(); SUMS];
        turns!(turns, sums, |sum| _mm256_fmadd_ps(factor, factor, sum));
        sums.into_iter().map(|sum| _mm_cvtss_f32(_mm256_castps256_ps128(sum))).sum()
    }
}
