//! The token cache: rows as ids on disk, made once for each content and read by mapping.

mod copies;
mod key;
mod make;
mod shard;
mod shared;
mod standing;
mod tokenise;
mod write;

pub(crate) use shard::Shard;
pub use shard::TokenRow;
pub(crate) use shared::Handle;
pub(crate) use tokenise::{Rendering, Tokeniser};

pub(crate) use make::prepare;
