//! The event log on disk: one writer that loses nothing, readers that survive anything.

mod reader;
mod storage;
mod stretch;
mod writer;

pub use reader::{LogFollower, last_event, read_log};
pub(crate) use storage::RESERVE_NAME;
pub use storage::{FileStorage, LogStorage};
pub use stretch::{events_after, events_from};
pub use writer::LogWriter;
