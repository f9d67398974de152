//! The processor as a backend.

pub mod attention;
pub mod head;
pub mod matmul;
pub mod optimizer;
pub mod view;
