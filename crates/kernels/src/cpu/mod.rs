//! The processor as a backend.

pub mod view;
