//! Operands that end, or begin, at a page that nobody may touch: a kernel that reads or writes one
//! element outside ends the test program.
#![cfg(unix)]

use apertis_kernels::cpu::attention::heads::{HeadRows, HeadRowsMut};
use apertis_kernels::cpu::attention::{attention, attention_backward};
use apertis_kernels::cpu::head::{
    HeadCoefficients, HeadGradients, HeadInput, HeadMatrix, HeadMatrixMut, HeadOutputs, head_backward, head_forward, logits,
};
use apertis_kernels::cpu::matmul::{Epilogue, MatrixRef, Output, Term, product};
use apertis_kernels::cpu::view::{Rows, RowsMut};
use apertis_kernels::{AttentionShape, Context, Element, HeadOptions, InstructionSet, SequenceSpan};
use half::bf16;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

/// At least the largest page of the processors we know.
const PAGE_BYTES: usize = 64 << 10;

/// Where the elements lie between two forbidden pages.
#[derive(Clone, Copy, Debug)]
enum Side {
    Start,
    End,
}

/// Elements with a forbidden page right before or behind them.
struct Guarded<T> {
    map: *mut std::ffi::c_void,
    map_bytes: usize,
    data: *mut T,
    len: usize,
}

impl<T: Element> Guarded<T> {
    fn new(values: &[f32], side: Side) -> Guarded<T> {
        let bytes = std::mem::size_of_val(values) / size_of::<f32>() * size_of::<T>();
        let room = bytes.next_multiple_of(PAGE_BYTES).max(PAGE_BYTES);
        let map_bytes = room + 2 * PAGE_BYTES;
        // SAFETY: a new map of our own; both forbidden pages are inside it, and so are the elements,
        // which are aligned because pages and `bytes` are.
        unsafe {
            let map = mmap_anonymous(std::ptr::null_mut(), map_bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
                .expect("a few pages");
            let start = map.cast::<u8>();
            mprotect(map, PAGE_BYTES, MprotectFlags::empty()).expect("a page of our own");
            mprotect(start.add(PAGE_BYTES + room).cast(), PAGE_BYTES, MprotectFlags::empty()).expect("a page of our own");
            let offset = match side {
                Side::Start => PAGE_BYTES,
                Side::End => PAGE_BYTES + room - bytes,
            };
            let data = start.add(offset).cast::<T>();
            for (index, value) in values.iter().enumerate() {
                data.add(index).write(T::from_f32(*value));
            }
            Guarded { map, map_bytes, data, len: values.len() }
        }
    }

    fn slice(&self) -> &[T] {
        // SAFETY: `len` elements were written.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    #[expect(clippy::mut_from_ref, reason = "tests hand each output to one call at a time")]
    fn slice_mut(&self) -> &mut [T] {
        // SAFETY: as above; no other reference to these elements lives during a call.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }

    fn check(&self, what: &str) {
        assert!(self.slice().iter().all(|value| value.to_f32().is_finite()), "{what}: an element was not written");
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: the whole map, once; all references to it are gone.
        unsafe { munmap(self.map, self.map_bytes).expect("our own map") };
    }
}

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    (0..count as u32).map(|index| (index.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn input<T: Element>(count: usize, seed: u32, side: Side) -> Guarded<T> {
    Guarded::new(&numbers(count, seed), side)
}

/// What nobody writes stays without a number.
fn output<T: Element>(count: usize, side: Side) -> Guarded<T> {
    Guarded::new(&vec![f32::NAN; count], side)
}

fn contexts() -> Vec<Context> {
    InstructionSet::available().into_iter().map(|set| Context::new(2, set).expect("available sets make contexts")).collect()
}

/// Every layout of one product, with operands of one type each and outputs of both.
fn products<L: Element, R: Element>(contexts: &[Context], (m, k, n): (usize, usize, usize), side: Side)
where
    for<'a> apertis_kernels::cpu::matmul::DataRef<'a>: From<&'a [L]> + From<&'a [R]>,
{
    let (left, right) = (input::<L>(m * k, 1, side), input::<R>(k * n, 2, side));
    let bias = input::<f32>(n, 3, side);
    for layout in 0..4 {
        let left = match layout & 1 {
            0 => MatrixRef::dense(left.slice(), m, k),
            _ => MatrixRef::dense(left.slice(), k, m).transposed(),
        };
        let right = match layout & 2 {
            0 => MatrixRef::dense(right.slice(), k, n),
            _ => MatrixRef::dense(right.slice(), n, k).transposed(),
        };
        let terms = [Term::new(left, right)];
        for context in contexts {
            let what = format!("{}: {m} × {k} × {n}, layout {layout}, {side:?}", context.instruction_set());
            let epilogue = Epilogue { accumulate: false, bias: Some(bias.slice().into()) };
            let out = output::<f32>(m * n, side);
            product(context, Output::F32(RowsMut::dense(out.slice_mut(), m, n)), &terms, &epilogue);
            out.check(&what);
            let out = output::<bf16>(m * n, side);
            product(context, Output::Bf16(RowsMut::dense(out.slice_mut(), m, n)), &terms, &epilogue);
            out.check(&what);
            let epilogue = Epilogue { accumulate: true, bias: None };
            product(context, Output::Bf16(RowsMut::dense(out.slice_mut(), m, n)), &terms, &epilogue);
            out.check(&what);
        }
    }
}

#[test]
fn products_stay_inside_their_operands() {
    let contexts = contexts();
    let sizes = (1..=40).flat_map(|size| [(size, 5, 7), (9, size, 18), (3, 70, size), (50, 33, size), (size, 130, 3)]);
    for size in sizes.chain([(60, 300, 130), (130, 64, 49), (17, 1030, 97)]) {
        for side in [Side::Start, Side::End] {
            products::<f32, f32>(&contexts, size, side);
            products::<bf16, bf16>(&contexts, size, side);
            products::<f32, bf16>(&contexts, size, side);
        }
    }
}

fn attentions<T: Element>(contexts: &[Context], (tokens, keys, width): (usize, usize, usize), side: Side) {
    let (heads, key_heads) = (3, 1);
    let sequences = [SequenceSpan { query_start: 0, query_count: tokens, key_start: 0, key_count: keys }];
    let shape = AttentionShape { scale: 0.3, window: None, soft_cap: None, sequences: &sequences, visible: &[] };
    let (q, dout) = (input::<T>(tokens * heads * width, 1, side), input::<T>(tokens * heads * width, 2, side));
    let (k, v) = (input::<T>(keys * key_heads * width, 3, side), input::<T>(keys * key_heads * width, 4, side));
    let rows = |data: &Guarded<T>, rows, heads| {
        // SAFETY: the elements outlive every use, and nobody writes them meanwhile.
        let rows = unsafe { Rows::from_pointer(data.data.cast_const(), rows, heads * width, heads * width) };
        HeadRows::new(rows, heads, width, width)
    };
    for context in contexts {
        let what = format!("{}: {tokens} queries, {keys} keys, width {width}, {side:?}", context.instruction_set());
        let (out, lse) = (output::<T>(tokens * heads * width, side), output::<f32>(tokens * heads, side));
        let (dq, dk, dv) = (
            output::<T>(tokens * heads * width, side),
            output::<T>(keys * key_heads * width, side),
            output::<T>(keys * key_heads * width, side),
        );
        let (q, k, v, dout) = (rows(&q, tokens, heads), rows(&k, keys, key_heads), rows(&v, keys, key_heads), rows(&dout, tokens, heads));
        let to = |data: &Guarded<T>, rows, heads| {
            // SAFETY: the elements outlive every use, and the call that gets them is their only writer.
            let rows = unsafe { RowsMut::from_pointer(data.data, rows, heads * width, heads * width) };
            HeadRowsMut::new(rows, heads, width, width)
        };
        attention(context, &to(&out, tokens, heads), &RowsMut::dense(lse.slice_mut(), tokens, heads), &q, &k, &v, &shape);
        attention_backward(
            context,
            &to(&dq, tokens, heads),
            &to(&dk, keys, key_heads),
            &to(&dv, keys, key_heads),
            &dout,
            &rows(&out, tokens, heads),
            &Rows::dense(lse.slice(), tokens, heads),
            &q,
            &k,
            &v,
            &shape,
        );
        lse.check(&what);
        [&out, &dq, &dk, &dv].into_iter().for_each(|written| written.check(&what));
    }
}

#[test]
fn attention_stays_inside_its_operands() {
    let contexts = contexts();
    for size in 1..=40 {
        for side in [Side::Start, Side::End] {
            for sizes in [(3, 5, size), (size, size, 24), (2, size + 1, 9)] {
                attentions::<f32>(&contexts, sizes, side);
                attentions::<bf16>(&contexts, sizes, side);
            }
        }
    }
}

#[test]
fn the_head_stays_inside_its_operands() {
    let contexts = contexts();
    let options = HeadOptions { scale: 1.0, soft_cap: None };
    for size in 1..=40 {
        for side in [Side::Start, Side::End] {
            for (tokens, vocabulary, width) in [(size, 9, 5), (3, size, 6), (4, 19, size)] {
                let (x, weight) = (input::<bf16>(tokens * width, 1, side), input::<bf16>(vocabulary * width, 2, side));
                let targets: Vec<u32> = (0..tokens as u32).map(|token| token % vocabulary as u32).collect();
                let input = HeadInput {
                    x_td: HeadMatrix::Bf16(Rows::dense(x.slice(), tokens, width)),
                    weight_vd: HeadMatrix::Bf16(Rows::dense(weight.slice(), vocabulary, width)),
                    targets_t: Rows::dense(&targets, tokens, 1),
                    options,
                };
                let ones = Guarded::<f32>::new(&vec![1.0; tokens], side);
                let coefficient = Rows::dense(ones.slice(), tokens, 1);
                let coefficients = HeadCoefficients { dlogp_t: coefficient, dlse_t: coefficient, dmean_t: coefficient };
                for context in &contexts {
                    let what = format!("{}: {tokens} × {vocabulary} × {width}, {side:?}", context.instruction_set());
                    let all = output::<f32>(tokens * vocabulary, side);
                    logits(context, &RowsMut::dense(all.slice_mut(), tokens, vocabulary), input.x_td, input.weight_vd, options);
                    all.check(&what);
                    let columns = [0; 4].map(|_| output::<f32>(tokens, side));
                    let column = |index: usize| RowsMut::dense(columns[index].slice_mut(), tokens, 1);
                    let outputs = HeadOutputs { logp_t: column(0), lse_t: column(1), mean_logit_t: column(2), correct_t: column(3) };
                    head_forward(context, &outputs, &input);
                    let dx = output::<f32>(tokens * width, side);
                    let dweight = Guarded::<f32>::new(&vec![0.0; vocabulary * width], side);
                    let gradients = HeadGradients {
                        dx_td: HeadMatrixMut::F32(RowsMut::dense(dx.slice_mut(), tokens, width)),
                        dweight_vd: Some(RowsMut::dense(dweight.slice_mut(), vocabulary, width)),
                    };
                    head_backward(context, &gradients, &input, Rows::dense(columns[1].slice(), tokens, 1), &coefficients);
                    columns.iter().chain([&dx, &dweight]).for_each(|written| written.check(&what));
                }
            }
        }
    }
}
