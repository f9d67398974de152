//! The records: what exists nowhere but in the database, and is carried by a backup.
//!
//! Times come from the caller, as RFC 3339 texts in UTC, so that they sort as texts. Secrets never
//! reach the database; what is kept of them is the caller's hash.

mod backup;
mod jobs;
mod keys;
mod sessions;
mod settings;

pub use backup::{BACKUP_VERSION, BackupCount};
pub use jobs::{JobLine, JobRecord};
pub use keys::KeyRecord;
pub use sessions::SessionRecord;
pub use settings::Setting;
