//! Events of a run: the lines of `events.jsonl`.
//!
//! A reader must survive logs of other versions: unknown kinds, unknown fields and known kinds
//! whose fields changed type are all kept and written back as they were.

mod kinds;
mod number;
mod wire;

pub use kinds::*;
pub use wire::{EVENT_VERSION, Event};
