//! The processor as a backend.

pub mod attention;
pub mod optimizer;
pub mod view;
