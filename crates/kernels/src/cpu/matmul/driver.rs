//! Runs products: packs the operands of a few blocks, then computes their tiles, both on all
//! threads. Every element of the output is the work of one task, in a fixed order.

use std::borrow::Cow;

use crate::context::Context;
use crate::cpu::view::RowsMut;
use crate::dtype::Element;

use super::dots::{self, DotKernel};
use super::operand::{DataRef, Output, Product, Term};
use super::plan::{self, Chunk, KernelShape, Piece};
use super::scratch::Scratch;
use super::stage::{Place, Stage};
use super::tile::{MicroKernel, TilePointer};

/// Packed words of small products that are computed together.
const BATCH_WORDS: usize = 1 << 20;
/// Words below which one thread packs everything: waking another takes longer.
const PACK_ALONE_WORDS: usize = 48 << 10;

/// Computes products with one micro-kernel.
pub(super) fn run<K: MicroKernel + DotKernel>(context: &Context, products: &[Product]) {
    let shape = KernelShape { rows: K::ROWS, strip_rows: K::STRIP_ROWS, lanes: K::LANES, vectors: K::VECTORS };
    let mut open = Vec::with_capacity(products.len());
    for product in products.iter().filter(|product| product.output.rows() > 0 && product.output.columns() > 0) {
        let target = Target::new(product);
        if !dots::run::<K>(context, product, target.bias.as_deref(), (target.pointer, target.row_stride)) {
            open.push(if is_better_exchanged(product) { target.exchanged() } else { target });
        }
    }
    let planned: Vec<_> = open.iter().map(|target| Planned { target, passes: plan::passes(&target.terms, K::HAS_PAIRS) }).collect();
    Scratch::with(|scratch| {
        let mut batch = Vec::new();
        let mut batch_words = 0;
        for planned in &planned {
            if let [pieces] = planned.passes.as_slice()
                && let [chunk] = plan::chunks(planned.target.m, planned.target.n, pieces, shape).as_slice()
            {
                let stage = planned.stage(0, chunk, batch_words, planned.target.place(), shape);
                batch_words = stage.end_words();
                batch.push(stage);
                if batch_words >= BATCH_WORDS {
                    run_stages::<K>(context, scratch, &batch);
                    batch.clear();
                    batch_words = 0;
                }
            } else {
                run_stages::<K>(context, scratch, &batch);
                batch.clear();
                batch_words = 0;
                planned.run_alone::<K>(context, scratch, shape);
            }
        }
        run_stages::<K>(context, scratch, &batch);
    });
}

/// What is computed and where it goes; rows and columns may have been exchanged.
struct Target<'a> {
    m: usize,
    n: usize,
    terms: Cow<'a, [Term<'a>]>,
    output: &'a Output<'a>,
    pointer: TilePointer,
    row_stride: usize,
    column_stride: usize,
    accumulate: bool,
    bias: Option<Cow<'a, [f32]>>,
}

impl<'a> Target<'a> {
    fn new(product: &'a Product<'a>) -> Target<'a> {
        let (pointer, row_stride) = match &product.output {
            Output::F32(rows) => (TilePointer::F32(rows.pointer()), rows.row_stride),
            Output::Bf16(rows) => (TilePointer::Bf16(rows.pointer()), rows.row_stride),
        };
        Target {
            m: product.output.rows(),
            n: product.output.columns(),
            terms: Cow::Borrowed(product.terms),
            output: &product.output,
            pointer,
            row_stride,
            column_stride: 1,
            accumulate: product.epilogue.accumulate,
            bias: product.epilogue.bias.as_ref().map(widen),
        }
    }

    /// The transpose: `outᵀ = Σ scale · rightᵀ · leftᵀ`.
    fn exchanged(self) -> Target<'a> {
        let exchange = |term: &Term<'a>| Term { left: term.right.transposed(), right: term.left.transposed(), scale: term.scale };
        Target {
            m: self.n,
            n: self.m,
            terms: self.terms.iter().map(exchange).collect(),
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Sums go to the output itself.
    fn place(&self) -> Place<'_> {
        Place {
            pointer: self.pointer,
            row_stride: self.row_stride,
            column_stride: self.column_stride,
            accumulate: self.accumulate,
            bias: self.bias.as_deref(),
        }
    }
}

