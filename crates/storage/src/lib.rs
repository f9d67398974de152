//! The only SQL: an index of the run folders, which can be made again from them, and records that
//! exist nowhere else, in SQLite or PostgreSQL.
//!
//! The statements are one for both databases, sent through `sqlx`'s driver for any of them; what
//! differs (opening, tables, copies before a migration) is in `sqlite/` and `postgres/`.

mod error;
mod home_id;
pub mod index;
mod migrations;
pub mod points;
mod postgres;
pub mod record;
mod sqlite;
mod statement;
mod storage;

pub use error::StorageError;
pub use storage::{DatabaseKind, Storage};
