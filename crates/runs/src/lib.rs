//! Run folders, event logs, locks, worker processes and resume; the only writer of run state.
//!
//! A run is a folder, a process and an append-only log. The log is the truth; everything else in
//! the folder but the checkpoints can be made again from it.

mod card;
pub mod checkpoints;
pub mod clock;
pub mod coach;
pub mod control;
pub mod durable;
mod error;
pub mod facts;
mod folder;
mod home;
mod links;
pub mod list;
pub mod lock;
pub mod log;
pub mod machine;
pub mod mirror;
pub mod output;
pub mod record;
mod remembered;
pub mod result;
pub mod run_lock;
pub mod seen;
pub mod slot;
pub mod spawn;
pub mod supervise;
pub mod system;
pub mod trash;
pub mod watch;
pub mod worker;

pub use card::{QueuePlace, RunCard, SweepPlace};
pub use error::{RunsError, is_disk_full};
pub use folder::RunFolder;
pub use home::{Home, default_root};
pub use list::{RunSummary, list};
pub use record::RunRecord;
pub use worker::{OpenOptions, Opened, WorkerSession};
