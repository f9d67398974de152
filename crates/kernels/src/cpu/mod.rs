//! The processor as a backend.
//!
//! `backend` hands each operation to the file that has its loops; `buffers` turns tensors into
//! checked views; `reference` has the slow, obvious versions.

mod activation;
pub mod attention;
mod backend;
mod bridge;
mod buffers;
mod elementwise;
mod embedding;
mod experts;
mod functions;
pub mod head;
mod lanes;
pub mod matmul;
mod norm;
mod operand;
pub mod optimizer;
mod random;
pub mod reference;
mod rotary;
pub mod view;
mod weights;
mod work;

pub use backend::CpuBackend;
