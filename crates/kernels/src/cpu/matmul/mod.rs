//! Matrix products on the processor: sums of scaled products with one pass over the output.
//!
//! `driver` cuts a product into blocks and runs them on all threads, `pack` brings operands into
//! the order a micro-kernel reads, `dots` serves few rows or columns without packing, and each instruction
//! set has its micro-kernel in a file of its own. `reference` is the slow truth beside them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_dots;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512bf16;
mod dots;
mod dots_plain;
mod driver;
mod operand;
mod pack;
mod plan;
mod portable;
mod reference;
mod scratch;
mod stage;
mod tile;
#[cfg(target_arch = "x86_64")]
mod zmm;
#[cfg(target_arch = "x86_64")]
mod zmm_dots;

pub(crate) use plan::packed_bytes;

pub use operand::{DataRef, Epilogue, MatrixRef, Output, Product, Term};

use crate::context::Context;
use crate::instruction_set::InstructionSet;

/// Computes `out = (accumulate ? out : 0) + Σ_terms scale · left · right + bias`, summed in F32.
///
/// A term whose operands are both F32 or F16 is computed in F32. Where the instruction set has
/// bf16 products and one operand is bf16, the other is rounded to bf16 first. Results depend on
/// shapes and instruction set, never on the number of threads.
///
/// # Shapes
/// `output` m × n; each term m × k times k × n with a k of its own; bias n.
///
/// # Panics
/// When shapes differ.
pub fn product(context: &Context, output: Output, terms: &[Term], epilogue: &Epilogue) {
    products(context, &[Product { output, terms, epilogue: *epilogue }]);
}

/// Computes several independent products, small ones side by side.
///
/// # Panics
/// When shapes differ.
pub fn products(context: &Context, products: &[Product]) {
    products.iter().for_each(Product::check);
    match context.instruction_set() {
        InstructionSet::Scalar => products.iter().for_each(|product| reference::product(context, product)),
        InstructionSet::Portable => driver::run::<portable::Kernel>(context, products),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => driver::run::<avx2::Kernel>(context, products),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => driver::run::<avx512::Kernel>(context, products),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Bf16 => driver::run::<avx512bf16::Kernel>(context, products),
        #[cfg(not(target_arch = "x86_64"))]
        _ => driver::run::<portable::Kernel>(context, products),
    }
}
