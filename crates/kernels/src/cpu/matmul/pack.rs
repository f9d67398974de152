//! Copies operands into the order a micro-kernel reads: panels of whole vectors, one word (an F32
//! or a pair of bf16) along k after another.

use std::ops::Range;

use half::{bf16, f16};

use crate::dtype::Element;
use crate::instruction_set::{InstructionSet, vectorized};

use super::plan::{Panels, WordKind};

/// Words of a block that is turned from rows to columns at once.
const BLOCK: usize = 16;

/// An element that can become half a pair.
pub(super) trait PackElement: Element {
    /// The word kind that holds this element as it is.
    const KIND: Option<WordKind>;
    /// The bits after rounding to bf16.
    #[inline(always)]
    fn bf16_bits(self) -> u32 {
        u32::from(<bf16 as Element>::from_f32(self.to_f32()).to_bits())
    }
}

impl PackElement for f32 {
    const KIND: Option<WordKind> = Some(WordKind::Single);
}
impl PackElement for bf16 {
    const KIND: Option<WordKind> = Some(WordKind::Pair);
    #[inline(always)]
    fn bf16_bits(self) -> u32 {
        u32::from(self.to_bits())
    }
}
impl PackElement for f16 {
    const KIND: Option<WordKind> = None;
}

#[inline(always)]
fn single<T: PackElement>(element: T) -> u32 {
    element.to_f32().to_bits()
}

#[inline(always)]
fn pair<T: PackElement>(low: T, high: T) -> u32 {
    low.bf16_bits() | high.bf16_bits() << 16
}

/// Words along k from one row of the source.
#[inline(always)]
fn words_along<T: PackElement>(words: &mut [u32], row: &[T], kind: WordKind) {
    match kind {
        WordKind::Single => words.iter_mut().zip(row).for_each(|(word, &element)| *word = single(element)),
        WordKind::Pair => {
            let (pairs, rest) = row.as_chunks::<2>();
            words.iter_mut().zip(pairs).for_each(|(word, &[low, high])| *word = pair(low, high));
            if let ([last], Some(word)) = (rest, words.get_mut(pairs.len())) {
                *word = last.bf16_bits();
            }
        }
    }
}

/// A source whose columns lie side by side: element (k, c) is at `k * k_stride + c`.
pub(super) struct Across<'a, T> {
    pub(super) data: &'a [T],
    pub(super) k_stride: usize,
    pub(super) elements: usize,
    pub(super) kind: WordKind,
}

/// Columns that are packed at once; vectors of every micro-kernel are a multiple.
const STEP: usize = 8;

vectorized! {
    /// See [`pack_across`].
    fn pack_across_body<T: PackElement>(
        source: &Across<'_, T>,
        panels: &Panels,
        panel_range: Range<usize>,
        word_range: Range<usize>,
        out: *mut u32,
    ) {
        let words = source.elements.div_ceil(source.kind.elements());
        let whole_words = source.elements / source.kind.elements();
        if words == 0 || panels.columns == 0 {
            return;
        }
        assert!((source.elements - 1) * source.k_stride + panels.columns <= source.data.len(), "pack: a source that is too short");
        // A few rows at a time: their pages and lines stay at hand from one panel to the next.
        for first_word in word_range.clone().step_by(BLOCK) {
            let last_word = word_range.end.min(first_word + BLOCK);
            for index in panel_range.clone() {
                let (first, vectors) = panels.panel(index);
                let width = vectors * panels.lanes();
                let block = AcrossBlock {
                    from: source.data.as_ptr().wrapping_add(first_word * source.kind.elements() * source.k_stride + first),
                    k_stride: source.k_stride,
                    to: out.wrapping_add(first * words + first_word * width),
                    words: last_word.min(whole_words).saturating_sub(first_word),
                };
                // SAFETY: the panel's columns are inside the source's rows where it is whole, and
                // it takes `width * words` words at `first * words`, which the caller set aside.
                unsafe {
                    match (first + width <= panels.columns, source.kind, width / STEP) {
                        (true, WordKind::Pair, 1) => block.pack::<1, true>(),
                        (true, WordKind::Pair, 2) => block.pack::<2, true>(),
                        (true, WordKind::Pair, 3) => block.pack::<3, true>(),
                        (true, WordKind::Pair, 4) => block.pack::<4, true>(),
                        (true, WordKind::Pair, 6) => block.pack::<6, true>(),
                        (true, WordKind::Single, 1) => block.pack::<1, false>(),
                        (true, WordKind::Single, 2) => block.pack::<2, false>(),
                        (true, WordKind::Single, 3) => block.pack::<3, false>(),
                        (true, WordKind::Single, 4) => block.pack::<4, false>(),
                        (true, WordKind::Single, 6) => block.pack::<6, false>(),
                        _ => {
                            pack_edge(source, first..first + width, panels.columns, first_word..last_word, block.to);
                            continue;
                        }
                    }
                    if last_word > whole_words {
                        let target = block.to.wrapping_add((whole_words - first_word) * width);
                        pack_edge(source, first..first + width, panels.columns, whole_words..last_word, target);
                    }
                }
            }
        }
    }
}

