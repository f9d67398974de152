//! Matrix products of every instruction set against the scalar reference, which sums in F64.

use apertis_kernels::cpu::matmul::{DataRef, Epilogue, MatrixRef, Output, Product, Term, product, products};
use apertis_kernels::cpu::view::RowsMut;
use apertis_kernels::{Context, Dtype, Element, InstructionSet};
use half::{bf16, f16};

/// Numbers between -1 and 1 that are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
    fn value(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A stored matrix with gaps between its rows.
struct Stored {
    f32: Vec<f32>,
    bf16: Vec<bf16>,
    f16: Vec<f16>,
    dtype: Dtype,
    rows: usize,
    columns: usize,
    row_stride: usize,
    is_transposed: bool,
}

impl Stored {
    fn new(numbers: &mut Numbers, rows: usize, columns: usize, dtype: Dtype, is_transposed: bool, gap: usize) -> Stored {
        let (rows, columns) = if is_transposed { (columns, rows) } else { (rows, columns) };
        let row_stride = columns + gap;
        // What lies between the rows must not be read, or it would turn the result into NaN.
        let mut value = |index: usize| if index % row_stride < columns { numbers.value() } else { f32::NAN };
        let f32: Vec<f32> = (0..rows * row_stride).map(&mut value).collect();
        let bf16 = f32.iter().map(|&value| <bf16 as Element>::from_f32(value)).collect();
        let f16 = f32.iter().map(|&value| <f16 as Element>::from_f32(value)).collect();
        Stored { f32, bf16, f16, dtype, rows, columns, row_stride, is_transposed }
    }
    fn data(&self) -> DataRef<'_> {
        match self.dtype {
            Dtype::F32 => DataRef::F32(&self.f32),
            Dtype::Bf16 => DataRef::Bf16(&self.bf16),
            _ => DataRef::F16(&self.f16),
        }
    }
    fn view(&self) -> MatrixRef<'_> {
        let view = MatrixRef::new(self.data(), self.rows, self.columns, self.row_stride);
        if self.is_transposed { view.transposed() } else { view }
    }
    /// The same matrix without signs: products of these bound rounding errors.
    fn magnitudes(&self) -> Stored {
        let f32: Vec<f32> = (0..self.f32.len()).map(|index| self.data().get(index).abs()).collect();
        Stored { f32, bf16: Vec::new(), f16: Vec::new(), dtype: Dtype::F32, ..*self }
    }
}

/// k, scale, left dtype, right dtype, left transposed, right transposed, gap between rows.
type TermCase = (usize, f32, Dtype, Dtype, bool, bool, usize);

/// One product to try.
#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    terms: Vec<TermCase>,
    out: Dtype,
    accumulate: bool,
    bias: Option<Dtype>,
}

impl Case {
    fn plain(m: usize, k: usize, n: usize, dtype: Dtype, left_transposed: bool, right_transposed: bool) -> Case {
        let terms = vec![(k, 1.0, dtype, dtype, left_transposed, right_transposed, 0)];
        Case { m, n, terms, out: Dtype::F32, accumulate: false, bias: None }
    }
}

const OUT_GAP: usize = 3;

/// Computes a case on one context, as `f32`, the gaps between rows included.
fn compute(context: &Context, case: &Case, stored: &[(Stored, Stored)], bias: Option<&Stored>, before: &[f32]) -> Vec<f32> {
    let terms: Vec<_> = stored
        .iter()
        .zip(&case.terms)
        .map(|((left, right), term)| Term { left: left.view(), right: right.view(), scale: term.1 })
        .collect();
    let epilogue = Epilogue { accumulate: case.accumulate, bias: bias.map(Stored::data) };
    let stride = case.n + OUT_GAP;
    if case.out == Dtype::F32 {
        let mut out = before.to_vec();
        product(context, Output::F32(RowsMut::new(&mut out, case.m, case.n, stride)), &terms, &epilogue);
        out
    } else {
        let mut out: Vec<bf16> = before.iter().map(|&value| <bf16 as Element>::from_f32(value)).collect();
        product(context, Output::Bf16(RowsMut::new(&mut out, case.m, case.n, stride)), &terms, &epilogue);
        out.into_iter().map(|value| value.to_f32()).collect()
    }
}