/// Whether few columns would leave most of a panel empty while rows lie side by side, as in the
/// gradient of the outer side of an adapter.
fn is_better_exchanged(product: &Product) -> bool {
    let (m, n) = (product.output.rows(), product.output.columns());
    n <= 16
        && m >= 4 * n
        && matches!(product.output, Output::F32(_))
        && product.epilogue.bias.is_none()
        && product.terms.iter().all(|term| term.left.column_stride != 1)
}

/// A product with its cuts along k.
struct Planned<'a> {
    target: &'a Target<'a>,
    passes: Vec<Vec<Piece<'a>>>,
}

impl Planned<'_> {
    /// One chunk of one pass, its packed operands starting at `first_word` of the scratch memory.
    fn stage<'b>(&'b self, pass: usize, chunk: &Chunk, first_word: usize, place: Place<'b>, shape: KernelShape) -> Stage<'b> {
        let bias = place.bias.filter(|_| pass + 1 == self.passes.len());
        let place = Place { accumulate: pass > 0 || place.accumulate, bias, ..place };
        Stage::new(&self.passes[pass], chunk.clone(), place, first_word, shape)
    }

    /// Runs a product of several passes or chunks, one after another.
    fn run_alone<K: MicroKernel>(&self, context: &Context, scratch: &mut Scratch, shape: KernelShape) {
        let (m, n) = (self.target.m, self.target.n);
        // Sums of several passes are rounded once, at the end.
        let mut sums = match self.target.output {
            Output::Bf16(_) if self.passes.len() > 1 => scratch.take_sums(m * n),
            _ => Vec::new(),
        };
        let mut place = self.target.place();
        if !sums.is_empty() {
            place = Place { pointer: TilePointer::F32(sums.as_mut_ptr()), row_stride: n, column_stride: 1, accumulate: false, ..place };
        }
        for (pass, pieces) in self.passes.iter().enumerate() {
            for chunk in plan::chunks(m, n, pieces, shape) {
                let stage = self.stage(pass, &chunk, 0, place, shape);
                run_stages::<K>(context, scratch, std::slice::from_ref(&stage));
            }
        }
        if let (Output::Bf16(rows), false) = (self.target.output, sums.is_empty()) {
            round_sums(context, rows, &sums, self.target.accumulate);
        }
        scratch.return_sums(sums);
    }
}

fn widen<'a>(bias: &DataRef<'a>) -> Cow<'a, [f32]> {
    match *bias {
        DataRef::F32(data) => Cow::Borrowed(data),
        DataRef::Bf16(data) => data.iter().map(|element| Element::to_f32(*element)).collect(),
        DataRef::F16(data) => data.iter().map(|element| Element::to_f32(*element)).collect(),
    }
}

fn round_sums<T: Element>(context: &Context, rows: &RowsMut<T>, sums: &[f32], accumulate: bool) {
    context.for_each(rows.rows, |row| {
        // SAFETY: each row is one task's.
        let places = unsafe { rows.row(row) };
        for (place, &sum) in places.iter_mut().zip(&sums[row * rows.columns..]) {
            let before = if accumulate { place.to_f32() } else { 0.0 };
            *place = T::from_f32(before + sum);
        }
    });
}

/// Packs for all stages, then computes all of them.
fn run_stages<K: MicroKernel>(context: &Context, scratch: &mut Scratch, stages: &[Stage]) {
    let words = scratch.words(stages.last().map_or(0, Stage::end_words));
    let set = context.instruction_set();
    let packs: Vec<_> =
        stages.iter().enumerate().flat_map(|(index, stage)| stage.pack_tasks().into_iter().map(move |task| (index, task))).collect();
    let pack = |index: usize| {
        let (stage, task) = &packs[index];
        // SAFETY: the tasks of all stages write disjoint parts of the scratch memory, which
        // `words` made large enough; nothing reads it before all are done.
        unsafe { stages[*stage].pack(set, task, words) };
    };
    let pack_words: usize = stages.iter().map(Stage::pack_words).sum();
    if pack_words <= PACK_ALONE_WORDS {
        (0..packs.len()).for_each(pack);
    } else {
        context.for_each(packs.len(), pack);
    }
    let tiles: Vec<_> =
        stages.iter().enumerate().flat_map(|(index, stage)| stage.tile_tasks().into_iter().map(move |task| (index, task))).collect();
    context.for_each(tiles.len(), |index| {
        let (stage, task) = &tiles[index];
        // SAFETY: packing is done, the instruction set is that of the context, and tasks cover
        // disjoint blocks of disjoint outputs.
        unsafe { stages[*stage].compute::<K>(set, task, words) };
    });
}
