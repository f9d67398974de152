//! Models and adapters on disk: what there is, and which folder a name means.
//!
//! Reads configurations and headers only; weights are the model crate's.

mod entry;
mod error;
mod find;
mod header;
mod resolve;

pub use entry::{ModelEntry, ModelKind, describe, list};
pub use error::LibraryError;
pub use find::{Places, find};
pub use resolve::{ResolvedModel, resolve};