/// Runs a case on all instruction sets and compares with the reference.
fn check(contexts: &[Context], case: &Case, seed: u64) {
    let mut numbers = Numbers(seed);
    let stored: Vec<_> = case
        .terms
        .iter()
        .map(|&(k, _, left, right, left_transposed, right_transposed, gap)| {
            let left = Stored::new(&mut numbers, case.m, k, left, left_transposed, gap);
            (left, Stored::new(&mut numbers, k, case.n, right, right_transposed, gap))
        })
        .collect();
    let bias = case.bias.map(|dtype| Stored::new(&mut numbers, 1, case.n, dtype, false, 0));
    let before: Vec<f32> = (0..case.m * (case.n + OUT_GAP)).map(|_| <bf16 as Element>::from_f32(numbers.value()).to_f32()).collect();
    let reference = Context::new(2, InstructionSet::Scalar).expect("the reference runs everywhere");
    let expected = compute(&reference, case, &stored, bias.as_ref(), &before);
    let magnitudes: Vec<_> = stored.iter().map(|(left, right)| (left.magnitudes(), right.magnitudes())).collect();
    let magnitude_case = Case {
        terms: case.terms.iter().map(|&(k, scale, _, _, l, r, gap)| (k, scale.abs(), Dtype::F32, Dtype::F32, l, r, gap)).collect(),
        out: Dtype::F32,
        accumulate: false,
        bias: None,
        ..case.clone()
    };
    let bounds = compute(&reference, &magnitude_case, &magnitudes, None, &before);
    let k: usize = case.terms.iter().map(|term| term.0).sum();
    for context in contexts {
        let found = compute(context, case, &stored, bias.as_ref(), &before);
        // An operand of a mixed pair is rounded to bf16 first: half a unit of 8 bits.
        let rounds_operands = context.instruction_set() == InstructionSet::Avx512Bf16
            && case.terms.iter().any(|term| (term.2 == Dtype::Bf16) != (term.3 == Dtype::Bf16));
        let operand_error = if rounds_operands { 1.0 / 256.0 } else { 0.0 };
        // Sums of k products in F32; vdpbf16ps rounds twice a pair and drops denormals.
        let sum_error = (k + 8) as f32 * f32::EPSILON;
        for (index, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
            if index % (case.n + OUT_GAP) >= case.n {
                assert!(
                    found == before[index],
                    "{}: wrote {found} into a gap at {index} that held {}, {case:?}",
                    context.instruction_set(),
                    before[index]
                );
                continue;
            }
            let result_error = if case.out == Dtype::Bf16 { expected.abs() / 128.0 } else { 0.0 };
            let tolerance = bounds[index] * (operand_error + sum_error) + result_error + 4.0 * f32::EPSILON;
            assert!(
                (found - expected).abs() <= tolerance,
                "{}: element {index} is {found}, expected {expected} ± {tolerance}, {case:?}",
                context.instruction_set()
            );
        }
    }
}

fn contexts(threads: usize) -> Vec<Context> {
    let sets = InstructionSet::available().into_iter().filter(|&set| set != InstructionSet::Scalar);
    sets.map(|set| Context::new(threads, set).expect("the set is available")).collect()
}

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::Bf16, Dtype::F16];

#[test]
fn every_edge_shape_equals_the_reference() {
    let contexts = contexts(2);
    let mut seed = 0;
    for m in [1, 2, 7, 8, 9, 23, 65] {
        for n in [1, 15, 16, 17, 49, 97, 130] {
            for k in [1, 2, 3, 31, 66] {
                for layout in 0..4 {
                    for dtype in DTYPES {
                        seed += 1;
                        check(&contexts, &Case::plain(m, k, n, dtype, layout & 1 == 1, layout & 2 == 2), seed);
                    }
                }
            }
        }
    }
}

#[test]
fn every_small_size_equals_the_reference() {
    let contexts = contexts(2);
    for size in 1..=40 {
        for (index, (m, k, n)) in [(size, 5, 7), (9, size, 18), (3, 70, size), (size, 70, size), (50, size, size)].into_iter().enumerate() {
            for layout in 0..4 {
                for dtype in DTYPES {
                    for out in [Dtype::F32, Dtype::Bf16] {
                        let plain = Case::plain(m, k, n, dtype, layout & 1 == 1, layout & 2 == 2);
                        let bias = (size % 2 == 0).then_some(Dtype::F32);
                        check(&contexts, &Case { out, accumulate: size % 3 == 0, bias, ..plain }, (5 * size + index) as u64);
                    }
                }
            }
        }
    }
}