/// Some words of one panel, all its columns inside the source.
struct AcrossBlock<T> {
    from: *const T,
    k_stride: usize,
    to: *mut u32,
    words: usize,
}

impl<T: PackElement> AcrossBlock<T> {
    /// Packs `STEPS` times 8 columns.
    ///
    /// # Safety
    /// Source and target are as long as the block says.
    #[inline(always)]
    unsafe fn pack<const STEPS: usize, const PAIRS: bool>(&self) {
        let rows = if PAIRS { 2 } else { 1 };
        for word in 0..self.words {
            let low = self.from.wrapping_add(word * rows * self.k_stride);
            let high = low.wrapping_add(self.k_stride);
            let to = self.to.wrapping_add(word * STEPS * STEP);
            prefetch::<T, STEPS>(low.wrapping_add(BLOCK * rows * self.k_stride));
            if PAIRS {
                prefetch::<T, STEPS>(high.wrapping_add(BLOCK * rows * self.k_stride));
            }
            for step in 0..STEPS {
                // SAFETY: by the contract.
                unsafe {
                    let low = low.add(step * STEP).cast::<[T; STEP]>().read();
                    let words = if PAIRS {
                        let high = high.add(step * STEP).cast::<[T; STEP]>().read();
                        std::array::from_fn(|lane| pair(low[lane], high[lane]))
                    } else {
                        low.map(single)
                    };
                    to.add(step * STEP).cast::<[u32; STEP]>().write(words);
                }
            }
        }
    }
}

/// Packs words of a panel that is not whole, or the last half word.
///
/// # Safety
/// `to` has room for the words of the panel.
#[inline(always)]
unsafe fn pack_edge<T: PackElement>(
    source: &Across<'_, T>,
    panel: Range<usize>,
    columns: usize,
    word_range: Range<usize>,
    mut to: *mut u32,
) {
    let columns = columns.min(panel.end).saturating_sub(panel.start);
    let row = |k: usize| match k < source.elements {
        true => &source.data[k * source.k_stride + panel.start..][..columns],
        false => &[],
    };
    for word in word_range {
        // SAFETY: by the contract.
        let words = unsafe { std::slice::from_raw_parts_mut(to, panel.len()) };
        words.fill(0);
        match source.kind {
            WordKind::Single => words.iter_mut().zip(row(word)).for_each(|(word, &element)| *word = single(element)),
            WordKind::Pair => {
                words.iter_mut().zip(row(2 * word)).for_each(|(word, &low)| *word = low.bf16_bits());
                words.iter_mut().zip(row(2 * word + 1)).for_each(|(word, &high)| *word |= high.bf16_bits() << 16);
            }
        }
        to = to.wrapping_add(panel.len());
    }
}

/// Asks for 8 times `STEPS` elements that are packed soon.
#[inline(always)]
fn prefetch<T, const STEPS: usize>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..(STEPS * STEP * size_of::<T>()).div_ceil(64) {
        // SAFETY: prefetching reads nothing and may be told any address.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.cast::<i8>().wrapping_add(line * 64)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Packs some words of some panels of a source whose columns lie side by side.
///
/// # Safety
/// `out`, where the first of all panels would begin, has room for the panels of `panel_range`;
/// no one else uses these words of it.
pub(super) unsafe fn pack_across<T: PackElement>(
    set: InstructionSet,
    source: &Across<'_, T>,
    panels: &Panels,
    panel_range: Range<usize>,
    word_range: Range<usize>,
    out: *mut u32,
) {
    pack_across_body(set, source, panels, panel_range, word_range, out);
}

/// A source whose elements along k lie side by side: element (k, c) is at `c * column_stride + k`.
pub(super) struct Along<'a, T> {
    pub(super) data: &'a [T],
    pub(super) column_stride: usize,
    pub(super) elements: usize,
    pub(super) kind: WordKind,
}

impl<T> Along<'_, T> {
    fn column(&self, index: usize) -> &[T] {
        &self.data[index * self.column_stride..][..self.elements]
    }
}

vectorized! {
    /// Copies columns `range` one after another, `stride` words apart.
    fn copy_along_body<T: PackElement>(source: &Along<'_, T>, range: Range<usize>, stride: usize, out: *mut u32) {
        let words = source.elements.div_ceil(source.kind.elements());
        for column in range {
            // SAFETY: the caller has set aside `stride` words for each column.
            let target = unsafe { std::slice::from_raw_parts_mut(out.add(column * stride), words) };
            words_along(target, &source.data[column * source.column_stride..][..source.elements], source.kind);
        }
    }
}

