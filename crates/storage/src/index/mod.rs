//! The index: what of the run folders a list, a chart or a search asks for. All of it can be made
//! again from the folders.

mod dump;
mod events;
mod fold;
mod list;
mod mirror;
mod parts;
mod rows;
mod shelf;

pub use events::{EventQuery, LinePlace, Mark, StoredEvent};
pub use list::{RunOrder, RunPage, RunQuery, RunSort};
pub use parts::{LogLine, LogPart, LogPlace, Mirrored, RunParts, Sample, SamplePart};
pub use rows::{IndexedRun, RunDetails, RunFacts, RunRow, RunStatus};
pub use shelf::{ShelfCard, ShelfKind};

pub(crate) use events::read_marks;
pub(crate) use mirror::read_seq;