#[test]
fn random_sums_of_mixed_terms_equal_the_reference() {
    let contexts = contexts(2);
    let mut numbers = Numbers(7);
    for seed in 0..400 {
        let count = numbers.below(4);
        let terms = (0..count).map(|_| {
            let k = if numbers.below(4) == 0 { numbers.below(300) } else { numbers.below(40) };
            let scale = numbers.pick(&[1.0, 1.0, 2.0, -0.3, 0.0, 17.5]);
            let (left, right) = (numbers.pick(&DTYPES), numbers.pick(&DTYPES));
            (k, scale, left, right, numbers.below(2) == 0, numbers.below(2) == 0, numbers.below(3))
        });
        let terms = terms.collect();
        let case = Case {
            m: 1 + numbers.below(90),
            n: 1 + numbers.below(120),
            terms,
            out: numbers.pick(&[Dtype::F32, Dtype::Bf16]),
            accumulate: numbers.below(2) == 0,
            bias: numbers.pick(&[None, Some(Dtype::F32), Some(Dtype::Bf16)]),
        };
        check(&contexts, &case, seed);
    }
}

#[test]
fn long_sums_and_large_outputs_are_cut_without_loss() {
    let contexts = contexts(2);
    let cases = [
        (20, 9000, 70, false, false),
        (7, 5001, 50, true, true),
        (700, 4200, 20, true, false),
        (24, 4200, 900, false, true),
        (24, 2048, 50, false, true),
    ];
    for (seed, (m, k, n, left_transposed, right_transposed)) in cases.into_iter().enumerate() {
        for (dtype, out) in [(Dtype::F32, Dtype::F32), (Dtype::Bf16, Dtype::Bf16)] {
            let mut case = Case { out, accumulate: true, ..Case::plain(m, k, n, dtype, left_transposed, right_transposed) };
            case.bias = Some(Dtype::Bf16);
            check(&contexts, &case, seed as u64);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let cases = [
        Case::plain(300, 200, 260, Dtype::Bf16, false, true),
        Case::plain(260, 301, 200, Dtype::F32, true, false),
        Case::plain(3, 700, 900, Dtype::Bf16, false, true),
        Case::plain(16, 900, 576, Dtype::Bf16, true, false),
        Case::plain(576, 900, 16, Dtype::Bf16, true, false),
    ];
    for case in cases {
        let mut numbers = Numbers(3);
        let (k, _, left, right, left_transposed, right_transposed, gap) = case.terms[0];
        let left = Stored::new(&mut numbers, case.m, k, left, left_transposed, gap);
        let right = Stored::new(&mut numbers, k, case.n, right, right_transposed, gap);
        let (stored, before) = ([(left, right)], vec![0.0; case.m * (case.n + OUT_GAP)]);
        for set in InstructionSet::available() {
            let results = [1, 2, 3].map(|threads| {
                let context = Context::new(threads, set).expect("the set is available");
                let found = compute(&context, &case, &stored, None, &before);
                found.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert!(results[0] == results[1] && results[0] == results[2], "{set}: {case:?}");
        }
    }
}

#[test]
fn products_computed_together_equal_those_computed_alone() {
    let mut numbers = Numbers(11);
    let shapes = [(5, 64, 96), (0, 64, 96), (130, 64, 96), (1, 64, 96), (40, 3000, 500), (33, 64, 96)];
    let stored = shapes.map(|(m, k, n)| {
        let left = Stored::new(&mut numbers, m, k, Dtype::Bf16, false, 0);
        (left, Stored::new(&mut numbers, k, n, Dtype::Bf16, true, 0))
    });
    let terms: Vec<_> = stored.iter().map(|(left, right)| [Term::new(left.view(), right.view())]).collect();
    for context in contexts(2) {
        let mut together: Vec<Vec<f32>> = shapes.iter().map(|&(m, _, n)| vec![0.0; m * n]).collect();
        let mut alone = together.clone();
        let outputs = together.iter_mut().zip(&shapes).map(|(out, &(m, _, n))| Output::F32(RowsMut::dense(out, m, n)));
        let group: Vec<_> = outputs.zip(&terms).map(|(output, terms)| Product { output, terms, epilogue: Epilogue::default() }).collect();
        products(&context, &group);
        drop(group);
        for ((out, &(m, _, n)), terms) in alone.iter_mut().zip(&shapes).zip(&terms) {
            product(&context, Output::F32(RowsMut::dense(out, m, n)), terms, &Epilogue::default());
        }
        assert!(together == alone, "{}", context.instruction_set());
    }
}