/// Copies columns (rows of the left operand) one after another, `stride` words apart.
///
/// # Safety
/// `out` has room for `stride` words a column; no one else uses those of `range`.
pub(super) unsafe fn copy_along<T: PackElement>(
    set: InstructionSet,
    source: &Along<'_, T>,
    range: Range<usize>,
    stride: usize,
    out: *mut u32,
) {
    copy_along_body(set, source, range, stride, out);
}

vectorized! {
    /// Brings up to 16 columns of up to 16 words into `block`, a column a row, zeros elsewhere.
    fn load_block<T: PackElement>(block: &mut [[u32; BLOCK]; BLOCK], source: &Along<'_, T>, columns: Range<usize>, first_word: usize) {
        let first_k = first_word * source.kind.elements();
        let last_k = source.elements.min(first_k + BLOCK * source.kind.elements());
        *block = [[0; BLOCK]; BLOCK];
        for (row, column) in block.iter_mut().zip(columns) {
            words_along(row, &source.data[column * source.column_stride + first_k..column * source.column_stride + last_k], source.kind);
        }
    }
}

/// Packs the panels `range` of a source whose elements along k lie side by side.
///
/// # Safety
/// `out`, where the first of all panels would begin, has room for the panels of `range`; no one
/// else uses these words of it.
pub(super) unsafe fn pack_along<T: PackElement>(
    set: InstructionSet,
    source: &Along<'_, T>,
    panels: &Panels,
    range: Range<usize>,
    out: *mut u32,
) {
    let words = source.elements.div_ceil(source.kind.elements());
    let whole_words = source.elements / source.kind.elements();
    let lanes = panels.lanes();
    let mut block = [[0; BLOCK]; BLOCK];
    for index in range {
        let (first, vectors) = panels.panel(index);
        let width = vectors * lanes;
        for first_word in (0..words).step_by(BLOCK) {
            let word_count = BLOCK.min(words - first_word);
            for lane in (0..width).step_by(lanes) {
                let first_column = first + lane;
                let last_column = panels.columns.min(first_column + lanes);
                let is_whole = lanes == BLOCK && first_column + BLOCK <= last_column && first_word + BLOCK <= whole_words;
                let (from, stride_bytes) = if is_whole && T::KIND == Some(source.kind) {
                    let from = &source.column(first_column)[first_word * source.kind.elements()..];
                    (from.as_ptr().cast::<u8>(), source.column_stride * size_of::<T>())
                } else {
                    load_block(set, &mut block, source, first_column..last_column, first_word);
                    (block.as_ptr().cast::<u8>(), size_of::<[u32; BLOCK]>())
                };
                // SAFETY: both blocks are inside source (16 columns of 16 words, checked above, or
                // the local block) and target (the panel's `width * words` words).
                unsafe {
                    let to = out.wrapping_add(first * words + first_word * width + lane);
                    turn_block(set, from, stride_bytes, to, width, word_count, lanes);
                }
            }
        }
    }
}

/// Writes `word_count` rows of `lanes` words: row w holds word w of each of `lanes` columns.
///
/// # Safety
/// `from` has 16 readable words in each of `lanes` columns, `to` is writable as described.
#[inline(always)]
unsafe fn turn_block(
    set: InstructionSet,
    from: *const u8,
    stride_bytes: usize,
    to: *mut u32,
    to_stride: usize,
    word_count: usize,
    lanes: usize,
) {
    #[cfg(target_arch = "x86_64")]
    if set >= InstructionSet::Avx512 && lanes == BLOCK {
        // SAFETY: the set was detected; pointers by the contract.
        return unsafe { super::zmm::turn_block(from, stride_bytes, to, to_stride, word_count) };
    }
    let _ = set;
    for word in 0..word_count {
        for lane in 0..lanes {
            // SAFETY: by the contract; sources may be unaligned.
            unsafe { *to.add(word * to_stride + lane) = from.add(lane * stride_bytes + word * 4).cast::<u32>().read_unaligned() };
        }
    }
}

/// Copies columns of any source one after another, `stride` words apart; for small operands.
///
/// # Safety
/// `out` has room for `stride` words of each of `columns`; no one else uses them.
pub(super) unsafe fn copy_strided<T: PackElement>(
    data: &[T],
    (k_stride, column_stride): (usize, usize),
    (elements, kind): (usize, WordKind),
    columns: usize,
    stride: usize,
    out: *mut u32,
) {
    for column in 0..columns {
        let element = |k: usize| data[k * k_stride + column * column_stride];
        for word in 0..elements.div_ceil(kind.elements()) {
            let bits = match kind {
                WordKind::Single => single(element(word)),
                WordKind::Pair if 2 * word + 1 < elements => pair(element(2 * word), element(2 * word + 1)),
                WordKind::Pair => element(2 * word).bf16_bits(),
            };
            // SAFETY: by the contract.
            unsafe { out.add(column * stride + word).write(bits) };
        }
    }
}
