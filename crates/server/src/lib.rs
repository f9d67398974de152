//! The studio's server: REST, sockets, jobs and the embedded page over the run folders of a home.
//!
//! It holds no state of runs: it reads their logs, starts workers, and tells pages what is new.

mod awake;
mod curves;
mod data_sets;
mod describe;
mod docs;
mod failure;
mod glossary;
mod guard;
mod jobs;
mod keys;
mod live;
mod lock;
mod machine;
mod maintain;
mod mirror;
mod page;
mod paths;
mod plan;
mod preferences;
mod queue;
mod random;
mod recipes;
mod records;
mod request;
mod routes;
mod serve;
mod settings;
mod studio;
mod sweeps;

pub use apertis_storage::StorageError;
pub use keys::KEY_NAME_MAX;
pub use lock::address_of_living;
pub use maintain::Database;
pub use serve::{Address, ServeError, Stop, openapi_document, serve};
pub use settings::{ServeSettings, Workers};
